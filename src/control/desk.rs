//! The answers to what cores ask: names, long work, the counters of all cores. Each kind is bounded by itself, and beyond
//! its bound the answer is at once that there is none.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::crew::Crew;
use super::inquiry;
use super::lookups::{Asker, Ended, LOOKUPS_MAX, Lookups};
use crate::gateway::Message;
use crate::net::ask::{Answer, Envelope, Question, WORK_TIMEOUT, Work};
use crate::net::mailbox::Post;
use crate::telemetry::metrics::{self, BuildInfo, ConfigGauges};
use crate::telemetry::writer::LogGauges;

/// Pieces of long work that run at a time.
const WORKS_MAX: usize = 8;
/// Pieces of long work that may wait for one of these to end. Each holds a body.
const WORKS_WAITING_MAX: usize = 64;
/// Threads that both kinds of blocking work need.
pub(super) const THREADS_MAX: usize = LOOKUPS_MAX + WORKS_MAX;
/// Scrapes that run at a time.
const SCRAPES_MAX: usize = 4;
/// How long all cores together may take to report their counters; less than a scrape's own deadline on its core, so that
/// what the others reported still arrives.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(4);

/// See the module.
pub(super) struct Desk {
    posts: Vec<Post<Message>>,
    /// Of who asks, too, and serves nobody; its number is the one behind the last core's.
    clerk: Option<Post<Message>>,
    build: BuildInfo,
    lookups: Lookups,
    works: Crew,
    scrapes: Arc<Semaphore>,
}

impl Desk {
    /// For the cores with these mailboxes.
    pub(super) fn new(posts: Vec<Post<Message>>, clerk: Option<Post<Message>>, build: BuildInfo) -> Self {
        let (works, scrapes) =
            (Crew::new(WORKS_MAX, WORKS_WAITING_MAX), Arc::new(Semaphore::new(SCRAPES_MAX)));
        Self { posts, clerk, build, lookups: Lookups::new(), works, scrapes }
    }

    /// Takes a question; the answer goes to its core's mailbox when there is one. Does not wait.
    pub(super) fn take(&mut self, envelope: Envelope, gauges: LogGauges, config: Arc<ConfigGauges>) {
        let Envelope { core, ticket, question } = envelope;
        let Some(post) = self.post(core).cloned() else { return };
        let is_taken = match question {
            Question::Resolve { host, port } => self.lookups.ask(host, port, Asker { core, ticket }),
            Question::Compute(work) => self.compute(post.clone(), ticket, work),
            Question::Metrics => self.scrape(post.clone(), ticket, gauges, config),
        };
        if !is_taken {
            reply(&post, ticket, Answer::Unavailable);
        }
    }

    /// Sends the next lookup's answer. Does nothing when dropped; `None`: no lookup runs.
    pub(super) async fn work(&mut self) -> Option<()> {
        let Ended { addresses, askers } = self.lookups.next().await?;
        for Asker { core, ticket } in askers {
            if let Some(post) = self.post(core) {
                reply(post, ticket, Answer::Addresses(addresses.clone()));
            }
        }
        Some(())
    }

    fn post(&self, core: usize) -> Option<&Post<Message>> {
        let clerk = self.clerk.as_ref().filter(|_| core == self.posts.len());
        self.posts.get(core).or(clerk)
    }

    fn compute(&self, post: Post<Message>, ticket: u64, work: Work) -> bool {
        let Some(place) = self.works.place() else { return false };
        tokio::spawn(async move {
            let done = place.work(WORK_TIMEOUT, move || computed(work)).await;
            reply(&post, ticket, done.unwrap_or(Answer::Unavailable));
        });
        true
    }

    fn scrape(&self, post: Post<Message>, ticket: u64, gauges: LogGauges, config: Arc<ConfigGauges>) -> bool {
        let Ok(place) = Arc::clone(&self.scrapes).try_acquire_owned() else { return false };
        let (posts, build) = (self.posts.clone(), self.build.clone());
        tokio::spawn(async move {
            let samples = inquiry::samples(&posts, Instant::now() + SAMPLE_TIMEOUT).await;
            reply(&post, ticket, Answer::Metrics(metrics::render(&samples, &gauges, &build, &config)));
            drop(place);
        });
        true
    }
}

/// What the work returned, or that it panicked: its request must hear of it.
fn computed(work: Work) -> Answer {
    catch_unwind(AssertUnwindSafe(work)).map_or(Answer::Panicked, Answer::Computed)
}

fn reply(post: &Post<Message>, ticket: u64, answer: Answer) {
    if post.send(Message::Answer { ticket, answer }).is_err() {
        tracing::warn!("a core's mailbox is full; an answer to it is lost");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Driver;
    use crate::net::mailbox::{Mailbox, mailbox};
    use crate::telemetry::cells::Cells;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    /// A core that reports its counters, and hands on its answers.
    fn serve(mailbox: Mailbox<Message>) -> std::sync::mpsc::Receiver<(u64, Answer)> {
        let (sender, answers) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().build();
            let served = mailbox.serve(Driver::Epoll, move |message| match message {
                Message::Sample(reply) => reply.send(Cells::new(3).sample()).is_ok(),
                Message::Answer { ticket, answer } => sender.send((ticket, answer)).is_ok(),
                _ => true,
            });
            runtime.unwrap().block_on(served)
        });
        answers
    }

    fn desk(post: Post<Message>) -> Desk {
        Desk::new(vec![post], None, BuildInfo::default())
    }

    fn work(ticket: u64, work: impl FnOnce() -> u8 + Send + 'static) -> Envelope {
        Envelope { core: 0, ticket, question: Question::Compute(Box::new(move || Box::new(work()))) }
    }

    #[test]
    fn work_that_panics_is_answered() {
        run(async {
            let (post, mailbox) = mailbox().unwrap();
            let answers = serve(mailbox);
            let mut desk = desk(post);
            desk.take(work(1, || panic!("provoked")), LogGauges::default(), Arc::default());
            let answer = tokio::task::spawn_blocking(move || answers.recv().unwrap()).await.unwrap();
            assert!(matches!(answer, (1, Answer::Panicked)));
        });
    }

    #[test]
    fn beyond_the_bound_work_is_refused_at_once_and_names_are_not() {
        run(async {
            let (post, mailbox) = mailbox().unwrap();
            let answers = serve(mailbox);
            let mut desk = desk(post);
            let (open, gate) = std::sync::mpsc::channel::<()>();
            let mut gate = Some(gate);
            for ticket in 0..=(WORKS_MAX + WORKS_WAITING_MAX) as u64 {
                let gate = gate.take();
                desk.take(
                    work(ticket, move || gate.map_or(0, |gate| gate.recv().is_ok().into())),
                    LogGauges::default(),
                    Arc::default(),
                );
            }
            let last = (WORKS_MAX + WORKS_WAITING_MAX) as u64;
            let (ticket, answer) = answers.recv().unwrap();
            assert!(ticket == last && matches!(answer, Answer::Unavailable));
            let question = Question::Resolve { host: "127.0.0.1".to_owned(), port: 9 };
            desk.take(Envelope { core: 0, ticket: 1000, question }, LogGauges::default(), Arc::default());
            assert_eq!(desk.work().await, Some(()));
            drop(open);
            let mut seen: Vec<(u64, Answer)> = Vec::new();
            let seen = tokio::task::spawn_blocking(move || {
                while seen.len() < WORKS_MAX + WORKS_WAITING_MAX + 1 {
                    seen.push(answers.recv().unwrap());
                }
                seen
            });
            let seen = seen.await.unwrap();
            let named = seen.iter().find(|(ticket, _)| *ticket == 1000).map(|(_, answer)| answer);
            let expected = vec![std::net::SocketAddr::from(([127, 0, 0, 1], 9))];
            assert!(matches!(named, Some(Answer::Addresses(Ok(found))) if found.addresses == expected));
            assert_eq!(
                seen.iter().filter(|(_, answer)| matches!(answer, Answer::Computed(_))).count(),
                last as usize
            );
        });
    }
}

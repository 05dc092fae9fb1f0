//! The names that one core knows: their addresses, how fresh these are, and the one question about each that may be on
//! its way. It resolves nothing itself, the control plane does; a core never waits for a resolver when it has addresses.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::ask::{Answer, Asker, Question, Resolved};
use super::until;

/// Resolved addresses serve as long as their answer says, within these bounds: an answer that is about to end is not asked
/// for by every request in between.
const LIFETIME_MIN: Duration = Duration::from_secs(1);
/// See [`LIFETIME_MIN`].
const LIFETIME_MAX: Duration = Duration::from_secs(300);
/// How long old addresses serve on after a question that brought none.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How long a question may keep from use the old addresses that it is to replace.
const STALE_WAIT: Duration = Duration::from_secs(1);
/// How long a question is believed to be on its way; then it is asked again, and joins a lookup that still hangs.
const QUESTION_LIFETIME: Duration = Duration::from_secs(10);
/// Names that one core remembers; beyond it, the one remembered for longest goes.
const NAMES_MAX: usize = 1024;
/// Why there is no address when no answer says so.
const SILENT: &str = "the resolver is not answering";

struct Name {
    host: String,
    port: u16,
    /// The last that were found; empty: none yet.
    addresses: Vec<SocketAddr>,
    /// The one that was connected to last.
    last_good: Option<SocketAddr>,
    /// Until when they are used without asking; `None`: not at all.
    fresh_until: Option<Instant>,
    /// Why the last question brought none.
    failure: String,
    question: Option<Asked>,
}

struct Asked {
    ticket: u64,
    since: Instant,
    /// Who waits for the answer, by their own numbers.
    waiters: HashMap<u64, Waker>,
}

/// See the module.
#[derive(Clone, Default)]
pub(super) struct Names {
    table: Rc<RefCell<Vec<Name>>>,
    next_waiter: Rc<Cell<u64>>,
}

impl Names {
    /// The addresses of `host`, at least one: remembered while they are fresh, else asked for. Old ones outlive a resolver
    /// that fails or hangs, at the price of a second's wait for each question. Errors: there are none, and why; without
    /// any, this waits as long as the question does, so the caller sets a deadline.
    pub(super) async fn resolve(
        &self,
        asker: &Asker,
        host: &str,
        port: u16,
        now: Instant,
    ) -> Result<Vec<SocketAddr>, String> {
        if let Some(fresh) = self.fresh(host, port, now) {
            return Ok(fresh);
        }
        if let Some((ticket, since)) = self.ask(asker, host, port, now)? {
            let answered = self.answered(host, port, ticket);
            if self.has_addresses(host, port) {
                until(since + STALE_WAIT, answered).await;
            } else {
                answered.await;
            }
        }
        let found = self.with(host, port, |name| match name.addresses.as_slice() {
            [] => Err(name.failure.clone()),
            addresses => Ok(addresses.to_vec()),
        });
        found.unwrap_or_else(|| Err("too many names are in use".to_owned()))
    }

    /// The address of this name that was connected to last, to be tried first.
    pub(super) fn last_good(&self, host: &str, port: u16) -> Option<SocketAddr> {
        self.with(host, port, |name| name.last_good)?
    }

    /// Remembers that this address was connected to.
    pub(super) fn connected(&self, host: &str, port: u16, address: SocketAddr) {
        self.with(host, port, |name| name.last_good = Some(address));
    }

    fn fresh(&self, host: &str, port: u16, now: Instant) -> Option<Vec<SocketAddr>> {
        self.with(host, port, |name| {
            name.fresh_until.is_some_and(|until| now < until).then(|| name.addresses.clone())
        })?
    }

    fn has_addresses(&self, host: &str, port: u16) -> bool {
        self.with(host, port, |name| !name.addresses.is_empty()).unwrap_or(false)
    }

    /// The question about this name that is on its way: since when, or asked now. `None`: it is answered already.
    fn ask(
        &self,
        asker: &Asker,
        host: &str,
        port: u16,
        now: Instant,
    ) -> Result<Option<(u64, Instant)>, String> {
        self.add(host, port)?;
        let asked = self.with(host, port, |name| match &name.question {
            Some(asked) if now.saturating_duration_since(asked.since) < QUESTION_LIFETIME => {
                Some((asked.ticket, asked.since))
            }
            _ => None,
        });
        if let Some(asked) = asked.flatten() {
            return Ok(Some(asked));
        }
        let (names, owner) = (self.clone(), host.to_owned());
        let then = move |answer| names.learn(&owner, port, answer);
        match asker.ask_then(Question::Resolve { host: host.to_owned(), port }, then) {
            Some(ticket) => {
                let question = Asked { ticket, since: now, waiters: HashMap::new() };
                let lost = self.with(host, port, |name| name.question.replace(question)).flatten();
                if let Some(lost) = lost {
                    asker.forget(lost.ticket);
                    lost.waiters.values().for_each(Waker::wake_by_ref);
                }
                Ok(Some((ticket, now)))
            }
            None => {
                self.learn(host, port, Answer::Unavailable);
                Ok(None)
            }
        }
    }

    fn answered<'a>(&'a self, host: &'a str, port: u16, ticket: u64) -> Answered<'a> {
        let waiter = self.next_waiter.get();
        self.next_waiter.set(waiter.wrapping_add(1));
        Answered { names: self, host, port, ticket, waiter }
    }

    fn learn(&self, host: &str, port: u16, answer: Answer) {
        let now = Instant::now();
        let asked = self.with(host, port, |name| {
            match answer {
                Answer::Addresses(Ok(Resolved { addresses, lifetime })) if !addresses.is_empty() => {
                    name.addresses = addresses;
                    name.fresh_until = Some(now + lifetime.clamp(LIFETIME_MIN, LIFETIME_MAX));
                }
                failed => {
                    name.failure = reason(failed);
                    name.fresh_until = (!name.addresses.is_empty()).then(|| now + RETRY_INTERVAL);
                }
            }
            name.question.take()
        });
        asked.flatten().iter().flat_map(|asked| asked.waiters.values()).for_each(Waker::wake_by_ref);
    }

    /// Makes room for a name. Errors: all places are taken by names that are being asked for.
    fn add(&self, host: &str, port: u16) -> Result<(), String> {
        if self.with(host, port, |_| ()).is_some() {
            return Ok(());
        }
        let mut names = self.table.borrow_mut();
        if names.len() >= NAMES_MAX {
            let idle = names.iter().position(|name| name.question.is_none());
            let idle = idle.ok_or_else(|| "too many names are being asked for".to_owned())?;
            names.remove(idle);
        }
        names.push(Name {
            host: host.to_owned(),
            port,
            addresses: Vec::new(),
            last_good: None,
            fresh_until: None,
            failure: SILENT.to_owned(),
            question: None,
        });
        Ok(())
    }

    /// What `look` gives, for a name that is remembered.
    fn with<T>(&self, host: &str, port: u16, look: impl FnOnce(&mut Name) -> T) -> Option<T> {
        let mut names = self.table.borrow_mut();
        names.iter_mut().find(|name| name.host == host && name.port == port).map(look)
    }
}

/// Resolves when the question of this ticket is no longer on its way.
struct Answered<'a> {
    names: &'a Names,
    host: &'a str,
    port: u16,
    ticket: u64,
    waiter: u64,
}

impl Answered<'_> {
    fn with_question<T>(&self, look: impl FnOnce(&mut Asked) -> T) -> Option<T> {
        self.names.with(self.host, self.port, |name| {
            name.question.as_mut().filter(|asked| asked.ticket == self.ticket).map(look)
        })?
    }
}

impl Future for Answered<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waker = context.waker().clone();
        match self.with_question(|asked| asked.waiters.insert(self.waiter, waker)) {
            Some(_) => Poll::Pending,
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Answered<'_> {
    fn drop(&mut self) {
        drop(self.with_question(|asked| asked.waiters.remove(&self.waiter)));
    }
}

fn reason(answer: Answer) -> String {
    match answer {
        Answer::Addresses(Err(reason)) => reason,
        Answer::Addresses(Ok(_)) => "the name has no address".to_owned(),
        _ => SILENT.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::net::ask::Envelope;

    const HOST: &str = "api.test";

    /// A core, and the control plane that it asks.
    struct Scene {
        names: Names,
        asker: Asker,
        questions: mpsc::Receiver<Envelope>,
    }

    impl Scene {
        fn new() -> Self {
            let (outbox, questions) = mpsc::channel(4);
            Self { names: Names::default(), asker: Asker::new(0, outbox), questions }
        }

        async fn resolve(&self, now: Instant) -> Result<Vec<SocketAddr>, String> {
            self.names.resolve(&self.asker, HOST, 443, now).await
        }

        fn tickets(&mut self) -> Vec<u64> {
            std::iter::from_fn(|| self.questions.try_recv().ok()).map(|envelope| envelope.ticket).collect()
        }

        /// Gives it addresses that are no longer fresh.
        async fn prime(&mut self) {
            let (found, ()) =
                both(self.resolve(Instant::now()), async { self.asker.answer(0, found(1)) }).await;
            assert_eq!(found, Ok(addresses(1)));
            assert_eq!(self.tickets(), [0]);
            assert_eq!(self.resolve(Instant::now()).await, Ok(addresses(1)));
            assert_eq!(self.tickets(), [0; 0]);
            self.outdate();
        }

        fn outdate(&self) {
            self.names.with(HOST, 443, |name| name.fresh_until = Some(Instant::now())).unwrap();
        }
    }

    fn addresses(last: u8) -> Vec<SocketAddr> {
        vec![SocketAddr::from(([192, 0, 2, last], 443))]
    }

    fn found(last: u8) -> Answer {
        found_for(last, Duration::from_secs(60))
    }

    fn found_for(last: u8, lifetime: Duration) -> Answer {
        Answer::Addresses(Ok(Resolved { addresses: addresses(last), lifetime }))
    }

    fn failed() -> Answer {
        Answer::Addresses(Err("no such name".to_owned()))
    }

    async fn both<A: Future, B: Future>(first: A, second: B) -> (A::Output, B::Output) {
        monoio::join!(first, second)
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().enable_timer().build();
        runtime.unwrap().block_on(test);
    }

    #[test]
    fn one_question_serves_all_who_wait() {
        run(async {
            let mut scene = Scene::new();
            let now = Instant::now();
            let two = Box::pin(both(scene.resolve(now), scene.resolve(now)));
            let ((first, second), ()) = both(two, async { scene.asker.answer(0, found(1)) }).await;
            assert_eq!((first, second), (Ok(addresses(1)), Ok(addresses(1))));
            assert_eq!(scene.tickets(), [0]);
        });
    }

    #[test]
    fn a_failure_reaches_all_who_wait_and_the_next_ask_again() {
        run(async {
            let mut scene = Scene::new();
            let now = Instant::now();
            let two = Box::pin(both(scene.resolve(now), scene.resolve(now)));
            let ((first, second), ()) = both(two, async { scene.asker.answer(0, failed()) }).await;
            assert_eq!((first, second), (Err("no such name".to_owned()), Err("no such name".to_owned())));
            let (again, ()) = both(scene.resolve(now), async { scene.asker.answer(1, found(2)) }).await;
            assert_eq!((again, scene.tickets()), (Ok(addresses(2)), vec![0, 1]));
        });
    }

    #[test]
    fn who_goes_away_takes_neither_the_question_nor_a_place() {
        run(async {
            let mut scene = Scene::new();
            let now = Instant::now();
            for _ in 0..3 {
                assert!(until(Instant::now(), scene.resolve(now)).await.is_none());
            }
            assert_eq!(scene.tickets(), [0]);
            let waiting =
                scene.names.with(HOST, 443, |name| name.question.as_ref().map(|asked| asked.waiters.len()));
            assert_eq!(waiting, Some(Some(0)));
            scene.asker.answer(0, found(3));
            assert_eq!(scene.resolve(Instant::now()).await, Ok(addresses(3)));
        });
    }

    #[test]
    fn old_addresses_outlive_a_resolver_that_hangs() {
        run(async {
            let mut scene = Scene::new();
            scene.prime().await;
            let began = Instant::now();
            let (first, second) = both(scene.resolve(began), scene.resolve(began)).await;
            assert_eq!((first, second), (Ok(addresses(1)), Ok(addresses(1))));
            assert!(began.elapsed() >= STALE_WAIT && began.elapsed() < STALE_WAIT * 2);
            assert_eq!(scene.tickets(), [1]);
            // While the question hangs on, nobody waits for it any more.
            let began = Instant::now();
            assert_eq!(scene.resolve(began).await, Ok(addresses(1)));
            assert!(began.elapsed() < STALE_WAIT / 2, "{:?}", began.elapsed());
            assert_eq!(scene.tickets(), [0; 0]);
            // A question that was lost is asked again, and its late answer is nobody's.
            let later = began + QUESTION_LIFETIME;
            let (found_late, ()) = both(scene.resolve(later), async {
                scene.asker.answer(1, found(8));
                scene.asker.answer(2, found(9));
            })
            .await;
            assert_eq!((found_late, scene.tickets()), (Ok(addresses(9)), vec![2]));
        });
    }

    #[test]
    fn old_addresses_outlive_a_resolver_that_fails() {
        run(async {
            let mut scene = Scene::new();
            scene.prime().await;
            let empty = Resolved { addresses: Vec::new(), lifetime: Duration::from_secs(60) };
            for answer in [failed(), Answer::Addresses(Ok(empty)), Answer::Unavailable] {
                let (found, ()) = both(scene.resolve(Instant::now()), async {
                    let ticket = scene.names.with(HOST, 443, |name| name.question.as_ref().unwrap().ticket);
                    scene.asker.answer(ticket.unwrap(), answer);
                })
                .await;
                assert_eq!((found, scene.tickets().len()), (Ok(addresses(1)), 1));
                assert_eq!(scene.resolve(Instant::now()).await, Ok(addresses(1)));
                assert_eq!(scene.tickets(), [0; 0], "not asked again at once");
                scene.outdate();
            }
        });
    }

    #[test]
    fn addresses_serve_as_long_as_their_answer_says() {
        run(async {
            let mut scene = Scene::new();
            let hour = Duration::from_secs(3600);
            for (ticket, lifetime, serves) in [
                (0, Duration::from_secs(40), Duration::from_secs(40)),
                (1, hour, LIFETIME_MAX),
                (2, Duration::ZERO, LIFETIME_MIN),
            ] {
                let began = Instant::now();
                let (found, ()) = both(scene.resolve(began), async {
                    scene.asker.answer(ticket, found_for(1, lifetime));
                })
                .await;
                assert_eq!((found, scene.tickets()), (Ok(addresses(1)), vec![ticket]));
                let until = scene.names.with(HOST, 443, |name| name.fresh_until).flatten().unwrap();
                assert!(until >= began + serves && until <= Instant::now() + serves, "{lifetime:?}");
                scene.outdate();
            }
        });
    }

    #[test]
    fn the_address_that_was_connected_to_is_remembered_for_its_name() {
        run(async {
            let mut scene = Scene::new();
            scene.prime().await;
            assert_eq!(scene.names.last_good(HOST, 443), None);
            scene.names.connected(HOST, 443, addresses(1)[0]);
            scene.names.connected("unknown.test", 443, addresses(2)[0]);
            assert_eq!(scene.names.last_good(HOST, 443), Some(addresses(1)[0]));
            assert_eq!(scene.names.last_good(HOST, 80), None);
        });
    }

    #[test]
    fn a_control_plane_that_takes_no_question_is_no_address() {
        run(async {
            let mut scene = Scene::new();
            scene.prime().await;
            scene.questions.close();
            assert_eq!(scene.resolve(Instant::now()).await, Ok(addresses(1)));
            let other = scene.names.resolve(&scene.asker, "other.test", 443, Instant::now()).await;
            assert_eq!(other, Err("the resolver is not answering".to_owned()));
        });
    }
}

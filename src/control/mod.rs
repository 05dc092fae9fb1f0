//! The control plane: one thread, tokio. It answers what cores ask (names, counters, long work), takes signals, reads
//! certificates again, and ends the node in order, or in time. Nothing here is on a request's path.

pub mod admin;
mod certificates;
pub mod command;
mod crew;
mod desk;
mod lookups;
pub mod machine;
#[cfg(test)]
mod name_server;
pub mod online;
pub mod preflight;
mod resolver;
pub mod source;

use std::io;
use std::process::ExitCode;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::config::snapshot::ServerTls;
use crate::gateway::Message;
use crate::net::ask::Envelope;
use crate::net::mailbox::Post;
use crate::telemetry::metrics::BuildInfo;
use crate::telemetry::writer::{self, LogGauges};
use admin::Doors;
use certificates::Certificates;
use command::Command;
use desk::Desk;

/// How long what runs may run on after TERM.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the log may take to write what it holds, after the last core ended.
pub const LOG_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a core may take, after the drain's deadline, to cut what still runs and to end. One that takes longer is
/// wedged, and the node ends without it.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries to tell a core to drain.
const RETELL_INTERVAL: Duration = Duration::from_millis(50);

/// What the control plane holds of the node.
pub struct Node {
    /// Each core's mailbox.
    pub posts: Vec<Post<Message>>,
    /// Each core's thread; an error, too, is a core that ended unasked.
    pub threads: Vec<JoinHandle<io::Result<()>>>,
    /// What cores ask.
    pub questions: mpsc::Receiver<Envelope>,
    /// The log thread, when rows are written.
    pub log: Option<writer::Handle>,
    /// For the metrics.
    pub build: BuildInfo,
    /// Where the listener's certificates are; `None`: it is plain.
    pub tls: Option<ServerTls>,
    /// Where an operator's commands are taken.
    pub admin: Doors,
    /// The way for what an operator asks, for whoever takes it from outside.
    pub commands: mpsc::Sender<Command>,
    /// Its other end.
    pub commanded: mpsc::Receiver<Command>,
}

/// Runs until the node has drained, or a core is wedged past its time; calls `ready` once signals are taken. The exit code
/// is 0 after an orderly end. Errors: no signals can be taken.
pub fn run(node: Node, ready: impl FnOnce()) -> io::Result<ExitCode> {
    let Node { posts, threads, questions, log, build, tls, admin, commands, .. } = node;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(desk::THREADS_MAX + certificates::THREADS_MAX)
        .build()?;
    let code = runtime.block_on(async {
        let signals = Signals::install()?.forwarded();
        let _doors = admin.open(&commands)?;
        ready();
        let steering = Steering {
            ended: join_all(threads),
            desk: Desk::new(posts.clone(), build),
            certificates: Certificates::new(tls, posts.clone()),
            posts,
            questions,
            signals,
            patience: Patience { drain: DRAIN_TIMEOUT, end: END_TIMEOUT },
        };
        let gauges = || log.as_ref().map_or_else(LogGauges::default, writer::Handle::gauges);
        io::Result::Ok(steering.steer(gauges).await)
    })?;
    runtime.shutdown_background();
    if let Some(log) = log {
        let ended = log.finish(Instant::now() + LOG_TIMEOUT);
        let dropped = ended.dropped_backlog_full + ended.dropped_store_refused + ended.dropped_shutdown;
        tracing::info!(rows_written = ended.written, rows_dropped = dropped, "log ended");
    }
    Ok(code)
}

/// How long the node's end may take.
#[derive(Clone, Copy)]
struct Patience {
    drain: Duration,
    end: Duration,
}

struct Steering {
    ended: oneshot::Receiver<bool>,
    desk: Desk,
    certificates: Certificates,
    posts: Vec<Post<Message>>,
    questions: mpsc::Receiver<Envelope>,
    signals: mpsc::Receiver<Told>,
    patience: Patience,
}

impl Steering {
    async fn steer(mut self, gauges: impl Fn() -> LogGauges) -> ExitCode {
        let mut drain: Option<Drain> = None;
        loop {
            tokio::select! {
                Some(envelope) = self.questions.recv() => self.desk.take(envelope, gauges()),
                Some(()) = self.desk.work() => {}
                () = self.certificates.work() => {}
                Some(told) = self.signals.recv() => {
                    if let Some(code) = self.heed(told, &mut drain) {
                        return code;
                    }
                }
                () = until_next(drain.as_ref()) => {
                    if drain.as_mut().is_some_and(|drain| !drain.goes_on()) {
                        return ExitCode::FAILURE;
                    }
                }
                crashed = &mut self.ended => return ending(drain.is_some(), crashed.unwrap_or(true)),
            }
        }
    }

    /// What a signal asks for; the code to end with at once, if so.
    fn heed(&mut self, told: Told, drain: &mut Option<Drain>) -> Option<ExitCode> {
        let name = match told {
            Told::Reload => {
                self.certificates.reload();
                return None;
            }
            Told::End(name) => name,
        };
        if drain.is_some() {
            tracing::warn!(signal = name, "second signal: ending at once");
            return Some(ExitCode::FAILURE);
        }
        tracing::info!(signal = name, deadline_s = self.patience.drain.as_secs(), "draining");
        *drain = Some(Drain::begin(self.posts.clone(), self.patience));
        None
    }
}

async fn until_next(drain: Option<&Drain>) {
    match drain {
        Some(drain) => tokio::time::sleep_until(drain.next().into()).await,
        None => std::future::pending().await,
    }
}

/// A drain under way.
struct Drain {
    /// When cores cut what still runs.
    deadline: Instant,
    /// When a core that has not ended is wedged.
    given_up: Instant,
    /// The cores that could not be told yet.
    untold: Vec<Post<Message>>,
    /// When they are told again.
    retell: Instant,
}

impl Drain {
    fn begin(posts: Vec<Post<Message>>, patience: Patience) -> Self {
        let now = Instant::now();
        let deadline = now + patience.drain;
        let mut drain = Self { deadline, given_up: deadline + patience.end, untold: posts, retell: now };
        drain.tell(now);
        if !drain.untold.is_empty() {
            tracing::warn!(cores = drain.untold.len(), "a core's mailbox is full; telling it again to drain");
        }
        drain
    }

    fn tell(&mut self, now: Instant) {
        let deadline = self.deadline;
        self.untold.retain(|post| post.send(Message::Drain { deadline }).is_err());
        self.retell = now + RETELL_INTERVAL;
    }

    fn next(&self) -> Instant {
        if self.untold.is_empty() { self.given_up } else { self.given_up.min(self.retell) }
    }

    /// `false`: it has taken too long.
    fn goes_on(&mut self) -> bool {
        let now = Instant::now();
        if now >= self.given_up {
            tracing::error!("a core did not end in its time after the drain; ending the node without it");
            return false;
        }
        self.tell(now);
        true
    }
}

fn ending(draining: bool, crashed: bool) -> ExitCode {
    if draining && !crashed {
        return ExitCode::SUCCESS;
    }
    // Half a node must not look alive.
    tracing::error!("a core ended unasked; ending the node");
    ExitCode::FAILURE
}

/// Resolves when all cores have ended, or one of them crashed: `true`.
fn join_all(threads: Vec<JoinHandle<io::Result<()>>>) -> oneshot::Receiver<bool> {
    let (sender, receiver) = oneshot::channel();
    let (core_ended, core_ends) = std::sync::mpsc::channel();
    let count = threads.len();
    for thread in threads {
        let core_ended = core_ended.clone();
        std::thread::spawn(move || core_ended.send(!matches!(thread.join(), Ok(Ok(())))));
    }
    std::thread::spawn(move || {
        let crashed = core_ends.iter().take(count).any(|crashed| crashed);
        sender.send(crashed)
    });
    receiver
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// To end the node; the signal's name.
    End(&'static str),
    /// To read again what can be.
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// What signals ask for, as they come.
    fn forwarded(mut self) -> mpsc::Receiver<Told> {
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(async move {
            loop {
                let told = self.next().await;
                if sender.send(told).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End("TERM"),
            _ = self.interrupt.recv() => Told::End("INT"),
            _ = self.hangup.recv() => Told::Reload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Driver;
    use crate::net::mailbox::mailbox;

    /// The steering of a core whose thread and mailbox hang, and what keeps them so.
    fn wedged() -> (Steering, mpsc::Sender<Told>, impl Sized) {
        let (post, mailbox) = mailbox().unwrap();
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            held.iter().for_each(drop);
            Ok(())
        });
        let (signals, heard) = mpsc::channel(4);
        let (version, driver, digest) = Default::default();
        let build = BuildInfo { version, driver, digest, generation: 0 };
        let steering = Steering {
            ended: join_all(vec![thread]),
            desk: Desk::new(vec![post.clone()], build),
            certificates: Certificates::new(None, vec![post.clone()]),
            posts: vec![post],
            questions: mpsc::channel(1).1,
            signals: heard,
            patience: Patience { drain: Duration::from_millis(100), end: Duration::from_millis(100) },
        };
        (steering, signals, (hold, mailbox))
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    fn fill(post: &Post<Message>) {
        while post.send(Message::Sample(oneshot::channel().0)).is_ok() {}
    }

    #[test]
    fn a_wedged_core_does_not_keep_the_node() {
        for is_full in [false, true] {
            let (steering, signals, _kept) = wedged();
            if is_full {
                fill(&steering.posts[0]);
            }
            let began = Instant::now();
            let code = run(async {
                signals.send(Told::End("TERM")).await.unwrap();
                tokio::time::timeout(Duration::from_secs(9), steering.steer(LogGauges::default)).await
            });
            assert_eq!(code.ok(), Some(ExitCode::FAILURE));
            assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
        }
    }

    #[test]
    fn a_core_whose_mailbox_is_full_is_told_again() {
        let (post, mailbox) = mailbox().unwrap();
        fill(&post);
        let patience = Patience { drain: Duration::from_secs(9), end: Duration::from_secs(9) };
        let mut drain = Drain::begin(vec![post], patience);
        assert!(drain.next() < drain.deadline && drain.goes_on());
        assert_eq!(drain.untold.len(), 1);
        let (told, deadlines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().build();
            let served = mailbox.serve(Driver::Epoll, move |message| match message {
                Message::Drain { deadline } => told.send(deadline).is_ok(),
                _ => true,
            });
            runtime.unwrap().block_on(served)
        });
        run(async {
            while !drain.untold.is_empty() {
                tokio::time::sleep_until(drain.next().into()).await;
                assert!(drain.goes_on());
            }
        });
        assert_eq!(deadlines.recv(), Ok(drain.deadline));
        assert_eq!(drain.next(), drain.given_up);
    }
}

//! The control plane: one thread, tokio. It answers what cores ask (names, counters, long work), takes signals, and ends
//! the node in order. Nothing here is on a request's path.

pub mod machine;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::gateway::Message;
use crate::net::ask::{Answer, Envelope, Question};
use crate::net::mailbox::Post;
use crate::telemetry::metrics::{self, BuildInfo};
use crate::telemetry::writer::{self, LogGauges};

/// How long what runs may run on after TERM.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the log may take to write what it holds, after the last core ended.
pub const LOG_TIMEOUT: Duration = Duration::from_secs(10);
/// Threads for names and long work.
const HELPERS_MAX: usize = 8;

/// What the control plane holds of the node.
pub struct Node {
    /// Each core's mailbox.
    pub posts: Vec<Post<Message>>,
    /// Each core's thread.
    pub threads: Vec<JoinHandle<()>>,
    /// What cores ask.
    pub questions: mpsc::Receiver<Envelope>,
    /// The log thread, when rows are written.
    pub log: Option<writer::Handle>,
    /// For the metrics.
    pub build: BuildInfo,
}

/// Runs until the node has drained; calls `ready` once signals are taken. The exit code is 0 after an orderly end.
/// Errors: no signals can be taken.
pub fn run(node: Node, ready: impl FnOnce()) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(HELPERS_MAX)
        .build()?;
    let code = runtime.block_on(async {
        let signals = Signals::install()?;
        ready();
        steer(node.posts, node.threads, node.questions, signals, node.log.as_ref(), &node.build).await
    })?;
    runtime.shutdown_background();
    if let Some(log) = node.log {
        let ended = log.finish(Instant::now() + LOG_TIMEOUT);
        tracing::info!(?ended, "log ended");
    }
    Ok(code)
}

async fn steer(
    posts: Vec<Post<Message>>,
    threads: Vec<JoinHandle<()>>,
    mut questions: mpsc::Receiver<Envelope>,
    mut signals: Signals,
    log: Option<&writer::Handle>,
    build: &BuildInfo,
) -> io::Result<ExitCode> {
    let mut ended = join_all(threads);
    let mut draining = false;
    loop {
        tokio::select! {
            Some(envelope) = questions.recv() => answer(&posts, envelope, log, build),
            name = signals.next() => {
                let Some(name) = name else { continue };
                if draining {
                    tracing::warn!(signal = name, "second signal: ending at once");
                    return Ok(ExitCode::FAILURE);
                }
                draining = true;
                tracing::info!(signal = name, deadline_s = DRAIN_TIMEOUT.as_secs(), "draining");
                drain(&posts);
            }
            crashed = &mut ended => return Ok(ending(draining, crashed.unwrap_or(true))),
        }
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
fn join_all(threads: Vec<JoinHandle<()>>) -> oneshot::Receiver<bool> {
    let (sender, receiver) = oneshot::channel();
    let (core_ended, core_ends) = std::sync::mpsc::channel();
    let count = threads.len();
    for thread in threads {
        let core_ended = core_ended.clone();
        std::thread::spawn(move || core_ended.send(thread.join().is_err()));
    }
    std::thread::spawn(move || {
        let crashed = core_ends.iter().take(count).any(|crashed| crashed);
        sender.send(crashed)
    });
    receiver
}

fn drain(posts: &[Post<Message>]) {
    let deadline = Instant::now() + DRAIN_TIMEOUT;
    for post in posts {
        if post.send(Message::Drain { deadline }).is_err() {
            tracing::error!("a core's mailbox is full; it was not told to drain");
        }
    }
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

    /// The name of a signal that ends the node; `None` for one that does not.
    async fn next(&mut self) -> Option<&'static str> {
        tokio::select! {
            _ = self.terminate.recv() => Some("TERM"),
            _ = self.interrupt.recv() => Some("INT"),
            _ = self.hangup.recv() => {
                tracing::warn!("HUP: this version does not reload; restart to apply a changed config");
                None
            }
        }
    }
}

/// Answers in a task of its own, so that a slow name holds up nobody.
fn answer(posts: &[Post<Message>], envelope: Envelope, log: Option<&writer::Handle>, build: &BuildInfo) {
    let Envelope { core, ticket, question } = envelope;
    let Some(post) = posts.get(core).cloned() else { return };
    match question {
        Question::Resolve { host, port } => {
            tokio::spawn(async move { reply(&post, ticket, Answer::Addresses(resolve(host, port).await)) });
        }
        Question::Compute(work) => {
            tokio::task::spawn_blocking(move || reply(&post, ticket, Answer::Computed(work())));
        }
        Question::Metrics => {
            let (posts, gauges, build) =
                (posts.to_vec(), log.map_or_else(LogGauges::default, writer::Handle::gauges), build.clone());
            tokio::spawn(async move {
                let samples = sample(&posts).await;
                let text = metrics::render(&samples, &gauges, &build);
                reply(&post, ticket, Answer::Metrics(text));
            });
        }
    }
}

fn reply(post: &Post<Message>, ticket: u64, answer: Answer) {
    if post.send(Message::Answer { ticket, answer }).is_err() {
        tracing::warn!("a core's mailbox is full; an answer to it is lost");
    }
}

async fn resolve(host: String, port: u16) -> Result<Vec<SocketAddr>, String> {
    match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(error.to_string()),
    }
}

async fn sample(posts: &[Post<Message>]) -> Vec<crate::telemetry::sample::Sample> {
    let mut samples = Vec::with_capacity(posts.len());
    for post in posts {
        let (sender, receiver) = oneshot::channel();
        if post.send(Message::Sample(sender)).is_ok()
            && let Ok(sample) = receiver.await
        {
            samples.push(sample);
        }
    }
    samples
}

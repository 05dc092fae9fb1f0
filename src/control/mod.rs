//! The control plane: one thread, tokio. It answers what cores ask (names, counters, long work), takes signals and
//! operators' commands, brings a changed config to every core, and ends the node in order, or in time. Nothing here is on
//! a request's path.

pub mod admin;
mod adoption;
mod attempt;
pub mod command;
mod crew;
mod desk;
mod drain;
mod inquiry;
mod lookups;
pub mod machine;
#[cfg(test)]
mod name_server;
pub mod online;
pub mod preflight;
mod reload;
mod resolver;
mod signals;
pub mod source;
mod status;
mod steering;
pub mod tokens;
mod watch;

use std::collections::BTreeSet;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::config::Loaded;
use crate::gateway::Message;
use crate::net::ask::Envelope;
use crate::net::mailbox::Post;
use crate::net::tls::Roots;
use crate::telemetry::metrics::BuildInfo;
use crate::telemetry::writer::{self, LogGauges};
use admin::Doors;
use attempt::{Crews, Current, Ground};
use command::Command;
use desk::Desk;
use drain::Patience;
use reload::Reloads;
use signals::Signals;
use source::{Seen, Source};
use steering::Steering;

/// How long what runs may run on after TERM.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the log may take to write what it holds, after the last core ended.
pub const LOG_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a core may take, after the drain's deadline, to cut what still runs and to end. One that takes longer is
/// wedged, and the node ends without it.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// What the control plane holds of the node.
pub struct Node {
    /// Each core's mailbox.
    pub posts: Vec<Post<Message>>,
    /// The mailbox of who fetches tokens.
    pub tokens: Post<Message>,
    /// Each core's thread; an error, too, is a core that ended unasked.
    pub threads: Vec<JoinHandle<io::Result<()>>>,
    /// What cores ask.
    pub questions: mpsc::Receiver<Envelope>,
    /// The log thread, when rows are written.
    pub log: Option<writer::Handle>,
    /// Who the node is.
    pub identity: Identity,
    /// What it runs.
    pub config: Config,
    /// Where an operator's commands are taken.
    pub admin: Doors,
    /// The way for what an operator asks, for whoever takes it from outside.
    pub commands: mpsc::Sender<Command>,
    /// Its other end.
    pub commanded: mpsc::Receiver<Command>,
}

/// Who a node is, for an operator.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// This program's version.
    pub version: &'static str,
    /// The node's name.
    pub node: String,
    /// Where it listens.
    pub address: String,
    /// `io_uring` or `epoll`.
    pub driver: String,
    /// Why not a better one; empty: there is none.
    pub driver_because: String,
    /// The log store, as the start line says it.
    pub log_store: String,
}

/// The config that a node began with, and how it is kept up to date.
pub struct Config {
    /// Where it is.
    pub source: Source,
    /// What it means.
    pub loaded: Loaded,
    /// What was seen of its files when it was read.
    pub seen: Seen,
    /// When it was read.
    pub loaded_at: Timestamp,
    /// Whom providers are trusted by.
    pub roots: Roots,
    /// Whether warnings are faults.
    pub is_strict: bool,
    /// Whether its files are watched, and read again by themselves. Not for a pipe, which has no second reading.
    pub is_watched: bool,
}

impl Config {
    fn reloads(self, posts: Vec<Post<Message>>, tokens: Option<Post<Message>>, has_log: bool) -> Reloads {
        let Self { source, loaded, seen, loaded_at, roots, is_strict, is_watched } = self;
        let ground = Ground { source, posts, tokens, roots, has_log, is_strict, crews: Crews::new() };
        let file = Arc::new(loaded);
        let serving = Arc::clone(&file);
        Reloads::new(
            ground,
            Current { file, serving, loaded_at, seen, disabled: BTreeSet::new() },
            is_watched,
        )
    }
}

/// Runs until the node has drained, or a core is wedged past its time; calls `ready` once signals are taken. The exit code
/// is 0 after an orderly end. Errors: no signals can be taken.
pub fn run(node: Node, ready: impl FnOnce()) -> io::Result<ExitCode> {
    let Node { posts, tokens, threads, questions, log, identity, config, admin, commands, commanded } = node;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(desk::THREADS_MAX + attempt::THREADS_MAX)
        .build()?;
    let code = runtime.block_on(async {
        let signals = Signals::install()?.forwarded();
        let _doors = admin.open(&commands)?;
        ready();
        let build = BuildInfo { version: identity.version.to_owned(), driver: identity.driver.clone() };
        let steering = Steering {
            ended: join_all(threads),
            desk: Desk::new(posts.clone(), Some(tokens.clone()), build),
            reloads: config.reloads(posts.clone(), Some(tokens.clone()), log.is_some()),
            posts,
            tokens: Some(tokens),
            questions,
            signals,
            commanded,
            patience: Patience { drain: DRAIN_TIMEOUT, end: END_TIMEOUT },
            identity,
            began: Instant::now(),
            inquiries: Steering::inquiries(),
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

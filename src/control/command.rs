//! What an operator may ask of a running node, and what the node says of itself: plain data between the admin API
//! (`admin`), the command line, and the steering. It does nothing.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::config::Loaded;
use crate::gateway::LiveStreams;

/// Commands that may wait to be taken.
pub const COMMANDS_MAX: usize = 64;

/// One wish, with the way to answer it. A dropped answer: the node is ending.
pub enum Command {
    /// Read the config again; answered when every core runs it, or when it is refused.
    Reload(oneshot::Sender<Result<Reloaded, Refused>>),
    /// Take a key out of service, or back in, until told otherwise or the process ends; likewise.
    Key {
        /// The key's name.
        name: String,
        /// Back in.
        enabled: bool,
        /// The answer.
        reply: oneshot::Sender<Result<Reloaded, Refused>>,
    },
    /// Begin to drain; answered when it has begun. `false`: it had already.
    Drain {
        /// `None`: the default.
        deadline: Option<Duration>,
        /// The answer.
        reply: oneshot::Sender<bool>,
    },
    /// How the node is.
    Status(oneshot::Sender<Status>),
    /// The streams that run.
    Streams(oneshot::Sender<LiveStreams>),
    /// The config that serves.
    Config(oneshot::Sender<Arc<Loaded>>),
}

/// What an applied config changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The generation that every core runs now.
    pub generation: u64,
    /// Its digest.
    pub digest: String,
    /// In an operator's words; empty: nothing changed, and the generation is the old one.
    pub changes: Vec<String>,
    /// Worth a look: warnings of the file, keys that (still) have no value.
    pub warnings: Vec<String>,
}

/// Why a config was not applied, or not by every core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Every fault, at least one.
    pub faults: Vec<String>,
    /// It is applied, and a core is late to run it. Otherwise the one before serves on.
    pub is_handed_over: bool,
}

/// How a node is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// This program's version.
    pub version: String,
    /// The node's name.
    pub node: String,
    /// Its process.
    pub pid: u32,
    /// Where it listens.
    pub address: String,
    /// Seconds since it began to serve.
    pub uptime_s: u64,
    /// Whether it is draining.
    pub draining: bool,
    /// `io_uring` or `epoll`.
    pub driver: String,
    /// Why not a better one; empty: there is none.
    pub driver_because: String,
    /// The config.
    pub config: ConfigStatus,
    /// Each core that answered.
    pub cores: Vec<CoreStatus>,
    /// Numbers of those that did not, in time.
    #[serde(default)]
    pub silent_cores: Vec<u16>,
    /// The log; `None`: no row is written.
    pub log: Option<LogStatus>,
}

/// The config that serves, and what became of later ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// The file.
    pub path: String,
    /// Counts up with every applied config.
    pub generation: u64,
    /// Equal on nodes with equal files.
    pub digest: String,
    /// Equal on nodes with equal secrets and one `CORELANE_DIGEST_KEY`.
    pub secrets_digest: Option<String>,
    /// RFC 3339.
    pub loaded_at: String,
    /// Whether the file is watched.
    pub watched: bool,
    /// Configs applied since the start, the first not counted.
    pub reloads: u64,
    /// Reloads that were refused since the start.
    pub reload_failures: u64,
    /// The newest refusal, unless a config was applied since.
    pub last_failure: Option<ReloadFailure>,
    /// Snapshots of older generations that requests still hold, over all cores.
    pub old_snapshots: u64,
    /// Keys without a value, each as a sentence.
    pub unusable_keys: Vec<String>,
    /// Keys that cannot serve now, since no token could be fetched for them: `provider/key`, and the reason.
    #[serde(default)]
    pub lacking_keys: Vec<String>,
    /// Names of keys that an operator took out of service.
    pub disabled_keys: Vec<String>,
}

/// A config that was not applied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReloadFailure {
    /// RFC 3339.
    pub at: String,
    /// Why.
    pub faults: Vec<String>,
}

/// One core.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CoreStatus {
    /// Its number, from 0.
    pub core: u16,
    /// The generation that its new requests begin with.
    pub generation: u64,
    /// Callers' connections that are open.
    pub connections: u64,
    /// Requests under way.
    pub requests: u64,
    /// Streams under way.
    pub streams: u64,
}

/// The log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogStatus {
    /// The store, as the start line names it.
    pub store: String,
    /// Whether the store took what it was last asked to take.
    pub is_up: bool,
    /// Rows written since the start.
    pub rows_written: u64,
    /// Rows lost since the start.
    pub rows_dropped: u64,
}

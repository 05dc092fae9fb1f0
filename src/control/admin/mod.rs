//! The admin API: what an operator asks of this node, over a UNIX socket for who owns it, and over HTTP for who has the
//! token. It stands on the control plane's thread and turns requests into commands; it steers nothing, and callers'
//! ports know nothing of it.

mod bifrost;
mod door;
mod failure;
pub mod place;
mod query;
mod routes;
pub mod socket;
#[cfg(test)]
mod tests;
mod unserved;

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;

use super::command::Command;
use door::{Door, Listener};
pub use query::segment;
use routes::{Desk, Guard};
use socket::Bound;

/// Connections of each door that are served at a time; more wait to be accepted. Both doors together stay below
/// `COMMANDS_MAX`, so that no flood at one keeps the other's commands out.
pub const CONNECTIONS_MAX: usize = 24;
/// How long a request's head may take.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A head, bytes; and its fields.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// See [`HEAD_BYTES_MAX`].
pub const HEADERS_MAX: usize = 64;
/// A request's body, bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a request's body may take.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the node may take to do what one request asks.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection may last; it serves one request.
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(90);
/// Between two looks at a socket that another process has.
pub const RETAKE_INTERVAL: Duration = Duration::from_secs(2);
/// Longest drain that may be asked for, seconds.
pub const DRAIN_DEADLINE_MAX_S: u64 = 24 * 60 * 60;

/// Where commands are taken; both may be closed.
#[derive(Default)]
pub struct Doors {
    /// The UNIX socket: who may open it may command.
    pub socket: Option<Bound>,
    /// Where the socket will be, once the process that has it ends: a node before this one that still drains. Empty: not
    /// waited for.
    pub awaited: Vec<PathBuf>,
    /// `server.admin_address`, bound and non-blocking: who has the token may.
    pub http: Option<TcpListener>,
}

impl Doors {
    /// Serves them on this thread's tokio runtime until what is returned is dropped, when the socket's file goes.
    /// Errors: a listener cannot be waited on.
    pub(super) fn open(self, commands: &mpsc::Sender<Command>) -> std::io::Result<impl Sized + use<>> {
        let router = |guard| routes::router(Desk { commands: commands.clone(), guard });
        let mut doors = Vec::new();
        let mut file = None;
        if let Some(bound) = self.socket {
            file = Some(bound.file);
            let listener = tokio::net::UnixListener::from_std(bound.listener)?;
            doors.push(Door::open(Listener::Socket(listener), router(Guard::Socket)));
        } else if !self.awaited.is_empty() {
            doors.push(Door::await_socket(self.awaited, router(Guard::Socket)));
        }
        if let Some(listener) = self.http {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            doors.push(Door::open(Listener::Http(listener), router(Guard::Token)));
        }
        Ok((file, doors))
    }
}

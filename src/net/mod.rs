//! Effects on sockets: streams with reads that survive a wait, connections in both directions, the pool, TLS, and the
//! questions a core asks of the control plane. It knows no route and no provider's words.

pub mod ask;
pub mod budget;
pub mod client;
pub mod connect;
pub mod listen_tls;
pub mod mailbox;
mod names;
pub mod pool;
pub mod server;
mod session;
pub mod spread;
pub mod stream;
pub mod tls;
pub mod wait;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::config::snapshot::Origin;
use crate::error::{Error, Kind};
use ask::Asker;
pub use wait::{Raced, race, until};

/// How a core does its I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// io_uring; sockets are blocking ones, since the ring returns EAGAIN on others.
    IoUring,
    /// epoll; sockets are non-blocking.
    Epoll,
}

impl Driver {
    /// As the command line and the start line spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        }
    }
}

/// Deadline of a connection attempt to one origin, all of its addresses together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time that a peer may take none of our bytes.
pub const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// What one core has for its connections.
pub struct Net {
    /// How the core does its I/O.
    pub driver: Driver,
    /// TLS towards providers.
    pub tls: Arc<ClientConfig>,
    /// The way to the control plane.
    pub asker: Asker,
    /// Idle upstream connections.
    pub pool: pool::Pool,
    /// Bytes for bodies.
    pub budget: budget::Budget,
    names: names::Names,
}

impl Net {
    /// A core's networking. Errors: see [`tls::client_config`].
    pub fn new(driver: Driver, asker: Asker, budget: budget::Budget) -> Result<Self, rustls::Error> {
        let tls = tls::client_config()?;
        Ok(Self { driver, tls, asker, pool: pool::Pool::default(), budget, names: names::Names::default() })
    }

    /// The addresses of an origin: written in it, or its name's. The caller sets a deadline.
    async fn resolve(&self, origin: &Origin, now: Instant) -> Result<Vec<SocketAddr>, Error> {
        if let Some(address) = origin.address() {
            return Ok(vec![SocketAddr::new(address, origin.port)]);
        }
        let found = self.names.resolve(&self.asker, &origin.host, origin.port, now).await;
        found.map_err(|reason| unreachable(origin, &reason))
    }
}

/// The error of an origin that could not be connected to.
fn unreachable(origin: &Origin, reason: &str) -> Error {
    Error::new(
        Kind::UpstreamUnreachable,
        format!("could not connect to {}:{}: {reason}", origin.host, origin.port),
    )
}

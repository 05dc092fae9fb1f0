//! Effects on sockets: streams with reads that survive a wait, connections in both directions, the pool, TLS, and the
//! questions a core asks of the control plane. It knows no route and no provider's words.

mod address;
pub mod ask;
pub mod budget;
pub mod client;
pub mod connect;
pub mod feed;
#[cfg(test)]
mod fixture;
pub mod listen_tls;
pub mod mailbox;
mod names;
mod open;
pub mod places;
pub mod pool;
pub mod portion;
pub mod proxy;
pub mod server;
mod session;
pub mod spread;
pub mod stream;
pub mod tls;
pub mod tokens;
pub mod wait;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::config::snapshot::{Origin, Snapshot};
use crate::error::Error;
use ask::Asker;
pub use wait::{Alarm, Raced, race, until, within};

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
    /// The way to the control plane.
    pub asker: Asker,
    /// Upstream connections.
    pub pool: pool::Pool,
    /// Bytes for bodies.
    pub budget: budget::Budget,
    tls: tls::Tls,
    names: names::Names,
}

impl Net {
    /// The networking of the core at `position`. It serves no snapshot yet: see [`Net::adopt`].
    pub fn new(
        driver: Driver,
        asker: Asker,
        budget: budget::Budget,
        position: pool::Position,
        roots: tls::Roots,
    ) -> Self {
        let (pool, tls, names) = (pool::Pool::new(position), tls::Tls::new(roots), names::Names::default());
        Self { driver, asker, pool, budget, tls, names }
    }

    /// Takes what the providers of the newest snapshot need, before its first request. Connections and pools stay.
    pub fn adopt(&self, clients: tls::Clients) {
        self.tls.adopt(clients);
    }

    /// Drops what is kept for snapshots that are neither the newest nor among these.
    pub fn forget(&self, older: &[Rc<Snapshot>]) {
        self.tls.forget(older);
    }

    /// Connects to an origin as a request would, and lets the connection go unused; gives TLS's version, where there is TLS.
    /// Within [`CONNECT_TIMEOUT`]. Errors: as a request's.
    pub async fn reach(&self, origin: &Origin) -> Result<Option<&'static str>, Error> {
        let stream = Box::pin(open::open(self, origin, Instant::now())).await?;
        Ok(stream.tls_version())
    }

    /// The addresses of a host: written in it, or its name's. The caller sets a deadline.
    async fn resolve(&self, host: &str, port: u16, now: Instant) -> Result<Vec<SocketAddr>, String> {
        match host.parse::<IpAddr>() {
            Ok(address) => Ok(vec![SocketAddr::new(address, port)]),
            Err(_) => self.names.resolve(&self.asker, host, port, now).await,
        }
    }
}

//! Effects on sockets: streams with reads that survive a wait, connections in both directions, the pool, TLS, and the
//! questions a core asks of the control plane. It knows no route and no provider's words.

pub mod ask;
pub mod budget;
pub mod client;
pub mod connect;
pub mod mailbox;
pub mod pool;
pub mod server;
pub mod stream;
pub mod tls;
pub mod wait;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use monoio_rustls::TlsConnector;

use crate::config::snapshot::Origin;
use crate::error::{Error, Kind};
use ask::{Answer, Asker, Question};
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

/// How long resolved addresses serve before they are asked for again.
const NAME_LIFETIME: Duration = Duration::from_secs(30);
/// Names that one core remembers; beyond it, the one asked for longest ago goes.
const NAMES_MAX: usize = 1024;

struct Name {
    host: String,
    port: u16,
    addresses: Vec<SocketAddr>,
    fresh_until: Instant,
}

/// What one core has for its connections.
pub struct Net {
    /// How the core does its I/O.
    pub driver: Driver,
    /// TLS towards providers.
    pub tls: TlsConnector,
    /// The way to the control plane.
    pub asker: Asker,
    /// Idle upstream connections.
    pub pool: pool::Pool,
    /// Bytes for bodies.
    pub budget: budget::Budget,
    names: RefCell<Vec<Name>>,
}

impl Net {
    /// A core's networking. Errors: see [`tls::connector`].
    pub fn new(driver: Driver, asker: Asker, budget: budget::Budget) -> Result<Self, rustls::Error> {
        let tls = tls::connector()?;
        Ok(Self { driver, tls, asker, pool: pool::Pool::default(), budget, names: RefCell::default() })
    }

    /// The addresses of an origin: written in it, remembered, or asked for. Old addresses outlive a failing resolver.
    async fn resolve(&self, origin: &Origin, now: Instant) -> Result<Vec<SocketAddr>, Error> {
        if let Some(address) = origin.address() {
            return Ok(vec![SocketAddr::new(address, origin.port)]);
        }
        let remembered = self.remembered(origin, now);
        if let Some((addresses, true)) = remembered {
            return Ok(addresses);
        }
        let question = Question::Resolve { host: origin.host.clone(), port: origin.port };
        let answer = self.asker.ask(question).await;
        match (answer, remembered) {
            (Answer::Addresses(Ok(addresses)), _) => {
                self.remember(origin, &addresses, now);
                Ok(addresses)
            }
            (_, Some((addresses, _))) => Ok(addresses),
            (Answer::Addresses(Err(reason)), None) => Err(unreachable(origin, &reason)),
            (_, None) => Err(unreachable(origin, "the resolver is not answering")),
        }
    }

    fn remembered(&self, origin: &Origin, now: Instant) -> Option<(Vec<SocketAddr>, bool)> {
        let names = self.names.borrow();
        let name = names.iter().find(|name| name.host == origin.host && name.port == origin.port)?;
        Some((name.addresses.clone(), now < name.fresh_until))
    }

    fn remember(&self, origin: &Origin, addresses: &[SocketAddr], now: Instant) {
        let mut names = self.names.borrow_mut();
        names.retain(|name| name.host != origin.host || name.port != origin.port);
        if names.len() >= NAMES_MAX {
            names.remove(0);
        }
        names.push(Name {
            host: origin.host.clone(),
            port: origin.port,
            addresses: addresses.to_vec(),
            fresh_until: now + NAME_LIFETIME,
        });
    }
}

/// The error of an origin that could not be connected to.
fn unreachable(origin: &Origin, reason: &str) -> Error {
    Error::new(
        Kind::UpstreamUnreachable,
        format!("could not connect to {}:{}: {reason}", origin.host, origin.port),
    )
}

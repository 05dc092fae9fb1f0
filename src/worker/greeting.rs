//! What stands before a connection's first request: the header of a trusted load balancer, then TLS. Either, both or
//! neither, as the config says, under one deadline together. It answers no request.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use rustls::ServerConfig;

use super::connection::FIRST_BYTE_TIMEOUT;
use crate::config::snapshot::Server;
use crate::error::{Error, Kind};
use crate::gateway::{self, Core};
use crate::http::parse_proxy_header;
use crate::net::server::Downstream;
use crate::net::stream::Stream;
use crate::net::{Raced, race, until};
use crate::telemetry::sample::Arriving;

/// From accept to the end of PROXY header and TLS handshake together.
pub(super) const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// Room for a PROXY header of the usual length and for a first flight of TLS.
const READ_BYTES: usize = 2 * 1024;
/// A record of TLS's handshake (RFC 8446 §5.1); no request begins so.
const HANDSHAKE_RECORD: u8 = 0x16;

/// Whether anything stands before a connection's first request.
pub(super) fn is_greeted(core: &Core, peer: SocketAddr) -> bool {
    core.certificates().is_some() || is_announced(&core.snapshot().server, peer)
}

/// The connection as requests come over it. `None`: it ends here; a caller that can be told why was told.
pub(super) async fn greet(core: Rc<Core>, stream: Stream, peer: SocketAddr) -> Option<Downstream> {
    let is_announced = is_announced(&core.snapshot().server, peer);
    let certificates = core.certificates();
    match race(introduce(&core, stream, peer, is_announced, certificates), cut_short(&core)).await {
        Raced::First(greeted) => greeted,
        Raced::Second(()) => None,
    }
}

/// Whether the peer is one that names its callers with a PROXY header. Others have none, and are callers.
fn is_announced(server: &Server, peer: SocketAddr) -> bool {
    let address = peer.ip().to_canonical();
    server.proxy_protocol && server.trusted_proxies.iter().any(|network| network.contains(&address))
}

/// A core that drains waits for a request's first byte only so long, and for what comes before it, or lingers behind the
/// last answer, no longer. Only an enrolled connection's task is woken to see it.
pub(super) async fn cut_short(core: &Core) {
    poll_fn(|_| if core.is_draining() { Poll::Ready(()) } else { Poll::Pending }).await;
    monoio::time::sleep(FIRST_BYTE_TIMEOUT).await;
}

async fn introduce(
    core: &Core,
    stream: Stream,
    peer: SocketAddr,
    is_announced: bool,
    certificates: Option<Arc<ServerConfig>>,
) -> Option<Downstream> {
    let deadline = Instant::now() + GREETING_TIMEOUT;
    let mut opening = Opening { stream, peer, received: Vec::new(), deadline };
    if is_announced && let Err(why) = opening.announcement().await {
        if let Some(error) = why.error("the PROXY header was not complete after 10 s") {
            core.cells.arrived(Arriving::Unannounced);
            tracing::debug!(%peer, %error, "no PROXY header");
            opening.refuse(core, &error).await;
        }
        return None;
    }
    let Some(certificates) = certificates else {
        return Some(Downstream::new(opening.stream, opening.peer, opening.received));
    };
    match opening.is_handshake().await {
        Ok(true) => opening.shake_hands(core, certificates).await,
        Ok(false) => {
            let message = "a plain HTTP request came to a port that speaks TLS; use https://";
            core.cells.arrived(Arriving::Unshaken);
            opening.refuse(core, &Error::new(Kind::BadHead, message)).await;
            None
        }
        Err(why) => {
            if !matches!(why, Failed::Untouched) {
                core.cells.arrived(Arriving::Unshaken);
            }
            None
        }
    }
}

/// Why an opening came to nothing.
enum Failed {
    /// It was closed before its first byte: a load balancer looks so whether we listen.
    Untouched,
    /// It was closed, or broke.
    Gone,
    /// It took too long.
    Late,
    /// What came is not what must come.
    Wrong(Error),
}

impl Failed {
    /// What the peer is told, and what is counted; `late` for one that took too long.
    fn error(self, late: &'static str) -> Option<Error> {
        match self {
            Self::Untouched => None,
            Self::Gone => Some(Error::new(Kind::ClientGone, "closed before its first request")),
            Self::Late => Some(Error::new(Kind::RequestTimeout, late)),
            Self::Wrong(error) => Some(error),
        }
    }
}

/// A connection whose first bytes are looked at.
struct Opening {
    stream: Stream,
    /// The TCP peer, then who it speaks for.
    peer: SocketAddr,
    /// Read, and not yet taken by anyone.
    received: Vec<u8>,
    deadline: Instant,
}

impl Opening {
    /// Takes the PROXY header, which is required.
    async fn announcement(&mut self) -> Result<(), Failed> {
        loop {
            if let Some(header) = parse_proxy_header(&self.received).map_err(Failed::Wrong)? {
                self.received.drain(..header.bytes.min(self.received.len()));
                self.peer = header.client.unwrap_or(self.peer);
                return Ok(());
            }
            self.fill().await?;
        }
    }

    async fn is_handshake(&mut self) -> Result<bool, Failed> {
        while self.received.is_empty() {
            self.fill().await?;
        }
        Ok(self.received.first() == Some(&HANDSHAKE_RECORD))
    }

    async fn shake_hands(self, core: &Core, certificates: Arc<ServerConfig>) -> Option<Downstream> {
        let Self { stream, peer, received, deadline } = self;
        match stream.accept_tls(certificates, received, deadline).await {
            Ok(stream) => {
                core.cells.arrived(Arriving::Shaken);
                Some(Downstream::new(stream, peer, Vec::new()))
            }
            Err(error) => {
                core.cells.arrived(Arriving::Unshaken);
                tracing::debug!(%peer, %error, "the TLS handshake failed");
                None
            }
        }
    }

    /// Reads once; at least a byte.
    async fn fill(&mut self) -> Result<(), Failed> {
        let mut buffer = std::mem::take(&mut self.received);
        let had = buffer.len();
        buffer.reserve(READ_BYTES);
        if self.stream.arm(buffer).is_err() {
            return Err(Failed::Gone);
        }
        let (result, buffer) = until(self.deadline, self.stream.filled()).await.ok_or(Failed::Late)?;
        self.received = buffer;
        match result {
            Ok(1..) => Ok(()),
            Ok(0) | Err(_) if had == 0 => Err(Failed::Untouched),
            Ok(0) | Err(_) => Err(Failed::Gone),
        }
    }

    /// Answers in plain HTTP, unless the peer began to speak TLS, and closes.
    async fn refuse(self, core: &Core, error: &Error) {
        if error.kind != Kind::ClientGone && self.received.first() != Some(&HANDSHAKE_RECORD) {
            let mut downstream = Downstream::new(self.stream, self.peer, self.received);
            gateway::refuse_head(core, &mut downstream, error).await;
        }
    }
}

//! A byte stream, plain or TLS, whose reads outlive the wait for them: a read is armed once, stays in flight, also while
//! something is written, and may be waited for any number of times. Dropping a wait drops nothing; the read itself ends
//! only with its connection, and then the driver keeps the buffer until the kernel is done. It frames nothing.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use monoio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use super::portion::Portion;
use super::session::Session;
use super::wire::Wire;
use super::{Alarm, until};

/// A read that ended: the bytes it added (0: the peer closed), and its buffer.
pub type Filled = (io::Result<usize>, Vec<u8>);

/// One connection.
pub struct Stream {
    inner: Inner,
}

enum Inner {
    Plain(Wire),
    Tls(Box<Session>),
}

impl Stream {
    /// A plain TCP connection.
    pub fn plain(stream: TcpStream) -> Self {
        Self { inner: Inner::Plain(Wire::new(stream)) }
    }

    /// Shakes hands as a client over this connection, which must be plain and have no read in flight. Server name and
    /// ALPN go out as `name` and `config` say. Errors: `deadline` passed, or why the peer or its certificate is refused;
    /// the connection is closed then.
    pub async fn connect_tls(
        self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        deadline: Instant,
    ) -> io::Result<Self> {
        let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        self.shake_hands(Connection::Client(session), Vec::new(), deadline).await
    }

    /// Shakes hands as a server; `early` is what was received of the handshake already. Errors: as for
    /// [`Stream::connect_tls`].
    pub async fn accept_tls(
        self,
        config: Arc<ServerConfig>,
        early: Vec<u8>,
        deadline: Instant,
    ) -> io::Result<Self> {
        let session = ServerConnection::new(config).map_err(io::Error::other)?;
        self.shake_hands(Connection::Server(session), early, deadline).await
    }

    async fn shake_hands(self, tls: Connection, early: Vec<u8>, deadline: Instant) -> io::Result<Self> {
        let Inner::Plain(wire) = self.inner else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it speaks TLS already"));
        };
        let mut session = Box::new(Session::new(wire, tls, early));
        match until(deadline, Box::pin(session.shake_hands())).await {
            Some(done) => done?,
            None => return Err(io::Error::new(io::ErrorKind::TimedOut, "TLS handshake deadline passed")),
        }
        Ok(Self { inner: Inner::Tls(session) })
    }

    /// Whether it speaks TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self.inner, Inner::Tls(_))
    }

    /// The version of TLS that it speaks; `None`: it is plain.
    pub(super) fn tls_version(&self) -> Option<&'static str> {
        match &self.inner {
            Inner::Plain(_) => None,
            Inner::Tls(session) => Some(session.version()),
        }
    }

    /// Starts a read into the free capacity of `buffer`, behind its content. The buffer comes back with
    /// [`Stream::filled`]. A second read is not started while one is in flight: then the buffer is handed back.
    pub fn arm(&mut self, buffer: Vec<u8>) -> Result<(), Vec<u8>> {
        match &mut self.inner {
            Inner::Plain(wire) => wire.arm(buffer),
            Inner::Tls(session) => session.arm(buffer),
        }
    }

    /// The same for a read that may be long in coming, which [`Stream::rest`] can exchange.
    pub fn arm_to_rest(&mut self, buffer: Vec<u8>) -> Result<(), Vec<u8>> {
        match &mut self.inner {
            Inner::Plain(wire) => wire.arm_to_rest(buffer),
            Inner::Tls(session) => session.arm(buffer),
        }
    }

    /// Nothing has come for a while: a large buffer of a read armed by [`Stream::arm_to_rest`] is exchanged for one of
    /// 4 KiB. Nothing that comes is lost by it.
    pub fn rest(&mut self) {
        match &mut self.inner {
            Inner::Plain(wire) => wire.rest(),
            Inner::Tls(session) => session.rest(),
        }
    }

    /// Whether a read is in flight, or has ended and was not taken.
    pub fn is_armed(&self) -> bool {
        match &self.inner {
            Inner::Plain(wire) => wire.is_armed(),
            Inner::Tls(session) => session.is_armed(),
        }
    }

    /// Waits for the armed read. Dropping this future leaves the read in flight.
    pub async fn filled(&mut self) -> Filled {
        poll_fn(|context| self.poll_filled(context)).await
    }

    /// [`Stream::filled`] as a poll. Without an armed read this is an error, never a wait. 0 bytes are the peer's orderly
    /// end; a TLS connection that ends without it is the error `UnexpectedEof`.
    pub fn poll_filled(&mut self, context: &mut Context<'_>) -> Poll<Filled> {
        match &mut self.inner {
            Inner::Plain(wire) => wire.poll_filled(context),
            Inner::Tls(session) => session.poll_filled(context),
        }
    }

    /// Writes all of `bytes`, which come back. There is no deadline. Dropped half-way, nothing more can be written.
    pub async fn write_all(&mut self, bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        match &mut self.inner {
            Inner::Plain(wire) => wire.write_all(bytes).await,
            // Boxed: it would otherwise stand in every plain connection's future too.
            Inner::Tls(session) => {
                let result = Box::pin(session.write_all(&bytes, None)).await;
                (result, bytes)
            }
        }
    }

    /// The same with a limit, by `alarm`, to the time in which the peer takes no byte, however long the whole lasts. Errors: the peer's,
    /// or `TimedOut`; the bytes are lost with them.
    pub async fn send(&mut self, bytes: Vec<u8>, stall: Duration, alarm: &mut Alarm) -> io::Result<Vec<u8>> {
        match &mut self.inner {
            Inner::Plain(wire) => wire.send(bytes, stall, alarm).await,
            Inner::Tls(session) => {
                Box::pin(session.write_all(&bytes, Some((stall, alarm)))).await?;
                Ok(bytes)
            }
        }
    }

    /// Begins to write bytes that nobody waits for. The next write waits for them; dropped, they go with the connection.
    /// Nothing happens while such are on their way already.
    pub fn say(&mut self, bytes: &[u8]) {
        match &mut self.inner {
            Inner::Plain(wire) => wire.say(bytes.to_vec()),
            Inner::Tls(session) => session.say(bytes),
        }
    }

    /// Whether the peer refuses what was written, having closed altogether and not its sending side alone. It answers so
    /// when something reaches it, and not before.
    pub async fn is_refused(&mut self) -> bool {
        self.wire().is_refused().await
    }

    /// Starts a write that stays in flight as a read does, so that an answer may come before all is taken. It goes on while
    /// [`Stream::poll_written`] is polled, and ends with its connection. Errors: nothing can be written.
    pub fn start_write(&mut self, portion: Portion) -> io::Result<()> {
        match &mut self.inner {
            Inner::Plain(wire) => wire.start_write(portion),
            Inner::Tls(session) => session.start_write(portion),
        }
    }

    /// Goes on with the started write. Ready when all is written, or nothing more can be. Without one this is an error,
    /// never a wait.
    pub fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Plain(wire) => wire.poll_written(context),
            Inner::Tls(session) => session.poll_written(context),
        }
    }

    /// Ends the sending side; the peer reads an end of file. On TLS it is told so first, which waits while the peer takes
    /// nothing: the caller sets a deadline.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        match &mut self.inner {
            Inner::Plain(wire) => wire.shutdown().await,
            Inner::Tls(session) => Box::pin(session.shutdown()).await,
        }
    }

    /// Whether an idle connection, its next read armed, is still open and silent. What is not (closed, or bytes that
    /// nobody asked for) must not carry another request. What TLS says to itself is not counted.
    pub fn is_quiet(&mut self) -> bool {
        self.wire().begin_turn();
        let is_pending = self.poll_filled(&mut Context::from_waker(Waker::noop())).is_pending();
        is_pending && !self.wire().is_turn_over()
    }

    pub(super) fn wire(&mut self) -> &mut Wire {
        match &mut self.inner {
            Inner::Plain(wire) => wire,
            Inner::Tls(session) => session.wire(),
        }
    }
}

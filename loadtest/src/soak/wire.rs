//! A connection as a peer that may misbehave holds it: plain or TLS, with a deadline on every read, and the ways to leave
//! it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

/// Longest single wait for a peer; what takes longer is the test's to notice.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// How a peer leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Closes, as a process that ends does.
    Close,
    /// Resets (`SO_LINGER` 0).
    Reset,
    /// Ends the sending side, reads for a moment, then closes.
    HalfClose,
}

/// All ways.
pub const LEAVES: [Leave; 3] = [Leave::Close, Leave::Reset, Leave::HalfClose];

/// One end of a connection; closes when dropped.
pub enum Wire {
    /// TCP.
    Plain(TcpStream),
    /// TLS, as the one who connected.
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// TLS, as the one who accepted.
    Server(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    /// Connects; with `tls` the handshake runs with the first bytes.
    pub fn connect(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, WAIT_MAX)?;
        settle(&stream)?;
        let Some(tls) = tls else { return Ok(Self::Plain(stream)) };
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(tls), name).map_err(io::Error::other)?;
        Ok(Self::Client(Box::new(StreamOwned::new(session, stream))))
    }

    /// What was accepted.
    pub fn accepted(stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        settle(&stream)?;
        let Some(tls) = tls else { return Ok(Self::Plain(stream)) };
        let session = ServerConnection::new(Arc::clone(tls)).map_err(io::Error::other)?;
        Ok(Self::Server(Box::new(StreamOwned::new(session, stream))))
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Client(stream) => &stream.sock,
            Self::Server(stream) => &stream.sock,
        }
    }

    /// From now on no single read or write waits longer.
    pub fn wait_at_most(&self, wait: Duration) {
        let _ = self.socket().set_read_timeout(Some(wait));
        let _ = self.socket().set_write_timeout(Some(wait));
    }

    /// Small buffers, so that not reading is soon felt by the other side.
    pub fn narrow(&self) {
        let _ = SockRef::from(self.socket()).set_recv_buffer_size(8 * 1024);
    }

    /// Ends the sending side, in order.
    pub fn end_sending(&mut self) {
        match self {
            Self::Plain(_) => {}
            Self::Client(stream) => stream.conn.send_close_notify(),
            Self::Server(stream) => stream.conn.send_close_notify(),
        }
        let _ = self.flush();
        let _ = self.socket().shutdown(Shutdown::Write);
    }

    /// Leaves in this way.
    pub fn leave(mut self, how: Leave) {
        match how {
            // Without a word of TLS either: so do processes that are killed.
            Leave::Close => {}
            Leave::Reset => drop(SockRef::from(self.socket()).set_linger(Some(Duration::ZERO))),
            Leave::HalfClose => {
                self.end_sending();
                self.wait_at_most(Duration::from_millis(300));
                let mut piece = [0; 4096];
                while matches!(self.read(&mut piece), Ok(1..)) {}
            }
        }
    }

    /// Writes all of it; `false`: the peer does not take it any more.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.write_all(bytes).and_then(|()| self.flush()).is_ok()
    }

    /// Reads until the peer closes or says nothing for the wait that was set; at most so many bytes.
    pub fn drain(&mut self, bytes_max: usize) -> Vec<u8> {
        let mut received = Vec::new();
        let mut piece = [0; 16 * 1024];
        while let Ok(count @ 1..) = self.read(&mut piece) {
            received.extend_from_slice(piece.get(..count).unwrap_or_default());
            if received.len() >= bytes_max {
                break;
            }
        }
        received
    }
}

fn settle(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(WAIT_MAX))?;
    stream.set_write_timeout(Some(WAIT_MAX))
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Client(stream) => stream.read(buffer),
            Self::Server(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Client(stream) => stream.write(bytes),
            Self::Server(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Client(stream) => stream.flush(),
            Self::Server(stream) => stream.flush(),
        }
    }
}

/// Whether the wait that was set has passed, rather than the peer closed.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

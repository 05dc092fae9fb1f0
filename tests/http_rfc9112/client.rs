//! The caller's side of a connection, plain or TLS: it sends bytes as they stand and reads until the end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use serde_json::Value;

use crate::drive::Cut;
use crate::support::node::{PATIENCE, connect};
use crate::support::tls::{BOTH, Certificates, TlsCaller};

/// How a node is spoken to.
pub(crate) enum Edge {
    /// Over TCP.
    Plain,
    /// Over TLS: the node's certificates, and a config that trusts them and resumes.
    Tls(Box<Certificates>, Arc<ClientConfig>),
}

impl Edge {
    pub(crate) fn plain() -> Self {
        Self::Plain
    }

    pub(crate) fn tls() -> Self {
        let certificates = Certificates::new();
        let config = Arc::new(certificates.client_config(BOTH));
        Self::Tls(Box::new(certificates), config)
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls(..) => "TLS",
        }
    }

    /// The value of `server.tls`.
    pub(crate) fn server_tls(&self) -> Option<Value> {
        match self {
            Self::Plain => None,
            Self::Tls(certificates, _) => Some(certificates.server_tls()),
        }
    }

    /// How a case is sent here, of the places where it may be cut.
    pub(crate) fn cuts(&self, bytes: &[u8], places: Vec<usize>) -> Vec<Cut> {
        let is_cut_everywhere = places.len() == bytes.len();
        let step = match self {
            Self::Tls(..) if is_cut_everywhere => return vec![Cut::Whole, Cut::Everywhere],
            // Two megabytes take their time.
            Self::Tls(..) => 4,
            Self::Plain => 1,
        };
        std::iter::once(Cut::Whole).chain(places.into_iter().step_by(step).map(Cut::Behind)).collect()
    }

    pub(crate) fn connect(&self, node: SocketAddr) -> Client {
        let stream = connect(node);
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        match self {
            Self::Plain => Client::Plain(stream),
            Self::Tls(_, config) => {
                Client::Tls(Box::new(TlsCaller::over(stream, Arc::clone(config)).unwrap()))
            }
        }
    }
}

/// One connection.
pub(crate) enum Client {
    Plain(TcpStream),
    Tls(Box<TlsCaller>),
}

impl Client {
    /// Sends as far as the node takes it: one that has closed is judged by what it said.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = match self {
            Self::Plain(stream) => stream.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes),
        };
    }

    /// The same, each byte in a segment, or in a record, of its own.
    pub(crate) fn send_bytewise(&mut self, bytes: &[u8]) {
        bytes.chunks(1).for_each(|byte| self.send(byte));
    }

    /// Ends the sending side; over TLS with a word of TLS before.
    pub(crate) fn end(&mut self) {
        if let Self::Tls(stream) = self {
            stream.close_notify();
        }
        let _ = self.socket().shutdown(Shutdown::Write);
    }

    /// The next bytes, so many.
    pub(crate) fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        match self {
            Self::Plain(stream) => stream.read_exact(&mut bytes).unwrap(),
            Self::Tls(stream) => stream.read_exact(&mut bytes).unwrap(),
        }
        bytes
    }

    /// The next bytes, up to and with these.
    pub(crate) fn read_until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end) {
            bytes.extend(self.read_exactly(1));
        }
        bytes
    }

    /// What came until the end, and how it ended. An end without a word of TLS is an error. The connection is then ended
    /// with a reset, so that a few thousand of them leave nothing behind.
    pub(crate) fn read_to_end(mut self) -> (Vec<u8>, io::Result<()>) {
        let mut bytes = Vec::new();
        let end = match &mut self {
            Self::Plain(stream) => stream.read_to_end(&mut bytes),
            Self::Tls(stream) => stream.read_to_end(&mut bytes),
        };
        let end = match end {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let had = bytes.escape_ascii();
                Err(io::Error::new(ErrorKind::TimedOut, format!("nothing for {PATIENCE:?}, behind {had}")))
            }
            other => other.map(drop),
        };
        let _ = socket2::SockRef::from(self.socket()).set_linger(Some(Duration::ZERO));
        (bytes, end)
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.socket(),
        }
    }
}

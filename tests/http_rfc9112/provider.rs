//! A provider that plays one script at a time, plain or TLS, and tells on which connections it was asked.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::case::{Ending, letter_and_run};
use crate::drive::{Cut, pause};
use crate::support::node::PATIENCE;
use crate::support::tls::Certificates;

/// Between two pieces of an answer, so that they are read apart; no verdict hangs on it.
const APART: Duration = Duration::from_millis(2);

/// How providers are spoken to.
pub(crate) enum Wire {
    /// Over TCP.
    Plain,
    /// Over TLS, with these certificates.
    Tls(Box<Certificates>),
}

impl Wire {
    pub(crate) fn plain() -> Self {
        Self::Plain
    }

    pub(crate) fn tls() -> Self {
        Self::Tls(Box::new(Certificates::new()))
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls(_) => "TLS",
        }
    }

    pub(crate) fn scheme(&self) -> &'static str {
        match self {
            Self::Plain => "http",
            Self::Tls(_) => "https",
        }
    }

    /// The authority that the gateway must trust, PEM.
    pub(crate) fn ca(&self) -> Option<&str> {
        match self {
            Self::Plain => None,
            Self::Tls(certificates) => Some(&certificates.ca),
        }
    }

    /// How a case is sent here, of the places where it may be cut.
    pub(crate) fn cuts(&self, bytes: &[u8], places: Vec<usize>) -> Vec<Cut> {
        let is_cut_everywhere = places.len() == bytes.len() && !bytes.is_empty();
        let in_two = places.into_iter().filter(|place| *place < bytes.len()).map(Cut::Behind);
        match self {
            Self::Tls(_) if is_cut_everywhere => vec![Cut::Whole, Cut::Everywhere],
            _ => std::iter::once(Cut::Whole).chain(in_two).collect(),
        }
    }

    fn server_config(&self) -> Option<Arc<ServerConfig>> {
        match self {
            Self::Plain => None,
            Self::Tls(certificates) => Some(Arc::new(certificates.server_config(&certificates.server))),
        }
    }
}

/// What is sent to the next request.
#[derive(Clone, Default)]
pub(crate) struct Script {
    /// Sent one after the other.
    pub(crate) pieces: Vec<Vec<u8>>,
    /// What becomes of the connection.
    pub(crate) ending: Option<Ending>,
}

/// A listening provider.
pub(crate) struct Provider {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    script: Arc<Mutex<Script>>,
    /// Run and connection of each request that was answered.
    asked: mpsc::Receiver<(usize, usize)>,
    stops: Arc<AtomicBool>,
}

impl Provider {
    pub(crate) fn start(wire: &Wire) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (script, stops) = (Arc::new(Mutex::new(Script::default())), Arc::new(AtomicBool::new(false)));
        let (sender, asked) = mpsc::channel();
        let (playing, stopped, config) = (Arc::clone(&script), Arc::clone(&stops), wire.server_config());
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().map_while(Result::ok).enumerate() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                stream.set_nodelay(true).unwrap();
                stream.set_write_timeout(Some(PATIENCE)).unwrap();
                let (playing, sender, config) = (Arc::clone(&playing), sender.clone(), config.clone());
                std::thread::spawn(move || {
                    let Ok(mut line) = Line::over(stream, config) else { return };
                    while let Some(run) = line.receive() {
                        let script = playing.lock().unwrap().clone();
                        let goes_on = line.play(&script);
                        let _ = sender.send((run, connection));
                        if !goes_on {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, script, asked, stops }
    }

    /// What the next request gets.
    pub(crate) fn play(&self, script: Script) {
        *self.script.lock().unwrap() = script;
    }

    /// The connections that brought this run's request, in order: two, when it was sent again. Waits until the answer has
    /// left, all of it. Empty: nobody asked.
    pub(crate) fn asked(&self, run: usize) -> Vec<usize> {
        let mut connections = Vec::new();
        while connections.is_empty() {
            match self.asked.recv_timeout(PATIENCE) {
                Ok((of, connection)) if of == run => connections.push(connection),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        connections
            .extend(self.asked.try_iter().filter(|(of, _)| *of == run).map(|(_, connection)| connection));
        connections
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// One connection.
enum Line {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Line {
    fn over(mut stream: TcpStream, config: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        let Some(config) = config else { return Ok(Self::Plain(stream)) };
        let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(session, stream))))
    }

    /// The run of the next request; `None`: the gateway closed.
    fn receive(&mut self) -> Option<usize> {
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        loop {
            // A request ends with its body, and no body of ours is like another's beginning.
            let body = bytes.len().checked_sub(32).and_then(|start| letter_and_run(&bytes[start..]));
            if let Some((_, run)) = body {
                return Some(run);
            }
            let count = match self {
                Self::Plain(stream) => stream.read(&mut piece),
                Self::Tls(stream) => stream.read(&mut piece),
            };
            match count {
                Ok(count @ 1..) => bytes.extend_from_slice(&piece[..count]),
                _ => return None,
            }
        }
    }

    /// Sends the answer; whether the connection goes on. That the gateway takes no more does not matter.
    fn play(&mut self, script: &Script) -> bool {
        for (index, piece) in script.pieces.iter().enumerate() {
            if index == 1 {
                pause(APART);
            }
            let sent = match self {
                Self::Plain(stream) => stream.write_all(piece),
                Self::Tls(stream) => stream.write_all(piece).and_then(|()| stream.flush()),
            };
            if sent.is_err() {
                break;
            }
        }
        match script.ending {
            None => return true,
            Some(Ending::Close) => self.close(),
            Some(Ending::Reset) => {
                let _ = socket2::SockRef::from(self.socket()).set_linger(Some(Duration::ZERO));
            }
        }
        false
    }

    fn close(&mut self) {
        if let Self::Tls(stream) = self {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        let _ = self.socket().shutdown(Shutdown::Write);
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

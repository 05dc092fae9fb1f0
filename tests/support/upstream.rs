//! A provider under a test's control, as raw bytes: a thread for each connection runs the test's script and notes
//! exactly what arrived. It speaks no dialect and forgives nothing; the mock provider (`loadtest/`) is the one that does.

#![allow(clippy::disallowed_types, reason = "threads of a test share what they saw")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::node::{PATIENCE, eventually};

/// A condition that one thread opens and others wait for.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<usize>, Condvar)>);

impl Gate {
    /// Lets one more through.
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() += 1;
        self.0.1.notify_all();
    }

    /// Waits to be let through, once for each `open`. `false`: the test is over, or too slow.
    pub(crate) fn pass(&self) -> bool {
        let opened = self.0.0.lock().unwrap();
        let waited = self.0.1.wait_timeout_while(opened, PATIENCE, |opened| *opened == 0);
        let (mut opened, _) = waited.unwrap();
        let passes = *opened > 0;
        *opened -= usize::from(passes);
        passes
    }
}

/// One request as it arrived, to the byte.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Which connection brought it, from 0.
    pub(crate) connection: usize,
    /// Request line, fields and the empty line.
    pub(crate) head: String,
    /// Exactly the bytes that `content-length` announced.
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// Every value of a field, any case.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// The only value of a field.
    pub(crate) fn value(&self, name: &str) -> &str {
        let values = self.values(name);
        assert_eq!(values.len(), 1, "{name} in {}", self.head);
        values[0]
    }

    /// Names of all fields in lower case, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.map(|(name, _)| name.to_ascii_lowercase()).collect()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Received>>,
    /// Bytes that were no whole request when their connection ended.
    scraps: Mutex<Vec<Vec<u8>>>,
    accepted: AtomicUsize,
    ended: AtomicUsize,
    stops: AtomicBool,
}

/// A listening provider; its connections end with it.
pub(crate) struct Upstream {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
}

impl Upstream {
    /// Runs `script` for each connection on a thread of its own; the connection closes when the script returns.
    pub(crate) fn start(script: impl Fn(&mut Line) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, script) = (Arc::new(Seen::default()), Arc::new(script));
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.stops.load(Ordering::SeqCst) {
                    return;
                }
                let connection = shared.accepted.fetch_add(1, Ordering::SeqCst);
                let mut line = Line::new(stream, connection, Arc::clone(&shared));
                let script = Arc::clone(&script);
                std::thread::spawn(move || script(&mut line));
            }
        });
        Self { address, seen }
    }

    /// Answers every request with these bytes and keeps the connection.
    pub(crate) fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |line| {
            while line.receive().is_some() {
                line.send(&answer);
            }
        })
    }

    /// Every request so far, in the order in which they were whole.
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.seen.requests.lock().unwrap().clone()
    }

    /// Waits for the request of this number, from 0.
    pub(crate) fn request(&self, number: usize) -> Received {
        eventually("a request reaches the provider", || self.requests().get(number).cloned())
    }

    /// The newest request.
    pub(crate) fn last(&self) -> Received {
        self.requests().pop().unwrap()
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.seen.accepted.load(Ordering::SeqCst)
    }

    /// Connections whose script has ended.
    pub(crate) fn ended(&self) -> usize {
        self.seen.ended.load(Ordering::SeqCst)
    }

    /// What arrived and never became a whole request.
    pub(crate) fn scraps(&self) -> Vec<Vec<u8>> {
        self.seen.scraps.lock().unwrap().clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.seen.stops.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// The provider's end of one connection.
pub(crate) struct Line {
    /// `None`: it was reset.
    stream: Option<TcpStream>,
    inbox: Vec<u8>,
    /// Its number, from 0.
    pub(crate) number: usize,
    seen: Arc<Seen>,
}

impl Line {
    fn new(stream: TcpStream, number: usize, seen: Arc<Seen>) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream: Some(stream), inbox: Vec::new(), number, seen }
    }

    /// The next whole request; `None`: the peer closed, or the test is over.
    pub(crate) fn receive(&mut self) -> Option<Received> {
        loop {
            if let Some((head, body)) = self.split() {
                let received = Received { connection: self.number, head, body };
                self.seen.requests.lock().unwrap().push(received.clone());
                return Some(received);
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Waits for a head and leaves its body unread; `false`: the peer closed.
    pub(crate) fn receive_head(&mut self) -> bool {
        while !self.inbox.windows(4).any(|four| four == b"\r\n\r\n") {
            if !self.fill() {
                return false;
            }
        }
        true
    }

    /// Moves what has come behind `bytes`, waiting for more; `false`: the peer closed.
    pub(crate) fn take_into(&mut self, bytes: &mut Vec<u8>) -> bool {
        let goes_on = self.fill();
        bytes.append(&mut self.inbox);
        goes_on
    }

    /// Sends bytes; a peer that has gone does not matter.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.as_mut().map(|stream| stream.write_all(bytes.as_ref()));
    }

    /// Says nothing until the peer closes; how long that took.
    pub(crate) fn silence(&mut self) -> Duration {
        let began = Instant::now();
        while self.fill() {}
        began.elapsed()
    }

    /// Ends the connection at once with a reset.
    pub(crate) fn reset(&mut self) {
        if let Some(stream) = self.stream.take() {
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }

    /// Ends the connection in order.
    pub(crate) fn close(&mut self) {
        let _ = self.stream.as_ref().map(|stream| stream.shutdown(Shutdown::Write));
    }

    /// Reads once more; `false`: the peer closed, or the test is over.
    fn fill(&mut self) -> bool {
        let mut piece = [0; 64 * 1024];
        let Some(stream) = &mut self.stream else { return false };
        loop {
            match stream.read(&mut piece) {
                Ok(0) => return false,
                Ok(count) => {
                    self.inbox.extend_from_slice(&piece[..count]);
                    return true;
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if self.seen.stops.load(Ordering::SeqCst) {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
    }

    fn split(&mut self) -> Option<(String, Vec<u8>)> {
        let end = self.inbox.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(self.inbox[..end].to_vec()).unwrap();
        let length = head.lines().filter_map(|line| line.split_once(": "));
        let length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length: usize = length.map(|(_, value)| value.parse().unwrap()).next().unwrap_or(0);
        if self.inbox.len() < end + length {
            return None;
        }
        let body = self.inbox[end..end + length].to_vec();
        self.inbox.drain(..end + length);
        Some((head, body))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.inbox.is_empty() {
            self.seen.scraps.lock().unwrap().push(std::mem::take(&mut self.inbox));
        }
        let _ = self.stream.as_ref().map(|stream| stream.shutdown(Shutdown::Both));
        self.seen.ended.fetch_add(1, Ordering::SeqCst);
    }
}

//! A caller as raw bytes: what it sends it sends as it stands, what it reads it can take apart without trust.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::node::{Node, PATIENCE};

/// One answer as it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line, fields and the empty line.
    pub(crate) head: String,
    /// The body without its framing.
    pub(crate) body: Vec<u8>,
    /// Whether the body's framing came to its end; one that ends by closing always does.
    pub(crate) is_whole: bool,
}

impl Answer {
    /// A field's value, any case.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let mut values = fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let value = values.next();
        assert_eq!(values.next(), None, "{name} stands twice: {}", self.head);
        value
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The error's code, whatever the shape has of one.
    pub(crate) fn code(&self) -> String {
        let body = self.json();
        body["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// A connection to a node.
pub(crate) struct Caller {
    stream: TcpStream,
    inbox: Vec<u8>,
}

impl Caller {
    pub(crate) fn new(node: &Node) -> Self {
        Self::on(node.connect())
    }

    /// On a connection with a deadline on reads.
    pub(crate) fn on(stream: TcpStream) -> Self {
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, inbox: Vec::new() }
    }

    /// Sends bytes as they stand.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends as far as the node takes it.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// A second handle to send by, for another thread.
    pub(crate) fn sender(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// POSTs and reads the answer.
    pub(crate) fn post(&mut self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.send(request(path, "", body));
        self.answer()
    }

    /// GETs and reads the answer.
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"));
        self.answer()
    }

    /// Reads until these bytes are there; what was read stays to be read.
    pub(crate) fn until(&mut self, wanted: impl AsRef<[u8]>) {
        let wanted = wanted.as_ref();
        while !self.inbox.windows(wanted.len()).any(|window| window == wanted) {
            let before = self.inbox.len();
            assert!(
                self.fill() && self.inbox.len() > before,
                "{} did not come in {}",
                wanted.escape_ascii(),
                self.inbox.escape_ascii()
            );
        }
    }

    /// Reads until so many bytes are there; they stay to be read.
    pub(crate) fn until_length(&mut self, bytes: usize) {
        while self.inbox.len() < bytes {
            assert!(self.fill(), "closed after {} bytes", self.inbox.len());
        }
    }

    /// Reads until these bytes are there, and takes everything up to their end.
    pub(crate) fn take_until(&mut self, wanted: &str) {
        self.until(wanted);
        let end = self.inbox.windows(wanted.len()).position(|window| window == wanted.as_bytes()).unwrap();
        self.inbox.drain(..end + wanted.len());
    }

    /// Reads and drops a chunked answer, which may be endless while this runs; its bytes.
    pub(crate) fn rest_of_answer(&mut self) -> usize {
        let mut bytes = 0;
        while !self.inbox.ends_with(b"\r\n0\r\n\r\n") {
            let behind = self.inbox.len().saturating_sub(16);
            bytes += behind;
            self.inbox.drain(..behind);
            assert!(self.fill(), "it ends in its midst");
        }
        bytes
    }

    /// Reads and drops so many bytes; how many came.
    pub(crate) fn discard(&mut self, bytes: usize) -> usize {
        let mut count = self.inbox.len();
        while count < bytes {
            self.inbox.clear();
            assert!(self.fill(), "closed after {count} bytes");
            count += self.inbox.len();
        }
        self.inbox.clear();
        count
    }

    /// The next answer that is not an interim one.
    pub(crate) fn answer(&mut self) -> Answer {
        self.answer_to(false)
    }

    /// The same; `to_head`: no body follows whatever its fields say.
    pub(crate) fn answer_to(&mut self, to_head: bool) -> Answer {
        self.until("\r\n\r\n");
        let end = self.inbox.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(self.inbox.drain(..end).collect()).unwrap();
        let status = head[9..12].parse().unwrap();
        if status == 100 {
            return self.answer_to(to_head);
        }
        let mut answer = Answer { status, head, body: Vec::new(), is_whole: true };
        let length = answer.value("content-length").map(|length| length.parse::<usize>().unwrap());
        match (length, answer.value("transfer-encoding")) {
            _ if to_head => {}
            (Some(length), None) => {
                while self.inbox.len() < length && self.fill() {}
                answer.is_whole = self.inbox.len() >= length;
                let length = length.min(self.inbox.len());
                answer.body = self.inbox.drain(..length).collect();
            }
            (None, Some("chunked")) => answer.is_whole = self.chunks(&mut answer.body),
            (None, None) => {
                while self.fill() {}
                answer.body = std::mem::take(&mut self.inbox);
            }
            framing => panic!("{framing:?}: {}", answer.head),
        }
        answer
    }

    /// Whether the node closes (in order or not) before it sends another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.inbox.is_empty() && !self.fill()
    }

    /// Reads on until the node closes; everything that was not taken yet.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.inbox)
    }

    /// Whether nothing comes for a moment. For proving that something stays away.
    pub(crate) fn is_silent(&mut self) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(60))).unwrap();
        let mut byte = [0];
        let read = self.stream.read(&mut byte);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        self.inbox.is_empty() && matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Ends our sending side and keeps reading.
    pub(crate) fn half_close(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Closes with a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> bool {
        loop {
            while !self.inbox.windows(2).any(|two| two == b"\r\n") {
                if !self.fill() {
                    return false;
                }
            }
            let end = self.inbox.windows(2).position(|two| two == b"\r\n").unwrap();
            let size = std::str::from_utf8(&self.inbox[..end]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("chunk size {size:?}"));
            while self.inbox.len() < end + 2 + size + 2 {
                if !self.fill() {
                    body.extend_from_slice(self.inbox.get(end + 2..).unwrap_or_default());
                    return false;
                }
            }
            body.extend_from_slice(&self.inbox[end + 2..end + 2 + size]);
            assert_eq!(&self.inbox[end + 2 + size..end + 4 + size], b"\r\n");
            self.inbox.drain(..end + 4 + size);
            if size == 0 {
                return true;
            }
        }
    }

    /// Reads once more; `false`: the node closed.
    fn fill(&mut self) -> bool {
        let began = Instant::now();
        let mut piece = [0; 64 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(count) => {
                self.inbox.extend_from_slice(&piece[..count]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error} after {:?}, with {}", began.elapsed(), self.inbox.escape_ascii()),
        }
    }
}

/// The bytes of a POST of JSON; `fields` are further header lines, each with its CRLF.
pub(crate) fn request(path: &str, fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n{fields}content-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// The same with a chunked body, in chunks of this size.
pub(crate) fn chunked(path: &str, body: impl AsRef<[u8]>, size: usize) -> Vec<u8> {
    let mut bytes = format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for piece in body.as_ref().chunks(size) {
        bytes.extend(super::setup::chunk(piece));
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

//! An answer of the node's, read strictly: whoever reads leniently would not see what the node does wrong.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::tally::pause;
use super::wire::is_timeout;

/// Largest head that the node sends.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// One answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values.
    pub fields: Vec<(String, String)>,
    /// The body as far as it came, without its framing.
    pub body: Vec<u8>,
    /// The body came whole; else the connection ended in its middle.
    pub is_whole: bool,
    /// The connection serves no further request.
    pub closes: bool,
}

impl Answer {
    /// The first value of this field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The connection ended before the head was whole.
    Closed,
    /// It did not come in time.
    Late,
    /// It is no HTTP that a strict reader takes.
    Broken(String),
}

/// How fast a reader takes what comes.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Bytes at once.
    pub bytes: usize,
    /// Pause behind each read.
    pub pause: Duration,
}

/// As fast as it comes.
pub const AT_ONCE: Pace = Pace { bytes: 64 * 1024, pause: Duration::ZERO };

/// Reads one answer after another of one connection.
pub struct Reader {
    inbox: Vec<u8>,
    pace: Pace,
    deadline: Instant,
}

impl Reader {
    /// Of a connection on which nothing was read yet.
    pub fn new(pace: Pace) -> Self {
        Self { inbox: Vec::new(), pace, deadline: Instant::now() }
    }

    /// The next answer, interim ones passed over; `deadline` holds for all of it.
    pub fn next(&mut self, wire: &mut impl Read, deadline: Instant, to_head: bool) -> Result<Answer, Lost> {
        self.deadline = deadline;
        loop {
            let (mut answer, framing) = self.head(wire)?;
            if answer.status >= 200 {
                let framing = if to_head { Framing::Length(0) } else { framing };
                answer.is_whole = self.body(wire, framing, &mut answer.body)?;
                answer.closes |= framing == Framing::Close || !answer.is_whole;
                return Ok(answer);
            }
        }
    }

    fn head(&mut self, wire: &mut impl Read) -> Result<(Answer, Framing), Lost> {
        let end = loop {
            if let Some(at) = memchr::memmem::find(&self.inbox, b"\r\n\r\n") {
                break at + 4;
            }
            if self.inbox.len() > HEAD_BYTES_MAX {
                return Err(Lost::Broken("a head over 64 KiB".to_owned()));
            }
            if !self.fill(wire)? {
                return match self.inbox.is_empty() {
                    true => Err(Lost::Closed),
                    false => Err(Lost::Broken(format!("half a head: {}", self.inbox.escape_ascii()))),
                };
            }
        };
        let head: Vec<u8> = self.inbox.drain(..end).collect();
        parse(&head).map_err(|what| Lost::Broken(format!("{what}: {}", head.escape_ascii())))
    }

    /// Whether the body came whole.
    fn body(&mut self, wire: &mut impl Read, framing: Framing, body: &mut Vec<u8>) -> Result<bool, Lost> {
        match framing {
            Framing::Length(length) => self.take(wire, length, body),
            Framing::Close => {
                while self.fill(wire)? {}
                body.append(&mut self.inbox);
                Ok(true)
            }
            Framing::Chunked => loop {
                let Some(size) = self.chunk_size(wire)? else { return Ok(false) };
                if !self.take(wire, size, body)? {
                    return Ok(false);
                }
                let mut end = Vec::new();
                if !self.take(wire, 2, &mut end)? {
                    return Ok(false);
                }
                if end != b"\r\n" {
                    return Err(Lost::Broken(format!("a chunk ends in {}", end.escape_ascii())));
                }
                if size == 0 {
                    return Ok(true);
                }
            },
        }
    }

    fn chunk_size(&mut self, wire: &mut impl Read) -> Result<Option<usize>, Lost> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.inbox, b"\r\n") {
                let line: Vec<u8> = self.inbox.drain(..at + 2).collect();
                let digits = std::str::from_utf8(&line).unwrap_or_default().trim_end();
                let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                let size = usize::from_str_radix(digits, 16).ok().filter(|_| is_hex);
                return size.map(Some).ok_or_else(|| Lost::Broken(format!("a chunk of size {digits:?}")));
            }
            if self.inbox.len() > 32 {
                return Err(Lost::Broken(format!("no chunk size: {}", self.inbox.escape_ascii())));
            }
            if !self.fill(wire)? {
                return Ok(None);
            }
        }
    }

    /// Takes so many bytes; `false`: the connection ended before.
    fn take(&mut self, wire: &mut impl Read, length: usize, body: &mut Vec<u8>) -> Result<bool, Lost> {
        let mut left = length;
        loop {
            let there = left.min(self.inbox.len());
            body.extend(self.inbox.drain(..there));
            left -= there;
            if left == 0 {
                return Ok(true);
            }
            if !self.fill(wire)? {
                return Ok(false);
            }
        }
    }

    /// Reads once; `false`: the connection ended.
    fn fill(&mut self, wire: &mut impl Read) -> Result<bool, Lost> {
        if Instant::now() > self.deadline {
            return Err(Lost::Late);
        }
        let mut piece = vec![0; self.pace.bytes];
        let read = wire.read(&mut piece);
        pause(self.pace.pause);
        match read {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.inbox.extend_from_slice(piece.get(..count).unwrap_or_default());
                Ok(true)
            }
            Err(error) if is_timeout(&error) => Err(Lost::Late),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(_) => Ok(false),
        }
    }

    /// Bytes that came behind the last answer: the node must not have sent any.
    pub fn left_over(&self) -> &[u8] {
        &self.inbox
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    Close,
}

fn parse(head: &[u8]) -> Result<(Answer, Framing), &'static str> {
    let mut slots = [httparse::EMPTY_HEADER; 128];
    let mut response = httparse::Response::new(&mut slots);
    match response.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        _ => return Err("no response head"),
    }
    let lines = head.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    if !lines.clone().all(|line| line.ends_with(b"\r")) {
        return Err("a bare LF");
    }
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let fields = response.headers.iter();
    let fields: Vec<_> = fields.map(|field| (field.name.to_ascii_lowercase(), text(field.value))).collect();
    let status = response.code.unwrap_or_default();
    let values = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect()
    };
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    let framing = match (&lengths[..], &codings[..]) {
        _ if status < 200 || matches!(status, 204 | 304) => Framing::Length(0),
        ([length], []) => Framing::Length(length.parse().map_err(|_| "a length that is none")?),
        ([], ["chunked"]) if response.version == Some(1) => Framing::Chunked,
        ([], []) => Framing::Close,
        _ => return Err("framed twice"),
    };
    let closes = values("connection").iter().any(|value| value.eq_ignore_ascii_case("close"))
        || response.version == Some(0);
    Ok((Answer { status, fields, closes, ..Answer::default() }, framing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &str, to_head: bool) -> Result<Answer, Lost> {
        let deadline = Instant::now() + Duration::from_secs(10);
        Reader::new(Pace { bytes: 7, pause: Duration::ZERO }).next(&mut bytes.as_bytes(), deadline, to_head)
    }

    #[test]
    fn each_framing_is_read() {
        for (text, body, is_whole, closes) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", "ab", true, false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "ab", false, true),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "ab", true, false),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n", "ab", false, true),
            ("HTTP/1.1 200 OK\r\n\r\nab", "ab", true, true),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\nconnection: close\r\n\r\n", "", true, true),
        ] {
            let answer = read(text, false).unwrap();
            let found = (answer.body.as_slice(), answer.is_whole, answer.closes);
            assert_eq!(found, (body.as_bytes(), is_whole, closes), "{text}");
        }
        assert!(read("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", true).unwrap().is_whole);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(read("", false).unwrap_err(), Lost::Closed);
        for text in [
            "HTTP/1.1 200",
            "HTTP/1.1 200 OK\nA: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc",
        ] {
            assert!(matches!(read(text, false), Err(Lost::Broken(_))), "{text}");
        }
    }
}

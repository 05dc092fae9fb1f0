//! An answer's framing, as far as a load generator must know it: where it ends, and how many events it held.
//! Sans-IO: bytes in, progress out. It trusts its servers and checks only the status.

/// How many headers an answer may have.
const HEADERS_MAX: usize = 64;

/// Bytes of an answer's head at most.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Reads one answer after another of one connection.
#[derive(Debug, Default)]
pub struct Reader {
    state: State,
    /// The beginning of a head that has not come whole.
    head: Vec<u8>,
    /// The last byte of the body so far was a line feed.
    ends_in_line: bool,
    /// Blank lines of the body: ends of events.
    events: u64,
}

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The answer is whole; the next byte is another's.
    pub is_whole: bool,
    /// Events that ended in these bytes.
    pub events: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    /// Body bytes that are still to come.
    Length(usize),
    /// In a chunk's size line; the size so far.
    Size(usize),
    /// Behind the digits of a size line.
    Extension(usize),
    /// Bytes of the chunk, and of the line end behind it, that are still to come.
    Chunk(usize),
    /// In the trailers; bytes of the line so far.
    Trailer(usize),
    Whole,
}

impl Reader {
    /// Takes what came; an answer other than 200 is an error.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<Progress, String> {
        self.events = 0;
        while let (Some((first, rest)), true) = (bytes.split_first(), self.state != State::Whole) {
            bytes =
                match self.state {
                    State::Head => self.take_head(bytes)?,
                    State::Length(left) => self.take_body(bytes, left, 0, |left| {
                        if left == 0 { State::Whole } else { State::Length(left) }
                    }),
                    State::Chunk(left) => self.take_body(bytes, left, 2, |left| {
                        if left == 0 { State::Size(0) } else { State::Chunk(left) }
                    }),
                    State::Size(size) => {
                        self.state = after_size_byte(size, *first)?;
                        rest
                    }
                    State::Extension(size) => {
                        if *first == b'\n' {
                            self.state = if size == 0 { State::Trailer(0) } else { State::Chunk(size + 2) };
                        }
                        rest
                    }
                    State::Trailer(length) => {
                        self.state = match *first {
                            b'\r' => State::Trailer(length),
                            b'\n' if length == 0 => State::Whole,
                            b'\n' => State::Trailer(0),
                            _ => State::Trailer(length + 1),
                        };
                        rest
                    }
                    State::Whole => bytes,
                };
        }
        if !bytes.is_empty() {
            return Err(format!("{} bytes came after the answer's end", bytes.len()));
        }
        let is_whole = self.state == State::Whole;
        if is_whole {
            self.state = State::Head;
            self.ends_in_line = false;
        }
        Ok(Progress { is_whole, events: self.events })
    }

    fn take_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], String> {
        if self.head.is_empty() {
            return match framing(bytes)? {
                Some((head_bytes, state)) => {
                    self.state = state;
                    Ok(bytes.get(head_bytes..).unwrap_or_default())
                }
                None => self.keep(bytes),
            };
        }
        let known = self.head.len();
        self.keep(bytes)?;
        let Some((head_bytes, state)) = framing(&self.head)? else { return Ok(&[]) };
        self.state = state;
        self.head.clear();
        Ok(bytes.get(head_bytes.saturating_sub(known)..).unwrap_or_default())
    }

    fn keep<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], String> {
        self.head.extend_from_slice(bytes);
        if self.head.len() > HEAD_BYTES_MAX {
            return Err("the answer's head is too long".to_owned());
        }
        Ok(bytes.get(bytes.len()..).unwrap_or_default())
    }

    /// Takes up to `left` bytes, the last `uncounted` of which are framing.
    fn take_body<'a>(
        &mut self,
        bytes: &'a [u8],
        left: usize,
        uncounted: usize,
        next: impl Fn(usize) -> State,
    ) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(left.min(bytes.len()));
        let body = taken.get(..taken.len().min(left.saturating_sub(uncounted))).unwrap_or_default();
        for at in memchr::memchr_iter(b'\n', body) {
            let before = if at == 0 { self.ends_in_line } else { body.get(at - 1) == Some(&b'\n') };
            self.events += u64::from(before);
        }
        if let Some(last) = body.last() {
            self.ends_in_line = *last == b'\n';
        }
        self.state = next(left - taken.len());
        rest
    }
}

fn after_size_byte(size: usize, byte: u8) -> Result<State, String> {
    match (byte as char).to_digit(16) {
        Some(digit) => Ok(State::Size(size.saturating_mul(16).saturating_add(digit as usize))),
        None if byte == b'\r' || byte == b';' || byte == b' ' => Ok(State::Extension(size)),
        None => Err(format!("a chunk's size holds the byte {byte}")),
    }
}

fn framing(bytes: &[u8]) -> Result<Option<(usize, State)>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head_bytes = match response.parse(bytes) {
        Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("the answer's head: {error}")),
    };
    if response.code != Some(200) {
        return Err(format!("answered {:?}: {}", response.code, String::from_utf8_lossy(bytes)));
    }
    for header in response.headers.iter() {
        let value = std::str::from_utf8(header.value).unwrap_or_default();
        if header.name.eq_ignore_ascii_case("content-length") {
            let length = value.trim().parse().map_err(|_| format!("content-length: {value}"))?;
            return Ok(Some((head_bytes, if length == 0 { State::Whole } else { State::Length(length) })));
        }
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Ok(Some((head_bytes, State::Size(0))));
        }
    }
    Err("the answer has neither content-length nor transfer-encoding".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\ndata\n\n\r\na;x=y\r\nmore\n\nmore\r\n\
        2\r\n\n\n\r\n0\r\nTrailer: x\r\n\r\n";

    #[test]
    fn an_answer_cut_at_every_byte() {
        let with_length = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        for (wire, events) in [(with_length.as_slice(), 0), (CHUNKED, 3)] {
            for cut in 1..wire.len() {
                let mut reader = Reader::default();
                let first = reader.feed(&wire[..cut]).unwrap();
                let second = reader.feed(&wire[cut..]).unwrap();
                assert!(!first.is_whole && second.is_whole, "cut at {cut}");
                assert_eq!(first.events + second.events, events, "cut at {cut}");
            }
            let mut reader = Reader::default();
            assert!(reader.feed(wire).unwrap().is_whole);
            assert!(reader.feed(wire).unwrap().is_whole, "the reader takes the next answer");
        }
    }

    #[test]
    fn only_200_counts() {
        assert!(
            Reader::default()
                .feed(b"HTTP/1.1 502 Bad\r\ncontent-length: 0\r\n\r\n")
                .unwrap_err()
                .contains("502")
        );
        assert!(Reader::default().feed(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxx").is_err());
    }
}

//! Server-sent events as bytes (WHATWG HTML, "Server-sent events"): where complete events end in a growing buffer, what
//! they hold, and how one is written. Lines end in LF, CRLF or CR, mixed. What the data means is a dialect's.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memchr2_iter};

/// Incremental search for the end of the last complete event in a buffer that grows at its end and is emptied at its
/// front: `event_end <= line_start <= scanned <= bytes.len()`. Keeps offsets, never bytes, looks at each byte once.
/// The caller holds the buffer and refuses one that passes [`super::EVENT_BYTES_MAX`] without an end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Boundary {
    scanned: usize,
    line_start: usize,
    event_end: usize,
    /// The byte before `scanned` was a CR: a LF that follows belongs to it.
    after_return: bool,
}

impl Boundary {
    /// At the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at what has come since the last call; `bytes` is the whole buffer. The answer is where the last complete
    /// event ends, 0: none has. An event that ends in a CR at the buffer's very end is complete; a LF that still
    /// comes ends at 1, and [`events`] finds no event in it.
    pub fn last_end(&mut self, bytes: &[u8]) -> usize {
        let scanned = self.scanned;
        for found in memchr2_iter(b'\n', b'\r', bytes.get(scanned..).unwrap_or_default()) {
            let at = scanned + found;
            let is_return = bytes.get(at) == Some(&b'\r');
            let at_line_start = at == self.line_start;
            let ends_crlf = !is_return && self.after_return && at_line_start;
            // The LF of a CRLF belongs to the event that its CR ended, also when that one has left the buffer.
            if at_line_start && (!ends_crlf || self.event_end == at) {
                self.event_end = at + 1;
            }
            self.line_start = at + 1;
            self.after_return = is_return;
        }
        self.scanned = bytes.len();
        self.event_end
    }

    /// The caller dropped `count` bytes from the buffer's front, at most what [`Self::last_end`] said.
    pub fn consumed(&mut self, count: usize) {
        self.scanned = self.scanned.saturating_sub(count);
        self.line_start = self.line_start.saturating_sub(count);
        self.event_end = self.event_end.saturating_sub(count);
    }
}

/// One event with data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The event's type, when it names one.
    pub name: Option<&'a [u8]>,
    /// The data; several data lines are joined by LF, one is borrowed.
    pub data: Cow<'a, [u8]>,
    /// All bytes of the event as they came, its empty line included; comments and empty lines before it too.
    pub raw: &'a [u8],
}

/// The complete events in `bytes`, which begins at an event's start. Comments, `id` and `retry` are passed over, an
/// event without data is none, and so is one whose empty line is missing. A byte order mark at the start of an event is
/// passed over, which is right for the first bytes of a stream and harmless later; it is so behind each empty line, so
/// that where a stream was cut does not decide what it says.
pub fn events(bytes: &[u8]) -> Events<'_> {
    Events { rest: bytes }
}

/// Iterator of [`events`].
#[derive(Clone, Debug)]
pub struct Events<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Events<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        let start = self.rest;
        let mut name = None;
        let mut data: Option<Cow<'a, [u8]>> = None;
        let mut rest = without_mark(start);
        loop {
            let (line, behind) = split_line(rest)?;
            rest = behind;
            match split_field(line) {
                (b"", _) if line.is_empty() => {
                    if let Some(data) = data.take() {
                        self.rest = rest;
                        let raw = start.get(..start.len() - rest.len()).unwrap_or(start);
                        return Some(Event { name, data, raw });
                    }
                    name = None;
                    rest = without_mark(rest);
                }
                (b"data", value) => data = Some(append_line(data, value)),
                (b"event", value) => name = Some(value).filter(|name| !name.is_empty()),
                _ => {}
            }
        }
    }
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// A line without its end, and what is behind it; `None`: it does not end here.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr2(b'\n', b'\r', bytes)?;
    let (line, rest) = bytes.split_at_checked(end)?;
    let rest = rest.strip_prefix(b"\r\n").or_else(|| rest.get(1..))?;
    Some((line, rest))
}

/// A line's field name and value, one space behind the colon cut away.
fn split_field(line: &[u8]) -> (&[u8], &[u8]) {
    let Some((name, value)) = memchr(b':', line).and_then(|colon| line.split_at_checked(colon)) else {
        return (line, b"");
    };
    let value = value.get(1..).unwrap_or_default();
    (name, value.strip_prefix(b" ").unwrap_or(value))
}

fn append_line<'a>(data: Option<Cow<'a, [u8]>>, line: &'a [u8]) -> Cow<'a, [u8]> {
    let Some(data) = data else {
        return Cow::Borrowed(line);
    };
    let mut lines = data.into_owned();
    lines.push(b'\n');
    lines.extend_from_slice(line);
    Cow::Owned(lines)
}

/// Appends one event. Line ends inside `data` begin further data lines; `name` is ours and holds none.
pub fn write_event(out: &mut Vec<u8>, name: Option<&str>, data: &[u8]) {
    out.reserve(data.len() + 64);
    if let Some(name) = name {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    let mut rest = data;
    loop {
        let (line, behind) = split_line(rest).map_or((rest, None), |(line, behind)| (line, Some(behind)));
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
        let Some(behind) = behind else { break };
        rest = behind;
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<(Option<String>, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        events(bytes).map(|event| (event.name.map(text), text(&event.data))).collect()
    }

    /// Reads a stream piece by piece as a relay does: everything up to the last end leaves the buffer at once.
    fn read_in_pieces(pieces: &[&[u8]]) -> (Vec<(Option<String>, String)>, usize) {
        let (mut boundary, mut buffer, mut found) = (Boundary::new(), Vec::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            let end = boundary.last_end(&buffer);
            found.extend(read(&buffer[..end]));
            buffer.drain(..end);
            boundary.consumed(end);
        }
        (found, buffer.len())
    }

    /// Checks one stream whole, cut at every byte, and byte by byte; `left` bytes belong to an event not yet whole.
    fn check(stream: &str, expected: &[(Option<&str>, &str)], left: usize) {
        let owned = |(name, data): &(Option<&str>, &str)| (name.map(str::to_owned), (*data).to_owned());
        let expected: Vec<_> = expected.iter().map(owned).collect();
        let bytes = stream.as_bytes();
        assert_eq!(read(bytes), expected, "{stream:?}");
        for cut in 0..=bytes.len() {
            let (found, rest) = read_in_pieces(&[&bytes[..cut], &bytes[cut..]]);
            assert_eq!(found, expected, "{stream:?} cut at {cut}");
            assert_eq!(rest, left, "{stream:?} cut at {cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read_in_pieces(&single).0, expected, "{stream:?} byte by byte");
    }

    #[test]
    fn all_line_ends_are_read() {
        for end in ["\n", "\r\n", "\r"] {
            let stream = "event: a\ndata: 1\n\ndata: 2\n\n".replace('\n', end);
            check(&stream, &[(Some("a"), "1"), (None, "2")], 0);
        }
        check(
            "data: 1\r\n\ndata: 2\n\r\ndata: 3\r\rdata: 4\n\rdata: 5\r\n\r",
            &[(None, "1"), (None, "2"), (None, "3"), (None, "4"), (None, "5")],
            0,
        );
    }

    #[test]
    fn fields_follow_the_standard() {
        check("data:1\n\ndata:  2\n\n", &[(None, "1"), (None, " 2")], 0);
        check("data: 1\ndata: 2\ndata\n\n", &[(None, "1\n2\n")], 0);
        check("data\n\ndata:\n\n", &[(None, ""), (None, "")], 0);
        check(": comment\n\nevent: ping\n\ndata: x\n\n", &[(None, "x")], 0);
        check(
            "event: a\nevent: b\nid: 7\nretry: 1\nfoo: bar\ndata: {\"a\": \"b:c\"}\n\n",
            &[(Some("b"), "{\"a\": \"b:c\"}")],
            0,
        );
        check("event:\ndata: x\n\n", &[(None, "x")], 0);
        check("\u{feff}data: x\n\n", &[(None, "x")], 0);
        check("\n\n\r\ndata: x\n\n\n\n", &[(None, "x")], 0);
        check(": c\n\n\u{feff}data: x\n\n", &[(None, "x")], 0);
        check("Data: x\n\n data: y\n\n", &[], 0);
    }

    #[test]
    fn an_unfinished_event_is_none() {
        check("data: 1\n\ndata: 2\n", &[(None, "1")], 8);
        check("data: 1\n\ndata: 2", &[(None, "1")], 7);
        check("data: 1", &[], 7);
        check("", &[], 0);
    }

    #[test]
    fn raw_bytes_of_the_events_are_the_stream() {
        let stream = b": hi\r\n\r\nevent: a\r\ndata: 1\r\n\r\ndata: 2\n\n";
        let raw: Vec<u8> = events(stream).flat_map(|event| event.raw.to_vec()).collect();
        assert_eq!(raw, stream);
    }

    #[test]
    fn one_data_line_is_not_copied() {
        let event = events(b"data: x\n\n").next().unwrap();
        assert!(matches!(event.data, Cow::Borrowed(b"x")));
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        write_event(&mut out, Some("message_start"), b"{}");
        write_event(&mut out, None, b"a\nb\r\nc\n");
        write_event(&mut out, None, b"");
        assert!(out.starts_with(b"event: message_start\ndata: {}\n\ndata: a\n"));
        let names = |name: &str| Some(name.to_owned());
        assert_eq!(
            read(&out),
            [
                (names("message_start"), "{}".to_owned()),
                (None, "a\nb\nc\n".to_owned()),
                (None, String::new())
            ]
        );
    }
}

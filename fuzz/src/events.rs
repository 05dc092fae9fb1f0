//! Server-sent events: the same events however the stream arrives, and those that the standard's own steps give.

use corelane::http::sse::{Boundary, events, write_event};

use super::cut::cuttings;

/// Name and data of an event.
type Event = (Option<Vec<u8>>, Vec<u8>);

/// A stream of server-sent events.
pub fn event_stream(bytes: &[u8]) {
    let expected = slow(bytes);
    assert_eq!(read(bytes), expected, "read whole");
    for pieces in cuttings(bytes) {
        let lengths: Vec<usize> = pieces.iter().map(|piece| piece.len()).collect();
        assert_eq!(read_in_pieces(&pieces), expected, "arriving as {lengths:?}");
    }
    let raw: usize = events(bytes).map(|event| event.raw.len()).sum();
    assert!(raw <= bytes.len());
    write_and_read(bytes);
}

fn read(bytes: &[u8]) -> Vec<Event> {
    events(bytes).map(|event| (event.name.map(<[u8]>::to_vec), event.data.into_owned())).collect()
}

/// As a relay does: everything up to the last end leaves the buffer at once.
fn read_in_pieces(pieces: &[&[u8]]) -> Vec<Event> {
    let (mut boundary, mut buffer, mut found) = (Boundary::new(), Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let end = boundary.last_end(&buffer);
        found.extend(read(buffer.get(..end).expect("an end inside")));
        buffer.drain(..end);
        boundary.consumed(end);
    }
    assert!(read(&buffer).is_empty(), "an event was left behind");
    found
}

/// "Interpreting an event stream", step by step. A byte order mark at the start of a block is passed over, as our
/// reader does, since it cannot know which one is the stream's first.
fn slow(bytes: &[u8]) -> Vec<Event> {
    let (mut found, mut name, mut data) = (Vec::new(), None, None::<Vec<u8>>);
    let mut rest = bytes;
    let mut is_at_start = true;
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        let line = rest.get(..end).unwrap_or_default();
        let behind = rest.get(end..).unwrap_or_default();
        rest = behind.strip_prefix(b"\r\n").or(behind.get(1..)).unwrap_or_default();
        let line = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| is_at_start).unwrap_or(line);
        is_at_start = line.is_empty();
        if line.is_empty() {
            let name = std::mem::take(&mut name).filter(|name: &Vec<u8>| !name.is_empty());
            found.extend(data.take().map(|data| (name, data)));
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match line.get(..colon).unwrap_or_default() {
            b"data" => {
                let joined = data.take().map_or(value.to_vec(), |before| [&before, value].join(&b'\n'));
                data = Some(joined);
            }
            b"event" => name = Some(value.to_vec()),
            _ => {}
        }
    }
    found
}

/// Any bytes, written as an event's data, are read back with their line ends made LF.
fn write_and_read(bytes: &[u8]) {
    let mut lines = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' => lines.push(b'\n'),
            b'\n' if at > 0 && bytes.get(at - 1) == Some(&b'\r') => {}
            byte => lines.push(*byte),
        }
    }
    for name in [None, Some("message_start")] {
        let mut out = Vec::new();
        write_event(&mut out, name, bytes);
        let expected = (name.map(|name| name.as_bytes().to_vec()), lines.clone());
        assert_eq!(read(&out), [expected], "what was written is not read");
        assert_eq!(Boundary::new().last_end(&out), out.len());
    }
}

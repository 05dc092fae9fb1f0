//! An answer as the bytes that go on the wire, ready before the first is sent. No I/O, no dialect.

use bytes::Bytes;
use serde_json::Value;

use super::settings::{Framing, Script};

/// Header names and values, in the order in which they are sent.
pub type Headers<'a> = &'a [(&'a str, &'a str)];

/// The pieces of one answer and their pace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Each is sent by itself; the first begins with the head.
    pub pieces: Vec<Bytes>,
    /// Wait before the first piece, milliseconds.
    pub delay_ms: u64,
    /// Wait before each other piece, milliseconds.
    pub piece_delay_ms: u64,
    /// The connection ends after the last piece.
    pub closes: bool,
}

impl Plan {
    /// A whole JSON answer with its length, at once.
    pub fn json(status: u16, headers: Headers<'_>, body: &Value) -> Self {
        let body = body.to_string();
        let length = body.len().to_string();
        let mut wire = head(status, headers, "application/json", &[("content-length", length.as_str())]);
        wire.push_str(&body);
        Self { pieces: vec![Bytes::from(wire)], ..Self::default() }
    }

    /// A whole answer of any kind with its length, at once.
    pub fn bytes(headers: Headers<'_>, content_type: &str, body: &[u8]) -> Self {
        let length = body.len().to_string();
        let wire = head(200, headers, content_type, &[("content-length", length.as_str())]);
        Self { pieces: vec![Bytes::from([wire.as_bytes(), body].concat())], ..Self::default() }
    }

    /// A whole JSON answer, framed, delayed and cut as scripted.
    pub fn whole(headers: Headers<'_>, body: &Value, script: &Script) -> Self {
        let body = body.to_string();
        let length = body.len().to_string();
        let framing: Headers<'_> = match script.framing {
            Framing::Length => &[("content-length", length.as_str())],
            Framing::Chunked => &[("transfer-encoding", "chunked")],
            Framing::Close => &[("connection", "close")],
        };
        let mut wire = head(200, headers, "application/json", framing);
        let head_bytes = wire.len();
        match script.framing {
            Framing::Chunked => wire.push_str(&format!("{}0\r\n\r\n", chunk(&body))),
            Framing::Length | Framing::Close => wire.push_str(&body),
        }
        let mut wire = Bytes::from(wire);
        if let Some(body_bytes) = script.cut_after {
            wire.truncate(head_bytes + body_bytes);
        }
        let closes = script.cut_after.is_some() || script.framing == Framing::Close;
        Self { pieces: vec![wire], delay_ms: script.delay_ms, piece_delay_ms: 0, closes }
    }

    /// A stream of server-sent events, each one piece; the head goes with the first. An event that is content is
    /// marked so, since cutting and failing count content events only.
    pub fn events(headers: Headers<'_>, events: &[Event], script: &Script) -> Self {
        let by_close = script.framing == Framing::Close;
        let framing: Headers<'_> =
            if by_close { &[("connection", "close")] } else { &[("transfer-encoding", "chunked")] };
        let mut pieces = Vec::<String>::with_capacity(events.len());
        let mut wire = head(200, headers, "text/event-stream; charset=utf-8", framing);
        let mut content_left = script.cut_after.unwrap_or(usize::MAX);
        for event in events {
            if event.is_content && content_left == 0 {
                break;
            }
            content_left -= usize::from(event.is_content);
            wire.push_str(&if by_close { event.text.clone() } else { chunk(&event.text) });
            pieces.push(std::mem::take(&mut wire));
        }
        let is_cut = script.cut_after.is_some();
        if let (false, false, Some(last)) = (by_close, is_cut, pieces.last_mut()) {
            last.push_str("0\r\n\r\n");
        }
        let closes = by_close || is_cut;
        let pieces = pieces.into_iter().map(Bytes::from).collect();
        Self { pieces, delay_ms: script.delay_ms, piece_delay_ms: script.chunk_delay_ms, closes }
    }

    /// The same of frames, whose bytes are no text.
    pub fn frames(headers: Headers<'_>, frames: &[(&[u8], bool)], script: &Script) -> Self {
        let by_close = script.framing == Framing::Close;
        let framing: Headers<'_> =
            if by_close { &[("connection", "close")] } else { &[("transfer-encoding", "chunked")] };
        let mut wire = head(200, headers, "application/vnd.amazon.eventstream", framing).into_bytes();
        let mut pieces = Vec::with_capacity(frames.len());
        let mut content_left = script.cut_after.unwrap_or(usize::MAX);
        for (bytes, is_content) in frames {
            if *is_content && content_left == 0 {
                break;
            }
            content_left -= usize::from(*is_content);
            match by_close {
                true => wire.extend_from_slice(bytes),
                false => {
                    wire.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
                    wire.extend_from_slice(bytes);
                    wire.extend_from_slice(b"\r\n");
                }
            }
            pieces.push(std::mem::take(&mut wire));
        }
        let is_cut = script.cut_after.is_some();
        if let (false, false, Some(last)) = (by_close, is_cut, pieces.last_mut()) {
            last.extend_from_slice(b"0\r\n\r\n");
        }
        let closes = by_close || is_cut;
        let pieces = pieces.into_iter().map(Bytes::from).collect();
        Self { pieces, delay_ms: script.delay_ms, piece_delay_ms: script.chunk_delay_ms, closes }
    }

    /// The one piece of an answer that needs neither time nor a close.
    pub fn at_once(&self) -> Option<Bytes> {
        match self.pieces.as_slice() {
            [piece] if self.delay_ms == 0 && !self.closes => Some(piece.clone()),
            _ => None,
        }
    }
}

/// One server-sent event as text, its blank line included.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The lines of the event.
    pub text: String,
    /// It carries a part of the answer.
    pub is_content: bool,
}

impl Event {
    /// An event that carries a part of the answer.
    pub fn content(text: String) -> Self {
        Self { text, is_content: true }
    }

    /// An event that opens, closes or counts.
    pub fn frame(text: String) -> Self {
        Self { text, is_content: false }
    }
}

/// The first `error_after` content events and what opens them, then the error event; all events without an error.
pub fn fail_after(mut events: Vec<Event>, error_after: Option<usize>, error: Event) -> Vec<Event> {
    let Some(limit) = error_after else { return events };
    let mut content = 0;
    let end = events.iter().position(|event| {
        content += usize::from(event.is_content);
        content > limit
    });
    events.truncate(end.unwrap_or(events.len()));
    events.push(error);
    events
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn head(status: u16, headers: Headers<'_>, content_type: &str, framing: Headers<'_>) -> String {
    let reason = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|code| code.canonical_reason())
        .unwrap_or("Scripted");
    let mut text = format!("HTTP/1.1 {status} {reason}\r\ncontent-type: {content_type}\r\n");
    for (name, value) in headers.iter().chain(framing) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(plan: &Plan) -> String {
        plan.pieces.iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect()
    }

    #[test]
    fn whole_answers_in_three_framings() {
        let plan = Plan::whole(&[("x", "y")], &json!({"a":1}), &Script::default());
        assert!(plan.at_once().is_some());
        let wire = text(&plan);
        assert!(wire.starts_with("HTTP/1.1 200 OK\r\n") && wire.contains("content-length: 7\r\n"), "{wire}");
        assert!(wire.contains("x: y\r\n") && wire.ends_with("\r\n\r\n{\"a\":1}"), "{wire}");
        let script = Script { framing: Framing::Chunked, ..Script::default() };
        assert!(
            text(&Plan::whole(&[], &json!({"a":1}), &script))
                .ends_with("\r\n\r\n7\r\n{\"a\":1}\r\n0\r\n\r\n")
        );
        let script = Script { framing: Framing::Close, ..Script::default() };
        let plan = Plan::whole(&[], &json!({"a":1}), &script);
        assert!(plan.closes && plan.at_once().is_none());
    }

    #[test]
    fn a_cut_counts_bytes_or_content_events() {
        let script = Script { cut_after: Some(2), ..Script::default() };
        let plan = Plan::whole(&[], &json!({"a":1}), &script);
        assert!(plan.closes && text(&plan).ends_with("\r\n\r\n{\""));
        let events =
            [Event::frame("o\n\n".into()), Event::content("1\n\n".into()), Event::content("2\n\n".into())];
        let script = Script { cut_after: Some(1), ..Script::default() };
        let plan = Plan::events(&[], &events, &script);
        assert!(plan.closes);
        assert!(text(&plan).ends_with("3\r\no\n\n\r\n3\r\n1\n\n\r\n"), "{}", text(&plan));
        let plan = Plan::events(&[], &events, &Script::default());
        assert_eq!(plan.pieces.len(), 3);
        assert!(text(&plan).ends_with("3\r\n2\n\n\r\n0\r\n\r\n"));
    }

    #[test]
    fn a_failing_stream_ends_with_its_error() {
        let events = vec![Event::frame("o".into()), Event::content("1".into()), Event::content("2".into())];
        let failed = fail_after(events.clone(), Some(1), Event::frame("e".into()));
        assert_eq!(failed.iter().map(|event| event.text.as_str()).collect::<String>(), "o1e");
        assert_eq!(fail_after(events.clone(), None, Event::frame("e".into())), events);
    }
}

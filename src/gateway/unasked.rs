//! A stream that was asked for its usage by us and not by its caller: its events without what the asking brought, the bytes
//! else as they came. Which bytes that are, is `dialect`'s to say.

use std::borrow::Cow;

use crate::dialect::StreamObserver;
use crate::dialect::stream_usage::{self, UsageFinder};
use crate::http::offset_in;
use crate::http::sse::{Boundary, Event, events, write_event};

/// What is taken out of one stream.
pub(super) struct Unasked {
    finder: UsageFinder,
    /// The last event that was taken out ended in a CR, behind which nothing has come: a LF that follows belongs to it.
    after_return: bool,
}

impl Unasked {
    /// Of a stream that has not begun.
    pub(super) fn new() -> Self {
        Self { finder: UsageFinder::new(), after_return: false }
    }

    /// Takes whole events, shows each to `observer`, and appends what the caller gets; how many events that are.
    pub(super) fn take(
        &mut self,
        mut whole: &[u8],
        observer: &mut StreamObserver,
        text: &mut Vec<u8>,
    ) -> u64 {
        if whole.is_empty() {
            return 0;
        }
        if std::mem::take(&mut self.after_return) {
            whole = whole.strip_prefix(b"\n").unwrap_or(whole);
        }
        let (mut count, mut rest) = (0, whole);
        for event in events(whole) {
            observer.observe(event.name, &event.data);
            rest = rest.get(event.raw.len()..).unwrap_or_default();
            let passes = self.pass(&event, text);
            count += u64::from(passes);
            self.after_return = !passes && rest.is_empty() && event.raw.ends_with(b"\r");
        }
        // Comments.
        text.extend_from_slice(rest);
        count
    }

    /// What has come of an event that the stream's end leaves without its empty line.
    pub(super) fn end(&self, pending: &mut Vec<u8>, text: &mut Vec<u8>) {
        let length = pending.len();
        pending.extend_from_slice(b"\n\n");
        let event = events(pending).next().filter(|event| matches!(event.data, Cow::Borrowed(_)));
        let came = pending.get(..length).unwrap_or_default();
        match event {
            Some(event) => {
                self.pass(&Event { raw: came, ..event }, text);
            }
            None => text.extend_from_slice(came),
        }
        pending.clear();
    }

    /// Appends what is left of an event; whether that is still an event.
    fn pass(&self, event: &Event<'_>, text: &mut Vec<u8>) -> bool {
        let raw = event.raw;
        match (self.finder.find(&event.data), &event.data) {
            (stream_usage::Unasked::Nothing, _) => text.extend_from_slice(raw),
            (stream_usage::Unasked::Chunk, _) => {
                text.extend_from_slice(before(raw));
                return false;
            }
            (stream_usage::Unasked::Member(span), Cow::Borrowed(data)) => {
                let start = offset_in(raw, data);
                text.extend_from_slice(raw.get(..start + span.start).unwrap_or_default());
                text.extend_from_slice(raw.get(start + span.end..).unwrap_or_default());
            }
            // Nobody is known to cut a chunk into lines: it is written anew, its name and data alone.
            (stream_usage::Unasked::Member(span), Cow::Owned(data)) => {
                text.extend_from_slice(before(raw));
                let data =
                    [data.get(..span.start), data.get(span.end..)].map(Option::unwrap_or_default).concat();
                write_event(text, event.name.and_then(|name| std::str::from_utf8(name).ok()), &data);
            }
        }
        true
    }
}

/// What stands before an event's own lines: comments, and empty lines.
pub(super) fn before(raw: &[u8]) -> &[u8] {
    let lines =
        raw.strip_suffix(b"\r\n").or_else(|| raw.get(..raw.len().saturating_sub(1))).unwrap_or_default();
    raw.get(..Boundary::new().last_end(lines)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;

    const HELLO: &str =
        r#"data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hi, \"usage\":null}"}}]"#;
    const USAGE: &str =
        r#"data: {"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#;
    const DONE: &str = "data: [DONE]\n\n";

    /// A stream as OpenAI sends it to who asks, and to who does not.
    fn streams() -> (String, String) {
        let start = ": hello\n\n\u{feff}: again\nid: 7\nevent: x\n";
        let asked = format!(
            "{start}{HELLO},\"usage\":null}}\n\n{HELLO},\"usage\":null,\"obfuscation\":\"xy\"}}\nretry: 5\n\n: waits\n\n\n{USAGE}\n\n{DONE}: bye\n\n"
        );
        let unasked = format!(
            "{start}{HELLO}}}\n\n{HELLO},\"obfuscation\":\"xy\"}}\nretry: 5\n\n: waits\n\n\n{DONE}: bye\n\n"
        );
        (asked, unasked)
    }

    /// Reads the pieces as a relay does; the caller's bytes, and how many events they are.
    fn read(pieces: &[&[u8]]) -> (String, u64, StreamObserver) {
        let mut observer = StreamObserver::new(Dialect::OpenAi);
        let (mut unasked, mut boundary) = (Unasked::new(), Boundary::new());
        let (mut pending, mut text, mut count) = (Vec::new(), Vec::new(), 0);
        for piece in pieces {
            pending.extend_from_slice(piece);
            let end = boundary.last_end(&pending);
            count += unasked.take(&pending[..end], &mut observer, &mut text);
            pending.drain(..end);
            boundary.consumed(end);
        }
        unasked.end(&mut pending, &mut text);
        assert!(pending.is_empty());
        (String::from_utf8(text).unwrap(), count, observer)
    }

    #[test]
    fn what_the_caller_did_not_ask_for_is_taken_out_however_the_stream_is_cut() {
        for line_end in ["\n", "\r\n", "\r"] {
            let (asked, unasked) = streams();
            let (asked, unasked) = (asked.replace('\n', line_end), unasked.replace('\n', line_end));
            let check = |pieces: &[&[u8]]| {
                let (text, count, observer) = read(pieces);
                assert_eq!((text.as_str(), count), (unasked.as_str(), 3), "{pieces:?}");
                assert_eq!(observer.usage().unwrap().total_tokens, 7);
                assert!(observer.is_ended() && observer.has_content());
            };
            let bytes = asked.as_bytes();
            (0..=bytes.len()).for_each(|cut| check(&[&bytes[..cut], &bytes[cut..]]));
            check(&bytes.chunks(1).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_stream_without_usage_stays_as_it_is() {
        let (_, unasked) = streams();
        assert_eq!(read(&[unasked.as_bytes()]).0, unasked);
    }

    #[test]
    fn an_end_without_its_empty_line_is_read_all_the_same() {
        for line_end in ["", "\n", "\r\n", "\r"] {
            let (text, ..) = read(&[format!("{HELLO},\"usage\":null}}{line_end}").as_bytes()]);
            assert_eq!(text, format!("{HELLO}}}{line_end}"));
            assert_eq!(read(&[format!("{USAGE}{line_end}").as_bytes()]).0, "");
            for other in ["data: [DONE]", ": comment", "data: {\"choices\"", "data: a\ndata: b"] {
                let other = format!("{other}{line_end}");
                assert_eq!(read(&[other.as_bytes()]).0, other);
            }
        }
    }

    #[test]
    fn a_chunk_in_several_lines_stays_one_event() {
        let asked = "data: {\"choices\":[{}],\ndata: \"usage\":null}\n\ndata: {\"choices\":[],\ndata: \"usage\":{}}\n\n";
        let (text, count, _) = read(&[asked.as_bytes()]);
        assert_eq!((text.as_str(), count), ("data: {\"choices\":[{}]}\n\n", 1));
    }
}

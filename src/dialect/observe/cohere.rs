//! Events of a Cohere stream that pass through, looked at. Each says its kind; the last has the reason, the tokens, and the error
//! where there is one.

use memchr::memmem;
use serde::Deserialize;

use super::object_at;
use crate::dialect::cohere::error;
use crate::dialect::cohere::usage::WireUsage;
use crate::dialect::json::Text;
use crate::error::UpstreamError;

const USAGE: &[u8] = b"\"usage\"";

/// What one event says.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The tokens of the whole answer.
    pub(super) usage: Option<WireUsage>,
    /// Something of the answer itself.
    pub(super) has_content: bool,
    /// The last word.
    pub(super) is_end: bool,
    /// It is an error.
    pub(super) error: Option<UpstreamError>,
}

#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
}

#[derive(Deserialize)]
struct WireEnd<'a> {
    #[serde(borrow)]
    delta: Option<WireDelta<'a>>,
}

#[derive(Deserialize)]
struct WireDelta<'a> {
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    error: Option<Text<'a>>,
}

/// Looks at one event: its name, when it has one, and its data.
pub(super) fn look(name: Option<&[u8]>, data: &[u8]) -> Seen {
    let said = name.is_none().then(|| serde_json::from_slice::<WireEvent<'_>>(data).ok()).flatten();
    let kind = name.or(said.as_ref().map(|event| event.kind.0.as_bytes())).unwrap_or_default();
    match kind {
        b"content-delta" | b"tool-plan-delta" | b"tool-call-start" | b"tool-call-delta"
        | b"citation-start" => Seen { has_content: true, ..Seen::default() },
        b"message-end" => Seen {
            usage: memmem::find(data, USAGE).and_then(|at| object_at(data, at + USAGE.len())),
            is_end: true,
            error: failure(data),
            ..Seen::default()
        },
        _ => Seen::default(),
    }
}

fn failure(data: &[u8]) -> Option<UpstreamError> {
    let delta = serde_json::from_slice::<WireEnd<'_>>(data).ok()?.delta?;
    let words = delta.error.as_ref().map(|words| &*words.0);
    let reason = delta.finish_reason.as_ref().map_or("", |reason| &*reason.0);
    error::of_finish(reason, words).or_else(|| error::of_finish("ERROR", Some(words?)))
}

#[cfg(test)]
mod tests {
    use crate::dialect::{Dialect, StreamObserver};

    fn observed(events: &[(&str, &str)], is_named: bool) -> StreamObserver {
        let mut observer = StreamObserver::new(Dialect::Cohere);
        for (name, data) in events {
            observer.observe(is_named.then_some(name.as_bytes()), data.as_bytes());
        }
        observer
    }

    const START: (&str, &str) = (
        "message-start",
        r#"{"id":"i","type":"message-start","delta":{"message":{"role":"assistant","content":[]}}}"#,
    );
    const HELLO: (&str, &str) = (
        "content-delta",
        r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"Hi"}}}}"#,
    );
    const END: (&str, &str) = (
        "message-end",
        r#"{"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":1,"output_tokens":2},"tokens":{"input_tokens":70,"output_tokens":2},"cached_tokens":64}}}"#,
    );
    const FAILED: (&str, &str) =
        ("message-end", r#"{"type":"message-end","delta":{"error":"overloaded","finish_reason":"ERROR"}}"#);

    #[test]
    fn an_answer_ends_with_its_last_event() {
        for is_named in [true, false] {
            let observer = observed(&[START, HELLO], is_named);
            assert!(observer.has_content() && !observer.is_ended() && observer.usage().is_none());
            let observer = observed(&[START, HELLO, END, ("", "[DONE]")], is_named);
            assert!(observer.is_ended() && observer.error().is_none() && !observer.has_stopped());
            let usage = observer.usage().unwrap();
            assert_eq!((usage.prompt_tokens, usage.cached_read_tokens, usage.total_tokens), (70, 64, 72));
            let empty = observed(&[START, END], is_named);
            assert!(empty.is_ended() && empty.has_stopped() && !empty.has_content());
        }
    }

    #[test]
    fn an_end_by_an_error_is_one() {
        let observer = observed(&[START, FAILED], true);
        let error = observer.error().unwrap();
        assert_eq!((error.status, &*error.kind, &*error.message), (500, "ERROR", "overloaded"));
        assert!(observer.has_failed_first() && !observer.is_ended());
        assert!(!observed(&[START, HELLO, FAILED], false).has_failed_first());
        let late = ("message-end", r#"{"type":"message-end","delta":{"finish_reason":"TIMEOUT"}}"#);
        assert_eq!(observed(&[START, late], true).error().map(|error| error.status), Some(504));
    }
}

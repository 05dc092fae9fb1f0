//! Events of a Gemini stream that pass through, looked at. There is no last word: what gave a reason to stop is whole when
//! the provider's bytes end, and a later event that goes on without one, another candidate's, takes that back.

use memchr::memmem;
use serde::Deserialize;

use super::{has_top_level_error, object_at, says_any};
use crate::dialect::gemini;
use crate::dialect::json::Text;
use crate::error::UpstreamError;

const USAGE: &[u8] = b"\"usageMetadata\"";
const ERROR: &[u8] = b"\"error\"";
const CANDIDATES: &[u8] = b"\"candidates\"";

/// What a part says something by (<https://ai.google.dev/api/caching#Part>), without the opening quotes.
const CONTENT: [&[u8]; 6] = [
    b"text\"",
    b"functionCall\"",
    b"inlineData\"",
    b"executableCode\"",
    b"codeExecutionResult\"",
    b"fileData\"",
];
/// Why an answer ended, and why there is none at all.
const REASONS: [&[u8]; 2] = [b"\"finishReason\"", b"\"blockReason\""];

/// What one event says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The tokens of the whole answer so far.
    pub(super) usage: Option<gemini::usage::WireUsage>,
    /// Something of the answer itself.
    pub(super) has_content: bool,
    /// Whether it gives a reason to stop; `None`: it is no step of an answer.
    pub(super) stops: Option<bool>,
    /// An error, and nothing else.
    pub(super) error: Option<UpstreamError>,
}

/// Looks at one event's data; for content only where that `is_sought`.
pub(super) fn look(data: &[u8], is_sought: bool) -> Seen {
    if memmem::find(data, ERROR).is_some() && has_top_level_error(data) {
        return Seen { error: Some(gemini::error::decode_stream(data)), ..Seen::default() };
    }
    // It stands behind the candidates, whose calls may have a member of that name.
    let usage = memmem::rfind(data, USAGE).and_then(|at| object_at(data, at + USAGE.len()));
    // Few events have one, so that only they are parsed: an argument of a call may be named so, too.
    let stops = says_any(data, &REASONS) && gives_reason(data);
    let is_step = stops || memmem::find(data, CANDIDATES).is_some();
    Seen {
        usage,
        has_content: is_sought && says_any(data, &CONTENT),
        stops: is_step.then_some(stops),
        error: None,
    }
}

#[derive(Deserialize)]
struct WireStep<'a> {
    #[serde(borrow)]
    candidates: Option<Vec<WireCandidate<'a>>>,
    #[serde(borrow, rename = "promptFeedback")]
    feedback: Option<WireFeedback<'a>>,
}

#[derive(Deserialize)]
struct WireCandidate<'a> {
    #[serde(borrow, rename = "finishReason")]
    reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireFeedback<'a> {
    #[serde(borrow, rename = "blockReason")]
    reason: Option<Text<'a>>,
}

/// Whether a candidate, or the prompt's own report, says why there is no more.
fn gives_reason(data: &[u8]) -> bool {
    let Ok(step) = serde_json::from_slice::<WireStep<'_>>(data) else { return false };
    let candidates = step.candidates.into_iter().flatten().map(|candidate| candidate.reason);
    let mut reasons = candidates.chain([step.feedback.and_then(|feedback| feedback.reason)]);
    reasons.any(|reason| reason.is_some_and(|reason| !reason.0.is_empty()))
}

#[cfg(test)]
mod tests {
    use crate::dialect::{Dialect, StreamObserver};

    fn observed(events: &[&str]) -> StreamObserver {
        let mut observer = StreamObserver::new(Dialect::Gemini);
        events.iter().for_each(|event| observer.observe(None, event.as_bytes()));
        observer
    }

    const HELLO: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":3,"totalTokenCount":3,"promptTokensDetails":[{"modality":"TEXT","tokenCount":3}]},"modelVersion":"m"}"#;
    const STOP: &str = r#"{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4,"totalTokenCount":9,"thoughtsTokenCount":2}}"#;

    #[test]
    fn an_answer_ends_with_its_reason() {
        let observer = observed(&[HELLO]);
        assert!(observer.has_content() && !observer.has_stopped() && !observer.is_ended());
        assert_eq!(observer.usage().unwrap().prompt_tokens, 3);
        let observer = observed(&[HELLO, STOP, r#"{"usageMetadata":{"promptTokenCount":3}}"#]);
        assert!(observer.is_ended() && observer.error().is_none());
        let usage = observer.usage().unwrap();
        assert_eq!((usage.completion_tokens, usage.reasoning_tokens, usage.total_tokens), (6, 2, 9));
        assert!(!observed(&[STOP, HELLO]).is_ended(), "another candidate goes on");
    }

    #[test]
    fn an_argument_that_is_named_like_a_reason_is_none() {
        for name in ["finishReason", "blockReason"] {
            let call = format!(
                r#"{{"candidates":[{{"content":{{"parts":[{{"functionCall":{{"name":"f","args":{{"{name}":"STOP"}}}}}}]}}}}]}}"#
            );
            assert!(!observed(&[&call]).is_ended(), "{name}");
            assert!(observed(&[&call, STOP]).is_ended(), "{name}");
        }
    }

    #[test]
    fn what_has_no_content_stops_all_the_same() {
        let blocked = observed(&[r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#]);
        assert!(blocked.has_stopped() && blocked.is_ended() && !blocked.has_content());
        let empty = observed(&[r#"{"candidates":[{"finishReason":"MAX_TOKENS","index":0}]}"#]);
        assert!(empty.has_stopped() && empty.is_ended() && !empty.has_content());
        let silent =
            observed(&[r#"{"candidates":[{"content":{"parts":[{"text":""}]}}]}"#, "{}", "[DONE]", ""]);
        assert!(!silent.has_stopped() && !silent.is_ended() && !silent.has_content());
    }

    #[test]
    fn any_part_is_content() {
        for part in [
            r#"{"functionCall":{"name":"f"}}"#,
            r#"{"text":"hm","thought":true}"#,
            r#"{"inlineData":{"mimeType":"image/png","data":"QQ=="}}"#,
            r#"{"executableCode":{"code":"1"}}"#,
        ] {
            let event = format!(r#"{{"candidates":[{{"content":{{"parts":[{part}]}}}}]}}"#);
            assert!(observed(&[&event]).has_content(), "{part}");
        }
    }

    #[test]
    fn an_error_in_the_stream_is_the_providers() {
        let error = r#"{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}"#;
        let first = observed(&[error]);
        assert!(first.has_failed_first() && !first.is_ended());
        let found = first.error().unwrap();
        assert_eq!((found.status, &*found.kind, &*found.message), (503, "UNAVAILABLE", "overloaded"));
        assert!(!observed(&[HELLO, error]).has_failed_first());
        let quoted =
            r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"error":{}}}}]}}]}"#;
        assert!(observed(&[quoted]).error().is_none());
    }
}

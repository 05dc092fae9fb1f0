//! Streams of OpenAI's Responses (<https://platform.openai.com/docs/api-reference/responses-streaming>) as they pass
//! through: each event is named, and says its name again as its `type`; the last one holds the whole response.

use memchr::{memmem, memrchr_iter};
use serde::Deserialize;

use super::{StreamObserver, USAGE, object_at, says_any, value_at};
use crate::chat::Usage;
use crate::dialect::error_body;
use crate::dialect::openai;
use crate::dialect::responses::usage::WireUsage;
use crate::error::UpstreamError;

const SEQUENCE_NUMBER: &[u8] = b"\"sequence_number\"";
/// Where in an event's data its type and its number stand, bytes; what is behind may be a whole response.
const START_BYTES: usize = 256;

/// Most members of that name that are read for the response's own: each may reach to the event's end.
const USAGES_MAX: usize = 16;

/// What is known of one stream beside what all dialects have.
#[derive(Default)]
pub(super) struct Seen {
    usage: Option<WireUsage>,
    /// The number that the next event would bear.
    next_number: u64,
}

impl Seen {
    pub(super) fn usage(&self) -> Option<Usage> {
        self.usage.map(|wire| wire.usage())
    }

    pub(super) fn next_number(&self) -> u64 {
        self.next_number
    }
}

/// The same of a response that failed, by its `error`'s words.
pub(in crate::dialect) fn status(error: &UpstreamError) -> u16 {
    match error.code.as_deref().unwrap_or_default() {
        "vector_store_timeout" => 504,
        "invalid_prompt" | "image_content_policy_violation" => 400,
        code if code.starts_with("invalid_") && code != "invalid_api_key" => 400,
        code if code.contains("image") => 400,
        _ => openai::error::status(error),
    }
}

impl StreamObserver {
    /// Looks at one event; a `stored` response that failed, and is told again, is no failure of this request.
    pub(super) fn observe_responses(&mut self, name: Option<&[u8]>, data: &[u8]) {
        let Some(kind) = name.or_else(|| kind_of(data)) else { return };
        if let Some(number) = number(data) {
            self.responses.next_number = number.saturating_add(1);
        }
        match kind {
            b"response.completed" | b"response.incomplete" | b"response.cancelled" => self.end_response(data),
            b"response.failed" => {
                self.end_response(data);
                if !self.is_stored && self.error.is_none() {
                    self.has_stopped = false;
                    self.fail(failure(response(data)));
                }
            }
            b"error" if self.error.is_none() => self.fail(failure(data)),
            _ if self.has_content => {}
            b"response.output_item.done" => self.has_content = true,
            b"response.output_item.added" => self.has_content = begins_content(data),
            _ => self.has_content = kind.ends_with(b".delta") && says_any(data, &[b"\"delta\""]),
        }
    }

    fn end_response(&mut self, data: &[u8]) {
        // The response's own usage stands behind its output, whose texts may speak of one.
        let starts = memrchr_iter(b'u', data).filter_map(|at| at.checked_sub(1));
        let usages = starts.filter(|&at| data.get(at..).is_some_and(|rest| rest.starts_with(USAGE)));
        let usage = usages.take(USAGES_MAX).find_map(|at| object_at(data, at + USAGE.len()));
        self.responses.usage = usage.or(self.responses.usage);
        self.has_stopped |= !self.has_content;
        self.is_ended = true;
    }
}

/// The event's `type` when the provider left out its name.
fn kind_of(data: &[u8]) -> Option<&[u8]> {
    const TYPE: &[u8] = b"\"type\"";
    let at = memmem::find(data.get(..START_BYTES).unwrap_or(data), TYPE)?;
    let value = value_at(data, at + TYPE.len())?.strip_prefix(b"\"")?;
    value.get(..memchr::memchr(b'"', value)?)
}

fn number(data: &[u8]) -> Option<u64> {
    let at = memmem::find(data, SEQUENCE_NUMBER)?;
    let value = value_at(data, at + SEQUENCE_NUMBER.len())?;
    let digits = value.iter().position(|byte| !byte.is_ascii_digit()).and_then(|end| value.get(..end))?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether an item's start says something: a message and a thought begin empty, a tool's call with its name.
fn begins_content(data: &[u8]) -> bool {
    const ITEM: &[u8] = b"\"item\"";
    #[derive(Deserialize)]
    struct Item<'a> {
        #[serde(borrow, rename = "type")]
        kind: std::borrow::Cow<'a, str>,
    }
    let item = memmem::find(data, ITEM).and_then(|at| object_at::<Item<'_>>(data, at + ITEM.len()));
    item.is_some_and(|item| !matches!(item.kind.as_ref(), "message" | "reasoning"))
}

/// The `response` of an event; the data itself where it has none.
fn response(data: &[u8]) -> &[u8] {
    const RESPONSE: &[u8] = b"\"response\"";
    memmem::find(data, RESPONSE).and_then(|at| value_at(data, at + RESPONSE.len())).unwrap_or(data)
}

/// The error of a response (`{"error": {"code", "message"}}`), or of an `error` event, whose members stand at its top; some
/// providers put them into an `error` there, too.
fn failure(data: &[u8]) -> UpstreamError {
    const ERROR: &[u8] = b"\"error\"";
    #[derive(Deserialize)]
    struct Words<'a> {
        #[serde(borrow, default)]
        code: Option<std::borrow::Cow<'a, str>>,
        #[serde(borrow, default)]
        message: Option<std::borrow::Cow<'a, str>>,
        #[serde(borrow, default)]
        param: Option<std::borrow::Cow<'a, str>>,
        #[serde(borrow, default, rename = "type")]
        kind: Option<std::borrow::Cow<'a, str>>,
    }
    let inner = memmem::find_iter(data, ERROR).find_map(|at| object_at::<Words<'_>>(data, at + ERROR.len()));
    let words = inner.or_else(|| crate::dialect::json::prefix::<Words<'_>>(data));
    let Some(words) = words else { return with_status(error_body::decode(500, data)) };
    let kind = words.kind.as_deref().filter(|kind| *kind != "error");
    let mut error = error_body::plain(kind.unwrap_or_default(), words.message.as_deref().unwrap_or_default());
    error.code = words.code.map(|code| crate::dialect::json::bounded(&code, 256).to_owned());
    error.param = words.param.map(|param| crate::dialect::json::bounded(&param, 256).to_owned());
    with_status(error)
}

fn with_status(mut error: UpstreamError) -> UpstreamError {
    error.status = status(&error);
    error
}

#[cfg(test)]
mod tests {
    use super::super::StreamObserver;
    use crate::dialect::Dialect;

    const CREATED: &str = r#"{"type":"response.created","sequence_number":0,"response":{"id":"r","status":"in_progress","error":null,"usage":null}}"#;
    const ADDED: &str = r#"{"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"type":"message","id":"msg_1","content":[]}}"#;
    const DELTA: &str = r#"{"type":"response.output_text.delta","sequence_number":4,"delta":"\"sequence_number\":9","item_id":"msg_1"}"#;
    const COMPLETED: &str = r#"{"type":"response.completed","sequence_number":7,"response":{"id":"r","output":[{"text":"\"usage\":{\"input_tokens\":1}"}],"usage":{"input_tokens":3,"input_tokens_details":{"cached_tokens":2},"output_tokens":4,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":7},"user":null}}"#;

    fn observed(events: &[&str]) -> StreamObserver {
        let mut observer = StreamObserver::new(Dialect::Responses);
        for event in events {
            observer.observe(None, event.as_bytes());
        }
        observer
    }

    #[test]
    fn content_begins_with_what_is_said_and_ends_with_the_response() {
        let begun = observed(&[CREATED, ADDED]);
        assert!(!begun.has_content() && !begun.has_stopped() && !begun.is_ended());
        assert_eq!(begun.next_number(), Some(3));
        let said = observed(&[CREATED, ADDED, DELTA]);
        assert!(said.has_content() && !said.is_ended());
        assert_eq!(said.next_number(), Some(5));
        let ended = observed(&[CREATED, ADDED, DELTA, COMPLETED]);
        assert!(ended.is_ended() && !ended.has_stopped() && ended.error().is_none());
        let usage = ended.usage().unwrap();
        assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), (3, 4, 7));
        assert_eq!((usage.cached_read_tokens, usage.reasoning_tokens), (2, 1));
        for event in [
            r#"{"type":"response.output_item.added","item":{"type":"function_call","name":"f","arguments":""}}"#,
            r#"{"type":"response.function_call_arguments.delta","delta":"{"}"#,
            r#"{"type":"response.reasoning_summary_text.delta","delta":"so"}"#,
            r#"{"type":"response.refusal.delta","delta":"no"}"#,
            r#"{"type":"response.output_item.done","item":{"type":"message"}}"#,
        ] {
            assert!(observed(&[CREATED, event]).has_content(), "{event}");
        }
        for event in [
            r#"{"type":"response.output_text.delta","delta":""}"#,
            r#"{"type":"response.in_progress"}"#,
            "{}",
        ] {
            assert!(!observed(&[CREATED, event]).has_content(), "{event}");
        }
        let empty =
            observed(&[CREATED, r#"{"type":"response.incomplete","response":{"output":[],"usage":null}}"#]);
        assert!(empty.has_stopped() && empty.is_ended() && empty.usage().is_none());
    }

    #[test]
    fn a_failure_has_the_status_of_its_code() {
        let failed = |event: &str| {
            let observer = observed(&[CREATED, event]);
            assert!(observer.has_failed_first(), "{event}");
            let error = observer.error().unwrap();
            (error.status, error.message.clone(), error.code.clone().unwrap_or_default())
        };
        for (code, status) in [
            ("rate_limit_exceeded", 429),
            ("server_error", 500),
            ("invalid_prompt", 400),
            ("vector_store_timeout", 504),
            ("image_too_large", 400),
        ] {
            let event = format!(
                r#"{{"type":"response.failed","response":{{"status":"failed","error":{{"code":"{code}","message":"m"}}}}}}"#
            );
            assert_eq!(failed(&event), (status, "m".into(), code.into()));
            let event = format!(
                r#"{{"type":"error","code":"{code}","message":"m","param":null,"sequence_number":1}}"#
            );
            assert_eq!(failed(&event), (status, "m".into(), code.into()));
        }
        let nested = r#"{"type":"error","sequence_number":2,"error":{"type":"invalid_request_error","code":"context_length_exceeded","message":"m","param":"input"}}"#;
        assert_eq!(failed(nested), (400, "m".into(), "context_length_exceeded".into()));
        assert_eq!(failed(r#"{"type":"error"}"#).0, 500);
        let late = observed(&[CREATED, DELTA, r#"{"type":"error","code":"server_error","message":"m"}"#]);
        assert!(late.error().is_some() && !late.has_failed_first());
    }

    #[test]
    fn a_response_of_usages_alone_is_read_in_one_breath() {
        // Each reaches to the end: 40,000 of them to the ends of all would be minutes.
        let nested = r#"{"usage":"#.repeat(40_000);
        let mut observer = observed(&[CREATED, DELTA]);
        observer.observe(Some(b"response.completed"), nested.as_bytes());
        assert!(observer.is_ended() && observer.usage().is_none());
    }

    #[test]
    fn a_stored_response_that_failed_is_told_as_it_is() {
        let mut observer = StreamObserver::of_stored();
        observer.observe(
            Some(b"response.failed"),
            br#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"m"}}}"#,
        );
        assert!(observer.error().is_none() && observer.has_stopped() && observer.is_ended());
    }
}

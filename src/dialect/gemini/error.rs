//! Errors in Google's words (<https://google.aip.dev/193>, <https://ai.google.dev/gemini-api/docs/troubleshooting>):
//! `{"error": {code, message, status, details}}`, and which HTTP status each status name stands for.

use serde_json::Value;

use crate::dialect::error_body;
use crate::dialect::json::{Array, Object, bounded};
use crate::error::{Error, UpstreamError};

/// Each HTTP status with Google's name for it (<https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto>);
/// where there are several the first is written.
const NAMES: [(u16, &str); 16] = [
    (400, "INVALID_ARGUMENT"),
    (400, "FAILED_PRECONDITION"),
    (400, "OUT_OF_RANGE"),
    (401, "UNAUTHENTICATED"),
    (403, "PERMISSION_DENIED"),
    (404, "NOT_FOUND"),
    (409, "ABORTED"),
    (409, "ALREADY_EXISTS"),
    (429, "RESOURCE_EXHAUSTED"),
    (499, "CANCELLED"),
    (500, "INTERNAL"),
    (500, "UNKNOWN"),
    (500, "DATA_LOSS"),
    (501, "UNIMPLEMENTED"),
    (503, "UNAVAILABLE"),
    (504, "DEADLINE_EXCEEDED"),
];
/// Longest name or reason kept, bytes.
const WORD_BYTES_MAX: usize = 256;
/// Largest body that is searched for a name; `error_body` reads no more either.
const BODY_BYTES_MAX: usize = 64 * 1024;

const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";

/// Google's shape. The stable code is the `reason`, a field at fault a violation, both where Google has them.
pub(in crate::dialect) fn encode(error: &Error, out: &mut Vec<u8>) {
    let upstream = error.upstream.as_deref();
    let code = upstream.and_then(|upstream| upstream.code.as_deref()).unwrap_or(error.kind.code());
    let param = upstream.map_or(error.param.as_deref(), |upstream| upstream.param.as_deref());
    let mut body = Object::begin(out);
    let mut object = Object::begin(body.field("error"));
    object.number("code", error.status().into());
    object.text("message", &error.message);
    object.text("status", name(error));
    let mut details = Array::begin(object.field("details"));
    let mut info = Object::begin(details.item());
    info.text("@type", ERROR_INFO);
    info.text("reason", code);
    if let Some(upstream) = upstream.filter(|upstream| !upstream.kind.is_empty()) {
        let mut metadata = Object::begin(info.field("metadata"));
        metadata.text("type", &upstream.kind);
        metadata.end();
    }
    info.end();
    if let Some(param) = param {
        write_violation(details.item(), param, &error.message);
    }
    details.end();
    object.end();
    body.end();
}

fn write_violation(out: &mut Vec<u8>, field: &str, description: &str) {
    let mut bad = Object::begin(out);
    bad.text("@type", BAD_REQUEST);
    let mut violations = Array::begin(bad.field("fieldViolations"));
    let mut violation = Object::begin(violations.item());
    violation.text("field", field);
    violation.text("description", description);
    violation.end();
    violations.end();
    bad.end();
}

/// A provider's error answer in neutral words: the status name is its type, the reason its code
/// (`API_KEY_INVALID` comes with 400), the first field that is violated its param.
pub(in crate::dialect) fn decode(status: u16, body: &[u8]) -> UpstreamError {
    let plain = error_body::decode(status, body);
    let json = (body.len() <= BODY_BYTES_MAX).then(|| serde_json::from_slice(body).ok()).flatten();
    json.map_or(plain.clone(), |value: Value| named(plain, &value))
}

/// The error itself, where it is a list of one: so Google answers who asked for a stream as an array.
fn first(value: &Value) -> &Value {
    value.as_array().and_then(|list| list.first()).unwrap_or(value)
}

/// The same of an event's whole data.
pub(in crate::dialect) fn decode_stream(data: &[u8]) -> UpstreamError {
    let value: Value = serde_json::from_slice(data).unwrap_or_default();
    decode_event(value.get("error").unwrap_or(&value))
}

/// How long Google asks to be left alone, seconds: its `RetryInfo` says so (<https://google.aip.dev/194>), for it sends no
/// `Retry-After`.
pub(in crate::dialect) fn retry_delay_s(body: &[u8]) -> Option<f64> {
    let json =
        (body.len() <= BODY_BYTES_MAX).then(|| serde_json::from_slice::<Value>(body).ok()).flatten()?;
    let details = first(&json).pointer("/error/details").and_then(Value::as_array)?;
    let delay = details.iter().find_map(|detail| detail.get("retryDelay")?.as_str())?;
    let seconds = delay.strip_suffix('s')?.parse::<f64>().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then_some(seconds)
}

/// What an error in the middle of a stream says; its status is the one it names.
pub(super) fn decode_event(error: &Value) -> UpstreamError {
    let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
    let said = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let status = said.filter(|code| (400..600).contains(code)).unwrap_or_else(|| status(text("status")));
    named(UpstreamError { status, ..error_body::plain("", text("message")) }, error)
}

/// The HTTP status that a status name stands for; one we have not heard of is the provider's own fault.
pub(in crate::dialect) fn status(name: &str) -> u16 {
    NAMES.iter().find(|(_, one)| *one == name).map_or(500, |(status, _)| *status)
}

fn named(mut plain: UpstreamError, value: &Value) -> UpstreamError {
    let value = first(value);
    let error = value.get("error").unwrap_or(value);
    if let Some(name) = error.get("status").and_then(Value::as_str) {
        plain.kind = word(name);
    }
    let details = || error.get("details").and_then(Value::as_array).into_iter().flatten();
    let find = |key: &str| details().find_map(|detail| detail.get(key));
    if let Some(reason) = find("reason").and_then(Value::as_str) {
        plain.code = Some(word(reason));
    }
    let violation = find("fieldViolations").and_then(Value::as_array).and_then(|list| list.first());
    if let Some(field) = violation.and_then(|violation| violation.get("field")).and_then(Value::as_str) {
        plain.param = Some(word(field));
    }
    plain
}

fn word(text: &str) -> String {
    bounded(text, WORD_BYTES_MAX).to_owned()
}

/// The provider's name when it is one of Google's, else by the status: SDKs know these only.
fn name(error: &Error) -> &'static str {
    let upstream = error.upstream.as_ref().map_or("", |upstream| &*upstream.kind);
    let status = error.status();
    let by_name = NAMES.iter().find(|(_, name)| *name == upstream);
    match by_name.or_else(|| NAMES.iter().find(|(one, _)| *one == status)) {
        Some((_, name)) => name,
        None if status == 529 => "UNAVAILABLE",
        None if status < 500 => "INVALID_ARGUMENT",
        None => "INTERNAL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn encoded(error: &Error) -> String {
        let mut out = Vec::new();
        encode(error, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn our_fault_and_a_providers() {
        let ours = Error::new(Kind::ModelNotFound, "no such model").with_param("model");
        assert_eq!(
            encoded(&ours),
            r#"{"error":{"code":400,"message":"no such model","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"model_not_found"},{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"model","description":"no such model"}]}]}}"#
        );
        for (status, kind, expected) in [
            (429, "rate_limit_error", "RESOURCE_EXHAUSTED"),
            (400, "FAILED_PRECONDITION", "FAILED_PRECONDITION"),
            (529, "overloaded_error", "UNAVAILABLE"),
            (422, "", "INVALID_ARGUMENT"),
            (502, "", "INTERNAL"),
            (504, "", "DEADLINE_EXCEEDED"),
        ] {
            let error =
                Error::upstream(UpstreamError { status, kind: kind.to_owned(), ..Default::default() });
            let body = encoded(&error);
            assert!(body.contains(&format!(r#""status":"{expected}""#)), "{body}");
            assert!(body.starts_with(&format!(r#"{{"error":{{"code":{status},"#)), "{body}");
            assert!(
                kind.is_empty() || body.contains(&format!(r#""metadata":{{"type":"{kind}"}}"#)),
                "{body}"
            );
        }
    }

    /// The body of <https://ai.google.dev/gemini-api/docs/troubleshooting>, and what streams send: the same in a list.
    #[test]
    fn googles_words_are_read() {
        const BODY: &str = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"},{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"contents","description":"x"}]}]}}"#;
        let expected = UpstreamError {
            status: 400,
            kind: "INVALID_ARGUMENT".into(),
            code: Some("API_KEY_INVALID".into()),
            message: "API key not valid.".into(),
            param: Some("contents".into()),
        };
        assert_eq!(decode(400, BODY.as_bytes()), expected);
        assert_eq!(decode(400, format!("[{BODY}]").as_bytes()), expected);
        let again = decode(400, encoded(&Error::upstream(expected.clone())).as_bytes());
        assert_eq!(again, expected);
    }

    #[test]
    fn what_is_no_error_of_googles_is_still_read() {
        for body in [&b""[..], b"null", b"[]", b"{\"error\":7}", b"<html>", b"{\"error\":{\"details\":[7]}}"]
        {
            assert_eq!(decode(503, body).status, 503);
        }
        let many = format!(r#"{{"error":{{"status":"{}"}}}}"#, "é".repeat(9_000));
        assert!(decode(500, many.as_bytes()).kind.len() <= WORD_BYTES_MAX);
    }

    #[test]
    fn a_delay_is_read_in_googles_form() {
        let body = |delay: &str| {
            format!(
                r#"{{"error":{{"details":[{{"x":1}},{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":{delay}}}]}}}}"#
            )
        };
        let delay = |text: &str| retry_delay_s(body(text).as_bytes());
        assert_eq!((delay("\"37s\""), delay("\"0.5s\"")), (Some(37.0), Some(0.5)));
        assert_eq!(retry_delay_s(format!("[{}]", body("\"2s\"")).as_bytes()), Some(2.0));
        for none in ["37", "\"37\"", "\"s\"", "\"-1s\"", "\"infs\"", "\"NaNs\"", "null"] {
            assert_eq!(delay(none), None, "{none}");
        }
        assert_eq!(retry_delay_s(b"{\"error\":{}}"), None);
    }

    #[test]
    fn a_name_stands_for_a_status() {
        assert_eq!(status("RESOURCE_EXHAUSTED"), 429);
        assert_eq!(status("DEADLINE_EXCEEDED"), 504);
        assert_eq!(status("A_NEW_ONE"), 500);
    }
}

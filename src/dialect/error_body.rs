//! A provider's error body, whatever it is, to [`UpstreamError`]: JSON of any dialect's shape, a proxy's HTML page,
//! text, nothing. Every part is bounded. Which status an error type stands for is each dialect's.

use serde_json::Value;

use super::json::bounded;
use crate::error::UpstreamError;

/// Longest message kept, bytes.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// Longest type, code or param kept, bytes.
const WORD_BYTES_MAX: usize = 256;
/// Largest body that is read as JSON; errors are small, and what is larger is quoted from its start.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Decodes the body of an error answer.
pub(super) fn decode(status: u16, body: &[u8]) -> UpstreamError {
    // Whatever else arrives as an error is no status that we may repeat.
    let status = if (400..600).contains(&status) { status } else { 502 };
    let json = (body.len() <= BODY_BYTES_MAX).then(|| serde_json::from_slice(body).ok()).flatten();
    match json {
        Some(value) => from_json(status, &value),
        None => UpstreamError { status, message: from_text(status, body), ..UpstreamError::default() },
    }
}

/// An error of its type and message, bounded; the status is the caller's to fill in.
pub(super) fn plain(kind: &str, message: &str) -> UpstreamError {
    let message = if message.is_empty() { "the provider sent an error without a message" } else { message };
    UpstreamError {
        kind: bounded(kind, WORD_BYTES_MAX).to_owned(),
        message: bounded(message, MESSAGE_BYTES_MAX).to_owned(),
        ..UpstreamError::default()
    }
}

/// `{"error": {…}}` in most dialects; also `{"error": "…"}`, `[{"error": …}]`, `{"message": …}`, `{"detail": …}`.
fn from_json(status: u16, value: &Value) -> UpstreamError {
    let value = value.as_array().and_then(|list| list.first()).unwrap_or(value);
    let error = value.get("error").filter(|error| !error.is_null()).unwrap_or(value);
    let kind = word(error.get("type")).filter(|kind| kind != "error").unwrap_or_default();
    let message = message(error).or_else(|| message(value)).unwrap_or_else(|| match error {
        Value::Null => absent(status),
        _ => bounded(&error.to_string(), MESSAGE_BYTES_MAX).to_owned(),
    });
    UpstreamError { status, kind, code: word(error.get("code")), message, param: word(error.get("param")) }
}

fn message(value: &Value) -> Option<String> {
    let text = [Some(value), value.get("message"), value.get("detail"), value.get("error")]
        .into_iter()
        .flatten()
        .find_map(Value::as_str)?;
    let text = text.trim();
    (!text.is_empty()).then(|| bounded(text, MESSAGE_BYTES_MAX).to_owned())
}

fn word(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(bounded(text, WORD_BYTES_MAX).to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn from_text(status: u16, body: &[u8]) -> String {
    let head = body.get(..MESSAGE_BYTES_MAX).unwrap_or(body);
    let text = String::from_utf8_lossy(head);
    let text = text.trim();
    if text.is_empty() {
        return absent(status);
    }
    if !text.starts_with('<') {
        let clean: String = text.chars().filter(|one| !one.is_control() || *one == '\n').collect();
        return bounded(&clean, MESSAGE_BYTES_MAX).to_owned();
    }
    match title(text) {
        Some(title) => format!("the provider answered {status} with a web page titled \"{title}\""),
        None => format!("the provider answered {status} with a web page"),
    }
}

fn title(page: &str) -> Option<&str> {
    let lower = page.to_ascii_lowercase();
    let start = lower.find("<title>")? + "<title>".len();
    let length = lower.get(start..)?.find("</title>")?;
    let title = page.get(start..)?.get(..length)?.trim();
    (!title.is_empty()).then(|| bounded(title, WORD_BYTES_MAX))
}

fn absent(status: u16) -> String {
    format!("the provider answered {status} without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shape_gives_its_words() {
        let decoded = |body: &str| decode(429, body.as_bytes());
        let full = decoded(r#"{"error":{"message":"slow","type":"tokens","param":"x","code":"rate"}}"#);
        let expected = UpstreamError {
            status: 429,
            kind: "tokens".into(),
            code: Some("rate".into()),
            message: "slow".into(),
            param: Some("x".into()),
        };
        assert_eq!(full, expected);
        let anthropic = decoded(
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow"},"request_id":"r"}"#,
        );
        assert_eq!((&*anthropic.kind, &*anthropic.message), ("rate_limit_error", "slow"));
        assert_eq!(decoded(r#"{"error":{"code":429,"message":"m"}}"#).code.as_deref(), Some("429"));
        for body in [
            r#"{"error":"slow"}"#,
            r#"{"message":"slow"}"#,
            r#"{"detail":"slow"}"#,
            r#"[{"error":{"message":"slow"}}]"#,
            r#"{"error":null,"message":" slow "}"#,
            r#""slow""#,
            "slow",
            " slow\r\n",
        ] {
            assert_eq!(decoded(body).message, "slow", "{body}");
        }
        assert_eq!(decoded(r#"{"a":1}"#).message, r#"{"a":1}"#);
    }

    #[test]
    fn garbage_is_sane_and_bounded() {
        assert_eq!(decode(200, b"").status, 502);
        for body in [&b""[..], b"  ", b"null", b"{\"error\":null}"] {
            let message = decode(503, body).message;
            assert!(message.contains("503") || message.contains("null"), "{message}");
        }
        let page = b"<!DOCTYPE html><HTML><head><Title> 502 Bad Gateway </TITLE></head>";
        assert_eq!(
            decode(502, page).message,
            "the provider answered 502 with a web page titled \"502 Bad Gateway\""
        );
        assert_eq!(decode(502, b"<html>").message, "the provider answered 502 with a web page");
        for body in [vec![0xff; 100_000], vec![b'['; 100_000], "é".repeat(50_000).into_bytes()] {
            assert!(decode(500, &body).message.len() <= MESSAGE_BYTES_MAX);
        }
        let long =
            format!(r#"{{"error":{{"message":"{}","type":"{}"}}}}"#, "é".repeat(9_000), "t".repeat(9_000));
        let long = decode(500, long.as_bytes());
        assert!(long.message.len() <= MESSAGE_BYTES_MAX && long.kind.len() <= WORD_BYTES_MAX);
    }
}

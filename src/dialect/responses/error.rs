//! Errors in the middle of a responses stream
//! (<https://platform.openai.com/docs/api-reference/responses-streaming/error>), written and read. An error before it is
//! OpenAI's as anywhere else, and `openai`'s to write.

use serde::Deserialize;

use crate::dialect::error_body;
use crate::dialect::json::{Object, Span, Text};
use crate::error::{Error, UpstreamError};

/// Appends an `error` event that has this number in its stream. Its words stand twice, as the API's document has them and
/// inside `error`, where OpenAI sends them and its SDKs look for them.
pub(in crate::dialect) fn encode_event(error: &Error, sequence_number: u64, out: &mut Vec<u8>) {
    let (kind, code, param) = match &error.upstream {
        Some(upstream) => {
            let kind = if upstream.kind.is_empty() { "server_error" } else { &*upstream.kind };
            (kind, upstream.code.as_deref().unwrap_or(error.kind.code()), upstream.param.as_deref())
        }
        None => ("server_error", error.kind.code(), error.param.as_deref()),
    };
    out.extend_from_slice(b"event: error\ndata: ");
    let mut event = Object::begin(out);
    event.text("type", "error");
    event.text("code", code);
    event.text("message", &error.message);
    event.text_or_null("param", param);
    let mut inner = Object::begin(event.field("error"));
    inner.text("type", kind);
    inner.text("code", code);
    inner.text("message", &error.message);
    inner.text_or_null("param", param);
    inner.end();
    event.number("sequence_number", sequence_number);
    event.end();
    out.extend_from_slice(b"\n\n");
}

/// What an `error` event says, its data as it came, or `error` of a response that failed.
pub(super) fn decode(data: &[u8]) -> Error {
    let mut error: UpstreamError = error_body::decode(500, data);
    if error.kind.is_empty() {
        error.kind = "server_error".to_owned();
    }
    error.status = crate::dialect::openai::error::status(&error);
    Error::upstream(error)
}

/// The error of a whole answer that failed, which comes with status 200; `None`: it did not, or is no answer at all.
pub(in crate::dialect) fn of_failed(body: &[u8]) -> Option<Error> {
    #[derive(Deserialize)]
    struct WireFailed<'a> {
        #[serde(borrow)]
        status: Option<Text<'a>>,
        #[serde(borrow)]
        error: Option<Span<'a>>,
    }
    let wire: WireFailed<'_> = serde_json::from_slice(body).ok()?;
    wire.status.filter(|status| status.0 == "failed")?;
    Some(decode(wire.error.map_or(b"null".as_slice(), |error| error.raw().0.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn an_event_says_its_words_and_number_and_reads_back() {
        let upstream = UpstreamError {
            status: 429,
            kind: "rate_limit_error".into(),
            code: Some("rate_limit_exceeded".into()),
            message: "slow \"down\"".into(),
            param: None,
        };
        let mut out = Vec::new();
        encode_event(&Error::upstream(upstream.clone()), 7, &mut out);
        let data = out.strip_prefix(b"event: error\ndata: ").unwrap();
        assert_eq!(decode(data), Error::upstream(upstream));
        let text = String::from_utf8(out.clone()).unwrap();
        assert!(
            text.starts_with(
                "event: error\ndata: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"slow \\\"down\\\"\",\"param\":null,"
            ) && text.ends_with(",\"sequence_number\":7}\n\n"),
            "{text}"
        );
        let flat =
            br#"{"type":"error","code":"server_error","message":"m","param":null,"sequence_number":1}"#;
        let error = decode(flat);
        assert_eq!((error.kind, error.status(), &*error.message), (Kind::UpstreamStatus, 500, "m"));
    }

    #[test]
    fn only_a_failed_answer_is_an_error() {
        let failed =
            of_failed(br#"{"status":"failed","error":{"code":"rate_limit_exceeded","message":"slow"}}"#);
        assert_eq!(
            failed.map(|error| (error.status(), error.message.into_owned())),
            Some((429, "slow".into()))
        );
        assert_eq!(of_failed(br#"{"status":"completed","error":null}"#), None);
        assert!(of_failed(br#"{"status":"failed","error":null}"#).is_some());
        assert_eq!(of_failed(b"x"), None);
    }
}

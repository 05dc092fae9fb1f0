//! Errors in AWS's words
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_Errors>): the body
//! `{"message"}`, the type in the header `x-amzn-errortype`, and in a stream a frame of that type. SDKs take the class of
//! what they raise from the type.

use serde_json::Value;

use crate::dialect::error_body;
use crate::dialect::event_stream::{self, Frame};
use crate::dialect::json::{Object, bounded};
use crate::error::{Error, UpstreamError};

/// Each status with its types; the first is written.
const TYPES: [(u16, &str); 19] = [
    (400, "ValidationException"),
    (400, "ServiceQuotaExceededException"),
    (403, "AccessDeniedException"),
    (403, "UnrecognizedClientException"),
    (403, "InvalidSignatureException"),
    (403, "ExpiredTokenException"),
    (403, "MissingAuthenticationTokenException"),
    (404, "ResourceNotFoundException"),
    (408, "ModelTimeoutException"),
    (409, "ConflictException"),
    (413, "RequestEntityTooLargeException"),
    (424, "ModelErrorException"),
    (424, "ModelStreamErrorException"),
    (429, "ThrottlingException"),
    (429, "ModelNotReadyException"),
    (429, "TooManyRequestsException"),
    (500, "InternalServerException"),
    (500, "InternalFailure"),
    (503, "ServiceUnavailableException"),
];

/// What a stream may say that something is, and nothing else (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html>).
const IN_STREAMS: [(u16, &str); 5] = [
    (400, "validationException"),
    (424, "modelStreamErrorException"),
    (429, "throttlingException"),
    (500, "internalServerException"),
    (503, "serviceUnavailableException"),
];

/// Longest type kept, bytes.
const WORD_BYTES_MAX: usize = 256;
/// Largest body that is searched for a type; `error_body` reads no more either.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// AWS's shape. The type stands in the body, too: some readers look nowhere else.
pub(in crate::dialect) fn encode(error: &Error, out: &mut Vec<u8>) {
    let mut body = Object::begin(out);
    body.text("__type", kind(error));
    body.text("message", &error.message);
    body.end();
}

/// The type of an error, for `x-amzn-errortype`: the provider's own when it is one of AWS's, else by the status.
pub(in crate::dialect) fn kind(error: &Error) -> &'static str {
    let upstream = error.upstream.as_ref().map_or("", |upstream| &*upstream.kind);
    let by_name = TYPES.iter().find(|(_, name)| *name == upstream);
    let status = error.status();
    match by_name.or_else(|| TYPES.iter().find(|(one, _)| *one == status)) {
        Some((_, name)) => name,
        None if status == 401 || status == 402 => "AccessDeniedException",
        None if status < 500 => "ValidationException",
        None if status == 529 => "ServiceUnavailableException",
        None => "InternalServerException",
    }
}

/// Appends the frame that says so in the middle of a stream.
pub(in crate::dialect) fn write_frame(error: &Error, out: &mut Vec<u8>) {
    let status = match error.status() {
        529 => 503,
        status @ (400..500) if !matches!(status, 408 | 424 | 429) => 400,
        408 => 424,
        status => status,
    };
    let kind =
        IN_STREAMS.iter().find(|(one, _)| *one == status).map_or("internalServerException", |(_, name)| name);
    let headers =
        [(":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")];
    event_stream::write(out, &headers, |out| {
        let mut body = Object::begin(out);
        body.text("message", &error.message);
        body.end();
    });
}

/// A provider's error answer in neutral words.
pub(in crate::dialect) fn decode(status: u16, body: &[u8]) -> UpstreamError {
    let mut plain = error_body::decode(status, body);
    let json = (body.len() <= BODY_BYTES_MAX).then(|| serde_json::from_slice::<Value>(body).ok()).flatten();
    let text = |key: &str| json.as_ref().and_then(|json| json.get(key)).and_then(Value::as_str);
    // API Gateway and the older services spell it so.
    if let Some(message) = text("Message").filter(|_| text("message").is_none()) {
        plain.message = error_body::plain("", message).message;
    }
    let said = text("__type").map_or("", bare);
    let of_status = TYPES.iter().find(|(one, _)| *one == plain.status).map_or("", |(_, name)| *name);
    plain.kind = bounded(if said.is_empty() { of_status } else { said }, WORD_BYTES_MAX).to_owned();
    plain
}

/// A type without its service and its addresses: `com.amazon.x#ValidationException:http://…`.
pub(in crate::dialect) fn bare(kind: &str) -> &str {
    let kind = kind.split(':').next().unwrap_or_default();
    kind.rsplit('#').next().unwrap_or_default().trim()
}

/// What a frame says that is no event: an exception, or an error of the transport. `None`: it is an event.
pub(in crate::dialect) fn of_frame(frame: &Frame<'_>) -> Option<UpstreamError> {
    let (kind, message) = match frame.text(":message-type") {
        Some("exception") => {
            let value: Value = serde_json::from_slice(frame.payload).unwrap_or_default();
            let said =
                ["originalMessage", "message", "Message"].iter().find_map(|key| value.get(*key)?.as_str());
            let text =
                said.map_or_else(|| String::from_utf8_lossy(frame.payload).into_owned(), str::to_owned);
            (frame.text(":exception-type"), text)
        }
        Some("error") => {
            (frame.text(":error-code"), frame.text(":error-message").unwrap_or_default().to_owned())
        }
        _ => return None,
    };
    let kind = kind.map_or("", bare);
    let named = TYPES.iter().find(|(_, name)| name.eq_ignore_ascii_case(kind));
    let (status, name) = named.map_or((500, kind), |(status, name)| (*status, *name));
    Some(UpstreamError { status, ..error_body::plain(name, &message) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn frame(headers: &[(&str, &str)], payload: &str) -> Option<UpstreamError> {
        let mut out = Vec::new();
        event_stream::write(&mut out, headers, |out| out.extend_from_slice(payload.as_bytes()));
        let read = event_stream::frames(&out).next().unwrap().unwrap();
        of_frame(&read)
    }

    #[test]
    fn exceptions_of_a_stream_have_statuses() {
        for (name, status) in [
            ("throttlingException", 429),
            ("validationException", 400),
            ("modelStreamErrorException", 424),
            ("internalServerException", 500),
            ("serviceUnavailableException", 503),
            ("modelTimeoutException", 408),
            ("someNewException", 500),
        ] {
            let headers = [(":message-type", "exception"), (":exception-type", name)];
            let error = frame(&headers, r#"{"message":"slow down"}"#).unwrap();
            assert_eq!((error.status, &*error.message), (status, "slow down"), "{name}");
            assert!(error.kind.eq_ignore_ascii_case(name));
        }
        let headers =
            [(":message-type", "error"), (":error-code", "InternalFailure"), (":error-message", "m")];
        let error = frame(&headers, "").unwrap();
        assert_eq!((error.status, &*error.kind, &*error.message), (500, "InternalFailure", "m"));
        assert_eq!(frame(&[(":message-type", "event")], ""), None);
    }

    #[test]
    fn answers_are_read_with_their_types() {
        let read = |status, body: &str| {
            let error = decode(status, body.as_bytes());
            (error.kind, error.message)
        };
        let pair = |kind: &str, message: &str| (kind.to_owned(), message.to_owned());
        assert_eq!(read(429, r#"{"message":"m"}"#), pair("ThrottlingException", "m"));
        assert_eq!(
            read(403, r#"{"__type":"com.amazon.coral#ExpiredTokenException:http://x","message":"m"}"#),
            pair("ExpiredTokenException", "m")
        );
        assert_eq!(read(403, r#"{"Message":"m"}"#), pair("AccessDeniedException", "m"));
        assert_eq!(read(418, "<html>").0, "");
    }

    #[test]
    fn what_is_written_is_of_awss_types() {
        for (status, whole, streamed) in [
            (400, "ValidationException", "validationException"),
            (401, "AccessDeniedException", "validationException"),
            (404, "ResourceNotFoundException", "validationException"),
            (429, "ThrottlingException", "throttlingException"),
            (502, "InternalServerException", "internalServerException"),
            (529, "ServiceUnavailableException", "serviceUnavailableException"),
        ] {
            let error =
                Error::upstream(UpstreamError { status, message: "m".into(), ..UpstreamError::default() });
            let (mut out, mut body) = (Vec::new(), Vec::new());
            write_frame(&error, &mut out);
            encode(&error, &mut body);
            let frame = event_stream::frames(&out).next().unwrap().unwrap();
            assert_eq!(frame.text(":exception-type"), Some(streamed));
            assert_eq!(frame.payload, br#"{"message":"m"}"#);
            assert_eq!(String::from_utf8(body).unwrap(), format!(r#"{{"__type":"{whole}","message":"m"}}"#));
        }
        assert_eq!(kind(&Error::new(Kind::NotFound, "m")), "ResourceNotFoundException");
    }
}

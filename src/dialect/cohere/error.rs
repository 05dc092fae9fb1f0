//! Errors in Cohere's words (<https://docs.cohere.com/reference/errors>): an `id` and a `message`, and in a stream an end by
//! `ERROR`. How its own are read is `error_body`'s, which knows the shape.

use crate::dialect::ErrorContext;
use crate::dialect::error_body;
use crate::dialect::json::Object;
use crate::error::{Error, UpstreamError};

/// Cohere's own shape. Who reads it has the status and the words: there is no type, code or param.
pub(in crate::dialect) fn encode(error: &Error, context: &ErrorContext<'_>, out: &mut Vec<u8>) {
    let mut body = Object::begin(out);
    if !context.request_id.is_empty() {
        body.text("id", context.request_id);
    }
    body.text("message", &error.message);
    body.end();
}

/// A stream's last event, which says that it failed
/// (<https://docs.cohere.com/reference/chat-stream#response.body.message-end>).
pub(in crate::dialect) fn encode_event(error: &Error, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: message-end\ndata: ");
    let mut event = Object::begin(out);
    event.text("type", "message-end");
    let mut delta = Object::begin(event.field("delta"));
    delta.text("error", &error.message);
    delta.text("finish_reason", "ERROR");
    delta.end();
    event.end();
    out.extend_from_slice(b"\n\n");
}

/// What an answer's `finish_reason` says went wrong, with the provider's own words for it; `None`: nothing.
pub(in crate::dialect) fn of_finish(reason: &str, words: Option<&str>) -> Option<UpstreamError> {
    let status = match reason {
        "ERROR" => 500,
        "TIMEOUT" => 504,
        _ => return None,
    };
    let words = words.filter(|words| !words.is_empty());
    let message = match words {
        Some(words) => words.to_owned(),
        None => format!("the provider's answer ended with {reason}"),
    };
    Some(UpstreamError { status, ..error_body::plain(reason, &message) })
}

//! Errors in Anthropic's words (<https://docs.anthropic.com/en/api/errors>): `{"type": "error", "error": {type,
//! message}}`, and which status each type stands for.

use crate::dialect::ErrorContext;
use crate::dialect::json::Object;
use crate::error::Error;

/// Each status with the type that Anthropic sends with it.
const TYPES: [(u16, &str); 11] = [
    (400, "invalid_request_error"),
    (401, "authentication_error"),
    (402, "billing_error"),
    (403, "permission_error"),
    (404, "not_found_error"),
    (409, "conflict_error"),
    (413, "request_too_large"),
    (429, "rate_limit_error"),
    (500, "api_error"),
    (504, "timeout_error"),
    (529, "overloaded_error"),
];

/// Anthropic's shape.
pub(in crate::dialect) fn encode(error: &Error, context: &ErrorContext<'_>, out: &mut Vec<u8>) {
    let mut body = Object::begin(out);
    body.text("type", "error");
    let mut object = Object::begin(body.field("error"));
    object.text("type", kind(error));
    object.text("message", &error.message);
    object.end();
    if !context.request_id.is_empty() {
        body.text("request_id", context.request_id);
    }
    body.end();
}

/// The status that an error type stands for in the middle of a stream.
pub(in crate::dialect) fn status(kind: &str) -> u16 {
    TYPES.iter().find(|(_, name)| *name == kind).map_or(500, |(status, _)| *status)
}

/// The provider's type when it is one of Anthropic's, else by the status: SDKs know these types only.
fn kind(error: &Error) -> &'static str {
    let upstream = error.upstream.as_ref().map_or("", |upstream| &*upstream.kind);
    let status = error.status();
    let by_name = TYPES.iter().find(|(_, name)| *name == upstream);
    match by_name.or_else(|| TYPES.iter().find(|(one, _)| *one == status)) {
        Some((_, name)) => name,
        None if status == 503 => "overloaded_error",
        None if status < 500 => "invalid_request_error",
        None => "api_error",
    }
}

//! Errors in OpenAI's words: `{"error": {message, type, param, code}}`, the same with Bifrost's facts around it on
//! `/v1/*`, and which status a stream's error stands for.

use crate::chat::Raw;
use crate::dialect::ErrorContext;
use crate::dialect::json::Object;
use crate::error::{Error, Kind, UpstreamError};

/// OpenAI's own shape.
pub(in crate::dialect) fn encode(error: &Error, out: &mut Vec<u8>) {
    let mut body = Object::begin(out);
    write_error(&mut body, error, kind(error));
    body.end();
}

/// The shape of `/v1/*`. A fault of ours from 500 up has its code as `error.type`, too, where clients look for
/// `request_timed_out` and its like.
pub(in crate::dialect) fn encode_native(error: &Error, context: &ErrorContext<'_>, out: &mut Vec<u8>) {
    let is_ours = error.upstream.is_none() && error.status() >= 499;
    let discriminator = match &error.upstream {
        Some(upstream) if !upstream.kind.is_empty() => &upstream.kind,
        _ => error.kind.code(),
    };
    let mut body = Object::begin(out);
    body.text("type", discriminator);
    body.raw("is_bifrost_error", Raw(if is_ours { "true" } else { "false" }));
    body.number("status_code", error.status().into());
    write_error(&mut body, error, if is_ours { error.kind.code() } else { kind(error) });
    let mut extra = Object::begin(body.field("extra_fields"));
    extra.text("provider", context.provider);
    extra.text("model_requested", context.model_requested);
    extra.text("request_type", context.request_type);
    extra.end();
    body.end();
}

/// The status that an error in the middle of a stream stands for: its code when that is one, else by its words.
pub(in crate::dialect) fn status(error: &UpstreamError) -> u16 {
    let code = error.code.as_deref().unwrap_or_default();
    if let Some(status) = code.parse().ok().filter(|status| (400..600).contains(status)) {
        return status;
    }
    match (&*error.kind, code) {
        ("rate_limit_error" | "rate_limit_exceeded" | "tokens" | "requests" | "insufficient_quota", _)
        | (_, "rate_limit_exceeded" | "insufficient_quota") => 429,
        ("authentication_error", _) | (_, "invalid_api_key") => 401,
        ("permission_error", _) => 403,
        ("not_found_error", _) | (_, "model_not_found") => 404,
        ("invalid_request_error", _) => 400,
        ("overloaded_error" | "service_unavailable_error", _) => 503,
        _ => 500,
    }
}

fn write_error(body: &mut Object<'_>, error: &Error, kind: &str) {
    let (code, param) = match &error.upstream {
        // Not every provider has one, and no web page has: a caller may switch on it all the same.
        Some(upstream) => (upstream.code.as_deref().unwrap_or(error.kind.code()), upstream.param.as_deref()),
        None => (error.kind.code(), error.param.as_deref()),
    };
    let mut object = Object::begin(body.field("error"));
    object.text("message", &error.message);
    object.text("type", kind);
    object.text_or_null("param", param);
    object.text("code", code);
    object.end();
}

/// The provider's own type when it sent one, whatever its dialect: OpenAI's field is free text.
fn kind(error: &Error) -> &str {
    match &error.upstream {
        Some(upstream) if !upstream.kind.is_empty() => &upstream.kind,
        _ => match (error.kind, error.status()) {
            (_, 401) => "authentication_error",
            (_, 403) => "permission_error",
            (_, 429) => "rate_limit_error",
            (Kind::ClientGone, _) | (_, 500..) => "server_error",
            _ => "invalid_request_error",
        },
    }
}

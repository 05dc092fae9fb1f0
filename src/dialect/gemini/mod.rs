//! Gemini's content generation (<https://ai.google.dev/api/generate-content>), both sides of it. The model and whether it
//! streams stand in the path, which is not this room's.
//!
//! A signature (<https://ai.google.dev/gemini-api/docs/thought-signatures>) may stand on any part; the neutral model has
//! them on thoughts only. One on a thought is the thought's, one on a call is a thought that only the provider can read
//! before the call, one on a text is the same behind the text; `message` puts them back where they came from.

mod citation;
pub(super) mod decode;
pub(super) mod embedding;
pub(super) mod error;
pub(super) mod message;
pub(super) mod models;
pub(super) mod request;
pub(super) mod response;
pub(super) mod stream;
pub(super) mod usage;

use crate::chat::Finish;
use crate::dialect::json;

/// The neutral word for a `finishReason` (<https://ai.google.dev/api/generate-content#FinishReason>). All that end an
/// answer early are refusals to go on; one we have not heard of means that it stopped.
fn finish(finish_reason: &str, has_calls: bool) -> Finish {
    match finish_reason {
        "MAX_TOKENS" => Finish::Length,
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "OTHER"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "MODEL_ARMOR"
        | "MALFORMED_FUNCTION_CALL"
        | "MALFORMED_RESPONSE"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MISSING_THOUGHT_SIGNATURE"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "IMAGE_OTHER"
        | "NO_IMAGE" => Finish::ContentFilter,
        // Gemini stops to have functions called as it stops for anything else.
        _ if has_calls => Finish::ToolCalls,
        _ => Finish::Stop,
    }
}

/// The id of a call that Gemini gave none: the same for the same answer, and another one in the next answer.
fn call_id(response_id: &str, index: usize) -> String {
    // Each call repeats it.
    let response_id = json::bounded(response_id, json::PATH_BYTES_MAX);
    if response_id.is_empty() { format!("call_{index}") } else { format!("call_{response_id}_{index}") }
}

/// Whether a text can be a signature: bytes in base64 of either alphabet. What is none was made by another provider, and
/// Gemini refuses the whole request for it.
fn is_signature(text: &str) -> bool {
    let bytes = text.trim_end_matches('=').as_bytes();
    !bytes.is_empty()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_'))
}

#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod tests;

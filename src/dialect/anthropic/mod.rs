//! Anthropic's messages (<https://docs.anthropic.com/en/api/messages>), each half beside its twin as it is needed:
//! requests are encoded, answers and streams decoded, errors and usage both.

pub(super) mod error;
pub(super) mod message;
pub(super) mod models;
pub(super) mod request;
pub(super) mod response;
pub(super) mod stream;
pub(super) mod usage;

use crate::chat::Finish;

/// The neutral word for a `stop_reason`
/// (<https://docs.anthropic.com/en/api/handling-stop-reasons>); one we have not heard of means that it stopped.
fn finish(stop_reason: Option<&str>) -> Finish {
    match stop_reason {
        Some("max_tokens" | "model_context_window_exceeded") => Finish::Length,
        Some("tool_use") => Finish::ToolCalls,
        Some("refusal") => Finish::ContentFilter,
        _ => Finish::Stop,
    }
}

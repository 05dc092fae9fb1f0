//! Anthropic's messages (<https://docs.anthropic.com/en/api/messages>), each half beside its twin.

pub(super) mod answer;
pub(super) mod citation;
pub(super) mod claude;
pub(super) mod error;
pub(super) mod message;
pub(super) mod models;
pub(super) mod request;
pub(super) mod response;
pub(super) mod stream;
pub(super) mod usage;
pub mod vertex;

use crate::chat::{Finish, Raw, ServiceTier};

/// The `caller` of a call that the model itself made, as other providers' calls all are; a block of a call always has one
/// (<https://platform.claude.com/docs/en/agents-and-tools/tool-use/programmatic-tool-calling>).
const DIRECT_CALLER: Raw<'_> = Raw(r#"{"type":"direct"}"#);

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

/// The other way round.
fn stop_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::ContentFilter => "refusal",
    }
}

/// The neutral word for `usage.service_tier` of an answer; `None`: it has none.
fn tier(word: &str) -> Option<ServiceTier> {
    match word {
        "standard" => Some(ServiceTier::Standard),
        "priority" => Some(ServiceTier::Priority),
        _ => None,
    }
}

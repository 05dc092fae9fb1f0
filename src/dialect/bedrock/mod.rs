//! Amazon Bedrock's Converse and ConverseStream
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>), both sides of them, and how
//! InvokeModel wraps Anthropic's bodies (`invoke`). The model and whether it streams stand in the path, which is not this
//! room's; the frames of a stream are `event_stream`'s.

pub(super) mod answer;
mod citation;
pub(super) mod decode;
pub(super) mod error;
pub mod invoke;
mod media;
mod message;
mod model;
pub(super) mod request;
pub(super) mod response;
pub(super) mod stream;
pub(super) mod usage;

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::chat::{Finish, ServiceTier};

/// The tool by which a model answers that has no other way to follow a schema. An answer that calls it is a text.
const ANSWER_TOOL: &str = "corelane_structured_answer";

/// The neutral word for a `stopReason`; one we have not heard of means that it stopped.
fn finish(stop_reason: &str) -> Finish {
    match stop_reason {
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        "guardrail_intervened" | "content_filtered" | "malformed_model_output" | "malformed_tool_use" => {
            Finish::ContentFilter
        }
        _ => Finish::Stop,
    }
}

/// The other way round.
fn stop_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::ContentFilter => "content_filtered",
    }
}

/// The neutral word for a `serviceTier`; `None`: it has none.
fn tier(word: &str) -> Option<ServiceTier> {
    match word {
        "default" => Some(ServiceTier::Standard),
        "flex" => Some(ServiceTier::Flex),
        "priority" => Some(ServiceTier::Priority),
        _ => None,
    }
}

/// The other way round; `None`: it is what one has anyway.
fn tier_word(tier: ServiceTier) -> Option<&'static str> {
    match tier {
        ServiceTier::Auto => None,
        ServiceTier::Standard => Some("default"),
        ServiceTier::Flex => Some("flex"),
        ServiceTier::Priority => Some("priority"),
    }
}

/// Longest id of a call that Bedrock takes, bytes.
const CALL_ID_BYTES_MAX: usize = 64;

/// A call's id as Bedrock takes it: of letters, digits and few signs. Any other becomes one that is, the same each time, so
/// that call and result stay a pair.
fn call_id(id: &str) -> Cow<'_, str> {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'-');
    if (1..=CALL_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_fit) {
        return Cow::Borrowed(id);
    }
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    let hash = format!("{:016x}", hasher.finish());
    let kept = id.bytes().filter(|byte| is_fit(*byte)).take(CALL_ID_BYTES_MAX - hash.len() - 1);
    Cow::Owned(kept.map(char::from).chain(['-']).chain(hash.chars()).collect())
}

#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod tests;

//! Cohere's second API (<https://docs.cohere.com/reference/chat>), both sides: chat, embeddings, rerankings, models, errors.
//! Thoughts come without a proof, models are not named in answers, and an error in a stream is the reason of its end.

pub(super) mod answer;
mod citation;
pub(super) mod embedding;
pub(super) mod error;
mod message;
pub(super) mod models;
pub(super) mod request;
pub(super) mod rerank;
pub(super) mod response;
pub(super) mod stream;
pub(super) mod usage;

use crate::chat::Finish;

/// Cohere's word for a reason (<https://docs.cohere.com/reference/chat#response.body.finish_reason>). It has none for an
/// answer that the provider would not give; that of its first API is taken.
fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "COMPLETE",
        Finish::Length => "MAX_TOKENS",
        Finish::ToolCalls => "TOOL_CALL",
        Finish::ContentFilter => "ERROR_TOXIC",
    }
}

/// The other way; one that we have not heard of means that it stopped. What was said decides over the word, and a word of
/// failure is [`error::of_finish`]'s.
fn finish(reason: &str, has_calls: bool) -> Finish {
    match reason {
        "MAX_TOKENS" => Finish::Length,
        "ERROR_TOXIC" => Finish::ContentFilter,
        "TOOL_CALL" => Finish::ToolCalls,
        _ if has_calls => Finish::ToolCalls,
        _ => Finish::Stop,
    }
}

#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod tests;

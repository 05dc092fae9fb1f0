//! OpenAI's responses (<https://platform.openai.com/docs/api-reference/responses>), each half beside its twin: `request`
//! with the `item`s of its input, `answer` and `response`, `stream`. What only a store can answer (an earlier response, a
//! conversation, a template) is refused by its name: a translation keeps nothing.
//!
//! An answer is a list of items; a message, a call and a thought are one item each. Their ids are made of the answer's
//! id and their place, so the same answer has the same ids, whole or streamed.

pub(super) mod answer;
pub(super) mod echo;
pub(super) mod error;
mod item;
mod output;
pub(super) mod request;
pub(super) mod response;
pub(super) mod stream;
pub(super) mod thought;
pub(super) mod usage;

use crate::chat::Finish;

/// The neutral word for a `status` with its `incomplete_details.reason`; what was said decides where they say nothing.
fn finish(status: &str, reason: Option<&str>, has_calls: bool, is_refused: bool) -> Finish {
    match (status, reason) {
        ("incomplete", Some("content_filter")) => Finish::ContentFilter,
        ("incomplete", _) => Finish::Length,
        _ if is_refused => Finish::ContentFilter,
        _ if has_calls => Finish::ToolCalls,
        _ => Finish::Stop,
    }
}

/// Why an answer is incomplete, in OpenAI's word; `None`: it is complete. A refusal is an answer like any other.
fn incomplete_reason(finish: Finish, is_refused: bool) -> Option<&'static str> {
    match finish {
        Finish::Length => Some("max_output_tokens"),
        Finish::ContentFilter if !is_refused => Some("content_filter"),
        Finish::ContentFilter | Finish::Stop | Finish::ToolCalls => None,
    }
}

#[cfg(test)]
mod tests;

//! A whole chat answer of Cohere's as bytes to a neutral one
//! (<https://docs.cohere.com/reference/chat#response>). The way back is `response`'s.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::Error as _;

use super::citation::{WireCitation, chars};
use super::usage::WireUsage;
use super::{error, finish};
use crate::chat::{Finish, Part, Response};
use crate::dialect::json::{self, Span, Text};
use crate::error::UpstreamError;

#[derive(Deserialize)]
struct WireAnswer<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    message: WireSaid<'a>,
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct WireSaid<'a> {
    #[serde(borrow)]
    content: Option<Span<'a>>,
    #[serde(borrow)]
    tool_plan: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<WireCall<'a>>>,
    #[serde(borrow)]
    citations: Option<Vec<WireCitation<'a>>>,
}

/// A block of an answer's content.
#[derive(Deserialize)]
struct WireBlock<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
}

/// A call, also as a stream begins one.
#[derive(Deserialize)]
pub(super) struct WireCall<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) function: Option<WireCalled<'a>>,
}

/// Which function, and with what; in a stream's pieces without the name.
#[derive(Deserialize)]
pub(super) struct WireCalled<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) arguments: Option<Text<'a>>,
}

/// The error of an answer that ended with one; `None`: it did not.
pub(in crate::dialect) fn failure(body: &[u8]) -> Option<UpstreamError> {
    #[derive(Deserialize)]
    struct Ended<'a> {
        #[serde(borrow)]
        finish_reason: Option<Text<'a>>,
    }
    let reason = serde_json::from_slice::<Ended<'_>>(body).ok()?.finish_reason?;
    error::of_finish(&reason.0, None)
}

/// Decodes an answer that did not fail.
pub(in crate::dialect) fn decode(body: &[u8]) -> Result<Response<'_>, serde_json::Error> {
    let wire: WireAnswer<'_> = serde_json::from_slice(body)?;
    let id = wire.id.map_or(Cow::Borrowed(""), |id| id.0);
    let calls = wire.message.tool_calls.unwrap_or_default();
    let reason = wire.finish_reason.as_ref().map_or("", |reason| &*reason.0);
    let finish = finish(reason, !calls.is_empty());
    let mut parts = Vec::new();
    if let Some(Text(text)) = wire.message.tool_plan.filter(|plan| !plan.0.is_empty()) {
        parts.push(Part::Reasoning { text, signature: None });
    }
    let bases = add_content(&mut parts, wire.message.content)?;
    for citation in wire.message.citations.into_iter().flatten().filter(WireCitation::is_of_text) {
        let base = bases.of(citation.content_index);
        parts.extend(citation.citations(base).into_iter().map(Part::Citation));
    }
    for (index, wire) in calls.into_iter().enumerate() {
        parts.extend(call(wire, index, &id, finish)?);
    }
    let usage = wire.usage.map(|usage| usage.usage()).unwrap_or_default();
    Ok(Response { id, parts, finish, usage, ..Response::default() })
}

/// Where each block of content begins in the whole answer's text, in characters.
#[derive(Default)]
pub(super) struct Bases {
    /// Index of a block of text, and its beginning.
    blocks: Vec<(u64, u64)>,
    /// Of all text so far.
    pub(super) text_chars: u64,
}

/// Most blocks of text whose beginnings are kept; a citation of a later one is taken for one of the first.
const BLOCKS_MAX: usize = 1024;

impl Bases {
    /// The block of this index begins.
    pub(super) fn begin(&mut self, index: u64) {
        if self.blocks.len() < BLOCKS_MAX {
            self.blocks.push((index, self.text_chars));
        }
    }

    /// More text of it.
    pub(super) fn say(&mut self, text: &str) {
        self.text_chars = self.text_chars.saturating_add(chars(text));
    }

    /// Where the block of this index begins.
    pub(super) fn of(&self, index: Option<u64>) -> u64 {
        let found = self.blocks.iter().find(|(one, _)| Some(*one) == index).or(self.blocks.first());
        found.map_or(0, |(_, base)| *base)
    }
}

fn add_content<'a>(parts: &mut Vec<Part<'a>>, content: Option<Span<'a>>) -> Result<Bases, serde_json::Error> {
    let mut bases = Bases::default();
    let wrong = |_| serde_json::Error::custom("`message.content` is not what the API promises");
    let Some(content) = content else { return Ok(bases) };
    if content.first() == b'"' {
        let Text(text) = content.parse(&"").map_err(wrong)?;
        bases.begin(0);
        parts.push(Part::Text { text, cache: None });
        return Ok(bases);
    }
    let blocks: Vec<WireBlock<'a>> = content.parse(&"").map_err(wrong)?;
    for (index, block) in (0..).zip(blocks) {
        if let Some(Text(text)) = block.thinking {
            parts.push(Part::Reasoning { text, signature: None });
        } else if let Some(Text(text)) = block.text {
            bases.begin(index);
            bases.say(&text);
            parts.push(Part::Text { text, cache: None });
        }
    }
    Ok(bases)
}

/// A call; `None`: one that the token limit cut, which nobody can run.
fn call<'a>(
    wire: WireCall<'a>,
    index: usize,
    answer: &str,
    finish: Finish,
) -> Result<Option<Part<'a>>, serde_json::Error> {
    let function = wire.function.ok_or_else(|| serde_json::Error::custom("a tool call has no function"))?;
    let name = function.name.ok_or_else(|| serde_json::Error::custom("a tool call has no name"))?.0;
    let arguments = function.arguments.map(|text| text.0).filter(|text| !text.trim().is_empty());
    let arguments = arguments.unwrap_or(Cow::Borrowed("{}"));
    if !json::is_object(&arguments) {
        return match finish {
            Finish::Length => Ok(None),
            _ => Err(serde_json::Error::custom("the arguments of a tool call are not a JSON object")),
        };
    }
    let id = wire.id.map(|id| id.0).filter(|id| !id.is_empty());
    let id = id.unwrap_or_else(|| Cow::Owned(made_id(answer, index)));
    Ok(Some(Part::ToolCall { id, name, arguments }))
}

/// The id of a call that has none.
pub(super) fn made_id(answer: &str, index: usize) -> String {
    format!("call_{}_{index}", json::bounded(answer, json::PATH_BYTES_MAX))
}

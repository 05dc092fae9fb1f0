//! A whole messages answer as bytes to a neutral one. Blocks of server-side tools have no neutral word and are left
//! out. The way back is `answer`'s.

use std::borrow::Cow;

use serde::Deserialize;

use super::finish;
use super::usage::WireUsage;
use crate::chat::{Part, Response};
use crate::dialect::json::{Span, Text};

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    model: Text<'a>,
    #[serde(borrow)]
    content: Vec<WireBlock<'a>>,
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
    usage: WireUsage,
}

#[derive(Deserialize)]
struct WireBlock<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<Span<'a>>,
}

/// Decodes an answer.
pub(in crate::dialect) fn decode(body: &[u8]) -> Result<Response<'_>, serde_json::Error> {
    let wire: WireMessage<'_> = serde_json::from_slice(body)?;
    Ok(Response {
        id: wire.id.0,
        model: wire.model.0,
        parts: wire.content.into_iter().filter_map(part).collect(),
        finish: finish(wire.stop_reason.as_ref().map(|text| &*text.0)),
        usage: wire.usage.usage(),
        ..Response::default()
    })
}

fn part(wire: WireBlock<'_>) -> Option<Part<'_>> {
    match &*wire.kind.0 {
        "text" => Some(Part::Text { text: wire.text?.0, cache: None }),
        "thinking" => {
            Some(Part::Reasoning { text: wire.thinking?.0, signature: wire.signature.map(|text| text.0) })
        }
        "redacted_thinking" => Some(Part::ReasoningEncrypted { data: wire.data?.0 }),
        "tool_use" => Some(Part::ToolCall {
            id: wire.id?.0,
            name: wire.name?.0,
            arguments: Cow::Borrowed(wire.input.map_or("{}", |input| input.raw().0)),
        }),
        _ => None,
    }
}

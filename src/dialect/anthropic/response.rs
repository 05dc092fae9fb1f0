//! A whole messages answer as bytes to a neutral one. Blocks of server-side tools have no neutral word and are left
//! out. The way back is `answer`'s.

use std::borrow::Cow;

use serde::Deserialize;

use super::usage::WireUsage;
use super::{citation, finish, tier};
use crate::chat::{Part, Response};
use crate::dialect::json::{Span, Text};
use crate::dialect::origin::UNSIGNED;

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
    #[serde(borrow)]
    stop_details: Option<WireStop<'a>>,
    #[serde(borrow)]
    usage: Span<'a>,
}

#[derive(Deserialize)]
struct WireStop<'a> {
    #[serde(borrow)]
    explanation: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireTier<'a> {
    #[serde(borrow)]
    service_tier: Option<Text<'a>>,
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
    #[serde(borrow)]
    citations: Option<Span<'a>>,
}

/// Decodes an answer.
pub(in crate::dialect) fn decode(body: &[u8]) -> Result<Response<'_>, serde_json::Error> {
    let wire: WireMessage<'_> = serde_json::from_slice(body)?;
    let usage: WireUsage = serde_json::from_str(wire.usage.raw().0)?;
    let served: WireTier<'_> = serde_json::from_str(wire.usage.raw().0)?;
    let mut parts = Vec::with_capacity(wire.content.len());
    for block in wire.content {
        let citations = block.citations.filter(|citations| citations.first() == b'[');
        parts.extend(part(block));
        let citations = citations.map(|list| list.parse(&"citations").unwrap_or_default());
        let all: Vec<Span<'_>> = citations.unwrap_or_default();
        parts.extend(all.into_iter().filter_map(citation::decode).map(Part::Citation));
    }
    let refusal = wire.stop_details.and_then(|details| details.explanation);
    parts.extend(refusal.map(|text| Part::Refusal { text: text.0 }));
    Ok(Response {
        id: wire.id.0,
        model: wire.model.0,
        parts,
        finish: finish(wire.stop_reason.as_ref().map(|text| &*text.0)),
        usage: usage.usage(),
        service_tier: served.service_tier.and_then(|word| tier(&word.0)),
    })
}

fn part(wire: WireBlock<'_>) -> Option<Part<'_>> {
    match &*wire.kind.0 {
        "text" => Some(Part::Text { text: wire.text?.0, cache: None }),
        "thinking" => Some(Part::Reasoning {
            text: wire.thinking?.0,
            signature: wire.signature.map(|text| text.0).filter(|text| !text.is_empty() && text != UNSIGNED),
        }),
        "redacted_thinking" => Some(Part::ReasoningEncrypted { data: wire.data?.0 }),
        "tool_use" => Some(Part::ToolCall {
            id: wire.id?.0,
            name: wire.name?.0,
            arguments: Cow::Borrowed(wire.input.map_or("{}", |input| input.raw().0)),
        }),
        _ => None,
    }
}

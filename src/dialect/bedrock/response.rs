//! A whole Converse answer as bytes to a neutral one
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_ResponseSyntax>). It
//! has no id and names no model. Blocks that have no neutral word are left out. The way back is `answer`'s.

use std::borrow::Cow;

use serde::Deserialize;

use super::citation::WireCitation;
use super::media::Media;
use super::usage::WireUsage;
use super::{ANSWER_TOOL, finish, tier};
use crate::chat::{Finish, Part, Response, Source};
use crate::dialect::json::{Span, Text};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireAnswer<'a> {
    #[serde(borrow)]
    output: WireOutput<'a>,
    #[serde(borrow)]
    stop_reason: Text<'a>,
    usage: Option<WireUsage>,
    #[serde(borrow)]
    service_tier: Option<WireTier<'a>>,
}

#[derive(Deserialize)]
struct WireOutput<'a> {
    #[serde(borrow)]
    message: Option<WireMessage<'a>>,
}

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow)]
    content: Vec<WireBlock<'a>>,
}

#[derive(Deserialize)]
struct WireTier<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireBlock<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    tool_use: Option<WireCall<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<WireThought<'a>>,
    #[serde(borrow)]
    citations_content: Option<WireCited<'a>>,
    #[serde(borrow)]
    image: Option<WireImage<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireCall<'a> {
    #[serde(borrow)]
    tool_use_id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    input: Option<Span<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireThought<'a> {
    #[serde(borrow)]
    reasoning_text: Option<WireSigned<'a>>,
    #[serde(borrow)]
    redacted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireSigned<'a> {
    #[serde(borrow)]
    text: Text<'a>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireCited<'a> {
    #[serde(borrow)]
    content: Option<Vec<WireText<'a>>>,
    #[serde(borrow)]
    citations: Option<Vec<WireCitation<'a>>>,
}

#[derive(Deserialize)]
struct WireText<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireImage<'a> {
    #[serde(borrow)]
    format: Text<'a>,
    #[serde(borrow)]
    source: Option<WireBytes<'a>>,
}

#[derive(Deserialize)]
struct WireBytes<'a> {
    #[serde(borrow)]
    bytes: Option<Text<'a>>,
}

/// Decodes an answer.
pub(in crate::dialect) fn decode(body: &[u8]) -> Result<Response<'_>, serde_json::Error> {
    let wire: WireAnswer<'_> = serde_json::from_slice(body)?;
    let content = wire.output.message.map(|message| message.content).unwrap_or_default();
    let mut parts = Vec::with_capacity(content.len());
    let is_answered = content.iter().any(|block| block.tool_use.as_ref().is_some_and(WireCall::is_answer));
    content.into_iter().for_each(|block| push(block, &mut parts));
    let has_calls = parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    let finish = match finish(&wire.stop_reason.0) {
        Finish::ToolCalls if is_answered && !has_calls => Finish::Stop,
        finish => finish,
    };
    Ok(Response {
        id: Cow::Borrowed(""),
        model: Cow::Borrowed(""),
        parts,
        finish,
        usage: wire.usage.unwrap_or_default().usage(),
        service_tier: wire.service_tier.and_then(|word| tier(&word.kind.0)),
    })
}

impl WireCall<'_> {
    fn is_answer(&self) -> bool {
        self.name.0 == ANSWER_TOOL
    }
}

fn push<'a>(block: WireBlock<'a>, parts: &mut Vec<Part<'a>>) {
    let said = |text| Part::Text { text, cache: None };
    parts.extend(block.text.map(|text| said(text.0)));
    if let Some(call) = block.tool_use {
        let arguments = Cow::Borrowed(call.input.map_or("{}", |input| input.raw().0));
        parts.push(match call.is_answer() {
            true => said(arguments),
            false => Part::ToolCall { id: call.tool_use_id.0, name: call.name.0, arguments },
        });
    }
    if let Some(thought) = block.reasoning_content {
        parts.extend(thought.reasoning_text.map(|signed| Part::Reasoning {
            text: signed.text.0,
            signature: signed.signature.map(|text| text.0).filter(|text| !text.is_empty()),
        }));
        parts.extend(thought.redacted_content.map(|data| Part::ReasoningEncrypted { data: data.0 }));
    }
    if let Some(cited) = block.citations_content {
        let texts = cited.content.unwrap_or_default().into_iter().filter_map(|one| one.text);
        parts.extend(texts.map(|text| said(text.0)));
        let citations = cited.citations.unwrap_or_default().into_iter();
        parts.extend(citations.map(|one| Part::Citation(one.citation())));
    }
    if let Some(image) = block.image {
        let data = image.source.and_then(|source| source.bytes);
        let media_type = Media::Image.media_type(&image.format.0);
        parts.extend(data.zip(media_type).map(|(data, media_type)| Part::Image {
            source: Source::Base64 { media_type: Cow::Borrowed(media_type), data: data.0 },
            cache: None,
        }));
    }
}

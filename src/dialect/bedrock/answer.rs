//! A neutral answer to the bytes of a Converse answer
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_ResponseSyntax>). The
//! way back is `response`'s.

use super::media::Media;
use super::message::{write_reasoning, write_tool_use};
use super::{call_id, citation, stop_reason, tier_word, usage};
use crate::chat::{Citation, Part, Response, Source};
use crate::dialect::json::{Array, Object};

/// Encodes an answer. The arguments of its calls are JSON objects: who decodes an answer has looked. How long the provider
/// took, which the shape demands, is not known here: 0.
pub(in crate::dialect) fn encode(response: &Response<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::begin(&mut out);
    let mut output = Object::begin(body.field("output"));
    let mut message = Object::begin(output.field("message"));
    message.text("role", "assistant");
    let mut content = Array::begin(message.field("content"));
    let mut rest = response.parts.iter();
    while let Some(part) = rest.next() {
        write_block(&mut content, part, rest.as_slice());
    }
    content.end();
    message.end();
    output.end();
    body.text("stopReason", stop_reason(response.finish));
    usage::write(body.field("usage"), &response.usage);
    write_metrics(&mut body);
    if let Some(word) = response.service_tier.and_then(tier_word) {
        body.tagged("serviceTier", word);
    }
    body.end();
    out
}

/// Writes `metrics`.
pub(super) fn write_metrics(body: &mut Object<'_>) {
    let mut metrics = Object::begin(body.field("metrics"));
    metrics.number("latencyMs", 0);
    metrics.end();
}

/// `behind` are the parts that follow it: citations of a text are its own.
fn write_block(content: &mut Array<'_>, part: &Part<'_>, behind: &[Part<'_>]) {
    match part {
        Part::Text { text, .. } => {
            let cited = behind.iter().map_while(|part| match part {
                Part::Citation(citation) => Some(citation),
                _ => None,
            });
            let cited: Vec<_> = cited.collect();
            if !text.is_empty() || !cited.is_empty() {
                write_text(content.item(), text, &cited);
            }
        }
        Part::Refusal { text } if !text.is_empty() => write_text(content.item(), text, &[]),
        Part::Reasoning { text, signature } => write_reasoning(content.item(), text, signature.as_deref()),
        Part::ReasoningEncrypted { data } => {
            let mut block = Object::begin(content.item());
            let mut thought = Object::begin(block.field("reasoningContent"));
            thought.text("redactedContent", data);
            thought.end();
            block.end();
        }
        Part::ToolCall { id, name, arguments } => {
            let input = if arguments.trim().is_empty() { "{}" } else { arguments };
            write_tool_use(content.item(), &call_id(id), name, input);
        }
        Part::Image { source: Source::Base64 { media_type, data }, .. } => {
            let Some(format) = Media::Image.format(media_type) else { return };
            let mut block = Object::begin(content.item());
            let mut image = Object::begin(block.field("image"));
            image.text("format", format);
            let mut source = Object::begin(image.field("source"));
            source.text("bytes", data);
            source.end();
            image.end();
            block.end();
        }
        _ => {}
    }
}

fn write_text(out: &mut Vec<u8>, text: &str, cited: &[&Citation<'_>]) {
    let mut block = Object::begin(out);
    if cited.is_empty() {
        block.text("text", text);
        return block.end();
    }
    let mut inner = Object::begin(block.field("citationsContent"));
    let mut content = Array::begin(inner.field("content"));
    let mut said = Object::begin(content.item());
    said.text("text", text);
    said.end();
    content.end();
    let mut citations = Array::begin(inner.field("citations"));
    cited.iter().for_each(|one| citation::write(citations.item(), one));
    citations.end();
    inner.end();
    block.end();
}

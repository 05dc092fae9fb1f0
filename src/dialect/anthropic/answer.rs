//! A neutral answer to the bytes of a messages answer (<https://docs.anthropic.com/en/api/messages>). The way back is
//! `response`'s.

use super::{DIRECT_CALLER, citation, stop_reason};
use crate::chat::{Part, Raw, Response};
use crate::dialect::json::{Array, Object};
use crate::dialect::origin::UNSIGNED;

/// Encodes an answer. The arguments of its calls are JSON objects: who decodes an answer has looked.
pub(in crate::dialect) fn encode(response: &Response<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::begin(&mut out);
    body.text("id", &response.id);
    body.text("type", "message");
    body.text("role", "assistant");
    body.text("model", &response.model);
    let mut content = Array::begin(body.field("content"));
    let mut rest = response.parts.iter();
    while let Some(part) = rest.next() {
        if is_sent(part) {
            write_block(content.item(), part, rest.as_slice());
        }
    }
    content.end();
    body.text("stop_reason", stop_reason(response.finish));
    // Which of the stop texts it was, no other dialect says.
    body.raw("stop_sequence", Raw("null"));
    super::usage::write(body.field("usage"), &response.usage, response.service_tier);
    body.end();
    out
}

fn is_sent(part: &Part<'_>) -> bool {
    match part {
        Part::Text { text, .. } | Part::Refusal { text } => !text.is_empty(),
        Part::Reasoning { .. } | Part::ReasoningEncrypted { .. } | Part::ToolCall { .. } => true,
        _ => false,
    }
}

/// `behind` are the parts that follow it: citations of a text are its own.
fn write_block(out: &mut Vec<u8>, part: &Part<'_>, behind: &[Part<'_>]) {
    let mut block = Object::begin(out);
    match part {
        Part::Text { text, .. } => {
            block.text("type", "text");
            block.text("text", text);
            write_citations(&mut block, behind);
        }
        Part::Refusal { text } => {
            block.text("type", "text");
            block.text("text", text);
        }
        Part::Reasoning { text, signature } => {
            block.text("type", "thinking");
            block.text("thinking", text);
            let signature = signature.as_deref().filter(|signature| !signature.is_empty());
            block.text("signature", signature.unwrap_or(UNSIGNED));
        }
        Part::ReasoningEncrypted { data } => {
            block.text("type", "redacted_thinking");
            block.text("data", data);
        }
        Part::ToolCall { id, name, arguments } => {
            block.text("type", "tool_use");
            block.text("id", id);
            block.text("name", name);
            block.raw("input", Raw(if arguments.is_empty() { "{}" } else { arguments }));
            block.raw("caller", DIRECT_CALLER);
        }
        _ => {}
    }
    block.end();
}

fn write_citations(block: &mut Object<'_>, behind: &[Part<'_>]) {
    let cited = behind.iter().map_while(|part| match part {
        Part::Citation(citation) => Some(citation),
        _ => None,
    });
    let mut cited = cited.filter(|one| citation::is_said(one)).peekable();
    if cited.peek().is_none() {
        return;
    }
    let mut array = Array::begin(block.field("citations"));
    cited.for_each(|one| citation::write(array.item(), one));
    array.end();
}

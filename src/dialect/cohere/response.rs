//! A neutral answer to the bytes of a chat answer of Cohere's (<https://docs.cohere.com/reference/chat#response>). A thought's
//! proof has no place there. The way back is `answer`'s.

use super::citation::{self, chars};
use super::{finish_reason, usage};
use crate::chat::{Citation, Part, Response};
use crate::dialect::json::{Array, Object};

/// Encodes an answer.
pub(in crate::dialect) fn encode(response: &Response<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::begin(&mut out);
    body.text("id", &response.id);
    body.text("finish_reason", finish_reason(response.finish));
    let mut message = Object::begin(body.field("message"));
    message.text("role", "assistant");
    write_content(&mut message, &response.parts);
    write_calls(&mut message, &response.parts);
    write_citations(&mut message, &response.parts);
    message.end();
    usage::write(body.field("usage"), &response.usage);
    body.end();
    out
}

fn write_content(message: &mut Object<'_>, parts: &[Part<'_>]) {
    let mut said = parts.iter().filter_map(words).peekable();
    if said.peek().is_none() {
        return;
    }
    let mut content = Array::begin(message.field("content"));
    for (kind, text) in said {
        let mut block = Object::begin(content.item());
        block.text("type", kind);
        block.text(kind, text);
        block.end();
    }
    content.end();
}

/// What a part says, and as which kind of block.
fn words<'p>(part: &'p Part<'_>) -> Option<(&'static str, &'p str)> {
    match part {
        Part::Text { text, .. } | Part::Refusal { text } => Some(("text", text)),
        Part::Reasoning { text, .. } if !text.is_empty() => Some(("thinking", text)),
        _ => None,
    }
}

fn write_calls(message: &mut Object<'_>, parts: &[Part<'_>]) {
    let is_call = |part: &&Part<'_>| matches!(part, Part::ToolCall { .. });
    let mut calls = parts.iter().filter(is_call).peekable();
    if calls.peek().is_none() {
        return;
    }
    let mut array = Array::begin(message.field("tool_calls"));
    for part in calls {
        write_call(array.item(), part);
    }
    array.end();
}

/// Writes a call, of a request or an answer.
pub(super) fn write_call(out: &mut Vec<u8>, part: &Part<'_>) {
    let Part::ToolCall { id, name, arguments } = part else { return };
    let mut call = Object::begin(out);
    call.text("id", id);
    call.text("type", "function");
    let mut function = Object::begin(call.field("function"));
    function.text("name", name);
    function.text("arguments", if arguments.is_empty() { "{}" } else { arguments });
    function.end();
    call.end();
}

/// A block of text with its place in the content and in the whole answer's text.
#[derive(Clone, Copy)]
struct Block<'p> {
    index: u64,
    start: u64,
    end: u64,
    text: &'p str,
}

/// Places count from the block that they are in.
fn write_citations(message: &mut Object<'_>, parts: &[Part<'_>]) {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let (mut index, mut start) = (0, 0);
    let mut cited = Vec::new();
    for part in parts {
        if let Some((kind, text)) = words(part) {
            if kind == "text" {
                let end = start + chars(text);
                blocks.push(Block { index, start, end, text });
                start = end;
            }
            index += 1;
        } else if let Part::Citation(citation) = part {
            cited.push((citation, blocks.last().copied()));
        }
    }
    if cited.is_empty() {
        return;
    }
    let mut array = Array::begin(message.field("citations"));
    for (citation, before) in cited {
        let is_inside = |block: &&Block<'_>| {
            citation.span.is_some_and(|(start, _)| (block.start..block.end).contains(&start))
        };
        let block = blocks.iter().find(is_inside).copied().or(before);
        let empty = Block { index: 0, start: 0, end: 0, text: "" };
        write_citation(array.item(), citation, block.unwrap_or(empty));
    }
    array.end();
}

fn write_citation(out: &mut Vec<u8>, cited: &Citation<'_>, block: Block<'_>) {
    let inner = |at: u64| at.saturating_sub(block.start);
    let local = Citation { span: cited.span.map(|(start, end)| (inner(start), inner(end))), ..cited.clone() };
    let words = |(start, end): (u64, u64)| {
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let words: String =
            block.text.chars().skip(count(start)).take(count(end.saturating_sub(start))).collect();
        (!words.is_empty()).then_some(words)
    };
    citation::write(out, &local, (0, block.end - block.start), words, block.index);
}

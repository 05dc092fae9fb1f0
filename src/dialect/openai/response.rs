//! A neutral answer to the bytes of a chat completion. `reasoning` and `reasoning_details` stand beside OpenAI's own
//! fields only when the model thought aloud. The way back is `answer`'s.

use crate::chat::{Citation, Finish, Part, Raw, Response};
use crate::dialect::json::{Array, Object, write_string};
use crate::dialect::tier;

/// Encodes an answer made at `created_s`, seconds since the epoch.
pub(in crate::dialect) fn encode(response: &Response<'_>, created_s: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::begin(&mut out);
    body.text("id", &response.id);
    body.text("object", "chat.completion");
    body.number("created", created_s);
    body.text("model", &response.model);
    let mut choices = Array::begin(body.field("choices"));
    let mut choice = Object::begin(choices.item());
    choice.number("index", 0);
    write_message(choice.field("message"), &response.parts);
    choice.raw("logprobs", Raw("null"));
    choice.text("finish_reason", finish_reason(response.finish));
    choice.end();
    choices.end();
    super::usage::write(body.field("usage"), &response.usage);
    if let Some(tier) = response.service_tier {
        body.text("service_tier", tier::word(tier));
    }
    body.end();
    out
}

/// OpenAI's word.
pub(super) fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter => "content_filter",
    }
}

fn write_message(out: &mut Vec<u8>, parts: &[Part<'_>]) {
    let mut message = Object::begin(out);
    message.text("role", "assistant");
    message.text_or_null("content", joined(parts, words).as_deref());
    message.text_or_null("refusal", joined(parts, refused).as_deref());
    write_annotations(&mut message, parts);
    if let Some(thoughts) = joined(parts, thoughts) {
        message.text("reasoning", &thoughts);
    }
    write_reasoning_details(&mut message, parts);
    write_tool_calls(&mut message, parts);
    message.end();
}

fn words<'p>(part: &'p Part<'_>) -> Option<&'p str> {
    if let Part::Text { text, .. } = part { Some(text) } else { None }
}

fn refused<'p>(part: &'p Part<'_>) -> Option<&'p str> {
    if let Part::Refusal { text } = part { Some(text) } else { None }
}

/// Citations of pages; OpenAI has no word for others. One without a place is of the text part before it.
fn write_annotations(message: &mut Object<'_>, parts: &[Part<'_>]) {
    let (mut block, mut cited) = ((0, 0), Vec::new());
    for part in parts {
        match part {
            Part::Text { text, .. } => block = (block.1, block.1 + chars(text)),
            Part::Citation(citation) if citation.url.is_some() => cited.push((citation, block)),
            _ => {}
        }
    }
    if cited.is_empty() {
        return;
    }
    let mut array = Array::begin(message.field("annotations"));
    for (citation, block) in cited {
        write_annotation(array.item(), citation, block);
    }
    array.end();
}

/// Writes one; `block` is where it stands when it does not say so itself.
pub(super) fn write_annotation(out: &mut Vec<u8>, citation: &Citation<'_>, block: (u64, u64)) {
    let (start, end) = citation.span.unwrap_or(block);
    let mut annotation = Object::begin(out);
    annotation.text("type", "url_citation");
    let mut cited = Object::begin(annotation.field("url_citation"));
    cited.number("end_index", end);
    cited.number("start_index", start);
    cited.text("title", citation.title.as_deref().unwrap_or_default());
    cited.text("url", citation.url.as_deref().unwrap_or_default());
    cited.end();
    annotation.end();
}

/// Its length as `start_index` and `end_index` count.
pub(super) fn chars(text: &str) -> u64 {
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
}

fn thoughts<'p>(part: &'p Part<'_>) -> Option<&'p str> {
    if let Part::Reasoning { text, .. } = part { Some(text) } else { None }
}

/// Text blocks are pieces of one text (citations cut it), so nothing comes between them.
fn joined<'p>(parts: &'p [Part<'_>], pick: fn(&'p Part<'_>) -> Option<&'p str>) -> Option<String> {
    parts.iter().filter_map(pick).fold(None, |all: Option<String>, next| Some(all.unwrap_or_default() + next))
}

fn write_reasoning_details(message: &mut Object<'_>, parts: &[Part<'_>]) {
    let is_thought =
        |part: &&Part<'_>| matches!(part, Part::Reasoning { .. } | Part::ReasoningEncrypted { .. });
    let mut thoughts = (0..).zip(parts.iter().filter(is_thought)).peekable();
    if thoughts.peek().is_none() {
        return;
    }
    let mut details = Array::begin(message.field("reasoning_details"));
    for (index, part) in thoughts {
        let mut detail = Object::begin(details.item());
        detail.number("index", index);
        match part {
            Part::ReasoningEncrypted { data } => {
                detail.text("type", "reasoning.encrypted");
                detail.text("data", data);
            }
            Part::Reasoning { text, signature } => {
                detail.text("type", "reasoning.text");
                detail.text("text", text);
                if let Some(signature) = signature {
                    detail.text("signature", signature);
                }
            }
            _ => {}
        }
        detail.end();
    }
    details.end();
}

fn write_tool_calls(message: &mut Object<'_>, parts: &[Part<'_>]) {
    let mut calls = parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall { id, name, arguments } => Some((id, name, arguments)),
            _ => None,
        })
        .peekable();
    if calls.peek().is_none() {
        return;
    }
    let mut array = Array::begin(message.field("tool_calls"));
    for (id, name, arguments) in calls {
        let mut call = Object::begin(array.item());
        call.text("id", id);
        call.text("type", "function");
        let mut function = Object::begin(call.field("function"));
        function.text("name", name);
        write_string(function.field("arguments"), arguments);
        function.end();
        call.end();
    }
    array.end();
}

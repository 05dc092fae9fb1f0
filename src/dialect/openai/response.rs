//! A neutral answer to the bytes of a chat completion. `reasoning` and `reasoning_details` stand beside OpenAI's own
//! fields only when the model thought aloud. The way back is `answer`'s.

use crate::chat::{Finish, Part, Raw, Response};
use crate::dialect::json::{Array, Object, write_string};

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
    message.raw("refusal", Raw("null"));
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

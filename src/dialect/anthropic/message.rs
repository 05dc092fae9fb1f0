//! Neutral messages to `system` and `messages` of a messages request: system texts are gathered, tool results of one
//! round become one user turn, thoughts stand first in an assistant turn, and blank texts, which Anthropic refuses,
//! are left out.

pub(super) mod decode;

use std::borrow::Cow;

use crate::chat::{Message, Part, Raw, Request, Role, Source};
use crate::dialect::encode::check_turns;
use crate::dialect::json::{self, Array, Object};
use crate::dialect::place::{self, Place, Placed};
use crate::error::Error;

const VENDOR: &str = "Anthropic";

/// One turn as Anthropic sees it; never empty.
pub(super) struct Turn<'r, 'a> {
    role: Role,
    parts: Vec<Placed<'r, 'a>>,
}

/// Groups the messages into turns. A turn with nothing to say is left out.
pub(super) fn turns<'r, 'a>(request: &'r Request<'a>) -> Result<Vec<Turn<'r, 'a>>, Error> {
    let mut turns: Vec<Turn<'r, 'a>> = Vec::with_capacity(request.messages.len());
    for (index, message) in place::messages(request).filter(|(_, one)| !one.role.is_system()) {
        let mut parts = placed((index, message));
        match turns.last_mut() {
            _ if parts.is_empty() => {}
            Some(last) if last.role == Role::Tool && message.role == Role::Tool => {
                last.parts.append(&mut parts)
            }
            _ => turns.push(Turn { role: message.role, parts }),
        }
    }
    check_turns(turns.is_empty())?;
    Ok(turns)
}

/// The parts worth sending, thoughts first: Anthropic wants them to lead their turn.
fn placed<'r, 'a>(message: (Option<usize>, &'r Message<'a>)) -> Vec<Placed<'r, 'a>> {
    let mut parts: Vec<_> = place::parts(message).filter(|placed| is_sent(placed.part)).collect();
    parts.sort_by_key(|placed| {
        !matches!(placed.part, Part::Reasoning { .. } | Part::ReasoningEncrypted { .. })
    });
    parts
}

fn is_sent(part: &Part<'_>) -> bool {
    match part {
        Part::Text { text, .. } => !text.trim().is_empty(),
        Part::Refusal { text } => !text.trim().is_empty(),
        Part::Document { source: Source::Text(text), .. } => !text.trim().is_empty(),
        Part::Citation(_) => false,
        _ => !is_unsigned(part),
    }
}

/// A thought without its proof is refused by Anthropic: it came from another provider.
fn is_unsigned(part: &Part<'_>) -> bool {
    matches!(part, Part::Reasoning { signature, .. } if signature.as_deref().is_none_or(str::is_empty))
}

/// Whether a thought is left out.
pub(super) fn leaves_thoughts(messages: &[Message<'_>]) -> bool {
    messages.iter().flat_map(|message| &message.parts).any(is_unsigned)
}

/// Writes `system`, when there is any: text blocks, so that `cache_control` marks keep their places.
pub(super) fn write_system(body: &mut Object<'_>, request: &Request<'_>) -> Result<(), Error> {
    let is_system = |(_, message): &(Option<usize>, &Message<'_>)| message.role.is_system();
    let mut system = place::messages(request).filter(is_system).flat_map(placed).peekable();
    if system.peek().is_none() {
        return Ok(());
    }
    let mut array = Array::begin(body.field("system"));
    for placed in system {
        let Part::Text { text, cache } = placed.part else { return Err(placed.refused_by(VENDOR, "a text")) };
        write_text(array.item(), text, *cache);
    }
    array.end();
    Ok(())
}

/// Writes `messages`.
pub(super) fn write_turns(body: &mut Object<'_>, turns: &[Turn<'_, '_>]) -> Result<(), Error> {
    let mut array = Array::begin(body.field("messages"));
    for turn in turns {
        let mut message = Object::begin(array.item());
        message.text("role", if turn.role == Role::Assistant { "assistant" } else { "user" });
        let mut content = Array::begin(message.field("content"));
        for placed in &turn.parts {
            write_part(content.item(), placed)?;
        }
        content.end();
        message.end();
    }
    array.end();
    Ok(())
}

fn write_part(out: &mut Vec<u8>, placed: &Placed<'_, '_>) -> Result<(), Error> {
    match placed.part {
        Part::Text { text, cache } => write_text(out, text, *cache),
        Part::Refusal { text } => write_text(out, text, None),
        Part::Audio { .. } => return Err(placed.unknown_to(VENDOR, "input_audio")),
        Part::Citation(_) => {}
        Part::Image { source, cache } => write_image(out, source, *cache),
        Part::Document { source, title, cache } => {
            write_document(out, placed, source, title.as_deref(), *cache)?;
        }
        Part::Reasoning { text, signature } => write_thinking(out, text, signature.as_deref()),
        Part::ReasoningEncrypted { data } => {
            let mut block = Object::begin(out);
            block.text("type", "redacted_thinking");
            block.text("data", data);
            block.end();
        }
        Part::ToolCall { id, name, arguments } => write_tool_use(out, placed, [id, name, arguments])?,
        Part::ToolResult { call_id, parts, is_error } => {
            write_tool_result(out, placed, (call_id, *is_error), parts)?;
        }
        Part::Unknown { kind } => return Err(placed.unknown_to(VENDOR, kind)),
    }
    Ok(())
}

fn write_text(out: &mut Vec<u8>, text: &str, cache: Option<Raw<'_>>) {
    let mut block = Object::begin(out);
    block.text("type", "text");
    block.text("text", text);
    block.raw_if("cache_control", cache);
    block.end();
}

fn write_image(out: &mut Vec<u8>, source: &Source<'_>, cache: Option<Raw<'_>>) {
    let mut block = Object::begin(out);
    block.text("type", "image");
    write_source(block.field("source"), source);
    block.raw_if("cache_control", cache);
    block.end();
}

fn write_document(
    out: &mut Vec<u8>,
    placed: &Placed<'_, '_>,
    source: &Source<'_>,
    title: Option<&str>,
    cache: Option<Raw<'_>>,
) -> Result<(), Error> {
    // Anthropic takes other files only through its own files API.
    if matches!(source, Source::Base64 { media_type, .. } if media_type != "application/pdf") {
        return Err(placed.refused_by(VENDOR, "a PDF"));
    }
    let mut block = Object::begin(out);
    block.text("type", "document");
    write_source(block.field("source"), source);
    if let Some(title) = title {
        block.text("title", title);
    }
    block.raw_if("cache_control", cache);
    block.end();
    Ok(())
}

fn write_source(out: &mut Vec<u8>, source: &Source<'_>) {
    let mut object = Object::begin(out);
    match source {
        Source::Url(url) => {
            object.text("type", "url");
            object.text("url", url);
        }
        Source::Text(text) => {
            object.text("type", "text");
            object.text("media_type", "text/plain");
            object.text("data", text);
        }
        Source::Base64 { media_type, data } => {
            object.text("type", "base64");
            // A common misnomer that Anthropic refuses.
            object.text("media_type", if media_type == "image/jpg" { "image/jpeg" } else { media_type });
            object.text("data", data);
        }
    }
    object.end();
}

fn write_thinking(out: &mut Vec<u8>, text: &str, signature: Option<&str>) {
    let mut block = Object::begin(out);
    block.text("type", "thinking");
    block.text("thinking", text);
    if let Some(signature) = signature {
        block.text("signature", signature);
    }
    block.end();
}

fn write_tool_use(
    out: &mut Vec<u8>,
    placed: &Placed<'_, '_>,
    [id, name, arguments]: [&Cow<'_, str>; 3],
) -> Result<(), Error> {
    let arguments = arguments.trim();
    let input = if arguments.is_empty() { "{}" } else { arguments };
    if !json::is_object(input) {
        return Err(placed.bad_arguments(id));
    }
    let mut block = Object::begin(out);
    block.text("type", "tool_use");
    block.text("id", id);
    block.text("name", name);
    block.raw("input", Raw(input));
    block.end();
    Ok(())
}

fn write_tool_result(
    out: &mut Vec<u8>,
    placed: &Placed<'_, '_>,
    (call_id, is_error): (&str, bool),
    parts: &[Part<'_>],
) -> Result<(), Error> {
    let mut block = Object::begin(out);
    block.text("type", "tool_result");
    block.text("tool_use_id", call_id);
    if is_error {
        block.raw("is_error", Raw("true"));
    }
    let sent: Vec<_> = parts.iter().enumerate().filter(|(_, part)| is_sent(part)).collect();
    if !sent.is_empty() {
        let mut content = Array::begin(block.field("content"));
        for (part_index, part) in sent {
            let inner = Placed { part, place: Place { part: part_index, ..placed.place } };
            write_part(content.item(), &inner)?;
        }
        content.end();
    }
    block.end();
    Ok(())
}

//! Neutral messages to `instructions` and `input` of a responses request. A turn of the model is as many items as it has
//! messages, calls and thoughts; only thoughts that OpenAI proved itself go back to it.

use crate::chat::{Message, Part, Request, Role, Source};
use crate::dialect::dropped::named_once;
use crate::dialect::encode::CALL_FAILED;
use crate::dialect::json::{Array, Object};
use crate::dialect::place::{self, Place};
use crate::dialect::responses::thought;
use crate::dialect::{data_url, responses::output};
use crate::error::{Error, Kind};

/// Writes both.
pub(in crate::dialect::responses) fn write_all(
    body: &mut Object<'_>,
    request: &Request<'_>,
    dropped: &mut Vec<String>,
) -> Result<(), Error> {
    let instructions = request.messages.first().and_then(|message| instructions(message, request));
    if let Some(text) = instructions {
        body.text("instructions", text);
    }
    let mut input = Array::begin(body.field("input"));
    for (index, message) in place::messages(request).skip(usize::from(instructions.is_some())) {
        write_message(&mut input, message, index, dropped)?;
    }
    input.end();
    Ok(())
}

/// The caller's `system`, when it is the one text that `instructions` can be.
fn instructions<'r>(message: &'r Message<'_>, request: &Request<'_>) -> Option<&'r str> {
    match &*message.parts {
        [Part::Text { text, cache: None }] if request.system_first => Some(text),
        _ => None,
    }
}

fn write_message(
    input: &mut Array<'_>,
    message: &Message<'_>,
    index: Option<usize>,
    dropped: &mut Vec<String>,
) -> Result<(), Error> {
    let role = match message.role {
        Role::Assistant => return write_turn(input, message, index, dropped),
        Role::System => "system",
        Role::Developer => "developer",
        Role::User | Role::Tool => "user",
    };
    let is_result = |part: &Part<'_>| matches!(part, Part::ToolResult { .. });
    let all = || {
        message.parts.iter().enumerate().map(|(part, one)| (Place { message: index, part, inner: None }, one))
    };
    for (place, part) in all().filter(|(_, part)| is_result(part)) {
        write_result(input.item(), place, part, dropped)?;
    }
    let mut others = all().filter(|(_, part)| !is_result(part)).peekable();
    if others.peek().is_none() {
        return Ok(());
    }
    let mut item = Object::begin(input.item());
    item.text("type", "message");
    item.text("role", role);
    let mut content = Array::begin(item.field("content"));
    for (place, part) in others {
        write_part(content.item(), place, part, dropped)?;
    }
    content.end();
    item.end();
    Ok(())
}

/// The items of one turn of the model.
fn write_turn(
    input: &mut Array<'_>,
    message: &Message<'_>,
    index: Option<usize>,
    dropped: &mut Vec<String>,
) -> Result<(), Error> {
    let is_said =
        |part: &Part<'_>| matches!(part, Part::Text { .. } | Part::Refusal { .. } | Part::Citation(_));
    let mut part_index = 0;
    for group in message.parts.chunk_by(|one, next| is_said(one) && is_said(next)) {
        let place = Place { message: index, part: part_index, inner: None };
        part_index += group.len();
        match group {
            [Part::ToolCall { id, name, arguments }] => {
                let mut item = Object::begin(input.item());
                item.text("type", "function_call");
                item.text("call_id", id);
                item.text("name", name);
                item.text("arguments", if arguments.is_empty() { "{}" } else { arguments });
                item.end();
            }
            [Part::Reasoning { text, signature }] => {
                write_thought(input, Some(text), signature.as_deref().and_then(thought::own), dropped);
            }
            [Part::ReasoningEncrypted { data }] => write_thought(input, None, thought::own(data), dropped),
            [first, ..] if is_said(first) => write_said(input.item(), group, dropped),
            [part, ..] => return Err(place.refused(part)),
            [] => {}
        }
    }
    Ok(())
}

/// A thought that OpenAI sealed; another would be refused by it. Without an `id`: what is sealed is bound to the one that
/// OpenAI gave, and it refuses any other ("Encrypted content item_id did not match the target item id"), but takes none.
fn write_thought(
    input: &mut Array<'_>,
    text: Option<&str>,
    content: Option<&str>,
    dropped: &mut Vec<String>,
) {
    let Some(content) = content else { return named_once(dropped, "messages.content.thinking") };
    let mut item = Object::begin(input.item());
    item.text("type", "reasoning");
    let mut summary = Array::begin(item.field("summary"));
    if let Some(text) = text {
        output::write_summary(summary.item(), text);
    }
    summary.end();
    item.text("encrypted_content", content);
    item.end();
}

fn write_said(out: &mut Vec<u8>, group: &[Part<'_>], dropped: &mut Vec<String>) {
    let mut item = Object::begin(out);
    item.text("type", "message");
    item.text("role", "assistant");
    // Parts of an answer belong to an item with an id, of which there is none; a text alone needs none.
    if let [Part::Text { text, cache }] = group {
        name_cache(cache.is_some(), dropped);
        item.text("content", text);
        return item.end();
    }
    let mut content = Array::begin(item.field("content"));
    for part in group {
        match part {
            Part::Text { text, cache } => {
                name_cache(cache.is_some(), dropped);
                let mut part = Object::begin(content.item());
                part.text("type", "output_text");
                part.text("text", text);
                part.end();
            }
            Part::Refusal { text } => output::write_refusal(content.item(), text),
            _ => named_once(dropped, "messages.content.citations"),
        }
    }
    content.end();
    item.end();
}

fn name_cache(has_mark: bool, dropped: &mut Vec<String>) {
    if has_mark {
        named_once(dropped, "messages.content.cache_control");
    }
}

fn write_part(
    out: &mut Vec<u8>,
    place: Place,
    part: &Part<'_>,
    dropped: &mut Vec<String>,
) -> Result<(), Error> {
    let mut object = Object::begin(out);
    match part {
        Part::Text { text, cache } => {
            name_cache(cache.is_some(), dropped);
            object.text("type", "input_text");
            object.text("text", text);
        }
        Part::Image { source: Source::Text(_), .. } => return Err(place.refused(part)),
        Part::Image { source, cache } => {
            name_cache(cache.is_some(), dropped);
            object.text("type", "input_image");
            object.text("detail", "auto");
            object.text("image_url", &url(source));
        }
        Part::Document { source, title, cache } => {
            name_cache(cache.is_some(), dropped);
            write_document(&mut object, source, title.as_deref());
        }
        Part::Audio { media_type, data } => {
            object.text("type", "input_audio");
            let mut audio = Object::begin(object.field("input_audio"));
            audio.text("data", data);
            audio.text("format", format(media_type));
            audio.end();
        }
        _ => return Err(place.refused(part)),
    }
    object.end();
    Ok(())
}

fn write_document(object: &mut Object<'_>, source: &Source<'_>, title: Option<&str>) {
    if let Source::Text(text) = source {
        object.text("type", "input_text");
        return object.text("text", text);
    }
    object.text("type", "input_file");
    if let Source::Url(url) = source {
        return object.text("file_url", url);
    }
    // OpenAI wants a name beside the bytes.
    object.text("filename", title.unwrap_or("document.pdf"));
    object.text("file_data", &url(source));
}

/// The URL, or the bytes as one.
fn url(source: &Source<'_>) -> String {
    match source {
        Source::Url(text) | Source::Text(text) => text.clone().into_owned(),
        Source::Base64 { media_type, data } => data_url::written(media_type, data),
    }
}

fn format(media_type: &str) -> &str {
    match media_type {
        "audio/mpeg" => "mp3",
        _ => media_type.strip_prefix("audio/").unwrap_or(media_type),
    }
}

fn write_result(
    out: &mut Vec<u8>,
    place: Place,
    part: &Part<'_>,
    dropped: &mut Vec<String>,
) -> Result<(), Error> {
    let Part::ToolResult { call_id, parts, is_error } = part else { return Ok(()) };
    let mut item = Object::begin(out);
    item.text("type", "function_call_output");
    item.text("call_id", call_id);
    match &**parts {
        [] if !is_error => item.text("output", ""),
        [Part::Text { text, .. }] if !is_error => item.text("output", text),
        _ => {
            let mut output = Array::begin(item.field("output"));
            if *is_error {
                let failed = Part::Text { text: CALL_FAILED.into(), cache: None };
                write_part(output.item(), place, &failed, dropped)?;
            }
            for part in parts {
                write_part(output.item(), place, part, dropped)?;
            }
            output.end();
        }
    }
    item.end();
    Ok(())
}

impl Place {
    fn refused(self, part: &Part<'_>) -> Error {
        let path = self.to_string();
        let what = place::shown(part);
        let message = format!("this provider does not take {what} at `{path}`; leave it out, or ask another");
        Error::new(Kind::UnsupportedParameter, message).with_param(path)
    }
}

//! Neutral messages to `messages` of a chat completions request. Each result of a tool is a message of its own, and they
//! follow the calls at once; pictures and files among the results go into the user message after them, since OpenAI takes
//! only text from a tool. Thoughts have no place here and are left out.

use crate::chat::{Message, Part, Raw, Request, Role, Source};
use crate::dialect::dropped::named_once;
use crate::dialect::encode::CALL_FAILED;
use crate::dialect::json::{Array, Object, write_string};
use crate::dialect::place::{self, Place, Placed};
use crate::dialect::{Quirks, data_url};
use crate::error::{Error, Kind};

/// What one call of a tool gave beside text.
struct Held<'r, 'a> {
    call_id: &'r str,
    parts: Vec<Placed<'r, 'a>>,
}

/// Writes the whole list.
pub(in crate::dialect::openai) fn write_all(
    out: &mut Vec<u8>,
    request: &Request<'_>,
    quirks: Quirks,
    dropped: &mut Vec<String>,
) -> Result<(), Error> {
    name_dropped(request, quirks, dropped);
    let mut array = Array::begin(out);
    let mut held = Vec::new();
    for (index, message) in place::messages(request) {
        let (results, others): (Vec<_>, Vec<_>) =
            placed((index, message)).partition(|placed| matches!(placed.part, Part::ToolResult { .. }));
        for result in &results {
            held.extend(write_result(array.item(), *result)?);
        }
        // More results of the same round may follow.
        if !others.is_empty() || message.role == Role::Assistant {
            let before = std::mem::take(&mut held);
            write_turn(&mut array, message.role, &before, &others, quirks)?;
        }
    }
    write_user(&mut array, &held, &[], quirks)?;
    array.end();
    Ok(())
}

/// The parts that are sent.
fn placed<'r, 'a>(message: (Option<usize>, &'r Message<'a>)) -> impl Iterator<Item = Placed<'r, 'a>> {
    place::parts(message).filter(|one| !is_thought(one.part) && !matches!(one.part, Part::Citation(_)))
}

fn is_thought(part: &Part<'_>) -> bool {
    matches!(part, Part::Reasoning { .. } | Part::ReasoningEncrypted { .. })
}

fn is_titled_text(part: &Part<'_>) -> bool {
    matches!(part, Part::Document { source: Source::Text(_), title: Some(_), .. })
}

fn name_dropped(request: &Request<'_>, quirks: Quirks, dropped: &mut Vec<String>) {
    for (index, message) in place::messages(request) {
        let in_results = message.parts.iter().filter_map(|part| match part {
            Part::ToolResult { parts, .. } => Some(parts),
            _ => None,
        });
        for part in message.parts.iter().chain(in_results.flatten()) {
            if is_thought(part) {
                named_once(dropped, "messages.content.thinking");
            }
            if is_titled_text(part) {
                named_once(dropped, "messages.content.title");
            }
            if !quirks.cache_control && cache(part).is_some() {
                let name =
                    if index.is_none() { "system.cache_control" } else { "messages.content.cache_control" };
                named_once(dropped, name);
            }
        }
    }
}

fn cache<'a>(part: &Part<'a>) -> Option<Raw<'a>> {
    match part {
        Part::Text { cache, .. } | Part::Image { cache, .. } | Part::Document { cache, .. } => *cache,
        _ => None,
    }
}

fn write_turn(
    array: &mut Array<'_>,
    role: Role,
    held: &[Held<'_, '_>],
    parts: &[Placed<'_, '_>],
    quirks: Quirks,
) -> Result<(), Error> {
    match role {
        Role::User | Role::Tool => write_user(array, held, parts, quirks),
        Role::System | Role::Developer => {
            write_user(array, held, &[], quirks)?;
            let is_developer = role == Role::Developer && quirks.is_openai;
            write_texts(array.item(), if is_developer { "developer" } else { "system" }, parts, quirks)
        }
        Role::Assistant => {
            write_user(array, held, &[], quirks)?;
            if parts.is_empty() { Ok(()) } else { write_assistant(array.item(), parts, quirks) }
        }
    }
}

/// What the tools showed, then what the user says; nothing of both is no message.
fn write_user(
    array: &mut Array<'_>,
    held: &[Held<'_, '_>],
    parts: &[Placed<'_, '_>],
    quirks: Quirks,
) -> Result<(), Error> {
    if held.is_empty() && parts.is_empty() {
        return Ok(());
    }
    let mut message = Object::begin(array.item());
    message.text("role", "user");
    if let (true, Some(text)) = (held.is_empty(), single_text(parts, quirks)) {
        message.text("content", text);
        message.end();
        return Ok(());
    }
    let mut content = Array::begin(message.field("content"));
    for one in held {
        write_text(content.item(), &format!("From the result of call {}:", one.call_id), None);
        for placed in &one.parts {
            write_part(content.item(), *placed, quirks)?;
        }
    }
    for placed in parts {
        write_part(content.item(), *placed, quirks)?;
    }
    content.end();
    message.end();
    Ok(())
}

/// The one text that may stand as a plain string: one without a mark that is kept.
fn single_text<'r>(parts: &[Placed<'r, '_>], quirks: Quirks) -> Option<&'r str> {
    match parts {
        [Placed { part: Part::Text { text, cache }, .. }] if cache.is_none() || !quirks.cache_control => {
            Some(text)
        }
        _ => None,
    }
}

fn write_texts(out: &mut Vec<u8>, role: &str, parts: &[Placed<'_, '_>], quirks: Quirks) -> Result<(), Error> {
    let mut message = Object::begin(out);
    message.text("role", role);
    write_text_content(message.field("content"), parts, quirks)?;
    message.end();
    Ok(())
}

fn write_text_content(out: &mut Vec<u8>, parts: &[Placed<'_, '_>], quirks: Quirks) -> Result<(), Error> {
    if let Some(text) = single_text(parts, quirks) {
        write_string(out, text);
        return Ok(());
    }
    let mut content = Array::begin(out);
    for placed in parts {
        match placed.part {
            Part::Text { text, cache } => {
                write_text(content.item(), text, cache.filter(|_| quirks.cache_control));
            }
            Part::Refusal { text } => write_refusal(content.item(), text, quirks),
            _ => return Err(placed.refused("a text")),
        }
    }
    content.end();
    Ok(())
}

fn write_assistant(out: &mut Vec<u8>, parts: &[Placed<'_, '_>], quirks: Quirks) -> Result<(), Error> {
    let (calls, said): (Vec<_>, Vec<_>) =
        parts.iter().copied().partition(|placed| matches!(placed.part, Part::ToolCall { .. }));
    let mut message = Object::begin(out);
    message.text("role", "assistant");
    // Where it is the last word it has a field of its own.
    let (refusal, said) = match said.split_last() {
        Some((Placed { part: Part::Refusal { text }, .. }, before)) if quirks.is_openai => {
            (Some(text), before)
        }
        _ => (None, &*said),
    };
    if said.is_empty() {
        message.raw("content", Raw("null"));
    } else {
        write_text_content(message.field("content"), said, quirks)?;
    }
    if let Some(refusal) = refusal {
        message.text("refusal", refusal);
    }
    if !calls.is_empty() {
        let mut array = Array::begin(message.field("tool_calls"));
        for placed in &calls {
            write_call(array.item(), placed.part);
        }
        array.end();
    }
    message.end();
    Ok(())
}

fn write_call(out: &mut Vec<u8>, part: &Part<'_>) {
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

/// Writes a result's texts; gives what is no text.
fn write_result<'r, 'a>(out: &mut Vec<u8>, placed: Placed<'r, 'a>) -> Result<Option<Held<'r, 'a>>, Error> {
    let Part::ToolResult { call_id, parts, is_error } = placed.part else { return Ok(None) };
    let inner = |(at, part)| Placed { part, place: Place { inner: Some(at), ..placed.place } };
    let all = parts.iter().enumerate().map(inner);
    let (texts, shown): (Vec<_>, Vec<_>) = all.partition(|placed| text_of(placed.part).is_some());
    if let Some(unknown) = shown.iter().find(|placed| matches!(placed.part, Part::Unknown { .. })) {
        return Err(unknown.refused("a text, an image or a document"));
    }
    let mut texts = texts.iter().filter_map(|placed| text_of(placed.part));
    let mut message = Object::begin(out);
    message.text("role", "tool");
    message.text("tool_call_id", call_id);
    let (first, second) =
        if *is_error { (Some(CALL_FAILED), texts.next()) } else { (texts.next(), texts.next()) };
    if second.is_none() {
        message.text("content", first.unwrap_or_default());
    } else {
        let mut content = Array::begin(message.field("content"));
        for text in first.into_iter().chain(second).chain(texts) {
            write_text(content.item(), text, None);
        }
        content.end();
    }
    message.end();
    Ok((!shown.is_empty()).then_some(Held { call_id, parts: shown }))
}

/// The words of what is text, by whatever name.
fn text_of<'p>(part: &'p Part<'_>) -> Option<&'p str> {
    match part {
        Part::Text { text, .. } | Part::Document { source: Source::Text(text), .. } => Some(text),
        _ => None,
    }
}

fn write_part(out: &mut Vec<u8>, placed: Placed<'_, '_>, quirks: Quirks) -> Result<(), Error> {
    let kept = cache(placed.part).filter(|_| quirks.cache_control);
    match placed.part {
        Part::Text { text, .. } => write_text(out, text, kept),
        Part::Image { source, .. } => {
            let mut part = Object::begin(out);
            part.text("type", "image_url");
            let mut image = Object::begin(part.field("image_url"));
            write_url(image.field("url"), source);
            image.end();
            part.raw_if("cache_control", kept);
            part.end();
        }
        // OpenAI takes files as bytes; a text is a text, whatever it is called.
        Part::Document { source: Source::Text(text), .. } => write_text(out, text, kept),
        Part::Audio { media_type, data } => {
            let Some(format) = audio_format(media_type) else {
                return Err(placed.refused("audio in wav or mp3"));
            };
            let mut part = Object::begin(out);
            part.text("type", "input_audio");
            let mut audio = Object::begin(part.field("input_audio"));
            audio.text("data", data);
            audio.text("format", format);
            audio.end();
            part.end();
        }
        Part::Refusal { text } => write_refusal(out, text, quirks),
        Part::Document { source: source @ Source::Base64 { .. }, title, .. } => {
            let mut part = Object::begin(out);
            part.text("type", "file");
            let mut file = Object::begin(part.field("file"));
            // OpenAI wants a name beside the bytes.
            file.text("filename", title.as_deref().unwrap_or("document.pdf"));
            write_url(file.field("file_data"), source);
            file.end();
            part.raw_if("cache_control", kept);
            part.end();
        }
        Part::Document { .. } => return Err(placed.refused("a document in base64")),
        _ => return Err(placed.refused("a text, an image or a document")),
    }
    Ok(())
}

fn write_text(out: &mut Vec<u8>, text: &str, cache: Option<Raw<'_>>) {
    let mut part = Object::begin(out);
    part.text("type", "text");
    part.text("text", text);
    part.raw_if("cache_control", cache);
    part.end();
}

/// Others than OpenAI know texts only.
fn write_refusal(out: &mut Vec<u8>, text: &str, quirks: Quirks) {
    if !quirks.is_openai {
        return write_text(out, text, None);
    }
    let mut part = Object::begin(out);
    part.text("type", "refusal");
    part.text("refusal", text);
    part.end();
}

/// OpenAI's word for a media type.
fn audio_format(media_type: &str) -> Option<&'static str> {
    match media_type {
        "audio/wav" | "audio/wave" | "audio/x-wav" | "audio/vnd.wave" => Some("wav"),
        "audio/mpeg" | "audio/mp3" => Some("mp3"),
        _ => None,
    }
}

/// A URL, or the bytes as a data URL (RFC 2397).
fn write_url(out: &mut Vec<u8>, source: &Source<'_>) {
    match source {
        Source::Url(url) => write_string(out, url),
        Source::Text(text) => write_string(out, text),
        Source::Base64 { media_type, data } => {
            write_string(out, &data_url::written(media_type, data));
        }
    }
}

impl Placed<'_, '_> {
    fn refused(&self, wanted: &str) -> Error {
        let path = self.place.to_string();
        let what = place::shown(self.part);
        let message = format!(
            "this provider takes only {wanted} at `{path}`, not {what}; send that, or ask another provider"
        );
        Error::new(Kind::UnsupportedParameter, message).with_param(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::anthropic::request::decode;

    fn written(body: &str) -> Result<(String, Vec<String>), Error> {
        let request = decode(body.as_bytes())?;
        let (mut out, mut dropped) = (Vec::new(), Vec::new());
        write_all(&mut out, &request, Quirks::OPENAI, &mut dropped)?;
        Ok((String::from_utf8(out).unwrap(), dropped))
    }

    #[test]
    fn what_cannot_cross_is_named_with_its_place() {
        for (body, param) in [
            (
                r#"{"system":"s","messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"search_result","source":"s"}]}]}"#,
                "messages[0].content[1]",
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"url","url":"https://e.com/a.pdf"}}]}]}"#,
                "messages[0].content[0]",
            ),
            (r#"{"system":[{"type":"image","source":{"type":"url","url":"u"}}],"messages":[]}"#, "system[0]"),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"i","content":[{"type":"text","text":"x"},{"type":"tool_reference","tool_name":"f"}]}]}]}"#,
                "messages[0].content[0].content[1]",
            ),
            (
                r#"{"messages":[{"role":"assistant","content":[{"type":"server_tool_use","id":"i","name":"n","input":{}}]}]}"#,
                "messages[0].content[0]",
            ),
        ] {
            let error = written(body).unwrap_err();
            assert_eq!(
                (error.kind, error.param.as_deref()),
                (Kind::UnsupportedParameter, Some(param)),
                "{body}"
            );
        }
    }

    #[test]
    fn a_turn_of_thoughts_alone_is_left_out() {
        let body = r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"}]},{"role":"user","content":"b"}]}"#;
        let (out, dropped) = written(body).unwrap();
        assert_eq!(out, r#"[{"role":"user","content":"a"},{"role":"user","content":"b"}]"#);
        assert_eq!(dropped, ["messages.content.thinking"]);
    }

    #[test]
    fn results_stay_together_and_their_pictures_follow() {
        let picture = r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUI="}}"#;
        let body = format!(
            r#"{{"messages":[{{"role":"user","content":[{{"type":"text","text":"see"}},{{"type":"tool_result","tool_use_id":"a","content":[{picture}]}},{{"type":"tool_result","tool_use_id":"b","is_error":true,"content":"no"}}]}}]}}"#
        );
        assert_eq!(
            written(&body).unwrap().0,
            r#"[{"role":"tool","tool_call_id":"a","content":""},{"role":"tool","tool_call_id":"b","content":[{"type":"text","text":"The call failed:"},{"type":"text","text":"no"}]},{"role":"user","content":[{"type":"text","text":"From the result of call a:"},{"type":"image_url","image_url":{"url":"data:image/png;base64,QUI="}},{"type":"text","text":"see"}]}]"#
        );
    }
}

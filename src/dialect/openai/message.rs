//! What stands in `messages` of a chat completions request, to neutral messages: one for one, so that an index in an
//! error is the caller's. It judges shape only; what a target can't take is the target's to refuse.

pub(super) mod encode;

use std::borrow::Cow;
use std::fmt::Display;

use serde::Deserialize;

use crate::chat::{Message, Part, Request, Role};
use crate::dialect::fault::{required, untranslated, wrong};
use crate::dialect::json::{Span, Text};
use crate::dialect::{content, data_url, dropped};
use crate::error::Error;

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    content: Option<Span<'a>>,
    #[serde(borrow)]
    name: Option<Span<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<WireToolCall<'a>>>,
    #[serde(borrow)]
    tool_call_id: Option<Text<'a>>,
    #[serde(borrow)]
    function_call: Option<Span<'a>>,
    #[serde(borrow)]
    audio: Option<Span<'a>>,
    #[serde(borrow)]
    reasoning_details: Option<Vec<WireReasoning<'a>>>,
}

#[derive(Deserialize)]
struct WireToolCall<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    function: Option<WireCalled<'a>>,
}

#[derive(Deserialize)]
struct WireCalled<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireReasoning<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    index: Option<u64>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WirePart<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    image_url: Option<WireImage<'a>>,
    #[serde(borrow)]
    file: Option<WireFile<'a>>,
    #[serde(borrow)]
    input_audio: Option<WireAudio<'a>>,
    #[serde(borrow)]
    cache_control: Option<Span<'a>>,
}

#[derive(Deserialize)]
struct WireImage<'a> {
    #[serde(borrow)]
    url: Text<'a>,
    #[serde(borrow)]
    detail: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireAudio<'a> {
    #[serde(borrow)]
    data: Text<'a>,
    #[serde(borrow)]
    format: Text<'a>,
}

#[derive(Deserialize)]
struct WireFile<'a> {
    #[serde(borrow)]
    file_data: Option<Text<'a>>,
    #[serde(borrow)]
    filename: Option<Text<'a>>,
}

/// Decodes the whole list into `request.messages`.
pub(super) fn decode_all<'a>(value: Span<'a>, request: &mut Request<'a>) -> Result<(), Error> {
    let spans: Vec<Span<'a>> = value.parse(&"messages")?;
    request.messages.reserve(spans.len());
    for (index, span) in spans.into_iter().enumerate() {
        let message = decode(span, &format_args!("messages[{index}]"), &mut request.dropped)?;
        request.messages.push(message);
    }
    Ok(())
}

fn decode<'a>(
    span: Span<'a>,
    path: &dyn Display,
    dropped: &mut Vec<Cow<'a, str>>,
) -> Result<Message<'a>, Error> {
    let mut wire: WireMessage<'a> = span.parse(path)?;
    let role = match &*wire.role.0 {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        "function" => {
            return Err(untranslated(format_args!("{path}.role"), "use role `tool` with `tool_call_id`"));
        }
        _ => {
            return Err(wrong(
                format_args!("{path}.role"),
                "must be system, developer, user, assistant or tool",
            ));
        }
    };
    if wire.function_call.is_some() {
        return Err(untranslated(format_args!("{path}.function_call"), "send the call in `tool_calls`"));
    }
    if wire.audio.is_some() {
        return Err(untranslated(format_args!("{path}.audio"), "send what was said as text"));
    }
    if wire.name.is_some() {
        dropped::once(dropped, "messages.name");
    }
    let content = said(wire.content, path, dropped)?;
    let parts = match role {
        Role::Tool => vec![tool_result(wire.tool_call_id, content, path)?],
        Role::Assistant => assistant(&mut wire, content, path)?,
        Role::System | Role::Developer | Role::User => content,
    };
    Ok(Message { role, parts })
}

fn tool_result<'a>(
    id: Option<Text<'a>>,
    parts: Vec<Part<'a>>,
    path: &dyn Display,
) -> Result<Part<'a>, Error> {
    let Some(Text(call_id)) = id else {
        return Err(wrong(
            format_args!("{path}.tool_call_id"),
            "is required: it names the call that this answers",
        ));
    };
    Ok(Part::ToolResult { call_id, parts, is_error: false })
}

/// Content first, so that its indices stay the caller's; a target that wants thoughts before words moves them.
fn assistant<'a>(
    wire: &mut WireMessage<'a>,
    mut parts: Vec<Part<'a>>,
    path: &dyn Display,
) -> Result<Vec<Part<'a>>, Error> {
    let mut open = None;
    if let Some(Text(text)) = wire.refusal.take() {
        parts.push(Part::Refusal { text });
    }
    for detail in wire.reasoning_details.take().into_iter().flatten() {
        add_thought(&mut parts, detail, &mut open);
    }
    for (index, call) in wire.tool_calls.take().into_iter().flatten().enumerate() {
        parts.push(tool_call(call, &format_args!("{path}.tool_calls[{index}]"))?);
    }
    Ok(parts)
}

/// Adds a thought, or more of the last one: callers who gather a stream's pieces without joining them send each piece, all
/// with the thought's `index`, which is `open`.
fn add_thought<'a>(parts: &mut Vec<Part<'a>>, wire: WireReasoning<'a>, open: &mut Option<u64>) {
    let signature = wire.signature.map(|text| text.0).filter(|text| !text.is_empty());
    match (&*wire.kind.0, wire.text, wire.data) {
        ("reasoning.text", text, _) if text.is_some() || signature.is_some() => {
            let text = text.map_or(Cow::Borrowed(""), |text| text.0);
            let is_more = wire.index.is_some() && wire.index == *open;
            *open = wire.index;
            match parts.last_mut() {
                Some(Part::Reasoning { text: said, signature: proof @ None }) if is_more => {
                    said.to_mut().push_str(&text);
                    *proof = signature;
                }
                _ => parts.push(Part::Reasoning { text, signature }),
            }
        }
        ("reasoning.encrypted", _, Some(Text(data))) => {
            *open = None;
            parts.push(Part::ReasoningEncrypted { data });
        }
        _ => {}
    }
}

/// The media type of OpenAI's word for it.
fn audio_type(format: &str) -> Option<&'static str> {
    match format {
        "wav" => Some("audio/wav"),
        "mp3" => Some("audio/mpeg"),
        _ => None,
    }
}

fn tool_call<'a>(wire: WireToolCall<'a>, path: &dyn Display) -> Result<Part<'a>, Error> {
    if wire.kind.is_some_and(|kind| kind.0 != "function") {
        return Err(untranslated(format_args!("{path}.type"), "only `function` calls are"));
    }
    let function = required(wire.function, path, ".function")?;
    let arguments = function.arguments.map_or(Cow::Borrowed(""), |text| text.0);
    Ok(Part::ToolCall { id: wire.id.0, name: function.name.0, arguments })
}

fn said<'a>(
    value: Option<Span<'a>>,
    path: &dyn Display,
    dropped: &mut Vec<Cow<'a, str>>,
) -> Result<Vec<Part<'a>>, Error> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let path = &format_args!("{path}.content");
    content::decode(value, path, |span, path| part(span, path, dropped))
}

fn part<'a>(span: Span<'a>, path: &dyn Display, dropped: &mut Vec<Cow<'a, str>>) -> Result<Part<'a>, Error> {
    let wire: WirePart<'a> = span.parse(path)?;
    let cache = wire.cache_control.map(Span::raw);
    match &*wire.kind.0 {
        "text" => {
            let Text(text) = required(wire.text, path, ".text")?;
            Ok(Part::Text { text, cache })
        }
        "refusal" => {
            let Text(text) = required(wire.refusal, path, ".refusal")?;
            Ok(Part::Refusal { text })
        }
        "input_audio" => {
            let audio = required(wire.input_audio, path, ".input_audio")?;
            let Some(media_type) = audio_type(&audio.format.0) else {
                return Err(untranslated(format_args!("{path}.input_audio.format"), "send it as wav or mp3"));
            };
            Ok(Part::Audio { media_type: Cow::Borrowed(media_type), data: audio.data.0 })
        }
        "image_url" => {
            let image = required(wire.image_url, path, ".image_url")?;
            if image.detail.is_some_and(|detail| detail.0 != "auto") {
                dropped::once(dropped, "messages.content.image_url.detail");
            }
            let Some(source) = data_url::source(image.url.0) else {
                return Err(wrong(
                    format_args!("{path}.image_url.url"),
                    "must be a URL, or a data URL in base64",
                ));
            };
            Ok(Part::Image { source, cache })
        }
        "file" => {
            match wire.file.and_then(|file| Some((data_url::source(file.file_data?.0)?, file.filename))) {
                Some((source, title)) => {
                    Ok(Part::Document { source, title: title.map(|text| text.0), cache })
                }
                None => Err(untranslated(
                    format_args!("{path}.file"),
                    "send it as `file_data`, a data URL in base64",
                )),
            }
        }
        _ => Ok(Part::Unknown { kind: wire.kind.0 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::openai::request;
    use crate::error::Kind;

    fn refused(message: &str) -> Error {
        request::decode(format!(r#"{{"messages":[{message}]}}"#).as_bytes()).unwrap_err()
    }

    #[test]
    fn each_wrong_message_is_named_with_its_place() {
        for (message, kind, param) in [
            ("1", Kind::InvalidRequest, "messages[0]"),
            (r#"{"content":"x"}"#, Kind::InvalidRequest, "messages[0]"),
            (r#"{"role":"robot"}"#, Kind::InvalidRequest, "messages[0].role"),
            (r#"{"role":"function","name":"f"}"#, Kind::UnsupportedParameter, "messages[0].role"),
            (
                r#"{"role":"assistant","function_call":{}}"#,
                Kind::UnsupportedParameter,
                "messages[0].function_call",
            ),
            (r#"{"role":"assistant","audio":{"id":"a"}}"#, Kind::UnsupportedParameter, "messages[0].audio"),
            (r#"{"role":"tool","content":"x"}"#, Kind::InvalidRequest, "messages[0].tool_call_id"),
            (r#"{"role":"user","content":7}"#, Kind::InvalidRequest, "messages[0].content"),
            (
                r#"{"role":"user","content":[{"type":"text"}]}"#,
                Kind::InvalidRequest,
                "messages[0].content[0].text",
            ),
            (
                r#"{"role":"user","content":[{"type":"text","text":""},{"type":"image_url","image_url":{"url":"data:image/png,x"}}]}"#,
                Kind::InvalidRequest,
                "messages[0].content[1].image_url.url",
            ),
            (
                r#"{"role":"user","content":[{"type":"file","file":{"file_id":"file-1"}}]}"#,
                Kind::UnsupportedParameter,
                "messages[0].content[0].file",
            ),
            (
                r#"{"role":"assistant","tool_calls":[{"id":"1","type":"custom","custom":{}}]}"#,
                Kind::UnsupportedParameter,
                "messages[0].tool_calls[0].type",
            ),
        ] {
            let error = refused(message);
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{message}");
        }
    }
}

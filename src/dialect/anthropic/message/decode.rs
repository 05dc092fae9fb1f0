//! What stands in `messages` and `system` of a messages request, to neutral messages: one for one, so that an index in an
//! error is the caller's. It judges shape only; what a target can't take is the target's to refuse.

use std::borrow::Cow;
use std::fmt::Display;

use serde::Deserialize;

use crate::chat::{Message, Part, Raw, Request, Role, Source};
use crate::dialect::fault::{required, untranslated, wrong};
use crate::dialect::json::{Span, Text};
use crate::dialect::origin::UNSIGNED;
use crate::dialect::{content, dropped};
use crate::error::Error;

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    content: Span<'a>,
}

#[derive(Deserialize)]
struct WireBlock<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    source: Option<Span<'a>>,
    #[serde(borrow)]
    title: Option<Span<'a>>,
    #[serde(borrow)]
    context: Option<Span<'a>>,
    #[serde(borrow)]
    citations: Option<Span<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<Span<'a>>,
    #[serde(borrow)]
    tool_use_id: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Span<'a>>,
    is_error: Option<bool>,
    #[serde(borrow)]
    cache_control: Option<Span<'a>>,
}

#[derive(Deserialize)]
struct WireSource<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    url: Option<Text<'a>>,
    #[serde(borrow)]
    media_type: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Span<'a>>,
}

/// Decodes the whole list into `request.messages`.
pub(in crate::dialect::anthropic) fn decode_all<'a>(
    value: Span<'a>,
    request: &mut Request<'a>,
) -> Result<(), Error> {
    let spans: Vec<Span<'a>> = value.parse(&"messages")?;
    request.messages.reserve(spans.len() + 1);
    for (index, span) in spans.into_iter().enumerate() {
        let message = decode(span, &format_args!("messages[{index}]"), &mut request.dropped)?;
        request.messages.push(message);
    }
    Ok(())
}

/// Decodes `system`: a text, or blocks of text.
pub(in crate::dialect::anthropic) fn system<'a>(
    value: Span<'a>,
    dropped: &mut Vec<Cow<'a, str>>,
) -> Result<Vec<Part<'a>>, Error> {
    said(value, &"system", dropped)
}

fn decode<'a>(
    span: Span<'a>,
    path: &dyn Display,
    dropped: &mut Vec<Cow<'a, str>>,
) -> Result<Message<'a>, Error> {
    let wire: WireMessage<'a> = span.parse(path)?;
    let parts = said(wire.content, &format_args!("{path}.content"), dropped)?;
    let is_result = |part: &Part<'_>| matches!(part, Part::ToolResult { .. });
    let role = match &*wire.role.0 {
        "user" if !parts.is_empty() && parts.iter().all(is_result) => Role::Tool,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(wrong(format_args!("{path}.role"), "must be user or assistant")),
    };
    Ok(Message { role, parts })
}

fn said<'a>(
    value: Span<'a>,
    path: &dyn Display,
    dropped: &mut Vec<Cow<'a, str>>,
) -> Result<Vec<Part<'a>>, Error> {
    content::decode(value, path, |span, path| block(span, path, dropped))
}

fn block<'a>(span: Span<'a>, path: &dyn Display, dropped: &mut Vec<Cow<'a, str>>) -> Result<Part<'a>, Error> {
    let mut wire: WireBlock<'a> = span.parse(path)?;
    if wire.citations.is_some_and(|citations| citations.first() != b'n') {
        dropped::once(dropped, "messages.content.citations");
    }
    let cache = wire.cache_control.take().map(Span::raw);
    let part = match &*wire.kind.0 {
        "text" => Part::Text { text: required(wire.text, path, ".text")?.0, cache },
        "image" => {
            let source = picture(required(wire.source, path, ".source")?, path)?;
            Part::Image { source, cache }
        }
        "document" => return document(&wire, path, cache, dropped),
        "thinking" => Part::Reasoning {
            text: required(wire.thinking, path, ".thinking")?.0,
            signature: wire.signature.map(|text| text.0).filter(|text| !text.is_empty() && text != UNSIGNED),
        },
        "redacted_thinking" => Part::ReasoningEncrypted { data: required(wire.data, path, ".data")?.0 },
        "tool_use" => call(wire, path)?,
        "tool_result" => result(wire, path, dropped)?,
        _ => Part::Unknown { kind: wire.kind.0 },
    };
    let holds_cache = matches!(part, Part::Text { .. } | Part::Image { .. });
    if cache.is_some() && !holds_cache {
        dropped::once(dropped, "messages.content.cache_control");
    }
    Ok(part)
}

fn call<'a>(wire: WireBlock<'a>, path: &dyn Display) -> Result<Part<'a>, Error> {
    let input: Span<'a> = required(wire.input, path, ".input")?;
    if input.first() != b'{' {
        return Err(wrong(format_args!("{path}.input"), "must be an object"));
    }
    Ok(Part::ToolCall {
        id: required(wire.id, path, ".id")?.0,
        name: required(wire.name, path, ".name")?.0,
        arguments: Cow::Borrowed(input.raw().0),
    })
}

fn result<'a>(
    wire: WireBlock<'a>,
    path: &dyn Display,
    dropped: &mut Vec<Cow<'a, str>>,
) -> Result<Part<'a>, Error> {
    let call_id = required(wire.tool_use_id, path, ".tool_use_id")?.0;
    let value = wire.content.filter(|value| value.first() != b'n');
    let parts = match value {
        Some(value) => said(value, &format_args!("{path}.content"), dropped)?,
        None => Vec::new(),
    };
    // One level only: what nests deeper is no result of a tool.
    if parts.iter().any(|part| matches!(part, Part::ToolResult { .. } | Part::ToolCall { .. })) {
        return Err(wrong(format_args!("{path}.content"), "must hold texts, images and documents"));
    }
    Ok(Part::ToolResult { call_id, parts, is_error: wire.is_error == Some(true) })
}

fn picture<'a>(span: Span<'a>, path: &dyn Display) -> Result<Source<'a>, Error> {
    let wire: WireSource<'a> = span.parse(&format_args!("{path}.source"))?;
    source(wire, path)
}

fn document<'a>(
    wire: &WireBlock<'a>,
    path: &dyn Display,
    cache: Option<Raw<'a>>,
    dropped: &mut Vec<Cow<'a, str>>,
) -> Result<Part<'a>, Error> {
    let source_path = &format_args!("{path}.source");
    let span: Span<'a> = required(wire.source, path, ".source")?;
    let from: WireSource<'a> = span.parse(source_path)?;
    if wire.context.is_some_and(|context| context.first() != b'n') {
        dropped::once(dropped, "messages.content.context");
    }
    let title = wire.title.filter(|title| title.first() == b'"');
    let title = title.map(|title| title.parse::<Text<'a>>(&format_args!("{path}.title"))).transpose()?;
    let source = match &*from.kind.0 {
        "text" => Source::Text(required(from.data, source_path, ".data")?.0),
        // Blocks of content may hold pictures, and their places are cited: only the plain form is a text.
        "content" if from.content.is_some_and(|content| content.first() == b'"') => {
            let content: Span<'a> = required(from.content, source_path, ".content")?;
            Source::Text(content.parse::<Text<'a>>(source_path)?.0)
        }
        _ => source(from, path)?,
    };
    Ok(Part::Document { source, title: title.map(|text| text.0), cache })
}

fn source<'a>(wire: WireSource<'a>, path: &dyn Display) -> Result<Source<'a>, Error> {
    match &*wire.kind.0 {
        "url" => Ok(Source::Url(required(wire.url, path, ".source.url")?.0)),
        "base64" => Ok(Source::Base64 {
            media_type: required(wire.media_type, path, ".source.media_type")?.0,
            data: required(wire.data, path, ".source.data")?.0,
        }),
        _ => Err(untranslated(format_args!("{path}.source.type"), "send `base64` or `url`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::anthropic::request::decode;
    use crate::error::Kind;

    fn refused(message: &str) -> Error {
        decode(format!(r#"{{"messages":[{message}]}}"#).as_bytes()).unwrap_err()
    }

    #[test]
    fn each_wrong_message_is_named_with_its_place() {
        let invalid = Kind::InvalidRequest;
        for (message, kind, param) in [
            ("1", invalid, "messages[0]"),
            (r#"{"role":"user"}"#, invalid, "messages[0]"),
            (r#"{"role":"robot","content":"x"}"#, invalid, "messages[0].role"),
            (r#"{"role":"user","content":7}"#, invalid, "messages[0].content"),
            (r#"{"role":"user","content":[{"type":"text"}]}"#, invalid, "messages[0].content[0].text"),
            (
                r#"{"role":"user","content":[{"type":"text","text":""},{"type":"image"}]}"#,
                invalid,
                "messages[0].content[1].source",
            ),
            (
                r#"{"role":"user","content":[{"type":"image","source":{"type":"base64","data":"x"}}]}"#,
                invalid,
                "messages[0].content[0].source.media_type",
            ),
            (
                r#"{"role":"user","content":[{"type":"document","source":{"type":"file","file_id":"f"}}]}"#,
                Kind::UnsupportedParameter,
                "messages[0].content[0].source.type",
            ),
            (
                r#"{"role":"assistant","content":[{"type":"tool_use","id":"i","name":"f","input":[]}]}"#,
                invalid,
                "messages[0].content[0].input",
            ),
            (
                r#"{"role":"user","content":[{"type":"tool_result","content":"x"}]}"#,
                invalid,
                "messages[0].content[0].tool_use_id",
            ),
            (
                r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"i","content":[{"type":"text"}]}]}"#,
                invalid,
                "messages[0].content[0].content[0].text",
            ),
        ] {
            let error = refused(message);
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{message}");
        }
    }

    #[test]
    fn a_turn_of_results_alone_is_the_tools() {
        let result = r#"{"type":"tool_result","tool_use_id":"i"}"#;
        let role = |content: &str| {
            let body = format!(r#"{{"messages":[{{"role":"user","content":[{content}]}}]}}"#);
            decode(body.as_bytes()).unwrap().messages[0].role
        };
        assert_eq!(role(result), Role::Tool);
        assert_eq!(role(&format!(r#"{result},{{"type":"text","text":"x"}}"#)), Role::User);
        assert_eq!(role(""), Role::User);
    }
}

//! What stands in `messages` of a chat request of Cohere's, to neutral messages: one for one, so that an index in an error is the
//! caller's. It judges shape only; what a target can't take is the target's to refuse.

pub(super) mod encode;

use std::borrow::Cow;
use std::fmt::Display;

use serde::Deserialize;

use crate::chat::{Message, Part, Request, Role, Source};
use crate::dialect::fault::{required, wrong};
use crate::dialect::json::{self, Span, Text};
use crate::dialect::{content, data_url, dropped};
use crate::error::Error;

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    content: Option<Span<'a>>,
    #[serde(borrow)]
    tool_plan: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<WireToolCall<'a>>>,
    #[serde(borrow)]
    tool_call_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireToolCall<'a> {
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
struct WirePart<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    image_url: Option<WireImage<'a>>,
    #[serde(borrow)]
    document: Option<Span<'a>>,
}

#[derive(Deserialize)]
struct WireImage<'a> {
    #[serde(borrow)]
    url: Text<'a>,
    #[serde(borrow)]
    detail: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireDocument<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    data: Span<'a>,
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
    let wire: WireMessage<'a> = span.parse(path)?;
    let role = match &*wire.role.0 {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        _ => return Err(wrong(format_args!("{path}.role"), "must be system, user, assistant or tool")),
    };
    let mut parts = said(wire.content, path, dropped)?;
    if role == Role::Tool {
        let Some(Text(call_id)) = wire.tool_call_id else {
            return Err(wrong(
                format_args!("{path}.tool_call_id"),
                "is required: it names the call that this answers",
            ));
        };
        parts = vec![Part::ToolResult { call_id, parts, is_error: false }];
    }
    // Content first, so that its indices stay the caller's.
    if let Some(Text(text)) = wire.tool_plan.filter(|plan| !plan.0.is_empty()) {
        parts.push(Part::Reasoning { text, signature: None });
    }
    for (index, call) in wire.tool_calls.into_iter().flatten().enumerate() {
        let function = required(call.function, path, &format!(".tool_calls[{index}].function"))?;
        let arguments = function.arguments.map_or(Cow::Borrowed(""), |text| text.0);
        parts.push(Part::ToolCall { id: call.id.0, name: function.name.0, arguments });
    }
    Ok(Message { role, parts })
}

fn said<'a>(
    value: Option<Span<'a>>,
    path: &dyn Display,
    dropped: &mut Vec<Cow<'a, str>>,
) -> Result<Vec<Part<'a>>, Error> {
    let Some(value) = value.filter(|value| value.first() != b'n') else { return Ok(Vec::new()) };
    content::decode(value, &format_args!("{path}.content"), |span, path| part(span, path, dropped))
}

fn part<'a>(span: Span<'a>, path: &dyn Display, dropped: &mut Vec<Cow<'a, str>>) -> Result<Part<'a>, Error> {
    let wire: WirePart<'a> = span.parse(path)?;
    match &*wire.kind.0 {
        "text" => {
            let Text(text) = required(wire.text, path, ".text")?;
            Ok(Part::Text { text, cache: None })
        }
        "thinking" => {
            let Text(text) = required(wire.thinking, path, ".thinking")?;
            Ok(Part::Reasoning { text, signature: None })
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
            Ok(Part::Image { source, cache: None })
        }
        "document" => {
            let span = required(wire.document, path, ".document")?;
            document(span, &format_args!("{path}.document"))
        }
        _ => Ok(Part::Unknown { kind: wire.kind.0 }),
    }
}

/// The documents beside the messages.
pub(super) fn documents<'a>(value: Span<'a>) -> Result<Vec<Part<'a>>, Error> {
    let spans: Vec<Span<'a>> = value.parse(&"documents")?;
    let one = |(index, span): (usize, Span<'a>)| document(span, &format_args!("documents[{index}]"));
    spans.into_iter().enumerate().map(one).collect()
}

/// A text, or an object of which all is shown to the model: one of a title and a text is just that, another its JSON.
fn document<'a>(span: Span<'a>, path: &dyn Display) -> Result<Part<'a>, Error> {
    let made = |text, title| Part::Document { source: Source::Text(text), title, cache: None };
    if span.first() == b'"' {
        return Ok(made(span.parse::<Text<'a>>(path)?.0, None));
    }
    let wire: WireDocument<'a> = span.parse(path)?;
    if wire.data.first() != b'{' {
        return Err(wrong(format_args!("{path}.data"), "must be an object"));
    }
    let id = wire.id.map(|id| id.0);
    let (mut text, mut title, mut is_plain) = (None, None, true);
    for (name, value) in json::fields(wire.data.raw().0.as_bytes())? {
        let slot = match &*name {
            "text" | "snippet" | "content" => &mut text,
            "title" => &mut title,
            _ => {
                is_plain = false;
                break;
            }
        };
        is_plain = slot.is_none() && value.first() == b'"';
        if !is_plain {
            break;
        }
        *slot = Some(value.parse::<Text<'a>>(path)?.0);
    }
    match text.filter(|_| is_plain) {
        Some(text) => Ok(made(text, title.or(id))),
        None => Ok(made(Cow::Borrowed(wire.data.raw().0), id)),
    }
}

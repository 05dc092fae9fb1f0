//! What stands in `messages` and `system` of a Converse request, to neutral messages: one for one. A `cachePoint` marks what
//! stands before it and is no part of its own. It judges shape only; what a target can't take is the target's to refuse.

use std::borrow::Cow;
use std::fmt::Display;

use serde::Deserialize;

use crate::chat::{Message, Part, Raw, Request, Role, Source};
use crate::dialect::base64;
use crate::dialect::bedrock::media::Media;
use crate::dialect::dropped;
use crate::dialect::json::{self, Span, Text};
use crate::error::{Error, Kind};

type Dropped<'d, 'a> = &'d mut Vec<Cow<'a, str>>;

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    content: Span<'a>,
}

#[derive(Deserialize)]
struct WireFile<'a> {
    #[serde(borrow)]
    format: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    source: WireSource<'a>,
    #[serde(borrow)]
    context: Option<Span<'a>>,
    #[serde(borrow)]
    citations: Option<Span<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSource<'a> {
    #[serde(borrow)]
    bytes: Option<Text<'a>>,
    #[serde(borrow)]
    s3_location: Option<WireS3<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Vec<WireText<'a>>>,
}

#[derive(Deserialize)]
struct WireS3<'a> {
    #[serde(borrow)]
    uri: Text<'a>,
}

#[derive(Deserialize)]
pub(super) struct WireText<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireCall<'a> {
    #[serde(borrow)]
    tool_use_id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    input: Span<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireResult<'a> {
    #[serde(borrow)]
    tool_use_id: Text<'a>,
    #[serde(borrow)]
    content: Vec<Span<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireThought<'a> {
    #[serde(borrow)]
    reasoning_text: Option<WireSigned<'a>>,
    #[serde(borrow)]
    redacted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireSigned<'a> {
    #[serde(borrow)]
    text: Text<'a>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireCited<'a> {
    #[serde(borrow)]
    content: Option<Vec<WireText<'a>>>,
}

#[derive(Deserialize)]
struct WireGuarded<'a> {
    #[serde(borrow)]
    text: Option<WireText<'a>>,
    #[serde(borrow)]
    image: Option<Span<'a>>,
}

#[derive(Deserialize)]
struct WireSearch<'a> {
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Vec<WireText<'a>>>,
}

/// Decodes the whole list into `request.messages`.
pub(super) fn messages<'a>(value: Span<'a>, request: &mut Request<'a>) -> Result<(), Error> {
    let spans: Vec<Span<'a>> = value.parse(&"messages")?;
    request.messages.reserve(spans.len() + 1);
    for (index, span) in spans.into_iter().enumerate() {
        let path = format_args!("messages[{index}]");
        let wire: WireMessage<'a> = span.parse(&path)?;
        let parts = blocks(wire.content, &format_args!("messages[{index}].content"), &mut request.dropped)?;
        let is_result = |part: &Part<'_>| matches!(part, Part::ToolResult { .. });
        let role = match &*wire.role.0 {
            "user" if !parts.is_empty() && parts.iter().all(is_result) => Role::Tool,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            _ => return Err(wrong(&path, ".role", "must be user or assistant")),
        };
        request.messages.push(Message { role, parts });
    }
    Ok(())
}

/// Decodes `system`: blocks of text.
pub(super) fn system<'a>(value: Span<'a>, dropped: Dropped<'_, 'a>) -> Result<Vec<Part<'a>>, Error> {
    blocks(value, &"system", dropped)
}

fn blocks<'a>(value: Span<'a>, path: &dyn Display, dropped: Dropped<'_, 'a>) -> Result<Vec<Part<'a>>, Error> {
    let spans: Vec<Span<'a>> = value.parse(path)?;
    let mut parts: Vec<Part<'a>> = Vec::with_capacity(spans.len());
    for (index, span) in spans.into_iter().enumerate() {
        let path = format_args!("{path}[{index}]");
        let (name, value) = member(span, &path)?;
        if name == "cachePoint" {
            if !set_mark(parts.last_mut(), mark(value)) {
                dropped::once(dropped, "messages.content.cachePoint");
            }
            continue;
        }
        block(&name, value, (&format_args!("{path}.{name}"), dropped), &mut parts)?;
    }
    Ok(parts)
}

/// The one member of a block (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html>: a
/// union).
fn member<'a>(span: Span<'a>, path: &dyn Display) -> Result<(Cow<'a, str>, Span<'a>), Error> {
    let fields = json::fields(span.raw().0.as_bytes()).ok();
    let fields = fields.unwrap_or_default();
    match <[_; 1]>::try_from(fields) {
        Ok([only]) => Ok(only),
        Err(_) => Err(wrong(path, "", "must be an object with one member, such as `text`")),
    }
}

/// Anthropic's mark, of the lifetime that a `cachePoint` has.
pub(super) fn mark(point: Span<'_>) -> Raw<'static> {
    match point.raw().0 {
        long if long.contains("\"1h\"") => Raw(r#"{"type":"ephemeral","ttl":"1h"}"#),
        short if short.contains("\"5m\"") => Raw(r#"{"type":"ephemeral","ttl":"5m"}"#),
        _ => Raw(r#"{"type":"ephemeral"}"#),
    }
}

fn set_mark<'a>(part: Option<&mut Part<'a>>, mark: Raw<'a>) -> bool {
    match part {
        Some(Part::Text { cache, .. } | Part::Image { cache, .. } | Part::Document { cache, .. }) => {
            *cache = Some(mark);
            true
        }
        _ => false,
    }
}

fn block<'a>(
    name: &str,
    value: Span<'a>,
    (path, dropped): (&dyn Display, Dropped<'_, 'a>),
    parts: &mut Vec<Part<'a>>,
) -> Result<(), Error> {
    let text = |text| Part::Text { text, cache: None };
    parts.push(match name {
        "text" => text(value.parse::<Text<'a>>(path)?.0),
        // Only in a tool's result.
        "json" => text(Cow::Borrowed(value.raw().0)),
        "image" => {
            let file: WireFile<'a> = value.parse(path)?;
            match source(file, path, Media::Image)? {
                Source::Url(_) => in_s3(),
                source => Part::Image { source, cache: None },
            }
        }
        "document" => document(value, path, dropped)?,
        "audio" => sound(value, path)?,
        "toolUse" => {
            let call: WireCall<'a> = value.parse(path)?;
            if call.input.first() != b'{' {
                return Err(wrong(path, ".input", "must be an object"));
            }
            let arguments = Cow::Borrowed(call.input.raw().0);
            Part::ToolCall { id: call.tool_use_id.0, name: call.name.0, arguments }
        }
        "toolResult" => result(value, path, dropped)?,
        "reasoningContent" => thought(value, path)?,
        "citationsContent" => {
            let cited: WireCited<'a> = value.parse(path)?;
            dropped::once(dropped, "messages.content.citationsContent.citations");
            text(joined(cited.content))
        }
        "guardContent" => {
            let guarded: WireGuarded<'a> = value.parse(path)?;
            dropped::once(dropped, "messages.content.guardContent");
            match guarded.image {
                Some(image) => return block("image", image, (path, dropped), parts),
                None => text(guarded.text.and_then(|one| one.text).map(|one| one.0).unwrap_or_default()),
            }
        }
        "searchResult" => {
            let found: WireSearch<'a> = value.parse(path)?;
            dropped::once(dropped, "messages.content.searchResult.source");
            let source = Source::Text(joined(found.content));
            Part::Document { source, title: found.title.map(|title| title.0), cache: None }
        }
        other => Part::Unknown { kind: Cow::Owned(other.to_owned()) },
    });
    Ok(())
}

fn joined<'a>(texts: Option<Vec<WireText<'a>>>) -> Cow<'a, str> {
    let texts = texts.unwrap_or_default().into_iter().filter_map(|one| one.text).map(|text| text.0);
    texts.reduce(|all, more| Cow::Owned(all.into_owned() + &*more)).unwrap_or_default()
}

fn thought<'a>(value: Span<'a>, path: &dyn Display) -> Result<Part<'a>, Error> {
    let wire: WireThought<'a> = value.parse(path)?;
    match (wire.reasoning_text, wire.redacted_content) {
        (Some(signed), _) => Ok(Part::Reasoning {
            text: signed.text.0,
            signature: signed.signature.map(|text| text.0).filter(|text| !text.is_empty()),
        }),
        (None, Some(sealed)) => Ok(Part::ReasoningEncrypted { data: sealed.0 }),
        (None, None) => Err(wrong(path, "", "must hold `reasoningText` or `redactedContent`")),
    }
}

fn result<'a>(value: Span<'a>, path: &dyn Display, dropped: Dropped<'_, 'a>) -> Result<Part<'a>, Error> {
    let wire: WireResult<'a> = value.parse(path)?;
    let mut parts = Vec::with_capacity(wire.content.len());
    for (index, span) in wire.content.into_iter().enumerate() {
        let path = format_args!("{path}.content[{index}]");
        let (name, value) = member(span, &path)?;
        // One level only: what nests deeper is no result of a tool.
        if !matches!(&*name, "text" | "json" | "image" | "document" | "video" | "searchResult") {
            return Err(wrong(&path, "", "must be a text, json, an image or a document"));
        }
        block(&name, value, (&format_args!("{path}.{name}"), dropped), &mut parts)?;
    }
    let is_error = wire.status.is_some_and(|status| status.0 == "error");
    Ok(Part::ToolResult { call_id: wire.tool_use_id.0, parts, is_error })
}

fn sound<'a>(value: Span<'a>, path: &dyn Display) -> Result<Part<'a>, Error> {
    let file: WireFile<'a> = value.parse(path)?;
    match source(file, path, Media::Sound)? {
        Source::Base64 { media_type, data } => Ok(Part::Audio { media_type, data }),
        _ => Ok(in_s3()),
    }
}

fn document<'a>(value: Span<'a>, path: &dyn Display, dropped: Dropped<'_, 'a>) -> Result<Part<'a>, Error> {
    let mut file: WireFile<'a> = value.parse(path)?;
    for (is_said, name) in [
        (file.context.is_some(), "messages.content.document.context"),
        (file.citations.is_some(), "messages.content.document.citations"),
    ] {
        if is_said {
            dropped::once(dropped, name);
        }
    }
    let title = file.name.take().map(|name| name.0);
    match source(file, path, Media::Document)? {
        Source::Url(_) => Ok(in_s3()),
        source => Ok(Part::Document { source: as_text(source), title, cache: None }),
    }
}

/// What stands in S3 only AWS can read.
fn in_s3<'a>() -> Part<'a> {
    Part::Unknown { kind: Cow::Borrowed("s3Location") }
}

/// A plain text as such: not every target takes it as bytes.
fn as_text(source: Source<'_>) -> Source<'_> {
    let text = match &source {
        Source::Base64 { media_type, data } if media_type == "text/plain" => base64::decode(data),
        _ => None,
    };
    match text.and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(text) => Source::Text(Cow::Owned(text)),
        None => source,
    }
}

fn source<'a>(file: WireFile<'a>, path: &dyn Display, kind: Media) -> Result<Source<'a>, Error> {
    let from = file.source;
    if let Some(text) = from.text {
        return Ok(Source::Text(text.0));
    }
    if from.content.is_some() {
        return Ok(Source::Text(joined(from.content)));
    }
    if let Some(place) = from.s3_location {
        return Ok(Source::Url(place.uri.0));
    }
    let data = from.bytes.ok_or_else(|| wrong(path, ".source", "must hold bytes or a place in S3"))?;
    let media_type = file.format.and_then(|format| kind.media_type(&format.0));
    let media_type = media_type.ok_or_else(|| wrong(path, ".format", "is none that Bedrock has"))?;
    Ok(Source::Base64 { media_type: Cow::Borrowed(media_type), data: data.0 })
}

fn wrong(path: &dyn Display, field: &str, words: &str) -> Error {
    let path = format!("{path}{field}");
    Error::new(Kind::InvalidRequest, format!("`{path}` {words}")).with_param(path)
}

//! `contents` and `systemInstruction` of a generateContent request (<https://ai.google.dev/api/caching#Content>) to neutral
//! messages, one for one. Signatures become thoughts as the room says; calls without an id get one, and results find
//! theirs by name and order.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Display;

use serde::Deserialize;

use super::items;
use crate::chat::{Message, Part, Request, Role, Source};
use crate::dialect::fault::wrong;
use crate::dialect::json::{self, Span, Text};
use crate::dialect::{base64, dropped};
use crate::error::Error;

#[derive(Deserialize)]
struct WireContent<'a> {
    #[serde(borrow)]
    role: Option<Text<'a>>,
    #[serde(borrow)]
    parts: Option<Span<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePart<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    thought: Option<bool>,
    #[serde(borrow, alias = "thought_signature")]
    thought_signature: Option<Text<'a>>,
    #[serde(borrow, alias = "inline_data")]
    inline_data: Option<WireBlob<'a>>,
    #[serde(borrow, alias = "file_data")]
    file_data: Option<WireFile<'a>>,
    #[serde(borrow, alias = "function_call")]
    function_call: Option<WireCall<'a>>,
    #[serde(borrow, alias = "function_response")]
    function_response: Option<WireResult<'a>>,
    #[serde(borrow, alias = "video_metadata")]
    video_metadata: Option<Span<'a>>,
    #[serde(borrow, alias = "media_resolution")]
    media_resolution: Option<Span<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireBlob<'a> {
    #[serde(borrow, alias = "mime_type")]
    mime_type: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow, alias = "display_name")]
    display_name: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireFile<'a> {
    #[serde(borrow, alias = "mime_type")]
    mime_type: Option<Text<'a>>,
    #[serde(borrow, alias = "file_uri")]
    file_uri: Option<Text<'a>>,
    #[serde(borrow, alias = "display_name")]
    display_name: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireCall<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    args: Option<Span<'a>>,
}

#[derive(Deserialize)]
struct WireResult<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    response: Option<Span<'a>>,
    #[serde(borrow)]
    parts: Option<Span<'a>>,
    #[serde(borrow, alias = "willContinue")]
    will_continue: Option<Span<'a>>,
    #[serde(borrow)]
    scheduling: Option<Span<'a>>,
}

/// What the turns so far leave to those behind them.
#[derive(Default)]
struct Reading<'a> {
    /// Ids of the calls that have no result yet.
    waiting: HashSet<Cow<'a, str>>,
    /// Ids of the calls by the function's name, in their order; some may be answered by their ids.
    named: HashMap<Cow<'a, str>, VecDeque<Cow<'a, str>>>,
    /// All calls, for the ids of those that have none.
    calls: usize,
    dropped: Vec<Cow<'a, str>>,
}

/// Decodes `contents` behind what stands in `request.messages`.
pub(super) fn decode_all<'a>(value: Span<'a>, request: &mut Request<'a>) -> Result<(), Error> {
    let mut reading = Reading { dropped: std::mem::take(&mut request.dropped), ..Reading::default() };
    // The last turn that holds anything.
    let mut filled = 0;
    for (index, span) in items(value, &"contents")?.into_iter().enumerate() {
        let mut message = turn(span, &format_args!("contents[{index}]"), &mut reading)?;
        // SDKs keep each step of a stream as a turn of its own.
        if let Some(before) = request.messages.get_mut(filled).filter(|before| before.role == message.role)
            && let [next, ..] = &mut *message.parts
            && continues(before.parts.last_mut(), next)
        {
            message.parts.remove(0);
        }
        if !message.parts.is_empty() {
            filled = request.messages.len();
        }
        request.messages.push(message);
    }
    request.dropped = reading.dropped;
    Ok(())
}

/// Decodes `systemInstruction` as the first message.
pub(super) fn system<'a>(value: Span<'a>, request: &mut Request<'a>) -> Result<(), Error> {
    let mut reading = Reading { dropped: std::mem::take(&mut request.dropped), ..Reading::default() };
    let Message { parts, .. } = turn(value, &"systemInstruction", &mut reading)?;
    request.dropped = reading.dropped;
    request.messages.insert(0, Message { role: Role::System, parts });
    request.system_first = true;
    Ok(())
}

fn turn<'a>(span: Span<'a>, path: &dyn Display, reading: &mut Reading<'a>) -> Result<Message<'a>, Error> {
    let wire: WireContent<'a> = span.parse(path)?;
    let spans = match wire.parts {
        Some(parts) => items(parts, &format_args!("{path}.parts"))?,
        None => Vec::new(),
    };
    let mut parts = Vec::with_capacity(spans.len());
    for (index, span) in spans.into_iter().enumerate() {
        part(span, &format_args!("{path}.parts[{index}]"), reading, &mut parts)?;
    }
    let is_result = |part: &Part<'_>| matches!(part, Part::ToolResult { .. });
    let role = match wire.role.as_ref().map_or("", |role| &*role.0) {
        "model" => Role::Assistant,
        // Instructions have whatever role.
        "" | "user" | "function" | "system" if !parts.is_empty() && parts.iter().all(is_result) => Role::Tool,
        "" | "user" | "function" => Role::User,
        "system" => Role::System,
        _ => return Err(wrong(format_args!("{path}.role"), "must be user or model")),
    };
    Ok(Message { role, parts })
}

/// Whether `next` is more of the thought `before`, which then holds both: one is whole with its signature.
fn continues<'a>(before: Option<&mut Part<'a>>, next: &mut Part<'a>) -> bool {
    let Some(Part::Reasoning { text, signature: own @ None }) = before else { return false };
    let Part::Reasoning { text: more, signature } = next else { return false };
    text.to_mut().push_str(more);
    *own = signature.take();
    true
}

fn part<'a>(
    span: Span<'a>,
    path: &dyn Display,
    reading: &mut Reading<'a>,
    parts: &mut Vec<Part<'a>>,
) -> Result<(), Error> {
    let mut wire: WirePart<'a> = span.parse(path)?;
    let signature =
        wire.thought_signature.take().map(|text| signature(text.0)).filter(|text| !text.is_empty());
    let encrypted = |data| Part::ReasoningEncrypted { data };
    if wire.video_metadata.is_some() {
        dropped::once(&mut reading.dropped, "contents.parts.videoMetadata");
    }
    if wire.media_resolution.is_some() {
        dropped::once(&mut reading.dropped, "contents.parts.mediaResolution");
    }
    if let Some(call) = wire.function_call {
        parts.extend(signature.map(encrypted));
        parts.push(self::call(call, path, reading)?);
        return Ok(());
    }
    match wire.text.take() {
        Some(Text(text)) if wire.thought == Some(true) => {
            let is_silent = text.is_empty() && signature.is_none();
            let mut next = if is_silent {
                Part::Text { text, cache: None }
            } else {
                Part::Reasoning { text, signature }
            };
            if !continues(parts.last_mut(), &mut next) {
                parts.push(next);
            }
            return Ok(());
        }
        // A signature's place and no more.
        Some(Text(text)) if text.is_empty() && signature.is_some() => {}
        Some(Text(text)) => parts.push(Part::Text { text, cache: None }),
        None => match wire.function_response {
            Some(result) => parts.push(self::result(result, path, reading)?),
            None => parts.extend(data(wire, span, path, signature.is_some())?),
        },
    }
    parts.extend(signature.map(encrypted));
    Ok(())
}

/// The signature as it was given away: Google's SDKs make bytes of it and spell them in the alphabet for URLs. What OpenAI
/// encrypts (a Fernet token, by its first bytes) is spelled so itself.
fn signature(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.starts_with("gAAAA") { text } else { base64::standard(text) }
}

/// A part that holds data; none where it holds nothing but its signature.
fn data<'a>(
    wire: WirePart<'a>,
    span: Span<'a>,
    path: &dyn Display,
    is_signed: bool,
) -> Result<Option<Part<'a>>, Error> {
    if let Some(inline) = wire.inline_data {
        return blob(inline, &format_args!("{path}.inlineData")).map(Some);
    }
    if let Some(file) = wire.file_data {
        return self::file(file, &format_args!("{path}.fileData")).map(Some);
    }
    let fields = json::fields(span.raw().0.as_bytes())?;
    let own = |name: &str| matches!(name, "thought" | "thoughtSignature" | "thought_signature");
    match fields.into_iter().find(|(name, _)| !own(name)) {
        Some((kind, _)) => Ok(Some(Part::Unknown { kind })),
        None if is_signed => Ok(None),
        None => Err(wrong(path, "is empty; send a text, data, a call or its response")),
    }
}

/// Bytes in the request, by what they are.
fn blob<'a>(wire: WireBlob<'a>, path: &dyn Display) -> Result<Part<'a>, Error> {
    let required = |value: Option<Text<'a>>, name: &str| {
        value.map(|text| text.0).ok_or_else(|| wrong(format_args!("{path}.{name}"), "is required"))
    };
    let media_type = required(wire.mime_type, "mimeType")?;
    let data = base64::standard(required(wire.data, "data")?);
    let title = wire.display_name.map(|text| text.0);
    let kind = media_type.split('/').next().unwrap_or_default().to_ascii_lowercase();
    Ok(match &*kind {
        "image" => Part::Image { source: Source::Base64 { media_type, data }, cache: None },
        "audio" => Part::Audio { media_type, data },
        "video" => Part::Unknown { kind: media_type },
        "text" => match base64::decode(&data).and_then(|bytes| String::from_utf8(bytes).ok()) {
            Some(text) => Part::Document { source: Source::Text(Cow::Owned(text)), title, cache: None },
            None => return Err(wrong(format_args!("{path}.data"), "is not a UTF-8 text in base64")),
        },
        _ => Part::Document { source: Source::Base64 { media_type, data }, title, cache: None },
    })
}

/// A file by its address. What Google stores only Google can read.
fn file<'a>(wire: WireFile<'a>, path: &dyn Display) -> Result<Part<'a>, Error> {
    let Some(Text(uri)) = wire.file_uri else {
        return Err(wrong(format_args!("{path}.fileUri"), "is required"));
    };
    let media_type = wire.mime_type.map_or(Cow::Borrowed(""), |text| text.0);
    let is_stored = uri.starts_with("gs://") || uri.contains("://generativelanguage.googleapis.com/");
    let kind = media_type.split('/').next().unwrap_or_default().to_ascii_lowercase();
    let is_picture = kind == "image" || (kind.is_empty() && ends_as_picture(&uri));
    Ok(match &*kind {
        _ if is_stored => Part::Unknown { kind: Cow::Borrowed("fileData of Google's own store") },
        "audio" | "video" => Part::Unknown { kind: media_type },
        _ if is_picture => Part::Image { source: Source::Url(uri), cache: None },
        _ => Part::Document {
            source: Source::Url(uri),
            title: wire.display_name.map(|text| text.0),
            cache: None,
        },
    })
}

fn ends_as_picture(uri: &str) -> bool {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    ["png", "jpg", "jpeg", "webp", "gif", "heic", "heif"].iter().any(|one| one.eq_ignore_ascii_case(ending))
}

fn call<'a>(wire: WireCall<'a>, path: &dyn Display, reading: &mut Reading<'a>) -> Result<Part<'a>, Error> {
    let Some(Text(name)) = wire.name.filter(|name| !name.0.is_empty()) else {
        return Err(wrong(format_args!("{path}.functionCall.name"), "is required"));
    };
    let arguments = match wire.args {
        None => "{}",
        Some(args) if args.first() == b'{' => args.raw().0,
        Some(_) => return Err(wrong(format_args!("{path}.functionCall.args"), "must be an object")),
    };
    let own = wire.id.map(|text| text.0).filter(|id| !id.is_empty());
    let id = own.unwrap_or_else(|| Cow::Owned(format!("call_{}", reading.calls)));
    reading.calls += 1;
    reading.waiting.insert(id.clone());
    reading.named.entry(name.clone()).or_default().push_back(id.clone());
    Ok(Part::ToolCall { id, name, arguments: Cow::Borrowed(arguments) })
}

fn result<'a>(
    wire: WireResult<'a>,
    path: &dyn Display,
    reading: &mut Reading<'a>,
) -> Result<Part<'a>, Error> {
    let path = format!("{path}.functionResponse");
    if wire.will_continue.or(wire.scheduling).is_some() {
        dropped::once(&mut reading.dropped, "contents.parts.functionResponse.scheduling");
    }
    let id = wire.id.map(|text| text.0).filter(|id| !id.is_empty());
    let name = wire.name.map_or(Cow::Borrowed(""), |text| text.0);
    let call_id = reading.answered(id, &name).ok_or_else(|| {
        let name = json::bounded(&name, json::PATH_BYTES_MAX);
        wrong(&path, &format!("answers no call of `{name}` before it; send the call, too"))
    })?;
    let (mut parts, is_error) = match wire.response {
        Some(response) => output(response, &path)?,
        None => (Vec::new(), false),
    };
    let shown = match wire.parts {
        Some(shown) => items(shown, &format_args!("{path}.parts"))?,
        None => Vec::new(),
    };
    for (index, span) in shown.into_iter().enumerate() {
        let path = format!("{path}.parts[{index}]");
        let wire: WirePart<'a> = span.parse(&path)?;
        parts.extend(data(wire, span, &path, false)?);
    }
    Ok(Part::ToolResult { call_id, parts, is_error })
}

impl<'a> Reading<'a> {
    /// The call that a result answers: by its id, else the first of its name that waits. An id that no call has is the
    /// target's to judge.
    fn answered(&mut self, id: Option<Cow<'a, str>>, name: &str) -> Option<Cow<'a, str>> {
        if let Some(id) = id.as_ref().and_then(|id| self.waiting.take(id)) {
            return Some(id);
        }
        while let Some(next) = self.named.get_mut(name).and_then(VecDeque::pop_front) {
            if let Some(id) = self.waiting.take(&next) {
                return Some(id);
            }
        }
        id
    }
}

/// What a function gave (<https://ai.google.dev/api/caching#FunctionResponse>): `output` or `result` alone is it, `error`
/// alone says how it failed, anything else is a value of its own.
fn output<'a>(response: Span<'a>, path: &str) -> Result<(Vec<Part<'a>>, bool), Error> {
    if response.first() != b'{' {
        return Err(wrong(format_args!("{path}.response"), "must be an object"));
    }
    let fields = json::fields(response.raw().0.as_bytes())?;
    let (value, is_error) = match &*fields {
        [(name, value)] if matches!(&**name, "output" | "result") => (*value, false),
        [(name, value)] if name == "error" => (*value, true),
        _ => (response, false),
    };
    let text = match value.first() {
        b'"' => value.parse::<Text<'a>>(&format_args!("{path}.response"))?.0,
        _ => Cow::Borrowed(value.raw().0),
    };
    Ok((vec![Part::Text { text, cache: None }], is_error))
}

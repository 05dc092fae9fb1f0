//! Neutral messages to `system` and `messages` of a Converse request: turns alternate, since Converse refuses others, tool
//! results of one round become one user turn, thoughts stand first in an assistant's, and blank texts, which Converse
//! refuses, are left out. A mark of the cache is a block behind what it marks.

use super::call_id;
use super::media::Media;
use super::model::Family;
use crate::chat::{Message, Part, Raw, Role, Source};
use crate::dialect::base64;
use crate::dialect::json::{self, Array, Object};
use crate::error::{Error, Kind};

/// One turn as Converse sees it; never empty.
pub(super) struct Turn<'r, 'a> {
    is_models: bool,
    parts: Vec<Placed<'r, 'a>>,
}

/// A part and where it stands in the caller's request, for errors.
struct Placed<'r, 'a> {
    part: &'r Part<'a>,
    message_index: usize,
    part_index: usize,
}

/// Writes the blocks of one request.
pub(super) struct Writer {
    family: Family,
    /// Names of documents so far: Converse refuses two of one name.
    names: Vec<String>,
}

/// Groups the messages into turns. A turn with nothing to say is left out.
pub(super) fn turns<'r, 'a>(messages: &'r [Message<'a>], family: Family) -> Result<Vec<Turn<'r, 'a>>, Error> {
    let mut turns: Vec<Turn<'r, 'a>> = Vec::with_capacity(messages.len());
    for (message_index, message) in messages.iter().enumerate().filter(|(_, one)| !one.role.is_system()) {
        let mut parts = placed(message, message_index, family);
        let is_models = message.role == Role::Assistant;
        match turns.last_mut() {
            _ if parts.is_empty() => {}
            Some(last) if last.is_models == is_models => last.parts.append(&mut parts),
            _ => turns.push(Turn { is_models, parts }),
        }
    }
    if turns.is_empty() {
        let message = "`messages` needs at least one user message with content";
        return Err(Error::new(Kind::InvalidRequest, message).with_param("messages"));
    }
    Ok(turns)
}

/// The parts worth sending, thoughts first.
fn placed<'r, 'a>(message: &'r Message<'a>, message_index: usize, family: Family) -> Vec<Placed<'r, 'a>> {
    let all = message.parts.iter().enumerate();
    let mut parts: Vec<_> = all
        .filter(|(_, part)| is_sent(part, family))
        .map(|(part_index, part)| Placed { part, message_index, part_index })
        .collect();
    parts.sort_by_key(|placed| {
        !matches!(placed.part, Part::Reasoning { .. } | Part::ReasoningEncrypted { .. })
    });
    parts
}

fn is_sent(part: &Part<'_>, family: Family) -> bool {
    match part {
        Part::Text { text, .. } | Part::Refusal { text } => !text.trim().is_empty(),
        Part::Document { source: Source::Text(text), .. } => !text.trim().is_empty(),
        Part::Citation(_) => false,
        Part::Reasoning { text, .. } if is_unsigned(part) => {
            family.takes_unsigned_thoughts() && !text.trim().is_empty()
        }
        _ => true,
    }
}

fn is_unsigned(part: &Part<'_>) -> bool {
    matches!(part, Part::Reasoning { signature, .. } if signature.as_deref().is_none_or(str::is_empty))
}

/// Names what is left out of the messages.
pub(super) fn name_left_out(messages: &[Message<'_>], family: Family, dropped: &mut Vec<String>) {
    let parts = || messages.iter().flat_map(|message| &message.parts);
    let has_cache = |part: &Part<'_>| match part {
        Part::Text { cache, .. } | Part::Image { cache, .. } | Part::Document { cache, .. } => {
            cache.is_some()
        }
        _ => false,
    };
    if parts().any(|part| is_unsigned(part) && !is_sent(part, family)) {
        dropped.push("messages.reasoning_details".to_owned());
    }
    if !family.takes_marks() && parts().any(has_cache) {
        dropped.push("messages.content.cache_control".to_owned());
    }
}

impl Writer {
    /// For a model of this family.
    pub(super) fn new(family: Family) -> Self {
        Self { family, names: Vec::new() }
    }

    /// Writes `system`, when there is any.
    pub(super) fn write_system(&self, body: &mut Object<'_>, messages: &[Message<'_>]) -> Result<(), Error> {
        let system = messages.iter().enumerate().filter(|(_, message)| message.role.is_system());
        let mut system = system.flat_map(|(index, message)| placed(message, index, self.family)).peekable();
        if system.peek().is_none() {
            return Ok(());
        }
        let mut array = Array::begin(body.field("system"));
        for placed in system {
            let Part::Text { text, cache } = placed.part else { return Err(placed.refused("a text")) };
            write_text(array.item(), text);
            self.write_mark(&mut array, *cache);
        }
        array.end();
        Ok(())
    }

    /// Writes `messages`.
    pub(super) fn write_turns(&mut self, body: &mut Object<'_>, turns: &[Turn<'_, '_>]) -> Result<(), Error> {
        let mut array = Array::begin(body.field("messages"));
        for turn in turns {
            let mut message = Object::begin(array.item());
            message.text("role", if turn.is_models { "assistant" } else { "user" });
            let mut content = Array::begin(message.field("content"));
            for placed in &turn.parts {
                self.write_part(&mut content, placed)?;
            }
            content.end();
            message.end();
        }
        array.end();
        Ok(())
    }

    /// A `cachePoint` where Anthropic's mark stands, of its lifetime.
    pub(super) fn write_mark(&self, array: &mut Array<'_>, cache: Option<Raw<'_>>) {
        let Some(Raw(mark)) = cache.filter(|_| self.family.takes_marks()) else { return };
        let mut block = Object::begin(array.item());
        let mut point = Object::begin(block.field("cachePoint"));
        point.text("type", "default");
        if let Some(lifetime) =
            ["5m", "1h"].into_iter().find(|lifetime| mark.contains(&format!("\"{lifetime}\"")))
        {
            point.text("ttl", lifetime);
        }
        point.end();
        block.end();
    }

    fn write_part(&mut self, content: &mut Array<'_>, placed: &Placed<'_, '_>) -> Result<(), Error> {
        match placed.part {
            Part::Text { text, cache } => {
                write_text(content.item(), text);
                self.write_mark(content, *cache);
            }
            Part::Refusal { text } => write_text(content.item(), text),
            Part::Citation(_) => {}
            Part::Image { source, cache } => {
                write_image(content.item(), placed, source)?;
                self.write_mark(content, *cache);
            }
            Part::Document { source, title, cache } => {
                self.write_document(content.item(), placed, source, title.as_deref())?;
                self.write_mark(content, *cache);
            }
            Part::Audio { media_type, data } => {
                let format = Media::Sound.format(media_type).ok_or_else(|| placed.refused("common sound"))?;
                write_bytes(content.item(), "audio", format, data);
            }
            Part::Reasoning { text, signature } => {
                write_reasoning(content.item(), text, signature.as_deref());
            }
            Part::ReasoningEncrypted { data } => {
                let mut block = Object::begin(content.item());
                let mut thought = Object::begin(block.field("reasoningContent"));
                thought.text("redactedContent", data);
                thought.end();
                block.end();
            }
            Part::ToolCall { id, name, arguments } => {
                write_call(content.item(), placed, [id, name, arguments])?;
            }
            Part::ToolResult { call_id, parts, is_error } => {
                self.write_result(content.item(), placed, (call_id, *is_error), parts)?;
            }
            Part::Unknown { kind } => return Err(placed.unknown(kind)),
        }
        Ok(())
    }

    fn write_document(
        &mut self,
        out: &mut Vec<u8>,
        placed: &Placed<'_, '_>,
        source: &Source<'_>,
        title: Option<&str>,
    ) -> Result<(), Error> {
        let format = match source {
            Source::Text(_) => Some("txt"),
            Source::Base64 { media_type, .. } => Some(
                Media::Document
                    .format(media_type)
                    .ok_or_else(|| placed.refused("pdf, csv, doc, docx, xls, xlsx, html, txt and md"))?,
            ),
            Source::Url(url) => of_name(url, Media::Document),
        };
        let mut block = Object::begin(out);
        let mut document = Object::begin(block.field("document"));
        if let Some(format) = format {
            document.text("format", format);
        }
        document.text("name", &self.name(title.unwrap_or_default()));
        write_source(&mut document, placed, source)?;
        document.end();
        block.end();
        Ok(())
    }

    /// A document's name as Converse takes it: letters, digits, single blanks, hyphens, parentheses and brackets, and none
    /// twice.
    fn name(&mut self, title: &str) -> String {
        let fit = |one: char| if one.is_ascii_alphanumeric() || "-()[]".contains(one) { one } else { ' ' };
        let words: String = title.chars().map(fit).collect();
        let mut name = words.split_whitespace().collect::<Vec<_>>().join(" ");
        name.truncate(NAME_BYTES_MAX);
        if name.trim().is_empty() {
            name = "document".to_owned();
        }
        if self.names.contains(&name) {
            name = format!("{} ({})", name.trim(), self.names.len() + 1);
        }
        self.names.push(name.clone());
        name
    }

    fn write_result(
        &mut self,
        out: &mut Vec<u8>,
        placed: &Placed<'_, '_>,
        (id, is_error): (&str, bool),
        parts: &[Part<'_>],
    ) -> Result<(), Error> {
        let mut block = Object::begin(out);
        let mut result = Object::begin(block.field("toolResult"));
        result.text("toolUseId", &call_id(id));
        let mut content = Array::begin(result.field("content"));
        let family = self.family;
        for (part_index, part) in parts.iter().enumerate().filter(|(_, part)| is_sent(part, family)) {
            let inner = Placed { part, message_index: placed.message_index, part_index };
            match part {
                Part::Text { text, .. } | Part::Refusal { text } => write_text(content.item(), text),
                Part::Image { source, .. } => write_image(content.item(), &inner, source)?,
                Part::Document { source, title, .. } => {
                    self.write_document(content.item(), &inner, source, title.as_deref())?;
                }
                Part::Unknown { kind } => return Err(inner.unknown(kind)),
                _ => return Err(inner.refused("texts, images and documents")),
            }
        }
        content.end();
        if is_error {
            result.text("status", "error");
        }
        result.end();
        block.end();
        Ok(())
    }
}

/// Longest name of a document, bytes; room is left to tell two apart.
const NAME_BYTES_MAX: usize = 180;

fn write_text(out: &mut Vec<u8>, text: &str) {
    let mut block = Object::begin(out);
    block.text("text", text);
    block.end();
}

fn write_image(out: &mut Vec<u8>, placed: &Placed<'_, '_>, source: &Source<'_>) -> Result<(), Error> {
    let format = match source {
        Source::Base64 { media_type, .. } => Media::Image.format(media_type),
        Source::Url(url) => of_name(url, Media::Image),
        Source::Text(_) => None,
    };
    let format = match (format, source) {
        (None, Source::Base64 { .. } | Source::Text(_)) => {
            return Err(placed.refused("png, jpeg, gif and webp"));
        }
        (format, _) => format.unwrap_or("png"),
    };
    let mut block = Object::begin(out);
    let mut image = Object::begin(block.field("image"));
    image.text("format", format);
    write_source(&mut image, placed, source)?;
    image.end();
    block.end();
    Ok(())
}

/// The format that a file's name ends with.
fn of_name(url: &str, kind: Media) -> Option<&'static str> {
    let extension = url.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let extension = if extension == "jpg" { "jpeg" } else { &*extension };
    kind.media_type(extension).and_then(|media_type| kind.format(media_type))
}

/// Bytes, or a place in S3: Bedrock fetches nothing else.
fn write_source(object: &mut Object<'_>, placed: &Placed<'_, '_>, source: &Source<'_>) -> Result<(), Error> {
    let mut inner = Object::begin(object.field("source"));
    match source {
        Source::Base64 { data, .. } => inner.text("bytes", data),
        Source::Text(text) => {
            let mut letters = Vec::new();
            base64::encode(&mut letters, text.as_bytes());
            inner.text("bytes", &String::from_utf8_lossy(&letters));
        }
        Source::Url(url) if url.starts_with("s3://") => {
            let mut place = Object::begin(inner.field("s3Location"));
            place.text("uri", url);
            place.end();
        }
        Source::Url(_) => return Err(placed.refused("bytes in base64, or an `s3://` address,")),
    }
    inner.end();
    Ok(())
}

fn write_bytes(out: &mut Vec<u8>, kind: &str, format: &str, data: &str) {
    let mut block = Object::begin(out);
    let mut inner = Object::begin(block.field(kind));
    inner.text("format", format);
    let mut source = Object::begin(inner.field("source"));
    source.text("bytes", data);
    source.end();
    inner.end();
    block.end();
}

/// Writes a thought.
pub(super) fn write_reasoning(out: &mut Vec<u8>, text: &str, signature: Option<&str>) {
    let mut block = Object::begin(out);
    let mut thought = Object::begin(block.field("reasoningContent"));
    let mut inner = Object::begin(thought.field("reasoningText"));
    inner.text("text", text);
    if let Some(signature) = signature.filter(|signature| !signature.is_empty()) {
        inner.text("signature", signature);
    }
    inner.end();
    thought.end();
    block.end();
}

fn write_call(
    out: &mut Vec<u8>,
    placed: &Placed<'_, '_>,
    [id, name, arguments]: [&str; 3],
) -> Result<(), Error> {
    let arguments = arguments.trim();
    let input = if arguments.is_empty() { "{}" } else { arguments };
    if !json::is_object(input) {
        return Err(placed.bad_arguments(id));
    }
    write_tool_use(out, &call_id(id), name, input);
    Ok(())
}

/// Writes a call whose input is a JSON object.
pub(super) fn write_tool_use(out: &mut Vec<u8>, id: &str, name: &str, input: &str) {
    let mut block = Object::begin(out);
    let mut call = Object::begin(block.field("toolUse"));
    call.text("toolUseId", id);
    call.text("name", name);
    call.raw("input", Raw(input));
    call.end();
    block.end();
}

impl Placed<'_, '_> {
    fn path(&self) -> String {
        format!("messages[{}].content[{}]", self.message_index, self.part_index)
    }

    fn refused(&self, wanted: &str) -> Error {
        let path = self.path();
        let message = format!("Bedrock takes only {wanted} at `{path}`; send that, or ask another provider");
        Error::new(Kind::UnsupportedParameter, message).with_param(path)
    }

    fn unknown(&self, kind: &str) -> Error {
        let path = self.path();
        let kind = json::bounded(kind, json::PATH_BYTES_MAX);
        let message =
            format!("`{path}` is of type `{kind}`, which is not translated to Bedrock; leave it out");
        Error::new(Kind::UnsupportedParameter, message).with_param(path)
    }

    fn bad_arguments(&self, id: &str) -> Error {
        let path = format!("messages[{}].tool_calls", self.message_index);
        let id = json::bounded(id, json::PATH_BYTES_MAX);
        let message =
            format!("the arguments of call `{id}` in `{path}` are not a JSON object; send them as one");
        Error::new(Kind::InvalidRequest, message).with_param(path)
    }
}

//! Neutral messages to `messages` of a chat request of Cohere's. Each result of a tool is a message of its own; pictures among the
//! results go into the user message after them, since Cohere takes only texts and documents from a tool. Documents of the
//! user's are texts beside the messages there.

use crate::chat::{Message, Part, Raw, Request, Role, Source};
use crate::dialect::cohere::response::write_call;
use crate::dialect::dropped::named_once;
use crate::dialect::encode::CALL_FAILED;
use crate::dialect::json::{Array, Object, write_string};
use crate::dialect::place::{Place, Placed};
use crate::dialect::{data_url, place};
use crate::error::Error;

/// What a user may say.
const ASKED: &str = "a text, an image or a document in text";

/// Models without thoughts (<https://docs.cohere.com/docs/models>): all before its first that reasons, and kin of them.
const THOUGHTLESS: [&str; 6] =
    ["command-r", "command-a-03", "command-a-vision", "command-a-translate", "command-light", "c4ai-"];

/// Whether a model thinks before it speaks; one that nobody knows is taken for one.
pub(in crate::dialect::cohere) fn thinks(model: &str) -> bool {
    model != "command" && !THOUGHTLESS.iter().any(|family| model.starts_with(family))
}

/// A document that stands beside the messages.
pub(in crate::dialect::cohere) struct Hoisted<'r> {
    text: &'r str,
    title: Option<&'r str>,
}

impl Hoisted<'_> {
    /// Writes it (<https://docs.cohere.com/reference/chat#request.body.documents>).
    pub(in crate::dialect::cohere) fn write(&self, out: &mut Vec<u8>) {
        let mut document = Object::begin(out);
        let mut data = Object::begin(document.field("data"));
        if let Some(title) = self.title {
            data.text("title", title);
        }
        data.text("text", self.text);
        data.end();
        document.end();
    }
}

/// What one call of a tool gave beside text.
struct Held<'r, 'a> {
    call_id: &'r str,
    parts: Vec<Placed<'r, 'a>>,
}

/// Writes the whole list; gives the documents that stand beside it.
pub(in crate::dialect::cohere) fn write_all<'r>(
    out: &mut Vec<u8>,
    request: &'r Request<'_>,
    model: &str,
    dropped: &mut Vec<String>,
) -> Result<Vec<Hoisted<'r>>, Error> {
    name_dropped(request, thinks(model), dropped);
    let mut hoisted = Vec::new();
    let mut array = Array::begin(out);
    let mut held = Vec::new();
    for (index, message) in place::messages(request) {
        let (results, mut others): (Vec<_>, Vec<_>) =
            placed((index, message)).partition(|placed| matches!(placed.part, Part::ToolResult { .. }));
        for result in &results {
            held.extend(write_result(array.item(), *result)?);
        }
        if message.role == Role::User {
            hoist(&mut others, &mut hoisted);
        }
        // More results of the same round may follow.
        if !others.is_empty() {
            let before = std::mem::take(&mut held);
            write_turn(&mut array, message.role, &before, &others, thinks(model))?;
        }
    }
    write_user(&mut array, &held, &[])?;
    array.end();
    Ok(hoisted)
}

/// The parts that are sent.
fn placed<'r, 'a>(message: (Option<usize>, &'r Message<'a>)) -> impl Iterator<Item = Placed<'r, 'a>> {
    let is_asked = message.1.role == Role::User;
    place::parts(message).filter(move |placed| match placed.part {
        Part::Citation(_) | Part::ReasoningEncrypted { .. } => false,
        Part::Reasoning { text, .. } => !text.is_empty(),
        Part::Text { text, .. } => !text.is_empty() || is_asked,
        _ => true,
    })
}

/// Takes the documents out of a turn; one that holds nothing else says them itself.
fn hoist<'r>(parts: &mut Vec<Placed<'r, '_>>, hoisted: &mut Vec<Hoisted<'r>>) {
    if parts.iter().all(|placed| document(placed.part).is_some()) {
        return;
    }
    hoisted.extend(parts.iter().filter_map(|placed| document(placed.part)));
    parts.retain(|placed| document(placed.part).is_none());
}

fn document<'r>(part: &'r Part<'_>) -> Option<Hoisted<'r>> {
    match part {
        Part::Document { source: Source::Text(text), title, .. } => {
            Some(Hoisted { text, title: title.as_deref() })
        }
        _ => None,
    }
}

fn name_dropped(request: &Request<'_>, thinks: bool, dropped: &mut Vec<String>) {
    for (index, message) in place::messages(request) {
        let has = |is: fn(&Part<'_>) -> bool| message.parts.iter().any(is);
        if !thinks && has(is_said_thought) && !has(|part| matches!(part, Part::ToolCall { .. })) {
            named_once(dropped, "messages.reasoning_details");
        }
        let in_results = message.parts.iter().filter_map(|part| match part {
            Part::ToolResult { parts, .. } => Some(parts),
            _ => None,
        });
        for part in message.parts.iter().chain(in_results.flatten()) {
            if cache(part).is_some() {
                let name =
                    if index.is_none() { "system.cache_control" } else { "messages.content.cache_control" };
                named_once(dropped, name);
            }
        }
    }
}

fn is_said_thought(part: &Part<'_>) -> bool {
    matches!(part, Part::Reasoning { text, .. } if !text.is_empty())
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
    thinks: bool,
) -> Result<(), Error> {
    if matches!(role, Role::User | Role::Tool) {
        return write_user(array, held, parts);
    }
    write_user(array, held, &[])?;
    if role.is_system() {
        let mut message = Object::begin(array.item());
        message.text("role", "system");
        write_content(message.field("content"), parts, "a text")?;
        message.end();
        return Ok(());
    }
    write_assistant(array, parts, thinks)
}

/// What the tools showed, then what the user says; nothing of both is no message.
fn write_user(array: &mut Array<'_>, held: &[Held<'_, '_>], parts: &[Placed<'_, '_>]) -> Result<(), Error> {
    if held.is_empty() && parts.is_empty() {
        return Ok(());
    }
    let mut message = Object::begin(array.item());
    message.text("role", "user");
    if let (true, Some(text)) = (held.is_empty(), single_text(parts)) {
        message.text("content", text);
        message.end();
        return Ok(());
    }
    let mut content = Array::begin(message.field("content"));
    for one in held {
        write_words(content.item(), "text", &format!("From the result of call {}:", one.call_id));
        for placed in &one.parts {
            write_part(content.item(), *placed)?;
        }
    }
    for placed in parts {
        write_part(content.item(), *placed)?;
    }
    content.end();
    message.end();
    Ok(())
}

fn single_text<'r>(parts: &[Placed<'r, '_>]) -> Option<&'r str> {
    match parts {
        [Placed { part: Part::Text { text, .. } | Part::Refusal { text }, .. }] => Some(text),
        _ => None,
    }
}

/// Texts and thoughts, one text as it is.
fn write_content(out: &mut Vec<u8>, parts: &[Placed<'_, '_>], wanted: &str) -> Result<(), Error> {
    if let Some(text) = single_text(parts) {
        write_string(out, text);
        return Ok(());
    }
    let mut content = Array::begin(out);
    for placed in parts {
        match placed.part {
            Part::Text { text, .. } | Part::Refusal { text } => write_words(content.item(), "text", text),
            Part::Reasoning { text, .. } => write_words(content.item(), "thinking", text),
            _ => return Err(refused(placed, wanted)),
        }
    }
    content.end();
    Ok(())
}

/// A thought of a turn with calls is the plan of a model that does not think else.
fn write_assistant(array: &mut Array<'_>, parts: &[Placed<'_, '_>], thinks: bool) -> Result<(), Error> {
    let is_call = |placed: &Placed<'_, '_>| matches!(placed.part, Part::ToolCall { .. });
    let (calls, said): (Vec<_>, Vec<_>) = parts.iter().copied().partition(is_call);
    let is_plan = |placed: &Placed<'_, '_>| !thinks && matches!(placed.part, Part::Reasoning { .. });
    let (plans, mut said): (Vec<_>, Vec<_>) = said.into_iter().partition(is_plan);
    // Some callers send what was thought behind what was said.
    said.sort_by_key(|placed| !matches!(placed.part, Part::Reasoning { .. }));
    if calls.is_empty() && said.is_empty() {
        return Ok(());
    }
    let mut message = Object::begin(array.item());
    message.text("role", "assistant");
    // A plan without calls has nothing that it is of.
    if !calls.is_empty() && !plans.is_empty() {
        let texts = plans.iter().filter_map(|placed| match placed.part {
            Part::Reasoning { text, .. } => Some(&**text),
            _ => None,
        });
        message.text("tool_plan", &texts.collect::<String>());
    }
    if !said.is_empty() {
        write_content(message.field("content"), &said, "a text or a call")?;
    }
    if !calls.is_empty() {
        let mut array = Array::begin(message.field("tool_calls"));
        calls.iter().for_each(|placed| write_call(array.item(), placed.part));
        array.end();
    }
    message.end();
    Ok(())
}

/// Writes a result's texts and documents; gives what is neither.
fn write_result<'r, 'a>(out: &mut Vec<u8>, placed: Placed<'r, 'a>) -> Result<Option<Held<'r, 'a>>, Error> {
    let Part::ToolResult { call_id, parts, is_error } = placed.part else { return Ok(None) };
    let inner = |(at, part)| Placed { part, place: Place { inner: Some(at), ..placed.place } };
    let is_told =
        |one: &Placed<'_, '_>| matches!(one.part, Part::Text { .. }) || document(one.part).is_some();
    let (told, shown): (Vec<_>, Vec<_>) = parts.iter().enumerate().map(inner).partition(is_told);
    if let Some(other) = shown.iter().find(|one| !matches!(one.part, Part::Image { .. })) {
        return Err(refused(other, ASKED));
    }
    let mut message = Object::begin(out);
    message.text("role", "tool");
    message.text("tool_call_id", call_id);
    match (&*told, is_error) {
        ([], false) => message.text("content", ""),
        ([Placed { part: Part::Text { text, .. }, .. }], false) => message.text("content", text),
        _ => {
            let mut content = Array::begin(message.field("content"));
            if *is_error {
                write_words(content.item(), "text", CALL_FAILED);
            }
            told.iter().for_each(|one| write_told(content.item(), one.part));
            content.end();
        }
    }
    message.end();
    Ok((!shown.is_empty()).then_some(Held { call_id, parts: shown }))
}

fn write_told(out: &mut Vec<u8>, part: &Part<'_>) {
    let mut block = Object::begin(out);
    if let Some(document) = document(part) {
        block.text("type", "document");
        document.write(block.field("document"));
    } else if let Part::Text { text, .. } = part {
        block.text("type", "text");
        block.text("text", text);
    }
    block.end();
}

fn write_part(out: &mut Vec<u8>, placed: Placed<'_, '_>) -> Result<(), Error> {
    match placed.part {
        Part::Text { text, .. }
        | Part::Refusal { text }
        | Part::Document { source: Source::Text(text), .. } => write_words(out, "text", text),
        Part::Image { source, .. } => {
            let mut part = Object::begin(out);
            part.text("type", "image_url");
            let mut image = Object::begin(part.field("image_url"));
            match source {
                Source::Url(text) | Source::Text(text) => image.text("url", text),
                Source::Base64 { media_type, data } => {
                    image.text("url", &data_url::written(media_type, data));
                }
            }
            image.end();
            part.end();
        }
        _ => return Err(refused(&placed, ASKED)),
    }
    Ok(())
}

fn write_words(out: &mut Vec<u8>, kind: &str, words: &str) {
    let mut block = Object::begin(out);
    block.text("type", kind);
    block.text(kind, words);
    block.end();
}

fn refused(placed: &Placed<'_, '_>, wanted: &str) -> Error {
    match placed.part {
        Part::Unknown { kind } => placed.unknown_to("Cohere", kind),
        _ => placed.refused_by("Cohere", wanted),
    }
}

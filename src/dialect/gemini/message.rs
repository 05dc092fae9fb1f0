//! Neutral messages to `systemInstruction` and `contents` of a generateContent request: system texts are gathered, tool
//! results of one round become one user turn, signatures go back to the parts they came from, and empty texts, which
//! Gemini refuses, are left out.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use super::is_signature;
use crate::chat::{Message, Part, Raw, Request, Role, Source};
use crate::dialect::encode::{check_turns, name_left};
use crate::dialect::fault::wrong;
use crate::dialect::json::{self, Array, Object, write_string};
use crate::dialect::place::{self, Place, Placed};
use crate::error::Error;

const VENDOR: &str = "Gemini";

/// What Google gives for a call whose signature is not at hand, such as one that another model made
/// (<https://ai.google.dev/gemini-api/docs/thought-signatures>, its questions and answers). Callers whose SDK does not
/// hand thoughts back would otherwise have each turn after a call refused.
pub(in crate::dialect) const SIGNATURE_SKIPPED: &str = "skip_thought_signature_validator";

/// Longest name of a function that its results repeat, bytes; <https://ai.google.dev/api/caching#FunctionDeclaration> has less.
const NAME_BYTES_MAX: usize = 256;

/// The function names of the calls so far by their ids: Gemini wants a result to say the name again.
type Names<'r> = HashMap<&'r str, &'r str>;

/// Names what of the messages Gemini has no word for.
pub(super) fn name_left_out(messages: &[Message<'_>], dropped: &mut Vec<String>) {
    let any = |is: fn(&Part<'_>) -> bool| messages.iter().flat_map(|message| &message.parts).any(is);
    let has_cache = |part: &Part<'_>| match part {
        Part::Text { cache, .. } | Part::Image { cache, .. } | Part::Document { cache, .. } => {
            cache.is_some()
        }
        _ => false,
    };
    let is_titled = |part: &Part<'_>| matches!(part, Part::Document { title: Some(_), .. });
    let is_foreign = |part: &Part<'_>| match part {
        Part::Reasoning { signature: Some(signature), .. } => !is_signature(signature),
        Part::ReasoningEncrypted { data } => !is_signature(data),
        _ => false,
    };
    let left = [
        (any(has_cache), "messages.content.cache_control"),
        (any(is_titled), "messages.content.file.filename"),
        (any(is_foreign), "messages.reasoning_details"),
    ];
    name_left(dropped, left);
}

/// Writes `systemInstruction`, when there is any.
pub(super) fn write_system(body: &mut Object<'_>, request: &Request<'_>) -> Result<(), Error> {
    let is_system = |(_, message): &(Option<usize>, &Message<'_>)| message.role.is_system();
    let mut system = place::messages(request).filter(is_system).flat_map(placed).peekable();
    if system.peek().is_none() {
        return Ok(());
    }
    let mut instruction = Object::begin(body.field("systemInstruction"));
    let mut parts = Array::begin(instruction.field("parts"));
    for placed in system {
        let Part::Text { text, .. } = placed.part else { return Err(placed.refused_by(VENDOR, "a text")) };
        write_text(parts.item(), text, None);
    }
    parts.end();
    instruction.end();
    Ok(())
}

/// Writes `contents`. With `needs_signatures` the first call of a turn is never without one.
pub(super) fn write_contents(
    body: &mut Object<'_>,
    request: &Request<'_>,
    needs_signatures: bool,
) -> Result<(), Error> {
    let said: Vec<_> = place::messages(request).filter(|(_, one)| !one.role.is_system()).collect();
    let mut names = Names::new();
    let mut is_empty = true;
    let mut contents = Array::begin(body.field("contents"));
    for round in said.chunk_by(|(_, one), (_, next)| one.role == Role::Tool && next.role == Role::Tool) {
        let parts: Vec<_> = round.iter().copied().flat_map(placed).collect();
        let Some((_, first)) = round.first().filter(|_| !parts.is_empty()) else { continue };
        is_empty = false;
        let mut content = Object::begin(contents.item());
        content.text("role", if first.role == Role::Assistant { "model" } else { "user" });
        let mut array = Array::begin(content.field("parts"));
        write_parts(&mut array, &parts, &mut names, needs_signatures)?;
        array.end();
        content.end();
    }
    contents.end();
    check_turns(is_empty)
}

/// The parts of a message that are worth sending, thoughts first, as Gemini gave them; what only the provider can read
/// keeps its place.
fn placed<'r, 'a>(message: (Option<usize>, &'r Message<'a>)) -> Vec<Placed<'r, 'a>> {
    let mut parts: Vec<_> = place::parts(message).filter(|placed| is_sent(placed.part)).collect();
    parts.sort_by_key(|placed| !matches!(placed.part, Part::Reasoning { text, .. } if !text.is_empty()));
    parts
}

fn is_sent(part: &Part<'_>) -> bool {
    match part {
        Part::Text { text, .. } | Part::Refusal { text } => !text.is_empty(),
        Part::Document { source: Source::Text(text), .. } => !text.is_empty(),
        Part::Citation(_) => false,
        Part::Reasoning { text, signature } => {
            !text.is_empty() || signature.as_deref().is_some_and(is_signature)
        }
        Part::ReasoningEncrypted { data } => is_signature(data),
        _ => true,
    }
}

fn write_parts<'r>(
    array: &mut Array<'_>,
    parts: &[Placed<'r, '_>],
    names: &mut Names<'r>,
    needs_signatures: bool,
) -> Result<(), Error> {
    let has_calls = parts.iter().any(|placed| matches!(placed.part, Part::ToolCall { .. }));
    let mut waiting: VecDeque<&str> = VecDeque::new();
    let mut is_call_first = true;
    let mut rest = parts.iter().peekable();
    while let Some(placed) = rest.next() {
        match placed.part {
            Part::Text { text, .. } | Part::Refusal { text } => {
                // In an answer without calls it is the text before it that a signature came on.
                let next = rest.next_if(|next| !has_calls && lone_signature(next.part).is_some());
                write_text(array.item(), text, next.and_then(|next| lone_signature(next.part)));
            }
            Part::ToolCall { id, name, arguments } => {
                names.insert(id, name);
                let skipped = Some(SIGNATURE_SKIPPED).filter(|_| needs_signatures && is_call_first);
                is_call_first = false;
                write_call(array.item(), placed, [id, name, arguments], waiting.pop_front().or(skipped))?;
            }
            part => match lone_signature(part) {
                Some(signature) => waiting.push_back(signature),
                None => write_part(array.item(), placed, names)?,
            },
        }
    }
    for signature in waiting {
        write_text(array.item(), "", Some(signature));
    }
    Ok(())
}

/// The signature of a part that holds nothing else.
fn lone_signature<'p>(part: &'p Part<'_>) -> Option<&'p str> {
    match part {
        Part::ReasoningEncrypted { data } => Some(data),
        Part::Reasoning { text, signature: Some(signature) } if text.is_empty() => Some(signature),
        _ => None,
    }
}

fn write_part(out: &mut Vec<u8>, placed: &Placed<'_, '_>, names: &Names<'_>) -> Result<(), Error> {
    match placed.part {
        Part::Image { source, .. } | Part::Document { source, .. } => write_file(out, placed, source),
        Part::Reasoning { text, signature } => {
            let mut part = Object::begin(out);
            part.text("text", text);
            part.raw("thought", Raw("true"));
            write_signature(&mut part, signature.as_deref().filter(|text| is_signature(text)));
            part.end();
            Ok(())
        }
        Part::ToolResult { call_id, parts, is_error } => {
            write_result(out, placed, (call_id, parts, *is_error), names)
        }
        Part::Unknown { kind } => Err(placed.unknown_to(VENDOR, kind)),
        Part::Audio { media_type, data } => {
            let mut part = Object::begin(out);
            write_blob(part.field("inlineData"), media_type, data);
            part.end();
            Ok(())
        }
        Part::Citation(_) => Ok(()),
        // `write_parts` has taken these.
        Part::Text { .. }
        | Part::Refusal { .. }
        | Part::ToolCall { .. }
        | Part::ReasoningEncrypted { .. } => Ok(()),
    }
}

fn write_text(out: &mut Vec<u8>, text: &str, signature: Option<&str>) {
    let mut part = Object::begin(out);
    part.text("text", text);
    write_signature(&mut part, signature);
    part.end();
}

fn write_signature(part: &mut Object<'_>, signature: Option<&str>) {
    if let Some(signature) = signature {
        part.text("thoughtSignature", signature);
    }
}

/// Gemini fetches public `https` URLs and files that are registered with it itself
/// (<https://ai.google.dev/gemini-api/docs/file-input-methods>); nobody here does.
fn write_file(out: &mut Vec<u8>, placed: &Placed<'_, '_>, source: &Source<'_>) -> Result<(), Error> {
    let mut part = Object::begin(out);
    match source {
        Source::Base64 { media_type, data } => write_blob(part.field("inlineData"), media_type, data),
        Source::Url(url) if is_fetched(url) => {
            let mut file = Object::begin(part.field("fileData"));
            if let Some(media_type) = media_type(url) {
                file.text("mimeType", media_type);
            }
            file.text("fileUri", url);
            file.end();
        }
        Source::Text(text) => part.text("text", text),
        Source::Url(_) => {
            return Err(placed.refused_by(VENDOR, "https and gs URLs, and data URLs in base64,"));
        }
    }
    part.end();
    Ok(())
}

fn write_blob(out: &mut Vec<u8>, media_type: &str, data: &str) {
    let mut blob = Object::begin(out);
    // A common misnomer that Gemini refuses.
    blob.text("mimeType", if media_type == "image/jpg" { "image/jpeg" } else { media_type });
    blob.text("data", data);
    blob.end();
}

fn is_fetched(url: &str) -> bool {
    ["https://", "gs://"].iter().any(|scheme| {
        url.split_at_checked(scheme.len()).is_some_and(|(start, _)| start.eq_ignore_ascii_case(scheme))
    })
}

/// The media type that a URL's ending tells; Gemini finds out itself where it tells none.
fn media_type(url: &str) -> Option<&'static str> {
    const ENDINGS: [(&str, &str); 9] = [
        ("png", "image/png"),
        ("jpg", "image/jpeg"),
        ("jpeg", "image/jpeg"),
        ("webp", "image/webp"),
        ("heic", "image/heic"),
        ("heif", "image/heif"),
        ("gif", "image/gif"),
        ("pdf", "application/pdf"),
        ("txt", "text/plain"),
    ];
    let path = url.split(['?', '#']).next()?;
    let (_, name) = path.rsplit_once('/')?;
    let (_, ending) = name.rsplit_once('.')?;
    ENDINGS.iter().find(|(one, _)| one.eq_ignore_ascii_case(ending)).map(|(_, media_type)| *media_type)
}

fn write_call(
    out: &mut Vec<u8>,
    placed: &Placed<'_, '_>,
    [id, name, arguments]: [&Cow<'_, str>; 3],
    signature: Option<&str>,
) -> Result<(), Error> {
    let arguments = arguments.trim();
    let args = if arguments.is_empty() { "{}" } else { arguments };
    if !json::is_object(args) {
        return Err(placed.bad_arguments(id));
    }
    let mut part = Object::begin(out);
    let mut call = Object::begin(part.field("functionCall"));
    call.text("id", id);
    call.text("name", name);
    call.raw("args", Raw(args));
    call.end();
    write_signature(&mut part, signature);
    part.end();
    Ok(())
}

/// A result that is a JSON object is the response itself, any other text its `output`, a failure's its `error`
/// (<https://ai.google.dev/api/caching#FunctionResponse>); files stand beside it.
fn write_result(
    out: &mut Vec<u8>,
    placed: &Placed<'_, '_>,
    (call_id, parts, is_error): (&str, &[Part<'_>], bool),
    names: &Names<'_>,
) -> Result<(), Error> {
    let Some(name) = names.get(call_id) else { return Err(unpaired(placed, call_id)) };
    if name.len() > NAME_BYTES_MAX {
        return Err(named_too_long(placed));
    }
    let mut part = Object::begin(out);
    let mut result = Object::begin(part.field("functionResponse"));
    result.text("id", call_id);
    result.text("name", name);
    write_output(result.field("response"), parts, is_error);
    let files: Vec<_> = parts.iter().enumerate().filter(|(_, part)| text_of(part).is_none()).collect();
    if !files.is_empty() {
        let mut array = Array::begin(result.field("parts"));
        for (part_index, part) in files {
            write_result_file(
                array.item(),
                &Placed { part, place: Place { part: part_index, ..placed.place } },
            )?;
        }
        array.end();
    }
    result.end();
    part.end();
    Ok(())
}

/// The words of what is text, by whatever name.
fn text_of<'p>(part: &'p Part<'_>) -> Option<&'p str> {
    match part {
        Part::Text { text, .. } | Part::Document { source: Source::Text(text), .. } => Some(text),
        _ => None,
    }
}

fn write_output(out: &mut Vec<u8>, parts: &[Part<'_>], is_error: bool) {
    let texts: Vec<&str> = parts.iter().filter_map(text_of).filter(|text| !text.is_empty()).collect();
    if let [text] = *texts
        && !is_error
        && json::is_object(text.trim())
    {
        return out.extend_from_slice(text.trim().as_bytes());
    }
    let mut response = Object::begin(out);
    let name = if is_error { "error" } else { "output" };
    match &*texts {
        [] => response.text(name, ""),
        [text] => response.text(name, text),
        _ => {
            let mut array = Array::begin(response.field(name));
            texts.iter().for_each(|text| write_string(array.item(), text));
            array.end();
        }
    }
    response.end();
}

fn write_result_file(out: &mut Vec<u8>, placed: &Placed<'_, '_>) -> Result<(), Error> {
    let (Part::Image { source, .. } | Part::Document { source, .. }) = placed.part else {
        return Err(placed.refused_by(VENDOR, "texts, pictures and documents in a tool's result"));
    };
    let Source::Base64 { media_type, data } = source else {
        return Err(placed.refused_by(VENDOR, "data URLs in base64 in a tool's result"));
    };
    let mut part = Object::begin(out);
    write_blob(part.field("inlineData"), media_type, data);
    part.end();
    Ok(())
}

/// The result of a call that nothing before it makes.
fn unpaired(placed: &Placed<'_, '_>, call_id: &str) -> Error {
    let path = placed.place.field("tool_call_id");
    let id = json::bounded(call_id, json::PATH_BYTES_MAX);
    wrong(path, &format!("names call `{id}`, which no message before it makes; send the call, too"))
}

fn named_too_long(placed: &Placed<'_, '_>) -> Error {
    let words =
        format!("names a call of a function whose name is over {NAME_BYTES_MAX} bytes; send a shorter one");
    wrong(placed.place.field("tool_call_id"), &words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::openai::request::decode;
    use crate::error::Kind;

    fn contents(messages: &str, needs_signatures: bool) -> Result<String, Error> {
        let body = format!(r#"{{"messages":[{messages}]}}"#);
        let request = decode(body.as_bytes())?;
        let mut out = Vec::new();
        let mut body = Object::begin(&mut out);
        write_system(&mut body, &request)?;
        write_contents(&mut body, &request, needs_signatures)?;
        body.end();
        Ok(String::from_utf8(out).unwrap())
    }

    fn written(messages: &str) -> String {
        contents(messages, false).unwrap()
    }

    const USER: &str = r#"{"role":"user","content":"hi"}"#;

    fn call(id: &str) -> String {
        format!(r#"{{"id":"{id}","type":"function","function":{{"name":"f_{id}","arguments":"{{}}"}}}}"#)
    }

    #[test]
    fn roles_have_their_places_and_empty_texts_go() {
        let out = written(
            r#"{"role":"developer","content":"a"},{"role":"user","content":[{"type":"text","text":""},{"type":"text","text":" "}]},{"role":"assistant","content":""},{"role":"assistant","content":"b"},{"role":"system","content":"c"}"#,
        );
        assert_eq!(
            out,
            r#"{"systemInstruction":{"parts":[{"text":"a"},{"text":"c"}]},"contents":[{"role":"user","parts":[{"text":" "}]},{"role":"model","parts":[{"text":"b"}]}]}"#
        );
        assert_eq!(
            contents(r#"{"role":"system","content":"a"}"#, false).unwrap_err().kind,
            Kind::InvalidRequest
        );
    }

    #[test]
    fn results_of_a_round_are_one_turn_with_their_names() {
        let out = written(&format!(
            r#"{USER},{{"role":"assistant","content":null,"tool_calls":[{},{}]}},{{"role":"tool","tool_call_id":"b","content":"{{\"n\":12345678901234567890123}}"}},{{"role":"tool","tool_call_id":"a","content":"plain"}}"#,
            call("a"),
            call("b")
        ));
        let turns = r#"{"role":"model","parts":[{"functionCall":{"id":"a","name":"f_a","args":{}}},{"functionCall":{"id":"b","name":"f_b","args":{}}}]},{"role":"user","parts":[{"functionResponse":{"id":"b","name":"f_b","response":{"n":12345678901234567890123}}},{"functionResponse":{"id":"a","name":"f_a","response":{"output":"plain"}}}]}]}"#;
        assert!(out.ends_with(turns), "{out}");
    }

    #[test]
    fn a_function_that_results_repeat_has_no_long_name() {
        let id = "a".repeat(NAME_BYTES_MAX);
        let round = |id: &str| {
            let call = call(id);
            format!(
                r#"{USER},{{"role":"assistant","tool_calls":[{call}]}},{{"role":"tool","tool_call_id":"{id}","content":""}}"#
            )
        };
        let param = contents(&round(&id), false).unwrap_err().param;
        assert_eq!(param.as_deref(), Some("messages[2].tool_call_id"));
        assert!(contents(&round(&id[2..]), false).is_ok());
    }

    #[test]
    fn results_hold_several_texts_pictures_or_nothing() {
        let result = |content: &str| {
            let round = format!(
                r#"{USER},{{"role":"assistant","tool_calls":[{}]}},{{"role":"tool","tool_call_id":"a","content":{content}}}"#,
                call("a")
            );
            contents(&round, false).map(|out| out.split_once(r#""response":"#).unwrap().1.to_owned())
        };
        let ends = |content: &str, expected: &str| {
            assert_eq!(result(content).unwrap(), format!("{expected}}}}}]}}]}}"), "{content}");
        };
        ends(r#""""#, r#"{"output":""}"#);
        ends(r#""[1]""#, r#"{"output":"[1]"}"#);
        ends(r#"[{"type":"text","text":"x"},{"type":"text","text":"y"}]"#, r#"{"output":["x","y"]}"#);
        ends(
            r#"[{"type":"image_url","image_url":{"url":"data:image/jpg;base64,QQ=="}}]"#,
            r#"{"output":""},"parts":[{"inlineData":{"mimeType":"image/jpeg","data":"QQ=="}}]"#,
        );
        let error = result(
            r#"[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"https://x/y.png"}}]"#,
        )
        .unwrap_err();
        assert_eq!(error.param.as_deref(), Some("messages[2].content[1]"));
    }

    #[test]
    fn urls_are_geminis_to_fetch_or_refused() {
        let image = |url: &str| {
            contents(
                &format!(
                    r#"{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]}}"#
                ),
                false,
            )
        };
        let out = image("https://x.example/a/b.JPG?c=d.png").unwrap();
        assert!(
            out.contains(
                r#"{"fileData":{"mimeType":"image/jpeg","fileUri":"https://x.example/a/b.JPG?c=d.png"}}"#
            ),
            "{out}"
        );
        assert!(
            image("gs://bucket/file").unwrap().contains(r#"{"fileData":{"fileUri":"gs://bucket/file"}}"#)
        );
        assert!(image("https://example.com").unwrap().contains(r#"{"fileUri":"https://example.com"}"#));
        for url in ["http://x/y.png", "file:///etc/passwd", "x"] {
            let error = image(url).unwrap_err();
            assert_eq!(error.kind, Kind::UnsupportedParameter, "{url}");
            assert_eq!(error.param.as_deref(), Some("messages[0].content[0]"), "{url}");
        }
    }

    #[test]
    fn signatures_go_back_where_they_came_from() {
        let turn = |fields: &str| written(&format!(r#"{USER},{{"role":"assistant",{fields}}}"#));
        let encrypted = |data: &str| format!(r#"{{"type":"reasoning.encrypted","data":"{data}"}}"#);
        let out = turn(&format!(
            r#""content":"t","reasoning_details":[{{"type":"reasoning.text","text":"hm","signature":"QQ=="}},{}],"tool_calls":[{},{}]"#,
            encrypted("Qg=="),
            call("a"),
            call("b")
        ));
        assert!(
            out.ends_with(
                r#"[{"text":"hm","thought":true,"thoughtSignature":"QQ=="},{"text":"t"},{"functionCall":{"id":"a","name":"f_a","args":{}},"thoughtSignature":"Qg=="},{"functionCall":{"id":"b","name":"f_b","args":{}}}]}]}"#
            ),
            "{out}"
        );
        let out = turn(&format!(
            r#""content":"t","reasoning_details":[{},{}]"#,
            encrypted("QQ=="),
            encrypted("Qg==")
        ));
        assert!(
            out.ends_with(
                r#"[{"text":"t","thoughtSignature":"QQ=="},{"text":"","thoughtSignature":"Qg=="}]}]}"#
            ),
            "{out}"
        );
        let out = turn(&format!(r#""content":"t","reasoning_details":[{}]"#, encrypted("not one")));
        assert!(out.ends_with(r#"[{"text":"t"}]}]}"#), "{out}");
    }

    #[test]
    fn the_first_call_of_a_turn_has_a_signature_where_one_is_needed() {
        let round = format!(r#"{USER},{{"role":"assistant","tool_calls":[{},{}]}}"#, call("a"), call("b"));
        let out = contents(&round, true).unwrap();
        assert!(
            out.contains(r#""name":"f_a","args":{}},"thoughtSignature":"skip_thought_signature_validator"}"#)
        );
        assert_eq!(out.matches("thoughtSignature").count(), 1);
    }

    #[test]
    fn what_gemini_does_not_take_is_named_with_its_place() {
        for (messages, kind, param) in [
            (
                r#"{"role":"user","content":[{"type":"video_url","video_url":{}}]}"#.to_owned(),
                Kind::UnsupportedParameter,
                "messages[0].content[0]",
            ),
            (
                r#"{"role":"system","content":[{"type":"image_url","image_url":{"url":"https://x/y"}}]}"#
                    .to_owned(),
                Kind::UnsupportedParameter,
                "messages[0].content[0]",
            ),
            (
                r#"{"role":"tool","tool_call_id":"a","content":"x"}"#.to_owned(),
                Kind::InvalidRequest,
                "messages[0].tool_call_id",
            ),
            (
                format!(r#"{USER},{{"role":"assistant","tool_calls":[{}]}}"#, call("a").replace("{}", "[]")),
                Kind::InvalidRequest,
                "messages[1].tool_calls",
            ),
        ] {
            let error = contents(&messages, false).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{messages}");
        }
    }
}

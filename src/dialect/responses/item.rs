//! The `input` of a responses request to neutral messages: a text, or a list of items. Items of the model's side that
//! follow each other (thoughts, messages, calls) are one turn of it; each other item is a message of its own. It judges shape;
//! what a target can't take is the target's to refuse, but for kinds of items and parts that none can.

mod content;
mod encode;
mod place;

use std::borrow::Cow;
use std::fmt::Display;

use serde::Deserialize;

pub(super) use self::encode::write_all;
pub(super) use self::place::Neutral;
use super::thought::{self, Proof};
use crate::chat::{Message, Part, Request, Role};
use crate::dialect::dropped;
use crate::dialect::fault::{required, untranslated, wrong};
use crate::dialect::json::{self, Span, Text};
use crate::error::Error;

/// Fields are read when the item's kind wants them: other kinds have other types there.
#[derive(Deserialize)]
struct WireItem<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    role: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Span<'a>>,
    #[serde(borrow)]
    id: Option<Span<'a>>,
    #[serde(borrow)]
    call_id: Option<Span<'a>>,
    #[serde(borrow)]
    name: Option<Span<'a>>,
    #[serde(borrow)]
    arguments: Option<Span<'a>>,
    #[serde(borrow)]
    output: Option<Span<'a>>,
    #[serde(borrow)]
    summary: Option<Span<'a>>,
    #[serde(borrow)]
    encrypted_content: Option<Span<'a>>,
    #[serde(borrow)]
    phase: Option<Span<'a>>,
}

/// A text of a reasoning item.
#[derive(Deserialize)]
struct WireText<'a> {
    #[serde(borrow)]
    text: Text<'a>,
}

/// Decodes the whole input into `request.messages`.
pub(super) fn decode_all<'a>(value: Span<'a>, request: &mut Request<'a>) -> Result<(), Error> {
    if value.first() == b'"' {
        let Text(text) = value.parse(&"input")?;
        let parts = vec![Part::Text { text, cache: None }];
        request.messages.push(Message { role: Role::User, parts });
        return Ok(());
    }
    let spans: Vec<Span<'a>> = value.parse(&"input")?;
    request.messages.reserve(spans.len());
    for (index, span) in spans.into_iter().enumerate() {
        let path = &format_args!("input[{index}]");
        let item: WireItem<'a> = span.parse(path)?;
        let (role, parts) = decode(&item, path, &mut request.dropped)?;
        push(&mut request.messages, role, parts);
    }
    Ok(())
}

fn push<'a>(messages: &mut Vec<Message<'a>>, role: Role, mut parts: Vec<Part<'a>>) {
    if role != Role::Assistant {
        return messages.push(Message { role, parts });
    }
    match messages.last_mut() {
        Some(last) if last.role == Role::Assistant => last.parts.append(&mut parts),
        _ if parts.is_empty() => {}
        _ => messages.push(Message { role, parts }),
    }
}

fn decode<'a>(
    item: &WireItem<'a>,
    path: &dyn Display,
    dropped: &mut Vec<Cow<'a, str>>,
) -> Result<(Role, Vec<Part<'a>>), Error> {
    let kind = item.kind.as_ref().map(|kind| &*kind.0);
    match (kind, &item.role) {
        (None | Some("message"), Some(role)) => message(item, role, path, dropped),
        (Some("message"), None) => Err(wrong(format_args!("{path}.role"), "is required")),
        (Some("function_call"), _) => Ok((Role::Assistant, vec![call(item, path)?])),
        (Some("function_call_output"), _) => Ok((Role::Tool, vec![result(item, path, dropped)?])),
        (Some("reasoning"), _) => {
            Ok((Role::Assistant, reasoning(item, path, dropped)?.into_iter().collect()))
        }
        (Some("item_reference"), _) => Err(reference(path)),
        (None, None) if item.id.is_some() => Err(reference(path)),
        (None, None) => Err(wrong(format_args!("{path}.type"), "is required")),
        (Some(kind), _) => {
            let words =
                format!("a `{}` item has no counterpart there", json::bounded(kind, json::PATH_BYTES_MAX));
            Err(untranslated(format_args!("{path}.type"), &words))
        }
    }
}

fn message<'a>(
    item: &WireItem<'a>,
    role: &Text<'a>,
    path: &dyn Display,
    dropped: &mut Vec<Cow<'a, str>>,
) -> Result<(Role, Vec<Part<'a>>), Error> {
    let role = match &*role.0 {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        "developer" => Role::Developer,
        _ => return Err(wrong(format_args!("{path}.role"), "must be user, assistant, system or developer")),
    };
    if item.phase.is_some() {
        dropped::once(dropped, "input.phase");
    }
    let content = required(item.content, path, ".content")?;
    Ok((role, content::decode(content, &format_args!("{path}.content"), dropped)?))
}

fn call<'a>(item: &WireItem<'a>, path: &dyn Display) -> Result<Part<'a>, Error> {
    Ok(Part::ToolCall {
        id: text(item.call_id, path, ".call_id")?,
        name: text(item.name, path, ".name")?,
        arguments: text(item.arguments, path, ".arguments")?,
    })
}

fn result<'a>(
    item: &WireItem<'a>,
    path: &dyn Display,
    dropped: &mut Vec<Cow<'a, str>>,
) -> Result<Part<'a>, Error> {
    let call_id = text(item.call_id, path, ".call_id")?;
    let output = required(item.output, path, ".output")?;
    let parts = content::decode(output, &format_args!("{path}.output"), dropped)?;
    Ok(Part::ToolResult { call_id, parts, is_error: false })
}

/// A thought. OpenAI's own proof is no use to another provider: its words stay, unproven.
fn reasoning<'a>(
    item: &WireItem<'a>,
    path: &dyn Display,
    dropped: &mut Vec<Cow<'a, str>>,
) -> Result<Option<Part<'a>>, Error> {
    let mut words = texts(item.summary, &format_args!("{path}.summary"))?;
    if words.is_none() {
        words = texts(item.content, &format_args!("{path}.content"))?;
    }
    let mut proof = item.encrypted_content.map(|_| text(item.encrypted_content, path, ".encrypted_content"));
    if matches!(&proof, Some(Ok(content)) if content == thought::UNPROVEN) {
        proof = None;
    }
    if let Some(Ok(content)) = &proof
        && matches!(thought::read(Cow::Borrowed(content)), Proof::Own(_))
    {
        dropped::once(dropped, "input.encrypted_content");
        proof = None;
        words = words.filter(|words| !words.is_empty());
    }
    let part = thought::part(words, proof.transpose()?);
    if part.is_none() && item.encrypted_content.is_none() {
        dropped::once(dropped, "input.reasoning");
    }
    Ok(part)
}

/// The texts of a list as one; `None`: there are none.
fn texts<'a>(value: Option<Span<'a>>, path: &dyn Display) -> Result<Option<Cow<'a, str>>, Error> {
    let Some(value) = value else { return Ok(None) };
    let texts: Vec<WireText<'a>> = value.parse(path)?;
    Ok(joined(texts.into_iter().map(|one| one.text.0)))
}

/// Several texts of one thought as one; `None`: there are none.
pub(super) fn joined<'a>(texts: impl Iterator<Item = Cow<'a, str>>) -> Option<Cow<'a, str>> {
    texts.reduce(|all, next| {
        let mut all = all.into_owned();
        all.push_str(thought::BETWEEN);
        all.push_str(&next);
        Cow::Owned(all)
    })
}

fn text<'a>(value: Option<Span<'a>>, path: &dyn Display, field: &str) -> Result<Cow<'a, str>, Error> {
    let Text(text) = required(value, path, field)?.parse(&format_args!("{path}{field}"))?;
    Ok(text)
}

fn reference(path: &dyn Display) -> Error {
    untranslated(path, "it refers to an item in OpenAI's store: send the item itself")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::responses::request::decode as decode_request;
    use crate::error::Kind;

    fn refused(item: &str) -> Error {
        decode_request(format!(r#"{{"input":[{item}]}}"#).as_bytes()).unwrap_err()
    }

    fn decoded(input: &str) -> Request<'_> {
        decode_request(input.as_bytes()).unwrap()
    }

    #[test]
    fn each_wrong_item_is_named_with_its_place() {
        let (invalid, unsupported) = (Kind::InvalidRequest, Kind::UnsupportedParameter);
        for (item, kind, param) in [
            ("1", invalid, "input[0]"),
            ("{}", invalid, "input[0].type"),
            (r#"{"type":"message","content":"x"}"#, invalid, "input[0].role"),
            (r#"{"role":"tool","content":"x"}"#, invalid, "input[0].role"),
            (r#"{"role":"user"}"#, invalid, "input[0].content"),
            (r#"{"role":"user","content":7}"#, invalid, "input[0].content"),
            (r#"{"role":"user","content":[{"type":"input_text"}]}"#, invalid, "input[0].content[0].text"),
            (
                r#"{"role":"user","content":[{"type":"input_image","image_url":"data:image/png,x"}]}"#,
                invalid,
                "input[0].content[0].image_url",
            ),
            (
                r#"{"role":"user","content":[{"type":"input_image","file_id":"file-1"}]}"#,
                unsupported,
                "input[0].content[0].file_id",
            ),
            (
                r#"{"role":"user","content":[{"type":"input_file","file_id":"file-1"}]}"#,
                unsupported,
                "input[0].content[0].file_id",
            ),
            (
                r#"{"role":"user","content":[{"type":"input_file","file_data":"QUI="}]}"#,
                invalid,
                "input[0].content[0].file_data",
            ),
            (
                r#"{"role":"user","content":[{"type":"input_video"}]}"#,
                unsupported,
                "input[0].content[0].type",
            ),
            (r#"{"type":"function_call","name":"f","arguments":""}"#, invalid, "input[0].call_id"),
            (r#"{"type":"function_call","call_id":"c","name":"f"}"#, invalid, "input[0].arguments"),
            (r#"{"type":"function_call_output","output":"x"}"#, invalid, "input[0].call_id"),
            (r#"{"type":"function_call_output","call_id":"c"}"#, invalid, "input[0].output"),
            (r#"{"type":"reasoning","summary":"x"}"#, invalid, "input[0].summary"),
            (r#"{"type":"item_reference","id":"msg_1"}"#, unsupported, "input[0]"),
            (r#"{"id":"msg_1"}"#, unsupported, "input[0]"),
            (r#"{"type":"web_search_call","id":"ws_1","action":{}}"#, unsupported, "input[0].type"),
            (r#"{"type":"mcp_call","arguments":{},"output":{}}"#, unsupported, "input[0].type"),
        ] {
            let error = refused(item);
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{item}");
        }
    }

    #[test]
    fn the_models_items_are_one_turn() {
        let request = decoded(
            r#"{"input":[{"role":"user","content":"a"},{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"h"},{"type":"summary_text","text":"m"}],"encrypted_content":"corelane.signature:s"},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"b","annotations":[]}]},{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},{"type":"function_call","call_id":"c2","name":"g","arguments":""},{"type":"function_call_output","call_id":"c1","output":"1"},{"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"2"}]},{"role":"assistant","content":"c"}]}"#,
        );
        let roles: Vec<_> = request.messages.iter().map(|one| (one.role, one.parts.len())).collect();
        let expected =
            [(Role::User, 1), (Role::Assistant, 4), (Role::Tool, 1), (Role::Tool, 1), (Role::Assistant, 1)];
        assert_eq!(roles, expected);
        let thought = Part::Reasoning { text: "h\n\nm".into(), signature: Some("s".into()) };
        assert_eq!(request.messages[1].parts[0], thought);
        assert!(request.dropped.is_empty(), "{:?}", request.dropped);
    }

    #[test]
    fn many_texts_of_one_thought_are_joined_once() {
        // Joined by copying what stands before each, these would be minutes.
        let all = joined((0..300_000).map(|_| Cow::Borrowed("x"))).unwrap();
        assert_eq!((all.len(), &all[..4]), (300_000 + 2 * 299_999, "x\n\nx"));
    }

    #[test]
    fn openais_own_proofs_and_lone_references_stay_behind() {
        let request = decoded(
            r#"{"input":[{"role":"user","content":"a"},{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAAA"},{"type":"reasoning","id":"rs_2","summary":[]},{"type":"reasoning","id":"rs_3","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"gAAAA"}]}"#,
        );
        assert_eq!(request.messages.len(), 2);
        assert_eq!(request.messages[1].parts, [Part::Reasoning { text: "hm".into(), signature: None }]);
        assert_eq!(request.dropped, ["input.encrypted_content", "input.reasoning"]);
    }
}

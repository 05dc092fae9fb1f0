//! A whole chat completion as bytes to a neutral answer. The way back is `response`'s.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::Error as _;

use super::said::{Thought, WireCall, WireSaid, finish};
use super::usage::WireUsage;
use crate::chat::{Finish, Part, Response};
use crate::dialect::json::{self, Span, Text};

#[derive(Deserialize)]
struct WireAnswer<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    choices: Vec<WireChoice<'a>>,
    usage: Option<WireUsage>,
    #[serde(borrow)]
    service_tier: Option<Span<'a>>,
}

#[derive(Deserialize)]
struct WireChoice<'a> {
    #[serde(borrow)]
    message: WireSaid<'a>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
}

/// Decodes an answer, its first choice: a request that we translate asks for one.
pub(in crate::dialect) fn decode(body: &[u8]) -> Result<Response<'_>, serde_json::Error> {
    let wire: WireAnswer<'_> = serde_json::from_slice(body)?;
    let choice = wire.choices.into_iter().next();
    let mut choice = choice.ok_or_else(|| serde_json::Error::custom("`choices` is empty"))?;
    let id = wire.id.map_or(Cow::Borrowed(""), |id| id.0);
    let calls = choice.message.tool_calls.take().unwrap_or_default();
    let refusal = choice.message.refusal();
    let reason = choice.finish_reason.as_ref().map(|text| &*text.0);
    let finish = finish(reason, !calls.is_empty(), refusal.is_some());
    let mut parts: Vec<Part<'_>> = choice.message.thoughts().into_iter().map(thought).collect();
    parts.extend(choice.message.texts().into_iter().map(|text| Part::Text { text, cache: None }));
    parts.extend(choice.message.citations().into_iter().map(Part::Citation));
    parts.extend(refusal.map(|text| Part::Refusal { text }));
    for (index, wire) in calls.into_iter().enumerate() {
        parts.extend(call(wire, index, &id, finish)?);
    }
    let usage = wire.usage.map(|usage| usage.usage()).unwrap_or_default();
    let model = wire.model.map_or(Cow::Borrowed(""), |model| model.0);
    let service_tier = wire.service_tier.and_then(super::request::service_tier);
    Ok(Response { id, model, parts, finish, usage, service_tier })
}

fn thought(thought: Thought<'_>) -> Part<'_> {
    match thought.data {
        Some(data) => Part::ReasoningEncrypted { data },
        None => Part::Reasoning { text: thought.text.unwrap_or_default(), signature: thought.signature },
    }
}

/// A call; `None`: one that the token limit cut, which nobody can run.
fn call<'a>(
    wire: WireCall<'a>,
    index: usize,
    answer: &str,
    finish: Finish,
) -> Result<Option<Part<'a>>, serde_json::Error> {
    let (id, name, arguments) = wire.into_parts();
    let name = name.ok_or_else(|| serde_json::Error::custom("a tool call has no name"))?;
    let arguments = if arguments.trim().is_empty() { Cow::Borrowed("{}") } else { arguments };
    if !json::is_object(&arguments) {
        return match finish {
            Finish::Length => Ok(None),
            _ => Err(serde_json::Error::custom("the arguments of a tool call are not a JSON object")),
        };
    }
    // Other dialects pair a call and its result by an id.
    let id = id.unwrap_or_else(|| Cow::Owned(made_id(answer, index)));
    Ok(Some(Part::ToolCall { id, name, arguments }))
}

/// The id of a call that has none.
pub(super) fn made_id(answer: &str, index: usize) -> String {
    format!("call_{}_{index}", json::bounded(answer, json::PATH_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(choice: &str) -> Result<String, serde_json::Error> {
        let body = format!(r#"{{"id":"a","model":"m","choices":[{choice}]}}"#);
        decode(body.as_bytes()).map(|answer| format!("{:?} {:?}", answer.finish, answer.parts))
    }

    #[test]
    fn what_was_said_decides_over_the_reason() {
        for (choice, expected) in [
            (
                r#"{"message":{"tool_calls":[{"id":"i","function":{"name":"f"}}]},"finish_reason":"stop"}"#,
                "ToolCalls",
            ),
            (r#"{"message":{"content":null,"refusal":"no"},"finish_reason":"stop"}"#, "ContentFilter"),
            (r#"{"message":{"content":"x"},"finish_reason":null}"#, "Stop"),
            (r#"{"message":{"content":"x"},"finish_reason":"length"}"#, "Length"),
        ] {
            assert!(decoded(choice).unwrap().starts_with(expected), "{choice}");
        }
    }

    #[test]
    fn calls_without_an_id_get_one_and_broken_ones_are_no_answer() {
        let call = |arguments: &str, reason: &str| {
            decoded(&format!(
                r#"{{"message":{{"tool_calls":[{{"function":{{"name":"f","arguments":{arguments}}}}}]}},"finish_reason":"{reason}"}}"#
            ))
        };
        assert!(call(r#""""#, "stop").unwrap().contains(r#"id: "call_a_0", name: "f", arguments: "{}""#));
        assert!(call(r#""{\"a\":""#, "tool_calls").is_err());
        assert!(!call(r#""{\"a\":""#, "length").unwrap().contains("ToolCall"));
        assert!(decode(br#"{"choices":[]}"#).is_err());
    }

    #[test]
    fn thoughts_are_found_wherever_they_stand() {
        for message in [
            r#"{"reasoning_content":"hm","content":"x"}"#,
            r#"{"reasoning":"hm","content":"x"}"#,
            r#"{"reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm"}],"content":"x"}"#,
            r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"x"}]}"#,
        ] {
            let shown = decoded(&format!(r#"{{"message":{message},"finish_reason":"stop"}}"#)).unwrap();
            assert!(
                shown.contains(r#"[Reasoning { text: "hm", signature: None }, Text { text: "x""#),
                "{shown}"
            );
        }
    }
}

//! A whole response as bytes to a neutral answer. Items of server-side tools have no neutral word and are left out. The way
//! back is `response`'s; one that failed is `error`'s.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::Error as _;

use super::usage::WireUsage;
use super::{finish, item, thought};
use crate::chat::{Citation, Finish, Part, Response};
use crate::dialect::json::{self, Span, Text};
use crate::dialect::tier;

#[derive(Deserialize)]
struct WireResponse<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    incomplete_details: Option<WireIncomplete<'a>>,
    #[serde(borrow)]
    output: Vec<Span<'a>>,
    usage: Option<WireUsage>,
    #[serde(borrow)]
    service_tier: Option<Text<'a>>,
}

/// Why an answer is incomplete.
#[derive(Deserialize)]
pub(super) struct WireIncomplete<'a> {
    #[serde(borrow)]
    pub(super) reason: Option<Text<'a>>,
}

/// An item of the output. Fields are read when its kind wants them.
#[derive(Deserialize)]
pub(super) struct WireItem<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    content: Option<Span<'a>>,
    #[serde(borrow)]
    call_id: Option<Span<'a>>,
    #[serde(borrow)]
    name: Option<Span<'a>>,
    #[serde(borrow)]
    arguments: Option<Span<'a>>,
    #[serde(borrow)]
    summary: Option<Span<'a>>,
    #[serde(borrow)]
    encrypted_content: Option<Span<'a>>,
}

/// A part of a message, or a text of a thought.
#[derive(Deserialize)]
struct WirePart<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    annotations: Vec<WireAnnotation<'a>>,
}

/// Where a text has something from.
#[derive(Deserialize)]
pub(super) struct WireAnnotation<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    url: Option<Text<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow)]
    filename: Option<Text<'a>>,
    start_index: Option<u64>,
    end_index: Option<u64>,
}

impl<'a> WireAnnotation<'a> {
    /// In neutral words; `before_chars` is the answer's text before the annotated one. `None`: there is no word for it.
    pub(super) fn citation(self, before_chars: u64) -> Option<Citation<'a>> {
        let shifted = |index: u64| index.saturating_add(before_chars);
        let span = self.start_index.map(shifted).zip(self.end_index.map(shifted));
        let title = self.title.or(self.filename).map(|text| text.0).filter(|title| !title.is_empty());
        match &*self.kind.0 {
            "url_citation" => Some(Citation { url: Some(self.url?.0), title, span, ..Citation::default() }),
            "file_citation" | "container_file_citation" => {
                Some(Citation { title, span, ..Citation::default() })
            }
            _ => None,
        }
    }
}

/// Decodes an answer.
pub(in crate::dialect) fn decode(body: &[u8]) -> Result<Response<'_>, serde_json::Error> {
    let wire: WireResponse<'_> = serde_json::from_slice(body)?;
    let status = wire.status.as_ref().map_or("completed", |status| &*status.0);
    if !matches!(status, "completed" | "incomplete") {
        let status = json::bounded(status, json::PATH_BYTES_MAX);
        return Err(serde_json::Error::custom(format!("its `status` is `{status}`")));
    }
    let is_cut = status == "incomplete";
    let mut parts = Vec::with_capacity(wire.output.len());
    let mut said_chars = 0;
    for span in wire.output {
        push_item(serde_json::from_str(span.raw().0)?, is_cut, &mut said_chars, &mut parts)?;
    }
    let reason = wire.incomplete_details.and_then(|details| details.reason);
    Ok(Response {
        id: wire.id.0,
        model: wire.model.map_or(Cow::Borrowed(""), |model| model.0),
        finish: said_finish(status, reason.as_ref().map(|reason| &*reason.0), &parts),
        parts,
        usage: wire.usage.map(|usage| usage.usage()).unwrap_or_default(),
        service_tier: wire.service_tier.and_then(|tier| tier::read(&tier.0)),
    })
}

fn said_finish(status: &str, reason: Option<&str>, parts: &[Part<'_>]) -> Finish {
    let has_calls = parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    let is_refused = parts.iter().any(|part| matches!(part, Part::Refusal { .. }));
    finish(status, reason, has_calls, is_refused)
}

fn push_item<'a>(
    item: WireItem<'a>,
    is_cut: bool,
    said_chars: &mut u64,
    parts: &mut Vec<Part<'a>>,
) -> Result<(), serde_json::Error> {
    match &*item.kind.0 {
        "message" => {
            let Some(content) = item.content else { return Ok(()) };
            for part in serde_json::from_str::<Vec<WirePart<'a>>>(content.raw().0)? {
                push_part(part, said_chars, parts);
            }
        }
        "function_call" => parts.extend(item.call(is_cut)?),
        "reasoning" => parts.extend(item.thought()?),
        _ => {}
    }
    Ok(())
}

fn push_part<'a>(wire: WirePart<'a>, said_chars: &mut u64, parts: &mut Vec<Part<'a>>) {
    match (&*wire.kind.0, wire.text, wire.refusal) {
        ("output_text", Some(Text(text)), _) => {
            let before_chars = *said_chars;
            *said_chars = before_chars.saturating_add(text.chars().count() as u64);
            if !text.is_empty() {
                parts.push(Part::Text { text, cache: None });
            }
            let citations = wire.annotations.into_iter().filter_map(|one| one.citation(before_chars));
            parts.extend(citations.map(Part::Citation));
        }
        ("refusal", _, Some(Text(text))) => parts.push(Part::Refusal { text }),
        _ => {}
    }
}

impl<'a> WireItem<'a> {
    /// The call that it is; `None`: one that the token limit cut, which nobody can run.
    fn call(&self, is_cut: bool) -> Result<Option<Part<'a>>, serde_json::Error> {
        let (id, name) = self.call_names()?;
        let arguments = self.call_arguments()?;
        let arguments = if arguments.trim().is_empty() { Cow::Borrowed("{}") } else { arguments };
        if json::is_object(&arguments) {
            return Ok(Some(Part::ToolCall { id, name, arguments }));
        }
        if is_cut { Ok(None) } else { Err(custom("the arguments of a function call are not a JSON object")) }
    }

    /// A call's id and its function's name.
    pub(super) fn call_names(&self) -> Result<(Cow<'a, str>, Cow<'a, str>), serde_json::Error> {
        let (Some(id), Some(name)) = (self.call_id, self.name) else {
            return Err(custom("a function call has no `call_id` or no `name`"));
        };
        Ok((text(id)?, text(name)?))
    }

    /// A call's arguments, as far as they are here; may be empty.
    pub(super) fn call_arguments(&self) -> Result<Cow<'a, str>, serde_json::Error> {
        self.arguments.map_or(Ok(Cow::Borrowed("")), text)
    }

    /// The thought that it is; `None`: one without words or proof.
    pub(super) fn thought(&self) -> Result<Option<Part<'a>>, serde_json::Error> {
        let words = match texts(self.summary)? {
            Some(words) => Some(words),
            None => texts(self.content)?,
        };
        Ok(thought::part(words, self.encrypted_content.map(text).transpose()?))
    }
}

fn texts<'a>(value: Option<Span<'a>>) -> Result<Option<Cow<'a, str>>, serde_json::Error> {
    let Some(value) = value else { return Ok(None) };
    let parts: Vec<WirePart<'a>> = serde_json::from_str(value.raw().0)?;
    Ok(item::joined(parts.into_iter().filter_map(|part| Some(part.text?.0))))
}

fn text<'a>(value: Span<'a>) -> Result<Cow<'a, str>, serde_json::Error> {
    serde_json::from_str::<Text<'a>>(value.raw().0).map(|text| text.0)
}

fn custom(words: &str) -> serde_json::Error {
    serde_json::Error::custom(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(output: &str, status: &str) -> Result<Response<'static>, serde_json::Error> {
        let body = format!(r#"{{"id":"resp_1","model":"m","status":"{status}","output":[{output}]}}"#);
        decode(Box::leak(body.into_boxed_str()).as_bytes())
    }

    #[test]
    fn what_was_said_decides_over_the_status() {
        let call = r#"{"type":"function_call","call_id":"c","name":"f","arguments":""}"#;
        let refusal = r#"{"type":"message","content":[{"type":"refusal","refusal":"no"}]}"#;
        for (output, expected) in
            [(call, Finish::ToolCalls), (refusal, Finish::ContentFilter), ("", Finish::Stop)]
        {
            assert_eq!(decoded(output, "completed").unwrap().finish, expected);
            assert_eq!(decoded(output, "incomplete").unwrap().finish, Finish::Length);
        }
        for status in ["failed", "cancelled", "queued", "in_progress"] {
            assert!(decoded("", status).is_err());
        }
    }

    #[test]
    fn broken_calls_are_no_answer_and_cut_ones_are_left_out() {
        let call = |arguments: &str| {
            format!(r#"{{"type":"function_call","call_id":"c","name":"f","arguments":"{arguments}"}}"#)
        };
        assert!(decoded(&call("[1]"), "completed").is_err());
        assert!(decoded(r#"{"type":"function_call","name":"f"}"#, "completed").is_err());
        assert_eq!(decoded(&call("{"), "incomplete").unwrap().parts, []);
        let expected = Part::ToolCall { id: "c".into(), name: "f".into(), arguments: "{}".into() };
        assert_eq!(decoded(&call(""), "completed").unwrap().parts, [expected]);
    }

    #[test]
    fn thoughts_are_found_wherever_they_stand() {
        let output = r#"{"type":"reasoning","id":"rs","summary":[],"content":[{"type":"reasoning_text","text":"a"}]},{"type":"reasoning","id":"rs","summary":[{"type":"summary_text","text":"b"},{"type":"summary_text","text":"c"}],"encrypted_content":"gAAAA"},{"type":"reasoning","id":"rs","summary":[],"encrypted_content":"gBBBB"},{"type":"reasoning","id":"rs","summary":[]},{"type":"web_search_call","id":"ws","status":"completed","action":{}}"#;
        let expected = [
            Part::Reasoning { text: "a".into(), signature: None },
            Part::Reasoning { text: "b\n\nc".into(), signature: Some("corelaneResponses000gAAAA".into()) },
            Part::ReasoningEncrypted { data: "corelaneResponses000gBBBB".into() },
        ];
        assert_eq!(decoded(output, "completed").unwrap().parts, expected);
    }

    #[test]
    fn annotations_count_from_the_answers_start() {
        let output = r#"{"type":"message","content":[{"type":"output_text","text":"é1","annotations":[{"type":"file_citation","file_id":"f","filename":"a.pdf","index":1}]},{"type":"output_text","text":"ab","annotations":[{"type":"url_citation","start_index":0,"end_index":2,"url":"https://e.com","title":"E"},{"type":"file_path","file_id":"f","index":0}]}]}"#;
        let parts = decoded(output, "completed").unwrap().parts;
        let file = Citation { title: Some("a.pdf".into()), ..Citation::default() };
        let page = Citation {
            url: Some("https://e.com".into()),
            title: Some("E".into()),
            span: Some((2, 4)),
            ..Citation::default()
        };
        assert_eq!(parts.len(), 4);
        assert_eq!((&parts[1], &parts[3]), (&Part::Citation(file), &Part::Citation(page)));
    }
}

//! The content columns of Gemini's requests and answers, whole or streamed, as server-sent events or as one JSON array. A
//! message stays in Gemini's shape, its parts put together where a stream had cut them.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::stream::{PARTS_MAX, each_event};
use super::{Members, RowContent, Text, ToolCalls, json_string, json_text};

/// The keys that have columns of their own, or none; Google's readers take either spelling.
const APART: [&str; 7] =
    ["model", "contents", "tools", "systemInstruction", "system_instruction", "content", "requests"];

/// Whether a key of a request is left out of its params.
pub(super) fn stands_apart(key: &str) -> bool {
    APART.contains(&key)
}

/// What was asked: the conversation, or the content of an embedding, or the requests of a batch of these.
pub(super) fn input_history(members: &Members<'_>) -> Option<String> {
    if let Some(requests) = members.find("requests") {
        return Some(json_text(requests));
    }
    let content = members.find("content").map(|content| format!("[{content}]"));
    let contents = members.find("contents").map(str::to_owned).or(content)?;
    let system = members.find("systemInstruction").or_else(|| members.find("system_instruction"));
    Some(json_text(&match system {
        Some(system) => with_system(system, &contents),
        None => contents,
    }))
}

fn with_system(system: &str, contents: &str) -> String {
    let parts = serde_json::from_str::<Members<'_>>(system).ok();
    let system = match parts.as_ref().and_then(|content| content.find("parts")) {
        Some(parts) => format!(r#"{{"role":"system","parts":{parts}}}"#),
        None => format!(r#"{{"role":"system","content":{system}}}"#),
    };
    match contents.strip_prefix('[').map(str::trim_ascii_start) {
        Some("]") => format!("[{system}]"),
        Some(rest) => format!("[{system},{rest}"),
        // What is no list is still a JSON value.
        None => format!("[{system},{contents}]"),
    }
}

#[derive(Deserialize)]
struct Step<'a> {
    #[serde(borrow)]
    candidates: Option<Vec<Candidate<'a>>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Candidate<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    parts: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    thought: Option<bool>,
    #[serde(borrow)]
    thought_signature: Option<&'a RawValue>,
    #[serde(borrow)]
    function_call: Option<Call<'a>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
}

impl Step<'_> {
    /// The first candidate's content.
    fn content(&self) -> Option<&str> {
        let candidates = self.candidates.as_deref().unwrap_or_default();
        let first = candidates.iter().find(|candidate| candidate.index.unwrap_or(0) == 0);
        first.and_then(|candidate| candidate.content).map(RawValue::get)
    }
}

/// A whole answer's columns.
pub(super) fn answer(body: &str, content: &mut RowContent) {
    let step = serde_json::from_str::<Step<'_>>(body).ok();
    let Some(message) = step.as_ref().and_then(Step::content) else {
        content.output_message = Some(json_text(body));
        return;
    };
    content.output_message = Some(json_text(message));
    let mut calls = ToolCalls::default();
    each_part(message, |_, part| push_call(&mut calls, part));
    content.tool_calls = calls.finish();
}

/// A stream's.
pub(super) fn stream(text: &str, content: &mut RowContent) {
    let mut message = Message::default();
    match text.trim_ascii_start().strip_prefix('[') {
        Some(elements) => each_element(elements, |element| message.step(element)),
        None => each_event(text, |data| message.step(data)),
    }
    message.finish(content);
}

/// Calls `take` with each whole element of an array whose bracket is open.
fn each_element(mut elements: &str, mut take: impl FnMut(&str)) {
    loop {
        elements = elements.trim_ascii_start();
        elements = elements.strip_prefix(',').unwrap_or(elements);
        let mut values = serde_json::Deserializer::from_str(elements).into_iter::<&RawValue>();
        let Some(Ok(element)) = values.next() else { return };
        take(element.get());
        elements = elements.get(values.byte_offset()..).unwrap_or_default();
    }
}

fn each_part(content: &str, mut take: impl FnMut(&str, &Part<'_>)) {
    let parts = serde_json::from_str::<Content<'_>>(content).ok().and_then(|content| content.parts);
    for raw in parts.unwrap_or_default() {
        if let Ok(part) = serde_json::from_str::<Part<'_>>(raw.get()) {
            take(raw.get(), &part);
        }
    }
}

fn push_call(calls: &mut ToolCalls, part: &Part<'_>) {
    if let Some(call) = &part.function_call {
        let id = call.id.as_ref().map_or("", |id| &*id.0);
        calls.push(id, &call.name.0, call.args.map_or("{}", RawValue::get));
    }
}

/// One message put together from its steps.
#[derive(Default)]
struct Message {
    is_seen: bool,
    /// JSON texts.
    parts: Vec<String>,
    /// The text under way, and whether it is a thought's.
    text: String,
    is_thought: bool,
    calls: ToolCalls,
    /// A step that had no candidate: why there is no answer.
    reason: Option<String>,
    error: Option<String>,
}

impl Message {
    fn step(&mut self, data: &str) {
        let Ok(step) = serde_json::from_str::<Step<'_>>(data) else { return };
        if step.error.is_some() {
            self.error = Some(json_text(data));
        } else if let Some(content) = step.content() {
            self.is_seen = true;
            each_part(content, |raw, part| self.part(raw, part));
        } else if step.candidates.is_none() {
            self.reason = Some(json_text(data));
        }
    }

    fn part(&mut self, raw: &str, part: &Part<'_>) {
        let is_thought = part.thought == Some(true);
        push_call(&mut self.calls, part);
        match &part.text {
            Some(text) if part.thought_signature.is_none() => {
                if is_thought != self.is_thought {
                    self.end_text();
                }
                self.is_thought = is_thought;
                self.text.push_str(&text.0);
            }
            _ => {
                self.end_text();
                self.push(json_text(raw));
            }
        }
    }

    fn end_text(&mut self) {
        if self.text.is_empty() {
            return;
        }
        let text = json_string(&std::mem::take(&mut self.text));
        let thought = if self.is_thought { r#","thought":true"# } else { "" };
        self.push(format!(r#"{{"text":{text}{thought}}}"#));
    }

    fn push(&mut self, part: String) {
        if self.parts.len() < PARTS_MAX {
            self.parts.push(part);
        }
    }

    fn finish(mut self, row: &mut RowContent) {
        self.end_text();
        row.error_details = self.error;
        row.tool_calls = self.calls.finish();
        row.output_message = match self.is_seen {
            true => Some(format!(r#"{{"role":"model","parts":[{}]}}"#, self.parts.join(","))),
            false => self.reason,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::{row_content, tests::assert_json};
    use super::*;
    use crate::dialect::Dialect;

    const ASKED: &str = r#"{"model":"models/m","systemInstruction":{"role":"user","parts":[{"text":"be brief"}]},"contents":[{"role":"user","parts":[{"text":"hi"}]}],"tools":[{"functionDeclarations":[]}],"generationConfig":{"temperature":0.70}}"#;
    const STEPS: [&str; 5] = [
        r#"{"candidates":[{"content":{"parts":[{"text":"hm","thought":true}],"role":"model"},"index":0}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"He"}],"role":"model"}},{"index":1,"content":{"parts":[{"text":"other"}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"y \"é\""},{"functionCall":{"name":"f","args":{"a": 1}},"thoughtSignature":"QQ=="}],"role":"model"}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"Qg=="}]},"finishReason":"STOP"}],"usageMetadata":{}}"#,
        r#"{"error":{"code":503,"message":"m"}}"#,
    ];

    fn content(input: &str, output: &str, stream: bool) -> RowContent {
        row_content(Dialect::Gemini, Some(input.as_bytes()), Some(output.as_bytes()), stream)
    }

    #[test]
    fn a_request_falls_into_messages_tools_and_params() {
        let content = content(ASKED, STEPS[2], false);
        let history =
            r#"[{"role":"system","parts":[{"text":"be brief"}]},{"role":"user","parts":[{"text":"hi"}]}]"#;
        assert_eq!(content.input_history.as_deref(), Some(history));
        assert_eq!(content.params.as_deref(), Some(r#"{"generationConfig":{"temperature":0.70}}"#));
        assert_eq!(content.tools.as_deref(), Some(r#"[{"functionDeclarations":[]}]"#));
        let message = r#"{"parts":[{"text":"y \"é\""},{"functionCall":{"name":"f","args":{"a": 1}},"thoughtSignature":"QQ=="}],"role":"model"}"#;
        assert_eq!(content.output_message.as_deref(), Some(message));
        let calls = r#"[{"id":"","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}}]"#;
        assert_eq!(content.tool_calls.as_deref(), Some(calls));
    }

    #[test]
    fn embeddings_and_refusals_are_kept() {
        let one =
            content(r#"{"content":{"parts":[{"text":"a"}]},"taskType":"X"}"#, "{\"embedding\":{}}", false);
        assert_eq!(one.input_history.as_deref(), Some(r#"[{"parts":[{"text":"a"}]}]"#));
        assert_eq!(one.params.as_deref(), Some(r#"{"taskType":"X"}"#));
        assert_eq!(one.output_message.as_deref(), Some("{\"embedding\":{}}"));
        let batch = content(r#"{"requests":[{"content":{}}]}"#, "{}", false);
        assert_eq!((batch.input_history.as_deref(), batch.params), (Some(r#"[{"content":{}}]"#), None));
        let blocked = r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#;
        assert_eq!(content(ASKED, blocked, false).output_message.as_deref(), Some(blocked));
        assert_eq!(content(ASKED, &format!("[{blocked}]"), true).output_message.as_deref(), Some(blocked));
    }

    #[test]
    fn a_stream_becomes_one_message_in_either_framing() {
        let sse: String = STEPS.iter().map(|step| format!("data: {step}\r\n\r\n")).collect();
        let array = format!("[{}]", STEPS.join(",\n"));
        let message = r#"{"role":"model","parts":[{"text":"hm","thought":true},{"text":"Hey \"é\""},{"functionCall":{"name":"f","args":{"a": 1}},"thoughtSignature":"QQ=="},{"text":"","thoughtSignature":"Qg=="}]}"#;
        for text in [&sse, &array] {
            let row = content(ASKED, text, true);
            assert_eq!(row.output_message.as_deref(), Some(message));
            assert_eq!(row.error_details.as_deref(), Some(STEPS[4]));
            assert!(row.tool_calls.is_some());
            for cut in 0..=text.len() {
                assert_json(&row_content(Dialect::Gemini, None, text.as_bytes().get(..cut), true));
            }
        }
    }

    #[test]
    fn every_cut_of_a_body_still_gives_valid_json() {
        for cut in 0..=ASKED.len() {
            assert_json(&row_content(Dialect::Gemini, ASKED.as_bytes().get(..cut), None, false));
        }
        for odd in
            [r#"{"contents":7,"systemInstruction":"x"}"#, r#"{"contents":[ ],"system_instruction":{}}"#]
        {
            assert_json(&content(odd, "[]", false));
        }
    }
}

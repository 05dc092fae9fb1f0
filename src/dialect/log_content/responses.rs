//! A row's columns of OpenAI's Responses: what it was asked, its items, whole and put together from a stream. An item stays as
//! its provider wrote it; the whole of a stream's last event wins over what was put together.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::stream::{append, each_event, part};
use super::{Members, RowContent, Text, ToolCalls, json_string, json_text};

/// `input`, a text or a list of items, behind `instructions`; `None`: it has no input.
pub(super) fn history(members: &Members<'_>) -> Option<String> {
    let input = members.find("input")?;
    let items = if input.starts_with('[') {
        input.to_owned()
    } else {
        format!(r#"[{{"role":"user","content":{input}}}]"#)
    };
    Some(match members.find("instructions") {
        Some(instructions) => super::with_system(instructions, &items),
        None => json_text(&items),
    })
}

/// Whether a key of the request has a column of its own.
pub(super) fn stands_apart(key: &str) -> bool {
    matches!(key, "input" | "instructions")
}

/// The items of a whole answer; one of another shape is kept whole.
pub(super) fn answer(body: &str, members: &Members<'_>, content: &mut RowContent) {
    let Some(output) = members.find("output") else {
        content.output_message = Some(json_text(body));
        return;
    };
    content.output_message = Some(message(output));
    content.tool_calls = tool_calls(serde_json::from_str(output).unwrap_or_default());
}

fn message(output: &str) -> String {
    json_text(&format!(r#"{{"role":"assistant","content":{output}}}"#))
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    call_id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
}

fn tool_calls(items: Vec<&RawValue>) -> Option<String> {
    let mut calls = ToolCalls::default();
    for item in items {
        let Ok(item) = serde_json::from_str::<Item<'_>>(item.get()) else { continue };
        if item.kind.0 == "function_call" {
            let text = |text: Option<Text<'_>>| text.map_or(String::new(), |text| text.0.into_owned());
            calls.push(&text(item.call_id), &text(item.name), &text(item.arguments));
        }
    }
    calls.finish()
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(default)]
    output_index: u64,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<Text<'a>>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
}

/// A stream's events.
#[derive(Default)]
struct Answer {
    items: Vec<(u64, Part)>,
    whole: Option<String>,
    error: Option<String>,
}

/// An item under way.
#[derive(Default)]
struct Part {
    /// As its event gave it: when it was done, else when it began.
    item: String,
    is_done: bool,
    text: Option<String>,
    arguments: Option<String>,
}

/// Fills the answer's columns from a stream's bytes.
pub(super) fn stream(sse: &str, content: &mut RowContent) {
    let mut answer = Answer::default();
    each_event(sse, |data| answer.event(data));
    answer.finish(content);
}

impl Answer {
    fn event(&mut self, data: &str) {
        let Ok(event) = serde_json::from_str::<Event<'_>>(data) else { return };
        match event.kind.0.as_ref() {
            "error" => self.error = Some(json_text(data)),
            "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
                if event.kind.0 == "response.failed" {
                    self.error = Some(json_text(data));
                }
                self.whole = event.response.map(|response| response.get().to_owned());
            }
            kind => self.item(kind, &event),
        }
    }

    fn item(&mut self, kind: &str, event: &Event<'_>) {
        let delta = || event.delta.as_ref().map(|delta| Text(Cow::Borrowed(delta.0.as_ref())));
        let is_start = kind == "response.output_item.added";
        let is_done = kind == "response.output_item.done";
        let is_text = matches!(kind, "response.output_text.delta" | "response.refusal.delta");
        if !is_start && !is_done && !is_text && kind != "response.function_call_arguments.delta" {
            return;
        }
        let Some(part) = part(&mut self.items, event.output_index) else { return };
        if let Some(item) = event.item.filter(|_| is_start || is_done) {
            (part.item, part.is_done) = (item.get().to_owned(), is_done);
        } else if is_text {
            append(&mut part.text, delta());
        } else {
            append(&mut part.arguments, delta());
        }
    }

    fn finish(self, row: &mut RowContent) {
        row.error_details = self.error;
        if let Some(whole) = self.whole
            && let Ok(members) = serde_json::from_str::<Members<'_>>(&whole)
        {
            return answer(&whole, &members, row);
        }
        if self.items.is_empty() {
            return;
        }
        let items: Vec<String> = self.items.iter().map(|(_, part)| part.json()).collect();
        let output = format!("[{}]", items.join(","));
        row.tool_calls = tool_calls(serde_json::from_str(&output).unwrap_or_default());
        row.output_message = Some(message(&output));
    }
}

impl Part {
    /// The item; one that was cut holds what came of it.
    fn json(&self) -> String {
        if let Some(text) = self.text.as_ref().filter(|_| !self.is_done) {
            let text = json_string(text);
            return format!(
                r#"{{"type":"message","role":"assistant","content":[{{"type":"output_text","text":{text}}}]}}"#
            );
        }
        let Some(arguments) = self.arguments.as_ref().filter(|_| !self.is_done) else {
            return if self.item.is_empty() { "null".to_owned() } else { self.item.clone() };
        };
        let item = serde_json::from_str::<Item<'_>>(&self.item).ok();
        let text =
            |text: Option<Text<'_>>| json_string(&text.map_or(String::new(), |text| text.0.into_owned()));
        let (id, name) = item.map_or((None, None), |item| (item.call_id, item.name));
        let (id, name, arguments) = (text(id), text(name), json_string(arguments));
        format!(r#"{{"type":"function_call","call_id":{id},"name":{name},"arguments":{arguments}}}"#)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{row_content, tests::assert_json};
    use crate::dialect::Dialect;

    const OUTPUT: &str = r#"[{"id":"rs_1","type":"reasoning","summary":[]},{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"output_text","text":"Hey"}]},{"id":"fc_1","type":"function_call","call_id":"c1","name":"f","arguments":"{\"a\":1}"}]"#;
    const CALLS: &str = r#"[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]"#;

    fn stream(with_end: bool) -> String {
        let mut events = vec![
            r#"{"type":"response.created","response":{"id":"r","output":[]}}"#.to_owned(),
            r#"{"type":"response.output_item.added","output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}}"#.into(),
            r#"{"type":"response.output_item.done","output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}}"#.into(),
            r#"{"type":"response.output_item.added","output_index":1,"item":{"id":"msg_1","type":"message","role":"assistant","content":[]}}"#.into(),
            r#"{"type":"response.output_text.delta","output_index":1,"delta":"He"}"#.into(),
            r#"{"type":"response.output_text.delta","output_index":1,"delta":"\"y"}"#.into(),
            r#"{"type":"response.output_item.added","output_index":2,"item":{"id":"fc_1","type":"function_call","call_id":"c1","name":"f","arguments":""}}"#.into(),
            r#"{"type":"response.function_call_arguments.delta","output_index":2,"delta":"{\"a\":1}"}"#.into(),
        ];
        if with_end {
            events.push(format!(
                r#"{{"type":"response.completed","response":{{"id":"r","output":{OUTPUT},"usage":{{}}}}}}"#
            ));
        }
        let named = events.iter().map(|data| format!("event: x\ndata: {data}\n\n"));
        named.collect()
    }

    #[test]
    fn a_request_falls_into_input_tools_and_params() {
        let content = |input: &str| row_content(Dialect::Responses, Some(input.as_bytes()), None, false);
        let one = content(
            r#"{"model":"m","input":"hi","instructions":"be brief","tools":[1],"store":false,"stream":true}"#,
        );
        let history = r#"[{"role":"system","content":"be brief"},{"role":"user","content":"hi"}]"#;
        assert_eq!(one.input_history.as_deref(), Some(history));
        assert_eq!((one.tools.as_deref(), one.params.as_deref()), (Some("[1]"), Some(r#"{"store":false}"#)));
        let items = content(r#"{"input":[{"role":"user","content":"a"}],"previous_response_id":"r"}"#);
        assert_eq!(items.input_history.as_deref(), Some(r#"[{"role":"user","content":"a"}]"#));
        assert_eq!(items.params.as_deref(), Some(r#"{"previous_response_id":"r"}"#));
    }

    #[test]
    fn an_answer_keeps_its_items_whole_or_streamed() {
        let message = format!(r#"{{"role":"assistant","content":{OUTPUT}}}"#);
        let body = format!(r#"{{"id":"r","error":null,"output":{OUTPUT},"usage":{{}}}}"#);
        for (output, is_stream) in [(body, false), (stream(true), true)] {
            let content = row_content(Dialect::Responses, None, Some(output.as_bytes()), is_stream);
            assert_eq!(content.output_message.as_deref(), Some(message.as_str()));
            assert_eq!(content.tool_calls.as_deref(), Some(CALLS));
            assert_eq!(content.error_details, None);
        }
        let deleted = r#"{"id":"r","object":"response","deleted":true}"#;
        let content = row_content(Dialect::Responses, None, Some(deleted.as_bytes()), false);
        assert_eq!(content.output_message.as_deref(), Some(deleted));
    }

    #[test]
    fn a_stream_without_its_end_holds_what_came() {
        let error =
            r#"{"type":"error","code":"server_error","message":"m","param":null,"sequence_number":9}"#;
        let sse = format!("{}event: error\ndata: {error}\n\n", stream(false));
        let content = row_content(Dialect::Responses, None, Some(sse.as_bytes()), true);
        let message = content.output_message.unwrap();
        assert!(message.contains(r#"{"type":"output_text","text":"He\"y"}"#), "{message}");
        assert_eq!(content.tool_calls.as_deref(), Some(CALLS));
        assert_eq!(content.error_details.as_deref(), Some(error));
        let sse = stream(true);
        for cut in 0..sse.len() {
            assert_json(&row_content(Dialect::Responses, None, Some(&sse.as_bytes()[..cut]), true));
        }
    }
}

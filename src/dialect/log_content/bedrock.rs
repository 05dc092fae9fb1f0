//! The content columns of Bedrock's requests and answers, whole or as frames. A message stays in Bedrock's shape, its blocks
//! put together where a stream had cut them. A frame that is cut or broken ends what is kept.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::stream::{append, part};
use super::{Members, RowContent, Text, ToolCalls, json_string, json_text};
use crate::dialect::event_stream::frames;

/// The tools that a request offers.
pub(super) fn tools(members: &Members<'_>) -> Option<String> {
    let config = serde_json::from_str::<Members<'_>>(members.find("toolConfig")?).ok()?;
    config.find("tools").map(json_text)
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    output: Option<Output<'a>>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Vec<Block<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block<'a> {
    #[serde(borrow)]
    tool_use: Option<Call<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call<'a> {
    #[serde(borrow)]
    tool_use_id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// A whole answer's columns; one that is no conversation's is kept whole, an error's beside it.
pub(super) fn answer(body: &str, content: &mut RowContent) {
    let answer = serde_json::from_str::<Answer<'_>>(body).ok();
    let Some(message) = answer.and_then(|answer| answer.output).and_then(|output| output.message) else {
        let is_error =
            serde_json::from_str::<Members<'_>>(body).is_ok_and(|all| all.find("message").is_some());
        let column = if is_error { &mut content.error_details } else { &mut content.output_message };
        *column = Some(json_text(body));
        return;
    };
    content.output_message = Some(json_text(message.get()));
    let mut calls = ToolCalls::default();
    let blocks = serde_json::from_str::<Message<'_>>(message.get()).ok();
    for call in blocks.into_iter().flat_map(|message| message.content).filter_map(|block| block.tool_use) {
        let text = |text: &Option<Text<'_>>| text.as_ref().map_or(String::new(), |text| text.0.to_string());
        calls.push(&text(&call.tool_use_id), &text(&call.name), call.input.map_or("{}", RawValue::get));
    }
    content.tool_calls = calls.finish();
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(default)]
    content_block_index: u64,
    #[serde(borrow)]
    start: Option<Block<'a>>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delta<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    tool_use: Option<Input<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Thought<'a>>,
}

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    input: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Thought<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
}

/// A block of a stream, put together.
#[derive(Default)]
struct Built {
    call: Option<[String; 2]>,
    text: Option<String>,
    thought: Option<String>,
    signature: Option<String>,
    input: Option<String>,
}

/// A stream's columns.
pub(super) fn stream(bytes: &[u8], content: &mut RowContent) {
    let mut blocks: Vec<(u64, Built)> = Vec::new();
    for frame in frames(bytes).map_while(Result::ok) {
        let payload = String::from_utf8_lossy(frame.payload);
        match frame.text(":message-type") {
            Some("event") => {
                let Ok(event) = serde_json::from_str::<Event<'_>>(&payload) else { continue };
                if event.start.is_some() || event.delta.is_some() {
                    let block = part(&mut blocks, event.content_block_index);
                    block.into_iter().for_each(|block| block.take(&event));
                }
            }
            _ => {
                let is_json = serde_json::from_str::<&RawValue>(&payload).is_ok();
                let text = if is_json { json_text(&payload) } else { json_string(&payload) };
                content.error_details = Some(text);
            }
        }
    }
    if blocks.is_empty() {
        return;
    }
    let mut calls = ToolCalls::default();
    for (_, block) in &blocks {
        if let Some([id, name]) = &block.call {
            calls.push(id, name, block.input.as_deref().unwrap_or("{}"));
        }
    }
    content.tool_calls = calls.finish();
    let blocks: Vec<String> = blocks.iter().map(|(_, block)| block.json()).collect();
    content.output_message = Some(format!(r#"{{"role":"assistant","content":[{}]}}"#, blocks.join(",")));
}

impl Built {
    fn take(&mut self, event: &Event<'_>) {
        let text = |text: &Option<Text<'_>>| text.as_ref().map_or(String::new(), |text| text.0.to_string());
        if let Some(call) = event.start.as_ref().and_then(|start| start.tool_use.as_ref()) {
            self.call = Some([text(&call.tool_use_id), text(&call.name)]);
        }
        let Some(delta) = &event.delta else { return };
        fn more<'t>(text: &'t Option<Text<'_>>) -> Option<Text<'t>> {
            text.as_ref().map(|text| Text(Cow::Borrowed(&*text.0)))
        }
        append(&mut self.text, more(&delta.text));
        append(&mut self.input, delta.tool_use.as_ref().and_then(|call| more(&call.input)));
        if let Some(thought) = &delta.reasoning_content {
            append(&mut self.thought, more(&thought.text));
            append(&mut self.signature, more(&thought.signature));
        }
    }

    fn json(&self) -> String {
        if let Some([id, name]) = &self.call {
            let (id, name) = (json_string(id), json_string(name));
            let input = match self.input.as_deref() {
                None => "{}".to_owned(),
                Some(text) if serde_json::from_str::<&RawValue>(text).is_ok() => json_text(text),
                Some(text) => json_string(text),
            };
            return format!(r#"{{"toolUse":{{"toolUseId":{id},"name":{name},"input":{input}}}}}"#);
        }
        if self.thought.is_none() && self.signature.is_none() {
            return format!(r#"{{"text":{}}}"#, json_string(self.text.as_deref().unwrap_or_default()));
        }
        let text = json_string(self.thought.as_deref().unwrap_or_default());
        let signature = self.signature.as_deref().map(|one| format!(r#","signature":{}"#, json_string(one)));
        let signature = signature.unwrap_or_default();
        format!(r#"{{"reasoningContent":{{"reasoningText":{{"text":{text}{signature}}}}}}}"#)
    }
}

#[cfg(test)]
mod tests {
    use super::super::row_content;
    use super::super::tests::assert_json;
    use crate::dialect::{Dialect, event_stream};

    fn written(kind: &str, event: &str, payload: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let headers = [(":message-type", kind), (":event-type", event)];
        event_stream::write(&mut out, &headers, |out| out.extend_from_slice(payload.as_bytes()));
        out
    }

    #[test]
    fn a_request_and_an_answer_fall_into_columns() {
        let content = row_content(
            Dialect::Bedrock,
            Some(br#"{"system":[{"text":"s"}],"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"topP":0.50},"toolConfig":{"tools":[{"toolSpec":{"name":"f"}}]}}"#),
            Some(br#"{"output":{"message":{"role":"assistant","content":[{"toolUse":{"toolUseId":"c","name":"f","input":{"a":1}}}]}},"stopReason":"tool_use"}"#),
            false,
        );
        let history =
            r#"[{"role":"system","content":[{"text":"s"}]},{"role":"user","content":[{"text":"hi"}]}]"#;
        assert_eq!(content.input_history.as_deref(), Some(history));
        assert_eq!(content.params.as_deref(), Some(r#"{"inferenceConfig":{"topP":0.50}}"#));
        assert_eq!(content.tools.as_deref(), Some(r#"[{"toolSpec":{"name":"f"}}]"#));
        let calls = r#"[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]"#;
        assert_eq!(content.tool_calls.as_deref(), Some(calls));
        let error = br#"{"__type":"ThrottlingException","message":"m"}"#;
        let content = row_content(Dialect::Bedrock, None, Some(error), true);
        assert!(content.error_details.is_some() && content.output_message.is_none());
    }

    #[test]
    fn frames_become_one_message_wherever_they_are_cut() {
        let stream = [
            written("event", "messageStart", r#"{"role":"assistant"}"#),
            written("event", "contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"He"}}"#),
            written("event", "contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"y"}}"#),
            written(
                "event",
                "contentBlockStart",
                r#"{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"c","name":"f"}}}"#,
            ),
            written(
                "event",
                "contentBlockDelta",
                r#"{"contentBlockIndex":1,"delta":{"toolUse":{"input":"{\"a\": 1}"}}}"#,
            ),
            written("exception", "", r#"{"message":"m"}"#),
        ]
        .concat();
        let content = row_content(Dialect::Bedrock, None, Some(&stream), true);
        let message = r#"{"role":"assistant","content":[{"text":"Hey"},{"toolUse":{"toolUseId":"c","name":"f","input":{"a": 1}}}]}"#;
        assert_eq!(content.output_message.as_deref(), Some(message));
        assert_eq!(content.error_details.as_deref(), Some(r#"{"message":"m"}"#));
        for cut in 0..stream.len() {
            assert_json(&row_content(Dialect::Bedrock, None, stream.get(..cut), true));
        }
    }
}

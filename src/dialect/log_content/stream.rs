//! The answer of a stream put together from its SSE bytes, as a log row keeps it: one message with its tool calls.
//! An event that is cut or unreadable is passed over. It is not the relay's event parser.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{RowContent, Text, ToolCalls, json_string, json_text};
use crate::dialect::Dialect;

/// Content blocks or tool calls kept of one stream; more are passed over, so that a search among them stays short.
pub(super) const PARTS_MAX: usize = 1024;

/// Fills the answer's columns from a stream's bytes.
pub(super) fn answer_content(dialect: Dialect, sse: &str, content: &mut RowContent) {
    match dialect {
        Dialect::OpenAi => {
            let mut answer = OpenAiAnswer::default();
            each_event(sse, |data| answer.event(data));
            answer.finish(content);
        }
        Dialect::Gemini => super::gemini::stream(sse, content),
        Dialect::Responses => super::responses::stream(sse, content),
        Dialect::Cohere => super::cohere::stream(sse, content),
        // Its frames are no text.
        Dialect::Bedrock => {}
        Dialect::Anthropic => {
            let mut answer = AnthropicAnswer::default();
            each_event(sse, |data| answer.event(data));
            answer.finish(content);
        }
    }
}

/// Calls `take` with each event's data (<https://html.spec.whatwg.org/multipage/server-sent-events.html>), a last
/// event without its blank line included.
pub(super) fn each_event(sse: &str, mut take: impl FnMut(&str)) {
    let mut data: Option<Cow<'_, str>> = None;
    for line in sse.lines() {
        if line.is_empty() {
            if let Some(data) = data.take() {
                take(&data);
            }
        } else if let Some(value) = line.strip_prefix("data:") {
            let value = value.strip_prefix(' ').unwrap_or(value);
            data = Some(match data.take() {
                None => Cow::Borrowed(value),
                Some(before) => {
                    let mut joined = before.into_owned();
                    joined.push('\n');
                    joined.push_str(value);
                    Cow::Owned(joined)
                }
            });
        }
    }
    if let Some(data) = data {
        take(&data);
    }
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Option<Vec<ChunkChoice<'a>>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ChunkChoice<'a> {
    #[serde(default)]
    index: u64,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    /// Of a legacy completion.
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    /// Two names of one thing; some providers send both.
    #[serde(borrow)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<ToolDelta<'a>>>,
}

#[derive(Deserialize)]
struct ToolDelta<'a> {
    #[serde(default)]
    index: u64,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<FunctionDelta<'a>>,
}

#[derive(Deserialize)]
struct FunctionDelta<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
}

/// OpenAI's chunks, first choice only.
#[derive(Default)]
struct OpenAiAnswer {
    seen: bool,
    content: Option<String>,
    refusal: Option<String>,
    reasoning: Option<String>,
    calls: Vec<(u64, Call)>,
    error: Option<String>,
}

#[derive(Default)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

impl OpenAiAnswer {
    fn event(&mut self, data: &str) {
        let Ok(chunk) = serde_json::from_str::<Chunk<'_>>(data) else { return };
        if chunk.error.is_some() {
            self.error = Some(json_text(data));
        }
        for choice in chunk.choices.unwrap_or_default() {
            if choice.index != 0 {
                continue;
            }
            if let Some(delta) = choice.delta {
                self.delta(delta);
            }
            self.seen |= choice.text.is_some();
            append(&mut self.content, choice.text);
        }
    }

    fn delta(&mut self, delta: Delta<'_>) {
        self.seen = true;
        append(&mut self.content, delta.content);
        append(&mut self.refusal, delta.refusal);
        append(&mut self.reasoning, delta.reasoning_content.or(delta.reasoning));
        for tool in delta.tool_calls.unwrap_or_default() {
            let Some(call) = part(&mut self.calls, tool.index) else { continue };
            if let Some(id) = tool.id {
                call.id = id.0.into_owned();
            }
            if let Some(function) = tool.function {
                call.name.push_str(&function.name.map_or(Cow::Borrowed(""), |name| name.0));
                call.arguments
                    .push_str(&function.arguments.map_or(Cow::Borrowed(""), |arguments| arguments.0));
            }
        }
    }

    fn finish(self, row: &mut RowContent) {
        row.error_details = self.error;
        if !self.seen {
            return;
        }
        let mut calls = ToolCalls::default();
        for (_, call) in &self.calls {
            calls.push(&call.id, &call.name, &call.arguments);
        }
        row.tool_calls = calls.finish();
        let content = self.content.map_or("null".to_owned(), |text| json_string(&text));
        let mut message = format!(r#"{{"role":"assistant","content":{content}"#);
        let members = [
            ("refusal", self.refusal.map(|text| json_string(&text))),
            ("reasoning_content", self.reasoning.map(|text| json_string(&text))),
            ("tool_calls", row.tool_calls.clone()),
        ];
        for (name, value) in members {
            if let Some(value) = value {
                message.push_str(&format!(r#","{name}":{value}"#));
            }
        }
        message.push('}');
        row.output_message = Some(message);
    }
}

/// Appends what came, if it did.
pub(super) fn append(text: &mut Option<String>, more: Option<Text<'_>>) {
    if let Some(more) = more {
        text.get_or_insert_default().push_str(&more.0);
    }
}

/// The part with this index, made when it is new; `None` past the bound.
pub(super) fn part<T: Default>(parts: &mut Vec<(u64, T)>, index: u64) -> Option<&mut T> {
    let at = match parts.iter().position(|(at, _)| *at == index) {
        Some(at) => at,
        None if parts.len() < PARTS_MAX => {
            parts.push((index, T::default()));
            parts.len() - 1
        }
        None => return None,
    };
    parts.get_mut(at).map(|(_, part)| part)
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(default)]
    index: u64,
    #[serde(borrow)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<BlockDelta<'a>>,
}

#[derive(Deserialize)]
struct BlockDelta<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    partial_json: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct BlockStart<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
}

/// Anthropic's events.
#[derive(Default)]
struct AnthropicAnswer {
    blocks: Vec<(u64, Part)>,
    error: Option<String>,
}

#[derive(Default)]
struct Part {
    kind: String,
    id: String,
    name: String,
    /// The block as its start event gave it; what is kept of a kind that has no text of ours.
    start: String,
    text: String,
    signature: String,
    json: String,
}

impl AnthropicAnswer {
    fn event(&mut self, data: &str) {
        let Ok(event) = serde_json::from_str::<Event<'_>>(data) else { return };
        match event.kind.0.as_ref() {
            "error" => self.error = Some(json_text(data)),
            "content_block_start" => {
                if let (Some(raw), Some(part)) = (event.content_block, part(&mut self.blocks, event.index)) {
                    part.start(raw.get());
                }
            }
            "content_block_delta" => {
                if let (Some(delta), Some(part)) = (event.delta, part(&mut self.blocks, event.index)) {
                    part.delta(delta);
                }
            }
            _ => {}
        }
    }

    fn finish(self, row: &mut RowContent) {
        row.error_details = self.error;
        if self.blocks.is_empty() {
            return;
        }
        let mut calls = ToolCalls::default();
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for (_, part) in &self.blocks {
            if part.kind == "tool_use" {
                calls.push(&part.id, &part.name, if part.json.is_empty() { "{}" } else { &part.json });
            }
            blocks.push(part.json());
        }
        row.tool_calls = calls.finish();
        row.output_message = Some(format!(r#"{{"role":"assistant","content":[{}]}}"#, blocks.join(",")));
    }
}

impl Part {
    fn start(&mut self, raw: &str) {
        self.start = json_text(raw);
        if let Ok(start) = serde_json::from_str::<BlockStart<'_>>(raw) {
            self.kind = start.kind.0.into_owned();
            self.id = start.id.map_or(String::new(), |id| id.0.into_owned());
            self.name = start.name.map_or(String::new(), |name| name.0.into_owned());
        }
    }

    fn delta(&mut self, delta: BlockDelta<'_>) {
        for more in [delta.text, delta.thinking].into_iter().flatten() {
            self.text.push_str(&more.0);
        }
        if let Some(more) = delta.signature {
            self.signature.push_str(&more.0);
        }
        if let Some(more) = delta.partial_json {
            self.json.push_str(&more.0);
        }
    }

    fn json(&self) -> String {
        let text = || json_string(&self.text);
        match self.kind.as_str() {
            "text" => format!(r#"{{"type":"text","text":{}}}"#, text()),
            "thinking" => {
                let signature = json_string(&self.signature);
                format!(r#"{{"type":"thinking","thinking":{},"signature":{signature}}}"#, text())
            }
            kind if kind.ends_with("tool_use") => {
                let (id, name, kind) = (json_string(&self.id), json_string(&self.name), json_string(kind));
                format!(r#"{{"type":{kind},"id":{id},"name":{name},"input":{}}}"#, self.input())
            }
            _ if self.start.is_empty() => text(),
            _ => self.start.clone(),
        }
    }

    /// The tool's input as JSON; one that was cut stays as the text that came.
    fn input(&self) -> String {
        if self.json.is_empty() {
            return "{}".to_owned();
        }
        match serde_json::from_str::<&RawValue>(&self.json) {
            Ok(raw) => json_text(raw.get()),
            Err(_) => json_string(&self.json),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::row_content;
    use super::*;

    const OPENAI: &str = concat!(
        r#"data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
        "\n\n",
        r#"data: {"choices":[{"index":0,"delta":{"content":"He\"y "}}]}"#,
        "\r\n\r\n",
        r#"data: {"choices":[{"index":0,"delta":{"content":"é"}},{"index":1,"delta":{"content":"other"}}]}"#,
        "\n\n",
        r#"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\""}}]}}]}"#,
        "\n\n",
        r#"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]},"finish_reason":"tool_calls"}]}"#,
        "\n\ndata: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n",
    );

    const ANTHROPIC: &str = concat!(
        "event: message_start\n",
        r#"data: {"type":"message_start","message":{"id":"m","content":[]}}"#,
        "\n\nevent: content_block_start\n",
        r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        "\n\n",
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"He"}}"#,
        "\n\n",
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"y"}}"#,
        "\n\n",
        r#"data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
        "\n\n",
        r#"data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\": 1}"}}"#,
        "\n\n",
        r#"data: {"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":1}}"#,
        "\n\n",
    );

    fn content(dialect: Dialect, sse: &[u8]) -> RowContent {
        row_content(dialect, None, Some(sse), true)
    }

    #[test]
    fn openai_chunks_become_one_message() {
        let content = content(Dialect::OpenAi, OPENAI.as_bytes());
        let calls = r#"[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]"#;
        assert_eq!(content.tool_calls.as_deref(), Some(calls));
        let message = format!(r#"{{"role":"assistant","content":"He\"y é","tool_calls":{calls}}}"#);
        assert_eq!(content.output_message, Some(message));
    }

    #[test]
    fn two_names_of_reasoning_and_null_choices_lose_nothing() {
        let sse = concat!(
            r#"data: {"choices":[{"delta":{"content":"hi","reasoning":null,"reasoning_content":null}}]}"#,
            "\n\n",
            r#"data: {"choices":null,"error":{"message":"m"}}"#,
            "\n\n",
        );
        let content = content(Dialect::OpenAi, sse.as_bytes());
        assert_eq!(content.output_message.as_deref(), Some(r#"{"role":"assistant","content":"hi"}"#));
        assert!(content.error_details.is_some());
    }

    #[test]
    fn anthropic_events_become_one_message() {
        let content = content(Dialect::Anthropic, ANTHROPIC.as_bytes());
        let message = r#"{"role":"assistant","content":[{"type":"text","text":"Hey"},{"type":"tool_use","id":"t","name":"f","input":{"a": 1}}]}"#;
        assert_eq!(content.output_message.as_deref(), Some(message));
        let calls = r#"[{"id":"t","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}}]"#;
        assert_eq!(content.tool_calls.as_deref(), Some(calls));
    }

    #[test]
    fn an_error_event_is_error_details_beside_what_came_before() {
        let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#;
        let sse = format!("{ANTHROPIC}event: error\ndata: {error}\n\n");
        let content = content(Dialect::Anthropic, sse.as_bytes());
        assert_eq!(content.error_details.as_deref(), Some(error));
        assert!(content.output_message.is_some());
    }

    #[test]
    fn a_stream_cut_at_any_byte_gives_valid_json() {
        for (dialect, sse) in [(Dialect::OpenAi, OPENAI), (Dialect::Anthropic, ANTHROPIC)] {
            for cut in 0..=sse.len() {
                super::super::tests::assert_json(&content(dialect, &sse.as_bytes()[..cut]));
            }
        }
    }
}

//! The content columns of Cohere's bodies: a message is kept as it stands, since its calls have OpenAI's shape; a stream's is put
//! together.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::stream::{append, each_event, part};
use super::{Members, RowContent, Text, ToolCalls, json_string, json_text};

/// Where what is asked stands, beside conversations.
pub(super) const INPUTS: [&str; 5] = ["texts", "inputs", "images", "query", "text"];

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
}

/// A whole answer: its message, or what is no conversation as it is; an error is a `message` of words.
pub(super) fn answer(body: &str, members: &Members<'_>, content: &mut RowContent) {
    let Some(message) = members.find("message") else {
        content.output_message = Some(json_text(body));
        return;
    };
    if message.starts_with('"') {
        content.error_details = Some(json_text(body));
        return;
    }
    content.output_message = Some(json_text(message));
    let calls = serde_json::from_str::<Message<'_>>(message).ok().and_then(|message| message.tool_calls);
    content.tool_calls = calls.map(RawValue::get).filter(|calls| *calls != "[]").map(json_text);
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(default)]
    index: u64,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    content: Option<Content<'a>>,
    #[serde(borrow)]
    tool_plan: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Call<'a>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<Called<'a>>,
}

#[derive(Deserialize)]
struct Called<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
}

#[derive(Default)]
struct Answer {
    is_begun: bool,
    plan: Option<String>,
    blocks: Vec<(u64, Block)>,
    calls: Vec<(u64, Made)>,
    error: Option<String>,
}

#[derive(Default)]
struct Block {
    is_thought: bool,
    words: Option<String>,
}

#[derive(Default)]
struct Made {
    id: String,
    name: String,
    arguments: Option<String>,
}

/// A stream's message.
pub(super) fn stream(sse: &str, content: &mut RowContent) {
    let mut answer = Answer::default();
    each_event(sse, |data| answer.event(data));
    answer.finish(content);
}

impl Answer {
    fn event(&mut self, data: &str) {
        let Ok(event) = serde_json::from_str::<Event<'_>>(data) else { return };
        let Some(delta) = event.delta else { return };
        if delta.error.is_some() {
            self.error = Some(json_text(data));
        }
        self.is_begun |= event.kind.0 == "message-start";
        let is_said = matches!(
            event.kind.0.as_ref(),
            "content-start" | "content-delta" | "tool-plan-delta" | "tool-call-start" | "tool-call-delta"
        );
        let Some(message) = delta.message.filter(|_| is_said) else { return };
        if let Ok(said) = serde_json::from_str::<Said<'_>>(message.get()) {
            self.say(event.index, said);
        }
    }

    fn say(&mut self, index: u64, said: Said<'_>) {
        append(&mut self.plan, said.tool_plan);
        if let Some((content, block)) = said.content.zip(part(&mut self.blocks, index)) {
            block.is_thought |= content.thinking.is_some();
            append(&mut block.words, content.thinking.or(content.text));
        }
        if let Some((call, made)) = said.tool_calls.zip(part(&mut self.calls, index)) {
            if let Some(id) = call.id {
                made.id = id.0.into_owned();
            }
            let Some(function) = call.function else { return };
            if let Some(name) = function.name {
                made.name = name.0.into_owned();
            }
            append(&mut made.arguments, function.arguments);
        }
    }

    fn finish(self, row: &mut RowContent) {
        row.error_details = self.error;
        if !self.is_begun && self.blocks.is_empty() && self.calls.is_empty() && self.plan.is_none() {
            return;
        }
        let mut calls = ToolCalls::default();
        for (_, call) in &self.calls {
            calls.push(&call.id, &call.name, call.arguments.as_deref().unwrap_or_default());
        }
        row.tool_calls = calls.finish();
        let blocks: Vec<String> = self.blocks.iter().map(|(_, block)| block.json()).collect();
        let mut message = r#"{"role":"assistant""#.to_owned();
        if let Some(plan) = &self.plan {
            message.push_str(&format!(r#","tool_plan":{}"#, json_string(plan)));
        }
        if !blocks.is_empty() {
            message.push_str(&format!(r#","content":[{}]"#, blocks.join(",")));
        }
        if let Some(calls) = &row.tool_calls {
            message.push_str(&format!(r#","tool_calls":{calls}"#));
        }
        message.push('}');
        row.output_message = Some(message);
    }
}

impl Block {
    fn json(&self) -> String {
        let kind = if self.is_thought { "thinking" } else { "text" };
        let words = json_string(self.words.as_deref().unwrap_or_default());
        format!(r#"{{"type":"{kind}","{kind}":{words}}}"#)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{row_content, tests::assert_json};
    use crate::dialect::Dialect;

    const ASKED: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"documents":["d"],"tools":[{"x":1}],"stream":true}"#;
    const STREAM: &str = concat!(
        "event: message-start\n",
        r#"data: {"id":"i","type":"message-start","delta":{"message":{"role":"assistant","content":[],"tool_calls":[],"citations":[]}}}"#,
        "\n\nevent: tool-plan-delta\n",
        r#"data: {"type":"tool-plan-delta","delta":{"message":{"tool_plan":"I look"}}}"#,
        "\n\nevent: content-start\n",
        r#"data: {"type":"content-start","index":0,"delta":{"message":{"content":{"type":"text","text":""}}}}"#,
        "\n\nevent: content-delta\n",
        r#"data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"He\"y"}}}}"#,
        "\n\nevent: tool-call-start\n",
        r#"data: {"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"c","type":"function","function":{"name":"f","arguments":""}}}}}"#,
        "\n\nevent: tool-call-delta\n",
        r#"data: {"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"{\"a\":1}"}}}}}"#,
        "\n\nevent: message-end\n",
        r#"data: {"type":"message-end","delta":{"finish_reason":"TOOL_CALL","usage":{}}}"#,
        "\n\n",
    );

    #[test]
    fn a_conversation_has_its_messages_and_a_stream_becomes_one() {
        let content = row_content(Dialect::Cohere, Some(ASKED.as_bytes()), Some(STREAM.as_bytes()), true);
        assert_eq!(content.input_history.as_deref(), Some(r#"[{"role":"user","content":"hi"}]"#));
        assert_eq!(content.params.as_deref(), Some(r#"{"documents":["d"]}"#));
        assert_eq!(content.tools.as_deref(), Some(r#"[{"x":1}]"#));
        let calls = r#"[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]"#;
        assert_eq!(content.tool_calls.as_deref(), Some(calls));
        let message = format!(
            r#"{{"role":"assistant","tool_plan":"I look","content":[{{"type":"text","text":"He\"y"}}],"tool_calls":{calls}}}"#
        );
        assert_eq!(content.output_message, Some(message));
        for cut in 0..=STREAM.len() {
            assert_json(&row_content(Dialect::Cohere, None, STREAM.as_bytes().get(..cut), true));
        }
    }

    #[test]
    fn what_is_no_conversation_has_its_input_and_its_answer() {
        let whole = |input: &str, output: &str| {
            row_content(Dialect::Cohere, Some(input.as_bytes()), Some(output.as_bytes()), false)
        };
        let answer = r#"{"id":"i","results":[{"index":0,"relevance_score":0.5}]}"#;
        let content = whole(r#"{"model":"m","query":"q","documents":["d"]}"#, answer);
        assert_eq!(content.input_history.as_deref(), Some(r#"[{"role":"user","content":"q"}]"#));
        assert_eq!(content.params.as_deref(), Some(r#"{"documents":["d"]}"#));
        assert_eq!(content.output_message.as_deref(), Some(answer));
        let content = whole(r#"{"model":"m","texts":["a"]}"#, r#"{"id":"i","message":"too long"}"#);
        assert_eq!(content.input_history.as_deref(), Some(r#"[{"role":"user","content":["a"]}]"#));
        assert!(content.error_details.is_some() && content.output_message.is_none());
        let message =
            r#"{"role":"assistant","content":[{"type":"text","text":"x"}],"tool_calls":[{"id":"c"}]}"#;
        let content = whole("{}", &format!(r#"{{"id":"i","message":{message}}}"#));
        assert_eq!(content.output_message.as_deref(), Some(message));
        assert_eq!(content.tool_calls.as_deref(), Some(r#"[{"id":"c"}]"#));
    }
}

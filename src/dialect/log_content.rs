//! What a log row's content columns hold, made from the raw bodies of one request: JSON texts, cut out of the original
//! where it has them. Pure, and forgiving: a body that is cut, or is no JSON, is kept as one JSON string. It is not a
//! dialect's decoder: it judges nothing and never fails.

use std::borrow::Cow;
use std::fmt;

use memchr::memmem;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::dialect::Dialect;

mod bedrock;
mod cohere;
mod gemini;
mod responses;
mod stream;

/// The content columns of one row; each is a JSON text, free of NUL in either spelling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowContent {
    /// Array of the request's messages, a system prompt that stands apart first; or the unreadable body as one string.
    pub input_history: Option<String>,
    /// Object of the request's other keys, without `model` and `stream`.
    pub params: Option<String>,
    /// Array of the tools that the request offered.
    pub tools: Option<String>,
    /// The answer's first message (a stream's put together); or the unreadable answer as one string.
    pub output_message: Option<String>,
    /// Array of the answer's tool calls, in OpenAI's shape for every dialect.
    pub tool_calls: Option<String>,
    /// The error object as the caller was sent it.
    pub error_details: Option<String>,
}

impl RowContent {
    /// Bytes of all texts.
    pub fn bytes(&self) -> usize {
        [
            &self.input_history,
            &self.params,
            &self.tools,
            &self.output_message,
            &self.tool_calls,
            &self.error_details,
        ]
        .into_iter()
        .flatten()
        .map(String::len)
        .sum()
    }
}

/// The content columns from the caller's body and what the caller was sent. `stream` says that a stream was asked for;
/// an answer that is JSON all the same (an error) is taken as what it is.
pub fn row_content(
    dialect: Dialect,
    input: Option<&[u8]>,
    output: Option<&[u8]>,
    stream: bool,
) -> RowContent {
    let mut content = RowContent::default();
    if let Some(input) = input.filter(|input| !input.is_empty()) {
        request_content(dialect, &String::from_utf8_lossy(input), &mut content);
    }
    if let Some(output) = output.filter(|output| !output.is_empty()) {
        let text = String::from_utf8_lossy(output);
        if dialect == Dialect::Bedrock && stream && !text.starts_with('{') {
            bedrock::stream(output, &mut content);
        } else if stream && !text.trim_ascii_start().starts_with('{') {
            stream::answer_content(dialect, &text, &mut content);
        } else {
            answer_content(dialect, &text, &mut content);
        }
    }
    content
}

/// A JSON text as a column takes it: the escape of NUL, which no database's JSON functions accept, becomes U+FFFD's.
fn json_text(json: &str) -> String {
    const NUL_ESCAPE: &str = "\\u0000";
    if memmem::find(json.as_bytes(), NUL_ESCAPE.as_bytes()).is_none() {
        return json.to_owned();
    }
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, after)) = rest.split_once(NUL_ESCAPE) {
        text.push_str(before);
        // An odd run of backslashes before ours makes it the second half of an escaped backslash.
        let escaped = before.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
        text.push_str(if escaped { NUL_ESCAPE } else { "\\ufffd" });
        rest = after;
    }
    text.push_str(rest);
    text
}

/// Any text as one JSON string.
fn json_string(text: &str) -> String {
    json_text(&serde_json::to_string(text).unwrap_or_default())
}

/// A JSON string that borrows where it holds no escape.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// An object's members in their order, values as they stand in the body.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some((Text(key), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    members.push((key, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

impl<'a> Members<'a> {
    fn find(&self, name: &str) -> Option<&'a str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.get())
            .filter(|value| *value != "null")
    }
}

fn request_content(dialect: Dialect, body: &str, content: &mut RowContent) {
    let Ok(members) = serde_json::from_str::<Members<'_>>(body) else {
        content.input_history = Some(json_string(body));
        return;
    };
    content.tools = members.find("tools").map(json_text);
    content.input_history = members.find("messages").map(|messages| match members.find("system") {
        Some(system) if matches!(dialect, Dialect::Anthropic | Dialect::Bedrock) => {
            with_system(system, messages)
        }
        _ => json_text(messages),
    });
    if dialect == Dialect::Responses {
        content.input_history = responses::history(&members);
    } else if let Some((_, input)) = input(dialect, &members) {
        content.input_history = Some(json_text(&format!(r#"[{{"role":"user","content":{input}}}]"#)));
    }
    if dialect == Dialect::Bedrock {
        content.tools = bedrock::tools(&members);
    }
    if dialect == Dialect::Gemini {
        content.input_history = gemini::input_history(&members);
    }
    content.params = params(dialect, &members);
}

/// What another operation than a conversation is asked about: the key and its value.
fn input<'a>(dialect: Dialect, members: &Members<'a>) -> Option<(&'static str, &'a str)> {
    if members.find("messages").is_some() {
        return None;
    }
    // A reranking's question is asked in either dialect.
    let names: &[&'static str] =
        if dialect == Dialect::Cohere { &cohere::INPUTS } else { &["input", "prompt", "query"] };
    names.iter().copied().find_map(|name| members.find(name).map(|value| (name, value)))
}

fn with_system(system: &str, messages: &str) -> String {
    let system = format!(r#"{{"role":"system","content":{system}}}"#);
    json_text(&match messages.strip_prefix('[').map(str::trim_ascii_start) {
        Some("]") => format!("[{system}]"),
        Some(rest) => format!("[{system},{rest}"),
        // What is no list is still a JSON value.
        None => format!("[{system},{messages}]"),
    })
}

fn params(dialect: Dialect, members: &Members<'_>) -> Option<String> {
    let mut text = String::new();
    let input = input(dialect, members).map(|(name, _)| name);
    for (key, value) in &members.0 {
        let apart = if dialect == Dialect::Gemini {
            gemini::stands_apart(key)
        } else {
            matches!(key.as_ref(), "model" | "messages" | "tools" | "stream")
                || (key == "system" && matches!(dialect, Dialect::Anthropic | Dialect::Bedrock))
                || (key == "toolConfig" && dialect == Dialect::Bedrock)
                || input.is_some_and(|input| key == input)
                || (dialect == Dialect::Responses && responses::stands_apart(key))
        };
        if !apart {
            text.push(if text.is_empty() { '{' } else { ',' });
            text.push_str(&json_string(key));
            text.push(':');
            text.push_str(value.get());
        }
    }
    if text.is_empty() {
        return None;
    }
    text.push('}');
    Some(json_text(&text))
}

fn answer_content(dialect: Dialect, body: &str, content: &mut RowContent) {
    let Ok(members) = serde_json::from_str::<Members<'_>>(body) else {
        content.output_message = Some(json_string(body));
        return;
    };
    if members.find("error").is_some() {
        content.error_details = Some(json_text(body));
        return;
    }
    match dialect {
        Dialect::OpenAi => openai_answer(body, &members, content),
        Dialect::Anthropic => anthropic_answer(body, &members, content),
        Dialect::Gemini => gemini::answer(body, content),
        Dialect::Responses => responses::answer(body, &members, content),
        Dialect::Cohere => cohere::answer(body, &members, content),
        Dialect::Bedrock => bedrock::answer(body, content),
    }
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    /// Of a legacy completion.
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
}

/// The first choice's message; an answer of another shape is kept whole.
fn openai_answer(body: &str, members: &Members<'_>, content: &mut RowContent) {
    let choices = members.find("choices").and_then(|raw| serde_json::from_str::<Vec<Choice<'_>>>(raw).ok());
    let first = choices.as_ref().and_then(|choices| choices.first());
    let Some(message) = first.and_then(|choice| choice.message) else {
        content.output_message = Some(match first.and_then(|choice| choice.text) {
            Some(text) => json_text(&format!(r#"{{"role":"assistant","content":{}}}"#, text.get())),
            None => json_text(body),
        });
        return;
    };
    content.output_message = Some(json_text(message.get()));
    if memmem::find(message.get().as_bytes(), b"tool_calls").is_some() {
        let calls =
            serde_json::from_str::<Message<'_>>(message.get()).ok().and_then(|message| message.tool_calls);
        content.tool_calls = calls.map(RawValue::get).filter(|calls| *calls != "[]").map(json_text);
    }
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

fn anthropic_answer(body: &str, members: &Members<'_>, content: &mut RowContent) {
    let Some(blocks) = members.find("content") else {
        content.output_message = Some(json_text(body));
        return;
    };
    content.output_message = Some(json_text(&format!(r#"{{"role":"assistant","content":{blocks}}}"#)));
    if memmem::find(blocks.as_bytes(), b"tool_use").is_some() {
        let mut calls = ToolCalls::default();
        for block in serde_json::from_str::<Vec<Block<'_>>>(blocks).unwrap_or_default() {
            if block.kind.0 == "tool_use" {
                let text =
                    |text: &Option<Text<'_>>| text.as_ref().map_or(String::new(), |text| text.0.to_string());
                calls.push(&text(&block.id), &text(&block.name), block.input.map_or("{}", RawValue::get));
            }
        }
        content.tool_calls = calls.finish();
    }
}

/// Writes an array of tool calls in OpenAI's shape.
#[derive(Default)]
struct ToolCalls(String);

impl ToolCalls {
    fn push(&mut self, id: &str, name: &str, arguments: &str) {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
        let (id, name, arguments) = (json_string(id), json_string(name), json_string(arguments));
        self.0.push_str(&format!(
            r#"{{"id":{id},"type":"function","function":{{"name":{name},"arguments":{arguments}}}}}"#
        ));
    }

    fn finish(mut self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        self.0.push(']');
        Some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(dialect: Dialect, input: &str, output: &str) -> RowContent {
        row_content(dialect, Some(input.as_bytes()), Some(output.as_bytes()), false)
    }

    #[test]
    fn an_openai_request_falls_into_messages_tools_and_params() {
        let content = whole(
            Dialect::OpenAi,
            r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0.50,"tools":[{"x":1}],"stream":false}"#,
            r#"{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"ho","tool_calls":[{"id":"c"}]}}],"usage":{}}"#,
        );
        assert_eq!(content.input_history.as_deref(), Some(r#"[{"role":"user","content":"hi"}]"#));
        assert_eq!(content.params.as_deref(), Some(r#"{"temperature":0.50}"#));
        assert_eq!(content.tools.as_deref(), Some(r#"[{"x":1}]"#));
        let message = r#"{"role":"assistant","content":"ho","tool_calls":[{"id":"c"}]}"#;
        assert_eq!(content.output_message.as_deref(), Some(message));
        assert_eq!(content.tool_calls.as_deref(), Some(r#"[{"id":"c"}]"#));
    }

    #[test]
    fn an_anthropic_answer_keeps_its_blocks_and_gives_openai_tool_calls() {
        let content = whole(
            Dialect::Anthropic,
            r#"{"model":"m","system":"be brief","messages":[{"role":"user","content":"hi"}],"max_tokens":9}"#,
            r#"{"type":"message","content":[{"type":"text","text":"a"},{"type":"tool_use","id":"t","name":"f","input":{"a":1}}]}"#,
        );
        let history = r#"[{"role":"system","content":"be brief"},{"role":"user","content":"hi"}]"#;
        assert_eq!(content.input_history.as_deref(), Some(history));
        assert_eq!(content.params.as_deref(), Some(r#"{"max_tokens":9}"#));
        let calls = r#"[{"id":"t","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]"#;
        assert_eq!(content.tool_calls.as_deref(), Some(calls));
    }

    #[test]
    fn what_is_no_conversation_has_its_input_and_its_answer() {
        let completion = whole(
            Dialect::OpenAi,
            r#"{"model":"m","prompt":["a","b"],"input":1,"max_tokens":5}"#,
            r#"{"object":"text_completion","choices":[{"text":"c\n","index":0}]}"#,
        );
        assert_eq!(completion.input_history.as_deref(), Some(r#"[{"role":"user","content":1}]"#));
        assert_eq!(completion.params.as_deref(), Some(r#"{"prompt":["a","b"],"max_tokens":5}"#));
        let message = r#"{"role":"assistant","content":"c\n"}"#;
        assert_eq!(completion.output_message.as_deref(), Some(message));
        let streamed = row_content(
            Dialect::OpenAi,
            None,
            Some(b"data: {\"choices\":[{\"text\":\"c\",\"index\":0}]}\n\ndata: {\"choices\":[{\"text\":\"\\n\"}]}\n\ndata: [DONE]\n\n"),
            true,
        );
        assert_eq!(streamed.output_message.as_deref(), Some(message));
        let list = r#"{"object":"list","data":[{"embedding":[0.1]}]}"#;
        let embedding = whole(Dialect::OpenAi, r#"{"model":"m","input":["x"]}"#, list);
        assert_eq!(embedding.input_history.as_deref(), Some(r#"[{"role":"user","content":["x"]}]"#));
        assert_eq!((embedding.params, embedding.output_message.as_deref()), (None, Some(list)));
    }

    #[test]
    fn a_system_prompt_before_no_messages_leaves_no_comma() {
        assert_eq!(with_system("\"s\"", "[ ]"), r#"[{"role":"system","content":"s"}]"#);
    }

    #[test]
    fn messages_of_any_shape_stay_json() {
        for messages in ["[[1]]", "\"x\"", "{}", "[]", "null", "[[]]"] {
            let text = with_system("\"s\"", messages);
            assert!(serde_json::from_str::<Vec<serde_json::Value>>(&text).is_ok(), "{text}");
        }
    }

    #[test]
    fn an_error_body_is_error_details() {
        let body = r#"{"error":{"message":"no","type":"x"}}"#;
        let content = whole(Dialect::OpenAi, "{}", body);
        assert_eq!(content.error_details.as_deref(), Some(body));
        assert_eq!(content.output_message, None);
        assert_eq!(content.params, None);
    }

    #[test]
    fn nul_becomes_the_replacement_character_in_either_spelling() {
        let content = whole(Dialect::OpenAi, r#"{"messages":"a\u0000b\\u0000\\\u0000"}"#, "\0raw");
        assert_eq!(content.input_history.as_deref(), Some(r#""a\ufffdb\\u0000\\\ufffd""#));
        assert_eq!(content.output_message.as_deref(), Some(r#""\ufffdraw""#));
    }

    #[test]
    fn every_cut_of_a_body_still_gives_valid_json() {
        let input = r#"{"model":"m","messages":[{"role":"user","content":"é\n"}],"tools":[1],"x":{"y":[]}}"#
            .as_bytes();
        let output =
            r#"{"choices":[{"message":{"role":"assistant","content":"é","tool_calls":[{}]}}]}"#.as_bytes();
        for cut in 0..input.len().max(output.len()) {
            let (input, output) = (input.get(..cut).unwrap_or(input), output.get(..cut).unwrap_or(output));
            for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
                assert_json(&row_content(dialect, Some(input), Some(output), false));
            }
        }
    }

    pub(super) fn assert_json(content: &RowContent) {
        let RowContent { input_history, params, tools, output_message, tool_calls, error_details } = content;
        for text in
            [input_history, params, tools, output_message, tool_calls, error_details].into_iter().flatten()
        {
            assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text}");
        }
    }
}

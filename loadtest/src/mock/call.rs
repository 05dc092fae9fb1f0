//! One chat request as the mock understands it, whatever its dialect, and the reasons to refuse one. Pure.

use http::HeaderMap;
use serde_json::{Map, Value};

use super::settings::Script;

/// The API format that a path speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI chat completions.
    OpenAi,
    /// Anthropic messages.
    Anthropic,
    /// Gemini's generateContent, whose bodies `gemini` reads.
    Gemini,
    /// Bedrock's Converse, whose bodies `bedrock` reads.
    Bedrock,
}

/// An error answer before a dialect words it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refusal {
    /// The HTTP status, 400 to 599.
    pub status: u16,
    /// The error's `type`, which both dialects name alike.
    pub kind: &'static str,
    /// OpenAI's `code`.
    pub code: Option<&'static str>,
    /// The body's key at fault, OpenAI's `param`.
    pub param: Option<&'static str>,
    /// The sentence.
    pub message: String,
    /// `Retry-After`, seconds.
    pub retry_after_s: Option<u64>,
}

impl Refusal {
    /// A refusal with a sentence.
    pub fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into(), ..Self::default() }
    }

    /// The error that a script or the error rate asks for.
    pub fn scripted(status: u16) -> Self {
        Self::new(status, kind_of(status), format!("The mock was told to answer {status}."))
    }

    fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        Self { param: Some(param), ..Self::new(400, "invalid_request_error", message) }
    }
}

/// A function that the request offers, and the call of it that the mock makes.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// The function's name.
    pub name: String,
    /// Arguments made from its schema: a value for each property.
    pub arguments: Value,
}

/// A chat request.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// How it was asked, and is answered.
    pub dialect: Dialect,
    /// The model, as asked.
    pub model: String,
    /// Answer by events.
    pub stream: bool,
    /// OpenAI's `stream_options.include_usage`.
    pub include_usage: bool,
    /// Words of all texts of `system` and `messages`.
    pub prompt_tokens: usize,
    /// What the answer says.
    pub text: String,
    /// The calls that the answer makes instead of a text.
    pub tool_calls: Vec<ToolCall>,
    /// The answer's shape.
    pub script: Script,
}

impl Call {
    /// Reads a body as strictly as a provider does.
    pub fn read(dialect: Dialect, body: &[u8], defaults: &Script) -> Result<Self, Refusal> {
        let body: Value = serde_json::from_slice(body).map_err(|error| {
            Refusal::new(400, "invalid_request_error", format!("The body is not JSON: {error}"))
        })?;
        let model = body.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
        let messages = check(dialect, &body, &model)?;
        let prompt = prompt_text(messages);
        let script = script(defaults, &model, &prompt)?;
        let tool_calls = tool_calls(dialect, &body, messages);
        Ok(Self {
            dialect,
            stream: body.get("stream") == Some(&Value::Bool(true)),
            include_usage: body.pointer("/stream_options/include_usage") == Some(&Value::Bool(true)),
            prompt_tokens: words_in(body.get("system"))
                + messages.iter().map(|message| words_in(Some(message))).sum::<usize>(),
            text: wanted(&body).unwrap_or_else(|| answer_text(&script, &prompt, &tool_results(messages))),
            tool_calls,
            model,
            script,
        })
    }

    /// Words of the answer.
    pub fn completion_tokens(&self) -> usize {
        match self.tool_calls.as_slice() {
            [] => words(&self.text),
            calls => calls.iter().map(|call| words(&call.arguments.to_string())).sum(),
        }
    }

    /// The text in as many parts as events were asked for; joined they are the text again.
    pub fn text_parts(&self) -> Vec<&str> {
        let count = self.script.chunks.max(1);
        let mut bounds: Vec<usize> = (0..=count).map(|part| self.text.len() * part / count).collect();
        bounds.iter_mut().for_each(|at| *at = self.text.floor_char_boundary(*at));
        bounds.windows(2).filter_map(|pair| self.text.get(*pair.first()?..*pair.last()?)).collect()
    }
}

/// Whose list or error a request without a chat body wants.
pub fn dialect_of(headers: &HeaderMap) -> Dialect {
    if headers.contains_key("anthropic-version") || headers.contains_key("x-api-key") {
        return Dialect::Anthropic;
    }
    Dialect::OpenAi
}

/// The provider's own check of the credential. A key that begins with `bad` is a wrong one.
pub fn authorize(dialect: Dialect, headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let key = match dialect {
        Dialect::OpenAi | Dialect::Bedrock => {
            text("authorization").strip_prefix("Bearer ").unwrap_or_default()
        }
        Dialect::Anthropic => text("x-api-key"),
        Dialect::Gemini => text("x-goog-api-key"),
    };
    if key.is_empty() || key.starts_with("bad") {
        let (kind, message) = match dialect {
            Dialect::OpenAi | Dialect::Gemini | Dialect::Bedrock => {
                ("invalid_request_error", "Incorrect API key provided.")
            }
            Dialect::Anthropic => ("authentication_error", "invalid x-api-key"),
        };
        return Err(Refusal { code: Some("invalid_api_key"), ..Refusal::new(401, kind, message) });
    }
    if dialect == Dialect::Anthropic && text("anthropic-version").is_empty() {
        return Err(Refusal::new(400, "invalid_request_error", "anthropic-version: header is required"));
    }
    Ok(())
}

fn check<'a>(dialect: Dialect, body: &'a Value, model: &str) -> Result<&'a Vec<Value>, Refusal> {
    if model.is_empty() {
        return Err(Refusal::invalid("model", "you must provide a model parameter"));
    }
    if model.contains('/') {
        let (kind, code) = match dialect {
            Dialect::OpenAi | Dialect::Gemini | Dialect::Bedrock => {
                ("invalid_request_error", Some("model_not_found"))
            }
            Dialect::Anthropic => ("not_found_error", None),
        };
        let message = format!("The model `{model}` does not exist or you do not have access to it.");
        return Err(Refusal { code, ..Refusal::new(404, kind, message) });
    }
    if body.get("fallbacks").is_some() {
        return Err(Refusal::invalid("fallbacks", "Unknown parameter: 'fallbacks'."));
    }
    let Some(Value::Array(messages)) = body.get("messages") else {
        return Err(Refusal::invalid("messages", "Missing required parameter: 'messages'."));
    };
    if dialect == Dialect::Anthropic {
        if body.get("max_tokens").and_then(Value::as_u64).is_none() {
            return Err(Refusal::invalid("max_tokens", "max_tokens: Field required"));
        }
        if messages.iter().any(|message| !matches!(role(message), "user" | "assistant")) {
            return Err(Refusal::invalid("messages", "messages: role must be user or assistant"));
        }
        check_claude(body, model)?;
    }
    Ok(messages)
}

/// Names of models from before structured outputs
/// (<https://platform.claude.com/docs/en/build-with-claude/structured-outputs>) begin so.
const BEFORE_SCHEMAS: [&str; 7] = [
    "claude-2",
    "claude-3",
    "claude-opus-4-0",
    "claude-opus-4-1",
    "claude-opus-4-2025",
    "claude-sonnet-4-0",
    "claude-sonnet-4-2025",
];

/// What Anthropic refuses for the model's sake, or beside each other.
fn check_claude(body: &Value, model: &str) -> Result<(), Refusal> {
    let is_old = BEFORE_SCHEMAS.iter().any(|start| model.starts_with(start));
    // The second is its name from the beta, which some still say.
    let format = body.pointer("/output_config/format").or(body.get("output_format"));
    if is_old && format.is_some_and(|format| !format.is_null()) {
        let message = format!("output_config.format: '{model}' does not support output format.");
        return Err(Refusal::invalid("output_config", message));
    }
    let is_word = |place: &str, words: &[&str]| {
        body.pointer(place).and_then(Value::as_str).is_some_and(|word| words.contains(&word))
    };
    if is_word("/tool_choice/type", &["any", "tool"]) && is_word("/thinking/type", &["enabled"]) {
        let message = "Thinking may not be enabled when tool_choice forces tool use.";
        return Err(Refusal::invalid("thinking", message));
    }
    let tools = body.get("tools").and_then(Value::as_array).into_iter().flatten();
    for schema in tools.filter_map(|tool| tool.get("input_schema")) {
        let mixed = ["oneOf", "allOf", "anyOf"].iter().any(|key| schema.get(key).is_some());
        if mixed || schema.get("type").and_then(Value::as_str) != Some("object") {
            let message =
                "input_schema must be of type object, without oneOf, allOf, or anyOf at the top level";
            return Err(Refusal::invalid("tools", message));
        }
    }
    Ok(())
}

/// The answer that a model or a prompt scripts.
pub(super) fn script(defaults: &Script, model: &str, prompt: &str) -> Result<Script, Refusal> {
    let words = model.strip_prefix("mock:").or_else(|| prompt.trim_start().strip_prefix("mock:"));
    defaults
        .with_words(words.unwrap_or_default())
        .map_err(|fault| Refusal::new(400, "invalid_request_error", fault))
}

/// What an answer says.
pub(super) fn answer_text(script: &Script, prompt: &str, results: &[String]) -> String {
    if !results.is_empty() {
        return format!("The tools said: {}", results.join(" | "));
    }
    if script.echo {
        return prompt.to_owned();
    }
    match script.bytes {
        0 if script.chunks <= 3 => "Hello from the mock provider.".to_owned(),
        0 => "word ".repeat(script.chunks),
        bytes => "lorem ".repeat(bytes / 6 + 1).split_at(bytes).0.to_owned(),
    }
}

/// What the schema that the answer must follow asks for, as text.
fn wanted(body: &Value) -> Option<String> {
    let places =
        ["/response_format/json_schema/schema", "/output_config/format/schema", "/output_format/schema"];
    places.iter().find_map(|place| body.pointer(place)).map(|schema| sample(schema).to_string())
}

/// A call of each function offered, unless a result is being reported or the choice says otherwise.
fn tool_calls(dialect: Dialect, body: &Value, messages: &[Value]) -> Vec<ToolCall> {
    let choice = body.get("tool_choice");
    let choice_word = choice.and_then(|choice| choice.as_str().or_else(|| choice.get("type")?.as_str()));
    let chosen = choice.and_then(|choice| choice.pointer("/function/name").or(choice.get("name"))?.as_str());
    let is_single = body.get("parallel_tool_calls") == Some(&Value::Bool(false))
        || body.pointer("/tool_choice/disable_parallel_tool_use") == Some(&Value::Bool(true));
    // Whoever is told to call one tool does, whatever stands before.
    let is_by_name = choice_word == Some("tool");
    if choice_word == Some("none") || !is_by_name && !tool_results(messages).is_empty() {
        return Vec::new();
    }
    let offered = body.get("tools").and_then(Value::as_array).into_iter().flatten();
    let calls = offered.filter_map(|tool| {
        let (tool, schema) = match dialect {
            Dialect::OpenAi | Dialect::Gemini | Dialect::Bedrock => (tool.get("function")?, "parameters"),
            Dialect::Anthropic => (tool, "input_schema"),
        };
        let name = tool.get("name")?.as_str()?.to_owned();
        Some(ToolCall { name, arguments: sample(tool.get(schema).unwrap_or(&Value::Null)) })
    });
    calls
        .filter(|call| chosen.is_none_or(|chosen| chosen == call.name))
        .take(if is_single { 1 } else { usize::MAX })
        .collect()
}

/// A value that fits a JSON schema, as far as one level of types says.
pub(super) fn sample(schema: &Value) -> Value {
    if let Some(first) = schema.get("enum").and_then(|options| options.get(0)) {
        return first.clone();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => Value::from("mock"),
        Some("integer") => Value::from(1),
        Some("number") => Value::from(1.5),
        Some("boolean") => Value::from(true),
        Some("array") => Value::Array(schema.get("items").map(sample).into_iter().collect()),
        _ => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let fields = properties.into_iter().flatten().map(|(name, part)| (name.clone(), sample(part)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
    }
}

/// The texts of the tool results that the last message or messages report; empty when the last one is something else.
fn tool_results(messages: &[Value]) -> Vec<String> {
    let Some(last) = messages.last() else { return Vec::new() };
    if role(last) == "tool" {
        let reported = messages.iter().rev().take_while(|message| role(message) == "tool");
        let mut texts: Vec<String> = reported.map(|message| texts_in(message).join(" ")).collect();
        texts.reverse();
        return texts;
    }
    let blocks = last.get("content").and_then(Value::as_array).into_iter().flatten();
    blocks
        .filter(|block| block.get("type").and_then(Value::as_str) == Some("tool_result"))
        .map(|block| texts_in(block).join(" "))
        .collect()
}

/// The text of the last user message that has one.
fn prompt_text(messages: &[Value]) -> String {
    let users = messages.iter().rev().filter(|message| role(message) == "user");
    users.map(|message| texts_in(message).join(" ")).find(|text| !text.is_empty()).unwrap_or_default()
}

fn role(message: &Value) -> &str {
    message.get("role").and_then(Value::as_str).unwrap_or_default()
}

fn words_in(value: Option<&Value>) -> usize {
    value.map_or(0, |value| texts_in(value).iter().map(|text| words(text)).sum())
}

/// Every text of a message, a block or a list of them.
fn texts_in(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(parts) => parts.iter().flat_map(texts_in).collect(),
        Value::Object(fields) => {
            ["text", "content"].iter().filter_map(|name| fields.get(*name)).flat_map(texts_in).collect()
        }
        _ => Vec::new(),
    }
}

/// How many words a text has.
pub(super) fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

fn kind_of(status: u16) -> &'static str {
    match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(dialect: Dialect, body: Value) -> Call {
        Call::read(dialect, body.to_string().as_bytes(), &Script { chunks: 3, ..Script::default() }).unwrap()
    }

    #[test]
    fn counts_words_of_every_text() {
        let call = read(
            Dialect::Anthropic,
            json!({"model":"m","max_tokens":5,"system":[{"type":"text","text":"be kind"}],"messages":[
                {"role":"user","content":[{"type":"text","text":"one two three"},{"type":"image","source":{}}]}]}),
        );
        assert_eq!(call.prompt_tokens, 5);
        assert_eq!(call.completion_tokens(), 5);
        assert_eq!(call.text_parts().concat(), call.text);
        assert_eq!(call.text_parts().len(), 3);
    }

    #[test]
    fn scripts_by_text_and_by_model() {
        let messages = json!([{"role":"user","content":"mock: echo chunks=2"}]);
        let call = read(Dialect::OpenAi, json!({"model":"m","messages":messages}));
        assert_eq!((call.text.as_str(), call.script.chunks), ("mock: echo chunks=2", 2));
        let call = read(Dialect::OpenAi, json!({"model":"mock:status=503,retry_after=1","messages":[]}));
        assert_eq!((call.script.status, call.script.retry_after_s), (Some(503), Some(1)));
    }

    #[test]
    fn an_old_claude_answers_by_a_forced_tool_and_refuses_a_schema() {
        let schema = json!({"type":"object","properties":{"city":{"type":"string"}}});
        let body = |model: &str, more: Value| {
            let mut body =
                json!({"model":model,"max_tokens":5000,"messages":[{"role":"user","content":"x"}]});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            Call::read(Dialect::Anthropic, body.to_string().as_bytes(), &Script::default())
        };
        let native = json!({"output_config":{"format":{"type":"json_schema","schema":schema}}});
        for old in ["claude-sonnet-4-20250514", "claude-opus-4-1-20250805", "claude-3-5-haiku-20241022"] {
            assert_eq!(body(old, native.clone()).unwrap_err().status, 400, "{old}");
        }
        assert_eq!(body("claude-sonnet-4-5", native).unwrap().text, r#"{"city":"mock"}"#);
        let tool = json!({"name":"answer","input_schema":schema});
        let forced = json!({"tools":[tool],"tool_choice":{"type":"tool","name":"answer"}});
        let call = body("claude-sonnet-4-20250514", forced.clone()).unwrap();
        assert_eq!(call.tool_calls[0].arguments, json!({"city":"mock"}));
        let mut thinking = forced;
        thinking["thinking"] = json!({"type":"enabled","budget_tokens":1024});
        assert_eq!(body("claude-sonnet-4-20250514", thinking).unwrap_err().param, Some("thinking"));
        let list = json!({"tools":[{"name":"answer","input_schema":{"type":"array"}}]});
        assert_eq!(body("claude-sonnet-4-20250514", list).unwrap_err().param, Some("tools"));
    }

    #[test]
    fn calls_each_tool_until_a_result_comes() {
        let tools = json!([
            {"type":"function","function":{"name":"a","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}},
            {"type":"function","function":{"name":"b"}}]);
        let call = read(
            Dialect::OpenAi,
            json!({"model":"m","messages":[{"role":"user","content":"x"}],"tools":tools}),
        );
        assert_eq!(call.tool_calls.len(), 2);
        assert_eq!(call.tool_calls[0].arguments, json!({"city":"mock"}));
        let choice = json!({"type":"function","function":{"name":"b"}});
        let body = json!({"model":"m","messages":[],"tools":tools,"tool_choice":choice});
        assert_eq!(read(Dialect::OpenAi, body).tool_calls[0].name, "b");
        let messages = json!([{"role":"user","content":"x"},{"role":"tool","content":"sunny"},{"role":"tool","content":"late"}]);
        let call = read(Dialect::OpenAi, json!({"model":"m","messages":messages,"tools":tools}));
        assert_eq!((call.tool_calls.len(), call.text.as_str()), (0, "The tools said: sunny | late"));
    }
}

//! What OpenAI refuses of a request for a response, and the request in the words of a chat, by which the mock decides what it
//! says. Pure.

use serde_json::{Map, Value, json};

use super::super::call::Refusal;
use super::answer::Making;

/// Every parameter of <https://platform.openai.com/docs/api-reference/responses/create>.
const CREATE: [&str; 28] = [
    "background",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// Those of `/responses/input_tokens`.
const COUNT: [&str; 11] = [
    "conversation",
    "input",
    "instructions",
    "model",
    "parallel_tool_calls",
    "previous_response_id",
    "reasoning",
    "text",
    "tool_choice",
    "tools",
    "truncation",
];

/// The body as JSON.
pub(super) fn parse(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal::new(
            400,
            "invalid_request_error",
            format!("We could not parse the JSON body of your request: {error}"),
        )
    })
}

/// Whether a response may be made of it.
pub(super) fn create(body: &Value) -> Result<(), Refusal> {
    known(body, &CREATE)?;
    if body.get("prompt").is_none() {
        present(body)?;
    }
    input(body)?;
    tools(body)
}

/// Whether its tokens may be counted.
pub(super) fn count(body: &Value) -> Result<(), Refusal> {
    known(body, &COUNT)?;
    present(body)?;
    input(body)
}

/// The parameters of a query, of which these are known.
pub(super) fn query<'q>(query: &'q str, known: &[&str]) -> Result<Vec<(&'q str, &'q str)>, Refusal> {
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    let parameters: Vec<_> =
        parameters.map(|parameter| parameter.split_once('=').unwrap_or((parameter, ""))).collect();
    match parameters.iter().find(|(name, _)| !known.contains(&name.replace("%5B%5D", "[]").as_str())) {
        None => Ok(parameters),
        Some((name, _)) => Err(unknown(name)),
    }
}

/// Whether each tool's result answers a call: one of its input, or of the response before it.
pub(super) fn outputs(body: &Value, earlier: Option<&Making>) -> Result<(), Refusal> {
    let mut calls = earlier.map(Making::call_ids).unwrap_or_default();
    for item in items(body) {
        let id = item.get("call_id").and_then(Value::as_str).unwrap_or_default();
        match item.get("type").and_then(Value::as_str) {
            Some("function_call") => calls.push(id.to_owned()),
            Some("function_call_output") if !calls.iter().any(|call| call == id) => {
                let message = format!("No tool call found for function call output with call_id {id}.");
                return Err(invalid("input", message));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The same request as a chat.
pub(super) fn as_chat(body: &Value) -> Value {
    let mut messages = Vec::new();
    if let Some(instructions) = body.get("instructions").and_then(Value::as_str) {
        messages.push(json!({"role": "developer", "content": instructions}));
    }
    if let Some(text) = body.get("input").and_then(Value::as_str) {
        messages.push(json!({"role": "user", "content": text}));
    }
    messages.extend(items(body).map(|item| match item.get("type").and_then(Value::as_str) {
        Some("function_call_output") => json!({"role": "tool", "content": item.get("output")}),
        Some("function_call") => json!({"role": "assistant", "content": null}),
        _ => json!({"role": item.get("role"), "content": item.get("content")}),
    }));
    let tools = body.get("tools").and_then(Value::as_array).into_iter().flatten();
    let functions = tools.filter(|tool| tool.get("type").and_then(Value::as_str) == Some("function"));
    let tools: Vec<Value> = functions.map(|tool| json!({"type": "function", "function": tool})).collect();
    let mut chat = json!({"model": body.get("model"), "messages": messages, "tools": tools});
    if let Value::Object(fields) = &mut chat {
        let same = ["stream", "tool_choice", "parallel_tool_calls"];
        fields.extend(same.iter().filter_map(|name| Some(((*name).to_owned(), body.get(*name)?.clone()))));
        if let Some(schema) = body.pointer("/text/format/schema") {
            fields.insert("response_format".to_owned(), json!({"json_schema": {"schema": schema}}));
        }
    }
    chat
}

/// The items of its input, when it is a list.
pub(super) fn items(body: &Value) -> impl Iterator<Item = &Value> {
    body.get("input").and_then(Value::as_array).into_iter().flatten()
}

fn known(body: &Value, names: &[&str]) -> Result<(), Refusal> {
    let empty = Map::new();
    let fields = body.as_object().unwrap_or(&empty);
    match fields.keys().find(|name| !names.contains(&name.as_str())) {
        Some(name) => Err(unknown(name)),
        None => Ok(()),
    }
}

fn unknown(name: &str) -> Refusal {
    let message = format!("Unknown parameter: '{name}'.");
    Refusal { code: Some("unknown_parameter"), ..Refusal::new(400, "invalid_request_error", message) }
}

fn present(body: &Value) -> Result<(), Refusal> {
    match body.get("input") {
        Some(Value::String(_) | Value::Array(_)) => Ok(()),
        _ => Err(Refusal {
            code: Some("missing_required_parameter"),
            ..invalid("input", "Missing required parameter: 'input'.".to_owned())
        }),
    }
}

fn input(body: &Value) -> Result<(), Refusal> {
    for (index, item) in items(body).enumerate() {
        let kind = item.get("type").and_then(Value::as_str);
        if !matches!(kind, None | Some("message")) {
            continue;
        }
        let role = item.get("role").and_then(Value::as_str).unwrap_or_default();
        if !matches!(role, "user" | "assistant" | "system" | "developer") {
            let message = format!(
                "Invalid value: '{role}'. Supported values are: 'assistant', 'system', 'developer', and 'user' (input[{index}].role)."
            );
            return Err(invalid("input", message));
        }
        let parts = item.get("content").and_then(Value::as_array).into_iter().flatten();
        for part in parts {
            let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
            let is_known = match role {
                "assistant" => matches!(kind, "output_text" | "refusal"),
                _ => matches!(kind, "input_text" | "input_image" | "input_file" | "input_audio"),
            };
            if !is_known {
                let message = format!(
                    "Invalid value: '{kind}'. Supported values are: 'input_text', 'input_image', 'output_text', 'refusal', 'input_file' (input[{index}].content)."
                );
                return Err(invalid("input", message));
            }
        }
    }
    Ok(())
}

fn tools(body: &Value) -> Result<(), Refusal> {
    let tools = body.get("tools").and_then(Value::as_array).into_iter().flatten();
    for (index, tool) in tools.enumerate() {
        let is_function = tool.get("type").and_then(Value::as_str) == Some("function");
        if is_function && (tool.get("name").is_none() || tool.get("function").is_some()) {
            let message = format!("Missing required parameter: 'tools[{index}].name'.");
            return Err(invalid("tools", message));
        }
    }
    Ok(())
}

fn invalid(param: &'static str, message: String) -> Refusal {
    Refusal { param: Some(param), ..Refusal::new(400, "invalid_request_error", message) }
}

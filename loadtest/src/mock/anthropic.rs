//! Anthropic's words: messages whole and streamed, the model list, errors. Pure.

use serde_json::{Value, json};

use super::answer::{Event, Headers, fail_after};
use super::call::{Call, Refusal};

/// Beside the content's own headers, on every answer.
pub const HEADERS: Headers<'static> = &[("request-id", "req_mock")];

/// The body of a whole answer.
pub fn whole(call: &Call) -> Value {
    let content: Vec<Value> = match call.tool_calls.as_slice() {
        [] => vec![json!({"type": "text", "text": call.text})],
        calls => calls
            .iter()
            .enumerate()
            .map(|(index, tool)| tool_use(index, &tool.name, &tool.arguments))
            .collect(),
    };
    message(call, &json!(content), Some(stop_reason(call)), call.completion_tokens())
}

/// The events of a streamed answer, from `message_start` to `message_stop`.
pub fn stream(call: &Call) -> Vec<Event> {
    let started = message(call, &json!([]), None, 1);
    let mut events = vec![frame(&json!({"type": "message_start", "message": started}))];
    if call.tool_calls.is_empty() {
        let parts =
            call.text_parts().iter().map(|part| json!({"type": "text_delta", "text": part})).collect();
        block(&mut events, 0, &json!({"type": "text", "text": ""}), parts);
    }
    for (index, tool) in call.tool_calls.iter().enumerate() {
        let arguments = tool.arguments.to_string();
        let (first, second) = arguments.split_at(arguments.floor_char_boundary(arguments.len() / 2));
        let parts = ["", first, second]
            .map(|part| json!({"type": "input_json_delta", "partial_json": part}))
            .to_vec();
        block(&mut events, index, &tool_use(index, &tool.name, &json!({})), parts);
    }
    let delta = json!({"stop_reason": stop_reason(call), "stop_sequence": null});
    let usage = json!({"output_tokens": call.completion_tokens()});
    events.push(frame(&json!({"type": "message_delta", "delta": delta, "usage": usage})));
    events.push(frame(&json!({"type": "message_stop"})));
    let failure = error(&Refusal::new(529, "overloaded_error", "The mock was told to fail here."));
    fail_after(events, call.script.error_after, frame(&failure))
}

/// An error's body, which is an error event's data too.
pub fn error(refusal: &Refusal) -> Value {
    let error = json!({"type": refusal.kind, "message": refusal.message});
    json!({"type": "error", "error": error, "request_id": "req_mock"})
}

/// The list of models.
pub fn models() -> Value {
    let names = ["claude-sonnet-4-20250514", "claude-3-5-haiku-20241022"];
    let models = names.map(
        |id| json!({"type": "model", "id": id, "display_name": id, "created_at": "2025-01-01T00:00:00Z"}),
    );
    json!({"data": models, "has_more": false, "first_id": names.first(), "last_id": names.last()})
}

fn block(events: &mut Vec<Event>, index: usize, opened: &Value, deltas: Vec<Value>) {
    events.push(frame(&json!({"type": "content_block_start", "index": index, "content_block": opened})));
    if index == 0 {
        events.push(frame(&json!({"type": "ping"})));
    }
    events.extend(deltas.into_iter().map(|delta| {
        Event::content(event(&json!({"type": "content_block_delta", "index": index, "delta": delta})))
    }));
    events.push(frame(&json!({"type": "content_block_stop", "index": index})));
}

fn frame(data: &Value) -> Event {
    Event::frame(event(data))
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data.get("type").and_then(Value::as_str).unwrap_or_default())
}

fn message(call: &Call, content: &Value, stop_reason: Option<&str>, output_tokens: usize) -> Value {
    json!({
        "id": "msg_mock",
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": null,
        "usage": {
            "input_tokens": call.prompt_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output_tokens,
            "service_tier": "standard",
        },
    })
}

fn tool_use(index: usize, name: &str, input: &Value) -> Value {
    json!({"type": "tool_use", "id": format!("toolu_mock_{index}"), "name": name, "input": input})
}

fn stop_reason(call: &Call) -> &'static str {
    match (call.tool_calls.is_empty(), call.script.finish_length) {
        (false, _) => "tool_use",
        (true, true) => "max_tokens",
        (true, false) => "end_turn",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::call::Dialect;
    use crate::mock::settings::Script;

    fn call(body: &Value) -> Call {
        let script = Script { chunks: 3, ..Script::default() };
        Call::read(Dialect::Anthropic, body.to_string().as_bytes(), &script).unwrap()
    }

    fn data(events: &[Event]) -> Vec<Value> {
        let texts = events.iter().filter_map(|event| event.text.split_once("data: "));
        texts.filter_map(|(_, text)| serde_json::from_str(text.trim()).ok()).collect()
    }

    #[test]
    fn a_stream_adds_up_to_the_whole() {
        let messages = json!([{"role": "user", "content": "hello"}]);
        let call = call(&json!({"model": "m", "max_tokens": 9, "stream": true, "messages": messages}));
        let parts = data(&stream(&call));
        let text: String = parts.iter().filter_map(|part| part.pointer("/delta/text")?.as_str()).collect();
        assert_eq!(text, whole(&call)["content"][0]["text"]);
        assert_eq!(parts[parts.len() - 2]["usage"]["output_tokens"], whole(&call)["usage"]["output_tokens"]);
        let kinds: Vec<&str> = parts.iter().filter_map(|part| part["type"].as_str()).collect();
        assert_eq!(&kinds[..3], ["message_start", "content_block_start", "ping"]);
        assert_eq!(kinds.last(), Some(&"message_stop"));
    }

    #[test]
    fn tools_are_called() {
        let tools = json!([{"name": "a", "input_schema": {"type": "object", "properties": {"n": {"type": "number"}}}}]);
        let call = call(&json!({"model": "m", "max_tokens": 9, "tools": tools, "messages": []}));
        assert_eq!(whole(&call)["stop_reason"], "tool_use");
        let parts = data(&stream(&call));
        let input: String =
            parts.iter().filter_map(|part| part.pointer("/delta/partial_json")?.as_str()).collect();
        assert_eq!(input, whole(&call)["content"][0]["input"].to_string());
    }
}

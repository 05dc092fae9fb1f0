//! OpenAI's words: chat completions whole and streamed, the model list, errors. Pure.

use serde_json::{Value, json};

use super::answer::{Event, Headers, fail_after};
use super::call::{Call, Refusal};

/// Beside the content's own headers, on every answer.
pub const HEADERS: Headers<'static> =
    &[("x-request-id", "req_mock"), ("openai-version", "2020-10-01"), ("openai-processing-ms", "1")];

/// Seconds since 1970 that every answer claims as its time of making, so that answers are the same in each run.
pub(crate) const CREATED_S: u64 = 1_750_000_000;

/// The body of a whole answer.
pub fn whole(call: &Call) -> Value {
    let message = match call.tool_calls.as_slice() {
        [] => json!({"role": "assistant", "content": call.text, "refusal": null, "annotations": []}),
        calls => {
            let calls: Vec<Value> = calls
                .iter()
                .enumerate()
                .map(|(index, tool)| {
                    let function = json!({"name": tool.name, "arguments": tool.arguments.to_string()});
                    json!({"id": call_id(index), "type": "function", "function": function})
                })
                .collect();
            json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": calls})
        }
    };
    json!({
        "id": "chatcmpl-mock",
        "object": "chat.completion",
        "created": CREATED_S,
        "model": call.model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(call)}],
        "usage": usage(call),
        "service_tier": "default",
        "system_fingerprint": "fp_mock",
    })
}

/// The events of a streamed answer, `[DONE]` included.
pub fn stream(call: &Call) -> Vec<Event> {
    let mut events = Vec::new();
    if call.tool_calls.is_empty() {
        events.push(Event::frame(delta(call, &json!({"role": "assistant", "content": "", "refusal": null}))));
        events.extend(
            call.text_parts().iter().map(|part| Event::content(delta(call, &json!({"content": part})))),
        );
    } else {
        events.push(Event::frame(delta(call, &json!({"role": "assistant", "content": null}))));
        for (index, tool) in call.tool_calls.iter().enumerate() {
            let function = json!({"name": tool.name, "arguments": ""});
            let opened =
                json!({"index": index, "id": call_id(index), "type": "function", "function": function});
            events.push(Event::frame(delta(call, &json!({ "tool_calls": [opened] }))));
            let arguments = tool.arguments.to_string();
            let (first, second) = arguments.split_at(arguments.floor_char_boundary(arguments.len() / 2));
            events.extend([first, second].map(|part| {
                let piece = json!({"index": index, "function": {"arguments": part}});
                Event::content(delta(call, &json!({ "tool_calls": [piece] })))
            }));
        }
    }
    let last = json!([{"index": 0, "delta": {}, "logprobs": null, "finish_reason": finish_reason(call)}]);
    events.push(Event::frame(chunk(call, &last, None)));
    if call.include_usage {
        events.push(Event::frame(chunk(call, &json!([]), Some(usage(call)))));
    }
    events.push(Event::frame("data: [DONE]\n\n".to_owned()));
    let failure = error(&Refusal::new(500, "server_error", "The mock was told to fail here."));
    fail_after(events, call.script.error_after, Event::frame(format!("data: {failure}\n\n")))
}

/// An error's body.
pub fn error(refusal: &Refusal) -> Value {
    let Refusal { kind, code, param, message, .. } = refusal;
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
}

/// The list of models.
pub fn models() -> Value {
    let models = ["gpt-4o", "gpt-4o-mini"]
        .map(|id| json!({"id": id, "object": "model", "created": CREATED_S, "owned_by": "mock"}));
    json!({"object": "list", "data": models})
}

fn delta(call: &Call, delta: &Value) -> String {
    chunk(call, &json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}]), None)
}

fn chunk(call: &Call, choices: &Value, usage: Option<Value>) -> String {
    let mut chunk = json!({
        "id": "chatcmpl-mock",
        "object": "chat.completion.chunk",
        "created": CREATED_S,
        "model": call.model,
        "service_tier": "default",
        "system_fingerprint": "fp_mock",
        "choices": choices,
    });
    if let (true, Some(fields)) = (call.include_usage, chunk.as_object_mut()) {
        fields.insert("usage".to_owned(), usage.unwrap_or(Value::Null));
    }
    format!("data: {chunk}\n\n")
}

fn usage(call: &Call) -> Value {
    let (prompt, completion) = (call.prompt_tokens, call.completion_tokens());
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    })
}

fn finish_reason(call: &Call) -> &'static str {
    match (call.tool_calls.is_empty(), call.script.finish_length) {
        (false, _) => "tool_calls",
        (true, true) => "length",
        (true, false) => "stop",
    }
}

fn call_id(index: usize) -> String {
    format!("call_mock_{index}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::call::Dialect;
    use crate::mock::settings::Script;

    fn call(body: &Value) -> Call {
        let script = Script { chunks: 3, ..Script::default() };
        Call::read(Dialect::OpenAi, body.to_string().as_bytes(), &script).unwrap()
    }

    fn payloads(events: &[Event]) -> Vec<Value> {
        let texts = events.iter().filter_map(|event| event.text.strip_prefix("data: "));
        texts.filter_map(|text| serde_json::from_str(text.trim()).ok()).collect()
    }

    #[test]
    fn a_stream_adds_up_to_the_whole() {
        let messages = json!([{"role": "user", "content": "hello you"}]);
        let options = json!({"include_usage": true});
        let call =
            call(&json!({"model": "m", "stream": true, "stream_options": options, "messages": messages}));
        let events = stream(&call);
        assert_eq!(events.last().unwrap().text, "data: [DONE]\n\n");
        let parts = payloads(&events);
        let text: String =
            parts.iter().filter_map(|part| part.pointer("/choices/0/delta/content")?.as_str()).collect();
        assert_eq!(text, whole(&call)["choices"][0]["message"]["content"]);
        assert_eq!(parts.last().unwrap()["usage"], whole(&call)["usage"]);
        assert_eq!(parts[parts.len() - 2]["choices"][0]["finish_reason"], "stop");
    }

    #[test]
    fn tool_arguments_come_in_parts() {
        let tools = json!([{"type": "function", "function": {"name": "a", "parameters":
            {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}}}]);
        let call = call(&json!({"model": "m", "messages": [], "tools": tools}));
        let path = "/choices/0/delta/tool_calls/0/function/arguments";
        let parts = payloads(&stream(&call));
        let arguments: String = parts.iter().filter_map(|part| part.pointer(path)?.as_str()).collect();
        assert_eq!(arguments, r#"{"city":"mock","days":1}"#);
        assert_eq!(whole(&call)["choices"][0]["finish_reason"], "tool_calls");
    }
}

//! Cohere's words: chat whole and streamed, embeddings, rerankings, token counts, the model list, errors
//! (<https://docs.cohere.com/reference/chat>); and vLLM's reranking, which speaks much the same. What it refuses is `check`'s.
//! Pure.

mod check;

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::answer::{Event, Headers, Plan, fail_after};
use super::call::{Call, Dialect, Refusal, ToolCall, answer_text, sample, script, words};
use super::others::{base64, little_endian, vector};
use super::settings::Script;

/// Beside the content's own headers, on every answer.
pub const HEADERS: Headers<'static> =
    &[("x-debug-trace-id", "trace_mock"), ("x-trial-endpoint-call-limit", "40")];

const ID: &str = "c0he7e00-0000-4000-8000-000000000000";
const MODELS: [&str; 3] = ["command-a-03-2025", "embed-v4.0", "rerank-v3.5"];
/// Numbers of a vector unless the request says otherwise.
const DIMENSIONS: u64 = 4;
const PATHS: [&str; 5] = ["/v2/chat", "/v2/embed", "/v2/rerank", "/v1/tokenize", "/v1/rerank"];

/// Whether a request is Cohere's: lists have a path that others have, too, and another query.
pub fn owns(path: &str, query: &str) -> bool {
    PATHS.contains(&path) || path == "/v1/models" && query.contains("page_size=")
}

/// The answer to one request.
pub fn answer((method, path): (&Method, &str), headers: &HeaderMap, body: &[u8], defaults: &Script) -> Plan {
    let answered = authorize(headers).and_then(|()| match (method, path) {
        (&Method::GET, "/v1/models") => Ok(Plan::json(200, HEADERS, &models())),
        (&Method::POST, path) => call(path, body, defaults),
        _ => Err(Refusal::new(404, "", "404 page not found")),
    });
    answered.unwrap_or_else(|refusal| refuse(&refusal))
}

/// An error answer.
pub fn refuse(refusal: &Refusal) -> Plan {
    let retry_after = refusal.retry_after_s.map(|seconds| seconds.to_string());
    let mut headers = HEADERS.to_vec();
    headers.extend(retry_after.as_deref().map(|seconds| ("retry-after", seconds)));
    Plan::json(refusal.status, &headers, &json!({"id": ID, "message": refusal.message}))
}

fn authorize(headers: &HeaderMap) -> Result<(), Refusal> {
    let key = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    match key.strip_prefix("Bearer ").unwrap_or_default() {
        "" => Err(Refusal::new(401, "", "no api key supplied")),
        key if key.starts_with("bad") => Err(Refusal::new(401, "", "invalid api token")),
        _ => Ok(()),
    }
}

fn models() -> Value {
    let model = |name: &&str| {
        let endpoint = name.split('-').next().unwrap_or_default();
        let endpoint = if endpoint == "command" { "chat" } else { endpoint };
        json!({"name": name, "endpoints": [endpoint], "finetuned": false, "context_length": 128_000})
    };
    json!({"models": MODELS.iter().map(model).collect::<Vec<_>>()})
}

fn call(path: &str, body: &[u8], defaults: &Script) -> Result<Plan, Refusal> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| check::invalid(format!("failed to parse request body: {error}")))?;
    let model = check::model(&body)?;
    let asked = match path {
        "/v2/chat" => return chat(model, &body, defaults),
        "/v2/embed" => check::embed(&body)?,
        "/v2/rerank" | "/v1/rerank" => check::rerank(&body)?,
        _ => check::tokenize(&body)?,
    };
    let script = script(defaults, model, &asked)?;
    if let Some(status) = script.status {
        return Err(Refusal { retry_after_s: script.retry_after_s, ..Refusal::scripted(status) });
    }
    let answer = match path {
        "/v2/embed" => embedded(&body),
        "/v2/rerank" => ranked(&body, false),
        "/v1/rerank" => ranked(&body, true),
        _ => tokens(&asked),
    };
    Ok(Plan::whole(HEADERS, &answer, &script))
}

fn chat(model: &str, body: &Value, defaults: &Script) -> Result<Plan, Refusal> {
    let messages = check::chat(body)?;
    let of_user = |message: &&Value| message["role"] == "user";
    let users = messages.iter().rev().filter(of_user).map(|message| texts(&message["content"]).join(" "));
    let prompt = users.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    let script = script(defaults, model, &prompt)?;
    let reported = messages.iter().rev().take_while(|message| message["role"] == "tool");
    let mut results: Vec<String> = reported.map(|message| texts(&message["content"]).join(" ")).collect();
    results.reverse();
    let schema = body.pointer("/response_format/json_schema");
    let all = messages.iter().map(|message| &message["content"]).chain(body.get("documents"));
    let call = Call {
        dialect: Dialect::OpenAi,
        model: model.to_owned(),
        stream: body["stream"] == true,
        include_usage: true,
        prompt_tokens: all.map(|content| texts(content).iter().map(|text| words(text)).sum::<usize>()).sum(),
        text: match schema {
            Some(schema) => sample(schema).to_string(),
            None => answer_text(&script, &prompt, &results),
        },
        tool_calls: if results.is_empty() { tool_calls(body) } else { Vec::new() },
        script,
    };
    if let Some(status) = call.script.status {
        let refusal = Refusal { retry_after_s: call.script.retry_after_s, ..Refusal::scripted(status) };
        return Ok(Plan { delay_ms: call.script.delay_ms, ..refuse(&refusal) });
    }
    Ok(match call.stream {
        true => Plan::events(HEADERS, &events(&call), &call.script),
        false => Plan::whole(HEADERS, &whole(&call), &call.script),
    })
}

/// Every text of a content, its documents' included.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(parts) => parts.iter().flat_map(texts).collect(),
        Value::Object(fields) => {
            let inner = ["text", "document", "data", "snippet"].iter().filter_map(|name| fields.get(*name));
            inner.flat_map(texts).collect()
        }
        _ => Vec::new(),
    }
}

/// A call of each function offered, unless none is to be made.
fn tool_calls(body: &Value) -> Vec<ToolCall> {
    if body["tool_choice"] == "NONE" {
        return Vec::new();
    }
    let offered = body["tools"].as_array().into_iter().flatten();
    let call = |tool: &Value| {
        let function = &tool["function"];
        let name = function["name"].as_str().unwrap_or_default().to_owned();
        ToolCall { name, arguments: sample(&function["parameters"]) }
    };
    offered.map(call).collect()
}

fn usage(call: &Call) -> Value {
    let (input, output) = (call.prompt_tokens, call.completion_tokens());
    json!({
        "billed_units": {"input_tokens": input, "output_tokens": output},
        "tokens": {"input_tokens": input, "output_tokens": output},
        "cached_tokens": 0,
    })
}

fn finish_reason(call: &Call) -> &'static str {
    match (call.tool_calls.is_empty(), call.script.finish_length) {
        (false, _) => "TOOL_CALL",
        (true, true) => "MAX_TOKENS",
        (true, false) => "COMPLETE",
    }
}

fn tool_call(index: usize, call: &ToolCall, arguments: &str) -> Value {
    let function = json!({"name": call.name, "arguments": arguments});
    json!({"id": format!("{}_mock{index}", call.name), "type": "function", "function": function})
}

/// The body of a whole answer.
fn whole(call: &Call) -> Value {
    let message = match call.tool_calls.as_slice() {
        [] => json!({"role": "assistant", "content": [{"type": "text", "text": call.text}]}),
        calls => {
            let calls: Vec<Value> = calls
                .iter()
                .enumerate()
                .map(|(index, call)| tool_call(index, call, &call.arguments.to_string()))
                .collect();
            json!({"role": "assistant", "tool_plan": "I will ask the tools.", "tool_calls": calls})
        }
    };
    json!({"id": ID, "message": message, "finish_reason": finish_reason(call), "usage": usage(call)})
}

fn event(kind: &str, index: Option<usize>, message: Option<&Value>) -> String {
    let mut data = json!({ "type": kind });
    if let Some(index) = index {
        data["index"] = index.into();
    }
    if let Some(message) = message {
        data["delta"] = json!({ "message": message });
    }
    format!("event: {kind}\ndata: {data}\n\n")
}

fn events(call: &Call) -> Vec<Event> {
    let started =
        json!({"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []});
    let start = json!({"id": ID, "type": "message-start", "delta": {"message": started}});
    let mut events = vec![Event::frame(format!("event: message-start\ndata: {start}\n\n"))];
    let mut frame = |kind: &str, index, message: Option<&Value>, is_content: bool| {
        events.push(Event { text: event(kind, index, message), is_content });
    };
    if call.tool_calls.is_empty() {
        let opened = json!({"content": {"type": "text", "text": ""}});
        frame("content-start", Some(0), Some(&opened), false);
        for part in call.text_parts() {
            frame("content-delta", Some(0), Some(&json!({"content": {"text": part}})), true);
        }
        frame("content-end", Some(0), None, false);
    } else {
        frame("tool-plan-delta", None, Some(&json!({"tool_plan": "I will ask the tools."})), true);
    }
    for (index, tool) in call.tool_calls.iter().enumerate() {
        let opened = json!({"tool_calls": tool_call(index, tool, "")});
        frame("tool-call-start", Some(index), Some(&opened), false);
        let arguments = tool.arguments.to_string();
        let (first, second) = arguments.split_at(arguments.floor_char_boundary(arguments.len() / 2));
        for part in [first, second] {
            let more = json!({"tool_calls": {"function": {"arguments": part}}});
            frame("tool-call-delta", Some(index), Some(&more), true);
        }
        frame("tool-call-end", Some(index), None, false);
    }
    let delta = json!({"finish_reason": finish_reason(call), "usage": usage(call)});
    events.push(Event::frame(end(&delta)));
    events.push(Event::frame("data: [DONE]\n\n".to_owned()));
    let failure = json!({"error": "The mock was told to fail here.", "finish_reason": "ERROR"});
    fail_after(events, call.script.error_after, Event::frame(end(&failure)))
}

fn end(delta: &Value) -> String {
    let data = json!({"id": ID, "type": "message-end", "delta": delta});
    format!("event: message-end\ndata: {data}\n\n")
}

/// Each type that was asked for, of the same vectors.
fn embedded(body: &Value) -> Value {
    let inputs = check::inputs(body);
    let count = body["output_dimension"].as_u64().unwrap_or(DIMENSIONS);
    let vectors: Vec<Vec<f32>> = inputs.iter().map(|text| vector(&Value::from(*text), count)).collect();
    let whole = |low: f32, high: f32| -> Value {
        let number = |value: &f32| (value * 8.0).clamp(low, high) as i64;
        vectors.iter().map(|vector| vector.iter().map(number).collect::<Vec<_>>()).collect::<Vec<_>>().into()
    };
    let mut embeddings = json!({});
    for kind in check::embedding_types(body) {
        embeddings[kind] = match kind {
            "float" => json!(vectors),
            "base64" => vectors.iter().map(|vector| base64(&little_endian(vector))).collect(),
            "uint8" | "ubinary" => whole(0.0, 255.0),
            _ => whole(-128.0, 127.0),
        };
    }
    let tokens: usize = inputs.iter().map(|text| words(text)).sum();
    json!({
        "id": ID,
        "embeddings": embeddings,
        "texts": inputs,
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}},
        "response_type": "embeddings_by_type",
    })
}

/// By the words that a document shares with the question.
fn ranked(body: &Value, is_vllm: bool) -> Value {
    let query: Vec<&str> = body["query"].as_str().unwrap_or_default().split_whitespace().collect();
    let documents = body["documents"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut results: Vec<(usize, usize)> = documents
        .iter()
        .enumerate()
        .map(|(index, document)| {
            let text = document.as_str().unwrap_or_default();
            (index, text.split_whitespace().filter(|word| query.contains(word)).count())
        })
        .collect();
    results.sort_by_key(|(index, shared)| (usize::MAX - shared, *index));
    let most = body["top_n"].as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let result = |(index, shared): &(usize, usize)| {
        let score = *shared as f64 / query.len().max(1) as f64;
        let mut result = json!({"index": index, "relevance_score": score});
        if is_vllm {
            result["document"] = json!({"text": documents.get(*index)});
        }
        result
    };
    let results: Vec<Value> = results.iter().take(most).map(result).collect();
    let tokens: usize = documents.iter().filter_map(Value::as_str).map(words).sum();
    match is_vllm {
        true => {
            let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
            json!({"id": "rerank-mock", "model": body["model"], "usage": usage, "results": results})
        }
        false => {
            let meta = json!({"api_version": {"version": "2"}, "billed_units": {"search_units": 1}});
            json!({"id": ID, "results": results, "meta": meta})
        }
    }
}

fn tokens(text: &str) -> Value {
    let strings: Vec<&str> = text.split_whitespace().collect();
    let tokens: Vec<usize> = strings.iter().map(|word| word.len()).collect();
    json!({"tokens": tokens, "token_strings": strings, "meta": {"api_version": {"version": "1"}}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(path: &str, key: &'static str, body: &Value) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", key.parse().unwrap());
        let script = Script { chunks: 3, ..Script::default() };
        let plan = answer((&Method::POST, path), &headers, body.to_string().as_bytes(), &script);
        plan.pieces.iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect()
    }

    #[test]
    fn is_as_strict_as_cohere() {
        let hello = json!([{"role": "user", "content": "hello you"}]);
        let call = |id: &str| json!({"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
        let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "x"});
        assert!(post("/v2/chat", "Bearer bad", &json!({})).starts_with("HTTP/1.1 401 "));
        for (path, body, status) in [
            ("/v2/chat", json!({"model": "m", "messages": hello}), 200),
            ("/v2/chat", json!({"messages": hello}), 400),
            ("/v2/chat", json!({"model": "cohere/m", "messages": hello}), 404),
            ("/v2/chat", json!({"model": "m"}), 400),
            ("/v2/chat", json!({"model": "m", "messages": hello, "top_p": 1}), 422),
            ("/v2/chat", json!({"model": "m", "messages": hello, "p": 1}), 400),
            ("/v2/chat", json!({"model": "m", "messages": hello, "tool_choice": "auto"}), 400),
            ("/v2/chat", json!({"model": "m", "messages": [result("a")]}), 400),
            ("/v2/chat", json!({"model": "m", "messages": [call("a"), result("b")]}), 400),
            ("/v2/chat", json!({"model": "m", "messages": [call("a"), hello[0]]}), 400),
            ("/v2/chat", json!({"model": "m", "messages": [call("a"), result("a")]}), 200),
            (
                "/v2/chat",
                json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "file"}]}]}),
                400,
            ),
            ("/v2/embed", json!({"model": "m", "texts": ["a"], "input_type": "search_query"}), 200),
            ("/v2/embed", json!({"model": "m", "texts": ["a"]}), 400),
            ("/v2/rerank", json!({"model": "m", "query": "a", "documents": ["a"]}), 200),
            ("/v2/rerank", json!({"model": "m", "query": "a", "documents": [{"text": "a"}]}), 400),
            ("/v1/tokenize", json!({"model": "m", "text": "a b"}), 200),
        ] {
            let answer = post(path, "Bearer k", &body);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{body}: {answer}");
            assert!(status == 200 || answer.contains("\"message\":\""), "{answer}");
        }
    }

    #[test]
    fn a_stream_adds_up_to_the_whole() {
        let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"n": {"type": "number"}}}}}]);
        let body = json!({"model": "m", "stream": true, "tools": tools, "messages": [{"role": "user", "content": "x"}]});
        let answer = post("/v2/chat", "Bearer k", &body);
        for word in [
            "tool-plan-delta",
            "tool-call-start",
            "tool-call-end",
            r#""finish_reason":"TOOL_CALL""#,
            "[DONE]",
        ] {
            assert!(answer.contains(word), "{word}: {answer}");
        }
    }
}

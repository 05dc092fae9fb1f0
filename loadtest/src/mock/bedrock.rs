//! Bedrock's words: Converse whole and as frames, InvokeModel for Anthropic's bodies, errors
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html>). What it refuses is
//! `check`'s. Frames are written from the format's own document, not by the gateway's writer. Pure.

mod check;
mod frame;
mod signature;

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use self::frame::Frame;
use super::answer::Plan;
use super::anthropic;
use super::call::{Call, Dialect, Refusal, ToolCall, answer_text, sample, script, words};
use super::settings::Script;

/// On every answer.
const REQUEST_ID: (&str, &str) = ("x-amzn-requestid", "7e5d1e6e-0000-4000-8000-000000000000");

/// Whether a path is Bedrock's.
pub fn owns(path: &str) -> bool {
    path.starts_with("/model/")
}

/// The answer to one request.
pub fn answer((method, path): (&Method, &str), headers: &HeaderMap, body: &[u8], defaults: &Script) -> Plan {
    let authorized = authorize((method, path), headers, body);
    let answered = authorized.and_then(|()| match *method {
        Method::POST => asked(path, body, defaults),
        _ => Err(unknown_operation()),
    });
    answered.unwrap_or_else(|refusal| refuse(&refusal))
}

/// An error answer.
pub fn refuse(refusal: &Refusal) -> Plan {
    let retry_after = refusal.retry_after_s.map(|seconds| seconds.to_string());
    let mut headers = vec![REQUEST_ID, ("x-amzn-errortype", kind(refusal))];
    headers.extend(retry_after.as_deref().map(|seconds| ("retry-after", seconds)));
    Plan::json(refusal.status, &headers, &json!({ "message": refusal.message }))
}

fn kind(refusal: &Refusal) -> &'static str {
    match refusal.status {
        400 if refusal.kind.ends_with("Exception") => refusal.kind,
        403 if refusal.kind.starts_with("InvalidSignature") => refusal.kind,
        403 => "UnrecognizedClientException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        400..500 => "ValidationException",
        _ => "InternalServerException",
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(400, "ValidationException", message)
}

fn unknown_operation() -> Refusal {
    Refusal::new(
        404,
        "UnknownOperationException",
        "Unable to determine service/operation name to be authorized",
    )
}

/// A key of Bedrock's own, or a signature.
fn authorize(to: (&Method, &str), headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    let text = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let key = text.strip_prefix("Bearer ").unwrap_or_default();
    let is_signed = text.starts_with("AWS4-HMAC-SHA256 Credential=") && headers.contains_key("x-amz-date");
    if is_signed {
        return signature::check(to, headers, body);
    }
    if !key.is_empty() && !key.starts_with("bad") {
        return Ok(());
    }
    Err(Refusal::new(403, "", "The security token included in the request is invalid."))
}

fn asked(path: &str, body: &[u8], defaults: &Script) -> Result<Plan, Refusal> {
    let rest = path.strip_prefix("/model/").unwrap_or_default();
    let (model, operation) = rest.rsplit_once('/').ok_or_else(unknown_operation)?;
    if model.contains('/') {
        return Err(unknown_operation());
    }
    let model = model.replace("%3A", ":").replace("%2F", "/").replace("%3D", "=").replace("%2C", ",");
    if model.contains('%') || model.contains('/') && !model.starts_with("arn:") {
        return Err(invalid("The provided model identifier is invalid."));
    }
    let body: Value = serde_json::from_slice(body).map_err(|error| {
        Refusal::new(400, "SerializationException", format!("The body is not JSON: {error}"))
    })?;
    match operation {
        "converse" => Ok(generated(&read(&model, &body, false, defaults)?)),
        "converse-stream" => Ok(generated(&read(&model, &body, true, defaults)?)),
        "invoke" => invoked(&model, body, false, defaults),
        "invoke-with-response-stream" => invoked(&model, body, true, defaults),
        _ => Err(unknown_operation()),
    }
}

fn read(model: &str, body: &Value, stream: bool, defaults: &Script) -> Result<Call, Refusal> {
    check::converse(body)?;
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let users = messages.iter().rev().filter(|message| message["role"] == "user");
    let prompts = users.map(|message| texts(&message["content"]).join(" "));
    let prompt = prompts.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    let script = script(defaults, model, &prompt).map_err(|refusal| invalid(refusal.message))?;
    let results = messages.last().map(|message| results(&message["content"])).unwrap_or_default();
    let wanted = body.pointer("/outputConfig/textFormat/structure/jsonSchema/schema").and_then(Value::as_str);
    let wanted = wanted.and_then(|schema| serde_json::from_str::<Value>(schema).ok());
    let all = messages.iter().map(|message| &message["content"]).chain([&body["system"]]);
    Ok(Call {
        dialect: Dialect::Bedrock,
        model: model.to_owned(),
        stream,
        include_usage: true,
        prompt_tokens: all.map(|content| texts(content).iter().map(|text| words(text)).sum::<usize>()).sum(),
        text: match wanted {
            Some(schema) => sample(&schema).to_string(),
            None => answer_text(&script, &prompt, &results),
        },
        tool_calls: if results.is_empty() { tool_calls(&body["toolConfig"]) } else { Vec::new() },
        script,
    })
}

fn texts(content: &Value) -> Vec<&str> {
    content.as_array().into_iter().flatten().filter_map(|block| block["text"].as_str()).collect()
}

/// What tools are reported to have said.
fn results(content: &Value) -> Vec<String> {
    let blocks = content.as_array().into_iter().flatten().filter_map(|block| block.get("toolResult"));
    blocks.map(|result| texts(&result["content"]).join(" ")).collect()
}

/// A call of each tool offered, as far as the choice allows.
fn tool_calls(config: &Value) -> Vec<ToolCall> {
    let chosen = config.pointer("/toolChoice/tool/name").and_then(Value::as_str);
    let offered = config["tools"].as_array().into_iter().flatten().filter_map(|tool| tool.get("toolSpec"));
    let calls = offered.filter_map(|spec| {
        let name = spec["name"].as_str()?.to_owned();
        Some(ToolCall { name, arguments: sample(&spec["inputSchema"]["json"]) })
    });
    calls.filter(|call| chosen.is_none_or(|chosen| chosen == call.name)).collect()
}

fn scripted(call: &Call) -> Option<Plan> {
    let status = call.script.status?;
    let refusal = Refusal { retry_after_s: call.script.retry_after_s, ..Refusal::scripted(status) };
    Some(Plan { delay_ms: call.script.delay_ms, ..refuse(&refusal) })
}

fn generated(call: &Call) -> Plan {
    if let Some(refused) = scripted(call) {
        return refused;
    }
    if call.stream {
        Plan::frames(&[REQUEST_ID], &frame::parts(&events(call)), &call.script)
    } else {
        Plan::whole(&[REQUEST_ID], &whole(call), &call.script)
    }
}

/// The body of a whole answer.
fn whole(call: &Call) -> Value {
    let content: Vec<Value> = match call.tool_calls.as_slice() {
        [] => vec![json!({ "text": call.text })],
        calls => calls
            .iter()
            .enumerate()
            .map(|(at, tool)| {
                json!({"toolUse": {"input": tool.arguments, "name": tool.name, "toolUseId": call_id(at)}})
            })
            .collect(),
    };
    json!({
        "metrics": {"latencyMs": 7},
        "output": {"message": {"content": content, "role": "assistant"}},
        "stopReason": stop_reason(call),
        "usage": usage(call),
    })
}

fn call_id(at: usize) -> String {
    format!("tooluse_mock_{at}")
}

fn usage(call: &Call) -> Value {
    let (input, output) = (call.prompt_tokens, call.completion_tokens());
    json!({"cacheReadInputTokens": 0, "cacheWriteInputTokens": 0, "inputTokens": input, "outputTokens": output, "totalTokens": input + output})
}

fn stop_reason(call: &Call) -> &'static str {
    match (call.tool_calls.is_empty(), call.script.finish_length) {
        (false, _) => "tool_use",
        (true, true) => "max_tokens",
        (true, false) => "end_turn",
    }
}

/// The frames of a streamed answer; each bears padding of its own, as Bedrock's do.
fn events(call: &Call) -> Vec<Frame> {
    let mut frames = vec![Frame::event("messageStart", json!({"p": "abc", "role": "assistant"}))];
    let delta = |at: usize, delta: Value| {
        Frame::content(
            "contentBlockDelta",
            json!({"contentBlockIndex": at, "delta": delta, "p": "abcdefghijk"}),
        )
    };
    let stop = |at: usize| Frame::event("contentBlockStop", json!({"contentBlockIndex": at, "p": "ab"}));
    if call.tool_calls.is_empty() {
        frames.extend(call.text_parts().iter().map(|text| delta(0, json!({ "text": text }))));
        frames.push(stop(0));
    }
    for (at, tool) in call.tool_calls.iter().enumerate() {
        let opened = json!({"toolUse": {"name": tool.name, "toolUseId": call_id(at)}});
        frames.push(Frame::event(
            "contentBlockStart",
            json!({"contentBlockIndex": at, "p": "a", "start": opened}),
        ));
        let arguments = tool.arguments.to_string();
        let (first, second) = arguments.split_at(arguments.floor_char_boundary(arguments.len() / 2));
        frames.extend(["", first, second].map(|part| delta(at, json!({"toolUse": {"input": part}}))));
        frames.push(stop(at));
    }
    frames.push(Frame::event("messageStop", json!({"p": "abcd", "stopReason": stop_reason(call)})));
    frames
        .push(Frame::event("metadata", json!({"metrics": {"latencyMs": 7}, "p": "x", "usage": usage(call)})));
    frame::fail_after(frames, call.script.error_after)
}

/// InvokeModel of a body of Anthropic's.
fn invoked(model: &str, mut body: Value, stream: bool, defaults: &Script) -> Result<Plan, Refusal> {
    let fields = body.as_object_mut().ok_or_else(|| invalid("Malformed input request"))?;
    if fields.remove("anthropic_version") != Some(json!("bedrock-2023-05-31")) {
        return Err(invalid("anthropic_version: Field required, as bedrock-2023-05-31"));
    }
    fields.remove("anthropic_beta");
    for name in ["model", "stream"] {
        if fields.contains_key(name) {
            return Err(invalid(format!("{name}: Extra inputs are not permitted")));
        }
    }
    fields.insert("model".to_owned(), json!(model.replace('/', ":")));
    fields.insert("stream".to_owned(), json!(stream));
    let call = Call::read(Dialect::Anthropic, body.to_string().as_bytes(), defaults)
        .map_err(|refusal| invalid(refusal.message))?;
    if let Some(refused) = scripted(&call) {
        return Ok(refused);
    }
    if !stream {
        return Ok(Plan::whole(&[REQUEST_ID], &anthropic::whole(&call), &call.script));
    }
    let frames = anthropic::stream(&Call {
        script: Script { error_after: None, ..call.script.clone() },
        ..call.clone()
    });
    let chunks = frames.iter().filter_map(|event| {
        let (_, data) = event.text.split_once("data: ")?;
        Some(Frame { is_content: event.is_content, ..Frame::chunk(data.trim_end().as_bytes()) })
    });
    let chunks = frame::fail_after(chunks.collect(), call.script.error_after);
    let headers = [REQUEST_ID, ("x-amzn-bedrock-content-type", "application/json")];
    Ok(Plan::frames(&headers, &frame::parts(&chunks), &call.script))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = r#"{"messages":[{"role":"user","content":[{"text":"hello you"}]}]}"#;

    fn post(path: &str, key: &'static str, body: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", key.parse().unwrap());
        let script = Script { chunks: 3, ..Script::default() };
        let plan = answer((&Method::POST, &format!("/model/{path}")), &headers, body.as_bytes(), &script);
        plan.pieces.iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect()
    }

    #[test]
    fn answers_whole_streamed_and_invoked() {
        let whole = post("m%3A0/converse", "Bearer k", HELLO);
        assert!(whole.starts_with("HTTP/1.1 200 ") && whole.contains(r#""inputTokens":2"#), "{whole}");
        let stream = post("m/converse-stream", "Bearer k", HELLO);
        assert!(stream.contains("application/vnd.amazon.eventstream"), "{stream}");
        assert_eq!(stream.matches("contentBlockDelta").count(), 3, "{stream}");
        let failed =
            post("m/converse-stream", "Bearer k", &HELLO.replace("hello you", "mock: error_after=1"));
        assert!(failed.contains("throttlingException") && !failed.contains("messageStop"), "{failed}");
        let body = r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"a"}]}"#;
        assert!(post("m/invoke", "Bearer k", body).contains("msg_mock"));
        assert!(post("m/invoke-with-response-stream", "Bearer k", body).matches("chunk").count() > 5);
    }

    #[test]
    fn is_as_strict_as_the_service() {
        for (path, key, body, status, word) in [
            ("m/converse", "Bearer bad", HELLO, 403, "UnrecognizedClientException"),
            ("m/converse", "", HELLO, 403, "security token"),
            ("a%2Fm/converse", "Bearer k", HELLO, 400, "model identifier"),
            ("m/conversation", "Bearer k", HELLO, 404, "ResourceNotFoundException"),
            ("m/converse", "Bearer k", "{", 400, "SerializationException"),
            ("m/converse", "Bearer k", r#"{"messages":[]}"#, 400, "messages"),
            (
                "m/converse",
                "Bearer k",
                r#"{"messages":[{"role":"user","content":[{"text":"a","x":1}]}]}"#,
                400,
                "x",
            ),
            ("m/invoke", "Bearer k", HELLO, 400, "anthropic_version"),
            ("mock%3Astatus%3D429/converse", "Bearer k", HELLO, 429, "ThrottlingException"),
        ] {
            let answer = post(path, key, body);
            let is_so = answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(word);
            assert!(is_so, "{path} {body}: {answer}");
        }
    }
}

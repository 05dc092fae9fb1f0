//! Gemini's words: generateContent whole and streamed (as events, or as one array), countTokens, embeddings, the model list,
//! errors (<https://ai.google.dev/api>). What it refuses is `check`'s. Pure.

mod check;

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use self::check::field;
use super::answer::{Event, Headers, Plan, fail_after};
use super::call::{Call, Dialect, Refusal, ToolCall, answer_text, sample, script, words};
use super::settings::Script;

/// Beside the content's own headers, on every answer.
pub const HEADERS: Headers<'static> =
    &[("x-content-type-options", "nosniff"), ("server-timing", "gfet4t7; dur=1")];

const BASE: &str = "/v1beta/models";
const MODELS: [&str; 3] = ["gemini-2.5-flash", "gemini-2.5-pro", "gemini-embedding-001"];
/// Numbers of a vector unless the request says otherwise.
const DIMENSIONS: u64 = 8;

/// Whether a path is Gemini's.
pub fn owns(path: &str) -> bool {
    path.starts_with("/v1beta/")
}

/// The answer to one request.
pub fn answer(
    (method, path, query): (&Method, &str, &str),
    headers: &HeaderMap,
    body: &[u8],
    defaults: &Script,
) -> Plan {
    let answered = authorize(headers).and_then(|()| match *method {
        Method::GET => list(path, query),
        Method::POST => call((path, query), body, defaults),
        _ => Err(not_found(path)),
    });
    answered.unwrap_or_else(|refusal| refuse(&refusal))
}

/// An error answer.
pub fn refuse(refusal: &Refusal) -> Plan {
    let retry_after = refusal.retry_after_s.map(|seconds| seconds.to_string());
    let mut headers = HEADERS.to_vec();
    headers.extend(retry_after.as_deref().map(|seconds| ("retry-after", seconds)));
    Plan::json(refusal.status, &headers, &error(refusal))
}

/// A missing key is no caller, a wrong one an argument.
fn authorize(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut keys = headers.get_all("x-goog-api-key").iter().filter_map(|value| value.to_str().ok());
    let key = keys.next().filter(|key| !key.is_empty());
    match key {
        None => {
            let message = "Method doesn't allow unregistered callers (callers without established identity).";
            Err(Refusal::new(403, "PERMISSION_DENIED", message))
        }
        Some(key) if key.starts_with("bad") || keys.next().is_some() => {
            let message = "API key not valid. Please pass a valid API key.";
            Err(Refusal { code: Some("API_KEY_INVALID"), ..Refusal::new(400, "INVALID_ARGUMENT", message) })
        }
        Some(_) => Ok(()),
    }
}

fn not_found(what: &str) -> Refusal {
    Refusal::new(404, "NOT_FOUND", format!("{what} is not found for API version v1beta."))
}

fn list(path: &str, query: &str) -> Result<Plan, Refusal> {
    parameters(query, &["pageSize", "pageToken"])?;
    let model = |id: &str| {
        json!({"name": format!("models/{id}"), "version": "001", "displayName": id, "inputTokenLimit": 1_048_576,
            "outputTokenLimit": 65_536, "supportedGenerationMethods": ["generateContent", "countTokens"]})
    };
    let id = path.strip_prefix(BASE).and_then(|rest| rest.strip_prefix('/'));
    let body = match id {
        None if path == BASE => json!({ "models": MODELS.map(model) }),
        Some(id) if MODELS.contains(&id) => model(id),
        _ => return Err(not_found(path)),
    };
    Ok(Plan::json(200, HEADERS, &body))
}

/// A credential must not stand in a query that comes by way of a gateway.
fn parameters(query: &str, known: &[&str]) -> Result<(), Refusal> {
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let name = parameter.split('=').next().unwrap_or_default();
        if !known.contains(&name) {
            let message = format!(
                "Invalid JSON payload received. Unknown name \"{name}\": Cannot bind query parameter."
            );
            return Err(check::invalid("query", message));
        }
    }
    Ok(())
}

fn call((path, query): (&str, &str), body: &[u8], defaults: &Script) -> Result<Plan, Refusal> {
    parameters(query, &["alt"])?;
    let rest = path.strip_prefix(BASE).and_then(|rest| rest.strip_prefix('/'));
    let (model, method) = rest.and_then(|rest| rest.rsplit_once(':')).ok_or_else(|| not_found(path))?;
    let model = model.replace("%3A", ":").replace("%3D", "=").replace("%2C", ",");
    if model.contains(['/', '%']) {
        return Err(not_found(&format!("models/{model}")));
    }
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| check::invalid("body", format!("Invalid JSON payload received. {error}")))?;
    match method {
        "generateContent" => generated(&read(&model, &body, false, defaults)?, query),
        "streamGenerateContent" => generated(&read(&model, &body, true, defaults)?, query),
        "countTokens" => {
            let tokens = prompt_tokens(check::count(&body, &model)?);
            let details = json!([{"modality": "TEXT", "tokenCount": tokens}]);
            Ok(Plan::json(200, HEADERS, &json!({"totalTokens": tokens, "promptTokensDetails": details})))
        }
        "embedContent" => {
            check::embed(&body, &model, false)?;
            Ok(Plan::json(200, HEADERS, &json!({ "embedding": vector(&body) })))
        }
        "batchEmbedContents" => {
            let vectors: Vec<Value> = check::batch(&body, &model)?.iter().map(vector).collect();
            Ok(Plan::json(200, HEADERS, &json!({ "embeddings": vectors })))
        }
        _ => Err(not_found(path)),
    }
}

/// The same numbers for the same text.
fn vector(request: &Value) -> Value {
    let text = field(request, "content").map(texts).unwrap_or_default().concat();
    let dimensions = field(request, "outputDimensionality").and_then(Value::as_u64).unwrap_or(DIMENSIONS);
    let seed = text.bytes().fold(7_u64, |seed, byte| (seed * 31 + u64::from(byte)) % 1009);
    let values: Vec<f64> = (0..dimensions.min(4096)).map(|at| ((seed + at) % 64) as f64 / 64.0).collect();
    json!({ "values": values })
}

fn read(model: &str, body: &Value, stream: bool, defaults: &Script) -> Result<Call, Refusal> {
    check::generate(body, model)?;
    let contents = field(body, "contents").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_user = |content: &&Value| field(content, "role").is_none_or(|role| role == "user");
    let users = contents.iter().rev().filter(is_user).map(|content| texts(content).join(" "));
    let prompt = users.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    let script = script(defaults, model, &prompt)
        .map_err(|refusal| Refusal { kind: "INVALID_ARGUMENT", ..refusal })?;
    let results = contents.last().map(results).unwrap_or_default();
    let config = field(body, "generationConfig").unwrap_or(&Value::Null);
    let schema = field(config, "responseSchema").or_else(|| field(config, "responseJsonSchema"));
    let is_json = field(config, "responseMimeType").is_some_and(|kind| kind == "application/json");
    Ok(Call {
        dialect: Dialect::Gemini,
        model: model.to_owned(),
        stream,
        include_usage: true,
        prompt_tokens: prompt_tokens(body),
        text: match schema.filter(|_| is_json) {
            Some(schema) => sample(&lowered(schema)).to_string(),
            None => answer_text(&script, &prompt, &results),
        },
        tool_calls: if results.is_empty() { tool_calls(body) } else { Vec::new() },
        script,
    })
}

fn prompt_tokens(body: &Value) -> usize {
    let contents = field(body, "contents").and_then(Value::as_array).into_iter().flatten();
    let all = contents.chain(field(body, "systemInstruction"));
    all.map(|content| texts(content).iter().map(|text| words(text)).sum::<usize>()).sum()
}

/// The texts of a content's parts.
fn texts(content: &Value) -> Vec<&str> {
    let parts = field(content, "parts").and_then(Value::as_array).into_iter().flatten();
    parts.filter_map(|part| field(part, "text")?.as_str()).collect()
}

/// What functions are reported to have said.
fn results(content: &Value) -> Vec<String> {
    let parts = field(content, "parts").and_then(Value::as_array).into_iter().flatten();
    let responses = parts.filter_map(|part| field(field(part, "functionResponse")?, "response"));
    let said = responses.map(|response| {
        ["output", "result", "error"].iter().find_map(|key| response.get(*key)).unwrap_or(response)
    });
    said.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect()
}

/// A call of each function offered, as far as the mode allows.
fn tool_calls(body: &Value) -> Vec<ToolCall> {
    let calling = field(body, "toolConfig").and_then(|config| field(config, "functionCallingConfig"));
    let calling = calling.unwrap_or(&Value::Null);
    let allowed = field(calling, "allowedFunctionNames").and_then(Value::as_array);
    if field(calling, "mode").is_some_and(|mode| mode == "NONE") {
        return Vec::new();
    }
    let tools = field(body, "tools").and_then(Value::as_array).into_iter().flatten();
    let offered = tools.filter_map(|tool| field(tool, "functionDeclarations")?.as_array()).flatten();
    let calls = offered.filter_map(|function| {
        let schema = field(function, "parameters").or_else(|| field(function, "parametersJsonSchema"));
        let arguments = sample(&lowered(schema.unwrap_or(&Value::Null)));
        Some(ToolCall { name: field(function, "name")?.as_str()?.to_owned(), arguments })
    });
    calls.filter(|call| allowed.is_none_or(|names| names.iter().any(|name| *name == call.name))).collect()
}

/// A schema whose types are written as JSON schema has them.
fn lowered(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match value {
                Value::String(kind) if name == "type" => (name.clone(), kind.to_lowercase().into()),
                value => (name.clone(), lowered(value)),
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(lowered).collect(),
        other => other.clone(),
    }
}

fn generated(call: &Call, query: &str) -> Result<Plan, Refusal> {
    if let Some(status) = call.script.status {
        let refusal = Refusal { retry_after_s: call.script.retry_after_s, ..Refusal::scripted(status) };
        return Ok(Plan { delay_ms: call.script.delay_ms, ..refuse(&refusal) });
    }
    let is_events = query.split('&').any(|parameter| parameter == "alt=sse");
    Ok(match (call.stream, is_events) {
        (true, true) => Plan::events(HEADERS, &events(call), &call.script),
        (true, false) => Plan::whole(HEADERS, &Value::Array(steps(call)), &call.script),
        (false, _) => Plan::whole(HEADERS, &whole(call), &call.script),
    })
}

/// The body of a whole answer.
pub fn whole(call: &Call) -> Value {
    let parts = match call.tool_calls.as_slice() {
        [] => vec![json!({ "text": call.text })],
        calls => calls.iter().map(function_call).collect(),
    };
    step(call, parts, true)
}

/// The steps of a streamed one; the last has the reason and all counts.
fn steps(call: &Call) -> Vec<Value> {
    let mut parts: Vec<Value> = match call.tool_calls.as_slice() {
        [] => call.text_parts().iter().map(|text| json!({ "text": text })).collect(),
        calls => calls.iter().map(function_call).collect(),
    };
    let last = parts.pop();
    let mut steps: Vec<Value> = parts.into_iter().map(|part| step(call, vec![part], false)).collect();
    steps.push(step(call, last.into_iter().collect(), true));
    steps
}

fn events(call: &Call) -> Vec<Event> {
    let event = |step: &Value| Event::content(format!("data: {step}\r\n\r\n"));
    let failure = error(&Refusal::new(503, "UNAVAILABLE", "The mock was told to fail here."));
    let failure = Event::frame(format!("data: {failure}\r\n\r\n"));
    fail_after(steps(call).iter().map(event).collect(), call.script.error_after, failure)
}

fn function_call(call: &ToolCall) -> Value {
    json!({"functionCall": {"name": call.name, "args": call.arguments}, "thoughtSignature": "bW9jaw=="})
}

fn step(call: &Call, parts: Vec<Value>, is_last: bool) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
    let mut usage = json!({
        "promptTokenCount": call.prompt_tokens,
        "totalTokenCount": call.prompt_tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": call.prompt_tokens}],
    });
    if is_last {
        candidate["finishReason"] = if call.script.finish_length { "MAX_TOKENS" } else { "STOP" }.into();
        usage["candidatesTokenCount"] = call.completion_tokens().into();
        usage["totalTokenCount"] = (call.prompt_tokens + call.completion_tokens()).into();
    }
    json!({"candidates": [candidate], "usageMetadata": usage, "modelVersion": call.model, "responseId": "mock-response"})
}

/// An error's body, which is an error event's data too.
pub fn error(refusal: &Refusal) -> Value {
    let mut details = Vec::new();
    if let Some(reason) = refusal.code {
        details.push(json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason,
            "domain": "googleapis.com", "metadata": {"service": "generativelanguage.googleapis.com"}}));
    }
    if let Some(field) = refusal.param {
        details.push(json!({"@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": field, "description": refusal.message}]}));
    }
    let mut error =
        json!({"code": refusal.status, "message": refusal.message, "status": status(refusal.status)});
    if !details.is_empty() {
        error["details"] = details.into();
    }
    json!({ "error": error })
}

fn status(status: u16) -> &'static str {
    match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = r#"{"contents":[{"role":"user","parts":[{"text":"hello you"}]}]}"#;

    fn post(method: &str, query: &str, key: &'static str, body: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("x-goog-api-key", key.parse().unwrap());
        let path = format!("/v1beta/models/{method}");
        let script = Script { chunks: 3, ..Script::default() };
        let plan = answer((&Method::POST, &path, query), &headers, body.as_bytes(), &script);
        plan.pieces.iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect()
    }

    #[test]
    fn answers_whole_streamed_and_as_an_array() {
        let whole = post("m:generateContent", "", "k", HELLO);
        assert!(whole.starts_with("HTTP/1.1 200 ") && whole.contains(r#""promptTokenCount":2"#), "{whole}");
        let sse = post("m:streamGenerateContent", "alt=sse", "k", HELLO);
        assert_eq!((sse.matches("data: ").count(), sse.matches("finishReason").count()), (3, 1), "{sse}");
        let array = post("m:streamGenerateContent", "", "k", HELLO);
        let (_, body) = array.split_once("\r\n\r\n").unwrap();
        assert_eq!(serde_json::from_str::<Vec<Value>>(body).unwrap().len(), 3);
        let failed = post(
            "m:streamGenerateContent",
            "alt=sse",
            "k",
            &HELLO.replace("hello you", "mock: error_after=1"),
        );
        assert!(failed.contains("UNAVAILABLE") && !failed.contains("finishReason"), "{failed}");
    }

    #[test]
    fn is_as_strict_as_a_provider() {
        for (method, query, key, body, status, word) in [
            ("m:generateContent", "", "bad", HELLO, 400, "API_KEY_INVALID"),
            ("m:generateContent", "", "", HELLO, 403, "PERMISSION_DENIED"),
            ("m:generateContent", "key=k", "k", HELLO, 400, "key"),
            ("gemini%2Fm:generateContent", "", "k", HELLO, 404, "NOT_FOUND"),
            ("m:generateText", "", "k", HELLO, 404, "NOT_FOUND"),
            ("m:generateContent", "", "k", r#"{"contents":[]}"#, 400, "contents is not specified"),
            ("m:generateContent", "", "k", "{", 400, "INVALID_ARGUMENT"),
            ("mock%3Astatus%3D429:generateContent", "", "k", HELLO, 429, "RESOURCE_EXHAUSTED"),
        ] {
            let answer = post(method, query, key, body);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(word),
                "{method}: {answer}"
            );
        }
    }

    #[test]
    fn tools_are_called_and_schemas_filled() {
        let tools = r#","tools":[{"functionDeclarations":[{"name":"f","parameters":{"type":"OBJECT","properties":{"n":{"type":"INTEGER"}}}}]}]}"#;
        let asked = HELLO.strip_suffix('}').unwrap();
        let answer = post("m:generateContent", "", "k", &format!("{asked}{tools}"));
        assert!(answer.contains(r#""functionCall":{"name":"f","args":{"n":1}}"#), "{answer}");
        let config = r#","generationConfig":{"responseMimeType":"application/json","responseSchema":{"type":"OBJECT","properties":{"b":{"type":"BOOLEAN"}}}}}"#;
        let answer = post("m:generateContent", "", "k", &format!("{asked}{config}"));
        assert!(answer.contains(r#"{\"b\":true}"#), "{answer}");
    }

    #[test]
    fn counts_and_embeds() {
        assert!(post("m:countTokens", "", "k", HELLO).contains(r#""totalTokens":2"#));
        let one = r#"{"content":{"parts":[{"text":"a"}]},"outputDimensionality":3}"#;
        let answer = post("m:embedContent", "", "k", one);
        assert_eq!(answer.matches(',').count(), 2 + usize::from(answer.contains("charset")), "{answer}");
        let batch = format!(r#"{{"requests":[{},{}]}}"#, named(one), named(one));
        assert_eq!(post("m:batchEmbedContents", "", "k", &batch).matches("values").count(), 2);
    }

    fn named(request: &str) -> String {
        request.replacen('{', r#"{"model":"models/m","#, 1)
    }
}

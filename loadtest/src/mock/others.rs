//! What is asked beside conversations: OpenAI's embeddings, moderations and legacy completions, Anthropic's count of
//! tokens. As strict as a provider about what it needs; numbers follow from the words. Pure.

use serde_json::{Value, json};

use super::answer::{Event, Plan};
use super::call::{Dialect, Refusal};
use super::settings::Script;
use super::{anthropic, openai};

/// Numbers of a vector when the request names no `dimensions`.
const DIMENSIONS: u64 = 4;

/// Longest vector that is made.
const DIMENSIONS_MAX: u64 = 4096;

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// `POST /v1/embeddings`.
    Embeddings,
    /// `POST /v1/moderations`.
    Moderations,
    /// `POST /v1/completions`.
    Completions,
    /// `POST /v1/messages/count_tokens`.
    CountTokens,
}

impl Other {
    /// The one at this path of a POST.
    pub fn at(path: &str) -> Option<Self> {
        match path {
            "/v1/embeddings" => Some(Self::Embeddings),
            "/v1/moderations" => Some(Self::Moderations),
            "/v1/completions" => Some(Self::Completions),
            "/v1/messages/count_tokens" => Some(Self::CountTokens),
            _ => None,
        }
    }

    /// Whose API has it.
    pub fn dialect(self) -> Dialect {
        match self {
            Self::CountTokens => Dialect::Anthropic,
            _ => Dialect::OpenAi,
        }
    }

    /// The answer to a body; `defaults` are what the flags said.
    pub fn answer(self, body: &[u8], defaults: &Script) -> Result<Plan, Refusal> {
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| invalid("body", &format!("The body is not JSON: {error}")))?;
        let model = body.get("model").and_then(Value::as_str).unwrap_or_default();
        if (model.is_empty() && self != Self::Moderations) || model.contains('/') {
            return Err(invalid("model", "you must provide a model parameter"));
        }
        let input = self.input(&body)?;
        let first = texts(input).first().copied().unwrap_or_default().to_owned();
        let words = first.strip_prefix("mock:").unwrap_or_default();
        let script = defaults.with_words(words).map_err(|fault| invalid("input", &fault))?;
        if let Some(status) = script.status {
            return Err(Refusal { retry_after_s: script.retry_after_s, ..Refusal::scripted(status) });
        }
        Ok(match self {
            Self::Embeddings => Plan::whole(openai::HEADERS, &embeddings(&body, input)?, &script),
            Self::Moderations => Plan::whole(openai::HEADERS, &moderations(model, input), &script),
            Self::CountTokens => Plan::whole(anthropic::HEADERS, &tokens(&body), &script),
            Self::Completions if body.get("stream") == Some(&Value::Bool(true)) => {
                Plan::events(openai::HEADERS, &completion_events(&body, &first), &script)
            }
            Self::Completions => Plan::whole(openai::HEADERS, &completion(&body, &first), &script),
        })
    }

    fn input(self, body: &Value) -> Result<&Value, Refusal> {
        let name = match self {
            Self::Embeddings | Self::Moderations => "input",
            Self::Completions => "prompt",
            Self::CountTokens => "messages",
        };
        if self == Self::CountTokens && body.get("max_tokens").is_some() {
            return Err(invalid("max_tokens", "max_tokens: Extra inputs are not permitted"));
        }
        body.get(name)
            .filter(|input| !input.is_null())
            .ok_or_else(|| invalid(name, &format!("Missing required parameter: '{name}'.")))
    }
}

fn invalid(param: &'static str, message: &str) -> Refusal {
    Refusal { param: Some(param), ..Refusal::new(400, "invalid_request_error", message) }
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(parts) => parts.iter().flat_map(texts).collect(),
        Value::Object(fields) => {
            ["text", "content"].iter().filter_map(|name| fields.get(*name)).flat_map(texts).collect()
        }
        _ => Vec::new(),
    }
}

fn words(value: &Value) -> usize {
    texts(value).iter().map(|text| text.split_whitespace().count()).sum()
}

/// <https://platform.openai.com/docs/api-reference/embeddings/create>: a vector for each text, or list of tokens.
fn embeddings(body: &Value, input: &Value) -> Result<Value, Refusal> {
    let inputs: Vec<&Value> = match input {
        Value::Array(parts) if !parts.iter().any(Value::is_u64) => parts.iter().collect(),
        other => vec![other],
    };
    let count = body.get("dimensions").map_or(Some(DIMENSIONS), Value::as_u64);
    let count = count.filter(|count| (1..=DIMENSIONS_MAX).contains(count));
    let count = count.ok_or_else(|| invalid("dimensions", "Invalid value for 'dimensions'."))?;
    let in_base64 = match body.get("encoding_format").and_then(Value::as_str) {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(invalid("encoding_format", "Invalid value for 'encoding_format'.")),
    };
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let vector = vector(input, count);
            let vector = if in_base64 { json!(base64(&little_endian(&vector))) } else { json!(vector) };
            json!({"object": "embedding", "index": index, "embedding": vector})
        })
        .collect();
    let tokens = words(input);
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    Ok(json!({"object": "list", "data": data, "model": body.get("model"), "usage": usage}))
}

/// Eighths, which are the same in any width: the text's length, then one less at each place.
pub(crate) fn vector(input: &Value, count: u64) -> Vec<f32> {
    let length = input.as_str().map_or(0, str::len);
    (0..count).map(|place| (length as f32 - place as f32) / 8.0).collect()
}

pub(crate) fn little_endian(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// RFC 4648 §4.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32, place: usize| {
        let index = (bits >> (18 - 6 * place)) & 63;
        char::from(DIGITS.get(index as usize).copied().unwrap_or_default())
    };
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits =
            (0..3).fold(0, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or_default()));
        text.extend((0..4).map(|place| if place <= group.len() { digit(bits, place) } else { '=' }));
    }
    text
}

/// <https://platform.openai.com/docs/api-reference/moderations/create>: flagged is what says `bad`.
fn moderations(model: &str, input: &Value) -> Value {
    const CATEGORIES: [&str; 13] = [
        "harassment",
        "harassment/threatening",
        "hate",
        "hate/threatening",
        "illicit",
        "illicit/violent",
        "self-harm",
        "self-harm/instructions",
        "self-harm/intent",
        "sexual",
        "sexual/minors",
        "violence",
        "violence/graphic",
    ];
    let inputs = texts(input);
    let results: Vec<Value> = inputs
        .iter()
        .map(|text| {
            let flagged = text.contains("bad");
            let each = |value: Value| -> Value {
                CATEGORIES.iter().map(|name| ((*name).to_owned(), value.clone())).collect()
            };
            let score = if flagged { 0.5 } else { 0.0 };
            json!({
                "flagged": flagged,
                "categories": each(json!(flagged)),
                "category_scores": each(json!(score)),
                "category_applied_input_types": each(json!(["text"])),
            })
        })
        .collect();
    let model = if model.is_empty() { "omni-moderation-latest" } else { model };
    json!({"id": "modr-mock", "model": model, "results": results})
}

/// <https://docs.anthropic.com/en/api/messages-count-tokens>
fn tokens(body: &Value) -> Value {
    let parts = ["system", "messages"].iter().filter_map(|name| body.get(*name));
    json!({"input_tokens": parts.map(words).sum::<usize>()})
}

/// <https://platform.openai.com/docs/api-reference/completions/object>
fn completion(body: &Value, prompt: &str) -> Value {
    let said = format!("{prompt} and so on");
    let tokens = prompt.split_whitespace().count();
    let usage =
        json!({"prompt_tokens": tokens, "completion_tokens": tokens + 3, "total_tokens": 2 * tokens + 3});
    completion_of(body, &said, Some("stop"), &usage)
}

fn completion_of(body: &Value, text: &str, finish: Option<&str>, usage: &Value) -> Value {
    let choice = json!({"text": text, "index": 0, "logprobs": null, "finish_reason": finish});
    json!({
        "id": "cmpl-mock",
        "object": "text_completion",
        "created": openai::CREATED_S,
        "model": body.get("model"),
        "choices": [choice],
        "usage": usage,
    })
}

fn completion_events(body: &Value, prompt: &str) -> Vec<Event> {
    let whole = completion(body, prompt);
    let event = |value: &Value| format!("data: {value}\n\n");
    let text = |text: &str, finish| event(&completion_of(body, text, finish, &Value::Null));
    let mut events = vec![
        Event::content(text(prompt, None)),
        Event::content(text(" and so on", None)),
        Event::frame(text("", Some("stop"))),
    ];
    if body.pointer("/stream_options/include_usage") == Some(&Value::Bool(true)) {
        let mut last = whole;
        last["choices"] = json!([]);
        events.push(Event::frame(event(&last)));
    }
    events.push(Event::frame("data: [DONE]\n\n".to_owned()));
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(other: Other, body: &Value) -> Result<String, Refusal> {
        let plan = other.answer(body.to_string().as_bytes(), &Script::default())?;
        Ok(plan.pieces.iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect())
    }

    #[test]
    fn vectors_are_the_same_in_both_formats() {
        assert_eq!(["", "f", "fo", "foo"].map(|text| base64(text.as_bytes())), ["", "Zg==", "Zm8=", "Zm9v"]);
        let body = json!({"model": "m", "input": ["ab", "c"], "dimensions": 2});
        let text = answer(Other::Embeddings, &body).unwrap();
        assert!(text.contains("[0.25,0.125]") && text.contains("[0.125,0.0]"), "{text}");
        let body = json!({"model": "m", "input": "ab", "encoding_format": "base64", "dimensions": 1});
        assert!(answer(Other::Embeddings, &body).unwrap().contains(r#""embedding":"AACAPg==""#));
    }

    #[test]
    fn what_is_missing_or_too_much_is_refused() {
        for (other, body, param) in [
            (Other::Embeddings, json!({"input": "a"}), "model"),
            (Other::Embeddings, json!({"model": "m"}), "input"),
            (Other::Embeddings, json!({"model": "m", "input": "a", "dimensions": 0}), "dimensions"),
            (Other::Completions, json!({"model": "m"}), "prompt"),
            (Other::CountTokens, json!({"model": "m", "messages": [], "max_tokens": 1}), "max_tokens"),
        ] {
            assert_eq!(answer(other, &body).unwrap_err().param, Some(param), "{body}");
        }
        let told = json!({"model": "m", "input": "mock: status=429"});
        assert_eq!(answer(Other::Embeddings, &told).unwrap_err().status, 429);
    }
}

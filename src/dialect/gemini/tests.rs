//! The room's words, and its goldens: the requests of `tests/dialect/requests` for Gemini, and Gemini's answers and
//! streams for OpenAI's callers. `BLESS=1 cargo test --lib dialect::gemini` rewrites what is expected; read the
//! difference before it is committed.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::*;
use crate::chat::{Event, Usage};
use crate::dialect::{Dialect, Encoded, Operation, Quirks, StreamOptions, openai, translate_request};

const CREATED_S: u64 = 1_700_000_000;

#[test]
fn each_reason_has_its_word() {
    assert_eq!(finish("STOP", false), Finish::Stop);
    assert_eq!(finish("STOP", true), Finish::ToolCalls);
    assert_eq!(finish("A_NEW_ONE", false), Finish::Stop);
    assert_eq!(finish("MAX_TOKENS", true), Finish::Length);
    assert_eq!(finish("SAFETY", true), Finish::ContentFilter);
    assert_eq!(finish("MALFORMED_FUNCTION_CALL", false), Finish::ContentFilter);
}

#[test]
fn signatures_are_base64() {
    for good in ["QQ==", "a-_9", "a+/9"] {
        assert!(is_signature(good), "{good}");
    }
    for bad in ["", "==", "a b", "{\"a\":1}", "é"] {
        assert!(!is_signature(bad), "{bad}");
    }
}

#[test]
fn requests() {
    for (case, input) in inputs("requests", ".openai.json") {
        let (from, to) = (Dialect::OpenAi, Dialect::Gemini);
        let model = "gemini-3-pro-preview";
        let encoded = translate_request(from, to, Operation::Chat, &input, model, Quirks::OPENAI).unwrap();
        let Encoded { body, dropped, .. } = encoded;
        let sent: Value = serde_json::from_slice(&body).unwrap();
        let mut text = lines(&body);
        for name in dropped {
            text.push_str(&format!("dropped: {name}\n"));
        }
        check(&format!("gemini/requests/{case}.gemini.json"), &text);
        no_text_is_lost(&case, &serde_json::from_slice(&input).unwrap(), &sent);
        results_are_paired(&case, &sent);
    }
}

#[test]
fn responses() {
    for (case, input) in inputs("gemini/responses", ".gemini.json") {
        let response = response::decode(&input).unwrap_or_else(|error| panic!("{case}: {error}"));
        let body = openai::response::encode(&response, CREATED_S);
        check(&format!("gemini/responses/{case}.openai.json"), &lines(&body));
        let again = response::encode(&response, CREATED_S);
        assert_eq!(response::decode(&again).unwrap(), response, "{case}");
        let usage = response.usage;
        assert_eq!(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens, "{case}");
    }
}

#[test]
fn streams() {
    for (case, input) in inputs("gemini/streams", ".gemini.sse") {
        let mut decoder = stream::Decoder::default();
        let options =
            StreamOptions { created_s: CREATED_S, include_usage: true, model: "fallback-model".to_owned() };
        let mut encoder = openai::stream::Encoder::new(options);
        let (mut out, mut said) = (Vec::new(), String::new());
        let input = String::from_utf8(input).unwrap();
        for data in input.split("\n\n").filter_map(|event| event.strip_prefix("data: ")) {
            let mut each = |event: Event<'_>, _: Option<Usage>| {
                if let Event::Text(text) | Event::Reasoning { text, .. } = event {
                    said.push_str(text);
                }
                encoder.encode(event, None, &mut out);
                Ok(())
            };
            decoder.decode(data.as_bytes(), &mut each).unwrap_or_else(|error| panic!("{case}: {error}"));
            let value: Value = serde_json::from_str(data).unwrap();
            for part in value["candidates"][0]["content"]["parts"].as_array().into_iter().flatten() {
                let text = part["text"].as_str().unwrap_or_default();
                assert!(said.ends_with(text) || part.get("functionCall").is_some(), "{case}: lost {text:?}");
            }
        }
        let usage = decoder.usage();
        assert!(usage.is_some(), "{case}");
        let ended = decoder.finish(&mut |event, usage| {
            encoder.encode(event, usage, &mut out);
            Ok(())
        });
        assert!(ended.is_ok() && out.ends_with(b"data: [DONE]\n\n"), "{case}");
    }
}

/// Every text stands in the translation as a whole string.
fn no_text_is_lost(case: &str, input: &Value, output: &Value) {
    let mut said = Vec::new();
    strings(output, &mut said);
    for message in input["messages"].as_array().unwrap() {
        let content = &message["content"];
        let parts = content.as_array().into_iter().flatten().map(|part| &part["text"]);
        for text in parts.chain([content, &message["refusal"]]).filter_map(Value::as_str) {
            let is_result = message["role"] == "tool" && text.starts_with('{');
            assert!(text.is_empty() || is_result || said.contains(&text), "{case}: lost {text:?}");
        }
    }
}

fn strings<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Object(fields) => fields.values().for_each(|item| strings(item, found)),
        _ => {}
    }
}

/// Each turn of calls is followed by one turn that answers exactly these.
fn results_are_paired(case: &str, sent: &Value) {
    let pairs = |turn: &Value, field: &str| -> Vec<(String, String)> {
        let parts = turn["parts"].as_array().unwrap().iter().filter_map(|part| part.get(field));
        let mut pairs: Vec<_> = parts.map(|one| (one["id"].to_string(), one["name"].to_string())).collect();
        pairs.sort();
        pairs
    };
    for turns in sent["contents"].as_array().unwrap().windows(2) {
        let calls = pairs(&turns[0], "functionCall");
        if !calls.is_empty() {
            assert_eq!(calls, pairs(&turns[1], "functionResponse"), "{case}");
        }
    }
}

fn inputs(kind: &str, ending: &str) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(folder().join(kind))
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let case = path.file_name()?.to_str()?.strip_suffix(ending)?.to_owned();
            Some((case, fs::read(&path).unwrap()))
        })
        .collect();
    assert!(!found.is_empty(), "no {ending} in {kind}");
    found.sort();
    found
}

fn check(file: &str, actual: &str) {
    let path = folder().join(file);
    if std::env::var_os("BLESS").is_some() {
        return fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == actual, "{} differs; this is what came:\n{actual}", path.display());
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/dialect")
}

/// JSON with a line for each object's and list's start; every byte of it stays.
fn lines(json: &[u8]) -> String {
    let (mut out, mut depth, mut is_string, mut is_escaped) = (String::new(), 0_usize, false, false);
    for one in std::str::from_utf8(json).unwrap().chars() {
        if is_string {
            is_string = is_escaped || one != '"';
            is_escaped = !is_escaped && one == '\\';
        } else if matches!(one, '{' | '[') && !out.is_empty() {
            depth += 1;
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
        } else if matches!(one, '}' | ']') {
            depth = depth.saturating_sub(1);
        } else {
            is_string = one == '"';
        }
        out.push(one);
    }
    out.push('\n');
    out
}

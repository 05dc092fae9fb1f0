//! Goldens of OpenAI's Responses, both ways: `CASE.from_X` stands beside what becomes of it, `CASE.from_X.to_Y`; where the
//! other dialect can't take it, that is the refusal's words. Inputs follow <https://platform.openai.com/docs/api-reference/responses>,
//! <https://platform.openai.com/docs/api-reference/responses-streaming>, <https://docs.anthropic.com/en/api/messages>,
//! <https://docs.anthropic.com/en/docs/build-with-claude/streaming>, <https://platform.openai.com/docs/api-reference/chat> and
//! <https://ai.google.dev/api/generate-content>. Beside its golden, each is held to properties: no text lost, ids paired, counts
//! kept, events numbered and nested.

use corelane::chat::Usage;
use corelane::dialect::{
    AnswerOptions, Dialect, Operation, Quirks, StreamOptions, StreamTranslator, translate_request,
    translate_response,
};
use corelane::error::Error;
use corelane::http::sse;
use serde_json::Value;

use super::{CREATED_S, broken, check, inputs, is_json, pretty, strings};

#[path = "responses_stream.rs"]
mod stream;

/// Every dialect but Responses, with its name in a fixture's.
const OTHERS: [(Dialect, &str); 3] =
    [(Dialect::OpenAi, "openai"), (Dialect::Anthropic, "anthropic"), (Dialect::Gemini, "gemini")];
const REQUESTS: &str = "responses/requests";
const RESPONSES: &str = "responses/responses";

fn operation(case: &str) -> Operation {
    Operation::Responses.streamed(case.ends_with("_stream"))
}

#[test]
fn requests() {
    for (case, input) in inputs(REQUESTS, ".from_responses.json") {
        for (to, name) in OTHERS {
            let encoded = translate_request(
                Dialect::Responses,
                to,
                operation(&case),
                &input,
                "model-1",
                Quirks::COMPATIBLE,
            );
            let text = match encoded {
                Ok(encoded) => {
                    let sent: Value = serde_json::from_slice(&encoded.body).unwrap();
                    let dropped = encoded.dropped.iter().map(|name| format!("dropped: {name}\n"));
                    no_text_is_lost(&case, &serde_json::from_slice(&input).unwrap(), &sent);
                    ids_are_paired(&case, &sent);
                    pretty(&encoded.body) + &dropped.collect::<String>()
                }
                Err(error) => refused(&error),
            };
            check(REQUESTS, &format!("{case}.from_responses.to_{name}.json"), &text);
        }
    }
}

fn refused(error: &Error) -> String {
    format!("{} {}: {}\n", error.status(), error.param.as_deref().unwrap_or("-"), error)
}

#[test]
fn requests_of_others() {
    for (from, name) in [(Dialect::OpenAi, "openai"), (Dialect::Anthropic, "anthropic")] {
        for (case, input) in inputs(REQUESTS, &format!(".from_{name}.json")) {
            let encoded = translate_request(
                from,
                Dialect::Responses,
                Operation::Chat,
                &input,
                "model-1",
                Quirks::OPENAI,
            );
            let encoded = encoded.unwrap_or_else(|error| panic!("{case}: {error}"));
            let dropped = encoded.dropped.iter().map(|name| format!("dropped: {name}\n"));
            let text = pretty(&encoded.body) + &dropped.collect::<String>();
            check(REQUESTS, &format!("{case}.from_{name}.to_responses.json"), &text);
            let sent: Value = serde_json::from_slice(&encoded.body).unwrap();
            items_are_paired(&case, sent["input"].as_array().unwrap());
        }
    }
}

/// Every text of the input stands in what is sent as a whole string; a thought, only where its proof is taken.
fn no_text_is_lost(case: &str, input: &Value, sent: &Value) {
    let mut said = Vec::new();
    strings(sent, &mut said);
    let mut texts: Vec<&str> = input["input"].as_str().into_iter().collect();
    texts.extend(input["instructions"].as_str());
    for item in input["input"].as_array().into_iter().flatten().filter(|item| item["type"] != "reasoning") {
        for value in [&item["content"], &item["output"]] {
            texts.extend(value.as_str());
            let parts = value.as_array().into_iter().flatten();
            texts.extend(parts.filter_map(|part| part["text"].as_str().or(part["refusal"].as_str())));
        }
    }
    for text in texts {
        assert!(said.contains(&text), "{case}: lost {text:?}");
    }
}

/// Each call id that is sent is sent again with its result, if the dialect sends ids at all.
fn ids_are_paired(case: &str, sent: &Value) {
    let (mut calls, mut results) = (Vec::new(), Vec::new());
    ids(sent, &mut calls, &mut results);
    calls.sort_unstable();
    results.sort_unstable();
    assert_eq!(calls, results, "{case}");
}

fn ids<'v>(value: &'v Value, calls: &mut Vec<&'v str>, results: &mut Vec<&'v str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| ids(item, calls, results)),
        Value::Object(fields) => {
            calls.extend(fields.get("id").and_then(Value::as_str).filter(|_| !is_result(fields)));
            let of_result = if is_result(fields) { fields.get("id") } else { None };
            let of_result = [of_result, fields.get("tool_use_id"), fields.get("tool_call_id")];
            results.extend(of_result.into_iter().flatten().filter_map(Value::as_str));
            fields.values().for_each(|item| ids(item, calls, results));
        }
        _ => {}
    }
}

/// Gemini's.
fn is_result(fields: &serde_json::Map<String, Value>) -> bool {
    fields.contains_key("response")
}

fn items_are_paired(case: &str, items: &[Value]) {
    let ids = |kind: &str| -> Vec<&Value> {
        items.iter().filter(|item| item["type"] == kind).map(|item| &item["call_id"]).collect()
    };
    assert_eq!(ids("function_call"), ids("function_call_output"), "{case}");
}

#[test]
fn responses() {
    for (from, name) in OTHERS {
        for (case, input) in inputs(RESPONSES, &format!(".from_{name}.json")) {
            let body = answer(&case, from, Dialect::Responses, &input);
            check(RESPONSES, &format!("{case}.from_{name}.to_responses.json"), &pretty(&body));
            let response: Value = serde_json::from_slice(&body).unwrap();
            items_are_sound(&case, &response);
            let mut said = Vec::new();
            strings(&response, &mut said);
            let joined: String = output_text(&response);
            for text in texts_of(&serde_json::from_slice(&input).unwrap()) {
                assert!(joined.contains(&text) || said.contains(&&*text), "{case}: lost {text:?}");
            }
        }
    }
}

#[test]
fn responses_for_others() {
    for (case, input) in inputs(RESPONSES, ".from_responses.json") {
        for (to, name) in OTHERS {
            let body = answer(&case, Dialect::Responses, to, &input);
            check(RESPONSES, &format!("{case}.from_responses.to_{name}.json"), &pretty(&body));
            let mut said = Vec::new();
            let value: Value = serde_json::from_slice(&body).unwrap();
            strings(&value, &mut said);
            let text = output_text(&serde_json::from_slice(&input).unwrap());
            assert!(text.is_empty() || said.contains(&&*text), "{case}: lost {text:?}");
        }
    }
}

fn answer(case: &str, from: Dialect, to: Dialect, input: &[u8]) -> Vec<u8> {
    let options = AnswerOptions { created_s: CREATED_S, ..AnswerOptions::default() };
    let translated =
        translate_response(from, to, input, &options).unwrap_or_else(|error| panic!("{case}: {error}"));
    let usage = translated.usage.unwrap();
    assert_eq!(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens, "{case}");
    if to == Dialect::Responses {
        let written: Value = serde_json::from_slice(&translated.body).unwrap();
        assert_eq!(usage_of(&written["usage"]), usage, "{case}");
    }
    translated.body
}

fn usage_of(usage: &Value) -> Usage {
    let count = |value: &Value| value.as_u64().unwrap();
    Usage {
        prompt_tokens: count(&usage["input_tokens"]),
        completion_tokens: count(&usage["output_tokens"]),
        total_tokens: count(&usage["total_tokens"]),
        cached_read_tokens: count(&usage["input_tokens_details"]["cached_tokens"]),
        cached_write_tokens: count(&usage["input_tokens_details"]["cache_write_tokens"]),
        reasoning_tokens: count(&usage["output_tokens_details"]["reasoning_tokens"]),
        ..Usage::default()
    }
}

/// What a client calls `output_text`.
fn output_text(response: &Value) -> String {
    let items = response["output"].as_array().unwrap().iter();
    let parts = items.flat_map(|item| item["content"].as_array().into_iter().flatten());
    parts.filter(|part| part["type"] == "output_text").map(|part| part["text"].as_str().unwrap()).collect()
}

/// The model's own words in another dialect's answer.
fn texts_of(answer: &Value) -> Vec<String> {
    let lists = [&answer["content"], &answer["candidates"][0]["content"]["parts"]];
    let message = &answer["choices"][0]["message"];
    let parts = lists.into_iter().filter_map(Value::as_array).flatten();
    let texts = parts.flat_map(|part| [&part["text"], &part["thinking"]]);
    let all = texts.chain([&message["content"], &message["refusal"], &message["reasoning_content"]]);
    all.filter_map(|text| text.as_str().map(str::to_owned)).filter(|text| !text.is_empty()).collect()
}

/// Ids are unique and within OpenAI's bounds, the parts say what they are, only the last item is cut.
fn items_are_sound(case: &str, response: &Value) {
    let items = response["output"].as_array().unwrap();
    let is_incomplete = response["status"] == "incomplete";
    assert_eq!(is_incomplete, response["incomplete_details"].is_object(), "{case}");
    for (index, item) in items.iter().enumerate() {
        let id = item["id"].as_str().unwrap();
        assert!(id.len() <= 64 && id.ends_with(&format!("_{index}")), "{case}: {id}");
        let prefix = match item["type"].as_str().unwrap() {
            "message" => "msg_",
            "function_call" => "fc_",
            "reasoning" => "rs_",
            other => panic!("{case}: {other}"),
        };
        assert!(id.starts_with(prefix), "{case}: {id}");
        let is_last = index + 1 == items.len();
        assert!(item["status"] != "incomplete" || (is_incomplete && is_last), "{case}");
    }
}

/// What a client hands back of an answer is what the provider gave: its thoughts with their proofs, to the byte.
#[test]
fn items_that_are_handed_back_are_the_providers_own() {
    for (provider, name, ways) in [
        (Dialect::Anthropic, "anthropic", ["content", "content"]),
        (Dialect::Gemini, "gemini", ["parts", "parts"]),
    ] {
        for (case, input) in inputs(RESPONSES, &format!(".from_{name}.json")) {
            let response: Value =
                serde_json::from_slice(&answer(&case, provider, Dialect::Responses, &input)).unwrap();
            let mut items = vec![serde_json::json!({"role": "user", "content": "q"})];
            items.extend(response["output"].as_array().unwrap().iter().cloned());
            let results = |item: &Value| {
                let call_id = &item["call_id"];
                (!call_id.is_null()).then(
                    || serde_json::json!({"type": "function_call_output", "call_id": call_id, "output": "r"}),
                )
            };
            let outputs: Vec<Value> = items.iter().filter_map(results).collect();
            items.extend(outputs);
            let body = serde_json::json!({"model": "m", "input": items}).to_string();
            let operation = Operation::Responses;
            let quirks = Quirks::COMPATIBLE;
            let sent =
                translate_request(Dialect::Responses, provider, operation, body.as_bytes(), "m", quirks);
            let sent = sent.unwrap_or_else(|error| panic!("{case}: {error}"));
            assert!(
                sent.dropped.iter().all(|name| !name.contains("encrypted")),
                "{case}: {:?}",
                sent.dropped
            );
            let sent: Value = serde_json::from_slice(&sent.body).unwrap();
            let given: Value = serde_json::from_slice(&input).unwrap();
            let turn = sent["messages"].get(1).or(sent["contents"].get(1)).cloned().unwrap_or_default();
            let given =
                given.get("content").cloned().unwrap_or(given["candidates"][0]["content"]["parts"].clone());
            assert_eq!(proofs(&turn[ways[0]]), proofs(&given), "{case}");
        }
    }
}

/// Thoughts' words, signatures and sealed data, in order.
fn proofs(parts: &Value) -> Vec<String> {
    let names = ["signature", "data", "thoughtSignature"];
    let parts = parts.as_array().into_iter().flatten();
    let found = parts.flat_map(|part| names.iter().filter_map(|name| part[*name].as_str()));
    found.map(str::to_owned).collect()
}

/// Every input cut at every byte, and with every byte broken: an error or JSON, never a panic.
#[test]
fn broken_inputs_never_panic() {
    let options = AnswerOptions::default();
    for (case, input) in inputs(REQUESTS, ".from_responses.json") {
        broken(&input, |input| {
            let (from, to) = (Dialect::Responses, Dialect::Anthropic);
            let encoded = translate_request(from, to, Operation::Responses, input, "m", Quirks::COMPATIBLE);
            assert!(encoded.is_err() || is_json(&encoded.unwrap().body), "{case}");
        });
    }
    for (case, input) in inputs(RESPONSES, ".from_responses.json") {
        broken(&input, |input| {
            let translated = translate_response(Dialect::Responses, Dialect::OpenAi, input, &options);
            assert!(translated.is_err() || is_json(&translated.unwrap().body), "{case}");
        });
    }
}

//! Gemini's callers to other providers, and other callers to Gemini, against the mock provider, which is strict in each
//! dialect: texts, functions and their answers, errors, whole and streamed.

use serde_json::{Value, json};

use crate::caller::{Answer, Caller};
use crate::setup::{CHAT, MESSAGES, on_both};
use crate::support::node::{Mock, Node};

const HELLO: &str = "Hello from the mock provider.";

fn config(mock: &Mock) -> Value {
    let provider = |value: &str| {
        json!({
            "keys": [{ "name": value, "value": value, "models": ["*"] }],
            "network_config": { "base_url": format!("http://{}", mock.address) }
        })
    };
    json!({ "providers": {
        "openai": provider("sk-openai"), "anthropic": provider("sk-ant"), "gemini": provider("AIza-mock")
    } })
}

fn ask(caller: &mut Caller, target: &str, body: &Value) -> Answer {
    let answer = caller.post(&format!("/genai/v1beta/models/{target}"), body.to_string());
    assert_eq!((answer.status, answer.is_whole), (200, true), "{target}: {}", answer.text());
    answer
}

fn text_of(step: &Value) -> String {
    let parts = step["candidates"][0]["content"]["parts"].as_array().cloned().unwrap_or_default();
    parts.iter().filter_map(|part| part["text"].as_str()).collect()
}

fn sse(answer: &Answer) -> Vec<Value> {
    let lines = answer.text().lines().filter_map(|line| line.strip_prefix("data: "));
    lines.filter_map(|data| serde_json::from_str(data).ok()).collect()
}

fn user(text: &str) -> Value {
    json!({ "role": "user", "parts": [{ "text": text }] })
}

const MODELS: [&str; 3] = ["gemini/gemini-2.5-flash", "openai/gpt-4o", "anthropic/claude-x"];

#[test]
fn a_gemini_caller_is_answered_by_anybody() {
    on_both(|driver| {
        let mock = Mock::start(&[]);
        let node = Node::start(&config(&mock).to_string(), driver);
        let mut caller = Caller::new(&node);
        let body = json!({
            "systemInstruction": { "parts": [{ "text": "be kind" }] },
            "contents": [user("hello you")],
            "generationConfig": { "maxOutputTokens": 50, "temperature": 0.7, "stopSequences": ["END"] }
        });
        for model in MODELS {
            let whole = ask(&mut caller, &format!("{model}:generateContent"), &body).json();
            assert_eq!(text_of(&whole), HELLO, "{model}");
            assert_eq!(whole["candidates"][0]["finishReason"], "STOP", "{model}");
            assert_eq!(whole["usageMetadata"]["promptTokenCount"], 4, "{model}: {whole}");
            let target = format!("{model}:streamGenerateContent");
            let array = ask(&mut caller, &target, &body);
            assert_eq!(array.value("content-type"), Some("application/json"), "{model}");
            let events = ask(&mut caller, &format!("{target}?alt=sse"), &body);
            assert!(events.value("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")));
            let elements = array.json().as_array().unwrap().clone();
            assert_eq!(elements, sse(&events), "{model}");
            assert_eq!(elements.iter().map(text_of).collect::<String>(), HELLO, "{model}");
            let last = elements.last().unwrap();
            assert_eq!(last["candidates"][0]["finishReason"], "STOP", "{model}");
            assert_eq!(last["usageMetadata"], whole["usageMetadata"], "{model}");
        }
    });
}

#[test]
fn functions_are_called_and_answered_by_anybody() {
    on_both(|driver| {
        let mock = Mock::start(&[]);
        let node = Node::start(&config(&mock).to_string(), driver);
        let mut caller = Caller::new(&node);
        let schema =
            json!({ "type": "OBJECT", "properties": { "city": { "type": "STRING" } }, "required": ["city"] });
        let declared = json!([{ "functionDeclarations": [{ "name": "weather", "parameters": schema }] }]);
        for model in MODELS {
            let first = json!({ "contents": [user("how is it?")], "tools": declared });
            let answer = ask(&mut caller, &format!("{model}:generateContent"), &first).json();
            let content = answer["candidates"][0]["content"].clone();
            let call = &content["parts"][0]["functionCall"];
            assert_eq!(
                (&call["name"], &call["args"]),
                (&json!("weather"), &json!({ "city": "mock" })),
                "{model}: {answer}"
            );
            let said = json!({ "functionResponse": { "id": call["id"], "name": "weather", "response": { "result": "sunny" } } });
            let second = json!({
                "contents": [user("how is it?"), content, { "role": "user", "parts": [said] }], "tools": declared
            });
            let answer = ask(&mut caller, &format!("{model}:generateContent"), &second).json();
            assert!(text_of(&answer).contains("sunny"), "{model}: {answer}");
            let stream = ask(&mut caller, &format!("{model}:streamGenerateContent"), &first).json();
            let calls: Vec<&Value> = stream
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|step| step["candidates"][0]["content"]["parts"].as_array().into_iter().flatten())
                .filter_map(|part| part.get("functionCall"))
                .collect();
            assert_eq!(
                (calls.len(), &calls[0]["args"]),
                (1, &json!({ "city": "mock" })),
                "{model}: {stream}"
            );
        }
    });
}

#[test]
fn other_callers_functions_reach_gemini_in_its_order() {
    on_both(|driver| {
        let mock = Mock::start(&[]);
        let node = Node::start(&config(&mock).to_string(), driver);
        let mut caller = Caller::new(&node);
        let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "additionalProperties": false });
        let tools = json!([{ "type": "function", "function": { "name": "f", "parameters": schema } }]);
        let asked = json!({ "role": "user", "content": "count" });
        let body = json!({ "model": "gemini/m", "messages": [asked], "tools": tools });
        let answer = caller.post(CHAT, body.to_string());
        let message = answer.json()["choices"][0]["message"].clone();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let call = &message["tool_calls"][0];
        assert_eq!(call["function"]["arguments"], "{\"n\":1}");
        let result = json!({ "role": "tool", "tool_call_id": call["id"], "content": "one" });
        let body = json!({ "model": "gemini/m", "messages": [asked, message, result], "tools": tools, "stream": true });
        let answer = caller.post(CHAT, body.to_string());
        let said: String = sse(&answer)
            .iter()
            .filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned()))
            .collect();
        assert!(said.contains("one"), "{}", answer.text());
        let tools = json!([{ "name": "f", "input_schema": schema }]);
        let body = json!({ "model": "gemini/m", "max_tokens": 9, "messages": [asked], "tools": tools });
        let answer = caller.post(MESSAGES, body.to_string());
        let content = answer.json()["content"].clone();
        let used =
            content.as_array().unwrap().iter().find(|block| block["type"] == "tool_use").unwrap().clone();
        assert_eq!((&used["name"], &used["input"]), (&json!("f"), &json!({ "n": 1 })));
        let result = json!({ "type": "tool_result", "tool_use_id": used["id"], "content": "one" });
        let body = json!({ "model": "gemini/m", "max_tokens": 9, "tools": tools, "messages": [
            asked, { "role": "assistant", "content": content }, { "role": "user", "content": [result] }
        ] });
        let answer = caller.post(MESSAGES, body.to_string());
        assert!(answer.text().contains("one"), "{}", answer.text());
    });
}

#[test]
fn errors_cross_by_class() {
    on_both(|driver| {
        let mock = Mock::start(&[]);
        let node = Node::start(&config(&mock).to_string(), driver);
        let mut caller = Caller::new(&node);
        for (status, name) in [(429, "RESOURCE_EXHAUSTED"), (503, "UNAVAILABLE"), (404, "NOT_FOUND")] {
            let body = json!({ "contents": [user(&format!("mock: status={status}"))] });
            for model in MODELS {
                let answer =
                    caller.post(&format!("/genai/v1beta/models/{model}:generateContent"), body.to_string());
                let error = &answer.json()["error"];
                assert_eq!((answer.status, &error["code"]), (status, &json!(status)), "{model}: {error}");
                assert_eq!(error["status"], name, "{model}");
            }
            let words = json!({ "role": "user", "content": format!("mock: status={status}") });
            let body = json!({ "model": "gemini/m", "max_tokens": 9, "messages": [words] }).to_string();
            assert_eq!(caller.post(CHAT, &body).status, status);
            let claude = caller.post(MESSAGES, &body);
            assert_eq!((claude.status, &claude.json()["type"]), (status, &json!("error")));
        }
        let body = json!({ "contents": [user("mock: error_after=1")] });
        for model in MODELS {
            let array = ask(&mut caller, &format!("{model}:streamGenerateContent"), &body).json();
            let last = array.as_array().unwrap().last().unwrap().clone();
            assert!(last["error"]["code"].as_u64().is_some_and(|code| code >= 500), "{model}: {array}");
        }
    });
}

#[test]
fn embeddings_cross() {
    on_both(|driver| {
        let mock = Mock::start(&[]);
        let node = Node::start(&config(&mock).to_string(), driver);
        let mut caller = Caller::new(&node);
        let body = json!({ "model": "gemini/gemini-embedding-001", "input": ["a", "b"], "dimensions": 4 });
        let answer = caller.post("/v1/embeddings", body.to_string());
        let list = answer.json();
        assert_eq!(answer.status, 200, "{list}");
        let data = list["data"].as_array().unwrap();
        assert_eq!((data.len(), data[1]["index"].as_u64()), (2, Some(1)));
        assert_eq!(data[0]["embedding"].as_array().unwrap().len(), 4);
        assert_ne!(data[0]["embedding"], data[1]["embedding"]);
    });
}

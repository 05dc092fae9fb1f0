//! Callers of OpenAI's Responses whose provider does not speak it: they are served by way of its own dialect, and by which way a
//! custom provider is asked is what its config says.

use serde_json::{Value, json};

use crate::caller::Caller;
use crate::client_ip::{logged, rows};
use crate::script::{Act, judging, provider, providers};
use crate::setup::{STREAM_HEAD, chunk, event, on_both};
use crate::support::node::{Mock, Node};

const RESPONSES: &str = "/v1/responses";
const HELLO: &str = "Hello from the mock provider.";

fn ask(model: &str, rest: &str) -> String {
    format!(r#"{{"model":"{model}","instructions":"be kind","input":"hello","max_output_tokens":50{rest}}}"#)
}

#[test]
fn a_provider_that_does_not_speak_responses_serves_them() {
    on_both(|driver| {
        let mock = Mock::start(&[]);
        let config = providers(&[
            ("deepseek", provider(mock.address, &["a"], 0)),
            ("anthropic", provider(mock.address, &["b"], 0)),
        ]);
        let mut node = Node::start(&logged(config).to_string(), driver);
        let mut caller = Caller::new(&node);
        for (model, path) in [("deepseek/m", "/v1/chat/completions"), ("anthropic/claude-x", "/v1/messages")]
        {
            let whole = caller.post(RESPONSES, ask(model, ""));
            assert_eq!(whole.status, 200, "{whole:?}");
            assert_eq!(mock.requests()["last"]["target"], path);
            let response = whole.json();
            assert_eq!((&response["object"], &response["status"]), (&json!("response"), &json!("completed")));
            assert_eq!(response["output"][0]["content"][0]["text"], HELLO);
            // Nobody keeps it, so that its id leads nowhere.
            assert!(!response["id"].as_str().unwrap().contains('~'), "{response}");
            let streamed = caller.post(RESPONSES, ask(model, r#","stream":true"#));
            assert_eq!((streamed.status, streamed.is_whole), (200, true));
            let data = streamed.text().lines().filter_map(|line| line.strip_prefix("data: "));
            let told: Vec<Value> = data.map(|data| serde_json::from_str(data).unwrap()).collect();
            let text: String = told
                .iter()
                .filter(|event| event["type"] == "response.output_text.delta")
                .map(|event| event["delta"].as_str().unwrap())
                .collect();
            assert_eq!(text, HELLO);
            assert_eq!(told.last().unwrap()["type"], "response.completed");
            assert_eq!(told.last().unwrap()["response"]["output"][0]["content"][0]["text"], HELLO);
            assert!(told.iter().enumerate().all(|(number, event)| event["sequence_number"] == number));
            let refused = caller.post(RESPONSES, ask(model, r#","previous_response_id":"resp_1""#));
            assert_eq!(refused.status, 400);
            assert_eq!(refused.json()["error"]["param"], "previous_response_id", "{refused:?}");
            let limited = caller.post(RESPONSES, ask(model, "").replace("\"hello\"", "\"mock: status=429\""));
            assert_eq!(limited.status, 429, "{limited:?}");
        }
        let stored = caller.get("/v1/responses/resp_1");
        assert_eq!((stored.status, stored.code().as_str()), (400, "provider_not_configured"), "{stored:?}");
        let found = rows(
            &mut node,
            "SELECT json_array(object_type, provider, status_code, input_history, output_message) FROM logs WHERE status_code = 200",
        );
        let history = r#"[{"role":"system","content":"be kind"},{"role":"user","content":"hello"}]"#;
        for (index, row) in found.iter().enumerate() {
            let row: Value = serde_json::from_str(row).unwrap();
            let provider = if index < 2 { "deepseek" } else { "anthropic" };
            assert_eq!(json!(row.as_array().unwrap()[..4]), json!(["response", provider, 200, history]));
            assert!(row[4].as_str().unwrap().contains(HELLO), "{row}");
        }
        assert_eq!(found.len(), 4);
    });
}

#[test]
fn a_translated_stream_that_breaks_ends_with_an_error_of_the_callers() {
    on_both(|driver| {
        let cut = [STREAM_HEAD.as_bytes(), &chunk(event("one"))].concat();
        let upstream = judging(move |_| Act::Close(cut.clone()));
        let config = providers(&[("deepseek", provider(upstream.address, &["a"], 0))]);
        let node = Node::start(&config.to_string(), driver);
        let broken = Caller::new(&node).post(RESPONSES, ask("deepseek/m", r#","stream":true"#));
        let events: Vec<&str> = broken.text().split("\n\n").filter(|event| !event.is_empty()).collect();
        let (last, before) = events.split_last().unwrap();
        let data = last.strip_prefix("event: error\ndata: ").unwrap_or_else(|| panic!("{last}"));
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!((&data["type"], &data["sequence_number"]), (&json!("error"), &json!(before.len())));
    });
}

#[test]
fn a_custom_provider_speaks_responses_where_its_config_says_so() {
    on_both(|driver| {
        let mock = Mock::start(&[]);
        let own = |custom: Value| {
            let mut own = provider(mock.address, &["a"], 0);
            own["custom_provider_config"] = custom;
            own["custom_provider_config"]["base_provider_type"] = json!("openai");
            Node::start(&providers(&[("own", own)]).to_string(), driver)
        };
        let chat = json!({ "chat_completion": true, "chat_completion_stream": true });
        let both = json!({ "chat_completion": true, "responses": true });
        for (custom, path, is_stored) in [
            (json!({}), "/v1/chat/completions", false),
            (json!({ "allowed_requests": chat }), "/v1/chat/completions", false),
            (json!({ "allowed_requests": both }), "/v1/responses", true),
            (json!({ "request_path_overrides": { "responses": "/v1/responses" } }), "/v1/responses", true),
        ] {
            let node = own(custom);
            let mut caller = Caller::new(&node);
            let whole = caller.post(RESPONSES, ask("own/m", ""));
            assert_eq!(whole.status, 200, "{whole:?}");
            assert_eq!(mock.requests()["last"]["target"], path);
            let id = whole.json()["id"].as_str().unwrap().to_owned();
            assert_eq!(caller.get(&format!("{RESPONSES}/{id}")).status, if is_stored { 200 } else { 400 });
        }
        let node = own(json!({ "allowed_requests": { "responses_stream": true } }));
        let refused = Caller::new(&node).post(RESPONSES, ask("own/m", ""));
        assert_eq!((refused.status, refused.code().as_str()), (400, "unsupported_operation"), "{refused:?}");
    });
}

//! Files that a conversation names: their marked ids lead it to the provider and key that know them, which see their own ids.

use serde_json::{Value, json};

use crate::caller::Caller;
use crate::setup::{config, ok, on_both};
use crate::support::node::Node;
use crate::support::upstream::Upstream;

const CHAT: &str = "/v1/chat/completions";

/// Three keys of OpenAI's, of which one is for files, and two of Anthropic's.
fn two_accounts(upstream: &Upstream) -> Value {
    let mut config = config(upstream.address);
    for provider in ["openai", "anthropic"] {
        let keys = &mut config["providers"][provider]["keys"];
        keys[0]["models"] = json!(["*"]);
        let is_first = provider == "openai";
        let files = json!({ "name": format!("{provider}-files"), "value": format!("sk-{provider}-files"), "models": ["*"],
            "use_for_batch_api": true, "weight": if is_first { 0.01 } else { 1.0 } });
        keys.as_array_mut().unwrap().push(files);
    }
    config
}

fn upstream() -> Upstream {
    Upstream::start(|line| {
        while let Some(request) = line.receive() {
            let answer = match request.head.split(' ').nth(1).unwrap_or_default() {
                path if path.starts_with("/v1/files") => r#"{"id":"file-1","object":"file","filename":"a"}"#,
                "/v1/messages" => {
                    r#"{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"text","text":"a"}],"model":"m","stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#
                }
                "/v1/responses" => r#"{"id":"resp_1","object":"response","status":"completed","output":[]}"#,
                _ => {
                    r#"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}]}"#
                }
            };
            line.send(ok(answer));
        }
    })
}

/// The id that a caller was given of a file.
fn uploaded(caller: &mut Caller, path: &str) -> String {
    let body = "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\na\r\n--x--\r\n";
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: multipart/form-data; boundary=x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    caller.send([head.as_bytes(), body.as_bytes()].concat());
    let answer = caller.answer();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn chat(model: &str, id: &str) -> String {
    let content = json!([{ "type": "text", "text": "read \"file_id\": it" }, { "type": "file", "file": { "file_id": id } }]);
    json!({ "model": model, "messages": [{ "role": "user", "content": content }] }).to_string()
}

#[test]
fn a_file_leads_its_conversation_to_its_key() {
    on_both(|driver| {
        let upstream = upstream();
        let node = Node::start(&two_accounts(&upstream).to_string(), driver);
        let mut caller = Caller::new(&node);
        let file = uploaded(&mut caller, "/v1/files?provider=openai");
        let claudes = uploaded(&mut caller, "/anthropic/v1/files");
        let source = json!({ "type": "document", "source": { "type": "file", "file_id": claudes } });
        for (path, body, key) in [
            (CHAT, chat("openai/gpt-4o", &file), "Bearer sk-openai-files"),
            (CHAT, chat("gpt-4o", &file), "Bearer sk-openai-files"),
            (
                "/v1/responses",
                json!({ "model": "openai/gpt-4o", "input": [{ "role": "user", "content": [{ "type": "input_file", "file_id": file }] }],
                    "tools": [{ "type": "code_interpreter", "container": { "type": "auto", "file_ids": [file, "file-0", file] } }] })
                .to_string(),
                "Bearer sk-openai-files",
            ),
            (
                "/anthropic/v1/messages",
                json!({ "model": "claude-x", "max_tokens": 5, "messages": [{ "role": "user", "content": [source] }] }).to_string(),
                "sk-anthropic-files",
            ),
        ] {
            for _ in 0..3 {
                let answer = caller.post(path, body.as_str());
                assert_eq!(answer.status, 200, "{answer:?}");
                let sent = upstream.last();
                let field = if path.starts_with("/anthropic") { "x-api-key" } else { "authorization" };
                assert_eq!(sent.value(field), key, "{path}");
                let body = body.replace(&file, "file-1").replace(&claudes, "file-1");
                let (sent, expected): (Value, Value) =
                    (serde_json::from_slice(&sent.body).unwrap(), serde_json::from_str(&body).unwrap());
                assert_eq!(
                    sent["messages"], expected["messages"],
                    "{path}"
                );
                assert_eq!((&sent["input"], &sent["tools"]), (&expected["input"], &expected["tools"]), "{path}");
            }
        }
    });
}

#[test]
fn files_that_nobody_knows_together_are_refused() {
    on_both(|driver| {
        let upstream = upstream();
        let node = Node::start(&two_accounts(&upstream).to_string(), driver);
        let mut caller = Caller::new(&node);
        let file = uploaded(&mut caller, "/v1/files?provider=openai");
        let claudes = uploaded(&mut caller, "/anthropic/v1/files");
        let count = upstream.requests().len();
        let two = chat("openai/gpt-4o", &file)
            .replace("\"role\"", &format!("\"x\":{{\"file_id\":\"{claudes}\"}},\"role\""));
        for (body, expected) in [
            (two, "are not of one provider and key"),
            (chat("anthropic/claude-x", &file), "file_id is known to the provider openai alone"),
            (
                format!(
                    r#"{{"model":"openai/gpt-4o","messages":[],"file_ids":["{}"]}}"#,
                    vec![file.as_str(); 1_025].join("\",\"")
                ),
                "more than 1024 files",
            ),
        ] {
            let answer = caller.post(CHAT, body.as_str());
            assert_eq!(answer.status, 400, "{answer:?}");
            let error = &answer.json()["error"];
            assert!(error["message"].as_str().unwrap().contains(expected), "{error}");
            assert_eq!(error["param"], "file_id");
        }
        assert_eq!(upstream.requests().len(), count);
    });
}

#[test]
fn a_file_is_found_in_a_body_of_many_megabytes() {
    on_both(|driver| {
        let upstream = upstream();
        let node = Node::start(&two_accounts(&upstream).to_string(), driver);
        let mut caller = Caller::new(&node);
        let file = uploaded(&mut caller, "/v1/files?provider=openai");
        let body = chat("openai/gpt-4o", &file).replace("read", &"r".repeat(9_000_000));
        let answer = caller.post(CHAT, body.as_str());
        assert_eq!(answer.status, 200, "{answer:?}");
        let sent = upstream.last();
        assert_eq!(sent.value("authorization"), "Bearer sk-openai-files");
        assert!(sent.body == body.replace("openai/gpt-4o", "gpt-4o").replace(&file, "file-1").into_bytes());
    });
}

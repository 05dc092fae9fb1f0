//! What was said to and by a provider, in `extra_fields` of answers at `/v1/*`, whole and streamed, as it is and translated.

use serde_json::{Value, json};

use crate::caller::{Caller, request};
use crate::setup::{ANSWER, ASK, ASK_CLAUDE_STREAM, ASK_STREAM, CHAT, OPENAI_CHAT, answer, config, on_both};
use crate::support::node::{KEYS, Node};
use crate::support::upstream::Upstream;

const CLAUDES: &str = r#"{"id":"m","type":"message","role":"assistant","content":[{"type":"text","text":"a"}],"model":"m","stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#;
const CHUNKS: [&str; 3] = [
    r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"h"},"finish_reason":null}]}"#,
    r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    "[DONE]",
];
const EVENTS: [&str; 6] = [
    r#"{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","content":[],"model":"m","usage":{"input_tokens":1,"output_tokens":0}}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"h"}}"#,
    r#"{"type":"content_block_stop","index":0}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}"#,
    r#"{"type":"message_stop"}"#,
];

/// Both vendors, by path and by what is asked; each quotes the key that it was asked with.
fn upstream() -> Upstream {
    Upstream::start(|line| {
        while let Some(request) = line.receive() {
            let is_stream = String::from_utf8_lossy(&request.body).contains("\"stream\":true");
            let is_claude = request.head.contains("/v1/messages");
            let body = match (is_claude, is_stream) {
                (false, false) => ANSWER.replacen('{', &format!("{{\"echo\":\"{}\",", KEYS[0].1), 1),
                (true, false) => CLAUDES.to_owned(),
                (false, true) => CHUNKS.iter().map(|data| format!("data: {data}\n\n")).collect(),
                (true, true) => EVENTS.iter().map(|data| event(data)).collect(),
            };
            let kind = if is_stream { "text/event-stream" } else { "application/json" };
            line.send(answer(200, &format!("content-type: {kind}\r\n"), body));
        }
    })
}

fn event(data: &str) -> String {
    let name = serde_json::from_str::<Value>(data).unwrap()["type"].as_str().unwrap().to_owned();
    format!("event: {name}\ndata: {data}\n\n")
}

fn with_raw(upstream: &Upstream, sends: bool, may_override: bool) -> Value {
    let mut config = config(upstream.address);
    for provider in ["openai", "anthropic"] {
        config["providers"][provider]["send_back_raw_request"] = json!(sends);
        config["providers"][provider]["send_back_raw_response"] = json!(sends);
    }
    config["client"]["allow_per_request_raw_override"] = json!(may_override);
    config
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_whole_answer_brings_both() {
    on_both(|driver| {
        let upstream = upstream();
        let node = Node::start(&with_raw(&upstream, true, false).to_string(), driver);
        let mut caller = Caller::new(&node);
        for (body, said) in
            [(ASK.to_owned(), ANSWER), (ASK.replace("openai/gpt-4o", "anthropic/claude-x"), CLAUDES)]
        {
            // What the config does not let a caller say does not count.
            caller.send(request(CHAT, "x-bf-send-back-raw-response: false\r\n", &body));
            let answer = caller.answer();
            assert_eq!(answer.status, 200, "{answer:?}");
            assert!(!answer.json()["extra_fields"].to_string().contains(KEYS[0].1), "{}", answer.text());
            let mut fields = answer.json()["extra_fields"].clone();
            let sent: Value = serde_json::from_slice(&upstream.last().body).unwrap();
            assert_eq!(fields["raw_request"], sent);
            assert_eq!(fields["request_type"], "chat_completion");
            fields["raw_response"].as_object_mut().unwrap().remove("echo");
            assert_eq!(fields["raw_response"], json(said));
            assert!(answer.json()["choices"].is_array());
        }
        let native = caller.post(OPENAI_CHAT, ASK.replace("openai/", ""));
        assert_eq!((native.status, native.json().get("extra_fields")), (200, None));
    });
}

#[test]
fn each_event_brings_what_it_was() {
    on_both(|driver| {
        let upstream = upstream();
        let node = Node::start(&with_raw(&upstream, true, false).to_string(), driver);
        let mut caller = Caller::new(&node);
        for (body, said) in [(ASK_STREAM, &CHUNKS[..2]), (ASK_CLAUDE_STREAM, &EVENTS[..])] {
            let answer = caller.post(CHAT, body);
            assert_eq!(answer.status, 200, "{answer:?}");
            let text = answer.text();
            let data: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
            assert_eq!(data.last(), Some(&"[DONE]"), "{text}");
            let events: Vec<Value> = data[..data.len() - 1].iter().map(|data| json(data)).collect();
            let sent: Value = serde_json::from_slice(&upstream.last().body).unwrap();
            assert_eq!(events[0]["extra_fields"]["raw_request"], sent, "{text}");
            assert!(
                events[1..].iter().all(|event| event["extra_fields"].get("raw_request").is_none()),
                "{text}"
            );
            let raw: Vec<_> =
                events.iter().filter_map(|event| event["extra_fields"].get("raw_response")).collect();
            assert!(
                !raw.is_empty() && raw.iter().all(|raw| said.iter().any(|one| json(one) == **raw)),
                "{text}"
            );
            if said.len() == 2 {
                assert_eq!(raw, [&json(CHUNKS[0]), &json(CHUNKS[1])]);
            }
        }
    });
}

#[test]
fn a_caller_says_so_where_the_config_lets_it() {
    on_both(|driver| {
        let upstream = upstream();
        let node = Node::start(&with_raw(&upstream, false, true).to_string(), driver);
        let mut caller = Caller::new(&node);
        for (fields, expected) in [
            ("", [false, false]),
            ("x-bf-send-back-raw-request: true\r\n", [true, false]),
            ("X-BF-Send-Back-Raw-Response: True\r\nx-bf-send-back-raw-request: maybe\r\n", [false, true]),
        ] {
            caller.send(request(CHAT, fields, ASK));
            let answer = caller.answer().json();
            let found =
                ["raw_request", "raw_response"].map(|name| answer["extra_fields"].get(name).is_some());
            assert_eq!(found, expected, "{answer}");
        }
    });
}

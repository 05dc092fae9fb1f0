//! What the themes share: configs around one scripted provider, its answers, the callers' usual requests.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::node::{DRIVERS, Node};
use crate::support::upstream::{Gate, Upstream};

/// The path of OpenAI's chat here, and of each vendor's own.
pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const OPENAI_CHAT: &str = "/openai/v1/chat/completions";
pub(crate) const MESSAGES: &str = "/anthropic/v1/messages";

/// A small request of each dialect.
pub(crate) const ASK: &str = r#"{"model":"openai/gpt-4o","messages":[{"role":"user","content":"hi"}]}"#;
pub(crate) const ASK_STREAM: &str =
    r#"{"model":"openai/gpt-4o","messages":[{"role":"user","content":"hi"}],"stream":true}"#;
pub(crate) const ASK_CLAUDE_STREAM: &str =
    r#"{"model":"anthropic/claude-x","messages":[{"role":"user","content":"hi"}],"stream":true}"#;
pub(crate) const MESSAGES_STREAM: &str =
    r#"{"model":"claude-x","max_tokens":5,"messages":[{"role":"user","content":"hi"}],"stream":true}"#;

/// An answer of OpenAI's.
pub(crate) const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"ho"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#;

/// Both vendors at one address.
pub(crate) fn config(provider: SocketAddr) -> Value {
    json!({
        "providers": {
            "openai": {
                "keys": [{
                    "name": "first",
                    "value": "env.OPENAI_API_KEY",
                    "models": ["gpt-4o", "gpt-4o-mini"],
                    "weight": 1.0
                }],
                "network_config": { "base_url": format!("http://{provider}") }
            },
            "anthropic": {
                "keys": [{
                    "name": "second",
                    "value": "env.ANTHROPIC_API_KEY",
                    "models": ["claude-x"],
                    "weight": 1.0
                }],
                "network_config": { "base_url": format!("http://{provider}") }
            }
        }
    })
}

/// Sets a network setting of both vendors.
pub(crate) fn with_network(mut config: Value, name: &str, value: u64) -> Value {
    for provider in ["openai", "anthropic"] {
        config["providers"][provider]["network_config"][name] = json!(value);
    }
    config
}

/// A node before this provider.
pub(crate) fn node(upstream: &Upstream, driver: &str) -> Node {
    Node::start(&config(upstream.address).to_string(), driver)
}

/// Runs a test on each driver.
pub(crate) fn on_both(test: impl Fn(&str)) {
    for driver in DRIVERS {
        test(driver);
    }
}

/// A whole answer with this status, further field lines (each with its CRLF) and body.
pub(crate) fn answer(status: u16, fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Reason\r\n{fields}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// A 200 in JSON.
pub(crate) fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    answer(200, "content-type: application/json\r\n", body)
}

/// The head of a chunked event stream.
pub(crate) const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// One chunk.
pub(crate) fn chunk(data: impl AsRef<[u8]>) -> Vec<u8> {
    let data = data.as_ref();
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

/// One event of OpenAI's with this content.
pub(crate) fn event(content: &str) -> String {
    let delta = json!({ "index": 0, "delta": { "content": content }, "finish_reason": null });
    format!("data: {}\n\n", json!({ "id": "c1", "model": "gpt-4o", "choices": [delta] }))
}

/// A provider whose streams have two events, the second when it is let through; it answers whole requests at once.
pub(crate) fn streaming(gate: &Gate) -> Upstream {
    let gate = gate.clone();
    Upstream::start(move |line| {
        while let Some(request) = line.receive() {
            if !request.text().contains("\"stream\"") {
                line.send(ok(ANSWER));
                continue;
            }
            line.send(STREAM_HEAD);
            line.send(chunk(event("one")));
            if !gate.pass() {
                return;
            }
            line.send(chunk(event("two")));
            line.send(chunk("data: [DONE]\n\n"));
            line.send("0\r\n\r\n");
        }
    })
}

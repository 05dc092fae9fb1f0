//! Thoughts of another provider in a body that passes through: they go, the rest stays to the byte, and the caller is told.

use serde_json::json;

use crate::caller::{Caller, request};
use crate::setup::{ANSWER, MESSAGES, OPENAI_CHAT, ok, on_both};
use crate::support::node::Node;
use crate::support::upstream::Upstream;

const RESPONSES: &str = "/openai/v1/responses";
const GENERATE: &str = "/genai/v1beta/models/gemini-2.5-flash:generateContent";
const COUNT: &str = "/genai/v1beta/models/gemini-2.5-flash:countTokens";
const NAME: &str = "x-corelane-dropped-params";

fn start(upstream: &Upstream, driver: &str) -> Node {
    let provider = json!({
        "keys": [{ "name": "k", "value": "secret", "models": ["*"], "weight": 1.0 }],
        "network_config": { "base_url": format!("http://{}", upstream.address) }
    });
    let keyed = |name: &str| {
        let mut provider = provider.clone();
        provider["keys"][0]["name"] = json!(name);
        provider
    };
    let providers = json!({ "openai": keyed("o"), "anthropic": keyed("a"), "gemini": keyed("g") });
    Node::start(&json!({ "providers": providers }).to_string(), driver)
}

/// A path, a request whose foreign thought stands between `§`, and the name of what went.
const CASES: [(&str, &str, &str); 5] = [
    (
        MESSAGES,
        r#" {"fallbacks":[],"model":"anthropic/claude-x" , "messages":[{"role":"user","content":"a"},{"role":"assistant","content":[§{"type":"thinking","thinking":"t","signature":"corelaneOpenAi00QQ=="},§{"type":"text","text":"b"}]}],"x":1.50}"#,
        "messages.content.thinking",
    ),
    (
        OPENAI_CHAT,
        r#"{"messages":[{"role":"assistant","content":"b"§,"reasoning_details":[{"type":"reasoning.encrypted","data":"corelaneGemini00QQ"}]§}],"model":"openai/gpt-4o"}"#,
        "messages.reasoning_details",
    ),
    (
        RESPONSES,
        r#"{"model":"openai/gpt-4o","input":[§{"type":"reasoning","summary":[],"encrypted_content":"corelane.redacted:corelaneGemini00QQ"},§{"role":"user","content":"a"}]}"#,
        "input.reasoning",
    ),
    (
        GENERATE,
        r#"{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":{}}§,"thoughtSignature":"Y29yZWxhbmVPcGVuQWkwMFFR"§}]}]}"#,
        "contents.parts.thoughtSignature",
    ),
    (
        COUNT,
        r#"{"generateContentRequest":{"model":"models/gemini-2.5-flash","contents":[{"role":"model","parts":[{"text":"b"§,"thoughtSignature":"Y29yZWxhbmVPcGVuQWkwMFFR"§}]}]}}"#,
        "contents.parts.thoughtSignature",
    ),
];

fn cut(marked: &str) -> String {
    let kept: String = marked.split('§').step_by(2).collect();
    let kept = kept.replace(r#""fallbacks":[],"#, "");
    kept.replace("anthropic/claude-x", "claude-x").replace("openai/gpt-4o", "gpt-4o")
}

#[test]
fn what_another_provider_thought_does_not_go_up() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = start(&upstream, driver);
        let mut caller = Caller::new(&node);
        for (path, marked, name) in CASES {
            let answer = caller.post(path, marked.replace('§', ""));
            assert_eq!((answer.status, answer.value(NAME)), (200, Some(name)), "{path}");
            let received = upstream.last();
            assert_eq!(received.text(), cut(marked));
            assert_eq!(received.value("content-length"), cut(marked).len().to_string());
            // The same without one is left alone.
            let plain = cut(marked);
            let answer = caller.post(path, &plain);
            assert_eq!((answer.status, answer.value(NAME)), (200, None), "{path}");
            assert_eq!(upstream.last().text(), plain);
        }
    });
}

#[test]
fn a_long_body_is_searched_to_its_end() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = start(&upstream, driver);
        let mut caller = Caller::new(&node);
        let (path, marked, name) = CASES[0];
        let at = marked.find("\"corelane").unwrap() - "§".len();
        // Also across the edge of what is searched in one go.
        for length in [300 * 1024, 4 * 1024 * 1024 - at - 12, 4 * 1024 * 1024 - at - 4, 9 * 1024 * 1024] {
            let words = format!(r#""content":"{}""#, "x".repeat(length));
            let long = marked.replacen(r#""content":"a""#, &words, 1);
            caller.send(request(path, "", long.replace('§', "").as_bytes()));
            let answer = caller.answer();
            assert_eq!((answer.status, answer.value(NAME)), (200, Some(name)), "{length}");
            assert!(upstream.last().text() == cut(&long), "{length}");
        }
    });
}

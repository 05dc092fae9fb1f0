//! Parameters that no dialect knows: left out and named towards a provider of another one, or merged into its request where the
//! caller asks for that.

use serde_json::{Value, json};

use crate::caller::{Caller, request};
use crate::setup::{CHAT, MESSAGES, config, ok, on_both};
use crate::support::node::Node;
use crate::support::upstream::Upstream;

const CLAUDES: &str = r#"{"id":"m","type":"message","role":"assistant","content":[{"type":"text","text":"a"}],"model":"m","stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#;

#[test]
fn who_asks_for_it_brings_them_to_another_dialect() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(CLAUDES));
        let node = Node::start(&config(upstream.address).to_string(), driver);
        let mut caller = Caller::new(&node);
        let asked = json!({ "model": "anthropic/claude-x", "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 9,
            "logit_bias": {}, "magic": { "level": 2.50 }, "max_tokens_x": null,
            "thinking": { "display": "omitted" } });
        let mut ask = |fields: &str| {
            caller.send(request(CHAT, fields, asked.to_string()));
            let answer = caller.answer();
            assert_eq!(answer.status, 200, "{answer:?}");
            let dropped = answer.value("x-corelane-dropped-params").unwrap_or_default().to_owned();
            (serde_json::from_slice::<Value>(&upstream.last().body).unwrap(), dropped)
        };
        for fields in ["", "x-bf-passthrough-extra-params: no\r\n"] {
            let (sent, dropped) = ask(fields);
            assert_eq!(sent.get("magic"), None);
            assert_eq!(dropped, "logit_bias, magic, thinking");
        }
        let (sent, dropped) = ask("X-BF-Passthrough-Extra-Params: True\r\n");
        assert_eq!((&sent["magic"], sent.get("logit_bias")), (&json!({ "level": 2.5 }), None));
        assert_eq!((&sent["model"], &sent["max_tokens"]), (&json!("claude-x"), &json!(9)));
        assert!(!dropped.contains("magic") && dropped.contains("logit_bias"), "{dropped}");
        assert_eq!(sent["thinking"]["display"], "omitted", "{sent}");
    });
}

#[test]
fn what_the_translation_wrote_stays() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(crate::setup::ANSWER));
        let node = Node::start(&config(upstream.address).to_string(), driver);
        let mut caller = Caller::new(&node);
        let asked = r#"{"model":"openai/gpt-4o","max_tokens":5,"messages":[{"role":"user","content":"hi"}],"n":7,"response_format":{"type":"text"}}"#;
        caller.send(request(MESSAGES, "x-bf-passthrough-extra-params: true\r\n", asked));
        let answer = caller.answer();
        assert_eq!(answer.status, 200, "{answer:?}");
        let sent: Value = serde_json::from_slice(&upstream.last().body).unwrap();
        assert_eq!((&sent["model"], &sent["messages"][0]["content"]), (&json!("gpt-4o"), &json!("hi")));
        assert_eq!((&sent["n"], &sent["response_format"]["type"]), (&json!(7), &json!("text")));
    });
}

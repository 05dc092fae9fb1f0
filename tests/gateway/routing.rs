//! From a model's name to a provider and a key, as callers meet it.

use serde_json::{Value, json};

use crate::caller::{Answer, Caller};
use crate::setup::{ANSWER, CHAT, MESSAGES, OPENAI_CHAT, config, ok, on_both};
use crate::support::node::Node;
use crate::support::upstream::Upstream;

/// Both vendors, one that is not served, a key without a value, a model that two list.
fn mixed(upstream: &Upstream) -> Value {
    let mut config = config(upstream.address);
    let groq = json!({
        "keys": [{ "name": "g", "value": "env.GROQ_API_KEY", "models": ["llama", "gpt-4o"], "weight": 1 }],
        "network_config": { "base_url": format!("http://{}/openai/", upstream.address) }
    });
    config["providers"]["groq"] = groq;
    config["providers"]["deepgram"] = json!({ "keys": [{ "name": "c", "value": "env.DEEPGRAM_API_KEY", "models": ["nova-3"], "weight": 1 }] });
    config["providers"]["mistral"] = json!({ "keys": [{ "name": "keyless", "value": "env.MISSING_KEY", "models": ["small"], "weight": 1 }] });
    config
}

const VARIABLES: [(&str, &str); 4] = [
    ("OPENAI_API_KEY", "sk-openai-under-test"),
    ("ANTHROPIC_API_KEY", "sk-ant-under-test"),
    ("GROQ_API_KEY", "sk-groq-under-test"),
    ("DEEPGRAM_API_KEY", "sk-deepgram-under-test"),
];

fn ask(node: &Node, path: &str, model: &str) -> Answer {
    Caller::new(node).post(path, json!({ "model": model, "messages": [] }).to_string())
}

#[test]
fn a_name_leads_to_its_provider() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = Node::try_start(&mixed(&upstream).to_string(), driver, &VARIABLES).unwrap();
        for (path, model, line, wire, credential) in [
            (
                CHAT,
                "llama",
                "POST /openai/v1/chat/completions HTTP/1.1",
                "llama",
                "Bearer sk-groq-under-test",
            ),
            (
                CHAT,
                "GROQ/llama",
                "POST /openai/v1/chat/completions HTTP/1.1",
                "llama",
                "Bearer sk-groq-under-test",
            ),
            (
                CHAT,
                "groq/gpt-4o",
                "POST /openai/v1/chat/completions HTTP/1.1",
                "gpt-4o",
                "Bearer sk-groq-under-test",
            ),
            (
                CHAT,
                "gpt-4o-mini",
                "POST /v1/chat/completions HTTP/1.1",
                "gpt-4o-mini",
                "Bearer sk-openai-under-test",
            ),
            (
                OPENAI_CHAT,
                "gpt-4o",
                "POST /v1/chat/completions HTTP/1.1",
                "gpt-4o",
                "Bearer sk-openai-under-test",
            ),
        ] {
            assert_eq!(ask(&node, path, model).status, 200, "{model}");
            let received = upstream.last();
            let body: Value = serde_json::from_slice(&received.body).unwrap();
            assert_eq!((received.head.lines().next(), &body["model"]), (Some(line), &json!(wire)));
            assert_eq!(received.value("authorization"), credential);
        }
        assert_eq!(ask(&node, MESSAGES, "claude-x").status, 200);
    });
}

#[test]
fn a_name_that_leads_nowhere_is_explained() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = Node::try_start(&mixed(&upstream).to_string(), driver, &VARIABLES).unwrap();
        for (path, model, code, words) in [
            (CHAT, "gpt-4o", "model_not_found", ["groq/gpt-4o", "openai/gpt-4o"].as_slice()),
            (CHAT, "unheard-of", "model_not_found", &["\"unheard-of\"", "provider/model"]),
            (CHAT, "nobody/unheard-of", "model_not_found", &["\"nobody/unheard-of\""]),
            (CHAT, "gemini/flash", "provider_not_configured", &["gemini", "openai", "anthropic"]),
            (CHAT, "xai/grok", "provider_not_configured", &["xai"]),
            (CHAT, "deepgram/nova-3", "provider_not_supported", &["deepgram/nova-3"]),
            (CHAT, "nova-3", "provider_not_supported", &["nova-3"]),
            (CHAT, "openai/gpt-9", "no_key_for_model", &["gpt-9", "openai"]),
            (OPENAI_CHAT, "gpt-9", "no_key_for_model", &["gpt-9", "openai"]),
            (CHAT, "mistral/small", "no_key_for_model", &["keyless", "MISSING_KEY"]),
            (CHAT, "small", "no_key_for_model", &["keyless", "MISSING_KEY"]),
        ] {
            let answer = ask(&node, path, model);
            assert_eq!((answer.status, &*answer.code()), (400, code), "{model}: {}", answer.text());
            let body = answer.json();
            let message = body["error"]["message"].as_str().unwrap();
            assert!(words.iter().all(|word| message.contains(word)), "{message}");
            assert_eq!(body["error"]["param"], "model");
            assert!(!message.contains("under-test"));
        }
        let long = ask(&node, CHAT, &"ä".repeat(100_000));
        assert!(long.status == 400 && long.body.len() < 300_000, "{}", long.body.len());
        assert_eq!(upstream.connections(), 0);
        let warned = node.said();
        assert!(warned.len() < 50, "a caller's fault is no reason to fill the log: {}", warned.len());
    });
}

#[test]
fn keys_are_drawn_by_weight() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let mut config = config(upstream.address);
        let key = |name: &str, weight: f64, models: Value| json!({ "name": name, "value": format!("sk-of-{name}"), "models": models, "weight": weight });
        config["providers"]["openai"]["keys"] = json!([
            key("three", 3.0, json!(["gpt-4o"])),
            key("one", 1.0, json!(["gpt-4o", "alone"])),
            key("never", 0.0, json!(["gpt-4o", "last-resort"])),
            key("other", 50.0, json!(["gpt-4o-mini"])),
        ]);
        let node = Node::start(&config.to_string(), driver);
        let mut caller = Caller::new(&node);
        for _ in 0..400 {
            assert_eq!(caller.post(CHAT, r#"{"model":"openai/gpt-4o"}"#).status, 200);
        }
        let of = |name: &str| {
            let wanted = format!("Bearer sk-of-{name}");
            upstream.requests().iter().filter(|request| request.value("authorization") == wanted).count()
        };
        // 300 expected; 8.7 is one standard deviation.
        assert!((250..=350).contains(&of("three")), "{}", of("three"));
        assert_eq!((of("three") + of("one"), of("never"), of("other")), (400, 0, 0));
        assert_eq!(caller.post(CHAT, r#"{"model":"openai/last-resort"}"#).status, 200);
        assert_eq!((of("never"), caller.post(CHAT, r#"{"model":"alone"}"#).status), (1, 200));
        assert_eq!(upstream.last().value("authorization"), "Bearer sk-of-one");
    });
}

#[test]
fn an_alias_is_sent_under_its_own_name() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let mut config = config(upstream.address);
        config["providers"]["openai"]["keys"][0]["aliases"] = json!({ "smart": "ft:gpt-4o:\"x\"" });
        let node = Node::start(&config.to_string(), driver);
        let mut caller = Caller::new(&node);
        assert_eq!(caller.post(CHAT, r#"{"a":1,"model":"smart","z":2}"#).status, 200);
        assert_eq!(upstream.last().text(), r#"{"a":1,"model":"ft:gpt-4o:\"x\"","z":2}"#);
    });
}

//! Custom providers: what `allowed_requests` forbids is refused before anything is sent, `request_path_overrides` are where
//! requests go. And a node whose keys have no value: it starts, and says which are missing.

use serde_json::{Value, json};

use crate::caller::Caller;
use crate::setup::{ANSWER, CHAT, MESSAGES, STREAM_HEAD, answer, chunk, config, event, ok, on_both};
use crate::support::node::Node;
use crate::support::upstream::Upstream;

/// One custom provider, `own`, of a base type and with a key that allows everything.
fn own(upstream: &Upstream, base: &str, custom: &Value) -> Value {
    let mut custom = custom.clone();
    custom["base_provider_type"] = base.into();
    json!({
        "providers": {
            "own": {
                "keys": [{ "name": "k", "value": "env.OPENAI_API_KEY", "models": ["*"], "aliases": { "named": "m" } }],
                "network_config": { "base_url": format!("http://{}/base/v1", upstream.address) },
                "custom_provider_config": custom
            }
        }
    })
}

fn ask(stream: bool) -> String {
    json!({ "model": "own/m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}], "stream": stream })
        .to_string()
}

#[test]
fn what_is_not_allowed_is_refused_in_the_callers_dialect() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let allowed = json!({ "allowed_requests": { "chat_completion": true, "responses": true } });
        let node = Node::start(&own(&upstream, "openai", &allowed).to_string(), driver);
        let mut caller = Caller::new(&node);
        let words = "chat_completion_stream is not supported by own provider";
        let refused = caller.post(CHAT, ask(true));
        assert_eq!((refused.status, &*refused.code()), (400, "unsupported_operation"), "{}", refused.text());
        assert_eq!(refused.json()["error"]["message"], words);
        let refused = caller.post(MESSAGES, ask(true));
        assert_eq!(refused.status, 400);
        assert_eq!(refused.json()["type"], "error");
        assert_eq!(refused.json()["error"]["type"], "invalid_request_error");
        assert_eq!(refused.json()["error"]["message"], words);
        assert_eq!(upstream.connections(), 0);
        assert_eq!(caller.post(CHAT, ask(false)).status, 200);
        assert_eq!(upstream.requests().len(), 1);
    });
}

#[test]
fn a_whole_answer_may_be_refused_and_a_stream_allowed() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while line.receive().is_some() {
                line.send(STREAM_HEAD);
                line.send(chunk(event("ho")));
                line.send(chunk("data: [DONE]\n\n"));
                line.send("0\r\n\r\n");
            }
        });
        let allowed = json!({ "allowed_requests": { "chat_completion_stream": true } });
        let node = Node::start(&own(&upstream, "openai", &allowed).to_string(), driver);
        let mut caller = Caller::new(&node);
        let refused = caller.post(CHAT, ask(false));
        assert_eq!((refused.status, &*refused.code()), (400, "unsupported_operation"));
        assert_eq!(refused.json()["error"]["message"], "chat_completion is not supported by own provider");
        let streamed = caller.post(CHAT, ask(true));
        assert!(streamed.status == 200 && streamed.text().contains("ho"), "{}", streamed.text());
    });
}

#[test]
fn a_list_that_is_not_allowed_is_not_asked_for() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(r#"{"data":[{"id":"listed"}]}"#));
        for (custom, expected) in [
            (json!({}), &["own/named", "own/listed"][..]),
            (json!({ "allowed_requests": { "list_models": true } }), &["own/named", "own/listed"]),
            (json!({ "allowed_requests": { "chat_completion": true } }), &["own/named"]),
        ] {
            let before = upstream.requests().len();
            let node = Node::start_on(&own(&upstream, "openai", &custom).to_string(), driver, 1);
            let body = Caller::new(&node).get("/v1/models").json();
            let ids: Vec<_> =
                body["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
            assert_eq!(ids, expected, "{custom}");
            assert_eq!(upstream.requests().len() - before, expected.len() - 1);
        }
    });
}

#[test]
fn requests_go_where_the_overrides_say() {
    on_both(|driver| {
        let overrides = json!({ "request_path_overrides": {
            "chat_completion": "/talk?api-version=1",
            "chat_completion_stream": "v1/talk/stream",
            "list_models": "/catalogue/"
        }});
        for (base, paths) in [("openai", &[CHAT][..]), ("anthropic", &[CHAT, MESSAGES])] {
            let upstream = Upstream::answering(answer(400, "content-type: application/json\r\n", "{}"));
            let node = Node::start_on(&own(&upstream, base, &overrides).to_string(), driver, 1);
            let mut caller = Caller::new(&node);
            for path in paths {
                for (stream, line) in [
                    (false, "POST /base/talk?api-version=1 HTTP/1.1"),
                    (true, "POST /base/v1/talk/stream HTTP/1.1"),
                ] {
                    assert_eq!(caller.post(path, ask(stream)).status, 400);
                    assert_eq!(upstream.last().head.lines().next(), Some(line));
                }
            }
            assert_eq!(caller.get("/v1/models").status, 200);
            assert_eq!(upstream.last().head.lines().next(), Some("GET /base/catalogue/ HTTP/1.1"));
        }
    });
}

#[test]
fn a_node_without_a_usable_key_starts_and_names_what_is_missing() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = Node::try_start(&config(upstream.address).to_string(), driver, &[("OPENAI_API_KEY", "")])
            .unwrap();
        let mut caller = Caller::new(&node);
        for (path, body, key, variable) in [
            (CHAT, r#"{"model":"openai/gpt-4o"}"#, "key first", "OPENAI_API_KEY"),
            (MESSAGES, r#"{"model":"claude-x"}"#, "key second", "ANTHROPIC_API_KEY"),
        ] {
            let refused = caller.post(path, body);
            assert_eq!(refused.status, 400);
            let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.contains(key) && message.contains(variable), "{message}");
        }
        assert_eq!(caller.get("/v1/models").json()["data"], json!([]));
        assert_eq!(upstream.connections(), 0);
    });
}

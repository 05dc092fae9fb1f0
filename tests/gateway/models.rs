//! The list of models: what the config names, and what providers with open keys list, asked for once a minute.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::caller::Caller;
use crate::setup::{answer, config, node, ok, on_both};
use crate::support::node::{Node, eventually, free_address};
use crate::support::upstream::Upstream;

fn ids(body: &Value) -> Vec<String> {
    body["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn named_models_are_listed_without_asking() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok("{}"));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        let expected = ["anthropic/claude-x", "openai/gpt-4o", "openai/gpt-4o-mini"];
        for path in ["/v1/models", "/openai/v1/models", "/openai/models", "/anthropic/v1/models"] {
            let answer = caller.get(path);
            let body = answer.json();
            assert_eq!((answer.status, answer.value("content-type")), (200, Some("application/json")));
            assert_eq!(ids(&body), expected, "{path}");
            if path.starts_with("/anthropic") {
                assert_eq!((&body["has_more"], &body["data"][0]["type"]), (&json!(false), &json!("model")));
            } else {
                assert_eq!((&body["object"], &body["data"][0]["object"]), (&json!("list"), &json!("model")));
                assert_eq!(body["data"][1]["owned_by"], "openai");
            }
        }
        assert_eq!(upstream.connections(), 0);
    });
}

#[test]
fn an_open_keys_list_is_asked_for_once() {
    on_both(|driver| {
        let upstream =
            Upstream::answering(ok(r#"{"object":"list","data":[{"id":"b"},{"id":"a"},{"id":"b"}]}"#));
        let mut config = config(upstream.address);
        config["providers"]["openai"]["keys"][0]["models"] = json!(["*"]);
        let node = Node::start_on(&config.to_string(), driver, 1);
        for _ in 0..3 {
            let body = Caller::new(&node).get("/v1/models").json();
            assert_eq!(ids(&body), ["anthropic/claude-x", "openai/b", "openai/a"]);
        }
        let received = upstream.requests();
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].head.lines().next(), Some("GET /v1/models HTTP/1.1"));
        assert_eq!(received[0].value("authorization"), "Bearer sk-openai-under-test");
        assert_eq!((received[0].values("content-length"), received[0].body.len()), (vec![], 0));
    });
}

#[test]
fn a_provider_that_fails_is_left_out_and_asked_again() {
    on_both(|driver| {
        let asked = AtomicUsize::new(0);
        let upstream = Upstream::start(move |line| {
            while line.receive().is_some() {
                match asked.fetch_add(1, Ordering::SeqCst) {
                    0 => line.send(answer(500, "content-type: application/json\r\n", "{}")),
                    1 => line.send(ok("[not a list")),
                    2 => return,
                    _ => line.send(ok(r#"{"data":[{"id":"late"}]}"#)),
                }
            }
        });
        let mut config = config(upstream.address);
        config["providers"]["anthropic"]["network_config"]["base_url"] =
            format!("http://{}", free_address()).into();
        for provider in ["openai", "anthropic"] {
            config["providers"][provider]["keys"][0]["models"] = json!(["*"]);
        }
        let node = Node::start_on(&config.to_string(), driver, 1);
        let lists = Mutex::new(Vec::new());
        for _ in 0..4 {
            let answer = Caller::new(&node).get("/v1/models");
            assert_eq!(answer.status, 200);
            lists.lock().unwrap().push(ids(&answer.json()));
        }
        let none: [&str; 0] = [];
        let lists = lists.into_inner().unwrap();
        assert_eq!(
            (&lists[0][..], &lists[1][..]),
            (&none.map(String::from)[..], &none.map(String::from)[..])
        );
        assert_eq!(lists[3], ["openai/late"], "{lists:?}");
    });
}

#[test]
fn a_key_that_a_provider_quotes_stays_out_of_the_log() {
    on_both(|driver| {
        let body = r#"{"error":{"message":"Incorrect API key: sk-openai-under-test.","code":"sk-openai-under-test"}}"#;
        let upstream = Upstream::answering(answer(401, "content-type: application/json\r\n", body));
        let mut config = config(upstream.address);
        config["providers"]["openai"]["keys"][0]["models"] = json!(["*"]);
        let node = Node::start_on(&config.to_string(), driver, 1);
        assert_eq!(Caller::new(&node).get("/v1/models").status, 200);
        let mut said = Vec::new();
        eventually("it says that the list is left out", || {
            said.extend(node.said());
            said.iter().any(|line| line.contains("left out")).then_some(())
        });
        let said = said.join("\n");
        assert!(said.contains("Incorrect API key: ****"), "{said}");
        assert!(!said.contains("sk-openai-under-test"), "{said}");
    });
}

#[test]
fn a_key_without_a_value_lists_nothing() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok("{}"));
        let variables = [("OPENAI_API_KEY", "sk-openai-under-test")];
        let node = Node::try_start(&config(upstream.address).to_string(), driver, &variables).unwrap();
        assert_eq!(
            ids(&Caller::new(&node).get("/v1/models").json()),
            ["openai/gpt-4o", "openai/gpt-4o-mini"]
        );
    });
}

#[test]
fn one_model_is_that_of_the_list() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(r#"{"data":[{"id":"a/b"}]}"#));
        let mut config = config(upstream.address);
        config["providers"]["openai"]["keys"][0]["models"] = json!(["*"]);
        config["providers"]["openai"]["keys"][0]["aliases"] = json!({ "gpt-4o": "x" });
        let node = Node::start_on(&config.to_string(), driver, 1);
        let mut caller = Caller::new(&node);
        for (path, id) in [
            ("/v1/models/openai/gpt-4o", "openai/gpt-4o"),
            ("/v1/models/gpt-4o", "openai/gpt-4o"),
            ("/v1/models/openai%2Fa%2fb?x=y", "openai/a/b"),
            ("/openai/v1/models/a/b", "openai/a/b"),
            ("/openai/models/anthropic/claude-x", "anthropic/claude-x"),
            ("/anthropic/v1/models/claude-x", "anthropic/claude-x"),
            ("/pydanticai/models/claude-x", "anthropic/claude-x"),
        ] {
            let answer = caller.get(path);
            let body = answer.json();
            assert_eq!((answer.status, &body["id"]), (200, &json!(id)), "{path}: {body}");
            let list = caller.get("/v1/models").json();
            if path.starts_with("/anthropic") {
                assert_eq!((&body["type"], &body["display_name"]), (&json!("model"), &json!(id)));
            } else {
                let (object, owner) = (&body["object"], body["owned_by"].as_str().unwrap());
                assert_eq!(object, "model");
                assert!(ids(&list).contains(&id.to_owned()) && id.starts_with(owner), "{body}");
            }
        }
        let missing = caller.get("/v1/models/openai/gpt-5");
        assert_eq!((missing.status, &*missing.code()), (404, "not_found"));
        assert_eq!((&missing.json()["error"]["param"], upstream.requests().len()), (&json!("model"), 1));
        let missing = caller.get("/openai/models/claude-x");
        assert_eq!((missing.status, missing.json().get("is_bifrost_error")), (404, None));
        let missing = caller.get("/anthropic/v1/models/a/b").json();
        assert_eq!(
            (&missing["type"], &missing["error"]["type"]),
            (&json!("error"), &json!("not_found_error"))
        );
        caller.send("POST /v1/models/gpt-4o HTTP/1.1\r\nhost: test\r\n\r\n");
        let refused = caller.answer();
        assert_eq!((refused.status, refused.value("allow")), (405, Some("GET, HEAD, OPTIONS")));
        let page = caller.get("/metrics").text().to_owned();
        assert!(page.contains(r#"path="/v1/models/{model}",method="GET",status="404"} 1"#), "{page}");
    });
}

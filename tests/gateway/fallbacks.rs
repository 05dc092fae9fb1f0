//! Elsewhere: fallbacks of the request and of the config, tried when what was before them failed, in either dialect, whole and
//! streamed; what providers get of them; whose failure the caller is told of when all have failed.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::caller::{Answer, Caller, request};
use crate::script::{Act, acting, judging, key_of, keys_of, nobody, provider, providers};
use crate::setup::{ANSWER, ASK, ASK_STREAM, CHAT, MESSAGES, MESSAGES_STREAM, OPENAI_CHAT, on_both};
use crate::support::node::Node;
use crate::support::upstream::Upstream;

/// OpenAI, Anthropic and Groq (which speaks as OpenAI does), each at its own, without retries.
struct Three {
    openai: Upstream,
    anthropic: Upstream,
    groq: Upstream,
}

impl Three {
    fn new(openai: Act, anthropic: Act, groq: Act) -> Self {
        Self { openai: acting([openai]), anthropic: acting([anthropic]), groq: acting([groq]) }
    }

    fn config(&self) -> Value {
        providers(&[
            ("openai", provider(self.openai.address, &["one"], 0)),
            ("anthropic", provider(self.anthropic.address, &["two"], 0)),
            ("groq", provider(self.groq.address, &["three"], 0)),
        ])
    }

    fn node(&self, driver: &str) -> Node {
        Node::start(&self.config().to_string(), driver)
    }

    /// How often each was asked.
    fn asked(&self) -> [usize; 3] {
        [&self.openai, &self.anthropic, &self.groq].map(|upstream| upstream.requests().len())
    }
}

fn with(ask: &str, fallbacks: &Value) -> String {
    let mut ask: Value = serde_json::from_str(ask).unwrap();
    ask["fallbacks"] = fallbacks.clone();
    ask.to_string()
}

fn said(answer: &Answer) -> [&str; 2] {
    ["x-corelane-provider", "x-corelane-attempts"].map(|name| answer.value(name).unwrap())
}

/// A stream of Anthropic's.
fn claude_stream() -> Act {
    let event = |kind: &str, data: Value| {
        let mut data = data;
        data["type"] = json!(kind);
        format!("event: {kind}\ndata: {data}\n\n")
    };
    let message = json!({ "id": "m1", "type": "message", "role": "assistant", "model": "claude-x", "content": [], "stop_reason": null, "usage": { "input_tokens": 3, "output_tokens": 1 } });
    let text = json!({ "index": 0, "delta": { "type": "text_delta", "text": "from claude" } });
    let events = [
        event("message_start", json!({ "message": message })),
        event("content_block_start", json!({ "index": 0, "content_block": { "type": "text", "text": "" } })),
        event("content_block_delta", text),
        event("content_block_stop", json!({ "index": 0 })),
        event(
            "message_delta",
            json!({ "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 4 } }),
        ),
        event("message_stop", json!({})),
    ];
    let fields = "content-type: text/event-stream\r\n";
    Act::Answer(crate::setup::answer(200, fields, events.concat()))
}

#[test]
fn names_and_objects_are_tried_in_their_order() {
    on_both(|driver| {
        for fallbacks in [
            json!(["groq/llama", "anthropic/claude-x"]),
            json!([{ "provider": "groq", "model": "llama" }, { "provider": "anthropic", "model": "claude-x" }]),
            json!([{ "model": "groq/llama" }]),
            json!(["nowhere/x", "bare", "", { "provider": "none", "model": "y" }, "groq/llama"]),
        ] {
            let three = Three::new(Act::error(503), Act::claude(), Act::good());
            let node = three.node(driver);
            let answer = Caller::new(&node).post(CHAT, with(ASK, &fallbacks));
            assert_eq!((answer.status, answer.text()), (200, ANSWER), "{fallbacks}");
            assert_eq!((said(&answer), three.asked()), (["groq", "2"], [1, 0, 1]), "{fallbacks}");
            let trail = answer.value("x-corelane-attempt-trail");
            assert_eq!(trail, Some("openai/one 503, groq/three 200"));
            for (upstream, model) in [(&three.openai, "gpt-4o"), (&three.groq, "llama")] {
                let body: Value = serde_json::from_slice(&upstream.last().body).unwrap();
                let expected = json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] });
                assert_eq!(body, expected, "what providers get");
            }
        }
    });
}

#[test]
fn a_fallback_may_be_of_another_dialect() {
    on_both(|driver| {
        let to_claude = json!(["anthropic/claude-x"]);
        let three = Three::new(Act::error(500), Act::claude(), Act::good());
        let node = three.node(driver);
        let answer = Caller::new(&node).post(OPENAI_CHAT, with(&ASK.replace("openai/", ""), &to_claude));
        assert_eq!((answer.status, said(&answer)), (200, ["anthropic", "2"]), "{}", answer.text());
        assert_eq!(answer.json()["choices"][0]["message"]["content"], "ho");
        let asked: Value = serde_json::from_slice(&three.anthropic.last().body).unwrap();
        assert_eq!((&asked["model"], &asked["fallbacks"]), (&json!("claude-x"), &Value::Null));
        let text = json!([{ "type": "text", "text": "hi" }]);
        assert_eq!(asked["messages"], json!([{ "role": "user", "content": text }]));
        // And on to one that speaks as the caller does: from its own words, not from a translation of them.
        let three = Three::new(Act::Reset(vec![]), Act::error(529), Act::good());
        let node = three.node(driver);
        let ask = with(ASK, &json!(["anthropic/claude-y", "groq/llama"])).replace("\"hi\"", "\"h\\u0069\"");
        let answer = Caller::new(&node).post(CHAT, &ask);
        assert_eq!((answer.status, answer.text(), said(&answer)), (200, ANSWER, ["groq", "3"]));
        assert!(three.groq.last().text().contains("h\\u0069"), "{}", three.groq.last().text());
        assert_eq!(three.asked(), [1, 1, 1]);
    });
}

/// Anthropic's callers are served by the others, at first hand and as a fallback, whole and streamed.
#[test]
fn callers_of_messages_reach_providers_of_the_other_dialect() {
    on_both(|driver| {
        let three = Three::new(Act::good(), Act::error(529), Act::stream());
        let node = three.node(driver);
        let ask = MESSAGES_STREAM.replace(",\"stream\":true", ",\"top_k\":7");
        let first = ask.replace("claude-x", "openai/gpt-4o");
        for (ask, attempts) in [(first, "1"), (with(&ask, &json!(["openai/gpt-4o"])), "2")] {
            let answer = Caller::new(&node).post(MESSAGES, ask);
            assert_eq!((answer.status, said(&answer)), (200, ["openai", attempts]), "{}", answer.text());
            assert_eq!(answer.value("x-corelane-dropped-params"), Some("top_k"));
            let told = answer.json();
            assert_eq!(told["content"], json!([{ "type": "text", "text": "ho" }]));
            assert_eq!((&told["type"], &told["stop_reason"]), (&json!("message"), &json!("end_turn")));
            assert_eq!(
                (&told["usage"]["input_tokens"], &told["usage"]["output_tokens"]),
                (&json!(3), &json!(4))
            );
            let asked: Value = serde_json::from_slice(&three.openai.last().body).unwrap();
            let expected = json!({ "model": "gpt-4o", "max_completion_tokens": 5, "messages": [{ "role": "user", "content": "hi" }] });
            assert_eq!(asked, expected);
        }
        let streamed = MESSAGES_STREAM.replace("claude-x", "groq/llama");
        for (ask, attempts) in [(streamed, "1"), (with(MESSAGES_STREAM, &json!(["groq/llama"])), "2")] {
            let answer = Caller::new(&node).post(MESSAGES, ask);
            assert_eq!((answer.status, said(&answer)), (200, ["groq", attempts]), "{}", answer.text());
            let text = answer.text();
            assert!(text.starts_with("event: message_start\n"), "{text}");
            assert!(text.contains(r#"{"type":"text_delta","text":"two"}"#), "{text}");
            assert!(text.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"), "{text}");
            let asked: Value = serde_json::from_slice(&three.groq.last().body).unwrap();
            assert_eq!((&asked["max_tokens"], &asked["stream"]), (&json!(5), &json!(true)));
            assert_eq!(asked["stream_options"], json!({ "include_usage": true }));
        }
    });
}

/// What a provider's dialect has no word for, and must not be left out: nobody is asked but a fallback that has one.
#[test]
fn what_cannot_be_translated_is_refused_by_name() {
    on_both(|driver| {
        let three = Three::new(Act::good(), claude_stream(), Act::good());
        let mut ask: Value = serde_json::from_str(MESSAGES_STREAM).unwrap();
        ask["tools"] = json!([{ "type": "bash_20250124", "name": "bash" }]);
        ask["model"] = json!("openai/gpt-4o");
        let answer = Caller::new(&three.node(driver)).post(MESSAGES, ask.to_string());
        assert_eq!((answer.status, said(&answer)), (400, ["openai", "1"]), "{}", answer.text());
        assert!(answer.text().contains("`tools[0]` is of type `bash_20250124`"), "{}", answer.text());
        assert_eq!(three.asked(), [0, 0, 0]);
        let ask = with(&ask.to_string(), &json!(["groq/llama", "anthropic/claude-x"]));
        let answer = Caller::new(&three.node(driver)).post(MESSAGES, ask);
        assert_eq!((answer.status, said(&answer)), (200, ["anthropic", "3"]), "{}", answer.text());
        assert_eq!(three.asked(), [0, 1, 0]);
        let ask = with(&ASK.replace("}]}", "}],\"n\":2}"), &json!(["openai/gpt-4o"]));
        let ask = ask.replace("\"model\":\"openai/gpt-4o\"", "\"model\":\"anthropic/claude-x\"");
        let answer = Caller::new(&three.node(driver)).post(CHAT, ask);
        assert_eq!((answer.status, said(&answer)), (200, ["openai", "2"]), "{}", answer.text());
    });
}

#[test]
fn streams_fall_back_too() {
    on_both(|driver| {
        for failure in
            [Act::error(503), Act::Reset(vec![]), Act::error(404), Act::error(429), Act::error(401)]
        {
            let three = Three::new(failure, claude_stream(), Act::stream());
            let answer =
                Caller::new(&three.node(driver)).post(CHAT, with(ASK_STREAM, &json!(["groq/llama"])));
            assert_eq!((answer.status, said(&answer), answer.is_whole), (200, ["groq", "2"], true));
            assert!(
                answer.text().contains("two") && answer.text().ends_with("[DONE]\n\n"),
                "{}",
                answer.text()
            );
            let node = three.node(driver);
            let answer = Caller::new(&node).post(CHAT, with(ASK_STREAM, &json!(["anthropic/claude-x"])));
            assert_eq!((answer.status, said(&answer)), (200, ["anthropic", "2"]), "{}", answer.text());
            let text = answer.text();
            assert!(text.contains("from claude") && text.ends_with("data: [DONE]\n\n"), "{text}");
        }
    });
}

#[test]
fn nothing_is_tried_for_what_the_caller_did_wrong() {
    on_both(|driver| {
        for status in [400, 413, 415, 422] {
            let three = Three::new(Act::error(status), Act::claude(), Act::good());
            let answer = Caller::new(&three.node(driver)).post(CHAT, with(ASK, &json!(["groq/llama"])));
            assert_eq!((answer.status, said(&answer)), (status, ["openai", "1"]));
            assert_eq!(three.asked(), [1, 0, 0]);
        }
        // What is not there may be elsewhere.
        let three = Three::new(Act::error(404), Act::claude(), Act::good());
        let answer = Caller::new(&three.node(driver)).post(CHAT, with(ASK, &json!(["groq/llama"])));
        assert_eq!((answer.status, said(&answer)), (200, ["groq", "2"]));
    });
}

#[test]
fn when_all_fail_the_primarys_failure_is_told() {
    on_both(|driver| {
        let fallbacks = json!(["anthropic/claude-x", "groq/llama"]);
        let limited = Act::error_with(429, "retry-after: 3\r\n");
        let three = Three::new(limited, Act::error(400), Act::Reset(vec![]));
        let config = crate::client_ip::logged(three.config()).to_string();
        for ask in [ASK, ASK_STREAM] {
            let mut node = Node::start(&config, driver);
            let answer = Caller::new(&node).post(CHAT, with(ask, &fallbacks));
            assert_eq!((answer.status, &*answer.code(), answer.value("retry-after")), (429, "c", Some("3")));
            assert_eq!((said(&answer), answer.value("x-corelane-key")), (["openai", "3"], Some("one")));
            let trail = answer.value("x-corelane-attempt-trail").unwrap();
            assert_eq!(trail, "openai/one 429, anthropic/two 400, groq/three upstream_unreachable");
            assert_eq!(answer.json()["extra_fields"]["provider"], "openai", "{}", answer.text());
            let query =
                "SELECT provider || ' ' || model || ' ' || selected_key_name || ' ' || status_code FROM logs";
            assert_eq!(crate::client_ip::rows(&mut node, query), ["openai gpt-4o one 429"]);
        }
    });
}

#[test]
fn the_primarys_refused_keys_are_told_when_all_fail() {
    on_both(|driver| {
        let three = Three::new(Act::error(401), Act::claude(), Act::error(503));
        let answer = Caller::new(&three.node(driver)).post(CHAT, with(ASK, &json!(["groq/llama"])));
        assert_eq!((answer.status, &*answer.code()), (502, "provider_credentials_exhausted"));
        assert_eq!(said(&answer), ["openai", "2"]);
    });
}

/// One key cools, the other is refused, and the fallback fails: the one that cools is asked before the caller is told that
/// there is nobody.
#[test]
fn a_key_that_was_passed_over_for_a_fallback_comes_last() {
    on_both(|driver| {
        let limits = AtomicUsize::new(1);
        let openai = judging(move |request| match key_of(request).as_str() {
            "one" if limits.swap(0, Ordering::SeqCst) > 0 => Act::error_with(429, "retry-after: 60\r\n"),
            "one" => Act::good(),
            _ => Act::error(401),
        });
        let groq = acting([Act::error(503)]);
        let config = providers(&[
            ("openai", provider(openai.address, &["one", "two"], 0)),
            ("groq", provider(groq.address, &["three"], 0)),
        ]);
        let node = Node::start_on(&config.to_string(), driver, 1);
        let mut caller = Caller::new(&node);
        caller.send(request(CHAT, "x-bf-api-key: one\r\n", ASK));
        let limited = caller.answer();
        assert_eq!(limited.status, 429, "{}", limited.text());
        let answer = Caller::new(&node).post(CHAT, with(ASK, &json!(["groq/llama"])));
        assert_eq!((answer.status, answer.value("x-corelane-key")), (200, Some("one")), "{}", answer.text());
        assert_eq!(said(&answer), ["openai", "3"]);
        assert_eq!(
            (keys_of(&openai), groq.requests().len()),
            (["one", "two", "one"].map(str::to_owned).to_vec(), 1)
        );
    });
}

#[test]
fn each_fallback_has_its_own_retries() {
    on_both(|driver| {
        let (openai, groq) = (nobody(), acting([Act::error(500), Act::error(500), Act::good()]));
        let config = providers(&[
            ("openai", provider(openai, &["one"], 1)),
            ("groq", provider(groq.address, &["three"], 2)),
        ]);
        let node = Node::start(&config.to_string(), driver);
        let answer = Caller::new(&node).post(CHAT, with(ASK, &json!(["groq/llama"])));
        assert_eq!((answer.status, said(&answer)), (200, ["groq", "5"]), "{}", answer.text());
        assert_eq!(groq.requests().len(), 3);
    });
}

#[test]
fn the_configs_fallbacks_are_used_unless_the_request_says_otherwise() {
    on_both(|driver| {
        let three = Three::new(Act::error(503), Act::claude(), Act::good());
        let mut config = three.config();
        config["providers"]["openai"]["fallbacks"] =
            json!({ "gpt-4o": ["groq/llama"], "*": ["anthropic/claude-x"] });
        let node = Node::start(&config.to_string(), driver);
        let served = |ask: &str| {
            let answer = Caller::new(&node).post(CHAT, ask);
            (answer.status, answer.value("x-corelane-provider").unwrap().to_owned())
        };
        assert_eq!(served(ASK), (200, "groq".into()));
        assert_eq!(served(&with(ASK, &Value::Null)), (200, "groq".into()));
        assert_eq!(served(&ASK.replace("gpt-4o", "gpt-5")), (200, "anthropic".into()));
        assert_eq!(served(&with(ASK, &json!(["anthropic/claude-x"]))), (200, "anthropic".into()));
        assert_eq!(served(&with(ASK, &json!([]))), (503, "openai".into()));
    });
}

#[test]
fn a_pin_binds_the_primary_and_whoever_has_the_key() {
    on_both(|driver| {
        let three = Three::new(Act::error(503), Act::claude(), Act::good());
        let mut config = three.config();
        let mut more = provider(three.groq.address, &["four"], 0);
        config["providers"]["groq"]["keys"]
            .as_array_mut()
            .unwrap()
            .append(more["keys"].as_array_mut().unwrap());
        let node = Node::start(&config.to_string(), driver);
        let mut caller = Caller::new(&node);
        for _ in 0..6 {
            caller.send(request(CHAT, "x-bf-api-key: one\r\n", with(ASK, &json!(["groq/llama"]))));
            assert_eq!(said(&caller.answer()), ["groq", "2"]);
        }
        assert!(three.openai.requests().iter().all(|request| key_of(request) == "one"));
        caller.send(request(CHAT, "x-bf-api-key: four\r\n", with(ASK, &json!(["groq/llama"]))));
        let answer = caller.answer();
        assert_eq!((answer.status, &*answer.code()), (400, "key_not_found"), "{}", answer.text());
    });
}

#[test]
fn sixteen_may_be_named() {
    on_both(|driver| {
        let three = Three::new(Act::error(503), Act::error(404), Act::good());
        let node = three.node(driver);
        let mut fallbacks = vec![json!("anthropic/claude-x"); 15];
        fallbacks.push(json!("groq/llama"));
        let answer = Caller::new(&node).post(CHAT, with(ASK, &json!(fallbacks)));
        assert_eq!((answer.status, said(&answer), three.asked()), (200, ["groq", "17"], [1, 15, 1]));
        fallbacks.push(json!("groq/llama"));
        let answer = Caller::new(&node).post(CHAT, with(ASK, &json!(fallbacks)));
        assert_eq!((answer.status, &*answer.code()), (400, "invalid_request"));
        assert_eq!(
            (answer.json()["error"]["param"].as_str(), three.asked()),
            (Some("fallbacks"), [1, 15, 1])
        );
    });
}

#[test]
fn a_provider_whose_connections_are_all_in_use_is_fallen_back_from() {
    on_both(|driver| {
        let three = Three::new(Act::Silence(vec![]), Act::claude(), Act::good());
        let mut config = three.config();
        config["providers"]["openai"]["network_config"]["max_conns_per_host"] = json!(1);
        let node = Node::start_on(&config.to_string(), driver, 1);
        let mut first = Caller::new(&node);
        first.send(request(CHAT, "", ASK));
        three.openai.request(0);
        let answer = Caller::new(&node).post(CHAT, with(ASK, &json!(["groq/llama"])));
        assert_eq!((answer.status, said(&answer), three.asked()), (200, ["groq", "2"], [1, 0, 1]));
        assert_eq!(answer.value("x-corelane-attempt-trail"), Some("openai/one overloaded, groq/three 200"));
    });
}

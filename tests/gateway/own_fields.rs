//! The headers of ours in an answer: which there are and what they say, for whole and streamed answers, errors, and questions
//! about the node itself; how names that no header may hold are written; and a caller's own request id.

use serde_json::json;

use crate::caller::{Answer, Caller, request};
use crate::setup::{
    ANSWER, ASK, ASK_CLAUDE_STREAM, ASK_STREAM, CHAT, MESSAGES, answer, config, node, ok, on_both, streaming,
};
use crate::support::node::Node;
use crate::support::upstream::{Gate, Upstream};

const OWN: [&str; 8] = [
    "x-corelane-request-id",
    "x-corelane-node",
    "x-corelane-generation",
    "x-corelane-provider",
    "x-corelane-key",
    "x-corelane-attempts",
    "x-corelane-overhead-us",
    "x-corelane-attempt-trail",
];

fn has(answer: &Answer, expected: &[&str]) {
    let found: Vec<_> = OWN.into_iter().filter(|name| answer.value(name).is_some()).collect();
    assert_eq!(found, expected, "{}", answer.head);
}

/// The first seven, when there was one attempt.
fn one_attempt(answer: &Answer, provider: &str, key: &str) {
    has(answer, &OWN[..7]);
    assert_eq!(answer.value("x-corelane-request-id").map(str::len), Some(36));
    assert_eq!(answer.value("x-corelane-generation"), Some("1"));
    assert_eq!(answer.value("x-corelane-provider"), Some(provider));
    assert_eq!(answer.value("x-corelane-key"), Some(key));
    assert_eq!(answer.value("x-corelane-attempts"), Some("1"));
    let overhead_us: u64 = answer.value("x-corelane-overhead-us").unwrap().parse().unwrap();
    assert!(overhead_us < 60_000_000, "{overhead_us}");
}

#[test]
fn an_answer_says_who_gave_it_and_how() {
    on_both(|driver| {
        let gate = Gate::default();
        (0..2).for_each(|_| gate.open());
        let upstream = streaming(&gate);
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        let name = caller.get("/health").json()["node"].as_str().unwrap().to_owned();
        for body in [ASK, ASK_STREAM] {
            let answered = caller.post(CHAT, body);
            assert_eq!(answered.status, 200);
            one_attempt(&answered, "openai", "first");
            assert_eq!(answered.value("x-corelane-node"), Some(name.as_str()));
        }
        // Another dialect, with which it cannot be read.
        let answered = caller.post(CHAT, ASK_CLAUDE_STREAM);
        one_attempt(&answered, "anthropic", "second");
    });
}

#[test]
fn an_error_says_it_too() {
    on_both(|driver| {
        let refused = answer(400, "content-type: application/json\r\n", r#"{"error":{"message":"no"}}"#);
        let upstream = Upstream::answering(refused);
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        let passed_on = caller.post(CHAT, ASK);
        assert_eq!(passed_on.status, 400);
        one_attempt(&passed_on, "openai", "first");
        let none = [
            "x-corelane-request-id",
            "x-corelane-node",
            "x-corelane-generation",
            "x-corelane-attempts",
            "x-corelane-overhead-us",
        ];
        for (path, body) in [(CHAT, "{"), (CHAT, r#"{"model":"none"}"#), (MESSAGES, r#"{"model":1}"#)] {
            let refused = caller.post(path, body);
            assert_eq!(refused.status, 400);
            has(&refused, &none);
            assert_eq!(refused.value("x-corelane-attempts"), Some("0"));
        }
        for path in ["/health", "/metrics", "/v1/models", "/nothing"] {
            has(&caller.get(path), &OWN[..1]);
        }
    });
}

#[test]
fn the_config_says_how_many_there_are() {
    on_both(|driver| {
        let fields = "content-type: application/json\r\nx-corelane-key: theirs\r\nx-request-id: req_1\r\n";
        let upstream = Upstream::answering(answer(200, fields, ANSWER));
        for (word, expected) in [("full", &OWN[..7]), ("minimal", &OWN[..1]), ("none", &[])] {
            let mut config = config(upstream.address);
            config["client"] = json!({ "response_headers": word });
            let node = Node::start(&config.to_string(), driver);
            let mut caller = Caller::new(&node);
            for body in [ASK, "{"] {
                caller.send(request(CHAT, "x-request-id: mine\r\n", body));
                let answered = caller.answer();
                let here =
                    |name: &&&str| body == ASK || !["x-corelane-provider", "x-corelane-key"].contains(*name);
                has(&answered, &expected.iter().filter(here).copied().collect::<Vec<_>>());
                let (id, theirs) = match (word, body == ASK) {
                    ("none", true) => (Some("req_1"), None),
                    ("none", false) => (None, None),
                    (_, true) => (Some("mine"), Some("req_1")),
                    (_, false) => (Some("mine"), None),
                };
                assert_eq!(answered.value("x-request-id"), id);
                assert_eq!(answered.value("x-corelane-provider-request-id"), theirs);
            }
            assert_eq!(caller.get("/health").value("x-corelane-request-id").is_some(), word != "none");
        }
    });
}

#[test]
fn a_request_id_is_echoed_once_and_within_bounds() {
    on_both(|driver| {
        let upstream = Upstream::answering(answer(200, "x-request-id: req_1\r\n", ANSWER));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        let long = "a".repeat(255);
        for (fields, expected) in [
            (String::new(), "req_1"),
            ("x-request-id: one\r\nx-request-id: two\r\n".to_owned(), "req_1"),
            (format!("x-request-id: {long}a\r\n"), "req_1"),
            ("x-request-id:\r\n".to_owned(), "req_1"),
            (format!("X-Request-Id: {long}\r\n"), long.as_str()),
        ] {
            caller.send(request(CHAT, &fields, ASK));
            assert_eq!(caller.answer().value("x-request-id"), Some(expected), "{fields}");
        }
    });
}

#[test]
fn names_that_no_header_holds_are_encoded() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let custom = json!({ "base_provider_type": "openai" });
        let config = json!({ "providers": { "mein-küche%": {
            "keys": [{ "name": "der erste schlüssel", "value": "env.OPENAI_API_KEY", "models": ["*"] }],
            "network_config": { "base_url": format!("http://{}", upstream.address) },
            "custom_provider_config": custom,
        } } });
        let node = Node::start(&config.to_string(), driver);
        let answered = Caller::new(&node).post(CHAT, r#"{"model":"mein-küche%/m"}"#);
        one_attempt(&answered, "mein-k%C3%BCche%25", "der erste schl%C3%BCssel");
    });
}

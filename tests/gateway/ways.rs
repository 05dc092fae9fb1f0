//! What is told of a request that took several attempts: in its answer's headers, and in the metrics.

use serde_json::{Value, json};

use crate::caller::{Answer, Caller, request};
use crate::setup::{ANSWER, CHAT, answer, ok, on_both};
use crate::support::node::{Node, eventually};
use crate::support::upstream::{Gate, Upstream};

/// A provider that answers by the key of a request and by a word in it.
fn by_key() -> Upstream {
    Upstream::start(|line| {
        while let Some(request) = line.receive() {
            let (head, text) = (request.head.clone(), request.text().to_owned());
            let fails = |status: u16| {
                answer(status, "content-type: application/json\r\n", r#"{"error":{"message":"no"}}"#)
            };
            line.send(match text.as_str() {
                text if text.contains("all-fail") => fails(503),
                text if text.contains("limited") && head.contains("sk-one") => fails(429),
                text if text.contains("limited") && head.contains("sk-two") => fails(401),
                text if text.contains("broken")
                    && head.contains("/v1/chat")
                    && !head.contains("sk-spare") =>
                {
                    fails(500)
                }
                _ => ok(ANSWER),
            });
        }
    })
}

fn config(upstream: &Upstream) -> Value {
    let network = json!({ "base_url": format!("http://{}", upstream.address), "max_retries": 1,
        "retry_backoff_initial": 1, "retry_backoff_max": 1 });
    let key = |name: &str, value: &str| json!({ "name": name, "value": value, "models": ["m"] });
    json!({ "providers": {
        "openai": {
            "keys": [key("one", "sk-one"), key("two", "sk-two")],
            "network_config": network,
            "fallbacks": ["spare/"]
        },
        "spare": {
            "keys": [key("Ersatz-Schlüssel", "sk-spare")],
            "network_config": network,
            "custom_provider_config": { "base_provider_type": "openai" }
        }
    } })
}

fn ask(word: &str) -> String {
    json!({ "model": "openai/m", "messages": [{ "role": "user", "content": word }] }).to_string()
}

fn page(node: &Node) -> String {
    Caller::new(node).get("/metrics").text().to_owned()
}

fn sum(page: &str, start: &str) -> f64 {
    let lines = page.lines().filter(|line| line.starts_with(start));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

fn trail(answer: &Answer) -> Vec<&str> {
    answer.value("x-corelane-attempt-trail").map(|trail| trail.split(", ").collect()).unwrap_or_default()
}

#[test]
fn a_fallbacks_answer_says_who_gave_it_and_who_did_not() {
    on_both(|driver| {
        let upstream = by_key();
        let node = Node::start_on(&config(&upstream).to_string(), driver, 1);
        let answered = Caller::new(&node).post(CHAT, ask("broken"));
        assert_eq!(answered.status, 200);
        assert_eq!(answered.value("x-corelane-provider"), Some("spare"));
        assert_eq!(answered.value("x-corelane-key"), Some("Ersatz-Schl%C3%BCssel"));
        assert_eq!(answered.value("x-corelane-attempts"), Some("3"));
        let trail = trail(&answered);
        let [first, second, "spare/Ersatz-Schl%C3%BCssel 200"] = trail[..] else { panic!("{trail:?}") };
        assert!(first.starts_with("openai/") && first.ends_with(" 500") && first == second, "{trail:?}");
        let page = page(&node);
        for (start, count) in [
            (r#"corelane_attempts_total{provider="openai",outcome="server_error"}"#, 2.0),
            (r#"corelane_attempts_total{provider="spare",outcome="ok"}"#, 1.0),
            (r#"corelane_retries_total{provider="openai"}"#, 1.0),
            (r#"corelane_fallbacks_total{provider="spare"}"#, 1.0),
            ("bifrost_upstream_requests_total", 1.0),
            ("bifrost_request_retries_sum", 1.0),
            (r#"corelane_breaker_state{provider="openai",key="one"} 0"#, 0.0),
        ] {
            assert!((sum(&page, start) - count).abs() < 0.5, "{start}: {page}");
        }
        let labels = r#"selected_key_name="Ersatz-Schlüssel",fallback_index="1""#;
        assert!(page.lines().any(|line| line.contains(labels)), "{page}");
    });
}

#[test]
fn moves_from_key_to_key_are_counted_by_their_reason() {
    on_both(|driver| {
        let upstream = by_key();
        let node = Node::start_on(&config(&upstream).to_string(), driver, 1);
        let answered = Caller::new(&node).post(CHAT, ask("limited"));
        assert_eq!((answered.status, answered.value("x-corelane-provider")), (200, Some("spare")));
        let trail = trail(&answered);
        assert!(trail.contains(&"openai/one 429") && trail.contains(&"openai/two 401"), "{trail:?}");
        let page = page(&node);
        let events = page.lines().filter(|line| line.starts_with("bifrost_key_rotation_events_total{"));
        let events: Vec<_> = events.collect();
        assert!(!events.is_empty(), "{page}");
        for event in events {
            assert!(event.contains(r#"provider="openai",requested_model="m""#), "{event}");
            let first = event.contains(r#"key_name="one",fail_reason="rate_limit""#);
            let second = event.contains(r#"key_name="two",fail_reason="credential""#);
            assert!(first || second, "{event}");
        }
        for key in ["one", "two"] {
            assert!(
                page.contains(&format!("corelane_key_cooling{{provider=\"openai\",key=\"{key}\"}} 1")),
                "{page}"
            );
        }
    });
}

#[test]
fn when_all_fail_the_primarys_failure_is_answered_and_the_trail_says_all() {
    on_both(|driver| {
        let upstream = by_key();
        let node = Node::start_on(&config(&upstream).to_string(), driver, 1);
        let answered = Caller::new(&node).post(CHAT, ask("all-fail"));
        assert_eq!((answered.status, answered.value("x-corelane-provider")), (503, Some("openai")));
        let trail = trail(&answered);
        assert_eq!(trail.len(), 4, "{trail:?}");
        assert!(trail.iter().all(|tried| tried.ends_with(" 503")), "{trail:?}");
        assert_eq!(answered.value("x-corelane-attempts"), Some("4"));
        let page = page(&node);
        assert!((sum(&page, "corelane_attempts_total{") - 4.0).abs() < 0.5, "{page}");
        assert!((sum(&page, "bifrost_error_requests_total{") - 1.0).abs() < 0.5, "{page}");
    });
}

/// The page, once it has all of these lines.
fn eventually_says(node: &Node, lines: &[&str]) {
    eventually("the page says it", || {
        let page = page(node);
        lines.iter().all(|line| page.lines().any(|found| found == *line)).then_some(())
    });
}

#[test]
fn who_waits_is_dropped_or_leaves_is_counted() {
    on_both(|driver| {
        let gate = Gate::default();
        let upstream = {
            let gate = gate.clone();
            Upstream::start(move |line| {
                while line.receive().is_some() && gate.pass() {
                    line.send(ok(ANSWER));
                }
            })
        };
        let mut config = config(&upstream);
        config["client"]["drop_excess_requests"] = json!(true);
        config["providers"]["openai"]["concurrency_and_buffer_size"] =
            json!({ "concurrency": 1, "buffer_size": 1 });
        config["providers"]["openai"]["fallbacks"] = json!([]);
        let node = Node::start_on(&config.to_string(), driver, 1);
        let asks = |word: &str| {
            let mut caller = Caller::new(&node);
            caller.send(request(CHAT, "", ask(word)));
            caller
        };
        let mut served = asks("served");
        eventually_says(&node, &[r#"corelane_queue_places_taken{provider="openai"} 1"#]);
        let waits = asks("waits");
        eventually_says(&node, &[r#"corelane_queue_waiting{provider="openai"} 1"#]);
        let dropped = Caller::new(&node).post(CHAT, ask("dropped"));
        assert_eq!((dropped.status, &*dropped.code()), (503, "request_dropped"));
        assert_eq!(dropped.value("x-corelane-attempts"), Some("1"));
        drop(waits);
        eventually_says(
            &node,
            &[
                r#"corelane_queue_waiting{provider="openai"} 0"#,
                r#"corelane_requests_dropped_total{provider="openai"} 1"#,
                r#"corelane_attempts_total{provider="openai",outcome="request_dropped"} 1"#,
                r#"corelane_attempts_total{provider="openai",outcome="client_gone"} 1"#,
                r#"corelane_queue_wait_seconds_count{provider="openai"} 1"#,
                "corelane_requests_cancelled_total 1",
            ],
        );
        gate.open();
        assert_eq!(served.answer().status, 200);
        eventually_says(
            &node,
            &[
                r#"corelane_queue_places_taken{provider="openai"} 0"#,
                r#"corelane_attempts_total{provider="openai",outcome="ok"} 1"#,
            ],
        );
    });
}

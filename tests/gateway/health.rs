//! What a node knows of its keys: a cooldown that one core learns of is the other's as well, a breaker opens and closes, and
//! both outlive a reload.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::caller::{Caller, request};
use crate::reload::{changed, file, replace, runs};
use crate::setup::{ANSWER, ASK, CHAT, answer, config, ok, on_both};
use crate::support::node::{Node, eventually, pause};
use crate::support::upstream::{Gate, Upstream};

/// OpenAI with a key that is drawn nearly always, and one that is drawn nearly never.
fn two_keys(upstream: &Upstream) -> Value {
    let key = |name: &str, weight: f64| json!({ "name": name, "value": format!("sk-{name}"), "models": ["*"], "weight": weight });
    let mut config = config(upstream.address);
    config["providers"]["openai"]["keys"] = json!([key("hot", 1e9), key("cold", 1e-3)]);
    config
}

/// A provider that answers the hot key like this, and the cold one well.
fn refusing(refusal: Vec<u8>) -> Upstream {
    Upstream::start(move |line| {
        while let Some(request) = line.receive() {
            match request.value("authorization") {
                "Bearer sk-hot" => line.send(&refusal),
                _ => line.send(ok(ANSWER)),
            }
        }
    })
}

fn keys(upstream: &Upstream) -> Vec<String> {
    let key = |value: &str| value.trim_start_matches("Bearer sk-").to_owned();
    upstream.requests().iter().map(|request| key(request.value("authorization"))).collect()
}

#[test]
fn a_cooldown_that_one_core_learns_of_is_known_to_the_other() {
    on_both(|driver| {
        for (status, fields) in [(429, "retry-after: 100\r\n"), (401, ""), (402, ""), (403, "")] {
            let upstream = refusing(answer(status, fields, "{}"));
            let node = Node::start(&two_keys(&upstream).to_string(), driver);
            // Two open connections are never on one core.
            let [mut one, mut other] = [Caller::new(&node), Caller::new(&node)];
            assert_eq!((one.get("/health").status, other.get("/health").status), (200, 200));
            assert_eq!(one.post(CHAT, ASK).status, 200);
            assert_eq!(keys(&upstream), ["hot", "cold"]);
            // Within 10 ms; the other core takes its mail no later than what comes to it afterwards.
            pause();
            assert_eq!(other.get("/health").status, 200);
            for _ in 0..3 {
                assert_eq!((other.post(CHAT, ASK).status, one.post(CHAT, ASK).status), (200, 200));
            }
            assert_eq!(keys(&upstream)[2..], ["cold"; 6], "{status}");
            // Another config, the same key.
            replace(&file(&node), &changed(&two_keys(&upstream), 7));
            node.signal("HUP");
            runs(&node, 2);
            assert_eq!((other.post(CHAT, ASK).status, one.post(CHAT, ASK).status), (200, 200));
            assert_eq!(keys(&upstream)[8..], ["cold"; 2], "{status}");
        }
    });
}

#[test]
fn a_cooldown_ends_and_is_over_for_a_key_with_another_value() {
    on_both(|driver| {
        let upstream = refusing(answer(429, "retry-after: 1\r\n", "{}"));
        let node = Node::start(&two_keys(&upstream).to_string(), driver);
        let mut caller = Caller::new(&node);
        let began = Instant::now();
        assert_eq!((caller.post(CHAT, ASK).status, caller.post(CHAT, ASK).status), (200, 200));
        let is_soon = began.elapsed() < Duration::from_secs(1);
        assert!(!is_soon || keys(&upstream) == ["hot", "cold", "cold"]);
        eventually("it is tried again", || {
            assert_eq!(caller.post(CHAT, ASK).status, 200);
            (keys(&upstream).iter().filter(|key| *key == "hot").count() > 1).then_some(())
        });
        assert!(began.elapsed() >= Duration::from_secs(1));
        let mut config = two_keys(&upstream);
        config["providers"]["openai"]["keys"][0]["value"] = "sk-new".into();
        replace(&file(&node), &config.to_string());
        node.signal("HUP");
        runs(&node, 2);
        assert_eq!(caller.post(CHAT, ASK).status, 200);
        assert_eq!(keys(&upstream).last().unwrap(), "new");
    });
}

#[test]
fn a_breaker_keeps_a_failing_key_off_and_a_probe_brings_it_back() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            let mut failures = 0;
            while let Some(request) = line.receive() {
                let is_hot = request.value("authorization") == "Bearer sk-hot";
                let fails = is_hot && failures < 2;
                failures += u32::from(fails);
                line.send(if fails { answer(500, "", "{}") } else { ok(ANSWER) });
            }
        });
        let mut config = two_keys(&upstream);
        config["providers"]["openai"]["breaker"] = json!({ "failures_in_a_row": 2, "open_seconds": 1 });
        let node = Node::start_on(&config.to_string(), driver, 1);
        let mut caller = Caller::new(&node);
        let began = Instant::now();
        let mut ask = || caller.post(CHAT, ASK).status;
        assert_eq!((ask(), ask()), (500, 500));
        // The origin is both vendors' here, and its breaker goes by what the first of them says: ten.
        assert_eq!(ask(), 200);
        let is_soon = began.elapsed() < Duration::from_secs(1);
        assert!(!is_soon || keys(&upstream) == ["hot", "hot", "cold"], "{:?}", keys(&upstream));
        eventually("it is tried again", || {
            assert_eq!(ask(), 200);
            (keys(&upstream).iter().filter(|key| *key == "hot").count() > 2).then_some(())
        });
        assert!(began.elapsed() >= Duration::from_secs(1));
    });
}

/// A request that spent its time in the queue is late by no fault of the provider that got the rest of it.
#[test]
fn a_request_that_waited_too_long_is_not_held_against_the_key() {
    on_both(|driver| {
        let gate = Gate::default();
        let passing = gate.clone();
        let upstream = Upstream::start(move |line| {
            while let Some(request) = line.receive() {
                match request.text() {
                    text if text.contains("held") => assert!(passing.pass()),
                    text if text.contains("late") => {
                        line.silence();
                        return;
                    }
                    _ => {}
                }
                line.send(ok(ANSWER));
            }
        });
        let mut config = two_keys(&upstream);
        config["providers"]["openai"]["concurrency_and_buffer_size"] =
            json!({ "concurrency": 1, "buffer_size": 9 });
        config["providers"]["openai"]["breaker"] = json!({ "failures_in_a_row": 1, "open_seconds": 600 });
        let node = Node::start_on(&config.to_string(), driver, 1);
        let mut held = Caller::new(&node);
        held.send(request(CHAT, "", ASK.replace("hi", "held")));
        upstream.request(0);
        config["server"]["request_total_timeout_seconds"] = 2.into();
        replace(&file(&node), &config.to_string());
        node.signal("HUP");
        runs(&node, 2);
        let (mut late, began) = (Caller::new(&node), Instant::now());
        late.send(request(CHAT, "", ASK.replace("hi", "late")));
        while began.elapsed() < Duration::from_millis(1500) {
            pause();
        }
        gate.open();
        assert_eq!(held.answer().status, 200);
        let late = late.answer();
        assert!([(504, "request_timed_out"), (503, "queue_timeout")].contains(&(late.status, &late.code())));
        assert_eq!(held.post(CHAT, ASK).status, 200);
        assert_eq!(keys(&upstream).last().unwrap(), "hot", "its breaker is closed");
    });
}

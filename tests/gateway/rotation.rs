//! Another key at once: which answers move a request to one, in what order keys are tried, when they are tried again, and what
//! the caller gets when none may serve. And the key that a caller asks for by name.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::caller::{Answer, Caller, request};
use crate::script::{Act, acting, judging, key_of, keys_of, provider, providers};
use crate::setup::{ANSWER, ASK, ASK_STREAM, CHAT, MESSAGES, MESSAGES_STREAM, on_both};
use crate::support::node::Node;
use crate::support::upstream::Upstream;

const KEYS: [&str; 3] = ["one", "two", "three"];

/// OpenAI with three keys at this provider, on one core: cooldowns are known at once.
fn node(upstream: &Upstream, retries: u32, driver: &str) -> Node {
    let config = providers(&[("openai", provider(upstream.address, &KEYS, retries))]);
    Node::start_on(&config.to_string(), driver, 1)
}

fn attempts(answer: &Answer) -> &str {
    answer.value("x-corelane-attempts").unwrap()
}

fn sorted(mut keys: Vec<String>) -> Vec<String> {
    keys.sort();
    keys
}

/// Serves with one key, and refuses the others with this status.
fn serving_one(serving: &'static str, status: u16, act: Act) -> Upstream {
    judging(move |request| if key_of(request) == serving { act.clone() } else { Act::error(status) })
}

#[test]
fn a_refused_key_gives_way_to_the_next_at_once() {
    on_both(|driver| {
        for status in [401, 402, 403, 429] {
            for (ask, act) in [(ASK, Act::good()), (ASK_STREAM, Act::stream())] {
                let upstream = serving_one("two", status, act);
                // No retries: rotation has a bound of its own. Waits of ten seconds would be noticed.
                let mut config = providers(&[("openai", provider(upstream.address, &KEYS, 0))]);
                let network = &mut config["providers"]["openai"]["network_config"];
                (network["retry_backoff_initial"], network["retry_backoff_max"]) =
                    (json!(30_000), json!(60_000));
                let node = Node::start_on(&config.to_string(), driver, 1);
                let before = Instant::now();
                for _ in 0..8 {
                    let answer = Caller::new(&node).post(CHAT, ask);
                    assert_eq!(answer.status, 200, "{status}: {}", answer.text());
                    assert_eq!(answer.value("x-corelane-key"), Some("two"));
                }
                assert!(before.elapsed() < Duration::from_secs(25), "{:?}", before.elapsed());
                // A key that was refused cools: the others served all further requests.
                let refused = keys_of(&upstream).iter().filter(|key| *key != "two").count();
                assert!(refused <= 2, "{:?}", keys_of(&upstream));
            }
        }
    });
}

#[test]
fn each_key_is_asked_once_a_round() {
    on_both(|driver| {
        for retries in [0, 1, 2] {
            let upstream = acting([Act::error_with(429, "retry-after: 7\r\n")]);
            let node = node(&upstream, retries, driver);
            let before = Instant::now();
            let answer = Caller::new(&node).post(CHAT, ASK);
            assert_eq!((answer.status, &*answer.code(), answer.value("retry-after")), (429, "c", Some("7")));
            let rounds = retries as usize + 1;
            let asked = keys_of(&upstream);
            assert_eq!((asked.len(), attempts(&answer)), (3 * rounds, &*(3 * rounds).to_string()));
            for round in asked.chunks(3) {
                assert_eq!(sorted(round.to_vec()), ["one", "three", "two"]);
            }
            // Retry-After is honoured up to the back-off's maximum, which is 200 ms.
            let least = Duration::from_millis(200) * retries;
            assert!(before.elapsed() >= least && before.elapsed() < Duration::from_secs(20));
        }
    });
}

#[test]
fn all_limited_is_tried_again_after_a_while() {
    on_both(|driver| {
        let upstream = acting([Act::error(429), Act::error(429), Act::error(429), Act::good()]);
        let node = node(&upstream, 1, driver);
        let before = Instant::now();
        let answer = Caller::new(&node).post(CHAT, ASK);
        assert_eq!((answer.status, answer.text(), attempts(&answer)), (200, ANSWER, "4"));
        assert!(before.elapsed() >= Duration::from_millis(80), "{:?}", before.elapsed());
    });
}

#[test]
fn every_key_refused_is_the_configs_fault() {
    on_both(|driver| {
        for status in [401, 402, 403] {
            let upstream = acting([Act::error(status)]);
            let mut config = providers(&[("openai", provider(upstream.address, &KEYS, 2))]);
            config["providers"]["anthropic"] = provider(upstream.address, &["4", "5", "6"], 0);
            let node = Node::start_on(&config.to_string(), driver, 1);
            let asks = [(CHAT, ASK), (CHAT, ASK_STREAM), (MESSAGES, MESSAGES_STREAM)];
            for (number, (path, ask)) in asks.into_iter().enumerate() {
                let answer = Caller::new(&node).post(path, ask);
                assert_eq!((answer.status, attempts(&answer)), (502, "3"), "{}", answer.text());
                // And the next request tries again.
                assert_eq!(upstream.requests().len(), 3 * (number + 1));
                let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
                let provider = if path == CHAT { "openai" } else { "anthropic" };
                assert!(
                    message.contains(&format!("says {status}")) && message.contains(provider),
                    "{message}"
                );
                assert!(!message.contains("sk-"), "{message}");
                match path {
                    CHAT => assert_eq!(answer.code(), "provider_credentials_exhausted"),
                    _ => assert_eq!(answer.json()["type"], "error"),
                }
            }
            let mut rounds: Vec<_> =
                keys_of(&upstream).chunks(3).map(|round| sorted(round.to_vec())).collect();
            assert_eq!(rounds.pop().unwrap(), ["4", "5", "6"]);
            assert!(rounds.iter().all(|round| round == &["one", "three", "two"]), "{rounds:?}");
        }
    });
}

#[test]
fn a_refusal_never_quotes_a_key() {
    on_both(|driver| {
        let upstream = judging(|request| {
            let body = json!({ "error": { "message": format!("bad key sk-{}", key_of(request)) } });
            Act::Answer(crate::setup::answer(401, crate::script::JSON, body.to_string()))
        });
        let answer = Caller::new(&node(&upstream, 0, driver)).post(CHAT, ASK);
        assert_eq!(answer.status, 502);
        assert!(answer.text().contains("bad key *") && !answer.text().contains("sk-"), "{}", answer.text());
    });
}

#[test]
fn limits_are_told_rather_than_refusals() {
    on_both(|driver| {
        let upstream = judging(|request| match &*key_of(request) {
            "two" => Act::error_with(429, "retry-after: 9\r\n"),
            _ => Act::error(401),
        });
        let answer = Caller::new(&node(&upstream, 0, driver)).post(CHAT, ASK);
        assert_eq!((answer.status, answer.value("retry-after"), attempts(&answer)), (429, Some("9"), "3"));
        assert_eq!(answer.value("x-corelane-key"), Some("two"), "whose failure it is");
    });
}

#[test]
fn a_broken_answer_keeps_its_key() {
    on_both(|driver| {
        let upstream = acting([Act::error(503), Act::error(500), Act::good()]);
        let answer = Caller::new(&node(&upstream, 2, driver)).post(CHAT, ASK);
        assert_eq!((answer.status, attempts(&answer)), (200, "3"));
        let keys = keys_of(&upstream);
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    });
}

#[test]
fn an_alias_is_another_model_for_another_key() {
    on_both(|driver| {
        let upstream = serving_one("two", 429, Act::good());
        let mut config = providers(&[("openai", provider(upstream.address, &["one", "two"], 0))]);
        let keys = &mut config["providers"]["openai"]["keys"];
        keys[0]["aliases"] = json!({ "gpt-4o": "deployed-by-one" });
        keys[1]["aliases"] = json!({ "gpt-4o": "two's \"own\"" });
        let node = Node::start_on(&config.to_string(), driver, 1);
        for _ in 0..6 {
            assert_eq!(Caller::new(&node).post(CHAT, ASK).status, 200);
        }
        let one = ASK.replace("openai/gpt-4o", "deployed-by-one");
        let two = ASK.replace("openai/gpt-4o", "two's \\\"own\\\"");
        for request in upstream.requests() {
            assert_eq!(request.text(), if key_of(&request) == "one" { &one } else { &two });
        }
    });
}

#[test]
fn a_pinned_key_serves_or_nobody_does() {
    on_both(|driver| {
        let upstream = serving_one("two", 429, Act::good());
        let node = node(&upstream, 1, driver);
        let asked = |fields: &str| {
            let mut caller = Caller::new(&node);
            caller.send(request(CHAT, fields, ASK));
            caller.answer()
        };
        for fields in [
            "x-bf-api-key: two\r\n",
            "X-BF-API-KEY-ID:  id-two \r\n",
            "x-bf-api-key-id: id-two\r\nx-bf-api-key: one\r\n",
            "x-bf-api-key-id:\r\nx-bf-api-key: two\r\n",
        ] {
            let answer = asked(fields);
            assert_eq!((answer.status, attempts(&answer)), (200, "1"), "{fields}: {}", answer.text());
        }
        let answer = asked("x-bf-api-key: three\r\n");
        assert_eq!((answer.status, attempts(&answer)), (429, "2"), "its own retry, no other key");
        for request in upstream.requests() {
            assert!(!request.head.to_ascii_lowercase().contains("x-bf-"), "{}", request.head);
            assert!(["two", "three"].contains(&&*key_of(&request)));
        }
        let before = upstream.requests().len();
        for (fields, code) in [
            ("x-bf-api-key: four\r\n", "key_not_found"),
            ("x-bf-api-key-id: two\r\n", "key_not_found"),
            ("x-bf-api-key: id-two\r\n", "key_not_found"),
            ("x-bf-api-key: one\r\nx-bf-api-key: two\r\n", "invalid_request"),
        ] {
            let answer = asked(fields);
            assert_eq!((answer.status, &*answer.code()), (400, code), "{fields}: {}", answer.text());
        }
        assert_eq!(upstream.requests().len(), before);
    });
}

#[test]
fn a_pinned_key_that_is_refused_is_told_so() {
    on_both(|driver| {
        let upstream = acting([Act::error(401)]);
        let node = node(&upstream, 1, driver);
        let mut caller = Caller::new(&node);
        caller.send(request(CHAT, "x-bf-api-key: one\r\n", ASK));
        let answer = caller.answer();
        let expected = (502, "provider_credentials_exhausted".to_owned(), 1);
        assert_eq!((answer.status, answer.code(), upstream.requests().len()), expected);
    });
}

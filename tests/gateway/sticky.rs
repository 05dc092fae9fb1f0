//! Requests that belong together and stay with a key: by the caller's session, by OpenAI's `prompt_cache_key`, by Anthropic's
//! `cache_control`. The same on every core and every node with the same config; by weight over many; and when the key is out,
//! its sessions alone move.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::caller::{Caller, request};
use crate::script::{Act, judging, key_of, keys_of, provider, providers};
use crate::setup::{ASK, CHAT, MESSAGES, on_both};
use crate::support::node::Node;
use crate::support::upstream::Upstream;

const KEYS: [&str; 4] = ["one", "two", "three", "four"];

fn config(upstream: &Upstream) -> Value {
    let claude = ["five", "six", "seven", "eight"];
    providers(&[
        ("openai", provider(upstream.address, &KEYS, 0)),
        ("anthropic", provider(upstream.address, &claude, 0)),
    ])
}

fn upstream() -> Upstream {
    judging(|request| if request.head.contains(MESSAGES_UP) { Act::claude() } else { Act::good() })
}

const MESSAGES_UP: &str = "/v1/messages";

/// The key that serves a request with these field lines.
fn served_by(node: &Node, upstream: &Upstream, path: &str, fields: &str, body: &str) -> String {
    let mut caller = Caller::new(node);
    caller.send(request(path, fields, body));
    let answer = caller.answer();
    assert_eq!(answer.status, 200, "{}", answer.text());
    key_of(&upstream.last())
}

/// How many of the requests of one kind each key gets.
fn spread(ask: impl Fn(usize) -> String) -> BTreeMap<String, usize> {
    let mut keys = BTreeMap::new();
    (0..24).for_each(|number| *keys.entry(ask(number)).or_default() += 1);
    keys
}

#[test]
fn a_session_stays_with_its_key_on_every_core_of_every_node() {
    on_both(|driver| {
        let upstream = upstream();
        let nodes = [2, 1].map(|workers| Node::start_on(&config(&upstream).to_string(), driver, workers));
        let mut keys = BTreeMap::new();
        for session in 0..24 {
            let fields = format!("x-bf-session-id: session-{session}\r\n");
            let first = served_by(&nodes[0], &upstream, CHAT, &fields, ASK);
            for node in [&nodes[0], &nodes[0], &nodes[1]] {
                assert_eq!(served_by(node, &upstream, CHAT, &fields, ASK), first, "{session}");
            }
            *keys.entry(first).or_insert(0) += 1;
        }
        assert_eq!(keys.len(), KEYS.len(), "{keys:?}");
        for request in upstream.requests() {
            assert!(!request.head.to_ascii_lowercase().contains("x-bf-"), "{}", request.head);
        }
    });
}

#[test]
fn it_can_be_turned_off_and_an_id_without_measure_is_none() {
    on_both(|driver| {
        let upstream = upstream();
        let node = Node::start(&config(&upstream).to_string(), driver);
        let cached = ASK.replace("\"messages\"", "\"prompt_cache_key\":\"a\",\"messages\"");
        let long = "a".repeat(256);
        for (fields, ask) in [
            ("x-bf-session-id: a\r\nx-bf-session-affinity: off\r\n".to_owned(), ASK),
            ("X-BF-Session-Affinity: OFF\r\n".to_owned(), &cached),
            (format!("x-bf-session-id: {long}\r\n"), ASK),
            ("x-bf-session-id:\r\n".to_owned(), ASK),
        ] {
            let keys = spread(|_| served_by(&node, &upstream, CHAT, &fields, ask));
            assert!(keys.len() > 1, "{fields}: {keys:?}");
        }
        let fields = format!("x-bf-session-id: {}\r\nx-bf-session-affinity: on\r\n", &long[1..]);
        assert_eq!(spread(|_| served_by(&node, &upstream, CHAT, &fields, ASK)).len(), 1);
    });
}

#[test]
fn a_prompt_cache_key_is_a_session() {
    on_both(|driver| {
        let upstream = upstream();
        let node = Node::start(&config(&upstream).to_string(), driver);
        let ask = |name: &str, text: &str| {
            json!({ "model": "openai/gpt-4o", "prompt_cache_key": name, "messages": [text] }).to_string()
        };
        let mut keys = BTreeMap::new();
        for name in 0..16 {
            let name = format!("cache-{name}");
            let by_text =
                spread(|number| served_by(&node, &upstream, CHAT, "", &ask(&name, &number.to_string())));
            assert_eq!(by_text.len(), 1, "{by_text:?}");
            keys.extend(by_text);
        }
        assert!(keys.len() > 2, "{keys:?}");
        // The provider gets it, as it stands; and the caller's session is worth more.
        assert!(upstream.last().text().contains("\"prompt_cache_key\":\"cache-15\""));
        let by_session = "x-bf-session-id: s\r\n";
        let keys =
            spread(|number| served_by(&node, &upstream, CHAT, by_session, &ask(&number.to_string(), "")));
        assert_eq!(keys.len(), 1);
    });
}

#[test]
fn a_marked_prefix_is_a_session() {
    on_both(|driver| {
        let upstream = upstream();
        let node = Node::start(&config(&upstream).to_string(), driver);
        let mark = json!({ "type": "ephemeral" });
        let ask = |system: &str, text: &str| {
            json!({
                "model": "claude-x", "max_tokens": 5,
                "messages": [{ "role": "user", "content": text }],
                "system": [{ "type": "text", "text": system, "cache_control": mark }],
            })
            .to_string()
        };
        let mut keys = BTreeMap::new();
        for system in 0..16 {
            let system = format!("you are {system}");
            let by_text = spread(|number| {
                served_by(&node, &upstream, MESSAGES, "", &ask(&system, &number.to_string()))
            });
            assert_eq!(by_text.len(), 1, "{by_text:?}");
            keys.extend(by_text);
        }
        assert!(keys.len() > 2, "{keys:?}");
        let unmarked = ask("", "").replace("cache_control", "cache");
        assert!(spread(|_| served_by(&node, &upstream, MESSAGES, "", &unmarked)).len() > 1);
    });
}

#[test]
fn when_a_key_is_out_its_sessions_alone_move() {
    on_both(|driver| {
        let upstream = judging(|request| match request.text().contains("out") && key_of(request) == "two" {
            true => Act::error_with(429, "retry-after: 600\r\n"),
            false => Act::good(),
        });
        let node = Node::start_on(&config(&upstream).to_string(), driver, 1);
        let fields = |session: usize| format!("x-bf-session-id: {session}\r\n");
        let before: Vec<String> =
            (0..24).map(|session| served_by(&node, &upstream, CHAT, &fields(session), ASK)).collect();
        let out = ASK.replace("hi", "out");
        for (session, before) in before.iter().enumerate() {
            let after = served_by(&node, &upstream, CHAT, &fields(session), &out);
            assert_eq!(after != *before, before == "two", "{session} moved from {before} to {after}");
        }
        // Once it was limited it was not asked again.
        let asked = upstream.requests();
        let limited =
            asked.iter().filter(|request| request.text().contains("out") && key_of(request) == "two");
        assert_eq!(limited.count(), 1, "{:?}", keys_of(&upstream));
    });
}

#[test]
fn one_of_no_weight_serves_no_session() {
    on_both(|driver| {
        let upstream = upstream();
        let mut config = config(&upstream);
        for (key, weight) in [(0, 0.0), (1, 0.0), (2, 10.0)] {
            config["providers"]["openai"]["keys"][key]["weight"] = json!(weight);
        }
        let node = Node::start(&config.to_string(), driver);
        let keys = spread(|number| {
            served_by(&node, &upstream, CHAT, &format!("x-bf-session-id: {number}\r\n"), ASK)
        });
        assert!(keys.keys().all(|key| ["three", "four"].contains(&key.as_str())), "{keys:?}");
        assert!(keys["three"] > 12, "ten to one: {keys:?}");
    });
}

//! Streams before their first content: nothing of one goes to the caller yet, so that one that fails, ends or stalls there
//! may be asked for elsewhere; what says nothing is held back, for a while.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::caller::{Answer, Caller, request};
use crate::setup::{
    ASK_CLAUDE_STREAM, ASK_STREAM, CHAT, MESSAGES, MESSAGES_STREAM, OPENAI_CHAT, STREAM_HEAD, chunk, config,
    event, node, on_both, with_network,
};
use crate::support::node::Node;
use crate::support::upstream::{Gate, Line, Upstream};

const ROLE: &str = "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"finish_reason\":null}],\"usage\":null}\n\n";
const STOP: &str =
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const PING: &str = ": ping\n\n";
const LIMITED: &str = "data: {\"error\":{\"message\":\"slow down\",\"code\":\"rate_limit_exceeded\"}}\n\n";
const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m1\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"claude-x\",\"usage\":{\"input_tokens\":2,\"output_tokens\":1}}}\n\n";
const BLOCK: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
const CLAUDE_PING: &str = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
const DELTA: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"ho\"}}\n\n";
const CLAUDE_STOP: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":3}}\n\n";
const CLAUDE_END: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const OVERLOADED: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n";

/// What becomes of the connection behind the events.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Ends,
    Closes,
    Resets,
    Stalls,
}

fn play(line: &mut Line, events: &str, then: Then) -> bool {
    line.send(STREAM_HEAD);
    if !events.is_empty() {
        line.send(chunk(events));
    }
    match then {
        Then::Ends => line.send("0\r\n\r\n"),
        Then::Closes => {}
        Then::Resets => {
            std::thread::sleep(Duration::from_millis(20));
            line.reset();
        }
        Then::Stalls => drop(line.silence()),
    }
    then == Then::Ends
}

fn claude(head: &str) -> bool {
    head.contains("/messages")
}

/// Streams that fail before they said anything: of OpenAI's, of Anthropic's, and the statuses of both.
fn failures() -> Vec<(&'static str, String, String, Then, u16, u16)> {
    let both = |events: &[&str]| events.concat();
    vec![
        ("an error", both(&[LIMITED]), both(&[OVERLOADED]), Then::Ends, 429, 529),
        (
            "an error behind what says nothing",
            both(&[ROLE, PING, LIMITED]),
            both(&[START, BLOCK, CLAUDE_PING, OVERLOADED]),
            Then::Ends,
            429,
            529,
        ),
        (
            "an error, and then silence",
            both(&[ROLE, LIMITED]),
            both(&[START, OVERLOADED]),
            Then::Stalls,
            429,
            529,
        ),
        ("no event", String::new(), String::new(), Then::Ends, 502, 502),
        ("its end only", both(&[DONE]), both(&[START, CLAUDE_END]), Then::Ends, 502, 502),
        (
            "its end only, and then silence",
            both(&[ROLE, DONE]),
            both(&[START, BLOCK, CLAUDE_END]),
            Then::Stalls,
            502,
            502,
        ),
        ("a role, and no more", both(&[ROLE]), both(&[START]), Then::Ends, 502, 502),
        ("a role, then closed", both(&[ROLE]), both(&[START]), Then::Closes, 502, 502),
        ("a role, then reset", both(&[ROLE, PING]), both(&[START, CLAUDE_PING]), Then::Resets, 502, 502),
        ("half an event, then closed", ROLE[..40].into(), START[..40].into(), Then::Closes, 502, 502),
        ("a role, then silence", both(&[ROLE]), both(&[START, BLOCK]), Then::Stalls, 504, 504),
        ("silence", String::new(), String::new(), Then::Stalls, 504, 504),
    ]
}

fn patient(config: Value) -> Value {
    let mut config = with_network(config, "max_retries", 0);
    for provider in ["openai", "anthropic"] {
        config["providers"][provider]["network_config"]["first_token_timeout"] = json!("1s");
        config["providers"][provider]["network_config"]["retry_backoff_initial"] = json!(1);
    }
    config
}

#[test]
fn what_fails_before_it_says_anything_is_a_status() {
    on_both(|driver| {
        for (what, openai, anthropic, then, openai_status, claude_status) in failures() {
            let upstream = Upstream::start(move |line| {
                while let Some(request) = line.receive() {
                    let events = if claude(&request.head) { &anthropic } else { &openai };
                    if !play(line, events, then) {
                        return;
                    }
                }
            });
            let node = Node::start(&patient(config(upstream.address)).to_string(), driver);
            let asks = [
                (CHAT, ASK_STREAM, openai_status),
                (OPENAI_CHAT, ASK_STREAM, openai_status),
                (MESSAGES, MESSAGES_STREAM, claude_status),
                (CHAT, ASK_CLAUDE_STREAM, claude_status),
            ];
            let ask = |(path, ask, status)| {
                let mut caller = Caller::new(&node);
                caller.send(request(path, "", ask));
                (caller, path, status)
            };
            for (mut caller, path, status) in asks.map(ask) {
                let answer = caller.answer();
                assert_eq!((answer.status, answer.is_whole), (status, true), "{what}: {}", answer.text());
                assert_eq!(answer.value("content-type"), Some("application/json"), "{what}");
                if status == 504 {
                    assert!(answer.text().contains("first_token_timeout"), "{what}: {}", answer.text());
                    assert!(path == MESSAGES || answer.code() == "request_timed_out");
                }
                assert_eq!(caller.get("/health").status, 200, "{what}: the connection serves on");
            }
        }
    });
}

/// Plays a failure to the first request, and a good stream to the others.
fn failing_once(openai: String, anthropic: String, then: Then) -> Upstream {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    Upstream::start(move |line| {
        while let Some(request) = line.receive() {
            let is_claude = claude(&request.head);
            let is_first = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            let goes_on = match (is_first, is_claude) {
                (true, true) => play(line, &anthropic, then),
                (true, false) => play(line, &openai, then),
                (false, true) => {
                    play(line, &[START, BLOCK, DELTA, CLAUDE_STOP, CLAUDE_END].concat(), Then::Ends)
                }
                (false, false) => play(line, &[ROLE, &event("ho"), STOP, DONE].concat(), Then::Ends),
            };
            if !goes_on {
                return;
            }
        }
    })
}

fn check_good(answer: &Answer, what: &str) {
    assert_eq!((answer.status, answer.is_whole), (200, true), "{what}: {}", answer.text());
    assert!(answer.text().contains("ho") && !answer.text().contains("error"), "{what}: {}", answer.text());
    let end = answer.text().contains(DONE) || answer.text().contains("message_stop");
    assert!(end && answer.text().matches("role").count() == 1, "{what}: {}", answer.text());
}

#[test]
fn what_fails_before_it_says_anything_is_asked_for_again() {
    on_both(|driver| {
        for (what, openai, anthropic, then, ..) in failures() {
            for (path, ask) in [(CHAT, ASK_STREAM), (MESSAGES, MESSAGES_STREAM), (CHAT, ASK_CLAUDE_STREAM)] {
                let upstream = failing_once(openai.clone(), anthropic.clone(), then);
                let config = with_network(patient(config(upstream.address)), "max_retries", 1);
                let node = Node::start_on(&config.to_string(), driver, 1);
                let mut caller = Caller::new(&node);
                check_good(&caller.post(path, ask), what);
                assert_eq!(upstream.requests().len(), 2, "{what}");
                assert!(caller.is_silent(), "{what}: answered twice");
            }
        }
    });
}

#[test]
fn a_fallback_of_another_dialect_takes_a_stream_over() {
    on_both(|driver| {
        for (what, openai, _, then, ..) in failures() {
            let upstream = failing_once(openai, String::new(), then);
            let node = Node::start_on(&patient(config(upstream.address)).to_string(), driver, 1);
            let ask = ASK_STREAM.replace("\"stream\"", "\"fallbacks\":[\"anthropic/claude-x\"],\"stream\"");
            let answer = Caller::new(&node).post(CHAT, ask);
            check_good(&answer, what);
            assert!(answer.text().contains("claude-x") && !answer.text().contains("gpt-4o"), "{what}");
            assert_eq!(upstream.requests().len(), 2, "{what}");
        }
    });
}

#[test]
fn what_says_nothing_is_held_until_there_is_content() {
    let held = [[ROLE, PING].concat(), [START, BLOCK, CLAUDE_PING].concat()];
    let rests = [[&event("ho"), STOP, DONE].concat(), [DELTA, CLAUDE_STOP, CLAUDE_END].concat()];
    on_both(|driver| {
        let gate = Gate::default();
        let (next, held, rests) = (gate.clone(), held.clone(), rests.clone());
        let upstream = Upstream::start(move |line| {
            while let Some(request) = line.receive() {
                let which = usize::from(claude(&request.head));
                line.send(STREAM_HEAD);
                line.send(chunk(&held[which]));
                assert!(next.pass());
                line.send(chunk(&rests[which]));
                line.send("0\r\n\r\n");
            }
        });
        let node = node(&upstream, driver);
        for (number, (path, ask)) in
            [(CHAT, ASK_STREAM), (MESSAGES, MESSAGES_STREAM), (CHAT, ASK_CLAUDE_STREAM)].iter().enumerate()
        {
            let mut caller = Caller::new(&node);
            caller.send(request(path, "", ask));
            upstream.request(number);
            assert!(caller.is_silent(), "something was sent before there was content");
            gate.open();
            let answer = caller.answer();
            check_good(&answer, path);
            let whole = [ROLE, PING, &event("ho"), STOP, DONE].concat();
            assert!(number > 0 || answer.text() == whole, "{}", answer.text());
        }
    });
}

#[test]
fn what_is_content_goes_on_at_once() {
    let delta = |delta: &str| format!("data: {{\"choices\":[{{\"delta\":{delta}}}]}}\n\n");
    let claude = |data: &str| format!("data: {data}\n\n");
    let openai = [
        r#"{"content":"x"}"#,
        r#"{"reasoning_content":"x"}"#,
        r#"{"reasoning":"x"}"#,
        r#"{"refusal":"x"}"#,
        r#"{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":""}}]}"#,
    ]
    .map(delta);
    let anthropic = [
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"x"}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"refusal"},"usage":{"output_tokens":1}}"#,
    ]
    .map(|data| format!("{START}{}", claude(data)));
    on_both(|driver| {
        for (path, ask, events) in openai
            .iter()
            .map(|events| (CHAT, ASK_STREAM, events))
            .chain(anthropic.iter().map(|events| (MESSAGES, MESSAGES_STREAM, events)))
        {
            let first = events.clone();
            let upstream = Upstream::start(move |line| {
                if line.receive().is_some() {
                    play(line, &first, Then::Stalls);
                }
            });
            let mut config = config(upstream.address);
            for provider in ["openai", "anthropic"] {
                config["providers"][provider]["network_config"]["first_token_hold_ms"] = json!(60_000);
            }
            let node = Node::start(&config.to_string(), driver);
            let mut caller = Caller::new(&node);
            caller.send(request(path, "", ask));
            caller.until(events);
        }
    });
}

#[test]
fn an_answer_may_be_empty_when_it_says_why() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while let Some(request) = line.receive() {
                let events = match claude(&request.head) {
                    true => [START, CLAUDE_STOP, CLAUDE_END].concat(),
                    false => [ROLE, STOP, DONE].concat(),
                };
                play(line, &events, Then::Ends);
            }
        });
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        assert_eq!(caller.post(CHAT, ASK_STREAM).text(), [ROLE, STOP, DONE].concat());
        assert_eq!(caller.post(MESSAGES, MESSAGES_STREAM).text(), [START, CLAUDE_STOP, CLAUDE_END].concat());
        let translated = caller.post(CHAT, ASK_CLAUDE_STREAM);
        assert!(translated.text().ends_with(DONE), "{}", translated.text());
    });
}

#[test]
fn what_is_held_for_long_begins_and_is_fed_from_then_on() {
    on_both(|driver| {
        let gate = Gate::default();
        let next = gate.clone();
        let upstream = Upstream::start(move |line| {
            while let Some(request) = line.receive() {
                let is_claude = claude(&request.head);
                line.send(STREAM_HEAD);
                line.send(chunk(if is_claude { START } else { ROLE }));
                assert!(next.pass());
                line.send(chunk(if is_claude { CLAUDE_PING } else { PING }));
                assert!(next.pass());
                let rest = match is_claude {
                    true => [BLOCK, DELTA, CLAUDE_STOP, CLAUDE_END].concat(),
                    false => [&event("ho"), STOP, DONE].concat(),
                };
                line.send(chunk(rest));
                line.send("0\r\n\r\n");
            }
        });
        let mut config = config(upstream.address);
        for provider in ["openai", "anthropic"] {
            config["providers"][provider]["network_config"]["first_token_hold_ms"] = json!(200);
        }
        let node = Node::start(&config.to_string(), driver);
        for (path, ask, ping) in [
            (CHAT, ASK_STREAM, PING),
            (MESSAGES, MESSAGES_STREAM, CLAUDE_PING),
            (CHAT, ASK_CLAUDE_STREAM, "\r\n:\n\n"),
        ] {
            let began = Instant::now();
            let mut caller = Caller::new(&node);
            caller.send(request(path, "", ask));
            caller.until("role");
            assert!(began.elapsed() >= Duration::from_millis(200), "it was not held");
            gate.open();
            caller.until(ping);
            gate.open();
            let answer = caller.answer();
            assert!(answer.is_whole && answer.text().contains("ho"), "{}", answer.text());
        }
    });
}

#[test]
fn no_more_than_64_kib_are_held() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            if let Some(request) = line.receive() {
                let is_claude = claude(&request.head);
                let pings = if is_claude { CLAUDE_PING } else { PING }.repeat(64 * 1024 / PING.len());
                let start = if is_claude { START } else { ROLE };
                play(line, &[start, &pings, PING].concat(), Then::Stalls);
            }
        });
        let mut config = config(upstream.address);
        for provider in ["openai", "anthropic"] {
            config["providers"][provider]["network_config"]["first_token_hold_ms"] = json!(60_000);
        }
        let node = Node::start(&config.to_string(), driver);
        for (path, ask) in [(CHAT, ASK_STREAM), (MESSAGES, MESSAGES_STREAM), (CHAT, ASK_CLAUDE_STREAM)] {
            let mut caller = Caller::new(&node);
            caller.send(request(path, "", ask));
            caller.until("role");
        }
    });
}

#[test]
fn each_deadline_fires_when_the_provider_says_nothing() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            let Some(request) = line.receive() else { return };
            match request.text() {
                text if text.contains("headless") => line.send("HTTP/1.1 200 OK\r\n"),
                text if text.contains("pings") => {
                    line.send(STREAM_HEAD);
                    for _ in 0..500 {
                        line.send(chunk(PING));
                        std::thread::sleep(Duration::from_millis(10));
                    }
                }
                _ => {}
            }
            line.silence();
        });
        let with = |name: &str, value: Value| {
            let mut config = config(upstream.address);
            config["providers"]["openai"]["network_config"][name] = value;
            config
        };
        let total = {
            let mut config = config(upstream.address);
            config["server"] = json!({ "request_total_timeout_seconds": 1 });
            config
        };
        let cases = [
            ("first_token_timeout", with("first_token_timeout", json!("500ms"))),
            ("default_request_timeout_in_seconds", with("default_request_timeout_in_seconds", json!(1))),
            ("request_total_timeout_seconds", total),
        ];
        for (setting, config) in cases {
            let node = Node::start(&config.to_string(), driver);
            // A stream whose head is there has more time than a request has.
            let words: &[&str] = match setting {
                "default_request_timeout_in_seconds" => &["mute", "headless"],
                _ => &["mute", "headless", "pings"],
            };
            let callers: Vec<_> = words
                .iter()
                .map(|word| {
                    let mut caller = Caller::new(&node);
                    caller.send(request(CHAT, "", ASK_STREAM.replace("hi", word)));
                    (word, caller)
                })
                .collect();
            for (word, mut caller) in callers {
                let answer = caller.answer();
                assert_eq!((answer.status, &*answer.code()), (504, "request_timed_out"), "{setting} {word}");
                assert!(answer.text().contains(setting), "{setting} {word}: {}", answer.text());
            }
        }
    });
}

#[test]
fn what_failed_leaves_nothing_of_itself_in_the_answer() {
    on_both(|driver| {
        let upstream = failing_once([ROLE, PING].concat(), String::new(), Then::Closes);
        let config = with_network(patient(config(upstream.address)), "max_retries", 1);
        let node = Node::start_on(&config.to_string(), driver, 1);
        let text = String::from_utf8(request(CHAT, "", ASK_STREAM)).unwrap();
        let mut caller = Caller::new(&node);
        caller.send(text.replacen("HTTP/1.1", "HTTP/1.0", 1));
        let answer = caller.answer();
        assert_eq!(answer.text(), [ROLE, &event("ho"), STOP, DONE].concat());
        assert_eq!(upstream.requests().len(), 2);
    });
}

#[test]
fn the_key_does_not_come_back_in_a_streams_error() {
    let quoting = |error: &str, key: &str| error.replace("busy", key).replace("slow down", key);
    on_both(|driver| {
        for begins in [false, true] {
            let upstream = Upstream::start(move |line| {
                while let Some(request) = line.receive() {
                    let is_claude = claude(&request.head);
                    let (start, error, key) = match is_claude {
                        true => ([START, BLOCK, DELTA].concat(), OVERLOADED, "sk-ant-under-test"),
                        false => (event("ho"), LIMITED, "sk-openai-under-test"),
                    };
                    let error = quoting(error, &format!("no such key: {key}"));
                    let events = if begins { [start, error].concat() } else { error };
                    play(line, &events, Then::Ends);
                }
            });
            let node = node(&upstream, driver);
            for (path, ask) in [(CHAT, ASK_STREAM), (MESSAGES, MESSAGES_STREAM), (CHAT, ASK_CLAUDE_STREAM)] {
                let answer = Caller::new(&node).post(path, ask);
                assert_eq!(answer.status == 200, begins, "{}", answer.text());
                assert!(answer.text().contains("no such key: ***"), "{}", answer.text());
                assert!(!answer.text().contains("under-test"), "{}", answer.text());
            }
        }
    });
}

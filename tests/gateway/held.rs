//! Whole answers: nothing of one goes to the caller until it is sure that it is an answer, so that another attempt can
//! still be made; one that is too long to be held passes as it comes.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::caller::{Caller, request};
use crate::setup::{
    ANSWER, ASK, CHAT, MESSAGES, OPENAI_CHAT, answer, chunk, config, node, ok, on_both, with_network,
};
use crate::support::node::Node;
use crate::support::upstream::{Gate, Upstream};

/// Longest answer that is held to its end.
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
const JSON: &str = "content-type: application/json\r\n";
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
const CLAUDE_ANSWER: &str = r#"{"id":"m1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"ho"}],"stop_reason":"end_turn","usage":{"input_tokens":2,"output_tokens":3}}"#;

/// What stands where an answer should, each with whether the provider closes behind it.
fn broken() -> Vec<(&'static str, Vec<u8>, bool)> {
    let (half, _) = ANSWER.split_at(100);
    let long = format!(r#"{{"x":"{}","#, "y".repeat(300_000));
    let closing = |body: &str| format!("HTTP/1.1 200 OK\r\n{JSON}\r\n{body}").into_bytes();
    let short = |body: &str| {
        let length = body.len() + 50;
        format!("HTTP/1.1 200 OK\r\n{JSON}content-length: {length}\r\n\r\n{body}").into_bytes()
    };
    vec![
        ("cut before its length", short(half), true),
        ("long, and cut before its length", short(&long), true),
        ("cut between chunks", [CHUNKED.as_bytes(), &chunk(half)].concat(), true),
        ("long, and cut between chunks", [CHUNKED.as_bytes(), &chunk(&long)].concat(), true),
        ("closed within it", closing(half), true),
        ("long, and closed within it", closing(&long), true),
        ("half of it, framed as if it were whole", ok(half), false),
        ("a long half, framed as if it were whole", ok(&long), false),
        ("half of it in chunks that end", [CHUNKED.as_bytes(), &chunk(half), b"0\r\n\r\n"].concat(), false),
        ("empty", ok(""), false),
        ("no chunk", [CHUNKED.as_bytes(), b"0\r\n\r\n"].concat(), false),
        ("blank", ok(" \r\n"), false),
        ("a web page", answer(200, "content-type: text/html\r\n", "<html><body>hi</body></html>"), false),
        ("a list", ok("[]"), false),
        ("a string", ok("\"x\""), false),
        ("null", ok("null"), false),
        ("text behind it", ok(format!("{ANSWER} and more")), false),
    ]
}

#[test]
fn what_is_no_json_object_is_no_answer() {
    on_both(|driver| {
        for (what, bytes, closes) in broken() {
            let upstream = Upstream::start(move |line| {
                while line.receive().is_some() {
                    line.send(&bytes);
                    if closes {
                        return;
                    }
                }
            });
            let node = node(&upstream, driver);
            for (path, ask) in [(CHAT, ASK), (OPENAI_CHAT, ASK), (MESSAGES, r#"{"model":"claude-x"}"#)] {
                let mut caller = Caller::new(&node);
                let answer = caller.post(path, ask);
                assert_eq!((answer.status, answer.is_whole), (502, true), "{what}: {}", answer.text());
                if path == MESSAGES {
                    assert_eq!(answer.json()["error"]["type"], "api_error", "{what}");
                } else {
                    assert_eq!(answer.code(), "upstream_invalid_response", "{what}");
                }
                assert_eq!(caller.get("/health").status, 200, "{what}: the connection serves on");
            }
        }
    });
}

#[test]
fn a_broken_answer_is_asked_for_again() {
    on_both(|driver| {
        for (what, bytes, closes) in broken() {
            let asked = AtomicUsize::new(0);
            let upstream = Upstream::start(move |line| {
                while line.receive().is_some() {
                    let is_first = asked.fetch_add(1, Ordering::SeqCst) == 0;
                    line.send(if is_first { bytes.clone() } else { ok(ANSWER) });
                    if is_first && closes {
                        return;
                    }
                }
            });
            let config = with_network(config(upstream.address), "max_retries", 3);
            let config = with_network(config, "retry_backoff_initial", 1);
            let node = Node::start_on(&config.to_string(), driver, 1);
            let mut caller = Caller::new(&node);
            let answer = caller.post(CHAT, ASK);
            assert_eq!((answer.status, answer.text()), (200, ANSWER), "{what}");
            assert_eq!(upstream.requests().len(), 2, "{what}");
            assert!(caller.is_silent(), "{what}: answered twice");
        }
    });
}

#[test]
fn a_fallback_of_another_dialect_serves_in_place_of_a_broken_answer() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while let Some(request) = line.receive() {
                let is_claude = request.head.contains("/messages");
                line.send(if is_claude { ok(CLAUDE_ANSWER) } else { ok(&ANSWER[..90]) });
            }
        });
        let node = node(&upstream, driver);
        let ask = ASK.replace("\"messages\"", "\"fallbacks\":[\"anthropic/claude-x\"],\"messages\"");
        let answer = Caller::new(&node).post(CHAT, ask);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["choices"][0]["message"]["content"], "ho");
        assert_eq!(answer.json()["usage"]["total_tokens"], 5);
        assert_eq!(upstream.requests().len(), 2);
    });
}

#[test]
fn nothing_is_sent_before_the_answer_is_whole() {
    on_both(|driver| {
        let gate = Gate::default();
        let next = gate.clone();
        let body = format!(r#"{{"x":"{}","usage":{{"total_tokens":7}}}}"#, "y".repeat(300_000));
        let sent = body.clone();
        let upstream = Upstream::start(move |line| {
            while line.receive().is_some() {
                let (first, rest) = sent.as_bytes().split_at(200_000);
                line.send([CHUNKED.as_bytes(), &chunk(first)].concat());
                assert!(next.pass());
                line.send([&chunk(rest)[..], b"0\r\n\r\n"].concat());
            }
        });
        let node = node(&upstream, driver);
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            let asked = upstream.requests().len();
            let mut caller = Caller::new(&node);
            let text = String::from_utf8(request(CHAT, "", ASK)).unwrap();
            caller.send(text.replacen("HTTP/1.1", version, 1));
            upstream.request(asked);
            assert!(caller.is_silent(), "{version}: sent before it was whole");
            gate.open();
            let answer = caller.answer();
            let length = body.len().to_string();
            assert_eq!((answer.status, answer.value("content-length")), (200, Some(&*length)), "{version}");
            assert!(answer.is_whole && answer.text() == body, "{version}");
        }
    });
}

#[test]
fn an_answer_over_64_mib_passes_as_it_comes() {
    on_both(|driver| {
        let gate = Gate::default();
        let next = gate.clone();
        let upstream = Upstream::start(move |line| {
            let Some(request) = line.receive() else { return };
            let body = long();
            let (first, rest) = body.as_bytes().split_at(HELD_BYTES_MAX + 100_000);
            if request.text().contains("chunks") {
                line.send([CHUNKED.as_bytes(), &chunk(first)].concat());
                assert!(next.pass());
                line.send([&chunk(rest)[..], b"0\r\n\r\n"].concat());
            } else {
                let head = format!("HTTP/1.1 200 OK\r\n{JSON}content-length: {}\r\n\r\n", body.len());
                line.send(head);
                line.send(first);
                assert!(next.pass());
                line.send(rest);
            }
        });
        let node = node(&upstream, driver);
        let body = long();
        for word in ["chunks", "length"] {
            let mut caller = Caller::new(&node);
            caller.send(request(CHAT, "", ASK.replace("hi", word)));
            // The provider's last bytes are not sent before it has begun.
            caller.until_length(HELD_BYTES_MAX);
            gate.open();
            let answer = caller.answer();
            assert_eq!((answer.status, answer.is_whole), (200, true), "{word}");
            assert!(answer.body == body.as_bytes(), "{word}: {} bytes", answer.body.len());
            let is_chunked = answer.value("transfer-encoding") == Some("chunked");
            assert_eq!(is_chunked, word == "chunks");
        }
    });
}

fn long() -> String {
    format!(r#"{{"x":"{}","usage":{{"total_tokens":7}}}}"#, "y".repeat(HELD_BYTES_MAX + 1_000_000))
}

#[test]
fn an_error_under_a_status_of_success_is_one() {
    let openai =
        |code: &str| format!(r#"{{"error":{{"message":"busy sk-openai-under-test","code":{code}}}}}"#);
    let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#.to_owned();
    on_both(|driver| {
        for (body, path, ask, status) in [
            (openai("429"), CHAT, ASK, 429),
            (openai("502"), OPENAI_CHAT, ASK, 502),
            (openai("\"invalid_api_key\""), CHAT, ASK, 401),
            (overloaded.clone(), MESSAGES, r#"{"model":"claude-x"}"#, 529),
        ] {
            let upstream = Upstream::answering(ok(&body));
            let node = node(&upstream, driver);
            let answer = Caller::new(&node).post(path, ask);
            let expected = if status == 401 { 502 } else { status };
            assert_eq!(answer.status, expected, "{body}: {}", answer.text());
            assert!(!answer.text().contains("under-test"), "{}", answer.text());
            if status != 401 {
                assert!(answer.json()["error"]["message"].as_str().unwrap().starts_with("busy"));
            }
        }
        let beside = r#"{"error":{"message":"part of it"},"choices":[]}"#;
        let upstream = Upstream::answering(ok(beside));
        let node = node(&upstream, driver);
        assert_eq!(Caller::new(&node).post(CHAT, ASK).text(), beside);
    });
}

#[test]
fn the_total_deadline_ends_an_answer_that_is_not_there() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            if line.receive().is_some() {
                line.send([CHUNKED.as_bytes(), &chunk("{")].concat());
                line.silence();
            }
        });
        let mut config = config(upstream.address);
        config["server"] = json!({ "request_total_timeout_seconds": 1 });
        let node = Node::start(&config.to_string(), driver);
        let answer = Caller::new(&node).post(CHAT, ASK);
        assert_eq!((answer.status, &*answer.code()), (504, "request_timed_out"));
        assert!(answer.text().contains("request_total_timeout_seconds"), "{}", answer.text());
    });
}

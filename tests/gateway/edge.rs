//! The HTTP edge towards callers: order, reuse, old versions, refusals in the caller's own shape.

use std::sync::Arc;

use serde_json::Value;

use crate::caller::{Answer, Caller, chunked, request};
use crate::setup::{
    ANSWER, ASK, ASK_STREAM, CHAT, MESSAGES, OPENAI_CHAT, STREAM_HEAD, answer, chunk, event, node, ok,
    on_both,
};
use crate::support::upstream::{Gate, Upstream};

#[test]
fn pipelined_requests_are_answered_in_order() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while let Some(request) = line.receive() {
                line.send(ok(request.body));
            }
        });
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        let body = |number: usize| {
            format!(r#"{{"model":"gpt-4o","number":{number},"x":"{}"}}"#, "y".repeat(number * 700))
        };
        let mut bytes = Vec::new();
        for number in 0..30 {
            bytes.extend(request(CHAT, "", body(number)));
            bytes.extend(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n\r\n");
        }
        caller.send(&bytes);
        for number in 0..30 {
            assert_eq!(caller.answer().text(), body(number));
            assert_eq!(caller.answer().json()["status"], "ok");
        }
        assert_eq!(upstream.connections(), 1);
    });
}

/// Requests of any size and framing, their bytes cut anywhere, some before the answer to the one in front has come.
#[test]
fn pipelined_requests_may_be_cut_anywhere() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while let Some(request) = line.receive() {
                line.send(ok(request.body));
            }
        });
        let node = node(&upstream, driver);
        for seed in 0..4 {
            let mut random = fastrand::Rng::with_seed(seed);
            let bodies: Vec<String> = (0..120)
                .map(|number| {
                    let size = [10, 300, 5_000, 70_000][random.usize(..4)];
                    let text: String = (0..random.usize(..size)).map(|_| random.alphanumeric()).collect();
                    format!(r#"{{"number":{number},"model":"gpt-4o","text":"{text}"}}"#)
                })
                .collect();
            let mut bytes = Vec::new();
            for body in &bodies {
                bytes.extend(match random.bool() {
                    true => request(CHAT, "", body),
                    false => chunked(CHAT, body, random.usize(1..9_000)),
                });
            }
            let mut caller = Caller::new(&node);
            let mut sender = caller.sender();
            let sending = std::thread::spawn(move || {
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    let (piece, behind) = rest.split_at(random.usize(1..20_000).min(rest.len()));
                    std::io::Write::write_all(&mut sender, piece).unwrap();
                    rest = behind;
                }
            });
            for body in &bodies {
                assert!(caller.answer().text() == body, "seed {seed}: {}", &body[..30]);
            }
            sending.join().unwrap();
        }
    });
}

#[test]
fn one_upstream_connection_serves_many_callers_in_turn() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let config = crate::setup::config(upstream.address).to_string();
        let node = crate::support::node::Node::start_on(&config, driver, 1);
        for _ in 0..20 {
            assert_eq!(Caller::new(&node).post(CHAT, ASK).status, 200);
        }
        assert_eq!((upstream.requests().len(), upstream.connections()), (20, 1));
    });
}

#[test]
fn a_connection_that_the_provider_ends_is_not_reused() {
    on_both(|driver| {
        let with_close = answer(200, "content-type: application/json\r\nconnection: close\r\n", ANSWER);
        let old = with_close.replacen(b"HTTP/1.1", b"HTTP/1.0");
        for bytes in [with_close, old] {
            // It stays open on the provider's side: whether it is used again is the node's decision alone.
            let upstream = Upstream::answering(bytes);
            let config = crate::setup::config(upstream.address).to_string();
            let node = crate::support::node::Node::start_on(&config, driver, 1);
            let mut caller = Caller::new(&node);
            for count in 1..4 {
                assert_eq!(caller.post(CHAT, ASK).text(), ANSWER);
                assert_eq!(upstream.connections(), count);
            }
        }
    });
}

trait Replace {
    fn replacen(&self, from: &[u8], to: &[u8]) -> Vec<u8>;
}

impl Replace for Vec<u8> {
    fn replacen(&self, from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = self.windows(from.len()).position(|window| window == from).unwrap();
        [&self[..at], to, &self[at + from.len()..]].concat()
    }
}

#[test]
fn http_1_0_gets_no_chunks() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while let Some(request) = line.receive() {
                if request.text().contains("\"stream\":true") {
                    line.send(STREAM_HEAD);
                    line.send(chunk(event("one")));
                    line.send(chunk("data: [DONE]\n\n"));
                    line.send("0\r\n\r\n");
                } else {
                    line.send(ok(ANSWER));
                }
            }
        });
        let node = node(&upstream, driver);
        let old = |fields: &str, body: &str| {
            let length = body.len();
            format!(
                "POST {CHAT} HTTP/1.0\r\n{fields}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            )
        };
        let mut caller = Caller::new(&node);
        caller.send(old("connection: keep-alive\r\n", ASK));
        let answer = caller.answer();
        assert_eq!((answer.text(), answer.value("connection")), (ANSWER, Some("keep-alive")));
        caller.send(old("connection: keep-alive\r\n", ASK_STREAM));
        let answer = caller.answer();
        assert_eq!((answer.value("transfer-encoding"), answer.value("connection")), (None, Some("close")));
        assert_eq!(answer.text(), [event("one"), "data: [DONE]\n\n".into()].concat());
        let mut caller = Caller::new(&node);
        caller.send(old("", ASK));
        assert_eq!(caller.answer().value("connection"), Some("close"));
        assert!(caller.is_closed());
    });
}

#[test]
fn http_1_0_gets_each_event_as_it_comes() {
    on_both(|driver| {
        let gate = Gate::default();
        let next = gate.clone();
        let upstream = Upstream::start(move |line| {
            while line.receive().is_some() {
                line.send(STREAM_HEAD);
                for number in 0..10 {
                    line.send(chunk(event(&format!("<{number}>"))));
                    if !next.pass() {
                        return;
                    }
                }
                line.send("0\r\n\r\n");
            }
        });
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        let length = ASK_STREAM.len();
        caller.send(format!("POST {CHAT} HTTP/1.0\r\ncontent-length: {length}\r\n\r\n{ASK_STREAM}"));
        for number in 0..10 {
            caller.until(format!("<{number}>"));
            gate.open();
        }
        let answer = caller.answer();
        assert_eq!((answer.value("transfer-encoding"), answer.value("connection")), (None, Some("close")));
        assert_eq!(answer.value("x-accel-buffering"), Some("no"));
        assert_eq!(answer.text(), (0..10).map(|number| event(&format!("<{number}>"))).collect::<String>());
    });
}

#[test]
fn a_caller_that_waits_is_invited_and_one_that_does_not_is_not() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        let length = ASK.len();
        for framing in [format!("content-length: {length}"), "transfer-encoding: chunked".to_owned()] {
            caller.send(format!(
                "POST {CHAT} HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\n{framing}\r\n\r\n"
            ));
            caller.until("HTTP/1.1 100 Continue\r\n\r\n");
            let is_chunked = framing.starts_with('t');
            caller.send(if is_chunked { [chunk(ASK), b"0\r\n\r\n".to_vec()].concat() } else { ASK.into() });
            assert_eq!(caller.answer().text(), ANSWER);
        }
        let mut caller = Caller::new(&node);
        caller.send(request(CHAT, "expect: 100-continue\r\nconnection: close\r\n", ASK));
        assert!(caller.rest().starts_with(b"HTTP/1.1 200"));
        let mut caller = Caller::new(&node);
        caller.send(request(CHAT, "expect: a-miracle\r\n", ASK));
        assert_eq!(caller.answer().status, 417);
        assert!(upstream.requests().iter().all(|request| request.values("expect").is_empty()));
    });
}

#[test]
fn head_has_a_gets_head() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        for path in ["/health", "/v1/models", "/metrics"] {
            caller.send(format!("HEAD {path} HTTP/1.1\r\nhost: test\r\n\r\n"));
            let head = caller.answer_to(true);
            assert_eq!(head.status, 200);
            assert!(head.value("content-length").unwrap().parse::<usize>().unwrap() > 0);
            assert_eq!(caller.get(path).status, 200);
        }
        caller.send("HEAD /nowhere HTTP/1.1\r\nhost: test\r\n\r\n");
        assert_eq!(caller.answer_to(true).status, 404);
        assert_eq!(caller.get("/health").status, 200);
    });
}

/// Whether the error is worded as callers of this family of paths expect.
pub(crate) fn check_shape(path: &str, answer: &Answer) {
    let body = answer.json();
    assert_eq!(answer.value("content-type"), Some("application/json"));
    assert!(!body["error"]["message"].as_str().unwrap().is_empty());
    assert!(body["error"]["type"].is_string());
    let keys: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    if path.starts_with("/anthropic") {
        assert_eq!((&body["type"], keys), (&Value::from("error"), vec!["error", "request_id", "type"]));
    } else if path.starts_with("/openai") {
        assert_eq!(keys, ["error"]);
        assert!(body["error"]["code"].is_string() && body["error"].get("param").is_some());
    } else {
        assert_eq!(body["status_code"], answer.status);
        assert!(body["is_bifrost_error"].is_boolean() && body["extra_fields"].is_object());
    }
}

#[test]
fn refusals_speak_the_callers_dialect() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        for path in ["/v1/nothing", "/openai/v1/nothing", "/anthropic/v1/nothing", "/anthropic/v1/messages/"]
        {
            let answer = caller.get(path);
            assert_eq!(answer.status, 404);
            check_shape(path, &answer);
        }
        for (path, method, allow) in [
            (CHAT, "GET", "POST, OPTIONS"),
            (OPENAI_CHAT, "DELETE", "POST, OPTIONS"),
            (MESSAGES, "PUT", "POST, OPTIONS"),
            ("/v1/models", "POST", "GET, HEAD, OPTIONS"),
            ("/anthropic/v1/models", "PATCH", "GET, HEAD, OPTIONS"),
        ] {
            caller.send(format!("{method} {path} HTTP/1.1\r\nhost: test\r\n\r\n"));
            let answer = caller.answer();
            assert_eq!((answer.status, answer.value("allow")), (405, Some(allow)));
            check_shape(path, &answer);
        }
        for path in [CHAT, OPENAI_CHAT, MESSAGES] {
            for field in [
                "content-type: text/plain",
                "content-type: application/jsonx",
                "content-type: application/json\r\ncontent-type: application/json",
                "content-type: application/json\r\ncontent-encoding: compress",
            ] {
                let mut caller = Caller::new(&node);
                caller.send(format!(
                    "POST {path} HTTP/1.1\r\nhost: test\r\n{field}\r\ncontent-length: 2\r\n\r\n{{}}"
                ));
                let answer = caller.answer();
                assert_eq!(answer.status, 415, "{field}");
                check_shape(path, &answer);
            }
            let mut caller = Caller::new(&node);
            let answer = caller.post(path, "{}");
            assert_eq!(answer.status, 400);
            check_shape(path, &answer);
        }
        assert_eq!(upstream.connections(), 0);
    });
}

#[test]
fn a_body_that_nobody_reads_ends_the_connection() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        for (path, status) in [("/nowhere", 404), ("/v1/models", 405), ("/openai/v1/files", 415)] {
            let mut caller = Caller::new(&node);
            // What looks like a request here is this one's body.
            caller.send(request(path, "", request(CHAT, "", ASK)));
            let answer = caller.answer();
            assert_eq!((answer.status, answer.value("connection")), (status, Some("close")));
            caller.half_close();
            assert_eq!(caller.rest(), b"");
        }
        let mut caller = Caller::new(&node);
        caller.send("GET /health HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nhello");
        assert_eq!((caller.answer().status, caller.get("/health").status), (200, 200));
        assert_eq!(upstream.connections(), 0);
    });
}

#[test]
fn other_spellings_of_json_are_taken() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        let length = ASK.len();
        for field in [
            "content-type: Application/JSON ; charset=utf-8\r\n",
            "content-type: application/vnd.api+json\r\n",
            // What `curl -d` says.
            "content-type: application/x-www-form-urlencoded\r\n",
            "",
            "content-encoding: identity\r\n",
        ] {
            caller.send(format!("POST {CHAT}?api-version=1 HTTP/1.1\r\nhost: test\r\n{field}content-length: {length}\r\n\r\n{ASK}"));
            assert_eq!(caller.answer().status, 200);
            assert_eq!(upstream.last().value("content-type"), "application/json");
            assert!(!upstream.last().head.contains("api-version"));
        }
    });
}

#[test]
fn a_post_says_how_long_its_body_is() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        for path in [CHAT, OPENAI_CHAT, MESSAGES] {
            let mut caller = Caller::new(&node);
            caller.send(format!("POST {path} HTTP/1.1\r\nhost: test\r\n\r\n"));
            let answer = caller.answer();
            assert_eq!(answer.status, 411);
            check_shape(path, &answer);
            // There was no body: what follows is a request.
            assert_eq!(caller.get("/health").status, 200);
            for framing in ["content-length: 0\r\n\r\n", "transfer-encoding: chunked\r\n\r\n0\r\n\r\n"] {
                caller.send(format!("POST {path} HTTP/1.1\r\nhost: test\r\n{framing}"));
                assert_eq!(caller.answer().status, 400);
            }
            caller.send(format!("POST {path} HTTP/1.0\r\n\r\n"));
            assert_eq!(caller.answer().status, 411);
        }
        assert_eq!(upstream.connections(), 0);
    });
}

#[test]
fn broken_heads_are_refused_and_the_connection_ends() {
    let long = "x".repeat(70_000);
    let many: String = (0..101).map(|number| format!("x-{number}: 1\r\n")).collect();
    let refused = [
        (format!("GET /health HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"), 431),
        (format!("GET /health HTTP/1.1\r\nhost: a\r\n{many}\r\n"), 431),
        (format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), 414),
        ("GET /health HTTP/2.0\r\nhost: a\r\n\r\n".into(), 505),
        ("BREW /health HTTP/1.1\r\nhost: a\r\n\r\n".into(), 501),
        ("POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n".into(), 501),
        ("POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n{}".into(), 400),
        ("POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}".into(), 400),
        ("GET /health HTTP/1.1\nhost: a\n\n".into(), 400),
        ("GET /health HTTP/1.1\r\nhost : a\r\n\r\n".into(), 400),
        ("\u{16}\u{3}\u{1}\r\n\r\n".into(), 400),
        (format!("POST {MESSAGES} HTTP/1.1\r\nhost : a\r\n\r\n"), 400),
        (format!("\r\nPOST {MESSAGES} HTTP/1.1\r\ncontent-length: 2\r\n\r\n{{}}"), 400),
        (format!("GET http://gw{MESSAGES} HTTP/3.0\r\nhost: a\r\n\r\n"), 505),
        (format!("BREW {OPENAI_CHAT} HTTP/1.1\r\nhost: a\r\n\r\n"), 501),
        (format!("POST {OPENAI_CHAT} HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"), 431),
        (format!("GET /anthropic/{long} HTTP/1.1\r\nhost: a\r\n\r\n"), 414),
    ];
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        for (head, status) in &refused {
            let mut caller = Caller::new(&node);
            caller.try_send(head);
            let answer = caller.answer();
            assert_eq!(
                (answer.status, answer.value("connection")),
                (*status, Some("close")),
                "{}",
                &head[..50.min(head.len())]
            );
            let path = ["/anthropic/", "/openai/"]
                .into_iter()
                .find(|prefix| head.get(..40.min(head.len())).is_some_and(|front| front.contains(prefix)));
            check_shape(path.unwrap_or("/"), &answer);
            caller.try_send(request(CHAT, "", ASK));
            caller.half_close();
            assert_eq!(caller.rest(), b"");
        }
        assert_eq!(upstream.connections(), 0);
        assert_eq!(Caller::new(&node).get("/health").status, 200);
    });
}

#[test]
fn callers_do_not_wait_for_each_other() {
    on_both(|driver| {
        let gate = Gate::default();
        let waiting = gate.clone();
        let upstream = Arc::new(Upstream::start(move |line| {
            while let Some(request) = line.receive() {
                if request.text().contains("slow") {
                    waiting.pass();
                }
                line.send(ok(ANSWER));
            }
        }));
        let config = crate::setup::config(upstream.address).to_string();
        let node = crate::support::node::Node::start_on(&config, driver, 1);
        let mut slow = Caller::new(&node);
        slow.send(request(CHAT, "", r#"{"model":"gpt-4o","x":"slow"}"#));
        upstream.request(0);
        let mut quick = Caller::new(&node);
        for _ in 0..10 {
            assert_eq!(quick.post(CHAT, ASK).status, 200);
        }
        gate.open();
        assert_eq!(slow.answer().status, 200);
    });
}

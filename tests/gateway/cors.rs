//! Web pages as callers: only those of allowed origins are served, whatever they send, and only they can read answers.

use serde_json::{Value, json};

use crate::caller::{Answer, Caller, request};
use crate::setup::{
    ANSWER, ASK, ASK_CLAUDE_STREAM, ASK_STREAM, CHAT, MESSAGES, MESSAGES_STREAM, OPENAI_CHAT, STREAM_HEAD,
    answer, chunk, event, ok, on_both,
};
use crate::support::node::Node;
use crate::support::upstream::Upstream;

const PAGE: &str = "https://app.example.com";

/// A stream of Anthropic's without content.
const CLAUDE: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m1\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"claude-x\",\"stop_reason\":null,\"usage\":{\"input_tokens\":2,\"output_tokens\":1}}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":3}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// A node that lets pages of these origins call.
fn node(upstream: &Upstream, driver: &str, origins: Value) -> Node {
    let mut config = crate::setup::config(upstream.address);
    config["client"] = json!({ "allowed_origins": origins, "allowed_headers": ["X-Team"] });
    Node::start(&config.to_string(), driver)
}

fn asked(method: &str, path: &str, fields: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: test\r\n{fields}\r\n")
}

#[track_caller]
fn check_readable(answer: &Answer, origin: &str, with_credentials: bool) {
    assert_eq!(answer.value("access-control-allow-origin"), Some(origin), "{}", answer.head);
    let credentials = with_credentials.then_some("true");
    assert_eq!(answer.value("access-control-allow-credentials"), credentials, "{}", answer.head);
    assert_eq!(answer.value("vary"), Some("Origin"));
    assert!(answer.value("access-control-expose-headers").unwrap().contains("x-corelane-request-id"));
}

#[track_caller]
fn check_unreadable(answer: &Answer) {
    assert!(!answer.head.to_ascii_lowercase().contains("access-control-"), "{}", answer.head);
}

#[test]
fn a_page_that_is_not_allowed_gets_nothing_and_spends_nothing() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver, json!([PAGE, "https://*.pages.example"]));
        for origin in [
            "https://evil.example",
            "http://app.example.com",
            "https://app.example.com.evil.example",
            "https://a.b.pages.example",
            "http://localhost.evil.example",
            // What a page of our own address would send, had its name been bound anew to us.
            "http://test",
            "null",
            "",
            "\u{fc}",
        ] {
            let origin = format!("Origin: {origin}\r\n");
            // What a browser sends without asking first, and what it asks for.
            let simple = format!("{origin}content-type: text/plain;charset=UTF-8\r\ncontent-length: 2\r\n");
            let post = format!("{origin}content-type: application/json\r\ncontent-length: 2\r\n");
            let ask = format!("{origin}access-control-request-method: POST\r\n");
            for path in [CHAT, OPENAI_CHAT, MESSAGES, "/v1/models", "/health", "/metrics", "/nowhere"] {
                for (method, fields, body) in [
                    ("POST", &simple, "{}"),
                    ("POST", &post, "{}"),
                    ("GET", &origin, ""),
                    ("DELETE", &origin, ""),
                    ("OPTIONS", &origin, ""),
                    ("OPTIONS", &ask, ""),
                ] {
                    let mut caller = Caller::new(&node);
                    caller.send(asked(method, path, fields) + body);
                    let answer = caller.answer();
                    assert_eq!(answer.status, 403, "{method} {path} {fields}");
                    crate::edge::check_shape(path, &answer);
                    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("allowed_origins"));
                    assert_eq!(answer.value("vary"), Some("Origin"));
                    check_unreadable(&answer);
                }
            }
        }
        assert_eq!(upstream.connections(), 0);
    });
}

#[test]
fn a_refused_pages_body_is_no_request() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver, json!([]));
        let mut caller = Caller::new(&node);
        caller.send(request(CHAT, "origin: https://evil.example\r\n", request(CHAT, "", ASK)));
        let answer = caller.answer();
        assert_eq!((answer.status, &*answer.code()), (403, "origin_not_allowed"));
        assert_eq!(answer.value("connection"), Some("close"));
        caller.half_close();
        assert_eq!(caller.rest(), b"");
        // Held back, it is never asked for.
        let mut caller = Caller::new(&node);
        caller.send(asked(
            "POST",
            CHAT,
            "origin: https://evil.example\r\nexpect: 100-continue\r\ncontent-length: 9\r\n",
        ));
        caller.half_close();
        assert!(caller.rest().starts_with(b"HTTP/1.1 403 "));
        assert_eq!(upstream.connections(), 0);
    });
}

#[test]
fn two_origins_are_none() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver, json!([PAGE]));
        let mut caller = Caller::new(&node);
        caller.send(request(CHAT, &format!("origin: {PAGE}\r\nOrigin: {PAGE}\r\n"), ASK));
        assert_eq!(caller.answer().status, 400);
        assert_eq!(upstream.connections(), 0);
    });
}

#[test]
fn an_allowed_page_can_read_answers_and_errors() {
    on_both(|driver| {
        let fields = "content-type: application/json\r\naccess-control-allow-origin: *\r\n\
            Access-Control-Expose-Headers: LEAK\r\nx-accel-redirect: /internal\r\nx-request-id: r1\r\n";
        let upstream = Upstream::start(move |line| {
            while let Some(request) = line.receive() {
                let status = if request.text().contains("limited") { 429 } else { 200 };
                line.send(answer(status, fields, ANSWER));
            }
        });
        let node = node(&upstream, driver, json!([PAGE, "https://*.pages.example"]));
        for origin in [PAGE, "https://a.pages.example", "http://localhost:3000", "https://127.0.0.1"] {
            let field = format!("origin: {origin}\r\n");
            for (bytes, status) in [
                (request(CHAT, &field, ASK), 200),
                (request(CHAT, &field, ASK.replace("hi", "limited")), 429),
                (request(OPENAI_CHAT, &field, ASK.replace("hi", "limited")), 429),
                (request(CHAT, &field, "[]"), 400),
                (request(CHAT, &field, ASK.replace("openai/", "nobody/")), 400),
                (asked("GET", "/v1/models", &field).into_bytes(), 200),
                (asked("GET", "/health", &field).into_bytes(), 200),
                (asked("GET", "/nowhere", &field).into_bytes(), 404),
                (asked("GET", CHAT, &field).into_bytes(), 405),
                (asked("POST", CHAT, &field).into_bytes(), 411),
            ] {
                let mut caller = Caller::new(&node);
                caller.send(bytes);
                let answer = caller.answer();
                assert_eq!(answer.status, status, "{}", answer.head);
                check_readable(&answer, origin, true);
                assert!(!answer.head.contains("LEAK") && answer.value("x-accel-redirect").is_none());
                assert!(answer.value("x-corelane-request-id").is_some());
            }
        }
        // Without a page no answer speaks of pages.
        let mut caller = Caller::new(&node);
        let answer = caller.post(CHAT, ASK);
        check_unreadable(&answer);
        assert_eq!(
            (answer.status, answer.value("vary"), answer.value("x-request-id")),
            (200, None, Some("r1"))
        );
        assert_eq!(caller.get("/v1/models").value("vary"), Some("Origin"));
        assert!(upstream.requests().iter().all(|request| request.values("origin").is_empty()));
    });
}

#[test]
fn an_allowed_page_can_read_streams_of_both_dialects() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while let Some(request) = line.receive() {
                let is_claude = request.text().contains("claude");
                line.send(STREAM_HEAD);
                line.send(chunk(match is_claude {
                    true => CLAUDE.to_owned(),
                    false => event("one") + "data: [DONE]\n\n",
                }));
                line.send("0\r\n\r\n");
            }
        });
        let node = node(&upstream, driver, json!([PAGE]));
        let mut caller = Caller::new(&node);
        for (path, body) in [
            (CHAT, ASK_STREAM.to_owned()),
            (MESSAGES, MESSAGES_STREAM.to_owned()),
            (CHAT, ASK_CLAUDE_STREAM.to_owned()),
        ] {
            caller.send(request(path, &format!("origin: {PAGE}\r\n"), body));
            let answer = caller.answer();
            assert_eq!((answer.status, answer.value("content-type")), (200, Some("text/event-stream")));
            assert_eq!(answer.value("x-accel-buffering"), Some("no"));
            assert_eq!(answer.value("cache-control"), Some("no-cache"));
            check_readable(&answer, PAGE, true);
        }
    });
}

#[test]
fn with_a_star_any_page_calls_and_none_as_somebody() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver, json!(["*", PAGE]));
        let mut caller = Caller::new(&node);
        for origin in ["https://evil.example", "null", PAGE, "http://localhost:1"] {
            caller.send(request(CHAT, &format!("origin: {origin}\r\n"), ASK));
            let answer = caller.answer();
            assert_eq!(answer.status, 200);
            check_readable(&answer, origin, false);
        }
        // No origin is this long, and none is empty.
        for origin in ["x".repeat(2000), String::new()] {
            let mut caller = Caller::new(&node);
            caller.send(request(CHAT, &format!("origin: {origin}\r\n"), ASK));
            assert_eq!(caller.answer().status, 403);
        }
    });
}

#[test]
fn a_browser_that_asks_first_is_told_what_its_page_may_send() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver, json!([PAGE]));
        let mut caller = Caller::new(&node);
        for (path, methods) in [
            (CHAT, "POST, OPTIONS"),
            (MESSAGES, "POST, OPTIONS"),
            ("/v1/models", "GET, HEAD, OPTIONS"),
            ("*", "GET, HEAD, POST, DELETE, OPTIONS"),
        ] {
            let fields = format!(
                "origin: {PAGE}\r\naccess-control-request-method: POST\r\naccess-control-request-headers: \
                 authorization,content-type,X-Stainless-Lang, x-stainless-retry-count,x-evil,x-bf-vk\r\n"
            );
            caller.send(asked("OPTIONS", path, &fields));
            let answer = caller.answer_to(true);
            assert_eq!((answer.status, answer.value("content-length")), (204, None), "{}", answer.head);
            assert_eq!(answer.value("access-control-allow-methods"), Some(methods));
            assert_eq!(answer.value("access-control-max-age"), Some("86400"));
            check_readable(&answer, PAGE, true);
            let allowed = answer.value("access-control-allow-headers").unwrap().to_ascii_lowercase();
            let allowed: Vec<&str> = allowed.split(", ").collect();
            for name in [
                "authorization",
                "content-type",
                "x-api-key",
                "anthropic-version",
                "x-stainless-timeout",
                "x-stainless-lang",
                "x-stainless-retry-count",
                "x-bf-vk",
                "x-team",
            ] {
                assert!(allowed.contains(&name), "{name} in {allowed:?}");
            }
            assert!(!allowed.contains(&"x-evil"));
        }
        caller.send(asked(
            "OPTIONS",
            "/nowhere",
            &format!("origin: {PAGE}\r\naccess-control-request-method: POST\r\n"),
        ));
        let answer = caller.answer();
        assert_eq!(answer.status, 404);
        check_readable(&answer, PAGE, true);
        assert_eq!(upstream.connections(), 0);
    });
}

#[test]
fn options_without_a_page_names_the_methods() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver, json!([PAGE]));
        let mut caller = Caller::new(&node);
        for (path, allow) in [
            (CHAT, "POST, OPTIONS"),
            ("/metrics", "GET, HEAD, OPTIONS"),
            ("*", "GET, HEAD, POST, DELETE, OPTIONS"),
        ] {
            for fields in ["", "access-control-request-method: POST\r\n", "content-length: 2\r\n"] {
                let body = if fields.starts_with("content") { "{}" } else { "" };
                caller.send(asked("OPTIONS", path, fields) + body);
                let answer = caller.answer_to(true);
                assert_eq!((answer.status, answer.value("allow")), (204, Some(allow)));
                check_unreadable(&answer);
            }
        }
        assert_eq!(caller.get("/health").status, 200);
        caller.send(asked("OPTIONS", "/nowhere", ""));
        assert_eq!(caller.answer().status, 404);
    });
}

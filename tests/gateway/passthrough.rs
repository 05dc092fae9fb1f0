//! The body on its way to the provider: byte for byte but the model's, and nothing at all of what is refused.

use crate::caller::{Caller, chunked, request};
use crate::setup::{ANSWER, CHAT, MESSAGES, OPENAI_CHAT, node, ok, on_both};
use crate::support::upstream::Upstream;

/// What is sent to `/v1/chat/completions`, and what must arrive.
fn bodies() -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs: [(&str, &str); 11] = [
        (r#"{"model":"openai/gpt-4o"}"#, r#"{"model":"gpt-4o"}"#),
        (r#"{"model":"gpt-4o","a":1}"#, r#"{"model":"gpt-4o","a":1}"#),
        (
            " {\r\n\t\"x\" : [ 1 , 2.50 , -0.0e+5 , null ] ,\n \"model\"  :\t\"openai/gpt-4o\" , \"y\":{ } } \r\n",
            " {\r\n\t\"x\" : [ 1 , 2.50 , -0.0e+5 , null ] ,\n \"model\"  :\t\"gpt-4o\" , \"y\":{ } } \r\n",
        ),
        (r#"{"model":"open\u0061i\/gpt-4o"}"#, r#"{"model":"gpt-4o"}"#),
        (r#"{"mod\u0065l":"openai/gpt-4o","z":1}"#, r#"{"mod\u0065l":"gpt-4o","z":1}"#),
        (
            r#"{"a":1,"a":2,"a":{"a":1,"a":1},"model":"openai/gpt-4o"}"#,
            r#"{"a":1,"a":2,"a":{"a":1,"a":1},"model":"gpt-4o"}"#,
        ),
        (
            r#"{"seed":12345678901234567890123,"f":1e999,"model":"openai/gpt-4o"}"#,
            r#"{"seed":12345678901234567890123,"f":1e999,"model":"gpt-4o"}"#,
        ),
        (
            r#"{"u":"\ud800","e":"\u0000\"\\","model":"openai/gpt-4o"}"#,
            r#"{"u":"\ud800","e":"\u0000\"\\","model":"gpt-4o"}"#,
        ),
        (
            r#"{"model":"openai/gpt-4o","tools":[{"model":"openai/x","fallbacks":["y"]}]}"#,
            r#"{"model":"gpt-4o","tools":[{"model":"openai/x","fallbacks":["y"]}]}"#,
        ),
        (r#"{"fallbacks":[ ],"model":"openai/gpt-4o","q":1}"#, r#"{"model":"gpt-4o","q":1}"#),
        (r#"{"model":"openai/gpt-4o","fallbacks":null}"#, r#"{"model":"gpt-4o"}"#),
    ];
    let mut pairs: Vec<_> =
        pairs.map(|(sent, expected)| (sent.as_bytes().to_vec(), expected.as_bytes().to_vec())).to_vec();
    pairs.push((
        b"{\"model\":\"openai/gpt-4o\",\"t\":\"\xff\xfe\xc3\"}".to_vec(),
        b"{\"model\":\"gpt-4o\",\"t\":\"\xff\xfe\xc3\"}".to_vec(),
    ));
    pairs
}

#[test]
fn only_the_models_bytes_change() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        for (sent, expected) in bodies() {
            for bytes in [request(CHAT, "", &sent), chunked(CHAT, &sent, 1), chunked(CHAT, &sent, 1000)] {
                caller.send(bytes);
                let answer = caller.answer();
                assert_eq!((answer.status, answer.text()), (200, ANSWER), "{}", sent.escape_ascii());
                let received = upstream.last();
                assert_eq!(received.body.escape_ascii().to_string(), expected.escape_ascii().to_string());
                assert_eq!(received.value("content-length"), expected.len().to_string());
            }
        }
        assert_eq!((upstream.connections(), upstream.scraps().len()), (1, 0));
    });
}

#[test]
fn each_dialects_own_path_takes_bare_names() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        for (path, sent, line, body) in [
            (
                OPENAI_CHAT,
                r#"{"model":"gpt-4o"}"#,
                "POST /v1/chat/completions HTTP/1.1",
                r#"{"model":"gpt-4o"}"#,
            ),
            (
                "/openai/chat/completions",
                r#"{"model":"openai/gpt-4o"}"#,
                "POST /v1/chat/completions HTTP/1.1",
                r#"{"model":"gpt-4o"}"#,
            ),
            (
                MESSAGES,
                r#"{"model":"claude-x","max_tokens":1}"#,
                "POST /v1/messages HTTP/1.1",
                r#"{"model":"claude-x","max_tokens":1}"#,
            ),
            (
                MESSAGES,
                r#"{"model":"anthropic/claude-x"}"#,
                "POST /v1/messages HTTP/1.1",
                r#"{"model":"claude-x"}"#,
            ),
        ] {
            let answer = caller.post(path, sent);
            assert_eq!((answer.status, answer.text()), (200, ANSWER));
            let received = upstream.last();
            assert_eq!((received.head.lines().next(), received.text()), (Some(line), body));
        }
    });
}

#[test]
fn what_is_refused_does_not_go_up() {
    let deep = |depth: usize| {
        format!(r#"{{"model":"openai/gpt-4o","a":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1))
    };
    let many = |count: usize| format!(r#"{{"model":"openai/gpt-4o","a":[{}1]}}"#, "1,".repeat(count - 4));
    let refused: Vec<(String, &str)> = vec![
        (r#"{"model":"openai/gpt-4o","model":"openai/gpt-4o"}"#.into(), "duplicate_field"),
        (r#"{"model":"openai/gpt-4o","mod\u0065l":"x"}"#.into(), "duplicate_field"),
        (r#"{"model":"openai/gpt-4o","stream":true,"stre\u0061m":false}"#.into(), "duplicate_field"),
        (r#"{"model":"openai/gpt-4o","fallbacks":[],"fallbacks":["a/b"]}"#.into(), "duplicate_field"),
        (r#"{"model":"openai/gpt-4o","stream_options":{},"stream_options":{}}"#.into(), "duplicate_field"),
        (r#"{"model":"openai/gpt-4o","fallbacks":{}}"#.into(), "invalid_request"),
        (r#"{"model":"openai/gpt-4o","fallbacks":[7]}"#.into(), "invalid_request"),
        (r#"{"model":"openai/gpt-4o","fallbacks":[{"provider":"anthropic"}]}"#.into(), "invalid_request"),
        (
            format!(r#"{{"model":"openai/gpt-4o","fallbacks":[{}"a"]}}"#, r#""a","#.repeat(16)),
            "invalid_request",
        ),
        (deep(129), "json_too_complex"),
        (many(1_000_001), "json_too_complex"),
        (r#"[{"model":"openai/gpt-4o"}]"#.into(), "invalid_request"),
        (r#""model""#.into(), "invalid_request"),
        ("".into(), "invalid_request"),
        (r#"{"model":"openai/gpt-4o""#.into(), "invalid_request"),
        (r#"{"model":"openai/gpt-4o"}}"#.into(), "invalid_request"),
        (r#"{"model":"openai/gpt-4o"} {}"#.into(), "invalid_request"),
        (r#"{"model":"openai/gpt-4o",}"#.into(), "invalid_request"),
        ("{\"model\":\"openai/gpt-4o\",\"a\":\"\n\"}".into(), "invalid_request"),
        (r#"{"model":"openai/gpt-4o","stream":1}"#.into(), "invalid_request"),
        (r#"{"model":"openai/gpt-4o","stream":"true"}"#.into(), "invalid_request"),
        (r#"{"messages":[]}"#.into(), "model_not_found"),
        (r#"{"model":null}"#.into(), "model_not_found"),
        (r#"{"model":["openai/gpt-4o"]}"#.into(), "model_not_found"),
        (r#"{"model":""}"#.into(), "model_not_found"),
        (r#"{"model":"openai/"}"#.into(), "model_not_found"),
    ];
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        for (body, code) in &refused {
            for bytes in [request(CHAT, "", body), chunked(CHAT, body, 100_000)] {
                let mut caller = Caller::new(&node);
                caller.try_send(bytes);
                let answer = caller.answer();
                let start: String = body.chars().take(100).collect();
                assert_eq!((answer.status, &*answer.code()), (400, *code), "{start}: {}", answer.text());
            }
        }
        assert_eq!((upstream.requests().len(), upstream.connections()), (0, 0));
        let mut caller = Caller::new(&node);
        assert_eq!(caller.post(CHAT, deep(128)).status, 200);
        assert_eq!(caller.post(CHAT, many(1_000_000)).status, 200);
    });
}

#[test]
fn nothing_behind_a_refused_body_is_served() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        let good = request(CHAT, "", r#"{"model":"openai/gpt-4o"}"#);
        // The fault stands in the first piece; the rest of the body never comes, what follows is another request.
        let begun = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n[1"
        );
        for front in [
            begun.into_bytes(),
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"
                .to_vec(),
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            b"GET /health HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n".to_vec(),
        ] {
            let mut caller = Caller::new(&node);
            caller.send([front, good.clone()].concat());
            let answer = caller.answer();
            assert_eq!(
                (answer.status, answer.value("connection")),
                (400, Some("close")),
                "{}",
                answer.text()
            );
            caller.half_close();
            assert_eq!(caller.rest(), b"");
        }
        assert_eq!(upstream.connections(), 0);
    });
}

#[test]
fn a_whole_refused_body_leaves_the_connection_usable() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        assert_eq!(caller.post(CHAT, r#"{"model":"openai/nope"}"#).code(), "no_key_for_model");
        assert_eq!(caller.post(CHAT, r#"{"model":"openai/gpt-4o"}"#).status, 200);
    });
}

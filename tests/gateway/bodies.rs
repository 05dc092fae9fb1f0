//! Bodies around each buffer's size, in every framing and pace, both ways.

use serde_json::{Value, json};

use crate::caller::{Caller, chunked, request};
use crate::setup::{ANSWER, CHAT, chunk, node, ok, on_both};
use crate::support::upstream::Upstream;

/// One byte around what is read, copied, held or parsed in one go somewhere.
const SIZES: [usize; 11] = [
    4 * 1024 - 1,
    4 * 1024,
    4 * 1024 + 1,
    8 * 1024 - 1,
    8 * 1024 + 1,
    64 * 1024 - 1,
    64 * 1024,
    64 * 1024 + 1,
    256 * 1024 + 1,
    1024 * 1024 + 1,
    5 * 1024 * 1024 + 1,
];

const MODEL_LAST: [&str; 2] = [r#"{"x":""#, r#"","model":"openai/gpt-4o"}"#];
const MODEL_FIRST: [&str; 2] = [r#"{"model":"openai/gpt-4o","x":""#, r#""}"#];

/// A body of exactly `size` bytes, with no two stretches alike.
fn body(size: usize, [front, back]: [&str; 2]) -> Vec<u8> {
    let filler = size - front.len() - back.len();
    let text: String = (0_usize..)
        .flat_map(|number| format!("{number} ").into_bytes())
        .take(filler)
        .map(char::from)
        .collect();
    [front, &text, back].concat().into_bytes()
}

fn expected(body: &[u8]) -> Vec<u8> {
    String::from_utf8(body.to_vec()).unwrap().replace("openai/", "").into_bytes()
}

/// Without the page of text that `assert_eq` would print.
fn assert_same(found: &[u8], wanted: &[u8], what: &str) {
    let at = found.iter().zip(wanted).position(|(a, b)| a != b);
    assert!(found == wanted, "{what}: {} of {} bytes, first difference at {at:?}", found.len(), wanted.len());
}

#[test]
fn requests_of_every_size_arrive_whole() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        for size in SIZES {
            for shape in [MODEL_FIRST, MODEL_LAST] {
                let body = body(size, shape);
                for bytes in
                    [request(CHAT, "", &body), chunked(CHAT, &body, 5000), chunked(CHAT, &body, size)]
                {
                    caller.send(bytes);
                    assert_eq!(caller.answer().status, 200);
                    assert_same(&upstream.last().body, &expected(&body), &format!("{size}"));
                }
            }
        }
        assert_eq!(upstream.connections(), 1);
    });
}

#[test]
fn requests_in_small_pieces_arrive_whole() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        for (size, piece) in [(200, 1), (9000, 7), (70_000, 997), (300_000, 4096)] {
            let body = body(size, MODEL_LAST);
            for bytes in [request(CHAT, "", &body), chunked(CHAT, &body, 1234)] {
                bytes.chunks(piece).for_each(|piece| caller.send(piece));
                assert_eq!(caller.answer().status, 200);
                assert_same(&upstream.last().body, &expected(&body), &format!("{size} by {piece}"));
            }
        }
    });
}

#[test]
fn answers_of_every_size_come_back_whole() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            // The caller says in the body how it wants its answer.
            while let Some(request) = line.receive() {
                let size: usize = text_after(request.text(), "size ").parse().unwrap();
                let body = body(size, MODEL_LAST);
                match text_after(request.text(), "as ") {
                    "length" => line.send(ok(&body)),
                    "chunks" => {
                        line.send("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n");
                        body.chunks(10_000).for_each(|piece| line.send(chunk(piece)));
                        line.send("0\r\n\r\n");
                    }
                    _ => {
                        line.send("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n");
                        return line.send(&body);
                    }
                }
            }
        });
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        for size in SIZES {
            for framing in ["length", "chunks", "close"] {
                let ask = format!(r#"{{"model":"openai/gpt-4o","x":"size {size} as {framing} "}}"#);
                let answer = caller.post(CHAT, ask);
                assert_eq!((answer.status, answer.is_whole), (200, true));
                assert_same(&answer.body, &body(size, MODEL_LAST), &format!("{size} {framing}"));
            }
        }
        assert_eq!(upstream.connections(), SIZES.len());
    });
}

fn text_after<'a>(text: &'a str, word: &str) -> &'a str {
    let (_, behind) = text.split_once(word).unwrap();
    behind.split(' ').next().unwrap()
}

#[test]
fn long_conversations_are_translated_whole() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while let Some(request) = line.receive() {
                let request: Value = serde_json::from_slice(&request.body).unwrap();
                let text = text_of(&request["messages"][0]["content"]);
                let content = json!([{ "type": "text", "text": text }]);
                let usage = json!({ "input_tokens": 1, "output_tokens": 2 });
                line.send(ok(
                    json!({ "id": "m", "type": "message", "role": "assistant", "model": "claude-x",
                    "content": content, "stop_reason": "end_turn", "usage": usage })
                    .to_string(),
                ));
            }
        });
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        for size in [1000, 256 * 1024 + 1, 3 * 1024 * 1024] {
            let text = String::from_utf8(body(size, MODEL_FIRST)).unwrap();
            let ask =
                json!({ "model": "anthropic/claude-x", "messages": [{ "role": "user", "content": text }] });
            let answer = caller.post(CHAT, ask.to_string()).json();
            let content = answer["choices"][0]["message"]["content"].as_str().unwrap();
            assert_same(content.as_bytes(), text.as_bytes(), &format!("{size}"));
            assert_eq!(answer["usage"]["total_tokens"], 3);
        }
        assert_eq!(upstream.connections(), 1);
    });
}

/// A message's text, whether it stands alone or in a block.
fn text_of(content: &Value) -> &str {
    content.as_str().or_else(|| content[0]["text"].as_str()).unwrap()
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_sent() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let mut config = crate::setup::config(upstream.address);
        config["client"] = json!({ "max_request_body_size_mb": 1 });
        let node = crate::support::node::Node::start(&config.to_string(), driver);
        let mib = 1024 * 1024;
        let mut caller = Caller::new(&node);
        assert_eq!(caller.post(CHAT, body(mib, MODEL_FIRST)).status, 200);
        for expects in ["", "expect: 100-continue\r\n"] {
            let mut caller = Caller::new(&node);
            let length = mib + 1;
            caller.send(format!(
                "POST {CHAT} HTTP/1.1\r\nhost: test\r\n{expects}content-length: {length}\r\n\r\n"
            ));
            let answer = caller.answer();
            assert_eq!((answer.status, &*answer.code()), (413, "request_too_large"));
            assert_eq!(answer.value("connection"), Some("close"));
        }
        let mut caller = Caller::new(&node);
        caller.try_send(chunked(CHAT, body(mib + 1, MODEL_FIRST), 50_000));
        assert_eq!(caller.answer().status, 413);
        assert_eq!(upstream.requests().len(), 1);
    });
}

//! Times what every request passes on its way in: the look over a chat body, the end and the parse of a head. Prints the
//! least of several rounds, ns; `cargo bench --bench edge`. Not a load test.

#![allow(clippy::expect_used, clippy::print_stdout)] // a bench prints, and ends when its own input is wrong

use std::hint::black_box;
use std::time::Instant;

use corelane::dialect::look::Look;
use corelane::http::{HeadEnd, parse_request_head};

const KEYS: [&str; 4] = ["model", "stream", "stream_options", "fallbacks"];

fn body(bytes: usize, escapes: bool) -> Vec<u8> {
    let line = if escapes {
        "Answer the user's question in at most three sentences.\\nDo not say \\\"as a model\\\" ever. "
    } else {
        "Answer the user's question in at most three sentences, and do not say that you are a model. "
    };
    let mut body = String::from(
        r#"{"model":"openai/gpt-4o-mini","messages":[{"role":"system","content":"You are helpful."}"#,
    );
    let tail = r#"],"temperature":0.7,"max_tokens":256,"stream":true,"stream_options":{"include_usage":true},"user":"u-1234"}"#;
    let mut user = true;
    while body.len() + tail.len() + 60 < bytes {
        let room = (bytes - body.len() - tail.len() - 60).min(if bytes > 4000 { 1200 } else { 300 });
        let mut text = line.repeat(room / line.len() + 1);
        text.truncate(room - room % line.len() + line.len().min(50));
        body.push_str(&format!(
            r#",{{"role":"{}","content":"{}"}}"#,
            if user { "user" } else { "assistant" },
            text
        ));
        user = !user;
    }
    body.push_str(tail);
    serde_json::from_str::<serde_json::Value>(&body).expect("json");
    body.into_bytes()
}

fn time(name: &str, bytes: usize, mut work: impl FnMut()) {
    let rounds = 20_000_000 / (bytes + 500);
    let mut best = f64::MAX;
    for _ in 0..15 {
        let start = Instant::now();
        for _ in 0..rounds {
            work();
        }
        best = best.min(start.elapsed().as_nanos() as f64 / rounds as f64);
    }
    println!("{name:32} {bytes:7} B {best:10.0} ns");
}

fn main() {
    for escapes in [false, true] {
        for bytes in [1013, 16373, 131061] {
            let body = body(bytes, escapes);
            time(&format!("look escapes={escapes}"), body.len(), || {
                let mut look = Look::new(&KEYS);
                look.push(black_box(&body)).expect("ok");
                black_box(look.finish().expect("ok"));
            });
            time("from_utf8", body.len(), || {
                black_box(std::str::from_utf8(black_box(&body)).expect("ok"));
            });
        }
    }
    let numbers = format!("{{\"input\":[{}1]}}", "1234,-0.5678,".repeat(80));
    time("look numbers", numbers.len(), || {
        let mut look = Look::new(&KEYS);
        look.push(black_box(numbers.as_bytes())).expect("ok");
        black_box(look.finish().expect("ok"));
    });
    let head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nAccept: application/json\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 1.99.0\r\nX-Stainless-Lang: python\r\nX-Stainless-Package-Version: 1.99.0\r\nX-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\nAuthorization: Bearer sk-1234567890abcdefghij\r\nx-stainless-retry-count: 0\r\nContent-Length: 1013\r\n\r\n";
    time("head end + parse", head.len(), || {
        let end = HeadEnd::request().find(black_box(head)).expect("ok").expect("whole");
        black_box(parse_request_head(&head[..end]).expect("ok"));
    });
    time("head end", head.len(), || {
        black_box(HeadEnd::request().find(black_box(head)).expect("ok").expect("whole"));
    });
    time("parse", head.len(), || {
        black_box(parse_request_head(black_box(head)).expect("ok"));
    });
    time("httparse alone", head.len(), || {
        let mut slots = [httparse::EMPTY_HEADER; 100];
        let mut request = httparse::Request::new(&mut slots);
        black_box(request.parse(black_box(head)).expect("ok"));
    });
}

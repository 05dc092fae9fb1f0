//! Bodies under a content coding: the provider and the row get what they decode to, within the body's limit, and what does
//! not decode to the last byte is nobody's request.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use serde_json::{Value, json};

use crate::caller::{Caller, chunked, request};
use crate::client_ip::{logged, rows};
use crate::setup::{ANSWER, ASK, CHAT, MESSAGES, OPENAI_CHAT, node, ok, on_both};
use crate::support::node::{Node, eventually};
use crate::support::upstream::Upstream;

type Encode = fn(&[u8]) -> Vec<u8>;

/// Each name with what it stands for.
const CODINGS: [(&str, Encode); 6] =
    [("gzip", gzip), ("X-GZIP", gzip), ("deflate", zlib), ("deflate", bare), ("br", brotli), ("zstd", zstd)];

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn bare(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zstd(data: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
}

/// Brotli without compression (RFC 7932 §9.2): a window of 64 KiB, stored meta-blocks, an empty last one. What real
/// encoders make is decoded beside the decoder.
fn brotli(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, piece) in data.chunks(65_536).enumerate() {
        // Before the first the window's bit; then: not the last, four nibbles of length, stored.
        let header = (u32::try_from(piece.len()).unwrap() - 1) << 3 | 1 << 19;
        let header = if number == 0 { header << 1 } else { header };
        out.extend_from_slice(&header.to_le_bytes()[..3]);
        out.extend_from_slice(piece);
    }
    out.push(3);
    out
}

/// A chat of about this many bytes, each stretch its own.
fn chat(size: usize) -> String {
    let mut random = fastrand::Rng::with_seed(size as u64);
    let words: String = std::iter::repeat_with(|| format!("{} ", random.u32(..))).take(size / 10).collect();
    json!({ "model": "openai/gpt-4o", "messages": [{ "role": "user", "content": words }] }).to_string()
}

fn coded(coding: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    request(CHAT, &format!("Content-Encoding: {coding}\r\n"), body)
}

#[test]
fn a_provider_gets_what_a_coded_body_decodes_to() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        for size in [10, 5_000, 60_000, 70_000, 300_000, 3_000_000] {
            let body = chat(size);
            let expected = body.replacen("openai/", "", 1);
            for (coding, encode) in CODINGS {
                let encoded = encode(body.as_bytes());
                let in_chunks = String::from_utf8_lossy(&chunked(CHAT, "", 1)).into_owned();
                let (head, _) = in_chunks.split_once("\r\n\r\n").unwrap();
                let mut in_chunks = format!("{head}\r\ncontent-encoding: {coding}\r\n\r\n").into_bytes();
                encoded.chunks(9_000).for_each(|piece| in_chunks.extend(crate::setup::chunk(piece)));
                in_chunks.extend(b"0\r\n\r\n");
                for bytes in [coded(coding, &encoded), in_chunks] {
                    caller.send(bytes);
                    let answer = caller.answer();
                    assert_eq!(answer.status, 200, "{coding} {size}: {}", answer.text());
                    let received = upstream.last();
                    assert!(received.body == expected.as_bytes(), "{coding} {size}");
                    assert!(received.values("content-encoding").is_empty());
                }
            }
        }
        assert_eq!(upstream.connections(), 1);
    });
}

#[test]
fn coded_bodies_are_translated_and_logged_as_they_decode() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while line.receive().is_some() {
                line.send(ok(
                    json!({ "id": "m", "type": "message", "role": "assistant", "model": "claude-x",
                    "content": [{ "type": "text", "text": "ho" }], "stop_reason": "end_turn",
                    "usage": { "input_tokens": 1, "output_tokens": 2 } })
                    .to_string(),
                ));
            }
        });
        let mut node = Node::start(&logged(crate::setup::config(upstream.address)).to_string(), driver);
        let mut caller = Caller::new(&node);
        let ask = ASK.replace("openai/gpt-4o", "anthropic/claude-x");
        for (coding, encode) in CODINGS {
            caller.send(coded(coding, encode(ask.as_bytes())));
            assert_eq!(caller.answer().json()["choices"][0]["message"]["content"], "ho");
            let received: Value = serde_json::from_slice(&upstream.last().body).unwrap();
            assert_eq!(
                (&received["model"], &received["messages"][0]["role"]),
                (&"claude-x".into(), &"user".into())
            );
        }
        let inputs = rows(&mut node, "SELECT input_history FROM logs");
        assert_eq!(inputs, vec![r#"[{"role":"user","content":"hi"}]"#; CODINGS.len()]);
    });
}

#[test]
fn what_does_not_decode_is_refused_and_the_connection_serves_on() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        for (coding, encode) in CODINGS {
            for body in [chat(100), chat(100_000)] {
                let whole = encode(body.as_bytes());
                let last = whole.len() - 1;
                let broken = [
                    whole[..last].to_vec(),
                    whole[..whole.len() / 2].to_vec(),
                    [&whole[..], b"x"].concat(),
                    body.clone().into_bytes(),
                    Vec::new(),
                ];
                for (number, bytes) in broken.iter().enumerate() {
                    caller.send(coded(coding, bytes));
                    let answer = caller.answer();
                    assert_eq!(answer.status, 400, "{coding} {number}");
                    assert_eq!(answer.code(), "invalid_request");
                    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
                    assert!(message.starts_with("the body is not whole "), "{coding} {number}: {message}");
                }
            }
        }
        assert_eq!(upstream.connections(), 0);
        assert_eq!(caller.post(CHAT, ASK).status, 200);
    });
}

/// What decides is looked for in the decoded body, not in the coded one.
#[test]
fn the_look_is_over_the_decoded_body() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        let long = "x".repeat(200_000);
        for (body, code) in [
            (r#"{"model":"openai/gpt-4o","model":"gpt-4o"}"#.to_owned(), "duplicate_field"),
            (format!(r#"{{"model":"openai/gpt-4o","x":"{long}","model":"gpt-4o"}}"#), "duplicate_field"),
            (format!(r#"{{"model":"openai/gpt-4o","x":"{long}""#), "invalid_request"),
            ("[".repeat(1000), "invalid_request"),
            (format!(r#"{{"x":{}"#, "[".repeat(1000)), "json_too_complex"),
            (String::new(), "invalid_request"),
        ] {
            for (coding, encode) in CODINGS {
                caller.send(coded(coding, encode(body.as_bytes())));
                let answer = caller.answer();
                assert_eq!((answer.status, &*answer.code()), (400, code), "{coding} {:.40}", body);
            }
        }
        assert_eq!(upstream.connections(), 0);
    });
}

#[test]
fn other_codings_are_named_with_those_that_are_taken() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        for field in [
            "content-encoding: compress",
            "content-encoding: gzip, gzip",
            "content-encoding: identity, gzip",
            "content-encoding: gzip\r\ncontent-encoding: gzip",
            "content-encoding: identity\r\ncontent-encoding: gzip",
            "content-encoding: gzip;q=1",
            "content-encoding: aws-chunked",
        ] {
            for path in [CHAT, OPENAI_CHAT, MESSAGES] {
                let mut caller = Caller::new(&node);
                caller.send(request(path, &format!("{field}\r\n"), gzip(ASK.as_bytes())));
                let answer = caller.answer();
                assert_eq!(answer.status, 415, "{field}");
                assert_eq!(answer.value("accept-encoding"), Some("gzip, deflate, br, zstd"));
                crate::edge::check_shape(path, &answer);
            }
        }
        assert_eq!(upstream.connections(), 0);
        let mut caller = Caller::new(&node);
        for coding in ["identity", "Identity", ""] {
            caller.send(coded(coding, ASK));
            assert_eq!(caller.answer().status, 200);
        }
    });
}

/// A chat of exactly this many bytes that any coding makes small.
fn padded(size: usize) -> Vec<u8> {
    let mut body = br#"{"model":"openai/gpt-4o","x":""#.to_vec();
    body.resize(size - 2, b' ');
    body.extend(b"\"}");
    body
}

#[test]
fn the_limit_counts_what_is_decoded_and_the_decoder_stops_there() {
    const MIB: usize = 1024 * 1024;
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let mut config = crate::setup::config(upstream.address);
        config["client"] = json!({ "max_request_body_size_mb": 1 });
        let node = Node::start_on(&config.to_string(), driver, 1);
        let mut caller = Caller::new(&node);
        for (coding, encode) in CODINGS.into_iter().filter(|(coding, _)| *coding != "br") {
            caller.send(coded(coding, encode(&padded(MIB))));
            assert_eq!(caller.answer().status, 200, "{coding}");
            assert_eq!(upstream.last().body.len(), MIB - "openai/".len());
            for size in [MIB + 1, 40 * MIB] {
                caller.send(coded(coding, encode(&padded(size))));
                let answer = caller.answer();
                assert_eq!((answer.status, &*answer.code()), (413, "request_too_large"), "{coding} {size}");
                // It was read to its end: the connection serves on.
                assert_eq!(answer.value("connection"), None);
            }
        }
        let passed = upstream.requests().len();
        for framing in ["", "expect: 100-continue\r\n"] {
            let mut caller = Caller::new(&node);
            let length = MIB + 1;
            caller.send(format!(
                "POST {CHAT} HTTP/1.1\r\nhost: a\r\n{framing}content-encoding: br\r\ncontent-length: {length}\r\n\r\n"
            ));
            caller.half_close();
            assert!(caller.rest().starts_with(b"HTTP/1.1 413 "));
        }
        assert_eq!(upstream.requests().len(), passed);
        check_nothing_is_held(&node);
    });
}

/// What bodies hold of the budget is given back, however they ended.
fn check_nothing_is_held(node: &Node) {
    eventually("no body is held", || {
        let page = Caller::new(node).get("/metrics");
        let mut held = page.text().lines().filter(|line| line.starts_with("corelane_body_bytes_held"));
        held.all(|line| line.ends_with(" 0")).then_some(())
    });
}

#[test]
fn a_caller_that_leaves_while_its_body_is_decoded_asks_nothing() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        let bomb = coded("gzip", gzip(&padded(60 * 1024 * 1024)));
        for _ in 0..4 {
            let mut caller = Caller::new(&node);
            caller.send(&bomb);
            caller.reset();
        }
        check_nothing_is_held(&node);
        assert_eq!(Caller::new(&node).post(CHAT, ASK).status, 200);
    });
}

//! What the look at a body, the change of its model's name and its translation cost, in instructions, beside what sonic-rs
//! and serde_json need to do as much. `scripts/instructions.sh` counts them under callgrind and prints the table; run by
//! itself, `instructions CASE BYTES ROUNDS` does one case so many times.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a bench ends when its own input is wrong")]

use std::hint::black_box;

use corelane::dialect::look::Look;
use corelane::dialect::{Dialect, Operation, Quirks, translate_request};
use serde::de::IgnoredAny;
use sonic_rs::{JsonContainerTrait, JsonValueMutTrait};

const KEYS: [&str; 4] = ["model", "stream", "stream_options", "fallbacks"];
const MODEL: &str = "gpt-4o-mini-2024-07-18";

type Case = (&'static str, fn(&[u8]) -> usize);

/// By name: the work, and what does the same with a library.
const CASES: [Case; 9] = [
    ("look", look),
    ("look serde_json", |body| usize::from(serde_json::from_slice::<IgnoredAny>(body).is_ok())),
    ("look sonic-rs", |body| sonic_rs::get_from_slice(body, &["model"]).expect("json").as_raw_str().len()),
    ("edit", edit),
    ("edit serde_json", edit_serde_json),
    ("edit sonic-rs", edit_sonic),
    ("translate", translate),
    ("translate serde_json", |body| {
        let value: serde_json::Value = serde_json::from_slice(body).expect("json");
        serde_json::to_vec(&value).expect("json").len()
    }),
    ("translate sonic-rs", |body| {
        let value: sonic_rs::Value = sonic_rs::from_slice(body).expect("json");
        assert!(value.as_object().is_some_and(|object| object.len() > 1));
        sonic_rs::to_vec(&value).expect("json").len()
    }),
];

fn look(body: &[u8]) -> usize {
    let mut look = Look::new(&KEYS);
    look.push(body).expect("json");
    look.finish().expect("json").count()
}

/// The look, and a copy with another model.
fn edit(body: &[u8]) -> usize {
    let mut look = Look::new(&KEYS);
    look.push(body).expect("json");
    let span = look.finish().expect("json").value(0).expect("a model");
    let mut out = Vec::with_capacity(body.len() + MODEL.len());
    out.extend_from_slice(body.get(..span.start).expect("a span inside"));
    out.push(b'"');
    out.extend_from_slice(MODEL.as_bytes());
    out.push(b'"');
    out.extend_from_slice(body.get(span.end..).expect("a span inside"));
    black_box(out).len()
}

fn edit_serde_json(body: &[u8]) -> usize {
    let mut value: serde_json::Value = serde_json::from_slice(body).expect("json");
    value["model"] = MODEL.into();
    serde_json::to_vec(&value).expect("json").len()
}

fn edit_sonic(body: &[u8]) -> usize {
    let mut value: sonic_rs::Value = sonic_rs::from_slice(body).expect("json");
    *value.get_mut("model").expect("a model") = MODEL.into();
    sonic_rs::to_vec(&value).expect("json").len()
}

fn translate(body: &[u8]) -> usize {
    let (from, to) = (Dialect::OpenAi, Dialect::Anthropic);
    let encoded = translate_request(from, to, Operation::Chat, body, "claude-x", Quirks::OPENAI);
    encoded.expect("a request").body.len()
}

/// A conversation of about so many bytes, with a tool.
fn body(bytes: usize) -> Vec<u8> {
    const LINE: &str =
        "Answer the user's question in at most three sentences.\\nDo not say \\\"as a model\\\" ever. ";
    let mut body =
        String::from(r#"{"model":"gpt-4o-mini","messages":[{"role":"system","content":"You are helpful."}"#);
    let tail = r#"],"tools":[{"type":"function","function":{"name":"weather","description":"Tells it.","parameters":{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}},"required":["city"]}}}],"temperature":0.7,"max_tokens":256}"#;
    let mut role = "user";
    while body.len() + tail.len() + 40 < bytes {
        let room = (bytes - body.len() - tail.len()).min(1200);
        let text = LINE.repeat((room / LINE.len()).max(1));
        body.push_str(&format!(r#",{{"role":"{role}","content":"{text}"}}"#));
        role = if role == "user" { "assistant" } else { "user" };
    }
    body.push_str(tail);
    body.into_bytes()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [name, bytes, rounds] = arguments.as_slice() else {
        CASES.iter().for_each(|(name, _)| println!("{name}"));
        return;
    };
    let (_, work) = CASES.iter().find(|(known, _)| known == name).expect("a case");
    let body = body(bytes.parse().expect("bytes"));
    for _ in 0..rounds.parse::<usize>().expect("rounds") {
        black_box(work(black_box(&body)));
    }
}

//! What the look at a body, the change of its model's name and its translation cost, in instructions, beside what sonic-rs
//! and serde_json need. In a look and an edit they do the same: read all of the body as JSON, find where four members
//! stand, and, for the edit, copy the body with another model between. There is no library that translates: beside a
//! translation they only read the body into a tree and write it. `scripts/instructions.sh` counts under callgrind and
//! prints the tables; run by itself, `instructions CASE BYTES ROUNDS` does one case so many times.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a bench ends when its own input is wrong")]

use std::hint::black_box;
use std::ops::Range;

use corelane::dialect::look::Look;
use corelane::dialect::{Dialect, Operation, Quirks, translate_request};
use serde::Deserialize;
use serde_json::value::RawValue;
use sonic_rs::LazyValue;

const KEYS: [&str; 4] = ["model", "stream", "stream_options", "fallbacks"];
const MODEL: &str = "gpt-4o-mini-2024-07-18";

/// What is counted: it tells a number, so that nothing of it can be left out.
type Case = (&'static str, fn(&[u8]) -> usize);

/// By name: the work, and what a library is asked for beside it.
const CASES: [Case; 11] = [
    ("look", |body| look(body).len()),
    ("look serde_json", |body| look_serde_json(body).len()),
    ("look sonic-rs", |body| look_sonic(body).len()),
    ("edit", |body| edit(body, look(body))),
    ("edit serde_json", |body| edit(body, look_serde_json(body))),
    ("edit sonic-rs", |body| edit(body, look_sonic(body))),
    ("translate anthropic", |body| translate(body, Dialect::Anthropic)),
    ("translate gemini", |body| translate(body, Dialect::Gemini)),
    ("translate responses", |body| translate(body, Dialect::Responses)),
    ("tree serde_json", |body| {
        let value: serde_json::Value = serde_json::from_slice(body).expect("json");
        serde_json::to_vec(&value).expect("json").len()
    }),
    ("tree sonic-rs", |body| {
        let value: sonic_rs::Value = sonic_rs::from_slice(body).expect("json");
        sonic_rs::to_vec(&value).expect("json").len()
    }),
];

/// Where the model stands.
fn look(body: &[u8]) -> Range<usize> {
    let mut look = Look::new(&KEYS);
    look.push(body).expect("json");
    black_box(look.finish().expect("json")).value(0).expect("a model")
}

/// [`KEYS`] with serde; what stands beside them is read as JSON and passed over.
#[derive(Deserialize)]
struct Keys<'a> {
    #[serde(borrow)]
    model: &'a RawValue,
    stream: Option<&'a RawValue>,
    stream_options: Option<&'a RawValue>,
    fallbacks: Option<&'a RawValue>,
}

fn look_serde_json(body: &[u8]) -> Range<usize> {
    let keys: Keys<'_> = serde_json::from_slice(body).expect("json");
    black_box((keys.stream, keys.stream_options, keys.fallbacks));
    place(body, keys.model.get())
}

/// The same, held as sonic-rs has it.
#[derive(Deserialize)]
struct LazyKeys<'a> {
    #[serde(borrow)]
    model: LazyValue<'a>,
    #[serde(borrow)]
    stream: Option<LazyValue<'a>>,
    #[serde(borrow)]
    stream_options: Option<LazyValue<'a>>,
    #[serde(borrow)]
    fallbacks: Option<LazyValue<'a>>,
}

fn look_sonic(body: &[u8]) -> Range<usize> {
    let keys: LazyKeys<'_> = sonic_rs::from_slice(body).expect("json");
    black_box((&keys.stream, &keys.stream_options, &keys.fallbacks));
    place(body, keys.model.as_raw_str())
}

fn place(body: &[u8], value: &str) -> Range<usize> {
    let start = value.as_ptr().addr() - body.as_ptr().addr();
    start..start + value.len()
}

/// A copy with another model.
fn edit(body: &[u8], span: Range<usize>) -> usize {
    let mut out = Vec::with_capacity(body.len() + MODEL.len());
    out.extend_from_slice(body.get(..span.start).expect("a span inside"));
    out.push(b'"');
    out.extend_from_slice(MODEL.as_bytes());
    out.push(b'"');
    out.extend_from_slice(body.get(span.end..).expect("a span inside"));
    black_box(out).len()
}

fn translate(body: &[u8], to: Dialect) -> usize {
    let encoded = translate_request(Dialect::OpenAi, to, Operation::Chat, body, "model-x", Quirks::OPENAI);
    black_box(encoded.expect("a request")).body.len()
}

/// The libraries find what we find, or the table compares nothing.
fn check(body: &[u8]) {
    assert_eq!(look(body), look_serde_json(body), "serde_json");
    assert_eq!(look(body), look_sonic(body), "sonic-rs");
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
        check(&body(1024));
        CASES.iter().for_each(|(name, _)| println!("{name}"));
        return;
    };
    let (_, work) = CASES.iter().find(|(known, _)| known == name).expect("a case");
    let body = body(bytes.parse().expect("bytes"));
    for _ in 0..rounds.parse::<usize>().expect("rounds") {
        black_box(work(black_box(&body)));
    }
}

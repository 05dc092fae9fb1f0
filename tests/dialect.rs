//! Goldens of the dialect room: one input, beside it the expected file per target. `BLESS=1 cargo test --test dialect`
//! rewrites the expected files; read the difference before it is committed, they were written from the vendors' API
//! documents.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

use std::fs;
use std::path::{Path, PathBuf};

use corelane::dialect::{
    AnswerOptions, Dialect, Operation, Quirks, StreamObserver, StreamOptions, StreamTranslator, check_answer,
    decode_error, translate_request, translate_response,
};

#[path = "dialect/answer_tool.rs"]
mod answer_tool;
#[path = "dialect/bedrock.rs"]
mod bedrock;
#[path = "dialect/behaviour.rs"]
mod behaviour;
#[path = "dialect/cohere.rs"]
mod cohere;
#[path = "dialect/gemini.rs"]
mod gemini;
#[path = "dialect/messages.rs"]
mod messages;
#[path = "dialect/responses.rs"]
mod responses_api;

const CREATED_S: u64 = 1_700_000_000;

#[test]
fn requests() {
    for (case, input) in inputs("requests", ".openai.json") {
        let stream = case.ends_with("_stream");
        let encoded = translate_request(
            Dialect::OpenAi,
            Dialect::Anthropic,
            Operation::Chat.streamed(stream),
            &input,
            "claude-test-1",
            Quirks::COMPATIBLE,
        )
        .unwrap_or_else(|error| panic!("{case}: {error}"));
        let mut text = pretty(&encoded.body);
        for name in &encoded.dropped {
            text.push_str(&format!("dropped: {name}\n"));
        }
        check("requests", &format!("{case}.anthropic.json"), &text);
        no_text_is_lost(&case, &input, &encoded.body);
        ids_are_paired(&case, &encoded.body);
    }
}

#[test]
fn responses() {
    for (case, input) in inputs("responses", ".anthropic.json") {
        let translated = translate_response(Dialect::Anthropic, Dialect::OpenAi, &input, &answer_options())
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        check("responses", &format!("{case}.openai.json"), &pretty(&translated.body));
        // What a watcher sees of both bodies is what the translation says.
        let usage = translated.usage.unwrap();
        assert_eq!(check_answer(Dialect::Anthropic, &input, true), Ok(Some(usage)), "{case}");
        let seen = check_answer(Dialect::OpenAi, &translated.body, true);
        assert_eq!(seen, Ok(Some(usage)), "{case}");
    }
}

#[test]
fn streams() {
    for (case, input) in inputs("streams", ".anthropic.sse") {
        let events = events(&input);
        let whole = translated(&case, &events, |_| {});
        check("streams", &format!("{case}.openai.sse"), &String::from_utf8(whole.clone()).unwrap());
        // A relay takes the bytes after each event; that must be the same stream, cut between events.
        let mut pieces = Vec::new();
        let nameless: Vec<_> = events.iter().map(|(_, data)| (None, data.clone())).collect();
        let rest = translated(&case, &nameless, |out| {
            assert!(out.is_empty() || out.ends_with(b"\n\n"), "{case}: half an event");
            pieces.append(out);
        });
        pieces.extend(rest);
        assert!(pieces == whole, "{case}: event-wise bytes differ");
        watched_alike(&case, &events, &self::events(&whole));
    }
}

fn answer_options() -> AnswerOptions {
    AnswerOptions { created_s: CREATED_S, ..AnswerOptions::default() }
}

/// Every input cut at every byte, and with every byte broken: an error or an answer, never a panic, and what is sent on
/// is always JSON.
#[test]
fn broken_inputs_never_panic() {
    for (case, input) in inputs("requests", ".openai.json") {
        broken(&input, |input| {
            let translated = translate_request(
                Dialect::OpenAi,
                Dialect::Anthropic,
                Operation::Chat,
                input,
                "m",
                Quirks::COMPATIBLE,
            );
            assert!(translated.is_err() || is_json(&translated.unwrap().body), "{case}");
        });
    }
    for (case, input) in inputs("responses", ".anthropic.json") {
        broken(&input, |input| {
            let _ = check_answer(Dialect::Anthropic, input, true);
            let _ = check_answer(Dialect::OpenAi, input, false);
            let _ = decode_error(Dialect::OpenAi, 500, input);
            let translated =
                translate_response(Dialect::Anthropic, Dialect::OpenAi, input, &answer_options());
            assert!(translated.is_err() || is_json(&translated.unwrap().body), "{case}");
        });
    }
    for (case, input) in inputs("streams", ".anthropic.sse") {
        let start = &events(&input)[0].1;
        for (name, data) in events(&input) {
            broken(&data, |data| {
                let mut translator =
                    StreamTranslator::new(Dialect::Anthropic, Dialect::OpenAi, StreamOptions::default());
                let mut out = Vec::new();
                let _ = translator.push(None, start, &mut out);
                let _ = translator.push(None, data, &mut out);
                let sent = events(&out);
                assert!(sent.iter().all(|(_, data)| data == b"[DONE]" || is_json(data)), "{case}");
                for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
                    StreamObserver::new(dialect).observe(name.as_deref(), data);
                    StreamObserver::new(dialect).observe(None, data);
                }
            });
        }
    }
}

fn broken(input: &[u8], mut each: impl FnMut(&[u8])) {
    let mut input = input.to_vec();
    for at in 0..input.len() {
        each(&input[..at]);
        for byte in *b"\"{\\\xff0 " {
            let kept = std::mem::replace(&mut input[at], byte);
            each(&input);
            input[at] = kept;
        }
    }
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

type Event = (Option<Vec<u8>>, Vec<u8>);

fn translated(case: &str, events: &[Event], mut after_each: impl FnMut(&mut Vec<u8>)) -> Vec<u8> {
    let options = StreamOptions {
        created_s: CREATED_S,
        include_usage: case.ends_with("_usage"),
        model: "fallback-model".to_owned(),
    };
    let mut translator = StreamTranslator::new(Dialect::Anthropic, Dialect::OpenAi, options);
    let mut out = Vec::new();
    for (name, data) in events {
        translator.push(name.as_deref(), data, &mut out).unwrap_or_else(|error| panic!("{case}: {error}"));
        after_each(&mut out);
    }
    translator.finish(&mut out).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(translator.is_ended() && translator.has_content(), "{case}");
    out
}

/// Both streams tell a watcher the same: counts (where OpenAI was asked for them), content, end, no error.
fn watched_alike(case: &str, anthropic: &[Event], openai: &[Event]) {
    let watch = |dialect, events: &[Event]| {
        let mut observer = StreamObserver::new(dialect);
        for (name, data) in events {
            observer.observe(name.as_deref(), data);
        }
        assert!(observer.has_content() && observer.is_ended() && observer.error().is_none(), "{case}");
        observer.usage()
    };
    let usage = watch(Dialect::Anthropic, anthropic).unwrap();
    let expected = case.ends_with("_usage").then_some(usage);
    assert_eq!(watch(Dialect::OpenAi, openai), expected, "{case}");
}

/// Every text that is more than blanks stands in the translation as a whole string.
fn no_text_is_lost(case: &str, input: &[u8], output: &[u8]) {
    let input: serde_json::Value = serde_json::from_slice(input).unwrap();
    let output: serde_json::Value = serde_json::from_slice(output).unwrap();
    let mut said = Vec::new();
    strings(&output, &mut said);
    for message in input["messages"].as_array().unwrap() {
        let content = &message["content"];
        let parts = content.as_array().into_iter().flatten().map(|part| &part["text"]);
        for text in parts.chain([content, &message["refusal"]]).filter_map(|text| text.as_str()) {
            assert!(text.trim().is_empty() || said.contains(&text), "{case}: lost {text:?}");
        }
    }
}

fn strings<'v>(value: &'v serde_json::Value, found: &mut Vec<&'v str>) {
    match value {
        serde_json::Value::String(text) => found.push(text),
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        serde_json::Value::Object(fields) => fields.values().for_each(|item| strings(item, found)),
        _ => {}
    }
}

/// Each turn of calls is followed by one turn that answers exactly these, results before anything else.
fn ids_are_paired(case: &str, output: &[u8]) {
    let output: serde_json::Value = serde_json::from_slice(output).unwrap();
    let ids = |message: &serde_json::Value, field: &str| -> Vec<String> {
        let blocks = message["content"].as_array().unwrap();
        blocks.iter().filter_map(|block| Some(block[field].as_str()?.to_owned())).collect()
    };
    let messages = output["messages"].as_array().unwrap();
    for pair in messages.windows(2) {
        let calls = ids(&pair[0], "id");
        if !calls.is_empty() {
            assert_eq!(calls, ids(&pair[1], "tool_use_id"), "{case}");
        }
    }
}

/// The events of a stream as the gateway's SSE parser would give them.
fn events(stream: &[u8]) -> Vec<Event> {
    let stream = std::str::from_utf8(stream).unwrap();
    let event = |block: &str| {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Some((field("event").map(|name| name.as_bytes().to_vec()), field("data")?.as_bytes().to_vec()))
    };
    stream.split("\n\n").filter_map(event).collect()
}

fn inputs(kind: &str, ending: &str) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(folder(kind))
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let case = path.file_name()?.to_str()?.strip_suffix(ending)?.to_owned();
            Some((case, fs::read(&path).unwrap()))
        })
        .collect();
    assert!(!found.is_empty(), "no {ending} in {kind}");
    found.sort();
    found
}

fn check(kind: &str, file: &str, actual: &str) {
    let path = folder(kind).join(file);
    if std::env::var_os("BLESS").is_some() {
        return fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == actual, "{} differs; this is what came:\n{actual}", path.display());
}

fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialect").join(kind)
}

/// JSON with a line per value; order, strings and the spelling of numbers stay.
fn pretty(json: &[u8]) -> String {
    let (mut out, mut depth, mut is_string, mut is_escaped) = (String::new(), 0, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    };
    for one in std::str::from_utf8(json).unwrap().chars() {
        if is_string {
            is_string = is_escaped || one != '"';
            is_escaped = !is_escaped && one == '\\';
            out.push(one);
            continue;
        }
        match one {
            '{' | '[' => {
                depth += 1;
                out.push(one);
                line(&mut out, depth);
            }
            '}' | ']' => {
                depth -= 1;
                // An empty one stays on its line.
                if out.trim_end().ends_with(['{', '[']) {
                    out.truncate(out.trim_end().len());
                } else {
                    line(&mut out, depth);
                }
                out.push(one);
            }
            ',' => {
                out.push(one);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ if one.is_whitespace() => {}
            _ => {
                is_string = one == '"';
                out.push(one);
            }
        }
    }
    out.push('\n');
    out
}

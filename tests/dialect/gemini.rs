//! Goldens around Gemini: its callers at other providers (`asked`, `told`), its answers to other callers cut at each byte,
//! and embeddings both ways. Written from <https://ai.google.dev/api/generate-content>,
//! <https://ai.google.dev/gemini-api/docs/function-calling>, <https://ai.google.dev/gemini-api/docs/thought-signatures>,
//! <https://ai.google.dev/api/embeddings> and <https://platform.openai.com/docs/api-reference/embeddings>.

use corelane::dialect::Encoded;
use corelane::error::Error;
use corelane::http::sse;
use serde_json::Value;

use super::*;

const OTHERS: [(Dialect, &str); 2] = [(Dialect::OpenAi, "openai"), (Dialect::Anthropic, "anthropic")];

fn asked(to: Dialect, case: &str, input: &[u8]) -> Result<Encoded, Error> {
    let operation = Operation::Chat.streamed(case.ends_with("_stream"));
    translate_request(Dialect::Gemini, to, operation, input, "model-1", Quirks::OPENAI)
}

/// What was sent, or why not, and what was left out.
fn shown(encoded: Result<Encoded, Error>) -> String {
    match encoded {
        Err(error) => format!("refused {}: {}\n", error.param.as_deref().unwrap_or("-"), error.message),
        Ok(encoded) => {
            let dropped = encoded.dropped.iter().map(|name| format!("dropped: {name}\n"));
            pretty(&encoded.body) + &dropped.collect::<String>()
        }
    }
}

#[test]
fn requests() {
    for (case, input) in inputs("gemini/asked", ".gemini.json") {
        for (to, name) in OTHERS {
            let encoded = asked(to, &case, &input);
            assert_eq!(encoded, asked(to, &case, &input), "{case}: the same each time");
            if let Ok(encoded) = &encoded {
                no_words_are_lost(&case, &input, &encoded.body, to);
                ids_are_paired_in(&case, &encoded.body);
            }
            check("gemini/asked", &format!("{case}.{name}.json"), &shown(encoded));
        }
    }
}

#[test]
fn answers() {
    for (from, name) in OTHERS {
        for (case, input) in inputs("gemini/told", &format!(".{name}.json")) {
            let translated = translate_response(from, Dialect::Gemini, &input, &answer_options()).unwrap();
            check("gemini/told", &format!("{case}.{name}.gemini.json"), &pretty(&translated.body));
            // What a watcher sees of it is what the translation says; Gemini has no word for cache writes.
            let usage = Usage { cached_write_tokens: 0, ..translated.usage.unwrap() };
            assert_eq!(check_answer(Dialect::Gemini, &translated.body, true), Ok(Some(usage)), "{case}");
        }
    }
}

#[test]
fn answers_of_gemini() {
    for (case, input) in inputs("gemini/responses", ".gemini.json") {
        let translated =
            translate_response(Dialect::Gemini, Dialect::Anthropic, &input, &answer_options()).unwrap();
        check("gemini/responses", &format!("{case}.anthropic.json"), &pretty(&translated.body));
    }
}

/// Cut at each byte, the same comes out.
#[test]
fn streams() {
    for (from, name) in OTHERS {
        for (case, input) in inputs("gemini/told", &format!(".{name}.sse")) {
            cut_anywhere(
                "gemini/told",
                &format!("{case}.{name}.gemini.sse"),
                (from, Dialect::Gemini),
                &input,
            );
        }
    }
    for (case, input) in inputs("gemini/streams", ".gemini.sse") {
        for (to, name) in OTHERS {
            cut_anywhere("gemini/streams", &format!("{case}.{name}.sse"), (Dialect::Gemini, to), &input);
        }
    }
}

fn cut_anywhere(kind: &str, file: &str, ways: (Dialect, Dialect), input: &[u8]) {
    let whole = streamed(ways, &[input]);
    check(kind, file, std::str::from_utf8(&whole).unwrap());
    for at in 0..=input.len() {
        let (first, second) = input.split_at(at);
        assert!(streamed(ways, &[first, second]) == whole, "{file}: cut at {at}");
    }
}

fn streamed((from, to): (Dialect, Dialect), pieces: &[&[u8]]) -> Vec<u8> {
    let options =
        StreamOptions { created_s: CREATED_S, include_usage: true, model: "fallback-model".to_owned() };
    let mut translator = StreamTranslator::new(from, to, options);
    let mut boundary = sse::Boundary::new();
    let (mut buffer, mut out) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let end = boundary.last_end(&buffer);
        for event in sse::events(&buffer[..end]) {
            translator.push(event.name, &event.data, &mut out).unwrap();
        }
        buffer.drain(..end);
        boundary.consumed(end);
    }
    translator.finish(&mut out).unwrap();
    assert!(translator.is_ended() && translator.usage().is_some());
    out
}

#[test]
fn embeddings() {
    for (case, input) in inputs("gemini/embeddings/requests", ".openai.json") {
        let encoded = embedding(Dialect::OpenAi, Operation::Embedding, &input);
        check("gemini/embeddings/requests", &format!("{case}.openai.gemini.json"), &shown(encoded));
    }
    for (case, input) in inputs("gemini/embeddings/requests", ".gemini.json") {
        if case.ends_with(".openai") {
            continue;
        }
        let operation = if case == "batch" { Operation::EmbeddingBatch } else { Operation::Embedding };
        let encoded = embedding(Dialect::Gemini, operation, &input);
        check("gemini/embeddings/requests", &format!("{case}.gemini.openai.json"), &shown(encoded));
    }
}

fn embedding(from: Dialect, operation: Operation, body: &[u8]) -> Result<Encoded, Error> {
    let to = if from == Dialect::OpenAi { Dialect::Gemini } else { Dialect::OpenAi };
    translate_request(from, to, operation, body, "embed-1", Quirks::COMPATIBLE)
}

#[test]
fn embeddings_answered() {
    const KIND: &str = "gemini/embeddings/answers";
    let read = |file: &str| fs::read(folder(KIND).join(file)).unwrap();
    let asked = |format: &str| {
        let body = format!(r#"{{"input":"x","encoding_format":"{format}"}}"#);
        embedding(Dialect::OpenAi, Operation::Embedding, body.as_bytes()).unwrap()
    };
    for format in ["float", "base64"] {
        let options = AnswerOptions {
            operation: Operation::Embedding,
            model: "embed-1".to_owned(),
            echo: asked(format).echo,
            ..AnswerOptions::default()
        };
        let answer =
            translate_response(Dialect::Gemini, Dialect::OpenAi, &read("answer.gemini.json"), &options)
                .unwrap();
        check(KIND, &format!("{format}.gemini.openai.json"), &pretty(&answer.body));
        assert_eq!(answer.usage.unwrap().prompt_tokens, 7);
    }
    for operation in [Operation::Embedding, Operation::EmbeddingBatch] {
        let options = AnswerOptions { operation, ..AnswerOptions::default() };
        let answer =
            translate_response(Dialect::OpenAi, Dialect::Gemini, &read("answer.openai.json"), &options)
                .unwrap();
        check(KIND, &format!("{}.openai.gemini.json", operation.name()), &pretty(&answer.body));
    }
}

#[test]
fn broken_inputs_never_panic() {
    let sent = |encoded: Result<Encoded, Error>| assert!(encoded.is_err() || is_json(&encoded.unwrap().body));
    for (case, input) in inputs("gemini/asked", ".gemini.json") {
        broken(&input, |input| OTHERS.iter().for_each(|(to, _)| sent(asked(*to, &case, input))));
    }
    for (from, operation, ending) in [
        (Dialect::OpenAi, Operation::Embedding, ".openai.json"),
        (Dialect::Gemini, Operation::Embedding, "one.gemini.json"),
        (Dialect::Gemini, Operation::EmbeddingBatch, "batch.gemini.json"),
    ] {
        for (_, input) in inputs("gemini/embeddings/requests", ending) {
            broken(&input, |input| sent(embedding(from, operation, input)));
        }
    }
    for (from, to) in [(Dialect::OpenAi, Dialect::Gemini), (Dialect::Gemini, Dialect::OpenAi)] {
        let options = AnswerOptions { operation: Operation::Embedding, ..AnswerOptions::default() };
        for (_, input) in inputs("gemini/embeddings/answers", &format!("answer.{}.json", from.name())) {
            broken(&input, |input| {
                let answer = translate_response(from, to, input, &options);
                assert!(answer.is_err() || is_json(&answer.unwrap().body));
            });
        }
    }
}

/// Each text of the caller's stands somewhere; OpenAI takes no thoughts.
fn no_words_are_lost(case: &str, input: &[u8], output: &[u8], to: Dialect) {
    let input: Value = serde_json::from_slice(input).unwrap();
    let output: Value = serde_json::from_slice(output).unwrap();
    let mut said = Vec::new();
    strings(&output, &mut said);
    for content in input["contents"].as_array().unwrap() {
        for part in content["parts"].as_array().unwrap() {
            let Some(text) = part["text"].as_str() else { continue };
            let is_thought = part["thought"] == true && to == Dialect::OpenAi;
            assert!(is_thought || said.iter().any(|one| one.contains(text)), "{case}: lost {text:?}");
        }
    }
}

/// Each result answers a call that was made before it, and each call has one.
fn ids_are_paired_in(case: &str, output: &[u8]) {
    let output: Value = serde_json::from_slice(output).unwrap();
    let text = output["messages"].to_string();
    let ids = |key: &str| -> Vec<String> {
        let mark = format!("\"{key}\":\"");
        let found = text.split(&*mark).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
        let mut ids: Vec<String> = found.collect();
        ids.sort();
        ids
    };
    let mut results = ids("tool_call_id");
    results.extend(ids("tool_use_id"));
    assert_eq!(ids("id"), results, "{case}");
}

//! Goldens of the way back: requests of Anthropic's messages to OpenAI's chat completions, and OpenAI's answers and streams
//! to Anthropic's. Written from <https://docs.anthropic.com/en/api/messages> and
//! <https://platform.openai.com/docs/api-reference/chat>.

use corelane::dialect::{ErrorContext, ErrorShape, encode_error};
use corelane::error::Error;
use corelane::http::sse;
use serde_json::Value;

use super::*;

#[test]
fn requests() {
    for (case, input) in inputs("messages/requests", ".anthropic.json") {
        let stream = case.ends_with("_stream");
        let encoded = asked(&input, stream).unwrap_or_else(|error| panic!("{case}: {error}"));
        let mut text = pretty(&encoded.body);
        for name in &encoded.dropped {
            text.push_str(&format!("dropped: {name}\n"));
        }
        check("messages/requests", &format!("{case}.openai.json"), &text);
        no_text_is_lost(&case, &input, &encoded.body);
        ids_are_paired(&case, &encoded.body);
        // What OpenAI's half reads of it is what its own half would write again.
        let again = translate_request(
            Dialect::OpenAi,
            Dialect::OpenAi,
            Operation::Chat.streamed(stream),
            &encoded.body,
            "gpt-test-1",
            Quirks::OPENAI,
        );
        assert_eq!(pretty(&again.unwrap().body), pretty(&encoded.body), "{case}");
    }
}

#[test]
fn responses() {
    for (case, input) in inputs("messages/responses", ".openai.json") {
        let translated = translate_response(Dialect::OpenAi, Dialect::Anthropic, &input, &answer_options())
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        check("messages/responses", &format!("{case}.anthropic.json"), &pretty(&translated.body));
        let usage = translated.usage.unwrap();
        assert_eq!(check_answer(Dialect::OpenAi, &input, true), Ok(Some(usage)), "{case}");
        let seen = check_answer(Dialect::Anthropic, &translated.body, true);
        assert_eq!(seen, Ok(Some(usage)), "{case}");
    }
}

/// The bytes of a stream, cut at every place: what the parser of events gives is translated to the same bytes.
#[test]
fn streams() {
    for (case, input) in inputs("messages/streams", ".openai.sse") {
        let whole = streamed(&case, &[&input]);
        check("messages/streams", &format!("{case}.anthropic.sse"), std::str::from_utf8(&whole).unwrap());
        for at in 0..=input.len() {
            assert!(streamed(&case, &[&input[..at], &input[at..]]) == whole, "{case}: cut at {at}");
        }
        watched(&case, &input, &whole);
        one_block_at_a_time(&case, &whole);
    }
}

#[test]
fn an_error_is_told_in_the_callers_words() {
    let body = br#"{"error":{"message":"Rate limit reached","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#;
    let error = Error::upstream(decode_error(Dialect::OpenAi, 429, body));
    let told = encode_error(ErrorShape::Anthropic, &error, &ErrorContext::default());
    let expected = r#"{"type":"error","error":{"type":"rate_limit_error","message":"Rate limit reached"}}"#;
    assert_eq!(String::from_utf8(told).unwrap(), expected);
}

#[test]
fn an_error_in_a_stream_is_the_providers() {
    for (data, status) in [
        (&br#"{"error":{"message":"Busy","type":"server_error"}}"#[..], 500),
        (br#"{"error":{"code":429,"message":"Busy"},"choices":[{"delta":{},"finish_reason":"error"}]}"#, 429),
    ] {
        let error = translator().push(None, data, &mut Vec::new()).unwrap_err();
        assert_eq!((error.status(), &*error.upstream.unwrap().message), (status, "Busy"));
    }
}

#[test]
fn a_cut_or_broken_stream_is_never_called_whole() {
    let text = br#"{"id":"i","choices":[{"delta":{"content":"x"}}]}"#;
    let nameless = br#"{"id":"i","choices":[{"delta":{"tool_calls":[{"index":0,"id":"c"}]}}]}"#;
    let call = |index: u32| {
        format!(
            r#"{{"id":"i","choices":[{{"delta":{{"tool_calls":[{{"index":{index},"id":"c{index}","function":{{"name":"f","arguments":"{{"}}}}]}}}}]}}"#
        )
    };
    let back = br#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}}]}"#;
    for events in [
        &[][..],
        &[&text[..]],
        &[b"[DONE]"],
        &[b"{"],
        &[b"[1]"],
        &[nameless],
        &[call(0).as_bytes(), call(1).as_bytes(), back],
    ] {
        let mut translator = translator();
        let mut out = Vec::new();
        let result = events.iter().try_for_each(|data| translator.push(None, data, &mut out));
        let result = result.and_then(|()| translator.finish(&mut out));
        assert_eq!(result.unwrap_err().kind, corelane::error::Kind::UpstreamInvalidResponse, "{events:?}");
        assert!(!translator.is_ended());
    }
}

#[test]
fn broken_inputs_never_panic() {
    for (case, input) in inputs("messages/requests", ".anthropic.json") {
        broken(&input, |input| {
            let encoded = asked(input, false);
            assert!(encoded.is_err() || is_json(&encoded.unwrap().body), "{case}");
        });
    }
    for (case, input) in inputs("messages/responses", ".openai.json") {
        broken(&input, |input| {
            let translated =
                translate_response(Dialect::OpenAi, Dialect::Anthropic, input, &answer_options());
            assert!(translated.is_err() || is_json(&translated.unwrap().body), "{case}");
        });
    }
    for (case, input) in inputs("messages/streams", ".openai.sse") {
        for (_, data) in events(&input) {
            broken(&data, |data| {
                let mut out = Vec::new();
                let _ = translator().push(None, data, &mut out);
                assert!(events(&out).iter().all(|(_, data)| is_json(data)), "{case}");
            });
        }
    }
}

/// A chunk with these pieces of calls.
fn calls(pieces: &[(u64, bool, &str)]) -> String {
    let piece = |(index, begins, json): &(u64, bool, &str)| match begins {
        true => {
            serde_json::json!({ "index": index, "id": format!("c{index}"), "function": { "name": "f", "arguments": json } })
        }
        false => serde_json::json!({ "index": index, "function": { "arguments": json } }),
    };
    let pieces: Vec<Value> = pieces.iter().map(piece).collect();
    serde_json::json!({ "id": "c", "choices": [{ "index": 0, "delta": { "tool_calls": pieces } }] })
        .to_string()
}

#[test]
fn more_of_a_call_behind_a_text_is_an_error() {
    let (mut translator, mut out) = (translator(), Vec::new());
    let text = r#"{"id":"c","choices":[{"index":0,"delta":{"content":"so"}}]}"#;
    for data in [&calls(&[(0, true, "{\"a\":"), (1, true, "{")]), text, &calls(&[(1, false, " \n")])] {
        translator.push(None, data.as_bytes(), &mut out).unwrap();
    }
    let error = translator.push(None, calls(&[(0, false, "1}")]).as_bytes(), &mut out).unwrap_err();
    assert_eq!(error.status(), 502);
    assert!(error.message.contains("goes back to a tool call"), "{error}");
    // What waited stands before the text.
    let text = String::from_utf8(out).unwrap();
    let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words} in {text}"));
    assert!(at("\"c0\"") < at("\"c1\"") && at("\"c1\"") < at("\"so\""), "{text}");
}

#[test]
fn calls_that_wait_are_bounded() {
    let (mut translator, mut out) = (translator(), Vec::new());
    let long = calls(&[(1, false, &"x".repeat(1 << 19))]);
    for data in [&calls(&[(0, true, "{"), (1, true, "")]), &long] {
        translator.push(None, data.as_bytes(), &mut out).unwrap();
    }
    let error = translator.push(None, long.as_bytes(), &mut out).unwrap_err();
    assert!(error.message.contains("1 MiB"), "{error}");
}

/// As OpenAI sends them, each call is told as it comes.
#[test]
fn calls_one_after_the_other_do_not_wait() {
    let (mut translator, mut told) = (translator(), Vec::new());
    for piece in
        [(0, true, "{\"a\":"), (0, false, "1}"), (1, true, ""), (1, false, "{\"b\":"), (1, false, "2}")]
    {
        let mut out = Vec::new();
        translator.push(None, calls(&[piece]).as_bytes(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let json = serde_json::to_string(piece.2).unwrap();
        assert!(piece.2.is_empty() || text.contains(&format!("\"partial_json\":{json}")), "{text}");
        told.push(text.matches("content_block_start\"").count());
    }
    assert_eq!(told, [1, 0, 1, 0, 0]);
}

fn asked(input: &[u8], stream: bool) -> Result<corelane::dialect::Encoded, Error> {
    let operation = Operation::Chat.streamed(stream);
    translate_request(Dialect::Anthropic, Dialect::OpenAi, operation, input, "gpt-test-1", Quirks::OPENAI)
}

fn translator() -> StreamTranslator {
    let options = StreamOptions { created_s: 0, include_usage: false, model: "fallback-model".to_owned() };
    StreamTranslator::new(Dialect::OpenAi, Dialect::Anthropic, options)
}

/// Reads the pieces as a relay does, and translates each event as it is whole.
fn streamed(case: &str, pieces: &[&[u8]]) -> Vec<u8> {
    let (mut translator, mut boundary) = (translator(), sse::Boundary::new());
    let (mut buffer, mut out) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let end = boundary.last_end(&buffer);
        for event in sse::events(&buffer[..end]) {
            let pushed = translator.push(event.name, &event.data, &mut out);
            pushed.unwrap_or_else(|error| panic!("{case}: {error}"));
            assert!(out.is_empty() || out.ends_with(b"\n\n"), "{case}: half an event");
        }
        buffer.drain(..end);
        boundary.consumed(end);
    }
    translator.finish(&mut out).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(translator.is_ended() && translator.has_content() && translator.has_stopped(), "{case}");
    out
}

/// Both streams tell a watcher the same.
fn watched(case: &str, openai: &[u8], anthropic: &[u8]) {
    let usage = |dialect, stream: &[u8]| {
        let mut observer = StreamObserver::new(dialect);
        for (name, data) in events(stream) {
            observer.observe(name.as_deref(), &data);
        }
        assert!(observer.has_content() && observer.is_ended() && observer.error().is_none(), "{case}");
        observer.usage().unwrap()
    };
    assert_eq!(usage(Dialect::OpenAi, openai), usage(Dialect::Anthropic, anthropic), "{case}");
}

/// Blocks are numbered from 0, one is open at a time, deltas are of the open one, and nothing stands outside of the
/// message.
fn one_block_at_a_time(case: &str, stream: &[u8]) {
    let (mut open, mut next) = (None, 0);
    let events = events(stream);
    let last = events.len() - 1;
    for (at, (name, data)) in events.iter().enumerate() {
        let event: Value = serde_json::from_slice(data).unwrap();
        let kind = event["type"].as_str().unwrap();
        assert_eq!(name.as_deref(), Some(kind.as_bytes()), "{case}");
        match kind {
            "message_start" => assert_eq!(at, 0, "{case}"),
            "content_block_start" => {
                assert_eq!((open, event["index"].as_u64()), (None, Some(next)), "{case}");
                open = Some(next);
                next += 1;
            }
            "content_block_delta" => assert_eq!(event["index"].as_u64(), open, "{case}"),
            "content_block_stop" => {
                assert_eq!(event["index"].as_u64(), open, "{case}");
                open = None;
            }
            "message_delta" => assert_eq!((open, at), (None, last - 1), "{case}"),
            "message_stop" => assert_eq!(at, last, "{case}"),
            _ => panic!("{case}: {kind}"),
        }
    }
}

/// Every text of the conversation stands in the translation as a whole string.
fn no_text_is_lost(case: &str, input: &[u8], output: &[u8]) {
    let input: Value = serde_json::from_slice(input).unwrap();
    let output: Value = serde_json::from_slice(output).unwrap();
    let mut said = Vec::new();
    strings(&output, &mut said);
    let mut wanted = Vec::new();
    texts(&input["system"], &mut wanted);
    for message in input["messages"].as_array().unwrap() {
        texts(&message["content"], &mut wanted);
    }
    assert!(!wanted.is_empty());
    for text in wanted {
        assert!(said.contains(&text), "{case}: lost {text:?}");
    }
}

fn texts<'v>(content: &'v Value, found: &mut Vec<&'v str>) {
    found.extend(content.as_str());
    for block in content.as_array().into_iter().flatten() {
        found.extend(block["text"].as_str());
        if block["source"]["type"] == "text" {
            found.extend(block["source"]["data"].as_str());
        }
        texts(&block["content"], found);
    }
}

/// Each message of calls is followed at once by one message for each of them, in their order.
fn ids_are_paired(case: &str, output: &[u8]) {
    let output: Value = serde_json::from_slice(output).unwrap();
    let messages = output["messages"].as_array().unwrap();
    for (at, message) in messages.iter().enumerate() {
        for (nth, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
            let answer = &messages[at + 1 + nth];
            assert_eq!((&answer["role"], &answer["tool_call_id"]), (&"tool".into(), &call["id"]), "{case}");
        }
    }
}

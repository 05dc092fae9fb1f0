//! Streams as Gemini sends them, read and written again.

use super::*;
use crate::chat::Citation;
use crate::dialect::openai;

/// Steps of <https://ai.google.dev/gemini-api/docs/thinking> and
/// <https://ai.google.dev/gemini-api/docs/thought-signatures>, streamed.
const STEPS: [&str; 5] = [
    r#"{"candidates":[{"content":{"parts":[{"text":"Let ","thought":true}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":8,"totalTokenCount":10,"thoughtsTokenCount":2},"modelVersion":"gemini-3-pro","responseId":"r1"}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":"me see.","thought":true,"thoughtSignature":"QQ=="}],"role":"model"},"index":0}],"responseId":"r1"}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":"I \"look\"\n"},{"functionCall":{"name":"f","args":{"n":12345678901234567890123,"b":[ ]}},"thoughtSignature":"Qg=="},{"functionCall":{"id":"own","name":"g","args":{}}}],"role":"model"},"index":0}],"responseId":"r1"}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":8,"candidatesTokenCount":5,"totalTokenCount":17,"thoughtsTokenCount":4},"responseId":"r1"}"#,
    r#"{"usageMetadata":{"promptTokenCount":8}}"#,
];

fn decoded(steps: &[&str]) -> (Result<bool, Error>, Vec<String>, Option<Usage>) {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    let mut sink = |event: Event<'_>, _: Option<Usage>| {
        events.push(format!("{event:?}"));
        Ok(())
    };
    let read = steps.iter().try_for_each(|step| decoder.decode(step.as_bytes(), &mut sink));
    let result = read.and_then(|()| decoder.finish(&mut sink));
    let result = result.map(|()| events.last().is_some_and(|event| event == "End"));
    (result, events, decoder.usage())
}

fn written(
    encoder: &mut Encoder,
    event: Event<'_>,
    usage: Option<Usage>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    encoder.encode(event, usage, out);
    Ok(())
}

/// Through `chat` to Gemini's own words again.
fn rewritten(steps: &[&str]) -> Vec<String> {
    let mut decoder = Decoder::default();
    let mut encoder = Encoder::new(StreamOptions { model: "fallback".into(), ..StreamOptions::default() });
    let mut out = Vec::new();
    for step in steps {
        let mut events = Vec::new();
        decoder
            .decode(step.as_bytes(), &mut |event, _| written(&mut encoder, event, None, &mut events))
            .unwrap();
        out.append(&mut events);
    }
    let usage = decoder.usage();
    decoder.finish(&mut |event, _| written(&mut encoder, event, usage, &mut out)).unwrap();
    let text = String::from_utf8(out).unwrap();
    text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap().to_owned()).collect()
}

#[test]
fn each_step_gives_its_events_in_order() {
    let (result, events, usage) = decoded(&STEPS);
    assert_eq!(result, Ok(true));
    let expected = [
        Event::Start { id: "r1", model: "gemini-3-pro" },
        Event::Reasoning { index: 0, text: "Let " },
        Event::Reasoning { index: 0, text: "me see." },
        Event::ReasoningSignature { index: 0, signature: "QQ==" },
        Event::Text("I \"look\"\n"),
        Event::ReasoningEncrypted { index: 1, data: "Qg==" },
        Event::ToolCall { index: 0, id: "call_r1_0", name: "f" },
        Event::ToolArguments { index: 0, json: r#"{"n":12345678901234567890123,"b":[ ]}"# },
        Event::ToolCall { index: 1, id: "own", name: "g" },
        Event::ToolArguments { index: 1, json: "{}" },
        Event::Finish(Finish::ToolCalls),
        Event::End,
    ];
    assert_eq!(events, expected.map(|event| format!("{event:?}")));
    let expected = Usage {
        prompt_tokens: 8,
        completion_tokens: 9,
        total_tokens: 17,
        reasoning_tokens: 4,
        ..Usage::default()
    };
    assert_eq!(usage, Some(expected));
}

#[test]
fn what_is_written_reads_the_same() {
    let written = rewritten(&STEPS);
    let steps: Vec<&str> = written.iter().map(String::as_str).collect();
    let (_, first, usage) = decoded(&STEPS);
    let (result, second, usage_again) = decoded(&steps);
    assert_eq!((result, usage_again), (Ok(true), usage));
    // Calls come last, behind the thought that stood before them.
    assert_eq!(second, first, "{written:#?}");
    assert_eq!(
        written.last().map(String::as_str),
        Some(
            r#"{"candidates":[{"content":{"parts":[{"functionCall":{"id":"call_r1_0","name":"f","args":{"n":12345678901234567890123,"b":[ ]}}},{"functionCall":{"id":"own","name":"g","args":{}}}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":8,"candidatesTokenCount":5,"totalTokenCount":17,"thoughtsTokenCount":4},"modelVersion":"gemini-3-pro","responseId":"r1"}"#
        )
    );
}

#[test]
fn openai_callers_read_it() {
    let mut decoder = Decoder::default();
    let mut encoder = openai::stream::Encoder::new(StreamOptions::default());
    let mut said = |event: Event<'_>, out: &mut Vec<u8>| {
        encoder.encode(event, None, out);
        Ok(())
    };
    let mut out = Vec::new();
    for step in STEPS {
        decoder.decode(step.as_bytes(), &mut |event, _| said(event, &mut out)).unwrap();
    }
    decoder.finish(&mut |event, _| said(event, &mut out)).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains(
        r#"{"index":0,"id":"call_r1_0","type":"function","function":{"name":"f","arguments":""}}"#
    ));
    assert!(out.contains(r#""finish_reason":"tool_calls"}]}"#) && out.ends_with("data: [DONE]\n\n"), "{out}");
}

#[test]
fn a_cut_stream_is_never_called_whole() {
    for end in 0..4 {
        let (result, events, _) = decoded(&STEPS[..end]);
        assert_eq!(result, Ok(false), "{end}");
        assert!(!events.iter().any(|event| event == "End" || event.starts_with("Finish")), "{events:?}");
    }
}

#[test]
fn every_cut_and_every_broken_byte_is_an_error_or_events() {
    for step in STEPS {
        let mut bytes = step.as_bytes().to_vec();
        for at in 0..bytes.len() {
            assert!(Decoder::default().decode(&bytes[..at], &mut |_, _| Ok(())).is_err(), "{at}");
            for byte in *b"\"{\\\xff0 " {
                let kept = std::mem::replace(&mut bytes[at], byte);
                let mut encoder = Encoder::new(StreamOptions::default());
                let mut out = Vec::new();
                let _ = Decoder::default()
                    .decode(&bytes, &mut |event, _| written(&mut encoder, event, None, &mut out));
                encoder.encode(Event::End, None, &mut out);
                for event in String::from_utf8(out).unwrap().split_terminator("\n\n") {
                    let data = event.strip_prefix("data: ").unwrap();
                    assert!(serde_json::from_str::<serde::de::IgnoredAny>(data).is_ok(), "{data}");
                }
                bytes[at] = kept;
            }
        }
    }
}

#[test]
fn a_refused_prompt_and_an_error_end_the_stream() {
    let (result, events, _) =
        decoded(&[r#"{"promptFeedback":{"blockReason":"A_NEW_ONE"},"responseId":"r"}"#]);
    assert_eq!(result, Ok(true));
    assert_eq!(events[1..], ["Finish(ContentFilter)", "End"]);
    for (error, status, kind) in [
        (r#"{"code":503,"message":"Busy","status":"UNAVAILABLE"}"#, 503, "UNAVAILABLE"),
        (r#"{"message":"Busy","status":"RESOURCE_EXHAUSTED"}"#, 429, "RESOURCE_EXHAUSTED"),
        (r#"{"code":7,"message":"Busy"}"#, 500, ""),
    ] {
        let error = decoded(&[STEPS[0], &format!(r#"{{"error":{error}}}"#)]).0.unwrap_err();
        let upstream = error.upstream.clone().unwrap();
        assert_eq!((error.status(), &*upstream.kind, &*upstream.message), (status, kind, "Busy"));
    }
}

#[test]
fn too_many_calls_are_the_providers_fault() {
    let part = r#"{"functionCall":{"name":"f"}}"#;
    let parts = vec![part; CALLS_MAX + 1].join(",");
    let step = format!(r#"{{"candidates":[{{"content":{{"parts":[{parts}]}}}}]}}"#);
    assert_eq!(decoded(&[&step]).0.unwrap_err().kind, Kind::UpstreamInvalidResponse);
}

#[test]
fn citations_are_told_as_they_come() {
    let step = |text: &str, uri: &str| {
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}]}},"citationMetadata":{{"citationSources":[{{"startIndex":1,"endIndex":2,"uri":"{uri}"}}]}}}}]}}"#
        )
    };
    let end = r#"{"promptFeedback":{"blockReason":"X","blockReasonMessage":"No."}}"#;
    let steps = [step("ab", "u"), step("é", "v")];
    let (result, events, _) = decoded(&[&steps[0], &steps[1], end]);
    assert_eq!(result, Ok(true));
    let cited = |url: &'static str, span| Citation { url: Some(url.into()), span, ..Citation::default() };
    let expected = [
        Event::Start { id: "", model: "" },
        Event::Text("ab"),
        Event::Citation(&cited("u", Some((1, 2)))),
        Event::Text("é"),
        // What is no longer ASCII is not counted.
        Event::Citation(&cited("v", None)),
        Event::Refusal("No."),
        Event::Finish(Finish::ContentFilter),
        Event::End,
    ];
    assert_eq!(events, expected.map(|event| format!("{event:?}")));
    let written = rewritten(&[&steps[0], &steps[1], end]);
    assert_eq!(
        written[1],
        r#"{"candidates":[{"content":{"parts":[],"role":"model"},"citationMetadata":{"citationSources":[{"startIndex":1,"endIndex":2,"uri":"u"}]},"index":0}],"modelVersion":"fallback","responseId":""}"#
    );
    assert!(written[3].contains(r#""citationSources":[{"uri":"v"}]"#), "{written:#?}");
}

#[test]
fn more_calls_than_are_held_are_told_as_malformed() {
    let mut encoder = Encoder::new(StreamOptions::default());
    let mut out = Vec::new();
    for index in 0..=u32::try_from(CALLS_MAX).unwrap() {
        encoder.encode(Event::ToolCall { index, id: "c", name: "f" }, None, &mut out);
    }
    encoder.encode(Event::Finish(Finish::ToolCalls), None, &mut out);
    encoder.encode(Event::End, None, &mut out);
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains(r#""parts":[],"role":"model"},"finishReason":"MALFORMED_FUNCTION_CALL""#), "{out}");
}

#[test]
fn calls_that_are_cut_or_too_large_are_told_as_malformed() {
    let written = |pieces: &[&str], finish| {
        let mut encoder = Encoder::new(StreamOptions { model: "m".into(), ..StreamOptions::default() });
        let mut out = Vec::new();
        encoder.encode(Event::Start { id: "i", model: "" }, None, &mut out);
        encoder.encode(Event::ToolCall { index: 0, id: "c", name: "f" }, None, &mut out);
        for json in pieces {
            encoder.encode(Event::ToolArguments { index: 0, json }, None, &mut out);
        }
        encoder.encode(Event::Finish(finish), None, &mut out);
        assert!(out.is_empty());
        encoder.encode(Event::End, None, &mut out);
        String::from_utf8(out).unwrap()
    };
    let whole = written(&["{\"a\"", ":1}"], Finish::ToolCalls);
    assert!(whole.contains(r#""args":{"a":1}}}],"role":"model"},"finishReason":"STOP""#), "{whole}");
    assert!(whole.ends_with("\"modelVersion\":\"m\",\"responseId\":\"i\"}\n\n"), "{whole}");
    let cut = written(&["{\"a\""], Finish::ToolCalls);
    assert!(cut.contains(r#""parts":[],"role":"model"},"finishReason":"MALFORMED_FUNCTION_CALL""#), "{cut}");
    assert!(written(&["{\"a\""], Finish::Length).contains(r#""finishReason":"MAX_TOKENS""#));
    let large = "x".repeat(CALLS_BYTES_MAX);
    let large = written(&["{\"a\":\"", &large, "\"}"], Finish::ToolCalls);
    assert!(large.contains("MALFORMED_FUNCTION_CALL") && large.len() < 500, "{}", large.len());
}

#[test]
fn a_first_call_whose_name_alone_is_too_large_is_told_as_malformed() {
    let name = "f".repeat(CALLS_BYTES_MAX + 1);
    let mut encoder = Encoder::new(StreamOptions::default());
    let mut out = Vec::new();
    encoder.encode(Event::ToolCall { index: 0, id: "c", name: &name }, None, &mut out);
    encoder.encode(Event::ToolArguments { index: 0, json: "{}" }, None, &mut out);
    encoder.encode(Event::Finish(Finish::ToolCalls), None, &mut out);
    encoder.encode(Event::End, None, &mut out);
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains(r#""finishReason":"MALFORMED_FUNCTION_CALL","finishMessage":"#), "{out}");
    assert!(out.len() < 500, "{}", out.len());
}

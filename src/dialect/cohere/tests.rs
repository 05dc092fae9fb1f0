//! What is refused or told in Cohere's words, by its place; calls that a provider mixes.

use super::{message::encode::thinks, request, stream};
use crate::chat::{Event, Finish};
use crate::dialect::{Dialect, Quirks, anthropic, openai};
use crate::error::{Error, Kind};

fn refused(fields: &str) -> Error {
    request::decode(format!(r#"{{"model":"m",{fields}}}"#).as_bytes()).unwrap_err()
}

#[test]
fn each_wrong_field_is_named_with_its_place() {
    let message = |message: &str| format!(r#""messages":[{message}]"#);
    for (fields, kind, param) in [
        (r#""x":1"#.to_owned(), Kind::InvalidRequest, "messages"),
        (message("1"), Kind::InvalidRequest, "messages[0]"),
        (message(r#"{"role":"developer","content":"x"}"#), Kind::InvalidRequest, "messages[0].role"),
        (message(r#"{"role":"tool","content":"x"}"#), Kind::InvalidRequest, "messages[0].tool_call_id"),
        (
            message(r#"{"role":"user","content":[{"type":"text"}]}"#),
            Kind::InvalidRequest,
            "messages[0].content[0].text",
        ),
        (
            message(
                r#"{"role":"tool","tool_call_id":"a","content":[{"type":"document","document":{"data":1}}]}"#,
            ),
            Kind::InvalidRequest,
            "messages[0].content[0].document.data",
        ),
        (
            message(r#"{"role":"assistant","tool_calls":[{"id":"a"}]}"#),
            Kind::InvalidRequest,
            "messages[0].tool_calls[0].function",
        ),
        (r#""messages":[],"p":"x""#.to_owned(), Kind::InvalidRequest, "p"),
        (r#""messages":[],"tool_choice":"AUTO""#.to_owned(), Kind::InvalidRequest, "tool_choice"),
        (r#""messages":[],"thinking":{"type":"x"}"#.to_owned(), Kind::InvalidRequest, "thinking.type"),
        (
            r#""messages":[],"response_format":{"type":"x"}"#.to_owned(),
            Kind::InvalidRequest,
            "response_format",
        ),
        (r#""messages":[],"documents":[{"id":"a"}]"#.to_owned(), Kind::InvalidRequest, "documents[0]"),
        (
            r#""messages":[],"tools":[{"type":"function"}]"#.to_owned(),
            Kind::InvalidRequest,
            "tools[0].function",
        ),
    ] {
        let error = refused(&fields);
        assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{fields}");
    }
}

#[test]
fn what_another_cannot_say_is_told_in_cohere_words() {
    let names = [
        ("top_p", "p"),
        ("stop", "stop_sequences"),
        ("tools.function.strict", "strict_tools"),
        ("seed", "seed"),
    ];
    assert!(names.iter().all(|(neutral, own)| request::caller_name(neutral) == *own));
    let body = br#"{"messages":[{"role":"user","content":[{"type":"made_up"}]}]}"#;
    let error = crate::dialect::translate_request(
        Dialect::Cohere,
        Dialect::OpenAi,
        crate::dialect::Operation::Chat,
        body,
        "m",
        Quirks::OPENAI,
    )
    .unwrap_err();
    assert_eq!(error.param.as_deref(), Some("messages[0].content[0]"));
}

fn encoded(fields: &str, model: &str) -> (String, Vec<String>) {
    let body = format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],{fields}}}"#);
    let request = openai::request::decode(body.as_bytes()).unwrap();
    let (out, dropped) = request::encode(&request, model, false).unwrap();
    let start = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hi"}}]"#);
    (String::from_utf8(out).unwrap().strip_prefix(&start).unwrap().to_owned(), dropped)
}

#[test]
fn bounds_of_coheres_are_kept() {
    for (fields, expected, left_out) in [
        (r#""top_p":1"#, r#","p":0.99}"#, &[][..]),
        (r#""top_p":0"#, r#","p":0.01}"#, &[]),
        (r#""top_p":0.50"#, r#","p":0.50}"#, &[]),
        (
            r#""top_k":501,"presence_penalty":-0.5,"frequency_penalty":1.5"#,
            "}",
            &["top_k", "frequency_penalty", "presence_penalty"],
        ),
        (r#""stop":["1","2","3","4","5","6"]"#, r#","stop_sequences":["1","2","3","4","5"]}"#, &["stop"]),
        (
            r#""response_format":{"type":"json_object"},"documents":["d"]"#,
            r#","documents":["d"]}"#,
            &["response_format"],
        ),
        (r#""safety_mode":"NONE","tool_choice":"required""#, r#","safety_mode":"NONE"}"#, &["tool_choice"]),
    ] {
        let (out, dropped) = encoded(fields, "command-a-03-2025");
        assert_eq!(
            (&*out, &*dropped),
            (expected, &*left_out.iter().map(ToString::to_string).collect::<Vec<_>>()),
            "{fields}"
        );
    }
    assert!(
        thinks("command-a-reasoning-08-2025")
            && thinks("my-own")
            && !thinks("command-r7b-12-2024")
            && !thinks("command")
    );
}

#[test]
fn a_proof_stays_and_its_words_go() {
    let body = br#"{"max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"QQ=="},{"type":"redacted_thinking","data":"x"},{"type":"text","text":"b"}]},{"role":"user","content":"c"}]}"#;
    let mut request = anthropic::request::decode(body).unwrap();
    crate::dialect::origin::sort(Dialect::Anthropic, Dialect::Cohere, &mut request);
    let (out, dropped) = request::encode(&request, "command-a-reasoning-08-2025", false).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains(r#"[{"type":"thinking","thinking":"hm"},{"type":"text","text":"b"}]"#), "{out}");
    assert!(!out.contains("QQ==") && dropped == ["messages.reasoning_details"], "{dropped:?}");
}

fn streamed(events: &[Event<'_>]) -> Result<Vec<String>, Error> {
    let (mut encoder, mut out) = (stream::Encoder::new(), Vec::new());
    for event in events {
        encoder.encode(*event, None, &mut out)?;
    }
    let text = String::from_utf8(out).unwrap();
    let said = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line.strip_prefix("data: ")?).ok()?;
        let call = &value["delta"]["message"]["tool_calls"];
        let words = call["id"].as_str().or(call["function"]["arguments"].as_str()).unwrap_or_default();
        Some(format!("{} {} {words}", value["type"].as_str()?, value["index"]))
    };
    Ok(text.lines().filter_map(said).filter(|line| line.starts_with("tool")).collect())
}

#[test]
fn calls_that_are_mixed_come_one_after_the_other() {
    let begin = |index, id| Event::ToolCall { index, id, name: "f" };
    let more = |index, json| Event::ToolArguments { index, json };
    let mixed = [
        begin(0, "a"),
        begin(1, "b"),
        more(1, r#"{"y":"}"#),
        more(0, r#"{"x":"#),
        more(1, r#""}"#),
        more(0, "1}"),
        begin(2, "c"),
        Event::Finish(Finish::ToolCalls),
        Event::End,
    ];
    assert_eq!(
        streamed(&mixed).unwrap(),
        [
            "tool-call-start 0 a",
            r#"tool-call-delta 0 {"x":"#,
            "tool-call-delta 0 1}",
            "tool-call-end 0 ",
            "tool-call-start 1 b",
            r#"tool-call-delta 1 {"y":"}"}"#,
            "tool-call-end 1 ",
            "tool-call-start 2 c",
            "tool-call-delta 2 {}",
            "tool-call-end 2 ",
        ]
    );
    let late = [begin(0, "a"), more(0, "{}"), begin(1, "b"), more(0, "{}")];
    assert_eq!(streamed(&late).unwrap_err().kind, Kind::UpstreamInvalidResponse);
    let long = "x".repeat(1024 * 1024);
    assert!(streamed(&[begin(0, "a"), begin(1, "b"), more(1, &long)]).is_err(), "held without a bound");
}

//! Errors, lists and watching, through the room's front door.

use super::*;
use crate::chat::Usage;

const CONTEXT: ErrorContext<'static> = ErrorContext {
    provider: "anthropic",
    model_requested: "anthropic/m",
    request_type: "chat_completion",
    request_id: "r-1",
};

fn encoded(shape: ErrorShape, error: &Error) -> String {
    String::from_utf8(encode_error(shape, error, &CONTEXT)).unwrap()
}

fn upstream(status: u16, kind: &str) -> Error {
    Error::upstream(UpstreamError {
        status,
        kind: kind.to_owned(),
        code: Some("c".to_owned()),
        message: "slow \"down\"".to_owned(),
        param: None,
    })
}

#[test]
fn our_fault_in_each_shape() {
    let error = Error::new(Kind::ModelNotFound, "no such model").with_param("model");
    assert_eq!(
        encoded(ErrorShape::Native, &error),
        r#"{"type":"model_not_found","is_bifrost_error":false,"status_code":400,"error":{"message":"no such model","type":"invalid_request_error","param":"model","code":"model_not_found"},"extra_fields":{"provider":"anthropic","model_requested":"anthropic/m","request_type":"chat_completion"}}"#
    );
    assert_eq!(
        encoded(ErrorShape::OpenAi, &error),
        r#"{"error":{"message":"no such model","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#
    );
    assert_eq!(
        encoded(ErrorShape::Anthropic, &error),
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"no such model"},"request_id":"r-1"}"#
    );
}

#[test]
fn a_providers_error_without_a_code_has_ours() {
    let error = Error::upstream(UpstreamError { status: 502, ..UpstreamError::default() });
    for shape in [ErrorShape::Native, ErrorShape::OpenAi] {
        let body = encoded(shape, &error);
        assert!(body.contains(r#""code":"upstream_status""#), "{body}");
    }
}

#[test]
fn a_timeout_is_found_where_clients_look() {
    let error = Error::new(Kind::UpstreamTimeout, "late");
    let native = encoded(ErrorShape::Native, &error);
    assert!(
        native.starts_with(r#"{"type":"request_timed_out","is_bifrost_error":true,"status_code":504,"#),
        "{native}"
    );
    assert!(
        native.contains(r#""error":{"message":"late","type":"request_timed_out","param":null,"#),
        "{native}"
    );
    assert!(encoded(ErrorShape::OpenAi, &error).contains(r#""type":"server_error""#));
    assert!(encoded(ErrorShape::Anthropic, &error).contains(r#""type":"timeout_error""#));
}

#[test]
fn a_providers_error_in_each_shape() {
    let error = upstream(429, "rate_limit_error");
    assert_eq!(
        encoded(ErrorShape::Native, &error),
        r#"{"type":"rate_limit_error","is_bifrost_error":false,"status_code":429,"error":{"message":"slow \"down\"","type":"rate_limit_error","param":null,"code":"c"},"extra_fields":{"provider":"anthropic","model_requested":"anthropic/m","request_type":"chat_completion"}}"#
    );
    for (status, kind, expected) in [
        (429, "tokens", "rate_limit_error"),
        (529, "", "overloaded_error"),
        (503, "", "overloaded_error"),
        (502, "server_error", "api_error"),
        (400, "not_found_error", "not_found_error"),
        (422, "", "invalid_request_error"),
        (401, "", "authentication_error"),
    ] {
        let body = encoded(ErrorShape::Anthropic, &upstream(status, kind));
        assert!(body.contains(&format!(r#""error":{{"type":"{expected}","#)), "{status} {kind}: {body}");
    }
    for (status, expected) in
        [(401, "authentication_error"), (429, "rate_limit_error"), (500, "server_error")]
    {
        let body = encoded(ErrorShape::OpenAi, &upstream(status, ""));
        assert!(body.contains(&format!(r#""type":"{expected}""#)), "{status}: {body}");
    }
}

#[test]
fn errors_in_a_stream_are_one_event() {
    let error = Error::new(Kind::UpstreamTimeout, "line\nbreak");
    let event = |shape| {
        let mut out = b"data: before\n\n".to_vec();
        encode_error_event(shape, &error, &ErrorContext::default(), &mut out);
        String::from_utf8(out).unwrap()
    };
    let openai = event(ErrorShape::OpenAi);
    assert!(
        openai.starts_with("data: before\n\ndata: {\"error\":{") && openai.ends_with("}}\n\n"),
        "{openai}"
    );
    assert_eq!(
        event(ErrorShape::Anthropic),
        "data: before\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"timeout_error\",\"message\":\"line\\nbreak\"}}\n\n"
    );
    assert_eq!(event(ErrorShape::Native).lines().count(), 4);
}

#[test]
fn what_we_encode_we_decode() {
    for (shape, dialect) in [
        (ErrorShape::Native, Dialect::OpenAi),
        (ErrorShape::OpenAi, Dialect::OpenAi),
        (ErrorShape::Anthropic, Dialect::Anthropic),
    ] {
        let error =
            decode_error(dialect, 429, &encode_error(shape, &upstream(429, "rate_limit_error"), &CONTEXT));
        assert_eq!((error.status, &*error.kind, &*error.message), (429, "rate_limit_error", "slow \"down\""));
    }
}

#[test]
fn lists_of_models() {
    let models = [
        ModelEntry { id: "openai/gpt".into(), owned_by: "openai".into(), created_s: 1_700_000_000 },
        ModelEntry { id: "anthropic/m".into(), owned_by: "anthropic".into(), created_s: 0 },
    ];
    let openai = encode_models(Dialect::OpenAi, &models);
    assert_eq!(
        String::from_utf8_lossy(&openai),
        r#"{"object":"list","data":[{"id":"openai/gpt","object":"model","created":1700000000,"owned_by":"openai"},{"id":"anthropic/m","object":"model","created":0,"owned_by":"anthropic"}]}"#
    );
    let anthropic = encode_models(Dialect::Anthropic, &models);
    assert_eq!(
        String::from_utf8_lossy(&anthropic),
        r#"{"data":[{"type":"model","id":"openai/gpt","display_name":"openai/gpt","created_at":"2023-11-14T22:13:20Z","lifecycle":"active"},{"type":"model","id":"anthropic/m","display_name":"anthropic/m","created_at":"1970-01-01T00:00:00Z","lifecycle":"active"}],"has_more":false,"first_id":"openai/gpt","last_id":"anthropic/m"}"#
    );
    for (dialect, body) in [(Dialect::OpenAi, openai), (Dialect::Anthropic, anthropic)] {
        assert_eq!(decode_models(dialect, &body).unwrap(), ["openai/gpt", "anthropic/m"]);
    }
    assert_eq!(
        String::from_utf8_lossy(&encode_models(Dialect::Anthropic, &[])),
        r#"{"data":[],"has_more":false,"first_id":null,"last_id":null}"#
    );
    assert_eq!(decode_models(Dialect::OpenAi, b"<html>").unwrap_err().kind, Kind::UpstreamInvalidResponse);
}

#[test]
fn usage_of_a_whole_answer_is_the_outermost() {
    let checked = |body: &str| {
        let usage = check_answer(Dialect::OpenAi, body.as_bytes(), false);
        assert_eq!(usage, check_answer(Dialect::OpenAi, body.as_bytes(), true), "{body}");
        usage
    };
    let usage = |body: &str| checked(body).unwrap().map(|usage| usage.total_tokens);
    assert_eq!(
        usage(r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2},"service_tier":"default"}"#),
        Some(3)
    );
    assert_eq!(usage(r#"{"usage" : {"total_tokens":7} , "x":{"usage":{"total_tokens":8}}}"#), Some(7));
    assert_eq!(usage(r#"{"usage":{"total_tokens":7,"usage":{"total_tokens":8}}}"#), Some(7));
    assert_eq!(usage(r#"{"x":{"usage":{"total_tokens":8}}}"#), None);
    assert_eq!(usage(r#"{"usage":{"total_tokens":7},"text":"a \"usage\": {\"total_tokens\":9}}"}"#), Some(7));
    assert_eq!(usage(r#"{"usage":{"total_tokens":7},"text":"\"usage"}"#), Some(7));
    assert_eq!(usage(r#"{"usage":{"total_tokens":7},"tail":[1,"usage"]}"#), Some(7));
    assert_eq!(
        usage(&format!(r#"{{"usage":{{"total_tokens":7}},"text":"{}"}}"#, "x".repeat(2_000))),
        Some(7)
    );
    assert_eq!(usage(r#"{"a \"usage":{"total_tokens":8}}"#), None);
    for without in ["{}", r#"{"usage":null}"#, r#"{"usage":{"total_tokens":-1}}"#] {
        assert_eq!(usage(without), None, "{without}");
    }
    for broken in ["", r#"{"usage":"#, r#"{"usage":{"total_tokens":7}"#] {
        assert_eq!(checked(broken).unwrap_err().kind, Kind::UpstreamInvalidResponse, "{broken}");
    }
}

#[test]
fn watching_openai() {
    let mut observer = StreamObserver::new(Dialect::OpenAi);
    observer.observe(
        None,
        br#"{"choices":[{"delta":{"role":"assistant","content":"","refusal":null}}],"usage":null}"#,
    );
    observer.observe(None, br#"{"choices":[{"delta":{"content":null,"tool_calls":[]}}]}"#);
    assert!(!observer.has_content());
    observer.observe(
        None,
        br#"{"choices":[{"delta":{"content": "\"usage\":{\"total_tokens\":9} \"error\":{"}}],"usage":null}"#,
    );
    assert!(observer.has_content() && observer.usage().is_none() && observer.error().is_none());
    observer.observe(None, br#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1}}}"#);
    let expected = Usage {
        prompt_tokens: 3,
        completion_tokens: 4,
        total_tokens: 7,
        cached_read_tokens: 2,
        reasoning_tokens: 1,
        ..Usage::default()
    };
    assert_eq!(observer.usage(), Some(expected));
    assert!(!observer.is_ended());
    observer.observe(None, b"[DONE]");
    assert!(observer.is_ended());
}

#[test]
fn a_later_report_takes_no_tokens_away() {
    let mut observer = StreamObserver::new(Dialect::Anthropic);
    let start = br#"{"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}"#;
    observer.observe(Some(b"message_start"), start);
    let later = br#"{"type":"message_delta","delta":{},"usage":{"input_tokens":0,"output_tokens":5}}"#;
    observer.observe(Some(b"message_delta"), later);
    let usage = observer.usage().unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (9, 5));
}

#[test]
fn allowed_tools_are_picked_by_name() {
    let tool = |name: &str| format!(r#"{{"type":"function","function":{{"name":"{name}"}}}}"#);
    let body = format!(
        r#"{{"messages":[{{"role":"user","content":"hi"}}],"tools":[{},{},{}],"tool_choice":{{"type":"allowed_tools","allowed_tools":{{"mode":"auto","tools":[{},{}]}}}}}}"#,
        tool("a"),
        tool("b"),
        tool("c"),
        tool("c"),
        tool("a"),
    );
    let encoded = translate_request(
        Dialect::OpenAi,
        Dialect::Anthropic,
        Operation::Chat,
        body.as_bytes(),
        "m",
        Quirks::COMPATIBLE,
    )
    .unwrap();
    let sent: serde_json::Value = serde_json::from_slice(&encoded.body).unwrap();
    let names: Vec<_> = sent["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect();
    assert_eq!(names, ["a", "c"]);
}

#[test]
fn each_kind_of_content_counts() {
    for delta in [
        r#"{"tool_calls":[{"index":0}]}"#,
        r#"{"reasoning_content":"x"}"#,
        r#"{"reasoning":"x"}"#,
        r#"{"refusal":"x"}"#,
        r#"{"function_call":{"name":"f"}}"#,
        r#"{"reasoning":"x"}"#,
        r#"{"reasoning_details":[{"type":"reasoning.text","text":"x"}]}"#,
        r#"{"audio":{"id":"a"}}"#,
        r#"{"images":[{"type":"image_url"}]}"#,
    ] {
        let mut observer = StreamObserver::new(Dialect::OpenAi);
        observer.observe(None, format!(r#"{{"choices":[{{"delta":{delta}}}]}}"#).as_bytes());
        assert!(observer.has_content(), "{delta}");
    }
}

#[test]
fn what_a_claude_stream_says_first_is_no_content() {
    let seen = |events: &[&str]| {
        let mut observer = StreamObserver::new(Dialect::Anthropic);
        events.iter().for_each(|event| observer.observe(None, event.as_bytes()));
        (observer.has_content(), observer.has_stopped())
    };
    let block =
        |block: &str| format!(r#"{{"type":"content_block_start","index":0,"content_block":{block}}}"#);
    let text = block(r#"{"type":"text","text":""}"#);
    let thought = block(r#"{"type":"thinking","thinking":"","signature":""}"#);
    let stop = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":1}}"#;
    let ping = r#"{"type": "ping"}"#;
    assert_eq!(seen(&[START, ping, &text, &thought]), (false, false));
    assert_eq!(seen(&[START, &text, stop]), (false, true));
    assert_eq!(seen(&[r#"{"type":"message_delta","delta":{"stop_reason":null}}"#]), (false, false));
    for filled in [
        r#"{"type":"text","text":"x"}"#,
        r#"{"type":"thinking","thinking":"x"}"#,
        r#"{"type":"redacted_thinking","data":"x"}"#,
        r#"{"type":"tool_use","id":"t","name":"f","input":{}}"#,
    ] {
        assert_eq!(seen(&[START, &block(filled)]), (true, false), "{filled}");
    }
    let delta =
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"x"}}"#;
    assert_eq!(seen(&[START, &thought, delta]), (true, false));
}

#[test]
fn an_error_before_content_is_told_from_one_behind_it() {
    let seen = |events: &[&str]| {
        let mut observer = StreamObserver::new(Dialect::OpenAi);
        events.iter().for_each(|event| observer.observe(None, event.as_bytes()));
        (observer.has_failed_first(), observer.has_stopped(), observer.error().is_some())
    };
    let role = r#"{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
    let content = r#"{"choices":[{"delta":{"content":"x"},"finish_reason":null}]}"#;
    let stop = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
    let error = r#"{"error":{"code":502,"message":"m"},"choices":[{"delta":{"content":""},"finish_reason":"error"}]}"#;
    assert_eq!(seen(&[role, error]), (true, false, true));
    assert_eq!(seen(&[role, content, error]), (false, false, true));
    assert_eq!(seen(&[role, stop]), (false, true, false));
    assert_eq!(seen(&[role, stop, error]), (false, true, true));
}

#[test]
fn errors_are_seen_in_a_watched_stream() {
    let seen = |dialect, name: Option<&[u8]>, data: &str| {
        let mut observer = StreamObserver::new(dialect);
        observer.observe(name, data.as_bytes());
        observer.error().map(|error| error.status)
    };
    let openai = |data| seen(Dialect::OpenAi, None, data);
    assert_eq!(openai(r#"{"error":{"message":"m","type":"server_error"}}"#), Some(500));
    assert_eq!(openai(r#"{"id":"x","error":{"code":429,"message":"m"},"choices":[]}"#), Some(429));
    assert_eq!(openai(r#"{"error":{"message":"m","code":"rate_limit_exceeded"}}"#), Some(429));
    assert_eq!(openai(r#"{"error":null,"choices":[]}"#), None);
    let filtered =
        r#"{"choices":[{"delta":{"content":"x"},"content_filter_results":{"error":{"code":"f"}}}]}"#;
    assert_eq!(openai(filtered), None, "an error inside a choice is not the stream's");
    assert_eq!(seen(Dialect::OpenAi, Some(b"error"), "gone"), Some(500));
    let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    assert_eq!(seen(Dialect::Anthropic, Some(b"error"), overloaded), Some(529));
    assert_eq!(seen(Dialect::Anthropic, None, overloaded), Some(529));
}

#[test]
fn broken_answers_are_the_providers_fault() {
    let translated = |body: &str| {
        let options = AnswerOptions::default();
        translate_response(Dialect::Anthropic, Dialect::OpenAi, body.as_bytes(), &options)
    };
    for body in ["", "null", "{}", "[]", r#"{"id":"x","model":"m","content":7,"usage":{}}"#, "<html>"] {
        let error = translated(body).unwrap_err();
        assert_eq!(error.kind, Kind::UpstreamInvalidResponse, "{body}");
    }
    let long = format!(r#"{{"id":"x","model":"m","content":"{}","usage":{{}}}}"#, "x".repeat(9_000));
    let error = translated(&long).unwrap_err();
    assert!(error.message.len() < 400);
}

const START: &str = r#"{"type":"message_start","message":{"id":"i","model":"m","usage":{"input_tokens":3,"output_tokens":1}}}"#;

fn pushed(events: &[&str]) -> (Result<(), Error>, StreamTranslator, String) {
    let mut translator = StreamTranslator::new(Dialect::Anthropic, Dialect::OpenAi, StreamOptions::default());
    let mut out = Vec::new();
    let result = events
        .iter()
        .try_for_each(|data| translator.push(None, data.as_bytes(), &mut out))
        .and_then(|()| translator.finish(&mut out));
    (result, translator, String::from_utf8(out).unwrap())
}

#[test]
fn a_cut_stream_is_never_called_whole() {
    let text = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#;
    for events in [&[][..], &[START], &[START, text]] {
        let (result, translator, out) = pushed(events);
        assert_eq!(result.unwrap_err().kind, Kind::UpstreamInvalidResponse);
        assert!(!out.contains("[DONE]") && !translator.is_ended());
        assert_eq!(translator.usage().map(|usage| usage.prompt_tokens), (!events.is_empty()).then_some(3));
        assert_eq!(translator.has_content(), events.len() == 2);
    }
}

#[test]
fn a_stream_without_a_reason_still_finishes_and_nothing_follows_its_end() {
    let stop = r#"{"type":"message_stop"}"#;
    let (result, _, out) = pushed(&[START, stop, stop, START]);
    assert_eq!(result, Ok(()));
    assert!(out.contains(r#""finish_reason":"stop""#) && out.ends_with("data: [DONE]\n\n"), "{out}");
    assert_eq!(out.matches("data: ").count(), 3);
}

#[test]
fn broken_streams_are_the_providers_fault() {
    let tool = r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","name":"f"}}"#;
    for events in [
        &["{"][..],
        &["not json"],
        &["[1]"],
        &[r#"{"type":"message_stop"}"#],
        &[r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#],
        &[r#"{"type":"message_start"}"#],
        &[START, START],
        &[START, tool],
        &[START, r#"{"type":"content_block_delta","index":0}"#],
        &[START, r#"{"type":"content_block_delta","delta":{"text":"x"}}"#],
        &[START, r#"{"type":"content_block_start","index":0}"#],
    ] {
        assert_eq!(pushed(events).0.unwrap_err().kind, Kind::UpstreamInvalidResponse, "{events:?}");
    }
    let tools: Vec<String> = (0..200)
        .map(|index| format!(r#"{{"type":"content_block_start","index":{index},"content_block":{{"type":"tool_use","id":"i","name":"f"}}}}"#))
        .collect();
    let events: Vec<&str> = std::iter::once(START).chain(tools.iter().map(String::as_str)).collect();
    assert!(pushed(&events).0.unwrap_err().message.contains("too many tool calls"));
}

#[test]
fn deep_events_do_not_exhaust_the_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}0{}", open.repeat(300_000), close.repeat(300_000));
        let event = format!(r#"{{"type":"ping","x":{deep}}}"#);
        let _ = pushed(&[START, &event]);
        let body = format!(r#"{{"x":{deep},"usage":{{"total_tokens":7}},"y":{deep}}}"#);
        assert_eq!(
            check_answer(Dialect::OpenAi, body.as_bytes(), false),
            Ok(None),
            "no more than the look counts"
        );
        let _ = decode_error(Dialect::OpenAi, 500, &event.as_bytes()[..60_000]);
        let request = format!(r#"{{"messages":[{{"role":"user","content":{deep}}}],"z":{deep}}}"#);
        assert!(
            translate_request(
                Dialect::OpenAi,
                Dialect::Anthropic,
                Operation::Chat,
                request.as_bytes(),
                "m",
                Quirks::COMPATIBLE
            )
            .is_err()
        );
    }
}

#[test]
fn an_error_event_is_the_providers_error() {
    for (kind, status) in [
        ("overloaded_error", 529),
        ("rate_limit_error", 429),
        ("invalid_request_error", 400),
        ("authentication_error", 401),
        ("api_error", 500),
        ("a_new_error", 500),
    ] {
        let event = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"Busy"}}}}"#);
        for events in [&[&*event][..], &[START, &event]] {
            let error = pushed(events).0.unwrap_err();
            let upstream = error.upstream.clone().unwrap();
            assert_eq!((error.status(), &*upstream.kind, &*upstream.message), (status, kind, "Busy"));
        }
    }
    assert_eq!(pushed(&[r#"{"type":"error"}"#]).0.unwrap_err().status(), 500);
}

#[test]
fn interleaved_tool_blocks_keep_their_calls_apart() {
    let open = |index, id| {
        format!(
            r#"{{"type":"content_block_start","index":{index},"content_block":{{"type":"tool_use","id":"{id}","name":"f","input":{{}}}}}}"#
        )
    };
    let delta = |index, json| {
        format!(
            r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"input_json_delta","partial_json":"{json}"}}}}"#
        )
    };
    let (a, b, json_b, json_a) = (open(4, "a"), open(9, "b"), delta(9, "[b]"), delta(4, "[a]"));
    let (_, _, out) = pushed(&[START, &a, &b, &json_b, &json_a]);
    assert!(out.contains(r#"{"index":1,"function":{"arguments":"[b]"}}"#), "{out}");
    assert!(out.contains(r#"{"index":0,"function":{"arguments":"[a]"}}"#), "{out}");
}

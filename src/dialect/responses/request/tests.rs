//! Each field of a request: its neutral word, its refusal, or its name among what was dropped.

use super::*;
use crate::chat::ServiceTier;

fn decoded(fields: &str) -> Result<String, Error> {
    let body = format!(r#"{{"input":"hi",{fields}}}"#);
    decode(body.as_bytes()).map(|request| format!("{request:?}"))
}

#[test]
fn each_wrong_field_is_named() {
    let (invalid, unsupported) = (Kind::InvalidRequest, Kind::UnsupportedParameter);
    for (fields, kind, param) in [
        (r#""temperature":"hot""#, invalid, "temperature"),
        (r#""max_output_tokens":-1"#, invalid, "max_output_tokens"),
        (r#""metadata":[]"#, invalid, "metadata"),
        (r#""instructions":7"#, invalid, "instructions"),
        (r#""previous_response_id":"resp_1""#, unsupported, "previous_response_id"),
        (r#""conversation":{"id":"conv_1"}"#, unsupported, "conversation"),
        (r#""prompt":{"id":"pmpt_1"}"#, unsupported, "prompt"),
        (r#""background":true"#, unsupported, "background"),
        (r#""include":["message.output_text.logprobs"]"#, unsupported, "include"),
        (r#""tools":[{"type":"web_search"}]"#, unsupported, "tools[0].type"),
        (r#""tools":[{"type":"mcp","server_label":"s"}]"#, unsupported, "tools[0].type"),
        (r#""tools":[{"type":"custom","name":"c","format":{}}]"#, unsupported, "tools[0].type"),
        (r#""tools":[{"type":"function"}]"#, invalid, "tools[0].name"),
        (r#""tools":[{"name":"f"}]"#, invalid, "tools[0]"),
        (r#""tools":[{"type":"function","name":"a","name":"b"}]"#, Kind::DuplicateField, "tools[0]"),
        (r#""tool_choice":"maybe""#, invalid, "tool_choice"),
        (r#""tool_choice":{"type":"function"}"#, invalid, "tool_choice"),
        (r#""tool_choice":{"type":"file_search"}"#, unsupported, "tool_choice"),
        (r#""tool_choice":{"type":"mcp","server_label":"s"}"#, unsupported, "tool_choice"),
        (
            r#""tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"mcp"}]}"#,
            unsupported,
            "tool_choice",
        ),
        (r#""text":{"format":{"type":"json_schema","name":"n"}}"#, invalid, "text.format"),
        (r#""text":{"format":{"type":"grammar"}}"#, invalid, "text.format"),
        (r#""reasoning":{"effort":"huge"}"#, invalid, "reasoning.effort"),
    ] {
        let error = decoded(fields).unwrap_err();
        assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{fields}");
    }
    assert_eq!(decode(b"{}").unwrap_err().param.as_deref(), Some("input"));
    assert_eq!(decode(br#"{"input":7}"#).unwrap_err().param.as_deref(), Some("input"));
}

#[test]
fn what_has_no_neutral_word_is_named_and_defaults_are_not() {
    let body = br#"{"input":"hi","store":true,"truncation":"auto","top_logprobs":3,"text":{"verbosity":"low"},"include":["web_search_call.results"],"service_tier":"scale","prompt_cache_key":"k","max_tool_calls":3}"#;
    let request = decode(body).unwrap();
    let named = ["store", "truncation", "top_logprobs", "text.verbosity", "include", "service_tier"];
    assert_eq!(request.dropped, named);
    let extra: Vec<_> = request.extra.iter().map(|(name, raw)| (&**name, raw.0)).collect();
    assert_eq!(extra, [("prompt_cache_key", r#""k""#), ("max_tool_calls", "3")]);
    let defaults = br#"{"input":"hi","store":false,"background":false,"truncation":"disabled","top_logprobs":0,"include":["reasoning.encrypted_content"],"previous_response_id":null,"text":{"format":{"type":"text"}},"reasoning":{"effort":null},"model":"m","stream":true,"stream_options":{"include_obfuscation":false}}"#;
    let request = decode(defaults).unwrap();
    assert!(request.dropped.is_empty() && request.extra.is_empty(), "{request:?}");
    assert_eq!((request.reasoning, request.format), (None, Format::Text));
}

#[test]
fn each_field_has_its_neutral_word() {
    let body = br#"{"input":"hi","instructions":"be kind","max_output_tokens":9,"temperature":0.70,"top_p":1e-1,"user":"old","safety_identifier":"new","metadata":{"a":"b"},"parallel_tool_calls":false,"service_tier":"priority","reasoning":{"effort":"xhigh","summary":"detailed"},"text":{"format":{"type":"json_schema","name":"n","description":"d","schema":{"b":1,"a":2},"strict":true}},"tools":[{"type":"function","name":"f","description":"d","parameters":{"z":12345678901234567890123},"strict":false}],"tool_choice":{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"f"}]}}"#;
    let request = decode(body).unwrap();
    assert_eq!(request.messages.iter().map(|one| one.role).collect::<Vec<_>>(), [Role::System, Role::User]);
    assert_eq!((request.temperature, request.top_p), (Some(Raw("0.70")), Some(Raw("1e-1"))));
    assert_eq!((request.max_tokens, request.parallel_tool_calls), (Some(9), Some(false)));
    assert_eq!((request.user.as_deref(), request.metadata), (Some("new"), Some(Raw(r#"{"a":"b"}"#))));
    assert_eq!(request.service_tier, Some(ServiceTier::Priority));
    let effort = Some(Effort::ExtraHigh);
    assert_eq!(request.reasoning, Some(Reasoning { effort, budget_tokens: None, is_shown: Some(true) }));
    let format = Format::JsonSchema {
        name: Some("n".into()),
        description: Some("d".into()),
        schema: r#"{"b":1,"a":2}"#.into(),
        strict: Some(true),
    };
    assert_eq!(request.format, format);
    assert_eq!(request.tools[0].schema.as_deref(), Some(r#"{"z":12345678901234567890123}"#));
    assert_eq!(request.tools[0].strict, Some(false));
    assert_eq!(request.tool_choice, Some(ToolChoice::Allowed { required: true, names: vec!["f".into()] }));
}

#[test]
fn each_tool_choice_has_its_word() {
    for (choice, expected) in [
        (r#""auto""#, ToolChoice::Auto),
        (r#""none""#, ToolChoice::None),
        (r#""required""#, ToolChoice::Required),
        (r#"{"type":"function","name":"f"}"#, ToolChoice::Named("f".into())),
    ] {
        let body = format!(r#"{{"input":"hi","tool_choice":{choice}}}"#);
        assert_eq!(decode(body.as_bytes()).unwrap().tool_choice, Some(expected));
    }
}

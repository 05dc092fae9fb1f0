//! What the two halves say together: shapes of AWS's own documents, and what is between them and the neutral model.

use super::*;
use crate::chat::Part;
use crate::dialect::openai::request::decode as asked;
use crate::error::Kind;

const SONNET: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";

fn told(model: &str, messages: &str, fields: &str) -> (String, Vec<String>) {
    let body = format!(r#"{{"messages":[{messages}]{fields}}}"#);
    let (out, dropped) = request::encode(&asked(body.as_bytes()).unwrap(), model, false).unwrap();
    (String::from_utf8(out).unwrap(), dropped)
}

const USER: &str = r#"{"role":"user","content":"hi"}"#;
const HI: &str = r#""messages":[{"role":"user","content":[{"text":"hi"}]}]"#;

#[test]
fn each_family_is_tuned_in_its_words() {
    let fields = r#","max_tokens":9000,"temperature":0.70,"top_k":5,"reasoning_effort":"low""#;
    for (model, expected, left) in [
        (
            "amazon.nova-2-lite-v1:0",
            r#""inferenceConfig":{"maxTokens":9000,"temperature":0.70},"additionalModelRequestFields":{"reasoningConfig":{"type":"enabled","maxReasoningEffort":"low"},"inferenceConfig":{"topK":5}}"#,
            &[][..],
        ),
        (
            "openai.gpt-oss-120b-1:0",
            r#""inferenceConfig":{"maxTokens":9000,"temperature":0.70},"additionalModelRequestFields":{"reasoning_effort":"low"}"#,
            &["top_k"],
        ),
        (
            "meta.llama3-70b",
            r#""inferenceConfig":{"maxTokens":9000,"temperature":0.70}"#,
            &["reasoning_effort", "top_k"],
        ),
        (
            SONNET,
            r#""inferenceConfig":{"maxTokens":9000},"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":2220}}"#,
            &["temperature", "top_k"],
        ),
        (
            "anthropic.claude-opus-5-5",
            r#""inferenceConfig":{"maxTokens":9000},"additionalModelRequestFields":{"thinking":{"type":"adaptive"}},"outputConfig":{"effort":"low"}"#,
            &["temperature", "top_k"],
        ),
    ] {
        assert_eq!(told(model, USER, fields), (format!("{{{HI},{expected}}}"), strings(left)), "{model}");
    }
    let high =
        told("amazon.nova-2-lite-v1:0", USER, r#","max_tokens":9,"top_p":0.5,"reasoning_effort":"high""#);
    assert_eq!(high.1, ["max_tokens", "top_p"]);
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn what_the_caller_says_of_the_model_itself_wins() {
    let fields = r#","top_k":5,"additionalModelRequestFields":{"top_k":9,"x":1.50},"guardrailConfig":{"guardrailIdentifier":"g"},"performanceConfig":{"latency":"optimized"},"y":1"#;
    let (out, dropped) = told("anthropic.claude-3-haiku-20240307-v1:0", USER, fields);
    assert_eq!(
        out,
        format!(
            r#"{{{HI},"additionalModelRequestFields":{{"top_k":9,"x":1.50}},"guardrailConfig":{{"guardrailIdentifier":"g"}},"performanceConfig":{{"latency":"optimized"}}}}"#
        )
    );
    assert_eq!(dropped, ["y"]);
}

#[test]
fn turns_alternate_and_marks_stand_behind() {
    let messages = r#"{"role":"system","content":[{"type":"text","text":"s","cache_control":{"type":"ephemeral","ttl":"1h"}}]},
        {"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]},{"role":"user","content":"b"},
        {"role":"assistant","tool_calls":[{"id":"c 1","type":"function","function":{"name":"f","arguments":""}},{"id":"c2","type":"function","function":{"name":"g","arguments":"{\"a\": 1}"}}]},
        {"role":"tool","tool_call_id":"c 1","content":"x"},{"role":"tool","tool_call_id":"c2","content":"y"},{"role":"user","content":"d"}"#;
    let (out, dropped) = told(SONNET, messages, "");
    let id = call_id("c 1");
    let expected = format!(
        r#"{{"system":[{{"text":"s"}},{{"cachePoint":{{"type":"default","ttl":"1h"}}}}],"messages":[{{"role":"user","content":[{{"text":"a"}},{{"cachePoint":{{"type":"default"}}}},{{"text":"b"}}]}},{{"role":"assistant","content":[{{"toolUse":{{"toolUseId":"{id}","name":"f","input":{{}}}}}},{{"toolUse":{{"toolUseId":"c2","name":"g","input":{{"a": 1}}}}}}]}},{{"role":"user","content":[{{"toolResult":{{"toolUseId":"{id}","content":[{{"text":"x"}}]}}}},{{"toolResult":{{"toolUseId":"c2","content":[{{"text":"y"}}]}}}},{{"text":"d"}}]}}],"toolConfig":{{"tools":[{{"toolSpec":{{"name":"f","inputSchema":{{"json":{{"type":"object","properties":{{}}}}}}}}}},{{"toolSpec":{{"name":"g","inputSchema":{{"json":{{"type":"object","properties":{{}}}}}}}}}}]}}}}"#
    );
    assert_eq!((out, dropped), (expected, Vec::new()));
    assert!(id.starts_with("c1-") && id.len() == 19, "{id}");
    assert_eq!(told("meta.llama3", messages, "").1, ["messages.content.cache_control"]);
}

#[test]
fn each_choice_of_a_tool_has_its_word() {
    let tools = r#","tools":[{"type":"function","function":{"name":"a","description":"d","strict":true,"parameters":{"type":"object"}}}]"#;
    for (choice, expected) in [
        (r#""auto""#, r#","toolChoice":{"auto":{}}}}"#),
        (r#""required""#, r#","toolChoice":{"any":{}}}}"#),
        (r#"{"type":"function","function":{"name":"a"}}"#, r#","toolChoice":{"tool":{"name":"a"}}}}"#),
    ] {
        let (out, dropped) = told(SONNET, USER, &format!(r#"{tools},"tool_choice":{choice}"#));
        let spec = r#""toolConfig":{"tools":[{"toolSpec":{"name":"a","description":"d","inputSchema":{"json":{"type":"object"}},"strict":true}}]"#;
        assert_eq!(out, format!("{{{HI},{spec}{expected}"), "{choice}");
        assert!(dropped.is_empty());
    }
    let none = told(SONNET, USER, &format!(r#"{tools},"tool_choice":"none","parallel_tool_calls":false"#));
    assert_eq!(none, (format!("{{{HI}}}"), strings(&["parallel_tool_calls"])));
    assert_eq!(told("meta.llama3", USER, tools).1, ["tools.function.strict"]);
}

#[test]
fn a_schema_is_native_or_a_tool_that_must_be_called() {
    let format = r#","response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","x":1.50},"strict":true}}"#;
    let (out, dropped) = told(SONNET, USER, format);
    let native = r#""outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"type\":\"object\",\"x\":1.50}","name":"n"}}}}"#;
    assert_eq!((out, dropped), (format!("{{{HI},{native}}}"), Vec::new()));
    let (out, dropped) = told("amazon.nova-lite-v1:0", USER, format);
    let tool = r#""toolConfig":{"tools":[{"toolSpec":{"name":"corelane_structured_answer","description":"Gives the answer. Its arguments are the whole answer.","inputSchema":{"json":{"type":"object","x":1.50}}}}],"toolChoice":{"tool":{"name":"corelane_structured_answer"}}}"#;
    assert_eq!(out, format!("{{{HI},{tool}}}"));
    assert_eq!(dropped, ["response_format.json_schema.strict"]);
    let answer = br#"{"output":{"message":{"role":"assistant","content":[{"toolUse":{"toolUseId":"t","name":"corelane_structured_answer","input":{"a":1.50}}}]}},"stopReason":"tool_use","usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3}}"#;
    let answer = response::decode(answer).unwrap();
    assert_eq!(answer.parts, [Part::Text { text: r#"{"a":1.50}"#.into(), cache: None }]);
    assert_eq!(answer.finish, Finish::Stop);
}

#[test]
fn what_bedrock_cannot_take_is_a_400_that_names_its_place() {
    for part in [
        r#"{"type":"image_url","image_url":{"url":"https://x/a.png"}}"#,
        r#"{"type":"image_url","image_url":{"url":"data:image/tiff;base64,QQ=="}}"#,
        r#"{"type":"file","file":{"file_data":"data:application/zip;base64,QQ=="}}"#,
        r#"{"type":"video_url","video_url":{}}"#,
    ] {
        let body =
            format!(r#"{{"messages":[{{"role":"user","content":[{{"type":"text","text":"x"}},{part}]}}]}}"#);
        let error = request::encode(&asked(body.as_bytes()).unwrap(), SONNET, false).unwrap_err();
        assert_eq!(
            (error.kind, error.param.as_deref()),
            (Kind::UnsupportedParameter, Some("messages[0].content[1]")),
            "{part}"
        );
    }
    let (out, _) = told(
        SONNET,
        r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"s3://b/a.jpg"}},{"type":"file","file":{"filename":"a_b.pdf","file_data":"data:application/pdf;base64,QQ=="}},{"type":"file","file":{"filename":"a b.pdf","file_data":"data:application/pdf;base64,QQ=="}}]}"#,
        "",
    );
    assert!(
        out.contains(r#"{"image":{"format":"jpeg","source":{"s3Location":{"uri":"s3://b/a.jpg"}}}}"#),
        "{out}"
    );
    assert!(out.contains(r#""name":"a b pdf""#) && out.contains(r#""name":"a b pdf (2)""#), "{out}");
}

#[test]
fn notes_and_the_user_are_metadata_where_aws_takes_them() {
    let (out, dropped) =
        told(SONNET, USER, r#","metadata":{"b":"2","a":"1"},"user":"u@x","service_tier":"flex""#);
    let expected = r#""requestMetadata":{"a":"1","b":"2","user":"u@x"},"serviceTier":{"type":"flex"}"#;
    assert_eq!((out, dropped), (format!("{{{HI},{expected}}}"), Vec::new()));
    let (_, dropped) = told(SONNET, USER, r#","metadata":{"a":"ü"},"user":"ü","seed":1,"stop":["\n"]"#);
    assert_eq!(dropped, ["stop", "metadata", "user", "seed"]);
}

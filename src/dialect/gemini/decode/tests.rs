//! What a caller of Gemini asks, in neutral words.

use super::*;
use crate::chat::{Effort, Format, Message, Part, Raw, Reasoning, Role, Source, ToolChoice};

fn decoded(fields: &str) -> Result<Request<'static>, Error> {
    decode(format!(r#"{{"contents":[],{fields}}}"#).leak().as_bytes())
}

fn turns(contents: &str) -> Result<Vec<Message<'static>>, Error> {
    decode(format!(r#"{{"contents":[{contents}]}}"#).leak().as_bytes()).map(|request| request.messages)
}

fn parts(parts: &str) -> Result<Vec<Part<'static>>, Error> {
    turns(&format!(r#"{{"role":"user","parts":[{parts}]}}"#)).map(|mut turns| turns.remove(0).parts)
}

fn text(text: &'static str) -> Part<'static> {
    Part::Text { text: text.into(), cache: None }
}

fn call(id: &'static str, name: &'static str, arguments: &'static str) -> Part<'static> {
    Part::ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() }
}

#[test]
fn both_spellings_and_lone_objects_are_read() {
    let body = br#"{"system_instruction":{"parts":{"text":"s"}},"contents":{"parts":[{"text":"a"},{"inline_data":{"mime_type":"image/png","data":"-_8"}}]},"generation_config":{"max_output_tokens":7,"top_p":0.70,"stop_sequences":["x"]}}"#;
    let request = decode(body).unwrap();
    let image = Source::Base64 { media_type: "image/png".into(), data: "+/8=".into() };
    let expected = [
        Message { role: Role::System, parts: vec![text("s")] },
        Message { role: Role::User, parts: vec![text("a"), Part::Image { source: image, cache: None }] },
    ];
    assert_eq!(request.messages, expected);
    assert!(request.system_first);
    assert_eq!((request.max_tokens, request.top_p, request.stop.len()), (Some(7), Some(Raw("0.70")), 1));
    assert_eq!(request.dropped, Vec::<String>::new());
}

#[test]
fn each_wrong_field_is_named() {
    use Kind::{DuplicateField, InvalidRequest as Invalid, UnsupportedParameter as Unsupported};
    for (fields, kind, param) in [
        (r#""generationConfig":{"temperature":"hot"}"#, Invalid, "generationConfig.temperature"),
        (r#""generationConfig":7"#, Invalid, "generationConfig"),
        (r#""generationConfig":{"maxOutputTokens":-1}"#, Invalid, "generationConfig.maxOutputTokens"),
        (r#""generation_config":{"stop_sequences":[1]}"#, Invalid, "generationConfig.stop_sequences"),
        (
            r#""generationConfig":{"responseMimeType":"text/x.enum","responseSchema":{}}"#,
            Unsupported,
            "generationConfig.responseMimeType",
        ),
        (r#""generationConfig":{"responseSchema":{"items":1}}"#, Invalid, "generationConfig.responseSchema"),
        (r#""generationConfig":{"responseJsonSchema":[]}"#, Invalid, "generationConfig.responseJsonSchema"),
        (
            r#""generationConfig":{"responseModalities":["TEXT","IMAGE"]}"#,
            Unsupported,
            "generationConfig.responseModalities",
        ),
        (
            r#""generationConfig":{"thinkingConfig":{"thinkingLevel":"X"}}"#,
            Invalid,
            "generationConfig.thinkingConfig.thinkingLevel",
        ),
        (r#""tools":[{"googleSearch":{}}]"#, Unsupported, "tools[0].googleSearch"),
        (r#""tools":[{"functionDeclarations":[{}]}]"#, Invalid, "tools[0].functionDeclarations[0].name"),
        (
            r#""tools":[{},{"function_declarations":[{"name":"f","parameters":[]}]}]"#,
            Invalid,
            "tools[1].function_declarations[0].parameters",
        ),
        (
            r#""toolConfig":{"functionCallingConfig":{"mode":"X"}}"#,
            Invalid,
            "toolConfig.functionCallingConfig.mode",
        ),
        (r#""cachedContent":"cachedContents/x""#, Unsupported, "cachedContent"),
        (r#""serviceTier":"soon""#, Invalid, "serviceTier"),
        (r#""systemInstruction":"s""#, Invalid, "systemInstruction"),
        (r#""labels":{},"labels":{}"#, DuplicateField, "labels"),
    ] {
        let error = decoded(fields).unwrap_err();
        assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{fields}");
    }
    assert_eq!(decode(b"{}").unwrap_err().param.as_deref(), Some("contents"));
}

#[test]
fn each_wrong_part_is_named_with_its_place() {
    for (part, param) in [
        ("1", "contents[0].parts[0]"),
        ("{}", "contents[0].parts[0]"),
        (r#"{"text":7}"#, "contents[0].parts[0]"),
        (r#"{"text":""},{"inlineData":{"data":""}}"#, "contents[0].parts[1].inlineData.mimeType"),
        (r#"{"inlineData":{"mimeType":"text/plain","data":"/w=="}}"#, "contents[0].parts[0].inlineData.data"),
        (r#"{"fileData":{}}"#, "contents[0].parts[0].fileData.fileUri"),
        (r#"{"functionCall":{"args":{}}}"#, "contents[0].parts[0].functionCall.name"),
        (r#"{"functionCall":{"name":"f","args":[]}}"#, "contents[0].parts[0].functionCall.args"),
        (r#"{"functionResponse":{"name":"f","response":{}}}"#, "contents[0].parts[0].functionResponse"),
        (
            r#"{"functionResponse":{"id":"i","response":"x"}}"#,
            "contents[0].parts[0].functionResponse.response",
        ),
    ] {
        let error = parts(part).unwrap_err();
        assert_eq!((error.kind, error.param.as_deref()), (Kind::InvalidRequest, Some(param)), "{part}");
    }
    let error = turns(r#"{"role":"robot","parts":[{"text":"x"}]}"#).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("contents[0].role"));
}

#[test]
fn data_is_what_its_type_says() {
    let inline = |media_type: &str| {
        let part =
            format!(r#"{{"inlineData":{{"mimeType":"{media_type}","data":"aGk=","displayName":"n"}}}}"#);
        format!("{:?}", parts(&part).unwrap())
    };
    assert!(inline("image/webp").starts_with("[Image { source: Base64"));
    assert!(inline("audio/wav").starts_with(r#"[Audio { media_type: "audio/wav", data: "aGk=""#));
    assert!(inline("application/pdf").contains(r#"title: Some("n")"#));
    assert!(inline("text/markdown").starts_with(r#"[Document { source: Text("hi")"#));
    assert!(inline("video/mp4").starts_with(r#"[Unknown { kind: "video/mp4""#));
    let file = |uri: &str, media_type: &str| {
        let part = format!(r#"{{"fileData":{{"fileUri":"{uri}"{media_type}}}}}"#);
        format!("{:?}", parts(&part).unwrap())
    };
    assert!(file("https://x/y.JPG?z", "").starts_with(r#"[Image { source: Url("https://x/y.JPG?z")"#));
    assert!(file("https://x/y", r#","mimeType":"image/png""#).starts_with("[Image"));
    assert!(file("https://x/y", "").starts_with("[Document { source: Url"));
    assert!(file("gs://b/y.png", "").starts_with("[Unknown"));
    assert!(file("https://generativelanguage.googleapis.com/v1beta/files/a", "").starts_with("[Unknown"));
    assert!(file("https://x/y", r#","mimeType":"video/mp4""#).starts_with("[Unknown"));
    assert_eq!(parts(r#"{"executableCode":{}}"#).unwrap(), [Part::Unknown { kind: "executableCode".into() }]);
}

#[test]
fn calls_and_results_are_paired_by_id_name_and_order() {
    let model = r#"{"role":"model","parts":[{"functionCall":{"name":"f","args":{"n":12345678901234567890123}}},{"functionCall":{"id":"own","name":"g"}},{"functionCall":{"name":"f","args":{ }}}]}"#;
    let results = r#"{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"output":"one"}}},{"functionResponse":{"name":"f","response":{"result":{"a":[ 1]}}}},{"functionResponse":{"id":"own","name":"g","response":{"error":"bad"}}}]}"#;
    let turns = turns(&format!("{model},{results}")).unwrap();
    let calls = [
        call("call_0", "f", r#"{"n":12345678901234567890123}"#),
        call("own", "g", "{}"),
        call("call_2", "f", "{ }"),
    ];
    assert_eq!(turns[0], Message { role: Role::Assistant, parts: calls.into() });
    let result = |call_id: &'static str, said: &'static str, is_error| Part::ToolResult {
        call_id: call_id.into(),
        parts: vec![text(said)],
        is_error,
    };
    let results = [
        result("call_0", "one", false),
        result("call_2", r#"{"a":[ 1]}"#, false),
        result("own", "bad", true),
    ];
    assert_eq!(turns[1], Message { role: Role::Tool, parts: results.into() });
}

#[test]
fn results_hold_values_and_pictures() {
    let result = |fields: &str| {
        let body = format!(
            r#"{{"role":"model","parts":[{{"functionCall":{{"id":"i","name":"f"}}}}]}},{{"parts":[{{"functionResponse":{{"id":"i","name":"f",{fields}}}}},{{"text":"x"}}]}}"#
        );
        let turn = turns(&body).unwrap().remove(1);
        assert_eq!(turn.role, Role::User);
        format!("{:?}", turn.parts[0])
    };
    assert!(result(r#""response":{"a":1,"output":"x"}"#).contains(r#""{\"a\":1,\"output\":\"x\"}""#));
    assert!(result(r#""response":{"output":7}"#).contains(r#"text: "7""#));
    let shown = result(r#""response":{},"parts":[{"inlineData":{"mimeType":"image/png","data":"QQ"}}]"#);
    assert!(shown.contains(r#"text: "{}""#) && shown.contains(r#"data: "QQ==""#), "{shown}");
}

#[test]
fn signatures_become_thoughts() {
    let turn = r#"{"role":"model","parts":[{"text":"hm","thought":true,"thoughtSignature":"-_8="},{"text":"a","thought_signature":"QQ=="},{"functionCall":{"name":"f"},"thoughtSignature":"Qg"},{"text":"","thoughtSignature":"gAAAAA-_"},{"text":"","thought":true},{"thoughtSignature":"QQ=="}]}"#;
    let encrypted = |data: &'static str| Part::ReasoningEncrypted { data: data.into() };
    let expected = [
        Part::Reasoning { text: "hm".into(), signature: Some("+/8=".into()) },
        text("a"),
        encrypted("QQ=="),
        encrypted("Qg=="),
        call("call_0", "f", "{}"),
        encrypted("gAAAAA-_"),
        text(""),
        encrypted("QQ=="),
    ];
    assert_eq!(turns(turn).unwrap()[0].parts, expected);
}

#[test]
fn pieces_of_a_thought_are_one() {
    let thought = |text: &str, more: &str| {
        format!(r#"{{"role":"model","parts":[{{"text":"{text}","thought":true{more}}}]}}"#)
    };
    let signed = thought("", r#","thoughtSignature":"QQ==""#);
    let turns = turns(&format!("{},{},{signed},{}", thought("a", ""), thought("b", ""), thought("c", "")));
    let parts: Vec<_> = turns.unwrap().into_iter().map(|turn| turn.parts).collect();
    let one = |text: &'static str, signature: Option<&'static str>| Part::Reasoning {
        text: text.into(),
        signature: signature.map(Into::into),
    };
    assert_eq!(parts, [vec![one("ab", Some("QQ=="))], vec![], vec![], vec![one("c", None)]]);
}

#[test]
fn tools_have_their_schemas_and_choices() {
    let tools = r#""tools":[{"functionDeclarations":[{"name":"a","description":"d","parameters":{"type":"OBJECT","properties":{"z":{"type":"STRING"},"a":{"type":"INTEGER"}}},"response":{}},{"name":"b","parametersJsonSchema":{"type": "object"}},{"name":"c"}]}]"#;
    let request = decoded(tools).unwrap();
    let schemas: Vec<_> = request.tools.iter().map(|tool| tool.schema.as_deref()).collect();
    let a = r#"{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"integer"}}}"#;
    assert_eq!(schemas, [Some(a), Some(r#"{"type": "object"}"#), None]);
    assert_eq!(request.dropped, ["tools.functionDeclarations.response"]);
    for (config, expected) in [
        (r#"{"mode":"AUTO"}"#, Some(ToolChoice::Auto)),
        (r#"{"mode":"any"}"#, Some(ToolChoice::Required)),
        (r#"{"mode":"ANY","allowedFunctionNames":["a"]}"#, Some(ToolChoice::Named("a".into()))),
        (
            r#"{"mode":"ANY","allowed_function_names":["a","b"]}"#,
            Some(ToolChoice::Allowed { required: true, names: vec!["a".into(), "b".into()] }),
        ),
        (r#"{"mode":"NONE","allowedFunctionNames":[]}"#, Some(ToolChoice::None)),
        (r#"{"mode":"VALIDATED"}"#, Some(ToolChoice::Auto)),
        ("{}", None),
    ] {
        let request = decoded(&format!(r#""tool_config":{{"function_calling_config":{config}}}"#)).unwrap();
        assert_eq!(request.tool_choice, expected, "{config}");
        assert_eq!(request.dropped.is_empty(), !config.contains("VALIDATED"), "{config}");
    }
}

#[test]
fn formats_and_thoughts() {
    let format = |fields: &str| decoded(&format!(r#""generationConfig":{{{fields}}}"#)).unwrap().format;
    let schema = |text: &'static str| Format::JsonSchema {
        name: None,
        description: None,
        schema: text.into(),
        strict: None,
    };
    assert_eq!(format(r#""responseMimeType":"text/plain""#), Format::Text);
    assert_eq!(format(r#""responseMimeType":"application/json""#), Format::JsonObject);
    let typed = r#""responseSchema":{"type":"OBJECT"},"responseMimeType":"application/json""#;
    assert_eq!(format(typed), schema(r#"{"type":"object"}"#));
    assert_eq!(format(r#""response_json_schema":{"z": 1}"#), schema(r#"{"z": 1}"#));
    let thinking = |fields: &str| {
        let request = decoded(&format!(r#""generationConfig":{{"thinkingConfig":{{{fields}}}}}"#)).unwrap();
        request.reasoning.unwrap()
    };
    let reasoning = Reasoning::default();
    let shown = Reasoning { is_shown: Some(true), ..reasoning };
    assert_eq!(thinking(r#""includeThoughts":true,"thinkingBudget":-1"#), shown);
    assert_eq!(thinking(r#""thinking_budget":1024"#), Reasoning { budget_tokens: Some(1024), ..reasoning });
    assert_eq!(thinking(r#""thinkingBudget":0"#), Reasoning { effort: Some(Effort::None), ..reasoning });
    assert_eq!(thinking(r#""thinkingLevel":"low""#), Reasoning { effort: Some(Effort::Low), ..reasoning });
}

#[test]
fn what_has_no_neutral_word_is_named() {
    let request = decoded(
        r#""safety_settings":[],"labels":{},"serviceTier":"flex","store":true,"generationConfig":{"candidateCount":1,"speechConfig":{},"responseModalities":["TEXT"],"seed":12345678901234567890123},"toolConfig":{"retrievalConfig":{}}"#,
    )
    .unwrap();
    let expected =
        ["safetySettings", "labels", "store", "generationConfig.speechConfig", "toolConfig.retrievalConfig"];
    assert_eq!(request.dropped, expected);
    assert_eq!(request.service_tier, Some(ServiceTier::Flex));
    assert_eq!(request.seed, Some(Raw("12345678901234567890123")));
    assert_eq!((request.choices, request.audio), (Some(1), false));
}

#[test]
fn what_others_say_is_in_the_callers_words() {
    for (theirs, own) in [
        ("top_k", "generationConfig.topK"),
        ("messages[1].content[2]", "contents[1].parts[2]"),
        ("messages[1].content[0].content[1]", "contents[1].parts[0].parts[1]"),
        ("messages[1].tool_call_id", "contents[1].parts"),
        ("messages.content.thinking", "contents.parts.thought"),
        ("safetySettings", "safetySettings"),
    ] {
        assert_eq!(caller_name(theirs), own);
    }
    let error = in_caller_words(wrong("messages[0].content[1]", "is bad"));
    assert_eq!(
        (&*error.message, error.param.as_deref()),
        ("`contents[0].parts[1]` is bad", Some("contents[0].parts[1]"))
    );
}

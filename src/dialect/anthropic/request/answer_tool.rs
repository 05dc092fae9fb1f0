//! How an answer that follows a schema is asked for, where the model is older than structured outputs
//! (<https://platform.claude.com/docs/en/build-with-claude/structured-outputs>): by a tool of that schema, whose arguments are
//! the answer. It decides and names; `request` writes, and the way back is [`crate::dialect::answer_tool`]'s.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::claude::Claude;
use super::tuning::is_forced;
use crate::chat::{Format, Request, Tool, ToolChoice};
use crate::dialect::encode::SCHEMA_NAME;
use crate::dialect::json::Text;

/// Longest name of a tool, bytes, that each model takes (<https://docs.anthropic.com/en/api/messages>).
const NAME_BYTES_MAX: usize = 64;

/// How the answer's format is asked for.
#[derive(Debug)]
pub(super) enum Form<'r> {
    /// In the model's own words, where it is a schema.
    Native,
    /// By this tool, which the model must call unless it calls another.
    Tool(Tool<'r>),
    /// Not at all.
    LeftOut,
}

/// The tool's name, for the answer's way back; empty: none is sent.
pub(in crate::dialect) fn answer_tool(request: &Request<'_>, model: &str) -> String {
    // Most requests want no schema, and need no reading of the name.
    if !matches!(request.format, Format::JsonSchema { .. }) {
        return String::new();
    }
    match Form::of(request, Claude::of(model)) {
        Form::Tool(tool) => tool.name.into_owned(),
        Form::Native | Form::LeftOut => String::new(),
    }
}

impl<'r> Form<'r> {
    /// Decides for a model. A caller who demands a call of its own tools gets that, not the format.
    pub(super) fn of(request: &'r Request<'_>, claude: Claude) -> Self {
        let Format::JsonSchema { name, description, schema, .. } = &request.format else {
            return Self::Native;
        };
        if claude.takes_schemas() {
            return Self::Native;
        }
        let is_other_wanted = !request.tools.is_empty() && is_forced(request.tool_choice.as_ref());
        if is_other_wanted || !is_of_an_object(schema) {
            return Self::LeftOut;
        }
        Self::Tool(Tool {
            name: tool_name(name.as_deref(), &request.tools),
            description: description.as_deref().map(Cow::Borrowed),
            schema: Some(Cow::Borrowed(schema)),
            strict: None,
            cache: None,
        })
    }

    /// The tool, where it is one.
    pub(super) fn tool(&self) -> Option<&Tool<'r>> {
        match self {
            Self::Tool(tool) => Some(tool),
            Self::Native | Self::LeftOut => None,
        }
    }
}

/// Whether no other tool may be called beside it, so that it is forced by its name.
pub(super) fn is_alone(request: &Request<'_>) -> bool {
    request.tools.is_empty() || request.tool_choice == Some(ToolChoice::None)
}

/// The schema's own name where Anthropic takes it and no tool has it; else one that is free.
fn tool_name<'r>(name: Option<&'r str>, tools: &[Tool<'_>]) -> Cow<'r, str> {
    let is_free = |name: &&str| tools.iter().all(|tool| tool.name != *name);
    if let Some(name) = name.filter(|name| is_name(name)).filter(is_free) {
        return Cow::Borrowed(name);
    }
    let tails = tools.iter().filter_map(|tool| tool.name.strip_prefix(SCHEMA_NAME));
    let alike = tails.filter(|tail| tail.bytes().all(|byte| byte == b'_'));
    let longer = alike.map(|tail| tail.len().saturating_add(1)).max().unwrap_or(0);
    Cow::Owned(format!("{SCHEMA_NAME}{}", "_".repeat(longer)))
}

fn is_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_word)
}

/// What Anthropic looks at in a tool's schema before it takes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Top<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    any_of: Option<IgnoredAny>,
    one_of: Option<IgnoredAny>,
    all_of: Option<IgnoredAny>,
}

/// Whether the schema may be a tool's: "input_schema.type: Field required", "input_schema does not support oneOf, allOf, or
/// anyOf at the top level".
fn is_of_an_object(schema: &str) -> bool {
    let is_plain = |top: Top<'_>| {
        top.kind.0 == "object" && top.any_of.is_none() && top.one_of.is_none() && top.all_of.is_none()
    };
    serde_json::from_str(schema).is_ok_and(is_plain)
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;
    use crate::dialect::openai::request::decode;

    const OLD: &str = "claude-sonnet-4-20250514";
    const CITY: &str = r#""response_format":{"type":"json_schema","json_schema":{"name":"city","description":"A city.","schema":{"type":"object"}}}"#;
    const TOOLS: &str =
        r#""tools":[{"type":"function","function":{"name":"a","parameters":{"type":"object","x":1}}}]"#;

    /// What is behind the messages, what was left out, and the tool's name.
    fn encoded(model: &str, fields: &str) -> (String, Vec<String>, String) {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],{fields}}}"#);
        let request = decode(body.as_bytes()).unwrap();
        let (out, dropped) = encode(&request, model, false).unwrap();
        let out = String::from_utf8(out).unwrap();
        (out.split_once("}]}]").unwrap().1.to_owned(), dropped, answer_tool(&request, model))
    }

    fn of_schema(schema: &str) -> String {
        format!(
            r#""response_format":{{"type":"json_schema","json_schema":{{"name":"city","schema":{schema}}}}}"#
        )
    }

    #[test]
    fn an_old_model_gets_a_tool_and_a_newer_or_unknown_one_a_format() {
        let tool = r#","tools":[{"name":"city","description":"A city.","input_schema":{"type":"object"}}],"tool_choice":{"type":"tool","name":"city","disable_parallel_tool_use":true}}"#;
        for model in [OLD, "claude-3-haiku-20240307", "us.anthropic.claude-opus-4-1-20250805-v1:0"] {
            assert_eq!(encoded(model, CITY), (tool.to_owned(), Vec::new(), "city".to_owned()), "{model}");
        }
        for model in ["claude-sonnet-4-5", "claude-opus-latest", "claude-2.1", "glm-4.7", "m"] {
            let (out, dropped, name) = encoded(model, CITY);
            let native = r#","output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}}"#;
            assert_eq!((out.as_str(), name.as_str()), (native, ""), "{model}");
            assert_eq!(dropped, ["response_format.json_schema.description"], "{model}");
        }
    }

    #[test]
    fn real_tools_beside_it_decide_how_it_is_forced() {
        let beside =
            r#"},{"name":"city","description":"A city.","input_schema":{"type":"object"}}],"tool_choice":"#;
        for (choice, expected) in [
            ("", r#"{"type":"any"}}"#),
            (r#","tool_choice":"auto""#, r#"{"type":"any"}}"#),
            (r#","parallel_tool_calls":false"#, r#"{"type":"any","disable_parallel_tool_use":true}}"#),
            (
                r#","tool_choice":"none""#,
                r#"{"type":"tool","name":"city","disable_parallel_tool_use":true}}"#,
            ),
        ] {
            let (out, dropped, name) = encoded(OLD, &format!("{TOOLS},{CITY}{choice}"));
            assert!(out.ends_with(&format!("{beside}{expected}")), "{out}");
            assert_eq!((dropped, name.as_str()), (Vec::new(), "city"), "{choice}");
        }
        for choice in [r#""required""#, r#"{"type":"function","function":{"name":"a"}}"#] {
            let (out, dropped, name) = encoded(OLD, &format!(r#"{TOOLS},{CITY},"tool_choice":{choice}"#));
            assert!(!out.contains("city") && !out.contains("output_config"), "{out}");
            assert_eq!((dropped, name.as_str()), (vec!["response_format".to_owned()], ""), "{choice}");
        }
        // A choice among nothing is none.
        let (out, dropped, _) = encoded(OLD, &format!(r#"{CITY},"tool_choice":"required""#));
        assert!(out.contains(r#""tool_choice":{"type":"tool","name":"city""#), "{out}");
        assert_eq!(dropped, ["tool_choice"]);
    }

    #[test]
    fn it_is_forced_and_so_there_is_no_thinking() {
        let thinking = r#","reasoning_effort":"low","max_tokens":5024"#;
        let (out, dropped, _) = encoded(OLD, &format!("{CITY}{thinking}"));
        assert!(!out.contains("thinking"), "{out}");
        assert_eq!(dropped, ["reasoning_effort"]);
        let (out, dropped, _) = encoded(OLD, &format!("{TOOLS},{CITY}{thinking}"));
        assert!(!out.contains("thinking") && out.ends_with(r#"{"type":"any"}}"#), "{out}");
        assert_eq!(dropped, ["reasoning_effort"]);
        // What can't be asked for forces nothing.
        let (out, dropped, _) = encoded(OLD, &format!("{}{thinking}", of_schema(r#"{"type":"array"}"#)));
        assert!(out.contains(r#""thinking":{"type":"enabled""#), "{out}");
        assert_eq!(dropped, ["response_format"]);
    }

    #[test]
    fn a_schema_that_no_tool_has_is_left_out() {
        for schema in [
            "{}",
            r#"{"type":"array"}"#,
            r#"{"type":["object"]}"#,
            r##"{"$ref":"#/$defs/a","$defs":{"a":{"type":"object"}}}"##,
            r#"{"type":"object","anyOf":[]}"#,
            r#"{"type":"object","oneOf":[{}]}"#,
            r#"{"allOf":[{}],"type":"object"}"#,
        ] {
            let (out, dropped, name) = encoded(OLD, &of_schema(schema));
            assert_eq!((out.as_str(), name.as_str()), ("}", ""), "{schema}");
            assert_eq!(dropped, ["response_format"], "{schema}");
        }
        let nested = r#"{"type": "object","properties":{"a":{"anyOf":[{"type":"null"}]}}}"#;
        assert!(encoded(OLD, &of_schema(nested)).0.contains(nested), "inside, all may stand");
        let strict = of_schema(r#"{"type":"object"},"strict":true"#);
        assert_eq!(encoded(OLD, &strict).1, ["response_format.json_schema.strict"]);
    }

    #[test]
    fn a_name_is_anthropics_and_free() {
        let tool = |name: &str| Tool {
            name: Cow::Owned(name.to_owned()),
            description: None,
            schema: None,
            strict: None,
            cache: None,
        };
        let long = "n".repeat(NAME_BYTES_MAX + 1);
        for (name, tools, expected) in [
            (Some("my-city_2"), &["city"][..], "my-city_2"),
            (Some("my city"), &[], "answer"),
            (Some("stadt\u{e9}"), &[], "answer"),
            (Some(long.as_str()), &[], "answer"),
            (Some(""), &[], "answer"),
            (None, &["answers", "answer_x"], "answer"),
            (Some("city"), &["city"], "answer"),
            (Some("city"), &["city", "answer", "answer_"], "answer__"),
        ] {
            let tools: Vec<_> = tools.iter().map(|name| tool(name)).collect();
            assert_eq!(tool_name(name, &tools), expected, "{name:?}");
        }
    }
}

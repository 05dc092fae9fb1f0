//! A neutral request to the bytes of a chat completions request
//! (<https://platform.openai.com/docs/api-reference/chat/create>). The messages are `message`'s. What OpenAI's dialect, or the
//! provider, has no word for is left out and named; what would change the answer's shape is refused.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::{Map, Value};

use super::tuning;
use crate::chat::{Format, Raw, Request, Tool, ToolChoice};
use crate::dialect::Quirks;
use crate::dialect::dropped::{named_once, owned};
use crate::dialect::encode::{SCHEMA_NAME, offered_tools, refuse_other_shapes, write_extra};
use crate::dialect::json::{Array, Object, write_string};
use crate::dialect::openai::message::encode as message;
use crate::error::Error;

/// Longest `user` that OpenAI takes, characters; Bifrost leaves out a longer one, too.
const USER_CHARS_MAX: usize = 64;

/// Why other shapes of an answer are refused.
const OTHER_SHAPES: [&str; 3] = [
    "one answer is translated per request; send several requests",
    "token probabilities are not translated; leave them out",
    "spoken answers are not translated; ask for text",
];

/// Most stop texts that OpenAI itself takes.
const OPENAI_STOPS_MAX: usize = 4;

/// Encodes a request for `model`; also gives what was left out.
pub(in crate::dialect) fn encode(
    request: &Request<'_>,
    model: &str,
    stream: bool,
    quirks: Quirks,
) -> Result<(Vec<u8>, Vec<String>), Error> {
    refuse_other_shapes(request, OTHER_SHAPES)?;
    let tools = offered_tools(request)?;
    let mut dropped = owned(&request.dropped);
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::begin(&mut out);
    body.text("model", model);
    message::write_all(body.field("messages"), request, quirks, &mut dropped)?;
    write_tools(&mut body, request, &tools, quirks, &mut dropped);
    if let Some(max_tokens) = request.max_tokens {
        let name = if quirks.max_completion_tokens { "max_completion_tokens" } else { "max_tokens" };
        body.number(name, max_tokens);
    }
    write_stop(&mut body, &request.stop, model, quirks, &mut dropped);
    tuning::write(&mut body, request, model, quirks, &mut dropped);
    write_user(&mut body, request.user.as_deref(), quirks, &mut dropped);
    write_format(&mut body, &request.format, &mut dropped);
    write_extra(&mut body, &request.extra, if quirks.is_openai { &OWN_KEYS } else { &[] }, &mut dropped);
    if stream {
        body.raw("stream", Raw("true"));
        // Whoever is answered in another dialect is told the usage in it.
        if quirks.stream_options {
            body.raw("stream_options", Raw(r#"{"include_usage":true}"#));
        }
    }
    body.end();
    Ok((out, dropped))
}

fn write_tools(
    body: &mut Object<'_>,
    request: &Request<'_>,
    tools: &[&Tool<'_>],
    quirks: Quirks,
    dropped: &mut Vec<String>,
) {
    if tools.is_empty() {
        // OpenAI refuses a choice among nothing.
        if request.tool_choice.is_some() {
            dropped.push("tool_choice".to_owned());
        }
        return;
    }
    let mut array = Array::begin(body.field("tools"));
    for tool in tools {
        write_tool(array.item(), tool, quirks, dropped);
    }
    array.end();
    if !quirks.cache_control && tools.iter().any(|tool| tool.cache.is_some()) {
        named_once(dropped, "tools.cache_control");
    }
    write_tool_choice(body, request.tool_choice.as_ref());
    if request.parallel_tool_calls == Some(false) {
        body.raw("parallel_tool_calls", Raw("false"));
    }
}

fn write_tool(out: &mut Vec<u8>, tool: &Tool<'_>, quirks: Quirks, dropped: &mut Vec<String>) {
    let mut object = Object::begin(out);
    object.text("type", "function");
    let mut function = Object::begin(object.field("function"));
    function.text("name", &tool.name);
    if let Some(description) = &tool.description {
        function.text("description", description);
    }
    function.raw_if("parameters", tool.schema.as_deref().map(Raw));
    if let Some(strict) = kept_strict(tool.strict, tool.schema.as_deref(), "tools.function.strict", dropped) {
        function.raw("strict", boolean(strict));
    }
    function.end();
    object.raw_if("cache_control", tool.cache.filter(|_| quirks.cache_control));
    object.end();
}

fn write_tool_choice(body: &mut Object<'_>, choice: Option<&ToolChoice<'_>>) {
    let word = match choice {
        None => return,
        Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => "auto",
        Some(ToolChoice::None) => "none",
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => "required",
        Some(ToolChoice::Named(name)) => {
            let mut object = Object::begin(body.field("tool_choice"));
            object.text("type", "function");
            let mut function = Object::begin(object.field("function"));
            function.text("name", name);
            function.end();
            return object.end();
        }
    };
    body.text("tool_choice", word);
}

fn write_stop(
    body: &mut Object<'_>,
    stop: &[Cow<'_, str>],
    model: &str,
    quirks: Quirks,
    dropped: &mut Vec<String>,
) {
    let sent_max = match quirks.is_openai {
        true if tuning::takes_stop(model) => OPENAI_STOPS_MAX,
        true => 0,
        false => usize::MAX,
    };
    if stop.len() > sent_max {
        dropped.push("stop_sequences".to_owned());
    }
    if stop.is_empty() || sent_max == 0 {
        return;
    }
    let mut array = Array::begin(body.field("stop"));
    for text in stop.iter().take(sent_max) {
        write_string(array.item(), text);
    }
    array.end();
}

fn write_user(body: &mut Object<'_>, user: Option<&str>, quirks: Quirks, dropped: &mut Vec<String>) {
    match user {
        Some(user) if quirks.user && user.chars().count() <= USER_CHARS_MAX => body.text("user", user),
        Some(_) => dropped.push("metadata.user_id".to_owned()),
        None => {}
    }
}

/// `strict` as it may stand beside `schema`: OpenAI refuses a schema that leaves a property optional or objects open, which
/// others' strictness allows; then it goes, and is named.
fn kept_strict(
    strict: Option<bool>,
    schema: Option<&str>,
    name: &str,
    dropped: &mut Vec<String>,
) -> Option<bool> {
    let is_refused = strict == Some(true) && schema.is_some_and(|schema| !is_closed(schema));
    if is_refused {
        named_once(dropped, name);
    }
    strict.filter(|_| !is_refused)
}

/// Whether every object of a schema is closed and all its properties required
/// (<https://platform.openai.com/docs/guides/structured-outputs#supported-schemas>).
fn is_closed(schema: &str) -> bool {
    serde_json::from_str::<Value>(schema).is_ok_and(|schema| is_closed_value(&schema))
}

/// Its depth is bounded by serde_json's own.
fn is_closed_value(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => is_closed_object(fields) && fields.values().all(is_closed_value),
        Value::Array(items) => items.iter().all(is_closed_value),
        _ => true,
    }
}

/// A schema without properties is looked at when it says that it is an object's.
fn is_closed_object(fields: &Map<String, Value>) -> bool {
    let Some(Value::Object(properties)) = fields.get("properties") else {
        return fields.get("type").and_then(Value::as_str) != Some("object") || is_shut(fields);
    };
    let required: HashSet<&str> = fields
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    is_shut(fields) && properties.keys().all(|name| required.contains(&**name))
}

fn is_shut(fields: &Map<String, Value>) -> bool {
    fields.get("additionalProperties") == Some(&Value::Bool(false))
}

fn boolean(value: bool) -> Raw<'static> {
    Raw(if value { "true" } else { "false" })
}

fn write_format(body: &mut Object<'_>, format: &Format<'_>, dropped: &mut Vec<String>) {
    match format {
        Format::Text => {}
        Format::JsonObject => body.tagged("response_format", "json_object"),
        Format::JsonSchema { name, description, schema, strict } => {
            let mut object = Object::begin(body.field("response_format"));
            object.text("type", "json_schema");
            let mut named = Object::begin(object.field("json_schema"));
            named.text("name", name.as_deref().unwrap_or(SCHEMA_NAME));
            if let Some(description) = description {
                named.text("description", description);
            }
            named.raw("schema", Raw(schema));
            const STRICT: &str = "response_format.json_schema.strict";
            if let Some(strict) = kept_strict(*strict, Some(schema), STRICT, dropped) {
                named.raw("strict", boolean(strict));
            }
            named.end();
            object.end();
        }
    }
}

/// Top-level keys of OpenAI's own that a caller of another dialect may add to a request.
pub(in crate::dialect) const OWN_KEYS: [&str; 8] = [
    "logit_bias",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "store",
    "verbosity",
    "web_search_options",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::anthropic::request::decode;

    fn encoded(fields: &str, quirks: Quirks) -> Result<(String, Vec<String>), Error> {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],{fields}}}"#);
        let (out, dropped) = encode(&decode(body.as_bytes())?, "m", false, quirks)?;
        let out = String::from_utf8(out).unwrap();
        let start = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]"#;
        Ok((out.strip_prefix(start).unwrap().to_owned(), dropped))
    }

    #[test]
    fn each_provider_has_its_words() {
        let fields = r#""max_tokens":7,"metadata":{"user_id":"u"},"service_tier":"standard_only","top_k":3"#;
        for (quirks, expected, left_out) in [
            (
                Quirks::OPENAI,
                r#","max_completion_tokens":7,"service_tier":"default","user":"u"}"#,
                &["top_k"][..],
            ),
            (Quirks::COMPATIBLE, r#","max_tokens":7,"user":"u"}"#, &["top_k", "service_tier"]),
            (Quirks::STRICT, r#","max_tokens":7}"#, &["top_k", "service_tier", "metadata.user_id"]),
        ] {
            let (out, dropped) = encoded(fields, quirks).unwrap();
            assert_eq!((&*out, dropped), (expected, left_out.iter().map(ToString::to_string).collect()));
        }
    }

    #[test]
    fn what_openai_would_refuse_for_shape_alone_is_left_out() {
        let long = "u".repeat(65);
        let fields = format!(
            r#""tool_choice":{{"type":"any","disable_parallel_tool_use":true}},"tools":[],"metadata":{{"user_id":"{long}"}},"stop_sequences":["1","2","3","4","5"]"#
        );
        let (out, dropped) = encoded(&fields, Quirks::OPENAI).unwrap();
        assert_eq!(out, r#","stop":["1","2","3","4"]}"#);
        assert_eq!(dropped, ["tool_choice", "stop_sequences", "metadata.user_id"]);
        assert!(encoded(&fields, Quirks::COMPATIBLE).unwrap().0.contains(r#""4","5"]"#));
    }

    #[test]
    fn a_stop_goes_where_it_is_taken() {
        let request = decode(br#"{"messages":[{"role":"user","content":"hi"}],"stop_sequences":["x"]}"#);
        let request = request.unwrap();
        for (model, quirks, is_taken) in [
            ("o3", Quirks::OPENAI, false),
            ("o3-2025-04-16", Quirks::OPENAI, false),
            ("openai/o4-mini", Quirks::OPENAI, false),
            ("ft:o4-mini-2025-04-16:x", Quirks::OPENAI, false),
            ("gpt-5-mini", Quirks::OPENAI, false),
            ("o1-preview", Quirks::OPENAI, false),
            ("o3-mini", Quirks::OPENAI, true),
            ("o1", Quirks::OPENAI, true),
            ("gpt-5-chat-latest", Quirks::OPENAI, true),
            ("gpt-5.1", Quirks::OPENAI, true),
            ("gpt-4o", Quirks::OPENAI, true),
            ("o3", Quirks::COMPATIBLE, true),
        ] {
            let (out, dropped) = encode(&request, model, false, quirks).unwrap();
            let out = String::from_utf8(out).unwrap();
            assert_eq!(out.contains(r#""stop":["x"]"#), is_taken, "{model}: {out}");
            let left: &[&str] = if is_taken { &[] } else { &["stop_sequences"] };
            assert_eq!(dropped, left, "{model}");
        }
    }

    #[test]
    fn each_tool_choice_has_its_word() {
        for (choice, expected) in [
            (r#"{"type":"auto"}"#, r#""tool_choice":"auto""#),
            (r#"{"type":"any"}"#, r#""tool_choice":"required""#),
            (r#"{"type":"none"}"#, r#""tool_choice":"none""#),
            (
                r#"{"type":"tool","name":"f","disable_parallel_tool_use":true}"#,
                r#""tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false"#,
            ),
        ] {
            let fields = format!(r#""tools":[{{"name":"f"}}],"tool_choice":{choice}"#);
            let (out, _) = encoded(&fields, Quirks::COMPATIBLE).unwrap();
            assert_eq!(
                out,
                format!(r#","tools":[{{"type":"function","function":{{"name":"f"}}}}],{expected}}}"#)
            );
        }
    }
}

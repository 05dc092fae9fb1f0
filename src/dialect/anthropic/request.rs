//! A neutral request to the bytes of a messages request; the way back is `decode`'s. The turns are `message`'s. What Anthropic has no word for is
//! left out and named; what would change the answer's shape is refused.

mod answer_tool;
mod decode;
pub(in crate::dialect) mod tuning;

use std::borrow::Cow;

pub(in crate::dialect) use self::answer_tool::answer_tool;
use self::answer_tool::{Form, is_alone};
pub(in crate::dialect) use self::decode::{caller_name, decode};
use self::tuning::Plan;
use super::message;
use crate::chat::{Format, Raw, Request, Tool, ToolChoice};
use crate::dialect::dropped::{named_once, owned};
use crate::dialect::encode::{filled_schema, offered_tools, refuse_other_shapes, write_extra};
use crate::dialect::json::{Array, Object, write_string};
use crate::error::Error;

/// Top-level keys of Anthropic's own that a caller of another dialect may add to a request. The rest of
/// [`Request::extra`] is dropped.
pub(in crate::dialect) const OWN_KEYS: [&str; 6] =
    ["cache_control", "mcp_servers", "context_management", "container", "inference_geo", "speed"];

/// Why other shapes of an answer are refused.
const OTHER_SHAPES: [&str; 3] = [
    "Anthropic gives one answer per request; leave `n` out or send several requests",
    "Anthropic reports no token probabilities; leave `logprobs` out",
    "Anthropic's models give no audio; ask for `[\"text\"]`",
];

/// Most strict tools that Anthropic takes in one request
/// (<https://platform.claude.com/docs/en/build-with-claude/structured-outputs>).
const STRICT_TOOLS_MAX: usize = 20;

/// Encodes a request for `model`; also gives what was left out.
pub(in crate::dialect) fn encode(
    request: &Request<'_>,
    model: &str,
    stream: bool,
) -> Result<(Vec<u8>, Vec<String>), Error> {
    refuse_other_shapes(request, OTHER_SHAPES)?;
    let turns = message::turns(request)?;
    let mut tools = offered_tools(request)?;
    let mut dropped = owned(&request.dropped);
    if message::leaves_thoughts(&request.messages) {
        dropped.push("messages.reasoning_details".to_owned());
    }
    let plan = Plan::of(request, model, &mut dropped);
    if let Some(ToolChoice::Named(name)) = request.tool_choice.as_ref().filter(|one| !plan.takes(Some(one))) {
        // As near as such a model comes to one by name: no other is there to be called.
        tools.retain(|tool| tool.name == *name);
    }
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::begin(&mut out);
    body.text("model", model);
    plan.write_limit(&mut body);
    message::write_system(&mut body, request)?;
    message::write_turns(&mut body, &turns)?;
    write_tools(&mut body, request, &tools, &plan, &mut dropped);
    write_stop(&mut body, &request.stop, &mut dropped);
    plan.write(&mut body, request, &mut dropped);
    if let Some(user) = &request.user {
        let mut metadata = Object::begin(body.field("metadata"));
        metadata.text("user_id", user);
        metadata.end();
    }
    write_output(&mut body, &request.format, &plan, &mut dropped);
    write_extra(&mut body, &request.extra, &OWN_KEYS, &mut dropped);
    if stream {
        body.raw("stream", Raw("true"));
    }
    body.end();
    Ok((out, dropped))
}

fn write_tools(
    body: &mut Object<'_>,
    request: &Request<'_>,
    tools: &[&Tool<'_>],
    plan: &Plan<'_>,
    dropped: &mut Vec<String>,
) {
    // Anthropic refuses a choice among nothing.
    if tools.is_empty() && request.tool_choice.is_some() {
        dropped.push("tool_choice".to_owned());
    }
    let answer = plan.form.tool();
    if tools.is_empty() && answer.is_none() {
        return;
    }
    let mut strict_left = if plan.takes_strict_tools() { STRICT_TOOLS_MAX } else { 0 };
    let mut array = Array::begin(body.field("tools"));
    for tool in tools {
        let is_strict = tool.strict == Some(true) && strict_left > 0;
        strict_left -= usize::from(is_strict);
        if tool.strict == Some(true) && !is_strict {
            named_once(dropped, "tools.function.strict");
        }
        write_tool(array.item(), tool, is_strict);
    }
    if let Some(answer) = answer {
        write_tool(array.item(), answer, false);
    }
    array.end();
    match answer {
        Some(answer) => write_answer_choice(body, request, answer),
        None => write_tool_choice(body, request, plan, dropped),
    }
}

/// The model answers by the tool of the answer, once; or it calls another, where it may.
fn write_answer_choice(body: &mut Object<'_>, request: &Request<'_>, answer: &Tool<'_>) {
    let is_alone = is_alone(request);
    let mut choice = Object::begin(body.field("tool_choice"));
    choice.text("type", if is_alone { "tool" } else { "any" });
    if is_alone {
        choice.text("name", &answer.name);
    }
    if is_alone || request.parallel_tool_calls == Some(false) {
        choice.raw("disable_parallel_tool_use", Raw("true"));
    }
    choice.end();
}

fn write_tool(out: &mut Vec<u8>, tool: &Tool<'_>, is_strict: bool) {
    let mut object = Object::begin(out);
    object.text("name", &tool.name);
    if let Some(description) = &tool.description {
        object.text("description", description);
    }
    // Anthropic wants a schema of type object.
    let schema = filled_schema(tool);
    let empty = if is_strict { EMPTY_STRICT } else { EMPTY };
    object.raw("input_schema", Raw(schema.unwrap_or(empty)));
    if is_strict {
        object.raw("strict", Raw("true"));
    }
    object.raw_if("cache_control", tool.cache);
    object.end();
}

const EMPTY: &str = r#"{"type":"object","properties":{}}"#;
const EMPTY_STRICT: &str = r#"{"type":"object","properties":{},"additionalProperties":false}"#;

fn write_tool_choice(
    body: &mut Object<'_>,
    request: &Request<'_>,
    plan: &Plan<'_>,
    dropped: &mut Vec<String>,
) {
    let is_single = request.parallel_tool_calls == Some(false);
    let told = request.tool_choice.as_ref().filter(|choice| plan.takes(Some(choice)));
    if told.is_none() && request.tool_choice.is_some() {
        named_once(dropped, "tool_choice");
    }
    let (kind, name) = match told {
        None if !is_single => return,
        None | Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => ("auto", None),
        Some(ToolChoice::None) => return body.tagged("tool_choice", "none"),
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => ("any", None),
        Some(ToolChoice::Named(name)) => ("tool", Some(name)),
    };
    let mut choice = Object::begin(body.field("tool_choice"));
    choice.text("type", kind);
    if let Some(name) = name {
        choice.text("name", name);
    }
    if is_single {
        choice.raw("disable_parallel_tool_use", Raw("true"));
    }
    choice.end();
}

/// Anthropic refuses stop texts without a visible character, so those are left out.
fn write_stop(body: &mut Object<'_>, stop: &[Cow<'_, str>], dropped: &mut Vec<String>) {
    let kept: Vec<_> = stop.iter().filter(|text| !text.trim().is_empty()).collect();
    if kept.len() < stop.len() {
        dropped.push("stop".to_owned());
    }
    if kept.is_empty() {
        return;
    }
    let mut array = Array::begin(body.field("stop_sequences"));
    for text in kept {
        write_string(array.item(), text);
    }
    array.end();
}

fn write_output(body: &mut Object<'_>, format: &Format<'_>, plan: &Plan<'_>, dropped: &mut Vec<String>) {
    let (schema, left) = match (format, &plan.form) {
        (Format::JsonSchema { schema, description, .. }, Form::Native) => {
            (Some(schema), description.as_ref().map(|_| "response_format.json_schema.description"))
        }
        // The tool is there; that its arguments match, no such model promises.
        (Format::JsonSchema { strict, .. }, Form::Tool(_)) => {
            (None, strict.filter(|strict| *strict).map(|_| "response_format.json_schema.strict"))
        }
        // The mode asks that the conversation itself speak of JSON, and so the model is told; a schema of any object, Anthropic
        // refuses.
        (Format::JsonSchema { .. }, Form::LeftOut) | (Format::JsonObject, _) => {
            (None, Some("response_format"))
        }
        (Format::Text, _) => (None, None),
    };
    if let Some(left) = left {
        named_once(dropped, left);
    }
    if schema.is_none() && plan.effort.is_none() {
        return;
    }
    let mut config = Object::begin(body.field("output_config"));
    if let Some(effort) = plan.effort {
        config.text("effort", effort);
    }
    if let Some(schema) = schema {
        let mut format = Object::begin(config.field("format"));
        format.text("type", "json_schema");
        format.raw("schema", Raw(schema));
        format.end();
    }
    config.end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::openai::request::decode;
    use crate::error::Kind;

    fn encoded(fields: &str) -> Result<(String, Vec<String>), Error> {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],{fields}}}"#);
        let (out, dropped) = encode(&decode(body.as_bytes())?, "m", false)?;
        Ok((String::from_utf8(out).unwrap(), dropped))
    }

    fn after_messages(fields: &str) -> String {
        let (out, _) = encoded(fields).unwrap();
        out.split_once(r#""messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]"#)
            .unwrap()
            .1
            .to_owned()
    }

    #[test]
    fn other_shapes_are_refused_by_name() {
        for (fields, param) in [
            (r#""n":2"#, "n"),
            (r#""logprobs":true"#, "logprobs"),
            (r#""modalities":["text","audio"]"#, "modalities"),
        ] {
            let error = encoded(fields).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (Kind::UnsupportedParameter, Some(param)));
        }
        let none = r#""n":1,"logprobs":false,"modalities":["text"],"response_format":{"type":"text"}"#;
        assert_eq!(encoded(none).unwrap().1, Vec::<String>::new());
        let object = r#""response_format":{"type":"json_object"}"#;
        assert_eq!(encoded(object).unwrap().1, ["response_format"]);
    }

    #[test]
    fn each_tool_choice_has_its_word() {
        const TOOLS: &str = r#""tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"b"}}]"#;
        for (choice, expected) in [
            (r#""auto""#, r#"{"type":"auto"}"#),
            (r#""none""#, r#"{"type":"none"}"#),
            (r#""required""#, r#"{"type":"any"}"#),
            (r#"{"type":"function","function":{"name":"b"}}"#, r#"{"type":"tool","name":"b"}"#),
            (
                r#"{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"b"}}]}}"#,
                r#"{"type":"auto"}"#,
            ),
        ] {
            let out = after_messages(&format!(r#"{TOOLS},"tool_choice":{choice}"#));
            assert!(out.ends_with(&format!(r#","tool_choice":{expected}}}"#)), "{out}");
        }
        let single = after_messages(&format!(r#"{TOOLS},"parallel_tool_calls":false"#));
        assert!(
            single.ends_with(r#","tool_choice":{"type":"auto","disable_parallel_tool_use":true}}"#),
            "{single}"
        );
        let none = after_messages(&format!(r#"{TOOLS},"parallel_tool_calls":false,"tool_choice":"none""#));
        assert!(none.ends_with(r#","tool_choice":{"type":"none"}}"#), "{none}");
        assert!(!after_messages(&format!(r#"{TOOLS},"parallel_tool_calls":true"#)).contains("tool_choice"));
    }

    #[test]
    fn an_allow_list_sends_only_its_tools() {
        const ALLOWED: &str = r#""tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"b"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"NAME"}}]}}"#;
        let out = after_messages(&ALLOWED.replace("NAME", "b"));
        assert!(out.contains(r#""name":"b""#) && !out.contains(r#""name":"a""#), "{out}");
        assert!(out.ends_with(r#""tool_choice":{"type":"any"}}"#), "{out}");
        assert_eq!(encoded(&ALLOWED.replace("NAME", "c")).unwrap_err().kind, Kind::InvalidRequest);
    }

    #[test]
    fn what_anthropic_would_refuse_for_shape_alone_is_mended() {
        let (out, dropped) = encoded(r#""stop":["\n","END"],"tool_choice":"auto","tools":[]"#).unwrap();
        assert!(out.ends_with(r#","stop_sequences":["END"]}"#), "{out}");
        assert_eq!(dropped, ["tool_choice", "stop"]);
        assert!(!encoded(r#""stop":"\n\n""#).unwrap().0.contains("stop_sequences"));
        let schema =
            after_messages(r#""tools":[{"type":"function","function":{"name":"a","parameters":{ }}}]"#);
        assert_eq!(schema, r#","tools":[{"name":"a","input_schema":{"type":"object","properties":{}}}]}"#);
    }

    #[test]
    fn keys_of_anthropics_own_cross_and_others_are_named() {
        let (out, dropped) =
            encoded(r#""seed":1,"top_k":40,"thinking":{"type":"disabled"},"speed":"fast","x y":0"#).unwrap();
        assert!(out.ends_with(r#","top_k":40,"speed":"fast"}"#), "{out}");
        assert_eq!(dropped, ["seed", "x y"]);
    }
}

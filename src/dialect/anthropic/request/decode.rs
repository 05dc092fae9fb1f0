//! A messages request as bytes to [`Request`]. What stands in `messages` and `system` is `message`'s; `model`, `stream` and
//! `fallbacks` are the gateway's own reading and are passed over.

use std::borrow::Cow;

use serde::Deserialize;

use crate::chat::{Effort, Format, Message, Reasoning, Request, Role, ServiceTier, Tool, ToolChoice};
use crate::dialect::anthropic::message::decode as message;
use crate::dialect::dropped;
use crate::dialect::fault::{other_tool, wrong};
use crate::dialect::json::{self, Span, Text};
use crate::dialect::reasoning;
use crate::error::{Error, Kind};

/// What a target names by OpenAI's words, in those of a caller of this dialect.
const NAMES: [(&str, &str); 8] = [
    ("messages.content.file.filename", "messages.content.title"),
    ("messages.reasoning_details", "messages.content.thinking"),
    ("parallel_tool_calls", "tool_choice.disable_parallel_tool_use"),
    ("reasoning_effort", "thinking"),
    // It has no key of its own: Anthropic knows no other way.
    ("response_format.json_schema.strict", "output_config.format.strict"),
    ("stop", "stop_sequences"),
    ("tools.function.strict", "tools.strict"),
    ("user", "metadata.user_id"),
];

/// The caller's name for what a target left out.
pub(in crate::dialect) fn caller_name(name: &str) -> &str {
    NAMES.iter().find(|(one, _)| *one == name).map_or(name, |(_, own)| own)
}

/// Decodes a request body (<https://docs.anthropic.com/en/api/messages>).
pub(in crate::dialect) fn decode(body: &[u8]) -> Result<Request<'_>, Error> {
    let mut request = Request::default();
    let mut system = None;
    let mut has_messages = false;
    for (name, value) in json::fields(body)? {
        match &*name {
            "messages" => {
                message::decode_all(value, &mut request)?;
                has_messages = true;
            }
            "system" => system = Some(message::system(value, &mut request.dropped)?),
            _ => field(&mut request, name, value)?,
        }
    }
    if !has_messages {
        let message = "`messages` is required for a message";
        return Err(Error::new(Kind::InvalidRequest, message).with_param("messages"));
    }
    if let Some(parts) = system {
        request.messages.insert(0, Message { role: Role::System, parts });
        request.system_first = true;
    }
    Ok(request)
}

fn field<'a>(request: &mut Request<'a>, name: Cow<'a, str>, value: Span<'a>) -> Result<(), Error> {
    match &*name {
        // The version is that of InvokeModel's bodies.
        "model" | "stream" | "fallbacks" | "anthropic_version" => {}
        "max_tokens" => request.max_tokens = Some(value.parse(&name)?),
        "temperature" => request.temperature = Some(value.number(&name)?),
        "top_p" => request.top_p = Some(value.number(&name)?),
        "top_k" => request.top_k = Some(value.number(&name)?),
        "thinking" => match reasoning::thinking(value) {
            Some(thinking) => {
                request.reasoning =
                    Some(reasoning::merged(Some(thinking), request.reasoning.unwrap_or_default()))
            }
            None => request.extra.push((name, value.raw())),
        },
        "service_tier" => match service_tier(value) {
            Some(tier) => request.service_tier = Some(tier),
            None => request.extra.push((name, value.raw())),
        },
        "stop_sequences" => {
            request.stop = value.parse::<Vec<Text<'a>>>(&name)?.into_iter().map(|text| text.0).collect();
        }
        "metadata" => metadata(request, value)?,
        "tools" => request.tools = tools(value, &mut request.dropped)?,
        "tool_choice" => tool_choice(request, value)?,
        "output_config" => output_config(request, value)?,
        // The name of `output_config.format` before it had one.
        "output_format" => request.format = format(value, &name)?,
        _ => request.extra.push((name, value.raw())),
    }
    Ok(())
}

fn service_tier(value: Span<'_>) -> Option<ServiceTier> {
    match &*value.parse::<Text<'_>>(&"service_tier").ok()?.0 {
        "auto" => Some(ServiceTier::Auto),
        "standard_only" => Some(ServiceTier::Standard),
        _ => None,
    }
}

fn metadata<'a>(request: &mut Request<'a>, value: Span<'a>) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct WireMetadata<'a> {
        #[serde(borrow)]
        user_id: Option<Text<'a>>,
    }
    let wire: WireMetadata<'a> = value.parse(&"metadata")?;
    request.user = wire.user_id.map(|text| text.0);
    Ok(())
}

#[derive(Deserialize)]
struct WireTool<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    input_schema: Option<Span<'a>>,
    #[serde(borrow)]
    input_examples: Option<Span<'a>>,
    #[serde(borrow)]
    cache_control: Option<Span<'a>>,
    strict: Option<bool>,
}

fn tools<'a>(value: Span<'a>, dropped: &mut Vec<Cow<'a, str>>) -> Result<Vec<Tool<'a>>, Error> {
    let spans: Vec<Span<'a>> = value.parse(&"tools")?;
    spans.into_iter().enumerate().map(|(index, span)| tool(span, index, dropped)).collect()
}

fn tool<'a>(span: Span<'a>, index: usize, dropped: &mut Vec<Cow<'a, str>>) -> Result<Tool<'a>, Error> {
    let path = format!("tools[{index}]");
    let wire: WireTool<'a> = span.parse(&path)?;
    // A tool of Anthropic's own (web_search_…, bash_…) has no schema that we could give to another provider.
    if let Some(Text(kind)) = wire.kind.filter(|kind| kind.0 != "custom") {
        return Err(other_tool(path, &kind, "custom"));
    }
    let Some(Text(name)) = wire.name else { return Err(wrong(&(path + ".name"), "is required")) };
    if wire.input_examples.is_some() {
        dropped::once(dropped, "tools.input_examples");
    }
    Ok(Tool {
        name,
        description: wire.description.map(|text| text.0),
        schema: wire
            .input_schema
            .filter(|schema| schema.first() != b'n')
            .map(|schema| Cow::Borrowed(schema.raw().0)),
        strict: wire.strict,
        cache: wire.cache_control.map(Span::raw),
    })
}

#[derive(Deserialize)]
struct WireChoice<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    disable_parallel_tool_use: Option<bool>,
}

fn tool_choice<'a>(request: &mut Request<'a>, value: Span<'a>) -> Result<(), Error> {
    const PATH: &str = "tool_choice";
    let wire: WireChoice<'a> = value.parse(&PATH)?;
    request.tool_choice = Some(match (&*wire.kind.0, wire.name) {
        ("auto", _) => ToolChoice::Auto,
        ("none", _) => ToolChoice::None,
        ("any", _) => ToolChoice::Required,
        ("tool", Some(Text(name))) => ToolChoice::Named(name),
        _ => return Err(wrong(PATH, "must be of type auto, any, none, or tool with its `name`")),
    });
    if wire.disable_parallel_tool_use == Some(true) {
        request.parallel_tool_calls = Some(false);
    }
    Ok(())
}

#[derive(Deserialize)]
struct WireOutput<'a> {
    #[serde(borrow)]
    format: Option<Span<'a>>,
    #[serde(borrow)]
    effort: Option<Span<'a>>,
    #[serde(borrow)]
    task_budget: Option<Span<'a>>,
}

fn output_config<'a>(request: &mut Request<'a>, value: Span<'a>) -> Result<(), Error> {
    let wire: WireOutput<'a> = value.parse(&"output_config")?;
    if let Some(value) = wire.format.filter(|format| format.first() != b'n') {
        request.format = format(value, "output_config.format")?;
    }
    match wire.effort.filter(|effort| effort.first() != b'n').map(effort) {
        Some(Some(effort)) => {
            let found = Reasoning { effort: Some(effort), ..Reasoning::default() };
            request.reasoning = Some(reasoning::merged(request.reasoning, found));
        }
        Some(None) => dropped::once(&mut request.dropped, "output_config.effort"),
        None => {}
    }
    if wire.task_budget.is_some() {
        dropped::once(&mut request.dropped, "output_config.task_budget");
    }
    Ok(())
}

fn effort(value: Span<'_>) -> Option<Effort> {
    reasoning::effort(&value.parse::<Text<'_>>(&"output_config.effort").ok()?.0)
}

#[derive(Deserialize)]
struct WireFormat<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    schema: Option<Span<'a>>,
}

fn format<'a>(value: Span<'a>, path: &str) -> Result<Format<'a>, Error> {
    let wire: WireFormat<'a> = value.parse(&path)?;
    match (&*wire.kind.0, wire.schema) {
        ("json_schema", Some(schema)) => Ok(Format::JsonSchema {
            name: None,
            description: None,
            schema: Cow::Borrowed(schema.raw().0),
            // Anthropic knows no other way.
            strict: Some(true),
        }),
        _ => Err(wrong(path, "must be of type json_schema with its `schema`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(fields: &str) -> Result<String, Error> {
        let body = format!(r#"{{"messages":[],{fields}}}"#);
        decode(body.as_bytes()).map(|request| format!("{request:?}"))
    }

    #[test]
    fn each_wrong_field_is_named() {
        for (fields, kind, param) in [
            (r#""temperature":"hot""#, Kind::InvalidRequest, "temperature"),
            (r#""max_tokens":-1"#, Kind::InvalidRequest, "max_tokens"),
            (r#""stop_sequences":"x""#, Kind::InvalidRequest, "stop_sequences"),
            (r#""metadata":{"user_id":1}"#, Kind::InvalidRequest, "metadata"),
            (r#""system":7"#, Kind::InvalidRequest, "system"),
            (r#""system":[{"type":"text"}]"#, Kind::InvalidRequest, "system[0].text"),
            (
                r#""tools":[{"type":"bash_20250124","name":"bash"}]"#,
                Kind::UnsupportedParameter,
                "tools[0].type",
            ),
            (r#""tools":[{"input_schema":{}}]"#, Kind::InvalidRequest, "tools[0].name"),
            (r#""tools":[{"name":"a","name":"b"}]"#, Kind::DuplicateField, "tools[0]"),
            (r#""tool_choice":"auto""#, Kind::InvalidRequest, "tool_choice"),
            (r#""tool_choice":{"type":"tool"}"#, Kind::InvalidRequest, "tool_choice"),
            (
                r#""output_config":{"format":{"type":"json_schema"}}"#,
                Kind::InvalidRequest,
                "output_config.format",
            ),
        ] {
            let error = decoded(fields).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{fields}");
        }
        assert_eq!(decode(b"{}").unwrap_err().param.as_deref(), Some("messages"));
    }

    #[test]
    fn each_tool_choice_has_its_word() {
        for (choice, expected, parallel) in [
            (r#"{"type":"auto"}"#, ToolChoice::Auto, None),
            (r#"{"type":"any","disable_parallel_tool_use":true}"#, ToolChoice::Required, Some(false)),
            (r#"{"type":"none"}"#, ToolChoice::None, None),
            (
                r#"{"type":"tool","name":"f","disable_parallel_tool_use":false}"#,
                ToolChoice::Named("f".into()),
                None,
            ),
        ] {
            let body = format!(r#"{{"messages":[],"tool_choice":{choice}}}"#);
            let request = decode(body.as_bytes()).unwrap();
            assert_eq!((request.tool_choice, request.parallel_tool_calls), (Some(expected), parallel));
        }
    }
}

//! `tools` and `toolConfig` of a generateContent request (<https://ai.google.dev/api/caching#Tool>). What Google itself
//! would run has no counterpart elsewhere and is refused by its name.

use std::borrow::Cow;

use serde::Deserialize;

use super::{camel, items, members, schema};
use crate::chat::{Request, Tool, ToolChoice};
use crate::dialect::dropped;
use crate::dialect::fault::{refused, wrong};
use crate::dialect::json::{self, Span, Text};
use crate::error::Error;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireFunction<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    parameters: Option<Span<'a>>,
    #[serde(borrow, alias = "parameters_json_schema")]
    parameters_json_schema: Option<Span<'a>>,
    #[serde(borrow)]
    response: Option<Span<'a>>,
    #[serde(borrow, alias = "response_json_schema")]
    response_json_schema: Option<Span<'a>>,
    #[serde(borrow)]
    behavior: Option<Span<'a>>,
}

/// Decodes all of `tools`.
pub(super) fn decode_all<'a>(value: Span<'a>, request: &mut Request<'a>) -> Result<(), Error> {
    for (index, tool) in items(value, &"tools")?.into_iter().enumerate() {
        let path = format!("tools[{index}]");
        for (name, value) in members(tool, &path)? {
            if camel(&name) != "functionDeclarations" {
                let name = json::bounded(&name, json::PATH_BYTES_MAX);
                return Err(refused(
                    format_args!("{path}.{name}"),
                    "is run by Google and not translated to this provider; send functions only",
                ));
            }
            let path = format!("{path}.{name}");
            for (index, function) in items(value, &path)?.into_iter().enumerate() {
                let tool = declared(function, &format!("{path}[{index}]"), &mut request.dropped)?;
                request.tools.push(tool);
            }
        }
    }
    Ok(())
}

fn declared<'a>(value: Span<'a>, path: &str, dropped: &mut Vec<Cow<'a, str>>) -> Result<Tool<'a>, Error> {
    let wire: WireFunction<'a> = value.parse(&path)?;
    let Some(Text(name)) = wire.name else { return Err(wrong(format_args!("{path}.name"), "is required")) };
    if wire.response.or(wire.response_json_schema).is_some() {
        dropped::once(dropped, "tools.functionDeclarations.response");
    }
    if wire.behavior.is_some() {
        dropped::once(dropped, "tools.functionDeclarations.behavior");
    }
    let schema = match (wire.parameters_json_schema, wire.parameters) {
        (Some(schema), _) if schema.first() == b'{' => Some(Cow::Borrowed(schema.raw().0)),
        (Some(_), _) => return Err(wrong(format_args!("{path}.parametersJsonSchema"), "must be an object")),
        (None, Some(schema)) => Some(Cow::Owned(schema::translated(schema, &format!("{path}.parameters"))?)),
        (None, None) => None,
    };
    let description = wire.description.map(|text| text.0);
    Ok(Tool { name, description, schema, strict: None, cache: None })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireCalling<'a> {
    #[serde(borrow)]
    mode: Option<Text<'a>>,
    #[serde(borrow, default, alias = "allowed_function_names")]
    allowed_function_names: Vec<Text<'a>>,
}

/// Decodes `toolConfig`.
pub(super) fn config<'a>(value: Span<'a>, request: &mut Request<'a>) -> Result<(), Error> {
    const PATH: &str = "toolConfig.functionCallingConfig";
    for (name, value) in members(value, "toolConfig")? {
        if camel(&name) != "functionCallingConfig" {
            request.dropped.push(Cow::Owned(format!("toolConfig.{name}")));
            continue;
        }
        let wire: WireCalling<'a> = value.parse(&PATH)?;
        let mode = wire.mode.map_or_else(String::new, |mode| mode.0.to_ascii_uppercase());
        let names: Vec<_> = wire.allowed_function_names.into_iter().map(|name| name.0).collect();
        if mode == "VALIDATED" {
            dropped::once(&mut request.dropped, "toolConfig.functionCallingConfig.mode");
        }
        request.tool_choice =
            choice(&mode, names).map_err(|words| wrong(format_args!("{PATH}.mode"), words))?;
    }
    Ok(())
}

/// <https://ai.google.dev/api/caching#FunctionCallingConfig>: `VALIDATED` leaves the model free, and checks its calls.
fn choice<'a>(mode: &str, mut names: Vec<Cow<'a, str>>) -> Result<Option<ToolChoice<'a>>, &'static str> {
    let choice = match (mode, names.len()) {
        ("" | "MODE_UNSPECIFIED", 0) => return Ok(None),
        ("NONE", _) => ToolChoice::None,
        ("ANY", 0) => ToolChoice::Required,
        ("ANY", 1) => ToolChoice::Named(names.pop().unwrap_or_default()),
        ("ANY", _) => ToolChoice::Allowed { required: true, names },
        ("AUTO" | "VALIDATED", 0) => ToolChoice::Auto,
        ("AUTO" | "VALIDATED" | "" | "MODE_UNSPECIFIED", _) => ToolChoice::Allowed { required: false, names },
        _ => return Err("must be AUTO, ANY, NONE or VALIDATED"),
    };
    Ok(Some(choice))
}

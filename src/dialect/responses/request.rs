//! A responses request as bytes to [`Request`]; the way back is `encode`'s. What stands in `input` is `item`'s; `model`,
//! `stream`, `stream_options` and `fallbacks` are the gateway's own reading and are passed over.

mod encode;
mod words;

use std::borrow::Cow;

use serde::Deserialize;

pub(in crate::dialect) use self::encode::{OWN_KEYS, encode};
pub(in crate::dialect) use self::words::{renamed, renamed_all};
use super::item;
use crate::chat::{Effort, Format, Message, Part, Raw, Reasoning, Request, Role, Tool, ToolChoice};
use crate::dialect::dropped;
use crate::dialect::fault::{other_tool, wrong};
use crate::dialect::json::{self, Span, Text};
use crate::dialect::{reasoning, tier};
use crate::error::{Error, Kind};

/// What an `include` may ask for and gets unasked.
const INCLUDED: &str = "reasoning.encrypted_content";
/// What an `include` may ask for that changes the answer's shape.
const LOGPROBS: &str = "message.output_text.logprobs";

/// Decodes a request body (<https://platform.openai.com/docs/api-reference/responses/create>).
pub(in crate::dialect) fn decode(body: &[u8]) -> Result<Request<'_>, Error> {
    let mut request = Request::default();
    let mut instructions = None;
    let mut safety_identifier = None;
    let mut has_input = false;
    for (name, value) in json::fields(body)? {
        match &*name {
            "input" => {
                item::decode_all(value, &mut request)?;
                has_input = true;
            }
            "instructions" => instructions = Some(value.parse::<Text<'_>>(&name)?.0),
            "safety_identifier" => safety_identifier = Some(value.parse::<Text<'_>>(&name)?.0),
            _ => field(&mut request, name, value)?,
        }
    }
    if !has_input {
        let message = "`input` is required for a response";
        return Err(Error::new(Kind::InvalidRequest, message).with_param("input"));
    }
    if let Some(text) = instructions {
        let parts = vec![Part::Text { text, cache: None }];
        request.messages.insert(0, Message { role: Role::System, parts });
    }
    // The newer word for the same.
    request.user = safety_identifier.or(request.user);
    Ok(request)
}

fn field<'a>(request: &mut Request<'a>, name: Cow<'a, str>, value: Span<'a>) -> Result<(), Error> {
    match &*name {
        "model" | "stream" | "stream_options" | "fallbacks" => {}
        "max_output_tokens" => request.max_tokens = Some(value.parse(&name)?),
        "temperature" => request.temperature = Some(value.number(&name)?),
        "top_p" => request.top_p = Some(value.number(&name)?),
        "user" => request.user = Some(value.parse::<Text<'a>>(&name)?.0),
        "metadata" => request.metadata = Some(object(value, &name)?),
        "tools" => request.tools = tools(value, &mut request.dropped)?,
        "tool_choice" => request.tool_choice = Some(tool_choice(value)?),
        "parallel_tool_calls" => request.parallel_tool_calls = Some(value.parse(&name)?),
        "text" => text(request, value)?,
        "reasoning" => thinking(request, value)?,
        "service_tier" => {
            request.service_tier = tier::read(&value.parse::<Text<'a>>(&name)?.0);
            if request.service_tier.is_none() {
                dropped::once(&mut request.dropped, "service_tier");
            }
        }
        "include" => include(request, value)?,
        "previous_response_id" | "conversation" | "prompt" => return Err(stateful(&name)),
        "background" if value.parse(&name)? => return Err(stateful(&name)),
        "store" if value.parse(&name)? => dropped::once(&mut request.dropped, "store"),
        "top_logprobs" if value.parse::<u64>(&name)? > 0 => {
            dropped::once(&mut request.dropped, "top_logprobs");
        }
        "truncation" if value.parse::<Text<'a>>(&name)?.0 != "disabled" => {
            dropped::once(&mut request.dropped, "truncation");
        }
        "background" | "store" | "top_logprobs" | "truncation" => {}
        _ => request.extra.push((name, value.raw())),
    }
    Ok(())
}

/// What stands in OpenAI's store, or goes on after the answer, no other provider has.
fn stateful(name: &str) -> Error {
    let advice = match name {
        "background" => "leave it out and wait for the answer, or ask for a stream",
        "prompt" => "send the prompt's text in `instructions` and `input`",
        _ => "send the whole conversation in `input`",
    };
    let message = format!("`{name}` needs OpenAI's store, which this provider does not have; {advice}");
    Error::new(Kind::UnsupportedParameter, message).with_param(name.to_owned())
}

fn object<'a>(value: Span<'a>, path: &str) -> Result<Raw<'a>, Error> {
    match value.first() {
        b'{' => Ok(value.raw()),
        _ => Err(wrong(path, "must be an object")),
    }
}

#[derive(Deserialize)]
struct WireTool<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    parameters: Option<Span<'a>>,
    strict: Option<bool>,
    #[serde(borrow)]
    output_schema: Option<Span<'a>>,
    #[serde(borrow)]
    cache_control: Option<Span<'a>>,
}

fn tools<'a>(value: Span<'a>, dropped: &mut Vec<Cow<'a, str>>) -> Result<Vec<Tool<'a>>, Error> {
    let spans: Vec<Span<'a>> = value.parse(&"tools")?;
    spans.into_iter().enumerate().map(|(index, span)| tool(span, index, dropped)).collect()
}

fn tool<'a>(span: Span<'a>, index: usize, dropped: &mut Vec<Cow<'a, str>>) -> Result<Tool<'a>, Error> {
    /// A tool of OpenAI's own may have other types in our fields.
    #[derive(Deserialize)]
    struct WireKind<'a> {
        #[serde(rename = "type", borrow)]
        kind: Text<'a>,
    }
    let path = format!("tools[{index}]");
    let WireKind { kind: Text(kind) } = span.parse(&path)?;
    if kind != "function" {
        return Err(other_tool(path, &kind, "function"));
    }
    let wire: WireTool<'a> = span.parse(&path)?;
    let Some(Text(name)) = wire.name else { return Err(wrong(&(path + ".name"), "is required")) };
    if wire.output_schema.is_some() {
        dropped::once(dropped, "tools.output_schema");
    }
    Ok(Tool {
        name,
        description: wire.description.map(|text| text.0),
        schema: wire.parameters.map(|schema| Cow::Borrowed(schema.raw().0)),
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
    #[serde(borrow)]
    mode: Option<Text<'a>>,
    #[serde(borrow)]
    tools: Option<Vec<WireTool<'a>>>,
}

fn tool_choice<'a>(value: Span<'a>) -> Result<ToolChoice<'a>, Error> {
    const PATH: &str = "tool_choice";
    if value.first() == b'"' {
        let word: Text<'a> = value.parse(&PATH)?;
        return match &*word.0 {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => Err(bad_tool_choice(Kind::InvalidRequest)),
        };
    }
    let wire: WireChoice<'a> = value.parse(&PATH)?;
    match (&*wire.kind.0, wire.name, wire.tools) {
        ("function", Some(Text(name)), _) => Ok(ToolChoice::Named(name)),
        ("allowed_tools", _, Some(tools)) if tools.iter().any(|tool| tool.kind.0 != "function") => {
            Err(bad_tool_choice(Kind::UnsupportedParameter))
        }
        ("allowed_tools", _, Some(tools)) => Ok(ToolChoice::Allowed {
            required: wire.mode.is_some_and(|mode| mode.0 == "required"),
            names: tools.into_iter().filter_map(|tool| Some(tool.name?.0)).collect(),
        }),
        ("function" | "allowed_tools", ..) => Err(bad_tool_choice(Kind::InvalidRequest)),
        _ => Err(bad_tool_choice(Kind::UnsupportedParameter)),
    }
}

fn bad_tool_choice(kind: Kind) -> Error {
    let message = "`tool_choice` must be `auto`, `none`, `required`, one `function` by name, or `allowed_tools` of these";
    Error::new(kind, message).with_param("tool_choice")
}

#[derive(Deserialize)]
struct WireTextConfig<'a> {
    #[serde(borrow)]
    format: Option<Span<'a>>,
    #[serde(borrow)]
    verbosity: Option<Span<'a>>,
}

#[derive(Deserialize)]
struct WireFormat<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    schema: Option<Span<'a>>,
    strict: Option<bool>,
}

fn text<'a>(request: &mut Request<'a>, value: Span<'a>) -> Result<(), Error> {
    let wire: WireTextConfig<'a> = value.parse(&"text")?;
    if wire.verbosity.is_some() {
        dropped::once(&mut request.dropped, "text.verbosity");
    }
    if let Some(value) = wire.format {
        request.format = format(value)?;
    }
    Ok(())
}

fn format<'a>(value: Span<'a>) -> Result<Format<'a>, Error> {
    const PATH: &str = "text.format";
    let wire: WireFormat<'a> = value.parse(&PATH)?;
    match (&*wire.kind.0, wire.schema) {
        ("text", _) => Ok(Format::Text),
        ("json_object", _) => Ok(Format::JsonObject),
        ("json_schema", Some(schema)) => Ok(Format::JsonSchema {
            name: wire.name.map(|text| text.0),
            description: wire.description.map(|text| text.0),
            schema: Cow::Borrowed(object(schema, "text.format.schema")?.0),
            strict: wire.strict,
        }),
        _ => Err(wrong(PATH, "must be `text`, `json_object`, or `json_schema` with its `schema`")),
    }
}

#[derive(Deserialize)]
struct WireReasoning<'a> {
    #[serde(borrow)]
    effort: Option<Text<'a>>,
    #[serde(borrow)]
    summary: Option<Text<'a>>,
    #[serde(borrow)]
    generate_summary: Option<Text<'a>>,
}

fn thinking<'a>(request: &mut Request<'a>, value: Span<'a>) -> Result<(), Error> {
    let wire: WireReasoning<'a> = value.parse(&"reasoning")?;
    let effort = wire.effort.map(|word| effort(&word.0)).transpose()?;
    let is_shown = wire.summary.or(wire.generate_summary).map(|_| true);
    if effort.is_some() || is_shown.is_some() {
        request.reasoning = Some(Reasoning { effort, budget_tokens: None, is_shown });
    }
    Ok(())
}

fn effort(word: &str) -> Result<Effort, Error> {
    reasoning::effort(word)
        .ok_or_else(|| wrong("reasoning.effort", "must be none, minimal, low, medium, high, xhigh or max"))
}

fn include<'a>(request: &mut Request<'a>, value: Span<'a>) -> Result<(), Error> {
    for Text(word) in value.parse::<Vec<Text<'a>>>(&"include")? {
        match &*word {
            INCLUDED => {}
            LOGPROBS => {
                let message = format!("token probabilities are not translated; leave `{LOGPROBS}` out");
                return Err(Error::new(Kind::UnsupportedParameter, message).with_param("include"));
            }
            _ => dropped::once(&mut request.dropped, "include"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

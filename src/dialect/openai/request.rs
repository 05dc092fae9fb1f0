//! A chat completions request as bytes to [`Request`]; the way back is `encode`'s. What stands in `messages` is `message`'s; `model`, `stream`,
//! `stream_options` and `fallbacks` are the gateway's own reading and are passed over.

mod encode;
mod tuning;

use std::borrow::Cow;

use serde::Deserialize;

pub(in crate::dialect) use self::encode::{OWN_KEYS, encode};
use crate::chat::{Effort, Format, Reasoning, Request, ServiceTier, Tool, ToolChoice};
use crate::dialect::fault::other_tool;
use crate::dialect::json::{self, Span, Text};
use crate::dialect::{reasoning, tier};
use crate::error::{Error, Kind};

/// Decodes a request body.
pub(in crate::dialect) fn decode(body: &[u8]) -> Result<Request<'_>, Error> {
    let mut request = Request::default();
    let mut max_tokens_legacy = None;
    let mut has_messages = false;
    for (name, value) in json::fields(body)? {
        match &*name {
            "messages" => {
                super::message::decode_all(value, &mut request)?;
                has_messages = true;
            }
            "max_tokens" => max_tokens_legacy = Some(value.parse(&name)?),
            _ => {
                if !typed(&mut request, &name, value)? {
                    field(&mut request, name, value)?;
                }
            }
        }
    }
    if !has_messages {
        let message = "`messages` is required for a chat completion";
        return Err(Error::new(Kind::InvalidRequest, message).with_param("messages"));
    }
    request.max_tokens = request.max_tokens.or(max_tokens_legacy);
    Ok(request)
}

/// The keys that tune the model. `false`: it is none of them, or says what the neutral model has no word for.
fn typed<'a>(request: &mut Request<'a>, name: &str, value: Span<'a>) -> Result<bool, Error> {
    let slot = match name {
        "temperature" => &mut request.temperature,
        "top_p" => &mut request.top_p,
        "top_k" => &mut request.top_k,
        "seed" => &mut request.seed,
        "presence_penalty" => &mut request.presence_penalty,
        "frequency_penalty" => &mut request.frequency_penalty,
        "metadata" if value.first() == b'{' => &mut request.metadata,
        _ => return Ok(worded(request, name, value)),
    };
    *slot = Some(if name == "metadata" { value.raw() } else { value.number(&name)? });
    Ok(true)
}

/// The same for keys that hold one of a few words; one that we have not heard of is the target's to know.
fn worded<'a>(request: &mut Request<'a>, name: &str, value: Span<'a>) -> bool {
    let reasoning = match name {
        "service_tier" => {
            request.service_tier = service_tier(value);
            return request.service_tier.is_some();
        }
        "reasoning_effort" => reasoning_effort(value),
        "reasoning" => reasoning_object(value),
        "thinking" => reasoning::thinking(value),
        _ => None,
    };
    let Some(found) = reasoning else { return false };
    request.reasoning = Some(reasoning::merged(request.reasoning, found));
    true
}

/// A tier, of a request or an answer; `None`: one that the neutral model has no word for.
pub(super) fn service_tier(value: Span<'_>) -> Option<ServiceTier> {
    tier::read(&value.parse::<Text<'_>>(&"service_tier").ok()?.0)
}

fn reasoning_effort(value: Span<'_>) -> Option<Reasoning> {
    let word: Text<'_> = value.parse(&"reasoning_effort").ok()?;
    Some(Reasoning { effort: Some(reasoning::effort(&word.0)?), ..Reasoning::default() })
}

/// OpenRouter's word for it (<https://openrouter.ai/docs/use-cases/reasoning-tokens>).
fn reasoning_object(value: Span<'_>) -> Option<Reasoning> {
    #[derive(Deserialize)]
    struct WireReasoning<'a> {
        #[serde(borrow)]
        effort: Option<Text<'a>>,
        max_tokens: Option<u64>,
        exclude: Option<bool>,
        enabled: Option<bool>,
    }
    let wire: WireReasoning<'_> = value.parse(&"reasoning").ok()?;
    let effort = match wire.effort {
        Some(word) => Some(reasoning::effort(&word.0)?),
        None => (wire.enabled == Some(false)).then_some(Effort::None),
    };
    Some(Reasoning {
        effort,
        budget_tokens: wire.max_tokens,
        is_shown: wire.exclude.map(|is_hidden| !is_hidden),
    })
}

fn field<'a>(request: &mut Request<'a>, name: Cow<'a, str>, value: Span<'a>) -> Result<(), Error> {
    match &*name {
        "model" | "stream" | "stream_options" | "fallbacks" => {}
        "max_completion_tokens" => request.max_tokens = Some(value.parse(&name)?),
        "stop" => request.stop = stop(value)?,
        "user" => request.user = Some(value.parse::<Text<'a>>(&name)?.0),
        "tools" => request.tools = tools(value)?,
        "tool_choice" => request.tool_choice = Some(tool_choice(value)?),
        "parallel_tool_calls" => request.parallel_tool_calls = Some(value.parse(&name)?),
        "response_format" => request.format = format(value)?,
        "n" => request.choices = Some(value.parse(&name)?),
        "logprobs" => request.logprobs = value.parse(&name)?,
        "modalities" => {
            request.audio = value.parse::<Vec<Text<'a>>>(&name)?.iter().any(|one| one.0 == "audio")
        }
        "functions" | "function_call" => return Err(legacy_functions(&name)),
        _ => request.extra.push((name, value.raw())),
    }
    Ok(())
}

/// The older way to call functions answers in another shape (`message.function_call`), so it is refused, not dropped.
fn legacy_functions(name: &str) -> Error {
    let message = format!("`{name}` is not translated to this provider; send `tools` and `tool_choice`");
    Error::new(Kind::UnsupportedParameter, message).with_param(name.to_owned())
}

fn stop<'a>(value: Span<'a>) -> Result<Vec<Cow<'a, str>>, Error> {
    if value.first() == b'"' {
        return Ok(vec![value.parse::<Text<'a>>(&"stop")?.0]);
    }
    Ok(value.parse::<Vec<Text<'a>>>(&"stop")?.into_iter().map(|text| text.0).collect())
}

#[derive(Deserialize)]
struct WireTool<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<WireFunction<'a>>,
    #[serde(borrow)]
    cache_control: Option<Span<'a>>,
}

#[derive(Deserialize)]
struct WireFunction<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    parameters: Option<Span<'a>>,
    strict: Option<bool>,
}

fn tools<'a>(value: Span<'a>) -> Result<Vec<Tool<'a>>, Error> {
    let spans: Vec<Span<'a>> = value.parse(&"tools")?;
    spans.into_iter().enumerate().map(|(index, span)| tool(span, index)).collect()
}

fn tool<'a>(span: Span<'a>, index: usize) -> Result<Tool<'a>, Error> {
    let path = format!("tools[{index}]");
    let wire: WireTool<'a> = span.parse(&path)?;
    let kind = wire.kind.map_or(Cow::Borrowed("function"), |kind| kind.0);
    if kind != "function" {
        return Err(other_tool(path, &kind, "function"));
    }
    let Some(function) = wire.function else {
        let message = format!("`{path}` has no `function`");
        return Err(Error::new(Kind::InvalidRequest, message).with_param(path + ".function"));
    };
    Ok(Tool {
        name: function.name.0,
        description: function.description.map(|text| text.0),
        schema: function.parameters.map(|schema| Cow::Borrowed(schema.raw().0)),
        strict: function.strict,
        cache: wire.cache_control.map(Span::raw),
    })
}

#[derive(Deserialize)]
struct WireChoice<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    function: Option<WireName<'a>>,
    #[serde(borrow)]
    allowed_tools: Option<WireAllowed<'a>>,
}

#[derive(Deserialize)]
struct WireName<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Deserialize)]
struct WireAllowed<'a> {
    #[serde(borrow)]
    mode: Option<Text<'a>>,
    #[serde(borrow)]
    tools: Vec<WireTool<'a>>,
}

fn tool_choice<'a>(value: Span<'a>) -> Result<ToolChoice<'a>, Error> {
    const PATH: &str = "tool_choice";
    if value.first() == b'"' {
        let word: Text<'a> = value.parse(&PATH)?;
        return match &*word.0 {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" | "any" => Ok(ToolChoice::Required),
            _ => Err(bad_tool_choice(Kind::InvalidRequest)),
        };
    }
    let wire: WireChoice<'a> = value.parse(&PATH)?;
    match (&*wire.kind.0, wire.function, wire.allowed_tools) {
        ("function", Some(function), _) => Ok(ToolChoice::Named(function.name.0)),
        ("allowed_tools", _, Some(allowed)) => Ok(ToolChoice::Allowed {
            required: allowed.mode.is_some_and(|mode| mode.0 == "required"),
            names: allowed.tools.into_iter().filter_map(|tool| Some(tool.function?.name.0)).collect(),
        }),
        ("custom", ..) => Err(bad_tool_choice(Kind::UnsupportedParameter)),
        _ => Err(bad_tool_choice(Kind::InvalidRequest)),
    }
}

fn bad_tool_choice(kind: Kind) -> Error {
    let message =
        "`tool_choice` must be `auto`, `none`, `required`, one `function` by name, or `allowed_tools`";
    Error::new(kind, message).with_param("tool_choice")
}

#[derive(Deserialize)]
struct WireFormat<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    json_schema: Option<WireSchema<'a>>,
}

#[derive(Deserialize)]
struct WireSchema<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    strict: Option<bool>,
    #[serde(borrow)]
    schema: Option<Span<'a>>,
}

fn format<'a>(value: Span<'a>) -> Result<Format<'a>, Error> {
    let wire: WireFormat<'a> = value.parse(&"response_format")?;
    let json_schema = wire.json_schema.and_then(|wire| Some((wire.schema?, wire)));
    match (&*wire.kind.0, json_schema) {
        ("text", _) => Ok(Format::Text),
        ("json_object", _) => Ok(Format::JsonObject),
        ("json_schema", Some((schema, wire))) => Ok(Format::JsonSchema {
            name: wire.name.map(|text| text.0),
            description: wire.description.map(|text| text.0),
            schema: Cow::Borrowed(schema.raw().0),
            strict: wire.strict,
        }),
        _ => {
            let message =
                "`response_format` must be `text`, `json_object`, or `json_schema` with its `schema`";
            Err(Error::new(Kind::InvalidRequest, message).with_param("response_format"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(fields: &str) -> Error {
        decode(format!(r#"{{"messages":[],{fields}}}"#).as_bytes()).unwrap_err()
    }

    #[test]
    fn each_wrong_field_is_named() {
        for (fields, kind, param) in [
            (r#""temperature":"hot""#, Kind::InvalidRequest, "temperature"),
            (r#""max_tokens":-1"#, Kind::InvalidRequest, "max_tokens"),
            (r#""stop":[1]"#, Kind::InvalidRequest, "stop"),
            (r#""functions":[]"#, Kind::UnsupportedParameter, "functions"),
            (r#""function_call":"auto""#, Kind::UnsupportedParameter, "function_call"),
            (r#""tools":[{"type":"custom","custom":{}}]"#, Kind::UnsupportedParameter, "tools[0].type"),
            (r#""tools":[{"type":"function"}]"#, Kind::InvalidRequest, "tools[0].function"),
            (r#""tools":[{"function":{"name":"a","name":"b"}}]"#, Kind::DuplicateField, "tools[0]"),
            (r#""tool_choice":"maybe""#, Kind::InvalidRequest, "tool_choice"),
            (r#""tool_choice":{"type":"custom"}"#, Kind::UnsupportedParameter, "tool_choice"),
            (r#""response_format":{"type":"json_schema"}"#, Kind::InvalidRequest, "response_format"),
        ] {
            let error = refused(fields);
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{fields}");
        }
        assert_eq!(decode(b"{}").unwrap_err().param.as_deref(), Some("messages"));
        assert_eq!(decode(br#"{"messages":null}"#).unwrap_err().param.as_deref(), Some("messages"));
    }

    #[test]
    fn the_newer_limit_wins_whatever_the_order() {
        for body in [
            r#"{"messages":[],"max_tokens":1,"max_completion_tokens":2}"#,
            r#"{"messages":[],"max_completion_tokens":2,"max_tokens":1}"#,
        ] {
            assert_eq!(decode(body.as_bytes()).unwrap().max_tokens, Some(2));
        }
    }

    #[test]
    fn unheard_keys_keep_their_order_and_spans() {
        let request = decode(br#"{"z":1.0,"messages":[],"a":{"b" :2}}"#).unwrap();
        let shown: Vec<_> = request.extra.iter().map(|(name, raw)| (&**name, raw.0)).collect();
        assert_eq!(shown, [("z", "1.0"), ("a", r#"{"b" :2}"#)]);
    }
}

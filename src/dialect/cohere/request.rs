//! A chat request of Cohere's as bytes to [`Request`] (<https://docs.cohere.com/reference/chat>); the way back is `encode`'s. What
//! stands in `messages` is `message`'s; `model`, `stream` and `fallbacks` are the gateway's own reading and are passed over.

mod encode;
mod tuning;

use std::borrow::Cow;

use serde::Deserialize;

pub(in crate::dialect) use self::encode::{OWN_KEYS, encode};
use super::message;
use crate::chat::{Effort, Format, Message, Raw, Reasoning, Request, Role, Tool, ToolChoice};
use crate::dialect::fault::wrong;
use crate::dialect::json::{self, Span, Text};
use crate::error::{Error, Kind};

/// Decodes a request body.
pub(in crate::dialect) fn decode(body: &[u8]) -> Result<Request<'_>, Error> {
    let mut request = Request::default();
    let (mut has_messages, mut documents, mut strict) = (false, None, None);
    for (name, value) in json::fields(body)? {
        match &*name {
            "messages" => {
                message::decode_all(value, &mut request)?;
                has_messages = true;
            }
            "documents" => documents = Some(value),
            "strict_tools" => strict = Some(value.parse::<bool>(&name)?),
            _ => field(&mut request, name, value)?,
        }
    }
    if !has_messages {
        let message = "`messages` is required for a chat";
        return Err(Error::new(Kind::InvalidRequest, message).with_param("messages"));
    }
    if strict == Some(true) {
        request.tools.iter_mut().for_each(|tool| tool.strict = strict);
    }
    if let Some(documents) = documents {
        add_documents(&mut request, documents)?;
    }
    Ok(request)
}

/// They are what the last question is about, and stand behind it, so that its parts keep their places.
fn add_documents<'a>(request: &mut Request<'a>, value: Span<'a>) -> Result<(), Error> {
    let documents = message::documents(value)?;
    if documents.is_empty() {
        return Ok(());
    }
    match request.messages.iter_mut().rfind(|message| message.role == Role::User) {
        Some(asked) => asked.parts.extend(documents),
        None => request.messages.push(Message { role: Role::User, parts: documents }),
    }
    Ok(())
}

fn field<'a>(request: &mut Request<'a>, name: Cow<'a, str>, value: Span<'a>) -> Result<(), Error> {
    match &*name {
        "model" | "stream" | "fallbacks" => {}
        "max_tokens" => request.max_tokens = Some(value.parse(&name)?),
        "temperature" => request.temperature = Some(number(value, &name)?),
        "p" => request.top_p = Some(number(value, &name)?),
        "k" => request.top_k = Some(number(value, &name)?),
        "seed" => request.seed = Some(number(value, &name)?),
        "frequency_penalty" => request.frequency_penalty = Some(number(value, &name)?),
        "presence_penalty" => request.presence_penalty = Some(number(value, &name)?),
        "stop_sequences" => {
            request.stop = value.parse::<Vec<Text<'a>>>(&name)?.into_iter().map(|text| text.0).collect();
        }
        "tools" => request.tools = tools(value)?,
        "tool_choice" => request.tool_choice = Some(tool_choice(value)?),
        "response_format" => request.format = format(value)?,
        "thinking" => request.reasoning = Some(thinking(value)?),
        "logprobs" => request.logprobs = value.parse(&name)?,
        _ => request.extra.push((name, value.raw())),
    }
    Ok(())
}

fn number<'a>(value: Span<'a>, path: &str) -> Result<Raw<'a>, Error> {
    match value.first() {
        b'-' | b'0'..=b'9' => Ok(value.raw()),
        _ => Err(wrong(path, "must be a number")),
    }
}

#[derive(Deserialize)]
struct WireTool<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<WireFunction<'a>>,
}

#[derive(Deserialize)]
struct WireFunction<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    parameters: Option<Span<'a>>,
}

fn tools<'a>(value: Span<'a>) -> Result<Vec<Tool<'a>>, Error> {
    let spans: Vec<Span<'a>> = value.parse(&"tools")?;
    spans.into_iter().enumerate().map(|(index, span)| tool(span, index)).collect()
}

fn tool<'a>(span: Span<'a>, index: usize) -> Result<Tool<'a>, Error> {
    let path = format!("tools[{index}]");
    let wire: WireTool<'a> = span.parse(&path)?;
    if wire.kind.is_some_and(|kind| kind.0 != "function") {
        return Err(wrong(path + ".type", "must be `function`"));
    }
    let Some(function) = wire.function else { return Err(wrong(path + ".function", "is required")) };
    Ok(Tool {
        name: function.name.0,
        description: function.description.map(|text| text.0),
        schema: function.parameters.map(|schema| Cow::Borrowed(schema.raw().0)),
        strict: None,
        cache: None,
    })
}

fn tool_choice<'a>(value: Span<'a>) -> Result<ToolChoice<'a>, Error> {
    let word: Text<'a> = value.parse(&"tool_choice")?;
    match &*word.0 {
        "REQUIRED" => Ok(ToolChoice::Required),
        "NONE" => Ok(ToolChoice::None),
        _ => Err(wrong("tool_choice".to_owned(), "must be REQUIRED or NONE, or be left out")),
    }
}

#[derive(Deserialize)]
struct WireFormat<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    json_schema: Option<Span<'a>>,
    /// Its older name.
    #[serde(borrow)]
    schema: Option<Span<'a>>,
}

/// A schema is always kept to.
fn format<'a>(value: Span<'a>) -> Result<Format<'a>, Error> {
    let wire: WireFormat<'a> = value.parse(&"response_format")?;
    match (&*wire.kind.0, wire.json_schema.or(wire.schema)) {
        ("text", _) => Ok(Format::Text),
        ("json_object", None) => Ok(Format::JsonObject),
        ("json_object", Some(schema)) => Ok(Format::JsonSchema {
            name: None,
            description: None,
            schema: Cow::Borrowed(schema.raw().0),
            strict: Some(true),
        }),
        _ => Err(wrong("response_format".to_owned(), "must be `text` or `json_object`")),
    }
}

#[derive(Deserialize)]
struct WireThinking<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    token_budget: Option<u64>,
}

fn thinking(value: Span<'_>) -> Result<Reasoning, Error> {
    let wire: WireThinking<'_> = value.parse(&"thinking")?;
    match &*wire.kind.0 {
        "disabled" => Ok(Reasoning { effort: Some(Effort::None), ..Reasoning::default() }),
        "enabled" => Ok(Reasoning { budget_tokens: wire.token_budget, ..Reasoning::default() }),
        _ => Err(wrong("thinking.type".to_owned(), "must be enabled or disabled")),
    }
}

/// What a caller of Cohere's dialect calls something that another dialect's half names.
pub(in crate::dialect) fn caller_name(name: &str) -> &str {
    match name {
        "top_p" => "p",
        "top_k" => "k",
        "stop" => "stop_sequences",
        "n" => "num_generations",
        "reasoning" | "reasoning_effort" | "output_config.effort" => "thinking",
        "output_config.format" | "response_format.json_schema.strict" => "response_format",
        "tools.function.strict" => "strict_tools",
        "messages.content.title" => "documents",
        "messages.reasoning_details" => "messages.content.thinking",
        _ => name,
    }
}

/// The same of an error of another dialect's half.
pub(in crate::dialect) fn in_caller_words(mut error: Error) -> Error {
    let Some(param) = error.param.take() else { return error };
    let own = caller_name(&param).to_owned();
    error.message = error.message.replace(&format!("`{param}`"), &format!("`{own}`")).into();
    error.with_param(own)
}

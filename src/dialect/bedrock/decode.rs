//! A Converse request as bytes to [`Request`]. What stands in `messages` and `system` is `content`'s; the model and whether it
//! streams stand in the path, and `fallbacks` is the gateway's own reading.

mod content;

use std::borrow::Cow;

use serde::Deserialize;

use super::tier;
use crate::chat::{Effort, Format, Message, Raw, Reasoning, Request, Role, Tool, ToolChoice};
use crate::dialect::dropped;
use crate::dialect::json::{self, Span, Text};
use crate::dialect::reasoning;
use crate::error::{Error, Kind};

/// What a target names by OpenAI's words, in those of a caller of this dialect.
const NAMES: [(&str, &str); 22] = [
    ("frequency_penalty", "additionalModelRequestFields.frequency_penalty"),
    ("max_tokens", "inferenceConfig.maxTokens"),
    ("messages.content.cache_control", "messages.content.cachePoint"),
    ("messages.content.file.filename", "messages.content.document.name"),
    ("messages.content.title", "messages.content.document.name"),
    ("messages.reasoning_details", "messages.content.reasoningContent"),
    ("metadata", "requestMetadata"),
    ("presence_penalty", "additionalModelRequestFields.presence_penalty"),
    ("reasoning_effort", "additionalModelRequestFields.thinking"),
    ("response_format", "outputConfig.textFormat"),
    ("response_format.json_schema.description", "outputConfig.textFormat.structure.jsonSchema.description"),
    // It has no key of its own: Bedrock knows no other way.
    ("response_format.json_schema.strict", "outputConfig.textFormat"),
    ("service_tier", "serviceTier"),
    ("stop", "inferenceConfig.stopSequences"),
    ("system.cache_control", "system.cachePoint"),
    ("temperature", "inferenceConfig.temperature"),
    ("thinking", "additionalModelRequestFields.thinking"),
    ("tool_choice", "toolConfig.toolChoice"),
    ("tools.cache_control", "toolConfig.tools.cachePoint"),
    ("tools.function.strict", "toolConfig.tools.toolSpec.strict"),
    ("top_k", "additionalModelRequestFields.top_k"),
    ("top_p", "inferenceConfig.topP"),
];

/// The caller's name for what a target left out.
pub(in crate::dialect) fn caller_name(name: &str) -> &str {
    NAMES.iter().find(|(one, _)| *one == name).map_or(name, |(_, own)| own)
}

/// Decodes a request body (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>).
pub(in crate::dialect) fn decode(body: &[u8]) -> Result<Request<'_>, Error> {
    let mut request = Request::default();
    let mut system = None;
    let mut has_messages = false;
    for (name, value) in json::fields(body)? {
        match &*name {
            "messages" => {
                content::messages(value, &mut request)?;
                has_messages = true;
            }
            "system" => system = Some(content::system(value, &mut request.dropped)?),
            _ => field(&mut request, name, value)?,
        }
    }
    if !has_messages {
        let message = "`messages` is required for a conversation";
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
        // What our own URL says, or we read ourselves.
        "modelId" | "model" | "fallbacks" => {}
        "inferenceConfig" => inference(request, value)?,
        "toolConfig" => tool_config(request, value)?,
        "additionalModelRequestFields" => additional(request, value)?,
        "requestMetadata" => request.metadata = Some(value.raw()),
        "serviceTier" => service_tier(request, value)?,
        "outputConfig" => output_config(request, value)?,
        _ => request.extra.push((name, value.raw())),
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireInference<'a> {
    max_tokens: Option<u64>,
    #[serde(borrow)]
    temperature: Option<Span<'a>>,
    #[serde(borrow)]
    top_p: Option<Span<'a>>,
    #[serde(borrow)]
    stop_sequences: Option<Vec<Text<'a>>>,
}

fn inference<'a>(request: &mut Request<'a>, value: Span<'a>) -> Result<(), Error> {
    let wire: WireInference<'a> = value.parse(&"inferenceConfig")?;
    request.max_tokens = wire.max_tokens;
    request.temperature = optional_number(wire.temperature, "inferenceConfig.temperature")?;
    request.top_p = optional_number(wire.top_p, "inferenceConfig.topP")?;
    request.stop = wire.stop_sequences.unwrap_or_default().into_iter().map(|text| text.0).collect();
    Ok(())
}

fn optional_number<'a>(value: Option<Span<'a>>, path: &str) -> Result<Option<Raw<'a>>, Error> {
    value.filter(|value| value.first() != b'n').map(|value| number(value, path)).transpose()
}

fn number<'a>(value: Span<'a>, path: &str) -> Result<Raw<'a>, Error> {
    match value.first() {
        b'-' | b'0'..=b'9' => Ok(value.raw()),
        _ => Err(wrong(path, "must be a number")),
    }
}

/// What only some models take: what has a neutral word is read, the rest is another model's.
fn additional<'a>(request: &mut Request<'a>, value: Span<'a>) -> Result<(), Error> {
    let fields = json::fields(value.raw().0.as_bytes())
        .map_err(|_| wrong("additionalModelRequestFields", "must be an object without a name twice"))?;
    for (name, value) in fields {
        let found = match &*name {
            "thinking" => reasoning::thinking(value),
            "reasoningConfig" => reasoning_config(value),
            "reasoning_effort" => effort(value).map(|effort| of_effort(Some(effort))),
            "output_config" => output_effort(value),
            "top_k" | "k" | "topK" => {
                request.top_k = Some(number(value, "additionalModelRequestFields.top_k")?);
                continue;
            }
            _ => None,
        };
        match found {
            Some(found) => request.reasoning = Some(reasoning::merged(request.reasoning, found)),
            None => {
                let shown = json::bounded(&name, json::PATH_BYTES_MAX);
                request.dropped.push(Cow::Owned(format!("additionalModelRequestFields.{shown}")));
            }
        }
    }
    Ok(())
}

fn of_effort(effort: Option<Effort>) -> Reasoning {
    Reasoning { effort, ..Reasoning::default() }
}

fn effort(value: Span<'_>) -> Option<Effort> {
    reasoning::effort(&value.parse::<Text<'_>>(&"effort").ok()?.0)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireReasoning<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    max_reasoning_effort: Option<Span<'a>>,
}

/// Nova's.
fn reasoning_config(value: Span<'_>) -> Option<Reasoning> {
    let wire: WireReasoning<'_> = value.parse(&"reasoningConfig").ok()?;
    match &*wire.kind.0 {
        "disabled" => Some(of_effort(Some(Effort::None))),
        "enabled" => Some(of_effort(wire.max_reasoning_effort.and_then(effort))),
        _ => None,
    }
}

/// Claude's own spelling of `outputConfig`.
fn output_effort(value: Span<'_>) -> Option<Reasoning> {
    let wire: WireOutput<'_> = value.parse(&"output_config").ok()?;
    wire.effort.and_then(effort).map(|effort| of_effort(Some(effort)))
}

fn service_tier<'a>(request: &mut Request<'a>, value: Span<'a>) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct WireTier<'a> {
        #[serde(rename = "type", borrow)]
        kind: Text<'a>,
    }
    let wire: WireTier<'a> = value.parse(&"serviceTier")?;
    match tier(&wire.kind.0) {
        Some(tier) => request.service_tier = Some(tier),
        None => dropped::once(&mut request.dropped, "serviceTier"),
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireOutput<'a> {
    #[serde(borrow)]
    text_format: Option<Span<'a>>,
    #[serde(borrow)]
    effort: Option<Span<'a>>,
}

#[derive(Deserialize)]
struct WireFormat<'a> {
    #[serde(borrow)]
    structure: WireStructure<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStructure<'a> {
    #[serde(borrow)]
    json_schema: WireSchema<'a>,
}

#[derive(Deserialize)]
struct WireSchema<'a> {
    #[serde(borrow)]
    schema: Text<'a>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
}

fn output_config<'a>(request: &mut Request<'a>, value: Span<'a>) -> Result<(), Error> {
    const PATH: &str = "outputConfig.textFormat";
    let wire: WireOutput<'a> = value.parse(&"outputConfig")?;
    if let Some(format) = wire.text_format.filter(|format| format.first() != b'n') {
        let format: WireFormat<'a> = format.parse(&PATH)?;
        let WireSchema { schema, name, description } = format.structure.json_schema;
        if !json::is_object(&schema.0) {
            return Err(wrong(PATH, "must hold a JSON schema, an object written as a text"));
        }
        request.format = Format::JsonSchema {
            name: name.map(|text| text.0),
            description: description.map(|text| text.0),
            schema: schema.0,
            // Bedrock knows no other way.
            strict: Some(true),
        };
    }
    match wire.effort.filter(|effort| effort.first() != b'n').map(effort) {
        Some(Some(effort)) => {
            request.reasoning = Some(reasoning::merged(request.reasoning, of_effort(Some(effort))));
        }
        Some(None) => dropped::once(&mut request.dropped, "outputConfig.effort"),
        None => {}
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireTools<'a> {
    #[serde(borrow)]
    tools: Vec<WireTool<'a>>,
    #[serde(borrow)]
    tool_choice: Option<WireChoice<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireTool<'a> {
    #[serde(borrow)]
    tool_spec: Option<WireSpec<'a>>,
    #[serde(borrow)]
    cache_point: Option<Span<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSpec<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    input_schema: Option<WireInput<'a>>,
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct WireInput<'a> {
    #[serde(borrow)]
    json: Option<Span<'a>>,
}

#[derive(Deserialize)]
struct WireChoice<'a> {
    #[serde(borrow)]
    auto: Option<Span<'a>>,
    #[serde(borrow)]
    any: Option<Span<'a>>,
    #[serde(borrow)]
    tool: Option<WireNamed<'a>>,
}

#[derive(Deserialize)]
struct WireNamed<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

fn tool_config<'a>(request: &mut Request<'a>, value: Span<'a>) -> Result<(), Error> {
    let wire: WireTools<'a> = value.parse(&"toolConfig")?;
    for (index, tool) in wire.tools.into_iter().enumerate() {
        match (tool.tool_spec, tool.cache_point) {
            (Some(spec), _) => request.tools.push(tool_of(spec)),
            (None, Some(point)) => {
                if let Some(last) = request.tools.last_mut() {
                    last.cache = Some(content::mark(point));
                }
            }
            (None, None) => {
                let path = format!("toolConfig.tools[{index}]");
                let message = format!("`{path}` is no `toolSpec`; only these are translated");
                return Err(Error::new(Kind::UnsupportedParameter, message).with_param(path));
            }
        }
    }
    request.tool_choice = match wire.tool_choice {
        None => None,
        Some(WireChoice { tool: Some(tool), .. }) => Some(ToolChoice::Named(tool.name.0)),
        Some(WireChoice { any: Some(_), .. }) => Some(ToolChoice::Required),
        Some(WireChoice { auto: Some(_), .. }) => Some(ToolChoice::Auto),
        Some(_) => return Err(wrong("toolConfig.toolChoice", "must be auto, any or tool")),
    };
    Ok(())
}

fn tool_of(spec: WireSpec<'_>) -> Tool<'_> {
    let schema = spec.input_schema.and_then(|input| input.json).filter(|schema| schema.first() == b'{');
    Tool {
        name: spec.name.0,
        description: spec.description.map(|text| text.0),
        schema: schema.map(|schema| Cow::Borrowed(schema.raw().0)),
        strict: spec.strict,
        cache: None,
    }
}

fn wrong(path: &str, words: &str) -> Error {
    Error::new(Kind::InvalidRequest, format!("`{path}` {words}")).with_param(path.to_owned())
}

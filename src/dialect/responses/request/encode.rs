//! A neutral request to the bytes of a responses request
//! (<https://platform.openai.com/docs/api-reference/responses/create>). The items are `item`'s. Nothing is stored, so thoughts
//! travel sealed. What OpenAI has no word for is left out and named; what would change the answer's shape is refused.

use super::INCLUDED;
use crate::chat::{Effort, Format, Raw, Reasoning, Request, Tool, ToolChoice};
use crate::dialect::dropped::{named_once, owned};
use crate::dialect::encode::{SCHEMA_NAME, name_left, refuse_other_shapes, write_extra};
use crate::dialect::json::{Array, Object, write_string};
use crate::dialect::responses::item;
use crate::dialect::{reasoning, tier};
use crate::error::Error;

/// Top-level keys of OpenAI's own that a caller of another dialect may add.
pub(in crate::dialect) const OWN_KEYS: [&str; 5] =
    ["prompt_cache_key", "prompt_cache_retention", "safety_identifier", "truncation", "max_tool_calls"];

/// Why other shapes of an answer are refused.
const OTHER_SHAPES: [&str; 3] = [
    "a response is one answer; leave `n` out or send several requests",
    "token probabilities are not translated; leave them out",
    "spoken answers are not translated; ask for text",
];

/// Encodes a request for `model`; also gives what was left out.
pub(in crate::dialect) fn encode(
    request: &Request<'_>,
    model: &str,
    stream: bool,
) -> Result<(Vec<u8>, Vec<String>), Error> {
    refuse_other_shapes(request, OTHER_SHAPES)?;
    let mut dropped = owned(&request.dropped);
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::begin(&mut out);
    body.text("model", model);
    item::write_all(&mut body, request, &mut dropped)?;
    write_tools(&mut body, request, &mut dropped);
    if let Some(max_tokens) = request.max_tokens {
        body.number("max_output_tokens", max_tokens);
    }
    body.raw_if("temperature", request.temperature);
    body.raw_if("top_p", request.top_p);
    write_format(&mut body, &request.format);
    write_reasoning(&mut body, request.reasoning, &mut dropped);
    if let Some(tier) = request.service_tier {
        body.text("service_tier", tier::word(tier));
    }
    body.raw_if("metadata", request.metadata);
    if let Some(user) = &request.user {
        body.text("user", user);
    }
    write_extra(&mut body, &request.extra, &OWN_KEYS, &mut dropped);
    body.raw("store", Raw("false"));
    if stream {
        body.raw("stream", Raw("true"));
    }
    body.end();
    name_wordless(request, &mut dropped);
    Ok((out, dropped))
}

fn write_tools(body: &mut Object<'_>, request: &Request<'_>, dropped: &mut Vec<String>) {
    if request.tools.is_empty() {
        // A choice among nothing.
        if request.tool_choice.is_some() {
            dropped.push("tool_choice".to_owned());
        }
        return;
    }
    let mut array = Array::begin(body.field("tools"));
    for tool in &request.tools {
        write_tool(array.item(), tool);
    }
    array.end();
    if request.tools.iter().any(|tool| tool.cache.is_some()) {
        named_once(dropped, "tools.cache_control");
    }
    if let Some(choice) = &request.tool_choice {
        write_tool_choice(body, choice);
    }
    if let Some(is_parallel) = request.parallel_tool_calls {
        body.raw("parallel_tool_calls", Raw(if is_parallel { "true" } else { "false" }));
    }
}

/// `parameters` and `strict` must stand there, be it as null.
fn write_tool(out: &mut Vec<u8>, tool: &Tool<'_>) {
    let mut object = Object::begin(out);
    object.text("type", "function");
    object.text("name", &tool.name);
    if let Some(description) = &tool.description {
        object.text("description", description);
    }
    object.raw("parameters", Raw(tool.schema.as_deref().unwrap_or("null")));
    object.raw("strict", bool_or_null(tool.strict));
    object.end();
}

fn bool_or_null(value: Option<bool>) -> Raw<'static> {
    Raw(match value {
        Some(true) => "true",
        Some(false) => "false",
        None => "null",
    })
}

fn write_tool_choice(body: &mut Object<'_>, choice: &ToolChoice<'_>) {
    match choice {
        ToolChoice::Auto => body.text("tool_choice", "auto"),
        ToolChoice::None => body.text("tool_choice", "none"),
        ToolChoice::Required => body.text("tool_choice", "required"),
        ToolChoice::Named(name) => write_function(body.field("tool_choice"), name),
        ToolChoice::Allowed { required, names } => {
            let mut object = Object::begin(body.field("tool_choice"));
            object.text("type", "allowed_tools");
            object.text("mode", if *required { "required" } else { "auto" });
            let mut tools = Array::begin(object.field("tools"));
            names.iter().for_each(|name| write_function(tools.item(), name));
            tools.end();
            object.end();
        }
    }
}

fn write_function(out: &mut Vec<u8>, name: &str) {
    let mut function = Object::begin(out);
    function.text("type", "function");
    function.text("name", name);
    function.end();
}

fn write_format(body: &mut Object<'_>, format: &Format<'_>) {
    if *format == Format::Text {
        return;
    }
    let mut text = Object::begin(body.field("text"));
    match format {
        Format::JsonSchema { name, description, schema, strict } => {
            let mut format = Object::begin(text.field("format"));
            format.text("type", "json_schema");
            // OpenAI demands one.
            format.text("name", name.as_deref().unwrap_or(SCHEMA_NAME));
            if let Some(description) = description {
                format.text("description", description);
            }
            format.raw("schema", Raw(schema));
            format.raw_if("strict", strict.map(|strict| bool_or_null(Some(strict))));
            format.end();
        }
        Format::JsonObject | Format::Text => text.tagged("format", "json_object"),
    }
    text.end();
}

/// Whoever has the model think gets its thoughts sealed, too, to send them back.
fn write_reasoning(body: &mut Object<'_>, wanted: Option<Reasoning>, dropped: &mut Vec<String>) {
    let Some(wanted) = wanted else { return };
    if wanted.budget_tokens.is_some() {
        named_once(dropped, "thinking.budget_tokens");
    }
    let mut object = Object::begin(body.field("reasoning"));
    if let Some(effort) = wanted.effort {
        object.text("effort", reasoning::word(effort));
    }
    if wanted.is_shown == Some(true) {
        object.text("summary", "auto");
    }
    object.end();
    if wanted.effort != Some(Effort::None) {
        let mut include = Array::begin(body.field("include"));
        write_string(include.item(), INCLUDED);
        include.end();
    }
}

/// What of a request's own fields a response has no word for.
fn name_wordless(request: &Request<'_>, dropped: &mut Vec<String>) {
    let left = [
        (!request.stop.is_empty(), "stop"),
        (request.top_k.is_some(), "top_k"),
        (request.seed.is_some(), "seed"),
        (request.presence_penalty.is_some(), "presence_penalty"),
        (request.frequency_penalty.is_some(), "frequency_penalty"),
    ];
    name_left(dropped, left);
}

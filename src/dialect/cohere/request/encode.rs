//! A neutral request to the bytes of a chat request of Cohere's (<https://docs.cohere.com/reference/chat>). The messages are
//! `message`'s, the keys that tune the model `tuning`'s. Cohere refuses each key that it does not know, so that what it has no
//! word for is left out and named; what would change the answer's shape is refused.

use std::borrow::Cow;

use super::tuning;
use crate::chat::{Format, Raw, Request, Tool, ToolChoice};
use crate::dialect::cohere::message::encode::{self as message, Hoisted};
use crate::dialect::dropped::{named_once, owned};
use crate::dialect::encode::{filled_schema, offered_tools, refuse_other_shapes};
use crate::dialect::fault::wrong;
use crate::dialect::json::{Array, Object, Span, write_string};
use crate::error::Error;

/// The schema of a function that takes nothing; Cohere wants one.
const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

/// Most stop texts that Cohere takes.
const STOPS_MAX: usize = 5;

/// Top-level keys of Cohere's own that a caller of another dialect may add to a request.
pub(in crate::dialect) const OWN_KEYS: [&str; 4] =
    ["citation_options", "priority", "safety_mode", "strict_tools"];
const DOCUMENTS: &str = "documents";

/// The neutral answer holds one choice, no probabilities and no sound.
const OTHER_SHAPES: [&str; 3] = [
    "one answer is translated per request; send several requests",
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
    let tools = offered(request)?;
    let mut dropped = owned(&request.dropped);
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::begin(&mut out);
    if stream {
        body.raw("stream", Raw("true"));
    }
    body.text("model", model);
    let hoisted = message::write_all(body.field("messages"), request, model, &mut dropped)?;
    let has_documents = write_documents(&mut body, &hoisted, &request.extra)?;
    write_tools(&mut body, request, &tools, &mut dropped);
    write_format(&mut body, &request.format, has_documents || !tools.is_empty(), &mut dropped);
    if let Some(max_tokens) = request.max_tokens {
        body.number("max_tokens", max_tokens);
    }
    write_stop(&mut body, &request.stop, &mut dropped);
    tuning::write(&mut body, request, model, &mut dropped);
    for (name, value) in &request.extra {
        if OWN_KEYS.contains(&&**name) {
            body.raw(name, *value);
        } else if name != DOCUMENTS {
            dropped.push(name.clone().into_owned());
        }
    }
    body.end();
    Ok((out, dropped))
}

/// Those that a caller added under Cohere's own name, then those of its messages. Whether there are any.
fn write_documents(
    body: &mut Object<'_>,
    hoisted: &[Hoisted<'_>],
    extra: &[(Cow<'_, str>, Raw<'_>)],
) -> Result<bool, Error> {
    let own = extra.iter().find(|(name, _)| name == DOCUMENTS).map(|(_, Raw(list))| *list);
    let own: Vec<Span<'_>> = match own.map(serde_json::from_str) {
        None => Vec::new(),
        Some(Ok(list)) => list,
        Some(Err(_)) => {
            return Err(wrong(DOCUMENTS, "must be a list of texts, or of objects with `data`"));
        }
    };
    if own.is_empty() && hoisted.is_empty() {
        return Ok(false);
    }
    let mut array = Array::begin(body.field(DOCUMENTS));
    for span in own {
        array.item().extend_from_slice(span.raw().0.as_bytes());
    }
    for document in hoisted {
        document.write(array.item());
    }
    array.end();
    Ok(true)
}

/// The tools to send. Cohere's choice is one word for all: one tool, too, is told by sending no other.
fn offered<'r, 'a>(request: &'r Request<'a>) -> Result<Vec<&'r Tool<'a>>, Error> {
    let tools = offered_tools(request)?;
    let Some(ToolChoice::Named(name)) = &request.tool_choice else { return Ok(tools) };
    let is_any = !tools.is_empty();
    let named: Vec<_> = tools.into_iter().filter(|tool| tool.name == *name).collect();
    if is_any && named.is_empty() {
        return Err(wrong("tool_choice", "names no tool of `tools`"));
    }
    Ok(named)
}

fn write_tools(body: &mut Object<'_>, request: &Request<'_>, tools: &[&Tool<'_>], dropped: &mut Vec<String>) {
    if tools.is_empty() {
        // A choice among nothing is refused.
        if request.tool_choice.is_some() {
            dropped.push("tool_choice".to_owned());
        }
        return;
    }
    let mut array = Array::begin(body.field("tools"));
    for tool in tools {
        write_tool(array.item(), tool);
    }
    array.end();
    if tools.iter().any(|tool| tool.cache.is_some()) {
        named_once(dropped, "tools.cache_control");
    }
    // It is told of all tools at once, and takes schemas of fewer words than others.
    if tools.iter().any(|tool| tool.strict == Some(true)) {
        named_once(dropped, "tools.function.strict");
    }
    match request.tool_choice {
        None | Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => {}
        Some(ToolChoice::None) => body.text("tool_choice", "NONE"),
        Some(_) => body.text("tool_choice", "REQUIRED"),
    }
    if request.parallel_tool_calls == Some(false) {
        named_once(dropped, "parallel_tool_calls");
    }
}

fn write_tool(out: &mut Vec<u8>, tool: &Tool<'_>) {
    let mut object = Object::begin(out);
    object.text("type", "function");
    let mut function = Object::begin(object.field("function"));
    function.text("name", &tool.name);
    if let Some(description) = &tool.description {
        function.text("description", description);
    }
    function.raw("parameters", Raw(filled_schema(tool).unwrap_or(NO_PARAMETERS)));
    function.end();
    object.end();
}

/// JSON is not promised beside tools or documents (<https://docs.cohere.com/docs/structured-outputs>).
fn write_format(body: &mut Object<'_>, format: &Format<'_>, is_beside: bool, dropped: &mut Vec<String>) {
    let schema = match format {
        Format::Text => return,
        _ if is_beside => return named_once(dropped, "response_format"),
        Format::JsonObject => None,
        Format::JsonSchema { schema, .. } => Some(schema),
    };
    let mut object = Object::begin(body.field("response_format"));
    object.text("type", "json_object");
    object.raw_if("json_schema", schema.map(|schema| Raw(schema)));
    object.end();
}

fn write_stop(body: &mut Object<'_>, stop: &[Cow<'_, str>], dropped: &mut Vec<String>) {
    if stop.len() > STOPS_MAX {
        dropped.push("stop".to_owned());
    }
    if stop.is_empty() {
        return;
    }
    let mut array = Array::begin(body.field("stop_sequences"));
    for text in stop.iter().take(STOPS_MAX) {
        write_string(array.item(), text);
    }
    array.end();
}

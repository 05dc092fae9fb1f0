//! A neutral request to the bytes of a chat request of Cohere's (<https://docs.cohere.com/reference/chat>). The messages are
//! `message`'s, the keys that tune the model `tuning`'s. Cohere refuses each key that it does not know, so that what it has no
//! word for is left out and named; what would change the answer's shape is refused.

use std::borrow::Cow;
use std::collections::HashSet;

use super::tuning;
use crate::chat::{Format, Raw, Request, Tool, ToolChoice};
use crate::dialect::cohere::message::encode::{self as message, Hoisted};
use crate::dialect::dropped::named_once;
use crate::dialect::json::{Array, Object, Span, write_string};
use crate::error::{Error, Kind};

/// The schema of a function that takes nothing; Cohere wants one.
const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

/// Most stop texts that Cohere takes.
const STOPS_MAX: usize = 5;

/// Top-level keys of Cohere's own that a caller of another dialect may add to a request.
const OWN_KEYS: [&str; 4] = ["citation_options", "priority", "safety_mode", "strict_tools"];
const DOCUMENTS: &str = "documents";

/// Encodes a request for `model`; also gives what was left out.
pub(in crate::dialect) fn encode(
    request: &Request<'_>,
    model: &str,
    stream: bool,
) -> Result<(Vec<u8>, Vec<String>), Error> {
    refuse_other_shapes(request)?;
    let tools = offered_tools(request)?;
    let mut dropped: Vec<String> = request.dropped.iter().map(|path| path.clone().into_owned()).collect();
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

/// The neutral answer holds one choice, no probabilities and no sound.
fn refuse_other_shapes(request: &Request<'_>) -> Result<(), Error> {
    let refused = |param: &'static str, message: &'static str| {
        Err(Error::new(Kind::UnsupportedParameter, message).with_param(param))
    };
    if request.choices.is_some_and(|choices| choices > 1) {
        return refused("n", "one answer is translated per request; send several requests");
    }
    if request.logprobs {
        return refused("logprobs", "token probabilities are not translated; leave them out");
    }
    if request.audio {
        return refused("modalities", "spoken answers are not translated; ask for text");
    }
    Ok(())
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
            let message = "`documents` must be a list of texts, or of objects with `data`";
            return Err(Error::new(Kind::InvalidRequest, message).with_param(DOCUMENTS));
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

/// The tools to send. Cohere's choice is one word for all: one tool, or some, are told by sending no others.
fn offered_tools<'r, 'a>(request: &'r Request<'a>) -> Result<Vec<&'r Tool<'a>>, Error> {
    let names: HashSet<&str> = match &request.tool_choice {
        Some(ToolChoice::Allowed { names, .. }) => names.iter().map(AsRef::as_ref).collect(),
        Some(ToolChoice::Named(name)) => HashSet::from([&**name]),
        _ => return Ok(request.tools.iter().collect()),
    };
    let tools: Vec<_> = request.tools.iter().filter(|tool| names.contains(tool.name.as_ref())).collect();
    if tools.is_empty() && !request.tools.is_empty() {
        let message = "the choice of tools names no tool of `tools`";
        return Err(Error::new(Kind::InvalidRequest, message).with_param("tool_choice"));
    }
    Ok(tools)
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
    function.raw("parameters", Raw(tool.schema.as_deref().unwrap_or(NO_PARAMETERS)));
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

//! What Cohere refuses of a body (<https://docs.cohere.com/reference/chat>, <https://docs.cohere.com/reference/embed>,
//! <https://docs.cohere.com/reference/rerank>): keys that it does not know, values out of bounds, results of tools that
//! do not follow their calls. Pure.

use serde_json::Value;

use crate::mock::call::Refusal;

const CHAT: &str = "model messages stream tools strict_tools documents citation_options response_format safety_mode max_tokens \
     stop_sequences temperature seed frequency_penalty presence_penalty k p logprobs tool_choice thinking priority";
const EMBED: &str =
    "model texts images inputs input_type max_tokens output_dimension embedding_types truncate priority";
const RERANK: &str = "model query documents top_n max_tokens_per_doc relevant_spans priority";
const TOKENIZE: &str = "model text";
const USES: [&str; 5] = ["search_document", "search_query", "classification", "clustering", "image"];
const TYPES: [&str; 6] = ["float", "int8", "uint8", "binary", "ubinary", "base64"];
const STOPS_MAX: usize = 5;
const TEXTS_MAX: usize = 96;

type Checked = Result<(), Refusal>;

/// A fault in the body.
pub(super) fn invalid(message: impl AsRef<str>) -> Refusal {
    Refusal::new(400, "", format!("invalid request: {}", message.as_ref()))
}

fn unless(is_fine: bool, message: impl AsRef<str>) -> Checked {
    if is_fine { Ok(()) } else { Err(invalid(message)) }
}

/// The model that a body names.
pub(super) fn model(body: &Value) -> Result<&str, Refusal> {
    let model = body["model"].as_str().filter(|model| !model.is_empty());
    let model = model.ok_or_else(|| invalid("model is required"))?;
    if model.contains('/') {
        let message = format!(
            "model '{model}' not found, make sure the correct model ID was used and that you have access to the model."
        );
        return Err(Refusal::new(404, "", message));
    }
    Ok(model)
}

fn known(value: &Value, names: &str) -> Checked {
    for name in value.as_object().into_iter().flatten().map(|(name, _)| name) {
        if !names.split_ascii_whitespace().any(|known| known == name) {
            let message = format!("unknown field: parameter '{name}' is not a valid field.");
            return Err(Refusal::new(422, "", message));
        }
    }
    Ok(())
}

/// The messages of a chat that may be answered.
pub(super) fn chat(body: &Value) -> Result<&Vec<Value>, Refusal> {
    known(body, CHAT)?;
    let messages = body["messages"].as_array().filter(|messages| !messages.is_empty());
    let messages = messages.ok_or_else(|| invalid("messages must be at least 1 message long"))?;
    for (name, low, high) in [
        ("p", 0.01, 0.99),
        ("k", 0.0, 500.0),
        ("temperature", 0.0, f64::MAX),
        ("frequency_penalty", 0.0, 1.0),
        ("presence_penalty", 0.0, 1.0),
    ] {
        let is_fine = body
            .get(name)
            .is_none_or(|value| value.as_f64().is_some_and(|value| (low..=high).contains(&value)));
        unless(is_fine, format!("{name} must be between {low} and {high}"))?;
    }
    let stops = body
        .get("stop_sequences")
        .is_none_or(|stops| stops.as_array().is_some_and(|stops| stops.len() <= STOPS_MAX));
    unless(stops, "stop_sequences must be at most 5 strings")?;
    let choice = body.get("tool_choice");
    unless(
        choice.is_none_or(|word| word == "REQUIRED" || word == "NONE"),
        "tool_choice must be REQUIRED or NONE",
    )?;
    unless(choice.is_none() || body.get("tools").is_some(), "tool_choice needs tools")?;
    let is_beside = body.get("tools").is_some() || body.get("documents").is_some();
    let is_json = body.pointer("/response_format/type").is_some_and(|kind| kind == "json_object");
    unless(!(is_beside && is_json), "response_format is not supported with tools or documents")?;
    tools(body)?;
    turns(messages)?;
    Ok(messages)
}

fn tools(body: &Value) -> Checked {
    for tool in body["tools"].as_array().into_iter().flatten() {
        known(tool, "type function")?;
        known(&tool["function"], "name description parameters")?;
        let is_whole = tool["type"] == "function" && tool["function"]["name"].is_string();
        unless(
            is_whole && tool["function"]["parameters"].is_object(),
            "a tool needs its type, name and parameters",
        )?;
    }
    Ok(())
}

/// Each call is answered by the messages right behind it, and nothing else is.
fn turns(messages: &[Value]) -> Checked {
    let mut open: Vec<&str> = Vec::new();
    for message in messages {
        let role = message["role"].as_str().unwrap_or_default();
        if role == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let at = open.iter().position(|one| *one == id);
            unless(at.is_some(), format!("tool_call_id {id} has no call before it"))?;
            open.remove(at.unwrap_or_default());
        } else {
            unless(open.is_empty(), "each tool call needs its result right behind it")?;
        }
        turn(role, message)?;
        let calls = message["tool_calls"].as_array().into_iter().flatten();
        open.extend(calls.filter_map(|call| call["id"].as_str()));
    }
    unless(open.is_empty(), "each tool call needs its result right behind it")
}

fn turn(role: &str, message: &Value) -> Checked {
    let (keys, kinds) = match role {
        "system" => ("role content", "text"),
        "user" => ("role content", "text image_url"),
        "assistant" => ("role content tool_plan tool_calls citations", "text thinking"),
        "tool" => ("role content tool_call_id", "text document"),
        _ => return Err(invalid(format!("role {role} is not one of system, user, assistant, tool"))),
    };
    known(message, keys)?;
    let is_said = role == "assistant" && message.get("tool_calls").is_some();
    unless(
        is_said || message["content"].is_string() || message["content"].is_array(),
        "content is required",
    )?;
    for part in message["content"].as_array().into_iter().flatten() {
        let kind = part["type"].as_str().unwrap_or_default();
        unless(
            kinds.split(' ').any(|one| one == kind),
            format!("content of type {kind} in a {role} message"),
        )?;
        known(part, &format!("type {kind}"))?;
    }
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        known(call, "id type function")?;
        known(&call["function"], "name arguments")?;
        let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
        let is_object = serde_json::from_str::<Value>(arguments).is_ok_and(|value| value.is_object());
        unless(is_object && call["type"] == "function", "a tool call needs its type and arguments in JSON")?;
    }
    Ok(())
}

/// The texts that are to be embedded.
pub(super) fn inputs(body: &Value) -> Vec<&str> {
    let texts = body["texts"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let inputs = body["inputs"].as_array().into_iter().flatten();
    let contents = inputs.filter_map(|input| input["content"][0]["text"].as_str());
    let images = body["images"].as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.chain(contents).chain(images).collect()
}

/// The types of vectors that are wanted.
pub(super) fn embedding_types(body: &Value) -> Vec<&str> {
    match body["embedding_types"].as_array() {
        Some(types) => types.iter().filter_map(Value::as_str).collect(),
        None => vec!["float"],
    }
}

/// What is to be embedded first.
pub(super) fn embed(body: &Value) -> Result<String, Refusal> {
    known(body, EMBED)?;
    let inputs = inputs(body);
    unless((1..=TEXTS_MAX).contains(&inputs.len()), "at least 1 and at most 96 texts, images or inputs")?;
    let is_use = body["input_type"].as_str().is_some_and(|word| USES.contains(&word));
    unless(is_use, "valid input_type must be provided with the provided model")?;
    unless(
        embedding_types(body).iter().all(|kind| TYPES.contains(kind)),
        "embedding_types holds another word",
    )?;
    let dimension = body.get("output_dimension");
    unless(
        dimension.is_none_or(|count| count.as_u64().is_some_and(|count| (1..=1536).contains(&count))),
        "output_dimension",
    )?;
    Ok(inputs.first().copied().unwrap_or_default().to_owned())
}

/// The question of a reranking.
pub(super) fn rerank(body: &Value) -> Result<String, Refusal> {
    known(body, RERANK)?;
    let documents = body["documents"].as_array().filter(|list| !list.is_empty());
    unless(
        documents.is_some_and(|list| list.iter().all(Value::is_string)),
        "documents must be a list of strings",
    )?;
    body["query"].as_str().map(str::to_owned).ok_or_else(|| invalid("query is required"))
}

/// The text of a count.
pub(super) fn tokenize(body: &Value) -> Result<String, Refusal> {
    known(body, TOKENIZE)?;
    body["text"].as_str().map(str::to_owned).ok_or_else(|| invalid("text is required"))
}

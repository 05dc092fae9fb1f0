//! What Converse refuses of a body, by its shapes
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>): unknown members at any level that the
//! mock knows, unions of more than one member, blank texts, turns that do not alternate, calls without their results, tools
//! that nobody offers. Pure.

use serde_json::{Map, Value};

use super::invalid;
use crate::mock::call::Refusal;

const REQUEST: &str = "messages system inferenceConfig toolConfig guardrailConfig additionalModelRequestFields \
     promptVariables additionalModelResponseFieldPaths requestMetadata performanceConfig serviceTier outputConfig";
const BLOCK: &str = "text image document video audio toolUse toolResult guardContent cachePoint reasoningContent \
     citationsContent searchResult";
const IMAGES: [&str; 4] = ["png", "jpeg", "gif", "webp"];
const DOCUMENTS: [&str; 9] = ["pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"];

type Checked = Result<(), Refusal>;

fn object<'a>(value: &'a Value, names: &str, at: &str) -> Result<&'a Map<String, Value>, Refusal> {
    let fields = value.as_object().ok_or_else(|| invalid(format!("{at}: an object is wanted")))?;
    match fields.keys().find(|name| !names.split_ascii_whitespace().any(|known| known == **name)) {
        Some(name) => Err(invalid(format!("{at}: unknown member {name}"))),
        None => Ok(fields),
    }
}

fn union<'a>(value: &'a Value, names: &str, at: &str) -> Result<(&'a str, &'a Value), Refusal> {
    let fields = object(value, names, at)?;
    match fields.iter().next() {
        Some((name, value)) if fields.len() == 1 => Ok((name, value)),
        _ => Err(invalid(format!("{at}: a union must have exactly one member"))),
    }
}

fn list<'a>(value: &'a Value, at: &str) -> Result<&'a Vec<Value>, Refusal> {
    value.as_array().ok_or_else(|| invalid(format!("{at}: a list is wanted")))
}

fn text<'a>(value: &'a Value, at: &str) -> Result<&'a str, Refusal> {
    value.as_str().ok_or_else(|| invalid(format!("{at}: a text is wanted")))
}

fn one_of(value: &Value, words: &[&str], at: &str) -> Checked {
    let word = text(value, at)?;
    if words.contains(&word) { Ok(()) } else { Err(invalid(format!("{at}: {word} is none of {words:?}"))) }
}

/// The body of Converse and ConverseStream.
pub(super) fn converse(body: &Value) -> Checked {
    let fields = object(body, REQUEST, "body")?;
    let messages = list(&body["messages"], "messages")?;
    if messages.is_empty() {
        return Err(invalid("The messages field is required and must not be empty"));
    }
    let (mut last, mut due, mut has_tools) = ("assistant", Vec::new(), false);
    for message in messages {
        let fields = object(message, "role content", "message")?;
        let role = text(fields.get("role").unwrap_or(&Value::Null), "role")?;
        one_of(&message["role"], &["user", "assistant"], "role")?;
        if role == last {
            return Err(invalid(
                "A conversation must alternate between user and assistant roles, a user first.",
            ));
        }
        let blocks = list(&message["content"], "content")?;
        if blocks.is_empty() {
            return Err(invalid("The content field of a message is empty."));
        }
        blocks.iter().try_for_each(block)?;
        let ids = |kind: &str| -> Vec<String> {
            let found = blocks.iter().filter_map(|block| block[kind]["toolUseId"].as_str());
            found.map(str::to_owned).collect()
        };
        let results = ids("toolResult");
        if due.iter().any(|id| !results.contains(id)) || results.iter().any(|id| !due.contains(id)) {
            return Err(invalid(
                "Expected toolResult blocks for exactly the toolUse blocks of the turn before.",
            ));
        }
        due = ids("toolUse");
        has_tools |= !due.is_empty();
        last = if role == "user" { "user" } else { "assistant" };
    }
    if has_tools && !fields.contains_key("toolConfig") {
        return Err(invalid(
            "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
        ));
    }
    for block in fields.get("system").map_or(Ok(&Vec::new()), |system| list(system, "system"))? {
        let (name, value) = union(block, "text guardContent cachePoint", "system")?;
        if name == "text" && text(value, "system")?.is_empty() {
            return Err(invalid("system: an empty text"));
        }
    }
    settings(fields)
}

fn block(value: &Value) -> Checked {
    let (name, inner) = union(value, BLOCK, "content")?;
    match name {
        "text" if text(inner, "text")?.trim().is_empty() => {
            Err(invalid("The text field in the ContentBlock object is blank."))
        }
        "image" => file(inner, "format source", &IMAGES),
        "document" => {
            file(inner, "format name source context citations", &DOCUMENTS)?;
            let name = text(&inner["name"], "document.name")?;
            let is_fit = |one: char| one.is_ascii_alphanumeric() || " -()[]".contains(one);
            match !name.is_empty() && name.len() <= 200 && name.chars().all(is_fit) && !name.contains("  ") {
                true => Ok(()),
                false => Err(invalid("The document file name can only contain alphanumeric characters, …")),
            }
        }
        "toolUse" => {
            let call = object(inner, "toolUseId name input type", "toolUse")?;
            id(&inner["toolUseId"])?;
            text(&inner["name"], "toolUse.name")?;
            match call.get("input") {
                Some(Value::Object(_)) => Ok(()),
                _ => Err(invalid("toolUse.input must be an object")),
            }
        }
        "toolResult" => {
            object(inner, "toolUseId content status type", "toolResult")?;
            id(&inner["toolUseId"])?;
            for part in list(&inner["content"], "toolResult.content")? {
                union(part, "json text image document video searchResult", "toolResult.content")?;
            }
            let status = &inner["status"];
            if status.is_null() { Ok(()) } else { one_of(status, &["success", "error"], "toolResult.status") }
        }
        "reasoningContent" => {
            let (name, inner) = union(inner, "reasoningText redactedContent", name)?;
            if name == "reasoningText" { object(inner, "text signature", name).map(drop) } else { Ok(()) }
        }
        "cachePoint" => cache_point(inner),
        _ => Ok(()),
    }
}

fn cache_point(value: &Value) -> Checked {
    object(value, "type ttl", "cachePoint")?;
    one_of(&value["type"], &["default"], "cachePoint.type")
}

fn id(value: &Value) -> Checked {
    let id = text(value, "toolUseId")?;
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    match (1..=64).contains(&id.len()) && id.bytes().all(is_fit) {
        true => Ok(()),
        false => Err(invalid(format!("toolUseId {id} must match [a-zA-Z0-9_.:-]+"))),
    }
}

fn file(value: &Value, names: &str, formats: &[&str]) -> Checked {
    object(value, names, "file")?;
    one_of(&value["format"], formats, "format")?;
    let (name, source) = union(&value["source"], "bytes s3Location text content", "source")?;
    match name {
        "bytes" if text(source, "bytes")?.is_empty() => Err(invalid("bytes are empty")),
        _ => Ok(()),
    }
}

fn settings(fields: &Map<String, Value>) -> Checked {
    let empty = Value::Null;
    let of = |name: &str| fields.get(name).unwrap_or(&empty);
    if let Some(config) = fields.get("inferenceConfig") {
        object(config, "maxTokens temperature topP stopSequences", "inferenceConfig")?;
        for name in ["temperature", "topP"] {
            let value = &config[name];
            if !value.is_null() && !value.as_f64().is_some_and(|number| (0.0..=1.0).contains(&number)) {
                return Err(invalid(format!("inferenceConfig.{name} must be between 0 and 1")));
            }
        }
        if !config["maxTokens"].is_null() && config["maxTokens"].as_u64().is_none_or(|tokens| tokens == 0) {
            return Err(invalid("inferenceConfig.maxTokens must be at least 1"));
        }
    }
    if let Some(config) = fields.get("toolConfig") {
        tools(config)?;
    }
    if let Some(metadata) = fields.get("requestMetadata") {
        let is_fit = metadata
            .as_object()
            .is_some_and(|all| (1..=16).contains(&all.len()) && all.values().all(Value::is_string));
        if !is_fit {
            return Err(invalid("requestMetadata must be 1 to 16 texts"));
        }
    }
    if !of("serviceTier").is_null() {
        one_of(&of("serviceTier")["type"], &["priority", "default", "flex", "reserved"], "serviceTier.type")?;
    }
    if let Some(config) = fields.get("outputConfig") {
        object(config, "textFormat effort", "outputConfig")?;
        let schema = config.pointer("/textFormat/structure/jsonSchema/schema");
        if !config["textFormat"].is_null() && !schema.is_some_and(Value::is_string) {
            return Err(invalid("outputConfig.textFormat.structure.jsonSchema.schema must be a text"));
        }
    }
    match of("additionalModelRequestFields") {
        Value::Null | Value::Object(_) => Ok(()),
        _ => Err(invalid("additionalModelRequestFields must be an object")),
    }
}

fn tools(config: &Value) -> Checked {
    object(config, "tools toolChoice", "toolConfig")?;
    let tools = list(&config["tools"], "toolConfig.tools")?;
    if tools.is_empty() {
        return Err(invalid("toolConfig.tools must not be empty"));
    }
    let mut names = Vec::new();
    for tool in tools {
        let (name, spec) = union(tool, "toolSpec systemTool cachePoint", "toolConfig.tools")?;
        if name != "toolSpec" {
            continue;
        }
        object(spec, "name description inputSchema strict", "toolSpec")?;
        names.push(text(&spec["name"], "toolSpec.name")?);
        if spec["description"].as_str().is_some_and(str::is_empty) {
            return Err(invalid("toolSpec.description must not be empty"));
        }
        let (_, schema) = union(&spec["inputSchema"], "json", "toolSpec.inputSchema")?;
        if schema["type"] != "object" {
            return Err(invalid(
                "The value at toolSpec.inputSchema.json.type must be one of the following: object.",
            ));
        }
    }
    if config["toolChoice"].is_null() {
        return Ok(());
    }
    let (kind, choice) = union(&config["toolChoice"], "auto any tool", "toolChoice")?;
    match kind == "tool" && !names.contains(&text(&choice["name"], "toolChoice.tool.name")?) {
        true => Err(invalid("toolChoice.tool names no tool")),
        false => Ok(()),
    }
}

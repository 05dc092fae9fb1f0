//! What Gemini refuses of a body (<https://ai.google.dev/api/generate-content>, <https://ai.google.dev/api/embeddings>,
//! <https://ai.google.dev/api/tokens>): unknown names at any level that the mock knows, roles, empty contents, function
//! turns out of order. Either spelling of a name is taken, as Google's readers do. Pure.

use serde_json::{Map, Value};

use crate::mock::call::Refusal;

/// Most requests of one batch.
const BATCH_MAX: usize = 100;

const REQUEST: &str = "model contents tools toolConfig safetySettings systemInstruction generationConfig cachedContent serviceTier store";
const GENERATION: &str = "stopSequences responseMimeType responseSchema responseJsonSchema _responseJsonSchema \
     responseModalities candidateCount maxOutputTokens temperature topP topK seed presencePenalty frequencyPenalty \
     responseLogprobs logprobs enableEnhancedCivicAnswers speechConfig thinkingConfig imageConfig mediaResolution";
const THINKING: &str = "includeThoughts thinkingBudget thinkingLevel";
/// What a part is: one of these.
const DATA: &str = "text inlineData fileData functionCall functionResponse executableCode codeExecutionResult toolCall toolResponse";
const PART: &str = "thought thoughtSignature videoMetadata partMetadata mediaResolution";
const TOOL: &str = "functionDeclarations googleSearch googleSearchRetrieval codeExecution urlContext computerUse \
     fileSearch googleMaps mcpServers";
const FUNCTION: &str =
    "name description behavior parameters parametersJsonSchema response responseJsonSchema";
const SCHEMA: &str = "type format title description nullable enum maxItems minItems properties required minProperties \
     maxProperties minLength maxLength pattern example anyOf propertyOrdering default items minimum maximum";
const EMBEDDING: &str = "model content taskType title outputDimensionality";

type Checked = Result<(), Refusal>;

/// A fault in the body, of this field.
pub(super) fn invalid(field: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { param: Some(field), ..Refusal::new(400, "INVALID_ARGUMENT", message) }
}

/// A name as Google's documents have it.
fn camel(name: &str) -> String {
    let mut words = name.split('_').filter(|_| !name.starts_with('_'));
    let mut camel = words.next().unwrap_or(name).to_owned();
    for word in words {
        let (first, rest) = word.split_at(word.len().min(1));
        camel.push_str(&first.to_ascii_uppercase());
        camel.push_str(rest);
    }
    camel
}

/// The field of this name, in either spelling.
pub(super) fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = object.as_object()?;
    fields.iter().find(|(key, _)| camel(key) == name).map(|(_, value)| value).filter(|value| !value.is_null())
}

/// Whether each name is known; `at` is where the object stands.
fn known(object: &Map<String, Value>, names: &str, at: &'static str) -> Checked {
    for name in object.keys() {
        if !names.split_ascii_whitespace().any(|known| known == camel(name)) {
            let place = if at.is_empty() { String::new() } else { format!(" at '{at}'") };
            let message =
                format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field.");
            return Err(invalid(at, message));
        }
    }
    Ok(())
}

fn object<'a>(value: &'a Value, at: &'static str) -> Result<&'a Map<String, Value>, Refusal> {
    value.as_object().ok_or_else(|| invalid(at, format!("Invalid value at '{at}': an object is wanted.")))
}

fn list<'a>(value: &'a Value, at: &'static str) -> Result<&'a Vec<Value>, Refusal> {
    value.as_array().ok_or_else(|| invalid(at, format!("Invalid value at '{at}': a list is wanted.")))
}

/// The body of generateContent, and of a count's `generateContentRequest`.
pub(super) fn generate(body: &Value, model: &str) -> Checked {
    known(object(body, "")?, REQUEST, "")?;
    named(body, model, false)?;
    let contents = field(body, "contents").map(|contents| list(contents, "contents")).transpose()?;
    let contents = contents
        .filter(|contents| !contents.is_empty())
        .ok_or_else(|| invalid("contents", "* GenerateContentRequest.contents: contents is not specified"))?;
    for content in contents {
        check_content(content, "contents", &["user", "model", "function"])?;
    }
    turns(contents)?;
    if let Some(system) = field(body, "systemInstruction") {
        check_content(system, "system_instruction", &["user", "system", "model"])?;
    }
    if let Some(config) = field(body, "generationConfig") {
        generation(config)?;
    }
    for tool in field(body, "tools").map_or(Ok(&Vec::new()), |tools| list(tools, "tools"))? {
        known(object(tool, "tools")?, TOOL, "tools")?;
        for function in field(tool, "functionDeclarations").and_then(Value::as_array).into_iter().flatten() {
            declaration(function)?;
        }
    }
    field(body, "toolConfig").map_or(Ok(()), tool_config)
}

fn generation(config: &Value) -> Checked {
    known(object(config, "generation_config")?, GENERATION, "generation_config")?;
    if let Some(thinking) = field(config, "thinkingConfig") {
        const AT: &str = "generation_config.thinking_config";
        known(object(thinking, AT)?, THINKING, AT)?;
        if field(thinking, "thinkingBudget").is_some() && field(thinking, "thinkingLevel").is_some() {
            return Err(invalid(AT, "You can only set only one of thinking budget and thinking level."));
        }
    }
    if field(config, "candidateCount").and_then(Value::as_u64).unwrap_or(1) != 1 {
        return Err(invalid("generation_config", "Multiple candidates is not enabled for this model"));
    }
    let schema = field(config, "responseSchema");
    let json = field(config, "responseJsonSchema").or_else(|| config.get("_responseJsonSchema"));
    let mime_type = field(config, "responseMimeType").and_then(Value::as_str).unwrap_or("text/plain");
    if (schema.is_some() || json.is_some()) && !matches!(mime_type, "application/json" | "text/x.enum") {
        let message =
            "The response schema is only allowed with the mime types application/json and text/x.enum";
        return Err(invalid("generation_config.response_schema", message));
    }
    schema.map_or(Ok(()), |schema| check_schema(schema, "generation_config.response_schema"))
}

fn declaration(function: &Value) -> Checked {
    const AT: &str = "tools.function_declarations";
    known(object(function, AT)?, FUNCTION, AT)?;
    let name = field(function, "name").and_then(Value::as_str).unwrap_or_default();
    let is_name = |char: char| char.is_ascii_alphanumeric() || "_.:-".contains(char);
    let begins = name.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_');
    if !begins || name.len() > 64 || !name.chars().all(is_name) {
        return Err(invalid(AT, "Invalid function name. Must start with a letter or an underscore."));
    }
    match (field(function, "parameters"), field(function, "parametersJsonSchema")) {
        (Some(_), Some(_)) => Err(invalid(AT, "parameters and parameters_json_schema exclude each other")),
        (Some(schema), None) => check_schema(schema, "tools.function_declarations.parameters"),
        _ => Ok(()),
    }
}

/// Google's own subset of OpenAPI's schemas.
fn check_schema(schema: &Value, at: &'static str) -> Checked {
    known(object(schema, at)?, SCHEMA, at)?;
    let properties = field(schema, "properties").and_then(Value::as_object).into_iter().flatten();
    let options = field(schema, "anyOf").and_then(Value::as_array).into_iter().flatten();
    let inner = properties.map(|(_, schema)| schema).chain(options).chain(field(schema, "items"));
    inner.into_iter().try_for_each(|schema| check_schema(schema, at))
}

fn tool_config(config: &Value) -> Checked {
    const AT: &str = "tool_config";
    known(object(config, AT)?, "functionCallingConfig retrievalConfig includeServerSideToolInvocations", AT)?;
    let Some(calling) = field(config, "functionCallingConfig") else { return Ok(()) };
    known(object(calling, AT)?, "mode allowedFunctionNames streamFunctionCallArguments", AT)?;
    let mode = field(calling, "mode").and_then(Value::as_str).unwrap_or("AUTO");
    if !matches!(mode, "AUTO" | "ANY" | "NONE" | "VALIDATED") {
        return Err(invalid(
            AT,
            format!("Invalid value at 'tool_config.function_calling_config.mode': {mode}"),
        ));
    }
    if field(calling, "allowedFunctionNames").is_some() && !matches!(mode, "ANY" | "VALIDATED") {
        return Err(invalid(
            AT,
            "allowed_function_names should only be set when the function calling mode is ANY.",
        ));
    }
    Ok(())
}

fn check_content(content: &Value, at: &'static str, roles: &[&str]) -> Checked {
    known(object(content, at)?, "role parts", at)?;
    let role = field(content, "role").map(|role| role.as_str().unwrap_or_default());
    if !role.is_none_or(|role| roles.contains(&role)) {
        return Err(invalid(at, "Please use a valid role: user, model."));
    }
    let parts = field(content, "parts").map(|parts| list(parts, at)).transpose()?;
    let parts = parts.filter(|parts| !parts.is_empty());
    parts
        .ok_or_else(|| invalid(at, format!("{at}.parts must not be empty.")))?
        .iter()
        .try_for_each(check_part)
}

fn check_part(part: &Value) -> Checked {
    const AT: &str = "contents.parts";
    let fields = object(part, AT)?;
    known(fields, &format!("{DATA} {PART}"), AT)?;
    let is_data = |name: &&String| DATA.split_ascii_whitespace().any(|data| data == camel(name));
    if fields.keys().filter(is_data).count() != 1 {
        return Err(invalid(
            AT,
            "contents.parts.data: required oneof field 'data' must have one initialized field",
        ));
    }
    let named = |inner: &str, names: &str| {
        let Some(value) = field(part, inner) else { return Ok(()) };
        known(object(value, AT)?, names, AT)
    };
    named("inlineData", "mimeType data displayName")?;
    named("fileData", "mimeType fileUri displayName")?;
    named("functionCall", "id name args partialArgs willContinue")?;
    named("functionResponse", "id name response parts willContinue scheduling")?;
    let args = field(part, "functionCall").and_then(|call| field(call, "args"));
    let response = field(part, "functionResponse").map(|response| field(response, "response"));
    if args.is_some_and(|args| !args.is_object())
        || response.is_some_and(|it| !it.is_some_and(Value::is_object))
    {
        return Err(invalid(AT, "Invalid value at 'contents.parts': a struct is wanted."));
    }
    Ok(())
}

/// Names of the calls or of the responses in a turn.
fn functions<'a>(content: &'a Value, kind: &'a str) -> Vec<&'a str> {
    let parts = field(content, "parts").and_then(Value::as_array).into_iter().flatten();
    let found = parts.filter_map(|part| field(part, kind));
    found.map(|function| field(function, "name").and_then(Value::as_str).unwrap_or_default()).collect()
}

/// A response turn comes right behind its call turn, with as many parts; a call turn right behind a user's or a response's.
fn turns(contents: &[Value]) -> Checked {
    let mut before: Option<&Value> = None;
    for content in contents {
        let responses = functions(content, "functionResponse");
        if !responses.is_empty() {
            let mut called = before.map(|before| functions(before, "functionCall")).unwrap_or_default();
            if called.is_empty() {
                let message =
                    "Please ensure that function response turn comes immediately after a function call turn.";
                return Err(invalid("contents", message));
            }
            let mut responses = responses;
            called.sort_unstable();
            responses.sort_unstable();
            if called != responses {
                let message = "Please ensure that the number of function response parts is equal to the number of \
                     function call parts of the function call turn.";
                return Err(invalid("contents", message));
            }
        }
        let role = before.and_then(|before| field(before, "role")).and_then(Value::as_str).unwrap_or("user");
        if !functions(content, "functionCall").is_empty() && (before.is_none() || role == "model") {
            let message = "Please ensure that function call turn comes immediately after a user turn or after a \
                 function response turn.";
            return Err(invalid("contents", message));
        }
        before = Some(content);
    }
    Ok(())
}

/// The model that a body names must be the path's, `models/` before it.
fn named(body: &Value, model: &str, is_required: bool) -> Checked {
    match field(body, "model").map(|name| name.as_str().and_then(|name| name.strip_prefix("models/"))) {
        None if !is_required => Ok(()),
        Some(Some(name)) if name == model => Ok(()),
        _ => Err(invalid("model", "The model in the request does not match the model in the path.")),
    }
}

/// The body of countTokens: contents, or a whole request.
pub(super) fn count<'a>(body: &'a Value, model: &str) -> Result<&'a Value, Refusal> {
    known(object(body, "")?, "model contents generateContentRequest", "")?;
    let Some(request) = field(body, "generateContentRequest") else {
        generate(body, model)?;
        return Ok(body);
    };
    if field(body, "contents").is_some() {
        return Err(invalid("contents", "contents and generate_content_request exclude each other"));
    }
    named(request, model, true)?;
    generate(request, model)?;
    Ok(request)
}

/// The body of embedContent, or one of a batch, which must name its model.
pub(super) fn embed(body: &Value, model: &str, is_required: bool) -> Checked {
    known(object(body, "requests")?, EMBEDDING, "")?;
    named(body, model, is_required)?;
    let content = field(body, "content").ok_or_else(|| invalid("content", "content is required"))?;
    check_content(content, "content", &["user", "model"])
}

/// The requests of a batch.
pub(super) fn batch<'a>(body: &'a Value, model: &str) -> Result<&'a [Value], Refusal> {
    known(object(body, "")?, "requests model", "")?;
    let requests = list(field(body, "requests").unwrap_or(&Value::Null), "requests")?;
    if requests.is_empty() || requests.len() > BATCH_MAX {
        return Err(invalid(
            "requests",
            "BatchEmbedContentsRequest.requests: 1 to 100 requests can be in one batch",
        ));
    }
    requests.iter().try_for_each(|request| embed(request, model, true))?;
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(body: Value) -> String {
        generate(&body, "m").map_or_else(|refusal| refusal.message, |()| String::new())
    }

    #[test]
    fn names_are_known_in_either_spelling() {
        let text = json!([{"parts": [{"text": "a"}]}]);
        assert_eq!(refused(json!({"contents": text, "generation_config": {"max_output_tokens": 5}})), "");
        assert_eq!(refused(json!({"contents": text, "model": "models/m"})), "");
        for (field, value) in [
            ("fallbacks", json!([])),
            ("messages", json!([])),
            ("generationConfig", json!({"max_tokens": 5})),
            ("tools", json!([{"function": {}}])),
            (
                "tools",
                json!([{"functionDeclarations": [{"name": "f", "parameters": {"additionalProperties": false}}]}]),
            ),
            ("toolConfig", json!({"functionCallingConfig": {"mode": "auto"}})),
            ("toolConfig", json!({"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["f"]}})),
            ("generationConfig", json!({"responseSchema": {"type": "STRING"}})),
            ("model", json!("m")),
            ("contents", json!([])),
            ("contents", json!([{"role": "assistant", "parts": [{"text": "a"}]}])),
            ("contents", json!([{"role": "user", "parts": []}])),
            ("contents", json!([{"role": "user", "parts": [{"text": "a", "inlineData": {}}]}])),
            ("contents", json!([{"role": "user", "parts": [{"thoughtSignature": "QQ=="}]}])),
        ] {
            let mut body = json!({"contents": text});
            body[field] = value;
            assert_ne!(refused(body.clone()), "", "{body}");
        }
    }

    #[test]
    fn function_turns_stand_in_their_order() {
        let user = json!({"role": "user", "parts": [{"text": "a"}]});
        let call = json!({"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]});
        let response =
            json!({"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]});
        assert_eq!(refused(json!({"contents": [user, call, response]})), "");
        for contents in [
            json!([user, response]),
            json!([call, response]),
            json!([user, call, user, response]),
            json!([user, call, {"role": "user", "parts": [response["parts"][0], response["parts"][0]]}]),
            json!([user, {"role": "model", "parts": [{"text": "x"}]}, call]),
        ] {
            assert_ne!(refused(json!({ "contents": contents })), "", "{contents}");
        }
    }

    #[test]
    fn a_batch_names_its_model_each_time() {
        let one = |model: &str| json!({"model": model, "content": {"parts": [{"text": "a"}]}});
        assert_eq!(batch(&json!({"requests": [one("models/m")]}), "m").map(<[Value]>::len), Ok(1));
        assert!(batch(&json!({"requests": [one("models/m"), one("models/gemini/m")]}), "m").is_err());
        assert!(batch(&json!({"requests": [{"content": {"parts": [{"text": "a"}]}}]}), "m").is_err());
        let request = json!({"generateContentRequest": {"contents": [{"parts": [{"text": "a"}]}]}});
        assert!(count(&request, "m").is_err(), "it names no model");
    }
}

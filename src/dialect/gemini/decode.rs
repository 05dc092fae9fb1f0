//! A generateContent request (<https://ai.google.dev/api/generate-content>) as bytes to [`Request`]; the way back is
//! `request`'s. Model and streaming stand in the path and are not read here. Google's JSON takes each key in camelCase and
//! in snake_case, and one object where a list is expected; so do we.

mod config;
mod content;
mod schema;
mod tools;

use std::borrow::Cow;

use crate::chat::{Request, ServiceTier};
use crate::dialect::dropped;
use crate::dialect::fault::wrong;
use crate::dialect::json::{self, Span, Text};
use crate::error::{Error, Kind};

/// Decodes a request body.
pub(in crate::dialect) fn decode(body: &[u8]) -> Result<Request<'_>, Error> {
    let mut request = Request::default();
    let (mut contents, mut system) = (None, None);
    for (name, value) in json::fields(body)? {
        match &*camel(&name) {
            "contents" => contents = Some(value),
            "systemInstruction" => system = Some(value),
            _ => field(&mut request, &name, value)?,
        }
    }
    if let Some(system) = system {
        content::system(system, &mut request)?;
    }
    let Some(contents) = contents else {
        return Err(wrong("contents", "is required: it holds the conversation"));
    };
    content::decode_all(contents, &mut request)?;
    Ok(request)
}

fn field<'a>(request: &mut Request<'a>, name: &str, value: Span<'a>) -> Result<(), Error> {
    match &*camel(name) {
        "model" | "fallbacks" => {}
        "tools" => tools::decode_all(value, request)?,
        "toolConfig" => tools::config(value, request)?,
        "generationConfig" => config::decode(value, request)?,
        "serviceTier" => request.service_tier = service_tier(value)?,
        // What it holds is a part of the conversation.
        "cachedContent" => {
            let message = "`cachedContent` is kept by Google and not translated to this provider; send it in `contents`";
            return Err(Error::new(Kind::UnsupportedParameter, message).with_param("cachedContent"));
        }
        "safetySettings" => dropped::once(&mut request.dropped, "safetySettings"),
        "labels" => dropped::once(&mut request.dropped, "labels"),
        _ => request.dropped.push(Cow::Owned(name.to_owned())),
    }
    Ok(())
}

/// <https://ai.google.dev/gemini-api/docs/flex-inference>.
fn service_tier(value: Span<'_>) -> Result<Option<ServiceTier>, Error> {
    let Text(word) = value.parse(&"serviceTier")?;
    match &*word.to_ascii_lowercase() {
        "standard" => Ok(Some(ServiceTier::Standard)),
        "flex" => Ok(Some(ServiceTier::Flex)),
        "priority" => Ok(Some(ServiceTier::Priority)),
        "unspecified" | "service_tier_unspecified" => Ok(None),
        _ => Err(wrong("serviceTier", "must be standard, flex or priority")),
    }
}

/// The name in a Gemini caller's words of what another dialect's encode half leaves out or refuses.
fn caller_name(name: &str) -> Cow<'_, str> {
    let own = match name {
        "temperature" => "generationConfig.temperature",
        "top_p" => "generationConfig.topP",
        "top_k" => "generationConfig.topK",
        "seed" => "generationConfig.seed",
        "presence_penalty" => "generationConfig.presencePenalty",
        "frequency_penalty" => "generationConfig.frequencyPenalty",
        "max_tokens" | "max_completion_tokens" => "generationConfig.maxOutputTokens",
        "stop" | "stop_sequences" => "generationConfig.stopSequences",
        "n" => "generationConfig.candidateCount",
        "logprobs" => "generationConfig.responseLogprobs",
        "modalities" | "audio" => "generationConfig.responseModalities",
        "reasoning" | "reasoning_effort" | "thinking" | "output_config.effort" => {
            "generationConfig.thinkingConfig"
        }
        "response_format" | "output_config.format" => "generationConfig.responseSchema",
        "tool_choice" => "toolConfig",
        "service_tier" => "serviceTier",
        "messages" => "contents",
        "messages.content.thinking" | "messages.reasoning_details" | "messages.reasoning" => {
            "contents.parts.thought"
        }
        _ => return Cow::Owned(caller_path(name)),
    };
    Cow::Borrowed(own)
}

/// The same for all that was left out.
pub(in crate::dialect) fn caller_names(names: Vec<String>) -> Vec<String> {
    names.iter().map(|name| caller_name(name).into_owned()).collect()
}

/// An error of another dialect's encode half, which counts messages and their content, in a Gemini caller's words.
pub(in crate::dialect) fn in_caller_words(mut error: Error) -> Error {
    let Some(param) = error.param.take() else { return error };
    let own = caller_name(&param).into_owned();
    error.message = error.message.replace(&format!("`{param}`"), &format!("`{own}`")).into();
    error.with_param(own)
}

/// Which call or result of a turn is meant, a neutral path does not say.
fn caller_path(words: &str) -> String {
    let words = words.replace("messages[", "contents[").replace("].content[", "].parts[");
    match words.split_once("].") {
        Some((turn, "content" | "tool_calls" | "tool_call_id")) => format!("{turn}].parts"),
        _ => words,
    }
}

/// A key of Google's in the spelling of its documents.
pub(super) fn camel(name: &str) -> Cow<'_, str> {
    if !name.contains('_') {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len());
    let mut is_raised = false;
    for one in name.chars() {
        // One at the start is a part of the name.
        if one == '_' && !out.is_empty() {
            is_raised = true;
        } else {
            out.push(if is_raised { one.to_ascii_uppercase() } else { one });
            is_raised = false;
        }
    }
    Cow::Owned(out)
}

/// The fields of an object, nulls left out.
pub(super) fn members<'a>(value: Span<'a>, path: &str) -> Result<Vec<(Cow<'a, str>, Span<'a>)>, Error> {
    if value.first() != b'{' {
        return Err(wrong(path, "must be an object"));
    }
    json::fields(value.raw().0.as_bytes())
}

/// The items of a list, or the one that stands in its place.
pub(super) fn items<'a>(value: Span<'a>, path: &dyn std::fmt::Display) -> Result<Vec<Span<'a>>, Error> {
    if value.first() == b'{' { Ok(vec![value]) } else { value.parse(path) }
}

#[cfg(test)]
mod tests;

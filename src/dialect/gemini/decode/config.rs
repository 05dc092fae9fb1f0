//! `generationConfig` of a generateContent request (<https://ai.google.dev/api/generate-content#generationconfig>).

use std::borrow::Cow;

use serde::Deserialize;

use super::{camel, members, schema};
use crate::chat::{Effort, Format, Reasoning, Request};
use crate::dialect::fault::{refused, wrong};
use crate::dialect::json::{Span, Text};
use crate::error::Error;

const PATH: &str = "generationConfig";

/// What of the format has been read; its keys come in any order.
#[derive(Default)]
struct Wanted<'a> {
    media_type: Option<Cow<'a, str>>,
    schema: Option<Cow<'a, str>>,
}

/// Decodes it into `request`.
pub(super) fn decode<'a>(value: Span<'a>, request: &mut Request<'a>) -> Result<(), Error> {
    let mut wanted = Wanted::default();
    for (name, value) in members(value, PATH)? {
        let path = format!("{PATH}.{name}");
        match &*camel(&name) {
            "responseMimeType" => wanted.media_type = Some(value.parse::<Text<'a>>(&path)?.0),
            "responseSchema" => wanted.schema = Some(Cow::Owned(schema::translated(value, &path)?)),
            "responseJsonSchema" | "_responseJsonSchema" => {
                wanted.schema = Some(Cow::Borrowed(value.raw().0));
            }
            "thinkingConfig" => request.reasoning = Some(reasoning(value, &path)?),
            "responseModalities" => modalities(value, &path, request)?,
            name => field(name, value, &path, request)?,
        }
    }
    request.format = format(wanted)?;
    Ok(())
}

fn field<'a>(name: &str, value: Span<'a>, path: &str, request: &mut Request<'a>) -> Result<(), Error> {
    match name {
        "temperature" => request.temperature = Some(value.number(&path)?),
        "topP" => request.top_p = Some(value.number(&path)?),
        "topK" => request.top_k = Some(value.number(&path)?),
        "seed" => request.seed = Some(value.number(&path)?),
        "presencePenalty" => request.presence_penalty = Some(value.number(&path)?),
        "frequencyPenalty" => request.frequency_penalty = Some(value.number(&path)?),
        "maxOutputTokens" => request.max_tokens = Some(value.parse(&path)?),
        "candidateCount" => request.choices = Some(value.parse(&path)?),
        "responseLogprobs" => request.logprobs = value.parse(&path)?,
        "stopSequences" => {
            let texts: Vec<Text<'a>> = value.parse(&path)?;
            request.stop = texts.into_iter().map(|text| text.0).collect();
        }
        _ => request.dropped.push(Cow::Owned(path.to_owned())),
    }
    Ok(())
}

fn modalities(value: Span<'_>, path: &str, request: &mut Request<'_>) -> Result<(), Error> {
    for Text(one) in value.parse::<Vec<Text<'_>>>(&path)? {
        match &*one.to_ascii_uppercase() {
            "TEXT" | "MODALITY_UNSPECIFIED" => {}
            "AUDIO" => request.audio = true,
            _ => {
                return Err(refused(
                    path,
                    "may hold TEXT only where a request is translated to another provider",
                ));
            }
        }
    }
    Ok(())
}

fn format(wanted: Wanted<'_>) -> Result<Format<'_>, Error> {
    match (wanted.media_type.as_deref(), wanted.schema) {
        (None | Some("text/plain"), None) => Ok(Format::Text),
        (Some("application/json"), None) => Ok(Format::JsonObject),
        (None | Some("application/json"), Some(schema)) => {
            if !schema.starts_with('{') {
                return Err(wrong("generationConfig.responseJsonSchema", "must be an object"));
            }
            Ok(Format::JsonSchema { name: None, description: None, schema, strict: None })
        }
        _ => Err(refused(
            "generationConfig.responseMimeType",
            "must be text/plain or application/json where a request is translated to another provider",
        )),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireThinking<'a> {
    #[serde(alias = "include_thoughts")]
    include_thoughts: Option<bool>,
    #[serde(alias = "thinking_budget")]
    thinking_budget: Option<i64>,
    #[serde(borrow, alias = "thinking_level")]
    thinking_level: Option<Text<'a>>,
}

/// A budget of 0 is no thinking, one below is as much as the model likes
/// (<https://ai.google.dev/gemini-api/docs/thinking#set-budget>).
fn reasoning(value: Span<'_>, path: &str) -> Result<Reasoning, Error> {
    let wire: WireThinking<'_> = value.parse(&path)?;
    let level = wire.thinking_level.map(|text| text.0.to_ascii_uppercase());
    let effort = match level.as_deref() {
        None | Some("THINKING_LEVEL_UNSPECIFIED") => None,
        Some("MINIMAL") => Some(Effort::Minimal),
        Some("LOW") => Some(Effort::Low),
        Some("MEDIUM") => Some(Effort::Medium),
        Some("HIGH") => Some(Effort::High),
        Some(_) => {
            return Err(wrong(format_args!("{path}.thinkingLevel"), "must be MINIMAL, LOW, MEDIUM or HIGH"));
        }
    };
    let budget_tokens = wire.thinking_budget.and_then(|budget| u64::try_from(budget).ok());
    Ok(Reasoning {
        effort: if budget_tokens == Some(0) { Some(Effort::None) } else { effort },
        budget_tokens: budget_tokens.filter(|budget| *budget > 0),
        is_shown: wire.include_thoughts,
    })
}

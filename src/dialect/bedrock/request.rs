//! A neutral request to the bytes of a Converse request; the way back is `decode`'s. The turns are `message`'s. What Converse
//! has no word for is left out and named; what would change the answer's shape is refused.

mod metadata;
mod tools;
mod tuning;

use std::borrow::Cow;

use self::tools::Tools;
use self::tuning::Tuning;
use super::message::{self, Writer};
use super::model::Family;
use super::tier_word;
use crate::chat::{Format, Raw, Request};
use crate::dialect::dropped::named_once;
use crate::dialect::json::Object;
use crate::error::{Error, Kind};

/// Top-level keys of Converse's own that a caller of another dialect may add to a request. The rest of [`Request::extra`]
/// is dropped, but for `additionalModelRequestFields` and `requestMetadata`, which are merged with what we say there.
const OWN_KEYS: [&str; 4] =
    ["guardrailConfig", "performanceConfig", "promptVariables", "additionalModelResponseFieldPaths"];

/// The key of what only some models take.
const ADDITIONAL: &str = "additionalModelRequestFields";
/// The key of the caller's own notes.
const METADATA: &str = "requestMetadata";

/// Encodes a request for `model`; also gives what was left out. Model and streaming stand in the path, so the last is not
/// looked at; the first tells which words the model takes.
pub(in crate::dialect) fn encode(
    request: &Request<'_>,
    model: &str,
    _stream: bool,
) -> Result<(Vec<u8>, Vec<String>), Error> {
    refuse_other_shapes(request)?;
    let family = Family::of(model);
    let turns = message::turns(&request.messages, family)?;
    let mut dropped: Vec<String> = request.dropped.iter().map(|path| path.clone().into_owned()).collect();
    message::name_left_out(&request.messages, family, &mut dropped);
    let tools = Tools::of(request, model, &mut dropped)?;
    let tuning = Tuning::of(request, model, tools.is_forced(), &mut dropped);
    let mut writer = Writer::new(family);
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::begin(&mut out);
    writer.write_system(&mut body, &request.messages)?;
    writer.write_turns(&mut body, &turns)?;
    tuning.write_inference(&mut body, request, &mut dropped);
    tools.write(&mut body, &writer);
    tuning.write_additional(&mut body, extra(request, ADDITIONAL), &mut dropped);
    metadata::write(&mut body, request, &mut dropped);
    write_output(&mut body, request, family.takes_schemas(model), &tuning, &mut dropped);
    write_rest(&mut body, request, &mut dropped);
    body.end();
    Ok((out, dropped))
}

/// The value of a key that has no neutral word.
fn extra<'a>(request: &Request<'a>, name: &str) -> Option<Raw<'a>> {
    request.extra.iter().find(|(one, _)| one == name).map(|(_, value)| *value)
}

fn refuse_other_shapes(request: &Request<'_>) -> Result<(), Error> {
    let refused = |param: &'static str, message: &'static str| {
        Err(Error::new(Kind::UnsupportedParameter, message).with_param(param))
    };
    if request.choices.is_some_and(|choices| choices > 1) {
        return refused("n", "Bedrock gives one answer per request; leave `n` out or send several requests");
    }
    if request.logprobs {
        return refused("logprobs", "Bedrock reports no token probabilities; leave `logprobs` out");
    }
    if request.audio {
        return refused("modalities", "Bedrock's Converse gives no audio; ask for `[\"text\"]`");
    }
    Ok(())
}

/// A schema stands here as a text of JSON. Where the model takes none, `tools` has the answer asked for by a tool.
fn write_output(
    body: &mut Object<'_>,
    request: &Request<'_>,
    takes_schemas: bool,
    tuning: &Tuning,
    dropped: &mut Vec<String>,
) {
    let schema = match &request.format {
        Format::JsonSchema { name, description, schema, .. } if takes_schemas => {
            Some((name, description, schema))
        }
        // The mode asks that the conversation itself speak of JSON, and so the model is told.
        Format::JsonObject => {
            named_once(dropped, "response_format");
            None
        }
        _ => None,
    };
    if schema.is_none() && tuning.effort().is_none() {
        return;
    }
    let mut config = Object::begin(body.field("outputConfig"));
    if let Some((name, description, schema)) = schema {
        let mut format = Object::begin(config.field("textFormat"));
        format.text("type", "json_schema");
        let mut structure = Object::begin(format.field("structure"));
        let mut json = Object::begin(structure.field("jsonSchema"));
        json.text("schema", schema);
        let text_if = |json: &mut Object<'_>, key: &str, value: &Option<Cow<'_, str>>| {
            if let Some(value) = value {
                json.text(key, value);
            }
        };
        text_if(&mut json, "name", name);
        text_if(&mut json, "description", description);
        json.end();
        structure.end();
        format.end();
    }
    if let Some(effort) = tuning.effort() {
        config.text("effort", effort);
    }
    config.end();
}

/// Whether a key is one of Converse's own that has no neutral word.
pub(in crate::dialect) fn is_own(name: &str) -> bool {
    OWN_KEYS.contains(&name) || name == ADDITIONAL || name == METADATA
}

fn write_rest(body: &mut Object<'_>, request: &Request<'_>, dropped: &mut Vec<String>) {
    if let Some(word) = request.service_tier.and_then(tier_word) {
        body.tagged("serviceTier", word);
    }
    for (name, value) in &request.extra {
        match &**name {
            own if OWN_KEYS.contains(&own) => body.raw(own, *value),
            ADDITIONAL | METADATA => {}
            _ => dropped.push(name.clone().into_owned()),
        }
    }
    for (is_said, name) in [
        (request.seed.is_some(), "seed"),
        (request.presence_penalty.is_some(), "presence_penalty"),
        (request.frequency_penalty.is_some(), "frequency_penalty"),
        (request.parallel_tool_calls == Some(false) && !request.tools.is_empty(), "parallel_tool_calls"),
    ] {
        if is_said {
            named_once(dropped, name);
        }
    }
}

//! The JSON Schema (draft 2020-12) of the files that this version reads, made from the words that validate them (`file`), so
//! that an editor knows each key, its bounds, and what becomes of it. It is never stricter than the reader; what values mean
//! together is beyond it, and `check`'s.

use serde_json::{Map, Value, json};

use super::file::{
    ALIAS, CONFIG_STORE, Effect, FALLBACK, Key, Kind, LOGS_STORE, POSTGRES, PROVIDER, REFERENCE, ROOT,
    SQLITE, When,
};
use super::snapshot::FALLBACKS_MAX;
use crate::provider;

/// The whole schema.
pub fn schema() -> Value {
    let mut schema = object(ROOT, Depth::Effects);
    let about = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("config.json of corelane {}", env!("CARGO_PKG_VERSION")),
        "description": "Unknown keys are accepted with a warning. What values mean together is for `corelane check`.",
        "required": ["providers"],
        "$defs": definitions(),
    });
    let about = if let Value::Object(about) = about { about } else { Map::new() };
    schema.extend(about);
    Value::Object(schema)
}

/// What is said of the keys of an object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Their types, and that those which are refused ask for nothing.
    Effects,
    /// Their types.
    Types,
    /// Their types; the section has no effect as a whole, or is refused.
    WithinSection,
}

/// What is referred to more than once.
fn definitions() -> Value {
    let reference = object(REFERENCE, Depth::Types);
    let text = json!({ "type": "string", "description": FORMS });
    let duration = json!([
        { "type": "integer", "description": "Milliseconds, unless the key's name says seconds." },
        { "type": "string", "description": "A span as Go writes it: \"500ms\", \"5s\", \"1m30s\"." },
    ]);
    json!({
        "reference": { "anyOf": [text, reference] },
        "reference_or_integer": { "anyOf": [text, { "type": "integer", "minimum": 0 }, reference] },
        "duration": { "anyOf": duration },
        "duration_or_off": { "anyOf": duration }, // "off" is a string, too
        "alias": { "anyOf": [{ "type": "string" }, with(object(ALIAS, Depth::Effects), "required", json!(["model_id"]))] },
        "asks_for_nothing": asks_for_nothing(),
        "targets": targets(),
        "provider": served_provider(),
        "own_place_provider": own_place_provider(),
        "unserved_provider": built_in(json!({ "$ref": "#/$defs/unserved_settings" })),
        "settings": object(PROVIDER, Depth::Effects),
        "unserved_settings": object(PROVIDER, Depth::Types),
        "custom_provider": custom_provider(),
    })
}

const FORMS: &str =
    "The value itself, \"env.NAME\" (a variable), or \"file:/absolute/path\" (a file's text).";

/// The fallbacks of one model.
fn targets() -> Value {
    let text = json!({ "type": "string", "pattern": "/", "description": "\"provider/model\", or \"provider/\" for the same model." });
    let target = with(object(FALLBACK, Depth::Effects), "required", json!(["provider"]));
    json!({ "type": "array", "maxItems": FALLBACKS_MAX, "items": { "anyOf": [text, target] } })
}

/// The opposite of what `validate::asks` looks for.
fn asks_for_nothing() -> Value {
    let nothing = json!({ "$ref": "#/$defs/asks_for_nothing" });
    let off = |name: &str| json!({ "required": [name], "properties": { name: { "const": false } } });
    json!({ "anyOf": [
        { "enum": [null, false, 0, ""] },
        { "type": "array", "items": { "type": "object", "allOf": [nothing] } },
        { "type": "object", "anyOf": [off("enabled"), off("is_enabled"), { "additionalProperties": nothing }] },
    ] })
}

/// One that requests are sent to.
fn served_provider() -> Value {
    built_in(json!({ "$ref": "#/$defs/settings", "required": ["keys"] }))
}

/// The same, where the operator's own server needs no key: its place stands in `base_url` then.
fn own_place_provider() -> Value {
    let base_url = json!({ "required": ["base_url"], "properties": { "base_url": { "type": "string", "minLength": 1 } } });
    let is_placed = json!({ "required": ["network_config"], "properties": { "network_config": base_url } });
    built_in(json!({
        "allOf": [{ "$ref": "#/$defs/settings" }],
        "anyOf": [{ "required": ["keys"] }, is_placed],
    }))
}

/// A provider that we know by name has no `custom_provider_config`.
fn built_in(schema: Value) -> Value {
    json!({ "allOf": [schema, { "properties": { "custom_provider_config": { "type": "null" } } }] })
}

/// One that the file defines. Based on a provider that is not served, nothing of it has an effect.
fn custom_provider() -> Value {
    let custom = |condition: Value| json!({ "properties": { "custom_provider_config": condition } });
    let is_served = json!({ "properties": { "base_provider_type": { "pattern": "^(?:[Oo][Pp][Ee][Nn][Aa][Ii]|[Aa][Nn][Tt][Hh][Rr][Oo][Pp][Ii][Cc]|[Gg][Ee][Mm][Ii][Nn][Ii])$" } } });
    let has_keys = json!({ "required": ["is_key_less"], "properties": { "is_key_less": { "const": true } } });
    json!({
        "allOf": [{ "$ref": "#/$defs/unserved_settings" }],
        "required": ["custom_provider_config"],
        "if": custom(is_served),
        "then": { "allOf": [
            { "$ref": "#/$defs/settings" },
            { "anyOf": [custom(has_keys), { "required": ["keys"] }] },
        ] },
    })
}

/// Names are read without regard to case, which a pattern can only say letter by letter.
fn providers() -> Value {
    let any_case = |name: &str| -> String {
        let letter = |char: char| match char.is_ascii_alphabetic() {
            true => format!("[{}{char}]", char.to_ascii_uppercase()),
            false => char.to_string(),
        };
        format!("^{}$", name.chars().map(letter).collect::<String>())
    };
    let patterns = provider::names().filter_map(provider::find).map(|entry| {
        let schema = match entry.dialect {
            Some(_) if entry.place_section.is_some() => json!({ "$ref": "#/$defs/own_place_provider" }),
            Some(_) => json!({ "$ref": "#/$defs/provider" }),
            None => json!({ "$ref": "#/$defs/unserved_provider" }),
        };
        (any_case(entry.name), schema)
    });
    json!({
        "type": "object",
        "minProperties": 1,
        "patternProperties": patterns.collect::<Map<String, Value>>(),
        "additionalProperties": { "$ref": "#/$defs/custom_provider" },
    })
}

/// Which keys `config` has follows from `type`, and that they are needed from `enabled`.
fn logs_store() -> Value {
    let is_on = json!({ "required": ["enabled"], "properties": { "enabled": { "const": true } } });
    let of_type = |kind: &str, keys: &[Key], required: Value| {
        let config = with(object(keys, Depth::Effects), "required", required);
        json!({
            "if": { "required": ["type"], "properties": { "type": { "const": kind } } },
            "then": { "properties": { "config": config } },
        })
    };
    let mut schema = object(LOGS_STORE, Depth::Types);
    schema.insert("if".to_owned(), is_on);
    let then = json!({
        "required": ["type", "config"],
        "allOf": [
            object(LOGS_STORE, Depth::Effects),
            { "properties": { "type": { "enum": ["sqlite", "postgres"] } } },
            of_type("sqlite", SQLITE, json!(["path"])),
            of_type("postgres", POSTGRES, json!(["host", "user", "db_name"])),
        ],
    });
    schema.insert("then".to_owned(), then);
    Value::Object(schema)
}

/// An object of which readers have the words, and the table only that it is one.
fn tied(name: &str) -> Option<Value> {
    Some(match name {
        "providers" => providers(),
        "logs_store" => logs_store(),
        "config_store" => Value::Object(object(CONFIG_STORE, Depth::Effects)),
        "aliases" => json!({ "type": "object", "additionalProperties": { "$ref": "#/$defs/alias" } }),
        _ => return None,
    })
}

fn object(keys: &[Key], depth: Depth) -> Map<String, Value> {
    let properties = keys.iter().map(|key| (key.name.to_owned(), described(key, depth)));
    let mut object = Map::new();
    object.insert("type".to_owned(), Value::from("object"));
    object.insert("properties".to_owned(), Value::Object(properties.collect()));
    object.insert("additionalProperties".to_owned(), Value::from(true));
    object
}

fn with(mut object: Map<String, Value>, name: &str, value: Value) -> Value {
    object.insert(name.to_owned(), value);
    Value::Object(object)
}

/// The schema of one key: its type, or `null`, which is the same as left out; and what we do with it.
fn described(key: &Key, depth: Depth) -> Value {
    let within = match key.effect {
        Effect::Honoured => depth,
        _ => Depth::WithinSection,
    };
    let is_needed = key.name == "providers" && matches!(key.kind, Kind::AnyObject);
    let mut schema = match is_needed {
        true => kind(key, within),
        false => json!({ "anyOf": [{ "type": "null" }, kind(key, within)] }),
    };
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), Value::from(description(key, depth)));
        if let Effect::Refused(when, _) = key.effect
            && depth == Depth::Effects
        {
            let refused = match when {
                When::Given => json!({ "type": "null" }),
                When::Asking => json!({ "$ref": "#/$defs/asks_for_nothing" }),
            };
            schema.insert("allOf".to_owned(), json!([refused]));
        }
    }
    schema
}

fn description(key: &Key, depth: Depth) -> String {
    if depth == Depth::WithinSection {
        return "As the section around it.".to_owned();
    }
    match key.effect {
        Effect::Honoured => match NOTES.iter().find(|(name, _)| *name == key.name) {
            Some((_, note)) => (*note).to_owned(),
            None => "Honoured.".to_owned(),
        },
        Effect::Ignored(When::Given, why) => format!("Without effect: {why}."),
        Effect::Ignored(When::Asking, why) => format!("Without effect where it asks for something: {why}."),
        Effect::Refused(When::Given, why) => format!("Refused: {why}."),
        Effect::Refused(When::Asking, why) => format!("Refused where it asks for something: {why}."),
    }
}

/// Honoured in a way that one should know.
const NOTES: [(&str, &str); 23] = [
    (
        "plugins",
        "No plugin is run: each is named in a warning, and one that would restrict callers is refused.",
    ),
    ("source_of_truth", "The file is the only truth of a node, whatever this says."),
    ("disable_db_pings_in_health", "Always so."),
    ("insecure_skip_verify", "Honoured, with a warning: the provider's certificate is not verified."),
    ("governance", "Refused where a section of it would restrict access or spending."),
    ("openai_config", "Refused where it asks for something."),
    (
        "request_total_timeout_seconds",
        "From a request's first byte to its answer: all attempts, waits and queues. Default 600.",
    ),
    (
        "response_headers",
        "Which x-corelane-* headers an answer carries: full (default), minimal (the request's id), none.",
    ),
    ("max_retries", "Attempts after the first on the same provider, for each fallback anew. Default 0."),
    ("retry_backoff_initial", "Wait before the first retry, doubled before each next one. Default 500 ms."),
    ("retry_backoff_max", "Longest of these waits. Default 5 s."),
    (
        "first_token_timeout",
        "Longest wait for the first content of a stream; default: default_request_timeout_in_seconds and stream_idle_timeout_in_seconds together.",
    ),
    (
        "first_token_hold_ms",
        "How long a stream's events without content are held back, so that it may still move elsewhere. Default 5000.",
    ),
    (
        "concurrency_and_buffer_size",
        "Requests under way to the provider, and waiting for it, on a node; left out: no limit. 0: 1000 and 5000.",
    ),
    (
        "balance",
        "How a key is chosen: by weight (default), the least busy for its weight, or the one that answers soonest.",
    ),
    ("breaker", "When a key, or the provider's address, is tried only where nothing else can serve."),
    ("failures_in_a_row", "Failures in a row that open it. Default 10."),
    ("failure_ratio", "Share of failures in the window that opens it, over 0 to 1. Default 0.5."),
    ("requests_min", "Requests in the window from which the share counts. Default 20."),
    ("window_seconds", "What failure_ratio is over. Default 10."),
    ("open_seconds", "How long it stays open before a request may probe. Default 10."),
    ("on_client_gone", "A caller that left: cancel its request (default), or finish it for the log."),
    (
        "fallbacks",
        "Where a request goes when this provider fails and it says nothing itself: a list for every model, or an object \
         with a list for each (\"*\": any other).",
    ),
];

fn kind(key: &Key, depth: Depth) -> Value {
    match key.kind {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Integer(min, u64::MAX) => json!({ "type": "integer", "minimum": min }),
        Kind::Integer(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Number(max) => json!({ "type": "number", "minimum": 0, "maximum": max }),
        Kind::Text => json!({ "type": "string" }),
        Kind::Choice(choices) => json!({ "enum": choices }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Reference => json!({ "$ref": "#/$defs/reference" }),
        Kind::ReferenceOrInteger => json!({ "$ref": "#/$defs/reference_or_integer" }),
        Kind::Duration => json!({ "$ref": "#/$defs/duration" }),
        Kind::DurationOrOff => json!({ "$ref": "#/$defs/duration_or_off" }),
        Kind::TextMap => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::BoolMap => json!({ "type": "object", "additionalProperties": { "type": "boolean" } }),
        Kind::Object(keys) => closed(key.name, object(keys, depth)),
        Kind::List(keys) => json!({ "type": "array", "items": closed(key.name, object(keys, depth)) }),
        Kind::AnyObject => tied(key.name).unwrap_or_else(|| json!({ "type": "object" })),
        Kind::AnyList => json!({ "type": "array" }),
        Kind::Fallbacks => json!({ "anyOf": [
            { "$ref": "#/$defs/targets" },
            { "type": "object", "additionalProperties": { "anyOf": [{ "type": "null" }, { "$ref": "#/$defs/targets" }] } },
        ] }),
        Kind::Any => Value::from(true),
    }
}

/// What the readers of some objects demand.
fn closed(name: &str, mut object: Map<String, Value>) -> Value {
    match name {
        "custom_provider_config" => with(object, "required", json!(["base_provider_type"])),
        "concurrency_and_buffer_size" => with(object, "required", json!(["concurrency", "buffer_size"])),
        "tls" => {
            object.insert("required".to_owned(), json!(["cert", "key"]));
            with(object, "additionalProperties", Value::from(false))
        }
        _ => Value::Object(object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key of a table and of the tables in it.
    fn all(keys: &'static [Key]) -> Vec<Key> {
        let mut found = keys.to_vec();
        for key in keys {
            if let Kind::Object(inner) | Kind::List(inner) = key.kind {
                found.extend(all(inner));
            }
        }
        found
    }

    #[test]
    fn what_is_tied_by_name_is_one_object_of_the_table() {
        let keys: Vec<Key> = [ROOT, PROVIDER, LOGS_STORE, CONFIG_STORE].into_iter().flat_map(all).collect();
        for name in ["providers", "logs_store", "config_store", "aliases"] {
            let is_it = |key: &&Key| key.name == name && matches!(key.kind, Kind::AnyObject);
            assert_eq!(keys.iter().filter(is_it).count(), 1, "{name}");
            assert!(tied(name).is_some());
        }
        for (name, note) in NOTES {
            assert!(
                keys.iter().any(|key| key.name == name && matches!(key.effect, Effect::Honoured)),
                "{note}"
            );
        }
        for name in ["keys", "custom_provider_config", "concurrency_and_buffer_size", "tls"] {
            let is_it = |key: &&Key| key.name == name && matches!(key.kind, Kind::Object(_) | Kind::List(_));
            assert_eq!(keys.iter().filter(is_it).count(), 1, "{name}");
        }
    }

    #[test]
    fn every_word_is_in_the_schema() {
        let text = schema().to_string();
        for key in [ROOT, PROVIDER, FALLBACK, LOGS_STORE, CONFIG_STORE, SQLITE, POSTGRES, ALIAS]
            .into_iter()
            .flat_map(all)
        {
            assert!(text.contains(&format!("\"{}\":{{", key.name)), "{}", key.name);
        }
    }
}

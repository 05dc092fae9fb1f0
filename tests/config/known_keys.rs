//! Every key that Bifrost's config.json knows is honoured, named in a warning, or refused, as `known_keys.txt` says of it,
//! and none is unknown.

use corelane::config::{Fault, load};
use serde_json::{Value, json};

/// A file into which each line's values are set.
fn base() -> Value {
    json!({
        "providers": {
            "openai": {"keys": [{"name": "a", "value": "env.OPENAI_API_KEY", "models": ["*"]}]},
            "own": {
                "keys": [{"name": "b", "value": "env.OPENAI_API_KEY", "models": ["*"]}],
                "custom_provider_config": {"base_provider_type": "openai"}
            }
        },
        "logs_store": {
            "enabled": true,
            "type": "postgres",
            "config": {"host": "db.internal", "user": "writer", "db_name": "logs"}
        }
    })
}

fn environment(name: &str) -> Option<String> {
    let value = match name {
        "CA" => include_str!("ca.pem"),
        "PROXY" => "http://proxy.internal:3128",
        "POSTGRES_HOST" => "db.internal",
        "OPENAI_API_KEY" | "ADMIN_TOKEN" | "POSTGRES_PASSWORD" => "a-value-long-enough",
        _ => return None,
    };
    Some(value.to_owned())
}

/// Sets a value, making the objects and arrays on the way; a value in the way that is neither is replaced.
fn set(root: &mut Value, pointer: &str, value: Value) {
    let segments: Vec<String> =
        pointer.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~")).collect();
    let mut at = root;
    for segment in segments {
        if segment == "0" {
            if !at.is_array() {
                *at = json!([{}]);
            }
            at = &mut at[0];
        } else {
            if !at.is_object() {
                *at = json!({});
            }
            at = &mut at[segment];
        }
    }
    *at = value;
}

/// The findings that are about `pointer`: at it, or above it.
fn about<'f>(findings: &'f [Fault], pointer: &'f str) -> impl Iterator<Item = &'f Fault> {
    findings.iter().filter(move |finding| {
        !finding.pointer.is_empty()
            && pointer
                .strip_prefix(finding.pointer.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn outcome(faults: &[Fault], warnings: &[Fault], pointer: &str) -> &'static str {
    if about(faults, pointer).next().is_some() {
        return "refused";
    }
    let is_ignored = about(warnings, pointer).any(|warning| warning.message.contains("has no effect"));
    if is_ignored { "ignored" } else { "honoured" }
}

#[test]
fn every_known_key_has_its_outcome() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in
        include_str!("known_keys.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        count += 1;
        let (expected, sets) = line.split_once(' ').expect("an outcome");
        let mut root = base();
        // What must stand beside the key first, so that the key's own value stays.
        for set_one in sets.split(" & ").collect::<Vec<_>>().into_iter().rev() {
            let (pointer, value) = set_one.split_once(" = ").expect("a value");
            set(&mut root, pointer, serde_json::from_str(value).expect("JSON"));
        }
        let (pointer, _) = sets.split_once(" = ").expect("a pointer");
        let (faults, warnings) = match load(root.to_string().as_bytes(), "c", &environment) {
            Ok(loaded) => (Vec::new(), loaded.warnings.into_iter().map(Fault::from).collect()),
            Err(faults) => (faults, Vec::new()),
        };
        let actual = outcome(&faults, &warnings, pointer);
        let unknown = faults.iter().chain(&warnings).any(|finding| finding.message.contains("unknown"));
        let elsewhere =
            faults.iter().filter(|fault| !about(std::slice::from_ref(fault), pointer).any(|_| true));
        if actual != expected || unknown || elsewhere.count() > 0 {
            wrong.push(format!("{line}\n    is {actual}: {faults:?} {warnings:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 400, "{count} keys");
}

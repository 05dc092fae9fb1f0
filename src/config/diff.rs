//! What changed from one config to the next, in an operator's words: keys and their shares, providers, timeouts, the log
//! store; for what has no words of its own its place in the file. Never a secret: of one it says that it changed. It
//! compares meanings, not texts, and decides nothing.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::document::joined;
use super::fault::Printable;
use super::snapshot::{Key, Provider};
use super::{Loaded, shares};

/// Changes that are said; the rest is counted in a last line.
pub const CHANGES_MAX: usize = 1_000;
/// Characters of a value that are said.
const VALUE_CHARS_MAX: usize = 120;
/// Elements of a list that are said.
const ELEMENTS_MAX: usize = 20;

/// Every change, at most [`CHANGES_MAX`] and one; empty: both mean the same, and have the same values behind their
/// references.
pub fn changes(old: &Loaded, new: &Loaded) -> Vec<String> {
    let mut changes = Changes::default();
    providers(old, new, &mut changes);
    for section in ["client", "server", "logs_store"] {
        let of = |loaded: &Loaded| loaded.normal.config.get(section).cloned().unwrap_or_default();
        section_changes(section, &of(old), &of(new), &mut changes);
    }
    values(old, new, &mut changes);
    if changes.lines.is_empty() && old.snapshot.digest != new.snapshot.digest {
        changes.push(format!("digest: {} → {}", old.snapshot.digest, new.snapshot.digest));
    }
    changes.into_lines()
}

/// What has been found so far; what is over the bound is counted and not kept.
#[derive(Default)]
struct Changes {
    lines: Vec<String>,
    left_out: usize,
}

impl Changes {
    fn push(&mut self, line: String) {
        match self.lines.len() < CHANGES_MAX {
            true => self.lines.push(line),
            false => self.left_out += 1,
        }
    }

    fn into_lines(mut self) -> Vec<String> {
        if self.left_out > 0 {
            self.lines.push(format!("and {} more changes", self.left_out));
        }
        self.lines
    }
}

fn providers(old: &Loaded, new: &Loaded, changes: &mut Changes) {
    let by_name = |loaded: &'_ Loaded| -> BTreeSet<String> {
        loaded.snapshot.providers.iter().map(|provider| provider.name.clone()).collect()
    };
    for name in by_name(old).union(&by_name(new)) {
        let of = |loaded: &Loaded| {
            let form = loaded.normal.config.get("providers").and_then(|all| all.get(name)).cloned();
            form.unwrap_or_default()
        };
        match (find(old, name), find(new, name)) {
            (Some(before), Some(after)) => {
                let sides = Sides { name, old: before, new: after, is_away: old.is_away && new.is_away };
                sides.compare(&of(old), &of(new), changes);
            }
            (Some(_), None) => changes.push(format!("provider {}: removed", Printable(name))),
            (None, Some(added)) => changes.push(format!(
                "provider {}: added, with {}",
                Printable(name),
                if added.keys.len() == 1 { "1 key".to_owned() } else { format!("{} keys", added.keys.len()) }
            )),
            (None, None) => {}
        }
    }
}

fn find<'a>(loaded: &'a Loaded, name: &str) -> Option<&'a Provider> {
    loaded.snapshot.providers.iter().find(|provider| provider.name == name)
}

/// One provider before and after.
struct Sides<'a> {
    name: &'a str,
    old: &'a Provider,
    new: &'a Provider,
    /// Keys without a value here have one where they serve.
    is_away: bool,
}

impl Sides<'_> {
    fn compare(&self, old: &Value, new: &Value, changes: &mut Changes) {
        let (old_keys, new_keys) = (keys(self.old, old), keys(self.new, new));
        let shares = shares::changes(self.old, self.new, self.is_away);
        let by_name = |keys: &[(&'_ Key, &'_ Value)]| -> HashMap<String, usize> {
            keys.iter().enumerate().map(|(index, (key, _))| (key.name.clone(), index)).collect()
        };
        let (old_places, new_places) = (by_name(&old_keys), by_name(&new_keys));
        for (key, form) in &new_keys {
            let said = shares.get(key.name.as_str()).map(Vec::as_slice).unwrap_or_default();
            match old_places.get(&key.name).and_then(|place| old_keys.get(*place)) {
                Some((other, other_form)) => {
                    key_changes((other, other_form), (key, form), (said, self.is_away), changes);
                }
                None => self.added(key, said, changes),
            }
        }
        for (key, _) in &old_keys {
            if !new_places.contains_key(&key.name) {
                changes.push(format!("key {}: removed from {}", Printable(&key.name), Printable(self.name)));
            }
        }
        let names =
            |keys: &[(&Key, &Value)]| keys.iter().map(|(key, _)| key.name.clone()).collect::<Vec<_>>();
        let (old_names, new_names) = (names(&old_keys), names(&new_keys));
        if old_names != new_names && sorted(&old_names) == sorted(&new_names) {
            changes.push(format!("provider {}: its keys stand in another order", Printable(self.name)));
        }
        let pointer = joined("/providers", self.name);
        leaves(&without_keys(old), &without_keys(new), &pointer, changes);
        // What the environment's own variables name stands in no form.
        let by_environment =
            |form: &Value| form.pointer("/proxy_config/type").is_some_and(|kind| kind == "environment");
        let (before, after) = (&self.old.origin.transport.proxy, &self.new.origin.transport.proxy);
        if by_environment(old) && by_environment(new) && before != after {
            changes.push(format!(
                "provider {}: the proxy that its environment names changed",
                Printable(self.name)
            ));
        }
    }

    fn added(&self, key: &Key, shares: &[String], changes: &mut Changes) {
        let state = if key.enabled { "" } else { ", disabled" };
        let shares = shares.iter().map(|share| format!(", {}", share.replacen("share 0 % → ", "share ", 1)));
        let shares: String = shares.collect();
        changes.push(format!(
            "key {}: added to {}{state}{shares}",
            Printable(&key.name),
            Printable(self.name)
        ));
    }
}

fn keys<'a>(provider: &'a Provider, form: &'a Value) -> Vec<(&'a Key, &'a Value)> {
    let forms = form.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    provider.keys.iter().zip(forms).collect()
}

fn without_keys(form: &Value) -> Value {
    let members = form.as_object().into_iter().flatten().filter(|(name, _)| *name != "keys");
    Value::Object(members.map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn key_changes(
    (old, old_form): (&Key, &Value),
    (new, new_form): (&Key, &Value),
    (shares, is_away): (&[String], bool),
    changes: &mut Changes,
) {
    let name = Printable(&new.name);
    if old.enabled != new.enabled {
        changes.push(format!("key {name}: {}", if new.enabled { "enabled" } else { "disabled" }));
    }
    if let Some(change) = value_change(old, new, is_away) {
        changes.push(format!("key {name}: {change}"));
    }
    shares.iter().for_each(|share| changes.push(format!("key {name}: {share}")));
    let none = Value::Null;
    let of = |form: &'_ Value, field: &str| form.get(field).unwrap_or(&none).clone();
    for (field, words) in [
        ("models", "models"),
        ("blacklisted_models", "denied models"),
        ("aliases", "aliases"),
        ("id", "id"),
        ("weight", "weight"),
        ("ollama_key_config", "place"),
        ("sgl_key_config", "place"),
        ("vllm_key_config", "place"),
        ("bedrock_key_config", "AWS keys"),
        ("use_for_batch_api", "use for batches and files"),
    ] {
        let (before, after) = (of(old_form, field), of(new_form, field));
        let is_said = field == "weight" && !shares.is_empty();
        if before != after && !is_said {
            changes.push(format!("key {name}: {words} {}", difference(&before, &after)));
        }
    }
}

/// Where a key's value comes from, and whether there is one.
fn value_change(old: &Key, new: &Key, is_away: bool) -> Option<String> {
    if old.whence != new.whence {
        let lack = match new.credential {
            None if !is_away => format!(", and {}", new.whence.lack()),
            _ => String::new(),
        };
        return Some(format!("value now from {}{lack}", Printable(&new.whence.to_string())));
    }
    match (&old.credential, &new.credential) {
        (Some(_), None) => Some(format!("has no value any more ({})", new.whence.lack())),
        (None, Some(_)) => Some(format!("has a value now, from {}", Printable(&new.whence.to_string()))),
        (Some(before), Some(after)) if before != after => Some("its value changed".to_owned()),
        _ => None,
    }
}

/// Values behind references that are written as before; a key's is told with the key.
fn values(old: &Loaded, new: &Loaded, changes: &mut Changes) {
    for (pointer, (after, _)) in &new.values.0 {
        let is_key = pointer.split('/').nth(3) == Some("keys"); // /providers/NAME/keys/…
        let is_written_alike = old.normal.config.pointer(pointer) == new.normal.config.pointer(pointer);
        let before = old.values.0.get(pointer).map(|(before, _)| before);
        if !is_key && is_written_alike && before != Some(after) {
            changes.push(format!("{}: its value changed", place(pointer)));
        }
    }
}

fn section_changes(section: &str, old: &Value, new: &Value, changes: &mut Changes) {
    let store = |form: &Value| match form.get("type").and_then(Value::as_str) {
        Some(kind) => kind.to_owned(),
        None => "none".to_owned(),
    };
    if section == "logs_store" && store(old) != store(new) {
        changes.push(format!("log store: {} → {}", store(old), store(new)));
        return;
    }
    leaves(old, new, &joined("", section), changes);
}

/// Walks both forms at once; objects in step, everything else is a leaf.
fn leaves(old: &Value, new: &Value, pointer: &str, changes: &mut Changes) {
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        if old != new {
            changes.push(leaf(old, new, pointer));
        }
        return;
    };
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let of = |members: &Map<String, Value>| members.get(name).cloned().unwrap_or_default();
        leaves(&of(before), &of(after), &joined(pointer, name), changes);
    }
}

/// In words of its own where there are any.
fn leaf(old: &Value, new: &Value, pointer: &str) -> String {
    let segments: Vec<&str> = pointer.split('/').skip(1).collect();
    match (segments.as_slice(), old, new) {
        (["client", "enable_logging"], _, Value::Bool(is_on)) => {
            let words = if *is_on { "requests write log rows" } else { "requests write no log rows" };
            format!("client: {words}")
        }
        (["client", "disable_content_logging"], _, Value::Bool(is_off)) => {
            let words = if *is_off { "carry no content" } else { "carry content" };
            format!("client: log rows {words}")
        }
        (["server", "request_total_timeout_seconds"], _, _) => {
            format!("server: a request's whole time {old} → {new} s")
        }
        (["client", "max_request_body_size_mb"], _, _) => {
            format!("client: largest request body {old} → {new} MiB")
        }
        (["providers", provider, section @ "network_config", field], _, _) => match time(field) {
            Some((words, unit)) => {
                format!("provider {}: {words} {old} → {new} {unit}", shown_segment(provider))
            }
            None if *field == "base_url" => {
                format!("provider {}: base_url {}", shown_segment(provider), difference(old, new))
            }
            None => {
                format!("providers.{}.{section}.{field}: {}", shown_segment(provider), difference(old, new))
            }
        },
        _ => format!("{}: {}", place(pointer), difference(old, new)),
    }
}

/// What a time is called, and its unit.
fn time(field: &str) -> Option<(&'static str, &'static str)> {
    match field {
        "default_request_timeout_in_seconds" => Some(("request timeout", "s")),
        "stream_idle_timeout_in_seconds" => Some(("stream idle timeout", "s")),
        "keep_alive_timeout_in_seconds" => Some(("unused connections kept", "s")),
        "first_token_timeout" => Some(("first token timeout", "ms")),
        "first_token_hold_ms" => Some(("events without content held", "ms")),
        _ => None,
    }
}

/// `providers.openai.network_config` for a pointer.
fn place(pointer: &str) -> String {
    let segments: Vec<String> = pointer.split('/').skip(1).map(shown_segment).collect();
    segments.join(".")
}

fn shown_segment(segment: &str) -> String {
    Printable(&segment.replace("~1", "/").replace("~0", "~")).to_string()
}

/// `a → b`; of lists what came and went, of maps which entries changed.
fn difference(old: &Value, new: &Value) -> String {
    match (old, new) {
        (Value::Array(before), Value::Array(after)) => {
            let of = |list: &[Value]| list.iter().map(shown).collect::<Vec<_>>();
            listed(&of(before), &of(after))
        }
        (Value::Object(before), Value::Object(after)) => {
            let of = |map: &Map<String, Value>| {
                map.iter()
                    .map(|(name, value)| format!("{}={}", Printable(name), shown(value)))
                    .collect::<Vec<_>>()
            };
            listed(&of(before), &of(after))
        }
        _ => format!("{} → {}", shown(old), shown(new)),
    }
}

fn listed(before: &[String], after: &[String]) -> String {
    let is_short = |list: &[String]| list.is_empty() || *list == ["*"];
    if is_short(before) || is_short(after) {
        return format!("{} → {}", enumerated(before), enumerated(after));
    }
    let known: [BTreeSet<&String>; 2] = [before.iter().collect(), after.iter().collect()];
    let [old, new] = &known;
    let gone = old.difference(new).map(|element| format!("−{element}"));
    let come = new.difference(old).map(|element| format!("+{element}"));
    let all: Vec<String> = gone.chain(come).collect();
    if all.is_empty() { "in another order".to_owned() } else { enumerated(&all) }
}

fn enumerated(list: &[String]) -> String {
    match list {
        [] => "none".to_owned(),
        [all] if all == "*" => "all".to_owned(),
        list => {
            let more = list.len().saturating_sub(ELEMENTS_MAX);
            let mut named: Vec<&str> = list.iter().take(ELEMENTS_MAX).map(String::as_str).collect();
            let more = format!("{more} more");
            if list.len() > ELEMENTS_MAX {
                named.push(&more);
            }
            named.join(", ")
        }
    }
}

/// One line, cut where it is long.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => return "none".to_owned(),
        Value::String(text) if text.is_empty() => return "none".to_owned(),
        Value::Array(list) if list.is_empty() => return "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let cut: String = text.chars().take(VALUE_CHARS_MAX).collect();
    let rest = if cut.len() < text.len() { format!("… ({} bytes)", text.len()) } else { String::new() };
    format!("{}{rest}", Printable(&cut))
}

fn sorted(names: &[String]) -> Vec<&String> {
    let mut names: Vec<&String> = names.iter().collect();
    names.sort_unstable();
    names
}

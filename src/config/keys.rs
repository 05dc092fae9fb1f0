//! `providers.<name>.keys[]`: names, values, which models each may serve. Which of them is drawn for a request is
//! `routing`'s.

use std::collections::HashMap;

use uuid::Uuid;

use super::document::{At, Value};
use super::fault::{Printable, Spot, looks_like_secret};
use super::file::ALIAS;
use super::reference::{Resolved, resolve};
use super::snapshot::{Credential, Key, Models, Whence};
use super::{Reading, UnusableKey, aws, clouds, own_place, validate};
use crate::provider::Cloud;

/// Largest weight: two thousand million of them still add up to a finite sum.
pub(crate) const WEIGHT_MAX: f64 = 1e9;
/// Most keys of one provider; an id has 16 bits.
const KEYS_MAX: usize = 65_535;
/// Longest key name or id, bytes: they stand in labels, headers and every log row.
const NAME_BYTES_MAX: usize = 255;

/// What the keys of all providers must not share.
#[derive(Default)]
pub(crate) struct Taken {
    names: HashMap<String, String>,
    ids: HashMap<String, String>,
}

/// The provider whose keys are read.
#[derive(Clone, Copy)]
pub(crate) struct Owner<'a> {
    /// Its name, lower case.
    pub(crate) name: &'a str,
    /// Whether this version serves it; the keys of another are read without a word on their values.
    pub(crate) is_served: bool,
    /// The section of a key that says where it goes, of a provider whose servers are the operator's own; these need no value.
    pub(crate) place_section: Option<&'static str>,
    /// Whether its keys may be AWS's, of which `bedrock_key_config` says more.
    pub(crate) is_aws: bool,
    /// Which cloud's they are, of which a section of each says more.
    pub(crate) cloud: Option<Cloud>,
    /// Whether its `network_config` says where a key without such a section goes.
    pub(crate) has_base_url: bool,
}

/// Reads a provider's keys.
pub(crate) fn read(
    provider: &At<'_>,
    owner: Owner<'_>,
    taken: &mut Taken,
    reading: &mut Reading<'_, '_>,
) -> Vec<Key> {
    let Some(at) = provider.member("keys") else { return Vec::new() };
    if at.elements().count() > KEYS_MAX {
        reading.report.fault(at.spot(), format!("more than {KEYS_MAX} keys"));
        return Vec::new();
    }
    at.elements()
        .filter(|key| matches!(key.node.value, Value::Object(_)))
        .map(|key| read_one(&key, owner, taken, reading))
        .collect()
}

fn read_one(at: &At<'_>, owner: Owner<'_>, taken: &mut Taken, reading: &mut Reading<'_, '_>) -> Key {
    let name = name(at, owner, taken, reading);
    let value = value(at, owner, reading);
    let enabled = at.member("enabled").and_then(|at| at.bool()).unwrap_or(true);
    let is_written = at.member("value").is_some_and(|at| at.text() != Some(""));
    let is_open = owner.place_section.is_some() && !is_written;
    let has_value = value.as_ref().is_none_or(|value| value.text.is_some());
    let aws = aws::read(at, owner, has_value, reading);
    let cloud = clouds::read(at, owner, has_value || is_written, reading);
    let found = aws.found.or(cloud.found);
    if is_written && found.as_ref().is_some_and(|found| found.wins) {
        warn_of_value(at, reading);
    }
    let (credential, whence) = match (found, value) {
        (Some(found), _) if found.wins => (found.credential, Some((found.whence, found.absence))),
        (Some(found), Some(Resolved { text: None, whence, .. }))
            if found.credential.is_some() || whence == Whence::Config =>
        {
            (found.credential, Some((found.whence, found.absence)))
        }
        (_, Some(Resolved { text, whence, absence })) => {
            (text.map(Credential::Value), Some((whence, absence)))
        }
        (_, None) => (None, None),
    };
    let whence = whence.map(|(whence, absence)| (whence.clone(), clouds::absence(owner, &whence, absence)));
    if let (None, Some((whence, absence))) = (&credential, &whence)
        && owner.is_served
        && enabled
        && !is_open
    {
        let place = at.member("value").unwrap_or_else(|| at.clone());
        let key = UnusableKey {
            provider: owner.name.to_owned(),
            key: name.clone(),
            whence: whence.clone(),
            why: absence.clone(),
            file: reading.report.file().to_owned(),
            pointer: place.spot().pointer.to_owned(),
            line: 0,
            column: 0,
        };
        reading.unusable_keys.push((place.spot().offset, key));
    }
    let whence = whence.map_or(Whence::Config, |(whence, _)| whence);
    let models = models(at, owner, reading);
    let own_aliases = at.member("aliases").map(|at| aliases(&at, reading)).unwrap_or_default();
    Key {
        id: id(at, owner, &name, taken, reading),
        name,
        credential,
        whence,
        models: own_place::models(at, owner, models, reading),
        blacklisted_models: texts(at, "blacklisted_models"),
        aliases: match owner.cloud {
            Some(_) => clouds::aliases(at, owner, own_aliases, reading),
            None => aws::aliases(at, owner, own_aliases, reading),
        },
        weight: at.member("weight").and_then(|at| at.number()).unwrap_or(1.0),
        enabled,
        place: aws.place.or(cloud.place).or_else(|| own_place::read(at, owner, reading)),
        faces: cloud.faces,
        is_open,
        use_for_batch_api: at.member("use_for_batch_api").and_then(|at| at.bool()).unwrap_or(false),
    }
}

/// It counts for nothing.
fn warn_of_value(at: &At<'_>, reading: &mut Reading<'_, '_>) {
    if let Some(unused) = at.member("value") {
        let message = "has no effect: what is fetched by the key's section is sent instead";
        reading.report.warn(unused.name_spot(), message);
    }
}

fn name(at: &At<'_>, owner: Owner<'_>, taken: &mut Taken, reading: &mut Reading<'_, '_>) -> String {
    let Some(member) = at.member("name") else {
        let name = name_by_position(at, owner);
        let message = format!(
            "the key has no \"name\": logs, metrics and errors call it \"{}\", by its place; name it, so that it keeps its \
             name when others come or go",
            Printable(&name)
        );
        reading.report.warn(at.spot(), message);
        return unique(name, at, taken, reading);
    };
    let Some(name) = member.text() else { return String::new() };
    if name.trim().is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let message = format!("a key's name has 1 to {NAME_BYTES_MAX} bytes and no control characters");
        reading.report.fault(member.spot(), message);
        return name.to_owned();
    }
    if looks_like_secret(name) {
        let message = "a key's name stands in logs, metrics and errors, and this one looks like the secret itself: put that \
             into \"value\" (better: \"env.NAME\"), and give the key another name";
        reading.report.fault(member.spot(), message);
    }
    unique(name.to_owned(), &member, taken, reading)
}

/// What a key without a name is called: `openai-1` for the first.
fn name_by_position(at: &At<'_>, owner: Owner<'_>) -> String {
    let index = at.pointer.rsplit('/').next().and_then(|index| index.parse::<usize>().ok());
    format!("{}-{}", owner.name, index.map_or(0, |index| index + 1))
}

/// The name; it is reported when another key has it.
fn unique(name: String, at: &At<'_>, taken: &mut Taken, reading: &mut Reading<'_, '_>) -> String {
    if let Some(first) = taken.names.insert(name.clone(), at.pointer.clone()) {
        let message = format!(
            "the name \"{}\" is taken by {}; key names are unique in the file",
            Printable(&name),
            Printable(&first)
        );
        reading.report.fault(at.spot(), message);
    }
    name
}

fn id(at: &At<'_>, owner: Owner<'_>, name: &str, taken: &mut Taken, reading: &mut Reading<'_, '_>) -> String {
    let Some(member) = at.member("id") else { return derived_id(owner.name, name) };
    let Some(id) = member.text().filter(|id| !id.is_empty()) else { return derived_id(owner.name, name) };
    if id.len() > NAME_BYTES_MAX || id.chars().any(char::is_control) {
        let message = format!("a key's id has 1 to {NAME_BYTES_MAX} bytes and no control characters");
        reading.report.fault(member.spot(), message);
    } else if let Some(first) = taken.ids.insert(id.to_owned(), member.pointer.clone()) {
        let message = format!("the id is taken by {}; key ids are unique in the file", Printable(&first));
        reading.report.fault(member.spot(), message);
    }
    id.to_owned()
}

/// The same on every node and after every restart, so that log rows can be joined by it.
fn derived_id(provider: &str, name: &str) -> String {
    let hash =
        ring::digest::digest(&ring::digest::SHA256, format!("corelane key {provider}/{name}").as_bytes());
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash.as_ref()).for_each(|(byte, hashed)| *byte = *hashed);
    uuid::Builder::from_custom_bytes(bytes)
        .into_uuid()
        .as_hyphenated()
        .encode_lower(&mut Uuid::encode_buffer())
        .to_owned()
}

fn value(at: &At<'_>, owner: Owner<'_>, reading: &mut Reading<'_, '_>) -> Option<Resolved> {
    let Some(member) = at.member("value") else {
        return Some(Resolved { text: None, whence: Whence::Config, absence: String::new() });
    };
    let resolved = resolve(&member, reading)?;
    let Some(text) = resolved.text.as_ref() else { return Some(resolved) };
    if owner.is_served && !text.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        let source = resolved.whence.source();
        reading.report.fault(
            member.spot(),
            format!("the value{source} holds a space, a line break or another character that no key has"),
        );
        return None;
    }
    if resolved.whence == Whence::Config && names_a_variable(text.expose()) {
        let message =
            "is sent as it stands, as the key itself: a variable is written \"env.NAME\", in lower case";
        reading.report.warn(member.spot(), message);
    } else if resolved.whence == Whence::Config {
        validate::warn_of_secret(&member, &variable_for(owner.name), reading.report);
    }
    Some(resolved)
}

/// Whether a literal looks like a variable as others than Bifrost write one.
fn names_a_variable(literal: &str) -> bool {
    let starts =
        |prefix: &str| literal.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    ["$", "env.", "env:", "os.environ"].into_iter().any(starts)
}

/// The usual variable of a provider, to suggest.
fn variable_for(provider: &str) -> String {
    let word: String = provider
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() { char.to_ascii_uppercase() } else { '_' })
        .collect();
    format!("{word}_API_KEY")
}

fn models(at: &At<'_>, owner: Owner<'_>, reading: &mut Reading<'_, '_>) -> Models {
    let mut warn = |spot: Spot<'_>, message: &str| {
        if owner.is_served {
            reading.report.warn(spot, message);
        }
    };
    let Some(member) = at.member("models") else {
        warn(
            at.spot(),
            "the key serves all models, since \"models\" is left out; if that is meant, say [\"*\"]",
        );
        return Models::All;
    };
    let models = member.texts();
    match models.as_slice() {
        [] if reading.empty_allows_all => Models::All,
        [] => {
            warn(member.spot(), "the key serves no model: the list is empty, and [\"*\"] would allow all");
            Models::Only(Vec::new())
        }
        ["*"] => Models::All,
        models if models.contains(&"*") => {
            reading.report.fault(member.spot(), "\"*\" stands alone, or not at all");
            Models::All
        }
        models => {
            if models.iter().any(|model| model.is_empty()) {
                reading.report.fault(member.spot(), "a model's name is empty");
            }
            Models::Only(models.iter().map(|model| (*model).to_owned()).collect())
        }
    }
}

fn texts(at: &At<'_>, name: &str) -> Vec<String> {
    at.member(name).map(|at| at.texts().into_iter().map(str::to_owned).collect()).unwrap_or_default()
}

/// A map of requested names, sorted by them.
pub(super) fn aliases(at: &At<'_>, reading: &mut Reading<'_, '_>) -> Vec<(String, String)> {
    let mut aliases = Vec::new();
    for (requested, member) in at.members() {
        let target = match &member.node.value {
            Value::Text(text) => Some(text.as_ref()),
            Value::Object(_) => {
                validate::object(&member, ALIAS, true, reading.report);
                match member.member("model_id") {
                    Some(model) => model.text(),
                    None => Some(""),
                }
            }
            other => {
                let message =
                    format!("expected a string or an object with \"model_id\", found {}", other.kind());
                reading.report.fault(member.spot(), message);
                None
            }
        };
        match target {
            Some(target) if target.is_empty() || requested.is_empty() => {
                reading
                    .report
                    .fault(member.spot(), "an alias is a requested name and the model that it stands for");
            }
            Some(target) => aliases.push((requested.to_owned(), target.to_owned())),
            None => {}
        }
    }
    aliases.sort();
    aliases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_id_stays_the_same() {
        assert_eq!(derived_id("openai", "primary"), derived_id("openai", "primary"));
        assert_ne!(derived_id("openai", "primary"), derived_id("openai", "secondary"));
        assert!(Uuid::parse_str(&derived_id("openai", "primary")).is_ok());
    }

    #[test]
    fn other_ways_to_write_a_variable_are_known() {
        for literal in ["${OPENAI_API_KEY}", "$OPENAI_API_KEY", "ENV.OPENAI_API_KEY", "os.environ/A", "env:A"]
        {
            assert!(names_a_variable(literal), "{literal}");
        }
        for literal in ["sk-1", "environment", "", "en"] {
            assert!(!names_a_variable(literal), "{literal}");
        }
    }

    #[test]
    fn a_suggested_variable_is_a_name() {
        assert_eq!(variable_for("my-llm.eu"), "MY_LLM_EU_API_KEY");
    }
}

//! `providers`: which are known, served or custom, and where each is reached. Their keys are `keys`'s, their network
//! settings `network`'s, the names that we know `crate::provider`'s.

use std::sync::Arc;

use super::document::{At, Value};
use super::fault::Printable;
use super::file::PROVIDER;
use super::keys::{Owner, Taken};
use super::operations;
use super::pacing::{self, Pacing};
use super::snapshot::{Key, Operations, Provider, Targets, Transport, Whence};
use super::{Reading, clouds, fallbacks, keys, network, transport, validate};
use crate::dialect::{Dialect, Operation, Quirks};
use crate::provider::{self, Entry};

/// Most providers; an id has 16 bits, and 500 are many.
const PROVIDERS_MAX: usize = 4_096;
/// Longest provider name, bytes: it is the prefix of a model's name.
const NAME_BYTES_MAX: usize = 128;
/// Variables that one message names.
const VARIABLES_NAMED_MAX: usize = 10;

/// Reads all providers, sorted by name.
pub(crate) fn read(root: &At<'_>, reading: &mut Reading<'_, '_>) -> Vec<Provider> {
    let Some(at) = root.member("providers") else {
        reading.report.fault(root.spot(), "no \"providers\": there is nothing to serve");
        return Vec::new();
    };
    let count = at.members().count();
    if count == 0 && matches!(at.node.value, Value::Object(_)) {
        reading.report.fault(at.spot(), "no provider: there is nothing to serve");
    }
    if count > PROVIDERS_MAX {
        reading.report.fault(at.spot(), format!("more than {PROVIDERS_MAX} providers"));
        return Vec::new();
    }
    let mut taken = Taken::default();
    let mut providers: Vec<Provider> = Vec::with_capacity(count);
    for (written, member) in at.members() {
        let provider = read_one(written, &member, &mut taken, reading);
        if providers.iter().any(|other| other.name == provider.name) {
            let message =
                format!("the provider \"{}\" stands twice: names differ in more than case", provider.name);
            reading.report.fault(member.name_spot(), message);
        }
        providers.push(provider);
    }
    fallbacks::read(&at, &mut providers, reading.report);
    warn_without_value(&at, &providers, reading);
    providers.sort_by(|a, b| a.name.cmp(&b.name));
    providers
}

/// What a provider's name and `custom_provider_config` make of it.
enum Kind {
    /// By this entry's dialect and paths.
    Served(&'static Entry),
    /// Known, and not served by this version; how a warning names it.
    Later(String),
    /// Reported.
    Faulty,
}

fn read_one(written: &str, at: &At<'_>, taken: &mut Taken, reading: &mut Reading<'_, '_>) -> Provider {
    let name = written.to_lowercase();
    let custom = at.member("custom_provider_config");
    let kind = match &custom {
        None => built_in(&name, at, reading),
        Some(custom) => custom_kind(&name, at, custom, reading),
    };
    judge(&kind, at, reading);
    let is_later = matches!(kind, Kind::Later(_));
    let entry = if let Kind::Served(entry) = kind { Some(entry) } else { None };
    let key_less =
        custom.as_ref().and_then(|at| at.member("is_key_less")).and_then(|at| at.bool()) == Some(true);
    let base_url = at.member("network_config").and_then(|at| at.member("base_url"));
    let has_base_url = base_url.and_then(|at| at.text()).is_some_and(|url| !url.is_empty());
    let place_section = entry.and_then(|entry| entry.place_section);
    // Bifrost wants no key of these; where they are, one place is all that their keys would say.
    let key_less = key_less || place_section.is_some() && has_base_url && !has_keys(at);
    let is_served = entry.is_some() && !key_less;
    let is_aws = entry.is_some_and(|entry| entry.dialect == Some(Dialect::Bedrock));
    let cloud = entry.and_then(|entry| entry.cloud);
    let owner = Owner { name: &name, is_served, place_section, is_aws, cloud, has_base_url };
    let mut keys = keys::read(at, owner, taken, reading);
    if entry.is_some() && matches!(at.node.value, Value::Object(_)) {
        check_keys(at, key_less, reading);
    }
    let quirks = entry.map_or(Quirks::COMPATIBLE, |entry| quirks(entry, custom.as_ref()));
    let operations = entry.map(|entry| allowed(entry, quirks, custom.as_ref(), reading)).unwrap_or_default();
    let paths = entry.map(|entry| paths(entry, operations, custom.as_ref(), reading)).unwrap_or_default();
    let mut network = network::read(at, entry.map_or("", |entry| entry.base_url), reading.report);
    if !is_later {
        let first = keys.iter().find_map(|key| key.place.as_deref()).filter(|_| !has_base_url);
        let origin = first.map_or(&network.base.origin, |place| &place.origin);
        network.base.origin.transport = transport::read(at, origin, reading);
    }
    settle_places(&mut keys, &network.base.origin.transport, entry);
    if entry.is_some() && network.base.path.ends_with("/v1") {
        operations::warn_of_base_ending(custom.as_ref(), reading.report);
    }
    let base_path = base_path(network.base.path, entry);
    clouds::settle(&mut keys, &base_path);
    let dialect = entry.and_then(|entry| entry.dialect);
    let Pacing { balance, breaker, concurrency, on_client_gone } = pacing::read(at, reading.report);
    Provider {
        name,
        dialect,
        origin: network.base.origin,
        authority: network.base.authority,
        targets: if cloud.is_some() { Targets::default() } else { targets(&base_path, &paths) },
        quirks,
        cloud,
        operations,
        base_path,
        keys: if key_less { Vec::new() } else { keys },
        key_less,
        header_secrets: network::header_secrets(&network.extra_headers),
        extra_headers: network.extra_headers,
        request_timeout: network.request_timeout,
        stream_idle_timeout: network.stream_idle_timeout,
        keep_alive_timeout: network.keep_alive_timeout,
        first_token_timeout: network.first_token_timeout,
        first_token_hold: network.first_token_hold,
        retry: network.retry,
        balance,
        breaker,
        concurrency,
        on_client_gone,
        fallbacks: Vec::new(), // by `fallbacks`, which wants all names
    }
}

/// What it may be asked for: by the file, and of a custom provider on OpenAI's words what it is said to speak.
fn allowed(
    entry: &Entry,
    quirks: Quirks,
    custom: Option<&At<'_>>,
    reading: &mut Reading<'_, '_>,
) -> Operations {
    let operations = operations::allowed(custom, reading.report);
    let may_lack_responses = custom.is_some() && entry.quirks.is_openai;
    operations::spoken(operations, !may_lack_responses || quirks.responses)
}

/// Those of the table; what a custom provider has behind OpenAI's words is seldom OpenAI.
fn quirks(entry: &Entry, custom: Option<&At<'_>>) -> Quirks {
    match custom {
        Some(custom) if entry.quirks.is_openai => {
            Quirks { responses: operations::names_responses(custom), ..Quirks::COMPATIBLE }
        }
        _ => entry.quirks,
    }
}

/// Of a provider that is not served, nothing is sent anywhere: what its settings would do needs no word.
fn judge(kind: &Kind, at: &At<'_>, reading: &mut Reading<'_, '_>) {
    validate::object(at, PROVIDER, !matches!(kind, Kind::Later(_)), reading.report);
    if let Kind::Later(what) = kind {
        let message =
            format!("this version does not serve {what}: its models answer 400 provider_not_supported");
        reading.report.warn(at.name_spot(), message);
    }
}

fn built_in(name: &str, at: &At<'_>, reading: &mut Reading<'_, '_>) -> Kind {
    match provider::find(name) {
        Some(entry) if entry.dialect.is_some() => Kind::Served(entry),
        Some(_) => Kind::Later(format!("the provider \"{name}\"")),
        None => {
            let hint = validate::did_you_mean(name, provider::names());
            let hint = if hint.is_empty() {
                "; one of your own needs custom_provider_config".to_owned()
            } else {
                hint
            };
            reading.report.fault(at.name_spot(), format!("unknown provider \"{}\"{hint}", Printable(name)));
            Kind::Faulty
        }
    }
}

fn custom_kind(name: &str, at: &At<'_>, custom: &At<'_>, reading: &mut Reading<'_, '_>) -> Kind {
    let is_name_char = |char: char| !char.is_whitespace() && !char.is_control() && char != '/';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(is_name_char) {
        let message = format!(
            "a provider's name has 1 to {NAME_BYTES_MAX} bytes without spaces and / (models are named provider/model)"
        );
        reading.report.fault(at.name_spot(), message);
    }
    if provider::find(name).is_some() {
        let message =
            "a built-in provider has no custom_provider_config: remove it, or give the provider another name";
        reading.report.fault(custom.name_spot(), message);
    }
    let Some(base) = custom.member("base_provider_type") else {
        if matches!(custom.node.value, Value::Object(_)) {
            reading.report.fault(custom.name_spot(), "no \"base_provider_type\": which API does it speak?");
        }
        return Kind::Faulty;
    };
    let Some(base_name) = base.text().map(str::to_lowercase) else { return Kind::Faulty };
    match provider::find(&base_name) {
        // Only the dialects' own vendors are a base: another vendor's quirks are not a custom provider's.
        Some(entry) if matches!(entry.name, "openai" | "anthropic" | "gemini" | "cohere") => {
            Kind::Served(entry)
        }
        Some(_) => Kind::Later(format!("custom providers of base type \"{base_name}\"")),
        None => {
            let hint = validate::did_you_mean(&base_name, provider::names());
            reading
                .report
                .fault(base.spot(), format!("unknown provider \"{}\"{hint}", Printable(&base_name)));
            Kind::Faulty
        }
    }
}

fn check_keys(at: &At<'_>, key_less: bool, reading: &mut Reading<'_, '_>) {
    let keys = at.member("keys");
    let is_empty = |keys: &At<'_>| matches!(&keys.node.value, Value::List(list) if list.is_empty());
    match keys {
        Some(keys) if key_less && !is_empty(&keys) => {
            reading.report.warn(keys.name_spot(), "has no effect: the provider is key-less");
        }
        Some(keys) if !key_less && is_empty(&keys) => {
            reading.report.fault(keys.spot(), "the provider has no key")
        }
        None if !key_less => reading.report.fault(at.name_spot(), "the provider has no \"keys\""),
        _ => {}
    }
}

/// The way to a key's own place is the provider's: what `NO_PROXY` says of the first of them, it says of all.
fn settle_places(keys: &mut [Key], transport: &Arc<Transport>, entry: Option<&Entry>) {
    for place in keys.iter_mut().filter_map(|key| key.place.as_deref_mut()) {
        place.origin.transport = Arc::clone(transport);
        place.base_path = base_path(std::mem::take(&mut place.base_path), entry);
    }
}

fn has_keys(at: &At<'_>) -> bool {
    at.member("keys").is_some_and(|keys| keys.elements().next().is_some())
}

/// The paths after the base URL's: the entry's, where no override stands for one. A list that must not be asked for has
/// none.
fn paths(
    entry: &Entry,
    operations: Operations,
    custom: Option<&At<'_>>,
    reading: &mut Reading<'_, '_>,
) -> Targets {
    let has = |operation| entry.path(operation).is_some();
    let mut paths = operations::paths(custom, operations, has, reading.report);
    let entry = Entry { quirks: quirks(entry, custom), ..*entry };
    for operation in Operation::ALL {
        if paths.of(operation).is_none() {
            paths.set(operation, entry.path(operation).unwrap_or_default());
        }
    }
    if !operations.has(Operation::ListModels) {
        paths.set(Operation::ListModels, String::new());
    }
    paths
}

/// The paths behind the base URL's.
fn targets(base_path: &str, paths: &Targets) -> Targets {
    let mut targets = Targets::default();
    for operation in Operation::ALL {
        if let Some(path) = paths.of(operation) {
            targets.set(operation, format!("{base_path}{path}"));
        }
    }
    targets
}

/// What stands before the entry's paths: a base URL means the same with and without the version, such as `/v1`, that they
/// bring.
fn base_path(mut path: String, entry: Option<&Entry>) -> String {
    let version = entry.map_or("", |entry| entry.version);
    if path.ends_with(version) {
        path.truncate(path.len() - version.len());
    }
    path
}

/// Worth a word, and no more: a node without a usable key starts, says so to every request, and serves after a reload.
fn warn_without_value(at: &At<'_>, providers: &[Provider], reading: &mut Reading<'_, '_>) {
    let serves = |provider: &Provider| provider.dialect.is_some() && provider.has_key();
    if providers.is_empty() || providers.iter().any(serves) {
        return;
    }
    let mut variables: Vec<_> = reading
        .unusable_keys
        .iter()
        .filter_map(|(_, key)| match &key.whence {
            Whence::Config => None,
            Whence::Variable(name) => Some(name.clone()),
            Whence::File(_) => Some(key.whence.to_string()),
        })
        .collect();
    variables.sort_unstable();
    variables.dedup();
    let left_out = variables.len().saturating_sub(VARIABLES_NAMED_MAX);
    variables.truncate(VARIABLES_NAMED_MAX);
    let more = if left_out > 0 { format!(" and {left_out} more") } else { String::new() };
    let message = if variables.is_empty() {
        "no key can be used: every request will be refused".to_owned()
    } else {
        let variables = variables.join(", ");
        format!("no key can be used: every request will be refused; unset or empty: {variables}{more}")
    };
    reading.report.warn(at.name_spot(), message);
}

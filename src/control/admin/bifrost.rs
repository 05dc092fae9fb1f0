//! The config that serves, in the shapes of Bifrost's management API. Its words are the normal form's, which holds no
//! secret; what stands for one here is a reference or a fixed word. Pure; nothing is asked of a provider.

use serde_json::{Map, Value, json};

use super::query;
use crate::config::Loaded;
use crate::config::snapshot::{Key, Models, Provider, Snapshot};
use crate::control::command::Status;

/// Models listed when no `limit` is said, as in Bifrost; and at most.
const MODELS_DEFAULT: usize = 5;
const MODELS_MAX: usize = 100_000;
/// Stands where the file has a secret in plain text, or a value that may be one.
const REDACTED: &str = "********";

/// `GET /api/providers`.
pub(super) fn providers(loaded: &Loaded) -> Value {
    let all = loaded.snapshot.providers.iter();
    let providers: Vec<Value> = all.map(|provider| describe(provider, &loaded.normal.config)).collect();
    json!({ "total": providers.len(), "providers": providers })
}

/// `GET /api/providers/{name}`; `None`: there is none.
pub(super) fn provider(loaded: &Loaded, name: &str) -> Option<Value> {
    let found = loaded.snapshot.providers.iter().find(|provider| provider.name.eq_ignore_ascii_case(name))?;
    Some(describe(found, &loaded.normal.config))
}

/// A provider in the words of the normal form, with what Bifrost says beside.
fn describe(provider: &Provider, form: &Value) -> Value {
    let form = form.get("providers").and_then(|providers| providers.get(&provider.name));
    let member = |name: &str| form.and_then(|form| form.get(name)).cloned();
    let keys = member("keys");
    let keys = keys.as_ref().and_then(Value::as_array);
    let keys = keys.map(|forms| forms.iter().map(|form| key(form, provider)).collect());
    json!({
        "name": provider.name,
        "keys": keys.unwrap_or_else(Vec::new),
        "network_config": member("network_config").map(network),
        "concurrency_and_buffer_size": member("concurrency_and_buffer_size"),
        "proxy_config": member("proxy_config").map(proxy),
        "send_back_raw_request": provider.send_back_raw.request,
        "send_back_raw_response": provider.send_back_raw.response,
        "custom_provider_config": member("custom_provider_config"),
        "provider_status": if is_active(provider) { "active" } else { "error" },
    })
}

/// Whether requests may go to it.
fn is_active(provider: &Provider) -> bool {
    provider.dialect.is_some() && provider.has_key()
}

/// A key as the file has it, but for the operator who took it out of service.
fn key(form: &Value, provider: &Provider) -> Value {
    let mut form = form.clone();
    let name = form.get("name").and_then(Value::as_str);
    let is_disabled = provider.keys.iter().any(|key| Some(key.name.as_str()) == name && !key.enabled);
    if let Some(value) = form.get_mut("value") {
        *value = secret(value);
    }
    if let Some(enabled) = form.get_mut("enabled").filter(|_| is_disabled) {
        *enabled = Value::from(false);
    }
    form
}

/// Bifrost's shape of a secret: where it is from, and never what it is.
fn secret(value: &Value) -> Value {
    match value.as_str() {
        Some("") => json!({ "value": "", "env_var": "", "from_env": false }),
        Some(text) if text.starts_with("env.") => json!({ "value": "", "env_var": text, "from_env": true }),
        Some(text) if text.starts_with("file:") => json!({ "value": "", "ref": text, "from_env": false }),
        _ => json!({ "value": REDACTED, "env_var": "", "from_env": false }),
    }
}

/// Extra headers by name: what they carry may be a secret, too.
fn network(mut form: Value) -> Value {
    if let Some(headers) = form.get_mut("extra_headers").and_then(Value::as_object_mut) {
        headers.values_mut().for_each(|value| *value = Value::from(REDACTED));
    }
    form
}

fn proxy(mut form: Value) -> Value {
    if let Some(password) = form.get_mut("password") {
        *password = secret(password);
    }
    form
}

/// `GET /api/keys`: names and ids of all keys.
pub(super) fn keys(snapshot: &Snapshot) -> Value {
    let keys = snapshot.providers.iter().flat_map(|provider| {
        provider.keys.iter().map(|key| {
            json!({ "key_id": key.id, "name": key.name, "provider": provider.name, "enabled": key.enabled })
        })
    });
    keys.collect()
}

/// What `GET /api/models` is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filter {
    /// Part of a model's name, in lower case.
    query: String,
    /// The provider's name; `None`: any.
    provider: Option<String>,
    /// Ids or names, one of which must serve the model; empty: any.
    keys: Vec<String>,
    limit: usize,
}

impl Filter {
    /// Of a URL's query; parameters of Bifrost's that mean nothing here are passed over. Errors: a limit that is no
    /// number.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut filter =
            Self { query: String::new(), provider: None, keys: Vec::new(), limit: MODELS_DEFAULT };
        for (name, value) in query::pairs(text).filter(|(_, value)| !value.is_empty()) {
            match name.as_str() {
                "query" => filter.query = value.to_lowercase(),
                "provider" => filter.provider = Some(value.to_lowercase()),
                "keys" => filter.keys = value.split(',').map(|key| key.trim().to_owned()).collect(),
                "limit" => filter.limit = value.parse().map_err(|_| "limit is to be a whole number")?,
                _ => {}
            }
        }
        filter.limit = filter.limit.min(MODELS_MAX);
        Ok(filter)
    }

    fn takes(&self, provider: &Provider, model: &str, keys: &[&Key]) -> bool {
        let is_named = |key: &&Key| self.keys.iter().any(|wanted| *wanted == key.id || *wanted == key.name);
        self.provider.as_ref().is_none_or(|wanted| *wanted == provider.name)
            && model.to_lowercase().contains(&self.query)
            && (self.keys.is_empty() || keys.iter().any(is_named))
    }
}

/// `GET /api/models`: those that the config names. What a key may serve beside is its provider's to know.
pub(super) fn models(snapshot: &Snapshot, filter: &Filter) -> Value {
    let mut models = Vec::new();
    let mut total = 0;
    for provider in snapshot.providers.iter().filter(|provider| provider.dialect.is_some()) {
        for name in named(provider) {
            let usable = provider.keys.iter().filter(|key| key.credential.is_some());
            let keys: Vec<&Key> = usable.filter(|key| key.serves(name)).collect();
            if keys.is_empty() || !filter.takes(provider, name, &keys) {
                continue;
            }
            total += 1;
            if models.len() < filter.limit {
                let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
                models.push(json!({ "name": name, "provider": provider.name, "accessible_by_keys": ids }));
            }
        }
    }
    json!({ "models": models, "total": total })
}

/// The models that a provider's keys name, sorted, each once.
fn named(provider: &Provider) -> Vec<&str> {
    let mut names = Vec::new();
    for key in &provider.keys {
        if let Models::Only(models) = &key.models {
            names.extend(models.iter().map(String::as_str));
        }
        names.extend(key.aliases.iter().map(|(alias, _)| alias.as_str()));
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// `GET /api/config`. A restart is required when the newest file was refused for needing one.
pub(super) fn config(loaded: &Loaded, status: &Status) -> Value {
    let failure = status.config.last_failure.iter();
    let restarts: Vec<&str> = failure
        .flat_map(|failure| failure.faults.iter().map(String::as_str))
        .filter(|fault| fault.contains("restart"))
        .collect();
    let client = loaded.normal.config.get("client").cloned();
    json!({
        "client_config": client.unwrap_or_else(|| Value::Object(Map::new())),
        "framework_config": null,
        "auth_config": null,
        "is_db_connected": false,
        "is_cache_connected": false,
        "is_logs_connected": status.log.as_ref().is_some_and(|log| log.is_up),
        "proxy_config": null,
        "restart_required": { "required": !restarts.is_empty(), "reason": restarts.join("; ") },
    })
}

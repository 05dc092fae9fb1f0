//! Which of a provider's keys serves a model: those that may, drawn by weight. It knows nothing of health or retries.

use super::target::quoted;
use crate::config::snapshot::{Key, KeyId, Provider, Whence};
use crate::error::{Error, Kind};

/// Keys that one error names.
const KEYS_NAMED_MAX: usize = 10;

/// A key, and the model's name as the provider knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw<'a> {
    /// Which key; `None` for a provider without keys.
    pub key: Option<KeyId>,
    /// The model to ask for.
    pub wire_model: &'a str,
}

/// Draws among the keys that allow `model`, by weight; `chance` is in [0, 1). A key of weight 0 serves only when no
/// other can. Errors: no key, naming those that lack a value.
pub fn draw<'a>(provider: &'a Provider, model: &'a str, chance: f64) -> Result<Draw<'a>, Error> {
    if provider.key_less {
        return Ok(Draw { key: None, wire_model: model });
    }
    let usable = || keys(provider).filter(|(_, key)| key.secret.is_some() && key.serves(model));
    let total: f64 = usable().map(|(_, key)| key.weight).sum();
    let mut rest = chance * total;
    let mut chosen = None;
    for (id, key) in usable() {
        if total > 0.0 && key.weight <= 0.0 {
            continue;
        }
        chosen = Some((id, key));
        rest -= key.weight;
        if total > 0.0 && rest < 0.0 {
            break;
        }
    }
    if total <= 0.0 {
        chosen = evenly(usable().collect(), chance);
    }
    let (id, key) = chosen.ok_or_else(|| no_key(provider, model))?;
    Ok(Draw { key: Some(id), wire_model: wire_model(key, model) })
}

/// Keys of weight 0 that are alone share evenly.
fn evenly(keys: Vec<(KeyId, &Key)>, chance: f64) -> Option<(KeyId, &Key)> {
    let index = (chance * keys.len() as f64) as usize;
    keys.get(index.min(keys.len().saturating_sub(1))).copied()
}

pub(super) fn keys(provider: &Provider) -> impl Iterator<Item = (KeyId, &Key)> {
    provider.keys.iter().zip(0..).map(|(key, id)| (KeyId(id), key))
}

pub(super) fn wire_model<'a>(key: &'a Key, model: &'a str) -> &'a str {
    key.aliases.iter().find(|(alias, _)| alias == model).map_or(model, |(_, wire)| wire)
}

/// Names the keys that would serve the model if they had a value, and what each lacks.
pub(super) fn no_key(provider: &Provider, model: &str) -> Error {
    let mut message = format!("no key of provider {} serves model \"{}\"", provider.name, quoted(model));
    let without_value = || keys(provider).filter(|(_, key)| key.secret.is_none() && key.serves(model));
    for (_, key) in without_value().take(KEYS_NAMED_MAX) {
        message.push_str(&format!("; key {} has no value", key.name));
        if key.whence != Whence::Config {
            message.push_str(&format!(" ({})", key.whence.lack()));
        }
    }
    let left_out = without_value().skip(KEYS_NAMED_MAX).count();
    if left_out > 0 {
        message.push_str(&format!("; nor have {left_out} more"));
    }
    Error::new(Kind::NoKeyForModel, message).with_param("model")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    /// One provider whose keys are these.
    fn provider(keys: &str) -> Provider {
        let text = format!(r#"{{"providers": {{"openai": {{"keys": [{keys}]}}}}}}"#);
        let loaded = config::load(text.as_bytes(), "c", &|_: &str| None);
        loaded.map_err(|faults| format!("{faults:?}")).unwrap().snapshot.providers.remove(0)
    }

    #[test]
    fn keys_without_a_value_are_named() {
        let provider = provider(
            r#"{"name": "a", "value": "env.A", "models": ["m"]}, {"name": "b", "models": ["*"]},
               {"name": "c", "value": "env.C", "models": ["other"]},
               {"name": "d", "value": "env.D", "models": ["m"], "enabled": false}"#,
        );
        let error = draw(&provider, "m", 0.5).unwrap_err();
        assert_eq!(
            error.message,
            "no key of provider openai serves model \"m\"; key a has no value (A is unset or empty); key b has no value"
        );
    }

    #[test]
    fn not_all_of_many_are_named() {
        let keys: Vec<String> = (0..KEYS_NAMED_MAX + 5)
            .map(|key| format!(r#"{{"name": "k{key}", "value": "env.K", "models": ["m"]}}"#))
            .collect();
        let error = draw(&provider(&keys.join(",")), "m", 0.5).unwrap_err();
        assert!(error.message.ends_with("key k9 has no value (K is unset or empty); nor have 5 more"));
    }
}

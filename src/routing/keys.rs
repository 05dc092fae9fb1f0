//! The keys that may serve a model by the config alone: enabled, with a value, allowed by their lists, and the one that the
//! caller names, when it names one. Which of them is chosen, and how they fare, is not said here.

use super::plan::Pin;
use super::target::quoted;
use crate::config::snapshot::{Key, KeyId, Provider, ProviderId, Whence};
use crate::dialect::{Dialect, Operation};
use crate::error::{Error, Kind};

/// Keys that one error names.
const KEYS_NAMED_MAX: usize = 10;

/// A provider and a model that a request is for, or falls back to.
#[derive(Clone, Copy)]
pub(super) struct Leg<'a> {
    /// Place in the list of fallbacks, from 1; 0: the primary.
    pub(super) number: u16,
    pub(super) id: ProviderId,
    pub(super) provider: &'a Provider,
    /// The model without the provider's prefix.
    pub(super) model: &'a str,
    /// The one key that may serve.
    pub(super) pinned: Option<KeyId>,
    /// In which dialect what is asked for: of batches and files only keys with `use_for_batch_api` have it, of a cloud not every
    /// key.
    pub(super) asks: (Dialect, Operation),
}

/// A key that may serve.
#[derive(Clone, Copy)]
pub(super) struct Candidate<'a> {
    /// `None` for a provider without keys.
    pub(super) key: Option<KeyId>,
    /// The key's id in the config, the same on every node; empty without a key.
    pub(super) id: &'a str,
    /// By the config.
    pub(super) weight: f64,
}

impl<'a> Leg<'a> {
    /// All that may serve, in the file's order.
    pub(super) fn candidates(&self) -> impl Iterator<Item = Candidate<'a>> + use<'a> {
        let Leg { provider, model, pinned, asks, .. } = *self;
        let by_account = asks.1.is_of_account();
        let serving = keys(provider).filter(move |(id, key)| {
            !provider.key_less
                && pinned.is_none_or(|pinned| pinned == *id)
                && serves(key, model)
                && (key.use_for_batch_api || !by_account)
        });
        let best = best_way(provider, serving.clone().map(|(_, key)| key), model, asks);
        let without = provider.key_less.then_some(Candidate { key: None, id: "", weight: 1.0 });
        let serving = serving.filter(move |(_, key)| has_way(provider, key, model, asks, best));
        let serving = serving.map(|(id, key)| Candidate { key: Some(id), id: &key.id, weight: key.weight });
        without.into_iter().chain(serving)
    }

    pub(super) fn key(&self, key: Option<KeyId>) -> Option<&'a Key> {
        self.provider.keys.get(usize::from(key?.0))
    }

    /// The model that the provider is asked for by `key`.
    pub(super) fn wire_model(&self, key: Option<KeyId>) -> &'a str {
        self.key(key).map_or(self.model, |key| wire_model(key, self.model))
    }
}

pub(super) fn keys(provider: &Provider) -> impl Iterator<Item = (KeyId, &Key)> + Clone {
    provider.keys.iter().zip(0..).map(|(key, id)| (KeyId(id), key))
}

/// How a provider can be asked by a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum By {
    /// Not at all.
    Nothing,
    /// Translated.
    Translation,
    /// As the caller asks, or as all of its keys can be.
    Itself,
}

/// The best way in which one of these keys can be asked. Only a cloud's keys differ in that.
pub(super) fn best_way<'a>(
    provider: &Provider,
    keys: impl Iterator<Item = &'a Key>,
    model: &str,
    asks: (Dialect, Operation),
) -> By {
    match provider.cloud {
        None => By::Itself,
        Some(_) => keys.map(|key| way_by(provider, key, model, asks)).max().unwrap_or(By::Nothing),
    }
}

/// Whether the provider can be asked by this key, and by no other better: a key whose version of the API has responses is not
/// passed over for one by which they would be made of a conversation.
pub(super) fn has_way(
    provider: &Provider,
    key: &Key,
    model: &str,
    asks: (Dialect, Operation),
    best: By,
) -> bool {
    provider.cloud.is_none() || best > By::Nothing && way_by(provider, key, model, asks) == best
}

fn way_by(provider: &Provider, key: &Key, model: &str, (caller, operation): (Dialect, Operation)) -> By {
    match provider.way_for(Some(key), (model, key.wire_model(model)), caller, operation) {
        None => By::Nothing,
        Some((dialect, asked, _)) if (dialect, asked) == (caller, operation) => By::Itself,
        Some(_) => By::Translation,
    }
}

fn serves(key: &Key, model: &str) -> bool {
    key.is_usable() && fits(key, model)
}

/// What is asked of a stored response names no model, and no list is asked.
fn fits(key: &Key, model: &str) -> bool {
    if model.is_empty() { key.enabled } else { key.serves(model) }
}

pub(super) fn wire_model<'a>(key: &'a Key, model: &'a str) -> &'a str {
    key.wire_model(model)
}

impl Pin<'_> {
    /// The header that names the key.
    pub fn header(self) -> &'static str {
        match self {
            Self::Name(_) => "x-bf-api-key",
            Self::Id(_) => "x-bf-api-key-id",
        }
    }

    /// The key of the provider that is meant.
    pub(super) fn find(self, provider: &Provider) -> Option<KeyId> {
        let is_meant = |key: &Key| match self {
            Self::Name(name) => key.name == name,
            Self::Id(id) => key.id == id,
        };
        keys(provider).find(|(_, key)| is_meant(key)).map(|(id, _)| id)
    }
}

/// Names the keys that could have been meant, but not what was sent: it may be a secret in the wrong header.
pub(super) fn key_not_found(provider: &Provider, pin: Pin<'_>) -> Error {
    let header = pin.header();
    let mut message = format!("{header} names no key of provider {}", provider.name);
    let usable = || provider.keys.iter().filter(|key| key.is_usable());
    for (index, key) in usable().take(KEYS_NAMED_MAX).enumerate() {
        message.push_str(if index == 0 { "; it has " } else { ", " });
        message.push_str(if matches!(pin, Pin::Name(_)) { &key.name } else { &key.id });
    }
    let left_out = usable().skip(KEYS_NAMED_MAX).count();
    if left_out > 0 {
        message.push_str(&format!(" and {left_out} more"));
    }
    Error::new(Kind::KeyNotFound, message).with_param(header)
}

/// Says why the key that the caller names cannot serve.
pub(super) fn key_not_fitting(provider: &Provider, id: KeyId, model: &str, pin: Pin<'_>) -> Error {
    let header = pin.header();
    let Some(key) = provider.keys.get(usize::from(id.0)) else { return key_not_found(provider, pin) };
    let reason = match key {
        key if !key.enabled => "is disabled".to_owned(),
        key if key.credential.is_none() => "has no value".to_owned(),
        key if model.is_empty() && !key.use_for_batch_api => "has no use_for_batch_api".to_owned(),
        _ => format!("may not serve model \"{}\"", quoted(model)),
    };
    let message = format!("key {} of provider {}, which {header} names, {reason}", key.name, provider.name);
    Error::new(Kind::NoKeyForModel, message).with_param(header)
}

/// Keys of a cloud may serve the model, and none of them has the operation.
pub(super) fn no_way(leg: &Leg<'_>) -> Option<Error> {
    let Leg { provider, model, asks: (_, operation), .. } = leg;
    let cloud = provider.cloud?;
    let (_, key) = keys(provider).find(|(_, key)| serves(key, model))?;
    let wire = wire_model(key, model);
    let message = match cloud.family(model, wire) {
        None => format!(
            "model \"{}\" is not served by the provider {}: another publisher's or a tuned model, which this version does not \
             ask for",
            quoted(wire),
            provider.name
        ),
        Some(_) if model.is_empty() => format!(
            "{} is not served by the provider {}: no key's API version has it",
            operation.name(),
            provider.name
        ),
        Some(_) => format!(
            "{} of model \"{}\" is not served by the provider {}: no key that may serve the model has the operation, by its API \
             version and the model's own API",
            operation.name(),
            quoted(model),
            provider.name
        ),
    };
    Some(Error::new(Kind::ProviderNotSupported, message).with_param("model"))
}

/// Batches and files are an account's, and no key is there for them.
pub(super) fn no_account_key(provider: &Provider) -> Error {
    let message = format!(
        "provider {} has no key with use_for_batch_api that can be used; batches and files go by such keys alone",
        provider.name
    );
    Error::new(Kind::NoKeyForModel, message)
}

/// Names the keys that would serve the model if they had a value, and what each lacks.
pub(super) fn no_key(provider: &Provider, model: &str) -> Error {
    let mut message = match model {
        "" => format!("no key of provider {} can be used", provider.name),
        _ => format!("no key of provider {} serves model \"{}\"", provider.name, quoted(model)),
    };
    let without_value = || keys(provider).filter(|(_, key)| key.credential.is_none() && fits(key, model));
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
        let environment = |name: &str| (name == "SET").then(|| "sk-1".to_owned());
        let loaded = config::load(text.as_bytes(), "c", &environment);
        loaded.map_err(|faults| format!("{faults:?}")).unwrap().snapshot.providers.remove(0)
    }

    #[test]
    fn keys_without_a_value_are_named() {
        let provider = provider(
            r#"{"name": "a", "value": "env.A", "models": ["m"]}, {"name": "b", "models": ["*"]},
               {"name": "c", "value": "env.C", "models": ["other"]},
               {"name": "d", "value": "env.D", "models": ["m"], "enabled": false}"#,
        );
        assert_eq!(
            no_key(&provider, "m").message,
            "no key of provider openai serves model \"m\"; key a has no value (A is unset or empty); key b has no value"
        );
    }

    #[test]
    fn not_all_of_many_are_named() {
        let keys = |value: &str| -> String {
            let keys = (0..KEYS_NAMED_MAX + 5)
                .map(|key| format!(r#"{{"name": "k{key}", "value": "env.{value}", "models": ["m"]}}"#));
            keys.collect::<Vec<_>>().join(",")
        };
        let message = no_key(&provider(&keys("K")), "m").message;
        assert!(message.ends_with("key k9 has no value (K is unset or empty); nor have 5 more"), "{message}");
        let message = key_not_found(&provider(&keys("SET")), Pin::Name("x")).message;
        assert!(message.ends_with("k8, k9 and 5 more"), "{message}");
    }

    const KEYS: &str = r#"{"name": "a", "id": "ida", "value": "env.SET", "models": ["m"], "aliases": {"n": "wire"}},
        {"name": "b", "id": "idb", "value": "env.SET", "models": ["*"], "blacklisted_models": ["m"], "weight": 2},
        {"name": "c", "id": "idc", "value": "env.UNSET", "models": ["*"]},
        {"name": "d", "id": "idd", "value": "env.SET", "models": ["*"], "enabled": false}"#;

    #[test]
    fn candidates_are_those_that_may() {
        let provider = provider(KEYS);
        let names = |model, pinned| {
            let leg = Leg {
                number: 0,
                id: ProviderId(0),
                provider: &provider,
                model,
                pinned,
                asks: (Dialect::OpenAi, Operation::Chat),
            };
            let found = leg.candidates().map(|one| (one.id, leg.wire_model(one.key), one.weight));
            found.collect::<Vec<_>>()
        };
        assert_eq!(names("m", None), [("ida", "m", 1.0)]);
        assert_eq!(names("n", None), [("ida", "wire", 1.0), ("idb", "n", 2.0)]);
        assert_eq!(names("n", Some(KeyId(1))), [("idb", "n", 2.0)]);
        assert_eq!(names("n", Some(KeyId(2))), []);
        assert_eq!(names("x", None), [("idb", "x", 2.0)]);
    }

    #[test]
    fn a_pin_is_by_name_or_id() {
        let provider = provider(KEYS);
        for (pin, found) in [
            (Pin::Name("b"), Some(1)),
            (Pin::Id("idb"), Some(1)),
            (Pin::Name("idb"), None),
            (Pin::Id("b"), None),
        ] {
            assert_eq!(pin.find(&provider), found.map(KeyId), "{pin:?}");
        }
    }

    #[test]
    fn a_pin_that_cannot_serve_is_answered_without_repeating_it() {
        let provider = provider(KEYS);
        let not_found = key_not_found(&provider, Pin::Name("sk-secret"));
        assert_eq!(not_found.message, "x-bf-api-key names no key of provider openai; it has a, b");
        assert_eq!((not_found.kind, not_found.param.as_deref()), (Kind::KeyNotFound, Some("x-bf-api-key")));
        let not_found = key_not_found(&provider, Pin::Id("x"));
        assert_eq!(not_found.message, "x-bf-api-key-id names no key of provider openai; it has ida, idb");
        for (key, reason) in [(1, "may not serve model \"m\""), (2, "has no value"), (3, "is disabled")] {
            let error = key_not_fitting(&provider, KeyId(key), "m", Pin::Name("x"));
            assert_eq!((error.kind, error.kind.status()), (Kind::NoKeyForModel, 400));
            assert!(error.message.ends_with(reason), "{error}");
        }
    }
}

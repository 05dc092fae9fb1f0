//! Configs and healths for the tests of this room.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::health::{Health, Standing, State};
use super::plan::{Attempt, Features};
use crate::config;
use crate::config::snapshot::{KeyId, Provider, ProviderId, Retry, Snapshot};
use crate::dialect::{Dialect, Operation};

/// The snapshot of a config whose `env.SET` has a value.
pub(super) fn snapshot(json: &str) -> Snapshot {
    let environment = |name: &str| (name == "SET").then(|| "sk-1".to_owned());
    config::load(json.as_bytes(), "config.json", &environment).unwrap().snapshot
}

/// Providers `one`, `three` and `two` of as many keys (`one-a`, `two-a`, `two-b`, …), each serving any model.
pub(super) fn three_providers() -> Snapshot {
    let provider = |name: &str, keys: &[&str]| {
        let keys = keys.iter().map(|key| {
            format!(
                r#"{{"name": "{name}-{key}", "id": "{name}-{key}", "value": "env.SET", "models": ["*"]}}"#
            )
        });
        format!(
            r#""{name}": {{"keys": [{}], "network_config": {{"base_url": "http://127.0.0.1:9"}},
                "custom_provider_config": {{"base_provider_type": "openai"}}}}"#,
            keys.collect::<Vec<_>>().join(",")
        )
    };
    let providers =
        [provider("one", &["a"]), provider("two", &["a", "b"]), provider("three", &["a", "b", "c"])];
    snapshot(&format!(r#"{{"providers": {{{}}}}}"#, providers.join(",")))
}

/// The provider of that name.
pub(super) fn provider<'a>(snapshot: &'a mut Snapshot, name: &str) -> &'a mut Provider {
    snapshot.providers.iter_mut().find(|provider| provider.name == name).unwrap()
}

/// So many retries of 100 ms, doubled up to 1 s.
pub(super) fn retries(retries_max: u32) -> Retry {
    let (backoff_initial, backoff_max) = (Duration::from_millis(100), Duration::from_secs(1));
    Retry { retries_max, backoff_initial, backoff_max }
}

/// A request for a model, with ten minutes, recorded.
pub(super) fn asked(model: &str, now: Instant) -> Features<'_> {
    Features {
        model,
        home: None,
        operation: Operation::Chat,
        dialect: Dialect::OpenAi,
        pin: None,
        session: None,
        fallbacks: None,
        deadline: now + Duration::from_secs(600),
        record: true,
    }
}

/// Names as a caller's fallbacks.
pub(super) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A health of which only what is wrong is said.
#[derive(Default)]
pub(super) struct Sick(pub(super) HashMap<(u16, Option<u16>), Standing>);

impl Sick {
    /// The key, by its name, is in this state from now on.
    pub(super) fn set(&mut self, snapshot: &Snapshot, name: &str, state: State) {
        self.stand(snapshot, name, Standing { state, ..Standing::GOOD });
    }

    /// Likewise with all that may be known.
    pub(super) fn stand(&mut self, snapshot: &Snapshot, name: &str, standing: Standing) {
        for (provider, id) in snapshot.providers.iter().zip(0..) {
            if let Some(key) = provider.keys.iter().position(|key| key.name == name) {
                self.0.insert((id, Some(u16::try_from(key).unwrap())), standing);
            }
        }
    }
}

impl Health for Sick {
    fn standing(&self, provider: ProviderId, key: Option<KeyId>, _: Instant) -> Standing {
        self.0.get(&(provider.0, key.map(|key| key.0))).copied().unwrap_or(Standing::GOOD)
    }
}

/// The name of an attempt's key, or its provider's when it has none.
pub(super) fn name<'a>(snapshot: &'a Snapshot, attempt: &Attempt<'_>) -> &'a str {
    let provider = &snapshot.providers[usize::from(attempt.provider.0)];
    attempt.key.map_or(&provider.name, |key| &provider.keys[usize::from(key.0)].name)
}

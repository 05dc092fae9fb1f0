//! Whose a stored response is: the mark that its id bears from the answer on, and where a marked id leads. The mark is made of
//! the provider's name and the key's id, so that every node with the same config reads it alike and nobody keeps anything.
//! Where the marks stand in bytes is `dialect::response_id`'s.

use std::ops::Range;

use super::exchange::Exchange;
use super::outgoing::Edit;
use crate::config::snapshot::{Key, KeyId, Provider, ProviderId, Snapshot};
use crate::dialect::look;
use crate::dialect::response_id::Tag;
use crate::error::{Error, Kind};
use crate::routing::{sticky, target};

/// The top-level keys that decide something in a body of Responses, in the places of [`super::asked::KEYS`]: its
/// `stream_options` know no usage, so that the place is free.
pub(super) const RESPONSES_KEYS: [&str; 5] =
    ["model", "stream", "previous_response_id", "fallbacks", "prompt_cache_key"];
/// Which of them is the id.
pub(super) const PREVIOUS: usize = 2;

/// Where a response is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// To whom.
    pub(super) provider: ProviderId,
    /// By which key; `None`: the provider has none, or that one is gone or cannot be used, and others may know it.
    pub(super) key: Option<KeyId>,
}

/// What a request says of what was made before: a response, files.
pub(super) struct Known {
    /// Where that is known; `None`: its id does not say.
    pub(super) origin: Option<Origin>,
    /// How the body names each id as its provider knows it.
    edits: Vec<Edit>,
}

impl Known {
    /// By the value at `span` of `body`; `None`: it is no id that was marked.
    pub(super) fn of(snapshot: &Snapshot, body: &[u8], span: Range<usize>) -> Option<Self> {
        let id = look::string_value(body.get(span.clone())?)?;
        let (id, number) = Tag::split(&id)?;
        let mut bare = Vec::with_capacity(id.len() + 2);
        look::write_string(&mut bare, id);
        Some(Self { origin: origin(snapshot, number), edits: vec![Edit { span, bytes: bare }] })
    }

    /// Takes in what the same body says of another. Errors: no one knows both; `parameter` named that one.
    pub(super) fn join(&mut self, other: Self, parameter: &'static str) -> Result<(), Error> {
        if self.origin != other.origin {
            let message =
                format!("{parameter} and what else the body names by id are not of one provider and key");
            return Err(Error::new(Kind::InvalidRequest, message).with_param(parameter));
        }
        self.edits.extend(other.edits);
        Ok(())
    }

    /// The changes to the body by which the provider finds its own ids.
    pub(super) fn edits(&self) -> impl Iterator<Item = Edit> {
        self.edits.iter().map(|edit| Edit { span: edit.span.clone(), bytes: edit.bytes.clone() })
    }
}

/// The mark of what this provider was asked for by this key.
pub(super) fn of(provider: &Provider, key: Option<&Key>) -> Tag {
    let key_id = key.map_or("", |key| key.id.as_str());
    Tag::new(u64::from(half(&provider.name)) << 32 | u64::from(half(key_id)))
}

/// One half for each, so that a key that was replaced still leaves its provider's others.
fn half(name: &str) -> u32 {
    (sticky::session_of(name.as_bytes()) >> 32) as u32
}

/// Where a mark leads; `None`: to a provider that the config does not have.
pub(super) fn origin(snapshot: &Snapshot, number: u64) -> Option<Origin> {
    let (provider_half, key_half) = (number >> 32, number & u64::from(u32::MAX));
    let mut providers = snapshot.providers.iter().zip(0..);
    let (provider, id) = providers.find(|(provider, _)| u64::from(half(&provider.name)) == provider_half)?;
    let mut keys = provider.keys.iter().zip(0..);
    let key = keys.find(|(key, _)| key.is_usable() && u64::from(half(&key.id)) == key_half);
    Some(Origin { provider: ProviderId(id), key: key.map(|(_, id)| KeyId(id)) })
}

/// The provider's name and the key's id, as `routing` takes them.
pub(super) fn names(snapshot: &Snapshot, origin: Origin) -> Option<(&str, Option<&str>)> {
    let provider = snapshot.providers.get(usize::from(origin.provider.0))?;
    let key = origin.key.and_then(|key| provider.keys.get(usize::from(key.0)));
    Some((&provider.name, key.map(|key| key.id.as_str())))
}

/// Errors: the model is another provider's than what `parameter` names.
pub(super) fn check_model(
    exchange: &Exchange<'_>,
    model: &str,
    (home, origin, parameter): (Option<&str>, Origin, &'static str),
) -> Result<(), Error> {
    let snapshot = &exchange.snapshot;
    let Ok(meant) = target::locate(snapshot, model, home) else { return Ok(()) };
    if meant.provider == origin.provider {
        return Ok(());
    }
    let name = |id: ProviderId| {
        snapshot.providers.get(usize::from(id.0)).map_or("", |provider| provider.name.as_str())
    };
    let message = format!(
        "{parameter} is known to the provider {} alone, and the model is one of {}: name one of its models, or send the content \
         itself",
        name(origin.provider),
        name(meant.provider)
    );
    Err(Error::new(Kind::InvalidRequest, message).with_param(parameter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn snapshot(text: &str) -> Snapshot {
        let loaded = config::load(text.as_bytes(), "c", &|_: &str| None);
        loaded.map_err(|faults| format!("{faults:?}")).unwrap().snapshot
    }

    fn number(tag: Tag) -> u64 {
        let id = format!("r{}", std::str::from_utf8(tag.bytes()).unwrap());
        Tag::split(&id).unwrap().1
    }

    const TWO: &str = r#"{"providers": {
        "openai": {"keys": [{"name": "a", "id": "ida", "value": "x", "models": ["*"]}, {"name": "b", "id": "idb", "value": "y", "models": ["*"]}]},
        "xai": {"keys": [{"name": "c", "id": "idc", "value": "z", "models": ["*"]}]}}}"#;

    #[test]
    fn a_mark_is_the_same_for_ever_and_leads_back() {
        let config = snapshot(TWO);
        let openai = &config.providers[0];
        assert_eq!(of(openai, openai.keys.first()).bytes(), b"~d2ceh0adaf8q8");
        for (id, provider) in config.providers.iter().enumerate() {
            for (key_id, key) in provider.keys.iter().enumerate() {
                let found = origin(&config, number(of(provider, Some(key)))).unwrap();
                let key = Some(KeyId(key_id as u16));
                assert_eq!(found, Origin { provider: ProviderId(id as u16), key });
            }
        }
    }

    #[test]
    fn a_key_that_is_gone_leaves_its_provider_and_a_provider_nothing() {
        let config = snapshot(TWO);
        let (openai, xai) = (&config.providers[0], &config.providers[1]);
        let tags =
            [of(openai, openai.keys.first()), of(openai, openai.keys.get(1)), of(xai, xai.keys.first())];
        let later = snapshot(
            r#"{"providers": {"openai": {"keys": [{"name": "b", "id": "idb", "value": "y", "models": ["*"]},
            {"name": "a", "id": "ida", "value": "x", "models": ["*"], "enabled": false}]}}}"#,
        );
        let found = tags.map(|tag| origin(&later, number(tag)).map(|origin| origin.key));
        assert_eq!(found, [Some(None), Some(Some(KeyId(0))), None]);
    }
}

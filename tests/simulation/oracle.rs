//! What a request's legs are, worked out from the config a second time, and simply: what the plan is held to.

use corelane::config::snapshot::{Key, KeyId, Provider, ProviderId, Snapshot};
use corelane::routing::plan::{Features, Pin};

/// The keys that may serve a leg by the config; `None`: the leg cannot be taken.
pub(crate) fn leg(
    snapshot: &Snapshot,
    features: &Features<'_>,
    leg: u16,
) -> Option<(ProviderId, Vec<Option<KeyId>>)> {
    let (primary, primary_model) = features.model.split_once('/')?;
    let name = match leg {
        0 => features.model,
        leg => fallbacks(snapshot, features)?.get(usize::from(leg) - 1)?,
    };
    let (prefix, model) = name.split_once('/')?;
    let model = if model.is_empty() && leg > 0 { primary_model } else { model };
    let (id, provider) = find(snapshot, if prefix.is_empty() { primary } else { prefix })?;
    if model.is_empty() {
        return None;
    }
    if provider.key_less {
        return (leg > 0 || features.pin.is_none()).then(|| (id, vec![None]));
    }
    let is_pinned = |key: &Key| match features.pin {
        Some(Pin::Name(name)) => key.name == name,
        Some(Pin::Id(id)) => key.id == id,
        None => false,
    };
    let has_pinned = provider.keys.iter().any(is_pinned);
    let is_bound = features.pin.is_some() && (leg == 0 || has_pinned);
    let keys = provider.keys.iter().zip(0..).filter(|(key, _)| {
        key.enabled && key.credential.is_some() && key.serves(model) && (!is_bound || is_pinned(key))
    });
    let keys: Vec<Option<KeyId>> = keys.map(|(_, id)| Some(KeyId(id))).collect();
    (!keys.is_empty()).then_some((id, keys))
}

/// How many fallbacks are named.
pub(crate) fn fallback_count(snapshot: &Snapshot, features: &Features<'_>) -> u16 {
    u16::try_from(fallbacks(snapshot, features).map_or(0, <[String]>::len)).unwrap()
}

fn fallbacks<'a>(snapshot: &'a Snapshot, features: &Features<'a>) -> Option<&'a [String]> {
    if features.fallbacks.is_some() {
        return features.fallbacks;
    }
    let (primary, model) = features.model.split_once('/')?;
    let (_, provider) = find(snapshot, primary)?;
    let of = |name: &str| provider.fallbacks.iter().find(|(listed, _)| listed == name);
    of(model).or_else(|| of("*")).map(|(_, names)| names.as_slice())
}

fn find<'a>(snapshot: &'a Snapshot, name: &str) -> Option<(ProviderId, &'a Provider)> {
    let mut providers = snapshot.providers.iter().zip(0..);
    providers.find(|(provider, _)| provider.name == name).map(|(provider, id)| (ProviderId(id), provider))
}

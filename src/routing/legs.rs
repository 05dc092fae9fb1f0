//! A request's legs: the primary, which its model's name means, and its fallbacks, the caller's own or the config's, each
//! looked at only when it is needed. It does not say which is tried.

use super::keys::{Leg, key_not_fitting, key_not_found, no_account_key, no_key, no_way};
use super::plan::{Features, Pin};
use super::target::{self, Target};
use crate::config::snapshot::{FALLBACKS_MAX, KeyId, Provider, Snapshot};
use crate::dialect::Operation;
use crate::error::Error;

/// The ways that a request may take.
pub(super) struct Legs<'a> {
    snapshot: &'a Snapshot,
    features: Features<'a>,
    primary: Target<'a>,
    /// As a caller would name them; `provider/` is the primary's model there.
    fallbacks: &'a [String],
}

impl<'a> Legs<'a> {
    /// Errors: the name means no provider.
    pub(super) fn new(snapshot: &'a Snapshot, features: Features<'a>) -> Result<Self, Error> {
        let primary = match features.model.strip_suffix('/').filter(|_| names_no_model(features.operation)) {
            Some(name) => Target { provider: target::provider(snapshot, name)?, model: "" },
            None => target::locate(snapshot, features.model, features.home)?,
        };
        let provider = snapshot.providers.get(usize::from(primary.provider.0));
        let fallbacks = features
            .fallbacks
            .unwrap_or_else(|| provider.map(|provider| listed(provider, primary.model)).unwrap_or_default());
        let fallbacks = fallbacks.get(..FALLBACKS_MAX).unwrap_or(fallbacks);
        Ok(Self { snapshot, features, primary, fallbacks })
    }

    /// All of them: 0 is the primary.
    pub(super) fn numbers(&self) -> std::ops::RangeInclusive<u16> {
        0..=u16::try_from(self.fallbacks.len()).unwrap_or_default()
    }

    /// What the request says.
    pub(super) fn features(&self) -> &Features<'a> {
        &self.features
    }

    /// What its config is.
    pub(super) fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    /// What the name of a leg means, and that name.
    pub(super) fn name(&self, number: u16) -> &'a str {
        match number.checked_sub(1) {
            None => self.features.model,
            Some(index) => self.fallbacks.get(usize::from(index)).map(String::as_str).unwrap_or_default(),
        }
    }

    /// The leg, with at least one candidate. Errors: why it cannot be taken.
    pub(super) fn leg(&self, number: u16) -> Result<Leg<'a>, Error> {
        let target = self.target(number)?;
        let provider = target::served(self.snapshot, &target, self.name(number))?;
        target::permit(provider, self.features.dialect, self.features.operation)?;
        let by_account = self.features.operation.is_of_account();
        let asks = (self.features.dialect, self.features.operation);
        let (id, model) = (target.provider, target.model);
        let mut leg = Leg { number, id, provider, model, pinned: None, asks };
        leg.pinned = self.features.pin.map_or(Ok(None), |pin| pinned(&leg, pin))?;
        match leg.candidates().next() {
            Some(_) => Ok(leg),
            None if by_account => Err(no_account_key(provider)),
            None => Err(no_way(&leg).unwrap_or_else(|| no_key(provider, leg.model))),
        }
    }

    /// What a leg's name means. Errors: it means no provider.
    pub(super) fn target(&self, number: u16) -> Result<Target<'a>, Error> {
        if number == 0 {
            return Ok(self.primary.clone());
        }
        let name = self.name(number);
        let whole = name.split_once('/').filter(|(_, model)| model.is_empty());
        if let Some(provider) = whole.and_then(|(prefix, _)| target::position(self.snapshot, prefix)) {
            return Ok(Target { provider, model: self.primary.model });
        }
        // Bare names of the caller mean what they would mean as its model; the config's are never bare.
        target::locate(self.snapshot, name, self.features.home)
    }
}

/// Whether a provider is named instead of a model: `provider/`.
fn names_no_model(operation: Operation) -> bool {
    operation.is_of_made() || operation.is_of_account()
}

/// The config's fallbacks for a model: its own, else those for any.
fn listed<'a>(provider: &'a Provider, model: &str) -> &'a [String] {
    let of = |name: &str| provider.fallbacks.iter().find(|(listed, _)| listed == name);
    of(model).or_else(|| of("*")).map(|(_, targets)| targets.as_slice()).unwrap_or_default()
}

/// A pin binds the primary, and a fallback whose provider has the key.
fn pinned(leg: &Leg<'_>, pin: Pin<'_>) -> Result<Option<KeyId>, Error> {
    let Some(key) = pin.find(leg.provider) else {
        return if leg.number == 0 { Err(key_not_found(leg.provider, pin)) } else { Ok(None) };
    };
    match (Leg { pinned: Some(key), ..*leg }).candidates().next() {
        Some(_) => Ok(Some(key)),
        None => Err(key_not_fitting(leg.provider, key, leg.model, pin)),
    }
}

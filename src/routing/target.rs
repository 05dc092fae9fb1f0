//! From a model's name to the provider that is meant. It chooses no key.

use crate::config::snapshot::{Models, Provider, ProviderId, Snapshot};
use crate::dialect::{Dialect, Operation};
use crate::error::{Error, Kind};
use crate::provider;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Which provider.
    pub provider: ProviderId,
    /// The model without the provider's prefix.
    pub model: &'a str,
}

/// The provider that `name` means, which this version serves. Errors as for [`locate`], and when it does not.
pub fn resolve<'a>(snapshot: &Snapshot, name: &'a str, home: Option<&str>) -> Result<Target<'a>, Error> {
    let target = locate(snapshot, name, home)?;
    served(snapshot, &target, name)?;
    Ok(target)
}

/// The provider that `name` means: its prefix up to the first slash, when that is a provider; else `home`, the vendor
/// whose path was called; else the only one that lists the bare name. Whether it is served is not asked. Errors quote
/// the name as it was sent.
pub fn locate<'a>(snapshot: &Snapshot, name: &'a str, home: Option<&str>) -> Result<Target<'a>, Error> {
    match name.split_once('/') {
        Some((prefix, model)) => match position(snapshot, prefix) {
            Some(_) if model.is_empty() => Err(not_found(name, "there is nothing after the slash")),
            Some(provider) => Ok(Target { provider, model }),
            None if provider::find(&prefix.to_ascii_lowercase()).is_some() => {
                Err(not_configured(snapshot, name, prefix))
            }
            None => bare(snapshot, name, home),
        },
        None => bare(snapshot, name, home),
    }
}

/// The provider of this name, whatever the case. Errors: the config has none.
pub fn provider(snapshot: &Snapshot, name: &str) -> Result<ProviderId, Error> {
    position(snapshot, name).ok_or_else(|| {
        let message = format!("provider {} is not configured ({})", quoted(name), provider_names(snapshot));
        Error::new(Kind::ProviderNotConfigured, message)
    })
}

/// The provider of a target. Errors: this version does not serve it; `name` is what the caller asked for.
pub fn served<'s>(snapshot: &'s Snapshot, target: &Target<'_>, name: &str) -> Result<&'s Provider, Error> {
    let provider = snapshot.providers.get(usize::from(target.provider.0));
    provider.filter(|provider| provider.dialect.is_some()).ok_or_else(|| not_supported(name))
}

/// Refuses an operation, asked for in `caller`'s dialect, that the provider's API does not have and that is not translated to
/// one that it has, or that the config does not let it be asked for.
pub fn permit(provider: &Provider, caller: Dialect, operation: Operation) -> Result<(), Error> {
    if provider.way(caller, operation).is_some() {
        return Ok(());
    }
    let (name, provider_name) = (operation.name(), &provider.name);
    if provider.cloud.is_some() {
        let message = format!(
            "{name} is not served by the provider {provider_name} in this version, by no key and for no model"
        );
        return Err(Error::new(Kind::ProviderNotSupported, message).with_param("model"));
    }
    let mut ways = provider.dialect.into_iter().flat_map(|dialect| operation.ways(caller, dialect));
    if !ways.any(|(_, operation)| provider.targets.of(operation).is_some()) {
        let message = format!(
            "{name} is not served by the provider {provider_name}: its API has no such operation, and none that this one is \
             translated to"
        );
        return Err(Error::new(Kind::ProviderNotSupported, message).with_param("model"));
    }
    let message = format!("{name} is not supported by {provider_name} provider");
    Err(Error::new(Kind::UnsupportedOperation, message))
}

fn bare<'a>(snapshot: &Snapshot, name: &'a str, home: Option<&str>) -> Result<Target<'a>, Error> {
    if name.is_empty() {
        return Err(not_found(name, "name one as provider/model"));
    }
    if let Some(home) = home {
        let provider = position(snapshot, home).ok_or_else(|| not_configured(snapshot, name, home))?;
        return Ok(Target { provider, model: name });
    }
    let mut listing = (0u16..).zip(&snapshot.providers).filter(|(_, provider)| lists(provider, name));
    match (listing.next(), listing.next()) {
        (Some((index, _)), None) => Ok(Target { provider: ProviderId(index), model: name }),
        (Some((_, first)), Some((_, second))) => {
            let rest = listing.map(|(_, provider)| provider.name.as_str());
            let names: Vec<&str> =
                [first.name.as_str(), second.name.as_str()].into_iter().chain(rest).collect();
            let hint = format!("several providers list it, say which: {}", candidates(&names, name));
            Err(not_found(name, &hint))
        }
        (None, _) => Err(not_found(name, &hint(snapshot))),
    }
}

pub(super) fn position(snapshot: &Snapshot, name: &str) -> Option<ProviderId> {
    let found =
        (0u16..).zip(&snapshot.providers).find(|(_, provider)| provider.name.eq_ignore_ascii_case(name));
    found.map(|(index, _)| ProviderId(index))
}

/// Whether one of the provider's keys names the model, in its list or as an alias.
pub fn lists(provider: &Provider, model: &str) -> bool {
    provider.keys.iter().any(|key| {
        let listed = matches!(&key.models, Models::Only(models) if models.iter().any(|name| name == model));
        listed || key.aliases.iter().any(|(alias, _)| alias == model)
    })
}

fn candidates(names: &[&str], model: &str) -> String {
    names.iter().map(|name| format!("{name}/{model}")).collect::<Vec<_>>().join(", ")
}

fn hint(snapshot: &Snapshot) -> String {
    format!("no configured provider lists it; name one as provider/model ({})", provider_names(snapshot))
}

fn provider_names(snapshot: &Snapshot) -> String {
    let names: Vec<&str> = snapshot.providers.iter().map(|provider| provider.name.as_str()).collect();
    format!("configured: {}", names.join(", "))
}

fn not_found(name: &str, reason: &str) -> Error {
    Error::new(Kind::ModelNotFound, format!("model \"{}\": {reason}", quoted(name))).with_param("model")
}

fn not_configured(snapshot: &Snapshot, name: &str, provider: &str) -> Error {
    let message = format!(
        "model \"{}\": provider {} is not configured ({})",
        quoted(name),
        quoted(provider),
        provider_names(snapshot)
    );
    Error::new(Kind::ProviderNotConfigured, message).with_param("model")
}

fn not_supported(name: &str) -> Error {
    let message = format!("model \"{}\": this version does not serve its provider yet", quoted(name));
    Error::new(Kind::ProviderNotSupported, message).with_param("model")
}

/// A caller's words in an error: at most 200 characters.
pub(super) fn quoted(name: &str) -> String {
    match name.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()),
        None => name.to_owned(),
    }
}

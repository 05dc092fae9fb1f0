//! An attempt that did not serve, as a value: nothing of it has gone to the caller, so that another may follow. Whether one
//! does is `routing`'s.

use std::time::Duration;

use super::exchange::Exchange;
use crate::config::snapshot::Provider;
use crate::error::{Error, Kind};

/// Why an attempt did not serve.
pub(super) struct Failure {
    /// The fault: ours, or the provider's.
    pub(super) error: Error,
    /// How long the provider asks to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// The provider's answer, ready for the caller; `None`: there is none, and the error is put into its words.
    pub(super) answer: Option<Box<Answered>>,
}

/// A provider's error answer, as the caller will get it if nothing better comes.
pub(super) struct Answered {
    /// Status line and returned headers, without framing and without an end.
    pub(super) head: Vec<u8>,
    /// In the caller's dialect: at most 64 KiB, and what the last read brought beyond them.
    pub(super) body: Vec<u8>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, retry_after: None, answer: None }
    }
}

/// The same, its sentence beginning with the provider's name where `net`, which knows hosts, worded it.
pub(super) fn named(mut failure: Failure, provider: &Provider) -> Failure {
    let is_worded_by_net = matches!(
        failure.error.kind,
        Kind::UpstreamUnreachable | Kind::UpstreamAddressRefused | Kind::UpstreamInvalidResponse
    );
    if is_worded_by_net && !failure.error.message.starts_with("provider ") {
        failure.error.message = format!("provider {}: {}", provider.name, failure.error.message).into();
    }
    failure
}

/// Every key of the chosen provider was refused. `error` is what the provider said; its status would blame the caller's key.
pub(super) fn exhausted(exchange: &Exchange<'_>, error: &Error) -> Error {
    // The provider was not asked.
    if error.kind == Kind::TokenUnavailable {
        return error.clone();
    }
    let provider = exchange.chosen().0.map_or("", |provider| provider.name.as_str());
    let message = format!(
        "provider {provider} refused every key that it was asked by ({}): {}; check the keys' values and the account's state",
        error.status(),
        error.message
    );
    Error::new(Kind::ProviderCredentialsExhausted, message)
}

/// A place in the snapshot that a plan named is not there.
pub(super) fn no_provider() -> Error {
    Error::new(Kind::Internal, "the chosen provider has left the config")
}

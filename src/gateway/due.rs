//! The deadlines towards a provider: which of them comes first where an answer stands, and how it is told that it passed.
//! Whoever waits keeps them.

use std::time::{Duration, Instant};

use super::exchange::Exchange;
use crate::config::snapshot::Provider;
use crate::error::{Error, Kind};

/// A moment by which something of a provider must be here, and the setting that says so.
#[derive(Clone, Copy)]
pub(super) struct Due {
    pub(super) at: Instant,
    setting: Setting,
}

#[derive(Clone, Copy)]
enum Setting {
    Request,
    FirstToken,
    StreamIdle,
    Total,
}

impl Due {
    /// A whole answer, to a request that was sent at `sent`.
    pub(super) fn of_answer(exchange: &Exchange<'_>, provider: &Provider, sent: Instant) -> Self {
        let at = sent + provider.request_timeout;
        Self { at, setting: Setting::Request }.or(Self::of_everything(exchange))
    }

    /// An answer's head. That of a stream is due when its first content is, if that is sooner.
    pub(super) fn of_head(exchange: &Exchange<'_>, provider: &Provider, sent: Instant) -> Self {
        let due = Self::of_answer(exchange, provider, sent);
        if exchange.stream { due.or(Self::of_first_token(provider, sent)) } else { due }
    }

    /// What comes next of a stream that has given no content yet; the last thing came at `before`.
    pub(super) fn of_content(
        exchange: &Exchange<'_>,
        provider: &Provider,
        sent: Instant,
        before: Instant,
    ) -> Self {
        let due = Self::of_event(provider, before);
        due.or(Self::of_first_token(provider, sent)).or(Self::of_everything(exchange))
    }

    /// What comes next of a stream.
    pub(super) fn of_event(provider: &Provider, before: Instant) -> Self {
        Self { at: before + provider.stream_idle_timeout, setting: Setting::StreamIdle }
    }

    fn of_first_token(provider: &Provider, sent: Instant) -> Self {
        Self { at: sent + provider.first_token_timeout, setting: Setting::FirstToken }
    }

    fn of_everything(exchange: &Exchange<'_>) -> Self {
        Self { at: exchange.deadline, setting: Setting::Total }
    }

    /// The earlier of two.
    fn or(self, other: Self) -> Self {
        if other.at < self.at { other } else { self }
    }

    /// It passed.
    pub(super) fn error(self, exchange: &Exchange<'_>, provider: &Provider) -> Error {
        let name = &provider.name;
        let message = match self.setting {
            Setting::Request => {
                let after_s = seconds(provider.request_timeout);
                format!(
                    "provider {name} did not answer in {after_s} s (network_config.default_request_timeout_in_seconds)"
                )
            }
            Setting::FirstToken => {
                let after_s = seconds(provider.first_token_timeout);
                format!("provider {name} sent no content in {after_s} s (network_config.first_token_timeout)")
            }
            Setting::StreamIdle => {
                let after_s = seconds(provider.stream_idle_timeout);
                format!("the provider's stream was silent for {after_s} s")
            }
            Setting::Total => {
                let after_s = seconds(exchange.snapshot.server.request_total_timeout);
                format!(
                    "the request had no answer after {after_s} s, all attempts together (server.request_total_timeout_seconds); provider {name} was asked last"
                )
            }
        };
        Error::new(Kind::UpstreamTimeout, message)
    }
}

/// Without a fraction where there is none.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

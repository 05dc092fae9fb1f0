//! What the end of an attempt says of its key and its origin, told to this core's view of their health, and that view as
//! numbers. What follows from it for the request is `routing`'s to say.

use std::time::{Duration, Instant};

use super::Core;
use super::exchange::Exchange;
use super::failure::Failure;
use crate::config::snapshot::{KeyId, Provider, ProviderId};
use crate::error::{Error, Kind};
use crate::net::places::Count;
use crate::routing::health::State;
use crate::routing::plan::{Class, classify};
use crate::routing::view::{Outcome, View};
use crate::telemetry::sample::{BreakerState, KeyHealth, OriginHealth, QueueSample, Sample};

impl Exchange<'_> {
    /// The attempt under way has ended.
    pub(super) fn end_attempt(&mut self, core: &Core, served: &Result<(), Failure>) {
        let Some(mut running) = self.running.take() else { return };
        let outcome = match served {
            // A stream that broke off after it had begun, or brought an error, is served and has failed.
            Ok(()) => self.error.as_ref().map_or(Outcome::Answered, |error| outcome(error, None)),
            Err(failure) if self.was_cut_short(&failure.error) => Outcome::Neutral,
            Err(failure) => outcome(&failure.error, failure.retry_after),
        };
        if let (Outcome::Answered, None, Some(elapsed)) = (outcome, self.first_token, self.upstream) {
            running.first_token(elapsed, self.now());
        }
        if let Some(cooldown) = running.end(outcome, self.now()) {
            core.neighbours.tell(core.index, cooldown);
        }
    }

    /// The request's own time ran out, and the provider had less than half of it: that says nothing of the provider. Were it a
    /// failure, requests that waited long for a place would open the breaker of one that serves as well as it can.
    fn was_cut_short(&self, error: &Error) -> bool {
        let total = self.snapshot.server.request_total_timeout;
        error.kind == Kind::UpstreamTimeout
            && self.now() >= self.deadline
            && self.upstream.unwrap_or_default() < total / 2
    }
}

impl Core {
    /// Its counters, and what it knows of keys, origins and queues.
    pub fn sample(&self, now: Instant) -> Sample {
        let (snapshot, view) = self.moment();
        let mut sample = self.cells.sample();
        for (id, provider) in (0..).map(ProviderId).zip(&snapshot.providers) {
            // One that is not served is never asked.
            if provider.dialect.is_some() {
                sample.keys.extend(keys(&view, id, provider, now));
                sample.origins.extend(view.origin(id, now).map(|state| OriginHealth {
                    provider: provider.name.as_str().into(),
                    breaker: breaker(state),
                }));
            }
        }
        let queue =
            |Count { provider, taken, waiting }| QueueSample { provider: provider.into(), taken, waiting };
        sample.queues = self.places.counts().into_iter().map(queue).collect();
        sample
    }
}

fn keys(view: &View, id: ProviderId, provider: &Provider, now: Instant) -> Vec<KeyHealth> {
    let health = |key: Option<KeyId>, key_name: &str, key_id: &str| {
        let alone = view.key(id, key, now)?;
        Some(KeyHealth {
            provider: provider.name.as_str().into(),
            key_name: key_name.into(),
            key_id: key_id.into(),
            breaker: breaker(alone.breaker),
            cooling_ms: u64::try_from(alone.cooling.as_millis()).unwrap_or(u64::MAX),
            in_flight: alone.in_flight,
        })
    };
    if provider.key_less {
        return health(None, "", "").into_iter().collect();
    }
    let keys = (0..).map(KeyId).zip(&provider.keys);
    keys.filter_map(|(key_id, key)| health(Some(key_id), &key.name, &key.id)).collect()
}

fn breaker(state: State) -> BreakerState {
    match state {
        State::Passing | State::Cooling { .. } => BreakerState::Closed,
        State::HalfOpen | State::Probing => BreakerState::HalfOpen,
        State::Open { .. } => BreakerState::Open,
    }
}

/// What a failure says of the provider's health.
fn outcome(error: &Error, retry_after: Option<Duration>) -> Outcome {
    match (error.kind, classify(error)) {
        (Kind::UpstreamUnreachable, _) => Outcome::Unreachable,
        (_, Class::Transient) => Outcome::Failed { retry_after },
        (_, Class::Limited) => Outcome::Limited { retry_after },
        (_, Class::Refused) => Outcome::Refused,
        (Kind::UpstreamStatus, Class::Final | Class::Elsewhere | Class::Unknown) => Outcome::Answered,
        (_, Class::Final | Class::Elsewhere | Class::Unknown) => Outcome::Neutral,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::UpstreamError;

    #[test]
    fn what_counts_and_for_whom() {
        let retry_after = Some(Duration::from_secs(3));
        for (status, expected) in [
            (400, Outcome::Answered),
            (401, Outcome::Refused),
            (402, Outcome::Refused),
            (403, Outcome::Refused),
            (404, Outcome::Answered),
            (422, Outcome::Answered),
            (429, Outcome::Limited { retry_after }),
            (500, Outcome::Failed { retry_after }),
            (501, Outcome::Answered),
            (529, Outcome::Failed { retry_after }),
        ] {
            let error = Error::upstream(UpstreamError { status, ..UpstreamError::default() });
            assert_eq!(outcome(&error, retry_after), expected, "{status}");
        }
        for (kind, expected) in [
            (Kind::UpstreamUnreachable, Outcome::Unreachable),
            (Kind::UpstreamTimeout, Outcome::Failed { retry_after: None }),
            (Kind::UpstreamInvalidResponse, Outcome::Failed { retry_after: None }),
            (Kind::TokenUnavailable, Outcome::Refused),
            (Kind::UpstreamAddressRefused, Outcome::Neutral),
            (Kind::RequestDropped, Outcome::Neutral),
            (Kind::QueueTimeout, Outcome::Neutral),
            (Kind::ClientGone, Outcome::Neutral),
            (Kind::Overloaded, Outcome::Neutral),
            (Kind::Internal, Outcome::Neutral),
        ] {
            assert_eq!(outcome(&Error::new(kind, "x"), None), expected, "{kind:?}");
        }
    }
}

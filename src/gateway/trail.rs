//! What became of each attempt of one request, as small data for its row and its answer's headers. It decides nothing and
//! formats nothing.

use std::time::Duration;

use crate::config::snapshot::{KeyId, ProviderId};
use crate::error::{Error, Kind};
use crate::routing::plan::{Attempt, Class, classify};

/// A request's attempts in their order, at most `routing::plan`'s 256. The last stands beside the others, so that a request
/// which is served at once allocates nothing for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail {
    earlier: Vec<Tried>,
    last: Option<Tried>,
}

/// One attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tried {
    /// Place in the list of fallbacks, from 1; 0: the primary.
    pub(super) leg: u16,
    /// To whom.
    pub(super) provider: ProviderId,
    /// By which key; `None` for a provider without keys.
    pub(super) key: Option<KeyId>,
    /// What became of it.
    pub(super) outcome: Outcome,
    /// Time spent before it for its sake: the back-off.
    pub(super) wait: Duration,
    /// From its beginning (a place in the provider's queue counted in) to its failure, or to the answer's end.
    pub(super) took: Duration,
    /// Of `took`, what passed in the provider's queue.
    pub(super) queued: Duration,
}

/// See [`Tried::outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has not ended: the node did.
    UnderWay,
    /// The provider's status, be it an error.
    Status(u16),
    /// The provider's status of an error that is the key's, which this status does not say: Google's 400.
    KeyRefused(u16),
    /// No status, or one whose answer could not be used.
    Failed(Kind),
}

impl Outcome {
    /// What a fault says of the attempt that met it.
    pub(super) fn of(error: &Error) -> Self {
        match error.kind {
            Kind::UpstreamStatus if error.status() == 400 && classify(error) == Class::Refused => {
                Self::KeyRefused(error.status())
            }
            Kind::UpstreamStatus => Self::Status(error.status()),
            kind => Self::Failed(kind),
        }
    }
}

impl Trail {
    /// An attempt begins, `wait` after the one before it failed.
    pub(super) fn begin(&mut self, attempt: &Attempt<'_>, wait: Duration) {
        let tried = Tried {
            leg: attempt.leg,
            provider: attempt.provider,
            key: attempt.key,
            outcome: Outcome::UnderWay,
            wait,
            took: Duration::ZERO,
            queued: Duration::ZERO,
        };
        self.earlier.extend(self.last.replace(tried));
    }

    /// The last attempt waited for a place with its provider.
    pub(super) fn queued(&mut self, queued: Duration) {
        if let Some(last) = &mut self.last {
            last.queued = queued;
        }
    }

    /// The last attempt has ended.
    pub(super) fn end(&mut self, outcome: Outcome, took: Duration) {
        if let Some(last) = &mut self.last {
            (last.outcome, last.took) = (outcome, took);
        }
    }

    /// All of them, the first first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Tried> {
        self.earlier.iter().chain(&self.last)
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.earlier.len() + usize::from(self.last.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::UpstreamError;

    #[test]
    fn a_key_refused_by_a_400_is_told_from_a_faulty_request() {
        let outcome = |status, code: &str| {
            let code = Some(code.to_owned());
            Outcome::of(&Error::upstream(UpstreamError { status, code, ..UpstreamError::default() }))
        };
        assert_eq!(outcome(400, "API_KEY_INVALID"), Outcome::KeyRefused(400));
        assert_eq!(outcome(400, "INVALID_ARGUMENT"), Outcome::Status(400));
        assert_eq!(outcome(401, "API_KEY_INVALID"), Outcome::Status(401));
    }

    fn attempt(leg: u16, key: u16) -> Attempt<'static> {
        let (provider, key) = (ProviderId(leg), Some(KeyId(key)));
        Attempt { number: 1, leg, provider, key, model: "m", wire_model: "m" }
    }

    #[test]
    fn attempts_stand_in_their_order_and_the_first_allocates_nothing() {
        let mut trail = Trail::default();
        assert_eq!((trail.len(), trail.iter().count()), (0, 0));
        trail.begin(&attempt(0, 3), Duration::ZERO);
        assert_eq!((trail.len(), trail.earlier.capacity()), (1, 0));
        trail.end(Outcome::Failed(Kind::UpstreamTimeout), Duration::from_secs(2));
        trail.begin(&attempt(1, 0), Duration::from_millis(5));
        trail.end(Outcome::Status(200), Duration::from_millis(7));
        let seen: Vec<_> =
            trail.iter().map(|tried| (tried.leg, tried.outcome, tried.wait, tried.took)).collect();
        let first = (0, Outcome::Failed(Kind::UpstreamTimeout), Duration::ZERO, Duration::from_secs(2));
        let second = (1, Outcome::Status(200), Duration::from_millis(5), Duration::from_millis(7));
        assert_eq!(seen, [first, second]);
    }
}

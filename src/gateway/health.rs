//! What the end of an attempt says of its key and its origin, told to this core's view of their health. What follows from it
//! for the request is `routing`'s to say.

use std::time::Duration;

use super::Core;
use super::exchange::Exchange;
use super::failure::Failure;
use crate::error::{Error, Kind};
use crate::routing::plan::{Class, classify};
use crate::routing::view::Outcome;

impl Exchange<'_> {
    /// The attempt under way has ended.
    pub(super) fn end_attempt(&mut self, core: &Core, served: &Result<(), Failure>) {
        let Some(mut running) = self.running.take() else { return };
        let outcome = match served {
            // A stream that broke off after it had begun, or brought an error, is served and has failed.
            Ok(()) => self.error.as_ref().map_or(Outcome::Answered, |error| outcome(error, None)),
            Err(failure) => outcome(&failure.error, failure.retry_after),
        };
        if let (Outcome::Answered, None, Some(elapsed)) = (outcome, self.first_token, self.upstream) {
            running.first_token(elapsed, self.now());
        }
        if let Some(cooldown) = running.end(outcome, self.now()) {
            core.neighbours.tell(core.index, cooldown);
        }
    }
}

/// What a failure says of the provider's health.
fn outcome(error: &Error, retry_after: Option<Duration>) -> Outcome {
    match (error.kind, classify(error)) {
        (Kind::UpstreamUnreachable, _) => Outcome::Unreachable,
        (_, Class::Transient) => Outcome::Failed { retry_after },
        (_, Class::Limited) => Outcome::Limited { retry_after },
        (_, Class::Refused) => Outcome::Refused,
        (Kind::UpstreamStatus, Class::Final | Class::Elsewhere) => Outcome::Answered,
        (_, Class::Final | Class::Elsewhere) => Outcome::Neutral,
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

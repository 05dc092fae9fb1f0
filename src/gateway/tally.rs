//! What a request's attempts add to the counters, and to its row. A request that its first attempt served adds nothing here:
//! it is counted with its labels (`telemetry::cells`).

use super::exchange::{Exchange, micros};
use super::trail::{Outcome, Tried};
use crate::config::snapshot::{Key, Provider};
use crate::routing::target;
use crate::telemetry::record::{self, Attempted};
use crate::telemetry::ways::Rotation;

impl Exchange<'_> {
    /// Whether its one attempt served it.
    pub(super) fn is_served_at_once(&self) -> bool {
        self.trail.len() == 1 && self.error.is_none()
    }

    /// Attempts that were not the first of the primary or of a fallback.
    pub(super) fn retries(&self) -> u64 {
        let is_retry = |(at, tried): &(usize, &Tried)| self.last_of_leg(*at, tried.leg).is_some();
        self.trail.iter().enumerate().filter(is_retry).count() as u64
    }

    /// Counts the attempts of a request that ended, unless one served it at once.
    pub(super) fn tally(&self) {
        if self.is_served_at_once() {
            return;
        }
        let last = self.trail.len();
        for (number, tried) in (1..).zip(self.trail.iter()) {
            let (Some(provider), _) = self.of(tried) else { continue };
            self.cells().attempted(&provider.name, self.word(tried, number == last));
            match self.last_of_leg(number - 1, tried.leg) {
                Some(before) => self.tally_retry(before, tried, provider),
                None if tried.leg > 0 => self.cells().fell_back(&provider.name),
                None => {}
            }
        }
    }

    /// The last attempt of this leg before the one at `at`: a leg may be returned to.
    fn last_of_leg(&self, at: usize, leg: u16) -> Option<&Tried> {
        self.trail.iter().take(at).filter(|before| before.leg == leg).last()
    }

    fn tally_retry(&self, before: &Tried, tried: &Tried, provider: &Provider) {
        self.cells().retried(&provider.name);
        if before.key == tried.key {
            return;
        }
        let key = self.of(before).1;
        let rotation = Rotation {
            provider: &provider.name,
            model: &self.model,
            key_id: key.map_or("", |key| key.id.as_str()),
            key_name: key.map_or("", |key| key.name.as_str()),
            reason: match before.outcome {
                Outcome::Status(429) => "rate_limit",
                Outcome::Status(402) => "quota",
                Outcome::Status(401 | 403) | Outcome::KeyRefused(_) => "credential",
                _ => "transient",
            },
        };
        self.cells().rotated(rotation, target::lists(provider, &self.model));
    }

    /// The outcome's label. An answer that broke off after it had begun is one that failed.
    fn word(&self, tried: &Tried, is_last: bool) -> &'static str {
        match (tried.outcome, &self.error) {
            (Outcome::Status(200..=299), Some(error)) if is_last => error.kind.code(),
            (Outcome::Status(200..=299), _) => "ok",
            (Outcome::Status(429), _) => "limited",
            (Outcome::Status(401..=403) | Outcome::KeyRefused(_), _) => "refused",
            (Outcome::Status(400..=499), _) => "rejected",
            (Outcome::Status(_), _) => "server_error",
            (Outcome::Failed(kind), _) => kind.code(),
            (Outcome::UnderWay, _) => "cut_off",
        }
    }

    fn of(&self, tried: &Tried) -> (Option<&Provider>, Option<&Key>) {
        let provider = self.snapshot.providers.get(usize::from(tried.provider.0));
        let key = provider.zip(tried.key).and_then(|(provider, id)| provider.keys.get(usize::from(id.0)));
        (provider, key)
    }

    /// An attempt as the row has it: names only where they are not the row's own.
    pub(super) fn attempted(&self, tried: &Tried) -> Attempted {
        let is_chosen = (Some(tried.provider), tried.key) == (self.provider, self.key);
        let named = || {
            let (provider, key) = self.of(tried);
            let name = |name: Option<&String>| name.cloned().unwrap_or_default();
            Box::new((name(provider.map(|provider| &provider.name)), name(key.map(|key| &key.name))))
        };
        Attempted {
            leg: tried.leg,
            by: (!is_chosen).then(named),
            outcome: match tried.outcome {
                Outcome::UnderWay => record::Outcome::CutOff,
                Outcome::Status(status) | Outcome::KeyRefused(status) => record::Outcome::Status(status),
                Outcome::Failed(kind) => record::Outcome::Fault(kind.code()),
            },
            wait_us: micros(tried.wait),
            took_us: micros(tried.took),
            queued_us: micros(tried.queued),
        }
    }
}

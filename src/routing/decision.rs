//! What a plan has decided and by what, as it is kept in a request's row: noted while it is decided, written as JSON of a
//! bounded size. How the attempts ended is in the row's trail, and what the record says again is `read`'s.

pub mod read;
mod write;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::balance::By;
use super::health::{Health, Standing};
use super::plan::{Class, Failed, Taken};
use crate::config::snapshot::{Balance, KeyId, ProviderId, Snapshot};

pub use write::DECISION_BYTES_MAX;
pub(super) use write::write;

/// Standings noted of one step, then of all, and steps noted of one request: more do not fit the record.
const SEEN_MAX: usize = 64;
const STEPS_MAX: usize = 64;

/// What led to an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// It is the first.
    First,
    /// A failure that may pass.
    Retry,
    /// The key before had its 429, or was refused.
    Rotation,
    /// All keys had: from the start, with those that were not refused.
    Round,
    /// The leg before failed.
    Leg,
}

/// What ends a request whose last attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The failure is the caller's answer.
    Final,
    /// It had as many attempts as any may have.
    Attempts,
    /// The next would begin after the request's deadline.
    Deadline,
    /// Its provider's `max_retries` are used up.
    Retries,
    /// No key is left that was not refused.
    Keys,
    /// Such a failure is not tried again, and no fallback is left.
    Fallbacks,
}

/// What health said of a key.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    provider: ProviderId,
    key: Option<KeyId>,
    /// It was asked for the end of the wait, not for the moment.
    is_later: bool,
    standing: Standing,
}

/// A health view that notes what it says otherwise than before.
pub(super) struct Noting<'h> {
    health: &'h dyn Health,
    snapshot: &'h Snapshot,
    now: Instant,
    trace: &'h Trace,
    news: RefCell<Vec<Seen>>,
}

impl<'h> Noting<'h> {
    /// Over `health`, for a decision at `now`.
    pub(super) fn over(
        health: &'h dyn Health,
        snapshot: &'h Snapshot,
        now: Instant,
        trace: &'h Trace,
    ) -> Self {
        Self { health, snapshot, now, trace, news: RefCell::default() }
    }

    /// What was noted.
    pub(super) fn news(self) -> Vec<Seen> {
        self.news.into_inner()
    }
}

impl Health for Noting<'_> {
    fn standing(&self, provider: ProviderId, key: Option<KeyId>, now: Instant) -> Standing {
        let standing = self.health.standing(provider, key, now);
        let mut seen = Seen { provider, key, is_later: now > self.now, standing };
        seen.leave_out_what_decides_nothing(self.snapshot);
        if self.trace.is_full() {
            return standing;
        }
        let mut news = self.news.borrow_mut();
        // One more than fits, so that it is known that there was more.
        if news.len() <= SEEN_MAX
            && self.trace.is_news(&seen)
            && !news.iter().any(|one| one.is_of_same(&seen))
        {
            news.push(seen);
        }
        standing
    }
}

/// What a plan has noted.
pub(super) struct Trace {
    began: Instant,
    /// The last that was noted of each key; others stand well.
    known: Vec<Seen>,
    steps: Vec<Noted>,
    /// Standings and steps that were not noted.
    left_out: u32,
}

/// One decision.
struct Noted {
    at: Instant,
    /// What it answered; `None`: it is the first.
    failed: Option<Failed>,
    /// What health said otherwise than before; of the end of a wait, all that does not stand well then.
    seen: Vec<Seen>,
    /// What follows it.
    choice: Result<Choice, End>,
}

struct Choice {
    leg: u16,
    provider: ProviderId,
    key: Option<KeyId>,
    because: Move,
    by: By,
    chance: f64,
    after: Duration,
}

impl Trace {
    pub(super) fn begin(began: Instant) -> Self {
        Self { began, known: Vec::new(), steps: Vec::new(), left_out: 0 }
    }

    /// Notes a decision.
    pub(super) fn note(
        &mut self,
        mut seen: Vec<Seen>,
        at: Instant,
        failed: Option<Failed>,
        taken: Result<&Taken<'_>, End>,
    ) {
        if self.is_full() {
            self.left_out += 1;
            return;
        }
        self.left_out += u32::from(seen.len() > SEEN_MAX);
        seen.truncate(SEEN_MAX);
        seen.iter().filter(|seen| !seen.is_later).for_each(|seen| self.learn(*seen));
        let choice = taken.map(|taken| Choice {
            leg: taken.leg.number,
            provider: taken.leg.id,
            key: taken.chosen.key,
            because: taken.because,
            by: taken.chosen.by,
            chance: taken.chance,
            after: taken.after,
        });
        self.steps.push(Noted { at, failed, seen, choice });
    }

    /// Whether no more is noted.
    fn is_full(&self) -> bool {
        self.steps.len() >= STEPS_MAX || self.known.len() >= SEEN_MAX
    }

    fn is_news(&self, seen: &Seen) -> bool {
        let known = self.known.iter().find(|known| known.is_of_same(seen));
        known.map_or(Standing::GOOD, |known| known.standing) != seen.standing
    }

    fn learn(&mut self, seen: Seen) {
        match self.known.iter_mut().find(|known| known.is_of_same(&seen)) {
            Some(known) => *known = seen,
            None => self.known.push(seen),
        }
    }
}

impl Seen {
    fn is_of_same(&self, other: &Self) -> bool {
        let what = |seen: &Self| (seen.provider, seen.key, seen.is_later);
        what(self) == what(other)
    }

    /// Load and latency matter only where they are balanced by.
    fn leave_out_what_decides_nothing(&mut self, snapshot: &Snapshot) {
        let provider = snapshot.providers.get(usize::from(self.provider.0));
        let balance = provider.map(|provider| provider.balance).unwrap_or_default();
        if balance == Balance::Weighted {
            self.standing.in_flight = 0;
        }
        if balance != Balance::Latency {
            self.standing.latency_us = 0.0;
        }
    }
}

/// The record's words.
const BYS: [(By, &str); 8] = [
    (By::Only, "only"),
    (By::Pin, "pinned"),
    (By::Session, "session"),
    (By::Draw, "drawn"),
    (By::Busy, "least_busy"),
    (By::Latency, "latency"),
    (By::LeastBad, "least_bad"),
    (By::Same, "same"),
];

const ENDS: [(End, &str); 6] = [
    (End::Final, "final"),
    (End::Attempts, "attempts"),
    (End::Deadline, "deadline"),
    (End::Retries, "retries"),
    (End::Keys, "keys"),
    (End::Fallbacks, "fallbacks"),
];

const MOVES: [(Move, &str); 5] = [
    (Move::First, "first"),
    (Move::Retry, "retry"),
    (Move::Rotation, "rotation"),
    (Move::Round, "round"),
    (Move::Leg, "fallback"),
];

const CLASSES: [(Class, &str); 6] = [
    (Class::Transient, "transient"),
    (Class::Limited, "limited"),
    (Class::Refused, "refused"),
    (Class::Unknown, "unknown"),
    (Class::Elsewhere, "elsewhere"),
    (Class::Final, "final"),
];

fn word<T: PartialEq>(words: &[(T, &'static str)], wanted: &T) -> &'static str {
    words.iter().find(|(one, _)| one == wanted).map(|(_, word)| *word).unwrap_or_default()
}

#[cfg(test)]
mod tests;

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

/// Standings noted of one step, and steps noted of one request: more do not fit the record.
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

/// What health said of a key.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    provider: ProviderId,
    key: Option<KeyId>,
    standing: Standing,
}

/// A health view that notes what it is asked.
pub(super) struct Noting<'h> {
    health: &'h dyn Health,
    seen: RefCell<Vec<Seen>>,
}

impl<'h> Noting<'h> {
    pub(super) fn over(health: &'h dyn Health) -> Self {
        Self { health, seen: RefCell::default() }
    }
}

impl Health for Noting<'_> {
    fn standing(&self, provider: ProviderId, key: Option<KeyId>, now: Instant) -> Standing {
        let standing = self.health.standing(provider, key, now);
        let mut seen = self.seen.borrow_mut();
        let is_noted = |one: &Seen| one.provider == provider && one.key == key;
        // One more than fits, so that it is known that there was more.
        if seen.len() <= SEEN_MAX && !seen.iter().any(is_noted) {
            seen.push(Seen { provider, key, standing });
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
    /// What health said otherwise than before.
    seen: Vec<Seen>,
    /// `None`: the request gave up.
    choice: Option<Choice>,
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
        snapshot: &Snapshot,
        noting: Noting<'_>,
        at: Instant,
        failed: Option<Failed>,
        taken: Option<&Taken<'_>>,
    ) {
        if self.steps.len() >= STEPS_MAX {
            self.left_out += 1;
            return;
        }
        let mut all = noting.seen.into_inner();
        self.left_out += u32::from(all.len() > SEEN_MAX);
        all.iter_mut().for_each(|seen| seen.leave_out_what_decides_nothing(snapshot));
        let seen = all.into_iter().filter(|seen| self.learn(*seen)).collect();
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

    /// Whether it is news.
    fn learn(&mut self, seen: Seen) -> bool {
        let known =
            self.known.iter_mut().find(|known| known.provider == seen.provider && known.key == seen.key);
        match known {
            Some(known) if known.standing == seen.standing => false,
            Some(known) => {
                known.standing = seen.standing;
                true
            }
            None if seen.standing == Standing::GOOD => false,
            None => {
                self.known.push(seen);
                true
            }
        }
    }
}

impl Seen {
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

const MOVES: [(Move, &str); 5] = [
    (Move::First, "first"),
    (Move::Retry, "retry"),
    (Move::Rotation, "rotation"),
    (Move::Round, "round"),
    (Move::Leg, "fallback"),
];

const CLASSES: [(Class, &str); 5] = [
    (Class::Transient, "transient"),
    (Class::Limited, "limited"),
    (Class::Refused, "refused"),
    (Class::Elsewhere, "elsewhere"),
    (Class::Final, "final"),
];

fn word<T: PartialEq>(words: &[(T, &'static str)], wanted: &T) -> &'static str {
    words.iter().find(|(one, _)| one == wanted).map(|(_, word)| *word).unwrap_or_default()
}

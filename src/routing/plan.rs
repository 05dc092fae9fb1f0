//! Which way a request goes: its first attempt, and after each that failed, the next. Pure: the snapshot, the request's
//! features, this core's health view, the time, and a seed made of the request's id decide, so that a decision can be
//! explained and replayed. It sends nothing and waits for nothing.

use std::time::{Duration, Instant};

use super::balance::{self, By, Chosen, Sight};
use super::decision::{self, End, Move, Noting, Trace};
use super::health::{Health, State};
use super::keys::Leg;
use super::legs::Legs;
pub use super::retry::classify;
use super::retry::wait;
use crate::config::snapshot::{KeyId, ProviderId, Snapshot};
use crate::dialect::{Dialect, Operation};
use crate::error::{Error, Kind};

/// Most attempts of one request, all legs together.
pub const ATTEMPTS_MAX: u32 = 256;

/// What a request says that decides where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    /// The model, as the caller names it; of what is asked of a stored response, which names none, `provider/`.
    pub model: &'a str,
    /// The vendor whose path is called; `None`: nobody's.
    pub home: Option<&'a str>,
    /// What is asked for: never the list of models.
    pub operation: Operation,
    /// The dialect in which it is asked for.
    pub dialect: Dialect,
    /// The one key that may serve the primary, and any fallback that has it.
    pub pin: Option<Pin<'a>>,
    /// A number made of the caller's session, or of the request's cached prefix: equal ones go to the same key.
    pub session: Option<u64>,
    /// The caller's own fallbacks in its order, each as it would name a model; `None`: the config's.
    pub fallbacks: Option<&'a [String]>,
    /// No attempt begins after it.
    pub deadline: Instant,
    /// Whether what is decided, and by what, is kept for [`Plan::decision`]: set it when the request's row is logged. It
    /// costs a few allocations and decides nothing.
    pub record: bool,
}

/// A key that the caller names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin<'a> {
    /// `x-bf-api-key`.
    Name(&'a str),
    /// `x-bf-api-key-id`.
    Id(&'a str),
}

/// One send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// From 1.
    pub number: u32,
    /// Place in the list of fallbacks, from 1; 0: the primary.
    pub leg: u16,
    /// To whom.
    pub provider: ProviderId,
    /// By which key; `None` for a provider without keys.
    pub key: Option<KeyId>,
    /// The model without the provider's prefix.
    pub model: &'a str,
    /// The model that the provider is asked for.
    pub wire_model: &'a str,
}

/// What failed of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What kind of failure it is.
    pub class: Class,
    /// How long the provider asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// What a failure calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The same again after a while: unreachable, timed out, 500, 502, 503, 504, 529, an answer that cannot be used.
    Transient,
    /// Another key at once: 429.
    Limited,
    /// Another key at once, and not this one again for this request: 401, 402, 403.
    Refused,
    /// Another key at once, and not this one again for this request: 404 for a stored response, which another may know. The
    /// caller is answered with it when none does.
    Unknown,
    /// A fallback, and no retry: other statuses (404, 410), no place in the provider's queue, no connection free, an address
    /// that must not be connected to.
    Elsewhere,
    /// The answer that the caller gets: its own fault (400, 413, 415, 422), or ours. Of a fallback it is no more than the
    /// fallback's word: the next one is tried, since it may know more parameters or have a larger window.
    Final,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next<'a> {
    /// Whether the caller is answered with this failure if nothing better comes; it takes the place of one kept before.
    pub keep: bool,
    /// What is to be done.
    pub step: Step<'a>,
}

/// See [`Next::step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Another attempt, after a wait.
    Attempt {
        /// Which.
        attempt: Attempt<'a>,
        /// How long to wait before it.
        after: Duration,
    },
    /// The caller is answered with the failure that was kept.
    GiveUp,
    /// Likewise, as [`Kind::ProviderCredentialsExhausted`]: every key of the primary was refused.
    CredentialsExhausted,
}

/// A request's way so far: which leg it is on, and what it has met there.
///
/// Legs are tried in their order, each once: first those with a key that is fit, and when none is left those without, the
/// least bad first. So a primary whose keys are all out is passed over for a fallback, as nginx uses a backup server, and
/// comes last; and one whose last fit key was refused or limited comes once more, last, for the keys that were not fit:
/// breakers and cooldowns choose between candidates and refuse nobody.
pub struct Plan<'a> {
    legs: Legs<'a>,
    random: fastrand::Rng,
    seed: u64,
    /// The last attempt.
    last: Attempt<'a>,
    /// Its leg.
    leg: Leg<'a>,
    /// Legs that were taken, or cannot be: a bit each.
    done: u32,
    /// Rounds that were left for a fallback while they had keys that were not fit: whose leg, and who had been limited.
    left: Vec<(u16, Limited)>,
    /// Waits on this leg.
    retries: u32,
    /// Keys of this leg that had their 429 since its last wait, and how long each asks for.
    limited: Limited,
    /// Keys that were refused in this request.
    refused: Vec<(ProviderId, Option<KeyId>)>,
    /// Of the failure that is kept: its leg, its key and its class.
    kept: Option<(u16, Option<KeyId>, Class)>,
    /// What would end it now.
    end: End,
    trace: Option<Box<Trace>>,
}

/// What is tried next.
#[derive(Clone, Copy)]
pub(super) struct Taken<'a> {
    pub(super) leg: Leg<'a>,
    pub(super) chosen: Chosen,
    /// What led to it.
    pub(super) because: Move,
    /// The draw that was at hand, in [0, 1).
    pub(super) chance: f64,
    /// The wait before it.
    pub(super) after: Duration,
}

/// Plans a request. Its first draw is the first of `seed`'s. Errors: what the caller is answered when there is no first
/// attempt to make.
pub fn plan<'a>(
    snapshot: &'a Snapshot,
    features: Features<'a>,
    health: &dyn Health,
    now: Instant,
    seed: u64,
) -> Result<(Plan<'a>, Attempt<'a>), Error> {
    let legs = Legs::new(snapshot, features)?;
    if !features.record {
        let (plan, _) = begin(legs, Sight { health, now }, seed)?;
        let first = plan.last;
        return Ok((plan, first));
    }
    let mut trace = Box::new(Trace::begin(now));
    let noting = Noting::over(health, snapshot, now, &trace);
    let (mut plan, taken) = begin(legs, Sight { health: &noting, now }, seed)?;
    let news = noting.news();
    trace.note(news, now, None, Ok(&taken));
    plan.trace = Some(trace);
    let first = plan.last;
    Ok((plan, first))
}

fn begin<'a>(legs: Legs<'a>, sight: Sight<'_>, seed: u64) -> Result<(Plan<'a>, Taken<'a>), Error> {
    let mut random = fastrand::Rng::with_seed(seed);
    let chance = random.f64();
    let session = legs.features().session;
    let primary = legs.leg(0);
    let fit = primary.as_ref().ok().and_then(|leg| balance::fit(leg, &|_| true, sight, session, chance));
    let mut done = 0;
    let taken = match (primary, fit) {
        (Ok(leg), Some(chosen)) => Taken { leg, chosen, because: Move::First, chance, after: Duration::ZERO },
        (Err(error), _) if !may_be_served_elsewhere(&error, legs.features()) => return Err(error),
        (primary, _) => match elsewhere(&legs, &mut done, &[], sight, chance) {
            Some(taken) => Taken { because: Move::First, ..taken },
            None => return Err(primary.err().unwrap_or_else(nothing_to_try)),
        },
    };
    done |= bit(taken.leg.number);
    let plan = Plan {
        legs,
        random,
        seed,
        last: attempt(1, &taken),
        leg: taken.leg,
        done,
        left: Vec::new(),
        retries: 0,
        limited: Vec::new(),
        refused: Vec::new(),
        kept: None,
        end: End::Fallbacks,
        trace: None,
    };
    Ok((plan, taken))
}

/// Whether a primary that cannot be asked leaves the fallbacks. A key that the caller names is wanted, or nothing.
fn may_be_served_elsewhere(error: &Error, features: &Features<'_>) -> bool {
    let is_by_pin = features.pin.is_some() && error.kind == Kind::NoKeyForModel;
    classify(error) == Class::Elsewhere && !is_by_pin
}

fn nothing_to_try() -> Error {
    Error::new(Kind::Internal, "a provider without keys was chosen")
}

fn bit(leg: u16) -> u32 {
    1_u32.checked_shl(u32::from(leg)).unwrap_or_default()
}

fn attempt<'a>(number: u32, taken: &Taken<'a>) -> Attempt<'a> {
    let Taken { leg, chosen, .. } = taken;
    Attempt {
        number,
        leg: leg.number,
        provider: leg.id,
        key: chosen.key,
        model: leg.model,
        wire_model: leg.wire_model(chosen.key),
    }
}

type Limited = Vec<(Option<KeyId>, Duration)>;
type Refused = [(ProviderId, Option<KeyId>)];

/// The first leg, of those not `done`, that has a fit key; else the one with the least bad. Those that cannot be taken
/// are done, too.
fn elsewhere<'a>(
    legs: &Legs<'a>,
    done: &mut u32,
    refused: &Refused,
    sight: Sight<'_>,
    chance: f64,
) -> Option<Taken<'a>> {
    let session = legs.features().session;
    let taken = |leg, chosen| Taken { leg, chosen, because: Move::Leg, chance, after: Duration::ZERO };
    let mut best = None;
    for number in legs.numbers() {
        if *done & bit(number) != 0 {
            continue;
        }
        let Ok(leg) = legs.leg(number) else {
            *done |= bit(number);
            continue;
        };
        let may = |key| !refused.contains(&(leg.id, key));
        if let Some(chosen) = balance::fit(&leg, &may, sight, session, chance) {
            return Some(taken(leg, chosen));
        }
        if let Some((badness, chosen)) = balance::least_bad(&leg, &may, sight)
            && best.as_ref().is_none_or(|(best, _)| badness < *best)
        {
            best = Some((badness, taken(leg, chosen)));
        }
    }
    best.map(|(_, taken)| taken)
}

impl<'a> Plan<'a> {
    /// What follows the failure of the last attempt. The failure is told to `health` before.
    pub fn next(&mut self, failed: Failed, health: &dyn Health, now: Instant) -> Next<'a> {
        let keep = self.keeps(failed.class);
        if keep {
            self.kept = Some((self.leg.number, self.last.key, failed.class));
        }
        let taken = self.follow_noting(failed, Sight { health, now });
        let step = match taken {
            Some(taken) => Step::Attempt { attempt: self.take(&taken), after: taken.after },
            None if matches!(self.kept, Some((.., Class::Refused))) => Step::CredentialsExhausted,
            None => Step::GiveUp,
        };
        Next { keep, step }
    }

    /// The caller is told of the primary's failure, or of the first leg's when the primary was not tried; of its
    /// failures the last, but not of a key that was refused where another was not. That one key does not know a response
    /// says nothing of what another, which could not answer, knows: the caller would take for gone what may be there.
    fn keeps(&self, class: Class) -> bool {
        match (self.kept, class) {
            (None, _) => true,
            (Some((leg, ..)), _) if leg != self.leg.number => self.leg.number == 0,
            (Some((.., kept)), Class::Refused) => kept == Class::Refused,
            (Some((_, key, Class::Transient | Class::Limited)), Class::Unknown) => key == self.last.key,
            _ => true,
        }
    }

    fn follow_noting(&mut self, failed: Failed, sight: Sight<'_>) -> Option<Taken<'a>> {
        let Some(mut trace) = self.trace.take() else { return self.follow(failed, sight) };
        let noting = Noting::over(sight.health, self.legs.snapshot(), sight.now, &trace);
        let taken = self.follow(failed, Sight { health: &noting, now: sight.now });
        let news = noting.news();
        trace.note(news, sight.now, Some(failed), taken.as_ref().ok_or(self.end));
        self.trace = Some(trace);
        taken
    }

    fn follow(&mut self, failed: Failed, sight: Sight<'_>) -> Option<Taken<'a>> {
        self.end = match failed.class {
            _ if self.last.number >= ATTEMPTS_MAX => End::Attempts,
            _ if sight.now >= self.legs.features().deadline => End::Deadline,
            Class::Final if self.leg.number == 0 => End::Final,
            Class::Transient | Class::Limited => End::Retries,
            Class::Refused | Class::Unknown => End::Keys,
            Class::Elsewhere | Class::Final => End::Fallbacks,
        };
        if matches!(self.end, End::Attempts | End::Deadline | End::Final) {
            return None;
        }
        let here = match failed.class {
            Class::Transient => self.retry(failed.retry_after, sight),
            Class::Limited => {
                self.limited.push((self.last.key, failed.retry_after.unwrap_or_default()));
                self.rotate(sight)
            }
            Class::Refused | Class::Unknown => {
                self.refused.push((self.leg.id, self.last.key));
                self.rotate(sight)
            }
            Class::Elsewhere | Class::Final => None,
        };
        if here.is_some() {
            return here;
        }
        let is_rotating = matches!(failed.class, Class::Limited | Class::Refused | Class::Unknown);
        if is_rotating && self.least_bad(sight, true).is_some() {
            self.left.push((self.leg.number, self.limited.clone()));
        }
        let chance = self.random.f64();
        let taken = elsewhere(&self.legs, &mut self.done, &self.refused, sight, chance);
        if taken.is_none() {
            return self.resume(sight, chance);
        }
        self.retries = 0;
        self.limited.clear();
        taken
    }

    /// Nothing else is left: a round that was left goes on with the keys that were not fit. No other follows it.
    fn resume(&mut self, sight: Sight<'_>, chance: f64) -> Option<Taken<'a>> {
        while !self.left.is_empty() {
            let (number, limited) = self.left.remove(0);
            let Ok(leg) = self.legs.leg(number) else { continue };
            (self.leg, self.limited, self.retries) = (leg, limited, leg.provider.retry.retries_max);
            let chosen = self.fit(sight, chance, true).or_else(|| self.least_bad(sight, true));
            if let Some(chosen) = chosen {
                return Some(Taken { leg, chosen, because: Move::Leg, chance, after: Duration::ZERO });
            }
        }
        None
    }

    /// The same key again, after a while; another one when it is not fit by then; another leg when none of this one is.
    fn retry(&mut self, retry_after: Option<Duration>, sight: Sight<'_>) -> Option<Taken<'a>> {
        let chance = self.random.f64();
        let after = self.wait(retry_after, sight.now)?;
        let then = sight.in_a_while(after);
        let chosen = match then.standing(self.leg.id, self.last.key).is_fit() {
            true => Some(Chosen { key: self.last.key, by: By::Same }),
            false => self.fit(then, chance, false),
        };
        let chosen = match chosen {
            Some(chosen) => chosen,
            None if self.is_fit_elsewhere(sight) => return None,
            None => self.least_bad(then, false)?,
        };
        self.begin_round();
        Some(Taken { leg: self.leg, chosen, because: Move::Retry, chance, after })
    }

    /// Another key at once; when none is left, all that were not refused again, after a while.
    fn rotate(&mut self, sight: Sight<'_>) -> Option<Taken<'a>> {
        let chance = self.random.f64();
        let is_fit_elsewhere = self.is_fit_elsewhere(sight);
        let mut next = self.fit(sight, chance, true);
        if next.is_none() && !is_fit_elsewhere {
            next = self.least_bad(sight, true);
        }
        let leg = self.leg;
        if let Some(chosen) = next {
            return Some(Taken { leg, chosen, because: Move::Rotation, chance, after: Duration::ZERO });
        }
        let retry_after = self.limited.iter().map(|(_, after)| *after).min()?;
        let after = self.wait(Some(retry_after), sight.now)?;
        let then = sight.in_a_while(after);
        let chosen = self.fit(then, chance, false).or_else(|| self.least_bad(then, false))?;
        let state = then.standing(leg.id, chosen.key).state;
        if is_fit_elsewhere && matches!(state, State::Open { .. } | State::Probing) {
            return None;
        }
        self.begin_round();
        Some(Taken { leg, chosen, because: Move::Round, chance, after })
    }

    /// With each wait, of which a leg has as many as it has retries, its keys may be tried again.
    fn begin_round(&mut self) {
        self.limited.clear();
        self.retries += 1;
    }

    fn fit(&self, sight: Sight<'_>, chance: f64, in_round: bool) -> Option<Chosen> {
        let session = self.legs.features().session;
        balance::fit(&self.leg, &|key| self.may(key, in_round), sight, session, chance)
    }

    fn least_bad(&self, sight: Sight<'_>, in_round: bool) -> Option<Chosen> {
        balance::least_bad(&self.leg, &|key| self.may(key, in_round), sight).map(|(_, chosen)| chosen)
    }

    /// Whether a key of this leg may be tried: not when it was refused, nor, within a round, when it had its 429.
    fn may(&self, key: Option<KeyId>, in_round: bool) -> bool {
        let is_limited = in_round && self.limited.iter().any(|(limited, _)| *limited == key);
        !is_limited && !self.refused.contains(&(self.leg.id, key))
    }

    /// Whether a leg that was not taken yet has a fit key.
    fn is_fit_elsewhere(&self, sight: Sight<'_>) -> bool {
        let mut legs = self.legs.numbers().filter(|number| self.done & bit(*number) == 0);
        legs.any(|number| {
            self.legs.leg(number).is_ok_and(|leg| {
                let may = |key| !self.refused.contains(&(leg.id, key));
                balance::fit(&leg, &may, sight, None, 0.0).is_some()
            })
        })
    }

    /// The next wait of this leg; `None` when there are no more retries, or when it would last until the deadline.
    fn wait(&mut self, retry_after: Option<Duration>, now: Instant) -> Option<Duration> {
        let retry = &self.leg.provider.retry;
        if self.retries >= retry.retries_max {
            self.end = End::Retries;
            return None;
        }
        let wait = wait(retry, self.retries + 1, self.random.f64(), retry_after);
        if now + wait >= self.legs.features().deadline {
            self.end = End::Deadline;
            return None;
        }
        Some(wait)
    }

    fn take(&mut self, taken: &Taken<'a>) -> Attempt<'a> {
        if taken.because == Move::Leg {
            self.leg = taken.leg;
            self.done |= bit(taken.leg.number);
        }
        self.last = attempt(self.last.number + 1, taken);
        self.last
    }

    /// Appends what was decided and by what, as compact JSON of at most [`decision::DECISION_BYTES_MAX`] bytes; nothing unless
    /// [`Features::record`] was set.
    pub fn decision(&self, out: &mut String) {
        if let Some(trace) = &self.trace {
            decision::write(out, &self.legs, self.seed, trace);
        }
    }
}

#[cfg(test)]
mod tests;

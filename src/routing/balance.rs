//! The choice of one among a leg's candidates: by the caller's session, by weight, by load or by latency; and the least bad
//! when none is fit. It makes no draw of its own and remembers nothing.

use std::time::Instant;

use super::health::{Health, Standing, State};
use super::keys::{Candidate, Leg};
use super::sticky;
use crate::config::snapshot::{Balance, KeyId, ProviderId};

/// This core's health view at one moment.
#[derive(Clone, Copy)]
pub(super) struct Sight<'h> {
    pub(super) health: &'h dyn Health,
    pub(super) now: Instant,
}

/// What is chosen, and by what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Chosen {
    /// `None` for a provider without keys.
    pub(super) key: Option<KeyId>,
    pub(super) by: By,
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// It is the only one that is fit.
    Only,
    /// The caller names it.
    Pin,
    /// The caller's session.
    Session,
    /// A draw by weight.
    Draw,
    /// It has the least to do.
    Busy,
    /// It answers soonest.
    Latency,
    /// None is fit: it is soonest again.
    LeastBad,
    /// It is the one that was tried before, and still fit.
    Same,
}

/// How far from fit; the least is tried when none is. Who was asked to be left alone answers, who fails may not; whose
/// time is over sooner comes first; then those with a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Badness {
    state: u8,
    until: Option<Instant>,
    is_weightless: bool,
}

impl Sight<'_> {
    pub(super) fn standing(&self, provider: ProviderId, key: Option<KeyId>) -> Standing {
        self.health.standing(provider, key, self.now)
    }
}

/// Chooses among the candidates that `may` be chosen and are fit; `None`: there is none. `chance` is in [0, 1). What weighs
/// nothing is chosen only when nothing fit has a weight.
pub(super) fn fit(
    leg: &Leg<'_>,
    may: &dyn Fn(Option<KeyId>) -> bool,
    sight: Sight<'_>,
    session: Option<u64>,
    chance: f64,
) -> Option<Chosen> {
    let fit = || {
        let candidates = leg.candidates().filter(|candidate| may(candidate.key));
        let seen = candidates.map(|candidate| (candidate, sight.standing(leg.id, candidate.key)));
        seen.filter(|(_, standing)| standing.is_fit())
    };
    let (mut count, mut total) = (0, 0.0);
    let mut only = None;
    for (candidate, standing) in fit() {
        only = Some(candidate.key);
        count += 1;
        total += candidate.weight * standing.share;
    }
    let chosen = |key, by| Some(Chosen { key, by });
    if count <= 1 {
        return chosen(only?, if leg.pinned.is_some() { By::Pin } else { By::Only });
    }
    let weighed = || {
        let weighed = fit().map(|(candidate, standing)| {
            let weight = if total > 0.0 { candidate.weight * standing.share } else { 1.0 };
            Weighed { candidate, standing, weight }
        });
        weighed.filter(|one| one.weight > 0.0)
    };
    if let Some(session) = session {
        return chosen(by_session(weighed(), session)?, By::Session);
    }
    match leg.provider.balance {
        Balance::Weighted => {
            let total = if total > 0.0 { total } else { f64::from(count) };
            chosen(drawn(weighed(), total, chance)?, By::Draw)
        },
        Balance::LeastBusy => chosen(least(&weighed, |one| one.load() / one.weight, chance)?, By::Busy),
        Balance::Latency => {
            let known = weighed().map(|one| one.standing.latency_us).filter(|latency| *latency > 0.0);
            let best = known.fold(f64::INFINITY, f64::min);
            chosen(least(&weighed, |one| one.delay(best) / one.weight, chance)?, By::Latency)
        }
    }
}

/// The best of those that `may` be chosen, whatever their state; `None`: there is none.
pub(super) fn least_bad(
    leg: &Leg<'_>,
    may: &dyn Fn(Option<KeyId>) -> bool,
    sight: Sight<'_>,
) -> Option<(Badness, Chosen)> {
    let candidates = leg.candidates().filter(|candidate| may(candidate.key));
    let judged = candidates.map(|candidate| {
        let badness = badness(candidate, sight.standing(leg.id, candidate.key));
        (badness, Chosen { key: candidate.key, by: By::LeastBad })
    });
    judged.min_by_key(|(badness, _)| *badness)
}

fn badness(candidate: Candidate<'_>, standing: Standing) -> Badness {
    let (state, until) = match standing.state {
        State::Passing | State::HalfOpen => (0, None),
        State::Cooling { until } => (1, Some(until)),
        State::Probing => (2, None),
        State::Open { until } => (3, Some(until)),
    };
    Badness { state, until, is_weightless: candidate.weight <= 0.0 }
}

/// A fit candidate.
struct Weighed<'a> {
    candidate: Candidate<'a>,
    standing: Standing,
    /// What counts now, over 0.
    weight: f64,
}

impl Weighed<'_> {
    /// Requests under way, this one counted in.
    fn load(&self) -> f64 {
        f64::from(self.standing.in_flight) + 1.0
    }

    /// How long this request would take, in the order of the candidates. One that is not known comes first, so that it
    /// becomes known; while it is being tried it counts as good as the `best` that is known, so that not all go there.
    fn delay(&self, best: f64) -> f64 {
        match self.standing {
            Standing { latency_us, .. } if latency_us > 0.0 => latency_us * self.load(),
            Standing { in_flight: 0, .. } => 0.0,
            _ if best.is_finite() => best * self.load(),
            _ => self.load(),
        }
    }
}

fn by_session<'a>(weighed: impl Iterator<Item = Weighed<'a>>, session: u64) -> Option<Option<KeyId>> {
    let scored = weighed.map(|one| (sticky::score(session, one.candidate.id, one.weight), one.candidate.key));
    scored.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, key)| key)
}

/// By weight, in the file's order.
fn drawn<'a>(weighed: impl Iterator<Item = Weighed<'a>>, total: f64, chance: f64) -> Option<Option<KeyId>> {
    let mut rest = chance * total;
    let mut chosen = None;
    for one in weighed {
        chosen = Some(one.candidate.key);
        rest -= one.weight;
        if rest < 0.0 {
            break;
        }
    }
    chosen
}

/// The one with the lowest score; of several the draw's.
fn least<'a, I: Iterator<Item = Weighed<'a>>>(
    weighed: &impl Fn() -> I,
    score: impl Fn(&Weighed<'a>) -> f64,
    chance: f64,
) -> Option<Option<KeyId>> {
    let lowest = weighed().map(|one| score(&one)).fold(f64::INFINITY, f64::min);
    let tied = || weighed().filter(|one| score(one) <= lowest);
    let index = (chance * tied().count() as f64) as usize;
    tied().nth(index).map(|one| one.candidate.key)
}

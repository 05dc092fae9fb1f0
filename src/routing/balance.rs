//! The choice of one among a leg's candidates: by the caller's session, by weight, by load or by latency; and the least bad
//! when none is fit. It makes no draw of its own and remembers nothing.

use std::time::{Duration, Instant};

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
    /// What is known now of a later moment: who is cooling until then will be fit.
    pub(super) fn in_a_while(self, after: Duration) -> Self {
        Self { now: self.now + after, ..self }
    }

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
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::snapshot::Snapshot;
    use crate::dialect::{Dialect, Operation};
    use crate::routing::fixture::{Sick, provider, three_providers};

    /// What is chosen of provider `three` by these draws; its keys' names without the provider's.
    fn chosen(snapshot: &Snapshot, health: &Sick, chances: &[f64]) -> Vec<char> {
        let position = snapshot.providers.iter().position(|provider| provider.name == "three").unwrap();
        let leg = Leg {
            number: 0,
            id: ProviderId(u16::try_from(position).unwrap()),
            provider: &snapshot.providers[position],
            model: "m",
            pinned: None,
            asks: (Dialect::OpenAi, Operation::Chat),
        };
        let sight = Sight { health, now: Instant::now() };
        let names = chances.iter().map(|chance| {
            let chosen = fit(&leg, &|_| true, sight, None, *chance).unwrap();
            leg.key(chosen.key).unwrap().name.chars().last().unwrap()
        });
        names.collect()
    }

    const CHANCES: [f64; 4] = [0.0, 0.4, 0.8, 0.999_999];

    fn busy(in_flight: u32, latency_us: f64) -> Standing {
        Standing { in_flight, latency_us, ..Standing::GOOD }
    }

    fn world(balance: Balance, weights: [f64; 3]) -> Snapshot {
        let mut snapshot = three_providers();
        let three = provider(&mut snapshot, "three");
        three.balance = balance;
        three.keys.iter_mut().zip(weights).for_each(|(key, weight)| key.weight = weight);
        snapshot
    }

    #[test]
    fn a_draw_goes_by_weight_and_takes_no_weight_only_alone() {
        let mut health = Sick::default();
        let snapshot = world(Balance::Weighted, [1.0, 0.0, 1.0]);
        assert_eq!(chosen(&snapshot, &health, &CHANCES), ['a', 'a', 'c', 'c']);
        let open = State::Open { until: Instant::now() };
        health.set(&snapshot, "three-a", open);
        assert_eq!(chosen(&snapshot, &health, &CHANCES), ['c'; 4]);
        health.set(&snapshot, "three-c", open);
        assert_eq!(chosen(&snapshot, &health, &CHANCES), ['b'; 4]);
        let snapshot = world(Balance::Weighted, [0.0; 3]);
        assert_eq!(chosen(&snapshot, &Sick::default(), &CHANCES), ['a', 'b', 'c', 'c']);
    }

    #[test]
    fn the_least_busy_for_its_weight_is_chosen_and_ties_are_drawn() {
        let snapshot = world(Balance::LeastBusy, [1.0, 1.0, 4.0]);
        let mut health = Sick::default();
        assert_eq!(chosen(&snapshot, &health, &CHANCES), ['c'; 4]);
        health.stand(&snapshot, "three-c", busy(3, 0.0));
        assert_eq!(chosen(&snapshot, &health, &CHANCES), ['a', 'b', 'c', 'c']);
        health.stand(&snapshot, "three-c", busy(4, 0.0));
        assert_eq!(chosen(&snapshot, &health, &CHANCES), ['a', 'a', 'b', 'b']);
        let snapshot = world(Balance::LeastBusy, [0.0, 1.0, 1.0]);
        health.stand(&snapshot, "three-b", busy(9, 0.0));
        assert_eq!(chosen(&snapshot, &health, &CHANCES), ['c'; 4]);
    }

    #[test]
    fn the_soonest_is_chosen_and_the_unknown_first() {
        let snapshot = world(Balance::Latency, [1.0, 1.0, 2.0]);
        let mut health = Sick::default();
        health.stand(&snapshot, "three-a", busy(0, 900.0));
        assert_eq!(chosen(&snapshot, &health, &CHANCES), ['b', 'b', 'c', 'c'], "neither is known");
        health.stand(&snapshot, "three-b", busy(0, 400.0));
        health.stand(&snapshot, "three-c", busy(0, 900.0));
        assert_eq!(chosen(&snapshot, &health, &CHANCES), ['b'; 4]);
        health.stand(&snapshot, "three-b", busy(1, 400.0));
        assert_eq!(chosen(&snapshot, &health, &CHANCES), ['c'; 4], "450 with its weight, before 800");
        health.stand(&snapshot, "three-a", busy(0, 0.0));
        assert_eq!(chosen(&snapshot, &health, &CHANCES), ['a'; 4], "to be known");
        health.stand(&snapshot, "three-a", busy(1, 0.0));
        assert_eq!(chosen(&snapshot, &health, &CHANCES), ['c'; 4], "it is being tried: 800");
        let mut health = Sick::default();
        for (key, in_flight) in [("three-a", 1), ("three-b", 5), ("three-c", 4)] {
            health.stand(&snapshot, key, busy(in_flight, 0.0));
        }
        assert_eq!(chosen(&snapshot, &health, &CHANCES), ['a'; 4], "none is known yet");
    }

    #[test]
    fn the_least_bad_is_who_answers_soonest_again() {
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let states = [
            State::Passing,
            State::Cooling { until: later(5) },
            State::Cooling { until: later(9) },
            State::Probing,
            State::Open { until: later(1) },
            State::Open { until: later(2) },
        ];
        let candidate = |weight| Candidate { key: None, id: "", weight };
        let judged = |state, weight| badness(candidate(weight), Standing { state, ..Standing::GOOD });
        for pair in states.windows(2) {
            assert!(judged(pair[0], 0.0) < judged(pair[1], 1.0), "{pair:?}");
        }
        assert!(judged(states[1], 1.0) < judged(states[1], 0.0));
    }
}

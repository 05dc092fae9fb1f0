//! One breaker: closed, then open after too many failures, then one probe, then closed again and slowly started. Pure: the time
//! is an argument. It is one core's, of constant size, and knows nothing of keys, origins or what a failure is.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::health::State;
use crate::config::snapshot::Breaker as Settings;

/// Parts of the sliding window; the oldest falls out as a whole.
const BUCKETS: usize = 10;
/// Longest time that it stays open, unless the settings ask for longer: each opening that follows a probe's failure, or comes
/// before the slow start was over, doubles it.
pub const OPEN_MAX: Duration = Duration::from_secs(60);
/// From the close to the full share.
pub const SLOW_START: Duration = Duration::from_secs(10);
/// The share right after the close.
pub const SHARE_MIN: f64 = 0.1;

/// See the module.
#[derive(Debug)]
pub struct Breaker {
    settings: Cell<Settings>,
    phase: Cell<Phase>,
    /// Times that it opened: what began before the last of them says nothing of now.
    round: Cell<u32>,
    /// How often the time that it stays open has been doubled.
    doublings: Cell<u32>,
    in_a_row: Cell<u32>,
    /// What bucket 0 begins at; set by the first request that is counted.
    epoch: Cell<Option<Instant>>,
    buckets: [Cell<Bucket>; BUCKETS],
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// `since`: after it was open; `None`: it never was, or long ago.
    Closed { since: Option<Instant> },
    /// `is_probed`: the one request that decides is under way.
    Open { until: Instant, is_probed: bool },
}

/// A part of the window.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// Which part since the epoch.
    tick: u64,
    requests: u32,
    failures: u32,
}

/// A request that has begun, as the breaker saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    round: u32,
    is_probe: bool,
}

/// How a request ended, as far as a breaker goes by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was answered.
    Answered,
    /// It failed.
    Failed,
    /// It says nothing: the caller left, or the fault was ours.
    Neutral,
}

impl Breaker {
    /// A closed one.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings: Cell::new(settings),
            phase: Cell::new(Phase::Closed { since: None }),
            round: Cell::new(0),
            doublings: Cell::new(0),
            in_a_row: Cell::new(0),
            epoch: Cell::new(None),
            buckets: Default::default(),
        }
    }

    /// Goes by these from now on. What was counted stays, unless the window is another one.
    pub fn adopt(&self, settings: Settings) {
        if self.settings.replace(settings).window != settings.window {
            self.forget_window();
        }
    }

    /// Never `Cooling`: that is not a breaker's.
    pub fn state(&self, now: Instant) -> State {
        match self.phase.get() {
            Phase::Closed { .. } => State::Passing,
            Phase::Open { is_probed: true, .. } => State::Probing,
            Phase::Open { until, .. } if now < until => State::Open { until },
            Phase::Open { .. } => State::HalfOpen,
        }
    }

    /// Of a weight, what counts now: rises from [`SHARE_MIN`] to 1 after the close.
    pub fn share(&self, now: Instant) -> f64 {
        let Phase::Closed { since: Some(since) } = self.phase.get() else { return 1.0 };
        let passed = now.saturating_duration_since(since).as_secs_f64() / SLOW_START.as_secs_f64();
        (SHARE_MIN + (1.0 - SHARE_MIN) * passed).min(1.0)
    }

    /// A request begins; half-open, it takes the probe. What is returned goes to [`Breaker::end`], once.
    pub fn begin(&self, now: Instant) -> Entry {
        let is_probe = match self.phase.get() {
            Phase::Open { until, is_probed: false } if now >= until => {
                self.phase.set(Phase::Open { until, is_probed: true });
                true
            }
            _ => false,
        };
        Entry { round: self.round.get(), is_probe }
    }

    /// A request ends. One that began before the breaker last opened changes nothing. An open one closes by any answer to a
    /// request that began since: whoever had nobody else to ask has probed as well.
    pub fn end(&self, entry: Entry, verdict: Verdict, now: Instant) {
        if entry.round != self.round.get() {
            return;
        }
        match (self.phase.get(), verdict) {
            (Phase::Closed { .. }, verdict) => self.count(verdict, now),
            (Phase::Open { .. }, Verdict::Answered) => self.close(now),
            (Phase::Open { .. }, Verdict::Failed) if entry.is_probe => self.open(now),
            (Phase::Open { until, .. }, _) if entry.is_probe => {
                self.phase.set(Phase::Open { until, is_probed: false });
            }
            (Phase::Open { .. }, _) => {}
        }
    }

    /// The first content of a request's answer is there: one that is open closes by it, since the answer may go on for long.
    /// What is returned goes to [`Breaker::end`] in the entry's place.
    pub fn confirm(&self, entry: Entry, now: Instant) -> Entry {
        let is_open = matches!(self.phase.get(), Phase::Open { .. });
        if entry.round != self.round.get() || !is_open {
            return entry;
        }
        self.close(now);
        Entry { is_probe: false, ..entry }
    }

    fn count(&self, verdict: Verdict, now: Instant) {
        let failures = match verdict {
            Verdict::Neutral => return,
            Verdict::Answered => 0,
            Verdict::Failed => 1,
        };
        let tick = self.tick(now);
        if let Some(cell) = self.buckets.get((tick % BUCKETS as u64) as usize) {
            let bucket = Some(cell.get()).filter(|bucket| bucket.tick >= tick);
            let Bucket { tick, requests, failures: failed } =
                bucket.unwrap_or(Bucket { tick, ..Bucket::default() });
            cell.set(Bucket {
                tick,
                requests: requests.saturating_add(1),
                failures: failed.saturating_add(failures),
            });
        }
        if failures == 0 {
            return self.in_a_row.set(0);
        }
        let in_a_row = self.in_a_row.get().saturating_add(1);
        self.in_a_row.set(in_a_row);
        if in_a_row >= self.settings.get().failures_in_a_row || self.is_mostly_failing(tick) {
            self.open(now);
        }
    }

    /// Which part of the window `now` falls in.
    fn tick(&self, now: Instant) -> u64 {
        let epoch = self.epoch.get().unwrap_or(now);
        self.epoch.set(Some(epoch));
        // Not in 128 bits, whose division is slow.
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let width = micros(self.settings.get().window / BUCKETS as u32).max(1);
        micros(now.saturating_duration_since(epoch)) / width
    }

    fn is_mostly_failing(&self, tick: u64) -> bool {
        let Settings { failure_ratio, requests_min, .. } = self.settings.get();
        let recent = self.buckets.iter().map(Cell::get);
        let recent = recent.filter(|bucket| bucket.tick.saturating_add(BUCKETS as u64) > tick);
        let sum = recent.fold((0_u64, 0_u64), |(requests, failures), bucket| {
            (requests + u64::from(bucket.requests), failures + u64::from(bucket.failures))
        });
        let (requests, failures) = sum;
        requests >= u64::from(requests_min) && failures as f64 >= failure_ratio * requests as f64
    }

    fn open(&self, now: Instant) {
        let is_again = match self.phase.get() {
            Phase::Closed { since } => {
                since.is_some_and(|since| now.saturating_duration_since(since) < SLOW_START)
            }
            Phase::Open { .. } => true,
        };
        let doublings = if is_again { (self.doublings.get() + 1).min(16) } else { 0 };
        self.doublings.set(doublings);
        let open = self.settings.get().open;
        let open = open.saturating_mul(1 << doublings).min(OPEN_MAX.max(open));
        self.round.set(self.round.get().wrapping_add(1));
        self.phase.set(Phase::Open { until: now + open, is_probed: false });
        self.in_a_row.set(0);
        self.forget_window();
    }

    fn close(&self, now: Instant) {
        self.phase.set(Phase::Closed { since: Some(now) });
        self.in_a_row.set(0);
        self.forget_window();
    }

    fn forget_window(&self) {
        self.epoch.set(None);
        self.buckets.iter().for_each(|bucket| bucket.set(Bucket::default()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn breaker() -> Breaker {
        Breaker::new(Settings { failures_in_a_row: 3, requests_min: 6, ..Settings::default() })
    }

    fn one(breaker: &Breaker, verdict: Verdict, now: Instant) {
        breaker.end(breaker.begin(now), verdict, now);
    }

    fn opened(now: Instant) -> Breaker {
        let breaker = breaker();
        (0..3).for_each(|_| one(&breaker, Verdict::Failed, now));
        assert_eq!(breaker.state(now), State::Open { until: now + 10 * S });
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_between_them_does_not() {
        let (breaker, now) = (breaker(), Instant::now());
        for verdict in
            [Verdict::Failed, Verdict::Failed, Verdict::Answered, Verdict::Failed, Verdict::Neutral]
        {
            one(&breaker, verdict, now);
            assert_eq!(breaker.state(now), State::Passing);
        }
        one(&breaker, Verdict::Failed, now);
        assert_eq!(breaker.state(now), State::Passing, "five that count are too few for a share");
        opened(now);
    }

    #[test]
    fn a_share_of_failures_opens_it_once_there_are_enough_requests_in_the_window() {
        let now = Instant::now();
        let alternate = |interval: Duration| {
            let breaker = breaker();
            for number in 0..30 {
                let verdict = if number % 2 == 0 { Verdict::Answered } else { Verdict::Failed };
                one(&breaker, verdict, now + interval * number);
                if breaker.state(now + interval * number) != State::Passing {
                    return Some(number);
                }
            }
            None
        };
        assert_eq!(alternate(S), Some(5));
        assert_eq!(alternate(3 * S), None, "never six of them in 10 s");
    }

    #[test]
    fn one_probe_decides() {
        let now = Instant::now();
        let breaker = opened(now);
        assert_eq!(breaker.state(now + 9 * S), State::Open { until: now + 10 * S });
        let later = now + 10 * S;
        assert_eq!(breaker.state(later), State::HalfOpen);
        let probe = breaker.begin(later);
        assert_eq!(breaker.state(later), State::Probing);
        let other = breaker.begin(later);
        assert!(probe.is_probe && !other.is_probe);
        breaker.end(other, Verdict::Failed, later);
        assert_eq!(breaker.state(later), State::Probing, "the other one decides nothing");
        breaker.end(probe, Verdict::Neutral, later);
        assert_eq!(breaker.state(later), State::HalfOpen, "the probe is free again");
        one(&breaker, Verdict::Answered, later);
        assert_eq!(breaker.state(later), State::Passing);
        assert_eq!(breaker.share(later), SHARE_MIN);
        assert!((breaker.share(later + 5 * S) - 0.55).abs() < 1e-9);
        assert_eq!(breaker.share(later + 10 * S), 1.0);
    }

    #[test]
    fn a_probe_that_fails_opens_it_for_longer_up_to_a_bound() {
        let mut now = Instant::now();
        let breaker = opened(now);
        for seconds in [10, 20, 40, 60, 60, 60] {
            assert_eq!(breaker.state(now), State::Open { until: now + seconds * S });
            now += seconds * S;
            one(&breaker, Verdict::Failed, now);
        }
        now += 60 * S;
        one(&breaker, Verdict::Answered, now);
        now += 9 * S;
        (0..3).for_each(|_| one(&breaker, Verdict::Failed, now));
        assert_eq!(breaker.state(now), State::Open { until: now + 60 * S }, "it had not started yet");
        now += 60 * S;
        one(&breaker, Verdict::Answered, now);
        now += 10 * S;
        (0..3).for_each(|_| one(&breaker, Verdict::Failed, now));
        assert_eq!(breaker.state(now), State::Open { until: now + 10 * S });
        let slow = Breaker::new(Settings { failures_in_a_row: 1, open: 600 * S, ..Settings::default() });
        one(&slow, Verdict::Failed, now);
        assert_eq!(slow.state(now), State::Open { until: now + 600 * S });
    }

    #[test]
    fn what_began_before_it_opened_changes_nothing() {
        let (breaker, now) = (breaker(), Instant::now());
        let early: Vec<Entry> = (0..4).map(|_| breaker.begin(now)).collect();
        (0..3).for_each(|_| one(&breaker, Verdict::Failed, now));
        let open = breaker.state(now);
        breaker.end(early[0], Verdict::Answered, now);
        breaker.end(early[1], Verdict::Failed, now + S);
        assert_eq!(breaker.state(now), open);
        one(&breaker, Verdict::Answered, now + S);
        assert_eq!(breaker.state(now + S), State::Passing, "a later one that was answered closes it");
        breaker.end(early[2], Verdict::Failed, now + S);
        breaker.end(early[3], Verdict::Failed, now + S);
        one(&breaker, Verdict::Failed, now + S);
        assert_eq!(breaker.state(now + S), State::Passing);
    }

    #[test]
    fn the_first_content_closes_it_and_the_end_still_counts() {
        let (breaker, now) = (breaker(), Instant::now());
        let early = breaker.begin(now);
        (0..3).for_each(|_| one(&breaker, Verdict::Failed, now));
        let later = now + 10 * S;
        assert_eq!(breaker.confirm(early, later), early, "it began before");
        assert_eq!(breaker.state(later), State::HalfOpen);
        let probe = breaker.begin(later);
        let probe = breaker.confirm(probe, later);
        assert_eq!(breaker.state(later), State::Passing);
        breaker.end(probe, Verdict::Failed, later);
        (0..2).for_each(|_| one(&breaker, Verdict::Failed, later));
        assert_eq!(breaker.state(later), State::Open { until: later + 20 * S });
    }

    #[test]
    fn new_settings_take_hold_at_once() {
        let (breaker, now) = (breaker(), Instant::now());
        (0..2).for_each(|_| one(&breaker, Verdict::Failed, now));
        breaker.adopt(Settings { failures_in_a_row: 2, window: 5 * S, ..Settings::default() });
        assert_eq!(breaker.state(now), State::Passing);
        one(&breaker, Verdict::Failed, now);
        assert_eq!(breaker.state(now), State::Open { until: now + 10 * S });
    }

    /// Whatever comes in whatever order: at most one probe, no probe for ever, and a provider that is well again is used
    /// again.
    #[test]
    fn it_never_hangs() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let breaker = Breaker::new(Settings {
                failures_in_a_row: random.u32(1..6),
                failure_ratio: random.f64().max(0.01),
                requests_min: random.u32(1..10),
                window: S * random.u32(1..60),
                open: S * random.u32(1..90),
            });
            let mut now = Instant::now();
            let mut under_way: Vec<Entry> = Vec::new();
            for _ in 0..400 {
                now += Duration::from_millis(random.u64(0..3000));
                if random.bool() || under_way.is_empty() {
                    let before = breaker.state(now);
                    let entry = breaker.begin(now);
                    assert_eq!(entry.is_probe, before == State::HalfOpen, "seed {seed}");
                    under_way.push(entry);
                } else {
                    let entry = under_way.swap_remove(random.usize(..under_way.len()));
                    let verdicts = [Verdict::Answered, Verdict::Failed, Verdict::Failed, Verdict::Neutral];
                    breaker.end(entry, verdicts[random.usize(..4)], now);
                }
                let current = |entry: &&Entry| entry.is_probe && entry.round == breaker.round.get();
                let probes = under_way.iter().filter(current).count();
                assert!(probes <= 1, "seed {seed}");
                assert!(breaker.state(now) != State::Probing || probes == 1, "seed {seed}");
                assert!((SHARE_MIN..=1.0).contains(&breaker.share(now)), "seed {seed}");
            }
            under_way.drain(..).for_each(|entry| breaker.end(entry, Verdict::Neutral, now));
            now += 90 * S;
            assert!(matches!(breaker.state(now), State::Passing | State::HalfOpen), "seed {seed}");
            one(&breaker, Verdict::Answered, now);
            assert_eq!(breaker.state(now), State::Passing, "seed {seed}");
        }
    }
}

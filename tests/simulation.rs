//! Thousands of made-up worlds, each from a seed: providers that fail, stall, limit and recover, callers with sessions, pins
//! and fallbacks of their own, a clock that is only said. Requests go the way that `routing` says, told to the health view
//! as the gateway tells it, and after each step what must never be is looked for. A failure prints its seed, and
//! `SIMULATION_SEED=n` runs that world alone.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test's failure")]

#[path = "simulation/oracle.rs"]
mod oracle;
#[path = "simulation/shares.rs"]
mod shares;
#[path = "simulation/world.rs"]
mod world;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use corelane::config::snapshot::{KeyId, ProviderId};
use corelane::dialect::{Dialect, Operation};
use corelane::routing::decision::read::Decision;
use corelane::routing::health::{Health, Standing, State};
use corelane::routing::plan::{ATTEMPTS_MAX, Attempt, Class, Features, Pin, Plan, Step, plan};
use corelane::routing::view::{Running, View};
use fastrand::Rng;
use world::{End, LENGTH, World, millis};

const WORLDS: u64 = 3_000;
const REQUESTS: usize = 40;

#[test]
fn nothing_that_must_not_be_comes_to_pass() {
    let template = world::template();
    let alone =
        std::env::var_os("SIMULATION_SEED").map(|seed| seed.to_str().unwrap().parse::<u64>().unwrap());
    let seeds = alone.map_or(0..WORLDS, |seed| seed..seed + 1);
    let mut seen = Seen::default();
    for seed in seeds {
        let mut random = Rng::with_seed(seed);
        let world = World::new(&template, &mut random);
        let run = catch_unwind(AssertUnwindSafe(|| Simulation::new(&world, random).run()));
        match run {
            Ok(of_this) => seen.add(&of_this),
            Err(_) => panic!("the world of seed {seed}: SIMULATION_SEED={seed} replays it"),
        }
    }
    println!("{seen:?}");
    if alone.is_none() {
        seen.is_enough();
    }
}

/// How much of each was met, so that a simulation that meets nothing is noticed.
#[derive(Debug, Default)]
struct Seen {
    requests: u32,
    refused_at_once: u32,
    attempts: u32,
    answered: u32,
    failed: u32,
    gone: u32,
    fallbacks: u32,
    least_bad: u32,
    replayed: u32,
    cut_after_content: u32,
}

impl Seen {
    fn all(&self) -> [u32; 10] {
        let Self { requests, refused_at_once, attempts, answered, failed, .. } = *self;
        let Self { gone, fallbacks, least_bad, replayed, cut_after_content, .. } = *self;
        [
            requests,
            refused_at_once,
            attempts,
            answered,
            failed,
            gone,
            fallbacks,
            least_bad,
            replayed,
            cut_after_content,
        ]
    }

    fn add(&mut self, other: &Self) {
        let [a, b, c, d, e, f, g, h, i, j] = other.all();
        self.requests += a;
        self.refused_at_once += b;
        self.attempts += c;
        self.answered += d;
        self.failed += e;
        self.gone += f;
        self.fallbacks += g;
        self.least_bad += h;
        self.replayed += i;
        self.cut_after_content += j;
    }

    fn is_enough(&self) {
        assert!(self.all().into_iter().all(|count| count > 500), "{self:?}");
        assert!(self.attempts > self.requests && self.answered > self.failed, "{self:?}");
        assert_eq!(self.requests, self.refused_at_once + self.answered + self.failed + self.gone, "{self:?}");
    }
}

struct Simulation<'w> {
    world: &'w World,
    view: View,
    random: Rng,
    began: Instant,
    now: Instant,
    requests: Vec<Request<'w>>,
    /// When, which request, and which of its phases is meant.
    events: BinaryHeap<Reverse<(Instant, usize, u32)>>,
    seen: Seen,
}

/// A request under way, as the gateway serves it.
struct Request<'w> {
    features: Features<'w>,
    plan: Option<Plan<'w>>,
    phase: Phase<'w>,
    /// Counts phases: an event of an older one is void.
    turn: u32,
    leaves_at: Option<Instant>,
    attempts: u32,
    /// Legs that were taken.
    legs: HashSet<u16>,
    refused: HashSet<(ProviderId, Option<KeyId>)>,
    /// By leg, since its last wait.
    limited: HashSet<(u16, ProviderId, Option<KeyId>)>,
    /// Leg and class of the failure that is kept.
    kept: Option<(u16, Class)>,
    has_content: bool,
    answers: u32,
}

enum Phase<'w> {
    Arriving,
    Waiting(Attempt<'w>),
    Asking(Attempt<'w>, Option<Running>, End),
    Streaming(Option<Running>),
    Done,
}

impl<'w> Simulation<'w> {
    fn new(world: &'w World, random: Rng) -> Self {
        let began = Instant::now();
        let view = View::new(&world.snapshot);
        let (requests, events, seen) = (Vec::new(), BinaryHeap::new(), Seen::default());
        Self { world, view, random, began, now: began, requests, events, seen }
    }

    fn run(mut self) -> Seen {
        let names: Vec<String> = (0..REQUESTS).map(|_| self.world.model(&mut self.random)).collect();
        // The names live as long as the world does, for a request borrows them.
        let names: &'static [String] = names.leak();
        for name in names {
            self.arrive(name);
        }
        while let Some(Reverse((at, request, turn))) = self.events.pop() {
            self.now = at;
            if self.requests[request].turn == turn {
                self.step(request);
            } else if self.requests[request].leaves_at == Some(at) {
                self.leave(request);
            }
        }
        self.nothing_is_left();
        self.seen
    }

    fn arrive(&mut self, model: &'w str) {
        let random = &mut self.random;
        let at = self.began + millis(random, 0..80_000);
        let pins = ["p0k0", "p1k1", "p2k0", "nobody"];
        let features = Features {
            model,
            home: None,
            operation: Operation::Chat.streamed(random.bool()),
            dialect: Dialect::OpenAi,
            pin: (random.u8(0..12) == 0).then(|| Pin::Name(pins[random.usize(..pins.len())])),
            session: random.bool().then(|| random.u64(0..10)),
            fallbacks: random.bool().then(|| self.world.fallbacks[random.usize(..4)].as_slice()),
            deadline: at + millis(random, 1_000..60_000),
            record: random.u8(0..6) == 0,
        };
        let leaves_at = (random.u8(0..10) == 0).then(|| at + millis(random, 0..20_000));
        let request = Request {
            features,
            plan: None,
            phase: Phase::Arriving,
            turn: 0,
            leaves_at,
            attempts: 0,
            legs: HashSet::new(),
            refused: HashSet::new(),
            limited: HashSet::new(),
            kept: None,
            has_content: false,
            answers: 0,
        };
        let index = self.requests.len();
        self.requests.push(request);
        self.events.push(Reverse((at, index, 0)));
        // A turn that never comes: it is the caller's leaving that is meant.
        self.events.extend(leaves_at.map(|at| Reverse((at, index, u32::MAX))));
        self.seen.requests += 1;
    }

    fn step(&mut self, index: usize) {
        match std::mem::replace(&mut self.requests[index].phase, Phase::Done) {
            Phase::Arriving => self.begin(index),
            Phase::Waiting(attempt) => self.ask(index, attempt),
            Phase::Asking(attempt, running, end) => self.asked(index, attempt, running, end),
            Phase::Streaming(running) => self.finish(index, running),
            Phase::Done => panic!("what is done goes on"),
        }
    }

    fn begin(&mut self, index: usize) {
        let features = self.requests[index].features;
        let seed = self.random.u64(..);
        match plan(&self.world.snapshot, features, &self.view, self.now, seed) {
            Ok((plan, attempt)) => {
                self.requests[index].plan = Some(plan);
                self.chosen_well(index, &attempt, Duration::ZERO, false);
                self.ask(index, attempt);
            }
            Err(error) => {
                assert_eq!(error.kind.status(), 400, "{error}");
                let primary = oracle::leg(&self.world.snapshot, &features, 0);
                assert!(primary.is_none(), "{error}: yet there is {primary:?}");
                self.seen.refused_at_once += 1;
                self.answer(index);
            }
        }
    }

    /// Begins an attempt.
    fn ask(&mut self, index: usize, attempt: Attempt<'w>) {
        let request = &mut self.requests[index];
        assert!(!request.has_content && request.answers == 0, "an attempt after content");
        assert!(self.now < request.features.deadline, "an attempt after the deadline");
        request.attempts += 1;
        assert_eq!(request.attempts, attempt.number);
        assert!(request.attempts <= ATTEMPTS_MAX);
        request.legs.insert(attempt.leg);
        assert!(!request.refused.contains(&(attempt.provider, attempt.key)), "a refused key again");
        let mut running = self.view.begin(attempt.provider, attempt.key, self.now);
        running.as_mut().expect("a key that is there").sent(self.now);
        let at = self.now - self.began;
        let end = self.world.end(attempt.provider, attempt.key, at, &mut self.random);
        let after = match end {
            End::Content { after, .. } | End::Failure { after, .. } => after,
        };
        self.seen.attempts += 1;
        self.seen.fallbacks += u32::from(attempt.leg > 0);
        self.go_on(index, after, Phase::Asking(attempt, running, end));
    }

    fn asked(&mut self, index: usize, attempt: Attempt<'w>, running: Option<Running>, end: End) {
        let now = self.now;
        match end {
            End::Content { after, rest, is_cut } => {
                let mut running = running.unwrap();
                running.first_token(after, now);
                self.requests[index].has_content = true;
                self.seen.cut_after_content += u32::from(is_cut);
                if is_cut {
                    running.end(corelane::routing::view::Outcome::Failed { retry_after: None }, now);
                    self.go_on(index, rest, Phase::Streaming(None));
                } else {
                    self.go_on(index, rest, Phase::Streaming(Some(running)));
                }
            }
            End::Failure { failed, outcome, .. } => {
                running.unwrap().end(outcome, now);
                let whose = (attempt.provider, attempt.key);
                let request = &mut self.requests[index];
                match failed.class {
                    Class::Limited => request.limited.insert((attempt.leg, whose.0, whose.1)),
                    Class::Refused => request.refused.insert(whose),
                    _ => false,
                };
                let next = request.plan.as_mut().unwrap().next(failed, &self.view, now);
                if next.keep {
                    request.kept = Some((attempt.leg, failed.class));
                }
                match next.step {
                    Step::Attempt { attempt: following, after } => {
                        let is_round = matches!(failed.class, Class::Limited | Class::Refused);
                        self.chosen_well(index, &following, after, is_round && !after.is_zero());
                        if !after.is_zero() {
                            self.requests[index].limited.retain(|(leg, ..)| *leg != attempt.leg);
                        }
                        self.go_on(index, after, Phase::Waiting(following));
                    }
                    step => self.gave_up(index, step, attempt.leg, failed.class),
                }
            }
        }
    }

    fn go_on(&mut self, index: usize, after: Duration, phase: Phase<'w>) {
        let request = &mut self.requests[index];
        request.turn += 1;
        request.phase = phase;
        self.events.push(Reverse((self.now + after, index, request.turn)));
    }

    fn finish(&mut self, index: usize, running: Option<Running>) {
        if let Some(running) = running {
            running.end(corelane::routing::view::Outcome::Answered, self.now);
        }
        self.seen.answered += 1;
        self.answer(index);
    }

    fn leave(&mut self, index: usize) {
        if !matches!(self.requests[index].phase, Phase::Done) {
            self.requests[index].phase = Phase::Done;
            self.requests[index].turn += 1;
            self.seen.gone += 1;
        }
    }

    fn answer(&mut self, index: usize) {
        let request = &mut self.requests[index];
        request.answers += 1;
        request.turn += 1;
        assert_eq!(request.answers, 1, "a second answer");
        let Some(plan) = request.plan.as_ref().filter(|_| request.features.record) else { return };
        let mut record = String::new();
        plan.decision(&mut record);
        let decision = Decision::parse(&record).unwrap_or_else(|error| panic!("{error}: {record}"));
        let replayed = decision.replay(&self.world.snapshot, self.began);
        match decision.cut {
            true => assert!(replayed.is_err()),
            false => assert_eq!(replayed, Ok(record)),
        }
        self.seen.replayed += u32::from(!decision.cut);
    }

    /// A request gives up only when nothing is left to try, and says the right failure.
    fn gave_up(&mut self, index: usize, step: Step<'_>, leg: u16, class: Class) {
        let request = &self.requests[index];
        let (kept_leg, kept_class) = request.kept.unwrap();
        assert!(kept_leg == 0 || !request.legs.contains(&0), "the primary's failure was not kept");
        assert_eq!(matches!(step, Step::CredentialsExhausted), kept_class == Class::Refused);
        let is_over = self.now >= request.features.deadline || (class == Class::Final && leg == 0);
        if !is_over {
            let is_exhausted = matches!(step, Step::CredentialsExhausted);
            let other = self.able(index, kept_leg).next();
            assert!(
                !is_exhausted || other.is_none(),
                "not every key of leg {kept_leg} was refused: {other:?}"
            );
            for number in self.legs(index) {
                let untried = self.able(index, number).next();
                let is_taken = request.legs.contains(&number);
                assert!(is_taken || untried.is_none(), "leg {number} was not tried");
            }
        }
        self.seen.failed += 1;
        self.answer(index);
    }

    fn legs(&self, index: usize) -> std::ops::RangeInclusive<u16> {
        0..=oracle::fallback_count(&self.world.snapshot, &self.requests[index].features)
    }

    /// The keys of a leg that this request may still try.
    fn able(&self, index: usize, leg: u16) -> impl Iterator<Item = (ProviderId, Option<KeyId>)> {
        let request = &self.requests[index];
        let found = oracle::leg(&self.world.snapshot, &request.features, leg);
        let keys =
            found.into_iter().flat_map(|(provider, keys)| keys.into_iter().map(move |key| (provider, key)));
        keys.filter(|whose| !request.refused.contains(whose))
    }

    /// No key is chosen that is out while another can serve; in a new round after everybody's 429, none with an open
    /// breaker.
    fn chosen_well(&mut self, index: usize, attempt: &Attempt<'_>, after: Duration, is_round: bool) {
        let leg = oracle::leg(&self.world.snapshot, &self.requests[index].features, attempt.leg);
        let (provider, keys) = leg.unwrap_or_else(|| panic!("leg {} cannot be taken", attempt.leg));
        assert!(provider == attempt.provider && keys.contains(&attempt.key), "{attempt:?} may not serve");
        let state = |(provider, key), now| self.view.standing(provider, key, now).state;
        let then = self.now + after;
        let chosen = state((attempt.provider, attempt.key), then);
        let is_out = match chosen {
            State::Passing | State::HalfOpen => false,
            State::Cooling { .. } => !is_round,
            State::Open { .. } | State::Probing => true,
        };
        if !is_out {
            return;
        }
        self.seen.least_bad += 1;
        let request = &self.requests[index];
        let is_fit = |state| matches!(state, State::Passing | State::HalfOpen);
        for number in self.legs(index).filter(|number| *number != attempt.leg) {
            let is_free = !request.legs.contains(&number);
            let fit = self.able(index, number).find(|whose| is_fit(state(*whose, self.now)));
            assert!(!is_free || fit.is_none(), "{chosen:?} of {attempt:?} while leg {number} has {fit:?}");
        }
        let here = self.able(index, attempt.leg);
        let mut here =
            here.filter(|whose| is_round || !request.limited.contains(&(attempt.leg, whose.0, whose.1)));
        let fit = here.find(|whose| is_fit(state(*whose, then)));
        assert!(fit.is_none(), "{chosen:?} of {attempt:?} after {after:?} while there is {fit:?}");
    }

    /// Every request has ended, and the view has forgotten them all.
    fn nothing_is_left(&self) {
        for request in &self.requests {
            let is_gone = request.leaves_at.is_some();
            assert!(matches!(request.phase, Phase::Done) && (is_gone || request.answers == 1));
            assert!(request.attempts <= self.bound(&request.features), "{} attempts", request.attempts);
        }
        for (provider, id) in self.world.snapshot.providers.iter().zip(0..) {
            let keys = (0..provider.keys.len()).map(|key| Some(KeyId(u16::try_from(key).unwrap())));
            for key in keys.chain([None]) {
                let Standing { state, in_flight, .. } =
                    self.view.standing(ProviderId(id), key, self.now + LENGTH * 100);
                assert!(
                    in_flight == 0 && matches!(state, State::Passing | State::HalfOpen),
                    "{key:?} {state:?}"
                );
            }
        }
    }

    /// Each leg once through: all its keys, as often as its retries allow, and one more time.
    fn bound(&self, features: &Features<'_>) -> u32 {
        let legs = 0..=oracle::fallback_count(&self.world.snapshot, features);
        let legs = legs.filter_map(|leg| oracle::leg(&self.world.snapshot, features, leg));
        let bounds = legs.map(|(provider, keys)| {
            let retries = self.world.snapshot.providers[usize::from(provider.0)].retry.retries_max;
            u32::try_from(keys.len()).unwrap() * (retries + 1)
        });
        bounds.sum()
    }
}

//! Each branch of a plan: where it begins, and what follows each failure.

use super::*;
use crate::routing::fixture::*;
use crate::routing::health::Standing;
use crate::routing::view::{Outcome, View};

/// A request's way, driven by hand.
struct Way<'a> {
    snapshot: &'a Snapshot,
    plan: Plan<'a>,
    health: Sick,
    now: Instant,
    last: Attempt<'a>,
    keep: bool,
}

const OPEN_S: u64 = 10;

impl<'a> Way<'a> {
    fn begin(snapshot: &'a Snapshot, features: Features<'a>, health: Sick) -> Self {
        let now = features.deadline - Duration::from_secs(600);
        let (plan, last) = plan(snapshot, features, &health, now, 7).unwrap();
        Self { snapshot, plan, health, now, last, keep: false }
    }

    /// The last attempt failed so; says what follows: the key and the wait in ms, or the end.
    fn fails(&mut self, class: Class, retry_after: Option<Duration>) -> String {
        let next = self.plan.next(Failed { class, retry_after }, &self.health, self.now);
        self.keep = next.keep;
        match next.step {
            Step::Attempt { attempt, after } => {
                assert_eq!(attempt.number, self.last.number + 1);
                self.now += after;
                self.last = attempt;
                format!("{} {}", name(self.snapshot, &attempt), after.as_millis())
            }
            Step::GiveUp => "end".to_owned(),
            Step::CredentialsExhausted => "exhausted".to_owned(),
        }
    }

    fn name(&self) -> &'a str {
        name(self.snapshot, &self.last)
    }

    fn open(&mut self, key: &str) {
        self.health.set(self.snapshot, key, open(self.now, OPEN_S));
    }
}

fn open(now: Instant, seconds: u64) -> State {
    State::Open { until: now + Duration::from_secs(seconds) }
}

fn cooling(now: Instant, seconds: u64) -> State {
    State::Cooling { until: now + Duration::from_secs(seconds) }
}

fn key(line: &str) -> &str {
    line.split(' ').next().unwrap()
}

fn wait_ms(line: &str) -> u64 {
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

fn snapshot_with_retries(retries_max: u32) -> Snapshot {
    let mut snapshot = three_providers();
    snapshot.providers.iter_mut().for_each(|provider| provider.retry = retries(retries_max));
    snapshot
}

use Class::{Elsewhere, Final, Limited, Refused, Transient, Unknown};

#[test]
fn without_retries_or_fallbacks_the_first_failure_is_the_answer() {
    let snapshot = snapshot_with_retries(0);
    for class in [Transient, Limited, Elsewhere, Final] {
        let mut way = Way::begin(&snapshot, asked("one/m", Instant::now()), Sick::default());
        assert_eq!((way.name(), way.fails(class, None).as_str(), way.keep), ("one-a", "end", true));
    }
}

#[test]
fn a_passing_failure_is_retried_with_the_same_key_after_a_growing_wait() {
    let snapshot = snapshot_with_retries(3);
    let mut way = Way::begin(&snapshot, asked("three/m", Instant::now()), Sick::default());
    let first = way.name();
    for base in [100, 200, 400] {
        let line = way.fails(Transient, None);
        assert_eq!((key(&line), way.keep), (first, true));
        let wait = wait_ms(&line);
        assert!((base * 8 / 10..=base * 12 / 10).contains(&wait), "{wait} of {base}");
    }
    assert_eq!(way.fails(Transient, None), "end");
}

#[test]
fn what_the_provider_asks_for_raises_a_wait_up_to_its_bound() {
    let snapshot = snapshot_with_retries(3);
    let mut way = Way::begin(&snapshot, asked("one/m", Instant::now()), Sick::default());
    assert_eq!(way.fails(Transient, Some(Duration::from_millis(700))), "one-a 700");
    assert_eq!(way.fails(Limited, Some(Duration::from_secs(3_600))), "one-a 1000");
}

#[test]
fn a_retry_leaves_a_key_that_is_no_longer_fit() {
    let snapshot = snapshot_with_retries(3);
    let mut way = Way::begin(&snapshot, asked("two/m", Instant::now()), Sick::default());
    let first = way.name();
    way.open(first);
    let line = way.fails(Transient, None);
    assert!(key(&line) != first && wait_ms(&line) > 0, "{line}");
    let second = way.name();
    way.now += Duration::from_secs(1);
    way.open(second);
    let line = way.fails(Transient, None);
    assert_eq!(key(&line), first, "none is fit: the one whose time is over sooner");
}

#[test]
fn a_key_that_is_fit_when_the_wait_is_over_is_waited_for() {
    let snapshot = snapshot_with_retries(1);
    let fallbacks = names(&["two/m"]);
    let features = Features { fallbacks: Some(&fallbacks), ..asked("one/m", Instant::now()) };
    for (asked_for_ms, leg) in [(300, 0), (1_001, 1)] {
        let view = View::new(&snapshot);
        let asked_for = Duration::from_millis(asked_for_ms);
        let mut way = Way::begin(&snapshot, features, Sick::default());
        let now = way.now;
        let mut running = view.begin(way.last.provider, way.last.key, now).unwrap();
        running.sent(now);
        running.end(Outcome::Failed { retry_after: Some(asked_for) }, now);
        let failed = Failed { class: Transient, retry_after: Some(asked_for) };
        let Step::Attempt { attempt, .. } = way.plan.next(failed, &view, now).step else {
            panic!("no attempt")
        };
        assert_eq!(attempt.leg, leg);
    }
}

#[test]
fn a_retry_leaves_the_leg_when_only_another_is_fit() {
    let snapshot = snapshot_with_retries(3);
    let fallbacks = names(&["two/m"]);
    let features = Features { fallbacks: Some(&fallbacks), ..asked("one/m", Instant::now()) };
    let mut way = Way::begin(&snapshot, features, Sick::default());
    way.open("one-a");
    let line = way.fails(Transient, None);
    assert_eq!((way.last.leg, wait_ms(&line)), (1, 0));
    let first = way.name();
    assert_eq!(key(&way.fails(Transient, None)), first, "with retries of its own");
}

#[test]
fn a_refused_or_limited_key_gives_way_at_once_and_each_is_tried_once() {
    let snapshot = snapshot_with_retries(0);
    let mut way = Way::begin(&snapshot, asked("three/m", Instant::now()), Sick::default());
    let mut tried = vec![way.name()];
    for class in [Limited, Refused] {
        let line = way.fails(class, None);
        assert_eq!(wait_ms(&line), 0);
        tried.push(way.name());
    }
    tried.sort_unstable();
    assert_eq!(tried, ["three-a", "three-b", "three-c"]);
    assert_eq!(way.fails(Limited, None), "end");
}

#[test]
fn when_all_had_their_429_those_not_refused_begin_again_after_a_wait() {
    let snapshot = snapshot_with_retries(1);
    let mut way = Way::begin(&snapshot, asked("three/m", Instant::now()), Sick::default());
    let refused = way.name();
    assert_eq!(wait_ms(&way.fails(Refused, None)), 0);
    assert_eq!(wait_ms(&way.fails(Limited, Some(Duration::from_millis(900)))), 0);
    let line = way.fails(Limited, Some(Duration::from_millis(300)));
    assert_eq!(wait_ms(&line), 300, "as long as the soonest of them asks for");
    assert_ne!(key(&line), refused);
    let line = way.fails(Limited, None);
    assert!(key(&line) != refused && wait_ms(&line) == 0, "{line}");
    assert_eq!(way.fails(Limited, None), "end", "one round for one retry");
}

#[test]
fn a_pinned_key_does_not_rotate() {
    let snapshot = snapshot_with_retries(1);
    let features = Features { pin: Some(Pin::Name("three-b")), ..asked("three/m", Instant::now()) };
    let mut way = Way::begin(&snapshot, features, Sick::default());
    assert_eq!(way.name(), "three-b");
    assert_eq!(key(&way.fails(Limited, None)), "three-b");
    assert_eq!(way.fails(Limited, None), "end");
    let mut way = Way::begin(&snapshot, features, Sick::default());
    assert_eq!(way.fails(Refused, None), "exhausted");
}

#[test]
fn all_keys_refused_is_said_as_such() {
    let snapshot = snapshot_with_retries(5);
    let mut way = Way::begin(&snapshot, asked("two/m", Instant::now()), Sick::default());
    assert_eq!(wait_ms(&way.fails(Refused, None)), 0);
    assert!(way.keep);
    assert_eq!(way.fails(Refused, None), "exhausted");
    assert!(way.keep, "the last one's words");
    let fallbacks = names(&["one/m"]);
    let features = Features { fallbacks: Some(&fallbacks), ..asked("two/m", Instant::now()) };
    let mut way = Way::begin(&snapshot, features, Sick::default());
    let _ = (way.fails(Refused, None), way.fails(Refused, None));
    assert_eq!(way.name(), "one-a");
    assert_eq!((way.fails(Elsewhere, None).as_str(), way.keep), ("exhausted", false), "of the primary");
}

#[test]
fn a_429_is_kept_rather_than_another_keys_refusal() {
    let snapshot = snapshot_with_retries(0);
    let mut way = Way::begin(&snapshot, asked("two/m", Instant::now()), Sick::default());
    let _ = way.fails(Limited, None);
    assert!(way.keep);
    assert_eq!((way.fails(Refused, None).as_str(), way.keep), ("end", false));
    let mut way = Way::begin(&snapshot, asked("two/m", Instant::now()), Sick::default());
    let _ = way.fails(Refused, None);
    assert_eq!((way.fails(Limited, None).as_str(), way.keep), ("end", true));
}

#[test]
fn another_keys_ignorance_is_not_told_in_place_of_a_key_that_could_not_say() {
    let snapshot = snapshot_with_retries(1);
    let asked = || Way::begin(&snapshot, asked("two/m", Instant::now()), Sick::default());
    let mut way = asked();
    let _ = way.fails(Limited, None);
    let _ = way.fails(Unknown, None);
    assert!(!way.keep, "the 429");
    let _ = way.fails(Unknown, None);
    assert!(way.keep, "that key's own last word");
    let mut way = asked();
    let first = way.name();
    let _ = way.fails(Transient, None);
    assert_eq!(way.name(), first);
    let _ = way.fails(Unknown, None);
    assert!(way.keep);
    let _ = way.fails(Unknown, None);
    assert!(way.keep);
}

#[test]
fn fallbacks_follow_in_their_order_and_the_primarys_failure_is_kept() {
    let mut snapshot = snapshot_with_retries(0);
    provider(&mut snapshot, "two").fallbacks =
        vec![("*".to_owned(), names(&["one/x"])), ("m".to_owned(), names(&["nobody/m", "three/", "one/y"]))];
    let mut way = Way::begin(&snapshot, asked("two/m", Instant::now()), Sick::default());
    assert_eq!(wait_ms(&way.fails(Transient, None)), 0);
    assert_eq!((way.keep, way.last.leg, way.last.model, &way.name()[..5]), (true, 2, "m", "three"));
    let _ = way.fails(Final, None);
    assert_eq!((way.keep, way.last.leg, way.last.model, way.name()), (false, 3, "y", "one-a"));
    assert_eq!((way.fails(Elsewhere, None).as_str(), way.keep), ("end", false));
    let mut way = Way::begin(&snapshot, asked("two/other", Instant::now()), Sick::default());
    let _ = way.fails(Elsewhere, None);
    assert_eq!((way.last.model, way.last.wire_model, way.name()), ("x", "x", "one-a"));
    let none = Features { fallbacks: Some(&[]), ..asked("two/m", Instant::now()) };
    assert_eq!(Way::begin(&snapshot, none, Sick::default()).fails(Transient, None), "end");
    assert_eq!(
        Way::begin(&snapshot, asked("two/m", Instant::now()), Sick::default()).fails(Final, None),
        "end"
    );
}

#[test]
fn a_key_that_was_refused_is_not_tried_by_a_fallback() {
    let snapshot = snapshot_with_retries(0);
    let fallbacks = names(&["one/other", "one/third"]);
    let features = Features { fallbacks: Some(&fallbacks), ..asked("one/m", Instant::now()) };
    let mut way = Way::begin(&snapshot, features, Sick::default());
    assert_eq!(way.fails(Refused, None), "exhausted");
    let mut way = Way::begin(&snapshot, features, Sick::default());
    assert_eq!((way.fails(Limited, None).as_str(), way.last.leg), ("one-a 0", 1));
}

#[test]
fn a_primary_that_is_out_is_passed_over_and_comes_last() {
    let snapshot = snapshot_with_retries(0);
    let now = Instant::now();
    let fallbacks = names(&["two/m", "three/m"]);
    let features = Features { fallbacks: Some(&fallbacks), ..asked("one/m", now) };
    let mut health = Sick::default();
    health.set(&snapshot, "one-a", open(now, 10));
    let mut way = Way::begin(&snapshot, features, health);
    assert_eq!((way.last.number, way.last.leg), (1, 1));
    let _ = way.fails(Transient, None);
    assert_eq!((way.last.leg, way.keep), (2, true), "the first leg's failure is kept, as long as");
    assert_eq!((way.fails(Transient, None).as_str(), way.keep), ("one-a 0", false));
    assert_eq!((way.fails(Limited, None).as_str(), way.keep), ("end", true), "the primary's is not there");
}

#[test]
fn when_all_are_out_the_best_is_tried() {
    let snapshot = snapshot_with_retries(0);
    let now = Instant::now();
    let fallbacks = names(&["two/m", "three/m"]);
    let features = Features { fallbacks: Some(&fallbacks), ..asked("one/m", now) };
    let mut health = Sick::default();
    for (key, state) in [
        ("one-a", open(now, 1)),
        ("two-a", cooling(now, 9)),
        ("two-b", cooling(now, 8)),
        ("three-a", open(now, 3)),
        ("three-b", State::Probing),
        ("three-c", open(now, 2)),
    ] {
        health.set(&snapshot, key, state);
    }
    let mut way = Way::begin(&snapshot, features, health);
    assert_eq!(way.name(), "two-b");
    assert_eq!(way.fails(Transient, None), "three-b 0", "legs are passed through once");
    assert_eq!(way.fails(Refused, None), "three-c 0", "within the leg, since none is fit elsewhere");
    assert_eq!(way.fails(Transient, None), "one-a 0");
    assert_eq!(way.fails(Transient, None), "end");
}

#[test]
fn rotation_passes_over_the_unfit_while_another_leg_is_fit() {
    let snapshot = snapshot_with_retries(1);
    let now = Instant::now();
    let fallbacks = names(&["one/m"]);
    let features = Features { fallbacks: Some(&fallbacks), ..asked("two/m", now) };
    let mut health = Sick::default();
    health.set(&snapshot, "two-b", open(now, 10));
    let mut way = Way::begin(&snapshot, features, health);
    way.health.set(&snapshot, "two-a", cooling(now, 5));
    assert_eq!(key(&way.fails(Limited, None)), "two-a", "cooling, but its own round");
    assert_eq!(way.fails(Limited, None), "one-a 0");
    let mut health = Sick::default();
    health.set(&snapshot, "two-b", open(now, 10));
    let mut way = Way::begin(&snapshot, features, health);
    assert_eq!(way.fails(Refused, None), "one-a 0", "no 429: nothing to wait for");
    let mut way = Way::begin(&snapshot, features, Sick::default());
    let first = way.name();
    let _ = way.fails(Limited, None);
    way.open("two-a");
    way.open("two-b");
    assert_ne!(way.name(), first);
    assert_eq!(way.fails(Limited, None), "one-a 0", "all are broken meanwhile");
}

#[test]
fn rotation_takes_the_unfit_when_no_leg_is_fit() {
    let snapshot = snapshot_with_retries(0);
    let now = Instant::now();
    let mut health = Sick::default();
    health.set(&snapshot, "two-b", open(now, 10));
    let mut way = Way::begin(&snapshot, asked("two/m", now), health);
    assert_eq!(way.fails(Limited, None), "two-b 0");
}

#[test]
fn keys_that_were_passed_over_for_a_fallback_come_last() {
    let snapshot = snapshot_with_retries(0);
    let now = Instant::now();
    let fallbacks = names(&["one/m"]);
    let features = Features { fallbacks: Some(&fallbacks), ..asked("two/m", now) };
    for state in [open(now, 10), cooling(now, 5), State::Probing] {
        for class in [Refused, Limited] {
            let mut health = Sick::default();
            health.set(&snapshot, "two-b", state);
            let mut way = Way::begin(&snapshot, features, health);
            assert_eq!((way.name(), way.fails(class, None).as_str()), ("two-a", "one-a 0"));
            way.health.set(&snapshot, "two-a", open(now, 60));
            assert_eq!(way.fails(Transient, None), "two-b 0", "{class:?}, {state:?}");
            assert_eq!((way.last.leg, way.keep), (0, false));
            let end = if class == Refused { "exhausted" } else { "end" };
            let rest: Vec<String> = (0..2).map(|_| way.fails(class, None)).collect();
            assert!(rest.contains(&end.to_owned()), "it comes to an end: {rest:?}");
        }
    }
    let mut health = Sick::default();
    health.set(&snapshot, "two-b", open(now, 10));
    let mut way = Way::begin(&snapshot, features, health);
    let _ = (way.fails(Refused, None), way.fails(Transient, None));
    assert_eq!((way.fails(Transient, None).as_str(), way.keep), ("end", true), "not every key was refused");
}

#[test]
fn no_wait_is_begun_that_would_last_until_the_deadline() {
    let snapshot = snapshot_with_retries(9);
    let now = Instant::now();
    let fallbacks = names(&["two/m"]);
    let features = Features { fallbacks: Some(&fallbacks), ..asked("one/m", now) };
    for (class, late) in [(Transient, true), (Limited, true), (Transient, false), (Limited, false)] {
        let mut way = Way::begin(&snapshot, features, Sick::default());
        way.now = features.deadline - Duration::from_millis(if late { 79 } else { 121 });
        let line = way.fails(class, None);
        assert_eq!(way.last.leg, u16::from(late), "{line}");
    }
    let mut way = Way::begin(&snapshot, features, Sick::default());
    way.now = features.deadline;
    assert_eq!(way.fails(Transient, None), "end");
}

#[test]
fn attempts_have_a_bound() {
    let mut snapshot = snapshot_with_retries(1_000);
    provider(&mut snapshot, "one").retry.backoff_initial = Duration::from_millis(1);
    provider(&mut snapshot, "one").retry.backoff_max = Duration::from_millis(2);
    let mut way = Way::begin(&snapshot, asked("one/m", Instant::now()), Sick::default());
    let made = (1..).find(|_| way.fails(Transient, None) == "end");
    assert_eq!(made, Some(ATTEMPTS_MAX));
}

#[test]
fn a_primary_that_cannot_be_asked_leaves_the_fallbacks() {
    let mut snapshot = snapshot_with_retries(0);
    provider(&mut snapshot, "two").keys.iter_mut().for_each(|key| key.enabled = false);
    let now = Instant::now();
    let fallbacks = names(&["one/m"]);
    let features = Features { fallbacks: Some(&fallbacks), ..asked("two/m", now) };
    let mut way = Way::begin(&snapshot, features, Sick::default());
    assert_eq!((way.name(), way.last.leg), ("one-a", 1));
    assert_eq!((way.fails(Limited, None).as_str(), way.keep), ("end", true));
    let refused = |features| plan(&snapshot, features, &Sick::default(), now, 1).err().unwrap();
    assert_eq!(refused(asked("two/m", now)).kind, Kind::NoKeyForModel);
    let unusable = names(&["nobody/m", "two/m", "two/", "openai/m"]);
    let none = Features { fallbacks: Some(&unusable), ..features };
    assert_eq!(refused(none).kind, Kind::NoKeyForModel);
    for (model, kind) in [("m", Kind::ModelNotFound), ("openai/m", Kind::ProviderNotConfigured)] {
        assert_eq!(refused(Features { model, ..features }).kind, kind);
    }
    provider(&mut snapshot, "two").dialect = None;
    let way = Way::begin(&snapshot, features, Sick::default());
    assert_eq!(way.name(), "one-a", "not served, but has a fallback");
}

#[test]
fn a_pin_binds_the_primary_and_the_fallbacks_that_have_the_key() {
    let mut snapshot = snapshot_with_retries(0);
    provider(&mut snapshot, "two").keys[1].blacklisted_models = names(&["bad"]);
    let now = Instant::now();
    let fallbacks = names(&["one/m", "two/bad", "two/other"]);
    let features =
        Features { fallbacks: Some(&fallbacks), pin: Some(Pin::Id("two-b")), ..asked("two/m", now) };
    let mut way = Way::begin(&snapshot, features, Sick::default());
    assert_eq!(way.name(), "two-b");
    assert_eq!(way.fails(Transient, None), "one-a 0", "free");
    assert_eq!(way.fails(Transient, None), "two-b 0");
    assert_eq!((way.last.leg, way.last.model), (3, "other"));
    let refused = |features| plan(&snapshot, features, &Sick::default(), now, 1).err().unwrap();
    let unknown = refused(Features { pin: Some(Pin::Id("x")), ..features });
    assert_eq!((unknown.kind, unknown.param.as_deref()), (Kind::KeyNotFound, Some("x-bf-api-key-id")));
    let forbidden = refused(Features { model: "two/bad", ..features });
    assert_eq!((forbidden.kind, forbidden.param.as_deref()), (Kind::NoKeyForModel, Some("x-bf-api-key-id")));
}

#[test]
fn more_fallbacks_than_the_bound_are_not_looked_at() {
    let snapshot = snapshot_with_retries(0);
    let fallbacks = vec!["one/m".to_owned(); 40];
    let features = Features { fallbacks: Some(&fallbacks), ..asked("two/m", Instant::now()) };
    let mut way = Way::begin(&snapshot, features, Sick::default());
    let made = (1..).find(|_| way.fails(Transient, None) == "end");
    assert_eq!((made, way.last.leg), (Some(17), 16));
}

#[test]
fn a_session_has_its_key_and_a_second_one_when_that_is_out() {
    let snapshot = snapshot_with_retries(0);
    let now = Instant::now();
    for session in 0..200 {
        let features = Features { session: Some(session), ..asked("three/m", now) };
        let begin = |health| Way::begin(&snapshot, features, health).name();
        let home = begin(Sick::default());
        let mut health = Sick::default();
        health.set(&snapshot, "three-a", open(now, 10));
        match home {
            "three-a" => assert_ne!(begin(health), home),
            _ => assert_eq!(begin(health), home, "{session}"),
        }
    }
}

#[test]
fn providers_without_keys_are_one_candidate() {
    let mut snapshot = snapshot_with_retries(1);
    let one = provider(&mut snapshot, "one");
    (one.key_less, one.keys) = (true, Vec::new());
    let mut way = Way::begin(&snapshot, asked("one/m", Instant::now()), Sick::default());
    assert_eq!((way.name(), way.last.key), ("one", None));
    assert_eq!(key(&way.fails(Limited, None)), "one");
    assert_eq!(way.fails(Refused, None), "end", "the 429 is kept");
    let features = Features { pin: Some(Pin::Name("x")), ..asked("one/m", Instant::now()) };
    let error = plan(&snapshot, features, &Sick::default(), Instant::now(), 1).err().unwrap();
    assert_eq!(error.kind, Kind::KeyNotFound);
}

#[test]
fn a_share_of_a_weight_counts() {
    let snapshot = snapshot_with_retries(0);
    let now = Instant::now();
    let mut health = Sick::default();
    health.stand(&snapshot, "two-a", Standing { share: 0.25, ..Standing::GOOD });
    let rounds = 20_000_u32;
    let mut first = 0_u32;
    for seed in 0..u64::from(rounds) {
        let (_, attempt) = plan(&snapshot, asked("two/m", now), &health, now, seed).unwrap();
        first += u32::from(name(&snapshot, &attempt) == "two-a");
    }
    let sigma = (f64::from(rounds) * 0.2 * 0.8).sqrt();
    assert!((f64::from(first) - f64::from(rounds) * 0.2).abs() < 3.0 * sigma, "{first}");
}

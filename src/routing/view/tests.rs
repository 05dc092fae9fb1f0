//! What a core's view learns of attempts, what it forgets, and what it hands to the next view.

use super::*;
use crate::config;

const S: Duration = Duration::from_secs(1);
const A: ProviderId = ProviderId(0);
const B: ProviderId = ProviderId(1);

/// Two custom providers at one place, `a` with two keys and `b` without; `balance` and the value of the second key are
/// for the test to say.
fn snapshot(second_value: &str) -> Snapshot {
    let custom = r#""custom_provider_config":{"base_provider_type":"openai""#;
    let network = r#""network_config":{"base_url":"http://127.0.0.1:9"}"#;
    let key = |name: &str, value: &str| {
        format!(r#"{{"name":"{name}","value":"{value}","models":["*"],"weight":1}}"#)
    };
    let keys = [key("one", "v1"), key("two", second_value)].join(",");
    let a = format!(r#"{{"keys":[{keys}],{custom}}},{network}}}"#);
    let b = format!(r#"{{"keys":[],{custom},"is_key_less":true}},{network}}}"#);
    let text = format!(r#"{{"providers":{{"a":{a},"b":{b}}}}}"#);
    let loaded = config::load(text.as_bytes(), "config.json", &|_: &str| None::<String>);
    let mut snapshot = loaded.unwrap_or_else(|faults| panic!("{faults:?}")).snapshot;
    for provider in &mut snapshot.providers {
        provider.breaker.failures_in_a_row = 2;
        provider.balance = Balance::Latency;
    }
    snapshot
}

fn state(view: &View, provider: ProviderId, key: Option<u16>, now: Instant) -> State {
    view.standing(provider, key.map(KeyId), now).state
}

/// An attempt that was sent.
fn begun(view: &View, provider: ProviderId, key: Option<u16>, now: Instant) -> Running {
    let mut running = view.begin(provider, key.map(KeyId), now).unwrap();
    running.sent(now);
    running
}

fn one(
    view: &View,
    provider: ProviderId,
    key: Option<u16>,
    outcome: Outcome,
    now: Instant,
) -> Option<Cooldown> {
    begun(view, provider, key, now).end(outcome, now)
}

const FAILED: Outcome = Outcome::Failed { retry_after: None };

#[test]
fn a_failure_counts_for_the_key_and_for_the_origin_that_two_providers_share() {
    let (view, now) = (View::new(&snapshot("v2")), Instant::now());
    let open = State::Open { until: now + 10 * S };
    one(&view, A, Some(0), FAILED, now);
    one(&view, A, Some(1), FAILED, now);
    // Each key failed once, the origin twice.
    let all = [(A, Some(0)), (A, Some(1)), (B, None)];
    assert_eq!(all.map(|(provider, key)| state(&view, provider, key, now)), [open; 3]);
    assert_eq!(view.origin(B, now), Some(open));
    one(&view, B, None, Outcome::Answered, now + 10 * S);
    assert_eq!(all.map(|(provider, key)| state(&view, provider, key, now + 10 * S)), [State::Passing; 3]);
    assert!(view.standing(A, Some(KeyId(0)), now + 10 * S).share < 0.2);
}

#[test]
fn unreachable_is_the_origins_fault_alone_and_answers_close_both() {
    let (view, now) = (View::new(&snapshot("v2")), Instant::now());
    for outcome in [FAILED, Outcome::Answered, FAILED, Outcome::Limited { retry_after: Some(S) }, FAILED] {
        one(&view, A, Some(0), outcome, now);
        one(&view, A, Some(0), Outcome::Neutral, now);
    }
    assert_eq!(state(&view, A, Some(0), now + S), State::Passing);
    one(&view, A, Some(1), Outcome::Unreachable, now);
    assert!(matches!(view.origin(A, now), Some(State::Open { .. })));
    one(&view, B, None, Outcome::Answered, now + S);
    one(&view, A, Some(1), FAILED, now + S);
    assert_eq!(state(&view, A, Some(1), now + S), State::Passing, "its own first failure");
}

#[test]
fn cooldowns_last_as_long_as_asked_and_the_later_one_wins() {
    let (view, now) = (View::new(&snapshot("v2")), Instant::now());
    let limited = |seconds| Outcome::Limited { retry_after: Some(S * seconds) };
    let cooling = |view: &View| match state(view, A, Some(0), now) {
        State::Cooling { until } => (until - now).as_secs(),
        _ => 0,
    };
    let other = View::new(&snapshot("v2"));
    let mut told = Vec::new();
    for (outcome, expected) in [
        (limited(0), 0),
        (Outcome::Limited { retry_after: None }, 5),
        (Outcome::Failed { retry_after: Some(S) }, 5),
        (limited(2), 5),
        (Outcome::Refused, 30),
        (limited(33), 33),
        (limited(40), 40),
        (limited(9_999_999), 3600),
    ] {
        let cooldown = one(&view, A, Some(0), outcome, now);
        assert_eq!(cooling(&view), expected);
        if let Some(cooldown) = cooldown {
            other.cool(&cooldown);
            told.push((cooldown.until - now).as_secs());
            assert_eq!(cooling(&other), expected);
        }
    }
    assert_eq!(told, [5, 30, 40, 3600], "what is hardly longer is not told");
    assert_eq!(one(&other, A, Some(0), limited(3600), now), None, "they know it from us");
    assert_eq!(state(&view, A, Some(1), now), State::Passing);
    assert_eq!(state(&view, A, Some(0), now + 3600 * S), State::Passing);
    let elsewhere = View::new(&snapshot("v3"));
    elsewhere.cool(&one(&view, A, Some(1), Outcome::Refused, now).unwrap());
    assert_eq!(state(&elsewhere, A, Some(1), now), State::Passing, "another value, another key");
    other.cool(&one(&view, B, None, Outcome::Refused, now).unwrap());
    assert!(matches!(state(&other, B, None, now), State::Cooling { .. }));
}

#[test]
fn of_two_states_the_worse_holds() {
    let now = Instant::now();
    let (open, cooling) = (State::Open { until: now + S }, State::Cooling { until: now + 2 * S });
    for (one, other, expected) in [
        (State::Passing, State::HalfOpen, State::HalfOpen),
        (State::Probing, State::HalfOpen, State::Probing),
        (State::Probing, open, open),
        (cooling, open, cooling),
        (open, cooling, cooling),
    ] {
        assert_eq!(worse(one, other), expected);
    }
}

#[test]
fn what_is_known_is_carried_over_to_the_keys_that_stay() {
    let (view, now) = (View::new(&snapshot("v2")), Instant::now());
    let kept = begun(&view, A, Some(0), now);
    let changed = begun(&view, A, Some(1), now);
    one(&view, A, Some(0), Outcome::Refused, now);
    one(&view, A, Some(1), Outcome::Refused, now);
    let mut next = snapshot("v3");
    next.providers[0].keys.swap(0, 1);
    let newer = View::succeed(&next, &view);
    assert!(matches!(state(&newer, A, Some(1), now), State::Cooling { .. }));
    assert_eq!(state(&newer, A, Some(0), now), State::Passing);
    let in_flight = |key| newer.standing(A, Some(KeyId(key)), now).in_flight;
    assert_eq!((in_flight(1), in_flight(0)), (1, 0));
    drop(view);
    drop((kept, changed));
    assert_eq!((in_flight(1), in_flight(0)), (0, 0));
    // The origin's breaker goes on, and goes by the new settings.
    one(&newer, A, Some(0), Outcome::Unreachable, now);
    next.providers[0].breaker.failures_in_a_row = 1;
    let newest = View::succeed(&next, &newer);
    assert_eq!(newest.origin(A, now), Some(State::Passing));
    one(&newest, B, None, Outcome::Unreachable, now);
    assert!(matches!(newer.origin(A, now), Some(State::Open { .. })));
}

#[test]
fn a_probe_that_is_dropped_is_free_again() {
    let (view, now) = (View::new(&snapshot("v2")), Instant::now());
    assert_eq!([(); 2].map(|()| one(&view, A, Some(0), FAILED, now)), [None; 2]);
    let later = now + 10 * S;
    assert_eq!(state(&view, A, Some(0), later), State::HalfOpen);
    let probe = begun(&view, A, Some(0), later);
    assert_eq!(state(&view, A, Some(0), later), State::Probing);
    assert_eq!(state(&view, A, Some(1), later), State::Probing, "the origin's");
    drop(probe);
    assert_eq!(state(&view, A, Some(0), later), State::HalfOpen);
    let mut probe = begun(&view, A, Some(0), later);
    probe.first_token(S, later);
    assert_eq!(state(&view, A, Some(0), later), State::Passing, "the stream may go on for long");
    assert_eq!(view.standing(A, Some(KeyId(0)), later).in_flight, 1);
    assert_eq!(probe.end(Outcome::Answered, later), None);
    assert_eq!(view.standing(A, Some(KeyId(0)), later).in_flight, 0);
}

#[test]
fn latency_jumps_up_and_fades() {
    let (view, now) = (View::new(&snapshot("v2")), Instant::now());
    let latency = |now| view.standing(A, Some(KeyId(0)), now).latency_us.round();
    let observe = |millis, now| {
        begun(&view, A, Some(0), now).first_token(Duration::from_millis(millis), now);
    };
    assert_eq!(latency(now), 0.0);
    observe(100, now);
    observe(300, now);
    assert_eq!(latency(now), 300_000.0);
    observe(100, now);
    assert_eq!(latency(now), 300_000.0, "no time has passed");
    assert_eq!(latency(now + 10 * S), 110_364.0);
    observe(100, now + 10 * S);
    assert_eq!(latency(now + 10 * S), 173_576.0);
    assert!(latency(now + 1000 * S) < 1.0, "it is tried again");
    let mut weighted = snapshot("v2");
    weighted.providers[0].balance = Balance::Weighted;
    let newer = View::succeed(&weighted, &view);
    assert_eq!(newer.standing(A, Some(KeyId(0)), now).latency_us, 0.0);
}

#[test]
fn what_is_not_there_is_no_trouble() {
    let (view, now) = (View::new(&snapshot("v2")), Instant::now());
    assert!(view.begin(ProviderId(9), None, now).is_none());
    assert!(view.begin(A, Some(KeyId(9)), now).is_none());
    assert_eq!(view.standing(ProviderId(9), None, now), Standing::GOOD);
}

#[test]
fn an_attempt_that_waits_for_its_place_is_under_way_and_no_probe() {
    let (view, now) = (View::new(&snapshot("v2")), Instant::now());
    for _ in 0..2 {
        one(&view, A, Some(0), FAILED, now);
    }
    let later = now + 11 * S;
    assert_eq!(state(&view, A, Some(0), later), State::HalfOpen);
    let waiting = view.begin(A, Some(KeyId(0)), later).unwrap();
    let standing = view.standing(A, Some(KeyId(0)), later);
    assert_eq!((standing.state, standing.in_flight), (State::HalfOpen, 1));
    let probe = begun(&view, A, Some(0), later);
    assert_eq!(state(&view, A, Some(0), later), State::Probing);
    drop(waiting);
    assert_eq!(state(&view, A, Some(0), later), State::Probing);
    drop(probe);
    assert_eq!(view.standing(A, Some(KeyId(0)), later).in_flight, 0);
}

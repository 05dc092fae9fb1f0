//! What a record says, that it is bounded, and that over many made-up worlds its replay decides the same.

use std::time::{Duration, Instant};

use super::*;
use crate::config::snapshot::Key;
use crate::dialect::{Dialect, Operation};
use crate::routing::decision::read::Decision;
use crate::routing::fixture::*;
use crate::routing::health::State;
use crate::routing::plan::{ATTEMPTS_MAX, Features, Pin, Plan, Step, plan};

fn record(plan: &Plan<'_>) -> String {
    let mut record = "before".to_owned();
    plan.decision(&mut record);
    record.strip_prefix("before").unwrap().to_owned()
}

fn fails(class: Class) -> Failed {
    Failed { class, retry_after: None }
}

#[test]
fn one_key_that_serves_at_once_costs_few_words() {
    let (snapshot, now) = (three_providers(), Instant::now());
    let (plan, _) = plan(&snapshot, asked("one/m", now), &Sick::default(), now, 7).unwrap();
    let record = record(&plan);
    assert_eq!(
        record,
        r#"{"version":1,"seed":"7","model":"one/m","deadline_ns":600000000000,"steps":[{"leg":0,"key":"one-a","because":"first","by":"only"}],"legs":[{"leg":0,"provider":"one","model":"m","keys":[{"key":"one-a","weight":1}]}]}"#
    );
    let decision = Decision::parse(&record).unwrap();
    assert_eq!((decision.seed, decision.steps[0].key.as_deref()), (7, Some("one-a")));
    assert_eq!(decision.replay(&snapshot, now + Duration::from_secs(9)), Ok(record));
}

#[test]
fn nothing_is_recorded_unasked() {
    let (snapshot, now) = (three_providers(), Instant::now());
    let features = Features { record: false, ..asked("one/m", now) };
    let (plan, _) = plan(&snapshot, features, &Sick::default(), now, 7).unwrap();
    assert_eq!(record(&plan), "");
}

#[test]
fn a_record_says_what_decided() {
    let (mut snapshot, now) = (three_providers(), Instant::now());
    let three = provider(&mut snapshot, "three");
    (three.balance, three.retry) = (Balance::LeastBusy, retries(1));
    three.keys[1].enabled = false;
    three.keys[2].weight = 2.5;
    let fallbacks = names(&["nobody/\"x\"", "two/"]);
    let features = Features {
        home: Some("openai"),
        operation: Operation::ChatStream,
        pin: None,
        fallbacks: Some(&fallbacks),
        ..asked("three/m", now)
    };
    let mut health = Sick::default();
    let standing = Standing { in_flight: 1, share: 0.5, latency_us: 9.0, ..Standing::GOOD };
    health.stand(&snapshot, "three-c", standing);
    let (mut plan, _) = plan(&snapshot, features, &health, now, 7).unwrap();
    let until = now + Duration::from_secs(3);
    health.set(&snapshot, "three-a", State::Open { until });
    health.set(&snapshot, "three-c", State::Cooling { until });
    let failed = Failed { class: Class::Transient, retry_after: Some(Duration::from_millis(2)) };
    plan.next(failed, &health, now + Duration::from_nanos(5));
    plan.next(fails(Class::Refused), &health, now + Duration::from_nanos(9));
    plan.next(fails(Class::Elsewhere), &health, now + Duration::from_nanos(9));
    let record = record(&plan);
    let chance = fastrand::Rng::with_seed(7).f64();
    for part in [
        r#""model":"three/m","home":"openai","stream":true,"deadline_ns":600000000000,"#.to_owned(),
        format!(
            r#""steps":[{{"leg":0,"key":"three-a","because":"first","by":"least_busy","draw":{chance},"seen":[{{"provider":"three","key":"three-c","state":"passing","share":0.5,"in_flight":1}}]}},"#
        ),
        r#""because":"fallback","by":"drawn","draw":0."#.to_owned(),
        r#","at_ns":5,"failed":"transient","retry_after_ns":2000000,"seen":[{"provider":"three","key":"three-a","later":true,"state":"open","until_ns":3000000000},{"provider":"three","key":"three-c","later":true,"state":"cooling","until_ns":3000000000}]},"#.to_owned(),
        r#""because":"rotation","by":"only","at_ns":9,"failed":"refused"},"#.to_owned(),
        r#"{"because":"end","ended_by":"fallbacks","at_ns":9,"failed":"elsewhere"}],"fallbacks":["nobody/\"x\"","two/"],"#.to_owned(),
        r#""legs":[{"leg":0,"provider":"three","model":"m","balance":"least_busy","keys":[{"key":"three-a","weight":1},{"key":"three-b","weight":1,"out":["disabled"]},{"key":"three-c","weight":2.5}]},{"leg":1,"name":"nobody/\"x\"","skipped":"provider_not_configured"},{"leg":2,"#.to_owned(),
    ] {
        assert!(record.contains(&part), "{part}\nis not in\n{record}");
    }
    let decision = Decision::parse(&record).unwrap();
    assert_eq!(decision.steps[1].seen[1].until_ns, 3_000_000_000);
    assert_eq!(decision.replay(&snapshot, now), Ok(record));
}

#[test]
fn a_session_and_a_pin_are_said_and_a_callers_words_for_a_pin_are_not() {
    let (snapshot, now) = (three_providers(), Instant::now());
    let features = Features { session: Some(u64::MAX), ..asked("three/m", now) };
    let (sticky, _) = plan(&snapshot, features, &Sick::default(), now, 7).unwrap();
    let text = record(&sticky);
    assert!(
        text.contains(r#""session":"18446744073709551615""#) && text.contains(r#""by":"session""#),
        "{text}"
    );
    assert_eq!(Decision::parse(&text).unwrap().replay(&snapshot, now), Ok(text));
    let features = Features { pin: Some(Pin::Id("three-b")), ..asked("three/m", now) };
    let (pinned, _) = plan(&snapshot, features, &Sick::default(), now, 7).unwrap();
    let text = record(&pinned);
    assert!(text.contains(r#""pin":"three-b""#) && text.contains(r#""out":["not_pinned"]"#), "{text}");
    assert_eq!(Decision::parse(&text).unwrap().replay(&snapshot, now), Ok(text));
}

#[test]
fn names_are_json() {
    let (mut snapshot, now) = (three_providers(), Instant::now());
    let odd = "a\"\\\u{0}\n\u{7f}\u{1f600}é";
    provider(&mut snapshot, "one").keys[0].name = odd.to_owned();
    let model = format!("one/{odd}");
    let (plan, _) = plan(&snapshot, asked(&model, now), &Sick::default(), now, 7).unwrap();
    let decision = Decision::parse(&record(&plan)).unwrap();
    assert_eq!((decision.model.as_str(), decision.legs[0].keys[0].key.as_str()), (model.as_str(), odd));
}

#[test]
fn a_record_has_its_bound_and_says_what_is_left_out() {
    let (mut snapshot, now) = (three_providers(), Instant::now());
    let three = provider(&mut snapshot, "three");
    let key = three.keys[0].clone();
    three.keys = (0..300).map(|index| Key { name: format!("key \u{0} {index}"), ..key.clone() }).collect();
    let (many, _) = plan(&snapshot, asked("three/m", now), &Sick::default(), now, 7).unwrap();
    let text = record(&many);
    let decision = Decision::parse(&text).unwrap();
    let written = decision.legs[0].keys.len();
    assert!(text.len() <= DECISION_BYTES_MAX && written > 20, "{} bytes, {written} keys", text.len());
    assert_eq!(decision.left_out, 300 - written as u64);
    assert_eq!(decision.replay(&snapshot, now), Ok(text), "what is left out did not decide");

    let long = format!("three/{}", "m\u{1}".repeat(2_000));
    let (long, _) = plan(&snapshot, asked(&long, now), &Sick::default(), now, 7).unwrap();
    let text = record(&long);
    let decision = Decision::parse(&text).unwrap();
    assert!(text.len() <= DECISION_BYTES_MAX && decision.cut && decision.left_out > 0, "{text}");
    assert!(decision.replay(&snapshot, now).is_err());

    provider(&mut snapshot, "one").retry = retries(1_000);
    let (mut again, _) = plan(&snapshot, asked("one/m", now), &Sick::default(), now, 7).unwrap();
    for _ in 0..=ATTEMPTS_MAX {
        again.next(fails(Class::Transient), &Sick::default(), now);
    }
    let text = record(&again);
    let decision = Decision::parse(&text).unwrap();
    assert!(text.len() <= DECISION_BYTES_MAX && decision.cut, "{text}");
    assert_eq!(
        decision.steps.len() as u64 + decision.left_out,
        u64::from(ATTEMPTS_MAX) + 2 + 1,
        "and the leg"
    );
}

#[test]
fn a_provider_may_ask_for_any_time() {
    let (mut snapshot, now) = (three_providers(), Instant::now());
    provider(&mut snapshot, "two").retry = retries(2);
    for class in [Class::Transient, Class::Limited] {
        let (mut plan, _) = plan(&snapshot, asked("two/m", now), &Sick::default(), now, 7).unwrap();
        for _ in 0..3 {
            plan.next(Failed { class, retry_after: Some(Duration::MAX) }, &Sick::default(), now);
        }
        let text = record(&plan);
        assert_eq!(Decision::parse(&text).unwrap().replay(&snapshot, now), Ok(text));
    }
}

#[test]
fn another_shape_and_another_config_are_told() {
    let (snapshot, now) = (three_providers(), Instant::now());
    assert!(Decision::parse("{}").is_err());
    let whole = r#"{"version":2,"seed":"7","model":"m","deadline_ns":1,"steps":[],"legs":[]}"#;
    assert!(Decision::parse(whole).unwrap_err().contains("shape 2"));
    let mut decision = Decision::parse(&whole.replace(":2", ":1")).unwrap();
    assert!(decision.replay(&snapshot, now).unwrap_err().contains("no step"));
    let step = |text: &str| serde_json::from_str::<read::Step>(text).unwrap();
    decision.steps = vec![step(r#"{"because":"first","seen":[{"provider":"x","state":"open"}]}"#)];
    assert!(decision.replay(&snapshot, now).unwrap_err().contains("no x"));
    decision.steps = vec![step(r#"{"because":"first","seen":[{"provider":"one","state":"x"}]}"#)];
    assert!(decision.replay(&snapshot, now).unwrap_err().contains("called x"));
    decision.steps = vec![step(r#"{"because":"first"}"#)];
    assert!(decision.replay(&snapshot, now).is_err(), "the model");
    decision.model = "one/m".to_owned();
    decision.steps.push(step(r#"{"because":"end"}"#));
    assert!(decision.replay(&snapshot, now).unwrap_err().contains("what failed"));
}

/// A world in which everything that a plan looks at is made up.
fn made_up(random: &mut fastrand::Rng) -> Snapshot {
    let mut snapshot = three_providers();
    for provider in snapshot.providers.iter_mut().filter(|provider| !provider.keys.is_empty()) {
        provider.balance =
            *random.choice(&[Balance::Weighted, Balance::LeastBusy, Balance::Latency]).unwrap();
        provider.retry = retries(random.u32(0..4));
        provider.key_less = random.u8(0..8) == 0;
        for key in &mut provider.keys {
            key.weight = *random.choice(&[0.0, 0.1, 1.0, 1.0, 3.0]).unwrap();
            key.enabled = random.u8(0..8) > 0;
        }
        let targets = ["one/x", "two/", "three/m", "nobody/x", "one/"];
        let targets: Vec<&str> = targets.into_iter().filter(|_| random.bool()).collect();
        provider.fallbacks = vec![("*".to_owned(), names(&targets))];
    }
    snapshot
}

fn made_up_health(random: &mut fastrand::Rng, now: Instant) -> Sick {
    let mut health = Sick::default();
    for provider in 0..8 {
        for key in [None, Some(0), Some(1), Some(2)] {
            let until = now + Duration::from_nanos(random.u64(0..2_000_000_000));
            let state = match random.u8(0..9) {
                0 => State::Open { until },
                1 => State::Cooling { until },
                2 => State::Probing,
                3 => State::HalfOpen,
                _ => State::Passing,
            };
            let share = if random.bool() { 1.0 } else { random.f64() };
            let latency_us = if random.bool() { 0.0 } else { random.f64() * 1e6 };
            let standing = Standing { state, share, in_flight: random.u32(0..3), latency_us };
            health.0.insert((provider, key), standing);
        }
    }
    health
}

#[test]
fn a_replay_decides_the_same() {
    let (mut replayed, mut attempts) = (0, 0);
    for seed in 0..3_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (snapshot, began) = (made_up(&mut random), Instant::now());
        let own = names(&["two/m", "three/", "one/z"]);
        let operations =
            [Operation::Chat, Operation::ChatStream, Operation::Embedding, Operation::CountTokens];
        let features = Features {
            operation: operations[usize::try_from(seed % 8).unwrap() / 2],
            dialect: if seed % 8 < 6 { Dialect::OpenAi } else { Dialect::Anthropic },
            session: random.bool().then_some(seed),
            pin: (random.u8(0..6) == 0).then_some(Pin::Name("three-b")),
            fallbacks: random.bool().then_some(own.as_slice()),
            deadline: began + Duration::from_millis(random.u64(0..20_000)),
            ..asked("three/m", began)
        };
        let Ok((mut plan, _)) = plan(&snapshot, features, &made_up_health(&mut random, began), began, seed)
        else {
            continue;
        };
        let mut now = began;
        loop {
            attempts += 1;
            now += Duration::from_nanos(random.u64(0..3_000_000_000));
            let (class, _) = *random.choice(&CLASSES).unwrap();
            let retry_after = random.bool().then(|| Duration::from_nanos(random.u64(0..3_000_000_000)));
            let next = plan.next(Failed { class, retry_after }, &made_up_health(&mut random, now), now);
            let Step::Attempt { after, .. } = next.step else { break };
            now += after;
        }
        let text = record(&plan);
        assert!(text.len() <= DECISION_BYTES_MAX, "seed {seed}: {text}");
        let decision = Decision::parse(&text).unwrap();
        match decision.cut {
            true => assert!(decision.replay(&snapshot, began).is_err(), "seed {seed}"),
            false => {
                assert_eq!(decision.replay(&snapshot, Instant::now()), Ok(text), "seed {seed}");
                replayed += 1;
            }
        }
    }
    assert!(replayed > 1_000 && attempts > 5_000, "{replayed} of {attempts}");
}

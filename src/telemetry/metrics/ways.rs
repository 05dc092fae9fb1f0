//! The part of the page that says which ways requests took: attempts, retries, fallbacks, moves from key to key, and what
//! stands in the way: breakers, cooldowns, queues. Summed over cores, or the worst of them; it counts nothing.

use std::collections::BTreeMap;

use super::{Inference, Labels, Page, US, labels};
use crate::config::KeyState;
use crate::telemetry::sample::{BreakerState, RotationLabels, Sample, WaySample};

/// Both parts; `inference` is already summed over cores.
pub(super) fn ways(page: &mut Page, samples: &[Sample], inference: &Inference) {
    attempts(page, &by_provider(samples), inference);
    rotations(page, samples);
    let cancelled = samples.iter().map(|sample| sample.cancelled).sum();
    let help = "Requests to models whose caller left before the answer was whole.";
    page.counter("corelane_requests_cancelled_total", help, [(Labels::new(), cancelled)]);
    queues(page, samples);
}

fn of_provider(name: &str) -> Labels {
    labels([("provider", name.to_owned())])
}

type ByProvider<'a> = BTreeMap<&'a str, WaySample>;

fn by_provider(samples: &[Sample]) -> ByProvider<'_> {
    let mut merged = ByProvider::new();
    for (name, more) in samples.iter().flat_map(|sample| &sample.ways.providers) {
        match merged.get_mut(&**name) {
            None => drop(merged.insert(name, more.clone())),
            Some(sum) => {
                sum.attempts.extend(&more.attempts);
                sum.retries += more.retries;
                sum.fallbacks += more.fallbacks;
                sum.queue_wait_us.merge(&more.queue_wait_us);
            }
        }
    }
    merged
}

fn attempts(page: &mut Page, ways: &ByProvider<'_>, inference: &Inference) {
    let mut attempts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (provider, way) in ways {
        for (outcome, count) in &way.attempts {
            *attempts.entry((*provider, *outcome)).or_default() += count;
        }
    }
    for (set, sample) in inference.iter().filter(|(_, sample)| sample.served_at_once > 0) {
        *attempts.entry((&*set.provider, "ok")).or_default() += sample.served_at_once;
    }
    let dropped: Vec<_> = attempts.iter().filter(|((_, outcome), _)| *outcome == "request_dropped").collect();
    let dropped = dropped.into_iter().map(|((provider, _), count)| (of_provider(provider), *count));
    let help = "Requests refused at once, as all places with the provider were taken and its queue was full.";
    page.counter("corelane_requests_dropped_total", help, dropped);
    let attempts = attempts.iter().map(|((provider, outcome), count)| {
        (labels([("provider", (*provider).to_owned()), ("outcome", (*outcome).to_owned())]), *count)
    });
    let help = "Attempts on providers, by what became of them.";
    page.counter("corelane_attempts_total", help, attempts);
    let counts = |value: fn(&WaySample) -> u64| {
        let all = ways.iter().map(move |(provider, way)| (of_provider(provider), value(way)));
        all.filter(|(_, count)| *count > 0)
    };
    let help = "Attempts that were not the first of a request on the provider, also with another key.";
    page.counter("corelane_retries_total", help, counts(|way| way.retries));
    let help = "Requests that went to the provider as a fallback.";
    page.counter("corelane_fallbacks_total", help, counts(|way| way.fallbacks));
    let waits = ways.iter().map(|(provider, way)| (of_provider(provider), &way.queue_wait_us));
    let help = "How long requests waited for a place with the provider, of those that had to.";
    page.histogram("corelane_queue_wait_seconds", help, US, waits);
}

fn rotations(page: &mut Page, samples: &[Sample]) {
    let mut merged: BTreeMap<&RotationLabels, u64> = BTreeMap::new();
    for (set, count) in samples.iter().flat_map(|sample| &sample.ways.rotations) {
        *merged.entry(set).or_default() += count;
    }
    let events = merged.into_iter().map(|(set, count)| {
        let set = labels([
            ("provider", set.provider.to_string()),
            ("requested_model", set.model.to_string()),
            ("key_id", set.key_id.to_string()),
            ("key_name", set.key_name.to_string()),
            ("fail_reason", set.reason.to_owned()),
        ]);
        (set, count)
    });
    let help = "Requests that moved on to another key, by the key that failed and why.";
    page.counter("bifrost_key_rotation_events_total", help, events);
}

/// Every core reports the same queues, each at its own moment.
fn queues(page: &mut Page, samples: &[Sample]) {
    let mut queues: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for queue in samples.iter().flat_map(|sample| &sample.queues) {
        let (taken, waiting) = queues.entry(&queue.provider).or_default();
        *taken = (*taken).max(queue.taken.into());
        *waiting = (*waiting).max(queue.waiting.into());
    }
    let taken = queues.iter().map(|(provider, (taken, _))| (of_provider(provider), *taken));
    let help = "Places with the provider that are taken (concurrency_and_buffer_size).";
    page.gauge("corelane_queue_places_taken", help, taken);
    let waiting = queues.iter().map(|(provider, (_, waiting))| (of_provider(provider), *waiting));
    page.gauge("corelane_queue_waiting", "Requests that wait for a place with the provider.", waiting);
}

/// What is known of keys and origins, of each the worst that a core says; `keys` are those of the config.
pub(super) fn health(page: &mut Page, samples: &[Sample], keys: &[KeyState]) {
    let known = || keys.iter().map(|key| (key.provider.as_str(), key.key_name.as_str()));
    let mut breakers: BTreeMap<(&str, &str), u64> = known().map(|key| (key, 0)).collect();
    let mut cooling = breakers.clone();
    for key in samples.iter().flat_map(|sample| &sample.keys) {
        let set = (&*key.provider, &*key.key_name);
        worst(&mut breakers, set, number(key.breaker));
        worst(&mut cooling, set, u64::from(key.cooling_ms > 0));
    }
    let mut origins: BTreeMap<&str, u64> = BTreeMap::new();
    for origin in samples.iter().flat_map(|sample| &sample.origins) {
        worst(&mut origins, &*origin.provider, number(origin.breaker));
    }
    let of_key = |((provider, key), value): ((&str, &str), u64)| {
        (labels([("provider", provider.to_owned()), ("key", key.to_owned())]), value)
    };
    let help = "A key's breaker, on the core where it is worst; 0: closed, 1: half open, 2: open.";
    page.gauge("corelane_breaker_state", help, breakers.into_iter().map(of_key));
    let help = "The breaker of a provider's address, likewise.";
    let origins = origins.into_iter().map(|(provider, value)| (of_provider(provider), value));
    page.gauge("corelane_origin_breaker_state", help, origins);
    let help = "Whether a key is left alone for a while, as it met its limit or was refused.";
    page.gauge("corelane_key_cooling", help, cooling.into_iter().map(of_key));
}

fn worst<K: Ord>(values: &mut BTreeMap<K, u64>, key: K, value: u64) {
    let known = values.entry(key).or_default();
    *known = (*known).max(value);
}

fn number(breaker: BreakerState) -> u64 {
    match breaker {
        BreakerState::Closed => 0,
        BreakerState::HalfOpen => 1,
        BreakerState::Open => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::cells::Cells;
    use crate::telemetry::cells::tests::observation;
    use crate::telemetry::metrics::{BuildInfo, ConfigGauges, render};
    use crate::telemetry::sample::{KeyHealth, OriginHealth, QueueSample};
    use crate::telemetry::ways::Rotation;
    use crate::telemetry::writer::LogGauges;

    fn key(name: &str, breaker: BreakerState, cooling_ms: u64) -> KeyHealth {
        let (provider, key_name, key_id) = ("openai".into(), name.into(), "1".into());
        KeyHealth { provider, key_name, key_id, breaker, cooling_ms, in_flight: 0 }
    }

    /// Two cores, of which one is worse.
    fn page() -> String {
        let samples = [0, 1].map(|core: u16| {
            let cells = Cells::new(core);
            cells.observe(&observation("gpt-4o-mini"));
            let mut retried = observation("gpt-4o-mini");
            if let Some(inference) = &mut retried.inference {
                (inference.is_at_once, inference.retries) = (false, 2);
            }
            cells.observe(&retried);
            ["limited", "request_dropped", "ok"]
                .iter()
                .for_each(|outcome| cells.attempted("openai", outcome));
            cells.retried("openai");
            cells.fell_back("anthropic");
            cells.queue_waited("openai", 7_000);
            let (provider, model) = ("openai", "a-callers-word");
            let rotation = Rotation { provider, model, key_id: "1", key_name: "first", reason: "quota" };
            cells.rotated(rotation, false);
            let mut sample = cells.sample();
            let breaker = if core == 0 { BreakerState::Closed } else { BreakerState::Open };
            sample.keys =
                vec![key("first", breaker, u64::from(core) * 5), key("second", BreakerState::HalfOpen, 0)];
            sample.origins = vec![OriginHealth { provider: "openai".into(), breaker }];
            sample.queues = vec![QueueSample { provider: "openai".into(), taken: 8, waiting: core.into() }];
            sample
        });
        let keys = ["first", "third"].map(|name| KeyState {
            provider: "openai".into(),
            key_id: "1".into(),
            key_name: name.into(),
            up: true,
        });
        let config = ConfigGauges { keys: keys.into(), ..ConfigGauges::default() };
        render(&samples, &LogGauges::default(), &BuildInfo::default(), &config)
    }

    #[test]
    fn ways_are_added_up_and_health_is_the_worst_of_all_cores() {
        let page = page();
        for line in [
            r#"corelane_attempts_total{provider="openai",outcome="ok"} 4"#,
            r#"corelane_attempts_total{provider="openai",outcome="limited"} 2"#,
            r#"corelane_requests_dropped_total{provider="openai"} 2"#,
            r#"corelane_retries_total{provider="openai"} 2"#,
            r#"corelane_fallbacks_total{provider="anthropic"} 2"#,
            r#"corelane_queue_wait_seconds_bucket{provider="openai",le="0.01"} 2"#,
            r#"bifrost_key_rotation_events_total{provider="openai",requested_model="other",key_id="1",key_name="first",fail_reason="quota"} 2"#,
            "corelane_requests_cancelled_total 0",
            r#"corelane_queue_places_taken{provider="openai"} 8"#,
            r#"corelane_queue_waiting{provider="openai"} 1"#,
            r#"corelane_breaker_state{provider="openai",key="first"} 2"#,
            r#"corelane_breaker_state{provider="openai",key="second"} 1"#,
            r#"corelane_breaker_state{provider="openai",key="third"} 0"#,
            r#"corelane_origin_breaker_state{provider="openai"} 2"#,
            r#"corelane_key_cooling{provider="openai",key="first"} 1"#,
            r#"corelane_key_cooling{provider="openai",key="second"} 0"#,
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\nnot in\n{page}");
        }
        let retries = |le: &str| {
            page.lines().find(|line| {
                line.starts_with("bifrost_request_retries_bucket{") && line.contains(&format!("le=\"{le}\""))
            })
        };
        assert!(retries("0").is_some_and(|line| line.ends_with(" 2")), "{page}");
        assert!(retries("2").is_some_and(|line| line.ends_with(" 4")), "{page}");
    }
}

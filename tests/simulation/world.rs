//! A made-up world: a config, and how its providers behave as time passes. All of it follows from a seed.

use std::ops::Range;
use std::time::Duration;

use corelane::config;
use corelane::config::snapshot::{Balance, Key, KeyId, Models, Provider, ProviderId, Retry, Snapshot};
use corelane::routing::plan::{Class, Failed};
use corelane::routing::view::Outcome;
use fastrand::Rng;

/// How long a world gets requests.
pub(crate) const LENGTH: Duration = Duration::from_secs(90);

const PROVIDERS_MAX: usize = 4;
const KEYS_MAX: usize = 5;
const MODELS: [&str; 3] = ["a", "b", "c"];

/// See the module.
pub(crate) struct World {
    pub(crate) snapshot: Snapshot,
    /// Lists of fallbacks that callers bring.
    pub(crate) fallbacks: Vec<Vec<String>>,
    /// Of each provider's keys, the first for a provider without.
    keys: Vec<Vec<Course>>,
    /// Of each origin, by its port.
    origins: Vec<Course>,
}

/// What a provider does with a key's requests, one after the other.
struct Course(Vec<(Duration, Mode)>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Good,
    Failing,
    Stalling,
    Limiting(Option<Duration>),
    Refusing,
    Lacking,
    Faulting,
    Full,
}

/// What comes of one attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// Content comes after the first time, then the rest after the second; `is_cut`: not all of it.
    Content { after: Duration, rest: Duration, is_cut: bool },
    /// A failure before any content.
    Failure { after: Duration, failed: Failed, outcome: Outcome },
}

impl World {
    pub(crate) fn new(template: &Snapshot, random: &mut Rng) -> Self {
        let mut snapshot = template.clone();
        let count = random.usize(1..=PROVIDERS_MAX);
        snapshot.providers.truncate(count);
        for provider in &mut snapshot.providers {
            make_up(provider, random);
        }
        let is_calm = random.u8(0..4) == 0;
        let course = |random: &mut Rng| Course::new(random, is_calm);
        let keys = snapshot
            .providers
            .iter()
            .map(|provider| (0..provider.keys.len().max(1)).map(|_| course(random)).collect());
        let keys = keys.collect();
        let origins = (0..PROVIDERS_MAX).map(|_| course(random)).collect();
        let fallbacks = (0..4).map(|_| names(random, 4)).collect();
        Self { snapshot, fallbacks, keys, origins }
    }

    /// A model as a caller names it, mostly one that there is.
    pub(crate) fn model(&self, random: &mut Rng) -> String {
        match random.u8(0..20) {
            0 => name(random),
            _ => {
                let provider = random.usize(..self.snapshot.providers.len());
                format!("p{provider}/{}", MODELS[random.usize(..MODELS.len())])
            }
        }
    }

    /// What an attempt comes to that begins at `at`.
    pub(crate) fn end(
        &self,
        provider: ProviderId,
        key: Option<KeyId>,
        at: Duration,
        random: &mut Rng,
    ) -> End {
        let index = usize::from(provider.0);
        let origin = &self.origins[usize::from(self.snapshot.providers[index].origin.port) % PROVIDERS_MAX];
        let failure = |after_ms, class, outcome| {
            let retry_after = match outcome {
                Outcome::Limited { retry_after } | Outcome::Failed { retry_after } => retry_after,
                _ => None,
            };
            let failed = Failed { class, retry_after };
            End::Failure { after: Duration::from_millis(after_ms), failed, outcome }
        };
        if matches!(origin.at(at), Mode::Failing | Mode::Stalling) {
            return failure(1, Class::Transient, Outcome::Unreachable);
        }
        let asks = (random.u8(0..4) == 0).then(|| millis(random, 0..3_000));
        match self.keys[index][key.map_or(0, |key| usize::from(key.0))].at(at) {
            Mode::Good => End::Content {
                after: millis(random, 10..800),
                rest: millis(random, 0..6_000),
                is_cut: random.u8(0..30) == 0,
            },
            Mode::Failing => failure(5, Class::Transient, Outcome::Failed { retry_after: asks }),
            Mode::Stalling => failure(8_000, Class::Transient, Outcome::Failed { retry_after: None }),
            Mode::Limiting(retry_after) => failure(7, Class::Limited, Outcome::Limited { retry_after }),
            Mode::Refusing => failure(9, Class::Refused, Outcome::Refused),
            Mode::Lacking => failure(6, Class::Elsewhere, Outcome::Answered),
            Mode::Faulting => failure(6, Class::Final, Outcome::Answered),
            Mode::Full => failure(0, Class::Elsewhere, Outcome::Neutral),
        }
    }
}

impl Course {
    fn new(random: &mut Rng, is_calm: bool) -> Self {
        let mut parts = Vec::new();
        let mut until = Duration::ZERO;
        while until < LENGTH {
            until += millis(random, 500..40_000);
            parts.push((until, Mode::new(random, is_calm)));
        }
        Self(parts)
    }

    fn at(&self, at: Duration) -> Mode {
        self.0.iter().find(|(until, _)| at < *until).map_or(Mode::Good, |(_, mode)| *mode)
    }
}

impl Mode {
    fn new(random: &mut Rng, is_calm: bool) -> Self {
        if is_calm || random.u8(0..10) < 6 {
            return Self::Good;
        }
        let retry_after = random.bool().then(|| millis(random, 0..20_000));
        let modes = [
            Self::Failing,
            Self::Failing,
            Self::Stalling,
            Self::Limiting(retry_after),
            Self::Limiting(retry_after),
            Self::Refusing,
            Self::Lacking,
            Self::Faulting,
            Self::Full,
        ];
        modes[random.usize(..modes.len())]
    }
}

/// Providers `p0`, `p1`, … with keys `p0k0`, `p0k1`, …, each serving any model.
pub(crate) fn template() -> Snapshot {
    let providers = (0..PROVIDERS_MAX).map(|provider| {
        let keys = (0..KEYS_MAX).map(|key| {
            format!(r#"{{"name": "p{provider}k{key}", "id": "i{provider}{key}", "value": "v", "models": ["*"]}}"#)
        });
        format!(
            r#""p{provider}": {{"keys": [{}], "network_config": {{"base_url": "http://127.0.0.1:400{provider}"}},
                "custom_provider_config": {{"base_provider_type": "openai"}}}}"#,
            keys.collect::<Vec<_>>().join(",")
        )
    });
    let text = format!(r#"{{"providers": {{{}}}}}"#, providers.collect::<Vec<_>>().join(","));
    let loaded = config::load(text.as_bytes(), "config.json", &|_: &str| None);
    loaded.unwrap_or_else(|faults| panic!("{faults:?}")).snapshot
}

fn make_up(provider: &mut Provider, random: &mut Rng) {
    provider.keys.truncate(random.usize(1..=KEYS_MAX));
    provider.keys.iter_mut().for_each(|key| make_up_key(key, random));
    if random.u8(0..12) == 0 {
        (provider.key_less, provider.keys) = (true, Vec::new());
    }
    if random.u8(0..4) == 0 {
        provider.origin.port = 4_000;
    }
    provider.balance =
        [Balance::Weighted, Balance::Weighted, Balance::LeastBusy, Balance::Latency][random.usize(..4)];
    let backoff_initial = millis(random, 1..800);
    provider.retry = Retry {
        retries_max: random.u32(0..5),
        backoff_initial,
        backoff_max: backoff_initial + millis(random, 0..5_000),
    };
    provider.breaker.failures_in_a_row = random.u32(1..6);
    provider.breaker.requests_min = random.u32(2..10);
    provider.breaker.open = millis(random, 1_000..10_000);
    let model = MODELS[random.usize(..MODELS.len())].to_owned();
    provider.fallbacks = vec![("*".to_owned(), names(random, 3)), (model, names(random, 3))];
}

fn make_up_key(key: &mut Key, random: &mut Rng) {
    key.weight = [0.0, 0.5, 1.0, 1.0, 1.0, 4.0][random.usize(..6)];
    key.enabled = random.u8(0..10) > 0;
    if random.u8(0..6) == 0 {
        key.models = Models::Only(vec!["a".to_owned(), "b".to_owned()]);
    }
    if random.u8(0..10) == 0 {
        key.blacklisted_models = vec!["b".to_owned()];
    }
    if random.u8(0..6) == 0 {
        key.aliases = vec![("c".to_owned(), "see".to_owned())];
    }
}

/// As a caller would name fallbacks; some mean nobody.
fn names(random: &mut Rng, count_max: usize) -> Vec<String> {
    (0..random.usize(0..=count_max)).map(|_| name(random)).collect()
}

/// As a caller would name a model; a provider may not be there in this world.
fn name(random: &mut Rng) -> String {
    let model = ["a", "b", "c", "a", "b", "c", ""][random.usize(..7)];
    format!("p{}/{model}", random.usize(..PROVIDERS_MAX))
}

pub(crate) fn millis(random: &mut Rng, range: Range<u64>) -> Duration {
    Duration::from_micros(random.u64(range.start * 1_000..range.end * 1_000))
}

//! A record of a decision, read again: to be told, and to be replayed over the config it was made with.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{CLASSES, Failed};
use crate::config::snapshot::{KeyId, ProviderId, Snapshot};
use crate::dialect::{Dialect, Operation};
use crate::routing::health::{Health, Standing, State};
use crate::routing::plan::{Features, Pin, plan};

/// What [`Plan::decision`](crate::routing::plan::Plan::decision) wrote. Names are the config's; times count from the
/// first decision.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Decision {
    /// Of this shape; 1.
    pub version: u32,
    /// What chance went by.
    #[serde(deserialize_with = "in_text")]
    pub seed: u64,
    /// The model, as the caller named it, at most 256 bytes of JSON.
    pub model: String,
    /// The vendor whose path was called.
    #[serde(default)]
    pub home: Option<String>,
    /// Whether a conversation was asked for as a stream.
    #[serde(default)]
    pub stream: bool,
    /// What was asked for, by its name; `None`: a conversation.
    #[serde(default)]
    pub operation: Option<String>,
    /// In which dialect, by its name; `None`: the usual one for that.
    #[serde(default)]
    pub dialect: Option<String>,
    /// The number of the caller's session.
    #[serde(default, deserialize_with = "maybe_in_text")]
    pub session: Option<u64>,
    /// The key that the caller named.
    #[serde(default)]
    pub pin: Option<String>,
    /// When no attempt was to begin any more, ns.
    pub deadline_ns: u64,
    /// The caller's own fallbacks; `None`: the config's.
    #[serde(default)]
    pub fallbacks: Option<Vec<String>>,
    /// In their order.
    pub steps: Vec<Step>,
    /// The legs that were looked at.
    pub legs: Vec<Leg>,
    /// Steps, standings, keys and ends of names that were left out, since the record has a bound.
    #[serde(default)]
    pub left_out: u64,
    /// Whether what is left out decided: such a record cannot be replayed.
    #[serde(default)]
    pub cut: bool,
}

/// One decision: at the request's begin, and after each attempt that failed.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Step {
    /// When, ns.
    #[serde(default)]
    pub at_ns: u64,
    /// What the attempt before it came to: `transient`, `limited`, `refused`, `elsewhere` or `final`; `None`: there was
    /// none.
    #[serde(default)]
    pub failed: Option<String>,
    /// How long its provider asked to be left alone, ns.
    #[serde(default)]
    pub retry_after_ns: Option<u64>,
    /// What led to the next attempt: it is the `first`, a `retry`, a `rotation` of keys or a new `round` of them, a
    /// `fallback`; or there was none: the `end`.
    pub because: String,
    /// What ended it: the failure is the caller's answer (`final`); the most `attempts`; the `deadline`; no `retries`, no `keys` or no
    /// `fallbacks` left. `None`: it went on, or an earlier version wrote the record.
    #[serde(default)]
    pub ended_by: Option<String>,
    /// To which leg it went; `None`: the end.
    #[serde(default)]
    pub leg: Option<u16>,
    /// By which key; `None`: the end, or a provider without keys.
    #[serde(default)]
    pub key: Option<String>,
    /// What decided for the key: it was the `only` one that was fit, `pinned`, the `session`'s, `drawn` by weight,
    /// `least_busy`, soonest by `latency`, the `least_bad` of those that are not fit, or the `same` as before.
    #[serde(default)]
    pub by: Option<String>,
    /// The draw, in [0, 1), where one counted.
    #[serde(default)]
    pub draw: Option<f64>,
    /// The wait before the attempt, ns.
    #[serde(default)]
    pub after_ns: u64,
    /// What was known of keys and origins otherwise than at the step before. At the first, all that is not named passes.
    #[serde(default)]
    pub seen: Vec<Seen>,
}

/// What was known of a key.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Seen {
    /// Its provider.
    pub provider: String,
    /// Its name; `None`: the provider has no keys.
    #[serde(default)]
    pub key: Option<String>,
    /// What was expected for the end of the step's wait, not what was.
    #[serde(default)]
    pub later: bool,
    /// `passing`, `half_open`, `probing`, `open` or `cooling`.
    pub state: String,
    /// When it ends that it is open or cooling, ns.
    #[serde(default)]
    pub until_ns: u64,
    /// Of its weight, what counted.
    #[serde(default = "whole", deserialize_with = "exact")]
    pub share: f64,
    /// Requests under way, where they count.
    #[serde(default)]
    pub in_flight: u32,
    /// Time to the first token, µs, where it counts and is known.
    #[serde(default, deserialize_with = "exact")]
    pub latency_us: f64,
}

/// A leg that was looked at.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Leg {
    /// 0: the primary; else the place in the list of fallbacks.
    pub leg: u16,
    /// Who is meant; `None`: it was skipped.
    #[serde(default)]
    pub provider: Option<String>,
    /// The model there.
    #[serde(default)]
    pub model: Option<String>,
    /// `least_busy` or `latency`; `None`: by weight.
    #[serde(default)]
    pub balance: Option<String>,
    /// The provider's keys.
    #[serde(default)]
    pub keys: Vec<Key>,
    /// Of one that was skipped: how it was named.
    #[serde(default)]
    pub name: Option<String>,
    /// Why it was skipped: an error's code.
    #[serde(default)]
    pub skipped: Option<String>,
}

/// A key of a leg.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Key {
    /// Its name.
    pub key: String,
    /// Its weight in the config.
    pub weight: f64,
    /// What excluded it: `disabled`, `no_value`, `denied`, `not_listed`, `not_pinned`. Empty: it was a candidate.
    #[serde(default)]
    pub out: Vec<String>,
}

fn whole() -> f64 {
    1.0
}

fn in_text<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

fn maybe_in_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    in_text(from).map(Some)
}

/// To the last bit, which `serde_json` does not promise.
fn exact<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Box::<RawValue>::deserialize(from)?.get().parse().map_err(D::Error::custom)
}

impl Decision {
    /// Reads a record. Errors: it is none, or of a later version's shape.
    pub fn parse(record: &str) -> Result<Self, String> {
        let decision: Self = serde_json::from_str(record).map_err(|error| error.to_string())?;
        match decision.version {
            1 => Ok(decision),
            version => Err(format!("the record has the shape {version}, and only 1 is known here")),
        }
    }

    /// What was asked for. Errors: nothing that is known here.
    fn asked(&self) -> Result<Operation, String> {
        let Some(name) = &self.operation else { return Ok(Operation::Chat.streamed(self.stream)) };
        Operation::of(name).ok_or_else(|| format!("no operation is called {name}"))
    }

    /// In which dialect. Errors: none that is known here.
    fn dialect(&self, operation: Operation) -> Result<Dialect, String> {
        let Some(name) = &self.dialect else { return Ok(operation.usual_dialect()) };
        Dialect::of(name).ok_or_else(|| format!("no dialect is called {name}"))
    }

    /// Plans the request again, with the config it was planned with, and gives the record of that: equal to the text that
    /// was read, byte by byte, when the same is decided. `now` is any time. Errors: the record was cut, or does not go
    /// with the config.
    pub fn replay(&self, snapshot: &Snapshot, now: Instant) -> Result<String, String> {
        if self.cut {
            return Err("the record was cut: not all that decided is in it".to_owned());
        }
        let mut health = Recorded { began: now, now, known: HashMap::new(), later: HashMap::new() };
        let (first, rest) = self.steps.split_first().ok_or("the record has no step")?;
        health.learn(snapshot, first)?;
        let operation = self.asked()?;
        let features = Features {
            model: &self.model,
            home: self.home.as_deref(),
            operation,
            dialect: self.dialect(operation)?,
            pin: self.pin.as_deref().map(Pin::Name),
            session: self.session,
            fallbacks: self.fallbacks.as_deref(),
            deadline: now + Duration::from_nanos(self.deadline_ns),
            record: true,
        };
        let (mut plan, _) = plan(snapshot, features, &health, now, self.seed).map_err(|e| e.to_string())?;
        for step in rest {
            health.learn(snapshot, step)?;
            let class = CLASSES.iter().find(|(_, word)| Some(*word) == step.failed.as_deref());
            let (class, _) = class.ok_or("a step does not say what failed")?;
            let retry_after = step.retry_after_ns.map(Duration::from_nanos);
            plan.next(Failed { class: *class, retry_after }, &health, health.now);
        }
        let mut record = String::new();
        plan.decision(&mut record);
        Ok(record)
    }
}

type Whose = (ProviderId, Option<KeyId>);

/// The health view of a record, step by step.
struct Recorded {
    began: Instant,
    /// The step's time.
    now: Instant,
    known: HashMap<Whose, Standing>,
    /// Of the end of the step's wait.
    later: HashMap<Whose, Standing>,
}

impl Recorded {
    fn learn(&mut self, snapshot: &Snapshot, step: &Step) -> Result<(), String> {
        self.now = self.began + Duration::from_nanos(step.at_ns);
        self.later.clear();
        for seen in &step.seen {
            let standing = self.standing_of(seen)?;
            let into = if seen.later { &mut self.later } else { &mut self.known };
            into.insert(whose(snapshot, seen)?, standing);
        }
        Ok(())
    }

    fn standing_of(&self, seen: &Seen) -> Result<Standing, String> {
        let until = self.began + Duration::from_nanos(seen.until_ns);
        let state = match seen.state.as_str() {
            "passing" => State::Passing,
            "half_open" => State::HalfOpen,
            "probing" => State::Probing,
            "open" => State::Open { until },
            "cooling" => State::Cooling { until },
            other => return Err(format!("no state is called {other}")),
        };
        let Seen { share, in_flight, latency_us, .. } = *seen;
        Ok(Standing { state, share, in_flight, latency_us })
    }
}

fn whose(snapshot: &Snapshot, seen: &Seen) -> Result<Whose, String> {
    let lacking = || format!("the config has no {} {:?}", seen.provider, seen.key);
    let mut providers = snapshot.providers.iter().zip(0..);
    let (provider, id) = providers.find(|(one, _)| one.name == seen.provider).ok_or_else(lacking)?;
    let key = match &seen.key {
        None => None,
        Some(name) => {
            let mut keys = provider.keys.iter().zip(0..);
            Some(KeyId(keys.find(|(key, _)| key.name == *name).ok_or_else(lacking)?.1))
        }
    };
    Ok((ProviderId(id), key))
}

impl Health for Recorded {
    fn standing(&self, provider: ProviderId, key: Option<KeyId>, now: Instant) -> Standing {
        let of = if now > self.now { &self.later } else { &self.known };
        of.get(&(provider, key)).copied().unwrap_or(Standing::GOOD)
    }
}

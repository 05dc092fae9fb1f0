//! One core's view of the health of keys and origins: breakers, cooldowns, requests under way, time to the first token. By
//! index, of constant size for a config, and carried over to the next one. Pure: the time is an argument. It chooses nothing,
//! and what a failure is, its caller says.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::breaker::{Breaker, Entry, Verdict};
use super::health::{Health, Standing, State};
use crate::config::snapshot::{self, Balance, Key, KeyId, Origin, ProviderId, Snapshot};

/// Cooldown of a key that met its limit (429), when the provider does not say how long.
pub const LIMITED_COOLDOWN: Duration = Duration::from_secs(5);
/// Cooldown of a key that was refused (401, 402, 403).
pub const REFUSED_COOLDOWN: Duration = Duration::from_secs(30);
/// Longest cooldown, whatever a provider asks for.
pub const COOLDOWN_MAX: Duration = Duration::from_secs(3600);
/// A cooldown that lasts no longer than this, or a tenth, beyond what other cores were told is not worth telling.
const NEWS_MIN: Duration = Duration::from_millis(100);
/// In which time what is known of a latency fades to 1/e of it.
const LATENCY_FADES_IN: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Default)]
pub struct View {
    providers: Vec<ProviderHealth>,
}

struct ProviderHealth {
    /// Indexed by [`KeyId`], each with the origin that it goes to.
    keys: Vec<(Rc<KeyHealth>, Rc<OriginHealth>)>,
    /// Of a provider without keys: what stands for one.
    own: Rc<KeyHealth>,
    /// Shared by all providers that are reached there.
    origin: Rc<OriginHealth>,
}

impl ProviderHealth {
    fn all(&self) -> impl Iterator<Item = &Rc<KeyHealth>> {
        self.keys.iter().map(|(key, _)| key).chain([&self.own])
    }
}

struct KeyHealth {
    id: KeyIdentity,
    breaker: Breaker,
    cooling_until: Cell<Option<Instant>>,
    /// Of its cooldowns, what other cores know.
    told_until: Cell<Option<Instant>>,
    in_flight: Cell<u32>,
    latency: Latency,
}

struct OriginHealth {
    origin: Origin,
    breaker: Breaker,
}

/// Which key it is, whatever its index: made of the provider's name, the key's id and its value, so that a key with another
/// value is another key. Equal on all cores of a process, and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyIdentity(u64);

/// A key's cooldown: plain data for the other cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooldown {
    /// Whose.
    pub key: KeyIdentity,
    /// Its end.
    pub until: Instant,
}

/// A key by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alone {
    /// Its breaker's state; never `Cooling`.
    pub breaker: State,
    /// How much longer its cooldown lasts; zero: it has none.
    pub cooling: Duration,
    /// Requests of this core that are under way by it.
    pub in_flight: u32,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer: good, or the caller's fault (4xx).
    Answered,
    /// 429: the key met its limit.
    Limited {
        /// How long the provider asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// 401, 402, 403: the key was refused.
    Refused,
    /// It timed out, was answered 500, 502, 503, 504 or 529, or with what is no answer.
    Failed {
        /// How long the provider asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// There was no connection: not the key's fault.
    Unreachable,
    /// The caller left, or the fault was ours.
    Neutral,
}

/// Peak-EWMA: a higher sample counts at once, a lower one as the old fades; so it fades without samples, too, and a key that
/// was slow is tried again.
#[derive(Default)]
struct Latency {
    /// µs and when; `None`: there was no sample, or nobody asks.
    value: Cell<Option<(f64, Instant)>>,
    is_asked_for: Cell<bool>,
}

/// An attempt under way: counted, and perhaps a probe, until it is dropped. Dropped without a word it says nothing.
pub struct Running {
    key: Rc<KeyHealth>,
    origin: Rc<OriginHealth>,
    key_entry: Option<Entry>,
    origin_entry: Option<Entry>,
    /// When it began, then the latest of what it was told.
    now: Instant,
}

impl View {
    /// Nothing is known yet.
    pub fn new(snapshot: &Snapshot) -> Self {
        Self::succeed(snapshot, &Self::default())
    }

    /// For the next config. What is known of a key stays, when its provider's name, its id and its value are the same, and
    /// of an origin that is equal. Requests under way by the older view count in this one.
    pub fn succeed(snapshot: &Snapshot, older: &Self) -> Self {
        let mut known = Known::of(older);
        Self { providers: snapshot.providers.iter().map(|provider| known.provider(provider)).collect() }
    }

    /// An attempt begins: it counts as under way, and is no probe before it is [`Running::sent`]. `None`: there is no such key;
    /// nothing is counted.
    pub fn begin(&self, provider: ProviderId, key: Option<KeyId>, now: Instant) -> Option<Running> {
        let (key, origin) = self.find(provider, key)?;
        key.in_flight.set(key.in_flight.get().saturating_add(1));
        let (key, origin) = (Rc::clone(key), Rc::clone(origin));
        Some(Running { key, origin, key_entry: None, origin_entry: None, now })
    }

    /// Takes another core's word for it. A key that this core does not have is passed over.
    pub fn cool(&self, cooldown: &Cooldown) {
        let keys = self.providers.iter().flat_map(ProviderHealth::all);
        for key in keys.filter(|key| key.id == cooldown.key) {
            later(&key.cooling_until, cooldown.until);
            later(&key.told_until, cooldown.until);
        }
    }

    /// What is known of a key by itself, its origin left out.
    pub fn key(&self, provider: ProviderId, key: Option<KeyId>, now: Instant) -> Option<Alone> {
        let (key, _) = self.find(provider, key)?;
        Some(Alone {
            breaker: key.breaker.state(now),
            cooling: key
                .cooling_until
                .get()
                .map_or(Duration::ZERO, |until| until.saturating_duration_since(now)),
            in_flight: key.in_flight.get(),
        })
    }

    /// The state of the provider's origin alone.
    pub fn origin(&self, provider: ProviderId, now: Instant) -> Option<State> {
        let provider = self.providers.get(usize::from(provider.0))?;
        Some(provider.origin.breaker.state(now))
    }

    fn find(&self, provider: ProviderId, key: Option<KeyId>) -> Option<(&Rc<KeyHealth>, &Rc<OriginHealth>)> {
        let provider = self.providers.get(usize::from(provider.0))?;
        match key {
            Some(key) => provider.keys.get(usize::from(key.0)).map(|(key, origin)| (key, origin)),
            None => Some((&provider.own, &provider.origin)),
        }
    }
}

impl Health for View {
    fn standing(&self, provider: ProviderId, key: Option<KeyId>, now: Instant) -> Standing {
        let Some((key, origin)) = self.find(provider, key) else { return Standing::GOOD };
        let state = worse(key.breaker.state(now), origin.breaker.state(now));
        let cooling = key.cooling_until.get().filter(|until| now < *until);
        Standing {
            state: cooling.map_or(state, |until| worse(state, State::Cooling { until })),
            share: key.breaker.share(now).min(origin.breaker.share(now)),
            in_flight: key.in_flight.get(),
            latency_us: key.latency.value(now),
        }
    }
}

/// Of two states the one that speaks more against a key; of two that end, the one that ends later.
fn worse(one: State, other: State) -> State {
    let rank = |state: &State| match state {
        State::Passing => (0, None),
        State::HalfOpen => (1, None),
        State::Probing => (2, None),
        State::Open { until } | State::Cooling { until } => (3, Some(*until)),
    };
    if rank(&other) > rank(&one) { other } else { one }
}

fn later(cell: &Cell<Option<Instant>>, until: Instant) {
    cell.set(cell.get().max(Some(until)));
}

/// What an older view knows, by what stays the same.
struct Known {
    keys: HashMap<KeyIdentity, Rc<KeyHealth>>,
    origins: HashMap<Origin, Rc<OriginHealth>>,
    /// Origins that the config at hand has named.
    adopted: HashSet<Origin>,
}

impl Known {
    fn of(older: &View) -> Self {
        let (mut keys, mut origins) = (HashMap::new(), HashMap::new());
        for provider in &older.providers {
            keys.extend(provider.all().map(|key| (key.id, Rc::clone(key))));
            let own = provider.keys.iter().map(|(_, origin)| origin).chain([&provider.origin]);
            origins.extend(own.map(|origin| (origin.origin.clone(), Rc::clone(origin))));
        }
        Self { keys, origins, adopted: HashSet::new() }
    }

    fn provider(&mut self, provider: &snapshot::Provider) -> ProviderHealth {
        let own = self.key(provider, None);
        let keys = provider
            .keys
            .iter()
            .map(|key| (self.key(provider, Some(key)), self.origin(provider, provider.origin_of(Some(key)))));
        ProviderHealth { keys: keys.collect(), own, origin: self.origin(provider, &provider.origin) }
    }

    fn key(&self, provider: &snapshot::Provider, key: Option<&Key>) -> Rc<KeyHealth> {
        let id = KeyIdentity::of(provider, key);
        let known = self.keys.get(&id).cloned();
        let health = known.unwrap_or_else(|| {
            Rc::new(KeyHealth {
                id,
                breaker: Breaker::new(provider.breaker),
                cooling_until: Cell::default(),
                told_until: Cell::default(),
                in_flight: Cell::default(),
                latency: Latency::default(),
            })
        });
        health.breaker.adopt(provider.breaker);
        health.latency.ask_for(provider.balance == Balance::Latency);
        health
    }

    fn origin(&mut self, provider: &snapshot::Provider, origin: &Origin) -> Rc<OriginHealth> {
        let health = self.origins.entry(origin.clone()).or_insert_with(|| {
            Rc::new(OriginHealth { origin: origin.clone(), breaker: Breaker::new(provider.breaker) })
        });
        // Of providers that share it, the first by name says what its breaker goes by.
        if self.adopted.insert(origin.clone()) {
            health.breaker.adopt(provider.breaker);
        }
        Rc::clone(health)
    }
}

impl KeyIdentity {
    fn of(provider: &snapshot::Provider, key: Option<&Key>) -> Self {
        let mut hasher = DefaultHasher::new();
        provider.name.hash(&mut hasher);
        key.map(|key| (&key.id, key.credential.as_ref())).hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl Running {
    /// It has its place, and goes out now; perhaps once more.
    pub fn sent(&mut self, now: Instant) {
        self.now = now;
        self.key_entry.get_or_insert_with(|| self.key.breaker.begin(now));
        self.origin_entry.get_or_insert_with(|| self.origin.breaker.begin(now));
    }

    /// The first content is there, `elapsed` after the request was sent. A probe has done its work by it.
    pub fn first_token(&mut self, elapsed: Duration, now: Instant) {
        self.now = now;
        self.key.latency.observe(elapsed, now);
        self.key_entry = self.key_entry.map(|entry| self.key.breaker.confirm(entry, now));
        self.origin_entry = self.origin_entry.map(|entry| self.origin.breaker.confirm(entry, now));
    }

    /// The attempt has ended. What is returned is to be told to the other cores.
    pub fn end(mut self, outcome: Outcome, now: Instant) -> Option<Cooldown> {
        self.now = now;
        let (key, origin) = match outcome {
            Outcome::Answered | Outcome::Limited { .. } | Outcome::Refused => {
                (Verdict::Answered, Verdict::Answered)
            }
            Outcome::Failed { .. } => (Verdict::Failed, Verdict::Failed),
            Outcome::Unreachable => (Verdict::Neutral, Verdict::Failed),
            Outcome::Neutral => (Verdict::Neutral, Verdict::Neutral),
        };
        self.settle(key, origin);
        self.key.cool(outcome.cooldown()?, now)
    }

    fn settle(&mut self, key: Verdict, origin: Verdict) {
        let now = self.now;
        self.key_entry.take().into_iter().for_each(|entry| self.key.breaker.end(entry, key, now));
        self.origin_entry.take().into_iter().for_each(|entry| self.origin.breaker.end(entry, origin, now));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.settle(Verdict::Neutral, Verdict::Neutral);
        self.key.in_flight.set(self.key.in_flight.get().saturating_sub(1));
    }
}

impl Outcome {
    /// What it sets; `None`: nothing. A provider that fails and says until when is taken at its word.
    fn cooldown(self) -> Option<Duration> {
        let cooldown = match self {
            Self::Limited { retry_after } => Some(retry_after.unwrap_or(LIMITED_COOLDOWN)),
            Self::Failed { retry_after } => retry_after,
            Self::Refused => Some(REFUSED_COOLDOWN),
            Self::Answered | Self::Unreachable | Self::Neutral => None,
        };
        cooldown.map(|cooldown| cooldown.min(COOLDOWN_MAX))
    }
}

impl KeyHealth {
    /// Gives what others should know, unless they know nearly as much.
    fn cool(&self, cooldown: Duration, now: Instant) -> Option<Cooldown> {
        let until = now + cooldown;
        later(&self.cooling_until, until);
        let is_news = |told| until > told + NEWS_MIN.max(cooldown / 10);
        if cooldown.is_zero() || !self.told_until.get().is_none_or(is_news) {
            return None;
        }
        later(&self.told_until, until);
        Some(Cooldown { key: self.id, until })
    }
}

impl Latency {
    fn ask_for(&self, is_asked_for: bool) {
        self.is_asked_for.set(is_asked_for);
        if !is_asked_for {
            self.value.set(None);
        }
    }

    fn observe(&self, sample: Duration, now: Instant) {
        if !self.is_asked_for.get() {
            return;
        }
        let sample_us = sample.as_secs_f64() * 1e6;
        let value_us = match self.value.get() {
            Some((before_us, at)) if before_us > sample_us => {
                let rest = faded(at, now);
                before_us * rest + sample_us * (1.0 - rest)
            }
            _ => sample_us,
        };
        self.value.set(Some((value_us, now)));
    }

    /// µs; 0: not known.
    fn value(&self, now: Instant) -> f64 {
        self.value.get().map_or(0.0, |(value_us, at)| value_us * faded(at, now))
    }
}

/// What is left of a value after this time, 0 to 1.
fn faded(at: Instant, now: Instant) -> f64 {
    (-now.saturating_duration_since(at).as_secs_f64() / LATENCY_FADES_IN.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests;

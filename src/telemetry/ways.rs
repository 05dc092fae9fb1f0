//! One core's counters of the ways that requests take: attempts, retries, fallbacks, moves from key to key, waits for a place.
//! Counted by provider, in bounded sets. A request that was served by its first attempt is counted with its label set
//! (`cells`), so that nothing is looked up here for it.

use std::cell::{Cell, RefCell};

use super::cells::{LABEL_SETS_MAX, OTHER};
use super::histogram::{Histogram, LATENCY_US, add};
use super::labels::{LabelHash, Table};
use super::sample::{RotationLabels, WaySample, WaysSample};

/// A move from one key to another.
#[derive(Clone, Copy, Debug)]
pub struct Rotation<'a> {
    /// The provider's name.
    pub provider: &'a str,
    /// The model, as far as it may be a label.
    pub model: &'a str,
    /// Id of the key that failed.
    pub key_id: &'a str,
    /// Its name.
    pub key_name: &'a str,
    /// Why, in Bifrost's words: `rate_limit`, `quota`, `credential`.
    pub reason: &'static str,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ways {
    providers: RefCell<Table<Box<str>, ProviderCells>>,
    rotations: RefCell<Table<RotationLabels, Cell<u64>>>,
}

#[derive(Debug)]
struct ProviderCells {
    /// By outcome: statuses in five classes, and codes of faults, so it stays short.
    attempts: RefCell<Vec<(&'static str, u64)>>,
    retries: Cell<u64>,
    fallbacks: Cell<u64>,
    queue_wait_us: Histogram,
}

impl Ways {
    pub(super) fn new() -> Self {
        Self { providers: RefCell::new(Table::new()), rotations: RefCell::new(Table::new()) }
    }

    pub(super) fn attempted(&self, provider: &str, outcome: &'static str) {
        self.with(provider, |cells| {
            let mut attempts = cells.attempts.borrow_mut();
            match attempts.iter_mut().find(|(one, _)| *one == outcome) {
                Some((_, count)) => *count = count.wrapping_add(1),
                None => attempts.push((outcome, 1)),
            }
        });
    }

    pub(super) fn retried(&self, provider: &str) {
        self.with(provider, |cells| add(&cells.retries, 1));
    }

    pub(super) fn fell_back(&self, provider: &str) {
        self.with(provider, |cells| add(&cells.fallbacks, 1));
    }

    pub(super) fn queue_waited(&self, provider: &str, us: u64) {
        self.with(provider, |cells| cells.queue_wait_us.observe(us));
    }

    pub(super) fn rotated(&self, rotation: Rotation<'_>) {
        if self.count_rotation(&rotation) {
            return;
        }
        let is_full = self.rotations.borrow().len() >= LABEL_SETS_MAX - 1;
        let other = Rotation { provider: OTHER, model: OTHER, key_id: "", key_name: "", reason: OTHER };
        let named = if is_full { other } else { rotation };
        if !(is_full && self.count_rotation(&other)) {
            self.rotations.borrow_mut().insert(named.hash(), named.labels(), Cell::new(1));
        }
    }

    pub(super) fn sample(&self) -> WaysSample {
        let providers = self.providers.borrow();
        let rotations = self.rotations.borrow();
        WaysSample {
            providers: providers
                .entries()
                .iter()
                .map(|(name, cells)| (name.clone(), cells.sample()))
                .collect(),
            rotations: rotations
                .entries()
                .iter()
                .map(|(labels, count)| (labels.clone(), count.get()))
                .collect(),
        }
    }

    fn with(&self, provider: &str, count: impl Fn(&ProviderCells)) {
        if self.with_known(provider, &count) {
            return;
        }
        let is_full = self.providers.borrow().len() >= LABEL_SETS_MAX - 1;
        let name = if is_full { OTHER } else { provider };
        if !(is_full && self.with_known(name, &count)) {
            let cells = ProviderCells::new();
            count(&cells);
            self.providers.borrow_mut().insert(LabelHash::default().text(name), name.into(), cells);
        }
    }

    fn with_known(&self, provider: &str, count: impl Fn(&ProviderCells)) -> bool {
        let table = self.providers.borrow();
        let found = table.find(LabelHash::default().text(provider), |name| **name == *provider);
        found.map(count).is_some()
    }

    fn count_rotation(&self, rotation: &Rotation<'_>) -> bool {
        let table = self.rotations.borrow();
        let found = table.find(rotation.hash(), |labels| labels.are_of(rotation));
        found.map(|count| add(count, 1)).is_some()
    }
}

impl Rotation<'_> {
    fn hash(&self) -> LabelHash {
        let hash = LabelHash::default().text(self.provider).text(self.model).text(self.key_id);
        hash.text(self.key_name).text(self.reason)
    }

    fn labels(&self) -> RotationLabels {
        RotationLabels {
            provider: self.provider.into(),
            model: self.model.into(),
            key_id: self.key_id.into(),
            key_name: self.key_name.into(),
            reason: self.reason,
        }
    }
}

impl RotationLabels {
    fn are_of(&self, rotation: &Rotation<'_>) -> bool {
        *self.provider == *rotation.provider
            && *self.model == *rotation.model
            && *self.key_id == *rotation.key_id
            && *self.key_name == *rotation.key_name
            && self.reason == rotation.reason
    }
}

impl ProviderCells {
    fn new() -> Self {
        Self {
            attempts: RefCell::default(),
            retries: Cell::default(),
            fallbacks: Cell::default(),
            queue_wait_us: Histogram::new(LATENCY_US),
        }
    }

    fn sample(&self) -> WaySample {
        WaySample {
            attempts: self.attempts.borrow().clone(),
            retries: self.retries.get(),
            fallbacks: self.fallbacks.get(),
            queue_wait_us: self.queue_wait_us.sample(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_stay_in_their_bound_and_nothing_goes_uncounted() {
        let ways = Ways::new();
        let total = 3 * LABEL_SETS_MAX;
        for number in 0..total {
            let name = format!("p{number}");
            ways.attempted(&name, "ok");
            let (provider, model) = (name.as_str(), "m");
            ways.rotated(Rotation { provider, model, key_id: "1", key_name: "k", reason: "quota" });
        }
        let sample = ways.sample();
        assert_eq!((sample.providers.len(), sample.rotations.len()), (LABEL_SETS_MAX, LABEL_SETS_MAX));
        let attempts = sample.providers.iter().flat_map(|(_, way)| &way.attempts);
        assert_eq!(attempts.map(|(_, count)| count).sum::<u64>(), total as u64);
        assert_eq!(sample.rotations.iter().map(|(_, count)| count).sum::<u64>(), total as u64);
        assert_eq!(sample.providers.last().map(|(name, _)| &**name), Some(OTHER));
    }

    #[test]
    fn each_provider_has_its_own() {
        let ways = Ways::new();
        ways.attempted("a", "limited");
        ways.attempted("a", "ok");
        ways.attempted("a", "limited");
        ways.retried("a");
        ways.fell_back("b");
        ways.queue_waited("b", 7_000);
        let sample = ways.sample();
        let [(_, a), (_, b)] = sample.providers.as_slice() else { panic!("{sample:?}") };
        assert_eq!(a.attempts, [("limited", 2), ("ok", 1)]);
        assert_eq!((a.retries, a.fallbacks, b.retries, b.fallbacks), (1, 0, 0, 1));
        assert_eq!((a.queue_wait_us.count(), b.queue_wait_us.sum), (0, 7_000));
    }
}

//! What the actors of a run saw: counts by name, and everything that must not happen, in words.

#![allow(clippy::disallowed_types, reason = "threads of a test program share what they saw")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most anomalies that are kept in words; all are counted.
const ANOMALIES_MAX: usize = 40;

/// Shared by all actors of a run.
#[derive(Debug, Default)]
pub struct Tally {
    counts: Mutex<BTreeMap<&'static str, u64>>,
    anomalies: Mutex<Vec<String>>,
    anomalies_count: AtomicUsize,
    slowest: Mutex<Duration>,
    stops: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tally {
    /// Counts one of these.
    pub fn count(&self, name: &'static str) {
        *lock(&self.counts).entry(name).or_default() += 1;
    }

    /// Something that must not happen.
    pub fn anomaly(&self, what: impl Into<String>) {
        self.anomalies_count.fetch_add(1, Ordering::Relaxed);
        let mut anomalies = lock(&self.anomalies);
        if anomalies.len() < ANOMALIES_MAX {
            anomalies.push(what.into());
        }
    }

    /// A well-behaved caller was answered after so long.
    pub fn answered_after(&self, wait: Duration) {
        let mut slowest = lock(&self.slowest);
        *slowest = wait.max(*slowest);
    }

    /// The longest wait of a well-behaved caller.
    pub fn slowest(&self) -> Duration {
        *lock(&self.slowest)
    }

    /// All counts, by name.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.counts).clone()
    }

    /// How many anomalies there were, and the first of them.
    pub fn anomalies(&self) -> (usize, Vec<String>) {
        (self.anomalies_count.load(Ordering::Relaxed), lock(&self.anomalies).clone())
    }

    /// Asks all actors to come to an end, or lets them go on.
    pub fn stop(&self, stops: bool) {
        self.stops.store(stops, Ordering::Relaxed);
    }

    /// Whether an actor should come to an end.
    pub fn stops(&self) -> bool {
        self.stops.load(Ordering::Relaxed)
    }
}

/// Waits; a thread of a test program may.
pub fn pause(wait: Duration) {
    let until = Instant::now() + wait;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

/// Waits so many milliseconds.
pub fn pause_ms(wait_ms: usize) {
    pause(Duration::from_millis(wait_ms as u64));
}

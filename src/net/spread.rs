//! Which core serves a connection: the one with the fewest. One count per core is shared, written when a connection is
//! accepted and when it closes, and at no request. It moves no descriptor (`worker` does) and waits for nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A core that drains: it is offered nothing more. Beside the count in one word, so that a core which saw none under way
/// and ends has none under way.
const DRAINING: u32 = 1 << 31;
/// A core that has a sixteenth more than the one with the fewest keeps what it accepts: among many connections that come
/// and go, evenness to the last one is worth less than the 7 to 20 µs of processor time that handing one over costs.
const SLACK: u32 = 16;
/// Tries to sit down before another core's claim comes in between; then the connection stays where it was accepted.
const CLAIMS_MAX: usize = 16;

/// One core's count, on a cache line of its own: cores that close connections must not slow each other.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Count(AtomicU32);

/// How many connections each core of the node has, those on their way to it included.
#[derive(Clone, Debug)]
pub struct Spread {
    counts: Arc<[Count]>,
}

/// One connection's place on a core; dropped, the place is free.
#[derive(Debug)]
pub struct Seat {
    spread: Spread,
    core: usize,
}

impl Spread {
    /// For this many cores, all empty.
    pub fn new(cores: usize) -> Self {
        Self { counts: (0..cores).map(|_| Count::default()).collect() }
    }

    /// A place for a connection that `own` has accepted: there, unless with it `own` would be two and a sixteenth ahead of
    /// the core with the fewest; then on that one. It counts at once, so that a burst does not fall on one core. A core that
    /// drains takes only what it accepted itself. `None`: each core that could take it has `seats_max`.
    pub fn claim(&self, own: usize, seats_max: u32) -> Option<Seat> {
        for _ in 0..CLAIMS_MAX {
            let (core, count) = self.choose(own, seats_max);
            if count & !DRAINING >= seats_max {
                return None;
            }
            if self.sit(core, count) {
                return Some(Seat { spread: self.clone(), core });
            }
        }
        self.claim_own(own, seats_max)
    }

    /// A place on `own`. `None`: it has `seats_max`.
    pub fn claim_own(&self, own: usize, seats_max: u32) -> Option<Seat> {
        let sit = |count: u32| (count & !DRAINING < seats_max).then(|| count + 1);
        self.counts.get(own)?.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sit).ok()?;
        Some(Seat { spread: self.clone(), core: own })
    }

    /// From now on nobody offers `core` a connection.
    pub fn close(&self, core: usize) {
        self.counts.get(core).map(|count| count.0.fetch_or(DRAINING, Ordering::Relaxed));
    }

    /// Connections that `core` has, those on their way to it included.
    pub fn seats(&self, core: usize) -> u32 {
        self.word(core) & !DRAINING
    }

    fn word(&self, core: usize) -> u32 {
        self.counts.get(core).map_or(DRAINING, |count| count.0.load(Ordering::Relaxed))
    }

    /// The core that should have one more, and its word as it was seen. Cores with equally few are taken in turn from
    /// `own` on, so that those who choose at one moment choose apart.
    fn choose(&self, own: usize, seats_max: u32) -> (usize, u32) {
        let own_word = self.word(own);
        if own_word & DRAINING != 0 {
            return (own, own_word);
        }
        let others = (1..self.counts.len()).map(|step| (own + step) % self.counts.len());
        let others = others.map(|core| (core, self.word(core))).filter(|(_, word)| word & DRAINING == 0);
        let fewest = others.min_by_key(|(_, word)| *word);
        let is_far_ahead = |fewest: u32| own_word > fewest + fewest / SLACK || own_word >= seats_max;
        fewest.filter(|(_, fewest)| is_far_ahead(*fewest)).unwrap_or((own, own_word))
    }

    fn sit(&self, core: usize, seen: u32) -> bool {
        let Some(count) = self.counts.get(core) else { return false };
        count.0.compare_exchange(seen, seen + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Seat {
    /// Which core it is on.
    pub fn core(&self) -> usize {
        self.core
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(count) = self.spread.counts.get(self.core) {
            count.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(spread: &Spread) -> Vec<u32> {
        (0..spread.counts.len()).map(|core| spread.seats(core)).collect()
    }

    #[test]
    fn whoever_accepts_no_core_is_far_ahead() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let cores = random.usize(1..9);
            let spread = Spread::new(cores);
            let mut taken = Vec::new();
            for _ in 0..random.usize(1..400) {
                taken.push(spread.claim(random.usize(0..cores), 1000).unwrap());
                let seats = seats(&spread);
                let (most, fewest) = (seats.iter().max().unwrap(), seats.iter().min().unwrap());
                assert!(*most <= fewest + fewest / SLACK + 1, "{seats:?}");
            }
            drop(taken);
            assert_eq!(seats(&spread), vec![0; cores]);
        }
    }

    #[test]
    fn one_that_is_not_two_ahead_keeps_what_it_accepted() {
        let spread = Spread::new(3);
        assert_eq!(spread.claim(1, 9).map(|seat| seat.core()), Some(1));
        let first = spread.claim(1, 9).unwrap();
        assert_eq!((first.core(), seats(&spread)), (1, vec![0, 1, 0]));
        let second = spread.claim(1, 9).unwrap();
        assert_eq!(second.core(), 2);
        assert_eq!(spread.claim(1, 9).unwrap().core(), 0);
        drop(first);
        assert_eq!(spread.claim(2, 9).unwrap().core(), 0);
    }

    #[test]
    fn gaps_are_filled_first() {
        let spread = Spread::new(4);
        let mut taken: Vec<Seat> = (0..40).map(|_| spread.claim(0, 100).unwrap()).collect();
        taken.retain(|seat| seat.core() != 2);
        let filled: Vec<Seat> = (0..10).map(|_| spread.claim(0, 100).unwrap()).collect();
        assert!(filled.iter().all(|seat| seat.core() == 2));
        assert_eq!(seats(&spread), [10, 10, 10, 10]);
    }

    #[test]
    fn a_full_node_has_no_place_and_a_core_that_drains_keeps_to_itself() {
        let spread = Spread::new(2);
        let taken: Vec<Seat> = (0..4).map(|_| spread.claim(0, 2).unwrap()).collect();
        assert!(
            spread.claim(0, 2).is_none() && spread.claim(1, 2).is_none() && spread.claim_own(1, 2).is_none()
        );
        drop(taken);
        // The last seat of the node is found from everywhere, however small the difference.
        let mut taken: Vec<Seat> = (0..200).map(|_| spread.claim(0, 100).unwrap()).collect();
        assert!(spread.claim(0, 100).is_none());
        taken.pop();
        assert!(spread.claim(0, 100).is_some() && spread.claim(1, 100).is_some());
        drop(taken);
        spread.close(1);
        let taken: Vec<Seat> = (0..3).map(|_| spread.claim(0, 3).unwrap()).collect();
        assert!(taken.iter().all(|seat| seat.core() == 0));
        assert!(spread.claim(0, 3).is_none());
        let own = spread.claim(1, 3).unwrap();
        assert_eq!((own.core(), spread.seats(1)), (1, 1));
        drop(own);
        assert_eq!(spread.seats(1), 0);
        spread.close(0);
        assert_eq!(spread.claim_own(1, 3).map(|seat| seat.core()), Some(1));
    }

    #[test]
    fn cores_that_claim_at_once_do_not_overshoot() {
        for _ in 0..50 {
            let spread = Spread::new(4);
            let claims = |own: usize| {
                let spread = spread.clone();
                std::thread::spawn(move || {
                    (0..50).map(|_| spread.claim(own, 1000).unwrap()).collect::<Vec<_>>()
                })
            };
            let threads: Vec<_> = (0..4).map(claims).collect();
            let taken: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            let seats = seats(&spread);
            let (most, fewest) = (seats.iter().max().unwrap(), seats.iter().min().unwrap());
            assert!(*most <= fewest + fewest / SLACK + 2, "{seats:?}");
            drop(taken);
        }
    }
}

//! One provider's places on a node, and the line for them: the one thing that cores share for requests, and only where the
//! config limits a provider. Whoever came first is served first, whichever core it is on. No core ever waits for another here.
//!
//! Two counts in one word say how many places are taken and how many requests wait. With nobody waiting a place is taken, and
//! given back, by that word alone. Else there is a line, and a wish to it (to stand in it, to leave it) travels by a channel;
//! the core that *pumps* takes the wishes, and gives free places to the first in line.
//!
//! **No wake-up is lost.** What may let somebody be served is a place given back, a wish, or a new limit; each is followed by
//! [`Queue::pump`] on the same thread. `pump` counts itself; the one who counts from 0 pumps, and ends only by setting the count
//! back to 0 from the value that it had read before it last looked at wishes and places. So a pump that leaves the work to
//! another has changed the count under that one, who looks again; and as both go by one atomic, by read-modify-writes that
//! acquire and release, it then sees what came before the other's count. One change needs no pump: a place given back while
//! nobody waits. Whoever wants to stand in line after it finds, by the same word, that there is no need; and whoever did before
//! it was seen.
//!
//! **No place is lost.** A turn is given once. Who leaves without having taken it says so by a wish; when its turn was given
//! meanwhile, that is found by its standing in the line no more, and the place is free. The core that its turn was told to need
//! do nothing, be it alive or not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use flume::{Receiver, Sender};

/// Tells a core that a ticket's turn has come.
pub type Bell = Arc<dyn Fn(u16, u64) + Send + Sync>;

/// One taken place, in the word of counts; one that waits is 1.
const TAKEN: u64 = 1 << 32;

/// See the module.
pub struct Queue {
    /// Places taken, times [`TAKEN`], and requests that wait.
    counts: AtomicU64,
    taken_max: AtomicU32,
    /// What the next one in line stands behind.
    next_order: AtomicU64,
    /// Not bounded by itself: a request under way has at most two wishes here, and they are taken as soon as they are there.
    wishes: (Sender<Wish>, Receiver<Wish>),
    /// The line, held by whoever pumps, and lying here otherwise.
    line: (Sender<Line>, Receiver<Line>),
    /// Pumps since the last one that found nothing more to do; 0: nobody pumps.
    pumps: AtomicU64,
    bell: Bell,
}

/// In their order.
type Line = BTreeMap<u64, Waiter>;

enum Wish {
    StandInLine { order: u64, waiter: Waiter },
    Leave { order: u64 },
}

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    /// The core that is told.
    pub(super) core: u16,
    /// What it knows the request by.
    pub(super) ticket: u64,
}

/// See [`Queue::enter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A place is taken.
    Placed,
    /// It counts as waiting, and must line up.
    InLine,
    /// Neither.
    Full,
}

/// A place; dropped, it is the next one's.
pub struct Place(Arc<Queue>);

impl Place {
    /// One that is counted as taken already.
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self(queue)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

impl Queue {
    /// Without a limit yet.
    pub(super) fn new(bell: Bell) -> Self {
        let line = flume::bounded(1);
        let _fits = line.0.try_send(Line::new());
        Self {
            counts: AtomicU64::new(0),
            taken_max: AtomicU32::new(u32::MAX),
            next_order: AtomicU64::new(0),
            wishes: flume::unbounded(),
            line,
            pumps: AtomicU64::new(0),
            bell,
        }
    }

    /// Places from now on. Where more are taken, none is given until enough came back.
    pub(super) fn limit(&self, taken_max: u32) {
        if self.taken_max.swap(taken_max, Ordering::AcqRel) != taken_max {
            self.pump();
        }
    }

    /// Takes a place, when nobody waits and one is free; else counts as waiting, while fewer than `waiting_max` do.
    pub(super) fn enter(&self, waiting_max: u32) -> Entry {
        let mut entry = Entry::Full;
        let enter = |counts: u64| {
            let (taken, waiting) = split(counts);
            entry = match waiting {
                0 if taken < self.taken_max.load(Ordering::Acquire) => Entry::Placed,
                _ if waiting < waiting_max => Entry::InLine,
                _ => Entry::Full,
            };
            match entry {
                Entry::Placed => Some(counts + TAKEN),
                Entry::InLine => Some(counts + 1),
                Entry::Full => None,
            }
        };
        let _full = self.counts.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter);
        entry
    }

    /// Whoever counts as waiting stands in line by this; gives its order, to leave by.
    pub(super) fn line_up(&self, waiter: Waiter) -> u64 {
        let order = self.next_order.fetch_add(1, Ordering::Relaxed);
        self.wish(Wish::StandInLine { order, waiter });
        order
    }

    /// Who waits no more, and has not taken the place that it may have been given, leaves by this, once.
    pub(super) fn leave(&self, order: u64) {
        self.wish(Wish::Leave { order });
    }

    /// Places that are taken, those given to who has not seen it yet among them.
    pub fn taken(&self) -> u32 {
        split(self.counts.load(Ordering::Relaxed)).0
    }

    /// Requests that wait.
    pub fn waiting(&self) -> u32 {
        split(self.counts.load(Ordering::Relaxed)).1
    }

    fn give_back(&self) {
        let (_, waiting) = split(self.counts.fetch_sub(TAKEN, Ordering::AcqRel));
        if waiting > 0 {
            self.pump();
        }
    }

    fn wish(&self, wish: Wish) {
        let _has_room = self.wishes.0.send(wish);
        self.pump();
    }

    /// See the module.
    fn pump(&self) {
        let mut seen = self.pumps.fetch_add(1, Ordering::AcqRel) + 1;
        if seen > 1 {
            return;
        }
        loop {
            // It lies there whenever nobody pumps.
            let mut line = self.line.1.try_recv().unwrap_or_default();
            self.serve(&mut line);
            let _fits = self.line.0.try_send(line);
            match self.pumps.compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    fn serve(&self, line: &mut Line) {
        for wish in self.wishes.1.try_iter() {
            match wish {
                Wish::StandInLine { order, waiter } => {
                    line.insert(order, waiter);
                }
                Wish::Leave { order } => {
                    let count = if line.remove(&order).is_some() { 1 } else { TAKEN };
                    self.counts.fetch_sub(count, Ordering::AcqRel);
                }
            }
        }
        while !line.is_empty() && self.give() {
            if let Some((_, waiter)) = line.pop_first() {
                (self.bell)(waiter.core, waiter.ticket);
            }
        }
    }

    /// Takes a place for one that waits. `false`: none is free.
    fn give(&self) -> bool {
        let give = |counts: u64| {
            let is_free = split(counts).0 < self.taken_max.load(Ordering::Acquire);
            is_free.then(|| counts + TAKEN - 1)
        };
        self.counts.fetch_update(Ordering::AcqRel, Ordering::Acquire, give).is_ok()
    }
}

/// Taken and waiting.
fn split(counts: u64) -> (u32, u32) {
    ((counts >> 32) as u32, counts as u32)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// A queue with this limit, and the tickets whose turns have come.
    fn queue(taken_max: u32) -> (Arc<Queue>, mpsc::Receiver<u64>) {
        let (sender, turns) = mpsc::channel();
        let queue = Queue::new(Arc::new(move |_, ticket| sender.send(ticket).unwrap()));
        queue.limit(taken_max);
        (Arc::new(queue), turns)
    }

    fn place(queue: &Arc<Queue>) -> Place {
        assert_eq!(queue.enter(9), Entry::Placed);
        Place::new(Arc::clone(queue))
    }

    fn wait(queue: &Queue, ticket: u64) -> u64 {
        assert_eq!(queue.enter(9), Entry::InLine);
        queue.line_up(Waiter { core: 0, ticket })
    }

    fn turns(turns: &mpsc::Receiver<u64>) -> Vec<u64> {
        turns.try_iter().collect()
    }

    #[test]
    fn whoever_came_first_is_first_and_nobody_overtakes_a_line() {
        let (queue, told) = queue(2);
        let (first, second) = (place(&queue), place(&queue));
        (10..14).for_each(|ticket| _ = wait(&queue, ticket));
        assert_eq!((turns(&told), queue.taken(), queue.waiting()), (vec![], 2, 4));
        drop(second);
        assert_eq!((turns(&told), queue.taken(), queue.waiting()), (vec![10], 2, 3));
        drop(first);
        wait(&queue, 14);
        assert_eq!(turns(&told), [11]);
        let granted = [Place::new(Arc::clone(&queue)), Place::new(Arc::clone(&queue))];
        drop(granted);
        assert_eq!(turns(&told), [12, 13]);
        drop([Place::new(Arc::clone(&queue)), Place::new(Arc::clone(&queue))]);
        assert_eq!((turns(&told), queue.taken(), queue.waiting()), (vec![14], 1, 0));
        drop(Place::new(Arc::clone(&queue)));
        assert_eq!((queue.taken(), queue.waiting()), (0, 0));
    }

    #[test]
    fn whoever_leaves_frees_his_place_in_the_line_and_the_one_that_he_was_given() {
        let (queue, told) = queue(1);
        let held = place(&queue);
        let orders: Vec<u64> = (0..3).map(|ticket| wait(&queue, ticket)).collect();
        assert_eq!(queue.enter(3), Entry::Full);
        queue.leave(orders[1]);
        assert_eq!((queue.waiting(), queue.enter(3)), (2, Entry::InLine));
        let last = queue.line_up(Waiter { core: 0, ticket: 3 });
        drop(held);
        assert_eq!(turns(&told), [0]);
        queue.leave(orders[0]);
        assert_eq!((turns(&told), queue.taken(), queue.waiting()), (vec![2], 1, 1));
        queue.leave(last);
        queue.leave(orders[2]);
        assert_eq!((turns(&told), queue.taken(), queue.waiting()), (vec![], 0, 0));
    }

    #[test]
    fn a_limit_that_is_raised_lets_in_and_one_that_is_lowered_drains() {
        let (queue, told) = queue(1);
        let held = place(&queue);
        (0..4).for_each(|ticket| _ = wait(&queue, ticket));
        queue.limit(3);
        assert_eq!((turns(&told), queue.taken()), (vec![0, 1], 3));
        queue.limit(2);
        drop(held);
        assert_eq!((turns(&told), queue.taken()), (vec![], 2));
        drop(Place::new(Arc::clone(&queue)));
        assert_eq!((turns(&told), queue.taken()), (vec![2], 2));
        queue.limit(u32::MAX);
        assert_eq!((turns(&told), queue.waiting()), (vec![3], 0));
    }

    /// What a core of the test below does: takes places, waits for them, leaves the line, holds them for a moment.
    struct Core {
        number: u16,
        queue: Arc<Queue>,
        turns: mpsc::Receiver<u64>,
        inside: Arc<AtomicU32>,
        random: fastrand::Rng,
        /// Tickets that left the line.
        left: HashSet<u64>,
    }

    impl Core {
        fn run(mut self, requests: u64, taken_max: u32) {
            for ticket in 0..requests {
                match self.queue.enter(4) {
                    Entry::Full => std::thread::yield_now(),
                    Entry::Placed => self.serve(taken_max),
                    Entry::InLine => {
                        let order = self.queue.line_up(Waiter { core: self.number, ticket });
                        match self.random.u8(..3) {
                            0 => {
                                self.left.insert(ticket);
                                self.queue.leave(order);
                            }
                            _ => self.wait(ticket, taken_max),
                        }
                    }
                }
            }
        }

        fn wait(&mut self, ticket: u64, taken_max: u32) {
            loop {
                let turn = self.turns.recv_timeout(Duration::from_secs(40)).expect("a wake-up is lost");
                match turn == ticket {
                    true => return self.serve(taken_max),
                    false => assert!(self.left.remove(&turn), "a turn that nobody waits for"),
                }
            }
        }

        fn serve(&mut self, taken_max: u32) {
            let place = Place::new(Arc::clone(&self.queue));
            assert!(self.inside.fetch_add(1, Ordering::SeqCst) < taken_max, "too many inside");
            if self.random.bool() {
                std::thread::yield_now();
            }
            self.inside.fetch_sub(1, Ordering::SeqCst);
            drop(place);
        }
    }

    /// Threads that hammer one queue, its limit changing all the while: everybody who waits is served, never too many at a
    /// time, and in the end nothing is left.
    #[test]
    fn no_wake_up_and_no_place_is_lost() {
        const CORES: u16 = 8;
        const TAKEN_MAX: u32 = 3;
        for round in 0..5 {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..CORES).map(|_| mpsc::channel()).unzip();
            // A core may have ended.
            let bell = move |core, ticket| _ = senders[usize::from(core)].send(ticket);
            let queue = Arc::new(Queue::new(Arc::new(bell)));
            queue.limit(TAKEN_MAX);
            let inside = Arc::new(AtomicU32::new(0));
            let cores = (0..CORES).zip(receivers).map(|(number, turns)| Core {
                number,
                queue: Arc::clone(&queue),
                turns,
                inside: Arc::clone(&inside),
                random: fastrand::Rng::with_seed(u64::from(number) + 100 * round),
                left: HashSet::new(),
            });
            let threads: Vec<_> =
                cores.map(|core| std::thread::spawn(move || core.run(4000, TAKEN_MAX))).collect();
            let mut random = fastrand::Rng::with_seed(round);
            while threads.iter().any(|thread| !thread.is_finished()) {
                queue.limit(random.u32(1..=TAKEN_MAX));
                std::thread::yield_now();
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!((queue.taken(), queue.waiting()), (0, 0), "round {round}");
            assert_eq!((queue.wishes.1.len(), queue.line.1.recv().unwrap().len()), (0, 0));
        }
    }

    /// One gives his place back in the very moment in which another lines up, and then neither does anything more: if the one
    /// leaves the work to the other, who has just looked for the last time, nobody is ever served.
    #[test]
    fn a_place_that_comes_back_while_another_lines_up_is_given() {
        const ROUNDS: u64 = 30_000;
        let (queue, told) = queue(1);
        let (giver, round) = (Arc::clone(&queue), Arc::new(AtomicU64::new(0)));
        let rounds = Arc::clone(&round);
        let thread = std::thread::spawn(move || {
            let mut random = fastrand::Rng::with_seed(1);
            for number in 1..=ROUNDS {
                let held = place(&giver);
                rounds.store(2 * number, Ordering::SeqCst);
                (0..random.u32(..200)).for_each(|_| std::hint::spin_loop());
                drop(held);
                while rounds.load(Ordering::SeqCst) != 2 * number + 1 {
                    std::thread::yield_now();
                }
            }
        });
        let mut random = fastrand::Rng::with_seed(2);
        for number in 1..=ROUNDS {
            while round.load(Ordering::SeqCst) != 2 * number {
                std::thread::yield_now();
            }
            (0..random.u32(..200)).for_each(|_| std::hint::spin_loop());
            if queue.enter(9) == Entry::InLine {
                queue.line_up(Waiter { core: 0, ticket: number });
                assert_eq!(told.recv_timeout(Duration::from_secs(40)), Ok(number), "a wake-up is lost");
            }
            drop(Place::new(Arc::clone(&queue)));
            round.store(2 * number + 1, Ordering::SeqCst);
        }
        thread.join().unwrap();
        assert_eq!((queue.taken(), queue.waiting()), (0, 0));
    }
}

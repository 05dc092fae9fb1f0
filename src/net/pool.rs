//! Upstream connections of one core, by origin: those at rest, the last used first; how many there are, within this core's
//! share of the origin's limit; and who waits for one. A connection that closed, spoke unasked or grew old is dropped when
//! it is met. It opens none.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::client::Upstream;
use super::{CONNECT_TIMEOUT, until};
use crate::config::snapshot::{Origin, Snapshot};
use crate::error::{Error, Kind};

/// Idle connections kept for one origin; one more is closed.
pub const IDLE_MAX: usize = 1024;
/// Requests of one core that may wait for a connection to one origin; one more is refused.
pub const WAITING_MAX: usize = 1024;
/// A connection carries no further request when it is this old, so that a provider can move its callers elsewhere
/// (as nginx's `keepalive_time`).
pub const LIFETIME_MAX: Duration = Duration::from_secs(300);

/// One core of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Its number, from 0.
    pub core: usize,
    /// How many there are, at least 1.
    pub cores: usize,
}

impl Seat {
    /// This core's part of a node's limit: the parts of all cores are the limit, and differ by 1 at most.
    pub fn share(self, limit: usize) -> usize {
        let cores = self.cores.max(1);
        limit / cores + usize::from(self.core < limit % cores)
    }
}

/// A sentence for each provider whose limit leaves a core without any connection: such a node must not start.
pub fn check_limits(snapshot: &Snapshot, cores: usize) -> Vec<String> {
    let limited = snapshot.providers.iter().filter_map(|provider| {
        let limit = provider.origin.transport.connections_max.filter(|limit| *limit < cores)?;
        Some(format!(
            "providers.{}: network_config.max_conns_per_host is {limit}, but each of the {cores} workers needs a \
             connection of its own; raise it to {cores}, or start with --workers {limit}",
            provider.name
        ))
    });
    limited.collect()
}

/// The pool.
pub struct Pool {
    seat: Seat,
    shelves: RefCell<Vec<Rc<Shelf>>>,
}

impl Pool {
    /// An empty one.
    pub fn new(seat: Seat) -> Self {
        Self { seat, shelves: RefCell::default() }
    }

    /// The last used connection that is still open and silent, or a place for a new one. When this core's share is in use:
    /// in turn, after [`CONNECT_TIMEOUT`] at most. May be dropped. Errors: too many wait, or for too long.
    pub(super) async fn acquire(&self, origin: &Origin, now: Instant) -> Result<Grant, Error> {
        let shelf = self.shelf(origin);
        if let Some(grant) = shelf.take(now) {
            return Ok(grant);
        }
        let granted = match Waiting::enter(&shelf) {
            Some(waiting) => until(now + CONNECT_TIMEOUT, waiting).await,
            None => None,
        };
        granted.ok_or_else(|| self.all_in_use(origin))
    }

    /// Puts a connection back, to be used for another `keep_alive` at most.
    pub fn release(&self, mut upstream: Box<Upstream>, now: Instant, keep_alive: Duration) {
        let until = (now + keep_alive).min(upstream.opened() + LIFETIME_MAX);
        if now < until {
            upstream.rest();
            let shelf = Rc::clone(&upstream.permit().shelf);
            shelf.put(Idle { upstream, until });
        }
    }

    /// Closes what grew old, and forgets origins without connections.
    pub fn sweep(&self, now: Instant) {
        for shelf in self.shelves.borrow().iter() {
            shelf.sweep(now);
        }
        self.shelves.borrow_mut().retain(|shelf| Rc::strong_count(shelf) > 1);
    }

    /// Connections at rest.
    pub fn idle_count(&self) -> usize {
        self.shelves.borrow().iter().map(|shelf| shelf.state.borrow().idle.len()).sum()
    }

    fn shelf(&self, origin: &Origin) -> Rc<Shelf> {
        let mut shelves = self.shelves.borrow_mut();
        if let Some(shelf) = shelves.iter().find(|shelf| shelf.origin == *origin) {
            return Rc::clone(shelf);
        }
        let share = origin.transport.connections_max.map(|limit| self.seat.share(limit));
        let shelf = Rc::new(Shelf { origin: origin.clone(), share, state: RefCell::default() });
        shelves.push(Rc::clone(&shelf));
        shelf
    }

    fn all_in_use(&self, origin: &Origin) -> Error {
        let limit = origin.transport.connections_max.unwrap_or_default();
        let message = format!(
            "all connections to {}:{} are in use (network_config.max_conns_per_host is {limit} for this node, {} of them \
             for this worker); try again shortly",
            origin.host,
            origin.port,
            self.seat.share(limit)
        );
        Error::new(Kind::Overloaded, message)
    }
}

/// Connections at rest hold their shelf, and it holds them.
impl Drop for Pool {
    fn drop(&mut self) {
        for shelf in self.shelves.borrow().iter() {
            drop(shelf.take_idle());
        }
    }
}

/// What a request gets.
pub(super) enum Grant {
    /// A connection that was at rest.
    Kept(Box<Upstream>),
    /// The right to open one.
    Place(Permit),
}

/// A place among an origin's connections; free again when dropped, however its connection ended.
pub(super) struct Permit {
    shelf: Rc<Shelf>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shelf.vacate();
    }
}

/// One origin's connections. No borrow of its state is held while one of them is dropped, which vacates its place.
struct Shelf {
    origin: Origin,
    /// This core's part of the limit.
    share: Option<usize>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    idle: Vec<Idle>,
    /// All that live: being opened, in use, at rest.
    open: usize,
    /// Who waits, the first to come first. While any does, nothing is idle.
    waiting: VecDeque<Rc<Waiter>>,
}

struct Idle {
    upstream: Box<Upstream>,
    until: Instant,
}

impl Idle {
    fn is_usable(&mut self, now: Instant) -> bool {
        now < self.until && self.upstream.is_quiet()
    }
}

impl Shelf {
    /// At once; `None`: in turn.
    fn take(self: &Rc<Self>, now: Instant) -> Option<Grant> {
        if !self.state.borrow().waiting.is_empty() {
            return None;
        }
        while let Some(mut idle) = self.pop() {
            if idle.is_usable(now) {
                return Some(Grant::Kept(idle.upstream));
            }
        }
        let mut state = self.state.borrow_mut();
        if self.share.is_some_and(|share| state.open >= share) {
            return None;
        }
        state.open += 1;
        Some(Grant::Place(Permit { shelf: Rc::clone(self) }))
    }

    fn pop(&self) -> Option<Idle> {
        self.state.borrow_mut().idle.pop()
    }

    /// To the first who waits, or to rest.
    fn put(&self, idle: Idle) {
        let first = self.state.borrow_mut().waiting.pop_front();
        match first {
            Some(waiter) => waiter.give(Gift::Kept(idle)),
            None => drop(self.lay(idle)),
        }
    }

    /// Gives back what there is no room for.
    fn lay(&self, idle: Idle) -> Option<Idle> {
        let mut state = self.state.borrow_mut();
        if state.idle.len() >= IDLE_MAX {
            return Some(idle);
        }
        state.idle.push(idle);
        None
    }

    /// A connection ended: its place is the next one's.
    fn vacate(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        let first = state.waiting.pop_front();
        if first.is_none() {
            state.open -= 1;
        }
        drop(state);
        if let Some(waiter) = first {
            waiter.give(Gift::Place(Permit { shelf: Rc::clone(self) }));
        }
    }

    fn take_idle(&self) -> Vec<Idle> {
        std::mem::take(&mut self.state.borrow_mut().idle)
    }

    fn sweep(&self, now: Instant) {
        for mut idle in self.take_idle() {
            if idle.is_usable(now) {
                drop(self.lay(idle));
            }
        }
    }
}

/// What one who waits is given; it may have gone away by then.
enum Gift {
    Kept(Idle),
    Place(Permit),
}

#[derive(Default)]
struct Waiter {
    slot: RefCell<(Option<Gift>, Option<Waker>)>,
}

impl Waiter {
    fn give(&self, gift: Gift) {
        let mut slot = self.slot.borrow_mut();
        slot.0 = Some(gift);
        let waker = slot.1.take();
        drop(slot);
        waker.into_iter().for_each(Waker::wake);
    }
}

/// A place in the queue; left when dropped, and what had been given to it is the next one's.
struct Waiting {
    shelf: Rc<Shelf>,
    waiter: Rc<Waiter>,
}

impl Waiting {
    /// `None`: the queue is full.
    fn enter(shelf: &Rc<Shelf>) -> Option<Self> {
        let mut state = shelf.state.borrow_mut();
        if state.waiting.len() >= WAITING_MAX {
            return None;
        }
        let waiter = Rc::new(Waiter::default());
        state.waiting.push_back(Rc::clone(&waiter));
        Some(Self { shelf: Rc::clone(shelf), waiter })
    }
}

impl Future for Waiting {
    type Output = Grant;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Grant> {
        let mut slot = self.waiter.slot.borrow_mut();
        let Some(gift) = slot.0.take() else {
            slot.1 = Some(context.waker().clone());
            return Poll::Pending;
        };
        drop(slot);
        Poll::Ready(match gift {
            Gift::Kept(mut idle) if idle.is_usable(Instant::now()) => Grant::Kept(idle.upstream),
            Gift::Kept(idle) => Grant::Place(idle.upstream.into_permit()),
            Gift::Place(permit) => Grant::Place(permit),
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shelf.state.borrow_mut().waiting.retain(|other| !Rc::ptr_eq(other, &self.waiter));
        let gift = self.waiter.slot.borrow_mut().0.take();
        match gift {
            Some(Gift::Kept(idle)) => self.shelf.put(idle),
            Some(Gift::Place(permit)) => drop(permit),
            None => {}
        }
    }
}

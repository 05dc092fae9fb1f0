//! Idle upstream connections of one core, by origin, the last used first. A connection that closed, spoke unasked or
//! grew old is dropped when it is met.

use std::cell::RefCell;
use std::time::Instant;

use super::client::Upstream;
use crate::config::snapshot::Origin;

/// Idle connections kept for one origin; one more is closed.
pub const IDLE_MAX: usize = 1024;

struct Idle {
    upstream: Box<Upstream>,
    until: Instant,
}

struct Shelf {
    origin: Origin,
    idle: Vec<Idle>,
}

/// The pool.
#[derive(Default)]
pub struct Pool {
    shelves: RefCell<Vec<Shelf>>,
}

impl Pool {
    /// Takes the last used connection that is still open and silent.
    pub fn acquire(&self, origin: &Origin, now: Instant) -> Option<Box<Upstream>> {
        let mut shelves = self.shelves.borrow_mut();
        let shelf = shelves.iter_mut().find(|shelf| shelf.origin == *origin)?;
        while let Some(mut idle) = shelf.idle.pop() {
            if now < idle.until && idle.upstream.is_quiet() {
                return Some(idle.upstream);
            }
        }
        None
    }

    /// Puts a connection back, to be used until `until`.
    pub fn release(&self, origin: &Origin, mut upstream: Box<Upstream>, until: Instant) {
        upstream.rest();
        let mut shelves = self.shelves.borrow_mut();
        let idle = Idle { upstream, until };
        match shelves.iter_mut().find(|shelf| shelf.origin == *origin) {
            Some(shelf) if shelf.idle.len() < IDLE_MAX => shelf.idle.push(idle),
            Some(_) => {}
            None => shelves.push(Shelf { origin: origin.clone(), idle: vec![idle] }),
        }
    }

    /// Closes what grew old, and forgets origins without connections.
    pub fn sweep(&self, now: Instant) {
        let mut shelves = self.shelves.borrow_mut();
        for shelf in shelves.iter_mut() {
            shelf.idle.retain_mut(|idle| now < idle.until && idle.upstream.is_quiet());
        }
        shelves.retain(|shelf| !shelf.idle.is_empty());
    }

    /// Connections at rest.
    pub fn idle_count(&self) -> usize {
        self.shelves.borrow().iter().map(|shelf| shelf.idle.len()).sum()
    }
}

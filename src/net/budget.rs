//! The byte budget that all bodies of a core share. Full means that a new body is refused, and one of
//! unknown length that outgrows what is left; one whose length was admitted is never cut for it.

use std::cell::Cell;
use std::rc::Rc;

use crate::error::{Error, Kind};

/// One core's budget.
#[derive(Clone, Debug)]
pub struct Budget {
    bytes_max: usize,
    held: Rc<Cell<usize>>,
}

impl Budget {
    /// A budget of `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, held: Rc::default() }
    }

    /// An empty hold, to be grown.
    pub fn hold(&self) -> Hold {
        Hold { budget: self.clone(), bytes: 0 }
    }

    /// Bytes held now.
    pub fn held_bytes(&self) -> usize {
        self.held.get()
    }
}

/// Bytes of the budget that one request holds; given back when dropped.
#[derive(Debug)]
pub struct Hold {
    budget: Budget,
    bytes: usize,
}

impl Hold {
    /// Bytes held now.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What it holds, as a hold of its own.
    pub fn take(&mut self) -> Self {
        Self { budget: self.budget.clone(), bytes: std::mem::take(&mut self.bytes) }
    }

    /// Holds `bytes` in all, more or less than now. Errors: the budget has not that much left; nothing
    /// changed.
    pub fn resize(&mut self, bytes: usize) -> Result<(), Error> {
        let others = self.budget.held.get() - self.bytes;
        let fits = others.checked_add(bytes).is_some_and(|sum| sum <= self.budget.bytes_max);
        if !fits {
            let message = "the bodies in flight use all of this core's memory budget; try again shortly";
            return Err(Error::new(Kind::Overloaded, message));
        }
        self.budget.held.set(others + bytes);
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.budget.held.set(self.budget.held.get() - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_one_past_the_limit_and_gives_back() {
        let budget = Budget::new(10);
        let mut first = budget.hold();
        assert!(first.resize(10).is_ok());
        let mut second = budget.hold();
        assert_eq!(second.resize(1).map_err(|error| error.kind), Err(Kind::Overloaded));
        assert!(first.resize(9).is_ok() && second.resize(1).is_ok());
        let taken = first.take();
        assert_eq!((first.bytes(), taken.bytes(), budget.held_bytes()), (0, 9, 10));
        drop(first);
        assert_eq!(budget.held_bytes(), 10);
        drop(taken);
        assert_eq!(budget.held_bytes(), 1);
    }
}

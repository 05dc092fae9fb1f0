//! What is still to come of a request's body while its beginning goes up: pieces that one future reads from the caller, and
//! another writes to the provider, both of one task and polled one behind the other, so that neither is woken by the other. It
//! holds two pieces.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use super::portion::Portion;

/// Pieces that may wait, beside the one that is written.
const PIECES_MAX: usize = 2;

/// See the module.
#[derive(Default)]
pub struct Feed {
    pieces: RefCell<VecDeque<Portion>>,
    /// Nothing more comes.
    is_closed: Cell<bool>,
    taken: Cell<u64>,
}

impl Feed {
    /// One of which nothing has come.
    pub fn new() -> Rc<Self> {
        Rc::default()
    }

    /// Whether another piece may be put in.
    pub fn has_room(&self) -> bool {
        self.pieces.borrow().len() < PIECES_MAX
    }

    /// Puts a piece in, as it is written.
    pub fn put(&self, piece: Vec<u8>) {
        if !piece.is_empty() {
            self.pieces.borrow_mut().push_back(piece.into());
        }
    }

    /// The last piece was put in.
    pub fn close(&self) {
        self.is_closed.set(true);
    }

    /// How many pieces were taken: once one was, the request cannot be sent again.
    pub fn taken(&self) -> u64 {
        self.taken.get()
    }

    /// Whether all is taken, and nothing more comes.
    pub fn is_done(&self) -> bool {
        self.is_closed.get() && self.pieces.borrow().is_empty()
    }

    pub(super) fn take(&self) -> Option<Portion> {
        let piece = self.pieces.borrow_mut().pop_front()?;
        self.taken.set(self.taken.get() + 1);
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_two_pieces_and_is_done_when_it_is_closed_and_empty() {
        let feed = Feed::new();
        feed.put(Vec::new());
        feed.put(b"a".to_vec());
        assert!(feed.has_room());
        feed.put(b"b".to_vec());
        assert!(!feed.has_room() && feed.taken() == 0);
        feed.close();
        assert_eq!(feed.take().unwrap().bytes(), b"a");
        assert!(feed.has_room() && !feed.is_done());
        assert_eq!(feed.take().unwrap().bytes(), b"b");
        assert!(feed.take().is_none() && feed.is_done() && feed.taken() == 2);
    }
}

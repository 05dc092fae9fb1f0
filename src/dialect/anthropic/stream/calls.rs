//! Calls that a provider tells several of at once, for a dialect that has one block after the other: the first is told as it
//! comes, the others wait until its arguments are whole. One whose arguments were whole before the next began, as OpenAI
//! sends them, never has another wait.

use crate::dialect::whole::{Whole, is_blank};
use crate::error::{Error, Kind};

/// Most bytes of calls that wait in one stream, names and ids included. An answer of 128 Ki tokens is smaller.
const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// The calls of one stream, as far as they are not told.
#[derive(Default)]
pub(super) struct Calls {
    /// The one that is told: which of the answer, and how far it is.
    told: Option<(u32, Whole)>,
    /// In the order in which they began; none where the one that is told is whole.
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
}

/// A call that waits, and what it has said.
pub(super) struct Waiting {
    pub(super) index: u32,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) json: String,
}

/// What to do with more of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    Tell,
    Nothing,
}

impl Calls {
    /// A call begins. Errors: too much waits.
    pub(super) fn begin(&mut self, index: u32, [id, name]: [&str; 2]) -> Result<Then, Error> {
        if self.told.is_some_and(|(_, whole)| !whole.is_done()) {
            let (id, name) = (id.to_owned(), name.to_owned());
            let bytes = id.len().saturating_add(name.len());
            self.waiting.push(Waiting { index, id, name, json: String::new() });
            return self.wait(bytes);
        }
        self.told = Some((index, Whole::default()));
        Ok(Then::Tell)
    }

    /// More arguments of one. Errors: too much waits, or its block is closed.
    pub(super) fn more(&mut self, index: u32, json: &str) -> Result<Then, Error> {
        if let Some((_, whole)) = self.told.as_mut().filter(|(told, _)| *told == index) {
            whole.push(json);
            return Ok(Then::Tell);
        }
        match self.waiting.iter_mut().find(|waiting| waiting.index == index) {
            Some(waiting) => {
                waiting.json.push_str(json);
                self.wait(json.len())
            }
            None if is_blank(json) => Ok(Then::Nothing),
            None => Err(left()),
        }
    }

    fn wait(&mut self, bytes: usize) -> Result<Then, Error> {
        self.waiting_bytes = self.waiting_bytes.saturating_add(bytes);
        if self.waiting_bytes > WAITING_BYTES_MAX { Err(too_many()) } else { Ok(Then::Nothing) }
    }

    /// The next call to be told, if one waits and the one before is whole; with `is_last_word` also if it is not.
    pub(super) fn next(&mut self, is_last_word: bool) -> Option<Waiting> {
        let is_due = is_last_word || self.told.is_some_and(|(_, whole)| whole.is_done());
        if !is_due || self.waiting.is_empty() {
            return None;
        }
        let next = self.waiting.remove(0);
        let bytes = next.id.len().saturating_add(next.name.len()).saturating_add(next.json.len());
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        let mut whole = Whole::default();
        whole.push(&next.json);
        self.told = Some((next.index, whole));
        Some(next)
    }

    /// Something else follows, so that no call can go on.
    pub(super) fn leave(&mut self) {
        self.told = None;
    }
}

fn left() -> Error {
    let message = "the provider's stream goes back to a tool call that it had left; ask for the whole answer";
    Error::new(Kind::UpstreamInvalidResponse, message)
}

fn too_many() -> Error {
    let message = format!(
        "the provider's stream tells several tool calls at once, and of those that must wait more than {} MiB; ask for the whole answer",
        WAITING_BYTES_MAX >> 20
    );
    Error::new(Kind::UpstreamInvalidResponse, message)
}

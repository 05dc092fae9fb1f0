//! The way of a record from its core to the log thread: one bounded queue per core, in records and in bytes. A push
//! never waits. It is not kept over a restart.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::record::Record;

/// Records in one core's ring: at 10 ms between two looks of the log thread, 800,000 a second.
pub const RECORDS_MAX: usize = 8192;

/// Bytes that the records in one core's ring hold together; beyond it records come without bodies. What the rows
/// themselves may then add is `RECORDS_MAX` × about 6 KiB at worst.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;

/// What became of a pushed record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// Queued as it was.
    Queued,
    /// Queued without its bodies, marked as truncated: the byte bound was reached.
    QueuedWithoutContent,
    /// The ring is full: the record is gone.
    Refused,
}

/// The core's end.
#[derive(Debug)]
pub struct Producer {
    queue: RefCell<rtrb::Producer<Box<Record>>>,
    pushed_bytes: Cell<usize>,
    /// As last read of `taken_bytes`; read again only when the bound seems reached.
    taken_bytes_seen: Cell<usize>,
    taken_bytes: Arc<AtomicUsize>,
}

/// The log thread's end.
#[derive(Debug)]
pub struct Consumer {
    queue: rtrb::Consumer<Box<Record>>,
    taken: usize,
    /// Counts up and wraps; written here alone.
    taken_bytes: Arc<AtomicUsize>,
}

/// One core's ring.
pub fn ring() -> (Producer, Consumer) {
    let (producer, consumer) = rtrb::RingBuffer::new(RECORDS_MAX);
    let taken_bytes = Arc::new(AtomicUsize::new(0));
    let producer = Producer {
        queue: RefCell::new(producer),
        pushed_bytes: Cell::new(0),
        taken_bytes_seen: Cell::new(0),
        taken_bytes: Arc::clone(&taken_bytes),
    };
    (producer, Consumer { queue: consumer, taken: 0, taken_bytes })
}

impl Producer {
    /// Hands the record over, without its bodies when they don't fit; never waits.
    pub fn push(&self, record: Record) -> PushOutcome {
        let mut record = Box::new(record);
        record.clip_texts();
        let fits = self.fits(record.bytes());
        if !fits {
            record.drop_content();
        }
        let bytes = record.bytes();
        if self.queue.borrow_mut().push(record).is_err() {
            return PushOutcome::Refused;
        }
        self.pushed_bytes.set(self.pushed_bytes.get().wrapping_add(bytes));
        if fits { PushOutcome::Queued } else { PushOutcome::QueuedWithoutContent }
    }

    fn fits(&self, bytes: usize) -> bool {
        let held_after =
            || self.pushed_bytes.get().wrapping_sub(self.taken_bytes_seen.get()).saturating_add(bytes);
        if held_after() <= BYTES_MAX {
            return true;
        }
        self.taken_bytes_seen.set(self.taken_bytes.load(Ordering::Relaxed));
        held_after() <= BYTES_MAX
    }
}

impl Consumer {
    /// The oldest record, if there is one.
    pub fn pop(&mut self) -> Option<Box<Record>> {
        let record = self.queue.pop().ok()?;
        self.taken = self.taken.wrapping_add(record.bytes());
        self.taken_bytes.store(self.taken, Ordering::Relaxed);
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::record::tests::record;

    #[test]
    fn the_last_slot_takes_a_record_and_the_next_is_refused() {
        let (producer, mut consumer) = ring();
        for _ in 0..RECORDS_MAX {
            assert_eq!(producer.push(record()), PushOutcome::Queued);
        }
        assert_eq!(producer.push(record()), PushOutcome::Refused);
        assert!(consumer.pop().is_some());
        assert_eq!(producer.push(record()), PushOutcome::Queued);
    }

    #[test]
    fn the_byte_bound_is_met_exactly_and_one_past_it_drops_the_bodies() {
        let (producer, mut consumer) = ring();
        let mut filler = record();
        let bare = filler.bytes();
        filler.input = Some(vec![b'x'; BYTES_MAX - 2 * bare]);
        assert_eq!(producer.push(filler), PushOutcome::Queued);
        let mut over = record();
        over.input = Some(vec![b'x'; 1]);
        assert_eq!(producer.push(over), PushOutcome::QueuedWithoutContent);
        assert_eq!(consumer.pop().map(|record| record.content_truncated), Some(false));
        let bare_record = consumer.pop().unwrap();
        assert!(bare_record.content_truncated && bare_record.input.is_none());
        let mut fits_again = record();
        fits_again.input = Some(vec![b'x'; BYTES_MAX - bare]);
        assert_eq!(producer.push(fits_again), PushOutcome::Queued);
    }

    #[test]
    fn a_long_text_is_clipped_at_a_character() {
        let (producer, mut consumer) = ring();
        let mut long = record();
        long.model = "é".repeat(10_000);
        producer.push(long);
        let model = consumer.pop().unwrap().model;
        assert_eq!(model.len(), 256);
    }
}

//! The store's thread: makes rows of a batch's records and sees them into the store, however long that takes. A row
//! that the store refuses is set aside alone. It keeps nothing beyond its one batch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use super::record::Record;
use super::row::Row;
use super::store::{Store, StoreError};
use super::writer::{Gauges, Message, count};

/// Records that are written together.
pub(super) type Batch = Vec<Box<Record>>;

/// First wait after a failed write; doubled with each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// Longest wait.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// The thread's state.
pub(super) struct Flusher {
    store: Box<dyn Store>,
    node: Arc<str>,
    gauges: Arc<Gauges>,
    messages: Sender<Message>,
}

/// The log plane is ending, and what is not written stays so.
struct Ended;

impl Flusher {
    pub(super) fn new(
        store: Box<dyn Store>,
        node: String,
        gauges: Arc<Gauges>,
        messages: Sender<Message>,
    ) -> Self {
        Self { store, node: node.into(), gauges, messages }
    }

    /// Writes batches until the log thread drops its end.
    pub(super) fn run(mut self, work: &Receiver<Batch>) {
        while let Ok(batch) = work.recv() {
            let rows = self.rows(batch);
            if self.write(&rows, work).is_err() || self.messages.send(Message::BatchEnded).is_err() {
                return;
            }
        }
    }

    /// A record that makes us panic costs itself.
    fn rows(&self, batch: Batch) -> Vec<Row> {
        let row = |record: Box<Record>| {
            let id = record.id;
            let row = catch_unwind(AssertUnwindSafe(|| Row::new(*record, &self.node)));
            if row.is_err() {
                count(&self.gauges.refused, 1);
                tracing::error!(%id, "a panic while making a log row; the row is lost");
            }
            row.ok()
        };
        batch.into_iter().filter_map(row).collect()
    }

    /// Halves what the store refuses until the refused row stands alone.
    fn write(&mut self, rows: &[Row], work: &Receiver<Batch>) -> Result<(), Ended> {
        let mut parts = vec![rows];
        let mut refused = 0;
        while let Some(part) = parts.pop().filter(|part| !part.is_empty()) {
            match self.write_part(part, work)? {
                Ok(()) => count(&self.gauges.written, part.len()),
                Err(_) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(reason) => {
                    count(&self.gauges.refused, 1);
                    refused += 1;
                    if refused == 1 {
                        tracing::error!(id = %part.first().map_or_else(Default::default, |row| row.id), reason, "the store refused a log row; it is set aside");
                    }
                }
            }
        }
        Ok(())
    }

    /// Tries until the store took the rows or refused them for what they hold.
    fn write_part(&mut self, rows: &[Row], work: &Receiver<Batch>) -> Result<Result<(), String>, Ended> {
        let mut backoff = BACKOFF_MIN;
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.store.write(rows))) {
                Ok(Ok(())) => {
                    self.is_up();
                    return Ok(Ok(()));
                }
                Ok(Err(StoreError::Row(reason))) => return Ok(Err(reason)),
                Ok(Err(StoreError::Unavailable(reason))) => self.is_down(&reason),
                Err(_) => self.is_down("a panic in the store"),
            }
            // Between half and all of the wait, so that nodes don't come back in step.
            match work.recv_timeout(backoff.mul_f64(0.5 + fastrand::f64() / 2.0)) {
                Err(RecvTimeoutError::Disconnected) => return Err(Ended),
                // No batch comes before this one is done.
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    fn is_up(&self) {
        if !self.gauges.is_up.swap(true, Ordering::Relaxed) {
            tracing::info!("the log store takes rows again");
        }
    }

    fn is_down(&self, reason: &str) {
        count(&self.gauges.failures, 1);
        if self.gauges.is_up.swap(false, Ordering::Relaxed) {
            tracing::warn!(reason, "the log store takes no rows; they are kept and written when it does");
        }
    }
}

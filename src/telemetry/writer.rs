//! The log plane: a thread that empties the cores' rings into a bounded backlog and cuts it into batches, and behind it
//! the store's own thread (`flusher`), so that a store that hangs never keeps a ring from being emptied. The journal
//! will stand where the backlog is. It knows no database.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::flusher::{Batch, Flusher};
use super::record::Record;
use super::ring::{self, Consumer};
use super::store::StoreState;

/// Between two looks at the rings. A look costs some ns a ring; a core is never woken for it, nor wakes us.
const POLL: Duration = Duration::from_millis(10);

/// Longest that rows are waited for when the handle is dropped without a `finish`.
const ABANDONED_TIMEOUT: Duration = Duration::from_secs(1);

/// Between two lines that say that records are being dropped.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// How the log plane works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node's name in each row.
    pub node: String,
    /// Most rows in a batch.
    pub batch_rows_max: usize,
    /// A batch is closed at this size, bytes of memory of its records.
    pub batch_bytes_max: usize,
    /// A record waits at most this long for its batch to fill.
    pub batch_interval: Duration,
    /// Records kept for a store that takes none, bytes; new ones are then dropped and counted.
    pub backlog_bytes_max: usize,
}

impl Settings {
    /// 1,000 rows, 4 MiB, 500 ms; 64 MiB kept.
    pub fn new(node: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            batch_rows_max: 1000,
            batch_bytes_max: 4 * 1024 * 1024,
            batch_interval: Duration::from_millis(500),
            backlog_bytes_max: 64 * 1024 * 1024,
        }
    }
}

/// Where the log plane stands. Counts are since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogGauges {
    /// Whether there is a log plane at all.
    pub has_store: bool,
    /// Whether the store took what it was last asked to take.
    pub is_up: bool,
    /// Records taken out of the rings.
    pub taken: u64,
    /// Records now kept for the store.
    pub kept: u64,
    /// Memory of these, bytes.
    pub kept_bytes: u64,
    /// Records that the store has.
    pub written: u64,
    /// Records dropped because `backlog_bytes_max` was reached.
    pub dropped_backlog_full: u64,
    /// Records that the store refused for what they hold.
    pub dropped_store_refused: u64,
    /// Records that the store had not taken when the deadline of `finish` passed.
    pub dropped_shutdown: u64,
    /// Writes that failed because the store was not there.
    pub failures: u64,
}

/// The gauges as they are shared; each has one writing thread.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    pub(super) is_up: AtomicBool,
    pub(super) written: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) failures: AtomicU64,
    taken: AtomicU64,
    kept: AtomicU64,
    kept_bytes: AtomicU64,
    dropped_backlog_full: AtomicU64,
    dropped_shutdown: AtomicU64,
}

/// Adds to a gauge that only this thread writes.
pub(super) fn count(gauge: &AtomicU64, more: usize) {
    gauge.store(gauge.load(Ordering::Relaxed).wrapping_add(more as u64), Ordering::Relaxed);
}

/// The log plane's start.
#[derive(Debug)]
pub struct Log;

/// A running log plane.
#[derive(Debug)]
pub struct Handle {
    messages: Sender<Message>,
    gauges: Arc<Gauges>,
    thread: Option<JoinHandle<()>>,
}

/// What the log thread is told.
pub(super) enum Message {
    /// Write everything, until then.
    Finish(Instant),
    /// The store's thread is done with its batch.
    BatchEnded,
}

impl Log {
    /// Starts the threads `corelane-log` and `corelane-store`. Fails only when the system gives no thread.
    pub fn start(settings: Settings, store: StoreState, consumers: Vec<Consumer>) -> io::Result<Handle> {
        let gauges = Arc::new(Gauges::default());
        gauges.is_up.store(store.unreachable().is_none(), Ordering::Relaxed);
        let (messages, inbox) = mpsc::channel();
        let (batches, work) = mpsc::sync_channel(1);
        let flusher =
            Flusher::new(store.into_store(), settings.node.clone(), Arc::clone(&gauges), messages.clone());
        let flusher =
            thread::Builder::new().name("corelane-store".to_owned()).spawn(move || flusher.run(&work))?;
        let taker = Taker::new(settings, consumers, batches, Arc::clone(&gauges));
        let thread = thread::Builder::new()
            .name("corelane-log".to_owned())
            .spawn(move || taker.run(&inbox, flusher))?;
        Ok(Handle { messages, gauges, thread: Some(thread) })
    }
}

impl Handle {
    /// Where it stands now; for `/metrics`, from any thread.
    pub fn gauges(&self) -> LogGauges {
        self.gauges.read()
    }

    /// Empties the rings, writes what is kept and ends the threads; blocks until that is done or the deadline passed.
    /// Cores push nothing any more when this is called. Gives the final counts.
    pub fn finish(mut self, deadline: Instant) -> LogGauges {
        // A log thread that is gone has nothing left to be told.
        let _ = self.messages.send(Message::Finish(deadline));
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the log thread ended by a panic; its records are lost");
        }
        self.gauges.read()
    }
}

impl Drop for Handle {
    /// Without `finish`: the threads write what they can for a moment and end by themselves.
    fn drop(&mut self) {
        let _ = self.messages.send(Message::Finish(Instant::now() + ABANDONED_TIMEOUT));
    }
}

impl Gauges {
    fn read(&self) -> LogGauges {
        let number = |gauge: &AtomicU64| gauge.load(Ordering::Relaxed);
        LogGauges {
            has_store: true,
            is_up: self.is_up.load(Ordering::Relaxed),
            taken: number(&self.taken),
            kept: number(&self.kept),
            kept_bytes: number(&self.kept_bytes),
            written: number(&self.written),
            dropped_backlog_full: number(&self.dropped_backlog_full),
            dropped_store_refused: number(&self.refused),
            dropped_shutdown: number(&self.dropped_shutdown),
            failures: number(&self.failures),
        }
    }
}

/// The log thread's state.
struct Taker {
    settings: Settings,
    consumers: Vec<Consumer>,
    batches: SyncSender<Batch>,
    gauges: Arc<Gauges>,
    backlog: VecDeque<Box<Record>>,
    backlog_bytes: usize,
    /// When the oldest of `backlog` came.
    waiting_since: Option<Instant>,
    /// The batch that the store's thread has: records and bytes.
    in_flight: Option<(usize, usize)>,
    complained: Option<Instant>,
}

impl Taker {
    fn new(
        settings: Settings,
        consumers: Vec<Consumer>,
        batches: SyncSender<Batch>,
        gauges: Arc<Gauges>,
    ) -> Self {
        Self {
            settings,
            consumers,
            batches,
            gauges,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            waiting_since: None,
            in_flight: None,
            complained: None,
        }
    }

    fn run(mut self, inbox: &Receiver<Message>, flusher: JoinHandle<()>) {
        let mut finish: Option<Instant> = None;
        loop {
            match inbox.recv_timeout(POLL) {
                Ok(Message::Finish(deadline)) => finish = Some(deadline),
                Ok(Message::BatchEnded) => self.in_flight = None,
                Err(RecvTimeoutError::Timeout) => {}
                // The handle was dropped without a `finish`, and the store's thread has ended by a panic: those two hold
                // the senders. Nobody waits for us, and nothing can be written any more.
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = Instant::now();
            self.take(now);
            if self.is_due(now, finish.is_some()) {
                self.send_batch(now);
            }
            self.publish();
            let is_empty = self.backlog.is_empty() && self.in_flight.is_none();
            if finish.is_some_and(|deadline| is_empty || now >= deadline) {
                break;
            }
        }
        self.end(flusher);
    }

    /// Empties the rings, each at most once over, so that no core can keep us here.
    fn take(&mut self, now: Instant) {
        let (mut taken, mut dropped) = (0, 0);
        let in_flight_bytes = self.in_flight.map_or(0, |(_, bytes)| bytes);
        for consumer in &mut self.consumers {
            for record in std::iter::from_fn(|| consumer.pop()).take(ring::RECORDS_MAX) {
                taken += 1;
                let bytes = record.bytes();
                if self.backlog_bytes + in_flight_bytes + bytes > self.settings.backlog_bytes_max {
                    dropped += 1;
                    continue;
                }
                self.backlog_bytes += bytes;
                self.backlog.push_back(record);
            }
        }
        if !self.backlog.is_empty() {
            self.waiting_since.get_or_insert(now);
        }
        count(&self.gauges.taken, taken);
        count(&self.gauges.dropped_backlog_full, dropped);
        if dropped > 0 {
            self.complain(now);
        }
    }

    fn complain(&mut self, now: Instant) {
        if self.complained.is_none_or(|before| now.duration_since(before) >= COMPLAINT_INTERVAL) {
            self.complained = Some(now);
            let dropped = self.gauges.dropped_backlog_full.load(Ordering::Relaxed);
            tracing::error!(
                dropped,
                kept_bytes_max = self.settings.backlog_bytes_max,
                "log rows are being dropped: the store takes none and no more are kept"
            );
        }
    }

    fn is_due(&self, now: Instant, finishing: bool) -> bool {
        let is_free = self.in_flight.is_none() && !self.backlog.is_empty();
        let is_full = self.backlog.len() >= self.settings.batch_rows_max
            || self.backlog_bytes >= self.settings.batch_bytes_max;
        let is_old =
            self.waiting_since.is_some_and(|since| now.duration_since(since) >= self.settings.batch_interval);
        is_free && (is_full || is_old || finishing)
    }

    fn send_batch(&mut self, now: Instant) {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < self.settings.batch_rows_max && bytes < self.settings.batch_bytes_max {
            let Some(record) = self.backlog.pop_front() else { break };
            bytes += record.bytes();
            batch.push(record);
        }
        self.backlog_bytes -= bytes;
        self.waiting_since = if self.backlog.is_empty() { None } else { Some(now) };
        self.in_flight = Some((batch.len(), bytes));
        // The channel has room for one and none is in it; a flusher that is gone leaves the batch counted as kept.
        let _ = self.batches.try_send(batch);
    }

    fn publish(&self) {
        let (records, bytes) = self.in_flight.unwrap_or_default();
        self.gauges.kept.store((self.backlog.len() + records) as u64, Ordering::Relaxed);
        self.gauges.kept_bytes.store((self.backlog_bytes + bytes) as u64, Ordering::Relaxed);
    }

    /// What is left is lost, and counted. A store's thread that hangs in a write is left to the process's end.
    fn end(self, flusher: JoinHandle<()>) {
        let Self { batches, gauges, backlog, in_flight, .. } = self;
        let lost = backlog.len() + in_flight.map_or(0, |(records, _)| records);
        count(&gauges.dropped_shutdown, lost);
        if lost > 0 {
            tracing::error!(
                lost,
                "log rows were not written: the store did not take them before the deadline"
            );
        }
        gauges.kept.store(0, Ordering::Relaxed);
        gauges.kept_bytes.store(0, Ordering::Relaxed);
        drop(batches);
        if in_flight.is_none() && flusher.join().is_err() {
            tracing::error!("the store's thread ended by a panic");
        }
    }
}

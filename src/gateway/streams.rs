//! One core's register of the streams that it serves now, for an operator who asks. A stream costs one entry at its
//! start and a count for each event; whole answers cost nothing. It decides nothing, and keeps nothing of what has ended.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use uuid::Uuid;

use super::exchange::Exchange;
use super::{LiveStream, LiveStreams, Shared};
use crate::config::snapshot::{KeyId, ProviderId};

/// Streams that one core lists: what it takes to list them is kept from its requests. The rest is counted.
pub const STREAMS_LISTED_MAX: usize = 10_000;

/// The register.
#[derive(Default)]
pub struct Streams {
    /// `None` where its index is in `free`.
    entries: RefCell<Vec<Option<Rc<Entry>>>>,
    free: RefCell<Vec<usize>>,
}

/// What is known of a stream; its names stand in its snapshot.
struct Entry {
    id: Uuid,
    snapshot: Shared,
    provider: Option<ProviderId>,
    key: Option<KeyId>,
    model: Box<str>,
    began: Instant,
    events: Cell<u64>,
}

/// A stream's place in the register, until it is dropped.
pub(super) struct Listed {
    streams: Rc<Streams>,
    index: usize,
    entry: Rc<Entry>,
}

impl Streams {
    /// Enters the stream that `exchange` serves.
    pub(super) fn enter(self: &Rc<Self>, exchange: &Exchange<'_>) -> Listed {
        self.insert(Entry {
            id: exchange.id,
            snapshot: Rc::clone(&exchange.snapshot),
            provider: exchange.provider,
            key: exchange.key,
            model: exchange.model.as_str().into(),
            began: exchange.began(),
            events: Cell::new(0),
        })
    }

    fn insert(self: &Rc<Self>, entry: Entry) -> Listed {
        let entry = Rc::new(entry);
        let mut entries = self.entries.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or(entries.len());
        match entries.get_mut(index) {
            Some(slot) => *slot = Some(Rc::clone(&entry)),
            None => entries.push(Some(Rc::clone(&entry))),
        }
        Listed { streams: Rc::clone(self), index, entry }
    }

    /// Streams under way.
    pub fn count(&self) -> u64 {
        (self.entries.borrow().len() - self.free.borrow().len()) as u64
    }

    /// Those under way at `now`, at most [`STREAMS_LISTED_MAX`] of them, in no order; `core` is this one's number.
    pub fn list(&self, core: u16, now: Instant) -> LiveStreams {
        let entries = self.entries.borrow();
        let live = entries.iter().flatten().take(STREAMS_LISTED_MAX);
        let streams: Vec<LiveStream> = live.map(|entry| entry.describe(core, now)).collect();
        LiveStreams { left_out: self.count() - streams.len() as u64, streams }
    }
}

impl Entry {
    fn describe(&self, core: u16, now: Instant) -> LiveStream {
        let provider = self.provider.and_then(|id| self.snapshot.providers.get(usize::from(id.0)));
        let key = provider.zip(self.key).and_then(|(provider, id)| provider.keys.get(usize::from(id.0)));
        let age_ms = now.saturating_duration_since(self.began).as_millis();
        LiveStream {
            core,
            id: self.id.to_string(),
            provider: provider.map(|provider| provider.name.clone()).unwrap_or_default(),
            key: key.map(|key| key.name.clone()).unwrap_or_default(),
            model: self.model.to_string(),
            generation: self.snapshot.generation,
            age_ms: u64::try_from(age_ms).unwrap_or(u64::MAX),
            events: self.events.get(),
        }
    }
}

impl Listed {
    /// Counts events that go on to the caller.
    pub(super) fn passed(&self, events: u64) {
        self.entry.events.set(self.entry.events.get() + events);
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        if let Some(slot) = self.streams.entries.borrow_mut().get_mut(self.index) {
            *slot = None;
            self.streams.free.borrow_mut().push(self.index);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config;
    use crate::config::snapshot::Snapshot;

    fn snapshot() -> Shared {
        let file = br#"{"providers":{"openai":{"keys":[{"name":"first","value":"env.K","models":["m"],"weight":1}]}}}"#;
        let environment = |_: &str| Some("secret".to_owned());
        let mut snapshot: Snapshot = config::load(file, "config.json", &environment).unwrap().snapshot;
        snapshot.generation = 7;
        Rc::new(snapshot)
    }

    fn entry(snapshot: &Shared, began: Instant) -> Entry {
        Entry {
            id: Uuid::from_u128(1),
            snapshot: Rc::clone(snapshot),
            provider: Some(ProviderId(0)),
            key: Some(KeyId(0)),
            model: "m".into(),
            began,
            events: Cell::new(0),
        }
    }

    #[test]
    fn a_stream_is_listed_while_it_runs() {
        let (streams, snapshot, began) = (Rc::new(Streams::default()), snapshot(), Instant::now());
        let listed = streams.insert(entry(&snapshot, began));
        listed.passed(1);
        listed.passed(1);
        let expected = LiveStream {
            core: 4,
            id: Uuid::from_u128(1).to_string(),
            provider: "openai".to_owned(),
            key: "first".to_owned(),
            model: "m".to_owned(),
            generation: 7,
            age_ms: 1500,
            events: 2,
        };
        let at = began + Duration::from_millis(1500);
        assert_eq!(streams.list(4, at), LiveStreams { streams: vec![expected], left_out: 0 });
        drop(listed);
        assert_eq!((streams.list(4, at), streams.count()), (LiveStreams::default(), 0));
        assert_eq!(Rc::strong_count(&snapshot), 1, "no snapshot is held for what has ended");
    }

    #[test]
    fn places_are_used_again_and_what_is_not_listed_is_counted() {
        let (streams, snapshot, began) = (Rc::new(Streams::default()), snapshot(), Instant::now());
        let many = || (0..STREAMS_LISTED_MAX + 3).map(|_| streams.insert(entry(&snapshot, began))).collect();
        let first: Vec<Listed> = many();
        drop(first);
        let second: Vec<Listed> = many();
        assert_eq!(streams.entries.borrow().len(), STREAMS_LISTED_MAX + 3);
        assert_eq!(streams.count(), STREAMS_LISTED_MAX as u64 + 3);
        let listed = streams.list(0, began);
        assert_eq!((listed.streams.len(), listed.left_out), (STREAMS_LISTED_MAX, 3));
        drop(second);
        assert_eq!(streams.count(), 0);
    }
}

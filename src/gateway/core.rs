//! What one core owns: its snapshot, its sockets, its counters, its way to the log. Nothing in it is shared with another
//! thread but the count of its connections, and the places with a provider that limits them.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;

use jiff::Timestamp;
use rustls::ServerConfig;
use uuid::Uuid;

use super::own_fields::node_field;
use super::{Adopted, ModelsCache, Neighbours, Shared, Streams};
use crate::config::snapshot::Snapshot;
use crate::dialect::{file_ids, foreign};
use crate::http::encode;
use crate::net::Net;
use crate::net::places::Places;
use crate::net::spread::Seat;
use crate::net::tokens::Tokens;
use crate::routing::view::View;
use crate::telemetry::cells::Cells;
use crate::telemetry::ring::Producer;

/// What a node says of itself in answers.
#[derive(Clone, Debug)]
pub struct Facts {
    /// This program's version.
    pub version: &'static str,
    /// The node's name: its host name.
    pub node: String,
}

/// One core.
pub struct Core {
    /// Its number, from 0.
    pub index: u16,
    /// Who we are.
    pub facts: Facts,
    /// Sockets.
    pub net: Net,
    /// Counters.
    pub cells: Rc<Cells>,
    /// Lists that providers gave.
    pub models: ModelsCache,
    /// Streams under way.
    pub streams: Rc<Streams>,
    /// What it has in common with the other cores.
    pub neighbours: Neighbours,
    /// Places with providers that limit them.
    pub places: Places,
    /// What was fetched for keys.
    pub tokens: Tokens,
    /// Looks for what a body must not bring along.
    pub(super) marks: foreign::Search,
    /// Looks for files that a body names.
    pub(super) files: file_ids::Search,
    node_field: Box<[u8]>,
    log: Option<Producer>,
    /// With what this core knows of the health of its keys and origins.
    snapshot: RefCell<(Shared, Rc<View>)>,
    loaded_at: Cell<Timestamp>,
    /// Snapshots before this one that a request may still hold.
    older: RefCell<Vec<Weak<Snapshot>>>,
    certificates: RefCell<Option<Arc<ServerConfig>>>,
    random: RefCell<fastrand::Rng>,
    /// The last second that an answer was dated with, and how it is written.
    date: RefCell<(i64, String)>,
    draining: Cell<bool>,
    cut: Cell<bool>,
    /// Of every open connection's task, to be woken by a drain; `None` before its task ran, and when its
    /// index is in `free`.
    wakers: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
}

impl Core {
    /// A core that serves what it adopted; `log` is absent when no row is written.
    pub fn new(
        index: u16,
        facts: Facts,
        Adopted { snapshot, clients, loaded_at }: Adopted,
        net: Net,
        neighbours: Neighbours,
        log: Option<Producer>,
    ) -> Self {
        net.adopt(clients);
        let view = View::new(&snapshot);
        let places = Places::new(index, Arc::clone(&neighbours.places), &snapshot);
        Self {
            index,
            node_field: node_field(&facts.node),
            facts,
            net,
            cells: Rc::new(Cells::new(index)),
            models: ModelsCache::default(),
            streams: Rc::default(),
            neighbours,
            places,
            marks: foreign::Search::default(),
            files: file_ids::Search::default(),
            tokens: Tokens::default(),
            log,
            snapshot: RefCell::new((Rc::new(snapshot), Rc::new(view))),
            loaded_at: Cell::new(loaded_at),
            older: RefCell::default(),
            certificates: RefCell::default(),
            random: RefCell::new(fastrand::Rng::new()),
            date: RefCell::default(),
            draining: Cell::new(false),
            cut: Cell::new(false),
            wakers: RefCell::default(),
            free: RefCell::default(),
        }
    }

    /// The snapshot of now; a request keeps the one that it began with.
    pub fn snapshot(&self) -> Shared {
        Rc::clone(&self.snapshot.borrow().0)
    }

    /// The snapshot of now, and the health of what is in it.
    pub(super) fn moment(&self) -> (Shared, Rc<View>) {
        self.snapshot.borrow().clone()
    }

    /// The health of what is in the snapshot of now.
    pub fn health(&self) -> Rc<View> {
        Rc::clone(&self.snapshot.borrow().1)
    }

    /// When the snapshot of now was read.
    pub fn loaded_at(&self) -> Timestamp {
        self.loaded_at.get()
    }

    /// Connections that this core serves at most.
    pub fn seats_max(&self) -> u32 {
        u32::try_from(self.snapshot.borrow().0.server.connections_per_core_max).unwrap_or(u32::MAX)
    }

    /// Requests that come from now on are served by this; those that run keep theirs. Closes nothing, cannot fail.
    pub fn adopt(&self, Adopted { snapshot, clients, loaded_at }: Adopted) {
        let view = View::succeed(&snapshot, &self.health());
        self.places.adopt(&snapshot);
        let (older, _) = self.snapshot.replace((Rc::new(snapshot), Rc::new(view)));
        self.older.borrow_mut().push(Rc::downgrade(&older));
        drop(older);
        self.loaded_at.set(loaded_at);
        self.net.adopt(clients);
        self.forget_older();
    }

    /// Drops what is kept for snapshots that no request holds any more; how many are still held. There are no more of them
    /// than requests under way.
    pub fn forget_older(&self) -> usize {
        let mut older = self.older.borrow_mut();
        older.retain(|snapshot| snapshot.strong_count() > 0);
        let held: Vec<Shared> = older.iter().filter_map(Weak::upgrade).collect();
        self.net.forget(&held);
        held.len()
    }

    /// What callers shake hands by; `None`: the listener is plain.
    pub fn certificates(&self) -> Option<Arc<ServerConfig>> {
        self.certificates.borrow().clone()
    }

    /// Callers that come from now on shake hands by this.
    pub fn certify(&self, certificates: Arc<ServerConfig>) {
        *self.certificates.borrow_mut() = Some(certificates);
    }

    /// Appends `date` (RFC 9110 §6.6.1), written anew once a second.
    pub(super) fn write_date(&self, out: &mut Vec<u8>, unix_s: i64) {
        let mut date = self.date.borrow_mut();
        if date.0 != unix_s {
            *date = (unix_s, encode::date(unix_s));
        }
        encode::field(out, "date", &date.1);
    }

    /// The header that names this node, with its end of line.
    pub(super) fn node_field(&self) -> &[u8] {
        &self.node_field
    }

    /// A number in [0, 1).
    pub fn chance(&self) -> f64 {
        self.random.borrow_mut().f64()
    }

    /// A UUIDv7 (RFC 9562 §5.7) for `unix_ms`, from this core's own generator.
    pub fn new_id(&self, unix_ms: u64) -> Uuid {
        let random = self.random.borrow_mut().u128(..).to_ne_bytes();
        let mut bytes = [0; 10];
        bytes.iter_mut().zip(random).for_each(|(to, from)| *to = from);
        uuid::Builder::from_unix_timestamp_millis(unix_ms, &bytes).into_uuid()
    }

    /// The way to the log.
    pub(super) fn log(&self) -> Option<&Producer> {
        self.log.as_ref()
    }

    /// Whether this core is draining: answers close their connections, idle ones end.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Begins the drain, and wakes every connection to see it. Other cores hand nothing to this one any more.
    pub fn drain(&self) {
        self.draining.set(true);
        self.neighbours.spread.close(usize::from(self.index));
        self.wake_all();
    }

    /// Connections that are open now, or on their way here from another core.
    pub fn open_connections(&self) -> u32 {
        self.neighbours.spread.seats(usize::from(self.index))
    }

    /// Whether every connection must end now, whatever it serves.
    pub fn is_cut(&self) -> bool {
        self.cut.get()
    }

    /// Ends every connection.
    pub fn cut(&self) {
        self.cut.set(true);
        self.wake_all();
    }

    fn wake_all(&self) {
        self.wakers.borrow().iter().flatten().for_each(Waker::wake_by_ref);
    }

    /// Counts a connection that has its place here, until what is returned is dropped.
    pub fn enrol(self: &Rc<Self>, seat: Seat) -> Enrolled {
        self.cells.connection_opened();
        let mut wakers = self.wakers.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or(wakers.len());
        match wakers.get_mut(index) {
            Some(slot) => *slot = None,
            None => wakers.push(None),
        }
        Enrolled { core: Rc::clone(self), index, _seat: seat }
    }
}

/// An open connection's entry; dropped, the connection counts as closed.
pub struct Enrolled {
    core: Rc<Core>,
    index: usize,
    _seat: Seat,
}

impl Enrolled {
    /// Names the connection's task, to be woken by a drain.
    pub fn wake_by(&self, waker: Waker) {
        if let Some(slot) = self.core.wakers.borrow_mut().get_mut(self.index) {
            *slot = Some(waker);
        }
    }
}

impl Drop for Enrolled {
    fn drop(&mut self) {
        if let Some(slot) = self.core.wakers.borrow_mut().get_mut(self.index) {
            *slot = None;
            self.core.free.borrow_mut().push(self.index);
        }
        self.core.cells.connection_closed();
    }
}

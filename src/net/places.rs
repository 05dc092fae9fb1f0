//! Places with a provider, where the config limits them: how a core takes one at once or waits for it in line with the other
//! cores. Who gets the next one is `queue`'s to say; what a request does without one, its caller's.

mod queue;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use crate::config::snapshot::Snapshot;
pub use queue::{Bell, Place, Queue};
use queue::{Entry, Waiter};

/// Requests of the node that may wait for one provider, whatever its `buffer_size`.
pub const WAITING_MAX: u32 = 100_000;

/// The queues of a node, one for each provider's name that ever had a limit: so a limit that is changed, or taken away and set
/// again, finds those who are under way. Shared by the cores, and looked into when a config is adopted, at no request.
pub struct Registry {
    bell: Bell,
    first: OnceLock<Box<Named>>,
}

/// One of a list that only grows.
struct Named {
    name: String,
    queue: Arc<Queue>,
    next: OnceLock<Box<Self>>,
}

/// One core's side.
pub struct Places {
    core: u16,
    registry: Arc<Registry>,
    /// Of the newest config; few.
    limited: RefCell<Vec<Limited>>,
    next_ticket: Cell<u64>,
    /// Requests of this core that wait, by ticket.
    slots: RefCell<HashMap<u64, Slot>>,
}

/// A provider with a limit.
struct Limited {
    provider: String,
    queue: Arc<Queue>,
}

/// A provider with a limit, on the whole node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The provider's name.
    pub provider: String,
    /// Places taken.
    pub taken: u32,
    /// Requests that wait.
    pub waiting: u32,
}

enum Slot {
    Waiting(Option<Waker>),
    Granted,
}

/// What becomes of a request that wants a place.
pub enum Entered<'a> {
    /// There is no limit.
    Free,
    /// It has one.
    Placed(Place),
    /// It waits in line.
    Waiting(Waiting<'a>),
    /// All places are taken, and as many wait as may.
    Full,
}

/// A request in line; resolves when it is its turn. Dropped, it leaves the line, and a place that it was granted meanwhile is
/// the next one's.
pub struct Waiting<'a> {
    places: &'a Places,
    queue: Arc<Queue>,
    order: u64,
    ticket: u64,
    is_placed: bool,
}

impl Registry {
    /// Without a queue yet. `bell` tells a core that a ticket of its own was granted: it must not lose one, nor wait.
    pub fn new(bell: Bell) -> Self {
        Self { bell, first: OnceLock::new() }
    }

    /// The queues that `snapshot` wants, its limits in force from now on; each core does this, to the same end. A queue that it
    /// does not want has no limit any more, so that whoever waits there goes on.
    fn adopt(&self, snapshot: &Snapshot) -> Vec<Limited> {
        let limits = snapshot.providers.iter().filter_map(|provider| Some((provider, provider.concurrency?)));
        let limited: Vec<_> = limits
            .map(|(provider, limit)| {
                let queue = self.of(&provider.name);
                queue.limit(limit.requests_max);
                Limited { provider: provider.name.clone(), queue }
            })
            .collect();
        let all = std::iter::successors(self.first.get(), |named| named.next.get());
        for named in all.filter(|named| limited.iter().all(|limited| limited.provider != named.name)) {
            named.queue.limit(u32::MAX);
        }
        limited
    }

    fn of(&self, name: &str) -> Arc<Queue> {
        let mut slot = &self.first;
        loop {
            let named = slot.get_or_init(|| {
                let queue = Arc::new(Queue::new(Arc::clone(&self.bell)));
                Box::new(Named { name: name.to_owned(), queue, next: OnceLock::new() })
            });
            if named.name == name {
                return Arc::clone(&named.queue);
            }
            slot = &named.next;
        }
    }
}

impl Places {
    /// Of core `core`, serving `snapshot`.
    pub fn new(core: u16, registry: Arc<Registry>, snapshot: &Snapshot) -> Self {
        let limited = RefCell::new(registry.adopt(snapshot));
        Self { core, registry, limited, next_ticket: Cell::default(), slots: RefCell::default() }
    }

    /// Its limits hold from now on; those who are under way stay counted.
    pub fn adopt(&self, snapshot: &Snapshot) {
        let limited = self.registry.adopt(snapshot);
        *self.limited.borrow_mut() = limited;
    }

    /// Takes a place with a provider, or a turn in its line, where at most `waiting_max` and [`WAITING_MAX`] wait.
    pub fn enter(&self, provider: &str, waiting_max: u32) -> Entered<'_> {
        let Some(queue) = self.find(provider) else { return Entered::Free };
        match queue.enter(waiting_max.min(WAITING_MAX)) {
            Entry::Placed => Entered::Placed(Place::new(queue)),
            Entry::Full => Entered::Full,
            Entry::InLine => Entered::Waiting(self.wait(queue)),
        }
    }

    /// The ticket's turn has come; of one that nobody waits by any more, the place goes on by itself.
    pub fn grant(&self, ticket: u64) {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(&ticket) else { return };
        if let Slot::Waiting(Some(waker)) = std::mem::replace(slot, Slot::Granted) {
            drop(slots);
            waker.wake();
        }
    }

    /// Each provider with a limit.
    pub fn counts(&self) -> Vec<Count> {
        let limited = self.limited.borrow();
        let count = |limited: &Limited| Count {
            provider: limited.provider.clone(),
            taken: limited.queue.taken(),
            waiting: limited.queue.waiting(),
        };
        limited.iter().map(count).collect()
    }

    fn find(&self, provider: &str) -> Option<Arc<Queue>> {
        let limited = self.limited.borrow();
        let found = limited.iter().find(|limited| limited.provider == provider);
        found.map(|limited| Arc::clone(&limited.queue))
    }

    fn wait(&self, queue: Arc<Queue>) -> Waiting<'_> {
        let ticket = self.next_ticket.get();
        self.next_ticket.set(ticket.wrapping_add(1));
        // Before the queue knows of it: the turn may come at once.
        self.slots.borrow_mut().insert(ticket, Slot::Waiting(None));
        let order = queue.line_up(Waiter { core: self.core, ticket });
        Waiting { places: self, queue, order, ticket, is_placed: false }
    }
}

impl Future for Waiting<'_> {
    type Output = Place;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Place> {
        let mut slots = self.places.slots.borrow_mut();
        if let Some(Slot::Waiting(waker)) = slots.get_mut(&self.ticket) {
            *waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let granted = slots.remove(&self.ticket);
        drop(slots);
        // Not there: it has resolved before.
        let Some(Slot::Granted) = granted else { return Poll::Pending };
        self.is_placed = true;
        Poll::Ready(Place::new(Arc::clone(&self.queue)))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let _slot = self.places.slots.borrow_mut().remove(&self.ticket);
        if !self.is_placed {
            self.queue.leave(self.order);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A config that limits these providers.
    fn snapshot(limits: &[(&str, u32)]) -> Snapshot {
        let provider = |(name, requests_max): &(&str, u32)| {
            format!(
                r#""{name}":{{"keys":[{{"name":"{name}-key","value":"v","models":["*"],"weight":1}}],
                "concurrency_and_buffer_size":{{"concurrency":{requests_max},"buffer_size":100}}}}"#
            )
        };
        let providers: Vec<String> = limits.iter().map(provider).collect();
        let text = format!(r#"{{"providers":{{{}}}}}"#, providers.join(","));
        let loaded = crate::config::load(text.as_bytes(), "config.json", &|_: &str| None::<String>);
        loaded.unwrap_or_else(|faults| panic!("{faults:?}")).snapshot
    }

    /// Two cores that serve it, and their mail.
    fn cores(snapshot: &Snapshot) -> ([Places; 2], mpsc::Receiver<(u16, u64)>) {
        let (sender, mail) = mpsc::channel();
        let bell = move |core, ticket| sender.send((core, ticket)).unwrap();
        let registry = Arc::new(Registry::new(Arc::new(bell)));
        ([0, 1].map(|core| Places::new(core, Arc::clone(&registry), snapshot)), mail)
    }

    fn deliver(cores: &[Places; 2], mail: &mpsc::Receiver<(u16, u64)>) {
        mail.try_iter().for_each(|(core, ticket)| cores[usize::from(core)].grant(ticket));
    }

    fn placed(core: &Places) -> Place {
        match core.enter("openai", 100) {
            Entered::Placed(place) => place,
            _ => panic!("no place"),
        }
    }

    fn waiting(core: &Places) -> Waiting<'_> {
        match core.enter("openai", 100) {
            Entered::Waiting(waiting) => waiting,
            _ => panic!("it does not wait"),
        }
    }

    fn poll(waiting: &mut Waiting<'_>) -> Option<Place> {
        match Pin::new(waiting).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        }
    }

    fn counts(core: &Places) -> Vec<(String, u32, u32)> {
        core.counts().into_iter().map(|count| (count.provider, count.taken, count.waiting)).collect()
    }

    #[test]
    fn cores_share_the_places_and_the_line() {
        let (cores, mail) = cores(&snapshot(&[("openai", 1)]));
        assert!(matches!(cores[0].enter("anthropic", 1), Entered::Free));
        let held = placed(&cores[0]);
        let (mut first, mut second) = (waiting(&cores[1]), waiting(&cores[0]));
        let gone = waiting(&cores[1]);
        assert!(matches!(cores[0].enter("openai", 3), Entered::Full));
        assert_eq!(counts(&cores[0]), [("openai".to_owned(), 1, 3)]);
        drop(held);
        deliver(&cores, &mail);
        assert!(poll(&mut second).is_none());
        let held = poll(&mut first);
        assert!(held.is_some() && poll(&mut first).is_none(), "once");
        drop((held, gone));
        // Granted, and its caller leaves before he sees it.
        deliver(&cores, &mail);
        drop(second);
        assert_eq!(counts(&cores[1]), [("openai".to_owned(), 0, 0)]);
        assert!(cores.iter().all(|core| core.slots.borrow().is_empty()));
        drop(placed(&cores[1]));
    }

    #[test]
    fn a_reload_keeps_those_under_way_counted() {
        let (cores, mail) = cores(&snapshot(&[("openai", 1), ("anthropic", 7)]));
        let held = placed(&cores[0]);
        let (mut first, mut second) = (waiting(&cores[1]), waiting(&cores[1]));
        cores.iter().for_each(|core| core.adopt(&snapshot(&[("openai", 2)])));
        deliver(&cores, &mail);
        let (held_first, none) = (poll(&mut first), poll(&mut second));
        assert!(held_first.is_some() && none.is_none());
        assert_eq!(counts(&cores[0]), [("openai".to_owned(), 2, 1)]);
        // The limit goes, and who waits goes on; it comes back, and all are counted.
        cores.iter().for_each(|core| core.adopt(&snapshot(&[("anthropic", 7)])));
        deliver(&cores, &mail);
        let held_second = poll(&mut second);
        assert!(held_second.is_some());
        assert!(matches!(cores[0].enter("openai", 1), Entered::Free));
        cores.iter().for_each(|core| core.adopt(&snapshot(&[("openai", 1)])));
        let mut third = waiting(&cores[0]);
        assert_eq!(counts(&cores[0]), [("openai".to_owned(), 3, 1)]);
        drop((held, held_first));
        deliver(&cores, &mail);
        assert!(poll(&mut third).is_none(), "it drains");
        drop(held_second);
        deliver(&cores, &mail);
        assert!(poll(&mut third).is_some());
    }
}

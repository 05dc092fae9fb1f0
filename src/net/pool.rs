//! Upstream connections of one core, by origin: those at rest, the last used first; how many there are, within this core's
//! share of the origin's limit; and who waits for one. A connection that closed, spoke unasked or grew old is dropped when
//! it is met. It opens none.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::client::Upstream;
use super::{CONNECT_TIMEOUT, until};
use crate::config::snapshot::{Origin, Snapshot};
use crate::error::{Error, Kind};

/// Idle connections kept for one origin; one more is closed.
pub const IDLE_MAX: usize = 1024;
/// Requests of one core that may wait for a connection to one origin; one more is refused.
pub const WAITING_MAX: usize = 1024;
/// A connection carries no further request when it is this old, so that a provider can move its callers elsewhere
/// (as nginx's `keepalive_time`).
pub const LIFETIME_MAX: Duration = Duration::from_secs(300);

/// One core of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its number, from 0.
    pub core: usize,
    /// How many there are, at least 1.
    pub cores: usize,
}

impl Position {
    /// This core's part of a node's limit: the parts of all cores are the limit, and differ by 1 at most.
    pub fn share(self, limit: usize) -> usize {
        let cores = self.cores.max(1);
        limit / cores + usize::from(self.core < limit % cores)
    }
}

/// A sentence for each provider whose limit leaves a core without any connection: such a node must not start.
pub fn check_limits(snapshot: &Snapshot, cores: usize) -> Vec<String> {
    let limited = snapshot.providers.iter().filter_map(|provider| {
        let limit = provider.origins().find_map(|origin| origin.transport.connections_max);
        let limit = limit.filter(|limit| *limit < cores)?;
        Some(format!(
            "providers.{}: network_config.max_conns_per_host is {limit}, but each of the {cores} workers needs a \
             connection of its own; raise it to {cores}, or start with --workers {limit}",
            provider.name
        ))
    });
    limited.collect()
}

/// The pool.
pub struct Pool {
    position: Position,
    shelves: RefCell<Vec<Rc<Shelf>>>,
}

impl Pool {
    /// An empty one.
    pub fn new(position: Position) -> Self {
        Self { position, shelves: RefCell::default() }
    }

    /// The last used connection that is still open and silent, or a place for a new one. When this core's share is in use:
    /// in turn, after [`CONNECT_TIMEOUT`] at most. May be dropped. Errors: too many wait, or for too long.
    pub(super) async fn acquire(&self, origin: &Origin, now: Instant) -> Result<Grant, Error> {
        let shelf = self.shelf(origin);
        if let Some(grant) = shelf.take(now) {
            return Ok(grant);
        }
        let granted = match Waiting::enter(&shelf) {
            Some(waiting) => until(now + CONNECT_TIMEOUT, waiting).await,
            None => None,
        };
        granted.ok_or_else(|| self.all_in_use(origin))
    }

    /// Puts a connection back, to be used for another `keep_alive` at most.
    pub fn release(&self, mut upstream: Box<Upstream>, now: Instant, keep_alive: Duration) {
        let until = (now + keep_alive).min(upstream.opened() + LIFETIME_MAX);
        if now < until {
            upstream.rest();
            let shelf = Rc::clone(&upstream.permit().shelf);
            shelf.put(Idle { upstream, until });
        }
    }

    /// Closes what grew old, and forgets origins without connections.
    pub fn sweep(&self, now: Instant) {
        for shelf in self.shelves.borrow().iter() {
            shelf.sweep(now);
        }
        self.shelves.borrow_mut().retain(|shelf| Rc::strong_count(shelf) > 1);
    }

    /// Connections at rest.
    pub fn idle_count(&self) -> usize {
        self.shelves.borrow().iter().map(|shelf| shelf.state.borrow().idle.len()).sum()
    }

    fn shelf(&self, origin: &Origin) -> Rc<Shelf> {
        let mut shelves = self.shelves.borrow_mut();
        if let Some(shelf) = shelves.iter().find(|shelf| shelf.origin == *origin) {
            return Rc::clone(shelf);
        }
        let share = origin.transport.connections_max.map(|limit| self.position.share(limit));
        let shelf = Rc::new(Shelf { origin: origin.clone(), share, state: RefCell::default() });
        shelves.push(Rc::clone(&shelf));
        shelf
    }

    fn all_in_use(&self, origin: &Origin) -> Error {
        let limit = origin.transport.connections_max.unwrap_or_default();
        let message = format!(
            "all connections to {}:{} are in use (network_config.max_conns_per_host is {limit} for this node, {} of them \
             for this worker); try again shortly",
            origin.host,
            origin.port,
            self.position.share(limit)
        );
        Error::new(Kind::Overloaded, message)
    }
}

/// Connections at rest hold their shelf, and it holds them.
impl Drop for Pool {
    fn drop(&mut self) {
        for shelf in self.shelves.borrow().iter() {
            drop(shelf.take_idle());
        }
    }
}

/// What a request gets.
pub(super) enum Grant {
    /// A connection that was at rest.
    Kept(Box<Upstream>),
    /// The right to open one.
    Place(Permit),
}

/// A place among an origin's connections; free again when dropped, however its connection ended.
pub(super) struct Permit {
    shelf: Rc<Shelf>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shelf.vacate();
    }
}

/// One origin's connections. No borrow of its state is held while one of them is dropped, which vacates its place.
struct Shelf {
    origin: Origin,
    /// This core's part of the limit.
    share: Option<usize>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    idle: Vec<Idle>,
    /// All that live: being opened, in use, at rest.
    open: usize,
    /// Who waits, the first to come first. While any does, nothing is idle.
    waiting: VecDeque<Rc<Waiter>>,
}

struct Idle {
    upstream: Box<Upstream>,
    until: Instant,
}

impl Idle {
    fn is_usable(&mut self, now: Instant) -> bool {
        now < self.until && self.upstream.is_quiet()
    }
}

impl Shelf {
    /// At once; `None`: in turn.
    fn take(self: &Rc<Self>, now: Instant) -> Option<Grant> {
        if !self.state.borrow().waiting.is_empty() {
            return None;
        }
        while let Some(mut idle) = self.pop() {
            if idle.is_usable(now) {
                return Some(Grant::Kept(idle.upstream));
            }
        }
        let mut state = self.state.borrow_mut();
        if self.share.is_some_and(|share| state.open >= share) {
            return None;
        }
        state.open += 1;
        Some(Grant::Place(Permit { shelf: Rc::clone(self) }))
    }

    fn pop(&self) -> Option<Idle> {
        self.state.borrow_mut().idle.pop()
    }

    /// To the first who waits, or to rest.
    fn put(&self, idle: Idle) {
        let first = self.state.borrow_mut().waiting.pop_front();
        match first {
            Some(waiter) => waiter.give(Gift::Kept(idle)),
            None => drop(self.lay(idle)),
        }
    }

    /// Gives back what there is no room for.
    fn lay(&self, idle: Idle) -> Option<Idle> {
        let mut state = self.state.borrow_mut();
        if state.idle.len() >= IDLE_MAX {
            return Some(idle);
        }
        state.idle.push(idle);
        None
    }

    /// A connection ended: its place is the next one's.
    fn vacate(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        let first = state.waiting.pop_front();
        if first.is_none() {
            state.open -= 1;
        }
        drop(state);
        if let Some(waiter) = first {
            waiter.give(Gift::Place(Permit { shelf: Rc::clone(self) }));
        }
    }

    fn take_idle(&self) -> Vec<Idle> {
        std::mem::take(&mut self.state.borrow_mut().idle)
    }

    fn sweep(&self, now: Instant) {
        for mut idle in self.take_idle() {
            if idle.is_usable(now) {
                drop(self.lay(idle));
            }
        }
    }
}

/// What one who waits is given; it may have gone away by then.
enum Gift {
    Kept(Idle),
    Place(Permit),
}

#[derive(Default)]
struct Waiter {
    slot: RefCell<(Option<Gift>, Option<Waker>)>,
}

impl Waiter {
    fn give(&self, gift: Gift) {
        let mut slot = self.slot.borrow_mut();
        slot.0 = Some(gift);
        let waker = slot.1.take();
        drop(slot);
        waker.into_iter().for_each(Waker::wake);
    }
}

/// A place in the queue; left when dropped, and what had been given to it is the next one's.
struct Waiting {
    shelf: Rc<Shelf>,
    waiter: Rc<Waiter>,
}

impl Waiting {
    /// `None`: the queue is full.
    fn enter(shelf: &Rc<Shelf>) -> Option<Self> {
        let mut state = shelf.state.borrow_mut();
        if state.waiting.len() >= WAITING_MAX {
            return None;
        }
        let waiter = Rc::new(Waiter::default());
        state.waiting.push_back(Rc::clone(&waiter));
        Some(Self { shelf: Rc::clone(shelf), waiter })
    }
}

impl Future for Waiting {
    type Output = Grant;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Grant> {
        let mut slot = self.waiter.slot.borrow_mut();
        let Some(gift) = slot.0.take() else {
            slot.1 = Some(context.waker().clone());
            return Poll::Pending;
        };
        drop(slot);
        Poll::Ready(match gift {
            Gift::Kept(mut idle) => match idle.is_usable(Instant::now()) {
                true => Grant::Kept(idle.upstream),
                false => Grant::Place(idle.upstream.into_permit()),
            },
            Gift::Place(permit) => Grant::Place(permit),
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shelf.state.borrow_mut().waiting.retain(|other| !Rc::ptr_eq(other, &self.waiter));
        let gift = self.waiter.slot.borrow_mut().0.take();
        match gift {
            Some(Gift::Kept(idle)) => self.shelf.put(idle),
            Some(Gift::Place(permit)) => drop(permit),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpStream;
    use std::sync::Arc;

    use super::super::fixture::{connected, on_both, origin, snapshot};
    use super::*;
    use crate::config::snapshot::Transport;
    use crate::net::Driver;

    const KEEP_ALIVE: Duration = Duration::from_secs(30);

    /// One core's pool, and an origin that it has some connections to.
    struct Scene {
        pool: Pool,
        origin: Origin,
        driver: Driver,
        now: Instant,
    }

    impl Scene {
        fn new(driver: Driver, share: Option<usize>) -> Self {
            let pool = Pool::new(Position { core: 0, cores: 1 });
            Self { pool, origin: origin(share), driver, now: Instant::now() }
        }

        async fn acquire(&self) -> Result<Grant, Error> {
            self.pool.acquire(&self.origin, self.now).await
        }

        /// Opens a connection, which must be granted at once.
        async fn open(&self) -> (Box<Upstream>, TcpStream) {
            let Some(Ok(Grant::Place(permit))) = until(Instant::now(), self.acquire()).await else {
                panic!("no place")
            };
            let (stream, far) = connected(self.driver);
            (Box::new(Upstream::new(stream, permit, self.now)), far)
        }

        fn release(&self, upstream: Box<Upstream>) {
            self.pool.release(upstream, self.now, KEEP_ALIVE);
        }

        fn open_count(&self) -> usize {
            self.pool.shelves.borrow().iter().map(|shelf| shelf.state.borrow().open).sum()
        }

        fn waiting_count(&self) -> usize {
            self.pool.shelves.borrow().iter().map(|shelf| shelf.state.borrow().waiting.len()).sum()
        }
    }

    fn kept(grant: Result<Grant, Error>) -> Option<Box<Upstream>> {
        match grant {
            Ok(Grant::Kept(upstream)) => Some(upstream),
            _ => None,
        }
    }

    #[test]
    fn shares_are_the_limit_and_differ_by_one_at_most() {
        for (limit, cores) in [(1, 1), (2, 2), (7, 3), (8, 3), (9, 3), (10_000, 64), (3, 4)] {
            let shares: Vec<usize> = (0..cores).map(|core| Position { core, cores }.share(limit)).collect();
            assert_eq!(shares.iter().sum::<usize>(), limit, "{limit} over {cores}");
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
        }
    }

    #[test]
    fn a_limit_that_leaves_a_core_without_a_connection_is_named() {
        let with = |connections_max| Arc::new(Transport { connections_max, ..Transport::default() });
        let snapshot = snapshot(&[with(None), with(Some(4)), with(Some(3))]);
        assert!(check_limits(&snapshot, 3).is_empty());
        let faults = check_limits(&snapshot, 4);
        assert_eq!(
            faults,
            [
                "providers.openai: network_config.max_conns_per_host is 3, but each of the 4 workers needs a connection of \
              its own; raise it to 4, or start with --workers 3"
            ]
        );
    }

    #[test]
    fn the_last_used_is_the_first_taken() {
        on_both(async |driver| {
            let scene = Scene::new(driver, None);
            let ((first, _one), (second, _two)) = (scene.open().await, scene.open().await);
            let address = |upstream: &Upstream| std::ptr::from_ref(upstream);
            let addresses = [address(&first), address(&second)];
            scene.release(first);
            scene.release(second);
            assert_eq!((scene.pool.idle_count(), scene.open_count()), (2, 2));
            let taken = [kept(scene.acquire().await).unwrap(), kept(scene.acquire().await).unwrap()];
            assert_eq!([address(&taken[1]), address(&taken[0])], addresses);
            drop(taken);
            assert_eq!(scene.open_count(), 0);
        });
    }

    #[test]
    fn what_closed_spoke_or_grew_old_is_not_used_again() {
        on_both(async |driver| {
            for (spoils, age) in
                [("closes", 0), ("speaks", 0), ("rests", 31), ("lives", 299), ("nothing", 29)]
            {
                let mut scene = Scene::new(driver, None);
                let (upstream, mut far) = scene.open().await;
                if spoils == "lives" {
                    // Used all the time, it grows old all the same.
                    scene.now += LIFETIME_MAX - Duration::from_secs(1);
                }
                scene.release(upstream);
                match spoils {
                    "closes" => drop(far),
                    "speaks" => far.write_all(b"HTTP/1.1 408 Late\r\n\r\n").unwrap(),
                    "lives" => scene.now += Duration::from_secs(1),
                    _ => scene.now += Duration::from_secs(age),
                }
                monoio::time::sleep(Duration::from_millis(20)).await;
                let is_kept = kept(scene.acquire().await).is_some();
                assert_eq!(is_kept, spoils == "nothing", "{spoils}");
            }
            let mut scene = Scene::new(driver, None);
            let (upstream, _far) = scene.open().await;
            scene.now += LIFETIME_MAX;
            scene.release(upstream);
            assert_eq!((scene.pool.idle_count(), scene.open_count()), (0, 0), "not even put back");
        });
    }

    #[test]
    fn a_sweep_closes_what_is_of_no_use_and_forgets_its_origin() {
        on_both(async |driver| {
            let mut scene = Scene::new(driver, None);
            let ((first, one), (second, _two)) = (scene.open().await, scene.open().await);
            scene.release(first);
            scene.release(second);
            drop(one);
            monoio::time::sleep(Duration::from_millis(20)).await;
            scene.pool.sweep(scene.now);
            assert_eq!((scene.pool.idle_count(), scene.open_count()), (1, 1));
            scene.now += KEEP_ALIVE;
            scene.pool.sweep(scene.now);
            assert_eq!(scene.pool.shelves.borrow().len(), 0);
        });
    }

    #[test]
    fn who_finds_all_in_use_is_served_in_turn() {
        on_both(async |driver| {
            let scene = Scene::new(driver, Some(2));
            let ((first, _one), (second, _two)) = (scene.open().await, scene.open().await);
            let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(scene.acquire())).collect();
            for one in &mut waiting {
                assert!(until(Instant::now(), one.as_mut()).await.is_none());
            }
            assert_eq!(scene.waiting_count(), 3);
            // A connection given back, and one that ended, each serve the next.
            scene.release(first);
            drop(second);
            let [one, two, three] = waiting.try_into().ok().unwrap();
            let first = kept(one.await).unwrap();
            let Ok(Grant::Place(permit)) = two.await else { panic!("no place") };
            assert_eq!((scene.waiting_count(), scene.open_count()), (1, 2));
            drop(first);
            assert_eq!((scene.waiting_count(), scene.open_count()), (0, 2), "the last has its place");
            drop(permit);
            assert!(matches!(three.await, Ok(Grant::Place(_))));
            assert_eq!((scene.waiting_count(), scene.open_count()), (0, 0));
        });
    }

    #[test]
    fn who_goes_away_leaves_the_queue_and_what_it_was_given_to_the_next() {
        on_both(async |driver| {
            let scene = Scene::new(driver, Some(1));
            for gives_back in [true, false] {
                let (upstream, _far) = scene.open().await;
                let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(scene.acquire())).collect();
                for one in &mut waiting {
                    assert!(until(Instant::now(), one.as_mut()).await.is_none());
                }
                let [one, two, three] = waiting.try_into().ok().unwrap();
                drop(one);
                assert_eq!(scene.waiting_count(), 2);
                match gives_back {
                    true => scene.release(upstream),
                    false => drop(upstream),
                }
                drop(two);
                let grant = three.await;
                assert!(matches!(
                    (&grant, gives_back),
                    (Ok(Grant::Kept(_)), true) | (Ok(Grant::Place(_)), false)
                ));
                drop(grant);
                assert_eq!((scene.waiting_count(), scene.open_count()), (0, 0));
            }
        });
    }

    #[test]
    fn a_connection_that_dies_on_its_way_to_who_waits_is_a_place() {
        on_both(async |driver| {
            let scene = Scene::new(driver, Some(1));
            let (upstream, far) = scene.open().await;
            let mut waiting = Box::pin(scene.acquire());
            assert!(until(Instant::now(), waiting.as_mut()).await.is_none());
            scene.release(upstream);
            drop(far);
            monoio::time::sleep(Duration::from_millis(20)).await;
            let grant = waiting.await;
            assert!(matches!(grant, Ok(Grant::Place(_))));
            assert_eq!(scene.open_count(), 1);
        });
    }

    #[test]
    fn the_queue_is_bounded_and_so_is_the_wait() {
        on_both(async |driver| {
            let mut scene = Scene::new(driver, Some(1));
            let (_upstream, _far) = scene.open().await;
            scene.now = Instant::now() - CONNECT_TIMEOUT;
            let error = scene.acquire().await.err().unwrap();
            assert_eq!(error.kind, Kind::Overloaded);
            assert!(error.message.contains("network_config.max_conns_per_host is 1"), "{error}");
            scene.now = Instant::now();
            let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(scene.acquire())).collect();
            for one in &mut waiting {
                assert!(until(Instant::now(), one.as_mut()).await.is_none());
            }
            assert_eq!(scene.acquire().await.err().map(|error| error.kind), Some(Kind::Overloaded));
            drop(waiting);
            assert_eq!(scene.waiting_count(), 0);
        });
    }
}

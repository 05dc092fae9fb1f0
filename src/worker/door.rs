//! A core's listener: takes what the kernel has accepted, seats each connection on the core with the fewest, and turns
//! away what is too many. It waits for readiness and accepts by a system call of its own, so that nothing that was
//! accepted can be in flight when the wait is dropped, and the descriptor may go to another thread. It serves nothing.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use super::connection;
use crate::gateway::{Arrival, Core, Message, OFFERED_MAX};
use crate::telemetry::sample::Arriving;

/// Connections that the kernel keeps for one core before it accepts them.
pub const BACKLOG: u16 = 4096;
/// After so many accepts without a wait, others on the core have their turn. It takes about a third of a millisecond.
const BATCH_MAX: usize = 64;
/// That turn: the shortest time that monoio's timer knows.
const YIELD: Duration = Duration::from_millis(1);
/// After an accept failed for want of descriptors or memory, before the next.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// Accepts in a row that may fail for other reasons (a caller that left already) before they count as lasting.
const ACCEPT_FAILURES_MAX: u32 = 64;
/// Callers of a core that may be told at a time why they are refused, and be waited for to read it. The rest are closed.
const REFUSALS_MAX: u32 = 64;

/// One core's listener and where its connections go.
pub(super) struct Door {
    core: Rc<Core>,
    /// Does not block.
    listener: TcpListener,
    refusals: Rc<Cell<u32>>,
}

/// What became of a batch of accepts.
enum Batch {
    /// The kernel has no more.
    Emptied,
    /// It may have more.
    Full,
    /// An accept failed.
    Failed(io::Error),
}

impl Door {
    /// Of `core`. Errors: the listener cannot be made non-blocking.
    pub(super) fn new(core: Rc<Core>, listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { core, listener, refusals: Rc::default() })
    }

    /// A second descriptor of the listener, to wait by. Errors: no descriptors left.
    pub(super) fn readiness(&self) -> io::Result<monoio::net::TcpListener> {
        monoio::net::TcpListener::from_std(self.listener.try_clone()?)
    }

    /// Accepts until it is dropped, which loses nothing.
    pub(super) async fn serve(&self, readiness: &monoio::net::TcpListener) {
        let mut failures = 0;
        loop {
            let (accepted, batch) = match readiness.readable(false).await {
                Ok(()) => self.batch(),
                Err(error) => (0, Batch::Failed(error)),
            };
            failures = if accepted > 0 { 0 } else { failures };
            match batch {
                Batch::Emptied => {}
                // On epoll what is ready is no wait.
                Batch::Full => monoio::time::sleep(YIELD).await,
                Batch::Failed(error) => {
                    failures += 1;
                    if must_back_off(&error, failures) {
                        if failures.is_power_of_two() {
                            tracing::warn!(%error, failures, "accept failed");
                        }
                        monoio::time::sleep(ACCEPT_BACKOFF).await;
                    }
                }
            }
        }
    }

    /// Takes what the kernel has accepted for us: these callers were told that they are connected.
    pub(super) fn empty(&self) {
        for _ in 0..=usize::from(BACKLOG) / BATCH_MAX {
            match self.batch() {
                (_, Batch::Full) => {}
                (1.., Batch::Failed(_)) => {}
                // One caller's own fault: those behind it are told that they are connected as well.
                (_, Batch::Failed(error)) if !must_back_off(&error, 0) => {}
                _ => return,
            }
        }
    }

    /// Closes the listener; gives the count of callers who are still being told that they are refused.
    pub(super) fn close(self) -> Rc<Cell<u32>> {
        self.refusals
    }

    fn batch(&self) -> (usize, Batch) {
        for accepted in 0..BATCH_MAX {
            match self.listener.accept() {
                Ok((stream, peer)) => self.seat(stream, peer),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return (accepted, Batch::Emptied),
                Err(error) => return (accepted, Batch::Failed(error)),
            }
        }
        (BATCH_MAX, Batch::Full)
    }

    fn seat(&self, stream: TcpStream, peer: SocketAddr) {
        let own = usize::from(self.core.index);
        let Some(seat) = self.core.neighbours.spread.claim(own, self.core.seats_max()) else {
            return self.refuse(stream, peer);
        };
        let arrival = Arrival { stream, peer, seat };
        match arrival.seat.core() {
            core if core == own => connection::spawn(&self.core, arrival),
            core => self.hand_over(core, arrival),
        }
    }

    /// To another core's mailbox; it is served here when that core takes no more.
    fn hand_over(&self, core: usize, arrival: Arrival) {
        let message = Message::Connection(arrival);
        let offered = match self.core.neighbours.posts.get(core) {
            Some(post) => post.offer(message, OFFERED_MAX),
            None => Err(message),
        };
        match offered {
            Ok(()) => self.core.cells.arrived(Arriving::HandedOver),
            Err(Message::Connection(Arrival { stream, peer, seat })) => {
                drop(seat);
                let own = usize::from(self.core.index);
                match self.core.neighbours.spread.claim_own(own, self.core.seats_max()) {
                    Some(seat) => connection::spawn(&self.core, Arrival { stream, peer, seat }),
                    None => self.refuse(stream, peer),
                }
            }
            Err(_) => {}
        }
    }

    /// Behind TLS the caller is closed without a word: a handshake to say it would cost more than serving.
    fn refuse(&self, stream: TcpStream, peer: SocketAddr) {
        self.core.cells.arrived(Arriving::Refused);
        let is_told = self.core.certificates().is_none() && self.refusals.get() < REFUSALS_MAX;
        if is_told {
            connection::refuse(&self.core, stream, peer, Refusal::begin(&self.refusals));
        }
    }
}

/// A caller who is being refused; counted until it is dropped.
pub(super) struct Refusal(Rc<Cell<u32>>);

impl Refusal {
    fn begin(count: &Rc<Cell<u32>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Refusal {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Whether the next accept would fail as well. Other errors are one caller's own, and those behind it must not wait;
/// but `failures` in a row are no longer that.
fn must_back_off(error: &io::Error, failures: u32) -> bool {
    let lasting = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    failures > ACCEPT_FAILURES_MAX || error.raw_os_error().is_some_and(|code| lasting.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::gateway::{Facts, Neighbours};
    use crate::net::Driver;
    use crate::net::mailbox::{Mailbox, Post, mailbox};
    use crate::net::spread::Spread;
    use crate::net::tls::Roots;
    use crate::worker::runtime::DriverChoice;
    use crate::worker::{Plan, prepare};

    /// Core 0 of two with one connection already, so that the next one is the other core's.
    fn plan(posts: &[Post<Message>], own: Mailbox<Message>, spread: &Spread) -> Plan {
        let text =
            br#"{"providers":{"openai":{"keys":[{"name":"a","value":"k","models":["*"],"weight":1}]}}}"#;
        let loaded = config::load(text, "config.json", &|_: &str| None::<String>).unwrap();
        Plan {
            index: 0,
            cores: 2,
            processor: None,
            driver: DriverChoice::Epoll,
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            snapshot: loaded.snapshot,
            loaded_at: jiff::Timestamp::UNIX_EPOCH,
            facts: Facts { version: "0", node: "test".to_owned() },
            log: None,
            body_bytes_max: 1 << 20,
            roots: Roots::load().0,
            questions: tokio::sync::mpsc::channel(1).0,
            mailbox: own,
            neighbours: Neighbours { spread: spread.clone(), ..Neighbours::new(posts.into()) },
            certificates: None,
        }
    }

    /// The seats of both cores after one more was accepted, the other core's mailbox being as `spoil` leaves it.
    fn seats_after(
        spoil: impl FnOnce(&Post<Message>, Mailbox<Message>) -> Option<Mailbox<Message>>,
    ) -> [u32; 2] {
        let (posts, mut boxes): (Vec<_>, Vec<_>) = (0..2).map(|_| mailbox().unwrap()).unzip();
        let other = spoil(&posts[1], boxes.pop().unwrap());
        let spread = Spread::new(2);
        let _first = spread.claim_own(0, 9).unwrap();
        let plan = plan(&posts, boxes.pop().unwrap(), &spread);
        let address = plan.listener.local_addr().unwrap();
        let mut runtime =
            monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().enable_timer().build().unwrap();
        runtime.block_on(async {
            let prepared = prepare(plan, Driver::Epoll).unwrap();
            let _caller = TcpStream::connect(address).unwrap();
            assert!(matches!(prepared.door.batch(), (1, Batch::Emptied)));
            let seats = [spread.seats(0), spread.seats(1)];
            drop(other);
            seats
        })
    }

    #[test]
    fn a_connection_that_another_core_does_not_take_is_served_here() {
        assert_eq!(seats_after(|_, other| Some(other)), [1, 1]);
        let fill = |post: &Post<Message>, other| {
            let sample = || Message::Sample(tokio::sync::oneshot::channel().0);
            while post.offer(sample(), OFFERED_MAX).is_ok() {}
            assert!(post.send(sample()).is_ok(), "there is room for what must arrive");
            Some(other)
        };
        assert_eq!(seats_after(fill), [2, 0]);
        assert_eq!(seats_after(|_, _| None), [2, 0]);
    }

    #[test]
    fn an_accept_backs_off_for_what_lasts() {
        for code in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert!(must_back_off(&io::Error::from_raw_os_error(code), 1));
        }
        for code in [libc::ECONNABORTED, libc::EINTR, libc::EPERM, libc::EHOSTUNREACH] {
            let error = io::Error::from_raw_os_error(code);
            assert!(!must_back_off(&error, 1) && !must_back_off(&error, ACCEPT_FAILURES_MAX));
            assert!(must_back_off(&error, ACCEPT_FAILURES_MAX + 1));
        }
    }
}

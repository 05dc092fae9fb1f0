//! Names looked up by the system's resolver, each on a thread while it lasts: one lookup of a name at a time, whichever
//! cores ask, and a bound on how many run and how many wait. It knows no core; the askers are numbers to it.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::crew::Crew;

/// Lookups that run at a time, each on a thread that mostly waits. A resolver that hangs on one name takes one of them.
pub(super) const LOOKUPS_MAX: usize = 16;
/// Names that may wait for one of these to end.
const WAITING_MAX: usize = 1024;
/// How long they may; who asked has given up by then.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Host and port.
type Name = (String, u16);
type Resolve = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Who asked: a core and its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) core: usize,
    pub(super) ticket: u64,
}

/// What a lookup gave, and who waits for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) addresses: Result<Vec<SocketAddr>, String>,
    pub(super) askers: Vec<Asker>,
}

/// The lookups of all cores.
pub(super) struct Lookups {
    crew: Crew,
    askers: HashMap<Name, Vec<Asker>>,
    running: JoinSet<(Name, Result<Vec<SocketAddr>, String>)>,
    resolve: Arc<Resolve>,
}

impl Lookups {
    /// By the system's resolver.
    pub(super) fn new() -> Self {
        Self::with(LOOKUPS_MAX, WAITING_MAX, |host, port| Ok((host, port).to_socket_addrs()?.collect()))
    }

    fn with(
        running_max: usize,
        waiting_max: usize,
        resolve: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        let crew = Crew::new(running_max, waiting_max);
        Self { crew, askers: HashMap::new(), running: JoinSet::new(), resolve: Arc::new(resolve) }
    }

    /// Looks a name up, or joins who does; a core's later question takes the place of its earlier one. `false`: too many
    /// names wait already.
    pub(super) fn ask(&mut self, host: String, port: u16, asker: Asker) -> bool {
        let name = (host, port);
        if let Some(askers) = self.askers.get_mut(&name) {
            askers.retain(|other| other.core != asker.core);
            askers.push(asker);
            return true;
        }
        let Some(place) = self.crew.place() else { return false };
        self.askers.insert(name.clone(), vec![asker]);
        let resolve = Arc::clone(&self.resolve);
        self.running.spawn(async move {
            let (host, port) = name.clone();
            let found = place.work(WAIT_TIMEOUT, move || resolve(&host, port)).await;
            let found = match found {
                Some(Ok(addresses)) if addresses.is_empty() => Err("the name has no address".to_owned()),
                Some(found) => found.map_err(|error| error.to_string()),
                None => Err("too many names are being looked up".to_owned()),
            };
            (name, found)
        });
        true
    }

    /// The next that ends; `None`: none runs.
    pub(super) async fn next(&mut self) -> Option<Found> {
        let (name, addresses) = self.running.join_next().await?.ok()?;
        Some(Found { addresses, askers: self.askers.remove(&name).unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    fn asker(core: usize, ticket: u64) -> Asker {
        Asker { core, ticket }
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    #[test]
    fn cores_share_one_lookup_of_a_name() {
        run(async {
            let count = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&count);
            let mut lookups = Lookups::with(2, 2, move |_, port| {
                counted.fetch_add(1, Ordering::SeqCst);
                Ok(vec![SocketAddr::from(([192, 0, 2, 1], port))])
            });
            for (core, ticket) in [(0, 7), (1, 7), (0, 8)] {
                assert!(lookups.ask("a.test".to_owned(), 443, asker(core, ticket)));
            }
            let found = lookups.next().await.unwrap();
            assert_eq!(found.addresses, Ok(vec![SocketAddr::from(([192, 0, 2, 1], 443))]));
            assert_eq!(found.askers, [asker(1, 7), asker(0, 8)]);
            assert_eq!(lookups.next().await, None);
            assert_eq!(count.load(Ordering::SeqCst), 1);
        });
    }

    #[test]
    fn a_name_that_hangs_holds_up_no_other_and_the_rest_is_bounded() {
        run(async {
            let (open, gate) = mpsc::channel::<()>();
            let gate = gate_of(gate);
            let mut lookups = Lookups::with(2, 1, move |host, _| {
                if host.starts_with("slow") {
                    gate();
                }
                Err(io::Error::other("no such name"))
            });
            assert!(lookups.ask("slow.test".to_owned(), 1, asker(0, 0)));
            assert!(lookups.ask("a.test".to_owned(), 1, asker(0, 1)));
            assert!(lookups.ask("b.test".to_owned(), 1, asker(0, 2)));
            assert!(!lookups.ask("c.test".to_owned(), 1, asker(0, 3)), "two run, one waits");
            assert!(lookups.ask("slow.test".to_owned(), 1, asker(1, 0)), "it runs already");
            let mut tickets = Vec::new();
            for _ in 0..2 {
                let found = lookups.next().await.unwrap();
                assert_eq!(found.addresses, Err("no such name".to_owned()));
                tickets.extend(found.askers.iter().map(|asker| asker.ticket));
            }
            tickets.sort_unstable();
            assert_eq!(tickets, [1, 2], "in whichever order they had their turns");
            assert!(lookups.ask("c.test".to_owned(), 1, asker(0, 3)));
            assert_eq!(lookups.next().await.unwrap().askers, [asker(0, 3)]);
            open.send(()).unwrap();
            assert_eq!(lookups.next().await.unwrap().askers, [asker(0, 0), asker(1, 0)]);
        });
    }

    /// Blocks until something is sent, from any thread.
    fn gate_of(receiver: mpsc::Receiver<()>) -> impl Fn() + Send + Sync {
        let (ask, asked) = mpsc::channel::<mpsc::Sender<()>>();
        std::thread::spawn(move || {
            for reply in asked {
                let _ = receiver.recv();
                let _ = reply.send(());
            }
        });
        move || {
            let (reply, replied) = mpsc::channel();
            ask.send(reply).unwrap();
            let _ = replied.recv();
        }
    }
}

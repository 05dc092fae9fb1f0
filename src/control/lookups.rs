//! Names that cores ask for: one lookup of a name at a time, whichever cores ask, and a bound on how many run and how many
//! wait. How a name is resolved is `resolver`'s; the askers are numbers to it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::crew::Crew;
use super::resolver::{Failure, Found, Resolver, Sources};
use crate::net::ask::Resolved;

/// Lookups that run at a time. One that hangs takes one of them; with getaddrinfo it takes a thread.
pub(super) const LOOKUPS_MAX: usize = 64;
/// Names that may wait for one of these to end.
const WAITING_MAX: usize = 1024;
/// How long they may; who asked has given up by then.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a lookup may take. Longer than who asks for it waits: who asks next has what it found.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Host and port.
type Name = (String, u16);

/// Who asked: a core and its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) core: usize,
    pub(super) ticket: u64,
}

/// What a lookup gave, and who waits for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) addresses: Result<Resolved, String>,
    pub(super) askers: Vec<Asker>,
}

/// The lookups of all cores.
pub(super) struct Lookups {
    crew: Crew,
    resolver: Resolver,
    askers: HashMap<Name, Vec<Asker>>,
    running: JoinSet<(Name, Result<Found, Failure>)>,
}

impl Lookups {
    /// As the system is configured.
    pub(super) fn new() -> Self {
        Self::with(LOOKUPS_MAX, WAITING_MAX, Resolver::new(Sources::system(), Instant::now()))
    }

    fn with(running_max: usize, waiting_max: usize, resolver: Resolver) -> Self {
        let crew = Crew::new(running_max, waiting_max);
        Self { crew, resolver, askers: HashMap::new(), running: JoinSet::new() }
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
        let way = self.resolver.way(Instant::now());
        self.running.spawn(async move {
            let found = match place.turn(WAIT_TIMEOUT).await {
                None => Err(Failure::of_us("too many names are being looked up")),
                Some(turn) => {
                    let host = name.0.clone();
                    let lookup = caught(async move { way.resolve(&host, turn).await });
                    let found = timeout(LOOKUP_TIMEOUT, lookup).await;
                    found.unwrap_or_else(|_| Err(Failure::of_servers("the name servers did not answer")))
                }
            };
            (name, found)
        });
        true
    }

    /// The next that ends; `None`: none runs.
    pub(super) async fn next(&mut self) -> Option<Ended> {
        let (name, found) = self.running.join_next().await?.ok()?;
        if found.as_ref().is_err_and(|failure| failure.is_of_servers) {
            self.resolver.doubt();
        }
        let port = name.1;
        let addresses = found.map_err(|failure| failure.reason).map(|found| Resolved {
            addresses: found.addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect(),
            lifetime: found.lifetime,
        });
        Some(Ended { addresses, askers: self.askers.remove(&name).unwrap_or_default() })
    }
}

/// A resolver's panic is an answer too: without one, who asks for that name would join its dead lookup for ever. Dropped, it
/// ends the lookup.
async fn caught(
    lookup: impl Future<Output = Result<Found, Failure>> + Send + 'static,
) -> Result<Found, Failure> {
    let mut running = JoinSet::new();
    running.spawn(lookup);
    let ended = running.join_next().await.and_then(Result::ok);
    ended.unwrap_or_else(|| Err(Failure::of_us("the resolver panicked")))
}

#[cfg(test)]
mod tests {
    use super::super::name_server::{NameServer, Reply};
    use super::*;

    fn asker(core: usize, ticket: u64) -> Asker {
        Asker { core, ticket }
    }

    fn lookups(running_max: usize, waiting_max: usize, server: &NameServer) -> Lookups {
        Lookups::with(running_max, waiting_max, Resolver::new(server.sources(""), Instant::now()))
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    #[test]
    fn cores_share_one_lookup_of_a_name() {
        run(async {
            let server = NameServer::start(|_, _| Reply::addresses(&["192.0.2.1"], 60));
            let mut lookups = lookups(2, 2, &server);
            for (core, ticket) in [(0, 7), (1, 7), (0, 8)] {
                assert!(lookups.ask("a.test".to_owned(), 443, asker(core, ticket)));
            }
            let ended = lookups.next().await.unwrap();
            assert_eq!(ended.addresses.unwrap().addresses, [SocketAddr::from(([192, 0, 2, 1], 443))]);
            assert_eq!(ended.askers, [asker(1, 7), asker(0, 8)]);
            assert_eq!(lookups.next().await, None);
            assert_eq!(server.queries(), ["A a.test.", "AAAA a.test."], "one of each kind");
        });
    }

    #[test]
    fn a_panic_inside_a_lookup_is_its_answer() {
        run(async {
            assert_eq!(
                caught(async { panic!("provoked") }).await,
                Err(Failure::of_us("the resolver panicked"))
            );
            assert_eq!(caught(async { Err(Failure::of_us("no")) }).await, Err(Failure::of_us("no")));
        });
    }

    #[test]
    fn a_name_that_hangs_holds_up_no_other_and_the_rest_is_bounded() {
        run(async {
            let server = NameServer::start(|name, _| match name {
                "slow.test." => Reply::Silence,
                _ => Reply::NoSuchName,
            });
            let mut lookups = lookups(2, 1, &server);
            assert!(lookups.ask("slow.test".to_owned(), 1, asker(0, 0)));
            assert!(lookups.ask("a.test".to_owned(), 1, asker(0, 1)));
            assert!(lookups.ask("b.test".to_owned(), 1, asker(0, 2)));
            assert!(!lookups.ask("c.test".to_owned(), 1, asker(0, 3)), "two run, one waits");
            assert!(lookups.ask("slow.test".to_owned(), 1, asker(1, 0)), "it runs already");
            let mut tickets = Vec::new();
            for _ in 0..2 {
                let ended = lookups.next().await.unwrap();
                assert!(ended.addresses.unwrap_err().contains("does not exist"));
                tickets.extend(ended.askers.iter().map(|asker| asker.ticket));
            }
            tickets.sort_unstable();
            assert_eq!(tickets, [1, 2], "in whichever order they had their turns");
            assert!(lookups.ask("c.test".to_owned(), 1, asker(0, 3)));
            assert_eq!(lookups.next().await.unwrap().askers, [asker(0, 3)]);
            let ended = lookups.next().await.unwrap();
            assert_eq!(ended.askers, [asker(0, 0), asker(1, 0)]);
            assert!(ended.addresses.unwrap_err().contains("did not answer"));
        });
    }
}

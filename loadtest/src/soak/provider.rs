//! The provider of the soak, for both APIs: a thread for each connection, which reads requests strictly, does as their
//! words say, and now and then closes an idle connection or speaks on it unasked.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rustls::ServerConfig;

use super::chance::Chance;
use super::faults::{self, Act, After};
use super::speech::Order;
use super::tally::Tally;
use super::wire::{Wire, is_timeout};

/// What callers send that is their own: it reaches no provider.
pub const CALLERS_OWN: &str = "callers-own";

/// Stands in every request that tries to hide behind another.
pub const SMUGGLED: &str = "smuggled";

/// The keys of the node's config.
pub const KEYS: [(&str, &str); 2] =
    [("OPENAI_API_KEY", "soak-key-openai"), ("ANTHROPIC_API_KEY", "soak-key-anthropic")];

/// Largest request that the node may send, bytes: its own limit on bodies is 1 MiB.
const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A listening provider.
pub struct Provider {
    /// Where.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    tally: Arc<Tally>,
    seed: u64,
    tls: Option<Arc<ServerConfig>>,
    accepted: AtomicU64,
    open: AtomicUsize,
}

impl Provider {
    /// Listens, and accepts for as long as the program runs.
    pub fn start(seed: u64, tls: Option<Arc<ServerConfig>>, tally: &Arc<Tally>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Shared {
            tally: Arc::clone(tally),
            seed,
            tls,
            accepted: AtomicU64::new(0),
            open: AtomicUsize::new(0),
        };
        let shared = Arc::new(shared);
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&accepting);
                let number = shared.accepted.fetch_add(1, Ordering::Relaxed);
                shared.open.fetch_add(1, Ordering::Relaxed);
                std::thread::spawn(move || {
                    if let Ok(wire) = Wire::accepted(stream, shared.tls.as_ref()) {
                        let chance = Chance::new(shared.seed, 1_000_000 + number);
                        Connection { wire, chance, shared: &shared, inbox: Vec::new() }.serve();
                    }
                    shared.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Ok(Self { address, shared })
    }

    /// Connections that the node holds now.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Connections so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }
}

struct Connection<'a> {
    wire: Wire,
    chance: Chance,
    shared: &'a Shared,
    inbox: Vec<u8>,
}

/// A request of the node's.
struct Received {
    head: String,
    path: String,
    body: Vec<u8>,
}

impl Connection<'_> {
    fn serve(mut self) {
        while let Some(received) = self.receive() {
            self.check_head(&received.head);
            let order = Order::read(&received.path, &String::from_utf8_lossy(&received.body));
            let fault = order.as_ref().and_then(|order| faults::find(&order.fault));
            let (Some(order), Some(fault)) = (order, fault) else {
                let body = String::from_utf8_lossy(&received.body).chars().take(200).collect::<String>();
                self.shared.tally.anomaly(format!("the provider was sent what no caller asked: {body}"));
                return;
            };
            let (wire, chance) = (&mut self.wire, &mut self.chance);
            let mut act = Act { order: &order, wire, chance, tally: &self.shared.tally, is_chunked: false };
            match faults::act(fault, &mut act) {
                After::KeepAlive if self.rests() => {}
                After::KeepAlive => return,
                After::Leave(how) => return self.wire.leave(how),
            }
        }
    }

    /// The pause before the next request; `false`: the connection is closed in it. Nothing is said unasked here: a
    /// request that is on its way cannot know that it is not being answered (`answer_behind` is sent with its answer).
    fn rests(&mut self) -> bool {
        match self.chance.below(30) {
            0 => false,
            1 => {
                self.wire.wait_at_most(Duration::from_millis(self.chance.between(1, 300) as u64));
                self.fill() == Some(true)
            }
            _ => true,
        }
    }

    /// The next whole request; `None`: the node closed.
    fn receive(&mut self) -> Option<Received> {
        self.wire.wait_at_most(Duration::from_secs(120));
        let end = loop {
            if let Some(at) = memchr::memmem::find(&self.inbox, b"\r\n\r\n") {
                break at + 4;
            }
            match self.fill() {
                Some(true) => {}
                // The node may give a request up when its caller leaves.
                _ => return None,
            }
        };
        let head = String::from_utf8_lossy(self.inbox.get(..end).unwrap_or_default()).into_owned();
        let lengths: Vec<usize> =
            values(&head, "content-length").filter_map(|value| value.parse().ok()).collect();
        let [length] = lengths[..] else {
            self.broken("not one Content-Length");
            return None;
        };
        while self.inbox.len() < end + length {
            if memchr::memmem::find(&self.inbox, b"do=early ").is_some() {
                let body = self.inbox.split_off(end);
                return Some(Received { path: path(&head), head, body });
            }
            // The node may give a request up when its caller leaves.
            if self.inbox.len() > REQUEST_BYTES_MAX || self.fill() != Some(true) {
                return None;
            }
        }
        let body = self.inbox.get(end..end + length).unwrap_or_default().to_vec();
        self.inbox.drain(..end + length);
        if !self.inbox.is_empty() {
            self.broken("something behind a request that was not answered");
        }
        Some(Received { path: path(&head), head, body })
    }

    fn broken(&self, what: &str) {
        let inbox = self.inbox.get(..self.inbox.len().min(300)).unwrap_or_default();
        self.shared.tally.anomaly(format!("the node sent its provider {what}: {}", inbox.escape_ascii()));
    }

    /// What every request of the node's must be like.
    fn check_head(&self, head: &str) {
        let anomaly = |what: &str| self.shared.tally.anomaly(format!("{what} reached the provider: {head}"));
        if head.contains(CALLERS_OWN) || head.contains(SMUGGLED) {
            anomaly("what is a caller's own");
        }
        let names: BTreeSet<String> = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect();
        if ["transfer-encoding", "te", "upgrade", "x-hop", "proxy-connection"]
            .iter()
            .any(|name| names.contains(*name))
        {
            anomaly("a hop's own field");
        }
        let bearer = values(head, "authorization").chain(values(head, "x-api-key")).collect::<Vec<_>>();
        let is_ours = |value: &str| KEYS.iter().any(|(_, key)| value.ends_with(key));
        if bearer.is_empty()
            || !bearer.iter().all(|value| is_ours(value))
            || values(head, "host").count() != 1
        {
            anomaly("another key, or another host,");
        }
    }

    /// Reads once; `Some(false)`: nothing came in time; `None`: the node closed.
    fn fill(&mut self) -> Option<bool> {
        let mut piece = [0; 16 * 1024];
        match self.wire.read(&mut piece) {
            Ok(0) => None,
            Ok(count) => {
                self.inbox.extend_from_slice(piece.get(..count).unwrap_or_default());
                Some(true)
            }
            Err(error) if is_timeout(&error) => Some(false),
            Err(_) => None,
        }
    }
}

fn path(head: &str) -> String {
    head.split(' ').nth(1).unwrap_or_default().to_owned()
}

fn values<'a>(head: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

//! Names to addresses, as `resolv.conf` and the hosts file say, by DNS queries of our own (hickory): the answers' lifetimes
//! are known, and no thread waits for a server. Where `resolv.conf` cannot be used, by getaddrinfo. It bounds no number of
//! lookups; `lookups` does.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::config::{ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Hosts, TokioResolver};
use tokio::time::timeout;

use super::crew::Turn;

/// An answer is used at least this long, and at most [`LIFETIME_MAX`], whatever its TTL.
const LIFETIME_MIN: Duration = Duration::from_secs(5);
/// See [`LIFETIME_MIN`].
const LIFETIME_MAX: Duration = Duration::from_secs(300);
/// How long an answer serves that has no TTL: the hosts file's, getaddrinfo's.
const LIFETIME_UNTOLD: Duration = Duration::from_secs(30);
/// How long it is remembered that a name does not exist, or has no address of one family.
const NEGATIVE_LIFETIME: Duration = Duration::from_secs(1);
/// Answers remembered, for all cores.
const ANSWERS_MAX: u64 = 1024;
/// Longest wait for one server's answer, whatever `resolv.conf` says: a lost packet must not use up a connect's 5 s.
const SERVER_TIMEOUT_MAX: Duration = Duration::from_secs(2);
/// When one family has answered, the other has so long to (RFC 8305 §3): servers that drop AAAA queries are common.
const OTHER_FAMILY_WAIT: Duration = Duration::from_millis(250);
/// Between two looks at whether the files have changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Between two rebuilds because servers do not answer: their sockets, and what is remembered of them, are made anew.
const REBUILD_INTERVAL: Duration = Duration::from_secs(5);

/// What a name resolved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// IPv6 first, as RFC 8305 §4 prefers, unless getaddrinfo ordered them; at least one.
    pub(super) addresses: Vec<IpAddr>,
    /// How long they may be used.
    pub(super) lifetime: Duration,
}

/// Why a name resolved to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) reason: String,
    /// The servers did not answer, or not usefully; otherwise the name has no address.
    pub(super) is_of_servers: bool,
}

impl Failure {
    /// The name's, or ours.
    pub(super) fn of_us(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_of_servers: false }
    }

    /// The servers'.
    pub(super) fn of_servers(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_of_servers: true }
    }
}

/// Where the system's configuration is read.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    pub(super) resolv_conf: PathBuf,
    pub(super) hosts: PathBuf,
    /// The servers' port.
    pub(super) port: u16,
}

impl Sources {
    /// The usual ones.
    pub(super) fn system() -> Self {
        Self { resolv_conf: "/etc/resolv.conf".into(), hosts: "/etc/hosts".into(), port: 53 }
    }

    fn stamps(&self) -> [Option<Stamp>; 2] {
        [stamp(&self.resolv_conf), stamp(&self.hosts)]
    }
}

/// What changes when a file does: inode, length, time of change in seconds and nanoseconds.
type Stamp = (u64, u64, i64, i64);

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
}

/// The resolver of now, read again when its files change, or when its servers do not answer.
pub(super) struct Resolver {
    sources: Sources,
    stamps: [Option<Stamp>; 2],
    way: Arc<Way>,
    looked: Instant,
    built: Instant,
    /// Servers have not answered since it was built.
    is_doubted: bool,
}

impl Resolver {
    /// Reads the system's configuration. What cannot be used is warned of, and getaddrinfo takes its place.
    pub(super) fn new(sources: Sources, now: Instant) -> Self {
        let stamps = sources.stamps();
        let way = Arc::new(Way::read(&sources));
        Self { sources, stamps, way, looked: now, built: now, is_doubted: false }
    }

    /// The way in which names are resolved now.
    pub(super) fn way(&mut self, now: Instant) -> Arc<Way> {
        if now.saturating_duration_since(self.looked) >= LOOK_INTERVAL {
            self.looked = now;
            let stamps = self.sources.stamps();
            let is_due = self.is_doubted && now.saturating_duration_since(self.built) >= REBUILD_INTERVAL;
            if stamps != self.stamps || is_due {
                self.stamps = stamps;
                self.way = Arc::new(Way::read(&self.sources));
                self.built = now;
                self.is_doubted = false;
            }
        }
        Arc::clone(&self.way)
    }

    /// Takes note that servers did not answer.
    pub(super) fn doubt(&mut self) {
        self.is_doubted = true;
    }
}

/// How names are resolved.
pub(super) enum Way {
    /// By queries of our own.
    Dns(Box<Dns>),
    /// By getaddrinfo, each on a thread while it lasts.
    System,
}

impl Way {
    fn read(sources: &Sources) -> Self {
        match Dns::read(sources) {
            Ok(dns) => Self::Dns(Box::new(dns)),
            Err(reason) => {
                let file = sources.resolv_conf.display();
                tracing::warn!("{file}: {reason}; names are resolved by getaddrinfo instead");
                Self::System
            }
        }
    }

    /// Resolves a name, within whatever time it takes: the caller sets a deadline. `turn` is held while anything runs.
    pub(super) async fn resolve(&self, host: &str, turn: Turn) -> Result<Found, Failure> {
        if let Ok(address) = host.parse() {
            return some(vec![address], LIFETIME_MAX);
        }
        match self {
            Self::Dns(dns) => {
                let _held = turn;
                dns.resolve(host).await
            }
            Self::System => {
                let host = host.to_owned();
                let found = turn.work(move || (host, 0).to_socket_addrs()).await;
                let found = found.unwrap_or_else(|| Err(io::Error::other("the resolver panicked")));
                let found = found.map_err(|error| Failure::of_us(error.to_string()))?;
                some(found.map(|address| SocketAddr::ip(&address)).collect(), LIFETIME_UNTOLD)
            }
        }
    }
}

/// DNS, and the hosts file before it.
pub(super) struct Dns {
    resolver: TokioResolver,
    hosts: Hosts,
    /// Domains in which a name is looked for.
    search: Vec<Name>,
    /// A name with fewer dots is looked for in these domains first.
    ndots: usize,
}

impl Dns {
    fn read(sources: &Sources) -> Result<Self, String> {
        let text = fs::read(&sources.resolv_conf).map_err(|error| error.to_string())?;
        let (mut config, options) = parse_resolv_conf(text).map_err(|error| error.to_string())?;
        for connection in config.name_servers.iter_mut().flat_map(|server| &mut server.connections) {
            connection.port = sources.port;
        }
        let mut hosts = Hosts::default();
        match File::open(&sources.hosts).and_then(|file| hosts.read_hosts_conf(file)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!("{}: {error}; it is left out", sources.hosts.display()),
        }
        let search = match config.search() {
            [] => config.domain().cloned().into_iter().collect(),
            search => search.to_vec(),
        };
        let ndots = options.ndots;
        let resolver = build(config, options).map_err(|error| error.to_string())?;
        Ok(Self { resolver, hosts, search, ndots })
    }

    async fn resolve(&self, host: &str) -> Result<Found, Failure> {
        let name = Name::from_ascii(host).map_err(|error| Failure::of_us(error.to_string()))?;
        if let Some(found) = self.in_hosts(&name) {
            return Ok(found);
        }
        let mut failure = Failure::of_us(NO_ADDRESS);
        for candidate in candidates(&name, &self.search, self.ndots) {
            match self.both_families(candidate).await {
                Ok(found) => return Ok(found),
                // A server that fails is worth more words than a domain of the search list that lacks the name.
                Err(error) if error.is_no_records_found() => {}
                Err(NetError::Timeout) => failure = Failure::of_servers("the name servers did not answer"),
                Err(error) => failure = Failure::of_servers(error.to_string()),
            }
        }
        Err(failure)
    }

    /// The hosts file's word is the last one, as with getaddrinfo; `localhost` is this machine (RFC 6761 §6.3).
    fn in_hosts(&self, name: &Name) -> Option<Found> {
        let kinds = [RecordType::AAAA, RecordType::A];
        let listed = kinds.map(|kind| self.hosts.lookup_static_host(&Query::query(name.clone(), kind)));
        let mut addresses: Vec<IpAddr> = listed.iter().flatten().flat_map(addresses_of).collect();
        if addresses.is_empty() && name.is_localhost() {
            addresses = vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
        }
        some(addresses, LIFETIME_UNTOLD).ok()
    }

    async fn both_families(&self, name: Name) -> Result<Found, NetError> {
        let mut v6 = pin!(self.resolver.ipv6_lookup(name.clone()));
        let mut v4 = pin!(self.resolver.ipv4_lookup(name));
        let (v6, v4) = tokio::select! {
            v6 = &mut v6 => { let v4 = other(&v6, v4).await; (Some(v6), v4) }
            v4 = &mut v4 => { let v6 = other(&v4, v6).await; (v6, Some(v4)) }
        };
        let lifetime_max =
            if is_heard(v6.as_ref()) && is_heard(v4.as_ref()) { LIFETIME_MAX } else { LIFETIME_MIN };
        let mut found = Vec::new();
        let mut failed = NetError::Timeout;
        // In this order, so that an IPv4 failure is told rather than an IPv6 one.
        for family in [v6, v4].into_iter().flatten() {
            match family {
                Ok(lookup) => found.push(lookup),
                Err(error) => failed = error,
            }
        }
        let addresses = found.iter().flat_map(addresses_of).collect();
        let lifetime = found.iter().map(|lookup| lookup.valid_until()).min();
        let lifetime = lifetime.map(|until| until.saturating_duration_since(Instant::now()));
        some(addresses, lifetime.unwrap_or_default().min(lifetime_max)).map_err(|_| failed)
    }
}

const NO_ADDRESS: &str = "the name does not exist, or has no address";

/// `Err`: there are none.
fn some(addresses: Vec<IpAddr>, lifetime: Duration) -> Result<Found, Failure> {
    match addresses.is_empty() {
        true => Err(Failure::of_us(NO_ADDRESS)),
        false => Ok(Found { addresses, lifetime }),
    }
}

fn addresses_of(lookup: &Lookup) -> impl Iterator<Item = IpAddr> {
    lookup.answers().iter().filter_map(|record| record.data.ip_addr())
}

/// The second family's answer: for a moment when the first gave addresses, as long as it takes when not.
async fn other<F: Future>(first: &Result<Lookup, NetError>, second: F) -> Option<F::Output> {
    match first {
        Ok(_) => timeout(OTHER_FAMILY_WAIT, second).await.ok(),
        Err(_) => Some(second.await),
    }
}

/// Whether a family has answered, if only that it has no address. One that has not may be the only one that this host
/// reaches: what the other gave must not stand alone for as long as its TTL says.
fn is_heard(family: Option<&Result<Lookup, NetError>>) -> bool {
    family.is_some_and(|answer| answer.as_ref().err().is_none_or(NetError::is_no_records_found))
}

/// The fully qualified names that a name may stand for, in the order of `resolv.conf(5)`: with fewer dots than `ndots` in
/// the domains of the search list first, as it stands first otherwise.
fn candidates(name: &Name, search: &[Name], ndots: usize) -> Vec<Name> {
    let mut whole = name.clone();
    whole.set_fqdn(true);
    if name.is_fqdn() {
        return vec![whole];
    }
    let dots = usize::from(name.num_labels()).saturating_sub(1);
    let mut names: Vec<Name> = Vec::with_capacity(search.len() + 1);
    let found = search.iter().filter_map(|domain| name.clone().append_domain(domain).ok());
    names.extend(found.map(|mut name| {
        name.set_fqdn(true);
        name
    }));
    let place = if dots < ndots { names.len() } else { 0 };
    names.insert(place, whole);
    names
}

fn build(config: ResolverConfig, options: ResolverOpts) -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let target = builder.options_mut();
    target.timeout = options.timeout.min(SERVER_TIMEOUT_MAX);
    target.attempts = options.attempts;
    target.edns0 = options.edns0;
    // One server after the other, as they are written: two may know different names.
    target.num_concurrent_reqs = 1;
    target.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    // Both are done here.
    target.use_hosts_file = ResolveHosts::Never;
    target.ndots = 0;
    target.cache_size = ANSWERS_MAX;
    target.positive_min_ttl = Some(LIFETIME_MIN);
    target.positive_max_ttl = Some(LIFETIME_MAX);
    target.negative_min_ttl = Some(NEGATIVE_LIFETIME);
    target.negative_max_ttl = Some(NEGATIVE_LIFETIME);
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::super::crew::Crew;
    use super::super::name_server::{NameServer, Reply};
    use super::*;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    async fn resolve(way: &Way, host: &str) -> Result<Found, Failure> {
        let turn = Crew::new(1, 0).place().unwrap().turn(Duration::from_secs(9)).await.unwrap();
        way.resolve(host, turn).await
    }

    fn way(server: &NameServer, lines: &str) -> Way {
        Way::read(&server.sources(lines))
    }

    fn texts(found: Result<Found, Failure>) -> Vec<String> {
        found.unwrap().addresses.iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn both_families_are_found_ipv6_first() {
        run(async {
            let server = NameServer::start(|_, _| {
                Reply::addresses(&["192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2"], 60)
            });
            let found = texts(resolve(&way(&server, ""), "api.test").await);
            assert_eq!(found, ["2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2"]);
        });
    }

    #[test]
    fn a_lifetime_is_the_ttl_within_its_bounds() {
        run(async {
            let server = NameServer::start(|name, _| {
                let ttl_s = name.trim_end_matches(".test.").parse().unwrap();
                Reply::addresses(&["192.0.2.1", "2001:db8::1"], ttl_s)
            });
            let way = way(&server, "");
            for (ttl_s, lifetime_s) in [(0, 5), (1, 5), (5, 5), (60, 60), (300, 300), (86_400, 300)] {
                let host = format!("{ttl_s}.test");
                let lifetime = resolve(&way, &host).await.unwrap().lifetime;
                let expected = Duration::from_secs(lifetime_s);
                assert!(
                    lifetime <= expected && lifetime + Duration::from_secs(3) > expected,
                    "{ttl_s}: {lifetime:?}"
                );
            }
            let asked = server.queries().len();
            let lifetime = resolve(&way, "60.test").await.unwrap().lifetime;
            assert!(lifetime <= Duration::from_secs(60), "what is left of it");
            assert_eq!(server.queries().len(), asked, "remembered");
        });
    }

    #[test]
    fn a_family_that_is_not_answered_does_not_hide_the_other() {
        run(async {
            for (silent, expected) in [("AAAA", "192.0.2.1"), ("A", "2001:db8::1")] {
                let server = NameServer::start(move |_, kind| match kind == silent {
                    true => Reply::Silence,
                    false => Reply::addresses(&["192.0.2.1", "2001:db8::1"], 60),
                });
                let began = Instant::now();
                let found = resolve(&way(&server, ""), "api.test").await;
                let lifetime = found.as_ref().unwrap().lifetime;
                assert!(lifetime <= LIFETIME_MIN, "the other is asked for again soon: {lifetime:?}");
                assert_eq!(texts(found), [expected]);
                assert!(began.elapsed() >= OTHER_FAMILY_WAIT, "it had its time");
            }
        });
    }

    #[test]
    fn names_that_do_not_exist_are_asked_for_again_soon() {
        run(async {
            let server = NameServer::start(|name, _| match name {
                "none.test." => Reply::NoSuchName,
                _ => Reply::addresses(&[], 60),
            });
            let way = way(&server, "");
            for host in ["none.test", "empty.test"] {
                let failure = resolve(&way, host).await.unwrap_err();
                assert_eq!(failure, Failure::of_us(NO_ADDRESS), "{host}");
                let asked = server.queries().len();
                tokio::time::sleep(NEGATIVE_LIFETIME).await;
                assert!(resolve(&way, host).await.is_err());
                assert_eq!(server.queries().len(), asked + 2, "{host}");
            }
        });
    }

    #[test]
    fn servers_that_fail_are_told_from_names_that_lack() {
        run(async {
            for (reply, word) in [(Reply::Broken, "Server Failure"), (Reply::Silence, "did not answer")] {
                let server = NameServer::start(move |_, _| reply.clone());
                let failure = resolve(&way(&server, ""), "api.test").await.unwrap_err();
                assert!(failure.is_of_servers && failure.reason.contains(word), "{failure:?}");
            }
        });
    }

    #[test]
    fn the_search_list_and_ndots_are_honoured() {
        run(async {
            let server = NameServer::start(|name, _| match name {
                "db.svc.local." | "a.b.test." | "whole.test." => Reply::addresses(&["192.0.2.1"], 60),
                _ => Reply::NoSuchName,
            });
            let way = way(&server, "search ns.svc.local svc.local test\noptions ndots:2");
            for host in ["db", "a.b", "whole.test"] {
                assert_eq!(texts(resolve(&way, host).await), ["192.0.2.1"], "{host}");
            }
            let asked: Vec<String> =
                server.queries().into_iter().filter(|query| query.starts_with("A ")).collect();
            let expected = [
                "A a.b.ns.svc.local.",
                "A a.b.svc.local.",
                "A a.b.test.",
                "A db.ns.svc.local.",
                "A db.svc.local.",
                "A whole.test.",
                "A whole.test.ns.svc.local.",
                "A whole.test.svc.local.",
                "A whole.test.test.",
            ];
            assert_eq!(asked, expected);
        });
    }

    #[test]
    fn candidates_are_in_the_order_of_resolv_conf() {
        let name = |text: &str| Name::from_ascii(text).unwrap();
        let search = [name("x.test."), name("y.test.")];
        let check = |host: &str, ndots, expected: &[&str]| {
            let found: Vec<String> =
                candidates(&name(host), &search, ndots).iter().map(Name::to_string).collect();
            assert_eq!(found, expected, "{host} {ndots}");
        };
        check("a", 1, &["a.x.test.", "a.y.test.", "a."]);
        check("a.b", 1, &["a.b.", "a.b.x.test.", "a.b.y.test."]);
        check("a.b", 5, &["a.b.x.test.", "a.b.y.test.", "a.b."]);
        check("a.b.", 5, &["a.b."]);
        check("my_db-1", 1, &["my_db-1.x.test.", "my_db-1.y.test.", "my_db-1."]);
    }

    #[test]
    fn the_hosts_file_and_localhost_need_no_server() {
        run(async {
            let server = NameServer::start(|_, _| Reply::Silence);
            server.write_hosts("192.0.2.7 Provider.test alias # a comment\n2001:db8::7 provider.test\n");
            let way = way(&server, "search svc.local");
            assert_eq!(texts(resolve(&way, "provider.test").await), ["2001:db8::7", "192.0.2.7"]);
            assert_eq!(texts(resolve(&way, "alias").await), ["192.0.2.7"]);
            assert_eq!(texts(resolve(&way, "localhost").await), ["::1", "127.0.0.1"]);
            assert_eq!(texts(resolve(&way, "api.localhost").await), ["::1", "127.0.0.1"]);
            assert_eq!(texts(resolve(&way, "192.0.2.9").await), ["192.0.2.9"]);
            assert!(server.queries().is_empty());
            server.write_hosts("127.0.0.1 localhost\n");
            assert_eq!(texts(resolve(&Way::read(&server.sources("")), "localhost").await), ["127.0.0.1"]);
        });
    }

    #[test]
    fn changed_files_are_read_again() {
        run(async {
            let server = NameServer::start(|name, _| match name {
                "db.two." => Reply::addresses(&["192.0.2.2"], 60),
                _ => Reply::NoSuchName,
            });
            let mut now = Instant::now();
            let mut resolver = Resolver::new(server.sources("search one"), now);
            assert!(resolve(&resolver.way(now), "db").await.is_err());
            server.configure("search one two");
            assert!(resolve(&resolver.way(now), "db").await.is_err(), "not looked at so soon");
            now += LOOK_INTERVAL;
            assert_eq!(texts(resolve(&resolver.way(now), "db").await), ["192.0.2.2"]);
            server.write_hosts("192.0.2.3 db\n");
            now += LOOK_INTERVAL;
            assert_eq!(texts(resolve(&resolver.way(now), "db").await), ["192.0.2.3"]);
            let before = resolver.way(now + LOOK_INTERVAL);
            resolver.doubt();
            now += LOOK_INTERVAL * 2;
            assert!(Arc::ptr_eq(&before, &resolver.way(now)), "servers that fail are not asked anew so soon");
            now += REBUILD_INTERVAL;
            let after = resolver.way(now);
            assert!(!Arc::ptr_eq(&before, &after));
            assert!(Arc::ptr_eq(&after, &resolver.way(now + REBUILD_INTERVAL)), "once");
        });
    }

    #[test]
    fn without_a_usable_resolv_conf_the_system_resolves() {
        run(async {
            let server = NameServer::start(|_, _| Reply::Silence);
            let mut sources = server.sources("");
            sources.resolv_conf.set_file_name("missing");
            let now = Instant::now();
            let mut resolver = Resolver::new(sources.clone(), now);
            let way = resolver.way(now);
            assert!(matches!(*way, Way::System));
            let found = resolve(&way, "localhost").await.unwrap();
            assert!(found.addresses.iter().all(IpAddr::is_loopback) && found.lifetime == LIFETIME_UNTOLD);
            assert!(resolve(&way, "no such name").await.is_err());
            for text in ["search x.test\n", "nameserver nonsense\n", "\0\u{1}"] {
                fs::write(&sources.resolv_conf, text).unwrap();
                assert!(matches!(Way::read(&sources), Way::System), "{text:?}");
            }
            server.configure("");
            fs::copy(sources.resolv_conf.with_file_name("resolv.conf"), &sources.resolv_conf).unwrap();
            assert!(matches!(*resolver.way(now + LOOK_INTERVAL), Way::Dns(_)), "once it is there");
        });
    }
}

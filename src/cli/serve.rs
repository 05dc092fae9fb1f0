//! `corelane serve`: config, log store, sockets, cores, in this order; nothing listens before all before it is well.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;
use socket2::{Domain, Protocol, Socket, Type};

use super::{Serve, admin};
use crate::config::snapshot::{LogsStore, Snapshot};
use crate::config::{Fault, Loaded};
use crate::control::admin::Doors;
use crate::control::admin::socket::{self as admin_socket, Unbound};
use crate::control::command::COMMANDS_MAX;
use crate::control::preflight::{self, Preflight};
use crate::control::source::{Seen, Source};
use crate::control::{self, Config, Identity, Node, machine, tokens};
use crate::gateway::{Facts, Message, Neighbours};
use crate::net::ask::{Envelope, QUESTIONS_MAX};
use crate::net::listen_tls::Certified;
use crate::net::mailbox::{Mailbox, Post, mailbox};
use crate::net::tls::Roots;
use crate::telemetry::ring::{self, Producer};
use crate::telemetry::store::{self, START_TIMEOUT};
use crate::telemetry::writer::{self, Log};
use crate::worker::runtime::Built;
use crate::worker::{self, BACKLOG, Plan, Worker};

/// Why the node did not start; each fault on a line of its own.
struct Refusal(Vec<String>);

impl<E: fmt::Display> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self(vec![error.to_string()])
    }
}

pub(super) fn run(arguments: &Serve) -> ExitCode {
    match start(arguments).and_then(|(node, announce)| Ok(control::run(node, announce)?)) {
        Ok(code) => code,
        Err(Refusal(faults)) => {
            for fault in faults {
                tracing::error!("{fault}");
            }
            ExitCode::FAILURE
        }
    }
}

/// The node, and its start line: said once signals are taken, so that who waits for it may send one.
fn start(arguments: &Serve) -> Result<(Node, impl FnOnce()), Refusal> {
    let source = arguments.source.source();
    let (loaded, seen) = load(&source, arguments.strict)?;
    let loaded_at = Timestamp::now();
    let facts = Facts { version: env!("CARGO_PKG_VERSION"), node: machine::node_name() };
    let workers = arguments.workers.map_or_else(machine::processors, usize::from);
    let certified = preflight(arguments, &loaded, workers)?;
    let snapshot = loaded.snapshot.clone();
    let roots = roots();
    let (log, producers) = open_log(&snapshot, &facts, workers)?;
    let open_files = OpenFiles::raise();
    if let Some(warning) = machine::short_of_files(snapshot.server.connections_per_core_max, workers) {
        tracing::warn!("{warning}");
    }
    let listeners = listen(&arguments.host, arguments.port, workers)?;
    let address = listeners.first().map(TcpListener::local_addr).transpose()?;
    let admin = open_doors(arguments, &snapshot, address)?;
    let (asker, questions) = tokio::sync::mpsc::channel(QUESTIONS_MAX);
    let boxes = (0..workers).map(|_| mailbox()).collect::<io::Result<Vec<_>>>()?;
    let (posts, mailboxes): (Vec<_>, Vec<_>) = boxes.into_iter().unzip();
    let (clerk, clerk_mailbox) = mailbox()?;
    let neighbours = Neighbours { tokens: Some(clerk.clone()), ..Neighbours::new(Arc::from(posts.clone())) };
    let mut plans = Vec::with_capacity(workers);
    let processors = core_affinity::get_core_ids().unwrap_or_default();
    for (((index, listener), log), mailbox) in (0u16..).zip(listeners).zip(producers).zip(mailboxes) {
        plans.push(Plan {
            index,
            cores: workers,
            processor: processors.get(usize::from(index) % processors.len().max(1)).copied(),
            driver: arguments.driver,
            listener,
            snapshot: snapshot.clone(),
            loaded_at,
            facts: facts.clone(),
            log,
            body_bytes_max: machine::body_budget_bytes(workers),
            roots: roots.clone(),
            questions: asker.clone(),
            mailbox,
            neighbours: neighbours.clone(),
            certificates: certified.as_ref().map(Certified::for_core),
        });
    }
    fetch_tokens((&snapshot, &roots), posts.clone(), clerk_mailbox, asker)?;
    let workers = plans.into_iter().map(worker::start).collect::<io::Result<Vec<Worker>>>()?;
    let started = Started {
        path: source.config.clone(),
        workers: workers.len(),
        built: workers.first().map(|worker| worker.driver.clone()),
        address,
        admin_socket: admin.socket.as_ref().map(|socket| socket.path().to_owned()),
        writes: log.is_some(),
        open_files,
        // A pipe has no second reading.
        is_watched: !arguments.no_watch && source.can_be_read_again(),
        unusable_keys: unusable_keys(&loaded),
    };
    let identity = started.identity(&facts, &snapshot);
    let is_strict = arguments.strict;
    let config = Config { source, loaded, seen, loaded_at, roots, is_strict, is_watched: started.is_watched };
    let announce = move || announce(&started, &snapshot);
    let threads = workers.into_iter().map(|worker| worker.thread).collect();
    let (commands, commanded) = tokio::sync::mpsc::channel(COMMANDS_MAX);
    let node =
        Node { posts, tokens: clerk, threads, questions, log, identity, config, admin, commands, commanded };
    Ok((node, announce))
}

/// Who fetches tokens begins before the cores do.
fn fetch_tokens(
    (snapshot, roots): (&Snapshot, &Roots),
    posts: Vec<Post<Message>>,
    mailbox: Mailbox<Message>,
    questions: tokio::sync::mpsc::Sender<Envelope>,
) -> io::Result<()> {
    let (snapshot, roots) = (snapshot.clone(), roots.clone());
    tokens::start(tokens::Plan { snapshot, posts, mailbox, questions, roots })
}

/// What serving needs beyond the file. With --strict, a warning of either is a fault.
fn preflight(arguments: &Serve, loaded: &Loaded, workers: usize) -> Result<Option<Certified>, Refusal> {
    let checked = preflight::preflight(loaded, workers);
    let (certified, warnings, mut faults) = match checked {
        Ok(Preflight { certified, warnings }) => (certified, warnings, Vec::new()),
        Err(faults) => (None, Vec::new(), faults),
    };
    if arguments.strict {
        faults.splice(0..0, loaded.strict_faults().iter().map(ToString::to_string));
        faults.extend(warnings);
    } else {
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    }
    if faults.is_empty() { Ok(certified) } else { Err(Refusal(faults)) }
}

/// Whom providers' certificates are checked against. Without the system's roots a node serves whom Mozilla's vouch for.
fn roots() -> Roots {
    let (roots, faults) = Roots::load();
    if let Some(first) = faults.first() {
        tracing::warn!(
            faults = faults.len(),
            first,
            "some of the system's root certificates cannot be read; going on without"
        );
    }
    roots
}

/// The limit of open files (RLIMIT_NOFILE).
#[derive(Clone, Copy, Default)]
struct OpenFiles {
    /// As it was at start.
    before: u64,
    /// As it is.
    now: u64,
}

impl OpenFiles {
    /// Raises it to what the system allows us without asking.
    fn raise() -> Self {
        let before = machine::open_files();
        match rlimit::increase_nofile_limit(u64::MAX) {
            Ok(now) => Self { before, now },
            Err(error) => {
                tracing::warn!(%error, open_files = before, "the limit of open files stays as it is");
                Self { before, now: before }
            }
        }
    }
}

/// Warnings are said here, unless they are to be faults.
fn load(source: &Source, strict: bool) -> Result<(Loaded, Seen), Refusal> {
    let (loaded, seen) = source.load_seen();
    let loaded = loaded.map_err(Refusal)?;
    if strict {
        return Ok((loaded, seen));
    }
    for notice in &loaded.warnings {
        tracing::warn!("{notice}");
    }
    for key in &loaded.unusable_keys {
        tracing::warn!("{}", Fault::from(key));
    }
    Ok((loaded, seen))
}

/// The log thread and each core's way to it; a core has none when no row is written.
fn open_log(
    snapshot: &Snapshot,
    facts: &Facts,
    workers: usize,
) -> Result<(Option<writer::Handle>, Vec<Option<Producer>>), Refusal> {
    let Some(store) = snapshot.logs_store.as_ref().filter(|_| snapshot.client.enable_logging) else {
        return Ok((None, (0..workers).map(|_| None).collect()));
    };
    let (producers, consumers): (Vec<_>, Vec<_>) = (0..workers).map(|_| ring::ring()).unzip();
    let store = store::open_store(store, START_TIMEOUT)?;
    if let Some(reason) = store.unreachable() {
        tracing::warn!(reason, "the log store cannot be reached; serving, and trying on");
    }
    let log = Log::start(writer::Settings::new(facts.node.clone()), store, consumers)?;
    Ok((Some(log), producers.into_iter().map(Some).collect()))
}

/// A socket for each core, on one address: the kernel spreads connections over them. A port that another program
/// listens on is refused; without the first look, sharing it with one of our own kind would succeed silently.
fn listen(host: &str, port: u16, workers: usize) -> Result<Vec<TcpListener>, Refusal> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = (host, port).to_socket_addrs().map_err(|error| format!("--host {host}: {error}"))?;
    let address = address.into_iter().next().ok_or_else(|| format!("--host {host} has no address"))?;
    let alone = socket(address, false).map_err(|error| format!("listen on {address}: {error}"))?;
    let address = alone.local_addr()?;
    drop(alone);
    let listeners = (0..workers).map(|_| socket(address, true));
    let listeners = listeners.collect::<io::Result<Vec<_>>>();
    Ok(listeners.map_err(|error| format!("listen on {address}: {error}"))?)
}

/// Where an operator's commands are taken. A node without its admin socket serves; one that cannot listen where the config
/// says does not start.
fn open_doors(arguments: &Serve, snapshot: &Snapshot, address: Option<SocketAddr>) -> Result<Doors, Refusal> {
    let port = address.map_or(arguments.port, |address| address.port());
    let homes = admin::homes(arguments.admin_socket.as_ref(), port);
    let (socket, awaited) = match admin_socket::bind(&homes) {
        Ok(bound) => (Some(bound), Vec::new()),
        Err(_) if homes.is_empty() => (None, Vec::new()),
        Err(Unbound { reason, is_held }) => {
            tracing::warn!(
                reason,
                "no admin socket: corelane status, reload and the like do not reach this node"
            );
            (None, if is_held { homes } else { Vec::new() })
        }
    };
    let http = snapshot.server.admin.as_ref().map(|admin| listen_for_admin(&admin.address)).transpose()?;
    Ok(Doors { socket, awaited, http })
}

fn listen_for_admin(address: &str) -> Result<TcpListener, Refusal> {
    let listener =
        TcpListener::bind(address).map_err(|error| format!("server.admin_address {address}: {error}"))?;
    listener.set_nonblocking(true)?;
    if !listener.local_addr()?.ip().is_loopback() {
        tracing::warn!(
            address,
            "server.admin_address is reached from other hosts, and what is said there, the token too, is not encrypted: \
             have it on a network of your own, or behind a proxy with TLS"
        );
    }
    Ok(listener)
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    // Connections inherit it: what they answer leaves at once, there is nothing to gather behind it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    if shared {
        socket.listen(BACKLOG.into())?;
    }
    Ok(socket.into())
}

/// What the start line says beside the config.
struct Started {
    path: PathBuf,
    workers: usize,
    built: Option<Built>,
    address: Option<SocketAddr>,
    admin_socket: Option<PathBuf>,
    writes: bool,
    open_files: OpenFiles,
    is_watched: bool,
    /// By name.
    unusable_keys: String,
}

impl Started {
    fn driver(&self) -> &'static str {
        self.built.as_ref().map_or("", |built| built.driver.name())
    }

    fn driver_because(&self) -> String {
        self.built.as_ref().map(|built| built.because.join("; ")).unwrap_or_default()
    }

    fn identity(&self, facts: &Facts, snapshot: &Snapshot) -> Identity {
        Identity {
            version: facts.version,
            node: facts.node.clone(),
            address: self.address.map(|address| address.to_string()).unwrap_or_default(),
            driver: self.driver().to_owned(),
            driver_because: self.driver_because(),
            log_store: store_line(snapshot, self.writes),
        }
    }
}

/// Names in the start line; each key has a line of its own before.
const NAMES_SAID_MAX: usize = 20;

fn unusable_keys(loaded: &Loaded) -> String {
    let keys = &loaded.unusable_keys;
    let names: Vec<&str> = keys.iter().take(NAMES_SAID_MAX).map(|key| key.key.as_str()).collect();
    match keys.len().checked_sub(NAMES_SAID_MAX + 1) {
        None => names.join(", "),
        Some(left_out) => format!("{} and {} more", names.join(", "), left_out + 1),
    }
}

/// The start line.
fn announce(started: &Started, snapshot: &Snapshot) {
    let because = started.driver_because();
    if !because.is_empty() {
        tracing::warn!(because, "a better driver was refused");
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        address = started.address.map(|address| address.to_string()),
        tls = snapshot.server.tls.is_some(),
        admin_socket = started.admin_socket.as_ref().map(|path| path.display().to_string()),
        admin_address = snapshot.server.admin.as_ref().map(|admin| admin.address.as_str()),
        workers = started.workers,
        driver = started.driver(),
        ring_flags = started.built.as_ref().map(|built| built.flags),
        open_files = started.open_files.now,
        open_files_before = started.open_files.before,
        config = %started.path.display(),
        generation = snapshot.generation,
        digest = snapshot.digest,
        log_store = store_line(snapshot, started.writes),
        watch = started.is_watched,
        unusable_keys = started.unusable_keys,
        "serving"
    );
}

fn store_line(snapshot: &Snapshot, writes: bool) -> String {
    match (&snapshot.logs_store, writes) {
        (None, _) => "none: no row is written (no logs_store)".to_owned(),
        (Some(_), false) => "none: no row is written (client.enable_logging is false)".to_owned(),
        (Some(LogsStore::Sqlite { path }), true) => format!("sqlite {}", path.display()),
        (Some(LogsStore::Postgres(postgres)), true) => {
            format!("postgres {}:{}/{}", postgres.host, postgres.port, postgres.db_name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_sends_at_once() {
        let listeners = listen("127.0.0.1", 0, 1).unwrap_or_default();
        let caller = std::net::TcpStream::connect(listeners[0].local_addr().unwrap()).unwrap();
        let (accepted, peer) = listeners[0].accept().unwrap();
        assert_eq!(peer, caller.local_addr().unwrap());
        assert!(accepted.nodelay().unwrap());
    }
}

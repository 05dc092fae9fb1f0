//! Whether what a config names can be reached from here: every served provider, or its proxy, what gives keys their tokens, and
//! the log store. Providers are connected to by `net` itself, on a core that serves nobody, so that names, the guard, proxies
//! and certificates are judged as for a request. No provider is sent a request or a key; a token is fetched for each key that
//! has none of its own, and forgotten; the log store keeps nothing of it.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use monoio::LegacyDriver;
use tokio::sync::{mpsc, oneshot};

use super::desk::{Desk, THREADS_MAX};
use super::tokens::fetch::fetch;
use super::tokens::schedule::{Given, grants};
use crate::config::snapshot::{Grant, LogsStore, Origin, Snapshot};
use crate::gateway::Message;
use crate::net::ask::{Asker, Envelope, QUESTIONS_MAX};
use crate::net::budget::Budget;
use crate::net::mailbox::{Mailbox, mailbox};
use crate::net::pool::Position;
use crate::net::tls::Roots;
use crate::net::{Driver, Net};
use crate::telemetry::metrics::BuildInfo;
use crate::telemetry::store;
use crate::telemetry::writer::LogGauges;

/// Providers that are connected to at a time. Each takes `net::CONNECT_TIMEOUT` at most.
const AT_A_TIME: usize = 16;
/// How long the log store may take.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);

/// One try. Displays as a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// `provider openai`, `log store`.
    pub what: String,
    /// Where it is, without credentials.
    pub place: String,
    /// How it went; errors say what is wrong, and where.
    pub outcome: Result<Reached, String>,
}

/// What could be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// How long it took, names included.
    pub elapsed: Duration,
    /// The version of TLS; `None`: without.
    pub tls: Option<&'static str>,
    /// How long what was fetched there holds; `None`: nothing was to be fetched.
    pub lifetime: Option<Duration>,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, place, outcome } = self;
        match outcome {
            Ok(Reached { elapsed, lifetime: Some(lifetime), .. }) => {
                let (lifetime_s, elapsed_ms) = (lifetime.as_secs(), elapsed.as_millis());
                write!(f, "{what}: {place}: fetched in {elapsed_ms} ms, good for {lifetime_s} s")
            }
            Ok(Reached { elapsed, tls, .. }) => {
                write!(f, "{what}: {place}: connected in {} ms", elapsed.as_millis())?;
                tls.map_or(Ok(()), |tls| write!(f, ", {tls}"))
            }
            Err(fault) => write!(f, "{what}: {place}: {fault}"),
        }
    }
}

/// Tries everything, providers in the snapshot's order and then the log store, if rows are written. Blocks.
pub fn try_out(snapshot: &Snapshot) -> Vec<Tried> {
    let providers = try_providers(snapshot.clone()).unwrap_or_else(|error| {
        vec![Tried { what: "providers".to_owned(), place: "all".to_owned(), outcome: Err(error.to_string()) }]
    });
    let store = snapshot.logs_store.as_ref().filter(|_| snapshot.client.enable_logging);
    providers.into_iter().chain(store.map(try_store)).collect()
}

fn try_store(settings: &LogsStore) -> Tried {
    let place = match settings {
        LogsStore::Sqlite { path } => format!("sqlite {}", path.display()),
        LogsStore::Postgres(postgres) => {
            format!("postgres {}:{}/{}", postgres.host, postgres.port, postgres.db_name)
        }
    };
    let began = Instant::now();
    let outcome = store::try_out(settings, STORE_TIMEOUT);
    let outcome = outcome.map(|()| Reached { elapsed: began.elapsed(), tls: None, lifetime: None });
    Tried { what: "log store".to_owned(), place, outcome }
}

/// A core on a thread of its own; this one answers its questions meanwhile.
fn try_providers(snapshot: Snapshot) -> io::Result<Vec<Tried>> {
    let (asker, mut questions) = mpsc::channel(QUESTIONS_MAX);
    let (post, mailbox) = mailbox()?;
    let (done, mut ended) = oneshot::channel();
    thread::Builder::new()
        .name("corelane-online".to_owned())
        .spawn(move || done.send(core(snapshot, asker, mailbox)))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(THREADS_MAX)
        .build()?;
    let tried = runtime.block_on(async {
        let (version, driver) = Default::default();
        let mut desk = Desk::new(vec![post], None, BuildInfo { version, driver });
        loop {
            tokio::select! {
                Some(envelope) = questions.recv() => desk.take(envelope, LogGauges::default(), Arc::default()),
                Some(()) = desk.work() => {}
                tried = &mut ended => return tried,
            }
        }
    });
    runtime.shutdown_background();
    tried.unwrap_or_else(|_| Err(io::Error::other("the thread that connects panicked")))
}

/// The core's thread. On epoll, which is there wherever io_uring is not.
fn core(
    snapshot: Snapshot,
    outbox: mpsc::Sender<Envelope>,
    mailbox: Mailbox<Message>,
) -> io::Result<Vec<Tried>> {
    let (roots, _faults) = Roots::load();
    let mut runtime = monoio::RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()?;
    runtime.block_on(async move {
        let position = Position { core: 0, cores: 1 };
        let clients = roots.clients(&snapshot, 1).map_err(io::Error::other)?.pop().unwrap_or_default();
        let net = Net::new(Driver::Epoll, Asker::new(0, outbox), Budget::new(0), position, roots);
        net.adopt(clients);
        let net = Rc::new(net);
        let answered = Rc::clone(&net);
        monoio::spawn(mailbox.serve(Driver::Epoll, move |message| {
            if let Message::Answer { ticket, answer } = message {
                answered.asker.answer(ticket, answer);
            }
            true
        }));
        let served = snapshot.providers.iter().filter(|provider| provider.dialect.is_some());
        let named = served.flat_map(|provider| {
            let mut origins: Vec<Origin> = Vec::new();
            for origin in provider.origins().filter(|origin| !origin.host.is_empty()) {
                if !origins.contains(origin) {
                    origins.push(origin.clone());
                }
            }
            origins.into_iter().map(|origin| (provider.name.clone(), origin))
        });
        let origins = named.map(|(name, origin)| Trial::Origin(name, origin));
        let fetches = grants(&snapshot).into_iter().map(|(grant, names)| Trial::Token(grant, names));
        Ok(try_all(net, origins.chain(fetches).collect()).await)
    })
}

/// What is tried.
enum Trial {
    /// A provider's name, and where it is.
    Origin(String, Origin),
    /// What a token is fetched by, and the keys that have it.
    Token(Arc<Grant>, Vec<String>),
}

/// [`AT_A_TIME`] at a time; the results in the order given.
async fn try_all(net: Rc<Net>, trials: Vec<Trial>) -> Vec<Tried> {
    let waiting = Rc::new(RefCell::new(trials.into_iter().enumerate()));
    let tries = (0..AT_A_TIME).map(|_| {
        let (net, waiting) = (Rc::clone(&net), Rc::clone(&waiting));
        monoio::spawn(async move {
            let mut tried = Vec::new();
            loop {
                let next = waiting.borrow_mut().next();
                let Some((index, trial)) = next else { return tried };
                let ended = match trial {
                    Trial::Origin(name, origin) => try_origin(&net, name, &origin).await,
                    Trial::Token(grant, names) => try_token(&net, &grant, &names).await,
                };
                tried.push((index, ended));
            }
        })
    });
    let mut tried = Vec::new();
    for task in tries.collect::<Vec<_>>() {
        tried.extend(task.await);
    }
    tried.sort_by_key(|(index, _)| *index);
    tried.into_iter().map(|(_, tried)| tried).collect()
}

async fn try_origin(net: &Net, name: String, origin: &Origin) -> Tried {
    let began = Instant::now();
    let outcome = net.reach(origin).await;
    let outcome = outcome.map(|tls| Reached { elapsed: began.elapsed(), tls, lifetime: None });
    let outcome = outcome.map_err(|error| error.message.into_owned());
    Tried { what: format!("provider {name}"), place: place(origin), outcome }
}

async fn try_token(net: &Net, grant: &Grant, names: &[String]) -> Tried {
    let began = Instant::now();
    let ended = fetch(net, grant).await;
    let reached =
        |Given { lifetime, .. }| Reached { elapsed: began.elapsed(), tls: None, lifetime: Some(lifetime) };
    let outcome = ended.outcome.map(reached).map_err(|failed| failed.lack.reason);
    let what = format!("{} for {}", grant.what(), names.join(", "));
    Tried { what, place: place(&grant.place.origin), outcome }
}

fn place(origin: &Origin) -> String {
    let Origin { tls, host, port, transport } = origin;
    let scheme = if *tls { "https" } else { "http" };
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let way = transport.proxy.as_ref();
    let way = way.map(|proxy| format!(" through the proxy {}:{}", proxy.host, proxy.port));
    format!("{scheme}://{host}:{port}{}", way.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::snapshot::{Proxy, ProxyKind, Secret, Transport};

    #[test]
    fn a_place_is_named_without_credentials() {
        let mut origin = Origin {
            tls: true,
            host: "::1".to_owned(),
            port: 8443,
            transport: Arc::new(Transport::default()),
        };
        assert_eq!(place(&origin), "https://[::1]:8443");
        let credentials = Some(("user".to_owned(), Secret::new("pass word")));
        let (kind, host) = (ProxyKind::Socks5, "proxy.internal".to_owned());
        let proxy = Some(Proxy { kind, host, port: 1080, credentials });
        origin.transport = Arc::new(Transport { proxy, ..Transport::default() });
        assert_eq!(place(&origin), "https://[::1]:8443 through the proxy proxy.internal:1080");
    }

    #[test]
    fn a_try_is_a_line() {
        let tried = |outcome| {
            let (what, place) = ("provider openai".to_owned(), "https://api.openai.com:443".to_owned());
            Tried { what, place, outcome }.to_string()
        };
        let reached =
            Reached { elapsed: Duration::from_micros(12_900), tls: Some("TLS 1.3"), lifetime: None };
        assert_eq!(
            tried(Ok(reached)),
            "provider openai: https://api.openai.com:443: connected in 12 ms, TLS 1.3"
        );
        assert_eq!(tried(Err("no".to_owned())), "provider openai: https://api.openai.com:443: no");
    }
}

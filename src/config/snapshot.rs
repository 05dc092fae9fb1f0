//! What a config means once it is whole and valid: what each core owns a copy of. Ids are small indices, secrets have
//! no `Debug`, nothing is half-valid. It is not the file (`file`), and it holds no state of a run.

mod targets;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

pub use self::targets::{Faces, Targets};
pub use super::credential::{AwsKeys, Credential};
pub use super::header_filter::HeaderFilter;
pub use super::origins::Origins;
pub use super::reference::Whence;
pub use super::secret::Secret;
use crate::dialect::{Dialect, Operation, Quirks};
use crate::provider::Cloud;

/// One generation of the config, complete and immutable.
#[derive(Clone, PartialEq)]
pub struct Snapshot {
    /// Counts up from 1 with every applied config of this process.
    pub generation: u64,
    /// 16 hex digits over the normalised meaning, secret values left out: equal on nodes with equal files.
    pub digest: String,
    /// `client.*`.
    pub client: Client,
    /// `server.*`.
    pub server: Server,
    /// Indexed by [`ProviderId`]; sorted by name, so that an id means the same on nodes with equal files.
    pub providers: Vec<Provider>,
    /// `logs_store`, when present and enabled.
    pub logs_store: Option<LogsStore>,
}

/// Index into [`Snapshot::providers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProviderId(pub u16);

/// Index into [`Provider::keys`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(pub u16);

/// `client.*` with its defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// Whether a request writes a log row (needs a logs store).
    pub enable_logging: bool,
    /// Whether rows carry input and output.
    pub content_logging: bool,
    /// Largest request body, bytes; default 100 MiB.
    pub body_bytes_max: usize,
    /// Whether a request that finds all places of a provider with [`Provider::concurrency`] taken, and its queue full, is
    /// refused at once; else it waits.
    pub drop_excess_requests: bool,
    /// Which headers of ours an answer carries.
    pub response_headers: ResponseHeaders,
    /// Which web pages may call; by default those of this machine only.
    pub allowed_origins: Origins,
    /// Names added to `Access-Control-Allow-Headers`.
    pub allowed_headers: Vec<String>,
    /// Which headers of callers go to providers, beside those that always or never do.
    pub header_filter: HeaderFilter,
}

/// `client.response_headers`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseHeaders {
    /// The request's id, and who answered, how and after how many attempts.
    #[default]
    Full,
    /// The request's id.
    Minimal,
    /// None of ours.
    None,
}

/// `server.*` with its defaults: what stands between callers and this node. Read for each connection; whether there is
/// TLS is settled at start.
#[derive(Clone, PartialEq)]
pub struct Server {
    /// TLS on the listener; `None`: plain.
    pub tls: Option<ServerTls>,
    /// Peers whose `X-Forwarded-For`, `X-Real-IP` and PROXY headers are believed, at most 1,024, sorted; an IPv4 block
    /// is never written as IPv6, so that a peer's address is compared in its canonical form. Empty: nobody's.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections from [`Server::trusted_proxies`] begin with a PROXY header, v1 or v2; others have none.
    pub proxy_protocol: bool,
    /// Open connections of callers that one core serves, 1 to 1,000,000; one more is answered 503.
    pub connections_per_core_max: usize,
    /// From a request's first byte to the answer that it gets, all attempts, waits and queues together; a stream that has
    /// begun to come may last longer. `request_total_timeout_seconds`, 1 s to a day, default 600 s.
    pub request_total_timeout: Duration,
    /// The admin API over HTTP, beside the admin socket; `None`: none. It takes effect at start.
    pub admin: Option<AdminApi>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            tls: None,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            connections_per_core_max: 0,
            request_total_timeout: Duration::from_secs(600),
            admin: None,
        }
    }
}

/// `server.admin_address` with `server.admin_token`.
#[derive(Clone, PartialEq)]
pub struct AdminApi {
    /// Host name or IP address and port (1 to 65535) to listen on, an IPv6 address in brackets.
    pub address: String,
    /// What a caller presents as `Authorization: Bearer`; 16 to 1,024 bytes of printable ASCII without spaces.
    pub token: Secret,
}

/// `server.tls`.
#[derive(Clone, PartialEq)]
pub struct ServerTls {
    /// Certificate chain, leaf first.
    pub cert: Pem,
    /// Its private key.
    pub key: Pem,
    /// Roots of client certificates; present: a client without a valid one is refused.
    pub client_ca: Option<Pem>,
}

/// Where PEM text is found.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// In this file, read again on reload; a relative path is the caller's to resolve.
    File(PathBuf),
    /// The text itself.
    Text {
        /// Where it was found, for messages.
        whence: Whence,
        /// The text.
        text: Secret,
    },
}

/// Where a provider is reached: what makes two connections interchangeable.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// `https`.
    pub tls: bool,
    /// Host name or address as in the URL, lower case, an IPv6 address without brackets.
    pub host: String,
    /// Port, defaulted by the scheme.
    pub port: u16,
    /// How; shared by all origins of one provider, compared by value.
    pub transport: Arc<Transport>,
}

/// What stands between us and an origin, and what is trusted there: part of a connection's identity.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Transport {
    /// Certificates trusted beside the public and the system's roots: PEM text of `network_config.ca_cert_pem` and
    /// `proxy_config.ca_cert_pem`, checked when the file was read. Empty: none.
    pub extra_roots_pem: String,
    /// The provider's certificate is not verified.
    pub insecure_skip_verify: bool,
    /// The way there; `None`: straight.
    pub proxy: Option<Proxy>,
    /// Whether private addresses may be connected to. Loopback always may, link-local and metadata addresses never.
    pub allow_private_network: bool,
    /// Open connections to one origin, all cores of the node together, 1 to 10,000; `None`: no limit.
    pub connections_max: Option<usize>,
}

/// `proxy_config`, resolved: `environment` has become one of these, or none.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// What it speaks.
    pub kind: ProxyKind,
    /// Host name or address, lower case, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User and password, where it wants them.
    pub credentials: Option<(String, Secret)>,
}

/// A proxy's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyKind {
    /// HTTP/1.1 CONNECT (RFC 9110 §9.3.6).
    Http,
    /// SOCKS 5 (RFC 1928), the name resolved by the proxy; user and password by RFC 1929.
    Socks5,
}

impl Origin {
    /// The address, when the host is one and needs no resolving.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// One `providers.<name>`.
#[derive(Clone, PartialEq)]
pub struct Provider {
    /// The name in the file, lower case; the prefix in `provider/model`.
    pub name: String,
    /// The dialect it speaks; `None`: known by name, not served by this version.
    pub dialect: Option<Dialect>,
    /// Scheme, host and port of `base_url`; an empty host where `dialect` is `None` and the file names none.
    pub origin: Origin,
    /// The `Host` header's value.
    pub authority: String,
    /// What stands before the dialect's own path (`/v1/…`): empty or starting with `/`, never ending in one.
    pub base_path: String,
    /// Where each operation is; that of the list of models only where it may be asked for.
    pub targets: Targets,
    /// Which words of its dialect it takes; a custom provider's are those of its base.
    pub quirks: Quirks,
    /// It is a cloud: what it speaks differs by model, and its targets are its keys'.
    pub cloud: Option<Cloud>,
    /// What it may be asked for.
    pub operations: Operations,
    /// In the file's order, indexed by [`KeyId`]. Empty only for a key-less provider.
    pub keys: Vec<Key>,
    /// No key is chosen and no credential sent: a custom provider with `is_key_less`, or one whose keys only say where it is, by
    /// `base_url` alone.
    pub key_less: bool,
    /// `network_config.extra_headers`, valid, names in lower case and sorted; never one that authenticates or frames.
    pub extra_headers: Vec<(String, String)>,
    /// What of their values is secret by its looks, without a scheme before it, at least [`super::network::SECRET_BYTES_MIN`]
    /// long: it must not be read in an answer or a log.
    pub header_secrets: Vec<Secret>,
    /// Connect to last byte of a whole answer, and to the head of a streamed one.
    pub request_timeout: Duration,
    /// Longest silence between two reads of a stream.
    pub stream_idle_timeout: Duration,
    /// Longest time that an unused pooled connection is kept.
    pub keep_alive_timeout: Duration,
    /// From the sending of a streamed request to the first content of its answer; default: `request_timeout` and
    /// `stream_idle_timeout` together, at most a day.
    pub first_token_timeout: Duration,
    /// How long events without content (a role, a ping) are held back, from the first of them; default 5 s.
    pub first_token_hold: Duration,
    /// Further attempts on one request.
    pub retry: Retry,
    /// How a key is chosen among those that may serve.
    pub balance: Balance,
    /// When a key or the origin is kept off for a while.
    pub breaker: Breaker,
    /// Requests under way at a time; `None`: no limit.
    pub concurrency: Option<Concurrency>,
    /// What becomes of a request whose caller has left.
    pub on_client_gone: OnClientGone,
    /// Where requests for this provider go when it fails, unless they say so themselves: sorted by model, `*` (any other
    /// model) among them; each with its targets in order, as a caller would name them (`provider/model`, or `provider/`
    /// for the same model), at most [`FALLBACKS_MAX`].
    pub fallbacks: Vec<(String, Vec<String>)>,
}

/// Most fallbacks of one request.
pub const FALLBACKS_MAX: usize = 16;

/// `balance`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// Drawn by weight.
    #[default]
    Weighted,
    /// The one with the fewest requests under way for its weight, as this core sees it.
    LeastBusy,
    /// The one that answers soonest for its weight (peak-EWMA of the time to the first token), as this core sees it.
    Latency,
}

/// `breaker`: after which failures a key, or an origin, is tried only where nothing else can serve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breaker {
    /// Failures in a row; 1 to 1,000, default 10.
    pub failures_in_a_row: u32,
    /// Share of failures in `window`, over 0 to 1; default 0.5.
    pub failure_ratio: f64,
    /// Requests in `window` from which the share counts; 1 to 100,000, default 20.
    pub requests_min: u32,
    /// 1 s to 60 s, default 10 s.
    pub window: Duration,
    /// How long it stays open before one request may probe; 1 s to an hour, default 10 s.
    pub open: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        let (window, open) = (Duration::from_secs(10), Duration::from_secs(10));
        Self { failures_in_a_row: 10, failure_ratio: 0.5, requests_min: 20, window, open }
    }
}

/// `concurrency_and_buffer_size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// Requests that all cores of the node together may have under way; at least 1. A stream counts until its first event.
    pub requests_max: u32,
    /// Requests that may wait for a place; at least 1.
    pub waiting_max: u32,
}

/// `on_client_gone`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnClientGone {
    /// It is cancelled.
    #[default]
    Cancel,
    /// An answer that has begun, or is waited for, is read to its end, for the log and its usage.
    Finish,
}

/// The operations that a provider may be asked for: all of them, or those that a custom provider's `allowed_requests` sets
/// to true.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Operations(u64);

impl Operations {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Whether the operation is among them.
    pub fn has(self, operation: Operation) -> bool {
        self.0 & 1 << operation as u32 != 0
    }

    /// These and one more.
    #[must_use]
    pub fn with(self, operation: Operation) -> Self {
        Self(self.0 | 1 << operation as u32)
    }

    /// These but this one.
    #[must_use]
    pub fn without(self, operation: Operation) -> Self {
        Self(self.0 & !(1 << operation as u32))
    }
}

impl Default for Operations {
    /// All of them.
    fn default() -> Self {
        Operation::ALL.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Operation::ALL.into_iter().filter(|operation| self.has(*operation)).map(Operation::name);
        f.debug_list().entries(names).finish()
    }
}

/// `network_config.max_retries` and `retry_backoff_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts after the first; default 0.
    pub retries_max: u32,
    /// Wait before the first of them, doubled before each next one; default 500 ms, over 0 and at most `backoff_max`.
    pub backoff_initial: Duration,
    /// Longest of these waits; default 5 s, at most 1,000 s.
    pub backoff_max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        let (backoff_initial, backoff_max) = (Duration::from_millis(500), Duration::from_secs(5));
        Self { retries_max: 0, backoff_initial, backoff_max }
    }
}

/// One of a provider's keys.
#[derive(Clone, PartialEq)]
pub struct Key {
    /// Unique in the file; what logs, metrics and errors say.
    pub name: String,
    /// `id` of the file, or a UUID derived from the provider's and the key's name; unique in the file.
    pub id: String,
    /// What it authenticates by. `None`: what it refers to is unset, empty or unreadable, and the key is never used.
    pub credential: Option<Credential>,
    /// Where the value comes, or should have come, from.
    pub whence: Whence,
    /// Which models it may serve.
    pub models: Models,
    /// Deny list; wins over `models`. `*` denies all.
    pub blacklisted_models: Vec<String>,
    /// Requested name to wire name, sorted by requested name.
    pub aliases: Vec<(String, String)>,
    /// Share of the draw, 0 to 1e9; 0: only when alone.
    pub weight: f64,
    /// A disabled key is never chosen.
    pub enabled: bool,
    /// Where its requests go instead of to the provider's own place (`ollama_key_config` and its like).
    pub place: Option<Box<Place>>,
    /// By which paths a cloud is asked by it.
    pub faces: Option<Box<Faces>>,
    /// It is used without a secret: none is written, and its provider wants none.
    pub is_open: bool,
    /// `use_for_batch_api`: batches and files go by it. They go by no other.
    pub use_for_batch_api: bool,
}

/// Where a provider, or one key's part of it, is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// Scheme, host, port and the way there.
    pub origin: Origin,
    /// The `Host` header's value.
    pub authority: String,
    /// What stands before the provider's targets: empty or starting with `/`, never ending in one.
    pub base_path: String,
}

impl Provider {
    /// Scheme, host, port and the way there for a request by `key`.
    pub fn origin_of<'a>(&'a self, key: Option<&'a Key>) -> &'a Origin {
        key.and_then(|key| key.place.as_deref()).map_or(&self.origin, |place| &place.origin)
    }

    /// Every origin that its requests may go to, its own first; one may come twice.
    pub fn origins(&self) -> impl Iterator<Item = &Origin> {
        let places = self.keys.iter().filter_map(|key| key.place.as_deref());
        std::iter::once(&self.origin).chain(places.map(|place| &place.origin))
    }

    /// Whether a request to it finds a key, or needs none.
    pub fn has_key(&self) -> bool {
        self.key_less || self.keys.iter().any(Key::is_usable)
    }
}

impl Key {
    /// Whether it may be drawn at all: enabled, with a value where it wants one.
    pub fn is_usable(&self) -> bool {
        self.enabled && (self.is_open || self.credential.is_some())
    }

    /// Whether it is enabled, and its lists let it serve the model. The deny list wins; an alias counts as listed.
    pub fn serves(&self, model: &str) -> bool {
        self.enabled && self.denial(model).is_none() && self.allows(model)
    }

    /// The entry of its deny list that the model meets.
    pub fn denial(&self, model: &str) -> Option<&str> {
        self.blacklisted_models.iter().map(String::as_str).find(|name| *name == model || *name == "*")
    }

    /// The name by which the provider is asked for the model.
    pub fn wire_model<'a>(&'a self, model: &'a str) -> &'a str {
        self.aliases.iter().find(|(alias, _)| alias == model).map_or(model, |(_, wire)| wire)
    }

    /// Whether its allow list, or one of its aliases, has the model.
    pub fn allows(&self, model: &str) -> bool {
        let listed = match &self.models {
            Models::All => true,
            Models::Only(models) => models.iter().any(|name| name == model),
        };
        listed || self.aliases.iter().any(|(alias, _)| alias == model)
    }
}

/// A key's allow list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Models {
    /// `["*"]`, or left out.
    All,
    /// Exactly these, possibly none.
    Only(Vec<String>),
}

/// `logs_store`, when enabled.
#[derive(Clone, PartialEq)]
pub enum LogsStore {
    /// `type: "sqlite"`.
    Sqlite {
        /// The database file, as written: a relative one is the caller's to resolve.
        path: PathBuf,
    },
    /// `type: "postgres"`.
    Postgres(Postgres),
}

/// `logs_store.config` of type postgres.
#[derive(Clone, PartialEq)]
pub struct Postgres {
    /// Host name, address, or a folder holding a UNIX socket (starts with `/`).
    pub host: String,
    /// Default 5432.
    pub port: u16,
    /// Role.
    pub user: String,
    /// Empty: none.
    pub password: Option<Secret>,
    /// Database.
    pub db_name: String,
    /// Default `prefer`; `allow` is taken as `prefer`.
    pub ssl_mode: SslMode,
}

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS when the server offers it, unverified.
    Prefer,
    /// TLS, unverified.
    Require,
    /// TLS, chain verified.
    VerifyCa,
    /// TLS, chain and name verified.
    VerifyFull,
}

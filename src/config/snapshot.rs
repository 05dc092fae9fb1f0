//! What a config means once it is whole and valid: what each core owns a copy of. Ids are small indices, secrets have
//! no `Debug`, nothing is half-valid. It is not the file (`file`), and it holds no state of a run.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use super::secret::Secret;
use crate::dialect::Dialect;

/// One generation of the config, complete and immutable.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Counts up from 1 with every applied config of this process.
    pub generation: u64,
    /// 16 hex digits over the normalised meaning, secret values left out: equal on nodes with equal files.
    pub digest: String,
    /// `client.*`.
    pub client: Client,
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
#[derive(Clone, Debug)]
pub struct Client {
    /// Whether a request writes a log row (needs a logs store).
    pub enable_logging: bool,
    /// Whether rows carry input and output.
    pub content_logging: bool,
    /// Largest request body, bytes; default 100 MiB.
    pub body_bytes_max: usize,
    /// Full queue: refuse at once. No queue exists yet without `concurrency_and_buffer_size`; kept for it.
    pub drop_excess_requests: bool,
    /// Exact origins, `*`, or wildcard patterns, as written; localhost origins are always allowed. Default: none.
    pub allowed_origins: Vec<String>,
    /// Names added to `Access-Control-Allow-Headers`.
    pub allowed_headers: Vec<String>,
}

/// Where a provider is reached: what makes two connections interchangeable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// `https`.
    pub tls: bool,
    /// Host name or address as in the URL, lower case, an IPv6 address without brackets.
    pub host: String,
    /// Port, defaulted by the scheme.
    pub port: u16,
}

impl Origin {
    /// The address, when the host is one and needs no resolving.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// One `providers.<name>`.
#[derive(Clone, Debug)]
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
    /// Target of chat requests, `base_path` and the dialect's or provider's path; empty where `dialect` is `None`.
    pub chat_path: String,
    /// Target of the model list, likewise; `None`: the provider has none.
    pub models_path: Option<String>,
    /// In the file's order, indexed by [`KeyId`]. Empty only for a key-less custom provider.
    pub keys: Vec<Key>,
    /// A custom provider with `is_key_less`: no key is chosen and no credential sent.
    pub key_less: bool,
    /// `network_config.extra_headers`, valid, names in lower case and sorted; never one that authenticates or frames.
    pub extra_headers: Vec<(String, String)>,
    /// Connect to last byte of a whole answer, and to the head of a streamed one.
    pub request_timeout: Duration,
    /// Longest silence between two reads of a stream.
    pub stream_idle_timeout: Duration,
    /// Longest time that an unused pooled connection is kept.
    pub keep_alive_timeout: Duration,
}

/// One of a provider's keys.
#[derive(Clone, Debug)]
pub struct Key {
    /// Unique in the file; what logs, metrics and errors say.
    pub name: String,
    /// `id` of the file, or a UUID derived from the provider's and the key's name; unique in the file.
    pub id: String,
    /// `None`: its variable is unset or empty, and the key is never used.
    pub secret: Option<Secret>,
    /// The `env.` variable's name, when the value came (or should have come) from one.
    pub variable: Option<String>,
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
#[derive(Clone, Debug)]
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
#[derive(Clone, Debug)]
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

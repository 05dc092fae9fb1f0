//! The normal form of a config: what it means, in the words of config.json, with every default filled in, every value that
//! comes from elsewhere as it is referred to, and no secret. Equal meanings have equal forms, however they were written;
//! the digest is over it, and it loads again as it is where the config holds no literal secret. It decides nothing.

mod clouds;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use ring::{digest, hmac};
use serde_json::{Map, Value, json};

use super::Environment;
use super::aws;
use super::document::{At, joined};
use super::fallbacks::ANY_MODEL;
use super::network::is_secret_header;
use super::own_place;
use super::reference::{REDACTED, References, Resolved, looks_like_reference};
use super::snapshot::{
    AdminApi, Balance, Breaker, Client, Concurrency, Key, LogsStore, Models, OnClientGone, Origin, Pem,
    Place, Postgres, Provider, Proxy, ResponseHeaders, Retry, Secret, Server, ServerTls, Snapshot, SslMode,
    Transport, Whence,
};
use crate::dialect::Operation;
use crate::provider::{self, Cloud};

/// The variable that keys the digest over secrets.
const DIGEST_KEY: &str = "CORELANE_DIGEST_KEY";

/// A config's normal form. It holds no secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Normal {
    /// An object that could stand in config.json; keys sorted.
    pub config: Value,
    /// Its values that come from elsewhere, by their JSON pointer (RFC 6901) in `config`.
    pub references: BTreeMap<String, Reference>,
}

/// One value that comes from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Never [`Whence::Config`].
    pub whence: Whence,
    /// Whether anything was found there.
    pub is_set: bool,
}

impl Normal {
    /// 16 hex digits of SHA-256 over the form: equal on nodes with equal files, whatever values the variables have. It proves
    /// equality to people, not to attackers.
    pub fn digest(&self) -> String {
        // serde_json's objects are sorted as long as nobody turns its `preserve_order` on; a test of ours looks.
        hex(digest::digest(&digest::SHA256, self.config.to_string().as_bytes()).as_ref())
    }
}

/// What stands behind the references of a config and in place of its redacted values, by their pointers in its normal
/// form, and whether it is a secret. No `Debug`.
#[derive(Clone)]
pub(crate) struct Values(pub(crate) BTreeMap<String, (Secret, bool)>);

impl Values {
    /// 16 hex digits of HMAC-SHA256 over all secrets, keyed by a variable; `None`: it is unset or empty.
    pub(crate) fn digest(&self, environment: &dyn Environment) -> Option<String> {
        let key = environment.variable(DIGEST_KEY).map(Secret::new)?;
        let key = Some(key.expose().trim()).filter(|key| !key.is_empty())?;
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()));
        for (pointer, (secret, _)) in self.0.iter().filter(|(_, (_, is_secret))| *is_secret) {
            for text in [pointer.as_str(), secret.expose()] {
                // Lengths go before texts, so that no two lists run into the same bytes.
                context.update(&(text.len() as u64).to_be_bytes());
                context.update(text.as_bytes());
            }
        }
        Some(hex(context.sign().as_ref()))
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(16);
    for byte in bytes.iter().take(8) {
        let _ = write!(hex, "{byte:02x}"); // writing to a String can't fail
    }
    hex
}

/// Writes a snapshot down. `root` is the file that it was read from, `found` what was looked up meanwhile. Every struct is
/// taken apart by name, so that a new field can't be forgotten here.
pub(crate) fn write(snapshot: &Snapshot, root: &At<'_>, found: &References) -> (Normal, Values) {
    let Snapshot { generation: _, digest: _, client, server, providers, logs_store } = snapshot;
    let mut writer = Writer { found, references: BTreeMap::new(), values: BTreeMap::new() };
    let config = json!({
        "version": 2,
        "client": written_client(client),
        "server": writer.server(server, root.member("server").as_ref()),
        "providers": writer.providers(providers, root),
        "logs_store": writer.logs_store(logs_store.as_ref(), root),
    });
    let Writer { references, values, .. } = writer;
    (Normal { config, references }, Values(values))
}

fn written_client(client: &Client) -> Value {
    let Client {
        enable_logging,
        content_logging,
        body_bytes_max,
        drop_excess_requests,
        response_headers,
        allowed_origins,
        allowed_headers,
        header_filter,
    } = client;
    let [allowlist, denylist] = header_filter.entries();
    json!({
        "enable_logging": enable_logging,
        "disable_content_logging": !content_logging,
        "max_request_body_size_mb": body_bytes_max / (1024 * 1024),
        "drop_excess_requests": drop_excess_requests,
        "response_headers": match response_headers {
            ResponseHeaders::Full => "full",
            ResponseHeaders::Minimal => "minimal",
            ResponseHeaders::None => "none",
        },
        "allowed_origins": allowed_origins.entries().collect::<Vec<_>>(),
        "allowed_headers": allowed_headers,
        "header_filter_config": { "allowlist": allowlist, "denylist": denylist },
    })
}

/// What is done with a value that stands in the file.
enum Literal {
    /// It is shown, in these words.
    Shown(Value),
    /// It is shown as it stands.
    AsItStands,
    /// It is not shown.
    Secret,
    /// A URL is shown in these words, and the user that it holds is not.
    WithoutUser(Value),
}

/// Gathers what comes from elsewhere while the form is written.
struct Writer<'a> {
    found: &'a References,
    references: BTreeMap<String, Reference>,
    values: BTreeMap<String, (Secret, bool)>,
}

impl Writer<'_> {
    /// A value that may come from elsewhere; `at` is where the file has it, `pointer` where the form has it.
    fn value(&mut self, at: Option<At<'_>>, pointer: String, literal: Literal) -> Value {
        let resolved = at.and_then(|at| self.found.at(&at.pointer));
        let text = resolved.and_then(|resolved| resolved.text.as_ref());
        let is_secret = matches!(literal, Literal::Secret | Literal::WithoutUser(_));
        let is_shown = !is_secret && resolved.is_some_and(|resolved| resolved.whence == Whence::Config);
        if let Some(text) = text.filter(|_| !is_shown) {
            self.values.insert(pointer.clone(), (text.clone(), is_secret));
        }
        match (resolved, literal) {
            (Some(Resolved { whence: whence @ (Whence::Variable(_) | Whence::File(_)), .. }), _) => {
                let reference = Reference { whence: whence.clone(), is_set: text.is_some() };
                self.references.insert(pointer, reference);
                Value::from(whence.to_string())
            }
            (_, Literal::Shown(value) | Literal::WithoutUser(value)) => value,
            (_, Literal::AsItStands) => text.map_or(Value::from(""), |text| plain(text.expose())),
            (_, Literal::Secret) if text.is_some() => Value::from(REDACTED),
            (_, Literal::Secret) => Value::from(""),
        }
    }

    fn server(&mut self, server: &Server, at: Option<&At<'_>>) -> Value {
        let Server {
            tls,
            trusted_proxies,
            proxy_protocol,
            connections_per_core_max,
            request_total_timeout,
            admin,
        } = server;
        let mut form = json!({
            "trusted_proxies": trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "proxy_protocol": proxy_protocol,
            "max_connections_per_core": connections_per_core_max,
            "request_total_timeout_seconds": request_total_timeout.as_secs(),
        });
        let member = |name: &str| at.and_then(|at| at.member(name));
        let mut add = |name: &str, value| {
            form.as_object_mut().map(|form| form.insert(name.to_owned(), value));
        };
        if let Some(tls) = tls {
            add("tls", self.tls(tls, member("tls").as_ref()));
        }
        if let Some(AdminApi { address, token: _ }) = admin {
            add("admin_address", Value::from(address.as_str()));
            let token = self.value(member("admin_token"), "/server/admin_token".to_owned(), Literal::Secret);
            add("admin_token", token);
        }
        form
    }

    fn tls(&mut self, tls: &ServerTls, at: Option<&At<'_>>) -> Value {
        let ServerTls { cert, key, client_ca } = tls;
        let mut form = Map::new();
        for (name, pem) in [("cert", Some(cert)), ("key", Some(key)), ("client_ca", client_ca.as_ref())] {
            let at = at.and_then(|at| at.member(name));
            let from_elsewhere = at.as_ref().is_some_and(|at| {
                self.found.at(&at.pointer).is_some_and(|found| found.whence != Whence::Config)
            });
            let literal = match pem {
                None => continue,
                Some(_) if from_elsewhere && name == "key" => Literal::Secret,
                Some(Pem::File(path)) => Literal::Shown(plain(&path.to_string_lossy())),
                Some(Pem::Text { .. }) => Literal::AsItStands,
            };
            form.insert(name.to_owned(), self.value(at, format!("/server/tls/{name}"), literal));
        }
        Value::Object(form)
    }

    fn providers(&mut self, providers: &[Provider], root: &At<'_>) -> Value {
        let Some(section) = root.member("providers") else { return json!({}) };
        let places: HashMap<String, At<'_>> =
            section.members().map(|(written, at)| (written.to_lowercase(), at)).collect();
        let forms = providers.iter().filter_map(|provider| {
            let at = places.get(&provider.name)?;
            Some((provider.name.clone(), self.provider(provider, at)))
        });
        Value::Object(forms.collect())
    }

    fn provider(&mut self, provider: &Provider, at: &At<'_>) -> Value {
        let Provider {
            name,
            dialect,
            origin: Origin { tls: _, host: _, port: _, transport }, // `base_url`
            authority: _,
            base_path: _,
            targets: _, // `written_custom`, or from the name and the base path
            quirks: _,  // from the name, or the base
            cloud,
            operations: _,
            keys,
            key_less: _,
            extra_headers,
            header_secrets: _, // of the ones before
            request_timeout,
            stream_idle_timeout,
            keep_alive_timeout,
            first_token_timeout,
            first_token_hold,
            retry: Retry { retries_max, backoff_initial, backoff_max },
            balance: _, // `written_pacing`, like the next four
            breaker: _,
            concurrency: _,
            on_client_gone: _,
            fallbacks: _,
        } = provider;
        let pointer = joined("/providers", name);
        let mut network = json!({
            "base_url": base_url(provider),
            "extra_headers": self.headers(extra_headers, &format!("{pointer}/network_config/extra_headers")),
            "default_request_timeout_in_seconds": request_timeout.as_secs(),
            "stream_idle_timeout_in_seconds": stream_idle_timeout.as_secs(),
            "keep_alive_timeout_in_seconds": keep_alive_timeout.as_secs(),
            "first_token_timeout": milliseconds(*first_token_timeout),
            "first_token_hold_ms": milliseconds(*first_token_hold),
            "max_retries": retries_max,
            "retry_backoff_initial": milliseconds(*backoff_initial),
            "retry_backoff_max": milliseconds(*backoff_max),
        });
        let mut form = written_pacing(provider);
        form.insert("keys".to_owned(), self.keys((keys, *cloud), at, &pointer));
        // Of a provider that is not served, what stands on the way to it was never read.
        if dialect.is_some() {
            let (to_network, to_proxy) = self.transport(transport, at, &pointer);
            if let Some(network) = network.as_object_mut() {
                network.extend(to_network);
            }
            form.insert("proxy_config".to_owned(), to_proxy);
        }
        form.insert("network_config".to_owned(), network);
        if let Some(custom) = at.member("custom_provider_config") {
            form.insert("custom_provider_config".to_owned(), written_custom(provider, &custom));
        }
        Value::Object(form)
    }

    /// Those that carry a secret are redacted.
    fn headers(&mut self, headers: &[(String, String)], pointer: &str) -> Value {
        let mut shown = |(name, value): &(String, String)| {
            if !is_secret_header(name, value) {
                return (name.clone(), Value::from(value.as_str()));
            }
            self.values.insert(joined(pointer, name), (Secret::new(value.as_str()), true));
            (name.clone(), Value::from(REDACTED))
        };
        headers.iter().map(&mut shown).collect()
    }

    fn keys(&mut self, (keys, cloud): (&[Key], Option<Cloud>), provider: &At<'_>, pointer: &str) -> Value {
        let Some(section) = provider.member("keys") else { return json!([]) };
        let forms = keys.iter().zip(section.elements()).enumerate();
        let form = |(index, (key, at))| {
            let pointer = format!("{pointer}/keys/{index}");
            let mut form = self.key(key, &at, &pointer);
            if let (Some(cloud), Some(form)) = (cloud, form.as_object_mut()) {
                let (name, section) = self.cloud(cloud, &at, key.place.as_deref(), &pointer);
                form.insert(name.to_owned(), Value::Object(section));
            }
            form
        };
        forms.map(form).collect()
    }

    fn key(&mut self, key: &Key, at: &At<'_>, pointer: &str) -> Value {
        let Key {
            name,
            id,
            credential: _, // `value`, and `aws`
            whence: _,
            models,
            blacklisted_models,
            aliases,
            weight,
            enabled,
            place,
            faces: _,   // from the section, `cloud`
            is_open: _, // no `value`
            use_for_batch_api,
        } = key;
        let models = match models {
            Models::All => vec!["*"],
            Models::Only(models) => sorted(models),
        };
        let mut form = json!({
            "name": name,
            "id": id,
            "value": self.value(at.member("value"), format!("{pointer}/value"), Literal::Secret),
            "models": models,
            "blacklisted_models": sorted(blacklisted_models),
            "aliases": map(aliases),
            "weight": number(*weight),
            "enabled": enabled,
        });
        if let (true, Some(form)) = (use_for_batch_api, form.as_object_mut()) {
            form.insert("use_for_batch_api".to_owned(), Value::Bool(true));
        }
        let written = own_place::SECTIONS.into_iter().find(|section| at.member(section).is_some());
        if let (Some(place), Some(section), Some(form)) = (place, written, form.as_object_mut()) {
            form.insert(section.to_owned(), json!({ "url": place_url(place) }));
        }
        let aws = at.member(aws::SECTION).map(|at| self.aws(&at, &joined(pointer, aws::SECTION)));
        if let (Some(aws), Some(form)) = (aws.filter(|aws| !aws.is_empty()), form.as_object_mut()) {
            form.insert(aws::SECTION.to_owned(), Value::Object(aws));
        }
        form
    }

    /// What it adds to `network_config`, and `proxy_config`.
    fn transport(
        &mut self,
        transport: &Transport,
        at: &At<'_>,
        pointer: &str,
    ) -> (Map<String, Value>, Value) {
        let Transport {
            extra_roots_pem: _, // both of `ca_cert_pem`, as they are written
            insecure_skip_verify,
            proxy,
            allow_private_network,
            connections_max,
        } = transport;
        let network = at.member("network_config");
        let roots = network.and_then(|network| network.member("ca_cert_pem"));
        let roots = self.value(roots, format!("{pointer}/network_config/ca_cert_pem"), Literal::AsItStands);
        let network = [
            ("insecure_skip_verify", Value::from(*insecure_skip_verify)),
            ("allow_private_network", Value::from(*allow_private_network)),
            ("max_conns_per_host", Value::from(connections_max.unwrap_or_default())),
            ("ca_cert_pem", roots),
        ];
        let network = network.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let section = at.member("proxy_config");
        (network, self.proxy(proxy.as_ref(), section.as_ref(), &joined(pointer, "proxy_config")))
    }

    /// As the file says it, since what the process's environment names differs from node to node.
    fn proxy(&mut self, proxy: Option<&Proxy>, at: Option<&At<'_>>, pointer: &str) -> Value {
        let member = |name: &str| at.and_then(|at| at.member(name));
        let kind =
            member("type").and_then(|kind| kind.text().map(str::to_owned)).filter(|kind| !kind.is_empty());
        let kind = kind.unwrap_or_else(|| "none".to_owned());
        let mut form = Map::new();
        let names: &[&str] = match kind.as_str() {
            "http" | "socks5" => &["url", "username", "password", "ca_cert_pem"],
            "environment" => &["ca_cert_pem"],
            _ => &[],
        };
        for name in names {
            let literal = match *name {
                "url" => self.proxy_url(proxy, member("url")),
                "password" => Literal::Secret,
                _ => Literal::AsItStands,
            };
            form.insert((*name).to_owned(), self.value(member(name), joined(pointer, name), literal));
        }
        form.insert("type".to_owned(), Value::from(kind));
        Value::Object(form)
    }

    /// A URL that holds a user, or comes from elsewhere and may, is a secret; of one in the file all but the user is shown.
    fn proxy_url(&mut self, proxy: Option<&Proxy>, at: Option<At<'_>>) -> Literal {
        let resolved = at.and_then(|at| self.found.at(&at.pointer));
        let Some((Resolved { whence: Whence::Config, text: Some(text), .. }, proxy)) = resolved.zip(proxy)
        else {
            return Literal::Secret;
        };
        let Proxy { kind, host, port, credentials: _ } = proxy;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        match text.expose().contains('@') {
            true => Literal::WithoutUser(Value::from(format!("{kind}://{REDACTED}@{host}:{port}"))),
            false => Literal::Shown(Value::from(format!("{kind}://{host}:{port}"))),
        }
    }

    fn logs_store(&mut self, store: Option<&LogsStore>, root: &At<'_>) -> Value {
        let Some(store) = store else { return json!({ "enabled": false }) };
        let at = root.member("logs_store").and_then(|section| section.member("config"));
        let mut value = |name: &str, literal| {
            let at = at.as_ref().and_then(|at| at.member(name));
            self.value(at, format!("/logs_store/config/{name}"), literal)
        };
        let (kind, config) = match store {
            LogsStore::Sqlite { path } => {
                ("sqlite", json!({ "path": value("path", Literal::Shown(plain(&path.to_string_lossy()))) }))
            }
            LogsStore::Postgres(Postgres { host, port, user, password: _, db_name, ssl_mode }) => (
                "postgres",
                json!({
                    "host": value("host", Literal::Shown(plain(host))),
                    "port": value("port", Literal::Shown(Value::from(*port))),
                    "user": value("user", Literal::Shown(plain(user))),
                    "password": value("password", Literal::Secret),
                    "db_name": value("db_name", Literal::Shown(plain(db_name))),
                    "ssl_mode": value("ssl_mode", Literal::Shown(Value::from(ssl_mode_word(*ssl_mode)))),
                }),
            ),
        };
        json!({ "enabled": true, "type": kind, "config": config })
    }
}

/// A literal that looks like a reference says that it is none.
fn plain(text: &str) -> Value {
    match looks_like_reference(text) {
        true => json!({ "value": text, "type": "plain_text" }),
        false => Value::from(text),
    }
}

/// How a key is chosen, when it is kept off, what the provider bears, and where its requests go then.
fn written_pacing(provider: &Provider) -> Map<String, Value> {
    let Provider { balance, breaker, concurrency, on_client_gone, fallbacks, .. } = provider;
    let Breaker { failures_in_a_row, failure_ratio, requests_min, window, open } = breaker;
    let balance = match balance {
        Balance::Weighted => "weighted",
        Balance::LeastBusy => "least_busy",
        Balance::Latency => "latency",
    };
    let on_client_gone = match on_client_gone {
        OnClientGone::Cancel => "cancel",
        OnClientGone::Finish => "finish",
    };
    let form = json!({
        "balance": balance,
        "breaker": {
            "failures_in_a_row": failures_in_a_row,
            "failure_ratio": number(*failure_ratio),
            "requests_min": requests_min,
            "window_seconds": window.as_secs(),
            "open_seconds": open.as_secs(),
        },
        "on_client_gone": on_client_gone,
        "fallbacks": written_fallbacks(fallbacks),
    });
    let mut form = if let Value::Object(form) = form { form } else { Map::new() };
    if let Some(Concurrency { requests_max, waiting_max }) = concurrency {
        let both = json!({ "concurrency": requests_max, "buffer_size": waiting_max });
        form.insert("concurrency_and_buffer_size".to_owned(), both);
    }
    form
}

/// The list alone where it is that of every model.
fn written_fallbacks(fallbacks: &[(String, Vec<String>)]) -> Value {
    match fallbacks {
        [] => json!([]),
        [(model, targets)] if model == ANY_MODEL => json!(targets),
        lists => lists.iter().map(|(model, targets)| (model.clone(), json!(targets))).collect(),
    }
}

fn written_custom(provider: &Provider, at: &At<'_>) -> Value {
    let Provider { operations, key_less, .. } = provider;
    let allowed = Operation::ALL.map(|operation| (operation.name().to_owned(), operations.has(operation)));
    let base =
        at.member("base_provider_type").and_then(|base| base.text()).unwrap_or_default().to_lowercase();
    json!({
        "request_path_overrides": map(&path_overrides(provider, &base)),
        "base_provider_type": base,
        "is_key_less": key_less,
        "allowed_requests": Value::from_iter(allowed),
    })
}

/// The paths that are not those of the provider that it is based on.
fn path_overrides(provider: &Provider, base: &str) -> Vec<(String, String)> {
    let Provider { base_path, targets, .. } = provider;
    let entry = provider::find(base).filter(|_| provider.dialect.is_some());
    let Some(entry) = entry else { return Vec::new() };
    let others = Operation::ALL.into_iter().filter_map(|operation| {
        let path = targets.of(operation)?;
        let path = path.strip_prefix(base_path.as_str()).unwrap_or(path);
        let is_other = !path.is_empty() && entry.path(operation).as_deref() != Some(path);
        is_other.then(|| (operation.name().to_owned(), path.to_owned()))
    });
    others.collect()
}

/// Milliseconds, or what Go writes of a time that is not whole.
fn milliseconds(time: Duration) -> Value {
    match u64::try_from(time.as_millis()) {
        Ok(whole) if Duration::from_millis(whole) == time => Value::from(whole),
        _ => Value::from(format!("{}ns", time.as_nanos())),
    }
}

/// With the `/v1` of its own that the reader would take for the dialect's.
fn base_url(provider: &Provider) -> String {
    let Provider { name, dialect, origin, authority, base_path, .. } = provider;
    if origin.host.is_empty() {
        return String::new();
    }
    let scheme = if origin.tls { "https" } else { "http" };
    let brings_version = provider::find(name).map_or(dialect.is_some(), |entry| entry.version == "/v1");
    let version = if brings_version && base_path.ends_with("/v1") { "/v1" } else { "" };
    format!("{scheme}://{authority}{base_path}{version}")
}

fn place_url(place: &Place) -> String {
    let scheme = if place.origin.tls { "https" } else { "http" };
    format!("{scheme}://{}{}", place.authority, place.base_path)
}

fn ssl_mode_word(mode: SslMode) -> &'static str {
    match mode {
        SslMode::Disable => "disable",
        SslMode::Prefer => "prefer",
        SslMode::Require => "require",
        SslMode::VerifyCa => "verify-ca",
        SslMode::VerifyFull => "verify-full",
    }
}

/// Without a point where it is whole.
fn number(number: f64) -> Value {
    match number.fract() == 0.0 {
        true => Value::from(number as u64), // at most `WEIGHT_MAX`
        false => Value::from(number),
    }
}

/// A list whose order means nothing.
fn sorted(names: &[String]) -> Vec<&str> {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn map(pairs: &[(String, String)]) -> Value {
    pairs.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect()
}

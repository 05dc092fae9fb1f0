//! The digest of a config's meaning: equal on nodes with equal files, whatever the order of keys, the spaces, or the values
//! of the variables. Of a secret only its variable's name goes in. It proves equality to people, not to attackers.

use std::fmt::Write as _;

use ring::digest::{Context, SHA256};

use super::server::Listener;
use super::snapshot::{
    AdminApi, Client, Key, LogsStore, Models, Origin, Pem, Postgres, Provider, Server, ServerTls, Transport,
};
use super::stores::Stores;
use super::transport::Sources;

/// 16 hex digits. Every struct is taken apart by name, so that a new field can't be forgotten here.
/// `sources` are those of the providers' transports, in the same order.
pub(crate) fn digest(
    client: &Client,
    listener: &Listener,
    providers: &[Provider],
    sources: &[Sources],
    stores: &Stores,
) -> String {
    let mut fields = Fields(Context::new(&SHA256));
    fields.add("format", "3");
    add_client(&mut fields, client);
    add_server(&mut fields, listener);
    for (provider, sources) in providers.iter().zip(sources) {
        add_provider(&mut fields, provider);
        add_transport(&mut fields, &provider.origin.transport, sources);
    }
    add_stores(&mut fields, stores);
    let mut hex = String::with_capacity(16);
    for byte in fields.0.finish().as_ref().iter().take(8) {
        let _ = write!(hex, "{byte:02x}"); // writing to a String can't fail
    }
    hex
}

struct Fields(Context);

impl Fields {
    /// Lengths go before texts, so that no two lists of fields run into the same bytes.
    fn add(&mut self, name: &str, value: &str) {
        for text in [name, value] {
            self.0.update(&(text.len() as u64).to_be_bytes());
            self.0.update(text.as_bytes());
        }
    }

    fn add_all(&mut self, name: &str, values: &[String]) {
        self.add(name, &values.len().to_string());
        values.iter().for_each(|value| self.add(name, value));
    }

    fn add_pairs(&mut self, name: &str, pairs: &[(String, String)]) {
        self.add(name, &pairs.len().to_string());
        pairs.iter().for_each(|(from, to)| self.add(from, to));
    }
}

fn add_client(fields: &mut Fields, client: &Client) {
    let Client {
        enable_logging,
        content_logging,
        body_bytes_max,
        drop_excess_requests,
        allowed_origins,
        allowed_headers,
    } = client;
    fields.add("enable_logging", &enable_logging.to_string());
    fields.add("content_logging", &content_logging.to_string());
    fields.add("body_bytes_max", &body_bytes_max.to_string());
    fields.add("drop_excess_requests", &drop_excess_requests.to_string());
    fields.add_all("allowed_origins", &allowed_origins.entries().map(str::to_owned).collect::<Vec<_>>());
    fields.add_all("allowed_headers", allowed_headers);
}

fn add_server(fields: &mut Fields, listener: &Listener) {
    let Listener { server, variables } = listener;
    let Server { tls, trusted_proxies, proxy_protocol, connections_per_core_max, admin } = server;
    fields.add("tls", &tls.is_some().to_string());
    if let Some(ServerTls { cert, key, client_ca }) = tls {
        for (name, pem) in [("cert", Some(cert)), ("key", Some(key)), ("client_ca", client_ca.as_ref())] {
            let variable = variables.iter().find(|(field, _)| *field == name);
            match (variable, pem) {
                (Some((_, variable)), _) => fields.add(name, &format!("env.{variable}")),
                (None, Some(Pem::File(path))) => fields.add(name, &path.to_string_lossy()),
                (None, Some(Pem::Variable { name: variable, .. })) => fields.add(name, variable),
                (None, None) => fields.add(name, ""),
            }
        }
    }
    fields.add_all("trusted_proxies", &trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>());
    fields.add("proxy_protocol", &proxy_protocol.to_string());
    fields.add("connections_per_core_max", &connections_per_core_max.to_string());
    if let Some(AdminApi { address, token: _ }) = admin {
        fields.add("admin_address", address);
        let variable = variables.iter().find(|(field, _)| *field == "admin_token");
        let written = variable.map(|(_, variable)| format!("env.{variable}"));
        fields.add("admin_token", written.as_deref().unwrap_or("in the file"));
    }
}

fn add_transport(fields: &mut Fields, transport: &Transport, sources: &Sources) {
    let Transport {
        extra_roots_pem: _, // by its sources, like the proxy: variables may differ from node to node
        insecure_skip_verify,
        proxy: _,
        allow_private_network,
        connections_max,
    } = transport;
    let Sources(sources) = sources;
    fields.add("insecure_skip_verify", &insecure_skip_verify.to_string());
    fields.add("allow_private_network", &allow_private_network.to_string());
    fields.add("connections_max", &connections_max.map(|max| max.to_string()).unwrap_or_default());
    fields.add("sources", &sources.len().to_string());
    sources.iter().for_each(|(field, written)| fields.add(field, written));
}

fn add_provider(fields: &mut Fields, provider: &Provider) {
    let Provider {
        name,
        dialect,
        origin,
        authority: _, // follows from the origin
        base_path,
        chat_path,
        chat_stream_path,
        models_path,
        operations,
        keys,
        key_less,
        extra_headers,
        request_timeout,
        stream_idle_timeout,
        keep_alive_timeout,
        retry,
    } = provider;
    fields.add("provider", name);
    fields.add("dialect", &format!("{dialect:?}"));
    let Origin { tls, host, port, transport: _ } = origin; // `add_transport`
    fields.add("origin", &format!("{tls} {host} {port}"));
    fields.add("base_path", base_path);
    fields.add("chat_path", chat_path);
    fields.add("chat_stream_path", chat_stream_path);
    fields.add("models_path", models_path.as_deref().unwrap_or_default());
    fields.add("operations", &format!("{operations:?}"));
    fields.add("retry", &format!("{retry:?}"));
    fields.add("key_less", &key_less.to_string());
    fields.add_pairs("extra_headers", extra_headers);
    for timeout in [request_timeout, stream_idle_timeout, keep_alive_timeout] {
        fields.add("timeout_ms", &timeout.as_millis().to_string());
    }
    keys.iter().for_each(|key| add_key(fields, key));
}

fn add_key(fields: &mut Fields, key: &Key) {
    let Key { name, id, secret, variable, models, blacklisted_models, aliases, weight, enabled } = key;
    fields.add("key", name);
    fields.add("id", id);
    match variable {
        Some(variable) => fields.add("value", &format!("env.{variable}")), // set or not: nodes may differ
        None => fields.add("value", if secret.is_some() { "in the file" } else { "none" }),
    }
    match models {
        Models::All => fields.add("models", "*"),
        Models::Only(models) => fields.add_all("models", models),
    }
    fields.add_all("blacklisted_models", blacklisted_models);
    fields.add_pairs("aliases", aliases);
    fields.add("weight", &weight.to_string());
    fields.add("enabled", &enabled.to_string());
}

fn add_stores(fields: &mut Fields, stores: &Stores) {
    let Stores { logs_store, variables } = stores;
    // Where a field came from a variable its name stands for the value, which may differ from node to node.
    let mut add = |name: &str, value: &str| {
        match variables.iter().find(|(field, _)| *field == name) {
            Some((_, variable)) => fields.add(name, &format!("env.{variable}")),
            None => fields.add(name, value),
        };
    };
    match logs_store {
        None => add("logs_store", "none"),
        Some(LogsStore::Sqlite { path }) => {
            add("logs_store", "sqlite");
            add("path", &path.to_string_lossy());
        }
        Some(LogsStore::Postgres(Postgres { host, port, user, password, db_name, ssl_mode })) => {
            add("logs_store", "postgres");
            add("host", host);
            add("port", &port.to_string());
            add("user", user);
            add("password", if password.is_some() { "in the file" } else { "none" });
            add("db_name", db_name);
            add("ssl_mode", &format!("{ssl_mode:?}"));
        }
    }
}

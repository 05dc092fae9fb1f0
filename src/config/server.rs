//! `server`: what stands between callers and this node: TLS, who is believed about a caller's address, how many
//! connections. It reads no certificate's file and listens nowhere (`net` and `worker` do).

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::document::{At, Value};
use super::fault::Printable;
use super::file::SERVER_TLS;
use super::reference::{Present, Written, require, written};
use super::snapshot::{AdminApi, Pem, Secret, Server, ServerTls, Whence};
use super::url::{check_host, split_port};
use super::{Reading, pem, validate};

/// Connections of one core where the file says nothing: 256 MiB of them at 8 KiB each.
const CONNECTIONS_PER_CORE_DEFAULT: usize = 32_768;
/// Longest `request_total_timeout_seconds`: a day.
pub(crate) const REQUEST_TOTAL_SECONDS_MAX: u64 = 86_400;
/// Largest `max_connections_per_core`; a process seldom may open more descriptors.
pub(crate) const CONNECTIONS_PER_CORE_MAX: u64 = 1_000_000;
/// Most `trusted_proxies`: each connection's peer is looked for among them.
const TRUSTED_PROXIES_MAX: usize = 1_024;
/// Shortest `admin_token`, bytes: what cannot be guessed.
const ADMIN_TOKEN_BYTES_MIN: usize = 16;
/// Taken for a token that is missing where that is no fault.
const TOKEN_STAND_IN: &str = "unset-unset-unset-unset";
/// Longest, bytes: it stands in a header.
const ADMIN_TOKEN_BYTES_MAX: usize = 1_024;
/// Longest path, bytes: Linux's PATH_MAX.
const PATH_BYTES_MAX: usize = 4_096;

/// Reads the section, or its defaults where it is left out.
pub(crate) fn read(root: &At<'_>, reading: &mut Reading<'_, '_>) -> Server {
    let section = root.member("server");
    let member = |name: &str| section.as_ref().and_then(|section| section.member(name));
    let tls = member("tls").and_then(|at| tls(&at, reading));
    let trusted_proxies = member("trusted_proxies").map(|at| networks(&at, reading)).unwrap_or_default();
    let proxy_protocol = member("proxy_protocol").filter(|at| at.bool() == Some(true));
    if let Some(at) = &proxy_protocol
        && member("trusted_proxies").is_none_or(|at| at.elements().count() == 0)
    {
        let message = "needs \"trusted_proxies\": a PROXY header is believed from the peers named there, and from nobody else";
        reading.report.fault(at.name_spot(), message);
    }
    let connections_per_core_max = member("max_connections_per_core")
        .and_then(|at| usize::try_from(at.integer()?).ok())
        .unwrap_or(CONNECTIONS_PER_CORE_DEFAULT);
    let proxy_protocol = proxy_protocol.is_some();
    let admin = section.as_ref().and_then(|section| admin(section, reading));
    let request_total_timeout = member("request_total_timeout_seconds")
        .and_then(|at| at.integer())
        .map_or(Server::default().request_total_timeout, Duration::from_secs);
    Server { tls, trusted_proxies, proxy_protocol, connections_per_core_max, request_total_timeout, admin }
}

/// The admin API's address and token; without an address there is none.
fn admin(section: &At<'_>, reading: &mut Reading<'_, '_>) -> Option<AdminApi> {
    let token_at = section.member("admin_token").filter(validate::asks);
    let Some(address_at) = section.member("admin_address").filter(validate::asks) else {
        if let Some(at) = token_at {
            let message =
                "has no effect: without \"admin_address\" the admin API is on the admin socket alone";
            reading.report.warn(at.name_spot(), message);
        }
        return None;
    };
    // Each is read before any is missed, so that all faults are reported.
    let address = admin_address(&address_at, reading);
    let token = token_at.map_or(Some(None), |at| admin_token(&at, reading))?;
    if token.is_none() {
        let message = "needs \"admin_token\", of 16 characters or more: nobody is let in for an address alone; \
             write \"admin_token\": \"env.ADMIN_TOKEN\"";
        reading.report.fault(address_at.name_spot(), message);
    }
    Some(AdminApi { address: address?, token: token? })
}

/// `host:port`, the host in lower case.
fn admin_address(at: &At<'_>, reading: &mut Reading<'_, '_>) -> Option<String> {
    let text = at.text()?;
    let address = split_port(text).and_then(|(host, port)| {
        let port = port.ok_or("the port is missing")?;
        let host = check_host(host)?;
        Ok(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
    });
    if let Err(reason) = address {
        let message =
            format!("\"{}\" is no address such as 127.0.0.1:8081 or [::1]:8081: {reason}", Printable(text));
        reading.report.fault(at.spot(), message);
    }
    address.ok()
}

/// `None`: faulty, and reported; `Some(None)`: empty in the file.
fn admin_token(at: &At<'_>, reading: &mut Reading<'_, '_>) -> Option<Option<Secret>> {
    let Some(Present { text, whence }) = require(at, TOKEN_STAND_IN, reading)? else { return Some(None) };
    let source = whence.source();
    let bytes = text.expose().len();
    if !(ADMIN_TOKEN_BYTES_MIN..=ADMIN_TOKEN_BYTES_MAX).contains(&bytes) {
        let message = format!(
            "the token{source} has {bytes} characters; expected {ADMIN_TOKEN_BYTES_MIN} to {ADMIN_TOKEN_BYTES_MAX}"
        );
        reading.report.fault(at.spot(), message);
        return None;
    }
    if !text.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        let message =
            format!("the token{source} holds a space, a line break or another character that no header has");
        reading.report.fault(at.spot(), message);
        return None;
    }
    Some(Some(text))
}

fn tls(at: &At<'_>, reading: &mut Reading<'_, '_>) -> Option<ServerTls> {
    if !matches!(at.node.value, Value::Object(_)) {
        return None; // reported as a wrong type
    }
    check_names(at, reading);
    // Each is read before any is missed, so that all faults are reported.
    let mut pem = |name: &'static str| match at.member(name) {
        Some(member) => pem(&member, reading).map(Some),
        None => Some(None),
    };
    let (cert, key, client_ca) = (pem("cert"), pem("key"), pem("client_ca"));
    for (name, field) in [("cert", &cert), ("key", &key)] {
        if matches!(field, Some(None)) {
            let message =
                format!("no \"{name}\": TLS needs a certificate (\"cert\") and its private key (\"key\")");
            reading.report.fault(at.name_spot(), message);
        }
    }
    Some(ServerTls { cert: cert??, key: key??, client_ca: client_ca? })
}

/// A key that is not understood here could be one that was to keep callers out.
fn check_names(at: &At<'_>, reading: &mut Reading<'_, '_>) {
    for (name, member) in at.members() {
        if !SERVER_TLS.iter().any(|key| key.name == name) {
            let hint = validate::did_you_mean(name, SERVER_TLS.iter().map(|key| key.name));
            let message = format!("unknown key \"{}\"{hint}", Printable(name));
            reading.report.fault(member.name_spot(), message);
        }
    }
}

/// A file's path, with or without `file:`, or a variable that holds one or PEM text. `None`: faulty, and reported.
fn pem(at: &At<'_>, reading: &mut Reading<'_, '_>) -> Option<Pem> {
    if let Written::File(path) = written(at, reading.report)? {
        return Some(Pem::File(path));
    }
    let Some(present) = require(at, "unset", reading)? else {
        reading.report.fault(at.spot(), "is empty; expected a PEM file's path or \"env.NAME\"");
        return None;
    };
    let text = present.text.expose();
    let is_pem = text.trim_start().starts_with(pem::BEGIN);
    let fault = match &present.whence {
        Whence::Config if is_pem => {
            Some("is PEM text; expected a PEM file's path, or \"env.NAME\" of a variable that holds the text")
        }
        _ if is_pem && text.len() > pem::PEM_BYTES_MAX => Some("has more than 1 MiB of PEM text"),
        _ if is_pem => None,
        _ if text.len() > PATH_BYTES_MAX => {
            Some("is longer than a path may be, 4,096 bytes, and begins no PEM text")
        }
        _ if text.chars().any(char::is_control) => Some("holds a control character, and begins no PEM text"),
        _ => None,
    };
    if let Some(fault) = fault {
        let source = present.whence.source();
        let subject = if source.is_empty() { String::new() } else { format!("the value{source} ") };
        reading.report.fault(at.spot(), format!("{subject}{fault}"));
        return None;
    }
    if is_pem {
        return Some(Pem::Text { whence: present.whence, text: present.text });
    }
    Some(Pem::File(PathBuf::from(text)))
}

/// Address blocks and addresses, sorted, each once; an IPv4 one written as IPv6 is taken as IPv4.
fn networks(at: &At<'_>, reading: &mut Reading<'_, '_>) -> Vec<IpNet> {
    if at.elements().count() > TRUSTED_PROXIES_MAX {
        reading.report.fault(at.spot(), format!("more than {TRUSTED_PROXIES_MAX} addresses and blocks"));
        return Vec::new();
    }
    let mut networks = Vec::new();
    for element in at.elements() {
        let Some(text) = element.text() else { continue };
        let Some(network) = network(text) else {
            let message =
                format!("\"{}\" is no address and no block such as 10.0.0.0/8 or fd00::/8", Printable(text));
            reading.report.fault(element.spot(), message);
            continue;
        };
        if network.prefix_len() == 0 {
            reading.report.warn(
                element.spot(),
                "every peer is believed: whoever can connect can pretend to have any address",
            );
        }
        if network.addr() != network.network() {
            let message = format!("is taken as {}", network.trunc());
            reading.report.warn(element.spot(), message);
        }
        networks.push(network.trunc());
    }
    networks.sort_unstable();
    networks.dedup();
    networks
}

fn network(text: &str) -> Option<IpNet> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().ok()?,
    };
    Some(match network {
        IpNet::V6(block) => unmapped(block).map_or(network, IpNet::V4),
        IpNet::V4(_) => network,
    })
}

/// `::ffff:10.0.0.0/104` as 10.0.0.0/8.
fn unmapped(block: Ipv6Net) -> Option<Ipv4Net> {
    let prefix = block.prefix_len().checked_sub(96)?;
    Ipv4Net::new(block.addr().to_ipv4_mapped()?, prefix).ok()
}

#[cfg(test)]
mod tests {
    use super::super::document::parse;
    use super::super::fault::Report;
    use super::*;

    #[test]
    fn an_admin_address_has_a_host_and_a_port() {
        let check = |address: &str| {
            let json =
                serde_json::json!({ "server": { "admin_address": address, "admin_token": "x".repeat(16) } });
            let json = json.to_string();
            let mut report = Report::new("c", json.as_bytes());
            let node = parse(&json, &mut report).expect("JSON");
            let mut reading = Reading::new(&mut report, &|_: &str| None);
            let server = read(&At::root(&node), &mut reading);
            server.admin.map(|admin| admin.address).ok_or(report.faults_count())
        };
        for (written, taken) in [
            ("127.0.0.1:8081", "127.0.0.1:8081"),
            ("Localhost:1", "localhost:1"),
            ("[::1]:65535", "[::1]:65535"),
            ("0.0.0.0:8081", "0.0.0.0:8081"),
        ] {
            assert_eq!(check(written).as_deref(), Ok(taken), "{written}");
        }
        for written in [
            "8081",
            ":8081",
            "localhost",
            "localhost:",
            "::1:8081",
            "[::1]",
            "a:0",
            "a:65536",
            "a b:1",
            "http://a:1",
            "a:1/x",
        ] {
            assert_eq!(check(written), Err(1), "{written}");
        }
        assert_eq!(check(""), Err(0), "left out");
    }

    #[test]
    fn blocks_and_addresses_are_read() {
        let check = |text: &str| network(text).map(|network| network.to_string());
        assert_eq!(check("10.0.0.0/8").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(check("10.1.2.3").as_deref(), Some("10.1.2.3/32"));
        assert_eq!(check("fd00::/8").as_deref(), Some("fd00::/8"));
        assert_eq!(check("::1").as_deref(), Some("::1/128"));
        assert_eq!(check("::ffff:10.0.0.0/104").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(check("::ffff:10.1.2.3").as_deref(), Some("10.1.2.3/32"));
        assert_eq!(check("::/0").as_deref(), Some("::/0"));
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "fd00::/129",
            "a.com",
            "10.0.0.1:80",
            "[::1]",
            "*",
        ] {
            assert_eq!(check(text), None, "{text}");
        }
    }
}

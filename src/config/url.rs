//! An absolute `http` or `https` URL to the parts that a request needs (RFC 3986, of which a base URL needs little): no
//! user, no query, no fragment. It resolves nothing.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::snapshot::Origin;

/// A base URL in parts.
#[derive(PartialEq, Eq)]
pub(crate) struct BaseUrl {
    /// Where to connect; its transport is the default one.
    pub(crate) origin: Origin,
    /// The `Host` header's value: the port only where it isn't the scheme's.
    pub(crate) authority: String,
    /// Empty or starting with `/`, never ending in one.
    pub(crate) path: String,
}

/// Longest URL, bytes; the longest host name has 253.
const URL_BYTES_MAX: usize = 2_048;
/// Longest host name, bytes (RFC 1035 §2.3.4, without the final dot).
const HOST_BYTES_MAX: usize = 253;

/// Takes a URL apart; the error says what is wrong, without quoting it (it may hold a password).
pub(crate) fn parse(url: &str) -> Result<BaseUrl, &'static str> {
    if url.len() > URL_BYTES_MAX {
        return Err("the URL is longer than 2,048 bytes");
    }
    let (scheme, rest) =
        url.split_once("://").ok_or("expected an absolute URL such as https://api.example.com")?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        _ => return Err("the URL's scheme must be http or https"),
    };
    if rest.contains(['?', '#']) {
        return Err("a base URL has no query and no fragment");
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err("a base URL has no user or password; the key stands in `keys`");
    }
    let (host, port) = split_port(authority)?;
    let host = check_host(host)?;
    let default_port = if tls { 443 } else { 80 };
    let port = port.unwrap_or(default_port);
    let named = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let authority = if port == default_port { named } else { format!("{named}:{port}") };
    Ok(BaseUrl {
        origin: Origin { tls, host, port, transport: Arc::default() },
        authority,
        path: check_path(path)?.to_owned(),
    })
}

/// Host, an IPv6 address still in brackets, and port if there is one.
pub(crate) fn split_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let host_end = if authority.starts_with('[') {
        authority.find(']').ok_or("an IPv6 address stands between [ and ]")? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(host_end);
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        Some("") => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port > 0).ok_or("the port must be from 1 to 65535")?)
        }
        _ => return Err("the port must be from 1 to 65535"),
    };
    Ok((host, port))
}

/// The host in lower case, an IPv6 address without brackets.
pub(crate) fn check_host(host: &str) -> Result<String, &'static str> {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| "the URL's IPv6 address is malformed")?;
        return Ok(address.to_string());
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if host.is_empty() || host.len() > HOST_BYTES_MAX {
        return Err("the URL's host is missing or longer than 253 bytes");
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if !host.split('.').all(is_label) {
        return Err("the URL's host is malformed; a name outside ASCII is written in punycode (xn--…)");
    }
    // A name whose last label is a number is an address to some resolvers and a name to others.
    let ends_in_number = host.rsplit('.').next().is_some_and(is_number);
    if ends_in_number && host.parse::<Ipv4Addr>().is_err() {
        return Err("the URL's IPv4 address is malformed");
    }
    Ok(host)
}

/// Decimal, or hexadecimal as `inet_aton(3)` and browsers take it.
fn is_number(label: &str) -> bool {
    match label.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// Whether a request target of a config's own may follow a base URL: a path that starts with `/`, perhaps a query
/// (RFC 3986 §3.3, §3.4), at most [`URL_BYTES_MAX`] bytes.
pub(crate) fn check_target(target: &str) -> Result<(), &'static str> {
    if target.len() > URL_BYTES_MAX {
        return Err("the path is longer than 2,048 bytes");
    }
    if target.contains('#') {
        return Err("a path sent to a provider has no fragment");
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    check_segments(path.strip_suffix('/').unwrap_or(path))?;
    if !query.bytes().all(|byte| is_path_byte(byte) || byte == b'?') {
        return Err("the query holds a character that must be percent-encoded");
    }
    check_encoded(query)
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte)
}

fn check_path(path: &str) -> Result<&str, &'static str> {
    let path = path.trim_end_matches('/');
    check_segments(path)?;
    Ok(path)
}

fn check_segments(path: &str) -> Result<(), &'static str> {
    if !path.bytes().all(is_path_byte) {
        return Err("the URL's path holds a character that must be percent-encoded");
    }
    if path.split('/').skip(1).any(|segment| matches!(segment, "" | "." | "..")) {
        return Err("the URL's path holds an empty, . or .. segment");
    }
    check_encoded(path)
}

fn check_encoded(text: &str) -> Result<(), &'static str> {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    let is_encoded = |at: usize| is_hex(bytes.get(at + 1)) && is_hex(bytes.get(at + 2));
    if memchr::memchr_iter(b'%', bytes).any(|at| !is_encoded(at)) {
        return Err("the URL holds a % that encodes nothing");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str) -> Result<(bool, String, u16, String, String), &'static str> {
        parse(url).map(|url| (url.origin.tls, url.origin.host, url.origin.port, url.authority, url.path))
    }

    #[test]
    fn the_parts_are_right() {
        let parts = |tls, host: &str, port, authority: &str, path: &str| {
            Ok((tls, host.to_owned(), port, authority.to_owned(), path.to_owned()))
        };
        assert_eq!(check("https://api.openai.com"), parts(true, "api.openai.com", 443, "api.openai.com", ""));
        assert_eq!(
            check("HTTPS://Api.OpenAI.com:443/"),
            parts(true, "api.openai.com", 443, "api.openai.com", "")
        );
        assert_eq!(
            check("http://127.0.0.1:9100/a/v1//"),
            parts(false, "127.0.0.1", 9100, "127.0.0.1:9100", "/a/v1")
        );
        assert_eq!(check("http://[::1]:80"), parts(false, "::1", 80, "[::1]", ""));
        assert_eq!(
            check("https://[2001:DB8::1]:8443/x%20y"),
            parts(true, "2001:db8::1", 8443, "[2001:db8::1]:8443", "/x%20y")
        );
        assert_eq!(
            check("http://mock_provider:9000"),
            parts(false, "mock_provider", 9000, "mock_provider:9000", "")
        );
    }

    #[test]
    fn what_is_no_base_url_is_refused() {
        for url in [
            "",
            "api.openai.com",
            "//api.openai.com",
            "ftp://a",
            "https://",
            "https:///v1",
            "https://a b",
            "https://a?x=1",
            "https://a/#f",
            "https://u:p@a",
            "https://a:0",
            "https://a:65536",
            "https://a:x",
            "https://a:+1",
            "https://[::1",
            "https://[::1]x",
            "https://[fe80::1%25eth0]",
            "https://é.com",
            "https://a..b",
            "https://300.1.1.1",
            "https://127.1",
            "https://0xa9fea9fe",
            "https://0XA9.0xfe.0xa9.0xFE",
            "https://a/x y",
            "https://a/\r\nHost: b",
            "https://a//b",
            "https://a/../b",
            "https://a/%zz",
            "https://a\\b",
        ] {
            assert!(check(url).is_err(), "{url}");
        }
    }
}

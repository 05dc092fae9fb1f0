//! `proxy_config` of one provider: the proxy that stands between us and it, as the file or the process's environment
//! names it. A proxy that was asked for and can't be used is a fault: nothing is sent past it. Which URLs the environment
//! exempts is `bypass`'s; it connects to nothing.

use std::fmt;

use super::document::At;
use super::reference::{Present, require};
use super::snapshot::{Origin, Proxy, ProxyKind, Secret, Whence};
use super::url::{check_host, split_port};
use super::{Reading, bypass, validate};

/// Longest URL of a proxy, bytes.
const URL_BYTES_MAX: usize = 2_048;
/// Longest user or password, bytes (RFC 1929 §2: each has one byte of length).
const CREDENTIAL_BYTES_MAX: usize = 255;

/// Reads a provider's proxy; `None`: straight, or faulty and reported.
pub(crate) fn read(provider: &At<'_>, origin: &Origin, reading: &mut Reading<'_, '_>) -> Option<Proxy> {
    let at = provider.member("proxy_config")?;
    let kind = at.member("type").and_then(|kind| kind.text()).unwrap_or_default();
    match kind {
        "http" => from_file(&at, ProxyKind::Http, reading),
        "socks5" => from_file(&at, ProxyKind::Socks5, reading),
        "environment" => from_environment(&at, origin, reading),
        "" if at.member("url").is_some_and(|url| validate::asks(&url)) => {
            let message =
                "no \"type\": say \"http\" or \"socks5\", or \"none\" if the provider is reached directly";
            reading.report.fault(at.name_spot(), message);
            None
        }
        _ => None,
    }
}

/// Type `http` or `socks5`.
fn from_file(at: &At<'_>, kind: ProxyKind, reading: &mut Reading<'_, '_>) -> Option<Proxy> {
    // Each is read before any is missed, so that all faults are reported.
    let (url, credentials) = (url(at, kind, reading), credentials(at, kind, reading));
    let (url, url_at, credentials) = (url?, at.member("url")?, credentials?);
    if url.credentials.is_some() && credentials.is_some() {
        let message = "the URL holds a user, and \"username\" stands beside it: keep one";
        reading.report.fault(url_at.spot(), message);
    }
    Some(Proxy {
        kind: url.kind,
        host: url.host,
        port: url.port,
        credentials: credentials.or(url.credentials),
    })
}

fn url(at: &At<'_>, kind: ProxyKind, reading: &mut Reading<'_, '_>) -> Option<Url> {
    let missing = format!(
        "no \"url\": write {kind}://host:port, or set the type to \"none\" if the provider is reached directly"
    );
    let Some(member) = at.member("url") else {
        reading.report.fault(at.name_spot(), missing);
        return None;
    };
    let Some(present) = require(&member, &format!("{kind}://unset"), reading)? else {
        reading.report.fault(member.spot(), missing);
        return None;
    };
    let url = match parse(present.text.expose().trim(), kind) {
        Ok(url) => url,
        Err(message) => {
            reading.report.fault(member.spot(), format!("the URL{} {message}", present.whence.source()));
            return None;
        }
    };
    if url.kind != kind {
        let message =
            format!("the URL{} says {}, the type {kind}: which is it?", present.whence.source(), url.kind);
        reading.report.fault(member.spot(), message);
        return None;
    }
    if present.whence == Whence::Config && url.credentials.is_some() {
        validate::warn_of_secret(&member, "PROXY_URL", reading.report);
    }
    Some(url)
}

/// `None`: faulty, and reported; `Some(None)`: it wants none.
fn credentials(
    at: &At<'_>,
    kind: ProxyKind,
    reading: &mut Reading<'_, '_>,
) -> Option<Option<(String, Secret)>> {
    let mut read = |name: &str| match at.member(name) {
        Some(member) => require(&member, "unset", reading).map(|present| present.map(|p| (member, p))),
        None => Some(None),
    };
    let (user, password) = (read("username"), read("password"));
    let (user, password) = (user?, password?);
    let Some((user_at, user)) = user else {
        if let Some((password_at, _)) = password {
            reading.report.fault(password_at.spot(), "a password without a \"username\"");
            return None;
        }
        return Some(None);
    };
    let user_checked = check(&user_at, &user, user_fault(user.text.expose(), kind), reading);
    let password = match password {
        Some((at, password)) => checked_password(&at, password, reading),
        None if kind == ProxyKind::Http => Some(Secret::new("")),
        None => {
            reading.report.fault(user_at.spot(), NO_PASSWORD);
            None
        }
    };
    user_checked?;
    Some(Some((user.text.expose().to_owned(), password?)))
}

fn checked_password(at: &At<'_>, password: Present, reading: &mut Reading<'_, '_>) -> Option<Secret> {
    if password.whence == Whence::Config {
        validate::warn_of_secret(at, "PROXY_PASSWORD", reading.report);
    }
    check(at, &password, password_fault(password.text.expose()), reading)?;
    Some(password.text)
}

fn check(at: &At<'_>, present: &Present, fault: Option<&str>, reading: &mut Reading<'_, '_>) -> Option<()> {
    let Some(fault) = fault else { return Some(()) };
    reading.report.fault(at.spot(), format!("the value{} {fault}", present.whence.source()));
    None
}

/// Type `environment`.
fn from_environment(at: &At<'_>, origin: &Origin, reading: &mut Reading<'_, '_>) -> Option<Proxy> {
    for name in ["url", "username", "password"] {
        if let Some(member) = at.member(name).filter(validate::asks) {
            let message =
                "has no effect: the type says that the proxy is named by HTTP_PROXY and HTTPS_PROXY";
            reading.report.warn(member.name_spot(), message);
        }
    }
    let chosen = match bypass::proxy_of(origin, reading.environment) {
        Ok(chosen) => chosen?,
        Err(message) => {
            reading.report.fault(at.name_spot(), message);
            return None;
        }
    };
    let (variable, url) = (chosen.0, Secret::new(chosen.1));
    match parse(url.expose(), ProxyKind::Http) {
        Ok(Url { kind, host, port, credentials }) => Some(Proxy { kind, host, port, credentials }),
        Err(message) => {
            reading.report.fault(at.name_spot(), format!("the URL of the variable {variable} {message}"));
            None
        }
    }
}

impl fmt::Display for ProxyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Socks5 => "socks5",
        })
    }
}

/// A proxy's URL in parts. No `Debug`: it may hold a secret.
struct Url {
    kind: ProxyKind,
    host: String,
    port: u16,
    credentials: Option<(String, Secret)>,
}

const NO_PASSWORD: &str = "names a user without a password, and SOCKS 5 has both or none (RFC 1929)";

/// Takes a proxy's URL apart; a scheme left out is `kind`'s. The error is the end of a sentence about the URL, and quotes
/// nothing of it.
fn parse(url: &str, kind: ProxyKind) -> Result<Url, &'static str> {
    if url.len() > URL_BYTES_MAX {
        return Err("is longer than 2,048 bytes");
    }
    let (kind, rest) = match url.split_once("://") {
        None => (kind, url),
        Some((scheme, rest)) => (scheme_kind(scheme)?, rest),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err(
            "holds more than a user, a host and a port; in a password, / ? and # are percent-encoded",
        );
    }
    let (credentials, host) = match authority.rsplit_once('@') {
        None => (None, authority),
        Some((userinfo, host)) => (Some(userinfo_parts(userinfo, kind)?), host),
    };
    let (host, port) = split_port(host).map_err(|_| MALFORMED_HOST)?;
    let host = check_host(host).map_err(|_| MALFORMED_HOST)?;
    // As Go's net/http, which reads the same URLs.
    let port_default = if kind == ProxyKind::Http { 80 } else { 1_080 };
    Ok(Url { kind, host, port: port.unwrap_or(port_default), credentials })
}

const MALFORMED_HOST: &str = "has a malformed host or port; expected http://host:port or socks5://host:port";

fn scheme_kind(scheme: &str) -> Result<ProxyKind, &'static str> {
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok(ProxyKind::Http),
        "socks5" | "socks5h" => Ok(ProxyKind::Socks5), // the proxy resolves the name with both
        "https" => Err("begins with https://, and TLS to a proxy is not served by this version: give it an \
                        http:// address (what is tunnelled to an https:// provider is encrypted all the same)"),
        _ => Err("has another scheme than http, socks5 and socks5h"),
    }
}

/// `user:password`, percent-encoded (RFC 3986 §3.2.1).
fn userinfo_parts(userinfo: &str, kind: ProxyKind) -> Result<(String, Secret), &'static str> {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let decoded = |part| percent_decoded(part).ok_or("has a malformed % in its user or password");
    let (user, password) = (decoded(user)?, decoded(password)?);
    if password.is_empty() && kind == ProxyKind::Socks5 {
        return Err(NO_PASSWORD);
    }
    match user_fault(&user, kind).or_else(|| password_fault(&password)) {
        Some(fault) => Err(fault),
        None => Ok((user, Secret::new(password))),
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || char::from(rest.next()?).to_digit(16);
        bytes.push(if byte == b'%' { u8::try_from(digit()? * 16 + digit()?).ok()? } else { byte });
    }
    String::from_utf8(bytes).ok()
}

fn user_fault(user: &str, kind: ProxyKind) -> Option<&'static str> {
    if user.is_empty() {
        return Some("names no user");
    }
    if kind == ProxyKind::Http && user.contains(':') {
        return Some("has a user with a colon, which ends it in HTTP (RFC 7617 §2)");
    }
    password_fault(user)
}

fn password_fault(password: &str) -> Option<&'static str> {
    if password.len() > CREDENTIAL_BYTES_MAX {
        return Some("has a user or password of more than 255 bytes");
    }
    let holds_control = password.chars().any(char::is_control);
    holds_control.then_some("has a user or password with a control character")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts = (ProxyKind, String, u16, Option<(String, String)>);

    fn check(url: &str) -> Result<Parts, &'static str> {
        parse(url, ProxyKind::Http).map(|url| {
            let credentials = url.credentials.map(|(user, secret)| (user, secret.expose().to_owned()));
            (url.kind, url.host, url.port, credentials)
        })
    }

    #[test]
    fn the_parts_are_right() {
        let parts = |kind, host: &str, port, credentials: Option<(&str, &str)>| {
            let owned = credentials.map(|(user, password)| (user.to_owned(), password.to_owned()));
            Ok((kind, host.to_owned(), port, owned))
        };
        let (http, socks5) = (ProxyKind::Http, ProxyKind::Socks5);
        assert_eq!(check("http://proxy:3128"), parts(http, "proxy", 3128, None));
        assert_eq!(check("HTTP://Proxy.Internal/"), parts(http, "proxy.internal", 80, None));
        assert_eq!(check("proxy:3128"), parts(http, "proxy", 3128, None));
        assert_eq!(check("10.0.0.1"), parts(http, "10.0.0.1", 80, None));
        assert_eq!(check("[fd00::1]:3128"), parts(http, "fd00::1", 3128, None));
        assert_eq!(check("socks5://proxy"), parts(socks5, "proxy", 1_080, None));
        assert_eq!(check("socks5h://[::1]:9050"), parts(socks5, "::1", 9_050, None));
        assert_eq!(check("http://u:p@proxy:1"), parts(http, "proxy", 1, Some(("u", "p"))));
        assert_eq!(check("u%40x:p%2F%25%C3%A4@proxy:1"), parts(http, "proxy", 1, Some(("u@x", "p/%ä"))));
        assert_eq!(check("http://u:a@b:c@proxy"), parts(http, "proxy", 80, Some(("u", "a@b:c"))));
        assert_eq!(check("http://u@proxy"), parts(http, "proxy", 80, Some(("u", ""))));
        assert_eq!(check("socks5://u%3Av:p@proxy"), parts(socks5, "proxy", 1_080, Some(("u:v", "p"))));
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        let long_user = format!("http://{}:p@proxy", "u".repeat(CREDENTIAL_BYTES_MAX + 1));
        let long = format!("http://{}", "p".repeat(URL_BYTES_MAX));
        for url in [
            "",
            "http://",
            "http://:3128",
            "https://proxy:3128",
            "ftp://proxy",
            "socks4://proxy",
            "://proxy",
            "http:///proxy",
            "http://proxy/path",
            "http://proxy?x",
            "http://proxy:0",
            "http://proxy:65536",
            "http://proxy:x",
            "http://pro xy",
            "http://proxy\r\nHost: x",
            "http://@proxy",
            "http://:p@proxy",
            "http://u%3Av:p@proxy",
            "http://u%0d:p@proxy",
            "http://u:p%00@proxy",
            "http://u:p%@proxy",
            "http://u:p%4@proxy",
            "http://u:p%+1@proxy",
            "http://u:p%ff@proxy",
            "http://u:p/q@proxy",
            "socks5://u@proxy",
            "socks5://u:@proxy",
            &long_user,
            &long,
        ] {
            assert!(check(url).is_err(), "{url}");
        }
    }
}

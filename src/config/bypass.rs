//! Which proxy the process's environment names for a URL: `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` by the rules of Go's
//! `golang.org/x/net/http/httpproxy`, which Bifrost's `proxy_config.type: "environment"` means. Pure: the variables are
//! an argument; what a proxy's URL says is read by `proxy`.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Environment;
use super::snapshot::Origin;

/// Most entries of `NO_PROXY`.
const ENTRIES_MAX: usize = 1_024;

/// The variable that names the proxy for this origin, and its value; `None`: straight. An error says what is wrong.
pub(crate) fn proxy_of(
    origin: &Origin,
    environment: &dyn Environment,
) -> Result<Option<(&'static str, String)>, String> {
    let names = if origin.tls { ["HTTPS_PROXY", "https_proxy"] } else { ["HTTP_PROXY", "http_proxy"] };
    let Some((name, url)) = first(names, environment) else { return Ok(None) };
    let Some((no_proxy_name, no_proxy)) = first(["NO_PROXY", "no_proxy"], environment) else {
        return Ok((!is_local(origin)).then_some((name, url)));
    };
    if no_proxy.split(',').count() > ENTRIES_MAX {
        return Err(format!("the variable {no_proxy_name} has more than {ENTRIES_MAX} entries"));
    }
    Ok((!is_local(origin) && !is_bypassed(origin, &no_proxy)).then_some((name, url)))
}

/// The first of these variables that is set and not empty.
fn first(names: [&'static str; 2], environment: &dyn Environment) -> Option<(&'static str, String)> {
    names.into_iter().find_map(|name| {
        let value = environment.variable(name)?;
        (!value.trim().is_empty()).then(|| (name, value.trim().to_owned()))
    })
}

fn is_local(origin: &Origin) -> bool {
    origin.host == "localhost" || origin.address().is_some_and(|address| address.to_canonical().is_loopback())
}

fn is_bypassed(origin: &Origin, no_proxy: &str) -> bool {
    no_proxy
        .split(',')
        .map(|entry| entry.trim().to_ascii_lowercase())
        .any(|entry| entry == "*" || is_matched(origin, &entry))
}

/// One entry: an address block, an address, or a name; the latter two maybe with a port.
fn is_matched(origin: &Origin, entry: &str) -> bool {
    let address = origin.address().map(|address| address.to_canonical());
    if let Ok(block) = entry.parse::<IpNet>() {
        return address.is_some_and(|address| block.contains(&address));
    }
    let (host, port) = split_port(entry);
    if port.is_some_and(|port| port != origin.port.to_string()) {
        return false;
    }
    match (host.parse::<IpAddr>(), address) {
        (Ok(named), Some(address)) => named.to_canonical() == address,
        (Ok(_), None) | (Err(_), Some(_)) => false,
        (Err(_), None) => is_name_matched(&origin.host, host),
    }
}

/// `example.com` names itself and what is under it, `.example.com` and `*.example.com` only what is under it.
fn is_name_matched(name: &str, entry: &str) -> bool {
    let entry = entry.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(entry);
    match entry.strip_prefix('.') {
        Some(parent) => name.strip_suffix(parent).is_some_and(|child| child.ends_with('.')),
        None if entry.is_empty() => false,
        None => name.strip_suffix(entry).is_some_and(|child| child.is_empty() || child.ends_with('.')),
    }
}

/// Host, without brackets, and port; an IPv6 address without brackets has none.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    if let Some(rest) = entry.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or(port))),
            None => (entry, None),
        };
    }
    match entry.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (entry, None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::url;
    use super::*;

    fn proxy(url: &str, variables: &[(&str, &str)]) -> Option<String> {
        let environment = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let origin = url::parse(url).expect("a URL").origin;
        proxy_of(&origin, &environment).expect("a choice").map(|(_, url)| url)
    }

    #[test]
    fn the_scheme_names_the_variable() {
        let both = [("HTTP_PROXY", "plain:1"), ("HTTPS_PROXY", "secure:2")];
        assert_eq!(proxy("http://a.com", &both).as_deref(), Some("plain:1"));
        assert_eq!(proxy("https://a.com", &both).as_deref(), Some("secure:2"));
        assert_eq!(proxy("https://a.com", &[("HTTP_PROXY", "p")]), None);
        assert_eq!(proxy("https://a.com", &[("ALL_PROXY", "p")]), None);
        assert_eq!(proxy("https://a.com", &[("https_proxy", "low")]).as_deref(), Some("low"));
        let cased = [("HTTPS_PROXY", "up"), ("https_proxy", "low")];
        assert_eq!(proxy("https://a.com", &cased).as_deref(), Some("up"));
        let empty = [("HTTPS_PROXY", " "), ("https_proxy", "low"), ("NO_PROXY", ""), ("no_proxy", "b.com")];
        assert_eq!(proxy("https://a.com", &empty).as_deref(), Some("low"));
        assert_eq!(proxy("https://b.com", &empty), None);
        assert_eq!(proxy("https://a.com", &[]), None);
    }

    #[test]
    fn this_machine_is_never_proxied() {
        for url in ["http://localhost:9000", "http://127.0.0.1", "http://127.8.8.8", "http://[::1]:80"] {
            assert_eq!(proxy(url, &[("HTTP_PROXY", "p")]), None, "{url}");
        }
    }

    #[test]
    fn no_proxy_bypasses() {
        let table = [
            ("*", "http://a.com", true),
            ("b.com, *", "http://a.com", true),
            ("a.com", "http://a.com", true),
            ("a.com", "http://x.a.com", true),
            ("a.com", "http://x.y.a.com", true),
            ("a.com", "http://ba.com", false),
            ("a.com", "http://a.com.b.com", false),
            (".a.com", "http://x.a.com", true),
            (".a.com", "http://a.com", false),
            ("*.a.com", "http://x.a.com", true),
            ("*.a.com", "http://a.com", false),
            ("*a.com", "http://ba.com", false),
            ("A.COM", "http://a.com", true),
            (" b.com ,, a.com ", "http://a.com", true),
            ("b.com a.com", "http://a.com", false),
            ("a.com:80", "http://a.com", true),
            ("a.com:443", "http://a.com", false),
            ("a.com:8080", "http://a.com:8080", true),
            (".a.com:8080", "http://x.a.com:8080", true),
            (".a.com:8080", "http://x.a.com", false),
            (":80", "http://a.com", false),
            ("", "http://a.com", false),
            (",", "http://a.com", false),
            (".", "http://a.com", false),
            ("10.0.0.0/8", "http://10.1.2.3", true),
            ("10.0.0.0/8", "http://11.1.2.3", false),
            ("10.0.0.0/8", "http://a.com", false),
            ("10.1.2.3", "http://10.1.2.3", true),
            ("10.1.2.3", "http://10.1.2.30", false),
            ("10.1.2.3:80", "http://10.1.2.3", true),
            ("10.1.2.3:81", "http://10.1.2.3", false),
            (".2.3", "http://10.1.2.3", false),
            ("0.0.0.0/0", "http://10.1.2.3", true),
            ("fd00::/8", "http://[fd12::1]", true),
            ("fd00::/8", "http://[2001:db8::1]", false),
            ("fd12::1", "http://[fd12::1]", true),
            ("[fd12::1]", "http://[fd12::1]", true),
            ("[fd12::1]:80", "http://[fd12::1]", true),
            ("[fd12::1]:81", "http://[fd12::1]", false),
            ("[fd12::1", "http://[fd12::1]", false),
            ("10.0.0.0/8", "http://[::ffff:10.1.2.3]", true),
        ];
        for (no_proxy, url, expected) in table {
            let chosen = proxy(url, &[("HTTP_PROXY", "p"), ("NO_PROXY", no_proxy)]);
            assert_eq!(chosen.is_none(), expected, "{no_proxy:?} {url}");
        }
    }

    #[test]
    fn an_endless_no_proxy_is_an_error() {
        let origin = url::parse("http://a.com").expect("a URL").origin;
        let entries = |count: usize| {
            let list = vec!["b.com"; count].join(",");
            move |name: &str| match name {
                "HTTP_PROXY" => Some("p".to_owned()),
                "NO_PROXY" => Some(list.clone()),
                _ => None,
            }
        };
        assert!(proxy_of(&origin, &entries(ENTRIES_MAX)).is_ok());
        assert!(proxy_of(&origin, &entries(ENTRIES_MAX + 1)).is_err());
    }
}

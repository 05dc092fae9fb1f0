//! Who the caller is, as an address: the TCP peer (or whom a PROXY header named), or the one that trusted proxies say
//! stands before them. It is for the log alone and grants nothing. Pure.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// Entries of `X-Forwarded-For` that are walked, from the right; more hops than a real chain of proxies has.
const HOPS_MAX: usize = 32;

/// The caller's address. From a peer that is not in `trusted` the fields mean nothing. Else it is the right-most address
/// of all `x-forwarded-for` values that is not trusted itself: each proxy appends whom it saw, so that what stands left
/// of it is the caller's own claim. An entry that is no address ends the walk at the proxy that wrote it; where all are
/// trusted, the left-most is the caller. Without that field, `x-real-ip`.
pub(super) fn client_address<'a>(
    peer: SocketAddr,
    trusted: &[IpNet],
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> IpAddr {
    let peer = peer.ip().to_canonical();
    if !is_trusted(peer, trusted) {
        return peer;
    }
    let (mut forwarded, mut real) = (Vec::new(), None);
    for (name, value) in fields {
        match name.len() {
            15 if name.eq_ignore_ascii_case(b"x-forwarded-for") => forwarded.push(value),
            9 if name.eq_ignore_ascii_case(b"x-real-ip") => real = Some(value),
            _ => {}
        }
    }
    if forwarded.is_empty() {
        return real.and_then(address).unwrap_or(peer);
    }
    walk(peer, trusted, &forwarded)
}

fn walk(peer: IpAddr, trusted: &[IpNet], forwarded: &[&[u8]]) -> IpAddr {
    let entries = forwarded.iter().rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
    let entries = entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty());
    let mut client = peer;
    for entry in entries.take(HOPS_MAX) {
        let Some(hop) = address(entry) else { return client };
        client = hop;
        if !is_trusted(hop, trusted) {
            return client;
        }
    }
    client
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

/// An address, with or without port and brackets; an IPv4 one in its IPv6 clothes is itself.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let parsed = match inside {
        Some(inside) => inside.parse().ok().map(IpAddr::V6),
        None => {
            let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
            text.parse().ok().or_else(with_port)
        }
    };
    parsed.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The caller's address behind the proxies 10.0.0.0/8 and 2001:db8::/32.
    fn client(peer: &str, fields: &[(&str, &str)]) -> String {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|net| net.parse().unwrap());
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        client_address(SocketAddr::new(peer.parse().unwrap(), 1), &trusted, fields).to_string()
    }

    const FORWARDED: &str = "X-Forwarded-For";

    #[test]
    fn only_a_trusted_peer_is_believed() {
        for fields in [&[(FORWARDED, "1.2.3.4")][..], &[("X-Real-IP", "1.2.3.4")], &[]] {
            assert_eq!(client("192.0.2.1", fields), "192.0.2.1");
            assert_eq!(client("::ffff:192.0.2.1", fields), "192.0.2.1");
            assert_eq!(client("2001:db9::1", fields), "2001:db9::1");
        }
        let none = client_address(SocketAddr::from(([10, 0, 0, 1], 1)), &[], std::iter::empty());
        assert_eq!(none.to_string(), "10.0.0.1");
    }

    #[test]
    fn the_right_most_that_is_not_a_proxy_is_the_caller() {
        for (value, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("1.1.1.1, 192.0.2.7", "192.0.2.7"),
            ("1.1.1.1,192.0.2.7,10.2.2.2", "192.0.2.7"),
            ("192.0.2.7 , 10.9.9.9,10.2.2.2", "192.0.2.7"),
            ("10.3.3.3, 10.2.2.2", "10.3.3.3"),
            ("192.0.2.7:4711", "192.0.2.7"),
            ("[2a00::7]:4711", "2a00::7"),
            ("[2a00::7]", "2a00::7"),
            ("2a00::7", "2a00::7"),
            ("192.0.2.7, [2001:db8::1]:80", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("192.0.2.7, ::ffff:10.1.1.1", "192.0.2.7"),
            (", ,192.0.2.7,, ", "192.0.2.7"),
        ] {
            for peer in ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::9"] {
                assert_eq!(client(peer, &[(FORWARDED, value)]), expected, "{value}");
            }
        }
    }

    #[test]
    fn what_is_no_address_ends_the_walk() {
        for value in [
            "unknown",
            "_hidden",
            "192.0.2.7, evil",
            "192.0.2.7, 10.0.0.300",
            "192.0.2.7, [10.2.2.2]",
            "192.0.2.7, [2a00::7",
            "192.0.2.7, [2a00::7]80",
            "192.0.2.7, 2a00::7%eth0",
            "192.0.2.7, 192.0.2.8:99999",
            "192.0.2.7, \"192.0.2.8\"",
            "192.0.2.7, \u{fffd}",
            "",
            ",",
        ] {
            assert_eq!(client("10.0.0.1", &[(FORWARDED, value)]), "10.0.0.1", "{value}");
        }
        // The proxy that wrote the last good one vouches for no more than that.
        assert_eq!(client("10.0.0.1", &[(FORWARDED, "192.0.2.7, evil, 10.2.2.2")]), "10.2.2.2");
    }

    #[test]
    fn repeated_fields_are_one_list() {
        let fields =
            [(FORWARDED, "192.0.2.6"), ("x-forwarded-for", "192.0.2.7, 10.3.3.3"), (FORWARDED, "10.2.2.2")];
        assert_eq!(client("10.0.0.1", &fields), "192.0.2.7");
    }

    #[test]
    fn a_real_ip_counts_where_nothing_was_forwarded() {
        assert_eq!(client("10.0.0.1", &[("x-real-ip", "192.0.2.7")]), "192.0.2.7");
        assert_eq!(client("10.0.0.1", &[("X-Real-IP", "evil")]), "10.0.0.1");
        let both = [("x-real-ip", "192.0.2.8"), (FORWARDED, "192.0.2.7")];
        assert_eq!(client("10.0.0.1", &both), "192.0.2.7");
    }

    #[test]
    fn an_endless_chain_is_walked_to_its_bound() {
        let chain = format!("192.0.2.7{}", ", 10.2.2.2".repeat(HOPS_MAX - 1));
        assert_eq!(client("10.0.0.1", &[(FORWARDED, &chain)]), "192.0.2.7");
        let chain = format!("192.0.2.7{}", ", 10.2.2.2".repeat(HOPS_MAX));
        assert_eq!(client("10.0.0.1", &[(FORWARDED, &chain)]), "10.2.2.2");
    }
}

//! Which addresses may be connected to: the guard against a `base_url`, or the name in it, that leads inside (SSRF). It
//! judges addresses after resolution, at every connect; it resolves nothing and knows no URL.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address leads to, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Anywhere on the internet.
    Public,
    /// This machine.
    Loopback,
    /// The network around this machine.
    Private,
    /// Nothing that is a provider: link-local and metadata addresses, multicast, what is reserved, "this network".
    Never,
}

/// Addresses of cloud metadata services that stand outside the link-local ranges.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba
    Ipv4Addr::new(168, 63, 129, 16),   // Azure's WireServer
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle, classic
];
/// Their like in IPv6; all of `fd00:ec2::/32` is Amazon's and judged apart.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), // Google
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), // Oracle
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),  // Scaleway
];

/// Why an address is not connected to; `None`: it may be. `allow_private` is the provider's
/// `network_config.allow_private_network`.
pub(super) fn refusal(address: IpAddr, allow_private: bool) -> Option<String> {
    match reach(address) {
        Reach::Public | Reach::Loopback => None,
        Reach::Private if allow_private => None,
        Reach::Private => Some(format!(
            "{address} is in a private network; if that is intended, set network_config.allow_private_network"
        )),
        Reach::Never => Some(format!(
            "{address} is a link-local, metadata or reserved address; such are never connected to, whatever \
             network_config.allow_private_network says"
        )),
    }
}

/// Why a proxy's own address is not connected to: a proxy may stand in a private network.
pub(super) fn proxy_refusal(address: IpAddr) -> Option<String> {
    refusal(address, true)
}

/// What `address` leads to. An IPv6 address that carries an IPv4 one is judged by what it carries.
pub(super) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

/// By IANA's registry of special-purpose addresses (RFC 6890 and what followed).
fn reach_v4(address: Ipv4Addr) -> Reach {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        _ if METADATA_V4.contains(&address) => Reach::Never,
        (127, ..) => Reach::Loopback,
        // 0.0.0.0/8, on Linux this machine under another name; link-local; multicast, reserved and broadcast.
        (0, ..) | (169, 254, _) | (224.., ..) => Reach::Never,
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => Reach::Private,
        // Carriers' NAT (RFC 6598), protocol assignments (RFC 6890), benchmarks (RFC 2544).
        (100, 64..=127, _) | (192, 0, 0) | (198, 18..=19, _) => Reach::Private,
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    let octets = address.octets();
    match address.segments() {
        _ if METADATA_V6.contains(&address) => Reach::Never,
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Loopback,
        // IPv4-compatible, the unspecified address among them, and IPv4-mapped (RFC 4291 §2.5.5): the kernel speaks IPv4.
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] => reach_v4(v4(&octets, [12, 13, 14, 15])),
        // IPv4-translated (RFC 2765), NAT64 (RFC 6052 §2.1).
        [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => beyond(v4(&octets, [12, 13, 14, 15])),
        [0x64, 0xff9b, 1, ..] => local_nat64(&octets),
        // 6to4 (RFC 3056 §2).
        [0x2002, ..] => beyond(v4(&octets, [2, 3, 4, 5])),
        // Teredo (RFC 4380 §4): the server, and the client with its bits turned over.
        [0x2001, 0, ..] => {
            let client = Ipv4Addr::from(!u32::from(v4(&octets, [12, 13, 14, 15])));
            beyond(v4(&octets, [4, 5, 6, 7])).max(beyond(client))
        }
        [0xfd00, 0xec2, ..] => Reach::Never,
        [0xfe80..=0xfebf, ..] | [0xff00..=0xffff, ..] => Reach::Never,
        // Unique local (RFC 4193), and site-local, which they replaced.
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Reach::Private,
        _ => Reach::Public,
    }
}

/// An IPv4 address that a translator elsewhere connects to for us; its loopback is not this machine's.
fn beyond(address: Ipv4Addr) -> Reach {
    match reach_v4(address) {
        Reach::Loopback => Reach::Never,
        reach => reach,
    }
}

/// 64:ff9b:1::/48 (RFC 8215) is for use inside a network, with a prefix whose length we cannot know (RFC 6052 §2.2): private,
/// and never one where any of the lengths gives a link-local or metadata address.
fn local_nat64(octets: &[u8; 16]) -> Reach {
    let places = [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12], [12, 13, 14, 15]];
    let leads_to_metadata = places
        .into_iter()
        .map(|places| v4(octets, places))
        .any(|address| address.is_link_local() || METADATA_V4.contains(&address));
    if leads_to_metadata { Reach::Never } else { Reach::Private }
}

fn v4(octets: &[u8; 16], places: [usize; 4]) -> Ipv4Addr {
    Ipv4Addr::from(places.map(|place| octets.get(place).copied().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: Reach, addresses: &[&str]) {
        for address in addresses {
            assert_eq!(reach(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn public_addresses_pass() {
        let plain = ["1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0"];
        check(Reach::Public, &plain);
        check(
            Reach::Public,
            &["169.253.255.255", "169.255.0.0", "192.169.0.0", "198.17.255.255", "223.255.255.255"],
        );
        check(Reach::Public, &["2606:4700::1111", "2001:4860:4860::8888", "2003::1", "fbff::1"]);
        check(Reach::Public, &["::ffff:1.1.1.1", "::1.1.1.1", "2002:101:101::1", "64:ff9b::1.1.1.1"]);
        // Teredo: server 65.54.227.120, client 192.0.2.45 (RFC 4380's own example).
        check(Reach::Public, &["2001:0:4136:e378:8000:63bf:3fff:fdd2"]);
    }

    #[test]
    fn loopback_is_this_machine_only() {
        check(Reach::Loopback, &["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1", "::127.0.0.1"]);
        let beyond = ["64:ff9b::127.0.0.1", "2002:7f00:1::", "::ffff:0:127.0.0.1", "2001:0:7f00:1::"];
        check(Reach::Never, &beyond);
    }

    #[test]
    fn link_local_and_metadata_addresses_are_refused_in_every_form() {
        check(Reach::Never, &["169.254.169.254", "169.254.0.0", "169.254.255.255", "169.254.170.2"]);
        check(Reach::Never, &["100.100.100.200", "168.63.129.16", "192.0.0.192"]);
        check(Reach::Never, &["fe80::1", "febf::1", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"]);
        check(Reach::Never, &["fd00:c1::a9fe:a9fe", "fd00:42::42"]);
        for metadata in ["169.254.169.254", "100.100.100.200"] {
            let address: Ipv4Addr = metadata.parse().unwrap();
            let [a, b, c, d] = address.octets();
            let turned = !u32::from(address);
            check(
                Reach::Never,
                &[
                    &format!("::ffff:{metadata}"),
                    &format!("::{metadata}"),
                    &format!("::ffff:0:{metadata}"),
                    &format!("64:ff9b::{metadata}"),
                    &format!("64:ff9b:1::{metadata}"),
                    &format!("64:ff9b:1:{a:02x}{b:02x}:{c:x}:{d:x}00::"),
                    &format!("64:ff9b:1:{a:x}:{b:x}:{c:02x}{d:02x}::"),
                    &format!("64:ff9b:1:0:{a:x}:{b:02x}{c:02x}:{d:x}00:0"),
                    &format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1"),
                    &format!("2001:0:{a:02x}{b:02x}:{c:02x}{d:02x}::"),
                    &format!("2001:0:101:101:0:0:{:x}:{:x}", turned >> 16, turned & 0xffff),
                ],
            );
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        check(
            Reach::Never,
            &["0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"],
        );
        check(Reach::Never, &["::", "ff02::1", "ff0e::1", "::ffff:0.0.0.0", "64:ff9b::224.0.0.1"]);
    }

    #[test]
    fn private_networks_are_told_apart() {
        check(Reach::Private, &["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1"]);
        check(Reach::Private, &["198.18.0.1", "192.0.0.8", "fc00::1", "fdff::1", "fec0::1"]);
        check(
            Reach::Private,
            &["::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8", "2002:a00:1::1"],
        );
    }

    #[test]
    fn a_refusal_names_the_key() {
        let refused = |address: &str, allow| refusal(address.parse().unwrap(), allow);
        assert_eq!(refused("1.1.1.1", false), None);
        assert_eq!(refused("127.0.0.1", false), None);
        assert_eq!(refused("10.0.0.1", true), None);
        for (address, allow) in [("10.0.0.1", false), ("169.254.169.254", false), ("169.254.169.254", true)] {
            let reason = refused(address, allow).unwrap();
            assert!(
                reason.contains(address) && reason.contains("network_config.allow_private_network"),
                "{reason}"
            );
        }
        assert_eq!(proxy_refusal(Ipv4Addr::new(10, 0, 0, 1).into()), None);
        assert!(proxy_refusal(Ipv4Addr::new(169, 254, 169, 254).into()).is_some());
    }
}

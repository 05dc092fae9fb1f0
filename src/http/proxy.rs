//! The PROXY protocol's header, versions 1 and 2 (HAProxy's `proxy-protocol.txt`), which a load balancer puts before a
//! connection's own bytes: need-more, the header, or why it is none. It decides not who may send one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Side;
use crate::error::Error;

/// Longest header of version 1 with its line end, bytes (section 2.1).
pub const V1_BYTES_MAX: usize = 107;
/// Longest header of version 2 behind its fixed part, bytes. The protocol allows 64 KiB; addresses take 36, what load
/// balancers add (names, ids, a client certificate's subject) takes a few hundred.
pub const V2_REST_BYTES_MAX: usize = 4 * 1024;

const V1_START: &[u8] = b"PROXY ";
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family, length.
const V2_FIXED_BYTES: usize = 16;
/// `PP2_TYPE_CRC32C`: over the whole header, itself taken as zeros.
const TYPE_CRC32C: u8 = 3;

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// The client's address; `None`: the header names none (a health check of the balancer's own, an unknown or a UNIX
    /// client), and the TCP peer is the client.
    pub client: Option<SocketAddr>,
    /// Its length, bytes: where the connection's own bytes begin.
    pub bytes: usize,
}

/// Reads the header at the front of `bytes`; `None`: its end is not there yet. Errors: it is none, malformed, or over its
/// limit, which is always known at the limit's last byte.
pub fn parse_proxy_header(bytes: &[u8]) -> Result<Option<ProxyHeader>, Error> {
    if bytes.starts_with(V2_START) {
        return v2(bytes);
    }
    if bytes.starts_with(V1_START) {
        return v1(bytes);
    }
    if V1_START.starts_with(bytes) || V2_START.starts_with(bytes) {
        return Ok(None);
    }
    Err(fault("the connection does not begin with a PROXY header, which server.proxy_protocol asks for"))
}

fn fault(what: &'static str) -> Error {
    Side::Downstream.malformed(what)
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n` (section 2.1).
fn v1(bytes: &[u8]) -> Result<Option<ProxyHeader>, Error> {
    let within = bytes.get(..V1_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', within) else {
        return match bytes.len() >= V1_BYTES_MAX {
            true => Err(fault("a PROXY header of version 1 has at most 107 bytes")),
            false => Ok(None),
        };
    };
    let line = within.get(V1_START.len()..end).and_then(|line| line.strip_suffix(b"\r"));
    let client = line.and_then(v1_client);
    let client = client.ok_or_else(|| fault("the PROXY header of version 1 is malformed"))?;
    Ok(Some(ProxyHeader { client, bytes: end + 1 }))
}

/// The inner `None`: an unknown client, whatever else the line says.
fn v1_client(line: &[u8]) -> Option<Option<SocketAddr>> {
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Some(None);
    }
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let family = words.next()?;
    let mut address = || -> Option<IpAddr> {
        let word = words.next()?;
        match family {
            "TCP4" => word.parse::<Ipv4Addr>().ok().map(IpAddr::from),
            "TCP6" => word.parse::<Ipv6Addr>().ok().map(IpAddr::from),
            _ => None,
        }
    };
    let (client, _) = (address()?, address()?);
    let (port, _) = (port(words.next()?)?, port(words.next()?)?);
    words.next().is_none().then(|| Some(plain(client, port)))
}

/// Decimal, neither signed nor with leading zeros.
fn port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    is_plain.then(|| word.parse().ok()).flatten()
}

/// An IPv4 address that is written as an IPv6 one is the same client.
fn plain(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

/// Signature, version and command, family and protocol, length; addresses and what else there is behind (section 2.2).
fn v2(bytes: &[u8]) -> Result<Option<ProxyHeader>, Error> {
    let fixed = bytes.get(V2_START.len()..V2_FIXED_BYTES);
    let Some(&[command, family, high, low]) = fixed.and_then(|fixed| fixed.first_chunk()) else {
        return Ok(None);
    };
    if command >> 4 != 2 || command & 15 > 1 {
        return Err(fault("the PROXY header has a version or a command other than 2, LOCAL and PROXY"));
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > V2_REST_BYTES_MAX {
        return Err(fault("the PROXY header of version 2 is over 4 KiB"));
    }
    let end = V2_FIXED_BYTES + length;
    let Some(header) = bytes.get(..end) else { return Ok(None) };
    let rest = header.get(V2_FIXED_BYTES..).unwrap_or_default();
    let is_local = command & 15 == 0;
    let client = match is_local {
        // The balancer speaks for itself, and what it says beside is to be ignored.
        true => None,
        false => v2_client(family, rest, header)?,
    };
    Ok(Some(ProxyHeader { client, bytes: end }))
}

fn v2_client(family: u8, rest: &[u8], header: &[u8]) -> Result<Option<SocketAddr>, Error> {
    let malformed = || fault("the PROXY header of version 2 is malformed");
    let addresses_bytes = match family >> 4 {
        0 => 0,
        1 => 12,
        2 => 36,
        3 => 216,
        _ => return Err(malformed()),
    };
    if family & 15 > 2 {
        return Err(malformed());
    }
    let (addresses, extensions) = rest.split_at_checked(addresses_bytes).ok_or_else(malformed)?;
    if family >> 4 != 0 {
        check_extensions(header, extensions)?;
    }
    // Only streams of TCP have a client for us.
    match family {
        0x11 => v2_address::<4>(addresses).map(Some).ok_or_else(malformed),
        0x21 => v2_address::<16>(addresses).map(Some).ok_or_else(malformed),
        _ => Ok(None),
    }
}

/// Source and destination address, source and destination port.
fn v2_address<const BYTES: usize>(addresses: &[u8]) -> Option<SocketAddr>
where
    IpAddr: From<[u8; BYTES]>,
{
    let address: [u8; BYTES] = *addresses.first_chunk()?;
    let port: [u8; 2] = *addresses.get(2 * BYTES..)?.first_chunk()?;
    Some(plain(IpAddr::from(address), u16::from_be_bytes(port)))
}

/// Walks type, length and value to the header's end, and checks the sum where there is one (section 2.2.6).
fn check_extensions(header: &[u8], mut extensions: &[u8]) -> Result<(), Error> {
    while let Some((&kind, rest)) = extensions.split_first() {
        let sized = rest
            .split_first_chunk::<2>()
            .and_then(|(length, rest)| rest.split_at_checked(usize::from(u16::from_be_bytes(*length))));
        let (value, behind) = sized.ok_or_else(|| fault("an extension of the PROXY header is cut short"))?;
        if kind == TYPE_CRC32C {
            let sum_at = header.len() - behind.len() - value.len();
            let sum: Option<[u8; 4]> = value.try_into().ok();
            if sum.map(u32::from_be_bytes) != Some(crc32c_without(header, sum_at)) {
                return Err(fault("the PROXY header's checksum does not match"));
            }
        }
        extensions = behind;
    }
    Ok(())
}

/// CRC-32C (RFC 3720 appendix B.4) over the header, the four bytes at `sum_at` taken as zeros. By bits: a header with a sum
/// is rare, and 4 KiB at most.
fn crc32c_without(header: &[u8], sum_at: usize) -> u32 {
    let mut crc = u32::MAX;
    for (at, byte) in header.iter().enumerate() {
        let is_sum = (sum_at..sum_at + 4).contains(&at);
        crc ^= if is_sum { 0 } else { u32::from(*byte) };
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Option<ProxyHeader>, Error> {
        parse_proxy_header(bytes)
    }

    /// A version 2 header with this command, family and rest.
    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [V2_START, &[command, family], &length, rest].concat()
    }

    fn ipv4() -> Vec<u8> {
        vec![192, 0, 2, 1, 198, 51, 100, 1, 0xDC, 0x04, 0x01, 0xBB]
    }

    fn ipv6() -> Vec<u8> {
        let address: Ipv6Addr = "2001:db8::7".parse().unwrap();
        [&address.octets()[..], &[0; 16], &[0x1F, 0x90, 0, 80]].concat()
    }

    fn with_sum(mut bytes: Vec<u8>, spoil: u8) -> Vec<u8> {
        let length = u16::from_be_bytes([bytes[14], bytes[15]]) + 7;
        bytes[14..16].copy_from_slice(&length.to_be_bytes());
        bytes.extend([TYPE_CRC32C, 0, 4, 0, 0, 0, 0]);
        let sum_at = bytes.len() - 4;
        let sum = crc32c_without(&bytes, sum_at).to_be_bytes();
        bytes[sum_at..].copy_from_slice(&sum);
        bytes[sum_at] ^= spoil;
        bytes
    }

    /// Each with the client it names.
    fn good() -> Vec<(Vec<u8>, Option<&'static str>)> {
        let extended = [ipv4(), vec![1, 0, 2, b'h', b'2', 4, 0, 0]].concat();
        let mapped = [&[0; 10][..], &[0xFF; 2], &[192, 0, 2, 9], &[0; 16], &[0, 9, 0, 80]].concat();
        vec![
            (b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(), Some("192.0.2.1:56324")),
            (b"PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n".to_vec(), Some("255.255.255.255:65535")),
            (b"PROXY TCP6 2001:DB8::7 ::1 8080 80\r\n".to_vec(), Some("[2001:db8::7]:8080")),
            (b"PROXY TCP6 ::ffff:192.0.2.9 ::1 9 80\r\n".to_vec(), Some("192.0.2.9:9")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN \xFF\0\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff:f...f:ffff ffff 65535 65535\r\n".to_vec(), None),
            (header(0x21, 0x11, &ipv4()), Some("192.0.2.1:56324")),
            (header(0x21, 0x21, &ipv6()), Some("[2001:db8::7]:8080")),
            (header(0x21, 0x21, &mapped), Some("192.0.2.9:9")),
            (header(0x21, 0x11, &extended), Some("192.0.2.1:56324")),
            (with_sum(header(0x21, 0x11, &ipv4()), 0), Some("192.0.2.1:56324")),
            (header(0x21, 0x12, &ipv4()), None),
            (header(0x21, 0x00, &[7; 9]), None),
            (header(0x21, 0x31, &[b'x'; 216]), None),
            (header(0x20, 0x00, &[]), None),
            (header(0x20, 0xFF, &[9; 5]), None),
            (header(0x21, 0x00, &vec![0; V2_REST_BYTES_MAX]), None),
        ]
    }

    #[test]
    fn a_header_is_read_to_its_end_and_no_further() {
        for (bytes, client) in good() {
            let client = client.map(|client| client.parse().unwrap());
            let whole = Ok(Some(ProxyHeader { client, bytes: bytes.len() }));
            let shown = bytes.escape_ascii();
            assert_eq!(parse(&bytes), whole, "{shown}");
            assert_eq!(parse(&[&bytes[..], b"GET / HTTP/1.1\r\n\r\n"].concat()), whole, "{shown}");
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Ok(None), "{shown} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let v1 = [
            "GET / HTTP/1.1\r\n",
            "PROXX TCP4 192.0.2.1 198.51.100.1 1 2\r\n",
            "proxy TCP4 192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1 2\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1 2 \r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY  TCP4 192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2.01 198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2 198.51.100.1 1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1 2a\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1 \r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY tcp4 192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY \r\n",
            "PROXY TCP4 192.0.2.1\r198.51.100.1 1 2\r\n",
        ];
        let spoilt_signature = [&V2_START[..11], b"X"].concat();
        let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; V1_BYTES_MAX - 14]].concat();
        let v2 = [
            spoilt_signature,
            header(0x11, 0x11, &ipv4()),
            header(0x31, 0x11, &ipv4()),
            header(0x22, 0x11, &ipv4()),
            header(0x21, 0x41, &ipv4()),
            header(0x21, 0x13, &ipv4()),
            header(0x21, 0x11, &ipv4()[..11]),
            header(0x21, 0x21, &ipv6()[..35]),
            header(0x21, 0x31, &[0; 215]),
            header(0x21, 0x11, &[ipv4(), vec![4]].concat()),
            header(0x21, 0x11, &[ipv4(), vec![4, 0, 2, 0]].concat()),
            header(0x21, 0x11, &[ipv4(), vec![TYPE_CRC32C, 0, 3, 0, 0, 0]].concat()),
            header(0x21, 0x00, &vec![0; V2_REST_BYTES_MAX + 1]),
            with_sum(header(0x21, 0x11, &ipv4()), 1),
            long,
        ];
        for bytes in v1.map(|line| line.as_bytes().to_vec()).into_iter().chain(v2) {
            assert!(parse(&bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn the_longest_first_version_is_taken_and_one_more_byte_is_not() {
        let longest = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; V1_BYTES_MAX - 16], b"\r\n".to_vec()].concat();
        assert_eq!(longest.len(), V1_BYTES_MAX);
        assert_eq!(parse(&longest), Ok(Some(ProxyHeader { client: None, bytes: V1_BYTES_MAX })));
        let longer = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; V1_BYTES_MAX - 15], b"\r\n".to_vec()].concat();
        assert!(parse(&longer).is_err());
        assert!(parse(&vec![b'\n'; 4096]).is_err());
    }

    #[test]
    fn the_sum_is_crc32c() {
        // RFC 3720 appendix B.4: 32 bytes of zeros, and the check value of "123456789".
        assert_eq!(crc32c_without(&[0; 32], 64), 0x8A91_36AA);
        assert_eq!(crc32c_without(b"123456789", 64), 0xE306_9283);
    }
}

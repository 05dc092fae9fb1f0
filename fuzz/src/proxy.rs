//! PROXY headers: the same however they arrive, never beyond their end, and those of version 1 as a slow reading of the
//! line has them.

use std::net::{IpAddr, SocketAddr};

use corelane::error::Kind;
use corelane::http::proxy::{ProxyHeader, V1_BYTES_MAX, V2_REST_BYTES_MAX, parse_proxy_header};

use super::cut::ways;

/// The fixed part of version 2.
const V2_FIXED_BYTES: usize = 16;

/// What stands before a connection's own bytes.
pub fn proxy_header(bytes: &[u8]) {
    let read = |bytes: &[u8]| parse_proxy_header(bytes).map_err(|error| error.kind);
    let whole = read(bytes);
    for ends in ways(bytes) {
        let mut answers = ends.iter().map(|end| read(bytes.get(..*end).unwrap_or_default()));
        let first = answers.find(|answer| *answer != Ok(None)).unwrap_or(Ok(None));
        assert_eq!(first, whole, "arriving by {ends:?}");
    }
    match whole {
        Err(kind) => assert_eq!(kind, Kind::BadHead),
        Ok(None) => assert!(bytes.len() < V2_FIXED_BYTES + V2_REST_BYTES_MAX, "waits for ever"),
        Ok(Some(header)) => {
            let own = bytes.get(..header.bytes).expect("an end inside");
            assert_eq!(read(&[own, b"\r\n\0GET"].concat()), Ok(Some(header)));
            assert_eq!(read(own.get(..own.len() - 1).unwrap_or_default()), Ok(None));
            check_header(own, header);
        }
    }
}

fn check_header(own: &[u8], header: ProxyHeader) {
    if own.starts_with(b"PROXY ") {
        assert!(own.len() <= V1_BYTES_MAX);
        return assert_eq!(header.client, slow_v1(own).expect("what is taken is a line"));
    }
    assert!(own.len() <= V2_FIXED_BYTES + V2_REST_BYTES_MAX);
    let length =
        own.get(14..16).map(|length| length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)));
    assert_eq!(length, Some(own.len() - V2_FIXED_BYTES));
    let is_tcp = matches!(own.get(12..14), Some([0x21, 0x11 | 0x21]));
    assert_eq!(header.client.is_some(), is_tcp, "a client");
}

/// The client of a line of version 1; `None`: it is no such line.
fn slow_v1(line: &[u8]) -> Option<Option<SocketAddr>> {
    let line = line.strip_suffix(b"\r\n")?;
    if line == b"PROXY UNKNOWN" || line.starts_with(b"PROXY UNKNOWN ") {
        return Some(None);
    }
    let words: Vec<&str> = std::str::from_utf8(line).ok()?.split(' ').collect();
    let ["PROXY", family, client, server, client_port, server_port] = words[..] else { return None };
    let address =
        |word: &str| word.parse::<IpAddr>().ok().filter(|address| address.is_ipv4() == (family == "TCP4"));
    let port = |word: &str| word.parse::<u16>().ok().filter(|port| port.to_string() == word);
    let (client, _) = (address(client)?, address(server)?);
    let (client_port, _) = (port(client_port)?, port(server_port)?);
    matches!(family, "TCP4" | "TCP6").then(|| Some(SocketAddr::new(client.to_canonical(), client_port)))
}

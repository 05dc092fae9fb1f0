//! A name server under a test's control (RFC 1035 §4): it answers queries over UDP as a closure says, and notes them.

#![allow(clippy::disallowed_types, reason = "the threads of a test share what they saw")]

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::resolver::Sources;

/// What is answered to a query.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// Those of the kind asked for, with this TTL in seconds; none: the name exists, without such an address.
    Addresses(Vec<IpAddr>, u32),
    /// NXDOMAIN.
    NoSuchName,
    /// SERVFAIL.
    Broken,
    /// Nothing.
    Silence,
}

impl Reply {
    pub(super) fn addresses(addresses: &[&str], ttl_s: u32) -> Self {
        Self::Addresses(addresses.iter().map(|address| address.parse().unwrap()).collect(), ttl_s)
    }
}

/// See the module.
pub(super) struct NameServer {
    address: SocketAddr,
    folder: TempDir,
    queries: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    /// Calls `answer` with the queried name, fully qualified, and the kind of record, `A` or `AAAA`.
    pub(super) fn start(answer: impl Fn(&str, &str) -> Reply + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let queries = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&queries);
        std::thread::spawn(move || {
            let mut bytes = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut bytes) {
                let (name, kind, end) = question(&bytes[..length]);
                noted.lock().unwrap().push(format!("{kind} {name}"));
                if let Some(reply) = encode(&bytes[..end], kind, answer(&name, kind)) {
                    socket.send_to(&reply, peer).unwrap();
                }
            }
        });
        Self { address, folder: TempDir::new().unwrap(), queries }
    }

    /// A configuration that names it, with these further lines; and no hosts file.
    pub(super) fn sources(&self, lines: &str) -> Sources {
        self.configure(lines);
        let at = |name| self.folder.path().join(name);
        Sources { resolv_conf: at("resolv.conf"), hosts: at("hosts"), port: self.address.port() }
    }

    /// Writes its `resolv.conf` anew.
    pub(super) fn configure(&self, lines: &str) {
        let text = format!("nameserver {}\noptions timeout:1 attempts:1\n{lines}\n", self.address.ip());
        fs::write(self.folder.path().join("resolv.conf"), text).unwrap();
    }

    /// Writes its hosts file.
    pub(super) fn write_hosts(&self, text: &str) {
        fs::write(self.folder.path().join("hosts"), text).unwrap();
    }

    /// Every query so far, in alphabetical order, since the two families have no order.
    pub(super) fn queries(&self) -> Vec<String> {
        let mut queries = self.queries.lock().unwrap().clone();
        queries.sort();
        queries
    }
}

/// Name and kind of the only question, and where it ends.
fn question(bytes: &[u8]) -> (String, &'static str, usize) {
    let (mut name, mut at) = (String::new(), 12);
    while bytes[at] > 0 {
        let length = usize::from(bytes[at]);
        name.push_str(std::str::from_utf8(&bytes[at + 1..at + 1 + length]).unwrap());
        name.push('.');
        at += 1 + length;
    }
    let kind = match bytes[at + 2] {
        1 => "A",
        28 => "AAAA",
        other => panic!("a query of kind {other}"),
    };
    (name, kind, at + 5)
}

fn encode(query: &[u8], kind: &str, reply: Reply) -> Option<Vec<u8>> {
    let (code, addresses, ttl_s) = match reply {
        Reply::Addresses(addresses, ttl_s) => (0, addresses, ttl_s),
        Reply::NoSuchName => (3, Vec::new(), 0),
        Reply::Broken => (2, Vec::new(), 0),
        Reply::Silence => return None,
    };
    let records: Vec<Vec<u8>> = addresses.iter().filter_map(|address| data(*address, kind)).collect();
    let mut bytes = query.to_vec();
    bytes[2..4].copy_from_slice(&[0x81, 0x80 | code]);
    bytes[4..12].copy_from_slice(&[0, 1, 0, records.len().try_into().unwrap(), 0, 0, 0, 0]);
    for record in records {
        // The question's name again, its kind, class IN.
        bytes.extend_from_slice(&[0xc0, 12, 0, if record.len() == 4 { 1 } else { 28 }, 0, 1]);
        bytes.extend_from_slice(&ttl_s.to_be_bytes());
        bytes.extend_from_slice(&u16::try_from(record.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(&record);
    }
    Some(bytes)
}

fn data(address: IpAddr, kind: &str) -> Option<Vec<u8>> {
    match (address, kind) {
        (IpAddr::V4(address), "A") => Some(address.octets().to_vec()),
        (IpAddr::V6(address), "AAAA") => Some(address.octets().to_vec()),
        _ => None,
    }
}

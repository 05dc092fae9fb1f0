//! The PROXY protocol on the listener: required of trusted peers, unknown from all others, and the caller's address from
//! then on.

use std::net::SocketAddr;

use serde_json::json;

use crate::caller::Caller;
use crate::setup::{ANSWER, ASK, CHAT, config, ok, on_both};
use crate::support::node::Node;
use crate::support::tls::{BOTH, Certificates, TlsCaller};
use crate::support::upstream::Upstream;

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";
const V1_UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C\xC0\0\x02\x01\xC6\x33\x64\x01\xDC\x04\x01\xBB";
const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nhost: test\r\n\r\n";

fn start(driver: &str, trusted: &str, tls: Option<&Certificates>) -> Node {
    let mut config = config(SocketAddr::from(([127, 0, 0, 1], 9)));
    config["server"] = json!({ "trusted_proxies": [trusted], "proxy_protocol": true });
    if let Some(certificates) = tls {
        config["server"]["tls"] = certificates.server_tls();
    }
    Node::start_on(&config.to_string(), driver, 1)
}

fn refused(node: &Node, header: &[u8]) -> u64 {
    let mut caller = Caller::new(node);
    caller.send(header);
    let page = caller.get("/metrics");
    let line = page.text().lines().find(|line| line.starts_with("corelane_proxy_headers_refused_total"));
    line.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn a_trusted_peer_announces_each_connection() {
    on_both(|driver| {
        let node = start(driver, "127.0.0.0/8", None);
        for header in [V1, V1_UNKNOWN, V2, V2_LOCAL] {
            let mut caller = Caller::new(&node);
            caller.send([header, HEALTH, HEALTH].concat());
            assert_eq!((caller.answer().status, caller.answer().status), (200, 200));
            assert_eq!(caller.get("/health").status, 200);
            // A second header is no request.
            caller.send([header, HEALTH].concat());
            assert_eq!(caller.answer().status, 400);
            assert!(caller.is_closed());
        }
        assert_eq!(refused(&node, V2), 0);
    });
}

#[test]
fn a_header_may_come_in_pieces() {
    on_both(|driver| {
        let node = start(driver, "127.0.0.1/32", None);
        for header in [V1, V2] {
            let bytes = [header, HEALTH].concat();
            for cut in 1..header.len() + 2 {
                let mut caller = Caller::new(&node);
                caller.send(&bytes[..cut]);
                // The rest comes behind what another connection brought and got answered.
                assert_eq!(refused(&node, V1), 0);
                caller.send(&bytes[cut..]);
                assert_eq!(caller.answer().status, 200, "cut at {cut}");
            }
        }
    });
}

#[test]
fn what_is_no_header_is_told_so_and_nothing_of_it_is_served() {
    on_both(|driver| {
        let node = start(driver, "127.0.0.1/32", None);
        let bad = [
            HEALTH.to_vec(),
            [b"PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n", HEALTH].concat(),
            [&V2[..12], b"\x31\x11\0\0", HEALTH].concat(),
            vec![b'\r'; 200],
        ];
        for bytes in &bad {
            let mut caller = Caller::new(&node);
            caller.send(bytes);
            let answer = caller.answer();
            assert_eq!((answer.status, &*answer.code()), (400, "bad_request_head"));
            assert!(answer.text().contains("PROXY"), "{}", answer.text());
            assert!(caller.is_closed());
        }
        // One that closes before its first byte looks whether we listen, and is no fault; one that leaves half is.
        drop(Caller::new(&node));
        let mut half = Caller::new(&node);
        half.send(&V2[..9]);
        half.half_close();
        assert!(half.is_closed());
        assert_eq!(refused(&node, V1), 5);
    });
}

#[test]
fn of_a_stranger_no_header_is_taken() {
    on_both(|driver| {
        let node = start(driver, "192.0.2.0/24", None);
        assert_eq!(Caller::new(&node).get("/health").status, 200);
        for header in [V1, V2] {
            let mut caller = Caller::new(&node);
            caller.send([header, HEALTH].concat());
            assert_eq!(caller.answer().status, 400);
            assert!(caller.is_closed());
        }
    });
}

#[test]
fn the_header_stands_before_tls() {
    on_both(|driver| {
        use std::io::Write;
        let certificates = Certificates::new();
        let node = start(driver, "127.0.0.1", Some(&certificates));
        for header in [V1, V2, V2_LOCAL] {
            let mut stream = node.connect();
            stream.write_all(header).unwrap();
            let config = std::sync::Arc::new(certificates.client_config(BOTH));
            let mut caller = TlsCaller::over(stream, config).unwrap();
            caller.write_all(HEALTH).unwrap();
            assert!(crate::listener_tls::head(&mut caller).starts_with("HTTP/1.1 200 "));
        }
        // In one piece with what follows it.
        let mut caller = Caller::new(&node);
        caller.send([V2, &crate::listener_tls::hello(&certificates)].concat());
        caller.until(b"\x16\x03\x03");
        // Without it the handshake is none: no answer in plain text to one who speaks TLS.
        let config = std::sync::Arc::new(certificates.client_config(BOTH));
        assert!(TlsCaller::over(node.connect(), config).is_err());
    });
}

#[test]
fn it_changes_nothing_for_the_provider() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let mut config = config(upstream.address);
        config["server"] = json!({ "trusted_proxies": ["127.0.0.1"], "proxy_protocol": true });
        let node = Node::start(&config.to_string(), driver);
        let mut caller = Caller::new(&node);
        caller.send(V1);
        assert_eq!(caller.post(CHAT, ASK).status, 200);
        let head = upstream.last().head.to_ascii_lowercase();
        assert!(
            !head.contains("192.0.2.1") && !head.contains("proxy") && !head.contains("forwarded"),
            "{head}"
        );
    });
}

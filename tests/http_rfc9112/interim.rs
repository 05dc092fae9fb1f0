//! RFC 9110 §10.1.1, the interim answer: it comes to a caller that holds its body back, and to no other. These wait for
//! one another, so they are no table.

use crate::answers;
use crate::case::{CHAT, body};
use crate::client::{Client, Edge};
use crate::drive::{config, pause};
use crate::support::node::{DRIVERS, Node};
use crate::support::upstream::Upstream;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Runs a test on both drivers, plain and TLS, against a provider that answers each body with itself.
fn on_all(test: impl Fn(&dyn Fn() -> Client)) {
    for edge in [Edge::plain(), Edge::tls()] {
        for driver in DRIVERS {
            let upstream = Upstream::start(|line| {
                while let Some(request) = line.receive() {
                    let length = request.body.len();
                    line.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"));
                    line.send(request.body);
                }
            });
            let node = Node::start(&config(&upstream, &edge), driver);
            test(&|| edge.connect(node.address));
        }
    }
}

fn head(version: &str, fields: &str) -> String {
    format!("POST {CHAT} HTTP/{version}\r\nHost: h\r\n{fields}\r\n")
}

/// The statuses of what came, the interim ones left out, and whether there were any of these.
fn statuses(received: &[u8]) -> (Vec<u16>, bool) {
    let answers = answers::take_apart(received, &[]).unwrap();
    let has_interim = memchr::memmem::find(received, b"HTTP/1.1 100").is_some();
    (answers.iter().map(|answer| answer.status).collect(), has_interim)
}

#[test]
fn a_caller_that_waits_is_told_to_go_on() {
    on_all(|connect| {
        let body = body('a', 0);
        let length = format!("Content-Length: {}\r\n", body.len());
        let chunks = format!("20\r\n{body}\r\n0\r\n\r\n");
        for (framing, framed) in [(length.as_str(), &body), ("Transfer-Encoding: chunked\r\n", &chunks)] {
            // Twice on one connection; the second time with the end of it.
            let mut client = connect();
            for last in ["", "Connection: close\r\n"] {
                client.send(head("1.1", &format!("Expect: 100-continue\r\n{last}{framing}")).as_bytes());
                assert_eq!(client.read_exactly(CONTINUE.len()), CONTINUE);
                client.send(framed.as_bytes());
                if last.is_empty() {
                    assert!(client.read_until(body.as_bytes()).starts_with(b"HTTP/1.1 200"));
                }
            }
            let (received, end) = client.read_to_end();
            end.unwrap();
            assert_eq!(statuses(&received), (vec![200], false));
        }
    });
}

#[test]
fn a_body_that_is_refused_is_not_asked_for() {
    on_all(|connect| {
        let expect = "Expect: 100-continue\r\n";
        for (request, status) in [
            (head("1.1", &format!("{expect}Content-Length: 2000000\r\n")), 413),
            (head("1.1", &format!("{expect}Content-Type: text/plain\r\nContent-Length: 32\r\n")), 415),
            (head("1.1", &format!("{expect}Content-Encoding: x\r\nContent-Length: 32\r\n")), 415),
            (head("1.1", &format!("{expect}Content-Length: 32\r\nTransfer-Encoding: chunked\r\n")), 400),
            (head("1.1", &format!("{expect}Expect: x\r\nContent-Length: 32\r\n")), 417),
            (head("1.1", &format!("{expect}Content-Length: 32\r\n")).replace(CHAT, "/nowhere"), 404),
            (head("1.1", &format!("{expect}Content-Length: 32\r\n")).replace("POST", "PUT"), 405),
        ] {
            let mut client = connect();
            client.send(request.as_bytes());
            let (received, end) = client.read_to_end();
            end.unwrap();
            assert_eq!(statuses(&received), (vec![status], false), "{request:?}");
        }
    });
}

#[test]
fn nobody_else_is_told() {
    on_all(|connect| {
        let body = body('a', 0);
        let length = format!("Connection: close\r\nContent-Length: {}\r\n", body.len());
        // HTTP/1.0 knows no interim answer; a caller that expects nothing gets none.
        for request in [head("1.0", &format!("Expect: 100-continue\r\n{length}")), head("1.1", &length)] {
            let mut client = connect();
            client.send(request.as_bytes());
            pause(std::time::Duration::from_millis(20));
            client.send(body.as_bytes());
            let (received, end) = client.read_to_end();
            end.unwrap();
            assert_eq!(statuses(&received), (vec![200], false), "{request:?}");
        }
        let mut client = connect();
        client.send(b"GET /health HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n");
        let (received, end) = client.read_to_end();
        end.unwrap();
        assert_eq!(statuses(&received), (vec![200], false), "without a body");
    });
}

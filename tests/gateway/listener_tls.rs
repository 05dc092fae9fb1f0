//! TLS on the listener: both versions, what is agreed on, who is let in, how sessions are resumed, what a fault says, and
//! certificates read again while connections go on.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{AlertDescription, ClientConfig, ClientConnection, HandshakeKind};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::setup::{ANSWER, ASK, ASK_STREAM, CHAT, config, ok, on_both, streaming};
use crate::support::node::{KEYS, Node, eventually};
use crate::support::tls::{BOTH, Certificates, Goodbye, Leaf, TLS12, TLS13, TlsCaller, TlsFront};
use crate::support::upstream::{Gate, Upstream};

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nhost: test\r\n\r\n";

/// Answers each connection's bytes with the same bytes.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut piece = [0; 1024];
                while let Ok(count @ 1..) = stream.read(&mut piece) {
                    stream.write_all(&piece[..count]).unwrap();
                }
            });
        }
    });
    address
}

/// The test's own tools, against each other: were they wrong, everything below would prove nothing.
#[test]
fn the_caller_and_the_front_understand_each_other() {
    let certificates = Certificates::new();
    let front = TlsFront::before(echo(), certificates.server_config(&certificates.server), Goodbye::Notified);
    for versions in [BOTH, TLS12, TLS13] {
        let mut caller = TlsCaller::connect(front.address, &certificates, versions);
        assert_eq!(caller.version(), versions[0].version);
        caller.write_all(b"over and out").unwrap();
        let mut bytes = [0; 12];
        caller.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"over and out");
        assert_eq!(caller.handshake_kind(), HandshakeKind::Full);
        caller.close_notify();
        assert_eq!(caller.read(&mut bytes).unwrap(), 0);
    }
    assert_eq!(front.handshakes(), vec![Ok(HandshakeKind::Full); 3]);
}

fn tls_config(upstream: SocketAddr, certificates: &Certificates) -> Value {
    let mut config = config(upstream);
    config["server"]["tls"] = certificates.server_tls();
    config
}

fn start(upstream: &Upstream, certificates: &Certificates, driver: &str) -> Node {
    Node::start(&tls_config(upstream.address, certificates).to_string(), driver)
}

/// The next head over a connection, and no byte behind it.
pub(crate) fn head(caller: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        caller.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} after {}", head.escape_ascii()));
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// The next answer with a length.
fn answer(caller: &mut impl Read) -> (u16, Vec<u8>) {
    let head = head(caller);
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    caller.read_exact(&mut body).unwrap();
    (head[9..12].parse().unwrap(), body)
}

fn ask(caller: &mut TlsCaller) -> (u16, Vec<u8>) {
    caller.write_all(&crate::caller::request(CHAT, "", ASK)).unwrap();
    answer(caller)
}

/// A counter's sum over cores.
fn counted(node: &Node, certificates: &Certificates, name: &str) -> u64 {
    let mut caller = TlsCaller::connect(node.address, certificates, BOTH);
    caller.write_all(b"GET /metrics HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
    let (_, page) = answer(&mut caller);
    let page = String::from_utf8(page).unwrap();
    let lines = page.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

#[test]
fn both_versions_are_served_and_what_is_spoken_inside_is_agreed_on() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let certificates = Certificates::new();
        let node = start(&upstream, &certificates, driver);
        assert!(node.start_line.contains("\"tls\":true"), "{}", node.start_line);
        for versions in [BOTH, TLS12, TLS13] {
            for offered in [vec![], vec![&b"http/1.1"[..]], vec![b"h2", b"http/1.1"]] {
                let mut config = certificates.client_config(versions);
                config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
                let mut caller = TlsCaller::try_connect(node.address, Arc::new(config)).unwrap();
                assert_eq!(caller.version(), versions[0].version);
                assert_eq!(caller.alpn(), (!offered.is_empty()).then(|| b"http/1.1".to_vec()));
                for _ in 0..2 {
                    assert_eq!(ask(&mut caller), (200, ANSWER.as_bytes().to_vec()));
                }
            }
            let mut config = certificates.client_config(versions);
            config.alpn_protocols = vec![b"h2".to_vec()];
            let refused = TlsCaller::try_connect(node.address, Arc::new(config)).err().unwrap();
            assert_eq!(alert(&refused), Some(AlertDescription::NoApplicationProtocol));
        }
        assert_eq!(counted(&node, &certificates, "corelane_tls_handshakes_failed_total"), 3);
        assert_eq!(counted(&node, &certificates, "corelane_tls_handshakes_total"), 11);
        assert!(!node.said().iter().any(|line| line.contains("ERROR")));
    });
}

fn alert(error: &std::io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

#[test]
fn a_session_is_resumed_on_whichever_core() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let certificates = Certificates::new();
        let config = tls_config(upstream.address, &certificates).to_string();
        let node = Node::start_on(&config, driver, 4);
        for versions in [TLS12, TLS13] {
            let config = Arc::new(certificates.client_config(versions));
            let mut kept = Vec::new();
            for number in 0..24 {
                let mut caller = TlsCaller::try_connect(node.address, Arc::clone(&config)).unwrap();
                assert_eq!(ask(&mut caller).0, 200);
                let kind = if number == 0 { HandshakeKind::Full } else { HandshakeKind::Resumed };
                assert_eq!(caller.handshake_kind(), kind, "{number}");
                // They stay open: each core gets six.
                kept.push(caller);
            }
        }
    });
}

#[test]
fn a_plain_request_on_the_port_is_told_to_speak_tls() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let certificates = Certificates::new();
        let node = start(&upstream, &certificates, driver);
        for first in ["GET /health HTTP/1.1\r\nhost: t\r\n\r\n", "G", "\r\n", "\u{0}"] {
            let mut caller = Caller::new(&node);
            caller.send(first);
            let answer = caller.answer();
            assert_eq!((answer.status, &*answer.code()), (400, "bad_request_head"));
            assert!(answer.text().contains("https"), "{}", answer.text());
            assert!(caller.is_closed());
        }
        // A look whether we listen is no fault; nonsense that begins as TLS does is one, and is told by an alert.
        drop(Caller::new(&node));
        let mut caller = Caller::new(&node);
        caller.send(b"\x16\x03\x01\0\x05\x01\0\0\x01\0");
        let rest = caller.rest();
        assert!(rest.starts_with(b"\x15\x03"), "{}", rest.escape_ascii());
        assert_eq!(counted(&node, &certificates, "corelane_tls_handshakes_failed_total"), 5);
        assert!(upstream.requests().is_empty());
    });
}

/// A whole first flight of TLS, as a caller of ours sends it.
pub(crate) fn hello(certificates: &Certificates) -> Vec<u8> {
    let name = "localhost".try_into().unwrap();
    let mut session = ClientConnection::new(Arc::new(certificates.client_config(BOTH)), name).unwrap();
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_handshake_that_drags_is_ended() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let certificates = Certificates::new();
        let node = start(&upstream, &certificates, driver);
        let hello = hello(&certificates);
        // Silent, half a flight, a whole one without the answer to ours.
        let firsts = [&[][..], &hello[..hello.len() / 2], &hello];
        let mut callers: Vec<Caller> = firsts.map(|_| Caller::new(&node)).into();
        let began = Instant::now();
        for (caller, first) in callers.iter_mut().zip(firsts) {
            caller.send(first);
        }
        for caller in &mut callers {
            caller.rest();
        }
        let took = began.elapsed();
        assert!((Duration::from_secs(9)..Duration::from_secs(25)).contains(&took), "{took:?}");
        assert_eq!(counted(&node, &certificates, "corelane_tls_handshakes_failed_total"), 3);
    });
}

#[test]
fn a_drain_does_not_wait_for_a_handshake_that_drags() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let certificates = Certificates::new();
        let mut node = start(&upstream, &certificates, driver);
        let mut callers: Vec<Caller> = (0..3).map(|_| Caller::new(&node)).collect();
        callers[0].send(hello(&certificates));
        let mut idle = TlsCaller::connect(node.address, &certificates, BOTH);
        assert_eq!(ask(&mut idle).0, 200);
        let told = Instant::now();
        node.signal("TERM");
        // It is told in order.
        assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0);
        assert_eq!(node.wait().code(), Some(0));
        assert!(told.elapsed() < Duration::from_secs(6), "{:?}", told.elapsed());
    });
}

#[test]
fn callers_show_a_certificate_when_one_is_asked_for() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let (certificates, strangers) = (Certificates::new(), Certificates::new());
        let mut config = tls_config(upstream.address, &certificates);
        config["server"]["tls"]["client_ca"] = json!(certificates.path("ca.pem"));
        let node = Node::start(&config.to_string(), driver);
        for versions in [TLS12, TLS13] {
            let known = Arc::new(certificates.client_config_as(&certificates.client, versions));
            for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
                let mut caller = TlsCaller::try_connect(node.address, Arc::clone(&known)).unwrap();
                assert_eq!((ask(&mut caller).0, caller.handshake_kind()), (200, kind));
            }
            let refused: [(ClientConfig, &str); 3] = [
                (certificates.client_config(versions), "CertificateRequired"),
                (certificates.client_config_as(&strangers.client, versions), "UnknownCA"),
                (certificates.client_config_as(&certificates.expired(), versions), "CertificateExpired"),
            ];
            for (config, reason) in refused {
                let error = refusal(node.address, config);
                // TLS 1.2 has no alert for a missing one but a general.
                let general = reason == "CertificateRequired" && error.contains("HandshakeFailure");
                assert!(error.contains(reason) || general, "{error}");
            }
        }
        assert_eq!(upstream.requests().len(), 4);
    });
}

/// Why a caller was not let in; TLS 1.3 says so with the first read.
fn refusal(address: SocketAddr, config: ClientConfig) -> String {
    let mut caller = match TlsCaller::try_connect(address, Arc::new(config)) {
        Ok(caller) => caller,
        Err(error) => return format!("{error:?}"),
    };
    let _ = caller.write_all(HEALTH);
    match caller.read(&mut [0; 1]) {
        Ok(count) => panic!("it was let in: {count}"),
        Err(error) => format!("{error:?}"),
    }
}

#[test]
fn an_answer_that_closes_ends_with_a_word() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let certificates = Certificates::new();
        let node = start(&upstream, &certificates, driver);
        for versions in [TLS12, TLS13] {
            for request in [
                "GET /health HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n",
                "GET /health HTTP/1.0\r\n\r\n",
                "GET / HTTP/1.1\n\n",
            ] {
                let mut caller = TlsCaller::connect(node.address, &certificates, versions);
                caller.write_all(request.as_bytes()).unwrap();
                let mut bytes = Vec::new();
                // Without a close_notify this is the error UnexpectedEof.
                caller.read_to_end(&mut bytes).unwrap();
                assert!(bytes.starts_with(b"HTTP/1.1 "));
            }
        }
    });
}

#[test]
fn certificates_are_read_again_and_a_fault_keeps_the_old_ones() {
    on_both(|driver| {
        let gate = Gate::default();
        let upstream = streaming(&gate);
        let certificates = Certificates::new();
        let node = start(&upstream, &certificates, driver);
        let session = Arc::new(certificates.client_config(BOTH));
        let mut kept = TlsCaller::try_connect(node.address, Arc::clone(&session)).unwrap();
        let first = kept.peer_certificate();
        assert_eq!(ask(&mut kept).0, 200);
        let mut stream = TlsCaller::connect(node.address, &certificates, BOTH);
        stream.write_all(&crate::caller::request(CHAT, "", ASK_STREAM)).unwrap();
        until(&mut stream, "one");

        // A key of another certificate: refused, said, and nothing changes.
        let fresh = certificates.sign(&["localhost"], |_| {});
        certificates.write("server.key", &fresh.key);
        let said = hang_up(&node, "is refused; the one before serves on");
        assert!(said.contains("/server/tls/key") && said.contains("server.key"), "{said}");
        assert!(!said.contains(&fresh.key[40..80]));
        assert_eq!(TlsCaller::connect(node.address, &certificates, BOTH).peer_certificate(), first);

        certificates.write("server.pem", &fresh.cert);
        hang_up(&node, "read again; new");
        // Told by mailbox, core by core.
        eventually("each core has it", || {
            let seen: Vec<_> = (0..8)
                .map(|_| TlsCaller::connect(node.address, &certificates, BOTH).peer_certificate())
                .collect();
            seen.iter().all(|seen| *seen != first).then_some(())
        });
        let after = TlsCaller::try_connect(node.address, session).unwrap();
        assert_eq!(after.handshake_kind(), HandshakeKind::Full, "tickets end with their certificate");
        // What was open goes on.
        assert_eq!(ask(&mut kept).0, 200);
        gate.open();
        until(&mut stream, "data: [DONE]");
    });
}

fn until(caller: &mut TlsCaller, wanted: &str) {
    let mut bytes = Vec::new();
    while !bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes()) {
        let mut piece = [0; 1024];
        let count = caller.read(&mut piece).unwrap();
        assert!(count > 0, "{wanted} not in {}", bytes.escape_ascii());
        bytes.extend_from_slice(&piece[..count]);
    }
}

/// Sends HUP; the line that says what came of it.
fn hang_up(node: &Node, wanted: &str) -> String {
    node.signal("HUP");
    eventually("it says what came of it", || node.said().into_iter().find(|line| line.contains(wanted)))
}

#[test]
fn what_cannot_be_served_is_refused_at_start_and_what_can_is_warned_of() {
    on_both(|driver| {
        let certificates = Certificates::new();
        let try_start = |config: Value, variables: &[(&str, &str)]| {
            let variables = [&KEYS[..], variables].concat();
            Node::try_start(&config.to_string(), driver, &variables)
        };
        let upstream = SocketAddr::from(([127, 0, 0, 1], 9));
        let other = certificates.sign(&["localhost"], |_| {});
        for (name, path, wanted) in [
            ("cert", certificates.path("absent.pem"), "absent.pem: No such file"),
            ("cert", certificates.path("server.key"), "server.key: holds no certificate"),
            ("key", certificates.path("server.pem"), "server.pem: holds no private key"),
            ("key", certificates.write("other.key", &other.key), "other.key: is not the key of"),
            ("client_ca", certificates.path("server.key"), "server.key: holds no certificate"),
        ] {
            let mut config = tls_config(upstream, &certificates);
            config["server"]["tls"][name] = json!(path);
            let said = try_start(config, &[]).err().unwrap().join("\n");
            assert!(said.contains(&format!("/server/tls/{name}: ")) && said.contains(wanted), "{said}");
            assert!(!said.contains(certificates.server.key.lines().nth(1).unwrap()));
        }
        // From variables, and out of its time.
        let Leaf { cert, key } = certificates.expired();
        let mut config = tls_config(upstream, &certificates);
        config["server"]["tls"] = json!({ "cert": "env.TLS_CERT", "key": "env.TLS_KEY" });
        config["client"]["enable_logging"] = json!(false);
        let node = try_start(config, &[("TLS_CERT", &cert), ("TLS_KEY", &key)]).unwrap();
        let expired = TlsCaller::try_connect(node.address, Arc::new(certificates.client_config(BOTH)));
        assert_eq!(expired.err().map(|error| error.kind()), Some(ErrorKind::InvalidData));
        let said = hang_up(&node, "nothing changed");
        assert!(!said.contains("PRIVATE KEY"));
    });
}

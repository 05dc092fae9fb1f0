//! TLS towards providers: whom a node trusts by its config and its system, what it says in its first message, sessions that
//! are resumed, and connections that are kept.

use std::net::{SocketAddr, TcpListener};
use std::sync::LazyLock;

use rustls::HandshakeKind;
use rustls::server::Acceptor;
use serde_json::Value;

use crate::caller::{Answer, Caller};
use crate::setup::{ANSWER, ASK, CHAT, answer, config, ok, on_both};
use crate::support::node::{KEYS, Node, eventually};
use crate::support::tls::{Certificates, Goodbye, Leaf, TlsFront};
use crate::support::upstream::Upstream;

static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(Certificates::new);

/// OpenAI behind TLS at `host`, with these network settings.
fn https(host: &str, address: SocketAddr, settings: &[(&str, Value)]) -> String {
    let mut config = config(address);
    let network = &mut config["providers"]["openai"]["network_config"];
    network["base_url"] = format!("https://{host}:{}", address.port()).into();
    for (name, value) in settings {
        network[*name] = value.clone();
    }
    config.to_string()
}

fn trusting() -> (&'static str, Value) {
    ("ca_cert_pem", CERTIFICATES.ca.as_str().into())
}

fn front(upstream: &Upstream, leaf: &Leaf) -> TlsFront {
    TlsFront::before(upstream.address, CERTIFICATES.server_config(leaf), Goodbye::Notified)
}

fn check_refused(answer: &Answer, word: &str) {
    assert_eq!((answer.status, &*answer.code()), (502, "upstream_unreachable"), "{}", answer.text());
    assert!(answer.text().contains(word), "{word} not in {}", answer.text());
}

#[test]
fn further_roots_are_trusted_beside_the_public_ones() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let front = front(&upstream, &CERTIFICATES.server);
        for host in ["127.0.0.1", "localhost"] {
            let node = Node::start(&https(host, front.address, &[trusting()]), driver);
            assert_eq!(Caller::new(&node).post(CHAT, ASK).text(), ANSWER);
            assert_eq!(upstream.last().value("host"), format!("{host}:{}", front.address.port()));
            let node = Node::start(&https(host, front.address, &[]), driver);
            check_refused(&Caller::new(&node).post(CHAT, ASK), "UnknownIssuer (network_config.ca_cert_pem");
        }
        assert_eq!(upstream.requests().len(), 2);
    });
}

#[test]
fn the_systems_roots_are_trusted() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let front = front(&upstream, &CERTIFICATES.server);
        let roots = CERTIFICATES.path("ca.pem");
        let config = https("localhost", front.address, &[]);
        for (file, status) in [(roots.to_str().unwrap(), 200), ("/nowhere/roots.pem", 502)] {
            let variables = [KEYS.as_slice(), &[("SSL_CERT_FILE", file)]].concat();
            let node = Node::try_start(&config, driver, &variables).unwrap();
            assert_eq!(Caller::new(&node).post(CHAT, ASK).status, status, "{file}");
        }
    });
}

#[test]
fn a_trusted_authority_does_not_vouch_for_everything() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let other = CERTIFICATES.sign(&["other.test"], |_| {});
        for (leaf, word) in [(&CERTIFICATES.expired(), "expired"), (&other, "not valid for name")] {
            let front = front(&upstream, leaf);
            let node = Node::start(&https("localhost", front.address, &[trusting()]), driver);
            check_refused(&Caller::new(&node).post(CHAT, ASK), word);
        }
        assert!(upstream.requests().is_empty());
    });
}

#[test]
fn verification_is_skipped_only_where_it_is_written_and_said_so() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let other = CERTIFICATES.sign(&["other.test"], |_| {});
        for leaf in [&CERTIFICATES.expired(), &other, &CERTIFICATES.server] {
            let front = front(&upstream, leaf);
            let mut config: Value = serde_json::from_str(&https(
                "localhost",
                front.address,
                &[("insecure_skip_verify", true.into())],
            ))
            .unwrap();
            let base_url = config["providers"]["openai"]["network_config"]["base_url"].clone();
            config["providers"]["anthropic"]["network_config"]["base_url"] = base_url;
            let node = Node::start(&config.to_string(), driver);
            assert_eq!(Caller::new(&node).post(CHAT, ASK).text(), ANSWER);
            // The other provider at the same address is verified: neither its trust nor its connections are shared.
            let verified = Caller::new(&node).post(CHAT, ASK.replace("openai/gpt-4o", "anthropic/claude-x"));
            check_refused(&verified, "certificate");
        }
    });
}

#[test]
fn a_session_is_resumed() {
    on_both(|driver| {
        let closing = answer(200, "content-type: application/json\r\nconnection: close\r\n", ANSWER);
        let upstream = Upstream::answering(closing);
        let front = front(&upstream, &CERTIFICATES.server);
        let node = Node::start_on(&https("localhost", front.address, &[trusting()]), driver, 1);
        for _ in 0..3 {
            assert_eq!(Caller::new(&node).post(CHAT, ASK).text(), ANSWER);
        }
        let expected = [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed].map(Ok);
        assert_eq!(front.handshakes(), expected);
    });
}

#[test]
fn connections_are_kept_and_one_that_spoke_unasked_is_not() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while let Some(request) = line.receive() {
                line.send(ok(ANSWER));
                if request.text().contains("then more") {
                    line.send("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n");
                }
            }
        });
        let front = front(&upstream, &CERTIFICATES.server);
        let node = Node::start_on(&https("localhost", front.address, &[trusting()]), driver, 1);
        let mut caller = Caller::new(&node);
        for _ in 0..3 {
            assert_eq!(caller.post(CHAT, ASK).text(), ANSWER);
        }
        assert_eq!(upstream.connections(), 1);
        // Either it came with the answer, which is then none, or behind it: no other request meets it.
        let spoken = caller.post(CHAT, ASK.replace("hi", "then more")).status;
        assert!(spoken == 200 || spoken == 502, "{spoken}");
        eventually("the connection is given up", || {
            assert_eq!(caller.post(CHAT, ASK).text(), ANSWER);
            (upstream.connections() == 2).then_some(())
        });
    });
}

#[test]
fn an_answer_that_ends_with_its_connection_needs_a_closing_word() {
    on_both(|driver| {
        let until_close = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{ANSWER}");
        let upstream = Upstream::start(move |line| {
            if line.receive().is_some() {
                line.send(&until_close);
            }
        });
        for (goodbye, status) in [(Goodbye::Notified, 200), (Goodbye::Cut, 502)] {
            let config = CERTIFICATES.server_config(&CERTIFICATES.server);
            let front = TlsFront::before(upstream.address, config, goodbye);
            let node = Node::start_on(&https("localhost", front.address, &[trusting()]), driver, 1);
            assert_eq!(Caller::new(&node).post(CHAT, ASK).status, status, "{goodbye:?}");
        }
    });
}

/// Server name and protocols of the first message that comes in.
fn first_message(listener: &TcpListener) -> (Option<String>, Vec<Vec<u8>>) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut acceptor = Acceptor::default();
    loop {
        acceptor.read_tls(&mut stream).unwrap();
        if let Some(accepted) = acceptor.accept().unwrap() {
            let hello = accepted.client_hello();
            let protocols = hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect();
            return (hello.server_name().map(str::to_owned), protocols);
        }
    }
}

#[test]
fn the_first_message_names_host_and_protocol() {
    on_both(|driver| {
        for (host, name) in [("localhost", Some("localhost")), ("127.0.0.1", None)] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let node = Node::start(&https(host, listener.local_addr().unwrap(), &[]), driver);
            let asking = std::thread::spawn(move || Caller::new(&node).post(CHAT, ASK).status);
            let seen = first_message(&listener);
            assert_eq!(seen, (name.map(str::to_owned), vec![b"http/1.1".to_vec()]));
            assert_eq!(asking.join().unwrap(), 502);
        }
    });
}

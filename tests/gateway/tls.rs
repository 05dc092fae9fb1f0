//! TLS towards a provider whom nobody vouches for: the request stays here, and the error says why.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::caller::Caller;
use crate::setup::{ASK, CHAT, config, on_both};
use crate::support::node::{Node, eventually};
use crate::support::upstream::Upstream;

/// A certificate for `localhost` and 127.0.0.1, signed by itself, and its key; made for this test and of no other use.
const SELF_SIGNED: &[u8] = include_bytes!("self_signed.pem");

/// What each connection brought: the fault of its handshake, or the first bytes of the request.
type Outcomes = Arc<Mutex<Vec<Result<Vec<u8>, String>>>>;

fn serve_tls() -> (SocketAddr, Outcomes) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let certificate = CertificateDer::from_pem_slice(SELF_SIGNED).unwrap();
    let key = PrivateKeyDer::from_pem_slice(SELF_SIGNED).unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let outcomes = Outcomes::default();
    let shared = Arc::clone(&outcomes);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut bytes = vec![0; 1024];
            let outcome = StreamOwned::new(session, stream).read(&mut bytes);
            let outcome = outcome.map(|count| bytes[..count].to_vec()).map_err(|error| error.to_string());
            shared.lock().unwrap().push(outcome);
        }
    });
    (address, outcomes)
}

fn https(host: &str, port: u16) -> String {
    let mut config = config(SocketAddr::from(([127, 0, 0, 1], port)));
    config["providers"]["openai"]["network_config"]["base_url"] = format!("https://{host}:{port}").into();
    config.to_string()
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    on_both(|driver| {
        for host in ["127.0.0.1", "localhost"] {
            let (address, outcomes) = serve_tls();
            let node = Node::start(&https(host, address.port()), driver);
            let mut caller = Caller::new(&node);
            for count in 1..3 {
                let answer = caller.post(CHAT, ASK);
                assert_eq!((answer.status, &*answer.code()), (502, "upstream_unreachable"));
                assert!(answer.text().contains("certificate"), "{}", answer.text());
                eventually("the handshake's end is seen", || {
                    (outcomes.lock().unwrap().len() == count).then_some(())
                });
            }
            let outcomes = outcomes.lock().unwrap();
            assert!(outcomes.iter().all(Result::is_err), "the request was sent: {outcomes:?}");
        }
    });
}

#[test]
fn a_plain_port_under_https_gets_no_request() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            line.send("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
            line.silence();
        });
        let node = Node::start(&https("127.0.0.1", upstream.address.port()), driver);
        let answer = Caller::new(&node).post(CHAT, ASK);
        assert_eq!((answer.status, &*answer.code()), (502, "upstream_unreachable"));
        assert!(upstream.requests().is_empty());
        eventually("the connection is closed", || (upstream.ended() == upstream.connections()).then_some(()));
        assert!(upstream.scraps().iter().all(|scrap| !scrap.windows(8).any(|eight| eight == b"messages")));
    });
}

//! TLS on the listener.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use rustls::HandshakeKind;

use crate::support::tls::{BOTH, Certificates, Goodbye, TLS12, TLS13, TlsCaller, TlsFront};

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

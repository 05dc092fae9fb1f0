//! What this room's tests share: snapshots made by hand, connections to themselves, and both drivers.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use super::Driver;
use super::stream::Stream;
use crate::config::snapshot::{Origin, Snapshot, Transport};

/// A snapshot with one `https` provider for each transport.
pub(super) fn snapshot(transports: &[Arc<Transport>]) -> Snapshot {
    let text = r#"{"providers":{"openai":{"keys":[{"name":"k","value":"sk-x","models":["*"],"weight":1}]}}}"#;
    let mut snapshot = crate::config::load(text.as_bytes(), "config.json", &|_: &str| None).unwrap().snapshot;
    let provider = snapshot.providers[0].clone();
    let with = |transport: &Arc<Transport>| {
        let mut provider = provider.clone();
        provider.origin.transport = Arc::clone(transport);
        provider
    };
    snapshot.providers = transports.iter().map(with).collect();
    snapshot
}

/// An origin with this limit.
pub(super) fn origin(connections_max: Option<usize>) -> Origin {
    let transport = Arc::new(Transport { connections_max, ..Transport::default() });
    Origin { tls: false, host: "api.test".to_owned(), port: 80, transport }
}

/// A connection, and the peer's end of it.
pub(super) fn connected(driver: Driver) -> (Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    near.set_nonblocking(driver == Driver::Epoll).unwrap();
    let (far, _): (_, SocketAddr) = listener.accept().unwrap();
    (Stream::plain(monoio::net::TcpStream::from_std(near).unwrap()), far)
}

/// Runs a test on each driver.
pub(super) fn on_both<F: Future<Output = ()>>(test: impl Fn(Driver) -> F) {
    let epoll = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().enable_timer().build();
    epoll.unwrap().block_on(test(Driver::Epoll));
    let ring = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().enable_timer().build();
    ring.unwrap().block_on(test(Driver::IoUring));
}

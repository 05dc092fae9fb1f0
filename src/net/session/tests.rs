//! Sessions against rustls' own blocking streams, on both drivers.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream as Peer};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use monoio::net::TcpStream;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion,
};

use super::*;
use crate::net::stream::Stream;
use crate::net::{Driver, until};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);
pub(super) const BOTH: [Driver; 2] = [Driver::IoUring, Driver::Epoll];
pub(super) const VERSIONS: [&SupportedProtocolVersion; 2] =
    [&rustls::version::TLS12, &rustls::version::TLS13];

/// A server's tickets for later sessions: more than any sends.
const TICKETS: usize = 100;

/// Configs of a server for `localhost` and of a client that trusts it.
fn configs(version: &'static SupportedProtocolVersion) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let server = server.with_protocol_versions(&[version]).unwrap().with_no_client_auth();
    let mut server = server.with_single_cert(vec![cert.der().clone()], key).unwrap();
    server.send_tls13_tickets = TICKETS;
    server.enable_secret_extraction = true;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let mut client = client.with_root_certificates(roots).with_no_client_auth();
    client.enable_secret_extraction = true;
    (Arc::new(server), Arc::new(client))
}

/// Runs on a core's kind of runtime.
pub(super) fn run<F: Future>(driver: Driver, future: impl FnOnce() -> F) -> F::Output {
    match driver {
        Driver::IoUring => {
            let builder = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new();
            builder.enable_timer().build().unwrap().block_on(async { future().await })
        }
        Driver::Epoll => {
            let builder = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new();
            builder.enable_timer().build().unwrap().block_on(async { future().await })
        }
    }
}

/// A connection: the far end for a thread, the near one to be adopted by the core.
pub(super) fn pair() -> (Peer, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = Peer::connect(listener.local_addr().unwrap()).unwrap();
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    far.set_nodelay(true).unwrap();
    let (near, _) = listener.accept().unwrap();
    near.set_nodelay(true).unwrap();
    (far, near)
}

pub(super) fn adopt(near: Peer, driver: Driver) -> Stream {
    near.set_nonblocking(driver == Driver::Epoll).unwrap();
    Stream::plain(TcpStream::from_std(near).unwrap())
}

pub(super) fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// We are the client; the far end is a server that does `script`.
pub(super) async fn client<T: Send + 'static>(
    driver: Driver,
    version: &'static SupportedProtocolVersion,
    script: impl FnOnce(StreamOwned<ServerConnection, Peer>) -> T + Send + 'static,
) -> (Stream, JoinHandle<T>) {
    let (server, client) = configs(version);
    let (far, near) = pair();
    let peer = std::thread::spawn(move || {
        let mut session = ServerConnection::new(server).unwrap();
        session.set_buffer_limit(None);
        script(StreamOwned::new(session, far))
    });
    let name = ServerName::try_from("localhost").unwrap();
    (adopt(near, driver).connect_tls(client, name, soon()).await.unwrap(), peer)
}

/// We are the server; the far end is a client that does `script`.
pub(super) async fn server<T: Send + 'static>(
    driver: Driver,
    version: &'static SupportedProtocolVersion,
    script: impl FnOnce(StreamOwned<ClientConnection, Peer>) -> T + Send + 'static,
) -> (Stream, JoinHandle<T>) {
    let (server, client) = configs(version);
    let (far, near) = pair();
    let peer = std::thread::spawn(move || {
        let name = ServerName::try_from("localhost").unwrap();
        let mut session = ClientConnection::new(client, name).unwrap();
        session.set_buffer_limit(None);
        script(StreamOwned::new(session, far))
    });
    (adopt(near, driver).accept_tls(server, Vec::new(), soon()).await.unwrap(), peer)
}

/// Reads until `wanted` bytes are there, in reads of at most `size`.
pub(super) async fn read(stream: &mut Stream, wanted: usize, size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < wanted {
        if !stream.is_armed() {
            stream.arm(Vec::with_capacity(size)).unwrap();
        }
        let (result, buffer) = until(soon(), stream.filled()).await.expect("a read hangs");
        assert_eq!(result.unwrap(), buffer.len());
        assert!(!buffer.is_empty(), "it closed after {} bytes", bytes.len());
        bytes.extend_from_slice(&buffer);
    }
    bytes
}

pub(super) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

#[test]
fn bytes_go_both_ways_while_a_read_is_in_flight() {
    for (driver, version) in BOTH.into_iter().flat_map(|driver| VERSIONS.map(|version| (driver, version))) {
        run(driver, async || {
            let (mut stream, peer) = client(driver, version, |mut far| {
                let mut asked = vec![0; 300_000];
                far.read_exact(&mut asked).unwrap();
                assert_eq!(asked, pattern(300_000));
                far.write_all(&pattern(200_000)).unwrap();
                far.flush().unwrap();
                let mut last = [0];
                assert_eq!(far.read(&mut last).unwrap(), 0, "closed in order");
            })
            .await;
            stream.arm(Vec::with_capacity(10_000)).unwrap();
            assert!(stream.is_armed() && stream.is_quiet());
            let (result, buffer) = stream.write_all(pattern(300_000)).await;
            result.unwrap();
            assert_eq!(buffer.len(), 300_000);
            assert_eq!(read(&mut stream, 200_000, 7_000).await, pattern(200_000));
            stream.shutdown().await.unwrap();
            peer.join().unwrap();
        });
    }
}

#[test]
fn a_wait_that_was_dropped_loses_nothing() {
    for driver in BOTH {
        run(driver, async || {
            let (mut stream, peer) = server(driver, &rustls::version::TLS13, |mut far| {
                far.read_exact(&mut [0; 2]).unwrap();
                for byte in pattern(500) {
                    far.write_all(&[byte]).unwrap();
                    far.flush().unwrap();
                    std::thread::park_timeout(Duration::from_micros(200));
                }
            })
            .await;
            stream.arm(Vec::with_capacity(3)).unwrap();
            let nothing_came = until(Instant::now(), stream.filled()).await;
            assert!(nothing_came.is_none());
            stream.write_all(b"go".to_vec()).await.0.unwrap();
            let mut bytes = Vec::new();
            while bytes.len() < 500 {
                if !stream.is_armed() {
                    stream.arm(Vec::with_capacity(3)).unwrap();
                }
                let deadline = Instant::now() + Duration::from_millis(bytes.len() as u64 % 3);
                if let Some((result, buffer)) = until(deadline, stream.filled()).await {
                    result.unwrap();
                    bytes.extend(buffer);
                }
            }
            assert_eq!(bytes, pattern(500));
            peer.join().unwrap();
        });
    }
}

#[test]
fn the_end_is_told_from_a_cut() {
    for driver in BOTH {
        for in_order in [true, false] {
            run(driver, async || {
                let (mut stream, peer) = client(driver, &rustls::version::TLS13, move |mut far| {
                    far.write_all(b"some").unwrap();
                    if in_order {
                        far.conn.send_close_notify();
                    }
                    far.flush().unwrap();
                    far.sock.shutdown(std::net::Shutdown::Write).unwrap();
                    // Our writes still arrive.
                    let mut word = [0; 4];
                    far.read_exact(&mut word).unwrap();
                    assert_eq!(&word, b"back");
                })
                .await;
                assert_eq!(read(&mut stream, 4, 100).await, b"some");
                for _ in 0..2 {
                    stream.arm(Vec::with_capacity(10)).unwrap();
                    let end = until(soon(), stream.filled()).await.unwrap().0;
                    match in_order {
                        true => assert_eq!(end.unwrap(), 0),
                        false => assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof),
                    }
                }
                stream.write_all(b"back".to_vec()).await.0.unwrap();
                peer.join().unwrap();
            });
        }
    }
}

/// A core that is behind reads all of it at once.
#[test]
fn a_peer_that_closed_its_side_right_behind_the_handshake_has_shaken_hands() {
    for (driver, version) in BOTH.into_iter().flat_map(|driver| VERSIONS.map(|version| (driver, version))) {
        run(driver, async || {
            let (mut stream, peer) = server(driver, version, |mut far| {
                while far.conn.is_handshaking() {
                    while far.conn.wants_write() {
                        far.conn.write_tls(&mut far.sock).unwrap();
                    }
                    far.conn.read_tls(&mut far.sock).unwrap();
                    far.conn.process_new_packets().unwrap();
                }
                far.conn.writer().write_all(b"asked").unwrap();
                far.conn.send_close_notify();
                // On TLS 1.3 its Finished is among these.
                let mut last = Vec::new();
                while far.conn.wants_write() {
                    far.conn.write_tls(&mut last).unwrap();
                }
                far.sock.write_all(&last).unwrap();
                far.sock.shutdown(std::net::Shutdown::Write).unwrap();
                let mut word = [0; 4];
                far.read_exact(&mut word).unwrap();
                assert_eq!(&word, b"back");
            })
            .await;
            assert_eq!(read(&mut stream, 5, 100).await, b"asked");
            stream.arm(Vec::with_capacity(10)).unwrap();
            assert_eq!(until(soon(), stream.filled()).await.unwrap().0.unwrap(), 0);
            stream.write_all(b"back".to_vec()).await.0.unwrap();
            peer.join().unwrap();
        });
    }
}

#[test]
fn a_refused_certificate_is_named_to_both_sides() {
    for driver in BOTH {
        run(driver, async || {
            let ((server, _), (_, stranger)) = (configs(VERSIONS[1]), configs(VERSIONS[1]));
            let (far, near) = pair();
            let peer = std::thread::spawn(move || {
                let mut far = StreamOwned::new(ServerConnection::new(server).unwrap(), far);
                far.read(&mut [0]).unwrap_err().to_string()
            });
            let name = ServerName::try_from("localhost").unwrap();
            let refused = adopt(near, driver).connect_tls(stranger, name, soon()).await.err().unwrap();
            assert!(refused.to_string().contains("certificate"), "{refused}");
            let told = peer.join().unwrap();
            assert!(told.contains("alert"), "{told}");
        });
    }
}

#[test]
fn a_handshake_has_its_deadline() {
    for driver in BOTH {
        run(driver, async || {
            let (far, near) = pair();
            let (_, config) = configs(VERSIONS[1]);
            let name = ServerName::try_from("localhost").unwrap();
            let deadline = Instant::now() + Duration::from_millis(30);
            let refused = adopt(near, driver).connect_tls(config, name, deadline).await.err().unwrap();
            assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
            let (server, _) = configs(VERSIONS[1]);
            drop(far);
            let (far, near) = pair();
            far.shutdown(std::net::Shutdown::Write).unwrap();
            let refused = adopt(near, driver).accept_tls(server, b"\x16\x03\x01".to_vec(), soon()).await;
            assert_eq!(refused.err().unwrap().kind(), io::ErrorKind::UnexpectedEof);
        });
    }
}

#[test]
fn a_reader_is_cut_for_taking_nothing_and_not_for_being_slow() {
    const STALL: Duration = Duration::from_secs(1);
    // Small, so that each byte taken is soon room for another: a sender hears of it when a third of its buffer is free.
    let plain = |driver| {
        let (far, near) = pair();
        socket2::SockRef::from(&near).set_send_buffer_size(64 * 1024).unwrap();
        socket2::SockRef::from(&far).set_recv_buffer_size(64 * 1024).unwrap();
        (adopt(near, driver), far)
    };
    for driver in BOTH {
        run(driver, async || {
            let (mut stream, mut far) = plain(driver);
            let began = Instant::now();
            let reader = std::thread::spawn(move || {
                let (mut taken, mut piece) = (0, vec![0; 64 * 1024]);
                while let Ok(count @ 1..) = far.read(&mut piece) {
                    taken += count;
                    // Slow until the limit is outlasted, at 64 KiB in 10 ms a part of all; then as fast as it can.
                    if began.elapsed() < STALL + STALL / 2 {
                        std::thread::park_timeout(Duration::from_millis(10));
                    }
                }
                taken
            });
            let bytes = stream.send(vec![7; 30_000_000], STALL, &mut Alarm::default()).await.unwrap();
            assert_eq!(bytes.len(), 30_000_000);
            assert!(began.elapsed() > STALL, "it was to outlast the limit: {:?}", began.elapsed());
            drop(stream);
            assert_eq!(reader.join().unwrap(), 30_000_000);
            let (mut stream, _far) = plain(driver);
            let stalled = stream.send(vec![7; 30_000_000], STALL, &mut Alarm::default()).await.unwrap_err();
            assert_eq!(stalled.kind(), io::ErrorKind::TimedOut);
            let refused = stream.write_all(vec![7]).await.0.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::NotConnected);
        });
    }
}

//! TLS for tests: certificates made on the spot, a caller whose bytes are readable, and a front that ends TLS before a
//! scripted provider. Blocking, rustls on both sides. The binary's own TLS is what is tested, so nothing of it is here.

#![allow(clippy::disallowed_types, reason = "threads of a test share what they saw")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::client::ClientConnection;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ServerConnection;
use rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig, StreamOwned,
    SupportedProtocolVersion,
};
use tempfile::TempDir;

use super::node::PATIENCE;

/// Both versions of TLS, the newer first.
pub(crate) const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
/// TLS 1.2 alone.
pub(crate) const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
/// TLS 1.3 alone.
pub(crate) const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// A certificate and its key, as PEM text.
#[derive(Clone)]
pub(crate) struct Leaf {
    /// The chain: this certificate alone.
    pub(crate) cert: String,
    /// PKCS #8.
    pub(crate) key: String,
}

/// An authority of our own, and what it signed: a server for `localhost`, 127.0.0.1 and ::1, and a client.
pub(crate) struct Certificates {
    /// The authority's certificate, PEM.
    pub(crate) ca: String,
    /// The server's.
    pub(crate) server: Leaf,
    /// The client's.
    pub(crate) client: Leaf,
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Certificates {
    /// Fresh ones, also written to files (see [`Certificates::path`]).
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        // Each has a name of its own, or a stranger's signature would be a broken one of ours.
        let name = format!("corelane's tests {:?}", &key.public_key_raw()[1..9]);
        params.distinguished_name.push(DnType::CommonName, name);
        let ca = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let server = signed(&issuer, &["localhost", "127.0.0.1", "::1"], |_| {});
        let client = signed(&issuer, &["caller.test"], |_| {});
        let certificates = Self { ca, server, client, issuer, folder: TempDir::new().unwrap() };
        certificates.write("ca.pem", &certificates.ca);
        certificates.write("server.pem", &certificates.server.cert);
        certificates.write("server.key", &certificates.server.key);
        certificates
    }

    /// Another server's certificate of the same authority; `change` may spoil it.
    pub(crate) fn sign(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        signed(&self.issuer, names, change)
    }

    /// A server's certificate that expired long ago.
    pub(crate) fn expired(&self) -> Leaf {
        self.sign(&["localhost", "127.0.0.1"], |params| {
            (params.not_before, params.not_after) =
                (rcgen::date_time_ymd(2001, 1, 1), rcgen::date_time_ymd(2002, 1, 1));
        })
    }

    /// The file of this name: `ca.pem`, `server.pem`, `server.key`, or one that was written.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file beside the others, or over one of them.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The value of `server.tls` for these files.
    pub(crate) fn server_tls(&self) -> serde_json::Value {
        serde_json::json!({ "cert": self.path("server.pem"), "key": self.path("server.key") })
    }

    /// A caller's config that trusts this authority and resumes sessions; callers that share it share its sessions.
    pub(crate) fn client_config(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let config = client_builder(versions).with_root_certificates(self.roots());
        config.with_no_client_auth()
    }

    /// The same, showing this certificate to a server that asks for one.
    pub(crate) fn client_config_as(
        &self,
        leaf: &Leaf,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let config = client_builder(versions).with_root_certificates(self.roots());
        config.with_client_auth_cert(vec![certificate(&leaf.cert)], private_key(&leaf.key)).unwrap()
    }

    /// A scripted provider's config.
    pub(crate) fn server_config(&self, leaf: &Leaf) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(BOTH).unwrap();
        let chain = vec![certificate(&leaf.cert)];
        config.with_no_client_auth().with_single_cert(chain, private_key(&leaf.key)).unwrap()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&self.ca)).unwrap();
        roots
    }
}

fn client_builder(
    versions: &[&'static SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap()
}

fn signed(
    issuer: &Issuer<'static, KeyPair>,
    names: &[&str],
    change: impl FnOnce(&mut CertificateParams),
) -> Leaf {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "leaf");
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    Leaf { cert: params.signed_by(&key, issuer).unwrap().pem(), key: key.serialize_pem() }
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn private_key(pem: &str) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// A caller's connection whose handshake is done; it reads and writes what is inside.
pub(crate) struct TlsCaller {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl TlsCaller {
    /// Connects as `localhost`. Panics when the handshake fails.
    pub(crate) fn connect(
        address: SocketAddr,
        certificates: &Certificates,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        Self::try_connect(address, Arc::new(certificates.client_config(versions))).unwrap()
    }

    /// Connects with a config of one's own. Errors: the handshake's. A TLS 1.3 server that refuses our certificate says so
    /// only behind the handshake: with the first read.
    pub(crate) fn try_connect(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        Self::over(stream, config)
    }

    /// Shakes hands over this connection, on which anything may have been sent before.
    pub(crate) fn over(mut stream: TcpStream, config: Arc<ClientConfig>) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        // What TLS 1.3 sends last (a Finished, a certificate) is still to leave.
        while session.wants_write() {
            session.write_tls(&mut stream)?;
        }
        Ok(Self { stream: StreamOwned::new(session, stream) })
    }

    /// Whether the handshake was a whole one or a resumed one.
    pub(crate) fn handshake_kind(&self) -> HandshakeKind {
        self.stream.conn.handshake_kind().unwrap()
    }

    /// The version that was agreed on.
    pub(crate) fn version(&self) -> ProtocolVersion {
        self.stream.conn.protocol_version().unwrap()
    }

    /// The protocol that was agreed on by ALPN.
    pub(crate) fn alpn(&self) -> Option<Vec<u8>> {
        self.stream.conn.alpn_protocol().map(<[u8]>::to_vec)
    }

    /// The server's certificate, DER.
    pub(crate) fn peer_certificate(&self) -> Vec<u8> {
        self.stream.conn.peer_certificates().unwrap()[0].to_vec()
    }

    /// Tells the server that nothing more comes, and closes nothing.
    pub(crate) fn close_notify(&mut self) {
        self.stream.conn.send_close_notify();
        let _ = self.stream.flush();
    }

    /// The connection below: to break it, or to end its sending side without a word of TLS.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.stream.sock
    }
}

impl Read for TlsCaller {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for TlsCaller {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.stream.write(buffer)?;
        self.stream.flush()?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// How a front ends a connection that its provider closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goodbye {
    /// With a close_notify, as it should be.
    Notified,
    /// Without one: a truncation.
    Cut,
}

type Handshakes = Arc<Mutex<Vec<Result<HandshakeKind, String>>>>;

/// Ends TLS before a plain listener: a scripted provider behind it sees plain bytes.
pub(crate) struct TlsFront {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    handshakes: Handshakes,
    stops: Arc<AtomicBool>,
}

impl TlsFront {
    /// Before the listener at `inner`. Each connection here makes one there, after its handshake.
    pub(crate) fn before(inner: SocketAddr, config: ServerConfig, goodbye: Goodbye) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (handshakes, stops) = (Handshakes::default(), Arc::new(AtomicBool::new(false)));
        let (seen, stopped, config) = (Arc::clone(&handshakes), Arc::clone(&stops), Arc::new(config));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (config, seen, stopped) = (Arc::clone(&config), Arc::clone(&seen), Arc::clone(&stopped));
                std::thread::spawn(move || {
                    let shaken = shake(stream, config);
                    let kind = shaken.as_ref().map(|stream| stream.conn.handshake_kind().unwrap());
                    seen.lock().unwrap().push(kind.map_err(ToString::to_string));
                    let Ok(stream) = shaken else { return };
                    relay(stream, TcpStream::connect(inner).unwrap(), goodbye, &stopped);
                });
            }
        });
        Self { address, handshakes, stops }
    }

    /// How each handshake ended so far.
    pub(crate) fn handshakes(&self) -> Vec<Result<HandshakeKind, String>> {
        self.handshakes.lock().unwrap().clone()
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

type ServerStream = StreamOwned<ServerConnection, TcpStream>;

fn shake(mut stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<ServerStream> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(session, stream))
}

/// How long one side is waited for before the other has its turn.
const TURN: Duration = Duration::from_millis(2);

/// Moves bytes both ways, in turns, until one side ends.
fn relay(mut outer: ServerStream, mut inner: TcpStream, goodbye: Goodbye, stopped: &AtomicBool) {
    outer.sock.set_read_timeout(Some(TURN)).unwrap();
    inner.set_read_timeout(Some(TURN)).unwrap();
    inner.set_nodelay(true).unwrap();
    let mut piece = vec![0; 64 * 1024];
    while !stopped.load(Ordering::SeqCst) {
        match outer.read(&mut piece) {
            Ok(count @ 1..) => inner.write_all(&piece[..count]).unwrap_or_default(),
            Err(error) if is_turn_over(&error) => {}
            _ => break,
        }
        match inner.read(&mut piece) {
            Ok(count @ 1..) => {
                if outer.write_all(&piece[..count]).and_then(|()| outer.flush()).is_err() {
                    break;
                }
            }
            Err(error) if is_turn_over(&error) => {}
            _ => break,
        }
    }
    if goodbye == Goodbye::Notified {
        outer.conn.send_close_notify();
        let _ = outer.flush();
    }
    let _ = outer.sock.shutdown(Shutdown::Both);
    let _ = inner.shutdown(Shutdown::Both);
}

fn is_turn_over(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

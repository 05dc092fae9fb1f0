//! TLS towards providers: one client config per core, so that sessions are resumed. Only the Mozilla roots shipped with
//! the binary are trusted; a certificate of one's own comes with a later version.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use monoio::net::TcpStream;
use monoio_rustls::{ClientTlsStream, TlsConnector};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use super::until;

/// The connector of one core. Errors: the crypto provider lacks a protocol version (never, as built).
pub fn connector() -> Result<TlsConnector, rustls::Error> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(config))
}

/// Shakes hands under the name or address that the origin has. Errors say what the peer's certificate lacks.
pub async fn handshake(
    connector: &TlsConnector,
    host: &str,
    stream: TcpStream,
    deadline: Instant,
) -> io::Result<ClientTlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not a name that TLS can verify"))?;
    match until(deadline, connector.connect(name, stream)).await {
        Some(Ok(stream)) => Ok(stream),
        Some(Err(error)) => Err(io::Error::other(reason(&error))),
        None => Err(io::Error::new(io::ErrorKind::TimedOut, "TLS handshake deadline passed")),
    }
}

/// The innermost cause, since the outer ones only say "io error".
fn reason(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

//! TLS towards providers: one client config per core, so that sessions are resumed. Only the Mozilla roots shipped with
//! the binary are trusted; a certificate of one's own comes with a later version.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// The client config of one core. Errors: the crypto provider lacks a protocol version (never, as built).
pub fn client_config() -> Result<Arc<ClientConfig>, rustls::Error> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

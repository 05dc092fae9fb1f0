//! TLS towards providers: whom a core trusts, and one client config per core and kind of trust, so that sessions are resumed.
//! It shakes no hands; streams do.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::config::snapshot::{Snapshot, Transport};

/// The only protocol that is spoken here (RFC 7301).
const ALPN: &[u8] = b"http/1.1";

/// The roots that every provider is trusted by: Mozilla's, shipped with the binary, and the system's. Loaded once; all cores
/// read the same ones.
#[derive(Clone, Debug)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// Reads the system's roots, from `SSL_CERT_FILE` and `SSL_CERT_DIR` where these are set, beside Mozilla's. Reads files:
    /// not for a core. Also says what could not be read, which is left out.
    pub fn load() -> (Self, Vec<String>) {
        let mut store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let found = rustls_native_certs::load_native_certs();
        let mut faults: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let mut system = RootCertStore::empty();
        let (_, unusable) = system.add_parsable_certificates(found.certs);
        if unusable > 0 {
            faults.push(format!("{unusable} certificates cannot be used as roots"));
        }
        // Most are Mozilla's too; a root that stands twice is compared twice.
        let bundled = store.roots.len();
        for root in system.roots {
            let known = store.roots.get(..bundled).unwrap_or_default();
            if !known.iter().any(|other| other.subject == root.subject && is_same_key(other, &root)) {
                store.roots.push(root);
            }
        }
        (Self(Arc::new(store)), faults)
    }

    /// Mozilla's alone.
    pub fn bundled() -> Self {
        Self(Arc::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }))
    }

    /// With those of a PEM text beside; what is no certificate in it was reported when the config was read.
    fn with(&self, pem: &str) -> Arc<RootCertStore> {
        if pem.is_empty() {
            return Arc::clone(&self.0);
        }
        let mut store = RootCertStore::clone(&self.0);
        let _counts =
            store.add_parsable_certificates(CertificateDer::pem_slice_iter(pem.as_bytes()).flatten());
        Arc::new(store)
    }
}

fn is_same_key(one: &rustls::pki_types::TrustAnchor<'_>, other: &rustls::pki_types::TrustAnchor<'_>) -> bool {
    one.subject_public_key_info == other.subject_public_key_info
}

/// The client configs of one core. A config keeps up to 256 sessions to resume, rustls' default.
pub struct Tls {
    roots: Roots,
    configs: RefCell<Vec<Known>>,
    /// How many snapshots there were.
    generation: Cell<u64>,
}

struct Known {
    /// One of the transports that it serves; see [`trusts_alike`].
    transport: Arc<Transport>,
    config: Arc<ClientConfig>,
    /// The last snapshot that had it.
    generation: u64,
}

/// Whether two transports need the same config.
fn trusts_alike(one: &Transport, other: &Transport) -> bool {
    one.insecure_skip_verify == other.insecure_skip_verify && one.extra_roots_pem == other.extra_roots_pem
}

impl Tls {
    /// Without configs: see [`Tls::adopt`].
    pub fn new(roots: Roots) -> Self {
        Self { roots, configs: RefCell::default(), generation: Cell::new(0) }
    }

    /// Builds the configs that this snapshot's providers need, off the path of any request. Those that the snapshot before
    /// needed are kept, with their sessions, as its requests may still run; older ones are dropped. Errors: the crypto
    /// provider lacks a protocol version (never, as built).
    pub fn adopt(&self, snapshot: &Snapshot) -> Result<(), Error> {
        let generation = self.generation.get() + 1;
        self.generation.set(generation);
        let mut configs = self.configs.borrow_mut();
        let origins = snapshot.providers.iter().map(|provider| &provider.origin).filter(|origin| origin.tls);
        for transport in origins.map(|origin| &origin.transport) {
            match configs.iter_mut().find(|known| trusts_alike(&known.transport, transport)) {
                Some(known) => known.generation = generation,
                None => {
                    let (transport, config) = (Arc::clone(transport), self.build(transport)?);
                    configs.push(Known { transport, config, generation });
                }
            }
        }
        configs.retain(|known| known.generation + 1 >= generation);
        Ok(())
    }

    /// The config for this transport. One of a snapshot long gone has to be built.
    pub(super) fn config(&self, transport: &Transport) -> Result<Arc<ClientConfig>, Error> {
        let configs = self.configs.borrow();
        match configs.iter().find(|known| trusts_alike(&known.transport, transport)) {
            Some(known) => Ok(Arc::clone(&known.config)),
            None => self.build(transport),
        }
    }

    fn build(&self, transport: &Transport) -> Result<Arc<ClientConfig>, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions()?;
        let builder = match transport.insecure_skip_verify {
            true => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider))),
            false => builder.with_root_certificates(self.roots.with(&transport.extra_roots_pem)),
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Arc::new(config))
    }
}

/// `insecure_skip_verify`: takes any certificate, of whoever holds its key. The operator was warned at start.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::snapshot;
    use super::*;

    fn transport(pem: &str, insecure_skip_verify: bool) -> Transport {
        Transport { extra_roots_pem: pem.to_owned(), insecure_skip_verify, ..Transport::default() }
    }

    fn certificate() -> String {
        rcgen::generate_simple_self_signed(["api.test".to_owned()]).unwrap().cert.pem()
    }

    #[test]
    fn the_systems_roots_stand_beside_the_bundled_ones_each_once() {
        let (roots, _faults) = Roots::load();
        let bundled = Roots::bundled().0.roots.len();
        assert!(roots.0.roots.len() >= bundled && bundled > 50);
        let keys =
            roots.0.roots.iter().map(|root| (root.subject.to_vec(), root.subject_public_key_info.to_vec()));
        let mut keys: Vec<_> = keys.collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), roots.0.roots.len());
    }

    #[test]
    fn further_roots_are_added_and_shared_ones_are_not_copied() {
        let roots = Roots::bundled();
        assert!(Arc::ptr_eq(&roots.with(""), &roots.0));
        let two = format!("{}nonsense\n{}", certificate(), certificate());
        assert_eq!(roots.with(&two).roots.len(), roots.0.roots.len() + 2);
        assert_eq!(roots.with("nonsense").roots.len(), roots.0.roots.len());
    }

    #[test]
    fn transports_that_trust_alike_share_a_config() {
        let tls = Tls::new(Roots::bundled());
        let pem = certificate();
        let transports = [transport("", false), transport("", true), transport(&pem, false)].map(Arc::new);
        let provider = |transport: &Arc<Transport>| tls.config(transport).unwrap();
        assert!(!Arc::ptr_eq(&provider(&transports[0]), &provider(&transports[0])), "none is known yet");
        tls.adopt(&snapshot(&transports)).unwrap();
        for (index, one) in transports.iter().enumerate() {
            let config = provider(one);
            assert_eq!(config.alpn_protocols, [ALPN]);
            let mut alike = Transport::clone(one);
            (alike.connections_max, alike.allow_private_network) = (Some(5), true);
            for (other_index, other) in
                [&alike].into_iter().chain(transports.iter().map(Arc::as_ref)).enumerate()
            {
                let is_same = Arc::ptr_eq(&config, &tls.config(other).unwrap());
                assert_eq!(is_same, other_index == 0 || other_index == index + 1);
            }
        }
    }

    #[test]
    fn a_snapshots_configs_outlive_it_by_one() {
        let tls = Tls::new(Roots::bundled());
        let (old, new) = (Arc::new(transport("", false)), Arc::new(transport("", true)));
        tls.adopt(&snapshot(&[Arc::clone(&old)])).unwrap();
        let before = tls.config(&old).unwrap();
        tls.adopt(&snapshot(&[Arc::clone(&new), Arc::clone(&old)])).unwrap();
        assert!(Arc::ptr_eq(&before, &tls.config(&old).unwrap()), "with its sessions");
        tls.adopt(&snapshot(&[Arc::clone(&new)])).unwrap();
        assert!(Arc::ptr_eq(&before, &tls.config(&old).unwrap()), "its requests may still run");
        tls.adopt(&snapshot(&[new])).unwrap();
        assert_eq!(tls.configs.borrow().len(), 1);
    }
}

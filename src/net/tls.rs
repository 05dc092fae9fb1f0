//! TLS towards providers: whom a core trusts, and one client config per core and kind of trust, so that sessions are resumed.
//! What takes long is built beforehand, off the core. It shakes no hands; streams do.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::config::snapshot::{Provider, Snapshot, Transport};

/// The only protocol that is spoken here (RFC 7301).
const ALPN: &[u8] = b"http/1.1";
/// Sessions that one config keeps to resume, rustls' default.
const SESSIONS_MAX: usize = 256;

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

    /// What the providers of a snapshot need, once for each of `cores`. Parses every further root: not for a core. Errors: the
    /// crypto provider lacks a protocol version (never, as built).
    pub fn clients(&self, snapshot: &Snapshot, cores: usize) -> Result<Vec<Clients>, Error> {
        let mut built: Vec<(Arc<Transport>, ClientConfig)> = Vec::new();
        // Token endpoints have the transport of their provider, which may itself be plain.
        let origins = |provider: &'_ Provider| {
            let all = provider.origins().chain(provider.token_origins());
            all.filter(|origin| origin.tls).map(|origin| Arc::clone(&origin.transport)).collect::<Vec<_>>()
        };
        let transports: Vec<_> = snapshot.providers.iter().flat_map(origins).collect();
        for transport in &transports {
            if !built.iter().any(|(known, _)| trusts_alike(known, transport)) {
                built.push((Arc::clone(transport), self.build(transport)?));
            }
        }
        let for_core = || built.iter().map(|(transport, config)| (Arc::clone(transport), own(config)));
        Ok((0..cores).map(|_| Clients(for_core().collect())).collect())
    }

    fn build(&self, transport: &Transport) -> Result<ClientConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions()?;
        let builder = match transport.insecure_skip_verify {
            true => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider))),
            false => builder.with_root_certificates(self.with(&transport.extra_roots_pem)),
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }
}

/// The same for one core, with sessions of its own: their store has a lock.
fn own(config: &ClientConfig) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    Arc::new(config)
}

/// What one core needs for the providers of one snapshot, ready.
#[derive(Default)]
pub struct Clients(Vec<(Arc<Transport>, Arc<ClientConfig>)>);

fn is_same_key(one: &rustls::pki_types::TrustAnchor<'_>, other: &rustls::pki_types::TrustAnchor<'_>) -> bool {
    one.subject_public_key_info == other.subject_public_key_info
}

/// The client configs of one core.
pub struct Tls {
    roots: Roots,
    configs: RefCell<Vec<Known>>,
}

struct Known {
    /// One of the transports that it serves; see [`trusts_alike`].
    transport: Arc<Transport>,
    config: Arc<ClientConfig>,
    /// Whether the newest snapshot has it.
    is_current: bool,
}

/// Whether two transports need the same config.
fn trusts_alike(one: &Transport, other: &Transport) -> bool {
    one.insecure_skip_verify == other.insecure_skip_verify && one.extra_roots_pem == other.extra_roots_pem
}

impl Tls {
    /// Without configs: see [`Tls::adopt`].
    pub fn new(roots: Roots) -> Self {
        Self { roots, configs: RefCell::default() }
    }

    /// Takes what the newest snapshot's providers need. A config that is known stays, with its sessions, also one that only
    /// an older snapshot needs: see [`Tls::forget`].
    pub fn adopt(&self, Clients(clients): Clients) {
        let mut configs = self.configs.borrow_mut();
        configs.iter_mut().for_each(|known| known.is_current = false);
        for (transport, config) in clients {
            match configs.iter_mut().find(|known| trusts_alike(&known.transport, &transport)) {
                Some(known) => known.is_current = true,
                None => configs.push(Known { transport, config, is_current: true }),
            }
        }
    }

    /// Drops what neither the newest snapshot needs nor one of `older`, whose requests still run.
    pub fn forget(&self, older: &[Rc<Snapshot>]) {
        let needs = |snapshot: &Rc<Snapshot>, transport: &Transport| {
            let own = snapshot.providers.iter().flat_map(Provider::origins);
            let mut origins = own.chain(snapshot.providers.iter().flat_map(Provider::token_origins));
            origins.any(|origin| origin.tls && trusts_alike(&origin.transport, transport))
        };
        let is_needed = |known: &Known| {
            known.is_current || older.iter().any(|snapshot| needs(snapshot, &known.transport))
        };
        self.configs.borrow_mut().retain(is_needed);
    }

    /// The config for this transport. One that no adopted snapshot has is built.
    pub(super) fn config(&self, transport: &Transport) -> Result<Arc<ClientConfig>, Error> {
        let configs = self.configs.borrow();
        match configs.iter().find(|known| trusts_alike(&known.transport, transport)) {
            Some(known) => Ok(Arc::clone(&known.config)),
            None => self.roots.build(transport).map(Arc::new),
        }
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

    fn adopt(tls: &Tls, transports: &[Arc<Transport>]) {
        let clients = tls.roots.clients(&snapshot(transports), 1).unwrap();
        clients.into_iter().for_each(|clients| tls.adopt(clients));
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
        adopt(&tls, &transports);
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
    fn a_config_lives_as_long_as_a_snapshot_needs_it() {
        let tls = Tls::new(Roots::bundled());
        let (old, new) = (Arc::new(transport("", false)), Arc::new(transport("", true)));
        adopt(&tls, &[Arc::clone(&old)]);
        let before = tls.config(&old).unwrap();
        adopt(&tls, &[Arc::clone(&new), Arc::clone(&old)]);
        assert!(Arc::ptr_eq(&before, &tls.config(&old).unwrap()), "with its sessions");
        (0..3).for_each(|_| adopt(&tls, &[Arc::clone(&new)]));
        let older = [Rc::new(snapshot(&[Arc::clone(&old)]))];
        tls.forget(&older);
        assert!(Arc::ptr_eq(&before, &tls.config(&old).unwrap()), "its requests still run");
        tls.forget(&[]);
        assert_eq!(tls.configs.borrow().len(), 1);
        assert!(tls.configs.borrow().iter().all(|known| known.is_current));
    }

    #[test]
    fn each_core_has_sessions_of_its_own_and_shares_the_roots() {
        let transports = [Arc::new(transport(&certificate(), false))];
        let clients = Roots::bundled().clients(&snapshot(&transports), 2).unwrap();
        let [one, other] = clients.as_slice() else { panic!("{}", clients.len()) };
        assert!(!Arc::ptr_eq(&one.0[0].1, &other.0[0].1) && Arc::ptr_eq(&one.0[0].0, &other.0[0].0));
        assert_eq!((one.0.len(), &one.0[0].1.alpn_protocols), (1, &vec![ALPN.to_vec()]));
    }
}

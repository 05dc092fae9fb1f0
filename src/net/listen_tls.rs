//! TLS towards callers: what `server.tls` names, read, checked and made into what cores shake hands by. It reads files, so
//! it is called from the main thread or a helper's, never from a core. The handshake is `stream`'s.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, Error, InconsistentKeys, RootCertStore, ServerConfig};
use zeroize::Zeroizing;

use crate::config::snapshot::{Pem, ServerTls};

/// Largest PEM file, bytes: all public roots together take about 220 KiB.
pub const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// What we speak inside TLS. A caller whose ALPN has only other protocols is refused (RFC 7301 §3.2).
const PROTOCOL: &[u8] = b"http/1.1";

/// What `server.tls` amounted to.
pub struct Certified {
    config: ServerConfig,
    /// The certificate's time is over or has not come: callers will refuse it.
    pub warning: Option<String>,
}

impl Certified {
    /// A config of its own for one core. All of them open each other's session tickets, so that a caller resumes its
    /// session on whichever core it comes to.
    pub fn for_core(&self) -> Arc<ServerConfig> {
        Arc::new(self.config.clone())
    }
}

/// Reads it all, at `now`: TLS 1.2 and 1.3. Errors: the JSON pointer, the file or variable, and what is wrong there; never
/// what it holds.
pub fn read(tls: &ServerTls, now: UnixTime) -> Result<Certified, String> {
    let provider = Arc::new(default_provider());
    let chain = certificates("/server/tls/cert", &tls.cert)?;
    let warning = chain.first().and_then(|leaf| untimely(leaf, now, &provider));
    let warning = warning.map(|why| Place("/server/tls/cert", &tls.cert).fault(&why));
    let key = certified_key(tls, chain, &provider)?;
    let verifier = match &tls.client_ca {
        Some(roots) => client_verifier(roots, &provider)?,
        None => Arc::new(NoClientAuth),
    };
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("/server/tls: {error}"))?
        .with_client_cert_verifier(verifier);
    let mut config = config.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // Tickets carry a session, sealed; nothing is stored. Their keys are new each time: who was let in under another
    // `client_ca` shakes hands in full.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Ticketer::new().map_err(|error| format!("/server/tls: {error}"))?;
    Ok(Certified { config, warning })
}

/// Where something was named and found.
struct Place<'a>(&'static str, &'a Pem);

impl Place<'_> {
    fn fault(&self, what: &str) -> String {
        match self.1 {
            Pem::File(path) => format!("{}: {}: {what}", self.0, path.display()),
            Pem::Text { whence, .. } => format!("{}: {whence}: {what}", self.0),
        }
    }

    fn text(&self) -> Result<Zeroizing<Vec<u8>>, String> {
        match self.1 {
            Pem::File(path) => file(path).map_err(|what| self.fault(&what)),
            Pem::Text { text, .. } => Ok(Zeroizing::new(text.expose().as_bytes().to_vec())),
        }
    }
}

/// A file's content, in a buffer that does not move as it fills: what it holds is wiped with it.
fn file(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let about = path.metadata().map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(PEM_BYTES_MAX as usize + 1));
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    match bytes.len() as u64 > PEM_BYTES_MAX {
        true => Err("has more than 1 MiB of PEM text".to_owned()),
        false => Ok(bytes),
    }
}

fn certificates(pointer: &'static str, pem: &Pem) -> Result<Vec<CertificateDer<'static>>, String> {
    let place = Place(pointer, pem);
    let text = place.text()?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|_| place.fault("holds malformed PEM text"))?;
    match certificates.is_empty() {
        true => Err(place.fault("holds no certificate; expected PEM text: -----BEGIN CERTIFICATE-----…")),
        false => Ok(certificates),
    }
}

fn certified_key(
    tls: &ServerTls,
    chain: Vec<CertificateDer<'static>>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let place = Place("/server/tls/key", &tls.key);
    let text = place.text()?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        let is_encrypted = memchr::memmem::find(&text, b"ENCRYPTED").is_some();
        place.fault(match is_encrypted {
            true => "is encrypted, and there is nobody to ask for its passphrase: decrypt it",
            false => "holds no private key; expected PEM text: PKCS #8, PKCS #1 or SEC 1",
        })
    })?;
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|_| {
        place.fault("holds a private key that is neither RSA, ECDSA (P-256, P-384) nor Ed25519")
    })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(Error::InconsistentKeys(_)) => {
            Err(place.fault("is not the key of the first certificate in /server/tls/cert"))
        }
        Err(_) => {
            let place = Place("/server/tls/cert", &tls.cert);
            Err(place.fault("the first certificate cannot be read"))
        }
    }
}

/// Whose certificates are let in: those that lead to one of these roots.
fn client_verifier(pem: &Pem, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let place = Place("/server/tls/client_ca", pem);
    let mut roots = RootCertStore::empty();
    for (number, certificate) in (1..).zip(certificates(place.0, pem)?) {
        roots.add(certificate).map_err(|_| place.fault(&format!("certificate {number} cannot be read")))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    verifier.build().map_err(|error| place.fault(&error.to_string()))
}

/// Why a certificate is of no use at `now`, if so. Who issued it is the callers' question.
fn untimely(leaf: &CertificateDer<'_>, now: UnixTime, provider: &CryptoProvider) -> Option<String> {
    let leaf = ParsedCertificate::try_from(leaf).ok()?;
    let algorithms = provider.signature_verification_algorithms.all;
    // The time is looked at before a way to a root is, and there is none to be found.
    let verified =
        verify_server_cert_signed_by_trust_anchor(&leaf, &RootCertStore::empty(), &[], now, algorithms);
    let days = |seconds: u64| seconds / (24 * 60 * 60);
    match verified {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            let ago = days(now.as_secs().saturating_sub(not_after.as_secs()));
            Some(format!("the certificate expired {ago} days ago; callers will refuse it"))
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
            let ahead = days(not_before.as_secs().saturating_sub(now.as_secs()));
            Some(format!("the certificate is not valid yet, for {ahead} days; callers will refuse it"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::config::snapshot::{Secret, Whence};

    fn variable(name: &str, text: &str) -> Pem {
        Pem::Text { whence: Whence::Variable(name.to_owned()), text: Secret::new(text) }
    }

    /// A certificate that signed itself, valid for these years, and its key.
    fn pair(years: std::ops::Range<i32>) -> (String, String) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn tls(cert: &str, key: &str, client_ca: Option<&str>) -> ServerTls {
        ServerTls {
            cert: variable("CERT", cert),
            key: variable("KEY", key),
            client_ca: client_ca.map(|pem| variable("CA", pem)),
        }
    }

    /// 2020.
    fn now() -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(50 * 365 * 24 * 60 * 60))
    }

    fn fault(tls: &ServerTls) -> String {
        read(tls, now()).err().unwrap()
    }

    #[test]
    fn what_fits_together_is_taken() {
        let (cert, key) = pair(2000..2100);
        for client_ca in [None, Some(cert.as_str())] {
            let certified = read(&tls(&cert, &key, client_ca), now()).unwrap();
            assert_eq!(certified.warning, None);
            let config = certified.for_core();
            assert!(config.ticketer.enabled() && !config.session_storage.can_cache());
            assert_eq!(config.alpn_protocols, [b"http/1.1"]);
        }
    }

    #[test]
    fn a_ticket_is_opened_on_every_core_and_by_no_later_reading() {
        let (cert, key) = pair(2000..2100);
        let tls = tls(&cert, &key, None);
        let certified = read(&tls, now()).unwrap();
        let ticket = certified.for_core().ticketer.encrypt(b"session").unwrap();
        assert_eq!(certified.for_core().ticketer.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(read(&tls, now()).unwrap().for_core().ticketer.decrypt(&ticket), None);
    }

    #[test]
    fn every_fault_names_its_place_and_no_content() {
        let (cert, key) = pair(2000..2100);
        let (other_cert, other_key) = pair(2000..2100);
        let cut = &key[..key.len() - 20];
        let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
        let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for (tls, place, what) in [
            (tls(&key, &key, None), "/server/tls/cert: env.CERT: ", "no certificate"),
            (tls(no_der, &key, None), "/server/tls/cert: env.CERT: ", "cannot be read"),
            (tls(&cert[..cert.len() - 20], &key, None), "/server/tls/cert: env.CERT: ", "malformed"),
            (tls(&cert, &cert, None), "/server/tls/key: env.KEY: ", "no private key"),
            (tls(&cert, cut, None), "/server/tls/key: env.KEY: ", "no private key"),
            (tls(&cert, no_key, None), "/server/tls/key: env.KEY: ", "neither RSA"),
            (tls(&cert, &encrypted, None), "/server/tls/key: env.KEY: ", "encrypted"),
            (tls(&cert, &other_key, None), "/server/tls/key: env.KEY: ", "not the key of"),
            (tls(&other_cert, &key, None), "/server/tls/key: env.KEY: ", "not the key of"),
            (tls(&cert, &key, Some("x")), "/server/tls/client_ca: env.CA: ", "no certificate"),
            (
                tls(&cert, &key, Some(&format!("{cert}{no_der}"))),
                "/server/tls/client_ca: env.CA: ",
                "certificate 2",
            ),
        ] {
            let fault = fault(&tls);
            assert!(fault.starts_with(place) && fault.contains(what), "{fault}");
            let lines =
                [&cert, &key, &other_cert, &other_key].map(|pem| pem.lines().nth(1).unwrap().to_owned());
            assert!(lines.iter().all(|line| !fault.contains(line)), "{fault}");
        }
    }

    #[test]
    fn files_are_read_within_bounds() {
        let (cert, key) = pair(2000..2100);
        let folder = tempfile::TempDir::new().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let named = |cert: PathBuf, key: PathBuf| ServerTls {
            cert: Pem::File(cert),
            key: Pem::File(key),
            client_ca: None,
        };
        let (good, key_path) = (write("cert.pem", &cert), write("key.pem", &key));
        assert!(read(&named(good.clone(), key_path.clone()), now()).is_ok());
        let long = write("long.pem", &format!("{cert}{}", "\n".repeat(PEM_BYTES_MAX as usize)));
        for (path, what) in [
            (folder.path().join("none.pem"), "No such file"),
            (folder.path().to_owned(), "not a regular file"),
            (long, "more than 1 MiB"),
        ] {
            let fault = fault(&named(path.clone(), key_path.clone()));
            let place = format!("/server/tls/cert: {}: ", path.display());
            assert!(fault.starts_with(&place) && fault.contains(what), "{fault}");
        }
        assert!(fault(&named(good, folder.path().join("none.key"))).starts_with("/server/tls/key: "));
    }

    #[test]
    fn a_certificate_out_of_its_time_is_warned_of_and_taken() {
        for (years, what) in [(2000..2010, "expired"), (2030..2040, "not valid yet")] {
            let (cert, key) = pair(years);
            let warning = read(&tls(&cert, &key, None), now()).unwrap().warning.unwrap();
            assert!(
                warning.starts_with("/server/tls/cert: env.CERT: ") && warning.contains(what),
                "{warning}"
            );
        }
    }
}

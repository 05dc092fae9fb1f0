//! PEM text that stands in a config (RFC 7468): whether roots of trust can be read from it. It opens no file, keeps no
//! key, and verifies no chain.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Longest PEM text, bytes: all public roots together take about 220 KiB.
pub(crate) const PEM_BYTES_MAX: usize = 1024 * 1024;

/// How PEM text begins, and no file's name.
pub(crate) const BEGIN: &str = "-----BEGIN";

/// Counts the certificates that can serve as roots, and those that can't; an error says what is wrong without quoting.
pub(crate) fn count_roots(pem: &str) -> Result<(usize, usize), String> {
    if pem.len() > PEM_BYTES_MAX {
        return Err(format!("holds {} bytes of PEM text; at most {PEM_BYTES_MAX}", pem.len()));
    }
    if pem.contains("PRIVATE KEY-----") {
        return Err("holds a private key, and here only certificates are wanted: remove the key".to_owned());
    }
    let (mut roots, mut usable, mut others) = (RootCertStore::empty(), 0, 0);
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| "holds malformed PEM text".to_owned())?;
        if roots.add(certificate).is_ok() { usable += 1 } else { others += 1 }
    }
    match (usable, others) {
        (0, 0) => Err(format!("holds no certificate; expected PEM text: {BEGIN} CERTIFICATE-----…")),
        (0, _) => Err("holds no certificate that can be read".to_owned()),
        counts => Ok(counts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> String {
        rcgen::generate_simple_self_signed(["ca.internal".to_owned()]).expect("a certificate").cert.pem()
    }

    #[test]
    fn roots_are_counted() {
        let root = root();
        let not_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(count_roots(&root), Ok((1, 0)));
        assert_eq!(count_roots(&format!("a comment\n{root}\n{root}{not_der}")), Ok((2, 1)));
        assert!(count_roots(not_der).is_err_and(|error| error.contains("can be read")));
    }

    #[test]
    fn what_holds_no_root_is_refused() {
        let root = root();
        let cut = root.get(..root.len() - 10).expect("ASCII");
        let broken = root.replacen('M', "*", 1);
        let key = format!("{root}{BEGIN} PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
        let long = format!("{root}{}", "\n".repeat(PEM_BYTES_MAX));
        for pem in ["", "/etc/ca.pem", cut, &broken, &key, &long, "-----BEGIN CERTIFICATE-----"] {
            assert!(count_roots(pem).is_err(), "{pem}");
        }
    }
}

//! What a node needs of a config beyond the file's own rules, looked at before it serves: limits against the number of
//! cores, and the listener's certificates. `check`, `serve` and a reload ask here, so that what one accepts the others do.
//! It opens the files that `server.tls` names; it binds nothing, connects nowhere and changes nothing.

use rustls::pki_types::UnixTime;

use crate::config::Loaded;
use crate::net::listen_tls::{self, Certified};
use crate::net::pool;

/// A config that `workers` cores can serve.
pub struct Preflight {
    /// The listener's certificates; `None`: it is plain.
    pub certified: Option<Certified>,
    /// Worth a look, in sentences: a certificate whose time is over. A fault for a strict check.
    pub warnings: Vec<String>,
}

/// Looks at all of it, for a node of `workers` cores (at least 1). Errors: every fault, a sentence each; a file of
/// `server.tls` that cannot be read among them.
pub fn preflight(loaded: &Loaded, workers: usize) -> Result<Preflight, Vec<String>> {
    let snapshot = &loaded.snapshot;
    let mut faults = pool::check_limits(snapshot, workers);
    let certified = snapshot.server.tls.as_ref().map(|tls| listen_tls::read(tls, UnixTime::now()));
    let certified = certified.transpose().map_err(|fault| faults.push(fault)).unwrap_or_default();
    match faults.is_empty() {
        true => {
            let warnings = certified.iter().filter_map(|certified| certified.warning.clone()).collect();
            Ok(Preflight { certified, warnings })
        }
        false => Err(faults),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, workers: usize) -> Result<Vec<String>, Vec<String>> {
        let loaded = crate::config::load(json.as_bytes(), "config.json", &|_: &str| None);
        preflight(&loaded.unwrap(), workers).map(|preflight| preflight.warnings)
    }

    #[test]
    fn faults_of_all_sorts_are_said_at_once() {
        let json = r#"{
            "server": {"tls": {"cert": "/no/such/cert.pem", "key": "/no/such/key.pem"}},
            "providers": {"openai": {
                "keys": [{"name": "k", "value": "sk-1", "models": ["*"]}],
                "network_config": {"max_conns_per_host": 1}
            }}
        }"#;
        let faults = check(json, 2).unwrap_err();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("max_conns_per_host"), "{faults:?}");
        assert!(faults[1].contains("/server/tls/cert: /no/such/cert.pem"), "{faults:?}");
        assert_eq!(check(json, 1).unwrap_err().len(), 1);
    }

    #[test]
    fn a_plain_config_needs_nothing() {
        let json =
            r#"{"providers": {"openai": {"keys": [{"name": "k", "value": "sk-1", "models": ["*"]}]}}}"#;
        assert_eq!(check(json, 1024), Ok(Vec::new()));
    }
}

//! `vertex_key_config.auth_credentials`: the JSON of a service account, by whose key Google gives the tokens that a key's
//! requests bear.

use serde::Deserialize;

use super::super::Reading;
use super::super::credential::Credential;
use super::super::document::At;
use super::super::reference::resolve;
use super::super::secret::Secret;
use super::super::snapshot::{Place, Whence};
use super::super::url::{self, BaseUrl};
use super::super::validate;
use super::{Account, Found, Grant, Proof};
use crate::http::jwt::Signer;

/// Who gives tokens where the account does not say.
const TOKEN_URI_DEFAULT: &str = "https://oauth2.googleapis.com/token";
/// Longest text, bytes; Google's have some 2,400.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Longest address and key's id, bytes.
const NAME_BYTES_MAX: usize = 320;

/// The words that are read (<https://cloud.google.com/iam/docs/keys-create-delete>).
#[derive(Deserialize)]
struct File {
    #[serde(rename = "type")]
    kind: Option<String>,
    client_email: Option<String>,
    private_key: Option<zeroize::Zeroizing<String>>,
    private_key_id: Option<String>,
    token_uri: Option<String>,
}

/// `Ok(None)`: there is none. Errors are reported.
pub(crate) fn read(section: &At<'_>, reading: &mut Reading<'_, '_>) -> Result<Option<Found>, ()> {
    let Some(at) = section.member("auth_credentials").filter(validate::asks) else { return Ok(None) };
    let resolved = resolve(&at, reading).ok_or(())?;
    let Some(text) = &resolved.text else { return Ok(Some(Found::lacking(&resolved))) };
    if resolved.whence == Whence::Config {
        validate::warn_of_secret(&at, "GOOGLE_CREDENTIALS", reading.report);
    }
    match grant(text.expose()) {
        Ok(grant) => Ok(Some(Found {
            credential: Some(Credential::Fetched(grant.into())),
            whence: resolved.whence,
            absence: String::new(),
            wins: true,
        })),
        Err(fault) => {
            let source = resolved.whence.source();
            reading.report.fault(at.spot(), format!("the credentials{source}: {fault}"));
            Err(())
        }
    }
}

/// Errors: a clause, which quotes nothing.
fn grant(text: &str) -> Result<Grant, String> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("longer than {TEXT_BYTES_MAX} bytes"));
    }
    // A parser's error could quote what it stumbled over.
    let file: File = serde_json::from_str(text).map_err(|_| {
        "expected the JSON of a service account, as text, env.NAME or file:/path of it".to_owned()
    })?;
    if file.kind.as_deref() != Some("service_account") {
        return Err("of the kinds of credentials this version takes \"type\": \"service_account\"".to_owned());
    }
    let lacking = |name: &str| format!("the service account's JSON has no usable \"{name}\"");
    let is_name = |name: &String| {
        !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let email = file.client_email.filter(is_name).ok_or_else(|| lacking("client_email"))?;
    let private_key = file.private_key.ok_or_else(|| lacking("private_key"))?;
    Signer::of_pem(&private_key).map_err(str::to_owned)?;
    let key_id = file.private_key_id.filter(|id| !id.is_empty());
    if key_id.as_ref().is_some_and(|id| !is_name(id)) {
        return Err(lacking("private_key_id"));
    }
    let audience = file.token_uri.unwrap_or_else(|| TOKEN_URI_DEFAULT.to_owned());
    let BaseUrl { origin, authority, path } =
        url::parse(&audience).map_err(|fault| format!("token_uri: {fault}"))?;
    let private_key = Secret::new(private_key.as_str());
    let account = Account { email, private_key, key_id, audience };
    let place = Place { origin, authority, base_path: path };
    Ok(Grant { place, proof: Proof::Account(Box::new(account)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn fault(changed: &str, value: Value) -> String {
        let mut file = json!({
            "type": "service_account",
            "client_email": "a@p.iam.gserviceaccount.com",
            "private_key": include_str!("../../../tests/support/rsa.pem"),
            "private_key_id": "k1",
            "token_uri": "http://127.0.0.1:9/token",
        });
        file[changed] = value;
        grant(&file.to_string()).err().unwrap_or_default()
    }

    #[test]
    fn what_is_no_account_is_said() {
        assert_eq!(fault("universe_domain", json!("googleapis.com")), "");
        assert_eq!(fault("token_uri", Value::Null), "");
        assert_eq!(fault("private_key_id", Value::Null), "");
        for (name, value, expected) in [
            ("type", json!("authorized_user"), "service_account"),
            ("client_email", json!(""), "client_email"),
            ("private_key", Value::Null, "private_key"),
            ("private_key", json!("secret words"), "no PEM"),
            ("private_key_id", json!("a b"), "private_key_id"),
            ("token_uri", json!("ftp://a"), "token_uri: the URL's scheme"),
            ("token_uri", json!(7), "expected the JSON"),
        ] {
            let said = fault(name, value);
            assert!(said.contains(expected) && !said.contains("secret words"), "{said}");
        }
        assert!(grant("AIza-secret").err().unwrap().contains("expected the JSON"));
    }
}

//! A signed token of claims (JWT, RFC 7519) by RS256 (RFC 7518 §3.3), as Google takes one for a service account's
//! (<https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests>). Pure but for the
//! signature's padding, which has no chance in it: PKCS #1 v1.5. It verifies none.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::json;

/// How long an assertion holds, seconds: the longest that Google takes.
const LIFETIME_S: i64 = 3600;

/// Who signs. No `Debug`: it holds a private key.
pub struct Signer(RsaKeyPair);

/// What is claimed.
#[derive(Clone, Copy, Debug)]
pub struct Claims<'a> {
    /// Who claims it (`iss`).
    pub issuer: &'a str,
    /// Who is to believe it (`aud`).
    pub audience: &'a str,
    /// What is asked for (`scope`).
    pub scope: &'a str,
    /// Which of the issuer's keys signs (`kid`).
    pub key_id: Option<&'a str>,
    /// Seconds since 1970.
    pub unix_s: i64,
}

impl Signer {
    /// Reads a private key of RSA as PEM: PKCS #8 (RFC 5958) or PKCS #1 (RFC 8017), 2048 bits or more. Errors: a clause,
    /// without the key.
    pub fn of_pem(pem: &str) -> Result<Self, &'static str> {
        let inside = |begin: &str, end: &str| {
            let (_, rest) = pem.split_once(begin)?;
            let (body, _) = rest.split_once(end)?;
            let text: String = body.split_whitespace().collect();
            STANDARD.decode(text).ok().map(zeroize::Zeroizing::new)
        };
        let weak = "the private key is none of RSA with 2048 to 4096 bits";
        if let Some(der) = inside("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----") {
            return RsaKeyPair::from_pkcs8(&der).map(Self).map_err(|_| weak);
        }
        match inside("-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----") {
            Some(der) => RsaKeyPair::from_der(&der).map(Self).map_err(|_| weak),
            None => Err("the private key is no PEM: expected -----BEGIN PRIVATE KEY----- and its lines"),
        }
    }

    /// The claims, signed. Errors: the signature cannot be made (never, as ring is built).
    pub fn sign(&self, claims: Claims<'_>) -> Result<String, &'static str> {
        let Claims { issuer, audience, scope, key_id, unix_s } = claims;
        let mut header = json!({ "alg": "RS256", "typ": "JWT" });
        if let (Some(key_id), Some(header)) = (key_id, header.as_object_mut()) {
            header.insert("kid".to_owned(), key_id.into());
        }
        let body = json!({
            "iss": issuer,
            "aud": audience,
            "scope": scope,
            "iat": unix_s,
            "exp": unix_s.saturating_add(LIFETIME_S),
        });
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(body.to_string(), &mut token);
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature)
            .map_err(|_| "the assertion could not be signed")?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    /// Made for this test, and for nothing else.
    const PEM: &str = include_str!("../../tests/support/rsa.pem");

    fn signer() -> Signer {
        Signer::of_pem(PEM).unwrap_or_else(|fault| panic!("{fault}"))
    }

    #[test]
    fn what_is_claimed_is_signed() {
        let (key_id, unix_s) = (Some("k1"), 1_700_000_000);
        let claims = Claims { issuer: "a@b", audience: "https://t", scope: "s", key_id, unix_s };
        let token = signer().sign(claims).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let part = |at: usize| URL_SAFE_NO_PAD.decode(parts[at]).unwrap();
        let json = |at: usize| serde_json::from_slice::<serde_json::Value>(&part(at)).unwrap();
        assert_eq!(json(0), json!({ "alg": "RS256", "kid": "k1", "typ": "JWT" }));
        let expected =
            json!({ "iss": "a@b", "aud": "https://t", "scope": "s", "iat": unix_s, "exp": unix_s + 3600 });
        assert_eq!(json(1), expected);
        let public = signer().0.public().as_ref().to_vec();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public);
        let signed = format!("{}.{}", parts[0], parts[1]);
        assert!(public.verify(signed.as_bytes(), &part(2)).is_ok());
        let other = signer().sign(Claims { key_id: None, ..claims }).unwrap();
        assert!(!other.starts_with(parts[0]));
    }

    #[test]
    fn what_is_no_key_is_said_without_it() {
        let fault = |pem: &str| Signer::of_pem(pem).err().unwrap_or_default();
        for none in ["", "AKIA", "-----BEGIN PRIVATE KEY-----\n!!\n-----END PRIVATE KEY-----"] {
            assert!(fault(none).contains("no PEM"), "{none}");
        }
        assert!(
            fault("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----").contains("none of RSA")
        );
        assert!(Signer::of_pem(&PEM.replace('\n', "\r\n")).is_ok());
    }
}

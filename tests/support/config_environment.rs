//! The variables that the fixtures of `tests/config` refer to. Every secret among them is a `value-of-…`.

#![allow(unreachable_pub, dead_code, reason = "several tests share the file, and each uses a part")]

use std::path::Path;

use corelane::config::Environment;

/// What every fixture is read in.
pub struct Fixtures;

impl Environment for Fixtures {
    fn variable(&self, name: &str) -> Option<String> {
        environment(name)
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        match path.to_str() {
            Some("/run/secrets/openai") => Ok("value-of-openai-in-a-file\n".to_owned()),
            Some("/run/secrets/proxy") => Ok("value-of-proxy-in-a-file\r\n".to_owned()),
            Some("/run/secrets/empty") => Ok("\n".to_owned()),
            _ => Err("cannot be read: gone".to_owned()),
        }
    }
}

/// Its variables.
pub fn environment(name: &str) -> Option<String> {
    let value = match name {
        "OPENAI_API_KEY" => "value-of-openai",
        "ANTHROPIC_API_KEY" => "value-of-anthropic",
        "GROQ_API_KEY" => "value-of-groq",
        "POSTGRES_HOST" => "db.internal",
        "POSTGRES_USER" => "writer",
        "POSTGRES_PASSWORD" => "value-of-postgres",
        "WITH_LINE_BREAK" => "value-of-broken\n",
        "EMPTY" => "",
        "ADMIN_TOKEN" => "value-of-admin-token",
        "SHORT_TOKEN" => "value-of-admin",
        "CA" => include_str!("../config/ca.pem"),
        "NO_CA" => "value-of-no-ca",
        "TLS_KEY" => "-----BEGIN PRIVATE KEY-----\nvalue-of-key\n-----END PRIVATE KEY-----\n",
        "TLS_CERT" => "/run/tls/cert.pem",
        "PROXY_URL" => "socks5h://user:value-of-proxy@proxy.internal",
        "PROXY_USER" => "user",
        "PROXY_PASSWORD" => "value-of-proxy",
        "HTTPS_PROXY" => "http://user:value-of-proxy@proxy.internal:3128",
        "HTTP_PROXY" => "https://user:value-of-proxy@proxy.internal:3128",
        "NO_PROXY" => ".example.com,10.0.0.0/8",
        "GOOGLE_CREDENTIALS" => return Some(account(ACCOUNT_KEY)),
        "NO_ACCOUNT_KEY" => return Some(account("value-of-no-key")),
        _ => return None,
    };
    Some(value.to_owned())
}

/// Made for tests, and for nothing else.
const ACCOUNT_KEY: &str = include_str!("rsa.pem");

/// A service account's JSON.
fn account(key: &str) -> String {
    let key = key.replace('\n', "\\n");
    format!(
        r#"{{"type":"service_account","project_id":"p","private_key_id":"k1","private_key":"{key}","client_email":"a@p.iam.gserviceaccount.com","token_uri":"https://oauth2.googleapis.com/token"}}"#
    )
}

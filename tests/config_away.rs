//! A config read away from the nodes that serve it, without their variables and secret files: it is understood, and has
//! the digest that it has there.

#![allow(clippy::expect_used, clippy::panic, reason = "a test's helpers fail as the test does")]

use std::path::Path;

use corelane::config::diff::changes;
use corelane::config::{Environment, Fault, Loaded, load, load_away};
use serde_json::{Value, json};

/// A machine that has everything, or nothing.
struct Machine(bool);

impl Environment for Machine {
    fn variable(&self, name: &str) -> Option<String> {
        let value = match name {
            "PORT" => "5433",
            "SSL_MODE" => "verify-full",
            "HTTP_URL" => "http://u:canary@proxy:3128",
            "SOCKS_URL" => "socks5://proxy",
            "TLS_KEY" => "/etc/tls/key.pem",
            "CA" => include_str!("config/ca.pem"),
            _ => "canary-of-a-variable",
        };
        self.0.then(|| value.to_owned())
    }

    fn file(&self, _path: &Path) -> Result<String, String> {
        if self.0 { Ok("canary-of-a-file".to_owned()) } else { Err("cannot be read: gone".to_owned()) }
    }
}

/// A reference in every place that takes one.
fn everywhere() -> Value {
    json!({
        "server": {
            "admin_address": "127.0.0.1:8081", "admin_token": "file:/run/token",
            "tls": {"cert": "env.CERT", "key": "env.TLS_KEY", "client_ca": "env.CA"}
        },
        "logs_store": {"enabled": true, "type": "postgres", "config": {
            "host": "env.HOST", "port": "env.PORT", "user": "env.USER", "password": "file:/run/password",
            "db_name": {"env_var": "env.DB", "from_env": true}, "ssl_mode": "env.SSL_MODE"
        }},
        "providers": {
            "openai": {
                "keys": [
                    {"name": "a", "value": "env.A", "models": ["gpt-4o"], "weight": 1},
                    {"name": "b", "value": "file:/run/b", "models": ["gpt-4o"], "weight": 1}
                ],
                "network_config": {"ca_cert_pem": "env.CA"},
                "proxy_config": {"type": "http", "url": "env.HTTP_URL", "ca_cert_pem": "env.CA"}
            },
            "groq": {
                "keys": [{"name": "c", "value": "env.C", "models": ["*"]}],
                "proxy_config":
                    {"type": "socks5", "url": "env.SOCKS_URL", "username": "env.U", "password": "env.P"}
            }
        }
    })
}

fn away(config: &Value) -> Loaded {
    load_away(config.to_string().as_bytes(), "c", &Machine(false)).unwrap_or_else(said)
}

fn on_a_node(config: &Value) -> Loaded {
    load(config.to_string().as_bytes(), "c", &Machine(true)).unwrap_or_else(said)
}

fn said(faults: Vec<Fault>) -> Loaded {
    panic!("{faults:?}")
}

#[test]
fn the_digest_is_the_nodes() {
    let sqlite = json!({
        "logs_store": {"enabled": true, "type": "sqlite", "config": {"path": "env.PATH_OF_LOGS"}},
        "providers": everywhere()["providers"]
    });
    for config in [everywhere(), sqlite] {
        let (away, node) = (away(&config), on_a_node(&config));
        assert_eq!(away.snapshot.digest, node.snapshot.digest);
        assert_eq!(away.normal.config, node.normal.config);
        assert!(away.normal.references.values().all(|reference| !reference.is_set));
        assert!(node.normal.references.values().all(|reference| reference.is_set));
        // Every absence is named once: those of keys as keys, the others as warnings.
        let named =
            away.warnings.iter().filter(|notice| notice.message.contains("the node that serves this"));
        assert_eq!(named.count() + away.unusable_keys.len(), away.normal.references.len());
    }
}

#[test]
fn what_is_wrong_everywhere_stays_a_fault() {
    let mut config = everywhere();
    config["logs_store"]["config"]["port"] = json!("0");
    config["logs_store"]["config"]["host"] = json!("");
    config["providers"]["openai"]["proxy_config"]["type"] = json!("sock5");
    let faults = load_away(config.to_string().as_bytes(), "c", &Machine(false)).err().expect("faults");
    assert_eq!(faults.len(), 3, "{faults:?}");
    // The node itself stays strict.
    let faults = load(everywhere().to_string().as_bytes(), "c", &Machine(false)).err().expect("faults");
    assert_eq!(faults.len(), 16, "{faults:?}");
}

#[test]
fn a_change_is_told_by_what_is_written() {
    let change = |pointer: &str, value: Value| {
        let mut changed = everywhere();
        *changed.pointer_mut(pointer).expect("a place") = value;
        changes(&away(&everywhere()), &away(&changed))
    };
    assert_eq!(changes(&away(&everywhere()), &away(&everywhere())), [""; 0]);
    assert_eq!(
        change("/logs_store/config/port", json!("env.DB_PORT")),
        ["logs_store.config.port: env.PORT → env.DB_PORT"]
    );
    assert_eq!(
        change("/providers/openai/keys/0/weight", json!(3)),
        ["key a: share 50 % → 75 % of gpt-4o", "key b: share 50 % → 25 % of gpt-4o"]
    );
    assert_eq!(
        change("/providers/openai/keys/0/value", json!("env.OTHER")),
        ["key a: value now from env.OTHER"]
    );
    // One of the keys has its value here, by chance: shares are the nodes' all the same.
    let some = |name: &str| (name == "A").then(|| "sk-1".to_owned());
    let read = |weight: u32| {
        let mut config = everywhere();
        config["providers"]["openai"]["keys"][0]["weight"] = json!(weight);
        load_away(config.to_string().as_bytes(), "c", &some).unwrap_or_else(said)
    };
    assert_eq!(
        changes(&read(1), &read(3)),
        ["key a: share 50 % → 75 % of gpt-4o", "key b: share 50 % → 25 % of gpt-4o"]
    );
}

//! The seed's own config, as `tests/config/good` keeps it, filled in for this machine: the tests' PostgreSQL as its log
//! store, a mock as both of its providers. Everything else in it stays as it is.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::node::{KEYS, Mock, Node};
use super::postgres::{PASSWORD, Postgres, USER};

/// The seed's document as it stands: `enable_logging` is false.
pub(crate) const AS_IT_STANDS: &str = "seed.json";

/// The same with `enable_logging` true.
pub(crate) const LOGGING: &str = "seed_logging.json";

/// The fixture with this database and this mock.
pub(crate) fn config(fixture: &str, mock: &Mock, database: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/good").join(fixture);
    let mut config: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let store = &mut config["logs_store"]["config"];
    store["user"] = json!(USER);
    store["db_name"] = json!(database);
    for provider in ["openai", "anthropic"] {
        let base_url = format!("http://{}", mock.address);
        config["providers"][provider]["network_config"] = json!({ "base_url": base_url });
    }
    config
}

/// Starts a node with the config; its variables hold the keys and where the server is.
pub(crate) fn start(config: &Value, driver: &str, postgres: &Postgres) -> Node {
    let host = postgres.host();
    let mut variables = KEYS.to_vec();
    variables.extend([("POSTGRES_HOST", host.as_str()), ("POSTGRES_PASSWORD", PASSWORD)]);
    let node = Node::try_start(&config.to_string(), driver, &variables)
        .unwrap_or_else(|lines| panic!("no start: {lines:#?}"));
    let is_asked_for = node.start_line.contains(&format!(r#""driver":"{driver}""#));
    assert!(is_asked_for, "{}", node.start_line);
    node
}

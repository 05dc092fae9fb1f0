//! What `config::diff` says of two configs: the words, and that none of them is a secret.

#![allow(clippy::expect_used, clippy::panic, reason = "a test's helpers fail as the test does")]

use std::path::Path;

use corelane::config::diff::{CHANGES_MAX, changes};
use corelane::config::{Environment, Loaded, load};
use serde_json::{Value, json};

/// Variables and files whose values hold a tag, so that a test can change them.
struct Node(&'static str);

impl Environment for Node {
    fn variable(&self, name: &str) -> Option<String> {
        let is_set = ["OPENAI_A", "OPENAI_B", "PROXY_PASSWORD", "DB_HOST", "DB_PASSWORD", "HTTPS_PROXY"]
            .contains(&name);
        is_set.then(|| match name {
            "HTTPS_PROXY" => format!("http://proxy-{}:3128", self.0),
            _ => format!("canary-{}-{}", name.to_lowercase().replace('_', "-"), self.0),
        })
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        match path.to_str() {
            Some("/run/secrets/b") => Ok(format!("canary-file-{}\n", self.0)),
            _ => Err("cannot be read: gone".to_owned()),
        }
    }
}

fn read(config: &Value, tag: &'static str) -> Loaded {
    load(config.to_string().as_bytes(), "c", &Node(tag)).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn base() -> Value {
    json!({
        "providers": {
            "openai": {
                "keys": [
                    {"name": "primary", "value": "env.OPENAI_A", "models": ["gpt-4o", "gpt-4o-mini"], "weight": 1},
                    {"name": "second", "value": "file:/run/secrets/b", "models": ["gpt-4o"], "weight": 1}
                ],
                "proxy_config": {"type": "http", "url": "proxy", "username": "u", "password": "env.PROXY_PASSWORD"}
            },
            "groq": {"keys": [{"name": "groq", "value": "canary-literal", "models": ["*"]}]}
        },
        "logs_store": {"enabled": true, "type": "postgres", "config":
            {"host": "env.DB_HOST", "user": "u", "password": "env.DB_PASSWORD", "db_name": "d"}}
    })
}

/// What is said when the base becomes something else.
fn said(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut changed = base();
    change(&mut changed);
    changes(&read(&base(), "1"), &read(&changed, "1"))
}

fn set(config: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = config.pointer_mut(parent).expect("its parent");
    match name.parse::<usize>() {
        Ok(index) => parent[index] = value,
        Err(_) => parent[name] = value,
    }
}

const KEYS: &str = "/providers/openai/keys";

#[test]
fn the_same_meaning_has_no_changes() {
    assert_eq!(changes(&read(&base(), "1"), &read(&base(), "1")), [""; 0]);
    assert_eq!(said(|config| set(config, "/version", json!(2))), [""; 0]);
    let reordered =
        |config: &mut Value| set(config, &format!("{KEYS}/0/models"), json!(["gpt-4o-mini", "gpt-4o"]));
    assert_eq!(said(reordered), [""; 0]);
}

#[test]
fn a_weight_is_told_as_shares_of_every_key_that_it_moves() {
    let weight = |config: &mut Value| set(config, &format!("{KEYS}/0/weight"), json!(3));
    assert_eq!(
        said(weight),
        ["key primary: share 50 % → 75 % of gpt-4o", "key second: share 50 % → 25 % of gpt-4o",]
    );
    let alone = |config: &mut Value| set(config, "/providers/groq/keys/0/weight", json!(0));
    assert_eq!(said(alone), ["key groq: weight 1 → 0"]);
}

#[test]
fn shares_follow_whoever_may_serve() {
    let disabled = |config: &mut Value| set(config, &format!("{KEYS}/1/enabled"), json!(false));
    assert_eq!(said(disabled), ["key primary: share 50 % → 100 % of gpt-4o", "key second: disabled"]);
    let denied = |config: &mut Value| set(config, &format!("{KEYS}/1/blacklisted_models"), json!(["gpt-4o"]));
    assert_eq!(
        said(denied),
        [
            "key primary: share 50 % → 100 % of gpt-4o",
            "key second: share 50 % → 0 % of gpt-4o",
            "key second: denied models none → gpt-4o",
        ]
    );
    let aliased = |config: &mut Value| set(config, &format!("{KEYS}/1/aliases"), json!({"gpt-4o-mini": "x"}));
    assert_eq!(
        said(aliased),
        [
            "key primary: share 100 % → 50 % of gpt-4o-mini",
            "key second: share 0 % → 50 % of gpt-4o-mini",
            "key second: aliases none → gpt-4o-mini=x",
        ]
    );
    let all = |config: &mut Value| {
        for index in [0, 1] {
            set(config, &format!("{KEYS}/{index}/models"), json!(["*"]));
        }
    };
    let mut before = base();
    all(&mut before);
    let mut after = before.clone();
    set(&mut after, &format!("{KEYS}/0/weight"), json!(2));
    assert_eq!(
        changes(&read(&before, "1"), &read(&after, "1")),
        ["key primary: share 50 % → 66.7 % of all models", "key second: share 50 % → 33.3 % of all models",]
    );
    set(&mut after, &format!("{KEYS}/1/blacklisted_models"), json!(["o3"]));
    assert_eq!(
        changes(&read(&before, "1"), &read(&after, "1")),
        [
            "key primary: share 50 % → 100 % of o3",
            "key primary: share 50 % → 66.7 % of all others",
            "key second: share 50 % → 0 % of o3",
            "key second: share 50 % → 33.3 % of all others",
            "key second: denied models none → o3",
        ]
    );
}

#[test]
fn keys_and_providers_come_and_go() {
    let added = |config: &mut Value| {
        let keys = config.pointer_mut(KEYS).and_then(Value::as_array_mut).expect("keys");
        keys.push(json!({"name": "third", "value": "env.OPENAI_B", "models": ["gpt-4o"], "weight": 2}));
    };
    assert_eq!(
        said(added),
        [
            "key primary: share 50 % → 25 % of gpt-4o",
            "key second: share 50 % → 25 % of gpt-4o",
            "key third: added to openai, share 50 % of gpt-4o",
        ]
    );
    let removed = |config: &mut Value| {
        drop(config.pointer_mut(KEYS).and_then(Value::as_array_mut).expect("keys").pop())
    };
    assert_eq!(
        said(removed),
        ["key primary: share 50 % → 100 % of gpt-4o", "key second: removed from openai"]
    );
    let swapped = |config: &mut Value| {
        config.pointer_mut(KEYS).and_then(Value::as_array_mut).expect("keys").reverse();
    };
    assert_eq!(said(swapped), ["provider openai: its keys stand in another order"]);
    let provider = |config: &mut Value| {
        let providers = config.pointer_mut("/providers").and_then(Value::as_object_mut).expect("providers");
        let groq = providers.remove("groq").expect("groq");
        providers.insert("Mistral".to_owned(), groq);
    };
    assert_eq!(said(provider), ["provider groq: removed", "provider mistral: added, with 1 key"]);
}

#[test]
fn a_value_is_told_by_where_it_comes_from() {
    let value =
        |value: &'static str| said(move |config| set(config, &format!("{KEYS}/0/value"), json!(value)));
    assert_eq!(value("env.OPENAI_B"), ["key primary: value now from env.OPENAI_B"]);
    assert_eq!(value("canary-literal"), ["key primary: value now from the config"]);
    assert_eq!(
        value("file:/run/x"),
        [
            "key primary: value now from file:/run/x, and the file /run/x is empty or cannot be read",
            "key primary: share 100 % → 0 % of gpt-4o-mini",
            "key primary: share 50 % → 0 % of gpt-4o",
            "key second: share 50 % → 100 % of gpt-4o",
        ]
    );
    let literal = |config: &mut Value| set(config, "/providers/groq/keys/0/value", json!("canary-other"));
    assert_eq!(said(literal), ["key groq: its value changed"]);
    // The same files on a node where other values stand behind the references.
    assert_eq!(
        changes(&read(&base(), "1"), &read(&base(), "2")),
        [
            "key primary: its value changed",
            "key second: its value changed",
            "logs_store.config.host: its value changed",
            "logs_store.config.password: its value changed",
            "providers.openai.proxy_config.password: its value changed",
        ]
    );
}

#[test]
fn the_rest_is_told_in_words_or_by_its_place() {
    let one = |pointer: &'static str, value: Value| said(move |config| set(config, pointer, value));
    let network = |value: Value| one("/providers/openai/network_config", value);
    assert_eq!(
        network(
            json!({"default_request_timeout_in_seconds": 60, "base_url": "http://[::1]:9/v1/", "max_conns_per_host": 9})
        ),
        [
            "provider openai: base_url https://api.openai.com → http://[::1]:9",
            "provider openai: request timeout 30 → 60 s",
            "provider openai: first token timeout 90000 → 120000 ms",
            "providers.openai.network_config.max_conns_per_host: 0 → 9",
        ]
    );
    assert_eq!(
        network(json!({"extra_headers": {"x-a": "1"}})),
        ["providers.openai.network_config.extra_headers.x-a: none → 1"]
    );
    assert_eq!(
        one(
            "/client",
            json!({"enable_logging": false, "disable_content_logging": true, "allowed_origins": ["http://a"]})
        ),
        [
            "client.allowed_origins: none → http://a",
            "client: log rows carry no content",
            "client: requests write no log rows",
        ]
    );
    assert_eq!(
        one("/server", json!({"trusted_proxies": ["10.0.0.0/8"], "proxy_protocol": true})),
        ["server.proxy_protocol: false → true", "server.trusted_proxies: none → 10.0.0.0/8",]
    );
    let request = json!({"request_total_timeout_seconds": 60});
    assert_eq!(one("/server", request), ["server: a request's whole time 600 → 60 s"]);
    let openai = |name: &str, value: Value| said(|config| config["providers"]["openai"][name] = value);
    assert_eq!(
        openai("fallbacks", json!(["groq/", {"provider": "groq", "model": "b"}])),
        ["providers.openai.fallbacks: none → groq/, groq/b"]
    );
    assert_eq!(
        openai("fallbacks", json!({"gpt-4o": ["groq/a"]})),
        ["providers.openai.fallbacks: none → {\"gpt-4o\":[\"groq/a\"]}"]
    );
    assert_eq!(
        openai("breaker", json!({"open_seconds": 30, "failure_ratio": 0.25})),
        [
            "providers.openai.breaker.failure_ratio: 0.5 → 0.25",
            "providers.openai.breaker.open_seconds: 10 → 30"
        ]
    );
    assert_eq!(
        openai("concurrency_and_buffer_size", json!({"concurrency": 8, "buffer_size": 9})),
        ["providers.openai.concurrency_and_buffer_size: none → {\"buffer_size\":9,\"concurrency\":8}"]
    );
    assert_eq!(
        one("/logs_store", json!({"enabled": true, "type": "sqlite", "config": {"path": "/x"}})),
        ["log store: postgres → sqlite"]
    );
    assert_eq!(one("/logs_store", json!({"enabled": false})), ["log store: postgres → none"]);
    assert_eq!(
        one("/providers/openai/proxy_config/url", json!("proxy:1")),
        ["providers.openai.proxy_config.url: http://proxy:80 → http://proxy:1"]
    );
}

#[test]
fn a_proxy_of_the_environment_is_told_too() {
    let mut config = base();
    set(&mut config, "/providers/openai/proxy_config", json!({"type": "environment"}));
    set(&mut config, "/providers/openai/keys/0/value", json!("k"));
    set(&mut config, "/providers/openai/keys/1/value", json!("k"));
    set(&mut config, "/logs_store", json!({"enabled": false}));
    assert_eq!(
        changes(&read(&config, "1"), &read(&config, "2")),
        ["provider openai: the proxy that its environment names changed"]
    );
}

#[test]
fn there_is_an_end_to_it() {
    let many = |weight: u32| {
        let keys: Vec<Value> = (0..CHANGES_MAX + 10)
            .map(|key| json!({"name": format!("k{key}"), "value": "env.OPENAI_A", "models": [format!("m{key}")], "weight": weight}))
            .collect();
        json!({"providers": {"openai": {"keys": keys}}})
    };
    let changes = changes(&read(&many(1), "1"), &read(&many(2), "1"));
    assert_eq!(changes.len(), CHANGES_MAX + 1);
    assert_eq!(changes.last().map(String::as_str), Some("and 10 more changes"));
}

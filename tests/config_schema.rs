//! The JSON Schema of this binary: it is one, every file that loads fits it, and files of wrong types or that are refused do
//! not.

#![allow(clippy::expect_used, clippy::panic, reason = "a test's helpers fail as the test does")]

use std::fs;
use std::path::Path;

use corelane::config::schema::schema;
use jsonschema::Validator;
use serde_json::{Value, json};

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).expect("a schema")
}

fn faults(validator: &Validator, config: &Value) -> Vec<String> {
    validator.iter_errors(config).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn it_is_a_schema() {
    assert!(jsonschema::draft202012::meta::is_valid(&schema()));
    assert_eq!(schema()["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[test]
fn files_that_load_fit_it() {
    let validator = validator();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for folder in ["tests/config/good", "deploy/quickstart"] {
        for entry in fs::read_dir(root.join(folder)).expect("the folder").flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|kind| kind != "json") {
                continue;
            }
            let text = fs::read(&path).expect("the file");
            let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&text);
            let config: Value = serde_json::from_slice(text).expect("JSON");
            assert_eq!(faults(&validator, &config), [""; 0], "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen} files");
}

#[test]
fn the_published_shapes_fit_it() {
    let validator = validator();
    let key = |value: Value| json!({"providers": {"openai": {"keys": [{"name": "a", "value": value, "models": ["*"]}]}}});
    for value in [
        json!("env.NAME"),
        json!("file:/run/secrets/a"),
        json!({"value": "sk-1****", "env_var": "env.NAME", "from_env": true}),
        json!({"value": "", "ref": "env.NAME", "type": "env"}),
        json!({"value": "a", "type": "plain_text"}),
        json!(null),
    ] {
        assert_eq!(faults(&validator, &key(value.clone())), [""; 0], "{value}");
    }
    let mut config = key(json!("env.NAME"));
    config["providers"]["openai"]["keys"][0]["aliases"] =
        json!({"fast": "gpt-4o-mini", "slow": {"model_id": "o3", "model_family": "openai"}});
    config["providers"]["openai"]["network_config"] =
        json!({"retry_backoff_initial": "500ms", "retry_backoff_max": 5000});
    config["providers"]["Own"] =
        json!({"custom_provider_config": {"base_provider_type": "OpenAI", "is_key_less": true}});
    config["providers"]["elsewhere"] = json!({"custom_provider_config": {"base_provider_type": "replicate"},
        "openai_config": {"disable_store": true}});
    config["providers"]["AZURE"] =
        json!({"keys": [{"name": "z", "azure_key_config": {"endpoint": "https://a"}}]});
    config["governance"] = json!({"virtual_keys": [], "budgets": null});
    config["auth_config"] = json!({"is_enabled": false, "admin_username": "a"});
    config["unknown"] = json!(1);
    assert_eq!(faults(&validator, &config), [""; 0]);
}

#[test]
fn a_server_of_ones_own_has_keys_or_a_base_url() {
    let validator = validator();
    let fits = |provider: Value| validator.is_valid(&json!({ "providers": { "ollama": provider } }));
    assert!(fits(json!({ "network_config": { "base_url": "http://127.0.0.1:11434" } })));
    assert!(fits(json!({ "keys": [{ "name": "a", "ollama_key_config": { "url": "http://127.0.0.1:1" } }] })));
    assert!(!fits(json!({})));
    assert!(!fits(json!({ "network_config": { "base_url": "" } })));
}

/// A config of which the rest is one change away.
fn base() -> Value {
    json!({
        "client": {"enable_logging": true},
        "server": {"tls": {"cert": "/a", "key": "/b"}},
        "providers": {
            "openai": {
                "keys": [{"name": "a", "value": "env.A", "models": ["*"], "aliases": {}}],
                "network_config": {}, "proxy_config": {"type": "none"}, "openai_config": {}
            },
            "own": {"custom_provider_config": {"base_provider_type": "openai"}, "keys": [{"name": "b"}]}
        },
        "logs_store": {"enabled": true, "type": "postgres", "config": {"host": "h", "user": "u", "db_name": "d"}},
        "config_store": {"enabled": false},
        "governance": {}
    })
}

/// A place, a key of it, and a value that it must not have.
fn wrong() -> Vec<(&'static str, &'static str, Value)> {
    let key = "/providers/openai/keys/0";
    vec![
        ("", "version", json!(3)),
        ("", "version", json!("2")),
        ("", "client", json!([])),
        ("", "providers", json!({})),
        ("", "providers", json!(null)),
        ("", "plugins", json!({})),
        ("", "source_of_truth", json!("elsewhere")),
        ("", "auth_config", json!({"is_enabled": true})),
        ("", "guardrails_config", json!({"rules": [1]})),
        ("/client", "enable_logging", json!("true")),
        ("/client", "max_request_body_size_mb", json!(4_097)),
        ("/client", "enforce_auth_on_inference", json!(true)),
        ("/client", "allowed_origins", json!("*")),
        ("/client", "allowed_origins", json!([1])),
        ("/server", "trusted_proxies", json!([1])),
        ("/server", "request_total_timeout_seconds", json!(0)),
        ("/client", "response_headers", json!("all")),
        ("/server/tls", "key", json!(1)),
        ("/server/tls", "client_ac", json!("/c")),
        ("/providers", "openai", json!([])),
        ("/providers", "OPENAI", json!({"keys": 1})),
        ("/providers", "nobody", json!({"keys": []})),
        ("/providers/openai", "keys", json!({})),
        ("/providers/openai", "keys", json!([1])),
        ("/providers/openai", "custom_provider_config", json!({"base_provider_type": "openai"})),
        ("/providers/openai/network_config", "default_request_timeout_in_seconds", json!("30")),
        ("/providers/openai/network_config", "stream_idle_timeout_in_seconds", json!(3_601)),
        ("/providers/openai/network_config", "retry_backoff_initial", json!(true)),
        ("/providers/openai/network_config", "extra_headers", json!({"a": 1})),
        ("/providers/openai/network_config", "first_token_timeout", json!([])),
        ("/providers/openai/network_config", "first_token_hold_ms", json!(60_001)),
        ("/providers/openai", "balance", json!("random")),
        ("/providers/openai", "on_client_gone", json!(true)),
        ("/providers/openai", "breaker", json!({"failure_ratio": 1.5})),
        ("/providers/openai", "breaker", json!({"open_seconds": 0})),
        ("/providers/openai", "concurrency_and_buffer_size", json!({"concurrency": 1})),
        ("/providers/openai", "fallbacks", json!("own/")),
        ("/providers/openai", "fallbacks", json!(["own"])),
        ("/providers/openai", "fallbacks", json!([{"model": "a"}])),
        ("/providers/openai", "fallbacks", json!({"a": "own/"})),
        ("/providers/openai", "fallbacks", json!(vec!["own/a"; 17])),
        ("/providers/openai/proxy_config", "type", json!("ftp")),
        ("/providers/openai/openai_config", "disable_store", json!(true)),
        ("/providers/own", "custom_provider_config", json!({})),
        ("/providers/own/custom_provider_config", "is_key_less", json!(1)),
        (key, "value", json!(1)),
        (key, "value", json!({"value": 1})),
        (key, "value", json!({"ref": "a", "type": "elsewhere"})),
        (key, "weight", json!(-1)),
        (key, "weight", json!("1")),
        (key, "models", json!("*")),
        (key, "enabled", json!("yes")),
        (key, "aliases", json!({"a": 1})),
        (key, "aliases", json!({"a": {}})),
        ("/logs_store", "type", json!("clickhouse")),
        ("/logs_store", "config", json!({"host": "h"})),
        ("/logs_store", "config", json!({"host": 1, "user": "u", "db_name": "d"})),
        ("/logs_store/config", "port", json!([])),
        ("/logs_store/config", "password_command", json!("pass")),
        ("/config_store", "enabled", json!(true)),
        ("/governance", "virtual_keys", json!([{"id": "a"}])),
        ("/governance", "budgets", json!({})),
    ]
}

#[test]
fn wrong_types_and_what_is_refused_do_not() {
    let validator = validator();
    let base = base();
    assert_eq!(faults(&validator, &base), [""; 0]);
    for (parent, name, wrong) in wrong() {
        let mut config = base.clone();
        config.pointer_mut(parent).expect("a place")[name] = wrong.clone();
        assert!(!validator.is_valid(&config), "{parent}/{name}: {wrong}");
    }
    for text in ["[]", "null", "1", "{}"] {
        assert!(!validator.is_valid(&serde_json::from_str(text).expect("JSON")), "{text}");
    }
}

#[test]
fn each_key_says_what_becomes_of_it() {
    let schema = schema();
    let description = |pointer: &str| {
        let schema = schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer}"));
        schema["description"].as_str().expect("a description").to_owned()
    };
    let client = "/properties/client/anyOf/1/properties";
    assert_eq!(description(&format!("{client}/allowed_origins")), "Honoured.");
    assert_eq!(
        description(&format!("{client}/initial_pool_size")),
        "Without effect: corelane has no object pool."
    );
    assert!(description(&format!("{client}/enforce_auth_on_inference")).starts_with("Refused where it asks"));
    assert!(
        description("/properties/auth_config/anyOf/1/properties/is_enabled").starts_with("As the section")
    );
}

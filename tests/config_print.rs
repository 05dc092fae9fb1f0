//! What `corelane config print` says: each good fixture as its `.printed` has it, no secret whatever its place, and a
//! `config` that loads again. `UPDATE_EXPECTED=1 cargo test --test config_print` rewrites the expectations.

#![allow(clippy::expect_used, clippy::panic, reason = "a test's helpers fail as the test does")]

use std::fs;
use std::path::{Path, PathBuf};

use corelane::config::{Environment, Loaded, REDACTED, load, print};
use environment::Fixtures;
use serde_json::{Value, json};

#[path = "support/config_environment.rs"]
mod environment;

fn read(text: &[u8], environment: &dyn Environment) -> Loaded {
    load(text, "config.json", environment).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/good");
    let entries = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|kind| kind == "json")).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

#[test]
fn good_files_are_printed() {
    for path in fixtures() {
        let text = fs::read(&path).expect("the file");
        let actual = print::commented(&text, &read(&text, &Fixtures));
        let expected_path = path.with_extension("printed");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected_path, &actual).expect("to write");
        }
        assert_eq!(actual, fs::read_to_string(&expected_path).unwrap_or_default(), "{}", path.display());
        for secret in ["value-of-", "ssword@", "sk-"] {
            assert!(!actual.contains(secret), "{}: {secret}", path.display());
        }
    }
}

#[test]
fn what_is_printed_loads_again_and_means_the_same() {
    for path in fixtures() {
        let text = fs::read(&path).expect("the file");
        let loaded = read(&text, &Fixtures);
        let document = print::document(&text, &loaded);
        let config = document["config"].to_string();
        assert!(document["provenance"].as_object().is_some_and(|places| !places.is_empty()));
        if config.contains(REDACTED) {
            let faults = load(config.as_bytes(), "printed", &Fixtures).err().expect("a redacted secret");
            assert!(faults.iter().all(|fault| fault.message.contains(REDACTED)), "{faults:?}");
            continue;
        }
        let again = read(config.as_bytes(), &Fixtures);
        assert_eq!(again.snapshot.digest, loaded.snapshot.digest, "{}", path.display());
        assert_eq!(again.normal, loaded.normal, "{}", path.display());
        // The comments are all that is not JSON, and the lines between them are the same values.
        let commented = print::commented(&text, &loaded);
        let bare: String = commented.lines().map(|line| format!("{}\n", without_comment(line))).collect();
        let bare: Value = serde_json::from_str(&bare).unwrap_or_else(|error| panic!("{error}: {bare}"));
        assert_eq!(bare, loaded.normal.config);
    }
}

/// A comment begins behind the last string of a line.
fn without_comment(line: &str) -> &str {
    line.rsplit_once("// ").map_or(line, |(value, _)| value)
}

/// Canaries behind every variable and in every file.
struct Canaries;

impl Environment for Canaries {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "PROXY" => Some("http://canary:canary@canary".to_owned()),
            "PORT" => Some("7777".to_owned()),
            "SSL_MODE" => Some("require".to_owned()),
            "CERT" => Some("-----BEGIN CERTIFICATE-----canary".to_owned()),
            "UNSET" => None,
            _ => Some(format!("canary-{}", name.to_lowercase())),
        }
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        if path.ends_with("gone") {
            Err("cannot be read: gone".to_owned())
        } else {
            Ok("canary-of-file\n".to_owned())
        }
    }
}

/// Every place of a secret, once from elsewhere and once as a literal.
fn everywhere() -> Value {
    let key = |name: &str, value: Value| json!({"name": name, "value": value, "models": ["*"]});
    let custom = |proxy: Value, keys: Vec<Value>| {
        json!({"keys": keys, "proxy_config": proxy, "custom_provider_config": {"base_provider_type": "openai"},
            "network_config": {"base_url": "http://llm"}})
    };
    let url = |url: &str| json!({"type": "http", "url": url});
    let named = |user: &str, word: &str| json!({"type": "socks5", "url": "proxy", "username": user, "password": word});
    json!({
        "encryption_key": "canary-encryption",
        "server": {
            "tls": {"cert": "env.CERT", "key": "env.TLS_KEY"},
            "admin_address": "127.0.0.1:1", "admin_token": "canary-admin-token"
        },
        "providers": {
            "openai": {"keys": [
                key("a", json!("canary-literal")), key("b", json!("env.B")), key("c", json!("file:/run/c")),
                key("d", json!({"value": "canary-****", "env_var": "env.D", "from_env": true})),
                key("e", json!({"value": "env.canary", "type": "plain_text"})), key("f", json!("env.UNSET")),
                key("g", json!("file:/run/gone"))
            ]},
            "p1": custom(url("http://canary:canary@proxy:1"), vec![key("p1", json!("env.X"))]),
            "p2": custom(url("env.PROXY"), vec![key("p2", json!("env.X"))]),
            "p3": custom(named("user", "canary"), vec![key("p3", json!("env.X"))]),
            "p4": custom(named("env.U", "env.P"), vec![key("p4", json!("env.X"))]),
            "runway": {"keys": [{"name": "z", "value": "canary-runway", "models": ["*"],
                "azure_key_config": {"endpoint": "e", "client_secret": "canary-client"}}]}
        },
        "logs_store": {"enabled": true, "type": "postgres", "config": {"host": "env.HOST", "port": "env.PORT",
            "user": "env.USER", "password": "canary-word", "db_name": "env.DB", "ssl_mode": "env.SSL_MODE"}}
    })
}

#[test]
fn no_secret_is_printed_whatever_its_place() {
    let text = everywhere().to_string();
    let loaded = read(text.as_bytes(), &Canaries);
    let (commented, document) =
        (print::commented(text.as_bytes(), &loaded), print::document(text.as_bytes(), &loaded).to_string());
    let said: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let unusable: Vec<String> = loaded.unusable_keys.iter().map(ToString::to_string).collect();
    for printed in
        [&commented, &document, &said.join("\n"), &unusable.join("\n"), &format!("{:?}", loaded.normal)]
    {
        // Where a secret stands may be said, and the name of a variable.
        assert!(!printed.replace("env.canary", "").contains("canary"), "{printed}");
        assert!(!printed.contains("7777"), "{printed}");
    }
    assert_eq!(commented.matches(REDACTED).count(), 7, "{commented}");
    assert_eq!(
        unusable,
        [
            "the key \"f\" of the provider \"openai\" is never used: the variable UNSET is unset or empty",
            "the key \"g\" of the provider \"openai\" is never used: the file /run/gone cannot be read: gone",
        ]
    );
}

#[test]
fn each_value_says_where_it_comes_from() {
    let text = "{\n \"version\": 1, \"clientt\": {\"enable_logging\": false},\n \"providers\": {\"OpenAI\": {\n  \"keys\": [{\"name\": \"a\", \"value\": \"file:/run/a\"}, {\"name\":\"b\",\"value\":\"env.UNSET\"}],\n  \"network_config\": {\"base_url\": \"https://api.openai.com/v1\", \"max_retries\": null}}}}";
    let document = print::document(text.as_bytes(), &read(text.as_bytes(), &Canaries));
    let place = |pointer: &str| document["provenance"][pointer].as_str().unwrap_or("nowhere").to_owned();
    assert_eq!(place("/version"), "file 2:13, normalised");
    assert_eq!(place("/client/enable_logging"), "default");
    assert_eq!(place("/providers/openai/keys/0/name"), "file 4:21");
    assert_eq!(place("/providers/openai/keys/0/value"), "file:/run/a (set)");
    assert_eq!(place("/providers/openai/keys/1/value"), "env.UNSET (unset)");
    assert_eq!(place("/providers/openai/keys/0/models"), "default");
    assert_eq!(place("/providers/openai/network_config/base_url"), "file 5:34, normalised");
    assert_eq!(place("/providers/openai/network_config/max_retries"), "default");
}

#[test]
fn the_form_is_sorted() {
    let loaded = read(everywhere().to_string().as_bytes(), &Canaries);
    let mut form = &loaded.normal.config;
    for _ in 0..3 {
        let names: Vec<&String> = form.as_object().expect("an object").keys().collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(names, sorted, "the digest is over sorted keys: is serde_json's preserve_order on?");
        form = form.get("providers").or(form.get("openai")).or(form.get("network_config")).expect("the next");
    }
}

#[test]
fn the_digest_of_secrets_is_keyed_and_of_their_values() {
    struct Keyed<'a>(&'a str, &'a str);
    impl Environment for Keyed<'_> {
        fn variable(&self, name: &str) -> Option<String> {
            match name {
                "CORELANE_DIGEST_KEY" => Some(self.0.to_owned()),
                "B" => Some(self.1.to_owned()),
                _ => Canaries.variable(name),
            }
        }

        fn file(&self, path: &Path) -> Result<String, String> {
            Canaries.file(path)
        }
    }
    let text = everywhere().to_string();
    let digest = |environment: &dyn Environment| read(text.as_bytes(), environment).secrets_digest;
    let base = digest(&Keyed("key", "one")).expect("a digest");
    assert!(base.len() == 16 && base.bytes().all(|byte| byte.is_ascii_hexdigit()), "{base}");
    assert_eq!(digest(&Keyed("key", "one")).as_ref(), Some(&base));
    assert_ne!(digest(&Keyed("key", "two")).as_ref(), Some(&base));
    assert_ne!(digest(&Keyed("other", "one")).as_ref(), Some(&base));
    assert_eq!(digest(&Keyed(" ", "one")), None);
    // What is no secret is not in it.
    let elsewhere = text.replace("env.HOST", "env.OTHER");
    assert_eq!(read(elsewhere.as_bytes(), &Keyed("key", "one")).secrets_digest, Some(base));
}

#[test]
fn a_file_of_a_secret_is_named_in_the_digest() {
    let digest = |value: &str| {
        let text = format!(
            r#"{{"providers":{{"openai":{{"keys":[{{"name":"a","value":{value},"models":["*"]}}]}}}}}}"#
        );
        read(text.as_bytes(), &Canaries).snapshot.digest
    };
    let base = digest(r#""file:/run/a""#);
    assert_eq!(base, digest(r#"{"value":"file:///run/a"}"#));
    for other in [r#""file:/run/b""#, r#""env.A""#, r#""literal""#, r#""""#] {
        assert_ne!(base, digest(other), "{other}");
    }
}

#[test]
fn a_header_that_carries_a_secret_is_redacted_and_the_digest_knows_the_others() {
    let config = |auth: &str, team: &str| {
        json!({"providers": {"openai": {
            "keys": [{"name": "a", "value": "env.UNSET", "models": ["*"]}],
            "network_config": {"extra_headers": {
                "Helicone-Auth": format!("Bearer {auth}"), "X-Portkey-Api-Key": auth, "x-up": format!("Basic {auth}"),
                "x-team": team
            }}
        }}})
        .to_string()
    };
    let load = |text: &str| read(text.as_bytes(), &|_: &str| None);
    let (one, other) = (load(&config("canary-1", "red")), load(&config("canary-2", "red")));
    let printed = print::commented(config("canary-1", "red").as_bytes(), &one);
    assert!(!printed.contains("canary") && printed.contains("\"x-team\": \"red\""), "{printed}");
    assert_eq!(printed.matches(", a secret").count(), 3, "{printed}");
    assert_eq!(one.snapshot.digest, other.snapshot.digest);
    assert_eq!(corelane::config::diff::changes(&one, &other).len(), 3);
    assert_ne!(one.snapshot.digest, load(&config("canary-1", "blue")).snapshot.digest);
    // What was printed is not taken for the real thing.
    let again = corelane::config::load(config(REDACTED, "red").as_bytes(), "c", &|_: &str| None);
    assert_eq!(again.err().map(|faults| faults.len()), Some(3));
}

#[test]
fn a_terminal_finds_nothing_to_obey() {
    let text = r#"{"providers": {"openai": {"keys": [{"name": "a", "value": "env.UNSET",
        "models": ["\u001b[31m", "\u009b31m", "\u202e", "\n// x"], "aliases": {"\u009b": "\u0085"}}]}}}"#;
    let loaded = read(text.as_bytes(), &|_: &str| None);
    let printed = print::commented(text.as_bytes(), &loaded);
    let is_obeyed = |char: char| (char.is_control() && char != '\n') || char == '\u{202e}';
    assert!(!printed.contains(is_obeyed) && printed.contains(r#"{"#), "{printed}");
    assert!(printed.contains(r#""\u009b31m""#) && printed.contains(r#""\u009b": "\u0085""#), "{printed}");
}

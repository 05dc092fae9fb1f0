//! Whole config files: those of `config/good` load as `*.expected` says, those of `config/bad` are refused with exactly
//! the faults that `*.expected` lists. `UPDATE_EXPECTED=1 cargo test --test config` rewrites the expectations.

#![allow(clippy::expect_used, clippy::panic, reason = "a test's helpers fail as the test does")]

#[path = "config/keys_without_value.rs"]
mod keys_without_value;
#[path = "config/known_keys.rs"]
mod known_keys;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use corelane::config::snapshot::{
    Breaker, Credential, Key, LogsStore, Models, Operations, Pem, Place, Postgres, Proof, Provider, Proxy,
    Retry, Server, ServerTls, Snapshot, Transport, Whence,
};
use corelane::config::{DEPTH_MAX, FILE_BYTES_MAX, FINDINGS_MAX, Fault, Loaded, load};
use corelane::dialect::Operation;
use serde_json::{Value, json};

use environment::{Fixtures, environment};

#[path = "support/config_environment.rs"]
mod environment;

#[test]
fn good_files_load() {
    for (path, text) in fixtures("good") {
        let loaded = load(&text, "config.json", &Fixtures)
            .unwrap_or_else(|faults| panic!("{}: {}", path.display(), lines(&faults)));
        compare(&path, &printed(&loaded));
    }
}

#[test]
fn bad_files_are_refused_with_every_fault() {
    for (path, text) in fixtures("bad") {
        let Err(faults) = load(&text, "config.json", &Fixtures) else {
            panic!("{} was accepted", path.display())
        };
        compare(&path, &lines(&faults));
    }
}

#[test]
fn no_message_holds_a_secret() {
    for (path, _) in fixtures("good").into_iter().chain(fixtures("bad")) {
        let expected = fs::read_to_string(path.with_extension("expected")).expect("an expectation");
        for secret in ["value-of-", "sk-", "in the file\"", "password@", "ssword@", "p@ssword", "12345"] {
            assert!(!expected.contains(secret), "{}: {secret}", path.display());
        }
    }
}

#[test]
fn the_quickstart_loads_without_a_warning() {
    for name in ["config.json", "provider.json"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/quickstart").join(name);
        let loaded = load(&fs::read(path).expect("the file"), name, &environment).expect("a good file");
        assert!(loaded.warnings.is_empty() && loaded.unusable_keys.is_empty(), "{:?}", loaded.warnings);
        assert!(loaded.snapshot.client.enable_logging && loaded.snapshot.logs_store.is_some());
    }
}

#[test]
fn each_config_of_the_readme_loads_without_a_warning() {
    let readme = include_str!("../README.md");
    let all = |name: &str| {
        if name.ends_with("_CREDENTIALS") {
            return environment(name);
        }
        Some(if name.ends_with("_CA") { include_str!("config/ca.pem").to_owned() } else { name.to_owned() })
    };
    let configs: Vec<&str> =
        readme.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(configs.len() >= 3, "{configs:?}");
    for config in configs {
        let loaded = load(config.as_bytes(), "README.md", &all)
            .unwrap_or_else(|faults| panic!("{config}\n{}", lines(&faults)));
        assert!(loaded.warnings.is_empty(), "{config}\n{:?}", loaded.warnings);
    }
}

#[test]
fn the_digest_is_of_the_meaning() {
    let digest = |text: &str, environment: &dyn corelane::config::Environment| {
        load(text.as_bytes(), "c", environment).expect("a good file").snapshot.digest
    };
    let seed = include_str!("config/good/seed.json");
    let base = digest(seed, &environment);
    let compact: String = seed.split_whitespace().collect();
    assert_eq!(base, digest(&compact, &environment), "spaces");
    let other_values = |name: &str| environment(name).map(|value| format!("{value}-of-another-node"));
    assert_eq!(base, digest(seed, &other_values), "values of variables");
    let one_unset = |name: &str| environment(name).filter(|_| name != "ANTHROPIC_API_KEY");
    assert_eq!(base, digest(seed, &one_unset), "an unset variable");
    let reordered = r#"{"providers":{
        "anthropic":{"keys":[{"models":["claude-sonnet-4-20250514","claude-3-5-haiku-20241022"],
            "value":"env.ANTHROPIC_API_KEY","name":"anthropic-primary"}]},
        "openai":{"network_config":{"base_url":"https://api.openai.com/v1"},
            "keys":[{"weight":1,"models":["gpt-4o","gpt-4o-mini"],"value":"env.OPENAI_API_KEY","name":"openai-primary"}]}},
        "logs_store":{"type":"postgres","enabled":true,"config":{"host":"env.POSTGRES_HOST","user":"corelane",
            "password":"env.POSTGRES_PASSWORD","db_name":"corelane"}},
        "client":{"enable_logging":false}}"#;
    assert_eq!(base, digest(reordered, &environment), "order and defaults");
    for (from, to) in [
        ("\"enable_logging\": false", "\"enable_logging\": true"),
        ("env.OPENAI_API_KEY", "env.GROQ_API_KEY"),
        ("openai-primary", "openai-first"),
        ("\"weight\": 1.0", "\"weight\": 2.0"),
        ("gpt-4o-mini", "gpt-4.1-mini"),
        ("\"5432\"", "\"5433\""),
        ("env.POSTGRES_HOST", "db.internal"),
    ] {
        let changed = seed.replacen(from, to, 1);
        assert_ne!(changed, seed, "{from} is in the file");
        assert_ne!(base, digest(&changed, &environment), "{from} to {to}");
    }
}

#[test]
fn the_digest_is_of_the_edge_too() {
    let digest = |text: &str, environment: &dyn corelane::config::Environment| {
        load(text.as_bytes(), "c", environment).expect("a good file").snapshot.digest
    };
    let edge = include_str!("config/good/edge.json");
    let base = digest(edge, &environment);
    let other_values = |name: &str| match name {
        "CA" => environment(name).map(|value| format!("of another node\n{value}")),
        "TLS_KEY" => Some("/run/tls/key.pem".to_owned()),
        "PROXY_URL" => Some("socks5://proxy.elsewhere".to_owned()),
        "HTTPS_PROXY" => None,
        name => environment(name).map(|value| format!("{value}-of-another-node")),
    };
    assert_eq!(base, digest(edge, &other_values), "values of variables");
    for (from, to) in [
        (r#""cert": "env.TLS_CERT""#, r#""cert": "env.PROXY_USER""#),
        (r#""cert": "env.TLS_CERT""#, r#""cert": "tls/cert.pem""#),
        ("tls/callers.pem", "tls/others.pem"),
        (r#", "client_ca": "tls/callers.pem""#, ""),
        ("fd00::/8", "fd00::/16"),
        (r#""proxy_protocol": true"#, r#""proxy_protocol": false"#),
        (r#""max_connections_per_core": 1000000"#, r#""max_connections_per_core": 999999"#),
        ("tauri://localhost", "tauri://remote"),
        ("https://*.example.com", "*"),
        (r#""insecure_skip_verify": true"#, r#""insecure_skip_verify": false"#),
        (r#""ca_cert_pem": "env.CA""#, r#""ca_cert_pem": """#),
        (r"-----END CERTIFICATE-----\n", "-----END CERTIFICATE-----"),
        (r#""max_conns_per_host": 10001"#, r#""max_conns_per_host": 9"#),
        (r#""allow_private_network": true"#, r#""allow_private_network": false"#),
        ("Proxy.internal", "proxy.elsewhere"),
        (r#"{"value": "user"}"#, r#"{"value": "other"}"#),
        ("env.PROXY_PASSWORD", "in the file"),
        ("env.PROXY_URL", "socks5h://proxy.internal"),
        ("http://user:p%40ssword@", "http://"),
        (r#""type": "environment", "url""#, r#""type": "none", "url""#),
    ] {
        let changed = edge.replacen(from, to, 1);
        assert_ne!(changed, edge, "{from} is in the file");
        assert_ne!(base, digest(&changed, &environment), "{from} to {to}");
    }
    for (from, to) in [(r#""in the file""#, r#""also there""#), ("user:p%40ssword@", "other:secret@")] {
        let changed = edge.replacen(from, to, 1);
        assert_ne!(changed, edge, "{from} is in the file");
        assert_eq!(base, digest(&changed, &environment), "a secret's text");
    }
}

#[test]
fn the_digest_is_of_retries_operations_and_the_admin_api() {
    let digest = |text: &str, environment: &dyn corelane::config::Environment| {
        load(text.as_bytes(), "c", environment).expect("a good file").snapshot.digest
    };
    for (text, changes) in [
        (
            include_str!("config/good/admin.json"),
            &[
                ("8081", "8082"),
                ("env.ADMIN_TOKEN", "env.POSTGRES_PASSWORD"),
                (r#""admin_address": "Localhost:8081", "#, ""),
            ][..],
        ),
        (
            include_str!("config/good/retries.json"),
            &[("1.5s", "1s"), ("1m30s", "1m29s"), (r#""max_retries": 3"#, r#""max_retries": 2"#)][..],
        ),
        (
            include_str!("config/good/pacing.json"),
            &[
                (r#""request_total_timeout_seconds": 86400"#, r#""request_total_timeout_seconds": 86399"#),
                ("minimal", "none"),
                (r#""drop_excess_requests": true"#, r#""drop_excess_requests": false"#),
                (r#""first_token_timeout": "1.5s""#, r#""first_token_timeout": "1.6s""#),
                (r#""first_token_hold_ms": 60000"#, r#""first_token_hold_ms": 5000"#),
                ("least_busy", "latency"),
                (r#""failures_in_a_row": 3"#, r#""failures_in_a_row": 4"#),
                (r#""failure_ratio": 0.25"#, r#""failure_ratio": 0.5"#),
                (r#""requests_min": 5"#, r#""requests_min": 6"#),
                (r#""window_seconds": 60"#, r#""window_seconds": 59"#),
                (r#""open_seconds": 3600"#, r#""open_seconds": 3599"#),
                (r#""concurrency": 8"#, r#""concurrency": 7"#),
                (r#""buffer_size": 8"#, r#""buffer_size": 9"#),
                (r#""on_client_gone": "finish""#, r#""on_client_gone": "cancel""#),
                (r#"["Anthropic/", "#, "["),
                (r#""model": "o3""#, r#""model": "o4""#),
            ][..],
        ),
        (
            include_str!("config/good/custom_providers.json"),
            &[
                ("/v1/talk\"", "/v1/talks\""),
                ("/v1/talk/stream", "/v1/stream"),
                ("catalogue", "catalog"),
                (r#"{"chat_completion": true, "#, r#"{"list_models": true, "#),
                (r#""allowed_requests": {}"#, r#""allowed_requests": {"chat_completion_stream": true}"#),
            ][..],
        ),
    ] {
        let base = digest(text, &environment);
        let other_values = |name: &str| environment(name).map(|value| format!("{value}-of-another-node"));
        assert_eq!(base, digest(text, &other_values), "values of variables");
        for (from, to) in changes {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from} is in the file");
            assert_ne!(base, digest(&changed, &environment), "{from} to {to}");
        }
    }
    let retries = include_str!("config/good/retries.json");
    assert_eq!(digest(retries, &environment), digest(&retries.replace("1m30s", "90000ms"), &environment));
}

#[test]
fn equal_transports_are_one() {
    let edge = include_str!("config/good/edge.json");
    let providers = load(edge.as_bytes(), "c", &environment).expect("a good file").snapshot.providers;
    let transport =
        |name: &str| &providers.iter().find(|provider| provider.name == name).expect(name).origin.transport;
    assert!(Arc::ptr_eq(transport("anthropic"), transport("past-it")));
    assert!(!Arc::ptr_eq(transport("anthropic"), transport("openai")));
}

#[test]
fn five_thousand_keys_and_five_hundred_providers_load() {
    let mut providers = Vec::new();
    for provider in 0..500 {
        let keys: Vec<_> = (0..10)
            .map(|key| {
                format!(
                    r#"{{"name":"key-{provider}-{key}","value":"env.OPENAI_API_KEY","models":["gpt-4o"]}}"#
                )
            })
            .collect();
        providers.push(format!(
            r#""custom-{provider}":{{"keys":[{}],"custom_provider_config":{{"base_provider_type":"openai"}}}}"#,
            keys.join(",")
        ));
    }
    let text = format!(r#"{{"providers":{{{}}}}}"#, providers.join(","));
    let started = Instant::now();
    let loaded = load(text.as_bytes(), "c", &environment).expect("a good file");
    println!("5,000 keys and 500 providers, {} bytes: {:?}", text.len(), started.elapsed());
    assert_eq!(loaded.snapshot.providers.len(), 500);
    assert_eq!(loaded.snapshot.providers.iter().map(|provider| provider.keys.len()).sum::<usize>(), 5_000);

    let faulty = text.replace("\"models\":[\"gpt-4o\"]", "\"models\":1");
    let faults = load(faulty.as_bytes(), "c", &environment).err().expect("a faulty file");
    assert_eq!(faults.len(), FINDINGS_MAX + 1);
}

#[test]
fn a_huge_or_cut_file_is_an_error() {
    for text in [
        vec![b' '; FILE_BYTES_MAX * 4],
        vec![b'['; FILE_BYTES_MAX],
        vec![b','; FILE_BYTES_MAX],
        "{\"a\":".repeat(DEPTH_MAX + 1).into_bytes(),
    ] {
        assert_eq!(load(&text, "c", &environment).err().expect("a bad file").len(), 1);
    }
    let seed = include_bytes!("config/good/seed.json");
    for end in 0..seed.len() - 2 {
        let faults = load(&seed[..end], "c", &environment).err().expect("a cut file");
        assert_eq!(faults.len(), 1, "cut at byte {end}");
    }
}

#[test]
fn no_changed_byte_makes_it_panic() {
    let mut text = include_bytes!("config/good/keys.json").to_vec();
    for at in 0..text.len() {
        for byte in [b'"', b'{', b'9', b'\\', 0xC3] {
            let kept = std::mem::replace(&mut text[at], byte);
            let _ = load(&text, "c", &environment);
            text[at] = kept;
        }
    }
}

#[test]
fn no_value_in_a_wrong_place_makes_it_panic() {
    for (_, text) in fixtures("good") {
        let Ok(root) = serde_json::from_slice::<Value>(&text) else { continue };
        let mut pointers = Vec::new();
        collect_pointers(&root, String::new(), &mut pointers);
        for pointer in pointers {
            for wrong in [json!(null), json!(true), json!(-1), json!("env."), json!([[]]), json!({"*": {}})] {
                let mut changed = root.clone();
                *changed.pointer_mut(&pointer).expect("its own pointer") = wrong;
                let _ = load(changed.to_string().as_bytes(), "c", &environment);
            }
        }
    }
}

fn collect_pointers(value: &Value, pointer: String, pointers: &mut Vec<String>) {
    let mut down = |segment: &str, value: &Value| {
        let segment = segment.replace('~', "~0").replace('/', "~1");
        collect_pointers(value, format!("{pointer}/{segment}"), pointers);
    };
    match value {
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(index, element)| down(&index.to_string(), element));
        }
        Value::Object(members) => members.iter().for_each(|(name, member)| down(name, member)),
        _ => {}
    }
    pointers.push(pointer);
}

/// The `.json` files of a folder, sorted, with their bytes.
fn fixtures(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("the file"))).collect()
}

fn compare(path: &Path, actual: &str) {
    let expected_path = path.with_extension("expected");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&expected_path, actual).expect("to write");
    }
    let expected = fs::read_to_string(&expected_path).unwrap_or_default();
    assert_eq!(actual, expected, "{}", path.display());
}

fn lines<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(|item| format!("{item}\n")).collect()
}

fn printed(loaded: &Loaded) -> String {
    let Snapshot { client, server, providers, logs_store, .. } = &loaded.snapshot;
    let mut out = lines(&loaded.warnings);
    out += &lines(&loaded.unusable_keys.iter().map(Fault::from).collect::<Vec<_>>());
    let _ = writeln!(out, "\n{client:?}");
    let _ = writeln!(out, "{}", server_line(server));
    let _ = match logs_store {
        None => writeln!(out, "no logs store"),
        Some(LogsStore::Sqlite { path }) => writeln!(out, "sqlite {}", path.display()),
        Some(LogsStore::Postgres(postgres)) => writeln!(out, "{}", postgres_line(postgres)),
    };
    for provider in providers {
        print_provider(&mut out, provider);
    }
    out
}

fn print_provider(out: &mut String, provider: &Provider) {
    let Provider { name, dialect, origin, authority, base_path, targets, keys, operations, retry, .. } =
        provider;
    let target = |operation| targets.of(operation).unwrap_or_default();
    let (chat, streams) = (target(Operation::Chat), target(Operation::ChatStream));
    let scheme = if origin.tls { "https" } else { "http" };
    let _ = writeln!(
        out,
        "{name}: {dialect:?} {scheme} {}:{} host={authority} base={base_path:?} chat={chat} models={:?}",
        origin.host,
        origin.port,
        targets.of(Operation::ListModels)
    );
    let _ = writeln!(
        out,
        "  request {:?}, stream idle {:?}, keep-alive {:?}, headers {:?}{}",
        provider.request_timeout,
        provider.stream_idle_timeout,
        provider.keep_alive_timeout,
        provider.extra_headers,
        if provider.key_less { ", key-less" } else { "" }
    );
    if streams != chat || *operations != Operations::default() {
        let others = Operation::ALL.into_iter().skip(3).filter_map(|operation| targets.of(operation));
        let others: Vec<&str> = others.collect();
        let _ = writeln!(out, "  streams={streams} others={others:?} {operations:?}");
    }
    if let Some(line) = pacing_line(provider) {
        let _ = writeln!(out, "  {line}");
    }
    if *retry != Retry::default() {
        let _ = writeln!(out, "  {retry:?}");
    }
    if *origin.transport != Transport::default() {
        let roots = origin.transport.extra_roots_pem.matches("-----BEGIN CERTIFICATE").count();
        let _ = writeln!(out, "  {}", transport_line(&origin.transport, roots));
    }
    for key in keys {
        print_key(out, key);
    }
}

/// What is not as the defaults have it.
fn pacing_line(provider: &Provider) -> Option<String> {
    let Provider { first_token_timeout, first_token_hold, balance, breaker, .. } = provider;
    let Provider { concurrency, on_client_gone, fallbacks, .. } = provider;
    let line = format!(
        "first token {first_token_timeout:?} held {first_token_hold:?}, {balance:?}, {breaker:?}, {concurrency:?}, \
         {on_client_gone:?}, fallbacks {fallbacks:?}"
    );
    let usual = format!(
        "first token {:?} held 5s, Weighted, {:?}, None, Cancel, fallbacks []",
        provider.request_timeout,
        Breaker::default()
    );
    (line != usual).then_some(line)
}

/// Like `Debug`, which nothing has that may hold a secret.
fn server_line(server: &Server) -> String {
    let Server {
        tls,
        trusted_proxies,
        proxy_protocol,
        connections_per_core_max,
        request_total_timeout,
        admin,
    } = server;
    let pem = |pem: &Pem| match pem {
        Pem::File(path) => format!("File({path:?})"),
        Pem::Text { whence, .. } => format!("Text({whence})"),
    };
    let tls = tls.as_ref().map_or("None".to_owned(), |ServerTls { cert, key, client_ca }| {
        let client_ca = client_ca.as_ref().map_or("None".to_owned(), pem);
        format!("cert: {}, key: {}, client_ca: {client_ca}", pem(cert), pem(key))
    });
    format!(
        "Server {{ tls: {tls}, trusted_proxies: {trusted_proxies:?}, proxy_protocol: {proxy_protocol}, \
         connections_per_core_max: {connections_per_core_max}, request_total_timeout: {request_total_timeout:?}, \
         admin: {:?} }}",
        admin.as_ref().map(|admin| &admin.address)
    )
}

fn postgres_line(postgres: &Postgres) -> String {
    let Postgres { host, port, user, password, db_name, ssl_mode } = postgres;
    format!(
        "Postgres {{ host: {host:?}, port: {port}, user: {user:?}, password: {}, db_name: {db_name:?}, \
         ssl_mode: {ssl_mode:?} }}",
        password.is_some()
    )
}

fn transport_line(transport: &Transport, roots: usize) -> String {
    let Transport { extra_roots_pem: _, insecure_skip_verify, proxy, allow_private_network, connections_max } =
        transport;
    let proxy = proxy.as_ref().map_or("None".to_owned(), |Proxy { kind, host, port, credentials }| {
        format!("{kind:?} {host:?} {port} user {:?}", credentials.as_ref().map(|(user, _)| user))
    });
    format!(
        "Transport {{ roots: {roots}, insecure_skip_verify: {insecure_skip_verify}, proxy: {proxy}, \
         allow_private_network: {allow_private_network}, connections_max: {connections_max:?} }}"
    )
}

fn print_key(out: &mut String, key: &Key) {
    let models = match &key.models {
        Models::All => "all".to_owned(),
        Models::Only(models) => format!("{models:?}"),
    };
    let place = key.place.as_ref().map(|place| format!(" at {}{}", place.authority, place.base_path));
    let aws = key.credential.as_ref().and_then(Credential::aws);
    let aws = aws.map(|keys| {
        let token = if keys.session_token.is_some() { " with a token" } else { "" };
        format!(" signed by {} for {}{token}", keys.access_key, keys.region)
    });
    let fetched = key.credential.as_ref().and_then(Credential::grant).map(|grant| {
        let Place { authority, base_path, .. } = &grant.place;
        let said = match &grant.proof {
            Proof::Role(role) => format!("{} as {}", role.role_arn, role.session_name),
            Proof::Client(client) => format!("{} for {}", client.client_id, client.scope),
            Proof::Account(account) => format!("{} for {}", account.email, account.audience),
        };
        format!(" fetches {} from {authority}{base_path}: {said}", grant.what())
    });
    let _ = writeln!(
        out,
        "  {:?} {}{} weight {} models {models} not {:?} aliases {:?}{}{}{}",
        key.name,
        if key.whence == Whence::Config { "value".to_owned() } else { key.whence.to_string() },
        if key.credential.is_some() { "" } else { " (none)" },
        key.weight,
        key.blacklisted_models,
        key.aliases,
        if key.enabled { "" } else { " disabled" },
        place.unwrap_or_default(),
        aws.or(fetched).unwrap_or_default(),
    );
}

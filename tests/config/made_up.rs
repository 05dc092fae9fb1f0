//! Configs by chance, of every shape that loads, and the same ones in other words.

use fastrand::Rng;
use serde_json::{Map, Value, json};

/// A config that loads.
pub fn config(rng: &mut Rng) -> Value {
    let mut config = Map::new();
    let mut add =
        |name: &str, value: Option<Value>| drop(value.map(|value| config.insert(name.to_owned(), value)));
    add("version", maybe(rng, |rng| json!(rng.u8(1..=2))));
    add("client", maybe(rng, client));
    add("server", maybe(rng, server));
    add("logs_store", maybe(rng, logs_store));
    add("config_store", maybe(rng, |_| json!({"enabled": false})));
    add("unknown", maybe(rng, |_| json!([1, {"a": null}])));
    add("providers", Some(providers(rng)));
    Value::Object(config)
}

fn maybe(rng: &mut Rng, make: impl FnOnce(&mut Rng) -> Value) -> Option<Value> {
    match rng.u8(..8) {
        0..3 => None,
        3 => Some(Value::Null),
        _ => Some(make(rng)),
    }
}

/// Some of these members.
fn some(rng: &mut Rng, members: Value) -> Value {
    let Value::Object(members) = members else { return members };
    Value::Object(members.into_iter().filter(|_| rng.u8(..3) > 0).collect())
}

fn pick<'a>(rng: &mut Rng, choices: &[&'a str]) -> &'a str {
    choices[rng.usize(..choices.len())]
}

fn any(rng: &mut Rng, choices: &[Value]) -> Value {
    choices[rng.usize(..choices.len())].clone()
}

fn several(rng: &mut Rng, choices: &[&str]) -> Value {
    let mut chosen: Vec<&str> = choices.iter().copied().filter(|_| rng.bool()).collect();
    rng.shuffle(&mut chosen);
    json!(chosen)
}

fn client(rng: &mut Rng) -> Value {
    let members = json!({
        "enable_logging": rng.bool(), "disable_content_logging": rng.bool(), "drop_excess_requests": rng.bool(),
        "max_request_body_size_mb": rng.u32(1..=4_096),
        "allowed_origins": several(rng, &["https://a.com", "HTTPS://B.com:443", "*", "https://*.c.com", "no origin"]),
        "allowed_headers": several(rng, &["X-A", "x-b"]), "initial_pool_size": 300,
        "response_headers": pick(rng, &["full", "minimal", "none"])
    });
    some(rng, members)
}

fn server(rng: &mut Rng) -> Value {
    let members = json!({"max_connections_per_core": rng.u32(1..=1_000_000), "request_total_timeout_seconds": rng.u32(1..=86_400)});
    let mut server = some(rng, members);
    if rng.bool() {
        server["trusted_proxies"] = json!(["10.1.2.3/8", pick(rng, &["::1", "fd00::/8", "::ffff:10.0.0.1"])]);
        server["proxy_protocol"] = json!(rng.bool());
    }
    if rng.bool() {
        let path = |rng: &mut Rng| {
            json!(pick(rng, &["/run/a.pem", "tls/b.pem", "file:/run/c.pem", "env.CA", "env.PATH_OF_PEM"]))
        };
        server["tls"] = json!({"cert": path(rng), "key": path(rng)});
        if rng.bool() {
            server["tls"]["client_ca"] = path(rng);
        }
    }
    if rng.bool() {
        server["admin_address"] =
            json!(pick(rng, &["127.0.0.1:1", "[::1]:8081", "Admin.Internal:9", "env.internal:9"]));
        server["admin_token"] = secret(rng, "ADMIN_TOKEN_OF_ENOUGH");
    }
    server
}

fn logs_store(rng: &mut Rng) -> Value {
    if rng.bool() {
        return json!({"enabled": rng.bool(), "type": "sqlite", "config": {"path": pick(rng, &["/l.db", "env.DB_PATH", "l.db"])}});
    }
    let config = json!({
        "port": any(rng, &[json!(5432), json!("5433"), json!("env.PORT")]), "password": secret(rng, "DB_WORD"),
        "ssl_mode": pick(rng, &["disable", "allow", "prefer", "env.SSL_MODE"])
    });
    let mut config = some(rng, config);
    for name in ["host", "user", "db_name"] {
        config[name] = [json!("a"), json!("env.OF_DB"), json!({"value": "env.a", "type": "plain_text"})]
            [rng.usize(..3)]
        .clone();
    }
    json!({"enabled": true, "type": "postgres", "config": config})
}

/// A secret in one of the forms that it may have.
fn secret(rng: &mut Rng, name: &str) -> Value {
    match rng.u8(..8) {
        0 => json!("literal-secret-0123456789"),
        1 => json!({"value": format!("env.{name}")}),
        2 => json!({"value": "****", "env_var": format!("env.{name}"), "from_env": true}),
        3 => json!({"value": "", "ref": format!("env.{name}"), "type": "env"}),
        4 => json!(format!("file:/run/secrets/{}", name.to_lowercase())),
        5 => json!({"value": "env.literal-secret-0123456789", "type": "plain_text"}),
        _ => json!(format!("env.{name}")),
    }
}

fn providers(rng: &mut Rng) -> Value {
    let mut providers = Map::new();
    let names = [
        "openai",
        "Anthropic",
        "groq",
        "perplexity",
        "runway",
        "azure",
        "vertex",
        "own-a",
        "Own/B",
        "own-c",
        "own.d",
    ];
    for (index, name) in names.iter().enumerate() {
        let (is_last, name) = (index + 1 == names.len(), name.replace('/', "-"));
        if rng.bool() || (is_last && providers.is_empty()) {
            let provider = provider(rng, &name);
            providers.insert(name, provider);
        }
    }
    let names: Vec<String> = providers.keys().cloned().collect();
    for provider in providers.values_mut() {
        if rng.bool() {
            provider["fallbacks"] = fallbacks(rng, &names);
        }
    }
    Value::Object(providers)
}

fn provider(rng: &mut Rng, name: &str) -> Value {
    let places =
        any(rng, &[json!({"concurrency": 0, "buffer_size": 0}), json!({"concurrency": 7, "buffer_size": 7})]);
    let mut provider = json!({
        "network_config": network(rng), "proxy_config": proxy(rng), "description": "a", "breaker": breaker(rng),
        "balance": pick(rng, &["weighted", "least_busy", "latency"]), "on_client_gone": pick(rng, &["cancel", "finish"]),
        "concurrency_and_buffer_size": places
    });
    provider = some(rng, provider);
    let is_custom = name.to_lowercase().starts_with("own");
    let is_key_less = is_custom && rng.bool();
    if is_custom {
        provider["custom_provider_config"] = custom(rng, is_key_less);
    }
    if !is_key_less || rng.bool() {
        let keys = (0..rng.usize(1..5)).map(|index| {
            let key = key(rng, &format!("{name} {index}"));
            in_a_cloud(rng, name, key)
        });
        provider["keys"] = keys.collect();
    }
    provider
}

/// A list of targets, or an object of such lists; a target's model is never that of its list.
fn fallbacks(rng: &mut Rng, names: &[String]) -> Value {
    let target = |rng: &mut Rng| {
        let (name, model) = (&names[rng.usize(..names.len())], pick(rng, &["spare", "o3/a"]));
        match rng.bool() {
            true => json!(format!("{name}/{model}")),
            false => json!({"provider": name.to_uppercase(), "model": model}),
        }
    };
    let list = |rng: &mut Rng| (0..rng.usize(..3)).map(|_| target(rng)).collect::<Value>();
    match rng.bool() {
        true => list(rng),
        false => {
            let members = json!({"*": list(rng), "gpt-4o": list(rng), "a/b~c": list(rng), "ä": null});
            some(rng, members)
        }
    }
}

fn breaker(rng: &mut Rng) -> Value {
    let members = json!({
        "failures_in_a_row": rng.u32(1..=1_000), "failure_ratio": any(rng, &[json!(1), json!(0.1), json!(1e-9)]),
        "requests_min": rng.u32(1..=100_000), "window_seconds": rng.u32(1..=60), "open_seconds": rng.u32(1..=3_600)
    });
    some(rng, members)
}

fn custom(rng: &mut Rng, is_key_less: bool) -> Value {
    let requests = json!({"list_models": rng.bool(), "chat_completion": rng.bool(), "chat_completion_stream": rng.bool(),
        "embedding": rng.bool()});
    let paths = json!({"chat_completion": pick(rng, &["/v2/chat", "chat?api-version=1", "", "/v1/chat/completions"]),
        "chat_completion_stream": "/v2/stream", "list_models": pick(rng, &["/v1/models", "/list"])});
    let members =
        json!({"allowed_requests": some(rng, requests), "request_path_overrides": some(rng, paths)});
    let mut custom = some(rng, members);
    custom["base_provider_type"] = json!(pick(rng, &["openai", "OpenAI", "anthropic", "replicate"]));
    custom["is_key_less"] = json!(is_key_less);
    custom
}

fn network(rng: &mut Rng) -> Value {
    let duration = |rng: &mut Rng| {
        [json!(rng.u32(1..5_000)), json!("1.5s"), json!("50ms"), json!("1500us"), json!(0)][rng.usize(..5)]
            .clone()
    };
    let initial = duration(rng);
    let ca = [json!("env.CA"), json!("file:/run/secrets/ca"), json!(include_str!("ca.pem")), json!("")]
        [rng.usize(..4)]
    .clone();
    let members = json!({
        "base_url": pick(rng, &["", "http://A.internal:80/v1/", "https://[::1]:9/x", "https://a/v1/v1", "http://10.0.0.1/y/"]),
        "extra_headers": several_headers(rng), "default_request_timeout_in_seconds": rng.u32(..=86_400),
        "stream_idle_timeout_in_seconds": rng.u32(..=3_600), "keep_alive_timeout_in_seconds": rng.u32(..=3_600),
        "max_retries": rng.u32(..5), "retry_backoff_initial": initial, "retry_backoff_max": rng.u32(5_000..1_000_000),
        "insecure_skip_verify": rng.bool(), "ca_cert_pem": ca, "max_conns_per_host": rng.u32(..20_000),
        "allow_private_network": rng.bool(), "first_token_timeout": duration(rng), "first_token_hold_ms": rng.u32(..=60_000)
    });
    some(rng, members)
}

fn several_headers(rng: &mut Rng) -> Value {
    let members = json!({"X-Team": "a", "x-env": "env.NAME", "X-Y": ""});
    some(rng, members)
}

fn proxy(rng: &mut Rng) -> Value {
    match rng.u8(..6) {
        0 => json!({"type": "none", "url": "no matter"}),
        1 => json!({"type": "environment", "ca_cert_pem": "env.CA"}),
        2 => json!({"type": "http", "url": "http://user:literal-secret@[fd00::1]:3128"}),
        3 => json!({"type": "http", "url": "env.PROXY_URL"}),
        4 => {
            json!({"type": "socks5", "url": "Proxy", "username": "env.PROXY_USER", "password": secret(rng, "PROXY_WORD")})
        }
        _ => {
            json!({"type": "http", "url": "proxy:1", "username": "u", "password": secret(rng, "PROXY_WORD"), "ca_cert_pem": ""})
        }
    }
}

const MODELS: [&str; 5] = ["gpt-4o", "gpt-4o-mini", "a/b~c", "ä", "env.X"];

fn key(rng: &mut Rng, name: &str) -> Value {
    let mut value = secret(rng, "API_KEY");
    if rng.u8(..4) == 0 {
        value = json!(pick(rng, &["", "env.UNSET", "file:/run/secrets/gone"]));
    }
    let models = if rng.bool() { several(rng, &MODELS) } else { json!(["*"]) };
    let denied = if rng.u8(..4) == 0 { json!(["*"]) } else { several(rng, &MODELS) };
    let members = json!({
        "id": format!("id of {name}"), "value": value, "models": models, "blacklisted_models": denied,
        "aliases": {"fast": "gpt-4o-mini", "slow/er": {"model_id": "o3", "region": "eu"}},
        "weight": any(rng, &[json!(0), json!(1), json!(2.0), json!(0.3), json!(1e9), json!(1e-7)]),
        "enabled": rng.bool()
    });
    let mut key = some(rng, members);
    key["name"] = json!(name);
    key
}

/// A key of a cloud says where its models are, and its aliases do not.
fn in_a_cloud(rng: &mut Rng, name: &str, mut key: Value) -> Value {
    let deployments = json!({"deployments": {"gpt-4o": "mine", "fast": {"model_id": "other"}}});
    let (section, mut said, more) = match name {
        "azure" => {
            let endpoint =
                pick(rng, &["https://A.openai.azure.com/", "http://10.0.0.1/x/openai/v1", "https://b:443"]);
            let version = pick(rng, &["", "v1", "preview", "2024-10-21", "env.API_VERSION"]);
            ("azure_key_config", json!({"endpoint": endpoint}), json!({"api_version": version}))
        }
        "vertex" => {
            let region = pick(rng, &["us-central1", "global", "eu", "env.REGION"]);
            let said = json!({"project_id": "my-project", "region": region});
            ("vertex_key_config", said, json!({"force_single_region": rng.bool()}))
        }
        _ => return key,
    };
    for more in [some(rng, more), some(rng, deployments)] {
        let Value::Object(more) = more else { continue };
        more.into_iter().for_each(|(name, value)| said[name] = value);
    }
    key["aliases"] = json!({"fast": "gpt-4o-mini"});
    key[section] = said;
    key
}

/// The same config in other words: names in capitals, aliases as objects, references as objects, spans as strings, lists that
/// are sets in another order.
pub fn respell(config: &mut Value, rng: &mut Rng) {
    let Some(providers) = config.get_mut("providers").and_then(Value::as_object_mut) else { return };
    let respelled = std::mem::take(providers).into_iter().map(|(name, mut provider)| {
        respell_provider(&mut provider, rng);
        (if rng.bool() { name.to_uppercase() } else { name.to_lowercase() }, provider)
    });
    *providers = respelled.collect();
}

fn respell_provider(provider: &mut Value, rng: &mut Rng) {
    if let Some(network) = provider.get_mut("network_config").and_then(Value::as_object_mut) {
        if let Some(Value::String(url)) = network.get_mut("base_url").filter(|url| *url != "") {
            url.push('/');
        }
        for name in ["retry_backoff_initial", "retry_backoff_max", "first_token_timeout"] {
            if let Some(span) = network.get_mut(name).filter(|span| span.is_u64()) {
                *span = json!(format!("{span}ms"));
            }
        }
    }
    for key in provider.get_mut("keys").and_then(Value::as_array_mut).into_iter().flatten() {
        for name in ["models", "blacklisted_models"] {
            if let Some(list) = key.get_mut(name).and_then(Value::as_array_mut) {
                rng.shuffle(list);
            }
        }
        for alias in
            key.get_mut("aliases").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut)
        {
            if alias.is_string() {
                *alias = json!({"model_id": alias, "description": "in other words"});
            }
        }
        if let Some(Value::String(name)) =
            key.get("value").filter(|value| value.as_str().is_some_and(|text| text.starts_with("env.")))
        {
            key["value"] = json!({"ref": name, "type": "env"});
        }
    }
}

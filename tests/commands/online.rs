//! `corelane check --online`: providers, proxies and log stores that are there, that are not, and that should not be
//! connected to.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::Duration;

use corelane::telemetry::sqlite::SqliteStore;
use serde_json::{Value, json};

use crate::support::node::{PATIENCE, free_address};
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::proxy::{self, Proxy};
use crate::support::tls::{Certificates, Goodbye, TlsFront};
use crate::support::upstream::Upstream;
use crate::{Ended, folder, run_in};

/// A provider that counts bytes: each connection's, once it has ended.
fn listener() -> (SocketAddr, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut bytes = Vec::new();
            let _ = stream.read_to_end(&mut bytes);
            let _ = sender.send(bytes);
        }
    });
    (address, receiver)
}

fn config(network: Value) -> Value {
    let keys = json!([{"name": "k", "value": "env.K", "models": ["*"]}]);
    json!({"version": 2, "providers": {"openai": {"keys": keys, "network_config": network}}})
}

fn check(config: &Value) -> Ended {
    let folder = folder(config.to_string());
    run_in(folder.path(), &[("K", "sk-of-k"), ("DB", PASSWORD)], &["check", "--online"])
}

#[test]
fn a_provider_is_connected_to_and_asked_nothing() {
    for host in ["127.0.0.1", "localhost"] {
        let (address, received) = listener();
        let url = format!("http://{host}:{}", address.port());
        let ended = check(&config(json!({"base_url": url})));
        ended.has(0, &[&format!("provider openai: {url}: connected in "), " ms\n", "config.json: good"]);
        assert_eq!(received.recv_timeout(PATIENCE), Ok(Vec::new()), "no byte was sent");
    }
}

#[test]
fn a_token_is_fetched_and_a_refusal_is_a_fault() {
    let body = r#"{"access_token":"a-token-of-entra","expires_in":3599}"#;
    let given = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let refused = "HTTP/1.1 401 No\r\ncontent-length: 26\r\n\r\n{\"error\":\"invalid_client\"}";
    let (endpoint, _received) = listener();
    for (answer, code, said) in
        [(given.as_str(), 0, ": fetched in "), (refused, 1, " answered 401: invalid_client\n")]
    {
        let entra = Upstream::answering(answer);
        let section = json!({
            "endpoint": format!("http://{endpoint}"), "authority_host": format!("http://{}", entra.address),
            "client_id": "c", "client_secret": "env.K", "tenant_id": "t"
        });
        let keys = json!([{"name": "k", "models": ["*"], "azure_key_config": section}]);
        let ended = check(&json!({"version": 2, "providers": {"azure": {"keys": keys}}}));
        let what = format!("token of Entra ID for azure/k: http://{}", entra.address);
        ended.has(code, &[&what, said]);
        assert_eq!(entra.requests().len(), 1);
        assert!(entra.last().text().contains("client_secret=sk-of-k"));
    }
}

#[test]
fn certificates_are_judged_as_for_a_request() {
    let certificates = Certificates::new();
    let (address, received) = listener();
    let config_of = |front: &TlsFront, roots: Option<&str>| {
        let url = format!("https://localhost:{}", front.address.port());
        config(match roots {
            Some(roots) => json!({"base_url": url, "ca_cert_pem": roots}),
            None => json!({"base_url": url}),
        })
    };
    let server = certificates.server_config(&certificates.server);
    let front = TlsFront::before(address, server, Goodbye::Notified);
    check(&config_of(&front, Some(&certificates.ca))).has(0, &["connected in ", ", TLS 1.3\n"]);
    assert_eq!(received.recv_timeout(PATIENCE), Ok(Vec::new()));
    check(&config_of(&front, None)).has(1, &["UnknownIssuer", "ca_cert_pem", "config.json: 1 fault"]);
    let expired = certificates.server_config(&certificates.expired());
    let front = TlsFront::before(address, expired, Goodbye::Notified);
    check(&config_of(&front, Some(&certificates.ca)))
        .has(1, &["provider openai: https://localhost", "expired"]);
}

#[test]
fn the_way_leads_through_the_proxy() {
    let (address, received) = listener();
    let certificates = Certificates::new();
    let server = certificates.server_config(&certificates.server);
    let front = TlsFront::before(address, server, Goodbye::Notified);
    for (kind, scheme) in [(proxy::CONNECT, "http"), (proxy::Kind::Socks, "socks5")] {
        let proxy = Proxy::start(kind, front.address);
        let mut config =
            config(json!({"base_url": "https://localhost:4433", "ca_cert_pem": certificates.ca}));
        let url = format!("{scheme}://{}", proxy.address);
        config["providers"]["openai"]["proxy_config"] = json!({"type": scheme, "url": url});
        let way = format!("https://localhost:4433 through the proxy {}: connected", proxy.address);
        check(&config).has(0, &[&way, "TLS 1.3"]);
        assert_eq!(proxy.asked().len(), 1);
        assert!(!proxy.asked()[0].to_ascii_lowercase().contains("\r\nauthorization"));
        assert_eq!(received.recv_timeout(PATIENCE), Ok(Vec::new()));
    }
    let forwarding = Proxy::start(proxy::CONNECT, address);
    let mut plain = config(json!({"base_url": "http://plain.test"}));
    let url = format!("http://{}", forwarding.address);
    plain["providers"]["openai"]["proxy_config"] = json!({"type": "http", "url": url});
    check(&plain).has(0, &["http://plain.test:80 through the proxy", "connected in "]);
    assert!(forwarding.asked().is_empty(), "such a proxy is asked by requests alone");
    let refusing = Proxy::start(proxy::Kind::SocksRefusing(2), front.address);
    let mut config = config(json!({"base_url": "https://localhost:4433"}));
    let url = format!("socks5://{}", refusing.address);
    config["providers"]["openai"]["proxy_config"] = json!({"type": "socks5", "url": url});
    check(&config).has(1, &["through the proxy", "config.json: 1 fault"]);
}

#[test]
fn what_cannot_be_or_must_not_be_connected_to_is_a_fault_each() {
    let closed = free_address();
    let mut config = config(json!({"base_url": format!("http://{closed}")}));
    let keys = json!([{"name": "other", "value": "env.K", "models": ["*"]}]);
    let network = json!({"base_url": "http://10.0.0.1:8000"});
    config["providers"]["anthropic"] = json!({"keys": keys, "network_config": network});
    let keys = json!([{"name": "third", "value": "env.K", "models": ["*"]}]);
    let network = json!({"base_url": "http://no-such-host.invalid"});
    config["providers"]["groq"] = json!({"keys": keys, "network_config": network});
    let ended = check(&config);
    ended.has(
        1,
        &["Connection refused", "allow_private_network", "no-such-host.invalid", "config.json: 3 faults"],
    );
    assert!(ended.stdout.is_empty(), "{ended:?}");
    let folder = folder(config.to_string());
    let report = run_in(folder.path(), &[("K", "sk-of-k")], &["check", "--online", "--json"]).json();
    let names: Vec<_> = report["online"].as_array().unwrap().iter().map(|one| one["what"].clone()).collect();
    assert_eq!(names, ["provider anthropic", "provider groq", "provider openai"]);
    assert!(
        report["online"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["fault"].is_string() && one["ms"].is_null())
    );
    assert_eq!(report["faults"].as_array().unwrap().len(), 3);
}

#[test]
fn a_silent_peer_costs_a_bounded_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let began = std::time::Instant::now();
    let mut config = config(json!({"base_url": url}));
    for index in 0..15 {
        let keys = json!([{"name": format!("k{index}"), "value": "env.K", "models": ["*"]}]);
        let custom = json!({"base_provider_type": "openai"});
        config["providers"][format!("mine{index}")] =
            json!({"keys": keys, "network_config": {"base_url": url}, "custom_provider_config": custom});
    }
    check(&config).has(1, &["TLS handshake", "config.json: 16 faults"]);
    assert!(began.elapsed() < PATIENCE.min(Duration::from_secs(30)), "side by side: {:?}", began.elapsed());
}

fn with_store(store: Value) -> Value {
    let (address, _received) = listener();
    let mut config = config(json!({"base_url": format!("http://{address}")}));
    config["logs_store"] = store;
    config
}

fn postgres_store(postgres: &Postgres, database: &str, user: &str) -> Value {
    json!({"enabled": true, "type": "postgres", "config": {
        "host": postgres.host(), "port": 5432, "user": user, "password": "env.DB",
        "db_name": database, "ssl_mode": "disable",
    }})
}

#[test]
fn a_database_is_tried_and_left_as_it_was() {
    let postgres = Postgres::shared();
    postgres.database("online_good");
    let config = with_store(postgres_store(&postgres, "online_good", "corelane"));
    let line = format!("log store: postgres {}:5432/online_good: connected in ", postgres.host());
    for _ in 0..2 {
        check(&config).has(0, &[&line, "good"]);
    }
    assert_eq!(
        postgres.number("online_good", "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"),
        0
    );
}

#[test]
fn a_database_that_will_not_do_is_said_with_what_helps() {
    let postgres = Postgres::shared();
    postgres.run("postgres", "CREATE DATABASE online_ascii ENCODING 'SQL_ASCII' TEMPLATE template0");
    let ascii = check(&with_store(postgres_store(&postgres, "online_ascii", "corelane")));
    ascii.has(1, &["SQL_ASCII", "CREATE DATABASE online_ascii_utf8 ENCODING 'UTF8' TEMPLATE template0;"]);
    postgres.database("online_poor");
    postgres.run("postgres", &format!("CREATE ROLE poor LOGIN PASSWORD '{PASSWORD}'"));
    postgres.run("online_poor", "REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    check(&with_store(postgres_store(&postgres, "online_poor", "poor"))).has(1, &["GRANT CREATE", "TO poor"]);
    check(&with_store(postgres_store(&postgres, "online_nowhere", "corelane"))).has(1, &["db_name"]);
    let foreign = "CREATE TABLE logs (id integer)";
    postgres.database("online_foreign");
    postgres.run("online_foreign", foreign);
    check(&with_store(postgres_store(&postgres, "online_foreign", "corelane"))).has(1, &["did not create"]);
    let gone = json!({"enabled": true, "type": "postgres", "config": {
        "host": "127.0.0.1", "port": free_address().port(), "user": "u", "password": "env.DB",
        "db_name": "d", "ssl_mode": "disable",
    }});
    check(&with_store(gone)).has(1, &["log store: postgres 127.0.0.1", "refused"]);
}

#[test]
fn sqlite_needs_a_folder_that_takes_files() {
    let store = |path: &str| json!({"enabled": true, "type": "sqlite", "config": {"path": path}});
    let folder = folder(with_store(store("logs.db")).to_string());
    let check = |folder: &std::path::Path| run_in(folder, &[("K", "sk-of-k")], &["check", "--online"]);
    check(folder.path()).has(0, &["log store: sqlite logs.db: connected in "]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was left");
    fs::write(folder.path().join("logs.db"), "not a database, and long enough to be taken for one at first")
        .unwrap();
    check(folder.path()).has(1, &["log store: sqlite logs.db", "logs_store.config.path"]);
    fs::remove_file(folder.path().join("logs.db")).unwrap();
    let _node = SqliteStore::open(&folder.path().join("logs.db")).unwrap();
    check(folder.path()).has(0, &["log store: sqlite logs.db: connected in "]);
    let foreign = rusqlite::Connection::open(folder.path().join("foreign.db")).unwrap();
    foreign.execute_batch("CREATE TABLE logs (id INTEGER)").unwrap();
    let config = with_store(store("foreign.db")).to_string();
    fs::write(folder.path().join("config.json"), config).unwrap();
    check(folder.path()).has(1, &["foreign.db has a table \"logs\" that corelane did not create"]);
    let nowhere = with_store(store("no/such/folder/logs.db")).to_string();
    fs::write(folder.path().join("config.json"), nowhere).unwrap();
    check(folder.path()).has(1, &["no/such/folder/logs.db", "its folder takes no files"]);
}

#[test]
fn a_store_that_is_not_written_is_not_tried() {
    let mut config =
        with_store(json!({"enabled": true, "type": "sqlite", "config": {"path": "/no/such/logs.db"}}));
    config["client"] = json!({"enable_logging": false});
    let ended = check(&config);
    ended.has(0, &["good"]);
    assert!(!ended.stdout.contains("log store"), "{ended:?}");
}

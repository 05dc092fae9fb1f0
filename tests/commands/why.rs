//! `corelane why`: what it says of rows of each kind, from SQLite and from a PostgreSQL server, and of those that it does not
//! find.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use corelane::chat::Usage;
use corelane::config::snapshot::LogsStore;
use corelane::dialect::Dialect;
use corelane::telemetry::record::{Attempted, Outcome, Record};
use corelane::telemetry::row::Row;
use corelane::telemetry::sqlite::SqliteStore;
use corelane::telemetry::store::{Store, StoreState, open_store};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::node::{DRIVERS, KEYS, Node};
use crate::support::postgres::{PASSWORD, Postgres, USER};
use crate::support::upstream::Upstream;
use crate::{Ended, compare, folder, run_in};

/// 2023-11-14T22:13:20.123Z.
const AT_MS: u64 = 1_700_000_000_123;

/// The id of that time that ends so.
fn id(number: u8) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(AT_MS, &[0, 0, 0, 0, 0, 0, 0, 0, 0, number]).into_uuid()
}

fn by(provider: &str, key: &str) -> Option<Box<(String, String)>> {
    Some(Box::new((provider.to_owned(), key.to_owned())))
}

fn attempted(leg: u16, by: Option<Box<(String, String)>>, outcome: Outcome) -> Attempted {
    Attempted { leg, by, outcome, wait_us: 0, took_us: 12_345, queued_us: 0 }
}

/// One that its first attempt served.
fn served(number: u8) -> Record {
    Record {
        id: id(number),
        timestamp_us: i64::try_from(AT_MS).unwrap() * 1_000 + 456,
        dialect: Dialect::OpenAi,
        object_type: "chat.completion",
        provider: "openai".to_owned(),
        model: "gpt-4o".to_owned(),
        status_code: 200,
        error_kind: None,
        error_message: None,
        stream: true,
        selected_key_name: "second".to_owned(),
        selected_key_id: "2".to_owned(),
        attempts: 1,
        fallback_index: 0,
        trail: vec![attempted(0, None, Outcome::Status(200))],
        decision: Some(
            json!({
                "version": 1, "seed": "7", "model": "gpt-4o", "home": "openai", "stream": true, "session": "99",
                "deadline_ns": 600_000_000_000_u64,
                "steps": [{"leg": 0, "key": "second", "because": "first", "by": "session", "seen": [
                    {"provider": "openai", "key": "first", "state": "cooling", "until_ns": 4_200_000_000_u64},
                    {"provider": "openai", "key": "second", "state": "passing", "share": 0.25, "in_flight": 3, "latency_us": 1500.0},
                ]}],
                "legs": [{"leg": 0, "provider": "openai", "model": "gpt-4o", "keys": [
                    {"key": "first", "weight": 3}, {"key": "second", "weight": 0.5},
                    {"key": "third", "weight": 1, "out": ["disabled", "no_value"]},
                    {"key": "fourth", "weight": 1, "out": ["denied"]}, {"key": "fifth", "weight": 1, "out": ["not_listed"]},
                ]}],
            })
            .to_string(),
        ),
        latency_us: 1_234_567,
        first_token_us: Some(900),
        overhead_us: 41,
        usage: Some(Usage { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12, ..Usage::default() }),
        client_ip: std::net::IpAddr::from([192, 0, 2, 7]),
        core: 1,
        generation: 3,
        input: Some(br#"{"messages":[{"role":"user","content":"a-secret-word"}]}"#.to_vec()),
        output: None,
        content_truncated: false,
    }
}

/// One that three attempts did not serve, and a fourth did, elsewhere.
fn fell_back(number: u8) -> Record {
    let decision = json!({
        "version": 1, "seed": "7", "model": "openai/gpt-4o", "deadline_ns": 600_000_000_000_u64,
        "fallbacks": ["nobody/x", "own/"],
        "steps": [
            {"leg": 0, "key": "first", "because": "first", "by": "drawn", "draw": 0.314_159_265},
            {"leg": 0, "key": "second", "because": "rotation", "by": "only", "failed": "limited", "retry_after_ns": 9_000_000_000_u64,
                "at_ns": 12_000_000, "seen": [{"provider": "openai", "key": "first", "state": "cooling", "until_ns": 9_012_000_000_u64}]},
            {"leg": 0, "key": "second", "because": "retry", "by": "same", "failed": "transient", "at_ns": 50_000_000, "after_ns": 500_000_000, "seen": [
                {"provider": "openai", "key": "first", "later": true, "state": "cooling", "until_ns": 9_012_000_000_u64}]},
            {"leg": 2, "because": "fallback", "by": "least_bad", "failed": "transient",
                "seen": [{"provider": "own", "state": "open", "until_ns": 700_000_000}], "at_ns": 600_000_000},
        ],
        "legs": [
            {"leg": 0, "provider": "openai", "model": "gpt-4o", "balance": "least_busy",
                "keys": [{"key": "first", "weight": 1}, {"key": "second", "weight": 1}]},
            {"leg": 1, "name": "nobody/x", "skipped": "provider_not_configured"},
            {"leg": 2, "provider": "own", "model": "gpt-4o", "keys": []},
        ],
        "left_out": 2,
    });
    let waited = Attempted {
        wait_us: 500_000,
        ..attempted(0, by("openai", "second"), Outcome::Fault("request_timed_out"))
    };
    Record {
        provider: "own".to_owned(),
        selected_key_name: String::new(),
        stream: false,
        attempts: 4,
        fallback_index: 2,
        trail: vec![
            attempted(0, by("openai", "first"), Outcome::Status(429)),
            attempted(0, by("openai", "second"), Outcome::Status(503)),
            waited,
            Attempted { queued_us: 10_200, ..attempted(2, None, Outcome::Status(200)) },
        ],
        decision: Some(decision.to_string()),
        ..served(number)
    }
}

/// One that was given up.
fn failed(number: u8) -> Record {
    let decision = json!({
        "version": 1, "seed": "7", "model": "own/m", "pin": "k", "deadline_ns": 600_000_000_000_u64, "fallbacks": [],
        "steps": [{"leg": 0, "key": "k", "because": "first", "by": "pinned"}, {"because": "end", "failed": "refused"}],
        "legs": [{"leg": 0, "provider": "own", "model": "m", "keys": [
            {"key": "k", "weight": 0}, {"key": "\u{1b}[2J", "weight": 1, "out": ["not_pinned", "weight_zero"]}]}],
    });
    Record {
        provider: "own".to_owned(),
        model: "m".to_owned(),
        selected_key_name: "k".to_owned(),
        status_code: 502,
        error_kind: Some("provider_credentials_exhausted"),
        error_message: Some("provider own refused every key \u{1b}[2J".to_owned()),
        trail: vec![attempted(0, None, Outcome::Status(401))],
        decision: Some(decision.to_string()),
        ..served(number)
    }
}

/// One that no provider was asked for.
fn refused(number: u8) -> Record {
    Record {
        provider: String::new(),
        model: "gpt-9".to_owned(),
        selected_key_name: String::new(),
        status_code: 400,
        error_kind: Some("model_not_found"),
        error_message: Some("model \"gpt-9\": no configured provider lists it".to_owned()),
        attempts: 0,
        trail: Vec::new(),
        decision: None,
        ..served(number)
    }
}

fn rows() -> Vec<Row> {
    let records = [served(1), fell_back(2), failed(3), refused(4)];
    records.into_iter().map(|record| Row::new(record, &Arc::from("node-1"))).collect()
}

fn why(folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Ended {
    run_in(folder, variables, &[&["why"], arguments].concat())
}

fn config(logs_store: &Value) -> String {
    let keys = json!([{"name": "k", "value": "env.UNSET_HERE", "models": ["*"]}]);
    json!({"providers": {"openai": {"keys": keys}}, "logs_store": logs_store}).to_string()
}

fn in_file() -> Value {
    json!({"enabled": true, "type": "sqlite", "config": {"path": "logs.db"}})
}

#[test]
fn a_row_is_told_in_words() {
    let folder = folder(config(&in_file()));
    SqliteStore::open(&folder.path().join("logs.db")).unwrap().write(&rows()).unwrap();
    for (number, name) in [(1, "why_served"), (2, "why_fell_back"), (3, "why_failed"), (4, "why_refused")] {
        compare(name, &why(folder.path(), &[], &[&id(number).to_string()]));
    }
    compare("why_json", &why(folder.path(), &[], &[&id(2).to_string(), "--json"]));
}

#[test]
fn a_row_of_postgres_is_told_alike() {
    let postgres = Postgres::shared();
    let settings = LogsStore::Postgres(postgres.database("why"));
    let StoreState::Ready(mut store) = open_store(&settings, Duration::from_secs(30)).unwrap() else {
        panic!("not reached")
    };
    store.write(&rows()).unwrap();
    let logs_store = json!({"enabled": true, "type": "postgres", "config": {
        "host": postgres.host(), "user": USER, "password": "env.DB", "db_name": "why", "ssl_mode": "disable"}});
    let folder = folder(config(&logs_store));
    let ask =
        |number: u8, variables: &[(&str, &str)]| why(folder.path(), variables, &[&id(number).to_string()]);
    let known = [("DB", PASSWORD)];
    for (number, name) in [(1, "why_served"), (2, "why_fell_back"), (3, "why_failed"), (4, "why_refused")] {
        compare(name, &ask(number, &known));
    }
    ask(9, &known).has(
        1,
        &["there is no row", "the PostgreSQL database \"why\" at ", "2023-11-14T22:13:20Z", "up to a second"],
    );
    ask(1, &[]).has(1, &["logs_store.config.password is env.DB, which has no value here"]);
    ask(1, &[("DB", "wrong")]).has(1, &["password authentication failed", "Check user and password"]);
    // As a node of an earlier version made it.
    postgres.run("why", "ALTER TABLE logs DROP COLUMN decision; ALTER TABLE logs DROP COLUMN attempt_trail");
    ask(1, &known).has(0, &["no decision can be told: the row holds none", "the row holds no attempt trail"]);
    postgres.run("why", "DROP TABLE logs");
    ask(1, &known).has(1, &["\"logs\" does not exist"]);
}

#[test]
fn what_cannot_be_found_is_said_with_where_it_was_looked_for() {
    let folder = folder(config(&in_file()));
    let ask = |arguments: &[&str]| why(folder.path(), &[], arguments);
    let wanted = id(1).to_string();
    ask(&[&wanted]).has(1, &["there is no file logs.db"]);
    SqliteStore::open(&folder.path().join("logs.db")).unwrap();
    ask(&[&wanted]).has(
        1,
        &[&wanted, "there is no row", "the SQLite file logs.db", "2023-11-14T22:13:20Z", "corelane streams"],
    );
    let document = ask(&[&wanted, "--json"]).json();
    assert_eq!(document["id"], wanted);
    assert!(document["error"].as_str().unwrap().starts_with("there is no row"), "{document}");
    for text in ["", "req_123", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", &format!("{wanted}0")] {
        ask(&[text]).has(2, &["is no request id of corelane's", "x-corelane-request-id"]);
    }
    ask(&[]).has(2, &["REQUEST_ID"]);
    let without = crate::folder(config(&json!({"enabled": false})));
    why(without.path(), &[], &[&wanted]).has(1, &["no log store"]);
    let faulty = crate::folder("{}");
    why(faulty.path(), &[], &[&wanted]).has(1, &["no \"providers\""]);
}

/// From the request to the words.
#[test]
fn a_node_writes_what_is_told() {
    for driver in DRIVERS {
        let refused = "HTTP/1.1 503 Reason\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        let upstream = Upstream::answering(refused.as_bytes().to_vec());
        let network = json!({"base_url": format!("http://{}", upstream.address), "max_retries": 1,
            "retry_backoff_initial": 1, "retry_backoff_max": 1});
        let keys = json!([{"name": "first", "value": "env.OPENAI_API_KEY", "models": ["gpt-4o"]}]);
        let config = json!({
            "providers": {"openai": {"keys": keys, "network_config": network}},
            "logs_store": {"enabled": true, "type": "sqlite", "config": {"path": "logs.db"}},
        });
        let node = Node::start(&config.to_string(), driver);
        let answer = node.post("/v1/chat/completions", r#"{"model":"openai/gpt-4o","messages":[]}"#);
        let id = answer.lines().find_map(|line| line.strip_prefix("x-corelane-request-id: ")).unwrap();
        let words = why(node.folder.path(), &KEYS, &[id]);
        words.has(
            0,
            &[
                id,
                "503 upstream_status, by openai by key \"first\", model gpt-4o, after 2 attempts",
                "the primary: provider openai, model gpt-4o; a key by weight",
                "1. openai by key \"first\": 503 in ",
                "2. openai by key \"first\", after a wait of ",
                "a retry, as the one before was a failure that may pass",
                "then it gave up",
            ],
        );
        let row = why(node.folder.path(), &KEYS, &[id, "--json"]).json();
        assert_eq!(row["attempt_trail"].as_array().map(Vec::len), Some(2), "{row:#}");
        assert_eq!((&row["number_of_retries"], &row["fallback_index"]), (&json!(1), &json!(0)), "{row:#}");
        assert_eq!(row["decision"]["model"], "openai/gpt-4o", "{row:#}");
    }
}

//! The log plane against real stores: a PostgreSQL server of the tests' own, and SQLite files. What is pushed is there,
//! each row once, whatever happens to the database; what is not there is counted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's failure")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tests share a server and wait on conditions"
)]

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use corelane::chat::Usage;
use corelane::config::snapshot::{self, LogsStore, Secret};
use corelane::dialect::Dialect;
use corelane::telemetry::postgres::PostgresStore;
use corelane::telemetry::record::{Attempted, Outcome, Record};
use corelane::telemetry::ring::{Consumer, Producer, ring};
use corelane::telemetry::row::Row;
use corelane::telemetry::sqlite::SqliteStore;
use corelane::telemetry::store::{StartError, Store, StoreError, StoreState, open_store};
use corelane::telemetry::writer::{Handle, Log, LogGauges, Settings};
use uuid::Uuid;

#[path = "log/earlier.rs"]
mod earlier;
mod support;

use support::postgres::Postgres;

const INPUT: &str =
    r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"temperature":0.5}"#;
const OUTPUT: &str = r#"{"id":"x","choices":[{"message":{"role":"assistant","content":"ho"}}]}"#;

fn record() -> Record {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Record {
        id: Uuid::now_v7(),
        timestamp_us: i64::try_from(now.as_micros()).unwrap(),
        dialect: Dialect::OpenAi,
        object_type: "chat.completion",
        provider: "openai".to_owned(),
        model: "gpt-4o-mini".to_owned(),
        status_code: 200,
        error_kind: None,
        error_message: None,
        stream: false,
        selected_key_name: "first".to_owned(),
        selected_key_id: "key-1".to_owned(),
        attempts: 2,
        fallback_index: 1,
        trail: trail(),
        decision: Some(DECISION.to_owned()),
        latency_us: 1_500,
        first_token_us: Some(900),
        overhead_us: 40,
        usage: Some(Usage { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12, ..Usage::default() }),
        client_ip: std::net::IpAddr::from([192, 0, 2, 7]),
        core: 1,
        generation: 3,
        input: Some(INPUT.into()),
        output: Some(OUTPUT.into()),
        content_truncated: false,
    }
}

/// A retry on another key, and a fallback.
fn trail() -> Vec<Attempted> {
    let by = |provider: &str, key: &str| Some(Box::new((provider.to_owned(), key.to_owned())));
    let attempted =
        |leg, by, outcome| Attempted { leg, by, outcome, wait_us: 0, took_us: 1_000, queued_us: 0 };
    vec![
        attempted(0, by("own", "a"), Outcome::Fault("upstream_unreachable")),
        Attempted { wait_us: 500_000, ..attempted(0, by("own", "b"), Outcome::Status(429)) },
        attempted(1, None, Outcome::Status(200)),
    ]
}

const DECISION: &str = r#"{"version":1,"model":"own/m"}"#;

fn row(record: Record) -> Row {
    Row::new(record, &Arc::from("node-1"))
}

fn quick() -> Settings {
    Settings { batch_interval: Duration::from_millis(20), ..Settings::new("node-1") }
}

fn started(store: Box<dyn Store>, settings: Settings, rings: usize) -> (Handle, Vec<Producer>) {
    let (producers, consumers): (Vec<Producer>, Vec<Consumer>) = (0..rings).map(|_| ring()).unzip();
    (Log::start(settings, StoreState::Ready(store), consumers).unwrap(), producers)
}

fn ready(store: &LogsStore) -> Box<dyn Store> {
    match open_store(store, Duration::from_secs(10)).unwrap() {
        StoreState::Ready(store) => store,
        StoreState::Unreachable(_, why) => panic!("unreachable: {why}"),
    }
}

fn refused(store: &LogsStore) -> StartError {
    open_store(store, Duration::from_secs(10)).expect_err("the start should be refused")
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn eventually(handle: &Handle, what: &str, is_so: impl Fn(&LogGauges) -> bool) {
    let deadline = soon();
    while !is_so(&handle.gauges()) {
        assert!(Instant::now() < deadline, "not within the deadline: {what}; {:?}", handle.gauges());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn every_record_becomes_one_row() {
    let postgres = Postgres::shared();
    postgres.database("every");
    let (handle, producers) = started(ready(&postgres.logs_store("every")), quick(), 3);
    for _ in 0..1_500 {
        for producer in &producers {
            producer.push(record());
        }
    }
    let counts = handle.finish(soon());
    assert_eq!((counts.written, counts.kept, counts.dropped_shutdown), (4_500, 0, 0));
    assert_eq!(postgres.number("every", "SELECT count(*) FROM logs"), 4_500);
    assert_eq!(postgres.number("every", "SELECT count(DISTINCT id) FROM logs"), 4_500);
}

#[test]
fn a_row_says_what_the_record_knew() {
    let postgres = Postgres::shared();
    postgres.database("says");
    let mut store = ready(&postgres.logs_store("says"));
    let known = record();
    let (id, timestamp_us) = (known.id, known.timestamp_us);
    store.write(&[row(known)]).unwrap();
    let sql = format!("SELECT to_jsonb(logs)::text FROM logs WHERE id = '{id}'");
    let text: String = postgres.client("says").query_one(&sql, &[]).unwrap().get(0);
    let row: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (column, value) in [
        ("object_type", serde_json::json!("chat.completion")),
        ("provider", "openai".into()),
        ("model", "gpt-4o-mini".into()),
        ("number_of_retries", 1.into()),
        ("fallback_index", 1.into()),
        ("decision", DECISION.into()),
        ("attempts", 2.into()),
        ("selected_key_id", "key-1".into()),
        ("selected_key_name", "first".into()),
        ("input_history", r#"[{"role":"user","content":"hi"}]"#.into()),
        ("output_message", r#"{"role":"assistant","content":"ho"}"#.into()),
        ("params", r#"{"temperature":0.5}"#.into()),
        ("tools", serde_json::Value::Null),
        ("latency", 1.5.into()),
        ("prompt_tokens", 7.into()),
        ("completion_tokens", 5.into()),
        ("total_tokens", 12.into()),
        ("cost", serde_json::Value::Null),
        ("status", "success".into()),
        ("error_kind", serde_json::Value::Null),
        ("stream", false.into()),
        ("status_code", 200.into()),
        ("node", "node-1".into()),
        ("core", 1.into()),
        ("generation", 3.into()),
        ("first_token_ms", 0.9.into()),
        ("overhead_us", 40.into()),
        ("content_truncated", false.into()),
        ("client_ip", "192.0.2.7".into()),
    ] {
        assert_eq!(row[column], value, "{column}");
    }
    let trail: serde_json::Value = serde_json::from_str(row["attempt_trail"].as_str().unwrap()).unwrap();
    assert_eq!(
        trail,
        serde_json::json!([
            {"leg": 0, "provider": "own", "key": "a", "error": "upstream_unreachable", "wait_ms": 0, "took_ms": 1},
            {"leg": 0, "provider": "own", "key": "b", "status": 429, "wait_ms": 500, "took_ms": 1},
            {"leg": 1, "provider": "openai", "key": "first", "status": 200, "wait_ms": 0, "took_ms": 1},
        ])
    );
    let us = "SELECT (extract(epoch FROM timestamp) * 1000000)::bigint FROM logs";
    assert_eq!(postgres.number("says", us), timestamp_us);
}

#[test]
fn tokens_that_nobody_reported_are_null() {
    let postgres = Postgres::shared();
    postgres.database("unreported");
    let mut store = ready(&postgres.logs_store("unreported"));
    store.write(&[row(Record { usage: None, ..record() })]).unwrap();
    let sql = "SELECT count(*) FROM logs WHERE prompt_tokens IS NULL AND token_usage IS NULL";
    assert_eq!(postgres.number("unreported", sql), 1);
}

#[test]
fn a_batch_written_twice_is_there_once() {
    let postgres = Postgres::shared();
    postgres.database("twice");
    let mut store = ready(&postgres.logs_store("twice"));
    let rows: Vec<Row> = (0..10).map(|_| row(record())).collect();
    store.write(&rows[..6]).unwrap();
    store.write(&rows).unwrap();
    assert_eq!(postgres.number("twice", "SELECT count(*) FROM logs"), 10);
}

#[test]
fn rows_of_other_days_find_their_partition() {
    let postgres = Postgres::shared();
    postgres.database("days");
    let mut store = ready(&postgres.logs_store("days"));
    let day_us = 86_400_000_000;
    let days = [0, -1, 40].map(|days| {
        let known = record();
        row(Record { timestamp_us: known.timestamp_us + days * day_us, ..known })
    });
    store.write(&days).unwrap();
    assert_eq!(postgres.number("days", "SELECT count(*) FROM logs"), 3);
    // Today's and tomorrow's, yesterday's and the far one.
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'logs'::regclass";
    assert_eq!(postgres.number("days", partitions), 4);
}

#[test]
fn a_partition_dropped_behind_our_back_is_made_again() {
    let postgres = Postgres::shared();
    postgres.database("dropped");
    let (handle, producers) = started(ready(&postgres.logs_store("dropped")), quick(), 1);
    producers[0].push(record());
    eventually(&handle, "the first row is written", |gauges| gauges.written == 1);
    let drop_all = "DO $$ DECLARE day regclass; BEGIN FOR day IN SELECT inhrelid::regclass FROM pg_inherits \
                    WHERE inhparent = 'logs'::regclass LOOP EXECUTE 'DROP TABLE ' || day; END LOOP; END $$";
    postgres.run("dropped", drop_all);
    producers[0].push(record());
    let counts = handle.finish(soon());
    assert_eq!((counts.written, counts.dropped_store_refused), (2, 0));
    assert_eq!(postgres.number("dropped", "SELECT count(*) FROM logs"), 1);
}

#[test]
fn nul_and_invalid_utf8_stay_readable() {
    let postgres = Postgres::shared();
    postgres.database("bytes");
    let (handle, producers) = started(ready(&postgres.logs_store("bytes")), quick(), 1);
    producers[0].push(Record {
        model: "a\0b".to_owned(),
        error_kind: Some("upstream_status"),
        error_message: Some("c\0d".to_owned()),
        input: Some(b"{\"messages\":[\"e\\u0000\xff\"]}".to_vec()),
        output: Some(b"\0\xff not json".to_vec()),
        ..record()
    });
    let counts = handle.finish(soon());
    assert_eq!((counts.written, counts.dropped_store_refused), (1, 0));
    let sql = "SELECT count(*) FROM logs WHERE model = E'a\\ufffdb' AND input_history::jsonb->>0 = E'e\\ufffd\\ufffd' \
               AND output_message::jsonb #>> '{}' = E'\\ufffd\\ufffd not json' AND error_details LIKE '%c\u{fffd}d%'";
    assert_eq!(postgres.number("bytes", sql), 1);
}

#[test]
fn a_refused_row_is_set_aside_alone() {
    let postgres = Postgres::shared();
    postgres.database("poison");
    let store = ready(&postgres.logs_store("poison"));
    postgres.run("poison", "ALTER TABLE logs ADD CHECK (model <> 'poison')");
    let (handle, producers) = started(store, quick(), 1);
    for number in 0..100 {
        let model = if number % 40 == 7 { "poison" } else { "fine" };
        producers[0].push(Record { model: model.to_owned(), ..record() });
    }
    let counts = handle.finish(soon());
    assert_eq!((counts.written, counts.dropped_store_refused), (97, 3));
    assert_eq!(postgres.number("poison", "SELECT count(*) FROM logs"), 97);
}

#[test]
fn a_column_that_we_do_not_know_and_must_not_be_null_keeps_rows_waiting() {
    let postgres = Postgres::shared();
    postgres.database("foreign_column");
    let store = ready(&postgres.logs_store("foreign_column"));
    postgres.run("foreign_column", "ALTER TABLE logs ADD team text NOT NULL");
    let (handle, producers) = started(store, quick(), 1);
    producers[0].push(record());
    eventually(&handle, "the write fails", |gauges| gauges.failures > 0 && !gauges.is_up);
    postgres.run("foreign_column", "ALTER TABLE logs ALTER team SET DEFAULT ''");
    let counts = handle.finish(soon());
    assert_eq!((counts.written, counts.dropped_store_refused), (1, 0));
}

#[test]
fn a_table_that_was_dropped_is_made_again() {
    let postgres = Postgres::shared();
    postgres.database("table_gone");
    let (handle, producers) = started(ready(&postgres.logs_store("table_gone")), quick(), 1);
    producers[0].push(record());
    eventually(&handle, "the first row is written", |gauges| gauges.written == 1);
    postgres.run("table_gone", "DROP TABLE logs");
    producers[0].push(record());
    let counts = handle.finish(soon());
    assert_eq!((counts.written, counts.dropped_store_refused), (2, 0));
    assert_eq!(postgres.number("table_gone", "SELECT count(*) FROM logs"), 1);
}

#[test]
fn rows_wait_for_a_database_that_died_and_came_back() {
    let postgres = Postgres::started();
    postgres.database("logs");
    let (handle, producers) = started(ready(&postgres.logs_store("logs")), quick(), 1);
    for _ in 0..10 {
        producers[0].push(record());
    }
    eventually(&handle, "the first rows are written", |gauges| gauges.written == 10);
    postgres.stop();
    for _ in 0..50 {
        producers[0].push(record());
    }
    eventually(&handle, "the store is seen to be down", |gauges| !gauges.is_up && gauges.kept == 50);
    postgres.start();
    eventually(&handle, "the kept rows are written", |gauges| gauges.written == 60 && gauges.is_up);
    postgres.run("logs", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'logs'");
    producers[0].push(record());
    let counts = handle.finish(soon());
    assert_eq!((counts.written, counts.dropped_shutdown), (61, 0));
    assert_eq!(postgres.number("logs", "SELECT count(*) FROM logs"), 61);
}

#[test]
fn a_database_that_is_not_there_at_start_gets_its_rows_later() {
    let postgres = Postgres::stopped();
    let mut settings = postgres.settings("postgres");
    let StoreState::Unreachable(store, why) =
        open_store(&LogsStore::Postgres(settings.clone()), soon() - Instant::now()).unwrap()
    else {
        panic!("nothing should answer");
    };
    assert!(why.contains(&settings.host), "{why}");
    settings.password = None;
    let (handle, producers) = started(store, quick(), 1);
    producers[0].push(record());
    eventually(&handle, "a write failed", |gauges| gauges.failures > 0);
    postgres.start();
    eventually(&handle, "the row is written", |gauges| gauges.written == 1);
    handle.finish(soon());
}

#[test]
fn a_server_that_says_nothing_does_not_hold_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let _listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
    let settings = snapshot::Postgres {
        host: folder.path().display().to_string(),
        port: 5432,
        user: "u".to_owned(),
        password: None,
        db_name: "d".to_owned(),
        ssl_mode: snapshot::SslMode::Prefer,
    };
    let state = open_store(&LogsStore::Postgres(settings), Duration::from_millis(200)).unwrap();
    assert!(matches!(state, StoreState::Unreachable(_, why) if why.contains("did not answer within")));
}

#[test]
fn a_database_that_is_not_utf8_is_refused_with_the_command_that_helps() {
    let postgres = Postgres::shared();
    postgres.run("postgres", "CREATE DATABASE legacy ENCODING 'SQL_ASCII' TEMPLATE template0");
    let error = refused(&postgres.logs_store("legacy"));
    let StartError::NotUtf8 { encoding, command, .. } = &error else { panic!("{error}") };
    assert_eq!(encoding, "SQL_ASCII");
    assert_eq!(command, "CREATE DATABASE legacy_utf8 ENCODING 'UTF8' TEMPLATE template0;");
    assert!(error.to_string().contains(command));
    postgres.run("postgres", command);
    ready(&postgres.logs_store("legacy_utf8"));
}

#[test]
fn wrong_credentials_are_refused_by_name_and_without_the_password() {
    let postgres = Postgres::shared();
    let settings = postgres.settings("postgres");
    let wrong = "not-the-word";
    for (settings, named, key) in [
        (
            snapshot::Postgres { password: Some(Secret::new(wrong)), ..settings.clone() },
            "corelane",
            "password",
        ),
        (snapshot::Postgres { password: None, ..settings.clone() }, "password missing", "password"),
        (snapshot::Postgres { user: "nobody_here".to_owned(), ..settings.clone() }, "nobody_here", "user"),
        (snapshot::Postgres { db_name: "nowhere".to_owned(), ..settings.clone() }, "nowhere", "db_name"),
    ] {
        let error = refused(&LogsStore::Postgres(settings));
        assert!(matches!(error, StartError::Credentials { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(named) && text.contains(key) && !text.contains(wrong), "{text}");
    }
}

#[test]
fn a_role_that_may_not_create_is_told_the_grant() {
    let postgres = Postgres::shared();
    postgres.database("granted");
    postgres.run("postgres", "CREATE ROLE writer LOGIN PASSWORD 'w'");
    let settings = snapshot::Postgres {
        user: "writer".to_owned(),
        password: Some(Secret::new("w")),
        ..postgres.settings("granted")
    };
    let store = LogsStore::Postgres(settings);
    let error = refused(&store);
    let StartError::Permission { command, .. } = &error else { panic!("{error}") };
    postgres.run("granted", command);
    ready(&store).write(&[row(record())]).unwrap();
}

#[test]
fn a_table_that_is_not_ours_is_left_alone() {
    let postgres = Postgres::shared();
    postgres.database("taken");
    postgres.run("taken", "CREATE TABLE logs (id varchar(255) PRIMARY KEY)");
    let error = refused(&postgres.logs_store("taken"));
    assert!(matches!(error, StartError::ForeignTable { .. }), "{error}");
}

#[test]
fn three_nodes_start_at_once_on_an_empty_database() {
    let postgres = Postgres::shared();
    // The race is narrow: some rounds, each begun together.
    for round in 0..4 {
        let name = format!("three_{round}");
        postgres.database(&name);
        let together = Arc::new(Barrier::new(3));
        let nodes: Vec<_> = (0..3)
            .map(|_| {
                let (config, together) = (postgres.logs_store(&name), Arc::clone(&together));
                std::thread::spawn(move || {
                    together.wait();
                    let mut store = ready(&config);
                    store.write(&[row(record()), row(record())]).unwrap();
                    store.write(&[row(record())]).unwrap();
                })
            })
            .collect();
        for node in nodes {
            node.join().unwrap();
        }
        assert_eq!(postgres.number(&name, "SELECT count(*) FROM logs"), 9);
    }
}

#[test]
fn finish_writes_what_no_batch_was_due_for() {
    let postgres = Postgres::shared();
    postgres.database("finish");
    let settings = Settings { batch_interval: Duration::from_secs(3600), ..Settings::new("node-1") };
    let (handle, producers) = started(ready(&postgres.logs_store("finish")), settings, 2);
    for producer in &producers {
        producer.push(record());
    }
    assert_eq!(handle.finish(soon()).written, 2);
    assert_eq!(postgres.number("finish", "SELECT count(*) FROM logs"), 2);
}

/// A store that is never there.
struct Gone;

impl Store for Gone {
    fn write(&mut self, _: &[Row]) -> Result<(), StoreError> {
        Err(StoreError::Unavailable("gone".to_owned()))
    }
}

#[test]
fn the_backlog_keeps_to_its_bound_and_what_is_lost_is_counted() {
    let size = record().bytes();
    let settings = Settings { backlog_bytes_max: 10 * size, ..quick() };
    let (handle, producers) = started(Box::new(Gone), settings, 1);
    for _ in 0..10 {
        producers[0].push(record());
    }
    eventually(&handle, "ten are kept", |gauges| gauges.kept == 10);
    assert_eq!(handle.gauges().dropped_backlog_full, 0);
    producers[0].push(record());
    eventually(&handle, "the next is dropped", |gauges| gauges.dropped_backlog_full == 1);
    assert_eq!(handle.gauges().kept_bytes, 10 * size as u64);
    let counts = handle.finish(Instant::now() + Duration::from_millis(100));
    assert_eq!((counts.taken, counts.written, counts.kept, counts.dropped_shutdown), (11, 0, 0, 10));
}

/// A store that panics once.
struct Startled(bool, SqliteStore);

impl Store for Startled {
    fn write(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        assert!(std::mem::replace(&mut self.0, true), "startled");
        self.1.write(rows)
    }
}

#[test]
fn a_panic_in_the_store_costs_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("logs.db")).unwrap();
    let (handle, producers) = started(Box::new(Startled(false, store)), quick(), 1);
    producers[0].push(record());
    assert_eq!(handle.finish(soon()).written, 1);
}

#[test]
fn sqlite_takes_rows_once_and_sets_a_refused_one_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs.db");
    let mut store = SqliteStore::open(&path).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let rows: Vec<Row> = (0..10).map(|_| row(record())).collect();
    store.write(&rows[..6]).unwrap();
    store.write(&rows).unwrap();
    let reader = rusqlite::Connection::open(&path).unwrap();
    let number = |sql: &str| reader.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number("SELECT count(*) FROM logs"), 10);
    let sql = "SELECT count(*) FROM logs WHERE input_history ->> '$[0].content' = 'hi' AND latency = 1.5 \
               AND prompt_tokens = 7 AND cost IS NULL AND date(timestamp) = date('now')";
    assert_eq!(number(sql), 10);
    reader
        .execute_batch("CREATE TRIGGER poison BEFORE INSERT ON logs WHEN NEW.model = 'poison' BEGIN SELECT RAISE(ABORT, 'no'); END")
        .unwrap();
    let (handle, producers) = started(Box::new(store), quick(), 1);
    for model in ["fine", "poison", "fine"] {
        producers[0].push(Record { model: model.to_owned(), ..record() });
    }
    let counts = handle.finish(soon());
    assert_eq!((counts.written, counts.dropped_store_refused), (2, 1));
    drop(SqliteStore::open(&path).unwrap());
    assert_eq!(number("SELECT count(*) FROM logs"), 12);
}

#[test]
fn a_sqlite_file_that_cannot_be_used_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no/such/folder.db");
    let error = refused(&LogsStore::Sqlite { path: missing.clone() });
    assert!(error.to_string().contains(&missing.display().to_string()), "{error}");
    let foreign = folder.path().join("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE logs (id TEXT)").unwrap();
    let error = refused(&LogsStore::Sqlite { path: foreign });
    assert!(matches!(error, StartError::ForeignTable { .. }), "{error}");
}

#[test]
fn a_store_that_is_not_connected_connects_by_itself() {
    let postgres = Postgres::shared();
    postgres.database("lazy");
    let mut store = PostgresStore::new(&postgres.settings("lazy")).unwrap();
    store.write(&[row(record())]).unwrap();
    assert_eq!(postgres.number("lazy", "SELECT count(*) FROM logs"), 1);
}

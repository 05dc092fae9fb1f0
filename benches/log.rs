//! What a log row costs on the log plane: CPU µs per row on its two threads, into a store that takes anything, into
//! SQLite and into the PostgreSQL that the first argument names (`host=… user=… dbname=…`, a database for the taking);
//! beside it what a core pays to count a request and to push its record. Run with `cargo bench --bench log -- [DSN]`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for the desk")]
#![allow(clippy::disallowed_methods, reason = "its arguments are its own")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use corelane::chat::Usage;
use corelane::config::snapshot::{LogsStore, Postgres, Secret, SslMode};
use corelane::dialect::Dialect;
use corelane::telemetry::cells::{Cells, InferenceObservation, Observation};
use corelane::telemetry::record::{Attempted, Outcome, Record};
use corelane::telemetry::ring::{PushOutcome, ring};
use corelane::telemetry::row::Row;
use corelane::telemetry::store::{Store, StoreError, StoreState, open_store};
use corelane::telemetry::writer::{Log, Settings};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows per measurement.
const ROWS: u64 = 30_000;

/// What `routing` says of a request that was served at once by one of two keys.
const DECISION: &str = r#"{"version":1,"seed":"9223372036854775807","model":"openai/gpt-4o-mini","deadline_ns":600000000000,"steps":[{"leg":0,"key":"first","because":"first","by":"drawn","draw":0.3141592653589793}],"legs":[{"leg":0,"provider":"openai","model":"gpt-4o-mini","keys":[{"key":"first","weight":1},{"key":"second","weight":1}]}]}"#;

/// A body of about a KiB in, a short answer out: the 1 KB request of the load test.
fn record() -> Record {
    let words = "the quick brown fox jumps over the lazy dog ".repeat(20);
    let input = format!(
        r#"{{"model":"gpt-4o-mini","messages":[{{"role":"system","content":"be brief"}},{{"role":"user","content":"{words}"}}],"temperature":0.5,"max_tokens":100}}"#
    );
    let output = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"It does so every single day, and nobody knows why."},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}}"#;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Record {
        id: uuid::Uuid::now_v7(),
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
        attempts: 1,
        fallback_index: 0,
        trail: vec![Attempted {
            leg: 0,
            by: None,
            outcome: Outcome::Status(200),
            wait_us: 0,
            took_us: 1_400,
            queued_us: 0,
        }],
        decision: Some(DECISION.to_owned()),
        latency_us: 1_500,
        first_token_us: Some(900),
        overhead_us: 40,
        usage: Some(Usage { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12, ..Usage::default() }),
        client_ip: std::net::IpAddr::from([192, 0, 2, 7]),
        core: 0,
        generation: 1,
        input: Some(input.into_bytes()),
        output: Some(output.as_bytes().to_vec()),
        content_truncated: false,
    }
}

/// What a core pays to count one request, among fifty label sets.
fn counting() {
    let cells = Cells::new(0);
    let models: Vec<String> = (0..50).map(|number| format!("gpt-4o-mini-{number}")).collect();
    let began = Instant::now();
    for model in models.iter().cycle().take(1_000_000) {
        let inference = InferenceObservation {
            provider: "openai",
            model,
            model_is_known: true,
            request_type: "chat_completion",
            key_id: "6f2a9c0e-key",
            key_name: "first",
            fallback_index: 0,
            retries: 0,
            is_at_once: true,
            is_success: true,
            error_kind: "",
            upstream_latency_us: Some(20_000),
            overhead_us: 40,
            first_token_us: None,
            usage: Some(Usage { prompt_tokens: 3, completion_tokens: 4, ..Usage::default() }),
        };
        cells.observe(&Observation {
            path: "/v1/chat/completions",
            method: "POST",
            status: 200,
            request_bytes: 1000,
            response_bytes: 2000,
            duration_us: 30_000,
            inference: Some(inference),
        });
    }
    println!("observe    {:.3} µs/request (core)", began.elapsed().as_secs_f64());
}

/// Takes everything, so that what remains is making rows.
struct Sink;

impl Store for Sink {
    fn write(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        std::hint::black_box(rows);
        Ok(())
    }
}

/// CPU time of this process's threads of a name, ns (<https://docs.kernel.org/scheduler/sched-stats.html>).
fn cpu_ns(name: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let of_name =
        tasks.filter(|task| std::fs::read_to_string(task.path().join("comm")).unwrap().trim() == name);
    of_name
        .map(|task| std::fs::read_to_string(task.path().join("schedstat")).unwrap())
        .fold(0, |sum, text| sum + text.split(' ').next().unwrap().parse::<u64>().unwrap())
}

fn measure(label: &str, store: StoreState) {
    let (producer, consumer) = ring();
    let settings = Settings { backlog_bytes_max: usize::MAX / 2, ..Settings::new("node-1") };
    let handle = Log::start(settings, store, vec![consumer]).unwrap();
    let began = Instant::now();
    let mut pushing = Duration::ZERO;
    for _ in 0..ROWS {
        let record = record();
        let push = Instant::now();
        let outcome = producer.push(record);
        pushing += push.elapsed();
        assert!(outcome != PushOutcome::Refused, "the ring is full: the machine is too busy to measure");
        while handle.gauges().kept > 5_000 {
            std::thread::sleep(Duration::from_millis(1));
        }
        if producer_should_rest() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    while handle.gauges().written < ROWS {
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = began.elapsed();
    let us = |name: &str| cpu_ns(name) as f64 / 1000.0 / ROWS as f64;
    println!(
        "{label:10} push {:.3} µs/row (core), corelane-log {:.2} µs/row, corelane-store {:.2} µs/row, {:.0} rows/s",
        pushing.as_secs_f64() * 1e6 / ROWS as f64,
        us("corelane-log"),
        us("corelane-store"),
        ROWS as f64 / took.as_secs_f64(),
    );
    handle.finish(Instant::now() + Duration::from_secs(10));
}

/// One record in a hundred, so that the log thread has its look before the ring's byte bound is reached.
fn producer_should_rest() -> bool {
    fastrand::u8(..100) == 0
}

fn postgres(dsn: &str) -> Postgres {
    let word = |name: &str| {
        let found = dsn.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        found.map(str::to_owned)
    };
    Postgres {
        host: word("host").unwrap_or_else(|| "/var/run/postgresql".to_owned()),
        port: word("port").map_or(5432, |port| port.parse().unwrap()),
        user: word("user").unwrap_or_else(|| "postgres".to_owned()),
        password: word("password").map(Secret::new),
        db_name: word("dbname").unwrap_or_else(|| "postgres".to_owned()),
        ssl_mode: match word("sslmode").as_deref() {
            Some("require") => SslMode::Require,
            Some("verify-ca") => SslMode::VerifyCa,
            Some("verify-full") => SslMode::VerifyFull,
            Some("disable") => SslMode::Disable,
            _ => SslMode::Prefer,
        },
    }
}

fn main() {
    counting();
    measure("sink", StoreState::Ready(Box::new(Sink)));
    let folder = tempfile::tempdir().unwrap();
    let mut stores = vec![("sqlite", LogsStore::Sqlite { path: folder.path().join("logs.db") })];
    if let Some(dsn) = std::env::args().skip(1).find(|argument| argument != "--bench") {
        stores.push(("postgres", LogsStore::Postgres(postgres(&dsn))));
    }
    for (label, store) in stores {
        match open_store(&store, Duration::from_secs(5)) {
            Ok(store) => match store.unreachable() {
                Some(why) => println!("{label}: unreachable: {why}"),
                None => measure(label, store),
            },
            Err(error) => println!("{label}: {error}"),
        }
    }
}

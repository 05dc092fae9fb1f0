//! One row per request, read back from the store: what each column holds for whole, streamed, translated and failed
//! requests, and what must never be in any. How the store is written is `log.rs`'s.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's failure")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tests share a server and wait on conditions"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use serde_json::{Value, json};

mod support;

use support::node::{self, DRIVERS, KEYS, Mock, Node, eventually};
use support::postgres::{PASSWORD, Postgres};
use support::seed;

const HELLO: &str = "Hello from the mock provider.";

/// What the caller shows us, in each place where a dialect has one for it.
const CALLERS_OWN: &str = "sk-the-callers-own";

/// A node of the seed's config, its mock and its database.
struct House {
    node: Node,
    mock: Mock,
    postgres: Arc<Postgres>,
    database: String,
}

impl House {
    fn new(name: &str, driver: &str, edit: impl FnOnce(&mut Value)) -> Self {
        Self::of(seed::LOGGING, name, driver, edit)
    }

    fn of(fixture: &str, name: &str, driver: &str, edit: impl FnOnce(&mut Value)) -> Self {
        let postgres = Postgres::shared();
        let mock = Mock::start(&[]);
        let database = format!("{name}_{driver}");
        postgres.database(&database);
        let mut config = seed::config(fixture, &mock, &database);
        edit(&mut config);
        let node = seed::start(&config, driver, &postgres);
        Self { node, mock, postgres, database }
    }

    /// POSTs and gives the answer with its row.
    fn row_of(&self, path: &str, body: &Value) -> (String, Value) {
        let answer = self.post(path, body);
        let row = self.row(&id_of(&answer));
        (answer, row)
    }

    fn post(&self, path: &str, body: &Value) -> String {
        self.node.ask(request(path, body).as_bytes())
    }

    /// The one row of this id, once it is there, each column by its name.
    fn row(&self, id: &str) -> Value {
        let mut client = self.postgres.client(&self.database);
        let query = format!("SELECT to_jsonb(logs)::text FROM logs WHERE id = '{id}'");
        let rows = eventually("the row is there", || {
            let rows = client.query(&query, &[]).unwrap();
            (!rows.is_empty()).then_some(rows)
        });
        assert_eq!(rows.len(), 1);
        serde_json::from_str(rows[0].get(0)).unwrap()
    }

    fn count(&self) -> i64 {
        self.postgres.number(&self.database, "SELECT count(*) FROM logs")
    }

    /// TERM, and the end: what was to be written is written then.
    fn end(&mut self) {
        self.node.signal("TERM");
        assert!(self.node.wait().success(), "{:#?}", self.node.said());
    }
}

fn request(path: &str, body: &Value) -> String {
    let fields = format!(
        "connection: close\r\nauthorization: Bearer {CALLERS_OWN}\r\nx-api-key: {CALLERS_OWN}\r\nanthropic-version: 2023-06-01\r\n"
    );
    node::post(path, &body.to_string(), &fields)
}

fn id_of(answer: &str) -> String {
    let field = answer.lines().find_map(|line| line.strip_prefix("x-corelane-request-id: "));
    field.unwrap_or_else(|| panic!("no id: {answer}")).to_owned()
}

fn chat(model: &str, text: &str) -> Value {
    json!({"model": model, "temperature": 0.5, "messages": [{"role": "user", "content": text}]})
}

fn streamed(mut body: Value) -> Value {
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    body
}

fn messages(text: &str) -> Value {
    json!({"model": "claude-3-5-haiku-20241022", "max_tokens": 99, "system": "be kind",
        "messages": [{"role": "user", "content": text}]})
}

/// The columns named in `expected` have these values.
#[track_caller]
fn check(row: &Value, expected: Value) {
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(row.get(name), Some(value), "{name} of {row:#}");
    }
}

/// What holds for every row.
#[track_caller]
fn check_common(row: &Value) {
    assert!(row["latency"].as_f64().unwrap() > 0.0, "{row:#}");
    assert!(row["overhead_us"].as_f64().unwrap() / 1000.0 <= row["latency"].as_f64().unwrap(), "{row:#}");
    assert!(!row["node"].as_str().unwrap().is_empty() && row["core"].as_i64().unwrap() < 2, "{row:#}");
    check(
        row,
        json!({"generation": 1, "fallback_index": 0, "number_of_retries": 0, "content_truncated": false}),
    );
    check_trail(row);
    let text = row.to_string();
    let secrets = KEYS.iter().map(|(_, value)| *value).chain([CALLERS_OWN, PASSWORD]);
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} is in {row:#}");
    }
}

/// One attempt, by the row's provider and key, with its status or its fault; none where no provider was asked.
#[track_caller]
fn check_trail(row: &Value) {
    if row["attempts"] == 0 {
        return assert_eq!(row["attempt_trail"], Value::Null, "{row:#}");
    }
    assert!(row["decision"].as_str().is_some_and(|decision| decision.len() <= 2048), "{row:#}");
    let (trail, decision) = (parsed(row, "attempt_trail"), parsed(row, "decision"));
    assert_eq!(decision["legs"][0]["provider"], row["provider"], "{row:#}");
    assert_eq!(decision["steps"][0]["key"], row["selected_key_name"], "{row:#}");
    let [attempt] = trail.as_array().unwrap().as_slice() else { panic!("{trail:#}") };
    assert_eq!((&attempt["leg"], &attempt["wait_ms"]), (&json!(0), &json!(0)), "{row:#}");
    assert_eq!(
        (&attempt["provider"], &attempt["key"]),
        (&row["provider"], &row["selected_key_name"]),
        "{row:#}"
    );
    assert!(attempt["took_ms"].as_f64().unwrap() <= row["latency"].as_f64().unwrap(), "{row:#}");
    match attempt["status"].as_u64() {
        Some(status) => assert_eq!(json!(status), row["status_code"], "{row:#}"),
        None => assert_eq!(attempt["error"], row["error_kind"], "{row:#}"),
    }
}

#[track_caller]
fn check_first_token(row: &Value, is_there: bool) {
    match row["first_token_ms"].as_f64() {
        Some(ms) => assert!(is_there && ms > 0.0 && ms <= row["latency"].as_f64().unwrap(), "{row:#}"),
        None => assert!(!is_there, "{row:#}"),
    }
}

/// A column that holds JSON.
fn parsed(row: &Value, column: &str) -> Value {
    let text = row[column].as_str().unwrap_or_else(|| panic!("{column} of {row:#}"));
    serde_json::from_str(text).unwrap()
}

fn tokens(prompt: i64, completion: i64) -> Value {
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}

const NO_TOKENS: [&str; 4] = ["prompt_tokens", "completion_tokens", "total_tokens", "token_usage"];

fn openai_row(stream: bool) -> Value {
    json!({"status": "success", "status_code": 200, "error_kind": null, "error_details": null, "attempts": 1,
        "provider": "openai", "model": "gpt-4o-mini", "selected_key_name": "openai-primary",
        "object_type": "chat.completion", "stream": stream})
}

fn anthropic_row(object_type: &str, model: &str, stream: bool) -> Value {
    json!({"status": "success", "status_code": 200, "error_kind": null, "error_details": null, "attempts": 1,
        "provider": "anthropic", "model": model, "selected_key_name": "anthropic-primary",
        "object_type": object_type, "stream": stream})
}

#[test]
fn each_request_has_one_row_with_its_tokens_and_its_words() {
    for driver in DRIVERS {
        let mut house = House::new("answered", driver, |_| {});
        passed_through(&house);
        translated(&house);
        anthropics_own(&house);
        tools(&house);
        long(&house);
        house.end();
        assert_eq!(house.count(), 11, "{driver}");
    }
}

fn passed_through(house: &House) {
    let path = "/v1/chat/completions";
    let (_, row) = house.row_of(path, &chat("openai/gpt-4o-mini", "one two three"));
    check_common(&row);
    check(&row, openai_row(false));
    check(&row, tokens(3, 5));
    check_first_token(&row, false);
    assert_eq!(parsed(&row, "input_history"), json!([{"role": "user", "content": "one two three"}]));
    assert_eq!(parsed(&row, "output_message")["content"], HELLO);
    assert_eq!(parsed(&row, "params"), json!({"temperature": 0.5}));
    assert_eq!(parsed(&row, "token_usage")["total_tokens"], 8);

    let (answer, row) = house.row_of(path, &streamed(chat("openai/gpt-4o-mini", "mock: chunks=40")));
    assert!(answer.contains("data: [DONE]"), "{answer}");
    check_common(&row);
    check(&row, openai_row(true));
    check(&row, tokens(2, 40));
    check_first_token(&row, true);
    assert_eq!(parsed(&row, "output_message")["content"], "word ".repeat(40));
}

fn translated(house: &House) {
    let (path, model) = ("/openai/v1/chat/completions", "claude-sonnet-4-20250514");
    let asked = chat(&format!("anthropic/{model}"), "one two three");
    let (_, row) = house.row_of(path, &asked);
    check_common(&row);
    check(&row, anthropic_row("chat.completion", model, false));
    check(&row, tokens(3, 5));
    assert_eq!(parsed(&row, "input_history"), asked["messages"]);
    assert_eq!(parsed(&row, "output_message")["content"], HELLO);

    let (_, row) = house.row_of(path, &streamed(chat(&format!("anthropic/{model}"), "mock: chunks=40")));
    check_common(&row);
    check(&row, anthropic_row("chat.completion", model, true));
    check(&row, tokens(2, 40));
    check_first_token(&row, true);
    assert_eq!(parsed(&row, "output_message")["content"], "word ".repeat(40));
}

fn anthropics_own(house: &House) {
    let (path, model) = ("/anthropic/v1/messages", "claude-3-5-haiku-20241022");
    let (_, row) = house.row_of(path, &messages("one two three"));
    check_common(&row);
    check(&row, anthropic_row("messages", model, false));
    check(&row, tokens(5, 5));
    assert_eq!(parsed(&row, "output_message")["content"], json!([{"type": "text", "text": HELLO}]));
    assert_eq!(parsed(&row, "input_history")[0], json!({"role": "system", "content": "be kind"}));

    let mut body = messages("mock: chunks=40");
    body["stream"] = json!(true);
    let (_, row) = house.row_of(path, &body);
    check_common(&row);
    check(&row, anthropic_row("messages", model, true));
    check(&row, tokens(4, 40));
    check_first_token(&row, true);
    assert_eq!(parsed(&row, "output_message")["content"][0]["text"], "word ".repeat(40));
}

fn tools(house: &House) {
    let mut body = streamed(chat("anthropic/claude-sonnet-4-20250514", "a"));
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    body["tools"] = json!([{"type": "function", "function": {"name": "weather", "parameters": schema}}]);
    let (_, row) = house.row_of("/v1/chat/completions", &body);
    check_common(&row);
    assert_eq!(parsed(&row, "tools"), body["tools"]);
    let function = json!({"name": "weather", "arguments": "{\"city\":\"mock\"}"});
    assert_eq!(parsed(&row, "tool_calls")[0]["function"], function);
    check_first_token(&row, true);
}

/// More than a row keeps: the tokens are those of the whole, what is kept is marked as cut.
fn long(house: &House) {
    for model in ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-20250514"] {
        let asked = chat(model, "mock: bytes=600000 chunks=50");
        for body in [asked.clone(), streamed(asked)] {
            let (answer, row) = house.row_of("/v1/chat/completions", &body);
            assert!(answer.len() > 600_000, "{}", answer.len());
            check(
                &row,
                json!({"status": "success", "content_truncated": true, "stream": body["stream"] == true}),
            );
            check(&row, tokens(3, 100_000));
            let kept = row["output_message"].as_str().unwrap();
            assert!(kept.len() > 200_000 && kept.contains("lorem lorem"), "{}", kept.len());
        }
    }
}

#[test]
fn a_failed_request_has_its_row() {
    for driver in DRIVERS {
        let mut house = House::new("failed", driver, |_| {});
        refused_by_the_provider(&house);
        refused_by_us(&house);
        failed_midway(&house);
        house.end();
        assert_eq!(house.count(), 10, "{driver}");
    }
}

fn refused_by_the_provider(house: &House) {
    for (path, model) in [
        ("/v1/chat/completions", "openai/gpt-4o"),
        ("/openai/v1/chat/completions", "gpt-4o"),
        ("/v1/chat/completions", "anthropic/claude-sonnet-4-20250514"),
    ] {
        let (answer, row) = house.row_of(path, &streamed(chat(model, "mock: status=429")));
        assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
        check_common(&row);
        check(&row, json!({"status": "error", "status_code": 429, "error_kind": "upstream_status"}));
        check(&row, json!({"attempts": 1, "stream": true, "output_message": null}));
        let provider = if model.starts_with("anthropic/") { "anthropic" } else { "openai" };
        let key = format!("{provider}-primary");
        check(&row, json!({"provider": provider, "selected_key_name": key}));
        NO_TOKENS.iter().for_each(|name| assert_eq!(row[name], Value::Null, "{name}"));
        check_first_token(&row, false);
        let message = parsed(&row, "error_details")["error"]["message"].clone();
        assert_eq!(message, "The mock was told to answer 429.");
    }
}

fn refused_by_us(house: &House) {
    for (model, kind) in [("no-such-model", "model_not_found"), ("openai/gpt-3", "no_key_for_model")] {
        let (answer, row) = house.row_of("/v1/chat/completions", &chat(model, "one"));
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        check_common(&row);
        check(&row, json!({"status": "error", "status_code": 400, "error_kind": kind, "attempts": 0}));
        check(&row, json!({"selected_key_name": "", "selected_key_id": "", "stream": false}));
        assert_eq!(parsed(&row, "input_history")[0]["content"], "one");
        assert_eq!(parsed(&row, "error_details")["error"]["code"], kind);
        NO_TOKENS.iter().for_each(|name| assert_eq!(row[name], Value::Null, "{name}"));
    }
    let answer = house.node.ask(node::post("/v1/chat/completions", "{", "connection: close\r\n").as_bytes());
    let row = house.row(&id_of(&answer));
    check(&row, json!({"status_code": 400, "error_kind": "invalid_request", "provider": "", "model": ""}));
}

/// The status was sent before the fault came: the row says both.
fn failed_midway(house: &House) {
    let native = messages("mock: chunks=9 error_after=2 chunk_delay_ms=20");
    for (path, body, kind) in [
        (
            "/v1/chat/completions",
            chat("openai/gpt-4o", "mock: chunks=9 error_after=2 chunk_delay_ms=20"),
            "upstream_status",
        ),
        (
            "/v1/chat/completions",
            chat("openai/gpt-4o", "mock: chunks=9 cut_after=2 chunk_delay_ms=20"),
            "upstream_invalid_response",
        ),
        ("/anthropic/v1/messages", native, "upstream_status"),
        (
            "/v1/chat/completions",
            chat("anthropic/claude-sonnet-4-20250514", "mock: chunks=9 error_after=2 chunk_delay_ms=20"),
            "upstream_status",
        ),
    ] {
        let (answer, row) = house.row_of(path, &streamed(body));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        check_common(&row);
        check(&row, json!({"status": "error", "status_code": 200, "error_kind": kind, "attempts": 1}));
        check_first_token(&row, true);
        assert!(row["output_message"].as_str().unwrap().contains("word word "), "{row:#}");
        assert!(parsed(&row, "error_details").pointer("/error/message").is_some(), "{row:#}");
    }
}

#[test]
fn a_caller_that_leaves_has_its_row_and_the_provider_is_left() {
    for driver in DRIVERS {
        let mut house = House::new("left", driver, |_| {});
        let text = "mock: chunks=500 chunk_delay_ms=20";
        let mut native = messages(text);
        native["stream"] = json!(true);
        for (number, (path, body)) in (1u64..).zip([
            ("/v1/chat/completions", streamed(chat("openai/gpt-4o-mini", text))),
            ("/v1/chat/completions", streamed(chat("anthropic/claude-sonnet-4-20250514", text))),
            ("/anthropic/v1/messages", native),
        ]) {
            let row = house.row(&leave(house.node.connect(), path, &body));
            check_common(&row);
            check(&row, json!({"status": "error", "status_code": 499, "error_kind": "client_gone"}));
            check(&row, json!({"stream": true, "attempts": 1}));
            check_first_token(&row, true);
            assert!(row["output_message"].as_str().unwrap().contains("word "), "{row:#}");
            // Anthropic says what the prompt took when the stream begins.
            let prompt = if path.starts_with("/v1") { 3 } else { 5 };
            let known = if row["provider"] == "anthropic" { json!(prompt) } else { Value::Null };
            check(&row, json!({"prompt_tokens": known}));
            eventually("the mock was left", || (house.mock.requests()["aborted"] == number).then_some(()));
        }
        house.end();
        assert_eq!(house.count(), 3, "{driver}");
    }
}

/// Closes in the middle of the answer; gives its id.
fn leave(mut stream: TcpStream, path: &str, body: &Value) -> String {
    stream.write_all(request(path, body).as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&answer);
        if text.matches("word ").count() > 2 {
            return id_of(&text);
        }
    }
}

#[test]
fn the_seed_as_it_stands_writes_no_row_and_says_so() {
    for driver in DRIVERS {
        let mut house = House::of(seed::AS_IT_STANDS, "silent", driver, |_| {});
        let said = "none: no row is written (client.enable_logging is false)";
        assert!(house.node.start_line.contains(said), "{}", house.node.start_line);
        let answer = house.post("/v1/chat/completions", &chat("gpt-4o-mini", "a"));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        house.end();
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
        assert_eq!(house.postgres.number(&house.database, tables), 0);
    }
}

#[test]
fn content_is_left_out_when_it_is_not_wanted() {
    for driver in DRIVERS {
        let mut house = House::new("contentless", driver, |config| {
            config["client"]["disable_content_logging"] = json!(true);
        });
        let path = "/v1/chat/completions";
        let (_, row) = house.row_of(path, &streamed(chat("gpt-4o-mini", "mock: echo chunks=9")));
        check_common(&row);
        check(&row, openai_row(true));
        check(&row, tokens(3, 3));
        let contents = ["input_history", "output_message", "params", "tools", "tool_calls", "error_details"];
        contents.iter().for_each(|name| assert_eq!(row[name], Value::Null, "{name}"));
        assert!(!row.to_string().contains("echo"), "{row:#}");
        let (_, row) = house.row_of(path, &chat("gpt-4o-mini", "mock: status=503"));
        check_common(&row);
        check(&row, json!({"status": "error", "status_code": 503, "input_history": null}));
        house.end();
    }
}

#[test]
fn rows_sent_a_moment_before_the_end_are_there() {
    for driver in DRIVERS {
        let mut house = House::new("drained", driver, |_| {});
        // The table is there before the end begins: else a slow start of the store would count as the drain.
        house.row_of("/v1/chat/completions", &chat("gpt-4o-mini", "a"));
        let mut running = house.node.connect();
        let body = streamed(chat("gpt-4o-mini", "mock: chunks=20 chunk_delay_ms=20"));
        running.write_all(request("/v1/chat/completions", &body).as_bytes()).unwrap();
        running.read_exact(&mut [0; 16]).unwrap();
        let ids: Vec<String> =
            (0..50).map(|_| id_of(&house.post("/v1/chat/completions", &chat("gpt-4o-mini", "a")))).collect();
        house.end();
        let mut answer = String::new();
        running.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("data: [DONE]"), "the stream ran on: {answer}");
        check(&house.row(&id_of(&answer)), openai_row(true));
        ids.iter().for_each(|id| check(&house.row(id), openai_row(false)));
        assert_eq!(house.count(), 52, "{driver}");
    }
}

#[test]
fn who_has_seen_the_start_line_may_end_the_node_in_order() {
    for driver in DRIVERS {
        let mock = Mock::start(&[]);
        for _ in 0..5 {
            let mut node = Node::start(&mock.config(), driver);
            node.signal("TERM");
            let status = node.wait();
            assert!(status.success(), "{driver}: {status}, {:#?}", node.said());
        }
    }
}

#[test]
fn the_quickstart_writes_to_its_file() {
    for driver in DRIVERS {
        let mock = Mock::start(&[]);
        let mut node = Node::start(&mock.config(), driver);
        let (path, model) = ("/v1/chat/completions", "anthropic/claude-sonnet-4-20250514");
        let answers = [
            streamed(chat("gpt-4o-mini", "mock: chunks=40")),
            chat(model, "one two three"),
            chat(model, "mock: status=429"),
        ]
        .map(|body| node.ask(request(path, &body).as_bytes()));
        node.signal("TERM");
        assert!(node.wait().success(), "{:#?}", node.said());
        let file = rusqlite::Connection::open(node.folder.path().join("logs.db")).unwrap();
        let columns = "status, status_code, total_tokens, selected_key_name, output_message";
        let facts = |answer: &String| {
            let query = format!("SELECT json_array({columns}) FROM logs WHERE id = '{}'", id_of(answer));
            let row: String = file.query_row(&query, [], |row| row.get(0)).unwrap();
            serde_json::from_str::<Vec<Value>>(&row).unwrap()
        };
        let [first, second, third] = answers.each_ref().map(facts);
        assert_eq!(first[..4], [json!("success"), json!(200), json!(42), json!("openai-primary")]);
        assert!(first[4].as_str().unwrap().contains("word word "), "{first:?}");
        assert_eq!(second[..4], [json!("success"), json!(200), json!(8), json!("anthropic-primary")]);
        assert_eq!(json!(third), json!(["error", 429, null, "anthropic-primary", null]));
        let count: i64 = file.query_row("SELECT count(*) FROM logs", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 3);
    }
}

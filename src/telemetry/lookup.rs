//! One row found again by its id, for an operator: who asked, who answered, the attempts and the decision; never what was
//! said. It writes nothing and makes no table. A row of a table without the later columns is found without them.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::postgres;
use crate::config::snapshot::LogsStore;

/// Longest wait for another process that holds a SQLite file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// How far a row's time may be from its id's, ms: both are read from one clock at one moment.
const CLOCK_MARGIN_MS: i64 = 1_000;

/// A row, in the words of its columns.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct Found {
    /// UUIDv7.
    pub id: String,
    /// When the request began, RFC 3339.
    pub timestamp: String,
    /// The operation's name.
    pub object_type: String,
    /// Provider's name; empty: none was reached.
    pub provider: String,
    /// Model as asked of the provider.
    pub model: String,
    /// Attempts that were not the first of the primary or of a fallback.
    pub number_of_retries: i64,
    /// Place in the list of fallbacks, from 1; 0: the primary.
    pub fallback_index: i64,
    /// Key's name; empty: none was chosen.
    pub selected_key_name: String,
    /// ms.
    pub latency: f64,
    /// `success` or `error`.
    pub status: String,
    /// The answer's HTTP status.
    pub status_code: i64,
    /// The fault's code.
    pub error_kind: Option<String>,
    /// The error's body, or what stands for it, JSON.
    pub error_details: Option<String>,
    /// Whether a stream was asked for.
    #[serde(deserialize_with = "flag")]
    pub stream: bool,
    /// Sends to providers.
    pub attempts: i64,
    /// The node's name.
    pub node: String,
    /// Core index.
    pub core: i64,
    /// The config's generation.
    pub generation: i64,
    /// ms; `None`: no content came.
    pub first_token_ms: Option<f64>,
    /// µs.
    pub overhead_us: i64,
    /// The caller's address.
    pub client_ip: Option<String>,
    /// The attempts, JSON; `None`: none, or the row is older than the column.
    #[serde(default)]
    pub attempt_trail: Option<String>,
    /// What was decided, JSON; `None` likewise.
    #[serde(default)]
    pub decision: Option<String>,
}

/// What is read of a row; the last two may be missing in a table of an earlier version.
const COLUMNS: [&str; 23] = [
    "id",
    "timestamp",
    "object_type",
    "provider",
    "model",
    "number_of_retries",
    "fallback_index",
    "selected_key_name",
    "latency",
    "status",
    "status_code",
    "error_kind",
    "error_details",
    "stream",
    "attempts",
    "node",
    "core",
    "generation",
    "first_token_ms",
    "overhead_us",
    "client_ip",
    "attempt_trail",
    "decision",
];

/// SQLite has no booleans, and says 0 and 1.
fn flag<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Flag {
        Bool(bool),
        Number(u8),
    }
    Ok(match Flag::deserialize(from)? {
        Flag::Bool(flag) => flag,
        Flag::Number(number) => number != 0,
    })
}

/// When a request of this id began; `None`: it is no id of ours (a UUIDv7).
pub fn time_of(id: Uuid) -> Option<Timestamp> {
    let (seconds, nanoseconds) = id.get_timestamp().filter(|_| id.get_version_num() == 7)?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanoseconds).ok()?).ok()
}

/// Where [`find`] looks, for messages.
pub fn place(config: &LogsStore) -> String {
    match config {
        LogsStore::Sqlite { path } => format!("the SQLite file {}", path.display()),
        LogsStore::Postgres(settings) => {
            format!("the PostgreSQL database \"{}\" at {}:{}", settings.db_name, settings.host, settings.port)
        }
    }
}

/// The row of this id, begun at `at`, which bounds the partitions that are looked into; `None`: there is none. Waits at
/// most `timeout` for a database. Errors: why it could not be looked for; never a password.
pub fn find(config: &LogsStore, id: Uuid, at: Timestamp, timeout: Duration) -> Result<Option<Found>, String> {
    let row = match config {
        LogsStore::Sqlite { path } => in_file(path, id, at)?,
        LogsStore::Postgres(settings) => {
            postgres::query(settings, timeout, move |columns| statement(columns, id, at))?
        }
    };
    row.map(|row| parsed(&row)).transpose()
}

fn parsed(row: &str) -> Result<Found, String> {
    let mut found: Found =
        serde_json::from_str(row).map_err(|error| format!("the row is not as expected: {error}"))?;
    // Each store writes times in its own way.
    if let Ok(at) = found.timestamp.parse::<Timestamp>() {
        found.timestamp = format!("{at:.6}");
    }
    Ok(found)
}

/// The row as JSON, from a table that has these columns.
fn statement(present: &[String], id: Uuid, at: Timestamp) -> String {
    let is_there = |column: &&str| *column == "id" || present.iter().any(|one| one == column);
    let columns = COLUMNS.into_iter().filter(is_there).collect::<Vec<_>>().join(", ");
    let [from, to] = bounds(at);
    format!(
        "SELECT row_to_json(found)::text FROM (SELECT {columns} FROM logs WHERE id = '{id}' AND timestamp >= '{from}' \
         AND timestamp <= '{to}' LIMIT 1) AS found"
    )
}

fn bounds(at: Timestamp) -> [Timestamp; 2] {
    let bound = |ms: i64| Timestamp::from_millisecond(at.as_millisecond().saturating_add(ms)).unwrap_or(at);
    [bound(-CLOCK_MARGIN_MS), bound(CLOCK_MARGIN_MS)]
}

fn in_file(path: &Path, id: Uuid, at: Timestamp) -> Result<Option<String>, String> {
    let place = path.display();
    if !path.exists() {
        return Err(format!(
            "there is no file {place} (a relative path counts from where this command runs)"
        ));
    }
    read_file(path, id, at).map_err(|error| format!("the SQLite file {place} cannot be read: {error}"))
}

fn read_file(path: &Path, id: Uuid, at: Timestamp) -> rusqlite::Result<Option<String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let mut names = connection.prepare("SELECT name FROM pragma_table_info('logs')")?;
    let present: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let columns = COLUMNS.iter().filter(|column| present.iter().any(|one| one == *column));
    let pairs: Vec<_> = columns.map(|column| format!("'{column}', {column}")).collect();
    let (id, [from, to]) = (id.hyphenated().to_string(), bounds(at).map(|bound| format!("{bound:.6}")));
    let statement = format!(
        "SELECT json_object({}) FROM logs WHERE id = ?1 AND timestamp BETWEEN ?2 AND ?3",
        pairs.join(", ")
    );
    connection.query_row(&statement, [id, from, to], |row| row.get(0)).optional()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_when_it_was_made() {
        let id = Uuid::parse_str("018bcfe5-6800-7000-8000-000000000001").expect("a UUID");
        assert_eq!(time_of(id).map(|at| at.to_string()).as_deref(), Some("2023-11-14T22:13:20Z"));
        for text in ["00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"] {
            assert_eq!(time_of(Uuid::parse_str(text).expect("a UUID")), None);
        }
    }

    #[test]
    fn only_the_partitions_of_its_time_are_looked_into() {
        let id = Uuid::parse_str("018bcfe5-6800-7000-8000-000000000001").expect("a UUID");
        let at = time_of(id).expect("a time");
        let statement =
            statement(&["timestamp".to_owned(), "node".to_owned(), "input_history".to_owned()], id, at);
        assert_eq!(
            statement,
            "SELECT row_to_json(found)::text FROM (SELECT id, timestamp, node FROM logs WHERE id = \
             '018bcfe5-6800-7000-8000-000000000001' AND timestamp >= '2023-11-14T22:13:19Z' AND timestamp <= \
             '2023-11-14T22:13:21Z' LIMIT 1) AS found"
        );
    }
}

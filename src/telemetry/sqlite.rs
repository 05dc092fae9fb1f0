//! The embedded log store: one SQLite file, written by the log plane alone (WAL, so that others may read meanwhile).
//! Not for several nodes.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Statement, ToSql};
use uuid::Uuid;

use super::row::{COLUMNS, Row};
use super::store::{StartError, Store, StoreError};

/// Longest wait for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// In `user_version`: the table is ours, in this version.
const SCHEMA_VERSION: i64 = 3;

/// What each version added to the one before, and the version.
const ADDED: [(i64, &[&str]); 2] = [(2, &["client_ip"]), (3, &["attempt_trail", "decision"])];

const SCHEMA: &str = "
CREATE TABLE logs (
    id TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    object_type TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    number_of_retries INTEGER NOT NULL,
    fallback_index INTEGER NOT NULL,
    selected_key_id TEXT NOT NULL,
    selected_key_name TEXT NOT NULL,
    input_history TEXT,
    output_message TEXT,
    params TEXT,
    tools TEXT,
    tool_calls TEXT,
    latency REAL NOT NULL,
    token_usage TEXT,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    total_tokens INTEGER,
    cached_read_tokens INTEGER,
    cost REAL,
    status TEXT NOT NULL,
    error_details TEXT,
    stream INTEGER NOT NULL,
    status_code INTEGER NOT NULL,
    error_kind TEXT,
    attempts INTEGER NOT NULL,
    node TEXT NOT NULL,
    core INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    first_token_ms REAL,
    overhead_us INTEGER NOT NULL,
    content_truncated INTEGER NOT NULL,
    client_ip TEXT,
    attempt_trail TEXT,
    decision TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
    PRIMARY KEY (timestamp, id)
);
PRAGMA user_version = 3;
";

/// An open file with its table.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    insert: String,
}

impl SqliteStore {
    /// Opens the file, or makes it with mode 0600 (it holds prompts), and its table.
    pub fn open(path: &Path) -> Result<Self, StartError> {
        let refused = |reason: String| StartError::File { path: path.to_owned(), reason };
        create(path).map_err(|error| refused(error.to_string()))?;
        let mut connection = Connection::open(path).map_err(|error| refused(error.to_string()))?;
        let is_ours = prepare(&mut connection).map_err(|error| refused(error.to_string()))?;
        if !is_ours {
            return Err(StartError::ForeignTable { place: path.display().to_string() });
        }
        Ok(Self { connection, insert: insert() })
    }

    /// Whether [`SqliteStore::open`] would do, changing nothing: the folder takes files, and the file, where it is there, can
    /// be written and is ours.
    pub fn try_out(path: &Path) -> Result<(), StartError> {
        let refused = |reason: String| StartError::File { path: path.to_owned(), reason };
        try_folder(path).map_err(|error| refused(format!("its folder takes no files: {error}")))?;
        if !path.exists() {
            return Ok(());
        }
        match find_in(path).map_err(|error| refused(error.to_string()))? {
            Found::Foreign => Err(StartError::ForeignTable { place: path.display().to_string() }),
            Found::Ours | Found::Old(_) | Found::Empty => Ok(()),
        }
    }
}

impl Store for SqliteStore {
    fn write(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        write(&mut self.connection, &self.insert, rows).map_err(|error| store_error(&error))
    }
}

fn create(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Sets the file up and gives whether its table is ours.
fn prepare(connection: &mut Connection) -> rusqlite::Result<bool> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // In WAL a power loss may cost the last transactions, never the file.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    match found(&transaction)? {
        Found::Ours => return Ok(true),
        Found::Foreign => return Ok(false),
        Found::Old(version) => transaction.execute_batch(&upgrade(version))?,
        Found::Empty => transaction.execute_batch(SCHEMA)?,
    }
    transaction.commit()?;
    Ok(true)
}

/// Whose table is in a file.
enum Found {
    Ours,
    /// Ours, of an earlier version.
    Old(i64),
    Foreign,
    Empty,
}

fn found(connection: &Connection) -> rusqlite::Result<Found> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let is_there = connection.table_exists(None, "logs")?;
    Ok(match (version, is_there) {
        (SCHEMA_VERSION.., true) => Found::Ours,
        (1.., true) if has_columns_of(version, connection)? => Found::Old(version),
        // Another program's file may have a version of its own.
        (_, true) | (1.., false) => Found::Foreign,
        (_, false) => Found::Empty,
    })
}

/// Begins to write, as only a file that can be written allows, and does not.
fn find_in(path: &Path) -> rusqlite::Result<Found> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    found(&transaction)
}

/// Makes a file beside `path` and removes it: SQLite needs to.
fn try_folder(path: &Path) -> io::Result<()> {
    let name = format!(".corelane-check-{}", std::process::id());
    let beside = path.with_file_name(name);
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    std::fs::remove_file(&beside)
}

/// The columns that were added after a version.
fn added_after(version: i64) -> impl Iterator<Item = &'static str> {
    let later = ADDED.iter().filter(move |(added, _)| *added > version);
    later.flat_map(|(_, columns)| columns.iter().copied())
}

fn upgrade(version: i64) -> String {
    let columns = added_after(version).map(|column| format!("ALTER TABLE logs ADD COLUMN {column} TEXT; "));
    columns.chain([format!("PRAGMA user_version = {SCHEMA_VERSION};")]).collect()
}

/// Whether a table lacks of ours what this version lacked, and no more.
fn has_columns_of(version: i64, connection: &Connection) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info('logs')")?;
    let present: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let lacking: Vec<&str> =
        COLUMNS.iter().copied().filter(|column| !present.iter().any(|one| one == column)).collect();
    Ok(lacking.into_iter().eq(added_after(version)))
}

fn insert() -> String {
    let (columns, marks) = (COLUMNS.join(", "), vec!["?"; COLUMNS.len()].join(", "));
    format!("INSERT INTO logs ({columns}) VALUES ({marks}) ON CONFLICT (timestamp, id) DO NOTHING")
}

fn write(connection: &mut Connection, insert: &str, rows: &[Row]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    {
        let mut statement = transaction.prepare_cached(insert)?;
        for row in rows {
            write_row(&mut statement, row)?;
        }
    }
    transaction.commit()
}

fn write_row(statement: &mut Statement<'_>, row: &Row) -> rusqlite::Result<()> {
    let tokens = row.tokens.as_ref();
    let content = &row.content;
    let mut buffer = Uuid::encode_buffer();
    let mut fields = Fields { statement, at: 0 };
    fields.bind(&*row.id.hyphenated().encode_lower(&mut buffer))?;
    fields.bind(timestamp(row.timestamp_us))?;
    fields.bind(row.object_type)?;
    fields.bind(&row.provider)?;
    fields.bind(&row.model)?;
    fields.bind(row.number_of_retries)?;
    fields.bind(row.fallback_index)?;
    fields.bind(&row.selected_key_id)?;
    fields.bind(&row.selected_key_name)?;
    fields.bind(&content.input_history)?;
    fields.bind(&content.output_message)?;
    fields.bind(&content.params)?;
    fields.bind(&content.tools)?;
    fields.bind(&content.tool_calls)?;
    fields.bind(row.latency_ms)?;
    fields.bind(tokens.map(|tokens| tokens.usage.as_str()))?;
    fields.bind(tokens.map(|tokens| tokens.prompt))?;
    fields.bind(tokens.map(|tokens| tokens.completion))?;
    fields.bind(tokens.map(|tokens| tokens.total))?;
    fields.bind(tokens.map(|tokens| tokens.cached_read))?;
    fields.bind(None::<f64>)?;
    fields.bind(row.status)?;
    fields.bind(&content.error_details)?;
    fields.bind(row.stream)?;
    fields.bind(row.status_code)?;
    fields.bind(row.error_kind)?;
    fields.bind(row.attempts)?;
    fields.bind(&*row.node)?;
    fields.bind(row.core)?;
    fields.bind(row.generation)?;
    fields.bind(row.first_token_ms)?;
    fields.bind(row.overhead_us)?;
    fields.bind(row.content_truncated)?;
    fields.bind(&row.client_ip)?;
    fields.bind(&row.attempt_trail)?;
    fields.bind(&row.decision)?;
    fields.statement.raw_execute().map(drop)
}

/// The statement's parameters in their order.
struct Fields<'a, 'connection> {
    statement: &'a mut Statement<'connection>,
    at: usize,
}

impl Fields<'_, '_> {
    fn bind(&mut self, value: impl ToSql) -> rusqlite::Result<()> {
        self.at += 1;
        self.statement.raw_bind_parameter(self.at, value)
    }
}

/// RFC 3339 in UTC with six places: sorts as text, and SQLite's date functions read it.
fn timestamp(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us).map_or_else(|_| us.to_string(), |time| format!("{time:.6}"))
}

fn store_error(error: &rusqlite::Error) -> StoreError {
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) => {
            StoreError::Row(text)
        }
        _ => StoreError::Unavailable(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_sorts_as_text() {
        assert_eq!(timestamp(1_700_000_000_000_000), "2023-11-14T22:13:20.000000Z");
        assert_eq!(timestamp(1_700_000_000_123_456), "2023-11-14T22:13:20.123456Z");
    }

    #[test]
    fn the_table_has_every_column_that_is_written() {
        for column in COLUMNS {
            assert!(SCHEMA.contains(&format!("\n    {column} ")), "{column}");
        }
    }
}

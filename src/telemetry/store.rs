//! What a log store is, and how the configured one is opened before anything listens. It knows neither rings nor
//! batches (`writer`), and a store's own words are in its own file.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::postgres::{ConnectError, PostgresStore};
use super::row::Row;
use super::sqlite::SqliteStore;
use crate::config::snapshot::LogsStore;

/// Longest wait for the store at start.
pub const START_TIMEOUT: Duration = Duration::from_secs(5);

/// Where rows end up. Connects when it must; a write that was repeated leaves each row once.
pub trait Store: Send {
    /// Writes all rows or none.
    fn write(&mut self, rows: &[Row]) -> Result<(), StoreError>;
}

/// Why a write failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    /// The store can't take rows now; the same write may succeed later.
    #[error("{0}")]
    Unavailable(String),
    /// The store refuses these rows for what they hold; others it would take.
    #[error("{0}")]
    Row(String),
}

/// A store at start.
pub enum StoreState {
    /// It takes rows.
    Ready(Box<dyn Store>),
    /// It could not be reached: serve, and let the writer go on trying. The text says why.
    Unreachable(Box<dyn Store>, String),
}

impl StoreState {
    /// Why the store could not be reached, if it could not.
    pub fn unreachable(&self) -> Option<&str> {
        match self {
            Self::Ready(_) => None,
            Self::Unreachable(_, why) => Some(why),
        }
    }

    pub(super) fn into_store(self) -> Box<dyn Store> {
        match self {
            Self::Ready(store) | Self::Unreachable(store, _) => store,
        }
    }
}

impl std::fmt::Debug for StoreState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready(_) => f.write_str("Ready"),
            Self::Unreachable(_, why) => write!(f, "Unreachable({why:?})"),
        }
    }
}

/// Why a start is refused: what only the operator can put right.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StartError {
    /// The database's encoding can't hold every text.
    #[error(
        "logs_store: database \"{database}\" has the encoding {encoding}, and rows need UTF8. Create another with\n    \
         {command}\nand name it in logs_store.config.db_name"
    )]
    NotUtf8 {
        /// The database.
        database: String,
        /// Its encoding.
        encoding: String,
        /// The SQL that makes a right one.
        command: String,
    },
    /// Role, password or database name is wrong, by the server's own words.
    #[error("logs_store: {server} refused us: {reason}. Check {keys} in logs_store.config")]
    Credentials {
        /// Host and port.
        server: String,
        /// What the server says; it names the role or database, never the password.
        reason: String,
        /// The keys to look at.
        keys: &'static str,
    },
    /// The role may not create the table.
    #[error("logs_store: {reason}. Allow it with\n    {command}")]
    Permission {
        /// What the server says.
        reason: String,
        /// The SQL that helps.
        command: String,
    },
    /// A table `logs` is there that we did not make.
    #[error(
        "logs_store: {place} has a table \"logs\" that corelane did not create. Name another database, or move the \
         table away: ALTER TABLE logs RENAME TO logs_before_corelane;"
    )]
    ForeignTable {
        /// The database or file.
        place: String,
    },
    /// The server is older than we know how to use.
    #[error("logs_store: {server} is PostgreSQL {version}, and 13 or newer is needed")]
    OldServer {
        /// Host and port.
        server: String,
        /// The server's version.
        version: String,
    },
    /// TLS as `ssl_mode` demands it can't be had.
    #[error("logs_store: no TLS with {server}: {reason}. Check ssl_mode in logs_store.config")]
    Tls {
        /// Host and port.
        server: String,
        /// What is missing.
        reason: String,
    },
    /// The SQLite file can't be used.
    #[error("logs_store: the file {path} can't be used: {reason}. Check logs_store.config.path", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Opens the configured store and makes its table, within `timeout` ([`START_TIMEOUT`]).
pub fn open_store(config: &LogsStore, timeout: Duration) -> Result<StoreState, StartError> {
    match config {
        LogsStore::Sqlite { path } => Ok(StoreState::Ready(Box::new(SqliteStore::open(path)?))),
        LogsStore::Postgres(postgres) => {
            let mut store = PostgresStore::new(postgres)?;
            match store.connect(Instant::now() + timeout) {
                Ok(()) => Ok(StoreState::Ready(Box::new(store))),
                Err(ConnectError::Unavailable(why)) => Ok(StoreState::Unreachable(Box::new(store), why)),
                Err(ConnectError::Refused(error)) => Err(error),
            }
        }
    }
}

/// Whether the configured store can be opened and written within `timeout`, by doing what a start and a first batch do and
/// keeping none of it. Errors: why not, which an unreachable database is, too.
pub fn try_out(config: &LogsStore, timeout: Duration) -> Result<(), String> {
    match config {
        LogsStore::Sqlite { path } => SqliteStore::try_out(path).map_err(|error| error.to_string()),
        LogsStore::Postgres(postgres) => {
            super::postgres::try_out(postgres, timeout).map_err(|error| match error {
                ConnectError::Unavailable(why) => why,
                ConnectError::Refused(error) => error.to_string(),
            })
        }
    }
}

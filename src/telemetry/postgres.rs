//! The log store in PostgreSQL: connecting, what of a failure is the operator's to mend, and the write of one batch.
//! Everything is scoped to a transaction, so that a pooler in transaction mode may stand between. The table is
//! `postgres_schema`'s, the bytes of COPY are `postgres_copy`'s.

use std::collections::HashSet;
use std::error::Error as _;
use std::io::Write as _;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use postgres::error::SqlState;
use postgres::{Client, Config, SimpleQueryMessage, Transaction};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::row::{COLUMNS, Row};
use super::store::{StartError, Store, StoreError};
use super::{postgres_copy, postgres_schema, postgres_tls};
use crate::config::snapshot::{Postgres, SslMode};

/// Longest wait for a connection, its checks and the table.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A peer that acknowledges nothing for this long is gone (TCP_USER_TIMEOUT).
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(15);

/// Idle time before TCP asks whether the peer is there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);

/// How each of our transactions begins. A locked table must not hold a batch for ever; and each statement sees what
/// others committed before it, whatever the server's default, as the checks behind a lock need.
const LIMITS: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; \
                      SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = '30s';";

/// `server_version_num` of the oldest server that is known to do.
const SERVER_VERSION_MIN: u32 = 130_000;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// Not reachable or not ready; another try may help.
    Unavailable(String),
    /// The operator must act.
    Refused(StartError),
}

/// One database, connected or to be connected again.
pub struct PostgresStore {
    target: Target,
    client: Option<Client>,
    /// A try that outlasted its deadline; the next one waits for it, so that there is never a second.
    connecting: Option<Receiver<Result<Client, ConnectError>>>,
    /// Days whose partition this connection has seen.
    days: HashSet<i64>,
    /// COPY's bytes, kept from batch to batch.
    buffer: Vec<u8>,
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").field("server", &self.target.server).finish_non_exhaustive()
    }
}

/// What a connection needs, and its words for messages.
#[derive(Clone)]
struct Target {
    config: Config,
    tls: MakeRustlsConnect,
    server: String,
    user: String,
    database: String,
}

impl PostgresStore {
    /// A store that is not connected yet.
    pub fn new(settings: &Postgres) -> Result<Self, StartError> {
        let target = target(settings)?;
        Ok(Self { target, client: None, connecting: None, days: HashSet::new(), buffer: Vec::new() })
    }

    /// Connects, checks the server and makes the table. Past the deadline the try goes on by itself, and the next call
    /// takes it up.
    pub fn connect(&mut self, deadline: Instant) -> Result<(), ConnectError> {
        let connecting = match self.connecting.take() {
            Some(connecting) => connecting,
            None => aside(self.target.clone(), open)?,
        };
        let wait = deadline.saturating_duration_since(Instant::now());
        match connecting.recv_timeout(wait) {
            Ok(result) => {
                self.client = Some(result?);
                self.days.clear();
                Ok(())
            }
            Err(RecvTimeoutError::Timeout) => {
                self.connecting = Some(connecting);
                let server = &self.target.server;
                Err(ConnectError::Unavailable(format!(
                    "{server} did not answer within {} ms",
                    wait.as_millis()
                )))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(ConnectError::Unavailable("the connecting thread ended without a word".to_owned()))
            }
        }
    }

    fn write_connected(&mut self, client: &mut Client, rows: &[Row]) -> Result<(), StoreError> {
        self.ensure_days(client, rows)?;
        self.buffer.clear();
        postgres_copy::encode(rows, &mut self.buffer);
        copy(client, &self.buffer).map_err(|error| {
            if lacks_partition(&error) {
                // One that was dropped behind our back is made again by the next try.
                self.days.clear();
                return StoreError::Unavailable(words(&error));
            }
            store_error(&error)
        })
    }

    /// Partitions for the rows' days, today and tomorrow. What goes wrong here is no row's fault, but for a day that the
    /// server's calendar does not have.
    fn ensure_days(&mut self, client: &mut Client, rows: &[Row]) -> Result<(), StoreError> {
        let today = postgres_schema::today();
        let wanted = rows.iter().map(Row::day).chain([today, today + 1]);
        let missing: HashSet<i64> = wanted.filter(|day| !self.days.contains(day)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut missing: Vec<i64> = missing.into_iter().collect();
        missing.sort_unstable();
        make_days(client, &missing).map_err(|error| match error.code().map_or("", SqlState::code) {
            code if code.starts_with("22") => StoreError::Row(words(&error)),
            _ => StoreError::Unavailable(words(&error)),
        })?;
        self.days.extend(missing);
        Ok(())
    }
}

impl Store for PostgresStore {
    fn write(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        let client = match self.client.take().filter(|client| !client.is_closed()) {
            Some(client) => Some(client),
            None => {
                self.connect(Instant::now() + CONNECT_TIMEOUT).map_err(|error| match error {
                    ConnectError::Unavailable(why) => StoreError::Unavailable(why),
                    ConnectError::Refused(error) => StoreError::Unavailable(error.to_string()),
                })?;
                self.client.take()
            }
        };
        let Some(mut client) = client else {
            return Err(StoreError::Unavailable("not connected".to_owned()));
        };
        let result = self.write_connected(&mut client, rows);
        // After any trouble but a row's own the connection's state is in doubt, and the next write makes a new one.
        if !matches!(result, Err(StoreError::Unavailable(_))) {
            self.client = Some(client);
        }
        result
    }
}

/// Whether a store of these settings would be connected to and written: its table, its days and the staging of a batch are
/// made in a transaction that is not kept. It waits `timeout` at most; a try that outlasts it ends by itself.
pub fn try_out(settings: &Postgres, timeout: Duration) -> Result<(), ConnectError> {
    let target = target(settings).map_err(ConnectError::Refused)?;
    let server = target.server.clone();
    aside(target, tried_out)?.recv_timeout(timeout).unwrap_or_else(|_| {
        Err(ConnectError::Unavailable(format!("{server} did not answer within {} ms", timeout.as_millis())))
    })
}

fn tried_out(target: &Target) -> Result<(), ConnectError> {
    let mut client = connect(target)?;
    let mut transaction = prepared(target, &mut client)?;
    let columns = COLUMNS.join(", ");
    let today = postgres_schema::today();
    postgres_schema::make_days(&mut transaction, &[today, today + 1])
        .and_then(|()| transaction.batch_execute(STAGING))
        .and_then(|()| transaction.batch_execute(&insert(&columns)))
        .and_then(|()| transaction.rollback())
        .map_err(|error| connect_error(target, &error))
}

/// The first field of the first row that a statement gives; `None`: it gives no row. `statement` is told which columns the
/// table `logs` has. Nothing is made or changed. Waits `timeout` at most. Errors: in words, without the password.
pub(super) fn query(
    settings: &Postgres,
    timeout: Duration,
    statement: impl FnOnce(&[String]) -> String + Send + 'static,
) -> Result<Option<String>, String> {
    let in_words = |error| match error {
        ConnectError::Unavailable(why) => why,
        ConnectError::Refused(error) => error.to_string(),
    };
    let target = target(settings).map_err(|error| error.to_string())?;
    let server = target.server.clone();
    let asked = aside(target, move |target| queried(target, statement)).map_err(in_words)?;
    let answer = asked.recv_timeout(timeout);
    let answer = answer.map_err(|_| format!("{server} did not answer within {} ms", timeout.as_millis()))?;
    answer.map_err(in_words)
}

fn queried(
    target: &Target,
    statement: impl FnOnce(&[String]) -> String,
) -> Result<Option<String>, ConnectError> {
    let mut client = connect(target)?;
    let ask = || {
        let mut transaction = client.build_transaction().read_only(true).start()?;
        transaction.batch_execute(&format!("{LIMITS} SET LOCAL TIME ZONE 'UTC'"))?;
        let columns = postgres_schema::columns(&mut transaction)?;
        let answer = transaction.simple_query(&statement(&columns))?;
        transaction.rollback()?;
        Ok(answer.iter().find_map(postgres_schema::first_field).map(str::to_owned))
    };
    ask().map_err(|error: postgres::Error| connect_error(target, &error))
}

const STAGING: &str = "CREATE TEMPORARY TABLE corelane_staging (LIKE logs INCLUDING DEFAULTS) ON COMMIT DROP";

/// From the staging table, only the rows that are not there yet.
fn insert(columns: &str) -> String {
    format!("INSERT INTO logs ({columns}) SELECT {columns} FROM corelane_staging ON CONFLICT DO NOTHING")
}

/// One batch: COPY into a staging table of this transaction, then only the rows that are not there yet.
fn copy(client: &mut Client, bytes: &[u8]) -> Result<(), postgres::Error> {
    let columns = COLUMNS.join(", ");
    let mut transaction = client.transaction()?;
    transaction.batch_execute(&format!("{LIMITS} {STAGING}"))?;
    let mut writer = transaction.copy_in(&format!("COPY corelane_staging ({columns}) FROM STDIN BINARY"))?;
    // What goes wrong here is said again, with its code, by `finish`.
    let written = writer.write_all(bytes);
    writer.finish()?;
    if written.is_ok() {
        transaction.batch_execute(&insert(&columns))?;
    }
    transaction.commit()
}

fn target(settings: &Postgres) -> Result<Target, StartError> {
    let is_socket = settings.host.starts_with('/');
    let server = format!("{}:{}", settings.host, settings.port);
    let tls = postgres_tls::connector(settings.ssl_mode)
        .map_err(|error| StartError::Tls { server: server.clone(), reason: error.to_string() })?;
    let mut config = Config::new();
    config
        .host(&settings.host)
        .port(settings.port)
        .user(&settings.user)
        .dbname(&settings.db_name)
        .application_name("corelane")
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_user_timeout(TCP_USER_TIMEOUT)
        .keepalives_idle(KEEPALIVE_IDLE)
        .ssl_mode(match settings.ssl_mode {
            // As libpq: no TLS on a socket of this machine.
            _ if is_socket => postgres::config::SslMode::Disable,
            SslMode::Disable => postgres::config::SslMode::Disable,
            SslMode::Prefer => postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => postgres::config::SslMode::Require,
        });
    if let Some(password) = &settings.password {
        config.password(password.expose());
    }
    Ok(Target { config, tls, server, user: settings.user.clone(), database: settings.db_name.clone() })
}

/// Works on a thread of its own: a server that accepts and then says nothing would hold the caller for ever.
fn aside<T: Send + 'static>(
    target: Target,
    work: impl FnOnce(&Target) -> Result<T, ConnectError> + Send + 'static,
) -> Result<Receiver<Result<T, ConnectError>>, ConnectError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("corelane-pgopen".to_owned())
        .spawn(move || drop(sender.send(work(&target))))
        .map_err(|error| ConnectError::Unavailable(format!("no thread to connect: {error}")))?;
    Ok(receiver)
}

fn open(target: &Target) -> Result<Client, ConnectError> {
    let mut client = connect(target)?;
    let transaction = prepared(target, &mut client)?;
    transaction.commit().map_err(|error| connect_error(target, &error))?;
    Ok(client)
}

fn connect(target: &Target) -> Result<Client, ConnectError> {
    target.config.connect(target.tls.clone()).map_err(|error| connect_error(target, &error))
}

/// A transaction on a server that will do, in which the table is there.
fn prepared<'c>(target: &Target, client: &'c mut Client) -> Result<Transaction<'c>, ConnectError> {
    check_server(target, client)?;
    let mut transaction = client.transaction().map_err(|error| connect_error(target, &error))?;
    let is_ours = transaction
        .batch_execute(LIMITS)
        .and_then(|()| postgres_schema::make_table(&mut transaction))
        .map_err(|error| connect_error(target, &error))?;
    if !is_ours {
        let place = format!("database \"{}\"", target.database);
        return Err(ConnectError::Refused(StartError::ForeignTable { place }));
    }
    Ok(transaction)
}

fn check_server(target: &Target, client: &mut Client) -> Result<(), ConnectError> {
    const QUESTION: &str = "SELECT current_setting('server_encoding'), current_setting('server_version_num'), \
                            current_setting('server_version')";
    let answer = client.simple_query(QUESTION).map_err(|error| connect_error(target, &error))?;
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let field = |at| row.and_then(|row| row.get(at)).unwrap_or_default();
    if field(1).parse::<u32>().unwrap_or_default() < SERVER_VERSION_MIN {
        let (server, version) = (target.server.clone(), field(2).to_owned());
        return Err(ConnectError::Refused(StartError::OldServer { server, version }));
    }
    if field(0) != "UTF8" {
        return Err(ConnectError::Refused(StartError::NotUtf8 {
            database: target.database.clone(),
            encoding: field(0).to_owned(),
            command: create_command(&target.database),
        }));
    }
    Ok(())
}

/// Makes a database beside the one that will not do; its name is taken.
fn create_command(database: &str) -> String {
    format!("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0;", identifier(&format!("{database}_utf8")))
}

/// A name as SQL takes it: quoted unless it is plain.
fn identifier(name: &str) -> String {
    let is_plain = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn connect_error(target: &Target, error: &postgres::Error) -> ConnectError {
    let server = target.server.clone();
    let reason = words(error);
    let credentials = |keys| {
        let (server, reason) = (server.clone(), reason.clone());
        ConnectError::Refused(StartError::Credentials { server, reason, keys })
    };
    match error.code() {
        Some(code) if *code == SqlState::INVALID_PASSWORD => credentials("user and password"),
        Some(code) if code.code().starts_with("28") => credentials("user, password and ssl_mode"),
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => credentials("db_name"),
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            let (database, user) = (identifier(&target.database), identifier(&target.user));
            let command = format!(
                "GRANT CREATE, TEMPORARY ON DATABASE {database} TO {user}; GRANT CREATE ON SCHEMA public TO {user};"
            );
            ConnectError::Refused(StartError::Permission { reason, command })
        }
        Some(_) => ConnectError::Unavailable(format!("{server}: {reason}")),
        None => match error.to_string().as_str() {
            "invalid configuration" | "authentication error" => credentials("user and password"),
            "error performing TLS handshake" if is_lasting(error) => {
                ConnectError::Refused(StartError::Tls { server, reason })
            }
            _ => ConnectError::Unavailable(format!("{server}: {reason}")),
        },
    }
}

/// A handshake that failed for what the sides said, and not because the connection broke.
fn is_lasting(error: &postgres::Error) -> bool {
    let io = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    io.is_none_or(|io| {
        matches!(io.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput)
    })
}

/// Classes of SQLSTATE that are about a row: its data, a constraint, a limit on its size; and the server's own
/// stumbling over it. Everything else may pass, and the batch waits.
fn make_days(client: &mut Client, days: &[i64]) -> Result<(), postgres::Error> {
    let mut transaction = client.transaction()?;
    transaction.batch_execute(LIMITS)?;
    postgres_schema::make_days(&mut transaction, days)?;
    transaction.commit()
}

/// "No partition of relation found for row": a check violation without a constraint's name, in any language.
fn lacks_partition(error: &postgres::Error) -> bool {
    error
        .as_db_error()
        .is_some_and(|answer| *answer.code() == SqlState::CHECK_VIOLATION && answer.constraint().is_none())
}

/// Whose fault an error of COPY or INSERT is. A column that we do not know and that must not be null is the schema's.
fn store_error(error: &postgres::Error) -> StoreError {
    let code = error.code().map_or("", SqlState::code);
    let is_schemas = code == SqlState::NOT_NULL_VIOLATION.code();
    if !is_schemas && (["22", "23", "54"].iter().any(|class| code.starts_with(class)) || code == "XX000") {
        StoreError::Row(words(error))
    } else {
        StoreError::Unavailable(words(error))
    }
}

/// The error with its causes; of the server's answer its message and code (its detail may quote the row).
fn words(error: &postgres::Error) -> String {
    if let Some(answer) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", answer.message(), answer.code().code());
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_when_they_must_be() {
        assert_eq!(
            create_command("bifrost"),
            "CREATE DATABASE bifrost_utf8 ENCODING 'UTF8' TEMPLATE template0;"
        );
        assert_eq!(identifier("My \"db\""), "\"My \"\"db\"\"\"");
        assert_eq!(identifier("1st"), "\"1st\"");
    }
}

//! The table `logs` in PostgreSQL: its columns, its daily partitions, and making both while other nodes do the same.
//! Columns are only ever added. It writes no row.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::Date;
use postgres::{Error, SimpleQueryMessage, Transaction};

/// Nodes that change the schema take turns by this lock ("corelane" in ASCII), held until the transaction's end.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7165071312105336421)";

/// JSON stays text: `jsonb` costs several times the CPU and refuses what it can't hold. Partitioned columns are in the
/// primary key, as PostgreSQL demands; a row's timestamp never changes, so the pair is as unique as the id.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS corelane_schema (
    part text PRIMARY KEY,
    version integer NOT NULL
);
CREATE TABLE logs (
    id uuid NOT NULL,
    timestamp timestamptz NOT NULL,
    object_type text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    number_of_retries integer NOT NULL,
    fallback_index integer NOT NULL,
    selected_key_id text NOT NULL,
    selected_key_name text NOT NULL,
    input_history text,
    output_message text,
    params text,
    tools text,
    tool_calls text,
    latency double precision NOT NULL,
    token_usage text,
    prompt_tokens integer,
    completion_tokens integer,
    total_tokens integer,
    cached_read_tokens integer,
    cost double precision,
    status text NOT NULL,
    error_details text,
    stream boolean NOT NULL,
    status_code integer NOT NULL,
    error_kind text,
    attempts integer NOT NULL,
    node text NOT NULL,
    core integer NOT NULL,
    generation bigint NOT NULL,
    first_token_ms double precision,
    overhead_us bigint NOT NULL,
    content_truncated boolean NOT NULL,
    client_ip text,
    attempt_trail text,
    decision text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (timestamp, id)
) PARTITION BY RANGE (timestamp);
INSERT INTO corelane_schema VALUES ('logs', 3) ON CONFLICT DO NOTHING;
";

/// Columns that tables of earlier versions lack, with their types: each may be NULL, so that nodes of those versions can
/// write beside us.
const ADDED: [(&str, &str); 3] = [("client_ip", "text"), ("attempt_trail", "text"), ("decision", "text")];

/// Makes the table unless it is there, also where it was dropped or renamed since, and adds what it lacks; `false`: a table
/// of that name is there which is not ours.
pub(super) fn make_table(transaction: &mut Transaction<'_>) -> Result<bool, Error> {
    if exists(transaction, "corelane_schema")? && exists(transaction, "logs")? {
        return add_columns(transaction).map(|()| true);
    }
    transaction.batch_execute(LOCK)?;
    if exists(transaction, "logs")? {
        let is_ours = exists(transaction, "corelane_schema")?;
        return if is_ours { add_columns(transaction).map(|()| true) } else { Ok(false) };
    }
    transaction.batch_execute(SCHEMA)?;
    Ok(true)
}

/// Asks the catalogue rather than our version: a table may be restored, or made again by a node of an earlier version.
fn add_columns(transaction: &mut Transaction<'_>) -> Result<(), Error> {
    let present = columns(transaction)?;
    let is_missing = |column: &str| !present.iter().any(|one| one == column);
    let missing: Vec<_> = ADDED.iter().filter(|(column, _)| is_missing(column)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    transaction.batch_execute(LOCK)?;
    for (column, kind) in missing {
        transaction.batch_execute(&format!("ALTER TABLE logs ADD COLUMN IF NOT EXISTS {column} {kind}"))?;
    }
    transaction.batch_execute("UPDATE corelane_schema SET version = 3 WHERE part = 'logs' AND version < 3")
}

/// The names of the table's columns. Errors: there is no table.
pub(super) fn columns(transaction: &mut Transaction<'_>) -> Result<Vec<String>, Error> {
    let present = transaction.simple_query(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'logs'::regclass AND attnum > 0 AND NOT attisdropped",
    )?;
    Ok(present.iter().filter_map(first_field).map(str::to_owned).collect())
}

/// Makes the partitions of these days (counted from the epoch, UTC) where they are missing. No default partition: a
/// row that fell into one would stand in the way of its day's own.
pub(super) fn make_days(transaction: &mut Transaction<'_>, days: &[i64]) -> Result<(), Error> {
    if missing(transaction, days)?.is_empty() {
        return Ok(());
    }
    transaction.batch_execute(LOCK)?;
    for day in missing(transaction, days)? {
        transaction.batch_execute(&make_day(day))?;
    }
    Ok(())
}

/// Today in UTC, counted from the epoch.
pub(super) fn today() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_secs() / 86_400).unwrap_or_default()
}

/// A table made apart and then attached locks the whole less than one made as a partition.
fn make_day(day: i64) -> String {
    let (name, from, to) = (partition(day), date(day), date(day + 1));
    format!(
        "CREATE TABLE IF NOT EXISTS {name} (LIKE logs INCLUDING ALL);
         ALTER TABLE logs ATTACH PARTITION {name} FOR VALUES FROM ('{from} 00:00:00+00') TO ('{to} 00:00:00+00')"
    )
}

fn partition(day: i64) -> String {
    format!("logs_{}", date(day).strftime("%Y%m%d"))
}

/// A day beyond the calendar's ends is its end: the server then refuses the row alone.
fn date(day: i64) -> Date {
    let start = Timestamp::from_second(day.saturating_mul(86_400));
    let fallback = if day < 0 { Date::MIN } else { Date::MAX };
    start.map_or(fallback, |start| start.to_zoned(jiff::tz::TimeZone::UTC).date())
}

fn missing(transaction: &mut Transaction<'_>, days: &[i64]) -> Result<Vec<i64>, Error> {
    let attached = transaction.simple_query(
        "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 'logs'::regclass",
    )?;
    let attached: Vec<&str> = attached.iter().filter_map(first_field).collect();
    Ok(days.iter().copied().filter(|day| !attached.contains(&partition(*day).as_str())).collect())
}

/// Asks the catalogue's rows. `to_regclass` asks a cache that may, within one transaction, still say what was true
/// before the lock was ours.
fn exists(transaction: &mut Transaction<'_>, table: &str) -> Result<bool, Error> {
    let answer = transaction.simple_query(&format!(
        "SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
         WHERE relname = '{table}' AND nspname = ANY (current_schemas(false))"
    ))?;
    Ok(answer.iter().find_map(first_field).is_some())
}

/// The first field of a row of an answer.
pub(super) fn first_field(message: &SimpleQueryMessage) -> Option<&str> {
    match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::row::COLUMNS;

    #[test]
    fn the_lock_is_our_name() {
        assert!(LOCK.contains(&i64::from_be_bytes(*b"corelane").to_string()));
    }

    #[test]
    fn a_partition_is_one_day_in_utc() {
        assert_eq!(partition(19_675), "logs_20231114");
        assert!(make_day(19_675).contains("FROM ('2023-11-14 00:00:00+00') TO ('2023-11-15 00:00:00+00')"));
        assert_eq!(date(i64::MAX / 48), Date::MAX);
    }

    #[test]
    fn the_table_has_every_column_that_is_written() {
        for column in COLUMNS {
            assert!(SCHEMA.contains(&format!("\n    {column} ")), "{column}");
        }
    }
}

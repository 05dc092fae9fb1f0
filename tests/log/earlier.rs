//! Tables that an earlier version made: they get the columns that they lack, and keep their rows.

use corelane::telemetry::sqlite::SqliteStore;
use corelane::telemetry::store::Store;

use crate::support::postgres::Postgres;
use crate::{ready, record, row};

/// Earlier versions of the table, and what they lack.
const EARLIER: [(i64, &[&str]); 2] =
    [(2, &["attempt_trail", "decision"]), (1, &["client_ip", "attempt_trail", "decision"])];

#[test]
fn a_table_of_an_earlier_version_gets_what_it_lacks_and_keeps_its_rows() {
    let postgres = Postgres::shared();
    postgres.database("earlier");
    let config = postgres.logs_store("earlier");
    ready(&config).write(&[row(record())]).unwrap();
    for (version, lacking) in EARLIER {
        let drop: String =
            lacking.iter().map(|column| format!("ALTER TABLE logs DROP COLUMN {column}; ")).collect();
        postgres.run("earlier", &format!("{drop} UPDATE corelane_schema SET version = {version}"));
        let nodes: Vec<_> = (0..3)
            .map(|_| {
                let config = config.clone();
                std::thread::spawn(move || ready(&config).write(&[row(record())]).unwrap())
            })
            .collect();
        nodes.into_iter().for_each(|node| node.join().unwrap());
    }
    assert_eq!(postgres.number("earlier", "SELECT count(*) FROM logs"), 7);
    let known = "SELECT count(*) FROM logs WHERE client_ip = '192.0.2.7' AND decision IS NOT NULL";
    assert_eq!(postgres.number("earlier", known), 3);
    assert_eq!(postgres.number("earlier", "SELECT version::bigint FROM corelane_schema"), 3);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs.db");
    SqliteStore::open(&path).unwrap().write(&[row(record())]).unwrap();
    for (version, lacking) in EARLIER {
        let connection = rusqlite::Connection::open(&path).unwrap();
        let drop: String =
            lacking.iter().map(|column| format!("ALTER TABLE logs DROP COLUMN {column}; ")).collect();
        connection.execute_batch(&format!("{drop} PRAGMA user_version = {version}")).unwrap();
        SqliteStore::open(&path).unwrap().write(&[row(record())]).unwrap();
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(version, 3);
    }
    let connection = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(connection.query_row(known, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    // Another program's table, whatever its version.
    let foreign = folder.path().join("foreign.db");
    let connection = rusqlite::Connection::open(&foreign).unwrap();
    connection.execute_batch("CREATE TABLE logs (id TEXT); PRAGMA user_version = 1").unwrap();
    assert!(SqliteStore::open(&foreign).is_err());
}

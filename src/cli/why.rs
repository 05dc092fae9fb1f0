//! `corelane why`: what became of one request and why, from its row in the log store. It asks no node; the row holds the
//! decision, so that it can be told however the config has changed since.

mod text;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::output;
use super::place::ConfigPlace;
use crate::config::Loaded;
use crate::config::snapshot::LogsStore;
use crate::routing::decision::read::Decision;
use crate::telemetry::lookup::{self, Found};

/// Longest wait for the database.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);
/// A row is written up to this long after its request: one that began within is looked for again.
const YOUNG: Duration = Duration::from_secs(3);
/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// `corelane why`.
#[derive(Debug, Args)]
pub(super) struct Why {
    /// The request's id, as in the answer's x-corelane-request-id and in the row.
    #[arg(value_name = "REQUEST_ID")]
    pub id: String,
    /// Where the config is, whose log store is looked into.
    #[command(flatten)]
    pub source: ConfigPlace,
    /// A JSON document: the row, its attempts and its decision.
    #[arg(long)]
    pub json: bool,
}

/// A row with what its JSON columns say.
struct Told {
    row: Found,
    trail: Vec<text::Attempt>,
    /// `Err`: why it cannot be told.
    decision: Result<Decision, String>,
}

/// Exit code 0: the request was found; 1: it was not, or could not be looked for; 2: that is no id of ours.
pub(super) fn run(arguments: &Why) -> ExitCode {
    let Some((id, at)) = parsed(&arguments.id) else {
        let message = format!(
            "error: {:?} is no request id of corelane's, which is a UUID of version 7 (the answer's x-corelane-request-id)",
            arguments.id.chars().take(100).collect::<String>()
        );
        output::complaint(&message);
        return ExitCode::from(2);
    };
    let loaded = match arguments.source.source().examine_away() {
        Ok(loaded) => loaded,
        Err(faults) => return output::faulty(faults, arguments.json, ExitCode::FAILURE),
    };
    match store(&loaded).and_then(|store| looked_for(&store, id, at)) {
        Ok(row) => {
            let told = Told::of(row);
            match arguments.json {
                true => output::document(&told.json(), ExitCode::SUCCESS),
                false => output::answer(text::told(&told).trim_end(), ExitCode::SUCCESS),
            }
        }
        Err(message) => {
            output::complaint(&format!("error: {message}"));
            match arguments.json {
                true => {
                    output::document(&json!({ "id": id.to_string(), "error": message }), ExitCode::FAILURE)
                }
                false => ExitCode::FAILURE,
            }
        }
    }
}

fn parsed(text: &str) -> Option<(Uuid, Timestamp)> {
    let id = Uuid::parse_str(text.trim()).ok()?;
    Some((id, lookup::time_of(id)?))
}

/// The config's log store. A stand-in for a value that is missing here is no password.
fn store(loaded: &Loaded) -> Result<LogsStore, String> {
    let missing = loaded
        .normal
        .references
        .iter()
        .find(|(pointer, reference)| pointer.starts_with("/logs_store/") && !reference.is_set);
    if let Some((pointer, reference)) = missing {
        let key = pointer.trim_start_matches('/').replace('/', ".");
        let whence = &reference.whence;
        return Err(format!(
            "{key} is {whence}, which has no value here: set it, or name the node's --env-file"
        ));
    }
    let store = loaded.snapshot.logs_store.clone();
    store.ok_or_else(|| "this config has no log store (logs_store), so requests have no rows".to_owned())
}

fn looked_for(store: &LogsStore, id: Uuid, at: Timestamp) -> Result<Found, String> {
    loop {
        if let Some(row) = lookup::find(store, id, at, STORE_TIMEOUT)? {
            return Ok(row);
        }
        let age = Timestamp::now().duration_since(at);
        if age.is_negative() || age.unsigned_abs() > YOUNG {
            break;
        }
        #[expect(clippy::disallowed_methods, reason = "a command serves nobody, and nothing would wake it")]
        thread::sleep(LOOK_INTERVAL);
    }
    Err(format!(
        "there is no row {id}: looked in {}, where requests of {at:.0} are. A row is written up to a second after its request \
         ended; one that still runs has none (corelane streams), nor has one that no conversation was asked for by. Is this \
         the store of the node that served it, and was it logging (client.enable_logging)?",
        lookup::place(store)
    ))
}

impl Told {
    fn of(row: Found) -> Self {
        let trail = row.attempt_trail.as_deref().and_then(|trail| serde_json::from_str(trail).ok());
        let decision = match &row.decision {
            Some(decision) => Decision::parse(decision),
            None => Err("the row holds none".to_owned()),
        };
        Self { trail: trail.unwrap_or_default(), decision, row }
    }

    /// The row, with its JSON columns as JSON.
    fn json(&self) -> Value {
        let mut row = serde_json::to_value(&self.row).unwrap_or_default();
        for column in ["attempt_trail", "decision", "error_details"] {
            let parsed =
                row.get(column).and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok());
            if let (Some(parsed), Some(row)) = (parsed, row.as_object_mut()) {
                row.insert(column.to_owned(), parsed);
            }
        }
        row
    }
}

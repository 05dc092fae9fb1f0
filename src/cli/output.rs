//! How a command speaks: its answer on standard output, faults on standard error, a JSON document in place of prose. A
//! reader that closed its end is no fault of ours.

use std::io::{self, Write as _};
use std::process::ExitCode;

use serde::Serialize;

use crate::config::Fault;

/// The answer, with a line's end, and the code to end with: that one, or failure where the answer could not be written.
pub(super) fn answer(text: &str, code: ExitCode) -> ExitCode {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complaint(&error.to_string());
            ExitCode::FAILURE
        }
        _ => code,
    }
}

/// A fault or a warning, with a line's end.
pub(super) fn complaint(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The answer as JSON, for programs and eyes.
pub(super) fn document(value: &impl Serialize, code: ExitCode) -> ExitCode {
    let text = serde_json::to_string_pretty(value).unwrap_or_else(|error| error.to_string());
    answer(&text, code)
}

/// Every fault of configs that are not taken: in words, and with `json` as a document, too.
pub(super) fn faulty(faults: Vec<Fault>, json: bool, code: ExitCode) -> ExitCode {
    let faults: Vec<Finding> = faults.into_iter().map(Finding::from).collect();
    faults.iter().for_each(|fault| complaint(&fault.words));
    match json {
        true => document(&serde_json::json!({ "faults": faults }), code),
        false => code,
    }
}

/// A fault or a warning as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    file: String,
    /// From 1; `null`: nowhere in particular.
    line: Option<u32>,
    /// Characters, from 1; `null` likewise.
    column: Option<u32>,
    /// JSON pointer (RFC 6901); empty: the whole file.
    pointer: String,
    message: String,
    /// As people read it.
    #[serde(skip)]
    pub(super) words: String,
}

impl Finding {
    /// About no place in particular.
    pub(super) fn unplaced(file: &str, message: String) -> Self {
        let words = format!("{file}: {message}");
        Self { file: file.to_owned(), line: None, column: None, pointer: String::new(), message, words }
    }
}

impl From<Fault> for Finding {
    fn from(fault: Fault) -> Self {
        let words = fault.to_string();
        let Fault { file, pointer, line, column, message } = fault;
        let is_placed = line > 0;
        let (line, column) = (is_placed.then_some(line), is_placed.then_some(column));
        Self { file, line, column, pointer, message, words }
    }
}

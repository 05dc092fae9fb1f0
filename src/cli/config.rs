//! `corelane config print`, `schema`, `diff`: what a config means, what may stand in one, what changed between two. It
//! decides nothing and asks no node.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output;
use super::place::ConfigPlace;
use crate::config::{Fault, Loaded, diff, print, schema};

/// What is asked about configs.
#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// The config as it is understood: normalised, defaults filled in, without secrets, each value with where it comes from.
    Print(Print),
    /// The JSON Schema (draft 2020-12) of the config files that this version reads.
    Schema,
    /// What changes from one config to another. Exit 0: nothing; 1: something; 2: one of them cannot be read.
    Diff(Diff),
}

/// `corelane config print`.
#[derive(Debug, Args)]
pub(super) struct Print {
    #[command(flatten)]
    place: ConfigPlace,
    /// One JSON document: `config` (can be loaded again), `provenance` by JSON pointer, `digest`.
    #[arg(long)]
    json: bool,
}

/// `corelane config diff`.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The config before.
    old: PathBuf,
    /// The config after.
    new: PathBuf,
    /// A file of variables (systemd's EnvironmentFile syntax) that stand before the process's own, for both.
    #[arg(long, value_name = "PATH")]
    env_file: Option<PathBuf>,
    /// One JSON document: `equal`, both digests, `changes`.
    #[arg(long)]
    json: bool,
}

/// The exit code of trouble, as diff(1) has it.
const TROUBLE: u8 = 2;

/// Runs one of them: text on standard output, warnings and faults on standard error.
pub(super) fn run(config: &Config) -> ExitCode {
    match config {
        Config::Print(print) => run_print(print),
        Config::Schema => output::document(&schema::schema(), ExitCode::SUCCESS),
        Config::Diff(diff) => run_diff(diff),
    }
}

fn run_print(arguments: &Print) -> ExitCode {
    let source = arguments.place.source();
    let loaded = source.examine_texts().and_then(|texts| Ok((texts.examine_away()?, texts)));
    let (loaded, texts) = match loaded {
        Ok(loaded) => loaded,
        Err(faults) => return output::faulty(faults, arguments.json, ExitCode::FAILURE),
    };
    loaded.warnings.iter().for_each(|warning| output::complaint(&warning.to_string()));
    loaded.unusable_keys.iter().map(Fault::from).for_each(|fault| output::complaint(&fault.to_string()));
    match arguments.json {
        true => output::document(&print::document(&texts.config, &loaded), ExitCode::SUCCESS),
        false => output::answer(print::commented(&texts.config, &loaded).trim_end(), ExitCode::SUCCESS),
    }
}

fn run_diff(arguments: &Diff) -> ExitCode {
    let load = |path: &PathBuf| {
        let env_file = arguments.env_file.clone();
        ConfigPlace { config: Some(path.clone()), app_dir: None, env_file }.source().examine_away()
    };
    let (old, new) = match (load(&arguments.old), load(&arguments.new)) {
        (Ok(old), Ok(new)) => (old, new),
        (old, new) => {
            let faults = [old.err(), new.err()].into_iter().flatten().flatten().collect();
            return output::faulty(faults, arguments.json, ExitCode::from(TROUBLE));
        }
    };
    let changes = diff::changes(&old, &new);
    let code = if changes.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    match arguments.json {
        true => output::document(&document(&old, &new, &changes), code),
        false if changes.is_empty() => code,
        false => output::answer(&changes.join("\n"), code),
    }
}

fn document(old: &Loaded, new: &Loaded, changes: &[String]) -> Value {
    json!({
        "equal": changes.is_empty(),
        "old_digest": old.snapshot.digest,
        "new_digest": new.snapshot.digest,
        "changes": changes,
    })
}

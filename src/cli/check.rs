//! `corelane check`: whether a node could serve a config, by the code that serves it. It binds nothing, and unless asked to
//! (`--online`) it connects nowhere.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::output::{self, Finding};
use super::place::ConfigPlace;
use crate::config::{FINDINGS_MAX, Fault, Loaded, UnusableKey, Whence};
use crate::control::online::{self, Tried};
use crate::control::source::Texts;
use crate::control::{machine, preflight};

/// `corelane check`.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Where the config is.
    #[command(flatten)]
    pub source: ConfigPlace,
    /// Take every warning for a fault.
    #[arg(long)]
    pub strict: bool,
    /// Also resolve and connect to every provider, its proxy and the log store, and fetch the keys' tokens. No provider is sent
    /// a request, nor a key.
    #[arg(long)]
    pub online: bool,
    /// Cores of the node that will serve it [default: those that this process may use].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// A JSON document.
    #[arg(long)]
    pub json: bool,
}

/// What was found.
#[derive(Default, Serialize)]
struct Report {
    good: bool,
    config: String,
    /// `null`: the file is not one.
    digest: Option<String>,
    providers: usize,
    keys: usize,
    faults: Vec<Finding>,
    warnings: Vec<Finding>,
    unusable_keys: Vec<Unusable>,
    online: Vec<Online>,
}

/// A key without a value.
#[derive(Serialize)]
struct Unusable {
    provider: String,
    key: String,
    /// `env.NAME` or `file:/path`; `null`: the file gives no value.
    reference: Option<String>,
    pointer: String,
    line: u32,
    column: u32,
}

/// What was connected to.
#[derive(Serialize)]
struct Online {
    what: String,
    place: String,
    ms: Option<u128>,
    tls: Option<&'static str>,
    fault: Option<String>,
    /// As people read it.
    #[serde(skip)]
    words: String,
}

/// Exit code 0: good; 1: faulty.
pub(super) fn run(arguments: &Check) -> ExitCode {
    let report = report(arguments);
    let code = if report.good { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    match arguments.json {
        true => output::document(&report, code),
        false => say(&report, code),
    }
}

fn report(arguments: &Check) -> Report {
    let source = arguments.source.source();
    let mut report = Report { config: source.config.display().to_string(), ..Report::default() };
    match source.examine_texts() {
        Err(faults) => report.faults = findings(faults),
        Ok(texts) => match texts.examine() {
            Err(faults) => report.faults = findings(with_keys(faults, &texts)),
            Ok(loaded) => report.read(&loaded, arguments),
        },
    }
    report.good = report.faults.is_empty();
    report
}

/// Where all that is wrong is a value that is missing, the keys that miss theirs are named with the rest, and not in a second
/// round.
fn with_keys(mut faults: Vec<Fault>, texts: &Texts) -> Vec<Fault> {
    if let Ok(loaded) = texts.examine_away() {
        faults.extend(loaded.unusable_keys.iter().take(FINDINGS_MAX).map(Fault::from));
        faults.sort_by_key(|fault| (fault.line == 0, fault.line, fault.column));
    }
    faults
}

impl Report {
    fn read(&mut self, loaded: &Loaded, arguments: &Check) {
        let snapshot = &loaded.snapshot;
        self.digest = Some(snapshot.digest.clone());
        self.providers = snapshot.providers.len();
        self.keys = snapshot.providers.iter().map(|provider| provider.keys.len()).sum();
        self.unusable_keys = loaded.unusable_keys.iter().map(Unusable::from).collect();
        if arguments.strict {
            self.faults = findings(loaded.strict_faults());
        } else {
            self.faults = findings(loaded.unusable_keys.iter().map(Fault::from));
            self.warnings = findings(loaded.warnings.iter().cloned().map(Fault::from));
        }
        self.look_further(loaded, arguments);
        if arguments.online {
            self.try_out(loaded);
        }
    }

    /// What serving needs beyond the file.
    fn look_further(&mut self, loaded: &Loaded, arguments: &Check) {
        let workers = arguments.workers.map_or_else(machine::processors, usize::from);
        let (warnings, faults) = match preflight::preflight(loaded, workers) {
            Ok(preflight) => (preflight.warnings, Vec::new()),
            Err(faults) => (Vec::new(), faults),
        };
        let unplaced = |message| Finding::unplaced(&self.config, message);
        self.faults.extend(faults.into_iter().map(unplaced));
        match arguments.strict {
            true => self.faults.extend(warnings.into_iter().map(unplaced)),
            false => self.warnings.extend(warnings.into_iter().map(unplaced)),
        }
    }

    fn try_out(&mut self, loaded: &Loaded) {
        self.online = online::try_out(&loaded.snapshot).into_iter().map(Online::from).collect();
        let faults = self.online.iter().filter(|online| online.fault.is_some());
        self.faults.extend(faults.map(|online| Finding::unplaced(&self.config, online.words.clone())));
    }
}

fn findings(faults: impl IntoIterator<Item = Fault>) -> Vec<Finding> {
    faults.into_iter().map(Finding::from).collect()
}

impl From<&UnusableKey> for Unusable {
    fn from(key: &UnusableKey) -> Self {
        let UnusableKey { provider, key, whence, pointer, line, column, .. } = key.clone();
        let reference = (whence != Whence::Config).then(|| whence.to_string());
        Self { provider, key, reference, pointer, line, column }
    }
}

impl From<Tried> for Online {
    fn from(tried: Tried) -> Self {
        let words = tried.to_string();
        let Tried { what, place, outcome } = tried;
        let (reached, fault) = match outcome {
            Ok(reached) => (Some(reached), None),
            Err(fault) => (None, Some(fault)),
        };
        let ms = reached.as_ref().map(|reached| reached.elapsed.as_millis());
        Self { what, place, ms, tls: reached.and_then(|reached| reached.tls), fault, words }
    }
}

fn say(report: &Report, code: ExitCode) -> ExitCode {
    let Report { config, faults, warnings, online, .. } = report;
    warnings.iter().for_each(|warning| output::complaint(&format!("warning: {}", warning.words)));
    let reached = online.iter().filter(|online| online.fault.is_none());
    let mut said: Vec<&str> = reached.map(|online| online.words.as_str()).collect();
    faults.iter().for_each(|fault| output::complaint(&fault.words));
    if report.good {
        let digest = report.digest.as_deref().unwrap_or_default();
        let (providers, keys) = (count(report.providers, "provider"), count(report.keys, "key"));
        let good = format!("{config}: good: {providers}, {keys}, digest {digest}");
        said.push(&good);
        return output::answer(&said.join("\n"), code);
    }
    match faults.len() {
        found if found > FINDINGS_MAX => {
            output::complaint(&format!("{config}: more than {FINDINGS_MAX} faults"));
        }
        found => output::complaint(&format!("{config}: {}", count(found, "fault"))),
    }
    if said.is_empty() { code } else { output::answer(&said.join("\n"), code) }
}

fn count(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

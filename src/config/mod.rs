//! The shared `config.json`: the file's words (`file`), all of its faults at once (`validate` and the readers), what it
//! means (`snapshot`). Nothing here listens, connects, reads a clock, or opens a file: bytes and environment are
//! arguments, so that `check` and `serve` are the same code.

mod aws;
mod bypass;
mod client;
mod clouds;
mod credential;
pub mod diff;
mod document;
mod duration;
pub mod env_file;
mod fallbacks;
mod fault;
mod file;
mod header_filter;
mod keys;
mod nearest;
mod network;
pub mod normal;
mod operations;
pub mod origins;
mod own_place;
mod pacing;
mod pem;
pub mod print;
mod providers;
mod proxy;
mod reference;
pub mod restart;
pub mod schema;
mod secret;
mod server;
mod shares;
pub mod snapshot;
mod stores;
mod transport;
mod url;
mod validate;

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use document::{DEPTH_MAX, FILE_BYTES_MAX, KEY_BYTES_MAX, NUMBER_BYTES_MAX, VALUES_MAX};
pub(crate) use fault::Printable;
pub use fault::{FINDINGS_MAX, Fault, Notice};
pub(crate) use nearest::nearest;
use normal::{Normal, Values};
use reference::References;
pub use reference::{REDACTED, Whence};
pub use secret::Secret;
use snapshot::{Pem, Server, ServerTls, Snapshot, Transport};

/// Where references are looked up: the process's environment and its files in `control`, anything in a test.
pub trait Environment {
    /// The value of `env.NAME`; `None`: unset, or not UTF-8.
    fn variable(&self, name: &str) -> Option<String>;

    /// The text of the file that `file:/path` names, at most [`SECRET_FILE_BYTES_MAX`] bytes of UTF-8. Errors: why it cannot be read,
    /// worded to stand behind "the file /path "; never what is in it.
    fn file(&self, path: &Path) -> Result<String, String>;
}

/// Largest file that a `file:` reference may name, bytes.
pub const SECRET_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// An environment of variables alone.
impl<F: Fn(&str) -> Option<String>> Environment for F {
    fn variable(&self, name: &str) -> Option<String> {
        self(name)
    }

    fn file(&self, _path: &Path) -> Result<String, String> {
        Err("is not read here".to_owned())
    }
}

/// An accepted file.
#[derive(Clone)]
pub struct Loaded {
    /// What it means; generation 1.
    pub snapshot: Snapshot,
    /// The same in the file's words, without secrets.
    pub normal: Normal,
    /// What it leaves out.
    values: Values,
    /// It was read by [`load_away`]: what has no value here has one where it serves.
    is_away: bool,
    /// In the order of the file, at most [`FINDINGS_MAX`] and one.
    pub warnings: Vec<Notice>,
    /// Enabled keys of served providers that have no value and are never used; to be named at start, and a fault for a
    /// strict check.
    pub unusable_keys: Vec<UnusableKey>,
    /// The files that the config names (`file:` references, certificates): what a reload reads anew, and a watch watches.
    pub files: Vec<PathBuf>,
    /// Over the secrets' values, keyed by the variable `CORELANE_DIGEST_KEY`; `None` without it. 16 hex digits, for the
    /// admin socket alone.
    pub secrets_digest: Option<String>,
}

/// A key without a value. Displays as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusableKey {
    /// The provider's name, lower case.
    pub provider: String,
    /// The key's name.
    pub key: String,
    /// Where the value should have come from; [`Whence::Config`]: the file gives no value.
    pub whence: Whence,
    /// Why there is none, as a clause: a file that cannot be read says what the system said. Empty where the file gives none.
    pub why: String,
    /// The file's name as it was given to [`load`].
    pub file: String,
    /// JSON pointer to the key's value, or to the key where it has none.
    pub pointer: String,
    /// From 1.
    pub line: u32,
    /// Characters from the line's start, from 1.
    pub column: u32,
}

/// Whether one key of a served provider can be used: what `bifrost_provider_key_up` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyState {
    /// The provider's name.
    pub provider: String,
    /// The key's id.
    pub key_id: String,
    /// The key's name.
    pub key_name: String,
    /// It has a value and is enabled.
    pub up: bool,
}

/// The state of every key of every served provider, in the snapshot's order.
pub fn key_states(snapshot: &Snapshot) -> Vec<KeyState> {
    let served = snapshot.providers.iter().filter(|provider| provider.dialect.is_some());
    let keys = served.flat_map(|provider| provider.keys.iter().map(move |key| (provider, key)));
    let state = |(provider, key): (&snapshot::Provider, &snapshot::Key)| KeyState {
        provider: provider.name.clone(),
        key_id: key.id.clone(),
        key_name: key.name.clone(),
        up: key.is_usable(),
    };
    keys.map(state).collect()
}

impl fmt::Display for UnusableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, provider) = (Printable(&self.key), Printable(&self.provider));
        write!(f, "the key \"{key}\" of the provider \"{provider}\" is never used: ")?;
        f.write_str(if self.why.is_empty() { "it has no value" } else { &self.why })
    }
}

impl From<&UnusableKey> for Fault {
    /// What a check makes of it; `serve` starts without the key.
    fn from(key: &UnusableKey) -> Self {
        let UnusableKey { file, pointer, line, column, .. } = key;
        Self {
            file: file.clone(),
            pointer: pointer.clone(),
            line: *line,
            column: *column,
            message: key.to_string(),
        }
    }
}

impl Loaded {
    /// What a strict check finds: keys without a value, and every warning, in the order of the file; at most twice
    /// [`FINDINGS_MAX`] and two.
    pub fn strict_faults(&self) -> Vec<Fault> {
        let mut faults: Vec<Fault> = self.unusable_keys.iter().take(FINDINGS_MAX).map(Fault::from).collect();
        faults.extend(self.warnings.iter().cloned().map(Fault::from));
        // What stands nowhere in particular counts what was left out.
        faults.sort_by_key(|fault| (fault.line == 0, fault.line, fault.column));
        if let Some(left_out) = self.unusable_keys.len().checked_sub(FINDINGS_MAX + 1)
            && let Some(last) = self.unusable_keys.last()
        {
            let message = format!("and {} more keys without a value", left_out + 1);
            let (pointer, line, column) = (String::new(), 0, 0);
            faults.push(Fault { file: last.file.clone(), pointer, line, column, message });
        }
        faults
    }
}

/// Reads a whole file; on failure every fault of it, in the order of the file. `file_name` is only what messages say.
pub fn load(text: &[u8], file_name: &str, environment: &dyn Environment) -> Result<Loaded, Vec<Fault>> {
    load_at(text, file_name, environment, false)
}

/// The same away from the nodes that will serve the file, without their variables and secret files: what is missing is a
/// warning, and means what it will mean there; the digest is theirs. What is read so can be looked at, not served: a
/// stand-in takes the place of each missing value.
pub fn load_away(text: &[u8], file_name: &str, environment: &dyn Environment) -> Result<Loaded, Vec<Fault>> {
    load_at(text, file_name, environment, true)
}

fn load_at(
    text: &[u8],
    file_name: &str,
    environment: &dyn Environment,
    is_away: bool,
) -> Result<Loaded, Vec<Fault>> {
    let bytes = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mut report = fault::Report::new(file_name, bytes);
    let text = match document::decode(bytes) {
        Ok(text) => text,
        Err(malformed) => {
            report.fault(fault::Spot { pointer: "", offset: malformed.offset }, malformed.message);
            return Err(report.into_faults());
        }
    };
    let Some(root) = document::parse(text, &mut report) else { return Err(report.into_faults()) };
    let root = document::At::root(&root);
    validate::object(&root, file::ROOT, true, &mut report);
    if !matches!(root.node.value, document::Value::Object(_)) {
        return Err(report.into_faults());
    }
    read(&root, report, environment, is_away)
}

fn located(keys: Vec<(usize, UnusableKey)>, report: &fault::Report<'_>) -> Vec<UnusableKey> {
    let places = report.places(keys.iter().map(|(offset, _)| *offset));
    let with_place = |((_, key), (line, column))| UnusableKey { line, column, ..key };
    keys.into_iter().zip(places).map(with_place).collect()
}

/// UTF-8's, which some editors write and JSON does not know.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What the readers share while they read one file.
struct Reading<'r, 't> {
    report: &'r mut fault::Report<'t>,
    environment: &'r dyn Environment,
    references: References,
    /// A missing value is a warning: see [`load_away`].
    is_away: bool,
    /// `version` 1: an empty allow list allows all.
    empty_allows_all: bool,
    /// With line and column not counted yet, and the offsets of their pointers, rising.
    unusable_keys: Vec<(usize, UnusableKey)>,
    /// Each once: providers with equal ones share one.
    transports: HashSet<Arc<Transport>>,
}

impl<'r, 't> Reading<'r, 't> {
    fn new(report: &'r mut fault::Report<'t>, environment: &'r dyn Environment) -> Self {
        Self {
            report,
            environment,
            references: References::default(),
            is_away: false,
            empty_allows_all: false,
            unusable_keys: Vec::new(),
            transports: HashSet::new(),
        }
    }
}

fn read(
    root: &document::At<'_>,
    mut report: fault::Report<'_>,
    environment: &dyn Environment,
    is_away: bool,
) -> Result<Loaded, Vec<Fault>> {
    let version = root.member("version").and_then(|version| version.integer());
    validate::plugins(root, &mut report);
    validate::source_of_truth(root, &mut report);
    let client = client::read(root, &mut report);
    let mut reading = Reading::new(&mut report, environment);
    reading.is_away = is_away;
    reading.empty_allows_all = version == Some(1);
    let server = server::read(root, &mut reading);
    let providers = providers::read(root, &mut reading);
    let logs_store = stores::read(root, &mut reading);
    client::warn_of_no_queue(root, &providers, reading.report);
    let Reading { references, unusable_keys, .. } = reading;
    if report.faults_count() > 0 {
        return Err(report.into_faults());
    }
    let unusable_keys = located(unusable_keys, &report);
    let mut snapshot =
        Snapshot { generation: 1, digest: String::new(), client, server, providers, logs_store };
    let (normal, values) = normal::write(&snapshot, root, &references);
    snapshot.digest = normal.digest();
    Ok(Loaded {
        files: files(&references, &snapshot.server),
        secrets_digest: values.digest(environment),
        values,
        is_away,
        snapshot,
        normal,
        warnings: report.into_notices(),
        unusable_keys,
    })
}

/// The files that the config names, sorted, each once.
fn files(references: &References, server: &Server) -> Vec<PathBuf> {
    let mut files: BTreeSet<PathBuf> = references.files().cloned().collect();
    if let Some(ServerTls { cert, key, client_ca }) = &server.tls {
        let paths =
            [Some(cert), Some(key), client_ca.as_ref()].into_iter().flatten().filter_map(|pem| match pem {
                Pem::File(path) => Some(path.clone()),
                Pem::Text { .. } => None,
            });
        files.extend(paths);
    }
    files.into_iter().collect()
}

//! A string that may come from elsewhere: `"env.NAME"`, `"file:/path"`, `{"value","env_var","from_env"}`,
//! `{"value","ref","type"}`, or the string itself. It looks the value up, notes where it came from (for the normal form), and
//! leaves it to the owner what an absent one means.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use super::document::{At, Value};
use super::fault::{Printable, Report, looks_like_secret};
use super::secret::Secret;
use super::{Environment, Reading};

/// What stands in a printed config in place of a secret; refused wherever a value may come from elsewhere, so that a
/// printed file is never taken for the real one.
pub const REDACTED: &str = "<redacted>";
/// Longest name of a variable, bytes: messages quote it.
const VARIABLE_BYTES_MAX: usize = 255;
/// Longest path of a secret's file, bytes: Linux's PATH_MAX.
const PATH_BYTES_MAX: usize = 4_096;
/// Most files that one config may name by `file:`; each is read once.
const FILES_MAX: usize = 8_192;

/// Where a value comes from. Displays as it is written in a config.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whence {
    /// It stands in the config itself, or is given nowhere.
    Config,
    /// `env.NAME`: the variable of this name.
    Variable(String),
    /// `file:/path`: the file of this absolute path.
    File(PathBuf),
}

impl Whence {
    /// Why a key that should come from here has no value, in words that stand alone.
    pub fn lack(&self) -> String {
        match self {
            Self::Config => "the config gives it none".to_owned(),
            Self::Variable(name) => format!("{name} is unset or empty"),
            Self::File(path) => format!("the file {} is empty or cannot be read", named(path)),
        }
    }

    /// ` of the variable NAME`, or nothing: where in a sentence the value is said to come from.
    pub(crate) fn source(&self) -> String {
        match self {
            Self::Config => String::new(),
            Self::Variable(name) => format!(" of the variable {name}"),
            Self::File(path) => format!(" of the file {}", named(path)),
        }
    }
}

/// A path in a message, cut where it is long.
fn named(path: &Path) -> String {
    Printable(&path.to_string_lossy()).to_string()
}

impl fmt::Display for Whence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config => f.write_str("the config"),
            Self::Variable(name) => write!(f, "env.{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// A value that was looked up. No `Debug`: it may be a secret.
#[derive(Clone)]
pub(crate) struct Resolved {
    /// The value; `None`: empty, or not to be had.
    pub(crate) text: Option<Secret>,
    /// Where it comes from.
    pub(crate) whence: Whence,
    /// Why there is none, as a clause; empty where there is one or the config itself gives none.
    pub(crate) absence: String,
}

/// A value that is there. No `Debug`: it may be a secret.
pub(crate) struct Present {
    /// Not empty.
    pub(crate) text: Secret,
    /// Where it comes from.
    pub(crate) whence: Whence,
}

/// Every value of one file that may come from elsewhere, as it was found.
#[derive(Default)]
pub(crate) struct References {
    /// By the JSON pointer in the file.
    resolved: HashMap<String, Resolved>,
    /// What each named file holds, or why it has nothing for us.
    files: BTreeMap<PathBuf, Result<Secret, String>>,
}

impl References {
    /// What was found at this pointer of the file.
    pub(crate) fn at(&self, pointer: &str) -> Option<&Resolved> {
        self.resolved.get(pointer)
    }

    /// The files that were named, sorted.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.keys()
    }
}

/// What a value says before anything is looked up.
pub(crate) enum Written<'t> {
    /// The value itself; maybe empty.
    Literal(&'t str),
    /// A variable's name.
    Variable(&'t str),
    /// A file's absolute path.
    File(PathBuf),
}

/// Resolves a string; `None`: faulty, and reported here or as a wrong type by `validate`.
pub(crate) fn resolve(at: &At<'_>, reading: &mut Reading<'_, '_>) -> Option<Resolved> {
    let resolved = match written(at, reading.report)? {
        Written::Literal(text) => Resolved {
            text: (!text.trim().is_empty()).then(|| Secret::new(text)),
            whence: Whence::Config,
            absence: String::new(),
        },
        Written::Variable(name) => of_variable(name, reading),
        Written::File(path) => of_file(at, path, reading)?,
    };
    reading.references.resolved.insert(at.pointer.clone(), resolved.clone());
    Some(resolved)
}

/// Like [`resolve`] for what must not be missing unnoticed: an unset variable is a fault. `None`: faulty, and reported;
/// `Some(None)`: empty in the file. Away from the node an absence is worth a warning only, and `stand_in` is taken for the
/// value: what the owner accepts; empty: as if it were empty in the file.
pub(crate) fn require(at: &At<'_>, stand_in: &str, reading: &mut Reading<'_, '_>) -> Option<Option<Present>> {
    match resolve(at, reading)? {
        Resolved { text: Some(text), whence, .. } => Some(Some(Present { text, whence })),
        Resolved { whence: Whence::Config, .. } => Some(None),
        Resolved { whence, absence, .. } if reading.is_away => {
            reading.report.warn(at.spot(), format!("{absence}; the node that serves this needs it"));
            Some((!stand_in.is_empty()).then(|| Present { text: Secret::new(stand_in), whence }))
        }
        Resolved { whence: Whence::Variable(_), absence, .. } => {
            reading.report.fault(at.spot(), format!("{absence}; set it"));
            None
        }
        Resolved { whence: Whence::File(_), absence, .. } => {
            reading.report.fault(at.spot(), absence);
            None
        }
    }
}

fn of_variable(name: &str, reading: &Reading<'_, '_>) -> Resolved {
    let text = reading.environment.variable(name).map(Secret::new);
    let text = text.filter(|text| !text.expose().trim().is_empty());
    let absence =
        if text.is_none() { format!("the variable {name} is unset or empty") } else { String::new() };
    Resolved { text, whence: Whence::Variable(name.to_owned()), absence }
}

fn of_file(at: &At<'_>, path: PathBuf, reading: &mut Reading<'_, '_>) -> Option<Resolved> {
    let files = &mut reading.references.files;
    if files.len() >= FILES_MAX && !files.contains_key(&path) {
        reading.report.fault(at.spot(), format!("more than {FILES_MAX} files are named by \"file:\""));
        return None;
    }
    let found = files.entry(path.clone()).or_insert_with_key(|path| text_of_file(path, reading.environment));
    let (text, absence) = match found {
        Ok(text) => (Some(text.clone()), String::new()),
        Err(absence) => (None, absence.clone()),
    };
    Some(Resolved { text, whence: Whence::File(path), absence })
}

/// Without the line break that an editor or `echo` puts at its end; the error says why there is nothing.
fn text_of_file(path: &Path, environment: &dyn Environment) -> Result<Secret, String> {
    let text = environment.file(path).map_err(|why| format!("the file {} {why}", named(path)))?;
    let text = Secret::new(text);
    let value = text.expose().strip_suffix('\n').unwrap_or(text.expose());
    let value = value.strip_suffix('\r').filter(|_| value.len() < text.expose().len()).unwrap_or(value);
    match value.trim().is_empty() {
        true => Err(format!("the file {} is empty", named(path))),
        false => Ok(Secret::new(value)),
    }
}

/// What the value says; `None`: faulty, and reported here or as a wrong type by `validate`.
pub(crate) fn written<'t>(at: &At<'t>, report: &mut Report<'_>) -> Option<Written<'t>> {
    match &at.node.value {
        Value::Text(text) => from_text(at, text, report),
        Value::Number(digits) => Some(Written::Literal(digits)),
        Value::Object(_) => from_object(at, report),
        _ => None,
    }
}

fn from_object<'t>(at: &At<'t>, report: &mut Report<'_>) -> Option<Written<'t>> {
    let text = |name: &str| at.member(name).and_then(|member| member.text()).filter(|text| !text.is_empty());
    let from_env = at.member("from_env").and_then(|flag| flag.bool()).unwrap_or(false);
    let (value, reference) = (text("value"), text("ref").or(text("env_var")));
    match (text("type"), value, reference) {
        (Some("vault"), ..) => {
            report.fault(at.spot(), "vault references are not served by this version: use \"env.NAME\"");
            None
        }
        (Some("plain_text"), Some(value), _) => literal(at, value, report),
        (Some("plain_text"), None, _) => Some(Written::Literal("")),
        (Some("env"), value, reference) => from_variable(at, reference.or(value), report),
        (_, value, reference) if from_env => from_variable(at, reference.or(value), report),
        (_, Some(value), _) => from_text(at, value, report),
        (_, None, Some(reference)) if reference.starts_with(FILE) => from_text(at, reference, report),
        (_, None, Some(reference)) => from_variable(at, Some(reference), report),
        (_, None, None) => Some(Written::Literal("")),
    }
}

/// How a file's reference begins.
const FILE: &str = "file:";

/// Whether a literal that begins so must say that it is none of the references.
pub(crate) fn looks_like_reference(text: &str) -> bool {
    ["env.", FILE, "vault."].iter().any(|prefix| text.starts_with(prefix))
}

fn from_text<'t>(at: &At<'t>, text: &'t str, report: &mut Report<'_>) -> Option<Written<'t>> {
    if text.starts_with("env.") {
        return from_variable(at, Some(text), report);
    }
    if let Some(path) = text.strip_prefix(FILE) {
        return from_path(at, path, report);
    }
    if text.starts_with("vault.") {
        let message =
            "\"vault.\" references are not served by this version: use \"env.NAME\" or \"file:/path\"";
        report.fault(at.spot(), message);
        return None;
    }
    literal(at, text, report)
}

fn literal<'t>(at: &At<'t>, text: &'t str, report: &mut Report<'_>) -> Option<Written<'t>> {
    if text.contains(REDACTED) {
        let message = format!(
            "\"{REDACTED}\" is what a printed config says in place of a secret: write the secret's place, \"env.NAME\" or \
             \"file:/path\""
        );
        report.fault(at.spot(), message);
        return None;
    }
    Some(Written::Literal(text))
}

fn from_variable<'t>(
    at: &At<'t>,
    reference: Option<&'t str>,
    report: &mut Report<'_>,
) -> Option<Written<'t>> {
    let name =
        reference.map(|reference| reference.strip_prefix("env.").unwrap_or(reference)).unwrap_or_default();
    // A name is not quoted before it looks like one: `env.` is easily put before the secret itself.
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_name = name.bytes().all(is_name_byte) && name.len() <= VARIABLE_BYTES_MAX;
    if !is_name || looks_like_secret(name) || name.bytes().next().is_none_or(|first| first.is_ascii_digit()) {
        report.fault(at.spot(), "no variable's name: write \"env.NAME\", of letters, digits and _");
        return None;
    }
    Some(Written::Variable(name))
}

/// Absolute, since nodes have different working folders; `file:///path` is the same as `file:/path`. It is not quoted: the
/// secret itself may have been put here.
fn from_path<'t>(at: &At<'t>, path: &str, report: &mut Report<'_>) -> Option<Written<'t>> {
    let rest = path.trim_start_matches('/');
    let is_absolute = rest.len() < path.len() && !rest.is_empty();
    if !is_absolute || path.len() > PATH_BYTES_MAX || path.chars().any(char::is_control) {
        report.fault(at.spot(), "no file's absolute path: write \"file:/run/secrets/NAME\"");
        return None;
    }
    Some(Written::File(PathBuf::from(format!("/{rest}"))))
}

#[cfg(test)]
mod tests {
    use super::super::document::parse;
    use super::*;

    /// Has one variable, and some files.
    struct Node;

    impl Environment for Node {
        fn variable(&self, name: &str) -> Option<String> {
            (name == "SET").then(|| "from-env".to_owned())
        }

        fn file(&self, path: &Path) -> Result<String, String> {
            match path.to_str() {
                Some("/run/x") => Ok("from-file\n".to_owned()),
                Some("/run/dos") => Ok("from-file\r\n".to_owned()),
                Some("/run/two") => Ok("a\n\n".to_owned()),
                Some("/run/cr") => Ok("a\r".to_owned()),
                Some("/run/empty") => Ok(" \n".to_owned()),
                _ => Err("cannot be read: gone".to_owned()),
            }
        }
    }

    fn check(json: &str) -> Result<(Option<String>, String), String> {
        let mut report = Report::new("c", json.as_bytes());
        let node = parse(json, &mut report).expect("JSON");
        let mut reading = Reading::new(&mut report, &Node);
        let resolved = resolve(&At::root(&node), &mut reading);
        resolved
            .map(|resolved| (resolved.text.map(|text| text.expose().to_owned()), resolved.whence.to_string()))
            .ok_or_else(|| report.into_faults().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_form_is_read() {
        let found = |text: &str, whence: &str| Ok((Some(text.to_owned()), whence.to_owned()));
        let value = |text: &str| found(text, "the config");
        let set = || found("from-env", "env.SET");
        assert_eq!(check(r#""sk-1""#), value("sk-1"));
        assert_eq!(check(r#""env.SET""#), set());
        assert_eq!(check(r#""env.UNSET""#), Ok((None, "env.UNSET".to_owned())));
        assert_eq!(check(r#"{"value":"sk-1****","env_var":"env.SET","from_env":true}"#), set());
        assert_eq!(check(r#"{"value":"sk-1","env_var":"","from_env":false}"#), value("sk-1"));
        assert_eq!(check(r#"{"value":"env.SET"}"#), set());
        assert_eq!(check(r#"{"value":"","ref":"env.SET","type":"env"}"#), set());
        assert_eq!(check(r#"{"ref":"SET","type":"env"}"#), set());
        assert_eq!(check(r#"{"value":"env.SET","type":"plain_text"}"#), value("env.SET"));
        assert_eq!(check(r#""file:/run/x""#), found("from-file", "file:/run/x"));
        assert_eq!(check(r#""file:///run/x""#), found("from-file", "file:/run/x"));
        assert_eq!(check(r#"{"value":"file:/run/x"}"#), found("from-file", "file:/run/x"));
        assert_eq!(check(r#"{"ref":"file:/run/x"}"#), found("from-file", "file:/run/x"));
        assert_eq!(check(r#"{"value":"file:/run/x","type":"plain_text"}"#), value("file:/run/x"));
        assert_eq!(check(r#""file:/run/dos""#), found("from-file", "file:/run/dos"));
        assert_eq!(check(r#""file:/run/two""#), found("a\n", "file:/run/two"));
        assert_eq!(check(r#""file:/run/cr""#), found("a\r", "file:/run/cr"));
        assert_eq!(check(r#""file:/run/empty""#), Ok((None, "file:/run/empty".to_owned())));
        assert_eq!(check(r#""file:/run/gone""#), Ok((None, "file:/run/gone".to_owned())));
        assert_eq!(check(r#""""#), Ok((None, "the config".to_owned())));
        assert_eq!(check("{}"), Ok((None, "the config".to_owned())));
    }

    #[test]
    fn what_is_no_reference_is_refused_without_a_quote() {
        for faulty in [
            r#""env.""#,
            r#""env.A B""#,
            r#""env.sk-live-1""#,
            r#""env.1A""#,
            r#""env.sk_live_AbCdEf0123456789abcd""#,
            &format!("\"env.{}\"", "A".repeat(VARIABLE_BYTES_MAX + 1)),
            r#""file:""#,
            r#""file:/""#,
            r#""file:sk-live-1""#,
            r#""file:./x""#,
            r#""file:/a\nb""#,
            &format!("\"file:/{}\"", "a".repeat(PATH_BYTES_MAX)),
            r#"{"value":"file:x"}"#,
            r#"{"ref":"a#b","type":"vault"}"#,
            r#""<redacted>""#,
            r#"{"value":"http://<redacted>@proxy","type":"plain_text"}"#,
        ] {
            assert!(
                check(faulty).is_err_and(|fault| !fault.contains("sk-live") && !fault.contains("sk_live")),
                "{faulty}"
            );
        }
    }

    #[test]
    fn an_absence_says_why() {
        let absence = |json: &str| {
            let mut report = Report::new("c", json.as_bytes());
            let node = parse(json, &mut report).expect("JSON");
            let mut reading = Reading::new(&mut report, &Node);
            resolve(&At::root(&node), &mut reading).expect("a reference").absence
        };
        assert_eq!(absence(r#""env.UNSET""#), "the variable UNSET is unset or empty");
        assert_eq!(absence(r#""file:/run/gone""#), "the file /run/gone cannot be read: gone");
        assert_eq!(absence(r#""file:/run/empty""#), "the file /run/empty is empty");
        assert!(absence(&format!("\"file:/{}\"", "a".repeat(4_000))).len() < 300);
    }
}

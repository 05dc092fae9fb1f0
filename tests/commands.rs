//! The commands that look at a config, as an operator runs them: the built binary, its exit code and all that it says.
//! `tests/commands/*.expected` are the exact words; `UPDATE_EXPECTED=1 cargo test --test commands` rewrites them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's failure")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tests share a server and wait on conditions"
)]

#[path = "commands/check.rs"]
mod check;
#[path = "commands/explain.rs"]
mod explain;
#[path = "commands/online.rs"]
mod online;
mod support;
#[path = "commands/why.rs"]
mod why;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// What a run left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    /// For goldens; a digest is not theirs to hold.
    fn text(&self) -> String {
        let code = self.code.map_or("none".to_owned(), |code| code.to_string());
        without_digest(&format!("exit {code}\n--- stdout\n{}--- stderr\n{}", self.stdout, self.stderr))
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn has(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.stdout.contains(word) || self.stderr.contains(word), "no {word} in {self:#?}");
        }
    }
}

fn without_digest(text: &str) -> String {
    for mark in [", digest ", "\"digest\": \""] {
        if let Some((before, after)) = text.split_once(mark) {
            return format!("{before}{mark}…{}", after.get(16..).unwrap_or_default());
        }
    }
    text.to_owned()
}

/// The folder of fixtures.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands")
}

/// The keys' variables that fixtures name, but for one.
const VARIABLES: [(&str, &str); 2] =
    [("OPENAI_API_KEY", "sk-of-openai"), ("ANTHROPIC_API_KEY", "sk-of-anthropic")];

fn run_in(folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corelane"));
    command.args(arguments).current_dir(folder).env_clear().envs(variables.iter().copied());
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(!stdout.contains("sk-of-") && !stderr.contains("sk-of-"), "a secret: {stdout}{stderr}");
    Ended { code: status.code(), stdout, stderr }
}

/// Among the fixtures, with their variables.
fn run(arguments: &[&str]) -> Ended {
    run_in(&fixtures(), &VARIABLES, arguments)
}

/// A folder whose config.json has this text.
fn folder(config: impl AsRef<[u8]>) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("config.json"), config).unwrap();
    folder
}

fn compare(name: &str, ended: &Ended) {
    let path = fixtures().join(name).with_extension("expected");
    let actual = ended.text();
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&path, &actual).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, expected, "{}", path.display());
}

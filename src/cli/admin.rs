//! `corelane status`, `streams`, `reload`, `drain`, `key`: an operator's words to a running node over its admin socket.
//! They find the socket, ask, and word the answer; what is done is the node's.

mod client;
mod text;

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::output;
use crate::control::admin::place::Surroundings;
use crate::control::admin::{DRAIN_DEADLINE_MAX_S, segment, socket};
use client::Answer;

/// Where a node's admin socket is, for who asks it.
#[derive(Debug, Args)]
pub(super) struct AdminPlace {
    /// The node's admin socket [default: the one of --port, else the only one that a node of this host answers on].
    #[arg(long, value_name = "PATH")]
    pub admin_socket: Option<PathBuf>,
    /// The port that the node listens on, to find its socket by.
    #[arg(long, env = "APP_PORT")]
    pub port: Option<u16>,
    /// A JSON document.
    #[arg(long)]
    pub json: bool,
}

/// `corelane drain`.
#[derive(Debug, Args)]
pub(super) struct Drain {
    /// Which node.
    #[command(flatten)]
    pub place: AdminPlace,
    /// How long what runs may run on, as 600s, 10m or 1h [default: 30s].
    #[arg(long, value_name = "TIME", value_parser = deadline)]
    pub deadline: Option<Duration>,
}

/// `corelane key`.
#[derive(Debug, Args)]
pub(super) struct KeySwitch {
    /// What becomes of it, until told otherwise or the node ends.
    #[arg(value_enum)]
    pub switch: Switch,
    /// The key's name, as the config has it.
    pub name: String,
    /// Which node.
    #[command(flatten)]
    pub place: AdminPlace,
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Switch {
    /// Out of service: no new request uses it.
    Disable,
    /// Back in.
    Enable,
}

/// Exit code 2: nobody knows which node is meant; 1: the node could not be asked, or refused.
enum Trouble {
    Ambiguous(String),
    Failed(String),
}

/// `corelane status`.
pub(super) fn status(place: &AdminPlace) -> ExitCode {
    say(place, "GET", "/api/status", None, text::status)
}

/// `corelane streams`.
pub(super) fn streams(place: &AdminPlace) -> ExitCode {
    say(place, "GET", "/api/streams", None, text::streams)
}

/// `corelane reload`.
pub(super) fn reload(place: &AdminPlace) -> ExitCode {
    say(place, "POST", "/api/reload", None, text::reloaded)
}

/// `corelane drain`.
pub(super) fn drain(arguments: &Drain) -> ExitCode {
    let body = arguments.deadline.map(|deadline| json!({ "deadline_s": deadline.as_secs() }));
    say(&arguments.place, "POST", "/api/drain", body, text::draining)
}

/// `corelane key`.
pub(super) fn key(arguments: &KeySwitch) -> ExitCode {
    let switch = match arguments.switch {
        Switch::Disable => "disable",
        Switch::Enable => "enable",
    };
    let target = format!("/api/keys/{}/{switch}", segment(&arguments.name));
    say(&arguments.place, "POST", &target, None, text::reloaded)
}

/// Asks, and says what came: as people read it, or as it is.
fn say<T: DeserializeOwned>(
    place: &AdminPlace,
    method: &str,
    target: &str,
    body: Option<Value>,
    words: fn(&T) -> String,
) -> ExitCode {
    let asked =
        find(place).and_then(|path| client::ask(&path, method, target, body).map_err(Trouble::Failed));
    match asked {
        Ok(answer) if answer.is_success() && place.json => output::document(&answer.body, ExitCode::SUCCESS),
        Ok(answer) if answer.is_success() => match serde_json::from_value(answer.body) {
            Ok(value) => output::answer(printable(&words(&value)).trim_end(), ExitCode::SUCCESS),
            Err(error) => {
                output::complaint(&format!(
                    "the node's answer is not understood; is it another version? {error}"
                ));
                ExitCode::FAILURE
            }
        },
        Ok(answer) => refused(&answer, place.json),
        Err(Trouble::Failed(message)) => {
            output::complaint(&message);
            ExitCode::FAILURE
        }
        Err(Trouble::Ambiguous(message)) => {
            output::complaint(&message);
            ExitCode::from(2)
        }
    }
}

fn refused(answer: &Answer, json: bool) -> ExitCode {
    let code = match json {
        true => output::document(&answer.body, ExitCode::FAILURE),
        false => ExitCode::FAILURE,
    };
    let message = answer.body.pointer("/error/message").and_then(Value::as_str);
    output::complaint(&printable(message.unwrap_or("the node refused, and did not say why")));
    let faults = answer.body.get("faults").and_then(Value::as_array).into_iter().flatten();
    faults.filter_map(Value::as_str).for_each(|fault| output::complaint(&printable(fault)));
    code
}

/// Names come from a config and models from callers: a terminal is told nothing by them.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// The socket that is meant.
fn find(place: &AdminPlace) -> Result<PathBuf, Trouble> {
    if let Some(path) = &place.admin_socket {
        return Ok(path.clone());
    }
    // 0 takes a free port: it names none.
    let port = place.port.filter(|port| *port != 0);
    let found = with_surroundings(|surroundings| surroundings.find(port));
    choose(found, port, |path| socket::answers(path).unwrap_or(true))
}

/// Of several, those that nobody answers on are passed over: a node that was killed left them.
fn choose(
    found: Vec<PathBuf>,
    port: Option<u16>,
    answers: impl Fn(&PathBuf) -> bool,
) -> Result<PathBuf, Trouble> {
    let live: Vec<PathBuf> = found.iter().filter(|path| answers(path)).cloned().collect();
    match (live.as_slice(), found.as_slice()) {
        ([path], _) | ([], [path]) => Ok(path.clone()),
        ([], _) => {
            let of = port.map_or_else(String::new, |port| format!(" of port {port}"));
            Err(Trouble::Failed(format!(
                "no admin socket{of} was found on this host. Is the node running, and as whom? It names its socket when \
                 it starts: say it with --admin-socket PATH"
            )))
        }
        (several, _) => {
            let paths: Vec<String> = several.iter().map(|path| format!("  {}", path.display())).collect();
            let list = paths.join("\n");
            Err(Trouble::Ambiguous(format!(
                "several nodes answer on this host; say which with --port N or --admin-socket PATH:\n{list}"
            )))
        }
    }
}

/// Where a node that was told this puts its socket; empty: nowhere.
pub(super) fn homes(said: Option<&OsString>, port: u16) -> Vec<PathBuf> {
    match said {
        Some(said) if said.is_empty() || said == "none" => Vec::new(),
        Some(path) => vec![PathBuf::from(path)],
        None => with_surroundings(|surroundings| surroundings.homes(port)),
    }
}

fn with_surroundings<T>(use_them: impl FnOnce(&Surroundings<'_>) -> T) -> T {
    #[expect(clippy::disallowed_methods, reason = "cli is where the environment is read")]
    let variable = |name: &str| std::env::var(name).ok();
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    use_them(&Surroundings { variable: &variable, is_root })
}

/// Whole seconds, minutes or hours.
fn deadline(text: &str) -> Result<Duration, String> {
    let (number, unit_s) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) if text.ends_with('m') => (number, 60),
        Some(number) if text.ends_with('h') => (number, 60 * 60),
        Some(number) => (number, 1),
        None => (text, 1),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_s));
    match seconds {
        Some(seconds) if seconds <= DRAIN_DEADLINE_MAX_S => Ok(Duration::from_secs(seconds)),
        Some(_) => Err(format!("at most {} hours", DRAIN_DEADLINE_MAX_S / 3600)),
        None => Err("a whole number with s, m or h behind it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_whole_and_bounded() {
        let seconds = |text: &str| deadline(text).map(|deadline| deadline.as_secs());
        for (text, expected) in [("600s", 600), ("90", 90), ("10m", 600), ("24h", 86_400), ("0s", 0)] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for text in ["", "s", "-1s", "1.5h", "10 s", "25h", "99999999999999999999h", "10ms"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_only_node_is_meant_and_one_of_several_is_to_be_said() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let chosen = |found: &[&str], live: &[&str]| {
            let live = paths(live);
            match choose(paths(found), None, |path| live.contains(path)) {
                Ok(path) => path.display().to_string(),
                Err(Trouble::Ambiguous(message)) => format!("2: {message}"),
                Err(Trouble::Failed(message)) => format!("1: {message}"),
            }
        };
        assert_eq!(chosen(&["a"], &["a"]), "a");
        assert_eq!(chosen(&["a", "b"], &["b"]), "b", "a is stale");
        assert_eq!(chosen(&["a"], &[]), "a", "the fault is said when it is asked");
        assert!(chosen(&[], &[]).starts_with("1: no admin socket was found on this host."));
        let several = chosen(&["a", "b"], &["a", "b"]);
        assert!(several.starts_with("2: several nodes") && several.ends_with("PATH:\n  a\n  b"), "{several}");
    }

    #[test]
    fn a_node_told_none_has_no_socket() {
        let homes = |said: &str| homes(Some(&OsString::from(said)), 8080);
        assert_eq!((homes("none"), homes("")), (vec![], vec![]));
        assert_eq!(homes("./none"), [PathBuf::from("./none")]);
    }

    #[test]
    fn a_terminal_is_told_nothing_by_names() {
        assert_eq!(printable("a\u{1b}[2J\nb\u{9b}c"), "a\u{fffd}[2J\nb\u{fffd}c");
    }
}

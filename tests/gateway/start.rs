//! From the command line to the start line, or to exit 1 with all that is wrong, or to exit 2.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::caller::Caller;
use crate::setup::{ANSWER, ASK, CHAT, config, ok, on_both};
use crate::support::node::{KEYS, free_address};
use crate::support::upstream::Upstream;

fn corelane(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corelane"));
    command.current_dir(folder).env_clear().envs(KEYS).env("RUNTIME_DIRECTORY", folder);
    command.stdin(Stdio::null());
    command
}

/// Runs to the end; for starts that must fail.
fn ended(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, stdout } = corelane(folder).args(arguments).output().unwrap();
    assert!(stdout.is_empty());
    (status.code(), String::from_utf8(stderr).unwrap())
}

fn folder(config: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("config.json"), config).unwrap();
    folder
}

/// Starts, reads lines to the one that names the address, and ends.
fn first_lines(command: &mut Command) -> Vec<String> {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
        let is_last = line.contains("serving");
        lines.push(line);
        if is_last {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lines
}

#[test]
fn every_fault_of_a_config_is_said_with_its_place() {
    let text = "{\n  \"providers\": {\n    \"opnai\": { \"keys\": [] },\n    \"openai\": {\n      \"keys\": [ { \"name\": 7, \"value\": \"sk-secret-value\", \"models\": \"gpt-4o\", \"weight\": -1 } ]\n    }\n  },\n  \"client\": { \"enable_logging\": \"yes\" }\n}\n";
    let folder = folder(text);
    let (code, said) = ended(folder.path(), &["serve", "--port", "0"]);
    assert_eq!(code, Some(1), "{said}");
    let messages: Vec<String> = said
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["message"].as_str().unwrap().to_owned())
        .collect();
    for (place, word) in [
        ("config.json:3:5", "openai"),
        ("config.json:5:27", "name"),
        ("config.json:5:68", "models"),
        ("config.json:5:88", "weight"),
        ("config.json:8:33", "/client/enable_logging"),
    ] {
        assert!(
            messages.iter().any(|message| message.contains(place) && message.contains(word)),
            "{place} {word}\nnot in\n{}",
            messages.join("\n")
        );
    }
    assert!(!said.contains("sk-secret-value"));
}

#[test]
fn what_cannot_be_started_is_exit_1() {
    let folder = folder(&config(free_address()).to_string());
    let (code, said) = ended(folder.path(), &["serve", "--config", "missing.json"]);
    assert!(code == Some(1) && said.contains("missing.json"), "{said}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, said) = ended(folder.path(), &["serve", "--port", &port]);
    assert!(code == Some(1) && said.contains(&port) && said.contains("in use"), "{said}");
    let (code, said) = ended(folder.path(), &["serve", "--host", "no.such.host.invalid"]);
    assert!(code == Some(1) && said.contains("no.such.host.invalid"), "{said}");
    let (code, said) = ended(folder.path(), &["serve", "--host", "192.0.2.1", "--port", "0"]);
    assert!(code == Some(1) && said.contains("192.0.2.1"), "{said}");
}

#[test]
fn another_node_on_the_port_is_refused() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = crate::setup::node(&upstream, driver);
        let folder = folder(&config(upstream.address).to_string());
        let port = node.address.port().to_string();
        let (code, said) = ended(folder.path(), &["serve", "--port", &port, "--driver", driver]);
        assert!(code == Some(1) && said.contains(&port), "{said}");
        assert_eq!(Caller::new(&node).post(CHAT, ASK).status, 200);
    });
}

#[test]
fn wrong_words_are_exit_2() {
    let folder = folder("{}");
    for arguments in [
        &["serve", "--port", "x"][..],
        &["serve", "--driver", "kqueue"],
        &["serve", "--workers", "0"],
        &["serve", "--no-such-flag"],
        &["sing"],
        &[],
    ] {
        let (code, said) = ended(folder.path(), arguments);
        assert!(code == Some(2) && !said.is_empty(), "{arguments:?}: {said}");
    }
    let help = corelane(folder.path()).args(["serve", "--help"]).output().unwrap();
    assert!(help.status.success());
    let version = corelane(folder.path()).arg("--version").output().unwrap();
    assert!(String::from_utf8(version.stdout).unwrap().contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_start_line_says_what_runs() {
    on_both(|driver| {
        let folder = folder(&config(free_address()).to_string());
        let lines = first_lines(corelane(folder.path()).args([
            "serve",
            "--port",
            "0",
            "--workers",
            "2",
            "--driver",
            driver,
        ]));
        let line: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
        assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
        let address: SocketAddr = line["address"].as_str().unwrap().parse().unwrap();
        assert!(address.ip().is_loopback() && address.port() != 0);
        assert_eq!(
            (&line["workers"], &line["driver"], &line["generation"]),
            (&2.into(), &driver.into(), &1.into())
        );
        assert!(line["config"].as_str().unwrap().ends_with("config.json"));
        assert!(line["digest"].as_str().unwrap().len() >= 8);
        assert!(line["log_store"].as_str().unwrap().starts_with("none"));
        assert_eq!(lines.iter().filter(|line| line.contains("\"address\"")).count(), 1);
    });
}

#[test]
fn the_environment_is_heard() {
    let folder = folder(&config(free_address()).to_string());
    let elsewhere = TempDir::new().unwrap();
    let port = free_address().port();
    let mut command = corelane(elsewhere.path());
    command.env("APP_DIR", folder.path()).env("APP_HOST", "127.0.0.1").env("APP_PORT", port.to_string());
    let lines = first_lines(command.arg("serve"));
    let line: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(line["address"], format!("127.0.0.1:{port}"));
    assert!(line["config"].as_str().unwrap().starts_with(folder.path().to_str().unwrap()));

    let mut command = corelane(folder.path());
    let lines = first_lines(command.env("LOG_STYLE", "pretty").args(["serve", "--port", "0"]));
    assert!(serde_json::from_str::<Value>(lines.last().unwrap()).is_err());
    let wrong = corelane(folder.path()).env("LOG_LEVEL", "loud").arg("serve").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn a_config_beside_an_app_dir_of_the_environment_wins() {
    // The image sets APP_DIR; a flag on the command line is nearer to the operator than its environment.
    let folder = folder(&config(free_address()).to_string());
    let elsewhere = TempDir::new().unwrap();
    let path = folder.path().join("config.json");
    let mut command = corelane(elsewhere.path());
    command.env("APP_DIR", elsewhere.path()).args(["serve", "--port", "0", "--config"]).arg(path);
    let lines = first_lines(&mut command);
    assert!(lines.last().is_some_and(|line| line.contains("\"address\"")), "{lines:?}");
}

#[test]
fn a_quiet_level_is_quiet() {
    let folder = folder(&config(free_address()).to_string());
    let port = free_address().port();
    let mut command = corelane(folder.path());
    command.env("LOG_LEVEL", "error").args(["serve", "--port", &port.to_string()]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    crate::support::node::eventually("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    child.kill().unwrap();
    child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn a_key_without_a_value_is_named_and_the_rest_serves() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let folder = folder(&config(upstream.address).to_string());
        let mut command = corelane(folder.path());
        command.env_remove("ANTHROPIC_API_KEY").args(["serve", "--port", "0", "--driver", driver]);
        let lines = first_lines(&mut command);
        assert!(
            lines.iter().any(|line| line.contains("second") && line.contains("ANTHROPIC_API_KEY")),
            "{lines:?}"
        );
        command.env_remove("OPENAI_API_KEY");
        let lines = first_lines(&mut command);
        assert!(
            lines.iter().any(|line| line.contains("no key can be used") && line.contains("OPENAI_API_KEY"))
        );
        assert!(lines.last().is_some_and(|line| line.contains("\"address\"")), "{lines:?}");
    });
}

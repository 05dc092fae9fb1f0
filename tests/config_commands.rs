//! `corelane config print`, `schema` and `diff` as a user runs them: exit codes, and which stream says what.

#![allow(clippy::expect_used, clippy::panic, reason = "a test's helpers fail as the test does")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

/// Runs the binary with two variables and nothing else in its environment.
fn corelane(folder: &Path, words: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_corelane"))
        .args(words)
        .current_dir(folder)
        .env_clear()
        .env("OPENAI_API_KEY", "canary-of-env")
        .output()
        .expect("the binary");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let (stdout, stderr) = (text(stdout), text(stderr));
    assert!(!stdout.contains("canary") && !stderr.contains("canary"), "{stdout}{stderr}");
    (status.code().expect("an exit code"), stdout, stderr)
}

fn config(weight: u32, literal: &str) -> Value {
    json!({
        "clinet": {},
        "providers": {"openai": {"keys": [
            {"name": "a", "value": "env.OPENAI_API_KEY", "models": ["gpt-4o"], "weight": weight},
            {"name": "b", "value": literal, "models": ["gpt-4o"]},
            {"name": "c", "value": "file:/nonexistent/canary", "models": ["gpt-4o"], "enabled": false},
            {"name": "d", "value": "env.FROM_FILE", "models": ["gpt-4.1"]}
        ]}}
    })
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("to write");
    let text = |config: &Value| config.to_string().replace("/nonexistent/canary", "/nonexistent/secret");
    write("config.json", &text(&config(1, "canary-1")));
    write("weight.json", &text(&config(3, "canary-1")));
    write("secret.json", &text(&config(1, "canary-2")));
    write("bad.json", r#"{"providers": {"openai": {"keys": 1}}, "version": 3}"#);
    write("vars", "FROM_FILE=canary-of-file\n");
    folder
}

#[test]
fn print_says_the_config_on_stdout_and_warnings_on_stderr() {
    let folder = folder();
    let (code, out, err) = corelane(folder.path(), &["config", "print"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("// digest ") && out.ends_with("}\n"), "{out}");
    for line in [
        "\"value\": \"env.OPENAI_API_KEY\", // env.OPENAI_API_KEY (set)",
        "\"value\": \"<redacted>\", // file 1:",
        "\"value\": \"file:/nonexistent/secret\", // file:/nonexistent/secret (unset)",
        "\"value\": \"env.FROM_FILE\", // env.FROM_FILE (unset)",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    assert!(
        err.contains("unknown key \"clinet\"") && err.contains("the variable FROM_FILE is unset"),
        "{err}"
    );
    let (_, out, err) = corelane(folder.path(), &["config", "print", "--env-file", "vars"]);
    assert!(out.contains("env.FROM_FILE (set)") && !err.contains("FROM_FILE"), "{out}{err}");
}

/// The seed's own file, where none of its variables is set.
#[test]
fn a_file_is_looked_at_away_from_its_nodes() {
    let folder = folder();
    let seed = include_str!("config/good/seed.json");
    fs::write(folder.path().join("seed.json"), seed).expect("to write");
    fs::write(folder.path().join("port.json"), seed.replace("5432", "5433")).expect("to write");
    fs::write(folder.path().join("all"), "POSTGRES_HOST=h\nPOSTGRES_PASSWORD=p\nANTHROPIC_API_KEY=sk-2\n")
        .expect("to write");
    let run = |words: &[&str]| corelane(folder.path(), words);
    let (code, away, err) = run(&["config", "print", "--config", "seed.json"]);
    assert_eq!(code, 0, "{err}");
    assert!(away.contains("\"host\": \"env.POSTGRES_HOST\", // env.POSTGRES_HOST (unset)"), "{away}");
    assert!(
        err.contains("seed.json:14:15: /logs_store/config/host: the variable POSTGRES_HOST is unset"),
        "{err}"
    );
    let (_, on_a_node, _) = run(&["config", "print", "--config", "seed.json", "--env-file", "all"]);
    assert_eq!(on_a_node.lines().next(), away.lines().next(), "the digest");
    assert_eq!(run(&["config", "diff", "seed.json", "seed.json"]).0, 0);
    let changed = "logs_store.config.port: 5432 → 5433\n".to_owned();
    assert_eq!(run(&["config", "diff", "seed.json", "port.json"]), (1, changed, String::new()));
    let asked = ["explain", "--config", "seed.json", "--model", "gpt-4o"];
    let (code, out, _) = run(&asked);
    assert_eq!(code, 0, "{out}");
    // Whoever is about to serve it must have them.
    let (code, _, err) = run(&["check", "--config", "seed.json"]);
    assert!(code == 1 && err.contains("POSTGRES_HOST is unset or empty; set it"), "{err}");
}

#[test]
fn print_json_is_a_config_and_its_provenance() {
    let folder = folder();
    let (code, out, _) = corelane(folder.path(), &["config", "print", "--json", "--config", "weight.json"]);
    let document: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(code, 0);
    assert_eq!(
        document["provenance"]["/providers/openai/keys/0/weight"].as_str().map(|place| &place[..7]),
        Some("file 1:")
    );
    let refilled = document["config"].to_string().replace("<redacted>", "canary-3");
    fs::write(folder.path().join("again.json"), refilled).expect("to write");
    let (_, again, _) = corelane(folder.path(), &["config", "print", "--json", "--config", "again.json"]);
    let again: Value = serde_json::from_str(&again).expect("JSON");
    assert_eq!((&again["digest"], &again["config"]), (&document["digest"], &document["config"]));
}

#[test]
fn a_bad_file_has_its_faults_on_stderr() {
    let folder = folder();
    for words in [
        &["config", "print", "--config", "bad.json"][..],
        &["config", "print", "--json", "--config", "bad.json"],
    ] {
        let (code, out, err) = corelane(folder.path(), words);
        let said =
            if out.is_empty() { json!({}) } else { serde_json::from_str::<Value>(&out).expect("JSON") };
        let faults = said["faults"].as_array().map(Vec::len);
        assert_eq!((code, faults), (1, words.contains(&"--json").then_some(2)));
        assert!(err.lines().count() == 2 && err.contains("bad.json:1:35: /providers/openai/keys"), "{err}");
    }
    let (code, out, err) = corelane(folder.path(), &["config", "print", "--config", "gone.json"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with("gone.json: "), "{err}");
    assert_eq!(corelane(folder.path(), &["config", "prnit"]).0, 2);
}

#[test]
fn diff_has_the_exit_codes_of_diff() {
    let folder = folder();
    let diff = |words: &[&str]| corelane(folder.path(), &[&["config", "diff"], words].concat());
    assert_eq!(diff(&["config.json", "config.json"]), (0, String::new(), String::new()));
    let (code, out, err) = diff(&["config.json", "weight.json"]);
    assert_eq!((code, err.as_str()), (1, ""));
    assert_eq!(out, "key a: share 50 % → 75 % of gpt-4o\nkey b: share 50 % → 25 % of gpt-4o\n");
    let (code, out, _) = diff(&["--json", "config.json", "secret.json"]);
    let document: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(code, 1);
    assert_eq!(document["changes"], json!(["key b: its value changed"]));
    assert_eq!((&document["equal"], &document["old_digest"]), (&json!(false), &document["new_digest"]));
    let (code, out, err) = diff(&["config.json", "bad.json"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("bad.json"), "{err}");
    assert_eq!(diff(&["config.json"]).0, 2);
    assert_eq!(diff(&["gone.json", "config.json"]).0, 2);
}

#[test]
fn schema_is_printed_whole() {
    let folder: PathBuf = std::env::temp_dir();
    let (code, out, err) = corelane(&folder, &["config", "schema"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let schema: Value = serde_json::from_str(&out).expect("JSON");
    assert!(jsonschema::draft202012::meta::is_valid(&schema));
}

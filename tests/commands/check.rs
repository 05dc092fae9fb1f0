//! `corelane check` offline: what is good, what is faulty, and what it leaves alone.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::node::{Node, free_address};
use crate::support::tls::Certificates;
use crate::{VARIABLES, compare, fixtures, folder, run, run_in};

const ONE_KEY: &str = r#"{"version": 2, "providers": {"openai": {"keys": [{"name": "k", "value": "env.K", "models": ["*"]}]}}}"#;

#[test]
fn the_words_are_these() {
    compare("check_good", &run(&["check", "--config", "good.json"]));
    compare("check_warned", &run(&["check", "--config", "warned.json"]));
    compare("check_strict", &run(&["check", "--config", "warned.json", "--strict"]));
    compare("check_faulty", &run(&["check", "--config", "faulty.json"]));
    compare("check_json", &run(&["check", "--config", "warned.json", "--json"]));
    compare("check_missing", &run(&["check", "--config", "no/such.json"]));
}

#[test]
fn nginxs_words_are_taken() {
    for rest in [&["--config", "good.json"][..], &["--config", "faulty.json", "--json"], &["--nonsense"]] {
        let check = run(&[&["check"], rest].concat());
        assert_eq!(run(&[&["-t"], rest].concat()), check);
        let print = run(&[&["config", "print"], rest].concat());
        assert_eq!(run(&[&["-T"], rest].concat()), print);
    }
    run(&["-T", "--config", "good.json"]).has(0, &["\"primary\"", "env.OPENAI_API_KEY"]);
    let folder = folder(ONE_KEY);
    run_in(folder.path(), &[("K", "sk-of-k")], &["-t"])
        .has(0, &["config.json: good: 1 provider, 1 key, digest "]);
}

#[test]
fn wrong_words_are_exit_2() {
    for arguments in
        [&["check", "--nonsense"][..], &["check", "--workers", "0"], &["check", "config.json"], &["-t", "-t"]]
    {
        let ended = run(arguments);
        ended.has(2, &["error: "]);
        assert!(ended.stdout.is_empty(), "{ended:?}");
    }
}

#[test]
fn a_key_without_a_value_is_a_fault_here_and_where_strictness_is_asked_for() {
    let folder = folder(ONE_KEY);
    for variables in [&[][..], &[("K", "")]] {
        let ended = run_in(folder.path(), variables, &["check"]);
        ended.has(1, &["unset or empty", "config.json: 1 fault"]);
        run_in(folder.path(), variables, &["serve", "--port", "0", "--strict"]).has(1, &["unset or empty"]);
    }
    run_in(folder.path(), &[("K", "sk-of-k")], &["check", "--strict"]).has(0, &["good"]);
}

#[test]
fn serve_strict_refuses_what_check_strict_refuses() {
    let check = run(&["check", "--strict", "--config", "warned.json"]);
    let serve = run(&["serve", "--strict", "--port", "0", "--config", "warned.json"]);
    assert_eq!((check.code, serve.code), (Some(1), Some(1)));
    let serve: Vec<String> = serve.stderr.lines().map(message).collect();
    let check: Vec<&str> = check.stderr.lines().collect();
    assert_eq!(serve, check[..check.len() - 1], "all but the count");
    let good = fs::read_to_string(fixtures().join("good.json")).unwrap();
    Node::try_start_with(&good, &["--workers", "1", "--strict"], &VARIABLES).unwrap();
}

#[test]
fn what_check_refuses_serve_refuses_in_the_same_words() {
    let folder = fixtures().with_file_name("config").join("bad");
    let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = names.filter(|name| name.ends_with(".json")).collect();
    assert!(names.len() > 10);
    for name in names {
        if run_in(&folder, &VARIABLES, &["check", "--json", "--config", &name]).json()["digest"].is_string() {
            continue; // Its fault is a key without a value, and a node starts without such.
        }
        let check = run_in(&folder, &VARIABLES, &["check", "--config", &name]);
        let serve = ["serve", "--port", "0", "--host", "no.such.host.invalid", "--config", &name];
        let serve = run_in(&folder, &VARIABLES, &serve);
        assert_eq!((check.code, serve.code), (Some(1), Some(1)), "{name}");
        let serve: Vec<String> = serve.stderr.lines().map(message).collect();
        let check: Vec<&str> = check.stderr.lines().collect();
        assert_eq!(serve, check[..check.len() - 1], "{name}");
    }
}

/// Of a log line.
fn message(line: &str) -> String {
    serde_json::from_str::<Value>(line).unwrap()["message"].as_str().unwrap().to_owned()
}

#[test]
fn json_holds_places_apart_from_words() {
    let report = run(&["check", "--config", "faulty.json", "--json"]).json();
    assert_eq!((&report["good"], &report["digest"]), (&json!(false), &Value::Null));
    let faults = report["faults"].as_array().unwrap();
    assert!(faults.len() > 3);
    for fault in faults {
        assert_eq!(fault["file"], "faulty.json");
        assert!(fault["line"].is_u64() && fault["column"].is_u64(), "{fault}");
        assert!(fault["pointer"].as_str().unwrap().starts_with('/'), "{fault}");
    }
    let missing = run(&["check", "--config", "none.json", "--json"]).json();
    assert_eq!((&missing["faults"][0]["line"], &missing["faults"][0]["pointer"]), (&Value::Null, &json!("")));
    let good = run(&["check", "--config", "good.json", "--json"]).json();
    assert_eq!(good["digest"].as_str().unwrap().len(), 16);
    assert_eq!((&good["providers"], &good["keys"], &good["online"]), (&json!(4), &json!(6), &json!([])));
}

#[test]
fn the_same_faults_stand_in_both_forms() {
    let words = run(&["check", "--config", "faulty.json"]);
    let report = run(&["check", "--config", "faulty.json", "--json"]);
    assert!(report.stderr.is_empty(), "{report:?}");
    let written: Vec<String> = report.json()["faults"].as_array().unwrap().iter().map(line).collect();
    let said: Vec<&str> = words.stderr.lines().collect();
    assert_eq!(written, said[..said.len() - 1]);
}

fn line(fault: &Value) -> String {
    let text = |name: &str| fault[name].as_str().unwrap().to_owned();
    format!(
        "{}:{}:{}: {}: {}",
        text("file"),
        fault["line"],
        fault["column"],
        text("pointer"),
        text("message")
    )
}

#[test]
fn files_of_every_kind_end_in_words() {
    let marked = folder([b"\xEF\xBB\xBF", ONE_KEY.as_bytes()].concat());
    run_in(marked.path(), &[("K", "sk-of-k")], &["check"]).has(0, &["good"]);
    let huge = folder("");
    File::create(huge.path().join("config.json")).unwrap().set_len(64 * 1024 * 1024 + 1).unwrap();
    run_in(huge.path(), &[], &["check"]).has(1, &["config.json: 1 fault"]);
    let nothing = folder("");
    run_in(nothing.path(), &[], &["check"]).has(1, &["config.json:1:1: "]);
    run_in(nothing.path(), &[], &["check", "--config", "."]).has(1, &[".: Is a directory"]);
    run_in(nothing.path(), &[], &["check", "--app-dir", "/no/such"])
        .has(1, &["/no/such/config.json: No such file"]);
}

#[test]
fn nobody_waits_for_a_pipe() {
    let one_key = folder(
        r#"{"providers":{"openai":{"keys":[
        {"name":"k","value":"file:PIPE","models":["*"]},{"name":"l","value":"env.K","models":["*"]}]}}}"#,
    );
    let pipe = one_key.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let config = fs::read_to_string(one_key.path().join("config.json")).unwrap();
    fs::write(one_key.path().join("config.json"), config.replace("PIPE", pipe.to_str().unwrap())).unwrap();
    let run = |words: &[&str]| run_in(one_key.path(), &[("K", "sk-of-k")], words);
    run(&["check"]).has(1, &["/keys/0/value: the key \"k\"", "is a named pipe, and a file is wanted"]);
    run(&["check", "--config", "pipe"]).has(1, &["pipe: is a named pipe, and a file is wanted"]);
    run(&["check", "--env-file", "pipe"]).has(1, &["pipe: is a named pipe, and a file is wanted"]);
}

#[test]
fn an_env_file_stands_before_the_environment() {
    let folder = folder(ONE_KEY);
    let env_file = folder.path().join("node.env");
    fs::write(&env_file, "K='sk-of-file'\n").unwrap();
    let check =
        |variables: &[(&str, &str)]| run_in(folder.path(), variables, &["check", "--env-file", "node.env"]);
    check(&[]).has(0, &["good"]);
    fs::write(&env_file, "K=\n").unwrap();
    check(&[("K", "sk-of-k")]).has(1, &["unset or empty"]);
    fs::write(&env_file, "# fine\nexport K=sk-of-file\n").unwrap();
    check(&[]).has(1, &["node.env: line 2", "config.json: 1 fault"]);
    fs::remove_file(&env_file).unwrap();
    check(&[]).has(1, &["node.env: No such file"]);
}

#[test]
fn a_secret_in_a_file_is_read() {
    let folder = folder("");
    let secret = folder.path().join("secret");
    let config = ONE_KEY.replace("env.K", &format!("file:{}", secret.display()));
    fs::write(folder.path().join("config.json"), config).unwrap();
    let check = || run_in(folder.path(), &[], &["check"]);
    check().has(1, &["/providers/openai/keys/0/value", secret.to_str().unwrap(), "config.json: 1 fault"]);
    fs::write(&secret, "sk-of-file\n").unwrap();
    check().has(0, &["good"]);
}

#[test]
fn what_serving_needs_beyond_the_file_is_looked_at() {
    let mut config: Value = serde_json::from_str(ONE_KEY).unwrap();
    config["providers"]["openai"]["network_config"] = json!({"max_conns_per_host": 2});
    let few = folder(config.to_string());
    let check = |workers| run_in(few.path(), &[("K", "sk-of-k")], &["check", "--workers", workers]);
    check("2").has(0, &["good"]);
    check("3").has(1, &["max_conns_per_host is 2", "config.json: 1 fault"]);

    let certificates = Certificates::new();
    let mut config: Value = serde_json::from_str(ONE_KEY).unwrap();
    config["server"] = json!({"tls": certificates.server_tls()});
    let listening = folder(config.to_string());
    let check =
        |strict: &[&str]| run_in(listening.path(), &[("K", "sk-of-k")], &[&["check"], strict].concat());
    check(&[]).has(0, &["good"]);
    let expired = certificates.expired();
    certificates.write("server.pem", &expired.cert);
    check(&[]).has(1, &["/server/tls/key", "not the key of the first certificate"]);
    certificates.write("server.key", &expired.key);
    check(&[]).has(0, &["warning: config.json: /server/tls/cert", "expired", "good"]);
    check(&["--strict"]).has(1, &["config.json: /server/tls/cert", "expired", "config.json: 1 fault"]);
    fs::remove_file(certificates.path("server.key")).unwrap();
    check(&[]).has(1, &["server.key: No such file"]);
}

#[test]
fn nothing_is_bound_connected_to_or_written() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut config: Value = serde_json::from_str(ONE_KEY).unwrap();
    config["providers"]["openai"]["network_config"] = json!({"base_url": format!("http://127.0.0.1:{port}")});
    config["logs_store"] = json!({"enabled": true, "type": "postgres", "config": {
        "host": "127.0.0.1", "port": port, "user": "u", "password": "env.K", "db_name": "d", "ssl_mode": "disable",
    }});
    let folder = folder(config.to_string());
    let taken = TcpListener::bind(free_address()).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let variables = [("K", "sk-of-k"), ("APP_PORT", port.as_str())];
    run_in(folder.path(), &variables, &["check"]).has(0, &["good"]);
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    config["logs_store"] = json!({"enabled": true, "type": "sqlite", "config": {"path": "logs.db"}});
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    run_in(folder.path(), &variables, &["check"]).has(0, &["good"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the config alone");
}

#[test]
fn a_reader_that_has_gone_is_no_fault() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corelane"));
    command.args(["check", "--config", "good.json", "--json"]).current_dir(fixtures());
    command.env_clear().envs(VARIABLES).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn all_that_is_missing_is_said_at_once() {
    let seed = fs::read(fixtures().with_file_name("config").join("good/seed.json")).unwrap();
    let seed = folder(seed);
    let missing = ["POSTGRES_HOST", "POSTGRES_PASSWORD", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"];
    let ended = run_in(seed.path(), &[], &["check"]);
    ended.has(1, &missing);
    ended.has(1, &["config.json: 4 faults"]);
}

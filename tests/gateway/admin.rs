//! An operator's commands to a running node over its admin socket, by the program as operators start it: what it prints,
//! what it exits with, and what becomes of the node.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::caller::{Caller, request};
use crate::setup::{
    ANSWER, ASK, ASK_STREAM, CHAT, STREAM_HEAD, chunk, config, event, node, ok, on_both, streaming,
};
use crate::support::node::{KEYS, Node, RUNTIME_FOLDER, eventually};
use crate::support::upstream::{Gate, Upstream};

/// What a command said, and its exit code.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) complaints: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The output of a command that succeeded.
    pub(crate) fn well(self) -> String {
        assert_eq!((self.code, self.complaints.as_str()), (Some(0), ""), "{self:?}");
        self.out
    }
}

/// Runs `corelane` beside the node.
pub(crate) fn run(node: &Node, words: &[&str]) -> Said {
    run_with(&[("RUNTIME_DIRECTORY", &node.folder.path().join(RUNTIME_FOLDER).display().to_string())], words)
}

/// Runs `corelane` with these variables and no others.
pub(crate) fn run_with(variables: &[(&str, &str)], words: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corelane"));
    let output = command.args(words).env_clear().envs(variables.iter().copied()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), complaints: text(output.stderr) }
}

/// The node's socket, where it is by default.
pub(crate) fn socket(node: &Node) -> PathBuf {
    node.folder.path().join(RUNTIME_FOLDER).join(format!("corelane-{}.sock", node.address.port()))
}

/// Not watching its file, so that a test decides when it is read.
fn unwatched(config: &Value, driver: &str) -> Node {
    Node::try_start_with(&config.to_string(), &["--workers", "2", "--driver", driver, "--no-watch"], &KEYS)
        .unwrap_or_else(|lines| panic!("no start: {lines:#?}"))
}

fn write(node: &Node, config: &Value) {
    fs::write(node.folder.path().join("config.json"), config.to_string()).unwrap();
}

/// Two keys of one provider, each with half of the requests.
fn two_keys(upstream: &Upstream) -> Value {
    let mut config = config(upstream.address);
    let key =
        |name: &str, value: &str| json!({ "name": name, "value": value, "models": ["gpt-4o"], "weight": 1 });
    config["providers"]["openai"]["keys"] =
        json!([key("one", "env.OPENAI_API_KEY"), key("two/ü", "env.ANTHROPIC_API_KEY")]);
    config
}

#[test]
fn status_says_how_a_node_is() {
    let upstream = Upstream::answering(ok(ANSWER));
    on_both(|driver| {
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        caller.send(request(CHAT, "", ASK));
        assert_eq!(caller.answer().status, 200);
        let status = run(&node, &["status", "--json"]).json();
        assert_eq!(status["pid"], json!(node.pid()));
        assert_eq!(status["address"], json!(node.address.to_string()));
        assert_eq!((&status["driver"], &status["draining"]), (&json!(driver), &json!(false)));
        assert_eq!((&status["config"]["generation"], &status["log"]), (&json!(1), &Value::Null));
        let start: Value = serde_json::from_str(&node.start_line).unwrap();
        assert_eq!(status["config"]["digest"], start["digest"]);
        assert_eq!(start["admin_socket"], json!(socket(&node).display().to_string()));
        let cores = status["cores"].as_array().unwrap();
        let numbers = |name: &str| cores.iter().map(|core| core[name].as_u64().unwrap()).collect::<Vec<_>>();
        assert_eq!((numbers("core"), numbers("generation")), (vec![0, 1], vec![1, 1]));
        let sums = ["connections", "requests", "streams"].map(|name| numbers(name).iter().sum::<u64>());
        assert_eq!(sums, [1, 0, 0]);
        let text = run(&node, &["status"]).well();
        let first = text.lines().next().unwrap();
        assert!(first.starts_with("corelane ") && first.contains(&node.address.to_string()), "{text}");
        assert!(
            text.contains("state         serving since ") && text.contains("no row is written"),
            "{text}"
        );
        assert!(
            text.contains("\ncore  generation  connections  requests  streams\n   0           1"),
            "{text}"
        );
    });
}

#[test]
fn streams_lists_what_runs_with_its_events() {
    on_both(|driver| {
        let gate = Gate::default();
        let next = gate.clone();
        let upstream = Upstream::start(move |line| {
            while line.receive().is_some() {
                line.send(STREAM_HEAD);
                for word in ["<0>", "<1>", "<2>"] {
                    line.send(chunk(event(word)));
                    if !next.pass() {
                        return;
                    }
                }
                line.send(chunk("data: [DONE]\n\n"));
                line.send("0\r\n\r\n");
            }
        });
        let node = node(&upstream, driver);
        assert_eq!(run(&node, &["streams"]).well(), "no stream runs\n");
        let mut caller = Caller::new(&node);
        caller.send(request(CHAT, "", ASK_STREAM));
        let mut ages = Vec::new();
        for number in 0..3 {
            caller.until(format!("<{number}>"));
            let listed = run(&node, &["streams", "--json"]).json();
            assert_eq!(listed["left_out"], json!(0));
            let [stream] = listed["streams"].as_array().unwrap().as_slice() else { panic!("{listed}") };
            assert_eq!((&stream["provider"], &stream["key"]), (&json!("openai"), &json!("first")));
            assert_eq!((&stream["model"], &stream["generation"]), (&json!("gpt-4o"), &json!(1)));
            assert_eq!(stream["events"], json!(number + 1));
            ages.push(stream["age_ms"].as_u64().unwrap());
            let status = run(&node, &["status", "--json"]).json();
            let cores = status["cores"].as_array().unwrap();
            let sum = |name: &str| cores.iter().map(|core| core[name].as_u64().unwrap()).sum::<u64>();
            assert_eq!((sum("streams"), sum("requests"), sum("connections")), (1, 1, 1));
            gate.open();
        }
        assert!(ages.is_sorted(), "{ages:?}");
        assert!(caller.answer().is_whole);
        eventually("the stream has left the list", || {
            (run(&node, &["streams"]).well() == "no stream runs\n").then_some(())
        });
    });
}

#[test]
fn streams_are_a_table_for_people() {
    let gate = Gate::default();
    let next = gate.clone();
    let upstream = Upstream::start(move |line| {
        while line.receive().is_some() {
            line.send(STREAM_HEAD);
            line.send(chunk(event("<0>")));
            next.pass();
        }
    });
    let node = node(&upstream, "epoll");
    let mut caller = Caller::new(&node);
    caller.send(request(CHAT, "", ASK_STREAM));
    caller.until("<0>");
    let text = run(&node, &["streams"]).well();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("id ") && lines[0].ends_with("events") && lines.len() == 2, "{text}");
    assert!(lines[1].contains("  openai    first  gpt-4o") && lines[1].ends_with("       1"), "{text}");
    gate.open();
}

#[test]
fn reload_says_what_changed_or_every_fault() {
    let upstream = Upstream::answering(ok(ANSWER));
    on_both(|driver| {
        let mut config = config(upstream.address);
        let node = unwatched(&config, driver);
        let same = run(&node, &["reload"]).well();
        assert!(same.starts_with("nothing changed: generation 1, digest "), "{same}");
        config["providers"]["openai"]["keys"][0]["weight"] = json!(5);
        write(&node, &config);
        let changed = run(&node, &["reload"]).well();
        assert!(changed.starts_with("every core runs generation 2, digest "), "{changed}");
        assert!(changed.contains("first"), "names the key: {changed}");
        config["providers"]["openai"]["keys"][0]["weight"] = json!("heavy");
        config["providers"]["openai"]["keys"][0]["models"] = json!(7);
        write(&node, &config);
        let refused = run(&node, &["reload"]);
        assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""));
        assert!(refused.complaints.starts_with("the config was refused; the one before serves on\n"));
        for word in ["/providers/openai/keys/0/weight", "/providers/openai/keys/0/models"] {
            assert!(refused.complaints.contains(word), "{}", refused.complaints);
        }
        let refused = run(&node, &["reload", "--json"]);
        assert_eq!((refused.code, refused.json()["faults"].as_array().unwrap().len()), (Some(1), 2));
        let status = run(&node, &["status", "--json"]).json();
        assert_eq!(
            (&status["config"]["generation"], &status["config"]["reload_failures"]),
            (&json!(2), &json!(2))
        );
        assert_eq!(status["config"]["last_failure"]["faults"].as_array().unwrap().len(), 2);
        assert!(run(&node, &["status"]).well().contains("1 applied, 2 refused, not watched"));
    });
}

#[test]
fn drain_ends_a_node_in_order() {
    on_both(|driver| {
        let gate = Gate::default();
        let upstream = streaming(&gate);
        let mut node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        caller.send(request(CHAT, "", ASK_STREAM));
        caller.until("one");
        let begun = run(&node, &["drain", "--deadline", "10m"]).well();
        assert!(begun.starts_with("the node drains"), "{begun}");
        assert_eq!(run(&node, &["drain"]).well(), "the node was draining already\n");
        let status = run(&node, &["status", "--json"]).json();
        assert_eq!(status["draining"], json!(true));
        gate.open();
        let answer = caller.answer();
        assert!(answer.is_whole && answer.text().ends_with("data: [DONE]\n\n"));
        assert_eq!(node.wait().code(), Some(0));
        assert!(!socket(&node).exists());
        let gone = run(&node, &["status"]);
        assert_eq!(gone.code, Some(1));
        assert!(gone.complaints.contains("no admin socket was found"), "{}", gone.complaints);
    });
}

#[test]
fn a_disabled_key_serves_nothing_until_it_is_enabled() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = Node::start(&two_keys(&upstream).to_string(), driver);
        let ask = |count: usize| {
            let before = upstream.requests().len();
            for _ in 0..count {
                assert!(node.post(CHAT, ASK).starts_with("HTTP/1.1 200 "));
            }
            let requests = upstream.requests().into_iter().skip(before);
            requests.map(|request| request.value("authorization").to_owned()).collect::<Vec<_>>()
        };
        let second = "Bearer sk-ant-under-test";
        let disabled = run(&node, &["key", "disable", "two/ü"]).well();
        assert!(disabled.contains("two/ü"), "{disabled}");
        assert!(ask(40).iter().all(|key| key != second));
        let status = run(&node, &["status", "--json"]).json();
        assert_eq!(status["config"]["disabled_keys"], json!(["two/ü"]));
        assert!(run(&node, &["status"]).well().contains("disabled key  two/ü\n"));
        let enabled = run(&node, &["key", "enable", "two/ü", "--json"]);
        assert_eq!(enabled.code, Some(0));
        assert!(enabled.json()["changes"].to_string().contains("two/ü"));
        eventually("the key serves again", || ask(1).iter().any(|key| key == second).then_some(()));
        let unknown = run(&node, &["key", "disable", "nobody"]);
        assert_eq!((unknown.code, unknown.out.as_str()), (Some(1), ""));
        assert!(unknown.complaints.contains("nobody"), "{}", unknown.complaints);
    });
}

#[test]
fn wrong_words_are_refused() {
    for words in [
        &["key", "destroy", "a"][..],
        &["key", "disable"],
        &["drain", "--deadline", "soon"],
        &["status", "x"],
    ] {
        assert_eq!(run_with(&[], words).code, Some(2), "{words:?}");
    }
}

//! Reloads beside an operator's own commands: a reload that was asked for is done when it is answered, a key taken out of
//! service stays out whatever the file says, a drain may be shortened by a signal.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::admin::{Said, run, run_with};
use crate::caller::{Caller, request};
use crate::reload::{changed, file, health, replace, runs, value, values};
use crate::setup::{ANSWER, ASK, ASK_STREAM, CHAT, config, ok, on_both, streaming};
use crate::support::node::{KEYS, Node, RUNTIME_FOLDER, eventually, pause};
use crate::support::upstream::{Gate, Upstream};

fn unwatched(config: &Value, driver: &str) -> Node {
    Node::try_start_with(&config.to_string(), &["--workers", "2", "--driver", driver, "--no-watch"], &KEYS)
        .unwrap_or_else(|lines| panic!("no start: {lines:#?}"))
}

fn ask(node: &Node, words: &[&str]) -> (Option<i32>, Value) {
    let said: Said = run(node, &[words, &["--json"]].concat());
    (said.code, said.json())
}

#[test]
fn a_reload_is_answered_when_every_core_runs_it() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let config = config(upstream.address);
        let node = unwatched(&config, driver);
        for generation in 2..12 {
            fs::write(file(&node), changed(&config, generation)).unwrap();
            let (code, said) = ask(&node, &["reload"]);
            assert_eq!((code, &said["generation"]), (Some(0), &json!(generation)), "{said}");
            assert_eq!(values(&node, "corelane_config_generation"), [generation as f64; 2]);
        }
        let (code, said) = ask(&node, &["reload"]);
        assert_eq!((code, &said["generation"], &said["changes"]), (Some(0), &json!(11), &json!([])));
        fs::write(file(&node), "{").unwrap();
        assert_eq!(run(&node, &["reload"]).code, Some(1));
        let (_, status) = ask(&node, &["status"]);
        let config_status = &status["config"];
        assert_eq!((&config_status["reloads"], &config_status["reload_failures"]), (&json!(10), &json!(1)));
        assert!(!config_status["last_failure"]["faults"][0].as_str().unwrap().is_empty());
        // Made good again, nothing is to be applied, and nothing is wrong any more.
        fs::write(file(&node), changed(&config, 11)).unwrap();
        assert_eq!(ask(&node, &["reload"]).0, Some(0));
        assert_eq!(ask(&node, &["status"]).1["config"]["last_failure"], Value::Null);
    });
}

#[test]
fn reloads_that_are_asked_for_at_once_are_all_answered() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let config = config(upstream.address);
        let node = unwatched(&config, driver);
        fs::write(file(&node), changed(&config, 7)).unwrap();
        let folder = node.folder.path().join(RUNTIME_FOLDER).display().to_string();
        let reload = move |folder: &str| run_with(&[("RUNTIME_DIRECTORY", folder)], &["reload", "--json"]);
        let asked: Vec<_> = (0..6)
            .map(|_| {
                let folder = folder.clone();
                std::thread::spawn(move || reload(&folder))
            })
            .collect();
        for said in asked.into_iter().map(|asked| asked.join().unwrap()) {
            assert!(said.code == Some(0) && said.json()["generation"] == 2, "{said:?}");
        }
        assert_eq!(value(&node, "corelane_config_reloads_total"), 1);
    });
}

#[test]
fn a_key_out_of_service_stays_out_until_it_is_let_in_or_gone() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let config = config(upstream.address);
        let node = unwatched(&config, driver);
        let digest = health(&node)["digest"].clone();
        let chat = || Caller::new(&node).post(CHAT, ASK).status;
        let (code, said) = ask(&node, &["key", "disable", "first"]);
        assert_eq!((code, &said["generation"], &said["digest"]), (Some(0), &json!(2), &digest));
        assert_eq!(chat(), 400, "no key serves the model");
        let warned = &said["warnings"];
        assert!(warned[0].as_str().unwrap().contains("openai has no usable key now"), "{said}");
        // Again is nothing.
        let (code, said) = ask(&node, &["key", "disable", "first"]);
        assert_eq!((code, &said["generation"], &said["changes"]), (Some(0), &json!(2), &json!([])));
        // A reload does not let it in.
        fs::write(file(&node), changed(&config, 7)).unwrap();
        assert_eq!(ask(&node, &["reload"]).1["generation"], 3);
        assert_ne!(chat(), 200);
        assert_eq!(ask(&node, &["status"]).1["config"]["disabled_keys"], json!(["first"]));
        let up = || {
            let page = Caller::new(&node).get("/metrics");
            page.text().lines().any(|line| line.contains(r#"key_name="first"} 1"#))
        };
        assert!(!up());
        assert_eq!(ask(&node, &["key", "enable", "first"]).1["generation"], 4);
        assert!(chat() == 200 && up());
        // Out, removed from the file, and back in it.
        assert_eq!(ask(&node, &["key", "disable", "first"]).0, Some(0));
        let mut without = config.clone();
        without["providers"].as_object_mut().unwrap().remove("openai");
        fs::write(file(&node), without.to_string()).unwrap();
        let (_, said) = ask(&node, &["reload"]);
        assert!(said["warnings"].to_string().contains("gone from the config"), "{said}");
        assert_eq!(ask(&node, &["status"]).1["config"]["disabled_keys"], json!([]));
        fs::write(file(&node), config.to_string()).unwrap();
        assert_eq!(ask(&node, &["reload"]).0, Some(0));
        assert_eq!(chat(), 200);
        let near = run(&node, &["key", "disable", "fisrt"]);
        assert_eq!(near.code, Some(1));
        assert!(near.complaints.contains("did you mean \"first\"?"), "{near:?}");
        // What the file disables, the file must let in.
        let mut disabled = config.clone();
        disabled["providers"]["openai"]["keys"][0]["enabled"] = json!(false);
        fs::write(file(&node), disabled.to_string()).unwrap();
        assert_eq!(ask(&node, &["reload"]).0, Some(0));
        let refused = run(&node, &["key", "enable", "first"]);
        assert!(refused.code == Some(1) && refused.complaints.contains("\"enabled\": false"), "{refused:?}");
    });
}

#[test]
fn a_file_that_changes_in_a_drain_is_left_alone() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let config = config(upstream.address);
        let mut node = Node::start_on(&config.to_string(), driver, 1);
        // A node that has just begun looks once at its files, and ends that look: this waits in line behind it.
        assert_eq!(run(&node, &["reload"]).code, Some(0));
        let mut caller = Caller::new(&node);
        let whole = request(CHAT, "", ASK);
        let (half, rest) = whole.split_at(whole.len() / 2);
        caller.send(half);
        node.signal("TERM");
        eventually("it drains", || {
            node.said().iter().any(|line| line.contains("\"draining\"")).then_some(())
        });
        replace(&file(&node), &changed(&config, 7));
        (0..300).for_each(|_| pause());
        caller.send(rest);
        assert_eq!(caller.answer().status, 200);
        assert_eq!(node.wait().code(), Some(0));
        let said = node.said();
        assert!(!said.iter().any(|line| line.contains("the config is")), "{said:#?}");
    });
}

/// Opened for reading, a pipe that nobody writes to keeps its reader for ever.
#[test]
fn a_pipe_in_the_place_of_the_config_holds_up_nothing() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let config = config(upstream.address);
        let node = unwatched(&config, driver);
        fs::remove_file(file(&node)).unwrap();
        assert!(Command::new("mkfifo").arg(file(&node)).status().unwrap().success());
        let refused = run(&node, &["reload"]);
        assert!(refused.code == Some(1) && refused.complaints.contains("is a pipe"), "{refused:?}");
        assert_eq!(ask(&node, &["key", "disable", "first"]).1["generation"], 2);
        fs::remove_file(file(&node)).unwrap();
        fs::write(file(&node), changed(&config, 7)).unwrap();
        assert_eq!(ask(&node, &["reload"]).1["generation"], 3);
    });
}

#[test]
fn a_secret_in_a_file_is_read_again_and_watched() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let mut config = config(upstream.address);
        let folder = tempfile::TempDir::new().unwrap();
        let secret = folder.path().join("openai");
        fs::write(&secret, "sk-from-file\n").unwrap();
        config["providers"]["openai"]["keys"][0]["value"] = json!(format!("file:{}", secret.display()));
        let node = Node::start(&config.to_string(), driver);
        let mut caller = Caller::new(&node);
        assert_eq!(caller.post(CHAT, ASK).status, 200);
        assert_eq!(upstream.last().value("authorization"), "Bearer sk-from-file");
        replace(&secret, "sk-rotated\n");
        runs(&node, 2);
        assert_eq!(caller.post(CHAT, ASK).status, 200);
        assert_eq!(upstream.last().value("authorization"), "Bearer sk-rotated");
        // Gone: the key keeps its value.
        fs::remove_file(&secret).unwrap();
        eventually("it is refused", || {
            (value(&node, "corelane_config_reload_failures_total") == 1).then_some(())
        });
        let said = node.said().join("\n");
        assert!(said.contains("would lose its value") && !said.contains("sk-"), "{said}");
        assert_eq!(caller.post(CHAT, ASK).status, 200);
        // A file that the config did not name before is watched from then on.
        let other = tempfile::TempDir::new().unwrap();
        let moved = other.path().join("openai");
        fs::write(&moved, "sk-moved").unwrap();
        config["providers"]["openai"]["keys"][0]["value"] = json!(format!("file:{}", moved.display()));
        replace(&file(&node), &config.to_string());
        runs(&node, 3);
        replace(&moved, "sk-moved-on");
        runs(&node, 4);
        assert_eq!(caller.post(CHAT, ASK).status, 200);
        assert_eq!(upstream.last().value("authorization"), "Bearer sk-moved-on");
    });
}

#[test]
fn a_new_key_of_the_secrets_digest_is_taken_over() {
    let upstream = Upstream::answering(ok(ANSWER));
    let folder = tempfile::TempDir::new().unwrap();
    let env = folder.path().join("env");
    fs::write(&env, "CORELANE_DIGEST_KEY=one-key-of-twenty-bytes\n").unwrap();
    let flags = ["--workers", "1", "--no-watch", "--env-file", env.to_str().unwrap()];
    let node = Node::try_start_with(&config(upstream.address).to_string(), &flags, &KEYS).unwrap();
    let digest = || ask(&node, &["status"]).1["config"]["secrets_digest"].clone();
    let first = digest();
    fs::write(&env, "CORELANE_DIGEST_KEY=other-key-of-twenty-bytes\n").unwrap();
    assert_eq!(ask(&node, &["reload"]).1["generation"], 1);
    let second = digest();
    assert!(first.is_string() && second.is_string() && first != second, "{first} {second}");
}

#[test]
fn a_signal_shortens_an_operators_drain() {
    on_both(|driver| {
        let gate = Gate::default();
        let upstream = streaming(&gate);
        let mut node = unwatched(&config(upstream.address), driver);
        let mut stream = Caller::new(&node);
        stream.send(request(CHAT, "", ASK_STREAM));
        stream.until("one");
        assert_eq!(run(&node, &["drain", "--deadline", "1h"]).code, Some(0));
        let began = Instant::now();
        node.signal("TERM");
        eventually("the signal is its first", || {
            node.said().iter().any(|line| line.contains("nearer deadline")).then_some(())
        });
        // It is not cut by the signal.
        gate.open();
        assert!(stream.answer().is_whole);
        assert_eq!(node.wait().code(), Some(0));
        assert!(began.elapsed() < Duration::from_secs(30));
    });
}

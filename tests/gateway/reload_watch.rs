//! A config that is applied because its files changed: each kind of write that tools make, those that must not be applied,
//! and the poll where no event comes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::caller::Caller;
use crate::reload::{changed, file, health, refuses, replace, runs, value};
use crate::setup::{ANSWER, ASK, CHAT, config, ok, on_both};
use crate::support::node::{KEYS, Node, eventually, pause};
use crate::support::tls::{BOTH, Certificates, TlsCaller};
use crate::support::upstream::Upstream;

#[test]
fn a_rename_and_a_write_in_place_are_seen_and_the_same_again_is_nothing() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let config = config(upstream.address);
        let node = Node::start(&config.to_string(), driver);
        assert!(node.start_line.contains(r#""watch":true"#), "{}", node.start_line);
        replace(&file(&node), &changed(&config, 7));
        runs(&node, 2);
        fs::write(file(&node), changed(&config, 8)).unwrap();
        runs(&node, 3);
        // A temporary file beside it, as editors write, and the old one out of the way first.
        fs::rename(file(&node), node.folder.path().join("config.json~")).unwrap();
        fs::write(file(&node), changed(&config, 9)).unwrap();
        runs(&node, 4);
        let before = health(&node);
        replace(&file(&node), &changed(&config, 9));
        // Other bytes, the same meaning.
        fs::write(
            file(&node),
            serde_json::to_string_pretty(
                &serde_json::from_str::<serde_json::Value>(&changed(&config, 9)).unwrap(),
            )
            .unwrap(),
        )
        .unwrap();
        eventually("it was looked at", || {
            node.said().iter().any(|line| line.contains("nothing changed")).then_some(())
        });
        assert_eq!(health(&node), before);
        assert_eq!(value(&node, "corelane_config_reloads_total"), 3);
    });
}

#[test]
fn what_is_truncated_or_malformed_is_said_once_and_applied_when_it_is_whole() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let config = config(upstream.address);
        let node = Node::start(&config.to_string(), driver);
        let whole = changed(&config, 7);
        let before = health(&node);
        for (count, broken) in (1..).zip([&whole[..whole.len() / 2], "", r#"{"providers": nonsense}"#]) {
            fs::write(file(&node), broken).unwrap();
            refuses(&node, count);
            assert!(node.said().iter().any(|line| line.contains("the one before serves on")));
            // Traffic in the directory: it is looked at, and is as it was.
            fs::write(node.folder.path().join("beside"), "x").unwrap();
            (0..200).for_each(|_| pause());
            refuses(&node, count);
            let said = node.said().join("\n");
            assert!(!said.contains("refused"), "{said}");
            assert_eq!(health(&node), before);
            assert_eq!(Caller::new(&node).post(CHAT, ASK).status, 200);
        }
        // Written in two steps, with a pause between them.
        fs::write(file(&node), &whole[..40]).unwrap();
        fs::write(file(&node), &whole).unwrap();
        runs(&node, 2);
    });
}

/// `folder/..data` to this version's folder, swapped as Kubernetes' kubelet does.
fn publish(folder: &Path, version: &str, text: &str) {
    fs::create_dir(folder.join(version)).unwrap();
    fs::write(folder.join(version).join("config.json"), text).unwrap();
    symlink(version, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

fn start_at(path: &Path, driver: &str) -> Node {
    let flags = ["--workers", "2", "--driver", driver, "--config", path.to_str().unwrap()];
    Node::try_start_at(&flags, &KEYS).unwrap_or_else(|lines| panic!("no start: {lines:#?}"))
}

#[test]
fn a_config_maps_link_that_is_swapped_is_seen() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let config = config(upstream.address);
        let mount = TempDir::new().unwrap();
        publish(mount.path(), "..v1", &config.to_string());
        symlink("..data/config.json", mount.path().join("config.json")).unwrap();
        let node = start_at(&mount.path().join("config.json"), driver);
        for generation in 2..5 {
            publish(mount.path(), &format!("..v{generation}"), &changed(&config, generation));
            fs::remove_dir_all(mount.path().join(format!("..v{}", generation - 1))).unwrap();
            runs(&node, generation);
        }
        assert_eq!(value(&node, "corelane_config_reload_failures_total"), 0);
    });
}

/// A link in the middle of the way is swapped in a folder that is not watched: only the content tells.
#[test]
fn where_no_event_comes_the_file_is_looked_at_every_15_s() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let config = config(upstream.address);
        let folder = TempDir::new().unwrap();
        let root = folder.path();
        for (name, body_mib) in [("one", 1), ("two", 2)] {
            fs::create_dir_all(root.join(name)).unwrap();
            fs::write(root.join(name).join("config.json"), changed(&config, body_mib)).unwrap();
        }
        for name in ["named", "between"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        symlink("../one", root.join("between/link")).unwrap();
        symlink("../between/link/config.json", root.join("named/config.json")).unwrap();
        let node = start_at(&root.join("named/config.json"), driver);
        fs::remove_file(root.join("between/link")).unwrap();
        symlink("../two", root.join("between/link")).unwrap();
        runs(&node, 2);
    });
}

#[test]
fn variables_of_an_env_file_are_watched() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let folder = TempDir::new().unwrap();
        let env = folder.path().join("corelane.env");
        fs::write(&env, "OPENAI_API_KEY=sk-one\nANTHROPIC_API_KEY=sk-two\n").unwrap();
        let flags = ["--workers", "2", "--driver", driver, "--env-file", env.to_str().unwrap()];
        let node = Node::try_start_with(&config(upstream.address).to_string(), &flags, &[]).unwrap();
        let digest = health(&node)["digest"].clone();
        let mut caller = Caller::new(&node);
        assert_eq!(caller.post(CHAT, ASK).status, 200);
        assert_eq!(upstream.last().value("authorization"), "Bearer sk-one");
        replace(&env, "OPENAI_API_KEY=sk-other\nANTHROPIC_API_KEY=sk-two\n");
        runs(&node, 2);
        assert_eq!(caller.post(CHAT, ASK).status, 200);
        assert_eq!(upstream.last().value("authorization"), "Bearer sk-other");
        assert_eq!(health(&node)["digest"], digest, "a secret's value is no part of it");
        let said = node.said().join("\n");
        assert!(said.contains("key first: its value changed") && !said.contains("sk-other"), "{said}");
        assert_eq!(upstream.connections(), 1, "its connections are used on");
    });
}

#[test]
fn certificates_are_watched() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let certificates = Certificates::new();
        let mut config = config(upstream.address);
        config["server"]["tls"] = certificates.server_tls();
        config["client"]["enable_logging"] = json!(false);
        let node = Node::start(&config.to_string(), driver);
        let mut open = TlsCaller::connect(node.address, &certificates, BOTH);
        let first = open.peer_certificate();
        let fresh = certificates.sign(&["localhost"], |_| {});
        // The one without the other fits no longer; that is no failure of anybody's, it is not yet whole.
        certificates.write("server.key", &fresh.key);
        certificates.write("server.pem", &fresh.cert);
        eventually("each core has it", || {
            let seen = || TlsCaller::connect(node.address, &certificates, BOTH).peer_certificate();
            (0..8).all(|_| seen() != first).then_some(())
        });
        let said = node.said().join("\n");
        assert!(said.contains("read again; new") && !said.contains("PRIVATE KEY"), "{said}");
        use std::io::Write as _;
        open.write_all(b"GET /health HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
        assert!(crate::listener_tls::head(&mut open).starts_with("HTTP/1.1 200"));
    });
}

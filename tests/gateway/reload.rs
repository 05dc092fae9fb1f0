//! A config read again on HUP: what takes effect, what is refused and why, what a node says of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::caller::{Caller, request};
use crate::setup::{ANSWER, ASK, ASK_STREAM, CHAT, config, ok, on_both, streaming};
use crate::support::node::{KEYS, Node, eventually, pause};
use crate::support::tls::Certificates;
use crate::support::upstream::{Gate, Upstream};

/// The node's own config file.
pub(crate) fn file(node: &Node) -> PathBuf {
    node.folder.path().join("config.json")
}

/// Replaces a file as a careful tool does.
pub(crate) fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

/// What `/health` says of the config.
pub(crate) fn health(node: &Node) -> Value {
    Caller::new(node).get("/health").json()["config"].clone()
}

/// The values of a metric, all label sets.
pub(crate) fn values(node: &Node, name: &str) -> Vec<f64> {
    let page = Caller::new(node).get("/metrics");
    let lines = page.text().lines().filter_map(|line| line.strip_prefix(name));
    let lines = lines.filter(|rest| rest.starts_with(['{', ' ']));
    lines.map(|rest| rest.rsplit(' ').next().unwrap().parse().unwrap()).collect()
}

/// The only value of a metric.
pub(crate) fn value(node: &Node, name: &str) -> u64 {
    let values = values(node, name);
    assert_eq!(values.len(), 1, "{name}");
    values[0] as u64
}

/// Waits until every core runs this generation.
pub(crate) fn runs(node: &Node, generation: u64) {
    eventually(&format!("generation {generation} on every core"), || {
        let cores = values(node, "corelane_config_generation");
        assert!(cores.iter().all(|core| *core <= generation as f64), "{cores:?}");
        cores.iter().all(|core| *core == generation as f64).then_some(())
    });
}

/// Waits for so many refusals.
pub(crate) fn refuses(node: &Node, count: u64) {
    eventually("a refusal is counted", || {
        let failures = value(node, "corelane_config_reload_failures_total");
        assert!(failures <= count, "{failures}");
        (failures == count).then_some(())
    });
}

/// A change that every core takes over.
pub(crate) fn changed(config: &Value, body_mib: u64) -> String {
    let mut config = config.clone();
    config["client"]["max_request_body_size_mb"] = json!(body_mib);
    config.to_string()
}

/// A node that reads its files on HUP only.
fn unwatched(config: &Value, driver: &str, flags: &[&str], variables: &[(&str, &str)]) -> Node {
    let flags = [&["--workers", "2", "--driver", driver, "--no-watch"], flags].concat();
    Node::try_start_with(&config.to_string(), &flags, variables)
        .unwrap_or_else(|lines| panic!("no start: {lines:#?}"))
}

#[test]
fn a_hang_up_applies_the_file_and_says_so_everywhere() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let (config, other) = (config(upstream.address), config(upstream.address));
        let nodes = [unwatched(&config, driver, &[], &KEYS), unwatched(&other, driver, &[], &KEYS)];
        let before = health(&nodes[0]);
        assert_eq!(
            (before["generation"].as_u64(), &before["digest"]),
            (Some(1), &health(&nodes[1])["digest"])
        );
        let text = changed(&config, 7);
        for node in &nodes {
            fs::write(file(node), &text).unwrap();
            node.signal("HUP");
            runs(node, 2);
        }
        let after = nodes.each_ref().map(health);
        assert!(after.iter().all(|config| config["generation"] == 2), "{after:?}");
        assert!(after[0]["digest"] == after[1]["digest"] && after[0]["digest"] != before["digest"]);
        let loaded_at =
            |config: &Value| config["loaded_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        assert!(loaded_at(&after[0]) > loaded_at(&before));
        let digest = after[0]["digest"].as_str().unwrap();
        let page = Caller::new(&nodes[0]).get("/metrics");
        let info = format!("corelane_config_info{{digest=\"{digest}\",generation=\"2\"}} 1");
        assert!(page.text().contains(&info), "{}", page.text());
        assert_eq!(value(&nodes[0], "corelane_config_reloads_total"), 1);
        let loaded = value(&nodes[0], "corelane_config_loaded_timestamp_seconds");
        assert_eq!(loaded, loaded_at(&after[0]).as_second().unsigned_abs());
        // The same once more is nothing.
        nodes[0].signal("HUP");
        eventually("it says so", || {
            nodes[0].said().iter().any(|line| line.contains("nothing changed")).then_some(())
        });
        assert_eq!(health(&nodes[0]), after[0]);
    });
}

#[test]
fn requests_keep_the_config_that_they_began_with_and_its_memory_goes_with_them() {
    on_both(|driver| {
        let gate = Gate::default();
        let upstream = streaming(&gate);
        let config = config(upstream.address);
        let node = unwatched(&config, driver, &[], &KEYS);
        let mut stream = Caller::new(&node);
        stream.send(request(CHAT, "", ASK_STREAM));
        stream.until("one");
        let mut gone = config.clone();
        gone["providers"].as_object_mut().unwrap().remove("openai");
        fs::write(file(&node), gone.to_string()).unwrap();
        node.signal("HUP");
        runs(&node, 2);
        assert_eq!(value(&node, "corelane_config_old_snapshots"), 1);
        assert_eq!(Caller::new(&node).post(CHAT, ASK).status, 400, "the provider is gone");
        gate.open();
        let answer = stream.answer();
        assert!(answer.is_whole && answer.text().contains("two"), "{}", answer.text());
        eventually("the old config is freed", || {
            (value(&node, "corelane_config_old_snapshots") == 0).then_some(())
        });
        // The connection that began before serves on, by the new config.
        assert_eq!(stream.post(CHAT, ASK).status, 400);
        fs::write(file(&node), config.to_string()).unwrap();
        node.signal("HUP");
        runs(&node, 3);
        assert_eq!(stream.post(CHAT, ASK).status, 200);
    });
}

#[test]
fn what_needs_a_restart_is_named_and_nothing_is_half_applied() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let certificates = Certificates::new();
        let config = config(upstream.address);
        let node = unwatched(&config, driver, &[], &KEYS);
        let before = health(&node);
        let mut other: Value = serde_json::from_str(&changed(&config, 7)).unwrap();
        other["logs_store"] = json!({ "enabled": true, "type": "sqlite", "config": { "path": "logs.db" } });
        other["server"]["tls"] = certificates.server_tls();
        other["providers"]["openai"]["network_config"]["max_conns_per_host"] = json!(1);
        fs::write(file(&node), other.to_string()).unwrap();
        node.signal("HUP");
        refuses(&node, 1);
        let said = node.said().join("\n");
        for what in ["/logs_store: ", "/server/tls: ", "max_conns_per_host", "the one before serves on"] {
            assert!(said.contains(what), "{what} not in {said}");
        }
        assert_eq!(health(&node), before);
        assert_eq!(Caller::new(&node).post(CHAT, ASK).status, 200);
        // Every fault of a faulty file, and the file made good again.
        fs::write(
            file(&node),
            r#"{"client":{"max_request_body_size_mb":-1},"providers":{"openai":{"keys":7}}}"#,
        )
        .unwrap();
        node.signal("HUP");
        refuses(&node, 2);
        let said = node.said().join("\n");
        assert!(
            said.contains("/client/max_request_body_size_mb") && said.contains("/providers/openai/keys"),
            "{said}"
        );
        fs::write(file(&node), changed(&config, 7)).unwrap();
        node.signal("HUP");
        runs(&node, 2);
        assert_eq!(value(&node, "corelane_config_reload_failures_total"), 2);
    });
}

#[test]
fn the_limit_of_connections_holds_at_once_and_closes_none() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let config = config(upstream.address);
        let node = unwatched(&config, driver, &[], &KEYS);
        let mut open: Vec<Caller> = (0..4).map(|_| Caller::new(&node)).collect();
        assert!(open.iter_mut().all(|caller| caller.get("/health").status == 200));
        let mut narrow = config.clone();
        narrow["server"]["max_connections_per_core"] = json!(1);
        fs::write(file(&node), narrow.to_string()).unwrap();
        node.signal("HUP");
        // Nobody else may come to look.
        let mut applied =
            || open.iter_mut().all(|caller| caller.get("/health").json()["config"]["generation"] == 2);
        eventually("every connection sees it", || applied().then_some(()));
        assert_eq!(Caller::new(&node).answer().status, 503);
        assert!(open.iter_mut().all(|caller| caller.post(CHAT, ASK).status == 200));
    });
}

/// A folder with an env file, and the flags that name it.
struct EnvFile(TempDir);

impl EnvFile {
    fn new(text: &str) -> Self {
        let file = Self(TempDir::new().unwrap());
        file.write(text);
        file
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("corelane.env")
    }

    fn write(&self, text: &str) {
        replace(&self.path(), text);
    }
}

const BOTH: &str = "OPENAI_API_KEY=sk-one\nANTHROPIC_API_KEY=sk-two\n";

#[test]
fn a_key_that_would_lose_its_value_refuses_the_reload_unless_it_is_disabled() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let config = config(upstream.address);
        let env = EnvFile::new(BOTH);
        let node = unwatched(&config, driver, &["--env-file", env.path().to_str().unwrap()], &[]);
        env.write("ANTHROPIC_API_KEY=sk-three\n");
        node.signal("HUP");
        refuses(&node, 1);
        let said = node.said().join("\n");
        assert!(
            said.contains("\\\"first\\\"") && said.contains("OPENAI_API_KEY") && said.contains("--env-file"),
            "{said}"
        );
        assert_eq!(Caller::new(&node).post(CHAT, ASK).status, 200);
        assert_eq!(upstream.last().value("authorization"), "Bearer sk-one");
        let mut disabled = config.clone();
        disabled["providers"]["openai"]["keys"][0]["enabled"] = json!(false);
        fs::write(file(&node), disabled.to_string()).unwrap();
        node.signal("HUP");
        runs(&node, 2);
        let up = |name: &str| {
            let page = Caller::new(&node).get("/metrics");
            let line = page.text().lines().find(|line| {
                line.starts_with("bifrost_provider_key_up{") && line.contains(&format!("key_name=\"{name}\""))
            });
            line.map(|line| line.ends_with(" 1"))
        };
        assert_eq!((up("first"), up("second")), (Some(false), Some(true)));
        assert_eq!(value(&node, "corelane_config_unusable_keys"), 0, "a disabled key needs no value");
    });
}

#[test]
fn a_key_that_never_had_a_value_is_applied_and_named() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let config = config(upstream.address);
        let node = unwatched(&config, driver, &[], &[("OPENAI_API_KEY", "sk-one")]);
        assert!(node.start_line.contains(r#""unusable_keys":"second""#), "{}", node.start_line);
        assert_eq!(value(&node, "corelane_config_unusable_keys"), 1);
        fs::write(file(&node), changed(&config, 7)).unwrap();
        node.signal("HUP");
        runs(&node, 2);
        let said = node.said().join("\n");
        let wanted = ["env.ANTHROPIC_API_KEY is still unset", "never changes: put it into an --env-file"];
        assert!(wanted.iter().all(|wanted| said.contains(wanted)), "{said}");
    });
}

#[test]
fn a_hang_up_in_a_drain_changes_nothing() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let mut node = unwatched(&config(upstream.address), driver, &[], &KEYS);
        let mut half = Caller::new(&node);
        half.send("GET /health HTTP/1.1\r\nhost: te");
        (0..4).for_each(|_| assert_eq!(Caller::new(&node).get("/health").status, 200));
        node.signal("TERM");
        let drains = |line: &String| line.contains("draining");
        eventually("the drain has begun", || node.said().iter().any(drains).then_some(()));
        node.signal("HUP");
        eventually("it says so", || {
            node.said().iter().any(|line| line.contains("HUP: the node is draining")).then_some(())
        });
        half.send("st\r\n\r\n");
        assert_eq!(half.answer().status, 503);
        assert_eq!(node.wait().code(), Some(0));
    });
}

#[test]
fn strict_holds_for_reloads_too() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let config = config(upstream.address);
        let node = unwatched(&config, driver, &["--strict"], &KEYS);
        let mut literal = config.clone();
        literal["providers"]["openai"]["keys"][0]["value"] = json!("sk-literal");
        fs::write(file(&node), literal.to_string()).unwrap();
        node.signal("HUP");
        refuses(&node, 1);
        let said = node.said().join("\n");
        assert!(said.contains("env.OPENAI_API_KEY") && !said.contains("sk-literal"), "{said}");
    });
}

#[test]
fn without_a_watch_a_file_is_read_on_demand_only() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let config = config(upstream.address);
        let node = unwatched(&config, driver, &[], &KEYS);
        assert!(node.start_line.contains(r#""watch":false"#), "{}", node.start_line);
        replace(&file(&node), &changed(&config, 7));
        let until = std::time::Instant::now() + Duration::from_secs(3);
        while std::time::Instant::now() < until {
            assert_eq!(health(&node)["generation"], 1);
            (0..20).for_each(|_| pause());
        }
        node.signal("HUP");
        runs(&node, 2);
    });
}

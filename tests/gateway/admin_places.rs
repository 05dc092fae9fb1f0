//! Where an operator's commands are taken, and where not: the socket's place, mode and life beside other nodes, the
//! token over HTTP, and callers' port, which knows nothing of it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use serde_json::{Value, json};

use crate::admin::{run, run_with, socket};
use crate::setup::{config, node, on_both};
use crate::support::node::{KEYS, Node, connect, eventually, free_address};
use crate::support::upstream::Upstream;

const TOKEN: &str = "a-token-of-this-test";

fn idle() -> Upstream {
    Upstream::answering("")
}

fn start(config: &Value, flags: &[&str], variables: &[(&str, &str)]) -> Result<Node, Vec<String>> {
    let variables: Vec<_> = KEYS.iter().chain(variables).copied().collect();
    Node::try_start_with(&config.to_string(), &[&["--workers", "2"], flags].concat(), &variables)
}

/// The start line's member.
fn said(node: &Node, name: &str) -> Value {
    let line: Value = serde_json::from_str(&node.start_line).unwrap();
    line[name].clone()
}

/// One request on a connection of its own: status and body.
fn get(address: SocketAddr, path: &str, fields: &str) -> (u16, String) {
    let mut stream = connect(address);
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[test]
fn the_socket_is_its_owners_and_goes_with_the_node() {
    on_both(|driver| {
        let mut node = node(&idle(), driver);
        let mode = fs::metadata(socket(&node)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        node.signal("TERM");
        assert_eq!(node.wait().code(), Some(0));
        assert!(!socket(&node).exists());
    });
}

#[test]
fn two_nodes_stand_side_by_side() {
    let (folder, upstream) = (tempfile::tempdir().unwrap(), idle());
    let runtime = folder.path().display().to_string();
    let variables = [("RUNTIME_DIRECTORY", runtime.as_str())];
    let nodes = [(); 2].map(|()| start(&config(upstream.address), &[], &variables).unwrap());
    let several = run_with(&variables, &["status"]);
    assert_eq!(several.code, Some(2));
    for node in &nodes {
        let port = node.address.port().to_string();
        assert!(several.complaints.contains(&format!("corelane-{port}.sock")), "{}", several.complaints);
        let status = run_with(&variables, &["status", "--json", "--port", &port]).json();
        assert_eq!(status["pid"], json!(node.pid()));
        let by_variable = [variables[0], ("APP_PORT", port.as_str())];
        assert_eq!(run_with(&by_variable, &["status", "--json"]).json()["pid"], json!(node.pid()));
    }
    let [first, second] = nodes;
    // Killed: its socket stays behind, and is passed over.
    drop(first);
    assert_eq!(run_with(&variables, &["status", "--json"]).json()["pid"], json!(second.pid()));
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let (folder, upstream) = (tempfile::tempdir().unwrap(), idle());
    let path = folder.path().join("admin.sock");
    let flags = ["--admin-socket", path.to_str().unwrap()];
    drop(UnixListener::bind(&path).unwrap());
    let first = start(&config(upstream.address), &flags, &[]).unwrap();
    let pid = |path: &Path| {
        let status = run_with(&[], &["status", "--json", "--admin-socket", path.to_str().unwrap()]);
        status.json()["pid"].as_u64()
    };
    assert_eq!(pid(&path), Some(first.pid().into()));
    let mut second = start(&config(upstream.address), &flags, &[]).unwrap();
    assert_eq!(said(&second, "admin_socket"), Value::Null);
    let warned = second.before.iter().any(|line| line.contains("another process answers there"));
    assert!(warned, "{:#?}", second.before);
    second.signal("TERM");
    assert_eq!(second.wait().code(), Some(0));
    assert_eq!(pid(&path), Some(first.pid().into()), "the second one's end took nothing of the first's");
}

#[test]
fn a_node_takes_the_socket_when_the_one_before_has_ended() {
    let (folder, upstream) = (tempfile::tempdir().unwrap(), idle());
    let path = folder.path().join("admin.sock");
    let flags = ["--admin-socket", path.to_str().unwrap()];
    let mut first = start(&config(upstream.address), &flags, &[]).unwrap();
    let mut second = start(&config(upstream.address), &flags, &[]).unwrap();
    first.signal("TERM");
    assert_eq!(first.wait().code(), Some(0));
    eventually("the second node answers", || {
        let said = run_with(&[], &["status", "--json", "--admin-socket", path.to_str().unwrap()]);
        (said.code == Some(0) && said.json()["pid"] == json!(second.pid())).then_some(())
    });
    second.signal("TERM");
    assert_eq!(second.wait().code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn a_node_serves_without_a_socket_that_cannot_be_bound() {
    let upstream = idle();
    let long = format!("/tmp/{}", "x".repeat(103));
    for (path, word) in [("/nonexistent/a.sock", "No such file"), (&long, "at most 107")] {
        let node = start(&config(upstream.address), &["--admin-socket", path], &[]).unwrap();
        let warning = node.before.iter().find(|line| line.contains("no admin socket"));
        assert!(
            warning.is_some_and(|line| line.contains(word) && line.contains("WARN")),
            "{:#?}",
            node.before
        );
        assert!(node.get("/health").starts_with("HTTP/1.1 200 "));
    }
    for off in ["none", ""] {
        let node = start(&config(upstream.address), &["--admin-socket", off], &[]).unwrap();
        assert_eq!((said(&node, "admin_socket"), socket(&node).exists()), (Value::Null, false));
        assert!(!node.before.iter().any(|line| line.contains("admin socket")), "{:#?}", node.before);
    }
}

#[test]
fn over_http_the_token_is_needed() {
    let upstream = idle();
    on_both(|driver| {
        let (mut config, address) = (config(upstream.address), free_address());
        config["server"] = json!({ "admin_address": address.to_string(), "admin_token": "env.ADMIN_TOKEN" });
        let node = start(&config, &["--driver", driver], &[("ADMIN_TOKEN", TOKEN)]).unwrap();
        assert_eq!(said(&node, "admin_address"), json!(address.to_string()));
        let right = format!("authorization: Bearer {TOKEN}\r\n");
        for fields in ["", "authorization: Bearer wrong\r\n", "x-forwarded-for: 127.0.0.1\r\n"] {
            assert_eq!(get(address, "/api/status", fields).0, 401);
            assert_eq!(get(address, "/api/nothing", fields).0, 401);
        }
        let (status, body) = get(address, "/api/status", &right);
        assert_eq!(status, 200);
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["pid"], json!(node.pid()));
        let (status, body) = get(address, "/api/providers", &right);
        assert_eq!(status, 200);
        for (_, secret) in KEYS.iter().chain(&[("", TOKEN)]) {
            assert!(!body.contains(secret), "{body}");
        }
    });
}

#[test]
fn callers_ports_know_nothing_of_it() {
    let (mut config, address) = (config(idle().address), free_address());
    config["server"] = json!({ "admin_address": address.to_string(), "admin_token": "env.ADMIN_TOKEN" });
    let node = start(&config, &[], &[("ADMIN_TOKEN", TOKEN)]).unwrap();
    let right = format!("authorization: Bearer {TOKEN}\r\n");
    for path in ["/api/status", "/api/version", "/api/providers", "/api/config", "/api/reload"] {
        for fields in ["", right.as_str()] {
            assert_eq!(get(node.address, path, fields).0, 404, "{path}");
        }
    }
    assert_eq!(get(address, "/v1/models", &right).0, 404, "nor it of theirs");
    assert_eq!(get(address, "/health", "").0, 401);
}

#[test]
fn a_node_does_not_start_without_the_address_that_its_config_names() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut config = config(idle().address);
    config["server"] = json!({ "admin_address": address, "admin_token": "env.ADMIN_TOKEN" });
    let lines = start(&config, &[], &[("ADMIN_TOKEN", TOKEN)]).err().unwrap();
    assert!(
        lines.iter().any(|line| line.contains(&format!("server.admin_address {address}: "))),
        "{lines:#?}"
    );
}

#[test]
fn a_command_says_what_to_do_about_a_node_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let ask = || run_with(&[], &["status", "--admin-socket", path.to_str().unwrap()]);
    let said = ask();
    assert_eq!(said.code, Some(1));
    assert!(said.complaints.contains("Is the node running?"), "{}", said.complaints);
    drop(UnixListener::bind(&path).unwrap());
    let said = ask();
    assert_eq!(said.code, Some(1));
    assert!(said.complaints.contains("nobody listens there"), "{}", said.complaints);
    let node = node(&idle(), "epoll");
    let said = run(&node, &["status", "--port", "1"]);
    assert!(
        said.code == Some(1) && said.complaints.contains("no admin socket of port 1 was found"),
        "{said:?}"
    );
}

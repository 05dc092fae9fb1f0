//! What connections at rest cost in resident memory, just accepted and after they have served requests.

use std::fs;

use serde_json::json;

use crate::caller::{Caller, request};
use crate::setup::{ANSWER, ASK, CHAT, config, ok, on_both};
use crate::support::node::{Node, eventually};
use crate::support::upstream::Upstream;

const CONNECTIONS: usize = 2000;
/// What one connection at rest may cost, bytes.
const REST_BYTES_MAX: usize = 8 * 1024;
/// What the node may hold besides: of its pools, of requests just served, of the allocator.
const SLACK_BYTES_MAX: usize = 2 * 1024 * 1024;

fn resident_bytes(node: &Node) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// Small requests on every core: the allocator gives pages back as it goes on working.
fn stir(node: &Node) {
    let mut callers: Vec<Caller> = (0..4).map(|_| Caller::new(node)).collect();
    assert!(callers.iter_mut().all(|caller| caller.get("/health").status == 200));
}

fn check(node: &Node, before: usize, when: &str) {
    let mut held = 0;
    let is_small = || {
        stir(node);
        held = resident_bytes(node).saturating_sub(before);
        (held <= CONNECTIONS * REST_BYTES_MAX + SLACK_BYTES_MAX).then_some(())
    };
    eventually(&format!("{when}: {CONNECTIONS} connections rest at 8 KiB each"), is_small);
    println!("{when}: {} bytes each for {CONNECTIONS}", held / CONNECTIONS);
}

#[test]
fn a_connection_at_rest_costs_eight_kib() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        // What rows hold of a conversation is not a connection's.
        let mut config = config(upstream.address);
        config["client"] = json!({ "enable_logging": false });
        let node = Node::start(&config.to_string(), driver);
        for _ in 0..20 {
            assert_eq!(Caller::new(&node).post(CHAT, ASK).status, 200);
        }
        stir(&node);
        let before = resident_bytes(&node);
        let mut callers: Vec<Caller> = (0..CONNECTIONS).map(|_| Caller::new(&node)).collect();
        eventually("all are accepted", || {
            let metrics = Caller::new(&node).get("/metrics");
            let open = metrics.text().lines().filter(|line| line.starts_with("corelane_connections{"));
            let open: f64 = open.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
            (open as usize >= CONNECTIONS).then_some(())
        });
        check(&node, before, &format!("{driver}, accepted"));
        for caller in &mut callers {
            assert_eq!(caller.post(CHAT, ASK).status, 200);
        }
        check(&node, before, &format!("{driver}, served"));
        let long = ASK.replace("hi", &"x".repeat(64 * 1024));
        for caller in callers.iter_mut().take(CONNECTIONS / 4) {
            caller.send(request(CHAT, "", &long));
            assert_eq!(caller.answer().status, 200);
        }
        check(&node, before, &format!("{driver}, a quarter served 64 KiB"));
    });
}

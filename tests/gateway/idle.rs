//! What connections at rest cost in resident memory, just accepted and after they have served requests.

use std::fs;
use std::io::{Read, Write};

use serde_json::json;

use crate::caller::{Caller, request};
use crate::setup::{ANSWER, ASK, CHAT, config, ok, on_both};
use crate::support::node::{Node, eventually};
use crate::support::tls::{Certificates, TLS13, TlsCaller};
use crate::support::upstream::Upstream;

const CONNECTIONS: usize = 2000;
/// What one connection at rest may cost, bytes.
const REST_BYTES_MAX: usize = 8 * 1024;
const TLS_CONNECTIONS: usize = 300;
/// The same for one behind TLS.
const TLS_REST_BYTES_MAX: usize = 64 * 1024;
/// What the node may hold besides: of its pools, of requests just served, of the allocator.
const SLACK_BYTES_MAX: usize = 2 * 1024 * 1024;

fn resident_bytes(node: &Node) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// Small requests on every core: the allocator gives pages back as it goes on working. So many that no core has none.
fn stir(node: &Node) {
    let mut callers: Vec<Caller> = (0..16).map(|_| Caller::new(node)).collect();
    assert!(callers.iter_mut().all(|caller| caller.get("/health").status == 200));
}

/// Waits until `count` connections cost at most `each` bytes; `stir` keeps the node at work meanwhile.
#[expect(clippy::print_stdout, reason = "what was measured")]
fn check(node: &Node, before: usize, (count, each): (usize, usize), when: &str, stir: impl Fn()) {
    let mut held = 0;
    let is_small = || {
        stir();
        held = resident_bytes(node).saturating_sub(before);
        (held <= count * each + SLACK_BYTES_MAX).then_some(())
    };
    eventually(&format!("{when}: {count} connections rest at {each} bytes each"), is_small);
    println!("{when}: {} bytes each for {count}", held / count);
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
        rlimit::increase_nofile_limit(u64::MAX).unwrap();
        let mut callers: Vec<Caller> = (0..CONNECTIONS).map(|_| Caller::new(&node)).collect();
        eventually("all are accepted", || {
            let metrics = Caller::new(&node).get("/metrics");
            let open = metrics.text().lines().filter(|line| line.starts_with("corelane_connections{"));
            let open: f64 = open.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
            (open as usize >= CONNECTIONS).then_some(())
        });
        check(&node, before, (CONNECTIONS, REST_BYTES_MAX), &format!("{driver}, accepted"), || stir(&node));
        for caller in &mut callers {
            assert_eq!(caller.post(CHAT, ASK).status, 200);
        }
        check(&node, before, (CONNECTIONS, REST_BYTES_MAX), &format!("{driver}, served"), || stir(&node));
        let long = ASK.replace("hi", &"x".repeat(64 * 1024));
        for caller in callers.iter_mut().take(CONNECTIONS / 4) {
            caller.send(request(CHAT, "", &long));
            assert_eq!(caller.answer().status, 200);
        }
        check(
            &node,
            before,
            (CONNECTIONS, REST_BYTES_MAX),
            &format!("{driver}, a quarter served 64 KiB"),
            || stir(&node),
        );
    });
}

#[test]
fn a_connection_at_rest_behind_tls_costs_sixty_four_kib() {
    on_both(|driver| {
        let (upstream, certificates) = (Upstream::answering(ok(ANSWER)), Certificates::new());
        let mut config = config(upstream.address);
        config["client"] = json!({ "enable_logging": false });
        config["server"]["tls"] = certificates.server_tls();
        let node = Node::start(&config.to_string(), driver);
        let connect = || TlsCaller::connect(node.address, &certificates, TLS13);
        let ask = |caller: &mut TlsCaller, body: &str| {
            caller.write_all(&request(CHAT, "", body)).unwrap();
            let mut answer = Vec::new();
            let mut piece = [0; 4096];
            while !answer.ends_with(ANSWER.as_bytes()) {
                let count = caller.read(&mut piece).unwrap();
                assert!(count > 0);
                answer.extend_from_slice(&piece[..count]);
            }
        };
        let stir = || (0..4).for_each(|_| ask(&mut connect(), ASK));
        (0..5).for_each(|_| stir());
        let before = resident_bytes(&node);
        let mut callers: Vec<TlsCaller> = (0..TLS_CONNECTIONS).map(|_| connect()).collect();
        let limit = (TLS_CONNECTIONS, TLS_REST_BYTES_MAX);
        check(&node, before, limit, &format!("{driver}, TLS, accepted"), stir);
        let long = ASK.replace("hi", &"x".repeat(64 * 1024));
        for body in [ASK, &long] {
            callers.iter_mut().for_each(|caller| ask(caller, body));
            check(&node, before, limit, &format!("{driver}, TLS, served {} bytes", body.len()), stir);
        }
    });
}

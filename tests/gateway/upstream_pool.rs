//! Connections to a provider under `max_conns_per_host`: never more than that, however requests end, and who finds all of
//! them in use waits in turn, for a while.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::caller::{Caller, request};
use crate::setup::{
    ANSWER, ASK, ASK_STREAM, CHAT, STREAM_HEAD, chunk, config, event, ok, on_both, with_network,
};
use crate::support::node::{KEYS, Node, eventually, free_address};
use crate::support::upstream::{Gate, Line, Upstream};

fn limited(provider: SocketAddr, connections_max: u64) -> Value {
    with_network(config(provider), "max_conns_per_host", connections_max)
}

/// A provider that answers when it is let, and counts its connections.
struct Gated {
    upstream: Upstream,
    gate: Gate,
    open_max: Arc<AtomicUsize>,
}

fn gated() -> Gated {
    let (gate, open, open_max) = (Gate::default(), AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let (passing, seen) = (gate.clone(), Arc::clone(&open_max));
    let upstream = Upstream::start(move |line| {
        seen.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        while line.receive().is_some() && passing.pass() {
            line.send(ok(ANSWER));
        }
        open.fetch_sub(1, Ordering::SeqCst);
    });
    Gated { upstream, gate, open_max }
}

/// Waits until so many requests are under way: each has its connection, or its place in the queue.
fn are_active(node: &Node, count: usize) {
    let line = format!("bifrost_active_requests{{method=\"chat_completion\"}} {count}\n");
    eventually("the requests are under way", || node.get("/metrics").contains(&line).then_some(()));
}

#[test]
fn requests_beyond_the_limit_wait_in_turn() {
    on_both(|driver| {
        let Gated { upstream, gate, open_max } = gated();
        let node = Node::start_on(&limited(upstream.address, 2).to_string(), driver, 1);
        let mut callers: Vec<Caller> = (0..6).map(|_| Caller::new(&node)).collect();
        for (number, caller) in callers.iter_mut().enumerate() {
            caller.send(request(CHAT, "", ASK.replace("hi", &format!("number {number}"))));
            are_active(&node, number + 1);
        }
        upstream.request(1);
        assert_eq!(upstream.requests().len(), 2);
        for number in 2..6 {
            gate.open();
            let next = upstream.request(number);
            assert!(next.text().contains(&format!("number {number}")), "{}", next.text());
        }
        (0..2).for_each(|_| gate.open());
        for caller in &mut callers {
            assert_eq!(caller.answer().text(), ANSWER);
        }
        assert_eq!((open_max.load(Ordering::SeqCst), upstream.connections()), (2, 2));
    });
}

#[test]
fn the_limit_is_the_nodes() {
    on_both(|driver| {
        let Gated { upstream, gate, open_max } = gated();
        let node = Node::start_on(&limited(upstream.address, 5).to_string(), driver, 3);
        let mut callers: Vec<Caller> = (0..12).map(|_| Caller::new(&node)).collect();
        for caller in &mut callers {
            caller.send(request(CHAT, "", ASK));
        }
        eventually("every core uses its share", || (upstream.requests().len() == 5).then_some(()));
        (0..12).for_each(|_| gate.open());
        for caller in &mut callers {
            assert_eq!(caller.answer().status, 200);
        }
        assert_eq!(open_max.load(Ordering::SeqCst), 5);
    });
}

#[test]
fn a_wait_ends_with_503_or_with_the_requests_own_deadline() {
    on_both(|driver| {
        let Gated { upstream, gate, .. } = gated();
        let mut config = limited(upstream.address, 1);
        config["providers"]["anthropic"]["network_config"]["default_request_timeout_in_seconds"] = 1.into();
        let node = Node::start_on(&config.to_string(), driver, 1);
        let mut first = Caller::new(&node);
        first.send(request(CHAT, "", ASK));
        upstream.request(0);
        let (mut patient, mut hasty) = (Caller::new(&node), Caller::new(&node));
        patient.send(request(CHAT, "", ASK));
        hasty.send(request(CHAT, "", ASK.replace("openai/gpt-4o", "anthropic/claude-x")));
        assert_eq!(hasty.answer().status, 504);
        let refused = patient.answer();
        assert_eq!(
            (refused.status, &*refused.code(), refused.value("retry-after")),
            (503, "overloaded", Some("1"))
        );
        assert!(refused.text().contains("max_conns_per_host"), "{}", refused.text());
        // Both have left the queue: the connection is the next one's.
        gate.open();
        assert_eq!(first.answer().status, 200);
        gate.open();
        assert_eq!(Caller::new(&node).post(CHAT, ASK).status, 200);
        assert_eq!((upstream.requests().len(), upstream.connections()), (2, 1));
    });
}

#[test]
fn who_leaves_while_it_waits_leaves_its_place() {
    on_both(|driver| {
        let Gated { upstream, gate, .. } = gated();
        let node = Node::start_on(&limited(upstream.address, 1).to_string(), driver, 1);
        let mut first = Caller::new(&node);
        first.send(request(CHAT, "", ASK));
        upstream.request(0);
        let waiting: Vec<Caller> = (0..3)
            .map(|number| {
                let mut caller = Caller::new(&node);
                caller.send(request(CHAT, "", ASK));
                are_active(&node, number + 2);
                caller
            })
            .collect();
        let mut waiting = waiting.into_iter();
        let (left, mut stays, reset) = (waiting.next(), waiting.next().unwrap(), waiting.next().unwrap());
        drop(left);
        reset.reset();
        are_active(&node, 2);
        (0..2).for_each(|_| gate.open());
        assert_eq!((first.answer().status, stays.answer().status), (200, 200));
        assert_eq!((upstream.requests().len(), upstream.connections()), (2, 1));
    });
}

type Script = fn(&mut Line);

#[test]
fn however_a_request_ends_its_connection_is_not_lost() {
    let endings: [(&str, &str, Script); 8] = [
        ("closed", ASK, |_| ()),
        ("reset", ASK, Line::reset),
        ("garbage", ASK, |line| line.send("SSH-2.0-OpenSSH_9.2\r\n\r\n")),
        ("coded", ASK, |line| {
            line.send("HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 1\r\n\r\nx");
        }),
        ("cut", ASK, |line| line.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{")),
        ("silent", ASK, |line| {
            line.silence();
        }),
        ("a silent stream", ASK_STREAM, |line| {
            line.send([STREAM_HEAD.as_bytes(), &chunk(event("one"))].concat());
            line.silence();
        }),
        ("a cut stream", ASK_STREAM, |line| {
            line.send([STREAM_HEAD.as_bytes(), &chunk(event("one"))].concat());
        }),
    ];
    on_both(|driver| {
        let upstream = Upstream::start(move |line| {
            while let Some(request) = line.receive() {
                let ending =
                    endings.iter().find(|(what, ..)| request.text().contains(&format!("\"{what}\"")));
                match ending {
                    Some((.., script)) => return script(line),
                    None => line.send(ok(ANSWER)),
                }
            }
        });
        let mut config = limited(upstream.address, 1);
        for name in ["default_request_timeout_in_seconds", "stream_idle_timeout_in_seconds"] {
            config = with_network(config, name, 1);
        }
        let node = Node::start_on(&config.to_string(), driver, 1);
        for (what, ask, _) in endings {
            let answer = Caller::new(&node).post(CHAT, ask.replace("hi", what));
            assert!(answer.status >= 500 || answer.text().contains("error"), "{what}: {}", answer.text());
            let after = Caller::new(&node).post(CHAT, ASK);
            assert_eq!((after.status, after.text()), (200, ANSWER), "after {what}");
            // And when it is the caller that goes, from the start or from the middle of a stream.
            let mut leaving = Caller::new(&node);
            leaving.send(request(CHAT, "", ask.replace("hi", what)));
            drop(leaving);
            let after = Caller::new(&node).post(CHAT, ASK);
            assert_eq!((after.status, after.text()), (200, ANSWER), "after one that left: {what}");
        }
    });
}

#[test]
fn an_unreachable_provider_does_not_use_up_the_limit() {
    on_both(|driver| {
        let node = Node::start_on(&limited(free_address(), 1).to_string(), driver, 1);
        for _ in 0..5 {
            let answer = Caller::new(&node).post(CHAT, ASK);
            assert_eq!((answer.status, &*answer.code()), (502, "upstream_unreachable"), "{}", answer.text());
        }
    });
}

#[test]
fn a_limit_below_the_workers_is_refused_at_start() {
    let config = limited(free_address(), 2).to_string();
    let flags = ["--workers", "3", "--driver", "epoll"];
    let said = Node::try_start_with(&config, &flags, &KEYS).err().unwrap();
    for provider in ["openai", "anthropic"] {
        let sentence = format!("providers.{provider}: network_config.max_conns_per_host is 2");
        assert!(said.iter().any(|line| line.contains(&sentence) && line.contains("--workers 2")), "{said:?}");
    }
}

const GOODBYE: &str = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n";

#[test]
fn a_goodbye_that_crosses_a_request_is_not_its_answer() {
    on_both(|driver| {
        // The second request of the first connection meets what the provider said to a connection at rest.
        let upstream = Upstream::start(|line| {
            let mut is_first = true;
            while line.receive().is_some() {
                let crosses = line.number == 0 && !std::mem::take(&mut is_first);
                line.send(if crosses { GOODBYE.into() } else { ok(ANSWER) });
            }
        });
        let node = Node::start_on(&config(upstream.address).to_string(), driver, 1);
        let mut caller = Caller::new(&node);
        for _ in 0..3 {
            assert_eq!(caller.post(CHAT, ASK).text(), ANSWER);
        }
        assert_eq!((upstream.connections(), upstream.requests().len()), (2, 4));
    });
}

#[test]
fn a_connection_that_was_said_goodbye_to_is_not_used_again() {
    on_both(|driver| {
        let upstream = Upstream::answering(GOODBYE);
        let node = Node::start_on(&config(upstream.address).to_string(), driver, 1);
        let mut caller = Caller::new(&node);
        for count in 1..=3 {
            assert_eq!(caller.post(CHAT, ASK).status, 408);
            assert_eq!((upstream.connections(), upstream.requests().len()), (count, count));
        }
    });
}

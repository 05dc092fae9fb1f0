//! TERM: what runs ends well, what is idle ends at once, nothing new begins, and the exit is 0.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::caller::{Caller, request};
use crate::setup::{ANSWER, ASK, ASK_STREAM, CHAT, config, ok, on_both, streaming};
use crate::support::node::{Node, eventually};
use crate::support::upstream::{Gate, Upstream};

/// Whether a new connection is refused, or closed without an answer.
fn is_shut(node: &Node) -> bool {
    let Ok(stream) = TcpStream::connect(node.address) else { return true };
    drop(stream);
    false
}

#[test]
fn a_stream_runs_to_its_end_and_the_node_ends_well() {
    on_both(|driver| {
        let gate = Gate::default();
        let upstream = streaming(&gate);
        let mut node = Node::start(&config(upstream.address).to_string(), driver);
        let mut idle = Caller::new(&node);
        assert_eq!(idle.post(CHAT, ASK).status, 200);
        let mut untouched = Caller::new(&node);
        assert_eq!(untouched.get("/health").json()["status"], "ok");
        let mut half = Caller::new(&node);
        half.send("GET /health HTTP/1.1\r\nhost: te");
        let mut stream = Caller::new(&node);
        stream.send(request(CHAT, "", ASK_STREAM));
        stream.until("one");
        // A half-sent head is only known to have arrived when the same core answered something behind it.
        (0..4).for_each(|_| assert_eq!(Caller::new(&node).get("/health").status, 200));

        let told = Instant::now();
        node.signal("TERM");
        assert!(idle.is_closed() && untouched.is_closed());
        assert!(told.elapsed() < Duration::from_secs(2), "{:?}", told.elapsed());
        eventually("nothing new is taken", || is_shut(&node).then_some(()));
        half.send("st\r\n\r\n");
        let health = half.answer();
        assert_eq!((health.status, health.value("connection")), (503, Some("close")));
        assert_eq!(health.json()["status"], "draining");
        assert!(half.is_closed());

        gate.open();
        let answer = stream.answer();
        assert!(
            answer.is_whole && answer.text().contains("two") && answer.text().ends_with("data: [DONE]\n\n")
        );
        assert!(stream.is_closed());
        assert_eq!(node.wait().code(), Some(0));
        assert!(told.elapsed() < Duration::from_secs(10));
    });
}

#[test]
fn a_request_behind_a_stream_is_answered_and_then_the_connection_ends() {
    on_both(|driver| {
        let gate = Gate::default();
        let upstream = streaming(&gate);
        let mut node = Node::start(&config(upstream.address).to_string(), driver);
        let mut caller = Caller::new(&node);
        caller.send(request(CHAT, "", ASK_STREAM));
        caller.until("one");
        caller.send("GET /health HTTP/1.1\r\nhost: test\r\n\r\n");
        node.signal("TERM");
        eventually("nothing new is taken", || is_shut(&node).then_some(()));
        gate.open();
        assert!(caller.answer().is_whole);
        let health = caller.answer();
        assert_eq!((health.status, health.value("connection")), (503, Some("close")));
        assert!(caller.is_closed());
        assert_eq!(node.wait().code(), Some(0));
    });
}

#[test]
fn an_idle_node_ends_at_once() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        for signal in ["TERM", "INT"] {
            let mut node = Node::start(&config(upstream.address).to_string(), driver);
            let mut idle = Caller::new(&node);
            assert_eq!(idle.post(CHAT, ASK).status, 200);
            let told = Instant::now();
            node.signal(signal);
            assert_eq!(node.wait().code(), Some(0));
            assert!(told.elapsed() < Duration::from_secs(3), "{:?}", told.elapsed());
            assert!(idle.is_closed());
        }
    });
}

/// A caller that was told that its connection closes, and does not close it, is waited for (RFC 9112 §9.6); a drain waits
/// for it no longer than for a caller that has yet to ask.
#[test]
fn callers_that_do_not_close_hold_no_drain() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let mut config = config(upstream.address);
        config["server"]["max_connections_per_core"] = 3.into();
        let mut node = Node::start_on(&config.to_string(), driver, 1);
        let mut callers: Vec<Caller> = (0..3).map(|_| Caller::new(&node)).collect();
        assert_eq!(callers[2].get("/health").status, 200);
        callers.push(Caller::new(&node));
        assert_eq!(callers[3].answer().status, 503);
        callers[0].send("GET / HTTP/1.1\r\n\r\n");
        assert_eq!(callers[0].answer().status, 400);
        callers[1].send("GET /health HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
        assert_eq!(callers[1].answer().status, 200);
        let told = Instant::now();
        node.signal("TERM");
        assert_eq!(node.wait().code(), Some(0));
        assert!(told.elapsed() < Duration::from_secs(4), "{:?}", told.elapsed());
        assert!(callers.iter_mut().all(Caller::is_closed));
    });
}

#[test]
fn a_second_signal_does_not_wait() {
    on_both(|driver| {
        let gate = Gate::default();
        let upstream = streaming(&gate);
        let mut node = Node::start(&config(upstream.address).to_string(), driver);
        let mut stream = Caller::new(&node);
        stream.send(request(CHAT, "", ASK_STREAM));
        stream.until("one");
        node.signal("TERM");
        eventually("nothing new is taken", || is_shut(&node).then_some(()));
        node.signal("TERM");
        assert_eq!(node.wait().code(), Some(1));
        assert!(!stream.answer().is_whole);
    });
}

#[test]
fn a_hang_up_changes_nothing() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = Node::start(&config(upstream.address).to_string(), driver);
        let mut caller = Caller::new(&node);
        assert_eq!(caller.post(CHAT, ASK).status, 200);
        node.signal("HUP");
        eventually("it says so", || node.said().iter().any(|line| line.contains("HUP")).then_some(()));
        assert_eq!(caller.post(CHAT, ASK).status, 200);
    });
}

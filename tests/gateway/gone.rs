//! Callers that leave: the provider's connection ends soon, and nothing of the request stays behind. Callers that have
//! only closed their sending side are served.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::caller::{Caller, request};
use crate::setup::{ANSWER, ASK, ASK_STREAM, CHAT, STREAM_HEAD, chunk, config, event, ok, on_both};
use crate::support::node::{Node, eventually};
use crate::support::upstream::{Gate, Line, Upstream};

/// What an upstream connection may outlive its caller on a busy machine; what is promised is `leaving`'s.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

fn descriptors(node: &Node) -> usize {
    fs::read_dir(format!("/proc/{}/fd", node.pid())).unwrap().count()
}

/// The same once a node that has just begun opens no more.
fn settled_descriptors(node: &Node) -> usize {
    let (mut last, mut same) = (descriptors(node), 0);
    eventually("the node opens no more", || {
        let now = descriptors(node);
        (last, same) = (now, if now == last { same + 1 } else { 0 });
        (same > 20).then_some(now)
    })
}

/// Answers nothing, or begins an answer, and waits for the node to go.
fn stall(line: &mut Line) {
    while let Some(request) = line.receive() {
        match request.text() {
            text if text.contains("stall-stream") => {
                line.send(STREAM_HEAD);
                line.send(chunk(event("one")));
                assert!(line.silence() < CANCEL_TIMEOUT * 20);
                return;
            }
            text if text.contains("stall-body") => {
                line.send(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000000\r\n\r\n",
                );
                line.send("x".repeat(200_000));
                line.silence();
                return;
            }
            text if text.contains("stall") => {
                line.silence();
                return;
            }
            _ => line.send(ok(ANSWER)),
        }
    }
}

/// Asks, waits until the answer is as far as it gets, leaves, and waits for the provider's connection to end.
fn leave(node: &Node, upstream: &Upstream, word: &str, resets: bool) {
    let (asked, ended) = (upstream.requests().len(), upstream.ended());
    let ask = if word == "stall-stream" { ASK_STREAM } else { ASK };
    let mut caller = Caller::new(node);
    caller.send(request(CHAT, "", ask.replace("hi", word)));
    upstream.request(asked);
    match word {
        "stall-stream" => caller.until("one"),
        "stall-body" => caller.until("xxxx"),
        _ => {}
    }
    let left = std::time::Instant::now();
    if resets {
        caller.reset();
    } else {
        drop(caller);
    }
    eventually("the provider's connection ends", || (upstream.ended() > ended).then_some(()));
    assert!(left.elapsed() < CANCEL_TIMEOUT, "{word}: {:?}", left.elapsed());
}

#[test]
fn the_providers_connection_ends_with_the_callers() {
    on_both(|driver| {
        let upstream = Upstream::start(stall);
        let node = Node::start(&config(upstream.address).to_string(), driver);
        for word in ["stall", "stall-stream", "stall-body"] {
            for resets in [false, true] {
                leave(&node, &upstream, word, resets);
            }
        }
        assert_eq!(Caller::new(&node).post(CHAT, ASK).status, 200);
        assert_eq!(left_behind(&node), 6);
    });
}

/// Requests that were counted as left by their callers.
fn left_behind(node: &Node) -> u64 {
    let metrics = Caller::new(node).get("/metrics");
    let lines = metrics.text().lines();
    let gone =
        lines.filter(|line| line.starts_with("http_requests_total") && line.contains("status=\"499\""));
    gone.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn two_hundred_that_leave_leave_nothing() {
    on_both(|driver| {
        let upstream = Upstream::start(stall);
        let node = Node::start(&config(upstream.address).to_string(), driver);
        for word in ["stall", "stall-stream", "stall-body"] {
            leave(&node, &upstream, word, false);
        }
        let (before, ended) = (descriptors(&node), upstream.ended());
        for round in 0..10 {
            let callers = (0..20).map(|number| {
                let mut caller = Caller::new(&node);
                let word = ["stall", "stall-stream"][number % 2];
                caller.send(request(CHAT, "", ASK_STREAM.replace("hi", word)));
                caller
            });
            let callers: Vec<Caller> = callers.collect();
            eventually("the provider is asked by all", || {
                (upstream.requests().len() == 3 + (round + 1) * 20).then_some(())
            });
            for (number, caller) in callers.into_iter().enumerate() {
                if number % 4 > 1 {
                    caller.reset();
                }
            }
        }
        eventually("the provider's connections end", || (upstream.ended() == ended + 200).then_some(()));
        eventually("the descriptors of those who left are closed", || {
            (descriptors(&node) <= before).then_some(())
        });
        assert_eq!(Caller::new(&node).post(CHAT, ASK).status, 200);
    });
}

/// A provider that answers when it is told to.
fn patient(gate: &Gate) -> Upstream {
    let gate = gate.clone();
    Upstream::start(move |line| {
        while let Some(request) = line.receive() {
            if request.text().contains("\"stream\":true") {
                line.send(STREAM_HEAD);
                line.send(chunk(event("one")));
                gate.pass();
                line.send(chunk(event("two")));
                line.send(chunk("data: [DONE]\n\n"));
                line.send("0\r\n\r\n");
            } else {
                gate.pass();
                line.send(ok(ANSWER));
            }
        }
    })
}

/// Longer than a caller whose end was read is left unasked.
const LONG: Duration = Duration::from_millis(700);

#[test]
fn a_caller_that_closed_its_sending_side_is_served() {
    on_both(|driver| {
        for patience in [Duration::ZERO, LONG] {
            let gate = Gate::default();
            let upstream = patient(&gate);
            let node = Node::start(&config(upstream.address).to_string(), driver);
            for version in ["HTTP/1.1", "HTTP/1.0"] {
                let asked = upstream.requests().len();
                let ask = |body: &str| {
                    let text = String::from_utf8(request(CHAT, "", body)).unwrap();
                    let mut caller = Caller::new(&node);
                    caller.send(text.replacen("HTTP/1.1", version, 1));
                    caller.half_close();
                    caller
                };
                let (mut whole, mut stream) = (ask(ASK), ask(ASK_STREAM));
                upstream.request(asked + 1);
                stream.until("one");
                std::thread::sleep(patience);
                gate.open();
                gate.open();
                assert_eq!((whole.answer().text(), whole.rest()), (ANSWER, vec![]));
                let answer = stream.answer();
                let events = [event("one"), event("two"), "data: [DONE]\n\n".into()].concat();
                // It may have been asked by a comment whether it reads.
                assert_eq!(answer.text().replace(":\n\n", ""), events);
                assert!(answer.is_whole && stream.rest().is_empty());
            }
            assert_eq!(left_behind(&node), 0);
        }
    });
}

#[test]
fn requests_behind_each_other_are_all_served_before_the_end() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = Node::start(&config(upstream.address).to_string(), driver);
        let mut caller = Caller::new(&node);
        caller.send(request(CHAT, "", ASK).repeat(3));
        caller.half_close();
        for _ in 0..3 {
            assert_eq!(caller.answer().text(), ANSWER);
        }
        assert_eq!(caller.rest(), b"");
    });
}

#[test]
fn an_answer_that_nobody_took_is_counted_so() {
    on_both(|driver| {
        let gate = Gate::default();
        let upstream = patient(&gate);
        let node = Node::start(&config(upstream.address).to_string(), driver);
        // HTTP/1.0 knows nothing that could be sent before the answer: the answer itself is refused.
        let text = String::from_utf8(request(CHAT, "", ASK)).unwrap();
        let mut caller = Caller::new(&node);
        caller.send(text.replacen("HTTP/1.1", "HTTP/1.0", 1));
        upstream.request(0);
        drop(caller);
        std::thread::sleep(Duration::from_millis(50));
        gate.open();
        eventually("the refusal is counted", || (left_behind(&node) == 1).then_some(()));
    });
}

#[test]
fn a_caller_that_leaves_inside_its_body_asks_nothing() {
    on_both(|driver| {
        let upstream = Upstream::start(stall);
        let node = Node::start(&config(upstream.address).to_string(), driver);
        assert_eq!(Caller::new(&node).get("/metrics").status, 200);
        let before = settled_descriptors(&node);
        for _ in 0..20 {
            let mut caller = Caller::new(&node);
            let bytes = request(CHAT, "", ASK);
            caller.send(&bytes[..bytes.len() - 1]);
        }
        eventually("their descriptors are closed", || (descriptors(&node) <= before).then_some(()));
        assert_eq!(upstream.connections(), 0);
    });
}

#[test]
fn a_caller_that_reads_slowly_holds_the_provider_back() {
    const PIECES: usize = 2000;
    const PIECE_BYTES: usize = 100_000;
    /// What may stand between the two, in the node: one piece read, one being sent.
    const HELD_BYTES_MAX: usize = 16 * 1024 * 1024;
    on_both(|driver| {
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let upstream = Upstream::start(move |line| {
            if line.receive().is_none() {
                return;
            }
            line.send(STREAM_HEAD);
            let piece = chunk(event(&"y".repeat(PIECE_BYTES)));
            for _ in 0..PIECES {
                line.send(&piece);
                count.fetch_add(1, Ordering::Relaxed);
            }
            line.send(chunk("data: [DONE]\n\n"));
            line.send("0\r\n\r\n");
            line.receive();
        });
        let node = Node::start(&config(upstream.address).to_string(), driver);
        assert_eq!(Caller::new(&node).get("/health").status, 200);
        let before = resident_bytes(&node).unwrap();
        let mut caller = Caller::new(&node);
        caller.send(request(CHAT, "", ASK_STREAM));
        caller.until("yyyy");
        let (mut most, mut stood_still) = (0, 0);
        // It stops for as long as the provider takes to be held back, then reads a little, three times.
        for round in 1..4 {
            let mut last = usize::MAX;
            while last != written.load(Ordering::Relaxed) {
                last = written.load(Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(150));
                most = most.max(resident_bytes(&node).unwrap());
            }
            stood_still += usize::from(last < PIECES);
            caller.until_length(round * 5 * 1024 * 1024);
        }
        assert_eq!(stood_still, 3, "the provider was not held back");
        let held = most.saturating_sub(before);
        println!("{driver}: {held} bytes held for a caller that does not read");
        assert!(held < HELD_BYTES_MAX, "{held} bytes for a caller that does not read");
        let answer = caller.answer();
        assert!(answer.is_whole && answer.body.len() > PIECES * PIECE_BYTES);
    });
}

fn resident_bytes(node: &Node) -> Option<usize> {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kib| kib * 1024)
}

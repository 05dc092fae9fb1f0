//! Callers that leave, at each point of their request: all that is done for them ends within 100 ms, or, where the config
//! says so, is read to its end for the row.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::admin::run;
use crate::caller::{Caller, request};
use crate::setup::{
    ANSWER, ASK, ASK_CLAUDE_STREAM, ASK_STREAM, CHAT, STREAM_HEAD, chunk, config, event, ok, on_both,
    with_network,
};
use crate::support::node::{Node, eventually};
use crate::support::tls::{BOTH, Certificates, TlsCaller};
use crate::support::upstream::{Gate, Line, Upstream};

/// What is promised.
const CANCEL_TIMEOUT: Duration = Duration::from_millis(100);
/// A busy machine may be late; it is not so each time.
const TRIES: usize = 8;

const ROLE: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\n";
const CLAUDE_START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m1\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"claude-x\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n";
const CLAUDE_DELTA: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"one\"}}\n\n";
const CLAUDE_REST: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":4}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";

/// Where a request stands when its caller leaves.
const POINTS: [&str; 6] = ["head", "whole", "long", "held", "stream", "full"];

/// Brings an answer to the point that the request names, and no further.
fn advance(line: &mut Line, point: &str) {
    match point {
        "head" => {}
        "whole" => line.send([CHUNKED.as_bytes(), &chunk(&ANSWER[..100])].concat()),
        "long" => {
            line.send([CHUNKED.as_bytes(), &chunk(format!("{{\"x\":\"{}", "y".repeat(200_000)))].concat());
        }
        "held" => line.send([STREAM_HEAD.as_bytes(), &chunk(ROLE)].concat()),
        "stream" => line.send([STREAM_HEAD.as_bytes(), &chunk(event("one"))].concat()),
        // More than stands between the two; the caller reads none of it.
        _ => {
            line.send(STREAM_HEAD);
            let piece = chunk(event(&"y".repeat(100_000)));
            (0..400).for_each(|_| line.send(&piece));
        }
    }
}

fn point_of(text: &str) -> &'static str {
    POINTS.into_iter().find(|point| text.contains(&format!("at-{point}"))).unwrap()
}

fn ask_at(point: &str) -> String {
    let ask = if ["held", "stream", "full"].contains(&point) { ASK_STREAM } else { ASK };
    ask.replace("hi", &format!("at-{point}"))
}

/// Waits until the answer is as far as it gets.
fn arrive(caller: &mut Caller, upstream: &Upstream, asked: usize, point: &str) {
    upstream.request(asked);
    match point {
        "stream" => caller.until("one"),
        "full" => caller.until("yyy"),
        // Nothing of it is seen from here.
        _ => std::thread::sleep(Duration::from_millis(30)),
    }
}

#[test]
fn all_that_is_done_for_a_caller_ends_within_100_ms() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            if let Some(request) = line.receive() {
                advance(line, point_of(request.text()));
                line.silence();
            }
        });
        let node = Node::start(&config(upstream.address).to_string(), driver);
        for point in POINTS {
            for resets in [false, true] {
                let mut times = (0..TRIES).map(|_| {
                    let (asked, ended) = (upstream.requests().len(), upstream.ended());
                    let mut caller = Caller::new(&node);
                    caller.send(request(CHAT, "", ask_at(point)));
                    arrive(&mut caller, &upstream, asked, point);
                    let left = Instant::now();
                    if resets {
                        caller.reset();
                    } else {
                        drop(caller);
                    }
                    eventually("the provider's connection ends", || (upstream.ended() > ended).then_some(()));
                    left.elapsed()
                });
                let time = times.find(|time| *time < CANCEL_TIMEOUT);
                println!("{driver}: {point}, reset {resets}: {time:?}");
                assert!(time.is_some(), "{driver} {point}: never within {CANCEL_TIMEOUT:?}");
            }
        }
    });
}

/// Both vendors are read to the end, and log to a file of the node's folder.
fn finishing(upstream: &Upstream) -> Value {
    let mut config = with_network(config(upstream.address), "max_retries", 2);
    for provider in ["openai", "anthropic"] {
        config["providers"][provider]["on_client_gone"] = json!("finish");
        config["providers"][provider]["network_config"]["retry_backoff_initial"] = json!(1);
    }
    config["logs_store"] = json!({ "enabled": true, "type": "sqlite", "config": { "path": "logs.db" } });
    config
}

/// What a row says of an answer that nobody took.
#[derive(Debug, PartialEq)]
struct Row {
    status_code: u16,
    error_kind: String,
    attempts: u32,
    total_tokens: Option<i64>,
    output: String,
}

/// The rows, once there are so many.
fn rows(node: &Node, count: usize) -> Vec<Row> {
    eventually("the rows are written", || {
        let store = rusqlite::Connection::open(node.folder.path().join("logs.db")).unwrap();
        let columns = "status_code, error_kind, attempts, total_tokens, output_message";
        let mut query = store.prepare(&format!("SELECT {columns} FROM logs ORDER BY timestamp")).ok()?;
        let rows = query.query_map((), |row| {
            let output: Option<String> = row.get(4)?;
            Ok(Row {
                status_code: row.get(0)?,
                error_kind: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
                attempts: row.get(2)?,
                total_tokens: row.get(3)?,
                output: output.unwrap_or_default(),
            })
        });
        let rows: Vec<Row> = rows.ok()?.collect::<Result<_, _>>().ok()?;
        (rows.len() >= count).then_some(rows)
    })
}

#[test]
fn what_is_under_way_is_read_to_its_end_where_the_config_says_so() {
    on_both(|driver| {
        let gate = Gate::default();
        let next = gate.clone();
        let upstream = Upstream::start(move |line| {
            while let Some(request) = line.receive() {
                if request.head.contains("/messages") {
                    line.send([STREAM_HEAD.as_bytes(), &chunk(CLAUDE_START), &chunk(CLAUDE_DELTA)].concat());
                    assert!(next.pass());
                    line.send([&chunk(CLAUDE_REST)[..], b"0\r\n\r\n"].concat());
                    continue;
                }
                let point = point_of(request.text());
                if point != "head" {
                    advance(line, point);
                }
                assert!(next.pass());
                let rest = match point {
                    "head" => ok(ANSWER),
                    "whole" => chunk(&ANSWER[100..]),
                    "long" => chunk("\",\"usage\":{\"total_tokens\":7}}"),
                    "held" => chunk([&event("one"), USAGE, "data: [DONE]\n\n"].concat()),
                    _ => chunk([USAGE, "data: [DONE]\n\n"].concat()),
                };
                line.send(rest);
                if point != "head" {
                    line.send("0\r\n\r\n");
                }
            }
        });
        let node = Node::start_on(&finishing(&upstream).to_string(), driver, 1);
        let asks = POINTS[..5].iter().map(|point| (*point, ask_at(point)));
        let asks = asks.chain([("stream", ASK_CLAUDE_STREAM.to_owned())]);
        for (number, (point, ask)) in asks.enumerate() {
            let mut caller = Caller::new(&node);
            caller.send(request(CHAT, "", ask));
            arrive(&mut caller, &upstream, number, point);
            drop(caller);
            std::thread::sleep(CANCEL_TIMEOUT);
            gate.open();
            let row = rows(&node, number + 1).pop().unwrap();
            let content = if point == "long" { "" } else { "one" };
            assert_eq!(
                (row.status_code, &*row.error_kind, row.attempts, row.total_tokens),
                (499, "client_gone", 1, Some(7)),
                "{point}: {row:?}"
            );
            let content = if ["head", "whole"].contains(&point) { "ho" } else { content };
            assert!(row.output.contains(content), "{point}: {row:?}");
        }
        // What was read to its end left its connection fit for more.
        assert_eq!(upstream.connections(), 1);
        assert_eq!(upstream.requests().len(), 6);
    });
}

#[test]
fn no_attempt_begins_for_a_caller_that_left() {
    on_both(|driver| {
        let gate = Gate::default();
        let next = gate.clone();
        let upstream = Upstream::start(move |line| {
            if let Some(request) = line.receive() {
                advance(line, point_of(request.text()));
                assert!(next.pass());
            }
        });
        let node = Node::start_on(&finishing(&upstream).to_string(), driver, 1);
        for (number, point) in ["head", "whole", "held", "stream"].into_iter().enumerate() {
            let mut caller = Caller::new(&node);
            caller.send(request(CHAT, "", ask_at(point)));
            arrive(&mut caller, &upstream, number, point);
            drop(caller);
            std::thread::sleep(CANCEL_TIMEOUT);
            gate.open();
            let row = rows(&node, number + 1).pop().unwrap();
            assert_eq!((row.status_code, &*row.error_kind), (499, "client_gone"), "{point}: {row:?}");
            assert_eq!(upstream.requests().len(), number + 1, "{point}");
        }
    });
}

#[test]
fn what_is_read_to_its_end_still_has_its_deadlines() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            if let Some(request) = line.receive() {
                advance(line, point_of(request.text()));
                line.silence();
            }
        });
        let mut config = finishing(&upstream);
        config["providers"]["openai"]["network_config"]["default_request_timeout_in_seconds"] = json!(1);
        config["providers"]["openai"]["network_config"]["stream_idle_timeout_in_seconds"] = json!(1);
        let node = Node::start_on(&config.to_string(), driver, 1);
        for (number, point) in ["head", "whole", "held", "stream"].into_iter().enumerate() {
            let mut caller = Caller::new(&node);
            caller.send(request(CHAT, "", ask_at(point)));
            arrive(&mut caller, &upstream, number, point);
            drop(caller);
            assert!(rows(&node, number + 1).iter().all(|row| row.status_code == 499));
            eventually("the provider's connection ends", || (upstream.ended() == number + 1).then_some(()));
        }
        assert_eq!(upstream.requests().len(), 4);
    });
}

#[test]
fn a_caller_behind_tls_is_missed_as_soon() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            if let Some(request) = line.receive() {
                advance(line, point_of(request.text()));
                line.silence();
            }
        });
        let certificates = Certificates::new();
        let mut config = config(upstream.address);
        config["server"]["tls"] = certificates.server_tls();
        let node = Node::start(&config.to_string(), driver);
        for point in ["head", "whole", "held", "stream"] {
            for says_so in [false, true] {
                let mut times = (0..TRIES).map(|_| {
                    let (asked, ended) = (upstream.requests().len(), upstream.ended());
                    let mut caller = TlsCaller::connect(node.address, &certificates, BOTH);
                    caller.write_all(&request(CHAT, "", ask_at(point))).unwrap();
                    upstream.request(asked);
                    std::thread::sleep(Duration::from_millis(30));
                    let left = Instant::now();
                    if says_so {
                        caller.close_notify();
                    }
                    drop(caller);
                    eventually("the provider's connection ends", || (upstream.ended() > ended).then_some(()));
                    left.elapsed()
                });
                let time = times.find(|time| *time < CANCEL_TIMEOUT);
                println!("{driver}: {point} behind TLS, says so {says_so}: {time:?}");
                assert!(time.is_some(), "{driver} {point}: never within {CANCEL_TIMEOUT:?}");
            }
        }
    });
}

#[test]
fn a_nodes_end_ends_what_is_read_for_nobody() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            if let Some(request) = line.receive() {
                advance(line, point_of(request.text()));
                line.silence();
            }
        });
        let mut node = Node::start_on(&finishing(&upstream).to_string(), driver, 1);
        for (number, point) in ["head", "stream"].into_iter().enumerate() {
            let mut caller = Caller::new(&node);
            caller.send(request(CHAT, "", ask_at(point)));
            arrive(&mut caller, &upstream, number, point);
            drop(caller);
        }
        std::thread::sleep(CANCEL_TIMEOUT);
        run(&node, &["drain", "--deadline", "1s"]).well();
        node.wait();
        let rows = rows(&node, 2);
        assert!(rows.iter().all(|row| row.status_code == 499 && row.error_kind == "client_gone"), "{rows:?}");
    });
}

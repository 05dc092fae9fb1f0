//! Answers of providers as the relay takes them, over plain connections and TLS: what passes, what becomes the caller's own
//! 502, and that a connection which carried a doubtful one carries no other.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, LazyLock};

use rustls::{ServerConnection, StreamOwned};
use serde_json::Value;

use crate::caller::{Answer, Caller, request};
use crate::setup::{
    ANSWER, ASK, ASK_STREAM, CHAT, MESSAGES, OPENAI_CHAT, STREAM_HEAD, answer, chunk, config, event, ok,
    on_both,
};
use crate::support::node::{Node, eventually};
use crate::support::tls::{Certificates, Goodbye, TlsFront};
use crate::support::upstream::{Gate, Line, Upstream};

static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(Certificates::new);

/// A node on one core before this provider, and the TLS that stands between them, if any.
struct Behind {
    node: Node,
    _front: Option<TlsFront>,
}

impl Behind {
    fn plain(upstream: &Upstream, driver: &str) -> Self {
        Self { node: Node::start_on(&config(upstream.address).to_string(), driver, 1), _front: None }
    }

    fn tls(upstream: &Upstream, driver: &str) -> Self {
        let leaf = CERTIFICATES.server_config(&CERTIFICATES.server);
        let front = TlsFront::before(upstream.address, leaf, Goodbye::Notified);
        let node = Node::start_on(&https(front.address).to_string(), driver, 1);
        Self { node, _front: Some(front) }
    }

    fn caller(&self) -> Caller {
        Caller::new(&self.node)
    }
}

/// Both vendors at one address that speaks TLS.
fn https(address: SocketAddr) -> Value {
    let mut config = config(address);
    for provider in ["openai", "anthropic"] {
        let network = &mut config["providers"][provider]["network_config"];
        network["base_url"] = format!("https://{address}").into();
        network["ca_cert_pem"] = CERTIFICATES.ca.as_str().into();
    }
    config
}

/// Runs a test on both drivers, plain and TLS.
fn on_all(test: impl Fn(&dyn Fn(&Upstream) -> Behind)) {
    on_both(|driver| {
        test(&|upstream| Behind::plain(upstream, driver));
        test(&|upstream| Behind::tls(upstream, driver));
    });
}

/// A request to each dialect, and a stream.
const ASKS: [(&str, &str); 4] =
    [(CHAT, ASK), (CHAT, ASK_STREAM), (OPENAI_CHAT, ASK), (MESSAGES, r#"{"model":"claude-x"}"#)];

fn check_unusable(answer: &Answer, path: &str, what: &str) {
    assert_eq!((answer.status, answer.is_whole), (502, true), "{what}: {}", answer.text());
    match path {
        MESSAGES => assert_eq!(answer.json()["type"], "error", "{what}"),
        _ => assert_eq!(answer.code(), "upstream_invalid_response", "{what}: {}", answer.text()),
    }
}

/// Answers with these bytes whatever is asked, and keeps its connections.
fn check_refused(behind: &dyn Fn(&Upstream) -> Behind, what: &str, bytes: &[u8]) {
    let upstream = Upstream::answering(bytes);
    let behind = behind(&upstream);
    for (count, (path, ask)) in ASKS.iter().enumerate() {
        let mut caller = behind.caller();
        check_unusable(&caller.post(path, ask), path, what);
        assert_eq!((upstream.requests().len(), upstream.connections()), (count + 1, count + 1), "{what}");
        assert_eq!(caller.get("/health").status, 200, "{what}: the caller's connection serves on");
    }
    eventually("the connections are closed", || (upstream.ended() == 4).then_some(()));
}

const SECOND: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong";

#[test]
fn ambiguous_framing_is_the_callers_502() {
    let head = |fields: &str, rest: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n{rest}").into_bytes();
    let long = "y".repeat(256 * 1024);
    on_all(|behind| {
        for (what, bytes) in [
            ("length and chunks", head("content-length: 5\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n")),
            ("two lengths", head("content-length: 2\r\ncontent-length: 3\r\n", "{}x")),
            ("lengths in a list", head("content-length: 2, 3\r\n", "{}x")),
            ("another coding", head("transfer-encoding: gzip, chunked\r\n", "0\r\n\r\n")),
            ("a coded answer", head("content-encoding: gzip\r\ncontent-length: 2\r\n", "{}")),
            (
                "a chunk's size",
                head(
                    "content-type: application/json\r\ntransfer-encoding: chunked\r\n",
                    "+2\r\n{}\r\n0\r\n\r\n",
                ),
            ),
            ("a long head", head(&format!("x: {long}\r\n"), "")),
        ] {
            check_refused(behind, what, &bytes);
        }
    });
}

#[test]
fn an_answer_behind_the_answer_is_the_callers_502() {
    let with_second = |first: Vec<u8>| [first, SECOND.to_vec()].concat();
    let long = format!(r#"{{"x":"{}"}}"#, "y".repeat(300 * 1024));
    let fields = "content-type: application/json\r\n";
    let stream = [STREAM_HEAD.as_bytes(), &chunk(event("one")), &chunk("data: [DONE]\n\n"), b"0\r\n\r\n"];
    on_all(|behind| {
        check_refused(behind, "whole", &with_second(ok(ANSWER)));
        check_refused(behind, "a long one", &with_second(ok(&long)));
        check_refused(behind, "a longer body", &[ok(ANSWER), b"x".to_vec()].concat());
        check_refused(behind, "an error", &with_second(answer(400, fields, r#"{"error":{"message":"no"}}"#)));
        check_refused(behind, "no content", &with_second(b"HTTP/1.1 204 None\r\n\r\n".to_vec()));
        check_refused(behind, "chunks", &with_second(stream.concat()));
    });
}

#[test]
fn line_breaks_behind_an_answer_end_its_connection_only() {
    on_all(|behind| {
        let upstream = Upstream::answering([ok(ANSWER), b"\r\n".to_vec()].concat());
        let behind = behind(&upstream);
        let mut caller = behind.caller();
        for count in 1..4 {
            assert_eq!(caller.post(CHAT, ASK).text(), ANSWER);
            assert_eq!(upstream.connections(), count);
        }
    });
}

#[test]
fn what_stands_behind_a_begun_stream_ends_its_connection_only() {
    on_all(|behind| {
        let gate = Gate::default();
        let passing = gate.clone();
        let upstream = Upstream::start(move |line| {
            while line.receive().is_some() {
                line.send([STREAM_HEAD.as_bytes(), &chunk(event("one"))].concat());
                assert!(passing.pass());
                line.send([chunk("data: [DONE]\n\n").as_slice(), b"0\r\n\r\n", SECOND].concat());
            }
        });
        let behind = behind(&upstream);
        let mut caller = behind.caller();
        for count in [1, 2, 3] {
            caller.send(request(CHAT, "", ASK_STREAM));
            caller.until("one");
            gate.open();
            let answer = caller.answer();
            assert!(answer.is_whole && answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
            assert_eq!(upstream.connections(), count);
        }
    });
}

#[test]
fn every_framing_that_is_clear_passes() {
    let json = "content-type: application/json\r\n";
    let chunked = format!("HTTP/1.1 200 OK\r\n{json}transfer-encoding: chunked\r\n\r\n");
    let (first, rest) = ANSWER.split_at(20);
    let extended = format!(
        "{chunked}{:x};name=value;quoted=\"a;b\"\r\n{first}\r\n{:X} ; x\r\n{rest}\r\n000;last\r\nx-trailer: secret\r\nx-two: b\r\n\r\n",
        first.len(),
        rest.len()
    );
    let length = ANSWER.len();
    let equal = format!("content-length: {length}\r\ncontent-length: {length}, {length}\r\n");
    let old = format!("HTTP/1.0 200 OK\r\n{json}\r\n{ANSWER}");
    on_all(|behind| {
        for (what, bytes, is_kept) in [
            ("chunks with extensions and trailers", extended.clone(), true),
            ("equal lengths", format!("HTTP/1.1 200 OK\r\n{json}{equal}\r\n{ANSWER}"), true),
            (
                "interim heads",
                format!("HTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n{json}{equal}\r\n{ANSWER}"),
                true,
            ),
            ("until it closes", format!("HTTP/1.1 200 OK\r\n{json}\r\n{ANSWER}"), false),
            ("HTTP/1.0", old.clone(), false),
        ] {
            let upstream = Upstream::start(move |line| {
                while line.receive().is_some() {
                    line.send(&bytes);
                    if !is_kept {
                        return;
                    }
                }
            });
            let behind = behind(&upstream);
            let mut caller = behind.caller();
            for count in 1..4 {
                let answer = caller.post(CHAT, ASK);
                assert_eq!((answer.status, answer.text(), answer.is_whole), (200, ANSWER, true), "{what}");
                assert!(
                    !answer.head.contains("x-trailer") && !answer.head.contains("link"),
                    "{what}: {}",
                    answer.head
                );
                assert_eq!(upstream.connections(), if is_kept { 1 } else { count }, "{what}");
            }
        }
    });
}

#[test]
fn an_event_without_an_end_is_cut_at_its_limit() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while let Some(request) = line.receive() {
                line.send(STREAM_HEAD);
                if request.text().contains("begun") {
                    line.send(chunk(event("one")));
                }
                let piece = chunk("y".repeat(1024 * 1024));
                line.send(chunk("data: "));
                (0..17).for_each(|_| line.send(&piece));
            }
        });
        let behind = Behind::plain(&upstream, driver);
        let mut caller = behind.caller();
        check_unusable(&caller.post(CHAT, ASK_STREAM), CHAT, "before anything was sent");
        let answer = caller.post(CHAT, ASK_STREAM.replace("hi", "begun"));
        assert!(answer.status == 200 && answer.is_whole, "{}", answer.head);
        assert!(answer.text().contains("one") && answer.text().contains("over 16 MiB"), "{}", answer.text());
        assert_eq!(upstream.connections(), 2);
    });
}

/// A body that no two sockets' buffers hold.
const UNHELD_BYTES: usize = 12_000_000;
/// One that takes many writes.
const LONG_BYTES: usize = 1_500_000;

fn long_ask(bytes: usize) -> String {
    format!(r#"{{"model":"openai/gpt-4o","x":"{}"}}"#, "y".repeat(bytes))
}

/// Reads a head, answers it, and neither reads on nor closes before the test is over. Over TLS without a front, which would
/// read on.
fn answer_early(mut stream: impl Read + Write, answer: &[u8]) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    stream.write_all(answer).and_then(|()| stream.flush()).unwrap();
    Gate::default().pass();
}

fn answering_early(answer: Vec<u8>, is_tls: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = Arc::new(CERTIFICATES.server_config(&CERTIFICATES.server));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (answer, config) = (answer.clone(), Arc::clone(&config));
            std::thread::spawn(move || match is_tls {
                false => answer_early(stream, &answer),
                true => {
                    answer_early(StreamOwned::new(ServerConnection::new(config).unwrap(), stream), &answer)
                }
            });
        }
    });
    address
}

#[test]
fn an_answer_reaches_the_caller_though_the_provider_reads_no_further() {
    let refusal = r#"{"error":{"message":"too long"}}"#;
    let refusal = answer(413, "content-type: application/json\r\n", refusal);
    on_both(|driver| {
        for (is_tls, bytes, status, word) in [
            (false, refusal.clone(), 413, "too long"),
            (true, refusal.clone(), 413, "too long"),
            (false, ok(ANSWER), 200, "total_tokens"),
            (true, ok(ANSWER), 200, "total_tokens"),
        ] {
            let address = answering_early(bytes, is_tls);
            let config = if is_tls { https(address) } else { config(address) };
            let node = Node::start_on(&config.to_string(), driver, 1);
            // A second one would find a connection whose request is not whole, were it kept.
            for _ in 0..2 {
                let answer = Caller::new(&node).post(CHAT, long_ask(UNHELD_BYTES));
                assert_eq!(answer.status, status, "{}", answer.text());
                assert!(answer.text().contains(word), "{}", answer.text());
            }
        }
    });
}

#[test]
fn an_answer_that_begins_early_does_not_end_its_request() {
    type Script = fn(&mut Line);
    let scripts: [(&str, Script); 3] = [
        ("an interim head", |line| {
            line.send("HTTP/1.1 100 Continue\r\n\r\n");
            line.receive();
            line.send(ok(ANSWER));
        }),
        ("a head", |line| {
            let whole = ok(ANSWER);
            line.send(&whole[..whole.len() - ANSWER.len()]);
            line.receive();
            line.send(ANSWER);
        }),
        ("half a head", |line| {
            let whole = ok(ANSWER);
            line.send(&whole[..20]);
            line.receive();
            line.send(&whole[20..]);
        }),
    ];
    on_all(|behind| {
        for (what, script) in scripts {
            let upstream = Upstream::start(move |line| {
                while line.receive_head() {
                    script(line);
                }
            });
            let behind = behind(&upstream);
            let ask = long_ask(LONG_BYTES);
            let mut caller = behind.caller();
            for count in 1..3 {
                let answer = caller.post(CHAT, &ask);
                assert_eq!((answer.status, answer.text()), (200, ANSWER), "{what}");
                assert_eq!(upstream.request(count - 1).body.len(), ask.len() - "openai/".len(), "{what}");
                assert_eq!(upstream.connections(), 1, "{what}: all was sent, so it serves on");
            }
        }
    });
}

#[test]
fn a_long_request_on_a_dead_kept_connection_is_sent_once_more() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            if line.receive().is_some() {
                line.send(ok(ANSWER));
            }
            // The next request on this connection is cut inside its body.
            if line.receive_head() {
                line.reset();
            }
        });
        let behind = Behind::plain(&upstream, driver);
        let mut caller = behind.caller();
        let ask = long_ask(LONG_BYTES);
        for count in 1..4 {
            assert_eq!(caller.post(CHAT, &ask).text(), ANSWER);
            assert_eq!((upstream.requests().len(), upstream.connections()), (count, count));
            assert_eq!(upstream.last().body.len(), ask.len() - "openai/".len());
        }
    });
}

//! Callers behind TLS are served as plain ones are: requests behind each other, in records of any size; callers that
//! leave, and callers that only say that they have said all.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::caller::request;
use crate::listener_tls::head;
use crate::setup::{ANSWER, ASK, ASK_STREAM, CHAT, STREAM_HEAD, chunk, config, event, ok, on_both};
use crate::support::node::{Node, eventually};
use crate::support::tls::{BOTH, Certificates, TLS12, TLS13, TlsCaller};
use crate::support::upstream::{Gate, Upstream};

fn start(upstream: &Upstream, certificates: &Certificates, driver: &str) -> Node {
    let mut config = config(upstream.address);
    config["server"]["tls"] = certificates.server_tls();
    Node::start(&config.to_string(), driver)
}

/// The next whole answer's body.
fn body(caller: &mut TlsCaller) -> String {
    let head = head(caller);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    caller.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

#[test]
fn requests_behind_each_other_are_answered_in_order() {
    on_both(|driver| {
        let certificates = Certificates::new();
        let upstream = Upstream::start(|line| {
            while let Some(request) = line.receive() {
                line.send(ok(request.body));
            }
        });
        let node = start(&upstream, &certificates, driver);
        let ask = |number: usize| {
            let filling = "y".repeat(number * 3000);
            format!(r#"{{"model":"gpt-4o","number":{number},"x":"{filling}"}}"#)
        };
        let asks: Vec<String> = (0..12).map(ask).collect();
        let bytes = asks.iter().map(|ask| request(CHAT, "", ask.replace("gpt-4o", "openai/gpt-4o")));
        let bytes = bytes.collect::<Vec<_>>().concat();
        for (versions, size) in [(TLS12, 100_000), (TLS13, 100_000), (TLS13, 1500), (TLS12, 17)] {
            let mut caller = TlsCaller::connect(node.address, &certificates, versions);
            for piece in bytes.chunks(size) {
                caller.write_all(piece).unwrap();
            }
            for ask in &asks {
                assert_eq!(&body(&mut caller), ask);
            }
        }
        let mut caller = TlsCaller::connect(node.address, &certificates, BOTH);
        for byte in request(CHAT, "", ASK) {
            caller.write_all(&[byte]).unwrap();
        }
        assert!(body(&mut caller).contains("messages"));
    });
}

/// Answers when it is let to; a stream begins at once.
fn patient(gate: &Gate) -> Upstream {
    let gate = gate.clone();
    Upstream::start(move |line| {
        while let Some(request) = line.receive() {
            if !request.text().contains("\"stream\":true") {
                gate.pass();
                line.send(ok(ANSWER));
                continue;
            }
            line.send(STREAM_HEAD);
            line.send(chunk(event("one")));
            gate.pass();
            line.send(chunk(event("two")));
            line.send(chunk("data: [DONE]\n\n"));
            line.send("0\r\n\r\n");
        }
    })
}

/// How a caller says that nothing more comes from it.
const ENDS: [(bool, bool); 3] = [(true, false), (true, true), (false, true)];

fn end(caller: &mut TlsCaller, (notifies, shuts): (bool, bool)) {
    if notifies {
        caller.close_notify();
    }
    if shuts {
        caller.socket().shutdown(Shutdown::Write).unwrap();
    }
}

#[test]
fn a_caller_that_has_said_all_is_served() {
    on_both(|driver| {
        let certificates = Certificates::new();
        for patience in [Duration::ZERO, Duration::from_millis(700)] {
            let gate = Gate::default();
            let upstream = patient(&gate);
            let node = start(&upstream, &certificates, driver);
            for (number, how) in ENDS.into_iter().enumerate() {
                let mut callers = [ASK, ASK_STREAM].map(|ask| {
                    let mut caller = TlsCaller::connect(node.address, &certificates, TLS13);
                    caller.write_all(&request(CHAT, "", ask)).unwrap();
                    end(&mut caller, how);
                    caller
                });
                upstream.request(number * 2 + 1);
                std::thread::sleep(patience);
                gate.open();
                gate.open();
                for caller in &mut callers {
                    let mut answer = String::new();
                    caller.read_to_string(&mut answer).unwrap_or_else(|error| panic!("{how:?} {error}"));
                    assert!(answer.ends_with(ANSWER) || answer.ends_with("\r\n0\r\n\r\n"), "{answer}");
                }
            }
        }
    });
}

#[test]
fn the_providers_connection_ends_with_the_callers() {
    on_both(|driver| {
        let certificates = Certificates::new();
        let upstream = Upstream::start(|line| {
            if line.receive().is_some_and(|request| request.text().contains("\"stream\":true")) {
                line.send(STREAM_HEAD);
                line.send(chunk(event("one")));
            }
            line.silence();
        });
        let node = start(&upstream, &certificates, driver);
        for (number, (ask, how)) in
            [ASK, ASK_STREAM].into_iter().flat_map(|ask| ENDS.map(|how| (ask, how))).enumerate()
        {
            let mut caller = TlsCaller::connect(node.address, &certificates, TLS12);
            caller.write_all(&request(CHAT, "", ask)).unwrap();
            upstream.request(number);
            end(&mut caller, how);
            let left = Instant::now();
            drop(caller);
            eventually("the provider's connection ends", || (upstream.ended() == number + 1).then_some(()));
            assert!(left.elapsed() < Duration::from_secs(5), "{how:?} {:?}", left.elapsed());
        }
    });
}

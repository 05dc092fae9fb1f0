//! A long body that is sent again: whole, byte for byte, whatever the provider before had taken of it, plain and over TLS, as
//! it stands, with another model, and translated.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::caller::{Caller, chunked, request};
use crate::script::{Act, acting, key_of, nobody, provider, providers};
use crate::setup::{ANSWER, CHAT, ok, on_both};
use crate::support::node::{Node, eventually};
use crate::support::tls::{Certificates, Goodbye, TlsFront};
use crate::support::upstream::{Line, Upstream};

static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(Certificates::new);

/// How an attempt ends before all of the body was taken.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fails {
    /// With a reset inside the body.
    Reset,
    /// With a 503 before the body is whole; the rest is read.
    Early,
    /// Takes nothing of the body and says nothing; the write stays in flight.
    Stalls,
}

const ALL: [Fails; 3] = [Fails::Reset, Fails::Early, Fails::Stalls];

impl Fails {
    fn run(self, line: &mut Line) {
        if !line.receive_head() {
            return;
        }
        match self {
            Self::Reset => {
                // Some of the body has been read with the head, and more is on its way.
                std::thread::sleep(Duration::from_millis(20));
                line.reset();
            }
            Self::Early => {
                line.send("HTTP/1.1 503 No\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}");
                line.silence();
            }
            // Longer than the request may take.
            Self::Stalls => std::thread::sleep(Duration::from_millis(2500)),
        }
    }
}

/// Fails the first connection so, and answers on all others.
fn failing_once(fails: Fails) -> Upstream {
    let connections = AtomicUsize::new(0);
    Upstream::start(move |line| {
        if connections.fetch_add(1, Ordering::SeqCst) == 0 {
            return fails.run(line);
        }
        while line.receive().is_some() {
            line.send(ok(ANSWER));
        }
    })
}

/// Text that repeats nowhere near, `length` bytes of it.
fn text(length: usize) -> String {
    let mut text = String::with_capacity(length + 8);
    let mut number = 0_u32;
    while text.len() < length {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(&format!("{number:08x}"));
    }
    text.truncate(length);
    text
}

fn body(length: usize) -> String {
    let model = r#""model":"openai/gpt-4o""#;
    format!(r#"{{"messages":[{{"role":"user","content":"{}"}}],{model},"user":"u"}}"#, text(length))
}

const MIB: usize = 1024 * 1024;

/// OpenAI at this provider, by one key with one retry, and a second to answer.
fn config(upstream: &Upstream) -> Value {
    let mut config = providers(&[("openai", provider(upstream.address, &["one"], 1))]);
    config["providers"]["openai"]["network_config"]["default_request_timeout_in_seconds"] = json!(2);
    config
}

fn check(node: &Node, upstream: &Upstream, body: &str, what: &str) {
    let answer = Caller::new(node).post(CHAT, body);
    assert_eq!((answer.status, answer.text()), (200, ANSWER), "{what}");
    assert_eq!(answer.value("x-corelane-attempts"), Some("2"), "{what}");
    let received = upstream.last();
    let expected = body.replace("openai/gpt-4o", "gpt-4o");
    assert!(received.text() == expected, "{what}: {} bytes", received.body.len());
    assert_eq!(received.value("content-length"), expected.len().to_string());
}

#[test]
fn the_second_attempt_gets_the_whole_body() {
    on_both(|driver| {
        for fails in ALL {
            // Copied, written at once; copied, in flight; shared, in the sockets' buffers; shared, and more than they hold.
            for length in [10_000, 40_000, MIB, 12 * MIB] {
                let upstream = failing_once(fails);
                let node = Node::start_on(&config(&upstream).to_string(), driver, 1);
                check(&node, &upstream, &body(length), &format!("{fails:?} {length}"));
            }
        }
    });
}

#[test]
fn the_second_attempt_gets_the_whole_body_over_tls() {
    on_both(|driver| {
        for fails in ALL {
            for length in [40_000, MIB] {
                let upstream = failing_once(fails);
                let leaf = CERTIFICATES.server_config(&CERTIFICATES.server);
                let front = TlsFront::before(upstream.address, leaf, Goodbye::Notified);
                let mut config = config(&upstream);
                let network = &mut config["providers"]["openai"]["network_config"];
                network["base_url"] = format!("https://{}", front.address).into();
                network["ca_cert_pem"] = CERTIFICATES.ca.as_str().into();
                let node = Node::start_on(&config.to_string(), driver, 1);
                check(&node, &upstream, &body(length), &format!("{fails:?} {length}"));
            }
        }
    });
}

/// A chunked body is kept likewise, and one that has fallbacks to be cut out, at either end of it.
#[test]
fn what_is_cut_out_is_cut_out_of_each_attempt() {
    on_both(|driver| {
        for length in [10_000, MIB] {
            let whole = body(length);
            let fallbacks = r#""fallbacks":["groq/llama"]"#;
            for ask in [
                whole.replacen('{', &format!("{{{fallbacks},"), 1),
                whole.replace("\"user\":\"u\"", fallbacks),
            ] {
                let (upstream, groq) = (failing_once(Fails::Early), acting([Act::good()]));
                let mut config = config(&upstream);
                config["providers"]["openai"]["network_config"]["max_retries"] = json!(0);
                config["providers"]["groq"] = provider(groq.address, &["two"], 0);
                let node = Node::start_on(&config.to_string(), driver, 1);
                let mut caller = Caller::new(&node);
                caller.send(chunked(CHAT, &ask, 100_000));
                let answer = caller.answer();
                assert_eq!((answer.status, answer.value("x-corelane-provider")), (200, Some("groq")));
                let mut expected: Value = serde_json::from_str(&ask).unwrap();
                expected["model"] = json!("llama");
                expected.as_object_mut().unwrap().remove("fallbacks");
                assert_eq!(serde_json::from_slice::<Value>(&groq.last().body).unwrap(), expected);
            }
        }
    });
}

/// From a long body that the kernel still has to one in the other dialect, and back to one with another key and model.
#[test]
fn each_attempt_is_made_of_the_callers_own_body() {
    on_both(|driver| {
        for length in [10_000, MIB, 12 * MIB] {
            let (stalling, anthropic) = (failing_once(Fails::Stalls), acting([Act::error(529)]));
            let groq = acting([Act::error(429), Act::good()]);
            let mut config = config(&stalling);
            config["providers"]["openai"]["network_config"]["max_retries"] = json!(0);
            config["providers"]["anthropic"] = provider(anthropic.address, &["two"], 1);
            config["providers"]["groq"] = provider(groq.address, &["three", "four"], 0);
            let keys = &mut config["providers"]["groq"]["keys"];
            (keys[0]["aliases"], keys[1]["aliases"]) =
                (json!({ "llama": "of-three" }), json!({ "llama": "of-four" }));
            let node = Node::start_on(&config.to_string(), driver, 1);
            let mut ask: Value = serde_json::from_str(&body(length)).unwrap();
            ask["fallbacks"] = json!(["anthropic/claude-x", "groq/llama"]);
            let answer = Caller::new(&node).post(CHAT, ask.to_string());
            let trail = answer.value("x-corelane-attempt-trail").unwrap_or_default().to_owned();
            assert_eq!((answer.status, answer.text()), (200, ANSWER), "{length}: {trail}");
            let translated = anthropic.requests();
            assert_eq!((translated.len(), &translated[0].body), (2, &translated[1].body));
            let asked: Value = serde_json::from_slice(&translated[0].body).unwrap();
            assert_eq!(asked["messages"][0]["content"][0]["text"], ask["messages"][0]["content"], "{length}");
            ask.as_object_mut().unwrap().remove("fallbacks");
            assert_eq!(groq.requests().len(), 2);
            for request in groq.requests() {
                ask["model"] = format!("of-{}", key_of(&request)).into();
                assert!(serde_json::from_slice::<Value>(&request.body).unwrap() == ask, "{length}");
            }
        }
    });
}

/// Nothing of a body stays behind, whatever became of its attempts.
#[test]
fn what_was_held_is_given_back() {
    on_both(|driver| {
        let (upstream, anthropic) = (failing_once(Fails::Early), nobody());
        let mut config = config(&upstream);
        config["providers"]["anthropic"] = provider(anthropic, &["two"], 0);
        let node = Node::start_on(&config.to_string(), driver, 1);
        let mut ask: Value = serde_json::from_str(&body(2 * MIB)).unwrap();
        ask["fallbacks"] = json!(["openai/gpt-4o"]);
        for model in ["openai/gpt-4o", "anthropic/claude-x"] {
            ask["model"] = json!(model);
            for _ in 0..4 {
                assert_eq!(Caller::new(&node).post(CHAT, ask.to_string()).status, 200);
            }
            // One who leaves in its midst.
            let mut caller = Caller::new(&node);
            caller.send(request(CHAT, "", ask.to_string()));
            caller.reset();
        }
        eventually("the budget is free", || {
            let metrics = Caller::new(&node).get("/metrics");
            let mut held =
                metrics.text().lines().filter(|line| line.starts_with("corelane_body_bytes_held{"));
            let first = held.next().unwrap();
            (first.ends_with(" 0") && held.all(|line| line.ends_with(" 0"))).then_some(())
        });
    });
}

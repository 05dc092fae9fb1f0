//! Places with a provider that limits them (`concurrency_and_buffer_size`): one count for all cores, first come first
//! served, freed by whoever is done, leaves, or has the first event of his stream; what a full queue does; a limit that a
//! reload changes.

use serde_json::{Value, json};

use crate::caller::{Caller, request};
use crate::client_ip::{logged, rows};
use crate::reload::{file, replace, runs, value};
use crate::setup::{
    ANSWER, ASK, ASK_STREAM, CHAT, STREAM_HEAD, chunk, config, event, ok, on_both, streaming,
};
use crate::support::node::{Node, eventually};
use crate::support::upstream::{Gate, Upstream};

/// A config whose OpenAI takes so many at a time.
fn limited(upstream: &Upstream, concurrency: u32, buffer_size: u32) -> Value {
    let mut config = config(upstream.address);
    config["providers"]["openai"]["concurrency_and_buffer_size"] =
        json!({ "concurrency": concurrency, "buffer_size": buffer_size });
    config
}

/// A provider that answers when it is let.
fn gated(gate: &Gate) -> Upstream {
    let gate = gate.clone();
    Upstream::start(move |line| {
        while line.receive().is_some() && gate.pass() {
            line.send(ok(ANSWER));
        }
    })
}

/// Waits until so many have a place with OpenAI, and so many wait for one. Callers' connections are on both cores, in turn.
fn stand(node: &Node, taken: u64, waiting: u64) {
    eventually(&format!("{taken} are served and {waiting} wait"), || {
        let counts = (value(node, "corelane_queue_places_taken"), value(node, "corelane_queue_waiting"));
        (counts == (taken, waiting)).then_some(())
    });
}

/// A caller who asks and has not read yet; `word` tells his request from others.
fn asks(node: &Node, word: &str) -> Caller {
    let mut caller = Caller::new(node);
    caller.send(request(CHAT, "", ASK.replace("hi", word)));
    caller
}

fn words(upstream: &Upstream) -> Vec<String> {
    let word =
        |text: &str| text.split("\"content\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    upstream.requests().iter().map(|request| word(request.text())).collect()
}

#[test]
fn cores_share_a_limit_and_whoever_came_first_is_first() {
    on_both(|driver| {
        let gate = Gate::default();
        let upstream = gated(&gate);
        let node = Node::start(&limited(&upstream, 1, 100).to_string(), driver);
        let names: Vec<String> = (0..8).map(|number| format!("number-{number}")).collect();
        let mut callers: Vec<Caller> = Vec::new();
        for (number, name) in (0..).zip(&names) {
            callers.push(asks(&node, name));
            stand(&node, 1, number);
        }
        for (number, caller) in callers.iter_mut().enumerate() {
            upstream.request(number);
            stand(&node, 1, 7 - number as u64);
            assert_eq!(words(&upstream), names[..=number], "one at a time, in order");
            gate.open();
            assert_eq!(caller.answer().status, 200);
        }
        // A place that came back is free for anybody.
        gate.open();
        assert_eq!(callers[0].post(CHAT, ASK).status, 200);
    });
}

#[test]
fn a_row_tells_how_long_its_request_stood_in_line() {
    on_both(|driver| {
        let gate = Gate::default();
        let upstream = gated(&gate);
        let config = logged(limited(&upstream, 1, 100));
        let mut node = Node::start(&config.to_string(), driver);
        let mut first = asks(&node, "first");
        stand(&node, 1, 0);
        let mut second = asks(&node, "second");
        stand(&node, 1, 1);
        for caller in [&mut first, &mut second] {
            gate.open();
            assert_eq!(caller.answer().status, 200);
        }
        let trails: Vec<Value> = rows(&mut node, "SELECT attempt_trail FROM logs")
            .iter()
            .map(|text| serde_json::from_str(text).unwrap())
            .collect();
        assert_eq!(trails[0][0]["queued_ms"], Value::Null, "{trails:?}");
        let (queued, took) = (trails[1][0]["queued_ms"].as_f64(), trails[1][0]["took_ms"].as_f64());
        assert!(queued > Some(0.0) && queued <= took, "{trails:?}");
    });
}

#[test]
fn a_full_queue_drops_at_once_and_says_when_to_come_back() {
    on_both(|driver| {
        let gate = Gate::default();
        let upstream = gated(&gate);
        let mut config = limited(&upstream, 1, 2);
        config["client"]["drop_excess_requests"] = true.into();
        let node = Node::start(&config.to_string(), driver);
        let mut served = Vec::new();
        for (number, word) in (0..).zip(["served", "first", "second"]) {
            served.push(asks(&node, word));
            stand(&node, 1, number);
        }
        for _ in 0..4 {
            let dropped = Caller::new(&node).post(CHAT, ASK);
            assert_eq!((dropped.status, &*dropped.code()), (503, "request_dropped"));
            assert_eq!(dropped.value("retry-after"), Some("1"));
            assert!(dropped.text().contains("concurrency_and_buffer_size"), "{}", dropped.text());
        }
        for caller in &mut served {
            gate.open();
            assert_eq!(caller.answer().status, 200);
        }
        assert_eq!(words(&upstream), ["served", "first", "second"]);
    });
}

#[test]
fn without_dropping_a_request_waits_beyond_the_queue_and_no_longer_than_its_deadline() {
    on_both(|driver| {
        let gate = Gate::default();
        let upstream = gated(&gate);
        let mut config = limited(&upstream, 1, 1);
        let node = Node::start(&config.to_string(), driver);
        let mut held = asks(&node, "held");
        stand(&node, 1, 0);
        // The one that has the place keeps the time that it began with.
        config["server"]["request_total_timeout_seconds"] = 1.into();
        replace(&file(&node), &config.to_string());
        node.signal("HUP");
        runs(&node, 2);
        let mut waiting: Vec<Caller> = (0..3).map(|_| asks(&node, "waits")).collect();
        for caller in &mut waiting {
            let late = caller.answer();
            assert_eq!((late.status, &*late.code()), (503, "queue_timeout"));
        }
        assert_eq!(words(&upstream), ["held"]);
        gate.open();
        assert_eq!(held.answer().status, 200);
        gate.open();
        assert_eq!(held.post(CHAT, ASK).status, 200);
    });
}

#[test]
fn whoever_leaves_frees_his_place_in_the_queue_and_at_the_provider() {
    on_both(|driver| {
        let gate = Gate::default();
        let upstream = gated(&gate);
        let mut config = limited(&upstream, 1, 1);
        config["client"]["drop_excess_requests"] = true.into();
        let node = Node::start(&config.to_string(), driver);
        let held = asks(&node, "held");
        stand(&node, 1, 0);
        for round in 0..5 {
            let gone = asks(&node, "gone");
            stand(&node, 1, 1);
            assert_eq!(Caller::new(&node).post(CHAT, ASK).code(), "request_dropped");
            match round % 2 {
                0 => drop(gone),
                _ => gone.reset(),
            }
            stand(&node, 1, 0);
        }
        let mut waits = asks(&node, "waits");
        stand(&node, 1, 1);
        // He whom the provider serves leaves: his place is the next one's.
        drop(held);
        upstream.request(1);
        gate.open();
        gate.open();
        assert_eq!(waits.answer().status, 200);
        assert_eq!(words(&upstream), ["held", "waits"]);
    });
}

#[test]
fn a_stream_frees_its_place_at_its_first_event() {
    on_both(|driver| {
        let gate = Gate::default();
        let upstream = streaming(&gate);
        let node = Node::start(&limited(&upstream, 1, 9).to_string(), driver);
        let mut streams: Vec<Caller> = (0..4)
            .map(|_| {
                let mut caller = Caller::new(&node);
                caller.send(request(CHAT, "", ASK_STREAM));
                caller.until("one");
                caller
            })
            .collect();
        assert_eq!(Caller::new(&node).post(CHAT, ASK).status, 200);
        streams.iter().for_each(|_| gate.open());
        for caller in &mut streams {
            assert!(caller.answer().text().contains("[DONE]"));
        }
    });
}

#[test]
fn a_stream_without_an_event_keeps_its_place() {
    on_both(|driver| {
        let gate = Gate::default();
        let passing = gate.clone();
        let upstream = Upstream::start(move |line| {
            while line.receive().is_some() {
                line.send(STREAM_HEAD);
                if !passing.pass() {
                    return;
                }
                line.send(chunk(event("one")));
                line.send(chunk("data: [DONE]\n\n"));
                line.send("0\r\n\r\n");
            }
        });
        let node = Node::start(&limited(&upstream, 1, 9).to_string(), driver);
        let mut callers: Vec<Caller> = Vec::new();
        for number in 0..2 {
            let mut caller = Caller::new(&node);
            caller.send(request(CHAT, "", ASK_STREAM));
            callers.push(caller);
            stand(&node, 1, number);
        }
        upstream.request(0);
        assert!(callers[1].is_silent());
        assert_eq!(upstream.requests().len(), 1);
        for caller in &mut callers {
            gate.open();
            assert!(caller.answer().text().contains("[DONE]"));
        }
    });
}

#[test]
fn what_fails_frees_its_place_and_others_have_no_limit() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while let Some(request) = line.receive() {
                match request.text() {
                    text if text.contains("break") => return,
                    text if text.contains("error") => {
                        line.send("HTTP/1.1 500 x\r\ncontent-length: 2\r\n\r\n{}");
                    }
                    text if text.contains("cut") => {
                        line.send(
                            "HTTP/1.1 200 x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{",
                        );
                        return;
                    }
                    _ => line.send(ok(ANSWER)),
                }
            }
        });
        let mut config = limited(&upstream, 1, 1);
        config["client"]["drop_excess_requests"] = true.into();
        let node = Node::start(&config.to_string(), driver);
        let mut caller = Caller::new(&node);
        for _ in 0..3 {
            for (word, status) in [("break", 502), ("error", 500), ("cut", 502), ("well", 200)] {
                assert_eq!(caller.post(CHAT, ASK.replace("hi", word)).status, status, "{word}");
            }
        }
    });
}

#[test]
fn a_reload_changes_the_limit_for_those_who_wait() {
    const WORDS: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
    on_both(|driver| {
        let gates: [Gate; 5] = Default::default();
        let passing = gates.clone();
        let upstream = Upstream::start(move |line| {
            while let Some(request) = line.receive() {
                let number = WORDS.iter().position(|word| request.text().contains(word)).unwrap();
                if !passing[number].pass() {
                    return;
                }
                line.send(ok(ANSWER));
            }
        });
        let node = Node::start(&limited(&upstream, 1, 10).to_string(), driver);
        let mut callers = Vec::new();
        for (number, word) in (0..).zip(WORDS) {
            callers.push(asks(&node, word));
            stand(&node, 1, number);
        }
        assert_eq!(words(&upstream), ["first"]);
        let reload = |config: Value, generation| {
            replace(&file(&node), &config.to_string());
            node.signal("HUP");
            runs(&node, generation);
        };
        reload(limited(&upstream, 3, 10), 2);
        upstream.request(2);
        let mut sent = words(&upstream);
        sent.sort_by_key(|word| WORDS.iter().position(|known| known == word));
        assert_eq!(sent, ["first", "second", "third"]);
        // Lowered beneath what is under way: it drains.
        reload(limited(&upstream, 1, 10), 3);
        for number in 0..2 {
            gates[number].open();
            assert_eq!(callers[number].answer().status, 200);
            stand(&node, 2 - number as u64, 2);
            assert_eq!(upstream.requests().len(), 3);
        }
        gates[2].open();
        assert_eq!(upstream.request(3).text(), ASK.replace("hi", "fourth").replace("openai/", ""));
        assert!(callers[4].is_silent());
        // No limit any more: who waits goes on.
        reload(config(upstream.address), 4);
        upstream.request(4);
        for number in 2..5 {
            gates[number].open();
            assert_eq!(callers[number].answer().status, 200);
        }
    });
}

/// Many callers on both cores, two places: all are served, also when others leave at whatever point.
#[test]
fn a_crowd_is_served_by_few_places() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = Node::start(&limited(&upstream, 2, 1000).to_string(), driver);
        let threads: Vec<_> = (0..16)
            .map(|number| {
                let mut caller = Caller::new(&node);
                std::thread::spawn(move || {
                    for round in 0..40 {
                        if number % 2 == 0 && round == number {
                            return caller.send(request(CHAT, "", ASK));
                        }
                        assert_eq!(caller.post(CHAT, ASK).status, 200);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        // Had one who left kept a place, or two, these would wait for ever.
        for _ in 0..4 {
            assert_eq!(Caller::new(&node).post(CHAT, ASK).status, 200);
        }
        stand(&node, 0, 0);
    });
}

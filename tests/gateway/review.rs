//! Faults that a review found, each kept from coming back.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::caller::{Caller, request};
use crate::setup::{
    ANSWER, ASK, ASK_STREAM, CHAT, MESSAGES, OPENAI_CHAT, STREAM_HEAD, answer, chunk, config, event, node,
    ok, on_both, with_network,
};
use crate::support::node::{Node, pause};
use crate::support::upstream::Upstream;

/// Sends an answer whose head and body come in two segments, as those of a far provider do.
fn in_two(answer: Vec<u8>) -> Upstream {
    Upstream::start(move |line| {
        while line.receive().is_some() {
            let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
            line.send(&answer[..end]);
            wait(Duration::from_millis(50));
            line.send(&answer[end..]);
        }
    })
}

/// Lets time pass on a provider's side.
fn wait(duration: Duration) {
    let (_sender, receiver) = mpsc::channel::<()>();
    let _ = receiver.recv_timeout(duration);
}

#[test]
fn an_errors_head_is_its_own_when_the_body_comes_later() {
    on_both(|driver| {
        let body = r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"},"own":1}"#;
        let fields = "content-type: application/json\r\nretry-after: 7\r\nrequest-id: r1\r\n";
        let upstream = in_two(answer(429, fields, body));
        let node = node(&upstream, driver);
        let native =
            Caller::new(&node).post(MESSAGES, r#"{"model":"claude-x","max_tokens":1,"messages":[]}"#);
        assert_eq!((native.status, native.text()), (429, body));
        assert_eq!((native.value("retry-after"), native.value("request-id")), (Some("7"), Some("r1")));
        let ours = Caller::new(&node).post(CHAT, ASK);
        assert_eq!((ours.status, ours.value("retry-after")), (429, Some("7")));
    });
}

#[test]
fn a_translated_answers_head_is_its_own_when_the_body_comes_later() {
    on_both(|driver| {
        let body = r#"{"id":"m","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"ho"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2}}"#;
        let upstream = in_two(answer(200, "content-type: application/json\r\nrequest-id: r1\r\n", body));
        let ask = r#"{"model":"anthropic/claude-x","messages":[{"role":"user","content":"hi"}]}"#;
        let answer = Caller::new(&node(&upstream, driver)).post(CHAT, ask);
        assert_eq!(answer.json()["choices"][0]["message"]["content"], "ho");
        assert_eq!(answer.value("content-type"), Some("application/json"));
        assert_eq!(answer.value("request-id"), Some("r1"));
    });
}

/// One core, one provider that always has more, one caller that always takes it: others are served all the same.
#[test]
fn an_endless_stream_does_not_keep_a_core_to_itself() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            line.receive();
            line.send(STREAM_HEAD);
            let burst = chunk(event("flood")).repeat(1000);
            for _ in 0..200_000 {
                line.send(&burst);
            }
        });
        let node = Node::start_on(&config(upstream.address).to_string(), driver, 1);
        let mut flood = Caller::new(&node);
        flood.send(request(CHAT, "", ASK_STREAM));
        flood.until("flood");
        let mut sink: TcpStream = flood.sender();
        let taker = std::thread::spawn(move || {
            let mut bytes = vec![0; 1 << 20];
            while sink.read(&mut bytes).is_ok_and(|count| count > 0) {}
        });
        for _ in 0..5 {
            assert_eq!(Caller::new(&node).get("/health").status, 200);
        }
        drop(node);
        taker.join().unwrap();
    });
}

#[test]
fn a_caller_that_was_connected_when_the_drain_began_is_answered() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        let mut early: Vec<Caller> = (0..8).map(|_| Caller::new(&node)).collect();
        node.signal("TERM");
        let mut said = Vec::new();
        while !said.iter().any(|line: &String| line.contains("draining")) {
            said.extend(node.said());
            pause();
        }
        // It is said before each core has read it; a caller that has not asked yet has a second to.
        wait(Duration::from_millis(200));
        for caller in &mut early {
            let answer = caller.post(CHAT, ASK);
            assert_eq!((answer.status, answer.value("connection")), (200, Some("close")));
        }
    });
}

#[test]
fn a_kept_connection_that_dies_at_work_is_not_asked_again() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            line.receive();
            line.send(ok(ANSWER));
            line.receive();
            wait(Duration::from_millis(300));
        });
        let node = Node::start_on(&config(upstream.address).to_string(), driver, 1);
        let mut caller = Caller::new(&node);
        assert_eq!(caller.post(CHAT, ASK).status, 200);
        let answer = caller.post(CHAT, ASK);
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"));
        assert!(answer.text().contains("closed the connection without an answer"), "{}", answer.text());
        assert_eq!(upstream.requests().len(), 2);
    });
}

#[test]
fn a_stream_whose_last_word_has_come_is_whole_whatever_becomes_of_its_connection() {
    let stream = [event("one"), "data: [DONE]\n\n".to_owned()].concat();
    on_both(|driver| {
        for then in ["closes", "resets", "stalls", "says no chunk"] {
            let text = stream.clone();
            let upstream = Upstream::start(move |line| {
                if line.receive().is_some() {
                    line.send([STREAM_HEAD.as_bytes(), &chunk(event("one"))].concat());
                    wait(Duration::from_millis(30));
                    line.send(chunk("data: [DONE]\n\n"));
                    match then {
                        "stalls" => drop(line.silence()),
                        "says no chunk" => line.send("zz\r\n"),
                        _ => wait(Duration::from_millis(30)),
                    }
                    if then == "resets" {
                        line.reset();
                    }
                }
            });
            let config = with_network(config(upstream.address), "stream_idle_timeout_in_seconds", 1);
            let node = Node::start(&config.to_string(), driver);
            let answer = Caller::new(&node).post(CHAT, ASK_STREAM);
            assert_eq!((answer.is_whole, answer.text()), (true, text.as_str()), "{then}");
        }
    });
}

#[test]
fn the_events_before_a_streams_broken_framing_are_passed_on() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            if line.receive().is_some() {
                line.send([STREAM_HEAD.as_bytes(), &chunk(event("one"))].concat());
                wait(Duration::from_millis(30));
                line.send([&chunk(event("two"))[..], b"zz\r\n"].concat());
                line.silence();
            }
        });
        let node = node(&upstream, driver);
        let answer = Caller::new(&node).post(CHAT, ASK_STREAM);
        let begin = [event("one"), event("two")].concat();
        let rest = answer.text().strip_prefix(begin.as_str());
        assert!(rest.is_some_and(|rest| rest.contains("upstream_invalid_response")), "{}", answer.text());
    });
}

/// Sends a whole answer without an end, 64 KiB every 2 ms, to one request; says when its peer took no more.
fn pouring() -> (std::net::SocketAddr, mpsc::Receiver<Instant>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, (sender, receiver)) = (listener.local_addr().unwrap(), mpsc::channel());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
            let _ = stream.write_all(&[head.as_bytes(), &chunk("{\"x\":\"")].concat());
            let piece = chunk("y".repeat(64 * 1024));
            while stream.write_all(&piece).is_ok() {
                wait(Duration::from_millis(2));
            }
            if sender.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    (address, receiver)
}

#[test]
fn a_caller_is_missed_while_a_long_answer_comes_in_fast() {
    on_both(|driver| {
        let (address, ended) = pouring();
        let node = Node::start(&config(address).to_string(), driver);
        let mut times = (0..4).map(|_| {
            let mut caller = Caller::new(&node);
            caller.send(request(CHAT, "", ASK));
            wait(Duration::from_millis(200));
            let left = Instant::now();
            drop(caller);
            ended.recv_timeout(Duration::from_secs(60)).unwrap() - left
        });
        // What is promised is 100 ms; all of what may be held takes seconds.
        let time = times.find(|time| *time < Duration::from_millis(500));
        assert!(time.is_some(), "{driver}: it is read on");
    });
}

#[test]
fn a_compressed_error_keeps_its_status() {
    on_both(|driver| {
        let fields = "content-type: application/json\r\ncontent-encoding: gzip\r\nretry-after: 7\r\n";
        let upstream = Upstream::answering(answer(429, fields, "\u{1f}{"));
        let config = with_network(config(upstream.address), "max_retries", 0);
        let node = Node::start(&config.to_string(), driver);
        for path in [CHAT, OPENAI_CHAT] {
            let answer = Caller::new(&node).post(path, ASK);
            assert_eq!((answer.status, answer.value("retry-after")), (429, Some("7")), "{}", answer.text());
            assert_eq!(answer.value("content-encoding"), None);
            assert!(answer.json()["error"]["message"].is_string(), "{}", answer.text());
        }
    });
}

#[test]
fn a_key_that_a_provider_quotes_in_jsons_own_spelling_reaches_nobody() {
    const KEY: &str = "sk-ant/secret/key";
    on_both(|driver| {
        let body = r#"{"type":"error","error":{"type":"authentication_error","message":"bad key sk-ant\/secret\u002fkey"}}"#;
        let refused = answer(400, "content-type: application/json\r\n", body);
        let failing = "event: error\ndata: ".to_owned() + body + "\n\n";
        let started = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"claude-x\",\"usage\":{\"input_tokens\":1}}}\n\n\
            event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n";
        let stream = [STREAM_HEAD.as_bytes(), &chunk(started), &chunk(failing), b"0\r\n\r\n"].concat();
        let upstream = Upstream::start(move |line| {
            while let Some(request) = line.receive() {
                line.send(if request.text().contains("\"stream\":true") { &stream } else { &refused });
            }
        });
        let mut config = config(upstream.address);
        config["providers"]["anthropic"]["keys"][0]["value"] = KEY.into();
        let node = Node::start(&config.to_string(), driver);
        let ask = |model: &str, stream: bool| {
            format!(
                r#"{{"model":"{model}","max_tokens":1,"stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#
            )
        };
        for (path, model) in
            [(CHAT, "anthropic/claude-x"), (OPENAI_CHAT, "anthropic/claude-x"), (MESSAGES, "claude-x")]
        {
            for stream in [false, true] {
                let answer = Caller::new(&node).post(path, ask(model, stream));
                let text = answer.text();
                assert_eq!(answer.status, if stream { 200 } else { 400 }, "{text}");
                assert!(text.contains("bad key ****") && !text.contains("secret"), "{path} {stream}: {text}");
            }
        }
    });
}

#[test]
fn a_models_name_has_a_length() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| while line.receive().is_some() {});
        let node = node(&upstream, driver);
        let ask = |model: &str, rest: &str| format!(r#"{{"model":"openai/{model}"{rest},"messages":[]}}"#);
        let long = "m".repeat(2_000);
        let answer = Caller::new(&node).post(CHAT, ask(&long, ""));
        assert_eq!((answer.status, answer.json()["error"]["param"].as_str()), (400, Some("model")));
        assert!(answer.text().len() < 1_000, "{}", answer.text());
        let answer = Caller::new(&node).post(CHAT, ask("m", &format!(r#","fallbacks":["openai/{long}"]"#)));
        assert_eq!((answer.status, answer.json()["error"]["param"].as_str()), (400, Some("fallbacks")));
    });
}

//! The same again after a while: which failures are retried, how often, with what wait, and what the caller gets when none
//! of it helps. Whole and streamed, both vendors' callers.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::caller::{Answer, Caller, request};
use crate::script::{Act, CLAUDE, JSON, acting, judging, nobody, provider, providers};
use crate::setup::{ANSWER, ASK, ASK_STREAM, CHAT, MESSAGES, MESSAGES_STREAM, OPENAI_CHAT, answer, on_both};
use crate::support::node::{Node, eventually};
use crate::support::upstream::Upstream;

/// OpenAI with one key, and Anthropic with another, both at this provider.
fn node(upstream: &Upstream, retries: u32, driver: &str) -> Node {
    let openai = provider(upstream.address, &["one"], retries);
    let anthropic = provider(upstream.address, &["two"], retries);
    Node::start(&providers(&[("openai", openai), ("anthropic", anthropic)]).to_string(), driver)
}

fn attempts(answer: &Answer) -> &str {
    answer.value("x-corelane-attempts").unwrap()
}

/// Each closes its connection: on a kept one that is reset, a request goes out again without being another attempt.
const CLOSES: &str = "connection: close\r\n";

/// Failures that are retried, and what the caller is told of the last of them.
fn broken() -> Vec<(&'static str, Act, u16, &'static str)> {
    let page = answer(502, &format!("content-type: text/html\r\n{CLOSES}"), "<title>Bad Gateway</title>");
    let half = b"HTTP/1.1 200 OK\r\ncontent-".to_vec();
    let (unreachable, invalid) = ("upstream_unreachable", "upstream_invalid_response");
    let mut broken = vec![
        ("reset before the head", Act::Reset(vec![]), 502, unreachable),
        ("closed before the head", Act::Close(vec![]), 502, unreachable),
        ("reset inside the head", Act::Reset(half.clone()), 502, invalid),
        ("closed inside the head", Act::Close(half), 502, invalid),
        ("no HTTP", Act::Close(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec()), 502, invalid),
        ("a web page", Act::Answer(page), 502, "upstream_status"),
    ];
    for status in [500, 502, 503, 504, 529] {
        broken.push(("a status", Act::error_with(status, CLOSES), status, "c"));
    }
    broken
}

/// Fails the request whose text is `case N` in the way of that number, and serves it when it comes again, if it `serves`.
fn breaking(serves: bool) -> Upstream {
    let seen = Mutex::new(HashSet::new());
    judging(move |request| {
        let ask: Value = serde_json::from_slice(&request.body).unwrap();
        let case = ask["messages"][0]["content"].as_str().unwrap().to_owned();
        let number: usize = case.strip_prefix("case ").unwrap().parse().unwrap();
        let is_first = seen.lock().unwrap().insert((case, ask["stream"].as_bool()));
        match (serves && !is_first, ask["stream"] == true) {
            (false, _) => broken().swap_remove(number).1,
            (true, false) => Act::Answer(answer(200, &format!("{JSON}{CLOSES}"), ANSWER)),
            (true, true) => Act::stream().last(),
        }
    })
}

fn case(ask: &str, number: usize) -> String {
    ask.replace("hi", &format!("case {number}"))
}

#[test]
fn a_broken_answer_is_followed_by_another_attempt() {
    on_both(|driver| {
        for (ask, is_stream) in [(ASK, false), (ASK_STREAM, true)] {
            let upstream = breaking(true);
            let node = node(&upstream, 1, driver);
            for (number, (what, ..)) in broken().into_iter().enumerate() {
                let path = if number % 2 == 0 { CHAT } else { OPENAI_CHAT };
                let answer = Caller::new(&node).post(path, case(ask, number));
                assert_eq!((answer.status, attempts(&answer), answer.is_whole), (200, "2", true), "{what}");
                match is_stream {
                    true => assert!(answer.text().contains("two") && answer.text().ends_with("[DONE]\n\n")),
                    false => assert_eq!(answer.text(), ANSWER, "{what}"),
                }
                let asked = upstream.requests().split_off(2 * number);
                assert_eq!(asked.len(), 2, "{what}");
                assert_eq!((&asked[0].head, &asked[0].body), (&asked[1].head, &asked[1].body), "{what}");
            }
        }
    });
}

#[test]
fn retries_are_as_many_as_the_config_allows() {
    on_both(|driver| {
        for retries in [0, 1, 2] {
            let upstream = breaking(false);
            let node = node(&upstream, retries, driver);
            let mut caller = Caller::new(&node);
            for (number, (what, _, status, code)) in broken().into_iter().enumerate() {
                let (before, asked) = (Instant::now(), upstream.requests().len());
                let answer = caller.post(CHAT, case(ASK, number));
                // 100 ms and 200 ms, each less a fifth.
                let least = [0, 80, 240][retries as usize];
                assert!(before.elapsed() >= Duration::from_millis(least), "{what}: {:?}", before.elapsed());
                assert_eq!((answer.status, &*answer.code()), (status, code), "{what}: {}", answer.text());
                assert_eq!(attempts(&answer), (retries + 1).to_string(), "{what}");
                assert_eq!(upstream.requests().len() - asked, retries as usize + 1, "{what}");
            }
            assert_eq!(caller.get("/health").status, 200, "the connection serves on");
        }
    });
}

#[test]
fn a_failure_is_told_in_the_callers_own_dialect() {
    on_both(|driver| {
        let page = answer(503, "content-type: text/html\r\n", "<html><title>No</title></html>");
        let upstream = acting([Act::Answer(page)]);
        let node = node(&upstream, 1, driver);
        for (path, body) in [
            (CHAT, ASK.to_owned()),
            (CHAT, ASK_STREAM.to_owned()),
            (CHAT, ASK.replace("openai/gpt-4o", "anthropic/claude-x")),
            (OPENAI_CHAT, ASK.replace("openai/", "")),
            (MESSAGES, MESSAGES_STREAM.replace("true", "false")),
            (MESSAGES, MESSAGES_STREAM.to_owned()),
        ] {
            let answer = Caller::new(&node).post(path, &body);
            assert_eq!((answer.status, attempts(&answer)), (503, "2"), "{path} {body}");
            assert_eq!(answer.value("content-type"), Some("application/json"), "{path} {body}");
            let error = &answer.json()["error"];
            let message = error["message"].as_str().unwrap();
            assert!(message.contains("503 with a web page titled \"No\""), "{path} {message}");
            assert_eq!(answer.json()["type"] == json!("error"), path == MESSAGES, "{}", answer.text());
        }
    });
}

#[test]
fn a_provider_that_cannot_be_reached_is_tried_again() {
    on_both(|driver| {
        let address = nobody();
        let config = providers(&[("openai", provider(address, &["one"], 2))]);
        let node = Node::start(&config.to_string(), driver);
        let answer = Caller::new(&node).post(CHAT, ASK);
        assert_eq!((answer.status, &*answer.code(), attempts(&answer)), (502, "upstream_unreachable", "3"));
        assert!(answer.text().contains(&address.to_string()), "{}", answer.text());
        let trail = answer.value("x-corelane-attempt-trail").unwrap();
        assert_eq!(trail, ["openai/one upstream_unreachable"; 3].join(", "));
    });
}

#[test]
fn silence_is_a_failure_when_its_time_is_over() {
    on_both(|driver| {
        let slow_head = Act::Silence(b"HTTP/1.1 200 OK\r\ncontent-type: appl".to_vec());
        let slow_body = Act::Silence(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{".to_vec(),
        );
        let whole = [Act::Silence(vec![]), slow_head.clone(), slow_body];
        let stream = [Act::Silence(vec![]), slow_head];
        let asks = whole.map(|act| (act, Act::good(), ASK)).into_iter();
        for (act, good, ask) in asks.chain(stream.map(|act| (act, Act::stream(), ASK_STREAM))) {
            let upstream = acting([act.clone(), good, act.clone()]);
            let mut config = providers(&[("openai", provider(upstream.address, &["one"], 1))]);
            config["providers"]["openai"]["network_config"]["default_request_timeout_in_seconds"] = json!(1);
            let node = Node::start(&config.to_string(), driver);
            let mut callers = [Caller::new(&node), Caller::new(&node)];
            let answer = callers[0].post(CHAT, ask);
            assert_eq!((answer.status, attempts(&answer)), (200, "2"), "{}", answer.text());
            if !matches!(&act, Act::Silence(bytes) if bytes.is_empty()) {
                continue;
            }
            // The time counts anew for each attempt.
            callers.iter_mut().for_each(|caller| caller.send(request(CHAT, "", ask)));
            for caller in &mut callers {
                let answer = caller.answer();
                let expected = (504, "request_timed_out".to_owned(), "2");
                assert_eq!((answer.status, answer.code(), attempts(&answer)), expected);
                assert!(answer.text().contains("provider openai"), "{}", answer.text());
            }
            eventually("all connections end", || (upstream.ended() >= 4).then_some(()));
        }
    });
}

#[test]
fn all_attempts_together_have_their_time() {
    on_both(|driver| {
        let upstream = acting([Act::error(503), Act::Silence(vec![])]);
        let mut config = providers(&[("openai", provider(upstream.address, &["one"], 5))]);
        config["server"] = json!({ "request_total_timeout_seconds": 1 });
        let node = Node::start(&config.to_string(), driver);
        for ask in [ASK, ASK_STREAM] {
            let answer = Caller::new(&node).post(CHAT, ask);
            assert_eq!((answer.status, &*answer.code()), (504, "request_timed_out"), "{}", answer.text());
            assert!(answer.text().contains("server.request_total_timeout_seconds"), "{}", answer.text());
        }
        assert_eq!(upstream.requests().len(), 3);
    });
}

#[test]
fn no_wait_is_begun_that_the_request_would_not_outlive() {
    on_both(|driver| {
        let upstream = acting([Act::error_with(503, "retry-after: 30\r\n")]);
        let mut config = providers(&[("openai", provider(upstream.address, &["one"], 5))]);
        config["providers"]["openai"]["network_config"]["retry_backoff_max"] = json!(20_000);
        config["server"] = json!({ "request_total_timeout_seconds": 10 });
        let node = Node::start(&config.to_string(), driver);
        let before = Instant::now();
        let answer = Caller::new(&node).post(CHAT, ASK);
        assert_eq!((answer.status, answer.value("retry-after"), attempts(&answer)), (503, Some("30"), "1"));
        assert!(before.elapsed() < Duration::from_secs(9), "{:?}", before.elapsed());
    });
}

#[test]
fn a_provider_is_left_alone_for_as_long_as_it_asks() {
    on_both(|driver| {
        for (fields, retry_after) in [
            ("retry-after: 1\r\n", Some("1")),
            ("retry-after-ms: 700\r\n", None),
            ("Retry-After: 30\r\n", Some("30")),
        ] {
            for status in [429, 503] {
                let upstream =
                    acting([Act::error_with(status, fields), Act::good(), Act::error_with(status, fields)]);
                let mut config = providers(&[("openai", provider(upstream.address, &["one"], 1))]);
                config["providers"]["openai"]["network_config"]["retry_backoff_max"] = json!(700);
                let node = Node::start(&config.to_string(), driver);
                let before = Instant::now();
                let answer = Caller::new(&node).post(CHAT, ASK);
                assert_eq!((answer.status, attempts(&answer)), (200, "2"), "{fields}{}", answer.text());
                assert!(before.elapsed() >= Duration::from_millis(690), "{fields}: {:?}", before.elapsed());
                assert!(before.elapsed() < Duration::from_secs(20), "{fields}: {:?}", before.elapsed());
                let answer = Caller::new(&node).post(CHAT, ASK);
                assert_eq!((answer.status, answer.value("retry-after")), (status, retry_after), "{fields}");
            }
        }
    });
}

#[test]
fn what_the_caller_did_wrong_is_passed_on_once() {
    on_both(|driver| {
        for status in [400, 413, 415, 422, 404, 409, 410] {
            let upstream = acting([Act::error(status)]);
            let node = node(&upstream, 3, driver);
            for (number, ask) in [ASK, ASK_STREAM].iter().enumerate() {
                let answer = Caller::new(&node).post(CHAT, ask);
                assert_eq!((answer.status, &*answer.code(), attempts(&answer)), (status, "c", "1"));
                assert_eq!(upstream.requests().len(), number + 1);
            }
        }
    });
}

#[test]
fn a_caller_of_anthropics_is_served_by_the_second_attempt() {
    on_both(|driver| {
        for act in [Act::error(529), Act::Reset(vec![])] {
            let upstream = acting([act, Act::claude()]);
            let ask = r#"{"model":"claude-x","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}"#;
            let answer = Caller::new(&node(&upstream, 1, driver)).post(MESSAGES, ask);
            assert_eq!((answer.status, answer.text(), attempts(&answer)), (200, CLAUDE, "2"));
            assert_eq!(upstream.requests().len(), 2);
        }
    });
}

#[test]
fn a_caller_that_leaves_during_a_wait_ends_it() {
    on_both(|driver| {
        let upstream = acting([Act::error_with(503, "retry-after: 2\r\n"), Act::good()]);
        let mut config = providers(&[("openai", provider(upstream.address, &["one"], 3))]);
        config["providers"]["openai"]["network_config"]["retry_backoff_max"] = json!(2000);
        let mut node = Node::start(&crate::client_ip::logged(config).to_string(), driver);
        let before = Instant::now();
        let mut caller = Caller::new(&node);
        caller.send(request(CHAT, "", ASK));
        upstream.request(0);
        std::thread::sleep(Duration::from_millis(50));
        caller.reset();
        let gone = || {
            Caller::new(&node)
                .get("/metrics")
                .text()
                .lines()
                .any(|line| line.contains("status=\"499\""))
                .then_some(())
        };
        eventually("its request ends", gone);
        assert!(before.elapsed() < Duration::from_millis(1500), "{:?}", before.elapsed());
        std::thread::sleep(Duration::from_millis(2200).saturating_sub(before.elapsed()));
        assert_eq!(upstream.requests().len(), 1);
        let row = crate::client_ip::rows(
            &mut node,
            "SELECT status_code || ' ' || error_kind || ' ' || attempts FROM logs",
        );
        assert_eq!(row, ["499 client_gone 1"]);
    });
}

/// An error that does not end is one when its status is there: what follows it begins before the request's own time is over.
#[test]
fn an_error_whose_body_does_not_come_holds_up_nothing() {
    on_both(|driver| {
        let head =
            format!("HTTP/1.1 503 Service Unavailable\r\n{JSON}content-length: 99\r\n\r\n{{\"error\":");
        let (stalls, serves) = (acting([Act::Silence(head.into_bytes())]), acting([Act::claude()]));
        let mut openai = provider(stalls.address, &["one"], 0);
        openai["network_config"]["default_request_timeout_in_seconds"] = json!(600);
        let anthropic = provider(serves.address, &["two"], 0);
        let config = providers(&[("openai", openai), ("anthropic", anthropic)]);
        let node = Node::start(&config.to_string(), driver);
        let ask = ASK.replace("\"messages\"", "\"fallbacks\":[\"anthropic/claude-x\"],\"messages\"");
        let answer = Caller::new(&node).post(CHAT, ask);
        assert_eq!((answer.status, attempts(&answer)), (200, "2"), "{}", answer.text());
    });
}

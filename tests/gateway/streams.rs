//! Streams: events go on as they come, however they are cut; a stream that breaks is never given a false end.

use std::time::Duration;

use crate::caller::{Answer, Caller, request};
use crate::setup::{
    ASK_CLAUDE_STREAM, ASK_STREAM, CHAT, MESSAGES, MESSAGES_STREAM, OPENAI_CHAT, STREAM_HEAD, chunk, config,
    event, node, on_both, with_network,
};
use crate::support::node::Node;
use crate::support::upstream::{Gate, Upstream};

const CLAUDE: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m1\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"claude-x\",\"stop_reason\":null,\"usage\":{\"input_tokens\":2,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"ho\"}}\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":3}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// A whole stream of OpenAI's.
fn openai() -> String {
    [event("one"), ": a comment\n\n".into(), event("two"), "data: [DONE]\n\n".into()].concat()
}

#[test]
fn an_event_is_with_the_caller_before_the_next_is_written() {
    on_both(|driver| {
        let gate = Gate::default();
        let next = gate.clone();
        let upstream = Upstream::start(move |line| {
            while line.receive().is_some() {
                line.send(STREAM_HEAD);
                for number in 0..20 {
                    line.send(chunk(event(&format!("<{number}>"))));
                    if !next.pass() {
                        return;
                    }
                }
                line.send(chunk("data: [DONE]\n\n"));
                line.send("0\r\n\r\n");
            }
        });
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        for _ in 0..2 {
            caller.send(request(CHAT, "", ASK_STREAM));
            for number in 0..20 {
                caller.until(format!("<{number}>"));
                gate.open();
            }
            let answer = caller.answer();
            assert_eq!((answer.status, answer.is_whole), (200, true));
            assert_eq!(answer.value("content-type"), Some("text/event-stream"));
            assert_eq!(answer.value("x-accel-buffering"), Some("no"));
            assert_eq!(answer.value("cache-control"), Some("no-cache"));
            assert!(answer.text().ends_with("data: [DONE]\n\n"));
        }
        assert_eq!(upstream.connections(), 1);
    });
}

#[test]
fn a_translated_stream_goes_on_event_by_event() {
    on_both(|driver| {
        let gate = Gate::default();
        let next = gate.clone();
        let upstream = Upstream::start(move |line| {
            while line.receive().is_some() {
                line.send(STREAM_HEAD.replace("\r\n\r\n", "\r\ncache-control: LEAK\r\n\r\n"));
                for event in CLAUDE.split_inclusive("\n\n") {
                    line.send(chunk(event));
                    if event.contains("text_delta") && !next.pass() {
                        return;
                    }
                }
                line.send("0\r\n\r\n");
            }
        });
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        caller.send(request(CHAT, "", ASK_CLAUDE_STREAM));
        caller.until("\"content\":\"ho\"");
        gate.open();
        let answer = caller.answer();
        assert!(answer.is_whole && answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
        assert_eq!(answer.value("content-type"), Some("text/event-stream"));
        assert_eq!(
            (answer.value("x-accel-buffering"), answer.value("cache-control")),
            (Some("no"), Some("no-cache"))
        );
        let sent: serde_json::Value = serde_json::from_str(upstream.last().text()).unwrap();
        assert_eq!((&sent["model"], &sent["stream"]), (&"claude-x".into(), &true.into()));
    });
}

#[test]
fn bytes_pass_whatever_the_line_ends_and_the_cuts() {
    let crlf = openai().replace('\n', "\r\n");
    let cr = openai().replace('\n', "\r");
    let bare = "data:{\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\ndata:[DONE]\n\n".to_owned();
    let streams = [openai(), crlf, cr, format!("\u{feff}{}", openai()), bare];
    on_both(|driver| {
        for stream in &streams {
            for piece in [1, 3, 1000] {
                let (text, bytes) = (stream.clone(), stream.clone());
                let upstream = Upstream::start(move |line| {
                    while line.receive().is_some() {
                        line.send(STREAM_HEAD);
                        bytes.as_bytes().chunks(piece).for_each(|piece| line.send(chunk(piece)));
                        line.send("0\r\n\r\n");
                    }
                });
                let node = node(&upstream, driver);
                let answer = Caller::new(&node).post(CHAT, ASK_STREAM);
                assert_eq!((answer.is_whole, answer.text()), (true, text.as_str()), "by {piece}");
            }
        }
    });
}

/// What a stream that was cut looks like to the caller: either no stream at all, or one whose last event is an error,
/// or one whose framing does not end; never the dialect's own end.
fn check_cut(answer: &Answer, is_anthropic: bool, end: &str, what: &str) {
    if answer.status != 200 {
        assert_eq!((answer.status, answer.is_whole), (502, true), "{what}: {}", answer.text());
        return;
    }
    assert!(!answer.text().contains(end), "{what}: a false end in {}", answer.text());
    let last = answer.text().trim_end().rsplit("\n\n").next().unwrap();
    let data =
        if is_anthropic { last.strip_prefix("event: error\ndata: ") } else { last.strip_prefix("data: ") };
    let data = data.unwrap_or_else(|| panic!("{what}: no error event in {}", answer.text()));
    let error: serde_json::Value =
        serde_json::from_str(data).unwrap_or_else(|error| panic!("{what}: {error} in {data}"));
    assert!(error["error"]["message"].is_string(), "{what}: {data}");
    assert!(answer.text().ends_with("\n\n") && answer.is_whole, "{what}");
}

/// Cuts the stream at every byte, once for each request of one connection.
fn cut_everywhere(
    driver: &str,
    path: &str,
    ask: &str,
    stream: &str,
    end: &'static str,
    framing: &'static str,
) {
    let whole = stream.to_owned();
    let upstream = Upstream::start(move |line| {
        let Some(request) = line.receive() else { return };
        let cut: usize =
            request.head.split("cut: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
        match framing {
            "chunked" => {
                let mut bytes = STREAM_HEAD.as_bytes().to_vec();
                whole.split_inclusive("\n\n").for_each(|event| bytes.extend(chunk(event)));
                bytes.extend(b"0\r\n\r\n");
                line.send(&bytes[..STREAM_HEAD.len() + cut]);
                if request.head.contains("resets: ") {
                    line.reset();
                }
            }
            _ => {
                let length = if framing == "length" {
                    format!("content-length: {}\r\n", whole.len())
                } else {
                    String::new()
                };
                line.send(format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{length}\r\n"));
                line.send(&whole.as_bytes()[..cut]);
            }
        }
    });
    let node = node(&upstream, driver);
    let mut caller = Caller::new(&node);
    let framed_bytes = match framing {
        "chunked" => stream.split_inclusive("\n\n").map(|event| chunk(event).len()).sum::<usize>() + 5,
        _ => stream.len(),
    };
    // Where the last event is complete, nothing of the answer is missing to a reader of events.
    let end_at = framed_bytes - if framing == "chunked" { 7 } else { 1 };
    for cut in 0..end_at {
        // Every third chunked one ends by a reset; the others are closed in order.
        let resets = if cut % 3 == 0 { "x-bf-eh-resets: 1\r\n" } else { "" };
        caller.send(request(path, &format!("x-bf-eh-cut: {cut}\r\n{resets}"), ask));
        let answer = caller.answer();
        check_cut(&answer, path == MESSAGES, end, &format!("{driver} {path} {framing} cut at {cut}"));
    }
    caller.send(request(path, &format!("x-bf-eh-cut: {framed_bytes}\r\n"), ask));
    let answer = caller.answer();
    assert!(answer.is_whole && answer.text().contains(end), "{}", answer.text());
}

/// Short, so that every byte can be tried.
const SHORT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n";
const SHORT_CLAUDE: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"c\",\"usage\":{\"input_tokens\":2}}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

#[test]
fn a_cut_stream_has_no_false_end() {
    on_both(|driver| {
        for framing in ["chunked", "length", "close"] {
            cut_everywhere(driver, CHAT, ASK_STREAM, SHORT, "[DONE]", framing);
            cut_everywhere(driver, OPENAI_CHAT, ASK_STREAM, SHORT, "[DONE]", framing);
        }
    });
}

#[test]
fn a_cut_anthropic_stream_has_no_false_end() {
    on_both(|driver| {
        for framing in ["chunked", "length", "close"] {
            cut_everywhere(driver, MESSAGES, MESSAGES_STREAM, SHORT_CLAUDE, "message_stop", framing);
        }
    });
}

#[test]
fn a_cut_translated_stream_has_no_false_end() {
    on_both(|driver| {
        for framing in ["chunked", "length", "close"] {
            cut_everywhere(driver, CHAT, ASK_CLAUDE_STREAM, SHORT_CLAUDE, "[DONE]", framing);
        }
    });
}

#[test]
fn a_silent_stream_ends_with_an_error() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            let Some(request) = line.receive() else { return };
            line.send(STREAM_HEAD);
            if !request.text().contains("mute") {
                let is_claude = request.text().contains("claude");
                let begin = CLAUDE.split_inclusive("\n\n").take(4).collect();
                line.send(chunk(if is_claude { begin } else { event("one") }));
            }
            assert!(line.silence() < Duration::from_secs(5));
        });
        let config = with_network(config(upstream.address), "stream_idle_timeout_in_seconds", 1);
        let node = Node::start(&config.to_string(), driver);
        let mut callers: Vec<_> = [
            (CHAT, ASK_STREAM),
            (OPENAI_CHAT, ASK_STREAM),
            (MESSAGES, MESSAGES_STREAM),
            (CHAT, ASK_CLAUDE_STREAM),
        ]
        .into_iter()
        .map(|(path, ask)| {
            let mut caller = Caller::new(&node);
            caller.send(request(path, "", ask));
            (path, caller)
        })
        .collect();
        let mut mute = Caller::new(&node);
        mute.send(request(CHAT, "", ASK_STREAM.replace("hi", "mute")));
        for (path, caller) in &mut callers {
            let answer = caller.answer();
            assert_eq!((answer.status, answer.is_whole), (200, true));
            check_cut(&answer, *path == MESSAGES, "[DONE]", path);
            assert!(answer.text().contains("silent for 1 s"), "{}", answer.text());
        }
        let answer = mute.answer();
        assert_eq!((answer.status, &*answer.code()), (504, "request_timed_out"));
    });
}

#[test]
fn a_whole_answer_to_a_stream_request_passes() {
    on_both(|driver| {
        let upstream = Upstream::answering(crate::setup::ok(crate::setup::ANSWER));
        let node = node(&upstream, driver);
        let answer = Caller::new(&node).post(CHAT, ASK_STREAM);
        assert_eq!((answer.status, answer.text()), (200, crate::setup::ANSWER));
    });
}

#[test]
fn an_error_event_of_the_provider_passes_and_the_stream_goes_on() {
    let stream =
        [event("one"), "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n".into()].concat();
    on_both(|driver| {
        let text = stream.clone();
        let upstream = Upstream::answering([STREAM_HEAD.as_bytes(), &chunk(&text), b"0\r\n\r\n"].concat());
        let node = node(&upstream, driver);
        let answer = Caller::new(&node).post(CHAT, ASK_STREAM);
        assert_eq!((answer.is_whole, answer.text()), (true, stream.as_str()));
    });
}

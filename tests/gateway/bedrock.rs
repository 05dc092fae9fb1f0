//! Frames through the gateway, against a scripted provider: what passes to the byte, what a broken or cut stream ends with,
//! exceptions before and after the first content, and InvokeModel's wrap of Anthropic's bodies.

use corelane::dialect::event_stream::{self, frames};
use serde_json::{Value, json};

use crate::caller::{Answer, Caller};
use crate::setup::{ANSWER, CHAT, MESSAGES, answer, chunk, ok, on_both};
use crate::support::node::Node;
use crate::support::upstream::Upstream;

const MODEL: &str = "anthropic.claude-x-v1:0";
const HI: &str = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;
const KEY: &str = "a-key-of-bedrocks";

fn node(upstream: &Upstream, driver: &str) -> Node {
    let provider = |key: &str| {
        json!({
            "keys": [{ "name": key, "value": key, "models": ["*"] }],
            "network_config": { "base_url": format!("http://{}", upstream.address), "max_retries": 0 }
        })
    };
    let providers =
        json!({ "bedrock": provider(KEY), "anthropic": provider("sk-ant"), "openai": provider("sk-openai") });
    Node::start(&json!({ "providers": providers }).to_string(), driver)
}

fn frame(kind: &str, name: &str, payload: &str) -> Vec<u8> {
    let name_header = if kind == "event" { ":event-type" } else { ":exception-type" };
    let headers = [(name_header, name), (":content-type", "application/json"), (":message-type", kind)];
    let mut out = Vec::new();
    event_stream::write(&mut out, &headers, |out| out.extend_from_slice(payload.as_bytes()));
    out
}

fn event(name: &str, payload: &str) -> Vec<u8> {
    frame("event", name, payload)
}

fn delta(text: &str) -> Vec<u8> {
    event("contentBlockDelta", &format!(r#"{{"contentBlockIndex":0,"delta":{{"text":"{text}"}},"p":"abc"}}"#))
}

fn start() -> Vec<u8> {
    event("messageStart", r#"{"role":"assistant"}"#)
}

fn end() -> Vec<u8> {
    let metadata =
        r#"{"usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7},"metrics":{"latencyMs":1}}"#;
    [event("messageStop", r#"{"stopReason":"end_turn"}"#), event("metadata", metadata)].concat()
}

/// A chunked stream of frames, in pieces of seven bytes, that ends by its last chunk or by closing.
fn streamed(bytes: &[u8]) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\nx-amzn-requestid: r\r\n\
        transfer-encoding: chunked\r\n\r\n";
    let chunks = bytes.chunks(7).flat_map(chunk);
    [head.as_bytes().to_vec(), chunks.collect(), b"0\r\n\r\n".to_vec()].concat()
}

fn converse(caller: &mut Caller, operation: &str, body: &str) -> Answer {
    caller.post(&format!("/bedrock/model/anthropic.claude-x-v1%3A0/{operation}"), body)
}

/// Types and payloads of a stream's frames, every one whole.
fn read(answer: &Answer) -> Vec<(String, String)> {
    let all = frames(&answer.body).map(|frame| frame.expect("a whole frame"));
    let said = all.map(|frame| {
        let name = frame.text(":event-type").or_else(|| frame.text(":exception-type"));
        (name.unwrap().to_owned(), String::from_utf8(frame.payload.to_vec()).unwrap())
    });
    said.collect()
}

fn names(answer: &Answer) -> Vec<String> {
    read(answer).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_stream_of_frames_passes_to_the_byte() {
    on_both(|driver| {
        let sent = [start(), delta("He"), delta("y"), event("somethingNew", "{}"), end()].concat();
        let upstream = Upstream::answering(streamed(&sent));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        let body =
            HI.replace('}', " }").replace(r#"{"messages""#, r#"{"fallbacks":[],"x" : 1.50,"messages""#);
        let answer = converse(&mut caller, "converse-stream", &body);
        assert_eq!((answer.status, answer.is_whole), (200, true), "{}", answer.head);
        assert!(answer.body == sent, "not the bytes that came");
        assert_eq!(answer.value("content-type"), Some("application/vnd.amazon.eventstream"));
        let seen = upstream.last();
        assert!(
            seen.head.starts_with("POST /model/anthropic.claude-x-v1%3A0/converse-stream HTTP/1.1"),
            "{}",
            seen.head
        );
        assert_eq!(seen.value("authorization"), format!("Bearer {KEY}"));
        assert_eq!(seen.text(), body.replace(r#""fallbacks":[],"#, ""));
    });
}

#[test]
fn a_broken_stream_ends_with_an_exception_and_a_cut_one_likewise() {
    on_both(|driver| {
        let good = [start(), delta("Hey")].concat();
        let mut flipped = [good.clone(), delta("lost"), end()].concat();
        flipped[good.len() + 70] ^= 4;
        let mut lying = [good.clone(), end()].concat();
        lying[good.len() + 2] ^= 4;
        let cut = [good.clone(), delta("lost").split_at(30).0.to_vec()].concat();
        for bytes in [flipped, lying, cut, good.clone()] {
            let upstream = Upstream::answering(streamed(&bytes));
            let node = node(&upstream, driver);
            let mut caller = Caller::new(&node);
            let answer = converse(&mut caller, "converse-stream", HI);
            // One that gave no reason to stop, but ended its body, is the caller's own reader's to judge.
            if bytes != good {
                let expected = ["messageStart", "contentBlockDelta", "internalServerException"];
                assert_eq!(names(&answer), expected, "{driver}");
            }
            let ask = format!(
                r#"{{"model":"bedrock/{MODEL}","messages":[{{"role":"user","content":"hi"}}],"stream":true}}"#
            );
            let answer = caller.post(CHAT, ask);
            assert!(answer.text().contains(r#""content":"Hey""#), "{}", answer.text());
            assert!(
                answer.text().contains("error") && !answer.text().contains("[DONE]"),
                "{}",
                answer.text()
            );
        }
    });
}

#[test]
fn an_exception_is_a_status_where_nothing_was_said_and_a_frame_behind() {
    on_both(|driver| {
        let said = format!(r#"{{"message":"slow down, {KEY}"}}"#);
        let exception = frame("exception", "throttlingException", &said);
        let first = Upstream::answering(streamed(&[start(), exception.clone()].concat()));
        let before = node(&first, driver);
        let answer = converse(&mut Caller::new(&before), "converse-stream", HI);
        assert_eq!((answer.status, answer.value("x-amzn-errortype")), (429, Some("ThrottlingException")));
        assert!(answer.text().contains("slow down, *****"), "{}", answer.text());
        let later = Upstream::answering(streamed(&[start(), delta("Hey"), exception].concat()));
        let behind = node(&later, driver);
        let mut caller = Caller::new(&behind);
        let answer = converse(&mut caller, "converse-stream", HI);
        let last = read(&answer).pop().unwrap();
        let masked = "*".repeat(KEY.len());
        assert_eq!(
            last,
            ("throttlingException".to_owned(), format!(r#"{{"message":"slow down, {masked}"}}"#))
        );
        let refused = caller.post("/bedrock/model/m/converse", "{");
        assert_eq!((refused.status, refused.value("x-amzn-errortype")), (400, Some("ValidationException")));
    });
}

#[test]
fn errors_keep_their_types() {
    on_both(|driver| {
        let fields =
            "content-type: application/json\r\nx-amzn-errortype: ExpiredTokenException:http://x/\r\n";
        let upstream = Upstream::answering(answer(400, fields, r#"{"message":"expired"}"#));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        let native = converse(&mut caller, "converse", HI);
        assert_eq!((native.status, native.text()), (400, r#"{"message":"expired"}"#));
        assert_eq!(native.value("x-amzn-errortype"), Some("ExpiredTokenException:http://x/"));
        let ask = format!(r#"{{"model":"bedrock/{MODEL}","messages":[{{"role":"user","content":"hi"}}]}}"#);
        let across = caller.post(CHAT, ask).json();
        assert_eq!(across["error"]["type"], "ExpiredTokenException", "{across}");
    });
}

#[test]
fn a_stream_of_events_from_bedrock_is_none_and_frames_from_openai_neither() {
    on_both(|driver| {
        let events = answer(200, "content-type: text/event-stream\r\n", "data: {}\n\n");
        let upstream = Upstream::answering(events);
        let bedrock = node(&upstream, driver);
        assert_eq!(converse(&mut Caller::new(&bedrock), "converse-stream", HI).status, 502);
        let upstream = Upstream::answering(streamed(&[start(), end()].concat()));
        let openai = node(&upstream, driver);
        let ask = r#"{"model":"openai/gpt-4o","messages":[{"role":"user","content":"hi"}],"stream":true}"#;
        assert_eq!(Caller::new(&openai).post(CHAT, ask).status, 502);
    });
}

#[test]
fn an_invoked_body_is_anthropics_to_the_byte() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        let ask = r#" {"anthropic_version":"bedrock-2023-05-31", "max_tokens": 9,"anthropic_beta":["a-1","b-2"],"x":1.50,"messages":[ ]}"#;
        for (operation, stream) in [("invoke", ""), ("invoke-with-response-stream", r#","stream":true"#)] {
            caller.post(&format!("/bedrock/model/anthropic%2Fclaude-x/{operation}"), ask);
            let seen = upstream.last();
            assert_eq!(
                seen.text(),
                format!(r#" {{"model":"claude-x"{stream}, "max_tokens": 9,"x":1.50,"messages":[ ]}}"#)
            );
            assert_eq!(seen.value("anthropic-beta"), "a-1,b-2");
            assert_eq!(seen.value("anthropic-version"), "2023-06-01");
        }
        let count = upstream.requests().len();
        for body in [r#"{"model":"claude-y"}"#, r#"{"stream":true}"#, r#"{"anthropic_beta":"a"}"#] {
            let refused = caller.post("/bedrock/model/anthropic%2Fclaude-x/invoke", body);
            assert_eq!(refused.value("x-amzn-errortype"), Some("ValidationException"), "{body}");
        }
        assert_eq!(upstream.requests().len(), count);
    });
}

/// A provider of Anthropic's models may send its events inside chunks, as Bedrock does.
#[test]
fn chunks_of_a_provider_are_events_for_a_caller_of_anthropics() {
    on_both(|driver| {
        let data = [
            r#"{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"c","content":[],"usage":{"input_tokens":3,"output_tokens":1}}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hey"}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":4}}"#,
            r#"{"type":"message_stop"}"#,
        ];
        let mut sent = Vec::new();
        for data in data {
            let kind: Value = serde_json::from_str(data).unwrap();
            let name = kind["type"].as_str().unwrap().as_bytes();
            corelane::dialect::invoke::wrap_event(Some(name), data.as_bytes(), &mut sent);
        }
        let upstream = Upstream::answering(streamed(&sent));
        let node = node(&upstream, driver);
        let mut caller = Caller::new(&node);
        let ask = r#"{"model":"claude-x","max_tokens":5,"messages":[{"role":"user","content":"hi"}],"stream":true}"#;
        let answer = caller.post(MESSAGES, ask);
        let events = data.map(|data| {
            let kind: Value = serde_json::from_str(data).unwrap();
            format!("event: {}\ndata: {data}\n\n", kind["type"].as_str().unwrap())
        });
        assert_eq!(answer.text(), events.concat());
        assert_eq!(answer.value("content-type"), Some("text/event-stream"));
        let invoked = r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":5,"messages":[]}"#;
        let answer = caller.post("/bedrock/model/anthropic%2Fclaude-x/invoke-with-response-stream", invoked);
        assert!(answer.body == sent, "the same frames again");
        assert_eq!(answer.value("x-amzn-bedrock-content-type"), Some("application/json"));
    });
}

//! Tokens of OpenAI's streams: where rows are written the provider is asked for them, and the caller who did not ask gets the
//! bytes that it would have got; where none is written nothing is touched.

use serde_json::{Value, json};

use crate::caller::{Answer, Caller};
use crate::client_ip::{logged, rows};
use crate::script::{Act, acting, provider, providers};
use crate::setup::{ASK, CHAT, OPENAI_CHAT, STREAM_HEAD, answer, chunk, config, on_both};
use crate::support::node::Node;
use crate::support::upstream::Upstream;

const MEMBERS: &str =
    r#""id":"c1","object":"chat.completion.chunk","model":"gpt-4o","system_fingerprint":null"#;
const USAGE: &str = r#"{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":0}}"#;

/// A stream as OpenAI sends it, with its usage or without.
fn stream(asks: bool) -> String {
    let null = if asks { r#","usage":null"# } else { "" };
    let event =
        |choice: &str, rest: &str| format!("data: {{{MEMBERS},\"choices\":[{choice}]{null}{rest}}}\n\n");
    let texts = [r#"one, \"usage\":null}"#, "two"].map(|text| {
        let choice = format!(r#"{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}"#);
        event(&choice, r#","obfuscation":"x7""#)
    });
    let end = event(r#"{"index":0,"delta":{},"finish_reason":"stop"}"#, "");
    let usage = format!("data: {{{MEMBERS},\"choices\":[],\"usage\":{USAGE}}}\n\n");
    let usage = if asks { usage } else { String::new() };
    format!(": waiting\n\n{}{end}: still\n\n{usage}data: [DONE]\n\n", texts.concat())
}

fn framed(stream: &str, piece: usize) -> Vec<u8> {
    let pieces = stream.as_bytes().chunks(piece).flat_map(chunk);
    [STREAM_HEAD.as_bytes(), &pieces.collect::<Vec<_>>(), b"0\r\n\r\n"].concat()
}

/// Sends usage to who asks for it, a stream in pieces of these lengths.
fn openai(pieces: &'static [usize]) -> Upstream {
    Upstream::start(move |line| {
        for piece in pieces.iter().cycle() {
            let Some(request) = line.receive() else { return };
            line.send(framed(&stream(asks(&request.body)), *piece));
        }
    })
}

fn asks(body: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap();
    body["stream_options"]["include_usage"] == true
}

/// A body of about so many bytes with `stream` and these members, in this order around the messages.
fn body(bytes: usize, before: &str, behind: &str) -> String {
    let text = "x".repeat(bytes);
    format!(
        r#"{{{before}"model":"openai/gpt-4o","messages":[{{"role":"user","content":"{text}"}}]{behind}}}"#
    )
}

#[track_caller]
fn check(answer: &Answer, asks: bool, what: &str) {
    assert_eq!((answer.status, answer.is_whole), (200, true), "{what}");
    assert_eq!(answer.text(), stream(asks), "{what}");
}

/// Members before the messages and behind them, and the options that the provider is to get.
fn cases() -> Vec<(&'static str, &'static str, Value)> {
    let asking = json!({ "include_usage": true });
    vec![
        (r#""stream":true,"#, "", asking.clone()),
        ("", r#","stream" : true"#, asking.clone()),
        (r#""stream":true,"fallbacks":["openai/gpt-4o-mini"],"#, "", asking.clone()),
        (r#""fallbacks":[],"stream":true ,"#, "", asking.clone()),
        (r#""stream_options":null,"#, r#","stream":true"#, asking.clone()),
        (r#""stream":true,"#, r#","stream_options":{}"#, asking.clone()),
        (r#""stream_options":{"include_usage":false},"stream":true,"#, "", asking.clone()),
        ("", r#","stream":true,"stream_options": {"include_usage" : null},"fallbacks":[]"#, asking),
        (
            r#""stream":true,"stream_options":{"include_obfuscation":true,"x":[{}]},"#,
            "",
            json!({ "include_usage": true, "include_obfuscation": true, "x": [{}] }),
        ),
    ]
}

#[test]
fn a_row_has_tokens_that_the_caller_did_not_ask_for_and_does_not_see() {
    on_both(|driver| {
        let upstream = openai(&[1000, 7, 1]);
        let mut node = Node::start(&logged(config(upstream.address)).to_string(), driver);
        let mut caller = Caller::new(&node);
        let mut count = 0;
        for (before, behind, options) in cases() {
            for (bytes, path) in [(9, CHAT), (200_000, OPENAI_CHAT)] {
                let body = body(bytes, before, behind);
                check(&caller.post(path, &body), false, &format!("{before} {behind} {bytes}"));
                let mut expected: Value = serde_json::from_str(&body).unwrap();
                expected["model"] = json!("gpt-4o");
                expected["stream_options"] = options.clone();
                expected.as_object_mut().unwrap().remove("fallbacks");
                let sent: Value = serde_json::from_str(upstream.last().text()).unwrap();
                assert!(sent == expected, "{before} {behind} {bytes}");
                count += 1;
            }
        }
        let query = "SELECT status || total_tokens || output_message FROM logs";
        let row = r#"success7{"role":"assistant","content":"one, \"usage\":null}two"}"#;
        assert_eq!(rows(&mut node, query), vec![row; count]);
    });
}

#[test]
fn who_asks_gets_the_usage_and_what_is_not_understood_passes() {
    on_both(|driver| {
        let upstream = openai(&[1000]);
        let mut node = Node::start(&logged(config(upstream.address)).to_string(), driver);
        let mut caller = Caller::new(&node);
        for (options, asks) in [
            (r#"{"include_usage":true}"#, true),
            (r#"{"x":1, "include_usage" : true}"#, true),
            ("7", false),
            ("[]", false),
            (r#"{"include_usage":0}"#, false),
            (r#"{"include_usage":false,"include_usage":false}"#, false),
        ] {
            let body = body(9, "", &format!(r#","stream":true,"stream_options":{options}"#));
            check(&caller.post(CHAT, &body), asks, options);
            assert_eq!(upstream.last().text(), body.replace("openai/gpt-4o", "gpt-4o"));
        }
        let tokens = rows(&mut node, "SELECT coalesce(total_tokens, 'none') || '' FROM logs");
        assert_eq!(tokens, ["7", "7", "none", "none", "none", "none"]);
    });
}

#[test]
fn without_rows_and_without_a_stream_nothing_is_touched() {
    on_both(|driver| {
        let upstream = openai(&[1000]);
        let silent = config(upstream.address);
        let mut off = logged(config(upstream.address));
        off["client"] = json!({ "enable_logging": false });
        for config in [silent, off] {
            let node = Node::start(&config.to_string(), driver);
            let mut caller = Caller::new(&node);
            for (before, behind, _) in cases() {
                let body = body(9, before, behind);
                check(&caller.post(CHAT, &body), false, &body);
                let sent = upstream.last();
                assert!(!asks(&sent.body), "{body}");
                if !body.contains("fallbacks") {
                    assert_eq!(sent.text(), body.replace("openai/gpt-4o", "gpt-4o"));
                }
            }
        }
        let node = Node::start(&logged(config(upstream.address)).to_string(), driver);
        Caller::new(&node).post(CHAT, ASK);
        assert_eq!(upstream.last().text(), ASK.replace("openai/gpt-4o", "gpt-4o"));
    });
}

#[test]
fn each_attempt_asks_where_its_provider_wants_to_be_asked() {
    let told = format!(
        "data: {{{MEMBERS},\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"ho\"}}}}],\"usage\":{USAGE}}}\n\ndata: [DONE]\n\n"
    );
    on_both(|driver| {
        let openai = acting([Act::error(500), Act::error(500), Act::error(404), Act::error(404)]);
        let mistral = acting([Act::Answer(framed(&told, 1000))]);
        let config = providers(&[
            ("openai", provider(openai.address, &["one"], 2)),
            ("mistral", provider(mistral.address, &["two"], 0)),
        ]);
        let mut node = Node::start(&logged(config).to_string(), driver);
        for bytes in [9, 200_000] {
            let body = body(bytes, r#""stream":true,"fallbacks":["mistral/m"],"#, "");
            let answer = Caller::new(&node).post(CHAT, &body);
            assert_eq!((answer.status, answer.text()), (200, told.as_str()));
            assert!(!mistral.last().text().contains("stream_options"));
        }
        let sent = openai.requests();
        assert!(sent.len() == 4 && sent.iter().all(|request| asks(&request.body)), "{}", sent.len());
        assert_eq!(rows(&mut node, "SELECT provider || total_tokens FROM logs"), ["mistral7", "mistral7"]);
    });
}

/// As some that speak OpenAI's API: what they do not know, they refuse.
#[test]
fn a_provider_that_refuses_the_option_is_asked_without() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while let Some(request) = line.receive() {
                let words =
                    r#"{"message":"Extra inputs are not permitted: body.stream_options.include_usage"}"#;
                let refusal =
                    answer(422, "content-type: application/json\r\n", format!("{{\"error\":{words}}}"));
                let refuses = request.text().contains("stream_options");
                line.send(if refuses { refusal } else { framed(&stream(false), 1000) });
            }
        });
        let mut node = Node::start(&logged(config(upstream.address)).to_string(), driver);
        let mut caller = Caller::new(&node);
        for (bytes, path) in [(9, CHAT), (200_000, OPENAI_CHAT)] {
            check(&caller.post(path, body(bytes, r#""stream":true,"#, "")), false, path);
        }
        assert_eq!(upstream.requests().len(), 4);
        // What the caller itself says is the caller's fault.
        for options in [r#"{"include_usage":true}"#, "7"] {
            let body = body(9, "", &format!(r#","stream":true,"stream_options":{options}"#));
            assert_eq!(caller.post(CHAT, &body).status, 422);
        }
        assert_eq!(upstream.requests().len(), 6);
        let found = rows(&mut node, "SELECT status_code || ' ' || attempts FROM logs");
        assert_eq!(found, ["200 2", "200 2", "422 1", "422 1"]);
    });
}

//! Requests by AWS's access keys, against the mock provider, which judges each signature by AWS's own signer; and what is
//! said of one that is refused.

use serde_json::{Value, json};

use crate::caller::{Caller, request};
use crate::setup::{CHAT, MESSAGES, answer, ok, on_both};
use crate::support::node::{Mock, Node};
use crate::support::upstream::Upstream;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const HELLO: &str = "Hello from the mock provider.";
const MODELS: [&str; 3] = [
    "anthropic.claude-x-v1%3A0",
    "arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Feu.anthropic.claude-x-v1%3A0",
    "amazon.nova-lite-v1:0",
];

fn key(name: &str, secret: &str, more: &Value) -> Value {
    let mut section = json!({ "region": "eu-west-1", "access_key": "AKIDEXAMPLE", "secret_key": secret });
    section.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "name": name, "models": ["*"], "bedrock_key_config": section })
}

fn node(keys: &Value, address: std::net::SocketAddr, driver: &str) -> Node {
    let network = json!({ "base_url": format!("http://{address}"), "max_retries": 0 });
    let config = json!({ "providers": { "bedrock": { "keys": keys, "network_config": network } } });
    Node::start(&config.to_string(), driver)
}

fn converse(text: &str) -> String {
    json!({ "messages": [{ "role": "user", "content": [{ "text": text }] }] }).to_string()
}

#[test]
fn what_is_signed_is_taken_whole_streamed_short_and_long() {
    on_both(|driver| {
        let mock = Mock::start(&[]);
        for more in [json!({}), json!({ "session_token": "of/a+role==" })] {
            let node = node(&json!([key("signed", SECRET, &more)]), mock.address, driver);
            let mut caller = Caller::new(&node);
            for model in MODELS {
                for length in [2, 100_000, 700_000] {
                    let body = converse(&"a ".repeat(length / 2));
                    let whole = caller.post(&format!("/bedrock/model/{model}/converse"), &body);
                    assert_eq!((whole.status, whole.is_whole), (200, true), "{model}: {}", whole.text());
                    let said = whole.json()["output"]["message"]["content"][0]["text"].clone();
                    assert_eq!(said, HELLO, "{model}");
                }
                let path = format!("/bedrock/model/{model}/converse-stream");
                let fields =
                    "x-bf-eh-x-amz-date: 20150830T123600Z\r\nx-bf-eh-X-Amzn-Bedrock-Trace: ENABLED\r\n";
                caller.send(request(&path, fields, converse("hi")));
                let streamed = caller.answer();
                assert_eq!((streamed.status, streamed.is_whole), (200, true), "{model}");
            }
            // Translated, and with the model's bytes exchanged.
            let ask = r#"{"model":"bedrock/anthropic.claude-x-v1:0","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
            for path in [CHAT, MESSAGES] {
                let across = caller.post(path, ask);
                assert_eq!(across.status, 200, "{path}: {}", across.text());
            }
        }
    });
}

#[test]
fn another_secret_is_refused_and_not_told() {
    on_both(|driver| {
        let mock = Mock::start(&[]);
        let other = "another/secret+of40characters0000000000";
        let node = node(&json!([key("wrong", other, &json!({}))]), mock.address, driver);
        let answer = Caller::new(&node).post(CHAT, chat());
        assert_eq!((answer.status, answer.code()), (502, "provider_credentials_exhausted".to_owned()));
        assert!(answer.text().contains("does not match the signature you provided"), "{}", answer.text());
        assert!(!answer.text().contains(other), "{}", answer.text());
    });
}

fn chat() -> &'static str {
    r#"{"model":"bedrock/amazon.nova-lite-v1:0","messages":[{"role":"user","content":"hi"}]}"#
}

#[test]
fn a_clock_that_is_wrong_is_told_as_such_and_no_key_is_blamed() {
    on_both(|driver| {
        let said = "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z (20260101T001500Z - 5 min.)";
        let fields = "content-type: application/json\r\nx-amzn-errortype: InvalidSignatureException\r\n";
        let upstream = Upstream::answering(answer(403, fields, json!({ "message": said }).to_string()));
        let node = node(&json!([key("signed", SECRET, &json!({}))]), upstream.address, driver);
        let mut caller = Caller::new(&node);
        for number in 1..=3 {
            let answer = caller.post(CHAT, chat());
            assert_eq!((answer.status, answer.code()), (502, "clock_skew".to_owned()), "{}", answer.text());
            let text = answer.text();
            assert!(
                text.contains("this node's clock must be wrong") && text.contains("20260101T000000Z"),
                "{text}"
            );
            assert!(text.contains("key signed") && text.contains("NTP"), "{text}");
            // It is asked again: its keys are none the worse.
            assert_eq!(upstream.requests().len(), number);
        }
    });
}

#[test]
fn a_value_wins_and_an_answer_that_quotes_the_secret_is_masked() {
    on_both(|driver| {
        let echoed = json!({ "message": format!("you said {SECRET} and of/a+role==") }).to_string();
        let upstream = Upstream::answering(answer(400, "content-type: application/json\r\n", echoed));
        let signed = node(
            &json!([key("signed", SECRET, &json!({ "session_token": "of/a+role==" }))]),
            upstream.address,
            driver,
        );
        let answer =
            Caller::new(&signed).post("/bedrock/model/amazon.nova-lite-v1:0/converse", converse("hi"));
        assert_eq!(answer.status, 400);
        assert!(!answer.text().contains(SECRET) && !answer.text().contains("of/a+role"), "{}", answer.text());
        let seen = upstream.last();
        assert!(
            seen.value("authorization").starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"),
            "{}",
            seen.head
        );
        assert_eq!(seen.value("x-amz-security-token"), "of/a+role==");
        let whole = r#"{"output":{"message":{"role":"assistant","content":[{"text":"hi"}]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2},"metrics":{"latencyMs":1}}"#;
        let upstream = Upstream::answering(ok(whole));
        let mut valued = key("valued", SECRET, &json!({}));
        valued["value"] = json!("a-key-of-bedrocks");
        let valued = node(&json!([valued]), upstream.address, driver);
        assert_eq!(Caller::new(&valued).post(CHAT, chat()).status, 200);
        let seen = upstream.last();
        assert_eq!(
            (seen.value("authorization"), seen.values("x-amz-date").len()),
            ("Bearer a-key-of-bedrocks", 0)
        );
    });
}

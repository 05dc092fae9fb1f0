//! AWS roles by STS: what is asked of a scripted STS, that requests are signed by what it gave (judged by AWS's own signer in
//! the mock provider), and what becomes of requests, keys and `status` while it gives nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::admin;
use crate::caller::Caller;
use crate::reload::{file, replace, runs};
use crate::setup::{CHAT, answer, ok, on_both};
use crate::support::node::{Mock, Node, eventually};
use crate::support::upstream::Upstream;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const LONG_TERM: &str = "a-secret+of/who-takes-the-role";
const ROLE: &str = "arn:aws:iam::1:role/of-tests";
const ASK: &str = r#"{"model":"bedrock/amazon.nova-lite-v1:0","messages":[{"role":"user","content":"hi"}]}"#;
const WHOLE: &str = r#"{"output":{"message":{"role":"assistant","content":[{"text":"hi"}]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2},"metrics":{"latencyMs":1}}"#;

/// STS's answer with keys whose secret the mock provider knows.
fn given(session_token: &str) -> Vec<u8> {
    let body = format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
         <AccessKeyId>AKIDEXAMPLE</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey>\
         <SessionToken>{session_token}</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration>\
         </Credentials></AssumeRoleResult></AssumeRoleResponse>"
    );
    answer(200, "content-type: text/xml\r\n", body)
}

fn refused(fields: &str) -> Vec<u8> {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User of {LONG_TERM} is not \
         authorized</Message></Error></ErrorResponse>"
    );
    answer(403, fields, body)
}

fn role_key(name: &str, sts: SocketAddr) -> Value {
    json!({ "name": name, "models": ["*"], "bedrock_key_config": {
        "region": "eu-west-1", "access_key": "AKIDROOT", "secret_key": LONG_TERM, "role_arn": ROLE,
        "external_id": "from/outside", "sts_endpoint": format!("http://{sts}")
    } })
}

fn config(keys: &Value, provider: SocketAddr) -> String {
    let network = json!({ "base_url": format!("http://{provider}"), "max_retries": 0 });
    json!({ "providers": { "bedrock": { "keys": keys, "network_config": network } } }).to_string()
}

#[test]
fn a_role_is_taken_once_and_signs_requests_of_all_cores() {
    on_both(|driver| {
        let (mock, sts) = (Mock::start(&[]), Upstream::answering(given("of/a+role==")));
        let key = role_key("role", sts.address);
        let node = Node::start(&config(&json!([key]), mock.address), driver);
        for _ in 0..6 {
            let answer = Caller::new(&node).post(CHAT, ASK);
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        assert_eq!(sts.requests().len(), 1, "both cores have it");
        let asked = sts.last();
        assert!(asked.head.starts_with("POST / HTTP/1.1\r\n"), "{}", asked.head);
        let expected = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fof-tests&\
            RoleSessionName=bifrost-session&DurationSeconds=3600&ExternalId=from%2Foutside";
        assert_eq!(asked.text(), expected);
        let signed = asked.value("authorization");
        assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIDROOT/"), "{signed}");
        let names = "/eu-west-1/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=";
        assert!(signed.contains(names) && !asked.head.contains(LONG_TERM), "{signed}");
    });
}

#[test]
fn without_keys_of_the_role_another_key_serves_and_status_says_so() {
    on_both(|driver| {
        let (upstream, sts) = (Upstream::answering(ok(WHOLE)), Upstream::answering(refused("")));
        let alone = json!([role_key("role", sts.address)]);
        let node = Node::start(&config(&alone, upstream.address), driver);
        let answer = Caller::new(&node).post(CHAT, ASK);
        assert_eq!(
            (answer.status, answer.code()),
            (502, "token_unavailable".to_owned()),
            "{}",
            answer.text()
        );
        let said =
            format!("key role: no keys of the role: {} answered 403: AccessDenied: User of", sts.address);
        assert!(answer.text().contains(&said) && !answer.text().contains(LONG_TERM), "{}", answer.text());
        let status = admin::run(&node, &["status"]).well();
        let line = status.lines().find(|line| line.contains("cannot serve")).unwrap_or_default().to_owned();
        assert!(
            line.contains("bedrock/role: no keys of the role: ") && !line.contains(LONG_TERM),
            "{status}"
        );
        let logged = [node.before.clone(), node.said()].concat().join("\n");
        assert!(logged.contains("AccessDenied") && !logged.contains(LONG_TERM), "{logged}");
        assert!(upstream.requests().is_empty());

        let mut both = alone;
        both.as_array_mut()
            .unwrap()
            .push(json!({ "name": "value", "value": "k", "models": ["*"], "weight": 0.0 }));
        let node = Node::start(&config(&both, upstream.address), driver);
        let answer = Caller::new(&node).post(CHAT, ASK);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(upstream.last().value("authorization"), "Bearer k");
    });
}

#[test]
fn a_refused_token_is_fetched_anew_within_the_request() {
    on_both(|driver| {
        let fetches = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&fetches);
        let sts = Upstream::start(move |line| {
            while line.receive().is_some() {
                line.send(given(&format!("token-{}", 1 + count.fetch_add(1, Ordering::SeqCst))));
            }
        });
        let expired = json!({ "message": "The security token included in the request is expired: token-1" });
        let upstream = Upstream::start(move |line| {
            while let Some(request) = line.receive() {
                let is_second = request.value("x-amz-security-token") == "token-2";
                let fields = "content-type: application/json\r\nx-amzn-errortype: ExpiredTokenException\r\n";
                let answer = if is_second { ok(WHOLE) } else { answer(403, fields, expired.to_string()) };
                line.send(answer);
            }
        });
        let key = role_key("role", sts.address);
        let node = Node::start(&config(&json!([key]), upstream.address), driver);
        for _ in 0..4 {
            let answer = Caller::new(&node).post(CHAT, ASK);
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        assert_eq!((fetches.load(Ordering::SeqCst), upstream.requests().len()), (2, 5));
    });
}

#[test]
fn a_clock_that_is_wrong_is_told_as_such() {
    on_both(|driver| {
        let sts = Upstream::answering(refused("date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
        let upstream = Upstream::answering(ok(WHOLE));
        let key = role_key("role", sts.address);
        let node = Node::start(&config(&json!([key]), upstream.address), driver);
        let answer = Caller::new(&node).post(CHAT, ASK);
        assert_eq!((answer.status, answer.code()), (502, "clock_skew".to_owned()), "{}", answer.text());
        assert!(answer.text().contains("s ahead of that of"), "{}", answer.text());
        assert!(answer.text().contains("set the clock (NTP)"), "{}", answer.text());
    });
}

#[test]
fn a_reload_keeps_the_token_of_a_grant_that_stays() {
    on_both(|driver| {
        let (sts, upstream) = (Upstream::answering(given("t")), Upstream::answering(ok(WHOLE)));
        let key = role_key("role", sts.address);
        let node = Node::start(&config(&json!([key]), upstream.address), driver);
        assert_eq!(Caller::new(&node).post(CHAT, ASK).status, 200);
        let renamed = role_key("renamed", sts.address);
        replace(&file(&node), &config(&json!([renamed]), upstream.address));
        node.signal("HUP");
        runs(&node, 2);
        assert_eq!(Caller::new(&node).post(CHAT, ASK).status, 200);
        assert_eq!(sts.requests().len(), 1, "the same grant");
        let mut other = role_key("renamed", sts.address);
        other["bedrock_key_config"]["session_name"] = json!("another");
        replace(&file(&node), &config(&json!([other]), upstream.address));
        node.signal("HUP");
        runs(&node, 3);
        assert_eq!(Caller::new(&node).post(CHAT, ASK).status, 200);
        let asked = eventually("another grant is fetched by", || sts.requests().get(1).cloned());
        assert!(asked.text().contains("RoleSessionName=another"), "{}", asked.text());
    });
}

#[test]
fn a_token_that_an_answer_quotes_is_masked() {
    on_both(|driver| {
        let echoed = json!({ "message": "you said of/a+role== and more" }).to_string();
        let upstream = Upstream::answering(answer(400, "content-type: application/json\r\n", echoed));
        let sts = Upstream::answering(given("of/a+role=="));
        let key = role_key("role", sts.address);
        let node = Node::start(&config(&json!([key]), upstream.address), driver);
        let answer = Caller::new(&node).post(CHAT, ASK);
        assert_eq!(upstream.last().value("x-amz-security-token"), "of/a+role==");
        assert!(answer.status == 400 && !answer.text().contains("of/a+role"), "{}", answer.text());
    });
}

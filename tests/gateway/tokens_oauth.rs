//! Entra ID's and Google's tokens, of scripted endpoints: what these are asked, what requests bear, and that a token is
//! renewed before it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::caller::Caller;
use crate::setup::{ANSWER, CHAT, MESSAGES, answer, ok, on_both};
use crate::support::node::{Node, eventually};
use crate::support::upstream::{Received, Upstream};

const CONTENT: &str = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"ho"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4,"totalTokenCount":7},"modelVersion":"gemini-2.5-pro","responseId":"r"}"#;
const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"ho"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":4}}"#;
const CLIENT_SECRET: &str = "a~secret.of+Entra";

/// Gives `token-1`, `token-2` and so on.
fn giving(lifetime_s: u64) -> (Upstream, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let upstream = Upstream::start(move |line| {
        while line.receive().is_some() {
            let token = format!("token-{}", 1 + counted.fetch_add(1, Ordering::SeqCst));
            let body = json!({ "token_type": "Bearer", "access_token": token, "expires_in": lifetime_s });
            line.send(ok(body.to_string()));
        }
    });
    (upstream, count)
}

/// Answers each API in its own words.
fn cloud() -> Upstream {
    Upstream::start(|line| {
        while let Some(request) = line.receive() {
            let is_claude = request.head.contains("anthropic");
            let own = if request.head.contains("google") { CONTENT } else { ANSWER };
            line.send(ok(if is_claude { MESSAGE } else { own }));
        }
    })
}

fn azure(name: &str, authority: SocketAddr, endpoint: SocketAddr) -> Value {
    json!({ "name": name, "models": ["*"], "azure_key_config": {
        "endpoint": format!("http://{endpoint}"), "authority_host": format!("http://{authority}/"),
        "client_id": "c-1", "client_secret": CLIENT_SECRET, "tenant_id": "t-1"
    } })
}

fn vertex(token_uri: &str) -> Value {
    let account = json!({
        "type": "service_account", "client_email": "a@p.iam.gserviceaccount.com", "private_key_id": "k1",
        "private_key": include_str!("../support/rsa.pem"), "token_uri": token_uri
    });
    json!({ "name": "v", "models": ["*"], "vertex_key_config": {
        "project_id": "p", "region": "us-central1", "auth_credentials": account.to_string()
    } })
}

fn ask(model: &str) -> String {
    json!({ "model": model, "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] }).to_string()
}

fn bears(seen: &Received, token: &str) {
    assert_eq!(seen.value("authorization"), format!("Bearer {token}"), "{}", seen.head);
    for other in ["api-key", "x-api-key", "x-goog-api-key"] {
        assert!(seen.values(other).is_empty(), "{}", seen.head);
    }
}

#[test]
fn a_client_of_entra_bears_its_token() {
    on_both(|driver| {
        let ((entra, count), cloud) = (giving(3600), cloud());
        let keys =
            json!([azure("a", entra.address, cloud.address), azure("b", entra.address, cloud.address)]);
        let node = Node::start(&json!({ "providers": { "azure": { "keys": keys } } }).to_string(), driver);
        for (path, model) in [(CHAT, "azure/gpt-4o"), (MESSAGES, "azure/claude-x"), (CHAT, "azure/claude-x")]
        {
            let answer = Caller::new(&node).post(path, ask(model));
            assert_eq!(answer.status, 200, "{}", answer.text());
            bears(&cloud.last(), "token-1");
        }
        assert_eq!(count.load(Ordering::SeqCst), 1, "one grant, whichever keys have it");
        let asked = entra.last();
        assert!(asked.head.starts_with("POST /t-1/oauth2/v2.0/token HTTP/1.1\r\n"), "{}", asked.head);
        assert_eq!(asked.value("content-type"), "application/x-www-form-urlencoded");
        let expected = "grant_type=client_credentials&client_id=c-1&client_secret=a~secret.of%2BEntra&\
            scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default";
        assert_eq!(asked.text(), expected);
    });
}

#[test]
fn a_service_account_bears_its_token() {
    on_both(|driver| {
        let ((google, _), cloud) = (giving(3600), cloud());
        let key = vertex(&format!("http://{}/token", google.address));
        let network = json!({ "base_url": format!("http://{}", cloud.address) });
        let config = json!({ "providers": { "vertex": { "keys": [key], "network_config": network } } });
        let node = Node::start(&config.to_string(), driver);
        for model in ["vertex/gemini-2.5-pro", "vertex/claude-sonnet-4-5"] {
            let answer = Caller::new(&node).post(CHAT, ask(model));
            assert_eq!(answer.status, 200, "{}", answer.text());
            bears(&cloud.last(), "token-1");
        }
        let asked = google.last();
        assert!(asked.head.starts_with("POST /token HTTP/1.1\r\n"), "{}", asked.head);
        let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=ey";
        assert!(asked.text().starts_with(grant), "{}", asked.text());
    });
}

#[test]
fn a_token_is_renewed_before_it_ends_and_no_request_waits_for_it() {
    on_both(|driver| {
        let ((entra, count), cloud) = (giving(3), cloud());
        let keys = json!([azure("a", entra.address, cloud.address)]);
        let node = Node::start(&json!({ "providers": { "azure": { "keys": keys } } }).to_string(), driver);
        eventually("three tokens were fetched unasked", || (count.load(Ordering::SeqCst) >= 3).then_some(()));
        let answer = Caller::new(&node).post(CHAT, ask("azure/gpt-4o"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_ne!(cloud.last().value("authorization"), "Bearer token-1");
    });
}

#[test]
fn a_refusal_is_told_without_the_secret() {
    on_both(|driver| {
        let said = json!({ "error": "invalid_client", "error_description":
            format!("AADSTS7000215: Invalid client secret {CLIENT_SECRET}.\r\nTrace ID: 1") });
        let entra = Upstream::answering(answer(401, "content-type: application/json\r\n", said.to_string()));
        let cloud = cloud();
        let keys = json!([azure("a", entra.address, cloud.address)]);
        let node = Node::start(&json!({ "providers": { "azure": { "keys": keys } } }).to_string(), driver);
        let answer = Caller::new(&node).post(CHAT, ask("azure/gpt-4o"));
        assert_eq!(
            (answer.status, answer.code()),
            (502, "token_unavailable".to_owned()),
            "{}",
            answer.text()
        );
        let text = answer.text();
        assert!(text.contains("no token of Entra ID") && text.contains("AADSTS7000215"), "{text}");
        assert!(!text.contains(CLIENT_SECRET) && cloud.requests().is_empty(), "{text}");
    });
}

#[test]
fn what_no_header_may_have_is_no_token() {
    on_both(|driver| {
        let body = json!({ "access_token": "a\r\nx-injected: 1", "expires_in": 60 }).to_string();
        let (entra, cloud) = (Upstream::answering(ok(body)), cloud());
        let keys = json!([azure("a", entra.address, cloud.address)]);
        let node = Node::start(&json!({ "providers": { "azure": { "keys": keys } } }).to_string(), driver);
        let answer = Caller::new(&node).post(CHAT, ask("azure/gpt-4o"));
        assert_eq!(
            (answer.status, answer.code()),
            (502, "token_unavailable".to_owned()),
            "{}",
            answer.text()
        );
        assert!(answer.text().contains("no header may have") && cloud.requests().is_empty());
    });
}

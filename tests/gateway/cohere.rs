//! Cohere's callers and Cohere itself: what passes as it stands, errors in its shape, rerankings of whoever has them, against a
//! scripted provider and against the mock, which is strict.

use serde_json::{Value, json};

use crate::caller::Caller;
use crate::setup::{CHAT, STREAM_HEAD, chunk, ok, on_both};
use crate::support::node::{Mock, Node};
use crate::support::upstream::Upstream;

const COHERE_CHAT: &str = "/cohere/v2/chat";

fn provider(address: std::net::SocketAddr) -> Value {
    json!({
        "keys": [{ "name": address.to_string(), "value": "co-key", "models": ["*"] }],
        "network_config": { "base_url": format!("http://{address}") }
    })
}

#[test]
fn a_body_passes_but_for_its_model_and_fallbacks() {
    const ANSWER: &str = r#"{"id":"i","finish_reason":"COMPLETE","message":{"role":"assistant","content":[{"type":"text","text":"ho"}]},"usage":{"tokens":{"input_tokens":3,"output_tokens":1}},"made_up":1.50}"#;
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = Node::start(
            &json!({ "providers": { "cohere": provider(upstream.address) } }).to_string(),
            driver,
        );
        let mut caller = Caller::new(&node);
        let rest = r#""messages":[{"role":"user","content":"hi"}],"k":3,"p":0.750,"documents":["d"],"new_key":{"a" :1}}"#;
        for (path, model) in [(COHERE_CHAT, "command-x"), ("/pydanticai/cohere/v2/chat", "cohere/command-x")]
        {
            let answer = caller.post(path, format!(r#"{{"fallbacks":[],"model":"{model}",{rest}"#));
            assert_eq!((answer.status, answer.text()), (200, ANSWER), "{path}");
            let sent = upstream.last();
            assert_eq!(sent.text(), format!(r#"{{"model":"command-x",{rest}"#), "{path}");
            assert!(sent.head.starts_with("POST /v2/chat HTTP/1.1\r\n"), "{}", sent.head);
            assert!(sent.head.contains("authorization: Bearer co-key"), "{}", sent.head);
        }
    });
}

#[test]
fn our_own_errors_have_coheres_shape() {
    on_both(|driver| {
        let mock = Mock::start(&[]);
        let node =
            Node::start(&json!({ "providers": { "cohere": provider(mock.address) } }).to_string(), driver);
        for (path, body, status, word) in [
            (COHERE_CHAT, r#"{"messages":[]}"#, 400, "model is required"),
            (COHERE_CHAT, r#"{"model":"m","messages":[],"stream":1}"#, 400, "stream"),
            (COHERE_CHAT, "{", 400, "JSON"),
            ("/cohere/v2/classify", "{}", 404, "/cohere/v2/classify"),
            ("/cohere/v2/chat/", "{}", 404, "/cohere/v2/chat/"),
        ] {
            let answer = Caller::new(&node).post(path, body);
            let error = answer.json();
            assert_eq!(answer.status, status, "{path}: {error}");
            assert!(error["message"].as_str().is_some_and(|words| words.contains(word)), "{path}: {error}");
            assert!(error["id"].is_string() && error.as_object().unwrap().len() == 2, "{path}: {error}");
        }
        let body = r#"{"model":"cohere/m","messages":[{"role":"user","content":"x"}],"n":2}"#;
        let answer = Caller::new(&node).post(CHAT, body);
        assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!("n")));
    });
}

#[test]
fn a_reranking_is_asked_of_who_has_it() {
    on_both(|driver| {
        let mock = Mock::start(&[]);
        let place = format!("http://{}", mock.address);
        let vllm = json!({ "keys": [{ "name": "v", "models": ["*"], "value": "k", "vllm_key_config": { "url": place } }] });
        let mut openai = provider(mock.address);
        openai["keys"][0]["name"] = json!("o");
        let config = json!({ "providers": {
            "cohere": provider(mock.address), "openai": openai, "vllm": vllm
        } });
        let node = Node::start(&config.to_string(), driver);
        let mut caller = Caller::new(&node);
        let documents = ["grey", "the blue sky", "blue"];
        let plain = json!({ "model": "cohere/r", "query": "blue sky", "documents": documents, "top_n": 2 });
        let of = |model: &str| {
            let mut body = plain.clone();
            body["model"] = json!(model);
            body.to_string()
        };
        for (path, model) in [
            ("/v1/rerank", "cohere/r"),
            ("/v1/rerank", "vllm/r"),
            ("/cohere/v2/rerank", "r"),
            ("/cohere/v2/rerank", "vllm/r"),
        ] {
            let answer = caller.post(path, of(model));
            let found = answer.json();
            assert_eq!(answer.status, 200, "{path} {model}: {found}");
            let order = [0, 1].map(|at| found["results"][at]["index"].as_u64());
            assert_eq!(order, [Some(1), Some(2)], "{path} {model}: {found}");
            let is_native = path.starts_with("/cohere");
            assert_eq!(found.get("model").is_none(), is_native, "{path} {model}: {found}");
        }
        for path in ["/v1/rerank", "/cohere/v2/rerank"] {
            let answer = caller.post(path, of("openai/r"));
            assert!(answer.status == 400 && answer.text().contains("rerank"), "{path}: {}", answer.text());
        }
        let answer = caller.post("/v1/rerank", json!({ "model": "cohere/r", "query": "x" }).to_string());
        assert!(answer.status == 400 && answer.text().contains("documents"), "{}", answer.text());
    });
}

#[test]
fn a_stream_of_coheres_passes_and_one_without_its_end_is_told_so() {
    const START: &str =
        "event: message-start\ndata: {\"id\":\"i\",\"type\":\"message-start\",\"delta\":{}}\n\n";
    const TEXT: &str = "event: content-delta\ndata: {\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"text\":\"ho\"}}}}\n\n";
    const END: &str =
        "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\"}}\n\n";
    on_both(|driver| {
        for (events, is_whole) in
            [(format!("{START}{TEXT}{END}data: [DONE]\n\n"), true), (format!("{START}{TEXT}"), false)]
        {
            let told = events.clone();
            let upstream = Upstream::start(move |line| {
                while line.receive().is_some() {
                    line.send(STREAM_HEAD);
                    line.send(chunk(&told));
                    if !is_whole {
                        return line.close();
                    }
                    line.send("0\r\n\r\n");
                }
            });
            let config = json!({ "providers": { "cohere": provider(upstream.address) } });
            let node = Node::start(&config.to_string(), driver);
            let mut caller = Caller::new(&node);
            let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}"#;
            let answer = caller.post(COHERE_CHAT, body);
            let told = answer.text();
            assert!(told.starts_with(&events), "{told}");
            let rest = told.strip_prefix(&*events).unwrap();
            assert_eq!(rest.is_empty(), is_whole, "{told}");
            assert!(is_whole || rest.contains(r#""finish_reason":"ERROR""#), "{told}");
            // The same for who speaks another dialect.
            let body = body.replace("\"m\"", "\"cohere/m\"");
            let told = caller.post(CHAT, body).text().to_owned();
            assert_eq!(
                (told.contains("\"ho\""), told.ends_with("data: [DONE]\n\n")),
                (true, is_whole),
                "{told}"
            );
        }
    });
}

//! What a model is asked for beside conversations: it passes through in its own dialect, by the same plan, and goes to no
//! provider whose API lacks it. And the paths that libraries put before the vendors'.

use serde_json::{Value, json};

use crate::caller::{Answer, Caller};
use crate::client_ip::{logged, rows};
use crate::setup::{ANSWER, ASK, STREAM_HEAD, answer, chunk, config, ok, on_both};
use crate::support::node::Node;
use crate::support::upstream::Upstream;

const VECTORS: &str = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.10,-2e-3]}],"model":"text-embedding-3-small","usage":{"prompt_tokens":5,"total_tokens":5}}"#;
const VERDICT: &str = r#"{"id":"modr-1","model":"omni-moderation-latest","results":[{"flagged":false}]}"#;
const TEXT: &str = r#"{"id":"cmpl-1","object":"text_completion","choices":[{"text":" ho","index":0,"finish_reason":"stop"}],"usage":{"prompt_tokens":2,"completion_tokens":1,"total_tokens":3}}"#;
const COUNT: &str = r#"{"input_tokens":14}"#;

/// A provider that answers by path, and by the stream that is asked for.
fn provider() -> Upstream {
    Upstream::start(|line| {
        while let Some(request) = line.receive() {
            let path = request.head.split(' ').nth(1).unwrap_or_default().to_owned();
            match path.as_str() {
                "/v1/embeddings" => line.send(ok(VECTORS)),
                "/v1/moderations" => line.send(ok(VERDICT)),
                "/v1/messages/count_tokens" => line.send(ok(COUNT)),
                "/v1/completions" if request.text().contains("\"stream\":true") => {
                    line.send(STREAM_HEAD);
                    line.send(chunk(
                        "data: {\"id\":\"cmpl-1\",\"choices\":[{\"text\":\" ho\",\"index\":0}]}\n\n",
                    ));
                    line.send(chunk("data: [DONE]\n\n"));
                    line.send("0\r\n\r\n");
                }
                "/v1/completions" => line.send(ok(TEXT)),
                _ => line.send(ok(ANSWER)),
            }
        }
    })
}

/// Both vendors with keys for every model, and rows.
fn open(upstream: &Upstream) -> Value {
    let mut config = config(upstream.address);
    for provider in ["openai", "anthropic"] {
        config["providers"][provider]["keys"][0]["models"] = json!(["*"]);
    }
    logged(config)
}

fn path_of(request: &str) -> &str {
    request.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn each_operation_passes_through_to_its_own_path() {
    on_both(|driver| {
        let upstream = provider();
        let node = Node::start(&open(&upstream).to_string(), driver);
        let mut caller = Caller::new(&node);
        for (paths, wire, body, expected) in [
            (
                &["/v1/embeddings", "/openai/v1/embeddings", "/openai/embeddings", "/litellm/embeddings"][..],
                "/v1/embeddings",
                r#"{"input" : ["a",[1,2]],"model":"MODEL","dimensions":256.0,"x":{"y":1}}"#,
                VECTORS,
            ),
            (
                &["/v1/moderations", "/openai/moderations", "/langchain/v1/moderations"],
                "/v1/moderations",
                r#"{"model":"MODEL","input":"a"}"#,
                VERDICT,
            ),
            (
                &["/v1/completions", "/openai/v1/completions", "/pydanticai/v1/completions"],
                "/v1/completions",
                r#"{"prompt":"a","model":"MODEL","logprobs":2}"#,
                TEXT,
            ),
            (
                &["/anthropic/v1/messages/count_tokens", "/litellm/anthropic/v1/messages/count_tokens"],
                "/v1/messages/count_tokens",
                r#"{"messages":[{"role":"user","content":"a"}],"model":"MODEL"}"#,
                COUNT,
            ),
        ] {
            let name = if wire.ends_with("count_tokens") { "anthropic/m" } else { "openai/m" };
            for path in paths {
                let answer = caller.post(path, body.replace("MODEL", name));
                assert_eq!((answer.status, answer.text()), (200, expected), "{path}");
                let sent = upstream.last();
                assert_eq!(
                    (path_of(&sent.head), sent.text()),
                    (wire, &*body.replace("MODEL", "m")),
                    "{path}"
                );
            }
        }
        let sent = upstream.last();
        assert_eq!(
            (sent.value("x-api-key"), sent.value("anthropic-version")),
            ("sk-ant-under-test", "2023-06-01")
        );
    });
}

#[test]
fn a_legacy_completion_may_be_a_stream() {
    on_both(|driver| {
        let upstream = provider();
        let mut node = Node::start(&open(&upstream).to_string(), driver);
        let mut caller = Caller::new(&node);
        let answer = caller.post("/openai/v1/completions", r#"{"model":"m","prompt":"a","stream":true}"#);
        assert_eq!((answer.status, answer.value("content-type")), (200, Some("text/event-stream")));
        assert!(
            answer.text().ends_with("data: [DONE]\n\n") && answer.text().contains(" ho"),
            "{}",
            answer.text()
        );
        let page = caller.get("/metrics").text().to_owned();
        let method = r#"method="text_completion_stream""#;
        assert!(
            page.lines()
                .any(|line| line.starts_with("bifrost_success_requests_total") && line.contains(method)),
            "{page}"
        );
        let query = "SELECT object_type || ' ' || stream || ' ' || output_message FROM logs";
        let row = r#"text.completion 1 {"role":"assistant","content":" ho"}"#;
        assert_eq!(rows(&mut node, query), [row]);
    });
}

#[test]
fn rows_and_metrics_name_the_operation() {
    on_both(|driver| {
        let upstream = provider();
        let mut node = Node::start_on(&open(&upstream).to_string(), driver, 1);
        let mut caller = Caller::new(&node);
        let embedding = r#"{"model":"openai/m","input":"a","dimensions":3}"#;
        assert_eq!(caller.post("/v1/embeddings", embedding).status, 200);
        assert_eq!(caller.post("/v1/moderations", r#"{"input":"a"}"#).status, 200);
        let count = r#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#;
        assert_eq!(caller.post("/anthropic/v1/messages/count_tokens", count).status, 200);
        let page = caller.get("/metrics").text().to_owned();
        for (method, path) in [
            ("embedding", "/v1/embeddings"),
            ("moderation", "/v1/moderations"),
            ("count_tokens", "/anthropic/v1/messages/count_tokens"),
        ] {
            let counts = |name: &str, label: &str| {
                page.lines()
                    .any(|line| line.starts_with(name) && line.contains(label) && line.ends_with(" 1"))
            };
            assert!(counts("bifrost_success_requests_total", &format!("method=\"{method}\"")), "{page}");
            assert!(counts("http_requests_total", &format!("path=\"{path}\"")), "{page}");
        }
        let query = "SELECT object_type || ' ' || provider || ' ' || model || ' ' || coalesce(prompt_tokens, '-') || ' ' || \
             coalesce(params, '-') || ' ' || input_history FROM logs";
        let rows = rows(&mut node, query);
        assert_eq!(rows.len(), 3, "{rows:?}");
        let expected = r#"embedding openai m 5 {"dimensions":3} [{"role":"user","content":"a"}]"#;
        assert_eq!(rows[0], expected);
        assert!(rows[1].starts_with("moderation openai omni-moderation-latest "), "{rows:?}");
        assert!(rows[2].starts_with("count_tokens anthropic m "), "{rows:?}");
    });
}

#[test]
fn a_moderation_without_a_model_leaves_the_default_to_openai() {
    on_both(|driver| {
        let upstream = provider();
        let mut config = open(&upstream);
        let node = Node::start(&config.to_string(), driver);
        for path in ["/v1/moderations", "/openai/v1/moderations", "/litellm/moderations"] {
            assert_eq!(Caller::new(&node).post(path, r#" {"input":"a"}"#).text(), VERDICT);
            assert_eq!(upstream.last().text(), r#" {"input":"a"}"#, "{path}");
        }
        let missing = Caller::new(&node).post("/v1/embeddings", r#"{"input":"a"}"#);
        assert_eq!((missing.status, &*missing.code()), (400, "model_not_found"));
        // What the config means by the name is asked for.
        config["providers"]["openai"]["keys"][0]["aliases"] = json!({ "omni-moderation-latest": "mine" });
        let node = Node::start(&config.to_string(), driver);
        assert_eq!(Caller::new(&node).post("/v1/moderations", r#"{"input":"a"}"#).status, 200);
        assert_eq!(upstream.last().text(), r#"{"model":"mine","input":"a"}"#);
        config["providers"].as_object_mut().unwrap().remove("openai");
        let node = Node::start(&config.to_string(), driver);
        let refused = Caller::new(&node).post("/v1/moderations", r#"{"input":"a"}"#);
        assert_eq!((refused.status, &*refused.code()), (400, "provider_not_configured"));
    });
}

#[test]
fn another_dialects_provider_is_refused_or_passed_over() {
    on_both(|driver| {
        let upstream = provider();
        let node = Node::start(&open(&upstream).to_string(), driver);
        let mut caller = Caller::new(&node);
        let embedding = |more: Value| {
            let mut body = json!({ "model": "anthropic/m", "input": "a" });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body.to_string()
        };
        let refused = caller.post("/v1/embeddings", embedding(json!({})));
        assert_eq!((refused.status, &*refused.code()), (400, "provider_not_supported"));
        let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("embedding is not served by the provider anthropic"), "{message}");
        let count = r#"{"model":"openai/m","messages":[]}"#;
        let refused = caller.post("/anthropic/v1/messages/count_tokens", count);
        assert_eq!((refused.status, &refused.json()["type"]), (400, &json!("error")));
        assert!(
            refused.text().contains("count_tokens is not served by the provider openai"),
            "{}",
            refused.text()
        );
        assert_eq!(upstream.connections(), 0);
        let fallbacks = json!({ "fallbacks": ["anthropic/other", "openai/e"] });
        let served = caller.post("/v1/embeddings", embedding(fallbacks));
        assert_eq!((served.status, served.text()), (200, VECTORS));
        let sent: Value = serde_json::from_slice(&upstream.last().body).unwrap();
        assert_eq!(sent, json!({ "model": "e", "input": "a" }));
    });
}

#[test]
fn retries_and_errors_are_as_for_conversations() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while let Some(request) = line.receive() {
                let is_first = request.connection == 0;
                line.send(match request.text() {
                    text if text.contains("bad") => answer(
                        400,
                        "content-type: application/json\r\n",
                        r#"{"error":{"message":"no such input","type":"invalid_request_error","code":"c"}}"#,
                    ),
                    _ if is_first => answer(503, "connection: close\r\n", "{}"),
                    _ => ok(VECTORS),
                });
                if is_first {
                    return;
                }
            }
        });
        let mut config = open(&upstream);
        config["providers"]["openai"]["network_config"]["max_retries"] = json!(1);
        config["providers"]["openai"]["network_config"]["retry_backoff_initial"] = json!(1);
        let node = Node::start_on(&config.to_string(), driver, 1);
        let ask = |input: &str| -> Answer {
            Caller::new(&node).post("/openai/embeddings", json!({ "model": "m", "input": input }).to_string())
        };
        assert_eq!(ask("a").text(), VECTORS);
        assert_eq!(upstream.requests().len(), 2);
        let refused = ask("bad");
        assert_eq!((refused.status, &*refused.code()), (400, "c"));
        assert_eq!(upstream.requests().len(), 3);
    });
}

#[test]
fn what_a_custom_provider_may_be_asked_for_goes_by_operation() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(VECTORS));
        let mut config = open(&upstream);
        config["providers"]["own"] = json!({
            "keys": [{ "name": "k", "value": "env.OPENAI_API_KEY", "models": ["*"] }],
            "network_config": { "base_url": format!("http://{}/base", upstream.address) },
            "custom_provider_config": {
                "base_provider_type": "openai",
                "allowed_requests": { "embedding": true },
                "request_path_overrides": { "embedding": "/vectors?api-version=1" }
            }
        });
        let node = Node::start(&config.to_string(), driver);
        let mut caller = Caller::new(&node);
        assert_eq!(caller.post("/v1/embeddings", r#"{"model":"own/m","input":"a"}"#).status, 200);
        assert_eq!(path_of(&upstream.last().head), "/base/vectors?api-version=1");
        for (path, operation) in [
            ("/v1/chat/completions", "chat_completion"),
            ("/v1/completions", "text_completion"),
            ("/v1/moderations", "moderation"),
        ] {
            let refused = caller.post(path, ASK.replace("openai/gpt-4o", "own/m"));
            assert_eq!((refused.status, &*refused.code()), (400, "unsupported_operation"), "{path}");
            let message = format!("{operation} is not supported by own provider");
            assert_eq!(refused.json()["error"]["message"], message);
        }
        assert_eq!(upstream.requests().len(), 1);
    });
}

#[test]
fn a_librarys_prefix_is_nobodys_home_and_a_vendors_path_behind_it_is() {
    on_both(|driver| {
        let upstream = provider();
        let mut config = open(&upstream);
        config["providers"]["openai"]["keys"][0]["models"] = json!(["gpt-4o"]);
        config["providers"]["anthropic"]["keys"][0]["models"] = json!(["claude-x"]);
        let node = Node::start(&config.to_string(), driver);
        let mut caller = Caller::new(&node);
        for library in ["/litellm", "/langchain", "/pydanticai"] {
            for version in ["/v1", ""] {
                let chat = format!("{library}{version}/chat/completions");
                assert_eq!(caller.post(&chat, ASK.replace("openai/", "")).text(), ANSWER, "{chat}");
                let unknown = caller.post(&chat, ASK.replace("openai/gpt-4o", "gpt-5"));
                assert_eq!((unknown.status, &*unknown.code()), (400, "model_not_found"));
                assert!(unknown.json().get("is_bifrost_error").is_none(), "OpenAI's own shape");
                let list = caller.get(&format!("{library}{version}/models")).json();
                assert_eq!(list["data"].as_array().unwrap().len(), 2);
            }
            let messages = format!("{library}/anthropic/v1/messages");
            let ask = r#"{"model":"claude-y","max_tokens":5,"messages":[{"role":"user","content":"a"}]}"#;
            let unknown = caller.post(&messages, ask).json();
            assert_eq!(unknown["type"], "error");
            let message = unknown["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.contains("anthropic") && message.contains("claude-y"), "{message}");
            assert_eq!(caller.post(&messages, ask.replace("claude-y", "claude-x")).status, 200);
            assert_eq!(path_of(&upstream.last().head), "/v1/messages");
        }
    });
}

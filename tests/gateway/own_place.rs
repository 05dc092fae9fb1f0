//! Providers whose servers are the operator's own: each key says where its server is, and a server that is down takes no
//! other's requests with it.

use serde_json::{Value, json};

use crate::caller::Caller;
use crate::setup::{ANSWER, ASK, ok, on_both};
use crate::support::node::Node;
use crate::support::upstream::Upstream;

fn server() -> Upstream {
    Upstream::start(|line| {
        while line.receive().is_some() {
            line.send(ok(ANSWER));
        }
    })
}

fn ask(model: &str) -> String {
    ASK.replace("openai/gpt-4o", model)
}

#[test]
fn a_keys_requests_go_to_its_own_server() {
    on_both(|driver| {
        let (one, two) = (server(), server());
        let key = |name: &str, model: &str, url: String| json!({ "name": name, "models": [model], "weight": 1, "ollama_key_config": { "url": url } });
        let config = json!({ "providers": { "ollama": { "keys": [
            key("one", "llama", format!("http://{}/v1/", one.address)),
            key("two", "qwen", format!("http://{}/behind/it", two.address)),
        ] } } });
        let node = Node::start(&config.to_string(), driver);
        let mut caller = Caller::new(&node);
        assert_eq!(caller.post("/v1/chat/completions", ask("ollama/llama")).status, 200);
        assert_eq!(caller.post("/v1/chat/completions", ask("ollama/qwen")).status, 200);
        for (upstream, line) in
            [(&one, "POST /v1/chat/completions "), (&two, "POST /behind/it/v1/chat/completions ")]
        {
            let head = upstream.last().head;
            assert!(head.starts_with(line), "{head}");
            assert!(head.contains(&format!("host: {}\r\n", upstream.address)), "{head}");
            assert!(!head.to_ascii_lowercase().contains("authorization"), "{head}");
        }
    });
}

#[test]
fn a_server_that_is_down_takes_no_other_with_it() {
    on_both(|driver| {
        let (gone, up) = (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), server());
        let nowhere = gone.local_addr().unwrap();
        drop(gone);
        let key = |name: &str, weight: f64, address: std::net::SocketAddr| json!({ "name": name, "value": "secret-of-it", "models": ["*"], "weight": weight, "vllm_key_config": { "url": format!("http://{address}"), "model_name": "llama" } });
        let config: Value = json!({ "providers": { "vllm": {
            "keys": [key("down", 1e9, nowhere), key("up", 1e-3, up.address)],
            "network_config": { "max_retries": 1, "retry_backoff_initial": 1, "retry_backoff_max": 1 },
            "breaker": { "failures_in_a_row": 2, "open": "60s" },
        } } });
        let node = Node::start(&config.to_string(), driver);
        let mut caller = Caller::new(&node);
        let mut served = Vec::new();
        for _ in 0..6 {
            let answer = caller.post("/v1/chat/completions", ask("vllm/llama"));
            served.push((answer.status, answer.value("x-corelane-attempts").map(str::to_owned)));
        }
        // Once its breaker is open, the other server is asked at once.
        assert_eq!(served.last(), Some(&(200, Some("1".to_owned()))), "{served:?}");
        assert!(up.last().head.contains("authorization: Bearer secret-of-it\r\n"), "{}", up.last().head);
        let other = caller.post("/v1/chat/completions", ask("vllm/gpt"));
        assert_eq!(other.status, 400, "{}", other.text());
    });
}

#[test]
fn an_address_for_all_needs_no_key() {
    on_both(|driver| {
        let upstream = server();
        let url = format!("http://{}", upstream.address);
        let config = json!({ "providers": { "sgl": { "network_config": { "base_url": url } } } });
        let node = Node::start(&config.to_string(), driver);
        let answer = Caller::new(&node).post("/v1/chat/completions", ask("sgl/any"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(!upstream.last().head.to_ascii_lowercase().contains("authorization"));
    });
}

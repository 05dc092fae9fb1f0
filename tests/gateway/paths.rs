//! Spellings of paths: a route is its exact bytes. No escape, dot, slash or case leads to another one.

use crate::caller::{Caller, request};
use crate::setup::{ANSWER, ASK, CHAT, MESSAGES, ok, on_both};
use crate::support::node::Node;
use crate::support::upstream::Upstream;

const OTHERS: [&str; 34] = [
    "/v1/chat%2fcompletions",
    "/v1/chat%2Fcompletions",
    "/v1%2fmodels",
    "/%76%31/models",
    "/v1/%6dodels",
    "/v1/models%00",
    "/v1/models%20",
    "/v1/models%0d%0a",
    "/v1/models%3fx",
    "/v1/models%252f",
    "/v1/../v1/models",
    "/v1/./models",
    "/v1/models/.",
    "/v1/models/..",
    "/x/../v1/models",
    "/../v1/models",
    "/%2e%2e/v1/models",
    "/v1/%2e/models",
    "/v1/x/%2E%2E/models",
    "/anthropic/../v1/models",
    "/health/../v1/chat/completions",
    "//v1/models",
    "/v1//models",
    "/v1/models/",
    "/v1/models//",
    "/V1/models",
    "/v1/Models",
    "/v1/models;x",
    "/v1/models;x=y/",
    "/v1;/models",
    "/v1/models,",
    "/v1/models|",
    "/v1\\models",
    "/v1/chat/completions/x",
];

/// The same behind an absolute-form's authority.
const PREFIXES: [&str; 3] = ["", "http://test", "https://other:1"];

#[test]
fn no_other_spelling_is_a_route() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let mut config = crate::setup::config(upstream.address);
        config["providers"]["openai"]["keys"][0]["models"] = serde_json::json!(["*"]);
        let node = Node::start(&config.to_string(), driver);
        for path in OTHERS {
            for prefix in PREFIXES {
                for method in ["GET", "POST", "HEAD", "OPTIONS"] {
                    let mut caller = Caller::new(&node);
                    let body = if method == "POST" { ASK } else { "" };
                    let bytes = request(&format!("{prefix}{path}"), "", body);
                    let bytes = String::from_utf8(bytes).unwrap().replacen("POST", method, 1);
                    caller.send(bytes);
                    let answer = caller.answer_to(method == "HEAD");
                    // A backslash is a byte that no target holds.
                    let expected = if path.contains('\\') { 400 } else { 404 };
                    assert_eq!(answer.status, expected, "{method} {prefix}{path}");
                }
            }
        }
        assert_eq!(upstream.connections(), 0);
        let page = Caller::new(&node).get("/metrics");
        let counted = page.text().lines().filter(|line| line.starts_with("http_requests_total"));
        assert!(
            counted.clone().count() > 1 && counted.into_iter().all(|line| line.contains("path=\"other\""))
        );
    });
}

#[test]
fn an_absolute_target_is_its_path() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = crate::setup::node(&upstream, driver);
        let mut caller = Caller::new(&node);
        for prefix in PREFIXES {
            for (path, body) in [(CHAT, ASK), (MESSAGES, r#"{"model":"claude-x"}"#)] {
                caller.send(request(&format!("{prefix}{path}?x=../y"), "", body));
                assert_eq!(caller.answer().status, 200);
            }
            assert_eq!(caller.get(&format!("{prefix}/health")).status, 200);
        }
        // The authority decides nothing, and goes nowhere.
        assert!(
            upstream.requests().iter().all(|request| request.value("host") == upstream.address.to_string())
        );
    });
}

#[test]
fn a_refused_method_counts_under_its_path() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = Node::start_on(&crate::setup::config(upstream.address).to_string(), driver, 1);
        let mut caller = Caller::new(&node);
        assert_eq!(caller.get(CHAT).status, 405);
        caller.send("POST /health HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(caller.answer().status, 405);
        caller.send("OPTIONS /v1/models HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(caller.answer_to(true).status, 204);
        assert_eq!(caller.get("/nowhere").status, 404);
        let page = caller.get("/metrics");
        for line in [
            format!(r#"http_requests_total{{path="{CHAT}",method="GET",status="405"}} 1"#),
            r#"http_requests_total{path="/health",method="POST",status="405"} 1"#.to_owned(),
            r#"http_requests_total{path="/v1/models",method="OPTIONS",status="204"} 1"#.to_owned(),
            r#"http_requests_total{path="other",method="GET",status="404"} 1"#.to_owned(),
        ] {
            assert!(page.text().lines().any(|found| found == line), "{line} in {}", page.text());
        }
        // Nobody asked a model for anything.
        let asked = page.text().lines().filter(|line| line.starts_with("bifrost_upstream_requests_total{"));
        assert_eq!(asked.count(), 0);
    });
}

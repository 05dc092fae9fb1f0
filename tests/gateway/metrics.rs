//! `/metrics` after known traffic: names, labels, and one count for each request.

use crate::caller::{Caller, request};
use crate::setup::{
    ANSWER, ASK, ASK_STREAM, CHAT, OPENAI_CHAT, STREAM_HEAD, answer, chunk, config, event, ok, on_both,
};
use crate::support::node::Node;
use crate::support::upstream::{Line, Upstream};

/// The page, line by line.
fn page(node: &Node) -> Vec<String> {
    let answer = Caller::new(node).get("/metrics");
    assert_eq!(answer.value("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    answer.text().lines().map(str::to_owned).collect()
}

/// The sum of this metric's values over label sets that hold all of these.
fn sum(page: &[String], name: &str, labels: &[&str]) -> f64 {
    let of_name = page.iter().filter_map(|line| line.strip_prefix(name));
    let of_name = of_name.filter(|rest| rest.starts_with('{') || rest.starts_with(' '));
    let wanted = of_name.filter(|rest| labels.iter().all(|label| rest.contains(label)));
    wanted.map(|rest| rest.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// An answer for each word that stands in a request.
fn answer_by_word(line: &mut Line) {
    let stream =
        |events: &str| [STREAM_HEAD.as_bytes(), &chunk(event("a")), &chunk(events), b"0\r\n\r\n"].concat();
    while let Some(request) = line.receive() {
        line.send(match request.text() {
            text if text.contains("limited") => answer(429, "", r#"{"error":{"message":"slow"}}"#),
            text if text.contains("failing") => stream("data: {\"error\":{\"message\":\"no\"}}\n\n"),
            text if text.contains("\"stream\"") => stream(
                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":20,\"total_tokens\":30}}\n\ndata: [DONE]\n\n",
            ),
            text if text.contains("again") && line.number == 0 => return,
            _ => ok(ANSWER),
        });
    }
}

/// 8 requests to a model, 3 of them streams, and 4 others.
fn traffic(node: &Node) {
    let mut caller = Caller::new(node);
    (0..3).for_each(|_| assert_eq!(caller.post(CHAT, ASK).status, 200));
    assert_eq!(caller.post(CHAT, ASK.replace("hi", "limited")).status, 429);
    (0..2).for_each(|_| assert_eq!(caller.post(CHAT, ASK_STREAM).status, 200));
    assert_eq!(caller.post(OPENAI_CHAT, ASK_STREAM.replace("hi", "failing")).status, 200);
    // Sent twice, as the kept connection is dead; counted once.
    assert_eq!(caller.post(CHAT, ASK.replace("hi", "again")).status, 200);
    assert_eq!(caller.get("/v1/models?x=caller-words").status, 200);
    assert_eq!(caller.get("/caller-words").status, 404);
    assert_eq!(caller.get(CHAT).status, 405);
    let mut broken = Caller::new(node);
    broken.send("caller-words\r\n\r\n");
    assert_eq!(broken.answer().status, 400);
}

#[test]
fn each_request_counts_once_under_its_labels() {
    const LINES: [&str; 5] = [
        r#"http_requests_total{path="/v1/chat/completions",method="POST",status="200"} 6"#,
        r#"http_requests_total{path="/v1/chat/completions",method="POST",status="429"} 1"#,
        r#"http_requests_total{path="/openai/v1/chat/completions",method="POST",status="200"} 1"#,
        r#"http_requests_total{path="/v1/models",method="GET",status="200"} 1"#,
        r#"http_requests_total{path="other",method="other",status="400"} 1"#,
    ];
    const WHOLE: &[&str] = &[
        r#"provider="openai",model="gpt-4o",method="chat_completion","#,
        r#"selected_key_name="first""#,
        r#"fallback_index="0""#,
    ];
    const STREAMED: &[&str] = &[r#"provider="openai",model="gpt-4o",method="chat_completion_stream","#];
    const SUMS: [(&str, &[&str], f64); 16] = [
        ("http_requests_total", &[r#"status="404""#], 1.0),
        ("http_requests_total", &[r#"status="405""#], 1.0),
        ("http_requests_total", &[], 12.0),
        ("http_request_duration_seconds_count", &[], 12.0),
        ("bifrost_upstream_requests_total", WHOLE, 5.0),
        ("bifrost_upstream_requests_total", STREAMED, 3.0),
        ("bifrost_upstream_requests_total", &[], 8.0),
        ("bifrost_success_requests_total", WHOLE, 4.0),
        ("bifrost_success_requests_total", STREAMED, 2.0),
        ("bifrost_error_requests_total", &[r#"status_code="429",error_type="provider_rate_limited""#], 1.0),
        ("bifrost_error_requests_total", STREAMED, 1.0),
        ("bifrost_input_tokens_total", &[], 4.0 * 3.0 + 2.0 * 10.0),
        ("bifrost_output_tokens_total", &[], 4.0 * 4.0 + 2.0 * 20.0),
        ("bifrost_stream_first_token_latency_seconds_count", &[], 3.0),
        ("bifrost_upstream_latency_seconds_count", &[r#"is_success="true""#], 6.0),
        ("corelane_panics_total", &[], 0.0),
    ];
    on_both(|driver| {
        let upstream = Upstream::start(answer_by_word);
        let node = Node::start_on(&config(upstream.address).to_string(), driver, 1);
        traffic(&node);
        let page = page(&node);
        for line in LINES {
            assert!(page.iter().any(|found| found == line), "{line}\nnot in\n{}", page.join("\n"));
        }
        for (name, labels, expected) in SUMS {
            let found = sum(&page, name, labels);
            assert!((found - expected).abs() < 0.5, "{name} {labels:?}: {found}, not {expected}");
        }
        assert!(sum(&page, "corelane_connections_accepted_total", &[]) >= 3.0);
        assert!(page.iter().any(|line| line.contains(&format!("driver=\"{driver}\""))));
        assert!(!page.iter().any(|line| line.contains("caller-words")));
    });
}

#[test]
fn a_caller_names_no_label() {
    const NAMES: usize = 1500;
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while let Some(request) = line.receive() {
                let known = request.text().contains("real-");
                line.send(if known { ok(ANSWER) } else { answer(404, "", r#"{"error":{"message":"no"}}"#) });
            }
        });
        let mut config = config(upstream.address);
        config["providers"]["anthropic"]["keys"][0]["models"] = serde_json::json!(["*"]);
        config["providers"]["openai"]["keys"][0]["models"] = serde_json::json!(["*"]);
        let node = Node::start_on(&config.to_string(), driver, 1);
        let mut caller = Caller::new(&node);
        // No provider lists these, and this one knows none of them.
        for prefix in ["unheard-", "openai/unheard-"] {
            let asked: Vec<u8> = (0..NAMES)
                .flat_map(|number| request(CHAT, "", format!(r#"{{"model":"{prefix}{number}"}}"#)))
                .collect();
            let (statuses, expected) = (&mut Vec::new(), if prefix.contains('/') { 404 } else { 400 });
            for batch in asked.chunks(20_000) {
                caller.send(batch);
            }
            (0..NAMES).for_each(|_| statuses.push(caller.answer().status));
            assert!(statuses.iter().all(|status| *status == expected));
        }
        let lines = page(&node);
        assert!(!lines.iter().any(|line| line.contains("unheard")));
        assert_eq!(sum(&lines, "bifrost_upstream_requests_total", &[r#"model="other""#]), 2.0 * 1500.0);
        // These it answers, so that each is named until the sets are full.
        for number in 0..NAMES {
            assert_eq!(caller.post(CHAT, format!(r#"{{"model":"openai/real-{number}"}}"#)).status, 200);
        }
        let lines = page(&node);
        let sets = lines.iter().filter(|line| line.starts_with("bifrost_upstream_requests_total{")).count();
        assert!((500..=1000).contains(&sets), "{sets}");
        assert_eq!(sum(&lines, "bifrost_upstream_requests_total", &[]), 3.0 * 1500.0);
    });
}

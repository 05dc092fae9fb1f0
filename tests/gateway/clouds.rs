//! Azure and Vertex, against a scripted provider: which path a key asks at and by which credential, Claude on both, what Azure
//! filters and says of it, Google's errors for Anthropic's callers, and the paths of both vendors' SDKs.

use serde_json::{Value, json};

use crate::caller::{Answer, Caller, request};
use crate::setup::{ANSWER, CHAT, MESSAGES, STREAM_HEAD, answer, chunk, ok, on_both};
use crate::support::node::Node;
use crate::support::upstream::{Received, Upstream};

const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"ho"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":4}}"#;
const CONTENT: &str = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"ho"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4,"totalTokenCount":7},"modelVersion":"gemini-2.5-pro","responseId":"r"}"#;
const HI: &str = r#""messages":[{"role":"user","content":"hi"}]"#;
const KEY: &str = "a-key-of-the-cloud";

/// One key of each cloud.
fn node(upstream: &Upstream, driver: &str, (version, region): (&str, &str)) -> Node {
    let place = format!("http://{}", upstream.address);
    let azure = json!({ "endpoint": format!("{place}/openai/v1/"), "api_version": version,
        "deployments": { "gpt-4o": "my-gpt", "claude-sonnet-4-5": "my-sonnet" } });
    let key = |name: &str, section: &str, value: Value| {
        let mut key = json!({ "name": name, "value": KEY, "models": ["*"], "use_for_batch_api": true });
        key[section] = value;
        json!([key])
    };
    let vertex = match region {
        "" => json!({}),
        region => json!({ "project_id": "my-project", "region": region }),
    };
    let providers = json!({
        "azure": { "keys": key("a", "azure_key_config", azure) },
        "vertex": {
            "keys": key("v", "vertex_key_config", vertex), "network_config": { "base_url": place.as_str() }
        }
    });
    Node::start(&json!({ "providers": providers }).to_string(), driver)
}

fn body_of(seen: &Received) -> Value {
    serde_json::from_str(seen.text()).unwrap()
}

fn first_line(seen: &Received) -> &str {
    seen.head.lines().next().unwrap_or_default()
}

#[test]
fn a_deployment_is_asked_for_by_the_keys_version() {
    on_both(|driver| {
        for (version, path) in [
            ("", "/openai/v1/chat/completions"),
            ("latest", "/openai/v1/chat/completions?api-version=latest"),
            ("2024-10-21", "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"),
        ] {
            let upstream = Upstream::answering(ok(ANSWER));
            let node = node(&upstream, driver, (version, "global"));
            let mut caller = Caller::new(&node);
            let body = format!(r#"{{"x" : 1.50,"model":"azure/gpt-4o",{HI}}}"#);
            let answered = caller.post("/v1/chat/completions?api-version=2020-01-01", &body);
            assert_eq!((answered.status, answered.text()), (200, ANSWER));
            let seen = upstream.last();
            assert_eq!(first_line(&seen), format!("POST {path} HTTP/1.1"));
            assert_eq!(seen.value("api-key"), KEY);
            assert!(!seen.head.to_lowercase().contains("authorization"), "{}", seen.head);
            assert_eq!(seen.text(), body.replace("azure/gpt-4o", "my-gpt"));
        }
    });
}

#[test]
fn the_path_of_a_deployment_counts() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver, ("2024-10-21", "global"));
        let mut caller = Caller::new(&node);
        let path = "/openai/deployments/gpt-4o/chat/completions?api-version=2023-05-15";
        for (body, expected) in [
            (format!("{{{HI}}}"), format!(r#"{{"model":"my-gpt",{HI}}}"#)),
            (format!(r#"{{{HI},"model":"gpt-4o"}}"#), format!(r#"{{{HI},"model":"my-gpt"}}"#)),
            (
                format!(r#"{{"model":"another","fallbacks":[],{HI}}}"#),
                format!(r#"{{"model":"my-gpt",{HI}}}"#),
            ),
            (format!(r#"{{"model":"my-gpt",{HI}}}"#), format!(r#"{{"model":"my-gpt",{HI}}}"#)),
            (r#"{"fallbacks":[]}"#.to_owned(), r#"{"model":"my-gpt"}"#.to_owned()),
        ] {
            let answered = caller.post(path, &body);
            assert_eq!(answered.status, 200, "{}", answered.text());
            let seen = upstream.last();
            assert!(first_line(&seen).ends_with("my-gpt/chat/completions?api-version=2024-10-21 HTTP/1.1"));
            assert_eq!(seen.text(), expected);
        }
        // Another provider's model may stand there, as a model's name.
        let answered =
            caller.post("/openai/deployments/vertex%2Fgemini-2.5-pro/embeddings", r#"{"input":"a"}"#);
        assert_eq!((answered.status, answered.code()), (400, "provider_not_supported".to_owned()));
        let answered =
            caller.post("/openai/deployments/claude-sonnet-4-5/chat/completions", format!("{{{HI}}}"));
        assert_eq!(answered.status, 502, "the provider's answer is none of Anthropic's: {}", answered.text());
        assert_eq!(body_of(&upstream.last())["model"], "my-sonnet");
        // A name with a slash that is no provider's is the deployment's.
        caller.post("/openai/deployments/no%2Fbody/chat/completions", format!("{{{HI}}}"));
        assert!(first_line(&upstream.last()).contains("/deployments/no%2Fbody/chat/"), "{driver}");
    });
}

/// What Azure sends first, and with each piece: what its filters found.
fn filtered() -> String {
    let filters = r#"{"hate":{"filtered":false,"severity":"safe"}}"#;
    let chunks = [
        format!(
            r#"{{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{{"prompt_index":0,"content_filter_results":{filters}}}]}}"#
        ),
        r#"{"choices":[{"content_filter_results":{},"delta":{"content":"","role":"assistant"},"finish_reason":null,"index":0}],"id":"c1","model":"gpt-4o-2024-11-20","object":"chat.completion.chunk"}"#.to_owned(),
        format!(
            r#"{{"choices":[{{"content_filter_results":{filters},"delta":{{"content":"ho"}},"finish_reason":null,"index":0}}],"id":"c1","model":"gpt-4o-2024-11-20","object":"chat.completion.chunk"}}"#
        ),
        r#"{"choices":[{"content_filter_results":{},"delta":{},"finish_reason":"stop","index":0}],"id":"c1","model":"gpt-4o-2024-11-20","object":"chat.completion.chunk"}"#.to_owned(),
        r#"{"choices":[],"id":"c1","model":"gpt-4o-2024-11-20","usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#.to_owned(),
        "[DONE]".to_owned(),
    ];
    chunks.map(|chunk| format!("data: {chunk}\n\n")).concat()
}

fn streamed(events: &str) -> Vec<u8> {
    let chunks = events.as_bytes().chunks(61).flat_map(chunk);
    [STREAM_HEAD.as_bytes().to_vec(), chunks.collect(), b"0\r\n\r\n".to_vec()].concat()
}

#[test]
fn what_azure_filters_passes_to_its_own_callers_and_is_no_content_to_others() {
    on_both(|driver| {
        let upstream = Upstream::answering(streamed(&filtered()));
        let node = node(&upstream, driver, ("", "global"));
        let mut caller = Caller::new(&node);
        let ask = r#""stream":true,"stream_options":{"include_usage":true}"#;
        let answered = caller.post(CHAT, format!(r#"{{"model":"azure/gpt-4o",{HI},{ask}}}"#));
        assert!(answered.is_whole && answered.text() == filtered(), "{}", answered.text());
        let messages = format!(r#"{{"model":"azure/gpt-4o","max_tokens":9,{HI},"stream":true}}"#);
        let answered = caller.post(MESSAGES, messages);
        let text = answered.text();
        assert!(text.contains(r#""id":"c1""#) && text.contains(r#""text":"ho""#), "{text}");
        assert!(text.contains(r#""model":"gpt-4o-2024-11-20""#) && text.contains("message_stop"), "{text}");
        let body = r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}"#;
        let path = "/genai/v1beta/models/azure%2Fgpt-4o:streamGenerateContent?alt=sse";
        let answered = caller.post(path, body);
        assert!(answered.text().contains(r#""text":"ho""#), "{}", answered.text());
        assert!(answered.text().contains(r#""totalTokenCount":7"#), "{}", answered.text());
    });
}

#[test]
fn a_refused_prompt_is_the_callers_fault_in_its_own_words() {
    on_both(|driver| {
        let said = r#"{"error":{"message":"The response was filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#;
        let upstream = Upstream::answering(answer(400, "content-type: application/json\r\n", said));
        let node = node(&upstream, driver, ("", "global"));
        let mut caller = Caller::new(&node);
        let path = "/openai/deployments/gpt-4o/chat/completions";
        let answered = caller.post(path, format!("{{{HI}}}"));
        assert_eq!((answered.status, answered.text()), (400, said));
        let answered = caller.post(MESSAGES, format!(r#"{{"model":"azure/gpt-4o","max_tokens":9,{HI}}}"#));
        let error = &answered.json()["error"];
        assert_eq!((answered.status, &error["type"]), (400, &json!("invalid_request_error")));
        assert_eq!(error["message"], "The response was filtered");
    });
}

#[test]
fn claude_on_azure_is_asked_by_anthropics_own_api() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(MESSAGE));
        let node = node(&upstream, driver, ("2024-10-21", "global"));
        let mut caller = Caller::new(&node);
        let body = format!(r#"{{"model":"azure/claude-sonnet-4-5","max_tokens":9,{HI},"odd":1.0}}"#);
        let answered = caller.post(MESSAGES, &body);
        assert_eq!((answered.status, answered.text()), (200, MESSAGE));
        let seen = upstream.last();
        assert_eq!(first_line(&seen), "POST /anthropic/v1/messages HTTP/1.1");
        assert_eq!((seen.value("x-api-key"), seen.value("anthropic-version")), (KEY, "2023-06-01"));
        assert_eq!(seen.text(), body.replace("azure/claude-sonnet-4-5", "my-sonnet"));
        let answered = caller.post(CHAT, format!(r#"{{"model":"azure/claude-sonnet-4-5",{HI}}}"#));
        assert_eq!(answered.json()["choices"][0]["message"]["content"], "ho");
        assert_eq!(body_of(&upstream.last())["model"], "my-sonnet");
    });
}

fn anthropic_events() -> String {
    let events = [
        ("message_start", MESSAGE.replace(r#"[{"type":"text","text":"ho"}]"#, "[]")),
        ("content_block_start", r#"{"index":0,"content_block":{"type":"text","text":""}}"#.to_owned()),
        ("content_block_delta", r#"{"index":0,"delta":{"type":"text_delta","text":"ho"}}"#.to_owned()),
        ("content_block_stop", r#"{"index":0}"#.to_owned()),
        ("message_delta", r#"{"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":4}}"#.to_owned()),
        ("message_stop", "{}".to_owned()),
    ];
    let event = |(name, data): &(&str, String)| {
        let data = match *name {
            "message_start" => {
                json!({ "type": name, "message": serde_json::from_str::<Value>(data).unwrap() })
            }
            _ => {
                let mut data: Value = serde_json::from_str(data).unwrap();
                data["type"] = json!(name);
                data
            }
        };
        format!("event: {name}\ndata: {data}\n\n")
    };
    events.iter().map(event).collect()
}

#[test]
fn claude_on_vertex_has_its_model_in_the_path_and_its_version_in_the_body() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while let Some(request) = line.receive() {
                let is_stream = request.text().contains("\"stream\":true");
                line.send(if is_stream { streamed(&anthropic_events()) } else { ok(MESSAGE) });
            }
        });
        let node = node(&upstream, driver, ("", "us-east5"));
        let mut caller = Caller::new(&node);
        let front = "/v1/projects/my-project/locations/us-east5/publishers/anthropic/models";
        let version = r#""anthropic_version":"vertex-2023-10-16""#;
        let model = "claude-sonnet-4-5@20250929";
        let name = format!(r#""model":"vertex/{model}""#);
        let wire = "claude-sonnet-4-5%4020250929";
        for (body, expected, method) in [
            (
                format!(r#"{{{name},"max_tokens":9,{HI}}}"#),
                format!(r#"{{{version},"max_tokens":9,{HI}}}"#),
                "rawPredict",
            ),
            (
                format!(
                    r#"{{"fallbacks":[],{HI}, "mod\u0065l" : "vertex/anthropic/{model}","max_tokens":9,"stream":true}}"#
                ),
                format!(r#"{{{HI}, {version},"max_tokens":9,"stream":true}}"#),
                "streamRawPredict",
            ),
        ] {
            caller.send(request(
                MESSAGES,
                "anthropic-version: 2023-06-01\r\nanthropic-beta: context-1m\r\n",
                &body,
            ));
            let answered = caller.answer();
            assert_eq!(answered.status, 200, "{}", answered.text());
            let whole = if method == "rawPredict" { MESSAGE.to_owned() } else { anthropic_events() };
            assert_eq!(answered.text(), whole);
            let seen = upstream.last();
            assert_eq!(first_line(&seen), format!("POST {front}/{wire}:{method} HTTP/1.1"));
            assert_eq!((seen.value("x-goog-api-key"), seen.value("anthropic-beta")), (KEY, "context-1m"));
            assert!(!seen.head.to_lowercase().contains("anthropic-version"), "{}", seen.head);
            assert_eq!(seen.text(), expected);
        }
        for stream in [false, true] {
            let body = format!(r#"{{"model":"vertex/{model}",{HI},"stream":{stream}}}"#);
            let answered = caller.post(CHAT, body);
            assert!(answered.text().contains(r#""content":"ho""#), "{}", answered.text());
            let seen = upstream.last();
            assert!(seen.text().starts_with(&format!("{{{version},")) && !seen.text().contains("\"model\""));
            assert_eq!(first_line(&seen).contains("streamRawPredict"), stream);
        }
        let count = format!(r#"{{{name},{HI}}}"#);
        caller.post("/anthropic/v1/messages/count_tokens", count);
        let seen = upstream.last();
        assert_eq!(first_line(&seen), format!("POST {front}/count-tokens:rawPredict HTTP/1.1"));
        assert_eq!(seen.text(), format!(r#"{{{version},"model":"{model}",{HI}}}"#));
        let own = format!(r#"{{{name},"anthropic_version":"x","max_tokens":9,{HI}}}"#);
        let answered = caller.post(MESSAGES, own);
        assert_eq!(
            (answered.status, &answered.json()["error"]["type"]),
            (400, &json!("invalid_request_error"))
        );
    });
}

#[test]
fn googles_errors_are_anthropics_to_its_callers() {
    on_both(|driver| {
        let google = r#"[{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED"}}]"#;
        let own =
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: needed"}}"#;
        for (status, said, kind, message) in [
            (429, google, "rate_limit_error", "Quota exceeded"),
            (400, own, "invalid_request_error", "max_tokens: needed"),
        ] {
            let upstream = Upstream::answering(answer(
                status,
                "content-type: application/json; charset=UTF-8\r\n",
                said,
            ));
            let node = node(&upstream, driver, ("", "global"));
            let body = format!(r#"{{"model":"vertex/claude-opus-4-1","max_tokens":9,{HI}}}"#);
            let answered = Caller::new(&node).post(MESSAGES, body);
            let error = answered.json();
            assert_eq!((answered.status, &error["type"]), (status, &json!("error")), "{error}");
            assert_eq!(
                (&error["error"]["type"], &error["error"]["message"]),
                (&json!(kind), &json!(message))
            );
        }
    });
}

#[test]
fn gemini_on_vertex_stands_in_a_project_or_nowhere() {
    on_both(|driver| {
        for (region, front) in
            [("eu", "/v1/projects/my-project/locations/eu/publishers"), ("", "/v1/publishers")]
        {
            let upstream = Upstream::start(|line| {
                while let Some(request) = line.receive() {
                    let is_stream = request.head.contains("alt=sse");
                    line.send(if is_stream {
                        streamed(&format!("data: {CONTENT}\r\n\r\n"))
                    } else {
                        ok(CONTENT)
                    });
                }
            });
            let node = node(&upstream, driver, ("", region));
            let mut caller = Caller::new(&node);
            let body = r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"labels":{"a":"b"}}"#;
            for (path, method) in [
                ("/genai/v1beta/models/vertex%2Fgemini-2.5-pro:generateContent", "generateContent"),
                (
                    "/genai/v1beta1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:generateContent",
                    "generateContent",
                ),
                (
                    "/genai/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
                    "streamGenerateContent?alt=sse",
                ),
                (
                    "/genai/v1beta1/publishers/google/models/gemini-2.5-pro:countTokens?key=mine",
                    "countTokens",
                ),
            ] {
                let answered = caller.post(path, body);
                assert_eq!(answered.status, 200, "{}", answered.text());
                assert!(answered.text().contains(CONTENT), "{}", answered.text());
                let seen = upstream.last();
                assert_eq!(
                    first_line(&seen),
                    format!("POST {front}/google/models/gemini-2.5-pro:{method} HTTP/1.1")
                );
                assert_eq!((seen.value("x-goog-api-key"), seen.text()), (KEY, body));
            }
            for stream in [false, true] {
                let ask = format!(r#"{{"model":"vertex/google/gemini-2.5-pro",{HI},"stream":{stream}}}"#);
                let answered = caller.post(CHAT, ask);
                assert!(answered.text().contains(r#""content":"ho""#), "{}", answered.text());
                assert!(first_line(&upstream.last()).contains("/google/models/gemini-2.5-pro:"));
            }
        }
    });
}

#[test]
fn what_a_cloud_has_not_is_refused_before_it_is_asked() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = node(&upstream, driver, ("2024-10-21", ""));
        let mut caller = Caller::new(&node);
        let refused = |answered: Answer| {
            assert_eq!((answered.status, answered.code()), (400, "provider_not_supported".to_owned()));
            answered.json()["error"]["message"].as_str().unwrap().to_owned()
        };
        let chat = |model: &str| format!(r#"{{"model":"{model}",{HI}}}"#);
        for (path, body, words) in [
            (CHAT, chat("vertex/meta/llama-4"), "another publisher's"),
            (CHAT, chat("vertex/4711"), "a tuned model"),
            // By an API key alone there is no Claude.
            (CHAT, chat("vertex/claude-opus-4-1"), "no key that may serve"),
            ("/v1/embeddings", r#"{"model":"vertex/text-embedding-005","input":"a"}"#.to_owned(), "vertex"),
            ("/v1/moderations", r#"{"model":"azure/m","input":"a"}"#.to_owned(), "azure"),
            (
                "/v1/embeddings",
                r#"{"model":"azure/claude-x","input":"a"}"#.to_owned(),
                "no key that may serve",
            ),
        ] {
            let message = refused(caller.post(path, body));
            assert!(message.contains(words), "{message}");
        }
        // A dated version without responses: they are made of a conversation.
        let answered = caller.post("/v1/responses", r#"{"model":"azure/gpt-4o","input":"hi"}"#);
        assert_eq!(answered.status, 200, "{}", answered.text());
        assert!(first_line(&upstream.last()).contains("/deployments/my-gpt/chat/completions?"));
        assert_eq!(upstream.requests().len(), 1);
    });
}

const TYPE: &str = "content-type: multipart/form-data; boundary=x-y\r\n";

fn posted(caller: &mut Caller, path: &str, body: &str) -> Answer {
    let length = body.len();
    caller
        .send(format!("POST {path} HTTP/1.1\r\nhost: test\r\n{TYPE}content-length: {length}\r\n\r\n{body}"));
    caller.answer()
}

#[test]
fn a_form_names_the_paths_deployment_or_is_given_it() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(r#"{"text":"hello"}"#));
        let node = node(&upstream, driver, ("2024-10-21", "global"));
        let mut caller = Caller::new(&node);
        let field = |name: &str, value: &str| {
            format!("--x-y\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let file = "--x-y\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n--x-y--\r\n";
        let path = "/openai/deployments/gpt-4o/audio/transcriptions?api-version=2024-06-01";
        let expected = format!("{}{file}", field("model", "my-gpt"));
        for body in [format!("{}{file}", field("model", "gpt-4o")), file.to_owned()] {
            let answered = posted(&mut caller, path, &body);
            assert_eq!(answered.status, 200, "{}", answered.text());
            let seen = upstream.last();
            assert_eq!(
                first_line(&seen),
                "POST /openai/deployments/my-gpt/audio/transcriptions?api-version=2024-10-21 HTTP/1.1"
            );
            assert_eq!(seen.text(), expected);
        }
        let answered = posted(&mut caller, path, &format!("{}{file}", field("model", "another")));
        assert_eq!((answered.status, &answered.json()["error"]["param"]), (400, &json!("model")));
        assert_eq!(upstream.requests().len(), 2);
    });
}

#[test]
fn azures_files_and_batches_go_by_the_key_that_made_them() {
    on_both(|driver| {
        for (version, front, query) in
            [("", "/openai/v1", ""), ("2024-10-21", "/openai", "api-version=2024-10-21")]
        {
            let upstream = Upstream::answering(ok(r#"{"id":"file-1","object":"file","purpose":"batch"}"#));
            let node = node(&upstream, driver, (version, "global"));
            let mut caller = Caller::new(&node);
            let file = "--x-y\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n{}\r\n--x-y--\r\n";
            let made = posted(&mut caller, "/openai/files?api-version=2023-01-01", file);
            let id = made.json()["id"].as_str().unwrap().to_owned();
            assert!(id.starts_with("file-1~"), "{id}");
            let question = |query: &str| if query.is_empty() { String::new() } else { format!("?{query}") };
            let line = |method: &str, rest: &str| format!("{method} {front}{rest} HTTP/1.1");
            assert_eq!(first_line(&upstream.last()), line("POST", &format!("/files{}", question(query))));
            caller.get(&format!("/openai/files/{id}/content?api-version=2023-01-01"));
            assert_eq!(
                first_line(&upstream.last()),
                line("GET", &format!("/files/file-1/content{}", question(query)))
            );
            let body =
                json!({ "input_file_id": id, "endpoint": "/chat/completions", "completion_window": "24h" });
            caller.post("/openai/batches?api-version=2023-01-01", body.to_string());
            let seen = upstream.last();
            assert_eq!(first_line(&seen), line("POST", &format!("/batches{}", question(query))));
            assert_eq!((&body_of(&seen)["input_file_id"], seen.value("api-key")), (&json!("file-1"), KEY));
            caller.get("/openai/batches?provider=azure&limit=2");
            let joined = if query.is_empty() { "?limit=2".to_owned() } else { format!("?{query}&limit=2") };
            assert_eq!(first_line(&upstream.last()), line("GET", &format!("/batches{joined}")));
        }
    });
}

#[test]
fn of_keys_of_several_versions_those_are_drawn_that_have_the_operation() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(
            r#"{"id":"resp_1","object":"response","output":[],"status":"completed"}"#,
        ));
        let endpoint = format!("http://{}", upstream.address);
        let key = |name: &str, version: &str| {
            json!({ "name": name, "value": KEY, "models": ["*"],
                "azure_key_config": { "endpoint": endpoint.as_str(), "api_version": version } })
        };
        let keys = json!([key("old", "2024-10-21"), key("new", "v1")]);
        let config = json!({ "providers": { "azure": { "keys": keys } } });
        let node = Node::start(&config.to_string(), driver);
        let mut caller = Caller::new(&node);
        // Only the new one has counts.
        for _ in 0..8 {
            let answered =
                caller.post("/v1/responses/input_tokens", r#"{"model":"azure/gpt-4o","input":"hi"}"#);
            assert_eq!(answered.value("x-corelane-key"), Some("new"), "{}", answered.text());
        }
        // So are responses as they are, rather than made of a conversation, but for who wants that key.
        for _ in 0..8 {
            let answered = caller.post("/v1/responses", r#"{"model":"azure/gpt-4o","input":"hi"}"#);
            assert_eq!(answered.value("x-corelane-key"), Some("new"), "{}", answered.text());
        }
        let fields = "x-bf-api-key: old\r\n";
        caller.send(request("/v1/responses", fields, r#"{"model":"azure/gpt-4o","input":"hi"}"#));
        assert_eq!(caller.answer().status, 502, "the provider's answer is none of a conversation");

        caller.send(request(
            "/v1/responses/input_tokens",
            fields,
            r#"{"model":"azure/gpt-4o","input":"hi"}"#,
        ));
        assert_eq!(caller.answer().status, 400);
    });
}

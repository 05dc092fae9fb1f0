//! Gemini's API on either side: its callers, whose paths name the model, and the provider `gemini` for everybody. What is
//! native crosses untouched, as a whole, as events and as one JSON array.

use serde_json::{Value, json};

use crate::caller::{Answer, Caller, request};
use crate::client_ip::{logged, rows};
use crate::setup::{ANSWER, CHAT, MESSAGES, STREAM_HEAD, answer, chunk, ok, on_both};
use crate::support::node::Node;
use crate::support::upstream::{Line, Received, Upstream};

const KEY: &str = "AIzaSy-under-test";
const ASK: &str = r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"temperature":0.70},"unknown":{"b":1,"a":12345678901234567890123}}"#;
const WHOLE: &str = r#"{"candidates":[{"content":{"parts":[{"text":"ho"},{"functionCall":{"name":"f","args":{"a": 1}}}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4,"totalTokenCount":9,"thoughtsTokenCount":2,"promptTokensDetails":[{"modality":"TEXT","tokenCount":3}]},"modelVersion":"gemini-2.5-flash","responseId":"r1"}"#;
const STEPS: [&str; 2] = [
    r#"{"candidates":[{"content":{"parts":[{"text":"o"}],"role":"model"},"index":0}],"responseId":"r1"}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":"ne"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4,"totalTokenCount":7},"responseId":"r1"}"#,
];

fn events(steps: &[&str]) -> String {
    steps.iter().map(|step| format!("data: {step}\r\n\r\n")).collect()
}

fn send_stream(line: &mut Line, steps: &[&str]) {
    line.send(STREAM_HEAD);
    for step in steps {
        line.send(chunk(events(&[step])));
    }
    line.send("0\r\n\r\n");
}

fn target(request: &Received) -> &str {
    request.head.split(' ').nth(1).unwrap_or_default()
}

/// Google, as its methods answer.
fn google() -> Upstream {
    Upstream::start(|line| {
        while let Some(request) = line.receive() {
            let target = target(&request).to_owned();
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            match path.rsplit_once(':').map_or("", |(_, method)| method) {
                "streamGenerateContent" if query == "alt=sse" => send_stream(line, &STEPS),
                "generateContent" => line.send(ok(WHOLE)),
                "countTokens" => line.send(ok(r#"{"totalTokens":31}"#)),
                "embedContent" => line.send(ok(r#"{"embedding":{"values":[0.10,-2e-3]}}"#)),
                "batchEmbedContents" => line.send(ok(r#"{"embeddings":[{"values":[0.1]}]}"#)),
                _ if path == "/v1beta/models" => line.send(ok(
                    r#"{"models":[{"name":"models/gemini-2.5-flash","displayName":"x"},{"name":"models/other"}]}"#,
                )),
                _ => line.send(ok(ANSWER)),
            }
        }
    })
}

fn config(upstream: &Upstream) -> Value {
    let network = |path: &str| json!({ "base_url": format!("http://{}{path}", upstream.address) });
    json!({ "providers": {
        "gemini": {
            "keys": [{ "name": "g", "value": KEY, "models": ["*"],
                "aliases": { "fast": "gemini-2.5-flash", "house/fast": "gemini-2.5-flash" } }],
            "network_config": network("/v1beta/")
        },
        "openai": {
            "keys": [{ "name": "o", "value": "sk-openai", "models": ["*"] }],
            "network_config": network("")
        },
        "anthropic": {
            "keys": [{ "name": "a", "value": "sk-ant", "models": ["claude-x"] }],
            "network_config": network("")
        }
    } })
}

fn post(caller: &mut Caller, path: &str, body: impl AsRef<[u8]>) -> Answer {
    caller.post(&format!("/genai/v1beta/models/{path}"), body)
}

#[test]
fn what_is_native_passes_untouched_to_its_method() {
    on_both(|driver| {
        let upstream = google();
        let node = Node::start(&logged(config(&upstream)).to_string(), driver);
        let mut caller = Caller::new(&node);
        for (prefix, path, wire) in [
            ("/genai/v1beta", "gemini-2.5-flash:generateContent", "gemini-2.5-flash:generateContent"),
            ("/genai/v1", "gemini/gemini-2.5-flash:generateContent", "gemini-2.5-flash:generateContent"),
            ("/litellm/genai/v1beta", "fast:generateContent", "gemini-2.5-flash:generateContent"),
            ("/langchain/genai/v1", "house/fast:generateContent", "gemini-2.5-flash:generateContent"),
            ("/genai/v1beta", "a%2Fb:c:generateContent", "a%2Fb%3Ac:generateContent"),
        ] {
            let answer = caller.post(&format!("{prefix}/models/{path}?key=the-callers"), ASK);
            assert_eq!((answer.status, answer.text()), (200, WHOLE), "{path}");
            let received = upstream.last();
            assert_eq!(target(&received), format!("/v1beta/models/{wire}"), "{path}");
            assert_eq!(received.text(), ASK);
            assert_eq!(received.value("x-goog-api-key"), KEY);
        }
    });
}

#[test]
fn no_credential_of_a_caller_is_forwarded() {
    on_both(|driver| {
        let upstream = google();
        let mut node = Node::start(&logged(config(&upstream)).to_string(), driver);
        let mut caller = Caller::new(&node);
        let fields = "x-goog-api-key: the-callers\r\nauthorization: Bearer the-callers\r\nx-goog-api-client: google-genai-sdk/1\r\n";
        for path in ["m:generateContent?key=the-callers", "m:streamGenerateContent?alt=sse&key=the-callers"] {
            caller.send(request(&format!("/genai/v1beta/models/{path}"), fields, ASK));
            assert_eq!(caller.answer().status, 200);
            let received = upstream.last();
            assert!(!format!("{}{}", received.head, received.text()).contains("the-callers"), "{received:?}");
            assert_eq!(received.values("x-goog-api-key"), [KEY]);
            assert_eq!(received.value("x-goog-api-client"), "google-genai-sdk/1");
        }
        caller.send(request(
            CHAT,
            fields,
            r#"{"model":"gemini/m","messages":[{"role":"user","content":"x"}]}"#,
        ));
        assert_eq!(caller.answer().status, 200);
        assert!(upstream.last().values("x-goog-api-client").is_empty());
        let query = "SELECT coalesce(input_history, '') || coalesce(params, '') || model FROM logs";
        assert!(rows(&mut node, query).iter().all(|row| !row.contains("the-callers")));
    });
}

#[test]
fn a_stream_comes_as_events_or_as_one_array() {
    on_both(|driver| {
        let upstream = google();
        let node = Node::start(&config(&upstream).to_string(), driver);
        let mut caller = Caller::new(&node);
        let answer = post(&mut caller, "m:streamGenerateContent?alt=sse", ASK);
        assert_eq!((answer.status, answer.is_whole), (200, true));
        assert_eq!(answer.value("content-type"), Some("text/event-stream"));
        assert_eq!(answer.text(), events(&STEPS));
        for query in ["", "?alt=json", "?key=x"] {
            let answer = post(&mut caller, &format!("m:streamGenerateContent{query}"), ASK);
            assert_eq!((answer.status, answer.is_whole), (200, true));
            assert_eq!(answer.value("content-type"), Some("application/json"));
            assert_eq!(answer.text(), format!("[{}]", STEPS.join(",\n")));
            assert_eq!(target(&upstream.last()), "/v1beta/models/m:streamGenerateContent?alt=sse");
            assert_eq!(upstream.last().text(), ASK);
        }
    });
}

#[test]
fn a_stream_that_breaks_says_so_in_either_framing() {
    const ERROR: &str =
        r#"{"error":{"code":503,"message":"AIzaSy-under-test is over","status":"UNAVAILABLE"}}"#;
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while let Some(request) = line.receive() {
                match target(&request) {
                    path if path.contains("/cut:") => {
                        line.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n");
                        line.send(events(&STEPS[..1]));
                        return;
                    }
                    path if path.contains("/closed:") => {
                        line.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n");
                        line.send(events(&STEPS));
                        return;
                    }
                    path if path.contains("/busy:") => {
                        line.send(answer(429, "content-type: application/json\r\n", ERROR));
                    }
                    path if path.contains("/first:") => send_stream(line, &[ERROR]),
                    _ => send_stream(line, &[STEPS[0], ERROR]),
                }
            }
        });
        let node = Node::start(&config(&upstream).to_string(), driver);
        let stream = |model: &str, query: &str| {
            post(&mut Caller::new(&node), &format!("{model}:streamGenerateContent{query}"), ASK)
        };
        let array = stream("cut", "").json();
        assert_eq!(array[0], serde_json::from_str::<Value>(STEPS[0]).unwrap());
        assert_eq!(
            (&array[1]["error"]["code"], array.as_array().unwrap().len()),
            (&json!(502), 2),
            "{array}"
        );
        let sse = stream("cut", "?alt=sse");
        assert!(sse.text().contains("data: {\"error\":{\"code\":502,"), "{}", sse.text());
        assert_eq!(stream("closed", "").text(), format!("[{}]", STEPS.join(",\n")));
        assert_eq!(stream("closed", "?alt=sse").text(), events(&STEPS));
        let array = stream("later", "");
        assert!(!array.text().contains(KEY), "{}", array.text());
        assert_eq!(array.json()[1]["error"]["status"], "UNAVAILABLE");
        // Before the first element it is the answer: of an array's caller a list, as Google has it, of another the object.
        for (query, path) in [("", "/0/error/status"), ("?alt=sse", "/error/status")] {
            for (model, status) in [("first", 503), ("busy", 429)] {
                let answer = stream(model, query);
                let told = answer.json();
                assert_eq!((answer.status, told.pointer(path).is_some()), (status, true), "{told}");
                assert!(!answer.text().contains(KEY), "{}", answer.text());
            }
        }
        // So is a fault of ours.
        let wrong = r#"{"contents":[],"fallbacks":{}}"#;
        let ours = post(&mut Caller::new(&node), "m:streamGenerateContent", wrong);
        assert!(ours.status == 400 && ours.text().starts_with("[{\"error\":{"), "{}", ours.text());
    });
}

#[test]
fn where_a_body_names_the_model_again_it_is_the_paths() {
    on_both(|driver| {
        let upstream = google();
        let node = Node::start(&config(&upstream).to_string(), driver);
        let mut caller = Caller::new(&node);
        let batch = |models: &[&str]| {
            let one =
                |model: &&str| format!(r#"{{"model":"{model}","content":{{"parts":[{{"text":"a"}}]}}}}"#);
            format!(r#"{{"requests":[{}]}}"#, models.iter().map(one).collect::<Vec<_>>().join(", "))
        };
        for (path, body, expected) in [
            ("m:batchEmbedContents", batch(&["models/m", "m"]), batch(&["models/m", "m"])),
            (
                "gemini/m:batchEmbedContents",
                batch(&["models/gemini/m", "gemini/m"]),
                batch(&["models/m", "models/m"]),
            ),
            (
                "fast:embedContent",
                r#"{"model":"models/fast","content":{"parts":[]}}"#.to_owned(),
                r#"{"model":"models/gemini-2.5-flash","content":{"parts":[]}}"#.to_owned(),
            ),
            (
                "fast:countTokens",
                r#"{"fallbacks":[],"generateContentRequest":{"model":"models/fast","contents":[]}}"#
                    .to_owned(),
                r#"{"generateContentRequest":{"model":"models/gemini-2.5-flash","contents":[]}}"#.to_owned(),
            ),
        ] {
            let answer = post(&mut caller, path, &body);
            assert_eq!((answer.status, upstream.last().text()), (200, &*expected), "{path}");
        }
        let asked = upstream.requests().len();
        for (path, body, param) in [
            ("m:batchEmbedContents", batch(&["models/m", "models/n"]), "requests[1].model"),
            ("m:embedContent", r#"{"model":"models/n"}"#.to_owned(), "model"),
            ("m:generateContent", r#"{"model":7}"#.to_owned(), "model"),
            (
                "m:countTokens",
                r#"{"generateContentRequest":{"model":"n"}}"#.to_owned(),
                "generateContentRequest.model",
            ),
        ] {
            let answer = post(&mut caller, path, &body);
            let body = answer.json();
            assert_eq!(
                (answer.status, &body["error"]["status"]),
                (400, &json!("INVALID_ARGUMENT")),
                "{path}"
            );
            assert_eq!(body["error"]["details"][1]["fieldViolations"][0]["field"], param, "{body}");
        }
        assert_eq!(upstream.requests().len(), asked);
    });
}

#[test]
fn a_long_batch_is_read_off_the_core_and_sent_whole() {
    on_both(|driver| {
        let upstream = google();
        let node = Node::start(&config(&upstream).to_string(), driver);
        let text = "x".repeat(20_000);
        let body = |model: &str| {
            let one = json!({ "model": model, "content": { "parts": [{ "text": text }] } }).to_string();
            format!(r#"{{"requests":[{}]}}"#, vec![one; 40].join(","))
        };
        let answer = post(&mut Caller::new(&node), "fast:batchEmbedContents", body("models/fast"));
        assert_eq!(answer.status, 200);
        assert!(upstream.last().text() == body("models/gemini-2.5-flash"));
    });
}

#[test]
fn an_invalid_key_is_the_keys_fault_and_is_not_shown() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while let Some(request) = line.receive() {
                let key = request.value("x-goog-api-key").to_owned();
                let body = format!(
                    r#"{{"error":{{"code":400,"message":"API key not valid: {key}","status":"INVALID_ARGUMENT","details":[{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}}]}}}}"#
                );
                line.send(match key.as_str() {
                    "AIza-good" => ok(WHOLE),
                    _ => answer(400, "content-type: application/json; charset=UTF-8\r\n", body),
                });
            }
        });
        let mut both = config(&upstream);
        let key = |name: &str, value: &str| json!({ "name": name, "value": value, "models": ["*"] });
        both["providers"]["gemini"]["keys"] = json!([key("bad", "AIza-bad"), key("good", "AIza-good")]);
        let node = Node::start_on(&both.to_string(), driver, 1);
        let mut caller = Caller::new(&node);
        for _ in 0..6 {
            assert_eq!(post(&mut caller, "m:generateContent", ASK).status, 200);
        }
        let refused =
            upstream.requests().iter().filter(|one| one.value("x-goog-api-key") == "AIza-bad").count();
        assert!(refused <= 1, "it cools down: {refused}");
        let page = Caller::new(&node).get("/metrics").text().to_owned();
        let refusals = page.lines().filter(|line| line.contains("outcome=\"refused\""));
        assert_eq!(refusals.count(), refused, "{page}");
        let rotations = page.lines().filter(|line| line.contains("reason=\"credential\""));
        assert_eq!(rotations.count(), refused, "{page}");
        assert!(!page.contains("outcome=\"rejected\"") && !page.contains("reason=\"transient\""), "{page}");
        both["providers"]["gemini"]["keys"] = json!([key("bad", "AIza-bad")]);
        let node = Node::start_on(&both.to_string(), driver, 1);
        let answer = post(&mut Caller::new(&node), "m:generateContent", ASK);
        assert_eq!((answer.status, &answer.json()["error"]["status"]), (502, &json!("INTERNAL")));
        assert_eq!(answer.json()["error"]["details"][0]["reason"], "provider_credentials_exhausted");
        assert!(!answer.text().contains("AIza-bad"), "{}", answer.text());
    });
}

#[test]
fn errors_are_googles_whoever_makes_them() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while line.receive().is_some() {
                line.send(answer(
                    429,
                    "content-type: application/json; charset=UTF-8\r\nretry-after: 0\r\n",
                    r#"{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED","x":[1]}}"#,
                ));
            }
        });
        let node = Node::start(&config(&upstream).to_string(), driver);
        let mut caller = Caller::new(&node);
        let answer = post(&mut caller, "m:generateContent", ASK);
        assert_eq!(answer.status, 429);
        assert_eq!(
            answer.text(),
            r#"{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED","x":[1]}}"#
        );
        let openai = caller.post(CHAT, r#"{"model":"gemini/m","messages":[{"role":"user","content":"x"}]}"#);
        assert_eq!((openai.status, &openai.json()["error"]["message"]), (429, &json!("quota")));
        for (path, body, status, name) in [
            ("m:generateContent", "{", 400, "INVALID_ARGUMENT"),
            ("nobody/../m:generateContent", ASK, 404, "NOT_FOUND"),
            ("xai/grok:generateContent", ASK, 400, "INVALID_ARGUMENT"),
            ("m:predict", ASK, 405, "INVALID_ARGUMENT"),
            ("openai/m:countTokens", ASK, 400, "INVALID_ARGUMENT"),
        ] {
            let answer = post(&mut Caller::new(&node), path, body);
            let error = answer.json()["error"].clone();
            assert_eq!((answer.status, &error["code"]), (status, &json!(status)), "{path}: {error}");
            assert_eq!(error["status"], name, "{path}");
        }
    });
}

#[test]
fn other_callers_reach_gemini() {
    on_both(|driver| {
        let upstream = google();
        let node = Node::start(&config(&upstream).to_string(), driver);
        let mut caller = Caller::new(&node);
        let ask = json!({ "model": "gemini/fast", "messages": [{ "role": "user", "content": "hi" }], "temperature": 0.7 });
        let answer = caller.post(CHAT, ask.to_string());
        let body = answer.json();
        assert_eq!((answer.status, &body["choices"][0]["message"]["content"]), (200, &json!("ho")), "{body}");
        assert_eq!(body["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "f");
        assert_eq!(body["usage"]["total_tokens"], 9);
        let received = upstream.last();
        assert_eq!(target(&received), "/v1beta/models/gemini-2.5-flash:generateContent");
        assert_eq!(received.value("x-goog-api-key"), KEY);
        assert_eq!(
            serde_json::from_str::<Value>(received.text()).unwrap()["contents"][0]["parts"][0]["text"],
            "hi"
        );
        let mut stream = ask.clone();
        stream["stream"] = json!(true);
        let answer = caller.post(CHAT, stream.to_string());
        assert!(answer.text().contains(r#""content":"o""#) && answer.text().ends_with("data: [DONE]\n\n"));
        let messages = json!({ "model": "gemini/m", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] });
        let answer = caller.post(MESSAGES, messages.to_string());
        let body = answer.json();
        assert_eq!((answer.status, &body["content"][0]["text"]), (200, &json!("ho")), "{body}");
        assert_eq!(body["stop_reason"], "tool_use");
        let mut stream = messages.clone();
        stream["stream"] = json!(true);
        let answer = caller.post(MESSAGES, stream.to_string());
        assert!(answer.text().contains("event: message_stop"), "{}", answer.text());
        assert_eq!(target(&upstream.last()), "/v1beta/models/m:streamGenerateContent?alt=sse");
    });
}

#[test]
fn models_are_listed_in_googles_shape() {
    on_both(|driver| {
        let upstream = google();
        let node = Node::start(&config(&upstream).to_string(), driver);
        let mut caller = Caller::new(&node);
        for path in ["/genai/v1beta/models", "/pydanticai/genai/v1/models?pageSize=50"] {
            let answer = caller.get(path);
            let models = answer.json()["models"].as_array().unwrap().clone();
            let names: Vec<&str> = models.iter().map(|model| model["name"].as_str().unwrap()).collect();
            assert!(names.contains(&"models/gemini/gemini-2.5-flash"), "{names:?}");
            assert!(names.contains(&"models/anthropic/claude-x"), "{names:?}");
        }
        let targets: Vec<String> = upstream.requests().iter().map(|one| target(one).to_owned()).collect();
        assert!(targets.contains(&"/v1beta/models?pageSize=1000".to_owned()), "{targets:?}");
        for path in ["other", "gemini/other"] {
            let answer = caller.get(&format!("/genai/v1beta/models/{path}"));
            assert_eq!((answer.status, &answer.json()["name"]), (200, &json!("models/gemini/other")));
        }
        let answer = caller.get("/genai/v1beta/models/nothing");
        assert_eq!((answer.status, &answer.json()["error"]["status"]), (404, &json!("NOT_FOUND")));
    });
}

#[test]
fn rows_have_what_was_said() {
    on_both(|driver| {
        let upstream = google();
        let mut node = Node::start_on(&logged(config(&upstream)).to_string(), driver, 1);
        let mut caller = Caller::new(&node);
        for path in ["fast:generateContent", "m:streamGenerateContent?alt=sse", "m:streamGenerateContent"] {
            assert_eq!(post(&mut caller, path, ASK).status, 200);
        }
        let query = "SELECT json_object('object', object_type, 'provider', provider, 'model', model, 'stream', stream,
            'tokens', total_tokens, 'input', json(input_history), 'params', json(params), 'output', json(output_message),
            'calls', json(tool_calls), 'status', status) FROM logs";
        let rows: Vec<Value> =
            rows(&mut node, query).iter().map(|row| serde_json::from_str(row).unwrap()).collect();
        let asked: Value = serde_json::from_str(ASK).unwrap();
        for (row, model, stream, tokens) in
            [(&rows[0], "fast", 0, 9), (&rows[1], "m", 1, 7), (&rows[2], "m", 1, 7)]
        {
            assert_eq!((&row["object"], &row["provider"]), (&json!("chat.completion"), &json!("gemini")));
            assert_eq!(
                (&row["model"], &row["stream"], &row["tokens"]),
                (&json!(model), &json!(stream), &json!(tokens))
            );
            assert_eq!((&row["input"], &row["status"]), (&asked["contents"], &json!("success")));
            assert_eq!(row["params"]["generationConfig"]["temperature"], 0.7);
        }
        assert_eq!(rows[0]["calls"][0]["function"]["name"], "f");
        let one = json!({ "role": "model", "parts": [{ "text": "one" }] });
        assert_eq!((&rows[1]["output"], &rows[2]["output"]), (&one, &one));
    });
}

/// Google sends no `Retry-After`: its error's body says how long a key is to be left alone.
#[test]
fn a_delay_in_an_errors_body_is_kept() {
    const LIMITED: &str = r#"{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3600s"}]}}"#;
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while let Some(request) = line.receive() {
                line.send(match request.value("x-goog-api-key") {
                    "AIza-limited" => answer(429, "content-type: application/json\r\n", LIMITED),
                    _ => ok(WHOLE),
                });
            }
        });
        let mut config = config(&upstream);
        let key = |name: &str, value: &str, weight: f64| json!({ "name": name, "value": value, "models": ["*"], "weight": weight });
        config["providers"]["gemini"]["keys"] =
            json!([key("limited", "AIza-limited", 1.0), key("other", "AIza-other", 0.001)]);
        let node = Node::start_on(&config.to_string(), driver, 1);
        let mut caller = Caller::new(&node);
        for _ in 0..12 {
            assert_eq!(post(&mut caller, "m:generateContent", ASK).status, 200);
        }
        let limited =
            upstream.requests().iter().filter(|one| one.value("x-goog-api-key") == "AIza-limited").count();
        assert_eq!(limited, 1);
        let page = caller.get("/metrics");
        assert!(page.text().contains(r#"corelane_key_cooling{provider="gemini",key="limited"} 1"#));
    });
}

//! OpenAI's Responses through the gateway, against the strict mock provider whose keys are accounts of their own, and against a
//! scripted one for the bytes: a response is found again from any node of the same config, by the key that made it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::caller::{Answer, Caller, request};
use crate::client_ip::{logged, rows};
use crate::script::{Act, JSON, acting, judging, key_of, keys_of, nobody, provider, providers};
use crate::setup::{STREAM_HEAD, answer, chunk, ok, on_both};
use crate::support::node::{Mock, Node};
use crate::support::upstream::Upstream;

const RESPONSES: &str = "/v1/responses";
/// An answer of OpenAI's, with blanks and members of its own.
const MADE: &str = "{\n  \"id\": \"resp_1\", \"object\": \"response\", \"status\": \"completed\", \"error\": null,\n  \"x_new\": 23456789012345678901234, \"output\": [{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"h\\u00e9 \\\"id\\\":\\\"x\\\"\"}]}],\n  \"previous_response_id\": \"resp_0\", \"usage\": {\"input_tokens\":3,\"output_tokens\":4,\"total_tokens\":7}, \"user\": null\n}\n";

fn two_keys(mock: &Mock) -> Value {
    providers(&[("openai", provider(mock.address, &["a", "b"], 0))])
}

fn ask(extra: Value) -> String {
    let mut body = json!({ "model": "openai/gpt-4o", "input": "hello you" });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body.to_string()
}

fn send(caller: &mut Caller, method: &str, path: &str, fields: &str) -> Answer {
    caller.send(format!("{method} {path} HTTP/1.1\r\nhost: test\r\n{fields}\r\n"));
    caller.answer()
}

fn made(answer: &Answer) -> (String, String) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    (id, answer.value("x-corelane-key").unwrap().to_owned())
}

/// The data of each event.
fn events(answer: &Answer) -> Vec<Value> {
    let data = answer.text().lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[test]
fn a_response_is_found_again_from_another_node_by_the_key_that_made_it() {
    on_both(|driver| {
        let mock = Mock::start(&[]);
        let config = two_keys(&mock).to_string();
        let (one, other) = (Node::start(&config, driver), Node::start(&config, driver));
        let (mut first, mut second) = (Caller::new(&one), Caller::new(&other));
        let mut keys = BTreeSet::new();
        for _ in 0..12 {
            let (id, key) = made(&first.post(RESPONSES, ask(json!({}))));
            assert_eq!((id.len(), id.find('~')), (5 + 48 + 14, Some(5 + 48)), "{id}");
            keys.insert(key.clone());
            let again = second.get(&format!("{RESPONSES}/{id}"));
            assert_eq!(made(&again), (id.clone(), key.clone()));
            assert_eq!(again.json()["output"][0]["content"][0]["text"], "Hello from the mock provider.");
            let escaped = id.replace('~', "%7E");
            assert_eq!(
                made(&second.get(&format!("/openai/responses/{escaped}?include[]=x"))),
                (id.clone(), key.clone())
            );
            let items = second.get(&format!("/litellm/v1/responses/{id}/input_items?limit=3&order=asc"));
            assert_eq!(items.json()["data"][0]["content"][0]["text"], "hello you");
            let on = second.post(RESPONSES, ask(json!({ "previous_response_id": id, "model": "gpt-4o" })));
            assert_eq!(made(&on).1, key);
            assert_eq!(on.json()["previous_response_id"], id.as_str());
            let count = json!({ "model": "openai/m", "input": "a b c", "previous_response_id": id });
            let count = second.post("/v1/responses/input_tokens", count.to_string());
            assert_eq!(count.json()["object"], "response.input_tokens");
            assert!(count.json()["input_tokens"].as_u64() > Some(3), "{count:?}");
            let deleted = send(&mut second, "DELETE", &format!("{RESPONSES}/{id}"), "");
            assert_eq!((deleted.status, &deleted.json()["id"]), (200, &json!(id)));
            let gone = first.get(&format!("{RESPONSES}/{id}"));
            assert_eq!((gone.status, gone.value("x-corelane-attempts")), (404, Some("1")));
        }
        assert_eq!(keys.len(), 2);
    });
}

#[test]
fn a_stream_bears_its_id_and_is_told_again() {
    on_both(|driver| {
        let mock = Mock::start(&[]);
        let node = Node::start(&two_keys(&mock).to_string(), driver);
        let mut caller = Caller::new(&node);
        let answer = caller.post("/openai/v1/responses", ask(json!({ "stream": true, "model": "gpt-4o" })));
        assert_eq!((answer.status, answer.is_whole), (200, true), "{answer:?}");
        let told = events(&answer);
        let ids: BTreeSet<_> = told.iter().filter_map(|event| event["response"]["id"].as_str()).collect();
        let kinds: Vec<_> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!(
            (ids.len(), kinds.first(), kinds.last()),
            (1, Some(&"response.created"), Some(&"response.completed"))
        );
        assert!(!answer.text().contains("[DONE]"));
        let id = ids.first().unwrap();
        assert!(id.contains('~'), "{id}");
        let path = format!("/v1/responses/{id}?stream=true&starting_after=3");
        let again = caller.get(&path);
        assert_eq!(
            (again.status, again.value("content-type")),
            (200, Some("text/event-stream; charset=utf-8"))
        );
        assert_eq!(events(&again), told[4..]);
        assert_eq!(events(&again).last().unwrap()["response"]["id"], **id);
    });
}

#[test]
fn what_runs_in_the_background_is_cancelled() {
    on_both(|driver| {
        let mock = Mock::start(&[]);
        let node = Node::start(&two_keys(&mock).to_string(), driver);
        let mut caller = Caller::new(&node);
        let (id, _) = made(&caller.post(RESPONSES, ask(json!({ "background": true }))));
        let path = format!("{RESPONSES}/{id}/cancel");
        for fields in ["", "content-length: 2\r\n"] {
            let body = if fields.is_empty() { "" } else { "{}" };
            caller.send(format!("POST {path} HTTP/1.1\r\nhost: test\r\n{fields}\r\n{body}"));
            let cancelled = caller.answer();
            assert_eq!(
                (cancelled.status, &cancelled.json()["status"]),
                (200, &json!("cancelled")),
                "{cancelled:?}"
            );
            assert_eq!(cancelled.json()["id"], id.as_str());
        }
        let (id, _) = made(&caller.post(RESPONSES, ask(json!({}))));
        caller.send(format!("POST {RESPONSES}/{id}/cancel HTTP/1.1\r\nhost: test\r\n\r\n"));
        let refused = caller.answer();
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains("synchronous"), "{refused:?}");
    });
}

#[test]
fn an_id_that_says_nothing_is_asked_of_each_key() {
    on_both(|driver| {
        let mock = Mock::start(&[]);
        let mut config = two_keys(&mock);
        let node = Node::start(&config.to_string(), driver);
        let mut caller = Caller::new(&node);
        for _ in 0..6 {
            let (id, key) = made(&caller.post(RESPONSES, ask(json!({}))));
            let (bare, _) = id.split_once('~').unwrap();
            for path in [format!("/v1/responses/{bare}"), format!("/openai/v1/responses/{bare}")] {
                assert_eq!(made(&caller.get(&path)), (id.clone(), key.clone()));
            }
        }
        let unknown = caller.get("/openai/v1/responses/resp_unknown");
        assert_eq!((unknown.status, unknown.value("x-corelane-attempts")), (404, Some("2")), "{unknown:?}");
        assert!(unknown.json()["error"]["message"].as_str().unwrap().contains("'resp_unknown' not found"));
        let pinned = send(&mut caller, "GET", "/v1/responses/resp_unknown", "x-bf-api-key: b\r\n");
        assert_eq!(
            (pinned.status, pinned.value("x-corelane-key"), pinned.value("x-corelane-attempts")),
            (404, Some("b"), Some("1"))
        );
        // Two that keep responses: nobody can know whose it is.
        config["providers"]["xai"] = provider(nobody(), &["c"], 0);
        let node = Node::start(&config.to_string(), driver);
        let (mut before, mut caller) = (caller, Caller::new(&node));
        let (id, key) = made(&before.post(RESPONSES, ask(json!({}))));
        let (bare, _) = id.split_once('~').unwrap();
        let path = format!("/v1/responses/{bare}");
        let refused = caller.get(&path);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "provider_not_configured"),
            "{refused:?}"
        );
        let named = |caller: &mut Caller, name: &str| {
            send(caller, "GET", &path, &format!("x-model-provider: {name}\r\n"))
        };
        assert_eq!(made(&named(&mut caller, "OpenAI")), (id.clone(), key.clone()));
        assert_eq!(named(&mut caller, "nobody").status, 400);
        assert_eq!(made(&caller.get(&format!("/v1/responses/{id}"))).0, id);
        assert_eq!(made(&caller.get(&format!("/openai/v1/responses/{bare}"))).0, id);
    });
}

#[test]
fn a_key_that_is_gone_leaves_the_others_of_its_provider() {
    on_both(|driver| {
        let mock = Mock::start(&[]);
        let config = |keys: &[&str]| {
            let mut config = providers(&[("openai", provider(mock.address, keys, 0))]);
            // The account stays, under another name.
            for key in config["providers"]["openai"]["keys"].as_array_mut().unwrap() {
                key["value"] = json!("sk-same");
            }
            config.to_string()
        };
        let (before, after) =
            (Node::start(&config(&["old"]), driver), Node::start(&config(&["new"]), driver));
        let (id, _) = made(&Caller::new(&before).post(RESPONSES, ask(json!({}))));
        let mut caller = Caller::new(&after);
        let (later, key) = made(&caller.get(&format!("{RESPONSES}/{id}")));
        assert_eq!((later.split_once('~').unwrap().0, key.as_str()), (id.split_once('~').unwrap().0, "new"));
        assert_ne!(later, id);
        let on = caller.post(RESPONSES, ask(json!({ "previous_response_id": id })));
        assert_eq!(on.json()["previous_response_id"], later.as_str());
    });
}

#[test]
fn a_pinned_response_goes_nowhere_else() {
    on_both(|driver| {
        let mock = Mock::start(&[]);
        let mut config = two_keys(&mock);
        config["providers"]["xai"] = provider(mock.address, &["c"], 0);
        let node = Node::start(&config.to_string(), driver);
        let mut caller = Caller::new(&node);
        let (id, key) = made(&caller.post(RESPONSES, ask(json!({}))));
        let fallbacks = json!(["xai/grok"]);
        let next = json!({ "previous_response_id": id, "input": "mock: status=429", "fallbacks": fallbacks });
        let limited = caller.post(RESPONSES, ask(next));
        assert_eq!((limited.status, limited.value("x-corelane-key")), (429, Some(key.as_str())));
        let other = caller.post(RESPONSES, ask(json!({ "previous_response_id": id, "model": "xai/grok" })));
        assert_eq!((other.status, other.code().as_str()), (400, "invalid_request"), "{other:?}");
        assert!(
            other.text().contains("previous_response_id is known to the provider openai alone"),
            "{other:?}"
        );
        // What the provider does not know is the provider's to say.
        let unknown = caller.post("/openai/v1/responses", ask(json!({ "previous_response_id": "resp_x" })));
        assert_eq!((unknown.status, unknown.code().as_str()), (400, "previous_response_not_found"));
        let twice =
            r#"{"model":"openai/m","input":"x","previous_response_id":"a","previous_response_id":"b"}"#;
        assert_eq!(caller.post(RESPONSES, twice).status, 400);
    });
}

/// All bytes but the ids' marks are the provider's and the caller's own.
#[test]
fn every_other_byte_stays() {
    on_both(|driver| {
        let created = format!(
            "event: response.created\r\ndata: {{\"type\":\"response.created\",\"response\":{},\"x\":1.50}}\r\n\r\n",
            MADE.trim().replace('\n', " ")
        );
        let rest = ": ping\n\nid: 4\nevent: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"\\\"response\\\"\"}\n\n";
        let completed = created.replace("response.created", "response.completed");
        let stream = [created.as_str(), rest, completed.as_str()].concat();
        let framed: Vec<u8> = stream.as_bytes().chunks(7).flat_map(chunk).collect();
        let framed = [STREAM_HEAD.as_bytes(), &framed, b"0\r\n\r\n"].concat();
        let upstream = Upstream::start(move |line| {
            while let Some(request) = line.receive() {
                if request.text().contains("\"stream\": true") {
                    line.send(&framed)
                } else {
                    line.send(ok(MADE))
                }
            }
        });
        let node =
            Node::start(&providers(&[("openai", provider(upstream.address, &["a"], 0))]).to_string(), driver);
        let mut caller = Caller::new(&node);
        let first = caller.post(RESPONSES, r#"{"model":"openai/m","input":"x"}"#);
        let id = first.json()["id"].as_str().unwrap().to_owned();
        let mark = id.strip_prefix("resp_1").unwrap().to_owned();
        let marked = |text: &str| {
            text.replace("\"resp_1\"", &format!("\"{id}\""))
                .replace("\"resp_0\"", &format!("\"resp_0{mark}\""))
        };
        assert_eq!(first.text(), marked(MADE));
        let body = format!(
            "{{ \"x_new\":1.10,\"previous_response_id\" : \"{id}\" , \"stream\": true,\"model\":\"openai/m\",\"input\":[{{\"id\":\"{id}\"}}]}}"
        );
        let streamed = caller.post(RESPONSES, &body);
        assert_eq!(streamed.text(), marked(&stream));
        let expected = body.replacen(&id, "resp_1", 1).replace("openai/m", "m");
        assert_eq!(upstream.last().text(), expected);
        let stored = caller.get(&format!("{RESPONSES}/{id}?a=%20b&c"));
        assert_eq!(stored.text(), marked(MADE));
        let sent = upstream.last();
        assert!(sent.head.starts_with("GET /v1/responses/resp_1?a=%20b&c HTTP/1.1\r\n"), "{}", sent.head);
        assert_eq!((sent.value("authorization"), sent.values("content-length").len()), ("Bearer sk-a", 0));
        assert!(sent.values("content-type").is_empty());
    });
}

#[test]
fn a_long_answer_is_marked_too() {
    on_both(|driver| {
        let text = "x".repeat(300_000);
        let body = MADE.replace("h\\u00e9", &text);
        let upstream = Upstream::answering(ok(&body));
        let node =
            Node::start(&providers(&[("openai", provider(upstream.address, &["a"], 0))]).to_string(), driver);
        let made = Caller::new(&node).post(RESPONSES, ask(json!({})));
        let id = made.json()["id"].as_str().unwrap().to_owned();
        let mark = id.strip_prefix("resp_1").unwrap();
        let expected = body
            .replace("\"resp_1\"", &format!("\"{id}\""))
            .replace("\"resp_0\"", &format!("\"resp_0{mark}\""));
        assert!(made.text() == expected && made.is_whole);
    });
}

#[test]
fn a_response_that_failed_is_tried_elsewhere_and_a_stored_one_is_told() {
    on_both(|driver| {
        let failed = r#"{"id":"resp_9","object":"response","status":"failed","error":{"code":"rate_limit_exceeded","message":"slow"},"output":[],"usage":null}"#;
        let upstream =
            judging(move |request| match (key_of(request).as_str(), request.head.starts_with("GET")) {
                ("a", false) | (_, true) => Act::Answer(ok(failed)),
                _ => Act::Answer(ok(MADE)),
            });
        let mut openai = provider(upstream.address, &["a", "b"], 0);
        openai["keys"][1]["weight"] = json!(0);
        let node = Node::start(&providers(&[("openai", openai)]).to_string(), driver);
        let mut caller = Caller::new(&node);
        let (_, key) = made(&caller.post(RESPONSES, ask(json!({}))));
        assert_eq!(key, "b");
        let pinned = request(RESPONSES, "x-bf-api-key: a\r\n", ask(json!({})));
        caller.send(pinned);
        let limited = caller.answer();
        assert_eq!((limited.status, limited.code().as_str()), (429, "rate_limit_exceeded"));
        let told = caller.get(&format!("{RESPONSES}/resp_9"));
        assert_eq!((told.status, &told.json()["status"]), (200, &json!("failed")));
        // An error of the provider's that is none of an id's.
        let refusing = judging(|_| {
            Act::Answer(answer(401, JSON, r#"{"error":{"message":"no sk-a","type":"t","code":"c"}}"#))
        });
        let node =
            Node::start(&providers(&[("openai", provider(refusing.address, &["a"], 0))]).to_string(), driver);
        let refused = Caller::new(&node).get("/openai/v1/responses/resp_1");
        assert_eq!((refused.status, refused.code().as_str()), (502, "provider_credentials_exhausted"));
        assert!(!refused.text().contains("sk-a"), "{refused:?}");
    });
}

/// RFC 9110 section 9.2.2, and OpenAI's word for cancelling.
#[test]
fn deleting_and_cancelling_are_sent_again_and_the_last_word_of_a_key_is_told() {
    on_both(|driver| {
        let deleted = r#"{"id":"resp_1","object":"response","deleted":true}"#;
        for (method, path, acts, expected) in [
            ("DELETE", "", vec![Act::error(500), Act::Answer(ok(deleted))], (200, "2")),
            // It was deleted at once, and only its answer was lost; nothing better than the provider's word is told.
            ("DELETE", "", vec![Act::error(500), Act::error(404)], (404, "2")),
            ("DELETE", "", vec![Act::Reset(Vec::new()), Act::error(404)], (404, "2")),
            ("POST", "/cancel", vec![Act::error(502), Act::Answer(ok(MADE))], (200, "2")),
            ("POST", "/cancel", vec![Act::error(500), Act::error(500)], (500, "2")),
        ] {
            let upstream = acting(acts);
            let config = providers(&[("openai", provider(upstream.address, &["a"], 1))]);
            let node = Node::start(&config.to_string(), driver);
            let told = send(&mut Caller::new(&node), method, &format!("{RESPONSES}/resp_1{path}"), "");
            let attempts = told.value("x-corelane-attempts");
            assert_eq!((told.status, attempts), (expected.0, Some(expected.1)), "{told:?}");
            let requests = upstream.requests();
            let lines = requests.iter().filter_map(|request| request.head.lines().next());
            let line = format!("{method} /v1/responses/resp_1{path} HTTP/1.1");
            assert_eq!(lines.collect::<Vec<_>>(), [&line, &line]);
        }
    });
}

#[test]
fn a_response_is_not_called_gone_while_a_key_that_may_know_it_cannot_say() {
    on_both(|driver| {
        for status in [429, 401] {
            let upstream = judging(move |request| match key_of(request).as_str() {
                "a" => Act::error(status),
                _ => Act::error(404),
            });
            let mut openai = provider(upstream.address, &["a", "b"], 0);
            openai["keys"][1]["weight"] = json!(0);
            let node = Node::start(&providers(&[("openai", openai)]).to_string(), driver);
            let told = send(&mut Caller::new(&node), "DELETE", &format!("{RESPONSES}/resp_1"), "");
            assert_eq!(keys_of(&upstream), ["a", "b"]);
            // A key that is refused always would hide each 404.
            assert_eq!(told.status, if status == 401 { 404 } else { status }, "{told:?}");
        }
    });
}

#[test]
fn a_stream_that_breaks_ends_with_an_error_of_its_dialect() {
    on_both(|driver| {
        let event = |kind: &str, number: u64, rest: &str| {
            format!("event: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":{number}{rest}}}\n\n")
        };
        let begun = [
            event("response.created", 0, r#","response":{"id":"r"}"#),
            event("response.output_text.delta", 1, r#","delta":"a""#),
        ]
        .concat();
        let cut = [STREAM_HEAD.as_bytes(), &chunk(&begun)].concat();
        let upstream = judging(move |_| Act::Close(cut.clone()));
        let node =
            Node::start(&providers(&[("openai", provider(upstream.address, &["a"], 0))]).to_string(), driver);
        for path in [RESPONSES, "/openai/v1/responses"] {
            let broken = Caller::new(&node).post(path, ask(json!({ "stream": true, "model": "openai/m" })));
            let last =
                broken.text().split("\n\n").filter(|event| !event.is_empty()).last().unwrap().to_owned();
            let data = last.strip_prefix("event: error\ndata: ").unwrap_or_else(|| panic!("{last}"));
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(
                (&data["type"], &data["sequence_number"], &data["param"]),
                (&json!("error"), &json!(2), &Value::Null)
            );
            assert!(data["code"].as_str().unwrap().starts_with("upstream_"), "{data}");
        }
    });
}

#[test]
fn each_request_has_its_row() {
    on_both(|driver| {
        let mock = Mock::start(&[]);
        let mut node = Node::start(&logged(two_keys(&mock)).to_string(), driver);
        let mut caller = Caller::new(&node);
        let ask = ask(json!({ "instructions": "be brief", "temperature": 0.50 }));
        let (id, _) = made(&caller.post(RESPONSES, &ask));
        assert_eq!(caller.get(&format!("{RESPONSES}/{id}")).status, 200);
        let streamed = ask.replace("\"input\"", "\"stream\":true,\"input\"");
        assert_eq!(caller.post(RESPONSES, streamed).status, 200);
        assert_eq!(send(&mut caller, "DELETE", &format!("{RESPONSES}/{id}"), "").status, 200);
        assert_eq!(caller.get(&format!("{RESPONSES}/{id}/input_items")).status, 404);
        let found = rows(
            &mut node,
            "SELECT json_array(object_type, provider, model, stream, status_code, total_tokens, attempts, input_history, params, output_message) FROM logs",
        );
        let found: Vec<Value> = found.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
        let facts: Vec<Value> = found.iter().map(|row| json!(row.as_array().unwrap()[..7])).collect();
        assert_eq!(
            json!(facts),
            json!([
                ["response", "openai", "gpt-4o", 0, 200, 9, 1],
                ["responses_retrieve", "openai", "", 0, 200, null, 1],
                ["response", "openai", "gpt-4o", 1, 200, 9, 1],
                ["responses_delete", "openai", "", 0, 200, null, 1],
                ["responses_input_items", "openai", "", 0, 404, null, 1],
            ])
        );
        let history = r#"[{"role":"system","content":"be brief"},{"role":"user","content":"hello you"}]"#;
        for row in [&found[0], &found[2]] {
            assert_eq!((&row[7], &row[8]), (&json!(history), &json!(r#"{"temperature":0.5}"#)));
            assert!(row[9].as_str().unwrap().contains("Hello from the mock provider."), "{row}");
        }
    });
}

#[test]
fn each_path_takes_its_methods() {
    on_both(|driver| {
        let mock = Mock::start(&[]);
        let node = Node::start(&two_keys(&mock).to_string(), driver);
        let mut caller = Caller::new(&node);
        for (method, path, allow) in [
            ("GET", "/v1/responses", "POST, OPTIONS"),
            ("PUT", "/v1/responses/a", "GET, DELETE, OPTIONS"),
            ("DELETE", "/v1/responses/a/input_items", "GET, OPTIONS"),
            ("GET", "/v1/responses/a/cancel", "POST, OPTIONS"),
        ] {
            let refused = send(&mut caller, method, path, "");
            assert_eq!((refused.status, refused.value("allow")), (405, Some(allow)), "{method} {path}");
        }
        let long = caller.get(&format!("/v1/responses/{}", "a".repeat(1_025)));
        assert_eq!((long.status, long.code().as_str()), (400, "invalid_request"));
    });
}

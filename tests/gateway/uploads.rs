//! What is no conversation: sound and images, forms that go up as they come in, answers of any kind, batches and files by the
//! keys that are for them, with ids that lead back.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::caller::{Answer, Caller, request};
use crate::client_ip::{logged, rows};
use crate::setup::{STREAM_HEAD, answer, chunk, config, ok, on_both};
use crate::support::node::{Node, eventually};
use crate::support::upstream::{Gate, Upstream};

const TEXT: &str = r#"{"text":"hello"}"#;

/// Keys for every model; the second of OpenAI's is for batches and files.
fn open(upstream: &Upstream) -> Value {
    let mut config = config(upstream.address);
    for provider in ["openai", "anthropic"] {
        config["providers"][provider]["keys"][0]["models"] = json!(["*"]);
    }
    config
}

fn for_accounts(upstream: &Upstream) -> Value {
    let mut config = open(upstream);
    let keys = &mut config["providers"]["openai"]["keys"];
    for name in ["batch-a", "batch-b"] {
        let key = json!({ "name": name, "value": format!("sk-{name}"), "models": ["*"], "use_for_batch_api": true });
        keys.as_array_mut().unwrap().push(key);
    }
    config["providers"]["anthropic"]["keys"][0]["use_for_batch_api"] = json!(true);
    config
}

const TYPE: &str = "content-type: multipart/form-data; boundary=\"x-y\"\r\n";

fn field(name: &str, value: &str) -> String {
    format!("--x-y\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

fn file(bytes: &[u8]) -> Vec<u8> {
    let head = "--x-y\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\ncontent-type: audio/wav\r\n\r\n";
    [head.as_bytes(), bytes, b"\r\n"].concat()
}

fn form(parts: &[&[u8]]) -> Vec<u8> {
    [&parts.concat(), b"--x-y--\r\n".as_slice()].concat()
}

fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 % 251) as u8).collect()
}

fn posted(caller: &mut Caller, path: &str, body: &[u8]) -> Answer {
    caller.send(form_request(path, "", body));
    caller.answer()
}

fn form_request(path: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: test\r\n{TYPE}{fields}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

#[test]
fn sound_goes_down_as_it_comes() {
    on_both(|driver| {
        let gate = Gate::default();
        let opened = gate.clone();
        let upstream = Upstream::start(move |line| {
            while line.receive().is_some() {
                line.send(
                    "HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: chunked\r\n\r\n",
                );
                line.send(chunk(b"\xff\xfb\0one"));
                if !opened.pass() {
                    return;
                }
                line.send(chunk(noise(300_000)));
                line.send("0\r\n\r\n");
            }
        });
        let mut node = Node::start(&logged(open(&upstream)).to_string(), driver);
        let mut caller = Caller::new(&node);
        let body = r#"{"model":"openai/tts-1","input":"hi","voice":"alloy"}"#;
        for path in ["/v1/audio/speech", "/openai/audio/speech"] {
            caller.send(request(path, "", body));
            caller.until(b"\xff\xfb\0one");
            gate.open();
            let answer = caller.answer();
            assert_eq!((answer.status, answer.value("content-type")), (200, Some("audio/mpeg")));
            assert_eq!(answer.body, [b"\xff\xfb\0one".as_slice(), &noise(300_000)].concat());
            assert!(answer.is_whole);
            let received = upstream.last();
            assert!(received.head.starts_with("POST /v1/audio/speech HTTP/1.1\r\n"));
            assert_eq!(received.text(), r#"{"model":"tts-1","input":"hi","voice":"alloy"}"#);
        }
        let expected = [r#"speech "[audio/mpeg, 300006 bytes]""#; 2];
        let query = "SELECT object_type || ' ' || output_message FROM logs";
        assert_eq!(rows(&mut node, query), expected);
    });
}

#[test]
fn events_of_speech_and_images_pass_unseen() {
    on_both(|driver| {
        let events = "event: image_generation.partial_image\ndata: {\"type\":\"image_generation.partial_image\",\"b64_json\":\"AA==\"}\n\n";
        let upstream = Upstream::start(move |line| {
            while line.receive().is_some() {
                line.send(STREAM_HEAD);
                line.send(chunk(events));
                line.send("0\r\n\r\n");
            }
        });
        let mut node = Node::start(&logged(open(&upstream)).to_string(), driver);
        let mut caller = Caller::new(&node);
        for (path, body) in [
            ("/v1/images/generations", r#"{"model":"openai/gpt-image-1","prompt":"a","stream":true}"#),
            ("/v1/audio/speech", r#"{"model":"openai/tts-1","input":"a","voice":"b","stream_format":"sse"}"#),
        ] {
            let answer = caller.post(path, body);
            assert_eq!((answer.status, answer.text()), (200, events));
            assert_eq!(answer.value("content-type"), Some("text/event-stream"));
        }
        let names = rows(&mut node, "SELECT object_type || stream FROM logs");
        assert_eq!(names, ["image_generation1", "speech1"]);
    });
}

#[test]
fn a_broken_answer_is_asked_for_again_until_its_first_byte() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            while line.receive().is_some() {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\ncontent-length: 4\r\n\r\n";
                line.send(head);
                match line.number {
                    0 => return,
                    1 => {
                        line.send("ab");
                        return;
                    }
                    _ => line.send("abcd"),
                }
            }
        });
        let mut config = open(&upstream);
        config["providers"]["openai"]["network_config"]["max_retries"] = json!(1);
        config["providers"]["openai"]["network_config"]["retry_backoff_initial"] = json!(1);
        let node = Node::start(&config.to_string(), driver);
        let body = r#"{"model":"openai/tts-1","input":"hi","voice":"alloy"}"#;
        let mut caller = Caller::new(&node);
        let cut = caller.post("/v1/audio/speech", body);
        assert_eq!((cut.status, cut.text(), cut.is_whole), (200, "ab", false));
        assert_eq!(upstream.requests().len(), 2);
        assert_eq!(Caller::new(&node).post("/v1/audio/speech", body).text(), "abcd");
    });
}

#[test]
fn a_form_says_its_model_wherever_it_stands() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(TEXT));
        let mut node = Node::start(&logged(open(&upstream)).to_string(), driver);
        let mut caller = Caller::new(&node);
        let (model, other) = (field("model", "openai/whisper-1"), field("language", "en"));
        for length in [10, 70_000, 900_000] {
            let file = file(&noise(length));
            for parts in
                [[other.as_bytes(), model.as_bytes(), &file], [&file, model.as_bytes(), other.as_bytes()]]
            {
                let body = form(&parts);
                let answer = posted(&mut caller, "/v1/audio/transcriptions", &body);
                assert_eq!((answer.status, answer.text()), (200, TEXT));
                let received = upstream.last();
                assert!(received.head.starts_with("POST /v1/audio/transcriptions HTTP/1.1\r\n"));
                assert_eq!(received.value("content-type"), "multipart/form-data; boundary=\"x-y\"");
                let bare = field("model", "whisper-1");
                let expected =
                    parts.map(|part| if part == model.as_bytes() { bare.as_bytes() } else { part });
                assert!(received.body == form(&expected), "{length}");
            }
        }
        let query = "SELECT object_type || ' ' || model || ' ' || input_history FROM logs LIMIT 1";
        let first = rows(&mut node, &query.replace(" LIMIT 1", "")).remove(0);
        assert!(first.starts_with("transcription whisper-1 \"[multipart/form-data, "), "{first}");
    });
}

#[test]
fn a_form_in_chunks_goes_up_in_chunks() {
    on_both(|driver| {
        let (received, said) = std::sync::mpsc::channel();
        let upstream = Upstream::start(move |line| {
            let mut bytes = Vec::new();
            while !bytes.ends_with(b"\r\n0\r\n\r\n") {
                if !line.take_into(&mut bytes) {
                    return;
                }
            }
            received.send(bytes).unwrap();
            line.send(ok(r#"{"created":1,"data":[]}"#));
        });
        let node = Node::start(&open(&upstream).to_string(), driver);
        let mut caller = Caller::new(&node);
        let image = file(&noise(1_500_000));
        let body = form(&[field("model", "openai/gpt-image-1").as_bytes(), &image]);
        caller.send(format!(
            "POST /v1/images/edits HTTP/1.1\r\nhost: test\r\n{TYPE}transfer-encoding: chunked\r\n\r\n"
        ));
        for piece in body.chunks(50_000) {
            caller.send(chunk(piece));
        }
        caller.send("0\r\n\r\n");
        assert_eq!(caller.answer().status, 200);
        let bytes = said.recv().unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        assert!(
            head.contains("transfer-encoding: chunked\r\n") && !head.contains("content-length"),
            "{head}"
        );
        let expected = form(&[field("model", "gpt-image-1").as_bytes(), &image]);
        assert!(unchunked(&bytes[end..]) == expected);
    });
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 4 + size..];
    }
}

#[test]
fn a_caller_that_waits_with_its_form_is_invited() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(TEXT));
        let node = Node::start(&open(&upstream).to_string(), driver);
        let mut caller = Caller::new(&node);
        let body = form(&[field("model", "openai/a").as_bytes(), &file(&noise(500_000))]);
        for _ in 0..2 {
            let whole = form_request("/v1/audio/translations", "expect: 100-continue\r\n", &body);
            let (head, body) = whole.split_at(whole.len() - body.len());
            caller.send(head);
            caller.take_until("HTTP/1.1 100 Continue\r\n\r\n");
            caller.send(body);
            assert_eq!(caller.answer().status, 200);
        }
        assert_eq!(upstream.requests().len(), 2);
    });
}

#[test]
fn a_form_that_is_none_or_too_long_is_refused() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            line.receive_head();
            line.silence();
        });
        let mut config = open(&upstream);
        config["client"] = json!({ "max_request_body_size_mb": 1 });
        let node = Node::start(&config.to_string(), driver);
        let path = "/v1/audio/transcriptions";
        let model = field("model", "openai/whisper-1");
        for (status, request) in [
            (
                413,
                format!("POST {path} HTTP/1.1\r\nhost: t\r\n{TYPE}content-length: 1048577\r\n\r\n")
                    .into_bytes(),
            ),
            (411, format!("POST {path} HTTP/1.1\r\nhost: t\r\n{TYPE}\r\n").into_bytes()),
            (415, request(path, "", r#"{"model":"openai/whisper-1"}"#)),
            (400, form_request(path, "", b"--x-z\r\n")),
            (400, form_request(path, "", format!("{model}{model}--x-y--").as_bytes())),
            (400, form_request(path, "", &[model.as_bytes(), &file(&noise(9))].concat())),
            (400, form_request(path, "", &form(&[field("stream", "perhaps").as_bytes(), model.as_bytes()]))),
            (415, form_request(path, "content-encoding: gzip\r\n", b"x")),
        ] {
            let mut caller = Caller::new(&node);
            caller.send(&request);
            let answer = caller.answer();
            assert_eq!(answer.status, status, "{answer:?}");
        }
        let answer = posted(&mut Caller::new(&node), path, &form(&[&file(b"a")]));
        assert!(answer.status >= 400 && answer.text().contains("model is required"), "{answer:?}");
        assert_eq!(upstream.connections(), 0);
        // What is too long in chunks is found when it is, and no whole form reaches the provider.
        let mut caller = Caller::new(&node);
        caller
            .send(format!("POST {path} HTTP/1.1\r\nhost: test\r\n{TYPE}transfer-encoding: chunked\r\n\r\n"));
        caller.send(chunk(&model));
        for _ in 0..40 {
            caller.try_send(chunk(file(&noise(30_000))));
        }
        assert_eq!(caller.answer().status, 413);
        assert_eq!(upstream.connections(), 1);
    });
}

#[test]
fn a_second_model_behind_what_is_held_ends_it() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(TEXT));
        let node = Node::start(&open(&upstream).to_string(), driver);
        let parts = [field("model", "openai/a"), field("model", "openai/b")];
        let body = form(&[parts[0].as_bytes(), &file(&noise(600_000)), parts[1].as_bytes()]);
        let answer = posted(&mut Caller::new(&node), "/v1/images/edits", &body);
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(upstream.requests().len(), 0);
    });
}

#[test]
fn a_provider_may_answer_before_it_took_all() {
    on_both(|driver| {
        let refusal = r#"{"error":{"message":"too large for me","type":"invalid_request_error","code":null,"param":null}}"#;
        let upstream = Upstream::start(move |line| {
            if line.receive_head() {
                line.send(answer(413, "content-type: application/json\r\nconnection: close\r\n", refusal));
                line.silence();
            }
        });
        let node = Node::start(&open(&upstream).to_string(), driver);
        let mut caller = Caller::new(&node);
        let body = form(&[field("model", "openai/a").as_bytes(), &file(&noise(30_000_000))]);
        let request = form_request("/openai/v1/images/edits", "", &body);
        let mut sender = caller.sender();
        let sending = std::thread::spawn(move || std::io::Write::write_all(&mut sender, &request).is_ok());
        let answer = caller.answer();
        assert_eq!((answer.status, answer.text()), (413, refusal));
        assert_eq!(answer.value("connection"), Some("close"));
        drop(caller);
        let _ = sending.join();
    });
}

#[test]
fn what_is_held_may_be_sent_again_and_more_may_not() {
    on_both(|driver| {
        let count = AtomicUsize::new(0);
        let upstream = Upstream::start(move |line| {
            while line.receive().is_some() {
                match count.fetch_add(1, Ordering::SeqCst) {
                    0 | 2 => line.send(answer(503, "", "")),
                    _ => line.send(ok(TEXT)),
                }
            }
        });
        let mut config = open(&upstream);
        config["providers"]["openai"]["network_config"]["max_retries"] = json!(3);
        config["providers"]["openai"]["network_config"]["retry_backoff_initial"] = json!(1);
        let node = Node::start(&config.to_string(), driver);
        let model = field("model", "openai/whisper-1");
        let short = form(&[model.as_bytes(), &file(&noise(100_000))]);
        let mut caller = Caller::new(&node);
        assert_eq!(posted(&mut caller, "/v1/audio/transcriptions", &short).status, 200);
        let bodies = upstream.requests();
        assert!(bodies.len() == 2 && bodies[0].body == bodies[1].body);
        let long = form(&[model.as_bytes(), &file(&noise(3_000_000))]);
        assert_eq!(posted(&mut caller, "/v1/audio/transcriptions", &long).status, 503);
        assert_eq!(upstream.requests().len(), 3);
    });
}

/// An account that knows a file, a batch, and what they hold.
fn account() -> Upstream {
    Upstream::start(|line| {
        while let Some(request) = line.receive() {
            let mut words = request.head.split(' ');
            let (method, target) = (words.next().unwrap(), words.next().unwrap());
            let path = target.split('?').next().unwrap();
            match (method, path) {
                ("POST", "/v1/files") | ("GET", "/v1/files/file-1") => {
                    line.send(ok(r#"{"id":"file-1","object":"file","filename":"a"}"#));
                }
                ("GET", "/v1/files/file-1/content") => {
                    line.send(answer(200, "content-type: application/octet-stream\r\n", noise(500_000)));
                }
                ("DELETE", "/v1/files/file-1") => line.send(ok(r#"{"id":"file-1","deleted":true}"#)),
                ("GET", "/v1/files" | "/v1/batches" | "/v1/messages/batches") => line.send(ok(
                    r#"{"object":"list","data":[{"id":"x-1"},{"id":"x-2"}],"first_id":"x-1","last_id":"x-2","has_more":false}"#,
                )),
                ("POST", "/v1/batches" | "/v1/batches/batch-1/cancel") | ("GET", "/v1/batches/batch-1") => line.send(ok(
                    r#"{"id":"batch-1","input_file_id":"file-1","output_file_id":"file-2","error_file_id":null,"metadata":{"id":"m"}}"#,
                )),
                ("POST", "/v1/messages/batches") | ("GET", "/v1/messages/batches/mb-1") => line.send(ok(
                    r#"{"id":"mb-1","results_url":"https://api.anthropic.com/v1/messages/batches/mb-1/results"}"#,
                )),
                ("GET", "/v1/messages/batches/mb-1/results") => {
                    line.send(answer(200, "content-type: application/binary\r\n", "{\"custom_id\":\"a\"}\n{}\n"));
                }
                _ => line.send(answer(404, "content-type: application/json\r\n", r#"{"error":{"message":"no"}}"#)),
            }
        }
    })
}

fn asked(caller: &mut Caller, method: &str, path: &str) -> Answer {
    caller.send(format!("{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n"));
    caller.answer()
}

#[test]
fn a_files_id_leads_back_to_its_key() {
    on_both(|driver| {
        let upstream = account();
        let node = Node::start(&for_accounts(&upstream).to_string(), driver);
        let mut caller = Caller::new(&node);
        let (purpose, said) = (field("purpose", "batch"), field("provider", "openai"));
        let bytes = file(&noise(400_000));
        for _ in 0..4 {
            let body = form(&[purpose.as_bytes(), said.as_bytes(), &bytes]);
            let made = posted(&mut caller, "/v1/files", &body);
            assert_eq!(made.status, 200, "{made:?}");
            let sent = upstream.last();
            assert!(sent.body == form(&[purpose.as_bytes(), &bytes]), "without what is ours");
            let key = sent.value("authorization").to_owned();
            assert!(key.starts_with("Bearer sk-batch-"), "{key}");
            let id = made.json()["id"].as_str().unwrap().to_owned();
            assert!(id.starts_with("file-1~") && id.len() == 20, "{id}");
            let body = json!({ "input_file_id": id, "endpoint": "/v1/x", "completion_window": "24h", "provider": "openai" });
            let batch = caller.post("/v1/batches", body.to_string());
            assert_eq!(upstream.last().value("authorization"), key);
            let batch = batch.json();
            assert_eq!((&batch["input_file_id"], &batch["error_file_id"]), (&json!(id), &Value::Null));
            assert_eq!(batch["metadata"]["id"], "m");
            let sent: Value = serde_json::from_slice(&upstream.last().body).unwrap();
            assert_eq!((&sent["input_file_id"], sent.get("provider")), (&json!("file-1"), None));
            let batch_id = batch["id"].as_str().unwrap();
            for (method, path, wire) in [
                ("GET", format!("/v1/files/{id}"), "/v1/files/file-1".to_owned()),
                ("DELETE", format!("/openai/v1/files/{id}"), "/v1/files/file-1".to_owned()),
                ("GET", format!("/v1/batches/{batch_id}?provider=x"), "/v1/batches/batch-1".to_owned()),
                ("POST", format!("/v1/batches/{batch_id}/cancel"), "/v1/batches/batch-1/cancel".to_owned()),
                ("GET", format!("/v1/files?limit=2&after={id}"), "/v1/files?limit=2&after=file-1".to_owned()),
            ] {
                let answer = asked(&mut caller, method, &path);
                assert_eq!(answer.status, 200, "{path} {answer:?}");
                let sent = upstream.last();
                assert!(sent.head.starts_with(&format!("{method} {wire} HTTP/1.1\r\n")), "{}", sent.head);
                assert_eq!(sent.value("authorization"), key, "{path}");
            }
            let content = asked(&mut caller, "GET", &format!("/openai/files/{id}/content"));
            assert!(content.body == noise(500_000) && content.is_whole);
            assert_eq!(content.value("content-type"), Some("application/octet-stream"));
        }
        let list = asked(&mut caller, "GET", "/v1/batches?provider=openai").json();
        for id in [&list["data"][0]["id"], &list["data"][1]["id"], &list["first_id"], &list["last_id"]] {
            assert!(id.as_str().unwrap().contains('~'), "{list}");
        }
    });
}

#[test]
fn anthropics_batches_are_asked_for_where_they_were_made() {
    on_both(|driver| {
        let upstream = account();
        let node = Node::start(&for_accounts(&upstream).to_string(), driver);
        let mut caller = Caller::new(&node);
        let made = caller.post("/anthropic/v1/messages/batches", r#"{"requests":[]}"#).json();
        let id = made["id"].as_str().unwrap();
        assert!(id.starts_with("mb-1~"), "{made}");
        assert_eq!(made["results_url"], format!("/v1/messages/batches/{id}/results"));
        assert_eq!(upstream.last().value("x-api-key"), crate::support::node::KEYS[1].1);
        let results = asked(&mut caller, "GET", &format!("/anthropic/v1/messages/batches/{id}/results"));
        assert_eq!((results.status, results.text()), (200, "{\"custom_id\":\"a\"}\n{}\n"));
        let list = asked(&mut caller, "GET", "/anthropic/v1/messages/batches?limit=2");
        assert_eq!(list.status, 200);
        // Those of one vendor are not the other's.
        let wrong = caller.post("/v1/batches?provider=anthropic", r#"{"input_file_id":"x"}"#);
        assert!(wrong.status >= 400, "{wrong:?}");
    });
}

#[test]
fn without_a_key_for_them_there_are_no_batches() {
    on_both(|driver| {
        let upstream = account();
        let node = Node::start(&open(&upstream).to_string(), driver);
        let mut caller = Caller::new(&node);
        for path in ["/v1/files", "/openai/v1/files", "/v1/batches/batch-1?provider=openai"] {
            let answer = asked(&mut caller, "GET", path);
            assert!(answer.status >= 400 && answer.text().contains("use_for_batch_api"), "{answer:?}");
        }
        let answer = posted(&mut caller, "/openai/v1/files", &form(&[&file(b"a")]));
        assert!(answer.status >= 400 && answer.text().contains("use_for_batch_api"), "{answer:?}");
        assert_eq!(upstream.connections(), 0);
    });
}

#[test]
fn a_provider_that_takes_nothing_is_given_up_and_so_is_a_caller_that_left() {
    on_both(|driver| {
        let upstream = Upstream::start(|line| {
            line.receive_head();
            std::thread::sleep(std::time::Duration::from_secs(4));
        });
        let mut config = open(&upstream);
        config["providers"]["openai"]["network_config"]["default_request_timeout_in_seconds"] = json!(1);
        let node = Node::start(&config.to_string(), driver);
        let body = form(&[field("model", "openai/a").as_bytes(), &file(&noise(30_000_000))]);
        let request = form_request("/openai/v1/images/edits", "", &body);
        let mut caller = Caller::new(&node);
        let (mut sender, whole) = (caller.sender(), request.clone());
        let sending = std::thread::spawn(move || std::io::Write::write_all(&mut sender, &whole).is_ok());
        let answer = caller.answer();
        assert_eq!((answer.status, answer.code().as_str()), (504, "request_timed_out"), "{answer:?}");
        drop(caller);
        let _ = sending.join();

        let upstream = Upstream::start(|line| {
            line.receive_head();
            line.silence();
        });
        let node = Node::start(&open(&upstream).to_string(), driver);
        let mut caller = Caller::new(&node);
        caller.send(&request[..1_000_000]);
        eventually("it is begun", || (upstream.connections() == 1).then_some(()));
        drop(caller);
        eventually("it is given up", || (upstream.ended() == 1).then_some(()));
        assert_eq!(upstream.requests().len(), 0);
    });
}

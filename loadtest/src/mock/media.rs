//! What is no JSON conversation: OpenAI's speech, transcriptions and images, both vendors' files and batches, kept while the mock
//! runs. As strict as a provider about ids and forms. Pure but for what it keeps.

use std::collections::BTreeMap;

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::answer::{Event, Plan};
use super::call::{self, Dialect, Refusal};
use super::settings::Script;
use super::{anthropic, openai, refuse};

/// Sound, as far as anybody listens.
const SOUND: &[u8] = b"ID3\x04\0\0\0mock sound\xff\xfb\x90\0";
/// A GIF of one pixel.
const PIXEL: &str = "R0lGODlhAQABAAAAACw=";

/// What callers left.
#[derive(Default)]
pub struct Media {
    files: BTreeMap<String, (Value, Vec<u8>)>,
    batches: BTreeMap<String, Value>,
    made: usize,
}

/// Whether a path is one of these.
pub fn owns(path: &str) -> bool {
    ["/v1/audio/", "/v1/images/", "/v1/messages/batches"].iter().any(|start| path.starts_with(start))
        || ["/v1/files", "/v1/batches"]
            .iter()
            .any(|root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

impl Media {
    /// The answer to one request.
    pub fn answer(&mut self, (method, path): (&Method, &str), headers: &HeaderMap, body: &[u8]) -> Plan {
        let dialect = call::dialect_of(headers);
        let answered = call::authorize(dialect, headers)
            .and_then(|()| self.answered(dialect, (method, path), headers, body));
        answered.unwrap_or_else(|refusal| refuse(dialect, &refusal))
    }

    fn answered(
        &mut self,
        dialect: Dialect,
        (method, path): (&Method, &str),
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Plan, Refusal> {
        let path = path.strip_prefix("/v1/").unwrap_or(path);
        let path = path.strip_prefix("messages/").unwrap_or(path);
        let steps: Vec<&str> = path.split('/').collect();
        let own = if dialect == Dialect::Anthropic { anthropic::HEADERS } else { openai::HEADERS };
        let value = match (method.as_str(), steps.as_slice()) {
            ("POST", ["audio", "speech"]) => return speech(body),
            ("POST", ["images", "generations"]) => image(&json_of(body)?["model"])?,
            ("POST", ["images", _]) => image(&Value::from(form_of(headers, body)?.text("model")))?,
            ("POST", ["audio", _]) => return heard(&form_of(headers, body)?),
            ("POST", ["files"]) => self.upload(&form_of(headers, body)?)?,
            ("GET", ["files"]) => list(self.files.values().map(|(file, _)| file)),
            ("GET", ["files", id]) => self.file(id)?.0.clone(),
            ("GET", ["files", id, "content"]) => {
                return Ok(Plan::bytes(own, "application/octet-stream", &self.file(id)?.1));
            }
            ("DELETE", ["files", id]) => {
                self.files.remove(*id).ok_or_else(|| unknown(id))?;
                json!({ "id": id, "object": "file", "deleted": true, "type": "file_deleted" })
            }
            ("POST", ["batches"]) => self.batch(dialect, &json_of(body)?)?,
            ("GET", ["batches"]) => list(self.batches.values()),
            ("GET", ["batches", id]) => self.batches.get(*id).ok_or_else(|| unknown(id))?.clone(),
            ("POST", ["batches", id, "cancel"]) => {
                let batch = self.batches.get_mut(*id).ok_or_else(|| unknown(id))?;
                batch["status"] = json!("cancelling");
                batch.clone()
            }
            ("GET", ["batches", id, "results"]) => {
                self.batches.get(*id).ok_or_else(|| unknown(id))?;
                let line = json!({ "custom_id": "one", "result": { "type": "canceled" } });
                return Ok(Plan::bytes(own, "application/x-jsonl", format!("{line}\n").as_bytes()));
            }
            ("DELETE", ["batches", id]) => {
                self.batches.remove(*id).ok_or_else(|| unknown(id))?;
                json!({ "id": id, "type": "message_batch_deleted" })
            }
            _ => return Err(Refusal::new(404, "not_found_error", format!("There is no {method} {path}."))),
        };
        Ok(Plan::json(200, own, &value))
    }

    fn next_id(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}{}", self.made)
    }

    fn file(&self, id: &str) -> Result<&(Value, Vec<u8>), Refusal> {
        self.files.get(id).ok_or_else(|| unknown(id))
    }

    fn upload(&mut self, form: &Form) -> Result<Value, Refusal> {
        let file = form.file().ok_or_else(|| invalid("file", "The form has no file."))?.to_vec();
        if !form.text("provider").is_empty() {
            return Err(invalid("provider", "Unknown parameter: 'provider'."));
        }
        let id = self.next_id("file-");
        let said = json!({
            "id": id, "object": "file", "type": "file", "bytes": file.len(), "size_bytes": file.len(),
            "created_at": 1_700_000_000, "filename": "mock.bin", "purpose": form.text("purpose"),
            "status": "processed", "mime_type": "application/octet-stream",
        });
        self.files.insert(id, (said.clone(), file));
        Ok(said)
    }

    fn batch(&mut self, dialect: Dialect, body: &Value) -> Result<Value, Refusal> {
        if dialect == Dialect::Anthropic {
            let requests =
                body["requests"].as_array().ok_or_else(|| invalid("requests", "Field required"))?.len();
            let id = self.next_id("msgbatch_");
            let batch = json!({
                "id": id, "type": "message_batch", "processing_status": "ended",
                "request_counts": { "processing": 0, "succeeded": 0, "errored": 0, "canceled": requests, "expired": 0 },
                "created_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-02T00:00:00Z",
                "results_url": format!("https://api.anthropic.com/v1/messages/batches/{id}/results"),
            });
            self.batches.insert(id, batch.clone());
            return Ok(batch);
        }
        let input = body["input_file_id"].as_str().unwrap_or_default().to_owned();
        let lines = self.file(&input)?.1.clone();
        let output = self.next_id("file-");
        let said = json!({
            "id": output, "object": "file", "bytes": lines.len(), "created_at": 1_700_000_000,
            "filename": "out.jsonl", "purpose": "batch_output", "status": "processed",
        });
        self.files.insert(output.clone(), (said, lines));
        let id = self.next_id("batch_");
        let batch = json!({
            "id": id, "object": "batch", "endpoint": body["endpoint"], "input_file_id": input,
            "completion_window": body["completion_window"], "status": "completed", "created_at": 1_700_000_000,
            "output_file_id": output, "error_file_id": null,
        });
        self.batches.insert(id, batch.clone());
        Ok(batch)
    }
}

/// A form's parts: names, whether each is a file, and values.
struct Form(Vec<(String, bool, Vec<u8>)>);

impl Form {
    fn text(&self, name: &str) -> String {
        let found = self.0.iter().find(|(part, is_file, _)| part == name && !is_file);
        found.map(|(_, _, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    }

    fn file(&self) -> Option<&[u8]> {
        self.0.iter().find(|(_, is_file, _)| *is_file).map(|(_, _, value)| value.as_slice())
    }
}

fn form_of(headers: &HeaderMap, body: &[u8]) -> Result<Form, Refusal> {
    let refused = || invalid("body", "The body is no form.");
    let kind = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let boundary = kind.split("boundary=").nth(1).ok_or_else(refused)?.trim_matches('"');
    let (dash, delimiter) = (format!("--{boundary}\r\n"), format!("\r\n--{boundary}"));
    let mut rest = body.strip_prefix(dash.as_bytes()).ok_or_else(refused)?;
    let mut parts = Vec::new();
    loop {
        let head_end = find(rest, b"\r\n\r\n").ok_or_else(refused)?;
        let head = String::from_utf8_lossy(rest.get(..head_end).unwrap_or_default()).into_owned();
        let behind = rest.get(head_end + 4..).unwrap_or_default();
        let end = find(behind, delimiter.as_bytes()).ok_or_else(refused)?;
        let name =
            head.split("name=\"").nth(1).and_then(|text| text.split('"').next()).ok_or_else(refused)?;
        parts.push((
            name.to_owned(),
            head.contains("filename"),
            behind.get(..end).unwrap_or_default().to_vec(),
        ));
        rest = behind.get(end + delimiter.len()..).unwrap_or_default();
        match rest.strip_prefix(b"\r\n") {
            Some(next) => rest = next,
            None => return Ok(Form(parts)),
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn speech(body: &[u8]) -> Result<Plan, Refusal> {
    let body = json_of(body)?;
    check_model(&body["model"])?;
    if body["stream_format"] == "sse" {
        let event = |value: Value| Event::content(format!("data: {value}\n\n"));
        let events = [
            event(json!({ "type": "speech.audio.delta", "audio": PIXEL })),
            event(
                json!({ "type": "speech.audio.done", "usage": { "input_tokens": 1, "output_tokens": 2, "total_tokens": 3 } }),
            ),
        ];
        return Ok(Plan::events(openai::HEADERS, &events, &Script::default()));
    }
    Ok(Plan::bytes(openai::HEADERS, "audio/mpeg", SOUND))
}

fn heard(form: &Form) -> Result<Plan, Refusal> {
    check_model(&Value::from(form.text("model")))?;
    let file = form.file().ok_or_else(|| invalid("file", "The form has no file."))?;
    let text = format!("heard {} bytes", file.len());
    if form.text("stream") == "true" {
        let event = |value: Value| Event::content(format!("data: {value}\n\n"));
        let events = [
            event(json!({ "type": "transcript.text.delta", "delta": text })),
            event(json!({ "type": "transcript.text.done", "text": text })),
        ];
        return Ok(Plan::events(openai::HEADERS, &events, &Script::default()));
    }
    if form.text("response_format") == "text" {
        return Ok(Plan::bytes(openai::HEADERS, "text/plain", text.as_bytes()));
    }
    Ok(Plan::json(200, openai::HEADERS, &json!({ "text": text })))
}

fn image(model: &Value) -> Result<Value, Refusal> {
    check_model(model)?;
    Ok(json!({ "created": 1_700_000_000, "data": [{ "b64_json": PIXEL }] }))
}

fn check_model(model: &Value) -> Result<(), Refusal> {
    match model.as_str() {
        Some(name) if !name.is_empty() && !name.contains('/') => Ok(()),
        _ => Err(invalid("model", "you must provide a model parameter")),
    }
}

fn list<'a>(items: impl Iterator<Item = &'a Value>) -> Value {
    let items: Vec<&Value> = items.collect();
    let id = |item: Option<&&Value>| item.map(|item| item["id"].clone()).unwrap_or_default();
    let ends = (id(items.first()), id(items.last()));
    json!({ "object": "list", "data": items, "has_more": false, "first_id": ends.0, "last_id": ends.1 })
}

fn json_of(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|error| invalid("body", &format!("The body is not JSON: {error}")))
}

fn unknown(id: &str) -> Refusal {
    Refusal::new(404, "not_found_error", format!("No such object: {id}"))
}

fn invalid(param: &'static str, message: &str) -> Refusal {
    Refusal { param: Some(param), ..Refusal::new(400, "invalid_request_error", message) }
}

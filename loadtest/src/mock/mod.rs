//! The mock provider: OpenAI's chat completions, Anthropic's messages, Gemini's methods and Cohere's, whole and streamed, with a real provider's
//! strictness and a settable pace. It is a test's opposite, not a server for the open net.
//!
//! Requests are decoded by monoio-http; answers are written by us on the raw stream, since its encoder holds streamed
//! chunks back until 8 KiB. A tap below the decoder keeps each request's exact bytes for `GET /mock/requests`, since
//! the decoder lowers header names.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/chat/completions` | OpenAI's, whole or streamed |
//! | `POST /v1/messages` | Anthropic's, whole or streamed |
//! | `POST /v1/embeddings`, `/v1/moderations`, `/v1/completions` | OpenAI's |
//! | `POST /v1/messages/count_tokens` | Anthropic's |
//! | `POST /v1beta/models/{model}:{method}` | Gemini's: generateContent, streamGenerateContent (events or an array), countTokens, embedContent, batchEmbedContents |
//! | `POST /model/{model}/converse`, `converse-stream`, `invoke`, `invoke-with-response-stream` | Bedrock's |
//! | `/openai/v1/…`, `/openai/deployments/{deployment}/…?api-version=…`, `/openai/…?api-version=…`, `/anthropic/v1/…` | Azure's |
//! | `POST /v1/projects/{project}/locations/{region}/publishers/{publisher}/models/{model}:{method}`, `/v1/publishers/…` | Vertex' |
//! | `GET /v1beta/models`, `/v1beta/models/{model}` | Gemini's list, and one of it |
//! | `POST /v2/chat`, `/v2/embed`, `/v2/rerank`, `/v1/tokenize`, `GET /v1/models?page_size=…` | Cohere's |
//! | `POST /v1/rerank` | vLLM's |
//! | `POST /v1/responses`, and what is asked of a stored one | OpenAI's; each key knows its own |
//! | `GET /v1/models` | Anthropic's list when `anthropic-version` or `x-api-key` is there, else OpenAI's |
//! | `GET /mock/requests` | counters, the last request (`head`, `headers`, `body`) and up to 16 recent ones |
//! | `GET /mock/aborted` | `{"aborted": n}`: connections that the peer closed in the middle of an answer |
//! | `POST /mock/reset` | counters, recent requests and stored responses begin anew |
//!
//! A request scripts its own answer by words (see [`settings::Script`]): a last user text such as
//! `mock: status=429 delay_ms=200`, or a model such as `mock:status=429,delay_ms=200`. Tokens are words between
//! white space: prompt tokens are those of every text in `system` and `messages`, completion tokens those of the
//! answer's text, or of its tool calls' arguments.

pub mod answer;
pub mod anthropic;
pub mod bedrock;
pub mod call;
pub mod capture;
pub mod clouds;
pub mod cohere;
pub mod connection;
pub mod gemini;
pub mod media;
pub mod openai;
pub mod others;
pub mod responses;
pub mod settings;
pub mod tap;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use monoio::net::TcpListener;
use serde_json::json;

use answer::Plan;
use call::{Call, Dialect, Refusal};
use capture::Ledger;
use others::Other;
use responses::Responses;
use settings::Settings;

/// Everything that the connections of one mock share; they all live on one thread.
pub struct Mock {
    /// What the flags said.
    pub settings: Settings,
    /// What was received so far.
    pub ledger: RefCell<Ledger>,
    /// The last chat request's body with its plan: a load test sends the same bytes again and again.
    memo: RefCell<Option<(Dialect, Bytes, Rc<Plan>)>>,
    /// The errors due by `error_rate`, in requests; one is answered whenever it reaches 1.
    errors_due: RefCell<f64>,
    /// The responses that were made.
    responses: RefCell<Responses>,
    /// The files and batches.
    media: RefCell<media::Media>,
}

impl Mock {
    /// A mock that has received nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            ledger: RefCell::default(),
            memo: RefCell::default(),
            errors_due: RefCell::default(),
            responses: RefCell::default(),
            media: RefCell::default(),
        }
    }

    /// The answer to one request.
    pub fn answer(
        &self,
        method: &Method,
        (path, query): (&str, &str),
        headers: &HeaderMap,
        body: Bytes,
    ) -> Rc<Plan> {
        match (method, path) {
            (_, path) if gemini::owns(path) => {
                if *method == Method::POST && self.error_is_due() {
                    return Rc::new(gemini::refuse(&Refusal::scripted(self.settings.error_status)));
                }
                Rc::new(gemini::answer((method, path, query), headers, &body, &self.settings.script))
            }
            (_, path) if cohere::owns(path, query) => {
                if *method == Method::POST && self.error_is_due() {
                    return Rc::new(cohere::refuse(&Refusal::scripted(self.settings.error_status)));
                }
                Rc::new(cohere::answer((method, path), headers, &body, &self.settings.script))
            }
            (_, path) if bedrock::owns(path) => {
                if self.error_is_due() {
                    return Rc::new(bedrock::refuse(&Refusal::scripted(self.settings.error_status)));
                }
                Rc::new(bedrock::answer((method, path), headers, &body, &self.settings.script))
            }
            (_, path) if media::owns(path) => {
                Rc::new(self.media.borrow_mut().answer((method, path), headers, &body))
            }
            (&Method::POST, "/v1/chat/completions") => self.chat(Dialect::OpenAi, headers, body),
            (&Method::POST, "/v1/messages") => self.chat(Dialect::Anthropic, headers, body),
            (&Method::GET, "/v1/models") => Rc::new(models(headers)),
            (&Method::GET, "/mock/requests") => {
                Rc::new(Plan::json(200, &[], &self.ledger.borrow().to_json()))
            }
            (&Method::GET, "/mock/aborted") => {
                Rc::new(Plan::json(200, &[], &json!({ "aborted": self.ledger.borrow().aborted })))
            }
            (&Method::POST, "/mock/reset") => {
                *self.ledger.borrow_mut() = Ledger::default();
                *self.responses.borrow_mut() = Responses::default();
                Rc::new(Plan::json(200, &[], &json!({})))
            }
            (&Method::POST, path) if Other::at(path).is_some() => Rc::new(self.other(path, headers, &body)),
            _ => Rc::new(unknown_path(headers, method, path)),
        }
    }

    /// The answer to a request of a cloud's: the vendor's, as the cloud sends it. `None`: its path is no cloud's.
    pub fn answer_of_cloud(
        &self,
        method: &Method,
        target: (&str, &str),
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Option<Plan> {
        let home = match clouds::at_home(target, headers, body)? {
            Ok(home) => home,
            Err(plan) => return Some(plan),
        };
        let clouds::AtHome { cloud, path, query, headers, body } = home;
        if path.starts_with("/v1/responses") {
            let uri = format!("{path}?{query}").parse().ok()?;
            return Some(self.answer_responses(method, &uri, &headers, &body));
        }
        Some(cloud.dressed(&self.answer(method, (&path, &query), &headers, body)))
    }

    fn chat(&self, dialect: Dialect, headers: &HeaderMap, body: Bytes) -> Rc<Plan> {
        if let Err(refusal) = call::authorize(dialect, headers) {
            return Rc::new(refuse(dialect, &refusal));
        }
        if self.error_is_due() {
            return Rc::new(refuse(dialect, &Refusal::scripted(self.settings.error_status)));
        }
        if let Some((known_dialect, known_body, plan)) = &*self.memo.borrow()
            && *known_dialect == dialect
            && *known_body == body
        {
            return plan.clone();
        }
        let plan = Rc::new(match Call::read(dialect, &body, &self.settings.script) {
            Ok(call) => plan(&call),
            Err(refusal) => refuse(dialect, &refusal),
        });
        *self.memo.borrow_mut() = Some((dialect, body, plan.clone()));
        plan
    }

    fn other(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> Plan {
        let Some(other) = Other::at(path) else { return unknown_path(headers, &Method::POST, path) };
        let answer = call::authorize(other.dialect(), headers)
            .and_then(|()| other.answer(body, &self.settings.script));
        answer.unwrap_or_else(|refusal| refuse(other.dialect(), &refusal))
    }

    fn error_is_due(&self) -> bool {
        let mut due = self.errors_due.borrow_mut();
        *due += self.settings.error_rate;
        let is_due = *due >= 1.0;
        if is_due {
            *due -= 1.0;
        }
        is_due
    }
}

/// Accepts for ever; each connection is a task of this thread.
pub async fn serve(listener: TcpListener, mock: Rc<Mock>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        monoio::spawn(connection::serve(stream, mock.clone()));
    }
}

fn plan(call: &Call) -> Plan {
    if let Some(status) = call.script.status {
        let mut plan = refuse(
            call.dialect,
            &Refusal { retry_after_s: call.script.retry_after_s, ..Refusal::scripted(status) },
        );
        plan.delay_ms = call.script.delay_ms;
        return plan;
    }
    let headers = match call.dialect {
        Dialect::OpenAi => openai::HEADERS,
        Dialect::Anthropic => anthropic::HEADERS,
        Dialect::Gemini | Dialect::Bedrock => gemini::HEADERS,
    };
    if call.stream {
        let events = match call.dialect {
            Dialect::OpenAi => openai::stream(call),
            Dialect::Anthropic => anthropic::stream(call),
            Dialect::Gemini | Dialect::Bedrock => Vec::new(), // by their own `answer`
        };
        return Plan::events(headers, &events, &call.script);
    }
    let body = match call.dialect {
        Dialect::OpenAi => openai::whole(call),
        Dialect::Anthropic => anthropic::whole(call),
        Dialect::Gemini | Dialect::Bedrock => gemini::whole(call),
    };
    Plan::whole(headers, &body, &call.script)
}

fn refuse(dialect: Dialect, refusal: &Refusal) -> Plan {
    let retry_after = refusal.retry_after_s.map(|seconds| seconds.to_string());
    let mut headers: Vec<(&str, &str)> = match dialect {
        Dialect::OpenAi => openai::HEADERS.to_vec(),
        Dialect::Anthropic => anthropic::HEADERS.to_vec(),
        Dialect::Gemini | Dialect::Bedrock => gemini::HEADERS.to_vec(),
    };
    headers.extend(retry_after.as_deref().map(|seconds| ("retry-after", seconds)));
    let body = match dialect {
        Dialect::OpenAi => openai::error(refusal),
        Dialect::Anthropic => anthropic::error(refusal),
        Dialect::Gemini | Dialect::Bedrock => gemini::error(refusal),
    };
    Plan::json(refusal.status, &headers, &body)
}

fn models(headers: &HeaderMap) -> Plan {
    let dialect = call::dialect_of(headers);
    match (dialect, call::authorize(dialect, headers)) {
        (_, Err(refusal)) => refuse(dialect, &refusal),
        (Dialect::OpenAi | Dialect::Gemini | Dialect::Bedrock, Ok(())) => {
            Plan::json(200, openai::HEADERS, &openai::models())
        }
        (Dialect::Anthropic, Ok(())) => Plan::json(200, anthropic::HEADERS, &anthropic::models()),
    }
}

fn unknown_path(headers: &HeaderMap, method: &Method, path: &str) -> Plan {
    let message = format!("Invalid URL ({method} {path})");
    refuse(call::dialect_of(headers), &Refusal::new(404, "invalid_request_error", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(mock: &Mock, path: &str, headers: &[(&'static str, &'static str)], body: &str) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let plan = mock.answer(&Method::POST, (path, ""), &map, Bytes::from(body.to_owned()));
        plan.pieces.iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect()
    }

    #[test]
    fn is_as_strict_as_a_provider() {
        let mock = Mock::new(Settings::default());
        let hello = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hello you"}]}"#;
        assert!(post(&mock, "/v1/chat/completions", &[], hello).starts_with("HTTP/1.1 401 "));
        let auth = [("authorization", "Bearer k")];
        let answer = post(&mock, "/v1/chat/completions", &auth, hello);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains(r#""prompt_tokens":2"#), "{answer}");
        for (body, start, word) in [
            (r#"{"messages":[]}"#, "HTTP/1.1 400 ", "model"),
            (r#"{"model":"m"}"#, "HTTP/1.1 400 ", "messages"),
            (r#"{"model":"openai/m","messages":[]}"#, "HTTP/1.1 404 ", "model_not_found"),
            (r#"{"model":"m","messages":[],"fallbacks":[]}"#, "HTTP/1.1 400 ", "fallbacks"),
            ("{", "HTTP/1.1 400 ", "JSON"),
        ] {
            let answer = post(&mock, "/v1/chat/completions", &auth, body);
            assert!(answer.starts_with(start) && answer.contains(word), "{body}: {answer}");
        }
        let answer = post(&mock, "/v1/messages", &[("x-api-key", "k")], r#"{"model":"m","messages":[]}"#);
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("anthropic-version"), "{answer}");
    }

    #[test]
    fn errors_come_at_their_rate() {
        let settings = Settings { error_rate: 0.25, error_status: 503, ..Settings::default() };
        let mock = Mock::new(settings);
        let hello = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hello"}]}"#;
        let failed = (0..8)
            .filter(|_| {
                post(&mock, "/v1/chat/completions", &[("authorization", "Bearer k")], hello).contains(" 503 ")
            })
            .count();
        assert_eq!(failed, 2);
    }
}

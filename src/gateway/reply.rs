//! Answers of our own: heads, errors, health, metrics. What a provider answered is `relay`'s.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::exchange::Exchange;
use super::{Core, array, coding, own_fields};
use crate::api::Surface;
use crate::dialect::{self, ErrorContext, ErrorShape};
use crate::error::{Error, Kind};
use crate::http::encode;
use crate::net::ask::{Answer, Question};
use crate::net::server::{Downstream, Gone};
use crate::net::until;

/// How long `/metrics` waits for every core.
const METRICS_TIMEOUT: Duration = Duration::from_secs(5);
/// What a refused caller is told to wait when this core's budget is spent, or the node's connections are, seconds.
const RETRY_AFTER_S: &[u8] = b"1";

/// `GET /health`: this node serves. It asks no database.
pub(super) async fn health(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
) -> Result<(), Error> {
    let (status, word) = if core.is_draining() { (503, "draining") } else { (200, "ok") };
    // Of now, as the core's next request finds it.
    let snapshot = core.snapshot();
    let loaded_at = format!("{:.3}", core.loaded_at());
    let body = serde_json::json!({
        "status": word,
        "components": { "db_pings": "disabled" },
        "version": core.facts.version,
        "node": core.facts.node,
        "config": { "generation": snapshot.generation, "digest": snapshot.digest, "loaded_at": loaded_at },
    });
    send(downstream, exchange, status, "application/json", body.to_string().as_bytes()).await
}

/// `GET /metrics`: the sum over all cores.
pub(super) async fn metrics(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
) -> Result<(), Error> {
    let deadline = exchange.began() + METRICS_TIMEOUT;
    match until(deadline, core.net.asker.ask(Question::Metrics)).await {
        Some(Answer::Metrics(text)) => {
            send(downstream, exchange, 200, "text/plain; version=0.0.4; charset=utf-8", text.as_bytes()).await
        }
        _ => Err(Error::new(Kind::Overloaded, "the cores did not report their counters in 5 s")),
    }
}

/// Sends a whole answer.
pub(super) async fn send(
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    status: u16,
    content_type: &str,
    body: &[u8],
) -> Result<(), Error> {
    let mut out = Vec::with_capacity(256 + body.len());
    encode::status_line(&mut out, status);
    encode::field(&mut out, "content-type", content_type.as_bytes());
    encode::content_length(&mut out, body.len() as u64);
    if exchange.page.is_none() {
        // Somebody may keep the answer; a page would be told more.
        encode::field(&mut out, "vary", b"Origin");
    }
    finish(&mut out, exchange);
    if !exchange.is_head() {
        out.extend_from_slice(body);
        exchange.response_bytes += body.len() as u64;
    }
    exchange.status = status;
    timed_send(downstream, exchange, out).await.map(drop).map_err(Error::from)
}

/// Sends, counting the wait.
pub(super) async fn timed_send(
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    bytes: Vec<u8>,
) -> Result<Vec<u8>, Gone> {
    let before = exchange.take_head_at().unwrap_or_else(Instant::now);
    // From here on there is no further attempt.
    exchange.kept = None;
    let sent = downstream.send(bytes, before).await;
    exchange.waited_since(before);
    sent
}

/// Our own headers, then the end of the head.
pub(super) fn finish(out: &mut Vec<u8>, exchange: &mut Exchange<'_>) {
    exchange.reach_head();
    exchange.write_date(out);
    own_fields::write(out, exchange);
    if let Some(page) = &exchange.page {
        page.write(out);
    }
    connection(out, exchange.keep_alive, exchange.is_http_1_0());
    encode::end(out);
}

fn connection(out: &mut Vec<u8>, keep_alive: bool, is_http_1_0: bool) {
    match (keep_alive, is_http_1_0) {
        (false, _) => encode::field(out, "connection", b"close"),
        (true, true) => encode::field(out, "connection", b"keep-alive"),
        (true, false) => {}
    }
}

/// Answers with an error in the caller's shape.
pub(super) async fn error(
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    error: &Error,
) -> Result<(), Gone> {
    let shape = exchange.error_shape();
    let mut body = exchange.with_error_context(|context| dialect::encode_error(shape, error, context));
    if exchange.wants_array {
        body = array::of_error(body);
    }
    let mut out = Vec::with_capacity(1_024 + body.len());
    encode::status_line(&mut out, error.status());
    encode::field(&mut out, "content-type", b"application/json");
    error_header(&mut out, shape, error);
    match error.kind {
        Kind::Overloaded | Kind::RequestDropped => encode::field(&mut out, "retry-after", RETRY_AFTER_S),
        Kind::MethodNotAllowed => encode::field(&mut out, "allow", exchange.allow.as_bytes()),
        Kind::OriginNotAllowed => encode::field(&mut out, "vary", b"Origin"),
        Kind::UnsupportedMediaType if error.param.as_deref() == Some("content-encoding") => {
            encode::field(&mut out, "accept-encoding", coding::ACCEPTED);
        }
        _ => {}
    }
    encode::content_length(&mut out, body.len() as u64);
    finish(&mut out, exchange);
    exchange.status = error.status();
    if !exchange.is_head() {
        exchange.log_output(&body);
        out.extend_from_slice(&body);
    }
    timed_send(downstream, exchange, out).await.map(drop)
}

/// What some callers' SDKs take an error's class from.
pub(super) fn error_header(out: &mut Vec<u8>, shape: ErrorShape, error: &Error) {
    if let Some((name, value)) = dialect::error_header(shape, error) {
        encode::field(out, name, value.as_bytes());
    }
}

/// The answer to a head that never became a request.
pub(super) fn bare_error(core: &Core, surface: Surface, error: &Error) -> Vec<u8> {
    let shape = match surface {
        Surface::Anthropic => ErrorShape::Anthropic,
        Surface::Gemini => ErrorShape::Gemini,
        Surface::Cohere => ErrorShape::Cohere,
        Surface::Bedrock => ErrorShape::Bedrock,
        Surface::OpenAi => ErrorShape::OpenAi,
        Surface::Native => ErrorShape::Native,
    };
    let id = core.new_id(0).to_string();
    let context = ErrorContext { provider: "", model_requested: "", request_type: "", request_id: &id };
    let body = dialect::encode_error(shape, error, &context);
    let mut out = Vec::with_capacity(256 + body.len());
    encode::status_line(&mut out, error.status());
    encode::field(&mut out, "content-type", b"application/json");
    error_header(&mut out, shape, error);
    if error.kind == Kind::TooManyConnections {
        encode::field(&mut out, "retry-after", RETRY_AFTER_S);
    }
    encode::content_length(&mut out, body.len() as u64);
    let unix_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    core.write_date(&mut out, i64::try_from(unix_s).unwrap_or_default());
    connection(&mut out, false, false);
    encode::end(&mut out);
    out.extend_from_slice(&body);
    out
}

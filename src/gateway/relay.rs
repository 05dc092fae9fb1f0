//! The provider's answer on its way to the caller: whole answers and errors, as they are or translated. Streams are
//! `relay_stream`'s.

use std::time::Instant;

use super::compute::compute;
use super::exchange::Exchange;
use super::failure::{Answered, Failure};
use super::{Core, fields, relay_stream, reply};
use crate::chat::Usage;
use crate::config::snapshot::Provider;
use crate::dialect::look::Look;
use crate::dialect::{self, Dialect};
use crate::error::{Error, Kind};
use crate::http::chunked::{LAST_CHUNK, write_chunk};
use crate::http::encode;
use crate::http::{Framing, ResponseHead};
use crate::net::client::{Progress, Upstream};
use crate::net::places::Place;
use crate::net::server::{Downstream, Gone};
use crate::net::{Raced, race, until};

/// A whole answer up to this is sent in one go with its length; a longer one is passed on as it comes in.
const HOLD_BYTES_MAX: usize = 64 * 1024;
/// Largest whole answer that is translated; it must be held to be.
const TRANSLATED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What is read of a provider's error body; the rest is dropped with its connection.
const ERROR_BYTES_MAX: usize = 64 * 1024;
/// What is kept of the end of a long answer, where its usage stands.
const TAIL_BYTES_MAX: usize = 16 * 1024;

/// What the answer must be turned into.
pub(super) struct Translation {
    /// The provider's dialect.
    pub(super) from: Dialect,
    /// The caller's.
    pub(super) to: Dialect,
    /// Whether a stream's end carries the usage.
    pub(super) include_usage: bool,
    /// Parameters that the provider's dialect could not express.
    pub(super) dropped: Vec<String>,
}

impl Translation {
    /// The answer passes through.
    pub(super) fn none(dialect: Dialect) -> Self {
        Self { from: dialect, to: dialect, include_usage: true, dropped: Vec::new() }
    }

    /// Whether it passes through.
    pub(super) fn is_none(&self) -> bool {
        self.from == self.to
    }
}

/// A provider's answer whose head has come.
pub(super) struct Answer<'a> {
    pub(super) upstream: Box<Upstream>,
    pub(super) head: ResponseHead,
    pub(super) provider: &'a Provider,
    pub(super) translation: Translation,
    /// When the request was sent.
    pub(super) sent: Instant,
    /// When a whole answer must be here.
    pub(super) deadline: Instant,
    /// Its place with the provider, where that has a limit: given back when the answer is at hand, or its first event.
    pub(super) place: Option<Place>,
}

/// Moves the answer to the caller. A failure before its first byte went there is the attempt's alone; after it, nothing is
/// left to be tried.
pub(super) async fn relay(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    answer: Answer<'_>,
) -> Result<(), Failure> {
    let relayed = match answer.head.status {
        _ if answer.head.is_coded => Err(Error::unusable_answer("it is compressed, which was not asked for")),
        400..=599 => return Err(failed(core, downstream, exchange, answer).await),
        200..=299 if exchange.stream && answer.head.is_event_stream => {
            relay_stream::relay(core, downstream, exchange, answer).await
        }
        200..=299 if answer.translation.is_none() => whole(core, downstream, exchange, answer).await,
        200..=299 => translated(core, downstream, exchange, answer).await,
        status => Err(Error::unusable_answer(&format!("status {status} is no answer to a POST"))),
    };
    relayed.map_err(Failure::from)
}

/// Answers the caller with what a provider said to an attempt that failed.
pub(super) async fn answer(
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    Answered { mut head, body }: Answered,
    error: &Error,
) -> Result<(), Error> {
    exchange.fail(error);
    send_whole(downstream, exchange, &mut head, &body).await
}

async fn whole(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    mut answer: Answer<'_>,
) -> Result<(), Error> {
    let mut out = returned_head(&answer, true);
    let mut body = Vec::new();
    let progress = answer.collect(downstream, exchange, &mut body, HOLD_BYTES_MAX).await?;
    exchange.status = answer.head.status;
    if progress == Progress::More {
        return long(core, downstream, exchange, answer, out, body).await;
    }
    answer.check_end()?;
    exchange.usage = dialect::usage_of(answer.translation.from, &body);
    answer.release(core, exchange.now());
    send_whole(downstream, exchange, &mut out, &body).await
}

/// Frames `body` with its length behind the head in `out`, and sends both.
async fn send_whole(
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    out: &mut Vec<u8>,
    body: &[u8],
) -> Result<(), Error> {
    // RFC 9110 section 8.6: a 204 has none.
    if exchange.status != 204 {
        encode::content_length(out, body.len() as u64);
    }
    reply::finish(out, exchange);
    out.extend_from_slice(body);
    exchange.log_output(body);
    reply::timed_send(downstream, exchange, std::mem::take(out)).await.map(drop).map_err(Error::from)
}

/// A long whole answer: passed on as it comes in, its usage read from its end.
async fn long(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    mut answer: Answer<'_>,
    mut out: Vec<u8>,
    mut piece: Vec<u8>,
) -> Result<(), Error> {
    let framing = BodyFraming::of(answer.head.framing, exchange);
    framing.write(&mut out);
    reply::finish(&mut out, exchange);
    let mut tail = Tail::new();
    loop {
        tail.push(&piece);
        exchange.log_output(&piece);
        framing.frame(&mut out, &piece);
        out = reply::timed_send(downstream, exchange, out).await?;
        piece.clear();
        match answer.collect(downstream, exchange, &mut piece, HOLD_BYTES_MAX).await? {
            Progress::More => {}
            Progress::Done => break,
        }
    }
    tail.push(&piece);
    exchange.log_output(&piece);
    exchange.usage = tail.usage(answer.translation.from);
    framing.frame(&mut out, &piece);
    framing.end(&mut out);
    answer.release(core, exchange.now());
    reply::timed_send(downstream, exchange, out).await.map(drop).map_err(Error::from)
}

async fn translated(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    mut answer: Answer<'_>,
) -> Result<(), Error> {
    // Before the body is read, which takes the head's bytes.
    let mut out = returned_head(&answer, true);
    let mut hold = core.net.budget.hold();
    let mut body = Vec::new();
    let mut step_bytes = HOLD_BYTES_MAX;
    while answer.collect(downstream, exchange, &mut body, step_bytes).await? == Progress::More {
        step_bytes = body.len() + HOLD_BYTES_MAX;
        if body.len() > TRANSLATED_BYTES_MAX {
            return Err(Error::unusable_answer("it is over 16 MiB, more than this version translates"));
        }
        hold.resize(body.len())?;
    }
    answer.check_end()?;
    answer.place = None;
    let (from, to, created_s) = (answer.translation.from, answer.translation.to, exchange.created_s());
    let length = body.len();
    let work = move || dialect::translate_response(from, to, &body, created_s);
    let response = match race(Box::pin(compute(core, length, work)), downstream.gone()).await {
        Raced::First(response) => response??,
        Raced::Second(()) => return Err(Gone.into()),
    };
    exchange.usage = response.usage;
    exchange.status = answer.head.status;
    answer.release(core, exchange.now());
    send_whole(downstream, exchange, &mut out, &response.body).await
}

/// An error status: the provider's words in the caller's shape, its own when the shape is the same.
async fn failed(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    mut answer: Answer<'_>,
) -> Failure {
    let keeps_words = answer.translation.is_none()
        && exchange.error_shape() != dialect::ErrorShape::Native
        && answer.is_json();
    let mut out = returned_head(&answer, keeps_words);
    mask_key(&mut out, exchange);
    let mut body = Vec::new();
    // An error body that breaks off is still the provider's error.
    if let Err(error) = answer.collect(downstream, exchange, &mut body, ERROR_BYTES_MAX).await
        && error.kind == Kind::ClientGone
    {
        return error.into();
    }
    if let Err(error) = answer.check_end() {
        return error.into();
    }
    mask_key(&mut body, exchange);
    let status = answer.head.status;
    let error = Error::upstream(dialect::decode_error(answer.translation.from, status, &body));
    if !keeps_words {
        let shape = exchange.error_shape();
        body = exchange.with_error_context(|context| dialect::encode_error(shape, &error, context));
        encode::field(&mut out, "content-type", b"application/json");
    }
    answer.release(core, exchange.now());
    Failure { error, retry_after: None, answer: Some(Box::new(Answered { head: out, body })) }
}

/// Overwrites the chosen key's value, which providers quote in errors.
fn mask_key(bytes: &mut [u8], exchange: &Exchange<'_>) {
    if let Some(secret) = exchange.chosen().1.and_then(|key| key.secret.as_ref()) {
        super::mask::mask(bytes, secret.expose().as_bytes());
    }
}

/// The status line and the headers that return to the caller, without framing and without an end. To be called before
/// the body is read, which takes the head's bytes.
pub(super) fn returned_head(answer: &Answer<'_>, with_content_type: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    encode::status_line(&mut out, answer.head.status);
    let bytes = answer.upstream.head_bytes();
    let nominated = fields::nominated(answer.head.fields(bytes));
    for (name, value) in answer.head.fields(bytes) {
        let is_content_type = name.eq_ignore_ascii_case(b"content-type");
        if fields::returns(name, &nominated) && (with_content_type || !is_content_type) {
            encode::field(&mut out, name, value);
        }
    }
    if answer.head.is_event_stream {
        // Also where no stream was asked for: no cache keeps it, and nginx in front of us passes it on as it comes.
        encode::field(&mut out, "cache-control", b"no-cache");
        encode::field(&mut out, "x-accel-buffering", b"no");
    }
    if !answer.translation.dropped.is_empty() {
        encode::field(
            &mut out,
            "x-corelane-dropped-params",
            answer.translation.dropped.join(", ").as_bytes(),
        );
    }
    out
}

impl Answer<'_> {
    fn is_json(&self) -> bool {
        let kind = self.head.field(self.upstream.head_bytes(), "content-type").unwrap_or_default();
        kind.get(..16).is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/json"))
    }

    /// Reads body into `sink` until it is done or holds more than `bytes_max`. The caller's leaving, and the deadline,
    /// end it.
    async fn collect(
        &mut self,
        downstream: &mut Downstream,
        exchange: &mut Exchange<'_>,
        sink: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<Progress, Error> {
        if self.upstream.take_body(sink)? == Progress::Done {
            return Ok(Progress::Done);
        }
        let before = exchange.now();
        let reading = until(self.deadline, read_to(&mut self.upstream, sink, bytes_max));
        let read = race(reading, downstream.gone()).await;
        exchange.waited_since(before);
        exchange.upstream = Some(exchange.now() - self.sent);
        match read {
            Raced::First(Some(progress)) => progress,
            Raced::First(None) => Err(timed_out(self.provider)),
            Raced::Second(()) => Err(Gone.into()),
        }
    }

    /// Errors: bytes stand behind the answer's end. Which of them are the answer nobody can say, so that the caller gets none
    /// while there is a choice.
    pub(super) fn check_end(&self) -> Result<(), Error> {
        match self.upstream.has_surplus() {
            true => Err(Error::unusable_answer("more bytes stand behind its end")),
            false => Ok(()),
        }
    }

    /// Gives the connection back, if it may carry another request.
    pub(super) fn release(self, core: &Core, now: Instant) {
        if self.upstream.is_reusable() {
            core.net.pool.release(self.upstream, now, self.provider.keep_alive_timeout);
        }
    }
}

async fn read_to(upstream: &mut Upstream, sink: &mut Vec<u8>, bytes_max: usize) -> Result<Progress, Error> {
    loop {
        match upstream.read_body(sink).await? {
            Progress::More if sink.len() <= bytes_max => {}
            progress => return Ok(progress),
        }
    }
}

/// How a body goes down to the caller.
#[derive(Clone, Copy)]
pub(super) enum BodyFraming {
    Length(u64),
    Chunked,
    Close,
}

impl BodyFraming {
    /// As the provider framed it where that is a length; else chunks, or, for HTTP/1.0, until the connection closes.
    pub(super) fn of(framing: Framing, exchange: &mut Exchange<'_>) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            _ => Self::unknown(exchange),
        }
    }

    /// For a body whose length nobody knows.
    pub(super) fn unknown(exchange: &mut Exchange<'_>) -> Self {
        if exchange.is_http_1_0() {
            exchange.keep_alive = false;
            return Self::Close;
        }
        Self::Chunked
    }

    /// The header that says so.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Length(length) => encode::content_length(out, length),
            Self::Chunked => encode::field(out, "transfer-encoding", b"chunked"),
            Self::Close => {}
        }
    }

    /// A piece of the body.
    pub(super) fn frame(self, out: &mut Vec<u8>, piece: &[u8]) {
        match self {
            Self::Chunked if !piece.is_empty() => write_chunk(out, piece),
            Self::Chunked => {}
            _ => out.extend_from_slice(piece),
        }
    }

    /// A comment in a stream of events, which its readers ignore.
    pub(super) fn comment(self) -> &'static [u8] {
        match self {
            Self::Chunked => b"3\r\n:\n\n\r\n",
            Self::Close => b":\n\n",
            Self::Length(_) => b"",
        }
    }

    /// The end of the body.
    pub(super) fn end(self, out: &mut Vec<u8>) {
        if let Self::Chunked = self {
            out.extend_from_slice(LAST_CHUNK);
        }
    }
}

/// The end of a long answer, and where its usage stands.
struct Tail {
    look: Option<Look<1>>,
    bytes: Vec<u8>,
    seen_bytes: usize,
}

impl Tail {
    fn new() -> Self {
        Self { look: Some(Look::new(&["usage"])), bytes: Vec::new(), seen_bytes: 0 }
    }

    fn push(&mut self, piece: &[u8]) {
        // An answer that is not JSON has no usage; it is passed on all the same.
        if self.look.as_mut().is_some_and(|look| look.push(piece).is_err()) {
            self.look = None;
        }
        self.seen_bytes += piece.len();
        self.bytes.extend_from_slice(piece);
        let surplus_bytes = self.bytes.len().saturating_sub(TAIL_BYTES_MAX);
        self.bytes.drain(..surplus_bytes);
    }

    fn usage(self, dialect: Dialect) -> Option<Usage> {
        let span = self.look?.finish().ok()?.value(0)?;
        let dropped_bytes = self.seen_bytes - self.bytes.len();
        let start = span.start.checked_sub(dropped_bytes)?;
        let value = self.bytes.get(start..span.end - dropped_bytes)?;
        dialect::usage_of(dialect, &[b"{\"usage\":", value, b"}"].concat())
    }
}

/// The error of a provider that took too long.
pub(super) fn timed_out(provider: &Provider) -> Error {
    let message = format!(
        "provider {} did not answer in {} s (network_config.default_request_timeout_in_seconds)",
        provider.name,
        provider.request_timeout.as_secs()
    );
    Error::new(Kind::UpstreamTimeout, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_found_at_the_end_of_a_long_answer() {
        let long = "x".repeat(3 * TAIL_BYTES_MAX);
        let body = format!(
            r#"{{"choices":["{long}"],"usage":{{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}}}"#
        );
        let mut tail = Tail::new();
        body.as_bytes().chunks(1000).for_each(|piece| tail.push(piece));
        assert_eq!(tail.usage(Dialect::OpenAi).map(|usage| usage.total_tokens), Some(7));
    }
}

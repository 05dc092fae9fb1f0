//! The provider's answer on its way to the caller, as far as it is one thing: its head, its errors, how it is read. Whole
//! answers are `relay_whole`'s, streams `relay_stream`'s.

use std::time::{Duration, Instant};

use super::attend::attend;
use super::due::Due;
use super::exchange::Exchange;
use super::failure::{Answered, Failure};
use super::{Core, array, fields, frames, mask, relay_raw, relay_stream, relay_whole, reply, retry_after};
use crate::config::snapshot::{OnClientGone, Provider};
use crate::dialect::response_id::Tag;
use crate::dialect::{self, Dialect, Echo};
use crate::error::{Error, Kind, UpstreamError};
use crate::http::{ResponseHead, encode};
use crate::net::client::{Progress, Upstream};
use crate::net::places::Place;
use crate::net::server::{Downstream, Gone};
use crate::net::{until, within};

/// What is read of a provider's error body; the rest is dropped with its connection.
const ERROR_BYTES_MAX: usize = 64 * 1024;
/// How long an error's body is waited for: another attempt may be due.
const ERROR_WAIT: Duration = Duration::from_secs(5);

/// What the answer must be turned into.
pub(super) struct Translation {
    /// The provider's dialect.
    pub(super) from: Dialect,
    /// The caller's.
    pub(super) to: Dialect,
    /// Whether a stream's end carries the usage; where the stream passes through, it is taken out otherwise.
    pub(super) include_usage: bool,
    /// Parameters that the provider's dialect could not express.
    pub(super) dropped: Vec<String>,
    /// What the request says of its answer.
    pub(super) echo: Echo,
    /// What the ids of responses are marked with on their way to the caller.
    pub(super) tag: Option<Tag>,
    /// It tells of a response that was made before: that this one failed is no failure of the request.
    pub(super) is_stored: bool,
    /// It tells of batches or files, whose ids are marked.
    pub(super) is_of_account: bool,
}

impl Translation {
    /// The answer passes through.
    pub(super) fn none(dialect: Dialect) -> Self {
        Self {
            from: dialect,
            to: dialect,
            include_usage: true,
            dropped: Vec::new(),
            echo: Echo::default(),
            tag: None,
            is_stored: false,
            is_of_account: false,
        }
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
        400..=599 => Err(failed(core, downstream, exchange, answer).await),
        _ if answer.head.is_coded => {
            Err(Error::unusable_answer("it is compressed, which was not asked for").into())
        }
        200..=299 if relay_raw::is_raw(exchange, &answer) => {
            // Boxed: most answers are conversations.
            Box::pin(relay_raw::relay(core, downstream, exchange, answer)).await.map_err(Failure::from)
        }
        200..=299 if exchange.stream && (answer.head.is_event_stream || answer.head.is_frame_stream) => {
            relay_stream::relay(core, downstream, exchange, answer).await.map_err(Failure::from)
        }
        200..=299 if answer.translation.is_none() => {
            relay_whole::relay(core, downstream, exchange, answer).await.map_err(Failure::from)
        }
        200..=299 => relay_whole::translated(core, downstream, exchange, answer).await.map_err(Failure::from),
        status => Err(Error::unusable_answer(&format!("status {status} is no answer to a POST")).into()),
    };
    match relayed {
        // Whatever came of it, there is nobody to be told, and nothing more to be tried.
        _ if exchange.caller_has_left => Err(Error::from(Gone).into()),
        // One that has an answer was masked with it.
        Err(Failure { error, retry_after, answer: None }) => {
            Err(Failure { error: masked(error, exchange), retry_after, answer: None })
        }
        relayed => relayed,
    }
}

/// Answers the caller with what a provider said to an attempt that failed.
pub(super) async fn answer(
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    Answered { head, body }: Answered,
    error: &Error,
) -> Result<(), Error> {
    exchange.fail(error);
    relay_whole::send(downstream, exchange, head, &body).await
}

/// An error status: the provider's words in the caller's shape, its own when the shape is the same; without words where they
/// are compressed, which was not asked for.
async fn failed(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    mut answer: Answer<'_>,
) -> Failure {
    // Between Vertex and a Claude, errors are Google's.
    let is_wrapped = answer.provider.cloud.is_some_and(|cloud| cloud.wraps(answer.translation.from));
    let keeps_words = answer.translation.is_none()
        && !is_wrapped
        && exchange.error_shape() != dialect::ErrorShape::Native
        && (exchange.error_shape() == dialect::ErrorShape::Bedrock)
            == (answer.translation.from == Dialect::Bedrock)
        && !answer.head.is_coded
        && answer.is_json();
    let mut out = returned_head(&answer, keeps_words);
    let field = |name: &str| answer.head.field(answer.upstream.head_bytes(), name);
    let retry_after = retry_after::asked(field, exchange.unix_s());
    let named = field(frames::ERROR_TYPE).map(<[u8]>::to_vec);
    mask_key(&mut out, exchange);
    let mut body = Vec::new();
    if !answer.head.is_coded {
        let before = exchange.now();
        let collected = answer.collect(downstream, exchange, &mut body, ERROR_BYTES_MAX);
        // An error body that breaks off, or does not come, is still the provider's error.
        match until(before + ERROR_WAIT, collected).await {
            Some(Err(error)) if error.kind == Kind::ClientGone => return error.into(),
            Some(_) => {}
            None => exchange.waited_since(before),
        }
        if let Err(error) = answer.check_end() {
            return error.into();
        }
    }
    mask_key(&mut body, exchange);
    let status = answer.head.status;
    let mut error = dialect::decode_error(answer.translation.from, status, &body);
    if let Some(kind) = named.as_ref().filter(|_| answer.translation.from == Dialect::Bedrock) {
        dialect::name_error(&mut error, kind);
    }
    // Once more: undone escapes, and texts put together, may spell it anew.
    let error = masked(Error::upstream(error), exchange);
    let delay_s = || dialect::decode_retry_delay_s(answer.translation.from, &body);
    let retry_after = retry_after.or_else(|| delay_s().map(retry_after::of_seconds));
    if !keeps_words {
        let shape = exchange.error_shape();
        body = exchange.with_error_context(|context| dialect::encode_error(shape, &error, context));
        encode::field(&mut out, "content-type", b"application/json");
        if named.is_none() {
            reply::error_header(&mut out, shape, &error);
        }
    }
    if exchange.wants_array {
        body = array::of_error(body);
    }
    answer.release(core, exchange.now());
    Failure { error, retry_after, answer: Some(Box::new(Answered { head: out, body })) }
}

/// Overwrites the chosen key's value, which providers quote in errors, and what else of ours went to them as a secret.
pub(super) fn mask_key(bytes: &mut [u8], exchange: &Exchange<'_>) {
    let (provider, key) = exchange.chosen();
    mask::mask_all(bytes, provider, key);
}

/// The same in the words of a provider's error.
pub(super) fn masked(mut error: Error, exchange: &Exchange<'_>) -> Error {
    let Some(upstream) = error.upstream.take() else { return error };
    let masked = |text: String| {
        let mut bytes = text.into_bytes();
        mask_key(&mut bytes, exchange);
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Error::upstream(UpstreamError {
        status: upstream.status,
        kind: masked(upstream.kind),
        code: upstream.code.map(masked),
        message: masked(upstream.message),
        param: upstream.param.map(masked),
    })
}

/// Sends bytes of the answer, unless nobody is there to take them. The buffer comes back empty.
pub(super) async fn pass(
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    bytes: Vec<u8>,
) -> Result<Vec<u8>, Error> {
    if exchange.caller_has_left {
        exchange.kept = None;
        return Ok(Vec::new());
    }
    match reply::timed_send(downstream, exchange, bytes).await {
        Err(Gone) if on_client_gone(exchange) == OnClientGone::Finish => {
            exchange.caller_has_left = true;
            Ok(Vec::new())
        }
        sent => Ok(sent?),
    }
}

fn on_client_gone(exchange: &Exchange<'_>) -> OnClientGone {
    exchange.chosen().0.map(|provider| provider.on_client_gone).unwrap_or_default()
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
    if answer.head.is_event_stream || answer.head.is_frame_stream {
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
    pub(super) fn is_json(&self) -> bool {
        let kind = self.head.field(self.upstream.head_bytes(), "content-type").unwrap_or_default();
        kind.get(..16).is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/json"))
    }

    /// Reads body into `sink` until it is done or holds more than `bytes_max`. The caller's leaving, and the deadline of a
    /// whole answer, end it.
    pub(super) async fn collect(
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
        let due = Due::of_answer(exchange, self.provider, self.sent);
        let mut alarm = downstream.lend_alarm();
        let reading = within(&mut alarm, due.at, read_to(&mut self.upstream, sink, bytes_max));
        let policy = self.provider.on_client_gone;
        let read = attend(downstream, &mut exchange.caller_has_left, policy, reading).await;
        downstream.take_back(alarm);
        exchange.waited_since(before);
        exchange.upstream = Some(exchange.now() - self.sent);
        read?.unwrap_or_else(|| Err(due.error(exchange, self.provider)))
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

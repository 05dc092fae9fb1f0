//! A conversation: what the caller asks is read from its body, a provider and a key are chosen, the request goes out as the
//! provider speaks, and the answer is handed to `relay`.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::compute::compute;
use super::exchange::Exchange;
use super::failure::Failure;
use super::outgoing::{self, Caller, Edit};
use super::relay::{self, Translation};
use super::trail::Outcome;
use super::{Core, body, place};
use crate::config::snapshot::Provider;
use crate::dialect::look::{self, Members};
use crate::dialect::{self, Dialect};
use crate::error::{Error, Kind};
use crate::http::Method;
use crate::net::client::{self, Outgoing};
use crate::net::server::{Downstream, Gone, Request};
use crate::net::{Raced, race, until};
use crate::routing::plan::{Attempt, Failed, Features, Step, classify, plan};

/// The top-level keys that decide something here; any of them twice is refused.
const KEYS: [&str; 4] = ["model", "stream", "stream_options", "fallbacks"];
const MODEL: usize = 0;
const STREAM: usize = 1;
const STREAM_OPTIONS: usize = 2;
const FALLBACKS: usize = 3;

/// What the look found.
struct Asked {
    /// The model's name, and where its string stands in the body.
    model: String,
    model_span: std::ops::Range<usize>,
    stream: bool,
    include_usage: bool,
    /// An empty `fallbacks`, to be cut out: it is addressed to us.
    cuts: Vec<std::ops::Range<usize>>,
}

/// Serves one conversation.
pub(super) async fn serve(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
) -> Result<(), Error> {
    let members = body::receive(core, downstream, request, exchange, &KEYS).await?;
    let asked = asked(request.body(), &members)?;
    exchange.stream = asked.stream;
    exchange.activate();
    exchange.model.clone_from(&asked.model);
    exchange.model_requested.clone_from(&asked.model);
    let snapshot = exchange.snapshot.clone();
    let deadline = exchange.began() + snapshot.server.request_total_timeout;
    let features = Features {
        model: &asked.model,
        home: exchange.route.and_then(|route| route.home),
        stream: asked.stream,
        pin: None,
        session: None,
        fallbacks: None,
        deadline,
        record: false,
    };
    let health = Rc::clone(&exchange.health);
    let (mut plan, mut attempt) = plan(&snapshot, features, &*health, exchange.now(), exchange.seed())?;
    let mut kept: Option<Failure> = None;
    let mut wait = Duration::ZERO;
    loop {
        exchange.choose(&attempt);
        exchange.trail.begin(&attempt, wait);
        let before = exchange.now();
        let tried = try_once(core, downstream, request, exchange, &asked, &attempt).await;
        let outcome =
            tried.as_ref().map_or_else(|f| Outcome::of(&f.error), |()| Outcome::Status(exchange.status));
        exchange.trail.end(outcome, exchange.now() - before);
        exchange.end_attempt(core, &tried);
        let Err(failure) = tried else { return Ok(()) };
        if failure.error.kind == Kind::ClientGone || downstream.has_started() {
            return Err(failure.error);
        }
        let failed = Failed { class: classify(&failure.error), retry_after: failure.retry_after };
        let next = plan.next(failed, &*health, exchange.now());
        if next.keep || kept.is_none() {
            kept = Some(failure);
        }
        match (next.step, kept.take()) {
            (Step::Attempt { attempt: following, after }, failure) => {
                (attempt, kept, wait) = (following, failure, after);
                pause(downstream, exchange, after).await?;
            }
            (_, Some(Failure { error, answer: Some(answer), .. })) => {
                return relay::answer(downstream, exchange, *answer, &error).await;
            }
            (_, failure) => return Err(failure.map_or_else(no_provider, |failure| failure.error)),
        }
    }
}

/// Waits before an attempt. The caller's leaving ends it.
async fn pause(
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    after: Duration,
) -> Result<(), Error> {
    if after.is_zero() {
        return Ok(());
    }
    let before = exchange.now();
    let slept = until(before + after, downstream.gone()).await;
    exchange.waited_since(before);
    slept.map_or(Ok(()), |()| Err(Gone.into()))
}

/// One attempt, from the choice to the caller's answer.
async fn try_once(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    asked: &Asked,
    attempt: &Attempt<'_>,
) -> Result<(), Failure> {
    let snapshot = exchange.snapshot.clone();
    let provider = snapshot.providers.get(usize::from(attempt.provider.0)).ok_or_else(no_provider)?;
    let (outgoing, translation) =
        prepare(core, downstream, request, exchange, (provider, asked, attempt.wire_model)).await?;
    send(core, downstream, exchange, provider, outgoing, translation).await
}

fn asked(body: &[u8], members: &Members<{ KEYS.len() }>) -> Result<Asked, Error> {
    let raw = |index| members.value(index).and_then(|span| body.get(span));
    let model_span = members.value(MODEL).ok_or_else(|| missing_model("model is required"))?;
    let model = raw(MODEL).and_then(look::string_value);
    let model = model.ok_or_else(|| missing_model("model must be a string"))?.into_owned();
    let stream = match raw(STREAM) {
        Some(b"true") => true,
        None | Some(b"false" | b"null") => false,
        Some(_) => {
            return Err(Error::new(Kind::InvalidRequest, "stream must be true or false").with_param("stream"));
        }
    };
    let cuts = match raw(FALLBACKS) {
        None => Vec::new(),
        Some(value) if is_empty(value) => members.cuts(&[FALLBACKS]),
        Some(_) => {
            let message = "this version has no fallbacks; leave the field out";
            return Err(Error::new(Kind::UnsupportedParameter, message).with_param("fallbacks"));
        }
    };
    let include_usage = raw(STREAM_OPTIONS).is_some_and(includes_usage);
    Ok(Asked { model, model_span, stream, include_usage, cuts })
}

fn missing_model(message: &'static str) -> Error {
    Error::new(Kind::ModelNotFound, message).with_param("model")
}

/// `null`, or an array of nothing.
fn is_empty(value: &[u8]) -> bool {
    let inside = value.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    value == b"null" || inside.is_some_and(|inside| inside.trim_ascii().is_empty())
}

fn includes_usage(stream_options: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Options {
        #[serde(default)]
        include_usage: Option<bool>,
    }
    serde_json::from_slice::<Options>(stream_options).is_ok_and(|options| options.include_usage == Some(true))
}

/// The request as the provider will get it, and what its answer must be turned into.
async fn prepare(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    (provider, asked, wire_model): (&Provider, &Asked, &str),
) -> Result<(Outgoing, Translation), Error> {
    let from = exchange.caller_dialect().ok_or_else(no_provider)?;
    let to = provider.dialect.ok_or_else(no_provider)?;
    let (_, key) = exchange.chosen();
    let caller = Caller { request, same_dialect: from == to, nominates: exchange.noted.nominates };
    let path = if asked.stream { &provider.chat_stream_path } else { &provider.chat_path };
    let head = outgoing::head(Method::Post, path, provider, key, to, Some(caller));
    if from == to {
        let outgoing = outgoing::passthrough(head, request, &edits(asked, wire_model));
        return Ok((outgoing, Translation::none(to)));
    }
    let (length, model, stream) = (request.body().len(), wire_model.to_owned(), asked.stream);
    let (bytes, start) = (std::mem::take(&mut request.bytes), request.head.head_bytes);
    let encoded = compute(core, length, move || {
        let body = bytes.get(start..).unwrap_or_default();
        dialect::translate_request(from, to, body, &model, stream)
    });
    let encoded = match race(Box::pin(encoded), downstream.gone()).await {
        Raced::First(encoded) => encoded??,
        Raced::Second(()) => return Err(Gone.into()),
    };
    let translation =
        Translation { from: to, to: from, include_usage: asked.include_usage, dropped: encoded.dropped };
    Ok((outgoing::whole(head, encoded.body), translation))
}

/// Only the model's bytes change, and an empty `fallbacks` goes.
fn edits(asked: &Asked, wire_model: &str) -> Vec<Edit> {
    let mut edits = Vec::with_capacity(2);
    if asked.model != wire_model {
        let mut bytes = Vec::with_capacity(wire_model.len() + 2);
        look::write_string(&mut bytes, wire_model);
        edits.push(Edit { span: asked.model_span.clone(), bytes });
    }
    edits.extend(asked.cuts.iter().map(|span| Edit { span: span.clone(), bytes: Vec::new() }));
    edits.sort_by_key(|edit| edit.span.start);
    edits
}

/// One send, and its answer. The caller's leaving ends both.
async fn send(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    provider: &Provider,
    mut outgoing: Outgoing,
    translation: Translation,
) -> Result<(), Failure> {
    let place = place::take(core, downstream, exchange, provider).await?;
    let sent = Instant::now();
    let deadline = sent + provider.request_timeout;
    let answer = client::exchange(&core.net, &provider.origin, &mut outgoing, sent);
    let answered = race(until(deadline, answer), downstream.gone()).await;
    exchange.attempts += outgoing.sends;
    exchange.waited_since(sent);
    exchange.upstream = Some(exchange.now() - sent);
    let (upstream, head) = match answered {
        Raced::First(Some(answered)) => answered?,
        Raced::First(None) => return Err(relay::timed_out(provider).into()),
        Raced::Second(()) => return Err(Error::from(Gone).into()),
    };
    drop(outgoing);
    let answer = relay::Answer { upstream, head, provider, translation, sent, deadline, place };
    relay::relay(core, downstream, exchange, answer).await
}

fn no_provider() -> Error {
    Error::new(Kind::Internal, "the chosen provider has left the config")
}

/// The dialect of a caller is that of its route.
impl Exchange<'_> {
    fn caller_dialect(&self) -> Option<Dialect> {
        match self.route?.endpoint {
            crate::api::Endpoint::Chat(dialect) => Some(dialect),
            _ => None,
        }
    }
}

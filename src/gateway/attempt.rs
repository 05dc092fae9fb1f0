//! One attempt: the request as its provider gets it, its send, and the answer handed to `relay`. Which one it is, and
//! whether another follows, is not said here.

use std::ops::Range;
use std::pin::pin;
use std::time::Instant;

use memchr::memmem;

use super::asked::{Asked, ModelPlace};
use super::attend::attend;
use super::compute::compute;
use super::due::Due;
use super::exchange::Exchange;
use super::failure::Failure;
use super::kept::{self, Body};
use super::outgoing::{self, Caller, Edit};
use super::relay::{self, Translation};
use super::{Core, failure, foreign, path_model, place, signing, stored, tag, upload};
use crate::api::Endpoint;
use crate::config::snapshot::{Credential, Origin, Provider};
use crate::dialect::look;
use crate::dialect::{self, Dialect, Operation, Quirks};
use crate::error::{Error, Kind};
use crate::http::{Method, encode};
use crate::net::client::{self, Outgoing};
use crate::net::server::{Downstream, Gone, Request};
use crate::net::{Raced, race, within};
use crate::routing::plan::Attempt;

/// Makes the attempt that `exchange` was told of, up to the caller's answer. Where a provider refuses what only we asked for,
/// it is asked once more without.
pub(super) async fn make(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    asked: &Asked,
    attempt: &Attempt<'_>,
) -> Result<(), Failure> {
    if let Some(id) = &asked.response_id {
        // Boxed: most requests are conversations.
        return Box::pin(stored::make(core, downstream, request, exchange, (asked.operation, id), attempt))
            .await;
    }
    let asks_usage = asks_usage(exchange, asked);
    match make_so(core, downstream, request, exchange, asked, (attempt, asks_usage)).await {
        Err(failure) if asks_usage && refuses_options(&failure) && has_asked(request, exchange, asked) => {
            // Boxed: hardly any provider does.
            Box::pin(make_so(core, downstream, request, exchange, asked, (attempt, false))).await
        }
        made => made,
    }
}

/// Whether usage is asked for that the caller did not ask for: a row is written of an OpenAI stream that passes through, and
/// the provider would not say it otherwise.
fn asks_usage(exchange: &Exchange<'_>, asked: &Asked) -> bool {
    let says_on_request = |provider: &Provider| {
        let quirks = provider.quirks;
        provider.dialect == Some(Dialect::OpenAi) && quirks.stream_options && !quirks.tells_usage
    };
    asked.operation == Operation::ChatStream
        && !asked.include_usage
        && exchange.logs()
        && exchange.caller_dialect() == Some(Dialect::OpenAi)
        && exchange.chosen().0.is_some_and(says_on_request)
}

/// Whether there was anything to be changed, so that the same request without it is another one.
fn has_asked(request: &Request, exchange: &Exchange<'_>, asked: &Asked) -> bool {
    asked.usage_edit(Body::of(request, exchange).bytes()).is_some()
}

/// Whether the provider finds fault with the options that we put into a request.
fn refuses_options(failure: &Failure) -> bool {
    let names_options = |body: &[u8]| {
        [b"stream_options".as_slice(), b"include_usage"].iter().any(|name| memmem::find(body, name).is_some())
    };
    matches!(failure.error.status(), 400 | 422)
        && failure.answer.as_ref().is_some_and(|answer| names_options(&answer.body))
}

/// The same, with the usage of its stream asked for or not.
async fn make_so(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    asked: &Asked,
    (attempt, asks_usage): (&Attempt<'_>, bool),
) -> Result<(), Failure> {
    let snapshot = exchange.snapshot.clone();
    let provider = snapshot.providers.get(usize::from(attempt.provider.0));
    let provider = provider.ok_or_else(failure::no_provider)?;
    let from = exchange.caller_dialect().ok_or_else(failure::no_provider)?;
    let key = attempt.key.and_then(|key| provider.keys.get(usize::from(key.0)));
    let names = (attempt.model, attempt.wire_model);
    let way = provider.way_for(key, names, from, asked.operation).ok_or_else(failure::no_provider)?;
    let (to, _, target) = way;
    let bare = provider.cloud.map_or(attempt.wire_model, |cloud| cloud.bare(attempt.wire_model));
    let attempt = &Attempt { wire_model: bare, ..*attempt };
    let wraps = provider.cloud.is_some_and(|cloud| cloud.wraps(to));
    let (nominates, is_form) = (exchange.noted.nominates, asked.operation.takes_form());
    let caller = Caller {
        request,
        same_dialect: from == to,
        filter: &snapshot.client.header_filter,
        nominates,
        is_form,
    };
    let target = outgoing::with_model(target, attempt.wire_model)?;
    let mut head = outgoing::head(Method::Post, &target, provider, key, to, Some(caller));
    if let Some(betas) = asked.betas.as_deref().filter(|_| to == Dialect::Anthropic) {
        encode::field(&mut head, "anthropic-beta", betas.as_bytes());
    }
    let (outgoing, translation) = if from == to {
        let asks = (asked, to, attempt.wire_model);
        let found = foreign::found(core, downstream, request, exchange, asks).await?;
        let body = Body::of(request, exchange);
        let usage = if asks_usage { asked.usage_edit(body.bytes()) } else { None };
        let is_of_account = asked.operation.is_of_account();
        let tag = (to == Dialect::Responses || is_of_account).then(|| tag::of(provider, key));
        let translation = Translation {
            include_usage: usage.is_none(),
            tag,
            is_stored: is_of_account,
            is_of_account,
            dropped: found.dropped,
            ..Translation::none(to)
        };
        let known = exchange.known.iter().flat_map(|known| known.edits());
        let further = usage.into_iter().chain(known).chain(found.edits);
        let edits = edits(asked, attempt, (body.bytes(), wraps), further)?;
        let outgoing = match &exchange.upload {
            None => outgoing::passthrough(head, &body, &edits),
            Some(upload) => outgoing::beginning(head, &body, &edits, (upload.left_bytes, upload.feed())),
        };
        (outgoing, translation)
    } else {
        let asks = (from, to, attempt.wire_model, provider.quirks);
        // Boxed: most requests pass through.
        let translated = Box::pin(translated(core, downstream, request, exchange, asked, asks)).await?;
        let dialect::Encoded { body, dropped, echo } = translated;
        let body = if wraps { dialect::vertex::wrapped(body) } else { body };
        let include_usage = asked.include_usage;
        let translation = Translation { to: from, include_usage, dropped, echo, ..Translation::none(to) };
        (outgoing::whole(head, body), translation)
    };
    let to = (provider, provider.origin_of(key));
    let sent = send(core, downstream, exchange, to, outgoing, translation).await;
    sent.map_err(|failure| failure::named(signing::judged(failure, provider, key), provider))
}

/// The word of a header that switches something on; any other means nothing, as at Bifrost.
fn is_true(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"true")
}

/// The caller's body in the provider's dialect; the caller's own stays.
async fn translated(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    asked: &Asked,
    (from, to, wire_model, quirks): (Dialect, Dialect, &str, Quirks),
) -> Result<dialect::Encoded, Error> {
    // The head goes with the buffer.
    let passes_extra = exchange.noted.extra_params.value(request).is_some_and(is_true);
    let (buffer, start) = kept::lend(request, exchange);
    let (length, model, operation) = (buffer.len(), wire_model.to_owned(), asked.operation);
    let work = compute(core, length, move || {
        let body = buffer.get(start..).unwrap_or_default();
        (dialect::translate_request_with(from, to, operation, body, (&model, quirks), passes_extra), buffer)
    });
    let (encoded, buffer) = match race(work, downstream.gone()).await {
        Raced::First(done) => done?,
        Raced::Second(()) => return Err(Gone.into()),
    };
    let made_bytes = encoded.as_ref().map_or(0, |encoded| encoded.body.len());
    kept::back(request, exchange, buffer, made_bytes)?;
    encoded
}

/// The model's bytes change, `fallbacks` goes, and the usage may be asked for, or a response named as its provider knows it.
fn edits(
    asked: &Asked,
    attempt: &Attempt<'_>,
    (body, wraps): (&[u8], bool),
    further: impl Iterator<Item = Edit>,
) -> Result<Vec<Edit>, Error> {
    let mut edits = if wraps { vertex_edits(asked, body)? } else { Vec::with_capacity(2) };
    if !wraps || asked.operation == Operation::CountTokens {
        edits.extend(model_edits(asked, attempt));
    }
    edits.extend(asked.cuts.iter().map(|span| Edit { span: span.clone(), bytes: Vec::new() }));
    edits.extend(further);
    // What is put in stands before what is cut out behind it.
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    Ok(edits)
}

/// For Vertex the version of Anthropic's API stands in the body, and the model of a conversation does not.
fn vertex_edits(asked: &Asked, body: &[u8]) -> Result<Vec<Edit>, Error> {
    if asked.has_version() {
        let message =
            "anthropic_version is for this gateway to say where the provider wants it: leave it out";
        return Err(Error::new(Kind::InvalidRequest, message).with_param(dialect::vertex::KEY));
    }
    let member = dialect::vertex::MEMBER;
    let edit = match &asked.model_place {
        ModelPlace::Span(span) if asked.operation != Operation::CountTokens => {
            let span = dialect::vertex::member(body, span);
            let span = span.ok_or_else(|| Error::new(Kind::Internal, "the model is no member's value"))?;
            Edit { span, bytes: member.into() }
        }
        ModelPlace::Invoked { at, has_others } => {
            let stream = if asked.operation.is_stream() { ",\"stream\":true" } else { "" };
            let comma = if *has_others { "," } else { "" };
            Edit { span: *at..*at, bytes: format!("{member}{stream}{comma}").into_bytes() }
        }
        // At least the model follows.
        _ => {
            let at = memchr::memchr(b'{', body).map_or(0, |brace| brace + 1);
            Edit { span: at..at, bytes: format!("{member},").into_bytes() }
        }
    };
    Ok(vec![edit])
}

/// The model as the provider knows it.
fn model_edits(asked: &Asked, attempt: &Attempt<'_>) -> Vec<Edit> {
    let wire_model = attempt.wire_model;
    let mut edits = Vec::with_capacity(2);
    let string = || {
        let mut bytes = Vec::with_capacity(wire_model.len() + 2);
        look::write_string(&mut bytes, wire_model);
        bytes
    };
    match &asked.model_place {
        ModelPlace::Span(_) if asked.model == wire_model => {}
        ModelPlace::Span(span) | ModelPlace::Deployed { named: Some(span), .. } => {
            edits.push(Edit { span: span.clone(), bytes: string() });
        }
        ModelPlace::Unnamed { boundary } => {
            let lines =
                [b"--", boundary.as_slice(), b"\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\n"];
            let bytes = [lines.concat().as_slice(), wire_model.as_bytes(), b"\r\n"].concat();
            edits.push(Edit { span: 0..0, bytes });
        }
        ModelPlace::Form(_) if asked.model == wire_model => {}
        ModelPlace::Form(span) => {
            edits.push(Edit { span: span.clone(), bytes: wire_model.as_bytes().to_vec() });
        }
        ModelPlace::Path(_) if asked.model == wire_model => {}
        ModelPlace::Path(places) => {
            let edit =
                |span: &Range<usize>| Edit { span: span.clone(), bytes: path_model::resource(wire_model) };
            edits.extend(places.iter().map(edit));
        }
        ModelPlace::Invoked { at, has_others } => {
            let stream = asked.operation.is_stream();
            let wrap =
                dialect::invoke::unwrapping(at.saturating_sub(1), *has_others, &[], (wire_model, stream));
            edits.extend(wrap.into_iter().map(|change| Edit { span: change.span, bytes: change.bytes }));
        }
        // The default stays the provider's to know, unless the config or a fallback means another model.
        ModelPlace::Default { .. } if attempt.leg == 0 && attempt.model == wire_model => {}
        ModelPlace::Default { at, has_others } | ModelPlace::Deployed { named: None, at, has_others } => {
            let comma: &[u8] = if *has_others { b"," } else { b"" };
            edits.push(Edit { span: *at..*at, bytes: [b"\"model\":", string().as_slice(), comma].concat() });
        }
    }
    edits
}

/// One send, and its answer. The caller's leaving ends both, and so does the request's last moment.
pub(super) async fn send(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    (provider, origin): (&Provider, &Origin),
    mut outgoing: Outgoing,
    translation: Translation,
) -> Result<(), Failure> {
    let place = place::take(core, downstream, exchange, provider).await?;
    // Not before it may go: a signature that waited would be out of its time.
    let credential = exchange.chosen().1.and_then(|key| key.credential.as_ref());
    if let Some(keys) = credential.and_then(Credential::aws) {
        // Boxed: few keys are AWS's.
        outgoing = Box::pin(signing::signed(outgoing, keys, exchange.unix_s())).await;
    }
    let sent = Instant::now();
    if let Some(running) = &mut exchange.running {
        running.sent(sent);
    }
    let due = Due::of_head(exchange, provider, sent);
    let policy = provider.on_client_gone;
    if outgoing.feed.is_some() {
        // Boxed: most bodies are here.
        let to = (provider, origin);
        let answered = Box::pin(upload::exchange(core, downstream, exchange, to, &mut outgoing)).await;
        exchange.attempts += outgoing.sends;
        exchange.waited_since(sent);
        exchange.upstream = Some(exchange.now() - sent);
        let (upstream, head) = answered?.ok_or_else(|| due.error(exchange, provider))?;
        let answer = relay::Answer { upstream, head, provider, translation, sent: exchange.now(), place };
        return relay::relay(core, downstream, exchange, answer).await;
    }
    let mut alarm = downstream.lend_alarm();
    let answered = {
        // Pinned where it is made, or each wait around it would copy it.
        let answer = pin!(client::exchange(&core.net, origin, &mut outgoing, sent));
        let answer = within(&mut alarm, due.at, answer);
        attend(downstream, &mut exchange.caller_has_left, policy, answer).await
    };
    downstream.take_back(alarm);
    exchange.attempts += outgoing.sends;
    exchange.waited_since(sent);
    exchange.upstream = Some(exchange.now() - sent);
    let (upstream, head) = match answered.map_err(Error::from)? {
        Some(Err(_)) | None if exchange.caller_has_left => return Err(Error::from(Gone).into()),
        Some(answered) => answered?,
        None => return Err(due.error(exchange, provider).into()),
    };
    drop(outgoing);
    let answer = relay::Answer { upstream, head, provider, translation, sent, place };
    relay::relay(core, downstream, exchange, answer).await
}

/// The dialect of a caller is that of its route.
impl Exchange<'_> {
    pub(super) fn caller_dialect(&self) -> Option<Dialect> {
        match self.route?.endpoint {
            Endpoint::Inference(_, dialect) => Some(dialect),
            _ => None,
        }
    }
}

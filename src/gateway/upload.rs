//! Forms on their way up: images, sound and files beside short fields (RFC 7578). The beginning is held until it says what is
//! asked for; what comes behind it goes to the provider as it comes in, and is not kept. So a form that is whole in what is held
//! may be sent again as any body, a longer one only until the first byte behind that has gone up.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use super::asked::{Asked, Wanted};
use super::exchange::Exchange;
use super::noted::Seen;
use super::{Core, account, chat, failure, path_model};
use crate::config::snapshot::{OnClientGone, Origin, Provider};
use crate::dialect::Operation;
use crate::error::{Error, Kind};
use crate::http::chunked::{LAST_CHUNK, write_chunk};
use crate::http::multipart::{self, Field, Form};
use crate::http::{Framing, ResponseHead};
use crate::net::Alarm;
use crate::net::client::{self, Outgoing, Upstream};
use crate::net::feed::Feed;
use crate::net::server::{Downstream, Gone, Pieces, Request};
use crate::routing::plan::Features;

/// So much of a form is held, bytes, and no more once it is known what is asked for.
pub(super) const HELD_BYTES_MAX: usize = 256 * 1024;
/// So much is held of one whose model stands behind a file, bytes: more than any sound that OpenAI takes (25 MB). It counts in the
/// core's budget of bodies.
pub(super) const LOOKED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The fields that decide something.
const NAMES: [&str; 3] = ["model", "stream", "provider"];
const MODEL: usize = 0;
const STREAM: usize = 1;
const PROVIDER: usize = 2;

/// What is still to come of a form whose beginning is held.
pub(super) struct Upload {
    form: Form<{ NAMES.len() }>,
    pieces: Pieces,
    feed: Rc<Feed>,
    /// Bytes behind what is held; `None`: nobody knows, and they go up in chunks.
    pub(super) left_bytes: Option<u64>,
}

impl Upload {
    /// Whether a byte behind what is held was given to a provider.
    pub(super) fn has_begun(&self) -> bool {
        self.feed.taken() > 0
    }

    /// To be put into the request.
    pub(super) fn feed(&self) -> Rc<Feed> {
        Rc::clone(&self.feed)
    }
}

/// Serves one request whose body is a form.
pub(super) async fn serve(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    operation: Operation,
) -> Result<(), Error> {
    let before = exchange.now();
    let received = receive(downstream, request, exchange, operation).await;
    exchange.waited_since(before);
    let form = received?;
    let snapshot = exchange.snapshot.clone();
    let provider = form.field(PROVIDER);
    let cuts = provider.map(|field| vec![field.part.clone()]).unwrap_or_default();
    let said = provider.map(|field| account::text_of(&field.text, "provider")).transpose()?;
    let said = said.as_deref().filter(|name| !name.is_empty());
    if operation == Operation::FileUpload {
        let asked = Asked::of_account(operation, cuts);
        keep_rest(exchange, form);
        return account::attempts(core, downstream, request, exchange, (&snapshot, &asked), (None, said))
            .await;
    }
    let asked = asked(&form, request, exchange, operation)?;
    keep_rest(exchange, form);
    exchange.stream = asked.operation.is_stream();
    exchange.activate();
    exchange.model.clone_from(&asked.model);
    exchange.model_requested.clone_from(&asked.model);
    let wanted = Wanted::of(request, exchange.noted.api_key_id, exchange.noted.api_key)?;
    let features = Features {
        model: &asked.model,
        home: exchange.home,
        operation: asked.operation,
        dialect: exchange.caller_dialect().ok_or_else(failure::no_provider)?,
        pin: wanted.as_ref().map(Wanted::pin),
        session: None,
        fallbacks: None,
        deadline: exchange.deadline,
        record: exchange.logs(),
    };
    let health = Rc::clone(&exchange.health);
    chat::attempts(core, downstream, request, exchange, &asked, (&snapshot, features, &*health)).await
}

fn asked(
    form: &Looked,
    request: &Request,
    exchange: &Exchange<'_>,
    operation: Operation,
) -> Result<Asked, Error> {
    let stream = match form.field(STREAM).map(|field| field.text.as_slice()) {
        Some(b"true" | b"True" | b"1") => true,
        None | Some(b"false" | b"False" | b"0" | b"") => false,
        Some(_) => {
            let message = "stream must be true or false";
            return Err(Error::new(Kind::InvalidRequest, message).with_param("stream"));
        }
    };
    let deployment = exchange.route.and_then(|route| route.model(request.path()));
    let operation = operation.streamed(stream);
    let Some(model) = form.field(MODEL) else { return unnamed(request, exchange, operation, deployment) };
    let name = account::text_of(&model.text, "model")?;
    match deployment {
        Some(deployment) if deployment != name => Err(path_model::another("model".to_owned())),
        None if name.is_empty() => Err(missing_model()),
        _ => Asked::in_form(operation, name, model.value.clone()),
    }
}

/// A form without a model is given the path's, in front: it begins with its boundary, or would have been refused.
fn unnamed(
    request: &Request,
    exchange: &Exchange<'_>,
    operation: Operation,
    deployment: Option<String>,
) -> Result<Asked, Error> {
    let boundary = exchange.noted.content_type.value(request).and_then(multipart::boundary);
    let (deployment, boundary) = deployment.zip(boundary).ok_or_else(missing_model)?;
    Asked::unnamed(operation, deployment, boundary.to_vec())
}

fn missing_model() -> Error {
    Error::new(Kind::ModelNotFound, "model is required, as a field of the form").with_param("model")
}

/// A form of which enough is held.
struct Looked {
    form: Form<{ NAMES.len() }>,
    pieces: Pieces,
    left_bytes: Option<u64>,
}

impl Looked {
    fn field(&self, index: usize) -> Option<&Field> {
        self.form.field(index)
    }
}

/// What is not held is still to come.
fn keep_rest(exchange: &mut Exchange<'_>, looked: Looked) {
    let Looked { form, pieces, left_bytes } = looked;
    exchange.note_input(pieces.received_bytes() as u64 + left_bytes.unwrap_or_default());
    match pieces.is_done() {
        true => exchange.body_pending = false,
        false => exchange.upload = Some(Box::new(Upload { form, pieces, feed: Feed::new(), left_bytes })),
    }
}

/// Holds the beginning, or all, of the form behind the request's head.
async fn receive(
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &Exchange<'_>,
    operation: Operation,
) -> Result<Looked, Error> {
    let kind = exchange.noted.content_type.value(request).and_then(multipart::boundary);
    let boundary = kind.ok_or_else(|| {
        let message = "the body must be multipart/form-data, with one boundary of 1 to 70 characters";
        Error::new(Kind::UnsupportedMediaType, message).with_param("content-type")
    })?;
    if exchange.noted.content_encoding != Seen::Never {
        let message = "a form is taken without a content-encoding";
        return Err(Error::new(Kind::UnsupportedMediaType, message).with_param("content-encoding"));
    }
    let mut form = Form::new(boundary, &NAMES);
    let framing = request.head.framing;
    if framing == Framing::None {
        let message = "the request has no body: send one with Content-Length, or chunked";
        return Err(Error::new(Kind::LengthRequired, message));
    }
    let mut pieces = downstream.pieces(request, exchange.snapshot.client.body_bytes_max)?;
    loop {
        let piece = downstream.piece(&mut pieces).await?;
        if piece.is_empty() {
            form.finish()?;
            break;
        }
        form.push(&piece)?;
        request.bytes.extend_from_slice(&piece);
        let held_bytes = request.body().len();
        request.hold().resize(held_bytes)?;
        let is_known = operation == Operation::FileUpload || form.field(MODEL).is_some();
        if held_bytes >= HELD_BYTES_MAX && is_known && form.is_in_file() {
            break;
        }
        if held_bytes > LOOKED_BYTES_MAX {
            let message =
                "the form does not say its model in its first 32 MiB; put the field model before the file";
            return Err(Error::new(Kind::InvalidRequest, message).with_param("model"));
        }
    }
    let left_bytes = pieces.left_bytes(framing);
    Ok(Looked { form, pieces, left_bytes })
}

/// Reads on from the caller, as far as the provider takes it; then waits for the caller's leaving. It never ends otherwise than by
/// an error.
async fn pump(
    downstream: &mut Downstream,
    upload: &mut Upload,
    is_pumped: &Cell<bool>,
    (policy, has_left): (OnClientGone, &Cell<bool>),
) -> Error {
    match read_on(downstream, upload).await {
        Ok(()) => is_pumped.set(true),
        Err(error) => return error,
    }
    downstream.gone().await;
    has_left.set(true);
    match policy {
        OnClientGone::Cancel => Gone.into(),
        OnClientGone::Finish => pending().await,
    }
}

async fn read_on(downstream: &mut Downstream, upload: &mut Upload) -> Result<(), Error> {
    let is_chunked = upload.left_bytes.is_none();
    while !upload.pieces.is_done() {
        // Whoever takes a piece looks here again.
        poll_fn(|_| if upload.feed.has_room() { Poll::Ready(()) } else { Poll::Pending }).await;
        let piece = downstream.piece(&mut upload.pieces).await?;
        upload.form.push(&piece)?;
        if is_chunked {
            let mut chunk = Vec::new();
            write_chunk(&mut chunk, &piece);
            upload.feed.put(chunk);
        } else if !upload.pieces.is_done() {
            upload.feed.put(piece);
        } else {
            // A form that is none must not get its last bytes.
            upload.form.finish()?;
            upload.feed.put(piece);
        }
    }
    if is_chunked {
        upload.form.finish()?;
        upload.feed.put(LAST_CHUNK.to_vec());
    }
    upload.feed.close();
    Ok(())
}

/// Sends the request with what is still to come of its form, and reads the head of the answer, which may come before all was
/// taken. Errors: as for [`client::exchange`], the caller's for its body, and `None`: the provider took no byte, and answered
/// nothing, for as long as an answer may take.
pub(super) async fn exchange(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    (provider, origin): (&Provider, &Origin),
    outgoing: &mut Outgoing,
) -> Result<Option<(Box<Upstream>, ResponseHead)>, Error> {
    let Some(mut upload) = exchange.upload.take() else { return Err(failure::no_provider()) };
    let (feed, last) = (upload.feed(), exchange.deadline);
    let (is_pumped, has_left) = (Cell::new(false), Cell::new(false));
    let result = {
        let mut pump = pin!(pump(downstream, &mut upload, &is_pumped, (provider.on_client_gone, &has_left)));
        let mut answer = pin!(client::exchange(&core.net, origin, outgoing, Instant::now()));
        let (mut alarm, mut taken, mut moved, mut is_hungry) =
            (Alarm::default(), feed.taken(), Instant::now(), false);
        poll_fn(|context| {
            loop {
                if let Poll::Ready(error) = pump.as_mut().poll(context) {
                    return Poll::Ready(Err(error));
                }
                if let Poll::Ready(answered) = answer.as_mut().poll(context) {
                    return Poll::Ready(answered.map(Some));
                }
                // While the caller is waited for, the provider owes nothing.
                let was_hungry = std::mem::replace(
                    &mut is_hungry,
                    feed.taken() > 0 && feed.has_room() && !is_pumped.get(),
                );
                if was_hungry != is_hungry || feed.taken() != taken {
                    moved = Instant::now();
                }
                if feed.taken() == taken {
                    let due = if is_hungry { last } else { last.min(moved + provider.request_timeout) };
                    return alarm.poll(due, context).map(|()| Ok(None));
                }
                taken = feed.taken();
            }
        })
        .await
    };
    exchange.caller_has_left |= has_left.get();
    exchange.body_pending = !is_pumped.get();
    // What is not read of the form stands where the next request would.
    exchange.keep_alive &= is_pumped.get();
    if is_pumped.get() {
        exchange.note_input(upload.pieces.received_bytes() as u64);
    }
    exchange.upload = Some(upload);
    result
}

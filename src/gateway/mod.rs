//! The life of one request: [`handle`] holds the ifs, its leaves each do one thing. Sockets are `net`'s, formats
//! `dialect`'s, choices `routing`'s, counting `telemetry`'s.

mod account;
mod array;
mod asked;
mod attempt;
mod attend;
mod body;
mod chat;
mod client_address;
pub mod coding;
mod compute;
mod core;
mod cors;
mod due;
mod exchange;
mod failure;
mod fields;
mod foreign;
mod frames;
mod framing;
mod guard;
mod health;
mod kept;
mod known;
pub mod mask;
mod message;
mod models;
mod neighbours;
mod noted;
mod outgoing;
mod own_fields;
mod passage;
mod path_model;
mod place;
mod raw;
mod relay;
mod relay_raw;
mod relay_stream;
mod relay_whole;
mod reply;
pub mod retry_after;
mod session;
mod signing;
mod stored;
mod streams;
mod tag;
mod tagging;
mod tally;
mod tokens;
mod trail;
mod unasked;
mod upload;

pub use self::core::{Core, Facts};
pub use guard::catch_unwind;
pub use message::{Adopted, Adoption, Arrival, LiveStream, LiveStreams, Message};
pub use models::ModelsCache;
pub use neighbours::{Neighbours, OFFERED_MAX};
pub use streams::{STREAMS_LISTED_MAX, Streams};

use std::rc::Rc;
use std::time::Instant;

use crate::api::{self, Endpoint, Route};
use crate::dialect::Operation;
use crate::error::{Error, Kind};
use crate::http::Method;
use crate::net::server::{Downstream, Gone, Request};
use crate::telemetry::cells::Observation;
use exchange::Exchange;

/// What becomes of the caller's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It serves another request.
    KeepAlive,
    /// It is closed, after what the caller still sends was read for a while.
    Linger,
    /// It is closed.
    Close,
}

/// Serves one request, whatever comes of it: the answer is sent, counted and recorded when this returns. A panic inside
/// is answered with a 500, and is this request's alone.
pub async fn handle(core: &Core, downstream: &mut Downstream, mut request: Request) -> Next {
    let mut exchange = Exchange::begin(core, downstream.peer, &request);
    let served = catch_unwind(serve(core, downstream, &mut request, &mut exchange)).await;
    let result = served.unwrap_or_else(|_| {
        core.cells.panicked();
        Err(Error::new(
            Kind::Internal,
            "corelane met a fault of its own; this request is lost, others are not",
        ))
    });
    let next = match result {
        Ok(()) if downstream.has_refused().await => {
            exchange.fail(&Gone.into());
            Next::Close
        }
        Ok(()) if exchange.keep_alive => Next::KeepAlive,
        // More may be on its way, pipelined: closed upon, the connection would be reset, and the answer might be lost (RFC 9112
        // §9.6).
        Ok(()) => Next::Linger,
        Err(error) => refuse(downstream, &mut exchange, error).await,
    };
    exchange.settle();
    next
}

async fn serve(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
) -> Result<(), Error> {
    provoked_panic(request);
    let found = api::find_for(request.path(), request.head.method);
    exchange.found(found, request.query());
    exchange.page = cors::admit(request, exchange.noted, &exchange.snapshot.client)?;
    let Some(route) = exchange.route else {
        return Box::pin(unrouted(downstream, request, exchange, found)).await;
    };
    match route.endpoint {
        Endpoint::Inference(operation, _) if operation.is_of_made() => {
            // Boxed: most requests are conversations.
            Box::pin(stored::serve(core, downstream, request, exchange, operation)).await
        }
        Endpoint::Inference(operation, _) if operation.takes_form() => {
            Box::pin(upload::serve(core, downstream, request, exchange, operation)).await
        }
        Endpoint::Inference(Operation::BatchCreate, _) => {
            Box::pin(account::create_batch(core, downstream, request, exchange)).await
        }
        Endpoint::Inference(operation, _) => {
            chat::serve(core, downstream, request, exchange, operation).await
        }
        Endpoint::Health => {
            skip_body(downstream, request, exchange).await?;
            reply::health(core, downstream, exchange).await
        }
        Endpoint::Metrics => {
            skip_body(downstream, request, exchange).await?;
            reply::metrics(core, downstream, exchange).await
        }
        Endpoint::Models(dialect) | Endpoint::Model(dialect) => {
            skip_body(downstream, request, exchange).await?;
            models::serve(core, downstream, exchange, dialect, route.model(request.path())).await
        }
    }
}

/// What no route takes: a question what a path takes, another method than it takes, or no path of ours.
async fn unrouted(
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    found: Option<&'static Route>,
) -> Result<(), Error> {
    match found {
        _ if request.head.method == Method::Options => {
            cors::options(downstream, request, exchange, found).await
        }
        Some(route) => {
            exchange.allow = route.allow();
            Err(Error::new(Kind::MethodNotAllowed, format!("{} takes {}", route.path, route.allow())))
        }
        None => Err(not_found(request)),
    }
}

fn not_found(request: &Request) -> Error {
    let path = String::from_utf8_lossy(request.path());
    let path: String = path.chars().take(200).collect();
    Error::new(Kind::NotFound, format!("there is no route {path}"))
}

/// Bytes of a body that nobody asked for, read and dropped so that the connection can serve on.
const STRAY_BODY_BYTES_MAX: usize = 64 * 1024;

async fn skip_body(
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
) -> Result<(), Error> {
    let read = downstream.read_body(request, STRAY_BODY_BYTES_MAX, |_| Ok(())).await;
    read.map_err(|error| match error.kind {
        Kind::BodyTooLarge => Error::new(Kind::BodyTooLarge, "this request has no use for a body; send none"),
        _ => error,
    })?;
    exchange.body_pending = false;
    Ok(())
}

/// Answers with the error, when that is still possible, and says what becomes of the connection.
async fn refuse(downstream: &mut Downstream, exchange: &mut Exchange<'_>, error: Error) -> Next {
    exchange.fail(&error);
    if downstream.has_started() {
        downstream.break_off();
        return Next::Close;
    }
    if error.kind == Kind::ClientGone {
        return Next::Close;
    }
    let closes = exchange.body_pending || error.kind == Kind::Internal;
    exchange.keep_alive &= !closes;
    match reply::error(downstream, exchange, &error).await {
        Err(_) => Next::Close,
        Ok(()) if exchange.keep_alive => Next::KeepAlive,
        Ok(()) => Next::Linger,
    }
}

/// Answers a head that was refused before it became a request. The connection closes.
pub async fn refuse_head(core: &Core, downstream: &mut Downstream, error: &Error) {
    let surface = api::surface_of_head(downstream.received());
    let bytes = reply::bare_error(core, surface, error);
    core.cells.observe(&Observation {
        path: "other",
        method: "other",
        status: error.status(),
        request_bytes: 0,
        response_bytes: bytes.len() as u64,
        duration_us: u64::try_from(downstream.receiving_for().as_micros()).unwrap_or(u64::MAX),
        inference: None,
    });
    if downstream.send(bytes, Instant::now()).await.is_ok() {
        downstream.linger().await;
    }
}

/// Lets a test see that a panic ends one request and nothing else, or, with the value `core`, that one outside any
/// connection's guard ends the node. Not in a release build.
#[expect(clippy::panic, reason = "that is what it is for")]
fn provoked_panic(request: &Request) {
    if !cfg!(debug_assertions) {
        return;
    }
    match request.field("x-corelane-test-panic") {
        Some(b"core") => drop(monoio::spawn(async { panic!("provoked by x-corelane-test-panic") })),
        Some(_) => panic!("provoked by x-corelane-test-panic"),
        None => {}
    }
}

/// A snapshot, as requests hold it.
pub type Shared = Rc<crate::config::snapshot::Snapshot>;

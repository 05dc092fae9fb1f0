//! What a body that passes through must not bring along: looked for once per attempt, by the mark that it bears. Which bytes
//! these are is `dialect::foreign`'s.

use std::time::Duration;

use super::Core;
use super::asked::Asked;
use super::compute::compute;
use super::exchange::Exchange;
use super::kept::{self, Body};
use super::outgoing::Edit;
use crate::dialect::Dialect;
use crate::dialect::foreign::{self, Foreign};
use crate::error::Error;
use crate::net::server::{Downstream, Gone, Request};
use crate::net::{Raced, race};

/// Most bytes that a core searches in one go.
const SEARCHED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Between two such searches other requests have their turn.
const PAUSE: Duration = Duration::from_millis(1);

/// What goes out of a body.
#[derive(Default)]
pub(super) struct Found {
    /// As edits that touch no other's.
    pub(super) edits: Vec<Edit>,
    /// Names of what is left out.
    pub(super) dropped: Vec<String>,
}

/// What goes out of the caller's body for `model` of a provider that speaks the caller's dialect.
pub(super) async fn found(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    (asked, dialect, model): (&Asked, Dialect, &str),
) -> Result<Found, Error> {
    let body = Body::of(request, exchange).bytes();
    let is_short = body.len() <= SEARCHED_BYTES_MAX;
    if !foreign::is_possible(asked.operation) || is_short && !core.marks.is_found(dialect, body) {
        return Ok(Found::default());
    }
    // Boxed: hardly any body has one.
    Box::pin(searched(core, downstream, request, exchange, (dialect, model))).await
}

async fn searched(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    (dialect, model): (Dialect, &str),
) -> Result<Found, Error> {
    if !is_found(core, dialect, &Body::of(request, exchange)).await {
        return Ok(Found::default());
    }
    let (buffer, start) = kept::lend(request, exchange);
    let (length, model) = (buffer.len(), model.to_owned());
    let work = compute(core, length, move || {
        (foreign::find(dialect, &model, buffer.get(start..).unwrap_or_default()), buffer)
    });
    let (found, buffer) = match race(work, downstream.gone()).await {
        Raced::First(done) => done?,
        Raced::Second(()) => return Err(Gone.into()),
    };
    kept::back(request, exchange, buffer, 0)?;
    let Foreign { edits, dropped } = found;
    let edits = edits.into_iter().map(|(span, bytes)| Edit { span, bytes }).collect();
    Ok(Found { edits, dropped })
}

async fn is_found(core: &Core, dialect: Dialect, body: &Body<'_>) -> bool {
    let bytes = body.bytes();
    let mut from = 0;
    loop {
        let rest = bytes.get(from..).unwrap_or_default();
        if core.marks.is_found(dialect, rest.get(..SEARCHED_BYTES_MAX).unwrap_or(rest)) {
            return true;
        }
        if rest.len() <= SEARCHED_BYTES_MAX {
            return false;
        }
        from += SEARCHED_BYTES_MAX - foreign::OVERLAP_BYTES;
        monoio::time::sleep(PAUSE).await;
    }
}

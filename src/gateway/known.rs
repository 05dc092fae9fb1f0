//! What a conversation's body names that one provider alone knows: the response that it goes on with, and files. Their ids lead
//! to that provider and key (`tag`), and nowhere else. Where ids stand in a body is `dialect`'s.

use std::ops::Range;
use std::time::Duration;

use super::Core;
use super::asked::{Asked, KEYS};
use super::exchange::Exchange;
use super::failure;
use super::tag::{self, Known, PREVIOUS};
use crate::config::snapshot::Snapshot;
use crate::dialect::look::Members;
use crate::dialect::{Dialect, file_ids};
use crate::error::{Error, Kind};
use crate::net::server::Request;
use crate::routing::plan::{Features, Pin};

/// Most bytes that a core searches in one go.
const SEARCHED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Between two such searches other requests have their turn.
const PAUSE: Duration = Duration::from_millis(1);
/// Most marked ids of one body.
const IDS_MAX: usize = 1_024;
const FILE: &str = "file_id";

/// Notes in the exchange what the body names, and says by which parameter.
pub(super) async fn find(
    core: &Core,
    request: &Request,
    exchange: &mut Exchange<'_>,
    members: &Members<{ KEYS.len() }>,
    asked: &Asked,
) -> Result<Option<&'static str>, Error> {
    let dialect = exchange.caller_dialect().ok_or_else(failure::no_provider)?;
    let mut parameter = None;
    if dialect == Dialect::Responses {
        let previous = members.value(PREVIOUS);
        let known = previous.and_then(|span| Known::of(&exchange.snapshot, request.body(), span));
        parameter = known.is_some().then_some("previous_response_id");
        exchange.known = known.map(Box::new);
    }
    let body = request.body();
    let is_short = body.len() <= SEARCHED_BYTES_MAX;
    if !file_ids::is_possible(dialect, asked.operation) || is_short && !core.files.is_found(body) {
        return Ok(parameter);
    }
    // Boxed: hardly any body names one.
    let spans = Box::pin(spans(core, body)).await?;
    for span in spans {
        let Some(file) = Known::of(&exchange.snapshot, body, span) else { continue };
        match &mut exchange.known {
            Some(known) => known.join(file, FILE)?,
            None => exchange.known = Some(Box::new(file)),
        }
        parameter = parameter.or(Some(FILE));
    }
    Ok(parameter)
}

/// Where ids of files stand that may be marked. Errors: there are too many.
async fn spans(core: &Core, body: &[u8]) -> Result<Vec<Range<usize>>, Error> {
    let mut spans = Vec::new();
    let mut from = 0;
    loop {
        let end = body.len().min(from + SEARCHED_BYTES_MAX);
        core.files.each(body, from..end, |span| {
            if body.get(span.clone()).is_some_and(may_be_marked) {
                spans.push(span);
            }
            spans.len() <= IDS_MAX
        });
        if spans.len() > IDS_MAX {
            let message = format!("the body names more than {IDS_MAX} files; send fewer");
            return Err(Error::new(Kind::InvalidRequest, message).with_param(FILE));
        }
        if end == body.len() {
            return Ok(spans);
        }
        from = end - file_ids::OVERLAP_BYTES;
        monoio::time::sleep(PAUSE).await;
    }
}

/// Whether a string, with its quotes, looks like a marked id; what it is [`Known::of`] says.
fn may_be_marked(value: &[u8]) -> bool {
    memchr::memrchr(b'~', value).is_some()
}

/// Leads the request to where that is known.
pub(super) fn lead<'a>(
    exchange: &Exchange<'_>,
    (snapshot, features): (&'a Snapshot, &mut Features<'a>),
    parameter: &'static str,
) -> Result<(), Error> {
    let Some(origin) = exchange.known.as_ref().and_then(|known| known.origin) else { return Ok(()) };
    let (home, key_id) = tag::names(snapshot, origin).ok_or_else(failure::no_provider)?;
    tag::check_model(exchange, features.model, (Some(home), origin, parameter))?;
    features.home = Some(home);
    features.pin = features.pin.or(key_id.map(Pin::Id));
    features.fallbacks = Some(&[]);
    Ok(())
}

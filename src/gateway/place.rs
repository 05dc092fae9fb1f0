//! A request's place with a provider that limits how many it serves at a time (`concurrency_and_buffer_size`): taken at once,
//! waited for, or not to be had. Whose turn it is, is `net::places`'s to say.

use std::time::Instant;

use super::Core;
use super::exchange::{Exchange, micros};
use crate::config::snapshot::Provider;
use crate::error::{Error, Kind};
use crate::net::places::{Entered, Place, WAITING_MAX, Waiting};
use crate::net::server::{Downstream, Gone};
use crate::net::{Raced, race, until};

/// Takes a place, waiting for it where that is due; `None`: the provider has no limit. Errors: `RequestDropped`, `QueueTimeout`,
/// `ClientGone`.
pub(super) async fn take(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    provider: &Provider,
) -> Result<Option<Place>, Error> {
    let Some(limit) = provider.concurrency else { return Ok(None) };
    let is_dropped = exchange.snapshot.client.drop_excess_requests;
    let waiting_max = if is_dropped { limit.waiting_max } else { WAITING_MAX };
    match core.places.enter(&provider.name, waiting_max) {
        Entered::Free => Ok(None),
        Entered::Placed(place) => Ok(Some(place)),
        Entered::Waiting(waiting) => Box::pin(wait(downstream, exchange, provider, waiting)).await.map(Some),
        Entered::Full => {
            let message = format!(
                "provider {}: its places ({}) are taken, and as many wait as may \
                 (concurrency_and_buffer_size); try again, or raise its limits",
                provider.name, limit.requests_max
            );
            Err(Error::new(Kind::RequestDropped, message))
        }
    }
}

/// In line, until the request's deadline or until its caller leaves.
async fn wait(
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    provider: &Provider,
    waiting: Waiting<'_>,
) -> Result<Place, Error> {
    let before = Instant::now();
    let placed = race(until(exchange.deadline, waiting), downstream.gone()).await;
    exchange.waited_since(before);
    let queued = exchange.now() - before;
    exchange.trail.queued(queued);
    exchange.cells().queue_waited(&provider.name, micros(queued));
    match placed {
        Raced::First(Some(place)) => Ok(place),
        Raced::First(None) => {
            let message = format!(
                "provider {} had no place for this request in time (concurrency_and_buffer_size)",
                provider.name
            );
            Err(Error::new(Kind::QueueTimeout, message))
        }
        Raced::Second(()) => Err(Gone.into()),
    }
}

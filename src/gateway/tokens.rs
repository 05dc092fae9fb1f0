//! What a request authenticates by, where that is not the key's value: signed by AWS's keys, or with what the control plane
//! fetched for the key, waited for within a bound. It fetches nothing.

use std::time::Instant;

use super::exchange::Exchange;
use super::failure::Failure;
use super::{Core, Message, signing};
use crate::config::snapshot::Credential;
use crate::error::{Error, Kind};
use crate::net::client::Outgoing;
use crate::net::server::{Downstream, Gone};
use crate::net::tokens::{Fetched, Lack, WAIT_TIMEOUT};
use crate::net::{Raced, race, until};
use crate::routing::plan::{Class, classify};

/// The request with what the chosen key authenticates by. Errors: no token, or the caller has left.
pub(super) async fn credentialed(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    outgoing: Outgoing,
) -> Result<Outgoing, Failure> {
    let snapshot = exchange.snapshot.clone();
    let provider = exchange.provider.and_then(|id| snapshot.providers.get(usize::from(id.0)));
    let key = provider.zip(exchange.key).and_then(|(one, id)| one.keys.get(usize::from(id.0)));
    let Some((provider, key)) = provider.zip(key) else { return Ok(outgoing) };
    let grant = match &key.credential {
        Some(Credential::Aws(keys)) => {
            return Ok(signing::signed(outgoing, keys, exchange.unix_s()).await);
        }
        Some(Credential::Fetched(grant)) => grant,
        Some(Credential::Value(_)) | None => return Ok(outgoing),
    };
    let began = Instant::now();
    let deadline = exchange.deadline.min(began + WAIT_TIMEOUT);
    let found = match race(until(deadline, core.tokens.of(grant)), downstream.gone()).await {
        Raced::First(found) => found,
        Raced::Second(()) => return Err(Error::from(Gone).into()),
    };
    exchange.waited_since(began);
    let missing = || Err(Lack { kind: Kind::TokenUnavailable, reason: "none came in 5 s".to_owned() });
    let token = found.unwrap_or_else(missing).map_err(|Lack { kind, reason }| {
        let what = grant.what();
        Error::new(kind, format!("provider {}, key {}: no {what}: {reason}", provider.name, key.name))
    })?;
    exchange.token = Some(token.clone());
    Ok(match &token.proof {
        Fetched::Bearer(bearer) => signing::borne(outgoing, bearer.expose()),
        Fetched::Aws(keys) => signing::signed(outgoing, keys, exchange.unix_s()).await,
    })
}

/// Whether the provider refused the token that was sent, and another one is on its way for the same request.
pub(super) fn is_renewed(core: &Core, exchange: &Exchange<'_>, failure: &Failure) -> bool {
    let is_refused = failure.error.kind == Kind::UpstreamStatus
        && failure.error.status() != 402
        && classify(&failure.error) == Class::Refused;
    // A form that was sent as it came is not there any more.
    if !is_refused || exchange.upload.is_some() {
        return false;
    }
    let grant = exchange.chosen().1.and_then(|key| key.grant());
    let Some((grant, token)) = grant.zip(exchange.token.as_ref()) else { return false };
    if !core.tokens.refuse(grant, token.number, Instant::now()) {
        return false;
    }
    let message = Message::TokenRefused { grant: grant.clone(), number: token.number };
    core.neighbours.tokens.as_ref().is_some_and(|post| post.send(message).is_ok())
}

//! A conversation, or what else a model is asked for: what the caller asks is read from its body, and attempts are made as
//! `routing` plans them, until one serves or none is left. Once a byte has gone to the caller there is no further one.

use std::rc::Rc;
use std::time::Duration;

use super::asked::{ANTHROPIC_KEYS, Asked, INVOKE_KEYS, KEYS, SPEECH_KEYS, Wanted};
use super::exchange::Exchange;
use super::failure::{self, Failure};
use super::tag::RESPONSES_KEYS;
use super::trail::Outcome;
use super::{Core, attempt, body, kept, known, path_model, relay, session};
use crate::api::Surface;
use crate::config::snapshot::Snapshot;
use crate::dialect::{Dialect, Operation};
use crate::error::{Error, Kind};
use crate::net::server::{Downstream, Gone, Request};
use crate::net::until;
use crate::routing::plan::{Attempt, Class, Failed, Features, Plan, Step, classify, plan};
use crate::routing::view::View;

/// Serves one request of a model; `operation` is its route's.
pub(super) async fn serve(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    operation: Operation,
) -> Result<(), Error> {
    let dialect = exchange.caller_dialect().ok_or_else(failure::no_provider)?;
    let keys = match dialect {
        Dialect::Responses => &RESPONSES_KEYS,
        Dialect::Anthropic if exchange.surface == Surface::Bedrock => &INVOKE_KEYS,
        Dialect::Anthropic => &ANTHROPIC_KEYS,
        Dialect::OpenAi if operation == Operation::Speech => &SPEECH_KEYS,
        _ => &KEYS,
    };
    let members = body::receive(core, downstream, request, exchange, keys).await?;
    let asked = match path_model::asked(core, downstream, request, exchange, &members, operation).await? {
        Some(asked) => asked,
        None => Asked::of(request.body(), &members, operation)?,
    };
    exchange.stream = asked.operation.is_stream();
    exchange.activate();
    exchange.model.clone_from(&asked.model);
    exchange.model_requested.clone_from(&asked.model);
    let wanted = Wanted::of(request, exchange.noted.api_key_id, exchange.noted.api_key)?;
    let snapshot = exchange.snapshot.clone();
    let mut features = Features {
        model: &asked.model,
        home: exchange.home,
        operation: asked.operation,
        dialect,
        pin: wanted.as_ref().map(Wanted::pin),
        session: session::of(request, exchange, &asked),
        fallbacks: asked.fallbacks.as_deref(),
        deadline: exchange.deadline,
        record: exchange.logs(),
    };
    let parameter = known::find(core, request, exchange, &members, &asked).await?;
    if let Some(parameter) = parameter {
        known::lead(exchange, (&snapshot, &mut features), parameter)?;
    }
    let health = Rc::clone(&exchange.health);
    attempts(core, downstream, request, exchange, &asked, (&snapshot, features, &*health)).await
}

/// Makes attempts until one serves or none is left.
pub(super) async fn attempts(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    asked: &Asked,
    (snapshot, features, health): (&Snapshot, Features<'_>, &View),
) -> Result<(), Error> {
    let (plan, first) = plan(snapshot, features, health, exchange.now(), exchange.seed())?;
    kept::keep(request, exchange);
    let mut way = Way { plan, last: first, is_of_stored: asked.operation.is_of_made(), kept: None };
    let served = match try_once(core, downstream, request, exchange, asked, (&first, Duration::ZERO)).await {
        Ok(()) => Ok(()),
        // Boxed: most requests are served at once.
        Err(failure) => {
            Box::pin(go_on(core, downstream, request, exchange, asked, (&mut way, failure))).await
        }
    };
    way.plan.decision(&mut exchange.decision);
    served
}

/// A request's way.
struct Way<'a> {
    plan: Plan<'a>,
    last: Attempt<'a>,
    /// Whether it is about a stored response, which keys may know or not.
    is_of_stored: bool,
    /// What the caller is answered with if nothing better comes, and whose it is.
    kept: Option<(Attempt<'a>, Failure)>,
}

/// What is done about a failure.
enum Then {
    Retry(Duration),
    GiveUp,
    CredentialsExhausted,
}

impl Way<'_> {
    fn failed(&mut self, failure: Failure, exchange: &Exchange<'_>) -> Then {
        let class = match classify(&failure.error) {
            Class::Elsewhere if self.is_of_stored && failure.error.status() == 404 => Class::Unknown,
            class => class,
        };
        let failed = Failed { class, retry_after: failure.retry_after };
        let next = self.plan.next(failed, &*exchange.health, exchange.now());
        if next.keep || self.kept.is_none() {
            self.kept = Some((self.last, failure));
        }
        match next.step {
            Step::Attempt { attempt, after } => {
                self.last = attempt;
                Then::Retry(after)
            }
            Step::GiveUp => Then::GiveUp,
            Step::CredentialsExhausted => Then::CredentialsExhausted,
        }
    }
}

/// Makes further attempts until one serves, or the plan ends.
async fn go_on(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    asked: &Asked,
    (way, mut failure): (&mut Way<'_>, Failure),
) -> Result<(), Error> {
    loop {
        if failure.error.kind == Kind::ClientGone || downstream.has_started() {
            return Err(failure.error);
        }
        let after = match way.failed(failure, exchange) {
            Then::Retry(after) if way.is_of_stored || kept::is_here(request, exchange) => after,
            Then::Retry(_) | Then::GiveUp => {
                return give_up(downstream, exchange, way.kept.take(), false).await;
            }
            Then::CredentialsExhausted => return give_up(downstream, exchange, way.kept.take(), true).await,
        };
        pause(downstream, exchange, after).await?;
        match try_once(core, downstream, request, exchange, asked, (&way.last, after)).await {
            Ok(()) => return Ok(()),
            Err(next) => failure = next,
        }
    }
}

/// Answers with the failure that was kept; what is reported is of the attempt that met it.
async fn give_up(
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    kept: Option<(Attempt<'_>, Failure)>,
    is_exhausted: bool,
) -> Result<(), Error> {
    let (attempt, Failure { error, answer, .. }) = kept.ok_or_else(failure::no_provider)?;
    exchange.choose(&attempt);
    exchange.status = 0;
    match answer {
        _ if is_exhausted => Err(failure::exhausted(exchange, &error)),
        Some(answer) => relay::answer(downstream, exchange, *answer, &error).await,
        None => Err(error),
    }
}

/// Makes an attempt, and notes what became of it.
async fn try_once(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    asked: &Asked,
    (attempt, waited): (&Attempt<'_>, Duration),
) -> Result<(), Failure> {
    exchange.choose(attempt);
    exchange.begin_attempt(attempt, waited);
    let before = exchange.now();
    let made = attempt::make(core, downstream, request, exchange, asked, attempt).await;
    let outcome = match &made {
        Ok(()) => Outcome::Status(exchange.status),
        Err(failure) => Outcome::of(&failure.error),
    };
    exchange.trail.end(outcome, exchange.now() - before);
    exchange.end_attempt(core, &made);
    made
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

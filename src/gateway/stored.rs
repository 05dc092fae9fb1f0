//! Stored responses: asked for again, deleted, cancelled, their input listed
//! (<https://platform.openai.com/docs/api-reference/responses/get>). No model is named, so that the id says which provider and
//! key is asked; where it does not, the caller's header, the path's vendor or the config does, and the provider's keys are
//! tried while they answer that there is no such response. Attempts are made as for a conversation.
//!
//! All of it may be sent again after a failure: GET and DELETE are idempotent (RFC 9110 section 9.2.2; nginx resends them, too),
//! and so is the cancelling, by OpenAI's word: who cancels twice gets the response once more
//! (<https://platform.openai.com/docs/guides/background>). A DELETE that did its work, failed to say so and was sent again may
//! end with the provider's 404, as it does for a caller that repeats it: the answers of repeated requests may differ, and what
//! is told is true, the response is gone. A success is never made up, since the same 404 is the answer to a wrong id.

use std::rc::Rc;

use super::asked::{Asked, Wanted};
use super::exchange::Exchange;
use super::failure::{self, Failure};
use super::outgoing::{self, Caller};
use super::relay::Translation;
use super::tag::{self, Origin};
use super::{Core, account, attempt, chat, skip_body};
use crate::api;
use crate::config::snapshot::{ProviderId, Snapshot};
use crate::dialect::response_id::Tag;
use crate::dialect::{Dialect, Operation};
use crate::error::{Error, Kind};
use crate::http::Method;
use crate::net::server::{Downstream, Request};
use crate::provider::id_place;
use crate::routing::plan::{Attempt, Features, Pin};
use crate::routing::target;

/// Longest id that is asked for, bytes.
const ID_BYTES_MAX: usize = 1_024;
/// The header by which a caller says which provider an id is of that does not say so itself.
const PROVIDER_FIELD: &str = "x-model-provider";

/// Parameters of a query in which some callers send a credential; it goes no further.
const CREDENTIALS: [&str; 10] = [
    "key",
    "api_key",
    "api-key",
    "apikey",
    "access_token",
    "auth_token",
    "token",
    "authorization",
    "x-api-key",
    "x-goog-api-key",
];

/// The version in which a caller speaks to Azure; in which Azure is asked, its key says.
const API_VERSION: &str = "api-version";

/// Serves one request about a stored response.
pub(super) async fn serve(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    operation: Operation,
) -> Result<(), Error> {
    skip_body(downstream, request, exchange).await?;
    exchange.stream = operation == Operation::ResponsesRetrieve && wants_stream(request.query());
    exchange.activate();
    let wanted = Wanted::of(request, exchange.noted.api_key_id, exchange.noted.api_key)?;
    let snapshot = exchange.snapshot.clone();
    let dialect = exchange.caller_dialect().ok_or_else(failure::no_provider)?;
    let id = exchange.route.and_then(|route| route.parameter(request.path())).unwrap_or_default();
    if id.len() > ID_BYTES_MAX {
        let name = id_place(operation).unwrap_or_default().trim_matches(['{', '}']);
        let message = format!("{name} is longer than {ID_BYTES_MAX} bytes, as no provider's is");
        return Err(Error::new(Kind::InvalidRequest, message).with_param(name));
    }
    let (bare, number) = Tag::split(&id).map_or((&*id, None), |(bare, number)| (bare, Some(number)));
    let number = number.or_else(|| account::page_of(operation, request.query()));
    let origin = match number.and_then(|number| tag::origin(&snapshot, number)) {
        Some(origin) => origin,
        None => Origin {
            provider: provider(request, exchange, &snapshot, (dialect, operation), None)?,
            key: None,
        },
    };
    let asked = Asked::stored(operation, bare.to_owned());
    let (name, key_id) = tag::names(&snapshot, origin).ok_or_else(failure::no_provider)?;
    let model = format!("{name}/");
    let features = Features {
        model: &model,
        home: None,
        operation,
        dialect,
        pin: wanted.as_ref().map(Wanted::pin).or(key_id.map(Pin::Id)),
        session: None,
        fallbacks: Some(&[]),
        deadline: exchange.deadline,
        record: exchange.logs(),
    };
    let health = Rc::clone(&exchange.health);
    chat::attempts(core, downstream, request, exchange, &asked, (&snapshot, features, &*health)).await
}

/// Whether the answer is to be a stream (<https://platform.openai.com/docs/api-reference/responses/get>).
fn wants_stream(query: Option<&[u8]>) -> bool {
    query.unwrap_or_default().split(|byte| *byte == b'&').any(|parameter| parameter == b"stream=true")
}

/// The provider of an id that does not say it, or of what is to be made: `said` is what the body says. Errors: nobody can say.
pub(super) fn provider(
    request: &Request,
    exchange: &Exchange<'_>,
    snapshot: &Snapshot,
    (dialect, operation): (Dialect, Operation),
    said: Option<&str>,
) -> Result<ProviderId, Error> {
    let field = request.field(PROVIDER_FIELD).map(<[u8]>::trim_ascii).filter(|name| !name.is_empty());
    let field = field.map(String::from_utf8_lossy);
    let is_of_account = operation.is_of_account();
    let query = if is_of_account { account::provider_in(request.query()) } else { None };
    let home = exchange.home;
    if let Some(name) = field.as_deref().or(said).or(query.as_deref()).or(home) {
        return target::provider(snapshot, name);
    }
    let serving = (0..).map(ProviderId).zip(&snapshot.providers);
    let mut serving = serving.filter(|(_, provider)| {
        let has_key = || provider.key_less || provider.keys.iter().any(|key| key.use_for_batch_api);
        provider.way(dialect, operation).is_some() && (!is_of_account || has_key())
    });
    match (serving.next(), serving.next()) {
        (Some((id, _)), None) => Ok(id),
        (None, _) if is_of_account => Err(unknown(
            "no configured provider has a key with use_for_batch_api, and batches and files go by such keys alone",
        )),
        (None, _) => Err(unknown("no configured provider keeps responses")),
        (Some(_), Some(_)) if is_of_account => Err(unknown(
            "nothing says whose batches or files are meant, and several providers have keys with use_for_batch_api: name one by \
             x-model-provider or the query's provider, or ask with an id as this gateway gave it",
        )),
        (Some(_), Some(_)) => Err(unknown(
            "the id does not say which provider's it is, and several keep responses: name one by x-model-provider, or ask \
             with the id as this gateway gave it",
        )),
    }
}

fn unknown(message: &'static str) -> Error {
    Error::new(Kind::ProviderNotConfigured, message).with_param(PROVIDER_FIELD)
}

/// Makes the attempt that `exchange` was told of, up to the caller's answer.
pub(super) async fn make(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    (operation, id): (Operation, &str),
    attempt: &Attempt<'_>,
) -> Result<(), Failure> {
    let snapshot = exchange.snapshot.clone();
    let provider =
        snapshot.providers.get(usize::from(attempt.provider.0)).ok_or_else(failure::no_provider)?;
    let from = exchange.caller_dialect().ok_or_else(failure::no_provider)?;
    let key = attempt.key.and_then(|key| provider.keys.get(usize::from(key.0)));
    let way = provider.way_for(key, ("", ""), from, operation);
    let (dialect, _, target) = way.ok_or_else(failure::no_provider)?;
    let method = exchange.route.map_or(Method::Get, |route| route.method);
    let target = match id_place(operation) {
        Some(place) => outgoing::with_name(target, place, id)?.into_owned(),
        None => target.to_owned(),
    };
    let target = match operation.is_of_account() {
        true => account::with_query(target, request.query()),
        false => with_query(target, request.query()),
    };
    let nominates = exchange.noted.nominates;
    let caller = Caller {
        request,
        same_dialect: true,
        filter: &snapshot.client.header_filter,
        nominates,
        is_form: false,
    };
    let head = outgoing::head(method, &target, provider, key, dialect, Some(caller));
    let translation = Translation {
        tag: Some(tag::of(provider, key)),
        is_stored: true,
        is_of_account: operation.is_of_account(),
        ..Translation::none(dialect)
    };
    let outgoing = match method {
        Method::Post => outgoing::whole(head, Vec::new()),
        _ => outgoing::bodyless(head),
    };
    let to = (provider, provider.origin_of(key));
    let sent = attempt::send(core, downstream, exchange, to, outgoing, translation).await;
    sent.map_err(|failure| failure::named(failure, provider))
}

/// The caller's query behind the target's own, as it was sent but for what some take a credential from.
pub(super) fn with_query(mut target: String, query: Option<&[u8]>) -> String {
    // A target is visible ASCII.
    let query = query.and_then(|query| std::str::from_utf8(query).ok()).unwrap_or_default();
    let is_credential = |pair: &str| {
        let name = api::unescaped(pair.split('=').next().unwrap_or_default().as_bytes());
        name.is_none_or(|name| {
            name == API_VERSION || CREDENTIALS.iter().any(|one| name.eq_ignore_ascii_case(one))
        })
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty() && !is_credential(pair)) {
        target.push(if target.contains('?') { '&' } else { '?' });
        target.push_str(pair);
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_passes_behind_what_the_target_has() {
        for (target, query, expected) in [
            ("/a", None, "/a"),
            ("/a", Some(""), "/a"),
            ("/a", Some("stream=true&starting_after=3"), "/a?stream=true&starting_after=3"),
            ("/a", Some("key=secret"), "/a"),
            ("/a", Some("limit=2&KEY=secret&api_key=s&after=key"), "/a?limit=2&after=key"),
            ("/a", Some("k%65y=secret&Token=t&%zz=secret&%61pi%5Fkey=s"), "/a"),
            ("/a", Some("include%5B%5D=x"), "/a?include%5B%5D=x"),
            ("/a?v=1", Some("api-version=2024-10-21&limit=2"), "/a?v=1&limit=2"),
            ("/a?v=1", Some("include[]=x%20y"), "/a?v=1&include[]=x%20y"),
        ] {
            assert_eq!(with_query(target.to_owned(), query.map(str::as_bytes)), expected);
        }
    }

    #[test]
    fn a_stream_is_asked_for_by_the_query() {
        for (query, expected) in [
            (None, false),
            (Some("stream=true"), true),
            (Some("starting_after=1&stream=true"), true),
            (Some("stream=false"), false),
            (Some("xstream=true"), false),
        ] {
            assert_eq!(wants_stream(query.map(str::as_bytes)), expected, "{query:?}");
        }
    }
}

//! Batches and files: whose they are, by what a request says of it. Those that were made are `stored`'s to ask for, files that
//! are sent up are `upload`'s; a batch that is made is asked for here, as a conversation is, and named no model.

use std::borrow::Cow;
use std::rc::Rc;

use super::asked::{Asked, KEYS, Wanted};
use super::exchange::Exchange;
use super::tag::{self, Known, Origin};
use super::{Core, body, chat, failure, stored};
use crate::api;
use crate::config::snapshot::Snapshot;
use crate::dialect::response_id::Tag;
use crate::dialect::{Operation, look};
use crate::error::{Error, Kind};
use crate::net::server::{Downstream, Request};
use crate::routing::plan::{Features, Pin};

/// The top-level keys that decide something of a batch, in the places of [`KEYS`]; no vendor's batch has `provider` or `model`.
const BATCH_KEYS: [&str; KEYS.len()] = ["input_file_id", "provider", "model", "fallbacks", "metadata"];
const INPUT_FILE: usize = 0;
const PROVIDER: usize = 1;
const MODEL: usize = 2;
const FALLBACKS: usize = 3;
/// Parameters of a list's query that name an id (OpenAI's, Anthropic's).
const PAGE: [&str; 3] = ["after", "after_id", "before_id"];

/// Makes a batch, by the key that knows its file, where one is named.
pub(super) async fn create_batch(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
) -> Result<(), Error> {
    let operation = Operation::BatchCreate;
    let members = body::receive(core, downstream, request, exchange, &BATCH_KEYS).await?;
    let text = |index| {
        let value = members.value(index).and_then(|span| request.body().get(span));
        value.and_then(look::string_value).map(Cow::into_owned)
    };
    let named = text(MODEL).and_then(|model| model.split_once('/').map(|(name, _)| name.to_owned()));
    let said = text(PROVIDER).or(named);
    let snapshot = exchange.snapshot.clone();
    exchange.known =
        members.value(INPUT_FILE).and_then(|span| Known::of(&snapshot, request.body(), span)).map(Box::new);
    let known = exchange.known.as_ref().and_then(|known| known.origin);
    let asked = Asked::of_account(operation, members.cuts(&[PROVIDER, MODEL, FALLBACKS]));
    attempts(core, downstream, request, exchange, (&snapshot, &asked), (known, said.as_deref())).await
}

/// Makes attempts by the keys of whom the request means: where `known` leads, or the body has `said`.
pub(super) async fn attempts(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    (snapshot, asked): (&Snapshot, &Asked),
    (known, said): (Option<Origin>, Option<&str>),
) -> Result<(), Error> {
    exchange.activate();
    let dialect = exchange.caller_dialect().ok_or_else(failure::no_provider)?;
    let wanted = Wanted::of(request, exchange.noted.api_key_id, exchange.noted.api_key)?;
    let origin = match known {
        Some(origin) => origin,
        None => {
            let asks = (dialect, asked.operation);
            Origin { provider: stored::provider(request, exchange, snapshot, asks, said)?, key: None }
        }
    };
    let (name, key_id) = tag::names(snapshot, origin).ok_or_else(failure::no_provider)?;
    let model = format!("{name}/");
    let features = Features {
        model: &model,
        home: None,
        operation: asked.operation,
        dialect,
        pin: wanted.as_ref().map(Wanted::pin).or(key_id.map(Pin::Id)),
        session: None,
        fallbacks: Some(&[]),
        deadline: exchange.deadline,
        record: exchange.logs(),
    };
    let health = Rc::clone(&exchange.health);
    chat::attempts(core, downstream, request, exchange, asked, (snapshot, features, &*health)).await
}

/// The value of a query's parameter, unescaped.
fn parameter<'q>(query: Option<&'q [u8]>, is_wanted: impl Fn(&str) -> bool) -> Option<Cow<'q, str>> {
    let mut pairs = query.unwrap_or_default().split(|byte| *byte == b'&').filter_map(|pair| {
        let (name, value) = pair.split_at_checked(memchr::memchr(b'=', pair)?)?;
        Some((api::unescaped(name)?, value.get(1..)?))
    });
    let (_, value) = pairs.find(|(name, _)| is_wanted(name))?;
    api::unescaped(value).filter(|value| !value.is_empty())
}

/// The provider that a query names.
pub(super) fn provider_in(query: Option<&[u8]>) -> Option<Cow<'_, str>> {
    parameter(query, |name| name == "provider")
}

/// What the mark of the id stands for behind, or before, which a list is asked for.
pub(super) fn page_of(operation: Operation, query: Option<&[u8]>) -> Option<u64> {
    if !matches!(operation, Operation::BatchList | Operation::FileList) {
        return None;
    }
    let id = parameter(query, |name| PAGE.contains(&name))?;
    Tag::split(&id).map(|(_, number)| number)
}

/// The caller's query behind the target's own, without the provider's name, and with ids as the provider knows them.
pub(super) fn with_query(target: String, query: Option<&[u8]>) -> String {
    let query = query.and_then(|query| std::str::from_utf8(query).ok()).unwrap_or_default();
    let pairs = query.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = api::unescaped(name.as_bytes())?;
        if name == "provider" {
            return None;
        }
        let id = api::unescaped(value.as_bytes())?;
        match Tag::split(&id).filter(|_| PAGE.contains(&&*name)) {
            // Vendors' ids are letters, digits, `_` and `-`.
            Some((bare, _))
                if bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)) =>
            {
                Some(format!("{name}={bare}"))
            }
            _ => Some(pair.to_owned()),
        }
    });
    let query = pairs.collect::<Vec<_>>().join("&");
    stored::with_query(target, Some(query.as_bytes()))
}

/// Refuses a form's field that is not text.
pub(super) fn text_of(value: &[u8], name: &'static str) -> Result<String, Error> {
    String::from_utf8(value.to_vec())
        .map_err(|_| Error::new(Kind::InvalidRequest, format!("{name} is not UTF-8")).with_param(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_goes_on_without_what_is_ours() {
        for (query, expected, provider, number) in [
            ("", "/a", None, None),
            ("provider=openai&limit=2", "/a?limit=2", Some("openai"), None),
            ("limit=2&after=batch_1~0000000000007", "/a?limit=2&after=batch_1", None, Some(7)),
            ("before_id=b%7E0000000000007&x=y", "/a?before_id=b&x=y", None, Some(7)),
            (
                "after=plain&purpose=a~0000000000007&key=secret",
                "/a?after=plain&purpose=a~0000000000007",
                None,
                None,
            ),
        ] {
            let query = Some(query.as_bytes());
            assert_eq!(with_query("/a".to_owned(), query), expected);
            assert_eq!(provider_in(query).as_deref(), provider);
            assert_eq!(page_of(Operation::FileList, query), number);
            assert_eq!(page_of(Operation::FileRetrieve, query), None);
        }
    }
}

//! What a caller asks of us whose path names the model, a Gemini caller or one of Bedrock or Azure: the path's name counts, and where the body names
//! the model again it must be the same, so that nobody is served by a model that the config did not see.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::asked::{Asked, KEYS, ModelPlace};
use super::compute::compute;
use super::exchange::Exchange;
use super::{Core, kept};
use crate::api::Surface;
use crate::dialect::look::{self, Members};
use crate::dialect::{Dialect, Operation};
use crate::error::{Error, Kind};
use crate::http::offset_in;
use crate::net::server::{Downstream, Gone, Request};
use crate::net::{Raced, race};

/// Most requests of a batch; Gemini takes 100.
const REQUESTS_MAX: usize = 4_096;
/// What a model's name may begin with where it is a resource's.
const PREFIX: &str = "models/";

/// What the request asks; `None`: its body says which model. Errors: the body says it otherwise.
pub(super) async fn asked(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    members: &Members<{ KEYS.len() }>,
    operation: Operation,
) -> Result<Option<Asked>, Error> {
    let dialect = exchange.caller_dialect();
    let named = exchange.route.and_then(|route| route.model(request.path()));
    if let (Some(Dialect::OpenAi | Dialect::Responses), Some(deployment)) = (dialect, &named) {
        return Asked::deployed(request.body(), members, operation, deployment.clone()).map(Some);
    }
    if !matches!(dialect, Some(Dialect::Gemini | Dialect::Bedrock)) && exchange.surface != Surface::Bedrock {
        return Ok(None);
    }
    let model = named.ok_or_else(|| Error::new(Kind::Internal, "the route names no model"))?;
    if dialect == Some(Dialect::Bedrock) {
        let place = ModelPlace::Path(Vec::new());
        return Asked::by_path(request.body(), members, operation, (model, place)).map(Some);
    }
    if exchange.surface == Surface::Bedrock {
        exchange.wants_chunks = operation.is_stream();
        return Asked::invoked(request.body(), members, operation, model).map(Some);
    }
    exchange.wants_array = operation.is_stream() && !wants_events(request.query());
    let places = match operation {
        Operation::CountTokens | Operation::EmbeddingBatch => {
            let work = (operation, model.clone());
            Box::pin(inner_places(core, downstream, request, exchange, work)).await?
        }
        _ => Vec::new(),
    };
    Asked::named(request.body(), members, operation, (model, places)).map(Some)
}

/// Whether a query asks for server-sent events.
fn wants_events(query: Option<&[u8]>) -> bool {
    let mut parameters = query.unwrap_or_default().split(|byte| *byte == b'&');
    parameters.any(|parameter| matches!(parameter, b"alt=sse" | b"$alt=sse" | b"%24alt=sse"))
}

/// Whether a JSON value is the name of `model`, perhaps as that of a resource.
pub(super) fn is_named(value: &[u8], model: &str) -> bool {
    let name = look::string_value(value);
    name.is_some_and(|name| name == model || name.strip_prefix(PREFIX) == Some(model))
}

/// A model's name as a body has it.
pub(super) fn resource(model: &str) -> Vec<u8> {
    let mut name = Vec::with_capacity(PREFIX.len() + model.len() + 2);
    look::write_string(&mut name, &format!("{PREFIX}{model}"));
    name
}

/// The body names another model than the path.
pub(super) fn another(field: String) -> Error {
    let message = format!("{field} must be the model that the path names, or be left out");
    Error::new(Kind::InvalidRequest, message).with_param(field)
}

/// [`places`], off the core where the body is long.
async fn inner_places(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    (operation, model): (Operation, String),
) -> Result<Vec<Range<usize>>, Error> {
    let (buffer, start) = kept::lend(request, exchange);
    let work = compute(core, buffer.len(), move || {
        (places(buffer.get(start..).unwrap_or_default(), operation, &model), buffer)
    });
    let (places, buffer) = match race(work, downstream.gone()).await {
        Raced::First(done) => done?,
        Raced::Second(()) => return Err(Gone.into()),
    };
    kept::back(request, exchange, buffer, 0)?;
    places
}

/// An object that may name its model.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Count<'a> {
    #[serde(borrow, alias = "generate_content_request", rename = "generateContentRequest")]
    request: Option<Named<'a>>,
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow, default)]
    requests: Vec<Named<'a>>,
}

/// Where requests inside the body name their model (<https://ai.google.dev/api/embeddings>,
/// <https://ai.google.dev/api/tokens>). Errors: one names another, or they have not the form by which that can be told.
fn places(body: &[u8], operation: Operation, model: &str) -> Result<Vec<Range<usize>>, Error> {
    let (field, inner) = match operation {
        Operation::EmbeddingBatch => {
            ("requests", serde_json::from_slice::<Batch<'_>>(body).map(|batch| batch.requests))
        }
        _ => {
            let count = serde_json::from_slice::<Count<'_>>(body);
            ("generateContentRequest", count.map(|count| count.request.into_iter().collect()))
        }
    };
    let is_list = operation == Operation::EmbeddingBatch;
    let malformed = || {
        let form =
            if is_list { format!("a list of at most {REQUESTS_MAX} objects") } else { "an object".into() };
        let message = format!("{field} must be {form}, each with one model at the most");
        Error::new(Kind::InvalidRequest, message).with_param(field)
    };
    let inner = inner.ok().filter(|inner| inner.len() <= REQUESTS_MAX).ok_or_else(malformed)?;
    let mut places = Vec::with_capacity(inner.len());
    for (index, named) in inner.iter().enumerate() {
        let Some(value) = named.model.map(RawValue::get) else { continue };
        if !is_named(value.as_bytes(), model) {
            let place = if is_list { format!("{field}[{index}].model") } else { format!("{field}.model") };
            return Err(another(place));
        }
        let start = offset_in(body, value.as_bytes());
        places.push(start..start + value.len());
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_asks_for_events() {
        for (query, expected) in [
            (None, false),
            (Some("alt=sse"), true),
            (Some("key=secret&alt=sse"), true),
            (Some("$alt=sse"), true),
            (Some("alt=json"), false),
            (Some("alt=sse2&xalt=sse"), false),
        ] {
            assert_eq!(wants_events(query.map(str::as_bytes)), expected, "{query:?}");
        }
    }

    #[test]
    fn models_inside_a_body_are_found_and_are_the_paths() {
        let batch = |body: &str| {
            let found = places(body.as_bytes(), Operation::EmbeddingBatch, "a/b");
            found.map(|places| places.into_iter().map(|place| body[place].to_owned()).collect::<Vec<_>>())
        };
        let body =
            r#" {"requests":[{"model":"models/a/b","content":{"model":7}},{},{"mod\u0065l": "a\/b"}]}"#;
        assert_eq!(batch(body), Ok(vec![r#""models/a/b""#.to_owned(), r#""a\/b""#.to_owned()]));
        assert_eq!(batch("{}"), Ok(vec![]));
        let many = |count| format!(r#"{{"requests":[{}]}}"#, vec!["{}"; count].join(","));
        assert_eq!(batch(&many(REQUESTS_MAX)), Ok(vec![]));
        for (wrong, param) in [
            (r#"{"requests":[{"model":"a/b"},{"model":"models/b"}]}"#, "requests[1].model"),
            (r#"{"requests":[{"model":7}]}"#, "requests[0].model"),
            (r#"{"requests":[{"model":"a/b","model":"c"}]}"#, "requests"),
            (r#"{"requests":[],"requests":[]}"#, "requests"),
            (r#"{"requests":{}}"#, "requests"),
            (r#"{"requests":[7]}"#, "requests"),
            (&many(REQUESTS_MAX + 1), "requests"),
        ] {
            let error = batch(wrong).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (Kind::InvalidRequest, Some(param)), "{wrong}");
        }
    }

    #[test]
    fn a_count_names_its_model_inside() {
        let count = |body: &str| places(body.as_bytes(), Operation::CountTokens, "m");
        assert_eq!(count(r#"{"contents":[]}"#), Ok(vec![]));
        let body = r#"{"generateContentRequest":{"model":"models/m"}}"#;
        assert_eq!(count(body).unwrap().first().map(|place| &body[place.clone()]), Some("\"models/m\""));
        let error = count(r#"{"generate_content_request":{"model":"models/x"}}"#).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("generateContentRequest.model"));
    }
}

//! The same glue for rerankings, between Cohere's and what stands at `/v1/rerank`: one room has both.

use super::{AnswerOptions, Echo, Encoded, TranslatedResponse, reported, unusable};
use crate::dialect::dropped::bounded_names;
use crate::dialect::{Dialect, cohere};
use crate::error::Error;

/// Translates a request for `wire_model`.
pub(super) fn request(to: Dialect, body: &[u8], wire_model: &str) -> Result<Encoded, Error> {
    let asked = cohere::rerank::request(to, body, wire_model)?;
    let echo = Echo { settings: asked.documents, ..Echo::default() };
    Ok(Encoded { body: asked.body, dropped: bounded_names(asked.dropped), echo })
}

/// Translates a provider's answer.
pub(super) fn response(
    to: Dialect,
    body: &[u8],
    options: &AnswerOptions,
) -> Result<TranslatedResponse, Error> {
    let documents = &options.echo.settings;
    let answer = cohere::rerank::response(to, body, &options.model, documents);
    let (body, usage) = answer.map_err(|error| unusable(&error))?;
    Ok(TranslatedResponse { body, usage: reported(usage) })
}

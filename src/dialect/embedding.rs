//! The neutral model of embeddings that stands between OpenAI's, Gemini's and Cohere's: texts in, vectors out. It knows no wire
//! format; numbers cross as they are spelled.

use std::borrow::Cow;

use super::json::{Span, Text};
use crate::chat::{Raw, Usage};

/// What a caller asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Request<'a> {
    /// What is to be embedded, each on its own.
    pub(super) inputs: Vec<Cow<'a, str>>,
    /// Whether it came as a text, not as a list of one.
    pub(super) is_single: bool,
    /// Length of each vector, a JSON number; `None`: the model's own.
    pub(super) dimensions: Option<Raw<'a>>,
    /// The caller's own name for its end user.
    pub(super) user: Option<Cow<'a, str>>,
    /// Whether vectors are wanted as base64 of little-endian 32-bit floats, not as numbers.
    pub(super) is_base64: bool,
    /// Of Cohere, whose callers may want both: whether they are wanted as numbers, too.
    pub(super) is_float: bool,
    /// Gemini's own words: `taskType`, `title`, each a JSON string.
    pub(super) task_type: Option<Raw<'a>>,
    /// See `task_type`.
    pub(super) title: Option<Raw<'a>>,
    /// What the caller's half could not carry over, in its words.
    pub(super) dropped: Vec<Cow<'a, str>>,
}

/// What a provider answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Response<'a> {
    /// The model as the provider names it; empty: it does not.
    pub(super) model: Cow<'a, str>,
    /// One for each input, in their order; each a JSON list of numbers.
    pub(super) vectors: Vec<Raw<'a>>,
    /// What it cost, when the provider says so.
    pub(super) usage: Usage,
}

/// What vectors are made for: Cohere's `input_type`, and Gemini's `taskType` as it stands in JSON.
pub(super) const USES: [(&str, &str); 4] = [
    ("search_document", "\"RETRIEVAL_DOCUMENT\""),
    ("search_query", "\"RETRIEVAL_QUERY\""),
    ("classification", "\"CLASSIFICATION\""),
    ("clustering", "\"CLUSTERING\""),
];

/// The use that Cohere's word means; `None`: another's word.
pub(super) fn use_of(input_type: Span<'_>) -> Option<Raw<'static>> {
    let Text(word) = input_type.parse(&"input_type").ok()?;
    USES.iter().find(|(own, _)| *own == word).map(|(_, other)| Raw(other))
}

//! Cohere's citations (<https://docs.cohere.com/docs/documents-and-citations>), read and written: the same objects in whole
//! answers and in streams. Each says which characters of the answer lean on which documents or results of tools.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::chat::Citation;
use crate::dialect::json::{Array, Object, Text};

/// One of them, with all its sources.
#[derive(Deserialize)]
pub(super) struct WireCitation<'a> {
    start: Option<u64>,
    end: Option<u64>,
    #[serde(borrow)]
    sources: Option<Vec<WireSource<'a>>>,
    /// Which block of the content it is about.
    pub(super) content_index: Option<u64>,
    #[serde(rename = "type", borrow)]
    kind: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireSource<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    document: Option<WireDocument<'a>>,
}

/// What documents have for an address, a title and words, when they have it under the names that Cohere's guides use.
#[derive(Deserialize)]
struct WireDocument<'a> {
    #[serde(borrow)]
    url: Option<Loose<'a>>,
    #[serde(borrow)]
    title: Option<Loose<'a>>,
    #[serde(borrow)]
    snippet: Option<Loose<'a>>,
    #[serde(borrow)]
    text: Option<Loose<'a>>,
}

/// A caller's own field: a text, or what it may hold else.
#[derive(Deserialize)]
#[serde(untagged)]
enum Loose<'a> {
    Text(#[serde(borrow)] Text<'a>),
    Other(IgnoredAny),
}

impl<'a> Loose<'a> {
    fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text.0),
            Self::Other(_) => None,
        }
    }
}

impl<'a> WireCitation<'a> {
    /// Whether it is about what the answer says, not about a thought or a plan.
    pub(super) fn is_of_text(&self) -> bool {
        self.kind.as_ref().is_none_or(|kind| kind.0 == "TEXT_CONTENT")
    }

    /// One for each source; `base` is where its block begins in the whole answer's text, in characters.
    pub(super) fn citations(self, base: u64) -> Vec<Citation<'a>> {
        let place = |at: u64| base.saturating_add(at);
        let span = self.start.zip(self.end).map(|(start, end)| (place(start), place(end)));
        let sources = self.sources.unwrap_or_default();
        sources.into_iter().map(|source| cited(source, span)).collect()
    }
}

fn cited<'a>(source: WireSource<'a>, span: Option<(u64, u64)>) -> Citation<'a> {
    let id = source.id.map(|id| id.0);
    let Some(document) = source.document else { return Citation { title: id, span, ..Citation::default() } };
    Citation {
        url: document.url.and_then(Loose::text),
        title: document.title.and_then(Loose::text).or(id),
        cited_text: document.snippet.and_then(Loose::text).or(document.text.and_then(Loose::text)),
        span,
        anthropic: None,
    }
}

/// Writes one; `block` is where it stands when it does not say so itself, `words` what stands there, and `index` which block
/// of the content that is.
pub(super) fn write(
    out: &mut Vec<u8>,
    citation: &Citation<'_>,
    block: (u64, u64),
    words: impl FnOnce((u64, u64)) -> Option<String>,
    index: u64,
) {
    let span = citation.span.unwrap_or(block);
    let mut object = Object::begin(out);
    object.number("start", span.0);
    object.number("end", span.1);
    if let Some(words) = words(span) {
        object.text("text", &words);
    }
    let mut sources = Array::begin(object.field("sources"));
    let mut source = Object::begin(sources.item());
    source.text("type", "document");
    let mut document = Object::begin(source.field("document"));
    let fields = [("url", &citation.url), ("title", &citation.title), ("snippet", &citation.cited_text)];
    for (name, value) in fields {
        if let Some(value) = value {
            document.text(name, value);
        }
    }
    document.end();
    source.end();
    sources.end();
    object.number("content_index", index);
    object.text("type", "TEXT_CONTENT");
    object.end();
}

/// A text's length as `start` and `end` count.
pub(super) fn chars(text: &str) -> u64 {
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
}

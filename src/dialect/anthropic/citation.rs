//! Citations of Anthropic's (<https://platform.claude.com/docs/en/build-with-claude/citations>), read and written: the same
//! objects in whole answers and in streams.

use serde::Deserialize;

use crate::chat::{Citation, Raw};
use crate::dialect::json::{Object, Span, Text};

/// The index of a citation that another provider made: Anthropic's own are sealed, and it refuses a request for one that is
/// not. It is known again by our mark, and left out ([`crate::dialect::foreign`]).
pub(in crate::dialect) const MADE_UP: &str = "corelaneCitation";

#[derive(Deserialize)]
struct WireCitation<'a> {
    #[serde(borrow)]
    cited_text: Option<Text<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow)]
    document_title: Option<Text<'a>>,
    #[serde(borrow)]
    url: Option<Text<'a>>,
    /// Where a search result of the request has it from; mostly an address.
    #[serde(borrow)]
    source: Option<Text<'a>>,
}

/// Reads one; `None`: it is not what they look like.
pub(super) fn decode(span: Span<'_>) -> Option<Citation<'_>> {
    let wire: WireCitation<'_> = span.parse(&"citations").ok()?;
    let source =
        wire.source.filter(|source| source.0.starts_with("https://") || source.0.starts_with("http://"));
    Some(Citation {
        url: wire.url.or(source).map(|text| text.0),
        title: wire.title.or(wire.document_title).map(|text| text.0),
        cited_text: wire.cited_text.map(|text| text.0),
        span: None,
        anthropic: Some(span.raw()),
    })
}

/// Whether Anthropic has a word for it: one of its own, or a page's address.
pub(super) fn is_said(citation: &Citation<'_>) -> bool {
    citation.anthropic.is_some() || citation.url.is_some()
}

/// Writes one that [`is_said`]; a page is what its search tool cites.
pub(super) fn write(out: &mut Vec<u8>, citation: &Citation<'_>) {
    if let Some(Raw(own)) = citation.anthropic {
        return out.extend_from_slice(own.as_bytes());
    }
    let mut object = Object::begin(out);
    object.text("type", "web_search_result_location");
    object.text("cited_text", citation.cited_text.as_deref().unwrap_or_default());
    object.text("encrypted_index", MADE_UP);
    object.text_or_null("title", citation.title.as_deref());
    object.text("url", citation.url.as_deref().unwrap_or_default());
    object.end();
}

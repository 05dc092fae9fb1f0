//! What a message says or a tool gave, as OpenAI and Anthropic write it: a text, or a list of parts. What a part is, is each
//! dialect's own.

use std::fmt::{Arguments, Display};

use super::json::{Span, Text};
use crate::chat::Part;
use crate::error::Error;

/// Reads it; `part` reads one of a list, at its path.
pub(super) fn decode<'a>(
    value: Span<'a>,
    path: &dyn Display,
    mut part: impl FnMut(Span<'a>, &Arguments<'_>) -> Result<Part<'a>, Error>,
) -> Result<Vec<Part<'a>>, Error> {
    if value.first() == b'"' {
        let Text(text) = value.parse(path)?;
        return Ok(vec![Part::Text { text, cache: None }]);
    }
    let spans: Vec<Span<'a>> = value.parse(path)?;
    let mut parts = Vec::with_capacity(spans.len());
    for (index, span) in spans.into_iter().enumerate() {
        parts.push(part(span, &format_args!("{path}[{index}]"))?);
    }
    Ok(parts)
}

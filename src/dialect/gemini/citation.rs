//! Where an answer has something from: `citationMetadata` and `groundingMetadata`
//! (<https://ai.google.dev/api/generate-content#citationmetadata>) to neutral citations, and back as the first of them.
//! Gemini counts in bytes, the neutral model in characters. What can't be read of either is passed over.

use std::borrow::Cow;

use serde::Deserialize;

use crate::chat::Citation;
use crate::dialect::json::{Array, Object, Span, Text};

/// How often over the pages may be told again: passages name them by their numbers, each of which costs two bytes and may mean
/// a page of any length. Answers come to about four times the grounding's bytes; what is more is left out.
const GROUNDED_TIMES_MAX: usize = 16;
/// What one citation costs beside its page's words, bytes.
const CITATION_BYTES: usize = 128;

/// Both objects of a candidate as they came.
#[derive(Clone, Copy, Default)]
pub(super) struct Sources<'a> {
    pub(super) citations: Option<Span<'a>>,
    pub(super) grounding: Option<Span<'a>>,
}

/// How bytes and characters of an answer's text go together.
pub(super) enum Measure {
    /// They are the same.
    Ascii,
    /// Where each character begins, and where the text ends.
    Starts(Vec<usize>),
    /// The text was not kept.
    Unknown,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireCitations<'a> {
    // The newer API's name of it is `citations`.
    #[serde(borrow, default, alias = "citations")]
    citation_sources: Vec<WireSource<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSource<'a> {
    start_index: Option<u64>,
    end_index: Option<u64>,
    #[serde(borrow)]
    uri: Option<Text<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireGrounding<'a> {
    #[serde(borrow, default)]
    grounding_chunks: Vec<WireChunk<'a>>,
    #[serde(default)]
    grounding_supports: Vec<WireSupport>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireChunk<'a> {
    #[serde(borrow)]
    web: Option<WirePage<'a>>,
    #[serde(borrow)]
    retrieved_context: Option<WirePage<'a>>,
}

#[derive(Clone, Deserialize)]
struct WirePage<'a> {
    #[serde(borrow)]
    uri: Option<Text<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSupport {
    segment: Option<WireSegment>,
    #[serde(default)]
    grounding_chunk_indices: Vec<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSegment {
    part_index: Option<usize>,
    start_index: Option<u64>,
    end_index: Option<u64>,
}

impl Measure {
    /// Of a whole text.
    pub(super) fn of(text: &str) -> Self {
        if text.is_ascii() {
            return Self::Ascii;
        }
        Self::Starts(text.char_indices().map(|(at, _)| at).chain([text.len()]).collect())
    }

    fn characters(&self, byte: u64) -> Option<u64> {
        match self {
            Self::Ascii => Some(byte),
            Self::Starts(starts) => {
                let at = starts.binary_search(&usize::try_from(byte).ok()?).ok()?;
                u64::try_from(at).ok()
            }
            Self::Unknown => None,
        }
    }

    fn bytes(&self, character: u64) -> Option<u64> {
        match self {
            Self::Ascii => Some(character),
            Self::Starts(starts) => {
                let byte = starts.get(usize::try_from(character).ok()?)?;
                u64::try_from(*byte).ok()
            }
            Self::Unknown => None,
        }
    }

    fn span(&self, start: Option<u64>, end: Option<u64>, offset: Option<u64>) -> Option<(u64, u64)> {
        let of = |byte: u64| self.characters(byte.checked_add(offset?)?);
        // A start of 0 is left out by Google's JSON.
        Some((of(start.unwrap_or(0))?, of(end?)?))
    }
}

impl WirePage<'_> {
    /// What it costs to be told once.
    fn bytes(&self) -> usize {
        let words = [&self.uri, &self.title].into_iter().flatten();
        words.fold(CITATION_BYTES, |sum, text| sum.saturating_add(text.0.len()))
    }
}

impl<'a> Sources<'a> {
    /// The citations in the order in which they are told. `offsets` says for each of the answer's parts where in its whole
    /// text it begins, bytes.
    pub(super) fn read(self, measure: &Measure, offsets: &[u64]) -> Vec<Citation<'a>> {
        let mut found = Vec::new();
        if let Some(span) = self.citations {
            let wire: WireCitations<'a> = span.parse(&"").unwrap_or_default();
            found.extend(wire.citation_sources.into_iter().map(|source| Citation {
                url: source.uri.map(|text| text.0),
                title: source.title.map(|text| text.0),
                span: measure.span(source.start_index, source.end_index, Some(0)),
                ..Citation::default()
            }));
        }
        if let Some(span) = self.grounding {
            let bytes_max = span.raw().0.len().saturating_mul(GROUNDED_TIMES_MAX);
            grounded(span.parse(&"").unwrap_or_default(), measure, offsets, bytes_max, &mut found);
        }
        found
    }

    /// Whether there is anything to be read.
    pub(super) fn is_empty(self) -> bool {
        self.citations.or(self.grounding).is_none()
    }
}

/// Each passage with each page that it leans on, as far as `bytes_max` of them go; without passages the pages alone.
fn grounded<'a>(
    wire: WireGrounding<'a>,
    measure: &Measure,
    offsets: &[u64],
    bytes_max: usize,
    found: &mut Vec<Citation<'a>>,
) {
    let mut left = bytes_max;
    let pages: Vec<Option<WirePage<'a>>> =
        wire.grounding_chunks.into_iter().map(|chunk| chunk.web.or(chunk.retrieved_context)).collect();
    let cited = |page: &WirePage<'a>, span| Citation {
        url: page.uri.clone().map(|text| text.0),
        title: page.title.clone().map(|text| text.0),
        span,
        ..Citation::default()
    };
    for support in &wire.grounding_supports {
        let span = support.segment.as_ref().and_then(|segment| {
            let offset = offsets.get(segment.part_index.unwrap_or(0)).copied();
            measure.span(segment.start_index, segment.end_index, offset)
        });
        let pages = support.grounding_chunk_indices.iter().filter_map(|at| pages.get(*at)?.as_ref());
        for page in pages {
            let Some(rest) = left.checked_sub(page.bytes()) else { return };
            left = rest;
            found.push(cited(page, span));
        }
    }
    if wire.grounding_supports.is_empty() {
        found.extend(pages.iter().flatten().map(|page| cited(page, None)));
    }
}

/// Writes `citationMetadata` into a candidate, when one of `citations` names a page or a title.
pub(super) fn write<'c>(
    candidate: &mut Object<'_>,
    citations: impl Iterator<Item = &'c Citation<'c>>,
    measure: &Measure,
) {
    let mut told = citations.filter(|one| one.url.is_some() || one.title.is_some()).peekable();
    if told.peek().is_none() {
        return;
    }
    let mut metadata = Object::begin(candidate.field("citationMetadata"));
    let mut sources = Array::begin(metadata.field("citationSources"));
    for citation in told {
        let mut source = Object::begin(sources.item());
        let bytes = |place: u64| measure.bytes(place);
        let span = citation.span.and_then(|(start, end)| Some((bytes(start)?, bytes(end)?)));
        if let Some((start, end)) = span {
            source.number("startIndex", start);
            source.number("endIndex", end);
        }
        let text = |text: &'c Option<Cow<'c, str>>| text.as_deref();
        for (name, value) in [("uri", text(&citation.url)), ("title", text(&citation.title))] {
            if let Some(value) = value {
                source.text(name, value);
            }
        }
        source.end();
    }
    sources.end();
    metadata.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources<'a>(citations: &'a str, grounding: &'a str) -> Sources<'a> {
        let span = |text: &'a str| serde_json::from_str(text).unwrap();
        Sources { citations: span(citations), grounding: span(grounding) }
    }

    fn shown(found: &[Citation<'_>]) -> Vec<String> {
        let word = |text: &Option<Cow<'_, str>>| text.as_deref().unwrap_or("-").to_owned();
        found.iter().map(|one| format!("{} {} {:?}", word(&one.url), word(&one.title), one.span)).collect()
    }

    /// Shapes of <https://ai.google.dev/gemini-api/docs/google-search> and of the citations' reference.
    #[test]
    fn bytes_become_characters() {
        let citations = r#"{"citationSources":[{"endIndex":3,"uri":"u","license":"mit"},{"startIndex":1,"endIndex":2,"uri":"v"}]}"#;
        let grounding = r#"{"groundingChunks":[{"web":{"uri":"w","title":"t"}},{"maps":{}}],"groundingSupports":[{"segment":{"partIndex":1,"startIndex":0,"endIndex":1,"text":"b"},"groundingChunkIndices":[0,1,9]}]}"#;
        // The parts are "aé" and "b".
        let found = sources(citations, grounding).read(&Measure::of("aéb"), &[0, 3]);
        assert_eq!(shown(&found), ["u - Some((0, 2))", "v - None", "w t Some((2, 3))"]);
        let found = sources(citations, "null").read(&Measure::Unknown, &[0]);
        assert_eq!(shown(&found), ["u - None", "v - None"]);
        let pages = r#"{"groundingChunks":[{"retrievedContext":{"title":"t"}}]}"#;
        assert_eq!(shown(&sources("null", pages).read(&Measure::Ascii, &[])), ["- t None"]);
    }

    #[test]
    fn a_page_is_told_again_only_so_often() {
        let uri = "u".repeat(5_000);
        let grounding = |count: usize| {
            let indices = vec!["0"; count].join(",");
            format!(
                r#"{{"groundingChunks":[{{"web":{{"uri":"{uri}"}}}}],"groundingSupports":[{{"groundingChunkIndices":[{indices}]}}]}}"#
            )
        };
        let told = |count| sources("null", &grounding(count)).read(&Measure::Ascii, &[]).len();
        assert_eq!(told(10), 10);
        assert!((20..60).contains(&told(5_000)), "{}", told(5_000));
    }

    #[test]
    fn what_is_written_reads_the_same() {
        for text in ["aéb", "abc"] {
            let cited = |url: &'static str, span| Citation {
                url: Some(url.into()),
                title: Some("t".into()),
                span,
                ..Citation::default()
            };
            let all = [cited("u", Some((1, 3))), cited("v", None)];
            let measure = Measure::of(text);
            let mut out = Vec::new();
            let mut candidate = Object::begin(&mut out);
            write(&mut candidate, all.iter(), &measure);
            candidate.end();
            let out = String::from_utf8(out).unwrap();
            let inside = out.strip_prefix(r#"{"citationMetadata":"#).unwrap().strip_suffix('}').unwrap();
            assert_eq!(sources(inside, "null").read(&measure, &[0]), all);
        }
    }

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        for bad in ["7", "[]", r#"{"citationSources":7,"groundingChunks":"x"}"#, r#"{"citationSources":[1]}"#]
        {
            assert_eq!(sources(bad, bad).read(&Measure::Ascii, &[]), []);
        }
        let mut out = Vec::new();
        let nameless = Citation { cited_text: Some("x".into()), ..Citation::default() };
        let mut candidate = Object::begin(&mut out);
        write(&mut candidate, [nameless].iter(), &Measure::Ascii);
        candidate.end();
        assert_eq!(out, b"{}");
    }
}

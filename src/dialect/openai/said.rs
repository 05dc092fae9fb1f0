//! What a chat completion says, whole (`message`) or by pieces (`delta`): one shape, read once for both. Providers of this
//! dialect put thoughts in several places, and some send `content` as a list; what has another type than it should is
//! passed over.

use std::borrow::Cow;

use serde::Deserialize;

use crate::chat::{Citation, Finish};
use crate::dialect::json::{Span, Text};

/// A `message` or a `delta`.
#[derive(Deserialize)]
pub(super) struct WireSaid<'a> {
    #[serde(borrow)]
    content: Option<Span<'a>>,
    #[serde(borrow)]
    refusal: Option<Span<'a>>,
    #[serde(borrow)]
    reasoning: Option<Span<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Span<'a>>,
    #[serde(borrow)]
    reasoning_details: Option<Span<'a>>,
    #[serde(borrow)]
    annotations: Option<Span<'a>>,
    /// Calls, or pieces of them.
    #[serde(borrow)]
    pub(super) tool_calls: Option<Vec<WireCall<'a>>>,
}

/// A call, or a piece of one.
#[derive(Deserialize)]
pub(super) struct WireCall<'a> {
    /// Which call a piece belongs to.
    pub(super) index: Option<u64>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<WireCalled<'a>>,
}

#[derive(Deserialize)]
struct WireCalled<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireDetail<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    index: Option<u32>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireAnnotation<'a> {
    #[serde(borrow)]
    url_citation: Option<WireCitation<'a>>,
}

#[derive(Deserialize)]
struct WireCitation<'a> {
    #[serde(borrow)]
    url: Text<'a>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    /// OpenRouter's.
    #[serde(borrow)]
    content: Option<Text<'a>>,
    start_index: Option<u64>,
    end_index: Option<u64>,
}

#[derive(Deserialize)]
struct WirePart<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Span<'a>>,
}

/// A thought, or a piece of one.
pub(super) struct Thought<'a> {
    /// Which thought, as the provider counts them.
    pub(super) index: u32,
    /// Its words.
    pub(super) text: Option<Cow<'a, str>>,
    /// The provider's proof.
    pub(super) signature: Option<Cow<'a, str>>,
    /// In place of words: what only the provider can read.
    pub(super) data: Option<Cow<'a, str>>,
}

impl<'a> WireSaid<'a> {
    /// The words, in order; empty ones left out.
    pub(super) fn texts(&self) -> Vec<Cow<'a, str>> {
        match self.content {
            Some(content) if content.first() == b'[' => {
                let parts = list::<WirePart<'a>>(content).into_iter();
                parts.filter(|part| part.kind.0 == "text").filter_map(|part| filled(part.text?.0)).collect()
            }
            content => word(content).into_iter().collect(),
        }
    }

    /// Why it would not answer.
    pub(super) fn refusal(&self) -> Option<Cow<'a, str>> {
        word(self.refusal)
    }

    /// Where it has something from, by `annotations` of the one kind that there is
    /// (<https://platform.openai.com/docs/api-reference/chat/object>).
    pub(super) fn citations(&self) -> Vec<Citation<'a>> {
        let annotations = self.annotations.map(list::<WireAnnotation<'a>>).unwrap_or_default();
        annotations.into_iter().filter_map(|one| one.url_citation).map(cited).collect()
    }

    /// The thoughts: `reasoning_details` where there are any (OpenRouter says all again in `reasoning`), else
    /// `reasoning_content` (DeepSeek and others), `reasoning` (Groq), or `thinking` parts of the content (Mistral).
    pub(super) fn thoughts(&self) -> Vec<Thought<'a>> {
        let details = self.reasoning_details.map(list::<WireDetail<'a>>).unwrap_or_default();
        let details: Vec<_> = details.into_iter().filter_map(detailed).collect();
        if !details.is_empty() {
            return details;
        }
        let plain = word(self.reasoning_content).or_else(|| word(self.reasoning));
        let texts = plain.map_or_else(|| self.thinking_parts(), |text| vec![text]);
        let thought = |text| Thought { index: 0, text: Some(text), signature: None, data: None };
        texts.into_iter().map(thought).collect()
    }

    fn thinking_parts(&self) -> Vec<Cow<'a, str>> {
        let Some(content) = self.content.filter(|content| content.first() == b'[') else { return Vec::new() };
        let parts = list::<WirePart<'a>>(content).into_iter().filter(|part| part.kind.0 == "thinking");
        let inner = parts.filter_map(|part| part.thinking).flat_map(list::<WirePart<'a>>);
        inner.filter_map(|part| filled(part.text?.0)).collect()
    }
}

impl<'a> WireCall<'a> {
    /// Its id, when it is there and not empty.
    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_ref().map(|id| &*id.0).filter(|id| !id.is_empty())
    }

    /// The function's name, likewise.
    pub(super) fn name(&self) -> Option<&str> {
        let name = self.function.as_ref()?.name.as_ref()?;
        (!name.0.is_empty()).then_some(&*name.0)
    }

    /// The arguments, or more of them; may be empty.
    pub(super) fn arguments(&self) -> &str {
        let arguments = self.function.as_ref().and_then(|function| function.arguments.as_ref());
        arguments.map_or("", |text| &*text.0)
    }

    /// All three, for whom a whole call was read.
    pub(super) fn into_parts(self) -> (Option<Cow<'a, str>>, Option<Cow<'a, str>>, Cow<'a, str>) {
        let id = self.id.and_then(|id| filled(id.0));
        let Some(function) = self.function else { return (id, None, Cow::Borrowed("")) };
        let arguments = function.arguments.map_or(Cow::Borrowed(""), |text| text.0);
        (id, function.name.and_then(|name| filled(name.0)), arguments)
    }
}

/// The neutral word for a `finish_reason`; one we have not heard of means that it stopped. Some providers say `stop` over
/// calls, or over a refusal; what was said decides.
pub(super) fn finish(reason: Option<&str>, has_calls: bool, is_refused: bool) -> Finish {
    match reason {
        Some("length" | "model_length" | "max_tokens") => Finish::Length,
        Some("content_filter") => Finish::ContentFilter,
        Some("tool_calls" | "function_call" | "tool_use") => Finish::ToolCalls,
        _ if is_refused => Finish::ContentFilter,
        _ if has_calls => Finish::ToolCalls,
        _ => Finish::Stop,
    }
}

fn detailed(wire: WireDetail<'_>) -> Option<Thought<'_>> {
    let index = wire.index.unwrap_or(0);
    let signature = wire.signature.and_then(|text| filled(text.0));
    match (&*wire.kind.0, wire.text.and_then(|text| filled(text.0)), wire.data) {
        ("reasoning.text", text, _) if text.is_some() || signature.is_some() => {
            Some(Thought { index, text, signature, data: None })
        }
        ("reasoning.encrypted", _, Some(Text(data))) => {
            Some(Thought { index, text: None, signature: None, data: Some(data) })
        }
        _ => None,
    }
}

fn cited(wire: WireCitation<'_>) -> Citation<'_> {
    Citation {
        url: Some(wire.url.0),
        title: wire.title.map(|text| text.0),
        cited_text: wire.content.map(|text| text.0),
        span: wire.start_index.zip(wire.end_index),
        anthropic: None,
    }
}

fn list<'a, T: Deserialize<'a>>(span: Span<'a>) -> Vec<T> {
    span.parse(&"").unwrap_or_default()
}

fn word(span: Option<Span<'_>>) -> Option<Cow<'_, str>> {
    let span = span.filter(|span| span.first() == b'"')?;
    filled(span.parse::<Text<'_>>(&"").ok()?.0)
}

fn filled(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (!text.is_empty()).then_some(text)
}

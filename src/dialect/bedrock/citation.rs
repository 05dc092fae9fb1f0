//! Citations of Converse (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Citation.html>), read and
//! written: the same objects in whole answers and in streams. Where in a document something stands, has no neutral word.

use std::borrow::Cow;

use serde::Deserialize;

use crate::chat::Citation;
use crate::dialect::json::{Array, Object, Text};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireCitation<'a> {
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow)]
    source_content: Option<Vec<WireText<'a>>>,
    #[serde(borrow)]
    location: Option<WireLocation<'a>>,
}

#[derive(Deserialize)]
struct WireText<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireLocation<'a> {
    #[serde(borrow)]
    web: Option<WireWeb<'a>>,
}

#[derive(Deserialize)]
struct WireWeb<'a> {
    #[serde(borrow)]
    url: Option<Text<'a>>,
}

impl<'a> WireCitation<'a> {
    /// In neutral words.
    pub(super) fn citation(self) -> Citation<'a> {
        let mut texts = self.source_content.unwrap_or_default().into_iter().filter_map(|one| one.text);
        let first = texts.next().map(|text| text.0);
        let cited_text =
            texts.fold(first, |all, text| all.map(|all| Cow::Owned(all.into_owned() + &*text.0)));
        Citation {
            url: self.location.and_then(|place| place.web).and_then(|web| web.url).map(|url| url.0),
            title: self.title.map(|title| title.0),
            cited_text,
            ..Citation::default()
        }
    }
}

/// Writes one.
pub(super) fn write(out: &mut Vec<u8>, citation: &Citation<'_>) {
    let mut object = Object::begin(out);
    if let Some(title) = &citation.title {
        object.text("title", title);
    }
    if let Some(text) = &citation.cited_text {
        let mut content = Array::begin(object.field("sourceContent"));
        let mut one = Object::begin(content.item());
        one.text("text", text);
        one.end();
        content.end();
    }
    if let Some(url) = &citation.url {
        let mut location = Object::begin(object.field("location"));
        let mut web = Object::begin(location.field("web"));
        web.text("url", url);
        web.end();
        location.end();
    }
    object.end();
}

//! What a message says or a tool gave, to neutral parts: a text, or a list of parts of which each is one neutral part.

use std::borrow::Cow;
use std::fmt::Display;

use serde::Deserialize;

use crate::chat::{Part, Raw, Source};
use crate::dialect::fault::{required, untranslated, wrong};
use crate::dialect::json::{self, Span, Text};
use crate::dialect::{content, data_url, dropped};
use crate::error::Error;

#[derive(Deserialize)]
struct WirePart<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    image_url: Option<Text<'a>>,
    #[serde(borrow)]
    detail: Option<Text<'a>>,
    #[serde(borrow)]
    file_id: Option<Span<'a>>,
    #[serde(borrow)]
    file_data: Option<Text<'a>>,
    #[serde(borrow)]
    file_url: Option<Text<'a>>,
    #[serde(borrow)]
    filename: Option<Text<'a>>,
    #[serde(borrow)]
    input_audio: Option<WireAudio<'a>>,
    #[serde(borrow)]
    annotations: Option<Vec<Span<'a>>>,
    #[serde(borrow)]
    prompt_cache_breakpoint: Option<WireBreakpoint<'a>>,
    #[serde(borrow)]
    cache_control: Option<Span<'a>>,
}

#[derive(Deserialize)]
struct WireAudio<'a> {
    #[serde(borrow)]
    data: Text<'a>,
    #[serde(borrow)]
    format: Text<'a>,
}

#[derive(Deserialize)]
struct WireBreakpoint<'a> {
    #[serde(borrow)]
    ttl: Option<Text<'a>>,
}

/// Decodes a text or a list of parts.
pub(super) fn decode<'a>(
    value: Span<'a>,
    path: &dyn Display,
    dropped: &mut Vec<Cow<'a, str>>,
) -> Result<Vec<Part<'a>>, Error> {
    content::decode(value, path, |span, path| part(span, path, dropped))
}

fn part<'a>(span: Span<'a>, path: &dyn Display, dropped: &mut Vec<Cow<'a, str>>) -> Result<Part<'a>, Error> {
    let wire: WirePart<'a> = span.parse(path)?;
    if wire.detail.as_ref().is_some_and(|detail| detail.0 != "auto") {
        dropped::once(dropped, "input.content.detail");
    }
    if wire.annotations.as_ref().is_some_and(|annotations| !annotations.is_empty()) {
        dropped::once(dropped, "input.content.annotations");
    }
    let cache = cache(&wire);
    match &*wire.kind.0 {
        "input_text" | "output_text" | "text" => {
            Ok(Part::Text { text: required(wire.text, path, ".text")?.0, cache })
        }
        "refusal" => Ok(Part::Refusal { text: required(wire.refusal, path, ".refusal")?.0 }),
        "input_image" => image(wire, path, cache),
        "input_file" => file(wire, path, cache),
        "input_audio" => {
            let audio = required(wire.input_audio, path, ".input_audio")?;
            Ok(Part::Audio { media_type: media_type(audio.format.0), data: audio.data.0 })
        }
        kind => {
            let kind = json::bounded(kind, json::PATH_BYTES_MAX);
            Err(untranslated(format_args!("{path}.type"), &format!("a `{kind}` has no counterpart there")))
        }
    }
}

/// OpenAI's mark in the words of `cache_control`, or that itself. Anthropic's lives for five minutes or an hour.
fn cache<'a>(wire: &WirePart<'a>) -> Option<Raw<'a>> {
    let breakpoint = wire.prompt_cache_breakpoint.as_ref().map(|breakpoint| match breakpoint.ttl {
        Some(_) => Raw(r#"{"type":"ephemeral","ttl":"1h"}"#),
        None => Raw(r#"{"type":"ephemeral"}"#),
    });
    wire.cache_control.map(Span::raw).or(breakpoint)
}

fn image<'a>(wire: WirePart<'a>, path: &dyn Display, cache: Option<Raw<'a>>) -> Result<Part<'a>, Error> {
    let Some(Text(url)) = wire.image_url else { return Err(unsent(&wire, path, ".image_url")) };
    let source = data_url::source(url)
        .ok_or_else(|| wrong(format_args!("{path}.image_url"), "must be a URL, or a data URL in base64"))?;
    Ok(Part::Image { source, cache })
}

fn file<'a>(mut wire: WirePart<'a>, path: &dyn Display, cache: Option<Raw<'a>>) -> Result<Part<'a>, Error> {
    let title = wire.filename.take().map(|text| text.0);
    let source = match (wire.file_data.take(), wire.file_url.take()) {
        (Some(Text(data)), _) => match data_url::source(data) {
            Some(source @ Source::Base64 { .. }) => source,
            _ => return Err(wrong(format_args!("{path}.file_data"), "must be a data URL in base64")),
        },
        (None, Some(Text(url))) => data_url::source(url).ok_or_else(|| {
            wrong(format_args!("{path}.file_url"), "must be a URL, or a data URL in base64")
        })?,
        (None, None) => return Err(unsent(&wire, path, ".file_data")),
    };
    Ok(Part::Document { source, title, cache })
}

/// What is not in the request is in OpenAI's store, or nowhere.
fn unsent(wire: &WirePart<'_>, path: &dyn Display, field: &str) -> Error {
    match wire.file_id {
        Some(_) => untranslated(
            format_args!("{path}.file_id"),
            "the file is in OpenAI's store: send its bytes or its URL",
        ),
        None => wrong(format_args!("{path}{field}"), "is required"),
    }
}

fn media_type(format: Cow<'_, str>) -> Cow<'_, str> {
    match &*format {
        "wav" => Cow::Borrowed("audio/wav"),
        "mp3" => Cow::Borrowed("audio/mpeg"),
        _ => Cow::Owned(format!("audio/{format}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::responses::request::decode as decode_request;

    #[test]
    fn each_part_has_its_word() {
        let content = r#"[{"type":"input_text","text":"a","prompt_cache_breakpoint":{"mode":"explicit"}},{"type":"input_image","image_url":"https://e.com/a.png","detail":"high"},{"type":"input_image","image_url":"data:image/png;base64,QUI=","detail":"auto","prompt_cache_breakpoint":{"mode":"explicit","ttl":"12h"}},{"type":"input_file","file_data":"data:application/pdf;base64,QUI=","filename":"a.pdf"},{"type":"input_file","file_url":"https://e.com/a.pdf"},{"type":"input_audio","input_audio":{"data":"QUI=","format":"mp3"}},{"type":"refusal","refusal":"no"},{"type":"output_text","text":"b","annotations":[{}]}]"#;
        let body = format!(r#"{{"input":[{{"role":"user","content":{content}}}]}}"#);
        let request = decode_request(body.as_bytes()).unwrap();
        let bytes =
            |media_type: &'static str| Source::Base64 { media_type: media_type.into(), data: "QUI=".into() };
        let expected = [
            Part::Text { text: "a".into(), cache: Some(Raw(r#"{"type":"ephemeral"}"#)) },
            Part::Image { source: Source::Url("https://e.com/a.png".into()), cache: None },
            Part::Image {
                source: bytes("image/png"),
                cache: Some(Raw(r#"{"type":"ephemeral","ttl":"1h"}"#)),
            },
            Part::Document { source: bytes("application/pdf"), title: Some("a.pdf".into()), cache: None },
            Part::Document { source: Source::Url("https://e.com/a.pdf".into()), title: None, cache: None },
            Part::Audio { media_type: "audio/mpeg".into(), data: "QUI=".into() },
            Part::Refusal { text: "no".into() },
            Part::Text { text: "b".into(), cache: None },
        ];
        assert_eq!(request.messages[0].parts, expected);
        assert_eq!(request.dropped, ["input.content.detail", "input.content.annotations"]);
    }
}

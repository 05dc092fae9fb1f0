//! Cohere's embeddings (<https://docs.cohere.com/reference/embed>), both sides of them.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::Error as _;

use super::usage::{self, WireUsage};
use crate::chat::Raw;
use crate::dialect::base64;
use crate::dialect::dropped::owned;
use crate::dialect::embedding::{Request, Response, USES, use_of};
use crate::dialect::fault::{untranslated, wrong};
use crate::dialect::json::{self, Array, Object, Span, Text, write_string};
use crate::error::Error;

/// Decodes a request body: texts, of which others make vectors of floats.
pub(in crate::dialect) fn decode_request(body: &[u8]) -> Result<Request<'_>, Error> {
    let mut request = Request { is_float: true, ..Request::default() };
    let mut has_inputs = false;
    for (name, value) in json::fields(body)? {
        match &*name {
            "model" | "fallbacks" => continue,
            "texts" => request.inputs = texts(value)?,
            "inputs" => request.inputs = inputs(value)?,
            "images" => return Err(untranslated("images", "send texts")),
            "input_type" => {
                request.task_type = use_of(value);
                if request.task_type.is_none() {
                    request.dropped.push(name);
                }
                continue;
            }
            "output_dimension" if value.first().is_ascii_digit() => {
                request.dimensions = Some(value.raw());
                continue;
            }
            "output_dimension" => return Err(wrong(name.into_owned(), "must be a number")),
            "embedding_types" => {
                types(value, &mut request)?;
                continue;
            }
            _ => {
                request.dropped.push(name);
                continue;
            }
        }
        has_inputs = true;
    }
    match (has_inputs, request.inputs.is_empty()) {
        (true, false) => Ok(request),
        (true, true) => Err(wrong("texts".to_owned(), "is empty; send a text or more")),
        (false, _) => Err(wrong("texts".to_owned(), "is required: it holds what is to be embedded")),
    }
}

fn texts<'a>(value: Span<'a>) -> Result<Vec<Cow<'a, str>>, Error> {
    Ok(value.parse::<Vec<Text<'a>>>(&"texts")?.into_iter().map(|text| text.0).collect())
}

#[derive(Deserialize)]
struct WireInput<'a> {
    #[serde(borrow)]
    content: Vec<WireContent<'a>>,
}

#[derive(Deserialize)]
struct WireContent<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

/// Each of one text: what is made of several, or of pictures, is one vector here and none elsewhere.
fn inputs<'a>(value: Span<'a>) -> Result<Vec<Cow<'a, str>>, Error> {
    let wire: Vec<WireInput<'a>> = value.parse(&"inputs")?;
    let one = |(index, input): (usize, WireInput<'a>)| {
        let mut content = input.content.into_iter();
        match (content.next().and_then(|one| one.text), content.next()) {
            (Some(Text(text)), None) => Ok(text),
            _ => Err(untranslated(format_args!("inputs[{index}].content"), "send one text in each")),
        }
    };
    wire.into_iter().enumerate().map(one).collect()
}

fn types(value: Span<'_>, request: &mut Request<'_>) -> Result<(), Error> {
    let words: Vec<Text<'_>> = value.parse(&"embedding_types")?;
    (request.is_float, request.is_base64) = (words.is_empty(), false);
    for Text(word) in words {
        match &*word {
            "float" => request.is_float = true,
            "base64" => request.is_base64 = true,
            _ => return Err(untranslated("embedding_types", "ask for float or base64")),
        }
    }
    Ok(())
}

/// The name of something that another dialect's half left out.
pub(in crate::dialect) fn caller_name(name: String) -> String {
    match &*name {
        "taskType" => "input_type".to_owned(),
        "dimensions" | "outputDimensionality" => "output_dimension".to_owned(),
        _ => name,
    }
}

/// Encodes a request for `model`; also gives what was left out. Cohere wants to know the use: a document to be searched for is
/// Bifrost's guess, too.
pub(in crate::dialect) fn encode_request(request: &Request<'_>, model: &str) -> (Vec<u8>, Vec<String>) {
    let mut dropped = owned(&request.dropped);
    let mut out = Vec::with_capacity(256);
    let mut body = Object::begin(&mut out);
    body.text("model", model);
    let mut array = Array::begin(body.field("texts"));
    request.inputs.iter().for_each(|input| write_string(array.item(), input));
    array.end();
    body.text("input_type", input_type(request, &mut dropped));
    body.raw_if("output_dimension", request.dimensions);
    body.raw("embedding_types", Raw(r#"["float"]"#));
    body.end();
    for (is_there, name) in [(request.user.is_some(), "user"), (request.title.is_some(), "title")] {
        if is_there {
            dropped.push(name.to_owned());
        }
    }
    (out, dropped)
}

/// Cohere's word for the use.
fn input_type(request: &Request<'_>, dropped: &mut Vec<String>) -> &'static str {
    let [(most_common, _), ..] = USES;
    let Some(Raw(word)) = request.task_type else { return most_common };
    match USES.iter().find(|(_, other)| *other == word) {
        Some((own, _)) => own,
        None => {
            dropped.push("taskType".to_owned());
            most_common
        }
    }
}

#[derive(Deserialize)]
struct WireAnswer<'a> {
    #[serde(borrow)]
    embeddings: WireVectors<'a>,
    meta: Option<WireUsage>,
}

#[derive(Deserialize)]
struct WireVectors<'a> {
    #[serde(borrow)]
    float: Vec<Span<'a>>,
}

/// Decodes an answer, of floats as they were asked for.
pub(in crate::dialect) fn decode_response(body: &[u8]) -> Result<Response<'_>, serde_json::Error> {
    let wire: WireAnswer<'_> = serde_json::from_slice(body)?;
    let vectors: Vec<Raw<'_>> = wire.embeddings.float.iter().map(|one| one.raw()).collect();
    if vectors.is_empty() || wire.embeddings.float.iter().any(|one| one.first() != b'[') {
        return Err(serde_json::Error::custom("`embeddings.float` holds no lists of numbers"));
    }
    Ok(Response {
        vectors,
        usage: wire.meta.map(|meta| meta.usage()).unwrap_or_default(),
        ..Response::default()
    })
}

/// Encodes an answer made at `created_s`, seconds since the epoch, in the types that were asked for.
pub(in crate::dialect) fn encode_response(
    response: &Response<'_>,
    (is_float, is_base64): (bool, bool),
    created_s: u64,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::begin(&mut out);
    // Others name no answer of embeddings, and Cohere each.
    body.text("id", &format!("embed-{created_s}"));
    body.text("response_type", "embeddings_by_type");
    let mut embeddings = Object::begin(body.field("embeddings"));
    if is_float {
        let mut list = Array::begin(embeddings.field("float"));
        response.vectors.iter().for_each(|vector| list.item().extend_from_slice(vector.0.as_bytes()));
        list.end();
    }
    if is_base64 {
        let mut list = Array::begin(embeddings.field("base64"));
        for vector in &response.vectors {
            let numbers: Vec<f32> = serde_json::from_str(vector.0)?;
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            let out = list.item();
            out.push(b'"');
            base64::encode(out, &bytes);
            out.push(b'"');
        }
        list.end();
    }
    embeddings.end();
    usage::write_meta(body.field("meta"), &response.usage);
    body.end();
    Ok(out)
}

//! OpenAI's embeddings (<https://platform.openai.com/docs/api-reference/embeddings/create>), both sides of them.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::Error as _;

use super::usage::WireUsage;
use crate::chat::Raw;
use crate::dialect::base64;
use crate::dialect::dropped::owned;
use crate::dialect::embedding::{Request, Response, use_of};
use crate::dialect::fault::wrong;
use crate::dialect::json::{self, Array, Object, Span, Text, write_string};
use crate::error::{Error, Kind};

/// Decodes a request body.
pub(in crate::dialect) fn decode_request(body: &[u8]) -> Result<Request<'_>, Error> {
    let mut request = Request::default();
    let mut input = None;
    for (name, value) in json::fields(body)? {
        match &*name {
            "model" | "fallbacks" => {}
            "input" => input = Some(value),
            "dimensions" => request.dimensions = Some(number(value, &name)?),
            "user" => request.user = Some(value.parse::<Text<'_>>(&name)?.0),
            "encoding_format" => request.is_base64 = is_base64(value)?,
            // What Gemini has beside, under its own names.
            "task_type" | "taskType" => request.task_type = Some(text(value, &name)?),
            // Cohere's.
            "input_type" if use_of(value).is_some() => request.task_type = use_of(value),
            "title" => request.title = Some(text(value, &name)?),
            _ => request.dropped.push(name),
        }
    }
    let Some(input) = input else {
        return Err(wrong("input", "is required: it holds what is to be embedded"));
    };
    inputs(input, &mut request)?;
    Ok(request)
}

fn inputs<'a>(value: Span<'a>, request: &mut Request<'a>) -> Result<(), Error> {
    if value.first() == b'"' {
        request.is_single = true;
        request.inputs.push(value.parse::<Text<'a>>(&"input")?.0);
        return Ok(());
    }
    let spans: Vec<Span<'a>> = value.parse(&"input")?;
    if spans.iter().any(|span| matches!(span.first(), b'[' | b'0'..=b'9')) {
        let message =
            "`input` holds tokens, which are a model's own and not translated to this provider; send texts";
        return Err(Error::new(Kind::UnsupportedParameter, message).with_param("input"));
    }
    for (index, span) in spans.into_iter().enumerate() {
        request.inputs.push(span.parse::<Text<'a>>(&format_args!("input[{index}]"))?.0);
    }
    if request.inputs.is_empty() { Err(wrong("input", "is empty; send a text or more")) } else { Ok(()) }
}

fn is_base64(value: Span<'_>) -> Result<bool, Error> {
    match value.raw().0 {
        r#""base64""# => Ok(true),
        r#""float""# => Ok(false),
        _ => Err(wrong("encoding_format", "must be float or base64")),
    }
}

fn number<'a>(value: Span<'a>, path: &str) -> Result<Raw<'a>, Error> {
    if value.first().is_ascii_digit() { Ok(value.raw()) } else { Err(wrong(path, "must be a number")) }
}

fn text<'a>(value: Span<'a>, path: &str) -> Result<Raw<'a>, Error> {
    if value.first() == b'"' { Ok(value.raw()) } else { Err(wrong(path, "must be a text")) }
}

/// Encodes a request for `model`; also gives what was left out. The vectors come as numbers, which is the default.
pub(in crate::dialect) fn encode_request(request: &Request<'_>, model: &str) -> (Vec<u8>, Vec<String>) {
    let mut dropped = owned(&request.dropped);
    let mut out = Vec::with_capacity(256);
    let mut body = Object::begin(&mut out);
    body.text("model", model);
    match &*request.inputs {
        [input] if request.is_single => body.text("input", input),
        inputs => {
            let mut array = Array::begin(body.field("input"));
            inputs.iter().for_each(|input| write_string(array.item(), input));
            array.end();
        }
    }
    body.raw_if("dimensions", request.dimensions);
    if let Some(user) = &request.user {
        body.text("user", user);
    }
    body.end();
    for (value, name) in [(request.task_type, "taskType"), (request.title, "title")] {
        if value.is_some() {
            dropped.push(name.to_owned());
        }
    }
    (out, dropped)
}

#[derive(Deserialize)]
struct WireAnswer<'a> {
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    data: Vec<WireVector<'a>>,
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct WireVector<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    embedding: Span<'a>,
}

/// Decodes an answer.
pub(in crate::dialect) fn decode_response(body: &[u8]) -> Result<Response<'_>, serde_json::Error> {
    let mut wire: WireAnswer<'_> = serde_json::from_slice(body)?;
    // Each says its own place.
    wire.data.sort_by_key(|one| one.index.unwrap_or(0));
    let vectors: Vec<Raw<'_>> = wire.data.iter().map(|one| one.embedding.raw()).collect();
    if vectors.is_empty() {
        return Err(serde_json::Error::custom("it holds no embedding"));
    }
    if let Some(other) = wire.data.iter().find(|one| one.embedding.first() != b'[') {
        let kind = if other.embedding.first() == b'"' { "a text" } else { "no list" };
        return Err(serde_json::Error::custom(format!("an embedding is {kind}, not a list of numbers")));
    }
    let model = wire.model.map_or(Cow::Borrowed(""), |text| text.0);
    Ok(Response { model, vectors, usage: wire.usage.map(|usage| usage.usage()).unwrap_or_default() })
}

/// Encodes an answer by `model`; as base64 of little-endian floats where that was asked for.
pub(in crate::dialect) fn encode_response(
    response: &Response<'_>,
    model: &str,
    is_base64: bool,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::begin(&mut out);
    body.text("object", "list");
    let mut data = Array::begin(body.field("data"));
    for (index, vector) in (0..).zip(&response.vectors) {
        let mut one = Object::begin(data.item());
        one.text("object", "embedding");
        one.number("index", index);
        if is_base64 {
            write_base64(one.field("embedding"), vector.0)?;
        } else {
            one.raw("embedding", *vector);
        }
        one.end();
    }
    data.end();
    body.text("model", if response.model.is_empty() { model } else { &response.model });
    let mut usage = Object::begin(body.field("usage"));
    usage.number("prompt_tokens", response.usage.prompt_tokens);
    usage.number("total_tokens", response.usage.total_tokens);
    usage.end();
    body.end();
    Ok(out)
}

fn write_base64(out: &mut Vec<u8>, vector: &str) -> Result<(), serde_json::Error> {
    let numbers: Vec<f32> = serde_json::from_str(vector)?;
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    out.push(b'"');
    base64::encode(out, &bytes);
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_field_is_named() {
        for (body, kind, param) in [
            ("{}", Kind::InvalidRequest, "input"),
            (r#"{"input":[]}"#, Kind::InvalidRequest, "input"),
            (r#"{"input":7}"#, Kind::InvalidRequest, "input"),
            (r#"{"input":["a",null]}"#, Kind::InvalidRequest, "input[1]"),
            (r#"{"input":[1,2]}"#, Kind::UnsupportedParameter, "input"),
            (r#"{"input":[[1],[2]]}"#, Kind::UnsupportedParameter, "input"),
            (r#"{"input":"x","dimensions":"9"}"#, Kind::InvalidRequest, "dimensions"),
            (r#"{"input":"x","encoding_format":"hex"}"#, Kind::InvalidRequest, "encoding_format"),
            (r#"{"input":"x","taskType":1}"#, Kind::InvalidRequest, "taskType"),
        ] {
            let error = decode_request(body.as_bytes()).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{body}");
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        for input in [r#""a""#, r#"["a"]"#, r#"["a","b\n"]"#] {
            let body = format!(r#"{{"model":"m","input":{input},"dimensions":256,"user":"u"}}"#);
            let request = decode_request(body.as_bytes()).unwrap();
            let (out, dropped) = encode_request(&request, "m");
            assert_eq!((String::from_utf8(out).unwrap(), dropped.len()), (body, 0));
        }
    }

    #[test]
    fn floats_in_base64_are_those_of_the_sdks() {
        // numpy: base64.b64encode(np.array([1.0, -0.5, 1e-3], dtype="<f4").tobytes())
        let response = Response { vectors: vec![Raw("[1, -0.5,1e-3]")], ..Response::default() };
        let out = String::from_utf8(encode_response(&response, "m", true).unwrap()).unwrap();
        assert!(out.contains(r#""embedding":"AACAPwAAAL9vEoM6"}"#), "{out}");
        let out = String::from_utf8(encode_response(&response, "m", false).unwrap()).unwrap();
        assert!(out.contains(r#""embedding":[1, -0.5,1e-3]}"#), "{out}");
    }

    #[test]
    fn vectors_stand_in_the_order_of_their_inputs() {
        let body = r#"{"data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[1.50]}],"usage":{"prompt_tokens":3,"total_tokens":3}}"#;
        let response = decode_response(body.as_bytes()).unwrap();
        assert_eq!(response.vectors, [Raw("[1.50]"), Raw("[2]")]);
        assert_eq!(response.usage.prompt_tokens, 3);
        for bad in ["{}", r#"{"data":[{"index":0,"embedding":"AAAA"}]}"#, r#"{"data":[{}]}"#] {
            assert!(decode_response(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}

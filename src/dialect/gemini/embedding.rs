//! Gemini's `embedContent` and `batchEmbedContents` (<https://ai.google.dev/api/embeddings>), both sides of them. A request
//! is always encoded as a batch, which takes one text as well as many.

use std::borrow::Cow;

use serde::Deserialize;

use super::decode::{camel, items, members};
use crate::chat::{Raw, Usage};
use crate::dialect::dropped::{self, owned};
use crate::dialect::embedding::{Request, Response};
use crate::dialect::fault::{refused, wrong};
use crate::dialect::json::{self, Array, Object, Span, Text};
use crate::error::Error;

/// Decodes the body of an `embedContent`.
pub(in crate::dialect) fn decode_request(body: &[u8]) -> Result<Request<'_>, Error> {
    let mut request = Request { is_single: true, ..Request::default() };
    one(json::fields(body)?, "", &mut request)?;
    Ok(request)
}

/// Decodes the body of a `batchEmbedContents`.
pub(in crate::dialect) fn decode_batch(body: &[u8]) -> Result<Request<'_>, Error> {
    let mut request = Request::default();
    let mut requests = None;
    for (name, value) in json::fields(body)? {
        match &*name {
            "requests" => requests = Some(value),
            "model" | "fallbacks" => {}
            _ => request.dropped.push(name),
        }
    }
    let requests =
        requests.ok_or_else(|| wrong("requests", "is required: it holds what is to be embedded"))?;
    let mut dimensions = None;
    for (index, span) in items(requests, &"requests")?.into_iter().enumerate() {
        let path = format!("requests[{index}]");
        request.dimensions = None;
        one(members(span, &path)?, &format!("{path}."), &mut request)?;
        if *dimensions.get_or_insert(request.dimensions) != request.dimensions {
            let path = format!("{path}.outputDimensionality");
            return Err(refused(
                &path,
                "differs from the first request's, and this provider takes one for all",
            ));
        }
    }
    if request.inputs.is_empty() {
        Err(wrong("requests", "is empty; send a request or more"))
    } else {
        Ok(request)
    }
}

type Fields<'a> = Vec<(Cow<'a, str>, Span<'a>)>;

/// Reads one request; `path` stands before its keys.
fn one<'a>(fields: Fields<'a>, path: &str, request: &mut Request<'a>) -> Result<(), Error> {
    let mut content = None;
    for (name, value) in fields {
        match &*camel(&name) {
            "model" | "fallbacks" => {}
            "content" => content = Some(value),
            // The newer place of the others.
            "embedContentConfig" => {
                for (name, value) in members(value, &format!("{path}{name}"))? {
                    field(&name, value, &format!("{path}embedContentConfig."), request)?;
                }
            }
            _ => field(&name, value, path, request)?,
        }
    }
    let path = format!("{path}content");
    let content = content.ok_or_else(|| wrong(&path, "is required: it holds what is to be embedded"))?;
    let text = text(content, &path)?;
    request.inputs.push(text);
    Ok(())
}

fn field<'a>(name: &str, value: Span<'a>, path: &str, request: &mut Request<'a>) -> Result<(), Error> {
    match &*camel(name) {
        "outputDimensionality" => request.dimensions = Some(value.number(&format_args!("{path}{name}"))?),
        "taskType" => dropped::once(&mut request.dropped, "taskType"),
        "title" => dropped::once(&mut request.dropped, "title"),
        _ => dropped::once(&mut request.dropped, name.to_owned()),
    }
    Ok(())
}

#[derive(Deserialize)]
struct WireContent<'a> {
    #[serde(borrow)]
    parts: Option<Span<'a>>,
}

#[derive(Deserialize)]
struct WirePart<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

/// A content's texts are one input.
fn text<'a>(content: Span<'a>, path: &str) -> Result<Cow<'a, str>, Error> {
    let wire: WireContent<'a> = content.parse(&path)?;
    let path = format!("{path}.parts");
    let parts = wire.parts.ok_or_else(|| wrong(&path, "is required: it holds what is to be embedded"))?;
    let mut all: Option<Cow<'a, str>> = None;
    for (index, span) in items(parts, &path)?.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        let wire: WirePart<'a> = span.parse(&path)?;
        let Some(Text(text)) = wire.text else {
            return Err(refused(&path, "is no text, which is all that this provider embeds"));
        };
        all = Some(match all {
            None => text,
            Some(before) => {
                let mut joined = before.into_owned();
                joined.push('\n');
                joined.push_str(&text);
                Cow::Owned(joined)
            }
        });
    }
    all.ok_or_else(|| wrong(&path, "is empty; send a text"))
}

/// Encodes a request for `model` as a batch; also gives what was left out.
pub(in crate::dialect) fn encode_batch(request: &Request<'_>, model: &str) -> (Vec<u8>, Vec<String>) {
    let mut dropped = owned(&request.dropped);
    if request.user.is_some() {
        dropped.push("user".to_owned());
    }
    let name = if model.starts_with("models/") { model.to_owned() } else { format!("models/{model}") };
    let mut out = Vec::with_capacity(256);
    let mut body = Object::begin(&mut out);
    let mut requests = Array::begin(body.field("requests"));
    for input in &request.inputs {
        let mut one = Object::begin(requests.item());
        one.text("model", &name);
        let mut content = Object::begin(one.field("content"));
        let mut parts = Array::begin(content.field("parts"));
        let mut part = Object::begin(parts.item());
        part.text("text", input);
        part.end();
        parts.end();
        content.end();
        one.raw_if("taskType", request.task_type);
        one.raw_if("title", request.title);
        one.raw_if("outputDimensionality", request.dimensions);
        one.end();
    }
    requests.end();
    body.end();
    (out, dropped)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireAnswer<'a> {
    #[serde(borrow)]
    embeddings: Vec<WireVector<'a>>,
    usage_metadata: Option<WireUsage>,
}

#[derive(Deserialize)]
struct WireVector<'a> {
    #[serde(borrow)]
    values: Span<'a>,
}

/// <https://ai.google.dev/api/embeddings#EmbeddingUsageMetadata>.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireUsage {
    prompt_token_count: Option<u64>,
}

/// Decodes the answer to a batch.
pub(in crate::dialect) fn decode_response(body: &[u8]) -> Result<Response<'_>, serde_json::Error> {
    let wire: WireAnswer<'_> = serde_json::from_slice(body)?;
    let vectors: Vec<Raw<'_>> = wire.embeddings.into_iter().map(|one| one.values.raw()).collect();
    if vectors.is_empty() {
        return Err(serde::de::Error::custom("it holds no embedding"));
    }
    if vectors.iter().any(|vector| !vector.0.starts_with('[')) {
        return Err(serde::de::Error::custom("an embedding's `values` are no list"));
    }
    let tokens = wire.usage_metadata.and_then(|usage| usage.prompt_token_count).unwrap_or(0);
    let usage = Usage { prompt_tokens: tokens, total_tokens: tokens, ..Usage::default() };
    Ok(Response { vectors, usage, ..Response::default() })
}

/// Encodes an answer: to a batch all of it, else its first vector.
pub(in crate::dialect) fn encode_response(response: &Response<'_>, is_batch: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::begin(&mut out);
    if is_batch {
        let mut embeddings = Array::begin(body.field("embeddings"));
        response.vectors.iter().for_each(|vector| write_vector(embeddings.item(), *vector));
        embeddings.end();
    } else if let Some(vector) = response.vectors.first() {
        write_vector(body.field("embedding"), *vector);
    }
    if response.usage.prompt_tokens > 0 {
        let mut usage = Object::begin(body.field("usageMetadata"));
        usage.number("promptTokenCount", response.usage.prompt_tokens);
        usage.end();
    }
    body.end();
    out
}

fn write_vector(out: &mut Vec<u8>, vector: Raw<'_>) {
    let mut object = Object::begin(out);
    object.raw("values", vector);
    object.end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn each_wrong_field_is_named() {
        let content = r#"{"parts":[{"text":"x"}]}"#;
        let two = |first: &str, second: &str| {
            format!(r#"{{"requests":[{{"content":{content}{first}}},{{"content":{content}{second}}}]}}"#)
        };
        for (body, kind, param) in [
            ("{}".to_owned(), Kind::InvalidRequest, "requests"),
            (r#"{"requests":[]}"#.to_owned(), Kind::InvalidRequest, "requests"),
            (r#"{"requests":[{}]}"#.to_owned(), Kind::InvalidRequest, "requests[0].content"),
            (
                r#"{"requests":[{"content":{}}]}"#.to_owned(),
                Kind::InvalidRequest,
                "requests[0].content.parts",
            ),
            (
                r#"{"requests":[{"content":{"parts":[{"inlineData":{}}]}}]}"#.to_owned(),
                Kind::UnsupportedParameter,
                "requests[0].content.parts[0]",
            ),
            (
                two("", r#","output_dimensionality":8"#),
                Kind::UnsupportedParameter,
                "requests[1].outputDimensionality",
            ),
            (
                two(r#","outputDimensionality":"8""#, ""),
                Kind::InvalidRequest,
                "requests[0].outputDimensionality",
            ),
        ] {
            let error = decode_batch(body.as_bytes()).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{body}");
        }
        assert_eq!(decode_request(b"{}").unwrap_err().param.as_deref(), Some("content"));
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let body = r#"{"content":{"role":"user","parts":[{"text":"a"},{"text":"b"}]},"embed_content_config":{"output_dimensionality":256,"autoTruncate":true},"taskType":"CLUSTERING"}"#;
        let request = decode_request(body.as_bytes()).unwrap();
        assert_eq!(request.inputs, ["a\nb"]);
        assert_eq!(request.dropped, ["autoTruncate", "taskType"]);
        let (out, _) = encode_batch(&request, "gemini-embedding-001");
        let again = decode_batch(&out).unwrap();
        assert_eq!(again, Request { is_single: false, dropped: Vec::new(), ..request });
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"requests":[{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"a\nb"}]},"outputDimensionality":256}]}"#
        );
        let response = Response {
            vectors: vec![Raw("[0.10,-1e-7]"), Raw("[ ]")],
            usage: Usage { prompt_tokens: 3, total_tokens: 3, ..Usage::default() },
            ..Response::default()
        };
        assert_eq!(decode_response(&encode_response(&response, true)).unwrap(), response);
        let single = String::from_utf8(encode_response(&response, false)).unwrap();
        assert_eq!(single, r#"{"embedding":{"values":[0.10,-1e-7]},"usageMetadata":{"promptTokenCount":3}}"#);
        for bad in ["{}", r#"{"embeddings":[{}]}"#, r#"{"embeddings":[{"values":7}]}"#] {
            assert!(decode_response(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}

//! Rerankings: Cohere's (<https://docs.cohere.com/reference/rerank>), and what stands at `/v1/rerank` with Bifrost and with servers
//! that speak OpenAI's dialect, such as vLLM (<https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html>). They differ
//! in what a document may be, in whether it comes back, and in where the tokens stand; the rest crosses as it is spelled.

use std::borrow::Cow;

use serde::Deserialize;

use super::usage::{self, WireUsage};
use crate::chat::{Raw, Usage};
use crate::dialect::Dialect;
use crate::dialect::fault::wrong;
use crate::dialect::json::{self, Array, Object, Span, Text, write_string};
use crate::dialect::openai;
use crate::error::Error;

/// A request in the provider's words.
pub(in crate::dialect) struct Asked {
    /// The JSON body.
    pub(in crate::dialect) body: Vec<u8>,
    /// Names of what was left out.
    pub(in crate::dialect) dropped: Vec<String>,
    /// The caller's documents as a JSON list, when they are wanted back; else empty.
    pub(in crate::dialect) documents: Vec<u8>,
}

/// Translates a request for `model` of a provider that speaks `to`.
pub(in crate::dialect) fn request(to: Dialect, body: &[u8], model: &str) -> Result<Asked, Error> {
    let mut asked =
        Asked { body: Vec::with_capacity(body.len() + 16), dropped: Vec::new(), documents: Vec::new() };
    let mut out = Object::begin(&mut asked.body);
    out.text("model", model);
    let (mut has_query, mut documents, mut are_wanted) = (false, None, false);
    for (name, value) in json::fields(body)? {
        match &*name {
            "model" | "fallbacks" => {}
            "query" => {
                value.parse::<Text<'_>>(&name)?;
                out.raw("query", value.raw());
                has_query = true;
            }
            "documents" => documents = Some(value),
            "return_documents" => are_wanted = value.parse(&name)?,
            "top_n" | "max_tokens_per_doc" => out.raw(&name, value.raw()),
            "relevant_spans" | "priority" if to == Dialect::Cohere => out.raw(&name, value.raw()),
            _ => asked.dropped.push(name.into_owned()),
        }
    }
    if !has_query {
        return Err(required("query"));
    }
    let documents: Vec<Span<'_>> = documents.ok_or_else(|| required("documents"))?.parse(&"documents")?;
    let mut list = Array::begin(out.field("documents"));
    for (index, span) in documents.iter().enumerate() {
        write_string(list.item(), &text(*span, index)?);
    }
    list.end();
    out.end();
    if are_wanted {
        let mut list = Array::begin(&mut asked.documents);
        for span in &documents {
            write_document(list.item(), *span);
        }
        list.end();
    }
    Ok(asked)
}

/// The words of a document: it is a text, or an object that has one.
fn text(span: Span<'_>, index: usize) -> Result<Cow<'_, str>, Error> {
    #[derive(Deserialize)]
    struct Document<'a> {
        #[serde(borrow)]
        text: Text<'a>,
    }
    let path = format_args!("documents[{index}]");
    match span.first() {
        b'{' => span.parse::<Document<'_>>(&path).map(|document| document.text.0),
        _ => span.parse::<Text<'_>>(&path).map(|text| text.0),
    }
}

/// As a result has it: an object, whatever it came as.
fn write_document(out: &mut Vec<u8>, span: Span<'_>) {
    if span.first() == b'{' {
        return out.extend_from_slice(span.raw().0.as_bytes());
    }
    let mut document = Object::begin(out);
    document.raw("text", span.raw());
    document.end();
}

fn required(name: &'static str) -> Error {
    wrong(name, "is required for a reranking")
}

#[derive(Deserialize)]
struct WireAnswer<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    results: Vec<WireResult<'a>>,
    #[serde(borrow)]
    meta: Option<Span<'a>>,
    usage: Option<openai::usage::WireUsage>,
}

#[derive(Deserialize)]
struct WireResult<'a> {
    index: u64,
    #[serde(borrow)]
    relevance_score: Span<'a>,
    #[serde(borrow)]
    relevant_spans: Option<Span<'a>>,
    #[serde(borrow)]
    document: Option<Span<'a>>,
}

/// Translates an answer of `model` for a caller who speaks `to`; `documents` are the caller's, when they are wanted back.
pub(in crate::dialect) fn response(
    to: Dialect,
    body: &[u8],
    model: &str,
    documents: &[u8],
) -> Result<(Vec<u8>, Usage), serde_json::Error> {
    let wire: WireAnswer<'_> = serde_json::from_slice(body)?;
    let sent: Vec<Span<'_>> =
        if documents.is_empty() { Vec::new() } else { serde_json::from_slice(documents)? };
    let billed = wire.meta.and_then(|meta| meta.parse::<WireUsage>(&"meta").ok()).map(|meta| meta.usage());
    let usage = wire.usage.map(|usage| usage.usage()).or(billed).unwrap_or_default();
    let mut out = Vec::with_capacity(body.len() + documents.len() + 64);
    let mut answer = Object::begin(&mut out);
    if let Some(Text(id)) = &wire.id {
        answer.text("id", id);
    }
    if to != Dialect::Cohere {
        answer.text("model", model);
    }
    let mut results = Array::begin(answer.field("results"));
    for result in &wire.results {
        let own = usize::try_from(result.index).ok().and_then(|index| sent.get(index)).copied();
        write_result(results.item(), result, to, own);
    }
    results.end();
    match wire.meta {
        Some(meta) => answer.raw("meta", meta.raw()),
        None if to == Dialect::Cohere => usage::write_meta(answer.field("meta"), &usage),
        None => {}
    }
    if to != Dialect::Cohere && usage != Usage::default() {
        let mut tokens = Object::begin(answer.field("usage"));
        tokens.number("prompt_tokens", usage.prompt_tokens);
        tokens.number("completion_tokens", usage.completion_tokens);
        tokens.number("total_tokens", usage.total_tokens);
        tokens.end();
    }
    answer.end();
    Ok((out, usage))
}

/// Cohere's newer shape has no documents in it.
fn write_result(out: &mut Vec<u8>, result: &WireResult<'_>, to: Dialect, own: Option<Span<'_>>) {
    let mut object = Object::begin(out);
    object.number("index", result.index);
    object.raw("relevance_score", result.relevance_score.raw());
    object.raw_if("relevant_spans", result.relevant_spans.map(Span::raw));
    let document: Option<Raw<'_>> = own.or(result.document).map(Span::raw);
    object.raw_if("document", document.filter(|_| to != Dialect::Cohere || own.is_some()));
    object.end();
}

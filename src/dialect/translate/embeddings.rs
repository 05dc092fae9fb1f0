//! The same glue for embeddings, between OpenAI's, Gemini's and Cohere's. The others have none.

use super::{AnswerOptions, Echo, Encoded, TranslatedResponse, reported, unusable};
use crate::dialect::dropped::bounded_names;
use crate::dialect::{Dialect, Operation, cohere, gemini, openai};
use crate::error::{Error, Kind};

/// Whether what the caller asks for are embeddings.
pub(super) fn is_asked(operation: Operation) -> bool {
    matches!(operation, Operation::Embedding | Operation::EmbeddingBatch)
}

/// Translates a request for `wire_model`; Gemini is asked for a batch, however many there are.
pub(super) fn request(
    from: Dialect,
    to: Dialect,
    operation: Operation,
    body: &[u8],
    wire_model: &str,
) -> Result<Encoded, Error> {
    let request = match (from, operation) {
        (Dialect::OpenAi, _) => openai::embedding::decode_request(body)?,
        (Dialect::Gemini, Operation::EmbeddingBatch) => gemini::embedding::decode_batch(body)?,
        (Dialect::Gemini, _) => gemini::embedding::decode_request(body)?,
        (Dialect::Cohere, _) => cohere::embedding::decode_request(body)?,
        (Dialect::Anthropic | Dialect::Responses | Dialect::Bedrock, _) => return Err(no_half(from)),
    };
    let (body, mut dropped) = match to {
        Dialect::OpenAi => openai::embedding::encode_request(&request, wire_model),
        Dialect::Gemini => gemini::embedding::encode_batch(&request, wire_model),
        Dialect::Cohere => cohere::embedding::encode_request(&request, wire_model),
        Dialect::Anthropic | Dialect::Responses | Dialect::Bedrock => return Err(no_half(to)),
    };
    if from == Dialect::Cohere {
        dropped = dropped.into_iter().map(cohere::embedding::caller_name).collect();
    }
    let echo = Echo { is_base64: request.is_base64, is_float: request.is_float, ..Echo::default() };
    Ok(Encoded { body, dropped: bounded_names(dropped), echo })
}

/// Translates a provider's answer.
pub(super) fn response(
    from: Dialect,
    to: Dialect,
    body: &[u8],
    options: &AnswerOptions,
) -> Result<TranslatedResponse, Error> {
    let decoded = match from {
        Dialect::OpenAi => openai::embedding::decode_response(body),
        Dialect::Gemini => gemini::embedding::decode_response(body),
        Dialect::Cohere => cohere::embedding::decode_response(body),
        Dialect::Anthropic | Dialect::Responses | Dialect::Bedrock => return Err(no_half(from)),
    };
    let response = decoded.map_err(|error| unusable(&error))?;
    let body = match to {
        Dialect::OpenAi => {
            let is_base64 = options.echo.is_base64;
            openai::embedding::encode_response(&response, &options.model, is_base64)
                .map_err(|error| unusable(&error))?
        }
        Dialect::Gemini => {
            gemini::embedding::encode_response(&response, options.operation == Operation::EmbeddingBatch)
        }
        Dialect::Cohere => {
            let types = (options.echo.is_float, options.echo.is_base64);
            cohere::embedding::encode_response(&response, types, options.created_s)
                .map_err(|error| unusable(&error))?
        }
        Dialect::Anthropic | Dialect::Responses | Dialect::Bedrock => return Err(no_half(to)),
    };
    Ok(TranslatedResponse { body, usage: reported(response.usage) })
}

fn no_half(dialect: Dialect) -> Error {
    Error::new(Kind::UnsupportedOperation, format!("{dialect:?} is not translated"))
}

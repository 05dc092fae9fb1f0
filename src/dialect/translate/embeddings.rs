//! The same glue for embeddings, between OpenAI's and Gemini's. The others have none.

use super::{AnswerOptions, Echo, Encoded, TranslatedResponse, reported, unusable};
use crate::dialect::dropped::bounded_names;
use crate::dialect::{Dialect, Operation, gemini, openai};
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
        (Dialect::Anthropic | Dialect::Responses | Dialect::Bedrock, _) => return Err(no_half(from)),
    };
    let (body, dropped) = match to {
        Dialect::OpenAi => openai::embedding::encode_request(&request, wire_model),
        Dialect::Gemini => gemini::embedding::encode_batch(&request, wire_model),
        Dialect::Anthropic | Dialect::Responses | Dialect::Bedrock => return Err(no_half(to)),
    };
    let echo = Echo { is_base64: request.is_base64, ..Echo::default() };
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
        Dialect::Anthropic | Dialect::Responses | Dialect::Bedrock => return Err(no_half(to)),
    };
    Ok(TranslatedResponse { body, usage: reported(response.usage) })
}

fn no_half(dialect: Dialect) -> Error {
    Error::new(Kind::UnsupportedOperation, format!("{dialect:?} is not translated"))
}

//! API formats as bytes, each written once for both sides: decode and encode for request, response, stream event and
//! error. Pure: no socket, no clock. Which path speaks which dialect is `api`'s table, which provider `provider`'s.
//!
//! Between the dialects stands `chat`; `translate` joins halves, so that N dialects cost N rooms. What passes through
//! in its own dialect is only watched (`answer`, `observe`), but for usage that we asked for (`stream_usage`).

pub mod account_ids;
mod answer;
mod answer_tool;
mod anthropic;
mod base64;
mod bedrock;
mod call_id;
mod cohere;
mod content;
mod counts;
mod data_url;
mod dropped;
mod embedding;
mod encode;
mod error_body;
pub mod event_stream;
mod extra;
mod fault;
pub mod file_ids;
pub mod foreign;
mod gemini;
mod json;
pub mod log_content;
pub mod look;
mod observe;
mod openai;
mod operation;
mod origin;
mod place;
mod reasoning;
pub mod response_id;
mod responses;
pub mod stream_usage;
mod tier;
mod translate;
mod whole;

use serde::{Deserialize, Serialize};

pub use self::answer::{AnswerLook, check_answer};
pub use self::anthropic::vertex;
pub use self::bedrock::invoke;
pub use self::call_id::CallIds;
pub use self::dropped::DROPPED_MAX;
pub use self::observe::StreamObserver;
pub use self::operation::Operation;
pub use self::translate::{
    AnswerOptions, Echo, Encoded, StreamOptions, StreamTranslator, TranslatedResponse, translate_request,
    translate_request_with, translate_response,
};
use crate::error::{Error, Kind, UpstreamError};

/// An API format that callers speak to us and we speak to providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Dialect {
    /// OpenAI's chat completions (<https://platform.openai.com/docs/api-reference/chat>).
    OpenAi,
    /// Anthropic's messages (<https://docs.anthropic.com/en/api/messages>).
    Anthropic,
    /// Gemini's generateContent (<https://ai.google.dev/api/generate-content>).
    Gemini,
    /// OpenAI's responses (<https://platform.openai.com/docs/api-reference/responses>); a provider that speaks it speaks
    /// [`Dialect::OpenAi`], too, and is listed so.
    Responses,
    /// Cohere's second API (<https://docs.cohere.com/reference/chat>).
    Cohere,
    /// Amazon Bedrock's Converse (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>), whose
    /// streams are frames ([`event_stream`]).
    Bedrock,
}

impl Dialect {
    const ALL: [Self; 6] =
        [Self::OpenAi, Self::Anthropic, Self::Gemini, Self::Responses, Self::Cohere, Self::Bedrock];

    /// Its name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Responses => "responses",
            Self::Cohere => "cohere",
            Self::Bedrock => "bedrock",
        }
    }

    /// The one of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }
}

/// Which words of OpenAI's dialect a provider takes, where those that speak it differ; which provider has which, is
/// `provider`'s table. A request that passes through goes as its caller wrote it, but for the usage of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirks {
    /// It is OpenAI itself: `service_tier` has Anthropic's meaning, and at most four `stop` texts are taken.
    pub is_openai: bool,
    /// The limit is called `max_completion_tokens`, which OpenAI's reasoning models demand; else `max_tokens`.
    pub max_completion_tokens: bool,
    /// `stream_options` is taken.
    pub stream_options: bool,
    /// A stream's usage comes unasked; else it is told to who asks for it by `stream_options.include_usage`.
    pub tells_usage: bool,
    /// `user` is taken.
    pub user: bool,
    /// `cache_control` marks are taken.
    pub cache_control: bool,
    /// It has `/responses`.
    pub responses: bool,
    /// It has `/rerank`, of which OpenAI has none.
    pub rerank: bool,
    /// Which ids of calls it takes.
    pub call_ids: CallIds,
}

impl Quirks {
    /// OpenAI itself.
    pub const OPENAI: Self = Self {
        is_openai: true,
        max_completion_tokens: true,
        responses: true,
        call_ids: CallIds::OPENAI,
        ..Self::COMPATIBLE
    };
    /// What all but the strict understand.
    pub const COMPATIBLE: Self = Self {
        is_openai: false,
        max_completion_tokens: false,
        stream_options: true,
        tells_usage: false,
        user: true,
        cache_control: false,
        responses: false,
        rerank: false,
        call_ids: CallIds::ANY,
    };
    /// The same, with usage told unasked.
    pub const TELLING: Self = Self { tells_usage: true, ..Self::COMPATIBLE };
    /// One that refuses each key that it does not know.
    pub const STRICT: Self = Self { stream_options: false, user: false, ..Self::TELLING };
}

/// The shapes that an error may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorShape {
    /// `/v1/*`: OpenAI's `error` with Bifrost's facts around it.
    Native,
    /// `/openai/*`: OpenAI's own.
    OpenAi,
    /// `/anthropic/*`: Anthropic's own.
    Anthropic,
    /// `/genai/*`: Google's own.
    Gemini,
    /// `/cohere/*`: Cohere's own.
    Cohere,
    /// `/bedrock/*`: AWS's own.
    Bedrock,
}

/// What an error's body says beside the error.
#[derive(Clone, Copy, Debug, Default)]
pub struct ErrorContext<'a> {
    /// Provider's name in the config; empty when none was chosen.
    pub provider: &'a str,
    /// The model in the caller's words.
    pub model_requested: &'a str,
    /// Bifrost's name of the operation, such as `chat_completion` or `chat_completion_stream`.
    pub request_type: &'a str,
    /// The request's id; empty: left out.
    pub request_id: &'a str,
}

/// The JSON body of an error answer.
pub fn encode_error(shape: ErrorShape, error: &Error, context: &ErrorContext<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write_error(shape, error, context, &mut out);
    out
}

/// What an error's answer says in a header beside its body, as a name and a value.
pub fn error_header(shape: ErrorShape, error: &Error) -> Option<(&'static str, &'static str)> {
    (shape == ErrorShape::Bedrock).then(|| ("x-amzn-errortype", bedrock::error::kind(error)))
}

/// Names a provider's error by what its answer says in `x-amzn-errortype`, where that is Bedrock.
pub fn name_error(error: &mut UpstreamError, kind: &[u8]) {
    let kind = String::from_utf8_lossy(kind);
    error.kind = error_body::plain(bedrock::error::bare(&kind), "").kind;
}

/// Appends an error in the middle of a stream, as one whole server-sent event, or as one frame.
pub fn encode_error_event(shape: ErrorShape, error: &Error, context: &ErrorContext<'_>, out: &mut Vec<u8>) {
    if shape == ErrorShape::Cohere {
        return cohere::error::encode_event(error, out);
    }
    if shape == ErrorShape::Bedrock {
        return bedrock::error::write_frame(error, out);
    }
    let start: &[u8] = if shape == ErrorShape::Anthropic { b"event: error\ndata: " } else { b"data: " };
    out.extend_from_slice(start);
    write_error(shape, error, context, out);
    out.extend_from_slice(b"\n\n");
}

/// The same for who speaks Responses, whatever the path: OpenAI's own `error` event
/// (<https://platform.openai.com/docs/api-reference/responses-streaming/error>), of this number.
pub fn encode_response_error(error: &Error, number: u64, out: &mut Vec<u8>) {
    responses::error::encode_event(error, number, out);
}

fn write_error(shape: ErrorShape, error: &Error, context: &ErrorContext<'_>, out: &mut Vec<u8>) {
    match shape {
        ErrorShape::Native => openai::error::encode_native(error, context, out),
        ErrorShape::OpenAi => openai::error::encode(error, out),
        ErrorShape::Anthropic => anthropic::error::encode(error, context, out),
        ErrorShape::Gemini => gemini::error::encode(error, out),
        ErrorShape::Cohere => cohere::error::encode(error, context, out),
        ErrorShape::Bedrock => bedrock::error::encode(error, out),
    }
}

/// A provider's error answer in neutral words.
pub fn decode_error(dialect: Dialect, status: u16, body: &[u8]) -> UpstreamError {
    match dialect {
        // They word it alike enough for one reader.
        Dialect::OpenAi | Dialect::Anthropic | Dialect::Responses | Dialect::Cohere => {
            error_body::decode(status, body)
        }
        Dialect::Gemini => gemini::error::decode(status, body),
        Dialect::Bedrock => bedrock::error::decode(status, body),
    }
}

/// How long an error's body asks to be left alone, seconds; most providers say it in a header.
pub fn decode_retry_delay_s(dialect: Dialect, body: &[u8]) -> Option<f64> {
    if dialect == Dialect::Gemini { gemini::error::retry_delay_s(body) } else { None }
}

/// One model in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelEntry {
    /// Such as `openai/gpt-4o-mini`.
    pub id: String,
    /// The provider's name.
    pub owned_by: String,
    /// When it was made, seconds since the epoch; 0: not known.
    pub created_s: u64,
}

/// The names in a provider's list of models, in its order.
pub fn decode_models(dialect: Dialect, body: &[u8]) -> Result<Vec<String>, Error> {
    let names = match dialect {
        // Anthropic's, too, has each model's `id` in `data`; Bedrock's stands elsewhere and is not asked for.
        Dialect::OpenAi | Dialect::Responses | Dialect::Anthropic | Dialect::Bedrock => {
            openai::models::decode(body)
        }
        Dialect::Gemini => gemini::models::decode(body),
        Dialect::Cohere => cohere::models::decode(body),
    };
    names.map_err(|error| {
        let reason = json::reason(&error);
        let message = format!("the provider's list of models can't be read: {reason}");
        Error::new(Kind::UpstreamInvalidResponse, message)
    })
}

/// A list of models for a caller.
pub fn encode_models(shape: Dialect, models: &[ModelEntry]) -> Vec<u8> {
    match shape {
        Dialect::OpenAi | Dialect::Responses | Dialect::Bedrock => openai::models::encode(models),
        Dialect::Anthropic => anthropic::models::encode(models),
        Dialect::Gemini => gemini::models::encode(models),
        Dialect::Cohere => cohere::models::encode(models),
    }
}

/// One model for a caller.
pub fn encode_model(shape: Dialect, model: &ModelEntry) -> Vec<u8> {
    let mut out = Vec::with_capacity(160);
    match shape {
        Dialect::OpenAi | Dialect::Responses | Dialect::Bedrock => openai::models::write(&mut out, model),
        Dialect::Anthropic => anthropic::models::write(&mut out, model),
        Dialect::Gemini => gemini::models::write(&mut out, model),
        Dialect::Cohere => cohere::models::write(&mut out, model),
    }
    out
}

#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod tests;

//! Glue: one dialect's decode half to another's encode half. It knows which halves exist and nothing of their words.

mod embeddings;
mod rerank;

use std::borrow::Cow;

use super::dropped::bounded_names;
use super::event_stream::Frame;
use super::{
    CallIds, Dialect, Operation, Quirks, answer_tool, anthropic, bedrock, call_id, cohere, extra, gemini,
    json, openai, origin, responses,
};
use crate::chat::{Event, Usage};
use crate::error::{Error, Kind};

/// A request in the provider's dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The JSON body.
    pub body: Vec<u8>,
    /// Parameters that the provider's dialect lacks, in the caller's words, for `x-corelane-dropped-params`: at most
    /// [`super::DROPPED_MAX`] names of at most 64 bytes, each of visible ASCII without commas.
    pub dropped: Vec<String>,
    /// What the request says of its own answer.
    pub echo: Echo,
}

/// What a request says of its own answer: [`translate_request`] reads it, whoever sends the request keeps it, and
/// [`AnswerOptions`] brings it back. What is in it is the dialects' business.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Echo {
    /// Vectors are wanted as base64 of little-endian 32-bit floats, not as numbers.
    pub(super) is_base64: bool,
    /// And as numbers, too; of Cohere's callers.
    pub(super) is_float: bool,
    /// The settings that a response repeats, as its fields in JSON; empty: the defaults. Of a reranking: the documents that are
    /// wanted back.
    pub(super) settings: Vec<u8>,
    /// The tool whose call is the answer's text, for a model that follows a schema in no other way; empty: none.
    pub(super) answer_tool: String,
}

/// What a whole answer's translation needs to know beside the provider's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerOptions {
    /// What the caller asked for.
    pub operation: Operation,
    /// When the request began, seconds since the epoch.
    pub created_s: u64,
    /// The answer's id when the provider gives none.
    pub id: String,
    /// The model's name when the provider gives none.
    pub model: String,
    /// Of the request that is answered.
    pub echo: Echo,
}

impl Default for AnswerOptions {
    /// Of a conversation.
    fn default() -> Self {
        let operation = Operation::Chat;
        Self { operation, created_s: 0, id: String::new(), model: String::new(), echo: Echo::default() }
    }
}

/// A whole answer in the caller's dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TranslatedResponse {
    /// The JSON body.
    pub body: Vec<u8>,
    /// Tokens, when the provider reported them.
    pub usage: Option<Usage>,
}

/// What a streamed answer needs to know beside the provider's events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamOptions {
    /// When the request began, seconds since the epoch.
    pub created_s: u64,
    /// The caller's `stream_options.include_usage`.
    pub include_usage: bool,
    /// The model's name when the provider gives none.
    pub model: String,
}

/// What takes the events of a stream, each with the tokens known by then.
pub(super) type Sink<'s> = &'s mut dyn FnMut(Event<'_>, Option<Usage>) -> Result<(), Error>;

/// Translates a caller's request for `wire_model`. Which model was asked for, and whether a stream, is the gateway's to
/// read and decide, and `operation`, the caller's, says it; the body's own `model`, `stream`, `stream_options` and
/// `fallbacks` are passed over. `quirks` are the provider's, where `to` is OpenAI's dialect.
pub fn translate_request(
    from: Dialect,
    to: Dialect,
    operation: Operation,
    body: &[u8],
    wire_model: &str,
    quirks: Quirks,
) -> Result<Encoded, Error> {
    translate_request_with(from, to, operation, body, (wire_model, quirks), false)
}

/// The same; `passes_extra`: a conversation's parameters that its caller's dialect does not know go along, merged into the body,
/// where nothing of ours stands in their place.
pub fn translate_request_with(
    from: Dialect,
    to: Dialect,
    operation: Operation,
    body: &[u8],
    (wire_model, quirks): (&str, Quirks),
    passes_extra: bool,
) -> Result<Encoded, Error> {
    if embeddings::is_asked(operation) {
        return embeddings::request(from, to, operation, body, wire_model);
    }
    if operation == Operation::Rerank {
        return rerank::request(to, body, wire_model);
    }
    let stream = operation.is_stream();
    let mut request = match from {
        Dialect::OpenAi => openai::request::decode(body)?,
        Dialect::Anthropic => anthropic::request::decode(body)?,
        Dialect::Gemini => gemini::decode::decode(body)?,
        Dialect::Responses => responses::request::decode(body)?,
        Dialect::Cohere => cohere::request::decode(body)?,
        Dialect::Bedrock => bedrock::decode::decode(body)?,
    };
    origin::sort(from, to, &mut request);
    call_id::spell(&mut request.messages, call_ids(to, quirks));
    let answer_tool = match to {
        Dialect::Anthropic => anthropic::request::answer_tool(&request, wire_model),
        // Bedrock's own halves know their tool by its name.
        Dialect::OpenAi | Dialect::Gemini | Dialect::Responses | Dialect::Cohere | Dialect::Bedrock => {
            String::new()
        }
    };
    let encoded = match to {
        Dialect::OpenAi => openai::request::encode(&request, wire_model, stream, quirks),
        Dialect::Anthropic => anthropic::request::encode(&request, wire_model, stream),
        Dialect::Gemini => gemini::request::encode(&request, wire_model, stream),
        Dialect::Responses => responses::request::encode(&request, wire_model, stream),
        Dialect::Cohere => cohere::request::encode(&request, wire_model, stream),
        Dialect::Bedrock => bedrock::request::encode(&request, wire_model, stream),
    };
    let (mut encoded, mut dropped) = encoded.map_err(|error| in_caller_words(from, error, body))?;
    let added = if passes_extra { extra::unknown(from, &request.extra) } else { Vec::new() };
    if let Some((merged, taken)) = extra::merged(&encoded, &added) {
        encoded = merged;
        dropped.retain(|name| taken.binary_search(&name.as_str()).is_err());
    }
    let settings = if from == Dialect::Responses { responses::echo::read(body) } else { Vec::new() };
    let echo = Echo { settings, answer_tool, ..Echo::default() };
    let dropped = match from {
        Dialect::Gemini => gemini::decode::caller_names(dropped),
        Dialect::Responses => responses::request::renamed_all(dropped),
        Dialect::Anthropic => {
            let words = |name: String| anthropic::request::caller_name(&name).to_owned();
            dropped.into_iter().map(words).collect()
        }
        Dialect::Cohere => {
            let words = |name: String| cohere::request::caller_name(&name).to_owned();
            dropped.into_iter().map(words).collect()
        }
        Dialect::Bedrock => {
            let words = |name: String| bedrock::decode::caller_name(&name).to_owned();
            dropped.into_iter().map(words).collect()
        }
        Dialect::OpenAi => dropped,
    };
    Ok(Encoded { body: encoded, dropped: bounded_names(dropped), echo })
}

/// Which ids of calls are taken there; Gemini says nothing of them.
fn call_ids(to: Dialect, quirks: Quirks) -> CallIds {
    match to {
        Dialect::OpenAi => quirks.call_ids,
        Dialect::Anthropic => CallIds::ANTHROPIC,
        // Bedrock's half spells them itself, on the way back, too.
        Dialect::Gemini | Dialect::Cohere | Dialect::Bedrock => CallIds::ANY,
        Dialect::Responses => CallIds::RESPONSES,
    }
}

/// An encode half names fields in its own words or in neutral ones; some callers have others.
fn in_caller_words(from: Dialect, error: Error, body: &[u8]) -> Error {
    match from {
        Dialect::Gemini => gemini::decode::in_caller_words(error),
        Dialect::Responses => responses::request::renamed(error, body),
        Dialect::Cohere => cohere::request::in_caller_words(error),
        Dialect::OpenAi | Dialect::Anthropic | Dialect::Bedrock => error,
    }
}

fn unusable(error: &serde_json::Error) -> Error {
    let reason = json::reason(error);
    let message = format!("the provider's answer is not what its API promises: {reason}");
    Error::new(Kind::UpstreamInvalidResponse, message)
}

/// Translates a provider's whole answer for a caller.
pub fn translate_response(
    from: Dialect,
    to: Dialect,
    body: &[u8],
    options: &AnswerOptions,
) -> Result<TranslatedResponse, Error> {
    if embeddings::is_asked(options.operation) {
        return embeddings::response(from, to, body, options);
    }
    if options.operation == Operation::Rerank {
        return rerank::response(to, body, options);
    }
    let created_s = options.created_s;
    let decoded = match from {
        Dialect::OpenAi => openai::answer::decode(body),
        Dialect::Anthropic => anthropic::response::decode(body),
        Dialect::Gemini => gemini::response::decode(body),
        Dialect::Responses => match responses::error::of_failed(body) {
            Some(error) => return Err(error),
            None => responses::answer::decode(body),
        },
        Dialect::Cohere => match cohere::answer::failure(body) {
            Some(error) => return Err(Error::upstream(error)),
            None => cohere::answer::decode(body),
        },
        Dialect::Bedrock => bedrock::response::decode(body),
    };
    let mut response = decoded.map_err(|error| unusable(&error))?;
    if response.id.is_empty() {
        response.id = Cow::Borrowed(&options.id);
    }
    if response.model.is_empty() {
        response.model = Cow::Borrowed(&options.model);
    }
    answer_tool::turn(&options.echo.answer_tool, &mut response);
    origin::mark_parts(from, to, &mut response.parts);
    let body = match to {
        Dialect::OpenAi => openai::response::encode(&response, created_s),
        Dialect::Anthropic => anthropic::answer::encode(&response),
        Dialect::Gemini => gemini::response::encode(&response, created_s),
        Dialect::Responses => responses::response::encode(&response, created_s, &options.echo.settings),
        Dialect::Cohere => cohere::response::encode(&response),
        Dialect::Bedrock => bedrock::answer::encode(&response),
    };
    Ok(TranslatedResponse { body, usage: reported(response.usage) })
}

/// No answer costs nothing: a usage of zeros is one that was not reported.
fn reported(usage: Usage) -> Option<Usage> {
    Some(usage).filter(|usage| *usage != Usage::default())
}

/// A dialect's decode half.
enum Decoder {
    OpenAi(openai::stream::Decoder),
    Anthropic {
        decoder: anthropic::stream::Decoder,
        /// simd-json undoes escapes in place, so each event is copied here first.
        event: Vec<u8>,
    },
    Gemini(gemini::stream::Decoder),
    Responses(responses::stream::Decoder),
    Cohere(Box<cohere::stream::Decoder>),
    Bedrock(bedrock::stream::Decoder),
}

impl Decoder {
    fn new(dialect: Dialect) -> Self {
        match dialect {
            Dialect::OpenAi => Self::OpenAi(openai::stream::Decoder::default()),
            Dialect::Anthropic => {
                Self::Anthropic { decoder: anthropic::stream::Decoder::default(), event: Vec::new() }
            }
            Dialect::Gemini => Self::Gemini(gemini::stream::Decoder::default()),
            Dialect::Responses => Self::Responses(responses::stream::Decoder::default()),
            Dialect::Cohere => Self::Cohere(Box::default()),
            Dialect::Bedrock => Self::Bedrock(bedrock::stream::Decoder::default()),
        }
    }

    /// Of all dialects only Bedrock's needs an event's name.
    fn decode(&mut self, name: Option<&[u8]>, data: &[u8], sink: Sink<'_>) -> Result<(), Error> {
        match self {
            Self::OpenAi(decoder) => decoder.decode(data, sink),
            Self::Anthropic { decoder, event } => {
                event.clear();
                event.extend_from_slice(data);
                decoder.decode(data, event, sink)
            }
            Self::Gemini(decoder) => decoder.decode(data, sink),
            Self::Responses(decoder) => decoder.decode(data, sink),
            Self::Cohere(decoder) => decoder.decode(data, sink),
            Self::Bedrock(decoder) => decoder.decode(name, data, sink),
        }
    }

    /// The provider's bytes have ended; some dialects have no other word for that.
    fn finish(&mut self, sink: Sink<'_>) -> Result<(), Error> {
        match self {
            Self::Gemini(decoder) => decoder.finish(sink),
            Self::Bedrock(decoder) => decoder.finish(sink),
            Self::OpenAi(_) | Self::Anthropic { .. } | Self::Responses(_) | Self::Cohere(_) => Ok(()),
        }
    }

    fn usage(&self) -> Option<Usage> {
        match self {
            Self::OpenAi(decoder) => decoder.usage(),
            Self::Anthropic { decoder, .. } => decoder.usage(),
            Self::Gemini(decoder) => decoder.usage(),
            Self::Responses(decoder) => decoder.usage(),
            Self::Cohere(decoder) => decoder.usage(),
            Self::Bedrock(decoder) => decoder.usage(),
        }
    }
}

/// A dialect's encode half.
enum Encoder {
    OpenAi(openai::stream::Encoder),
    Anthropic(anthropic::stream::Encoder),
    Gemini(gemini::stream::Encoder),
    /// It keeps the whole answer, so it is by far the largest.
    Responses(Box<responses::stream::Encoder>),
    Cohere(Box<cohere::stream::Encoder>),
    Bedrock(bedrock::stream::Encoder),
}

impl Encoder {
    fn new(dialect: Dialect, options: StreamOptions) -> Self {
        match dialect {
            Dialect::OpenAi => Self::OpenAi(openai::stream::Encoder::new(options)),
            Dialect::Anthropic => Self::Anthropic(anthropic::stream::Encoder::new(options.model)),
            Dialect::Gemini => Self::Gemini(gemini::stream::Encoder::new(options)),
            Dialect::Responses => Self::Responses(Box::new(responses::stream::Encoder::new(options))),
            Dialect::Cohere => Self::Cohere(Box::new(cohere::stream::Encoder::new())),
            Dialect::Bedrock => Self::Bedrock(bedrock::stream::Encoder::default()),
        }
    }

    fn encode(&mut self, event: Event<'_>, usage: Option<Usage>, out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::OpenAi(encoder) => {
                encoder.encode(event, usage, out);
                Ok(())
            }
            Self::Anthropic(encoder) => encoder.encode(event, usage, out),
            Self::Gemini(encoder) => {
                encoder.encode(event, usage, out);
                Ok(())
            }
            Self::Responses(encoder) => encoder.encode(event, usage, out),
            Self::Cohere(encoder) => encoder.encode(event, usage, out),
            Self::Bedrock(encoder) => encoder.encode(event, usage, out),
        }
    }

    fn fail(&self, error: &Error, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Responses(encoder) => encoder.fail(error, out),
            Self::OpenAi(_) | Self::Anthropic(_) | Self::Gemini(_) | Self::Cohere(_) | Self::Bedrock(_) => {
                return false;
            }
        }
        true
    }
}

/// Translates a provider's stream for a caller, event by event.
pub struct StreamTranslator {
    decoder: Decoder,
    told: Told,
}

/// The caller's side of a stream.
struct Told {
    encoder: Encoder,
    /// The answer's id when the provider gives none.
    id: String,
    turner: answer_tool::Turner,
    marker: origin::Marker,
    progress: Progress,
}

impl Told {
    fn take(&mut self, event: Event<'_>, usage: Option<Usage>, out: &mut Vec<u8>) -> Result<(), Error> {
        let Some(event) = self.turner.turn(event) else { return Ok(()) };
        self.progress.note(event);
        let event = match bounded(event) {
            Event::Start { id: "", model } => Event::Start { id: &self.id, model },
            event => event,
        };
        match self.marker.proof(event) {
            Some(proof) => self.encoder.encode(origin::with_proof(event, &proof), usage, out),
            None => self.encoder.encode(event, usage, out),
        }
    }
}

/// Most bytes of an answer's id, and of its model's name, that a stream repeats: some dialects do in each event.
const NAME_BYTES_MAX: usize = 256;

/// The event with names that may be repeated.
fn bounded(event: Event<'_>) -> Event<'_> {
    let short = |name| json::bounded(name, NAME_BYTES_MAX);
    match event {
        Event::Start { id, model } => Event::Start { id: short(id), model: short(model) },
        other => other,
    }
}

/// How far an answer is.
#[derive(Clone, Copy, Default)]
struct Progress {
    has_content: bool,
    has_stopped: bool,
    is_ended: bool,
}

impl Progress {
    fn note(&mut self, event: Event<'_>) {
        match event {
            Event::Start { .. } => {}
            Event::Finish(_) => self.has_stopped = true,
            Event::End => self.is_ended = true,
            _ => self.has_content = true,
        }
    }
}

impl StreamTranslator {
    /// `from` is the provider's dialect, `to` the caller's.
    pub fn new(from: Dialect, to: Dialect, options: StreamOptions) -> Self {
        Self {
            decoder: Decoder::new(from),
            told: Told {
                encoder: Encoder::new(to, options),
                id: String::new(),
                turner: answer_tool::Turner::default(),
                marker: origin::Marker::new(from, to),
                progress: Progress::default(),
            },
        }
    }

    /// Has the answer repeat what its request said of it.
    #[must_use]
    pub fn echoing(mut self, echo: Echo) -> Self {
        self.told.turner = answer_tool::Turner::new(echo.answer_tool);
        if let Encoder::Responses(encoder) = &mut self.told.encoder {
            encoder.echo(echo.settings);
        }
        self
    }

    /// Has the answer this id when the provider gives none.
    #[must_use]
    pub fn identified(mut self, id: String) -> Self {
        self.told.id = id;
        self
    }

    /// Takes one event of the provider and appends what it means to `out`: none or more whole events. The event's name
    /// is needed of Bedrock's alone, the others' data say it again. After an error, or after the end, nothing more comes of it.
    pub fn push(&mut self, name: Option<&[u8]>, data: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if self.told.progress.is_ended || data.is_empty() {
            return Ok(());
        }
        let Self { decoder, told } = self;
        decoder.decode(name, data, &mut |event, usage| told.take(event, usage, out))
    }

    /// The same of a frame, where the provider is Bedrock. One that says that something failed is an [`Error::upstream`].
    pub fn push_frame(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        match bedrock::error::of_frame(frame).filter(|_| !self.told.progress.is_ended) {
            Some(fault) => Err(Error::upstream(fault)),
            None => self.push(frame.text(":event-type").map(str::as_bytes), frame.payload, out),
        }
    }

    /// The provider's bytes have ended. An answer that was not said to be whole is an error; a whole one is already
    /// out, the caller's last word included.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let Self { decoder, told } = self;
        if !told.progress.is_ended {
            decoder.finish(&mut |event, usage| told.take(event, usage, out))?;
        }
        if told.progress.is_ended {
            return Ok(());
        }
        let message = "the provider's stream ended before its message did; send the request again";
        Err(Error::new(Kind::UpstreamInvalidResponse, message))
    }

    /// Appends an error as the caller's last event, where its place in the stream is part of it. `false`: nothing is
    /// appended, any error event of the caller's dialect does ([`super::encode_error_event`]).
    pub fn fail(&self, error: &Error, out: &mut Vec<u8>) -> bool {
        self.told.encoder.fail(error, out)
    }

    /// Tokens so far.
    pub fn usage(&self) -> Option<Usage> {
        self.decoder.usage()
    }

    /// Whether the caller's readers pass over a comment between events. Google's own SDK takes it for data and fails, and
    /// between frames there is none.
    pub fn takes_comments(&self) -> bool {
        !matches!(self.told.encoder, Encoder::Gemini(_) | Encoder::Bedrock(_))
    }

    /// Whether anything of the answer itself has come.
    pub fn has_content(&self) -> bool {
        self.told.progress.has_content
    }

    /// Whether the answer was said to be at its end, by a reason.
    pub fn has_stopped(&self) -> bool {
        self.told.progress.has_stopped
    }

    /// Whether the answer is whole.
    pub fn is_ended(&self) -> bool {
        self.told.progress.is_ended
    }
}

//! Glue: one dialect's decode half to another's encode half. It knows which halves exist and nothing of their words.

use super::dropped::bounded_names;
use super::{Dialect, Quirks, anthropic, openai};
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
/// read and decide; the body's own `model`, `stream`, `stream_options` and `fallbacks` are passed over. `quirks` are the
/// provider's, where `to` is OpenAI's dialect.
pub fn translate_request(
    from: Dialect,
    to: Dialect,
    body: &[u8],
    wire_model: &str,
    stream: bool,
    quirks: Quirks,
) -> Result<Encoded, Error> {
    let request = match from {
        Dialect::OpenAi => openai::request::decode(body)?,
        Dialect::Anthropic => anthropic::request::decode(body)?,
    };
    let (body, dropped) = match to {
        Dialect::OpenAi => openai::request::encode(&request, wire_model, stream, quirks)?,
        Dialect::Anthropic => anthropic::request::encode(&request, wire_model, stream)?,
    };
    Ok(Encoded { body, dropped: bounded_names(dropped) })
}

/// Translates a provider's whole answer for a caller.
pub fn translate_response(
    from: Dialect,
    to: Dialect,
    body: &[u8],
    created_s: u64,
) -> Result<TranslatedResponse, Error> {
    let decoded = match from {
        Dialect::OpenAi => openai::answer::decode(body),
        Dialect::Anthropic => anthropic::response::decode(body),
    };
    let response = decoded.map_err(|error| {
        let reason = super::json::reason(&error);
        let message = format!("the provider's answer is not what its API promises: {reason}");
        Error::new(Kind::UpstreamInvalidResponse, message)
    })?;
    let body = match to {
        Dialect::OpenAi => openai::response::encode(&response, created_s),
        Dialect::Anthropic => anthropic::answer::encode(&response),
    };
    // No answer costs nothing: a usage of zeros is one that was not reported.
    let usage = Some(response.usage).filter(|usage| *usage != Usage::default());
    Ok(TranslatedResponse { body, usage })
}

/// A dialect's decode half.
enum Decoder {
    OpenAi(openai::stream::Decoder),
    Anthropic {
        decoder: anthropic::stream::Decoder,
        /// simd-json undoes escapes in place, so each event is copied here first.
        event: Vec<u8>,
    },
}

impl Decoder {
    fn new(dialect: Dialect) -> Self {
        match dialect {
            Dialect::OpenAi => Self::OpenAi(openai::stream::Decoder::default()),
            Dialect::Anthropic => {
                Self::Anthropic { decoder: anthropic::stream::Decoder::default(), event: Vec::new() }
            }
        }
    }

    fn decode(&mut self, data: &[u8], sink: Sink<'_>) -> Result<(), Error> {
        match self {
            Self::OpenAi(decoder) => decoder.decode(data, sink),
            Self::Anthropic { decoder, event } => {
                event.clear();
                event.extend_from_slice(data);
                let Some(event) = decoder.decode(event)? else { return Ok(()) };
                sink(event, decoder.usage())
            }
        }
    }

    fn usage(&self) -> Option<Usage> {
        match self {
            Self::OpenAi(decoder) => decoder.usage(),
            Self::Anthropic { decoder, .. } => decoder.usage(),
        }
    }
}

/// A dialect's encode half.
enum Encoder {
    OpenAi(openai::stream::Encoder),
    Anthropic(anthropic::stream::Encoder),
}

impl Encoder {
    fn new(dialect: Dialect, options: StreamOptions) -> Self {
        match dialect {
            Dialect::OpenAi => Self::OpenAi(openai::stream::Encoder::new(options)),
            Dialect::Anthropic => Self::Anthropic(anthropic::stream::Encoder::new(options.model)),
        }
    }

    fn encode(&mut self, event: Event<'_>, usage: Option<Usage>, out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::OpenAi(encoder) => {
                encoder.encode(event, usage, out);
                Ok(())
            }
            Self::Anthropic(encoder) => encoder.encode(event, usage, out),
        }
    }
}

/// Translates a provider's stream for a caller, event by event.
pub struct StreamTranslator {
    decoder: Decoder,
    encoder: Encoder,
    has_content: bool,
    has_stopped: bool,
    is_ended: bool,
}

impl StreamTranslator {
    /// `from` is the provider's dialect, `to` the caller's.
    pub fn new(from: Dialect, to: Dialect, options: StreamOptions) -> Self {
        Self {
            decoder: Decoder::new(from),
            encoder: Encoder::new(to, options),
            has_content: false,
            has_stopped: false,
            is_ended: false,
        }
    }

    /// Takes one event of the provider and appends what it means to `out`: none or more whole events. The event's name
    /// is not needed, its data says it again. After an error, or after the end, nothing more comes of it.
    pub fn push(&mut self, _name: Option<&[u8]>, data: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if self.is_ended || data.is_empty() {
            return Ok(());
        }
        let Self { decoder, encoder, has_content, has_stopped, is_ended } = self;
        decoder.decode(data, &mut |event, usage| {
            match event {
                Event::Start { .. } => {}
                Event::Finish(_) => *has_stopped = true,
                Event::End => *is_ended = true,
                _ => *has_content = true,
            }
            encoder.encode(event, usage, out)
        })
    }

    /// The provider's bytes have ended. An answer that was not said to be whole is an error; a whole one is already
    /// out, the caller's last word included.
    pub fn finish(&mut self, _out: &mut Vec<u8>) -> Result<(), Error> {
        if self.is_ended {
            return Ok(());
        }
        let message = "the provider's stream ended before its message did; send the request again";
        Err(Error::new(Kind::UpstreamInvalidResponse, message))
    }

    /// Tokens so far.
    pub fn usage(&self) -> Option<Usage> {
        self.decoder.usage()
    }

    /// Whether anything of the answer itself has come.
    pub fn has_content(&self) -> bool {
        self.has_content
    }

    /// Whether the answer was said to be at its end, by a reason.
    pub fn has_stopped(&self) -> bool {
        self.has_stopped
    }

    /// Whether the answer is whole.
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }
}

//! Glue: one dialect's decode half to another's encode half. It knows which halves exist and nothing of their words.

use super::{Dialect, anthropic, openai};
use crate::chat::{Event, Usage};
use crate::error::{Error, Kind};

/// A request in the provider's dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The JSON body.
    pub body: Vec<u8>,
    /// Parameters that the provider's dialect lacks, in the caller's words, for `x-corelane-dropped-params`: at most
    /// [`DROPPED_MAX`] names of at most 64 bytes, each of visible ASCII without commas.
    pub dropped: Vec<String>,
}

/// Most names in [`Encoded::dropped`]; the last then says that there were more.
pub const DROPPED_MAX: usize = 32;

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

/// Translates a caller's request for `wire_model`. Which model was asked for, and whether a stream, is the gateway's to
/// read and decide; the body's own `model`, `stream`, `stream_options` and `fallbacks` are passed over.
pub fn translate_request(
    from: Dialect,
    to: Dialect,
    body: &[u8],
    wire_model: &str,
    stream: bool,
) -> Result<Encoded, Error> {
    match (from, to) {
        (Dialect::OpenAi, Dialect::Anthropic) => {
            let request = openai::request::decode(body)?;
            let (body, dropped) = anthropic::request::encode(&request, wire_model, stream)?;
            Ok(Encoded { body, dropped: bounded_names(dropped) })
        }
        _ => Err(no_pair(from, to)),
    }
}

/// Translates a provider's whole answer for a caller.
pub fn translate_response(
    from: Dialect,
    to: Dialect,
    body: &[u8],
    created_s: u64,
) -> Result<TranslatedResponse, Error> {
    match (from, to) {
        (Dialect::Anthropic, Dialect::OpenAi) => {
            let response = anthropic::response::decode(body).map_err(|error| {
                let reason = super::json::reason(&error);
                let message = format!("the provider's answer is not what its API promises: {reason}");
                Error::new(Kind::UpstreamInvalidResponse, message)
            })?;
            let usage = Some(response.usage);
            Ok(TranslatedResponse { body: openai::response::encode(&response, created_s), usage })
        }
        _ => Err(no_pair(to, from)),
    }
}

/// Translates a provider's stream for a caller, event by event.
pub struct StreamTranslator {
    decoder: anthropic::stream::Decoder,
    encoder: openai::stream::Encoder,
    /// simd-json undoes escapes in place, so each event is copied here first.
    event: Vec<u8>,
    has_content: bool,
    has_stopped: bool,
    is_ended: bool,
}

impl StreamTranslator {
    /// `from` is the provider's dialect, `to` the caller's; `None`: not translated by this version.
    pub fn new(from: Dialect, to: Dialect, options: StreamOptions) -> Option<Self> {
        let is_known = (from, to) == (Dialect::Anthropic, Dialect::OpenAi);
        is_known.then(|| Self {
            decoder: anthropic::stream::Decoder::default(),
            encoder: openai::stream::Encoder::new(options),
            event: Vec::new(),
            has_content: false,
            has_stopped: false,
            is_ended: false,
        })
    }

    /// Takes one event of the provider and appends what it means to `out`: none or more whole events. The event's name
    /// is not needed, its data says it again. After an error, or after the end, nothing more comes of it.
    pub fn push(&mut self, _name: Option<&[u8]>, data: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if self.is_ended || data.is_empty() {
            return Ok(());
        }
        self.event.clear();
        self.event.extend_from_slice(data);
        let Some(event) = self.decoder.decode(&mut self.event)? else { return Ok(()) };
        match event {
            Event::Start { .. } => {}
            Event::Finish(_) => self.has_stopped = true,
            Event::End => self.is_ended = true,
            _ => self.has_content = true,
        }
        self.encoder.encode(event, self.decoder.usage(), out);
        Ok(())
    }

    /// The provider's bytes have ended. An answer that was not said to be whole is an error; a whole one is already
    /// out, `[DONE]` included.
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

fn no_pair(caller: Dialect, provider: Dialect) -> Error {
    let name = |dialect| match dialect {
        Dialect::OpenAi => "OpenAI",
        Dialect::Anthropic => "Anthropic",
    };
    let message = format!(
        "a request of {}'s API is not translated to a provider of {}'s API by this version; call this model through {}'s API",
        name(caller),
        name(provider),
        name(provider)
    );
    Error::new(Kind::ProviderNotSupported, message)
}

/// The names are a caller's own words and go into a header.
fn bounded_names(names: Vec<String>) -> Vec<String> {
    let is_over = names.len() > DROPPED_MAX;
    let kept = if is_over { DROPPED_MAX - 1 } else { DROPPED_MAX };
    let mut names: Vec<String> = names.iter().take(kept).map(|name| header_word(name)).collect();
    if is_over {
        names.push("...".to_owned());
    }
    names
}

fn header_word(name: &str) -> String {
    let visible = |one: char| if one.is_ascii_graphic() && one != ',' { one } else { '?' };
    super::json::bounded(name, super::json::PATH_BYTES_MAX).chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_are_not_there_say_so() {
        let error = translate_request(Dialect::Anthropic, Dialect::OpenAi, b"{}", "m", false).unwrap_err();
        assert_eq!(error.kind, Kind::ProviderNotSupported);
        assert!(error.message.contains("Anthropic's API is not translated"), "{error}");
        let error = translate_response(Dialect::OpenAi, Dialect::Anthropic, b"{}", 0).unwrap_err();
        assert_eq!(error.kind, Kind::ProviderNotSupported);
        assert!(
            StreamTranslator::new(Dialect::OpenAi, Dialect::Anthropic, StreamOptions::default()).is_none()
        );
    }

    #[test]
    fn dropped_names_are_bounded_and_fit_a_header() {
        let names = bounded_names((0..40).map(|_| format!("a,b\r\né{}", "x".repeat(100))).collect());
        assert_eq!(names.len(), DROPPED_MAX);
        assert!(names[0].starts_with("a?b???xx") && names[0].len() <= 64, "{}", names[0]);
        assert_eq!(names.last().map(String::as_str), Some("..."));
    }
}

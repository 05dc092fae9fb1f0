//! Looks at streams that pass through in the provider's own dialect and changes nothing: tokens, the first content, the
//! end, an error. It searches for words and parses only what stands behind them. Whole answers are `answer`'s.

use memchr::memmem::Finder;
use serde::Deserialize;

use super::event_stream::Frame;
use super::json;
use super::{Dialect, anthropic, bedrock, decode_error, openai};
use crate::chat::Usage;
use crate::error::UpstreamError;

mod cohere;
mod gemini;
pub(super) mod responses;

const USAGE: &[u8] = b"\"usage\"";
const ERROR: &[u8] = b"\"error\"";

/// Watches a stream that passes through.
pub struct StreamObserver {
    dialect: Dialect,
    usage_finder: Finder<'static>,
    error_finder: Finder<'static>,
    openai_usage: Option<openai::usage::WireUsage>,
    anthropic_usage: Option<anthropic::usage::WireUsage>,
    responses: responses::Seen,
    is_stored: bool,
    gemini_usage: Option<super::gemini::usage::WireUsage>,
    cohere_usage: Option<super::cohere::usage::WireUsage>,
    bedrock_usage: Option<bedrock::usage::WireUsage>,
    has_content: bool,
    has_stopped: bool,
    is_ended: bool,
    error: Option<UpstreamError>,
    has_failed_first: bool,
}

impl StreamObserver {
    /// A stream that has not begun.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            usage_finder: Finder::new(USAGE),
            error_finder: Finder::new(ERROR),
            openai_usage: None,
            anthropic_usage: None,
            responses: responses::Seen::default(),
            is_stored: false,
            gemini_usage: None,
            cohere_usage: None,
            bedrock_usage: None,
            has_content: false,
            has_stopped: false,
            is_ended: false,
            error: None,
            has_failed_first: false,
        }
    }

    /// The stream of a response that was asked for before, told again: that it failed then is no failure now, and its
    /// tokens were counted then.
    pub fn of_stored() -> Self {
        Self { is_stored: true, ..Self::new(Dialect::Responses) }
    }

    /// Looks at one event: its name, when it has one, and its data.
    pub fn observe(&mut self, name: Option<&[u8]>, data: &[u8]) {
        match self.dialect {
            Dialect::OpenAi => self.observe_openai(name, data),
            Dialect::Anthropic => self.observe_anthropic(name, data),
            Dialect::Gemini => self.observe_gemini(data),
            Dialect::Responses => self.observe_responses(name, data),
            Dialect::Cohere => self.observe_cohere(name, data),
            Dialect::Bedrock => self.observe_bedrock(name.unwrap_or_default(), data),
        }
    }

    /// The same of a frame, where the provider is Bedrock.
    pub fn observe_frame(&mut self, frame: &Frame<'_>) {
        match bedrock::error::of_frame(frame) {
            Some(fault) if self.error.is_none() => self.fail(fault),
            Some(_) => {}
            None => self.observe(frame.text(":event-type").map(str::as_bytes), frame.payload),
        }
    }

    /// Tokens so far, when the provider reported any.
    pub fn usage(&self) -> Option<Usage> {
        match self.dialect {
            Dialect::OpenAi => self.openai_usage.map(|wire| wire.usage()),
            Dialect::Anthropic => self.anthropic_usage.map(|wire| wire.usage()),
            Dialect::Gemini => self.gemini_usage.map(|wire| wire.usage()),
            Dialect::Responses => self.responses.usage().filter(|_| !self.is_stored),
            Dialect::Cohere => self.cohere_usage.map(|wire| wire.usage()),
            Dialect::Bedrock => self.bedrock_usage.map(|wire| wire.usage()),
        }
    }

    /// The `sequence_number` that the next event of a Responses stream would bear; `None`: it is another dialect's, which has
    /// none.
    pub fn next_number(&self) -> Option<u64> {
        (self.dialect == Dialect::Responses).then(|| self.responses.next_number())
    }

    /// Whether anything of the answer itself has come.
    pub fn has_content(&self) -> bool {
        self.has_content
    }

    /// Whether the answer was said to be at its end, by a reason, before any content of it came: it is one without.
    pub fn has_stopped(&self) -> bool {
        self.has_stopped
    }

    /// Whether the dialect's last word has come (`[DONE]`, `message_stop`, `response.completed`, `message-end`, `messageStop`;
    /// of Gemini, which has none, a reason to stop).
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// The error that the provider sent in the stream.
    pub fn error(&self) -> Option<&UpstreamError> {
        self.error.as_ref()
    }

    /// Whether that error came before any content.
    pub fn has_failed_first(&self) -> bool {
        self.has_failed_first
    }

    fn fail(&mut self, error: UpstreamError) {
        self.has_failed_first = !self.has_content && !self.has_stopped;
        self.error = Some(error);
    }

    fn observe_openai(&mut self, name: Option<&[u8]>, data: &[u8]) {
        if data == b"[DONE]" {
            self.is_ended = true;
            return;
        }
        // Who asked for usage gets `null` in every chunk but the last; that parses as no object and costs the search.
        if let Some(usage) = self.usage_finder.find(data).and_then(|at| object_at(data, at + USAGE.len())) {
            self.openai_usage = Some(usage);
        }
        let has_error = || self.error_finder.find(data).is_some() && has_top_level_error(data);
        if self.error.is_none() && (name == Some(b"error") || has_error()) {
            let mut error = decode_error(Dialect::OpenAi, 500, data);
            error.status = openai::error::status(&error);
            // What else such a chunk holds, a reason to stop for one, is part of the error.
            self.fail(error);
        } else if !self.has_content {
            self.has_content = says_any(data, &OPENAI_CONTENT);
            self.has_stopped |= says_any(data, &[b"\"finish_reason\""]);
        }
    }

    fn observe_gemini(&mut self, data: &[u8]) {
        let seen = gemini::look(data, !self.has_content);
        if let Some(error) = seen.error {
            if self.error.is_none() {
                self.fail(error);
            }
            return;
        }
        if let Some(later) = seen.usage {
            self.gemini_usage.get_or_insert_default().update(later);
        }
        self.has_content |= seen.has_content;
        if let Some(stops) = seen.stops {
            self.has_stopped |= stops && !self.has_content;
            self.is_ended = stops;
        }
    }

    fn observe_cohere(&mut self, name: Option<&[u8]>, data: &[u8]) {
        let seen = cohere::look(name, data);
        self.cohere_usage = seen.usage.or(self.cohere_usage);
        match seen.error {
            Some(error) if self.error.is_none() => self.fail(error),
            Some(_) => {}
            None => {
                self.has_stopped |= seen.is_end && !self.has_content;
                self.is_ended |= seen.is_end;
            }
        }
        self.has_content |= seen.has_content;
    }

    /// A text's block has no start; one of a call has its name.
    fn observe_bedrock(&mut self, kind: &[u8], payload: &[u8]) {
        match kind {
            b"contentBlockDelta" => self.has_content = true,
            b"contentBlockStart" if !self.has_content => {
                self.has_content = says_any(payload, &[b"\"start\""]);
            }
            b"messageStop" => {
                self.has_stopped |= !self.has_content;
                self.is_ended = true;
            }
            b"metadata" => {
                let found =
                    self.usage_finder.find(payload).and_then(|at| object_at(payload, at + USAGE.len()));
                self.bedrock_usage = found.or(self.bedrock_usage);
            }
            _ => {}
        }
    }

    fn observe_anthropic(&mut self, name: Option<&[u8]>, data: &[u8]) {
        match name.or_else(|| anthropic_name(data)) {
            Some(b"content_block_delta") => self.has_content = true,
            Some(b"content_block_start") if !self.has_content => self.has_content = begins_content(data),
            Some(name @ (b"message_start" | b"message_delta")) => {
                if name == b"message_delta" && !self.has_content {
                    self.has_stopped |= says_any(data, &[b"\"stop_reason\""]);
                }
                let found = self.usage_finder.find(data).and_then(|at| object_at(data, at + USAGE.len()));
                if let Some(later) = found {
                    self.anthropic_usage.get_or_insert_default().update(later);
                }
            }
            Some(b"message_stop") => self.is_ended = true,
            Some(b"error") if self.error.is_none() => {
                let mut error = decode_error(Dialect::Anthropic, 500, data);
                error.status = anthropic::error::status(&error.kind);
                self.fail(error);
            }
            _ => {}
        }
    }
}

/// The event's `type` when the provider left out its name; every event's data begins with it.
fn anthropic_name(data: &[u8]) -> Option<&[u8]> {
    const TYPE: &[u8] = b"\"type\"";
    let at = memchr::memmem::find(data.get(..64).unwrap_or(data), TYPE)?;
    let value = value_at(data, at + TYPE.len())?.strip_prefix(b"\"")?;
    value.get(..memchr::memchr(b'"', value)?)
}

/// What a chunk says something by; without the opening quote, so that `reasoning_content` is met, too.
/// Some providers say it elsewhere than in OpenAI's places.
const OPENAI_CONTENT: [&[u8]; 10] = [
    b"content\"",
    b"tool_calls\"",
    b"reasoning\"",
    b"reasoning_details\"",
    b"refusal\"",
    b"function_call\"",
    b"audio\"",
    b"images\"",
    b"thinking\"",
    b"text\"",
];

/// Whether one of these fields is neither null nor empty. Asked until the first yes.
fn says_any(data: &[u8], fields: &[&[u8]]) -> bool {
    fields.iter().any(|field| {
        memchr::memmem::find_iter(data, field).any(|at| {
            let value = value_at(data, at + field.len()).unwrap_or_default();
            matches!(value, [b'"', next, ..] if *next != b'"')
                || matches!(value, [b'[', next, ..] if *next != b']')
                || matches!(value, [b'{', next, ..] if *next != b'}')
        })
    })
}

/// Whether a block's start says something: a text or a thought begins empty, as a rule, and a tool's call with its name.
fn begins_content(data: &[u8]) -> bool {
    const BLOCK: &[u8] = b"\"content_block\"";
    const TYPE: &[u8] = b"\"type\"";
    let Some(block) = memchr::memmem::find(data, BLOCK).and_then(|at| value_at(data, at + BLOCK.len()))
    else {
        return false;
    };
    let kind = memchr::memmem::find(block, TYPE).and_then(|at| value_at(block, at + TYPE.len()));
    let fills = kind.is_some_and(|kind| kind.starts_with(b"\"text\"") || kind.starts_with(b"\"thinking\""));
    !fills || says_any(block, &[b"\"text\"", b"\"thinking\""])
}

/// What follows a key that ends at `at`: the value's first byte and on.
pub(super) fn value_at(data: &[u8], at: usize) -> Option<&[u8]> {
    data.get(at..)?.trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii_start)
}

/// Whether a chunk is an error: an `error` object of its own, not one inside a choice (a content filter's, say).
fn has_top_level_error(data: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct WithError<'a> {
        #[serde(borrow)]
        error: Option<&'a serde_json::value::RawValue>,
    }
    let error = serde_json::from_slice::<WithError<'_>>(data).ok().and_then(|chunk| chunk.error);
    error.is_some_and(|error| error.get().starts_with('{'))
}

fn object_at<'a, T: Deserialize<'a>>(data: &'a [u8], at: usize) -> Option<T> {
    value_at(data, at).filter(|value| value.first() == Some(&b'{')).and_then(json::prefix)
}

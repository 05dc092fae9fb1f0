//! Looks at answers that pass through in the provider's own dialect and changes nothing: tokens, the first content,
//! the end, an error. It searches for words and parses only what stands behind them.

use memchr::memmem::Finder;
use memchr::memrchr_iter;
use serde::Deserialize;

use super::counts::{self, Counts};
use super::json;
use super::{Dialect, anthropic, decode_error, openai};
use crate::chat::Usage;
use crate::error::UpstreamError;

/// Tokens of a whole answer, when the provider reported them.
pub fn usage_of(dialect: Dialect, response_body: &[u8]) -> Option<Usage> {
    match dialect {
        Dialect::OpenAi => {
            top_level_usage::<openai::usage::WireUsage>(response_body).map(|wire| wire.usage())
        }
        Dialect::Anthropic => {
            top_level_usage::<anthropic::usage::WireUsage>(response_body).map(|wire| wire.usage())
        }
    }
}

/// How much may stand behind `usage` for the shorter way, bytes; providers send it last or nearly so.
const TAIL_BYTES_MAX: usize = 512;

#[derive(Deserialize)]
struct WithUsage<T> {
    usage: Option<T>,
}

/// The last `"usage"` is read alone when what follows shows that it belongs to the outermost object; else the body is
/// read from its start (a tool's arguments may hold a `usage` of their own).
fn top_level_usage<T: Counts + for<'a> Deserialize<'a>>(body: &[u8]) -> Option<T> {
    let at = last_usage(body)?;
    // Behind a backslash the quote is part of a text.
    let is_key = at.checked_sub(1).and_then(|before| body.get(before)) != Some(&b'\\');
    let read = value_at(body, at + USAGE.len()).filter(|_| is_key).and_then(counts::read);
    match read {
        Some((usage, after)) if ends_outermost(after) => Some(usage),
        _ => serde_json::from_slice::<WithUsage<T>>(body).ok()?.usage,
    }
}

/// Where the last `"usage"` stands; providers send it last or nearly so.
fn last_usage(body: &[u8]) -> Option<usize> {
    let starts = memrchr_iter(b'u', body).filter_map(|at| at.checked_sub(1));
    starts.into_iter().find(|&at| body.get(at..).is_some_and(|rest| rest.starts_with(USAGE)))
}

const USAGE: &[u8] = b"\"usage\"";
const ERROR: &[u8] = b"\"error\"";

/// Whether nothing but the end of one object, and perhaps more of its fields, is in `tail`: then what stood before it
/// was that object's field, and no other is around it.
fn ends_outermost(tail: &[u8]) -> bool {
    tail.len() <= TAIL_BYTES_MAX
        && closing(tail.trim_ascii_end()).is_some_and(|at| at + 1 == tail.trim_ascii_end().len())
}

/// Where the bracket stands that closes what was opened before `bytes`, which begin outside a string.
fn closing(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut is_string, mut is_escaped) = (1_u32, false, false);
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            b'{' | b'[' if !is_string => depth = depth.saturating_add(1),
            b'}' | b']' if !is_string => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Watches a stream that passes through.
pub struct StreamObserver {
    dialect: Dialect,
    usage_finder: Finder<'static>,
    error_finder: Finder<'static>,
    openai_usage: Option<openai::usage::WireUsage>,
    anthropic_usage: Option<anthropic::usage::WireUsage>,
    has_content: bool,
    is_ended: bool,
    error: Option<UpstreamError>,
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
            has_content: false,
            is_ended: false,
            error: None,
        }
    }

    /// Looks at one event: its name, when it has one, and its data.
    pub fn observe(&mut self, name: Option<&[u8]>, data: &[u8]) {
        match self.dialect {
            Dialect::OpenAi => self.observe_openai(name, data),
            Dialect::Anthropic => self.observe_anthropic(name, data),
        }
    }

    /// Tokens so far, when the provider reported any.
    pub fn usage(&self) -> Option<Usage> {
        match self.dialect {
            Dialect::OpenAi => self.openai_usage.map(|wire| wire.usage()),
            Dialect::Anthropic => self.anthropic_usage.map(|wire| wire.usage()),
        }
    }

    /// Whether anything of the answer itself has come.
    pub fn has_content(&self) -> bool {
        self.has_content
    }

    /// Whether the dialect's last word has come (`[DONE]`, `message_stop`).
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// The error that the provider sent in the stream.
    pub fn error(&self) -> Option<&UpstreamError> {
        self.error.as_ref()
    }

    fn observe_openai(&mut self, name: Option<&[u8]>, data: &[u8]) {
        if data == b"[DONE]" {
            self.is_ended = true;
            return;
        }
        if !self.has_content {
            self.has_content = openai_content(data);
        }
        // Who asked for usage gets `null` in every chunk but the last; that parses as no object and costs the search.
        if let Some(usage) = self.usage_finder.find(data).and_then(|at| object_at(data, at + USAGE.len())) {
            self.openai_usage = Some(usage);
        }
        let has_error = || self.error_finder.find(data).is_some() && has_top_level_error(data);
        if self.error.is_none() && (name == Some(b"error") || has_error()) {
            let mut error = decode_error(Dialect::OpenAi, 500, data);
            error.status = openai::error::status(&error);
            self.error = Some(error);
        }
    }

    fn observe_anthropic(&mut self, name: Option<&[u8]>, data: &[u8]) {
        match name.or_else(|| anthropic_name(data)) {
            Some(b"content_block_delta") => self.has_content = true,
            Some(b"message_start" | b"message_delta") => {
                let found = self.usage_finder.find(data).and_then(|at| object_at(data, at + USAGE.len()));
                if let Some(later) = found {
                    self.anthropic_usage.get_or_insert_default().update(later);
                }
            }
            Some(b"message_stop") => self.is_ended = true,
            Some(b"error") if self.error.is_none() => {
                let mut error = decode_error(Dialect::Anthropic, 500, data);
                error.status = anthropic::error::status(&error.kind);
                self.error = Some(error);
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

/// Whether a chunk says something: a delta field that is neither null nor empty. Asked until the first yes.
fn openai_content(data: &[u8]) -> bool {
    // Without the opening quote, so that `reasoning_content` is met, too.
    const FIELDS: [&[u8]; 5] =
        [b"content\"", b"tool_calls\"", b"reasoning\"", b"refusal\"", b"function_call\""];
    FIELDS.iter().any(|field| {
        memchr::memmem::find_iter(data, field).any(|at| {
            let value = value_at(data, at + field.len()).unwrap_or_default();
            matches!(value, [b'"', next, ..] if *next != b'"')
                || matches!(value, [b'[', next, ..] if *next != b']')
                || matches!(value, [b'{', next, ..] if *next != b'}')
        })
    })
}

/// What follows a key that ends at `at`: the value's first byte and on.
fn value_at(data: &[u8], at: usize) -> Option<&[u8]> {
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

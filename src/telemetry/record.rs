//! One request's log row as it leaves a core: plain owned data, bodies as raw bytes. What the columns hold is made of it
//! on the log thread (`writer`), where time is cheap.

use std::net::IpAddr;

use uuid::Uuid;

use crate::chat::Usage;
use crate::dialect::Dialect;
use crate::routing::decision::DECISION_BYTES_MAX;
use crate::routing::plan::ATTEMPTS_MAX;

/// Everything that a core knows about one ended request.
#[derive(Debug)]
pub struct Record {
    /// UUIDv7, made when the request began.
    pub id: Uuid,
    /// When the request began, µs since the epoch; fixed then, part of the row's primary key.
    pub timestamp_us: i64,
    /// The caller's dialect.
    pub dialect: Dialect,
    /// `chat.completion`, `messages`, …: the operation's name in the row.
    pub object_type: &'static str,
    /// Provider's name in the config; empty when none was reached.
    pub provider: String,
    /// Model as it was asked of the provider; the caller's words when none was resolved.
    pub model: String,
    /// The answer's status, 499 when the caller left.
    pub status_code: u16,
    /// `Kind::code()` of the fault, or the provider's status class; `None`: success.
    pub error_kind: Option<&'static str>,
    /// The error's sentence.
    pub error_message: Option<String>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// Key's name and id in the config.
    pub selected_key_name: String,
    /// See `selected_key_name`.
    pub selected_key_id: String,
    /// Sends to providers, 0 when none was reached; an attempt whose kept connection had died has two.
    pub attempts: u32,
    /// Place in the list of fallbacks of whose answer the caller got, from 1; 0: the primary.
    pub fallback_index: u16,
    /// Every attempt in its order, at most [`TRAIL_MAX`].
    pub trail: Vec<Attempted>,
    /// What was decided and by what, JSON of at most [`DECISION_BYTES_MAX`]; `None`: nothing was.
    pub decision: Option<String>,
    /// Whole request, head read to last byte sent, µs.
    pub latency_us: u64,
    /// To the first byte of the answer's content, µs.
    pub first_token_us: Option<u64>,
    /// Of `latency_us`, what was not spent waiting on sockets, µs.
    pub overhead_us: u64,
    /// Tokens, when the provider reported them.
    pub usage: Option<Usage>,
    /// The caller's address: the peer's, or what trusted proxies said.
    pub client_ip: IpAddr,
    /// Core index.
    pub core: u16,
    /// Snapshot's generation.
    pub generation: u64,
    /// The caller's body, at most [`CONTENT_BYTES_MAX`]; `None` when content logging is off.
    pub input: Option<Vec<u8>>,
    /// What the caller was sent (JSON, or the stream's SSE bytes), same bound.
    pub output: Option<Vec<u8>>,
    /// A body was cut at its bound, or dropped because the ring's byte budget was spent.
    pub content_truncated: bool,
}

/// One attempt of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// Place in the list of fallbacks, from 1; 0: the primary.
    pub leg: u16,
    /// Names of the provider and the key; `None`: those of the record, as is usual, so that they are not kept twice.
    pub by: Option<Box<(String, String)>>,
    /// What became of it.
    pub outcome: Outcome,
    /// Waited before it for its sake, µs.
    pub wait_us: u64,
    /// From its beginning to its failure or the answer's end, µs.
    pub took_us: u64,
    /// Of `took_us`, waited for a place with the provider (`concurrency_and_buffer_size`).
    pub queued_us: u64,
}

/// See [`Attempted::outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider's status, be it an error's.
    Status(u16),
    /// `Kind::code()` of the fault.
    Fault(&'static str),
    /// It was still under way when the node ended.
    CutOff,
}

/// Bound on the attempts of a record, as many as a request may make.
pub const TRAIL_MAX: usize = ATTEMPTS_MAX as usize;

/// Bound on each logged body, bytes.
pub const CONTENT_BYTES_MAX: usize = 256 * 1024;

/// Bound on each name in a record (provider, model, key), bytes: some are the caller's words.
pub const NAME_BYTES_MAX: usize = 256;

/// Bound on the error's sentence, bytes.
pub const MESSAGE_BYTES_MAX: usize = 4096;

impl Record {
    /// Memory that it holds, bytes.
    pub fn bytes(&self) -> usize {
        let body = |body: &Option<Vec<u8>>| body.as_ref().map_or(0, Vec::capacity);
        let names = [&self.provider, &self.model, &self.selected_key_name, &self.selected_key_id];
        size_of::<Self>()
            + body(&self.input)
            + body(&self.output)
            + self.error_message.as_ref().map_or(0, String::capacity)
            + names.into_iter().map(String::capacity).sum::<usize>()
            + self.decision.as_ref().map_or(0, String::capacity)
            + self.trail.capacity() * size_of::<Attempted>()
            + self.trail.iter().filter_map(|attempted| attempted.by.as_deref()).map(by_bytes).sum::<usize>()
    }

    /// Gives up the bodies and marks the row.
    pub fn drop_content(&mut self) {
        self.content_truncated |= self.input.is_some() || self.output.is_some();
        self.input = None;
        self.output = None;
    }

    /// Cuts every text to its bound.
    pub fn clip_texts(&mut self) {
        for name in
            [&mut self.provider, &mut self.model, &mut self.selected_key_name, &mut self.selected_key_id]
        {
            clip(name, NAME_BYTES_MAX);
        }
        if let Some(message) = &mut self.error_message {
            clip(message, MESSAGE_BYTES_MAX);
        }
        self.trail.truncate(TRAIL_MAX);
        for (provider, key) in self.trail.iter_mut().filter_map(|attempted| attempted.by.as_deref_mut()) {
            clip(provider, NAME_BYTES_MAX);
            clip(key, NAME_BYTES_MAX);
        }
        // Cut JSON is none.
        self.decision.take_if(|decision| decision.len() > DECISION_BYTES_MAX);
    }
}

fn by_bytes((provider, key): &(String, String)) -> usize {
    size_of::<(String, String)>() + provider.capacity() + key.capacity()
}

fn clip(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.shrink_to_fit();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A successful request without bodies.
    pub(in crate::telemetry) fn record() -> Record {
        Record {
            id: Uuid::now_v7(),
            timestamp_us: 1_700_000_000_000_000,
            dialect: Dialect::OpenAi,
            object_type: "chat.completion",
            provider: "openai".to_owned(),
            model: "gpt-4o-mini".to_owned(),
            status_code: 200,
            error_kind: None,
            error_message: None,
            stream: false,
            selected_key_name: "first".to_owned(),
            selected_key_id: "1".to_owned(),
            attempts: 1,
            fallback_index: 0,
            trail: vec![Attempted {
                leg: 0,
                by: None,
                outcome: Outcome::Status(200),
                wait_us: 0,
                took_us: 1_400,
                queued_us: 0,
            }],
            decision: None,
            latency_us: 1_500,
            first_token_us: None,
            overhead_us: 40,
            usage: None,
            client_ip: IpAddr::from([192, 0, 2, 7]),
            core: 0,
            generation: 1,
            input: None,
            output: None,
            content_truncated: false,
        }
    }
}

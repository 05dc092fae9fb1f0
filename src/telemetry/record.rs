//! One request's log row as it leaves a core: plain owned data, bodies as raw bytes. What the columns hold is made of it
//! on the log thread (`writer`), where time is cheap.

use uuid::Uuid;

use crate::chat::Usage;
use crate::dialect::Dialect;

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
    /// Sends to providers, 0 when none was reached.
    pub attempts: u32,
    /// Whole request, head read to last byte sent, µs.
    pub latency_us: u64,
    /// To the first byte of the answer's content, µs.
    pub first_token_us: Option<u64>,
    /// Of `latency_us`, what was not spent waiting on sockets, µs.
    pub overhead_us: u64,
    /// Tokens, when the provider reported them.
    pub usage: Option<Usage>,
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

/// Bound on each logged body, bytes.
pub const CONTENT_BYTES_MAX: usize = 256 * 1024;

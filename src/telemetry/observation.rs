//! What one ended request adds to a core's counters, as plain values for `cells`.

use crate::chat::Usage;

/// What one ended request adds to the counters.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The route's template.
    pub path: &'static str,
    /// HTTP method; one that no route has: `other`.
    pub method: &'static str,
    /// HTTP status answered; 499 when the caller left.
    pub status: u16,
    /// Request body, bytes.
    pub request_bytes: u64,
    /// Answer's body, bytes.
    pub response_bytes: u64,
    /// Head read to last byte sent, µs.
    pub duration_us: u64,
    /// For requests to a model.
    pub inference: Option<InferenceObservation<'a>>,
}

/// What a request to a model adds beside.
#[derive(Clone, Copy, Debug)]
pub struct InferenceObservation<'a> {
    /// Provider's name in the config; empty when none was reached.
    pub provider: &'a str,
    /// Model without the provider's prefix.
    pub model: &'a str,
    /// Whether `model` may be a label: the config names it, or a provider answered it with 2xx just now. Once it was,
    /// this core names it in later errors too.
    pub model_is_known: bool,
    /// `chat_completion`, `chat_completion_stream`, …
    pub request_type: &'static str,
    /// Key's id in the config; empty when none was chosen.
    pub key_id: &'a str,
    /// Key's name in the config.
    pub key_name: &'a str,
    /// Place in the list of fallbacks of the provider, from 1; 0: the primary.
    pub fallback_index: u16,
    /// Attempts after the first, fallbacks' first ones not counted.
    pub retries: u64,
    /// Whether its one attempt served it; the attempts of others are counted each, by
    /// [`Cells::attempted`](super::cells::Cells::attempted).
    pub is_at_once: bool,
    /// Whether the caller got what was asked for.
    pub is_success: bool,
    /// `Kind::code()`; unused with `is_success`.
    pub error_kind: &'static str,
    /// Sent to last byte received, µs; `None`: nothing was sent.
    pub upstream_latency_us: Option<u64>,
    /// Of the request's time, what was not spent waiting on sockets, µs.
    pub overhead_us: u64,
    /// To the first byte of the answer's content, µs.
    pub first_token_us: Option<u64>,
    /// Tokens, when the provider reported them.
    pub usage: Option<Usage>,
}

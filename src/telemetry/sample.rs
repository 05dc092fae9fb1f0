//! One core's counters at one moment, as plain data that goes to another thread. They are counted in `cells`, and worded
//! in `metrics`.

use super::histogram::HistogramSample;

/// Labels of HTTP metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HttpLabels {
    /// Route's template.
    pub path: &'static str,
    /// HTTP method.
    pub method: &'static str,
    /// HTTP status; 0 stands for `other`.
    pub status: u16,
}

/// Labels of inference metrics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InferenceLabels {
    /// Provider's name.
    pub provider: Box<str>,
    /// Model, or `other`.
    pub model: Box<str>,
    /// The `method` label.
    pub request_type: &'static str,
    /// Key's id.
    pub key_id: Box<str>,
    /// Key's name.
    pub key_name: Box<str>,
    /// Place in the list of fallbacks, from 1; 0: the primary.
    pub fallback_index: u16,
}

/// What is counted per HTTP label set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSample {
    /// Request bodies, bytes.
    pub request_bytes: HistogramSample,
    /// Answers' bodies, bytes.
    pub response_bytes: HistogramSample,
    /// µs; its count is the number of requests.
    pub duration_us: HistogramSample,
}

/// What is counted per inference label set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InferenceSample {
    /// Requests that ended well.
    pub successes: u64,
    /// Of these, those that had one attempt.
    pub served_at_once: u64,
    /// Attempts after the first of a request, fallbacks' first ones not counted.
    pub retries: HistogramSample,
    /// Requests that did not, by status and kind.
    pub errors: Vec<(u16, &'static str, u64)>,
    /// Upstream latency of the successes, µs.
    pub latency_success_us: HistogramSample,
    /// Upstream latency of the others, µs.
    pub latency_error_us: HistogramSample,
    /// Our own share, µs.
    pub overhead_us: HistogramSample,
    /// Time to the first token, µs.
    pub first_token_us: HistogramSample,
    /// Tokens as in [`Usage`](crate::chat::Usage).
    pub prompt_tokens: u64,
    /// See `prompt_tokens`.
    pub completion_tokens: u64,
    /// See `prompt_tokens`.
    pub cached_read_tokens: u64,
}

/// The ways that requests took on one core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaysSample {
    /// By provider.
    pub providers: Vec<(Box<str>, WaySample)>,
    /// Moves from one key to another.
    pub rotations: Vec<(RotationLabels, u64)>,
}

/// What is counted per provider. Requests that were served by their first attempt are not among it: they are
/// [`InferenceSample::served_at_once`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaySample {
    /// Attempts by outcome.
    pub attempts: Vec<(&'static str, u64)>,
    /// Attempts after the first of a request on it.
    pub retries: u64,
    /// Requests that came to it as a fallback.
    pub fallbacks: u64,
    /// Waits for a place, µs, of those who waited.
    pub queue_wait_us: HistogramSample,
}

/// Labels of a move from one key to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RotationLabels {
    /// Provider's name.
    pub provider: Box<str>,
    /// Model, or `other`.
    pub model: Box<str>,
    /// Id of the key that failed.
    pub key_id: Box<str>,
    /// Its name.
    pub key_name: Box<str>,
    /// Why.
    pub reason: &'static str,
}

/// What a core counts of the connections that come to it, beside those that it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arriving {
    /// Accepted here, served by another core.
    HandedOver,
    /// Closed at once, or after a 503: the node serves as many as it may.
    Refused,
    /// A TLS handshake that came to its end.
    Shaken,
    /// A TLS handshake that failed, or a caller that spoke no TLS.
    Unshaken,
    /// A PROXY header that was missing, malformed or late.
    Unannounced,
}

impl Arriving {
    /// How many there are.
    pub const COUNT: usize = Self::Unannounced as usize + 1;
}

/// A key of the config that new requests begin with, as one core sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHealth {
    /// The provider's name.
    pub provider: Box<str>,
    /// The key's name; empty: the provider has none.
    pub key_name: Box<str>,
    /// The key's id; empty likewise.
    pub key_id: Box<str>,
    /// Its own breaker, without its origin's.
    pub breaker: BreakerState,
    /// How much longer its cooldown lasts, ms; 0: it has none.
    pub cooling_ms: u64,
    /// Requests of the core that are under way by it.
    pub in_flight: u32,
}

/// A provider's origin, as one core sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginHealth {
    /// The provider's name. Providers with equal origins have one breaker, which is listed for each.
    pub provider: Box<str>,
    /// Its breaker.
    pub breaker: BreakerState,
}

/// Of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BreakerState {
    /// Requests pass.
    Closed,
    /// One request probes, or may.
    HalfOpen,
    /// It is chosen only when nobody else can serve.
    Open,
}

/// A provider with `concurrency_and_buffer_size`, on the whole node: every core reports the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSample {
    /// The provider's name.
    pub provider: Box<str>,
    /// Places taken.
    pub taken: u32,
    /// Requests that wait for one.
    pub waiting: u32,
}

/// One core's counters at one moment: plain data for another thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Core index.
    pub core: u16,
    /// HTTP counters.
    pub http: Vec<(HttpLabels, HttpSample)>,
    /// Inference counters.
    pub inference: Vec<(InferenceLabels, InferenceSample)>,
    /// Attempts and what led to them.
    pub ways: WaysSample,
    /// Requests to models whose caller left.
    pub cancelled: u64,
    /// Requests now under way, by request type.
    pub active: Vec<(&'static str, u64)>,
    /// Downstream connections now open.
    pub connections_open: u64,
    /// Downstream connections accepted since the start.
    pub connections_accepted: u64,
    /// By [`Arriving`], since the start.
    pub arriving: [u64; Arriving::COUNT],
    /// Panics caught since the start.
    pub panics: u64,
    /// The config that new requests begin with.
    pub generation: u64,
    /// Older configs that requests still hold.
    pub old_snapshots: u64,
    /// Bodies now held, bytes.
    pub body_bytes_held: u64,
    /// Log records handed to the ring since the start.
    pub records_queued: u64,
    /// Log records that a full ring refused since the start.
    pub records_refused: u64,
    /// Log records whose bodies the ring's byte bound took since the start.
    pub contents_dropped: u64,
    /// Keys, in the config's order.
    pub keys: Vec<KeyHealth>,
    /// Origins, by provider.
    pub origins: Vec<OriginHealth>,
    /// Queues for places, by provider.
    pub queues: Vec<QueueSample>,
}

//! The neutral chat model that stands between dialects: what a conversation is, whoever words it. It knows no wire
//! format and does no work of its own.

/// Token counts as the provider reported them, in OpenAI's meaning (`prompt` includes cached and cache-written).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens.
    pub prompt_tokens: u64,
    /// Output tokens.
    pub completion_tokens: u64,
    /// Sum, as reported or added up.
    pub total_tokens: u64,
    /// Of the input, read from the provider's prompt cache.
    pub cached_read_tokens: u64,
    /// Of the input, written to the provider's prompt cache.
    pub cached_write_tokens: u64,
    /// Of the output, spent on reasoning.
    pub reasoning_tokens: u64,
}

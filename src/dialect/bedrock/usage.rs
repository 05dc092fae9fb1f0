//! Bedrock's token counts, read and written
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html>). Its `inputTokens` leaves out what
//! the cache held; the neutral `prompt_tokens` does not.

use serde::Deserialize;

use crate::chat::Usage;
use crate::dialect::counts::Counts;
use crate::dialect::json::Object;

/// A `usage` object.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::dialect) struct WireUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_write_input_tokens: Option<u64>,
}

impl Counts for WireUsage {
    fn set(&mut self, outer: &[u8], key: &[u8], count: u64) {
        match (outer, key) {
            (b"", b"inputTokens") => self.input_tokens = Some(count),
            (b"", b"outputTokens") => self.output_tokens = Some(count),
            (b"", b"cacheReadInputTokens") => self.cache_read_input_tokens = Some(count),
            (b"", b"cacheWriteInputTokens") => self.cache_write_input_tokens = Some(count),
            _ => {}
        }
    }
}

impl WireUsage {
    /// In neutral words.
    pub(in crate::dialect) fn usage(&self) -> Usage {
        let cached_read_tokens = self.cache_read_input_tokens.unwrap_or(0);
        let cached_write_tokens = self.cache_write_input_tokens.unwrap_or(0);
        let fresh_tokens = self.input_tokens.unwrap_or(0);
        let prompt_tokens =
            fresh_tokens.saturating_add(cached_read_tokens).saturating_add(cached_write_tokens);
        let completion_tokens = self.output_tokens.unwrap_or(0);
        Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
            cached_read_tokens,
            cached_write_tokens,
            ..Usage::default()
        }
    }
}

/// Writes a `usage` object.
pub(super) fn write(out: &mut Vec<u8>, usage: &Usage) {
    let cached_tokens = usage.cached_read_tokens.saturating_add(usage.cached_write_tokens);
    let mut object = Object::begin(out);
    object.number("inputTokens", usage.prompt_tokens.saturating_sub(cached_tokens));
    object.number("outputTokens", usage.completion_tokens);
    object.number("totalTokens", usage.total_tokens);
    object.number("cacheReadInputTokens", usage.cached_read_tokens);
    object.number("cacheWriteInputTokens", usage.cached_write_tokens);
    object.end();
}

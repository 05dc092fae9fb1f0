//! OpenAI's token counts, read and written.

use serde::Deserialize;

use crate::chat::Usage;
use crate::dialect::counts::Counts;
use crate::dialect::json::Object;

/// A `usage` object of an answer or a stream's last chunk.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(in crate::dialect) struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<WirePromptDetails>,
    completion_tokens_details: Option<WireCompletionDetails>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct WirePromptDetails {
    cached_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct WireCompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl Counts for WireUsage {
    fn set(&mut self, outer: &[u8], key: &[u8], count: u64) {
        match (outer, key) {
            (b"", b"prompt_tokens") => self.prompt_tokens = Some(count),
            (b"", b"completion_tokens") => self.completion_tokens = Some(count),
            (b"", b"total_tokens") => self.total_tokens = Some(count),
            (b"prompt_tokens_details", b"cached_tokens") => {
                self.prompt_tokens_details = Some(WirePromptDetails { cached_tokens: Some(count) });
            }
            (b"completion_tokens_details", b"reasoning_tokens") => {
                self.completion_tokens_details =
                    Some(WireCompletionDetails { reasoning_tokens: Some(count) });
            }
            _ => {}
        }
    }
}

impl WireUsage {
    /// In neutral words.
    pub(in crate::dialect) fn usage(&self) -> Usage {
        let prompt_tokens = self.prompt_tokens.unwrap_or(0);
        let completion_tokens = self.completion_tokens.unwrap_or(0);
        Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: self.total_tokens.unwrap_or(prompt_tokens.saturating_add(completion_tokens)),
            cached_read_tokens: self.prompt_tokens_details.and_then(|one| one.cached_tokens).unwrap_or(0),
            reasoning_tokens: self
                .completion_tokens_details
                .and_then(|one| one.reasoning_tokens)
                .unwrap_or(0),
            ..Usage::default()
        }
    }
}

/// Writes a `usage` object.
pub(super) fn write(out: &mut Vec<u8>, usage: &Usage) {
    let mut object = Object::begin(out);
    object.number("prompt_tokens", usage.prompt_tokens);
    object.number("completion_tokens", usage.completion_tokens);
    object.number("total_tokens", usage.total_tokens);
    let mut prompt = Object::begin(object.field("prompt_tokens_details"));
    prompt.number("cached_tokens", usage.cached_read_tokens);
    prompt.end();
    let mut completion = Object::begin(object.field("completion_tokens_details"));
    completion.number("reasoning_tokens", usage.reasoning_tokens);
    completion.end();
    object.end();
}

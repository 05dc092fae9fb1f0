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
    cache_write_tokens: Option<u64>,
    audio_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct WireCompletionDetails {
    reasoning_tokens: Option<u64>,
    audio_tokens: Option<u64>,
}

impl Counts for WireUsage {
    fn set(&mut self, outer: &[u8], key: &[u8], count: u64) {
        if let Some(place) = self.place(outer, key) {
            *place = Some(count);
        }
    }
}

impl WireUsage {
    /// Where a count stands. By comparisons: a `match` goes through such texts byte by byte.
    fn place(&mut self, outer: &[u8], key: &[u8]) -> Option<&mut Option<u64>> {
        if outer.is_empty() {
            if key == b"prompt_tokens" {
                return Some(&mut self.prompt_tokens);
            } else if key == b"completion_tokens" {
                return Some(&mut self.completion_tokens);
            } else if key == b"total_tokens" {
                return Some(&mut self.total_tokens);
            }
        } else if outer == b"prompt_tokens_details" {
            let details = self.prompt_tokens_details.get_or_insert_default();
            if key == b"cached_tokens" {
                return Some(&mut details.cached_tokens);
            } else if key == b"cache_write_tokens" {
                return Some(&mut details.cache_write_tokens);
            } else if key == b"audio_tokens" {
                return Some(&mut details.audio_tokens);
            }
        } else if outer == b"completion_tokens_details" {
            let details = self.completion_tokens_details.get_or_insert_default();
            if key == b"reasoning_tokens" {
                return Some(&mut details.reasoning_tokens);
            } else if key == b"audio_tokens" {
                return Some(&mut details.audio_tokens);
            }
        }
        None
    }

    /// In neutral words.
    pub(in crate::dialect) fn usage(&self) -> Usage {
        let prompt_tokens = self.prompt_tokens.unwrap_or(0);
        let completion_tokens = self.completion_tokens.unwrap_or(0);
        let prompt = self.prompt_tokens_details.unwrap_or_default();
        let completion = self.completion_tokens_details.unwrap_or_default();
        Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: self.total_tokens.unwrap_or(prompt_tokens.saturating_add(completion_tokens)),
            cached_read_tokens: prompt.cached_tokens.unwrap_or(0),
            cached_write_tokens: prompt.cache_write_tokens.unwrap_or(0),
            reasoning_tokens: completion.reasoning_tokens.unwrap_or(0),
            audio_prompt_tokens: prompt.audio_tokens.unwrap_or(0),
            audio_completion_tokens: completion.audio_tokens.unwrap_or(0),
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
    for (name, count) in
        [("cache_write_tokens", usage.cached_write_tokens), ("audio_tokens", usage.audio_prompt_tokens)]
    {
        if count > 0 {
            prompt.number(name, count);
        }
    }
    prompt.end();
    let mut completion = Object::begin(object.field("completion_tokens_details"));
    completion.number("reasoning_tokens", usage.reasoning_tokens);
    if usage.audio_completion_tokens > 0 {
        completion.number("audio_tokens", usage.audio_completion_tokens);
    }
    completion.end();
    object.end();
}

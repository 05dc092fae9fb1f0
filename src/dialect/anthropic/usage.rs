//! Anthropic's token counts, read and written. Its `input_tokens` leaves out what the cache held; the neutral
//! `prompt_tokens` does not.

use serde::Deserialize;

use crate::chat::{ServiceTier, Usage};
use crate::dialect::counts::Counts;
use crate::dialect::json::Object;

/// A `usage` object. In a stream they are cumulative and later ones may be partial.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(in crate::dialect) struct WireUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    output_tokens_details: Option<WireDetails>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct WireDetails {
    thinking_tokens: Option<u64>,
}

impl Counts for WireUsage {
    fn set(&mut self, outer: &[u8], key: &[u8], count: u64) {
        match (outer, key) {
            (b"", b"input_tokens") => self.input_tokens = Some(count),
            (b"", b"output_tokens") => self.output_tokens = Some(count),
            (b"", b"cache_read_input_tokens") => self.cache_read_input_tokens = Some(count),
            (b"", b"cache_creation_input_tokens") => self.cache_creation_input_tokens = Some(count),
            (b"output_tokens_details", b"thinking_tokens") => {
                self.output_tokens_details = Some(WireDetails { thinking_tokens: Some(count) });
            }
            _ => {}
        }
    }
}

impl WireUsage {
    /// Takes over what a later report of the same stream says. Counts only grow; one that is smaller, or 0 where it was
    /// known, is a report that leaves it out.
    pub(in crate::dialect) fn update(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.max(self.input_tokens);
        self.output_tokens = later.output_tokens.max(self.output_tokens);
        self.cache_read_input_tokens = later.cache_read_input_tokens.max(self.cache_read_input_tokens);
        self.cache_creation_input_tokens =
            later.cache_creation_input_tokens.max(self.cache_creation_input_tokens);
        self.output_tokens_details = later.output_tokens_details.or(self.output_tokens_details);
    }

    /// In neutral words.
    pub(in crate::dialect) fn usage(&self) -> Usage {
        let cached_read_tokens = self.cache_read_input_tokens.unwrap_or(0);
        let cached_write_tokens = self.cache_creation_input_tokens.unwrap_or(0);
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
            reasoning_tokens: self.output_tokens_details.and_then(|one| one.thinking_tokens).unwrap_or(0),
            ..Usage::default()
        }
    }
}

/// Writes a `usage` object; with how the answer was served, when that is known.
pub(super) fn write(out: &mut Vec<u8>, usage: &Usage, tier: Option<ServiceTier>) {
    let cached_tokens = usage.cached_read_tokens.saturating_add(usage.cached_write_tokens);
    let mut object = Object::begin(out);
    object.number("input_tokens", usage.prompt_tokens.saturating_sub(cached_tokens));
    object.number("cache_creation_input_tokens", usage.cached_write_tokens);
    object.number("cache_read_input_tokens", usage.cached_read_tokens);
    object.number("output_tokens", usage.completion_tokens);
    if usage.reasoning_tokens > 0 {
        let mut details = Object::begin(object.field("output_tokens_details"));
        details.number("thinking_tokens", usage.reasoning_tokens);
        details.end();
    }
    match tier {
        Some(ServiceTier::Priority) => object.text("service_tier", "priority"),
        Some(_) => object.text("service_tier", "standard"),
        None => {}
    }
    object.end();
}

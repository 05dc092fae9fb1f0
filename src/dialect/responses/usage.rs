//! Token counts of a response, read and written. The words are others than a chat completion's, the meaning is the same.

use serde::Deserialize;

use crate::chat::Usage;
use crate::dialect::counts::Counts;
use crate::dialect::json::Object;

/// A `usage` object.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(in crate::dialect) struct WireUsage {
    input_tokens: Option<u64>,
    input_tokens_details: Option<WireInputDetails>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<WireOutputDetails>,
    total_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct WireInputDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct WireOutputDetails {
    reasoning_tokens: Option<u64>,
}

impl Counts for WireUsage {
    fn set(&mut self, outer: &[u8], key: &[u8], count: u64) {
        let place = match (outer, key) {
            (b"", b"input_tokens") => &mut self.input_tokens,
            (b"", b"output_tokens") => &mut self.output_tokens,
            (b"", b"total_tokens") => &mut self.total_tokens,
            (b"input_tokens_details", b"cached_tokens") => {
                &mut self.input_tokens_details.get_or_insert_default().cached_tokens
            }
            (b"input_tokens_details", b"cache_write_tokens") => {
                &mut self.input_tokens_details.get_or_insert_default().cache_write_tokens
            }
            (b"output_tokens_details", b"reasoning_tokens") => {
                &mut self.output_tokens_details.get_or_insert_default().reasoning_tokens
            }
            _ => return,
        };
        *place = Some(count);
    }
}

impl WireUsage {
    /// In neutral words.
    pub(in crate::dialect) fn usage(&self) -> Usage {
        let prompt_tokens = self.input_tokens.unwrap_or(0);
        let completion_tokens = self.output_tokens.unwrap_or(0);
        let input = self.input_tokens_details.unwrap_or_default();
        let output = self.output_tokens_details.unwrap_or_default();
        Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: self.total_tokens.unwrap_or(prompt_tokens.saturating_add(completion_tokens)),
            cached_read_tokens: input.cached_tokens.unwrap_or(0),
            cached_write_tokens: input.cache_write_tokens.unwrap_or(0),
            reasoning_tokens: output.reasoning_tokens.unwrap_or(0),
            ..Usage::default()
        }
    }
}

/// Writes a `usage` object; sound has no place in it.
pub(super) fn write(out: &mut Vec<u8>, usage: &Usage) {
    let mut object = Object::begin(out);
    object.number("input_tokens", usage.prompt_tokens);
    let mut input = Object::begin(object.field("input_tokens_details"));
    input.number("cached_tokens", usage.cached_read_tokens);
    input.number("cache_write_tokens", usage.cached_write_tokens);
    input.end();
    object.number("output_tokens", usage.completion_tokens);
    let mut output = Object::begin(object.field("output_tokens_details"));
    output.number("reasoning_tokens", usage.reasoning_tokens);
    output.end();
    object.number("total_tokens", usage.total_tokens);
    object.end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::counts;

    #[test]
    fn counts_are_read_both_ways_and_written() {
        let usage = Usage {
            prompt_tokens: 36,
            completion_tokens: 87,
            total_tokens: 123,
            cached_read_tokens: 8,
            cached_write_tokens: 4,
            reasoning_tokens: 64,
            ..Usage::default()
        };
        let mut out = Vec::new();
        write(&mut out, &usage);
        assert_eq!(serde_json::from_slice::<WireUsage>(&out).unwrap().usage(), usage);
        let (counted, rest) = counts::read::<WireUsage>(&out).unwrap();
        assert_eq!((counted.usage(), rest), (usage, &b""[..]));
        let short: WireUsage = serde_json::from_str(r#"{"input_tokens":1,"output_tokens":2}"#).unwrap();
        assert_eq!(short.usage().total_tokens, 3);
    }
}

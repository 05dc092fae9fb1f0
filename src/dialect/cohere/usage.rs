//! Cohere's token counts, read and written: `usage` of a chat, `meta` of what else there is
//! (<https://docs.cohere.com/reference/chat#response.body.usage>).

use serde::{Deserialize, Deserializer};

use crate::chat::Usage;
use crate::dialect::counts::Counts;
use crate::dialect::json::Object;

/// A `usage` or `meta` object.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(in crate::dialect) struct WireUsage {
    tokens: Option<WireTokens>,
    billed_units: Option<WireTokens>,
    cached_tokens: Option<Count>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct WireTokens {
    input_tokens: Option<Count>,
    output_tokens: Option<Count>,
}

/// A count; Cohere's types have it as any number.
#[derive(Clone, Copy, Debug)]
struct Count(u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A cast from a float saturates, and makes 0 of what is none.
        f64::deserialize(deserializer).map(|number| Self(number as u64))
    }
}

impl Counts for WireUsage {
    fn set(&mut self, outer: &[u8], key: &[u8], count: u64) {
        let count = Some(Count(count));
        let tokens = match (outer, key) {
            (b"", b"cached_tokens") => {
                self.cached_tokens = count;
                return;
            }
            (b"tokens", _) => self.tokens.get_or_insert_default(),
            (b"billed_units", _) => self.billed_units.get_or_insert_default(),
            _ => return,
        };
        match key {
            b"input_tokens" => tokens.input_tokens = count,
            b"output_tokens" => tokens.output_tokens = count,
            _ => {}
        }
    }
}

impl WireUsage {
    /// In neutral words: what was used, and what is billed where that is all that is told.
    pub(in crate::dialect) fn usage(&self) -> Usage {
        let (used, billed) = (self.tokens.unwrap_or_default(), self.billed_units.unwrap_or_default());
        let count = |used: Option<Count>, billed: Option<Count>| used.or(billed).map_or(0, |count| count.0);
        let prompt_tokens = count(used.input_tokens, billed.input_tokens);
        let completion_tokens = count(used.output_tokens, billed.output_tokens);
        Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
            cached_read_tokens: self.cached_tokens.map_or(0, |count| count.0),
            ..Usage::default()
        }
    }
}

/// Writes a `usage` object.
pub(super) fn write(out: &mut Vec<u8>, usage: &Usage) {
    let mut object = Object::begin(out);
    for name in ["billed_units", "tokens"] {
        let mut tokens = Object::begin(object.field(name));
        tokens.number("input_tokens", usage.prompt_tokens);
        tokens.number("output_tokens", usage.completion_tokens);
        tokens.end();
    }
    object.number("cached_tokens", usage.cached_read_tokens);
    object.end();
}

/// Writes a `meta` object: that of answers which give out no tokens.
pub(super) fn write_meta(out: &mut Vec<u8>, usage: &Usage) {
    let mut object = Object::begin(out);
    let mut version = Object::begin(object.field("api_version"));
    version.text("version", "2");
    version.end();
    let mut billed = Object::begin(object.field("billed_units"));
    billed.number("input_tokens", usage.prompt_tokens);
    billed.end();
    object.end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::counts;

    #[test]
    fn what_is_used_counts_before_what_is_billed() {
        for (text, expected) in [
            (
                r#"{"billed_units":{"input_tokens":5,"output_tokens":6},"tokens":{"input_tokens":71,"output_tokens":9},"cached_tokens":64}"#,
                (71, 9, 64),
            ),
            (r#"{"billed_units":{"input_tokens":5,"output_tokens":6,"search_units":1}}"#, (5, 6, 0)),
            (r#"{"tokens":{"input_tokens":7},"billed_units":{"output_tokens":6}}"#, (7, 6, 0)),
            (r#"{"tokens":null,"api_version":{"version":"2"}}"#, (0, 0, 0)),
        ] {
            let seen =
                |usage: Usage| (usage.prompt_tokens, usage.completion_tokens, usage.cached_read_tokens);
            let typed: WireUsage = serde_json::from_str(text).unwrap();
            assert_eq!(seen(typed.usage()), expected, "{text}");
            let (counted, _) = counts::read::<WireUsage>(text.as_bytes()).unwrap();
            assert_eq!(seen(counted.usage()), expected, "{text}");
        }
        let floats: WireUsage =
            serde_json::from_str(r#"{"tokens":{"input_tokens":7.0,"output_tokens":-1}}"#).unwrap();
        assert_eq!((floats.usage().prompt_tokens, floats.usage().completion_tokens), (7, 0));
    }
}

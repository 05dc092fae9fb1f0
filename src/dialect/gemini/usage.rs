//! Gemini's token counts (<https://ai.google.dev/api/generate-content#UsageMetadata>), read and written. Its candidates
//! leave out what was thought; the neutral `completion_tokens` does not.

use serde::{Deserialize, Deserializer};

use crate::chat::Usage;
use crate::dialect::counts::Counts;
use crate::dialect::json::{Array, Object};

/// A `usageMetadata` object. In a stream each is of the whole answer so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::dialect) struct WireUsage {
    prompt_token_count: Option<u64>,
    tool_use_prompt_token_count: Option<u64>,
    candidates_token_count: Option<u64>,
    thoughts_token_count: Option<u64>,
    cached_content_token_count: Option<u64>,
    total_token_count: Option<u64>,
    #[serde(default, deserialize_with = "audio")]
    prompt_tokens_details: u64,
    #[serde(default, deserialize_with = "audio")]
    candidates_tokens_details: u64,
}

/// Of the counts by modality that of sound.
fn audio<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct WireCount {
        modality: Option<Modality>,
        token_count: Option<u64>,
    }
    #[derive(Deserialize)]
    enum Modality {
        #[serde(rename = "AUDIO")]
        Audio,
        #[serde(other)]
        Other,
    }
    let counts: Option<Vec<WireCount>> = Option::deserialize(deserializer)?;
    let is_audio = |count: &WireCount| matches!(count.modality, Some(Modality::Audio));
    let audio = counts.unwrap_or_default().into_iter().filter(is_audio);
    Ok(audio.fold(0, |sum, count| sum.saturating_add(count.token_count.unwrap_or(0))))
}

impl Counts for WireUsage {
    fn set(&mut self, outer: &[u8], key: &[u8], count: u64) {
        let place = match (outer, key) {
            (b"", b"promptTokenCount") => &mut self.prompt_token_count,
            (b"", b"toolUsePromptTokenCount") => &mut self.tool_use_prompt_token_count,
            (b"", b"candidatesTokenCount") => &mut self.candidates_token_count,
            (b"", b"thoughtsTokenCount") => &mut self.thoughts_token_count,
            (b"", b"cachedContentTokenCount") => &mut self.cached_content_token_count,
            (b"", b"totalTokenCount") => &mut self.total_token_count,
            _ => return,
        };
        *place = Some(count);
    }
}

impl WireUsage {
    /// Takes over what a later report of the same stream says. Counts only grow; one that is smaller, or left out where
    /// it was known, is no news.
    pub(in crate::dialect) fn update(&mut self, later: Self) {
        self.prompt_token_count = later.prompt_token_count.max(self.prompt_token_count);
        self.tool_use_prompt_token_count =
            later.tool_use_prompt_token_count.max(self.tool_use_prompt_token_count);
        self.candidates_token_count = later.candidates_token_count.max(self.candidates_token_count);
        self.thoughts_token_count = later.thoughts_token_count.max(self.thoughts_token_count);
        self.cached_content_token_count =
            later.cached_content_token_count.max(self.cached_content_token_count);
        self.total_token_count = later.total_token_count.max(self.total_token_count);
        self.prompt_tokens_details = later.prompt_tokens_details.max(self.prompt_tokens_details);
        self.candidates_tokens_details = later.candidates_tokens_details.max(self.candidates_tokens_details);
    }

    /// In neutral words. What server-side tools put into the prompt is input, too.
    pub(in crate::dialect) fn usage(&self) -> Usage {
        let known = |count: Option<u64>| count.unwrap_or(0);
        let prompt_tokens =
            known(self.prompt_token_count).saturating_add(known(self.tool_use_prompt_token_count));
        let reasoning_tokens = known(self.thoughts_token_count);
        let completion_tokens = known(self.candidates_token_count).saturating_add(reasoning_tokens);
        Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: self.total_token_count.unwrap_or(prompt_tokens.saturating_add(completion_tokens)),
            cached_read_tokens: known(self.cached_content_token_count),
            reasoning_tokens,
            audio_prompt_tokens: self.prompt_tokens_details,
            audio_completion_tokens: self.candidates_tokens_details,
            ..Usage::default()
        }
    }
}

/// Writes a `usageMetadata` object; what is 0 and may be left out is, as Gemini does.
pub(super) fn write(out: &mut Vec<u8>, usage: &Usage) {
    let mut object = Object::begin(out);
    object.number("promptTokenCount", usage.prompt_tokens);
    object.number("candidatesTokenCount", usage.completion_tokens.saturating_sub(usage.reasoning_tokens));
    object.number("totalTokenCount", usage.total_tokens);
    if usage.cached_read_tokens > 0 {
        object.number("cachedContentTokenCount", usage.cached_read_tokens);
    }
    if usage.reasoning_tokens > 0 {
        object.number("thoughtsTokenCount", usage.reasoning_tokens);
    }
    let candidates = usage.completion_tokens.saturating_sub(usage.reasoning_tokens);
    write_details(&mut object, "promptTokensDetails", usage.prompt_tokens, usage.audio_prompt_tokens);
    write_details(&mut object, "candidatesTokensDetails", candidates, usage.audio_completion_tokens);
    object.end();
}

/// What is sound of a count, and the rest of it, where there is any sound.
fn write_details(object: &mut Object<'_>, name: &str, all: u64, audio: u64) {
    if audio == 0 {
        return;
    }
    let mut details = Array::begin(object.field(name));
    for (modality, count) in [("TEXT", all.saturating_sub(audio)), ("AUDIO", audio)] {
        let mut one = Object::begin(details.item());
        one.text("modality", modality);
        one.number("tokenCount", count);
        one.end();
    }
    details.end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::counts;

    const WHOLE: &str = r#"{"promptTokenCount":10,"candidatesTokenCount":5,"totalTokenCount":24,"cachedContentTokenCount":4,"toolUsePromptTokenCount":2,"thoughtsTokenCount":7}"#;

    #[test]
    fn thoughts_are_completion_and_tool_prompts_are_prompt() {
        let wire: WireUsage = serde_json::from_str(WHOLE).unwrap();
        let expected = Usage {
            prompt_tokens: 12,
            completion_tokens: 12,
            total_tokens: 24,
            cached_read_tokens: 4,
            reasoning_tokens: 7,
            ..Usage::default()
        };
        assert_eq!(wire.usage(), expected);
        assert_eq!(counts::read::<WireUsage>(WHOLE.as_bytes()), Some((wire, &b""[..])));
        let mut out = Vec::new();
        write(&mut out, &expected);
        assert_eq!(serde_json::from_slice::<WireUsage>(&out).unwrap().usage(), expected);
    }

    #[test]
    fn a_later_report_takes_nothing_away() {
        let mut usage = WireUsage::default();
        assert_eq!(usage.usage(), Usage::default());
        for report in [WHOLE, r#"{"promptTokenCount":10}"#, "{}", r#"{"candidatesTokenCount":6}"#] {
            usage.update(serde_json::from_str(report).unwrap());
        }
        assert_eq!(usage.usage().completion_tokens, 13);
        assert_eq!(usage.usage().prompt_tokens, 12);
    }
}

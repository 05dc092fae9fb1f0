//! What a model on Bedrock takes beyond what all take, told by its name
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference-supported-models-features.html>). The ARN of a
//! profile of one's own tells nothing, and such a model is asked for in the words that all know.

use crate::dialect::anthropic::claude::Claude;

/// Who made it, as far as that decides a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Anthropic's.
    Claude,
    /// Amazon's own; whether it can reason.
    Nova(bool),
    /// Mistral's.
    Mistral,
    /// Cohere's.
    Cohere,
    /// OpenAI's open ones.
    GptOss,
    /// One whose answers can be held to a schema.
    Structured,
    /// Any other.
    Other,
}

/// Makers of models of [`Family::Structured`]
/// (<https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html>).
const STRUCTURED: [&str; 7] =
    ["deepseek.", "google.", "minimax.", "moonshot.", "moonshotai.", "nvidia.", "qwen."];

impl Family {
    /// That of the model of this name, by whichever profile.
    pub(super) fn of(model: &str) -> Self {
        let has = |word: &str| model.contains(word);
        if has("claude") {
            Self::Claude
        } else if has("amazon.nova") {
            Self::Nova(has("nova-2"))
        } else if has("mistral.") {
            Self::Mistral
        } else if has("cohere.") {
            Self::Cohere
        } else if has("openai.gpt-oss") {
            Self::GptOss
        } else if STRUCTURED.iter().any(|word| has(word)) {
            Self::Structured
        } else {
            Self::Other
        }
    }

    /// Whether it has `cachePoint`
    /// (<https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>).
    pub(super) fn takes_marks(self) -> bool {
        matches!(self, Self::Claude | Self::Nova(_))
    }

    /// Whether a tool of it may be `strict`, and its text be held to a schema.
    pub(super) fn takes_schemas(self, model: &str) -> bool {
        match self {
            Self::Claude => Claude::of(model).takes_strict_tools(),
            Self::Mistral | Self::GptOss | Self::Structured => true,
            Self::Nova(_) | Self::Cohere | Self::Other => false,
        }
    }

    /// Whether thoughts without proof may be handed back to it. Claude refuses them.
    pub(super) fn takes_unsigned_thoughts(self) -> bool {
        matches!(self, Self::GptOss | Self::Structured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_profiles_are_read() {
        for (model, family) in [
            ("anthropic.claude-3-5-sonnet-20240620-v1:0", Family::Claude),
            ("arn:aws:bedrock:us-east-1:1:inference-profile/eu.anthropic.claude-opus-4-6-v1", Family::Claude),
            ("us.amazon.nova-pro-v1:0", Family::Nova(false)),
            ("global.amazon.nova-2-lite-v1:0", Family::Nova(true)),
            ("mistral.mistral-large-2407-v1:0", Family::Mistral),
            ("cohere.command-r-v1:0", Family::Cohere),
            ("openai.gpt-oss-120b-1:0", Family::GptOss),
            ("qwen.qwen3-32b-v1:0", Family::Structured),
            ("meta.llama3-1-70b-instruct-v1:0", Family::Other),
            ("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", Family::Other),
        ] {
            assert_eq!(Family::of(model), family, "{model}");
        }
        let takes = |model: &str| Family::of(model).takes_schemas(model);
        assert!(takes("anthropic.claude-sonnet-4-5-20250929-v1:0") && takes("qwen.qwen3-32b-v1:0"));
        assert!(!takes("anthropic.claude-3-haiku-20240307-v1:0") && !takes("amazon.nova-lite-v1:0"));
    }
}

//! The table of providers: name to dialect, base URL, paths, authentication. Data, not code; which keys a config has for
//! one, and where it moved its base URL, is `config`'s.

use crate::dialect::Dialect;

/// One provider that we know by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Lower case; the name under `providers` and the prefix in `provider/model`.
    pub name: &'static str,
    /// The dialect it speaks; `None`: known by name, not served by this version.
    pub dialect: Option<Dialect>,
    /// Absolute URL without a trailing `/`; empty when it isn't fixed or the provider is not served.
    pub base_url: &'static str,
    /// Path of chat requests, appended to the base URL's path; starts with `/`. Empty when not served.
    pub chat_path: &'static str,
    /// Path of the model list, likewise; `None`: the provider has none.
    pub models_path: Option<&'static str>,
    /// How the usage of its chat streams comes to be known.
    pub stream_usage: StreamUsage,
}

/// How the usage of a provider's chat streams comes to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamUsage {
    /// It is said to who asks for it by `stream_options.include_usage`.
    OnRequest,
    /// It is said unasked; the option does nothing there, or is refused.
    Unasked,
}

/// How a dialect's credential travels upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer <key>`.
    Bearer,
    /// `x-api-key: <key>`, with [`ANTHROPIC_VERSION`] when the caller named no version.
    AnthropicApiKey,
}

/// The value of `anthropic-version` when the caller sent none.
pub const ANTHROPIC_VERSION: &str = "2023-06-01";

/// How a provider that speaks `dialect` is authenticated to.
pub fn auth(dialect: Dialect) -> Auth {
    match dialect {
        Dialect::OpenAi => Auth::Bearer,
        Dialect::Anthropic => Auth::AnthropicApiKey,
    }
}

/// The entry of this lower-case name.
pub fn find(name: &str) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| entry.name == name)
}

/// Every known name, in the table's order.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|entry| entry.name)
}

const CHAT: &str = "/v1/chat/completions";
const MODELS: Option<&str> = Some("/v1/models");

/// A provider that speaks OpenAI's chat completions with a bearer key.
const fn open_ai(name: &'static str, base_url: &'static str) -> Entry {
    Entry {
        name,
        dialect: Some(Dialect::OpenAi),
        base_url,
        chat_path: CHAT,
        models_path: MODELS,
        stream_usage: StreamUsage::OnRequest,
    }
}

/// The same, of one that says a stream's usage unasked.
const fn open_ai_telling(name: &'static str, base_url: &'static str) -> Entry {
    Entry { stream_usage: StreamUsage::Unasked, ..open_ai(name, base_url) }
}

/// A provider that a config may name and this version does not serve.
const fn later(name: &'static str) -> Entry {
    Entry {
        name,
        dialect: None,
        base_url: "",
        chat_path: "",
        models_path: None,
        stream_usage: StreamUsage::Unasked,
    }
}

static TABLE: [Entry; 39] = [
    open_ai("openai", "https://api.openai.com"),
    Entry {
        name: "anthropic",
        dialect: Some(Dialect::Anthropic),
        base_url: "https://api.anthropic.com",
        chat_path: "/v1/messages",
        models_path: MODELS,
        stream_usage: StreamUsage::Unasked,
    },
    // Its option has no effect: https://openrouter.ai/docs/use-cases/usage-accounting
    open_ai_telling("openrouter", "https://openrouter.ai/api"),
    open_ai_telling("cerebras", "https://api.cerebras.ai"),
    // Refuses the option with a 422.
    open_ai_telling("mistral", "https://api.mistral.ai"),
    // In `x_groq` of the chunk that stops.
    open_ai_telling("groq", "https://api.groq.com/openai"),
    Entry {
        chat_path: "/chat/completions",
        models_path: None,
        ..open_ai_telling("perplexity", "https://api.perplexity.ai")
    },
    open_ai("parasail", "https://api.parasail.io"),
    open_ai("nebius", "https://api.tokenfactory.nebius.com"),
    open_ai("xai", "https://api.x.ai"),
    open_ai("deepseek", "https://api.deepseek.com"),
    open_ai_telling("fireworks", "https://api.fireworks.ai/inference"),
    open_ai("huggingface", "https://router.huggingface.co"),
    later("azure"),
    later("bedrock"),
    later("bedrock_mantle"),
    later("cohere"),
    later("vertex"),
    later("gemini"),
    later("ollama"), // its URL stands in each key
    later("sgl"),    // likewise
    later("vllm"),   // likewise
    later("sarvam"), // its own key header
    later("elevenlabs"),
    later("replicate"),
    later("runway"),
    later("runware"),
    later("deepgram"),
    later("opencode-go"),
    later("opencode-zen"),
    later("alibaba"),
    later("baseten"),
    later("cloudflare"),
    later("databricks"),
    later("sapaicore"),
    later("kimi"),
    later("minimax"),
    later("zhipu"),
    later("github-copilot"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lower_case() {
        let names: Vec<_> = names().collect();
        for (index, name) in names.iter().enumerate() {
            assert!(!names[..index].contains(name), "{name} stands twice");
            assert_eq!(*name, name.to_ascii_lowercase());
        }
    }

    #[test]
    fn a_served_provider_has_a_url_and_a_path() {
        for entry in TABLE.iter().filter(|entry| entry.dialect.is_some()) {
            assert!(entry.base_url.starts_with("https://") && !entry.base_url.ends_with('/'), "{entry:?}");
            assert!(entry.chat_path.starts_with('/'), "{entry:?}");
        }
    }
}

//! The table of providers: name to dialect, base URL, paths, authentication. Data, not code; which keys a config has for
//! one, and where it moved its base URL, is `config`'s.

pub mod cloud;

pub use self::cloud::{Cloud, Family};
use crate::dialect::{CallIds, Dialect, Operation, Quirks};

/// One provider that we know by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Lower case; the name under `providers` and the prefix in `provider/model`.
    pub name: &'static str,
    /// The dialect it speaks; `None`: known by name, not served by this version.
    pub dialect: Option<Dialect>,
    /// Absolute URL without a trailing `/`; empty when it isn't fixed or the provider is not served.
    pub base_url: &'static str,
    /// What its paths begin with, behind the base URL's path: `/v1`, `/v1beta`, or empty.
    pub version: &'static str,
    /// Whether it has a list of models.
    pub lists_models: bool,
    /// Which words of its dialect it takes.
    pub quirks: Quirks,
    /// The section of a key that says where its server is; `Some`: these are the operator's own, and want no key's value.
    pub place_section: Option<&'static str>,
    /// It is a cloud, whose paths each key says ([`cloud`]); the table's own then say how it is asked by default.
    pub cloud: Option<Cloud>,
}

impl Entry {
    /// Path of an operation, to be appended to the base URL's path; starts with `/`, and may hold [`MODEL`]. `None`: its API
    /// has no such operation, or it is not served. That the API has one does not say that the provider does: it says so itself.
    pub fn path(&self, operation: Operation) -> Option<String> {
        if let Some(cloud) = self.cloud {
            return cloud.usual_path(Family::Own, operation);
        }
        let path = match self.dialect? {
            Dialect::OpenAi | Dialect::Responses => open_ai_path(operation, self.quirks)?,
            Dialect::Anthropic => anthropic_path(operation)?,
            Dialect::Gemini => gemini_path(operation)?,
            Dialect::Cohere => cohere_path(operation)?,
            Dialect::Bedrock => bedrock_path(operation)?,
        };
        (operation != Operation::ListModels || self.lists_models).then(|| format!("{}{path}", self.version))
    }
}

/// What stands for the model's name in a path.
pub const MODEL: &str = "{model}";
/// What stands for a stored response's id.
pub const RESPONSE_ID: &str = "{response_id}";
/// What stands for a batch's.
const BATCH_ID: &str = "{batch_id}";
/// What stands for a file's.
const FILE_ID: &str = "{file_id}";

/// What stands in an operation's path for the id that it is about; `None`: it has none.
pub const fn id_place(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::ResponsesRetrieve
        | Operation::ResponsesDelete
        | Operation::ResponsesCancel
        | Operation::ResponsesInputItems => Some(RESPONSE_ID),
        Operation::BatchRetrieve
        | Operation::BatchCancel
        | Operation::BatchDelete
        | Operation::BatchResults => Some(BATCH_ID),
        Operation::FileRetrieve | Operation::FileDelete | Operation::FileContent => Some(FILE_ID),
        _ => None,
    }
}

fn open_ai_path(operation: Operation, quirks: Quirks) -> Option<&'static str> {
    match operation {
        Operation::ListModels => Some("/models"),
        Operation::Chat | Operation::ChatStream => Some("/chat/completions"),
        Operation::TextCompletion | Operation::TextCompletionStream => Some("/completions"),
        Operation::Embedding => Some("/embeddings"),
        Operation::Moderation => Some("/moderations"),
        Operation::Rerank if quirks.rerank => Some("/rerank"),
        Operation::Speech | Operation::SpeechStream => Some("/audio/speech"),
        Operation::Transcription | Operation::TranscriptionStream => Some("/audio/transcriptions"),
        Operation::Translation => Some("/audio/translations"),
        Operation::ImageGeneration | Operation::ImageGenerationStream => Some("/images/generations"),
        Operation::ImageEdit | Operation::ImageEditStream => Some("/images/edits"),
        Operation::ImageVariation => Some("/images/variations"),
        Operation::BatchCreate | Operation::BatchList => Some("/batches"),
        Operation::BatchRetrieve => Some("/batches/{batch_id}"),
        Operation::BatchCancel => Some("/batches/{batch_id}/cancel"),
        _ if operation.is_of_account() => files_path(operation),
        _ if quirks.responses => responses_path(operation),
        _ => None,
    }
}

/// Both vendors' files have the same paths.
fn files_path(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::FileUpload | Operation::FileList => Some("/files"),
        Operation::FileRetrieve | Operation::FileDelete => Some("/files/{file_id}"),
        Operation::FileContent => Some("/files/{file_id}/content"),
        _ => None,
    }
}

/// <https://platform.openai.com/docs/api-reference/responses>. That one keeps no responses, it says itself.
fn responses_path(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::Responses | Operation::ResponsesStream => Some("/responses"),
        Operation::CountTokens => Some("/responses/input_tokens"),
        Operation::ResponsesRetrieve | Operation::ResponsesDelete => Some("/responses/{response_id}"),
        Operation::ResponsesCancel => Some("/responses/{response_id}/cancel"),
        Operation::ResponsesInputItems => Some("/responses/{response_id}/input_items"),
        _ => None,
    }
}

fn anthropic_path(operation: Operation) -> Option<&'static str> {
    match operation {
        // The most that one page may hold (<https://docs.anthropic.com/en/api/models-list>); 20 unasked.
        Operation::ListModels => Some("/models?limit=1000"),
        Operation::Chat | Operation::ChatStream => Some("/messages"),
        Operation::CountTokens => Some("/messages/count_tokens"),
        Operation::BatchCreate | Operation::BatchList => Some("/messages/batches"),
        Operation::BatchRetrieve | Operation::BatchDelete => Some("/messages/batches/{batch_id}"),
        Operation::BatchCancel => Some("/messages/batches/{batch_id}/cancel"),
        Operation::BatchResults => Some("/messages/batches/{batch_id}/results"),
        _ => files_path(operation),
    }
}

/// <https://ai.google.dev/api>; a stream as server-sent events.
fn gemini_path(operation: Operation) -> Option<&'static str> {
    match operation {
        // The most that one page may hold; a list of more would be read without its rest.
        Operation::ListModels => Some("/models?pageSize=1000"),
        Operation::Chat => Some("/models/{model}:generateContent"),
        Operation::ChatStream => Some("/models/{model}:streamGenerateContent?alt=sse"),
        Operation::CountTokens => Some("/models/{model}:countTokens"),
        Operation::Embedding => Some("/models/{model}:embedContent"),
        Operation::EmbeddingBatch => Some("/models/{model}:batchEmbedContents"),
        _ => None,
    }
}

/// <https://docs.cohere.com/reference/about>: lists and counts are the first version's.
fn cohere_path(operation: Operation) -> Option<&'static str> {
    match operation {
        // The most that one page may hold.
        Operation::ListModels => Some("/v1/models?page_size=1000"),
        Operation::Chat | Operation::ChatStream => Some("/v2/chat"),
        Operation::Embedding => Some("/v2/embed"),
        Operation::Rerank => Some("/v2/rerank"),
        Operation::CountTokens => Some("/v1/tokenize"),
        _ => None,
    }
}

/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html>
fn bedrock_path(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::Chat => Some("/model/{model}/converse"),
        Operation::ChatStream => Some("/model/{model}/converse-stream"),
        _ => None,
    }
}

/// How a dialect's credential travels upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer <key>`.
    Bearer,
    /// `x-api-key: <key>`, with [`ANTHROPIC_VERSION`] when the caller named no version.
    AnthropicApiKey,
    /// `x-goog-api-key: <key>`.
    GoogleApiKey,
    /// `api-key: <key>`.
    AzureApiKey,
}

/// The value of `anthropic-version` when the caller sent none.
pub const ANTHROPIC_VERSION: &str = "2023-06-01";

/// How a provider that speaks `dialect`, or `cloud` in it, is authenticated to.
pub fn auth(cloud: Option<Cloud>, dialect: Dialect) -> Auth {
    if let Some(cloud) = cloud {
        return cloud.auth(dialect);
    }
    match dialect {
        // Of Bedrock a key of its own; AWS's signatures are not this table's.
        Dialect::OpenAi | Dialect::Responses | Dialect::Cohere | Dialect::Bedrock => Auth::Bearer,
        Dialect::Anthropic => Auth::AnthropicApiKey,
        Dialect::Gemini => Auth::GoogleApiKey,
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

/// A provider that speaks OpenAI's dialect, with a bearer key.
const fn open_ai(name: &'static str, base_url: &'static str) -> Entry {
    let (dialect, quirks) = (Some(Dialect::OpenAi), Quirks::COMPATIBLE);
    Entry {
        name,
        dialect,
        base_url,
        version: "/v1",
        lists_models: true,
        quirks,
        place_section: None,
        cloud: None,
    }
}

/// The same, of one whose streams tell their usage unasked.
const fn telling(name: &'static str, base_url: &'static str) -> Entry {
    Entry { quirks: Quirks::TELLING, ..open_ai(name, base_url) }
}

/// The same, of one that has `/responses`.
const fn answering(entry: Entry) -> Entry {
    Entry { quirks: Quirks { responses: true, ..entry.quirks }, ..entry }
}

/// The same, of one that has `/rerank`.
const fn reranking(entry: Entry) -> Entry {
    Entry { quirks: Quirks { rerank: true, ..entry.quirks }, ..entry }
}

/// One whose servers are the operator's own; `section` of each key says where.
const fn own(name: &'static str, section: &'static str) -> Entry {
    Entry { place_section: Some(section), ..open_ai(name, "") }
}

/// A provider that a config may name and this version does not serve.
const fn later(name: &'static str) -> Entry {
    Entry { dialect: None, version: "", lists_models: false, ..open_ai(name, "") }
}

static TABLE: [Entry; 39] = [
    Entry { quirks: Quirks::OPENAI, ..open_ai("openai", "https://api.openai.com") },
    Entry { dialect: Some(Dialect::Anthropic), ..open_ai("anthropic", "https://api.anthropic.com") },
    Entry {
        dialect: Some(Dialect::Gemini),
        version: "/v1beta",
        ..open_ai("gemini", "https://generativelanguage.googleapis.com")
    },
    // The option has no effect: <https://openrouter.ai/docs/use-cases/usage-accounting>; its marks are Anthropic's:
    // <https://openrouter.ai/docs/guides/best-practices/prompt-caching>.
    Entry {
        quirks: Quirks { cache_control: true, responses: true, ..Quirks::TELLING },
        ..open_ai("openrouter", "https://openrouter.ai/api")
    },
    telling("cerebras", "https://api.cerebras.ai"),
    // 422 `extra_forbidden` to `max_completion_tokens`, `stream_options` and `user` (<https://docs.mistral.ai/api/>).
    Entry {
        quirks: Quirks { call_ids: CallIds::MISTRAL, ..Quirks::STRICT },
        ..open_ai("mistral", "https://api.mistral.ai")
    },
    // In `x_groq` of the chunk that stops; <https://console.groq.com/docs/responses-api>.
    answering(telling("groq", "https://api.groq.com/openai")),
    Entry { version: "", lists_models: false, ..telling("perplexity", "https://api.perplexity.ai") },
    open_ai("parasail", "https://api.parasail.io"),
    open_ai("nebius", "https://api.tokenfactory.nebius.com"),
    answering(open_ai("xai", "https://api.x.ai")), // <https://docs.x.ai/docs/guides/responses-api>
    open_ai("deepseek", "https://api.deepseek.com"),
    // <https://docs.fireworks.ai/guides/response-api>
    answering(telling("fireworks", "https://api.fireworks.ai/inference")),
    // <https://huggingface.co/docs/inference-providers/guides/responses-api>
    answering(open_ai("huggingface", "https://router.huggingface.co")),
    Entry {
        quirks: Quirks::OPENAI,
        lists_models: false,
        cloud: Some(Cloud::Azure),
        version: "",
        ..open_ai("azure", "")
    },
    // Of the region that Bifrost takes when none is said.
    Entry {
        dialect: Some(Dialect::Bedrock),
        version: "",
        lists_models: false,
        ..open_ai("bedrock", "https://bedrock-runtime.us-east-1.amazonaws.com")
    },
    later("bedrock_mantle"),
    Entry { dialect: Some(Dialect::Cohere), version: "", ..open_ai("cohere", "https://api.cohere.ai") },
    // The host of `global`, and of keys without a region.
    Entry {
        dialect: Some(Dialect::Gemini),
        version: "",
        lists_models: false,
        cloud: Some(Cloud::Vertex),
        ..open_ai("vertex", "https://aiplatform.googleapis.com")
    },
    own("ollama", "ollama_key_config"),
    own("sgl", "sgl_key_config"),
    // <https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html>
    reranking(answering(own("vllm", "vllm_key_config"))),
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
            let is_own = entry.base_url.is_empty()
                && (entry.place_section.is_some() || entry.cloud == Some(Cloud::Azure));
            assert!(is_own || entry.base_url.starts_with("https://"), "{entry:?}");
            assert!(!entry.base_url.ends_with('/'), "{entry:?}");
            assert!(matches!(entry.version, "" | "/v1" | "/v1beta"), "{entry:?}");
            assert!(entry.path(Operation::Chat).is_some_and(|path| path.starts_with('/')), "{entry:?}");
        }
    }

    #[test]
    fn a_path_is_that_of_the_providers_api() {
        let path = |name: &str, operation| find(name).unwrap().path(operation);
        let some = |text: &str| Some(text.to_owned());
        let google = |method: &str| Some(format!("/v1beta/models/{{model}}:{method}"));
        for (operation, open_ai, anthropic, gemini) in [
            (
                Operation::ListModels,
                some("/v1/models"),
                some("/v1/models?limit=1000"),
                some("/v1beta/models?pageSize=1000"),
            ),
            (Operation::Chat, some("/v1/chat/completions"), some("/v1/messages"), google("generateContent")),
            (
                Operation::ChatStream,
                some("/v1/chat/completions"),
                some("/v1/messages"),
                google("streamGenerateContent?alt=sse"),
            ),
            (Operation::TextCompletion, some("/v1/completions"), None, None),
            (Operation::TextCompletionStream, some("/v1/completions"), None, None),
            (Operation::Embedding, some("/v1/embeddings"), None, google("embedContent")),
            (Operation::EmbeddingBatch, None, None, google("batchEmbedContents")),
            (Operation::Moderation, some("/v1/moderations"), None, None),
            (
                Operation::CountTokens,
                some("/v1/responses/input_tokens"),
                some("/v1/messages/count_tokens"),
                google("countTokens"),
            ),
            (Operation::ResponsesStream, some("/v1/responses"), None, None),
            (Operation::ResponsesDelete, some("/v1/responses/{response_id}"), None, None),
            (Operation::ResponsesInputItems, some("/v1/responses/{response_id}/input_items"), None, None),
        ] {
            assert_eq!(path("openai", operation), open_ai, "{operation:?}");
            assert_eq!(path("anthropic", operation), anthropic, "{operation:?}");
            assert_eq!(path("gemini", operation), gemini, "{operation:?}");
        }
        for (operation, cohere, vllm) in [
            (Operation::ListModels, some("/v1/models?page_size=1000"), some("/v1/models")),
            (Operation::ChatStream, some("/v2/chat"), some("/v1/chat/completions")),
            (Operation::Embedding, some("/v2/embed"), some("/v1/embeddings")),
            (Operation::Rerank, some("/v2/rerank"), some("/v1/rerank")),
            (Operation::CountTokens, some("/v1/tokenize"), some("/v1/responses/input_tokens")),
            (Operation::Moderation, None, some("/v1/moderations")),
        ] {
            assert_eq!(path("cohere", operation), cohere, "{operation:?}");
            assert_eq!(path("vllm", operation), vllm, "{operation:?}");
        }
        assert_eq!(path("openai", Operation::Rerank), None);
        assert_eq!(path("perplexity", Operation::Chat), some("/chat/completions"));
        assert_eq!(path("perplexity", Operation::ListModels), None);
        assert_eq!(path("xai", Operation::Responses), some("/v1/responses"));
        assert_eq!(path("mistral", Operation::Responses), None);
    }
}

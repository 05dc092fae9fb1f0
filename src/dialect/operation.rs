//! What a provider may be asked for, whatever the dialect: the operations that this version serves, under Bifrost's names,
//! and how a log row calls them. Where a caller finds one is `api`'s table, where a provider has it `provider`'s.

use super::Dialect;

/// One kind of request to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// The provider's list of models.
    ListModels,
    /// A conversation in any dialect, answered whole.
    Chat,
    /// The same, answered as a stream.
    ChatStream,
    /// OpenAI's legacy completion (<https://platform.openai.com/docs/api-reference/completions>), answered whole.
    TextCompletion,
    /// The same, answered as a stream.
    TextCompletionStream,
    /// OpenAI's embeddings (<https://platform.openai.com/docs/api-reference/embeddings>), Gemini's `embedContent`.
    Embedding,
    /// Gemini's `batchEmbedContents` (<https://ai.google.dev/api/embeddings>). The name is ours: Bifrost has none.
    EmbeddingBatch,
    /// OpenAI's moderations (<https://platform.openai.com/docs/api-reference/moderations>). The name is ours: Bifrost has none.
    Moderation,
    /// A count of a request's tokens: Anthropic's (<https://docs.anthropic.com/en/api/messages-count-tokens>), Gemini's
    /// `countTokens`, OpenAI's of a response's input.
    CountTokens,
    /// OpenAI's responses (<https://platform.openai.com/docs/api-reference/responses>), answered whole.
    Responses,
    /// The same, answered as a stream.
    ResponsesStream,
    /// A stored response.
    ResponsesRetrieve,
    /// Its removal.
    ResponsesDelete,
    /// The end of one that runs in the background.
    ResponsesCancel,
    /// What it was asked.
    ResponsesInputItems,
    /// Cohere's rerank (<https://docs.cohere.com/reference/rerank>), and what vLLM has of it.
    Rerank,
    /// OpenAI's speech (<https://platform.openai.com/docs/api-reference/audio/createSpeech>): JSON in, sound out.
    Speech,
    /// The same, as events (`stream_format: "sse"`).
    SpeechStream,
    /// OpenAI's transcriptions (<https://platform.openai.com/docs/api-reference/audio/createTranscription>): a form in.
    Transcription,
    /// The same, as events.
    TranscriptionStream,
    /// OpenAI's translations of speech (<https://platform.openai.com/docs/api-reference/audio/createTranslation>). The name is ours: Bifrost has none.
    Translation,
    /// OpenAI's images (<https://platform.openai.com/docs/api-reference/images/create>).
    ImageGeneration,
    /// The same, as events.
    ImageGenerationStream,
    /// OpenAI's edits of images (<https://platform.openai.com/docs/api-reference/images/createEdit>): a form in.
    ImageEdit,
    /// The same, as events.
    ImageEditStream,
    /// OpenAI's variations of an image (<https://platform.openai.com/docs/api-reference/images/createVariation>): a form in.
    ImageVariation,
    /// A batch of OpenAI's (<https://platform.openai.com/docs/api-reference/batch>) or Anthropic's (<https://docs.anthropic.com/en/api/creating-message-batches>).
    BatchCreate,
    /// The batches of a key's account.
    BatchList,
    /// One of them.
    BatchRetrieve,
    /// Its end.
    BatchCancel,
    /// Its removal; Anthropic's alone.
    BatchDelete,
    /// What came of it, in lines; Anthropic's alone.
    BatchResults,
    /// A file of OpenAI's (<https://platform.openai.com/docs/api-reference/files>) or Anthropic's (<https://docs.anthropic.com/en/api/files-create>): a form in.
    FileUpload,
    /// The files of a key's account.
    FileList,
    /// What is known of one.
    FileRetrieve,
    /// Its removal.
    FileDelete,
    /// Its bytes.
    FileContent,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 37] = [
        Self::ListModels,
        Self::Chat,
        Self::ChatStream,
        Self::TextCompletion,
        Self::TextCompletionStream,
        Self::Embedding,
        Self::EmbeddingBatch,
        Self::Moderation,
        Self::CountTokens,
        Self::Responses,
        Self::ResponsesStream,
        Self::ResponsesRetrieve,
        Self::ResponsesDelete,
        Self::ResponsesCancel,
        Self::ResponsesInputItems,
        Self::Rerank,
        Self::Speech,
        Self::SpeechStream,
        Self::Transcription,
        Self::TranscriptionStream,
        Self::Translation,
        Self::ImageGeneration,
        Self::ImageGenerationStream,
        Self::ImageEdit,
        Self::ImageEditStream,
        Self::ImageVariation,
        Self::BatchCreate,
        Self::BatchList,
        Self::BatchRetrieve,
        Self::BatchCancel,
        Self::BatchDelete,
        Self::BatchResults,
        Self::FileUpload,
        Self::FileList,
        Self::FileRetrieve,
        Self::FileDelete,
        Self::FileContent,
    ];

    /// Its name in `allowed_requests`, errors and metrics; Bifrost's request type (compat.md 1.5).
    pub const fn name(self) -> &'static str {
        match self {
            Self::ListModels => "list_models",
            Self::Chat => "chat_completion",
            Self::ChatStream => "chat_completion_stream",
            Self::TextCompletion => "text_completion",
            Self::TextCompletionStream => "text_completion_stream",
            Self::Embedding => "embedding",
            Self::EmbeddingBatch => "embedding_batch",
            Self::Moderation => "moderation",
            Self::CountTokens => "count_tokens",
            Self::Responses => "responses",
            Self::ResponsesStream => "responses_stream",
            Self::ResponsesRetrieve => "responses_retrieve",
            Self::ResponsesDelete => "responses_delete",
            Self::ResponsesCancel => "responses_cancel",
            Self::ResponsesInputItems => "responses_input_items",
            Self::Rerank => "rerank",
            Self::Speech => "speech",
            Self::SpeechStream => "speech_stream",
            Self::Transcription => "transcription",
            Self::TranscriptionStream => "transcription_stream",
            Self::Translation => "translation",
            Self::ImageGeneration => "image_generation",
            Self::ImageGenerationStream => "image_generation_stream",
            Self::ImageEdit => "image_edit",
            Self::ImageEditStream => "image_edit_stream",
            Self::ImageVariation => "image_variation",
            Self::BatchCreate => "batch_create",
            Self::BatchList => "batch_list",
            Self::BatchRetrieve => "batch_retrieve",
            Self::BatchCancel => "batch_cancel",
            Self::BatchDelete => "batch_delete",
            Self::BatchResults => "batch_results",
            Self::FileUpload => "file_upload",
            Self::FileList => "file_list",
            Self::FileRetrieve => "file_retrieve",
            Self::FileDelete => "file_delete",
            Self::FileContent => "file_content",
        }
    }

    /// The one of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// What it is when the body asks for a stream or does not: itself, where there is no choice.
    pub fn streamed(self, stream: bool) -> Self {
        match (self, stream) {
            (Self::Chat, true) => Self::ChatStream,
            (Self::TextCompletion, true) => Self::TextCompletionStream,
            (Self::Responses, true) => Self::ResponsesStream,
            (Self::Speech, true) => Self::SpeechStream,
            (Self::Transcription, true) => Self::TranscriptionStream,
            (Self::ImageGeneration, true) => Self::ImageGenerationStream,
            (Self::ImageEdit, true) => Self::ImageEditStream,
            _ => self,
        }
    }

    /// Whether its answer is a stream.
    pub fn is_stream(self) -> bool {
        matches!(
            self,
            Self::ChatStream
                | Self::TextCompletionStream
                | Self::ResponsesStream
                | Self::SpeechStream
                | Self::TranscriptionStream
                | Self::ImageGenerationStream
                | Self::ImageEditStream
        )
    }

    /// Whether it is about a response that was made before: no model is named, and it has no body.
    pub fn is_of_stored(self) -> bool {
        matches!(
            self,
            Self::ResponsesRetrieve
                | Self::ResponsesDelete
                | Self::ResponsesCancel
                | Self::ResponsesInputItems
        )
    }

    /// Whether it is about batches or files, which keys with `use_for_batch_api` serve alone.
    pub fn is_of_account(self) -> bool {
        matches!(
            self,
            Self::BatchCreate
                | Self::BatchList
                | Self::BatchRetrieve
                | Self::BatchCancel
                | Self::BatchDelete
                | Self::BatchResults
                | Self::FileUpload
                | Self::FileList
                | Self::FileRetrieve
                | Self::FileDelete
                | Self::FileContent
        )
    }

    /// Whether it is about what was made before, by an id in the path or as a list: it names no model and has no body.
    pub fn is_of_made(self) -> bool {
        self.is_of_stored() || self.is_of_account() && !matches!(self, Self::BatchCreate | Self::FileUpload)
    }

    /// Whether its body is a form (RFC 7578).
    pub fn takes_form(self) -> bool {
        matches!(
            self,
            Self::Transcription
                | Self::TranscriptionStream
                | Self::Translation
                | Self::ImageEdit
                | Self::ImageEditStream
                | Self::ImageVariation
                | Self::FileUpload
        )
    }

    /// Whether its answer may be anything: sound, an image, text, events of its own, a file. Such a one is passed on as it comes.
    pub fn answers_raw(self) -> bool {
        self.takes_form()
            || matches!(
                self,
                Self::Speech
                    | Self::SpeechStream
                    | Self::ImageGeneration
                    | Self::ImageGenerationStream
                    | Self::BatchResults
                    | Self::FileContent
            )
    }

    /// Whether its answer is a file that a caller left there, whatever it is.
    pub fn is_download(self) -> bool {
        matches!(self, Self::BatchResults | Self::FileContent)
    }

    /// Whether only who speaks Responses is asked for it as it stands.
    pub fn is_of_responses(self) -> bool {
        matches!(self, Self::Responses | Self::ResponsesStream) || self.is_of_stored()
    }

    /// `object_type` of its row; `dialect` is the caller's.
    pub fn object_type(self, dialect: Dialect) -> &'static str {
        match self {
            Self::ListModels => "list_models",
            Self::Chat | Self::ChatStream if dialect == Dialect::Anthropic => "messages",
            Self::Chat | Self::ChatStream => "chat.completion",
            Self::TextCompletion | Self::TextCompletionStream => "text.completion",
            Self::Embedding | Self::EmbeddingBatch => "embedding",
            Self::Responses | Self::ResponsesStream => "response",
            Self::Moderation
            | Self::CountTokens
            | Self::ResponsesRetrieve
            | Self::ResponsesDelete
            | Self::ResponsesCancel
            | Self::ResponsesInputItems
            | Self::Rerank => self.name(),
            _ => self.name().strip_suffix("_stream").unwrap_or(self.name()),
        }
    }

    /// How a provider that speaks `provider` may be asked for what a caller asks in `caller`'s dialect, the best way first:
    /// as it stands, or translated.
    pub fn ways(self, caller: Dialect, provider: Dialect) -> impl Iterator<Item = (Dialect, Self)> {
        let is_native = caller == provider || (caller == Dialect::Responses && provider == Dialect::OpenAi);
        let translated = match self {
            Self::Responses => Some(Self::Chat),
            Self::ResponsesStream => Some(Self::ChatStream),
            Self::Chat | Self::ChatStream if !is_native => Some(self),
            Self::Embedding | Self::EmbeddingBatch if caller != provider => match provider {
                Dialect::Gemini => Some(Self::EmbeddingBatch),
                Dialect::OpenAi | Dialect::Cohere => Some(Self::Embedding),
                _ => None,
            },
            Self::Rerank if !is_native => Some(self),
            _ => None,
        };
        let native = is_native.then_some((caller, self));
        native.into_iter().chain(translated.map(|operation| (provider, operation)))
    }

    /// The dialect in which it is mostly asked for.
    pub fn usual_dialect(self) -> Dialect {
        match self {
            Self::CountTokens => Dialect::Anthropic,
            Self::EmbeddingBatch => Dialect::Gemini,
            Self::Rerank => Dialect::Cohere,
            Self::BatchDelete | Self::BatchResults => Dialect::Anthropic,
            Self::Responses
            | Self::ResponsesStream
            | Self::ResponsesRetrieve
            | Self::ResponsesDelete
            | Self::ResponsesCancel
            | Self::ResponsesInputItems => Dialect::Responses,
            _ => Dialect::OpenAi,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_name_and_stands_at_its_number() {
        for (index, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(Operation::of(operation.name()), Some(operation));
            assert_eq!(operation as usize, index);
            assert_eq!(operation.is_stream(), operation.name().ends_with("_stream"));
        }
        assert_eq!(Operation::of("compaction"), None);
    }

    #[test]
    fn only_what_can_be_a_stream_becomes_one() {
        let names = |stream| Operation::ALL.map(|operation| operation.streamed(stream).name());
        assert_eq!(names(false), Operation::ALL.map(Operation::name));
        for (operation, name) in Operation::ALL.into_iter().zip(names(true)) {
            let has_choice = matches!(
                operation,
                Operation::Chat
                    | Operation::TextCompletion
                    | Operation::Responses
                    | Operation::Speech
                    | Operation::Transcription
                    | Operation::ImageGeneration
                    | Operation::ImageEdit
            );
            let expected = format!("{}{}", operation.name(), if has_choice { "_stream" } else { "" });
            assert_eq!(name, expected);
        }
    }
}

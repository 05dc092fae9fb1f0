//! The neutral chat model that stands between dialects: what a conversation is, whoever words it. It knows no wire
//! format and does no work of its own. Everything borrows from the bytes that were decoded where it can.

use std::borrow::Cow;

/// A span of JSON text that crosses a translation as it stands: schemas, numbers, what has no neutral word. Whoever
/// makes one has checked that it is one whole, valid JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a>(pub &'a str);

/// What a caller asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request<'a> {
    /// The conversation in the caller's order, system messages in their places.
    pub messages: Vec<Message<'a>>,
    /// Whether the first of them is the caller's `system`, which stands outside its list: indices in an error then count
    /// from the second.
    pub system_first: bool,
    /// Functions that the model may call.
    pub tools: Vec<Tool<'a>>,
    /// Which of them; `None`: the provider's default.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// Whether one answer may hold several calls; `None`: the provider's default.
    pub parallel_tool_calls: Option<bool>,
    /// Longest answer, tokens.
    pub max_tokens: Option<u64>,
    /// A JSON number.
    pub temperature: Option<Raw<'a>>,
    /// A JSON number.
    pub top_p: Option<Raw<'a>>,
    /// A JSON number.
    pub top_k: Option<Raw<'a>>,
    /// A JSON number.
    pub seed: Option<Raw<'a>>,
    /// A JSON number.
    pub presence_penalty: Option<Raw<'a>>,
    /// A JSON number.
    pub frequency_penalty: Option<Raw<'a>>,
    /// How the model is to think before it speaks; `None`: the provider's default.
    pub reasoning: Option<Reasoning>,
    /// How soon the answer is wanted; `None`: the provider's default.
    pub service_tier: Option<ServiceTier>,
    /// The caller's own notes about the request, a JSON object of short texts.
    pub metadata: Option<Raw<'a>>,
    /// Texts that end the answer.
    pub stop: Vec<Cow<'a, str>>,
    /// The caller's own name for its end user.
    pub user: Option<Cow<'a, str>>,
    /// What the answer's text must be.
    pub format: Format<'a>,
    /// Alternative answers wanted; `None`: one.
    pub choices: Option<u64>,
    /// Whether token probabilities are wanted.
    pub logprobs: bool,
    /// Whether spoken output is wanted.
    pub audio: bool,
    /// Top-level keys that have no neutral word, in the caller's order: the target passes on what is its own and names the
    /// rest.
    pub extra: Vec<(Cow<'a, str>, Raw<'a>)>,
    /// What the caller's half could not carry over, as paths without indices such as `messages.name`.
    pub dropped: Vec<Cow<'a, str>>,
}

/// One turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<'a> {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order, empty texts included (so that an index here is the caller's index).
    pub parts: Vec<Part<'a>>,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions.
    System,
    /// OpenAI's newer word for them, which its models rank below its own; others know only [`Role::System`].
    Developer,
    /// The person or program that asks.
    User,
    /// The model.
    Assistant,
    /// Results of tool calls.
    Tool,
}

impl Role {
    /// Whether it instructs, by whichever word.
    pub fn is_system(self) -> bool {
        matches!(self, Self::System | Self::Developer)
    }
}

/// How a model is to think before it speaks. All `None`: as it likes, but think it shall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// How hard.
    pub effort: Option<Effort>,
    /// Most tokens for it.
    pub budget_tokens: Option<u64>,
    /// Whether the thoughts, or a summary of them, are wanted in the answer; `None`: the provider's default.
    pub is_shown: Option<bool>,
}

/// How hard a model is to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Not at all.
    None,
    /// OpenAI's `minimal`.
    Minimal,
    /// `low`.
    Low,
    /// `medium`.
    Medium,
    /// `high`.
    High,
    /// OpenAI's `xhigh`.
    ExtraHigh,
    /// Anthropic's `max`.
    Max,
}

/// How soon an answer is wanted, and what it may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceTier {
    /// What the account has.
    Auto,
    /// The usual: OpenAI's `default`, Anthropic's `standard_only`.
    Standard,
    /// Later and cheaper.
    Flex,
    /// Sooner and dearer.
    Priority,
}

/// A piece of a turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Part<'a> {
    /// Plain text.
    Text {
        /// The words.
        text: Cow<'a, str>,
        /// A `cache_control` mark, passed on as it is.
        cache: Option<Raw<'a>>,
    },
    /// A picture.
    Image {
        /// Where it is.
        source: Source<'a>,
        /// See `Text`.
        cache: Option<Raw<'a>>,
    },
    /// A file to be read.
    Document {
        /// Where it is.
        source: Source<'a>,
        /// Its file name.
        title: Option<Cow<'a, str>>,
        /// See `Text`.
        cache: Option<Raw<'a>>,
    },
    /// Sound.
    Audio {
        /// Such as `audio/wav`.
        media_type: Cow<'a, str>,
        /// Standard base64, not checked.
        data: Cow<'a, str>,
    },
    /// The model says that it will not answer.
    Refusal {
        /// Its words.
        text: Cow<'a, str>,
    },
    /// Where the text before it has something from; the model's.
    Citation(Citation<'a>),
    /// What the model thought before it spoke.
    Reasoning {
        /// The thought.
        text: Cow<'a, str>,
        /// The provider's proof that it is its own; needed to send the thought back.
        signature: Option<Cow<'a, str>>,
    },
    /// A thought that only the provider can read.
    ReasoningEncrypted {
        /// Opaque.
        data: Cow<'a, str>,
    },
    /// The model asks for a function to be run.
    ToolCall {
        /// Pairs the call with its result.
        id: Cow<'a, str>,
        /// The function's name.
        name: Cow<'a, str>,
        /// JSON text as the model wrote it; empty: no arguments.
        arguments: Cow<'a, str>,
    },
    /// What the function gave.
    ToolResult {
        /// The call's id.
        call_id: Cow<'a, str>,
        /// Text, possibly pictures.
        parts: Vec<Part<'a>>,
        /// Whether the function failed and the parts say how.
        is_error: bool,
    },
    /// A piece that this model has no word for: no target takes it, each refuses it by its name.
    Unknown {
        /// The caller's name for it, such as `input_audio`.
        kind: Cow<'a, str>,
    },
}

/// Where a text has something from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Citation<'a> {
    /// A page's address; `None`: a document of the request.
    pub url: Option<Cow<'a, str>>,
    /// The page's or document's title.
    pub title: Option<Cow<'a, str>>,
    /// The words there.
    pub cited_text: Option<Cow<'a, str>>,
    /// The words here that lean on it, in characters of the whole answer's text; `None`: not told, the text part before it.
    pub span: Option<(u64, u64)>,
    /// Anthropic's own object, for those who speak its dialect.
    pub anthropic: Option<Raw<'a>>,
}

/// Where a picture or document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// On the web.
    Url(Cow<'a, str>),
    /// In the request.
    Base64 {
        /// Such as `image/png`.
        media_type: Cow<'a, str>,
        /// Standard base64, not checked.
        data: Cow<'a, str>,
    },
    /// Here, as plain text.
    Text(Cow<'a, str>),
}

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool<'a> {
    /// Unique in the request.
    pub name: Cow<'a, str>,
    /// What it is for.
    pub description: Option<Cow<'a, str>>,
    /// JSON schema of its arguments, a JSON object; `None`: it takes none.
    pub schema: Option<Cow<'a, str>>,
    /// Whether the arguments must match the schema exactly; `None`: the provider's default.
    pub strict: Option<bool>,
    /// A `cache_control` mark, passed on as it is.
    pub cache: Option<Raw<'a>>,
}

/// Which tools the model may or must call.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolChoice<'a> {
    /// As it likes.
    Auto,
    /// No tool.
    None,
    /// At least one, any.
    Required,
    /// This one.
    Named(Cow<'a, str>),
    /// Only tools of this list.
    Allowed {
        /// At least one of them; else as it likes.
        required: bool,
        /// Their names.
        names: Vec<Cow<'a, str>>,
    },
}

/// What the answer's text must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format<'a> {
    /// Anything.
    #[default]
    Text,
    /// Some JSON object.
    JsonObject,
    /// JSON of a schema.
    JsonSchema {
        /// The caller's name of it.
        name: Option<Cow<'a, str>>,
        /// What it is for.
        description: Option<Cow<'a, str>>,
        /// A JSON object.
        schema: Cow<'a, str>,
        /// Whether it must be matched exactly; `None`: the provider's default.
        strict: Option<bool>,
    },
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response<'a> {
    /// The provider's id of it.
    pub id: Cow<'a, str>,
    /// The model as the provider names it.
    pub model: Cow<'a, str>,
    /// What the model said.
    pub parts: Vec<Part<'a>>,
    /// Why it stopped.
    pub finish: Finish,
    /// What it cost.
    pub usage: Usage,
    /// How it was served, when the provider says so.
    pub service_tier: Option<ServiceTier>,
}

/// Why an answer stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Finish {
    /// It was complete, or a stop text came.
    #[default]
    Stop,
    /// A token limit.
    Length,
    /// Tools are to be called.
    ToolCalls,
    /// The provider would not go on.
    ContentFilter,
}

/// One step of a streamed answer. Indices count from 0 among their own kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The answer begins.
    Start {
        /// The provider's id of the answer.
        id: &'a str,
        /// The model as the provider names it.
        model: &'a str,
    },
    /// More text.
    Text(&'a str),
    /// More of a refusal.
    Refusal(&'a str),
    /// Where the text so far has something from.
    Citation(&'a Citation<'a>),
    /// More of a thought.
    Reasoning {
        /// Which thought.
        index: u32,
        /// Its next words.
        text: &'a str,
    },
    /// A thought's signature.
    ReasoningSignature {
        /// Which thought.
        index: u32,
        /// See [`Part::Reasoning`].
        signature: &'a str,
    },
    /// A whole thought that only the provider can read.
    ReasoningEncrypted {
        /// Which thought.
        index: u32,
        /// Opaque.
        data: &'a str,
    },
    /// A call begins.
    ToolCall {
        /// Which call.
        index: u32,
        /// Its id.
        id: &'a str,
        /// The function's name.
        name: &'a str,
    },
    /// More of a call's arguments.
    ToolArguments {
        /// Which call.
        index: u32,
        /// A piece of JSON text.
        json: &'a str,
    },
    /// Why it stopped; more usage may follow.
    Finish(Finish),
    /// The answer is whole.
    End,
}

/// Token counts as the provider reported them, in OpenAI's meaning (`prompt` includes cached and cache-written).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens.
    pub prompt_tokens: u64,
    /// Output tokens.
    pub completion_tokens: u64,
    /// Sum, as reported or added up.
    pub total_tokens: u64,
    /// Of the input, read from the provider's prompt cache.
    pub cached_read_tokens: u64,
    /// Of the input, written to the provider's prompt cache.
    pub cached_write_tokens: u64,
    /// Of the output, spent on reasoning.
    pub reasoning_tokens: u64,
    /// Of the input, sound.
    pub audio_prompt_tokens: u64,
    /// Of the output, sound.
    pub audio_completion_tokens: u64,
}

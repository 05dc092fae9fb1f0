//! Clouds that serve several vendors' models, each in its vendor's own API: Azure and Vertex. Which API a model is asked in,
//! and at which path, is told by its name and by what a key says of its place. Data and pure functions; a key's section is
//! `config`'s to read, tokens are nobody's here.

use super::{Auth, open_ai_path};
use crate::dialect::{Dialect, Operation, Quirks};

/// A cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// Azure OpenAI, and Claude in Microsoft Foundry (<https://learn.microsoft.com/azure/ai-foundry/openai/>).
    Azure,
    /// Google's Vertex AI (<https://cloud.google.com/vertex-ai/generative-ai/docs>).
    Vertex,
}

/// Whose API a cloud's model is asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// The cloud's usual one: OpenAI's on Azure, Gemini's on Vertex.
    Own,
    /// Anthropic's.
    Claude,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Own, Self::Claude];
}

/// What names a Claude, whatever stands around it.
const CLAUDE: &str = "claude";
/// Publishers whose models are asked for here, as a caller may write them before a model's name.
const PUBLISHERS: [&str; 2] = ["google/", "anthropic/"];

impl Cloud {
    /// The family of a model that callers name `model` and that the cloud is asked for as `wire`, the name of a deployment
    /// perhaps; both empty where none is named. `None`: this version asks for no such one: another publisher's model, or a tuned
    /// one, which has a number.
    pub fn family(self, model: &str, wire: &str) -> Option<Family> {
        let names_claude = |name: &str| {
            let mut windows = name.as_bytes().windows(CLAUDE.len());
            windows.any(|window| window.eq_ignore_ascii_case(CLAUDE.as_bytes()))
        };
        let is_claude = names_claude(wire) || names_claude(model);
        match self {
            Self::Vertex if !is_plain(self.bare(wire)) => None,
            _ if is_claude => Some(Family::Claude),
            _ => Some(Family::Own),
        }
    }

    /// A model's name as it stands in a path: on Vertex without its publisher, whose place the path has.
    pub fn bare(self, wire: &str) -> &str {
        match self {
            Self::Azure => wire,
            Self::Vertex => PUBLISHERS.iter().find_map(|one| wire.strip_prefix(one)).unwrap_or(wire),
        }
    }

    /// The dialect of a family.
    pub fn dialect(self, family: Family) -> Dialect {
        match (self, family) {
            (_, Family::Claude) => Dialect::Anthropic,
            (Self::Azure, Family::Own) => Dialect::OpenAi,
            (Self::Vertex, Family::Own) => Dialect::Gemini,
        }
    }

    /// Path of an operation as most keys have it: by the v1 API, or in a project, whose names stand in braces.
    pub fn usual_path(self, family: Family, operation: Operation) -> Option<String> {
        match self {
            Self::Azure => AzureApi::V1 { version: None }.path(family, operation),
            Self::Vertex => {
                let (project, region) = ("{project}".to_owned(), "{region}".to_owned());
                VertexPlace::Project { project, region }.path(family, operation)
            }
        }
    }

    /// How a key's value is sent with a request in `dialect`.
    pub fn auth(self, dialect: Dialect) -> Auth {
        match (self, dialect) {
            (Self::Azure, Dialect::Anthropic) => Auth::AnthropicApiKey,
            (Self::Azure, _) => Auth::AzureApiKey,
            (Self::Vertex, _) => Auth::GoogleApiKey,
        }
    }

    /// Whether a body of Anthropic's has its version inside, and its model in the path (`dialect::vertex`).
    pub fn wraps(self, dialect: Dialect) -> bool {
        (self, dialect) == (Self::Vertex, Dialect::Anthropic)
    }
}

fn is_plain(name: &str) -> bool {
    name.is_empty() || !name.contains('/') && !name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Which of its APIs an Azure resource is asked in (`azure_key_config.api_version`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AzureApi {
    /// The v1 API (<https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle>), whose body names the
    /// deployment; `preview` and `latest` are told in the query.
    V1 {
        /// `None`: as it is by default.
        version: Option<&'static str>,
    },
    /// One of a date, `YYYY-MM-DD` or `YYYY-MM-DD-preview`, whose path names the deployment.
    Dated(String),
}

/// From which dated version on there are responses.
const RESPONSES_SINCE: &str = "2025-03-01-preview";

impl AzureApi {
    /// `None`: it is no version.
    pub fn of(text: &str) -> Option<Self> {
        match text {
            "" | "v1" => Some(Self::V1 { version: None }),
            "preview" => Some(Self::V1 { version: Some("preview") }),
            "latest" => Some(Self::V1 { version: Some("latest") }),
            _ => {
                let date = text.strip_suffix("-preview").unwrap_or(text);
                let is_right = |(at, byte): (usize, u8)| match at {
                    4 | 7 => byte == b'-',
                    _ => byte.is_ascii_digit(),
                };
                (date.len() == 10 && date.bytes().enumerate().all(is_right))
                    .then(|| Self::Dated(text.to_owned()))
            }
        }
    }

    /// Path and query of an operation behind the resource's endpoint; it may hold [`super::MODEL`]. `None`: Azure has no such
    /// one, or not in this version.
    pub fn path(&self, family: Family, operation: Operation) -> Option<String> {
        if family == Family::Claude {
            return claude_on_azure(operation).map(str::to_owned);
        }
        if !is_on_azure(operation) {
            return None;
        }
        let path = open_ai_path(operation, Quirks::OPENAI)?;
        match self {
            Self::V1 { version: None } => Some(format!("/openai/v1{path}")),
            Self::V1 { version: Some(version) } => Some(format!("/openai/v1{path}?api-version={version}")),
            Self::Dated(_) if operation == Operation::CountTokens => None,
            Self::Dated(date) if operation.is_of_responses() => {
                (date.as_str() >= RESPONSES_SINCE).then(|| format!("/openai{path}?api-version={date}"))
            }
            Self::Dated(date) if operation.is_of_account() => {
                Some(format!("/openai{path}?api-version={date}"))
            }
            Self::Dated(date) => Some(format!("/openai/deployments/{{model}}{path}?api-version={date}")),
        }
    }
}

/// Of OpenAI's operations those that Azure has
/// (<https://learn.microsoft.com/azure/ai-foundry/openai/reference>). Its list of models is that of what may be deployed, and
/// is not asked for.
fn is_on_azure(operation: Operation) -> bool {
    use Operation::{ImageVariation, ListModels, Moderation, Rerank};
    !matches!(operation, ListModels | Moderation | Rerank | ImageVariation)
}

/// <https://platform.claude.com/docs/en/build-with-claude/claude-in-microsoft-foundry>: no batches, no list of models.
fn claude_on_azure(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::Chat | Operation::ChatStream => Some("/anthropic/v1/messages"),
        Operation::CountTokens => Some("/anthropic/v1/messages/count_tokens"),
        _ => None,
    }
}

/// Where in Vertex a key's models are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VertexPlace {
    /// In a project, at a region, or `global`, `us` or `eu`.
    Project {
        /// Its id.
        project: String,
        /// Lower case.
        region: String,
    },
    /// By an API key alone (<https://cloud.google.com/vertex-ai/generative-ai/docs/start/express-mode/overview>).
    Express,
}

impl VertexPlace {
    /// Path and query of an operation behind the host; it holds [`super::MODEL`] but for counts. `None`: this version asks for no such one.
    pub fn path(&self, family: Family, operation: Operation) -> Option<String> {
        let method = match (family, operation) {
            (Family::Own, Operation::Chat) => "google/models/{model}:generateContent",
            (Family::Own, Operation::ChatStream) => "google/models/{model}:streamGenerateContent?alt=sse",
            (Family::Own, Operation::CountTokens) => "google/models/{model}:countTokens",
            // <https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai>
            (Family::Claude, Operation::Chat) => "anthropic/models/{model}:rawPredict",
            (Family::Claude, Operation::ChatStream) => "anthropic/models/{model}:streamRawPredict",
            (Family::Claude, Operation::CountTokens) => "anthropic/models/count-tokens:rawPredict",
            _ => return None,
        };
        match (self, family) {
            (Self::Project { project, region }, _) => {
                Some(format!("/v1/projects/{project}/locations/{region}/publishers/{method}"))
            }
            (Self::Express, Family::Own) => Some(format!("/v1/publishers/{method}")),
            (Self::Express, Family::Claude) => None,
        }
    }
}

/// The host of a region (<https://cloud.google.com/vertex-ai/docs/reference/rest#service-endpoint>); `us` and `eu` are several
/// regions, unless `is_single` says that the word is to be taken for a region's.
pub fn vertex_host(region: &str, is_single: bool) -> String {
    match region {
        "global" => "aiplatform.googleapis.com".to_owned(),
        "us" | "eu" if !is_single => format!("aiplatform.{region}.rep.googleapis.com"),
        _ => format!("{region}-aiplatform.googleapis.com"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::FILE_ID;
    use super::*;

    #[test]
    fn a_models_family_is_told_by_its_names() {
        use Family::{Claude, Own};
        for (cloud, model, wire, expected) in [
            (Cloud::Azure, "gpt-4o", "prod", Some(Own)),
            (Cloud::Azure, "claude-sonnet-4-5", "prod", Some(Claude)),
            (Cloud::Azure, "sonnet", "my-Claude", Some(Claude)),
            (Cloud::Azure, "", "", Some(Own)),
            (Cloud::Azure, "a/b", "a/b", Some(Own)),
            (Cloud::Vertex, "gemini-2.5-pro", "gemini-2.5-pro", Some(Own)),
            (Cloud::Vertex, "google/gemini-2.5-pro", "google/gemini-2.5-pro", Some(Own)),
            (Cloud::Vertex, "a", "anthropic/claude-opus-4-1@20250805", Some(Claude)),
            (Cloud::Vertex, "a", "meta/llama-4", None),
            (Cloud::Vertex, "a", "4711", None),
        ] {
            assert_eq!(cloud.family(model, wire), expected, "{cloud:?} {model} {wire}");
        }
        assert_eq!(Cloud::Vertex.bare("google/gemini-2.5-pro"), "gemini-2.5-pro");
        assert_eq!(Cloud::Azure.bare("google/x"), "google/x");
    }

    #[test]
    fn a_version_of_azures_is_a_date_or_a_word() {
        for (text, expected) in [
            ("", Some(AzureApi::V1 { version: None })),
            ("v1", Some(AzureApi::V1 { version: None })),
            ("latest", Some(AzureApi::V1 { version: Some("latest") })),
            ("2024-10-21", Some(AzureApi::Dated("2024-10-21".to_owned()))),
            ("2025-04-01-preview", Some(AzureApi::Dated("2025-04-01-preview".to_owned()))),
            ("2024-10", None),
            ("2024-10-21-beta", None),
            ("2024-10-21?x=y", None),
            ("V1", None),
        ] {
            assert_eq!(AzureApi::of(text), expected, "{text}");
        }
    }

    #[test]
    fn azures_paths_are_those_of_the_version() {
        let path = |version: &str, operation| AzureApi::of(version)?.path(Family::Own, operation);
        let some = |text: &str| Some(text.to_owned());
        for (operation, v1, dated) in [
            (
                Operation::Chat,
                some("/openai/v1/chat/completions"),
                some("/openai/deployments/{model}/chat/completions?api-version=2024-10-21"),
            ),
            (
                Operation::Transcription,
                some("/openai/v1/audio/transcriptions"),
                some("/openai/deployments/{model}/audio/transcriptions?api-version=2024-10-21"),
            ),
            (Operation::Responses, some("/openai/v1/responses"), None),
            (
                Operation::FileContent,
                Some(format!("/openai/v1/files/{FILE_ID}/content")),
                Some(format!("/openai/files/{FILE_ID}/content?api-version=2024-10-21")),
            ),
            (
                Operation::BatchCreate,
                some("/openai/v1/batches"),
                some("/openai/batches?api-version=2024-10-21"),
            ),
            (Operation::CountTokens, some("/openai/v1/responses/input_tokens"), None),
            (Operation::Moderation, None, None),
            (Operation::ListModels, None, None),
            (Operation::ImageVariation, None, None),
        ] {
            assert_eq!(path("v1", operation), v1, "{operation:?}");
            assert_eq!(path("2024-10-21", operation), dated, "{operation:?}");
        }
        let responses = |version| path(version, Operation::ResponsesRetrieve);
        let id = "{response_id}";
        assert_eq!(responses("preview"), Some(format!("/openai/v1/responses/{id}?api-version=preview")));
        let (since, after) = ("2025-03-01-preview", "2025-04-01-preview");
        assert_eq!(responses(since), Some(format!("/openai/responses/{id}?api-version={since}")));
        assert_eq!(responses(after), Some(format!("/openai/responses/{id}?api-version={after}")));
        assert_eq!(responses("2025-02-01-preview"), None);
        let claude = |operation| AzureApi::Dated("2024-10-21".to_owned()).path(Family::Claude, operation);
        assert_eq!(claude(Operation::ChatStream), some("/anthropic/v1/messages"));
        assert_eq!(claude(Operation::BatchCreate), None);
    }

    #[test]
    fn vertex_paths_are_those_of_project_and_region() {
        let place = VertexPlace::Project { project: "p".to_owned(), region: "eu".to_owned() };
        let front = "/v1/projects/p/locations/eu/publishers";
        for (family, operation, path) in [
            (Family::Own, Operation::Chat, "google/models/{model}:generateContent"),
            (Family::Own, Operation::ChatStream, "google/models/{model}:streamGenerateContent?alt=sse"),
            (Family::Claude, Operation::Chat, "anthropic/models/{model}:rawPredict"),
            (Family::Claude, Operation::CountTokens, "anthropic/models/count-tokens:rawPredict"),
        ] {
            assert_eq!(place.path(family, operation), Some(format!("{front}/{path}")));
        }
        assert_eq!(place.path(Family::Own, Operation::Embedding), None);
        let express = |family| VertexPlace::Express.path(family, Operation::Chat);
        assert_eq!(
            express(Family::Own).as_deref(),
            Some("/v1/publishers/google/models/{model}:generateContent")
        );
        assert_eq!(express(Family::Claude), None);
        for (region, is_single, host) in [
            ("global", false, "aiplatform.googleapis.com"),
            ("us-central1", false, "us-central1-aiplatform.googleapis.com"),
            ("eu", false, "aiplatform.eu.rep.googleapis.com"),
            ("us", true, "us-aiplatform.googleapis.com"),
        ] {
            assert_eq!(vertex_host(region, is_single), host);
        }
    }
}

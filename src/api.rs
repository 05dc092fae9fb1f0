//! The table of paths: which dialect a caller speaks there, which operation it asks for, whose errors it expects.
//! Paths are compared byte for byte, never decoded: an escaped or dotted spelling of a route is not that route. Only what
//! stands for a path's one parameter, a model's name or an id, is decoded.

use std::borrow::Cow;

use crate::dialect::{Dialect, Operation};
use crate::http::Method;

/// What a path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Something that a model is asked for, in the given dialect; that of a whole answer where it may be a stream, too.
    Inference(Operation, Dialect),
    /// The list of models, in the given dialect's shape.
    Models(Dialect),
    /// One model of that list, likewise.
    Model(Dialect),
    /// Whether this node serves.
    Health,
    /// Prometheus text.
    Metrics,
}

/// Whose error bodies a caller expects; one per family of paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// `/v1/*`: OpenAI's shape with Bifrost's facts around it.
    Native,
    /// `/openai/*`, and the prefixes of libraries (`/litellm/*`, `/langchain/*`, `/pydanticai/*`).
    OpenAi,
    /// `/anthropic/*`, also behind such a prefix.
    Anthropic,
    /// `/genai/*`, likewise.
    Gemini,
    /// `/cohere/*`, likewise.
    Cohere,
    /// `/bedrock/*`, likewise.
    Bedrock,
}

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// The path, and its label in metrics. A name in braces may stand in it for what differs: [`MODEL`] for a model's name,
    /// which may hold slashes, any other for one segment. Of several the last is the path's parameter; the others say nothing
    /// to us.
    pub path: &'static str,
    /// The one method it takes; [`Route::takes`] says which GETs take HEAD as well.
    pub method: Method,
    /// What it is for.
    pub endpoint: Endpoint,
    /// Whose error bodies it answers with.
    pub surface: Surface,
    /// The provider that a bare model name means here; `None`: the one that lists it.
    pub home: Option<&'static str>,
    /// Where in the path its parameter stands, braces included; empty, at the path's end: it has none.
    parameter: (usize, usize),
    /// Whether other names in braces stand before it.
    is_deep: bool,
}

/// What stands in a path for a model's name.
pub const MODEL: &str = "{model}";

const OPENAI: Option<&str> = Some("openai");
const ANTHROPIC: Option<&str> = Some("anthropic");
const GEMINI: Option<&str> = Some("gemini");
const COHERE: Option<&str> = Some("cohere");
const BEDROCK: Option<&str> = Some("bedrock");
const AZURE: Option<&str> = Some("azure");
const VERTEX: Option<&str> = Some("vertex");

/// Where the last braces of a path begin and end.
const fn parameter_in(path: &str) -> (usize, usize) {
    let bytes = path.as_bytes();
    let (mut start, mut end, mut at) = (bytes.len(), bytes.len(), 0);
    while at < bytes.len() {
        match bytes[at] {
            b'{' => start = at,
            b'}' => end = at + 1,
            _ => {}
        }
        at += 1;
    }
    (start, end)
}

/// Whether a path has more than one pair of braces.
const fn is_deep(path: &str) -> bool {
    let bytes = path.as_bytes();
    let (mut count, mut at) = (0, 0);
    while at < bytes.len() {
        count += (bytes[at] == b'{') as usize;
        at += 1;
    }
    count > 1
}

/// A row for each place where callers speak OpenAI's dialect: a prefix, its error bodies, its home. A library's prefix is
/// nobody's home: bare names there mean what they mean at `/v1` (compat.md 2.7 names no other).
macro_rules! openai {
    ($method:ident, $path:literal, $endpoint:expr) => {
        openai!($method, $path, $endpoint,
            "/v1" Native None, "/openai/v1" OpenAi OPENAI, "/openai" OpenAi OPENAI,
            "/litellm/v1" OpenAi None, "/litellm" OpenAi None,
            "/langchain/v1" OpenAi None, "/langchain" OpenAi None,
            "/pydanticai/v1" OpenAi None, "/pydanticai" OpenAi None)
    };
    ($method:ident, $path:literal, $endpoint:expr, $($prefix:literal $surface:ident $home:expr),*) => {
        &[$(Route {
            path: concat!($prefix, $path),
            method: Method::$method,
            endpoint: $endpoint,
            surface: Surface::$surface,
            home: $home,
            parameter: parameter_in(concat!($prefix, $path)),
            is_deep: is_deep(concat!($prefix, $path)),
        }),*]
    };
}

/// The same for Anthropic's.
macro_rules! anthropic {
    ($method:ident, $path:literal, $endpoint:expr) => {
        openai!($method, $path, $endpoint,
            "/anthropic/v1" Anthropic ANTHROPIC, "/litellm/anthropic/v1" Anthropic ANTHROPIC,
            "/langchain/anthropic/v1" Anthropic ANTHROPIC, "/pydanticai/anthropic/v1" Anthropic ANTHROPIC)
    };
}

/// The same for Gemini's; a library's prefix with the vendor's behind it is the vendor's home, as for Anthropic's.
macro_rules! gemini {
    ($method:ident, $path:literal, $endpoint:expr) => {
        openai!($method, $path, $endpoint,
            "/genai/v1beta" Gemini GEMINI, "/genai/v1" Gemini GEMINI,
            "/litellm/genai/v1beta" Gemini GEMINI, "/litellm/genai/v1" Gemini GEMINI,
            "/langchain/genai/v1beta" Gemini GEMINI, "/langchain/genai/v1" Gemini GEMINI,
            "/pydanticai/genai/v1beta" Gemini GEMINI, "/pydanticai/genai/v1" Gemini GEMINI)
    };
}

/// The same for Cohere's; the version is a part of each path.
macro_rules! cohere {
    ($method:ident, $path:literal, $endpoint:expr) => {
        openai!($method, $path, $endpoint,
            "/cohere" Cohere COHERE, "/litellm/cohere" Cohere COHERE,
            "/langchain/cohere" Cohere COHERE, "/pydanticai/cohere" Cohere COHERE)
    };
}

/// The same for Bedrock's.
macro_rules! bedrock {
    ($path:literal, $endpoint:expr) => {
        openai!(Post, $path, $endpoint,
            "/bedrock" Bedrock BEDROCK, "/litellm/bedrock" Bedrock BEDROCK,
            "/langchain/bedrock" Bedrock BEDROCK, "/pydanticai/bedrock" Bedrock BEDROCK)
    };
}

/// The paths of Azure's SDKs, which name a deployment; what comes behind `api-version` in their query says nothing to us.
macro_rules! azure {
    ($path:literal, $endpoint:expr) => {
        openai!(Post, $path, $endpoint, "/openai/deployments/{model}" OpenAi AZURE)
    };
}

/// The paths of Google's SDK where it is told that it speaks to Vertex: in a project, or by an API key alone.
macro_rules! vertex {
    ($path:literal, $endpoint:expr) => {
        openai!(Post, $path, $endpoint,
            "/genai/v1beta1/projects/{project}/locations/{location}/publishers/google" Gemini VERTEX,
            "/genai/v1beta/projects/{project}/locations/{location}/publishers/google" Gemini VERTEX,
            "/genai/v1/projects/{project}/locations/{location}/publishers/google" Gemini VERTEX,
            "/genai/v1beta1/publishers/google" Gemini VERTEX,
            "/genai/v1beta/publishers/google" Gemini VERTEX,
            "/genai/v1/publishers/google" Gemini VERTEX)
    };
}

const fn open_ai(operation: Operation) -> Endpoint {
    Endpoint::Inference(operation, Dialect::OpenAi)
}

const fn claude(operation: Operation) -> Endpoint {
    Endpoint::Inference(operation, Dialect::Anthropic)
}

const fn google(operation: Operation) -> Endpoint {
    Endpoint::Inference(operation, Dialect::Gemini)
}

const fn command(operation: Operation) -> Endpoint {
    Endpoint::Inference(operation, Dialect::Cohere)
}

const fn amazon(operation: Operation) -> Endpoint {
    Endpoint::Inference(operation, Dialect::Bedrock)
}

const fn response(operation: Operation) -> Endpoint {
    Endpoint::Inference(operation, Dialect::Responses)
}

const fn own(path: &'static str, endpoint: Endpoint) -> Route {
    let parameter = parameter_in(path);
    Route {
        path,
        method: Method::Get,
        endpoint,
        surface: Surface::Native,
        home: None,
        parameter,
        is_deep: false,
    }
}

/// The routes without a parameter, in groups, the most used first.
static EXACT: &[&[Route]] = &[
    openai!(Post, "/chat/completions", open_ai(Operation::Chat)),
    anthropic!(Post, "/messages", claude(Operation::Chat)),
    openai!(Post, "/responses", response(Operation::Responses)),
    openai!(Post, "/embeddings", open_ai(Operation::Embedding)),
    openai!(Post, "/completions", open_ai(Operation::TextCompletion)),
    openai!(Post, "/moderations", open_ai(Operation::Moderation)),
    anthropic!(Post, "/messages/count_tokens", claude(Operation::CountTokens)),
    openai!(Post, "/responses/input_tokens", response(Operation::CountTokens)),
    openai!(Post, "/rerank", open_ai(Operation::Rerank)),
    cohere!(Post, "/v2/chat", command(Operation::Chat)),
    cohere!(Post, "/v2/embed", command(Operation::Embedding)),
    cohere!(Post, "/v2/rerank", command(Operation::Rerank)),
    cohere!(Post, "/v1/tokenize", command(Operation::CountTokens)),
    openai!(Get, "/models", Endpoint::Models(Dialect::OpenAi)),
    anthropic!(Get, "/models", Endpoint::Models(Dialect::Anthropic)),
    gemini!(Get, "/models", Endpoint::Models(Dialect::Gemini)),
    cohere!(Get, "/v1/models", Endpoint::Models(Dialect::Cohere)),
    &[own("/health", Endpoint::Health), own("/metrics", Endpoint::Metrics)],
];

/// Those with one. Where a path is one of several, the first is meant: what has text behind its parameter stands before
/// what has none.
static OPEN: &[&[Route]] = &[
    gemini!(Post, "/models/{model}:generateContent", google(Operation::Chat)),
    gemini!(Post, "/models/{model}:streamGenerateContent", google(Operation::ChatStream)),
    gemini!(Post, "/models/{model}:countTokens", google(Operation::CountTokens)),
    gemini!(Post, "/models/{model}:embedContent", google(Operation::Embedding)),
    gemini!(Post, "/models/{model}:batchEmbedContents", google(Operation::EmbeddingBatch)),
    azure!("/chat/completions", open_ai(Operation::Chat)),
    azure!("/responses", response(Operation::Responses)),
    azure!("/embeddings", open_ai(Operation::Embedding)),
    // Behind that of conversations, whose end it has.
    azure!("/completions", open_ai(Operation::TextCompletion)),
    vertex!("/models/{model}:generateContent", google(Operation::Chat)),
    vertex!("/models/{model}:streamGenerateContent", google(Operation::ChatStream)),
    vertex!("/models/{model}:countTokens", google(Operation::CountTokens)),
    bedrock!("/model/{model}/converse", amazon(Operation::Chat)),
    bedrock!("/model/{model}/converse-stream", amazon(Operation::ChatStream)),
    // Of the many bodies that models there take, Anthropic's.
    bedrock!("/model/{model}/invoke", claude(Operation::Chat)),
    bedrock!("/model/{model}/invoke-with-response-stream", claude(Operation::ChatStream)),
    openai!(Get, "/responses/{response_id}", response(Operation::ResponsesRetrieve)),
    openai!(Delete, "/responses/{response_id}", response(Operation::ResponsesDelete)),
    openai!(Get, "/responses/{response_id}/input_items", response(Operation::ResponsesInputItems)),
    openai!(Post, "/responses/{response_id}/cancel", response(Operation::ResponsesCancel)),
    openai!(Get, "/models/{model}", Endpoint::Model(Dialect::OpenAi)),
    anthropic!(Get, "/models/{model}", Endpoint::Model(Dialect::Anthropic)),
    gemini!(Get, "/models/{model}", Endpoint::Model(Dialect::Gemini)),
    cohere!(Get, "/v1/models/{model}", Endpoint::Model(Dialect::Cohere)),
    azure!("/audio/speech", open_ai(Operation::Speech)),
    azure!("/audio/transcriptions", open_ai(Operation::Transcription)),
    azure!("/audio/translations", open_ai(Operation::Translation)),
    azure!("/images/generations", open_ai(Operation::ImageGeneration)),
    azure!("/images/edits", open_ai(Operation::ImageEdit)),
    openai!(Get, "/files/{file_id}/content", open_ai(Operation::FileContent)),
    openai!(Get, "/files/{file_id}", open_ai(Operation::FileRetrieve)),
    openai!(Delete, "/files/{file_id}", open_ai(Operation::FileDelete)),
    openai!(Get, "/batches/{batch_id}", open_ai(Operation::BatchRetrieve)),
    openai!(Post, "/batches/{batch_id}/cancel", open_ai(Operation::BatchCancel)),
    anthropic!(Get, "/files/{file_id}/content", claude(Operation::FileContent)),
    anthropic!(Get, "/files/{file_id}", claude(Operation::FileRetrieve)),
    anthropic!(Delete, "/files/{file_id}", claude(Operation::FileDelete)),
    anthropic!(Get, "/messages/batches/{batch_id}", claude(Operation::BatchRetrieve)),
    anthropic!(Delete, "/messages/batches/{batch_id}", claude(Operation::BatchDelete)),
    anthropic!(Post, "/messages/batches/{batch_id}/cancel", claude(Operation::BatchCancel)),
    anthropic!(Get, "/messages/batches/{batch_id}/results", claude(Operation::BatchResults)),
];

/// Those without one that are seldom called, so that the search for others does not pass them.
static SELDOM: &[&[Route]] = &[
    openai!(Post, "/images/generations", open_ai(Operation::ImageGeneration)),
    openai!(Post, "/images/edits", open_ai(Operation::ImageEdit)),
    openai!(Post, "/images/variations", open_ai(Operation::ImageVariation)),
    openai!(Post, "/audio/speech", open_ai(Operation::Speech)),
    openai!(Post, "/audio/transcriptions", open_ai(Operation::Transcription)),
    openai!(Post, "/audio/translations", open_ai(Operation::Translation)),
    openai!(Post, "/files", open_ai(Operation::FileUpload)),
    openai!(Get, "/files", open_ai(Operation::FileList)),
    openai!(Post, "/batches", open_ai(Operation::BatchCreate)),
    openai!(Get, "/batches", open_ai(Operation::BatchList)),
    anthropic!(Post, "/files", claude(Operation::FileUpload)),
    anthropic!(Get, "/files", claude(Operation::FileList)),
    anthropic!(Post, "/messages/batches", claude(Operation::BatchCreate)),
    anthropic!(Get, "/messages/batches", claude(Operation::BatchList)),
];

/// All of them.
pub fn routes() -> impl Iterator<Item = &'static Route> {
    EXACT.iter().chain(OPEN).chain(SELDOM).copied().flatten()
}

/// The route of a path, whatever the method.
pub fn find(path: &[u8]) -> Option<&'static Route> {
    let exact = EXACT.iter().copied().flatten().find(|route| route.path.as_bytes() == path);
    let open = || OPEN.iter().copied().flatten().find(|route| route.named(path).is_some());
    exact
        .or_else(open)
        .or_else(|| SELDOM.iter().copied().flatten().find(|route| route.path.as_bytes() == path))
}

/// The same, of the rows of one path the one that takes the method; the first where none does.
pub fn find_for(path: &[u8], method: Method) -> Option<&'static Route> {
    let found = find(path)?;
    if found.takes(method) {
        return Some(found);
    }
    let others = routes().filter(|route| route.path == found.path);
    Some(others.into_iter().find(|route| route.takes(method)).unwrap_or(found))
}

/// Prefixes of libraries, each with the vendors' paths behind it (compat.md 2.7).
const LIBRARIES: [&[u8]; 3] = [b"/litellm", b"/langchain", b"/pydanticai"];

/// Whose error shape fits a path that no route has: that of the nearest prefix.
pub fn surface_of(path: &[u8]) -> Surface {
    let behind = LIBRARIES.iter().find_map(|library| path.strip_prefix(*library));
    let behind = behind.filter(|behind| behind.first() == Some(&b'/'));
    let rest = behind.unwrap_or(path);
    if rest.starts_with(b"/anthropic/") {
        Surface::Anthropic
    } else if rest.starts_with(b"/genai/") {
        Surface::Gemini
    } else if rest.starts_with(b"/cohere/") {
        Surface::Cohere
    } else if rest.starts_with(b"/bedrock/") {
        Surface::Bedrock
    } else if behind.is_some() || path.starts_with(b"/openai/") {
        Surface::OpenAi
    } else {
        Surface::Native
    }
}

/// The same for a head that never became a request, as far as its request line came in.
pub fn surface_of_head(received: &[u8]) -> Surface {
    let line = received.trim_ascii_start().split(|byte| matches!(byte, b'\r' | b'\n')).next();
    let target = line.unwrap_or_default().split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    surface_of(path_of(target))
}

/// Whether a query names the version of Azure's API in which its caller speaks.
pub fn names_version(query: Option<&[u8]>) -> bool {
    query.unwrap_or_default().split(|byte| *byte == b'&').any(|pair| pair.starts_with(b"api-version="))
}

/// The path of an origin-form or absolute-form target (RFC 9112 §3.2), whatever it is worth.
fn path_of(target: &[u8]) -> &[u8] {
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let (front, rest) = target.split_at_checked(scheme.len())?;
        front.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    });
    let Some(rest) = rest else { return target };
    rest.iter().position(|byte| *byte == b'/').and_then(|slash| rest.get(slash..)).unwrap_or_default()
}

impl Route {
    /// Whether this route takes the method; HEAD is a GET without its body (RFC 9110 §9.3.2), of what we answer ourselves.
    pub fn takes(&self, method: Method) -> bool {
        method == self.method || (method == Method::Head && self.takes_head())
    }

    fn takes_head(&self) -> bool {
        self.method == Method::Get && !matches!(self.endpoint, Endpoint::Inference(..))
    }

    /// The provider that a bare model name means of a request with this query: Azure's SDKs ask at OpenAI's paths for what has
    /// no deployment in its path, and name a version.
    pub fn home_for(&self, query: Option<&[u8]>) -> Option<&'static str> {
        match self.home {
            OPENAI if self.surface == Surface::OpenAi && names_version(query) => AZURE,
            home => home,
        }
    }

    /// The methods that it answers otherwise than by 405, as in an `Allow` header (RFC 9110 §10.2.1).
    pub fn allow(&self) -> &'static str {
        match self.method {
            Method::Get if self.takes_head() => "GET, HEAD, OPTIONS",
            Method::Get if self.endpoint == open_ai(Operation::BatchRetrieve) => "GET, OPTIONS",
            Method::Get | Method::Delete if self.path.ends_with('}') => "GET, DELETE, OPTIONS",
            Method::Get | Method::Post if self.is_list() => "GET, POST, OPTIONS",
            Method::Get => "GET, OPTIONS",
            _ => "POST, OPTIONS",
        }
    }

    /// Whether one path lists what there is, and takes more.
    fn is_list(&self) -> bool {
        self.path.ends_with("/files") || self.path.ends_with("/batches")
    }

    /// The model that `path` names, when the route has a place for one: percent-escapes undone once (RFC 3986 §2.1), slashes
    /// and colons its own. `None`: it is another path, or names none: text that is empty, not UTF-8, holds a control
    /// character, or has a segment that is empty or of dots.
    pub fn model(&self, path: &[u8]) -> Option<String> {
        if self.names_model() { self.parameter(path) } else { None }
    }

    /// What `path` has in the place of the route's parameter, decoded like a model's name; one that is no model's is one
    /// segment, in which no slash is hidden either.
    pub fn parameter(&self, path: &[u8]) -> Option<String> {
        self.named(path).map(Cow::into_owned)
    }

    /// Whether its parameter is a model's name.
    fn names_model(&self) -> bool {
        self.path.get(self.parameter.0..self.parameter.1) == Some(MODEL)
    }

    /// The same, borrowed where nothing is escaped.
    fn named<'p>(&self, path: &'p [u8]) -> Option<Cow<'p, str>> {
        let own = self.path.as_bytes();
        let (start, end) = self.parameter;
        let before = own.get(..start)?;
        let behind = if self.is_deep { behind(path, before)? } else { path.strip_prefix(before)? };
        let behind = Some(behind).filter(|_| start < end)?;
        let name = unescaped(behind.strip_suffix(own.get(end..)?)?)?;
        let is_plain = is_plain(&name) && (self.names_model() || !name.contains('/'));
        (is_plain && !name.contains(char::is_control)).then_some(name)
    }
}

/// What stands in `path` behind the beginning that `template` says, in which each name in braces stands for one segment.
fn behind<'p>(mut path: &'p [u8], template: &[u8]) -> Option<&'p [u8]> {
    let mut rest = template;
    while let Some(start) = memchr::memchr(b'{', rest) {
        path = path.strip_prefix(rest.get(..start)?)?;
        let segment = memchr::memchr(b'/', path).filter(|length| *length > 0)?;
        path = path.get(segment..)?;
        rest = rest.get(memchr::memchr(b'}', rest)? + 1..)?;
    }
    path.strip_prefix(rest)
}

/// Whether a name, decoded, can stand in a path: no segment of it is empty or of dots, which some server on the way would
/// resolve (RFC 3986 §5.2.4), escaped slashes or not.
pub fn is_plain(name: &str) -> bool {
    name.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

/// Percent-escapes undone, once. `None`: one is cut or holds no digits, or it makes no text.
pub fn unescaped(path: &[u8]) -> Option<Cow<'_, str>> {
    if memchr::memchr(b'%', path).is_none() {
        return std::str::from_utf8(path).ok().map(Cow::Borrowed);
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        rest = behind;
        let mut digits = digits.iter().map(|digit| char::from(*digit).to_digit(16));
        let value = digits.try_fold(0, |value, digit| Some(value * 16 + digit?))?;
        bytes.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests;

//! The table of paths: which dialect a caller speaks there, which operation it asks for, whose errors it expects.
//! Paths are compared byte for byte, never decoded: an escaped or dotted spelling of a route is not that route.

use crate::dialect::Dialect;
use crate::http::Method;

/// What a path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A conversation with a model, in the given dialect.
    Chat(Dialect),
    /// The list of models, in the given dialect's shape.
    Models(Dialect),
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
    /// `/openai/*`.
    OpenAi,
    /// `/anthropic/*`.
    Anthropic,
}

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// The path, and its label in metrics.
    pub path: &'static str,
    /// The one method it takes (a GET route takes HEAD as well).
    pub method: Method,
    /// What it is for.
    pub endpoint: Endpoint,
    /// Whose error bodies it answers with.
    pub surface: Surface,
    /// The provider that a bare model name means here; `None`: the one that lists it.
    pub home: Option<&'static str>,
}

const fn post(path: &'static str, dialect: Dialect, surface: Surface, home: Option<&'static str>) -> Route {
    Route { path, method: Method::Post, endpoint: Endpoint::Chat(dialect), surface, home }
}

const fn get(path: &'static str, endpoint: Endpoint, surface: Surface) -> Route {
    Route { path, method: Method::Get, endpoint, surface, home: None }
}

/// Every route that this version has, the most used first.
pub static ROUTES: [Route; 10] = [
    post("/v1/chat/completions", Dialect::OpenAi, Surface::Native, None),
    post("/openai/v1/chat/completions", Dialect::OpenAi, Surface::OpenAi, Some("openai")),
    post("/openai/chat/completions", Dialect::OpenAi, Surface::OpenAi, Some("openai")),
    post("/anthropic/v1/messages", Dialect::Anthropic, Surface::Anthropic, Some("anthropic")),
    get("/v1/models", Endpoint::Models(Dialect::OpenAi), Surface::Native),
    get("/openai/v1/models", Endpoint::Models(Dialect::OpenAi), Surface::OpenAi),
    get("/openai/models", Endpoint::Models(Dialect::OpenAi), Surface::OpenAi),
    get("/anthropic/v1/models", Endpoint::Models(Dialect::Anthropic), Surface::Anthropic),
    get("/health", Endpoint::Health, Surface::Native),
    get("/metrics", Endpoint::Metrics, Surface::Native),
];

/// The route of a path, whatever the method.
pub fn find(path: &[u8]) -> Option<&'static Route> {
    ROUTES.iter().find(|route| route.path.as_bytes() == path)
}

/// Whose error shape fits a path that no route has: that of the nearest prefix.
pub fn surface_of(path: &[u8]) -> Surface {
    if path.starts_with(b"/anthropic/") {
        Surface::Anthropic
    } else if path.starts_with(b"/openai/") {
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
    /// Whether this route takes the method; HEAD is a GET without its body (RFC 9110 §9.3.2).
    pub fn takes(&self, method: Method) -> bool {
        method == self.method || (method == Method::Head && self.method == Method::Get)
    }

    /// The methods that it answers otherwise than by 405, as in an `Allow` header (RFC 9110 §10.2.1).
    pub fn allow(&self) -> &'static str {
        match self.method {
            Method::Get => "GET, HEAD, OPTIONS",
            _ => "POST, OPTIONS",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_spelling_is_a_route() {
        assert!(find(b"/v1/chat/completions").is_some());
        for path in ["/v1/chat/completions/", "/v1/chat%2Fcompletions", "/x/../v1/models", "//v1/models", ""]
        {
            assert!(find(path.as_bytes()).is_none(), "{path}");
        }
    }

    #[test]
    fn a_head_that_is_no_request_still_has_a_nearest_shape() {
        for (head, surface) in [
            ("POST /anthropic/v1/messages HTTP/1.1\r\nhost : a", Surface::Anthropic),
            ("\r\nPOST /anthropic/v1/mess", Surface::Anthropic),
            ("GET http://a/openai/models HTTP/2.0\r\n", Surface::OpenAi),
            ("GET HTTPS://a:1/openai/models HTTP/2.0\n", Surface::OpenAi),
            ("BREW /openai/v1/models HTTP/1.1", Surface::OpenAi),
            ("GET http://openai/v1/models HTTP/1.1", Surface::Native),
            ("GET http:///anthropic/", Surface::Anthropic),
            ("GET\r\n/anthropic/ HTTP/1.1", Surface::Native),
            ("/anthropic/v1/messages", Surface::Native),
            ("\u{16}\u{3}\u{1}", Surface::Native),
            ("", Surface::Native),
        ] {
            assert_eq!(surface_of_head(head.as_bytes()), surface, "{head:?}");
        }
    }

    #[test]
    fn unknown_paths_answer_in_the_nearest_shape() {
        assert_eq!(surface_of(b"/anthropic/v1/complete"), Surface::Anthropic);
        assert_eq!(surface_of(b"/openai/v1/embeddings"), Surface::OpenAi);
        assert_eq!(surface_of(b"/v2"), Surface::Native);
    }
}

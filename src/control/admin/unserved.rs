//! What is asked of the admin API and is not there: Bifrost's paths that change things, Bifrost's paths that have no
//! meaning here, and all others. Each is told apart, so that who migrates knows what to do. Pure.

use axum::http::{Method, StatusCode};

use super::failure::Failure;

/// What the file decides and Bifrost changes by its API; the names below `/api/`.
const DECIDED_BY_THE_FILE: [&str; 14] = [
    "providers",
    "keys",
    "models",
    "config",
    "version",
    "governance",
    "routing",
    "plugins",
    "proxy-config",
    "mcp",
    "pricing",
    "prompts",
    "prompt-repo",
    "guardrails",
];
/// What else Bifrost has there.
const BIFROSTS: [&str; 9] =
    ["logs", "mcp-logs", "cache", "oauth", "session", "dashboards", "users", "teams", "alerts"];
/// What is here.
const OURS: &str = "GET /api/status, /api/streams, /api/version, /api/providers, /api/providers/{provider}, /api/keys, \
                    /api/models, /api/config; POST /api/reload, /api/drain, /api/keys/{name}/disable, \
                    /api/keys/{name}/enable";

/// The answer where no route is; `has_others`: the path takes another method.
pub(super) fn answer(method: &Method, path: &str, has_others: bool) -> Failure {
    let name = path.strip_prefix("/api/").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let writes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let is_decided = DECIDED_BY_THE_FILE.contains(&name);
    match (writes && is_decided, has_others) {
        (true, true) => Failure::new(StatusCode::METHOD_NOT_ALLOWED, THE_FILE),
        (true, false) => Failure::new(StatusCode::NOT_IMPLEMENTED, THE_FILE),
        (false, true) => Failure::new(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method"),
        (false, false) if is_decided || BIFROSTS.contains(&name) => {
            let message = format!("Bifrost has this path, corelane has not. Here are: {OURS}");
            Failure::new(StatusCode::NOT_FOUND, message)
        }
        (false, false) => {
            Failure::new(StatusCode::NOT_FOUND, format!("there is no such path. Here are: {OURS}"))
        }
    }
}

/// Why nothing is written.
const THE_FILE: &str = "nothing is changed here: the file is the only truth. Edit config.json; it is reloaded when it \
                        changes, or at once by POST /api/reload or corelane reload";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_migrates_is_told_what_to_do() {
        let check = |method: Method, path: &str, has_others, status: u16, words: &str| {
            let failure = answer(&method, path, has_others);
            assert_eq!(failure.status.as_u16(), status, "{method} {path}");
            assert!(failure.message.contains(words), "{method} {path}: {}", failure.message);
        };
        check(Method::POST, "/api/providers", true, 405, "the only truth");
        check(Method::DELETE, "/api/providers/openai/keys/1", false, 501, "the only truth");
        check(Method::PUT, "/api/config", true, 405, "the only truth");
        check(Method::POST, "/api/governance/virtual-keys", false, 501, "Edit config.json");
        check(Method::GET, "/api/governance/virtual-keys", false, 404, "Bifrost has this path");
        check(Method::GET, "/api/logs", false, 404, "Bifrost has this path");
        check(Method::POST, "/api/session/login", false, 404, "Bifrost has this path");
        check(Method::GET, "/api/reload", true, 405, "another method");
        check(Method::GET, "/v1/models", false, 404, "no such path. Here are: GET /api/status");
    }
}

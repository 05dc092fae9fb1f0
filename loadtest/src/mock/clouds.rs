//! Azure's and Vertex' paths: each is taken to its vendor's own API, as strictly as the cloud takes it, and what the cloud adds
//! to an answer is put in. The vendors' words are their own files'. Pure.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};

use super::answer::Plan;
use super::call::Refusal;
use super::{anthropic, gemini, openai};

/// What Azure sends before a stream's first chunk: what its filters found of the prompt.
const FILTERED: &str = r#"{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}"#;
/// The version of Anthropic's API that Vertex wants in a body.
const VERSION: &str = "vertex-2023-10-16";

/// A cloud, and the API that it is asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// Azure, in OpenAI's or Anthropic's.
    Azure,
    /// Vertex, in Gemini's.
    Vertex,
    /// Vertex, in Anthropic's.
    Claude,
}

/// A request as the vendor's own API has it.
#[derive(Debug)]
pub struct AtHome {
    /// Whose cloud it was.
    pub cloud: Cloud,
    /// The vendor's path.
    pub path: String,
    /// Its query, without what is the cloud's.
    pub query: String,
    /// Its headers, with the credential where the vendor looks for it.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// The request at home; `None`: its path is no cloud's. Errors: the cloud's own answer.
pub fn at_home(
    (path, query): (&str, &str),
    headers: &HeaderMap,
    body: &Bytes,
) -> Option<Result<AtHome, Plan>> {
    let home = |cloud, path: String, query: &str| AtHome {
        cloud,
        path,
        query: query.to_owned(),
        headers: headers.clone(),
        body: body.clone(),
    };
    if let Some(rest) = path.strip_prefix("/anthropic/v1/") {
        return Some(Ok(home(Cloud::Azure, format!("/v1/{rest}"), query)));
    }
    if let Some(rest) = path.strip_prefix("/openai/") {
        let (version, query) = split_version(query);
        let at_home = home(Cloud::Azure, String::new(), &query);
        let answered = azure(rest, version.as_deref(), at_home);
        return Some(
            answered.map_err(|refusal| Plan::json(refusal.status, openai::HEADERS, &openai::error(&refusal))),
        );
    }
    let rest = path.strip_prefix("/v1/")?;
    let rest = rest.strip_prefix("publishers/").or_else(|| in_project(rest))?;
    if let Some(method) = rest.strip_prefix("google/models/") {
        return Some(Ok(home(Cloud::Vertex, format!("/v1beta/models/{method}"), query)));
    }
    let method = rest.strip_prefix("anthropic/models/")?;
    let answered = claude(method, home(Cloud::Claude, String::new(), query));
    Some(
        answered
            .map_err(|refusal| Plan::json(refusal.status, anthropic::HEADERS, &anthropic::error(&refusal))),
    )
}

fn in_project(rest: &str) -> Option<&str> {
    let (project, rest) = rest.strip_prefix("projects/")?.split_once("/locations/")?;
    let (region, rest) = rest.split_once("/publishers/")?;
    (!project.is_empty() && !region.is_empty() && !region.contains('/')).then_some(rest)
}

/// `api-version`, and the rest of the query.
fn split_version(query: &str) -> (Option<String>, String) {
    let (mut version, mut rest) = (None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.strip_prefix("api-version=") {
            Some(found) => version = Some(found.to_owned()),
            None => rest.push(pair),
        }
    }
    (version, rest.join("&"))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(400, "invalid_request_error", message)
}

fn azure(rest: &str, version: Option<&str>, mut at_home: AtHome) -> Result<AtHome, Refusal> {
    let key = at_home.headers.get("api-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
    if key.is_empty() || key.starts_with("bad") || at_home.headers.contains_key("authorization") {
        let message = "Access denied due to invalid subscription key or wrong API endpoint.";
        return Err(Refusal { code: Some("401"), ..Refusal::new(401, "", message) });
    }
    let bearer = HeaderValue::try_from(format!("Bearer {key}"));
    at_home.headers.insert("authorization", bearer.map_err(|_| invalid("api-key"))?);
    if let Some(rest) = rest.strip_prefix("v1/") {
        if !matches!(version, None | Some("preview" | "latest" | "v1")) {
            return Err(invalid("API version not supported"));
        }
        at_home.path = format!("/v1/{rest}");
        return Ok(at_home);
    }
    if version.is_none_or(|version| !version.starts_with("20")) {
        return Err(Refusal { code: Some("404"), ..Refusal::new(404, "", "Resource not found") });
    }
    let Some((deployment, operation)) =
        rest.strip_prefix("deployments/").and_then(|rest| rest.split_once('/'))
    else {
        at_home.path = format!("/v1/{rest}");
        return Ok(at_home);
    };
    at_home.path = format!("/v1/{operation}");
    // The body's word for the model counts for nothing; a form keeps its own.
    if let Ok(mut body) = serde_json::from_slice::<Map<String, Value>>(&at_home.body) {
        body.insert("model".to_owned(), Value::from(deployment.replace("%2F", "/")));
        at_home.body = Bytes::from(Value::from(body).to_string());
    }
    Ok(at_home)
}

fn claude(method: &str, mut at_home: AtHome) -> Result<AtHome, Refusal> {
    let key = at_home.headers.get("x-goog-api-key").cloned();
    let key = key.ok_or_else(|| Refusal::new(401, "authentication_error", "no credential of Google's"))?;
    if at_home.headers.contains_key("anthropic-version") {
        return Err(invalid("anthropic-version stands in the body"));
    }
    at_home.headers.insert("x-api-key", key);
    at_home.headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    let mut body: Map<String, Value> =
        serde_json::from_slice(&at_home.body).map_err(|error| invalid(error.to_string()))?;
    if body.remove("anthropic_version").as_ref().and_then(Value::as_str) != Some(VERSION) {
        return Err(invalid("anthropic_version: Field required"));
    }
    if method == "count-tokens:rawPredict" {
        at_home.path = "/v1/messages/count_tokens".to_owned();
    } else {
        let (model, verb) = method.rsplit_once(':').ok_or_else(|| invalid("no method"))?;
        let streams = body.get("stream") == Some(&Value::Bool(true));
        if verb != if streams { "streamRawPredict" } else { "rawPredict" } {
            return Err(invalid("stream: not by this method"));
        }
        if body.insert("model".to_owned(), Value::from(model.replace("%40", "@"))).is_some() {
            return Err(invalid("model: Extra inputs are not permitted"));
        }
        at_home.path = "/v1/messages".to_owned();
    }
    at_home.body = Bytes::from(Value::from(body).to_string());
    Ok(at_home)
}

impl Cloud {
    /// The vendor's answer as the cloud sends it.
    pub fn dressed(self, plan: &Plan) -> Plan {
        match self {
            Self::Azure => filtered(plan).unwrap_or_else(|| plan.clone()),
            Self::Vertex => plan.clone(),
            Self::Claude => googles(plan).unwrap_or_else(|| plan.clone()),
        }
    }
}

/// Where a plan's first piece has its head's end.
fn head_end(plan: &Plan) -> Option<usize> {
    let first = plan.pieces.first()?;
    Some(blank_line(first)? + 4)
}

fn blank_line(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n")
}

/// A chunked stream of OpenAI's chunks with the chunk of the filters before them.
fn filtered(plan: &Plan) -> Option<Plan> {
    let end = head_end(plan)?;
    let first = plan.pieces.first()?;
    let (head, rest) = (first.get(..end)?, first.get(end..)?);
    let text = String::from_utf8_lossy(head);
    let is_stream = text.contains("text/event-stream") && text.contains("chunked");
    if !is_stream || !String::from_utf8_lossy(rest).contains("chat.completion.chunk") {
        return None;
    }
    let event = format!("data: {FILTERED}\n\n");
    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
    let mut plan = plan.clone();
    *plan.pieces.first_mut()? = Bytes::from([head, chunk.as_bytes(), rest].concat());
    Some(plan)
}

/// An error of a Claude's, but for what is wrong with the request, in Google's words, and in a list as its streams have them.
fn googles(plan: &Plan) -> Option<Plan> {
    let end = head_end(plan)?;
    let first = plan.pieces.first()?;
    let status = std::str::from_utf8(first.get(9..12)?).ok()?.parse::<u16>().ok()?;
    if status <= 400 {
        return None;
    }
    let body: Value = serde_json::from_slice(first.get(end..)?).ok()?;
    let message = body.pointer("/error/message")?;
    let error = json!([{ "error": { "code": status, "message": message, "status": "UNKNOWN" } }]);
    Some(Plan { delay_ms: plan.delay_ms, ..Plan::json(status, gemini::HEADERS, &error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(
        path: &str,
        query: &str,
        header: &'static str,
        body: &str,
    ) -> Result<(String, String, String), u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header, HeaderValue::from_static("k"));
        let found = at_home((path, query), &headers, &Bytes::from(body.to_owned())).unwrap();
        match found {
            Ok(found) => Ok((found.path, found.query, String::from_utf8(found.body.to_vec()).unwrap())),
            Err(plan) => Err(String::from_utf8_lossy(&plan.pieces[0])[9..12].parse().unwrap()),
        }
    }

    #[test]
    fn each_path_is_one_of_its_vendors() {
        let some =
            |path: &str, query: &str, body: &str| Ok((path.to_owned(), query.to_owned(), body.to_owned()));
        let dated = "api-version=2024-10-21&limit=2";
        assert_eq!(
            home("/openai/deployments/d/chat/completions", dated, "api-key", r#"{"model":"x"}"#),
            some("/v1/chat/completions", "limit=2", r#"{"model":"d"}"#)
        );
        assert_eq!(home("/openai/files", dated, "api-key", ""), some("/v1/files", "limit=2", ""));
        assert_eq!(home("/openai/v1/responses", "", "api-key", "{}"), some("/v1/responses", "", "{}"));
        assert_eq!(home("/openai/v1/responses", dated, "api-key", "{}"), Err(400));
        assert_eq!(home("/openai/responses", "", "api-key", "{}"), Err(404));
        assert_eq!(home("/openai/v1/responses", "", "authorization", "{}"), Err(401));
        let project = "/v1/projects/p/locations/eu/publishers";
        assert_eq!(
            home(&format!("{project}/google/models/m:generateContent"), "", "x-goog-api-key", "{}"),
            some("/v1beta/models/m:generateContent", "", "{}")
        );
        let body = format!(r#"{{"anthropic_version":"{VERSION}","stream":true}}"#);
        assert_eq!(
            home(&format!("{project}/anthropic/models/c%401:streamRawPredict"), "", "x-goog-api-key", &body),
            some("/v1/messages", "", r#"{"stream":true,"model":"c@1"}"#)
        );
        for (method, body) in
            [("rawPredict", body.as_str()), ("rawPredict", "{}"), ("streamRawPredict", "{}")]
        {
            let path = format!("{project}/anthropic/models/c:{method}");
            assert_eq!(home(&path, "", "x-goog-api-key", body), Err(400), "{method} {body}");
        }
        assert!(at_home(("/v1/messages", ""), &HeaderMap::new(), &Bytes::new()).is_none());
    }
}

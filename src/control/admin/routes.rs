//! The admin API's routes: who may ask, which command a request is, and how its answer is written. One place holds the
//! guard: over HTTP every path, also one that is not there, asks for the token first.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::failure::Failure;
use super::{BODY_BYTES_MAX, BODY_TIMEOUT, DRAIN_DEADLINE_MAX_S, REQUEST_TIMEOUT, bifrost, unserved};
use crate::config::Loaded;
use crate::control::command::{Command, Reloaded, Status};
use crate::gateway::LiveStreams;

/// What stands before the commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// The socket's mode.
    Socket,
    /// `server.admin_token` of the config that serves.
    Token,
}

/// What a route needs.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) guard: Guard,
}

type Answer<T> = Result<Json<T>, Failure>;

/// All routes behind their guard.
pub(super) fn router(desk: Desk) -> Router {
    Router::new()
        .route("/api/status", get(status))
        .route("/api/streams", get(streams))
        .route("/api/reload", post(reload))
        .route("/api/drain", post(drain))
        .route("/api/keys/{name}/disable", post(disable))
        .route("/api/keys/{name}/enable", post(enable))
        .route("/api/version", get(version))
        .route("/api/providers", get(providers))
        .route("/api/providers/{name}", get(provider))
        .route("/api/keys", get(keys))
        .route("/api/models", get(models))
        .route("/api/config", get(config))
        .fallback(missing)
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn_with_state(desk.clone(), admit))
        .with_state(desk)
}

/// Asks for the token, bounds the time, and marks the answer as nobody's to keep.
async fn admit(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    let admitted = async {
        desk.check(request.headers()).await?;
        Ok(next.run(request).await)
    };
    let answered = tokio::time::timeout(REQUEST_TIMEOUT, admitted).await;
    let answered = answered.unwrap_or_else(|_| Err(Failure::late(REQUEST_TIMEOUT.as_secs())));
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Desk {
    async fn check(&self, headers: &HeaderMap) -> Result<(), Failure> {
        if self.guard == Guard::Socket {
            return Ok(());
        }
        let presented = bearer(headers).ok_or_else(Failure::unauthorized)?;
        let loaded = self.loaded().await?;
        // A reload may have taken the key out of the file: then nobody has the token.
        let admin = loaded.snapshot.server.admin.as_ref().ok_or_else(Failure::unauthorized)?;
        match admin.token.is(presented) {
            true => Ok(()),
            false => Err(Failure::unauthorized()),
        }
    }

    /// Sends a command, and waits for its answer.
    pub(super) async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Failure> {
        let (reply, answer) = oneshot::channel();
        self.commands.try_send(command(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Failure::busy(),
            mpsc::error::TrySendError::Closed(_) => Failure::ending(),
        })?;
        answer.await.map_err(|_| Failure::ending())
    }

    async fn loaded(&self) -> Result<Arc<Loaded>, Failure> {
        self.ask(Command::Config).await
    }

    async fn switch(&self, name: String, enabled: bool) -> Answer<Reloaded> {
        let switched = self.ask(|reply| Command::Key { name, enabled, reply }).await?;
        Ok(Json(switched?))
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750 §2.1), when exactly one such field is there.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let (field, None) = (fields.next()?.as_bytes(), fields.next()) else { return None };
    let (scheme, token) = field.split_at_checked("Bearer ".len())?;
    Some(token.trim_ascii()).filter(|token| scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty())
}

async fn status(State(desk): State<Desk>) -> Answer<Status> {
    Ok(Json(desk.ask(Command::Status).await?))
}

async fn streams(State(desk): State<Desk>) -> Answer<LiveStreams> {
    Ok(Json(desk.ask(Command::Streams).await?))
}

async fn reload(State(desk): State<Desk>) -> Answer<Reloaded> {
    let reloaded = desk.ask(Command::Reload).await?;
    Ok(Json(reloaded?))
}

async fn disable(State(desk): State<Desk>, name: Name) -> Answer<Reloaded> {
    desk.switch(decoded(name)?, false).await
}

async fn enable(State(desk): State<Desk>, name: Name) -> Answer<Reloaded> {
    desk.switch(decoded(name)?, true).await
}

/// A name in a path, where it could be decoded.
type Name = Result<Path<String>, PathRejection>;

fn decoded(name: Name) -> Result<String, Failure> {
    let Path(name) = name.map_err(|_| Failure::of_request("the name in the path is not UTF-8"))?;
    Ok(name)
}

/// The body of a drain.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    deadline_s: Option<u64>,
}

async fn drain(State(desk): State<Desk>, body: Body) -> Result<impl IntoResponse, Failure> {
    let deadline = wish(body).await?.deadline_s.map(Duration::from_secs);
    let has_begun = desk.ask(|reply| Command::Drain { deadline, reply }).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "draining": true, "was_draining": !has_begun }))))
}

async fn wish(body: Body) -> Result<Wish, Failure> {
    let too_large = |_| {
        let message = format!("the body is cut short, or has more than {BODY_BYTES_MAX} bytes");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    let slow = |_| Failure::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in 10 s");
    let read = tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, BODY_BYTES_MAX));
    let bytes = read.await.map_err(slow)?.map_err(too_large)?;
    if bytes.trim_ascii().is_empty() {
        return Ok(Wish::default());
    }
    let malformed = || Failure::of_request("the body is to be like {\"deadline_s\": 60}");
    // An array would do for serde, too.
    let object =
        Some(&bytes).filter(|bytes| bytes.trim_ascii_start().starts_with(b"{")).ok_or_else(malformed)?;
    let wish: Wish = serde_json::from_slice(object).map_err(|_| malformed())?;
    match wish.deadline_s {
        Some(seconds) if seconds > DRAIN_DEADLINE_MAX_S => {
            Err(Failure::of_request(format!("deadline_s may be at most {DRAIN_DEADLINE_MAX_S}")))
        }
        _ => Ok(wish),
    }
}

async fn version() -> Json<&'static str> {
    Json(env!("CARGO_PKG_VERSION"))
}

async fn providers(State(desk): State<Desk>) -> Answer<Value> {
    Ok(Json(bifrost::providers(&*desk.loaded().await?)))
}

async fn provider(State(desk): State<Desk>, name: Name) -> Answer<Value> {
    let found = bifrost::provider(&*desk.loaded().await?, &decoded(name)?);
    let missing = || Failure::new(StatusCode::NOT_FOUND, "the config has no such provider");
    found.map(Json).ok_or_else(missing)
}

async fn keys(State(desk): State<Desk>) -> Answer<Value> {
    Ok(Json(bifrost::keys(&desk.loaded().await?.snapshot)))
}

async fn models(State(desk): State<Desk>, RawQuery(query): RawQuery) -> Answer<Value> {
    let filter = bifrost::Filter::read(query.as_deref().unwrap_or_default()).map_err(Failure::of_request)?;
    Ok(Json(bifrost::models(&desk.loaded().await?.snapshot, &filter)))
}

async fn config(State(desk): State<Desk>) -> Answer<Value> {
    let status = desk.ask(Command::Status).await?;
    Ok(Json(bifrost::config(&*desk.loaded().await?, &status)))
}

async fn missing(method: Method, uri: Uri) -> Failure {
    unserved::answer(&method, uri.path(), false)
}

async fn other_method(method: Method, uri: Uri) -> Failure {
    unserved::answer(&method, uri.path(), true)
}

//! Answers that say no: a status and a sentence, in Bifrost's shape of errors. They never hold a secret.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::control::command::Refused;

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) message: String,
    /// Every fault of a config that was refused.
    pub(super) faults: Vec<String>,
}

impl Failure {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), faults: Vec::new() }
    }

    pub(super) fn of_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the node has too many commands waiting; ask again")
    }

    pub(super) fn ending() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the node is ending")
    }

    pub(super) fn late(timeout_s: u64) -> Self {
        let message = format!("the node did not do this in {timeout_s} s; it may still: ask for its status");
        Self::new(StatusCode::GATEWAY_TIMEOUT, message)
    }

    pub(super) fn unauthorized() -> Self {
        let message = "this needs the token of server.admin_token: Authorization: Bearer …";
        Self::new(StatusCode::UNAUTHORIZED, message)
    }
}

impl From<Refused> for Failure {
    fn from(Refused { faults, is_handed_over }: Refused) -> Self {
        let (status, message) = match is_handed_over {
            true => (StatusCode::GATEWAY_TIMEOUT, "the config is applied, but not yet on every core"),
            false => (StatusCode::UNPROCESSABLE_ENTITY, "the config was refused; the one before serves on"),
        };
        Self { faults, ..Self::new(status, message) }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut body = json!({
            "is_bifrost_error": false,
            "status_code": self.status.as_u16(),
            "error": { "message": self.message },
        });
        if !self.faults.is_empty() {
            body["faults"] = json!(self.faults);
        }
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"corelane admin\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

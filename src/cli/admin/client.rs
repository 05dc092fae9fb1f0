//! One request to a node's admin socket, and its answer. Faults say what to do about them.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How long the socket may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the node may take to answer; longer than it allows itself.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(80);
/// Largest answer: every stream that a node of many cores lists, bytes.
const ANSWER_BYTES_MAX: usize = 512 * 1024 * 1024;

/// What the node said.
pub(super) struct Answer {
    status: StatusCode,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        self.status.is_success()
    }
}

/// Asks. Errors: why there is no answer, for an operator.
pub(super) fn ask(path: &Path, method: &str, target: &str, body: Option<Value>) -> Result<Answer, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(Box::pin(async {
        let stream = connect(path).await?;
        let answered = timeout(ANSWER_TIMEOUT, converse(stream, method, target, body)).await;
        let late =
            |_| format!("the node did not answer in {} s; it may still do it", ANSWER_TIMEOUT.as_secs());
        answered.map_err(late)?.map_err(|error| match error.downcast_ref::<hyper::Error>() {
            Some(error) if error.is_incomplete_message() => {
                format!("{}: the node ended, or closed the connection, before it answered", path.display())
            }
            _ => format!("{}: {error}", path.display()),
        })
    }))
}

async fn connect(path: &Path) -> Result<UnixStream, String> {
    let shown = path.display();
    match timeout(CONNECT_TIMEOUT, UnixStream::connect(path)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(match error.kind() {
            ErrorKind::NotFound => format!(
                "{shown}: there is no such socket. Is the node running? It names its socket when it starts"
            ),
            ErrorKind::ConnectionRefused => {
                format!(
                    "{shown}: nobody listens there. The node that made it was killed, or is another one now"
                )
            }
            ErrorKind::PermissionDenied => {
                format!("{shown}: permission denied. Ask as the user that the node runs as, or as root")
            }
            ErrorKind::WouldBlock => format!("{shown}: the node has too many waiting; ask again"),
            _ => format!("{shown}: {error}"),
        }),
        Err(_) => Err(format!("{shown}: the node does not accept. Is its process stopped?")),
    }
}

async fn converse(
    stream: UnixStream,
    method: &str,
    target: &str,
    body: Option<Value>,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let request = Request::builder().method(method).uri(target).header(header::HOST, "corelane");
    let request =
        request.header(header::CONTENT_TYPE, "application/json").body(Full::new(Bytes::from(body)))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let bytes = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
    connection.abort();
    Ok(Answer { status, body: serde_json::from_slice(&bytes)? })
}

//! One listener of the admin API: it accepts, in bounded number, and serves one request a connection. What is answered is
//! `routes`'.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::socket::{self, Bound};
use super::{
    CONNECTION_TIMEOUT, CONNECTIONS_MAX, HEAD_BYTES_MAX, HEAD_TIMEOUT, HEADERS_MAX, RETAKE_INTERVAL,
};

/// After an accept that failed: the process has no descriptor left, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where connections come from.
pub(super) enum Listener {
    /// The UNIX socket.
    Socket(UnixListener),
    /// TCP.
    Http(TcpListener),
}

enum Stream {
    Socket(UnixStream),
    Http(TcpStream),
}

/// A listener that is served, until it is dropped; connections end by themselves.
pub(super) struct Door(JoinHandle<()>);

impl Door {
    /// Serves it with `router`.
    pub(super) fn open(listener: Listener, router: Router) -> Self {
        Self(tokio::spawn(serve(listener, router)))
    }

    /// The same with the first of these sockets, as soon as nobody else has it.
    pub(super) fn await_socket(paths: Vec<PathBuf>, router: Router) -> Self {
        Self(tokio::spawn(retake(paths, router)))
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Socket(listener) => Ok(Stream::Socket(listener.accept().await?.0)),
            Self::Http(listener) => Ok(Stream::Http(listener.accept().await?.0)),
        }
    }
}

async fn retake(paths: Vec<PathBuf>, router: Router) {
    loop {
        tokio::time::sleep(RETAKE_INTERVAL).await;
        match socket::bind(&paths) {
            Ok(Bound { listener, file }) => {
                let Ok(listener) = UnixListener::from_std(listener) else { return };
                tracing::info!(path = %file.path().display(), "the admin socket is free, and this node's now");
                serve(Listener::Socket(listener), router).await;
                // Removed when this task is.
                drop(file);
                return;
            }
            Err(unbound) if unbound.is_held => {}
            Err(unbound) => {
                tracing::warn!(reason = unbound.reason, "no admin socket");
                return;
            }
        }
    }
}

async fn serve(listener: Listener, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // Never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok(stream) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let router = router.clone();
        tokio::spawn(async move {
            match stream {
                Stream::Socket(stream) => converse(stream, router).await,
                Stream::Http(stream) => converse(stream, router).await,
            }
            drop(place);
        });
    }
}

/// One request and its answer, within bounds.
async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // What a peer breaks off, or is too slow for, is its own loss.
    let _ = tokio::time::timeout(CONNECTION_TIMEOUT, Box::pin(served)).await;
}

//! hyper's opinion of a stream: its server's for requests, its client's for responses, over bytes in memory.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper::{Request, Response};

use super::{Facts, Framed, Verdict};

/// Longest wait for hyper, which has nothing to wait for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Both ends of a connection: what is read is there from the start, what is written is dropped.
struct Wire {
    bytes: Vec<u8>,
    read: usize,
    /// Nothing is read before something was written: a client's answer comes behind its question.
    asked: Option<Arc<Mutex<Asked>>>,
    /// Behind the bytes the peer closes; otherwise it stays silent.
    closes: bool,
}

#[derive(Default)]
struct Asked {
    is_asked: bool,
    reader: Option<Waker>,
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(asked) = &self.asked {
            let mut asked = asked.lock().unwrap();
            if !asked.is_asked {
                asked.reader = Some(context.waker().clone());
                return Poll::Pending;
            }
        }
        let rest = &self.bytes[self.read..];
        let count = rest.len().min(buffer.remaining());
        if count == 0 && !self.closes {
            return Poll::Pending;
        }
        buffer.put_slice(&rest[..count]);
        self.read += count;
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(self: Pin<&mut Self>, _context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(asked) = &self.asked {
            let mut asked = asked.lock().unwrap();
            asked.is_asked = true;
            asked.reader.take().map(Waker::wake).unwrap_or_default();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.expect("hyper ends") })
}

fn framed(body: &Incoming) -> Framed {
    match body.size_hint().exact() {
        Some(length) => Framed::Length(length),
        None => Framed::Chunked,
    }
}

/// The server's: what its service is called with, and whether it is called again for what stands behind.
pub(crate) fn request(stream: &[u8]) -> Verdict {
    let calls: Arc<Mutex<Vec<Facts>>> = Arc::default();
    let seen = Arc::clone(&calls);
    let service = service_fn(move |request: Request<Incoming>| {
        let what = format!(
            "{} {}",
            request.method(),
            request.uri().path_and_query().map_or("/", |target| target.as_str())
        );
        let facts = Facts { what, framing: framed(request.body()), keep_alive: None };
        seen.lock().unwrap().push(facts);
        async move {
            let _ = request.into_body().collect().await;
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok")))
        }
    });
    let wire = Wire { bytes: stream.to_vec(), read: 0, asked: None, closes: true };
    let served = run(hyper::server::conn::http1::Builder::new().serve_connection(wire, service));
    let calls = calls.lock().unwrap();
    match calls.first() {
        None => Verdict::Refuses(served.err().map(|error| error.to_string()).unwrap_or_default()),
        Some(first) => {
            let is_kept = calls.get(1).is_some_and(|second| second.what == "GET /second");
            Verdict::Takes(Facts { keep_alive: Some(is_kept), ..first.clone() })
        }
    }
}

/// The client's: what its POST is answered with, and whether it could send another.
pub(crate) fn response(stream: &[u8]) -> Verdict {
    // A body that ends with the connection ends; any other must end by itself.
    [false, true]
        .into_iter()
        .map(|closes| ask(stream, closes))
        .find(|verdict| *verdict != Verdict::Waits)
        .unwrap_or(Verdict::Waits)
}

fn ask(stream: &[u8], closes: bool) -> Verdict {
    let asked = Some(Arc::default());
    let wire = Wire { bytes: stream.to_vec(), read: 0, asked, closes };
    run(async move {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(wire).await.unwrap();
        tokio::spawn(connection);
        let question = Request::post("/").header("host", "h").body(Empty::<Bytes>::new()).unwrap();
        let answer = tokio::select! {
            biased;
            answer = sender.send_request(question) => answer,
            () = idle() => return Verdict::Waits,
        };
        let answer = match answer {
            Err(error) => return Verdict::Refuses(error.to_string()),
            Ok(answer) => answer,
        };
        let framing = framed(answer.body());
        let what = answer.status().as_u16().to_string();
        let body = tokio::select! {
            biased;
            body = answer.into_body().collect() => body,
            () = idle() => {
                let framing = if framing == Framed::Chunked { Framed::Close } else { framing };
                return Verdict::Takes(Facts { what, framing, keep_alive: None });
            }
        };
        let is_ready = tokio::select! {
            biased;
            ready = sender.ready() => ready.is_ok(),
            () = idle() => false,
        };
        let keep_alive = body.is_ok().then_some(is_ready && !closes);
        Verdict::Takes(Facts { what, framing, keep_alive })
    })
}

/// Lets everything that can go on do so.
async fn idle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

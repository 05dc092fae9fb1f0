//! One connection to the mock: decode a request, write its answer, again. Here is the only I/O of the mock.

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header;
use monoio::io::stream::Stream;
use monoio::io::{AsyncWriteRent, AsyncWriteRentExt, OwnedWriteHalf, Splitable};
use monoio::net::TcpStream;
use monoio_http::common::body::Body;
use monoio_http::common::error::HttpError;
use monoio_http::common::request::Request;
use monoio_http::h1::codec::decoder::{FillPayload, RequestDecoder};

use super::Mock;
use super::answer::Plan;
use super::tap::{Captured, Tap};

/// Serves the connection until either side closes it.
pub async fn serve(stream: TcpStream, mock: Rc<Mock>) {
    let _ = stream.set_nodelay(true);
    let (reader, mut writer) = stream.into_split();
    let captured = Captured::default();
    let mut decoder = RequestDecoder::new(Tap::new(reader, captured.clone()));
    let mut received = decoder.next().await;
    let mut is_noted = false;
    while let Some(Ok(request)) = received {
        if decoder.fill_payload().await.is_err() {
            return;
        }
        let (head, body) = request.into_parts();
        let Some(body) = collect(body).await else { return };
        let path = head.uri.path();
        if path.starts_with("/mock/") {
            captured.borrow_mut().clear();
        } else {
            let mut ledger = mock.ledger.borrow_mut();
            ledger.connections += u64::from(!is_noted);
            is_noted = true;
            ledger.note(path, &mut captured.borrow_mut());
        }
        let target = (path, head.uri.query().unwrap_or_default());
        let plan = if let Some(plan) = mock.answer_of_cloud(&head.method, target, &head.headers, &body) {
            Rc::new(plan)
        } else if path.starts_with("/v1/responses") {
            Rc::new(mock.answer_responses(&head.method, &head.uri, &head.headers, &body))
        } else {
            mock.answer(&head.method, target, &head.headers, body)
        };
        let closes =
            plan.closes || head.headers.get(header::CONNECTION).is_some_and(|value| value == "close");
        received = match answer(&plan, closes, &mut decoder, &mut writer).await {
            Ok(received) => received,
            Err(error) => {
                mock.ledger.borrow_mut().aborted +=
                    u64::from(error.kind() == io::ErrorKind::ConnectionAborted);
                return;
            }
        };
    }
}

/// Writes the answer, then waits for the next request, of which there is none when the connection `closes`;
/// `ConnectionAborted` when the peer went in the middle.
async fn answer(
    plan: &Plan,
    closes: bool,
    decoder: &mut RequestDecoder<Tap>,
    writer: &mut OwnedWriteHalf<TcpStream>,
) -> io::Result<Option<Result<Request, HttpError>>> {
    if let Some(piece) = plan.at_once() {
        writer.write_all(piece).await.0.map_err(aborted)?;
        return Ok(if closes { None } else { decoder.next().await });
    }
    // The next request is awaited beside the answer, so that a peer that goes is noticed; its future is never
    // dropped with a read in flight unless the connection ends too.
    let mut next = pin!(decoder.next());
    let mut sent = pin!(send(plan, writer));
    let early = monoio::select! {
        outcome = &mut sent => {
            outcome?;
            None
        }
        received = &mut next => Some(received),
    };
    match early {
        None if closes => Ok(None),
        None => Ok(next.await),
        Some(Some(Ok(request))) => {
            sent.await?;
            Ok(Some(Ok(request)))
        }
        Some(_) => Err(aborted(io::ErrorKind::UnexpectedEof.into())),
    }
}

async fn send(plan: &Plan, writer: &mut OwnedWriteHalf<TcpStream>) -> io::Result<()> {
    pause(plan.delay_ms).await;
    for (number, piece) in plan.pieces.iter().enumerate() {
        if number > 0 {
            pause(plan.piece_delay_ms).await;
        }
        writer.write_all(piece.clone()).await.0.map_err(aborted)?;
    }
    if plan.closes {
        writer.shutdown().await?;
    }
    Ok(())
}

async fn pause(wait_ms: u64) {
    if wait_ms > 0 {
        monoio::time::sleep(Duration::from_millis(wait_ms)).await;
    }
}

async fn collect(mut body: impl Body<Data = Bytes, Error = HttpError>) -> Option<Bytes> {
    let Some(first) = body.next_data().await else { return Some(Bytes::new()) };
    let first = first.ok()?;
    let Some(second) = body.next_data().await else { return Some(first) };
    let mut whole = BytesMut::from(first);
    whole.extend_from_slice(&second.ok()?);
    while let Some(data) = body.next_data().await {
        whole.extend_from_slice(&data.ok()?);
    }
    Some(whole.freeze())
}

fn aborted(error: io::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, error)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use monoio::io::{AsyncReadRent, AsyncReadRentExt};
    use monoio::net::TcpListener;

    use super::*;
    use crate::mock::settings::Settings;
    use crate::ring::{self, Driver};

    const HELLO: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;

    fn request(extra: &str, body: &str) -> Vec<u8> {
        let length = body.len();
        let path = "/v1/chat/completions";
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n{extra}Content-Length: {length}\r\n\r\n{body}")
            .into_bytes()
    }

    /// Starts a mock, sends it these bytes on a connection, and hands over that connection.
    #[expect(clippy::disallowed_methods, reason = "an address, not a name")]
    fn with_mock<F: Future>(bytes: Vec<u8>, then: impl FnOnce(TcpStream, Rc<Mock>) -> F) {
        let body = async {
            let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
            let address = listener.local_addr().unwrap();
            let mock = Rc::new(Mock::new(Settings::default()));
            monoio::spawn(super::super::serve(listener, mock.clone()));
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(bytes).await.0.unwrap();
            monoio::time::timeout(Duration::from_secs(10), then(stream, mock)).await.unwrap();
        };
        ring::run(Driver::Epoll, body).unwrap();
    }

    #[test]
    fn a_connection_ends_when_asked_to() {
        with_mock(request("Connection: close\r\n", HELLO), |mut stream, _| async move {
            let (read, answer) = stream.read_exact(vec![0; 12]).await;
            read.unwrap();
            assert_eq!(answer, b"HTTP/1.1 200");
            while stream.read(vec![0; 4096]).await.0.unwrap() > 0 {}
        });
    }

    #[test]
    fn a_peer_that_goes_in_the_middle_is_counted() {
        let slow = HELLO.replace("hello", "mock: delay_ms=60000");
        with_mock(request("", &slow), |stream, mock| async move {
            while mock.ledger.borrow().requests == 0 {
                monoio::time::sleep(Duration::from_millis(1)).await;
            }
            drop(stream);
            while mock.ledger.borrow().aborted == 0 {
                monoio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }

    #[test]
    fn two_requests_at_once_are_answered_in_turn() {
        let both = [request("", HELLO), request("Connection: close\r\n", HELLO)].concat();
        with_mock(both, |mut stream, mock| async move {
            while stream.read(vec![0; 4096]).await.0.unwrap() > 0 {}
            assert_eq!(mock.ledger.borrow().requests, 2);
        });
    }
}

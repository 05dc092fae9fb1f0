//! Our parsers' opinion of a stream, and the stream on which hyper is asked for its own: the same head, with a body that
//! fits what we took it for and another message behind, so that both can show whether the connection goes on.

use corelane::error::Error;
use corelane::http::{Framing, HeadEnd, RequestHead, ResponseHead, parse_request_head, parse_response_head};

use super::{Facts, Framed, Verdict};

/// A body of more bytes is not made up.
const BODY_BYTES_MAX: u64 = 100_000;

/// Follows a request whose connection goes on.
pub(crate) const SECOND_REQUEST: &[u8] = b"GET /second HTTP/1.1\r\nHost: h\r\n\r\n";

/// What we make of a request, and what hyper is to be asked about.
pub(crate) fn request(stream: &[u8]) -> (Verdict, Vec<u8>) {
    let found = head(HeadEnd::request(), stream)
        .and_then(|head| Ok((head, head.map(parse_request_head).transpose()?)));
    match found {
        Err(error) => (Verdict::Refuses(error.message.into_owned()), stream.to_vec()),
        Ok((Some(bytes), Some(head))) => {
            let body = body(head.framing);
            let keep_alive = body.is_some().then_some(head.keep_alive);
            let asked = [bytes, &body.unwrap_or_default(), SECOND_REQUEST].concat();
            (
                Verdict::Takes(Facts { what: asks(&head, bytes), framing: framed(head.framing), keep_alive }),
                asked,
            )
        }
        Ok(_) => (Verdict::Waits, stream.to_vec()),
    }
}

/// What we make of a response to a POST, behind its interim ones, and what hyper is to be asked about.
pub(crate) fn response(stream: &[u8]) -> (Verdict, Vec<u8>) {
    let mut start = 0;
    loop {
        let rest = &stream[start..];
        let parse = |head| parse_response_head(head, false);
        let found = head(HeadEnd::response(), rest).and_then(|head| Ok((head, head.map(parse).transpose()?)));
        match found {
            Err(error) => return (Verdict::Refuses(error.message.into_owned()), stream.to_vec()),
            Ok((Some(bytes), Some(ResponseHead { is_interim: true, .. }))) => start += bytes.len(),
            Ok((Some(bytes), Some(head))) => {
                let body = body(head.framing);
                let keep_alive = body.is_some().then_some(head.keep_alive);
                let what = head.status.to_string();
                let asked = [&stream[..start + bytes.len()], &body.unwrap_or_default()].concat();
                return (Verdict::Takes(Facts { what, framing: framed(head.framing), keep_alive }), asked);
            }
            Ok(_) => return (Verdict::Waits, stream.to_vec()),
        }
    }
}

fn head(mut search: HeadEnd, stream: &[u8]) -> Result<Option<&[u8]>, Error> {
    Ok(search.find(stream)?.map(|end| &stream[..end]))
}

/// A body that fits; `None`: it would be too long, or would not end.
fn body(framing: Framing) -> Option<Vec<u8>> {
    match framing {
        Framing::None => Some(Vec::new()),
        Framing::Length(length) => (length <= BODY_BYTES_MAX).then(|| vec![b'x'; length as usize]),
        Framing::Chunked => Some(b"1\r\nx\r\n0\r\n\r\n".to_vec()),
        Framing::Close => None,
    }
}

/// No body and one of no bytes are the same to whoever reads.
fn framed(framing: Framing) -> Framed {
    match framing {
        Framing::None => Framed::Length(0),
        Framing::Length(length) => Framed::Length(length),
        Framing::Chunked => Framed::Chunked,
        Framing::Close => Framed::Close,
    }
}

fn asks(head: &RequestHead, bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy;
    let query = head.query(bytes).map(|query| format!("?{}", text(query))).unwrap_or_default();
    format!("{} {}{query}", head.method.name(), text(head.path(bytes)))
}

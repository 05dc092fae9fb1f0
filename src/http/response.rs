//! A provider's response head (RFC 9112 sections 4, 5, 6): tokenised by httparse, checked here against what httparse
//! tolerates, given out as offsets with the body's framing. It reads no body and judges no status.

use super::head::{FramingFields, header_slots, list};
use super::{Fields, Framing, Side};
use crate::error::Error;

/// One response head; its bytes stay with the caller, who gives the same slice again to read fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// 100 to 599.
    pub status: u16,
    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub minor_version: u8,
    /// An interim answer (1xx): skip it and read the next head from the same connection.
    pub is_interim: bool,
    /// The header fields.
    pub fields: Fields,
    /// The body's framing, the request's method taken into account.
    pub framing: Framing,
    /// Whether the connection may carry another request after this answer; never with [`Framing::Close`].
    pub keep_alive: bool,
    /// The content type is `text/event-stream`.
    pub is_event_stream: bool,
    /// The content type is `application/vnd.amazon.eventstream`.
    pub is_frame_stream: bool,
    /// The content is coded (gzip, …), which we never ask for.
    pub is_coded: bool,
    /// Length of the head with its empty line, bytes: where the body begins.
    pub head_bytes: usize,
}

impl ResponseHead {
    /// Names and values of the fields, in order.
    pub fn fields<'a>(&self, head: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.fields.iter(head)
    }

    /// The value of the first field of this name, any case.
    pub fn field<'a>(&self, head: &'a [u8], name: &str) -> Option<&'a [u8]> {
        self.fields.find(head, name)
    }
}

/// Reads a whole head: exactly the bytes that [`super::HeadEnd`] measured. `to_head_request`: it answers a HEAD, so
/// that no body follows whatever the fields say.
pub fn parse_response_head(head: &[u8], to_head_request: bool) -> Result<ResponseHead, Error> {
    let mut slots = header_slots();
    let mut response = httparse::Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, head, &mut slots);
    let whole = parsed.map_err(syntax_error)? == httparse::Status::Complete(head.len());
    let (Some(status), Some(minor_version)) = (response.code, response.version) else {
        return Err(malformed("the provider's response head is not whole"));
    };
    if !whole || !head.starts_with(b"HTTP/") || !ends_lines_well(head) {
        return Err(malformed("the provider's response head has lines that do not end in CRLF"));
    }
    check_status(status)?;
    let facts = gather(response.headers)?;
    let declared = facts.framing.framing(minor_version, Side::Upstream)?;
    let framing = body_framing(status, to_head_request, declared);
    Ok(ResponseHead {
        status,
        minor_version,
        is_interim: status < 200,
        fields: Fields::of(head, response.headers, Side::Upstream)?,
        framing,
        keep_alive: framing != Framing::Close && facts.framing.keeps_alive(minor_version),
        is_event_stream: facts.is_event_stream,
        is_frame_stream: facts.is_frame_stream,
        is_coded: facts.is_coded,
        head_bytes: head.len(),
    })
}

fn malformed(what: &'static str) -> Error {
    Side::Upstream.malformed(what)
}

fn syntax_error(error: httparse::Error) -> Error {
    malformed(match error {
        httparse::Error::TooManyHeaders => "the provider sent more than 100 headers",
        httparse::Error::HeaderName => {
            "a header name of the provider's is not a token, or a header is folded"
        }
        httparse::Error::HeaderValue => "a header value of the provider's holds a control byte",
        httparse::Error::Version => "the provider does not speak HTTP/1.0 or HTTP/1.1",
        _ => "the provider's status line is not `HTTP/1.1 STATUS REASON`",
    })
}

/// The status line ends in CRLF, and so do the last field and the head; [`Fields::of`] checks the lines between.
fn ends_lines_well(head: &[u8]) -> bool {
    let status_line = memchr::memchr(b'\n', head).and_then(|at| head.get(..at));
    head.ends_with(b"\r\n\r\n") && status_line.is_some_and(|line| line.ends_with(b"\r"))
}

fn check_status(status: u16) -> Result<(), Error> {
    match status {
        101 => Err(malformed("the provider switched protocols, which we did not ask for")),
        100..=599 => Ok(()),
        _ => Err(malformed("the provider's status is not between 100 and 599")),
    }
}

/// RFC 9112 section 6.3, rules 1 and 8.
fn body_framing(status: u16, to_head_request: bool, declared: Framing) -> Framing {
    match declared {
        _ if to_head_request || matches!(status, 100..=199 | 204 | 304) => Framing::None,
        Framing::None => Framing::Close,
        declared => declared,
    }
}

#[derive(Default)]
struct Facts {
    framing: FramingFields,
    is_event_stream: bool,
    is_frame_stream: bool,
    is_coded: bool,
}

fn gather(headers: &[httparse::Header<'_>]) -> Result<Facts, Error> {
    let mut facts = Facts::default();
    for header in headers {
        let (name, value) = (header.name.as_bytes(), header.value);
        match name.len() {
            12 if name.eq_ignore_ascii_case(b"content-type") => {
                facts.is_event_stream = is_of(value, b"text/event-stream");
                facts.is_frame_stream = is_of(value, b"application/vnd.amazon.eventstream");
            }
            16 if name.eq_ignore_ascii_case(b"content-encoding") => facts.is_coded |= is_coded(value),
            _ => facts.framing.take(name, value, Side::Upstream)?,
        }
    }
    Ok(facts)
}

fn is_of(content_type: &[u8], wanted: &[u8]) -> bool {
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(wanted)
}

fn is_coded(content_encoding: &[u8]) -> bool {
    list(content_encoding).any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    use super::super::{HEADERS_MAX, HeadEnd};
    use super::*;
    use crate::error::Kind;

    fn parse(bytes: &[u8], to_head_request: bool) -> Result<ResponseHead, Error> {
        let end = HeadEnd::response().find(bytes)?.expect("a whole head");
        parse_response_head(&bytes[..end], to_head_request)
    }

    fn check_refused(bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let kind = parse(bytes, false).map_err(|error| error.kind);
        assert_eq!(kind, Err(Kind::UpstreamInvalidResponse), "{}", bytes.escape_ascii());
        assert!(parse_response_head(bytes, false).is_err(), "{}", bytes.escape_ascii());
    }

    fn check_framing(status: u16, fields: &str, framing: Framing, keep_alive: bool) {
        let head = parse(format!("HTTP/1.1 {status} X\r\n{fields}\r\n").as_bytes(), false).unwrap();
        assert_eq!((head.framing, head.keep_alive), (framing, keep_alive), "{status} {fields:?}");
    }

    #[test]
    fn a_usual_head_is_read() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n\
            Transfer-Encoding: chunked\r\nX: y\r\n\r\n5\r\n";
        let head = parse(bytes, false).unwrap();
        assert_eq!((head.status, head.framing, head.keep_alive), (200, Framing::Chunked, true));
        assert!(head.is_event_stream && !head.is_coded && !head.is_interim);
        assert_eq!(head.field(bytes, "x"), Some(&b"y"[..]));
        assert_eq!(head.fields(bytes).count(), 3);
        assert_eq!(&bytes[head.head_bytes..], b"5\r\n");
    }

    #[test]
    fn reasons_may_be_left_out() {
        for line in ["HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.0 200 \u{e4}"] {
            assert!(parse(format!("{line}\r\n\r\n").as_bytes(), false).is_ok(), "{line}");
        }
    }

    #[test]
    fn framing_follows_status_method_and_fields() {
        check_framing(200, "Content-Length: 5\r\n", Framing::Length(5), true);
        check_framing(200, "Content-Length: 5, 5\r\nContent-Length: 5\r\n", Framing::Length(5), true);
        check_framing(200, "Content-Length: 5\r\nConnection: close\r\n", Framing::Length(5), false);
        check_framing(200, "", Framing::Close, false);
        check_framing(204, "", Framing::None, true);
        check_framing(304, "Content-Length: 5\r\n", Framing::None, true);
        check_framing(103, "Link: x\r\n", Framing::None, true);
        let to_head = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true).unwrap();
        assert_eq!(to_head.framing, Framing::None);
        let old = parse(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", false).unwrap();
        assert_eq!((old.framing, old.keep_alive), (Framing::Length(5), false));
        assert!(parse(b"HTTP/1.1 100 Continue\r\n\r\n", false).unwrap().is_interim);
    }

    #[test]
    fn content_codings_are_noticed() {
        let is_coded = |value: &str| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {value}\r\n\r\n");
            parse(head.as_bytes(), false).unwrap().is_coded
        };
        assert!(is_coded("gzip") && is_coded("identity, br"));
        assert!(!is_coded("") && !is_coded("Identity"));
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for fields in [
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5, 6\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 5,\r\n",
            "Content-Length:\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ] {
            check_refused(format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
        }
        check_refused("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    }

    #[test]
    fn malformed_heads_are_refused() {
        for line in [
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 20 OK",
            "HTTP/1.1  200 OK",
            "HTTP/2.0 200 OK",
            "HTTP/1.1 099 X",
            "ICY 200 OK",
            "HTTP/1.1 600 X",
            "HTTP/1.1 101 X",
            "HTTP/1.1 200 O\0K",
            "HTTP/1.1 200OK",
            " HTTP/1.1 200 OK",
            "http/1.1 200",
        ] {
            check_refused(format!("{line}\r\nA: b\r\n\r\n"));
        }
        for field in ["A : b", " A: b", "A: b\r\n c", "A: b\0", "A: b\rc", "A", "A: b\n", "A:\n"] {
            check_refused(format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n"));
        }
        check_refused("HTTP/1.1 200 OK\nA: b\r\n\r\n");
        check_refused("\r\nHTTP/1.1 200 OK\r\n\r\n");
        check_refused("\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    }

    #[test]
    fn the_header_count_holds_at_the_limit_and_one_past() {
        let with_fields = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert!(parse(with_fields(HEADERS_MAX).as_bytes(), false).is_ok());
        check_refused(with_fields(HEADERS_MAX + 1));
    }
}

//! HTTP/1.1 and server-sent events as bytes (RFC 9110, RFC 9112): parsers take a slice and return need-more, a value or
//! an error; they keep offsets, never bytes. No socket, no clock. All limits of the room are here.
//!
//! # What is refused, and by which sentence
//! Where the RFC leaves a choice, we take the reading that no other can differ from: a request is 400, a response 502,
//! unless another status stands here. What stands behind is never read. `tests/http_rfc9112` has the cases,
//! `tests/http_differential` the places where hyper chooses otherwise.
//!
//! | of both sides | sentence |
//! |---|---|
//! | LF without CR | 9112 §2.2: a recipient MAY take it for a line's end; we do not |
//! | CR without LF | 9112 §2.2: MUST be invalid, or become a space; invalid |
//! | space before the first field | 9112 §2.2: MUST reject, or drop those lines; rejected |
//! | space before a colon | 9112 §5.1: a server MUST answer 400, a proxy MUST remove it from a response; we pass none on |
//! | obs-fold | 9112 §5.2: MUST reject (400, 502), or unfold; rejected |
//! | NUL, CR, LF in a value | 9110 §5.5: MUST reject, or replace; rejected; other control bytes but the tab, which MAY be kept, too |
//! | both Transfer-Encoding and Content-Length | 9112 §6.1: a server MAY reject it; §6.3 rule 3: it ought to be an error |
//! | Transfer-Encoding in HTTP/1.0 | 9112 §6.1: MUST be treated as faulty framing |
//! | `chunked` not final, twice, with a parameter, in two fields | 9112 §6.3 rule 4, §6.1, §7; §7.1 has none. Empty list elements, which 9110 §5.6.1.2 would have ignored, too: servers differ in them |
//! | Content-Length that is not 1*DIGIT, or differs | 9112 §6.3 rule 5: unrecoverable; 9110 §8.6 |
//! | a chunk that §7.1 has not | 9112 §7.1: sizes are hexadecimal digits and MUST NOT overflow; extensions MUST be ignored, trailers MAY be discarded (§7.1.2) |
//!
//! | of requests | sentence |
//! |---|---|
//! | two empty lines before | 9112 §2.2: SHOULD ignore at least one; we ignore one |
//! | a request line that is not exactly three words | 9112 §3: lenient parsing is a MAY, and a way to smuggle |
//! | an unknown method: 501 | 9110 §9.1: SHOULD; CONNECT and TRACE are unknown here |
//! | a version but 1.0 and 1.1: 505 | 9110 §15.6.6; §2.5 has a higher minor version SHOULD be taken as 1.1, but nobody sends one |
//! | Host missing in 1.1, twice, or malformed | 9112 §3.2: MUST be 400; empty is legal (9110 §7.2) |
//! | a target of another form than its method's | 9112 §3.2; absolute-form MUST be taken and its authority wins over Host (§3.2.2), which decides nothing here |
//! | a user, or no host, in an absolute target | 9110 §4.2.4: SHOULD be an error; §4.2.1: MUST be rejected |
//! | a fragment, a byte or an escape that no URI has | 9112 §3.2: an invalid request line SHOULD be 400 |
//! | Content-Length twice, though equal | 9110 §8.6: MAY be rejected, or taken once; who stands between us and the caller may count differently |
//! | another coding under a final `chunked`: 501 | 9112 §6.1: SHOULD |
//! | an expectation but `100-continue`: 417 | 9110 §10.1.1: MAY; in 1.0 that one is ignored: MUST |
//!
//! | of responses | sentence |
//! |---|---|
//! | an empty line before | nothing allows it |
//! | a status under 100 or over 599 | 9110 §15: invalid |
//! | 101 | 9110 §15.2.2: only to an Upgrade, which we do not send |
//! | any transfer coding but `chunked` | 9112 §7: we ask for none by TE (9110 §10.1.4) |
//! | a bad Content-Length of 1xx, 204, 304 | 9112 §6.3 rule 1: no body follows; who contradicts himself is believed nothing |
//!
//! Repeated equal lengths of a provider are taken once (9110 §8.6), a reason phrase and its space may be missing (§4).

pub mod body;
pub mod chunked;
pub mod encode;
pub mod form;
pub mod head;
pub mod jwt;
pub mod multipart;
pub mod oauth;
pub mod proxy;
pub mod request;
pub mod response;
pub mod sigv4;
pub mod sse;
pub mod sts;
pub mod websocket;

pub use body::BodyDecoder;
pub use head::{Field, Fields, Framing, HeadEnd, offset_in};
pub use proxy::{ProxyHeader, parse_proxy_header};
pub use request::{Method, RequestHead, parse_request_head};
pub use response::{ResponseHead, parse_response_head};

use crate::error::{Error, Kind};

/// Largest request head, bytes, from its first byte to the empty line's end. Beyond: 431.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most header fields of one head, either side; real clients send about 20, providers about 40. Beyond: 431.
pub const HEADERS_MAX: usize = 100;
/// Largest request target, bytes; RFC 9112 section 3 recommends 8,000 at least. Beyond: 414.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// Largest request line, bytes: the target beside method, version and line end. Lets an endless line be refused before
/// the head's own limit is reached.
pub const REQUEST_LINE_BYTES_MAX: usize = TARGET_BYTES_MAX + 64;
/// Largest response head of a provider, bytes; they carry long rate-limit and policy headers.
pub const UPSTREAM_HEAD_BYTES_MAX: usize = 256 * 1024;
/// Largest chunk line, bytes: size, extensions and line end.
pub const CHUNK_LINE_BYTES_MAX: usize = 1024;
/// Most hex digits of a chunk size: what fits 64 bits, leading zeros counted.
pub const CHUNK_SIZE_DIGITS_MAX: u8 = 16;
/// Largest sum of chunk extensions of one body, bytes: a peer must not make us read much and deliver little.
pub const CHUNK_EXTENSIONS_BYTES_MAX: usize = 16 * 1024;
/// Largest trailer section, bytes, its last empty line included.
pub const TRAILER_BYTES_MAX: usize = 16 * 1024;
/// Largest single server-sent event of a provider, bytes. The caller of [`sse::Boundary`] holds the buffer and checks.
pub const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// From which side a message comes: decides whose fault a broken one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A caller's request.
    Downstream,
    /// A provider's response.
    Upstream,
}

impl Side {
    /// The message is not well-formed HTTP/1.1, or its framing can be read in two ways.
    pub(crate) fn malformed(self, what: &'static str) -> Error {
        match self {
            Self::Downstream => Error::new(Kind::BadHead, what),
            Self::Upstream => Error::new(Kind::UpstreamInvalidResponse, what),
        }
    }

    /// A part of the message is over its limit.
    pub(crate) fn too_large(self, what: &'static str) -> Error {
        match self {
            Self::Downstream => Error::new(Kind::HeadTooLarge, what),
            Self::Upstream => Error::new(Kind::UpstreamInvalidResponse, what),
        }
    }

    /// The peer closed before the message was whole.
    pub(crate) fn cut(self, what: &'static str) -> Error {
        match self {
            Self::Downstream => Error::new(Kind::ClientGone, what),
            Self::Upstream => Error::new(Kind::UpstreamInvalidResponse, what),
        }
    }
}

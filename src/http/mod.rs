//! HTTP/1.1 and server-sent events as bytes (RFC 9110, RFC 9112): parsers take a slice and return need-more, a value or
//! an error; they keep offsets, never bytes. No socket, no clock. All limits of the room are here.

pub mod body;
pub mod chunked;
pub mod encode;
pub mod head;
pub mod proxy;
pub mod request;
pub mod response;
pub mod sse;

pub use body::BodyDecoder;
pub use head::{Field, Fields, Framing, HeadEnd};
pub use proxy::{ProxyHeader, parse_proxy_header};
pub use request::{Method, RequestHead, parse_request_head};
pub use response::{ResponseHead, parse_response_head};

use crate::error::{Error, Kind};

/// Largest request head, bytes, from its first byte to the empty line's end. Beyond: 431.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most header fields of one head, either side; real clients send about 20, providers about 40. Beyond: 431.
pub const HEADERS_MAX: usize = 100;
/// Largest request target, bytes; what RFC 9112 section 3 recommends as a minimum. Beyond: 414.
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

//! How the body of a provider's answer is framed on its way to the caller. What the provider framed is undone before.

use super::exchange::Exchange;
use super::reply;
use crate::http::chunked::{LAST_CHUNK, write_chunk};
use crate::http::{Framing, encode};

/// How a body goes down to the caller.
#[derive(Clone, Copy)]
pub(super) enum BodyFraming {
    Length(u64),
    Chunked,
    Close,
}

impl BodyFraming {
    /// As the provider framed it where that is a length; else as one whose length nobody knows.
    pub(super) fn of(framing: Framing, exchange: &Exchange<'_>) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            _ => Self::unknown(exchange),
        }
    }

    /// For a body whose length nobody knows: chunks, or, for HTTP/1.0, until the connection closes.
    pub(super) fn unknown(exchange: &Exchange<'_>) -> Self {
        if exchange.is_http_1_0() { Self::Close } else { Self::Chunked }
    }

    /// Ends the head in `out`, which says so.
    pub(super) fn begin(self, out: &mut Vec<u8>, exchange: &mut Exchange<'_>) {
        match self {
            Self::Length(length) => encode::content_length(out, length),
            Self::Chunked => encode::field(out, "transfer-encoding", b"chunked"),
            Self::Close => exchange.keep_alive = false,
        }
        reply::finish(out, exchange);
    }

    /// A piece of the body.
    pub(super) fn frame(self, out: &mut Vec<u8>, piece: &[u8]) {
        match self {
            Self::Chunked if !piece.is_empty() => write_chunk(out, piece),
            Self::Chunked => {}
            _ => out.extend_from_slice(piece),
        }
    }

    /// A comment in a stream of events, which its readers ignore.
    pub(super) fn comment(self) -> &'static [u8] {
        match self {
            Self::Chunked => b"3\r\n:\n\n\r\n",
            Self::Close => b":\n\n",
            Self::Length(_) => b"",
        }
    }

    /// A line end between the values of a JSON text, which its readers ignore.
    pub(super) fn blank(self) -> &'static [u8] {
        match self {
            Self::Chunked => b"1\r\n\n\r\n",
            Self::Close => b"\n",
            Self::Length(_) => b"",
        }
    }

    /// The end of the body.
    pub(super) fn end(self, out: &mut Vec<u8>) {
        if let Self::Chunked = self {
            out.extend_from_slice(LAST_CHUNK);
        }
    }
}

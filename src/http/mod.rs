//! HTTP/1.1 and server-sent events as bytes (RFC 9110, RFC 9112): parsers take a slice and return need-more, a value or
//! an error; they keep offsets, never bytes. No socket, no clock.

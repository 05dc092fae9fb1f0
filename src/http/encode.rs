//! Writing heads: status line, request line, fields. Each function appends to a buffer; nothing that a value holds can
//! end its line. Which fields an answer has is the caller's.

use super::Method;
use super::head::is_token;

/// Appends `HTTP/1.1 STATUS REASON`.
pub fn status_line(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends `METHOD TARGET HTTP/1.1`. The target is given in pieces (base path, path, query with its `?`), so that none
/// has to be joined first; bytes that a target may not hold are left out.
pub fn request_line(out: &mut Vec<u8>, method: Method, target: &[&[u8]]) {
    out.extend_from_slice(method.name().as_bytes());
    out.push(b' ');
    for piece in target {
        extend_where(out, piece, |byte| matches!(byte, 0x21..=0x7e));
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Appends one field. Control bytes in the value (CR, LF and NUL above all) are left out; a name that is no token
/// writes nothing.
pub fn field(out: &mut Vec<u8>, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
    let name = name.as_ref();
    if !is_token(name) {
        return;
    }
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    extend_where(out, value.as_ref(), |byte| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..));
    out.extend_from_slice(b"\r\n");
}

/// Appends `content-length`, bytes.
pub fn content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends `transfer-encoding: chunked`.
pub fn chunked(out: &mut Vec<u8>) {
    out.extend_from_slice(b"transfer-encoding: chunked\r\n");
}

/// A `Date` value (RFC 9110 section 5.6.7) for seconds since the epoch; empty beyond the year 9999.
pub fn date(unix_s: i64) -> String {
    let timestamp = jiff::Timestamp::from_second(unix_s).ok();
    let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
    timestamp.and_then(|at| printer.timestamp_to_rfc9110_string(&at).ok()).unwrap_or_default()
}

/// Appends the empty line that ends a head.
pub fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// `100 Continue`, whole.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The status's usual phrase (RFC 9110 section 15); empty for one that has none, which the grammar allows.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        499 => "Client Closed Request",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        529 => "Overloaded",
        _ => "",
    }
}

/// Appends those bytes that are `allowed`; the usual piece, where all are, in one copy.
fn extend_where(out: &mut Vec<u8>, bytes: &[u8], allowed: impl Fn(u8) -> bool) {
    // All bytes are looked at, without a branch: that becomes vector code.
    match bytes.iter().fold(false, |found, byte| found | !allowed(*byte)) {
        false => out.extend_from_slice(bytes),
        true => out.extend(bytes.iter().copied().filter(|byte| allowed(*byte))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Framing, parse_request_head, parse_response_head};
    use super::*;

    #[test]
    fn a_response_head_is_read_back() {
        let mut out = Vec::new();
        status_line(&mut out, 429);
        field(&mut out, "retry-after", "1");
        content_length(&mut out, 12);
        end(&mut out);
        assert_eq!(out, b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 12\r\n\r\n");
        let head = parse_response_head(&out, false).unwrap();
        assert_eq!((head.status, head.framing), (429, Framing::Length(12)));
    }

    #[test]
    fn a_request_head_is_read_back() {
        let mut out = Vec::new();
        request_line(&mut out, Method::Post, &[b"/base", b"/v1/x", b"?a=b"]);
        field(&mut out, "host", "a:80");
        chunked(&mut out);
        end(&mut out);
        let head = parse_request_head(&out).unwrap();
        assert_eq!(
            (head.method, head.path(&out), head.framing),
            (Method::Post, &b"/base/v1/x"[..], Framing::Chunked)
        );
    }

    #[test]
    fn dates_are_fixed_in_length_and_in_gmt() {
        assert_eq!(date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(date(i64::MAX), "");
    }

    #[test]
    fn nothing_in_a_value_ends_its_line() {
        let mut out = Vec::new();
        field(&mut out, "a", b"b\r\nEvil: 1\n\0c\x7f\t\xff");
        assert_eq!(out, b"a: bEvil: 1c\t\xff\r\n");
        for name in ["", "a b", "a:", "a\r\n"] {
            let before = out.len();
            field(&mut out, name, "x");
            assert_eq!(out.len(), before, "{name:?}");
        }
        let mut line = Vec::new();
        request_line(&mut line, Method::Get, &[b"/a b\r\nc"]);
        assert_eq!(line, b"GET /abc HTTP/1.1\r\n");
    }

    #[test]
    fn a_status_without_a_phrase_is_still_a_head() {
        let mut out = Vec::new();
        status_line(&mut out, 599);
        end(&mut out);
        assert_eq!(parse_response_head(&out, false).unwrap().status, 599);
    }
}

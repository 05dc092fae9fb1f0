//! RFC 9112 §2, message format: lines, what stands before them, what is no HTTP at all.

use super::Case;

#[rustfmt::skip] // a row for a case
pub(crate) const CASES: &[Case] = &[
    ("a sound request", b"<A>", "200a open"),
    ("without a body", b"<get>\r\n", "200 open"),
    // §2.2: "a server that is expecting to receive and parse a request-line SHOULD ignore at least one empty line (CRLF)
    // received prior to the request-line". We ignore one: more are no mistake of a client's.
    ("an empty line before", b"\r\n<A>", "200a open"),
    ("two empty lines before", b"\r\n\r\n<A>", "400 closed"),
    ("an empty line behind a body, as old clients sent", b"<A>\r\n<B>", "200a 200b open"),
    ("two empty lines behind a body", b"<A>\r\n\r\n<B>", "200a 400 closed"),
    ("an empty line and nothing", b"\r\n", "open"),
    ("a CR and no LF before", b"\r<A>", "400 closed"),
    ("a LF before", b"\n<A>", "400 closed"),
    ("a space before", b" <A>", "400 closed"),
    ("a tab before", b"\t<A>", "400 closed"),
    ("a NUL before", b"\0<A>", "400 closed"),
    ("a byte order mark before", b"\xef\xbb\xbf<A>", "400 closed"),
    // §2.2: "a recipient MAY recognize a single LF as a line terminator and ignore any preceding CR". We do not: whoever
    // does, and stands before us, would see other lines than we.
    ("LF alone ends every line", b"GET /health HTTP/1.1\nHost: h\n\n", "400 closed"),
    ("LF alone ends the request line", b"GET /health HTTP/1.1\nHost: h\r\n\r\n", "400 closed"),
    ("LF alone ends a field", b"<get>A: b\nC: d\r\n\r\n", "400 closed"),
    ("LF alone ends the last field", b"<get>A: b\n\r\n", "400 closed"),
    ("LF alone is the empty line", b"<get>\n", "400 closed"),
    ("LF and CR, the wrong way round", b"GET /health HTTP/1.1\n\rHost: h\n\r\n\r", "400 closed"),
    // §2.2: "A recipient of such a bare CR MUST consider that element to be invalid or replace each bare CR with SP".
    ("CR inside the request line", b"GET\r /health HTTP/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("CR inside the target", b"GET /hea\rlth HTTP/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("CR doubled behind the version", b"GET /health HTTP/1.1\r\r\nHost: h\r\n\r\n", "400 closed"),
    ("CR inside a name", b"<get>A\rB: c\r\n\r\n", "400 closed"),
    ("CR inside a value", b"<get>A: b\rc\r\n\r\n", "400 closed"),
    ("CR doubled behind a value", b"<get>A: b\r\r\n\r\n", "400 closed"),
    ("CR alone ends a field", b"<get>A: b\rC: d\r\n\r\n", "400 closed"),
    ("CR doubled in the empty line", b"<get>\r\r\n\r\n", "400 closed"),
    // §2.2: "A recipient that receives whitespace between the start-line and the first header field MUST either reject the
    // message as invalid or consume each whitespace-preceded line".
    ("a space before the first field", b"GET /health HTTP/1.1\r\n Host: h\r\n\r\n", "400 closed"),
    ("a tab before the first field", b"GET /health HTTP/1.1\r\n\tA: b\r\nHost: h\r\n\r\n", "400 closed"),
    ("a line of space before the fields", b"GET /health HTTP/1.1\r\n \r\nHost: h\r\n\r\n", "400 closed"),
    // §2.2: octets, not characters.
    ("bytes that are no UTF-8 in a value", b"<get>A: \xff\xfe\x80\r\n\r\n", "200 open"),
    ("UTF-8 in a value", b"<get>A: \xc3\xa4\xe2\x82\xac\r\n\r\n", "200 open"),
    ("UTF-16", b"G\0E\0T\0 \0/\0\r\0\n\0", "400 closed"),
    // No HTTP.
    ("a TLS hello to the plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400 closed"),
    ("an SSLv2 hello", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\r\n\r\n", "400 closed"),
    ("a banner of SSH", b"SSH-2.0-OpenSSH_9.2\r\n", "400 closed"),
    ("a greeting of SMTP", b"EHLO h\r\n", "400 closed"),
    ("a PROXY header that nobody is trusted for", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n<A>", "400 closed"),
    ("the same in binary", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x50\0\x50<A>", "400 closed"),
    ("a response", b"HTTP/1.1 200 OK\r\nHost: h\r\n\r\n", "400 closed"),
    ("JSON", b"{\"model\":\"gpt-4o\"}\r\n\r\n", "400 closed"),
];

//! RFC 9112 §2.3 and RFC 9110 §2.5: versions. Only 1.0 and 1.1 are spoken; another is 505, what is no version is 400.

use super::Case;

#[rustfmt::skip] // a row for a case
pub(crate) const CASES: &[Case] = &[
    ("1.0", b"GET /health HTTP/1.0\r\n\r\n", "200 closed"),
    ("1.0 with Host", b"GET /health HTTP/1.0\r\nHost: h\r\n\r\n", "200 closed"),
    ("1.0 that asks to be kept", b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "200 open"),
    ("a conversation in 1.0", b"POST /v1/chat/completions HTTP/1.0\r\nContent-Length: 32\r\n\r\n<a>", "200a closed"),
    ("two conversations in 1.0 that asks to be kept", b"POST /v1/chat/completions HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 32\r\n\r\n<a><B>", "200a 200b open"),
    // RFC 9112 §6.1: "A server or client that receives an HTTP/1.0 message containing a Transfer-Encoding header field MUST
    // treat the message as if the framing is faulty".
    ("chunks in 1.0", b"POST /v1/chat/completions HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "400 closed"),
    ("chunks in 1.0 that asks to be kept", b"POST /v1/chat/completions HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    // RFC 9112 §3: a request line has a version. A "simple request" of 0.9 has none.
    ("0.9 as it was", b"GET /health\r\n", "400 closed"),
    ("0.9 with a Host", b"GET /health\r\nHost: h\r\n\r\n", "400 closed"),
    ("0.9 by name", b"GET /health HTTP/0.9\r\nHost: h\r\n\r\n", "505 closed"),
    // RFC 9110 §2.5 has a recipient SHOULD process a higher minor version as its own highest. There is none, and whoever
    // names one means something that we do not know: the issue has it refused.
    ("1.2", b"GET /health HTTP/1.2\r\nHost: h\r\n\r\n", "505 closed"),
    ("1.9", b"GET /health HTTP/1.9\r\nHost: h\r\n\r\n", "505 closed"),
    ("2.0", b"GET /health HTTP/2.0\r\nHost: h\r\n\r\n", "505 closed"),
    ("3.0", b"GET /health HTTP/3.0\r\nHost: h\r\n\r\n", "505 closed"),
    ("0.0", b"GET /health HTTP/0.0\r\nHost: h\r\n\r\n", "505 closed"),
    ("9.9 with a body behind", b"POST / HTTP/9.9\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "505 closed"),
    ("HTTP/2 with prior knowledge", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "505 closed"),
    // RFC 9112 §2.3: HTTP-version = HTTP-name "/" DIGIT "." DIGIT; HTTP-name is case-sensitive.
    ("lower case", b"GET /health http/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("mixed case", b"GET /health Http/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("two digits behind the dot", b"GET /health HTTP/1.10\r\nHost: h\r\n\r\n", "400 closed"),
    ("two digits before the dot", b"GET /health HTTP/01.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("no dot", b"GET /health HTTP/1\r\nHost: h\r\n\r\n", "400 closed"),
    ("nothing behind the dot", b"GET /health HTTP/1.\r\nHost: h\r\n\r\n", "400 closed"),
    ("three numbers", b"GET /health HTTP/1.1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("a comma", b"GET /health HTTP/1,1\r\nHost: h\r\n\r\n", "400 closed"),
    ("a sign", b"GET /health HTTP/+1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("a minus", b"GET /health HTTP/-1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("a letter", b"GET /health HTTP/1.x\r\nHost: h\r\n\r\n", "400 closed"),
    ("a full-width digit", b"GET /health HTTP/1.\xef\xbc\x91\r\nHost: h\r\n\r\n", "400 closed"),
    ("no slash", b"GET /health HTTP1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("a space behind the slash", b"GET /health HTTP/ 1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("a space before the slash", b"GET /health HTTP /1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("another protocol", b"GET /health HTCPCP/1.0\r\nHost: h\r\n\r\n", "400 closed"),
    ("HTTPS", b"GET /health HTTPS/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("RTSP", b"OPTIONS * RTSP/1.0\r\nHost: h\r\n\r\n", "400 closed"),
    ("a NUL inside", b"GET /health HTTP/1.1\0\r\nHost: h\r\n\r\n", "400 closed"),
];

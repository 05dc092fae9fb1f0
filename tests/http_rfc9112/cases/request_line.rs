//! RFC 9112 §3 and §3.1: method SP request-target SP HTTP-version, each exactly once.

use super::Case;

#[rustfmt::skip] // a row for a case
pub(crate) const CASES: &[Case] = &[
    // §3: "recipients MAY instead parse on whitespace-delimited word boundaries … However, lenient parsing can result in request
    // smuggling security vulnerabilities". We do not.
    ("two spaces behind the method", b"GET  /health HTTP/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("two spaces behind the target", b"GET /health  HTTP/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("a space behind the version", b"GET /health HTTP/1.1 \r\nHost: h\r\n\r\n", "400 closed"),
    ("a tab behind the version", b"GET /health HTTP/1.1\t\r\nHost: h\r\n\r\n", "400 closed"),
    ("a tab behind the method", b"GET\t/health HTTP/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("a tab behind the target", b"GET /health\tHTTP/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("a vertical tab", b"GET\x0b/health HTTP/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("a form feed", b"GET /health\x0cHTTP/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("a space of Unicode", b"GET\xc2\xa0/health HTTP/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("a fourth word", b"GET /health HTTP/1.1 x\r\nHost: h\r\n\r\n", "400 closed"),
    ("two versions", b"GET /health HTTP/1.1 HTTP/1.0\r\nHost: h\r\n\r\n", "400 closed"),
    ("a space inside the target", b"GET /hea lth HTTP/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("no target", b"GET HTTP/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("an empty target", b"GET  HTTP/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("no method", b"/health HTTP/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("an empty method", b" /health HTTP/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("one word", b"GET\r\nHost: h\r\n\r\n", "400 closed"),
    ("a field in its place", b"Host: h\r\nGET /health HTTP/1.1\r\n\r\n", "400 closed"),
    ("continued on a second line", b"GET /health\r\n HTTP/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    // RFC 9110 §9.1: the method is case-sensitive; one that a server does not know is 501.
    ("a method in lower case", b"get /health HTTP/1.1\r\nHost: h\r\n\r\n", "501 closed"),
    ("a method in mixed case", b"Post /v1/chat/completions HTTP/1.1\r\nHost: h\r\n\r\n", "501 closed"),
    ("an unknown method", b"BREW /health HTTP/1.1\r\nHost: h\r\n\r\n", "501 closed"),
    ("a method of WebDAV", b"PROPFIND /health HTTP/1.1\r\nHost: h\r\n\r\n", "501 closed"),
    ("an unknown method with a body", b"QUERY /health HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "501 closed"),
    ("TRACE, which reflects", b"TRACE /health HTTP/1.1\r\nHost: h\r\n\r\n", "501 closed"),
    ("a method of every token byte", b"!#$%&'*+-.^_`|~09AZaz /health HTTP/1.1\r\nHost: h\r\n\r\n", "501 closed"),
    ("a method of one byte", b"G /health HTTP/1.1\r\nHost: h\r\n\r\n", "501 closed"),
    ("a long method", b"<M*200> /health HTTP/1.1\r\nHost: h\r\n\r\n", "501 closed"),
    ("a known method and more", b"GETX /health HTTP/1.1\r\nHost: h\r\n\r\n", "501 closed"),
    // RFC 9110 §5.6.2: no token.
    ("a bracket in the method", b"G(T /health HTTP/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("a colon in the method", b"GET: /health HTTP/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("a quote in the method", b"\"GET\" /health HTTP/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("a NUL in the method", b"GE\0T /health HTTP/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    ("a byte over 127 in the method", b"G\xc9T /health HTTP/1.1\r\nHost: h\r\n\r\n", "400 closed"),
    // RFC 9110 §15.5.6: a known method that the route has not.
    ("PUT where POST belongs", b"PUT /v1/chat/completions HTTP/1.1\r\nHost: h\r\n\r\n", "405 open"),
    ("DELETE of what cannot go", b"DELETE /health HTTP/1.1\r\nHost: h\r\n\r\n", "405 open"),
    ("GET of a conversation", b"GET /v1/chat/completions HTTP/1.1\r\nHost: h\r\n\r\n", "405 open"),
];

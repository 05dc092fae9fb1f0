//! RFC 9112 §3.2 and RFC 9110 §7.2: Host. "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1
//! request message that lacks a Host header field and to any request message that contains more than one Host header field
//! line or a Host header field with an invalid field value."

use super::Case;

#[rustfmt::skip] // a row for a case
pub(crate) const CASES: &[Case] = &[
    ("missing", b"GET /health HTTP/1.1\r\n\r\n", "400 closed"),
    ("missing, other fields there", b"GET /health HTTP/1.1\r\nX-Host: h\r\nA: b\r\n\r\n", "400 closed"),
    ("missing in a conversation", b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 32\r\n\r\n<a>", "400 closed"),
    ("missing in 1.0", b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "200 open"),
    ("twice, the same", b"<get>Host: h\r\n\r\n", "400 closed"),
    ("twice, two", b"<get>Host: i\r\n\r\n", "400 closed"),
    ("twice, in another case", b"<get>hOST: h\r\n\r\n", "400 closed"),
    ("twice, one empty", b"<get>Host:\r\n\r\n", "400 closed"),
    ("twice, far apart", b"<get>A: b\r\nC: d\r\nE: f\r\nHost: h\r\n\r\n", "400 closed"),
    ("twice in 1.0", b"GET /health HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n", "400 closed"),
    // RFC 9112 §3.2: "If the authority component is missing or undefined for the target URI, then a client MUST send a Host
    // header field with an empty field value".
    ("empty", b"GET /health HTTP/1.1\r\nHost:\r\n\r\n", "200 open"),
    ("of spaces", b"GET /health HTTP/1.1\r\nHost:   \r\n\r\n", "200 open"),
    ("with a port", b"GET /health HTTP/1.1\r\nHost: h.example:8080\r\n\r\n", "200 open"),
    ("with an empty port", b"GET /health HTTP/1.1\r\nHost: h:\r\n\r\n", "200 open"),
    ("an address", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n", "200 open"),
    ("an address of version 6", b"GET /health HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", "200 open"),
    ("an underscore, as Docker has", b"GET /health HTTP/1.1\r\nHost: my_gateway:80\r\n\r\n", "200 open"),
    ("another case of the name", b"GET /health HTTP/1.1\r\nHOST: H\r\n\r\n", "200 open"),
    ("a space inside", b"GET /health HTTP/1.1\r\nHost: a b\r\n\r\n", "400 closed"),
    ("a list", b"GET /health HTTP/1.1\r\nHost: a, b\r\n\r\n", "400 closed"),
    ("a path", b"GET /health HTTP/1.1\r\nHost: h/health\r\n\r\n", "400 closed"),
    ("a URL", b"GET /health HTTP/1.1\r\nHost: http://h\r\n\r\n", "400 closed"),
    ("a user", b"GET /health HTTP/1.1\r\nHost: u@h\r\n\r\n", "400 closed"),
    ("a port of letters", b"GET /health HTTP/1.1\r\nHost: h:80x\r\n\r\n", "400 closed"),
    ("a signed port", b"GET /health HTTP/1.1\r\nHost: h:+80\r\n\r\n", "400 closed"),
    ("two ports", b"GET /health HTTP/1.1\r\nHost: h:80:80\r\n\r\n", "400 closed"),
    ("an address without brackets", b"GET /health HTTP/1.1\r\nHost: ::1\r\n\r\n", "400 closed"),
    ("a bracket that stays open", b"GET /health HTTP/1.1\r\nHost: [::1\r\n\r\n", "400 closed"),
    ("brackets of nothing", b"GET /health HTTP/1.1\r\nHost: []\r\n\r\n", "400 closed"),
    ("something behind the brackets", b"GET /health HTTP/1.1\r\nHost: [::1]x\r\n\r\n", "400 closed"),
    ("a quote", b"GET /health HTTP/1.1\r\nHost: \"h\"\r\n\r\n", "400 closed"),
    ("a backslash", b"GET /health HTTP/1.1\r\nHost: a\\b\r\n\r\n", "400 closed"),
    ("half an escape", b"GET /health HTTP/1.1\r\nHost: h%4\r\n\r\n", "400 closed"),
    ("a byte over 127", b"GET /health HTTP/1.1\r\nHost: h\xe9\r\n\r\n", "400 closed"),
    ("a NUL", b"GET /health HTTP/1.1\r\nHost: h\0\r\n\r\n", "400 closed"),
    ("folded", b"GET /health HTTP/1.1\r\nHost:\r\n h\r\n\r\n", "400 closed"),
    ("a space before its colon", b"GET /health HTTP/1.1\r\nHost : h\r\n\r\n", "400 closed"),
    ("a NUL behind its name", b"GET /health HTTP/1.1\r\nHost\0: h\r\n\r\n", "400 closed"),
];

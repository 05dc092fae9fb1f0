//! RFC 9112 §9.3, persistence, and RFC 9110 §7.6.1, Connection: a list of tokens, of which `close` wins.

use super::Case;

#[rustfmt::skip] // a row for a case
pub(crate) const CASES: &[Case] = &[
    ("close", b"<get>Connection: close\r\n\r\n", "200 closed"),
    ("Close", b"<get>connection: CLOSE\r\n\r\n", "200 closed"),
    ("close behind a conversation", b"<post>Connection: close\r\nContent-Length: 32\r\n\r\n<a>", "200a closed"),
    ("close behind chunks", b"<post>Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "200a closed"),
    ("close behind a 404", b"GET /nowhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "404 closed"),
    ("close behind a 405", b"DELETE /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "405 closed"),
    ("close behind a HEAD", b"HEAD /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "200- closed"),
    ("close in a list, first", b"<get>Connection: close, x\r\n\r\n", "200 closed"),
    ("close in a list, last", b"<get>Connection: x ,close\r\n\r\n", "200 closed"),
    ("close among commas", b"<get>Connection: ,, close ,\r\n\r\n", "200 closed"),
    ("close beside what is no token", b"<get>Connection: \xe4, close\r\n\r\n", "200 closed"),
    ("close and keep-alive", b"<get>Connection: keep-alive, close\r\n\r\n", "200 closed"),
    ("close in a second field", b"<get>Connection: x\r\nConnection: close\r\n\r\n", "200 closed"),
    ("close in a first field", b"<get>Connection: close\r\nConnection: keep-alive\r\n\r\n", "200 closed"),
    ("keep-alive, which goes without saying", b"<get>Connection: keep-alive\r\n\r\n", "200 open"),
    ("empty", b"<get>Connection:\r\n\r\n", "200 open"),
    ("a word that begins like close", b"<get>Connection: closed\r\n\r\n", "200 open"),
    ("a word that ends like close", b"<get>Connection: not-close\r\n\r\n", "200 open"),
    ("close as a parameter", b"<get>Connection: x=close\r\n\r\n", "200 open"),
    ("close in quotes", b"<get>Connection: \"close\"\r\n\r\n", "200 open"),
    ("close by another name", b"<get>Proxy-Connection: close\r\n\r\n", "200 open"),
    ("Host, as if it were of this hop", b"<get>Connection: host, content-length\r\n\r\n", "200 open"),
    // RFC 9110 §7.8: "A server MAY ignore a received Upgrade header field".
    ("an upgrade to WebSocket", b"<get>Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n", "200 open"),
    ("an upgrade to HTTP/2", b"<get>Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", "200 open"),
    ("an upgrade, and a request behind it", b"<get>Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n<A>", "200 200a open"),
    // §9.3: HTTP/1.0 persists only with keep-alive.
    ("1.0 and keep-alive", b"GET /health HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "200 open"),
    ("1.0 and keep-alive in a list", b"GET /health HTTP/1.0\r\nConnection: x, keep-alive\r\n\r\n", "200 open"),
    ("1.0, keep-alive and close", b"GET /health HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "200 closed"),
    ("1.0 and Keep-Alive alone", b"GET /health HTTP/1.0\r\nKeep-Alive: timeout=5\r\n\r\n", "200 closed"),
    ("1.0 and another word", b"GET /health HTTP/1.0\r\nConnection: alive\r\n\r\n", "200 closed"),
    // RFC 9112 appendix C.2.2: Proxy-Connection is not to be taken for Connection.
    ("1.0 and Proxy-Connection", b"GET /health HTTP/1.0\r\nProxy-Connection: keep-alive\r\n\r\n", "200 closed"),
    ("1.0, 1.1, 1.0", b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n<A>GET /health HTTP/1.0\r\n\r\n<B>", "200 200a 200 closed"),
];

//! RFC 9112 §4, the status line, and RFC 9110 §15.2, interim answers.

use super::Case;

#[rustfmt::skip] // a row for a case
pub(crate) const CASES: &[Case] = &[
    ("a sound answer", b"<200>Content-Length: 16\r\n\r\n<ok>", "200 kept"),
    // §4: the reason phrase may be missing, its space may not; many servers leave out both.
    ("no reason", b"HTTP/1.1 200 \r\nContent-Length: 16\r\n\r\n<ok>", "200 kept"),
    ("no reason and no space", b"HTTP/1.1 200\r\nContent-Length: 16\r\n\r\n<ok>", "200 kept"),
    ("a reason of many words", b"HTTP/1.1 200 All is well, 1/2\r\nContent-Length: 16\r\n\r\n<ok>", "200 kept"),
    ("a reason in Latin-1", b"HTTP/1.1 200 f\xfcr dich\r\nContent-Length: 16\r\n\r\n<ok>", "200 kept"),
    ("a tab in the reason", b"HTTP/1.1 200 a\tb\r\nContent-Length: 16\r\n\r\n<ok>", "200 kept"),
    ("another 2xx", b"HTTP/1.1 201 Created\r\nContent-Length: 16\r\n\r\n<ok>", "201 kept"),
    ("1.0", b"HTTP/1.0 200 OK\r\nContent-Length: 16\r\n\r\n<ok>", "200 dropped"),
    ("1.0 that keeps", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 16\r\n\r\n<ok>", "200 kept"),
    ("1.2", b"HTTP/1.2 200 OK\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("2", b"HTTP/2 200\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("2.0", b"HTTP/2.0 200 OK\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("lower case", b"http/1.1 200 OK\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("no version", b"200 OK\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("another protocol", b"ICY 200 OK\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("two spaces", b"HTTP/1.1  200 OK\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("a tab for the space", b"HTTP/1.1\t200 OK\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("a space before", b" HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("an empty line before", b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("no status", b"HTTP/1.1 OK\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("a status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("a status of four digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("a status with a sign", b"HTTP/1.1 +20 OK\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("a status of letters", b"HTTP/1.1 2xx OK\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("a status below 100", b"HTTP/1.1 099 OK\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("status 000", b"HTTP/1.1 000 OK\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    // RFC 9110 §15: "values outside the range 100..599 are invalid … SHOULD process as 5xx".
    ("a status above 599", b"HTTP/1.1 600 OK\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("a NUL in the reason", b"HTTP/1.1 200 O\0K\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("a CR in the reason", b"HTTP/1.1 200 O\rK\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("LF alone", b"HTTP/1.1 200 OK\nContent-Length: 16\n\n<ok>", "502 dropped"),
    ("a redirect", b"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    // RFC 9110 §15.2: "A client MUST be able to parse one or more 1xx responses received prior to a final response, even if
    // the client does not expect one."
    ("100 before", b"HTTP/1.1 100 Continue\r\n\r\n<200>Content-Length: 16\r\n\r\n<ok>", "200 kept"),
    ("103 before", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n<200>Content-Length: 16\r\n\r\n<ok>", "200 kept"),
    ("one that nobody knows before", b"HTTP/1.1 199 X\r\n\r\n<200>Content-Length: 16\r\n\r\n<ok>", "200 kept"),
    ("nine before, more than are waited for", b"<HTTP/1.1 102 X\r\n\r\n*9>HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("eight before", b"<HTTP/1.1 102 X\r\n\r\n*8>HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n<ok>", "200 kept"),
    // RFC 9112 §6.3 rule 1: an interim answer has no body, whatever its fields say.
    ("100 with a length", b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n<200>Content-Length: 16\r\n\r\n<ok>", "200 kept"),
    ("100 in 1.0", b"HTTP/1.0 100 Continue\r\n\r\n<200>Content-Length: 16\r\n\r\n<ok>", "200 kept"),
    ("100 in 1.0 with chunks", b"HTTP/1.0 100 X\r\nTransfer-Encoding: chunked\r\n\r\n<200>Content-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("100 that says close", b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n<200>Content-Length: 16\r\n\r\n<ok>", "200 kept"),
    ("100 and no more", b"HTTP/1.1 100 Continue\r\n\r\n", "close 502 dropped"),
    ("100 and a body that was not announced", b"HTTP/1.1 100 Continue\r\n\r\n<ok>", "close 502 dropped"),
    // RFC 9110 §15.2.2: a server must not switch to what was not asked for.
    ("101", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "502 dropped"),
    ("101 behind 100", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 X\r\n\r\n", "502 dropped"),
    // No HTTP.
    ("nothing", b"", "close 502 dropped"),
    ("nothing, and a reset", b"", "reset 502 dropped"),
    ("half a status line", b"HTTP/1.1 20", "close 502 dropped"),
    ("half a head", b"<200>Content-Le", "close 502 dropped"),
    ("half a head, and a reset", b"<200>Content-Le", "reset 502 dropped"),
    ("JSON alone, as 0.9 had it", b"<ok>", "close 502 dropped"),
    ("a banner of SSH", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "502 dropped"),
    ("an alert of TLS", b"\x15\x03\x01\x00\x02\x02\x46", "502 dropped"),
    ("the settings of HTTP/2", b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64", "502 dropped"),
    ("a request", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "502 dropped"),
];

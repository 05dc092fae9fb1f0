//! RFC 9112 §9.5 and §9.6, and §8: the client ends its sending side. What it asked is answered; half a request is not.

use super::Case;

#[rustfmt::skip] // a row for a case
pub(crate) const CASES: &[Case] = &[
    ("nothing", b"", "eof closed"),
    ("an empty line", b"\r\n", "eof closed"),
    ("half a method", b"GE", "eof closed"),
    ("half a request line", b"GET /health HTTP/1.1\r", "eof closed"),
    ("half a field", b"GET /health HTTP/1.1\r\nHos", "eof closed"),
    ("half an empty line", b"<get>\r", "eof closed"),
    ("all but the empty line", b"<get>", "eof closed"),
    // The sending side alone is closed: the answer is still read.
    ("behind a request", b"<get>\r\n", "eof 200 closed"),
    ("behind a conversation", b"<A>", "eof 200a closed"),
    ("behind chunks", b"<post>Transfer-Encoding: chunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "eof 200a closed"),
    ("behind two", b"<A><B>", "eof 200a 200b closed"),
    ("behind two and half of one", b"<A><B><post>Content-Le", "eof 200a 200b closed"),
    ("behind one with close", b"<get>Connection: close\r\n\r\n", "eof 200 closed"),
    ("behind a refused one", b"<get>A : b\r\n\r\n", "eof 400 closed"),
    ("behind a 404", b"GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n", "eof 404 closed"),
    ("behind half a body that nobody reads", b"POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe", "eof 404 closed"),
];

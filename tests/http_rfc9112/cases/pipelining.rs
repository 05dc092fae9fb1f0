//! RFC 9112 §9.3.2, pipelining: answers in the order of the requests, and nothing taken for a request behind one that
//! ends the connection.

use super::Case;

#[rustfmt::skip] // a row for a case
pub(crate) const CASES: &[Case] = &[
    ("two", b"<A><B>", "200a 200b open"),
    ("five", b"<A><B><C><D><E>", "200a 200b 200c 200d 200e open"),
    ("of all kinds", b"<A><get>\r\n<B>HEAD /health HTTP/1.1\r\nHost: h\r\n\r\n<C>GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n<D>", "200a 200 200b 200- 200c 404 200d open"),
    ("twenty without bodies", b"<GET /health HTTP/1.1\r\nHost: h\r\n\r\n*20>", "200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 open"),
    ("lengths and chunks in turn", b"<A><post>Transfer-Encoding: chunked\r\n\r\n20\r\n<b>\r\n0\r\n\r\n<C>", "200a 200b 200c open"),
    ("an empty line between", b"<A>\r\n<B>\r\n<C>", "200a 200b 200c open"),
    ("behind a body that is skipped", b"<get>Content-Length: 5\r\n\r\nhello<A>", "200 200a open"),
    ("behind chunks that are skipped", b"<get>Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n<A>", "200 200a open"),
    ("behind a 404", b"GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n<A>", "404 200a open"),
    ("behind a 405", b"PATCH /v1/models HTTP/1.1\r\nHost: h\r\n\r\n<A>", "405 200a open"),
    ("behind JSON that is refused", b"<post>Content-Length: 2\r\n\r\n{}<A>", "400 200a open"),
    ("behind close", b"<get>Connection: close\r\n\r\n<A><B>", "200 closed"),
    ("behind a conversation and close", b"<post>Connection: close\r\nContent-Length: 32\r\n\r\n<a><B>", "200a closed"),
    ("behind 1.0", b"GET /health HTTP/1.0\r\n\r\n<A><B>", "200 closed"),
    ("behind a refused head", b"<get>A : b\r\n\r\n<A><B>", "400 closed"),
    ("behind a good one and a refused head", b"<A><get>A : b\r\n\r\n<B>", "200a 400 closed"),
    ("behind a refused request line", b"GET /health HTTP/2.0\r\nHost: h\r\n\r\n<A>", "505 closed"),
    ("behind an unknown method", b"BREW /health HTTP/1.1\r\nHost: h\r\n\r\n<A>", "501 closed"),
    ("behind a refused length", b"<post>Content-Length: +32\r\n\r\n<a><B>", "400 closed"),
    ("behind a refused chunk", b"<post>Transfer-Encoding: chunked\r\n\r\nx\r\n<A><B>", "400 closed"),
    ("behind a refused trailer", b"<post>Transfer-Encoding: chunked\r\n\r\n20\r\n<a>\r\n0\r\nA\r\n\r\n<B>", "400 closed"),
    ("behind a body that is too large", b"<post>Content-Length: 9999999\r\n\r\n<A><B>", "413 closed"),
    ("behind an expectation that cannot be met", b"<post>Expect: x\r\nContent-Length: 32\r\n\r\n<a><B>", "417 closed"),
    ("behind a body that nobody reads", b"POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello<A>", "404 closed"),
    ("behind a coding that is not taken", b"<post>Content-Encoding: x\r\nContent-Length: 32\r\n\r\n<a><B>", "415 closed"),
    ("behind a type that is not taken", b"<post>Content-Type: text/plain\r\nContent-Length: 32\r\n\r\n<a><B>", "415 closed"),
    ("half a request", b"<A>GET /health HTT", "eof 200a closed"),
];

//! RFC 9110 §10.1.1, Expect. Interim answers are passed over here; that one comes where it must is `interim`'s.

use super::Case;

#[rustfmt::skip] // a row for a case
pub(crate) const CASES: &[Case] = &[
    ("100-continue", b"<post>Expect: 100-continue\r\nContent-Length: 32\r\n\r\n<a>", "200a open"),
    ("in another case", b"<post>expect: 100-Continue\r\nContent-Length: 32\r\n\r\n<a>", "200a open"),
    ("before chunks", b"<post>Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "200a open"),
    ("and another request behind", b"<post>Expect: 100-continue\r\nContent-Length: 32\r\n\r\n<a><B>", "200a 200b open"),
    ("without a body", b"<get>Expect: 100-continue\r\n\r\n", "200 open"),
    ("before a body that is skipped", b"<get>Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", "200 open"),
    ("twice in a list", b"<post>Expect: 100-continue, 100-continue\r\nContent-Length: 32\r\n\r\n<a>", "200a open"),
    ("in two fields", b"<post>Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 32\r\n\r\n<a>", "200a open"),
    // "A server that receives a 100-continue expectation in an HTTP/1.0 request MUST ignore that expectation."
    ("in 1.0", b"POST /v1/chat/completions HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 32\r\n\r\n<a>", "200a closed"),
    // The final status without an interim one; the body was not asked for, so the connection ends.
    ("before a body without a route", b"POST /nowhere HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 32\r\n\r\n<a>", "404 closed"),
    ("before a body over the limit", b"<post>Expect: 100-continue\r\nContent-Length: 2000000\r\n\r\n<a>", "413 closed"),
    ("before a body of a type that is not taken", b"<post>Expect: 100-continue\r\nContent-Type: text/plain\r\nContent-Length: 32\r\n\r\n<a>", "415 closed"),
    ("before a body with two lengths", b"<post>Expect: 100-continue\r\nContent-Length: 32\r\nContent-Length: 0\r\n\r\n<a>", "400 closed"),
    // "A server that receives an Expect field value containing a member other than 100-continue MAY respond with a 417".
    ("something else", b"<post>Expect: 200-ok\r\nContent-Length: 32\r\n\r\n<a>", "417 closed"),
    ("something else in a list", b"<post>Expect: 100-continue, x\r\nContent-Length: 32\r\n\r\n<a>", "417 closed"),
    ("something else in a second field", b"<post>Expect: 100-continue\r\nExpect: x\r\nContent-Length: 32\r\n\r\n<a>", "417 closed"),
    ("something else in a first field", b"<post>Expect: x\r\nExpect: 100-continue\r\nContent-Length: 32\r\n\r\n<a>", "417 closed"),
    ("a value", b"<post>Expect: 100-continue=1\r\nContent-Length: 32\r\n\r\n<a>", "417 closed"),
    ("a parameter", b"<post>Expect: 100-continue;a=b\r\nContent-Length: 32\r\n\r\n<a>", "417 closed"),
    ("quotes", b"<post>Expect: \"100-continue\"\r\nContent-Length: 32\r\n\r\n<a>", "417 closed"),
    ("the number alone", b"<post>Expect: 100\r\nContent-Length: 32\r\n\r\n<a>", "417 closed"),
    ("empty", b"<post>Expect:\r\nContent-Length: 32\r\n\r\n<a>", "417 closed"),
    ("something else with GET", b"<get>Expect: x\r\n\r\n", "417 closed"),
    ("a NUL", b"<post>Expect: 100-continue\0\r\nContent-Length: 32\r\n\r\n<a>", "400 closed"),
];

//! The limits, each at its edge: RFC 9112 §3 (414), §5.4 and RFC 6585 §5 (431), RFC 9110 §15.5.14 (413). Node: bodies of 1 MiB.

use super::Case;

#[rustfmt::skip] // a row for a case
pub(crate) const CASES: &[Case] = &[
    // Targets: 8,192 bytes.
    ("a target of the limit", b"GET /<x*8191> HTTP/1.1\r\nHost: h\r\n\r\n", "404 open"),
    ("a target one over", b"GET /<x*8192> HTTP/1.1\r\nHost: h\r\n\r\n", "414 closed"),
    ("a query up to the limit", b"GET /health?<x*8184> HTTP/1.1\r\nHost: h\r\n\r\n", "200 open"),
    ("a query one over", b"GET /health?<x*8185> HTTP/1.1\r\nHost: h\r\n\r\n", "414 closed"),
    ("an absolute target one over", b"GET http://h/<x*8184> HTTP/1.1\r\nHost: h\r\n\r\n", "414 closed"),
    ("a target of 70,000 bytes", b"GET /<x*70000> HTTP/1.1\r\nHost: h\r\n\r\n<A>", "414 closed"),
    ("a target of 2 MB", b"GET /<x*2000000> HTTP/1.1\r\nHost: h\r\n\r\n<A>", "414 closed"),
    ("a request line that never ends", b"<x*9000>", "414 closed"),
    ("a method of 9,000 bytes", b"<X*9000> / HTTP/1.1\r\nHost: h\r\n\r\n", "414 closed"),
    ("a request line that never ends, behind an empty line", b"\r\n<x*9000>", "414 closed"),
    // Heads: 65,536 bytes with their empty line; the rest of these is 38 bytes.
    ("a head of the limit", b"<get>A: <x*65498>\r\n\r\n", "200 open"),
    ("a head one over", b"<get>A: <x*65499>\r\n\r\n", "431 closed"),
    ("a head of the limit, of names", b"<get><x*65498>: A\r\n\r\n", "200 open"),
    ("a head of the limit before a body", b"<post>Content-Length: 32\r\nA: <x*65464>\r\n\r\n<a>", "200a open"),
    ("a name of 70,000 bytes", b"<get><x*70000>: b\r\n\r\n<A>", "431 closed"),
    ("a name of 65,535 bytes", b"<get><x*65535>: b\r\n\r\n", "431 closed"),
    ("a value of 70,000 bytes", b"<get>A: <x*70000>\r\n\r\n<A>", "431 closed"),
    ("a value of 2 MB", b"<get>A: <x*2000000>\r\n\r\n<A>", "431 closed"),
    ("a length of 70,000 digits", b"<post>Content-Length: <0*70000>32\r\n\r\n<a>", "431 closed"),
    ("a length of 60,000 zeros and 32", b"<post>Content-Length: <0*60000>32\r\n\r\n<a>", "200a open"),
    ("60,000 spaces before a value", b"<get>A:< *60000>b\r\n\r\n", "200 open"),
    ("an endless head of small lines", b"<get><A: b\r\n*20000>", "431 closed"),
    // Fields: 100.
    ("100 fields", b"<get><A: b\r\n*99>\r\n", "200 open"),
    ("101 fields", b"<get><A: b\r\n*100>\r\n", "431 closed"),
    ("101 fields before a conversation", b"<post><A: b\r\n*99>Content-Length: 32\r\n\r\n<a>", "431 closed"),
    ("1,000 fields", b"<get><A: b\r\n*1000>\r\n<A>", "431 closed"),
    ("40,000 fields", b"<get><A: b\r\n*40000>\r\n<A>", "431 closed"),
    ("40,000 empty fields", b"<get><A:\r\n*40000>\r\n<A>", "431 closed"),
    // Bodies: 1 MiB here.
    ("a length over the limit, and no body", b"<post>Content-Length: 1048577\r\n\r\n", "413 closed"),
    ("a length over the limit, and the body", b"<post>Content-Length: 1048577\r\n\r\n< *1048545><a>", "413 closed"),
    ("a body of the limit", b"<post>Content-Length: 1048576\r\n\r\n{< *1048575>", "400 open"),
    ("chunks over the limit", b"<post>Transfer-Encoding: chunked\r\n\r\n80000\r\n< *524288>\r\n80001\r\n< *524289>\r\n0\r\n\r\n", "413 closed"),
    ("one chunk over the limit", b"<post>Transfer-Encoding: chunked\r\n\r\n100001\r\n< *1048577>\r\n0\r\n\r\n", "413 closed"),
    ("a body that nobody asked for, up to its limit", b"<get>Content-Length: 65536\r\n\r\n<x*65536>", "200 open"),
    ("a body that nobody asked for, one over", b"<get>Content-Length: 65537\r\n\r\n<x*65537>", "413 closed"),
    ("chunks that nobody asked for, over", b"<get>Transfer-Encoding: chunked\r\n\r\n10001\r\n<x*65537>\r\n0\r\n\r\n", "413 closed"),
    // Chunk lines: 1,024 bytes; all extensions: 16 KiB; trailers: 16 KiB.
    ("an extension up to the limit", b"<post>Transfer-Encoding: chunked\r\n\r\n20;<a*1019>\r\n<a>\r\n0\r\n\r\n", "200a open"),
    ("an extension one over", b"<post>Transfer-Encoding: chunked\r\n\r\n20;<a*1020>\r\n<a>\r\n0\r\n\r\n", "431 closed"),
    ("an extension that never ends", b"<post>Transfer-Encoding: chunked\r\n\r\n20;<a*9000>", "431 closed"),
    ("spaces before an extension that never end", b"<post>Transfer-Encoding: chunked\r\n\r\n20< *9000>", "431 closed"),
    ("many extensions", b"<post>Transfer-Encoding: chunked\r\n\r\n<1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n \r\n*293>20\r\n<a>\r\n0\r\n\r\n", "431 closed"),
    ("trailers up to the limit", b"<post>Transfer-Encoding: chunked\r\n\r\n20\r\n<a>\r\n0\r\nA:<b*16378>\r\n\r\n", "200a open"),
    ("trailers one over", b"<post>Transfer-Encoding: chunked\r\n\r\n20\r\n<a>\r\n0\r\nA:<b*16379>\r\n\r\n", "431 closed"),
    ("many trailers", b"<post>Transfer-Encoding: chunked\r\n\r\n20\r\n<a>\r\n0\r\n<A: b\r\n*4000>\r\n", "431 closed"),
];

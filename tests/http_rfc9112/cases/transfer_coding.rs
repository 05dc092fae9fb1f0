//! RFC 9112 §6.1 and §7: Transfer-Encoding. One field, one coding, `chunked`; whatever else it says has no sure length.

use super::Case;

#[rustfmt::skip] // a row for a case
pub(crate) const CASES: &[Case] = &[
    ("chunked", b"<post>Transfer-Encoding: chunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "200a open"),
    // §7: "all transfer-coding names are case-insensitive".
    ("in another case", b"<post>TRANSFER-ENCODING: Chunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "200a open"),
    ("no space behind the colon", b"<post>Transfer-Encoding:chunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "200a open"),
    ("spaces and tabs around", b"<post>Transfer-Encoding:\t chunked \t\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "200a open"),
    ("chunks with GET", b"<get>Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "200 open"),
    ("no chunk with GET", b"<get>Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "200 open"),
    ("chunks that hold a request, with GET", b"<get>Transfer-Encoding: chunked\r\n\r\n63\r\n<A>\r\n0\r\n\r\n", "200 open"),
    ("chunks and no route", b"POST /nowhere HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n63\r\n<A>\r\n0\r\n\r\n", "404 closed"),
    ("no chunk where JSON belongs", b"<post>Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400 open"),
    // §6.1: "A server that receives a request message with a transfer coding it does not understand SHOULD respond with
    // 501". Under a final `chunked` its end would be sure.
    ("gzip under chunked", b"<post>Transfer-Encoding: gzip, chunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "501 closed"),
    ("deflate under chunked", b"<post>Transfer-Encoding: deflate,chunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "501 closed"),
    ("identity under chunked", b"<post>Transfer-Encoding: identity, chunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "501 closed"),
    ("x under chunked", b"<post>Transfer-Encoding: x, chunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "501 closed"),
    ("two under chunked", b"<post>Transfer-Encoding: br, gzip, chunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "501 closed"),
    // §6.3 rule 4: "If a Transfer-Encoding header field is present in a request and the chunked transfer coding is not the
    // final encoding, the message body length cannot be determined reliably; the server MUST respond with the 400 (Bad
    // Request) status code and then close the connection."
    ("chunked under gzip", b"<post>Transfer-Encoding: chunked, gzip\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "400 closed"),
    ("gzip alone", b"<post>Transfer-Encoding: gzip\r\n\r\n<A>", "400 closed"),
    ("identity alone", b"<post>Transfer-Encoding: identity\r\n\r\n<A>", "400 closed"),
    ("identity and a length", b"<post>Transfer-Encoding: identity\r\nContent-Length: 32\r\n\r\n<a>", "400 closed"),
    ("chunked under identity", b"<post>Transfer-Encoding: chunked, identity\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "400 closed"),
    ("xchunked", b"<post>Transfer-Encoding: xchunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "400 closed"),
    ("chunkedx", b"<post>Transfer-Encoding: chunkedx\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "400 closed"),
    ("x-chunked", b"<post>Transfer-Encoding: x-chunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "400 closed"),
    ("chunk", b"<post>Transfer-Encoding: chunk\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "400 closed"),
    ("two words", b"<post>Transfer-Encoding: chunked chunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "400 closed"),
    ("two words, another first", b"<post>Transfer-Encoding: identity chunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "400 closed"),
    ("a semicolon between", b"<post>Transfer-Encoding: gzip; chunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "400 closed"),
    ("empty", b"<post>Transfer-Encoding:\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "400 closed"),
    ("of spaces", b"<post>Transfer-Encoding:  \r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "400 closed"),
    ("empty, and a length", b"<post>Transfer-Encoding:\r\nContent-Length: 32\r\n\r\n<a>", "400 closed"),
    // §6.1: "A sender MUST NOT apply the chunked transfer coding more than once to a message body".
    ("twice in one field", b"<post>Transfer-Encoding: chunked, chunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "400 closed"),
    ("twice, something between", b"<post>Transfer-Encoding: chunked, gzip, chunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "400 closed"),
    ("in two fields", b"<post>Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "400 closed"),
    ("in two fields of other case", b"<post>transfer-encoding: chunked\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    // RFC 9110 §5.3 would join these to `identity, chunked`. Whoever looks at one field alone sees another end.
    ("identity, then chunked, in two fields", b"<post>Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("chunked, then identity, in two fields", b"<post>Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("one of two is empty", b"<post>Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    // RFC 9110 §5.6.1.2 has a recipient ignore empty elements of a list. Nobody merges this one, and servers differ.
    ("a comma before", b"<post>Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("a comma behind", b"<post>Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("nothing between commas", b"<post>Transfer-Encoding: gzip,, chunked\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    // §7.1: "The chunked coding does not define any parameters. Their presence SHOULD be treated as an error."
    ("a parameter", b"<post>Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("a weight", b"<post>Transfer-Encoding: chunked;q=0\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("a semicolon behind", b"<post>Transfer-Encoding: chunked;\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("double quotes", b"<post>Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("single quotes", b"<post>Transfer-Encoding: 'chunked'\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("a vertical tab before", b"<post>Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("a form feed before", b"<post>Transfer-Encoding: \x0cchunked\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("a NUL before", b"<post>Transfer-Encoding: \0chunked\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("a NUL inside", b"<post>Transfer-Encoding: chun\0ked\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("a NUL behind", b"<post>Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("a tab inside", b"<post>Transfer-Encoding: chun\tked\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("a no-break space behind", b"<post>Transfer-Encoding: chunked\xa0\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("the Kelvin sign for a k", b"<post>Transfer-Encoding: chun\xe2\x84\xaaed\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("a long s", b"<post>Tran\xc5\xbffer-Encoding: chunked\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("folded", b"<post>Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("folded behind a comma", b"<post>Transfer-Encoding: gzip,\r\n\tchunked\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("a space before its colon", b"<post>Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("a space before its name", b"<post> Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("a LF before its name", b"<post>A: b\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    ("a CR before its name", b"<post>A: b\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n<A>", "400 closed"),
    // RFC 9110 §7.6.1: what Connection names belongs to this hop; it still frames this message.
    ("named by Connection", b"<post>Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n<a>\r\n0\r\n\r\n", "200a open"),
    // RFC 9110 §8.4: a content coding is no transfer coding.
    ("chunked for a content coding", b"<post>Content-Encoding: chunked\r\nContent-Length: 32\r\n\r\n<a>", "415 closed"),
];

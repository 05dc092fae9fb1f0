//! RFC 9112 §6.3 and §7.1 in responses: where a provider's body ends, and whether the connection may carry another.

use super::Case;

#[rustfmt::skip] // a row for a case
pub(crate) const CASES: &[Case] = &[
    // Rule 6: Content-Length.
    // Framed well, and no JSON: no answer to a conversation.
    ("no byte", b"<200>Content-Length: 0\r\n\r\n", "502 dropped"),
    ("zeros before the length", b"<200>Content-Length: 00000000000000000000016\r\n\r\n<ok>", "200 kept"),
    // Rule 5: "unless the field value can be successfully parsed as a comma-separated list, all values in the list are valid,
    // and all values in the list are the same".
    ("a list of equals", b"<200>Content-Length: 16, 16\r\n\r\n<ok>", "200 kept"),
    ("two fields, equal", b"<200>Content-Length: 16\r\nContent-Length: 16\r\n\r\n<ok>", "200 kept"),
    ("two fields, equal, otherwise spelled", b"<200>Content-Length: 16\r\ncontent-length: 016,16\r\n\r\n<ok>", "200 kept"),
    ("two fields that differ", b"<200>Content-Length: 16\r\nContent-Length: 17\r\n\r\n<ok>", "502 dropped"),
    ("two fields that differ, the shorter first", b"<200>Content-Length: 0\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("a list that differs", b"<200>Content-Length: 16, 15\r\n\r\n<ok>", "502 dropped"),
    ("a list with an empty element", b"<200>Content-Length: 16,\r\n\r\n<ok>", "502 dropped"),
    ("a plus sign", b"<200>Content-Length: +16\r\n\r\n<ok>", "502 dropped"),
    ("a minus sign", b"<200>Content-Length: -1\r\n\r\n<ok>", "502 dropped"),
    ("hexadecimal", b"<200>Content-Length: 0x10\r\n\r\n<ok>", "502 dropped"),
    ("empty", b"<200>Content-Length:\r\n\r\n<ok>", "502 dropped"),
    ("two numbers", b"<200>Content-Length: 1 6\r\n\r\n<ok>", "502 dropped"),
    ("2 to the power of 64", b"<200>Content-Length: 18446744073709551616\r\n\r\n<ok>", "502 dropped"),
    ("all of 64 bits, cut", b"<200>Content-Length: 18446744073709551615\r\n\r\n<ok>", "close 502 dropped"),
    // §8: "A client that receives an incomplete response message … MUST record the message as incomplete".
    ("a byte too few", b"<200>Content-Length: 17\r\n\r\n<ok>", "close 502 dropped"),
    ("a byte too few, and a reset", b"<200>Content-Length: 17\r\n\r\n<ok>", "reset 502 dropped"),
    ("no byte of many", b"<200>Content-Length: 16\r\n\r\n", "close 502 dropped"),
    ("whole, and closed", b"<200>Content-Length: 16\r\n\r\n<ok>", "close 200 dropped"),
    // Rule 8: "the length is determined by the number of octets received prior to the server closing the connection".
    ("until it closes", b"<200>\r\n<ok>", "close 200 dropped"),
    ("until it closes, in 1.0", b"HTTP/1.0 200 OK\r\n\r\n<ok>", "close 200 dropped"),
    ("until it closes, and says so", b"<200>Connection: close\r\n\r\n<ok>", "close 200 dropped"),
    ("until it closes, and says that it keeps", b"<200>Connection: keep-alive\r\n\r\n<ok>", "close 200 dropped"),
    ("nothing until it closes", b"<200>\r\n", "close 502 dropped"),
    ("until a reset", b"<200>\r\n<ok>", "reset 502 dropped"),
    // Rule 1: no body with these, whatever the fields say.
    ("204", b"HTTP/1.1 204 No Content\r\n\r\n", "204- kept"),
    ("204 with a length", b"HTTP/1.1 204 No Content\r\nContent-Length: 16\r\n\r\n", "204- kept"),
    ("204 with a coding", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "204- kept"),
    ("204 with a body", b"HTTP/1.1 204 No Content\r\nContent-Length: 16\r\n\r\n<ok>", "502|204- dropped"),
    // Nobody would need these lengths; a provider that contradicts itself is believed nothing.
    ("204 with two lengths", b"HTTP/1.1 204 X\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", "502 dropped"),
    ("100 with a length that is none", b"HTTP/1.1 100 X\r\nContent-Length: x\r\n\r\n<200>Content-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("204 with a length and a coding", b"HTTP/1.1 204 X\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", "502 dropped"),
    // RFC 9110 §15.4.5: no answer to a POST.
    ("304", b"HTTP/1.1 304 Not Modified\r\n\r\n", "502 dropped"),
    ("304 with a length", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 16\r\n\r\n", "502 dropped"),
    // Rule 3: both is "an attempt to perform request smuggling or response splitting".
    ("a length and chunks", b"<200>Content-Length: 16\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n<ok>\r\n0\r\n\r\n", "502 dropped"),
    ("chunks and a length", b"<200>Transfer-Encoding: chunked\r\nContent-Length: 31\r\n\r\n10\r\n<ok>\r\n0\r\n\r\n", "502 dropped"),
    // What stands behind an answer is none of ours: it goes nowhere, and the connection ends.
    ("a byte too many", b"<200>Content-Length: 16\r\n\r\n<ok>x", "502|200 dropped"),
    ("an empty line behind", b"<200>Content-Length: 16\r\n\r\n<ok>\r\n", "200 dropped"),
    ("a second answer behind", b"<200>Content-Length: 16\r\n\r\n<ok><200>Content-Length: 5\r\n\r\nwrong", "502|200 dropped"),
    ("a second answer behind chunks", b"<200>Transfer-Encoding: chunked\r\n\r\n10\r\n<ok>\r\n0\r\n\r\n<200>Content-Length: 5\r\n\r\nwrong", "502|200 dropped"),
    ("a second answer behind none", b"HTTP/1.1 204 No Content\r\n\r\n<200>Content-Length: 16\r\n\r\n<ok>", "502|204- dropped"),
    ("an interim answer behind", b"<200>Content-Length: 16\r\n\r\n<ok>HTTP/1.1 100 Continue\r\n\r\n", "502|200 dropped"),
    // Rule 4, and §7.1.
    ("chunks", b"<200>Transfer-Encoding: chunked\r\n\r\n10\r\n<ok>\r\n0\r\n\r\n", "200 kept"),
    ("many chunks", b"<200>Transfer-Encoding: Chunked\r\n\r\n1\r\n{\r\n007\r\n\"run\":\"\r\n6\r\n######\r\n2\r\n\"}\r\n000\r\n\r\n", "200 kept"),
    ("extensions", b"<200>Transfer-Encoding: chunked\r\n\r\n10;a=b;c=\"d;e\"\r\n<ok>\r\n0 ; f\r\n\r\n", "200 kept"),
    ("trailers", b"<200>Transfer-Encoding: chunked\r\nTrailer: A\r\n\r\n10\r\n<ok>\r\n0\r\nA: b\r\nContent-Length: 5\r\n\r\n", "200 kept"),
    ("no chunk", b"<200>Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "502 dropped"),
    ("chunks, and closed", b"<200>Transfer-Encoding: chunked\r\n\r\n10\r\n<ok>\r\n0\r\n\r\n", "close 200 dropped"),
    ("chunks and close", b"<200>Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n10\r\n<ok>\r\n0\r\n\r\n", "200 dropped"),
    ("chunks in 1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n<ok>\r\n0\r\n\r\n", "close 502 dropped"),
    ("chunks without a last one", b"<200>Transfer-Encoding: chunked\r\n\r\n10\r\n<ok>\r\n", "close 502 dropped"),
    ("chunks without the last line", b"<200>Transfer-Encoding: chunked\r\n\r\n10\r\n<ok>\r\n0\r\n", "close 502 dropped"),
    ("a chunk cut", b"<200>Transfer-Encoding: chunked\r\n\r\n11\r\n<ok>", "close 502 dropped"),
    ("a chunk cut by a reset", b"<200>Transfer-Encoding: chunked\r\n\r\n11\r\n<ok>", "reset 502 dropped"),
    ("gzip under chunked", b"<200>Transfer-Encoding: gzip, chunked\r\n\r\n10\r\n<ok>\r\n0\r\n\r\n", "502 dropped"),
    ("identity alone", b"<200>Transfer-Encoding: identity\r\n\r\n<ok>", "close 502 dropped"),
    ("xchunked", b"<200>Transfer-Encoding: xchunked\r\n\r\n10\r\n<ok>\r\n0\r\n\r\n", "502 dropped"),
    ("chunked twice", b"<200>Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n<ok>\r\n0\r\n\r\n", "502 dropped"),
    ("0x before a size", b"<200>Transfer-Encoding: chunked\r\n\r\n0x10\r\n<ok>\r\n0\r\n\r\n", "502 dropped"),
    ("a plus sign before a size", b"<200>Transfer-Encoding: chunked\r\n\r\n+10\r\n<ok>\r\n0\r\n\r\n", "502 dropped"),
    ("a size of 17 digits", b"<200>Transfer-Encoding: chunked\r\n\r\n10000000000000010\r\n<ok>\r\n0\r\n\r\n", "502 dropped"),
    ("a size of all 64 bits", b"<200>Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n<ok>\r\n0\r\n\r\n", "close 502 dropped"),
    ("no size", b"<200>Transfer-Encoding: chunked\r\n\r\n\r\n<ok>\r\n0\r\n\r\n", "502 dropped"),
    ("LF alone behind a size", b"<200>Transfer-Encoding: chunked\r\n\r\n10\n<ok>\r\n0\r\n\r\n", "502 dropped"),
    ("LF inside an extension", b"<200>Transfer-Encoding: chunked\r\n\r\n10;\na\r\n<ok>\r\n0\r\n\r\n", "502 dropped"),
    ("two other bytes behind the data", b"<200>Transfer-Encoding: chunked\r\n\r\n10\r\n<ok>xx0\r\n\r\n", "502 dropped"),
    ("a trailer folded", b"<200>Transfer-Encoding: chunked\r\n\r\n10\r\n<ok>\r\n0\r\nA: b\r\n c\r\n\r\n", "502 dropped"),
    ("extensions over their limit", b"<200>Transfer-Encoding: chunked\r\n\r\n10;<a*1100>\r\n<ok>\r\n0\r\n\r\n", "502 dropped"),
    ("trailers over their limit", b"<200>Transfer-Encoding: chunked\r\n\r\n10\r\n<ok>\r\n0\r\nA: <a*17000>\r\n\r\n", "502 dropped"),
    // An error of the provider's stays its own, and its connection serves on.
    ("429", b"HTTP/1.1 429 Slow Down\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n<ok>", "429 kept"),
    ("500 until it closes", b"HTTP/1.1 500 X\r\n\r\noh", "close 500 dropped"),
    ("500 in chunks", b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\noh\r\n0\r\n\r\n", "500 kept"),
];

//! RFC 9112 §5, field syntax: field-line = field-name ":" OWS field-value OWS; and RFC 9110 §5.5, §5.6, what may stand in
//! either.

use super::Case;

#[rustfmt::skip] // a row for a case
pub(crate) const CASES: &[Case] = &[
    ("no space behind the colon", b"<get>A:b\r\n\r\n", "200 open"),
    ("spaces and tabs around the value", b"<get>A: \t b \t \r\n\r\n", "200 open"),
    ("an empty value", b"<get>A:\r\n\r\n", "200 open"),
    ("a value of spaces", b"<get>A:  \t \r\n\r\n", "200 open"),
    ("a tab inside the value", b"<get>A: b\tc\r\n\r\n", "200 open"),
    ("a colon in the value", b"<get>A: b: c\r\n\r\n", "200 open"),
    ("a quoted string", b"<get>A: \"b\\\"c\"\r\n\r\n", "200 open"),
    ("a quote that stays open", b"<get>A: \"b\r\n\r\n", "200 open"),
    ("a name of every token byte", b"<get>!#$%&'*+-.^_`|~09AZaz: b\r\n\r\n", "200 open"),
    ("a name of one byte", b"<get>~: b\r\n\r\n", "200 open"),
    ("one name many times", b"<get><A: b\r\n*30>\r\n", "200 open"),
    ("what looks like the head's end in a value", b"<get>A: \\r\\n\\r\\n\r\n\r\n", "200 open"),
    ("a length by another name", b"<get>Content_Length: 5\r\nX-Content-Length: 5\r\n\r\n", "200 open"),
    ("a coding by another name", b"<get>Transfer_Encoding: chunked\r\nTE: chunked\r\n\r\n", "200 open"),
    // RFC 9112 §5.1: "A server MUST reject, with a response status code of 400 (Bad Request), any received request message
    // that contains whitespace between a header field name and colon."
    ("a space before the colon", b"<get>A : b\r\n\r\n", "400 closed"),
    ("a tab before the colon", b"<get>A\t: b\r\n\r\n", "400 closed"),
    ("a vertical tab before the colon", b"<get>A\x0b: b\r\n\r\n", "400 closed"),
    ("a NUL before the colon", b"<get>A\0: b\r\n\r\n", "400 closed"),
    ("a space of Unicode before the colon", b"<get>A\xc2\xa0: b\r\n\r\n", "400 closed"),
    // §5.1: no field line without a name and a colon.
    ("no colon", b"<get>A\r\n\r\n", "400 closed"),
    ("no colon, and a value", b"<get>A b\r\n\r\n", "400 closed"),
    ("an equals sign for the colon", b"<get>A=b\r\n\r\n", "400 closed"),
    ("no name", b"<get>: b\r\n\r\n", "400 closed"),
    ("a colon alone", b"<get>:\r\n\r\n", "400 closed"),
    ("a space for a name", b"<get> : b\r\n\r\n", "400 closed"),
    ("two words for a name", b"<get>A B: c\r\n\r\n", "400 closed"),
    ("a name in quotes", b"<get>\"A\": b\r\n\r\n", "400 closed"),
    ("a bracket in the name", b"<get>A(B: c\r\n\r\n", "400 closed"),
    ("a slash in the name", b"<get>A/B: c\r\n\r\n", "400 closed"),
    ("an at sign in the name", b"<get>A@B: c\r\n\r\n", "400 closed"),
    ("a comma in the name", b"<get>A,B: c\r\n\r\n", "400 closed"),
    ("UTF-8 in the name", b"<get>\xc3\x84: b\r\n\r\n", "400 closed"),
    ("a byte over 127 in the name", b"<get>A\xff: b\r\n\r\n", "400 closed"),
    ("a NUL in the name", b"<get>A\0B: c\r\n\r\n", "400 closed"),
    ("a DEL in the name", b"<get>A\x7f: c\r\n\r\n", "400 closed"),
    // §5.2: "A server that receives an obs-fold in a request message … MUST either reject the message by sending a 400 (Bad
    // Request) … or replace each received obs-fold with one or more SP octets". Two readings are one too many.
    ("folded by a space", b"<get>A: b\r\n c\r\n\r\n", "400 closed"),
    ("folded by a tab", b"<get>A: b\r\n\tc\r\n\r\n", "400 closed"),
    ("folded behind the colon", b"<get>A:\r\n b\r\n\r\n", "400 closed"),
    ("folded by nothing but space", b"<get>A: b\r\n \r\n\r\n", "400 closed"),
    ("folded, and a field in the fold", b"<get>A: b\r\n Content-Length: 5\r\n\r\n", "400 closed"),
    ("a name folded", b"<get>A\r\n : b\r\n\r\n", "400 closed"),
    // RFC 9110 §5.5: "Field values containing CR, LF, or NUL characters are invalid and dangerous"; other control characters
    // are invalid, too, and a recipient MAY keep them. We do not.
    ("a NUL in the value", b"<get>A: b\0c\r\n\r\n", "400 closed"),
    ("a NUL for the value", b"<get>A: \0\r\n\r\n", "400 closed"),
    ("an SOH in the value", b"<get>A: \x01\r\n\r\n", "400 closed"),
    ("a backspace in the value", b"<get>A: b\x08\r\n\r\n", "400 closed"),
    ("a vertical tab in the value", b"<get>A: b\x0bc\r\n\r\n", "400 closed"),
    ("a vertical tab before the value", b"<get>A:\x0bb\r\n\r\n", "400 closed"),
    ("a form feed in the value", b"<get>A: b\x0cc\r\n\r\n", "400 closed"),
    ("an escape sequence in the value", b"<get>A: \x1b[31m\r\n\r\n", "400 closed"),
    ("a DEL in the value", b"<get>A: b\x7f\r\n\r\n", "400 closed"),
    ("bytes of Latin-1 in the value", b"<get>A: \xe4\xf6\xfc\x80\xa0\r\n\r\n", "200 open"),
];

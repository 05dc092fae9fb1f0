//! RFC 9112 §5 in responses: what a provider's fields may look like, and how many there may be.

use super::Case;

#[rustfmt::skip] // a row for a case
pub(crate) const CASES: &[Case] = &[
    ("any case, no space, much space", b"<200>A:b\r\nC: \t d \t\r\nCONTENT-length:16\r\n\r\n<ok>", "200 kept"),
    ("an empty value", b"<200>A:\r\nContent-Length: 16\r\n\r\n<ok>", "200 kept"),
    ("bytes of Latin-1", b"<200>A: \xe4\xff\r\nContent-Length: 16\r\n\r\n<ok>", "200 kept"),
    ("no fields but a length", b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n<ok>", "200 kept"),
    // RFC 9112 §5.1: "A proxy MUST remove any such whitespace from a response message". We pass on no such message.
    ("a space before the colon", b"<200>A : b\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("a space before the length's colon", b"<200>Content-Length : 16\r\n\r\n<ok>", "502 dropped"),
    // §5.2: "A proxy or gateway that receives an obs-fold in a response message … MUST either discard the message and replace
    // it with a 502 (Bad Gateway) response … or replace each received obs-fold".
    ("folded", b"<200>A: b\r\n c\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("folded length", b"<200>Content-Length:\r\n 16\r\n\r\n<ok>", "502 dropped"),
    ("a space before the first field", b"HTTP/1.1 200 OK\r\n A: b\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("no colon", b"<200>A\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("no name", b"<200>: b\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("a space in the name", b"<200>A B: c\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("a NUL in the value", b"<200>A: \0\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("an escape sequence in the value", b"<200>A: \x1b[0m\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("a CR in the value", b"<200>A: b\rC: d\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("LF alone behind a field", b"<200>A: b\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("LF alone is the empty line", b"<200>Content-Length: 16\r\n\n<ok>", "502 dropped"),
    // Limits: 100 fields, 256 KiB. The rest of the long ones is 76 bytes.
    ("100 fields", b"<200><A: b\r\n*98>Content-Length: 16\r\n\r\n<ok>", "200 kept"),
    ("101 fields", b"<200><A: b\r\n*99>Content-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("40,000 fields", b"<200><A: b\r\n*40000>Content-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("a head of the limit", b"<200>Content-Length: 16\r\nA: <x*262068>\r\n\r\n<ok>", "200 kept"),
    ("a head one over", b"<200>Content-Length: 16\r\nA: <x*262069>\r\n\r\n<ok>", "502 dropped"),
    ("a head of 2 MB", b"<200>Content-Length: 16\r\nA: <x*2000000>\r\n\r\n<ok>", "502 dropped"),
    ("a name of 70,000 bytes", b"<200>Content-Length: 16\r\n<x*70000>: b\r\n\r\n<ok>", "200 kept"),
    ("a reason of 300,000 bytes", b"HTTP/1.1 200 <x*300000>\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("a head that never ends", b"<200><A: b\r\n*50000>", "502 dropped"),
    // RFC 9112 §9.3 and §9.6.
    ("close", b"<200>Connection: close\r\nContent-Length: 16\r\n\r\n<ok>", "200 dropped"),
    ("Close, in a list", b"<200>Connection: keep-alive, CLOSE\r\nContent-Length: 16\r\n\r\n<ok>", "200 dropped"),
    ("close beside what is no token", b"<200>Connection: \xe4, close\r\nContent-Length: 16\r\n\r\n<ok>", "200 dropped"),
    ("close in a second field", b"<200>Connection: x\r\nConnection: close\r\nContent-Length: 16\r\n\r\n<ok>", "200 dropped"),
    ("keep-alive", b"<200>Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 16\r\n\r\n<ok>", "200 kept"),
    ("an upgrade that is only offered", b"<200>Connection: Upgrade\r\nUpgrade: h2\r\nContent-Length: 16\r\n\r\n<ok>", "200 kept"),
    // RFC 9110 §8.4: we ask for no coding, and take none.
    ("gzip", b"<200>Content-Encoding: gzip\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
    ("identity", b"<200>Content-Encoding: identity\r\nContent-Length: 16\r\n\r\n<ok>", "200 kept"),
    ("gzip in a second field", b"<200>Content-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 16\r\n\r\n<ok>", "502 dropped"),
];

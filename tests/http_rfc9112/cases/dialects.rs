//! A refusal speaks the dialect of the path that was asked for, also when it comes before there is a request: these are
//! refusals of every kind, on the paths of both vendors. Which shape each error has is checked in every table.

use super::Case;

#[rustfmt::skip] // a row for a case
pub(crate) const CASES: &[Case] = &[
    ("OpenAI: a bad length", b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: +2\r\n\r\n{}", "400 closed"),
    ("OpenAI: two framings", b"POST /openai/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "400 closed"),
    ("OpenAI: a bad chunk", b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\n", "400 closed"),
    ("OpenAI: no Host", b"POST /openai/v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", "400 closed"),
    ("OpenAI: LF alone", b"POST /openai/v1/chat/completions HTTP/1.1\nHost: h\n\n", "400 closed"),
    ("OpenAI: a space before a colon", b"POST /openai/v1/chat/completions?a=b HTTP/1.1\r\nHost : h\r\n\r\n", "400 closed"),
    ("OpenAI: no such route", b"GET /openai/v1/nowhere HTTP/1.1\r\nHost: h\r\n\r\n", "404 open"),
    ("OpenAI: no such method there", b"PUT /openai/v1/models HTTP/1.1\r\nHost: h\r\n\r\n", "405 open"),
    ("OpenAI: no length", b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: h\r\n\r\n", "411 open"),
    ("OpenAI: too large", b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999\r\n\r\n", "413 closed"),
    ("OpenAI: a coding that is not taken", b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Encoding: x\r\nContent-Length: 2\r\n\r\n{}", "415 closed"),
    ("OpenAI: an expectation", b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: h\r\nExpect: x\r\nContent-Length: 2\r\n\r\n{}", "417 closed"),
    ("OpenAI: 101 fields", b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: h\r\n<A: b\r\n*100>\r\n", "431 closed"),
    ("OpenAI: an unknown method", b"BREW /openai/v1/chat/completions HTTP/1.1\r\nHost: h\r\n\r\n", "501 closed"),
    ("OpenAI: another coding under chunked", b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "501 closed"),
    ("OpenAI: another version", b"POST /openai/v1/chat/completions HTTP/2.0\r\nHost: h\r\n\r\n", "505 closed"),
    ("Anthropic: a bad length", b"POST /anthropic/v1/messages HTTP/1.1\r\nHost: h\r\nContent-Length: +2\r\n\r\n{}", "400 closed"),
    ("Anthropic: two framings", b"POST /anthropic/v1/messages HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "400 closed"),
    ("Anthropic: a bad chunk", b"POST /anthropic/v1/messages HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\n", "400 closed"),
    ("Anthropic: no Host", b"POST /anthropic/v1/messages HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", "400 closed"),
    ("Anthropic: LF alone", b"POST /anthropic/v1/messages HTTP/1.1\nHost: h\n\n", "400 closed"),
    ("Anthropic: by an absolute target", b"POST http://h/anthropic/v1/messages HTTP/1.1\r\nHost : h\r\n\r\n", "400 closed"),
    ("Anthropic: no such route", b"GET /anthropic/v1/nowhere HTTP/1.1\r\nHost: h\r\n\r\n", "404 open"),
    ("Anthropic: no such method there", b"PUT /anthropic/v1/models HTTP/1.1\r\nHost: h\r\n\r\n", "405 open"),
    ("Anthropic: no length", b"POST /anthropic/v1/messages HTTP/1.1\r\nHost: h\r\n\r\n", "411 open"),
    ("Anthropic: too large", b"POST /anthropic/v1/messages HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999\r\n\r\n", "413 closed"),
    ("Anthropic: a target too long", b"POST /anthropic/<x*9000> HTTP/1.1\r\nHost: h\r\n\r\n", "414 closed"),
    ("Anthropic: an expectation", b"POST /anthropic/v1/messages HTTP/1.1\r\nHost: h\r\nExpect: x\r\nContent-Length: 2\r\n\r\n{}", "417 closed"),
    ("Anthropic: a head too long", b"POST /anthropic/v1/messages HTTP/1.1\r\nHost: h\r\nA: <x*70000>\r\n\r\n", "431 closed"),
    ("Anthropic: an unknown method", b"BREW /anthropic/v1/messages HTTP/1.1\r\nHost: h\r\n\r\n", "501 closed"),
    ("Anthropic: another version", b"POST /anthropic/v1/messages HTTP/3.0\r\nHost: h\r\n\r\n", "505 closed"),
    ("a path that only looks like Anthropic's", b"POST /anthropical HTTP/1.1\r\nHost : h\r\n\r\n", "400 closed"),
    ("no path to be seen", b"/anthropic/v1/messages\r\n\r\n", "400 closed"),
];

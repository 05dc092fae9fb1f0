//! Where hyper and we differ, and the sentence that decides. A row fits a stream when its predicate holds; the predicates
//! read the bytes themselves, by `shape`, and know neither parser.

use super::shape::{
    bare_line_feed, expectations, has_bad_escape, head_bytes, host_is_sound, line_bytes, method, status,
    target, targets_path, values, version,
};

/// Who refuses what the other takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stricter {
    Ours,
    Hyper,
    /// Both take it and read it differently.
    Neither,
}

/// One kind of disagreement.
pub(crate) struct Row {
    pub(crate) stricter: Stricter,
    /// What decides, and what we do.
    pub(crate) sentence: &'static str,
    /// Whether it can be this kind.
    pub(crate) holds: fn(&[u8]) -> bool,
}

const fn ours(sentence: &'static str, holds: fn(&[u8]) -> bool) -> Row {
    Row { stricter: Stricter::Ours, sentence, holds }
}

const fn hypers(sentence: &'static str, holds: fn(&[u8]) -> bool) -> Row {
    Row { stricter: Stricter::Hyper, sentence, holds }
}

const BARE_LINE_FEED: Row = ours(
    "RFC 9112 §2.2: \"a recipient MAY recognize a single LF as a line terminator\". We do not: what stands before us might \
     not either.",
    bare_line_feed,
);

const BOTH_FRAMINGS: Row = ours(
    "RFC 9112 §6.1: \"A server MAY reject a request that contains both Content-Length and Transfer-Encoding\"; §6.3 rule 3 \
     has it \"handled as an error\". hyper takes the coding and closes behind a request; we refuse.",
    |bytes| !values(bytes, "transfer-encoding").is_empty() && !values(bytes, "content-length").is_empty(),
);

const CONNECTION_IN_LATIN: Row = Row {
    stricter: Stricter::Neither,
    sentence: "RFC 9110 §7.6.1: Connection is a list of tokens. hyper passes over a field with a byte over 127; we take the \
               `close` beside it, since whoever sent that will close.",
    holds: |bytes| values(bytes, "connection").iter().any(|value| !value.is_ascii()),
};

/// Whether this is one of the highest numbers of 64 bits.
fn highest(value: &[u8]) -> bool {
    let zeros = value.iter().take_while(|byte| **byte == b'0').count();
    value[zeros..].starts_with(b"1844674407370955161")
}

const HIGHEST_LENGTHS: Row = hypers(
    "RFC 9112 §6.3 has no limit on a length; hyper keeps the two highest numbers of 64 bits for itself.",
    |bytes| values(bytes, "content-length").iter().any(|value| highest(value)),
);

pub(crate) const REQUEST_ROWS: &[Row] = &[
    BARE_LINE_FEED,
    BOTH_FRAMINGS,
    HIGHEST_LENGTHS,
    CONNECTION_IN_LATIN,
    hypers("RFC 3986 §3.2.2: a host's name may hold escapes. hyper takes none there.", |bytes| {
        target(bytes).to_ascii_lowercase().starts_with(b"http") && target(bytes).contains(&b'%')
    }),
    Row {
        stricter: Stricter::Neither,
        sentence: "RFC 9110 §4.2.3: \"an empty path component is equivalent to an absolute path of '/'\". hyper leaves it empty.",
        holds: |bytes| {
            target(bytes).contains(&b'?') && targets_path(bytes) && !target(bytes).starts_with(b"/")
        },
    },
    ours(
        "RFC 9112 §2.2: \"SHOULD ignore at least one empty line (CRLF) received prior to the request-line\". We ignore one; \
         hyper any number, also of bare LF.",
        |bytes| bytes.starts_with(b"\r\n\r\n") || bytes.starts_with(b"\r\n\n") || bytes.starts_with(b"\n"),
    ),
    ours(
        "RFC 9112 §3.2: \"A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message that \
         lacks a Host header field\". hyper leaves it to its user.",
        |bytes| values(bytes, "host").is_empty() && version(bytes) == b"HTTP/1.1",
    ),
    ours(
        "The same: \"and to any request message that contains more than one Host header field line\".",
        |bytes| values(bytes, "host").len() > 1,
    ),
    ours("The same: \"or a Host header field with an invalid field value\".", |bytes| {
        values(bytes, "host").iter().any(|value| !host_is_sound(value))
    }),
    ours(
        "RFC 9110 §8.6: of a value that is repeated a recipient \"MAY either reject the message as invalid or replace that \
         invalid field value with a single instance\". A caller's we reject: somebody between may have counted differently.",
        |bytes| values(bytes, "content-length").len() > 1,
    ),
    ours(
        "RFC 9112 §6.1: \"A server that receives a request message with a transfer coding it does not understand SHOULD \
         respond with 501\". hyper looks at the last coding and gives its user the body coded.",
        |bytes| values(bytes, "transfer-encoding").iter().any(|value| value.contains(&b',')),
    ),
    ours(
        "RFC 9112 §6.1: \"A sender MUST NOT apply the chunked transfer coding more than once\"; of several fields hyper looks \
         at the last.",
        |bytes| values(bytes, "transfer-encoding").len() > 1,
    ),
    ours(
        "RFC 9110 §10.1.1: \"A server that receives an Expect field value containing a member other than 100-continue MAY \
         respond with a 417\". We do; hyper ignores it.",
        |bytes| expectations(bytes).iter().any(|item| !item.eq_ignore_ascii_case(b"100-continue")),
    ),
    ours(
        "RFC 9110 §9.1: \"An origin server that receives a request method that is unrecognized or not implemented SHOULD \
         respond with the 501\". hyper leaves it to its user.",
        |bytes| {
            let known: [&[u8]; 7] = [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"];
            !known.contains(&method(bytes))
        },
    ),
    ours("RFC 9112 §3.2: no form of a target has a fragment. hyper cuts it off.", |bytes| {
        target(bytes).contains(&b'#')
    }),
    ours(
        "RFC 3986 §2.1: a percent sign begins an escape of two hexadecimal digits. hyper does not look.",
        |bytes| has_bad_escape(target(bytes)),
    ),
    ours(
        "RFC 3986 §3.3: what may stand in a path. RFC 9112 §3.2: an invalid request line SHOULD be 400. hyper takes quotes, \
         braces, and bytes over 127.",
        |bytes| {
            target(bytes)
                .iter()
                .any(|byte| matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'}' | 0x80..))
        },
    ),
    ours(
        "RFC 9112 §3.2: origin-form begins with a slash; absolute-form is for http and https here; authority-form is for \
         CONNECT, and the asterisk for OPTIONS. hyper leaves the form to its user.",
        |bytes| !targets_path(bytes),
    ),
    ours(
        "RFC 9110 §4.2.4: \"a recipient SHOULD parse for userinfo and treat its presence as an error\". hyper takes it.",
        |bytes| targets_path(bytes) && target(bytes).contains(&b'@') && !target(bytes).starts_with(b"/"),
    ),
    ours(
        "RFC 9110 §4.2.1: of an http URI with an empty host, \"A recipient that processes such a URI reference MUST reject it as \
         invalid\". hyper takes a port alone.",
        |bytes| {
            target(bytes).to_ascii_lowercase().starts_with(b"http")
                && target(bytes).windows(4).any(|four| four == b"://:")
        },
    ),
    ours(
        "RFC 9112 §3: targets of 8,000 octets at least; ours may have 8,192 bytes, hyper's 65,534.",
        |bytes| line_bytes(bytes) > 8_192,
    ),
    ours(
        "RFC 9110 §5.4: a limit on fields is the server's; ours is 64 KiB for the head, hyper's about 400 KiB.",
        |bytes| head_bytes(bytes) > 65_536,
    ),
];

/// A row fits when it holds of any head: of the answer's, or of an interim one's before it.
pub(crate) const RESPONSE_ROWS: &[Row] = &[
    ours(
        "RFC 9112 §6.1: \"a server or client that receives an HTTP/1.0 message containing a Transfer-Encoding header field MUST \
         treat the message as if the framing is faulty\". hyper does not where no body follows anyway.",
        |bytes| bytes.starts_with(b"HTTP/1.0 ") && !values(bytes, "transfer-encoding").is_empty(),
    ),
    BARE_LINE_FEED,
    BOTH_FRAMINGS,
    ours(
        "RFC 9112 §2.2 has servers ignore an empty line before a request line; nothing has clients do so. hyper skips any \
         number.",
        |bytes| bytes.starts_with(b"\r\n") || bytes.starts_with(b"\n"),
    ),
    ours(
        "RFC 9112 §6.3 rule 1: no body follows 1xx, 204 and 304 \"regardless of the header fields\", so hyper does not read \
         them. RFC 9110 §8.6 has no other Content-Length than 1*DIGIT anywhere, and rule 5 has two that differ \"invalid\": we \
         refuse both.",
        |bytes| {
            let lengths = values(bytes, "content-length");
            let is_number =
                |value: &Vec<u8>| (1..=19).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
            let is_one = lengths.iter().all(is_number) && lengths.windows(2).all(|two| two[0] == two[1]);
            matches!(status(bytes), 100..=199 | 204 | 304) && !is_one
        },
    ),
    ours(
        "RFC 9110 §15: \"Values outside the range 100..599 are invalid\". hyper takes up to 999.",
        |bytes| status(bytes) >= 600,
    ),
    ours(
        "RFC 9110 §15.2.2: 101 answers an Upgrade, which we never send. hyper gives it to its user.",
        |bytes| {
            bytes.windows(5).any(|five| five == b" 101 ") || bytes.windows(5).any(|five| five == b" 101\r")
        },
    ),
    ours(
        "RFC 9112 §7: a coding under chunked is the recipient's to undo; we asked for none, RFC 9112 §7.4. hyper looks at the \
         last coding, and reads until the end of the connection when that is another.",
        |bytes| {
            values(bytes, "transfer-encoding").iter().any(|value| !value.eq_ignore_ascii_case(b"chunked"))
        },
    ),
    ours("RFC 9112 §6.1: chunked is applied once. hyper looks at the last field.", |bytes| {
        values(bytes, "transfer-encoding").len() > 1
    }),
    ours("A limit: heads of 256 KiB; hyper's are about 400 KiB.", |bytes| head_bytes(bytes) > 262_144),
    hypers(
        "RFC 9110 §5.1 has no limit on a name's length; hyper's is 65,535 bytes, ours that of the head.",
        |bytes| head_bytes(bytes) > 65_536,
    ),
    HIGHEST_LENGTHS,
    CONNECTION_IN_LATIN,
];

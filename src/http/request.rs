//! A caller's request head (RFC 9112 sections 3, 5, 6): tokenised by httparse, checked here against what httparse
//! tolerates, given out as offsets with the body's framing. It decides no route and reads no body.

use std::ops::Range;

use super::head::{ByteSet, FramingFields, all_in, byte_set, header_slots, list, offset_in};
use super::{Fields, Framing, Side, TARGET_BYTES_MAX};
use crate::error::{Error, Kind};

/// Request methods that a route may know. Any other, and CONNECT, is refused with 501.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
}

impl Method {
    /// The method's name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }

    fn parse(name: &str) -> Result<Self, Error> {
        Ok(match name {
            "POST" => Self::Post,
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => return Err(Error::new(Kind::NotImplemented, "this method is not implemented")),
        })
    }
}

/// One request head; its bytes stay with the caller, who gives the same slice again to read paths and fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The target's path as it was sent, nothing decoded. Empty: an absolute target without one, which means `/`
    /// ([`Self::path`] says so). `*` only with OPTIONS.
    pub path: Range<usize>,
    /// What stands behind the `?`, if there is one.
    pub query: Option<Range<usize>>,
    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub minor_version: u8,
    /// The header fields.
    pub fields: Fields,
    /// The body's framing; never [`Framing::Close`].
    pub framing: Framing,
    /// Whether the connection may serve another request after this one.
    pub keep_alive: bool,
    /// The caller waits for `100 Continue` before it sends the body (HTTP/1.1 only).
    pub expect_continue: bool,
    /// Length of the head with its empty line, bytes: where the body begins.
    pub head_bytes: usize,
}

impl RequestHead {
    /// The path's bytes, `/` for an absolute target without one.
    pub fn path<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        match head.get(self.path.clone()) {
            None | Some([]) => b"/",
            Some(path) => path,
        }
    }

    /// The query's bytes, without the `?`.
    pub fn query<'a>(&self, head: &'a [u8]) -> Option<&'a [u8]> {
        head.get(self.query.clone()?)
    }

    /// Names and values of the fields, in order.
    pub fn fields<'a>(&self, head: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.fields.iter(head)
    }

    /// The value of the first field of this name, any case.
    pub fn field<'a>(&self, head: &'a [u8], name: &str) -> Option<&'a [u8]> {
        self.fields.find(head, name)
    }
}

/// Reads a whole head: exactly the bytes that [`super::HeadEnd`] measured. Strict whether or not it was asked.
pub fn parse_request_head(head: &[u8]) -> Result<RequestHead, Error> {
    let mut slots = header_slots();
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(head, &mut slots);
    let whole = parsed.map_err(|error| syntax_error(error, head))? == httparse::Status::Complete(head.len());
    let (Some(method), Some(target), Some(minor_version)) = (request.method, request.path, request.version)
    else {
        return Err(malformed("the request head is not whole"));
    };
    let begins_well = matches!(head.get(..offset_in(head, method.as_bytes())), Some(b"" | b"\r\n"));
    if !whole || !begins_well || !head.ends_with(b"\r\n\r\n") {
        return Err(malformed("the request head is not whole, or has lines that do not end in CRLF"));
    }
    let method = Method::parse(method)?;
    let (path, query) = parse_target(method, target.as_bytes(), offset_in(head, target.as_bytes()))?;
    let facts = gather(request.headers, minor_version)?;
    Ok(RequestHead {
        method,
        path,
        query,
        minor_version,
        fields: Fields::of(head, request.headers, Side::Downstream)?,
        framing: facts.framing.framing(minor_version, Side::Downstream)?,
        keep_alive: facts.framing.keeps_alive(minor_version),
        expect_continue: facts.expect_continue && minor_version >= 1,
        head_bytes: head.len(),
    })
}

fn malformed(what: &'static str) -> Error {
    Side::Downstream.malformed(what)
}

fn syntax_error(error: httparse::Error, head: &[u8]) -> Error {
    match error {
        httparse::Error::TooManyHeaders => Side::Downstream.too_large("more than 100 headers; send fewer"),
        httparse::Error::Version if names_other_version(head) => {
            Error::new(Kind::VersionNotSupported, "only HTTP/1.0 and HTTP/1.1 are spoken here")
        }
        httparse::Error::HeaderName => {
            malformed("a header name is not a token, is followed by a space, or a header is folded")
        }
        httparse::Error::HeaderValue => malformed("a header value holds a control byte"),
        _ => malformed("the request line is not `METHOD TARGET HTTP/1.1`"),
    }
}

/// Whether the request line ends in a well-formed `HTTP/d.d`: such a version is 505, another word is 400.
fn names_other_version(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r' || *byte == b'\n').find(|line| !line.is_empty());
    let mut words = line.unwrap_or_default().split(|byte| *byte == b' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(_), Some(_), Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor]), None) => {
            major.is_ascii_digit() && minor.is_ascii_digit()
        }
        _ => false,
    }
}

type Target = (Range<usize>, Option<Range<usize>>);

/// RFC 9112 section 3.2: origin-form; absolute-form, whose authority wins over Host and decides nothing here; `*` with
/// OPTIONS. `start` is the target's offset in the head.
fn parse_target(method: Method, target: &[u8], start: usize) -> Result<Target, Error> {
    if target.len() > TARGET_BYTES_MAX {
        return Err(Error::new(Kind::TargetTooLong, "the request target is over 8 KiB; shorten it"));
    }
    let invalid = || malformed("the request target is neither a path nor an absolute http URL");
    let path_start = match target {
        [b'/', ..] => 0,
        b"*" if method == Method::Options => return Ok((start..start + 1, None)),
        _ => authority_end(target).ok_or_else(invalid)?,
    };
    let end = start + target.len();
    let mark = memchr::memchr(b'?', target.get(path_start..).unwrap_or_default()).map(|at| path_start + at);
    let path_end = mark.unwrap_or(target.len());
    let path = target.get(path_start..path_end).unwrap_or_default();
    let query = target.get(path_end..).unwrap_or_default();
    if !all_in(&PATH_BYTES, path) || !all_in(&QUERY_BYTES, query) || !has_whole_escapes(path) {
        return Err(malformed("the request target holds a byte that must be percent-encoded"));
    }
    Ok((start + path_start..start + path_end, mark.map(|at| start + at + 1..end)))
}

/// Where the authority of an absolute http target ends; `None` when it is none, names no host (RFC 9110 section 4.2.1: MUST
/// be rejected) or names a user (section 4.2.4).
fn authority_end(target: &[u8]) -> Option<usize> {
    let scheme = target.windows(3).take(6).position(|window| window == b"://")?;
    let name = target.get(..scheme)?;
    let rest = target.get(scheme + 3..)?;
    let length = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let authority = rest.get(..length)?;
    let is_http = name.eq_ignore_ascii_case(b"http") || name.eq_ignore_ascii_case(b"https");
    (is_http && !matches!(authority, [] | [b':', ..]) && is_host(authority)).then_some(scheme + 3 + length)
}

/// What browsers and WHATWG clients leave unencoded in a path (RFC 3986's bytes and `[ ] |`).
static PATH_BYTES: ByteSet = byte_set(b"!$%&'()*+,-./:;=@[]_|~");

/// The same for a query, its `?` included, which they encode less.
static QUERY_BYTES: ByteSet = byte_set(b"!$%&'()*+,-./:;=?@[\\]^_`{|}~");

/// RFC 3986's unreserved bytes, sub-delims and `%`.
static NAME_BYTES: ByteSet = byte_set(b"!$%&'()*+,-.;=_~");

/// RFC 3986 section 2.1: a percent sign begins an escape of two hexadecimal digits.
fn has_whole_escapes(text: &[u8]) -> bool {
    let is_whole = |at: usize| match text.get(at + 1..at + 3) {
        Some(digits) => digits.iter().all(u8::is_ascii_hexdigit),
        None => false,
    };
    memchr::memchr_iter(b'%', text).all(is_whole)
}

#[derive(Default)]
struct Facts {
    framing: FramingFields,
    hosts: u32,
    expect_continue: bool,
}

fn gather(headers: &[httparse::Header<'_>], minor_version: u8) -> Result<Facts, Error> {
    let mut facts = Facts::default();
    for header in headers {
        let (name, value) = (header.name.as_bytes(), header.value);
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                facts.hosts += 1;
                if !is_host(value) {
                    return Err(malformed("Host is not `name` or `name:port`"));
                }
            }
            6 if name.eq_ignore_ascii_case(b"expect") => facts.expect_continue = is_continue(value)?,
            _ => facts.framing.take(name, value, Side::Downstream)?,
        }
    }
    match (facts.hosts, minor_version) {
        (1, _) | (0, 0) => Ok(facts),
        (0, _) => Err(malformed("Host is missing; HTTP/1.1 needs one")),
        _ => Err(malformed("Host stands twice; send it once")),
    }
}

fn is_continue(value: &[u8]) -> Result<bool, Error> {
    let is_known = list(value).all(|item| item.eq_ignore_ascii_case(b"100-continue"));
    is_known
        .then_some(true)
        .ok_or_else(|| Error::new(Kind::ExpectationFailed, "only `Expect: 100-continue` can be met"))
}

/// `uri-host [":" port]` (RFC 3986 section 3.2.2), which may be empty; an address in brackets is not taken apart.
fn is_host(value: &[u8]) -> bool {
    let colon = memchr::memrchr(b':', value).filter(|_| !value.ends_with(b"]"));
    let (name, port) = value.split_at(colon.unwrap_or(value.len()));
    let is_name = match name {
        [b'[', address @ .., b']'] => !address.is_empty() && address.iter().all(is_address_byte),
        _ => all_in(&NAME_BYTES, name) && has_whole_escapes(name),
    };
    is_name && port.iter().skip(1).all(u8::is_ascii_digit)
}

fn is_address_byte(byte: &u8) -> bool {
    byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.' | b'v')
}

#[cfg(test)]
mod tests {
    use super::super::{HEADERS_MAX, HeadEnd};
    use super::*;

    /// Ends the head as a connection would, then parses it.
    fn parse(bytes: &[u8]) -> Result<RequestHead, Error> {
        let end = HeadEnd::request().find(bytes)?.expect("a whole head");
        let head = parse_request_head(&bytes[..end]);
        // The parser alone is as strict as both together.
        assert!(parse_request_head(&bytes[..end - 1]).is_err());
        head
    }

    /// Checks the fault; the parser on its own must not take the bytes either.
    fn check_refused(bytes: impl AsRef<[u8]>, kind: Kind) {
        let bytes = bytes.as_ref();
        assert_eq!(parse(bytes).map_err(|error| error.kind), Err(kind), "{}", bytes.escape_ascii());
        assert!(parse_request_head(bytes).is_err(), "{}", bytes.escape_ascii());
    }

    fn check_framing(fields: &str, expected: Result<Framing, Kind>) {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let found = parse(head.as_bytes()).map(|head| head.framing).map_err(|error| error.kind);
        assert_eq!(found, expected, "{fields:?}");
    }

    fn target(target: impl AsRef<str>) -> Vec<u8> {
        format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", target.as_ref()).into_bytes()
    }

    #[test]
    fn a_usual_head_is_read() {
        let bytes = b"POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: gw:8080\r\nAuthorization:Bearer x \r\n\
            Empty:\r\ncontent-length: 12\r\n\r\n{}";
        let head = parse(bytes).unwrap();
        assert_eq!((head.method, head.minor_version), (Method::Post, 1));
        assert_eq!(head.path(bytes), b"/v1/chat/completions");
        assert_eq!(head.query(bytes), Some(&b"a=b"[..]));
        assert_eq!(head.framing, Framing::Length(12));
        assert!(head.keep_alive && !head.expect_continue);
        assert_eq!(head.field(bytes, "AUTHORIZATION"), Some(&b"Bearer x"[..]));
        assert_eq!(head.field(bytes, "empty"), Some(&b""[..]));
        assert_eq!(head.field(bytes, "absent"), None);
        assert_eq!(head.fields(bytes).count(), 4);
        assert_eq!(&bytes[head.head_bytes..], b"{}");
    }

    #[test]
    fn an_ignored_empty_line_keeps_the_offsets_right() {
        let bytes = b"\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(parse(bytes).unwrap().path(bytes), b"/a");
        check_refused("\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", Kind::BadHead);
    }

    #[test]
    fn request_lines_are_exact() {
        for line in [
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET /  HTTP/1.1",
            "GET\t/ HTTP/1.1",
            "GET / http/1.1",
            "GET /",
            "GET / HTTP/1.1\r",
            "GET / HTTP/1.10",
            "GET / HTTP/11",
            "GET / HTTQ/1.1",
            "GET",
            "G(T / HTTP/1.1",
            "GET / HTTP/1.1 x",
            "GET /\0 HTTP/1.1",
        ] {
            check_refused(format!("{line}\r\nHost: a\r\n\r\n"), Kind::BadHead);
        }
        for version in ["0.9", "1.2", "2.0", "3.0"] {
            check_refused(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"), Kind::VersionNotSupported);
        }
        check_refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Kind::VersionNotSupported);
        for method in ["CONNECT a:1", "TRACE /", "get /", "BREW /"] {
            check_refused(format!("{method} HTTP/1.1\r\nHost: a\r\n\r\n"), Kind::NotImplemented);
        }
    }

    #[test]
    fn targets_are_paths_or_absolute() {
        let path = |bytes: Vec<u8>| parse(&bytes).map(|head| head.path(&bytes).to_vec());
        assert_eq!(path(target("/a/../b%2fc")).unwrap(), b"/a/../b%2fc");
        assert_eq!(path(target("http://gw:80/x?y")).unwrap(), b"/x");
        assert_eq!(path(target("HTTPS://[::1]:80")).unwrap(), b"/");
        assert_eq!(path(target("http://gw?q")).unwrap(), b"/");
        assert_eq!(path(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()).unwrap(), b"*");
        for bad in [
            "*",
            "a",
            "a:80",
            "ftp://a/",
            "http://",
            "http:///x",
            "http://:80/x",
            "http://u@a/",
            "http://a:x/",
            "/#x",
            "/a\\b",
            "/%",
            "/%4",
            "/%4g",
            "/\"",
            "/{a}",
            "/a?b#c",
            "/\u{e4}",
            "http://a b/",
            "://a/",
            "/\u{7f}",
        ] {
            check_refused(target(bad), Kind::BadHead);
        }
        let empty_query = target("/a?");
        assert_eq!(parse(&empty_query).unwrap().query(&empty_query), Some(&b""[..]));
    }

    #[test]
    fn fields_are_exact() {
        for field in [
            "A : b",
            "A\t: b",
            " A: b",
            "A: b\r\n c",
            "A: b\r\n\tc",
            "A",
            ": b",
            "A\0: b",
            "A: b\0",
            "A: b\x01c",
            "A: b\x7f",
            "A: b\rc",
            "A\r: b",
            "A(: b",
            "\u{e4}: b",
            "A: \x1b[0m",
        ] {
            check_refused(format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n"), Kind::BadHead);
        }
        for text in ["A: b\n", "\n", "A: b\nC: d\r\n", "A:\n", "A: b \n"] {
            check_refused(format!("GET / HTTP/1.1\r\nHost: a\r\n{text}\r\n"), Kind::BadHead);
        }
        check_refused("GET / HTTP/1.1\nHost: a\r\n\r\n", Kind::BadHead);
        let bytes = "GET / HTTP/1.1\r\nHost: a\r\nA: \u{e4}\tb  \r\n\r\n".as_bytes();
        assert_eq!(parse(bytes).unwrap().field(bytes, "a"), Some("\u{e4}\tb".as_bytes()));
    }

    #[test]
    fn control_bytes_are_found_wherever_they_stand() {
        for byte in (0..=31).chain([127]).filter(|byte| *byte != b'\t') {
            for before in 0..40 {
                let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nA: ".to_vec();
                head.resize(head.len() + before, b'x');
                head.push(byte);
                head.extend_from_slice(b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n\r\n");
                assert!(parse_request_head(&head).is_err(), "byte {byte} behind {before}");
            }
        }
    }

    #[test]
    fn hosts_are_one_and_well_formed() {
        for fields in [
            "",
            "Host: a\r\nHost: a\r\n",
            "Host: a b\r\n",
            "Host: a:b\r\n",
            "Host: u@a\r\n",
            "Host: a/b\r\n",
            "Host: a%4\r\n",
        ] {
            check_refused(format!("GET / HTTP/1.1\r\n{fields}\r\n"), Kind::BadHead);
        }
        check_refused("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Kind::BadHead);
        for host in ["", "a", "a.b-c_d:80", "[::1]", "[::1]:8080", "127.0.0.1:1", "a:", "a%c3%A4"] {
            assert!(parse(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).is_ok(), "{host}");
        }
        assert!(parse(b"GET / HTTP/1.0\r\n\r\n").is_ok());
    }

    #[test]
    fn framing_has_one_reading() {
        check_framing("", Ok(Framing::None));
        check_framing("Content-Length: 0\r\n", Ok(Framing::Length(0)));
        check_framing("CONTENT-LENGTH: 18446744073709551615\r\n", Ok(Framing::Length(u64::MAX)));
        check_framing("Transfer-Encoding: Chunked\r\n", Ok(Framing::Chunked));
        for length in
            ["", "+5", "-5", "0x5", "5 5", "5,5", "5;", "5.0", "1e3", "18446744073709551616", "five"]
        {
            check_framing(&format!("Content-Length: {length}\r\n"), Err(Kind::BadHead));
        }
        for codings in [
            "",
            "xchunked",
            "chunked, chunked",
            "chunked, gzip",
            "gzip",
            "identity",
            ", chunked,",
            "chunked;a=b",
        ] {
            check_framing(&format!("Transfer-Encoding: {codings}\r\n"), Err(Kind::BadHead));
        }
        check_framing("Transfer-Encoding: gzip, chunked\r\n", Err(Kind::NotImplemented));
        for fields in [
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ] {
            check_framing(fields, Err(Kind::BadHead));
        }
        check_refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Kind::BadHead);
    }

    #[test]
    fn persistence_follows_version_and_connection() {
        for (version, connection, expected) in [
            ("1.1", "", true),
            ("1.1", "close", false),
            ("1.1", "Keep-Alive, Close", false),
            ("1.1", "upgrade", true),
            ("1.0", "", false),
            ("1.0", "keep-alive", true),
            ("1.0", "keep-alive\r\nConnection: close", false),
        ] {
            let head = format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: {connection}\r\n\r\n");
            assert_eq!(parse(head.as_bytes()).unwrap().keep_alive, expected, "{version} {connection:?}");
        }
    }

    #[test]
    fn only_one_expectation_is_known() {
        let head = |version: u8, value: &str| {
            format!("POST / HTTP/1.{version}\r\nHost: a\r\nExpect: {value}\r\n\r\n")
        };
        assert!(parse(head(1, "100-Continue").as_bytes()).unwrap().expect_continue);
        assert!(!parse(head(0, "100-continue").as_bytes()).unwrap().expect_continue);
        check_refused(head(1, "200-ok"), Kind::ExpectationFailed);
        check_refused(head(1, ""), Kind::ExpectationFailed);
    }

    /// Each byte of a head replaced by each byte that means something: what passes has one reading.
    #[test]
    fn no_mutation_passes_with_two_readings() {
        let head = b"POST /a?b HTTP/1.1\r\nHost: a:1\r\nContent-Length: 12\r\nConnection: close\r\n\r\n";
        for place in 0..head.len() {
            for byte in b"\r\n\t\0 :,/?#*%0A1a-+;\x7f\x80" {
                let mut mutant = head.to_vec();
                mutant[place] = *byte;
                let Ok(Some(end)) = HeadEnd::request().find(&mutant) else { continue };
                let Ok(parsed) = parse_request_head(&mutant[..end]) else { continue };
                let text = mutant[..end].split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r"));
                for line in text.filter(|line| *line != Some(b"")).take(4) {
                    let line = line.expect("CRLF");
                    assert!(
                        !line.iter().any(|byte| matches!(byte, b'\r' | 0 | 0x7f)),
                        "{}",
                        mutant.escape_ascii()
                    );
                }
                let lengths =
                    parsed.fields(&mutant).filter(|(name, _)| name.eq_ignore_ascii_case(b"content-length"));
                assert_eq!(
                    lengths.count() == 1,
                    parsed.framing != Framing::None,
                    "{}",
                    mutant.escape_ascii()
                );
                assert!(parsed.path(&mutant).starts_with(b"/"));
            }
        }
    }

    #[test]
    fn limits_hold_at_the_limit_and_one_past() {
        let with_target = |bytes: usize| target(format!("/{}", "a".repeat(bytes - 1)));
        assert!(parse(&with_target(TARGET_BYTES_MAX)).is_ok());
        check_refused(with_target(TARGET_BYTES_MAX + 1), Kind::TargetTooLong);
        let with_fields =
            |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
        assert_eq!(parse(with_fields(HEADERS_MAX).as_bytes()).unwrap().fields.spans().len(), HEADERS_MAX);
        check_refused(with_fields(HEADERS_MAX + 1), Kind::HeadTooLarge);
        check_refused(with_fields(8_000), Kind::HeadTooLarge);
    }
}

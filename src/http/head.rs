//! What request and response heads have in common: where a head ends, its fields as spans, and the framing facts that
//! several fields decide together (RFC 9112 section 6.3). It knows neither request line nor status line (`request`,
//! `response`), and it tokenises nothing: httparse does.

use std::mem::MaybeUninit;
use std::ops::Range;

use memchr::memchr_iter;

use super::{HEAD_BYTES_MAX, HEADERS_MAX, REQUEST_LINE_BYTES_MAX, Side, UPSTREAM_HEAD_BYTES_MAX};
use crate::error::{Error, Kind};

/// How the end of a body is found (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// Exactly so many bytes follow.
    Length(u64),
    /// The chunked coding says.
    Chunked,
    /// Everything until the peer closes. Responses only.
    Close,
}

/// Incremental search for the end of a head in a growing buffer: `line_start <= scanned <= bytes.len()`. Keeps offsets,
/// never bytes, and looks at each byte once. One value serves one head.
#[derive(Clone, Copy, Debug)]
pub struct HeadEnd {
    side: Side,
    bytes_max: usize,
    scanned: usize,
    line_start: usize,
}

impl HeadEnd {
    /// For a request's head, at most [`HEAD_BYTES_MAX`].
    pub fn request() -> Self {
        Self { side: Side::Downstream, bytes_max: HEAD_BYTES_MAX, scanned: 0, line_start: 0 }
    }

    /// For a response's head, at most [`UPSTREAM_HEAD_BYTES_MAX`].
    pub fn response() -> Self {
        Self { side: Side::Upstream, bytes_max: UPSTREAM_HEAD_BYTES_MAX, scanned: 0, line_start: 0 }
    }

    /// Looks at what has come since the last call. `bytes` is everything received of this message so far; the answer
    /// is the head's length with its empty line, or `None`: read more. A bare LF, a first byte that no HTTP message
    /// has, and anything over a limit are refused as soon as they are seen.
    pub fn find(&mut self, bytes: &[u8]) -> Result<Option<usize>, Error> {
        let within = bytes.get(..self.bytes_max).unwrap_or(bytes);
        self.check_first_byte(within)?;
        let scanned = self.scanned;
        for found in memchr_iter(b'\n', within.get(scanned..).unwrap_or_default()) {
            let line_feed = scanned + found;
            self.check_request_line(line_feed + 1)?;
            let line = within.get(self.line_start..line_feed).unwrap_or_default();
            match line.split_last() {
                Some((b'\r', [])) if !self.is_ignored_empty_line() => return Ok(Some(line_feed + 1)),
                Some((b'\r', _)) => self.line_start = line_feed + 1,
                _ => {
                    return Err(self
                        .side
                        .malformed("a line of the head ends in LF without CR; end lines in CRLF"));
                }
            }
        }
        self.scanned = within.len();
        self.check_limits(within)?;
        Ok(None)
    }

    /// RFC 9112 section 2.2: a server ignores an empty line before the request line. We ignore one.
    fn is_ignored_empty_line(&self) -> bool {
        self.side == Side::Downstream && self.line_start == 0
    }

    fn check_first_byte(&self, bytes: &[u8]) -> Result<(), Error> {
        match bytes.first() {
            Some(0x21..=0x7e | b'\r') | None => Ok(()),
            Some(b'\n') => Err(self.side.malformed("the message begins with LF; end lines in CRLF")),
            Some(_) => Err(self.side.malformed("this is not HTTP/1.1; was TLS sent to a plain port?")),
        }
    }

    /// Refuses a request line that ends at `end` or later, when that is over its limit; the same whether its end has come
    /// or not, so that the answer does not hang on how the bytes arrive.
    fn check_request_line(&self, end: usize) -> Result<(), Error> {
        // No first line is two bytes long but the ignored empty one.
        let in_first_line = self.line_start <= 2;
        match self.side == Side::Downstream && in_first_line && end - self.line_start > REQUEST_LINE_BYTES_MAX
        {
            false => Ok(()),
            true => Err(Error::new(
                Kind::TargetTooLong,
                "the request line is over 8256 bytes; shorten the target",
            )),
        }
    }

    fn check_limits(&self, within: &[u8]) -> Result<(), Error> {
        self.check_request_line(within.len() + 1)?;
        if within.len() < self.bytes_max {
            return Ok(());
        }
        Err(self.side.too_large(match self.side {
            Side::Downstream => "the request head is over 64 KiB; send fewer or shorter headers",
            Side::Upstream => "the provider's response head is over 256 KiB",
        }))
    }
}

/// One header field as offsets into its head: `name.end < value.start <= value.end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name, as it was spelled.
    pub name: Range<u32>,
    /// The value without white space around it; may be empty, may hold bytes over 0x7f.
    pub value: Range<u32>,
}

/// The header fields of one head, in order, at most [`HEADERS_MAX`]. Their bytes stay with the caller, who gives the
/// same head again to read them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<Field>);

impl Fields {
    /// Names and values in order.
    pub fn iter<'a>(&self, head: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.0.iter().map(|field| (span(head, &field.name), span(head, &field.value)))
    }

    /// The value of the first field of this name, any case.
    pub fn find<'a>(&self, head: &'a [u8], name: &str) -> Option<&'a [u8]> {
        let wanted = |field: &&Field| span(head, &field.name).eq_ignore_ascii_case(name.as_bytes());
        self.0.iter().find(wanted).map(|field| span(head, &field.value))
    }

    /// The spans themselves.
    pub fn spans(&self) -> &[Field] {
        &self.0
    }

    /// Spans of what httparse found in `head`. httparse takes a bare LF for a line end; a field that stands behind one
    /// is refused here, so that this room's strictness does not hang on [`HeadEnd`] having been asked.
    pub(super) fn of(head: &[u8], headers: &[httparse::Header<'_>], side: Side) -> Result<Self, Error> {
        let mut fields = Vec::with_capacity(headers.len());
        for header in headers {
            let name = offset_in(head, header.name.as_bytes());
            if !head.get(..name).is_some_and(|before| before.ends_with(b"\r\n")) {
                return Err(side.malformed("a line of the head ends in LF without CR; end lines in CRLF"));
            }
            let value = offset_in(head, header.value);
            let narrow = |start: usize, length: usize| start as u32..(start + length) as u32;
            fields.push(Field {
                name: narrow(name, header.name.len()),
                value: narrow(value, header.value.len()),
            });
        }
        Ok(Self(fields))
    }
}

/// Room for httparse's headers, left uninitialised: a head costs what it holds.
pub(super) fn header_slots<'a>() -> [MaybeUninit<httparse::Header<'a>>; HEADERS_MAX] {
    [const { MaybeUninit::uninit() }; HEADERS_MAX]
}

/// Where `part`, a slice of `whole`, begins in it.
pub fn offset_in(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr())
}

fn span<'a>(head: &'a [u8], range: &Range<u32>) -> &'a [u8] {
    head.get(range.start as usize..range.end as usize).unwrap_or_default()
}

/// What the fields say about framing and persistence, gathered in one pass.
#[derive(Debug, Default)]
pub(super) struct FramingFields {
    content_length: Option<u64>,
    transfer_encoding: Option<TransferEncoding>,
    close: bool,
    keep_alive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TransferEncoding {
    Chunked,
    /// Other codings under a final `chunked`.
    Coded,
    /// Chunked is not final, stands twice, or the list is not one.
    Ambiguous,
}

impl FramingFields {
    /// Takes up one field; others than the four that matter are passed over.
    pub(super) fn take(&mut self, name: &[u8], value: &[u8], side: Side) -> Result<(), Error> {
        match name.len() {
            10 if name.eq_ignore_ascii_case(b"connection") => self.take_connection(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.take_content_length(value, side)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.take_transfer_encoding(value),
            _ => {}
        }
        Ok(())
    }

    /// The body's framing as a message of this version has it; `Framing::None` when no field says anything.
    pub(super) fn framing(&self, minor_version: u8, side: Side) -> Result<Framing, Error> {
        let Some(transfer_encoding) = self.transfer_encoding else {
            return Ok(self.content_length.map_or(Framing::None, Framing::Length));
        };
        if self.content_length.is_some() {
            return Err(side.malformed("Content-Length and Transfer-Encoding together; send one"));
        }
        if minor_version == 0 {
            return Err(side.malformed("Transfer-Encoding in HTTP/1.0, which has none"));
        }
        match (transfer_encoding, side) {
            (TransferEncoding::Chunked, _) => Ok(Framing::Chunked),
            (TransferEncoding::Coded, Side::Downstream) => Err(Error::new(
                Kind::NotImplemented,
                "a transfer coding other than chunked; send only chunked",
            )),
            _ => Err(side.malformed("Transfer-Encoding is not one final `chunked`")),
        }
    }

    /// Whether the connection may carry another message after this one (RFC 9112 section 9.3).
    pub(super) fn keeps_alive(&self, minor_version: u8) -> bool {
        !self.close && (minor_version >= 1 || self.keep_alive)
    }

    fn take_connection(&mut self, value: &[u8]) {
        for option in list(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// RFC 9110 section 8.6: a recipient may take equal lengths as one, or reject them. We take those of providers only; a
    /// caller that repeats itself is refused, because someone between us may count differently.
    fn take_content_length(&mut self, value: &[u8], side: Side) -> Result<(), Error> {
        if side == Side::Downstream && self.content_length.is_some() {
            return Err(side.malformed("Content-Length stands twice; send it once"));
        }
        let invalid = || side.malformed("Content-Length is not one decimal number of 64 bits");
        if side == Side::Downstream {
            self.content_length = Some(decimal(value).ok_or_else(invalid)?);
            return Ok(());
        }
        for item in value.split(|byte| *byte == b',') {
            let length = decimal(item.trim_ascii()).ok_or_else(invalid)?;
            if self.content_length.is_some_and(|before| before != length) {
                return Err(side.malformed("the provider sent two different Content-Lengths"));
            }
            self.content_length = Some(length);
        }
        Ok(())
    }

    fn take_transfer_encoding(&mut self, value: &[u8]) {
        let repeated = self.transfer_encoding.is_some();
        self.transfer_encoding = Some(match repeated {
            true => TransferEncoding::Ambiguous,
            false if value.eq_ignore_ascii_case(b"chunked") => TransferEncoding::Chunked,
            false => classify_codings(value),
        });
    }
}

/// RFC 9112 section 6.1: codings that we lack under a final `chunked` are 501; section 6.3 rule 4: everything else has no
/// sure length. An empty element makes the list doubtful (RFC 9110 section 5.6.1.2 would ignore it, and servers differ).
fn classify_codings(value: &[u8]) -> TransferEncoding {
    let mut codings = list(value).rev();
    let last_is_chunked = codings.next().is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    let mut others = codings.peekable();
    let has_others = others.peek().is_some();
    let all_sound = others.all(|coding| is_token(coding) && !coding.eq_ignore_ascii_case(b"chunked"));
    match last_is_chunked && has_others && all_sound {
        true => TransferEncoding::Coded,
        false => TransferEncoding::Ambiguous,
    }
}

/// The elements of a comma-separated list (RFC 9110 section 5.6.1), white space around them cut away.
pub(super) fn list(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Digits only, at least one, at most 64 bits: no sign, no space, no list.
fn decimal(text: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let append = |value: u64, byte: &u8| value.checked_mul(10)?.checked_add(digit(byte)?);
    if text.is_empty() { None } else { text.iter().try_fold(0, append) }
}

/// Whether this is a token (RFC 9110 section 5.6.2): what names, methods and codings are made of.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && all_in(&TOKEN_BYTES, text)
}

static TOKEN_BYTES: ByteSet = byte_set(b"!#$%&'*+-.^_`|~");

/// A set of bytes, looked up by the byte: one load instead of a chain of comparisons.
pub(super) type ByteSet = [bool; 256];

/// The set of these bytes, and of all ASCII letters and digits.
pub(super) const fn byte_set(bytes: &[u8]) -> ByteSet {
    let mut set = [false; 256];
    let mut at = 0;
    while at < bytes.len() {
        set[bytes[at] as usize] = true;
        at += 1;
    }
    let mut byte = 0;
    while byte < 128_u8 {
        set[byte as usize] |= byte.is_ascii_alphanumeric();
        byte += 1;
    }
    set
}

/// Whether all bytes are in the set.
pub(super) fn all_in(set: &ByteSet, bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| set.get(usize::from(*byte)) == Some(&true))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` in two pieces, cut at every byte, and checks that each cut gives the same answer.
    fn check(new: fn() -> HeadEnd, bytes: &[u8], expected: Result<Option<usize>, Kind>) {
        for cut in 0..=bytes.len() {
            let mut end = new();
            let found = match end.find(&bytes[..cut]) {
                Ok(None) => end.find(bytes),
                early => early,
            };
            assert_eq!(found.map_err(|error| error.kind), expected, "cut at {cut}: {}", bytes.escape_ascii());
        }
    }

    #[test]
    fn the_empty_line_ends_a_head() {
        check(HeadEnd::request, b"GET / HTTP/1.1\r\n\r\n", Ok(Some(18)));
        check(HeadEnd::request, b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody\n\n", Ok(Some(27)));
        check(HeadEnd::response, b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n\n", Ok(Some(25)));
        check(HeadEnd::request, b"GET / HTTP/1.1\r\nHost: a\r\n\r", Ok(None));
        check(HeadEnd::request, b"", Ok(None));
    }

    #[test]
    fn one_empty_line_before_a_request_is_ignored() {
        check(HeadEnd::request, b"\r\nGET / HTTP/1.1\r\n\r\n", Ok(Some(20)));
        check(HeadEnd::request, b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", Ok(Some(4)));
        check(HeadEnd::response, b"\r\nHTTP/1.1 200 OK\r\n\r\n", Ok(Some(2)));
    }

    #[test]
    fn what_can_never_become_a_head_is_refused_at_once() {
        check(HeadEnd::request, b"GET / HTTP/1.1\n", Err(Kind::BadHead));
        check(HeadEnd::request, b"GET / HTTP/1.1\r\nHost: a\n\nGET /evil", Err(Kind::BadHead));
        check(HeadEnd::request, b"\nGET / HTTP/1.1\r\n\r\n", Err(Kind::BadHead));
        check(HeadEnd::request, b"\x16\x03\x01", Err(Kind::BadHead));
        check(HeadEnd::request, b" GET", Err(Kind::BadHead));
        check(HeadEnd::response, b"HTTP/1.1 200 OK\nA: b", Err(Kind::UpstreamInvalidResponse));
    }

    fn padded(start: &str, length: usize) -> Vec<u8> {
        let mut head = start.as_bytes().to_vec();
        head.resize(length - 4, b'x');
        head.extend_from_slice(b"\r\n\r\n");
        head
    }

    fn find_whole(mut end: HeadEnd, bytes: &[u8]) -> Result<Option<usize>, Kind> {
        end.find(bytes).map_err(|error| error.kind)
    }

    #[test]
    fn limits_hold_at_the_limit_and_one_past() {
        let request = "GET / HTTP/1.1\r\nA: ";
        let at_limit = padded(request, HEAD_BYTES_MAX);
        assert_eq!(find_whole(HeadEnd::request(), &at_limit), Ok(Some(HEAD_BYTES_MAX)));
        let past = padded(request, HEAD_BYTES_MAX + 1);
        assert_eq!(find_whole(HeadEnd::request(), &past), Err(Kind::HeadTooLarge));
        let unended = &past[..HEAD_BYTES_MAX];
        assert_eq!(find_whole(HeadEnd::request(), unended), Err(Kind::HeadTooLarge));
        assert_eq!(find_whole(HeadEnd::request(), &unended[..HEAD_BYTES_MAX - 1]), Ok(None));

        let response = "HTTP/1.1 200 OK\r\nA: ";
        let at_limit = padded(response, UPSTREAM_HEAD_BYTES_MAX);
        assert_eq!(find_whole(HeadEnd::response(), &at_limit), Ok(Some(UPSTREAM_HEAD_BYTES_MAX)));
        let past = padded(response, UPSTREAM_HEAD_BYTES_MAX + 1);
        assert_eq!(find_whole(HeadEnd::response(), &past), Err(Kind::UpstreamInvalidResponse));
    }

    #[test]
    fn an_endless_request_line_is_414() {
        for prefix in ["", "\r\n"] {
            let line = format!("{prefix}GET /{}", "x".repeat(REQUEST_LINE_BYTES_MAX - 5));
            assert_eq!(find_whole(HeadEnd::request(), line.as_bytes()), Err(Kind::TargetTooLong));
            assert_eq!(find_whole(HeadEnd::request(), &line.as_bytes()[..line.len() - 1]), Ok(None));
            let ended = format!("{line}\r\nHost: a\r\n\r\n");
            assert_eq!(find_whole(HeadEnd::request(), ended.as_bytes()), Err(Kind::TargetTooLong));
            let within = format!("{}\r\n\r\n", &line[..line.len() - 2]);
            assert_eq!(find_whole(HeadEnd::request(), within.as_bytes()), Ok(Some(within.len())));
        }
    }

    #[test]
    fn decimals_are_digits_only() {
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(decimal(b"007"), Some(7));
        for text in ["", "18446744073709551616", "+5", "-5", "0x5", "5 ", "5,5", "5.0", "\u{0665}"] {
            assert_eq!(decimal(text.as_bytes()), None, "{text}");
        }
    }
}

//! Request and response heads (RFC 9112): the same verdict however they arrive, spans that lie inside and hold nothing
//! that could be read in two ways, framing and persistence as a slow reading of the same lines has them.

use corelane::error::{Error, Kind};
use corelane::http::{
    Framing, HEAD_BYTES_MAX, HEADERS_MAX, HeadEnd, Method, RequestHead, ResponseHead, TARGET_BYTES_MAX,
    parse_request_head, parse_response_head,
};

use super::cut::{Chance, ways};

/// What a refused request head may be told.
const REFUSALS: [Kind; 6] = [
    Kind::BadHead,
    Kind::HeadTooLarge,
    Kind::TargetTooLong,
    Kind::NotImplemented,
    Kind::VersionNotSupported,
    Kind::ExpectationFailed,
];

/// A caller's request head.
pub fn request_head(bytes: &[u8]) {
    let refusal = |error: Error| {
        assert!(REFUSALS.contains(&error.kind), "{error:?}");
        error.kind
    };
    // The parser alone is as strict as both together.
    if bytes.len() <= HEAD_BYTES_MAX && parse_request_head(bytes).map_err(refusal).is_ok() {
        assert_eq!(HeadEnd::request().find(bytes).ok(), Some(Some(bytes.len())), "the search disagrees");
    }
    let found = end_of_head(HeadEnd::request, bytes);
    let Some(head) = found.ok().flatten().and_then(|end| bytes.get(..end)) else { return };
    let Ok(parsed) = parse_request_head(head) else { return };
    only_as_it_is(head, |head| parse_request_head(head).is_ok());
    let lines = Lines::of(head);
    let fields: Vec<_> = parsed.fields(head).collect();
    assert_eq!(fields, lines.fields, "the fields");
    assert_eq!((parsed.head_bytes, parsed.minor_version <= 1), (head.len(), true));
    check_target(&parsed, head, lines.first);
    check_request(&parsed, &lines);
    read_again(&parsed, head);
}

/// A provider's response head.
pub fn response_head(bytes: &[u8]) {
    let found = end_of_head(HeadEnd::response, bytes);
    for to_head_request in [false, true] {
        let _ = parse_response_head(bytes, to_head_request);
        let Some(head) = found.ok().flatten().and_then(|end| bytes.get(..end)) else { return };
        let parsed = match parse_response_head(head, to_head_request) {
            Ok(parsed) => parsed,
            Err(error) => return assert_eq!(error.kind, Kind::UpstreamInvalidResponse),
        };
        only_as_it_is(head, |head| parse_response_head(head, to_head_request).is_ok());
        let lines = Lines::of(head);
        assert_eq!(parsed.fields(head).collect::<Vec<_>>(), lines.fields, "the fields");
        assert_eq!((parsed.head_bytes, parsed.minor_version <= 1), (head.len(), true));
        check_response(&parsed, to_head_request, &lines);
    }
}

/// Where the head ends: the same answer for every way in which it may arrive, and whatever follows it.
fn end_of_head(new: fn() -> HeadEnd, bytes: &[u8]) -> Result<Option<usize>, Kind> {
    let whole = new().find(bytes).map_err(|error| error.kind);
    for ends in ways(bytes) {
        let mut search = new();
        let mut answers = ends.iter().map(|end| search.find(bytes.get(..*end).unwrap_or_default()));
        let first = answers.find(|answer| !matches!(answer, Ok(None))).unwrap_or(Ok(None));
        assert_eq!(first.map_err(|error| error.kind), whole, "arriving by {ends:?}");
    }
    if let Ok(Some(end)) = whole {
        let head = bytes.get(..end).expect("an end inside");
        assert!(head.ends_with(b"\r\n\r\n") || head == b"\r\n", "an empty line at the end");
        let followed = [bytes, b"\n\0GET / HTTP/1.1\r\n\r\n"].concat();
        assert_eq!(new().find(&followed).ok(), Some(Some(end)));
    }
    whole
}

/// Neither a part of it nor more than it is read as this head.
fn only_as_it_is(head: &[u8], is_read: impl Fn(&[u8]) -> bool) {
    let mut chance = Chance::of(head);
    let drawn = [0; 3].map(|_| chance.below(head.len()));
    for end in drawn.into_iter().chain([head.len() - 1, head.len() - 2]) {
        assert!(!is_read(head.get(..end).unwrap_or_default()), "read when cut at {end}");
    }
    for more in [b"\r\n", b" x", b"\0\0"] {
        assert!(!is_read(&[head, more].concat()), "read with {more:?} behind it");
    }
}

/// A head read line by line, without any tolerance.
struct Lines<'a> {
    first: &'a [u8],
    fields: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Lines<'a> {
    fn of(head: &'a [u8]) -> Self {
        let text = head.strip_suffix(b"\r\n\r\n").expect("an empty line at the end");
        let mut lines = split_lines(text.strip_prefix(b"\r\n").unwrap_or(text)).into_iter();
        let first = lines.next().expect("a first line");
        let is_text = |byte: &u8| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..);
        assert!(first.iter().all(is_text), "a control byte in the first line");
        Self { first, fields: lines.map(field).collect() }
    }

    fn values(&self, name: &str) -> Vec<&'a [u8]> {
        let named = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|(_, value)| *value).collect()
    }

    /// The lower-case items of all fields of this name.
    fn items(&self, name: &str) -> Vec<Vec<u8>> {
        let items = self.values(name).into_iter().flat_map(|value| value.split(|byte| *byte == b','));
        items.map(|item| item.trim_ascii().to_ascii_lowercase()).collect()
    }

    /// What Content-Length and Transfer-Encoding say together; panics when they leave a choice.
    fn framing(&self, minor_version: u8, lengths: &[Vec<u8>]) -> Framing {
        let codings = self.values("transfer-encoding");
        let length = lengths.first().map(|length| number(length));
        assert!(lengths.iter().all(|other| Some(number(other)) == length), "lengths differ");
        match (length, codings.as_slice()) {
            (None, []) => Framing::None,
            (Some(length), []) => Framing::Length(length),
            (None, [coding]) => {
                assert!(coding.eq_ignore_ascii_case(b"chunked") && minor_version == 1, "the transfer coding");
                Framing::Chunked
            }
            _ => panic!("framed twice"),
        }
    }

    fn keeps_alive(&self, minor_version: u8) -> bool {
        let options = self.items("connection");
        let has = |option: &str| options.iter().any(|other| other == option.as_bytes());
        !has("close") && (minor_version == 1 || has("keep-alive"))
    }
}

fn split_lines(text: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = memchr::memmem::find(rest, b"\r\n") {
        lines.push(rest.get(..end).unwrap_or_default());
        rest = rest.get(end + 2..).unwrap_or_default();
    }
    lines.push(rest);
    lines
}

fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let colon = memchr::memchr(b':', line).expect("a colon in a field");
    let (name, value) = (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default());
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    assert!(!name.is_empty() && name.iter().all(is_token), "a field's name");
    assert!(value.iter().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..)), "a field's value");
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    (name, value.get(start..end).unwrap_or_default())
}

fn number(digits: &[u8]) -> u64 {
    assert!(!digits.is_empty() && digits.iter().all(u8::is_ascii_digit), "a length is digits");
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).expect("64 bits")
}

fn check_target(parsed: &RequestHead, head: &[u8], line: &[u8]) {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let version = format!("HTTP/1.{}", parsed.minor_version);
    let [method, target, last] = words[..] else { panic!("a request line is three words") };
    assert_eq!((method, last), (parsed.method.name().as_bytes(), version.as_bytes()));
    assert!(target.len() <= TARGET_BYTES_MAX && target.iter().all(u8::is_ascii_graphic));
    let (path, query) = (parsed.path(head), parsed.query(head));
    assert!(path.starts_with(b"/") || (path == b"*" && parsed.method == Method::Options), "the path");
    assert!(!path.contains(&b'?') && !path.contains(&b'#'), "the path's end");
    let tail = query.map_or(Vec::new(), |query| [b"?", query].concat());
    let sent = head.get(parsed.path.clone()).expect("a path inside");
    assert!(target.ends_with(&[sent, &tail].concat()), "path and query end the target");
}

fn check_request(parsed: &RequestHead, lines: &Lines<'_>) {
    let lengths: Vec<Vec<u8>> = lines.values("content-length").into_iter().map(<[u8]>::to_vec).collect();
    assert!(lengths.len() <= 1 && lines.fields.len() <= HEADERS_MAX);
    assert_eq!(parsed.framing, lines.framing(parsed.minor_version, &lengths));
    assert_eq!(parsed.keep_alive, lines.keeps_alive(parsed.minor_version));
    let hosts = lines.values("host").len();
    assert!(hosts == 1 || (hosts == 0 && parsed.minor_version == 0), "{hosts} hosts");
    let expectations = lines.items("expect");
    assert!(expectations.iter().all(|item| item == b"100-continue"));
    assert_eq!(parsed.expect_continue, !expectations.is_empty() && parsed.minor_version == 1);
}

fn check_response(parsed: &ResponseHead, to_head_request: bool, lines: &Lines<'_>) {
    let version = format!("HTTP/1.{} {}", parsed.minor_version, parsed.status);
    let reason = lines.first.strip_prefix(version.as_bytes()).expect("version and status");
    assert!(reason.is_empty() || reason.starts_with(b" "), "the reason");
    assert!(
        (100..=599).contains(&parsed.status) && parsed.status != 101 && lines.fields.len() <= HEADERS_MAX
    );
    assert_eq!(parsed.is_interim, parsed.status < 200);
    let declared = lines.framing(parsed.minor_version, &lines.items("content-length"));
    let expected = match (parsed.status, declared) {
        _ if to_head_request => Framing::None,
        (100..=199 | 204 | 304, _) => Framing::None,
        (_, Framing::None) => Framing::Close,
        (_, declared) => declared,
    };
    assert_eq!(parsed.framing, expected);
    let keeps_alive = lines.keeps_alive(parsed.minor_version) && expected != Framing::Close;
    assert_eq!(parsed.keep_alive, keeps_alive);
    let codings = lines.items("content-encoding");
    assert_eq!(parsed.is_coded, codings.iter().any(|coding| !coding.is_empty() && coding != b"identity"));
}

/// The head, written plainly from what was understood, is understood the same.
fn read_again(parsed: &RequestHead, head: &[u8]) {
    let mut plain = [parsed.method.name().as_bytes(), b" ", parsed.path(head)].concat();
    if let Some(query) = parsed.query(head) {
        plain.extend([b"?", query].concat());
    }
    plain.extend(format!(" HTTP/1.{}\r\n", parsed.minor_version).as_bytes());
    for (name, value) in parsed.fields(head) {
        plain.extend([name, b": ", value, b"\r\n"].concat());
    }
    plain.extend(b"\r\n");
    if plain.len() > HEAD_BYTES_MAX {
        return;
    }
    let again = parse_request_head(&plain).expect("a plain head");
    assert_eq!((again.method, again.minor_version), (parsed.method, parsed.minor_version));
    assert_eq!((again.path(&plain), again.query(&plain)), (parsed.path(head), parsed.query(head)));
    assert_eq!((again.framing, again.keep_alive), (parsed.framing, parsed.keep_alive));
    assert_eq!(again.expect_continue, parsed.expect_continue);
    assert!(again.fields(&plain).eq(parsed.fields(head)), "the fields, read again");
}

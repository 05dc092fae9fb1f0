//! JSON as this room reads and writes it: one string writer, objects and arrays in the order they are written, and typed
//! reading that keeps raw spans. It knows no dialect.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::fault::wrong;
use crate::chat::Raw;
use crate::error::{Error, Kind};

/// A string of the input, borrowed unless it has escapes. (A bare `Option<Cow>` would always be copied.)
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// A value's span, for later.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Span<'a>(#[serde(borrow)] &'a RawValue);

impl<'a> Span<'a> {
    /// The span as it stands in the input.
    pub(super) fn raw(self) -> Raw<'a> {
        Raw(self.0.get())
    }

    /// What kind of value it is, by its first byte.
    pub(super) fn first(self) -> u8 {
        self.0.get().as_bytes().first().copied().unwrap_or(b' ')
    }

    /// Reads it as `T`; `path` says where it stands, for the caller, and is written only in an error.
    pub(super) fn parse<T: Deserialize<'a>>(self, path: &dyn fmt::Display) -> Result<T, Error> {
        serde_json::from_str(self.0.get()).map_err(|error| invalid(path, &error))
    }

    /// A number as it is written.
    pub(super) fn number(self, path: &dyn fmt::Display) -> Result<Raw<'a>, Error> {
        match self.first() {
            b'-' | b'0'..=b'9' => Ok(self.raw()),
            _ => Err(wrong(path, "must be a number")),
        }
    }
}

/// The top-level fields of a request body in their order, explicit nulls left out (they mean absent).
pub(super) fn fields(body: &[u8]) -> Result<Vec<(Cow<'_, str>, Span<'_>)>, Error> {
    let Fields(fields) = serde_json::from_slice(body).map_err(|error| {
        Error::new(Kind::InvalidRequest, format!("the body is not a JSON object: {}", reason(&error)))
    })?;
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    if let Some([name, _]) = names.array_windows().find(|[one, next]| one == next) {
        let shown = bounded(name, PATH_BYTES_MAX);
        let message = format!("`{shown}` stands twice in the body; send it once");
        return Err(Error::new(Kind::DuplicateField, message).with_param(shown.to_owned()));
    }
    Ok(fields.into_iter().filter(|(_, value)| value.first() != b'n').collect())
}

/// The members of an object in their order, nulls among them. `None`: it is no object.
pub(super) fn members(object: &str) -> Option<Vec<(Cow<'_, str>, Span<'_>)>> {
    serde_json::from_str(object).ok().map(|Fields(fields)| fields)
}

/// Bound on a caller's own key where we repeat it, bytes.
pub(super) const PATH_BYTES_MAX: usize = 64;

/// `text` cut to at most `bytes_max` bytes, at a character's edge.
pub(super) fn bounded(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

/// Reads the one value that `bytes` begin with, whatever follows.
pub(super) fn prefix<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    T::deserialize(&mut serde_json::Deserializer::from_slice(bytes)).ok()
}

/// Whether `text` is one valid JSON value that begins with `{`.
pub(super) fn is_object(text: &str) -> bool {
    serde_json::from_str::<Span<'_>>(text).is_ok_and(|span| span.first() == b'{')
}

/// Why reading failed, bounded: the words may quote a whole value.
pub(super) fn reason(error: &serde_json::Error) -> String {
    bounded(&error.to_string(), REASON_BYTES_MAX).to_owned()
}

const REASON_BYTES_MAX: usize = 256;

fn invalid(path: &dyn fmt::Display, error: &serde_json::Error) -> Error {
    let words = error.to_string();
    // The position counts from the span's start and would mislead.
    let words = words.rsplit_once(" at line ").map_or(&*words, |(words, _)| words);
    let words = bounded(words, REASON_BYTES_MAX);
    let kind = if words.starts_with("duplicate field") { Kind::DuplicateField } else { Kind::InvalidRequest };
    Error::new(kind, format!("`{path}` is not what the API takes: {words}")).with_param(path.to_string())
}

struct Fields<'a>(Vec<(Cow<'a, str>, Span<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some((Text(name), value)) = map.next_entry()? {
            fields.push((name, value));
        }
        Ok(Fields(fields))
    }
}

/// Writes one object, field by field, into a buffer.
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl<'o> Object<'o> {
    /// Opens it.
    pub(super) fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    /// Writes a key (one of ours, which needs no escapes); the value is to be written next.
    pub(super) fn field(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// The same for a key of a caller's, which may need escapes.
    pub(super) fn key(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        write_string(self.out, name);
        self.out.push(b':');
        self.out
    }

    /// A string.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        write_string(self.field(name), value);
    }

    /// A string or null.
    pub(super) fn text_or_null(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.raw(name, Raw("null")),
        }
    }

    /// JSON as it stands.
    pub(super) fn raw(&mut self, name: &str, value: Raw<'_>) {
        self.field(name).extend_from_slice(value.0.as_bytes());
    }

    /// JSON as it stands, when there is any.
    pub(super) fn raw_if(&mut self, name: &str, value: Option<Raw<'_>>) {
        if let Some(value) = value {
            self.raw(name, value);
        }
    }

    /// Fields that are written already, commas between; at least one.
    pub(super) fn fields(&mut self, fields: &[u8]) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        self.out.extend_from_slice(fields);
    }

    /// A whole number.
    pub(super) fn number(&mut self, name: &str, value: u64) {
        let mut digits = itoa::Buffer::new();
        self.field(name).extend_from_slice(digits.format(value).as_bytes());
    }

    /// An object with one `type` and nothing else.
    pub(super) fn tagged(&mut self, name: &str, kind: &str) {
        let mut object = Object::begin(self.field(name));
        object.text("type", kind);
        object.end();
    }

    /// Closes it.
    pub(super) fn end(self) {
        self.out.push(b'}');
    }
}

/// Writes one array, item by item, into a buffer.
pub(super) struct Array<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl<'o> Array<'o> {
    /// Opens it.
    pub(super) fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'[');
        Self { out, is_empty: true }
    }

    /// The item is to be written next.
    pub(super) fn item(&mut self) -> &mut Vec<u8> {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        self.out
    }

    /// Closes it.
    pub(super) fn end(self) {
        self.out.push(b']');
    }
}

/// Writes `text` as a JSON string (RFC 8259 section 7: only what must be escaped is).
pub(super) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some((plain, special)) = next_special(rest).and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(plain);
        let Some((&byte, after)) = special.split_first() else { break };
        write_escape(out, byte);
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Without the blanks between its tokens: an event's data is one line.
pub(super) fn write_compact(out: &mut Vec<u8>, json: &str) {
    let (mut is_string, mut is_escaped) = (false, false);
    for &byte in json.as_bytes() {
        if is_string {
            is_string = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            is_string = byte == b'"';
        }
        out.push(byte);
    }
}

/// Where the first byte stands that a JSON string must escape.
fn next_special(bytes: &[u8]) -> Option<usize> {
    // Long texts (pictures) are mostly clean; a fixed chunk without branches is checked by vector instructions. Prose has a
    // quote or line end every few words: there eight bytes are looked at as one number.
    const CHUNK_BYTES: usize = 32;
    let is_special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let is_clean = |chunk: &&[u8]| !chunk.iter().fold(false, |any, &byte| any | is_special(byte));
    let mut at = bytes.chunks_exact(CHUNK_BYTES).take_while(is_clean).count() * CHUNK_BYTES;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        match special_in(u64::from_le_bytes(*word)) {
            Some(found) => return Some(at + found),
            None => at += size_of::<u64>(),
        }
    }
    let rest = bytes.get(at..)?;
    rest.iter().position(|&byte| is_special(byte)).map(|found| at + found)
}

/// The same of eight bytes, the lowest the first. `x - 1` borrows into the top bit of a byte that is 0, `x - 32` of one below 32,
/// unless it was set; a borrow from the byte below can mark only bytes behind the first that is special.
fn special_in(word: u64) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let below = |word: u64, least: u64| word.wrapping_sub(ONES * least) & !word;
    let is_byte = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let marks = (below(word, 0x20) | is_byte(b'"') | is_byte(b'\\')) & (ONES << 7);
    (marks != 0).then(|| (marks.trailing_zeros() / 8) as usize)
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_string_reads_back() {
        let mut all: String = (0..0x80_u8).map(char::from).collect();
        all.push_str("é漢😀\u{2028}\u{7f}");
        let mut out = Vec::new();
        write_string(&mut out, &all);
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), all);
        out.clear();
        write_string(&mut out, "a\"b\\c\u{1}\n");
        assert_eq!(out, br#""a\"b\\c\u0001\n""#);
    }

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let is_special = byte < 0x20 || matches!(byte, b'"' | b'\\');
            for (length, filler) in [(7, b' '), (8, b'a'), (31, 0x7f), (45, 0xff), (80, b'!')] {
                for at in 0..length {
                    let mut bytes = vec![filler; length];
                    bytes[at] = byte;
                    assert_eq!(next_special(&bytes), is_special.then_some(at), "{byte} at {at} of {length}");
                    // What stands behind it does not count.
                    bytes[at + 1..].fill(b'"');
                    let first = if is_special { at } else { at + 1 };
                    assert_eq!(next_special(&bytes), (first < length).then_some(first), "{byte} at {at}");
                }
            }
        }
    }

    #[test]
    fn fields_keep_order_and_spans_and_lose_nulls() {
        let fields = fields(br#"{"b": 1.50, "a": null, "\u0063": {"x":[ ]}}"#).unwrap();
        let shown: Vec<_> = fields.iter().map(|(name, value)| (&**name, value.raw().0)).collect();
        assert_eq!(shown, [("b", "1.50"), ("c", r#"{"x":[ ]}"#)]);
    }

    #[test]
    fn a_field_twice_is_named_also_when_escaped() {
        let error = fields(br#"{"a":1,"\u0061":2}"#).unwrap_err();
        assert_eq!(error.kind, Kind::DuplicateField);
        assert_eq!(error.param.as_deref(), Some("a"));
        assert_eq!(fields(b"[1]").unwrap_err().kind, Kind::InvalidRequest);
        assert_eq!(fields(b"").unwrap_err().kind, Kind::InvalidRequest);
    }

    #[test]
    fn bounds_cut_at_characters() {
        assert_eq!(bounded("aé", 2), "a");
        assert_eq!(bounded("aé", 9), "aé");
    }
}

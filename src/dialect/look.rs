//! A look at a JSON body as its bytes come in: is it one well-formed object within our bounds, and where exactly do a
//! few of its top-level members stand? Nothing is built and nothing kept but offsets and one short key, so that a body
//! passes through untouched. It is not a parser: values are read from their spans ([`string_value`]) or by simd-json.
//!
//! What is accepted is JSON by RFC 8259, save that UTF-8 and surrogate pairs are checked only in strings that are read.

use std::ops::Range;

use crate::error::{Error, Kind};

mod text;

pub use text::{string_end, string_value, write_string};

/// Deepest nesting of arrays and objects, the body's own object counted.
pub const DEPTH_MAX: u32 = 128;
/// Most values of a body, containers counted, keys not.
pub const NODES_MAX: u32 = 1_000_000;
/// Longest key that can be looked for, bytes.
pub const KEY_BYTES_MAX: usize = 32;

/// A look under way: takes a body in pieces, cut anywhere. Spent after an error.
#[derive(Clone, Debug)]
pub struct Look<const N: usize> {
    keys: &'static [&'static str; N],
    found: [Option<Found>; N],
    state: State,
    /// Whether the string under way is a key.
    in_key: bool,
    /// Bytes of earlier pieces.
    offset: usize,
    /// One bit for each open container, the innermost lowest; 1: an object.
    stack: u128,
    /// Open containers, at most [`DEPTH_MAX`].
    depth: u32,
    /// Values begun, at most [`NODES_MAX`].
    nodes: u32,
    number: Number,
    /// What is missing of `true`, `false` or `null`.
    literal: &'static [u8],
    /// Digits that are missing of a `\u` escape, and its value so far.
    hex_left: u8,
    hex: u32,
    key: Key,
    member: Member,
}

/// The top-level member under way.
#[derive(Clone, Copy, Debug, Default)]
struct Member {
    /// Index into `keys`, when it is one of ours.
    wanted: Option<usize>,
    /// Count of members before it.
    ordinal: usize,
    /// Offset of the comma before it; 0: it is the first.
    comma: usize,
    /// Offset of the key's quote.
    key_start: usize,
}

/// Where a wanted member stands: offsets into the body.
#[derive(Clone, Copy, Debug)]
struct Found {
    ordinal: usize,
    comma: usize,
    key_start: usize,
    value_start: usize,
    value_end: usize,
    /// Behind the comma that follows; `value_end` when it is the last.
    comma_end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the body's object.
    Start,
    /// Behind the body's object.
    End,
    /// Behind `[`.
    ValueOrClose,
    /// A value must come.
    Value,
    /// Behind `{`.
    KeyOrClose,
    /// A key must come.
    Key,
    /// Behind a key.
    Colon,
    /// Behind a value inside a container.
    AfterValue,
    Text,
    Escape,
    Hex,
    Number,
    Literal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

/// The bytes of the top-level key under way, escapes undone, as far as a wanted key could be so long.
#[derive(Clone, Copy, Debug)]
struct Key {
    bytes: [u8; KEY_BYTES_MAX],
    /// Over [`KEY_BYTES_MAX`]: no wanted key can be this one.
    length: usize,
}

#[derive(Clone, Copy, Debug)]
enum Flaw {
    Syntax,
    Control,
    Trailing,
    Depth,
    Nodes,
    Duplicate(&'static str),
}

/// A flaw and its offset in the piece.
type Fault = (Flaw, usize);

impl<const N: usize> Look<N> {
    /// Looks for these top-level keys, which are distinct, ASCII and at most [`KEY_BYTES_MAX`] long.
    pub fn new(keys: &'static [&'static str; N]) -> Self {
        debug_assert!(keys.iter().all(|key| key.is_ascii() && key.len() <= KEY_BYTES_MAX));
        Self {
            keys,
            found: [None; N],
            state: State::Start,
            in_key: false,
            offset: 0,
            stack: 0,
            depth: 0,
            nodes: 0,
            number: Number::Minus,
            literal: b"",
            hex_left: 0,
            hex: 0,
            key: Key { bytes: [0; KEY_BYTES_MAX], length: 0 },
            member: Member::default(),
        }
    }

    /// Takes the next piece of the body.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.scan(bytes).map_err(|(flaw, at)| describe(flaw, self.offset + at))?;
        self.offset += bytes.len();
        Ok(())
    }

    /// The body is whole: its members, if it is.
    pub fn finish(self) -> Result<Members<N>, Error> {
        if self.state != State::End {
            return Err(Error::new(Kind::InvalidRequest, "the body ends before its JSON object does"));
        }
        Ok(Members { found: self.found, length: self.member.ordinal })
    }

    /// What is known of a body that may go on: the members whose values have come whole. One that ends in a number may be cut.
    pub fn so_far(&self) -> Members<N> {
        let whole = |found: Option<Found>| found.filter(|found| found.value_end > found.value_start);
        Members { found: self.found.map(whole), length: self.member.ordinal }
    }

    fn scan(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            at = match self.state {
                State::Text => self.in_text(bytes, at)?,
                State::Number => self.in_number(bytes, at)?,
                State::Literal => self.in_literal(bytes, at)?,
                State::Escape => self.in_escape(*byte, at)?,
                State::Hex => self.in_hex(*byte, at)?,
                _ => self.between(*byte, at)?,
            };
        }
        Ok(())
    }

    /// One byte outside strings, numbers and literals.
    fn between(&mut self, byte: u8, at: usize) -> Result<usize, Fault> {
        if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            return Ok(at + 1);
        }
        match (self.state, byte) {
            (State::Key | State::KeyOrClose, b'"') => self.begin_key(at),
            (State::Colon, b':') => self.state = State::Value,
            (State::ValueOrClose, b']') | (State::KeyOrClose, b'}') => self.close(at),
            (State::Value | State::ValueOrClose, _) => return self.begin_value(byte, at),
            (State::AfterValue, b',') => self.take_comma(at),
            (State::AfterValue, b'}') if self.stack & 1 == 1 => self.close(at),
            (State::AfterValue, b']') if self.stack & 1 == 0 => self.close(at),
            (State::Start, b'{') => return self.begin_value(byte, at),
            (State::End, _) => return Err((Flaw::Trailing, at)),
            _ => return Err((Flaw::Syntax, at)),
        }
        Ok(at + 1)
    }

    fn begin_value(&mut self, byte: u8, at: usize) -> Result<usize, Fault> {
        if self.nodes == NODES_MAX {
            return Err((Flaw::Nodes, at));
        }
        self.nodes += 1;
        if self.depth == 1 {
            self.begin_member_value(at);
        }
        match byte {
            b'"' => (self.state, self.in_key) = (State::Text, false),
            b'{' => self.open(1, State::KeyOrClose, at)?,
            b'[' => self.open(0, State::ValueOrClose, at)?,
            b't' => (self.state, self.literal) = (State::Literal, b"rue"),
            b'f' => (self.state, self.literal) = (State::Literal, b"alse"),
            b'n' => (self.state, self.literal) = (State::Literal, b"ull"),
            b'-' => (self.state, self.number) = (State::Number, Number::Minus),
            b'0' => (self.state, self.number) = (State::Number, Number::Zero),
            b'1'..=b'9' => (self.state, self.number) = (State::Number, Number::Integer),
            _ => return Err((Flaw::Syntax, at)),
        }
        Ok(at + 1)
    }

    fn open(&mut self, bit: u128, state: State, at: usize) -> Result<(), Fault> {
        if self.depth == DEPTH_MAX {
            return Err((Flaw::Depth, at));
        }
        self.stack = self.stack << 1 | bit;
        self.depth += 1;
        self.state = state;
        Ok(())
    }

    fn close(&mut self, at: usize) {
        if self.depth == 1 && self.state == State::AfterValue {
            self.member.ordinal += 1;
        }
        self.stack >>= 1;
        self.depth -= 1;
        self.end_value(at + 1);
    }

    /// A value ended before the offset `end` of this piece.
    fn end_value(&mut self, end: usize) {
        self.state = State::AfterValue;
        if self.depth > 1 {
            return;
        }
        let end = self.offset + end;
        if self.depth == 0 {
            self.state = State::End;
        } else if let Some(found) = self.member.wanted.and_then(|index| self.found.get_mut(index)?.as_mut()) {
            (found.value_end, found.comma_end) = (end, end);
        }
    }

    fn take_comma(&mut self, at: usize) {
        self.state = if self.stack & 1 == 1 { State::Key } else { State::Value };
        if self.depth == 1 {
            self.end_member(self.offset + at);
        }
    }

    /// Reads a string from `at` to its end or the piece's.
    fn in_text(&mut self, bytes: &[u8], mut at: usize) -> Result<usize, Fault> {
        let in_top_key = self.in_key && self.depth == 1;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let plain = text::plain_run(rest);
            let stop = at + plain;
            if in_top_key {
                self.key.extend(rest.get(..plain).unwrap_or_default());
            }
            match bytes.get(stop) {
                None => return Ok(stop),
                Some(b'"') if self.in_key => {
                    self.end_key(stop)?;
                    // The colon nearly always follows at once.
                    if bytes.get(stop + 1) == Some(&b':') {
                        self.state = State::Value;
                        return Ok(stop + 2);
                    }
                }
                Some(b'"') => self.end_value(stop + 1),
                // Prose is full of short escapes; one that is whole costs no change of state.
                Some(b'\\') => match bytes.get(stop + 1).and_then(|byte| text::unescape(*byte)) {
                    Some(meant) => {
                        if in_top_key {
                            self.key.extend(&[meant]);
                        }
                        at = stop + 2;
                        continue;
                    }
                    None => self.state = State::Escape,
                },
                Some(_) => return Err((Flaw::Control, stop)),
            }
            return Ok(stop + 1);
        }
    }

    /// The byte behind a backslash.
    fn in_escape(&mut self, byte: u8, at: usize) -> Result<usize, Fault> {
        if byte == b'u' {
            (self.state, self.hex_left, self.hex) = (State::Hex, 4, 0);
            return Ok(at + 1);
        }
        let meant = text::unescape(byte).ok_or((Flaw::Syntax, at))?;
        self.state = State::Text;
        if self.in_key && self.depth == 1 {
            self.key.extend(&[meant]);
        }
        Ok(at + 1)
    }

    fn in_hex(&mut self, byte: u8, at: usize) -> Result<usize, Fault> {
        let digit = char::from(byte).to_digit(16).ok_or((Flaw::Syntax, at))?;
        self.hex = self.hex << 4 | digit;
        self.hex_left -= 1;
        if self.hex_left == 0 {
            self.state = State::Text;
            if self.in_key && self.depth == 1 {
                self.key.extend_unit(self.hex);
            }
        }
        Ok(at + 1)
    }

    fn in_number(&mut self, bytes: &[u8], at: usize) -> Result<usize, Fault> {
        for (index, byte) in bytes.get(at..).unwrap_or_default().iter().enumerate() {
            if let Some(next) = self.number.step(*byte) {
                self.number = next;
            } else if self.number.may_end() {
                self.end_value(at + index);
                return Ok(at + index);
            } else {
                return Err((Flaw::Syntax, at + index));
            }
        }
        Ok(bytes.len())
    }

    fn in_literal(&mut self, bytes: &[u8], at: usize) -> Result<usize, Fault> {
        let there = bytes.get(at..).unwrap_or_default();
        let length = there.len().min(self.literal.len());
        let (expected, missing) = self.literal.split_at_checked(length).unwrap_or_default();
        if let Some(place) = there.iter().zip(expected).position(|(byte, expected)| byte != expected) {
            return Err((Flaw::Syntax, at + place));
        }
        self.literal = missing;
        if missing.is_empty() {
            self.end_value(at + length);
        }
        Ok(at + length)
    }

    fn begin_key(&mut self, at: usize) {
        (self.state, self.in_key) = (State::Text, true);
        if self.depth == 1 {
            self.key.length = 0;
            self.member.key_start = self.offset + at;
        }
    }

    /// A key's closing quote stands at `at`.
    fn end_key(&mut self, at: usize) -> Result<(), Fault> {
        self.state = State::Colon;
        if self.depth > 1 {
            return Ok(());
        }
        let key = self.key.bytes.get(..self.key.length);
        self.member.wanted = self.keys.iter().position(|wanted| key == Some(wanted.as_bytes()));
        let Some(index) = self.member.wanted else { return Ok(()) };
        match (self.found.get(index), self.keys.get(index)) {
            (Some(Some(_)), Some(key)) => Err((Flaw::Duplicate(key), at)),
            _ => Ok(()),
        }
    }

    fn begin_member_value(&mut self, at: usize) {
        let start = self.offset + at;
        let Member { wanted, ordinal, comma, key_start } = self.member;
        if let Some(slot) = wanted.and_then(|index| self.found.get_mut(index)) {
            *slot = Some(Found {
                ordinal,
                comma,
                key_start,
                value_start: start,
                value_end: start,
                comma_end: start,
            });
        }
    }

    /// A comma at this offset of the body ended a top-level member.
    fn end_member(&mut self, comma: usize) {
        if let Some(found) = self.member.wanted.take().and_then(|index| self.found.get_mut(index)?.as_mut()) {
            found.comma_end = comma + 1;
        }
        self.member.comma = comma;
        self.member.ordinal += 1;
    }
}

impl Key {
    fn extend(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        if let Some(room) = self.bytes.get_mut(self.length..end) {
            room.copy_from_slice(bytes);
        }
        self.length = end;
    }

    /// A UTF-16 code unit; one that is not ASCII is in no wanted key.
    fn extend_unit(&mut self, unit: u32) {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => self.extend(&[byte]),
            _ => self.length += KEY_BYTES_MAX + 1,
        }
    }
}

impl Number {
    /// The state behind this byte; `None`: it is not part of the number.
    fn step(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Integer, b'0'..=b'9') => Self::Integer,
            (Self::Minus, b'0') => Self::Zero,
            (Self::Minus, b'1'..=b'9') => Self::Integer,
            (Self::Zero | Self::Integer, b'.') => Self::Point,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Self::Exponent,
            (Self::Exponent, b'+' | b'-') => Self::ExponentSign,
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, b'0'..=b'9') => Self::ExponentDigits,
            _ => return None,
        })
    }

    fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Integer | Self::Fraction | Self::ExponentDigits)
    }
}

fn describe(flaw: Flaw, at: usize) -> Error {
    match flaw {
        Flaw::Syntax => Error::new(
            Kind::InvalidRequest,
            format!("the body is not a JSON object: unexpected byte at {at}"),
        ),
        Flaw::Control => {
            let sentence = format!("the body is not JSON: a string holds a control byte at {at}; escape it");
            Error::new(Kind::InvalidRequest, sentence)
        }
        Flaw::Trailing => {
            Error::new(Kind::InvalidRequest, format!("something follows the body's JSON object at byte {at}"))
        }
        Flaw::Depth => Error::new(Kind::JsonTooComplex, "the body nests deeper than 128 levels"),
        Flaw::Nodes => Error::new(Kind::JsonTooComplex, "the body holds more than 1,000,000 values"),
        Flaw::Duplicate(key) => {
            Error::new(Kind::DuplicateField, format!("`{key}` stands twice in the body; send it once"))
                .with_param(key)
        }
    }
}

/// Where the wanted members of a whole body stand. Indices are those of the keys given to [`Look::new`].
#[derive(Clone, Debug)]
pub struct Members<const N: usize> {
    found: [Option<Found>; N],
    length: usize,
}

impl<const N: usize> Members<N> {
    /// The exact span of a member's value in the body; `None`: the body has no such key.
    pub fn value(&self, index: usize) -> Option<Range<usize>> {
        self.at(index).map(|found| found.value_start..found.value_end)
    }

    /// The exact span of a member, from its key's quote to its value's end.
    pub fn member(&self, index: usize) -> Option<Range<usize>> {
        self.at(index).map(|found| found.key_start..found.value_end)
    }

    /// Count of the object's members, wanted or not.
    pub fn count(&self) -> usize {
        self.length
    }

    /// What to take out of the body so that it is still an object, without these members: spans in order, apart from
    /// each other, each with the one comma that has to go. Keys that the body lacks are passed over.
    pub fn cuts(&self, indices: &[usize]) -> Vec<Range<usize>> {
        let mut chosen: Vec<&Found> = indices.iter().filter_map(|index| self.at(*index)).collect();
        chosen.sort_unstable_by_key(|found| found.ordinal);
        chosen.dedup_by_key(|found| found.ordinal);
        // While all members so far are taken out, no comma stands before what is kept: the one behind goes.
        let cut = |(place, found): (usize, &&Found)| match found.ordinal == place {
            true => found.key_start..found.comma_end,
            false => found.comma..found.value_end,
        };
        chosen.iter().enumerate().map(cut).collect()
    }

    fn at(&self, index: usize) -> Option<&Found> {
        self.found.get(index)?.as_ref()
    }
}

#[cfg(test)]
mod tests;

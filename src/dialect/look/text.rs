//! JSON strings: how far one runs without anything special, its content with escapes undone, and how text is written as
//! one. It knows nothing of what stands around a string.

use std::borrow::Cow;

/// The content of a JSON string, given with its quotes. `None`: it is not exactly one string, is not UTF-8, or has
/// half a surrogate pair.
pub fn string_value(raw: &[u8]) -> Option<Cow<'_, str>> {
    let content = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let plain = plain_run(content);
    if plain == content.len() {
        return std::str::from_utf8(content).ok().map(Cow::Borrowed);
    }
    let mut text = String::with_capacity(content.len());
    let mut rest = content;
    loop {
        let (plain, behind) = rest.split_at_checked(plain_run(rest))?;
        text.push_str(std::str::from_utf8(plain).ok()?);
        let Some(escape) = behind.strip_prefix(b"\\") else {
            return behind.is_empty().then_some(Cow::Owned(text));
        };
        let (meant, behind) = decode_escape(escape)?;
        text.push(meant);
        rest = behind;
    }
}

/// Behind the closing quote of a string of `body` whose content begins at `from`. `None`: it does not end.
pub fn string_end(body: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', body.get(from..)?)?;
        match body.get(at)? {
            b'"' => return Some(at + 1),
            _ => from = at + 2,
        }
    }
}

/// Appends `text` as a JSON string with its quotes.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, behind) = rest.split_at_checked(plain_run(rest)).unwrap_or((rest, b""));
        out.extend_from_slice(plain);
        let Some((special, behind)) = behind.split_first() else { break };
        write_escape(out, *special);
        rest = behind;
    }
    out.push(b'"');
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        b'"' | b'\\' => byte,
        _ => {
            let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
            return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// What one byte behind a backslash means; `None` for `u`, which has digits, and for what is no escape.
pub(super) fn unescape(byte: u8) -> Option<u8> {
    MEANINGS.get(usize::from(byte)).copied().filter(|meant| *meant != 0)
}

/// Indexed by the byte behind a backslash; 0: no short escape. A table, because the branches would be guessed wrong.
static MEANINGS: [u8; 256] = {
    let mut meanings = [0; 256];
    let pairs = [
        (b'"', b'"'),
        (b'\\', b'\\'),
        (b'/', b'/'),
        (b'n', b'\n'),
        (b't', b'\t'),
        (b'r', b'\r'),
        (b'b', 8),
        (b'f', 12),
    ];
    let mut at = 0;
    while at < pairs.len() {
        meanings[pairs[at].0 as usize] = pairs[at].1;
        at += 1;
    }
    meanings
};

/// The character of an escape whose backslash is cut off, and what is behind it.
fn decode_escape(escape: &[u8]) -> Option<(char, &[u8])> {
    let (kind, rest) = escape.split_first()?;
    if *kind != b'u' {
        return Some((char::from(unescape(*kind)?), rest));
    }
    let (first, rest) = decode_unit(rest)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, rest));
    }
    let (second, rest) = decode_unit(rest.strip_prefix(b"\\u")?)?;
    if !(0xdc00..0xe000).contains(&second) {
        return None;
    }
    let point = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    Some((char::from_u32(point)?, rest))
}

fn decode_unit(digits: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = digits.split_first_chunk::<4>()?;
    let append = |value: u32, byte: &u8| Some(value << 4 | char::from(*byte).to_digit(16)?);
    Some((digits.iter().try_fold(0, append)?, rest))
}

/// How many bytes from the start are neither quote nor backslash nor control byte. Strings are short or long: two words
/// are tried, then blocks that the compiler turns into vector code, then words again to find the place.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    let (short, rest) = bytes.split_at_checked(16).unwrap_or((bytes, b""));
    if let Some(found) = find_by_words(short) {
        return found;
    }
    let mut rest = rest;
    while let Some((block, behind)) = rest.split_first_chunk::<32>() {
        if block.iter().fold(0, |any, byte| any | u8::from(is_special(*byte))) != 0 {
            return bytes.len() - rest.len() + find_by_words(block).unwrap_or(block.len());
        }
        rest = behind;
    }
    bytes.len() - rest.len() + find_by_words(rest).unwrap_or(rest.len())
}

fn find_by_words(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    while let Some((word, behind)) = rest.split_first_chunk::<8>() {
        let marks = special_marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return Some(bytes.len() - rest.len() + marks.trailing_zeros() as usize / 8);
        }
        rest = behind;
    }
    rest.iter().position(|byte| is_special(*byte)).map(|place| bytes.len() - rest.len() + place)
}

fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

/// The high bit of each special byte of a little-endian word. A borrow may mark bytes above a special one wrongly, so
/// that only the lowest mark counts.
fn special_marks(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let quotes = zeros(word ^ (ONES * b'"' as u64));
    let backslashes = zeros(word ^ (ONES * b'\\' as u64));
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    (quotes | backslashes | controls) & (ONES * 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_run_ends_at_the_first_special_byte_wherever_it_stands() {
        for length in 0..120 {
            for filler in [b'a', 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                let mut bytes = vec![filler; length];
                assert_eq!(plain_run(&bytes), length);
                for special in [b'"', b'\\', 0, b'\n', 0x1f] {
                    for place in 0..length {
                        bytes[place] = special;
                        assert_eq!(plain_run(&bytes), place, "{special} at {place} of {length}");
                        bytes[place] = filler;
                    }
                }
            }
        }
    }

    #[test]
    fn strings_are_read_as_serde_json_reads_them() {
        for raw in [
            r#""""#,
            r#""a""#,
            r#""\"\\\/\b\f\n\r\t""#,
            r#""\u0041\u00e4\u20ac""#,
            r#""\ud83d\ude00""#,
            r#""ä€😀""#,
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83dx""#,
            r#""\ud83d\u0041""#,
            r#""\ud83d\ud83d""#,
            r#""\u12""#,
            r#""\u12g4""#,
            r#""\x""#,
            r#"""#,
            "",
            "1",
            r#""a"b""#,
            r#""a\""#,
            "\"\u{1}\"",
            r#""\u+123""#,
            r#""a"#,
            r#""plain for longer than a block of bytes, then \u00e9 and on for longer than one once more""#,
        ] {
            let expected = serde_json::from_str::<String>(raw).ok();
            assert_eq!(string_value(raw.as_bytes()).map(Cow::into_owned), expected, "{raw}");
        }
        assert_eq!(string_value(b"\"\xff\""), None);
        assert!(matches!(string_value(b"\"plain\""), Some(Cow::Borrowed("plain"))));
    }

    #[test]
    fn what_is_written_is_read() {
        let all: String = (0..0x250).filter_map(char::from_u32).chain("😀\u{2028}".chars()).collect();
        for text in ["", "a", "\"\\", "\u{0}\u{1f}\n", &all] {
            let mut out = Vec::new();
            write_string(&mut out, text);
            assert_eq!(string_value(&out).as_deref(), Some(text));
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}

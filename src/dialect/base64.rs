//! Base64 (RFC 4648) as far as dialects differ in it: Google's JSON takes both alphabets and its SDKs send the one that is
//! safe in URLs, others take the standard one only.

use std::borrow::Cow;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends `bytes` in the standard alphabet, padded.
pub(super) fn encode(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = ALPHABET.get((bits >> (18 - 6 * place)) as usize & 63).copied().unwrap_or(b'A');
            out.push(if place <= group.len() { letter } else { b'=' });
        }
    }
}

/// The bytes that `text` stands for, in either alphabet, padded or not. `None`: it is no base64.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let letters = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(letters.len() / 4 * 3 + 3);
    for group in letters.chunks(4) {
        let mut bits = 0_u32;
        for place in 0..4 {
            bits = bits << 6 | group.get(place).map_or(Some(0), |letter| value(*letter))?;
        }
        let [_, whole @ ..] = bits.to_be_bytes();
        // One letter alone is no byte.
        bytes.extend_from_slice(whole.get(..group.len() - 1).filter(|kept| !kept.is_empty())?);
    }
    Some(bytes)
}

fn value(letter: u8) -> Option<u32> {
    let (start, first) = match letter {
        b'A'..=b'Z' => (0, b'A'),
        b'a'..=b'z' => (26, b'a'),
        b'0'..=b'9' => (52, b'0'),
        b'+' | b'-' => (62, letter),
        b'/' | b'_' => (63, letter),
        _ => return None,
    };
    Some(start + u32::from(letter - first))
}

/// The same in the standard alphabet, padded; what is no base64 stays as it is.
pub(super) fn standard(text: Cow<'_, str>) -> Cow<'_, str> {
    let is_standard = text.len().is_multiple_of(4) && !text.contains(['-', '_']);
    if is_standard {
        return text;
    }
    let mut letters = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    let missing = (4 - letters.len() % 4) % 4;
    letters.extend(std::iter::repeat_n('=', missing));
    Cow::Owned(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648 section 10.
    const VECTORS: [(&str, &str); 7] = [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ];

    #[test]
    fn the_rfcs_vectors_both_ways() {
        for (plain, coded) in VECTORS {
            let mut out = Vec::new();
            encode(&mut out, plain.as_bytes());
            assert_eq!(out, coded.as_bytes());
            assert_eq!(decode(coded).unwrap(), plain.as_bytes());
            assert_eq!(decode(coded.trim_end_matches('=')).unwrap(), plain.as_bytes());
        }
        let all: Vec<u8> = (0..=255).collect();
        let mut out = Vec::new();
        encode(&mut out, &all);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(decode(&text).unwrap(), all);
        assert_eq!(decode(&text.replace('+', "-").replace('/', "_")).unwrap(), all);
        for bad in ["A", "A===", "Zm9vY", "Z g=", "é", "Zg=a"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_other_alphabet_becomes_the_standard_one() {
        for (text, expected) in
            [("-_8", "+/8="), ("+/8=", "+/8="), ("Zg", "Zg=="), ("-_8=", "+/8="), ("", "")]
        {
            assert_eq!(standard(Cow::Borrowed(text)), expected, "{text}");
        }
    }
}

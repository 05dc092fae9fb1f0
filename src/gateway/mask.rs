//! Keys' values kept out of what is passed on and what is logged. It knows no key; the caller names the secret.

use memchr::memchr2_iter;

use crate::config::snapshot::{Key, Provider};

/// From how many bytes a secret's beginning is masked at the very end of what is looked through, which may have been cut
/// there; fewer are in any text.
const BEGINNING_BYTES_MIN: usize = 8;

/// Overwrites what a provider was told in secret: the key's value, and what is secret of `extra_headers`.
pub(super) fn mask_all(bytes: &mut [u8], provider: Option<&Provider>, key: Option<&Key>) {
    let credential = key.and_then(|key| key.credential.as_ref());
    let headers = provider.iter().flat_map(|provider| &provider.header_secrets);
    let secrets = credential.iter().flat_map(|credential| credential.secrets()).chain(headers);
    secrets.for_each(|secret| mask(bytes, secret.expose().as_bytes()));
}

/// Overwrites every occurrence of `secret` with asterisks, also as JSON may spell it (RFC 8259 §7: behind a backslash, or as
/// `\u` and four digits), inside of a text inside of a text, too.
fn mask(bytes: &mut [u8], secret: &[u8]) {
    let Some(&first) = secret.first() else { return };
    let mut masked_to = 0;
    let starts: Vec<usize> = memchr2_iter(first, b'\\', bytes).collect();
    for start in starts {
        let found = bytes.get(start..).filter(|_| start >= masked_to).and_then(|rest| spelled(rest, secret));
        let Some(length) = found else { continue };
        masked_to = start + length;
        bytes.iter_mut().skip(start).take(length).for_each(|byte| *byte = b'*');
    }
}

/// How many bytes at the beginning of `bytes` spell `secret`, or what of it stands before their end.
fn spelled(bytes: &[u8], secret: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    for (count, &byte) in secret.iter().enumerate() {
        match spelled_byte(rest, byte) {
            Some(behind) => rest = behind,
            None if rest.is_empty() && count >= BEGINNING_BYTES_MIN => return Some(bytes.len()),
            None => return None,
        }
    }
    Some(bytes.len() - rest.len())
}

/// What stands behind one byte of a secret, which is ASCII.
fn spelled_byte(bytes: &[u8], byte: u8) -> Option<&[u8]> {
    if let Some(behind) = bytes.strip_prefix(&[byte]) {
        return Some(behind);
    }
    let bare = bytes.iter().position(|one| *one != b'\\').and_then(|at| bytes.get(at..))?;
    if bare.len() == bytes.len() {
        return None;
    }
    let escape = bare.get(..5).and_then(|escape| escape.strip_prefix(b"u"));
    let number = escape.and_then(|digits| std::str::from_utf8(digits).ok());
    match number.and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
        Some(number) if number == u16::from(byte) => bare.get(5..),
        _ => bare.strip_prefix(&[byte]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str, secret: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        mask(&mut bytes, secret.as_bytes());
        assert_eq!(bytes.len(), text.len());
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_secret_is_masked_wherever_it_stands() {
        assert_eq!(masked("key sk-1 is wrong: sk-1", "sk-1"), "key **** is wrong: ****");
        assert_eq!(masked("sk-sk-1sk-1", "sk-1"), "sk-********");
        assert_eq!(masked("key sk-1", ""), "key sk-1");
        assert_eq!(masked(r"key \\\\ \u0 \", r"\"), r"key **** *u0 *");
    }

    #[test]
    fn a_secret_is_masked_however_it_is_spelled() {
        for spelled in
            ["s/k-1", r"s\/k-1", r"s\u002fk-1", r"s\u002Fk\u002d1", r"s\\\/k-1", r"\u0073/\u006b-\u0031"]
        {
            let text = format!(r#"{{"message":"bad key {spelled}"}}"#);
            let expected = text.replace(spelled, &"*".repeat(spelled.len()));
            assert_eq!(masked(&text, "s/k-1"), expected);
        }
        for other in [r"s\/k\n1", r"s\u002", r"s\u002fk", "s/k-", r"s\"] {
            assert_eq!(masked(other, "s/k-1"), other);
        }
    }

    #[test]
    fn a_secret_that_is_cut_off_is_masked_too() {
        assert_eq!(masked("bad key sk-123456", "sk-123456789"), "bad key *********");
        assert_eq!(masked(r"bad key sk-12\/45", "sk-12/456789"), "bad key *********");
        assert_eq!(masked("bad key sk-1", "sk-123456789"), "bad key sk-1");
        assert_eq!(masked("sk-123456 no", "sk-123456789"), "sk-123456 no");
    }
}

//! Reads an object of counts, such as `usage`, in one pass: numbers under plain keys, one level of objects inside. What
//! is not that simple is left to a real parser.

use memchr::memchr2;

/// A set of counts that is filled member by member.
pub(super) trait Counts: Default {
    /// Takes the count under `key`, inside the object under `outer` (empty: at the top). Unknown keys are passed over.
    fn set(&mut self, outer: &[u8], key: &[u8], count: u64);
}

/// The counts of the object that begins `bytes`, and what follows it. `None`: something in it is neither a whole
/// number, `null`, a boolean, a string without escapes nor a first inner object of these.
pub(super) fn read<T: Counts>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let mut counts = T::default();
    let rest = object(bytes, b"", &mut |outer, key, count| counts.set(outer, key, count))?;
    Some((counts, rest))
}

type Visit<'v> = &'v mut dyn FnMut(&[u8], &[u8], u64);

fn object<'a>(bytes: &'a [u8], outer: &[u8], visit: Visit<'_>) -> Option<&'a [u8]> {
    let mut rest = bytes.strip_prefix(b"{")?.trim_ascii_start();
    if let Some(rest) = rest.strip_prefix(b"}") {
        return Some(rest);
    }
    loop {
        let (key, behind) = string(rest)?;
        let value = behind.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let behind = match value.first()? {
            b'0'..=b'9' => {
                let (count, behind) = number(value)?;
                visit(outer, key, count);
                behind
            }
            b'{' if outer.is_empty() => object(value, key, visit)?,
            b'"' => string(value)?.1,
            _ => word(value)?,
        };
        let behind = behind.trim_ascii_start();
        match behind.split_first()? {
            (b'}', rest) => return Some(rest),
            (b',', next) => rest = next.trim_ascii_start(),
            _ => return None,
        }
    }
}

fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = bytes.strip_prefix(b"\"")?;
    let (content, behind) = inside.split_at_checked(memchr2(b'"', b'\\', inside)?)?;
    Some((content, behind.strip_prefix(b"\"")?))
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut count = 0_u64;
    let mut rest = bytes;
    while let Some((digit @ b'0'..=b'9', behind)) = rest.split_first() {
        count = count.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        rest = behind;
    }
    (!matches!(rest.first(), Some(b'.' | b'e' | b'E'))).then_some((count, rest))
}

fn word(bytes: &[u8]) -> Option<&[u8]> {
    [b"null".as_slice(), b"true", b"false"].iter().find_map(|word| bytes.strip_prefix(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default, Debug, PartialEq)]
    struct Seen(Vec<(String, String, u64)>);

    impl Counts for Seen {
        fn set(&mut self, outer: &[u8], key: &[u8], count: u64) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            self.0.push((text(outer), text(key), count));
        }
    }

    fn check(text: &str, seen: &[(&str, &str, u64)], rest: &str) {
        let seen = seen.iter().map(|(outer, key, count)| (outer.to_string(), key.to_string(), *count));
        assert_eq!(read::<Seen>(text.as_bytes()), Some((Seen(seen.collect()), rest.as_bytes())), "{text}");
    }

    #[test]
    fn plain_counts_are_read() {
        check(
            r#"{"a":1, "b" : {"c":22,"d":null},"e":"x","f":true} ,"#,
            &[("", "a", 1), ("b", "c", 22)],
            " ,",
        );
        check("{}rest", &[], "rest");
    }

    #[test]
    fn what_is_not_plain_is_left() {
        for text in [
            "",
            "{",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1.5}"#,
            r#"{"a":-1}"#,
            r#"{"a":[1]}"#,
            r#"{"a":{"b":{"c":1}}}"#,
            r#"{"a\n":1}"#,
            r#"{"a":1"#,
            r#"{"a":99999999999999999999}"#,
            r#"{"a":1,}"#,
            r#"{"a":1e3}"#,
        ] {
            assert_eq!(read::<Seen>(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn every_cut_is_left() {
        let text = r#"{"a":1,"b":{"c":22},"e":"x"}"#;
        for end in 0..text.len() {
            assert!(read::<Seen>(&text.as_bytes()[..end]).is_none(), "{end}");
        }
    }
}

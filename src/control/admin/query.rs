//! Percent-encoding (RFC 3986 §2.1) of the little that the admin API needs: a URL's query, and a name in its path.

/// A query's pairs, decoded; `+` is a space, as forms write it. What is no UTF-8 is replaced.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match (first, hex(behind)) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(bytes: &[u8]) -> Option<u8> {
    let digits = bytes.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// A name as one segment of a path: all but unreserved characters are encoded.
pub fn segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded() {
        let found: Vec<(String, String)> = pairs("query=gpt%2D4+o&&limit=5&x&bad=%zz%4").collect();
        let expected = [("query", "gpt-4 o"), ("limit", "5"), ("x", ""), ("bad", "%zz%4")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_segment_comes_back() {
        for name in ["plain", "a/b c%é+?#", ".."] {
            let query = format!("n={}", segment(name));
            assert_eq!(pairs(&query).next().map(|(_, value)| value).as_deref(), Some(name));
        }
        assert_eq!(segment("a/ü"), "a%2F%C3%BC");
    }
}

//! A body of `application/x-www-form-urlencoded` (<https://url.spec.whatwg.org/#urlencoded-serializing>), as token endpoints
//! take it. It decodes none.

/// The value of `content-type`.
pub const CONTENT_TYPE: &[u8] = b"application/x-www-form-urlencoded";

/// The pairs in their order. A space is `%20`, which every reader of forms takes, and AWS's signature of a body, too.
pub fn encode(pairs: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        escape(&mut out, name);
        out.push('=');
        escape(&mut out, value);
    }
    out
}

fn escape(out: &mut String, text: &str) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |at: u8| DIGITS.get(usize::from(at)).copied().unwrap_or_default();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.extend(['%', digit(byte >> 4), digit(byte & 15)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_is_escaped() {
        let pairs = [("scope", "https://a/.default b"), ("client_secret", "a+b&c=d~ü"), ("empty", "")];
        let expected = "scope=https%3A%2F%2Fa%2F.default%20b&client_secret=a%2Bb%26c%3Dd~%C3%BC&empty=";
        assert_eq!(encode(&pairs), expected);
        assert_eq!(encode(&[]), "");
    }
}

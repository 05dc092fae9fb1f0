//! How Vertex wraps Anthropic's messages
//! (<https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai>): the model stands in the path, and the version,
//! a header elsewhere, in the body. All else, answers and events too, is Anthropic's own.

use std::ops::Range;

/// The member that says the version.
pub const KEY: &str = "anthropic_version";
/// It, as a body has it.
pub const MEMBER: &str = r#""anthropic_version":"vertex-2023-10-16""#;
/// How a body begins that we made.
const MODEL: &[u8] = b"\"model\":\"";

/// Where in `body` the whole member stands whose value is `value`, and whose key, spelled with escapes perhaps, has no quote
/// in it. `None`: there is none.
pub fn member(body: &[u8], value: &Range<usize>) -> Option<Range<usize>> {
    let colon = body.get(..value.start)?.trim_ascii_end().strip_suffix(b":")?;
    let name = colon.trim_ascii_end().strip_suffix(b"\"")?;
    let start = memchr::memrchr(b'"', name)?;
    Some(start..value.end)
}

/// A body that we made for Anthropic's own API, whose first member is its model, for Vertex.
pub fn wrapped(mut body: Vec<u8>) -> Vec<u8> {
    let rest = body.strip_prefix(b"{").and_then(|rest| rest.strip_prefix(MODEL)).unwrap_or_default();
    let mut is_escaped = false;
    let end = rest.iter().position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    });
    if let Some(end) = end {
        body.splice(1..1 + MODEL.len() + end + 1, MEMBER.bytes());
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_makes_way_for_the_version() {
        for model in ["m", "a\\\"b", "a\\\\", ""] {
            let body = format!(r#"{{"model":"{model}","max_tokens":1,"messages":[]}}"#);
            let expected = format!(r#"{{{MEMBER},"max_tokens":1,"messages":[]}}"#);
            assert_eq!(wrapped(body.into_bytes()), expected.into_bytes());
        }
    }

    #[test]
    fn a_member_is_found_by_its_value() {
        for (body, expected) in [
            (r#"{"a":1,"model":"m"}"#, r#""model":"m""#),
            ("{\"a\":1, \"mod\\u0065l\" :\n \"m\"}", "\"mod\\u0065l\" :\n \"m\""),
        ] {
            let start = body.find("\"m\"").unwrap();
            let found = member(body.as_bytes(), &(start..start + 3));
            assert_eq!(found.map(|span| &body[span]), Some(expected));
        }
        assert_eq!(member(b"\"m\"", &(0..3)), None);
        assert_eq!(member(b":\"m\"", &(1..4)), None);
    }
}

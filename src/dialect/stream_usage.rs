//! The usage of OpenAI's streams where we ask for it and the caller did not
//! (<https://platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options>): which bytes of a request change
//! so that it asks, and which of a chunk are there only because it did. It changes nothing itself; what the usage says is
//! `observe`'s.

use std::ops::Range;

use memchr::memmem::Finder;

use super::look::{Look, Members};

/// The member that asks, as it follows another one.
pub const ASKING_MEMBER: &[u8] = br#","stream_options":{"include_usage":true}"#;

const OPTIONS: [&str; 1] = ["include_usage"];
const CHUNK: [&str; 3] = ["usage", "choices", "error"];
const USAGE: usize = 0;
const CHOICES: usize = 1;
const ERROR: usize = 2;

/// How OpenAI's chunks end, all but the last: the brace can only be the chunk's own.
const NULL_END: &[u8] = br#","usage":null}"#;

/// What to put where in the value of `stream_options`, so that it asks for usage. `None`: it asks already, or nobody can say
/// what it means: no object, the member twice, or neither true, false nor null.
pub fn ask_in(stream_options: &[u8]) -> Option<(Range<usize>, &'static [u8])> {
    if stream_options == b"null" {
        return Some((0..stream_options.len(), br#"{"include_usage":true}"#));
    }
    let members = look(stream_options, &OPTIONS)?;
    let Some(span) = members.value(0) else {
        let has_others = members.count() > 0;
        return Some((
            1..1,
            if has_others { br#""include_usage":true,"# } else { br#""include_usage":true"# },
        ));
    };
    match stream_options.get(span.clone()) {
        Some(b"false" | b"null") => Some((span, b"true")),
        _ => None,
    }
}

/// What of a chunk comes only of the asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unasked {
    /// Nothing.
    Nothing,
    /// A member, with the one comma that goes with it; the rest is still an object.
    Member(Range<usize>),
    /// All of it: it has usage, and no choice.
    Chunk,
}

/// Finds in chunks what the asking brought.
pub struct UsageFinder(Finder<'static>);

impl UsageFinder {
    /// For one stream.
    pub fn new() -> Self {
        Self(Finder::new(b"\"usage\""))
    }

    /// Looks at one event's data. What is no JSON object, or has a member twice that counts, stays as it is; so does a key
    /// that is spelled with escapes.
    pub fn find(&self, data: &[u8]) -> Unasked {
        if data.ends_with(NULL_END) && data.starts_with(b"{") {
            return Unasked::Member(data.len() - NULL_END.len()..data.len() - 1);
        }
        match self.0.find(data) {
            Some(_) => look(data, &CHUNK).map_or(Unasked::Nothing, |members| judge(data, &members)),
            None => Unasked::Nothing,
        }
    }
}

impl Default for UsageFinder {
    fn default() -> Self {
        Self::new()
    }
}

fn look<const N: usize>(object: &[u8], keys: &'static [&'static str; N]) -> Option<Members<N>> {
    let mut look = Look::new(keys);
    look.push(object).ok()?;
    look.finish().ok()
}

fn judge(data: &[u8], members: &Members<{ CHUNK.len() }>) -> Unasked {
    let value = |index| members.value(index).and_then(|span| data.get(span));
    let is_empty = |list: &[u8]| {
        let items = list.strip_prefix(b"[").and_then(|list| list.strip_suffix(b"]"));
        items.is_some_and(|items| items.trim_ascii().is_empty())
    };
    match value(USAGE) {
        Some([b'{', ..]) if value(CHOICES).is_some_and(is_empty) && value(ERROR).is_none() => Unasked::Chunk,
        // Beside a choice it is said to everybody.
        Some(b"null") => members.cuts(&[USAGE]).pop().map_or(Unasked::Nothing, Unasked::Member),
        _ => Unasked::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(options: &str) -> Option<String> {
        let (span, bytes) = ask_in(options.as_bytes())?;
        let mut text = options.to_owned();
        text.replace_range(span, std::str::from_utf8(bytes).unwrap());
        Some(text)
    }

    #[test]
    fn options_come_to_ask_and_keep_what_else_they_say() {
        for (options, expected) in [
            ("null", r#"{"include_usage":true}"#),
            ("{}", r#"{"include_usage":true}"#),
            ("{ \n}", "{\"include_usage\":true \n}"),
            (r#"{"include_usage":false}"#, r#"{"include_usage":true}"#),
            (r#"{"include_usage" : null }"#, r#"{"include_usage" : true }"#),
            (r#"{"include\u005fusage":false}"#, r#"{"include\u005fusage":true}"#),
            (r#"{ "x":{"include_usage":false}}"#, r#"{"include_usage":true, "x":{"include_usage":false}}"#),
            (
                r#"{"include_obfuscation":false,"include_usage":null,"y":[]}"#,
                r#"{"include_obfuscation":false,"include_usage":true,"y":[]}"#,
            ),
        ] {
            let text = asked(options).unwrap();
            assert_eq!(text, expected);
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["include_usage"], true);
        }
        for options in [
            "7",
            "\"include_usage\"",
            "true",
            "[]",
            r#"[{"include_usage":false}]"#,
            r#"{"include_usage":true}"#,
            r#"{"include_usage":0}"#,
            r#"{"include_usage":"false"}"#,
            r#"{"include_usage":{}}"#,
            r#"{"include_usage":false,"include_usage":false}"#,
        ] {
            assert_eq!(asked(options), None, "{options}");
        }
    }

    /// What is left of a chunk.
    fn left(chunk: &str) -> Option<String> {
        match UsageFinder::new().find(chunk.as_bytes()) {
            Unasked::Nothing => Some(chunk.to_owned()),
            Unasked::Member(span) => {
                let mut text = chunk.to_owned();
                text.replace_range(span, "");
                Some(text)
            }
            Unasked::Chunk => None,
        }
    }

    #[test]
    fn a_chunk_without_choices_goes_and_of_others_the_member() {
        for chunk in [
            r#"{"id":"c","choices":[],"usage":{"prompt_tokens":1}}"#,
            r#"{"usage" : {"prompt_tokens":1}, "choices": [ ] }"#,
            "{\"choices\":[],\n\"usage\":{}}",
        ] {
            assert_eq!(left(chunk), None, "{chunk}");
        }
        for (chunk, expected) in [
            (r#"{"choices":[{}],"usage":null,"obfuscation":"x"}"#, r#"{"choices":[{}],"obfuscation":"x"}"#),
            // Azure's first chunk has no choice, and is one that a caller who did not ask gets, too.
            (
                r#"{"choices":[],"prompt_filter_results":[],"usage":null}"#,
                r#"{"choices":[],"prompt_filter_results":[]}"#,
            ),
            (r#"{"usage":null}"#, "{}"),
        ] {
            assert_eq!(left(chunk).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_is_not_the_chunks_own_usage_stays() {
        for chunk in [
            r#"{"choices":[{}],"usage":{"prompt_tokens":1}}"#,
            r#"{"usage":{"prompt_tokens":1},"choices":[{}]}"#,
            r#"{"choices":[],"usage":{},"error":{"message":"m"}}"#,
            r#"{"usage":{}}"#,
            "[DONE]",
            "",
            "}",
            r#","usage":null}"#,
            r#"{"choices":[{"usage":null}]}"#,
            r#"{"choices":[{"a":1,"usage":{"prompt_tokens":1}}]}"#,
            r#"{"x_groq":{"id":"r","usage":{"prompt_tokens":1}},"choices":[]}"#,
            r#"{"choices":[{"delta":{"content":",\"usage\":null}"}}]}"#,
            r#"{"choices":[{"delta":{"content":"\"usage\""}}]}"#,
            r#"{"choices":[],"x":"usage"}"#,
            r#"{"usage":7,"choices":[]}"#,
            r#"{"usage":[],"choices":[]}"#,
            r#"{"usage":"null"}"#,
            r#"{"usage":null,"usage":{}}"#,
            r#"{"usage":{"prompt_tokens":1},"choices":[]"#,
            r#"{"usage":null,"choices":[}]}"#,
            r#"["a","usage",null]"#,
        ] {
            assert_eq!(left(chunk).as_deref(), Some(chunk));
        }
    }

    /// A chunk as it would have been comes back, wherever its usage was put.
    #[test]
    fn what_was_put_in_is_what_is_taken_out() {
        let chunks = [
            vec![r#""id":"c""#, r#""choices":[{"index":0,"delta":{"content":"é\\\" ,\"usage\":null}"}}]"#],
            vec![r#""choices":[{"usage":null,"delta":{"usage":{"a":1}}}]"#, r#""model":"m""#, r#""x":"}""#],
            vec![r#""choices" : [ ]"#, r#""prompt_filter_results":[{"a":{"usage":null}}]"#],
            vec![r#""choices":[{"delta":{},"finish_reason":"stop"}]"#, r#""usage_breakdown":null"#],
            vec![r#""choices":[{}]"#],
        ];
        let usages =
            [r#""usage":null"#, "\"usage\" :\n null", r#""usage":{"prompt_tokens":1,"x":{"usage":null}}"#];
        for (members, separator) in
            chunks.iter().flat_map(|members| [",", ", ", " ,\n"].map(|by| (members, by)))
        {
            let original = format!("{{ {} }}", members.join(separator));
            for usage in usages {
                for place in 0..=members.len() {
                    let mut with: Vec<String> = members.iter().map(|member| (*member).to_owned()).collect();
                    match place {
                        0 => with[0].insert_str(0, &format!("{usage},")),
                        _ => with[place - 1].push_str(&format!(",{usage}")),
                    }
                    let chunk = format!("{{ {} }}", with.join(separator));
                    let expected = match (usage.ends_with("null"), members[0].ends_with("[ ]")) {
                        (true, _) => Some(&original),
                        (false, true) => None,
                        (false, false) => Some(&chunk),
                    };
                    assert_eq!(left(&chunk).as_ref(), expected, "{chunk}");
                }
            }
            // As OpenAI writes it.
            let original = format!("{{{}}}", members.join(separator));
            let chunk = original.strip_suffix('}').unwrap().to_owned() + r#","usage":null}"#;
            assert_eq!(left(&chunk), Some(original));
        }
    }
}

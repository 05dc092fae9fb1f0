//! The ids of files that a conversation names: the values of `file_id` and `file_ids`, however deep they stand
//! (<https://platform.openai.com/docs/guides/pdf-files>, <https://docs.anthropic.com/en/docs/build-with-claude/files>). They are
//! found by their keys in the bytes of a body that was seen to be JSON; nothing is built. What a mark behind an id stands for is
//! `gateway::tag`'s.

use std::ops::Range;

use memchr::memmem::Finder;

use super::look;
use super::{Dialect, Operation};

/// What both keys begin with. Without the quote, which JSON is full of.
const LETTERS: &[u8] = b"file_id";
/// So many bytes of a piece must be searched again with the next one.
pub const OVERLAP_BYTES: usize = LETTERS.len() - 1;

/// Finds ids of files in bodies.
pub struct Search(Finder<'static>);

impl Default for Search {
    /// Prepared once, for any number of bodies.
    fn default() -> Self {
        Self(Finder::new(LETTERS))
    }
}

impl Search {
    /// Whether `piece` of a body may name a file.
    pub fn is_found(&self, piece: &[u8]) -> bool {
        self.0.find(piece).is_some()
    }

    /// Shows where each id stands in `body`, with its quotes, in order, as long as `show` says so; only those whose key stands in
    /// `window`.
    pub fn each(&self, body: &[u8], window: Range<usize>, mut show: impl FnMut(Range<usize>) -> bool) {
        let mut goes_on = true;
        for at in self.0.find_iter(body.get(window.clone()).unwrap_or_default()) {
            let at = window.start + at;
            let behind = at + LETTERS.len();
            let rest = body.get(behind..).unwrap_or_default();
            match (is_key(body, at), rest) {
                (true, [b'"', ..]) => values(body, behind + 1, false, |span| goes_on = goes_on && show(span)),
                (true, [b's', b'"', ..]) => {
                    values(body, behind + 2, true, |span| goes_on = goes_on && show(span))
                }
                _ => {}
            }
            if !goes_on {
                return;
            }
        }
    }
}

/// Whether files may be named in the body of such a request.
pub fn is_possible(dialect: Dialect, operation: Operation) -> bool {
    use Operation::{Chat, ChatStream, CountTokens, Responses, ResponsesStream};
    matches!(dialect, Dialect::OpenAi | Dialect::Responses | Dialect::Anthropic)
        && matches!(operation, Chat | ChatStream | CountTokens | Responses | ResponsesStream)
}

/// Whether a string begins here: a quote stands before, and is none of a text's.
fn is_key(body: &[u8], at: usize) -> bool {
    matches!(body.get(..at), Some([.., before, b'"']) if *before != b'\\')
}

/// Shows the string behind the colon at `from`, or, of a list, each of its strings until something else comes.
fn values(body: &[u8], from: usize, is_list: bool, mut show: impl FnMut(Range<usize>)) {
    let Some(mut at) = behind(body, from, b':') else { return };
    if is_list {
        let Some(first) = behind(body, at, b'[') else { return };
        at = first;
    }
    while let Some(start) = behind(body, at, b'"') {
        let Some(end) = look::string_end(body, start) else { return };
        show(start - 1..end);
        match behind(body, end, b',') {
            Some(next) if is_list => at = next,
            _ => return,
        }
    }
}

/// Behind `byte`, when that comes next but for blanks.
fn behind(body: &[u8], from: usize, byte: u8) -> Option<usize> {
    let rest = body.get(from..)?;
    let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    (rest.get(blanks) == Some(&byte)).then_some(from + blanks + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(body: &str) -> Vec<&str> {
        let mut found = Vec::new();
        Search::default().each(body.as_bytes(), 0..body.len(), |span| {
            found.push(&body[span]);
            true
        });
        found
    }

    #[test]
    fn ids_are_found_wherever_they_stand() {
        for (body, expected) in [
            (
                r#"{"messages":[{"content":[{"type":"file","file":{"file_id":"file-1~x"}}]}]}"#,
                vec!["\"file-1~x\""],
            ),
            (r#"{"a":{"file_id" : "b\"c"},"file_id":"d"}"#, vec![r#""b\"c""#, "\"d\""]),
            (
                "{\"tools\":[{\"container\":{\"file_ids\":\n[ \"a\" , \"b\"]}}],\"file_ids\":[]}",
                vec!["\"a\"", "\"b\""],
            ),
            (r#"{"file_ids":["a",{"file_id":"b"},"c"]}"#, vec!["\"a\"", "\"b\""]),
        ] {
            assert_eq!(found(body), expected, "{body}");
        }
    }

    #[test]
    fn what_is_no_such_key_is_left() {
        for body in [
            r#"{"content":"file_id","x":"\"file_id\": \"a\""}"#,
            r#"{"my_file_id":"a","file_idx":"b","file_id":1}"#,
            r#"{"x":"\"file_id","file_ids":"a","file_id":["b"]}"#,
            r#"{"x":["file_id","a"]}"#,
            r#"{"file_id"#,
            r#"{"file_id":"#,
            r#"{"file_id":"a"#,
        ] {
            assert_eq!(found(body), Vec::<&str>::new(), "{body}");
        }
    }

    #[test]
    fn the_search_ends_when_it_is_told() {
        let mut count = 0;
        let body = br#"{"file_ids":["a","b"],"file_id":"c"}"#;
        Search::default().each(body, 0..body.len(), |_| {
            count += 1;
            false
        });
        assert_eq!(count, 1);
    }

    #[test]
    fn windows_that_overlap_show_each_id_once() {
        let body = br#"{"file_id":"a","x":{"file_ids":["b","c"]},"file_id":"d"}"#;
        for length in LETTERS.len()..=body.len() {
            let (mut found, mut from) = (Vec::new(), 0);
            while from < body.len() {
                Search::default().each(body, from..(from + length).min(body.len()), |span| {
                    found.push(body[span][1]);
                    true
                });
                from += length - OVERLAP_BYTES;
            }
            assert_eq!(found, b"abcd", "{length}");
        }
    }
}

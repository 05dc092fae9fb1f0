//! The ids of batches and files (<https://platform.openai.com/docs/api-reference/batch/object>,
//! <https://platform.openai.com/docs/api-reference/files/object>, <https://docs.anthropic.com/en/api/retrieving-message-batches>)
//! in the bytes of an answer that was found to be JSON, and what they become: each is marked as those of responses are
//! (`response_id`), and Anthropic's `results_url`, which leads past us, becomes a path of ours that its SDKs put behind their own
//! base URL. The other bytes stay.

use std::ops::Range;

use memchr::memmem;

use super::look;
use super::response_id::Tag;

/// How much of an answer is looked through, bytes.
const LOOKED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Of the answer, or of one that a list holds.
const IDS: [&[u8]; 4] = [b"id", b"input_file_id", b"output_file_id", b"error_file_id"];
/// Of a list: where it begins and ends.
const ENDS: [&[u8]; 2] = [b"first_id", b"last_id"];
const RESULTS_URL: &[u8] = b"results_url";
const BATCHES: &[u8] = b"/messages/batches/";
const RESULTS: &[u8] = b"/results";

/// Which bytes of `body` become which, in its order; those of a longer body stay as they came.
pub fn changes(body: &[u8], tag: &Tag) -> Vec<(Range<usize>, Vec<u8>)> {
    let body = body.get(..LOOKED_BYTES_MAX).unwrap_or(body);
    let mut changes = Vec::new();
    texts(body, |depth, key, span| {
        let is_id = matches!(depth, 1 | 3) && IDS.contains(&key) || depth == 1 && ENDS.contains(&key);
        if is_id && !span.is_empty() {
            changes.push((span.end..span.end, tag.bytes().to_vec()));
        } else if matches!(depth, 1 | 3) && key == RESULTS_URL {
            let path = results_path(body.get(span.clone()).unwrap_or_default(), tag);
            changes.extend(path.map(|path| (span, path)));
        }
    });
    changes
}

/// `None`: it is no URL of results.
fn results_path(url: &[u8], tag: &Tag) -> Option<Vec<u8>> {
    let at = memmem::find(url, BATCHES)? + BATCHES.len();
    let id = url.get(at..)?.strip_suffix(RESULTS)?;
    Some([b"/v1", BATCHES, id, tag.bytes(), RESULTS].concat())
}

/// Shows each text that is a member of an object: how deep it stands, its key, its place without quotes.
fn texts(body: &[u8], mut show: impl FnMut(usize, &[u8], Range<usize>)) {
    let (mut at, mut depth, mut key) = (0, 0_usize, None);
    while let Some(byte) = body.get(at) {
        match byte {
            b'{' | b'[' => (depth, key) = (depth + 1, None),
            b'}' | b']' => (depth, key) = (depth.saturating_sub(1), None),
            b',' => key = None,
            b'"' => {
                let Some(behind) = look::string_end(body, at + 1) else { return };
                let end = behind - 1;
                let behind = body.get(behind..).unwrap_or_default();
                let blank = behind.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                match (behind.get(blank), key.take()) {
                    (Some(b':'), _) => key = body.get(at + 1..end),
                    (_, Some(key)) => show(depth, key, at + 1..end),
                    _ => {}
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(text: &str) -> String {
        let mut body = text.as_bytes().to_vec();
        for (span, bytes) in changes(&body, &Tag::new(7)).into_iter().rev() {
            body.splice(span, bytes);
        }
        String::from_utf8(body).unwrap().replace("~0000000000007", "~M")
    }

    #[test]
    fn ids_are_marked_where_they_stand_and_nowhere_else() {
        for (body, expected) in [
            (
                r#"{"id":"batch_1","input_file_id" : "file-a","output_file_id":null,"metadata":{"id":"x"},"errors":{"data":[{"id":"y"}]}}"#,
                r#"{"id":"batch_1~M","input_file_id" : "file-a~M","output_file_id":null,"metadata":{"id":"x"},"errors":{"data":[{"id":"y"}]}}"#,
            ),
            (
                r#"{"object":"list","data":[{"id":"a","filename":"\"id\":\"b"},{"id":"c","x":["id","d"]}],"first_id":"a","last_id":"c"}"#,
                r#"{"object":"list","data":[{"id":"a~M","filename":"\"id\":\"b"},{"id":"c~M","x":["id","d"]}],"first_id":"a~M","last_id":"c~M"}"#,
            ),
            (
                r#"{"id":"msgbatch_1","results_url":"https://api.anthropic.com/v1/messages/batches/msgbatch_1/results"}"#,
                r#"{"id":"msgbatch_1~M","results_url":"/v1/messages/batches/msgbatch_1~M/results"}"#,
            ),
            (
                r#"{"id":"","results_url":"https://else.where"}"#,
                r#"{"id":"","results_url":"https://else.where"}"#,
            ),
            (r#"{"id":"cut"#, r#"{"id":"cut"#),
        ] {
            assert_eq!(marked(body), expected);
        }
    }
}

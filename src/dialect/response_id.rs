//! Ids of stored responses (<https://platform.openai.com/docs/api-reference/responses/object>) in the bytes of an answer or an
//! event, and the mark that says whose they are. A provider knows its own ids alone, and each of its keys may be another
//! account's; so an id that leaves is marked, and one that comes back is led to where it is known. Nothing else of the bytes
//! changes, and nothing is changed here: these are places. What a mark stands for is `gateway::tag`'s.
//!
//! The ids of tool calls need none of this: a call and its result stand in one conversation, which its caller sends whole or
//! names by a response's id. The ids of items stay as they are, too; they are asked for behind a response's id.

use memchr::memmem;

use super::look::{Look, Members};

/// What stands between a provider's id and the mark: OpenAI's own ids have letters, digits, `_` and `-`, and it stays itself
/// in a URL's path (RFC 3986 §2.3).
const SEPARATOR: u8 = b'~';
/// Of 64 bits, 5 in each.
const DIGITS_COUNT: usize = 13;
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
/// How much of an answer is looked through, bytes: a core does that in about 1 ms. An id stands at its start; what is echoed
/// behind a longer output stays as it came.
const LOOKED_BYTES_MAX: usize = 4 * 1024 * 1024;
const IDS: [&str; 2] = ["id", "previous_response_id"];
const EVENT: [&str; 1] = ["response"];
const RESPONSE_KEY: &[u8] = b"\"response\"";

/// A mark, as it stands behind an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag([u8; 1 + DIGITS_COUNT]);

impl Tag {
    /// Of what it stands for.
    pub fn new(number: u64) -> Self {
        let mut text = [SEPARATOR; 1 + DIGITS_COUNT];
        for (place, digit) in text.iter_mut().skip(1).enumerate() {
            let bits = number >> (5 * (DIGITS_COUNT - 1 - place)) & 31;
            *digit = DIGITS.get(bits as usize).copied().unwrap_or_default();
        }
        Self(text)
    }

    /// As it is written.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The id before a mark, and what the mark stands for. `None`: it bears none.
    pub fn split(id: &str) -> Option<(&str, u64)> {
        let (bare, text) = id.rsplit_once(char::from(SEPARATOR))?;
        if text.len() != DIGITS_COUNT || bare.is_empty() {
            return None;
        }
        let number = text.bytes().try_fold(0_u64, |number, byte| {
            let bits = DIGITS.iter().position(|digit| *digit == byte)?;
            number.checked_mul(32)?.checked_add(bits as u64)
        })?;
        Some((bare, number))
    }
}

/// Where marks go into an answer: behind its own id and the one that it echoes, in the body's order. `body` may be the
/// beginning of a longer one: what stands there whole is found. What is no JSON object, or has one of them twice, has none.
pub fn in_answer(body: &[u8]) -> Places {
    ids(body, 0)
}

/// The same of a stream's event, by its data: in the `response` that it tells of.
pub fn in_event(data: &[u8]) -> Places {
    if memmem::find(data, RESPONSE_KEY).is_none() {
        return Places::default();
    }
    let response = look(data, &EVENT).and_then(|members| members.value(0));
    let Some(span) = response else { return Places::default() };
    ids(data.get(span.clone()).unwrap_or_default(), span.start)
}

/// At most two places, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places([Option<usize>; IDS.len()]);

impl Places {
    /// Offsets of the ids' closing quotes.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().flatten().copied()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0 == [None; IDS.len()]
    }

    /// How much longer the bytes become.
    pub fn added_bytes(&self) -> usize {
        self.iter().count() * (1 + DIGITS_COUNT)
    }

    /// `bytes` with the mark in each place, appended to `out`.
    pub fn write(&self, out: &mut Vec<u8>, bytes: &[u8], tag: &Tag) {
        out.reserve(bytes.len() + self.added_bytes());
        let mut from = 0;
        for place in self.iter() {
            out.extend_from_slice(bytes.get(from..place).unwrap_or_default());
            out.extend_from_slice(tag.bytes());
            from = place;
        }
        out.extend_from_slice(bytes.get(from..).unwrap_or_default());
    }
}

fn ids(object: &[u8], offset: usize) -> Places {
    let Some(members) = look(object, &IDS) else { return Places::default() };
    let closing = |index| {
        let span = members.value(index)?;
        // A text that is empty is no id.
        let text = object.get(span.clone())?;
        (text.len() > 2 && text.first() == Some(&b'"')).then_some(offset + span.end - 1)
    };
    let mut places = [closing(0), closing(1)];
    places.sort_unstable();
    Places(places)
}

fn look<const N: usize>(object: &[u8], keys: &'static [&'static str; N]) -> Option<Members<N>> {
    let mut look = Look::new(keys);
    look.push(object.get(..LOOKED_BYTES_MAX).unwrap_or(object)).ok()?;
    Some(look.so_far())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: u64 = 0x0123_4567_89ab_cdef;

    fn marked(body: &str, places: Places) -> String {
        let mut out = Vec::new();
        places.write(&mut out, body.as_bytes(), &Tag::new(TAG));
        assert_eq!(out.len(), body.len() + places.added_bytes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_mark_is_read_back_and_what_is_none_is_left() {
        for number in [0, 1, TAG, u64::MAX] {
            let id = format!("resp_1{}", std::str::from_utf8(Tag::new(number).bytes()).unwrap());
            assert_eq!(Tag::split(&id), Some(("resp_1", number)), "{id}");
            // A provider that is itself a gateway of this kind has marked it before.
            let twice = format!("{id}{}", std::str::from_utf8(Tag::new(7).bytes()).unwrap());
            assert_eq!(Tag::split(&twice), Some((id.as_str(), 7)));
        }
        assert_eq!(Tag::new(TAG).bytes(), b"~028q5cu4qnjff");
        for id in [
            "",
            "resp_1",
            "resp_1~",
            "~028q5cu4qnjff",
            "resp_1~028q5cu4qnjf",
            "resp_1~028q5cu4qnjffa",
            "resp_1~028q5cu4qnjfw",
            "resp_1~028Q5CU4QNJFF",
            "resp_1~vvvvvvvvvvvvv",
        ] {
            assert_eq!(Tag::split(id), None, "{id}");
        }
    }

    #[test]
    fn the_ids_of_an_answer_are_marked_and_nothing_else() {
        let mark = "~028q5cu4qnjff";
        for (body, expected) in [
            (
                r#"{"id":"r1","object":"response","output":[{"id":"msg_1"}],"previous_response_id":"r0","x":{"id":"y"}}"#,
                format!(
                    r#"{{"id":"r1{mark}","object":"response","output":[{{"id":"msg_1"}}],"previous_response_id":"r0{mark}","x":{{"id":"y"}}}}"#
                ),
            ),
            (
                "{ \"previous_response_id\" : \"a\\u0062\" ,\n \"id\": \"r\" }",
                format!("{{ \"previous_response_id\" : \"a\\u0062{mark}\" ,\n \"id\": \"r{mark}\" }}"),
            ),
            (
                r#"{"id":"r","previous_response_id":null}"#,
                format!(r#"{{"id":"r{mark}","previous_response_id":null}}"#),
            ),
        ] {
            assert_eq!(marked(body, in_answer(body.as_bytes())), expected);
        }
        for body in [
            "",
            "[]",
            "{}",
            r#"{"id":""}"#,
            r#"{"id":7}"#,
            r#"{"id":null,"data":[{"id":"a"}]}"#,
            r#"{"id":"a","id":"b"}"#,
            r#"{"id":"a"#,
            r#"{"object":"list","data":[{"id":"a"}],"first_id":"a"}"#,
        ] {
            assert!(in_answer(body.as_bytes()).is_empty(), "{body}");
            assert_eq!(marked(body, in_answer(body.as_bytes())), body);
        }
    }

    #[test]
    fn a_beginning_has_the_ids_that_stand_in_it_whole() {
        let body = r#"{"id":"r1","previous_response_id":"r0"}"#.as_bytes();
        for cut in 0..=body.len() {
            let found = in_answer(&body[..cut]).iter().collect::<Vec<_>>();
            let expected: Vec<_> = [9, 37].into_iter().filter(|place| *place < cut).collect();
            assert_eq!(found, expected, "cut at {cut}");
        }
    }

    #[test]
    fn events_that_tell_of_a_response_bear_its_id() {
        let event = r#"{"type":"response.created","response":{"id":"r1","output":[]},"sequence_number":0}"#;
        assert_eq!(
            marked(event, in_event(event.as_bytes())),
            r#"{"type":"response.created","response":{"id":"r1~028q5cu4qnjff","output":[]},"sequence_number":0}"#
        );
        for event in [
            r#"{"type":"response.output_text.delta","item_id":"msg_1","delta":"\"response\":{\"id\":\"a\"}"}"#,
            r#"{"type":"response.output_item.done","item":{"id":"a","response":{"id":"b"}}}"#,
            r#"{"type":"error","response":"x"}"#,
            r#"{"response":{"id":"a"},"response":{"id":"b"}}"#,
        ] {
            assert!(in_event(event.as_bytes()).is_empty(), "{event}");
        }
    }
}

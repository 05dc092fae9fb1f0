//! The ids of stored responses on their way to the caller: each is marked, the other bytes stay as they came. Where an id
//! stands is `dialect::response_id`'s to say, what it is marked with `tag`'s.

use std::borrow::Cow;

use super::relay::Translation;
use super::unasked::before;
use crate::dialect::response_id::{self, Places, Tag};
use crate::dialect::{StreamObserver, account_ids};
use crate::http::offset_in;
use crate::http::sse::{Event, events, write_event};

/// Marks the ids of a whole answer, or of the beginning of a longer one; how many bytes that are.
pub(super) fn mark(body: &mut Vec<u8>, translation: &Translation) -> usize {
    let Some(tag) = &translation.tag else { return 0 };
    if translation.is_of_account {
        return account(body, tag);
    }
    let places = response_id::in_answer(body);
    if places.is_empty() {
        return 0;
    }
    body.reserve_exact(places.added_bytes());
    let places: Vec<usize> = places.iter().collect();
    for place in places.iter().rev() {
        body.splice(place..place, tag.bytes().iter().copied());
    }
    places.len() * tag.bytes().len()
}

/// The same where the answer tells of batches or files.
fn account(body: &mut Vec<u8>, tag: &Tag) -> usize {
    let changes = account_ids::changes(body, tag);
    let before = body.len();
    for (span, bytes) in changes.into_iter().rev() {
        body.splice(span, bytes);
    }
    body.len().saturating_sub(before)
}

/// Takes whole events, shows each to `observer`, and appends what the caller gets; how many events that are.
pub(super) fn take(whole: &[u8], tag: &Tag, observer: &mut StreamObserver, text: &mut Vec<u8>) -> u64 {
    let (mut count, mut rest) = (0, whole);
    for event in events(whole) {
        count += 1;
        observer.observe(event.name, &event.data);
        rest = rest.get(event.raw.len()..).unwrap_or_default();
        pass(&event, tag, text);
    }
    // Comments.
    text.extend_from_slice(rest);
    count
}

fn pass(event: &Event<'_>, tag: &Tag, text: &mut Vec<u8>) {
    let places = response_id::in_event(&event.data);
    match &event.data {
        _ if places.is_empty() => text.extend_from_slice(event.raw),
        Cow::Borrowed(data) => {
            let start = offset_in(event.raw, data);
            let end = start + data.len();
            text.extend_from_slice(event.raw.get(..start).unwrap_or_default());
            places.write(text, data, tag);
            text.extend_from_slice(event.raw.get(end..).unwrap_or_default());
        }
        // Nobody is known to cut an event into lines: it is written anew, its name and data alone.
        Cow::Owned(data) => rewritten(event, data, places, tag, text),
    }
}

fn rewritten(event: &Event<'_>, data: &[u8], places: Places, tag: &Tag, text: &mut Vec<u8>) {
    let mut marked = Vec::new();
    places.write(&mut marked, data, tag);
    text.extend_from_slice(before(event.raw));
    write_event(text, event.name.and_then(|name| std::str::from_utf8(name).ok()), &marked);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;
    use crate::http::sse::Boundary;

    const MARK: &str = "~0000000000007";

    #[test]
    fn a_body_is_marked_in_place() {
        let mut body = br#"{"id":"r1","previous_response_id":"r0","x":1}"#.to_vec();
        let mut translation = Translation::none(Dialect::Responses);
        assert_eq!(mark(&mut body, &translation), 0);
        translation.tag = Some(Tag::new(7));
        assert_eq!(mark(&mut body, &translation), 28);
        let expected = format!(r#"{{"id":"r1{MARK}","previous_response_id":"r0{MARK}","x":1}}"#);
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }

    #[test]
    fn events_are_marked_however_the_stream_is_cut() {
        for line_end in ["\n", "\r\n", "\r"] {
            let created = |mark: &str| {
                format!(
                    ": c\nid: 1\nevent: response.created\ndata: {{\"type\":\"response.created\",\"response\":{{\"id\":\"r1{mark}\",\"previous_response_id\":null}},\"sequence_number\":0}}\nretry: 5\n\n"
                )
            };
            let rest = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"\\\"response\\\":{\\\"id\\\":\\\"x\\\"}\",\"sequence_number\":1}\n\n: bye\n\n";
            let stream = |mark: &str| format!("{}{rest}", created(mark)).replace('\n', line_end);
            let (came, expected) = (stream(""), stream(MARK));
            for cut in 0..=came.len() {
                let (mut boundary, mut pending, mut text, mut count) =
                    (Boundary::new(), Vec::new(), Vec::new(), 0);
                let mut observer = StreamObserver::new(Dialect::Responses);
                for piece in [&came.as_bytes()[..cut], &came.as_bytes()[cut..]] {
                    pending.extend_from_slice(piece);
                    let end = boundary.last_end(&pending);
                    count += take(&pending[..end], &Tag::new(7), &mut observer, &mut text);
                    pending.drain(..end);
                    boundary.consumed(end);
                }
                text.append(&mut pending);
                assert_eq!((String::from_utf8(text).unwrap(), count), (expected.clone(), 2), "cut at {cut}");
                assert!(observer.has_content());
            }
        }
    }

    #[test]
    fn an_event_in_several_lines_stays_one() {
        let mut text = Vec::new();
        let mut observer = StreamObserver::new(Dialect::Responses);
        let came = b"event: response.created\ndata: {\"response\":{\ndata: \"id\":\"r1\"}}\n\n";
        take(came, &Tag::new(7), &mut observer, &mut text);
        let expected =
            format!("event: response.created\ndata: {{\"response\":{{\ndata: \"id\":\"r1{MARK}\"}}}}\n\n");
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}

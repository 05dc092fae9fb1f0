//! What is changed in bytes that else pass as they are: the ids of responses, and the usage that a stream was asked for.
//! The rest is as it was, by serde_json's reading.

use std::collections::BTreeMap;

use corelane::dialect::response_id::{Places, Tag, in_answer, in_event};
use corelane::dialect::stream_usage::{ASKING_MEMBER, Unasked, UsageFinder, ask_in};
use serde_json::Value;
use serde_json::value::RawValue;

use super::cut::Chance;
use super::look::{is_json, passes};

/// An answer or an event's data, a chunk of a stream, the value of `stream_options`.
pub fn passing_places(bytes: &[u8]) {
    marks(bytes, in_answer(bytes), "");
    marks(bytes, in_event(bytes), "/response");
    asked(bytes);
    unasked(bytes);
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some((bare, number)) = Tag::split(text)
    {
        assert_eq!([bare.as_bytes(), Tag::new(number).bytes()].concat(), bytes, "a mark, written again");
    }
}

fn marks(bytes: &[u8], places: Places, object: &str) {
    let number = Chance::of(bytes).below(usize::MAX) as u64;
    let tag = Tag::new(number);
    let mut out = Vec::new();
    places.write(&mut out, bytes, &tag);
    assert_eq!(out.len(), bytes.len() + places.added_bytes());
    assert_eq!(out == bytes, places.is_empty());
    let mut bare = out.clone();
    for place in places.iter().collect::<Vec<_>>() {
        assert_eq!(bytes.get(place), Some(&b'"'), "before a closing quote");
        bare.drain(place..place + tag.bytes().len());
    }
    assert_eq!(bare, bytes, "nothing else");
    let Ok(before) = serde_json::from_slice::<Value>(bytes) else { return };
    let after: Value = serde_json::from_slice(&out).expect("JSON, as it was");
    for key in ["id", "previous_response_id"] {
        let text = |value: &Value| value.pointer(&format!("{object}/{key}"))?.as_str().map(str::to_owned);
        let (Some(before), Some(after)) = (text(&before), text(&after)) else { continue };
        let marked = Some((before.as_str(), number));
        assert!(after == before || Tag::split(&after) == marked, "{before} became {after}");
    }
}

fn asked(bytes: &[u8]) {
    let object: Option<BTreeMap<String, &RawValue>> = serde_json::from_slice(bytes).ok();
    if let Some(before) = object.as_ref().filter(|before| passes(bytes) && !before.is_empty()) {
        let mut out = bytes.trim_ascii_end().to_vec();
        out.pop();
        out.extend_from_slice(ASKING_MEMBER);
        out.push(b'}');
        let after: BTreeMap<String, &RawValue> = serde_json::from_slice(&out).expect("an object");
        assert!(before.keys().all(|key| after.contains_key(key)));
    }
    let is_value = is_json(bytes) && bytes.trim_ascii() == bytes;
    let Some((span, words)) = ask_in(bytes).filter(|_| is_value) else { return };
    let mut out = bytes.to_vec();
    out.splice(span, words.iter().copied());
    // Texts that are not UTF-8 pass; serde_json does not read them.
    let Ok(after) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(&out) else {
        assert!(object.is_none(), "no object: {}", out.escape_ascii());
        return;
    };
    assert_eq!(after.get("include_usage").map(|value| value.get()), Some("true"));
    let mut others = object.unwrap_or_default();
    others.remove("include_usage");
    assert!(others.iter().all(|(key, value)| after.get(key).is_some_and(|now| now.get() == value.get())));
    assert_eq!(after.len(), others.len() + 1);
}

fn unasked(bytes: &[u8]) {
    let span = match UsageFinder::new().find(bytes) {
        Unasked::Nothing => return,
        Unasked::Chunk => {
            assert!(is_json(bytes));
            return;
        }
        Unasked::Member(span) => span,
    };
    let Ok(before) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(bytes) else { return };
    let mut left = bytes.to_vec();
    left.drain(span);
    let after: BTreeMap<String, &RawValue> = serde_json::from_slice(&left).expect("an object, after the cut");
    for (key, value) in before.iter().filter(|(key, _)| *key != "usage") {
        assert_eq!(after.get(key).map(|now| now.get()), Some(value.get()), "{key}");
    }
}

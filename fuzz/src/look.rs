//! The look at a JSON body: the same however it arrives, and what serde_json says of the same bytes: whether they are
//! JSON, where a member's value stands, what is left when members are cut out.

use std::collections::BTreeMap;

use corelane::dialect::look::{DEPTH_MAX, Look, Members, NODES_MAX, string_value, write_string};
use corelane::error::{Error, Kind};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::cut::{Chance, cuttings};

/// Those that the gateway looks for.
const KEYS: [&str; 4] = ["model", "stream", "stream_options", "fallbacks"];

const ALL: [usize; 4] = [0, 1, 2, 3];

/// A JSON body of a caller's.
pub fn look(bytes: &[u8]) {
    let whole = look_at([bytes]);
    for pieces in cuttings(bytes) {
        let lengths: Vec<usize> = pieces.iter().map(|piece| piece.len()).collect();
        assert_eq!(facts(&look_at(pieces)), facts(&whole), "arriving as {lengths:?}");
    }
    match &whole {
        Ok(members) => {
            assert!(is_object(bytes), "passed, and is no JSON");
            check_members(bytes, members);
        }
        Err(error) => check_refusal(bytes, error.kind),
    }
    check_text(bytes);
}

/// Whether a body would pass the gateway.
pub(crate) fn passes(bytes: &[u8]) -> bool {
    look_at([bytes]).is_ok()
}

/// The grammar alone: bytes over 0x7f, surrogates and the size of numbers are not looked at.
pub(crate) fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

fn is_object(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"{") && is_json(bytes)
}

fn look_at<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Members<4>, Error> {
    let mut look = Look::new(&KEYS);
    for piece in pieces {
        look.push(piece)?;
    }
    look.finish()
}

type Facts = Result<(usize, Vec<std::ops::Range<usize>>, Vec<Option<std::ops::Range<usize>>>), Error>;

fn facts(found: &Result<Members<4>, Error>) -> Facts {
    let members = found.as_ref().map_err(Clone::clone)?;
    Ok((members.count(), members.cuts(&ALL), ALL.map(|index| members.value(index)).to_vec()))
}

fn check_refusal(bytes: &[u8], kind: Kind) {
    match kind {
        Kind::InvalidRequest => assert!(!is_object(bytes), "refused, and is JSON"),
        Kind::JsonTooComplex => {
            let opened = bytes.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
            assert!(opened > DEPTH_MAX as usize || bytes.len() > NODES_MAX as usize, "not so complex");
        }
        Kind::DuplicateField => {
            let is_key = |key: &str| memchr::memmem::find(bytes, key.as_bytes()).is_some();
            assert!(KEYS.into_iter().any(is_key) || bytes.contains(&b'\\'), "no key stands there");
        }
        kind => panic!("{kind:?} from a look"),
    }
}

fn check_members(bytes: &[u8], members: &Members<4>) {
    // Keys and strings that are not UTF-8 or hold half a pair are passed on; serde_json does not read them.
    let Ok(expected) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(bytes) else { return };
    for (index, key) in KEYS.into_iter().enumerate() {
        let value = members.value(index).map(|span| bytes.get(span).expect("a span inside"));
        assert_eq!(value, expected.get(key).map(|value| value.get().as_bytes()), "{key}");
    }
    assert!(members.count() >= expected.len());
    let chosen = Chance::of(bytes).below(16);
    let indices: Vec<usize> = ALL.into_iter().filter(|index| chosen >> index & 1 == 1).collect();
    let mut left = bytes.to_vec();
    for cut in members.cuts(&indices).into_iter().rev() {
        left.drain(cut);
    }
    let left: BTreeMap<String, &RawValue> = serde_json::from_slice(&left).expect("an object, after the cuts");
    let is_kept = |key: &str| !indices.iter().any(|index| KEYS.get(*index) == Some(&key));
    let kept = expected.iter().filter(|(key, _)| is_kept(key));
    assert!(
        kept.map(|(key, value)| (key, value.get())).eq(left.iter().map(|(key, value)| (key, value.get())))
    );
}

/// Strings, read and written.
fn check_text(bytes: &[u8]) {
    let read = string_value(bytes);
    let quoted = bytes.starts_with(b"\"") && bytes.ends_with(b"\"");
    let expected = serde_json::from_slice::<String>(bytes).ok().filter(|_| quoted);
    assert_eq!(read.as_deref(), expected.as_deref(), "a string");
    if let Ok(text) = std::str::from_utf8(bytes) {
        let mut out = Vec::new();
        write_string(&mut out, text);
        assert_eq!(string_value(&out).as_deref(), Some(text), "what was written is not read");
        assert_eq!(serde_json::from_slice::<String>(&out).ok().as_deref(), Some(text));
    }
}

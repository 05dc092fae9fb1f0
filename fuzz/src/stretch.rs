//! An input made large where that may show what small ones hide: a text that is repeated for each item of a list. What comes
//! of it is bounded by its length, not by its square.

use corelane::http::sse::{events, write_event};
use serde_json::Value;

use super::cut::Chance;

/// Bytes that one text grows by.
const TEXT_BYTES: usize = 4 * 1024;

/// Items that one list grows to, and events that one event becomes.
const ITEMS: usize = 128;

/// What is longer is not stretched: it would take too much of the fuzzer's time.
const INPUT_BYTES_MAX: usize = 4 * 1024;

/// The same body with one long text and one long list; `None`: it has neither, or is none.
pub(crate) fn body(bytes: &[u8], chance: &mut Chance) -> Option<Vec<u8>> {
    if bytes.len() > INPUT_BYTES_MAX {
        return None;
    }
    let mut value: Value = serde_json::from_slice(bytes).ok()?;
    let (mut texts, mut lists) = (0, 0);
    walk(&mut value, &mut |value| match value {
        Value::String(_) => texts += 1,
        Value::Array(items) if !items.is_empty() => lists += 1,
        _ => {}
    });
    if texts == 0 || lists == 0 {
        return None;
    }
    let (mut text, mut list) = (chance.below(texts), chance.below(lists));
    // The list first, so that a text inside it is long in one item alone.
    walk(&mut value, &mut |value| {
        if let Value::Array(items) = value
            && !items.is_empty()
        {
            if list == 0 {
                *items = items.iter().cycle().take(items.len().max(ITEMS)).cloned().collect();
            }
            list = list.wrapping_sub(1);
        }
    });
    walk(&mut value, &mut |value| {
        if let Value::String(said) = value {
            if text == 0 {
                said.push_str(&"x".repeat(TEXT_BYTES));
            }
            text = text.wrapping_sub(1);
        }
    });
    serde_json::to_vec(&value).ok()
}

/// The same stream with one event's body long, and one event many times.
pub(crate) fn stream(bytes: &[u8], chance: &mut Chance) -> Option<Vec<u8>> {
    let all: Vec<_> = events(bytes).collect();
    if all.is_empty() || bytes.len() > INPUT_BYTES_MAX {
        return None;
    }
    let (long, often) = (chance.below(all.len()), chance.below(all.len()));
    let mut out = Vec::new();
    for (at, event) in all.iter().enumerate() {
        let name = event.name.and_then(|name| std::str::from_utf8(name).ok());
        let stretched = if at == long { body(&event.data, chance) } else { None };
        let data = stretched.as_deref().unwrap_or(&event.data);
        for _ in 0..if at == often && at != long { ITEMS } else { 1 } {
            write_event(&mut out, name, data);
        }
    }
    Some(out)
}

fn walk(value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    visit(value);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, visit)),
        Value::Object(fields) => fields.values_mut().for_each(|field| walk(field, visit)),
        _ => {}
    }
}

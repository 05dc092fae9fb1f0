//! What is foreign in the body of a generateContent request, or of a count, see [`super`]. Google takes the names of its
//! fields in either spelling.

use std::ops::Range;

use super::list::{Object, Walk};
use crate::dialect::Dialect;
use crate::dialect::dropped::named_once;
use crate::dialect::gemini::message::SIGNATURE_SKIPPED;
use crate::dialect::gemini::request::needs_signatures;

/// Of the body.
const KEYS: [&str; 3] = ["contents", "generateContentRequest", "generate_content_request"];
/// Of a part: two by two, but for the last ones.
const PART: [&str; 6] =
    ["thoughtSignature", "thought_signature", "functionCall", "function_call", "text", "thought"];

/// Finds it.
pub(super) fn walk(walk: &mut Walk<'_>, model: &str) -> Option<()> {
    let body = walk.whole(&KEYS)?;
    if let Some(contents) = body.value(0) {
        turns(walk, &contents, model);
    }
    let inner = walk.object(&body.value(1).or(body.value(2))?, &["contents"])?;
    turns(walk, &inner.value(0)?, model);
    Some(())
}

fn turns(walk: &mut Walk<'_>, contents: &Range<usize>, model: &str) {
    walk.cut_items(contents, |walk, turn| {
        let parts = walk.object(turn, &["parts"]).and_then(|turn| turn.value(0));
        parts.is_some_and(|parts| walk.cut_items(&parts, |walk, part| part_goes(walk, part, model)))
    });
}

/// Whether a part holds nothing but a foreign signature; where it holds more, the signature goes alone.
fn part_goes(walk: &mut Walk<'_>, part: &Range<usize>, model: &str) -> bool {
    let Some(part) = walk.object(part, &PART) else { return false };
    let Some(at) = [0, 1].into_iter().find(|at| walk.is_foreign(Dialect::Gemini, part.value(*at))) else {
        return false;
    };
    named_once(&mut walk.dropped, "contents.parts.thoughtSignature");
    if is_empty_without(walk, &part) {
        return true;
    }
    let is_call = part.value(2).or(part.value(3)).is_some();
    match part.value(at).filter(|_| is_call && needs_signatures(model)) {
        Some(signature) => walk.replace(signature, format!("\"{SIGNATURE_SKIPPED}\"").into_bytes()),
        None => walk.cut_members(&part, &[at]),
    }
    false
}

fn is_empty_without(walk: &Walk<'_>, part: &Object<{ PART.len() }>) -> bool {
    let is_there = |at: usize| usize::from(part.value(at).is_some());
    let has_text = part.value(4).is_some_and(|text| walk.bytes(&text) != b"\"\"");
    !has_text && part.count() == [0, 1, 4, 5].into_iter().map(is_there).sum::<usize>()
}

//! What is foreign in the body of a messages request, see [`super`].

use std::ops::Range;

use super::list::Walk;
use crate::dialect::Dialect;
use crate::dialect::anthropic::citation::MADE_UP;
use crate::dialect::anthropic::claude::{Claude, Thinking};
use crate::dialect::dropped::named_once;

/// Of the body.
const KEYS: [&str; 2] = ["messages", "thinking"];
/// Of a block.
const BLOCK: [&str; 5] = ["type", "signature", "data", "citations", "encrypted_index"];

/// The first answer of the round that the conversation is in: thoughts lead it, or did.
#[derive(Default)]
struct Round {
    has_answer: bool,
    is_proven: bool,
    has_lost: bool,
}

/// Finds it.
pub(super) fn walk(walk: &mut Walk<'_>, model: &str) -> Option<()> {
    let body = walk.whole(&KEYS)?;
    let mut round = Round::default();
    walk.cut_items(&body.value(0)?, |walk, message| message_goes(walk, message, &mut round));
    let thinking = body.value(1)?;
    // What it demands of a round, a model that thinks by a budget refuses the request for.
    if round.has_lost
        && !round.is_proven
        && Claude::of(model).thinking() == Thinking::Budget
        && walk.object(&thinking, &["type"]).is_some_and(|thinking| walk.is(thinking.value(0), "enabled"))
    {
        walk.replace(thinking, br#"{"type":"disabled"}"#.to_vec());
        named_once(&mut walk.dropped, "thinking");
    }
    Some(())
}

/// Whether nothing is left of a message: Anthropic refuses one without content, and joins its neighbours.
fn message_goes(walk: &mut Walk<'_>, message: &Range<usize>, round: &mut Round) -> bool {
    let Some(message) = walk.object(message, &["role", "content"]) else { return false };
    let is_answer = walk.is(message.value(0), "assistant");
    let is_first = is_answer && !round.has_answer;
    let mut is_result = true;
    let all_go = message.value(1).is_some_and(|content| {
        is_result &= walk.bytes(&content).first() == Some(&b'[');
        walk.cut_items(&content, |walk, block| {
            let (kind, goes) = block_goes(walk, block);
            is_result &= kind == Kind::Result;
            if is_first && kind == Kind::Thought {
                round.has_lost |= goes;
                round.is_proven |= !goes;
            }
            goes
        })
    });
    round.has_answer |= is_answer;
    if !is_answer && !is_result {
        *round = Round::default();
    }
    all_go
}

#[derive(PartialEq, Eq)]
enum Kind {
    Thought,
    Result,
    Other,
}

/// What a block is, and whether it goes.
fn block_goes(walk: &mut Walk<'_>, block: &Range<usize>) -> (Kind, bool) {
    let Some(block) = walk.object(block, &BLOCK) else { return (Kind::Other, false) };
    let kind = block.value(0).and_then(|kind| walk.text(&kind)).unwrap_or_default();
    let proof = match &*kind {
        "thinking" => block.value(1),
        "redacted_thinking" => block.value(2),
        "tool_result" => return (Kind::Result, false),
        _ => {
            if let Some(citations) = block.value(3) {
                cite(walk, &citations, |walk| walk.cut_members(&block, &[3]));
            }
            return (Kind::Other, false);
        }
    };
    let goes = walk.is_foreign(Dialect::Anthropic, proof);
    if goes {
        named_once(&mut walk.dropped, "messages.content.thinking");
    }
    (Kind::Thought, goes)
}

/// A text without a citation has none, not an empty list of them.
fn cite(walk: &mut Walk<'_>, citations: &Range<usize>, cut_all: impl FnOnce(&mut Walk<'_>)) {
    let mut has_gone = false;
    let all_go = walk.cut_items(citations, |walk, citation| {
        let citation = walk.object(citation, &["encrypted_index"]);
        let is_made_up = citation.is_some_and(|citation| walk.is(citation.value(0), MADE_UP));
        has_gone |= is_made_up;
        is_made_up
    });
    if all_go {
        cut_all(walk);
    }
    if has_gone {
        named_once(&mut walk.dropped, "messages.content.citations");
    }
}

//! What a body that passes through as it stands must not bring along: thoughts that another provider proved, and citations
//! that none made. Its caller got them translated, so they bear our mark (`origin`), and whoever did not make them refuses the
//! whole request. They are found by the mark and cut out by their places; a body without one is not looked at any further.
//!
//! | dialect | what goes |
//! |---|---|
//! | Bedrock | the block, its message with the last one |
//! | Anthropic | the block, its message with the last one, a citation; a budget that the round may then not have |
//! | Responses | the item |
//! | Gemini | the signature, a part that holds nothing else, its turn with the last one |
//! | OpenAI | the message's `reasoning_details` |
//! | Cohere | nothing: its callers get no proofs |

mod anthropic;
mod bedrock;
mod gemini;
mod list;

use std::ops::Range;

use memchr::memmem::Finder;

use self::list::Walk;
use super::dropped::{bounded_names, named_once};
use super::responses::thought;
use super::{Dialect, Operation, look, origin};

/// How a text begins that bears our mark. Without the quote, which JSON is full of: with it a search costs two thirds more.
const LETTERS: &[u8] = b"corelane";
/// The same through Google's SDKs and AWS's, as base64 of either alphabet.
const BASE64: &[u8] = b"\"Y29yZWxhbm";
/// So many bytes of a piece must be searched again with the next one.
pub const OVERLAP_BYTES: usize = BASE64.len() - 1;

/// Tells bodies that may hold what is foreign from those that can't, by one pass.
pub struct Search {
    letters: Finder<'static>,
    base64: Finder<'static>,
}

impl Default for Search {
    /// Prepared once, for any number of bodies.
    fn default() -> Self {
        Self { letters: Finder::new(LETTERS), base64: Finder::new(BASE64) }
    }
}

impl Search {
    /// Whether `piece` of a body in `dialect` holds a mark.
    pub fn is_found(&self, dialect: Dialect, piece: &[u8]) -> bool {
        let finder = if origin::recodes(dialect) { &self.base64 } else { &self.letters };
        finder.find(piece).is_some()
    }
}

/// Whether thoughts may stand in the body of such a request.
pub fn is_possible(operation: Operation) -> bool {
    use Operation::{Chat, ChatStream, CountTokens, Responses, ResponsesStream};
    matches!(operation, Chat | ChatStream | CountTokens | Responses | ResponsesStream)
}

/// What of a body is foreign.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreign {
    /// What to put in place of which bytes: in the body's order, apart from each other, each inside a top-level value.
    pub edits: Vec<(Range<usize>, Vec<u8>)>,
    /// What is left out by it, as in [`super::Encoded::dropped`].
    pub dropped: Vec<String>,
}

/// Finds it in a whole body for `model` of a provider that speaks `dialect`, as the caller does. A body that has not the form
/// of its dialect is the provider's to refuse.
pub fn find(dialect: Dialect, model: &str, body: &[u8]) -> Foreign {
    let mut walk = Walk::new(body);
    // A branch that is no list, or no object, holds nothing.
    let _ = match dialect {
        Dialect::Anthropic => anthropic::walk(&mut walk, model),
        Dialect::Gemini => gemini::walk(&mut walk, model),
        Dialect::Responses => responses(&mut walk),
        Dialect::OpenAi => openai(&mut walk),
        // Its callers get no proofs.
        Dialect::Cohere => None,
        Dialect::Bedrock => bedrock::walk(&mut walk),
    };
    let Walk { mut edits, dropped, .. } = walk;
    edits.sort_by_key(|(span, _)| span.start);
    Foreign { edits, dropped: bounded_names(dropped) }
}

/// A proof as the provider of a dialect sees it.
#[derive(Debug, PartialEq, Eq)]
enum Proof {
    /// It bears no mark.
    Native,
    /// It made it itself; so it is without the mark.
    Own(String),
    Foreign,
}

impl Proof {
    fn of(dialect: Dialect, proof: &str) -> Self {
        let own = match dialect {
            _ if proof == origin::UNSIGNED || thought::is_anothers(proof) => None,
            // In neutral words it bears a mark.
            Dialect::Responses if thought::own(proof).is_some() => thought::own(proof).map(str::to_owned),
            _ => origin::own(dialect, dialect, proof),
        };
        match own {
            Some(own) if own == proof => Self::Native,
            Some(own) if !own.is_empty() => Self::Own(own),
            _ => Self::Foreign,
        }
    }
}

impl Walk<'_> {
    /// Whether the value at `span` is a foreign proof. One that is the provider's own loses its mark.
    fn is_foreign(&mut self, dialect: Dialect, span: Option<Range<usize>>) -> bool {
        let Some((span, proof)) = span.and_then(|span| Some((span.clone(), self.text(&span)?))) else {
            return false;
        };
        match Proof::of(dialect, &proof) {
            Proof::Native => false,
            Proof::Foreign => true,
            Proof::Own(own) => {
                let mut bytes = Vec::with_capacity(own.len() + 2);
                look::write_string(&mut bytes, &own);
                self.replace(span, bytes);
                false
            }
        }
    }
}

/// `input`'s reasoning items.
fn responses(walk: &mut Walk<'_>) -> Option<()> {
    let input = walk.whole(&["input"])?.value(0)?;
    walk.cut_items(&input, |walk, item| {
        let is_foreign = walk.object(item, &["type", "encrypted_content"]).is_some_and(|item| {
            walk.is(item.value(0), "reasoning") && walk.is_foreign(Dialect::Responses, item.value(1))
        });
        if is_foreign {
            named_once(&mut walk.dropped, "input.reasoning");
        }
        is_foreign
    });
    Some(())
}

/// `reasoning_details` of messages. An answer is one provider's, so that all of it goes where a piece is another's.
fn openai(walk: &mut Walk<'_>) -> Option<()> {
    let messages = walk.whole(&["messages"])?.value(0)?;
    for message in walk.items(&messages)? {
        let Some(message) = walk.object(&message, &["reasoning_details"]) else { continue };
        let Some(details) = message.value(0).and_then(|details| walk.items(&details)) else { continue };
        let mark = walk.mark();
        let mut is_foreign = false;
        for detail in details {
            let Some(detail) = walk.object(&detail, &["signature", "data"]) else { continue };
            is_foreign |= walk.is_foreign(Dialect::OpenAi, detail.value(0));
            is_foreign |= walk.is_foreign(Dialect::OpenAi, detail.value(1));
        }
        if is_foreign {
            walk.back_to(mark);
            walk.cut_members(&message, &[0]);
            named_once(&mut walk.dropped, "messages.reasoning_details");
        }
    }
    Some(())
}

#[cfg(test)]
mod tests;

//! Neutral events to the server-sent events of a chat answer of Cohere's
//! (<https://docs.cohere.com/reference/chat-stream>), whole events at a time. One block or call is open at a time: clients keep
//! one call, so that a call whose provider mixes it with another waits until that one is whole. The reason and the usage wait
//! for the end, where the usage is known. The way back is `decode`'s.

mod call;
mod decode;

use self::call::Calls;
pub(in crate::dialect) use self::decode::Decoder;
use super::citation::{self, chars};
use super::{finish_reason, usage};
use crate::chat::{Citation, Event, Finish, Usage};
use crate::dialect::json::Object;
use crate::error::Error;

/// State of one stream.
pub(in crate::dialect) struct Encoder {
    open: Option<Block>,
    /// Index of the open block, or of the next.
    index: u64,
    calls: Calls,
    /// Of the open block of text, or of the last.
    text_chars: u64,
    /// Where it begins in the whole answer's text.
    text_base: u64,
    text_index: u64,
    citations: u64,
    finish: Finish,
}

/// What kind of block is open, and which of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Text,
    Thinking(u32),
}

impl Encoder {
    /// A stream that has not begun.
    pub(in crate::dialect) fn new() -> Self {
        Self {
            open: None,
            index: 0,
            calls: Calls::default(),
            text_chars: 0,
            text_base: 0,
            text_index: 0,
            citations: 0,
            finish: Finish::Stop,
        }
    }

    /// Appends the events that say `event`; `usage` is what is known by now. Errors: more calls are mixed than are held back.
    pub(in crate::dialect) fn encode(
        &mut self,
        event: Event<'_>,
        usage: Option<Usage>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match event {
            Event::Start { id, .. } => start(id, out),
            Event::Text(text) | Event::Refusal(text) => {
                self.enter(Block::Text, out);
                self.text_chars = self.text_chars.saturating_add(chars(text));
                self.delta(out, "text", text);
            }
            Event::Reasoning { index, text } => {
                self.enter(Block::Thinking(index), out);
                self.delta(out, "thinking", text);
            }
            // A proof has no place in this dialect.
            Event::ReasoningSignature { .. } | Event::ReasoningEncrypted { .. } => {}
            Event::Citation(citation) => self.cite(citation, out),
            Event::ToolCall { index, id, name } => {
                self.close(out);
                self.calls.begin(index, id, name, out)?;
            }
            Event::ToolArguments { index, json } => self.calls.say(index, json, out)?,
            Event::Finish(finish) => self.finish = finish,
            Event::End => self.end(usage, out),
        }
        Ok(())
    }

    /// Has this block be the open one.
    fn enter(&mut self, block: Block, out: &mut Vec<u8>) {
        if self.open == Some(block) {
            return;
        }
        self.close(out);
        self.calls.end(out);
        self.open = Some(block);
        let kind = match block {
            Block::Text => {
                self.text_base = self.text_base.saturating_add(self.text_chars);
                (self.text_chars, self.text_index) = (0, self.index);
                "text"
            }
            Block::Thinking(_) => "thinking",
        };
        write_event(out, "content-start", Some(self.index), |message| {
            let mut content = Object::begin(message.field("content"));
            content.text("type", kind);
            content.text(kind, "");
            content.end();
        });
    }

    fn delta(&self, out: &mut Vec<u8>, kind: &str, words: &str) {
        write_event(out, "content-delta", Some(self.index), |message| {
            let mut content = Object::begin(message.field("content"));
            content.text(kind, words);
            content.end();
        });
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            write_bare(out, "content-end", self.index);
            self.index += 1;
        }
    }

    /// What was cited here stands in the text that was sent; it is not kept to be said again.
    fn cite(&mut self, cited: &Citation<'_>, out: &mut Vec<u8>) {
        let inner = |at: u64| at.saturating_sub(self.text_base);
        let local =
            Citation { span: cited.span.map(|(start, end)| (inner(start), inner(end))), ..cited.clone() };
        write_event(out, "citation-start", Some(self.citations), |message| {
            let whole = (0, self.text_chars);
            citation::write(message.field("citations"), &local, whole, |_| None, self.text_index);
        });
        write_bare(out, "citation-end", self.citations);
        self.citations += 1;
    }

    fn end(&mut self, usage: Option<Usage>, out: &mut Vec<u8>) {
        self.close(out);
        self.calls.end(out);
        out.extend_from_slice(b"event: message-end\ndata: ");
        let mut event = Object::begin(out);
        event.text("type", "message-end");
        let mut delta = Object::begin(event.field("delta"));
        delta.text("finish_reason", finish_reason(self.finish));
        usage::write(delta.field("usage"), &usage.unwrap_or_default());
        delta.end();
        event.end();
        out.extend_from_slice(b"\n\ndata: [DONE]\n\n");
    }
}

fn start(id: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: message-start\ndata: ");
    let mut event = Object::begin(out);
    event.text("id", id);
    event.text("type", "message-start");
    let mut delta = Object::begin(event.field("delta"));
    let mut message = Object::begin(delta.field("message"));
    message.text("role", "assistant");
    message.end();
    delta.end();
    event.end();
    out.extend_from_slice(b"\n\n");
}

/// Writes an event whose `delta` is a message.
fn write_event(out: &mut Vec<u8>, kind: &str, index: Option<u64>, message: impl FnOnce(&mut Object<'_>)) {
    begin(out, kind);
    let mut event = Object::begin(out);
    event.text("type", kind);
    if let Some(index) = index {
        event.number("index", index);
    }
    let mut delta = Object::begin(event.field("delta"));
    let mut object = Object::begin(delta.field("message"));
    message(&mut object);
    object.end();
    delta.end();
    event.end();
    out.extend_from_slice(b"\n\n");
}

/// Writes an event that says which, and no more.
fn write_bare(out: &mut Vec<u8>, kind: &str, index: u64) {
    begin(out, kind);
    let mut event = Object::begin(out);
    event.text("type", kind);
    event.number("index", index);
    event.end();
    out.extend_from_slice(b"\n\n");
}

fn begin(out: &mut Vec<u8>, kind: &str) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\ndata: ");
}

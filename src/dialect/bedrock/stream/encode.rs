//! Neutral events to the frames of a ConverseStream answer, whole frames at a time. One block is open at a time; a text's
//! block has no start. The reason and the usage wait for the end, where the usage is known.

use crate::chat::{Event, Finish, Usage};
use crate::dialect::bedrock::{answer, call_id, citation, stop_reason, usage};
use crate::dialect::event_stream;
use crate::dialect::json::Object;
use crate::error::{Error, Kind};

/// State of one stream.
#[derive(Default)]
pub(in crate::dialect) struct Encoder {
    open: Option<Block>,
    /// Index of the open block, or of the next.
    index: u64,
    finish: Finish,
}

/// What kind of block is open, and which of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Text,
    Thought(u32),
    Tool(u32),
}

impl Encoder {
    /// Appends the frames that say `event`; `usage` is what is known by now. Errors: more of a call that was left for
    /// another, which this dialect cannot say.
    pub(in crate::dialect) fn encode(
        &mut self,
        event: Event<'_>,
        usage: Option<Usage>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match event {
            Event::Start { .. } => write(out, "messageStart", |event| event.text("role", "assistant")),
            Event::Text(text) | Event::Refusal(text) => {
                self.enter(Block::Text, out);
                self.delta(out, |delta| delta.text("text", text));
            }
            Event::Citation(one) => {
                self.enter(Block::Text, out);
                self.delta(out, |delta| citation::write(delta.field("citation"), one));
            }
            Event::Reasoning { index, text } => self.thought(index, ["text", text], out),
            Event::ReasoningSignature { index, signature } => {
                self.thought(index, ["signature", signature], out);
            }
            Event::ReasoningEncrypted { index, data } => {
                self.thought(index, ["redactedContent", data], out);
                self.close(out);
            }
            Event::ToolCall { index, id, name } => self.call(index, [id, name], out),
            Event::ToolArguments { index, json } => {
                if self.open != Some(Block::Tool(index)) {
                    return Err(interleaved());
                }
                self.delta(out, |delta| {
                    let mut call = Object::begin(delta.field("toolUse"));
                    call.text("input", json);
                    call.end();
                });
            }
            Event::Finish(finish) => self.finish = finish,
            Event::End => self.end(usage, out),
        }
        Ok(())
    }

    /// Has this block be the open one.
    fn enter(&mut self, block: Block, out: &mut Vec<u8>) {
        if self.open != Some(block) {
            self.close(out);
            self.open = Some(block);
        }
    }

    fn thought(&mut self, index: u32, [name, value]: [&str; 2], out: &mut Vec<u8>) {
        self.enter(Block::Thought(index), out);
        self.delta(out, |delta| {
            let mut thought = Object::begin(delta.field("reasoningContent"));
            thought.text(name, value);
            thought.end();
        });
    }

    fn call(&mut self, index: u32, [id, name]: [&str; 2], out: &mut Vec<u8>) {
        self.enter(Block::Tool(index), out);
        write(out, "contentBlockStart", |event| {
            let mut start = Object::begin(event.field("start"));
            let mut call = Object::begin(start.field("toolUse"));
            call.text("toolUseId", &call_id(id));
            call.text("name", name);
            call.end();
            start.end();
            event.number("contentBlockIndex", self.index);
        });
    }

    fn delta(&self, out: &mut Vec<u8>, member: impl FnOnce(&mut Object<'_>)) {
        write(out, "contentBlockDelta", |event| {
            let mut delta = Object::begin(event.field("delta"));
            member(&mut delta);
            delta.end();
            event.number("contentBlockIndex", self.index);
        });
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            write(out, "contentBlockStop", |event| event.number("contentBlockIndex", self.index));
            self.index = self.index.saturating_add(1);
        }
    }

    fn end(&mut self, usage: Option<Usage>, out: &mut Vec<u8>) {
        self.close(out);
        write(out, "messageStop", |event| event.text("stopReason", stop_reason(self.finish)));
        write(out, "metadata", |event| {
            usage::write(event.field("usage"), &usage.unwrap_or_default());
            answer::write_metrics(event);
        });
    }
}

fn interleaved() -> Error {
    let message = "the provider's stream goes back to a tool call that it had left; ask for the whole answer";
    Error::new(Kind::UpstreamInvalidResponse, message)
}

fn write(out: &mut Vec<u8>, name: &str, fields: impl FnOnce(&mut Object<'_>)) {
    let headers = [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
    event_stream::write(out, &headers, |out| {
        let mut event = Object::begin(out);
        fields(&mut event);
        event.end();
    });
}

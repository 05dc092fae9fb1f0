//! Neutral events to the server-sent events of a messages answer
//! (<https://docs.anthropic.com/en/docs/build-with-claude/streaming>), whole events at a time. One block is open at a time;
//! the reason and the usage wait for the end, where the usage is known, and of calls that are told at once all but the first
//! wait for it ([`super::calls`]).

use super::calls::{Calls, Then, Waiting};
use crate::chat::{Event, Finish, Raw, Usage};
use crate::dialect::anthropic::{DIRECT_CALLER, citation, stop_reason, usage};
use crate::dialect::json::{Array, Object};
use crate::dialect::origin::UNSIGNED;
use crate::error::Error;

/// State of one stream.
pub(in crate::dialect) struct Encoder {
    /// The model's name when the provider gives none.
    model: String,
    open: Option<Block>,
    /// Index of the open block, or of the next.
    index: u64,
    finish: Finish,
    /// Whether the open block has a signature.
    is_signed: bool,
    calls: Calls,
}

/// What kind of block is open, and which of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Text,
    Thinking(u32),
    Tool(u32),
}

impl Encoder {
    /// A stream that has not begun.
    pub(in crate::dialect) fn new(model: String) -> Self {
        Self { model, open: None, index: 0, finish: Finish::Stop, is_signed: false, calls: Calls::default() }
    }

    /// Appends the events that say `event`; `usage` is what is known by now. Errors: more of a call behind
    /// what followed it, which this dialect cannot say, or more calls at once than are held.
    pub(in crate::dialect) fn encode(
        &mut self,
        event: Event<'_>,
        usage: Option<Usage>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if !matches!(event, Event::ToolCall { .. } | Event::ToolArguments { .. } | Event::Finish(_)) {
            self.tell_waiting(true, out);
            self.calls.leave();
        }
        match event {
            Event::Start { id, model } => self.start(id, model, usage, out),
            Event::Citation(one) if citation::is_said(one) => {
                self.enter_text(out);
                write_event(out, "content_block_delta", |event| {
                    event.number("index", self.index);
                    let mut delta = Object::begin(event.field("delta"));
                    delta.text("type", "citations_delta");
                    citation::write(delta.field("citation"), one);
                    delta.end();
                });
            }
            Event::Citation(_) => {}
            Event::Text(text) | Event::Refusal(text) => {
                self.enter_text(out);
                self.delta(out, "text_delta", ["text", text]);
            }
            Event::Reasoning { index, text } => {
                self.enter_thought(index, out);
                self.delta(out, "thinking_delta", ["thinking", text]);
            }
            Event::ReasoningSignature { index, signature } => {
                self.enter_thought(index, out);
                self.is_signed = true;
                self.delta(out, "signature_delta", ["signature", signature]);
            }
            Event::ReasoningEncrypted { data, .. } => self.encrypted(data, out),
            Event::ToolCall { index, id, name } => {
                if self.calls.begin(index, [id, name])? == Then::Tell {
                    self.enter_call(index, [id, name], out);
                }
            }
            Event::ToolArguments { index, json } => {
                if self.calls.more(index, json)? == Then::Tell {
                    self.delta(out, "input_json_delta", ["partial_json", json]);
                    self.tell_waiting(false, out);
                }
            }
            Event::Finish(finish) => self.finish = finish,
            Event::End => self.end(usage, out),
        }
        Ok(())
    }

    fn start(&self, id: &str, model: &str, usage: Option<Usage>, out: &mut Vec<u8>) {
        let model = if model.is_empty() { &self.model } else { model };
        write_event(out, "message_start", |event| {
            let mut message = Object::begin(event.field("message"));
            message.text("id", id);
            message.text("type", "message");
            message.text("role", "assistant");
            message.text("model", model);
            Array::begin(message.field("content")).end();
            message.raw("stop_reason", Raw("null"));
            message.raw("stop_sequence", Raw("null"));
            usage::write(message.field("usage"), &usage.unwrap_or_default(), None);
            message.end();
        });
    }

    /// Has this block be the open one.
    fn enter(&mut self, block: Block, out: &mut Vec<u8>, content: impl FnOnce(&mut Object<'_>)) {
        if self.open == Some(block) {
            return;
        }
        self.close(out);
        self.open = Some(block);
        write_event(out, "content_block_start", |event| {
            event.number("index", self.index);
            let mut block = Object::begin(event.field("content_block"));
            content(&mut block);
            block.end();
        });
    }

    fn enter_text(&mut self, out: &mut Vec<u8>) {
        self.enter(Block::Text, out, |block| {
            block.text("type", "text");
            block.text("text", "");
        });
    }

    fn enter_thought(&mut self, index: u32, out: &mut Vec<u8>) {
        self.enter(Block::Thinking(index), out, |block| {
            block.text("type", "thinking");
            block.text("thinking", "");
            block.text("signature", "");
        });
    }

    fn enter_call(&mut self, index: u32, [id, name]: [&str; 2], out: &mut Vec<u8>) {
        self.enter(Block::Tool(index), out, |block| {
            block.text("type", "tool_use");
            block.text("id", id);
            block.text("name", name);
            block.raw("input", Raw("{}"));
            block.raw("caller", DIRECT_CALLER);
        });
    }

    /// Tells the calls whose turn it is.
    fn tell_waiting(&mut self, is_last_word: bool, out: &mut Vec<u8>) {
        while let Some(Waiting { index, id, name, json }) = self.calls.next(is_last_word) {
            self.enter_call(index, [&id, &name], out);
            if !json.is_empty() {
                self.delta(out, "input_json_delta", ["partial_json", &json]);
            }
        }
    }

    /// A thought that comes whole: no delta follows, nor anything else into its block.
    fn encrypted(&mut self, data: &str, out: &mut Vec<u8>) {
        self.close(out);
        self.enter(Block::Text, out, |block| {
            block.text("type", "redacted_thinking");
            block.text("data", data);
        });
        self.close(out);
    }

    fn delta(&self, out: &mut Vec<u8>, kind: &str, [name, value]: [&str; 2]) {
        write_event(out, "content_block_delta", |event| {
            event.number("index", self.index);
            let mut delta = Object::begin(event.field("delta"));
            delta.text("type", kind);
            delta.text(name, value);
            delta.end();
        });
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if let Some(block) = self.open.take() {
            let is_signed = std::mem::take(&mut self.is_signed);
            if matches!(block, Block::Thinking(_)) && !is_signed {
                self.delta(out, "signature_delta", ["signature", UNSIGNED]);
            }
            write_event(out, "content_block_stop", |event| event.number("index", self.index));
            self.index = self.index.saturating_add(1);
        }
    }

    fn end(&mut self, usage: Option<Usage>, out: &mut Vec<u8>) {
        self.close(out);
        write_event(out, "message_delta", |event| {
            let mut delta = Object::begin(event.field("delta"));
            delta.text("stop_reason", stop_reason(self.finish));
            delta.raw("stop_sequence", Raw("null"));
            delta.end();
            usage::write(event.field("usage"), &usage.unwrap_or_default(), None);
        });
        write_event(out, "message_stop", |_| ());
    }
}

fn write_event(out: &mut Vec<u8>, name: &str, fields: impl FnOnce(&mut Object<'_>)) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    let mut event = Object::begin(out);
    event.text("type", name);
    fields(&mut event);
    event.end();
    out.extend_from_slice(b"\n\n");
}

//! Neutral events to server-sent chat completion chunks
//! (<https://platform.openai.com/docs/api-reference/chat-streaming>), whole events at a time. The way back is
//! `decode`'s.

mod decode;

pub(in crate::dialect) use self::decode::Decoder;
use super::response::{chars, finish_reason, write_annotation};
use crate::chat::{Event, Finish, Raw, Usage};
use crate::dialect::StreamOptions;
use crate::dialect::json::{Array, Object, write_string};

/// State of one stream.
pub(in crate::dialect) struct Encoder {
    options: StreamOptions,
    /// What every chunk begins with, up to `choices`; made by the first event.
    prefix: Vec<u8>,
    is_finished: bool,
    /// Of the whole answer's text.
    text_chars: u64,
}

impl Encoder {
    /// A stream that has not begun.
    pub(in crate::dialect) fn new(options: StreamOptions) -> Self {
        Self { options, prefix: Vec::new(), is_finished: false, text_chars: 0 }
    }

    /// Appends the chunks that say `event`; `usage` is what is known by now.
    pub(in crate::dialect) fn encode(&mut self, event: Event<'_>, usage: Option<Usage>, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, model } => self.start(id, model, out),
            Event::Finish(finish) => self.finish(finish, out),
            Event::End => self.end(usage, out),
            Event::Citation(citation) if citation.url.is_none() => {}
            Event::Citation(citation) => {
                let all = (0, self.text_chars);
                self.chunk(out, None, |delta| {
                    let mut annotations = Array::begin(delta.field("annotations"));
                    write_annotation(annotations.item(), citation, all);
                    annotations.end();
                });
            }
            Event::Text(text) => {
                self.text_chars = self.text_chars.saturating_add(chars(text));
                self.chunk(out, None, |delta| delta.text("content", text));
            }
            _ => self.chunk(out, None, |delta| write_delta(delta, event)),
        }
    }

    fn start(&mut self, id: &str, model: &str, out: &mut Vec<u8>) {
        let model = if model.is_empty() { &self.options.model } else { model };
        let mut prefix = Vec::with_capacity(160);
        prefix.extend_from_slice(b"data: ");
        let mut object = Object::begin(&mut prefix);
        object.text("id", id);
        object.text("object", "chat.completion.chunk");
        object.number("created", self.options.created_s);
        object.text("model", model);
        object.field("choices");
        self.prefix = prefix;
        self.chunk(out, None, |delta| {
            delta.text("role", "assistant");
            delta.text("content", "");
        });
    }

    fn finish(&mut self, finish: Finish, out: &mut Vec<u8>) {
        if !self.is_finished {
            self.is_finished = true;
            self.chunk(out, Some(finish), |_| ());
        }
    }

    fn end(&mut self, usage: Option<Usage>, out: &mut Vec<u8>) {
        self.finish(Finish::Stop, out);
        if self.options.include_usage {
            out.extend_from_slice(&self.prefix);
            out.extend_from_slice(b"[],\"usage\":");
            super::usage::write(out, &usage.unwrap_or_default());
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn chunk(&self, out: &mut Vec<u8>, finish: Option<Finish>, delta: impl FnOnce(&mut Object<'_>)) {
        out.extend_from_slice(&self.prefix);
        let mut choices = Array::begin(out);
        let mut choice = Object::begin(choices.item());
        choice.number("index", 0);
        let mut object = Object::begin(choice.field("delta"));
        delta(&mut object);
        object.end();
        choice.raw("logprobs", Raw("null"));
        choice.text_or_null("finish_reason", finish.map(finish_reason));
        choice.end();
        choices.end();
        // Who asked for usage gets it as null in every chunk but the last.
        let end: &[u8] = if self.options.include_usage { b",\"usage\":null}\n\n" } else { b"}\n\n" };
        out.extend_from_slice(end);
    }
}

fn write_delta(delta: &mut Object<'_>, event: Event<'_>) {
    match event {
        Event::Refusal(text) => delta.text("refusal", text),
        Event::Reasoning { index, text } => {
            delta.text("reasoning", text);
            write_detail(delta, index, "reasoning.text", ["text", text]);
        }
        Event::ReasoningSignature { index, signature } => {
            write_detail(delta, index, "reasoning.text", ["signature", signature]);
        }
        Event::ReasoningEncrypted { index, data } => {
            write_detail(delta, index, "reasoning.encrypted", ["data", data]);
        }
        Event::ToolCall { index, id, name } => write_call(delta, index, Some([id, name]), ""),
        Event::ToolArguments { index, json } => write_call(delta, index, None, json),
        // `encode` has taken these.
        Event::Text(_) | Event::Citation(_) | Event::Start { .. } | Event::Finish(_) | Event::End => {}
    }
}

fn write_detail(delta: &mut Object<'_>, index: u32, kind: &str, [name, value]: [&str; 2]) {
    let mut details = Array::begin(delta.field("reasoning_details"));
    let mut detail = Object::begin(details.item());
    detail.number("index", index.into());
    detail.text("type", kind);
    detail.text(name, value);
    detail.end();
    details.end();
}

fn write_call(delta: &mut Object<'_>, index: u32, id_and_name: Option<[&str; 2]>, arguments: &str) {
    let mut calls = Array::begin(delta.field("tool_calls"));
    let mut call = Object::begin(calls.item());
    call.number("index", index.into());
    if let Some([id, _]) = id_and_name {
        call.text("id", id);
        call.text("type", "function");
    }
    let mut function = Object::begin(call.field("function"));
    if let Some([_, name]) = id_and_name {
        function.text("name", name);
    }
    write_string(function.field("arguments"), arguments);
    function.end();
    call.end();
    calls.end();
}

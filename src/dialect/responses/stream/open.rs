//! The item of a stream that is being said: its beginning, its deltas and its end, as events. Each keeps what it said, since
//! its end says it again.

use super::Events;
use crate::chat::Citation;
use crate::dialect::json::{Array, Object};
use crate::dialect::responses::output::{self, Call, Said};
use crate::dialect::responses::thought;
use crate::dialect::whole::Whole;

/// Where an item's events go.
pub(super) struct To<'t> {
    /// The item's index in the output.
    pub(super) output_index: u64,
    /// Gives each its number.
    pub(super) events: &'t mut Events,
    /// Takes the bytes.
    pub(super) out: &'t mut Vec<u8>,
}

impl To<'_> {
    /// The item's first event; `item` writes it as it is before anything is said.
    fn added(&mut self, item: impl FnOnce(&mut Vec<u8>)) {
        let index = self.output_index;
        self.events.write(self.out, "response.output_item.added", |event| {
            event.number("output_index", index);
            item(event.field("item"));
        });
    }

    /// An event about the item `id`.
    fn write(&mut self, name: &str, id: &str, fields: impl FnOnce(&mut Object<'_>)) {
        let index = self.output_index;
        self.events.write(self.out, name, |event| {
            event.text("item_id", id);
            event.number("output_index", index);
            fields(event);
        });
    }
}

/// A message.
pub(super) struct OpenMessage {
    id: String,
    /// Finished parts as JSON, commas between.
    content: Vec<u8>,
    /// Index of the open part, or of the next.
    content_index: u64,
    part: Option<OpenPart>,
    /// Characters of the answer's text in finished parts.
    said_chars: u64,
}

enum OpenPart {
    Text(Said),
    Refusal(String),
}

impl OpenPart {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(said) => said.write(out),
            Self::Refusal(text) => output::write_refusal(out, text),
        }
    }
}

impl OpenMessage {
    /// Begins one behind `said_chars` characters of the answer's text.
    pub(super) fn begin(id: String, said_chars: u64, to: &mut To<'_>) -> Self {
        to.added(|out| output::write_message(out, &id, "in_progress", b""));
        Self { id, content: Vec::new(), content_index: 0, part: None, said_chars }
    }

    /// More text.
    pub(super) fn text(&mut self, text: &str, to: &mut To<'_>) {
        if !matches!(self.part, Some(OpenPart::Text(_))) {
            self.open_part(|said_chars| OpenPart::Text(Said::behind(said_chars)), to);
        }
        if let Some(OpenPart::Text(said)) = &mut self.part {
            said.push(text);
        }
        let content_index = self.content_index;
        to.write("response.output_text.delta", &self.id, |event| {
            event.number("content_index", content_index);
            event.text("delta", text);
            Array::begin(event.field("logprobs")).end();
        });
    }

    /// More of a refusal.
    pub(super) fn refusal(&mut self, text: &str, to: &mut To<'_>) {
        if !matches!(self.part, Some(OpenPart::Refusal(_))) {
            self.open_part(|_| OpenPart::Refusal(String::new()), to);
        }
        if let Some(OpenPart::Refusal(refusal)) = &mut self.part {
            refusal.push_str(text);
        }
        let content_index = self.content_index;
        to.write("response.refusal.delta", &self.id, |event| {
            event.number("content_index", content_index);
            event.text("delta", text);
        });
    }

    /// Where the text has something from; `citation` has a URL.
    pub(super) fn cite(&mut self, citation: &Citation<'_>, to: &mut To<'_>) {
        if !matches!(self.part, Some(OpenPart::Text(_))) {
            self.open_part(|said_chars| OpenPart::Text(Said::behind(said_chars)), to);
        }
        let Some(OpenPart::Text(said)) = &mut self.part else { return };
        let annotation_index = said.annotations_count;
        let Some(annotation) = said.cite(citation) else { return };
        let content_index = self.content_index;
        to.write("response.output_text.annotation.added", &self.id, |event| {
            event.number("content_index", content_index);
            event.number("annotation_index", annotation_index);
            event.field("annotation").extend_from_slice(&annotation);
        });
    }

    fn open_part(&mut self, part: impl FnOnce(u64) -> OpenPart, to: &mut To<'_>) {
        self.finish_part(to);
        let part = part(self.said_chars);
        let content_index = self.content_index;
        to.write("response.content_part.added", &self.id, |event| {
            event.number("content_index", content_index);
            part.write(event.field("part"));
        });
        self.part = Some(part);
    }

    fn finish_part(&mut self, to: &mut To<'_>) {
        let Some(part) = self.part.take() else { return };
        let content_index = self.content_index;
        match &part {
            OpenPart::Text(said) => {
                to.write("response.output_text.done", &self.id, |event| {
                    event.number("content_index", content_index);
                    event.text("text", &said.text);
                    Array::begin(event.field("logprobs")).end();
                });
                self.said_chars = said.end_chars();
            }
            OpenPart::Refusal(text) => to.write("response.refusal.done", &self.id, |event| {
                event.number("content_index", content_index);
                event.text("refusal", text);
            }),
        }
        to.write("response.content_part.done", &self.id, |event| {
            event.number("content_index", content_index);
            part.write(event.field("part"));
        });
        if content_index > 0 {
            self.content.push(b',');
        }
        part.write(&mut self.content);
        self.content_index = content_index.saturating_add(1);
    }

    /// Ends its last part and gives the characters of the answer's text so far.
    pub(super) fn finish(&mut self, to: &mut To<'_>) -> u64 {
        self.finish_part(to);
        self.said_chars
    }

    /// Writes it, whole.
    pub(super) fn write(&self, out: &mut Vec<u8>, status: &str) {
        output::write_message(out, &self.id, status, &self.content);
    }
}

/// A call.
pub(super) struct OpenCall {
    id: String,
    /// Which call of the answer.
    pub(super) index: u32,
    call_id: String,
    name: String,
    arguments: String,
    whole: Whole,
}

impl OpenCall {
    /// Begins one.
    pub(super) fn begin(id: String, index: u32, [call_id, name]: [&str; 2], to: &mut To<'_>) -> Self {
        let (call_id, name) = (call_id.to_owned(), name.to_owned());
        let call = Self { id, index, call_id, name, arguments: String::new(), whole: Whole::default() };
        to.added(|out| call.write(out, "in_progress"));
        call
    }

    /// More arguments.
    pub(super) fn arguments(&mut self, json: &str, to: &mut To<'_>) {
        self.arguments.push_str(json);
        self.whole.push(json);
        to.write("response.function_call_arguments.delta", &self.id, |event| event.text("delta", json));
    }

    /// Whether its arguments are whole, so that no more of it is to come.
    pub(super) fn is_whole(&self) -> bool {
        self.whole.is_done()
    }

    /// Ends it. No arguments are an empty object's.
    pub(super) fn finish(&mut self, to: &mut To<'_>) {
        if self.arguments.is_empty() {
            self.arguments("{}", to);
        }
        to.write("response.function_call_arguments.done", &self.id, |event| {
            event.text("name", &self.name);
            event.text("arguments", &self.arguments);
        });
    }

    /// Writes it as it is by now.
    pub(super) fn write(&self, out: &mut Vec<u8>, status: &str) {
        let Self { id, call_id, name, arguments, .. } = self;
        output::write_call(out, &Call { id, call_id, name, arguments }, status);
    }
}

/// A thought.
pub(super) struct OpenThought {
    id: String,
    /// Which thought of the answer.
    pub(super) index: u32,
    /// `None`: nothing was said yet.
    words: Option<String>,
    /// Its signature, as far as it has come.
    signature: String,
    /// In place of both: what only the provider can read.
    sealed: Option<String>,
}

impl OpenThought {
    /// Begins one.
    pub(super) fn begin(id: String, index: u32, to: &mut To<'_>) -> Self {
        to.added(|out| output::write_thought(out, &id, None, None));
        Self { id, index, words: None, signature: String::new(), sealed: None }
    }

    /// More words.
    pub(super) fn words(&mut self, text: &str, to: &mut To<'_>) {
        if self.words.is_none() {
            to.write("response.reasoning_summary_part.added", &self.id, |event| {
                event.number("summary_index", 0);
                output::write_summary(event.field("part"), "");
            });
        }
        self.words.get_or_insert_default().push_str(text);
        to.write("response.reasoning_summary_text.delta", &self.id, |event| {
            event.number("summary_index", 0);
            event.text("delta", text);
        });
    }

    /// More of its signature; nothing is told before its end.
    pub(super) fn sign(&mut self, signature: &str) {
        self.signature.push_str(signature);
    }

    /// It is sealed: this is all of it.
    pub(super) fn seal(&mut self, data: &str) {
        self.sealed = Some(data.to_owned());
    }

    /// Ends it.
    pub(super) fn finish(&self, to: &mut To<'_>) {
        let Some(words) = &self.words else { return };
        to.write("response.reasoning_summary_text.done", &self.id, |event| {
            event.number("summary_index", 0);
            event.text("text", words);
        });
        to.write("response.reasoning_summary_part.done", &self.id, |event| {
            event.number("summary_index", 0);
            output::write_summary(event.field("part"), words);
        });
    }

    /// Writes it, whole.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let signed = (!self.signature.is_empty()).then(|| thought::signed(&self.signature));
        let encrypted = self.sealed.as_deref().map(thought::redacted).or(signed);
        let encrypted = encrypted.as_deref().unwrap_or(thought::UNPROVEN);
        output::write_thought(out, &self.id, self.words.as_deref(), Some(encrypted));
    }
}

//! Neutral events to the server-sent events of a response
//! (<https://platform.openai.com/docs/api-reference/responses-streaming>), whole events at a time. One item is open at a time;
//! each is said again when it is whole, and all once more at the end, so what was said is held until then. The way back is
//! `decode`'s.

mod decode;
mod open;

pub(in crate::dialect) use self::decode::Decoder;
use self::open::{OpenCall, OpenMessage, OpenThought, To};
use super::incomplete_reason;
use super::output::{Frame, Ids};
use crate::chat::{Citation, Event, Finish, Usage};
use crate::dialect::StreamOptions;
use crate::dialect::json::Object;
use crate::error::{Error, Kind};

/// Most bytes of texts, thoughts, arguments and names that are held for one stream. An answer of 128 Ki tokens is a
/// fourth of it.
pub(super) const OUTPUT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// State of one stream.
pub(in crate::dialect) struct Encoder {
    options: StreamOptions,
    /// The request's, see [`super::echo`].
    settings: Vec<u8>,
    id: String,
    ids: Ids,
    events: Events,
    open: Open,
    /// Finished items as JSON, commas between.
    output: Vec<u8>,
    /// How many; the index of the open one, or of the next.
    items: u64,
    /// Bytes said so far.
    held_bytes: usize,
    /// Characters of text in finished parts.
    said_chars: u64,
    is_refused: bool,
    finish: Option<Finish>,
}

/// The item that is being said.
enum Open {
    None,
    Message(OpenMessage),
    Call(OpenCall),
    Thought(OpenThought),
}

/// Writes events, each with its number.
#[derive(Default)]
struct Events {
    sequence_number: u64,
}

impl Events {
    /// Appends one event.
    fn write(&mut self, out: &mut Vec<u8>, name: &str, fields: impl FnOnce(&mut Object<'_>)) {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        let mut event = Object::begin(out);
        event.text("type", name);
        fields(&mut event);
        event.number("sequence_number", self.sequence_number);
        event.end();
        out.extend_from_slice(b"\n\n");
        self.sequence_number = self.sequence_number.saturating_add(1);
    }
}

impl Encoder {
    /// A stream that has not begun.
    pub(in crate::dialect) fn new(options: StreamOptions) -> Self {
        Self {
            options,
            settings: Vec::new(),
            id: String::new(),
            ids: Ids::default(),
            events: Events::default(),
            open: Open::None,
            output: Vec::new(),
            items: 0,
            held_bytes: 0,
            said_chars: 0,
            is_refused: false,
            finish: None,
        }
    }

    /// Repeats the request's settings, see [`super::echo`].
    pub(in crate::dialect) fn echo(&mut self, settings: Vec<u8>) {
        self.settings = settings;
    }

    /// Appends the events that say `event`; `usage` is what is known by now. Errors: an answer over
    /// [`OUTPUT_BYTES_MAX`], and more of a call that was left for another.
    pub(in crate::dialect) fn encode(
        &mut self,
        event: Event<'_>,
        usage: Option<Usage>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.hold(&event)?;
        match event {
            Event::Start { id, model } => self.start(id, model, out),
            Event::Text(text) => self.message(out, |message, to| message.text(text, to)),
            Event::Refusal(text) => {
                self.is_refused = true;
                self.message(out, |message, to| message.refusal(text, to));
            }
            Event::Citation(citation) => self.cite(citation, out),
            Event::Reasoning { index, text } => {
                self.thought(index, out, |thought, to| thought.words(text, to));
            }
            Event::ReasoningSignature { index, signature } => {
                self.thought(index, out, |thought, _| thought.sign(signature));
            }
            Event::ReasoningEncrypted { index, data } => self.sealed(index, data, out),
            Event::ToolCall { index, id, name } => self.call(index, [id, name], out),
            Event::ToolArguments { index, json } => self.arguments(index, json, out)?,
            Event::Finish(finish) => {
                self.finish.get_or_insert(finish);
            }
            Event::End => self.end(usage, out),
        }
        Ok(())
    }

    /// Appends an error as the stream's last event.
    pub(in crate::dialect) fn fail(&self, error: &Error, out: &mut Vec<u8>) {
        super::error::encode_event(error, self.events.sequence_number, out);
    }

    fn hold(&mut self, event: &Event<'_>) -> Result<(), Error> {
        let bytes = match event {
            Event::Text(text) | Event::Refusal(text) | Event::Reasoning { text, .. } => text.len(),
            Event::ReasoningSignature { signature, .. } => signature.len(),
            Event::ReasoningEncrypted { data, .. } => data.len(),
            Event::ToolCall { id, name, .. } => id.len().saturating_add(name.len()),
            Event::ToolArguments { json, .. } => json.len(),
            Event::Citation(citation) => {
                let texts = [&citation.url, &citation.title].into_iter().flatten();
                texts.fold(0, |sum, text| text.len().saturating_add(sum))
            }
            Event::Start { .. } | Event::Finish(_) | Event::End => 0,
        };
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        if self.held_bytes > OUTPUT_BYTES_MAX { Err(too_long()) } else { Ok(()) }
    }

    fn start(&mut self, id: &str, model: &str, out: &mut Vec<u8>) {
        if !model.is_empty() {
            model.clone_into(&mut self.options.model);
        }
        id.clone_into(&mut self.id);
        self.ids = Ids::of(id);
        for name in ["response.created", "response.in_progress"] {
            self.frame(name, "in_progress", None, None, out);
        }
    }

    fn frame(
        &mut self,
        name: &str,
        status: &str,
        incomplete_reason: Option<&'static str>,
        usage: Option<Usage>,
        out: &mut Vec<u8>,
    ) {
        let frame = Frame {
            id: &self.id,
            created_s: self.options.created_s,
            model: &self.options.model,
            status,
            incomplete_reason,
            output: &self.output,
            usage,
            service_tier: None,
            settings: &self.settings,
        };
        self.events.write(out, name, |event| frame.write(event.field("response")));
    }

    /// Has a message be the open item and says something in it.
    fn message(&mut self, out: &mut Vec<u8>, say: impl FnOnce(&mut OpenMessage, &mut To<'_>)) {
        if !matches!(self.open, Open::Message(_)) {
            self.close("completed", out);
            let id = self.ids.item("msg", self.items);
            self.open = Open::Message(OpenMessage::begin(id, self.said_chars, &mut self.to(out)));
        }
        let Self { open, events, items, .. } = self;
        if let Open::Message(message) = open {
            say(message, &mut To { output_index: *items, events, out });
        }
    }

    /// The same of a thought.
    fn thought(&mut self, index: u32, out: &mut Vec<u8>, say: impl FnOnce(&mut OpenThought, &mut To<'_>)) {
        if !matches!(&self.open, Open::Thought(thought) if thought.index == index) {
            self.close("completed", out);
            let id = self.ids.item("rs", self.items);
            self.open = Open::Thought(OpenThought::begin(id, index, &mut self.to(out)));
        }
        let Self { open, events, items, .. } = self;
        if let Open::Thought(thought) = open {
            say(thought, &mut To { output_index: *items, events, out });
        }
    }

    fn cite(&mut self, citation: &Citation<'_>, out: &mut Vec<u8>) {
        // What no word is there for opens no message either.
        if citation.url.is_some() {
            self.message(out, |message, to| message.cite(citation, to));
        }
    }

    /// A thought that comes whole.
    fn sealed(&mut self, index: u32, data: &str, out: &mut Vec<u8>) {
        self.close("completed", out);
        self.thought(index, out, |thought, _| thought.seal(data));
        self.close("completed", out);
    }

    fn call(&mut self, index: u32, id_and_name: [&str; 2], out: &mut Vec<u8>) {
        self.close("completed", out);
        let id = self.ids.item("fc", self.items);
        self.open = Open::Call(OpenCall::begin(id, index, id_and_name, &mut self.to(out)));
    }

    fn arguments(&mut self, index: u32, json: &str, out: &mut Vec<u8>) -> Result<(), Error> {
        let Self { open, events, items, .. } = self;
        match open {
            Open::Call(call) if call.index == index => {
                call.arguments(json, &mut To { output_index: *items, events, out });
                Ok(())
            }
            _ => Err(interleaved()),
        }
    }

    fn to<'t>(&'t mut self, out: &'t mut Vec<u8>) -> To<'t> {
        To { output_index: self.items, events: &mut self.events, out }
    }

    /// Ends the open item, if one is.
    fn close(&mut self, status: &str, out: &mut Vec<u8>) {
        let open = std::mem::replace(&mut self.open, Open::None);
        let mut item = Vec::new();
        match open {
            Open::None => return,
            Open::Message(mut message) => {
                self.said_chars = message.finish(&mut self.to(out));
                message.write(&mut item, status);
            }
            Open::Call(mut call) => {
                call.finish(&mut self.to(out));
                call.write(&mut item, status);
            }
            Open::Thought(thought) => {
                thought.finish(&mut self.to(out));
                thought.write(&mut item);
            }
        }
        let index = self.items;
        self.events.write(out, "response.output_item.done", |event| {
            event.number("output_index", index);
            event.field("item").extend_from_slice(&item);
        });
        if index > 0 {
            self.output.push(b',');
        }
        self.output.append(&mut item);
        self.items = index.saturating_add(1);
    }

    fn end(&mut self, usage: Option<Usage>, out: &mut Vec<u8>) {
        let reason = incomplete_reason(self.finish.unwrap_or_default(), self.is_refused);
        let status = if reason.is_some() { "incomplete" } else { "completed" };
        self.close(status, out);
        let name = if reason.is_some() { "response.incomplete" } else { "response.completed" };
        self.frame(name, status, reason, Some(usage.unwrap_or_default()), out);
    }
}

fn too_long() -> Error {
    let message = format!(
        "the provider's answer is longer than {} MiB, which is the most that a stream of this API repeats; ask for less",
        OUTPUT_BYTES_MAX >> 20
    );
    Error::new(Kind::UpstreamInvalidResponse, message)
}

fn interleaved() -> Error {
    let message = "the provider's stream goes back to a tool call that it had left; ask for the whole answer";
    Error::new(Kind::UpstreamInvalidResponse, message)
}

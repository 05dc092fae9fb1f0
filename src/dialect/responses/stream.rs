//! Neutral events to the server-sent events of a response
//! (<https://platform.openai.com/docs/api-reference/responses-streaming>), whole events at a time. One item is open at a time,
//! and beside it each call whose arguments are not whole, since a provider may tell several at once; each is said again when
//! it is whole, and all once more at the end, so what was said is held until then. The way back is
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
use crate::dialect::whole::is_blank;
use crate::error::{Error, Kind};

/// Most bytes of texts, thoughts, arguments and names that are held for one stream. An answer of 128 Ki tokens is a
/// fourth of it.
pub(super) const OUTPUT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What an item, a part of a message or an annotation counts beside its words, bytes: its JSON is not much longer.
const FRAME_BYTES: usize = 256;

/// State of one stream.
pub(in crate::dialect) struct Encoder {
    options: StreamOptions,
    /// The request's, see [`super::echo`].
    settings: Vec<u8>,
    id: String,
    ids: Ids,
    events: Events,
    open: Open,
    /// Calls that are being said, by their items' indices, in order.
    calls: Vec<(usize, OpenCall)>,
    /// Finished items as JSON; one that is being said is empty.
    output: Vec<Vec<u8>>,
    /// Bytes said so far, and [`FRAME_BYTES`] for what is around them.
    held_bytes: usize,
    /// Characters of text in finished parts.
    said_chars: u64,
    is_refused: bool,
    /// Whether the last words of a message were a refusal's: a message's parts change with them.
    says_refusal: bool,
    finish: Option<Finish>,
}

/// The item that is being said and is no call: the last one but for calls.
enum Open {
    None,
    Message(usize, OpenMessage),
    Thought(usize, OpenThought),
}

/// Writes events, each with its number.
#[derive(Default)]
struct Events {
    sequence_number: u64,
}

impl Events {
    /// Where the events of the item at `index` go.
    fn to<'t>(&'t mut self, index: usize, out: &'t mut Vec<u8>) -> To<'t> {
        To { output_index: number(index), events: self, out }
    }

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
            calls: Vec::new(),
            output: Vec::new(),
            held_bytes: 0,
            said_chars: 0,
            is_refused: false,
            says_refusal: false,
            finish: None,
        }
    }

    /// Repeats the request's settings, see [`super::echo`].
    pub(in crate::dialect) fn echo(&mut self, settings: Vec<u8>) {
        self.settings = settings;
    }

    /// Appends the events that say `event`; `usage` is what is known by now. Errors: an answer over
    /// [`OUTPUT_BYTES_MAX`], and more of a call whose arguments were whole when another item began.
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
                texts.fold(FRAME_BYTES, |sum, text| text.len().saturating_add(sum))
            }
            Event::Start { .. } | Event::Finish(_) | Event::End => 0,
        };
        let changes_part = match event {
            Event::Text(_) | Event::Citation(_) => std::mem::replace(&mut self.says_refusal, false),
            Event::Refusal(_) => !std::mem::replace(&mut self.says_refusal, true),
            _ => false,
        };
        let frame_bytes = if changes_part { FRAME_BYTES } else { 0 };
        self.held_bytes = self.held_bytes.saturating_add(bytes + frame_bytes);
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
        let output = self.output.join(&b","[..]);
        let frame = Frame {
            id: &self.id,
            created_s: self.options.created_s,
            model: &self.options.model,
            status,
            incomplete_reason,
            output: &output,
            usage,
            service_tier: None,
            settings: &self.settings,
        };
        self.events.write(out, name, |event| frame.write(event.field("response")));
    }

    /// Has a message be the open item and says something in it.
    fn message(&mut self, out: &mut Vec<u8>, say: impl FnOnce(&mut OpenMessage, &mut To<'_>)) {
        if !matches!(self.open, Open::Message(..)) {
            let index = self.begin(out);
            let id = self.ids.item("msg", number(index));
            let message = OpenMessage::begin(id, self.said_chars, &mut self.events.to(index, out));
            self.open = Open::Message(index, message);
        }
        if let Open::Message(index, message) = &mut self.open {
            say(message, &mut self.events.to(*index, out));
        }
    }

    /// The same of a thought.
    fn thought(&mut self, index: u32, out: &mut Vec<u8>, say: impl FnOnce(&mut OpenThought, &mut To<'_>)) {
        if !matches!(&self.open, Open::Thought(_, thought) if thought.index == index) {
            let at = self.begin(out);
            let id = self.ids.item("rs", number(at));
            let thought = OpenThought::begin(id, index, &mut self.events.to(at, out));
            self.open = Open::Thought(at, thought);
        }
        if let Open::Thought(at, thought) = &mut self.open {
            say(thought, &mut self.events.to(*at, out));
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
        let at = self.begin(out);
        let id = self.ids.item("fc", number(at));
        self.calls.push((at, OpenCall::begin(id, index, id_and_name, &mut self.events.to(at, out))));
    }

    fn arguments(&mut self, index: u32, json: &str, out: &mut Vec<u8>) -> Result<(), Error> {
        match self.calls.iter_mut().find(|(_, call)| call.index == index) {
            Some((at, call)) => call.arguments(json, &mut self.events.to(*at, out)),
            None if is_blank(json) => {}
            None => return Err(left()),
        }
        Ok(())
    }

    /// Has room made for another item, whose index it gives. The one before is said, and so is each call that is whole.
    fn begin(&mut self, out: &mut Vec<u8>) -> usize {
        self.close("completed", out);
        while let Some(place) = self.calls.iter().position(|(_, call)| call.is_whole()) {
            let (at, call) = self.calls.remove(place);
            self.close_call(at, call, "completed", out);
        }
        self.held_bytes = self.held_bytes.saturating_add(FRAME_BYTES);
        self.output.push(Vec::new());
        self.output.len() - 1
    }

    /// Ends the open item, if one is that is no call.
    fn close(&mut self, status: &str, out: &mut Vec<u8>) {
        let open = std::mem::replace(&mut self.open, Open::None);
        let mut item = Vec::new();
        match open {
            Open::None => {}
            Open::Message(at, mut message) => {
                self.said_chars = message.finish(&mut self.events.to(at, out));
                message.write(&mut item, status);
                self.done(at, item, out);
            }
            Open::Thought(at, thought) => {
                thought.finish(&mut self.events.to(at, out));
                thought.write(&mut item);
                self.done(at, item, out);
            }
        }
    }

    fn close_call(&mut self, at: usize, mut call: OpenCall, status: &str, out: &mut Vec<u8>) {
        call.finish(&mut self.events.to(at, out));
        let mut item = Vec::new();
        call.write(&mut item, status);
        self.done(at, item, out);
    }

    fn done(&mut self, at: usize, item: Vec<u8>, out: &mut Vec<u8>) {
        self.events.write(out, "response.output_item.done", |event| {
            event.number("output_index", number(at));
            event.field("item").extend_from_slice(&item);
        });
        if let Some(slot) = self.output.get_mut(at) {
            *slot = item;
        }
    }

    fn end(&mut self, usage: Option<Usage>, out: &mut Vec<u8>) {
        let reason = incomplete_reason(self.finish.unwrap_or_default(), self.is_refused);
        let status = if reason.is_some() { "incomplete" } else { "completed" };
        // What an answer that was cut short said last, and each call that it left open, is not whole.
        let last = self.output.len();
        for (at, call) in std::mem::take(&mut self.calls) {
            let is_said = call.is_whole() && at + 1 < last;
            self.close_call(at, call, if is_said { "completed" } else { status }, out);
        }
        self.close(status, out);
        let name = if reason.is_some() { "response.incomplete" } else { "response.completed" };
        self.frame(name, status, reason, Some(usage.unwrap_or_default()), out);
    }
}

fn number(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX)
}

fn too_long() -> Error {
    let message = format!(
        "the provider's answer is longer than {} MiB, which is the most that a stream of this API repeats; ask for less",
        OUTPUT_BYTES_MAX >> 20
    );
    Error::new(Kind::UpstreamInvalidResponse, message)
}

fn left() -> Error {
    let message = "the provider's stream goes back to a tool call that it had left; ask for the whole answer";
    Error::new(Kind::UpstreamInvalidResponse, message)
}

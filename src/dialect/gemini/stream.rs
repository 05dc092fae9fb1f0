//! Events of a streamed generateContent answer (`alt=sse`) to neutral ones, several for one, and back. Each event is a
//! whole response with a step of the answer. The decoder keeps token counts and indices, nothing of what was said; the
//! encoder holds calls back until they are whole, for Gemini's are.
//!
//! Gemini has no word for the end of a stream: one that gave a reason to stop is whole when its bytes end.

use super::citation::{self, Measure};
use super::response::{self, WirePart, WireResponse};
use super::usage::{self, WireUsage};
use super::{call_id, finish};
use crate::chat::{Event, Finish, Usage};
use crate::dialect::StreamOptions;
use crate::dialect::json::{Array, Object, Span, Text};
use crate::dialect::translate::Sink;
use crate::error::{Error, Kind};

/// Most bytes of calls that are held back for one stream, names and ids included; what is more ends the answer as a
/// malformed call. An answer of 128 Ki tokens is smaller.
const CALLS_BYTES_MAX: usize = 1024 * 1024;
/// Most calls of one answer.
const CALLS_MAX: usize = 128;

/// State of one stream that is read.
#[derive(Default)]
pub(in crate::dialect) struct Decoder {
    is_started: bool,
    has_stopped: bool,
    usage: Option<WireUsage>,
    /// Of the stream's first event, for the ids of calls.
    response_id: String,
    calls_seen: u32,
    thoughts_seen: u32,
    /// Whether the next words of a thought go on with the last thought.
    is_thinking: bool,
    /// Whether some text's bytes are not its characters, so that places in it can't be told.
    is_wide: bool,
}

/// Takes the events in their order.
type Each<'e> = &'e mut dyn FnMut(Event<'_>);

impl Decoder {
    /// Decodes one event's data and gives `sink` what it means: nothing (a report of tokens only) or more. An `error` is
    /// an [`Error::upstream`].
    pub(in crate::dialect) fn decode(&mut self, data: &[u8], sink: Sink<'_>) -> Result<(), Error> {
        let wire: WireResponse<'_> = serde_json::from_slice(data)
            .map_err(|_| broken("an event of the provider's stream is not the JSON that its dialect says"))?;
        if let Some(error) = wire.error {
            return Err(upstream(error));
        }
        if let Some(later) = wire.usage_metadata {
            self.usage.get_or_insert_default().update(later);
        }
        let usage = self.usage();
        let mut taken = Ok(());
        self.events(wire, &mut |event| {
            if taken.is_ok() {
                taken = sink(event, usage);
            }
        })?;
        taken
    }

    fn events(&mut self, mut wire: WireResponse<'_>, each: Each<'_>) -> Result<(), Error> {
        self.start(&wire, each);
        let Some(answer) = wire.take_answer() else { return Ok(()) };
        for part in answer.parts {
            self.part(part, each)?;
        }
        if !answer.sources.is_empty() {
            let measure = if self.is_wide { Measure::Unknown } else { Measure::Ascii };
            // Pieces of one part have no places of their own.
            let cited = answer.sources.read(&measure, &[0]);
            cited.iter().for_each(|citation| each(Event::Citation(citation)));
        }
        if let Some(refusal) = answer.refusal {
            each(Event::Refusal(&refusal));
        }
        if let Some(reason) = answer.reason.filter(|_| !self.has_stopped) {
            self.has_stopped = true;
            each(Event::Finish(finish(&reason, self.calls_seen > 0)));
        }
        Ok(())
    }

    /// The provider's bytes have ended: the answer's end, if it gave a reason for it.
    pub(in crate::dialect) fn finish(&mut self, sink: Sink<'_>) -> Result<(), Error> {
        if self.has_stopped { sink(Event::End, self.usage()) } else { Ok(()) }
    }

    /// Tokens so far, once the provider has reported any.
    pub(in crate::dialect) fn usage(&self) -> Option<Usage> {
        self.usage.map(|usage| usage.usage())
    }

    fn start(&mut self, wire: &WireResponse<'_>, each: Each<'_>) {
        if self.is_started {
            return;
        }
        self.is_started = true;
        let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.0.to_string()).unwrap_or_default();
        self.response_id = text(&wire.response_id);
        each(Event::Start { id: &self.response_id, model: &text(&wire.model_version) });
    }

    fn part(&mut self, part: WirePart<'_>, each: Each<'_>) -> Result<(), Error> {
        let text = part.text.as_ref().map_or("", |text| &*text.0);
        let signature = part.thought_signature.as_ref().map(|text| &*text.0);
        if part.function_call.is_some() {
            self.encrypted(signature, each);
            return self.call(&part, each);
        }
        if part.thought && (!text.is_empty() || self.is_thinking) {
            self.thought(text, signature, each);
            return Ok(());
        }
        if !text.is_empty() {
            self.is_thinking = false;
            self.is_wide |= !text.is_ascii();
            each(Event::Text(text));
        }
        self.encrypted(signature, each);
        Ok(())
    }

    fn thought(&mut self, text: &str, signature: Option<&str>, each: Each<'_>) {
        if !self.is_thinking {
            self.is_thinking = true;
            self.thoughts_seen = self.thoughts_seen.saturating_add(1);
        }
        let index = self.thoughts_seen.saturating_sub(1);
        if !text.is_empty() {
            each(Event::Reasoning { index, text });
        }
        if let Some(signature) = signature {
            self.is_thinking = false;
            each(Event::ReasoningSignature { index, signature });
        }
    }

    fn encrypted(&mut self, signature: Option<&str>, each: Each<'_>) {
        let Some(data) = signature else { return };
        self.is_thinking = false;
        let index = self.thoughts_seen;
        self.thoughts_seen = index.saturating_add(1);
        each(Event::ReasoningEncrypted { index, data });
    }

    fn call(&mut self, part: &WirePart<'_>, each: Each<'_>) -> Result<(), Error> {
        let Some(call) = &part.function_call else { return Ok(()) };
        let index = self.calls_seen;
        if index as usize >= CALLS_MAX {
            return Err(broken("the provider's stream has too many function calls"));
        }
        self.is_thinking = false;
        self.calls_seen = index.saturating_add(1);
        let own = call.id.as_ref().map(|text| &*text.0).filter(|id| !id.is_empty());
        let made = if own.is_none() { call_id(&self.response_id, index as usize) } else { String::new() };
        each(Event::ToolCall { index, id: own.unwrap_or(&made), name: &call.name.0 });
        each(Event::ToolArguments { index, json: call.arguments() });
        Ok(())
    }
}

fn broken(message: &'static str) -> Error {
    Error::new(Kind::UpstreamInvalidResponse, message)
}

fn upstream(error: Span<'_>) -> Error {
    let value = serde_json::from_str(error.raw().0).unwrap_or_default();
    Error::upstream(super::error::decode_event(&value))
}

/// State of one stream that is written.
pub(in crate::dialect) struct Encoder {
    options: StreamOptions,
    /// What every event ends with, from behind its candidates; made by the first event.
    suffix: Vec<u8>,
    calls: Vec<Call>,
    calls_bytes: usize,
    /// Whether there were more calls, or longer ones, than are held.
    is_over: bool,
    /// As the decoder's.
    is_wide: bool,
    finish: Option<Finish>,
}

/// A call whose arguments are not all there yet.
struct Call {
    index: u32,
    id: String,
    name: String,
    arguments: String,
}

impl Encoder {
    /// A stream that has not begun.
    pub(in crate::dialect) fn new(options: StreamOptions) -> Self {
        Self {
            options,
            suffix: Vec::new(),
            calls: Vec::new(),
            calls_bytes: 0,
            is_over: false,
            is_wide: false,
            finish: None,
        }
    }

    /// Appends the events that say `event`, whole ones, mostly none or one; `usage` is what is known by now. The last
    /// one, with the reason and the counts, comes with the end.
    pub(in crate::dialect) fn encode(&mut self, event: Event<'_>, usage: Option<Usage>, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, model } => self.start(id, model),
            Event::Citation(citation) => {
                let measure = if self.is_wide { Measure::Unknown } else { Measure::Ascii };
                let cited = std::iter::once(citation);
                self.candidate(out, |_| (), |candidate| citation::write(candidate, cited, &measure));
            }
            Event::Text(text) | Event::Refusal(text) => {
                self.is_wide |= !text.is_ascii();
                self.step(out, |parts| response::write_text(parts.item(), text, false, None));
            }
            Event::Reasoning { text, .. } => {
                self.step(out, |parts| response::write_text(parts.item(), text, true, None));
            }
            Event::ReasoningSignature { signature, .. } => {
                self.step(out, |parts| response::write_text(parts.item(), "", true, Some(signature)));
            }
            Event::ReasoningEncrypted { data, .. } => {
                self.step(out, |parts| response::write_text(parts.item(), "", false, Some(data)));
            }
            Event::ToolCall { index, id, name } => self.hold(index, id, name),
            Event::ToolArguments { index, json } => self.hold_arguments(index, json),
            Event::Finish(finish) => {
                self.finish.get_or_insert(finish);
            }
            Event::End => self.end(usage, out),
        }
    }

    fn start(&mut self, id: &str, model: &str) {
        let model = if model.is_empty() { &self.options.model } else { model };
        let mut suffix = Vec::with_capacity(96);
        let mut object = Object::begin(&mut suffix);
        object.text("modelVersion", model);
        object.text("responseId", id);
        object.end();
        // The object's start is the candidates'.
        self.suffix = suffix.split_off(1);
    }

    fn hold(&mut self, index: u32, id: &str, name: &str) {
        let call = Call { index, id: id.to_owned(), name: name.to_owned(), arguments: String::new() };
        self.calls_bytes = self.calls_bytes.saturating_add(id.len()).saturating_add(name.len());
        self.is_over |= self.calls.len() >= CALLS_MAX || self.calls_bytes > CALLS_BYTES_MAX;
        if !self.is_over {
            self.calls.push(call);
        }
    }

    /// Arguments that are over the bound stay cut, so that the call is told as malformed.
    fn hold_arguments(&mut self, index: u32, json: &str) {
        self.calls_bytes = self.calls_bytes.saturating_add(json.len());
        self.is_over |= self.calls_bytes > CALLS_BYTES_MAX;
        let call = self.calls.iter_mut().find(|call| call.index == index);
        if let Some(call) = call.filter(|_| !self.is_over) {
            call.arguments.push_str(json);
        }
    }

    fn end(&mut self, usage: Option<Usage>, out: &mut Vec<u8>) {
        let calls = std::mem::take(&mut self.calls);
        let is_over = self.is_over;
        let broken = calls.iter().find(|call| is_over || !response::is_callable(&call.arguments));
        // The one call that is over may be none of those that are held.
        let broken = broken.map(|call| (&*call.name, &*call.arguments)).or(is_over.then_some(("", "")));
        out.extend_from_slice(b"data: ");
        let mut body = Object::begin(out);
        let mut candidates = Array::begin(body.field("candidates"));
        let mut candidate = Object::begin(candidates.item());
        let mut content = Object::begin(candidate.field("content"));
        let mut parts = Array::begin(content.field("parts"));
        for call in calls.iter().filter(|call| !is_over && response::is_callable(&call.arguments)) {
            response::write_call(parts.item(), &call.id, &call.name, &call.arguments);
        }
        parts.end();
        content.text("role", "model");
        content.end();
        let finish = self.finish.unwrap_or(Finish::Stop);
        candidate.text("finishReason", response::finish_reason(finish, broken.is_some()));
        if let Some((name, arguments)) = broken {
            candidate.text("finishMessage", &response::malformed(name, arguments));
        }
        candidate.number("index", 0);
        candidate.end();
        candidates.end();
        usage::write(body.field("usageMetadata"), &usage.unwrap_or_default());
        self.close(out);
    }

    /// One event with a step of the answer.
    fn step(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Array<'_>)) {
        self.candidate(out, write, |_| ());
    }

    fn candidate(
        &self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Array<'_>),
        write_beside: impl FnOnce(&mut Object<'_>),
    ) {
        out.extend_from_slice(b"data: ");
        let mut body = Object::begin(out);
        let mut candidates = Array::begin(body.field("candidates"));
        let mut candidate = Object::begin(candidates.item());
        let mut content = Object::begin(candidate.field("content"));
        let mut parts = Array::begin(content.field("parts"));
        write(&mut parts);
        parts.end();
        content.text("role", "model");
        content.end();
        write_beside(&mut candidate);
        candidate.number("index", 0);
        candidate.end();
        candidates.end();
        self.close(out);
    }

    /// Ends the event's object, which is open, and the event.
    fn close(&self, out: &mut Vec<u8>) {
        if self.suffix.is_empty() {
            out.push(b'}');
        } else {
            out.push(b',');
            out.extend_from_slice(&self.suffix);
        }
        out.extend_from_slice(b"\n\n");
    }
}

#[cfg(test)]
mod tests;

//! Server-sent chat completion chunks (<https://platform.openai.com/docs/api-reference/chat-streaming>) to neutral events. It
//! keeps the calls that were begun and the token counts, nothing of what was said.

use serde::Deserialize;

use crate::chat::{Event, Usage};
use crate::dialect::error_body;
use crate::dialect::json::{Span, Text};
use crate::dialect::openai::answer::made_id;
use crate::dialect::openai::said::{Thought, WireCall, WireSaid, finish};
use crate::dialect::openai::usage::WireUsage;
use crate::dialect::translate::Sink;
use crate::error::{Error, Kind};

/// Most calls in one answer.
const CALLS_MAX: usize = 128;

/// State of one stream.
#[derive(Default)]
pub(in crate::dialect) struct Decoder {
    is_started: bool,
    is_refused: bool,
    has_reason: bool,
    /// The answer's id, for calls that have none of their own.
    id: String,
    calls: Vec<Call>,
    usage: Option<WireUsage>,
}

struct Call {
    /// The provider's own index.
    wire_index: u64,
    /// The provider's id; empty: it gave none.
    id: String,
}

#[derive(Deserialize)]
struct WireChunk<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    choices: Option<Vec<WireChoice<'a>>>,
    usage: Option<WireUsage>,
    #[serde(borrow)]
    error: Option<Span<'a>>,
}

#[derive(Deserialize)]
struct WireChoice<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    delta: Option<WireSaid<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
}

impl Decoder {
    /// Decodes one event's data into none or more events for `sink`. A chunk with an `error` is an [`Error::upstream`].
    pub(in crate::dialect) fn decode(&mut self, data: &[u8], sink: Sink<'_>) -> Result<(), Error> {
        if data == b"[DONE]" {
            return self.end(sink);
        }
        let wire: WireChunk<'_> = serde_json::from_slice(data)
            .map_err(|_| broken("an event of the provider's stream is not the JSON that its dialect says"))?;
        if wire.error.is_some_and(|error| error.first() != b'n') {
            let mut error = error_body::decode(500, data);
            error.status = crate::dialect::openai::error::status(&error);
            return Err(Error::upstream(error));
        }
        self.usage = wire.usage.or(self.usage);
        // A request that we translate asks for one answer.
        let choices = wire.choices.unwrap_or_default();
        let choice = choices.into_iter().find(|choice| choice.index.unwrap_or(0) == 0);
        let Some(choice) = choice else { return Ok(()) };
        if !self.is_started {
            self.is_started = true;
            let id = wire.id.as_ref().map_or("", |id| &*id.0);
            id.clone_into(&mut self.id);
            sink(
                Event::Start { id, model: wire.model.as_ref().map_or("", |model| &*model.0) },
                self.usage(),
            )?;
        }
        if let Some(delta) = &choice.delta {
            self.say(delta, sink)?;
        }
        match choice.finish_reason {
            Some(Text(reason)) if !reason.is_empty() && !self.has_reason => {
                self.has_reason = true;
                let finish = finish(Some(&reason), !self.calls.is_empty(), self.is_refused);
                sink(Event::Finish(finish), self.usage())
            }
            _ => Ok(()),
        }
    }

    /// Tokens so far, once the provider has reported any.
    pub(in crate::dialect) fn usage(&self) -> Option<Usage> {
        self.usage.map(|usage| usage.usage())
    }

    fn end(&self, sink: Sink<'_>) -> Result<(), Error> {
        if !self.is_started {
            return Err(broken("the provider's stream ended before it said anything"));
        }
        sink(Event::End, self.usage())
    }

    fn say(&mut self, delta: &WireSaid<'_>, sink: Sink<'_>) -> Result<(), Error> {
        let usage = self.usage();
        for thought in delta.thoughts() {
            think(&thought, usage, sink)?;
        }
        for text in delta.texts() {
            sink(Event::Text(&text), usage)?;
        }
        for citation in delta.citations() {
            sink(Event::Citation(&citation), usage)?;
        }
        if let Some(refusal) = delta.refusal() {
            self.is_refused = true;
            sink(Event::Refusal(&refusal), usage)?;
        }
        for call in delta.tool_calls.iter().flatten() {
            self.call(call, sink)?;
        }
        Ok(())
    }

    /// A piece with an id that its index does not have yet begins a call: not all providers count.
    fn call(&mut self, wire: &WireCall<'_>, sink: Sink<'_>) -> Result<(), Error> {
        let wire_index = wire.index.unwrap_or(0);
        let is_same = |call: &Call| {
            call.wire_index == wire_index && wire.id().is_none_or(|id| call.id == id || call.id.is_empty())
        };
        let usage = self.usage();
        let at = match self.calls.iter().rposition(is_same) {
            Some(at) => at,
            None => self.begin(wire, wire_index, sink)?,
        };
        let json = wire.arguments();
        if json.is_empty() {
            return Ok(());
        }
        sink(Event::ToolArguments { index: u32::try_from(at).unwrap_or(u32::MAX), json }, usage)
    }

    fn begin(&mut self, wire: &WireCall<'_>, wire_index: u64, sink: Sink<'_>) -> Result<usize, Error> {
        let at = self.calls.len();
        let Some(name) = wire.name() else {
            return Err(broken("a tool call of the provider's stream lacks its name"));
        };
        if at >= CALLS_MAX {
            return Err(broken("the provider's stream has too many tool calls"));
        }
        let index = u32::try_from(at).unwrap_or(u32::MAX);
        let made = wire.id().is_none().then(|| made_id(&self.id, at));
        let id = made.as_deref().or(wire.id()).unwrap_or_default();
        sink(Event::ToolCall { index, id, name }, self.usage())?;
        self.calls.push(Call { wire_index, id: wire.id().unwrap_or_default().to_owned() });
        Ok(at)
    }
}

fn think(thought: &Thought<'_>, usage: Option<Usage>, sink: Sink<'_>) -> Result<(), Error> {
    let index = thought.index;
    if let Some(data) = &thought.data {
        return sink(Event::ReasoningEncrypted { index, data }, usage);
    }
    if let Some(text) = &thought.text {
        sink(Event::Reasoning { index, text }, usage)?;
    }
    match &thought.signature {
        Some(signature) => sink(Event::ReasoningSignature { index, signature }, usage),
        None => Ok(()),
    }
}

fn broken(message: &'static str) -> Error {
    Error::new(Kind::UpstreamInvalidResponse, message)
}

//! Server-sent events of a chat answer of Cohere's (<https://docs.cohere.com/reference/chat-stream>) to neutral events. It keeps
//! the calls that were begun and the places of texts, nothing of what was said. Events of a kind that it does not know are
//! passed over.

use serde::Deserialize;

use crate::chat::{Event, Usage};
use crate::dialect::cohere::answer::{Bases, WireCall, made_id};
use crate::dialect::cohere::citation::WireCitation;
use crate::dialect::cohere::usage::WireUsage;
use crate::dialect::cohere::{error, finish};
use crate::dialect::json::{Span, Text};
use crate::dialect::translate::Sink;
use crate::error::{Error, Kind};

/// Most calls in one answer.
const CALLS_MAX: usize = 128;

/// State of one stream.
#[derive(Default)]
pub(in crate::dialect) struct Decoder {
    is_started: bool,
    /// The answer's id, for calls that have none of their own.
    id: String,
    /// The provider's index of each call, in neutral order.
    calls: Vec<u64>,
    /// Thoughts so far.
    thoughts: u32,
    /// Which of the provider's is open: a block by its index, or the plan.
    thought: Option<Thought>,
    bases: Bases,
    usage: Option<WireUsage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thought {
    Block(u64),
    Plan,
}

#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    index: Option<u64>,
    #[serde(borrow)]
    delta: Option<WireDelta<'a>>,
}

#[derive(Deserialize)]
struct WireDelta<'a> {
    #[serde(borrow)]
    message: Option<Span<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    error: Option<Text<'a>>,
    usage: Option<WireUsage>,
}

/// Each event has one of them.
#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow)]
    content: Option<WireContent<'a>>,
    #[serde(borrow)]
    tool_plan: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<WireCall<'a>>,
    #[serde(borrow)]
    citations: Option<WireCitation<'a>>,
}

#[derive(Deserialize)]
struct WireContent<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
}

impl Decoder {
    /// Decodes one event's data into none or more events for `sink`. An end by an error is an [`Error::upstream`].
    pub(in crate::dialect) fn decode(&mut self, data: &[u8], sink: Sink<'_>) -> Result<(), Error> {
        if data == b"[DONE]" {
            return Ok(());
        }
        let wire: WireEvent<'_> = serde_json::from_slice(data).map_err(|_| not_said())?;
        let index = wire.index.unwrap_or(0);
        match &*wire.kind.0 {
            "message-start" => self.start(wire.id.as_ref().map_or("", |id| &*id.0), sink),
            "content-start" => self.begin(index, message(wire.delta)?, sink),
            "content-delta" => self.say(index, message(wire.delta)?, sink),
            "tool-plan-delta" => self.plan(message(wire.delta)?, sink),
            "tool-call-start" => self.call(index, message(wire.delta)?, sink),
            "tool-call-delta" => self.arguments(index, message(wire.delta)?, sink),
            "citation-start" => self.cite(message(wire.delta)?, sink),
            "message-end" => self.end(wire.delta, sink),
            _ => Ok(()),
        }
    }

    /// Tokens so far, once the provider has reported any.
    pub(in crate::dialect) fn usage(&self) -> Option<Usage> {
        self.usage.map(|usage| usage.usage())
    }

    fn start(&mut self, id: &str, sink: Sink<'_>) -> Result<(), Error> {
        if self.is_started {
            return Ok(());
        }
        self.is_started = true;
        id.clone_into(&mut self.id);
        // No answer of Cohere's names its model.
        sink(Event::Start { id, model: "" }, None)
    }

    fn begin(&mut self, index: u64, wire: WireMessage<'_>, sink: Sink<'_>) -> Result<(), Error> {
        let is_thinking = wire.content.as_ref().is_some_and(|content| {
            content.thinking.is_some() || content.kind.as_ref().is_some_and(|kind| kind.0 == "thinking")
        });
        if is_thinking {
            self.think(Thought::Block(index));
        } else {
            self.bases.begin(index);
        }
        self.say(index, wire, sink)
    }

    fn say(&mut self, index: u64, wire: WireMessage<'_>, sink: Sink<'_>) -> Result<(), Error> {
        self.start("", sink)?;
        let Some(content) = wire.content else { return Ok(()) };
        if let Some(Text(text)) = content.thinking.filter(|text| !text.0.is_empty()) {
            let index = self.think(Thought::Block(index));
            sink(Event::Reasoning { index, text: &text }, None)?;
        }
        if let Some(Text(text)) = content.text.filter(|text| !text.0.is_empty()) {
            self.bases.say(&text);
            sink(Event::Text(&text), None)?;
        }
        Ok(())
    }

    fn plan(&mut self, wire: WireMessage<'_>, sink: Sink<'_>) -> Result<(), Error> {
        self.start("", sink)?;
        let Some(Text(text)) = wire.tool_plan.filter(|text| !text.0.is_empty()) else { return Ok(()) };
        let index = self.think(Thought::Plan);
        sink(Event::Reasoning { index, text: &text }, None)
    }

    /// The neutral index of a thought, which begins when another was open.
    fn think(&mut self, thought: Thought) -> u32 {
        if self.thought.replace(thought) != Some(thought) {
            self.thoughts = self.thoughts.saturating_add(1);
        }
        self.thoughts.saturating_sub(1)
    }

    fn call(&mut self, index: u64, wire: WireMessage<'_>, sink: Sink<'_>) -> Result<(), Error> {
        self.start("", sink)?;
        let called = wire.tool_calls.as_ref().and_then(|call| call.function.as_ref());
        let name = called.and_then(|called| called.name.as_ref()).filter(|name| !name.0.is_empty());
        let Some(name) = name else {
            return Err(broken("a tool call of the provider's stream lacks its name"));
        };
        let at = self.calls.len();
        if at >= CALLS_MAX {
            return Err(broken("the provider's stream has too many tool calls"));
        }
        self.calls.push(index);
        let id = wire.tool_calls.as_ref().and_then(|call| call.id.as_ref()).filter(|id| !id.0.is_empty());
        let made = id.is_none().then(|| made_id(&self.id, at));
        let id = made.as_deref().or(id.map(|id| &*id.0)).unwrap_or_default();
        let neutral = u32::try_from(at).unwrap_or(u32::MAX);
        sink(Event::ToolCall { index: neutral, id, name: &name.0 }, None)?;
        self.arguments(index, wire, sink)
    }

    fn arguments(&mut self, index: u64, wire: WireMessage<'_>, sink: Sink<'_>) -> Result<(), Error> {
        let arguments = wire.tool_calls.and_then(|call| call.function).and_then(|called| called.arguments);
        let Some(Text(json)) = arguments.filter(|text| !text.0.is_empty()) else { return Ok(()) };
        let Some(at) = self.calls.iter().rposition(|one| *one == index) else {
            return Err(broken("the provider's stream has arguments of a tool call that did not begin"));
        };
        sink(Event::ToolArguments { index: u32::try_from(at).unwrap_or(u32::MAX), json: &json }, None)
    }

    fn cite(&mut self, wire: WireMessage<'_>, sink: Sink<'_>) -> Result<(), Error> {
        let Some(citation) = wire.citations.filter(WireCitation::is_of_text) else { return Ok(()) };
        let base = self.bases.of(citation.content_index);
        citation.citations(base).iter().try_for_each(|citation| sink(Event::Citation(citation), None))
    }

    fn end(&mut self, delta: Option<WireDelta<'_>>, sink: Sink<'_>) -> Result<(), Error> {
        self.start("", sink)?;
        let Some(delta) = delta else { return Err(not_said()) };
        self.usage = delta.usage.or(self.usage);
        let reason = delta.finish_reason.as_ref().map_or("", |reason| &*reason.0);
        let words = delta.error.as_ref().map(|words| &*words.0);
        // An error is one, whatever the reason beside it.
        let failed = error::of_finish(reason, words).or(words.and_then(|_| error::of_finish("ERROR", words)));
        if let Some(error) = failed {
            return Err(Error::upstream(error));
        }
        sink(Event::Finish(finish(reason, !self.calls.is_empty())), self.usage())?;
        sink(Event::End, self.usage())
    }
}

fn message(delta: Option<WireDelta<'_>>) -> Result<WireMessage<'_>, Error> {
    let span = delta.and_then(|delta| delta.message).ok_or_else(not_said)?;
    span.parse(&"delta.message").map_err(|_| not_said())
}

fn not_said() -> Error {
    broken("an event of the provider's stream is not the JSON that its dialect says")
}

fn broken(message: &'static str) -> Error {
    Error::new(Kind::UpstreamInvalidResponse, message)
}

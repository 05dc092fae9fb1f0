//! Server-sent events of a response to neutral events
//! (<https://platform.openai.com/docs/api-reference/responses-streaming>). Deltas are passed on as they come; what was not told by
//! deltas is taken from the event that says it whole. It keeps token counts, the calls that were begun and the open thought,
//! nothing of what was said.

use std::borrow::Cow;

use serde::Deserialize;

use crate::chat::{Event, Part, Usage};
use crate::dialect::json::{Span, Text};
use crate::dialect::responses::answer::{WireAnnotation, WireIncomplete, WireItem};
use crate::dialect::responses::usage::WireUsage;
use crate::dialect::responses::{error, finish, thought};
use crate::dialect::translate::Sink;
use crate::error::{Error, Kind};

/// Most calls in one answer.
const CALLS_MAX: usize = 128;

/// What events that say something begin with: none of them stands before the answer's start, whose id and model other
/// dialects repeat in each event.
const SAYING: [&str; 5] = [
    "response.output_",
    "response.content_part",
    "response.refusal",
    "response.function_call_arguments",
    "response.reasoning_",
];

/// State of one stream.
#[derive(Default)]
pub(in crate::dialect) struct Decoder {
    is_started: bool,
    is_refused: bool,
    usage: Option<WireUsage>,
    calls: Vec<Call>,
    thought: Option<Thought>,
    thoughts_seen: u32,
    part: Saying,
    /// Characters of text so far.
    said_chars: u64,
}

struct Call {
    output_index: u64,
    has_arguments: bool,
}

/// The thought that is being told.
struct Thought {
    output_index: u64,
    index: u32,
    has_words: bool,
}

/// The part of a message that is being said.
#[derive(Default)]
struct Saying {
    is_said: bool,
    /// Characters of text before it.
    before_chars: u64,
}

/// What an event may hold. Events that we don't read have other types in some fields: those are read when they are wanted.
#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    response: Option<Span<'a>>,
    #[serde(borrow)]
    item: Option<Span<'a>>,
    output_index: Option<u64>,
    #[serde(borrow)]
    delta: Option<Span<'a>>,
    #[serde(borrow)]
    text: Option<Span<'a>>,
    #[serde(borrow)]
    refusal: Option<Span<'a>>,
    #[serde(borrow)]
    arguments: Option<Span<'a>>,
    #[serde(borrow)]
    annotation: Option<Span<'a>>,
}

#[derive(Deserialize)]
struct WireResponse<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    incomplete_details: Option<WireIncomplete<'a>>,
    usage: Option<WireUsage>,
    #[serde(borrow)]
    error: Option<Span<'a>>,
}

impl Decoder {
    /// Decodes one event's data into none or more events for `sink`. An `error` and a failed response are an
    /// [`Error::upstream`].
    pub(in crate::dialect) fn decode(&mut self, data: &[u8], sink: Sink<'_>) -> Result<(), Error> {
        let wire: WireEvent<'_> = serde_json::from_slice(data).map_err(|_| unreadable())?;
        if !self.is_started && SAYING.iter().any(|start| wire.kind.0.starts_with(start)) {
            return Err(broken("the provider's stream did not begin with response.created"));
        }
        match &*wire.kind.0 {
            "response.created" | "response.in_progress" | "response.queued" => self.start(&wire, sink),
            "response.output_item.added" => self.added(&wire, sink),
            "response.output_item.done" => self.done(&wire, sink),
            "response.content_part.added" => {
                self.part = Saying { is_said: false, before_chars: self.said_chars };
                Ok(())
            }
            "response.output_text.delta" => self.text(wire.delta, sink),
            "response.output_text.done" if !self.part.is_said => self.text(wire.text, sink),
            "response.output_text.annotation.added" => self.annotation(&wire, sink),
            "response.refusal.delta" => self.refusal(wire.delta, sink),
            "response.refusal.done" if !self.part.is_said => self.refusal(wire.refusal, sink),
            "response.function_call_arguments.delta" => self.arguments(&wire, wire.delta, false, sink),
            "response.function_call_arguments.done" => self.arguments(&wire, wire.arguments, true, sink),
            "response.reasoning_summary_part.added" => self.between(&wire, sink),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                let words = word(wire.delta)?;
                self.think(output_index(&wire), &words, sink)
            }
            "response.completed" | "response.incomplete" => self.end(&wire, sink),
            "response.failed" => Err(failed(&wire)),
            "error" => Err(error::decode(data)),
            _ => Ok(()),
        }
    }

    /// Tokens so far, once the provider has reported any.
    pub(in crate::dialect) fn usage(&self) -> Option<Usage> {
        self.usage.map(|usage| usage.usage())
    }

    fn start(&mut self, wire: &WireEvent<'_>, sink: Sink<'_>) -> Result<(), Error> {
        if self.is_started {
            return Ok(());
        }
        self.is_started = true;
        let response = response(wire)?;
        let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.0.to_string()).unwrap_or_default();
        sink(Event::Start { id: &text(&response.id), model: &text(&response.model) }, self.usage())
    }

    fn added(&mut self, wire: &WireEvent<'_>, sink: Sink<'_>) -> Result<(), Error> {
        let item = item(wire)?;
        match &*item.kind.0 {
            "function_call" => self.begin_call(output_index(wire), &item, sink),
            "reasoning" => {
                self.begin_thought(output_index(wire));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn begin_call(&mut self, output_index: u64, item: &WireItem<'_>, sink: Sink<'_>) -> Result<(), Error> {
        if self.calls.len() >= CALLS_MAX {
            return Err(broken("the provider's stream has too many function calls"));
        }
        let (id, name) = item.call_names().map_err(|_| unreadable())?;
        let index = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
        self.calls.push(Call { output_index, has_arguments: false });
        sink(Event::ToolCall { index, id: &id, name: &name }, self.usage())
    }

    fn begin_thought(&mut self, output_index: u64) -> u32 {
        let index = self.thoughts_seen;
        self.thoughts_seen = index.saturating_add(1);
        self.thought = Some(Thought { output_index, index, has_words: false });
        index
    }

    /// What an item says whole is news where it was not told by deltas.
    fn done(&mut self, wire: &WireEvent<'_>, sink: Sink<'_>) -> Result<(), Error> {
        let item = item(wire)?;
        match &*item.kind.0 {
            "function_call" => {
                if !self.calls.iter().any(|call| call.output_index == output_index(wire)) {
                    self.begin_call(output_index(wire), &item, sink)?;
                }
                let arguments = item.call_arguments().map_err(|_| unreadable())?;
                let arguments = if arguments.is_empty() { "{}" } else { &*arguments };
                self.argue(output_index(wire), arguments, true, sink)
            }
            "reasoning" => self.thought_done(output_index(wire), &item, sink),
            _ => Ok(()),
        }
    }

    fn thought_done(&mut self, output_index: u64, item: &WireItem<'_>, sink: Sink<'_>) -> Result<(), Error> {
        let told = self.thought.take().filter(|thought| thought.output_index == output_index);
        let has_words = told.as_ref().is_some_and(|thought| thought.has_words);
        let index = match told {
            Some(thought) => thought.index,
            None => self.begin_thought(output_index),
        };
        self.thought = None;
        let usage = self.usage();
        match item.thought().map_err(|_| unreadable())? {
            Some(Part::ReasoningEncrypted { data }) => {
                sink(Event::ReasoningEncrypted { index, data: &data }, usage)
            }
            Some(Part::Reasoning { text, signature }) => {
                if !has_words && !text.is_empty() {
                    sink(Event::Reasoning { index, text: &text }, usage)?;
                }
                match signature {
                    Some(signature) => {
                        sink(Event::ReasoningSignature { index, signature: &signature }, usage)
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// A further text of one thought begins.
    fn between(&mut self, wire: &WireEvent<'_>, sink: Sink<'_>) -> Result<(), Error> {
        let has_words = self
            .thought
            .as_ref()
            .is_some_and(|thought| thought.output_index == output_index(wire) && thought.has_words);
        if has_words { self.think(output_index(wire), thought::BETWEEN, sink) } else { Ok(()) }
    }

    fn think(&mut self, output_index: u64, words: &str, sink: Sink<'_>) -> Result<(), Error> {
        if words.is_empty() {
            return Ok(());
        }
        if self.thought.as_ref().is_none_or(|thought| thought.output_index != output_index) {
            self.begin_thought(output_index);
        }
        let usage = self.usage();
        let Some(thought) = &mut self.thought else { return Ok(()) };
        thought.has_words = true;
        sink(Event::Reasoning { index: thought.index, text: words }, usage)
    }

    fn text(&mut self, text: Option<Span<'_>>, sink: Sink<'_>) -> Result<(), Error> {
        let text = word(text)?;
        if text.is_empty() {
            return Ok(());
        }
        self.part.is_said = true;
        self.said_chars = self.said_chars.saturating_add(text.chars().count() as u64);
        sink(Event::Text(&text), self.usage())
    }

    fn refusal(&mut self, text: Option<Span<'_>>, sink: Sink<'_>) -> Result<(), Error> {
        let text = word(text)?;
        self.is_refused = true;
        if text.is_empty() {
            return Ok(());
        }
        self.part.is_said = true;
        sink(Event::Refusal(&text), self.usage())
    }

    fn annotation(&mut self, wire: &WireEvent<'_>, sink: Sink<'_>) -> Result<(), Error> {
        let Some(annotation) = wire.annotation else { return Ok(()) };
        let annotation: WireAnnotation<'_> = read(annotation)?;
        match annotation.citation(self.part.before_chars) {
            Some(citation) => sink(Event::Citation(&citation), self.usage()),
            None => Ok(()),
        }
    }

    /// Arguments, whole ones at the end.
    fn arguments(
        &mut self,
        wire: &WireEvent<'_>,
        json: Option<Span<'_>>,
        is_whole: bool,
        sink: Sink<'_>,
    ) -> Result<(), Error> {
        let json = word(json)?;
        self.argue(output_index(wire), &json, is_whole, sink)
    }

    fn argue(&mut self, output_index: u64, json: &str, is_whole: bool, sink: Sink<'_>) -> Result<(), Error> {
        let usage = self.usage();
        let Some(at) = self.calls.iter().position(|call| call.output_index == output_index) else {
            return Ok(());
        };
        let Some(call) = self.calls.get_mut(at) else { return Ok(()) };
        if json.is_empty() || (is_whole && call.has_arguments) {
            return Ok(());
        }
        call.has_arguments = true;
        sink(Event::ToolArguments { index: u32::try_from(at).unwrap_or(u32::MAX), json }, usage)
    }

    fn end(&mut self, wire: &WireEvent<'_>, sink: Sink<'_>) -> Result<(), Error> {
        self.start(wire, sink)?;
        let response = response(wire)?;
        self.usage = response.usage.or(self.usage);
        let status = response.status.as_ref().map_or("completed", |status| &*status.0);
        let reason = response.incomplete_details.and_then(|details| details.reason);
        let reason = reason.as_ref().map(|reason| &*reason.0);
        let finish = finish(status, reason, !self.calls.is_empty(), self.is_refused);
        sink(Event::Finish(finish), self.usage())?;
        sink(Event::End, self.usage())
    }
}

fn response<'a>(wire: &WireEvent<'a>) -> Result<WireResponse<'a>, Error> {
    read(wire.response.ok_or_else(unreadable)?)
}

fn item<'a>(wire: &WireEvent<'a>) -> Result<WireItem<'a>, Error> {
    read(wire.item.ok_or_else(unreadable)?)
}

fn output_index(wire: &WireEvent<'_>) -> u64 {
    wire.output_index.unwrap_or(0)
}

fn word(value: Option<Span<'_>>) -> Result<Cow<'_, str>, Error> {
    value.map_or(Ok(Cow::Borrowed("")), |value| read::<Text<'_>>(value).map(|text| text.0))
}

fn read<'a, T: Deserialize<'a>>(value: Span<'a>) -> Result<T, Error> {
    serde_json::from_str(value.raw().0).map_err(|_| unreadable())
}

fn failed(wire: &WireEvent<'_>) -> Error {
    let error = response(wire).ok().and_then(|response| response.error);
    error::decode(error.map_or(b"null".as_slice(), |error| error.raw().0.as_bytes()))
}

fn unreadable() -> Error {
    broken("an event of the provider's stream is not the JSON that its dialect says")
}

fn broken(message: &'static str) -> Error {
    Error::new(Kind::UpstreamInvalidResponse, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_before_the_answer_begins() {
        const SAID: [&str; 5] = [
            r#"{"type":"response.output_text.delta","delta":"Hi"}"#,
            r#"{"type":"response.refusal.delta","delta":"No"}"#,
            r#"{"type":"response.reasoning_summary_text.delta","delta":"Hm"}"#,
            r#"{"type":"response.output_item.done","item":{"type":"reasoning","id":"r","encrypted_content":"e"}}"#,
            r#"{"type":"response.output_text.annotation.added","annotation":{"type":"url_citation","url":"u"}}"#,
        ];
        for said in SAID {
            let mut decoder = Decoder::default();
            let mut sink = |event: Event<'_>, _: Option<Usage>| panic!("{event:?}");
            let error = decoder.decode(said.as_bytes(), &mut sink).unwrap_err();
            assert_eq!(error.kind, Kind::UpstreamInvalidResponse, "{said}");
        }
    }
}

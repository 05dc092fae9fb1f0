//! Events of a streamed messages answer (<https://docs.anthropic.com/en/docs/build-with-claude/streaming>) to neutral
//! ones. It keeps token counts, which blocks are open and how long the text is, nothing of what was said. The way back is
//! `encode`'s.

mod calls;
mod encode;

use serde::Deserialize;
use simd_json::Buffers;

pub(in crate::dialect) use self::encode::Encoder;
use super::usage::WireUsage;
use super::{citation, finish};
use crate::chat::{Event, Usage};
use crate::dialect::json::Span;
use crate::dialect::translate::Sink;
use crate::error::{Error, Kind, UpstreamError};

/// Most calls in one answer.
const CALLS_MAX: u32 = 128;

/// State of one stream.
#[derive(Default)]
pub(in crate::dialect) struct Decoder {
    is_started: bool,
    usage: WireUsage,
    open_tools: Vec<OpenTool>,
    tools_seen: u32,
    thoughts_seen: u32,
    /// Of the whole answer's text; and how many stood before the last text block.
    text_chars: u64,
    block_start_chars: u64,
    buffers: Buffers,
}

struct OpenTool {
    block: u64,
    index: u32,
    has_arguments: bool,
}

#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    message: Option<WireMessage<'a>>,
    index: Option<u64>,
    #[serde(borrow)]
    content_block: Option<WireBlock<'a>>,
    #[serde(borrow)]
    delta: Option<WireDelta<'a>>,
    usage: Option<WireUsage>,
    #[serde(borrow)]
    error: Option<WireError<'a>>,
}

#[derive(Deserialize)]
struct WireMessage<'a> {
    id: &'a str,
    model: Option<&'a str>,
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct WireBlock<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    text: Option<&'a str>,
    thinking: Option<&'a str>,
    data: Option<&'a str>,
    id: Option<&'a str>,
    name: Option<&'a str>,
}

#[derive(Deserialize)]
struct WireDelta<'a> {
    #[serde(rename = "type")]
    kind: Option<&'a str>,
    text: Option<&'a str>,
    partial_json: Option<&'a str>,
    thinking: Option<&'a str>,
    signature: Option<&'a str>,
    stop_reason: Option<&'a str>,
    #[serde(borrow)]
    stop_details: Option<WireStop<'a>>,
}

#[derive(Deserialize)]
struct WireStop<'a> {
    explanation: Option<&'a str>,
}

/// An event that is read again for its citation, whose span is kept.
#[derive(Deserialize)]
struct WireCited<'a> {
    #[serde(borrow)]
    delta: WireCitation<'a>,
}

#[derive(Deserialize)]
struct WireCitation<'a> {
    #[serde(borrow)]
    citation: Span<'a>,
}

#[derive(Deserialize)]
struct WireError<'a> {
    #[serde(rename = "type")]
    kind: Option<&'a str>,
    message: Option<&'a str>,
}

impl Decoder {
    /// Decodes one event's `data` into none or more events for `sink`. `scratch` holds the same bytes, and is used up by it.
    /// An `error` event is an [`Error::upstream`].
    pub(in crate::dialect) fn decode(
        &mut self,
        data: &[u8],
        scratch: &mut [u8],
        sink: Sink<'_>,
    ) -> Result<(), Error> {
        let wire: WireEvent<'_> = simd_json::serde::from_slice_with_buffers(scratch, &mut self.buffers)
            .map_err(|_| broken("an event of the provider's stream is not the JSON that its dialect says"))?;
        let needs_start = wire.kind.starts_with("content_block") || wire.kind.starts_with("message_");
        if !self.is_started && needs_start && wire.kind != "message_start" {
            return Err(broken("the provider's stream did not begin with message_start"));
        }
        let event = match wire.kind {
            "message_start" => self.start(wire.message)?,
            "content_block_start" => self.open(wire.index, wire.content_block)?,
            "content_block_delta" if wire.delta.as_ref().is_some_and(WireDelta::is_citation) => {
                return self.cite(data, sink);
            }
            "content_block_delta" => self.delta(wire.index, wire.delta)?,
            "content_block_stop" => self.close(wire.index),
            "message_delta" => return self.message_delta(wire.delta, wire.usage, sink),
            "message_stop" => Some(Event::End),
            "error" => return Err(upstream(wire.error)),
            _ => None,
        };
        let Some(event) = event else { return Ok(()) };
        if let Event::Text(text) = event {
            self.text_chars = self.text_chars.saturating_add(chars(text));
        }
        sink(event, self.usage())
    }

    /// Tokens so far, once the provider has reported any.
    pub(in crate::dialect) fn usage(&self) -> Option<Usage> {
        self.is_started.then(|| self.usage.usage())
    }

    fn start<'e>(&mut self, message: Option<WireMessage<'e>>) -> Result<Option<Event<'e>>, Error> {
        let Some(message) = message else {
            return Err(broken("the provider's message_start holds no message"));
        };
        if self.is_started {
            return Err(broken("the provider's stream began twice"));
        }
        self.is_started = true;
        self.usage.update(message.usage.unwrap_or_default());
        Ok(Some(Event::Start { id: message.id, model: message.model.unwrap_or_default() }))
    }

    fn open<'e>(
        &mut self,
        block: Option<u64>,
        wire: Option<WireBlock<'e>>,
    ) -> Result<Option<Event<'e>>, Error> {
        let (Some(block), Some(wire)) = (block, wire) else {
            return Err(broken("a content_block_start of the provider lacks its index or block"));
        };
        match (wire.kind, wire.id, wire.name) {
            ("tool_use", Some(id), Some(name)) => {
                let index = self.tools_seen;
                if index >= CALLS_MAX {
                    return Err(broken("the provider's stream has too many tool calls"));
                }
                self.tools_seen = index.saturating_add(1);
                self.open_tools.push(OpenTool { block, index, has_arguments: false });
                Ok(Some(Event::ToolCall { index, id, name }))
            }
            ("tool_use", ..) => Err(broken("a tool_use block of the provider lacks its id or name")),
            ("thinking", ..) => {
                self.thoughts_seen = self.thoughts_seen.saturating_add(1);
                let thought = wire.thinking.filter(|text| !text.is_empty());
                Ok(thought.map(|text| Event::Reasoning { index: self.thought(), text }))
            }
            ("text", ..) => {
                self.block_start_chars = self.text_chars;
                Ok(wire.text.filter(|text| !text.is_empty()).map(Event::Text))
            }
            ("redacted_thinking", ..) => {
                self.thoughts_seen = self.thoughts_seen.saturating_add(1);
                Ok(wire.data.map(|data| Event::ReasoningEncrypted { index: self.thought(), data }))
            }
            _ => Ok(None),
        }
    }

    fn delta<'e>(
        &mut self,
        block: Option<u64>,
        wire: Option<WireDelta<'e>>,
    ) -> Result<Option<Event<'e>>, Error> {
        let (Some(block), Some(wire)) = (block, wire) else {
            return Err(broken("a content_block_delta of the provider lacks its index or delta"));
        };
        Ok(match wire.kind {
            Some("text_delta") => wire.text.filter(|text| !text.is_empty()).map(Event::Text),
            Some("input_json_delta") => self.arguments(block, wire.partial_json.unwrap_or_default()),
            Some("thinking_delta") => wire
                .thinking
                .filter(|text| !text.is_empty())
                .map(|text| Event::Reasoning { index: self.thought(), text }),
            Some("signature_delta") => wire
                .signature
                .filter(|text| !text.is_empty())
                .map(|signature| Event::ReasoningSignature { index: self.thought(), signature }),
            _ => None,
        })
    }

    /// Deltas of blocks that are no tool of ours (server-side tools) have no neutral word.
    fn arguments<'e>(&mut self, block: u64, json: &'e str) -> Option<Event<'e>> {
        let tool = self.open_tools.iter_mut().find(|tool| tool.block == block)?;
        if json.is_empty() {
            return None;
        }
        tool.has_arguments = true;
        Some(Event::ToolArguments { index: tool.index, json })
    }

    /// A call without arguments streams no JSON at all, but its arguments must read as an object.
    fn close<'e>(&mut self, block: Option<u64>) -> Option<Event<'e>> {
        let at = self.open_tools.iter().position(|tool| Some(tool.block) == block)?;
        let tool = self.open_tools.swap_remove(at);
        (!tool.has_arguments).then_some(Event::ToolArguments { index: tool.index, json: "{}" })
    }

    /// What is not a citation that we know is passed over.
    fn cite(&self, data: &[u8], sink: Sink<'_>) -> Result<(), Error> {
        let wire: Option<WireCited<'_>> = serde_json::from_slice(data).ok();
        let Some(mut citation) = wire.and_then(|wire| citation::decode(wire.delta.citation)) else {
            return Ok(());
        };
        citation.span = Some((self.block_start_chars, self.text_chars));
        sink(Event::Citation(&citation), self.usage())
    }

    fn message_delta(
        &mut self,
        delta: Option<WireDelta<'_>>,
        usage: Option<WireUsage>,
        sink: Sink<'_>,
    ) -> Result<(), Error> {
        self.usage.update(usage.unwrap_or_default());
        let Some(delta) = delta else { return Ok(()) };
        if let Some(words) = delta.stop_details.and_then(|details| details.explanation) {
            sink(Event::Refusal(words), self.usage())?;
        }
        match delta.stop_reason {
            Some(reason) => sink(Event::Finish(finish(Some(reason))), self.usage()),
            None => Ok(()),
        }
    }

    fn thought(&self) -> u32 {
        self.thoughts_seen.saturating_sub(1)
    }
}

impl WireDelta<'_> {
    fn is_citation(&self) -> bool {
        self.kind == Some("citations_delta")
    }
}

fn chars(text: &str) -> u64 {
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
}

fn broken(message: &'static str) -> Error {
    Error::new(Kind::UpstreamInvalidResponse, message)
}

fn upstream(wire: Option<WireError<'_>>) -> Error {
    let kind = wire.as_ref().and_then(|wire| wire.kind).unwrap_or_default();
    let message = wire.as_ref().and_then(|wire| wire.message).unwrap_or_default();
    Error::upstream(UpstreamError {
        status: super::error::status(kind),
        ..crate::dialect::error_body::plain(kind, message)
    })
}

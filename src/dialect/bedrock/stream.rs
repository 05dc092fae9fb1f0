//! Events of a ConverseStream answer
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html>) to neutral ones: each by its
//! frame's event type and payload. It keeps token counts and which blocks are open, nothing of what was said. The way
//! back is `encode`'s.

mod encode;

use serde::Deserialize;

pub(in crate::dialect) use self::encode::Encoder;
use super::citation::WireCitation;
use super::usage::WireUsage;
use super::{ANSWER_TOOL, finish};
use crate::chat::{Event, Finish, Usage};
use crate::dialect::json::Text;
use crate::dialect::translate::Sink;
use crate::error::{Error, Kind};

/// Most tool blocks that may be open at once; Bedrock opens one after the other.
const OPEN_TOOLS_MAX: usize = 128;

/// State of one stream.
#[derive(Default)]
pub(in crate::dialect) struct Decoder {
    is_started: bool,
    is_ended: bool,
    usage: Option<WireUsage>,
    open_tools: Vec<OpenTool>,
    tools_seen: u32,
    /// The block of the last thought, and how many there were.
    thought_block: Option<u64>,
    thoughts_seen: u32,
    has_answered: bool,
    has_stopped: bool,
}

struct OpenTool {
    block: u64,
    /// `None`: it is the answer itself.
    index: Option<u32>,
    has_arguments: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStart<'a> {
    #[serde(borrow)]
    start: Option<WireOpening<'a>>,
    content_block_index: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireOpening<'a> {
    #[serde(borrow)]
    tool_use: Option<WireCall<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireCall<'a> {
    #[serde(borrow)]
    tool_use_id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMore<'a> {
    #[serde(borrow)]
    delta: WireDelta<'a>,
    content_block_index: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireDelta<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    tool_use: Option<WireInput<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<WireThought<'a>>,
    #[serde(borrow)]
    citation: Option<WireCitation<'a>>,
}

#[derive(Deserialize)]
struct WireInput<'a> {
    #[serde(borrow)]
    input: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireThought<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    redacted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStop {
    content_block_index: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireEnd<'a> {
    #[serde(borrow)]
    stop_reason: Text<'a>,
}

#[derive(Deserialize)]
struct WireMetadata {
    usage: Option<WireUsage>,
}

impl Decoder {
    /// Decodes the payload of an event of this type into none or more events for `sink`. A type that we have not heard of
    /// is passed over.
    pub(in crate::dialect) fn decode(
        &mut self,
        kind: Option<&[u8]>,
        payload: &[u8],
        sink: Sink<'_>,
    ) -> Result<(), Error> {
        let kind = kind.unwrap_or_default();
        let needs_start = kind.starts_with(b"contentBlock") || kind == b"messageStop";
        if !self.is_started && needs_start {
            return Err(broken("the provider's stream did not begin with messageStart"));
        }
        match kind {
            b"messageStart" if self.is_started => Err(broken("the provider's stream began twice")),
            b"messageStart" => {
                self.is_started = true;
                sink(Event::Start { id: "", model: "" }, self.usage())
            }
            b"contentBlockStart" => self.open(read(payload)?, sink),
            b"contentBlockDelta" => self.delta(read(payload)?, sink),
            b"contentBlockStop" => {
                let WireStop { content_block_index } = read(payload)?;
                self.close(content_block_index, sink)
            }
            b"messageStop" => self.stop(&read(payload)?, sink),
            b"metadata" => {
                let WireMetadata { usage } = read(payload)?;
                self.usage = usage.or(self.usage);
                if self.has_stopped { self.end(sink) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    /// The provider's bytes have ended: the answer is whole where it gave a reason to stop.
    pub(in crate::dialect) fn finish(&mut self, sink: Sink<'_>) -> Result<(), Error> {
        if self.has_stopped { self.end(sink) } else { Ok(()) }
    }

    /// Tokens so far, once the provider has reported any.
    pub(in crate::dialect) fn usage(&self) -> Option<Usage> {
        self.usage.map(|usage| usage.usage())
    }

    fn end(&mut self, sink: Sink<'_>) -> Result<(), Error> {
        if std::mem::replace(&mut self.is_ended, true) {
            return Ok(());
        }
        sink(Event::End, self.usage())
    }

    fn open(&mut self, wire: WireStart<'_>, sink: Sink<'_>) -> Result<(), Error> {
        let Some(call) = wire.start.and_then(|start| start.tool_use) else { return Ok(()) };
        if self.open_tools.len() >= OPEN_TOOLS_MAX {
            return Err(broken("the provider's stream has too many tool blocks open"));
        }
        let is_answer = call.name.0 == ANSWER_TOOL;
        self.has_answered |= is_answer;
        let index = (!is_answer).then_some(self.tools_seen);
        self.open_tools.push(OpenTool { block: wire.content_block_index, index, has_arguments: false });
        let Some(index) = index else { return Ok(()) };
        self.tools_seen = index.saturating_add(1);
        sink(Event::ToolCall { index, id: &call.tool_use_id.0, name: &call.name.0 }, self.usage())
    }

    fn delta(&mut self, wire: WireMore<'_>, sink: Sink<'_>) -> Result<(), Error> {
        let (block, delta) = (wire.content_block_index, wire.delta);
        let usage = self.usage();
        if let Some(text) = delta.text.filter(|text| !text.0.is_empty()) {
            sink(Event::Text(&text.0), usage)?;
        }
        if let Some(json) = delta.tool_use.and_then(|call| call.input).filter(|json| !json.0.is_empty()) {
            self.arguments(block, &json.0, sink)?;
        }
        if let Some(thought) = delta.reasoning_content {
            self.thought(block, &thought, sink)?;
        }
        if let Some(citation) = delta.citation {
            sink(Event::Citation(&citation.citation()), usage)?;
        }
        Ok(())
    }

    fn arguments(&mut self, block: u64, json: &str, sink: Sink<'_>) -> Result<(), Error> {
        let usage = self.usage();
        let Some(tool) = self.open_tools.iter_mut().find(|tool| tool.block == block) else {
            return Err(broken("the provider's stream has arguments of a call that did not begin"));
        };
        tool.has_arguments = true;
        match tool.index {
            Some(index) => sink(Event::ToolArguments { index, json }, usage),
            None => sink(Event::Text(json), usage),
        }
    }

    fn thought(&mut self, block: u64, wire: &WireThought<'_>, sink: Sink<'_>) -> Result<(), Error> {
        if self.thought_block.replace(block) != Some(block) {
            self.thoughts_seen = self.thoughts_seen.saturating_add(1);
        }
        let (index, usage) = (self.thoughts_seen.saturating_sub(1), self.usage());
        let said = |text: &Option<Text<'_>>| text.as_ref().is_some_and(|text| !text.0.is_empty());
        if let Some(Text(text)) = wire.text.as_ref().filter(|_| said(&wire.text)) {
            sink(Event::Reasoning { index, text }, usage)?;
        }
        if let Some(Text(signature)) = wire.signature.as_ref().filter(|_| said(&wire.signature)) {
            sink(Event::ReasoningSignature { index, signature }, usage)?;
        }
        if let Some(Text(data)) = wire.redacted_content.as_ref().filter(|_| said(&wire.redacted_content)) {
            sink(Event::ReasoningEncrypted { index, data }, usage)?;
        }
        Ok(())
    }

    /// A call without arguments has none written, which other dialects read as no JSON.
    fn close(&mut self, block: u64, sink: Sink<'_>) -> Result<(), Error> {
        let Some(at) = self.open_tools.iter().position(|tool| tool.block == block) else { return Ok(()) };
        let tool = self.open_tools.swap_remove(at);
        match tool.index.filter(|_| !tool.has_arguments) {
            Some(index) => sink(Event::ToolArguments { index, json: "{}" }, self.usage()),
            None => Ok(()),
        }
    }

    fn stop(&mut self, wire: &WireEnd<'_>, sink: Sink<'_>) -> Result<(), Error> {
        if std::mem::replace(&mut self.has_stopped, true) {
            return Err(broken("the provider's stream stopped twice"));
        }
        let finish = match finish(&wire.stop_reason.0) {
            Finish::ToolCalls if self.has_answered && self.tools_seen == 0 => Finish::Stop,
            finish => finish,
        };
        sink(Event::Finish(finish), self.usage())
    }
}

fn read<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(payload)
        .map_err(|_| broken("an event of the provider's stream is not the JSON that its dialect says"))
}

fn broken(message: &'static str) -> Error {
    Error::new(Kind::UpstreamInvalidResponse, message)
}

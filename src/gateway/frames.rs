//! Streams of frames beside streams of events: which of the two a provider sends, how it is cut into whole ones, and what
//! becomes frames on its way to a caller. What a frame says is `dialect`'s.

use super::passage::Passage;
use super::relay::Answer;
use crate::dialect::event_stream::{self, frames};
use crate::dialect::{Dialect, invoke};
use crate::error::Error;
use crate::http::encode;
use crate::http::sse::{self, events};

/// The header in which Bedrock names an error.
pub(super) const ERROR_TYPE: &str = "x-amzn-errortype";

/// How a provider's stream is cut into whole events.
pub(super) enum Cut {
    /// Server-sent events.
    Events(sse::Boundary),
    /// Frames of Bedrock's ConverseStream.
    Frames(event_stream::Boundary),
    /// Frames of InvokeModel, which are events of Anthropic's inside, with room for these.
    Chunks(event_stream::Boundary, Vec<u8>),
}

impl Cut {
    /// That of this answer. Errors: it is of a type that its provider's dialect does not have.
    pub(super) fn of(answer: &Answer<'_>) -> Result<Self, Error> {
        match (answer.translation.from, answer.head.is_frame_stream) {
            (Dialect::Bedrock, true) => Ok(Self::Frames(event_stream::Boundary::default())),
            (Dialect::Anthropic, true) => Ok(Self::Chunks(event_stream::Boundary::default(), Vec::new())),
            (Dialect::Bedrock, false) => Err(Error::unusable_answer("its stream is none of frames")),
            (_, true) => Err(Error::unusable_answer("its stream is one of frames")),
            (_, false) => Ok(Self::Events(sse::Boundary::new())),
        }
    }

    /// Whether it goes on in frames, where it goes on as it is.
    pub(super) fn is_framed(&self) -> bool {
        matches!(self, Self::Frames(_))
    }

    /// Whether its frames become events.
    pub(super) fn is_unwrapped(&self) -> bool {
        matches!(self, Self::Chunks(..))
    }

    /// Where the last whole one ends in what was received; 0: none has.
    pub(super) fn last_end(&mut self, pending: &[u8]) -> Result<usize, Error> {
        match self {
            Self::Events(boundary) => Ok(boundary.last_end(pending)),
            Self::Frames(boundary) | Self::Chunks(boundary, _) => boundary.last_end(pending),
        }
    }

    /// So many bytes were dropped from the front of what was received.
    pub(super) fn consumed(&mut self, count: usize) {
        match self {
            Self::Events(boundary) => boundary.consumed(count),
            Self::Frames(boundary) | Self::Chunks(boundary, _) => boundary.consumed(count),
        }
    }

    /// Hands whole ones to the passage, as in [`Passage::take`].
    pub(super) fn take(
        &mut self,
        passage: &mut Passage,
        whole: &[u8],
        text: &mut Vec<u8>,
        (is_sent, count): (bool, &mut u64),
    ) -> Result<(), Error> {
        match self {
            Self::Events(_) => passage.take(whole, text, is_sent, count),
            Self::Frames(_) => passage.take_frames(whole, text, count),
            Self::Chunks(_, inside) => {
                inside.clear();
                let unwrapped = frames(whole).try_for_each(|frame| invoke::unwrap_event(&frame?, inside));
                passage.take(inside, text, is_sent, count)?;
                unwrapped
            }
        }
    }

    /// The provider's bytes have ended. Errors: inside a frame; what is no whole event may be a stream's last word.
    pub(super) fn check_end(&self, pending: &[u8]) -> Result<(), Error> {
        match self {
            Self::Events(_) => Ok(()),
            _ if pending.is_empty() => Ok(()),
            _ => Err(Error::unusable_answer("its stream ended inside a frame")),
        }
    }
}

/// Writes the type of a body of frames, as Bedrock has it.
pub(super) fn write_type(out: &mut Vec<u8>) {
    encode::field(out, "content-type", b"application/vnd.amazon.eventstream");
    encode::field(out, "x-amzn-bedrock-content-type", b"application/json");
}

/// Turns events of Anthropic's, whole ones but for the last of a stream, into frames of InvokeModel. A comment becomes
/// nothing.
pub(super) fn wrap(text: &mut Vec<u8>) {
    if text.is_empty() {
        return;
    }
    // The last event of a stream may lack its empty line.
    text.extend_from_slice(b"\n\n");
    let mut out = Vec::with_capacity(text.len() * 2);
    events(text).for_each(|event| invoke::wrap_event(event.name, &event.data, &mut out));
    *text = out;
}

/// Changes what whole frames carry, and has their checksums fit again. Only headers of text are kept of one that changes.
pub(super) fn rewrite(text: &mut Vec<u8>, change: impl Fn(&mut [u8])) {
    let mut out = Vec::with_capacity(text.len());
    for frame in frames(text).map_while(Result::ok) {
        let mut payload = frame.payload.to_vec();
        change(&mut payload);
        if payload == frame.payload {
            out.extend_from_slice(frame.raw);
            continue;
        }
        let headers: Vec<_> =
            frame.headers.iter().filter_map(|(name, _)| Some((*name, frame.text(name)?))).collect();
        event_stream::write(&mut out, &headers, |out| out.extend_from_slice(&payload));
    }
    *text = out;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_become_chunks_and_a_comment_nothing() {
        let mut text = b":\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}".to_vec();
        wrap(&mut text);
        let all: Vec<_> = frames(&text).map(Result::unwrap).collect();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].text(":event-type"), Some("chunk"));
        let mut text = b":\n\n".to_vec();
        wrap(&mut text);
        assert!(text.is_empty());
    }

    #[test]
    fn a_changed_frame_is_whole_again() {
        let mut text = Vec::new();
        event_stream::write(&mut text, &[("a", "b")], |out| out.extend_from_slice(b"a secret"));
        event_stream::write(&mut text, &[], |out| out.extend_from_slice(b"none"));
        let before = text.clone();
        rewrite(&mut text, |_| ());
        assert_eq!(text, before);
        rewrite(&mut text, |bytes| {
            bytes.iter_mut().filter(|byte| **byte == b's').for_each(|byte| *byte = b'*')
        });
        let all: Vec<_> = frames(&text).map(Result::unwrap).collect();
        assert_eq!((all[0].payload, all[0].text("a")), (&b"a *ecret"[..], Some("b")));
        assert_eq!(all[1].payload, b"none");
    }
}

//! What is done with the events of a stream: they are watched and go on as they are, or are turned into the caller's
//! dialect. It knows neither side's socket.

use super::exchange::Exchange;
use super::relay::Answer;
use super::tagging;
use super::unasked::Unasked;
use crate::chat::Usage;
use crate::dialect::event_stream::frames;
use crate::dialect::response_id::Tag;
use crate::dialect::{self, StreamObserver, StreamOptions, StreamTranslator};
use crate::error::Error;
use crate::http::sse::events;

/// A comment between events, which readers of events ignore.
const COMMENT: &[u8] = b":\n\n";

pub(super) enum Passage {
    /// They are watched and go on as they are, but for this.
    Through(Box<StreamObserver>, Change),
    /// They are turned into the caller's dialect.
    Translated(Box<StreamTranslator>),
}

/// What is changed of events that go on.
pub(super) enum Change {
    /// Nothing.
    Nothing,
    /// The usage, which only we asked for, is taken out.
    Unasked(Box<Unasked>),
    /// The ids of responses are marked.
    Marked(Tag),
}

/// How far a stream is that has not begun for the caller.
pub(super) enum Standing {
    /// It said nothing that counts.
    Silent,
    /// There is content, or a reason why there is none.
    Answers,
    /// Its dialect's last word came, and neither of these.
    Ended,
    /// It said that something failed, and nothing before it.
    Failed(Error),
}

impl Passage {
    /// For this answer.
    pub(super) fn of(exchange: &Exchange<'_>, answer: &Answer<'_>) -> Self {
        let translation = &answer.translation;
        if translation.is_none() {
            let change = match translation.tag {
                Some(tag) => Change::Marked(tag),
                None if !translation.include_usage => Change::Unasked(Box::new(Unasked::new())),
                None => Change::Nothing,
            };
            let observer = match translation.is_stored {
                true => StreamObserver::of_stored(),
                false => StreamObserver::new(translation.from),
            };
            return Self::Through(Box::new(observer), change);
        }
        let options = StreamOptions {
            created_s: exchange.created_s(),
            include_usage: translation.include_usage,
            model: exchange.model.clone(),
        };
        let translator = StreamTranslator::new(translation.from, translation.to, options);
        let translator = translator.echoing(translation.echo.clone()).identified(exchange.answer_id());
        Self::Translated(Box::new(translator))
    }

    /// Takes whole events, adds their number to `count`, and appends what the caller gets. What is no event in its dialect, a
    /// ping, becomes a comment where it is to be sent at once: something between us may wait for bytes.
    pub(super) fn take(
        &mut self,
        whole: &[u8],
        text: &mut Vec<u8>,
        is_sent: bool,
        count: &mut u64,
    ) -> Result<(), Error> {
        match self {
            Self::Through(observer, Change::Unasked(unasked)) => {
                *count += unasked.take(whole, observer, text);
                return Ok(());
            }
            Self::Through(observer, Change::Marked(tag)) => {
                *count += tagging::take(whole, tag, observer, text);
                return Ok(());
            }
            _ => {}
        }
        let mut events = events(whole).inspect(|_| *count += 1);
        match self {
            Self::Through(observer, _) => {
                for event in &mut events {
                    observer.observe(event.name, &event.data);
                }
                text.extend_from_slice(whole);
                Ok(())
            }
            Self::Translated(translator) => {
                let mut has_ping = false;
                for event in &mut events {
                    has_ping |= event.name == Some(b"ping");
                    translator.push(event.name, &event.data, text)?;
                }
                if is_sent && has_ping && text.is_empty() && translator.takes_comments() {
                    text.extend_from_slice(COMMENT);
                }
                Ok(())
            }
        }
    }

    /// The same of whole frames. Errors: one is broken, or says that something failed; what is broken does not go on.
    pub(super) fn take_frames(
        &mut self,
        whole: &[u8],
        text: &mut Vec<u8>,
        count: &mut u64,
    ) -> Result<(), Error> {
        for frame in frames(whole) {
            let frame = frame?;
            *count += 1;
            match self {
                Self::Through(observer, _) => {
                    observer.observe_frame(&frame);
                    text.extend_from_slice(frame.raw);
                }
                Self::Translated(translator) => translator.push_frame(&frame, text)?,
            }
        }
        Ok(())
    }

    /// How far it is.
    pub(super) fn standing(&self) -> Standing {
        let (has_content, has_stopped, is_ended) = match self {
            Self::Through(observer, _) => {
                if let Some(error) = observer.error().filter(|_| observer.has_failed_first()) {
                    return Standing::Failed(Error::upstream(error.clone()));
                }
                (observer.has_content(), observer.has_stopped(), observer.is_ended())
            }
            Self::Translated(translator) => {
                (translator.has_content(), translator.has_stopped(), translator.is_ended())
            }
        };
        match (has_content || has_stopped, is_ended) {
            (true, _) => Standing::Answers,
            (false, true) => Standing::Ended,
            (false, false) => Standing::Silent,
        }
    }

    /// The provider's bytes have ended, by closing where it `is_closed`; `pending` are those that are no whole event.
    /// Errors: the answer had not ended.
    pub(super) fn end(
        &mut self,
        is_closed: bool,
        text: &mut Vec<u8>,
        pending: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match self {
            // That the provider closed proves nothing; its dialect's last word, or its error, does.
            Self::Through(observer, _) if is_closed && !observer.is_ended() && observer.error().is_none() => {
                Err(Error::unusable_answer("its stream closed before its last event"))
            }
            Self::Through(_, Change::Unasked(unasked)) => {
                unasked.end(pending, text);
                Ok(())
            }
            Self::Through(_, _) => {
                text.append(pending);
                Ok(())
            }
            Self::Translated(translator) => translator.finish(text),
        }
    }

    /// Whether anything of the answer itself has come.
    pub(super) fn has_content(&self) -> bool {
        match self {
            Self::Through(observer, _) => observer.has_content(),
            Self::Translated(translator) => translator.has_content(),
        }
    }

    /// Whether the dialect's last word has come: nothing of the answer is missing.
    pub(super) fn is_ended(&self) -> bool {
        match self {
            Self::Through(observer, _) => observer.is_ended(),
            Self::Translated(translator) => translator.is_ended(),
        }
    }

    /// Whether an event that went on as it was is a provider's error.
    pub(super) fn has_error(&self) -> bool {
        matches!(self, Self::Through(observer, _) if observer.error().is_some())
    }

    /// That error.
    pub(super) fn error(&self) -> Option<Error> {
        match self {
            Self::Through(observer, _) => observer.error().cloned().map(Error::upstream),
            Self::Translated(_) => None,
        }
    }

    /// Appends an error as the last event, where its place in the stream is part of it: where the caller speaks Responses.
    /// `false`: any error event of the caller's does.
    pub(super) fn fail(&self, error: &Error, text: &mut Vec<u8>) -> bool {
        match self {
            Self::Through(observer, _) => match observer.next_number() {
                Some(number) => dialect::encode_response_error(error, number, text),
                None => return false,
            },
            Self::Translated(translator) => return translator.fail(error, text),
        }
        true
    }

    /// Tokens so far.
    pub(super) fn usage(&self) -> Option<Usage> {
        match self {
            Self::Through(observer, _) => observer.usage(),
            Self::Translated(translator) => translator.usage(),
        }
    }
}

//! What is done with the events of a stream: they are watched and go on as they are, or are turned into the caller's
//! dialect. It knows neither side's socket.

use super::exchange::Exchange;
use super::relay::Answer;
use super::unasked::Unasked;
use crate::chat::Usage;
use crate::dialect::{StreamObserver, StreamOptions, StreamTranslator};
use crate::error::Error;
use crate::http::sse::events;

/// A comment between events, which readers of events ignore.
const COMMENT: &[u8] = b":\n\n";

pub(super) enum Passage {
    /// They are watched and go on as they are, but for the usage where only we asked for it.
    Through(Box<StreamObserver>, Option<Box<Unasked>>),
    /// They are turned into the caller's dialect.
    Translated(Box<StreamTranslator>),
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
            let unasked = (!translation.include_usage).then(|| Box::new(Unasked::new()));
            return Self::Through(Box::new(StreamObserver::new(translation.from)), unasked);
        }
        let options = StreamOptions {
            created_s: exchange.created_s(),
            include_usage: translation.include_usage,
            model: exchange.model.clone(),
        };
        let translator = StreamTranslator::new(translation.from, translation.to, options);
        Self::Translated(Box::new(translator.echoing(translation.echo.clone())))
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
        if let Self::Through(observer, Some(unasked)) = self {
            *count += unasked.take(whole, observer, text);
            return Ok(());
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
                if is_sent && has_ping && text.is_empty() {
                    text.extend_from_slice(COMMENT);
                }
                Ok(())
            }
        }
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
            Self::Through(_, Some(unasked)) => {
                unasked.end(pending, text);
                Ok(())
            }
            Self::Through(_, None) => {
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

    /// Tokens so far.
    pub(super) fn usage(&self) -> Option<Usage> {
        match self {
            Self::Through(observer, _) => observer.usage(),
            Self::Translated(translator) => translator.usage(),
        }
    }
}

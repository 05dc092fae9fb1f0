//! A stream of events on its way to the caller: whole events are sent on as they come in, as they are or translated.
//! A stream that breaks ends with an error event, never with a false end.

use super::exchange::Exchange;
use super::relay::{Answer, BodyFraming, returned_head};
use super::streams::Listed;
use super::{Core, reply};
use crate::chat::Usage;
use crate::dialect::{self, StreamObserver, StreamOptions, StreamTranslator};
use crate::error::{Error, Kind};
use crate::http::encode;
use crate::http::sse::{Boundary, events};
use crate::http::{EVENT_BYTES_MAX, Framing};
use crate::net::budget::Hold;
use crate::net::client::Progress;
use crate::net::server::{Downstream, Gone};
use crate::net::{Raced, race, until};

/// Shorter events are part of what every request may hold, bytes.
const EVENT_BYTES_UNCOUNTED: usize = 64 * 1024;

/// What is done with events.
enum Passage {
    /// They are watched and go on as they are.
    Through(Box<StreamObserver>),
    /// They are turned into the caller's dialect.
    Translated(Box<StreamTranslator>),
}

struct Relay<'a> {
    answer: Answer<'a>,
    passage: Passage,
    framing: BodyFraming,
    boundary: Boundary,
    /// Received, not yet a whole event.
    pending: Vec<u8>,
    /// To be sent.
    out: Vec<u8>,
    /// Event bytes of the caller's dialect, before framing.
    text: Vec<u8>,
    /// For an event that is not whole yet.
    hold: Hold,
    /// Its place among the streams that run.
    listed: Listed,
}

/// Moves the stream to the caller.
pub(super) async fn relay(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    answer: Answer<'_>,
) -> Result<(), Error> {
    let mut relay = Relay::begin(core, exchange, answer)?;
    let result = relay.run(downstream, exchange).await;
    exchange.usage = relay.passage.usage();
    match result {
        Ok(()) => {
            relay.passage.note_error(exchange);
            relay.answer.release(core, exchange.now());
        }
        Err(error) if error.kind == Kind::ClientGone || !downstream.has_started() => return Err(error),
        Err(error) => {
            relay.break_off(exchange, &error);
            exchange.fail(&error);
        }
    }
    reply::timed_send(downstream, exchange, relay.out).await.map(drop).map_err(Error::from)
}

impl<'a> Relay<'a> {
    fn begin(core: &Core, exchange: &mut Exchange<'_>, answer: Answer<'a>) -> Result<Self, Error> {
        let passage = passage(exchange, &answer)?;
        let through = answer.translation.is_none();
        let mut out = returned_head(&answer, through);
        if !through {
            encode::field(&mut out, "content-type", b"text/event-stream");
        }
        let framing = BodyFraming::unknown(exchange);
        framing.write(&mut out);
        reply::finish(&mut out, exchange);
        exchange.status = answer.head.status;
        let (pending, text, hold) = (Vec::new(), Vec::new(), core.net.budget.hold());
        let listed = core.streams.enter(exchange);
        Ok(Self { answer, passage, framing, boundary: Boundary::new(), pending, out, text, hold, listed })
    }

    /// Until the provider's stream ends; what is left to send then stands in `out`.
    async fn run(&mut self, downstream: &mut Downstream, exchange: &mut Exchange<'_>) -> Result<(), Error> {
        loop {
            let progress = self.read(downstream, exchange).await?;
            self.take_events(exchange)?;
            if progress == Progress::Done {
                if !downstream.has_started() {
                    self.answer.check_end()?;
                }
                return self.end(exchange);
            }
            self.check_pending()?;
            if !self.text.is_empty() {
                self.frame_text(exchange);
                let out = std::mem::take(&mut self.out);
                self.out = reply::timed_send(downstream, exchange, out).await?;
                downstream.ask_by(self.framing.comment());
            }
        }
    }

    /// An event that is not whole is held up to its limit, a long one within the budget of all bodies.
    fn check_pending(&mut self) -> Result<(), Error> {
        let bytes = self.pending.len();
        if bytes > EVENT_BYTES_MAX {
            return Err(Error::unusable_answer("an event of its stream is over 16 MiB"));
        }
        let counted = if bytes > EVENT_BYTES_UNCOUNTED { bytes } else { 0 };
        if counted != self.hold.bytes() {
            self.hold.resize(counted)?;
        }
        Ok(())
    }

    async fn read(
        &mut self,
        downstream: &mut Downstream,
        exchange: &mut Exchange<'_>,
    ) -> Result<Progress, Error> {
        let before = exchange.now();
        let silence = self.answer.provider.stream_idle_timeout;
        let reading = until(before + silence, self.answer.upstream.read_body(&mut self.pending));
        let read = race(reading, downstream.gone()).await;
        exchange.waited_since(before);
        exchange.upstream = Some(exchange.now() - self.answer.sent);
        match read {
            Raced::First(Some(progress)) => progress,
            Raced::First(None) => {
                let message = format!("the provider's stream was silent for {} s", silence.as_secs());
                Err(Error::new(Kind::UpstreamTimeout, message))
            }
            Raced::Second(()) => Err(Gone.into()),
        }
    }

    /// Moves the whole events of `pending` to `text`.
    fn take_events(&mut self, exchange: &mut Exchange<'_>) -> Result<(), Error> {
        let end = self.boundary.last_end(&self.pending);
        let whole = self.pending.get(..end).unwrap_or_default();
        if end > 0 {
            self.answer.place = None;
        }
        let result = self.passage.take(whole, &mut self.text, &self.listed);
        self.pending.drain(..end);
        self.boundary.consumed(end);
        if exchange.first_token.is_none() && self.passage.has_content() {
            exchange.has_first_token(self.answer.sent);
        }
        result
    }

    fn frame_text(&mut self, exchange: &mut Exchange<'_>) {
        self.framing.frame(&mut self.out, &self.text);
        exchange.log_output(&self.text);
        self.text.clear();
    }

    fn end(&mut self, exchange: &mut Exchange<'_>) -> Result<(), Error> {
        match &mut self.passage {
            // That the provider closed proves nothing; its dialect's last word, or its error, does.
            Passage::Through(observer)
                if self.answer.head.framing == Framing::Close
                    && !observer.is_ended()
                    && observer.error().is_none() =>
            {
                return Err(Error::unusable_answer("its stream closed before its last event"));
            }
            Passage::Through(_) => self.text.append(&mut self.pending),
            Passage::Translated(translator) => translator.finish(&mut self.text)?,
        }
        self.frame_text(exchange);
        self.framing.end(&mut self.out);
        Ok(())
    }

    /// An error event in the caller's words, then the end of the body.
    fn break_off(&mut self, exchange: &mut Exchange<'_>, error: &Error) {
        let shape = exchange.error_shape();
        let text = &mut self.text;
        exchange.with_error_context(|context| dialect::encode_error_event(shape, error, context, text));
        self.frame_text(exchange);
        self.framing.end(&mut self.out);
    }
}

fn passage(exchange: &Exchange<'_>, answer: &Answer<'_>) -> Result<Passage, Error> {
    let translation = &answer.translation;
    if translation.is_none() {
        return Ok(Passage::Through(Box::new(StreamObserver::new(translation.from))));
    }
    let options = StreamOptions {
        created_s: exchange.created_s(),
        include_usage: translation.include_usage,
        model: exchange.model.clone(),
    };
    StreamTranslator::new(translation.from, translation.to, options)
        .map(|translator| Passage::Translated(Box::new(translator)))
        .ok_or_else(|| Error::new(Kind::ProviderNotSupported, "this pair of dialects is not translated yet"))
}

impl Passage {
    /// Takes whole events, and appends what the caller gets.
    fn take(&mut self, whole: &[u8], text: &mut Vec<u8>, listed: &Listed) -> Result<(), Error> {
        let mut events = events(whole).inspect(|_| listed.passed());
        match self {
            Self::Through(observer) => {
                for event in &mut events {
                    observer.observe(event.name, &event.data);
                }
                text.extend_from_slice(whole);
                Ok(())
            }
            Self::Translated(translator) => {
                events.try_for_each(|event| translator.push(event.name, &event.data, text))
            }
        }
    }

    fn has_content(&self) -> bool {
        match self {
            Self::Through(observer) => observer.has_content(),
            Self::Translated(translator) => translator.has_content(),
        }
    }

    /// An error that the provider sent as an event went on as it was; the request failed all the same.
    fn note_error(&self, exchange: &mut Exchange<'_>) {
        if let Self::Through(observer) = self
            && let Some(error) = observer.error()
        {
            exchange.fail(&Error::upstream(error.clone()));
        }
    }

    fn usage(&self) -> Option<Usage> {
        match self {
            Self::Through(observer) => observer.usage(),
            Self::Translated(translator) => translator.usage(),
        }
    }
}

//! A stream of events on its way to the caller: whole events are sent on as they come in, as they are or translated.
//! Until its first content nothing is sent, so that a stream that fails before it said anything can still be asked for
//! elsewhere; this does not last longer than a caller may be kept waiting. After that a stream that breaks ends with an
//! error event, never with a false end.

use std::time::Instant;

use super::Core;
use super::array::Elements;
use super::attend::attend;
use super::due::Due;
use super::exchange::Exchange;
use super::frames::{self, Cut};
use super::framing::BodyFraming;
use super::passage::{Passage, Standing};
use super::relay::{Answer, mask_key, masked, pass, returned_head};
use super::streams::Listed;
use crate::dialect::{self, Dialect};
use crate::error::{Error, Kind};
use crate::http::{EVENT_BYTES_MAX, Framing, encode};
use crate::net::budget::Hold;
use crate::net::client::Progress;
use crate::net::server::Downstream;
use crate::net::within;

/// Shorter events are part of what every request may hold, bytes.
const EVENT_BYTES_UNCOUNTED: usize = 64 * 1024;
/// What is held back of a stream that has no content yet, bytes; more begin it.
const HELD_BYTES_MAX: usize = 64 * 1024;

struct Relay<'a> {
    answer: Answer<'a>,
    passage: Passage,
    framing: BodyFraming,
    gate: Gate,
    cut: Cut,
    /// Received, not yet a whole event.
    pending: Vec<u8>,
    /// To be sent.
    out: Vec<u8>,
    /// Event bytes of the caller's dialect, before framing.
    text: Vec<u8>,
    /// What they become where the caller wants no events.
    array: Option<Elements>,
    /// They become frames of InvokeModel.
    is_chunked: bool,
    /// For an event that is not whole yet.
    hold: Hold,
}

/// What lies between a provider's first event and the caller.
enum Gate {
    /// Nothing was sent, and another attempt may follow.
    Shut {
        /// When the first event came.
        since: Option<Instant>,
        events: u64,
        bytes: usize,
    },
    /// It has begun for the caller; its place among the streams that run.
    Open(Listed),
}

/// Moves the stream to the caller. Errors before anything was sent: it failed, ended or was late before it said anything.
pub(super) async fn relay(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    answer: Answer<'_>,
) -> Result<(), Error> {
    let mut relay = Relay::begin(core, exchange, answer)?;
    let result = relay.run(core, downstream, exchange).await;
    match result {
        Err(error) if error.kind != Kind::ClientGone && !relay.is_open() => return Err(error),
        _ => exchange.usage = relay.passage.usage(),
    }
    match result {
        Ok(()) => {
            if let Some(error) = relay.passage.error() {
                // It went on as it was; the request failed all the same.
                exchange.fail(&masked(error, exchange));
            }
            relay.answer.release(core, exchange.now());
        }
        Err(error) if error.kind == Kind::ClientGone => return Err(error),
        Err(error) => {
            let error = masked(error, exchange);
            relay.break_off(exchange, &error);
            exchange.fail(&error);
        }
    }
    pass(downstream, exchange, relay.out).await.map(drop)
}

impl<'a> Relay<'a> {
    fn begin(core: &Core, exchange: &Exchange<'_>, answer: Answer<'a>) -> Result<Self, Error> {
        let passage = Passage::of(exchange, &answer);
        let through = answer.translation.is_none();
        // Before the body is read, which takes the head's bytes.
        let array = exchange.wants_array.then(Elements::default);
        let cut = Cut::of(&answer)?;
        let is_chunked = exchange.wants_chunks;
        let goes_on = through && array.is_none() && !is_chunked && !cut.is_unwrapped();
        let mut out = returned_head(&answer, goes_on);
        if array.is_some() {
            encode::field(&mut out, "content-type", b"application/json");
        } else if is_chunked || !goes_on && answer.translation.to == Dialect::Bedrock {
            frames::write_type(&mut out);
        } else if !goes_on {
            encode::field(&mut out, "content-type", b"text/event-stream");
        }
        Ok(Self {
            answer,
            passage,
            framing: BodyFraming::unknown(exchange),
            gate: Gate::Shut { since: None, events: 0, bytes: 0 },
            cut,
            pending: Vec::new(),
            out,
            text: Vec::new(),
            array,
            is_chunked,
            hold: core.net.budget.hold(),
        })
    }

    /// Until the provider's stream ends; what is left to send then stands in `out`.
    async fn run(
        &mut self,
        core: &Core,
        downstream: &mut Downstream,
        exchange: &mut Exchange<'_>,
    ) -> Result<(), Error> {
        loop {
            let progress = match self.read(downstream, exchange).await {
                Err(error) if self.is_open() && error.kind != Kind::ClientGone => {
                    return self.lost(exchange, error);
                }
                read => read?,
            };
            let taken = self.take_events(exchange);
            if !self.is_open() {
                self.admit(core, exchange, progress, &taken)?;
            }
            taken?;
            self.note_content(exchange);
            if progress == Some(Progress::Done) {
                return self.end(exchange);
            }
            self.check_pending()?;
            if self.is_open() && !(self.text.is_empty() && self.out.is_empty()) {
                self.frame_text(exchange);
                let out = std::mem::take(&mut self.out);
                self.out = pass(downstream, exchange, out).await?;
                // Google's own SDK takes a comment for data, and between frames there is nothing.
                downstream.ask_by(match exchange.caller_dialect() {
                    Some(Dialect::Gemini) => self.framing.blank(),
                    _ if self.is_chunked => b"",
                    Some(Dialect::Bedrock) => b"",
                    _ => self.framing.comment(),
                });
            }
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.gate, Gate::Open(_))
    }

    /// Opens the gate when there is content, or nothing more may be held back. Errors: the stream ends, or failed, before it
    /// said anything.
    fn admit(
        &mut self,
        core: &Core,
        exchange: &mut Exchange<'_>,
        progress: Option<Progress>,
        taken: &Result<(), Error>,
    ) -> Result<(), Error> {
        let Gate::Shut { since, bytes, .. } = self.gate else { return Ok(()) };
        if progress == Some(Progress::Done) {
            self.answer.check_end()?;
        }
        let hold = self.answer.provider.first_token_hold;
        let is_over = || since.is_some_and(|since| exchange.now() >= since + hold);
        match (self.passage.standing(), taken) {
            (Standing::Answers, _) => {}
            (Standing::Failed(error), _) => return Err(error),
            (_, Err(error)) => return Err(error.clone()),
            (Standing::Ended, _) => return Err(says_nothing()),
            (Standing::Silent, _) if progress == Some(Progress::Done) => return Err(says_nothing()),
            (Standing::Silent, _) if bytes > HELD_BYTES_MAX || is_over() => {}
            (Standing::Silent, _) => return Ok(()),
        }
        self.open(core, exchange);
        Ok(())
    }

    /// From here on the stream is the caller's: its head, and what was held, stand ready to be sent.
    fn open(&mut self, core: &Core, exchange: &mut Exchange<'_>) {
        let Gate::Shut { events, .. } = self.gate else { return };
        self.framing.begin(&mut self.out, exchange);
        exchange.status = self.answer.head.status;
        let listed = core.streams.enter(exchange);
        listed.passed(events);
        self.gate = Gate::Open(listed);
    }

    fn note_content(&self, exchange: &mut Exchange<'_>) {
        if exchange.first_token.is_none() && self.passage.has_content() {
            exchange.has_first_token(self.answer.sent);
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

    /// What comes next; `None`: nothing has come for as long as what came before may be held back.
    async fn read(
        &mut self,
        downstream: &mut Downstream,
        exchange: &mut Exchange<'_>,
    ) -> Result<Option<Progress>, Error> {
        let before = exchange.now();
        let Answer { upstream, provider, sent, .. } = &mut self.answer;
        let (due, at) = match self.gate {
            Gate::Open(_) => {
                let due = Due::of_event(provider, before);
                (due, due.at)
            }
            Gate::Shut { since, .. } => {
                let due = Due::of_content(exchange, provider, *sent, before);
                // One that always has more to say, and nothing that counts, would never be waited for.
                if due.at <= before {
                    return Err(due.error(exchange, provider));
                }
                (due, since.map_or(due.at, |since| due.at.min(since + provider.first_token_hold)))
            }
        };
        let mut alarm = downstream.lend_alarm();
        let reading = within(&mut alarm, at, upstream.read_body(&mut self.pending));
        let read = attend(downstream, &mut exchange.caller_has_left, provider.on_client_gone, reading).await;
        downstream.take_back(alarm);
        exchange.waited_since(before);
        exchange.upstream = Some(exchange.now() - *sent);
        match read? {
            Some(progress) => progress.map(Some),
            None if at < due.at => Ok(None),
            None => Err(due.error(exchange, provider)),
        }
    }

    /// Moves the whole events of `pending` to `text`.
    fn take_events(&mut self, exchange: &Exchange<'_>) -> Result<(), Error> {
        let end = self.cut.last_end(&self.pending)?;
        let whole = self.pending.get(..end).unwrap_or_default();
        if end > 0 {
            self.answer.place = None;
        }
        let mut count = 0;
        let is_open = self.is_open();
        let raw = &mut self.answer.translation.raw;
        let result = match raw.is_none() {
            true => self.cut.take(&mut self.passage, whole, &mut self.text, (is_open, &mut count)),
            false => {
                let way = (&mut self.cut, &mut self.passage);
                raw.take(exchange, way, whole, &mut self.text, (is_open, &mut count))
            }
        };
        self.pending.drain(..end);
        self.cut.consumed(end);
        match &mut self.gate {
            Gate::Open(listed) => listed.passed(count),
            Gate::Shut { since, events, bytes } if end > 0 => {
                since.get_or_insert(exchange.now());
                *events += count;
                *bytes += end;
            }
            Gate::Shut { .. } => {}
        }
        result
    }

    /// Nothing more can be read. What came before goes on, and was all where the dialect's last word is among it: an error
    /// behind that would be none of the answer.
    fn lost(&mut self, exchange: &mut Exchange<'_>, error: Error) -> Result<(), Error> {
        self.take_events(exchange)?;
        self.note_content(exchange);
        if !self.passage.is_ended() {
            return Err(error);
        }
        self.finish(exchange);
        Ok(())
    }

    fn frame_text(&mut self, exchange: &mut Exchange<'_>) {
        if self.passage.has_error() {
            match self.cut.is_framed() {
                true => frames::rewrite(&mut self.text, |bytes| mask_key(bytes, exchange)),
                false => mask_key(&mut self.text, exchange),
            }
        }
        if self.is_chunked {
            exchange.log_output(&self.text);
            frames::wrap(&mut self.text);
        }
        if let Some(array) = &mut self.array {
            array.take(&mut self.text);
        }
        self.frame(exchange);
    }

    /// What is left, and the end of the body.
    fn finish(&mut self, exchange: &mut Exchange<'_>) {
        self.frame_text(exchange);
        if let Some(array) = &mut self.array {
            array.end(&mut self.text);
            self.frame(exchange);
        }
        self.framing.end(&mut self.out);
    }

    fn frame(&mut self, exchange: &mut Exchange<'_>) {
        self.framing.frame(&mut self.out, &self.text);
        if !self.is_chunked {
            exchange.log_output(&self.text);
        }
        self.text.clear();
    }

    fn end(&mut self, exchange: &mut Exchange<'_>) -> Result<(), Error> {
        let is_closed = self.answer.head.framing == Framing::Close;
        self.cut.check_end(&self.pending)?;
        self.passage.end(is_closed, &mut self.text, &mut self.pending)?;
        self.finish(exchange);
        Ok(())
    }

    /// An error event in the caller's words, then the end of the body.
    fn break_off(&mut self, exchange: &mut Exchange<'_>, error: &Error) {
        let shape = exchange.error_shape();
        if self.is_chunked {
            self.frame_text(exchange);
        }
        let text = &mut self.text;
        if !self.passage.fail(error, text) {
            exchange.with_error_context(|context| dialect::encode_error_event(shape, error, context, text));
        }
        if self.is_chunked {
            // It is a frame already.
            self.frame(exchange);
        }
        self.finish(exchange);
    }
}

fn says_nothing() -> Error {
    Error::unusable_answer("its stream ended before it said anything")
}

//! Whole answers: held until it is sure that they are answers, so that one that is cut or no answer at all can still be
//! asked for again, then sent with their length. What is too long to be held is passed on as it comes.

use super::attend::attend;
use super::compute::compute;
use super::exchange::Exchange;
use super::framing::BodyFraming;
use super::relay::{Answer, pass, returned_head};
use super::{Core, reply, tagging};
use crate::chat::Usage;
use crate::dialect::{self, AnswerLook, AnswerOptions, Operation};
use crate::error::Error;
use crate::http::{Framing, encode};
use crate::net::budget::Hold;
use crate::net::client::Progress;
use crate::net::server::Downstream;

/// A whole answer up to this is part of what every request may hold, and leaves in one send; a longer one is held in the
/// core's budget. Also what is read, looked at and sent of that in one go.
const PIECE_BYTES_MAX: usize = 64 * 1024;
/// Longest answer that is held to its end, bytes; a longer one is passed on unseen.
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Largest whole answer that is translated; it must be held to be.
const TRANSLATED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What is kept of the end of a long answer, where its usage stands.
const TAIL_BYTES_MAX: usize = 16 * 1024;

/// Moves an answer that passes through. Errors while nothing of it was sent: it is cut or late, no JSON object, or an
/// error's body under a status of success.
pub(super) async fn relay(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    mut answer: Answer<'_>,
) -> Result<(), Error> {
    let out = returned_head(&answer, true);
    let mut body = Vec::new();
    if answer.collect(downstream, exchange, &mut body, PIECE_BYTES_MAX).await? == Progress::More {
        return Box::pin(long(core, downstream, exchange, answer, (out, body))).await;
    }
    answer.check_end()?;
    exchange.usage = match is_checked(&answer) {
        true => {
            // One that ends by closing may have been cut at any byte.
            let is_framed = answer.head.framing != Framing::Close;
            checked(&answer, &body, is_framed)?
        }
        false => None,
    };
    exchange.status = answer.head.status;
    finish(exchange, &mut answer, &mut body);
    answer.release(core, exchange.now());
    send(downstream, exchange, out, &body).await
}

/// What is done to a body that is held, before it goes.
fn finish(exchange: &Exchange<'_>, answer: &mut Answer<'_>, body: &mut Vec<u8>) {
    let kept = answer.translation.raw.kept(body);
    tagging::mark(body, &answer.translation);
    answer.translation.raw.add(exchange, body, kept);
}

fn checked(answer: &Answer<'_>, body: &[u8], is_framed: bool) -> Result<Option<Usage>, Error> {
    if !answer.translation.is_stored {
        return dialect::check_answer(answer.translation.from, body, is_framed);
    }
    let mut look = AnswerLook::of_stored();
    look.push(body)?;
    look.finish(body)
}

/// Whether it must be one JSON object. A 204 has no body, and events that nobody asked for are the caller's to judge.
fn is_checked(answer: &Answer<'_>) -> bool {
    answer.head.status != 204 && !answer.head.is_event_stream && !answer.head.is_frame_stream
}

/// Frames `body` with its length behind the head in `out`, and sends both; a short one in one go.
pub(super) async fn send(
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    mut out: Vec<u8>,
    body: &[u8],
) -> Result<(), Error> {
    // RFC 9110 section 8.6: a 204 has none.
    if exchange.status != 204 {
        encode::content_length(&mut out, body.len() as u64);
    }
    reply::finish(&mut out, exchange);
    let (first, rest) = body.split_at_checked(PIECE_BYTES_MAX).unwrap_or((body, b""));
    exchange.log_output(first);
    out.extend_from_slice(first);
    out = pass(downstream, exchange, out).await?;
    for piece in rest.chunks(PIECE_BYTES_MAX) {
        exchange.log_output(piece);
        out.extend_from_slice(piece);
        out = pass(downstream, exchange, out).await?;
    }
    Ok(())
}

/// An answer that did not come in one go: it is held as long as it may be, looked at piece by piece.
async fn long(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    mut answer: Answer<'_>,
    (out, mut body): (Vec<u8>, Vec<u8>),
) -> Result<(), Error> {
    let look = match answer.translation.is_stored {
        true => AnswerLook::of_stored(),
        false => AnswerLook::new(answer.translation.from),
    };
    let mut held = Held { look, hold: core.net.budget.hold() };
    let mut seen = 0;
    if is_checked(&answer) && held.may_hold(&answer, body.len()) {
        // So that it is not copied while it grows; what a provider announces is held before it is believed.
        body.reserve_exact(announced_bytes(&answer).saturating_sub(body.len()));
    }
    while is_checked(&answer) && held.may_hold(&answer, body.len()) {
        held.look.push(body.get(seen..).unwrap_or_default())?;
        seen = body.len();
        let bytes_max = body.len() + PIECE_BYTES_MAX;
        if answer.collect(downstream, exchange, &mut body, bytes_max).await? == Progress::Done {
            held.look.push(body.get(seen..).unwrap_or_default())?;
            answer.check_end()?;
            exchange.usage = held.look.finish(&body)?;
            exchange.status = answer.head.status;
            finish(exchange, &mut answer, &mut body);
            answer.release(core, exchange.now());
            return send(downstream, exchange, out, &body).await;
        }
    }
    passed_on(core, downstream, exchange, answer, (out, body, seen), held).await
}

/// What stands beside an answer that is held.
struct Held {
    look: AnswerLook,
    hold: Hold,
}

impl Held {
    /// Whether it may be held on: it is not said to be too long, is not, and the bodies of this core leave room for it.
    fn may_hold(&mut self, answer: &Answer<'_>, bytes: usize) -> bool {
        let bytes = bytes.max(announced_bytes(answer));
        bytes <= HELD_BYTES_MAX && self.hold.resize(bytes.saturating_sub(PIECE_BYTES_MAX)).is_ok()
    }
}

/// How long it is said to be; 0: nothing is said.
fn announced_bytes(answer: &Answer<'_>) -> usize {
    match answer.head.framing {
        Framing::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
        _ => 0,
    }
}

/// An answer that is too long to be held: passed on as it comes in, its usage read from its end. The first `seen` bytes of
/// its body were looked at.
async fn passed_on(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    mut answer: Answer<'_>,
    (mut out, mut body, seen): (Vec<u8>, Vec<u8>, usize),
    Held { look, hold }: Held,
) -> Result<(), Error> {
    let mut tail = Tail::new(look);
    tail.push(&body, body.len().saturating_sub(seen));
    let marks_bytes = tagging::mark(&mut body, &answer.translation);
    let framing = match BodyFraming::of(answer.head.framing, exchange) {
        BodyFraming::Length(length) => BodyFraming::Length(length.saturating_add(marks_bytes as u64)),
        framing => framing,
    };
    framing.begin(&mut out, exchange);
    exchange.status = answer.head.status;
    for piece in body.chunks(PIECE_BYTES_MAX) {
        exchange.log_output(piece);
        framing.frame(&mut out, piece);
        out = pass(downstream, exchange, out).await?;
    }
    body = Vec::new();
    drop(hold);
    loop {
        let progress = answer.collect(downstream, exchange, &mut body, PIECE_BYTES_MAX).await?;
        tail.push(&body, body.len());
        exchange.log_output(&body);
        framing.frame(&mut out, &body);
        if progress == Progress::Done {
            break;
        }
        out = pass(downstream, exchange, out).await?;
        body.clear();
    }
    exchange.usage = tail.usage();
    framing.end(&mut out);
    answer.release(core, exchange.now());
    pass(downstream, exchange, out).await.map(drop)
}

/// Moves an answer into the caller's dialect. Errors: as for [`relay`], and what cannot be translated.
pub(super) async fn translated(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    mut answer: Answer<'_>,
) -> Result<(), Error> {
    // Before the body is read, which takes the head's bytes.
    let out = returned_head(&answer, true);
    let mut hold = core.net.budget.hold();
    let mut body = Vec::new();
    let mut step_bytes = PIECE_BYTES_MAX;
    while answer.collect(downstream, exchange, &mut body, step_bytes).await? == Progress::More {
        step_bytes = body.len() + PIECE_BYTES_MAX;
        if body.len() > TRANSLATED_BYTES_MAX {
            return Err(Error::unusable_answer("it is over 16 MiB, more than this version translates"));
        }
        hold.resize(body.len())?;
    }
    answer.check_end()?;
    let (from, to) = (answer.translation.from, answer.translation.to);
    let options = AnswerOptions {
        operation: exchange.operation().unwrap_or(Operation::Chat),
        created_s: exchange.created_s(),
        id: exchange.answer_id(),
        model: exchange.model.clone(),
        echo: std::mem::take(&mut answer.translation.echo),
    };
    let (length, kept) = (body.len(), answer.translation.raw.kept(&body));
    let work = move || dialect::translate_response(from, to, &body, &options);
    let computing = Box::pin(compute(core, length, work));
    let policy = answer.provider.on_client_gone;
    let mut response = attend(downstream, &mut exchange.caller_has_left, policy, computing).await???;
    exchange.usage = response.usage;
    exchange.status = answer.head.status;
    answer.translation.raw.add(exchange, &mut response.body, kept);
    answer.release(core, exchange.now());
    send(downstream, exchange, out, &response.body).await
}

/// The end of a long answer, and where its usage stands.
struct Tail {
    /// `None`: it is not JSON, and has no usage; it is passed on all the same.
    look: Option<AnswerLook>,
    bytes: Vec<u8>,
    dropped_bytes: usize,
}

impl Tail {
    fn new(look: AnswerLook) -> Self {
        Self { look: Some(look), bytes: Vec::new(), dropped_bytes: 0 }
    }

    /// Takes the next piece, of which the last `unseen` bytes are still to be looked at.
    fn push(&mut self, piece: &[u8], unseen: usize) {
        let new = piece.get(piece.len() - unseen.min(piece.len())..).unwrap_or_default();
        if self.look.as_mut().is_some_and(|look| look.push(new).is_err()) {
            self.look = None;
        }
        self.bytes.extend_from_slice(piece);
        let surplus_bytes = self.bytes.len().saturating_sub(TAIL_BYTES_MAX);
        self.bytes.drain(..surplus_bytes);
        self.dropped_bytes += surplus_bytes;
    }

    fn usage(self) -> Option<Usage> {
        self.look?.usage_in(&self.bytes, self.dropped_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;

    #[test]
    fn usage_is_found_at_the_end_of_a_long_answer() {
        let long = "x".repeat(3 * TAIL_BYTES_MAX);
        let body = format!(
            r#"{{"choices":["{long}"],"usage":{{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}}}"#
        );
        for seen in [0, 1, 999, 1000, 30_500, 32_000] {
            let mut look = AnswerLook::new(Dialect::OpenAi);
            look.push(&body.as_bytes()[..seen]).unwrap();
            let (mut tail, mut at) = (Tail::new(look), 0_usize);
            for piece in body.as_bytes().chunks(1000) {
                at += piece.len();
                tail.push(piece, at.saturating_sub(seen));
            }
            assert_eq!(tail.usage().map(|usage| usage.total_tokens), Some(7), "{seen} bytes looked at");
        }
    }
}

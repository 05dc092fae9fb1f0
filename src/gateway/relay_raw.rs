//! Answers that may be anything: sound, a file, text, events of an operation that has its own. Each byte goes to the caller as
//! it comes, whatever it is, and nothing is held: another attempt may follow until the first byte is there, none after. What is
//! JSON, and no download, is `relay_whole`'s.

use super::Core;
use super::attend::attend;
use super::due::Due;
use super::exchange::Exchange;
use super::framing::BodyFraming;
use super::relay::{Answer, pass, returned_head};
use crate::error::Error;
use crate::net::client::Progress;
use crate::net::server::Downstream;
use crate::net::within;

/// Whether this answer is to be passed on unseen.
pub(super) fn is_raw(exchange: &Exchange<'_>, answer: &Answer<'_>) -> bool {
    answer.translation.is_none()
        && exchange.operation().is_some_and(|operation| {
            operation.is_download()
                || operation.answers_raw() && (answer.head.is_event_stream || !answer.is_json())
        })
}

/// Moves the answer. Errors: it was late, or cut; before its first byte the attempt's alone.
pub(super) async fn relay(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    mut answer: Answer<'_>,
) -> Result<(), Error> {
    let mut out = returned_head(&answer, true);
    let media = answer.head.field(answer.upstream.head_bytes(), "content-type").unwrap_or(b"unknown");
    let media = String::from_utf8_lossy(media).into_owned();
    let mut piece = Vec::new();
    let mut progress = answer.upstream.take_body(&mut piece)?;
    if progress == Progress::More && piece.is_empty() {
        progress = read(downstream, exchange, &mut answer, &mut piece, true).await?;
    }
    exchange.has_first_token(answer.sent);
    answer.place = None;
    let framing = BodyFraming::of(answer.head.framing, exchange);
    exchange.status = answer.head.status;
    match answer.head.status {
        // RFC 9110 section 8.6: it has neither a body nor a length.
        204 => super::reply::finish(&mut out, exchange),
        _ => framing.begin(&mut out, exchange),
    }
    loop {
        exchange.count_output(piece.len());
        framing.frame(&mut out, &piece);
        piece.clear();
        if progress == Progress::Done {
            break;
        }
        out = pass(downstream, exchange, out).await?;
        progress = read(downstream, exchange, &mut answer, &mut piece, false).await?;
    }
    if answer.head.status != 204 {
        framing.end(&mut out);
    }
    exchange.note_output(&media);
    answer.release(core, exchange.now());
    pass(downstream, exchange, out).await.map(drop)
}

/// What comes next. The first byte is due as a whole answer is, each further one as the next event of a stream.
async fn read(
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    answer: &mut Answer<'_>,
    piece: &mut Vec<u8>,
    is_first: bool,
) -> Result<Progress, Error> {
    let before = exchange.now();
    let due = match is_first {
        true => Due::of_answer(exchange, answer.provider, answer.sent),
        false => Due::of_event(answer.provider, before),
    };
    let policy = answer.provider.on_client_gone;
    let mut alarm = downstream.lend_alarm();
    let reading = within(&mut alarm, due.at, answer.upstream.read_body(piece));
    let read = attend(downstream, &mut exchange.caller_has_left, policy, reading).await;
    downstream.take_back(alarm);
    exchange.waited_since(before);
    exchange.upstream = Some(exchange.now() - answer.sent);
    read?.unwrap_or_else(|| Err(due.error(exchange, answer.provider)))
}

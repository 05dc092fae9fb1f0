//! A conversation's body on its way in: its type and coding are judged before it is read, it is looked at as it comes in,
//! and one that is coded is decoded first. What its members say is `chat`'s.

use super::Core;
use super::coding::{self, Coding, Decoding, Progress};
use super::compute::compute;
use super::exchange::Exchange;
use super::noted::{Noted, Seen};
use crate::dialect::look::{Look, Members};
use crate::error::{Error, Kind};
use crate::http::Framing;
use crate::net::server::{Downstream, Gone, Request, too_large};
use crate::net::{Raced, race};

/// A coded body up to this is decoded on its core, up to [`FIRST_STEP_BYTES`], bytes: a millisecond or two at the worst.
const INLINE_CODED_BYTES_MAX: usize = 16 * 1024;
/// What a decoded body may have after the first step, at least; each further step may double it.
const FIRST_STEP_BYTES: usize = 64 * 1024;

/// Reads the body to its end and finds the members of these names.
pub(super) async fn receive<const N: usize>(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    keys: &'static [&'static str; N],
) -> Result<Members<N>, Error> {
    let coding = check(request, exchange.noted)?;
    let mut look = Look::new(keys);
    let bytes_max = exchange.snapshot.client.body_bytes_max;
    let waits = !request.is_whole();
    let read = downstream.read_body(request, bytes_max, |piece| match coding {
        None => look.push(piece),
        Some(_) => Ok(()),
    });
    let read = read.await;
    if waits {
        exchange.waited_since(exchange.now());
    }
    read?;
    exchange.body_pending = false;
    if let Some(coding) = coding {
        // Boxed: few bodies are coded.
        look = Box::pin(decode(core, downstream, request, (coding, bytes_max), look)).await?;
    }
    exchange.log_input(request.body());
    look.finish()
}

/// What is known of the body before its first byte: JSON, in at most one coding, and that there is one.
fn check(request: &Request, noted: Noted) -> Result<Option<Coding>, Error> {
    let is_json = match noted.content_type {
        Seen::Never => true,
        seen => seen.value(request).is_some_and(is_json),
    };
    if !is_json {
        let message = "the body must be application/json";
        return Err(Error::new(Kind::UnsupportedMediaType, message).with_param("content-type"));
    }
    let coding = match noted.content_encoding {
        Seen::Never => None,
        Seen::Again => return Err(coding::unknown("the body has more than one coding; send it with one")),
        seen => Coding::of(seen.value(request).unwrap_or_default())?,
    };
    match request.head.framing {
        // RFC 9110 §8.6, §15.5.12. A length of 0 is one: that body is empty, which is no JSON.
        Framing::None => Err(Error::new(
            Kind::LengthRequired,
            "the request has no body: send one with Content-Length, or chunked",
        )),
        _ => Ok(coding),
    }
}

/// `application/json`, `application/…+json` (RFC 6839 §3.1), and the type that `curl -d` names when nobody else does. A
/// web page may send that one without asking, as it may `text/plain`, which is refused: but browsers that do so name the
/// page's origin, which was judged before.
fn is_json(value: &[u8]) -> bool {
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let Some((kind, name)) = essence.split_at_checked(12) else { return false };
    let suffixed = || {
        let suffix = name.len().checked_sub(5).filter(|at| *at > 0).and_then(|at| name.get(at..));
        suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"))
    };
    kind.eq_ignore_ascii_case(b"application/")
        && (name.eq_ignore_ascii_case(b"json")
            || name.eq_ignore_ascii_case(b"x-www-form-urlencoded")
            || suffixed())
}

/// A body while it is decoded and looked at, on a core or on a helper thread.
struct Work<const N: usize> {
    decoding: Decoding,
    look: Look<N>,
}

impl<const N: usize> Work<N> {
    fn advance(mut self, bytes_max: usize) -> (Self, Result<Progress, Error>) {
        let had = self.decoding.body().len();
        let progress = self.decoding.advance(bytes_max).and_then(|progress| {
            self.look.push(self.decoding.body().get(had..).unwrap_or_default())?;
            Ok(progress)
        });
        (self, progress)
    }
}

/// Replaces the body by what it decodes to, at most `bytes_max`. Each step's memory is held before it is used: the coded
/// body, what the decoded one may have after the step, and the decoder's window; in the end the decoded body alone.
async fn decode<const N: usize>(
    core: &Core,
    downstream: &mut Downstream,
    request: &mut Request,
    (coding, bytes_max): (Coding, usize),
    look: Look<N>,
) -> Result<Look<N>, Error> {
    let (coded, start) = (request.body().len(), request.head.head_bytes);
    let mut work = Work { decoding: Decoding::new(coding, std::mem::take(&mut request.bytes), start), look };
    let is_small = coded <= INLINE_CODED_BYTES_MAX;
    let mut limit = if is_small { FIRST_STEP_BYTES } else { coded.saturating_mul(2).max(FIRST_STEP_BYTES) };
    loop {
        limit = limit.min(bytes_max.saturating_add(1));
        request.hold().resize(coded + limit + coding.window_bytes(limit))?;
        let weight = if is_small && limit <= FIRST_STEP_BYTES { 0 } else { usize::MAX };
        let step = compute(core, weight, move || work.advance(limit));
        let (advanced, progress) = match race(step, downstream.gone()).await {
            Raced::First(advanced) => advanced?,
            Raced::Second(()) => return Err(Gone.into()),
        };
        work = advanced;
        match progress? {
            Progress::Done => break,
            Progress::Full if limit > bytes_max => return Err(too_large(bytes_max)),
            Progress::Full => limit = limit.saturating_mul(2),
        }
    }
    request.bytes = work.decoding.into_bytes();
    let decoded = request.body().len();
    request.hold().resize(decoded)?;
    Ok(work.look)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_several_names() {
        for kind in [
            "application/json",
            "Application/JSON ; charset=utf-8",
            "application/vnd.api+json",
            "application/problem+JSON;x=y",
            "application/x-www-form-urlencoded",
        ] {
            assert!(is_json(kind.as_bytes()), "{kind}");
        }
        for kind in [
            "",
            ";",
            "text/plain",
            "text/json",
            "multipart/form-data; boundary=x",
            "application/jsonx",
            "application/+json",
            "application/",
            "application/xml",
            "application/json, text/plain",
            "image/svg+json",
            "\u{fffd}",
        ] {
            assert!(!is_json(kind.as_bytes()), "{kind}");
        }
    }
}

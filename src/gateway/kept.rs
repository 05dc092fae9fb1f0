//! The caller's body for as long as it may have to be sent again: until the first byte of an answer goes to the caller. A
//! short one stays with its request, and each attempt copies it; a long one is shared by all attempts, and by writes of them
//! that the kernel has not ended yet.

use std::ops::Range;
use std::rc::Rc;

use super::exchange::Exchange;
use crate::error::Error;
use crate::net::budget::Hold;
use crate::net::portion::Portion;
use crate::net::server::Request;

/// Bodies up to this are copied behind the head, and leave in one send.
pub(super) const COPY_BYTES_MAX: usize = 64 * 1024;

/// A long body, and what it holds of the core's budget.
pub(super) struct Kept {
    buffer: Rc<Vec<u8>>,
    /// Where in the buffer it begins.
    start: usize,
    hold: Hold,
}

impl Kept {
    /// A body that begins at `start` of `buffer`.
    pub(super) fn new(buffer: Vec<u8>, start: usize, hold: Hold) -> Self {
        Self { buffer: Rc::new(buffer), start, hold }
    }

    /// All of it.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// A stretch of it, shared.
    pub(super) fn portion(&self, span: Range<usize>) -> Portion {
        Portion::new(&self.buffer, self.start + span.start..self.start + span.end)
    }
}

/// A body as an attempt finds it.
pub(super) enum Body<'a> {
    /// With its request.
    Short(&'a [u8]),
    /// Shared.
    Long(&'a Kept),
}

impl<'a> Body<'a> {
    /// The body of `request`, which is all here.
    pub(super) fn of(request: &'a Request, exchange: &'a Exchange<'_>) -> Self {
        exchange.kept.as_ref().map_or_else(|| Body::Short(request.body()), Body::Long)
    }

    /// All of it.
    pub(super) fn bytes(&self) -> &'a [u8] {
        match self {
            Body::Short(bytes) => bytes,
            Body::Long(kept) => kept.bytes(),
        }
    }
}

/// Makes the body of `request`, which is all here, ready to be sent any number of times.
pub(super) fn keep(request: &mut Request, exchange: &mut Exchange<'_>) {
    if request.body().len() > COPY_BYTES_MAX {
        let (buffer, start, hold) = request.take_body();
        exchange.kept = Some(Kept::new(buffer, start, hold));
    }
}

/// Whether the body can be sent again: not when work on another thread was lost together with it, or some of it has gone up that is
/// not kept.
pub(super) fn is_here(request: &Request, exchange: &Exchange<'_>) -> bool {
    let is_gone = exchange.upload.as_ref().is_some_and(|upload| upload.has_begun());
    !is_gone && !Body::of(request, exchange).bytes().is_empty()
}

/// Takes the body away for work on another thread: its buffer, and where in it the body begins. To be given [`back`]. It is
/// copied when a write that was given up still has it.
pub(super) fn lend(request: &mut Request, exchange: &mut Exchange<'_>) -> (Vec<u8>, usize) {
    match &mut exchange.kept {
        None => (std::mem::take(&mut request.bytes), request.head.head_bytes),
        Some(kept) => {
            let buffer = Rc::try_unwrap(std::mem::take(&mut kept.buffer));
            (buffer.unwrap_or_else(|shared| shared.to_vec()), kept.start)
        }
    }
}

/// Puts the buffer back. What was made of the body, `made_bytes` long, is held beside it. Errors: the budget has not that
/// much left.
pub(super) fn back(
    request: &mut Request,
    exchange: &mut Exchange<'_>,
    buffer: Vec<u8>,
    made_bytes: usize,
) -> Result<(), Error> {
    match &mut exchange.kept {
        None => {
            request.bytes = buffer;
            let body_bytes = request.body().len();
            request.hold().resize(body_bytes + made_bytes)
        }
        Some(kept) => {
            kept.buffer = Rc::new(buffer);
            let body_bytes = kept.bytes().len();
            kept.hold.resize(body_bytes + made_bytes)
        }
    }
}

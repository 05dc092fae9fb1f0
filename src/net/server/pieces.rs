//! A caller's body that is read piece by piece and goes on at once, with the limits and deadlines of one that is held.

use std::time::Instant;

use super::{Downstream, READ_BYTES_MAX, Request, too_large};
use crate::error::Error;
use crate::http::{BodyDecoder, Framing, encode};

/// A body that is read piece by piece and not kept.
pub struct Pieces {
    decoder: BodyDecoder,
    /// What came with the head.
    first: Vec<u8>,
    /// When the request began, later by all the time in which nothing was read.
    began: Instant,
    left_at: Option<Instant>,
    received_bytes: usize,
    bytes_max: usize,
    /// Whether the caller needs no word of ours to go on.
    is_invited: bool,
}

impl Pieces {
    /// Bytes of the body so far.
    pub fn received_bytes(&self) -> usize {
        self.received_bytes
    }

    /// Whether all of it has come, and was taken.
    pub fn is_done(&self) -> bool {
        self.first.is_empty() && self.decoder.is_done()
    }

    /// Bytes still to come, where the caller said so.
    pub fn left_bytes(&self, framing: Framing) -> Option<u64> {
        matches!(framing, Framing::Length(_)).then(|| self.decoder.announced_bytes())
    }
}

impl Downstream {
    /// Takes what has come of the body away from `request`, to read the rest piece by piece, up to `bytes_max` in all. Errors: it
    /// is said to be longer.
    pub fn pieces(&mut self, request: &mut Request, bytes_max: usize) -> Result<Pieces, Error> {
        let mut decoder = BodyDecoder::request(request.head.framing);
        let first = request.bytes.split_off(request.head.head_bytes.min(request.bytes.len()));
        if decoder.announced_bytes() > bytes_max as u64 {
            return Err(too_large(bytes_max));
        }
        // What came with the head of a body in chunks still stands in the inbox, framed.
        decoder.decode(&first, &mut |_| ())?;
        request.decoder = None;
        self.remember_size(READ_BYTES_MAX);
        let (began, received_bytes) = (request.began, first.len());
        let is_invited = !request.head.expect_continue;
        Ok(Pieces { decoder, first, began, left_at: None, received_bytes, bytes_max, is_invited })
    }

    /// The next piece of a body; empty: it is whole. May be dropped and called again. Errors: as for
    /// [`Downstream::read_body`].
    pub async fn piece(&mut self, pieces: &mut Pieces) -> Result<Vec<u8>, Error> {
        if !pieces.first.is_empty() {
            pieces.left_at = Some(Instant::now());
            return Ok(std::mem::take(&mut pieces.first));
        }
        if let Some(left_at) = pieces.left_at.take() {
            // While the provider was waited for, no byte of the caller was due.
            pieces.began += left_at.elapsed();
        }
        let mut piece = Vec::new();
        while piece.is_empty() && !pieces.decoder.is_done() {
            if self.inbox.is_empty() {
                if !std::mem::replace(&mut pieces.is_invited, true) {
                    self.write(encode::CONTINUE.to_vec()).await?;
                }
                self.fill_body(pieces.began, pieces.received_bytes).await?;
            }
            let consumed = pieces.decoder.decode(&self.inbox, &mut |data| piece.extend_from_slice(data))?;
            self.inbox.drain(..consumed.min(self.inbox.len()));
            pieces.received_bytes = pieces.received_bytes.saturating_add(piece.len());
            let announced_bytes =
                (pieces.received_bytes as u64).saturating_add(pieces.decoder.announced_bytes());
            if announced_bytes > pieces.bytes_max as u64 {
                return Err(too_large(pieces.bytes_max));
            }
        }
        pieces.left_at = Some(Instant::now());
        Ok(piece)
    }
}

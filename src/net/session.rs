//! A TLS session over a connection whose read stays in flight: rustls' own state machine between the ciphertext of a
//! [`Wire`] and the plaintext of the caller's buffers. It opens no connection and chooses no certificate.

use std::future::poll_fn;
use std::io::{self, BufRead, Write};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::Connection;

use super::Alarm;
use super::portion::Portion;
use super::stream::Filled;
use super::wire::{PIECE_BYTES_MAX, Wire, lost};

/// A read of ciphertext at rest, bytes, and one after a read that was filled: a record as long as they come
/// (RFC 8446 §5.2) fits in one.
const READ_BYTES_MIN: usize = 4 * 1024;
const READ_BYTES_MAX: usize = 17 * 1024;

/// The longest time in which a write may get nowhere, and what measures it.
type Limit<'a> = Option<(Duration, &'a mut Alarm)>;

/// A session.
pub(super) struct Session {
    wire: Wire,
    tls: Connection,
    /// Ciphertext that was received, of which the session has `taken` bytes already. Empty while a read holds it.
    records: Vec<u8>,
    taken: usize,
    /// Size of the next read.
    read_bytes: usize,
    /// The caller's buffer while it waits for plaintext.
    armed: Option<Vec<u8>>,
    /// What is not sealed yet of the plaintext whose write stays in flight.
    outbox: Option<Portion>,
    end: Option<End>,
}

/// Why nothing more comes in.
enum End {
    /// The peer said so (RFC 8446 §6.1).
    Closed,
    /// The connection ended and the peer had not said so: something may be missing.
    Cut,
    /// The peer broke the protocol, or sent an alert.
    Fault(rustls::Error),
    /// The socket's error.
    Socket(io::ErrorKind),
}

impl End {
    fn result(&self) -> io::Result<usize> {
        match self {
            Self::Closed => Ok(0),
            Self::Cut => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the connection ended without TLS's closing word",
            )),
            Self::Fault(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error.clone())),
            Self::Socket(kind) => Err((*kind).into()),
        }
    }
}

impl Session {
    /// A session whose handshake is still to come, `early` being what was received of it.
    pub(super) fn new(wire: Wire, mut tls: Connection, early: Vec<u8>) -> Self {
        // What is given to it to seal is bounded here, and taken at once.
        tls.set_buffer_limit(None);
        let (records, read_bytes) = (early, READ_BYTES_MIN);
        Self { wire, tls, records, taken: 0, read_bytes, armed: None, outbox: None, end: None }
    }

    /// Errors: why it failed; the peer was told. There is no deadline here.
    pub(super) async fn shake_hands(&mut self) -> io::Result<()> {
        loop {
            let sent = self.flush().await;
            // What came with the peer's last words of it, be it its end, is for those who read.
            if !self.tls.is_handshaking() {
                return sent;
            }
            match &self.end {
                Some(End::Closed | End::Cut) => {
                    let message = "the peer closed the connection inside the TLS handshake";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
                }
                Some(end) => return end.result().map(drop),
                None => sent?,
            }
            match self.has_records() {
                true => self.process(),
                false => poll_fn(|context| self.poll_records(context)).await,
            }
        }
    }

    /// Its version in a word.
    pub(super) fn version(&self) -> &'static str {
        match self.tls.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "TLS",
        }
    }

    pub(super) fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// See [`super::stream::Stream::arm`]. The read of ciphertext is in flight as well when nothing is left to be read.
    pub(super) fn arm(&mut self, mut buffer: Vec<u8>) -> Result<(), Vec<u8>> {
        if self.armed.is_some() {
            return Err(buffer);
        }
        if buffer.capacity() == buffer.len() {
            buffer.reserve(READ_BYTES_MIN);
        }
        self.armed = Some(buffer);
        if self.end.is_none() && !self.has_records() {
            self.arm_wire();
        }
        Ok(())
    }

    /// See [`super::stream::Stream::rest`].
    pub(super) fn rest(&mut self) {
        if let Some(buffer) = self.armed.take() {
            let mut small = Vec::with_capacity(buffer.len() + READ_BYTES_MIN);
            small.extend_from_slice(&buffer);
            self.armed = Some(small);
        }
    }

    pub(super) fn is_armed(&self) -> bool {
        self.armed.is_some()
    }

    /// See [`super::stream::Stream::poll_filled`].
    pub(super) fn poll_filled(&mut self, context: &mut Context<'_>) -> Poll<Filled> {
        let Some(mut buffer) = self.armed.take() else { return Poll::Ready((Err(lost()), Vec::new())) };
        match self.poll_plaintext(&mut buffer, context) {
            Poll::Ready(result) => Poll::Ready((result, buffer)),
            Poll::Pending => {
                self.armed = Some(buffer);
                Poll::Pending
            }
        }
    }

    /// Each round takes ciphertext, of which the wire gives so much in one turn; rustls bounds what may come of records
    /// that carry nothing.
    fn poll_plaintext(&mut self, buffer: &mut Vec<u8>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            let count = self.take_plaintext(buffer);
            if count > 0 {
                return Poll::Ready(Ok(count));
            }
            if let Some(end) = &self.end {
                return Poll::Ready(end.result());
            }
            match self.has_records() {
                true => {
                    self.process();
                    self.say_fault();
                }
                false => ready!(self.poll_records(context)),
            }
        }
    }

    /// Moves plaintext into the free capacity of `buffer`.
    fn take_plaintext(&mut self, buffer: &mut Vec<u8>) -> usize {
        let begin = buffer.len();
        let mut reader = self.tls.reader();
        while let Ok(plaintext) = reader.fill_buf() {
            let room = buffer.capacity() - buffer.len();
            let piece = plaintext.get(..room).unwrap_or(plaintext);
            let count = piece.len();
            if count == 0 {
                break;
            }
            buffer.extend_from_slice(piece);
            reader.consume(count);
        }
        buffer.len() - begin
    }

    fn has_records(&self) -> bool {
        self.taken < self.records.len()
    }

    /// Gives the session ciphertext: a few KiB, so that its plaintext is taken before more of it is made.
    fn process(&mut self) {
        let mut rest = self.records.get(self.taken..).unwrap_or_default();
        let before = rest.len();
        let read = self.tls.read_tls(&mut rest);
        let count = before - rest.len();
        self.taken += count;
        self.end = match (read, self.tls.process_new_packets()) {
            (_, Err(error)) => Some(End::Fault(error)),
            (_, Ok(state)) if state.peer_has_closed() => Some(End::Closed),
            (Err(error), _) => Some(End::Socket(error.kind())),
            // It takes some of what it is given, or would never be done.
            (Ok(_), _) if count == 0 => Some(End::Socket(io::ErrorKind::InvalidData)),
            (Ok(_), Ok(_)) => None,
        };
    }

    fn arm_wire(&mut self) {
        let mut records = std::mem::take(&mut self.records);
        records.clear();
        self.taken = 0;
        // What a burst needed is not kept when it is over.
        if records.capacity() != self.read_bytes {
            records = Vec::with_capacity(self.read_bytes);
        }
        // Handed back only when a read is in flight, which then is the one that is waited for.
        let _ = self.wire.arm(records);
    }

    fn poll_records(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.wire.is_armed() {
            self.arm_wire();
        }
        let (result, records) = ready!(self.wire.poll_filled(context));
        let is_full = records.len() == records.capacity();
        self.read_bytes = if is_full { READ_BYTES_MAX } else { READ_BYTES_MIN };
        self.records = records;
        self.end = match result {
            Ok(0) => Some(End::Cut),
            Ok(_) => None,
            Err(error) => Some(End::Socket(error.kind())),
        };
        Poll::Ready(())
    }

    /// See [`super::stream::Stream::write_all`] and, with a limit, [`super::stream::Stream::send`]. An answer that TLS
    /// owes (RFC 8446 §4.6.3) goes out before it.
    pub(super) async fn write_all(&mut self, bytes: &[u8], mut limit: Limit<'_>) -> io::Result<()> {
        for piece in bytes.chunks(PIECE_BYTES_MAX) {
            let mut sealed = Vec::with_capacity(sealed_bytes(piece.len()));
            self.seal(piece, &mut sealed)?;
            let limit = limit.as_mut().map(|(stall, alarm)| (*stall, &mut **alarm));
            self.put(sealed, limit).await?;
        }
        Ok(())
    }

    /// See [`super::stream::Stream::start_write`].
    pub(super) fn start_write(&mut self, portion: Portion) -> io::Result<()> {
        if self.outbox.is_some() {
            return Err(lost());
        }
        self.outbox = Some(portion);
        Ok(())
    }

    /// See [`super::stream::Stream::poll_written`].
    pub(super) fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(mut portion) = self.outbox.take() else { return Poll::Ready(Err(lost())) };
        loop {
            let step = match self.wire.has_outbox() {
                true => self.wire.poll_written(context),
                false if portion.bytes().is_empty() => return Poll::Ready(Ok(())),
                false => Poll::Ready(self.post(&mut portion)),
            };
            match step {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.outbox = Some(portion);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Seals the next piece and starts its write.
    fn post(&mut self, portion: &mut Portion) -> io::Result<()> {
        let bytes = portion.bytes();
        let piece = bytes.get(..PIECE_BYTES_MAX).unwrap_or(bytes);
        let mut sealed = Vec::with_capacity(sealed_bytes(piece.len()));
        self.seal(piece, &mut sealed)?;
        portion.advance(piece.len());
        self.wire.start_write(sealed.into())
    }

    /// Turns all of `piece` into records behind `sealed`. Errors: the session has failed.
    fn seal(&mut self, mut piece: &[u8], sealed: &mut Vec<u8>) -> io::Result<()> {
        while !piece.is_empty() {
            let count = self.tls.writer().write(piece)?;
            let before = sealed.len();
            self.drain(sealed)?;
            if count == 0 && sealed.len() == before {
                return Err(io::ErrorKind::WriteZero.into());
            }
            piece = piece.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Moves the records that stand ready behind `sealed`.
    fn drain(&mut self, sealed: &mut Vec<u8>) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(sealed)?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        let mut sealed = Vec::new();
        self.drain(&mut sealed)?;
        self.put(sealed, None).await
    }

    async fn put(&mut self, sealed: Vec<u8>, limit: Limit<'_>) -> io::Result<()> {
        match limit {
            _ if sealed.is_empty() => Ok(()),
            Some((stall, alarm)) => self.wire.send(sealed, stall, alarm).await.map(drop),
            None => self.wire.write_all(sealed).await.0,
        }
    }

    /// Says that nothing more comes (RFC 8446 §6.1), and ends the sending side.
    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        self.tls.send_close_notify();
        self.flush().await?;
        self.wire.shutdown().await
    }

    /// Tells the peer why the session failed, as far as that can be without waiting for it.
    fn say_fault(&mut self) {
        let mut alert = Vec::new();
        if matches!(self.end, Some(End::Fault(_))) && self.drain(&mut alert).is_ok() && !alert.is_empty() {
            self.wire.say(alert);
        }
    }

    /// See [`Wire::say`].
    pub(super) fn say(&mut self, bytes: &[u8]) {
        let mut sealed = Vec::new();
        // What was sealed must be sent: the peer counts the records.
        if self.outbox.is_none() && self.wire.is_silent() && self.seal(bytes, &mut sealed).is_ok() {
            self.wire.say(sealed);
        }
    }
}

/// Room for so much plaintext as records.
fn sealed_bytes(plain_bytes: usize) -> usize {
    plain_bytes + plain_bytes / 64 + 128
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod traps;

//! The reading half of a connection, with a memory: the exact bytes of the request that is being decoded above.
//! It decodes nothing; whoever owns the decoder says where one request ends and the next begins.

use std::cell::RefCell;
use std::rc::Rc;

use monoio::BufResult;
use monoio::buf::{IoBufMut, IoVecBufMut};
use monoio::io::{AsyncReadRent, OwnedReadHalf};
use monoio::net::TcpStream;

/// Bytes asked of the socket at once.
const READ_BYTES: usize = 32 * 1024;

/// Bytes of one request that are kept; the rest is read and forgotten.
pub const CAPTURED_BYTES_MAX: usize = 1024 * 1024;

/// The bytes received since the last request ended, up to [`CAPTURED_BYTES_MAX`].
pub type Captured = Rc<RefCell<Vec<u8>>>;

/// A read half that remembers.
pub struct Tap {
    source: OwnedReadHalf<TcpStream>,
    captured: Captured,
    buffer: Vec<u8>,
    /// How much of `buffer` the decoder has taken.
    taken: usize,
}

impl Tap {
    /// A tap on the half, writing into `captured`.
    pub fn new(source: OwnedReadHalf<TcpStream>, captured: Captured) -> Self {
        Self { source, captured, buffer: Vec::with_capacity(READ_BYTES), taken: 0 }
    }

    /// Reads once from the socket when nothing is left to hand up.
    async fn fill(&mut self) -> std::io::Result<()> {
        if self.taken < self.buffer.len() {
            return Ok(());
        }
        self.taken = 0;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let (outcome, buffer) = self.source.read(buffer).await;
        self.buffer = buffer;
        if outcome.is_err() {
            self.buffer.clear();
        }
        outcome?;
        let mut captured = self.captured.borrow_mut();
        let room = CAPTURED_BYTES_MAX.saturating_sub(captured.len()).min(self.buffer.len());
        captured.extend_from_slice(self.buffer.get(..room).unwrap_or_default());
        Ok(())
    }
}

impl AsyncReadRent for Tap {
    async fn read<T: IoBufMut>(&mut self, buffer: T) -> BufResult<usize, T> {
        if let Err(error) = self.fill().await {
            return (Err(error), buffer);
        }
        let mut rest = self.buffer.get(self.taken..).unwrap_or_default();
        let (outcome, buffer) = rest.read(buffer).await;
        self.taken += *outcome.as_ref().unwrap_or(&0);
        (outcome, buffer)
    }

    async fn readv<T: IoVecBufMut>(&mut self, buffer: T) -> BufResult<usize, T> {
        if let Err(error) = self.fill().await {
            return (Err(error), buffer);
        }
        let mut rest = self.buffer.get(self.taken..).unwrap_or_default();
        let (outcome, buffer) = rest.readv(buffer).await;
        self.taken += *outcome.as_ref().unwrap_or(&0);
        (outcome, buffer)
    }
}

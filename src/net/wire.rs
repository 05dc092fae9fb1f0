//! One TCP connection's two halves: a read that outlives the wait for it, writes in bounded pieces, and turns, so that a
//! connection that is always ready does not keep its core. It knows no TLS and frames nothing.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use monoio::buf::{IoBuf, IoBufMut, Slice, SliceMut};
use monoio::io::{
    AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt, OwnedReadHalf, OwnedWriteHalf, Splitable,
};
use monoio::net::TcpStream;
use monoio::time::Sleep;
use pin_project_lite::pin_project;

use super::stream::Filled;
use super::until;

/// Most that one read brings and one write takes, bytes: what is done with them is done in one go.
pub(super) const PIECE_BYTES_MAX: usize = 64 * 1024;
/// A buffer without room is given this much, bytes: a read into none would look like the peer's closing.
const ROOM_BYTES_MIN: usize = 4 * 1024;
/// After so many bytes without a wait, others have their turn.
const TURN_BYTES_MAX: usize = 256 * 1024;
/// The same for the time that went by without a wait.
const TURN_TIME_MAX: Duration = Duration::from_millis(2);
/// The shortest time that monoio's timer knows. A timer, since a task that wakes itself starves monoio's loop.
const YIELD: Duration = Duration::from_millis(1);

/// A connection's halves.
pub(super) struct Wire {
    state: State,
    writer: OwnedWriteHalf<TcpStream>,
    turn: Turn,
    /// Set from a write's begin to its end: one that was dropped half-way leaves it set.
    is_writing: bool,
}

type Reading = Pin<Box<dyn Future<Output = (OwnedReadHalf<TcpStream>, io::Result<usize>, Vec<u8>)>>>;

/// The reading half: at rest, reading, or holding what was read.
enum State {
    Idle(OwnedReadHalf<TcpStream>),
    Reading(Reading),
    Filled(OwnedReadHalf<TcpStream>, io::Result<usize>, Vec<u8>),
    Lost,
}

impl Wire {
    /// Over a connected socket.
    pub(super) fn new(stream: TcpStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self { state: State::Idle(reader), writer, turn: Turn::default(), is_writing: false }
    }

    /// Whether a read is in flight, or has ended and was not taken.
    pub(super) fn is_armed(&self) -> bool {
        matches!(self.state, State::Reading(_) | State::Filled(..))
    }

    /// Starts a read behind the content of `buffer`, which comes back when one is in flight already.
    pub(super) fn arm(&mut self, mut buffer: Vec<u8>) -> Result<(), Vec<u8>> {
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Idle(reader) => {
                if buffer.capacity() == buffer.len() {
                    buffer.reserve(ROOM_BYTES_MIN);
                }
                self.start(Box::pin(read_behind(reader, buffer)));
                Ok(())
            }
            other => {
                self.state = other;
                Err(buffer)
            }
        }
    }

    /// The first poll is what hands the read to the driver.
    fn start(&mut self, mut reading: Reading) {
        self.state = match reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready((reader, result, buffer)) => State::Filled(reader, result, buffer),
            Poll::Pending => State::Reading(reading),
        };
    }

    /// The armed read, when it has ended and it is this connection's turn.
    pub(super) fn poll_filled(&mut self, context: &mut Context<'_>) -> Poll<Filled> {
        ready!(self.turn.poll(context));
        let (reader, result, buffer) = match std::mem::replace(&mut self.state, State::Lost) {
            State::Filled(reader, result, buffer) => (reader, result, buffer),
            State::Reading(mut reading) => match reading.as_mut().poll(context) {
                Poll::Ready(done) => done,
                Poll::Pending => {
                    self.turn.waits();
                    self.state = State::Reading(reading);
                    return Poll::Pending;
                }
            },
            other => {
                self.state = other;
                return Poll::Ready((Err(lost()), Vec::new()));
            }
        };
        self.state = State::Idle(reader);
        self.turn.took(*result.as_ref().unwrap_or(&0));
        Poll::Ready((result, buffer))
    }

    /// Begins a turn: this connection has been at rest.
    pub(super) fn begin_turn(&mut self) {
        self.turn = Turn::default();
    }

    /// Whether others have their turn: what has come in is then unknown.
    pub(super) fn is_turn_over(&self) -> bool {
        self.turn.is_over()
    }

    /// Writes all of `buffer`, which comes back. There is no deadline. Dropped half-way, nothing more can be written.
    pub(super) async fn write_all<T: IoBuf + 'static>(&mut self, mut buffer: T) -> (io::Result<()>, T) {
        let (mut written, end) = (0, buffer.bytes_init());
        if let Err(error) = self.begin_write() {
            return (Err(error), buffer);
        }
        while written < end {
            let (result, slice) = self.write_piece(piece(buffer, written, end)).await;
            buffer = slice.into_inner();
            match result {
                Ok(count) => written += count,
                Err(error) => return (Err(error), buffer),
            }
        }
        self.is_writing = false;
        (Ok(()), buffer)
    }

    /// The same within `stall`: the longest time in which the peer may take no byte. Errors: the peer's, or `TimedOut`;
    /// the bytes are lost with them.
    pub(super) async fn send(&mut self, mut bytes: Vec<u8>, stall: Duration) -> io::Result<Vec<u8>> {
        let (mut written, end) = (0, bytes.len());
        self.begin_write()?;
        while written < end {
            let writing = self.write_piece(piece(bytes, written, end));
            let Some((result, slice)) = until(Instant::now() + stall, writing).await else {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes no bytes"));
            };
            bytes = slice.into_inner();
            written += result?;
        }
        self.is_writing = false;
        Ok(bytes)
    }

    /// Errors: a write before this one failed or was dropped.
    fn begin_write(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.is_writing, true) {
            true => Err(lost()),
            false => Ok(()),
        }
    }

    async fn write_piece<T: IoBuf + 'static>(&mut self, piece: Slice<T>) -> (io::Result<usize>, Slice<T>) {
        poll_fn(|context| self.turn.poll(context)).await;
        let (result, piece) = Watched { future: self.writer.write(piece), turn: &mut self.turn }.await;
        self.turn.took(*result.as_ref().unwrap_or(&0));
        match result {
            Ok(0) => (Err(io::ErrorKind::WriteZero.into()), piece),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (Ok(0), piece),
            result => (result, piece),
        }
    }

    /// A write that outlives this connection, which nothing else is written to any more; `None` when a write was dropped
    /// half-way.
    pub(super) fn last_word(&mut self, bytes: Vec<u8>) -> Option<impl Future<Output = ()> + 'static> {
        self.begin_write().ok()?;
        let mut writer = OwnedWriteHalf(Rc::clone(&self.writer.0));
        Some(async move { drop(writer.write_all(bytes).await) })
    }

    /// Ends the sending side.
    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        self.writer.shutdown().await
    }
}

fn piece<T: IoBuf>(buffer: T, written: usize, end: usize) -> Slice<T> {
    buffer.slice(written..end.min(written + PIECE_BYTES_MAX))
}

async fn read_behind(
    mut reader: OwnedReadHalf<TcpStream>,
    buffer: Vec<u8>,
) -> (OwnedReadHalf<TcpStream>, io::Result<usize>, Vec<u8>) {
    let begin = buffer.len();
    let end = buffer.capacity().min(begin + PIECE_BYTES_MAX);
    let (result, slice): (_, SliceMut<Vec<u8>>) = reader.read(buffer.slice_mut(begin..end)).await;
    (reader, result, slice.into_inner())
}

/// The error of a connection that nothing more can be done with.
pub(super) fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the connection was given up")
}

/// What a connection did since it last had to wait. On epoll a read or write that is ready ends within its poll, so that a
/// peer that always has more, or takes all, would keep the core to itself.
#[derive(Default)]
struct Turn {
    bytes: usize,
    /// When its second read or write in a row ended; most wait for each, and need no clock.
    since: Option<Instant>,
    rest: Option<Pin<Box<Sleep>>>,
}

impl Turn {
    fn is_over(&self) -> bool {
        self.bytes >= TURN_BYTES_MAX
    }

    /// Ready when it is this connection's turn.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_over() {
            return Poll::Ready(());
        }
        let rest = self.rest.get_or_insert_with(|| Box::pin(monoio::time::sleep(YIELD)));
        ready!(rest.as_mut().poll(context));
        *self = Self::default();
        Poll::Ready(())
    }

    fn waits(&mut self) {
        self.bytes = 0;
        self.since = None;
    }

    fn took(&mut self, bytes: usize) {
        match self.since {
            Some(since) if since.elapsed() > TURN_TIME_MAX => self.bytes = TURN_BYTES_MAX,
            Some(_) => {}
            None if self.bytes > 0 => self.since = Some(Instant::now()),
            None => {}
        }
        self.bytes += bytes;
    }
}

pin_project! {
    /// Notes when a read or write had to wait.
    struct Watched<'a, F> {
        #[pin]
        future: F,
        turn: &'a mut Turn,
    }
}

impl<F: Future> Future for Watched<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let watched = self.project();
        let poll = watched.future.poll(context);
        if poll.is_pending() {
            watched.turn.waits();
        }
        poll
    }
}

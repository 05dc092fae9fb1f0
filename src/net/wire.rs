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
    AsyncReadRent, AsyncWriteRent, CancelHandle, CancelableAsyncReadRent, Canceller, OwnedReadHalf,
    OwnedWriteHalf, Splitable,
};
use monoio::net::TcpStream;
use monoio::time::Sleep;
use pin_project_lite::pin_project;

use super::portion::Portion;
use super::stream::Filled;
use super::{Alarm, within};

/// Most that one read brings and one write takes, bytes: what is done with them is done in one go.
pub(super) const PIECE_BYTES_MAX: usize = 64 * 1024;
/// A buffer without room is given this much, bytes: a read into none would look like the peer's closing.
const ROOM_BYTES_MIN: usize = 4 * 1024;
/// After so many bytes without a wait, others have their turn.
const TURN_BYTES_MAX: usize = 1024 * 1024;
/// The same for the time that went by without a wait: what is done with the bytes may take longer than moving them.
const TURN_TIME_MAX: Duration = Duration::from_millis(2);
/// The shortest time that monoio's timer knows; it takes up to two of them. A timer, since a task that wakes itself starves
/// monoio's loop.
const YIELD: Duration = Duration::from_millis(1);

/// A connection's halves.
pub(super) struct Wire {
    state: State,
    writer: OwnedWriteHalf<TcpStream>,
    turn: Turn,
    rest: Rest,
    /// Set from a write's begin to its end: one that failed, or was dropped half-way, leaves it set.
    is_writing: bool,
    /// What is in the outbox was put there by [`Wire::say`].
    is_saying: bool,
    outbox: Outbox,
    /// A second handle of `writer`, for the write that stays in flight.
    poster: Option<OwnedWriteHalf<TcpStream>>,
}

type Writing = Pin<Box<dyn Future<Output = (OwnedWriteHalf<TcpStream>, io::Result<usize>)>>>;

/// A write that stays in flight, and what of it is not written yet.
enum Outbox {
    Empty,
    Resting(Portion),
    Writing(Writing, Portion),
}

type Read = (OwnedReadHalf<TcpStream>, io::Result<usize>, Vec<u8>);
type Reading = Pin<Box<dyn Future<Output = Read>>>;

/// Whether a read in flight may be exchanged for a smaller one.
enum Rest {
    Possible(Canceller),
    Begun,
    /// There is nothing to exchange.
    Done,
}

impl Rest {
    fn is_begun(&self) -> bool {
        matches!(self, Self::Begun)
    }
}

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
        Self {
            state: State::Idle(reader),
            writer,
            turn: Turn::default(),
            rest: Rest::Done,
            is_writing: false,
            is_saying: false,
            outbox: Outbox::Empty,
            poster: None,
        }
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

    /// The same for a read that may be long in coming: [`Wire::rest`] gives back what its buffer has above 4 KiB.
    pub(super) fn arm_to_rest(&mut self, buffer: Vec<u8>) -> Result<(), Vec<u8>> {
        if buffer.capacity() - buffer.len() <= ROOM_BYTES_MIN {
            return self.arm(buffer);
        }
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Idle(reader) => {
                let canceller = Canceller::new();
                self.start(Box::pin(read_until_cancelled(reader, buffer, canceller.handle())));
                self.rest = Rest::Possible(canceller);
                Ok(())
            }
            other => {
                self.state = other;
                Err(buffer)
            }
        }
    }

    /// Nothing has come for a while: the buffer of a read that was armed for this is exchanged for a small one. What comes
    /// in this moment is not lost: the read ends with it, or it stays with the kernel for the next one.
    pub(super) fn rest(&mut self) {
        self.rest = match std::mem::replace(&mut self.rest, Rest::Done) {
            Rest::Possible(canceller) => {
                let _ = canceller.cancel();
                Rest::Begun
            }
            other => other,
        };
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
        loop {
            let (result, buffer) = ready!(self.poll_read(context));
            match &result {
                Err(error) if self.rest.is_begun() && error.raw_os_error() == Some(libc::ECANCELED) => {
                    let mut small = Vec::with_capacity(buffer.len() + ROOM_BYTES_MIN);
                    small.extend_from_slice(&buffer);
                    self.rest = Rest::Done;
                    // It was idle: the read that held it has just ended.
                    let _ = self.arm(small);
                }
                _ => {
                    self.rest = Rest::Done;
                    self.turn.took(*result.as_ref().unwrap_or(&0));
                    return Poll::Ready((result, buffer));
                }
            }
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Filled> {
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

    /// Writes all of `bytes`, which come back. There is no deadline. Dropped half-way, nothing more can be written.
    pub(super) async fn write_all(&mut self, mut bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        if let Err(error) = self.finish_word().await.and_then(|()| self.begin_write()) {
            return (Err(error), bytes);
        }
        let mut written = 0;
        while written < bytes.len() {
            let (result, slice) = self.write_piece(piece(bytes, written)).await;
            bytes = slice.into_inner();
            match result {
                Ok(count) => written += count,
                Err(error) => return (Err(error), bytes),
            }
        }
        self.is_writing = false;
        (Ok(()), bytes)
    }

    /// The same within `stall`: the longest time in which the peer may take no byte. Errors: the peer's, or `TimedOut`;
    /// the bytes are lost with them.
    pub(super) async fn send(
        &mut self,
        mut bytes: Vec<u8>,
        stall: Duration,
        alarm: &mut Alarm,
    ) -> io::Result<Vec<u8>> {
        if self.is_saying {
            within(alarm, Instant::now() + stall, self.finish_word()).await.ok_or_else(stalled)??;
        }
        self.begin_write()?;
        let mut written = 0;
        while written < bytes.len() {
            let writing = self.write_piece(piece(bytes, written));
            let done = within(alarm, Instant::now() + stall, writing).await;
            let (result, slice) = done.ok_or_else(stalled)?;
            bytes = slice.into_inner();
            written += result?;
        }
        self.is_writing = false;
        Ok(bytes)
    }

    /// Starts a write that stays in flight like a read, in pieces. It goes on while [`Wire::poll_written`] is polled, and
    /// ends with the connection. Errors: nothing can be written.
    pub(super) fn start_write(&mut self, portion: Portion) -> io::Result<()> {
        self.begin_write()?;
        self.outbox = Outbox::Resting(portion);
        Ok(())
    }

    /// Whether such a write has not ended yet.
    pub(super) fn has_outbox(&self) -> bool {
        !matches!(self.outbox, Outbox::Empty)
    }

    /// Goes on with the started write. Without one this is an error, never a wait.
    pub(super) fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match std::mem::replace(&mut self.outbox, Outbox::Empty) {
                Outbox::Empty => return Poll::Ready(Err(lost())),
                Outbox::Resting(portion) if portion.bytes().is_empty() => {
                    self.is_writing = false;
                    return Poll::Ready(Ok(()));
                }
                Outbox::Resting(portion) => {
                    if self.turn.poll(context).is_pending() {
                        self.outbox = Outbox::Resting(portion);
                        return Poll::Pending;
                    }
                    self.outbox = Outbox::Writing(self.post(portion.piece(PIECE_BYTES_MAX)), portion);
                }
                Outbox::Writing(mut future, mut portion) => {
                    let Poll::Ready((writer, result)) = future.as_mut().poll(context) else {
                        self.turn.waits();
                        self.outbox = Outbox::Writing(future, portion);
                        return Poll::Pending;
                    };
                    self.poster = Some(writer);
                    self.turn.took(*result.as_ref().unwrap_or(&0));
                    match counted(result) {
                        Ok(count) => portion.advance(count),
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                    self.outbox = Outbox::Resting(portion);
                }
            }
        }
    }

    fn post(&mut self, piece: Slice<Rc<Vec<u8>>>) -> Writing {
        let mut writer = self.poster.take().unwrap_or_else(|| OwnedWriteHalf(Rc::clone(&self.writer.0)));
        Box::pin(async move {
            let (result, _) = writer.write(piece).await;
            (writer, result)
        })
    }

    /// Errors: a write before this one failed or was dropped.
    fn begin_write(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.is_writing, true) {
            true => Err(lost()),
            false => Ok(()),
        }
    }

    /// Waits for what [`Wire::say`] began.
    async fn finish_word(&mut self) -> io::Result<()> {
        if !self.is_saying {
            return Ok(());
        }
        let result = poll_fn(|context| self.poll_written(context)).await;
        self.is_saying = false;
        result
    }

    async fn write_piece(&mut self, piece: Slice<Vec<u8>>) -> (io::Result<usize>, Slice<Vec<u8>>) {
        poll_fn(|context| self.turn.poll(context)).await;
        let (result, piece) = Watched { future: self.writer.write(piece), turn: &mut self.turn }.await;
        self.turn.took(*result.as_ref().unwrap_or(&0));
        (counted(result), piece)
    }

    /// Whether nothing is being written.
    pub(super) fn is_silent(&self) -> bool {
        !self.is_writing
    }

    /// Begins to write bytes that nobody waits for: the next write waits for them, and they go with the connection. Only
    /// while this side is silent.
    pub(super) fn say(&mut self, bytes: Vec<u8>) {
        if self.start_write(bytes.into()).is_ok() {
            // A few bytes are no turn, and a timer may not be polled for nobody: monoio's keeps the first waker.
            self.begin_turn();
            // The first poll is what hands the write to the driver.
            self.is_saying = self.poll_written(&mut Context::from_waker(Waker::noop())).is_pending();
        }
    }

    /// Whether the peer refuses what was written: it has closed altogether, and said so with a reset. Once it has closed
    /// its sending side a read does not tell that any more, but a write does, also one of nothing.
    pub(super) async fn is_refused(&mut self) -> bool {
        self.finish_word().await.is_err() || self.writer.write(Vec::new()).await.0.is_err()
    }

    /// Ends the sending side.
    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        self.finish_word().await?;
        self.writer.shutdown().await
    }
}

/// The bytes that a write took: none is an error, an interruption is none.
fn counted(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        result => result,
    }
}

fn piece(bytes: Vec<u8>, written: usize) -> Slice<Vec<u8>> {
    let end = bytes.len().min(written + PIECE_BYTES_MAX);
    bytes.slice(written..end)
}

fn room(buffer: Vec<u8>) -> SliceMut<Vec<u8>> {
    let begin = buffer.len();
    let end = buffer.capacity().min(begin + PIECE_BYTES_MAX);
    buffer.slice_mut(begin..end)
}

async fn read_behind(mut reader: OwnedReadHalf<TcpStream>, buffer: Vec<u8>) -> Read {
    let (result, slice) = reader.read(room(buffer)).await;
    (reader, result, slice.into_inner())
}

async fn read_until_cancelled(
    mut reader: OwnedReadHalf<TcpStream>,
    buffer: Vec<u8>,
    cancel: CancelHandle,
) -> Read {
    let (result, slice) = reader.cancelable_read(room(buffer), cancel).await;
    (reader, result, slice.into_inner())
}

fn stalled() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the peer takes no bytes")
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

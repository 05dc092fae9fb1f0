//! A byte stream whose reads outlive the wait for them: a read is armed once, stays in flight, and may be waited for
//! any number of times. Dropping a wait drops nothing; the read itself ends only with its connection, and then the
//! driver keeps the buffer until the kernel is done. It frames nothing and holds no deadline.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use monoio::buf::{IoBuf, IoBufMut, SliceMut};
use monoio::io::{
    AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt, OwnedReadHalf, OwnedWriteHalf, Splitable,
};
use monoio::net::TcpStream;
use monoio_rustls::ClientTlsStream;
use socket2::Socket;

/// A read that ended: the bytes it added (0: the peer closed), and its buffer.
pub type Filled = (io::Result<usize>, Vec<u8>);

/// One connection.
pub struct Stream {
    inner: Inner,
    /// Bytes read since a read last had to wait. On epoll a read that is ready ends within its poll: a peer that always
    /// has more would keep the core to itself.
    ready_bytes: usize,
}

/// After so many bytes without a wait, others have their turn.
const READY_BYTES_MAX: usize = 256 * 1024;
/// The shortest time that monoio's timer knows.
const YIELD: Duration = Duration::from_millis(1);

enum Inner {
    Plain { pump: Pump<OwnedReadHalf<TcpStream>>, writer: OwnedWriteHalf<TcpStream> },
    Tls(Box<Tls>),
}

struct Tls {
    pump: Pump<ClientTlsStream<TcpStream>>,
    probe: Socket,
}

impl Stream {
    /// A plain TCP connection.
    pub fn plain(stream: TcpStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self { inner: Inner::Plain { pump: Pump::new(reader), writer }, ready_bytes: 0 }
    }

    /// A TLS connection. `probe` is a second descriptor of its socket, to look at without reading.
    pub fn tls(stream: ClientTlsStream<TcpStream>, probe: Socket) -> Self {
        let inner = Inner::Tls(Box::new(Tls { pump: Pump::new(stream), probe }));
        Self { inner, ready_bytes: 0 }
    }

    /// Whether reads may stay in flight while something is written.
    pub fn reads_ahead(&self) -> bool {
        matches!(self.inner, Inner::Plain { .. })
    }

    /// Starts a read into the free capacity of `buffer`, behind its content. The buffer comes back with
    /// [`Stream::filled`]. A second read is not started while one is in flight: then the buffer is handed back.
    pub fn arm(&mut self, buffer: Vec<u8>) -> Result<(), Vec<u8>> {
        match &mut self.inner {
            Inner::Plain { pump, .. } => pump.arm(buffer),
            Inner::Tls(tls) => tls.pump.arm(buffer),
        }
    }

    /// Whether a read is in flight, or has ended and was not taken.
    pub fn is_armed(&self) -> bool {
        match &self.inner {
            Inner::Plain { pump, .. } => pump.is_armed(),
            Inner::Tls(tls) => tls.pump.is_armed(),
        }
    }

    /// Waits for the armed read. Dropping this future leaves the read in flight.
    pub async fn filled(&mut self) -> Filled {
        if self.ready_bytes >= READY_BYTES_MAX {
            // By a timer, since a task that wakes itself starves monoio's loop.
            Box::pin(monoio::time::sleep(YIELD)).await;
            self.ready_bytes = 0;
        }
        let filled = poll_fn(|context| self.poll_filled(context)).await;
        if let Ok(count) = filled.0 {
            self.ready_bytes += count;
        }
        filled
    }

    /// [`Stream::filled`] as a poll. Without an armed read this is an error, never a wait.
    pub fn poll_filled(&mut self, context: &mut Context<'_>) -> Poll<Filled> {
        let filled = match &mut self.inner {
            Inner::Plain { pump, .. } => pump.poll_filled(context),
            Inner::Tls(tls) => tls.pump.poll_filled(context),
        };
        if filled.is_pending() {
            self.ready_bytes = 0;
        }
        filled
    }

    /// Writes all of `buffer`, which comes back. Dropped half-way, the connection must be closed.
    pub async fn write_all<T: IoBuf + 'static>(&mut self, buffer: T) -> (io::Result<()>, T) {
        match &mut self.inner {
            Inner::Plain { writer, .. } => {
                let (result, buffer) = writer.write_all(buffer).await;
                (result.map(drop), buffer)
            }
            // Boxed: its session would otherwise stand in every plain connection's future too.
            Inner::Tls(tls) => Box::pin(tls.pump.write_all(buffer)).await,
        }
    }

    /// Ends the sending side; the peer reads an end of file.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        match &mut self.inner {
            Inner::Plain { writer, .. } => writer.shutdown().await,
            Inner::Tls(tls) => match &mut tls.pump.state {
                State::Idle(stream) => stream.shutdown().await,
                _ => Err(lost()),
            },
        }
    }

    /// Whether an idle connection is still open and silent. What is not (closed, or bytes that nobody asked for) must
    /// not carry another request.
    pub fn is_quiet(&mut self) -> bool {
        match &mut self.inner {
            Inner::Plain { pump, .. } => {
                pump.poll_filled(&mut Context::from_waker(Waker::noop())).is_pending()
            }
            Inner::Tls(tls) => is_silent(&tls.probe),
        }
    }
}

/// Looks at a socket's next byte without taking it: silent is "would block".
fn is_silent(probe: &Socket) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    matches!(probe.recv_with_flags(&mut byte, flags), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

type Reading<R> = Pin<Box<dyn Future<Output = (R, io::Result<usize>, Vec<u8>)>>>;

/// Owns the reading side: at rest, reading, or holding what was read.
struct Pump<R> {
    state: State<R>,
}

enum State<R> {
    Idle(R),
    Reading(Reading<R>),
    Filled(R, io::Result<usize>, Vec<u8>),
    /// A write on it was dropped half-way: nothing may follow.
    Lost,
}

impl<R: AsyncReadRent + 'static> Pump<R> {
    fn new(reader: R) -> Self {
        Self { state: State::Idle(reader) }
    }

    fn is_armed(&self) -> bool {
        matches!(self.state, State::Reading(_) | State::Filled(..))
    }

    fn arm(&mut self, buffer: Vec<u8>) -> Result<(), Vec<u8>> {
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Idle(reader) => {
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
    fn start(&mut self, mut reading: Reading<R>) {
        self.state = match reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready((reader, result, buffer)) => State::Filled(reader, result, buffer),
            Poll::Pending => State::Reading(reading),
        };
    }

    fn poll_filled(&mut self, context: &mut Context<'_>) -> Poll<Filled> {
        let (reader, result, buffer) = match std::mem::replace(&mut self.state, State::Lost) {
            State::Filled(reader, result, buffer) => (reader, result, buffer),
            State::Reading(mut reading) => match reading.as_mut().poll(context) {
                Poll::Ready(done) => done,
                Poll::Pending => {
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
}

impl<R: AsyncWriteRent> Pump<R> {
    async fn write_all<T: IoBuf + 'static>(&mut self, buffer: T) -> (io::Result<()>, T) {
        let State::Idle(mut stream) = std::mem::replace(&mut self.state, State::Lost) else {
            return (Err(lost()), buffer);
        };
        let (result, buffer) = stream.write_all(buffer).await;
        let result = match result {
            Ok(_) => stream.flush().await,
            Err(error) => Err(error),
        };
        // Also after an error: the peer may have said why it takes no more.
        self.state = State::Idle(stream);
        (result, buffer)
    }
}

async fn read_behind<R: AsyncReadRent>(mut reader: R, buffer: Vec<u8>) -> (R, io::Result<usize>, Vec<u8>) {
    let (begin, end) = (buffer.len(), buffer.capacity());
    let (result, slice): (_, SliceMut<Vec<u8>>) = reader.read(buffer.slice_mut(begin..end)).await;
    (reader, result, slice.into_inner())
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the connection was given up")
}

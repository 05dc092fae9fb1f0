//! One connection to a provider: a request out, a head back, a body in pieces. An answer may come before all of the request
//! was taken. A connection that was reused and died before its first byte is replaced once; any other retry is `routing`'s to
//! decide.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::feed::Feed;
use super::open::{self, unreachable};
use super::pool::{Grant, Permit};
use super::portion::Portion;
use super::stream::Stream;
use super::{Net, proxy};
use crate::config::snapshot::Origin;
use crate::error::{Error, Kind};
use crate::http::{BodyDecoder, Framing, HeadEnd, ResponseHead, parse_response_head};

/// First read of an answer, bytes; a longer body is read in pieces of `READ_BYTES_MAX`.
const READ_BYTES_MIN: usize = 8 * 1024;
const READ_BYTES_MAX: usize = 64 * 1024;
/// A kept connection that dies this soon after a request had been closed by its peer before: the request may be sent
/// again. One that dies later may have been at work on it.
const STALE_WITHIN: Duration = Duration::from_millis(100);
/// The status of a provider that gives a connection up. One that keeps it all the same may still answer the request that
/// crossed this: nobody else may read that.
const REQUEST_TIMEOUT: u16 = 408;
/// Interim (1xx) heads skipped before the final one.
const INTERIM_HEADS_MAX: usize = 8;
/// A request up to this is written in one go and then its answer is waited for: two sockets' buffers take it even when the
/// provider reads nothing. While a longer one is written, its answer is waited for.
const WRITE_BYTES_AT_ONCE: usize = 16 * 1024;

/// A request as it goes out: the head, with the body behind it or beside it.
pub struct Outgoing {
    /// Head, and the body as well when it is small.
    pub head: Vec<u8>,
    /// What goes behind it, when that was too large to copy.
    pub body: Vec<Portion>,
    /// What comes behind all that while it is sent.
    pub feed: Option<Rc<Feed>>,
    /// How often it was sent.
    pub sends: u32,
}

/// A connection to an origin.
pub struct Upstream {
    stream: Stream,
    permit: Permit,
    opened: Instant,
    /// What was received; empty while a read is in flight, which then holds it.
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were taken already.
    consumed: usize,
    decoder: BodyDecoder,
    keep_alive: bool,
    /// Size of the next read; grows while reads fill their buffers.
    read_bytes: usize,
    /// The request, while its write is in flight beside the reads of its answer.
    sending: Option<Sending>,
}

/// A long request on its way out.
struct Sending {
    /// What is not written yet; the first is in flight.
    left: VecDeque<Portion>,
    /// What comes behind that.
    feed: Option<Rc<Feed>>,
    /// The peer takes no more.
    is_broken: bool,
}

/// Whether a body goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to read.
    More,
    /// The body is whole.
    Done,
}

enum HeadFault {
    /// The peer closed, or reset, before a byte of its answer.
    Silent,
    Broken(Error),
}

/// Sends a request, at `now`, on a pooled or a new connection, and reads the head of the answer. There is no deadline for the
/// answer here; the caller sets one. Errors: all connections in use, unreachable, or an answer that is not HTTP.
pub async fn exchange(
    net: &Net,
    origin: &Origin,
    outgoing: &mut Outgoing,
    now: Instant,
) -> Result<(Box<Upstream>, ResponseHead), Error> {
    let permit = match net.pool.acquire(origin, now).await? {
        Grant::Place(permit) => permit,
        // What is not kept cannot be sent once more, should the kept connection turn out to be dead.
        Grant::Kept(upstream) if outgoing.feed.is_some() => upstream.into_permit(),
        Grant::Kept(mut upstream) => {
            let stale_until = Instant::now() + STALE_WITHIN;
            let asked = upstream.ask(outgoing).await;
            if is_goodbye(&asked) && Instant::now() < stale_until {
                upstream.into_permit()
            } else {
                let head = asked.map_err(|fault| fault.into_error(origin))?;
                return checked(origin, upstream, head);
            }
        }
    };
    let mut upstream = Box::pin(Upstream::open(net, origin, permit)).await?;
    match upstream.ask(outgoing).await {
        Ok(head) => checked(origin, upstream, head),
        Err(fault) => Err(fault.into_error(origin)),
    }
}

/// Whether a kept connection's answer may be what its peer did to it while it was at rest: it was closed, or was told that it
/// had been silent for too long (RFC 9110 §15.5.9, by which the request may be repeated on another).
fn is_goodbye(asked: &Result<ResponseHead, HeadFault>) -> bool {
    match asked {
        Ok(head) => head.status == REQUEST_TIMEOUT,
        Err(fault) => matches!(fault, HeadFault::Silent),
    }
}

/// A 407 comes from the proxy that a plain request was sent to: the caller has no part in it.
fn checked(
    origin: &Origin,
    upstream: Box<Upstream>,
    head: ResponseHead,
) -> Result<(Box<Upstream>, ResponseHead), Error> {
    match head.status == 407 && proxy::forwarding(origin).is_some() {
        true => Err(unreachable(origin, proxy::CREDENTIALS_REFUSED)),
        false => Ok((upstream, head)),
    }
}

impl HeadFault {
    fn into_error(self, origin: &Origin) -> Error {
        match self {
            Self::Broken(error) => error,
            Self::Silent => {
                let message =
                    format!("{}:{} closed the connection without an answer", origin.host, origin.port);
                Error::new(Kind::UpstreamUnreachable, message)
            }
        }
    }
}

impl Upstream {
    async fn open(net: &Net, origin: &Origin, permit: Permit) -> Result<Box<Self>, Error> {
        let opened = Instant::now();
        let stream = open::open(net, origin, opened).await?;
        Ok(Box::new(Self::new(stream, permit, opened)))
    }

    /// Over a connection of which nothing was read, opened at `opened`.
    pub(super) fn new(stream: Stream, permit: Permit, opened: Instant) -> Self {
        Self {
            stream,
            permit,
            opened,
            buffer: Vec::new(),
            consumed: 0,
            decoder: BodyDecoder::response(Framing::None),
            keep_alive: false,
            read_bytes: READ_BYTES_MIN,
            sending: None,
        }
    }

    /// When it was opened.
    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// Its place among its origin's connections.
    pub(super) fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Closes it, and keeps its place.
    pub(super) fn into_permit(self) -> Permit {
        self.permit
    }

    /// Whether an idle connection is open and silent.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.stream.is_quiet()
    }

    /// Readies the connection for its next request: the read of that answer is in flight while it rests, so that the
    /// peer's closing is seen without asking.
    pub(super) fn rest(&mut self) {
        self.consumed = 0;
        self.buffer.clear();
        // What a long answer needed is not kept while it rests.
        if self.buffer.capacity() > READ_BYTES_MIN {
            self.buffer = Vec::new();
        }
        self.read_bytes = READ_BYTES_MIN;
        self.arm(READ_BYTES_MIN);
    }

    /// Whether another request may follow: all of this one was sent, the answer ended where its framing said, nothing is
    /// behind it, and the peer keeps the connection.
    pub fn is_reusable(&self) -> bool {
        self.keep_alive
            && self.sending.is_none()
            && self.decoder.is_done()
            && self.consumed >= self.buffer.len()
            && !self.stream.is_armed()
    }

    /// Whether something came with the answer that stands behind its end: another answer, or a body longer than it was
    /// said to be. Line breaks, which some servers add, are nothing.
    pub fn has_surplus(&self) -> bool {
        let behind = self.buffer.get(self.consumed..).unwrap_or_default();
        self.decoder.is_done() && behind.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
    }

    /// The received bytes of the head, which its spans refer to, until the body is read.
    pub fn head_bytes(&self) -> &[u8] {
        self.buffer.get(..self.consumed).unwrap_or_default()
    }

    async fn ask(&mut self, outgoing: &mut Outgoing) -> Result<ResponseHead, HeadFault> {
        if !self.stream.is_armed() {
            self.arm(READ_BYTES_MIN);
        }
        outgoing.sends += 1;
        let mut is_sent = true;
        if outgoing.body.is_empty() && outgoing.feed.is_none() && outgoing.head.len() <= WRITE_BYTES_AT_ONCE {
            let (result, head) = self.stream.write_all(std::mem::take(&mut outgoing.head)).await;
            outgoing.head = head;
            is_sent = result.is_ok();
        } else {
            self.start(outgoing);
        }
        // A provider may refuse a long body before it took all of it, and close: its answer stands, if one came.
        let head = self.head().await?;
        self.keep_alive &= is_sent;
        self.forget_sent();
        Ok(head)
    }

    /// Begins to write a request that takes long, and may have to be sent once more: its head joins its body.
    fn start(&mut self, outgoing: &mut Outgoing) {
        if !outgoing.head.is_empty() {
            outgoing.body.insert(0, std::mem::take(&mut outgoing.head).into());
        }
        let feed = outgoing.feed.clone();
        let mut sending = Sending { left: outgoing.body.iter().cloned().collect(), feed, is_broken: false };
        sending.begin_next(&mut self.stream);
        self.sending = Some(sending);
    }

    /// Goes on with the request's write; what becomes of it is seen when its answer is.
    fn poll_sending(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.sending {
            Some(sending) => sending.poll(&mut self.stream, context),
            None => Poll::Ready(()),
        }
    }

    /// Drops a request that was sent, whose answer has come.
    fn forget_sent(&mut self) {
        if self.sending.as_ref().is_some_and(Sending::is_sent) {
            self.sending = None;
        }
    }

    async fn head(&mut self) -> Result<ResponseHead, HeadFault> {
        for interim_heads in 0..=INTERIM_HEADS_MAX {
            let end = match self.find_head().await {
                // An interim answer shows that the request arrived: it must not be sent again.
                Err(HeadFault::Silent) if interim_heads > 0 => {
                    return Err(HeadFault::Broken(Error::unusable_answer(
                        "the connection closed behind an interim one",
                    )));
                }
                found => found?,
            };
            let start = self.consumed;
            let bytes = self.buffer.get(start..end).unwrap_or_default();
            let head = parse_response_head(bytes, false).map_err(HeadFault::Broken)?;
            if head.is_interim {
                self.buffer.drain(..end);
                continue;
            }
            self.consumed = end;
            self.keep_alive = head.keep_alive && head.status != REQUEST_TIMEOUT;
            self.decoder = BodyDecoder::response(head.framing);
            return Ok(head);
        }
        Err(HeadFault::Broken(Error::unusable_answer(
            "it has more than 8 interim responses before the answer",
        )))
    }

    async fn find_head(&mut self) -> Result<usize, HeadFault> {
        let mut search = HeadEnd::response();
        loop {
            let found = search.find(&self.buffer);
            match found.map_err(HeadFault::Broken)? {
                Some(end) => return Ok(end),
                None => self.fill_head().await?,
            }
        }
    }

    async fn fill_head(&mut self) -> Result<(), HeadFault> {
        let had = if self.stream.is_armed() { 0 } else { self.buffer.len() };
        match self.fill(READ_BYTES_MIN).await {
            Ok(0) | Err(_) if had == 0 => Err(HeadFault::Silent),
            Ok(0) | Err(_) => {
                Err(HeadFault::Broken(Error::unusable_answer("the connection closed inside its head")))
            }
            Ok(_) => Ok(()),
        }
    }

    /// Appends what has come of the body to `sink`, without waiting. Errors: its framing is broken.
    pub fn take_body(&mut self, sink: &mut Vec<u8>) -> Result<Progress, Error> {
        self.decode(sink)?;
        Ok(if self.decoder.is_done() { Progress::Done } else { Progress::More })
    }

    /// Appends the next piece of the body to `sink`: at least a byte, unless the body is done. Errors: the connection
    /// ended inside the body, or its framing is broken.
    pub async fn read_body(&mut self, sink: &mut Vec<u8>) -> Result<Progress, Error> {
        let before = sink.len();
        loop {
            if self.take_body(sink)? == Progress::Done {
                return Ok(Progress::Done);
            }
            if sink.len() > before {
                return Ok(Progress::More);
            }
            self.buffer.clear();
            self.consumed = 0;
            let filled = self.fill(self.read_bytes).await;
            self.forget_sent();
            match filled {
                Ok(0) => {
                    self.keep_alive = false;
                    self.decoder.end_of_input()?;
                    return Ok(Progress::Done);
                }
                Ok(count) if count >= self.read_bytes => self.read_bytes = READ_BYTES_MAX,
                Ok(_) => {}
                Err(_) => return Err(Error::unusable_answer("the connection was lost inside its body")),
            }
        }
    }

    fn decode(&mut self, sink: &mut Vec<u8>) -> Result<(), Error> {
        let input = self.buffer.get(self.consumed..).unwrap_or_default();
        let consumed = self.decoder.decode(input, &mut |data| sink.extend_from_slice(data));
        self.consumed += consumed?;
        Ok(())
    }

    fn arm(&mut self, size: usize) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.reserve(size);
        if let Err(buffer) = self.stream.arm(buffer) {
            self.buffer = buffer;
        }
    }

    /// Reads once behind what is in the buffer.
    async fn fill(&mut self, size: usize) -> io::Result<usize> {
        if !self.stream.is_armed() {
            self.arm(size);
        }
        let (result, buffer) = poll_fn(|context| {
            // The end of the write needs no further poll: the answer's is what is waited for.
            let _ = self.poll_sending(context);
            self.stream.poll_filled(context)
        })
        .await;
        self.buffer = buffer;
        result
    }
}

impl Sending {
    /// Whether all is written.
    fn is_sent(&self) -> bool {
        self.left.is_empty() && !self.is_broken && self.feed.as_ref().is_none_or(|feed| feed.is_done())
    }

    /// Ready when nothing more is written: all is, the feed has nothing more yet, or the peer takes no more.
    fn poll(&mut self, stream: &mut Stream, context: &mut Context<'_>) -> Poll<()> {
        while !self.is_broken {
            if self.left.is_empty() {
                let Some(portion) = self.feed.as_ref().and_then(|feed| feed.take()) else { break };
                self.left.push_back(portion);
                self.begin_next(stream);
                continue;
            }
            let result = ready!(stream.poll_written(context));
            self.left.pop_front();
            match result {
                Ok(()) => self.begin_next(stream),
                Err(_) => self.is_broken = true,
            }
        }
        Poll::Ready(())
    }

    fn begin_next(&mut self, stream: &mut Stream) {
        if let Some(portion) = self.left.front() {
            self.is_broken = stream.start_write(portion.clone()).is_err();
        }
    }
}

//! One connection to a provider: a request out, a head back, a body in pieces. A connection that was reused and died
//! before its first byte is replaced once; any other retry is `routing`'s to decide.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use monoio::buf::IoBuf;
use rustls::pki_types::ServerName;

use super::stream::Stream;
use super::{CONNECT_TIMEOUT, Net, WRITE_STALL_TIMEOUT, connect, unreachable, until};
use crate::config::snapshot::Origin;
use crate::error::{Error, Kind};
use crate::http::{BodyDecoder, Framing, HeadEnd, ResponseHead, parse_response_head};

/// First read of an answer, bytes; a longer body is read in pieces of `READ_BYTES_MAX`.
const READ_BYTES_MIN: usize = 8 * 1024;
const READ_BYTES_MAX: usize = 64 * 1024;
/// A kept connection that dies this soon after a request had been closed by its peer before: the request may be sent
/// again. One that dies later may have been at work on it.
const STALE_WITHIN: Duration = Duration::from_millis(100);
/// Interim (1xx) heads skipped before the final one.
const INTERIM_HEADS_MAX: usize = 8;

/// A request as it goes out: the head, with the body behind it or beside it.
pub struct Outgoing {
    /// Head, and the body as well when it is small.
    pub head: Vec<u8>,
    /// The body, from this offset of this buffer, when it was too large to copy.
    pub body: Option<(Vec<u8>, usize)>,
    /// How often it was sent.
    pub sends: u32,
}

/// A connection to an origin.
pub struct Upstream {
    stream: Stream,
    /// What was received; empty while a read is in flight, which then holds it.
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were taken already.
    consumed: usize,
    decoder: BodyDecoder,
    keep_alive: bool,
    /// Size of the next read; grows while reads fill their buffers.
    read_bytes: usize,
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
/// answer here; the caller sets one. Errors: unreachable, or an answer that is not HTTP.
pub async fn exchange(
    net: &Net,
    origin: &Origin,
    outgoing: &mut Outgoing,
    now: Instant,
) -> Result<(Box<Upstream>, ResponseHead), Error> {
    if let Some(mut upstream) = net.pool.acquire(origin, now) {
        match upstream.ask(outgoing).await {
            Ok(head) => return Ok((upstream, head)),
            Err(HeadFault::Silent) if now.elapsed() < STALE_WITHIN => {}
            Err(HeadFault::Silent) => return Err(closed_early(origin)),
            Err(HeadFault::Broken(error)) => return Err(error),
        }
    }
    let mut upstream = Box::pin(Upstream::open(net, origin)).await?;
    match upstream.ask(outgoing).await {
        Ok(head) => Ok((upstream, head)),
        Err(HeadFault::Silent) => Err(closed_early(origin)),
        Err(HeadFault::Broken(error)) => Err(error),
    }
}

impl Upstream {
    async fn open(net: &Net, origin: &Origin) -> Result<Box<Self>, Error> {
        let started = Instant::now();
        let deadline = started + CONNECT_TIMEOUT;
        let addresses = until(deadline, net.resolve(origin, started))
            .await
            .unwrap_or_else(|| Err(unreachable(origin, "its name was not resolved in time")))?;
        let stream = Self::connect(net, origin, &addresses, deadline).await;
        let stream = stream.map_err(|error| unreachable(origin, &error.to_string()))?;
        let decoder = BodyDecoder::response(Framing::None);
        let read_bytes = READ_BYTES_MIN;
        Ok(Box::new(Self { stream, buffer: Vec::new(), consumed: 0, decoder, keep_alive: false, read_bytes }))
    }

    async fn connect(
        net: &Net,
        origin: &Origin,
        addresses: &[std::net::SocketAddr],
        deadline: Instant,
    ) -> io::Result<Stream> {
        let (stream, _) = connect::connect(net.driver, addresses, deadline).await?;
        let stream = Stream::plain(stream);
        if !origin.tls {
            return Ok(stream);
        }
        let name = ServerName::try_from(origin.host.clone())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not a name that TLS can verify"))?;
        stream.connect_tls(Arc::clone(&net.tls), name, deadline).await
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

    /// Whether another request may follow: the answer ended where its framing said, nothing is behind it, and the peer
    /// keeps the connection.
    pub fn is_reusable(&self) -> bool {
        self.keep_alive
            && self.decoder.is_done()
            && self.consumed >= self.buffer.len()
            && !self.stream.is_armed()
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
        // A provider may refuse a long body before it took all of it, and close: its answer stands, if one came.
        let is_sent = self.send(outgoing).await.is_ok();
        let head = self.head().await;
        self.keep_alive &= is_sent;
        head
    }

    async fn send(&mut self, outgoing: &mut Outgoing) -> io::Result<()> {
        let head = std::mem::take(&mut outgoing.head);
        let (result, head) = self.stream.write_all(head).await;
        outgoing.head = head;
        result?;
        if let Some((body, start)) = outgoing.body.take() {
            let (result, body) = self.stream.write_all(body.slice(start..)).await;
            outgoing.body = Some((body.into_inner(), start));
            result?;
        }
        Ok(())
    }

    async fn head(&mut self) -> Result<ResponseHead, HeadFault> {
        for interim_heads in 0..INTERIM_HEADS_MAX {
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
            self.keep_alive = head.keep_alive;
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
            match self.fill(self.read_bytes).await {
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
        let (result, buffer) = self.stream.filled().await;
        self.buffer = buffer;
        result
    }
}

/// The time that sending `bytes` may take: the stall limit, and more for what a slow line needs (64 KiB a second).
pub fn send_timeout(bytes: usize) -> Duration {
    WRITE_STALL_TIMEOUT + Duration::from_secs(bytes as u64 / (64 * 1024))
}

fn closed_early(origin: &Origin) -> Error {
    let message = format!("{}:{} closed the connection without an answer", origin.host, origin.port);
    Error::new(Kind::UpstreamUnreachable, message)
}

//! One connection of a caller: requests in, answers out. While a request is served, the read of what follows it is in
//! flight, so that the caller's leaving is seen at once and the next request costs no further read. It knows no route.

mod pieces;

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use self::pieces::Pieces;
use super::budget::{Budget, Hold};
use super::stream::Stream;
use super::{Alarm, WRITE_STALL_TIMEOUT, within};
use crate::error::{Error, Kind};
use crate::http::{BodyDecoder, Framing, HeadEnd, RequestHead, encode, parse_request_head};

/// From the first byte of a head to its last.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence inside a body.
pub const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// A body must come at this rate, after the first [`BODY_IDLE_TIMEOUT`], bytes a second: a drip must not hold its part of
/// the budget for ever.
pub const BODY_RATE_MIN: u64 = 16 * 1024;
/// Longest silence between two requests.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// A connection that is silent for so long after a large request reads on into a small buffer.
pub const REST_AFTER: Duration = Duration::from_secs(1);
/// A refused request's bytes are read and dropped for this long and this far, so that the answer is not lost in a reset.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(5);
/// See [`LINGER_TIMEOUT`].
pub const LINGER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long the closing word of a connection may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// A caller that has closed its sending side is sent something harmless after so long, since only what reaches a closed socket
/// is answered with a reset: time enough for an answer that stands ready, and for a reset that is on its way.
const ASK_AFTER: Duration = Duration::from_millis(20);
/// How often the reset is looked for, so that all that is done for one who has left ends within 100 ms.
const ASK_INTERVAL: Duration = Duration::from_millis(10);
/// The same once it should have come; a caller that waits for its answer may do so for long.
const ASK_INTERVAL_LATER: Duration = Duration::from_millis(50);
/// See [`ASK_INTERVAL_LATER`].
const ASK_LATER_AFTER: Duration = Duration::from_millis(500);
/// How long the reset may take that answers the last bytes of an answer.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(50);
/// Between two looks for it.
const REFUSAL_INTERVAL: Duration = Duration::from_millis(5);

const READ_BYTES_MIN: usize = 4 * 1024;
/// Also the most that is kept of further requests while one is served.
const READ_BYTES_MAX: usize = 64 * 1024;

/// The caller's connection is of no more use: closed, reset, or too slow to be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl From<Gone> for Error {
    fn from(_: Gone) -> Self {
        Self::new(Kind::ClientGone, "the caller closed the connection")
    }
}

/// A request: its head, and its body once that was read.
pub struct Request {
    /// The head; its spans refer to the front of `bytes`.
    pub head: RequestHead,
    /// Head and, behind it, the body without its framing.
    pub bytes: Vec<u8>,
    /// When its first byte was there.
    pub began: Instant,
    decoder: Option<BodyDecoder>,
    hold: Hold,
}

impl Request {
    /// The body so far.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.head.head_bytes..).unwrap_or_default()
    }

    /// Takes the body away, with what it holds of the core's budget: a buffer, and where in it the body begins. The head
    /// stays.
    pub fn take_body(&mut self) -> (Vec<u8>, usize, Hold) {
        let start = self.head.head_bytes;
        let head = self.bytes.get(..start).unwrap_or_default().to_vec();
        (std::mem::replace(&mut self.bytes, head), start, self.hold.take())
    }

    /// What it holds of the core's budget, to be resized when its body is replaced by a longer one.
    pub fn hold(&mut self) -> &mut Hold {
        &mut self.hold
    }

    /// Whether the body has come with the head, so that reading it waits for nothing.
    pub fn is_whole(&self) -> bool {
        match self.head.framing {
            Framing::Length(length) => self.body().len() as u64 >= length,
            Framing::Chunked => false,
            _ => true,
        }
    }

    /// A header's first value.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.head.field(&self.bytes, name)
    }

    /// All headers.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.head.fields(&self.bytes)
    }

    /// The path of the target, as it was sent.
    pub fn path(&self) -> &[u8] {
        self.head.path(&self.bytes)
    }

    /// The query of the target without its `?`, as it was sent. It may hold a credential of the caller's.
    pub fn query(&self) -> Option<&[u8]> {
        self.head.query(&self.bytes)
    }
}

/// A caller's connection.
pub struct Downstream {
    stream: Stream,
    /// Received and not consumed; empty while a read is in flight, which then holds it.
    inbox: Vec<u8>,
    read_bytes: usize,
    /// Of every wait of this connection.
    alarm: Alarm,
    /// Nothing can be written any more.
    closed: bool,
    /// When the caller's end of file was read: it may have left, or only have closed its sending side.
    ended_since: Option<Instant>,
    /// When it is looked next whether it has left. Whoever waits for that may be dropped before, and wait anew.
    look_at: Option<Instant>,
    /// What may be sent without harm where the answer stands; empty: nothing.
    harmless: &'static [u8],
    started: bool,
    receiving_since: Option<Instant>,
    has_served: bool,
    /// When it was accepted, or its last answer sent.
    resting_since: Instant,
    /// The caller's address.
    pub peer: SocketAddr,
}

impl Downstream {
    /// A connection just accepted, plain or behind its TLS handshake; `received` are bytes of its caller that were read
    /// already.
    pub fn new(stream: Stream, peer: SocketAddr, received: Vec<u8>) -> Self {
        Self {
            stream,
            inbox: received,
            read_bytes: READ_BYTES_MIN,
            alarm: Alarm::default(),
            closed: false,
            ended_since: None,
            look_at: None,
            harmless: b"",
            started: false,
            receiving_since: None,
            has_served: false,
            resting_since: Instant::now(),
            peer,
        }
    }

    /// What was received of a head that is not whole or was refused; empty while a read is in flight.
    pub fn received(&self) -> &[u8] {
        &self.inbox
    }

    /// Whether a byte of the current answer has been sent.
    pub fn has_started(&self) -> bool {
        self.started
    }

    /// Whether it was answered before: one that was not has its request still to come.
    pub fn has_served(&self) -> bool {
        self.has_served
    }

    /// How long the request that is coming in has been coming in.
    pub fn receiving_for(&self) -> Duration {
        self.receiving_since.map(|since| since.elapsed()).unwrap_or_default()
    }

    /// Whether a request has begun to come in: a drain waits for it.
    pub fn is_receiving(&self) -> bool {
        self.receiving_since.is_some()
    }

    /// Reads the next head; may be dropped and called again. `None`: the caller closed, or stayed silent, between requests. Errors: a head to refuse.
    pub async fn next_request(&mut self, budget: &Budget) -> Result<Option<Request>, Error> {
        self.started = false;
        if self.receiving_since.is_none()
            && self.inbox.is_empty()
            && !self.first_bytes().await.is_ok_and(|count| count > 0)
        {
            return Ok(None);
        }
        let began = *self.receiving_since.get_or_insert_with(Instant::now);
        let mut search = HeadEnd::request();
        loop {
            if let Some(end) = search.find(&self.inbox)? {
                let head = parse_request_head(self.inbox.get(..end).unwrap_or_default())?;
                self.receiving_since = None;
                return Ok(Some(self.take_request(head, began, budget)));
            }
            match self.fill_until(began + HEAD_TIMEOUT).await {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(Error::new(
                        Kind::RequestTimeout,
                        "the request's head was not complete after 10 s",
                    ));
                }
                Err(_) => return Ok(None),
            }
        }
    }

    /// Waits for the next request's first bytes. A connection that rests gives up the large buffer that a large request
    /// left it with.
    async fn first_bytes(&mut self) -> io::Result<usize> {
        if self.read_bytes > READ_BYTES_MIN {
            match self.fill_until(self.resting_since + REST_AFTER).await {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                done => return done,
            }
            self.read_bytes = READ_BYTES_MIN;
            self.stream.rest();
        }
        self.fill_until(self.resting_since + IDLE_TIMEOUT).await
    }

    /// Splits the inbox: what belongs to this request as it stands, and what is framed or follows.
    fn take_request(&mut self, head: RequestHead, began: Instant, budget: &Budget) -> Request {
        let end = match head.framing {
            Framing::Length(length) => {
                head.head_bytes.saturating_add(usize::try_from(length).unwrap_or(usize::MAX))
            }
            _ => head.head_bytes,
        };
        let mut bytes = std::mem::take(&mut self.inbox);
        if let Some(rest) = bytes.get(end..) {
            self.inbox.extend_from_slice(rest);
            bytes.truncate(end);
        }
        // RFC 9110 §15.2: a caller of HTTP/1.0 knows no interim answers.
        self.harmless = if head.minor_version > 0 { encode::CONTINUE } else { b"" };
        let decoder = (head.framing == Framing::Chunked).then(|| BodyDecoder::request(head.framing));
        Request { head, bytes, began, decoder, hold: budget.hold() }
    }

    /// Reads the body to its end, up to `bytes_max`, showing each piece to `look` as it comes in. Errors: too large,
    /// too slow, badly framed, no budget left, `look`'s own; `ClientGone` when the caller left.
    pub async fn read_body(
        &mut self,
        request: &mut Request,
        bytes_max: usize,
        mut look: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match request.head.framing {
            Framing::Length(length) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                if length > bytes_max {
                    return Err(too_large(bytes_max));
                }
                self.read_length(request, length, &mut look).await?;
            }
            Framing::Chunked => self.read_chunked(request, bytes_max, &mut look).await?,
            _ => {}
        }
        self.remember_size(request.bytes.len());
        Ok(())
    }

    async fn read_length(
        &mut self,
        request: &mut Request,
        length: usize,
        look: &mut impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        request.hold.resize(length)?;
        let end = request.head.head_bytes + length;
        look(request.body())?;
        if request.bytes.len() >= end {
            return Ok(());
        }
        self.invite(request).await?;
        while request.bytes.len() < end {
            let had = request.bytes.len();
            let mut bytes = std::mem::take(&mut request.bytes);
            bytes.reserve_exact(end - had);
            let later = std::mem::replace(&mut self.inbox, bytes);
            let filled = self.fill_body(request.began, had).await;
            request.bytes = std::mem::replace(&mut self.inbox, later);
            filled?;
            if let Some(rest) = request.bytes.get(end..) {
                self.inbox.extend_from_slice(rest);
                request.bytes.truncate(end);
            }
            look(request.bytes.get(had..).unwrap_or_default())?;
        }
        Ok(())
    }

    async fn read_chunked(
        &mut self,
        request: &mut Request,
        bytes_max: usize,
        look: &mut impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(mut decoder) = request.decoder.take() else { return Ok(()) };
        if self.inbox.is_empty() {
            self.invite(request).await?;
        }
        loop {
            let had = request.bytes.len();
            let consumed = decoder.decode(&self.inbox, &mut |data| request.bytes.extend_from_slice(data))?;
            self.inbox.drain(..consumed.min(self.inbox.len()));
            let announced_bytes = (request.body().len() as u64).saturating_add(decoder.announced_bytes());
            if announced_bytes > bytes_max as u64 {
                return Err(too_large(bytes_max));
            }
            request.hold.resize(request.body().len())?;
            self.remember_size(request.bytes.len());
            look(request.bytes.get(had..).unwrap_or_default())?;
            if decoder.is_done() {
                return Ok(());
            }
            self.fill_body(request.began, request.bytes.len()).await?;
        }
    }

    /// Answers `Expect: 100-continue` (RFC 9110 §10.1.1), which only a caller still holding its body back needs.
    async fn invite(&mut self, request: &Request) -> Result<(), Error> {
        if !request.head.expect_continue {
            return Ok(());
        }
        let sent = self.write(encode::CONTINUE.to_vec()).await;
        Ok(sent.map(drop)?)
    }

    async fn fill_body(&mut self, began: Instant, received_bytes: usize) -> Result<(), Error> {
        let due = began + HEAD_TIMEOUT + BODY_IDLE_TIMEOUT;
        let due = due + Duration::from_secs(received_bytes as u64 / BODY_RATE_MIN);
        match self.fill_until(due.min(Instant::now() + BODY_IDLE_TIMEOUT)).await {
            Ok(0) => Err(Gone.into()),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Error::new(
                Kind::RequestTimeout,
                "the request's body came too slowly: none of it for 30 s, or under 16 KiB a second",
            )),
            Err(_) => Err(Gone.into()),
        }
    }

    /// Resolves when the caller has left: reset, or closed and refused what was sent since. An end of file alone may be a
    /// caller that has closed its sending side and waits for its answer. Once bytes of a further request are here, nothing
    /// more is read, and leaving is noticed by the next write: so at most one read's bytes are kept.
    pub async fn gone(&mut self) {
        while !self.closed && self.ended_since.is_none() {
            if !self.inbox.is_empty() {
                return pending().await;
            }
            match self.fill().await {
                Ok(1..) => {}
                Ok(0) => self.ended_since = Some(Instant::now()),
                // On TLS, an end without its closing word.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.ended_since = Some(Instant::now());
                }
                Err(_) => self.closed = true,
            }
        }
        if !self.closed {
            Box::pin(self.refused()).await;
        }
    }

    /// Asks a caller whose end of file was read until it refuses. Silence of ours would tell nothing: to a socket that was
    /// closed it looks as to one that waits. So after a while it gets something that a caller ignores: a further interim
    /// answer (RFC 9110 §15.2.1), or a comment in a stream of events.
    async fn refused(&mut self) {
        let since = *self.ended_since.get_or_insert_with(Instant::now);
        while !self.closed {
            let interval = if since.elapsed() < ASK_LATER_AFTER { ASK_INTERVAL } else { ASK_INTERVAL_LATER };
            let look_at = *self.look_at.get_or_insert_with(|| Instant::now() + interval);
            let wait = look_at.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                monoio::time::sleep(wait).await;
            }
            if !self.harmless.is_empty() && since.elapsed() > ASK_AFTER {
                self.stream.say(std::mem::take(&mut self.harmless));
            }
            self.closed = self.stream.is_refused().await;
            self.look_at = None;
        }
    }

    /// Whether a caller whose end of file was read refused the answer that was just sent. One that waited for it has it.
    pub async fn has_refused(&mut self) -> bool {
        if self.ended_since.is_some() {
            Box::pin(self.look_for_refusal()).await;
        }
        self.closed
    }

    async fn look_for_refusal(&mut self) {
        let deadline = Instant::now() + REFUSAL_TIMEOUT;
        while !self.closed && Instant::now() < deadline {
            monoio::time::sleep(REFUSAL_INTERVAL).await;
            self.closed = self.stream.is_refused().await;
        }
    }

    /// What a caller ignores where the answer stands now, to ask it by; until the next bytes of the answer. One whose end of
    /// file was read before those that were just sent is asked by them.
    pub fn ask_by(&mut self, harmless: &'static [u8]) {
        if self.ended_since.is_none() {
            self.harmless = harmless;
        }
    }

    /// Sends bytes of the answer, at `now`. The buffer comes back empty.
    pub async fn send(&mut self, bytes: Vec<u8>, now: Instant) -> Result<Vec<u8>, Gone> {
        self.started = true;
        self.has_served = true;
        self.resting_since = now;
        self.harmless = b"";
        let mut bytes = self.write(bytes).await?;
        bytes.clear();
        Ok(bytes)
    }

    async fn write(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Gone> {
        self.stream.send(bytes, WRITE_STALL_TIMEOUT, &mut self.alarm).await.map_err(|_| {
            self.closed = true;
            Gone
        })
    }

    /// Nothing more is said on this connection, not even that it ends: an answer was broken off, and must not look whole.
    pub fn break_off(&mut self) {
        self.closed = true;
    }

    /// Ends the connection in order: behind TLS the caller is told that nothing more comes, so that an answer which ends by
    /// closing is not taken for a cut one (RFC 9112 §9.8).
    pub async fn close(&mut self) {
        if self.stream.is_tls() && !self.closed {
            within(&mut self.alarm, Instant::now() + CLOSE_TIMEOUT, self.stream.shutdown()).await;
        }
    }

    /// After an answer that closes: ends the sending side, then reads and drops for a while (RFC 9112 §9.6).
    pub async fn linger(&mut self) {
        let deadline = Instant::now() + LINGER_TIMEOUT;
        if self.closed {
            return;
        }
        match within(&mut self.alarm, deadline, self.stream.shutdown()).await {
            Some(Ok(())) => {}
            _ => return,
        }
        let mut dropped_bytes = 0;
        while dropped_bytes < LINGER_BYTES_MAX {
            self.inbox.clear();
            match self.fill_until(deadline).await {
                Ok(count @ 1..) => dropped_bytes += count,
                _ => return,
            }
        }
    }

    /// The connection's timer, for a wait of the same task during which nothing is sent here; [`Downstream::take_back`] ends the
    /// loan. One that does not come back is made anew.
    pub fn lend_alarm(&mut self) -> Alarm {
        std::mem::take(&mut self.alarm)
    }

    /// Takes the timer back that was lent.
    pub fn take_back(&mut self, alarm: Alarm) {
        self.alarm = alarm;
    }

    /// The next buffer fits a request like the last one, so that it is read in one go.
    fn remember_size(&mut self, bytes: usize) {
        self.read_bytes = bytes.next_power_of_two().clamp(READ_BYTES_MIN, READ_BYTES_MAX);
    }

    async fn fill_until(&mut self, deadline: Instant) -> io::Result<usize> {
        self.arm()?;
        let filled = within(&mut self.alarm, deadline, self.stream.filled()).await;
        let (result, inbox) = filled.ok_or(io::ErrorKind::TimedOut)?;
        self.inbox = inbox;
        result
    }

    /// Reads once behind what is in the inbox.
    async fn fill(&mut self) -> io::Result<usize> {
        self.arm()?;
        let (result, inbox) = self.stream.filled().await;
        self.inbox = inbox;
        result
    }

    fn arm(&mut self) -> io::Result<()> {
        if self.stream.is_armed() {
            return Ok(());
        }
        let mut inbox = std::mem::take(&mut self.inbox);
        // A long body in chunks outgrows the buffer that its head came in.
        let is_outgrown = inbox.is_empty() && inbox.capacity() < self.read_bytes;
        if inbox.capacity() == inbox.len() || is_outgrown {
            inbox.reserve(self.read_bytes);
        }
        let armed = match inbox.is_empty() {
            true => self.stream.arm_to_rest(inbox),
            false => self.stream.arm(inbox),
        };
        armed.map_err(|_| io::ErrorKind::Other.into())
    }
}

/// A body is over `bytes_max`.
pub fn too_large(bytes_max: usize) -> Error {
    let message = format!("the request's body is over client.max_request_body_size_mb ({bytes_max} bytes)");
    Error::new(Kind::BodyTooLarge, message)
}

//! What callers may do to the node, well-behaved or not: one function for each, from connecting to leaving. Where an
//! answer is due it is judged; where none is, all that counts is that others do not notice.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::answer::{AT_ONCE, Answer, Lost, Pace, Reader};
use super::caller::{ANSWER_MAX, Caller, pace, post, post_and_close};
use super::faults::NONE;
use super::provider::SMUGGLED;
use super::speech::{ANSWERED, Ask, Surface, foreign_id};
use super::tally::pause_ms;
use super::wire::{LEAVES, Wire};

/// One row: a name, how often it is drawn beside the others, and the deed.
pub struct Deed {
    /// In the report.
    pub name: &'static str,
    /// Times it is drawn, beside the others' times.
    pub weight: usize,
    /// The deed.
    pub act: fn(&mut Caller<'_>),
}

const fn deed(name: &'static str, weight: usize, act: fn(&mut Caller<'_>)) -> Deed {
    Deed { name, weight, act }
}

/// All of them.
pub const DEEDS: &[Deed] = &[
    deed("asks anything", 30, asks_anything),
    deed("asks on one connection", 8, asks_on_one_connection),
    deed("pipelines", 6, pipelines),
    deed("sends in pieces", 6, sends_in_pieces),
    deed("chunks its body", 5, chunks_its_body),
    deed("packs its body", 4, packs_its_body),
    deed("expects 100", 3, expects_continue),
    deed("speaks HTTP/1.0", 4, speaks_http_1_0),
    deed("reads slowly", 4, reads_slowly),
    deed("leaves in a head", 6, |caller| leaves_in_request(caller, true)),
    deed("leaves in a body", 6, |caller| leaves_in_request(caller, false)),
    deed("leaves in an answer", 10, leaves_in_answer),
    deed("leaves before the answer", 6, leaves_before_answer),
    deed("half-closes", 3, half_closes),
    deed("drips a head", 2, drips_a_head),
    deed("connects and rests", 3, connects_and_rests),
    deed("talks garbage", 5, talks_garbage),
    deed("is refused", 8, is_refused),
    deed("is oversized", 4, is_oversized),
    deed("smuggles", 6, smuggles),
    deed("asks around", 3, asks_around),
    deed("breaks a handshake", 5, breaks_a_handshake),
];

/// Does one deed that chance names.
pub fn act(caller: &mut Caller<'_>) {
    let deed = caller.chance.weighted(DEEDS, |deed| deed.weight);
    caller.place.tally.count(deed.name);
    (deed.act)(caller);
}

fn asks_anything(caller: &mut Caller<'_>) {
    let ask = caller.any_ask();
    let pace = pace(&mut caller.chance);
    caller.exchange(&post_and_close(&ask), &ask, pace);
}

fn asks_on_one_connection(caller: &mut Caller<'_>) {
    let Some(mut wire) = caller.connect() else { return };
    let mut reader = Reader::new(AT_ONCE);
    for _ in 0..caller.chance.between(2, 12) {
        let ask = caller.any_ask();
        wire.send(&post(&ask, ""));
        let answer = reader.next(&mut wire, Instant::now() + ANSWER_MAX, false);
        caller.judge(&ask, answer.as_ref());
        if !answer.is_ok_and(|answer| !answer.closes) {
            return;
        }
        if !reader.left_over().is_empty() {
            caller.place.tally.anomaly("bytes behind an answer that nobody asked for");
        }
        if caller.place.tally.stops() {
            break;
        }
        pause_ms(caller.chance.below(20));
    }
    wire.leave(*caller.chance.pick(&LEAVES));
}

/// Some requests in one write; the answers come in their order.
fn pipelines(caller: &mut Caller<'_>) {
    let Some(mut wire) = caller.connect() else { return };
    let asks: Vec<Ask> = (0..caller.chance.between(2, 6)).map(|_| caller.plain_ask()).collect();
    let requests: Vec<u8> = asks.iter().flat_map(|ask| post(ask, "")).collect();
    wire.send(&requests);
    let mut reader = Reader::new(AT_ONCE);
    for ask in &asks {
        let answer = reader.next(&mut wire, Instant::now() + ANSWER_MAX, false);
        caller.judge(ask, answer.as_ref());
        if !answer.is_ok_and(|answer| !answer.closes) {
            return;
        }
    }
}

fn sends_in_pieces(caller: &mut Caller<'_>) {
    let Some(mut wire) = caller.connect() else { return };
    let ask = caller.plain_ask();
    let request = post_and_close(&ask);
    let count = caller.chance.between(2, 12);
    for piece in caller.chance.cut(&request, count) {
        if !wire.send(piece) {
            break;
        }
        pause_ms(caller.chance.below(15));
    }
    receive(caller, &mut wire, &ask);
}

fn chunks_its_body(caller: &mut Caller<'_>) {
    let Some(mut wire) = caller.connect() else { return };
    let ask = caller.plain_ask();
    let (path, body) = (ask.path(), ask.body());
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: soak\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let count = caller.chance.between(1, 9);
    let mut sent = wire.send(head.as_bytes());
    for piece in caller.chance.cut(body.as_bytes(), count).into_iter().filter(|piece| !piece.is_empty()) {
        let size = format!("{:X}{}\r\n", piece.len(), caller.chance.pick(&["", ";x=y"]));
        sent = sent && wire.send(&[size.as_bytes(), piece, b"\r\n"].concat());
        pause_ms(caller.chance.below(10));
    }
    let _ = sent && wire.send(b"0\r\nX-Trailer: z\r\n\r\n");
    receive(caller, &mut wire, &ask);
}

/// A body in a content coding: well packed, cut short, or far larger than it looks.
fn packs_its_body(caller: &mut Caller<'_>) {
    let ask = caller.plain_ask();
    let kind = caller.chance.below(4);
    let body = if kind == 0 { " ".repeat(20_000_000) } else { ask.body() };
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    let packed = packer.write_all(body.as_bytes()).and_then(|()| packer.finish());
    let Ok(mut packed) = packed else { return };
    if kind == 1 {
        packed.truncate(caller.chance.below(packed.len()));
    }
    let (path, length) = (ask.path(), packed.len());
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: soak\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {length}\r\n\r\n"
    );
    let Some(mut wire) = caller.connect() else { return };
    wire.send(&[head.as_bytes(), &packed].concat());
    if kind > 1 {
        return receive(caller, &mut wire, &ask);
    }
    let answer = Reader::new(AT_ONCE).next(&mut wire, Instant::now() + ANSWER_MAX, false);
    check_status(caller, "a body that cannot be unpacked", answer.as_ref(), &[400, 413]);
}

fn expects_continue(caller: &mut Caller<'_>) {
    let Some(mut wire) = caller.connect() else { return };
    let ask = caller.plain_ask();
    let request = post(&ask, "Connection: close\r\nExpect: 100-continue\r\n");
    let body_at = request.len() - ask.body().len();
    wire.send(request.get(..body_at).unwrap_or_default());
    if caller.chance.one_in(3) {
        return wire.leave(*caller.chance.pick(&LEAVES));
    }
    pause_ms(caller.chance.below(100));
    wire.send(request.get(body_at..).unwrap_or_default());
    receive(caller, &mut wire, &ask);
}

fn speaks_http_1_0(caller: &mut Caller<'_>) {
    let ask = caller.plain_ask();
    let request = String::from_utf8_lossy(&post(&ask, "")).replacen("HTTP/1.1", "HTTP/1.0", 1);
    caller.exchange(request.as_bytes(), &ask, AT_ONCE);
}

/// Takes a large answer so slowly that the node must wait for it, to the end or not.
fn reads_slowly(caller: &mut Caller<'_>) {
    let Some(mut wire) = caller.connect() else { return };
    wire.narrow();
    let ask = Ask { text_bytes: 150_000, events: 100, ..caller.plain_ask() };
    wire.send(&post_and_close(&ask));
    if caller.chance.one_in(2) {
        for _ in 0..caller.chance.between(1, 30) {
            wire.drain(1);
            pause_ms(50);
        }
        return wire.leave(*caller.chance.pick(&LEAVES));
    }
    let pace = Pace { bytes: 16 * 1024, pause: Duration::from_millis(10) };
    let answer = Reader::new(pace).next(&mut wire, Instant::now() + ANSWER_MAX, false);
    caller.judge(&ask, answer.as_ref());
}

fn leaves_in_request(caller: &mut Caller<'_>, in_head: bool) {
    let Some(mut wire) = caller.connect() else { return };
    let ask = Ask { padding_bytes: *caller.chance.pick(&[0, 1000, 300_000]), ..caller.plain_ask() };
    let request = post(&ask, "");
    let head_bytes = request.len() - ask.body().len();
    let end = match in_head {
        true => caller.chance.between(1, head_bytes - 1),
        false => caller.chance.between(head_bytes, request.len() - 1),
    };
    wire.send(request.get(..end).unwrap_or_default());
    pause_ms(caller.chance.below(30));
    wire.leave(*caller.chance.pick(&LEAVES));
}

fn leaves_in_answer(caller: &mut Caller<'_>) {
    let Some(mut wire) = caller.connect() else { return };
    let ask = Ask { text_bytes: caller.chance.between(0, 400_000), events: 200, ..caller.any_ask() };
    wire.send(&post(&ask, ""));
    let wanted = caller.chance.between(1, 100_000);
    wire.wait_at_most(Duration::from_secs(1));
    let received = wire.drain(wanted);
    if let Some(other) = foreign_id(&received, &ask.id) {
        caller.place.tally.anomaly(format!("{} got the answer of {other}", ask.id));
    }
    wire.leave(*caller.chance.pick(&LEAVES));
}

fn leaves_before_answer(caller: &mut Caller<'_>) {
    let Some(mut wire) = caller.connect() else { return };
    let ask = caller.any_ask();
    wire.send(&post(&ask, ""));
    pause_ms(caller.chance.below(40));
    wire.leave(*caller.chance.pick(&LEAVES));
}

/// Ends its sending side behind its request: it is served, or it is taken for one that left.
fn half_closes(caller: &mut Caller<'_>) {
    let Some(mut wire) = caller.connect() else { return };
    let ask = caller.plain_ask();
    wire.send(&post_and_close(&ask));
    wire.end_sending();
    let answer = Reader::new(AT_ONCE).next(&mut wire, Instant::now() + ANSWER_MAX, false);
    match answer {
        Err(Lost::Closed) => caller.place.tally.count("half-closed and not served"),
        Ok(Answer { is_whole: false, .. }) => caller.place.tally.count("half-closed and cut"),
        answer => caller.judge(&ask, answer.as_ref()),
    }
}

/// One byte at a time, for a few seconds; some stay until the node has had enough.
fn drips_a_head(caller: &mut Caller<'_>) {
    let Some(mut wire) = caller.connect() else { return };
    // A little longer than the node waits for a head.
    let head = [b"POST / HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 260]].concat();
    let stays = caller.chance.one_in(4);
    for byte in head.chunks(1) {
        if caller.place.tally.stops() || !wire.send(byte) {
            break;
        }
        pause_ms(if stays { 40 } else { 10 });
    }
    if stays && !caller.place.tally.stops() {
        let answer = Reader::new(AT_ONCE).next(&mut wire, Instant::now() + ANSWER_MAX, false);
        check_status(caller, "a dripped head", answer.as_ref(), &[408]);
    }
    wire.leave(*caller.chance.pick(&LEAVES));
}

fn connects_and_rests(caller: &mut Caller<'_>) {
    let Some(wire) = caller.connect() else { return };
    pause_ms(caller.chance.below(1500));
    wire.leave(*caller.chance.pick(&LEAVES));
}

fn talks_garbage(caller: &mut Caller<'_>) {
    let Some(mut wire) = caller.connect() else { return };
    let count = caller.chance.between(1, 3000);
    let mut garbage = caller.chance.bytes(count);
    if caller.chance.one_in(2) {
        garbage.splice(0..0, b"POST / HTTP/1.1\r\nHost: a\r\n".iter().copied());
    }
    wire.send(&garbage);
    wire.wait_at_most(Duration::from_secs(2));
    let said = wire.drain(100_000);
    let is_refusal = ["HTTP/1.1 4", "HTTP/1.1 5"].iter().any(|start| said.starts_with(start.as_bytes()));
    // Random bytes may be a head that has no end yet.
    if !said.is_empty() && !is_refusal {
        caller.place.tally.anomaly(format!("garbage was answered: {}", said.escape_ascii()));
    }
}

/// Requests that have one answer, and the statuses of it.
const REFUSED: &[(&str, &[u16])] = &[
    ("GET / HTTP/1.1\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\nHost: a\n\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: a\r\nA: \0\r\n\r\n", &[400]),
    ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", &[505]),
    ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", &[501]),
    ("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n12345", &[400]),
    (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        &[400],
    ),
    ("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", &[400, 501]),
    ("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\n", &[400]),
    (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\n",
        &[417],
    ),
    ("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n", &[413]),
    ("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n{{{{", &[400]),
    ("PUT /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", &[405]),
    ("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", &[404]),
];

fn is_refused(caller: &mut Caller<'_>) {
    let Some(mut wire) = caller.connect() else { return };
    let (request, statuses) = *caller.chance.pick(REFUSED);
    wire.send(request.as_bytes());
    let answer = Reader::new(AT_ONCE).next(&mut wire, Instant::now() + ANSWER_MAX, false);
    check_status(caller, request, answer.as_ref(), statuses);
    wire.leave(*caller.chance.pick(&LEAVES));
}

fn check_status(caller: &Caller<'_>, request: &str, answer: Result<&Answer, &Lost>, statuses: &[u16]) {
    if !answer.is_ok_and(|answer| statuses.contains(&answer.status) && answer.is_whole) {
        let request: String = request.chars().take(120).collect();
        caller.place.tally.anomaly(format!("{request:?} is not answered by {statuses:?}: {answer:?}"));
    }
}

/// Sends on for as long as it is let: the node answers, and does not swallow it all.
fn is_oversized(caller: &mut Caller<'_>) {
    let Some(mut wire) = caller.connect() else { return };
    let long = "x".repeat(200_000);
    let (request, statuses): (String, &[u16]) = match caller.chance.below(4) {
        0 => (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), &[414]),
        1 => (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), &[431]),
        2 => (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(200)), &[431]),
        _ => {
            let body = "p".repeat(3_000_000);
            let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            (format!("{head}2dc6c0\r\n{body}\r\n0\r\n\r\n"), &[400, 413])
        }
    };
    wire.send(request.as_bytes());
    let answer = Reader::new(AT_ONCE).next(&mut wire, Instant::now() + ANSWER_MAX, false);
    check_status(caller, &request, answer.as_ref(), statuses);
}

/// Heads that two readers could read differently, with a request hidden behind: it reaches no provider, and nothing but
/// one refusal comes back.
fn smuggles(caller: &mut Caller<'_>) {
    let hidden_body = format!("{{\"model\":\"openai/gpt-soak\",\"messages\":[],\"user\":\"{SMUGGLED}\"}}");
    let hidden = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nX: {SMUGGLED}\r\nContent-Length: {}\r\n\r\n{hidden_body}",
        hidden_body.len()
    );
    let fields = *caller.chance.pick(&[
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity\r\nContent-Length: 0\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Content-Length: 0\r\nContent-Length: 4\r\n",
        "Content-Length: 0, 4\r\n",
        "Content-Length: 0x0\r\n",
        "X: y\nContent-Length: 0\r\n",
    ]);
    let Some(mut wire) = caller.connect() else { return };
    let request = format!("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n{fields}\r\n0\r\n\r\n{hidden}");
    wire.send(request.as_bytes());
    let mut reader = Reader::new(AT_ONCE);
    let answer = reader.next(&mut wire, Instant::now() + ANSWER_MAX, false);
    check_status(caller, &request, answer.as_ref(), &[400, 501]);
    wire.wait_at_most(Duration::from_secs(8));
    if !wire.drain(1000).is_empty() || !reader.left_over().is_empty() {
        caller.place.tally.anomaly(format!("a request was answered behind {fields:?}"));
    }
}

/// The paths that need no provider.
fn asks_around(caller: &mut Caller<'_>) {
    let Some(mut wire) = caller.connect() else { return };
    let path = *caller.chance.pick(&["/health", "/metrics", "/nowhere"]);
    let method = *caller.chance.pick(&["GET", "HEAD", "OPTIONS"]);
    wire.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes());
    let answer = Reader::new(AT_ONCE).next(&mut wire, Instant::now() + ANSWER_MAX, method == "HEAD");
    check_status(caller, path, answer.as_ref(), &[200, 204, 404, 405]);
}

/// What a TLS server hears of strangers; a plain one hears garbage. Nothing of it may be taken for a request.
fn breaks_a_handshake(caller: &mut Caller<'_>) {
    let Ok(mut wire) = Wire::connect(caller.place.address, None) else { return };
    let mut said =
        caller.place.tls.as_ref().and_then(client_hello).unwrap_or_else(|| vec![0x16, 3, 1, 2, 0, 1, 0]);
    match caller.chance.below(4) {
        0 => said.truncate(caller.chance.below(said.len())),
        1 => {
            let (place, noise) = (caller.chance.below(said.len()), caller.chance.between(1, 255));
            said[place] ^= noise as u8;
        }
        2 => said = b"GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_vec(),
        // Whole, and then no further.
        _ => {}
    }
    wire.send(&said);
    wire.wait_at_most(Duration::from_millis(caller.chance.between(1, 700) as u64));
    let heard = wire.drain(10_000);
    if heard.starts_with(b"HTTP/1.1 2") {
        caller.place.tally.anomaly(format!("a broken handshake was answered: {}", heard.escape_ascii()));
    }
    wire.leave(*caller.chance.pick(&LEAVES));
}

fn client_hello(config: &Arc<ClientConfig>) -> Option<Vec<u8>> {
    let name = ServerName::try_from("localhost").ok()?;
    let mut session = ClientConnection::new(Arc::clone(config), name).ok()?;
    let mut hello = Vec::new();
    session.write_tls(&mut hello).ok()?;
    Some(hello)
}

fn receive(caller: &Caller<'_>, wire: &mut Wire, ask: &Ask) {
    let answer = Reader::new(AT_ONCE).next(wire, Instant::now() + ANSWER_MAX, false);
    caller.judge(ask, answer.as_ref());
}

/// A well-behaved caller, for as long as the run goes: each answer is right and comes in time.
pub fn behave(caller: &mut Caller<'_>) {
    let mut kept: Option<(Wire, Reader)> = None;
    while !caller.place.tally.stops() {
        let Some((mut wire, mut reader)) =
            kept.take().or_else(|| Some((caller.connect()?, Reader::new(AT_ONCE))))
        else {
            pause_ms(100);
            continue;
        };
        let closes = caller.chance.one_in(50);
        let ask = caller.plain_ask();
        let began = Instant::now();
        wire.send(&if closes { post_and_close(&ask) } else { post(&ask, "") });
        let answer = reader.next(&mut wire, began + ANSWER_MAX, false);
        caller.judge(&ask, answer.as_ref());
        caller.place.tally.answered_after(began.elapsed());
        caller.place.tally.count("well-behaved requests");
        if answer.is_ok_and(|answer| !answer.closes) {
            kept = Some((wire, reader));
        }
        pause_ms(caller.chance.below(20));
    }
}

/// The last request of a run: one of each kind, in a node that everyone else has left.
pub fn ask_cleanly(caller: &mut Caller<'_>) {
    for surface in ANSWERED {
        for stream in [false, true] {
            let ask = Ask { surface, stream, fault: NONE, ..caller.plain_ask() };
            caller.exchange(&post_and_close(&ask), &ask, AT_ONCE);
        }
    }
    let ask = Ask { surface: Surface::Nowhere, ..caller.plain_ask() };
    caller.exchange(&post_and_close(&ask), &ask, AT_ONCE);
}

//! The parsers alone, over every table: the same bytes give the same messages however they are cut, and what they give is
//! what the tables have. No socket, so every case is cut at every byte.

use corelane::error::{Error, Kind};
use corelane::http::{
    BodyDecoder, Framing, HeadEnd, RequestHead, ResponseHead, parse_request_head, parse_response_head,
};

use crate::case::{
    AnswerSeen, Ending, PROBE, ResponseSeen, Seen, body, cuts, expand, letter_and_run, number,
};
use crate::cases::{REQUESTS, RESPONSES};

/// What a parser makes of a stream, step by step.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// A head: its path or its status, and whether the connection may go on behind the message.
    Head { what: String, keep_alive: bool },
    /// The body, whole.
    Body(Vec<u8>),
    /// Nothing behind this is read.
    Refused(Kind),
}

/// A head of either side.
trait Head: Sized {
    fn search() -> HeadEnd;
    fn parse(bytes: &[u8]) -> Result<Self, Error>;
    fn step(&self, bytes: &[u8]) -> Step;
    fn framing(&self) -> Framing;
    fn decoder(framing: Framing) -> BodyDecoder;
}

impl Head for RequestHead {
    fn search() -> HeadEnd {
        HeadEnd::request()
    }

    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        parse_request_head(bytes)
    }

    fn step(&self, bytes: &[u8]) -> Step {
        let path = self.path(bytes).escape_ascii();
        Step::Head { what: format!("{} {path}", self.method.name()), keep_alive: self.keep_alive }
    }

    fn framing(&self) -> Framing {
        self.framing
    }

    fn decoder(framing: Framing) -> BodyDecoder {
        BodyDecoder::request(framing)
    }
}

impl Head for ResponseHead {
    fn search() -> HeadEnd {
        HeadEnd::response()
    }

    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        parse_response_head(bytes, false)
    }

    fn step(&self, _bytes: &[u8]) -> Step {
        Step::Head { what: self.status.to_string(), keep_alive: self.keep_alive || self.is_interim }
    }

    fn framing(&self) -> Framing {
        self.framing
    }

    fn decoder(framing: Framing) -> BodyDecoder {
        BodyDecoder::response(framing)
    }
}

/// Where a reader stands.
enum State {
    Head(HeadEnd),
    Body {
        decoder: BodyDecoder,
        body: Vec<u8>,
        keep_alive: bool,
    },
    /// Refused, or the last message was read.
    Over,
}

/// Reads a stream as a connection does, without one.
struct Reader<H> {
    inbox: Vec<u8>,
    state: State,
    steps: Vec<Step>,
    head: std::marker::PhantomData<H>,
}

impl<H: Head> Reader<H> {
    fn new() -> Self {
        let state = State::Head(H::search());
        Self { inbox: Vec::new(), state, steps: Vec::new(), head: std::marker::PhantomData }
    }

    fn push(&mut self, piece: &[u8]) {
        self.inbox.extend_from_slice(piece);
        loop {
            match self.turn() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    self.steps.push(Step::Refused(error.kind));
                    self.state = State::Over;
                }
            }
        }
    }

    /// One step; whether there may be another.
    fn turn(&mut self) -> Result<bool, Error> {
        match &mut self.state {
            State::Over => Ok(false),
            State::Head(search) => {
                let Some(end) = search.find(&self.inbox)? else { return Ok(false) };
                let bytes: Vec<u8> = self.inbox.drain(..end).collect();
                let head = H::parse(&bytes)?;
                let step = head.step(&bytes);
                let keep_alive = matches!(step, Step::Head { keep_alive: true, .. });
                self.steps.push(step);
                self.state =
                    State::Body { decoder: H::decoder(head.framing()), body: Vec::new(), keep_alive };
                Ok(true)
            }
            State::Body { decoder, body, keep_alive } => {
                let consumed = decoder.decode(&self.inbox, &mut |data| body.extend_from_slice(data))?;
                self.inbox.drain(..consumed);
                if !decoder.is_done() {
                    return Ok(false);
                }
                self.steps.push(Step::Body(std::mem::take(body)));
                self.state = if *keep_alive { State::Head(H::search()) } else { State::Over };
                Ok(true)
            }
        }
    }

    /// The peer closed: a body that ends so is whole.
    fn end(mut self) -> Vec<Step> {
        if let State::Body { decoder, body, .. } = &mut self.state {
            self.steps.push(match decoder.end_of_input() {
                Ok(()) => Step::Body(std::mem::take(body)),
                Err(error) => Step::Refused(error.kind),
            });
        }
        self.steps
    }
}

fn read<H: Head>(pieces: &[&[u8]]) -> Reader<H> {
    let mut reader = Reader::new();
    pieces.iter().for_each(|piece| reader.push(piece));
    reader
}

/// Reads the bytes whole, in two pieces for every cut, and byte by byte; every way must give the same.
fn read_every_way<H: Head>(name: &str, bytes: &[u8]) -> Reader<H> {
    let whole = read::<H>(&[bytes]);
    for cut in cuts(bytes) {
        let steps = read::<H>(&[&bytes[..cut], &bytes[cut..]]).steps;
        assert_eq!(steps, whole.steps, "{name}, cut at {cut}");
    }
    if bytes.len() < 20_000 {
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read::<H>(&single).steps, whole.steps, "{name}, byte by byte");
    }
    whole
}

#[test]
fn requests_are_read_alike_however_they_are_cut() {
    for (section, cases) in REQUESTS {
        for (name, template, expected) in cases {
            let seen = Seen::parse(expected);
            let probe = if seen.eof { &[] } else { PROBE };
            let bytes = [&number(template, 0), probe].concat();
            let steps = read_every_way::<RequestHead>(name, &bytes).steps;
            compare(&steps, &seen).unwrap_or_else(|what| panic!("{section}: {name}: {what}: {steps:?}"));
        }
    }
}

/// Statuses that the gateway gives to a sound head before it has read the body.
const BEFORE_THE_BODY: [u16; 5] = [403, 404, 405, 413, 415];

/// Walks the answers of a table beside the steps.
fn compare(steps: &[Step], seen: &Seen) -> Result<(), String> {
    let mut rest = steps;
    for (index, answer) in seen.answers.iter().enumerate() {
        let is_last = index + 1 == seen.answers.len();
        rest = match rest {
            [Step::Refused(kind), ..] => return refused(*kind, answer, is_last && !seen.open),
            [Step::Head { .. }, Step::Body(bytes), rest @ ..] => {
                check_letter(bytes, answer)?;
                rest
            }
            [Step::Head { .. }, ..] if is_last && BEFORE_THE_BODY.contains(&answer.status) => return Ok(()),
            [Step::Head { .. }, Step::Refused(kind)] => return refused(*kind, answer, is_last && !seen.open),
            _ => return Err(format!("no message for the answer {}", index + 1)),
        };
    }
    let probe = [Step::Head { what: "GET /probe".to_owned(), keep_alive: false }, Step::Body(Vec::new())];
    // What stands behind a refusal of the gateway's own was the gateway's to leave.
    let last_is_refusal = seen.answers.last().is_some_and(|answer| answer.status >= 400);
    match rest {
        _ if seen.open => (rest == probe).then_some(()).ok_or(format!("{rest:?} for the probe")),
        [] => Ok(()),
        [Step::Head { .. }] if seen.eof => Ok(()),
        _ if last_is_refusal => Ok(()),
        _ => Err(format!("more than the table has: {rest:?}")),
    }
}

fn refused(kind: Kind, answer: &AnswerSeen, closes: bool) -> Result<(), String> {
    let fits = kind.status() == answer.status || BEFORE_THE_BODY.contains(&answer.status);
    (fits && closes).then_some(()).ok_or(format!("{} for {}", kind.status(), answer.status))
}

fn check_letter(bytes: &[u8], answer: &AnswerSeen) -> Result<(), String> {
    match answer.letter {
        Some(letter) if letter_and_run(bytes) != Some((letter, 0)) => {
            Err(format!("{} for {}", bytes.escape_ascii(), body(letter, 0)))
        }
        _ => Ok(()),
    }
}

/// Sound answers that are refused by who asked.
const THE_GATEWAYS_OWN: [&str; 3] =
    ["nine before, more than are waited for", "gzip", "gzip in a second field"];

#[test]
fn responses_are_read_alike_however_they_are_cut() {
    let ok = expand(b"<ok>");
    for (section, cases) in RESPONSES {
        for (name, template, expected) in cases {
            let bytes = expand(template);
            let reader = read_every_way::<ResponseHead>(name, &bytes);
            let seen = ResponseSeen::parse(expected);
            let steps = match seen.ending {
                Some(Ending::Close) => reader.end(),
                _ => reader.steps,
            };
            let found = final_answer(&steps);
            // What stands behind an answer is the gateway's to find.
            let fits = match seen.status_in_pieces {
                502 => !matches!(found, Some((200, body)) if body == ok) || THE_GATEWAYS_OWN.contains(name),
                status => {
                    found.is_some_and(|(found, body)| found == status && body.is_empty() != seen.has_body)
                }
            };
            assert!(fits || seen.ending == Some(Ending::Reset), "{section}: {name}: {expected}: {steps:?}");
        }
    }
}

/// Status and body of the first answer that is not an interim one.
fn final_answer(steps: &[Step]) -> Option<(u16, &[u8])> {
    steps.windows(2).find_map(|two| match two {
        [Step::Head { what, .. }, Step::Body(body)] if !what.starts_with('1') => {
            Some((what.parse().unwrap(), body.as_slice()))
        }
        _ => None,
    })
}

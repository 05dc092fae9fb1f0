//! How a case is written down: bytes in, what must be seen. Tables are made of these; who runs them is `drive`, `model`
//! and the differential test. Nothing here touches a socket.
//!
//! The bytes stand as they are sent, but for what angle brackets stand for:
//!
//! | in the table | what is sent |
//! |---|---|
//! | `<a>` … `<z>` | the JSON of a conversation, 32 bytes, with this letter and the run's number in it |
//! | `<A>` … `<Z>` | a whole and sound request with that body |
//! | `<post>`, `<get>` | request line and Host of a conversation, and of `/health` |
//! | `<200>` | status line and content type of an answer in JSON |
//! | `<ok>` | such an answer, 16 bytes, with the run's number in it |
//! | `<x*70000>` | `x`, so many times; the text before the star may be longer |
//!
//! What must be seen is a line of words, all of it: the status of each answer on the connection, in order, with the letter
//! of the body when it came from the provider (`200a`), with `-` when it answers a HEAD; then `open` or `closed`. Every
//! letter has reached the provider, each once and to the byte; no other has, and nothing else. `eof` in front: the client
//! ends its sending side behind the bytes. Otherwise a further request, the probe, is sent behind them: `open` says that it
//! was answered, `closed` that the connection ended before.

/// Name, bytes, what must be seen.
pub(crate) type Case = (&'static str, &'static [u8], &'static str);

/// The path of a conversation.
pub(crate) const CHAT: &str = "/v1/chat/completions";

/// Follows each case; its path has no route, so that its answer is told from all others.
pub(crate) const PROBE: &[u8] = b"GET /probe HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// Stands for the run's number in what a template gives: as many digits.
const RUN: &[u8] = b"######";

/// The body that belongs to a letter, and to this run.
pub(crate) fn body(letter: char, run: usize) -> String {
    format!(r#"{{"model":"gpt-4o","n":"{letter}{run:06x}"}}"#)
}

/// The letter and the run that a body tells of; `None`: it is none of ours, or not to the byte.
pub(crate) fn letter_and_run(bytes: &[u8]) -> Option<(char, usize)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let letter = text.chars().nth(23)?;
    let run = usize::from_str_radix(text.get(24..30)?, 16).ok()?;
    (body(letter, run) == text).then_some((letter, run))
}

/// A template's bytes, all but the run's number.
pub(crate) fn expand(template: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.iter().position(|byte| *byte == b'<') {
        out.extend_from_slice(&rest[..at]);
        let end = rest[at..].iter().position(|byte| *byte == b'>').expect("a closed bracket") + at;
        out.extend(stands_for(&rest[at + 1..end]));
        rest = &rest[end + 1..];
    }
    out.extend_from_slice(rest);
    out
}

fn stands_for(word: &[u8]) -> Vec<u8> {
    let chat = format!("POST {CHAT} HTTP/1.1\r\nHost: h\r\n");
    match word {
        b"post" => chat.into_bytes(),
        b"200" => b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n".to_vec(),
        b"ok" => b"{\"run\":\"######\"}".to_vec(),
        b"get" => b"GET /health HTTP/1.1\r\nHost: h\r\n".to_vec(),
        [letter @ b'a'..=b'z'] => numbered(char::from(*letter)).into_bytes(),
        [letter @ b'A'..=b'Z'] => {
            let body = numbered(char::from(letter.to_ascii_lowercase()));
            format!("{chat}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
        }
        _ => {
            let star = word.iter().rposition(|byte| *byte == b'*').expect("a word that stands for something");
            let count = std::str::from_utf8(&word[star + 1..]).unwrap().parse().expect("a number");
            word[..star].repeat(count)
        }
    }
}

fn numbered(letter: char) -> String {
    body(letter, 0).replace("000000", std::str::from_utf8(RUN).unwrap())
}

/// A template's bytes, to be numbered for each run.
pub(crate) struct Numbered {
    /// All but the run's number.
    pub(crate) bytes: Vec<u8>,
    /// Where it belongs.
    places: Vec<usize>,
}

impl Numbered {
    /// Of this template.
    pub(crate) fn of(template: &[u8]) -> Self {
        let bytes = expand(template);
        let places = memchr::memmem::find_iter(&bytes, RUN).collect();
        Self { bytes, places }
    }

    /// The bytes of this run.
    pub(crate) fn run(&self, run: usize) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let digits = format!("{run:06x}");
        self.places
            .iter()
            .for_each(|place| bytes[*place..*place + RUN.len()].copy_from_slice(digits.as_bytes()));
        bytes
    }
}

/// A template's bytes in this run.
pub(crate) fn number(template: &[u8], run: usize) -> Vec<u8> {
    Numbered::of(template).run(run)
}

/// What must be seen, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The client ends its sending side behind the bytes, and no probe follows.
    pub(crate) eof: bool,
    /// The answers, without the probe's.
    pub(crate) answers: Vec<AnswerSeen>,
    /// Whether the connection serves on.
    pub(crate) open: bool,
}

/// One answer as the table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AnswerSeen {
    pub(crate) status: u16,
    /// Of the request that the provider answered.
    pub(crate) letter: Option<char>,
    /// It answers a HEAD.
    pub(crate) to_head: bool,
}

impl Seen {
    /// Reads the line of a table.
    pub(crate) fn parse(text: &str) -> Self {
        let mut words: Vec<&str> = text.split(' ').collect();
        let eof = words.first() == Some(&"eof");
        words.drain(..usize::from(eof));
        let open = match words.pop() {
            Some("open") if !eof => true,
            Some("closed") => false,
            other => panic!("{other:?} does not end {text:?}"),
        };
        Self { eof, answers: words.into_iter().map(AnswerSeen::parse).collect(), open }
    }

    /// The letters that reach the provider, in order.
    pub(crate) fn letters(&self) -> String {
        self.answers.iter().filter_map(|answer| answer.letter).collect()
    }
}

impl AnswerSeen {
    fn parse(word: &str) -> Self {
        let (status, mark) = word.split_at(3);
        let letter = mark.chars().next().filter(char::is_ascii_lowercase);
        assert!(mark.len() <= 1 && (mark.is_empty() || mark == "-" || letter.is_some()), "{word:?}");
        Self { status: status.parse().unwrap(), letter, to_head: mark == "-" }
    }
}

/// What must be seen of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResponseSeen {
    /// How the provider ends the connection behind the bytes; `None`: it does not.
    pub(crate) ending: Option<Ending>,
    /// What the caller gets.
    pub(crate) status: u16,
    /// What it may get instead when the bytes come in pieces.
    pub(crate) status_in_pieces: u16,
    /// Whether a body comes with it.
    pub(crate) has_body: bool,
    /// Whether the connection is used again.
    pub(crate) kept: bool,
}

/// How a provider ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Close,
    Reset,
}

impl ResponseSeen {
    /// Reads the line of a table.
    pub(crate) fn parse(text: &str) -> Self {
        let words: Vec<&str> = text.split(' ').collect();
        let (ending, words) = match words.as_slice() {
            ["close", rest @ ..] => (Some(Ending::Close), rest),
            ["reset", rest @ ..] => (Some(Ending::Reset), rest),
            rest => (None, rest),
        };
        let [status, end @ ("kept" | "dropped")] = words else { panic!("{text:?}") };
        let (status, in_pieces) = status.split_once('|').unwrap_or((status, status));
        let (answer, in_pieces) = (AnswerSeen::parse(status), AnswerSeen::parse(in_pieces));
        let (status, status_in_pieces) = (answer.status, in_pieces.status);
        Self { ending, status, status_in_pieces, has_body: !in_pieces.to_head, kept: *end == "kept" }
    }
}

/// A case is cut at each of its bytes up to this length; a longer one where something happens.
const CUT_EVERYWHERE_BYTES_MAX: usize = 1_500;

/// Where the bytes are cut in two: behind each of them. Of a long case: around the limits of heads, lines and buffers, and
/// near both ends.
pub(crate) fn cuts(bytes: &[u8]) -> Vec<usize> {
    if bytes.len() <= CUT_EVERYWHERE_BYTES_MAX {
        return (1..=bytes.len()).collect();
    }
    let near_ends = if bytes.len() < 20_000 { 60 } else { 4 };
    let limits = [4_096, 8_192, 8_256, 16_384, 65_536, 262_144, 1_048_576];
    let mut cuts: Vec<usize> = limits.into_iter().flat_map(|limit| limit - 1..=limit + 1).collect();
    cuts.extend(1..=near_ends);
    cuts.extend(bytes.len() - near_ends..=bytes.len());
    cuts.retain(|cut| *cut <= bytes.len());
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

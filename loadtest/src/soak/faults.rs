//! What a provider may do with a request: the right answer in one of its forms, or one of the wrong ones. The table also
//! says what a caller may then be told; the provider itself is `provider`.

use std::time::Duration;

use super::chance::Chance;
use super::speech::Order;
use super::tally::{Tally, pause_ms};
use super::wire::{Leave, Wire};

/// One row: a name, how often it is drawn, what the caller may get.
#[derive(Debug)]
pub struct Fault {
    /// Its word in a request.
    pub name: &'static str,
    /// Times it is drawn, beside the others' times.
    pub weight: usize,
    /// Statuses that may answer; 200 means the right answer to the last byte.
    pub statuses: &'static [u16],
    /// The answer may also begin as the right one and then break off, in a way that shows.
    pub may_break_off: bool,
    act: fn(&mut Act<'_>) -> After,
}

/// What becomes of the provider's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It serves on.
    KeepAlive,
    /// It ends.
    Leave(Leave),
}

const fn right(name: &'static str, weight: usize, act: fn(&mut Act<'_>) -> After) -> Fault {
    Fault { name, weight, statuses: &[200], may_break_off: false, act }
}

const fn wrong(
    name: &'static str,
    weight: usize,
    statuses: &'static [u16],
    act: fn(&mut Act<'_>) -> After,
) -> Fault {
    Fault { name, weight, statuses, may_break_off: true, act }
}

/// The well-behaved callers' word.
pub const NONE: &str = "none";

/// All of them.
pub const FAULTS: &[Fault] = &[
    right(NONE, 20, |act| act.answer_by_length()),
    right("chunked", 8, |act| act.answer_in_chunks()),
    right("until_close", 4, |act| act.answer_until_close()),
    right("dribble", 4, |act| act.answer_slowly()),
    right("late", 3, |act| {
        pause_ms(act.chance.between(50, 400));
        act.answer_by_length()
    }),
    right("interim", 3, |act| {
        let count = act.chance.between(1, 5);
        act.send_interim(count);
        act.answer_by_length()
    }),
    wrong("interim_flood", 1, &[200, 502, 504], |act| {
        act.send_interim(100_000);
        act.answer_by_length()
    }),
    wrong("status_429", 3, &[429], |act| act.refuse(429, r#"{"error":{"message":"slow down"}}"#)),
    wrong("status_500", 3, &[500, 502], |act| act.refuse(500, "<html>not JSON</html>")),
    wrong("cut_head", 4, &[502], |act| act.cut(|head, _, chance| chance.below(head))),
    wrong("cut_body", 6, &[502], |act| act.cut(|head, all, chance| chance.between(head, all - 1))),
    wrong("cut_chunk", 6, &[502], |act| {
        act.is_chunked = true;
        act.cut(|head, all, chance| chance.between(head, all - 1))
    }),
    wrong("reset_at_once", 3, &[502], |_| After::Leave(Leave::Reset)),
    wrong("close_at_once", 3, &[502], |_| After::Leave(Leave::Close)),
    wrong("garbage", 3, &[502], |act| {
        let count = act.chance.between(1, 4000);
        let garbage = act.chance.bytes(count);
        act.send(&garbage);
        After::Leave(Leave::Close)
    }),
    wrong("garbage_body", 3, &[200, 502], |act| act.answer_garbage()),
    wrong("huge_head", 2, &[502], |act| act.answer_with(&"x-long: y\r\n".repeat(30_000), Leave::Close)),
    wrong("many_headers", 2, &[502], |act| act.answer_with(&"x-many: y\r\n".repeat(150), Leave::Close)),
    wrong("framed_twice", 2, &[502], |act| act.answer_with("Transfer-Encoding: chunked\r\n", Leave::Close)),
    wrong("lengths_differ", 2, &[502], |act| act.answer_with("Content-Length: 1\r\n", Leave::Close)),
    wrong("bad_coding", 2, &[502], |act| {
        act.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n");
        After::Leave(Leave::Close)
    }),
    wrong("bare_lf", 2, &[502], |act| {
        act.send(b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}");
        After::Leave(Leave::Close)
    }),
    wrong("bad_chunk", 2, &[502], |act| {
        act.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n");
        After::Leave(Leave::Close)
    }),
    wrong("coded", 2, &[502], |act| act.answer_with("Content-Encoding: gzip\r\n", Leave::Close)),
    wrong("early", 2, &[200, 502], |act| act.answer_with("", Leave::Close)),
    wrong("answer_behind", 4, &[200, 502], |act| act.answer_twice()),
    wrong("switch", 1, &[502], |act| {
        act.send(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n");
        After::Leave(Leave::Close)
    }),
    wrong("stall", 1, &[502, 504], |act| act.stall(|_, _, _| 0)),
    wrong("stall_body", 1, &[502, 504], |act| act.stall(|head, all, chance| chance.between(head, all - 1))),
];

/// The row of this word.
pub fn find(name: &str) -> Option<&'static Fault> {
    FAULTS.iter().find(|fault| fault.name == name)
}

/// One request being answered.
pub struct Act<'a> {
    /// What was asked.
    pub order: &'a Order,
    /// The provider's end of the connection.
    pub wire: &'a mut Wire,
    /// The connection's chance.
    pub chance: &'a mut Chance,
    /// Where it is counted.
    pub tally: &'a Tally,
    /// The answer's framing.
    pub is_chunked: bool,
}

/// Answers as the request's word says.
pub fn act(fault: &Fault, act: &mut Act<'_>) -> After {
    act.is_chunked = act.order.stream || act.chance.one_in(4);
    act.tally.count(fault.name);
    (fault.act)(act)
}

/// A whole answer that nobody asked for; its id is no request's, so that whoever gets it notices.
pub const POISON: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 107\r\n\r\n\
    {\"id\":\"c\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"echo id=000000-0000000 poison\"}}]}";

impl Act<'_> {
    fn send(&mut self, bytes: &[u8]) -> bool {
        self.wire.send(bytes)
    }

    fn body(&self) -> Vec<u8> {
        if self.order.stream { self.order.events().concat() } else { self.order.whole() }
    }

    fn head(&self, framing: &str) -> String {
        let kind = if self.order.stream { "text/event-stream" } else { "application/json" };
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: keep-alive\r\nX-Hop: 1\r\n{framing}\r\n"
        )
    }

    /// Head and body in the framing that was drawn; the second number is the head's length.
    fn message(&mut self) -> (Vec<u8>, usize) {
        let body = self.body();
        let (framing, body) = match self.is_chunked {
            true => ("Transfer-Encoding: chunked\r\n".to_owned(), chunked(&body, self.chance)),
            false => (format!("Content-Length: {}\r\n", body.len()), body),
        };
        let head = self.head(&framing).into_bytes();
        let head_bytes = head.len();
        ([head, body].concat(), head_bytes)
    }

    fn send_or_leave(&mut self, bytes: &[u8]) -> After {
        if self.send(bytes) { After::KeepAlive } else { After::Leave(Leave::Close) }
    }

    fn answer_by_length(&mut self) -> After {
        self.is_chunked = false;
        let (message, _) = self.message();
        self.send_or_leave(&message)
    }

    fn answer_in_chunks(&mut self) -> After {
        self.is_chunked = true;
        let (message, _) = self.message();
        self.send_or_leave(&message)
    }

    fn answer_until_close(&mut self) -> After {
        let message = [self.head("").into_bytes(), self.body()].concat();
        self.send(&message);
        self.wire.end_sending();
        After::Leave(Leave::Close)
    }

    fn answer_slowly(&mut self) -> After {
        let (message, _) = self.message();
        let count = self.chance.between(2, 20);
        let wait_ms = self.chance.between(1, 40);
        for piece in self.chance.cut(&message, count) {
            if !self.wire.send(piece) {
                return After::Leave(Leave::Close);
            }
            pause_ms(wait_ms);
        }
        After::KeepAlive
    }

    fn send_interim(&mut self, count: usize) {
        for _ in 0..count {
            if !self.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n") {
                return;
            }
        }
    }

    fn refuse(&mut self, status: u16, body: &str) -> After {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} No\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        self.send_or_leave(&[head.as_bytes(), body.as_bytes()].concat())
    }

    /// Sends the right answer up to a place (of the head's length and of all), and leaves.
    fn cut(&mut self, place: fn(usize, usize, &mut Chance) -> usize) -> After {
        let (message, head_bytes) = self.message();
        let end = place(head_bytes, message.len(), self.chance);
        self.send(message.get(..end).unwrap_or_default());
        After::Leave(*self.chance.pick(&[Leave::Close, Leave::Reset]))
    }

    /// The same, and then nothing, until the other side has had enough.
    fn stall(&mut self, place: fn(usize, usize, &mut Chance) -> usize) -> After {
        let (message, head_bytes) = self.message();
        let end = place(head_bytes, message.len(), self.chance);
        self.send(message.get(..end).unwrap_or_default());
        self.wire.wait_at_most(Duration::from_secs(10));
        self.wire.drain(1);
        After::Leave(Leave::Close)
    }

    fn answer_with(&mut self, fields: &str, leave: Leave) -> After {
        let body = self.body();
        let framing = format!("{fields}Content-Length: {}\r\n", body.len());
        let message = [self.head(&framing).into_bytes(), body].concat();
        self.send(&message);
        After::Leave(leave)
    }

    /// HTTP in order, and a body that is none of its dialect.
    fn answer_garbage(&mut self) -> After {
        let count = self.chance.between(0, 3000);
        let body = self.chance.bytes(count);
        let head = self.head(&format!("Content-Length: {}\r\n", body.len()));
        self.send_or_leave(&[head.into_bytes(), body].concat())
    }

    /// The right answer and, in the same write, a second one that nobody asked for.
    fn answer_twice(&mut self) -> After {
        let (message, _) = self.message();
        self.send_or_leave(&[&message, POISON].concat())
    }
}

/// A body in chunks of any size, some with what the grammar allows beside.
fn chunked(body: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut coded = Vec::with_capacity(body.len() + 256);
    let count = chance.between(1, 12);
    for piece in chance.cut(body, count).into_iter().filter(|piece| !piece.is_empty()) {
        let extension = *chance.pick(&["", "", ";a=b", " ; q=\"1\""]);
        coded.extend_from_slice(format!("{:x}{extension}\r\n", piece.len()).as_bytes());
        coded.extend_from_slice(piece);
        coded.extend_from_slice(b"\r\n");
    }
    let has_trailer = chance.one_in(2);
    coded.extend_from_slice(if has_trailer { b"0\r\nX-Trailer: 1\r\n\r\n" } else { b"0\r\n\r\n" });
    coded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_the_poison_is_framed() {
        let mut names: Vec<_> = FAULTS.iter().map(|fault| fault.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FAULTS.len());
        let text = std::str::from_utf8(POISON).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{}", body.len());
    }
}

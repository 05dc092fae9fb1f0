//! What all callers share: connections to the node, requests with ids, and the judgement of what came back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::answer::{AT_ONCE, Answer, Lost, Pace, Reader};
use super::chance::Chance;
use super::faults::{self, Fault, NONE};
use super::provider::CALLERS_OWN;
use super::speech::{ANSWERED, Ask, Surface, foreign_id, hear, id, text_of_whole};
use super::tally::Tally;
use super::wire::Wire;

/// Longest that any answer may take. The node's own deadline for a whole answer is 3 s here, for a stream's silence 2 s.
pub const ANSWER_MAX: Duration = Duration::from_secs(15);

/// Where the node is, and what its callers share.
pub struct Place {
    /// Its address.
    pub address: SocketAddr,
    /// What callers shake hands with; `None`: the node speaks plainly.
    pub tls: Option<Arc<ClientConfig>>,
    /// What was seen.
    pub tally: Arc<Tally>,
    /// See `chance`.
    pub seed: u64,
}

/// One caller.
pub struct Caller<'a> {
    /// Where it calls.
    pub place: &'a Place,
    /// Its chance.
    pub chance: Chance,
    number: usize,
    asked: usize,
}

impl<'a> Caller<'a> {
    /// The caller of this number, from 1.
    pub fn new(place: &'a Place, number: usize) -> Self {
        Self { place, chance: Chance::new(place.seed, number as u64), number, asked: 0 }
    }

    /// A request of a well-behaved caller to a provider that answers well.
    pub fn plain_ask(&mut self) -> Ask {
        self.asked += 1;
        Ask {
            id: id(self.number, self.asked),
            surface: *self.chance.pick(&ANSWERED),
            stream: self.chance.one_in(2),
            fault: NONE,
            text_bytes: *self.chance.pick(&[0, 50, 1000, 20_000]),
            events: self.chance.between(1, 40),
            padding_bytes: *self.chance.pick(&[0, 0, 100, 20_000]),
        }
    }

    /// A request that the provider answers in some way of its own.
    pub fn any_ask(&mut self) -> Ask {
        let fault = self.chance.weighted(faults::FAULTS, |fault| fault.weight);
        let mut ask = Ask { fault: fault.name, ..self.plain_ask() };
        if self.chance.one_in(8) {
            ask.text_bytes = self.chance.between(70_000, 600_000);
        }
        if fault.name == "early" {
            // What comes first of the body says all that the provider must know, save whether a stream is wanted.
            (ask.padding_bytes, ask.stream) = (900_000, false);
        }
        if self.chance.one_in(30) {
            (ask.surface, ask.fault) = (Surface::Nowhere, NONE);
        }
        ask
    }

    /// A connection; `None`: the node does not take one, which is counted.
    pub fn connect(&self) -> Option<Wire> {
        match Wire::connect(self.place.address, self.place.tls.as_ref()) {
            Ok(wire) => Some(wire),
            Err(error) => {
                self.place.tally.anomaly(format!("the node takes no connection: {error}"));
                None
            }
        }
    }

    /// Sends these bytes on a connection of its own and judges the answer to `ask`; whether it was well.
    pub fn exchange(&self, request: &[u8], ask: &Ask, pace: Pace) {
        let Some(mut wire) = self.connect() else { return };
        // A node that answers early closes before it has read all: what it said still counts.
        wire.send(request);
        let answer = Reader::new(pace).next(&mut wire, Instant::now() + ANSWER_MAX, false);
        self.judge(ask, answer.as_ref());
    }

    /// Whether an answer is one that this request may get; says so if not.
    pub fn judge(&self, ask: &Ask, answer: Result<&Answer, &Lost>) {
        if let Err(what) = judged(ask, answer) {
            let said = answer.map(|answer| {
                let body = answer.body.get(..answer.body.len().min(400)).unwrap_or_default();
                format!(
                    "{} {:?}, whole: {}, {}",
                    answer.status,
                    answer.fields,
                    answer.is_whole,
                    body.escape_ascii()
                )
            });
            let Ask { id, fault, surface, stream, .. } = ask;
            let question = format!("{id} {surface:?} {fault}{}", if *stream { " stream" } else { "" });
            self.place.tally.anomaly(format!("{what}; asked: {question}; answer: {said:?}"));
        }
    }
}

/// The usual request around this body.
pub fn post(ask: &Ask, fields: &str) -> Vec<u8> {
    let (path, body) = (ask.path(), ask.body());
    let length = body.len();
    let own = format!(
        "Authorization: Bearer {CALLERS_OWN}\r\nCookie: {CALLERS_OWN}\r\nX-Forwarded-For: {CALLERS_OWN}\r\n"
    );
    format!("POST {path} HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\n{own}{fields}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// The same, asking the node to close behind its answer.
pub fn post_and_close(ask: &Ask) -> Vec<u8> {
    post(ask, "Connection: close\r\n")
}

/// As fast as it comes, or slower.
pub fn pace(chance: &mut Chance) -> Pace {
    if !chance.one_in(3) {
        return AT_ONCE;
    }
    Pace { bytes: chance.between(200, 8000), pause: Duration::from_millis(chance.between(0, 4) as u64) }
}

fn judged(ask: &Ask, answer: Result<&Answer, &Lost>) -> Result<(), &'static str> {
    let row: &Fault = faults::find(ask.fault).ok_or("an unknown word")?;
    let (statuses, may_break_off): (&[u16], bool) = match ask.surface {
        Surface::Nowhere => (&[502], false),
        _ => (row.statuses, row.may_break_off),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(Lost::Late) => return Err("no whole answer in 15 s"),
        Err(Lost::Broken(_)) => return Err("the answer is no HTTP"),
        Err(Lost::Closed) => return Err("no answer"),
    };
    if foreign_id(&answer.body, &ask.id).is_some() {
        return Err("another request's answer");
    }
    if answer.status != 200 {
        let is_allowed = statuses.contains(&answer.status) && answer.is_whole;
        // A provider's own error body is passed on as it is.
        let says_why = serde_json::from_slice::<serde_json::Value>(&answer.body)
            .is_ok_and(|body| body.get("error").is_some());
        return if is_allowed && (says_why || ask.fault == "status_500") {
            Ok(())
        } else {
            Err("not an answer that this may get")
        };
    }
    let right = match ask.stream {
        true => is_right_stream(ask, answer),
        false => answer.is_whole && text_of_whole(ask.surface, &answer.body).as_deref() == Some(&ask.text()),
    };
    let begins_right = match ask.stream {
        true => breaks_off_rightly(ask, answer),
        // A whole answer that breaks off shows it by its framing.
        false => !answer.is_whole || ask.fault == "garbage_body",
    };
    match (right && statuses.contains(&200), begins_right && may_break_off) {
        (false, false) => Err("not the right answer"),
        _ => Ok(()),
    }
}

fn is_right_stream(ask: &Ask, answer: &Answer) -> bool {
    let heard = hear(ask.surface, &answer.body);
    heard.is_some_and(|heard| {
        answer.is_whole && heard.is_ended && !heard.has_error && heard.text == ask.text()
    })
}

/// A stream that breaks off says so by an error event or by its framing, and what came before it is right. What is
/// garbage on its way in may be garbage on its way out.
fn breaks_off_rightly(ask: &Ask, answer: &Answer) -> bool {
    if ask.fault == "garbage_body" {
        return true;
    }
    let Some(heard) = hear(ask.surface, &answer.body) else { return false };
    // A provider that is cut behind its last word has said all.
    let says_so = heard.has_error || !answer.is_whole || heard.is_ended;
    let is_whole = heard.text == ask.text();
    says_so && ask.text().starts_with(&heard.text) && (is_whole || !heard.is_ended)
}

#[cfg(test)]
mod tests {
    use super::super::speech::Order;
    use super::*;

    fn answered(ask: &Ask, of: &Ask, status: u16, is_whole: bool, cut: usize) -> Result<(), &'static str> {
        let order = Order::read(of.path(), &of.body()).unwrap();
        let mut body = if of.stream { order.events().concat() } else { order.whole() };
        body.truncate(body.len() - cut);
        judged(ask, Ok(&Answer { status, body, is_whole, ..Answer::default() }))
    }

    fn ask(number: usize, stream: bool, fault: &'static str) -> Ask {
        let surface = Surface::OpenAi;
        Ask { id: id(1, number), surface, stream, fault, text_bytes: 300, events: 9, padding_bytes: 0 }
    }

    #[test]
    fn only_the_right_answer_is_right() {
        for stream in [false, true] {
            let own = ask(1, stream, NONE);
            assert_eq!(answered(&own, &own, 200, true, 0), Ok(()));
            assert!(answered(&own, &ask(2, stream, NONE), 200, true, 0).is_err());
            assert!(answered(&own, &own, 200, false, 0).is_err());
            assert!(answered(&own, &own, 200, true, 60).is_err());
            assert!(answered(&own, &own, 502, true, 0).is_err());
            let cut = ask(1, stream, "cut_body");
            assert_eq!(answered(&cut, &cut, 200, false, 60), Ok(()));
            assert!(answered(&cut, &cut, 200, true, 60).is_err());
            assert!(answered(&cut, &ask(2, stream, NONE), 200, false, 60).is_err());
        }
        assert!(judged(&ask(1, true, NONE), Err(&Lost::Late)).is_err());
    }
}

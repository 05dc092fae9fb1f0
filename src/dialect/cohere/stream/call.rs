//! The calls of a stream, one after the other: `tool-call-start`, its arguments, `tool-call-end`. A call that begins while
//! another's arguments are not whole is held back until they are. It knows no text.

use super::{write_bare, write_event};
use crate::dialect::json::Object;
use crate::dialect::whole::{Whole, is_blank};
use crate::error::{Error, Kind};

/// Most calls that are held back, and most bytes of them.
const HELD_MAX: usize = 128;
const HELD_BYTES_MAX: usize = 1024 * 1024;

/// The calls of one stream.
#[derive(Default)]
pub(super) struct Calls {
    open: Option<Open>,
    /// In the order in which they began.
    held: Vec<Held>,
    held_bytes: usize,
    /// Index of the open call, or of the next.
    number: u64,
}

struct Open {
    /// The neutral index.
    index: u32,
    arguments: Whole,
    has_begun: bool,
}

struct Held {
    index: u32,
    id: String,
    name: String,
    arguments: String,
}

impl Calls {
    /// A call begins.
    pub(super) fn begin(&mut self, index: u32, id: &str, name: &str, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.open.as_ref().is_some_and(|open| !open.arguments.is_done()) {
            let (id, name) = (id.to_owned(), name.to_owned());
            let bytes = id.len() + name.len();
            self.held.push(Held { index, id, name, arguments: String::new() });
            return self.hold(bytes);
        }
        self.end_open(out);
        self.start(index, id, name, out);
        Ok(())
    }

    /// More of a call's arguments.
    pub(super) fn say(&mut self, index: u32, json: &str, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.open.as_ref().is_some_and(|open| open.index == index) {
            self.delta(json, out);
            self.advance(out);
            return Ok(());
        }
        let Some(held) = self.held.iter_mut().find(|held| held.index == index) else {
            return Err(mixed());
        };
        held.arguments.push_str(json);
        self.hold(json.len())
    }

    /// No more comes of any.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        self.end_open(out);
        for held in std::mem::take(&mut self.held) {
            self.resume(&held, out);
            self.end_open(out);
        }
        self.held_bytes = 0;
    }

    /// While the open one is whole, those that wait for it follow.
    fn advance(&mut self, out: &mut Vec<u8>) {
        while !self.held.is_empty() && self.open.as_ref().is_none_or(|open| open.arguments.is_done()) {
            self.end_open(out);
            let next = self.held.remove(0);
            let bytes = next.id.len() + next.name.len() + next.arguments.len();
            self.held_bytes = self.held_bytes.saturating_sub(bytes);
            self.resume(&next, out);
        }
    }

    fn resume(&mut self, held: &Held, out: &mut Vec<u8>) {
        self.start(held.index, &held.id, &held.name, out);
        if !held.arguments.is_empty() {
            self.delta(&held.arguments, out);
        }
    }

    fn hold(&mut self, bytes: usize) -> Result<(), Error> {
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        if self.held.len() > HELD_MAX || self.held_bytes > HELD_BYTES_MAX { Err(mixed()) } else { Ok(()) }
    }

    fn start(&mut self, index: u32, id: &str, name: &str, out: &mut Vec<u8>) {
        self.open = Some(Open { index, arguments: Whole::default(), has_begun: false });
        write_event(out, "tool-call-start", Some(self.number), |message| {
            let mut call = Object::begin(message.field("tool_calls"));
            call.text("id", id);
            call.text("type", "function");
            let mut function = Object::begin(call.field("function"));
            function.text("name", name);
            function.text("arguments", "");
            function.end();
            call.end();
        });
    }

    fn delta(&mut self, json: &str, out: &mut Vec<u8>) {
        if let Some(open) = &mut self.open {
            open.arguments.push(json);
            open.has_begun |= !is_blank(json);
        }
        write_event(out, "tool-call-delta", Some(self.number), |message| {
            let mut call = Object::begin(message.field("tool_calls"));
            let mut function = Object::begin(call.field("function"));
            function.text("arguments", json);
            function.end();
            call.end();
        });
    }

    fn end_open(&mut self, out: &mut Vec<u8>) {
        let Some(open) = &self.open else { return };
        if !open.has_begun {
            self.delta("{}", out);
        }
        self.open = None;
        write_bare(out, "tool-call-end", self.number);
        self.number += 1;
    }
}

fn mixed() -> Error {
    let message = "the provider's stream mixes its tool calls, which this dialect cannot say";
    Error::new(Kind::UpstreamInvalidResponse, message)
}

//! The record of a decision as bytes: compact JSON, written by hand since a row is written for every request, and cut where
//! it would be too long: what does not fit is counted.

use std::fmt::Write;
use std::time::Duration;

use super::{BYS, CLASSES, Choice, ENDS, MOVES, Noted, Seen, Trace, word};
use crate::config::snapshot::{Balance, Key, KeyId, Provider, ProviderId};
use crate::dialect::Operation;
use crate::routing::balance::By;
use crate::routing::explain;
use crate::routing::health::{Standing, State};
use crate::routing::keys;
use crate::routing::legs::Legs;
use crate::routing::plan::Failed;

/// Longest record.
pub const DECISION_BYTES_MAX: usize = 2048;

/// Room for what closes a record: brackets, the counts.
const END_BYTES: usize = 64;

/// Likewise, of one list.
const CLOSING_BYTES: usize = 8;

/// Longest name, as it is written; a longer one is cut.
const NAME_BYTES_MAX: usize = 256;

/// A record while it is written.
struct Writer<'o> {
    out: &'o mut String,
    /// Where it begins.
    start: usize,
    /// What did not fit.
    left_out: usize,
    /// Whether something is missing that decided.
    is_cut: bool,
    /// Lists that are open.
    depth: usize,
}

/// Appends the record.
pub(in crate::routing) fn write(out: &mut String, legs: &Legs<'_>, seed: u64, trace: &Trace) {
    let start = out.len();
    let left_out = usize::try_from(trace.left_out).unwrap_or(usize::MAX);
    let mut writer = Writer { out, start, left_out, is_cut: left_out > 0, depth: 0 };
    writer.features(legs, seed, trace);
    writer.steps(legs, trace);
    writer.fallbacks(legs);
    writer.legs(legs, trace);
    if writer.left_out > 0 {
        let _ = write!(writer.out, ",\"left_out\":{}", writer.left_out);
    }
    if writer.is_cut {
        writer.out.push_str(",\"cut\":true");
    }
    writer.out.push('}');
}

impl Writer<'_> {
    /// The head: what the request says. Numbers of 64 bits are text, since many readers of JSON round them.
    fn features(&mut self, legs: &Legs<'_>, seed: u64, trace: &Trace) {
        let features = legs.features();
        let _ = write!(self.out, "{{\"version\":1,\"seed\":\"{seed}\",\"model\":");
        self.name(features.model);
        if let Some(home) = features.home {
            self.out.push_str(",\"home\":");
            self.name(home);
        }
        match features.operation {
            Operation::Chat => {}
            Operation::ChatStream => self.out.push_str(",\"stream\":true"),
            other => {
                let _ = write!(self.out, ",\"operation\":\"{}\"", other.name());
            }
        }
        if features.dialect != features.operation.usual_dialect() {
            let _ = write!(self.out, ",\"dialect\":\"{}\"", features.dialect.name());
        }
        if let Some(session) = features.session {
            let _ = write!(self.out, ",\"session\":\"{session}\"");
        }
        if let Some(key) = features.pin.and_then(|_| pinned(legs)) {
            self.out.push_str(",\"pin\":");
            self.name(&key.name);
        }
        self.nanoseconds(",\"deadline_ns\":", features.deadline.saturating_duration_since(trace.began));
    }

    /// The caller's own; the config's are in the legs.
    fn fallbacks(&mut self, legs: &Legs<'_>) {
        let Some(asked) = legs.features().fallbacks else { return };
        let left_out = self.left_out;
        self.out.push_str(",\"fallbacks\":[");
        self.list(asked.iter(), |writer, name| writer.name(name));
        self.out.push(']');
        self.is_cut |= self.left_out > left_out;
    }

    fn steps(&mut self, legs: &Legs<'_>, trace: &Trace) {
        self.out.push_str(",\"steps\":[");
        let left_out = self.left_out;
        self.list(trace.steps.iter(), |writer, step| writer.step(legs, trace, step));
        self.is_cut |= self.left_out > left_out;
        self.out.push(']');
    }

    fn step(&mut self, legs: &Legs<'_>, trace: &Trace, step: &Noted) {
        self.out.push('{');
        match &step.choice {
            Ok(choice) => self.choice(legs, choice),
            Err(end) => {
                let _ = write!(self.out, "\"because\":\"end\",\"ended_by\":\"{}\"", word(&ENDS, end));
            }
        }
        let at = step.at.saturating_duration_since(trace.began);
        if !at.is_zero() {
            self.nanoseconds(",\"at_ns\":", at);
        }
        if let Some(Failed { class, retry_after }) = step.failed {
            let _ = write!(self.out, ",\"failed\":\"{}\"", word(&CLASSES, &class));
            if let Some(retry_after) = retry_after {
                self.nanoseconds(",\"retry_after_ns\":", retry_after);
            }
        }
        if !step.seen.is_empty() {
            self.out.push_str(",\"seen\":[");
            let left_out = self.left_out;
            self.list(step.seen.iter(), |writer, seen| writer.seen(legs, trace, seen));
            self.is_cut |= self.left_out > left_out;
            self.out.push(']');
        }
        self.out.push('}');
    }

    fn choice(&mut self, legs: &Legs<'_>, choice: &Choice) {
        let _ = write!(self.out, "\"leg\":{}", choice.leg);
        if let Some((_, key)) = key_of(legs, choice.provider, choice.key) {
            self.out.push_str(",\"key\":");
            self.name(&key.name);
        }
        let _ = write!(
            self.out,
            ",\"because\":\"{}\",\"by\":\"{}\"",
            word(&MOVES, &choice.because),
            word(&BYS, &choice.by)
        );
        if matches!(choice.by, By::Draw | By::Busy | By::Latency) {
            let _ = write!(self.out, ",\"draw\":{}", choice.chance);
        }
        if !choice.after.is_zero() {
            self.nanoseconds(",\"after_ns\":", choice.after);
        }
    }

    fn seen(&mut self, legs: &Legs<'_>, trace: &Trace, seen: &Seen) {
        self.out.push_str("{\"provider\":");
        let provider = legs.snapshot().providers.get(usize::from(seen.provider.0));
        self.name(provider.map(|provider| provider.name.as_str()).unwrap_or_default());
        if let Some((_, key)) = key_of(legs, seen.provider, seen.key) {
            self.out.push_str(",\"key\":");
            self.name(&key.name);
        }
        let Standing { state, share, in_flight, latency_us } = seen.standing;
        let (state, until) = match state {
            State::Passing => ("passing", None),
            State::HalfOpen => ("half_open", None),
            State::Probing => ("probing", None),
            State::Open { until } => ("open", Some(until)),
            State::Cooling { until } => ("cooling", Some(until)),
        };
        if seen.is_later {
            self.out.push_str(",\"later\":true");
        }
        let _ = write!(self.out, ",\"state\":\"{state}\"");
        if let Some(until) = until {
            self.nanoseconds(",\"until_ns\":", until.saturating_duration_since(trace.began));
        }
        if share < 1.0 {
            let _ = write!(self.out, ",\"share\":{share}");
        }
        if in_flight > 0 {
            let _ = write!(self.out, ",\"in_flight\":{in_flight}");
        }
        if latency_us > 0.0 {
            let _ = write!(self.out, ",\"latency_us\":{latency_us}");
        }
        self.out.push('}');
    }

    /// The legs that were looked at: the primary alone when all went well at once.
    fn legs(&mut self, legs: &Legs<'_>, trace: &Trace) {
        let is_plain = matches!(trace.steps.as_slice(), [Noted { choice: Ok(Choice { leg: 0, .. }), .. }]);
        let numbers = legs.numbers().take(if is_plain { 1 } else { usize::MAX });
        self.out.push_str(",\"legs\":[");
        self.list(numbers, |writer, number| writer.leg(legs, number));
        self.out.push(']');
    }

    fn leg(&mut self, legs: &Legs<'_>, number: u16) {
        let _ = write!(self.out, "{{\"leg\":{number}");
        match legs.leg(number) {
            Err(error) => {
                self.out.push_str(",\"name\":");
                self.name(legs.name(number));
                let _ = write!(self.out, ",\"skipped\":\"{}\"", error.kind.code());
            }
            Ok(leg) => {
                self.out.push_str(",\"provider\":");
                self.name(&leg.provider.name);
                self.out.push_str(",\"model\":");
                self.name(leg.model);
                self.balance(leg.provider);
                self.out.push_str(",\"keys\":[");
                let keys = keys::keys(leg.provider).filter(|_| !leg.provider.key_less);
                self.list(keys, |writer, (id, key)| {
                    writer.key(key, leg.model, leg.pinned.is_none_or(|pinned| pinned == id));
                });
                self.out.push(']');
            }
        }
        self.out.push('}');
    }

    fn balance(&mut self, provider: &Provider) {
        self.out.push_str(match provider.balance {
            Balance::Weighted => "",
            Balance::LeastBusy => ",\"balance\":\"least_busy\"",
            Balance::Latency => ",\"balance\":\"latency\"",
        });
    }

    /// A candidate with its weight, or what excludes the key.
    fn key(&mut self, key: &Key, model: &str, may_by_pin: bool) {
        self.out.push_str("{\"key\":");
        self.name(&key.name);
        let _ = write!(self.out, ",\"weight\":{}", key.weight);
        let is_candidate = may_by_pin && key.credential.is_some() && key.serves(model);
        if !is_candidate {
            self.out.push_str(",\"out\":[");
            let by_pin = (!may_by_pin).then_some("not_pinned");
            let reasons = explain::against(key, model).into_iter().map(explain::Reason::code);
            self.list(reasons.chain(by_pin), |writer, code| writer.name(code));
            self.out.push(']');
        }
        self.out.push('}');
    }

    /// Writes the entries that fit, with commas between them, and counts the others.
    fn list<T>(&mut self, mut entries: impl Iterator<Item = T>, entry: impl Fn(&mut Self, T)) {
        let first = self.out.len();
        // What is open is closed in any case, so what is within has to end sooner.
        let end = DECISION_BYTES_MAX - END_BYTES - CLOSING_BYTES * self.depth;
        self.depth += 1;
        while let Some(next) = entries.next() {
            let (mark, before) = (self.out.len(), (self.left_out, self.is_cut));
            if mark > first {
                self.out.push(',');
            }
            entry(self, next);
            if self.out.len() - self.start > end {
                self.out.truncate(mark);
                (self.left_out, self.is_cut) = before;
                self.left_out += 1 + entries.by_ref().count();
            }
        }
        self.depth -= 1;
    }

    fn nanoseconds(&mut self, before: &str, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let _ = write!(self.out, "{before}{nanoseconds}");
    }

    /// A string of JSON (RFC 8259 §7), cut when it is too long.
    fn name(&mut self, name: &str) {
        self.out.push('"');
        let start = self.out.len();
        for c in name.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                c if c.is_control() => {
                    let _ = write!(self.out, "\\u{:04x}", u32::from(c));
                }
                c => self.out.push(c),
            }
            if self.out.len() - start > NAME_BYTES_MAX {
                self.out.push('…');
                self.left_out += 1;
                self.is_cut = true;
                break;
            }
        }
        self.out.push('"');
    }
}

/// The key that the caller names: never its own words, which may be a secret in the wrong header.
fn pinned<'a>(legs: &Legs<'a>) -> Option<&'a Key> {
    let mut taken = legs.numbers().filter_map(|number| legs.leg(number).ok());
    taken.find_map(|leg| leg.key(leg.pinned))
}

fn key_of<'a>(legs: &Legs<'a>, provider: ProviderId, key: Option<KeyId>) -> Option<(&'a Provider, &'a Key)> {
    let provider = legs.snapshot().providers.get(usize::from(provider.0))?;
    Some((provider, provider.keys.get(usize::from(key?.0))?))
}

//! A request's way in words: what was asked, what the name meant, which keys could serve, how each attempt was chosen and what
//! became of it, what was answered. Pure.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

use super::Told;
use crate::config::Printable;
use crate::routing::decision::read::{Decision, Leg, Seen, Step};

/// Characters of an error's message that are told.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// An attempt as the column `attempt_trail` has it.
#[derive(Debug, Deserialize)]
pub(super) struct Attempt {
    #[serde(default)]
    leg: u16,
    #[serde(default)]
    provider: String,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    wait_ms: f64,
    #[serde(default)]
    took_ms: f64,
    /// Of it, waited for a place with the provider.
    #[serde(default)]
    queued_ms: f64,
    /// Of the last element: how many more there were.
    #[serde(default)]
    left_out: Option<u64>,
}

/// All of it.
pub(super) fn told(told: &Told) -> String {
    let mut out = head(told);
    match &told.decision {
        Ok(decision) => {
            out.push_str("\nwhat was asked for\n");
            asked(&mut out, decision);
            out.push_str("\nwho could serve it\n");
            decision.legs.iter().for_each(|leg| candidates(&mut out, leg, &decision.steps));
        }
        Err(_) if told.trail.is_empty() && told.row.attempts == 0 => {
            line(&mut out, "\nnothing was decided: ", "the request ended before a provider was chosen");
        }
        Err(why) => line(&mut out, "\nno decision can be told: ", &Printable(why).to_string()),
    }
    out.push_str("\nwhat was tried\n");
    attempts(&mut out, told);
    answer(&mut out, told);
    out
}

fn line(out: &mut String, before: &str, text: &str) {
    let _ = writeln!(out, "{before}{text}"); // writing to a String can't fail
}

fn head(told: &Told) -> String {
    let row = &told.row;
    let mut out = format!("request {}\n", row.id);
    let whole = format!(
        "{}, {} in all, {} of it corelane's own work",
        row.timestamp,
        ms(row.latency),
        us(row.overhead_us)
    );
    line(&mut out, "  when    ", &whole);
    let place =
        format!("node {}, core {}, config generation {}", Printable(&row.node), row.core, row.generation);
    line(&mut out, "  where   ", &place);
    if let Some(address) = &row.client_ip {
        line(&mut out, "  caller  ", &Printable(address).to_string());
    }
    let stream = if row.stream { ", as a stream" } else { "" };
    line(&mut out, "  what    ", &format!("{}{stream}", Printable(&row.object_type)));
    line(&mut out, "  answer  ", &verdict(told));
    out
}

/// The answer in one line.
fn verdict(told: &Told) -> String {
    let row = &told.row;
    let mut text = row.status_code.to_string();
    if let Some(kind) = &row.error_kind {
        let _ = write!(text, " {}", Printable(kind));
    }
    if !row.provider.is_empty() {
        let _ = write!(text, ", by {}", who(&row.provider, Some(&row.selected_key_name)));
        let _ = write!(text, ", model {}", Printable(&row.model));
    }
    match count(&told.trail) {
        0 if row.attempts > 0 => {}
        0 => text.push_str("; no provider was asked"),
        1 => text.push_str(", at the first attempt"),
        count => {
            let _ = write!(text, ", after {count} attempts");
        }
    }
    if row.fallback_index > 0 {
        let _ = write!(text, ", fallback {}", row.fallback_index);
    }
    text
}

fn count(trail: &[Attempt]) -> u64 {
    trail.iter().map(|attempt| attempt.left_out.unwrap_or(1)).sum()
}

/// `openai by key "first"`.
fn who(provider: &str, key: Option<&str>) -> String {
    match key.filter(|key| !key.is_empty()) {
        Some(key) => format!("{} by key \"{}\"", Printable(provider), Printable(key)),
        None => Printable(provider).to_string(),
    }
}

fn asked(out: &mut String, decision: &Decision) {
    let mut text = format!("model \"{}\"", Printable(&decision.model));
    if let Some(home) = &decision.home {
        let _ = write!(text, ", on the path of {}", Printable(home));
    }
    line(out, "  ", &text);
    if let Some(key) = &decision.pin {
        line(out, "  ", &format!("by the key \"{}\", which the caller named", Printable(key)));
    }
    if decision.session.is_some() {
        line(
            out,
            "  ",
            "for a session, or a prompt that a provider caches: the same key each time, while it is fit",
        );
    }
    match decision.fallbacks.as_deref() {
        Some([]) => line(out, "  ", "without fallbacks, as the caller wanted"),
        Some(fallbacks) => {
            let names: Vec<_> = fallbacks.iter().map(|name| Printable(name).to_string()).collect();
            line(out, "  ", &format!("with the caller's fallbacks: {}", names.join(", ")));
        }
        None => {}
    }
}

/// A leg, and each key of its provider: its weight and how it was when the leg was come to, or what kept it out.
fn candidates(out: &mut String, leg: &Leg, steps: &[Step]) {
    let name = match leg.leg {
        0 => "the primary".to_owned(),
        number => format!("fallback {number}"),
    };
    let Some(provider) = &leg.provider else {
        let named = Printable(leg.name.as_deref().unwrap_or_default()).to_string();
        let why = Printable(leg.skipped.as_deref().unwrap_or("?")).to_string();
        return line(out, "  ", &format!("{name}: \"{named}\" was passed over: {why}"));
    };
    let model = Printable(leg.model.as_deref().unwrap_or_default()).to_string();
    let balance = match leg.balance.as_deref() {
        None => "by weight",
        Some("least_busy") => "the least busy for its weight",
        Some("latency") => "the soonest to answer for its weight",
        Some(_) => "in a way that this version does not know",
    };
    line(out, "  ", &format!("{name}: provider {}, model {model}; a key {balance}", Printable(provider)));
    let width =
        leg.keys.iter().map(|key| Printable(&key.key).to_string().chars().count()).max().unwrap_or_default();
    for key in &leg.keys {
        let out_words: Vec<_> = key.out.iter().map(|code| reason(code)).collect();
        let state = match out_words.is_empty() {
            true => format!("weight {}{}", key.weight, at_first(steps, leg.leg, provider, Some(&key.key))),
            false => format!("out: {}", out_words.join("; ")),
        };
        line(out, "    ", &format!("{:width$}  {state}", Printable(&key.key).to_string()));
    }
    if leg.keys.is_empty() {
        line(out, "    ", &format!("without a key{}", at_first(steps, leg.leg, provider, None)));
    }
}

/// Behind a comma, how a key was when the first attempt of its leg was chosen: fit, where nothing else is recorded. Empty:
/// there was no such attempt.
fn at_first(steps: &[Step], leg: u16, provider: &str, key: Option<&str>) -> String {
    let Some(at) = steps.iter().position(|step| step.leg == Some(leg)) else { return String::new() };
    let is_it = |seen: &&Seen| !seen.later && seen.provider == provider && seen.key.as_deref() == key;
    let known = steps.iter().take(at + 1).flat_map(|step| &step.seen).rfind(is_it);
    let at_ns = steps.get(at).map(|step| step.at_ns).unwrap_or_default();
    format!(", {}", known.map_or_else(|| "fit".to_owned(), |seen| standing(seen, at_ns)))
}

/// What kept a key out, for its code.
fn reason(code: &str) -> String {
    match code {
        "disabled" => "disabled".to_owned(),
        "no_value" => "it has no value on that node".to_owned(),
        "denied" => "its blacklisted_models has the model".to_owned(),
        "not_listed" => "neither its models nor its aliases have the model".to_owned(),
        "not_pinned" => "the caller named another".to_owned(),
        "weight_zero" => "weight 0: it serves only when no key with a weight can".to_owned(),
        other => Printable(other).to_string(),
    }
}

/// Each attempt, with what led to it where the decision says so.
fn attempts(out: &mut String, told: &Told) {
    let steps = told.decision.as_ref().map(|decision| decision.steps.as_slice()).unwrap_or_default();
    let mut chosen = steps.iter().filter(|step| step.leg.is_some());
    for (number, attempt) in (1..).zip(&told.trail) {
        if let Some(left_out) = attempt.left_out {
            line(out, "  ", &format!("and {left_out} more, for which the row has no room"));
            break;
        }
        let leg = if attempt.leg > 0 { format!("fallback {}, ", attempt.leg) } else { String::new() };
        let to = leg + &who(&attempt.provider, attempt.key.as_deref());
        let waited = if attempt.wait_ms > 0.0 {
            format!(", after a wait of {}", ms(attempt.wait_ms))
        } else {
            String::new()
        };
        let queued = if attempt.queued_ms > 0.0 {
            format!(", of it {} in line for a place with the provider", ms(attempt.queued_ms))
        } else {
            String::new()
        };
        let came = outcome(attempt);
        line(out, "  ", &format!("{number}. {to}{waited}: {came} in {}{queued}", ms(attempt.took_ms)));
        if let Some(step) = chosen.next() {
            led(out, step);
        }
    }
    match told.trail.is_empty() {
        true if told.row.attempts > 0 => line(out, "  ", "the row holds no attempt trail"),
        true => line(out, "  ", "nothing: no attempt was made"),
        false => {}
    }
    if let Some(step) = steps.iter().find(|step| step.leg.is_none()) {
        let failed = step.failed.as_deref().map(|failed| format!(", as the last was {}", class(failed)));
        let by = step.ended_by.as_deref().map(|by| format!(" and {}", Printable(end(by))));
        line(out, "  ", &format!("then it gave up{}{}", failed.unwrap_or_default(), by.unwrap_or_default()));
        known(out, step);
    }
    if let Ok(decision) = &told.decision
        && decision.left_out > 0
    {
        line(out, "  ", &format!("({} parts of the decision did not fit the row)", decision.left_out));
    }
}

/// A word of the record, in an operator's.
fn end(by: &str) -> &str {
    match by {
        "final" => "is the caller's answer",
        "attempts" => "no request may have more attempts",
        "deadline" => "the next would begin after server.request_total_timeout_seconds",
        "retries" => "the provider's max_retries are used up",
        "keys" => "every key was refused",
        "fallbacks" => "no fallback is left",
        other => other,
    }
}

fn outcome(attempt: &Attempt) -> String {
    match (attempt.status, &attempt.error) {
        (Some(status), _) => status.to_string(),
        (None, Some(error)) => Printable(error).to_string(),
        (None, None) => "?".to_owned(),
    }
}

/// Why the attempt was made, and why by this key.
fn led(out: &mut String, step: &Step) {
    let mut text = match step.because.as_str() {
        "first" => "the first".to_owned(),
        "retry" => "a retry".to_owned(),
        "rotation" => "another key at once".to_owned(),
        "round" => "a new round of the keys, as all had their limit".to_owned(),
        "fallback" => "a fallback".to_owned(),
        other => Printable(other).to_string(),
    };
    if let Some(failed) = &step.failed {
        let _ = write!(text, ", as the one before was {}", class(failed));
    }
    if let Some(ns) = step.retry_after_ns {
        let _ = write!(text, " and asked for {}", ms(in_ms(ns)));
    }
    line(out, "     why   ", &text);
    if let Some(by) = &step.by {
        let mut text = match by.as_str() {
            "only" => "the only one that was fit".to_owned(),
            "pinned" => "the caller named it".to_owned(),
            "session" => "it is the session's".to_owned(),
            "drawn" => "drawn by weight".to_owned(),
            "least_busy" => "the least busy for its weight".to_owned(),
            "latency" => "the soonest to answer for its weight".to_owned(),
            "least_bad" => "none was fit, and it was the least bad".to_owned(),
            "same" => "the same as before".to_owned(),
            other => Printable(other).to_string(),
        };
        if let Some(draw) = step.draw {
            let _ = write!(text, " (the draw was {draw:.6})");
        }
        line(out, "     key   ", &text);
    }
    // Of the first, it stands with the candidates.
    if step.failed.is_some() {
        known(out, step);
    }
}

fn class(failed: &str) -> String {
    match failed {
        "transient" => "a failure that may pass".to_owned(),
        "limited" => "limited (429)".to_owned(),
        "refused" => "refused (401, 402 or 403)".to_owned(),
        "elsewhere" => "a failure that only another provider can mend".to_owned(),
        "final" => "the caller's own fault, or ours".to_owned(),
        other => Printable(other).to_string(),
    }
}

/// What was known of keys and origins then, otherwise than before.
fn known(out: &mut String, step: &Step) {
    for one in &step.seen {
        // A wait that was thought of and not made is not recorded: what is left then counts from the decision.
        let (at_ns, later) = match (one.later, step.after_ns) {
            (false, _) => (step.at_ns, ""),
            (true, 0) => (step.at_ns, "; so, too, when a wait would be over"),
            (true, after_ns) => (step.at_ns.saturating_add(after_ns), ", when the wait would be over"),
        };
        let who = who(&one.provider, one.key.as_deref());
        line(out, "     known ", &format!("{who}: {}{later}", standing(one, at_ns)));
    }
}

/// What was known of a key, `at_ns` after the first decision.
fn standing(seen: &Seen, at_ns: u64) -> String {
    let left = ms(in_ms(seen.until_ns.saturating_sub(at_ns)));
    let mut text = match seen.state.as_str() {
        "passing" => "fit".to_owned(),
        "half_open" => "to be probed, as its breaker had been open".to_owned(),
        "probing" => "being probed by another request".to_owned(),
        "open" => format!("its breaker open for {left} more"),
        "cooling" => format!("cooling down for {left} more"),
        other => Printable(other).to_string(),
    };
    if seen.share < 1.0 {
        let _ = write!(text, ", starting slowly at {:.0} % of its weight", seen.share * 100.0);
    }
    if seen.in_flight > 0 {
        let _ = write!(text, ", {} under way", seen.in_flight);
    }
    if seen.latency_us > 0.0 {
        let _ = write!(text, ", first tokens in {}", ms(seen.latency_us / 1e3));
    }
    text
}

/// The error's own words.
fn answer(out: &mut String, told: &Told) {
    let Some(details) = &told.row.error_details else { return };
    let details: Value = serde_json::from_str(details).unwrap_or_default();
    let message =
        ["/error/message", "/message"].into_iter().find_map(|place| details.pointer(place)?.as_str());
    if let Some(message) = message {
        out.push_str("\nwhat was answered\n");
        line(out, "  ", &one_line(message));
    }
}

/// A provider's sentence: what a terminal would obey is escaped.
fn one_line(message: &str) -> String {
    let escaped = message.chars().take(MESSAGE_CHARS_MAX).map(|char| match char.is_control() {
        true => char.escape_default().to_string(),
        false => char.to_string(),
    });
    escaped.collect()
}

fn ms(ms: f64) -> String {
    match ms {
        ms if ms >= 1_000.0 => format!("{:.1} s", ms / 1e3),
        ms if ms >= 10.0 => format!("{ms:.0} ms"),
        ms => format!("{ms:.2} ms"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "for eyes")]
fn us(us: i64) -> String {
    ms(us as f64 / 1e3)
}

#[expect(clippy::cast_precision_loss, reason = "for eyes")]
fn in_ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

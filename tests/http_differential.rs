//! A second opinion: the same heads through hyper and through our parsers. They must agree on whether a head is taken, and
//! then on what it asks, how its body is framed and whether the connection goes on. Where they do not, `disagreements` has
//! a row with the sentence that decides; a disagreement without a row fails, and so does a row that nothing shows.
//!
//! The heads are those of the tables of `http_rfc9112`, and mutations of them from a fixed seed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's failure")]
#![allow(clippy::disallowed_types, reason = "what hyper did is told by a lock's content")]

#[path = "http_rfc9112/case.rs"]
#[allow(dead_code, reason = "the other suite uses the rest")]
mod case;
#[path = "http_rfc9112/cases/mod.rs"]
mod cases;
#[path = "http_differential/disagreements.rs"]
mod disagreements;
#[path = "http_differential/mutate.rs"]
mod mutate;
#[path = "http_differential/ours.rs"]
mod ours;
#[path = "http_differential/shape.rs"]
mod shape;
#[path = "http_differential/theirs.rs"]
mod theirs;

use std::collections::BTreeSet;

use case::number;
use cases::{REQUESTS, RESPONSES};
use disagreements::{REQUEST_ROWS, RESPONSE_ROWS, Row, Stricter};
use mutate::mutations;

/// Mutations of each side's heads.
const MUTATIONS: usize = 20_000;

/// What one of the two makes of a stream's first message.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Takes(Facts),
    Refuses(String),
    /// The head has no end yet.
    Waits,
}

/// What a head says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Facts {
    /// Method and target, or the status.
    what: String,
    framing: Framed,
    /// Whether another message may follow; `None`: this stream does not show it.
    keep_alive: Option<bool>,
}

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framed {
    Length(u64),
    Chunked,
    /// Until the end of the stream.
    Close,
}

/// Compares the two on each stream.
fn check(streams: &[Vec<u8>], rows: &'static [Row], compare: impl Fn(&[u8]) -> (Verdict, Verdict)) {
    let mut shown = BTreeSet::new();
    let mut unlisted = Vec::new();
    for stream in streams {
        let (ours, theirs) = compare(stream);
        let Some(stricter) = disagreement(&ours, &theirs) else { continue };
        let fitting = rows
            .iter()
            .enumerate()
            .filter(|(_, row)| row.stricter == stricter && shape::some_head(stream, row.holds));
        let fitting: Vec<usize> = fitting.map(|(index, _)| index).collect();
        if fitting.is_empty() {
            unlisted.push(format!("{}\n    ours: {ours:?}\n    hyper's: {theirs:?}", stream.escape_ascii()));
        }
        shown.extend(fitting);
    }
    let count = unlisted.len();
    unlisted.truncate(20);
    assert!(count == 0, "{count} disagreements without a row:\n{}", unlisted.join("\n"));
    let idle = rows.iter().enumerate().filter(|(index, _)| !shown.contains(index));
    let idle: Vec<&str> = idle.map(|(_, row)| row.sentence).collect();
    assert!(idle.is_empty(), "rows that nothing shows: {idle:#?}");
}

fn disagreement(ours: &Verdict, theirs: &Verdict) -> Option<Stricter> {
    match (ours, theirs) {
        (Verdict::Takes(ours), Verdict::Takes(theirs)) => {
            let both_show = ours.keep_alive.is_some() && theirs.keep_alive.is_some();
            let same_end = !both_show || ours.keep_alive == theirs.keep_alive;
            let same = ours.what == theirs.what && ours.framing == theirs.framing && same_end;
            (!same).then_some(Stricter::Neither)
        }
        (Verdict::Takes(_), _) => Some(Stricter::Hyper),
        (_, Verdict::Takes(_)) => Some(Stricter::Ours),
        _ => None,
    }
}

/// The tables' streams of at most so many bytes.
fn streams<const N: usize>(tables: [(&str, &'static [case::Case]); N], bytes_max: usize) -> Vec<Vec<u8>> {
    let cases = tables.into_iter().flat_map(|(_, cases)| cases);
    cases.map(|(_, template, _)| number(template, 0)).filter(|bytes| bytes.len() <= bytes_max).collect()
}

#[test]
fn requests() {
    let mut all = streams(REQUESTS, 300_000);
    all.extend(mutations(&streams(REQUESTS, 400), MUTATIONS));
    check(&all, REQUEST_ROWS, |stream| {
        let (ours, asked) = ours::request(stream);
        (ours, theirs::request(&asked))
    });
}

#[test]
fn responses() {
    let mut all = streams(RESPONSES, 300_000);
    all.extend(mutations(&streams(RESPONSES, 400), MUTATIONS));
    check(&all, RESPONSE_ROWS, |stream| {
        let (ours, asked) = ours::response(stream);
        (ours, theirs::response(&asked))
    });
}

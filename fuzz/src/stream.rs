//! A provider's stream in each dialect: watched as it passes, and translated. Whatever it holds, what we send are whole
//! events of JSON in the order that their dialect has, the last word last and once.

use corelane::chat::Usage;
use corelane::dialect::event_stream::frames;
use corelane::dialect::{Dialect, StreamObserver, StreamOptions, StreamTranslator};
use corelane::error::{Error, Kind};
use corelane::http::sse::{Boundary, Event, events};
use serde::Deserialize;

use super::cut::{Chance, cuttings};
use super::dialect::{STRETCHED_OF, check_error, columns, echo_of, others};
use super::look::is_json;
use super::stretch;

/// A stream in OpenAI's chat dialect.
pub fn openai_stream(bytes: &[u8]) {
    stream(Dialect::OpenAi, bytes);
}

/// A stream in Anthropic's dialect.
pub fn anthropic_stream(bytes: &[u8]) {
    stream(Dialect::Anthropic, bytes);
}

/// A stream in Gemini's dialect.
pub fn gemini_stream(bytes: &[u8]) {
    stream(Dialect::Gemini, bytes);
}

/// A stream in Cohere's dialect.
pub fn cohere_stream(bytes: &[u8]) {
    stream(Dialect::Cohere, bytes);
}

/// A stream in the dialect of OpenAI's responses.
pub fn responses_stream(bytes: &[u8]) {
    stream(Dialect::Responses, bytes);
}

/// A stream in Bedrock's dialect, each frame as an event of its type and payload: no fuzzer finds a checksum.
pub fn bedrock_stream(bytes: &[u8]) {
    stream(Dialect::Bedrock, bytes);
}

fn stream(dialect: Dialect, bytes: &[u8]) {
    watched(StreamObserver::new(dialect), bytes);
    if dialect == Dialect::Responses {
        let told_again = watched(StreamObserver::of_stored(), bytes);
        assert_eq!(told_again.usage(), None, "counted when it was made");
    }
    columns(dialect, bytes, true);
    let mut chance = Chance::of(bytes);
    let is_stretched = chance.below(STRETCHED_OF) == 0;
    let long = is_stretched.then(|| stretch::stream(bytes, &mut chance)).flatten();
    for to in others(dialect) {
        translated(dialect, to, bytes);
        long.iter().for_each(|long| translated(dialect, to, long));
    }
}

fn watched(mut observer: StreamObserver, bytes: &[u8]) -> StreamObserver {
    let mut had_content = false;
    let mut number = observer.next_number();
    for event in events(bytes) {
        observer.observe(event.name, &event.data);
        assert!(observer.has_content() || !had_content, "content that was taken back");
        had_content = observer.has_content();
        assert_eq!(observer.next_number().is_some(), number.is_some());
        number = observer.next_number();
    }
    let _: Option<Usage> = observer.usage();
    if let Some(error) = observer.error() {
        check_error(&Error::upstream(error.clone()));
    }
    observer
}

fn translated(from: Dialect, to: Dialect, bytes: &[u8]) {
    let mut translator = translator(from, to, bytes);
    let mut out = Vec::new();
    let has_failed = events(bytes).any(|event| {
        let had_content = translator.has_content();
        let pushed = translator.push(event.name, &event.data, &mut out);
        assert!(translator.has_content() || !had_content, "content that was taken back");
        pushed.is_err()
    });
    assert!(has_failed || translator.finish(&mut out).is_ok() == translator.is_ended());
    assert!(!translator.is_ended() || translator.has_stopped() || from != Dialect::Gemini);
    let other = cuttings(bytes).last().unwrap_or_default();
    assert_eq!(in_pieces(from, to, bytes, &other), out, "in pieces");
    check_events(to, bytes, &out, translator.is_ended() && !has_failed);
    columns(to, &out, true);
    let error = Error::new(Kind::UpstreamInvalidResponse, "a\n\"\u{0}".to_owned());
    let place = out.len();
    assert_eq!(translator.fail(&error, &mut out), out.len() > place);
    if !translator.is_ended() {
        check_events(to, bytes, &out, false);
    }
}

fn translator(from: Dialect, to: Dialect, bytes: &[u8]) -> StreamTranslator {
    let include_usage = bytes.len().is_multiple_of(2);
    let options = StreamOptions { created_s: 1, include_usage, model: "m".to_owned() };
    let echo = events(bytes).next().map(|event| echo_of(to, &event.data)).unwrap_or_default();
    StreamTranslator::new(from, to, options).echoing(echo)
}

/// As a relay does: what is whole is translated and leaves at once.
fn in_pieces(from: Dialect, to: Dialect, bytes: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
    let mut translator = translator(from, to, bytes);
    let (mut boundary, mut held, mut sent) = (Boundary::new(), Vec::new(), Vec::new());
    for piece in pieces {
        held.extend_from_slice(piece);
        let end = boundary.last_end(&held);
        let mut out = Vec::new();
        let whole = held.get(..end).expect("an end inside");
        let has_failed =
            events(whole).any(|event| translator.push(event.name, &event.data, &mut out).is_err());
        sent.append(&mut out);
        if has_failed {
            return sent;
        }
        held.drain(..end);
        boundary.consumed(end);
    }
    let _ = translator.finish(&mut sent);
    sent
}

/// What a caller reads of it.
#[derive(Deserialize)]
struct Said {
    #[serde(rename = "type")]
    kind: String,
    sequence_number: Option<usize>,
}

/// Whole frames of JSON, the usage last and once.
fn check_frames(output: &[u8], is_ended: bool) {
    let mut observer = StreamObserver::new(Dialect::Bedrock);
    let mut kinds = Vec::new();
    for frame in frames(output) {
        let frame = frame.expect("a whole frame");
        assert!(is_json(frame.payload), "{}", frame.payload.escape_ascii());
        kinds.push(frame.text(":event-type").expect("an event"));
        observer.observe_frame(&frame);
    }
    let ends = kinds.iter().filter(|kind| **kind == "metadata").count();
    assert_eq!(ends, usize::from(is_ended), "{kinds:?}");
    assert!(!is_ended || kinds.last() == Some(&"metadata") && observer.is_ended(), "{kinds:?}");
}

fn check_events(to: Dialect, input: &[u8], output: &[u8], is_ended: bool) {
    if to == Dialect::Bedrock {
        return check_frames(output, is_ended);
    }
    let found: Vec<_> = events(output).collect();
    assert_eq!(found.iter().map(|event| event.raw.len()).sum::<usize>(), output.len(), "whole events");
    for (at, event) in found.iter().enumerate() {
        let is_json = *event.data == *b"[DONE]" && matches!(to, Dialect::OpenAi | Dialect::Cohere)
            || is_json(&event.data);
        assert!(is_json, "{}", event.data.escape_ascii());
        check_name(to, at, event);
    }
    let ends: Vec<usize> =
        found.iter().enumerate().filter(|(_, event)| is_last(to, event)).map(|(at, _)| at).collect();
    if to != Dialect::Gemini && is_ended {
        assert_eq!(ends, [found.len() - 1], "the last word, once: {}", output.escape_ascii());
    }
    assert!(is_ended || to == Dialect::Gemini || ends.is_empty(), "{}", output.escape_ascii());
    // An event says a word or two, with the answer's id and model around them, and responses say all four times over.
    assert!(output.len() <= 16_384 + 64 * input.len(), "{} bytes of {}", output.len(), input.len());
    let mut observer = StreamObserver::new(to);
    found.iter().for_each(|event| observer.observe(event.name, &event.data));
    if is_ended {
        assert!(observer.is_ended() && observer.error().is_none(), "{}", output.escape_ascii());
    }
}

/// The name says what the data says, and of responses each event has its number.
fn check_name(to: Dialect, at: usize, event: &Event<'_>) {
    if to == Dialect::Cohere && *event.data == *b"[DONE]" {
        return;
    }
    if !matches!(to, Dialect::Anthropic | Dialect::Responses | Dialect::Cohere) {
        assert_eq!(event.name, None);
        return;
    }
    let said: Said = serde_json::from_slice(&event.data).expect("a type");
    assert_eq!(event.name, Some(said.kind.as_bytes()));
    let number = (to == Dialect::Responses).then_some(at);
    assert_eq!(said.sequence_number, number, "{}", said.kind);
}

fn is_last(to: Dialect, event: &Event<'_>) -> bool {
    match to {
        Dialect::OpenAi | Dialect::Cohere => *event.data == *b"[DONE]",
        Dialect::Anthropic => event.name == Some(b"message_stop"),
        Dialect::Responses => matches!(event.name, Some(b"response.completed" | b"response.incomplete")),
        Dialect::Gemini | Dialect::Bedrock => false,
    }
}

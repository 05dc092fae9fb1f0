//! Bedrock's side of the goldens: what callers of Converse are told, whole and as frames, of each provider's answers that the
//! other goldens have; frames cut at every byte; each bit of a stream flipped.

use corelane::dialect::event_stream::{Boundary, frames};

use super::*;

/// Folders of answers, the end of their names, and whose they are.
const WHOLE: [(&str, &str, Dialect); 3] = [
    ("responses", ".anthropic.json", Dialect::Anthropic),
    ("messages/responses", ".openai.json", Dialect::OpenAi),
    ("gemini/responses", ".gemini.json", Dialect::Gemini),
];
const STREAMED: [(&str, &str, Dialect); 3] = [
    ("streams", ".anthropic.sse", Dialect::Anthropic),
    ("messages/streams", ".openai.sse", Dialect::OpenAi),
    ("gemini/streams", ".gemini.sse", Dialect::Gemini),
];

#[test]
fn responses() {
    for (folder, end, from) in WHOLE {
        for (case, input) in inputs(folder, end) {
            let told = translate_response(from, Dialect::Bedrock, &input, &answer_options());
            let translated = told.unwrap_or_else(|error| panic!("{case}: {error}"));
            check(&format!("bedrock/{folder}"), &format!("{case}.bedrock.json"), &pretty(&translated.body));
            let seen = check_answer(Dialect::Bedrock, &translated.body, true).unwrap();
            let total = |usage: Option<corelane::chat::Usage>| {
                usage.map(|usage| (usage.prompt_tokens, usage.completion_tokens, usage.cached_read_tokens))
            };
            assert_eq!(total(seen), total(translated.usage), "{case}");
            broken(&input, |input| {
                let told = translate_response(from, Dialect::Bedrock, input, &answer_options());
                assert!(told.is_err() || is_json(&told.unwrap().body), "{case}");
            });
            broken(&translated.body, |body| {
                let told = translate_response(Dialect::Bedrock, Dialect::OpenAi, body, &answer_options());
                assert!(told.is_err() || is_json(&told.unwrap().body), "{case}");
            });
        }
    }
}

#[test]
fn streams() {
    for (folder, end, from) in STREAMED {
        for (case, input) in inputs(folder, end) {
            // Calls whose arguments are interleaved have no place in blocks that are open one by one.
            if case == "calls_at_once" {
                continue;
            }
            let written = framed(&case, from, &input);
            let mut shown = String::new();
            for frame in frames(&written).map(Result::unwrap) {
                assert_eq!(frame.text(":message-type"), Some("event"), "{case}");
                assert_eq!(frame.text(":content-type"), Some("application/json"), "{case}");
                let payload = std::str::from_utf8(frame.payload).unwrap();
                shown.push_str(&format!("{} {payload}\n", frame.text(":event-type").unwrap()));
            }
            check(&format!("bedrock/{folder}"), &format!("{case}.bedrock.frames"), &shown);
            let whole = read(&case, &written, written.len());
            for size in 1..written.len().min(300) {
                assert!(read(&case, &written, size) == whole, "{case}: pieces of {size}");
            }
            flipped(&case, &written);
        }
    }
}

fn framed(case: &str, from: Dialect, input: &[u8]) -> Vec<u8> {
    let mut translator = StreamTranslator::new(from, Dialect::Bedrock, StreamOptions::default());
    let mut out = Vec::new();
    for (name, data) in events(input) {
        translator.push(name.as_deref(), &data, &mut out).unwrap_or_else(|error| panic!("{case}: {error}"));
    }
    translator.finish(&mut out).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(translator.is_ended(), "{case}");
    out
}

/// The frames in pieces of this size, watched and as they are to a caller of Anthropic's.
fn read(case: &str, written: &[u8], size: usize) -> Vec<u8> {
    let mut translator =
        StreamTranslator::new(Dialect::Bedrock, Dialect::Anthropic, StreamOptions::default())
            .identified("id".into());
    let mut observer = StreamObserver::new(Dialect::Bedrock);
    let (mut buffer, mut boundary, mut out) = (Vec::new(), Boundary::default(), Vec::new());
    for piece in written.chunks(size) {
        buffer.extend_from_slice(piece);
        let end = boundary.last_end(&buffer).unwrap();
        for frame in frames(&buffer[..end]).map(Result::unwrap) {
            observer.observe_frame(&frame);
            translator.push_frame(&frame, &mut out).unwrap_or_else(|error| panic!("{case}: {error}"));
        }
        buffer.drain(..end);
        boundary.consumed(end);
    }
    translator.finish(&mut out).unwrap();
    assert!(translator.is_ended() && observer.is_ended() && observer.error().is_none(), "{case}");
    assert_eq!(observer.usage(), translator.usage(), "{case}");
    assert!(observer.has_content() == translator.has_content(), "{case}");
    out
}

/// No bit of a stream can change without being seen.
fn flipped(case: &str, written: &[u8]) {
    let count = frames(written).count();
    for bit in (0..written.len() * 8).step_by(if written.len() > 2_000 { 37 } else { 1 }) {
        let mut bytes = written.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let good = frames(&bytes).take_while(Result::is_ok).count();
        assert!(good < count, "{case}: bit {bit}");
    }
}

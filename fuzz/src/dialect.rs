//! What a caller's body and a provider's answer become in the other dialect: whatever they hold, what we send is JSON,
//! in whole events, and no larger than its input accounts for.

use corelane::chat::Usage;
use corelane::dialect::{
    AnswerOptions, Dialect, ErrorContext, ErrorShape, Operation, Quirks, StreamObserver, StreamOptions,
    StreamTranslator, check_answer, decode_error, decode_models, encode_error, encode_error_event,
    translate_request, translate_response,
};
use corelane::error::Error;
use corelane::http::sse::events;

use super::look::{is_json, passes};

const DIALECTS: [Dialect; 2] = [Dialect::OpenAi, Dialect::Anthropic];
const SHAPES: [ErrorShape; 3] = [ErrorShape::Native, ErrorShape::OpenAi, ErrorShape::Anthropic];

/// A whole body: as a caller's request, as a provider's answer, as its error, as its list of models.
pub fn translation(bytes: &[u8]) {
    for (from, to) in [(Dialect::OpenAi, Dialect::Anthropic), (Dialect::Anthropic, Dialect::OpenAi)] {
        for stream in [false, true].into_iter().filter(|_| passes(bytes)) {
            let operation = Operation::Chat.streamed(stream);
            if let Ok(encoded) = translate_request(from, to, operation, bytes, "model-x", Quirks::OPENAI) {
                check_body(bytes, &encoded.body);
                assert!(encoded.dropped.iter().all(|name| is_header_word(name)), "{:?}", encoded.dropped);
            }
        }
        if let Ok(answer) = translate_response(to, from, bytes, &AnswerOptions::default()) {
            check_body(bytes, &answer.body);
        }
    }
    for dialect in DIALECTS {
        let checked = check_answer(dialect, bytes, false);
        if let Ok(Some(_)) = checked {
            assert_eq!(check_answer(dialect, bytes, true), checked, "told by its end");
        }
        let _ = decode_models(dialect, bytes);
        check_error(&Error::upstream(decode_error(dialect, 429, bytes)));
    }
}

/// A provider's stream: watched as it passes, and translated.
pub fn stream_events(bytes: &[u8]) {
    for dialect in DIALECTS {
        let mut observer = StreamObserver::new(dialect);
        let mut had_content = false;
        for event in events(bytes) {
            observer.observe(event.name, &event.data);
            assert!(observer.has_content() || !had_content, "content that was taken back");
            had_content = observer.has_content();
        }
        let _: Option<Usage> = observer.usage();
    }
    for (from, to) in [(Dialect::Anthropic, Dialect::OpenAi), (Dialect::OpenAi, Dialect::Anthropic)] {
        let options = StreamOptions {
            created_s: 1,
            include_usage: bytes.len().is_multiple_of(2),
            model: "m".to_owned(),
        };
        let mut translator = StreamTranslator::new(from, to, options);
        let mut out = Vec::new();
        let has_failed =
            events(bytes).any(|event| translator.push(event.name, &event.data, &mut out).is_err());
        assert!(has_failed || translator.finish(&mut out).is_ok() == translator.is_ended());
        check_events(bytes, &out, translator.is_ended());
    }
}

fn check_body(input: &[u8], output: &[u8]) {
    assert!(is_json(output), "no JSON: {}", output.escape_ascii());
    assert!(output.len() <= 1024 + 16 * input.len(), "{} bytes of {}", output.len(), input.len());
}

fn is_header_word(name: &str) -> bool {
    name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

fn check_error(error: &Error) {
    for shape in SHAPES {
        let context =
            ErrorContext { provider: "openai", model_requested: "a\"\n", ..ErrorContext::default() };
        assert!(is_json(&encode_error(shape, error, &context)));
        let mut out = Vec::new();
        encode_error_event(shape, error, &context, &mut out);
        let found: Vec<_> = events(&out).collect();
        assert!(matches!(&found[..], [event] if is_json(&event.data)), "one event: {}", out.escape_ascii());
    }
}

fn check_events(input: &[u8], output: &[u8], is_ended: bool) {
    let found: Vec<_> = events(output).collect();
    assert_eq!(found.iter().map(|event| event.raw.len()).sum::<usize>(), output.len(), "whole events");
    for event in &found {
        assert!(*event.data == *b"[DONE]" || is_json(&event.data), "{}", event.data.escape_ascii());
    }
    let is_last = |data: &[u8]| data == b"[DONE]" || data == br#"{"type":"message_stop"}"#;
    let ends = found.iter().filter(|event| is_last(&event.data)).count();
    assert_eq!(ends, usize::from(is_ended), "the last word");
    // Each event of the provider may repeat the answer's id and model.
    assert!(output.len() <= 4096 + 64 * input.len() * (1 + events(input).count()), "{} bytes", output.len());
}

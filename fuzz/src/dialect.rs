//! What a body of each dialect becomes in the others: a caller's request, a provider's answer, an error, a list of
//! models. Whatever it holds, what we send is JSON, no larger than its input accounts for, and no error by our own reading.

use std::sync::LazyLock;

use corelane::dialect::event_stream::frames;
use corelane::dialect::log_content::row_content;
use corelane::dialect::{
    AnswerLook, AnswerOptions, DROPPED_MAX, Dialect, Echo, ErrorContext, ErrorShape, ModelEntry, Operation,
    Quirks, check_answer, decode_error, decode_models, decode_retry_delay_s, encode_error,
    encode_error_event, encode_model, encode_models, encode_response_error, translate_request,
    translate_response,
};
use corelane::error::Error;
use corelane::http::sse::events;

use super::cut::{Chance, cuttings};
use super::look::{is_json, passes};
use super::stretch;

pub(crate) const DIALECTS: [Dialect; 6] = [
    Dialect::OpenAi,
    Dialect::Anthropic,
    Dialect::Gemini,
    Dialect::Responses,
    Dialect::Cohere,
    Dialect::Bedrock,
];
const SHAPES: [ErrorShape; 6] = [
    ErrorShape::Native,
    ErrorShape::OpenAi,
    ErrorShape::Anthropic,
    ErrorShape::Gemini,
    ErrorShape::Cohere,
    ErrorShape::Bedrock,
];
const QUIRKS: [Quirks; 4] = [Quirks::OPENAI, Quirks::COMPATIBLE, Quirks::TELLING, Quirks::STRICT];
/// One of each kind, by what Claude, Gemini and the models on Bedrock let a caller ask of them.
const MODELS: [&str; 9] = [
    "model-x",
    "anthropic.claude-sonnet-4-5",
    "claude-sonnet-4-20250514",
    "claude-opus-5",
    "gemini-2.5-flash",
    "gemini-3-pro",
    "amazon.nova-2-lite-v1:0",
    "openai.gpt-oss-120b-1:0",
    "command-r7b",
];
/// What writes a character in the most bytes: `\u0000` again inside a string of JSON.
const GROWTH_MAX: usize = 16;

/// One of so many inputs is also stretched.
pub(crate) const STRETCHED_OF: usize = 8;

/// A body in OpenAI's chat dialect, or its embeddings'.
pub fn openai_body(bytes: &[u8]) {
    body(Dialect::OpenAi, bytes);
}

/// A body in Anthropic's dialect.
pub fn anthropic_body(bytes: &[u8]) {
    body(Dialect::Anthropic, bytes);
}

/// A body in Gemini's dialect, its embeddings' included.
pub fn gemini_body(bytes: &[u8]) {
    body(Dialect::Gemini, bytes);
}

/// A body in Cohere's dialect, its embeddings' and rerankings' included.
pub fn cohere_body(bytes: &[u8]) {
    body(Dialect::Cohere, bytes);
}

/// A body in the dialect of OpenAI's responses.
pub fn responses_body(bytes: &[u8]) {
    body(Dialect::Responses, bytes);
}

/// A body in Bedrock's dialect.
pub fn bedrock_body(bytes: &[u8]) {
    body(Dialect::Bedrock, bytes);
}

/// All of a dialect but itself.
pub(crate) fn others(dialect: Dialect) -> impl Iterator<Item = Dialect> {
    DIALECTS.into_iter().filter(move |other| *other != dialect)
}

/// What a request of this caller says of its own answer, if these bytes are one.
pub(crate) fn echo_of(caller: Dialect, bytes: &[u8]) -> Echo {
    let to = if caller == Dialect::OpenAi { Dialect::Anthropic } else { Dialect::OpenAi };
    let encoded = translate_request(caller, to, Operation::Chat, bytes, "m", Quirks::OPENAI);
    encoded.map(|encoded| encoded.echo).unwrap_or_default()
}

fn body(dialect: Dialect, bytes: &[u8]) {
    translations(dialect, bytes);
    let mut chance = Chance::of(bytes);
    if let Some(long) = (chance.below(STRETCHED_OF) == 0).then(|| stretch::body(bytes, &mut chance)).flatten()
    {
        translations(dialect, &long);
    }
    looks(dialect, bytes);
    let error = Error::upstream(decode_error(dialect, 429, bytes));
    check_error(&error);
    let delay_s = decode_retry_delay_s(dialect, bytes);
    assert!(delay_s.is_none_or(|delay_s| delay_s.is_finite() && delay_s >= 0.0), "{delay_s:?}");
    models(dialect, bytes);
    for stream in [false, true] {
        columns(dialect, bytes, stream);
    }
}

/// What we send for these bytes, were they a request, an answer or either of embeddings.
fn translations(dialect: Dialect, bytes: &[u8]) {
    if passes(bytes) {
        requests(dialect, bytes);
    }
    for to in others(dialect) {
        answers(dialect, to, bytes);
    }
    embeddings(dialect, bytes);
    rerankings(dialect, bytes);
}

fn requests(from: Dialect, bytes: &[u8]) {
    let mut chance = Chance::of(bytes);
    let asked = if from == Dialect::Responses { Operation::Responses } else { Operation::Chat };
    for to in others(from) {
        let operation = asked.streamed(chance.below(2) == 1);
        let model = pick(&mut chance, &MODELS);
        let quirks = pick(&mut chance, &QUIRKS);
        if let Ok(encoded) = translate_request(from, to, operation, bytes, model, quirks) {
            check_body(bytes, &encoded.body);
            check_dropped(&encoded.dropped);
            let again = |body: &[u8]| translate_request(to, to, operation, body, model, quirks);
            settles(&encoded.body, |body| again(body).map(|again| again.body));
        }
    }
}

fn answers(from: Dialect, to: Dialect, bytes: &[u8]) {
    let options = AnswerOptions { echo: echo_of(to, bytes), ..AnswerOptions::default() };
    let Ok(answer) = translate_response(from, to, bytes, &options) else { return };
    check_body(bytes, &answer.body);
    let read = check_answer(to, &answer.body, false);
    assert!(read.is_ok(), "{to:?} does not take it: {read:?}: {}", answer.body.escape_ascii());
    let again = |body: &[u8]| translate_response(to, to, body, &options).map(|again| again.body);
    settles(&answer.body, again);
    columns(to, &answer.body, false);
}

/// What we send is read by our own half of that dialect. One reading may tidy it (thoughts are joined, say); what was read
/// and written once is read and written the same.
fn settles(sent: &[u8], again: impl Fn(&[u8]) -> Result<Vec<u8>, Error>) {
    let read = |body: &[u8]| match again(body) {
        Ok(again) => again,
        Err(error) => panic!("{error:?} by our own reading of {}", body.escape_ascii()),
    };
    let first = read(sent);
    let second = read(&first);
    assert!(first == second, "{}\nbecame {}", first.escape_ascii(), second.escape_ascii());
}

fn embeddings(from: Dialect, bytes: &[u8]) {
    static AS_BASE64: LazyLock<Echo> = LazyLock::new(|| {
        let asked = br#"{"model":"m","input":"a","encoding_format":"base64"}"#;
        let (from, to) = (Dialect::OpenAi, Dialect::Gemini);
        let encoded = translate_request(from, to, Operation::Embedding, asked, "m", Quirks::OPENAI);
        encoded.expect("a request of ours").echo
    });
    for to in others(from) {
        for operation in [Operation::Embedding, Operation::EmbeddingBatch] {
            if let Ok(encoded) = translate_request(from, to, operation, bytes, "model-x", Quirks::OPENAI) {
                // Gemini has the model beside each text.
                check_body(bytes, &encoded.body);
                check_dropped(&encoded.dropped);
            }
            for echo in [Echo::default(), AS_BASE64.clone()] {
                let options = AnswerOptions { operation, echo, ..AnswerOptions::default() };
                if let Ok(answer) = translate_response(from, to, bytes, &options) {
                    check_body(bytes, &answer.body);
                }
            }
        }
    }
}

/// Between Cohere's and what stands at `/v1/rerank`, whoever asks.
fn rerankings(from: Dialect, bytes: &[u8]) {
    for to in [Dialect::OpenAi, Dialect::Cohere] {
        let asked = translate_request(from, to, Operation::Rerank, bytes, "model-x", Quirks::OPENAI);
        if let Ok(encoded) = &asked {
            check_body(bytes, &encoded.body);
            check_dropped(&encoded.dropped);
        }
        let echo = asked.map(|encoded| encoded.echo).unwrap_or_default();
        let options = AnswerOptions { operation: Operation::Rerank, echo, ..AnswerOptions::default() };
        if let Ok(answer) = translate_response(to, from, bytes, &options) {
            check_body(bytes, &answer.body);
        }
    }
}

/// An answer that passes through: the same however it arrives, and whether its length was known or not.
fn looks(dialect: Dialect, bytes: &[u8]) {
    let checked = check_answer(dialect, bytes, false);
    if let Ok(Some(_)) = checked {
        assert_eq!(check_answer(dialect, bytes, true), checked, "told by its end");
    }
    // A byte order mark is known when it comes whole.
    if bytes.starts_with(b"\xef") {
        return;
    }
    for pieces in cuttings(bytes) {
        let mut look = AnswerLook::new(dialect);
        let pushed = pieces.iter().try_for_each(|piece| look.push(piece));
        let found = pushed.and_then(|()| look.finish(bytes));
        assert_eq!(found.as_ref().ok(), checked.as_ref().ok(), "{found:?}, not {checked:?}, in pieces");
    }
}

fn models(dialect: Dialect, bytes: &[u8]) {
    let Ok(names) = decode_models(dialect, bytes) else { return };
    let entry = |id| ModelEntry { id, owned_by: "openai".to_owned(), created_s: 0 };
    let entries: Vec<ModelEntry> = names.into_iter().map(entry).collect();
    for shape in DIALECTS {
        assert!(is_json(&encode_models(shape, &entries)));
        assert!(entries.iter().all(|entry| is_json(&encode_model(shape, entry))));
    }
}

/// What a log row keeps of these bytes, on either side.
pub(crate) fn columns(dialect: Dialect, bytes: &[u8], stream: bool) {
    let row = row_content(dialect, Some(bytes), Some(bytes), stream);
    let texts = [
        &row.input_history,
        &row.params,
        &row.tools,
        &row.output_message,
        &row.tool_calls,
        &row.error_details,
    ];
    for text in texts.into_iter().flatten() {
        assert!(is_json(text.as_bytes()), "a column: {}", text.escape_debug());
        // A backslash that is escaped may stand before `u0000`, which is then six characters of a text.
        let unescaped = text.replace("\\\\", "");
        assert!(!unescaped.contains("\\u0000") && !text.contains('\0'), "NUL: {}", text.escape_debug());
    }
    assert!(row.bytes() <= 4096 + 6 * GROWTH_MAX * bytes.len(), "{} bytes", row.bytes());
}

fn pick<T: Copy>(chance: &mut Chance, choices: &[T]) -> T {
    *choices.get(chance.below(choices.len())).expect("one of them")
}

fn check_body(input: &[u8], output: &[u8]) {
    assert!(is_json(output), "no JSON: {}", output.escape_ascii());
    // What a model's limits or a response's settings add is the same for each body.
    let bytes_max = 4096 + GROWTH_MAX * input.len();
    assert!(output.len() <= bytes_max, "{} bytes of {}", output.len(), input.len());
}

fn check_dropped(names: &[String]) {
    assert!(names.len() <= DROPPED_MAX, "{} names", names.len());
    assert!(names.iter().all(|name| is_header_word(name)), "{names:?}");
}

fn is_header_word(name: &str) -> bool {
    name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

/// An error of a provider's, told to each caller.
pub(crate) fn check_error(error: &Error) {
    for shape in SHAPES {
        let context =
            ErrorContext { provider: "openai", model_requested: "a\"\n", ..ErrorContext::default() };
        assert!(is_json(&encode_error(shape, error, &context)));
        let mut out = Vec::new();
        encode_error_event(shape, error, &context, &mut out);
        match shape {
            ErrorShape::Bedrock => check_single_frame(&out),
            _ => check_single_event(&out),
        }
    }
    let mut out = Vec::new();
    encode_response_error(error, 7, &mut out);
    check_single_event(&out);
}

fn check_single_frame(out: &[u8]) {
    let found: Vec<_> = frames(out).collect();
    let is_so = matches!(&found[..], [Ok(frame)] if is_json(frame.payload) && frame.raw == out);
    assert!(is_so, "one frame: {}", out.escape_ascii());
}

fn check_single_event(out: &[u8]) {
    let found: Vec<_> = events(out).collect();
    assert!(matches!(&found[..], [event] if is_json(&event.data)), "one event: {}", out.escape_ascii());
    assert_eq!(found.iter().map(|event| event.raw.len()).sum::<usize>(), out.len(), "whole");
}

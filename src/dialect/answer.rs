//! A whole answer that passes through in the provider's own dialect: is it one JSON object, does it say that something
//! failed, and how many tokens does it report? It is looked at as its bytes come in, or told by its end; it is never parsed
//! as a whole.

use memchr::{memmem, memrchr_iter};
use serde::Deserialize;

use super::counts::{self, Counts};
use super::look::{Look, Members};
use super::observe::{responses as watched, value_at};
use super::{Dialect, anthropic, bedrock, cohere, decode_error, gemini, openai, responses};
use crate::chat::Usage;
use crate::error::{Error, Kind};

/// What is looked for at the top of an answer, in the order of the indices below.
const KEYS: [&str; 4] = ["usage", "error", "choices", "content"];
/// The same of Gemini's.
const GEMINI_KEYS: [&str; KEYS.len()] = ["usageMetadata", "error", "candidates", "promptFeedback"];
/// The same of Cohere's: its tokens stand in `usage` or `meta`.
const COHERE_KEYS: [&str; KEYS.len()] = ["usage", "error", "message", "meta"];
const META: usize = 3;
/// The same of Bedrock's.
const BEDROCK_KEYS: [&str; KEYS.len()] = ["usage", "error", "output", "stopReason"];
const USAGE: usize = 0;
const ERROR: usize = 1;
/// An answer with any of these, be it empty, is one, whatever stands beside them.
const CONTENT: [usize; 2] = [2, 3];
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// An answer under way, taken in pieces, cut anywhere.
pub struct AnswerLook {
    dialect: Dialect,
    /// `None`: it goes beyond what the look keeps count of (depth, values, a key that stands twice), which is no fault of
    /// an answer: it passes unseen.
    look: Option<Look<{ KEYS.len() }>>,
    /// Bytes of a byte order mark in front of it, which readers ignore (RFC 8259 section 8.1); `None`: nothing has come.
    mark_bytes: Option<usize>,
    /// It was made before, and is told again: that it holds an error is what was asked for.
    is_stored: bool,
}

impl AnswerLook {
    /// An answer of which nothing has come.
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, look: Some(Look::new(keys(dialect))), mark_bytes: None, is_stored: false }
    }

    /// The same of a stored response: one that failed is an answer, and its tokens were counted when it was made.
    pub fn of_stored() -> Self {
        Self { is_stored: true, ..Self::new(Dialect::Responses) }
    }

    /// Takes the next piece; a byte order mark is known when it comes in the first one, whole. Errors: it can be no JSON object
    /// ([`Kind::UpstreamInvalidResponse`]).
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Error> {
        let marked = self.mark_bytes.is_none().then(|| piece.strip_prefix(BYTE_ORDER_MARK)).flatten();
        if !piece.is_empty() {
            self.mark_bytes.get_or_insert(if marked.is_some() { BYTE_ORDER_MARK.len() } else { 0 });
        }
        let piece = marked.unwrap_or(piece);
        match self.look.as_mut().map(|look| look.push(piece)) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(error)) if error.kind == Kind::InvalidRequest => {
                Err(Error::unusable_answer(&error.message))
            }
            Some(Err(_)) => {
                self.look = None;
                Ok(())
            }
        }
    }

    /// All pieces were pushed, and `body` is what they make: its tokens, when the provider reported them. Errors: it is no
    /// whole JSON object, or one that holds an error and nothing of an answer ([`Kind::UpstreamStatus`], with the status
    /// that the error's words stand for).
    pub fn finish(self, body: &[u8]) -> Result<Option<Usage>, Error> {
        let dialect = self.dialect;
        let body = body.get(self.mark_bytes.unwrap_or_default()..).unwrap_or_default();
        let Some(look) = self.look else {
            return match body.trim_ascii_end().ends_with(b"}") {
                // A list of embeddings may well hold more numbers than are counted.
                true => Ok(usage_at_end(dialect, body).filter(|_| !self.is_stored)),
                false => Err(Error::unusable_answer("it is no JSON object")),
            };
        };
        if body.trim_ascii().is_empty() {
            return Err(Error::unusable_answer("it is empty"));
        }
        let members = look.finish().map_err(|error| Error::unusable_answer(&error.message))?;
        if self.is_stored {
            return Ok(None);
        }
        if is_error(&members, body) {
            return Err(error_of(dialect, body));
        }
        let own = members.value(USAGE).or(members.value(META).filter(|_| dialect == Dialect::Cohere));
        Ok(own.and_then(|span| usage(dialect, body.get(span)?)))
    }

    /// The tokens of an answer of which only the end was kept: `tail`, behind so many bytes that were let go.
    pub fn usage_in(self, tail: &[u8], dropped_bytes: usize) -> Option<Usage> {
        let span = self.look?.finish().ok()?.value(USAGE)?;
        let mark_bytes = self.mark_bytes.unwrap_or_default();
        let start = (span.start + mark_bytes).checked_sub(dropped_bytes)?;
        let end = (span.end + mark_bytes).checked_sub(dropped_bytes)?;
        usage(self.dialect, tail.get(start..end)?)
    }
}

fn keys(dialect: Dialect) -> &'static [&'static str; KEYS.len()] {
    match dialect {
        Dialect::Gemini => &GEMINI_KEYS,
        Dialect::Cohere => &COHERE_KEYS,
        Dialect::Bedrock => &BEDROCK_KEYS,
        Dialect::OpenAi | Dialect::Anthropic | Dialect::Responses => &KEYS,
    }
}

/// [`AnswerLook`] over an answer that is here as a whole. One that `is_framed`, so that its bytes are known to be all that were
/// sent, is told by its end where it has one: that of an object whose last members are its usage and few more.
pub fn check_answer(dialect: Dialect, body: &[u8], is_framed: bool) -> Result<Option<Usage>, Error> {
    if is_framed && let Some(usage) = usage_at_end(dialect, body) {
        return Ok(Some(usage));
    }
    let mut look = AnswerLook::new(dialect);
    look.push(body)?;
    look.finish(body)
}

const USAGE_KEY: &[u8] = b"\"usage\"";
const ERROR_KEY: &[u8] = b"\"error\"";
/// The `status` of a response that failed.
const FAILED: &[u8] = b"\"failed\"";

/// What is longer than this has content; a shorter one may be an error that has its usage beside it, bytes.
const ERROR_BYTES_MAX: usize = 1024;

/// How much may stand behind the usage at an answer's end, bytes; providers send it last or nearly so.
const END_BYTES_MAX: usize = 512;

/// The usage of an object that ends with it. An answer that was cut has lost it, and what is no answer has none, so that to
/// find it is to know both, at a fraction of what the look costs. A short one that speaks of an error is looked at.
fn usage_at_end(dialect: Dialect, body: &[u8]) -> Option<Usage> {
    let is_short = body.len() <= ERROR_BYTES_MAX;
    if body.trim_ascii_start().first() != Some(&b'{') || is_short && memmem::find(body, ERROR_KEY).is_some() {
        return None;
    }
    match dialect {
        Dialect::OpenAi => read_at_end::<openai::usage::WireUsage>(body).map(|wire| wire.usage()),
        Dialect::Anthropic => read_at_end::<anthropic::usage::WireUsage>(body).map(|wire| wire.usage()),
        // A call's arguments are no text there: where they were cut, a `usageMetadata` of theirs would pass for the answer's.
        Dialect::Gemini | Dialect::Bedrock => None,
        // Each has an `error`, which is null as a rule; one that failed is looked at.
        Dialect::Responses if memmem::find(body, FAILED).is_some() => None,
        Dialect::Responses => read_at_end::<responses::usage::WireUsage>(body).map(|wire| wire.usage()),
        Dialect::Cohere => read_at_end::<cohere::usage::WireUsage>(body).map(|wire| wire.usage()),
    }
}

/// The last `usage` is the outermost object's when what follows it ends one object (a tool's arguments may hold a `usage` of
/// their own).
fn read_at_end<T: Counts>(body: &[u8]) -> Option<T> {
    let starts = memrchr_iter(b'u', body).filter_map(|at| at.checked_sub(1));
    let at = starts.into_iter().find(|&at| body.get(at..).is_some_and(|rest| rest.starts_with(USAGE_KEY)))?;
    // Behind a backslash the quote is part of a text.
    let is_key = at.checked_sub(1).and_then(|before| body.get(before)) != Some(&b'\\');
    let value = value_at(body, at + USAGE_KEY.len()).filter(|_| is_key)?;
    let (usage, behind) = counts::read(value)?;
    let behind = behind.trim_ascii_end();
    (behind.len() <= END_BYTES_MAX && closing(behind)? + 1 == behind.len()).then_some(usage)
}

/// Where the bracket stands that closes what was opened before `bytes`, which begin outside a string.
fn closing(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut is_string, mut is_escaped) = (1_u32, false, false);
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            b'{' | b'[' if !is_string => depth = depth.saturating_add(1),
            b'}' | b']' if !is_string => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (byte == b'}').then_some(at);
        }
    }
    None
}

/// Some gateways answer 200 with an error's body.
fn is_error(members: &Members<{ KEYS.len() }>, body: &[u8]) -> bool {
    let error = members.value(ERROR).and_then(|span| body.get(span));
    let is_there = |index: &usize| {
        members.value(*index).and_then(|span| body.get(span)).is_some_and(|value| value != b"null")
    };
    error.is_some_and(|error| error.starts_with(b"{")) && !CONTENT.iter().any(is_there)
}

fn error_of(dialect: Dialect, body: &[u8]) -> Error {
    let mut error = decode_error(dialect, 500, body);
    error.status = match dialect {
        Dialect::Responses => watched::status(&error),
        Dialect::OpenAi => openai::error::status(&error),
        Dialect::Anthropic => anthropic::error::status(&error.kind),
        Dialect::Gemini => gemini::error::status(&error.kind),
        Dialect::Cohere | Dialect::Bedrock => 500,
    };
    Error::upstream(error)
}

fn usage(dialect: Dialect, value: &[u8]) -> Option<Usage> {
    match dialect {
        Dialect::OpenAi => read::<openai::usage::WireUsage>(value).map(|wire| wire.usage()),
        Dialect::Anthropic => read::<anthropic::usage::WireUsage>(value).map(|wire| wire.usage()),
        Dialect::Gemini => read::<gemini::usage::WireUsage>(value).map(|wire| wire.usage()),
        Dialect::Responses => read::<responses::usage::WireUsage>(value).map(|wire| wire.usage()),
        // A reranking is billed by searches.
        Dialect::Cohere => read::<cohere::usage::WireUsage>(value)
            .map(|wire| wire.usage())
            .filter(|usage| *usage != Usage::default()),
        Dialect::Bedrock => read::<bedrock::usage::WireUsage>(value).map(|wire| wire.usage()),
    }
}

fn read<T: Counts + for<'a> Deserialize<'a>>(value: &[u8]) -> Option<T> {
    match counts::read(value) {
        Some((counts, [])) => Some(counts),
        _ => serde_json::from_slice::<Option<T>>(value).ok().flatten(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"id":"c","choices":[{"message":{"content":"a \"usage\": {","tool_calls":[{"function":{"arguments":"{\"usage\":{\"total_tokens\":9}}"}}]}}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#;

    fn kind(body: &str) -> Option<Kind> {
        check_answer(Dialect::OpenAi, body.as_bytes(), false).err().map(|error| error.kind)
    }

    #[test]
    fn tokens_are_the_outermost_objects_wherever_it_is_cut() {
        let total = |usage: Option<Usage>| usage.map(|usage| usage.total_tokens);
        for cut in 0..=ANSWER.len() {
            let (first, second) = ANSWER.as_bytes().split_at(cut);
            let mut look = AnswerLook::new(Dialect::OpenAi);
            look.push(first).unwrap();
            look.push(second).unwrap();
            assert_eq!(total(look.finish(ANSWER.as_bytes()).unwrap()), Some(7), "cut at {cut}");
        }
        let mut look = AnswerLook::new(Dialect::OpenAi);
        look.push(ANSWER.as_bytes()).unwrap();
        assert_eq!(total(look.usage_in(&ANSWER.as_bytes()[140..], 140)), Some(7));
        let marked = format!("\u{feff}{ANSWER}");
        let mut look = AnswerLook::new(Dialect::OpenAi);
        look.push(marked.as_bytes()).unwrap();
        assert_eq!(total(look.usage_in(&marked.as_bytes()[140..], 140)), Some(7));
        assert_eq!(total(check_answer(Dialect::OpenAi, marked.as_bytes(), true).unwrap()), Some(7));
        let odd = r#"{"content":[],"usage":{"input_tokens":2,"output_tokens":1,"x":[1.5]}}"#;
        assert_eq!(total(check_answer(Dialect::Anthropic, odd.as_bytes(), true).unwrap()), Some(3));
        for none in [r#"{"choices":[]}"#, r#"{"choices":[],"usage":null}"#, r#"{"usage":7}"#] {
            assert_eq!(check_answer(Dialect::OpenAi, none.as_bytes(), true), Ok(None), "{none}");
        }
    }

    #[test]
    fn what_is_no_json_object_is_no_answer() {
        for body in
            ["", " \r\n", "<html>", "[]", "\"x\"", "null", "7", "{", "{}{}", "{\"a\":}", "data: {}\n\n"]
        {
            assert_eq!(kind(body), Some(Kind::UpstreamInvalidResponse), "{body}");
        }
        for cut in 0..ANSWER.len() {
            assert_eq!(kind(&ANSWER[..cut]), Some(Kind::UpstreamInvalidResponse), "cut at {cut}");
        }
        for body in ["{}", " {\"a\":1}\r\n", ANSWER, "\u{feff}{}", &format!("\u{feff}{ANSWER}")] {
            assert_eq!(kind(body), None, "{body}");
        }
        for body in ["\u{feff}", "\u{feff}[]", "\u{feff}{", "{}\u{feff}"] {
            assert_eq!(kind(body), Some(Kind::UpstreamInvalidResponse), "{body}");
        }
    }

    #[test]
    fn an_answer_is_told_by_its_end_only_where_it_has_it() {
        let end = |body: &str| usage_at_end(Dialect::OpenAi, body.as_bytes()).map(|usage| usage.total_tokens);
        assert_eq!(end(ANSWER), Some(7));
        assert_eq!(end(r#" {"usage":{"total_tokens":7},"service_tier":"}","x":[{}]} "#), Some(7));
        for cut in 0..ANSWER.len() {
            assert_eq!(end(&ANSWER[..cut]), None, "cut at {cut}");
            let framed = check_answer(Dialect::OpenAi, &ANSWER.as_bytes()[..cut], true);
            assert_eq!(framed.unwrap_err().kind, Kind::UpstreamInvalidResponse, "cut at {cut}");
        }
        for other in [
            r#"[{"usage":{"total_tokens":7}}]"#,
            r#"{"x":{"usage":{"total_tokens":7}}}"#,
            r#"{"x":["usage",{"total_tokens":7}]}"#,
            r#"{"usage":{"total_tokens":7}]"#,
            r#"{"usage":{"total_tokens":7}}}"#,
            r#"{"usage":{"total_tokens":7}},"#,
            r#"{"a":"\"usage\":{}"}"#,
            &format!(r#"{{"usage":{{"total_tokens":7}},"x":"{}"}}"#, "y".repeat(600)),
        ] {
            assert_eq!(end(other), None, "{other}");
        }
    }

    #[test]
    fn a_response_that_failed_is_an_error_and_others_have_their_usage() {
        let response = |status: &str, error: &str, text: &str| {
            let usage = r#"{"input_tokens":3,"input_tokens_details":{"cached_tokens":2},"output_tokens":4,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":7}"#;
            format!(
                r#"{{"id":"r","object":"response","status":"{status}","error":{error},"output":[{{"text":"{text}"}}],"usage":{usage},"user":null,"metadata":{{}}}}"#
            )
        };
        for text in ["a \\\"failed\\\"", &"x".repeat(2_000)] {
            for status in ["completed", "incomplete", "queued", "in_progress", "cancelled"] {
                let body = response(status, "null", text);
                let usage = check_answer(Dialect::Responses, body.as_bytes(), true).unwrap().unwrap();
                assert_eq!((usage.total_tokens, usage.cached_read_tokens, usage.reasoning_tokens), (7, 2, 1));
            }
            for (code, status) in [("rate_limit_exceeded", 429), ("server_error", 500)] {
                let body = response("failed", &format!(r#"{{"code":"{code}","message":"m"}}"#), text);
                let error = check_answer(Dialect::Responses, body.as_bytes(), true).unwrap_err();
                assert_eq!((error.status(), &*error.message), (status, "m"));
            }
        }
    }

    #[test]
    fn geminis_answers_are_told_by_their_own_words() {
        let answer = r#"{"candidates":[{"content":{"parts":[{"functionCall":{"args":{"usageMetadata":{"totalTokenCount":1}}}}]}}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4,"totalTokenCount":7,"promptTokensDetails":[{"modality":"TEXT","tokenCount":3}]},"modelVersion":"m","responseId":"r"}"#;
        let total = |body: &[u8], is_framed| {
            let usage = check_answer(Dialect::Gemini, body, is_framed)?;
            Ok::<_, Error>(usage.map(|usage| usage.total_tokens))
        };
        for is_framed in [true, false] {
            assert_eq!(total(answer.as_bytes(), is_framed), Ok(Some(7)));
            for cut in 0..answer.len() {
                assert!(total(&answer.as_bytes()[..cut], is_framed).is_err(), "cut at {cut}");
            }
        }
        for none in [r#"{"embedding":{"values":[0.1]}}"#, r#"{"totalTokens":4}"#, "{}"] {
            assert_eq!(total(none.as_bytes(), true), Ok(None), "{none}");
        }
        let blocked = r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"totalTokenCount":2}}"#;
        assert_eq!(total(blocked.as_bytes(), true), Ok(Some(2)));
        let error = r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#;
        assert_eq!(total(error.as_bytes(), true).unwrap_err().status(), 429);
    }

    #[test]
    fn what_the_look_does_not_count_passes() {
        let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
        let many = format!(r#"{{"a":[{}1]}}"#, "1,".repeat(1_000_001));
        for body in [&*deep, &*many, r#"{"usage":null,"usage":{}}"#] {
            assert_eq!(kind(body), None);
        }
        assert_eq!(kind(&deep[..deep.len() - 1]), Some(Kind::UpstreamInvalidResponse));
    }

    #[test]
    fn an_error_in_place_of_an_answer_has_its_words_status() {
        let status = |dialect, body: &str| {
            let error = check_answer(dialect, body.as_bytes(), true).err()?;
            assert_eq!(error.kind, Kind::UpstreamStatus);
            Some(error.status())
        };
        let openai = |body| status(Dialect::OpenAi, body);
        assert_eq!(openai(r#"{"error":{"message":"m","code":429}}"#), Some(429));
        assert_eq!(openai(r#"{"error":{"message":"m"},"id":"x"}"#), Some(500));
        // Those of gateways that write every member that an answer may have.
        assert_eq!(openai(r#"{"choices":null,"error":{"message":"m","code":429}}"#), Some(429));
        let usage = r#""usage":{"prompt_tokens":0,"total_tokens":0}"#;
        let limited = r#""error":{"message":"m","code":429}"#;
        for body in [format!("{{{limited},{usage}}}"), format!("{{{usage},{limited}}}")] {
            assert_eq!(status(Dialect::OpenAi, &body), Some(429), "{body}");
        }
        let claude = r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#;
        assert_eq!(status(Dialect::Anthropic, claude), Some(529));
        for answer in [
            r#"{"error":null,"id":"x"}"#,
            r#"{"error":{"message":"m"},"choices":[]}"#,
            r#"{"error":{"message":"m"},"content":[]}"#,
            r#"{"error":"m"}"#,
        ] {
            assert_eq!(openai(answer), None, "{answer}");
        }
    }
}

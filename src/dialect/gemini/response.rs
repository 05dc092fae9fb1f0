//! A whole generateContent answer as bytes to a neutral one, and back. What server-side tools did has no neutral word
//! and is left out.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::Error as _;

use super::citation::{self, Measure, Sources};
use super::usage::{self, WireUsage};
use super::{call_id, finish, is_signature};
use crate::chat::{Citation, Finish, Part, Raw, Response, Source};
use crate::dialect::json::{self, Array, Object, Span, Text};

/// A `GenerateContentResponse`: a whole answer, or one step of a streamed one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireResponse<'a> {
    #[serde(borrow, default)]
    candidates: Vec<WireCandidate<'a>>,
    #[serde(borrow)]
    prompt_feedback: Option<WireFeedback<'a>>,
    pub(super) usage_metadata: Option<WireUsage>,
    #[serde(borrow)]
    pub(super) model_version: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) response_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) error: Option<Span<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireCandidate<'a> {
    #[serde(borrow)]
    content: Option<WireContent<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    index: Option<u64>,
    #[serde(borrow)]
    citation_metadata: Option<Span<'a>>,
    #[serde(borrow)]
    grounding_metadata: Option<Span<'a>>,
}

#[derive(Deserialize)]
struct WireContent<'a> {
    #[serde(borrow, default)]
    parts: Vec<WirePart<'a>>,
}

/// One part of what the model said.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WirePart<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(default)]
    pub(super) thought: bool,
    #[serde(borrow)]
    pub(super) thought_signature: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) function_call: Option<WireCall<'a>>,
    #[serde(borrow)]
    inline_data: Option<WireBlob<'a>>,
}

/// A function that is to be called.
#[derive(Deserialize)]
pub(super) struct WireCall<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) args: Option<Span<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireBlob<'a> {
    #[serde(borrow)]
    mime_type: Text<'a>,
    #[serde(borrow)]
    data: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireFeedback<'a> {
    #[serde(borrow)]
    block_reason: Option<Text<'a>>,
    #[serde(borrow)]
    block_reason_message: Option<Text<'a>>,
}

/// What of an answer a response holds.
#[derive(Default)]
pub(super) struct Answer<'a> {
    pub(super) parts: Vec<WirePart<'a>>,
    /// Gemini's word for its end, once it has one.
    pub(super) reason: Option<Cow<'a, str>>,
    /// Why the prompt was refused, in words.
    pub(super) refusal: Option<Cow<'a, str>>,
    pub(super) sources: Sources<'a>,
}

impl<'a> WireResponse<'a> {
    /// The first answer. A prompt that was refused has none at all.
    pub(super) fn take_answer(&mut self) -> Option<Answer<'a>> {
        let at = self.candidates.iter().position(|one| one.index.unwrap_or(0) == 0);
        if let Some(at) = at {
            let one = self.candidates.swap_remove(at);
            return Some(Answer {
                parts: one.content.map(|content| content.parts).unwrap_or_default(),
                reason: one.finish_reason.map(|text| text.0),
                refusal: None,
                sources: Sources { citations: one.citation_metadata, grounding: one.grounding_metadata },
            });
        }
        let feedback = self.prompt_feedback.take()?;
        // Whatever it was refused for, also a reason that we have not heard of.
        feedback.block_reason?;
        let refusal = feedback.block_reason_message.map(|text| text.0).filter(|text| !text.is_empty());
        Some(Answer { reason: Some(Cow::Borrowed("SAFETY")), refusal, ..Answer::default() })
    }
}

impl<'a> WireCall<'a> {
    /// JSON text of the arguments.
    pub(super) fn arguments(&self) -> &'a str {
        self.args.filter(|args| args.first() != b'n').map_or("{}", |args| args.raw().0)
    }
}

/// Decodes an answer.
pub(in crate::dialect) fn decode(body: &[u8]) -> Result<Response<'_>, serde_json::Error> {
    let mut wire: WireResponse<'_> = serde_json::from_slice(body)?;
    let Some(mut answer) = wire.take_answer() else {
        return Err(serde_json::Error::custom("it holds no candidate and no reason why not"));
    };
    let id = wire.response_id.map_or(Cow::Borrowed(""), |text| text.0);
    let mut parts = Vec::with_capacity(answer.parts.len());
    let cited = cited(&answer);
    let mut calls = 0;
    for part in std::mem::take(&mut answer.parts) {
        push_part(part, &id, &mut calls, &mut parts);
    }
    // Behind the text that leans on them.
    let behind =
        parts.iter().rposition(|part| matches!(part, Part::Text { .. })).map_or(parts.len(), |at| at + 1);
    parts.splice(behind..behind, cited.into_iter().map(Part::Citation));
    parts.extend(answer.refusal.map(|text| Part::Refusal { text }));
    Ok(Response {
        finish: finish(answer.reason.as_deref().unwrap_or_default(), calls > 0),
        id,
        model: wire.model_version.map_or(Cow::Borrowed(""), |text| text.0),
        parts,
        usage: wire.usage_metadata.unwrap_or_default().usage(),
        ..Response::default()
    })
}

fn cited<'a>(answer: &Answer<'a>) -> Vec<Citation<'a>> {
    if answer.sources.is_empty() {
        return Vec::new();
    }
    let (mut text, mut offsets) = (String::new(), Vec::new());
    for part in &answer.parts {
        offsets.push(text.len() as u64);
        if let Some(Text(more)) = part.text.as_ref().filter(|_| !part.thought) {
            text.push_str(more);
        }
    }
    answer.sources.read(&Measure::of(&text), &offsets)
}

fn push_part<'a>(wire: WirePart<'a>, response_id: &str, calls: &mut usize, parts: &mut Vec<Part<'a>>) {
    let signature = wire.thought_signature.map(|text| text.0);
    let encrypted = |data| Part::ReasoningEncrypted { data };
    if let Some(call) = wire.function_call {
        parts.extend(signature.map(encrypted));
        let arguments = Cow::Borrowed(call.arguments());
        let id = call.id.map(|text| text.0).filter(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| Cow::Owned(call_id(response_id, *calls)));
        *calls += 1;
        parts.push(Part::ToolCall { id, name: call.name.0, arguments });
        return;
    }
    let text = wire.text.map(|text| text.0).filter(|text| !text.is_empty());
    match text {
        Some(text) if wire.thought => return parts.push(Part::Reasoning { text, signature }),
        Some(text) => parts.push(Part::Text { text, cache: None }),
        None => {}
    }
    if let Some(blob) = wire.inline_data {
        parts.push(data(blob));
    }
    parts.extend(signature.map(encrypted));
}

fn data(blob: WireBlob<'_>) -> Part<'_> {
    let (media_type, data) = (blob.mime_type.0, blob.data.0);
    let is = |kind: &str| media_type.starts_with(kind);
    if is("audio/") {
        return Part::Audio { media_type, data };
    }
    let is_picture = is("image/");
    let source = Source::Base64 { media_type, data };
    if is_picture {
        Part::Image { source, cache: None }
    } else {
        Part::Document { source, title: None, cache: None }
    }
}

/// Encodes an answer; when it was made has no place in Gemini's.
pub(in crate::dialect) fn encode(response: &Response<'_>, _created_s: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::begin(&mut out);
    let mut candidates = Array::begin(body.field("candidates"));
    let mut candidate = Object::begin(candidates.item());
    let mut content = Object::begin(candidate.field("content"));
    let mut parts = Array::begin(content.field("parts"));
    let mut broken = None;
    for part in &response.parts {
        match part {
            Part::ToolCall { name, arguments, .. } if !is_callable(arguments) => {
                broken = Some(malformed(name, arguments));
            }
            part => write_part(&mut parts, part),
        }
    }
    parts.end();
    content.text("role", "model");
    content.end();
    candidate.text("finishReason", finish_reason(response.finish, broken.is_some()));
    if let Some(broken) = broken {
        candidate.text("finishMessage", &broken);
    }
    write_citations(&mut candidate, &response.parts);
    candidate.number("index", 0);
    candidate.end();
    candidates.end();
    usage::write(body.field("usageMetadata"), &response.usage);
    body.text("modelVersion", &response.model);
    body.text("responseId", &response.id);
    body.end();
    out
}

/// Gemini's word. A call that is cut off in its arguments can't be said at all.
pub(super) fn finish_reason(finish: Finish, is_broken: bool) -> &'static str {
    match finish {
        Finish::Length => "MAX_TOKENS",
        Finish::ContentFilter => "SAFETY",
        Finish::Stop | Finish::ToolCalls if is_broken => "MALFORMED_FUNCTION_CALL",
        Finish::Stop | Finish::ToolCalls => "STOP",
    }
}

/// Whether Gemini can say these arguments: as an object, or none.
pub(super) fn is_callable(arguments: &str) -> bool {
    let arguments = arguments.trim();
    arguments.is_empty() || json::is_object(arguments)
}

/// What Gemini says of a call that is none; the start of its arguments, if they are long.
pub(super) fn malformed(name: &str, arguments: &str) -> String {
    let arguments = json::bounded(arguments, MALFORMED_BYTES_MAX);
    format!("Malformed function call: {name}({arguments})")
}

const MALFORMED_BYTES_MAX: usize = 1024;

fn write_citations(candidate: &mut Object<'_>, parts: &[Part<'_>]) {
    let citations = parts.iter().filter_map(|part| match part {
        Part::Citation(citation) => Some(citation),
        _ => None,
    });
    if citations.clone().next().is_none() {
        return;
    }
    let texts = parts.iter().filter_map(|part| match part {
        Part::Text { text, .. } => Some(&**text),
        _ => None,
    });
    citation::write(candidate, citations, &Measure::of(&texts.collect::<String>()));
}

fn write_part(parts: &mut Array<'_>, part: &Part<'_>) {
    match part {
        Part::Text { text, .. } => write_text(parts.item(), text, false, None),
        Part::Reasoning { text, signature } => {
            write_text(parts.item(), text, true, signature.as_deref());
        }
        Part::ReasoningEncrypted { data } if is_signature(data) => {
            write_text(parts.item(), "", false, Some(data));
        }
        Part::ToolCall { id, name, arguments } => write_call(parts.item(), id, name, arguments),
        Part::Refusal { text } => write_text(parts.item(), text, false, None),
        Part::Image { source: Source::Base64 { media_type, data }, .. }
        | Part::Document { source: Source::Base64 { media_type, data }, .. }
        | Part::Audio { media_type, data } => {
            let mut part = Object::begin(parts.item());
            let mut blob = Object::begin(part.field("inlineData"));
            blob.text("mimeType", media_type);
            blob.text("data", data);
            blob.end();
            part.end();
        }
        _ => {}
    }
}

/// Writes a text or a thought; a signature that Gemini's SDKs could not read is left out.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str, is_thought: bool, signature: Option<&str>) {
    let mut part = Object::begin(out);
    part.text("text", text);
    if is_thought {
        part.raw("thought", Raw("true"));
    }
    if let Some(signature) = signature.filter(|signature| is_signature(signature)) {
        part.text("thoughtSignature", signature);
    }
    part.end();
}

/// Writes a call with its arguments, which are callable.
pub(super) fn write_call(out: &mut Vec<u8>, id: &str, name: &str, arguments: &str) {
    let arguments = arguments.trim();
    let mut part = Object::begin(out);
    let mut call = Object::begin(part.field("functionCall"));
    call.text("id", id);
    call.text("name", name);
    // A model may write them over several lines, and an event's data is one.
    match arguments {
        "" => call.raw("args", Raw("{}")),
        lines if lines.contains(['\n', '\r']) => json::write_compact(call.field("args"), lines),
        line => call.raw("args", Raw(line)),
    }
    call.end();
    part.end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Usage;

    #[test]
    fn arguments_over_several_lines_are_one_line() {
        let mut out = Vec::new();
        write_call(&mut out, "c", "f", "{\r\n  \"a\": \"b  \\n\"\n}");
        let call = r#"{"functionCall":{"id":"c","name":"f","args":{"a":"b  \n"}}}"#;
        assert_eq!(String::from_utf8(out).unwrap(), call);
    }

    /// Shapes of <https://ai.google.dev/gemini-api/docs/function-calling> and
    /// <https://ai.google.dev/gemini-api/docs/thought-signatures>.
    const CALLS: &str = r#"{"candidates":[{"content":{"parts":[{"text":"hm","thought":true,"thoughtSignature":"QQ=="},{"text":"Let me look."},{"functionCall":{"name":"f","args":{"n":12345678901234567890123,"b":"x","a":[ ]}},"thoughtSignature":"Qg=="},{"functionCall":{"id":"own","name":"g"}}],"role":"model"},"finishReason":"STOP","index":0,"safetyRatings":[]}],"usageMetadata":{"promptTokenCount":8,"candidatesTokenCount":3,"totalTokenCount":15,"promptTokensDetails":[{"modality":"TEXT","tokenCount":8}],"thoughtsTokenCount":4},"modelVersion":"gemini-3-pro","responseId":"r1"}"#;

    #[test]
    fn an_answer_with_thoughts_and_calls() {
        let response = decode(CALLS.as_bytes()).unwrap();
        let call = |id: &'static str, name: &'static str, arguments: &'static str| Part::ToolCall {
            id: id.into(),
            name: name.into(),
            arguments: arguments.into(),
        };
        let expected = [
            Part::Reasoning { text: "hm".into(), signature: Some("QQ==".into()) },
            Part::Text { text: "Let me look.".into(), cache: None },
            Part::ReasoningEncrypted { data: "Qg==".into() },
            call("call_r1_0", "f", r#"{"n":12345678901234567890123,"b":"x","a":[ ]}"#),
            call("own", "g", "{}"),
        ];
        assert_eq!(response.parts, expected);
        assert_eq!((&*response.id, &*response.model), ("r1", "gemini-3-pro"));
        assert_eq!(response.finish, Finish::ToolCalls);
        let expected = Usage {
            prompt_tokens: 8,
            completion_tokens: 7,
            total_tokens: 15,
            reasoning_tokens: 4,
            ..Usage::default()
        };
        assert_eq!(response.usage, expected);
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let response = decode(CALLS.as_bytes()).unwrap();
        let out = encode(&response, 0);
        assert_eq!(decode(&out).unwrap(), response, "{}", String::from_utf8_lossy(&out));
    }

    #[test]
    fn a_signature_on_a_text_or_alone_stands_behind() {
        let body = r#"{"candidates":[{"content":{"parts":[{"text":"a","thoughtSignature":"QQ=="},{"text":"","thoughtSignature":"Qg=="},{"inlineData":{"mimeType":"image/png","data":"QQ=="}},{"executableCode":{"code":"x"}}]},"finishReason":"STOP"}]}"#;
        let parts = decode(body.as_bytes()).unwrap().parts;
        assert_eq!(parts.len(), 4, "{parts:?}");
        assert_eq!(parts[1], Part::ReasoningEncrypted { data: "QQ==".into() });
        assert_eq!(parts[2], Part::ReasoningEncrypted { data: "Qg==".into() });
    }

    #[test]
    fn a_refused_prompt_is_an_answer_and_nothing_is_none() {
        let body = r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":4,"totalTokenCount":4}}"#;
        let response = decode(body.as_bytes()).unwrap();
        assert_eq!((response.finish, response.parts.len()), (Finish::ContentFilter, 0));
        assert_eq!(response.usage.prompt_tokens, 4);
        for body in ["{}", r#"{"candidates":[]}"#, r#"{"promptFeedback":{"safetyRatings":[]}}"#, "[]", ""] {
            assert!(decode(body.as_bytes()).is_err(), "{body}");
        }
        let filtered = decode(br#"{"candidates":[{"finishReason":"SAFETY"}]}"#).unwrap();
        assert_eq!(filtered.finish, Finish::ContentFilter);
    }

    #[test]
    fn citations_sound_and_refusals_come_and_go() {
        let body = r#"{"candidates":[{"content":{"parts":[{"text":"hm","thought":true},{"text":"aé"},{"text":"b"},{"inlineData":{"mimeType":"audio/wav","data":"QQ=="}},{"inlineData":{"mimeType":"application/pdf","data":"QQ=="}}]},"finishReason":"STOP","citationMetadata":{"citationSources":[{"startIndex":1,"endIndex":4,"uri":"https://x/"}]}}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":7,"totalTokenCount":16,"promptTokensDetails":[{"modality":"TEXT","tokenCount":4},{"modality":"AUDIO","tokenCount":5}],"candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":6}]}}"#;
        let response = decode(body.as_bytes()).unwrap();
        let cited = Citation { url: Some("https://x/".into()), span: Some((1, 3)), ..Citation::default() };
        assert_eq!(response.parts[3], Part::Citation(cited));
        assert_eq!(response.parts[4], Part::Audio { media_type: "audio/wav".into(), data: "QQ==".into() });
        assert!(matches!(response.parts[5], Part::Document { .. }));
        assert_eq!((response.usage.audio_prompt_tokens, response.usage.audio_completion_tokens), (5, 6));
        let out = encode(&response, 0);
        assert_eq!(decode(&out).unwrap(), response, "{}", String::from_utf8_lossy(&out));
        let blocked =
            decode(br#"{"promptFeedback":{"blockReason":"SAFETY","blockReasonMessage":"No."}}"#).unwrap();
        assert_eq!(blocked.parts, [Part::Refusal { text: "No.".into() }]);
        let out = String::from_utf8(encode(&blocked, 0)).unwrap();
        assert!(out.contains(r#""parts":[{"text":"No."}]"#) && out.contains(r#""SAFETY""#), "{out}");
    }

    #[test]
    fn a_call_that_gemini_cannot_say_is_told_as_one() {
        let call = |arguments: &'static str| Part::ToolCall {
            id: "i".into(),
            name: "f".into(),
            arguments: arguments.into(),
        };
        let mut response = Response {
            id: "r".into(),
            model: "m".into(),
            parts: vec![call(" "), call("{\"a\":"), Part::ReasoningEncrypted { data: "{}".into() }],
            finish: Finish::ToolCalls,
            ..Response::default()
        };
        let out = String::from_utf8(encode(&response, 0)).unwrap();
        assert!(
            out.starts_with(
                r#"{"candidates":[{"content":{"parts":[{"functionCall":{"id":"i","name":"f","args":{}}}],"role":"model"},"finishReason":"MALFORMED_FUNCTION_CALL","finishMessage":"Malformed function call: f({\"a\":)","index":0}]"#
            ),
            "{out}"
        );
        response.finish = Finish::Length;
        let out = String::from_utf8(encode(&response, 0)).unwrap();
        assert!(out.contains(r#""finishReason":"MAX_TOKENS""#), "{out}");
    }
}

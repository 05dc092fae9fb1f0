//! What a dialect can say comes back as it was: `decode(encode(x)) == x` over made-up requests and answers, for OpenAI's chat
//! completions and Anthropic's messages. The makers are seeded, so a failure comes again.

use std::borrow::Cow;

use fastrand::Rng;

use super::{Quirks, anthropic, openai};
use crate::chat::{
    Citation, Effort, Finish, Format, Message, Part, Raw, Reasoning, Request, Response, Role, ServiceTier,
    Source, Tool, ToolChoice, Usage,
};

const ROUNDS: u64 = 3_000;

const NUMBERS: [&str; 6] = ["0.7", "1", "1.50", "-0.25", "12345678901234567890123", "1e-3"];
const SCHEMAS: [&str; 3] = [
    r#"{"type":"object","properties":{"z":{"type":"string"},"a":{"type":["number","null"]}},"required":["z","a"],"additionalProperties":false}"#,
    r#"{ "type": "object", "properties": {}, "additionalProperties": false }"#,
    r#"{"type":"object","additionalProperties":false}"#,
];
const OBJECTS: [&str; 3] = ["{}", r#"{"a":1.50,"b":[12345678901234567890123]}"#, r#"{"q\"":" é\n"}"#];

/// A text with something to show, such as escapes and characters of every length.
fn text(rng: &mut Rng) -> Cow<'static, str> {
    const PIECES: [&str; 10] = ["a", "Z", " ", "\n", "\"", "\\", "é", "漢", "😀", "\u{1}"];
    let more = (0..rng.usize(0..12)).filter_map(|_| PIECES.get(rng.usize(0..PIECES.len())).copied());
    Cow::Owned(more.chain(["x"]).collect())
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(0..from.len())]
}

fn maybe<T>(rng: &mut Rng, make: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    rng.bool().then(|| make(rng))
}

fn several<T>(rng: &mut Rng, most: usize, mut make: impl FnMut(&mut Rng) -> T) -> Vec<T> {
    (0..rng.usize(1..=most)).map(|_| make(rng)).collect()
}

fn number(rng: &mut Rng) -> Option<Raw<'static>> {
    maybe(rng, |rng| Raw(pick(rng, &NUMBERS)))
}

fn said(rng: &mut Rng) -> Part<'static> {
    Part::Text { text: text(rng), cache: None }
}

fn base64(media_type: &'static str) -> Source<'static> {
    Source::Base64 { media_type: media_type.into(), data: "QUJD".into() }
}

fn call(rng: &mut Rng, at: usize) -> Part<'static> {
    Part::ToolCall {
        id: format!("call_{at}").into(),
        name: "f".into(),
        arguments: pick(rng, &OBJECTS).into(),
    }
}

fn result(rng: &mut Rng, at: usize, is_error: bool) -> Part<'static> {
    Part::ToolResult { call_id: format!("call_{at}").into(), parts: several(rng, 2, said), is_error }
}

fn thought(rng: &mut Rng) -> Part<'static> {
    match rng.bool() {
        true => Part::Reasoning { text: text(rng), signature: Some(text(rng)) },
        false => Part::ReasoningEncrypted { data: text(rng) },
    }
}

fn choice(rng: &mut Rng) -> ToolChoice<'static> {
    match rng.u8(0..4) {
        0 => ToolChoice::Auto,
        1 => ToolChoice::None,
        2 => ToolChoice::Required,
        _ => ToolChoice::Named("t0".into()),
    }
}

fn tools(rng: &mut Rng, strict: impl Fn(&mut Rng) -> Option<bool>) -> Vec<Tool<'static>> {
    let tool = |rng: &mut Rng, at: usize| Tool {
        name: format!("t{at}").into(),
        description: maybe(rng, text),
        schema: Some(pick(rng, &SCHEMAS).into()),
        strict: strict(rng),
        cache: None,
    };
    (0..rng.usize(1..4)).map(|at| tool(rng, at)).collect()
}

fn usage(rng: &mut Rng, has_audio: bool) -> Usage {
    let [prompt_tokens, completion_tokens] = [(); 2].map(|()| rng.u64(20..10_000));
    let audio = |rng: &mut Rng| if has_audio { rng.u64(0..3) } else { 0 };
    Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens: prompt_tokens + completion_tokens,
        cached_read_tokens: rng.u64(0..5),
        cached_write_tokens: rng.u64(0..5),
        reasoning_tokens: rng.u64(0..5),
        audio_prompt_tokens: audio(rng),
        audio_completion_tokens: audio(rng),
    }
}

#[test]
fn requests_of_openai() {
    for seed in 0..ROUNDS {
        let request = openai_request(&mut Rng::with_seed(seed));
        let (body, dropped) = openai::request::encode(&request, "gpt-5.1", seed % 2 == 0, Quirks::OPENAI)
            .unwrap_or_else(|error| panic!("{seed}: {error}"));
        let shown = String::from_utf8_lossy(&body);
        let again = openai::request::decode(&body).unwrap_or_else(|error| panic!("{seed}: {error}: {shown}"));
        assert_eq!(again, request, "{seed}: {shown}");
        assert!(dropped.is_empty(), "{seed}: {dropped:?}");
    }
}

fn openai_request(rng: &mut Rng) -> Request<'static> {
    let mut messages = several(rng, 3, openai_message);
    if rng.bool() {
        let calls = rng.usize(1..4);
        let mut parts: Vec<_> = maybe(rng, said).into_iter().collect();
        parts.extend((0..calls).map(|at| call(rng, at)));
        messages.push(Message { role: Role::Assistant, parts });
        let results = (0..calls).map(|at| Message { role: Role::Tool, parts: vec![result(rng, at, false)] });
        messages.extend(results.collect::<Vec<_>>());
    }
    let tools = if rng.bool() { tools(rng, |rng| maybe(rng, Rng::bool)) } else { Vec::new() };
    let has_tools = !tools.is_empty();
    let efforts = [Effort::None, Effort::Minimal, Effort::Medium, Effort::ExtraHigh, Effort::Max];
    let reasoning = maybe(rng, |rng| Reasoning { effort: Some(pick(rng, &efforts)), ..Reasoning::default() });
    let tiers = [ServiceTier::Auto, ServiceTier::Standard, ServiceTier::Flex, ServiceTier::Priority];
    Request {
        messages,
        tools,
        tool_choice: maybe(rng, choice).filter(|_| has_tools),
        parallel_tool_calls: maybe(rng, |_| false).filter(|_| has_tools),
        max_tokens: maybe(rng, |rng| rng.u64(1..99_999)),
        temperature: number(rng),
        top_p: number(rng),
        seed: number(rng),
        presence_penalty: number(rng),
        frequency_penalty: number(rng),
        reasoning,
        service_tier: maybe(rng, |rng| pick(rng, &tiers)),
        metadata: maybe(rng, |rng| Raw(pick(rng, &OBJECTS))),
        stop: if rng.bool() { several(rng, 4, text) } else { Vec::new() },
        user: maybe(rng, text),
        format: openai_format(rng),
        extra: if rng.bool() { vec![("store".into(), Raw("false"))] } else { Vec::new() },
        ..Request::default()
    }
}

fn openai_message(rng: &mut Rng) -> Message<'static> {
    let (role, parts) = match rng.u8(0..4) {
        0 => (Role::System, several(rng, 2, said)),
        1 => (Role::Developer, several(rng, 2, said)),
        2 => (Role::User, several(rng, 3, openai_asked)),
        _ => {
            let mut parts = several(rng, 2, said);
            parts.extend(maybe(rng, |rng| Part::Refusal { text: text(rng) }));
            (Role::Assistant, parts)
        }
    };
    Message { role, parts }
}

fn openai_asked(rng: &mut Rng) -> Part<'static> {
    match rng.u8(0..5) {
        0 => Part::Image { source: Source::Url("https://example.com/a?b=\"c\"".into()), cache: None },
        1 => Part::Image { source: base64("image/png"), cache: None },
        2 => Part::Document { source: base64("application/pdf"), title: Some(text(rng)), cache: None },
        3 => {
            let media_type = pick(rng, &["audio/wav", "audio/mpeg"]);
            Part::Audio { media_type: media_type.into(), data: "QUJD".into() }
        }
        _ => said(rng),
    }
}

fn openai_format(rng: &mut Rng) -> Format<'static> {
    match rng.u8(0..3) {
        0 => Format::Text,
        1 => Format::JsonObject,
        _ => Format::JsonSchema {
            name: Some(text(rng)),
            description: maybe(rng, text),
            schema: pick(rng, &SCHEMAS).into(),
            strict: maybe(rng, Rng::bool),
        },
    }
}

/// A kind of model with the words that it takes.
#[derive(Clone, Copy)]
enum Kind {
    Classic,
    Budgets,
    Adaptive,
}

#[test]
fn requests_of_anthropic() {
    for seed in 0..ROUNDS {
        let kinds =
            [("m", Kind::Classic), ("claude-sonnet-4-5", Kind::Budgets), ("claude-opus-5", Kind::Adaptive)];
        let mut rng = Rng::with_seed(seed);
        let (model, kind) = pick(&mut rng, &kinds);
        let request = anthropic_request(&mut rng, kind);
        let (body, dropped) = anthropic::request::encode(&request, model, seed % 2 == 0)
            .unwrap_or_else(|error| panic!("{seed}: {error}"));
        let shown = String::from_utf8_lossy(&body);
        let again =
            anthropic::request::decode(&body).unwrap_or_else(|error| panic!("{seed}: {error}: {shown}"));
        assert_eq!(again, request, "{seed}: {shown}");
        assert!(dropped.is_empty(), "{seed}: {dropped:?}");
    }
}

fn anthropic_request(rng: &mut Rng, kind: Kind) -> Request<'static> {
    let system = maybe(rng, |rng| Message { role: Role::System, parts: several(rng, 2, marked) });
    let system_first = system.is_some();
    let mut messages: Vec<_> = system.into_iter().collect();
    messages.push(Message { role: Role::User, parts: several(rng, 3, anthropic_asked) });
    if rng.bool() {
        messages.extend(round_of_calls(rng));
    }
    let reasoning = anthropic_reasoning(rng, kind);
    let is_strict_kind = !matches!(kind, Kind::Classic);
    let tools = match rng.bool() {
        true => tools(rng, |rng| if is_strict_kind { maybe(rng, |_| true) } else { None }),
        false => Vec::new(),
    };
    let may_force = reasoning.is_none() && !tools.is_empty();
    let tool_choice = maybe(rng, choice).filter(|_| may_force);
    let is_single = matches!(tool_choice, Some(ToolChoice::Auto | ToolChoice::Required)) && rng.bool();
    let sampled = |rng: &mut Rng| maybe(rng, |_| Raw("0.70")).filter(|_| matches!(kind, Kind::Classic));
    Request {
        messages,
        system_first,
        tools,
        tool_choice,
        parallel_tool_calls: is_single.then_some(false),
        max_tokens: Some(rng.u64(9_000..20_000)),
        temperature: sampled(rng),
        top_p: sampled(rng),
        top_k: sampled(rng),
        reasoning,
        service_tier: maybe(rng, |rng| pick(rng, &[ServiceTier::Auto, ServiceTier::Standard])),
        stop: if rng.bool() { several(rng, 5, text) } else { Vec::new() },
        user: maybe(rng, text),
        format: anthropic_format(rng),
        extra: if rng.bool() { vec![("container".into(), Raw("\"c\""))] } else { Vec::new() },
        ..Request::default()
    }
}

fn anthropic_reasoning(rng: &mut Rng, kind: Kind) -> Option<Reasoning> {
    let is_shown = maybe(rng, Rng::bool);
    match kind {
        Kind::Classic => None,
        _ if rng.bool() => None,
        Kind::Budgets => {
            Some(Reasoning { budget_tokens: Some(rng.u64(1024..9_000)), is_shown, effort: None })
        }
        Kind::Adaptive => {
            let efforts = [Effort::Low, Effort::Medium, Effort::High, Effort::ExtraHigh, Effort::Max];
            Some(Reasoning { effort: maybe(rng, |rng| pick(rng, &efforts)), is_shown, budget_tokens: None })
        }
    }
}

fn anthropic_format(rng: &mut Rng) -> Format<'static> {
    match rng.bool() {
        true => Format::Text,
        false => Format::JsonSchema {
            name: None,
            description: None,
            schema: pick(rng, &SCHEMAS).into(),
            strict: Some(true),
        },
    }
}

fn mark(rng: &mut Rng) -> Option<Raw<'static>> {
    maybe(rng, |_| Raw(r#"{"type": "ephemeral"}"#))
}

fn marked(rng: &mut Rng) -> Part<'static> {
    Part::Text { text: text(rng), cache: mark(rng) }
}

fn anthropic_asked(rng: &mut Rng) -> Part<'static> {
    let source = match rng.u8(0..3) {
        0 => Source::Url(text(rng)),
        1 => base64("application/pdf"),
        _ => Source::Text(text(rng)),
    };
    match rng.u8(0..3) {
        0 => Part::Image { source: base64("image/webp"), cache: mark(rng) },
        1 => Part::Document { source, title: maybe(rng, text), cache: mark(rng) },
        _ => marked(rng),
    }
}

/// Thoughts first, as Anthropic has them, then what was said, calls, and their results in one turn.
fn round_of_calls(rng: &mut Rng) -> [Message<'static>; 2] {
    let calls = rng.usize(1..4);
    let mut parts = several(rng, 3, thought);
    parts.extend(maybe(rng, said));
    parts.extend((0..calls).map(|at| call(rng, at)));
    let results = (0..calls).map(|at| {
        let is_error = rng.bool();
        result(rng, at, is_error)
    });
    let results = Message { role: Role::Tool, parts: results.collect() };
    [Message { role: Role::Assistant, parts }, results]
}

#[test]
fn answers_of_openai() {
    for seed in 0..ROUNDS {
        let response = openai_response(&mut Rng::with_seed(seed));
        let body = openai::response::encode(&response, seed);
        let shown = String::from_utf8_lossy(&body);
        assert_eq!(openai::answer::decode(&body).unwrap(), response, "{seed}: {shown}");
    }
}

fn openai_response(rng: &mut Rng) -> Response<'static> {
    let mut parts = if rng.bool() { several(rng, 3, thought) } else { Vec::new() };
    if rng.bool() {
        parts.push(said(rng));
        parts.extend(several(rng, 2, |rng| Part::Citation(page(rng))));
    }
    let refusal = maybe(rng, |rng| Part::Refusal { text: text(rng) });
    let calls = if rng.bool() { rng.usize(1..4) } else { 0 };
    let finish = match (&refusal, calls, rng.u8(0..3)) {
        (_, _, 0) => Finish::Length,
        (Some(_), ..) | (_, _, 1) => Finish::ContentFilter,
        (None, 0, _) => Finish::Stop,
        _ => Finish::ToolCalls,
    };
    parts.extend(refusal);
    parts.extend((0..calls).map(|at| call(rng, at)));
    let tiers = [ServiceTier::Standard, ServiceTier::Flex, ServiceTier::Priority];
    let service_tier = maybe(rng, |rng| pick(rng, &tiers));
    Response { id: text(rng), model: text(rng), parts, finish, usage: usage(rng, true), service_tier }
}

fn page(rng: &mut Rng) -> Citation<'static> {
    let start = rng.u64(0..9);
    Citation {
        url: Some(text(rng)),
        title: Some(text(rng)),
        span: Some((start, start + rng.u64(0..9))),
        ..Citation::default()
    }
}

#[test]
fn answers_of_anthropic() {
    for seed in 0..ROUNDS {
        let response = anthropic_response(&mut Rng::with_seed(seed));
        let body = anthropic::answer::encode(&response);
        let shown = String::from_utf8_lossy(&body);
        assert_eq!(anthropic::response::decode(&body).unwrap(), response, "{seed}: {shown}");
    }
}

fn anthropic_response(rng: &mut Rng) -> Response<'static> {
    let mut parts = Vec::new();
    for at in 0..rng.usize(1..6) {
        match rng.u8(0..4) {
            0 => parts.push(thought(rng)),
            1 => parts.push(Part::Reasoning { text: text(rng), signature: None }),
            2 => parts.push(call(rng, at)),
            _ => {
                parts.push(said(rng));
                parts.extend(maybe(rng, |_| Part::Citation(of_document())));
            }
        }
    }
    let finish = pick(rng, &[Finish::Stop, Finish::Length, Finish::ToolCalls, Finish::ContentFilter]);
    let service_tier = maybe(rng, |rng| pick(rng, &[ServiceTier::Standard, ServiceTier::Priority]));
    Response { id: text(rng), model: text(rng), parts, finish, usage: usage(rng, false), service_tier }
}

fn of_document() -> Citation<'static> {
    const OWN: &str = r#"{"type": "char_location", "cited_text": "Blue.", "document_index": 0, "document_title": "Sky", "start_char_index": 0, "end_char_index": 5}"#;
    Citation {
        title: Some("Sky".into()),
        cited_text: Some("Blue.".into()),
        anthropic: Some(Raw(OWN)),
        ..Citation::default()
    }
}

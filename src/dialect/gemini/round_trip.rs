//! What Gemini can say of a neutral request or answer comes back as it was: `decode(encode(x)) == x`, of many made-up ones.

use fastrand::Rng;

use super::{decode, request, response};
use crate::chat::{
    Citation, Finish, Format, Message, Part, Raw, Reasoning, Request, Response, Role, Source, Tool,
    ToolChoice, Usage,
};

const ROUNDS: u64 = 500;

/// Budgets, and no call needs a signature.
const MODEL: &str = "gemini-2.5-flash";

const WORDS: [&str; 6] = ["a", "line\nbreak", "\"quoted\" \\", "漢字 é😀", " ", "{\"a\":1} and more"];
const SIGNATURES: [&str; 3] = ["QQ==", "Qg==", "+/8="];
const NUMBERS: [&str; 5] = ["0", "0.70", "-1e-7", "12345678901234567890123", "40"];

fn word(rng: &mut Rng) -> &'static str {
    rng.choice(WORDS).unwrap()
}

fn text(rng: &mut Rng) -> Part<'static> {
    Part::Text { text: word(rng).into(), cache: None }
}

fn number(rng: &mut Rng) -> Option<Raw<'static>> {
    rng.bool().then(|| Raw(rng.choice(NUMBERS).unwrap()))
}

fn some<T>(rng: &mut Rng, make: impl FnMut(&mut Rng) -> T) -> Vec<T> {
    many(rng, 0, make)
}

fn many<T>(rng: &mut Rng, least: usize, mut make: impl FnMut(&mut Rng) -> T) -> Vec<T> {
    let count = rng.usize(least..4);
    (0..count).map(|_| make(rng)).collect()
}

fn user_part(rng: &mut Rng) -> Part<'static> {
    let base64 =
        |media_type: &'static str| Source::Base64 { media_type: media_type.into(), data: "+/8=".into() };
    match rng.u8(0..6) {
        0 => Part::Image { source: base64("image/png"), cache: None },
        1 => Part::Image { source: Source::Url("https://example.com/a.png?b=c".into()), cache: None },
        2 => Part::Document { source: base64("application/pdf"), title: None, cache: None },
        3 => Part::Audio { media_type: "audio/wav".into(), data: "QQ==".into() },
        _ => text(rng),
    }
}

/// A turn of the model: a thought, words, and calls, the first of them perhaps signed.
fn model_parts(rng: &mut Rng, next_id: &mut u32) -> Vec<Part<'static>> {
    let signature = |rng: &mut Rng| rng.bool().then(|| rng.choice(SIGNATURES).unwrap().into());
    let mut parts = Vec::new();
    if rng.bool() {
        parts.push(Part::Reasoning { text: word(rng).into(), signature: signature(rng) });
    }
    parts.extend(many(rng, 1, text));
    let calls = some(rng, |rng| {
        *next_id += 1;
        let arguments = rng.choice(["{}", r#"{"n":12345678901234567890123,"b":[ ]}"#]).unwrap();
        let name = rng.choice(["f", "g"]).unwrap();
        Part::ToolCall { id: format!("id-{next_id}").into(), name: name.into(), arguments: arguments.into() }
    });
    if !calls.is_empty() && rng.bool() {
        parts.push(Part::ReasoningEncrypted { data: rng.choice(SIGNATURES).unwrap().into() });
    }
    parts.extend(calls);
    parts
}

/// One result for each call of a turn, in any order.
fn results(rng: &mut Rng, calls: &[Part<'static>]) -> Vec<Part<'static>> {
    let mut results: Vec<Part<'static>> = calls
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall { id, .. } => Some(id.clone()),
            _ => None,
        })
        .map(|call_id| Part::ToolResult { call_id, parts: vec![text(rng)], is_error: rng.bool() })
        .collect();
    rng.shuffle(&mut results);
    results
}

fn messages(rng: &mut Rng) -> (Vec<Message<'static>>, bool) {
    let (mut messages, mut next_id) = (Vec::new(), 0);
    let system_first = rng.bool();
    if system_first {
        messages.push(Message { role: Role::System, parts: many(rng, 1, text) });
    }
    messages.push(Message { role: Role::User, parts: many(rng, 1, user_part) });
    for _ in 0..rng.u8(0..3) {
        let said = model_parts(rng, &mut next_id);
        let results = results(rng, &said);
        messages.push(Message { role: Role::Assistant, parts: said });
        if !results.is_empty() {
            messages.push(Message { role: Role::Tool, parts: results });
        }
        messages.push(Message { role: Role::User, parts: many(rng, 1, user_part) });
    }
    (messages, system_first)
}

fn tool(name: &'static str, rng: &mut Rng) -> Tool<'static> {
    let schema = rng
        .choice([None, Some(r#"{"type": "object","properties":{"z":{},"a":{"type":"STRING"}}}"#)])
        .unwrap();
    let description = rng.bool().then(|| word(rng).into());
    Tool { name: name.into(), description, schema: schema.map(Into::into), strict: None, cache: None }
}

fn any_request(rng: &mut Rng) -> Request<'static> {
    let (messages, system_first) = messages(rng);
    let tools = if rng.bool() { vec![tool("f", rng), tool("g", rng)] } else { Vec::new() };
    let both = || vec!["f".into(), "g".into()];
    let choices = [
        ToolChoice::Auto,
        ToolChoice::None,
        ToolChoice::Required,
        ToolChoice::Named("g".into()),
        ToolChoice::Allowed { required: true, names: both() },
    ];
    let tool_choice = if tools.is_empty() || rng.bool() { None } else { rng.choice(choices) };
    let schema = Format::JsonSchema {
        name: None,
        description: None,
        schema: r#"{"type": "object","z":[ ]}"#.into(),
        strict: None,
    };
    let budget = Reasoning { effort: None, budget_tokens: Some(1024), is_shown: Some(true) };
    Request {
        messages,
        system_first,
        tools,
        tool_choice,
        max_tokens: rng.bool().then(|| rng.u64(1..100_000)),
        temperature: number(rng),
        top_p: number(rng),
        top_k: number(rng),
        seed: number(rng),
        presence_penalty: number(rng),
        frequency_penalty: number(rng),
        reasoning: rng.bool().then_some(budget),
        stop: some(rng, |rng| word(rng).into()),
        format: rng.choice([Format::Text, Format::JsonObject, schema]).unwrap(),
        ..Request::default()
    }
}

#[test]
fn requests() {
    for seed in 0..ROUNDS {
        let request = any_request(&mut Rng::with_seed(seed));
        let (out, dropped) = request::encode(&request, MODEL, false).unwrap();
        let shown = String::from_utf8_lossy(&out);
        assert_eq!(dropped, Vec::<String>::new(), "{seed}: {shown}");
        assert_eq!(decode::decode(&out).unwrap(), request, "{seed}: {shown}");
    }
}

fn any_response(rng: &mut Rng) -> Response<'static> {
    let mut parts = model_parts(rng, &mut 0);
    let has_calls = parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    let last = parts.iter().rposition(|part| matches!(part, Part::Text { .. })).unwrap();
    let cited = some(rng, |rng| Citation {
        url: Some("https://example.com/".into()),
        title: rng.bool().then(|| word(rng).into()),
        // The first letter of any text.
        span: rng.bool().then_some((0, 1)),
        ..Citation::default()
    });
    parts.splice(last + 1..last + 1, cited.into_iter().map(Part::Citation));
    if !has_calls && rng.bool() {
        parts.push(Part::Audio { media_type: "audio/wav".into(), data: "QQ==".into() });
    }
    let finishes =
        [Finish::Length, Finish::ContentFilter, if has_calls { Finish::ToolCalls } else { Finish::Stop }];
    let [audio_prompt_tokens, rest, thoughts, audio_completion_tokens, candidates] =
        [(); 5].map(|()| rng.u64(0..1000));
    let (prompt_tokens, reasoning_tokens) = (audio_prompt_tokens + rest, thoughts);
    let completion_tokens = thoughts + audio_completion_tokens + candidates;
    Response {
        id: "r".into(),
        model: word(rng).into(),
        parts,
        finish: rng.choice(finishes).unwrap(),
        usage: Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
            cached_read_tokens: rng.u64(0..=prompt_tokens),
            reasoning_tokens,
            audio_prompt_tokens,
            audio_completion_tokens,
            ..Usage::default()
        },
        ..Response::default()
    }
}

#[test]
fn answers() {
    for seed in 0..ROUNDS {
        let answer = any_response(&mut Rng::with_seed(seed));
        let out = response::encode(&answer, 0);
        assert_eq!(response::decode(&out).unwrap(), answer, "{seed}: {}", String::from_utf8_lossy(&out));
    }
}

//! What Cohere can say of a neutral request or answer comes back as it was: `decode(encode(x)) == x`, of many made-up ones.

use fastrand::Rng;

use super::{answer, request, response};
use crate::chat::{
    Citation, Effort, Finish, Format, Message, Part, Raw, Reasoning, Request, Response, Role, Source, Tool,
    ToolChoice, Usage,
};

const ROUNDS: u64 = 1_000;
/// One that has plans, and one that thinks.
const MODELS: [&str; 2] = ["command-a-03-2025", "command-a-reasoning-08-2025"];
const WORDS: [&str; 6] = ["a", "line\nbreak", "\"quoted\" \\", "漢字 é😀", " ", "{\"a\":1} and more"];
const NUMBERS: [&str; 4] = ["0", "0.70", "1e-1", "0.12345678901234567890"];
const OBJECTS: [&str; 2] = ["{}", r#"{"n":12345678901234567890123,"b":[ ]}"#];

fn word(rng: &mut Rng) -> &'static str {
    rng.choice(WORDS).unwrap()
}

fn text(rng: &mut Rng) -> Part<'static> {
    Part::Text { text: word(rng).into(), cache: None }
}

fn number(rng: &mut Rng) -> Option<Raw<'static>> {
    rng.bool().then(|| Raw(rng.choice(NUMBERS).unwrap()))
}

fn many<T>(rng: &mut Rng, least: usize, mut make: impl FnMut(&mut Rng) -> T) -> Vec<T> {
    let count = rng.usize(least..4);
    (0..count).map(|_| make(rng)).collect()
}

fn asked(rng: &mut Rng) -> Part<'static> {
    let inline = Source::Base64 { media_type: "image/png".into(), data: "+/8=".into() };
    match rng.u8(0..4) {
        0 => Part::Image { source: inline, cache: None },
        1 => Part::Image { source: Source::Url("https://example.com/a.png?b=c".into()), cache: None },
        _ => text(rng),
    }
}

fn document(rng: &mut Rng) -> Part<'static> {
    let title = rng.bool().then(|| word(rng).into());
    Part::Document { source: Source::Text(word(rng).into()), title, cache: None }
}

fn thought(rng: &mut Rng) -> Part<'static> {
    Part::Reasoning { text: word(rng).into(), signature: None }
}

fn call(rng: &mut Rng, at: usize) -> Part<'static> {
    let arguments = rng.choice(OBJECTS).unwrap();
    Part::ToolCall { id: format!("call_{at}").into(), name: "f".into(), arguments: arguments.into() }
}

/// A round of calls and their results, in the order in which each kind of model says what it has thought.
fn round(rng: &mut Rng, thinks: bool) -> Vec<Message<'static>> {
    let calls = rng.usize(1..4);
    let (thought, said) = (rng.bool().then(|| thought(rng)), rng.bool().then(|| text(rng)));
    let mut parts: Vec<_> =
        if thinks { [thought, said] } else { [said, thought] }.into_iter().flatten().collect();
    parts.extend((0..calls).map(|at| call(rng, at)));
    let mut messages = vec![Message { role: Role::Assistant, parts }];
    for at in 0..calls {
        let parts = many(rng, 1, |rng| if rng.bool() { document(rng) } else { text(rng) });
        let part = Part::ToolResult { call_id: format!("call_{at}").into(), parts, is_error: false };
        messages.push(Message { role: Role::Tool, parts: vec![part] });
    }
    messages
}

fn messages(rng: &mut Rng, thinks: bool) -> Vec<Message<'static>> {
    let mut messages = Vec::new();
    if rng.bool() {
        messages.push(Message { role: Role::System, parts: many(rng, 1, text) });
    }
    messages.push(Message { role: Role::User, parts: many(rng, 1, asked) });
    if rng.bool() {
        let mut parts: Vec<_> = (thinks && rng.bool()).then(|| thought(rng)).into_iter().collect();
        parts.extend(many(rng, 1, text));
        messages.push(Message { role: Role::Assistant, parts });
        // Documents stand behind the last question.
        let mut parts = many(rng, 1, asked);
        parts.extend(many(rng, 0, document));
        messages.push(Message { role: Role::User, parts });
    }
    if rng.bool() {
        messages.extend(round(rng, thinks));
    }
    messages
}

fn tool(name: &'static str, rng: &mut Rng) -> Tool<'static> {
    let schema = rng.choice([OBJECTS[1], r#"{"type": "object"}"#]).unwrap();
    let description = rng.bool().then(|| word(rng).into());
    Tool { name: name.into(), description, schema: Some(schema.into()), strict: None, cache: None }
}

fn any_request(rng: &mut Rng, thinks: bool) -> Request<'static> {
    let messages = messages(rng, thinks);
    let has_documents =
        messages.iter().any(|message| message.parts.iter().any(|part| matches!(part, Part::Document { .. })));
    let tools = if rng.bool() { vec![tool("f", rng), tool("g", rng)] } else { Vec::new() };
    let choice = rng.choice([None, Some(ToolChoice::None), Some(ToolChoice::Required)]).unwrap();
    let schema = OBJECTS[1].into();
    let schema = Format::JsonSchema { name: None, description: None, schema, strict: Some(true) };
    let format = rng.choice([Format::Text, Format::JsonObject, schema]).unwrap();
    let is_beside = has_documents || !tools.is_empty();
    let off = Reasoning { effort: Some(Effort::None), ..Reasoning::default() };
    let budget = Reasoning { budget_tokens: Some(rng.u64(1..9_000)), ..Reasoning::default() };
    Request {
        messages,
        tool_choice: choice.filter(|_| !tools.is_empty()),
        tools,
        max_tokens: rng.bool().then(|| rng.u64(1..99_999)),
        temperature: number(rng),
        top_p: rng.bool().then_some(Raw("0.750")),
        top_k: rng.bool().then_some(Raw("40")),
        seed: rng.bool().then_some(Raw("18446744073709551615")),
        presence_penalty: number(rng),
        frequency_penalty: number(rng),
        reasoning: rng
            .choice([None, Some(off), Some(budget), Some(Reasoning::default())])
            .unwrap()
            .filter(|_| thinks),
        stop: many(rng, 0, |rng| word(rng).into()),
        format: if is_beside { Format::Text } else { format },
        extra: if rng.bool() { vec![("safety_mode".into(), Raw("\"STRICT\""))] } else { Vec::new() },
        ..Request::default()
    }
}

#[test]
fn requests() {
    for seed in 0..ROUNDS {
        let thinks = seed % 2 == 1;
        let mut request = any_request(&mut Rng::with_seed(seed), thinks);
        let (out, dropped) = request::encode(&request, MODELS[usize::from(thinks)], seed % 3 == 0).unwrap();
        let shown = String::from_utf8_lossy(&out);
        assert_eq!(dropped, Vec::<String>::new(), "{seed}: {shown}");
        for message in request.messages.iter_mut().filter(|message| message.role == Role::Assistant) {
            // A plan stands beside the content, and is read behind it.
            message.parts.sort_by_key(|part| matches!(part, Part::ToolCall { .. }));
        }
        assert_eq!(request::decode(&out).unwrap(), request, "{seed}: {shown}");
    }
}

fn any_response(rng: &mut Rng) -> Response<'static> {
    let mut parts: Vec<_> = rng.bool().then(|| thought(rng)).into_iter().collect();
    parts.extend(many(rng, 0, text));
    let chars =
        |part: &Part<'_>| if let Part::Text { text, .. } = part { text.chars().count() as u64 } else { 0 };
    let said: u64 = parts.iter().map(chars).sum();
    if said > 0 {
        parts.extend(many(rng, 0, |rng| {
            let start = rng.u64(0..said);
            Part::Citation(Citation {
                url: rng.bool().then(|| "https://example.com/".into()),
                title: rng.bool().then(|| word(rng).into()),
                cited_text: rng.bool().then(|| word(rng).into()),
                span: Some((start, start + rng.u64(0..3))),
                anthropic: None,
            })
        }));
    }
    let calls = if rng.bool() { rng.usize(1..4) } else { 0 };
    parts.extend((0..calls).map(|at| call(rng, at)));
    let whole = if calls > 0 { Finish::ToolCalls } else { Finish::Stop };
    let [prompt_tokens, completion_tokens] = [(); 2].map(|()| rng.u64(5..9_999));
    Response {
        id: word(rng).into(),
        parts,
        finish: rng.choice([whole, Finish::Length, Finish::ContentFilter]).unwrap(),
        usage: Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
            cached_read_tokens: rng.u64(0..5),
            ..Usage::default()
        },
        ..Response::default()
    }
}

#[test]
fn answers() {
    for seed in 0..ROUNDS {
        let answer = any_response(&mut Rng::with_seed(seed));
        let out = response::encode(&answer);
        assert_eq!(answer::decode(&out).unwrap(), answer, "{seed}: {}", String::from_utf8_lossy(&out));
    }
}

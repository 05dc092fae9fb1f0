//! What Converse can say comes back as it was: `decode(encode(x)) == x` over made-up requests, answers and streams. The makers
//! are seeded, so a failure comes again.

use fastrand::Rng;

use super::*;
use crate::chat::{
    Citation, Event, Format, Message, Part, Raw, Request, Response, Role, Source, Tool, ToolChoice, Usage,
};
use crate::dialect::event_stream::frames;

const ROUNDS: u64 = 3_000;
/// It has marks, samplings of all kinds, and neither schemas nor thoughts to be tuned.
const HAIKU: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const SONNET: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";
const OBJECTS: [&str; 3] = ["{}", r#"{"a":1.50,"b":[12345678901234567890123]}"#, r#"{"q\"":" é\n"}"#];

fn text(rng: &mut Rng) -> Cow<'static, str> {
    const PIECES: [&str; 9] = ["a", " ", "\n", "\"", "\\", "é", "漢", "😀", "\u{1}"];
    (0..rng.usize(0..9)).map(|_| PIECES[rng.usize(0..PIECES.len())]).chain(["x"]).collect()
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(0..from.len())]
}

fn maybe<T>(rng: &mut Rng, make: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    rng.bool().then(|| make(rng))
}

fn mark(rng: &mut Rng) -> Option<Raw<'static>> {
    let marks = [r#"{"type":"ephemeral"}"#, r#"{"type":"ephemeral","ttl":"1h"}"#];
    maybe(rng, |rng| Raw(pick(rng, &marks)))
}

fn said(rng: &mut Rng) -> Part<'static> {
    Part::Text { text: text(rng), cache: mark(rng) }
}

fn bytes(media_type: &'static str) -> Source<'static> {
    Source::Base64 { media_type: media_type.into(), data: "QUJD".into() }
}

fn asked(rng: &mut Rng, at: usize) -> Part<'static> {
    match rng.u8(0..4) {
        0 => Part::Image { source: bytes("image/webp"), cache: mark(rng) },
        1 => {
            let title = Some(format!("document {at}").into());
            Part::Document { source: bytes("application/pdf"), title, cache: mark(rng) }
        }
        2 => Part::Audio { media_type: "audio/wav".into(), data: "QUJD".into() },
        _ => said(rng),
    }
}

fn thought(rng: &mut Rng) -> Part<'static> {
    match rng.bool() {
        true => Part::Reasoning { text: text(rng), signature: Some(text(rng)) },
        false => Part::ReasoningEncrypted { data: "QUJD".into() },
    }
}

fn call(rng: &mut Rng, at: usize) -> Part<'static> {
    let (id, name) = (format!("call_{at}").into(), format!("t{at}").into());
    Part::ToolCall { id, name, arguments: pick(rng, &OBJECTS).into() }
}

fn request(rng: &mut Rng) -> Request<'static> {
    let system = maybe(rng, |rng| Message { role: Role::System, parts: vec![said(rng), said(rng)] });
    let system_first = system.is_some();
    let mut messages: Vec<_> = system.into_iter().collect();
    messages
        .push(Message { role: Role::User, parts: (0..rng.usize(1..4)).map(|at| asked(rng, at)).collect() });
    let calls = rng.usize(0..4);
    if calls > 0 {
        let mut parts: Vec<_> = (0..rng.usize(0..3)).map(|_| thought(rng)).collect();
        parts.extend(maybe(rng, said));
        parts.extend((0..calls).map(|at| call(rng, at)));
        messages.push(Message { role: Role::Assistant, parts });
        let result = |rng: &mut Rng, at: usize| Part::ToolResult {
            call_id: format!("call_{at}").into(),
            parts: vec![Part::Text { text: text(rng), cache: None }],
            is_error: rng.bool(),
        };
        messages.push(Message { role: Role::Tool, parts: (0..calls).map(|at| result(rng, at)).collect() });
    }
    let tools: Vec<_> = (0..calls)
        .map(|at| Tool {
            name: format!("t{at}").into(),
            description: maybe(rng, text),
            schema: Some(r#"{"type":"object","z":1.50}"#.into()),
            strict: None,
            cache: mark(rng),
        })
        .collect();
    let choices = [ToolChoice::Auto, ToolChoice::Required, ToolChoice::Named("t0".into())];
    let tool_choice = maybe(rng, |rng| choices[rng.usize(0..3)].clone()).filter(|_| !tools.is_empty());
    let tiers = [ServiceTier::Standard, ServiceTier::Flex, ServiceTier::Priority];
    Request {
        messages,
        system_first,
        tools,
        tool_choice,
        max_tokens: maybe(rng, |rng| rng.u64(1..9_000)),
        temperature: maybe(rng, |_| Raw("0.70")),
        top_p: maybe(rng, |_| Raw("0.9")),
        top_k: maybe(rng, |_| Raw("40")),
        stop: if rng.bool() { vec![text(rng), text(rng)] } else { Vec::new() },
        metadata: maybe(rng, |_| Raw(r#"{"a":"b"}"#)),
        service_tier: maybe(rng, |rng| pick(rng, &tiers)),
        extra: maybe(rng, |_| ("guardrailConfig".into(), Raw(r#"{"guardrailIdentifier":"g"}"#)))
            .into_iter()
            .collect(),
        ..Request::default()
    }
}

#[test]
fn requests() {
    for seed in 0..ROUNDS {
        let request = request(&mut Rng::with_seed(seed));
        let (body, dropped) = request::encode(&request, HAIKU, false).unwrap();
        let shown = String::from_utf8_lossy(&body);
        let again = decode::decode(&body).unwrap_or_else(|error| panic!("{seed}: {error}: {shown}"));
        assert_eq!((again, dropped), (request, Vec::new()), "{seed}: {shown}");
    }
}

#[test]
fn schemas() {
    for seed in 0..100 {
        let mut rng = Rng::with_seed(seed);
        let format = Format::JsonSchema {
            name: maybe(&mut rng, text),
            description: maybe(&mut rng, text),
            schema: pick(&mut rng, &OBJECTS).into(),
            strict: Some(true),
        };
        let messages =
            vec![Message { role: Role::User, parts: vec![Part::Text { text: "a".into(), cache: None }] }];
        let request = Request { messages, format, ..Request::default() };
        let (body, dropped) = request::encode(&request, SONNET, false).unwrap();
        assert_eq!((decode::decode(&body).unwrap(), dropped), (request, Vec::new()), "{seed}");
    }
}

fn usage(rng: &mut Rng) -> Usage {
    let [prompt_tokens, completion_tokens] = [(); 2].map(|()| rng.u64(20..10_000));
    Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens: prompt_tokens + completion_tokens,
        cached_read_tokens: rng.u64(0..9),
        cached_write_tokens: rng.u64(0..9),
        ..Usage::default()
    }
}

fn cited(rng: &mut Rng) -> Citation<'static> {
    Citation {
        url: maybe(rng, text),
        title: maybe(rng, text),
        cited_text: maybe(rng, text),
        ..Citation::default()
    }
}

const FINISHES: [Finish; 4] = [Finish::Stop, Finish::Length, Finish::ToolCalls, Finish::ContentFilter];

#[test]
fn answers() {
    for seed in 0..ROUNDS {
        let mut rng = Rng::with_seed(seed);
        let mut parts = Vec::new();
        for at in 0..rng.usize(0..6) {
            match rng.u8(0..3) {
                0 => parts.push(thought(&mut rng)),
                1 => parts.push(call(&mut rng, at)),
                _ => {
                    parts.push(Part::Text { text: text(&mut rng), cache: None });
                    parts.extend(maybe(&mut rng, |rng| Part::Citation(cited(rng))));
                }
            }
        }
        let tiers = [ServiceTier::Standard, ServiceTier::Flex, ServiceTier::Priority];
        let response = Response {
            parts,
            finish: pick(&mut rng, &FINISHES),
            usage: usage(&mut rng),
            service_tier: maybe(&mut rng, |rng| pick(rng, &tiers)),
            ..Response::default()
        };
        let body = answer::encode(&response);
        let shown = String::from_utf8_lossy(&body);
        assert_eq!(response::decode(&body).unwrap(), response, "{seed}: {shown}");
    }
}

/// Events as texts, pieces of one thing joined.
fn told(event: &Event<'_>, usage: Option<Usage>) -> String {
    match event {
        Event::Start { .. } => "start".to_owned(),
        Event::End => format!("end {usage:?}"),
        event => format!("{event:?}"),
    }
}

#[test]
fn streams() {
    for seed in 0..ROUNDS {
        let mut rng = Rng::with_seed(seed);
        let (mut encoder, mut out, mut expected) = (stream::Encoder::default(), Vec::new(), Vec::new());
        let usage = usage(&mut rng);
        let mut say = |event: Event<'_>| {
            expected.push(told(&event, Some(usage)));
            encoder.encode(event, Some(usage), &mut out).unwrap();
        };
        say(Event::Start { id: "", model: "" });
        let (mut thoughts, mut calls) = (0, 0);
        for _ in 0..rng.usize(0..7) {
            let (first, second) = (text(&mut rng), text(&mut rng));
            match rng.u8(0..5) {
                0 => {
                    say(Event::Reasoning { index: thoughts, text: &first });
                    say(Event::Reasoning { index: thoughts, text: &second });
                    say(Event::ReasoningSignature { index: thoughts, signature: &first });
                    thoughts += 1;
                }
                1 => {
                    say(Event::ReasoningEncrypted { index: thoughts, data: &first });
                    thoughts += 1;
                }
                2 => {
                    say(Event::ToolCall { index: calls, id: "c", name: &first });
                    say(Event::ToolArguments { index: calls, json: "{\"a\"" });
                    say(Event::ToolArguments { index: calls, json: ": 1.50}" });
                    calls += 1;
                }
                3 => say(Event::Citation(&cited(&mut rng))),
                _ => say(Event::Text(&second)),
            }
        }
        say(Event::Finish(pick(&mut rng, &FINISHES)));
        say(Event::End);
        let (mut decoder, mut again) = (stream::Decoder::default(), Vec::new());
        for frame in frames(&out).map(Result::unwrap) {
            let kind = frame.text(":event-type").map(str::as_bytes);
            let taken = decoder.decode(kind, frame.payload, &mut |event, usage| {
                again.push(told(&event, usage));
                Ok(())
            });
            taken.unwrap();
        }
        assert_eq!(again, expected, "{seed}");
    }
}

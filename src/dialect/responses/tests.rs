//! Round trips: what is written reads back as what it was, for random requests, answers and streams. A failure names its
//! seed.

use fastrand::Rng;

use super::*;
use crate::chat::{
    Citation, Effort, Event, Format, Message, Part, Raw, Reasoning, Request, Response, Role, ServiceTier,
    Source, Tool, ToolChoice, Usage,
};
use crate::dialect::StreamOptions;

const SEEDS: u64 = 2_000;

#[test]
fn requests_read_back() {
    for seed in 0..SEEDS {
        let request = request(&mut Rng::with_seed(seed));
        let (body, dropped) = request::encode(&request, "m", seed % 2 == 0).unwrap();
        assert!(dropped.is_empty(), "seed {seed}: {dropped:?}");
        let shown = String::from_utf8_lossy(&body);
        let again = request::decode(&body).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{shown}"));
        assert_eq!(again, request, "seed {seed}\n{shown}");
    }
}

#[test]
fn answers_read_back() {
    for seed in 0..SEEDS {
        let response = response(&mut Rng::with_seed(seed));
        let body = response::encode(&response, seed, b"");
        let shown = String::from_utf8_lossy(&body);
        let again = answer::decode(&body).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{shown}"));
        assert_eq!(again, response, "seed {seed}\n{shown}");
    }
}

#[test]
fn streams_read_back_and_end_with_the_whole_answer() {
    for seed in 0..SEEDS {
        let rng = &mut Rng::with_seed(seed);
        let response = Response { service_tier: None, ..response(rng) };
        let mut encoder = stream::Encoder::new(StreamOptions { created_s: seed, ..StreamOptions::default() });
        let mut out = Vec::new();
        say(&response, rng, &mut |event| encoder.encode(event, Some(response.usage), &mut out).unwrap());
        let text = String::from_utf8(out).unwrap();
        let events: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        let mut decoder = stream::Decoder::default();
        let mut heard = Heard::default();
        for data in &events {
            let mut each = |event: Event<'_>, _: Option<Usage>| {
                heard.hear(event);
                Ok(())
            };
            decoder.decode(data.as_bytes(), &mut each).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
        heard.response.usage = decoder.usage().unwrap();
        assert!(heard.is_ended, "seed {seed}");
        assert_eq!(heard.response, response, "seed {seed}\n{text}");
        let whole = String::from_utf8(response::encode(&response, seed, b"")).unwrap();
        assert!(events.last().unwrap().contains(&whole), "seed {seed}\n{text}\n{whole}");
    }
}

/// What a client hands back of an answer: its thoughts, calls and words as they were.
#[test]
fn items_that_are_handed_back_read_back() {
    for seed in 0..SEEDS {
        let mut response = response(&mut Rng::with_seed(seed));
        let openais = |part: &Part<'_>| match part {
            Part::Reasoning { signature: Some(proof), .. } | Part::ReasoningEncrypted { data: proof } => {
                proof.starts_with(thought::OWN)
            }
            _ => false,
        };
        response.parts.retain(|part| !openais(part) && !matches!(part, Part::Citation(_)));
        let body: serde_json::Value =
            serde_json::from_slice(&response::encode(&response, seed, b"")).unwrap();
        let input = serde_json::json!({ "input": body["output"] }).to_string();
        let request = request::decode(input.as_bytes()).unwrap();
        let parts: Vec<Part<'_>> = request.messages.into_iter().flat_map(|message| message.parts).collect();
        assert_eq!(joined(parts), joined(response.parts), "seed {seed}\n{input}");
        assert!(request.dropped.is_empty(), "seed {seed}: {:?}", request.dropped);
    }
}

/// Texts that follow each other as one.
fn joined(parts: Vec<Part<'_>>) -> Vec<Part<'_>> {
    let mut all: Vec<Part<'_>> = Vec::new();
    for part in parts {
        match (all.last_mut(), part) {
            (Some(Part::Text { text: before, .. }), Part::Text { text, .. }) => {
                before.to_mut().push_str(&text);
            }
            (Some(Part::Refusal { text: before }), Part::Refusal { text }) => {
                before.to_mut().push_str(&text);
            }
            (_, part) => all.push(part),
        }
    }
    all
}

/// Events as the parts that they say.
#[derive(Default)]
struct Heard {
    response: Response<'static>,
    is_ended: bool,
}

impl Heard {
    fn hear(&mut self, event: Event<'_>) {
        let parts = &mut self.response.parts;
        match (event, parts.last_mut()) {
            (Event::Start { id, model }, _) => {
                self.response.id = id.to_owned().into();
                self.response.model = model.to_owned().into();
            }
            (Event::Text(more), Some(Part::Text { text, .. }))
            | (Event::Refusal(more), Some(Part::Refusal { text })) => text.to_mut().push_str(more),
            (Event::Text(text), _) => parts.push(Part::Text { text: text.to_owned().into(), cache: None }),
            (Event::Refusal(text), _) => parts.push(Part::Refusal { text: text.to_owned().into() }),
            (Event::Citation(citation), _) => parts.push(Part::Citation(Citation {
                url: citation.url.as_ref().map(|text| text.to_string().into()),
                title: citation.title.as_ref().map(|text| text.to_string().into()),
                span: citation.span,
                ..Citation::default()
            })),
            (Event::Reasoning { index, text: more }, _) => match self.thought(index) {
                Some(Part::Reasoning { text, .. }) => text.to_mut().push_str(more),
                _ => self.think(index, Part::Reasoning { text: more.to_owned().into(), signature: None }),
            },
            (Event::ReasoningSignature { index, signature: proof }, _) => {
                let proof = Some(proof.to_owned().into());
                match self.thought(index) {
                    Some(Part::Reasoning { signature, .. }) => *signature = proof,
                    _ => self.think(index, Part::Reasoning { text: "".into(), signature: proof }),
                }
            }
            (Event::ReasoningEncrypted { index, data }, _) => {
                self.think(index, Part::ReasoningEncrypted { data: data.to_owned().into() });
            }
            (Event::ToolCall { id, name, .. }, _) => parts.push(Part::ToolCall {
                id: id.to_owned().into(),
                name: name.to_owned().into(),
                arguments: "".into(),
            }),
            (Event::ToolArguments { json, .. }, Some(Part::ToolCall { arguments, .. })) => {
                arguments.to_mut().push_str(json);
            }
            (Event::ToolArguments { .. }, _) => panic!("arguments of no call"),
            (Event::Finish(finish), _) => self.response.finish = finish,
            (Event::End, _) => self.is_ended = true,
        }
    }

    fn think(&mut self, index: u32, part: Part<'static>) {
        assert_eq!(index as usize, self.thoughts().count(), "thoughts are counted from 0");
        self.response.parts.push(part);
    }

    fn thought(&mut self, index: u32) -> Option<&mut Part<'static>> {
        self.thoughts().nth(index as usize)
    }

    fn thoughts(&mut self) -> impl Iterator<Item = &mut Part<'static>> {
        let is_thought =
            |part: &&mut Part<'_>| matches!(part, Part::Reasoning { .. } | Part::ReasoningEncrypted { .. });
        self.response.parts.iter_mut().filter(is_thought)
    }
}

/// An answer as events, its texts in random pieces.
fn say(response: &Response<'_>, rng: &mut Rng, each: &mut dyn FnMut(Event<'_>)) {
    each(Event::Start { id: &response.id, model: &response.model });
    let (mut thoughts, mut calls) = (0, 0);
    for part in &response.parts {
        match part {
            Part::Text { text, .. } => pieces(text, rng, &mut |text| each(Event::Text(text))),
            Part::Refusal { text } => pieces(text, rng, &mut |text| each(Event::Refusal(text))),
            Part::Citation(citation) => each(Event::Citation(citation)),
            Part::Reasoning { text, signature } => {
                pieces(text, rng, &mut |text| each(Event::Reasoning { index: thoughts, text }));
                if let Some(signature) = signature {
                    each(Event::ReasoningSignature { index: thoughts, signature });
                }
                thoughts += 1;
            }
            Part::ReasoningEncrypted { data } => {
                each(Event::ReasoningEncrypted { index: thoughts, data });
                thoughts += 1;
            }
            Part::ToolCall { id, name, arguments } => {
                each(Event::ToolCall { index: calls, id, name });
                pieces(arguments, rng, &mut |json| each(Event::ToolArguments { index: calls, json }));
                calls += 1;
            }
            part => panic!("{part:?}"),
        }
    }
    each(Event::Finish(response.finish));
    each(Event::End);
}

fn pieces(text: &str, rng: &mut Rng, each: &mut dyn FnMut(&str)) {
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rest.ceil_char_boundary(rng.usize(1..=rest.len())));
        each(piece);
        rest = behind;
    }
}

fn text(rng: &mut Rng) -> String {
    const WORDS: [&str; 8] = ["a", "\"q\"", "é漢", "\n", "\\", "😀", " ", "\u{1}"];
    (0..rng.usize(1..6)).map(|_| WORDS[rng.usize(..WORDS.len())]).collect()
}

fn response(rng: &mut Rng) -> Response<'static> {
    let mut parts: Vec<Part<'static>> = Vec::new();
    let mut said_chars = 0;
    for _ in 0..rng.usize(..6) {
        let last = parts.last();
        match rng.u8(..5) {
            0 if !matches!(last, Some(Part::Text { .. } | Part::Citation(_))) => {
                let text = text(rng);
                let end = said_chars + text.chars().count() as u64;
                parts.push(Part::Text { text: text.into(), cache: None });
                for _ in 0..rng.usize(..3) {
                    parts.push(Part::Citation(citation(rng, (said_chars, end))));
                }
                said_chars = end;
            }
            1 if !matches!(last, Some(Part::Refusal { .. })) => {
                parts.push(Part::Refusal { text: text(rng).into() });
            }
            2 => parts.push(call(rng)),
            3 => {
                let signature = rng.bool().then(|| proof(rng));
                // One without words is one by its proof; OpenAI's own is then sealed.
                let is_foreign = matches!(&signature, Some(proof) if !is_openais(proof));
                let text = if is_foreign && rng.bool() { String::new() } else { text(rng) };
                parts.push(Part::Reasoning { text: text.into(), signature: signature.map(Into::into) });
            }
            4 => parts.push(Part::ReasoningEncrypted { data: proof(rng).into() }),
            _ => {}
        }
    }
    let is = |kind: fn(&Part<'_>) -> bool| parts.iter().any(kind);
    let finish = match (rng.u8(..3), is(|part| matches!(part, Part::Refusal { .. }))) {
        (0, _) => Finish::Length,
        (_, true) => Finish::ContentFilter,
        _ if is(|part| matches!(part, Part::ToolCall { .. })) => Finish::ToolCalls,
        (1, false) => Finish::ContentFilter,
        _ => Finish::Stop,
    };
    let usage = Usage {
        prompt_tokens: rng.u64(..99),
        completion_tokens: rng.u64(..99),
        total_tokens: rng.u64(..99),
        cached_read_tokens: rng.u64(..9),
        cached_write_tokens: rng.u64(..9),
        reasoning_tokens: rng.u64(..9),
        ..Usage::default()
    };
    let service_tier = rng.bool().then(|| tier(rng));
    Response { id: "resp_é1".into(), model: "m".into(), parts, finish, usage, service_tier }
}

fn is_openais(proof: &str) -> bool {
    proof.starts_with(thought::OWN)
}

fn citation(rng: &mut Rng, (start, end): (u64, u64)) -> Citation<'static> {
    let at = rng.u64(start..=end);
    Citation {
        url: Some("https://example.com/é".into()),
        title: rng.bool().then(|| text(rng).into()),
        span: Some((at, rng.u64(at..=end))),
        ..Citation::default()
    }
}

fn proof(rng: &mut Rng) -> String {
    const PROOFS: [&str; 4] =
        ["EqQB==", "corelaneResponses000gAAAA", "corelane.signature:x", "corelane.redacted:"];
    PROOFS[rng.usize(..PROOFS.len())].to_owned()
}

fn call(rng: &mut Rng) -> Part<'static> {
    const ARGUMENTS: [&str; 3] = ["{}", r#"{"a":12345678901234567890123}"#, "{\n\"é\": [ 1.0 ]}"];
    let arguments = ARGUMENTS[rng.usize(..ARGUMENTS.len())].into();
    Part::ToolCall { id: format!("call_{}", rng.u8(..)).into(), name: text(rng).into(), arguments }
}

fn tier(rng: &mut Rng) -> ServiceTier {
    [ServiceTier::Auto, ServiceTier::Standard, ServiceTier::Flex, ServiceTier::Priority][rng.usize(..4)]
}

fn source(rng: &mut Rng, media_type: &'static str) -> Source<'static> {
    match rng.bool() {
        true => Source::Url("https://example.com/x".into()),
        false => Source::Base64 { media_type: media_type.into(), data: "QUI=".into() },
    }
}

fn asked(rng: &mut Rng) -> Part<'static> {
    match rng.u8(..5) {
        0 => Part::Image { source: source(rng, "image/png"), cache: None },
        1 => match source(rng, "application/pdf") {
            source @ Source::Url(_) => Part::Document { source, title: None, cache: None },
            source => Part::Document { source, title: Some(text(rng).into()), cache: None },
        },
        2 => {
            let media_type = if rng.bool() { "audio/wav" } else { "audio/mpeg" };
            Part::Audio { media_type: media_type.into(), data: "QUI=".into() }
        }
        _ => Part::Text { text: text(rng).into(), cache: None },
    }
}

fn message(rng: &mut Rng, before: Option<Role>) -> Message<'static> {
    match rng.u8(..4) {
        0 if before != Some(Role::Assistant) => {
            let said = |rng: &mut Rng| match rng.u8(..4) {
                0 => Part::Refusal { text: text(rng).into() },
                1 => call(rng),
                _ => Part::Text { text: text(rng).into(), cache: None },
            };
            Message { role: Role::Assistant, parts: (0..rng.usize(1..4)).map(|_| said(rng)).collect() }
        }
        1 => {
            let parts = (0..rng.usize(1..3)).map(|_| asked(rng)).collect();
            Message {
                role: Role::Tool,
                parts: vec![Part::ToolResult { call_id: "c".into(), parts, is_error: false }],
            }
        }
        _ => {
            let role = [Role::User, Role::System, Role::Developer][rng.usize(..3)];
            Message { role, parts: (0..rng.usize(1..4)).map(|_| asked(rng)).collect() }
        }
    }
}

fn request(rng: &mut Rng) -> Request<'static> {
    let mut messages: Vec<Message<'static>> = Vec::new();
    for _ in 0..rng.usize(..5) {
        let message = message(rng, messages.last().map(|message| message.role));
        messages.push(message);
    }
    let mut request = Request { messages, ..Request::default() };
    if rng.bool() {
        tools(rng, &mut request);
    }
    request.max_tokens = rng.bool().then(|| rng.u64(..));
    request.temperature = rng.bool().then_some(Raw("0.70"));
    request.top_p = rng.bool().then_some(Raw("1e-1"));
    request.service_tier = rng.bool().then(|| tier(rng));
    request.metadata = rng.bool().then_some(Raw(r#"{"a": "b"}"#));
    request.user = rng.bool().then(|| text(rng).into());
    request.format = match rng.u8(..3) {
        0 => Format::JsonObject,
        1 => Format::JsonSchema {
            name: Some("n".into()),
            description: rng.bool().then(|| text(rng).into()),
            schema: r#"{"z":1,"a": {}}"#.into(),
            strict: rng.bool().then(|| rng.bool()),
        },
        _ => Format::Text,
    };
    request.reasoning = reasoning(rng);
    if rng.bool() {
        request.extra.push(("prompt_cache_key".into(), Raw(r#""k""#)));
    }
    request
}

fn reasoning(rng: &mut Rng) -> Option<Reasoning> {
    const EFFORTS: [Effort; 4] = [Effort::None, Effort::Minimal, Effort::ExtraHigh, Effort::Max];
    let effort = rng.bool().then(|| EFFORTS[rng.usize(..4)]);
    let is_shown = rng.bool().then_some(true);
    (effort.is_some() || is_shown.is_some()).then_some(Reasoning { effort, budget_tokens: None, is_shown })
}

fn tools(rng: &mut Rng, request: &mut Request<'static>) {
    let tool = |rng: &mut Rng| Tool {
        name: text(rng).into(),
        description: rng.bool().then(|| text(rng).into()),
        schema: rng.bool().then_some(r#"{"type":"object", "properties":{}}"#.into()),
        strict: rng.bool().then(|| rng.bool()),
        cache: None,
    };
    request.tools = (0..rng.usize(1..3)).map(|_| tool(rng)).collect();
    request.parallel_tool_calls = rng.bool().then(|| rng.bool());
    let name = request.tools[0].name.clone();
    request.tool_choice = match rng.u8(..6) {
        0 => Some(ToolChoice::Auto),
        1 => Some(ToolChoice::None),
        2 => Some(ToolChoice::Required),
        3 => Some(ToolChoice::Named(name)),
        4 => Some(ToolChoice::Allowed { required: rng.bool(), names: vec![name] }),
        _ => None,
    };
}

/// An encoder that takes what `said` says over and over, until it takes no more of it; how often that was.
fn endless(said: &[Event<'_>]) -> usize {
    let mut encoder = stream::Encoder::new(StreamOptions::default());
    let mut take = |event| encoder.encode(event, None, &mut Vec::new());
    take(Event::Start { id: "", model: "" }).unwrap();
    (0..1_000_000).find(|_| said.iter().any(|event| take(*event).is_err())).unwrap()
}

#[test]
fn what_says_nothing_is_bounded_too() {
    let citation =
        Citation { url: Some("".into()), title: None, cited_text: None, span: None, anthropic: None };
    let (text, refusal) = (Event::Text(""), Event::Refusal(""));
    let thought = Event::Reasoning { index: 0, text: "" };
    for said in [
        &[Event::ReasoningEncrypted { index: 0, data: "" }][..],
        &[Event::ToolCall { index: 0, id: "", name: "" }],
        &[Event::Citation(&citation)],
        &[text, thought],
        &[text, refusal],
    ] {
        assert!(endless(said) <= stream::OUTPUT_BYTES_MAX / 128, "{said:?}");
    }
}

//! Goldens by behaviour: one fixture for each thing that must not be lost between dialects, with the provider's document that
//! it was written from, and beside it what every target is sent, or why not. What each target says must hold all the texts,
//! pair the same calls with the same results, and add up.

use std::collections::BTreeSet;

use corelane::chat::Usage;
use corelane::dialect::Encoded;
use corelane::error::Error;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;

#[derive(Deserialize)]
pub(super) struct Fixture<'a> {
    /// Where it is documented.
    source: Vec<&'a str>,
    pub(super) from: Dialect,
    /// A request's or an answer's body.
    #[serde(borrow)]
    pub(super) body: Option<&'a RawValue>,
    /// A stream's events; one that is a text is no JSON.
    #[serde(borrow, default)]
    pub(super) events: Vec<&'a RawValue>,
}

/// Who a request is translated for: a name, the dialect, a model, and what its provider takes.
const TARGETS: [(&str, Dialect, &str, Quirks); 10] = [
    ("OpenAI", Dialect::OpenAi, "gpt-5.1", Quirks::OPENAI),
    ("one that speaks OpenAI's dialect", Dialect::OpenAi, "llama-4", Quirks::COMPATIBLE),
    ("Anthropic, a model with budgets", Dialect::Anthropic, "claude-sonnet-4-5", Quirks::COMPATIBLE),
    ("Anthropic, a model that always thinks", Dialect::Anthropic, "claude-opus-5-5", Quirks::COMPATIBLE),
    ("Gemini", Dialect::Gemini, "gemini-2.5-flash", Quirks::COMPATIBLE),
    ("Cohere", Dialect::Cohere, "command-a-03-2025", Quirks::COMPATIBLE),
    ("Cohere, a model that thinks", Dialect::Cohere, "command-a-reasoning-08-2025", Quirks::COMPATIBLE),
    (
        "Bedrock, a model of Anthropic's",
        Dialect::Bedrock,
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        Quirks::COMPATIBLE,
    ),
    ("Bedrock, a model of Amazon's", Dialect::Bedrock, "amazon.nova-2-lite-v1:0", Quirks::COMPATIBLE),
    ("Bedrock, any other model", Dialect::Bedrock, "meta.llama3-3-70b-instruct-v1:0", Quirks::COMPATIBLE),
];

/// The same, where it is a schema that is asked for.
const OLDER: (&str, Dialect, &str, Quirks) = (
    "Anthropic, a model older than structured outputs",
    Dialect::Anthropic,
    "claude-sonnet-4-20250514",
    Quirks::COMPATIBLE,
);

#[test]
fn requests() {
    for (case, file) in inputs("behaviour/requests", ".json") {
        let fixture = fixture(&case, &file);
        let body = fixture.body.unwrap().get();
        let mut shown = String::new();
        let targets = TARGETS.into_iter().chain(case.contains("schema").then_some(OLDER));
        for (name, to, model, quirks) in
            targets.filter(|(_, to, ..)| *to != fixture.from || fixture.from != Dialect::Bedrock)
        {
            let translate =
                || translate_request(fixture.from, to, Operation::Chat, body.as_bytes(), model, quirks);
            let told = translate();
            assert_eq!(told, translate(), "{case} for {name}: not the same twice");
            shown.push_str(&format!("# {name}: {model}\n{}", request_shown(&told)));
            if let Ok(encoded) = told {
                keeps_texts(&format!("{case} for {name}"), body, &encoded.body);
                keeps_pairs(&format!("{case} for {name}"), body, &encoded.body);
            }
        }
        check("behaviour/requests", &format!("{case}.expected"), &shown);
    }
}

fn request_shown(told: &Result<Encoded, Error>) -> String {
    match told {
        Ok(encoded) => {
            let names = encoded.dropped.iter().map(|name| format!("dropped: {name}\n"));
            format!("{}\n{}", String::from_utf8_lossy(&encoded.body), names.collect::<String>())
        }
        Err(error) => {
            format!("{} {}: {}\n", error.status(), error.param.as_deref().unwrap_or_default(), error.message)
        }
    }
}

#[test]
fn responses() {
    for (case, file) in inputs("behaviour/responses", ".json") {
        let fixture = fixture(&case, &file);
        let body = fixture.body.unwrap().get();
        let told = translate_response(fixture.from, other(fixture.from), body.as_bytes(), &answer_options())
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        check("behaviour/responses", &format!("{case}.expected"), &pretty(&told.body));
        keeps_texts(&case, body, &told.body);
        keeps_pairs(&case, body, &told.body);
        let usage = told.usage.unwrap();
        adds_up(&case, usage);
        let seen = check_answer(other(fixture.from), &told.body, true).unwrap().unwrap();
        // Anthropic has no word for sound.
        assert_eq!(seen, said_by(other(fixture.from), usage), "{case}");
    }
}

#[test]
fn streams() {
    for (case, file) in inputs("behaviour/streams", ".json") {
        let fixture = fixture(&case, &file);
        let (told, error, usage) = streamed(fixture.from, &fixture.events);
        let mut shown = String::from_utf8(told).unwrap();
        if let Some(error) = error {
            shown.push_str(&format!("# {}: {}\n", error.status(), error.message));
        } else {
            adds_up(&case, usage.unwrap());
        }
        check("behaviour/streams", &format!("{case}.expected"), &shown);
        keeps_pieces(&case, &fixture.events, &shown);
    }
}

fn streamed(from: Dialect, events: &[&RawValue]) -> (Vec<u8>, Option<Error>, Option<Usage>) {
    let options =
        StreamOptions { created_s: CREATED_S, include_usage: true, model: "fallback-model".to_owned() };
    let mut translator = StreamTranslator::new(from, other(from), options);
    let mut out = Vec::new();
    let pushed = events.iter().try_for_each(|event| {
        let (name, data) = named(from, &data(event));
        translator.push(name.as_deref(), data.as_bytes(), &mut out)
    });
    let ended = pushed.and_then(|()| translator.finish(&mut out));
    (out, ended.err(), translator.usage())
}

/// A text stands for itself, such as `[DONE]`.
pub(super) fn data(event: &RawValue) -> String {
    serde_json::from_str(event.get()).unwrap_or_else(|_| event.get().to_owned())
}

/// An event of Bedrock's is an object of one member, its type.
pub(super) fn named(from: Dialect, data: &str) -> (Option<Vec<u8>>, String) {
    if from != Dialect::Bedrock {
        return (None, data.to_owned());
    }
    let event: std::collections::BTreeMap<String, Box<RawValue>> = serde_json::from_str(data).unwrap();
    let (name, payload) = event.into_iter().next().unwrap();
    (Some(name.into_bytes()), payload.get().to_owned())
}

fn other(dialect: Dialect) -> Dialect {
    if dialect == Dialect::OpenAi { Dialect::Anthropic } else { Dialect::OpenAi }
}

fn said_by(dialect: Dialect, usage: Usage) -> Usage {
    match dialect {
        Dialect::Anthropic => Usage { audio_prompt_tokens: 0, audio_completion_tokens: 0, ..usage },
        _ => usage,
    }
}

pub(super) fn fixture<'a>(case: &str, file: &'a [u8]) -> Fixture<'a> {
    let fixture: Fixture<'a> = serde_json::from_slice(file).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(
        fixture.source.iter().all(|one| one.starts_with("https://")) && !fixture.source.is_empty(),
        "{case}"
    );
    fixture
}

fn adds_up(case: &str, usage: Usage) {
    assert_eq!(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens, "{case}");
    let of_prompt = usage.cached_read_tokens + usage.cached_write_tokens;
    assert!(of_prompt <= usage.prompt_tokens && usage.audio_prompt_tokens <= usage.prompt_tokens, "{case}");
    assert!(usage.reasoning_tokens + usage.audio_completion_tokens <= usage.completion_tokens, "{case}");
}

/// Keys whose strings are words that somebody said.
const SAID: [&str; 4] = ["text", "content", "refusal", "explanation"];

/// Every text that is more than blanks stands in the translation: as a whole string, or as an object that it was.
pub(super) fn keeps_texts(case: &str, input: &str, output: &[u8]) {
    let output: Value = serde_json::from_slice(output).unwrap();
    let (mut wanted, mut said) = (Vec::new(), Vec::new());
    let input: Value = serde_json::from_str(input).unwrap();
    for key in ["system", "messages", "content", "choices", "output"] {
        said_in(&input[key], key, &mut wanted);
    }
    strings(&output, &mut said);
    let all = said.concat();
    for text in wanted.into_iter().filter(|text| !text.trim().is_empty() && !text.starts_with('{')) {
        // A document that is a text goes to Bedrock as bytes.
        assert!(all.contains(text) || all.contains(&base64(text)), "{case}: lost {text:?}");
    }
}

fn base64(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |bits: u32, place: usize| char::from(LETTERS[(bits >> (18 - 6 * place)) as usize & 63]);
    let groups = text.as_bytes().chunks(3).flat_map(|group| {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        (0..4).map(move |place| if place <= group.len() { letter(bits, place) } else { '=' })
    });
    groups.collect()
}

fn said_in<'v>(value: &'v Value, key: &str, found: &mut Vec<&'v str>) {
    match value {
        Value::String(text) if SAID.contains(&key) || key == "system" => found.push(text),
        // Not every target takes thoughts.
        Value::Array(_) if key == "reasoning_details" => {}
        Value::Object(_) if key == "reasoningContent" => {}
        Value::Array(items) => items.iter().for_each(|item| said_in(item, key, found)),
        Value::Object(fields) => fields.iter().for_each(|(key, value)| said_in(value, key, found)),
        _ => {}
    }
}

/// The same calls are made, and the same are answered, in the same order.
pub(super) fn keeps_pairs(case: &str, input: &str, output: &[u8]) {
    let input: Value = serde_json::from_str(input).unwrap();
    let output: Value = serde_json::from_slice(output).unwrap();
    let (mut wanted, mut told) = (Pairs::default(), Pairs::default());
    pairs(&input, &mut wanted);
    pairs(&output, &mut told);
    assert_eq!(wanted.answered(), told.answered(), "{case}");
    // What some target does not take, is spelled otherwise there.
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
    if wanted.calls.iter().all(|id| id.chars().all(is_word)) {
        assert_eq!(wanted, told, "{case}");
    }
    let answered: BTreeSet<_> = told.results.iter().collect();
    assert!(answered.is_empty() || answered == told.calls.iter().collect(), "{case}: {told:?}");
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Pairs {
    calls: Vec<String>,
    results: Vec<String>,
}

impl Pairs {
    /// How many calls there are, and which of them each result answers.
    fn answered(&self) -> (usize, Vec<Option<usize>>) {
        let call_of = |id: &String| self.calls.iter().position(|call| call == id);
        (self.calls.len(), self.results.iter().map(call_of).collect())
    }
}

fn pairs(value: &Value, found: &mut Pairs) {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match value {
        Value::Array(items) => items.iter().for_each(|item| pairs(item, found)),
        Value::Object(fields) => {
            let is_call = value["type"] == "tool_use" || value["function"]["arguments"].is_string();
            found.calls.extend(if is_call { text(&value["id"]) } else { text(&value["functionCall"]["id"]) });
            let result = ["tool_call_id", "tool_use_id"].iter().find_map(|key| text(&value[key]));
            let result = result.or_else(|| text(&value["functionResponse"]["id"]));
            found.results.extend(result.or_else(|| text(&value["toolResult"]["toolUseId"])));
            found.calls.extend(text(&value["toolUse"]["toolUseId"]));
            fields.values().for_each(|one| pairs(one, found));
        }
        _ => {}
    }
}

/// Every piece that was said in a stream is said again, and each call's arguments join to the same JSON.
fn keeps_pieces(case: &str, events: &[&RawValue], told: &str) {
    let told: Vec<Value> =
        told.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
    let mut said = Vec::new();
    told.iter().for_each(|event| strings(event, &mut said));
    for event in events {
        let event: Value = serde_json::from_str(event.get()).unwrap();
        let cohere = &event["delta"]["message"];
        for delta in [&event["delta"], &event["choices"][0]["delta"], cohere, &cohere["content"]] {
            for key in [
                "text",
                "thinking",
                "signature",
                "partial_json",
                "content",
                "refusal",
                "reasoning",
                "tool_plan",
            ] {
                let piece = delta[key].as_str().unwrap_or_default();
                // A signature stands behind the mark of who made it.
                let is_said = |one: &&str| *one == piece || key == "signature" && one.ends_with(piece);
                assert!(piece.is_empty() || said.iter().any(is_said), "{case}: lost {piece:?}");
            }
        }
    }
}

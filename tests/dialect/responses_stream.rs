//! Streams to and from Responses: goldens, the same cut at every byte, and the order that the API's document promises.

use super::*;

const STREAMS: &str = "responses/streams";
/// Most cuts of one stream one by one; the parser of events has its own tests.
const CUTS_MAX: usize = 512;

#[test]
fn streams() {
    for (from, name) in OTHERS {
        for (case, input) in inputs(STREAMS, &format!(".from_{name}.sse")) {
            let whole = translated(&case, from, Dialect::Responses, &[&input]);
            check(
                STREAMS,
                &format!("{case}.from_{name}.to_responses.sse"),
                std::str::from_utf8(&whole).unwrap(),
            );
            cut_alike(&case, from, Dialect::Responses, &input, &whole);
            Order::of(&case, &whole).check();
        }
    }
}

#[test]
fn streams_for_others() {
    for (case, input) in inputs(STREAMS, ".from_responses.sse") {
        for (to, name) in OTHERS {
            let whole = translated(&case, Dialect::Responses, to, &[&input]);
            check(
                STREAMS,
                &format!("{case}.from_responses.to_{name}.sse"),
                std::str::from_utf8(&whole).unwrap(),
            );
            cut_alike(&case, Dialect::Responses, to, &input, &whole);
        }
        // What it says itself is said again, under our ids: each event that there is.
        let again = translated(&case, Dialect::Responses, Dialect::Responses, &[&input]);
        check(
            STREAMS,
            &format!("{case}.from_responses.to_responses.sse"),
            std::str::from_utf8(&again).unwrap(),
        );
        Order::of(&case, &again).check();
    }
}

/// A stream says what the whole answer says: both of a provider's forms lead to the same items.
#[test]
fn a_stream_ends_with_the_whole_answer() {
    let input =
        inputs(STREAMS, ".from_anthropic.sse").into_iter().find(|(case, _)| case == "thinking").unwrap().1;
    let out = translated("thinking", Dialect::Anthropic, Dialect::Responses, &[&input]);
    let streamed = Order::of("thinking", &out).events.last().unwrap()["response"].clone();
    let body = r#"{"id":"msg_01","model":"claude-test-1","content":[{"type":"thinking","thinking":"Let me think.","signature":"EqQBCkgI"},{"type":"redacted_thinking","data":"EvcBCkgI"},{"type":"text","text":"I look it up."},{"type":"tool_use","id":"toolu_01","name":"search","input":{"q": "primes"}},{"type":"tool_use","id":"toolu_02","name":"now","input":{}}],"stop_reason":"tool_use","usage":{"input_tokens":25,"cache_read_input_tokens":4,"cache_creation_input_tokens":2,"output_tokens":40}}"#;
    let whole = answer("thinking", Dialect::Anthropic, Dialect::Responses, body.as_bytes());
    assert_eq!(streamed, serde_json::from_slice::<Value>(&whole).unwrap());
}

#[test]
fn an_error_is_numbered_as_the_next_event() {
    let (mut translator, mut out) = (translator(Dialect::Anthropic, Dialect::Responses), Vec::new());
    let start = br#"{"type":"message_start","message":{"id":"a","model":"m"}}"#;
    translator.push(None, start, &mut out).unwrap();
    let data = br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let error = translator.push(None, data, &mut out).unwrap_err();
    assert!(translator.fail(&error, &mut out));
    let order = Order::of("error", &out);
    let last = order.events.last().unwrap();
    assert_eq!((&last["sequence_number"], &last["message"]), (&2.into(), &"Overloaded".into()));
    assert_eq!(order.events.len(), 3);
    for dialect in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini] {
        let translator = self::translator(Dialect::OpenAi, dialect);
        assert!(!translator.fail(&error, &mut out));
    }
}

#[test]
fn what_a_responses_provider_says_of_a_failure_is_its_error() {
    for (data, status) in [
        (
            r#"{"type":"error","code":"rate_limit_exceeded","message":"m","param":null,"sequence_number":1}"#,
            429,
        ),
        (
            r#"{"type":"error","error":{"type":"invalid_request_error","code":"x","message":"m"},"sequence_number":1}"#,
            400,
        ),
        (
            r#"{"type":"response.failed","response":{"id":"r","status":"failed","error":{"code":"server_error","message":"m"}}}"#,
            500,
        ),
    ] {
        let mut translator = translator(Dialect::Responses, Dialect::OpenAi);
        let error = translator.push(None, data.as_bytes(), &mut Vec::new()).unwrap_err();
        assert_eq!((error.status(), &*error.message), (status, "m"), "{data}");
    }
}

#[test]
fn an_answer_over_the_bound_is_an_error() {
    let (mut translator, mut out) = (translator(Dialect::OpenAi, Dialect::Responses), Vec::new());
    let chunk = format!(
        r#"{{"id":"c","choices":[{{"index":0,"delta":{{"content":"{}"}}}}]}}"#,
        "x".repeat((1 << 20) - 64)
    );
    for _ in 0..4 {
        translator.push(None, chunk.as_bytes(), &mut out).unwrap();
    }
    let error = translator.push(None, chunk.as_bytes(), &mut out).unwrap_err();
    assert!(error.message.contains("4 MiB"), "{error}");
}

#[test]
fn broken_streams_never_panic() {
    for (case, input) in inputs(STREAMS, ".from_responses.sse") {
        let start = super::super::events(&input)[0].1.clone();
        for (_, data) in super::super::events(&input).into_iter().skip(1).filter(|(_, data)| data.len() < 600)
        {
            broken(&data, |data| {
                let (mut translator, mut out) =
                    (translator(Dialect::Responses, Dialect::Responses), Vec::new());
                let _ = translator.push(None, &start, &mut out);
                let _ = translator.push(None, data, &mut out);
                assert!(super::super::events(&out).iter().all(|(_, data)| is_json(data)), "{case}");
            });
        }
    }
}

fn translator(from: Dialect, to: Dialect) -> StreamTranslator {
    let options =
        StreamOptions { created_s: CREATED_S, include_usage: true, model: "fallback-model".to_owned() };
    StreamTranslator::new(from, to, options)
}

/// Reads the pieces as a relay does, and translates each event as it is whole.
fn translated(case: &str, from: Dialect, to: Dialect, pieces: &[&[u8]]) -> Vec<u8> {
    let (mut translator, mut boundary) = (translator(from, to), sse::Boundary::new());
    let (mut buffer, mut out) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let end = boundary.last_end(&buffer);
        for event in sse::events(&buffer[..end]) {
            let pushed = translator.push(event.name, &event.data, &mut out);
            pushed.unwrap_or_else(|error| panic!("{case}: {error}"));
            assert!(out.is_empty() || out.ends_with(b"\n\n"), "{case}: half an event");
        }
        buffer.drain(..end);
        boundary.consumed(end);
    }
    translator.finish(&mut out).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(translator.is_ended() && translator.has_content() && translator.has_stopped(), "{case}");
    out
}

/// Cut at every byte, one by one and all at once: the same bytes.
fn cut_alike(case: &str, from: Dialect, to: Dialect, input: &[u8], whole: &[u8]) {
    let pieces: Vec<&[u8]> = input.chunks(1).collect();
    assert!(translated(case, from, to, &pieces) == whole, "{case} cut everywhere");
    // A long one is long by its last event, which is cut like any other.
    for at in 0..input.len().min(CUTS_MAX) {
        let (before, behind) = input.split_at(at);
        assert!(translated(case, from, to, &[before, behind]) == whole, "{case} cut at {at}");
    }
}

/// A stream's events and what the API's document promises of them.
struct Order<'c> {
    case: &'c str,
    events: Vec<Value>,
}

impl<'c> Order<'c> {
    /// Numbered from 0 without a gap, each named by its type.
    fn of(case: &'c str, stream: &[u8]) -> Self {
        let events = super::super::events(stream);
        let events: Vec<Value> = (0..)
            .zip(events)
            .map(|(at, (name, data))| {
                let event: Value = serde_json::from_slice(&data).unwrap();
                assert_eq!(event["sequence_number"], at, "{case}");
                assert_eq!(name.unwrap(), event["type"].as_str().unwrap().as_bytes(), "{case}");
                event
            })
            .collect();
        Self { case, events }
    }

    fn check(&self) {
        let case = self.case;
        let kinds: Vec<&str> = self.events.iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!(kinds[..2], ["response.created", "response.in_progress"], "{case}");
        let last = &self.events.last().unwrap()["response"];
        let ends = kinds.iter().filter(|kind| ["response.completed", "response.incomplete"].contains(kind));
        assert_eq!(ends.count(), 1, "{case}");
        items_are_sound(case, last);
        let items = last["output"].as_array().unwrap();
        let done: Vec<&Value> =
            self.of_kind("response.output_item.done").map(|event| &event["item"]).collect();
        assert_eq!(done, items.iter().collect::<Vec<_>>(), "{case}");
        for (index, item) in items.iter().enumerate() {
            self.check_item(index, item);
        }
    }

    fn of_kind(&self, kind: &'static str) -> impl Iterator<Item = &Value> {
        self.events.iter().filter(move |event| event["type"] == kind)
    }

    /// One item's events stand together, from its beginning to its end, unless it is one of several calls at once; their
    /// deltas add up to what it says.
    fn check_item(&self, index: usize, item: &Value) {
        let case = self.case;
        let is_its = |event: &&Value| event["output_index"] == index;
        let first = self.events.iter().position(|event| is_its(&event)).unwrap();
        let events: Vec<&Value> = self.events.iter().filter(is_its).collect();
        let together = self.events.iter().skip(first).take_while(is_its).count();
        assert!(events.len() == together || case == "calls_at_once", "{case}: item {index} is torn");
        assert_eq!(events[0]["type"], "response.output_item.added", "{case}");
        assert_eq!(events[events.len() - 1]["type"], "response.output_item.done", "{case}");
        for event in &events[1..events.len() - 1] {
            assert_eq!(event["item_id"], item["id"], "{case}");
        }
        let deltas = |kind: &str| -> String {
            let deltas = events.iter().filter(|event| event["type"] == kind);
            deltas.map(|event| event["delta"].as_str().unwrap()).collect()
        };
        let (kinds, said) = match item["type"].as_str().unwrap() {
            "function_call" => (
                vec!["response.function_call_arguments.delta"],
                item["arguments"].as_str().unwrap().to_owned(),
            ),
            "reasoning" => (vec!["response.reasoning_summary_text.delta"], joined(&item["summary"])),
            _ => (vec!["response.output_text.delta", "response.refusal.delta"], joined(&item["content"])),
        };
        assert_eq!(kinds.into_iter().map(deltas).collect::<String>(), said, "{case}: item {index}");
        self.check_parts(&events, item);
    }

    /// Each part begins and ends once, in order, and its end is what the item holds.
    fn check_parts(&self, events: &[&Value], item: &Value) {
        let parts = |kind: &str| -> Vec<(u64, &Value)> {
            let events = events.iter().filter(|event| event["type"] == kind);
            events.map(|event| (event["content_index"].as_u64().unwrap(), &event["part"])).collect()
        };
        let content: Vec<(u64, &Value)> =
            (0..).zip(item["content"].as_array().into_iter().flatten()).collect();
        assert_eq!(parts("response.content_part.done"), content, "{}", self.case);
        let added = parts("response.content_part.added");
        assert_eq!(added.len(), content.len(), "{}", self.case);
    }
}

fn joined(parts: &Value) -> String {
    let parts = parts.as_array().into_iter().flatten();
    parts.map(|part| part["text"].as_str().or(part["refusal"].as_str()).unwrap()).collect()
}

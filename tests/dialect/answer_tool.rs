//! A schema of the answer for a model that follows none by itself: it is asked for by a tool, and the call of it comes back as
//! text, whole and streamed, to every caller.

use serde_json::{Value, json};

use super::*;

const OLD: &str = "claude-sonnet-4-20250514";

/// What the model says that the schema is of; it has letters of several bytes, and what JSON escapes.
const SAID: &str = r#"{"name": "Zürich \"Z\" 🏔", "people": 400000}"#;

/// A caller's dialect, and its body with the schema; `TOOLS` stands where its own tools do.
const CALLERS: [(Dialect, Operation, &str, &str); 4] = [
    (
        Dialect::OpenAi,
        Operation::Chat,
        r#"{"messages":[{"role":"user","content":"a city"}],"response_format":{"type":"json_schema","json_schema":{"name":"city","schema":{"type":"object"}}}TOOLS}"#,
        r#","tools":[{"type":"function","function":{"name":"weather"}}]"#,
    ),
    (
        Dialect::Responses,
        Operation::Responses,
        r#"{"input":"a city","text":{"format":{"type":"json_schema","name":"city","schema":{"type":"object"}}}TOOLS}"#,
        r#","tools":[{"type":"function","name":"weather","parameters":null,"strict":false}]"#,
    ),
    (
        Dialect::Gemini,
        Operation::Chat,
        r#"{"contents":[{"role":"user","parts":[{"text":"a city"}]}],"generationConfig":{"responseMimeType":"application/json","responseJsonSchema":{"type":"object"}}TOOLS}"#,
        r#","tools":[{"functionDeclarations":[{"name":"weather"}]}]"#,
    ),
    (
        Dialect::Bedrock,
        Operation::Chat,
        r#"{"messages":[{"role":"user","content":[{"text":"a city"}]}],"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"name":"city","schema":"{\"type\":\"object\"}"}}}}TOOLS}"#,
        r#","toolConfig":{"tools":[{"toolSpec":{"name":"weather","inputSchema":{"json":{"type":"object"}}}}]}"#,
    ),
];

/// The request as it is sent, and how its answer is read.
fn asked(from: Dialect, operation: Operation, body: &str) -> (Value, AnswerOptions) {
    let sent =
        translate_request(from, Dialect::Anthropic, operation, body.as_bytes(), OLD, Quirks::COMPATIBLE)
            .unwrap_or_else(|error| panic!("{from:?}: {error}"));
    // Bedrock's schemas are always strict, which the tool is not.
    let left: &[&str] = if from == Dialect::Bedrock { &["outputConfig.textFormat"] } else { &[] };
    assert_eq!(sent.dropped, left, "{from:?}");
    let options = AnswerOptions { operation, echo: sent.echo, ..answer_options() };
    (serde_json::from_slice(&sent.body).unwrap(), options)
}

fn call(id: &str, name: &str, input: &str) -> String {
    format!(r#"{{"type":"tool_use","id":"{id}","name":"{name}","input":{input}}}"#)
}

fn whole(calls: &[String]) -> Vec<u8> {
    let usage = r#""usage":{"input_tokens":3,"output_tokens":4}"#;
    let content = calls.join(",");
    let head = r#"{"id":"msg","type":"message","role":"assistant","model":"m""#;
    format!(r#"{head},"content":[{content}],"stop_reason":"tool_use",{usage}}}"#).into_bytes()
}

/// The events of a stream with these calls, each with its arguments in pieces.
fn streamed(calls: &[(&str, Vec<&str>)]) -> Vec<Vec<u8>> {
    let mut events = vec![json!({"type":"message_start","message":{"id":"msg","model":"m",
        "usage":{"input_tokens":3,"output_tokens":1}}})];
    for (index, (name, pieces)) in calls.iter().enumerate() {
        let block = json!({"type":"tool_use","id":format!("toolu_{index}"),"name":name,"input":{}});
        events.push(json!({"type":"content_block_start","index":index,"content_block":block}));
        for piece in pieces {
            let delta = json!({"type":"input_json_delta","partial_json":piece});
            events.push(json!({"type":"content_block_delta","index":index,"delta":delta}));
        }
        events.push(json!({"type":"content_block_stop","index":index}));
    }
    events
        .push(json!({"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":4}}));
    events.push(json!({"type":"message_stop"}));
    events.iter().map(|event| event.to_string().into_bytes()).collect()
}

fn translator(to: Dialect, options: &AnswerOptions) -> StreamTranslator {
    let streaming = StreamOptions { created_s: CREATED_S, include_usage: true, model: OLD.to_owned() };
    StreamTranslator::new(Dialect::Anthropic, to, streaming).echoing(options.echo.clone())
}

fn told(to: Dialect, options: &AnswerOptions, events: &[Vec<u8>]) -> Vec<Value> {
    let (mut translator, mut out) = (translator(to, options), Vec::new());
    for event in events {
        translator.push(None, event, &mut out).unwrap_or_else(|error| panic!("{to:?}: {error}"));
    }
    translator.finish(&mut out).unwrap();
    assert!(translator.has_content() && translator.has_stopped(), "{to:?}");
    let events = super::events(&out).into_iter().filter(|(_, data)| data != b"[DONE]");
    events.map(|(_, data)| serde_json::from_slice(&data).unwrap()).collect()
}

/// The text, the names of the calls with their indices where there are any, and the word for the end, of OpenAI's chunks.
fn of_chunks(chunks: &[Value]) -> (String, Vec<(u64, String)>, String) {
    let (mut text, mut calls, mut finish) = (String::new(), Vec::new(), String::new());
    for choice in chunks.iter().map(|chunk| &chunk["choices"][0]) {
        text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let name = call["function"]["name"].as_str().map(str::to_owned);
            calls.extend(name.map(|name| (call["index"].as_u64().unwrap(), name)));
        }
        finish.push_str(choice["finish_reason"].as_str().unwrap_or_default());
    }
    (text, calls, finish)
}

/// In any dialect: that there are calls, or that the answer ended for their sake.
fn tells_of_calls(answer: &str) -> bool {
    let words = ["tool_calls", "tool_use", "function_call", "functionCall", "toolUse"];
    words.iter().any(|word| answer.contains(&format!("\"{word}\"")))
}

#[test]
fn every_caller_gets_the_text_of_a_whole_answer() {
    for (from, operation, body, tools) in CALLERS {
        for (tools, is_alone) in [("", true), (tools, false)] {
            let (sent, options) = asked(from, operation, &body.replace("TOOLS", tools));
            let name = if from == Dialect::Gemini { "answer" } else { "city" };
            let offered = sent["tools"].as_array().unwrap();
            assert_eq!(offered.last().unwrap(), &json!({"name":name,"input_schema":{"type":"object"}}));
            let alone = json!({"type":"tool","name":name,"disable_parallel_tool_use":true});
            let expected = if is_alone { alone } else { json!({"type":"any"}) };
            assert_eq!((&sent["tool_choice"], sent.get("output_config")), (&expected, None), "{from:?}");

            let mut calls = vec![call("toolu_1", name, SAID)];
            let answer = translate_response(Dialect::Anthropic, from, &whole(&calls), &options).unwrap();
            let answer = String::from_utf8(answer.body).unwrap();
            let quoted = serde_json::to_string(SAID).unwrap();
            assert!(answer.contains(&quoted) && !answer.contains("toolu_1"), "{from:?}: {answer}");
            assert!(!tells_of_calls(&answer), "{from:?}: {answer}");

            calls.push(call("toolu_2", "weather", r#"{"a":1}"#));
            let answer = translate_response(Dialect::Anthropic, from, &whole(&calls), &options).unwrap();
            let answer = String::from_utf8(answer.body).unwrap();
            assert!(answer.contains(&quoted) && answer.contains("weather"), "{from:?}: {answer}");
        }
    }
}

#[test]
fn a_stream_is_the_same_text_wherever_the_arguments_are_cut() {
    for (to, operation, body, _) in CALLERS.into_iter().filter(|(to, ..)| *to != Dialect::Bedrock) {
        let (_, options) = asked(to, operation, &body.replace("TOOLS", ""));
        let name = if to == Dialect::Gemini { "answer" } else { "city" };
        for at in (0..=SAID.len()).filter(|at| SAID.is_char_boundary(*at)) {
            let (first, rest) = SAID.split_at(at);
            let events = told(to, &options, &streamed(&[(name, vec![first, rest])]));
            let shown = Value::from(events.clone()).to_string();
            assert!(!shown.contains("toolu_") && !tells_of_calls(&shown), "{at}: {shown}");
            let text = match to {
                Dialect::OpenAi => {
                    let (text, calls, finish) = of_chunks(&events);
                    assert_eq!((calls, finish.as_str()), (Vec::new(), "stop"), "{at}");
                    text
                }
                Dialect::Responses => {
                    let deltas = events.iter().filter(|one| one["type"] == "response.output_text.delta");
                    deltas.map(|one| one["delta"].as_str().unwrap()).collect()
                }
                _ => {
                    let parts = events.iter().map(|one| &one["candidates"][0]["content"]["parts"][0]["text"]);
                    parts.filter_map(Value::as_str).collect()
                }
            };
            assert_eq!(text, SAID, "{to:?} cut at {at}");
        }
    }
}

#[test]
fn other_calls_beside_it_keep_their_order_and_count_without_it() {
    let (to, operation, body, tools) = CALLERS[0];
    let (_, options) = asked(to, operation, &body.replace("TOOLS", tools));
    let named = |index: u64| (index, "weather".to_owned());
    for (calls, text, names, finish) in [
        (vec![("city", vec![SAID]), ("weather", vec!["{}"])], SAID, vec![named(0)], "tool_calls"),
        (vec![("weather", vec![]), ("city", vec![SAID])], SAID, vec![named(0)], "tool_calls"),
        (
            vec![("weather", vec![]), ("city", vec![SAID]), ("weather", vec![])],
            SAID,
            vec![named(0), named(1)],
            "tool_calls",
        ),
        (vec![("weather", vec![])], "", vec![named(0)], "tool_calls"),
        (vec![("city", vec![])], "{}", vec![], "stop"),
    ] {
        let found = of_chunks(&told(to, &options, &streamed(&calls)));
        assert_eq!(found, (text.to_owned(), names, finish.to_owned()), "{calls:?}");
    }
}

#[test]
fn a_stream_cut_at_any_byte_is_json_and_no_whole_answer() {
    let (to, operation, body, tools) = CALLERS[0];
    let (_, options) = asked(to, operation, &body.replace("TOOLS", tools));
    let events = streamed(&[("city", vec![SAID]), ("weather", vec!["{}"])]);
    for (count, event) in events.iter().enumerate() {
        for at in 0..event.len() {
            let (mut translator, mut out) = (translator(to, &options), Vec::new());
            for whole in &events[..count] {
                translator.push(None, whole, &mut out).unwrap();
            }
            let _ = translator.push(None, &event[..at], &mut out);
            assert!(translator.finish(&mut out).is_err() && !translator.is_ended(), "{count} cut at {at}");
            assert!(super::events(&out).iter().all(|(_, data)| is_json(data)), "{count} cut at {at}");
        }
    }
}

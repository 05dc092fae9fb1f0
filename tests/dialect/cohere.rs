//! Goldens around Cohere: what its callers are told of every other provider's answers, what every other caller is told of its own,
//! streams cut at each byte, embeddings and rerankings both ways. Written from <https://docs.cohere.com/reference/chat>,
//! <https://docs.cohere.com/reference/chat-stream>, <https://docs.cohere.com/reference/embed> and
//! <https://docs.cohere.com/reference/rerank>. Its callers' requests are among those of `behaviour`.

use corelane::dialect::Encoded;
use corelane::dialect::event_stream::{self, frames};
use corelane::error::Error;
use corelane::http::sse;

use super::behaviour::{Fixture, data, fixture, keeps_pairs, keeps_texts, named};
use super::*;

const CALLERS: [Dialect; 5] =
    [Dialect::Anthropic, Dialect::Gemini, Dialect::Responses, Dialect::OpenAi, Dialect::Bedrock];

/// Each way between Cohere and another that a fixture of `from` can go.
fn ways(from: Dialect) -> Vec<Dialect> {
    if from == Dialect::Cohere { CALLERS.to_vec() } else { vec![Dialect::Cohere] }
}

#[test]
fn answers() {
    for (case, file) in inputs("behaviour/responses", ".json") {
        let fixture = fixture(&case, &file);
        let body = fixture.body.unwrap().get();
        for to in ways(fixture.from) {
            let told = translate_response(fixture.from, to, body.as_bytes(), &answer_options())
                .unwrap_or_else(|error| panic!("{case}: {error}"));
            check("cohere/answers", &format!("{case}.{}.json", to.name()), &pretty(&told.body));
            keeps_texts(&case, body, &told.body);
            if to == Dialect::Cohere {
                keeps_pairs(&case, body, &told.body);
                let seen = check_answer(to, &told.body, true).unwrap().unwrap();
                let usage = told.usage.unwrap();
                assert_eq!(
                    (seen.prompt_tokens, seen.completion_tokens),
                    (usage.prompt_tokens, usage.completion_tokens),
                    "{case}"
                );
                assert_eq!(seen.cached_read_tokens, usage.cached_read_tokens, "{case}");
            }
        }
    }
}

#[test]
fn streams_cut_at_each_byte() {
    for (case, file) in inputs("behaviour/streams", ".json") {
        let fixture = fixture(&case, &file);
        let input = sent(&fixture);
        for to in ways(fixture.from) {
            let ways = (fixture.from, to);
            let whole = streamed(ways, &[&input]);
            let end = if to == Dialect::Bedrock { "frames" } else { "sse" };
            check("cohere/streams", &format!("{case}.{}.{end}", to.name()), &in_words(to, &whole));
            if to == Dialect::Cohere || case.ends_with("calls") {
                for at in 0..=input.len() {
                    let (first, second) = input.split_at(at);
                    assert!(streamed(ways, &[first, second]) == whole, "{case} cut at {at}");
                }
            }
            watched(&case, to, &whole);
        }
    }
}

/// The fixture's events as their provider sends them.
fn sent(fixture: &Fixture<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for event in &fixture.events {
        match named(fixture.from, &data(event)) {
            (Some(name), payload) => {
                let name = String::from_utf8(name).unwrap();
                let headers = [(":event-type", name.as_str()), (":message-type", "event")];
                event_stream::write(&mut bytes, &headers, |out| out.extend_from_slice(payload.as_bytes()));
            }
            (None, data) => bytes.extend_from_slice(format!("data: {data}\n\n").as_bytes()),
        }
    }
    bytes
}

/// Frames by their names, one a line; events are text.
fn in_words(to: Dialect, told: &[u8]) -> String {
    if to != Dialect::Bedrock {
        return String::from_utf8(told.to_vec()).unwrap();
    }
    let line = |frame: event_stream::Frame<'_>| {
        let payload = std::str::from_utf8(frame.payload).unwrap();
        format!("{} {payload}\n", frame.text(":event-type").unwrap())
    };
    frames(told).map(|frame| line(frame.unwrap())).collect()
}

/// Whatever came of it, a watcher of the caller's side sees that it is whole, or that it is not.
fn watched(case: &str, to: Dialect, told: &[u8]) {
    let mut observer = StreamObserver::new(to);
    if to == Dialect::Bedrock {
        frames(told).for_each(|frame| observer.observe_frame(&frame.unwrap()));
    } else {
        sse::events(told).for_each(|event| observer.observe(event.name, &event.data));
    }
    let is_whole = !case.ends_with("error") && case != "bedrock_broken_order";
    assert_eq!(observer.is_ended(), is_whole, "{case} for {to:?}");
    assert!(observer.error().is_none(), "{case} for {to:?}");
}

fn streamed((from, to): (Dialect, Dialect), pieces: &[&[u8]]) -> Vec<u8> {
    let options =
        StreamOptions { created_s: CREATED_S, include_usage: true, model: "fallback-model".to_owned() };
    let mut translator = StreamTranslator::new(from, to, options).identified("fallback-id".to_owned());
    let (mut events, mut parts) = (sse::Boundary::new(), event_stream::Boundary::default());
    let (mut buffer, mut out) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let is_framed = from == Dialect::Bedrock;
        let end = if is_framed { parts.last_end(&buffer).unwrap() } else { events.last_end(&buffer) };
        let told = if is_framed {
            frames(&buffer[..end]).try_for_each(|frame| translator.push_frame(&frame.unwrap(), &mut out))
        } else {
            sse::events(&buffer[..end])
                .try_for_each(|event| translator.push(event.name, &event.data, &mut out))
        };
        if told.is_err() {
            return out;
        }
        buffer.drain(..end);
        if is_framed { parts.consumed(end) } else { events.consumed(end) }
    }
    let _ = translator.finish(&mut out);
    out
}

/// What was sent, or why not, and what was left out.
fn shown(encoded: Result<Encoded, Error>) -> String {
    match encoded {
        Err(error) => format!("refused {}: {}\n", error.param.as_deref().unwrap_or("-"), error.message),
        Ok(encoded) => {
            let dropped = encoded.dropped.iter().map(|name| format!("dropped: {name}\n"));
            pretty(&encoded.body) + &dropped.collect::<String>()
        }
    }
}

fn asked(from: Dialect, to: Dialect, operation: Operation, body: &str) -> Result<Encoded, Error> {
    translate_request(from, to, operation, body.as_bytes(), "embed-1", Quirks::COMPATIBLE)
}

#[test]
fn embeddings() {
    for (name, from, tos, body) in [
        (
            "openai",
            Dialect::OpenAi,
            &[Dialect::Cohere][..],
            r#"{"input":["a","b\n"],"dimensions":256,"user":"u","input_type":"search_query","encoding_format":"base64","made_up":1}"#,
        ),
        ("openai_text", Dialect::OpenAi, &[Dialect::Cohere], r#"{"input":"a"}"#),
        (
            "gemini",
            Dialect::Gemini,
            &[Dialect::Cohere],
            r#"{"content":{"parts":[{"text":"a"}]},"taskType":"FACT_VERIFICATION","title":"t","outputDimensionality":64}"#,
        ),
        (
            "cohere",
            Dialect::Cohere,
            &[Dialect::OpenAi, Dialect::Gemini],
            r#"{"model":"m","texts":["a","b"],"input_type":"search_query","output_dimension":64,"embedding_types":["float","base64"],"truncate":"END"}"#,
        ),
        (
            "cohere_inputs",
            Dialect::Cohere,
            &[Dialect::OpenAi],
            r#"{"inputs":[{"content":[{"type":"text","text":"a"}]}],"input_type":"image"}"#,
        ),
        (
            "cohere_images",
            Dialect::Cohere,
            &[Dialect::OpenAi],
            r#"{"images":["data:image/png;base64,QQ=="],"input_type":"image"}"#,
        ),
        ("cohere_int8", Dialect::Cohere, &[Dialect::OpenAi], r#"{"texts":["a"],"embedding_types":["int8"]}"#),
    ] {
        for to in tos {
            let text = shown(asked(from, *to, Operation::Embedding, body));
            check("cohere/embeddings/requests", &format!("{name}.{}.json", to.name()), &text);
        }
    }
}

#[test]
fn embeddings_answered() {
    const COHERE: &str = r#"{"id":"i","embeddings":{"float":[[0.50,-1e-3],[1,2]]},"texts":["a","b"],"meta":{"api_version":{"version":"2"},"billed_units":{"input_tokens":7}},"response_type":"embeddings_by_type"}"#;
    const OPENAI: &str = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.50,-1e-3]}],"model":"m","usage":{"prompt_tokens":7,"total_tokens":7}}"#;
    let options = |types: &str| {
        let body = format!(r#"{{"texts":["a"],"embedding_types":[{types}]}}"#);
        let echo = asked(Dialect::Cohere, Dialect::OpenAi, Operation::Embedding, &body).unwrap().echo;
        let (id, model) = (String::new(), "embed-1".to_owned());
        AnswerOptions { operation: Operation::Embedding, created_s: CREATED_S, id, model, echo }
    };
    for to in [Dialect::OpenAi, Dialect::Gemini] {
        let told = translate_response(Dialect::Cohere, to, COHERE.as_bytes(), &options("")).unwrap();
        check("cohere/embeddings/answers", &format!("answer.{}.json", to.name()), &pretty(&told.body));
        assert_eq!(told.usage.unwrap().prompt_tokens, 7);
    }
    for (types, name) in [("", "default"), (r#""base64""#, "base64"), (r#""base64","float""#, "both")] {
        let told =
            translate_response(Dialect::OpenAi, Dialect::Cohere, OPENAI.as_bytes(), &options(types)).unwrap();
        check("cohere/embeddings/answers", &format!("{name}.cohere.json"), &pretty(&told.body));
        assert_eq!(check_answer(Dialect::Cohere, &told.body, true).unwrap(), told.usage);
    }
}

#[test]
fn rerankings() {
    const ANSWER: &str = r#"{"id":"i","results":[{"index":1,"relevance_score":0.990},{"index":0,"relevance_score":1e-3}],"meta":{"api_version":{"version":"2"},"billed_units":{"search_units":1}}}"#;
    const VLLM: &str = r#"{"id":"rerank-1","model":"m","usage":{"total_tokens":56,"prompt_tokens":56},"results":[{"index":0,"document":{"text":"a"},"relevance_score":0.99}]}"#;
    for (name, from, to, body, answer) in [
        (
            "objects",
            Dialect::OpenAi,
            Dialect::Cohere,
            r#"{"query":"q","documents":[{"text":"a","id":"1"},"b"],"return_documents":true,"top_n":2,"priority":1,"made_up":1}"#,
            ANSWER,
        ),
        (
            "texts",
            Dialect::OpenAi,
            Dialect::Cohere,
            r#"{"query":"q","documents":["a","b"],"max_tokens_per_doc":9}"#,
            ANSWER,
        ),
        (
            "vllm",
            Dialect::Cohere,
            Dialect::OpenAi,
            r#"{"query":"q","documents":["a"],"top_n":1,"priority":1}"#,
            VLLM,
        ),
        ("nothing", Dialect::OpenAi, Dialect::Cohere, r#"{"query":"q"}"#, ANSWER),
        (
            "no_text",
            Dialect::OpenAi,
            Dialect::Cohere,
            r#"{"query":"q","documents":["a",{"id":"1"}]}"#,
            ANSWER,
        ),
    ] {
        let asked = asked(from, to, Operation::Rerank, body);
        let echo = asked.as_ref().map(|asked| asked.echo.clone()).unwrap_or_default();
        check("cohere/rerankings/requests", &format!("{name}.{}.json", to.name()), &shown(asked));
        let options = AnswerOptions {
            operation: Operation::Rerank,
            model: "rerank-1".into(),
            echo,
            ..AnswerOptions::default()
        };
        let told = translate_response(to, from, answer.as_bytes(), &options).unwrap();
        let file = format!("{name}.{}.json", from.name());
        check("cohere/rerankings/answers", &file, &pretty(&told.body));
        assert_eq!(told.usage.map(|usage| usage.prompt_tokens), (name == "vllm").then_some(56));
    }
}

#[test]
fn broken_inputs_never_panic() {
    let sent = |encoded: Result<Encoded, Error>| assert!(encoded.is_err() || is_json(&encoded.unwrap().body));
    let ours = |(case, _): &(String, Vec<u8>)| case.starts_with("cohere");
    for (case, file) in inputs("behaviour/requests", ".json").into_iter().filter(ours) {
        let body = fixture(&case, &file).body.unwrap().get();
        broken(body.as_bytes(), |input| {
            let to = [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini][input.len() % 3];
            sent(translate_request(Dialect::Cohere, to, Operation::Chat, input, "m", Quirks::OPENAI));
        });
    }
    for (case, file) in inputs("behaviour/responses", ".json").into_iter().filter(ours) {
        let body = fixture(&case, &file).body.unwrap().get();
        broken(body.as_bytes(), |input| {
            let _ = check_answer(Dialect::Cohere, input, true);
            let told = translate_response(Dialect::Cohere, Dialect::OpenAi, input, &answer_options());
            assert!(told.is_err() || is_json(&told.unwrap().body), "{case}");
        });
    }
    for (case, file) in inputs("behaviour/streams", ".json").into_iter().filter(ours) {
        for event in fixture(&case, &file).events {
            broken(data(event).as_bytes(), |input| {
                let mut translator =
                    StreamTranslator::new(Dialect::Cohere, Dialect::Anthropic, StreamOptions::default());
                let mut out = Vec::new();
                let _ = translator.push(None, input, &mut out);
                assert!(events(&out).iter().all(|(_, data)| is_json(data)), "{case}");
                StreamObserver::new(Dialect::Cohere).observe(None, input);
            });
        }
    }
}

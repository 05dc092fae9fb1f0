//! What gateways lose that rebuild bodies: a request and an answer in the provider's own dialect cross byte for byte, whole
//! and streamed, rows written or not. (Across dialects it is the goldens' to show.)

use crate::caller::Caller;
use crate::client_ip::logged;
use crate::setup::{CHAT, STREAM_HEAD, chunk, config, ok, on_both};
use crate::support::node::Node;
use crate::support::upstream::Upstream;

/// The developer's role, a fraction, an integer of 23 digits, the order of a schema's and a tool's keys, a null beside
/// calls, two choices, probabilities, an unknown field.
const ASKED: &str = r#"{"model":"gpt-4o","messages":[{"role":"developer","content":"be brief"},{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"b\":1,\"a\":2}"}}]},{"role":"tool","tool_call_id":"call_1","content":"7"}],"temperature":0.7,"seed":12345678901234567890123,"n":2,"logprobs":true,"top_logprobs":2,"tools":[{"type":"function","function":{"strict":true,"parameters":{"type":"object","required":["z","a"],"properties":{"z":{"type":"string"},"a":{"type":"number","maximum":1.0}},"additionalProperties":false},"name":"f"}}],"x_unknown":{"b":[1e-7,-0],"a":null}"#;

const ANSWERED: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"message":{"role":"assistant","content":"a","refusal":null,"annotations":[{"type":"url_citation","url_citation":{"end_index":1,"start_index":0,"title":"t","url":"https://example.com"}}]},"logprobs":{"content":[{"token":"a","logprob":-0.10,"bytes":[97],"top_logprobs":[]}],"refusal":null},"finish_reason":"stop"},{"index":1,"message":{"role":"assistant","content":null,"refusal":"no"},"logprobs":null,"finish_reason":"content_filter"}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"x":{"y":1}},"service_tier":"default","system_fingerprint":"fp_1","x_unknown":[12345678901234567890123,0.70]}"#;

const EVENTS: [&str; 6] = [
    r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"x_unknown":0.70"#,
    r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":[{"token":"a","logprob":-0.10,"bytes":null,"top_logprobs":[]}]},"finish_reason":null}]"#,
    r#"{"id":"c1","choices":[{"index":1,"delta":{"role":"assistant","refusal":"no"},"finish_reason":null}]"#,
    r#"{"id":"c1","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"f","arguments":"{\"n\":12345678901234567890123}"}}]},"finish_reason":null}]"#,
    r#"{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]"#,
    r#"{"id":"c1","choices":[{"index":1,"delta":{},"finish_reason":"content_filter"}]"#,
];
const USAGE: &str =
    r#"{"id":"c1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"x":1}}"#;

/// The stream as OpenAI sends it, to who asks for its usage and to who does not.
fn stream(is_asked: bool) -> String {
    let end = if is_asked { ",\"usage\":null}" } else { "}" };
    let mut events: Vec<String> = EVENTS.iter().map(|event| format!("data: {event}{end}\n\n")).collect();
    if is_asked {
        events.push(format!("data: {USAGE}\n\n"));
    }
    events.push("data: [DONE]\n\n".to_owned());
    events.concat()
}

fn provider() -> Upstream {
    Upstream::start(|line| {
        while let Some(request) = line.receive() {
            if !request.text().contains("\"stream\":true") {
                line.send(ok(ANSWERED));
                continue;
            }
            line.send(STREAM_HEAD);
            // In pieces that end anywhere.
            let stream = stream(request.text().contains("\"include_usage\":true"));
            stream.as_bytes().chunks(97).for_each(|piece| line.send(chunk(piece)));
            line.send("0\r\n\r\n");
        }
    })
}

#[test]
fn nothing_is_lost_in_a_providers_own_dialect() {
    on_both(|driver| {
        let upstream = provider();
        let plain = config(upstream.address);
        for config in [plain.clone(), logged(plain)] {
            let has_rows = config.get("logs_store").is_some();
            let node = Node::start(&config.to_string(), driver);
            let mut caller = Caller::new(&node);
            let answer = caller.post(CHAT, format!("{ASKED}}}").replace("gpt-4o", "openai/gpt-4o"));
            assert_eq!((answer.status, answer.text()), (200, ANSWERED));
            assert_eq!(upstream.last().text(), format!("{ASKED}}}"));
            for options in ["", r#","stream_options":{"include_usage":true}"#] {
                let ask = format!("{ASKED},\"stream\":true{options}}}");
                let answer = caller.post(CHAT, &ask);
                assert_eq!((answer.status, answer.text()), (200, &*stream(!options.is_empty())));
                let sent = upstream.last();
                assert_eq!(sent.text().contains("include_usage"), has_rows || !options.is_empty());
                assert_eq!(
                    sent.text().replace(r#","stream_options":{"include_usage":true}"#, ""),
                    format!("{ASKED},\"stream\":true}}")
                );
            }
        }
    });
}

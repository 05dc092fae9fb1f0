//! Providers that do one thing for each request in turn, and configs with several keys around them: for tests of what
//! follows a failure.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::setup::{ANSWER, STREAM_HEAD, answer, chunk, event, ok};
use crate::support::upstream::{Line, Received, Upstream};

/// What a provider does with one request.
#[derive(Clone)]
pub(crate) enum Act {
    /// Sends these bytes, and serves on.
    Answer(Vec<u8>),
    /// Sends these bytes, and resets the connection.
    Reset(Vec<u8>),
    /// Sends these bytes, and closes.
    Close(Vec<u8>),
    /// Sends these bytes, and then nothing until the node has gone.
    Silence(Vec<u8>),
}

/// Its answer in JSON.
pub(crate) const JSON: &str = "content-type: application/json\r\n";

impl Act {
    /// OpenAI's usual answer.
    pub(crate) fn good() -> Self {
        Self::Answer(ok(ANSWER))
    }

    /// OpenAI's usual stream.
    pub(crate) fn stream() -> Self {
        let events = [event("one"), event("two"), "data: [DONE]\n\n".to_owned()].concat();
        Self::Answer([STREAM_HEAD.as_bytes(), &chunk(events), b"0\r\n\r\n"].concat())
    }

    /// The same, on a connection that it ends.
    pub(crate) fn last(self) -> Self {
        match self {
            Self::Answer(bytes) => Self::Close(bytes),
            other => other,
        }
    }

    /// Anthropic's usual answer.
    pub(crate) fn claude() -> Self {
        Self::Answer(ok(CLAUDE))
    }

    /// An error in OpenAI's words.
    pub(crate) fn error(status: u16) -> Self {
        Self::error_with(status, "")
    }

    /// The same with further field lines.
    pub(crate) fn error_with(status: u16, fields: &str) -> Self {
        let body = json!({ "error": { "message": format!("says {status}"), "type": "t", "code": "c" } });
        Self::Answer(answer(status, &format!("{JSON}{fields}"), body.to_string()))
    }

    /// Does it; whether the connection serves on.
    pub(crate) fn run(&self, line: &mut Line) -> bool {
        match self {
            Self::Answer(bytes) => {
                line.send(bytes);
                return true;
            }
            Self::Reset(bytes) => {
                line.send(bytes);
                line.reset();
            }
            Self::Close(bytes) => line.send(bytes),
            Self::Silence(bytes) => {
                line.send(bytes);
                line.silence();
            }
        }
        false
    }
}

/// Anthropic's usual answer.
pub(crate) const CLAUDE: &str = r#"{"id":"m1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"ho"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":4}}"#;

/// Does each of these for one request in turn, whichever connection brings it, and the last for all further ones.
pub(crate) fn acting(acts: impl Into<Vec<Act>>) -> Upstream {
    let (acts, done) = (acts.into(), AtomicUsize::new(0));
    Upstream::start(move |line| {
        while line.receive().is_some() {
            let number = done.fetch_add(1, Ordering::SeqCst);
            if !acts[number.min(acts.len() - 1)].run(line) {
                return;
            }
        }
    })
}

/// Does what `act` says of each request.
pub(crate) fn judging(act: impl Fn(&Received) -> Act + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |line| {
        while let Some(request) = line.receive() {
            if !act(&request).run(line) {
                return;
            }
        }
    })
}

/// Which key a request came with: what stands behind `sk-`.
pub(crate) fn key_of(request: &Received) -> String {
    let value = request.values("authorization").pop().or_else(|| request.values("x-api-key").pop()).unwrap();
    value.rsplit("sk-").next().unwrap().to_owned()
}

/// The keys of all requests in their order.
pub(crate) fn keys_of(upstream: &Upstream) -> Vec<String> {
    upstream.requests().iter().map(key_of).collect()
}

/// A provider's config at this address: keys of these names, alike in all but the value; so many retries with short waits.
pub(crate) fn provider(address: SocketAddr, keys: &[&str], retries: u32) -> Value {
    let keys: Vec<Value> = keys
        .iter()
        .map(|name| json!({ "name": name, "id": format!("id-{name}"), "value": format!("sk-{name}"), "models": ["*"], "weight": 1.0 }))
        .collect();
    json!({
        "keys": keys,
        "network_config": {
            "base_url": format!("http://{address}"),
            "max_retries": retries,
            "retry_backoff_initial": 100,
            "retry_backoff_max": 200,
        },
    })
}

/// The config of these providers.
pub(crate) fn providers(named: &[(&str, Value)]) -> Value {
    let named: serde_json::Map<String, Value> =
        named.iter().map(|(name, provider)| ((*name).to_owned(), provider.clone())).collect();
    json!({ "providers": named })
}

/// An address at which nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    crate::support::node::free_address()
}

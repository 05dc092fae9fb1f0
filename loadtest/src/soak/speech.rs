//! The two APIs as far as the soak speaks them: a request that carries its id and what the provider shall do, the answer
//! that carries the id back, and whether what a caller got is exactly that.

use serde_json::{Value, json};

/// How a request reaches which provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// OpenAI's API to a provider of it.
    OpenAi,
    /// OpenAI's API to a provider of Anthropic's: translated both ways.
    Translated,
    /// Anthropic's API to a provider of it.
    Anthropic,
    /// OpenAI's API to a provider where nobody listens.
    Nowhere,
}

/// The id of an actor's request of this number. All are of one length, so that a part of one is none.
pub fn id(actor: usize, number: usize) -> String {
    format!("{actor:06}-{number:07}")
}

/// Bytes of an id.
const ID_BYTES: usize = 14;

/// Those that a provider answers.
pub const ANSWERED: [Surface; 3] = [Surface::OpenAi, Surface::Translated, Surface::Anthropic];

/// What stands before an id, wherever one is carried.
const ID: &str = "id=";

/// One request's words.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Unlike any other of the run, of [`id`]'s shape.
    pub id: String,
    /// Its way.
    pub surface: Surface,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// What the provider shall do, a name of `faults::FAULTS`.
    pub fault: &'static str,
    /// Bytes of the answer's text.
    pub text_bytes: usize,
    /// Events of a streamed answer's text.
    pub events: usize,
    /// Bytes that the request's body is padded with.
    pub padding_bytes: usize,
}

impl Ask {
    /// The path that it is sent to.
    pub fn path(&self) -> &'static str {
        match self.surface {
            Surface::Anthropic => "/anthropic/v1/messages",
            _ => "/v1/chat/completions",
        }
    }

    /// Its JSON body.
    pub fn body(&self) -> String {
        let Self { id, fault, text_bytes, events, .. } = self;
        let words = format!("soak {ID}{id} do={fault} bytes={text_bytes} events={events} .");
        let mut body = json!({
            "model": match self.surface {
                Surface::OpenAi => "openai/gpt-soak",
                Surface::Translated => "anthropic/claude-soak",
                Surface::Anthropic => "claude-soak",
                Surface::Nowhere => "groq/gone",
            },
            "stream": self.stream,
            "messages": [{"role": "user", "content": words}],
        });
        if let Some(fields) = body.as_object_mut() {
            if self.surface == Surface::Anthropic {
                fields.insert("max_tokens".to_owned(), json!(100));
            }
            if self.padding_bytes > 0 {
                let padding = "p".repeat(self.padding_bytes);
                fields.insert("messages".to_owned(), json!([{"role": "user", "content": words + &padding}]));
            }
        }
        body.to_string()
    }

    /// The text of its answer.
    pub fn text(&self) -> String {
        text(&self.id, self.text_bytes)
    }
}

/// What a provider reads out of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// See [`Ask`].
    pub id: String,
    /// See [`Ask`].
    pub fault: String,
    /// See [`Ask`].
    pub text_bytes: usize,
    /// See [`Ask`].
    pub events: usize,
    /// Whether the request is one of Anthropic's API.
    pub is_anthropic: bool,
    /// Whether it asks for a stream.
    pub stream: bool,
}

impl Order {
    /// Reads a request's path and body, which may be a part of one.
    pub fn read(path: &str, body: &str) -> Option<Self> {
        let words = body.get(body.find("soak id=")?..)?;
        let value = |name: &str| {
            let start = words.find(name)? + name.len();
            words.get(start..)?.split(' ').next()
        };
        Some(Self {
            id: value(ID)?.to_owned(),
            fault: value("do=")?.to_owned(),
            text_bytes: value("bytes=")?.parse().ok()?,
            events: value("events=")?.parse().ok()?,
            is_anthropic: path.ends_with("/messages"),
            stream: body.contains("\"stream\":true"),
        })
    }

    /// The body of the right answer.
    pub fn whole(&self) -> Vec<u8> {
        let text = text(&self.id, self.text_bytes);
        let body = match self.is_anthropic {
            true => json!({
                "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-soak",
                "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null,
                "usage": {"input_tokens": 3, "output_tokens": 4},
            }),
            false => json!({
                "id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-soak",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
            }),
        };
        body.to_string().into_bytes()
    }

    /// The events of the right answer.
    pub fn events(&self) -> Vec<Vec<u8>> {
        let text = text(&self.id, self.text_bytes);
        let piece_bytes = text.len().div_ceil(self.events.max(1)).max(1);
        let pieces = text.as_bytes().chunks(piece_bytes).map(|piece| String::from_utf8_lossy(piece));
        match self.is_anthropic {
            true => anthropic_events(pieces),
            false => openai_events(pieces),
        }
    }
}

/// An answer's text: begins with the id, which fills the rest of it, too.
fn text(id: &str, bytes: usize) -> String {
    let mut text = format!("echo {ID}{id} ");
    while text.len() < bytes {
        text.push_str(id);
        text.push(' ');
    }
    text
}

fn openai_events<'a>(pieces: impl Iterator<Item = std::borrow::Cow<'a, str>>) -> Vec<Vec<u8>> {
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        let chunk = json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-soak", "choices": [choice]});
        format!("data: {chunk}\n\n").into_bytes()
    };
    let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
    events.extend(pieces.map(|piece| chunk(json!({"content": piece}), Value::Null)));
    events.push(chunk(json!({}), json!("stop")));
    events.push(b"data: [DONE]\n\n".to_vec());
    events
}

fn anthropic_events<'a>(pieces: impl Iterator<Item = std::borrow::Cow<'a, str>>) -> Vec<Vec<u8>> {
    let event = |name: &str, mut data: Value| {
        if let Some(fields) = data.as_object_mut() {
            fields.insert("type".to_owned(), json!(name));
        }
        format!("event: {name}\ndata: {data}\n\n").into_bytes()
    };
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-soak", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 3, "output_tokens": 1}});
    let mut events = vec![
        event("message_start", json!({ "message": message })),
        event("content_block_start", json!({"index": 0, "content_block": {"type": "text", "text": ""}})),
    ];
    let delta = |piece| json!({"index": 0, "delta": {"type": "text_delta", "text": piece}});
    events.extend(pieces.map(|piece| event("content_block_delta", delta(piece))));
    events.push(event("content_block_stop", json!({"index": 0})));
    let stop =
        json!({"delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": 4}});
    events.push(event("message_delta", stop));
    events.push(event("message_stop", json!({})));
    events
}

/// The text of a whole answer.
pub fn text_of_whole(surface: Surface, body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let text = match surface {
        Surface::Anthropic => body.pointer("/content/0/text"),
        _ => body.pointer("/choices/0/message/content"),
    };
    Some(text?.as_str()?.to_owned())
}

/// A stream as far as it came: its text, whether its last word came, whether an error did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// All text, joined.
    pub text: String,
    /// `[DONE]` or `message_stop` came.
    pub is_ended: bool,
    /// An error event came.
    pub has_error: bool,
}

/// Listens to a stream's bytes; events that are not whole are not heard. `None`: an event is not what the API promises.
pub fn hear(surface: Surface, body: &[u8]) -> Option<Heard> {
    let mut heard = Heard::default();
    let body = String::from_utf8_lossy(body).replace("\r\n", "\n");
    for block in body.split_inclusive("\n\n").filter_map(|block| block.strip_suffix("\n\n")) {
        let data = block.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim_start);
        let data: Vec<&str> = data.collect();
        match data.join("\n").as_str() {
            "" => {}
            "[DONE]" if surface != Surface::Anthropic => heard.is_ended = true,
            data => take_event(&mut heard, surface, &serde_json::from_str(data).ok()?),
        }
    }
    Some(heard)
}

fn take_event(heard: &mut Heard, surface: Surface, event: &Value) {
    let text = match surface {
        Surface::Anthropic => event.pointer("/delta/text"),
        _ => event.pointer("/choices/0/delta/content"),
    };
    heard.text.push_str(text.and_then(Value::as_str).unwrap_or_default());
    heard.has_error |= event.get("error").is_some();
    heard.is_ended |= event.get("type").is_some_and(|kind| kind == "message_stop");
}

/// An id in these bytes that is not the caller's own: another request's words have reached it.
pub fn foreign_id(bytes: &[u8], own: &str) -> Option<String> {
    memchr::memmem::find_iter(bytes, ID).find_map(|at| {
        let start = at + ID.len();
        let found = std::str::from_utf8(bytes.get(start..start + ID_BYTES)?).ok()?;
        let is_id = found
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at == 6 { byte == b'-' } else { byte.is_ascii_digit() });
        (is_id && found != own).then(|| found.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(surface: Surface, stream: bool) -> Ask {
        Ask { id: id(7, 42), surface, stream, fault: "none", text_bytes: 100, events: 5, padding_bytes: 3 }
    }

    #[test]
    fn an_order_is_read_and_its_answer_understood() {
        for surface in [Surface::OpenAi, Surface::Anthropic] {
            let ask = ask(surface, true);
            let order = Order::read(ask.path(), &ask.body()).unwrap();
            assert_eq!((order.id.as_str(), order.stream, order.events), ("000007-0000042", true, 5));
            assert_eq!(text_of_whole(surface, &order.whole()), Some(ask.text()));
            let events = order.events().concat();
            let heard = hear(surface, &events).unwrap();
            assert_eq!(heard, Heard { text: ask.text(), is_ended: true, has_error: false });
            let cut = hear(surface, &events[..events.len() / 2]).unwrap();
            assert!(!cut.is_ended && ask.text().starts_with(&cut.text));
        }
    }

    #[test]
    fn ids_of_others_are_noticed() {
        let own = ask(Surface::OpenAi, false);
        let order = Order::read(own.path(), &own.body()).unwrap();
        assert_eq!(foreign_id(&order.whole(), &id(7, 42)), None);
        assert_eq!(foreign_id(&order.whole(), &id(7, 43)), Some(id(7, 42)));
        assert_eq!(foreign_id(b"id=000007-0000041", &id(7, 42)), Some(id(7, 41)));
        assert_eq!(foreign_id(b"id=000007-000004\" id= id=x id=7 ", &id(7, 42)), None);
    }
}

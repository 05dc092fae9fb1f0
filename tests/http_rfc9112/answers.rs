//! What a node sent, taken apart without trust: every head must be sound, every body framed as its head says, every error
//! in JSON. Anything else is a fault of ours.

use serde_json::Value;

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case, and values.
    pub(crate) fields: Vec<(String, String)>,
    /// Without its framing.
    pub(crate) body: Vec<u8>,
    /// It answers a HEAD.
    pub(crate) to_head: bool,
}

impl Answer {
    /// The first value of a field.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Whether it says that the connection ends.
    pub(crate) fn closes(&self) -> bool {
        self.value("connection") == Some("close")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or("(no text)")
    }
}

/// All final answers in `bytes`; `to_head` says of each in order whether it answers a HEAD. Errors: what is unsound.
pub(crate) fn take_apart(bytes: &[u8], to_head: &[bool]) -> Result<Vec<Answer>, String> {
    let mut answers: Vec<Answer> = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let to_head = to_head.get(answers.len()).copied().unwrap_or(false);
        let (answer, behind) = take(rest, to_head)?;
        rest = behind;
        match answer.status {
            100 if answer.fields.is_empty() => {}
            100..=199 => return Err(format!("an interim answer {}", answer.status)),
            status if answer.value("date").is_none() => return Err(format!("a {status} without a date")),
            _ => answers.push(answer),
        }
    }
    answers.iter().try_for_each(check_error)?;
    Ok(answers)
}

fn take(bytes: &[u8], to_head: bool) -> Result<(Answer, &[u8]), String> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").ok_or("half a head")?;
    let (head, rest) = bytes.split_at(end + 4);
    let mut answer = parse_head(&head[..end])?;
    answer.to_head = to_head;
    let rest = match (answer.value("content-length"), answer.value("transfer-encoding")) {
        _ if to_head || matches!(answer.status, 100..=199 | 204 | 304) => rest,
        (Some(length), None) => {
            let length: usize = length.parse().map_err(|_| format!("a length {length}"))?;
            answer.body = rest.get(..length).ok_or("half a body")?.to_vec();
            &rest[length..]
        }
        (None, None) if answer.closes() => {
            answer.body = rest.to_vec();
            &[]
        }
        framing => return Err(format!("framing {framing:?}")),
    };
    Ok((answer, rest))
}

fn parse_head(head: &[u8]) -> Result<Answer, String> {
    // Each byte for itself: what a provider's value holds need not be UTF-8.
    let text: String = head.iter().map(|byte| char::from(*byte)).collect();
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|line| line.get(..3)).ok_or(format!("{line:?}"))?;
    let status = status.parse().map_err(|_| format!("{line:?}"))?;
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or(format!("{line:?}"))?;
        let name = name.to_ascii_lowercase();
        if name.contains(|c: char| !c.is_ascii_graphic()) || value.contains(['\0', '\r', '\n']) {
            return Err(format!("{line:?}"));
        }
        let decides =
            matches!(&*name, "content-length" | "transfer-encoding" | "connection" | "content-type" | "date");
        if decides && fields.iter().any(|(before, _)| *before == name) {
            return Err(format!("{name} stands twice"));
        }
        fields.push((name, value.to_owned()));
    }
    Ok(Answer { status, fields, body: Vec::new(), to_head: false })
}

/// Whose words an error is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Native,
    OpenAi,
    Anthropic,
}

impl Answer {
    /// Of an error: its shape, as far as it has one.
    pub(crate) fn shape(&self) -> Option<Shape> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        let keys: Vec<&str> = body.as_object()?.keys().map(String::as_str).collect();
        match keys.as_slice() {
            ["error"] if body["error"].get("param").is_some() => Some(Shape::OpenAi),
            ["error", "request_id", "type"] if body["type"] == "error" => Some(Shape::Anthropic),
            _ if body["is_bifrost_error"].is_boolean() => Some(Shape::Native),
            _ => None,
        }
    }
}

/// An error says what is wrong, in JSON.
fn check_error(answer: &Answer) -> Result<(), String> {
    if answer.status < 400 || answer.to_head {
        return Ok(());
    }
    let body: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    let has_words = body["error"]["message"].as_str().is_some_and(|message| !message.is_empty());
    let is_json = answer.value("content-type") == Some("application/json");
    (has_words && is_json).then_some(()).ok_or(format!("an error without words: {body}"))
}

//! Where a neutral part stands in a caller's request. Errors are rare, so nothing is kept for them: the input is read once more.

use super::{WireItem, decode};
use crate::chat::Role;
use crate::dialect::json::{self, Span, Text};

/// A neutral part: its message, its index there, and its index inside a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dialect::responses) struct Neutral {
    message: usize,
    part: Option<usize>,
    inner: Option<usize>,
}

impl Neutral {
    /// Of a path such as `messages[1].content[0].content[2]`; `None`: another path.
    pub(in crate::dialect::responses) fn of(path: &str) -> Option<Self> {
        let (message, rest) = index(path, "messages[")?;
        let part = index(rest, ".content[");
        let inner = part.and_then(|(_, rest)| index(rest, ".content["));
        Some(Self { message, part: part.map(|(at, _)| at), inner: inner.map(|(at, _)| at) })
    }

    /// The same place in the words of `body`'s caller.
    pub(in crate::dialect::responses) fn path(self, body: &[u8]) -> Option<String> {
        let fields = json::fields(body).ok()?;
        let has_instructions = fields.iter().any(|(name, _)| name == "instructions");
        let Some(message) = self.message.checked_sub(usize::from(has_instructions)) else {
            return Some("instructions".to_owned());
        };
        let input = fields.into_iter().find(|(name, _)| name == "input")?.1;
        if input.first() == b'"' {
            return Some("input".to_owned());
        }
        self.among(&input.parse::<Vec<Span<'_>>>(&"input").ok()?, message)
    }

    /// Walks the items as they become messages.
    fn among(self, spans: &[Span<'_>], wanted: usize) -> Option<String> {
        let (mut messages, mut last, mut parts_before) = (0_usize, None, 0);
        for (at, span) in spans.iter().enumerate() {
            let item: WireItem<'_> = span.parse(&"").ok()?;
            let (role, parts) = decode(&item, &"", &mut Vec::new()).ok()?;
            if role == Role::Assistant && parts.is_empty() {
                continue;
            }
            if role != Role::Assistant || last != Some(Role::Assistant) {
                (messages, parts_before) = (messages + 1, 0);
            }
            last = Some(role);
            let part = self.part.unwrap_or(0).checked_sub(parts_before);
            parts_before += parts.len();
            if messages == wanted + 1 && part.is_some_and(|part| part < parts.len()) {
                return Some(self.inside(at, &item, part.filter(|_| self.part.is_some())));
            }
        }
        None
    }

    fn inside(self, at: usize, item: &WireItem<'_>, part: Option<usize>) -> String {
        let is_list = |value: Option<Span<'_>>| value.is_some_and(|value| value.first() == b'[');
        match (item.kind.as_ref().map(|Text(kind)| &**kind), part, self.inner) {
            (Some("function_call_output"), _, Some(inner)) if is_list(item.output) => {
                format!("input[{at}].output[{inner}]")
            }
            (Some("function_call_output"), _, Some(_)) => format!("input[{at}].output"),
            (None | Some("message"), Some(part), _) if is_list(item.content) => {
                format!("input[{at}].content[{part}]")
            }
            (None | Some("message"), Some(_), _) => format!("input[{at}].content"),
            _ => format!("input[{at}]"),
        }
    }
}

/// A number behind `start` and in front of `]`, and what follows.
fn index<'p>(path: &'p str, start: &str) -> Option<(usize, &'p str)> {
    let (digits, rest) = path.strip_prefix(start)?.split_once(']')?;
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_the_callers() {
        let body = br#"{"instructions":"s","input":[{"role":"user","content":"a"},{"type":"reasoning","summary":[]},{"role":"assistant","content":[{"type":"output_text","text":"b"},{"type":"refusal","refusal":"c"}]},{"type":"function_call","call_id":"c","name":"f","arguments":""},{"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"d"}]},{"type":"function_call_output","call_id":"d","output":"e"},{"role":"user","content":[{"type":"input_text","text":"f"}]}]}"#;
        for (neutral, expected) in [
            ("messages[0].content[0]", Some("instructions")),
            ("messages[1].content[0]", Some("input[0].content")),
            ("messages[1]", Some("input[0]")),
            ("messages[2].content[0]", Some("input[2].content[0]")),
            ("messages[2].content[1]", Some("input[2].content[1]")),
            ("messages[2].content[2]", Some("input[3]")),
            ("messages[3].content[0].content[0]", Some("input[4].output[0]")),
            ("messages[3].content[0]", Some("input[4]")),
            ("messages[4].content[0].content[0]", Some("input[5].output")),
            ("messages[5].content[0]", Some("input[6].content[0]")),
            ("messages[6].content[0]", None),
            ("messages[2].content[3]", None),
        ] {
            let path = Neutral::of(neutral).unwrap().path(body);
            assert_eq!(path.as_deref(), expected, "{neutral}");
        }
        assert_eq!(Neutral::of("tools[0]"), None);
        assert_eq!(Neutral::of("messages[0]").unwrap().path(br#"{"input":"x"}"#).as_deref(), Some("input"));
    }
}

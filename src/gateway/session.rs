//! What makes requests belong together, so that the same key serves them and the provider's prompt cache is warm: the
//! caller's session, or else what its body marks to be cached. Which key that is, is `routing`'s to say.

use std::ops::Range;

use memchr::memmem;

use super::asked::Asked;
use super::exchange::Exchange;
use crate::dialect::Dialect;
use crate::dialect::look::{self, Look};
use crate::net::server::Request;
use crate::routing::{sticky, target};

/// Longest `x-bf-session-id`, bytes, as in Bifrost; a longer one counts for nothing.
const ID_BYTES_MAX: usize = 255;
/// Most of a cached prefix, or of its name, that decides, bytes.
const PREFIX_BYTES_MAX: usize = 64 * 1024;
/// Longest body that is looked through for marks, bytes: a core does that in one go, in about 2 ms.
const MARKED_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What Anthropic caches, in the order in which it does (its prompt caching guide).
const CACHED: [&str; 3] = ["tools", "system", "messages"];
const MESSAGES: usize = 2;
/// The mark of a block up to whose end all is cached.
const MARK: &[u8] = b"\"cache_control\"";

/// The number of the request's session; `None`: it has none, does not want one, or the provider that its model means has
/// no two keys.
pub(super) fn of(request: &Request, exchange: &Exchange<'_>, asked: &Asked) -> Option<u64> {
    let noted = exchange.noted;
    let is_off = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"off");
    if noted.session_affinity.value(request).is_some_and(is_off) {
        return None;
    }
    let id = noted.session_id.value(request).map(<[u8]>::trim_ascii);
    if let Some(id) = id.filter(|id| (1..=ID_BYTES_MAX).contains(&id.len())) {
        return Some(sticky::session_of(id));
    }
    let body = request.body();
    match exchange.caller_dialect()? {
        Dialect::OpenAi | Dialect::Responses => {
            let name = asked.prompt_cache_key.clone().filter(|_| has_choice(exchange, asked))?;
            named(body, name)
        }
        Dialect::Anthropic if has_choice(exchange, asked) => marked(body),
        Dialect::Anthropic | Dialect::Gemini | Dialect::Cohere | Dialect::Bedrock => None,
    }
}

/// Whether the provider that the model means has several keys.
fn has_choice(exchange: &Exchange<'_>, asked: &Asked) -> bool {
    let home = exchange.home;
    let target = target::locate(&exchange.snapshot, &asked.model, home).ok();
    let provider = target.and_then(|target| exchange.snapshot.providers.get(usize::from(target.provider.0)));
    provider.is_some_and(|provider| provider.keys.len() > 1)
}

/// By OpenAI's `prompt_cache_key`.
fn named(body: &[u8], name: Range<usize>) -> Option<u64> {
    let name = body.get(name).and_then(look::string_value).filter(|name| !name.is_empty())?;
    let name = name.as_bytes();
    Some(sticky::session_of(name.get(..PREFIX_BYTES_MAX).unwrap_or(name)))
}

/// By the prefix up to the end of what bears Anthropic's first `cache_control`; where that is a message, by the first message,
/// since the mark moves on with each turn of a conversation. A mark at the body's top level would do so, too, and is none.
fn marked(body: &[u8]) -> Option<u64> {
    if body.len() > MARKED_BODY_BYTES_MAX || memmem::find(body, MARK).is_none() {
        return None;
    }
    let mut look = Look::new(&CACHED);
    look.push(body).ok()?;
    let members = look.finish().ok()?;
    let mut prefix = Vec::new();
    for index in 0..CACHED.len() {
        let value = members.value(index).and_then(|span| body.get(span)).unwrap_or_default();
        let room = PREFIX_BYTES_MAX - prefix.len();
        let mark = memmem::find(value, MARK);
        if mark.is_some() && index == MESSAGES {
            prefix.extend(first_message(value.get(..room).unwrap_or(value)));
            return Some(sticky::session_of(&prefix));
        }
        let piece = value.get(..room).unwrap_or(value);
        let end = mark.map_or(piece.len(), |mark| end_of_object(piece, mark));
        prefix.extend_from_slice(piece.get(..end).unwrap_or(piece));
        if mark.is_some() {
            return Some(sticky::session_of(&prefix));
        }
    }
    None
}

/// The first of the messages as it reads with and without marks: these go, and so do commas, which stand before or behind.
fn first_message(messages: &[u8]) -> Vec<u8> {
    let start = memchr::memchr(b'{', messages).map_or(messages.len(), |at| at + 1);
    let mut rest = messages.get(start..end_of_object(messages, start)).unwrap_or_default();
    let mut plain = Vec::with_capacity(rest.len());
    while let Some(mark) = memmem::find(rest, MARK) {
        plain.extend_from_slice(rest.get(..mark).unwrap_or_default());
        let behind = rest.get(mark + MARK.len()..).unwrap_or_default();
        let value = memchr::memchr(b'{', behind).map_or(behind.len(), |at| at + 1);
        rest = behind.get(end_of_object(behind, value) + 1..).unwrap_or_default();
    }
    plain.extend_from_slice(rest);
    plain.retain(|byte| *byte != b',' && !byte.is_ascii_whitespace());
    plain
}

/// Where the object ends of which a key begins at `key`, or `json`: some write their keys in alphabetical order, a block's
/// text behind its mark.
fn end_of_object(json: &[u8], key: usize) -> usize {
    let (mut depth, mut in_text, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in json.iter().enumerate().skip(key) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(body: &str) -> Option<u64> {
        marked(body.as_bytes())
    }

    #[test]
    fn what_stands_before_the_first_mark_decides() {
        let body = |tools: &str, system: &str, messages: &str| {
            format!(r#"{{"messages":[{messages}],"model":"m","system":[{system}],"tools":[{tools}]}}"#)
        };
        let first = r#"{"type":"text","cache_control":{"type":"ephemeral"},"text":"b }\" \\"}"#;
        let mark = r#"{"type":"text","text":"b","cache_control":{"type":"ephemeral"}}"#;
        let by_text = |text: &str| session(&body("1", &first.replace('b', text), "2"));
        assert_ne!(by_text("b"), by_text("c"), "what is marked counts, wherever its mark stands");
        assert_eq!(by_text("b"), session(&body("1", first, "3")));
        let first = session(&body("1", mark, "2"));
        assert!(first.is_some());
        assert_eq!(first, session(&body("1", mark, "3,4")), "what is behind it does not");
        assert_eq!(first, session(&body("1", &format!("{mark},5"), mark)), "nor another mark");
        assert_ne!(first, session(&body("6", mark, "2")), "the tools stand before it");
        assert_ne!(first, session(&body("1", &mark.replace('b', "c"), "2")));
        assert_ne!(session(&body("1", "2", mark)), session(&body("1", "3", mark)));
    }

    #[test]
    fn a_mark_that_moves_on_with_each_turn_is_one_session() {
        let turns = |messages: &str| session(&format!(r#"{{"system":"s","messages":[{messages}]}}"#));
        let (plain, mark) = (r#"{"type":"text","text":"a, b"}"#, r#""cache_control": {"type":"ephemeral"}"#);
        let marked = [
            format!(r#"{{"role":"user","content":[{{"type":"text","text":"a, b",{mark}}}]}}"#),
            format!(r#"{{"role":"user", "content":[{{{mark}, "type":"text","text":"a, b"}}]}}"#),
            format!(
                r#"{{"role":"user","content":[{plain}]}},{{"role":"assistant","content":"x"}},{{{mark}}}"#
            ),
        ];
        let sessions = marked.each_ref().map(|messages| turns(messages));
        assert!(sessions[0].is_some());
        assert_eq!(sessions, [sessions[0]; 3]);
        assert_ne!(sessions[0], turns(&marked[0].replace("a, b", "c")));
        assert_eq!(turns(&format!("[{{{mark}")), None, "cut");
    }

    #[test]
    fn no_mark_is_no_session() {
        for body in [
            "{}",
            r#"{"messages":["cache_control"]}"#,
            r#"{"cache_control":{"type":"ephemeral"},"messages":[1]}"#,
            r#"{"metadata":{"cache_control":1},"system":"x"}"#,
            r#"{"tools":1,"tools":{"cache_control":1}}"#,
            r#"{"tools":{"cache_control":1}"#,
        ] {
            // A word of the caller's may look like a mark; that is no harm.
            let expected = body.contains(r#"["cache_control"]"#).then(|| sticky::session_of(b""));
            assert_eq!(session(body), expected, "{body}");
        }
        let long =
            format!(r#"{{"tools":"{}","system":{{"cache_control":1}}}}"#, "x".repeat(MARKED_BODY_BYTES_MAX));
        assert_eq!(session(&long), None);
    }

    #[test]
    fn a_long_prefix_is_read_to_its_limit() {
        let body = |at: usize, byte: &str| {
            let mut text = "x".repeat(2 * PREFIX_BYTES_MAX);
            text.replace_range(at..=at, byte);
            format!(r#"{{"tools":"{text}","system":[{{"cache_control":1}}]}}"#)
        };
        let plain = session(&body(0, "x"));
        assert!(plain.is_some());
        assert_eq!(plain, session(&body(PREFIX_BYTES_MAX - 1, "y")), "the quote is the first byte");
        assert_ne!(plain, session(&body(PREFIX_BYTES_MAX - 2, "y")));
    }

    #[test]
    fn a_named_prefix_is_its_text() {
        let named = |body: &str| {
            let mut look = Look::new(&["prompt_cache_key"]);
            look.push(body.as_bytes()).unwrap();
            named(body.as_bytes(), look.finish().unwrap().value(0).unwrap())
        };
        assert_eq!(named(r#"{"prompt_cache_key":"a\u0062"}"#), Some(sticky::session_of(b"ab")));
        for none in
            [r#"{"prompt_cache_key":""}"#, r#"{"prompt_cache_key":null}"#, r#"{"prompt_cache_key":7}"#]
        {
            assert_eq!(named(none), None, "{none}");
        }
    }
}

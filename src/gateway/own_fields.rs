//! The headers of ours in an answer: which request it was, and for a conversation who answered, how, and after how many
//! attempts (`client.response_headers`). Bytes go straight into the head; nothing here asks a clock, or allocates.

use super::exchange::Exchange;
use super::trail::{Outcome, Tried};
use crate::config::snapshot::{ResponseHeaders, Snapshot};
use crate::http::encode;

/// Longest `x-corelane-attempt-trail`, bytes; what does not fit is counted at its end.
const TRAIL_BYTES_MAX: usize = 1_024;
/// Kept free for that count: `, +255 more`.
const TRAIL_REST_BYTES: usize = 16;
/// Longest `x-request-id` of a caller that is echoed, bytes.
pub(super) const REQUEST_ID_BYTES_MAX: usize = 255;

/// Appends them to the head in `out`, which has its status line.
pub(super) fn write(out: &mut Vec<u8>, exchange: &Exchange<'_>) {
    let wanted = exchange.snapshot.client.response_headers;
    if wanted == ResponseHeaders::None {
        return;
    }
    if let Some(id) = exchange.request_id.as_deref() {
        echo(out, id);
    }
    out.extend_from_slice(b"x-corelane-request-id: ");
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    out.extend_from_slice(exchange.id.hyphenated().encode_lower(&mut text).as_bytes());
    out.extend_from_slice(b"\r\n");
    if wanted == ResponseHeaders::Full && exchange.is_conversation() {
        conversation(out, exchange);
    }
}

fn conversation(out: &mut Vec<u8>, exchange: &Exchange<'_>) {
    out.extend_from_slice(exchange.node_field());
    number(out, b"x-corelane-generation: ", exchange.snapshot.generation);
    let (provider, key) = exchange.chosen();
    for (field, value) in [
        (b"x-corelane-provider: ".as_slice(), provider.map(|provider| &provider.name)),
        (b"x-corelane-key: ", key.map(|key| &key.name)),
    ] {
        if let Some(value) = value {
            out.extend_from_slice(field);
            push_name(out, value, b"");
            out.extend_from_slice(b"\r\n");
        }
    }
    number(out, b"x-corelane-attempts: ", exchange.trail.len() as u64);
    number(out, b"x-corelane-overhead-us: ", exchange.overhead_us());
    if exchange.trail.len() > 1 {
        out.extend_from_slice(b"x-corelane-attempt-trail: ");
        trail(out, &exchange.snapshot, exchange.trail.iter());
        out.extend_from_slice(b"\r\n");
    }
}

fn number(out: &mut Vec<u8>, field: &[u8], value: u64) {
    out.extend_from_slice(field);
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// `x-corelane-node` with the node's name, to be kept.
pub(super) fn node_field(node: &str) -> Box<[u8]> {
    let mut field = b"x-corelane-node: ".to_vec();
    push_name(&mut field, node, b"");
    field.extend_from_slice(b"\r\n");
    field.into()
}

/// `openai/first 429, anthropic/second 200`, the last with the status that the head says, if it is the one that answers.
fn trail<'t>(out: &mut Vec<u8>, snapshot: &Snapshot, attempts: impl Iterator<Item = &'t Tried>) {
    let mut answered = *b"000"; // behind `HTTP/1.1 `
    answered.iter_mut().zip(out.iter().skip(9)).for_each(|(digit, byte)| *digit = *byte);
    let from = out.len();
    let mut attempts = attempts.enumerate();
    while let Some((index, tried)) = attempts.next() {
        let before = out.len();
        out.extend_from_slice(if index > 0 { b", " } else { b"" });
        push_tried(out, snapshot, tried, &answered);
        if out.len() - from > TRAIL_BYTES_MAX - TRAIL_REST_BYTES {
            out.truncate(before);
            out.extend_from_slice(if index > 0 { b", +" } else { b"+" });
            let left_out = 1 + attempts.count();
            out.extend_from_slice(itoa::Buffer::new().format(left_out).as_bytes());
            out.extend_from_slice(b" more");
            return;
        }
    }
}

fn push_tried(out: &mut Vec<u8>, snapshot: &Snapshot, tried: &Tried, answered: &[u8]) {
    let provider = snapshot.providers.get(usize::from(tried.provider.0));
    let key = provider.zip(tried.key).and_then(|(provider, id)| provider.keys.get(usize::from(id.0)));
    if let Some(provider) = provider {
        push_name(out, &provider.name, b" ,/");
    }
    if let Some(key) = key {
        out.push(b'/');
        push_name(out, &key.name, b" ,/");
    }
    out.push(b' ');
    match tried.outcome {
        Outcome::UnderWay => out.extend_from_slice(answered),
        Outcome::Status(status) | Outcome::KeyRefused(status) => {
            out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
        }
        Outcome::Failed(kind) => out.extend_from_slice(kind.code().as_bytes()),
    }
}

/// A name in a header: printable ASCII as it is, everything else, `%` itself and what `also` names as RFC 3986 §2.1 encodes
/// their UTF-8.
fn push_name(out: &mut Vec<u8>, name: &str, also: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let stays = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'%' && !also.contains(&byte);
    for byte in name.bytes() {
        if stays(byte) {
            out.push(byte);
        } else {
            let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// The caller's `x-request-id`, as Bifrost has it. One of the provider's, which a vendor's support asks for, becomes
/// `x-corelane-provider-request-id`.
fn echo(out: &mut Vec<u8>, id: &[u8]) {
    const NAME: &[u8] = b"\r\nx-request-id:";
    let theirs = out.windows(NAME.len()).position(|window| window.eq_ignore_ascii_case(NAME));
    if let Some(at) = theirs {
        out.splice(at..at + NAME.len(), b"\r\nx-corelane-provider-request-id:".iter().copied());
    }
    encode::field(out, "x-request-id", id);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::load;
    use crate::config::snapshot::{KeyId, ProviderId};
    use crate::error::Kind;

    fn snapshot(key: &str) -> Snapshot {
        let config = serde_json::json!({ "providers": {
            "anthropic": { "keys": [{ "name": key, "value": "v", "models": ["*"] }] },
            "own": { "custom_provider_config": { "base_provider_type": "openai", "is_key_less": true } },
        } });
        load(config.to_string().as_bytes(), "c", &|_: &str| None)
            .map_err(|faults| format!("{faults:?}"))
            .unwrap()
            .snapshot
    }

    fn tried(provider: u16, key: Option<u16>, outcome: Outcome) -> Tried {
        let (wait, took) = (Duration::ZERO, Duration::ZERO);
        Tried {
            leg: 0,
            provider: ProviderId(provider),
            key: key.map(KeyId),
            outcome,
            wait,
            took,
            queued: Duration::ZERO,
        }
    }

    fn written(snapshot: &Snapshot, attempts: &[Tried]) -> String {
        let mut out = b"HTTP/1.1 207 Multi-Status\r\n".to_vec();
        let from = out.len();
        trail(&mut out, snapshot, attempts.iter());
        String::from_utf8(out.split_off(from)).unwrap()
    }

    #[test]
    fn names_are_encoded_so_that_they_can_be_read_back() {
        let encoded = |name: &str, also: &[u8]| {
            let mut out = Vec::new();
            push_name(&mut out, name, also);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(encoded("openai-primary", b""), "openai-primary");
        assert_eq!(encoded("a b", b""), "a b");
        assert_eq!(encoded("schlüssel 1", b" "), "schl%C3%BCssel%201");
        assert_eq!(encoded("100%", b""), "100%25");
        assert_eq!(encoded("a\r\nb\u{7f}", b""), "a%0D%0Ab%7F");
        assert_eq!(encoded("鍵", b""), "%E9%8D%B5");
    }

    #[test]
    fn a_trail_says_what_became_of_each_attempt() {
        let snapshot = snapshot("a key, ä/b");
        let attempts = [
            tried(0, Some(0), Outcome::Status(429)),
            tried(0, Some(0), Outcome::Failed(Kind::UpstreamTimeout)),
            tried(1, None, Outcome::UnderWay),
        ];
        let code = Kind::UpstreamTimeout.code();
        let key = "anthropic/a%20key%2C%20%C3%A4%2Fb";
        assert_eq!(written(&snapshot, &attempts), format!("{key} 429, {key} {code}, own 207"));
    }

    #[test]
    fn a_long_trail_ends_with_a_count() {
        let snapshot = snapshot("first");
        let attempts = vec![tried(0, Some(0), Outcome::Status(503)); 256];
        let text = written(&snapshot, &attempts);
        assert!(text.len() <= TRAIL_BYTES_MAX, "{}", text.len());
        let whole = text.matches("anthropic/first 503").count();
        assert!(whole > 40 && text.ends_with(&format!("503, +{} more", 256 - whole)), "{text}");
        let long = self::snapshot(&"ä".repeat(127));
        let text = written(&long, &attempts);
        assert!(text.ends_with("more") && text.len() <= TRAIL_BYTES_MAX, "{text}");
    }

    #[test]
    fn a_callers_request_id_takes_the_place_of_the_providers() {
        let mut out = b"HTTP/1.1 200 OK\r\nX-Request-Id: req_1\r\ndate: x\r\n".to_vec();
        echo(&mut out, b"mine");
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "HTTP/1.1 200 OK\r\nx-corelane-provider-request-id: req_1\r\ndate: x\r\nx-request-id: mine\r\n"
        );
        let mut out = b"HTTP/1.1 200 OK\r\n".to_vec();
        echo(&mut out, b"mine\r\nx: y");
        assert_eq!(out, b"HTTP/1.1 200 OK\r\nx-request-id: minex: y\r\n");
    }
}

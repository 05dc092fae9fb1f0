//! How InvokeModel wraps Anthropic's messages
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html>): a body without
//! `model` and `stream`, with a version of its own; a stream whose events stand in base64 inside frames of type `chunk`.
//! What the bodies say is Anthropic's own room's.

use std::ops::Range;

use serde::Deserialize;

use super::error;
use crate::dialect::event_stream::{self, Frame};
use crate::dialect::json::{Object, Text, write_string};
use crate::dialect::{Dialect, anthropic};
use crate::dialect::{base64, decode_error};
use crate::error::Error;

/// The value of `anthropic_version`.
pub const VERSION: &str = "bedrock-2023-05-31";
/// The keys of a body that stand elsewhere at Anthropic itself: the version, and the header `anthropic-beta` as a list.
pub const KEYS: [&str; 2] = ["anthropic_version", "anthropic_beta"];

/// A replacement of some bytes of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which bytes.
    pub span: Range<usize>,
    /// What stands there instead.
    pub bytes: Vec<u8>,
}

/// What makes a body of Anthropic's one of InvokeModel's: `brace` is where its object begins, `has_others` whether any
/// member but those of `cuts` is in it, `cuts` are its `model`, `stream` and whatever else must go, each with its comma, and
/// `betas` the values of the caller's `anthropic-beta` headers. All else stays to the byte.
pub fn wrapping(brace: usize, has_others: bool, cuts: &[Range<usize>], betas: &[&[u8]]) -> Vec<Change> {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(b"\"anthropic_version\":");
    write_string(&mut bytes, VERSION);
    let names = betas.iter().flat_map(|value| value.split(|byte| *byte == b','));
    let names: Vec<_> = names.filter_map(|name| std::str::from_utf8(name.trim_ascii()).ok()).collect();
    let mut names = names.into_iter().filter(|name| !name.is_empty()).peekable();
    if names.peek().is_some() {
        bytes.extend_from_slice(b",\"anthropic_beta\":[");
        while let Some(name) = names.next() {
            write_string(&mut bytes, name);
            bytes.extend_from_slice(if names.peek().is_some() { b"," } else { b"]" });
        }
    }
    bytes.extend_from_slice(if has_others { b"," } else { b"" });
    changed((brace + 1, bytes), cuts)
}

/// The other way round, for a provider that speaks Anthropic's own API: the model and the stream are said, `cuts` are the
/// members of [`KEYS`].
pub fn unwrapping(
    brace: usize,
    has_others: bool,
    cuts: &[Range<usize>],
    (model, stream): (&str, bool),
) -> Vec<Change> {
    let mut bytes = b"\"model\":".to_vec();
    write_string(&mut bytes, model);
    if stream {
        bytes.extend_from_slice(b",\"stream\":true");
    }
    bytes.extend_from_slice(if has_others { b"," } else { b"" });
    changed((brace + 1, bytes), cuts)
}

fn changed((at, bytes): (usize, Vec<u8>), cuts: &[Range<usize>]) -> Vec<Change> {
    let first = Change { span: at..at, bytes };
    let cut = cuts.iter().map(|span| Change { span: span.clone(), bytes: Vec::new() });
    std::iter::once(first).chain(cut).collect()
}

/// The betas that a body's `anthropic_beta` names, as one value of the header; `None`: it is no list of names.
pub fn beta_header(value: &[u8]) -> Option<String> {
    let names: Vec<Text<'_>> = serde_json::from_slice(value).ok()?;
    let is_token =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    let names: Vec<&str> = names.iter().map(|name| &*name.0).collect();
    (!names.is_empty() && names.iter().all(|name| is_token(name))).then(|| names.join(","))
}

#[derive(Deserialize)]
struct WireChunk<'a> {
    #[serde(borrow)]
    bytes: Text<'a>,
}

#[derive(Deserialize)]
struct WireType<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
}

/// Appends what a frame of InvokeModel's stream is at Anthropic itself: one server-sent event, or none of a type that we
/// have not heard of. Errors: what the frame says went wrong ([`Error::upstream`]), or it holds no event.
pub fn unwrap_event(frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    if let Some(fault) = error::of_frame(frame) {
        return Err(Error::upstream(fault));
    }
    if frame.text(":event-type") != Some("chunk") {
        return Ok(());
    }
    let broken = || Error::unusable_answer("a chunk of its stream holds no event");
    let chunk: WireChunk<'_> = serde_json::from_slice(frame.payload).map_err(|_| broken())?;
    let data = base64::decode(&chunk.bytes.0).ok_or_else(broken)?;
    let kind: WireType<'_> = serde_json::from_slice(&data).map_err(|_| broken())?;
    // Line ends would end the event; a name has none.
    if data.iter().any(|byte| matches!(byte, b'\n' | b'\r')) || kind.kind.0.contains(['\n', '\r']) {
        return Err(broken());
    }
    for piece in [b"event: ".as_slice(), kind.kind.0.as_bytes(), b"\ndata: ", &data, b"\n\n"] {
        out.extend_from_slice(piece);
    }
    Ok(())
}

/// Appends the frame of InvokeModel's stream that one event of Anthropic's is there; a `ping` is none, and an error is an
/// exception.
pub fn wrap_event(name: Option<&[u8]>, data: &[u8], out: &mut Vec<u8>) {
    match name {
        Some(b"ping") => {}
        Some(b"error") => {
            let mut fault = decode_error(Dialect::Anthropic, 500, data);
            fault.status = anthropic::error::status(&fault.kind);
            error::write_frame(&Error::upstream(fault), out);
        }
        _ => {
            let headers =
                [(":event-type", "chunk"), (":content-type", "application/json"), (":message-type", "event")];
            event_stream::write(out, &headers, |out| {
                let mut letters = Vec::new();
                base64::encode(&mut letters, data);
                let mut chunk = Object::begin(out);
                chunk.text("bytes", &String::from_utf8_lossy(&letters));
                chunk.end();
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::event_stream::frames;

    fn applied(body: &str, changes: &[Change]) -> String {
        let mut body = body.to_owned();
        for change in changes.iter().rev() {
            body.replace_range(change.span.clone(), std::str::from_utf8(&change.bytes).unwrap());
        }
        body
    }

    #[test]
    fn a_body_is_wrapped_and_all_else_keeps_its_bytes() {
        let body = r#" {"model":"m","max_tokens": 9,"stream":true, "x":1.50}"#;
        let cuts = [body.find(r#""model""#).unwrap()..body.find(r#""max"#).unwrap(), {
            let at = body.find(r#","stream""#).unwrap();
            at..at + r#","stream":true"#.len()
        }];
        assert_eq!(
            applied(body, &wrapping(1, true, &cuts, &[])),
            r#" {"anthropic_version":"bedrock-2023-05-31","max_tokens": 9, "x":1.50}"#
        );
        let betas: [&[u8]; 2] = [b"a-1, b-2", b"c"];
        assert_eq!(
            applied("{}", &wrapping(0, false, &[], &betas)),
            r#"{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["a-1","b-2","c"]}"#
        );
        assert_eq!(
            applied(r#"{"max_tokens":9}"#, &unwrapping(0, true, &[], ("m\"", true))),
            r#"{"model":"m\"","stream":true,"max_tokens":9}"#
        );
        assert_eq!(beta_header(br#"["a","b"]"#).as_deref(), Some("a,b"));
        for none in ["[]", "7", r#"["a,b"]"#, r#"["a\r\nb"]"#] {
            assert_eq!(beta_header(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn events_go_through_frames_and_come_back() {
        let events: [(&str, &str); 3] = [
            ("message_start", r#"{"type":"message_start","message":{"id":"é"}}"#),
            ("content_block_delta", r#"{"type":"content_block_delta","index":0}"#),
            ("message_stop", r#"{"type":"message_stop"}"#),
        ];
        let (mut wrapped, mut back, mut expected) = (Vec::new(), Vec::new(), String::new());
        for (name, data) in events {
            wrap_event(Some(name.as_bytes()), data.as_bytes(), &mut wrapped);
            expected.push_str(&format!("event: {name}\ndata: {data}\n\n"));
        }
        wrap_event(Some(b"ping"), b"{}", &mut wrapped);
        for frame in frames(&wrapped) {
            unwrap_event(&frame.unwrap(), &mut back).unwrap();
        }
        assert_eq!(String::from_utf8(back).unwrap(), expected);
    }

    #[test]
    fn an_error_is_an_exception_both_ways() {
        let mut out = Vec::new();
        let data = br#"{"type":"error","error":{"type":"overloaded_error","message":"later"}}"#;
        wrap_event(Some(b"error"), data, &mut out);
        let frame = frames(&out).next().unwrap().unwrap();
        assert_eq!(frame.text(":exception-type"), Some("serviceUnavailableException"));
        let error = unwrap_event(&frame, &mut Vec::new()).unwrap_err();
        assert_eq!((error.status(), &*error.message), (503, "later"));
        let mut bad = Vec::new();
        event_stream::write(&mut bad, &[(":event-type", "chunk")], |out| {
            out.extend_from_slice(b"{\"bytes\":\"?\"}")
        });
        assert!(unwrap_event(&frames(&bad).next().unwrap().unwrap(), &mut Vec::new()).is_err());
    }
}

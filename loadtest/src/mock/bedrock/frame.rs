//! Frames of `application/vnd.amazon.eventstream` (<https://smithy.io/2.0/aws/amazon-eventstream.html>), written.

use flate2::Crc;
use serde_json::{Value, json};

/// One frame of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Frame {
    /// All its bytes.
    pub(super) bytes: Vec<u8>,
    /// It carries a part of the answer.
    pub(super) is_content: bool,
}

impl Frame {
    /// An event that opens, closes or counts.
    pub(super) fn event(name: &str, payload: Value) -> Self {
        let headers =
            [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
        Self { bytes: written(&headers, payload.to_string().as_bytes()), is_content: false }
    }

    /// One that carries a part of the answer.
    pub(super) fn content(name: &str, payload: Value) -> Self {
        Self { is_content: true, ..Self::event(name, payload) }
    }

    /// One of InvokeModel's.
    pub(super) fn chunk(bytes: &[u8]) -> Self {
        Self::event("chunk", json!({"bytes": base64(bytes), "p": "abc"}))
    }

    fn exception(name: &str, message: &str) -> Self {
        let headers = [
            (":exception-type", name),
            (":content-type", "application/json"),
            (":message-type", "exception"),
        ];
        Self {
            bytes: written(&headers, json!({ "message": message }).to_string().as_bytes()),
            is_content: false,
        }
    }
}

/// The first `error_after` frames of content and what opens them, then an exception; all without one.
pub(super) fn fail_after(mut frames: Vec<Frame>, error_after: Option<usize>) -> Vec<Frame> {
    let Some(limit) = error_after else { return frames };
    let mut content = 0;
    let end = frames.iter().position(|frame| {
        content += usize::from(frame.is_content);
        content > limit
    });
    frames.truncate(end.unwrap_or(frames.len()));
    frames.push(Frame::exception("throttlingException", "The mock was told to fail here."));
    frames
}

/// As a plan takes them.
pub(super) fn parts(frames: &[Frame]) -> Vec<(&[u8], bool)> {
    frames.iter().map(|frame| (frame.bytes.as_slice(), frame.is_content)).collect()
}

fn written(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    for (name, text) in headers {
        all.push(name.len() as u8);
        all.extend_from_slice(name.as_bytes());
        all.push(7);
        all.extend_from_slice(&(text.len() as u16).to_be_bytes());
        all.extend_from_slice(text.as_bytes());
    }
    let mut frame = Vec::with_capacity(all.len() + payload.len() + 16);
    frame.extend_from_slice(&(all.len() as u32 + payload.len() as u32 + 16).to_be_bytes());
    frame.extend_from_slice(&(all.len() as u32).to_be_bytes());
    frame.extend_from_slice(&checksum(&frame));
    frame.extend_from_slice(&all);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&checksum(&frame));
    frame
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_be_bytes()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4_usize {
            let letter = ALPHABET.get((bits >> (18 - 6 * place)) as usize & 63).copied().unwrap_or(b'A');
            text.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

//! WebSocket as bytes (RFC 6455): the keys of a handshake, heads of frames, masks, what a close says, and the order in which
//! frames may follow each other. No extensions (§9): a reserved bit is an error. It keeps no payload and owns no socket; what
//! is said in the frames is `dialect`'s.

mod order;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

pub use self::order::{Order, Step};

/// Longest payload of a control frame, bytes (§5.5).
pub const CONTROL_BYTES_MAX: usize = 125;
/// Longest head of a frame, bytes (§5.2).
pub const HEAD_BYTES_MAX: usize = 14;
/// The only version (§4.1).
pub const VERSION: &[u8] = b"13";
/// Bytes of a key before its base64 (§4.1).
const KEY_BYTES: usize = 16;
/// What a key is hashed with (§1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a frame is (§5.2, §11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message before.
    Continuation,
    /// A message's beginning, in UTF-8.
    Text,
    /// A message's beginning, of bytes.
    Binary,
    /// The last frame of its sender.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping, or nothing.
    Pong,
}

impl Opcode {
    fn of(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    /// Whether it may stand between the frames of a message (§5.5).
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The four bytes of a mask (§5.3).
pub type Mask = [u8; 4];

/// Who sent a frame: a client masks each, a server none (§5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Whoever asked for the upgrade.
    Client,
    /// Whoever granted it.
    Server,
}

/// A frame but for its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What it is.
    pub opcode: Opcode,
    /// Whether its message ends with it.
    pub is_final: bool,
    /// What its payload is masked with.
    pub mask: Option<Mask>,
    /// Bytes of the payload, under 2^63.
    pub payload_bytes: u64,
}

/// What a peer did that ends the connection, as a close says it (§7.4.1): 1002, the protocol is broken; 1007, a text is no UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The status of the close that is due.
    pub code: u16,
    /// In words.
    pub reason: &'static str,
}

impl Broken {
    const fn protocol(reason: &'static str) -> Self {
        Self { code: 1002, reason }
    }
}

/// The value of `sec-websocket-accept` for a key (§4.2.2). `None`: it is no key (§4.1).
pub fn accept(key: &[u8]) -> Option<String> {
    let bytes = STANDARD.decode(key).ok()?;
    let hash = || digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
    (bytes.len() == KEY_BYTES).then(|| STANDARD.encode(hash()))
}

/// The key of a handshake that is begun, made of chance (§4.1).
pub fn key(chance: [u8; KEY_BYTES]) -> String {
    STANDARD.encode(chance)
}

/// The head that `bytes`, sent by `sender`, begin with, and its length, bytes. `None`: some of it is missing. Errors: it breaks
/// §5.1 or §5.2.
pub fn head(bytes: &[u8], sender: Sender) -> Result<Option<(Head, usize)>, Broken> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(Broken::protocol("a reserved bit is set, and no extension was agreed on"));
    }
    let opcode = Opcode::of(first & 0x0F).ok_or(Broken::protocol("a frame's opcode is none"))?;
    let (is_final, is_masked) = (first & 0x80 != 0, second & 0x80 != 0);
    if is_masked != (sender == Sender::Client) {
        return Err(Broken::protocol("a client masks its frames, and a server does not"));
    }
    let Some((payload_bytes, length_bytes)) = length(second & 0x7F, rest)? else { return Ok(None) };
    if opcode.is_control() && (!is_final || payload_bytes > CONTROL_BYTES_MAX as u64) {
        return Err(Broken::protocol("a control frame has at most 125 bytes and is one"));
    }
    let behind = rest.get(length_bytes..).unwrap_or_default();
    let mask = match is_masked {
        false => None,
        true => match behind.first_chunk() {
            Some(mask) => Some(*mask),
            None => return Ok(None),
        },
    };
    let head_bytes = 2 + length_bytes + if is_masked { 4 } else { 0 };
    Ok(Some((Head { opcode, is_final, mask, payload_bytes }, head_bytes)))
}

/// A payload's length by its seven bits and what follows them, and of how many bytes that is (§5.2: the fewest that do).
fn length(bits: u8, rest: &[u8]) -> Result<Option<(u64, usize)>, Broken> {
    let (length, bytes, least) = match bits {
        126 => (rest.first_chunk().map(|bytes| u64::from(u16::from_be_bytes(*bytes))), 2, 126),
        127 => (rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)), 8, 1 << 16),
        bits => (Some(u64::from(bits)), 0, 0),
    };
    match length {
        None => Ok(None),
        Some(length) if length < least || length >> 63 != 0 => {
            Err(Broken::protocol("a frame's length is not written as the protocol has it"))
        }
        Some(length) => Ok(Some((length, bytes))),
    }
}

/// Appends a frame's head; the payload follows, masked by [`apply`] where there is a mask.
pub fn write_head(out: &mut Vec<u8>, head: Head) {
    out.push(head.opcode.bits() | if head.is_final { 0x80 } else { 0 });
    let mask_bit = if head.mask.is_some() { 0x80 } else { 0 };
    match (u8::try_from(head.payload_bytes), u16::try_from(head.payload_bytes)) {
        (Ok(short), _) if short < 126 => out.push(mask_bit | short),
        (_, Ok(medium)) => {
            out.push(mask_bit | 126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(mask_bit | 127);
            out.extend_from_slice(&head.payload_bytes.to_be_bytes());
        }
    }
    out.extend_from_slice(head.mask.as_ref().map_or(&[], |mask| mask.as_slice()));
}

/// Masks bytes of a payload, or unmasks them (§5.3); `offset` of its bytes came before.
pub fn apply(mask: Mask, offset: u64, bytes: &mut [u8]) {
    let mut turned = mask;
    turned.rotate_left((offset % 4) as usize);
    let mut words = bytes.chunks_exact_mut(4);
    for word in &mut words {
        word.iter_mut().zip(turned).for_each(|(byte, mask)| *byte ^= mask);
    }
    words.into_remainder().iter_mut().zip(turned).for_each(|(byte, mask)| *byte ^= mask);
}

/// What the payload of a close says: its status, if any, and the reason (§5.5.1). Errors: it breaks §7.4, or §8.1.
pub fn close(payload: &[u8]) -> Result<(Option<u16>, &str), Broken> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return match payload {
            [] => Ok((None, "")),
            _ => Err(Broken::protocol("a close's status has two bytes")),
        };
    };
    let code = u16::from_be_bytes(*code);
    if !may_be_said(code) {
        return Err(Broken::protocol("a close's status is one that none may send"));
    }
    let reason = std::str::from_utf8(reason);
    let reason = reason.map_err(|_| Broken { code: 1007, reason: "a close's reason is not UTF-8" })?;
    Ok((Some(code), reason))
}

/// Appends the payload of a close; the reason is cut at a character's edge to what a control frame takes.
pub fn write_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    out.extend_from_slice(&code.to_be_bytes());
    let end = reason.floor_char_boundary(CONTROL_BYTES_MAX - 2);
    out.extend_from_slice(reason.get(..end).unwrap_or_default().as_bytes());
}

/// Whether a close may have this status (§7.4, and the registry of §11.7): 1004 to 1006 and 1015 are never sent.
pub fn may_be_said(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_section_1_3_is_accepted() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ==").as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        for key in ["", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25j", "!GhlIHNhbXBsZSBub25jZQ=="] {
            assert_eq!(accept(key.as_bytes()), None, "{key}");
        }
        assert!(accept(key([7; 16]).as_bytes()).is_some());
    }

    #[test]
    fn the_frames_of_section_5_7() {
        let unmasked = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
        let text = Head { opcode: Opcode::Text, is_final: true, mask: None, payload_bytes: 5 };
        assert_eq!(head(&unmasked, Sender::Server), Ok(Some((text, 2))));
        let mut masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        assert_eq!(head(&masked, Sender::Client), Ok(Some((Head { mask: Some(mask), ..text }, 6))));
        apply(mask, 0, &mut masked[6..]);
        assert_eq!(&masked[6..], b"Hello");
        let first = [0x01, 0x03, 0x48, 0x65, 0x6c];
        let part = Head { is_final: false, payload_bytes: 3, ..text };
        assert_eq!(head(&first, Sender::Server), Ok(Some((part, 2))));
    }

    #[test]
    fn a_head_that_is_written_is_read_whatever_its_length_and_wherever_it_is_cut() {
        for payload_bytes in [0, 1, 125, 126, 65_535, 65_536, u64::from(u32::MAX), (1 << 63) - 1] {
            for (mask, sender) in [(None, Sender::Server), (Some([1, 2, 3, 4]), Sender::Client)] {
                let made = Head { opcode: Opcode::Binary, is_final: false, mask, payload_bytes };
                let mut bytes = Vec::new();
                write_head(&mut bytes, made);
                assert!(bytes.len() <= HEAD_BYTES_MAX);
                for end in 0..bytes.len() {
                    assert_eq!(head(&bytes[..end], sender), Ok(None));
                }
                assert_eq!(head(&bytes, sender), Ok(Some((made, bytes.len()))));
            }
        }
    }

    #[test]
    fn what_breaks_the_protocol_is_told() {
        let long = [0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0];
        for bytes in [
            &[0xC1, 0][..],
            &[0x83, 0],
            &[0x8B, 0],
            &[0x81, 0x80, 1, 2, 3, 4],
            &[0x09, 0],
            &[0x89, 126, 0, 126],
            &[0x82, 126, 0, 125],
            &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
            &long,
        ] {
            assert_eq!(head(bytes, Sender::Server).map_err(|broken| broken.code), Err(1002), "{bytes:?}");
        }
        assert_eq!(head(&[0x81, 0x05], Sender::Client).map_err(|broken| broken.code), Err(1002));
    }

    #[test]
    fn a_mask_goes_on_where_it_was_left() {
        let whole: Vec<u8> = (0..=255).collect();
        let mut once = whole.clone();
        apply([9, 8, 7, 6], 0, &mut once);
        for cut in 0..whole.len() {
            let mut pieces = whole.clone();
            let (first, rest) = pieces.split_at_mut(cut);
            apply([9, 8, 7, 6], 0, first);
            apply([9, 8, 7, 6], cut as u64, rest);
            assert_eq!(pieces, once);
        }
        apply([9, 8, 7, 6], 0, &mut once);
        assert_eq!(once, whole);
    }

    #[test]
    fn a_close_says_a_status_that_may_be_said() {
        assert_eq!(close(b""), Ok((None, "")));
        assert_eq!(close(b"\x03\xE8bye"), Ok((Some(1000), "bye")));
        let code = |payload: &[u8]| close(payload).map(|(code, _)| code).map_err(|broken| broken.code);
        assert_eq!(
            (code(b"\x03"), code(b"\x03\xED"), code(b"\x03\xE8\xFF")),
            (Err(1002), Err(1002), Err(1007))
        );
        for (said, expected) in [
            (999, false),
            (1000, true),
            (1004, false),
            (1006, false),
            (1011, true),
            (1015, false),
            (2999, false),
            (4999, true),
            (5000, false),
        ] {
            assert_eq!(may_be_said(said), expected, "{said}");
        }
        let mut payload = Vec::new();
        write_close(&mut payload, 1011, &"ü".repeat(100));
        assert_eq!(payload.len(), 124);
        assert_eq!(close(&payload), Ok((Some(1011), "ü".repeat(61).as_str())));
    }
}

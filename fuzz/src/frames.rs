//! Frames of AWS's event streams: read as any bytes, in any pieces, with their checksums mended so that a reader gets past
//! them; and written, so that the reader gives back what was said.

use corelane::dialect::event_stream::{Boundary, frames, write};
use corelane::dialect::invoke::unwrap_event;
use corelane::http::sse::events;

use super::cut::cuttings;

/// Any bytes as frames.
pub fn event_frames(bytes: &[u8]) {
    check_read(bytes);
    check_read(&mended(bytes));
    let mut out = Vec::new();
    write(&mut out, &[(":event-type", "chunk")], |out| out.extend_from_slice(bytes));
    let read: Vec<_> = frames(&out).collect();
    assert!(matches!(&read[..], [Ok(frame)] if frame.payload == bytes && frame.raw == out));
}

fn check_read(bytes: &[u8]) {
    let whole: Vec<_> = frames(bytes).map_while(Result::ok).collect();
    let taken: usize = whole.iter().map(|frame| frame.raw.len()).sum();
    assert_eq!(
        bytes.get(..taken),
        Some(whole.iter().map(|frame| frame.raw).collect::<Vec<_>>().concat().as_slice())
    );
    for frame in &whole {
        let mut text = Vec::new();
        if unwrap_event(frame, &mut text).is_ok() && !text.is_empty() {
            assert_eq!(events(&text).count(), 1, "{}", text.escape_ascii());
        }
    }
    for pieces in cuttings(bytes) {
        let (mut buffer, mut boundary, mut count) = (Vec::new(), Boundary::default(), 0);
        'pieces: for piece in pieces {
            buffer.extend_from_slice(piece);
            let Ok(end) = boundary.last_end(&buffer) else { break };
            for frame in frames(buffer.get(..end).expect("within it")) {
                let Ok(frame) = frame else { break 'pieces };
                assert_eq!(whole.get(count).map(|one| one.raw), Some(frame.raw), "in pieces");
                count += 1;
            }
            buffer.drain(..end);
            boundary.consumed(end);
        }
        assert_eq!(count, whole.len(), "in pieces");
    }
}

/// With checksums that fit what the lengths say, as far as these lead.
fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut rest = bytes.as_mut_slice();
    while rest.len() >= 16 {
        let whole = u32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
        let prelude = checksum(&rest[..8]);
        rest[8..12].copy_from_slice(&prelude);
        if !(16..=rest.len()).contains(&whole) {
            break;
        }
        let sum = checksum(&rest[..whole - 4]);
        rest[whole - 4..whole].copy_from_slice(&sum);
        rest = &mut std::mem::take(&mut rest)[whole..];
    }
    bytes
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum().to_be_bytes()
}

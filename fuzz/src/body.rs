//! Chunked bodies (RFC 9112 section 7.1): the same however they arrive, never a byte beyond their end, and as a slow
//! reading from the standard's grammar has them.

use corelane::error::Kind;
use corelane::http::chunked::{ChunkedDecoder, LAST_CHUNK, write_chunk};
use corelane::http::{BodyDecoder, Framing, Side};

use super::cut::{Chance, cuttings};

/// What was read: data, bytes taken, whether it is whole; or the data before a fault.
type Decoded = (Vec<u8>, Result<(usize, bool), Kind>);

/// A chunked body, from either side.
pub fn chunked_body(bytes: &[u8]) {
    let whole = decode(Side::Downstream, [bytes]);
    for pieces in cuttings(bytes) {
        assert_eq!(
            decode(Side::Downstream, pieces.iter().copied()),
            whole,
            "arriving as {:?}",
            lengths(&pieces)
        );
    }
    let (data, end) = &whole;
    let upstream = decode(Side::Upstream, [bytes]);
    assert_eq!((&upstream.0, upstream.1.ok()), (data, end.ok()), "the sides differ");
    match *end {
        Err(kind) => assert!(matches!(kind, Kind::BadHead | Kind::HeadTooLarge)),
        Ok((taken, is_done)) => {
            assert!(data.len() <= taken && taken <= bytes.len() && (is_done || taken == bytes.len()));
            if is_done {
                check_end(bytes, data, taken);
            }
        }
    }
    assert!(end.is_ok_and(|(_, is_done)| is_done) || slow(bytes).is_none_or(|slow| slow.has_more), "refused");
    write_and_read(bytes);
}

fn decode<'a>(side: Side, pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut decoder = ChunkedDecoder::new(side);
    let (mut data, mut taken) = (Vec::new(), 0);
    for piece in pieces {
        match decoder.decode(piece, &mut |bytes| data.extend_from_slice(bytes)) {
            Ok(count) => taken += count,
            Err(error) => return (data, Err(error.kind)),
        }
    }
    (data, Ok((taken, decoder.is_done())))
}

fn lengths(pieces: &[&[u8]]) -> Vec<usize> {
    pieces.iter().map(|piece| piece.len()).collect()
}

/// A whole body ends where the grammar ends it, not before and not behind.
fn check_end(bytes: &[u8], data: &[u8], taken: usize) {
    let slow = slow(bytes).expect("what the decoder takes, the grammar takes");
    assert_eq!((slow.data.as_slice(), slow.taken), (data, taken));
    let body = bytes.get(..taken).unwrap_or_default();
    let followed = [body, b"0\r\n\r\n\n\0"].concat();
    assert_eq!(decode(Side::Downstream, [followed.as_slice()]), (data.to_vec(), Ok((taken, true))));
    let cut = decode(Side::Downstream, [body.get(..taken - 1).unwrap_or_default()]);
    assert_eq!(cut, (data.to_vec(), Ok((taken - 1, false))), "whole before its end");
    let mut decoder = BodyDecoder::request(Framing::Chunked);
    assert!(decoder.decode(bytes, &mut |_| ()).is_ok_and(|count| count == taken) && decoder.is_done());
}

struct Slow {
    data: Vec<u8>,
    taken: usize,
    /// There are extensions or trailers, which have limits that the grammar does not.
    has_more: bool,
}

/// `chunked-body = *chunk last-chunk trailer-section CRLF`, with the extensions' inside left open.
fn slow(bytes: &[u8]) -> Option<Slow> {
    let mut read = Slow { data: Vec::new(), taken: 0, has_more: false };
    loop {
        let line = line(bytes, &mut read.taken)?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extensions) = line.split_at_checked(digits)?;
        let size = u64::from_str_radix(std::str::from_utf8(size).ok().filter(|_| digits <= 16)?, 16).ok()?;
        read.has_more |= !extensions.is_empty();
        if !(extensions.is_empty() || extensions.trim_ascii_start().starts_with(b";")) {
            return None;
        }
        if size == 0 {
            break;
        }
        let end = read.taken.checked_add(usize::try_from(size).ok()?)?;
        read.data.extend_from_slice(bytes.get(read.taken..end)?);
        read.taken = end;
        line_is_empty(bytes, &mut read.taken)?;
    }
    loop {
        match line(bytes, &mut read.taken)? {
            b"" => return Some(read),
            field => {
                read.has_more =
                    memchr::memchr(b':', field).filter(|colon| *colon > 0).is_some().then_some(true)?
            }
        }
    }
}

/// The next line without its CRLF; `None`: it does not end, or holds a control byte.
fn line<'a>(bytes: &'a [u8], taken: &mut usize) -> Option<&'a [u8]> {
    let rest = bytes.get(*taken..)?;
    let line = rest.get(..memchr::memmem::find(rest, b"\r\n")?)?;
    *taken += line.len() + 2;
    line.iter().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..)).then_some(line)
}

fn line_is_empty(bytes: &[u8], taken: &mut usize) -> Option<()> {
    line(bytes, taken)?.is_empty().then_some(())
}

/// Any bytes, written in chunks, are read back.
fn write_and_read(bytes: &[u8]) {
    let mut coded = Vec::new();
    let mut chance = Chance::of(bytes);
    let mut rest = bytes;
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at_checked(1 + chance.below(rest.len())).unwrap_or((rest, b""));
        write_chunk(&mut coded, chunk);
        rest = behind;
    }
    coded.extend_from_slice(LAST_CHUNK);
    let expected = (bytes.to_vec(), Ok((coded.len(), true)));
    assert_eq!(decode(Side::Upstream, [coded.as_slice()]), expected, "what was written is not read");
}

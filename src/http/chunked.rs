//! The chunked transfer coding (RFC 9112 section 7.1), both ways. The decoder is a byte-state machine that hands out
//! data as it comes, drops extensions and trailers within their limits, and refuses what two readers could read
//! differently: sizes that are not plain hex, bare LF, control bytes. Which body is chunked is `head`'s to say.

use super::{
    CHUNK_EXTENSIONS_BYTES_MAX, CHUNK_LINE_BYTES_MAX, CHUNK_SIZE_DIGITS_MAX, Side, TRAILER_BYTES_MAX,
};
use crate::error::Error;

/// The last chunk and an empty trailer section: ends a chunked body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Appends one chunk. Empty data is no chunk and appends nothing, because an empty chunk would end the body.
pub fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    let size = hex(data.len());
    out.reserve(data.len() + size.len() + 4);
    out.extend(size.into_iter().skip_while(|digit| *digit == b'0'));
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

fn hex(number: usize) -> [u8; 16] {
    let digit = |at: usize| match (number as u64 >> (60 - 4 * at)) as u8 & 15 {
        low @ 0..=9 => b'0' + low,
        high => b'a' + high - 10,
    };
    std::array::from_fn(digit)
}

/// Decoder of one chunked body. Spent after an error.
#[derive(Clone, Debug)]
pub struct ChunkedDecoder {
    side: Side,
    state: State,
    /// Bytes of the current chunk line, or of the trailer section, so far.
    line_bytes: usize,
    /// Sum of all chunk extensions so far, bytes.
    extensions_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the size; `digits` counts them.
    Size { size: u64, digits: u8 },
    /// White space behind the size: only an extension may follow.
    BeforeExtension { size: u64 },
    /// In an extension, which is dropped.
    Extension { size: u64 },
    /// CR of the chunk line seen.
    SizeLineFeed { size: u64 },
    /// In data; `left` > 0.
    Data { left: u64 },
    /// Behind the data.
    DataReturn,
    /// CR behind the data seen.
    DataLineFeed,
    /// At the start of a trailer line, or of the last empty line.
    TrailerStart,
    /// In a trailer's name.
    TrailerName,
    /// In a trailer's value.
    TrailerValue,
    /// CR of a trailer line seen.
    TrailerLineFeed,
    /// CR of the last empty line seen.
    LastLineFeed,
    /// The body is whole.
    Done,
}

impl ChunkedDecoder {
    /// A decoder for a body from this side, which decides whose fault a broken one is.
    pub fn new(side: Side) -> Self {
        Self { side, state: State::Size { size: 0, digits: 0 }, line_bytes: 0, extensions_bytes: 0 }
    }

    /// Whether the last chunk and the trailers have been read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes of data that the current chunk has announced and not delivered: a body that is going to be too large can be
    /// refused before they come.
    pub fn announced_bytes(&self) -> u64 {
        match self.state {
            State::Data { left } => left,
            _ => 0,
        }
    }

    /// Reads from `input`, gives data to `sink`, and returns how many bytes it took: all of them, unless the body ends
    /// before. Bytes behind the body are not looked at.
    pub fn decode(&mut self, input: &[u8], sink: &mut impl FnMut(&[u8])) -> Result<usize, Error> {
        let mut rest = input;
        while self.state != State::Done {
            if let State::Data { left } = self.state {
                rest = self.take_data(left, rest, sink);
            }
            let Some((byte, behind)) = rest.split_first() else { break };
            self.state = self.step(*byte)?;
            self.check_limits()?;
            rest = behind;
        }
        Ok(input.len() - rest.len())
    }

    /// Passes on what is there of the chunk's data and returns what is behind it.
    fn take_data<'a>(&mut self, left: u64, input: &'a [u8], sink: &mut impl FnMut(&[u8])) -> &'a [u8] {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let (data, rest) = input.split_at_checked(length).unwrap_or((input, &[]));
        if !data.is_empty() {
            sink(data);
        }
        self.state = match left - data.len() as u64 {
            0 => State::DataReturn,
            left => State::Data { left },
        };
        rest
    }

    /// One byte outside data.
    fn step(&mut self, byte: u8) -> Result<State, Error> {
        self.line_bytes += 1;
        Ok(match (self.state, byte) {
            (State::Size { size, digits }, _) => self.step_size(size, digits, byte)?,
            (State::BeforeExtension { size }, b' ' | b'\t') => State::BeforeExtension { size },
            (State::BeforeExtension { size } | State::Extension { size }, b';') => State::Extension { size },
            (State::Extension { size }, b'\r') => State::SizeLineFeed { size },
            (State::Extension { size }, byte) if is_text(byte) => State::Extension { size },
            (State::SizeLineFeed { size }, b'\n') => self.end_chunk_line(size),
            (State::DataReturn, b'\r') => State::DataLineFeed,
            (State::DataLineFeed, b'\n') => self.begin_chunk_line(),
            (State::TrailerStart, b'\r') => State::LastLineFeed,
            (State::TrailerStart | State::TrailerName, byte) if super::head::is_token(&[byte]) => {
                State::TrailerName
            }
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerValue, b'\r') => State::TrailerLineFeed,
            (State::TrailerValue, byte) if is_text(byte) => State::TrailerValue,
            (State::TrailerLineFeed, b'\n') => State::TrailerStart,
            (State::LastLineFeed, b'\n') => State::Done,
            _ => return Err(self.side.malformed("the chunked body breaks RFC 9112 section 7.1")),
        })
    }

    fn step_size(&self, size: u64, digits: u8, byte: u8) -> Result<State, Error> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' if digits > 0 => return Ok(State::SizeLineFeed { size }),
            b' ' | b'\t' if digits > 0 => return Ok(State::BeforeExtension { size }),
            b';' if digits > 0 => return Ok(State::Extension { size }),
            _ => return Err(self.side.malformed("a chunk size is not a plain hexadecimal number")),
        };
        if digits == CHUNK_SIZE_DIGITS_MAX {
            return Err(self.side.malformed("a chunk size has more than 16 digits"));
        }
        Ok(State::Size { size: size << 4 | u64::from(digit), digits: digits + 1 })
    }

    fn begin_chunk_line(&mut self) -> State {
        self.line_bytes = 0;
        State::Size { size: 0, digits: 0 }
    }

    fn end_chunk_line(&mut self, size: u64) -> State {
        self.line_bytes = 0;
        if size == 0 { State::TrailerStart } else { State::Data { left: size } }
    }

    fn check_limits(&mut self) -> Result<(), Error> {
        let over = match self.state {
            State::BeforeExtension { .. } | State::Extension { .. } => {
                self.extensions_bytes += 1;
                self.line_bytes > CHUNK_LINE_BYTES_MAX - 2
                    || self.extensions_bytes > CHUNK_EXTENSIONS_BYTES_MAX
            }
            State::TrailerStart
            | State::TrailerName
            | State::TrailerValue
            | State::TrailerLineFeed
            | State::LastLineFeed
            | State::Done => self.line_bytes > TRAILER_BYTES_MAX,
            _ => false,
        };
        match over {
            true => Err(self.side.too_large("chunk extensions or trailers are over their limit")),
            false => Ok(()),
        }
    }
}

/// What may stand in a value or an extension: no control byte but the tab.
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x20..=0x7e | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    type Decoded = Result<(Vec<u8>, usize, bool), Kind>;

    fn decode_in_two(bytes: &[u8], cut: usize) -> Decoded {
        let mut decoder = ChunkedDecoder::new(Side::Downstream);
        let mut data = Vec::new();
        let mut consumed = 0;
        for piece in [&bytes[..cut], &bytes[cut..]] {
            consumed += decoder
                .decode(piece, &mut |bytes| data.extend_from_slice(bytes))
                .map_err(|error| error.kind)?;
        }
        Ok((data, consumed, decoder.is_done()))
    }

    fn check(bytes: &[u8], expected: Decoded) {
        for cut in 0..=bytes.len() {
            assert_eq!(decode_in_two(bytes, cut), expected, "cut at {cut}: {}", bytes.escape_ascii());
        }
    }

    fn check_whole(bytes: &str, data: &str) {
        check(bytes.as_bytes(), Ok((data.into(), bytes.len(), true)));
    }

    #[test]
    fn bodies_are_decoded() {
        check_whole("0\r\n\r\n", "");
        check_whole("5\r\nhello\r\n0\r\n\r\n", "hello");
        check_whole("5\r\nhello\r\n00006\r\n world\r\n000\r\n\r\n", "hello world");
        check_whole("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789");
        check_whole("2\r\n\r\n\r\n0\r\n\r\n", "\r\n");
    }

    #[test]
    fn extensions_and_trailers_are_dropped() {
        check_whole("1;a\r\nx\r\n0;b=\"c\"\r\n\r\n", "x");
        check_whole("1 \t;a = b;c\r\nx\r\n0\r\n\r\n", "x");
        check_whole("1\r\nx\r\n0\r\nA: b\r\nC-D:\r\nE: \u{e4}\r\n\r\n", "x");
    }

    #[test]
    fn what_stands_behind_the_body_is_left_alone() {
        check(b"1\r\nx\r\n0\r\n\r\nGET /\n\n", Ok((b"x".into(), 11, true)));
        check(b"1\r\nx\r\n0\r\n", Ok((b"x".into(), 9, false)));
    }

    #[test]
    fn two_readings_are_refused() {
        for bytes in [
            "\r\n",
            ";a\r\n",
            "+5\r\n",
            "-5\r\n",
            "0x5\r\n",
            " 5\r\n",
            "5 \r\n",
            "5\n",
            "5\r5",
            "5;a\nb",
            "5;a\rb",
            "g\r\n",
            "1\r\nxy\r\n",
            "1\r\nx\n",
            "1\r\nx\r\r",
            "1\r\nx0\r\n",
            "0\r\n\n",
            "0\r\nA\r\n",
            "0\r\n: b\r\n",
            "0\r\n A: b\r\n",
            "0\r\nA : b\r\n",
            "0\r\nA: b\n",
            "0\r\nA: b\rc",
            "0\r\nA: \0",
            "5;\0",
            "5;\x7f",
            "0\r\n\r\r",
            "5,5\r\n",
        ] {
            check(bytes.as_bytes(), Err(Kind::BadHead));
        }
    }

    #[test]
    fn sizes_hold_at_the_limit_and_one_past() {
        check(b"ffffffffffffffff\r\nx", Ok((b"x".into(), 19, false)));
        check(b"fffffffffffffffff\r\nx", Err(Kind::BadHead));
        check(b"00000000000000001\r\nx", Err(Kind::BadHead));
    }

    #[test]
    fn what_a_chunk_announces_is_known_before_it_comes() {
        let mut decoder = ChunkedDecoder::new(Side::Downstream);
        let mut announced = |bytes: &[u8]| {
            decoder.decode(bytes, &mut |_| ()).unwrap();
            decoder.announced_bytes()
        };
        assert_eq!(announced(b"ffffffffffffffff\r"), 0);
        assert_eq!(announced(b"\n"), u64::MAX);
        assert_eq!(announced(b"xyz"), u64::MAX - 3);
    }

    #[test]
    fn lines_and_trailers_hold_at_the_limit_and_one_past() {
        let line = |bytes: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(bytes - 4));
        check_whole(&line(CHUNK_LINE_BYTES_MAX), "x");
        check(line(CHUNK_LINE_BYTES_MAX + 1).as_bytes(), Err(Kind::HeadTooLarge));

        let body = |sum: usize| {
            let chunk = format!("1;{}\r\nx\r\n", "a".repeat(511));
            format!("{}1;{}\r\nx\r\n0\r\n\r\n", chunk.repeat(31), "a".repeat(sum - 31 * 512 - 1))
        };
        assert!(decode_in_two(body(CHUNK_EXTENSIONS_BYTES_MAX).as_bytes(), 1).is_ok());
        let past = decode_in_two(body(CHUNK_EXTENSIONS_BYTES_MAX + 1).as_bytes(), 1);
        assert_eq!(past, Err(Kind::HeadTooLarge));

        let trailers = |bytes: usize| format!("0\r\nA:{}\r\n\r\n", "b".repeat(bytes - 6));
        assert!(decode_in_two(trailers(TRAILER_BYTES_MAX).as_bytes(), 1).is_ok());
        assert_eq!(decode_in_two(trailers(TRAILER_BYTES_MAX + 1).as_bytes(), 1), Err(Kind::HeadTooLarge));
    }

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 15, 16, 255, 256, 4096, 70_000] {
            let data = vec![b'x'; length];
            let mut out = Vec::new();
            write_chunk(&mut out, &data);
            out.extend_from_slice(LAST_CHUNK);
            assert_eq!(decode_in_two(&out, 1), Ok((data, out.len(), true)));
        }
        let mut out = Vec::new();
        write_chunk(&mut out, b"0123456789abcdef");
        assert!(out.starts_with(b"10\r\n0"));
    }
}

//! Content codings of request bodies (RFC 9110 §8.4): gzip (RFC 1952), deflate (RFC 1950, and bare RFC 1951, which some
//! send under that name), br (RFC 7932), zstd (RFC 8878, windows as RFC 9659 bounds them). Decoded in steps, each bounded
//! in what it gives, so that the budget is asked before memory is used. It knows no core and no socket.

use std::io::{Cursor, Read};

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::error::{Error, Kind};

/// What a refused caller is told in `Accept-Encoding` (RFC 9110 §15.5.16).
pub const ACCEPTED: &str = "gzip, deflate, br, zstd";

/// Most gzip members or zstd frames of one body; each costs more than its bytes. Blocked writers (bgzip, pigz) end one
/// after 64 KiB at the least.
const MEMBERS_MAX: usize = 16 * 1024;
/// Largest window of a zstd frame, bytes (RFC 9659 §3).
const ZSTD_WINDOW_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Largest window of brotli, bytes (RFC 7932 §9.1).
const BROTLI_WINDOW_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What is decoded at a time, bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// A coding that is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`, `x-gzip`.
    Gzip,
    /// `deflate`.
    Deflate,
    /// `br`.
    Brotli,
    /// `zstd`.
    Zstd,
}

impl Coding {
    /// The coding that a `content-encoding` names; `None`: the body stands as it is. Errors: one that is not known, or more
    /// than one.
    pub fn of(value: &[u8]) -> Result<Option<Self>, Error> {
        let is = |name: &str| value.eq_ignore_ascii_case(name.as_bytes());
        Ok(match value.len() {
            0 => None,
            8 if is("identity") => None,
            4 | 6 if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            7 if is("deflate") => Some(Self::Deflate),
            2 if is("br") => Some(Self::Brotli),
            4 if is("zstd") => Some(Self::Zstd),
            _ => return Err(unknown("the body's coding is not one of gzip, deflate, br, zstd")),
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "brotli",
            Self::Zstd => "zstd",
        }
    }

    /// What decoding needs beside its input and up to `bytes_max` of output, bytes: it holds back at most its window, and
    /// of that only what was decoded, twice while it grows.
    pub fn window_bytes(self, bytes_max: usize) -> usize {
        let window = match self {
            Self::Gzip | Self::Deflate => return PIECE_BYTES,
            Self::Brotli => BROTLI_WINDOW_BYTES_MAX,
            Self::Zstd => ZSTD_WINDOW_BYTES_MAX,
        };
        bytes_max.saturating_mul(3).min(window) + PIECE_BYTES
    }
}

/// A 415 for a coding; the answer names those that are taken.
pub fn unknown(message: &'static str) -> Error {
    Error::new(Kind::UnsupportedMediaType, message).with_param("content-encoding")
}

/// How far a step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The body is decoded whole.
    Done,
    /// It is longer than this step was allowed, or ends just there.
    Full,
}

/// A body while it is decoded.
pub struct Decoding {
    coding: Coding,
    engine: Engine,
    /// What stands before the body, and the body as far as it is decoded.
    output: Vec<u8>,
    start: usize,
}

impl Decoding {
    /// Of the body that begins at `start` in `bytes`; what stands before it stays before it.
    pub fn new(coding: Coding, bytes: Vec<u8>, start: usize) -> Self {
        let output = bytes.get(..start).unwrap_or_default().to_vec();
        let mut input = Cursor::new(bytes);
        input.set_position(start as u64);
        let engine = match coding {
            Coding::Gzip => Engine::Gzip(Some(Box::new(GzDecoder::new(input))), 1),
            Coding::Deflate if is_zlib(rest(&input)) => Engine::Zlib(Box::new(ZlibDecoder::new(input))),
            Coding::Deflate => Engine::Bare(Box::new(DeflateDecoder::new(input))),
            Coding::Brotli => Engine::Brotli(Box::new(Brotli::new(input))),
            Coding::Zstd => Engine::Zstd(Box::new(Zstd::new(input))),
        };
        Self { coding, engine, output, start }
    }

    /// Decodes on until the body is whole or has `bytes_max`. Errors: it is broken, cut, or followed by something else.
    pub fn advance(&mut self, bytes_max: usize) -> Result<Progress, Error> {
        let full = self.start.saturating_add(bytes_max);
        // Exactly, since so much is held; pages that nothing is written to are not used.
        self.output.reserve_exact(full.saturating_sub(self.output.len()));
        let (mut end, mut result) = (self.output.len(), Ok(Progress::Full));
        while end < full {
            // Zeroed once for many reads: a thousand members of a byte each must not cost a thousand pieces.
            if self.output.len() == end {
                self.output.resize(full.min(end + PIECE_BYTES), 0);
            }
            let piece = self.output.get_mut(end..).unwrap_or_default();
            match self.engine.read(piece, full - end) {
                Ok(Decoded::Bytes(count)) => end += count,
                Ok(Decoded::More) => break,
                Ok(Decoded::End) => {
                    result = Ok(Progress::Done);
                    break;
                }
                Err(why) => {
                    result = Err(self.broken(why));
                    break;
                }
            }
        }
        self.output.truncate(end);
        result
    }

    /// The body as far as it is decoded.
    pub fn body(&self) -> &[u8] {
        self.output.get(self.start..).unwrap_or_default()
    }

    /// What stood before the body, and the decoded body.
    pub fn into_bytes(self) -> Vec<u8> {
        self.output
    }

    fn broken(&self, why: &'static str) -> Error {
        let message = format!("the body is not whole {}: {why}", self.coding.name());
        Error::new(Kind::InvalidRequest, message).with_param("content-encoding")
    }
}

type Input = Cursor<Vec<u8>>;

fn rest(input: &Input) -> &[u8] {
    input.get_ref().get(usize::try_from(input.position()).unwrap_or(usize::MAX)..).unwrap_or_default()
}

/// RFC 1950 §2.2: the method, a window of at most 32 KiB, and a check over both bytes. A bare stream that begins so is
/// possible and unheard of.
fn is_zlib(bytes: &[u8]) -> bool {
    match bytes {
        [cmf, flags, ..] => {
            cmf & 0x0f == 8 && cmf >> 4 <= 7 && (u16::from(*cmf) << 8 | u16::from(*flags)).is_multiple_of(31)
        }
        _ => false,
    }
}

const CUT: &str = "it is cut short";
const CORRUPT: &str = "it is corrupt";
const FOLLOWED: &str = "something else follows it";
const MANY_MEMBERS: &str = "it has more than 16,384 members";

enum Decoded {
    /// So many bytes, at least one.
    Bytes(usize),
    /// As much as the step may hold is decoded, and cannot be given out yet.
    More,
    /// The body is whole, and nothing follows it.
    End,
}

enum Engine {
    /// The decoder of this member, and how many there were with it.
    Gzip(Option<Box<GzDecoder<Input>>>, usize),
    Zlib(Box<ZlibDecoder<Input>>),
    Bare(Box<DeflateDecoder<Input>>),
    Brotli(Box<Brotli>),
    Zstd(Box<Zstd>),
}

impl Engine {
    /// The next bytes into `out`, which has room for one; `room_bytes`: what the step may still decode.
    fn read(&mut self, out: &mut [u8], room_bytes: usize) -> Result<Decoded, &'static str> {
        match self {
            Self::Gzip(member, count) => read_members(member, count, out),
            Self::Zlib(decoder) => match inflate(decoder, out)? {
                0 => end(decoder.get_ref()),
                count => Ok(Decoded::Bytes(count)),
            },
            Self::Bare(decoder) => match inflate(decoder, out)? {
                0 => end(decoder.get_ref()),
                count => Ok(Decoded::Bytes(count)),
            },
            Self::Brotli(brotli) => brotli.read(out),
            Self::Zstd(zstd) => zstd.read(out, room_bytes),
        }
    }
}

fn end(input: &Input) -> Result<Decoded, &'static str> {
    if rest(input).is_empty() { Ok(Decoded::End) } else { Err(FOLLOWED) }
}

fn inflate(decoder: &mut impl Read, out: &mut [u8]) -> Result<usize, &'static str> {
    decoder.read(out).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => CUT,
        _ => CORRUPT,
    })
}

/// RFC 1952 §2.2: members stand one behind the other, with nothing between or behind them.
fn read_members(
    member: &mut Option<Box<GzDecoder<Input>>>,
    count: &mut usize,
    out: &mut [u8],
) -> Result<Decoded, &'static str> {
    while let Some(mut decoder) = member.take() {
        let read = inflate(&mut decoder, out)?;
        if read > 0 {
            *member = Some(decoder);
            return Ok(Decoded::Bytes(read));
        }
        let input = decoder.into_inner();
        if !rest(&input).is_empty() {
            if *count >= MEMBERS_MAX {
                return Err(MANY_MEMBERS);
            }
            *count += 1;
            *member = Some(Box::new(GzDecoder::new(input)));
        }
    }
    Ok(Decoded::End)
}

struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    input: Input,
    total: usize,
    is_done: bool,
}

impl Brotli {
    fn new(input: Input) -> Self {
        let alloc = StandardAlloc::default;
        // Strict: a window beyond RFC 7932's is an error.
        let state = BrotliState::new_strict(alloc(), alloc(), alloc());
        Self { state, input, total: 0, is_done: false }
    }

    fn read(&mut self, out: &mut [u8]) -> Result<Decoded, &'static str> {
        if self.is_done {
            return Ok(Decoded::End);
        }
        let input = rest(&self.input);
        let (mut left, mut taken, mut room, mut written) = (input.len(), 0, out.len(), 0);
        let total = &mut self.total;
        let result = BrotliDecompressStream(
            &mut left,
            &mut taken,
            input,
            &mut room,
            &mut written,
            out,
            total,
            &mut self.state,
        );
        self.input.set_position(self.input.position() + taken as u64);
        match result {
            BrotliResult::ResultSuccess if left > 0 => return Err(FOLLOWED),
            BrotliResult::ResultSuccess => self.is_done = true,
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::NeedsMoreInput => return Err(CUT),
            BrotliResult::ResultFailure => return Err(CORRUPT),
        }
        match written {
            0 if self.is_done => Ok(Decoded::End),
            0 => Err(CORRUPT),
            count => Ok(Decoded::Bytes(count)),
        }
    }
}

struct Zstd {
    decoder: FrameDecoder,
    input: Input,
    frames: usize,
    in_frame: bool,
    /// At least so much of this frame is decoded and not given out: a frame holds its window back until its end.
    held_bytes: usize,
}

impl Zstd {
    fn new(input: Input) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(ZSTD_WINDOW_BYTES_MAX as u64);
        Self { decoder, input, frames: 0, in_frame: false, held_bytes: 0 }
    }

    fn read(&mut self, out: &mut [u8], room_bytes: usize) -> Result<Decoded, &'static str> {
        loop {
            if !self.in_frame && !self.begin_frame()? {
                return Ok(Decoded::End);
            }
            let count = self.decoder.read(out).map_err(|_| CORRUPT)?;
            if count > 0 {
                self.held_bytes = self.held_bytes.saturating_sub(count);
                return Ok(Decoded::Bytes(count));
            }
            if self.decoder.is_finished() {
                self.end_frame()?;
            } else if self.held_bytes >= room_bytes {
                return Ok(Decoded::More);
            } else {
                let step = BlockDecodingStrategy::UptoBytes(PIECE_BYTES);
                let is_whole = self.decoder.decode_blocks(&mut self.input, step);
                // Short of the frame's end it has decoded that much, and not two blocks more.
                self.held_bytes += if is_whole.map_err(|error| why(&error))? { 0 } else { PIECE_BYTES };
            }
        }
    }

    /// `false`: there is no further one.
    fn begin_frame(&mut self) -> Result<bool, &'static str> {
        while !rest(&self.input).is_empty() {
            if self.frames >= MEMBERS_MAX {
                return Err(MANY_MEMBERS);
            }
            self.frames += 1;
            match self.decoder.reset(&mut self.input) {
                Ok(()) => {
                    (self.in_frame, self.held_bytes) = (true, 0);
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => self.skip(length)?,
                Err(error) => return Err(why(&error)),
            }
        }
        if self.frames == 0 { Err(CUT) } else { Ok(false) }
    }

    /// RFC 8878 §3.1.2: a skippable frame's data means nothing here.
    fn skip(&mut self, length: u32) -> Result<(), &'static str> {
        let end = self.input.position() + u64::from(length);
        if end > self.input.get_ref().len() as u64 {
            return Err(CUT);
        }
        self.input.set_position(end);
        Ok(())
    }

    fn end_frame(&mut self) -> Result<(), &'static str> {
        self.in_frame = false;
        match self.decoder.get_checksum_from_data() {
            Some(sum) if self.decoder.get_calculated_checksum() != Some(sum) => Err(CORRUPT),
            _ => Ok(()),
        }
    }
}

/// The decoder does not tell a cut from a corrupt frame.
fn why(error: &FrameDecoderError) -> &'static str {
    match error {
        FrameDecoderError::WindowSizeTooBig { .. } => "its window is over 8 MiB (RFC 9659)",
        FrameDecoderError::DictNotProvided { .. } => "it needs a dictionary",
        _ => "it is corrupt or cut short",
    }
}

#[cfg(test)]
mod tests;

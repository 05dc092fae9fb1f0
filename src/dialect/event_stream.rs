//! Frames of `application/vnd.amazon.eventstream` as bytes, both ways
//! (<https://smithy.io/2.0/aws/amazon-eventstream.html>): where whole frames end in a growing buffer, what they hold, and how
//! one is written. Both checksums are verified. What a frame means is `bedrock`'s.
//!
//! ```text
//! | whole length | headers' length | CRC-32 of these | headers | payload | CRC-32 of all before |
//! |      4       |        4        |        4        |         |         |          4           |
//! ```

use crate::error::Error;

/// Longest frame, bytes: AWS's own readers take no longer one.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most that a frame's headers take, bytes, and how many there may be; AWS's readers have the first bound, its services
/// send three or four.
const HEADERS_BYTES_MAX: usize = 128 * 1024;
const HEADERS_MAX: usize = 64;

const PRELUDE_BYTES: usize = 12;
const CRC_BYTES: usize = 4;

/// A header's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Types 0 and 1.
    Bool(bool),
    /// Type 2.
    Byte(i8),
    /// Type 3.
    Short(i16),
    /// Type 4.
    Int(i32),
    /// Type 5.
    Long(i64),
    /// Type 6.
    Bytes(&'a [u8]),
    /// Type 7.
    Text(&'a str),
    /// Type 8: milliseconds since the epoch.
    Timestamp(i64),
    /// Type 9.
    Uuid([u8; 16]),
}

/// One whole frame, its checksums verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// In their order; no name stands twice.
    pub headers: Vec<(&'a str, Value<'a>)>,
    /// What it carries.
    pub payload: &'a [u8],
    /// All its bytes.
    pub raw: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The text under a name.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(one, _)| *one == name).and_then(|(_, value)| match value {
            Value::Text(text) => Some(*text),
            _ => None,
        })
    }
}

/// Incremental search for the end of the last whole frame in a buffer that grows at its end and is emptied at its front.
/// It reads each frame's lengths once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Boundary {
    end: usize,
}

impl Boundary {
    /// Where the last whole frame of `bytes`, the whole buffer, ends; 0: none has. Errors: lengths that are none, or their
    /// checksum, as soon as they stand first, so that nobody waits for what a broken length promises.
    pub fn last_end(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        loop {
            let prelude = match Prelude::of(bytes.get(self.end..).unwrap_or_default()) {
                Ok(Some(prelude)) => prelude,
                // What stands before it is whole.
                Err(error) if self.end == 0 => return Err(error),
                Ok(None) | Err(_) => break,
            };
            let Some(end) = self.end.checked_add(prelude.whole_bytes).filter(|end| *end <= bytes.len())
            else {
                break;
            };
            self.end = end;
        }
        Ok(self.end)
    }

    /// The caller dropped `count` bytes from the buffer's front, at most what [`Self::last_end`] said.
    pub fn consumed(&mut self, count: usize) {
        self.end = self.end.saturating_sub(count);
    }
}

/// The frames in `bytes`, which begins at a frame's start. The last item is an error where one is broken or cut.
pub fn frames(bytes: &[u8]) -> Frames<'_> {
    Frames { rest: bytes }
}

/// Iterator of [`frames`].
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let read = split(self.rest);
        self.rest = read.as_ref().map_or(&[], |(_, rest)| *rest);
        Some(read.map(|(frame, _)| frame))
    }
}

/// Appends one frame whose headers are texts, each name and text of ours or short: at most 255 bytes and 32 KiB.
/// `payload` appends what it carries.
pub fn write(out: &mut Vec<u8>, headers: &[(&str, &str)], payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; PRELUDE_BYTES]);
    for (name, text) in headers {
        write_header(out, name, text);
    }
    let headers_bytes = out.len() - start - PRELUDE_BYTES;
    payload(out);
    let whole_bytes = out.len() - start + CRC_BYTES;
    let mut lengths = [length(whole_bytes), length(headers_bytes)].concat();
    lengths.extend_from_slice(&crc32fast::hash(&lengths).to_be_bytes());
    if let Some(prelude) = out.get_mut(start..start + PRELUDE_BYTES) {
        prelude.copy_from_slice(&lengths);
    }
    let crc = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_be_bytes());
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}

fn write_header(out: &mut Vec<u8>, name: &str, text: &str) {
    let (Ok(name_bytes), Ok(text_bytes)) = (u8::try_from(name.len()), i16::try_from(text.len())) else {
        return;
    };
    out.push(name_bytes);
    out.extend_from_slice(name.as_bytes());
    out.push(7);
    out.extend_from_slice(&text_bytes.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

struct Prelude {
    whole_bytes: usize,
    headers_bytes: usize,
}

impl Prelude {
    /// That of the frame that `bytes` begin with; `None`: it is not whole.
    fn of(bytes: &[u8]) -> Result<Option<Self>, Error> {
        let mut reader = Reader(bytes);
        let (Some(whole), Some(headers), Some(crc)) = (reader.u32(), reader.u32(), reader.u32()) else {
            return Ok(None);
        };
        if crc32fast::hash(bytes.get(..PRELUDE_BYTES - CRC_BYTES).unwrap_or_default()) != crc {
            return Err(broken("the checksum of its lengths does not match"));
        }
        let (whole_bytes, headers_bytes) = (whole as usize, headers as usize);
        if whole_bytes > FRAME_BYTES_MAX {
            return Err(broken("it is over 16 MiB"));
        }
        let room = whole_bytes.checked_sub(PRELUDE_BYTES + CRC_BYTES);
        if room.is_none_or(|room| headers_bytes > room) || headers_bytes > HEADERS_BYTES_MAX {
            return Err(broken("its lengths contradict each other, or its headers are over 128 KiB"));
        }
        Ok(Some(Self { whole_bytes, headers_bytes }))
    }
}

fn split(bytes: &[u8]) -> Result<(Frame<'_>, &[u8]), Error> {
    let cut = || broken("it is cut");
    let prelude = Prelude::of(bytes)?.ok_or_else(cut)?;
    let (raw, rest) = bytes.split_at_checked(prelude.whole_bytes).ok_or_else(cut)?;
    let (checked, crc) = raw.split_last_chunk::<CRC_BYTES>().ok_or_else(cut)?;
    if crc32fast::hash(checked) != u32::from_be_bytes(*crc) {
        return Err(broken("its checksum does not match"));
    }
    let body = checked.get(PRELUDE_BYTES..).unwrap_or_default();
    let (headers, payload) = body.split_at_checked(prelude.headers_bytes).ok_or_else(cut)?;
    Ok((Frame { headers: headers_of(headers)?, payload, raw }, rest))
}

fn headers_of(bytes: &[u8]) -> Result<Vec<(&str, Value<'_>)>, Error> {
    let mut headers: Vec<(&str, Value<'_>)> = Vec::with_capacity(4);
    let mut reader = Reader(bytes);
    while !reader.0.is_empty() {
        let (name, value) = reader.header().ok_or_else(|| broken("a header of it cannot be read"))?;
        if headers.len() >= HEADERS_MAX || headers.iter().any(|(one, _)| *one == name) {
            return Err(broken("a header of it stands twice, or there are more than 64"));
        }
        headers.push((name, value));
    }
    Ok(headers)
}

fn broken(reason: &str) -> Error {
    Error::unusable_answer(&format!("a frame of its stream is broken: {reason}"))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn long(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    fn counted(&mut self) -> Option<&'a [u8]> {
        let count = self.array().map(u16::from_be_bytes)?;
        self.take(usize::from(count))
    }

    fn header(&mut self) -> Option<(&'a str, Value<'a>)> {
        let [count] = self.array()?;
        let name =
            std::str::from_utf8(self.take(usize::from(count))?).ok().filter(|name| !name.is_empty())?;
        let [kind] = self.array()?;
        let value = match kind {
            0 => Value::Bool(true),
            1 => Value::Bool(false),
            2 => Value::Byte(i8::from_be_bytes(self.array()?)),
            3 => Value::Short(i16::from_be_bytes(self.array()?)),
            4 => Value::Int(i32::from_be_bytes(self.array()?)),
            5 => Value::Long(self.long()?),
            6 => Value::Bytes(self.counted()?),
            7 => Value::Text(std::str::from_utf8(self.counted()?).ok()?),
            8 => Value::Timestamp(self.long()?),
            9 => Value::Uuid(self.array()?),
            _ => return None,
        };
        Some((name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(bytes: &[u8]) -> Frame<'_> {
        let mut all = frames(bytes);
        let frame = all.next().unwrap().unwrap();
        assert!(all.next().is_none() && frame.raw == bytes);
        frame
    }

    /// AWS's own vectors, as its readers' tests have them: aws-c-event-stream, botocore.
    const EMPTY: &[u8] = b"\x00\x00\x00\x10\x00\x00\x00\x00\x05\xc2H\xeb}\x98\xc8\xff";
    const TEXT_HEADER: &[u8] = b"\x00\x00\x00=\x00\x00\x00 \x07\xfd\x83\x96\x0ccontent-type\x07\x00\x10application/json{'foo':'bar'}\x8d\x9c\x08\xb1";
    const ALL_TYPES: &[u8] = b"\x00\x00\x00\x62\x00\x00\x00\x52\x03\xb5\xcb\x9c\x010\x00\x011\x01\x012\x02\x02\x013\x03\x00\x03\x014\x04\x00\x00\x00\x04\x015\x05\x00\x00\x00\x00\x00\x00\x00\x05\x016\x06\x00\x05bytes\x017\x07\x00\x04utf8\x018\x08\x00\x00\x00\x00\x00\x00\x00\x08\x019\x090123456789abcdef\x63\x35\x36\x71";
    const FAULT: &[u8] = b"\x00\x00\x00\x52\x00\x00\x00\x42\xbf\x23\x63\x7e\x0d:message-type\x07\x00\x05error\x0b:error-code\x07\x00\x04code\x0e:error-message\x07\x00\x07message\x6b\x6c\xea\x3d";

    #[test]
    fn awss_vectors_are_read() {
        assert_eq!(one(EMPTY), Frame { headers: vec![], payload: b"", raw: EMPTY });
        for (bytes, name, value) in [
            (
                &b"\x00\x00\x00\x17\x00\x00\x00\x07)\x86\x01X\x04byte\x02\xff\xc2\xf8i\xdc"[..],
                "byte",
                Value::Byte(-1),
            ),
            (
                b"\x00\x00\x00\x19\x00\x00\x00\tq\x0e\x92>\x05short\x03\xff\xff\xb2|\xb6\xcc",
                "short",
                Value::Short(-1),
            ),
            (
                b"\x00\x00\x00\x1d\x00\x00\x00\r\x83\xe3\xf0\xe7\x07integer\x04\xff\xff\xff\xff\x8b\x8e\x12\xeb",
                "integer",
                Value::Int(-1),
            ),
            (
                b"\x00\x00\x00\x1e\x00\x00\x00\x0e]J\xdb\x8d\x04long\x05\xff\xff\xff\xff\xff\xff\xff\xffK\xc22\xda",
                "long",
                Value::Long(-1),
            ),
        ] {
            assert_eq!(one(bytes).headers, [(name, value)]);
        }
        let plain = b"\x00\x00\x00\x1d\x00\x00\x00\x00\xfdR\x8cZ{'foo':'bar'}\xc3e96";
        assert_eq!((one(plain).payload, one(plain).headers.len()), (&b"{'foo':'bar'}"[..], 0));
        assert_eq!(one(TEXT_HEADER).text("content-type"), Some("application/json"));
        assert_eq!(one(FAULT).text(":error-message"), Some("message"));
        let expected = [
            ("0", Value::Bool(true)),
            ("1", Value::Bool(false)),
            ("2", Value::Byte(2)),
            ("3", Value::Short(3)),
            ("4", Value::Int(4)),
            ("5", Value::Long(5)),
            ("6", Value::Bytes(b"bytes")),
            ("7", Value::Text("utf8")),
            ("8", Value::Timestamp(8)),
            ("9", Value::Uuid(*b"0123456789abcdef")),
        ];
        assert_eq!(one(ALL_TYPES).headers, expected);
    }

    #[test]
    fn awss_broken_vectors_are_refused() {
        for bytes in [
            &b"\x00\x00\x00=\xFF\x00\x01\x02\x07\xfd\x83\x96\x0ccontent-type\x07\x00\x10application/json{'foo':'bar'}\x8d\x9c\x08\xb1"[..],
            b"\x00\x00\x00=\x00\x00\x00 \x07\xfd\x83\x96\x0ccontent+type\x07\x00\x10application/json{'foo':'bar'}\x8d\x9c\x08\xb1",
            b"\x01\x00\x00\x1d\x00\x00\x00\x00\xfdR\x8cZ{'foo':'bar'}\xc3e96",
            b"\x00\x00\x00\x1d\x00\x00\x00\x00\xfdR\x8cZ{'foo':'bar'\x8d\xc3e96",
            b"\x00\x00\x00\x24\x00\x00\x00\x14\x4b\xb9\x82\xd0\x04test\x04asdf\x04test\x04asdf\xf3\xf4\x75\x63",
        ] {
            let read: Vec<_> = frames(bytes).collect();
            assert!(matches!(&read[..], [Err(_)]), "{}: {read:?}", bytes.escape_ascii());
        }
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        for whole in [EMPTY, TEXT_HEADER, ALL_TYPES, FAULT] {
            for bit in 0..whole.len() * 8 {
                let mut bytes = whole.to_vec();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let first = frames(&bytes).next().unwrap();
                assert!(first.is_err(), "bit {bit} of {}", whole.escape_ascii());
                let ended = Boundary::default().last_end(&bytes);
                assert!(bit / 8 >= PRELUDE_BYTES || ended.is_err(), "bit {bit}: {ended:?}");
            }
        }
    }

    #[test]
    fn what_is_written_is_awss_frame() {
        let mut out = Vec::new();
        write(&mut out, &[("content-type", "application/json")], |out| {
            out.extend_from_slice(b"{'foo':'bar'}")
        });
        assert_eq!(out, TEXT_HEADER);
        write(&mut out, &[], |_| ());
        assert_eq!(out.get(TEXT_HEADER.len()..), Some(EMPTY));
    }

    #[test]
    fn any_pieces_make_the_same_frames() {
        let stream = [TEXT_HEADER, EMPTY, ALL_TYPES, FAULT].concat();
        let whole: Vec<_> = frames(&stream).map(Result::unwrap).collect();
        for size in 1..=stream.len() {
            let (mut buffer, mut boundary, mut count) = (Vec::new(), Boundary::default(), 0);
            for piece in stream.chunks(size) {
                buffer.extend_from_slice(piece);
                let end = boundary.last_end(&buffer).unwrap();
                for frame in frames(&buffer[..end]) {
                    assert_eq!(frame.unwrap(), whole[count]);
                    count += 1;
                }
                buffer.drain(..end);
                boundary.consumed(end);
            }
            assert_eq!((count, buffer.len()), (4, 0), "pieces of {size}");
        }
    }

    #[test]
    fn lengths_have_bounds_and_a_cut_end_is_none() {
        let prelude = |whole: u32, headers: u32| {
            let mut bytes = [whole.to_be_bytes(), headers.to_be_bytes()].concat();
            bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
            Boundary::default().last_end(&bytes)
        };
        assert_eq!(prelude(FRAME_BYTES_MAX as u32, 0), Ok(0));
        assert_eq!(prelude(FRAME_BYTES_MAX as u32, HEADERS_BYTES_MAX as u32), Ok(0));
        for (whole, headers) in [
            (15, 0),
            (0, 0),
            (16, 1),
            (u32::MAX, 0),
            (FRAME_BYTES_MAX as u32 + 1, 0),
            (FRAME_BYTES_MAX as u32, HEADERS_BYTES_MAX as u32 + 1),
        ] {
            assert!(prelude(whole, headers).is_err(), "{whole} {headers}");
        }
        for end in 1..TEXT_HEADER.len() {
            assert_eq!(Boundary::default().last_end(&TEXT_HEADER[..end]), Ok(0));
            assert!(frames(&TEXT_HEADER[..end]).all(|read| read.is_err()), "{end}");
        }
        let names: Vec<String> = (0..=HEADERS_MAX).map(|at| format!("h{at}")).collect();
        let headers: Vec<_> = names.iter().map(|name| (&**name, "")).collect();
        let mut out = Vec::new();
        write(&mut out, &headers, |_| ());
        assert!(frames(&out).next().unwrap().is_err());
    }
}

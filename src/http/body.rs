//! One decoder for every body framing: bytes of the connection in, bytes of the body out, as slices of what came in.
//! It holds no body and no limit on one; who reads the body counts it.

use super::chunked::ChunkedDecoder;
use super::{Framing, Side};
use crate::error::Error;

/// Decoder of one message's body. Spent after an error.
#[derive(Clone, Debug)]
pub struct BodyDecoder {
    side: Side,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// So many bytes are missing; 0: the body is whole.
    Length(u64),
    Chunked(ChunkedDecoder),
    Close,
}

impl BodyDecoder {
    /// For a caller's body.
    pub fn request(framing: Framing) -> Self {
        Self::new(framing, Side::Downstream)
    }

    /// For a provider's body.
    pub fn response(framing: Framing) -> Self {
        Self::new(framing, Side::Upstream)
    }

    fn new(framing: Framing, side: Side) -> Self {
        let state = match framing {
            Framing::None => State::Length(0),
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(ChunkedDecoder::new(side)),
            Framing::Close => State::Close,
        };
        Self { side, state }
    }

    /// Reads from `input`, gives the body's bytes to `sink`, and returns how many bytes it took: all of them, unless
    /// the body ends before. What is left belongs to the next message.
    pub fn decode(&mut self, input: &[u8], sink: &mut impl FnMut(&[u8])) -> Result<usize, Error> {
        let taken = match &mut self.state {
            State::Chunked(decoder) => return decoder.decode(input, sink),
            State::Close => input,
            State::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= length as u64;
                input.get(..length).unwrap_or(input)
            }
        };
        if !taken.is_empty() {
            sink(taken);
        }
        Ok(taken.len())
    }

    /// Bytes of the body that its framing has announced and that did not come yet: all of a length, the rest of a chunk;
    /// 0 where nobody knows.
    pub fn announced_bytes(&self) -> u64 {
        match &self.state {
            State::Length(left) => *left,
            State::Chunked(decoder) => decoder.announced_bytes(),
            State::Close => 0,
        }
    }

    /// Whether the body is whole. A close-delimited one is so only when the peer has closed.
    pub fn is_done(&self) -> bool {
        match &self.state {
            State::Length(left) => *left == 0,
            State::Chunked(decoder) => decoder.is_done(),
            State::Close => false,
        }
    }

    /// The peer closed in order: is the body whole, or was it cut?
    pub fn end_of_input(&self) -> Result<(), Error> {
        match self.is_done() || matches!(self.state, State::Close) {
            true => Ok(()),
            false => Err(self.side.cut("the connection was closed before the body was whole")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    /// Feeds `bytes` cut at every byte; expects `body`, the rest unread, and the same end each time.
    fn check(framing: Framing, bytes: &str, body: &str, rest: &str, at_end: Result<(), Kind>) {
        for cut in 0..=bytes.len() {
            let mut decoder = BodyDecoder::response(framing);
            let mut data = Vec::new();
            let mut consumed = 0;
            for piece in [&bytes[..cut], &bytes[cut..]] {
                consumed +=
                    decoder.decode(piece.as_bytes(), &mut |bytes| data.extend_from_slice(bytes)).unwrap();
            }
            assert_eq!((data.as_slice(), &bytes[consumed..]), (body.as_bytes(), rest), "cut at {cut}");
            assert_eq!(decoder.end_of_input().map_err(|error| error.kind), at_end);
            assert_eq!(decoder.is_done(), at_end.is_ok() && framing != Framing::Close);
        }
    }

    #[test]
    fn each_framing_ends_where_it_says() {
        check(Framing::None, "next", "", "next", Ok(()));
        check(Framing::Length(0), "next", "", "next", Ok(()));
        check(Framing::Length(3), "abcnext", "abc", "next", Ok(()));
        check(Framing::Chunked, "3\r\nabc\r\n0\r\n\r\nnext", "abc", "next", Ok(()));
        check(Framing::Close, "abc", "abc", "", Ok(()));
    }

    #[test]
    fn a_cut_body_is_noticed() {
        let cut = Err(Kind::UpstreamInvalidResponse);
        check(Framing::Length(4), "abc", "abc", "", cut);
        check(Framing::Length(u64::MAX), "abc", "abc", "", cut);
        check(Framing::Chunked, "3\r\nabc\r\n0\r\n", "abc", "", cut);
        check(Framing::Chunked, "", "", "", cut);
        let request = BodyDecoder::request(Framing::Length(1));
        assert_eq!(request.end_of_input().unwrap_err().kind, Kind::ClientGone);
    }

    #[test]
    fn what_is_announced_is_known() {
        let announced = |framing, bytes: &[u8]| {
            let mut decoder = BodyDecoder::request(framing);
            decoder.decode(bytes, &mut |_| ()).unwrap();
            decoder.announced_bytes()
        };
        assert_eq!(announced(Framing::Length(9), b"abc"), 6);
        assert_eq!(announced(Framing::Chunked, b"9\r\nabc"), 6);
        assert_eq!(announced(Framing::Chunked, b"3\r\nabc"), 0);
        assert_eq!(announced(Framing::Close, b"abc"), 0);
    }

    #[test]
    fn the_side_decides_the_fault() {
        let decode = |mut decoder: BodyDecoder| decoder.decode(b"x", &mut |_| ()).unwrap_err().kind;
        assert_eq!(decode(BodyDecoder::request(Framing::Chunked)), Kind::BadHead);
        assert_eq!(decode(BodyDecoder::response(Framing::Chunked)), Kind::UpstreamInvalidResponse);
    }
}

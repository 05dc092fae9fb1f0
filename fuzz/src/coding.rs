//! Coded request bodies: other people's decoders on strangers' bytes. The same verdict in whatever steps they are taken,
//! never more than was allowed, and back again what was packed.

use std::io::Write;

use corelane::error::Kind;
use corelane::gateway::coding::{Coding, Decoding, Progress};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::cut::Chance;

const CODINGS: [Coding; 4] = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];

/// What a body may come to here, bytes.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// What stands before a body and stays there.
const HEAD: &[u8] = b"a head";

/// A body; its first byte names the coding.
pub fn coded_body(bytes: &[u8]) {
    let Some((first, body)) = bytes.split_first() else { return };
    let Some(coding) = CODINGS.get(usize::from(first % 4)) else { return };
    let whole = decode(*coding, body, &[]);
    let mut chance = Chance::of(bytes);
    let mut steps = [0; 4].map(|_| chance.below(1 + chance_bound(&whole)));
    steps.sort_unstable();
    assert_eq!(decode(*coding, body, &steps), whole, "in steps of {steps:?}");
    if let Err(kind) = whole {
        assert_eq!(kind, Kind::InvalidRequest);
    }
    pack_and_decode(body);
}

/// Steps that end inside what is there to decode.
fn chance_bound(whole: &Decoded) -> usize {
    whole.as_ref().map_or(4096, |(body, _)| body.len())
}

/// The body and whether it is whole, or has more than it may.
type Decoded = Result<(Vec<u8>, Progress), Kind>;

fn decode(coding: Coding, body: &[u8], steps: &[usize]) -> Decoded {
    let mut decoding = Decoding::new(coding, [HEAD, body].concat(), HEAD.len());
    for bytes_max in steps.iter().copied().chain([BODY_BYTES_MAX]) {
        let progress = decoding.advance(bytes_max).map_err(|error| error.kind)?;
        assert!(decoding.body().len() <= bytes_max, "more than was allowed");
        if progress == Progress::Done || bytes_max == BODY_BYTES_MAX {
            let body = decoding.body().to_vec();
            assert_eq!(decoding.into_bytes(), [HEAD, &body].concat());
            return Ok((body, progress));
        }
    }
    unreachable!("the last step is the largest")
}

fn pack_and_decode(bytes: &[u8]) {
    let fast = Compression::fast();
    let mut gzip = GzEncoder::new(Vec::new(), fast);
    let mut zlib = ZlibEncoder::new(Vec::new(), fast);
    let mut bare = DeflateEncoder::new(Vec::new(), fast);
    for writer in [&mut gzip as &mut dyn Write, &mut zlib, &mut bare] {
        writer.write_all(bytes).expect("memory");
    }
    let packed = [
        (Coding::Gzip, gzip.finish().expect("memory")),
        (Coding::Deflate, zlib.finish().expect("memory")),
        (Coding::Deflate, bare.finish().expect("memory")),
    ];
    for (coding, packed) in packed {
        let decoded = decode(coding, &packed, &[]);
        assert_eq!(decoded, Ok((bytes.to_vec(), Progress::Done)), "what was packed is not unpacked");
    }
}

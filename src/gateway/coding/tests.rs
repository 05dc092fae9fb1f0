//! Decoding against other people's encoders: fixed outputs of zlib, brotli (Node 20) and zstd 1.5.4, cut, corrupted, run
//! together and blown up.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::*;

const ASK: &str = r#"{"model":"openai/gpt-4o","messages":[{"role":"user","content":"hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi hi "}]}"#;
const GZIP: &str = "1f8b0800000000000003c5c2410a80201005d0abc45f1b6d5acd55a285d4c70475c4b19578f78ed1e30d64bd9920d0cae2e3166a5f778543a6990f34c831d0341182d7d8e07069e92c1d82272ebfc43ce7079f8d565bbb000000";
const ZLIB: &str = "789cc5c2410a80201005d0abc45f1b6d5acd55a285d4c70475c4b19578f78ed1e30d64bd9920d0cae2e3166a5f778543a6990f34c831d0341182d7d8e07069e92c1d82272ebfc43ce70754cf3c08";
const BARE: &str = "c5c2410a80201005d0abc45f1b6d5acd55a285d4c70475c4b19578f78ed1e30d64bd9920d0cae2e3166a5f778543a6990f34c831d0341182d7d8e07069e92c1d82272ebfc43ce707";
const BROTLI: &str = "1bba00708cd462cd19ee8c50e904794bd5ae9ba23513243e1134532c3ab00127025b308c03c1427e86cce034c10ace113d869823ca3c37d78db6b6e746d558fd6b45227eff";
/// The same with windows of 16 MiB, and of 256 MiB: brotli's "large window", which no content coding has.
const BROTLI_WIDE: &str = "1fba00708cd462cd19ee8c50e904794bd5ae9ba23513243e1134532c3ab00127025b308c03c1427e86cce034c10ace113d869823ca3c37d78db6b6e746d558fd6b45227eff";
const BROTLI_LARGE: &str = "115ce802c031528b3567b83342a513e42d55bb6e8ad64c90f844d04cb1e8c0069c086cc1300e040bf919c20c3834012be070043d869823ca3c37d78db6b6e746d558fd6b45227eff";
/// 8 MiB of spaces.
const BROTLI_BOMB: &str = "9bffff7ff82540e2b14020f7fe0f";
/// As one segment, and as a stream of unknown length; both with a checksum.
const ZSTD: &str = "28b52ffd24bb1d020062840e1290cf01528eb280b114ddecbebfa52a674698f7dc83c65e4e2153d8e9e192677d39bb96b7a67cf24273f27b781341e31a0d418efd72c7aadf6d010082347551c717e89f";
const ZSTD_STREAM: &str = "28b52ffd045845020062c40f1890b51a0382a2da4069306c5562b3d9fdc8ad79e634ffb904ef780b4730de5436a580c92c77309e48d9cec0374dd9cd34598ba12d439ca272e938ca80a65d010082347551c717e89f";
/// A skippable frame of three bytes.
const ZSTD_SKIPPED: &str = "502a4d1803000000616263";

const SAMPLES: [(Coding, &str); 7] = [
    (Coding::Gzip, GZIP),
    (Coding::Deflate, ZLIB),
    (Coding::Deflate, BARE),
    (Coding::Brotli, BROTLI),
    (Coding::Brotli, BROTLI_WIDE),
    (Coding::Zstd, ZSTD),
    (Coding::Zstd, ZSTD_STREAM),
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Decodes what stands behind a head, in steps that grow from `step_bytes`, up to `bytes_max`.
fn decode_by(coding: Coding, coded: &[u8], step_bytes: usize, bytes_max: usize) -> Result<Vec<u8>, Error> {
    let mut decoding = Decoding::new(coding, [b"head", coded].concat(), 4);
    let mut limit = step_bytes;
    while decoding.advance(limit)? == Progress::Full {
        assert!(decoding.body().len() <= limit);
        if limit == bytes_max {
            return Err(Error::new(Kind::BodyTooLarge, ""));
        }
        limit = (limit + step_bytes).min(bytes_max);
    }
    let bytes = decoding.into_bytes();
    assert!(bytes.starts_with(b"head"));
    Ok(bytes[4..].to_vec())
}

fn decode(coding: Coding, coded: &[u8]) -> Result<Vec<u8>, Error> {
    decode_by(coding, coded, 1 << 20, 1 << 24)
}

fn check_broken(coding: Coding, coded: &[u8], why: &str) {
    let error = decode(coding, coded).map(|body| String::from_utf8_lossy(&body).into_owned()).unwrap_err();
    assert_eq!(error.kind, Kind::InvalidRequest, "{coding:?} {coded:x?}");
    assert!(error.message.contains(why), "{coding:?}: {} instead of {why}", error.message);
}

#[test]
fn names_are_taken_in_any_case_and_one_at_a_time() {
    for (value, coding) in [
        ("gzip", Coding::Gzip),
        ("X-GZip", Coding::Gzip),
        ("deflate", Coding::Deflate),
        ("BR", Coding::Brotli),
        ("zstd", Coding::Zstd),
    ] {
        assert_eq!(Coding::of(value.as_bytes()), Ok(Some(coding)));
    }
    for value in ["", "identity", "Identity"] {
        assert_eq!(Coding::of(value.as_bytes()), Ok(None));
    }
    for value in ["gzip, gzip", "gzip,", "identity, br", "compress", "gzip;q=1", "zstd br", "\u{fffd}", "*"] {
        let error = Coding::of(value.as_bytes()).unwrap_err();
        assert_eq!(error.kind, Kind::UnsupportedMediaType, "{value}");
    }
}

#[test]
fn each_coding_is_decoded_in_steps_of_any_size() {
    for (coding, hex) in SAMPLES {
        for step in [1, 7, 100, ASK.len() - 1, ASK.len(), ASK.len() + 1, 1 << 20] {
            let body = decode_by(coding, &bytes(hex), step, 1 << 20).unwrap();
            assert_eq!(body, ASK.as_bytes(), "{coding:?} by {step}");
        }
    }
}

#[test]
fn every_cut_is_noticed() {
    for (coding, hex) in SAMPLES {
        let coded = bytes(hex);
        for end in 0..coded.len() {
            // A bare stream that is cut behind its first byte may look like anything.
            check_broken(coding, &coded[..end], "it is c");
        }
    }
}

#[test]
fn no_flipped_bit_goes_unnoticed_where_a_checksum_stands() {
    for (coding, hex) in SAMPLES {
        let has_checksum = !matches!(coding, Coding::Brotli) && hex != BARE;
        for at in 0..bytes(hex).len() * 8 {
            let mut coded = bytes(hex);
            coded[at / 8] ^= 1 << (at % 8);
            match decode(coding, &coded) {
                Err(error) => assert_eq!(error.kind, Kind::InvalidRequest),
                Ok(body) => assert!(!has_checksum || body == ASK.as_bytes(), "{coding:?} bit {at}"),
            }
        }
    }
}

#[test]
fn what_follows_is_refused() {
    for (coding, hex) in SAMPLES {
        for surplus in [&b"x"[..], b"\0\0\0\0", b"{}", b"GET / HTTP/1.1\r\n\r\n"] {
            assert!(decode(coding, &[&bytes(hex), surplus].concat()).is_err(), "{coding:?} {surplus:?}");
        }
    }
    for (coding, hex) in [(Coding::Deflate, ZLIB), (Coding::Deflate, BARE), (Coding::Brotli, BROTLI)] {
        check_broken(coding, &bytes(&hex.repeat(2)), FOLLOWED);
    }
}

#[test]
fn members_and_frames_stand_in_a_row() {
    let twice = ASK.repeat(2);
    assert_eq!(decode(Coding::Gzip, &bytes(&GZIP.repeat(2))).unwrap(), twice.as_bytes());
    for frames in [
        [ZSTD, ZSTD_STREAM].concat(),
        [ZSTD_SKIPPED, ZSTD, ZSTD_SKIPPED, ZSTD].concat(),
        [ZSTD, ZSTD, ZSTD_SKIPPED].concat(),
    ] {
        assert_eq!(decode(Coding::Zstd, &bytes(&frames)).unwrap(), twice.as_bytes());
    }
    check_broken(Coding::Zstd, &bytes(&ZSTD_SKIPPED[..20]), CUT);
    assert_eq!(decode(Coding::Zstd, &bytes(ZSTD_SKIPPED)).unwrap(), b"");
}

#[test]
fn the_number_of_members_is_bounded() {
    let empty = gzip(b"");
    assert_eq!(decode(Coding::Gzip, &empty.repeat(MEMBERS_MAX)).unwrap(), b"");
    check_broken(Coding::Gzip, &empty.repeat(MEMBERS_MAX + 1), MANY_MEMBERS);
    let skipped = bytes(ZSTD_SKIPPED);
    assert_eq!(decode(Coding::Zstd, &skipped.repeat(MEMBERS_MAX)).unwrap(), b"");
    check_broken(Coding::Zstd, &skipped.repeat(MEMBERS_MAX + 1), MANY_MEMBERS);
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn bare(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zstd(data: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
}

/// 8 MiB of spaces in each coding.
fn bombs() -> Vec<(Coding, Vec<u8>)> {
    let spaces = vec![b' '; 8 << 20];
    vec![
        (Coding::Gzip, gzip(&spaces)),
        (Coding::Deflate, zlib(&spaces)),
        (Coding::Deflate, bare(&spaces)),
        (Coding::Brotli, bytes(BROTLI_BOMB)),
        (Coding::Zstd, zstd(&spaces)),
    ]
}

#[test]
fn a_bomb_is_decoded_to_its_limit_and_no_further() {
    for (coding, coded) in bombs() {
        assert!(coded.len() < 40_000, "{coding:?} {}", coded.len());
        for step in [1 << 16, 1 << 20, 3 << 20] {
            let over = decode_by(coding, &coded, step, (8 << 20) - 1);
            assert_eq!(over.map_err(|error| error.kind), Err(Kind::BodyTooLarge), "{coding:?}");
            let body = decode_by(coding, &coded, step, (8 << 20) + 1).unwrap();
            assert!(body.len() == 8 << 20 && body.iter().all(|byte| *byte == b' '), "{coding:?}");
        }
    }
}

/// What a zstd frame holds back is bounded by the step, too: it gives nothing out before its window is full.
#[test]
fn a_step_bounds_what_a_frame_holds_back() {
    let coded = zstd(&vec![b' '; 8 << 20]);
    let mut decoding = Decoding::new(Coding::Zstd, coded, 0);
    assert_eq!(decoding.advance(PIECE_BYTES), Ok(Progress::Full));
    let Engine::Zstd(zstd) = &decoding.engine else { panic!("not zstd") };
    assert!(decoding.body().len() + zstd.held_bytes <= 2 * PIECE_BYTES);
    assert!(zstd.decoder.blocks_decoded() <= 3, "{}", zstd.decoder.blocks_decoded());
}

#[test]
fn windows_beyond_the_codings_are_refused() {
    check_broken(Coding::Brotli, &bytes(BROTLI_LARGE), CORRUPT);
    // A window of 16 MiB, of 8 MiB and one eighth, and of 8 MiB; then one empty raw block that is the last.
    for (descriptor, is_refused) in [("70", true), ("69", true), ("68", false)] {
        let coded = bytes(&format!("28b52ffd00{descriptor}010000"));
        match is_refused {
            true => check_broken(Coding::Zstd, &coded, "8 MiB"),
            false => assert_eq!(decode(Coding::Zstd, &coded).unwrap(), b""),
        }
    }
    // A frame with a dictionary's id.
    check_broken(Coding::Zstd, &bytes("28b52ffd0168070100 00".replace(' ', "").as_str()), "dictionary");
}

/// Neither cuts nor noise make a decoder panic, or go on for ever.
#[test]
fn noise_is_an_error_or_a_body() {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..4_000 {
        let (coding, hex) = SAMPLES[random.usize(..SAMPLES.len())];
        let mut coded = bytes(hex);
        for _ in 0..random.usize(1..6) {
            let at = random.usize(..coded.len());
            match random.u8(..3) {
                0 => coded[at] = random.u8(..),
                1 => coded.insert(at, random.u8(..)),
                _ => drop(coded.remove(at)),
            }
        }
        match decode_by(coding, &coded, random.usize(1..300_000), 1 << 20) {
            Ok(body) => assert!(body.len() <= 1 << 20),
            Err(error) => assert!(matches!(error.kind, Kind::InvalidRequest | Kind::BodyTooLarge)),
        }
    }
}

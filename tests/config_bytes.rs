//! Arbitrary bytes as a config file: nothing makes `load` panic, and what it does and keeps follows the file's length.
//! Which faults a file has is `config.rs`'s matter. The bytes are the same in every run; a failure names its seed.

#![allow(clippy::expect_used, clippy::panic, reason = "a test's helpers fail as the test does")]

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use corelane::config::{DEPTH_MAX, FINDINGS_MAX, Fault, KEY_BYTES_MAX, Loaded, load};

/// Rounds with each fixture.
const ROUNDS: u64 = 500;
/// Longest that a message of one finding may be, bytes.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// What a file may hold in the wrong place.
const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-1",
    "1e400",
    "18446744073709551616",
    "\"env.\"",
    "\"env.ANY\"",
    "\"*\"",
    "\"://\"",
    "\"http://[::1\"",
    "\"socks5://u:p@h:0\"",
    "\"-----BEGIN CERTIFICATE-----\\n\"",
    "\"::ffff:0:0/96\"",
    "\"0.0.0.0/0\"",
    "\"\"",
    "{}",
    "[]",
    "[[[[[[[[[[[[[[[[",
    "\u{feff}",
    "ä",
    "\u{0}",
];

/// What a variable may hold.
const VALUES: &[&str] = &[
    "",
    " ",
    "value",
    "-----BEGIN CERTIFICATE-----",
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "-----BEGIN PRIVATE KEY-----\n\n-----END PRIVATE KEY-----",
    "/etc/tls/cert.pem",
    "http://user:p%40ss@proxy:3128",
    "https://proxy",
    "socks5://proxy",
    "u%:%@[::1]:0",
    "*",
    ",.,*.,:80,10.0.0.0/8,[::1]:80,[",
    "\u{0}\n",
    "ä",
];

/// xorshift64*, so that a run can be repeated on any machine.
#[derive(Clone)]
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16;
        usize::try_from(drawn).expect("64 bits") % bound.max(1)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

#[test]
fn no_mutated_file_makes_it_panic() {
    let fixtures: Vec<_> = ["good", "bad"].into_iter().flat_map(fixtures).collect();
    for (index, text) in fixtures.iter().enumerate() {
        for round in 0..ROUNDS {
            let seed = (index as u64) << 32 | round;
            let mut chance = Chance::new(seed);
            let mut changed = text.clone();
            for _ in 0..=chance.below(4) {
                mutate(&mut changed, &fixtures, &mut chance);
            }
            check(&changed, seed);
        }
    }
}

#[test]
fn no_environment_makes_it_panic() {
    let edge = include_bytes!("config/good/edge.json");
    for seed in 0..500 {
        check(edge, seed);
    }
}

#[test]
fn what_is_kept_of_a_file_is_bounded() {
    let many = |count: usize, member: &str| vec![member; count].join(",");
    let long = "k".repeat(2_000_000);
    let deepest = format!("{{\"{}\":", "/".repeat(KEY_BYTES_MAX)).repeat(DEPTH_MAX - 1);
    let unknown: Vec<_> = (0..200_000).map(|index| format!("\"prvidrs{index:x}\":1")).collect();
    let provider = r#""openai":{"keys":[{"name":"a","value":"k","models":["*"]}]}"#;
    for text in [
        format!("{{\"{long}\":{{{}}}}}", many(2_000, "\"a\":1")),
        format!("{{\"providers\":{{\"{long}\":{{\"keys\":[{}]}}}}}}", many(2_000, "{}")),
        format!("{{\"providers\":{{\"openai\":{{\"keys\":[{{\"name\":\"{long}\"}}]}}}}}}"),
        format!("{{\"providers\":{{\"openai\":{{\"keys\":[{{\"value\":\"env.{long}\"}}]}}}}}}"),
        format!("{deepest}{{{}}}{}", many(2_000, "\"a\":1"), "}".repeat(DEPTH_MAX - 1)),
        format!(
            "{{\"client\":{{\"allowed_headers\":[{}]}},\"source_of_truth\":\"{long}\"}}",
            many(200_000, "\" \"")
        ),
        format!("{{\"client\":{{\"allowed_origins\":[\"{long}\"]}},\"providers\":{{{provider}}}}}"),
        format!("{{\"server\":{{\"trusted_proxies\":[\"{long}\"]}}}}"),
        format!("{{\"server\":{{\"tls\":{{\"cert\":\"{long}\",\"{long}\":1}}}}}}"),
        format!("{{{},\"providers\":{{{provider}}}}}", unknown.join(",")),
    ] {
        check(text.as_bytes(), 1);
    }
}

/// Loads a file and looks at what is said of it. The seed also decides the environment.
fn check(text: &[u8], seed: u64) {
    let environment = |name: &str| {
        let mut chance = Chance::new(seed ^ name.bytes().map(u64::from).sum::<u64>());
        (chance.below(4) > 0).then(|| chance.pick(VALUES).to_owned())
    };
    let result = catch_unwind(|| load(text, "config.json", &environment))
        .unwrap_or_else(|_| panic!("seed {seed}: {}", String::from_utf8_lossy(text)));
    let findings: Vec<Fault> = match result {
        Ok(Loaded { snapshot, warnings, .. }) => {
            assert_eq!(snapshot.digest.len(), 16, "seed {seed}");
            warnings.into_iter().map(Fault::from).collect()
        }
        Err(faults) => {
            assert!(!faults.is_empty(), "seed {seed}");
            faults
        }
    };
    assert!(findings.len() <= FINDINGS_MAX + 1, "seed {seed}");
    for Fault { pointer, message, .. } in findings {
        // Each / of a key takes two bytes, and one goes before it.
        assert!(pointer.len() <= DEPTH_MAX * (2 * KEY_BYTES_MAX + 1), "seed {seed}: {} bytes", pointer.len());
        assert!(message.len() <= MESSAGE_BYTES_MAX, "seed {seed}: {} bytes", message.len());
    }
}

/// One change: a byte, a word, a piece left out, doubled, or taken from another file.
fn mutate(text: &mut Vec<u8>, fixtures: &[Vec<u8>], chance: &mut Chance) {
    let (from, to) = range(text.len(), chance);
    match chance.below(6) {
        0 if from < text.len() => text[from] = chance.below(256).try_into().expect("a byte"),
        1 if from < text.len() => text[from] ^= 1 << chance.below(8),
        2 => drop(text.drain(from..to)),
        3 => {
            let piece = text[from..to].to_vec();
            text.splice(to..to, piece);
        }
        4 => {
            let other = &fixtures[chance.below(fixtures.len())];
            let (other_from, other_to) = range(other.len(), chance);
            text.splice(from..to, other[other_from..other_to].iter().copied());
        }
        _ => drop(text.splice(from..from, chance.pick(WORDS).bytes())),
    }
}

fn range(length: usize, chance: &mut Chance) -> (usize, usize) {
    let from = chance.below(length + 1);
    (from, from + chance.below((length - from).min(64) + 1))
}

/// The `.json` files of a folder, sorted by name.
fn fixtures(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("the file")).collect()
}

//! Every input that the fuzzers keep (`fuzz/corpus/`), and the files that other tests read, through the checks that the
//! fuzzers make: what was found once is looked for on every run. `make fuzz` looks for more.

#![allow(clippy::expect_used, reason = "a test's helpers fail as the test does")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a crate of its own under the fuzzer")]
mod checks;

/// Most that all corpora take in the repository, bytes.
const CORPORA_BYTES_MAX: u64 = 1_000_000;

#[test]
fn what_the_fuzzers_keep_still_holds() {
    for (name, check) in checks::CHECKS {
        let inputs = files(&root().join("fuzz/corpus").join(name));
        assert!(inputs.len() >= 5, "{name} has no corpus");
        inputs.iter().for_each(|path| run(name, check, path));
    }
}

#[test]
fn what_other_tests_read_holds_too() {
    for (name, folder) in [
        ("config_file", "tests/config/good"),
        ("config_file", "tests/config/bad"),
        ("look", "tests/dialect/requests"),
        ("look", "tests/config/good"),
    ] {
        files(&root().join(folder)).iter().for_each(|path| run(name, check(name), path));
    }
}

/// What one dialect says is a stranger's bytes to each other one's reader.
#[test]
fn what_the_dialects_tests_read_holds_in_each_dialect() {
    let paths = files_below(&root().join("tests/dialect"));
    for (extension, kind, others) in [
        ("json", "_body", ["look", "passing_places"]),
        ("sse", "_stream", ["event_stream", "passing_places"]),
    ] {
        let is_read = |path: &&PathBuf| path.extension().is_some_and(|found| found == extension);
        let read: Vec<_> = paths.iter().filter(is_read).collect();
        assert!(read.len() >= 50, "{extension}: {}", read.len());
        let of_dialects = checks::CHECKS.into_iter().filter(|(name, _)| name.ends_with(kind));
        for (name, check) in of_dialects.chain(others.map(|name| (name, check(name)))) {
            read.iter().for_each(|path| run(name, check, path));
        }
    }
}

#[test]
fn each_check_has_its_target_and_corpora_are_small() {
    let names = checks::CHECKS.map(|(name, _)| name.to_owned()).to_vec();
    let stems = |folder: &str| -> Vec<String> {
        let paths = fs::read_dir(root().join(folder)).expect("a folder");
        let stem = |path: PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
        let mut stems: Vec<String> = paths.flatten().map(|entry| stem(entry.path())).collect();
        stems.sort();
        stems
    };
    assert_eq!(stems("fuzz/targets"), names);
    assert_eq!(stems("fuzz/corpus"), names);
    let size = |path: &PathBuf| fs::metadata(path).expect("a file").len();
    let inputs = names.iter().flat_map(|name| files(&root().join("fuzz/corpus").join(name)));
    let bytes: u64 = inputs.map(|path| size(&path)).sum();
    assert!(bytes <= CORPORA_BYTES_MAX, "{bytes} bytes of corpora");
}

fn check(name: &str) -> checks::Check {
    checks::CHECKS.into_iter().find(|(other, _)| *other == name).expect("a check").1
}

fn run(name: &str, check: checks::Check, path: &Path) {
    let bytes = fs::read(path).expect("an input");
    assert!(catch_unwind(|| check(&bytes)).is_ok(), "{name} does not hold for {}", path.display());
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] })
        .collect();
    paths.sort();
    paths
}

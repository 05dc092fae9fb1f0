//! The soak, short: one round on each driver, plain and TLS. `make soak` is the long one; what it does, and what must not
//! come of it, is `loadtest/src/soak`'s.

#![allow(clippy::panic, clippy::expect_used, reason = "a test's failure")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// How long the callers call, seconds.
const LOAD_S: u32 = 6;

/// The same on every run, so that one that fails can be repeated.
const SEED: u64 = 1;

#[test]
fn io_uring_stands_it() {
    soak("io_uring");
}

#[test]
fn epoll_stands_it() {
    soak("epoll");
}

#[test]
fn io_uring_stands_it_under_tls() {
    soak("io_uring+tls");
}

#[test]
fn epoll_stands_it_under_tls() {
    soak("epoll+tls");
}

fn soak(round: &str) {
    let mut command = Command::new(program());
    command.args(["--corelane", env!("CARGO_BIN_EXE_corelane"), "--rounds", round]);
    command.args([
        "--seconds",
        &LOAD_S.to_string(),
        "--seed",
        &SEED.to_string(),
        "--callers",
        "16",
        "--controls",
        "4",
    ]);
    let output = command.output().expect("the soak runs");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

fn program() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("loadtest/target");
    let built = ["debug", "release"].map(|profile| folder.join(profile).join("soak"));
    built.into_iter().find(|path| path.exists()).unwrap_or_else(|| {
        panic!("the soak is not built; `make test` does it: cargo build --manifest-path loadtest/Cargo.toml")
    })
}

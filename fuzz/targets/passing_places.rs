//! `corelane_fuzz::passing_places` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| corelane_fuzz::passing_places(bytes));

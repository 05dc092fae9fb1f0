//! `corelane_fuzz::cohere_body` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| corelane_fuzz::cohere_body(bytes));

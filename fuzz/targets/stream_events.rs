//! `corelane_fuzz::stream_events` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| corelane_fuzz::stream_events(bytes));

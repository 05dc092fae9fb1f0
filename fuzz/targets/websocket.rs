//! `corelane_fuzz::websocket` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| corelane_fuzz::websocket(bytes));

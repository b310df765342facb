//! libFuzzer's entry of the target `ops`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| emberkv_fuzz::ops::run(data));

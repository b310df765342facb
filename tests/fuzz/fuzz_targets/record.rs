//! libFuzzer's entry of the target `record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| emberkv_fuzz::record::run(data));

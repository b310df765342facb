//! libFuzzer's entry of the target `footer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| emberkv_fuzz::footer::run(data));

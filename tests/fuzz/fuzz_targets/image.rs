//! libFuzzer's entry of the target `image`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| emberkv_fuzz::image::run(data));

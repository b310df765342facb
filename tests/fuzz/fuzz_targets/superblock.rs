//! libFuzzer's entry of the target `superblock`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| emberkv_fuzz::superblock::run(data));

//! A data logger with settings over EmberKV, for two emulated boards: what the boards share.
//!
//! `logger` is the application, `measure` counts instructions and stack, `sd` is a small driver of
//! SD cards on SPI; `lm3s` and `sf2` are the boards' buses, over `registers`. `supply` ends the
//! power in the middle of a byte, for the harness.
#![no_std]

pub mod clock;
pub mod conformance;
pub mod host;
pub mod lm3s;
pub mod logger;
pub mod measure;
pub mod registers;
pub mod sd;
pub mod sf2;
pub mod stack;
pub mod supply;

use core::panic::PanicInfo;

/// Says where, and ends the emulator with an error: the harness takes it for a failure.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    say!("FAILED {info}");
    host::exit(host::Verdict::Failed)
}

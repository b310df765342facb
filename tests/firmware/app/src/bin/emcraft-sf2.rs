//! The data logger on `emcraft-sf2`, on its SPI NOR chip.
#![no_std]
#![no_main]

use emberkv_firmware::conformance;
use emberkv_firmware::host::{self, CommandLine, Verdict};
use emberkv_firmware::logger::{self, ARENA_BYTES, Order};
use emberkv_firmware::sf2::{Delay, NOR_SEGMENT_BYTES, Nor, nor_options};
use emberkv_firmware::supply::Supply;
use emberkv_firmware::{measure, say};
use emberkv_flash::SpiNor;

#[cortex_m_rt::entry]
fn main() -> ! {
    static mut ARENA: [u8; ARENA_BYTES] = [0; ARENA_BYTES];
    let line = CommandLine::read();
    let spi = Nor::take(Supply::new(line.number("supply")));
    let device = match SpiNor::open(spi, Delay, &nor_options()) {
        Ok(device) => device,
        Err(error) => {
            say!("FAILED {error}");
            host::exit(Verdict::Failed)
        }
    };
    if line.has("conformance") {
        conformance::run(device, ARENA)
    }
    if let (true, Some(core)) = (line.has("measure"), cortex_m::Peripherals::take()) {
        measure::run(device, ARENA, &logger::config(NOR_SEGMENT_BYTES), core.SYST)
    }
    logger::run(device, ARENA, &logger::config(NOR_SEGMENT_BYTES), Order::read(&line))
}

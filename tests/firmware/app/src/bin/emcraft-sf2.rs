//! The data logger on `emcraft-sf2`, on its SPI NOR chip.
#![no_std]
#![no_main]

use emberkv_firmware::conformance;
use emberkv_firmware::host::{self, CommandLine, Verdict};
use emberkv_firmware::logger::{self, ARENA_BYTES, Order};
use emberkv_firmware::say;
use emberkv_firmware::sf2::{Delay, Nor};
use emberkv_firmware::supply::Supply;
use emberkv_flash::SpiNor;
use emberkv_flash::spi_nor::{Addressing, ChipLayout, Erase, JedecId, Options};

/// What the store takes of the chip, from its start: 31 segments and the superblocks.
const BYTES: u64 = 512 << 10;
const SEGMENT_BYTES: u32 = 16 << 10;

/// Spansion S25FL128P, 16 MiB, without a table of parameters. The emulated chip erases 4 KiB too, which that part does not.
fn options() -> Options {
    Options {
        partition: Some(0..BYTES),
        expect: Some(JedecId { maker: 0x01, family: 0x20, capacity_code: 0x18 }),
        layout: Some(ChipLayout {
            capacity: 16 << 20,
            page_bytes: 256,
            erases: [
                Some(Erase { bytes: 4 << 10, command: 0x20 }),
                Some(Erase { bytes: 64 << 10, command: 0xD8 }),
                None,
                None,
            ],
            addressing: Addressing::ThreeBytes,
        }),
        // Sectors of a host, so that its tools read an image of the chip.
        tear_unit: 512,
        ..Options::default()
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    static mut ARENA: [u8; ARENA_BYTES] = [0; ARENA_BYTES];
    let line = CommandLine::read();
    let spi = Nor::take(Supply::new(line.number("supply")));
    let device = match SpiNor::open(spi, Delay, &options()) {
        Ok(device) => device,
        Err(error) => {
            say!("FAILED {error}");
            host::exit(Verdict::Failed)
        }
    };
    if line.has("conformance") {
        conformance::run(device, ARENA)
    }
    logger::run(device, ARENA, &logger::config(SEGMENT_BYTES), Order::read(&line))
}

//! The data logger on `lm3s6965evb`, on its SD card.
#![no_std]
#![no_main]

use embedded_sdmmc_types::{Block, BlockDevice};
use emberkv_firmware::conformance;
use emberkv_firmware::host::{self, CommandLine, Verdict};
use emberkv_firmware::lm3s::CardBus;
use emberkv_firmware::logger::{self, ARENA_BYTES, Order};
use emberkv_firmware::sd::SdCard;
use emberkv_firmware::supply::Supply;
use emberkv_firmware::{measure, say};
use emberkv_flash::SdmmcDevice;

/// Blocks of the card that the store takes: 512 KiB in segments of 16 KiB.
const BLOCKS: u32 = 1024;
const SEGMENT_BYTES: u32 = 16 << 10;

#[cortex_m_rt::entry]
fn main() -> ! {
    static mut ARENA: [u8; ARENA_BYTES] = [0; ARENA_BYTES];
    let line = CommandLine::read();
    let supply = Supply::new(line.number("supply"));
    let card = match SdCard::start(CardBus::take(), supply) {
        Ok(card) => card,
        Err(error) => fail(error),
    };
    let blocks = card.num_blocks().map_or(0, |count| count.0).min(BLOCKS);
    // Four bounce blocks: neighbouring blocks share a command.
    let bounce: [Block; 4] = core::array::from_fn(|_| Block::new());
    let device = match SdmmcDevice::with_bounce(card, 0..blocks, bounce) {
        Ok(device) => device,
        Err(error) => fail(error),
    };
    if line.has("conformance") {
        conformance::run(device, ARENA)
    }
    if let (true, Some(core)) = (line.has("measure"), cortex_m::Peripherals::take()) {
        measure::run(device, ARENA, &logger::config(SEGMENT_BYTES), core.SYST)
    }
    logger::run(device, ARENA, &logger::config(SEGMENT_BYTES), Order::read(&line))
}

fn fail(error: impl core::fmt::Debug) -> ! {
    say!("FAILED {error:?}");
    host::exit(Verdict::Failed)
}

//! A driver for SPI NOR chips: the 8-pin parts with a JEDEC identity.
//!
//! * **Finding the chip.** [`SpiNor::open`] wakes it, waits for what an earlier boot left running,
//!   reads its identity and its table of parameters (SFDP, JESD216). Chips without a table are
//!   taken by the capacity code of their identity, with 256-byte pages and erases of 4 and 64 KiB;
//!   [`Options::layout`] says it for the others.
//! * **Waiting is bounded.** Status is polled at most [`Wait::polls`] times. A chip that stays busy
//!   is [`SpiNorError::Busy`]; the next operation waits for it first. That holds too when a future
//!   was dropped in the middle.
//! * **Nothing is taken on trust.** Write-enable is checked in the status register before each
//!   command that needs it. What was programmed or erased is read back ([`Verify::ReadBack`]); a
//!   chip that ignores commands for protected blocks without a word is caught so.
//! * **Tearing.** A power cut leaves the bytes of the page command in flight undefined, others
//!   untouched. `write_unit` and `tear_unit` are 16 by default: chips with ECC inside keep it for
//!   16 bytes, which must be programmed at once. [`Options::tear_unit`] of one page is for chips
//!   whose manual speaks of pages.
//! * **Order.** A write is in the cells when it returns: `ordered`, and `flush` has nothing to do.
//!
//! Not done: removing write protection (its registers differ from maker to maker), quad modes, dies
//! that are stacked behind a select command, chips whose blocks have several sizes.
//!
//! `chip` holds the commands and their order, once; `blocking` and `asynchronous` are the two
//! faces, `sfdp` and `layout` what is known about a chip, `bus` what differs between the faces.

#[cfg(feature = "spi-nor-async")]
mod asynchronous;
mod blocking;
mod bus;
mod chip;
mod error;
mod layout;
mod sfdp;

use core::ops::Range;

#[cfg(feature = "spi-nor-async")]
pub use asynchronous::AsyncSpiNor;
pub use blocking::SpiNor;
pub use error::SpiNorError;
pub use layout::{Addressing, ChipLayout, Erase, JedecId};

use crate::verify::Verify;

/// How often, and how long apart, the chip is asked whether it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Between two questions.
    pub interval_us: u32,
    /// Most questions.
    pub polls: u32,
}

/// How a chip is driven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The part of the chip to use, in bytes from its start; `None` for all of it.
    pub partition: Option<Range<u64>>,
    /// The only chip that is accepted; `None` for any.
    pub expect: Option<JedecId>,
    /// The chip's layout, where it cannot tell it or tells it wrong.
    pub layout: Option<ChipLayout>,
    /// Bytes that are programmed at once and never again before an erase; a power of two.
    pub write_unit: u32,
    /// Bytes that an interrupted write may destroy around itself; a power of two.
    pub tear_unit: u32,
    /// Most bytes that one bus transaction reads. The buffers of some bus drivers are small: that
    /// of Linux takes 4,096 bytes with the command.
    pub read_bytes_max: usize,
    /// Whether writes and erases are read back.
    pub verify: Verify,
    /// Waiting for a page to be programmed: 20 ms at most by default; manuals say 3 to 5 ms.
    pub program_wait: Wait,
    /// Waiting for a block to be erased: 10 s at most by default; manuals say up to 3 s.
    pub erase_wait: Wait,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            partition: None,
            expect: None,
            layout: None,
            write_unit: 16,
            tear_unit: 16,
            read_bytes_max: 2048,
            verify: Verify::ReadBack,
            program_wait: Wait { interval_us: 50, polls: 400 },
            erase_wait: Wait { interval_us: 1000, polls: 10_000 },
        }
    }
}

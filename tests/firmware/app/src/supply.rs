//! The power supply of a medium: it ends after so many bytes were programmed, in the middle of
//! whatever is under way then.
//!
//! The drivers draw from it for each byte that they send to be programmed. When it is empty they
//! stop the transfer there, say what was in flight, and never return: the host ends the emulator,
//! and destroys what the medium's contract says a cut may destroy.

use crate::{host, say};

/// Bytes that can still be programmed.
#[derive(Clone, Copy, Debug)]
pub struct Supply {
    left: Option<u32>,
}

impl Supply {
    /// Never ends.
    pub const ENDLESS: Self = Self { left: None };

    /// Ends after `bytes` bytes; `None`: never.
    #[must_use]
    pub const fn new(bytes: Option<u32>) -> Self {
        Self { left: bytes }
    }

    /// How many of `bytes` bytes can be programmed; they are taken from the supply.
    pub fn draw(&mut self, bytes: usize) -> usize {
        let Some(left) = &mut self.left else { return bytes };
        let drawn = bytes.min(*left as usize);
        *left -= drawn as u32;
        drawn
    }

    /// The power fails: of the bytes `address .. address + bytes` of the medium some are torn.
    pub fn fail(medium: &str, address: u64, landed: usize, bytes: usize) -> ! {
        say!("cut {medium} {address} {landed} {bytes}");
        host::silence()
    }
}

//! The boards: what the emulator is called with, and what a blank medium is.

use std::fs;
use std::io;
use std::path::Path;

/// An emulated board and its medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Board {
    /// `lm3s6965evb` with an SD card.
    Sd,
    /// `emcraft-sf2` with a SPI NOR chip.
    Nor,
}

impl Board {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Sd, Self::Nor].into_iter().find(|board| board.machine() == name)
    }

    /// The emulator's name of the board, and that of its firmware.
    pub(crate) const fn machine(self) -> &'static str {
        match self {
            Self::Sd => "lm3s6965evb",
            Self::Nor => "emcraft-sf2",
        }
    }

    pub(crate) fn drive(self, image: &Path) -> String {
        let interface = match self {
            Self::Sd => "sd",
            Self::Nor => "mtd",
        };
        format!("if={interface},format=raw,file={}", image.display())
    }

    /// Writes the image of a medium that was never used.
    pub(crate) fn blank(self, image: &Path) -> io::Result<()> {
        match self {
            Self::Sd => fs::write(image, vec![0; 1 << 20]),
            Self::Nor => fs::write(image, vec![0xFF; 16 << 20]),
        }
    }

    /// Bytes that a session programs before its power ends, at most: some dozens of operations.
    pub(crate) const fn supply_max(self) -> u64 {
        40_000
    }
}

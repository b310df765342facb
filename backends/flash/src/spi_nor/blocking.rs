//! The blocking face of the SPI NOR driver.

use core::ops::Range;

use embedded_hal::delay::DelayNs;
use embedded_hal::spi::SpiDevice;
use emberkv_core::{BlockDevice, Caps, Durability, Geometry};

use super::bus::Blocking;
use super::chip::Chip;
use super::layout::{ChipLayout, JedecId};
use super::{Options, SpiNorError};
use crate::ready::now;

/// A SPI NOR chip, or a partition of it, behind an `embedded_hal` bus.
/// [The module's text](crate::spi_nor) tells what it promises.
#[derive(Debug)]
pub struct SpiNor<S: SpiDevice, T: DelayNs> {
    chip: Chip<Blocking<S, T>>,
}

impl<S: SpiDevice, T: DelayNs> SpiNor<S, T> {
    /// Finds the chip on the bus (mode 0 or 3). Nothing is written.
    ///
    /// # Errors
    /// `NoChip`, `WrongChip`, `UnknownChip`, `Table`, `Geometry` (the options do not fit the chip),
    /// `Busy`, `Bus`.
    pub fn open(spi: S, delay: T, options: &Options) -> Result<Self, SpiNorError<S::Error>> {
        now(Chip::open(Blocking { spi, delay }, options)).map(|chip| Self { chip })
    }

    /// The chip's identity.
    #[must_use]
    pub fn id(&self) -> JedecId {
        self.chip.id()
    }

    /// What is known about the chip.
    #[must_use]
    pub fn layout(&self) -> &ChipLayout {
        self.chip.layout()
    }

    /// Gives the bus and the delay back.
    #[must_use]
    pub fn into_inner(self) -> (S, T) {
        (self.chip.bus.spi, self.chip.bus.delay)
    }
}

impl<S: SpiDevice, T: DelayNs> BlockDevice for SpiNor<S, T> {
    type Error = SpiNorError<S::Error>;

    fn geometry(&self) -> Geometry {
        self.chip.geometry()
    }
    fn caps(&self) -> Caps {
        self.chip.caps()
    }
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        now(self.chip.read(address, buffer))
    }
    fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), Self::Error> {
        now(self.chip.write(address, slices, durability))
    }
    fn erase(&mut self, range: Range<u64>) -> Result<(), Self::Error> {
        now(self.chip.erase(range))
    }
    /// Nothing to do: each write and each erase was polled until the chip was done.
    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

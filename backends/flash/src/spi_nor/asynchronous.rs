//! The asynchronous face of the SPI NOR driver.

use core::ops::Range;

use embedded_hal_async::delay::DelayNs;
use embedded_hal_async::spi::SpiDevice;
use emberkv_core::{AsyncBlockDevice, Caps, Durability, Geometry};

use super::bus::Waiting;
use super::chip::Chip;
use super::layout::{ChipLayout, JedecId};
use super::{Options, SpiNorError};

/// A SPI NOR chip, or a partition of it, behind an `embedded_hal_async` bus.
/// [The module's text](crate::spi_nor) tells what it promises.
///
/// A future dropped before it is ready leaves the operation interrupted; the next one waits until
/// the chip is idle again. (The bus's driver must release the chip select when its future is
/// dropped.)
#[derive(Debug)]
pub struct AsyncSpiNor<S: SpiDevice, T: DelayNs> {
    chip: Chip<Waiting<S, T>>,
}

impl<S: SpiDevice, T: DelayNs> AsyncSpiNor<S, T> {
    /// Finds the chip on the bus (mode 0 or 3). Nothing is written.
    ///
    /// # Errors
    /// `NoChip`, `WrongChip`, `UnknownChip`, `Table`, `Geometry` (the options do not fit the chip),
    /// `Busy`, `Bus`.
    pub async fn open(spi: S, delay: T, options: &Options) -> Result<Self, SpiNorError<S::Error>> {
        Chip::open(Waiting { spi, delay }, options).await.map(|chip| Self { chip })
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

impl<S: SpiDevice, T: DelayNs> AsyncBlockDevice for AsyncSpiNor<S, T> {
    type Error = SpiNorError<S::Error>;

    fn geometry(&self) -> Geometry {
        self.chip.geometry()
    }
    fn caps(&self) -> Caps {
        self.chip.caps()
    }
    async fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        self.chip.read(address, buffer).await
    }
    async fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), Self::Error> {
        self.chip.write(address, slices, durability).await
    }
    async fn erase(&mut self, range: Range<u64>) -> Result<(), Self::Error> {
        self.chip.erase(range).await
    }
    /// Nothing to do: each write and each erase was polled until the chip was done.
    async fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

//! The blocking face: a `NorFlash` of `embedded-storage` as a [`BlockDevice`].

use core::ops::Range;

use embedded_storage::nor_flash::NorFlash;
use emberkv_core::{BlockDevice, Caps, DeviceErrorKind, Durability, Geometry};

use super::logic::{Medium, Partition, Sizes};
use super::{NorOptions, classify};
use crate::error::FlashError;
use crate::ready::now;

#[derive(Debug)]
struct Blocking<F>(F);

impl<F: NorFlash> Medium for Blocking<F> {
    type Error = F::Error;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), F::Error> {
        self.0.read(offset, bytes)
    }
    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), F::Error> {
        self.0.write(offset, bytes)
    }
    async fn erase(&mut self, from: u32, to: u32) -> Result<(), F::Error> {
        self.0.erase(from, to)
    }
}

/// A partition of a `embedded_storage::nor_flash::NorFlash`. [The module's text](crate::nor_flash)
/// tells what it promises.
///
/// ```no_run
/// # fn main() {}
/// use emberkv_flash::NorFlashDevice;
/// use embedded_storage::nor_flash::NorFlash;
///
/// /// The upper half of a chip; the lower one holds the program.
/// fn device<F: NorFlash>(flash: F) -> Option<NorFlashDevice<F>> {
///     let bytes = u32::try_from(flash.capacity()).ok()?;
///     NorFlashDevice::new(flash, bytes / 2..bytes).ok()
/// }
/// ```
#[derive(Debug)]
pub struct NorFlashDevice<F: NorFlash> {
    inner: Partition<Blocking<F>>,
}

impl<F: NorFlash> NorFlashDevice<F> {
    /// A device over `partition`, both ends multiples of `ERASE_SIZE`, counted from the flash's
    /// offset 0.
    ///
    /// # Errors
    /// `Geometry`: the size that is not a power of two, or the end of the partition that does not
    /// fit.
    pub fn new(flash: F, partition: Range<u32>) -> Result<Self, FlashError<F::Error>> {
        Self::with_options(flash, partition, &NorOptions::default())
    }

    /// As [`new`](Self::new), with what the trait does not tell.
    ///
    /// # Errors
    /// As [`new`](Self::new), or an option that does not fit.
    pub fn with_options(
        flash: F,
        partition: Range<u32>,
        options: &NorOptions,
    ) -> Result<Self, FlashError<F::Error>> {
        let sizes = Sizes {
            read: F::READ_SIZE,
            write: F::WRITE_SIZE,
            erase: F::ERASE_SIZE,
            capacity: flash.capacity(),
        };
        let classify = classify::<F::Error>;
        Partition::new(Blocking(flash), &sizes, partition, options, classify)
            .map(|inner| Self { inner })
            .map_err(FlashError::Geometry)
    }

    /// The same device, its flash's errors classed by `classify`. Needed for flash with ECC.
    #[must_use]
    pub fn with_classifier(mut self, classify: fn(&F::Error) -> DeviceErrorKind) -> Self {
        self.inner.classify = classify;
        self
    }

    /// Gives the flash back.
    #[must_use]
    pub fn into_inner(self) -> F {
        self.inner.medium.0
    }
}

impl<F: NorFlash> BlockDevice for NorFlashDevice<F> {
    type Error = FlashError<F::Error>;

    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }
    fn caps(&self) -> Caps {
        self.inner.caps()
    }
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        now(self.inner.read(address, buffer))
    }
    fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), Self::Error> {
        now(self.inner.write(address, slices, durability))
    }
    fn erase(&mut self, range: Range<u64>) -> Result<(), Self::Error> {
        now(self.inner.erase(range))
    }
    /// Nothing to do: each write and each erase is on the medium when it returns.
    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

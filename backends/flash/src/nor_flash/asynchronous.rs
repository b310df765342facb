//! The asynchronous face: a `NorFlash` of `embedded-storage-async` as an [`AsyncBlockDevice`].

use core::ops::Range;

use embedded_storage_async::nor_flash::NorFlash;
use emberkv_core::{AsyncBlockDevice, Caps, DeviceErrorKind, Durability, Geometry};

use super::logic::{Medium, Partition, Sizes};
use super::{NorOptions, classify};
use crate::error::FlashError;

#[derive(Debug)]
struct Waiting<F>(F);

impl<F: NorFlash> Medium for Waiting<F> {
    type Error = F::Error;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), F::Error> {
        self.0.read(offset, bytes).await
    }
    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), F::Error> {
        self.0.write(offset, bytes).await
    }
    async fn erase(&mut self, from: u32, to: u32) -> Result<(), F::Error> {
        self.0.erase(from, to).await
    }
}

/// A partition of a `embedded_storage_async::nor_flash::NorFlash`. [The module's
/// text](crate::nor_flash) tells what it promises.
///
/// A future dropped before it is ready leaves the flash as its driver does: reads and erases may be
/// issued again, a write is in the state of an interrupted write.
#[derive(Debug)]
pub struct AsyncNorFlashDevice<F: NorFlash> {
    inner: Partition<Waiting<F>>,
}

impl<F: NorFlash> AsyncNorFlashDevice<F> {
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
        Partition::new(Waiting(flash), &sizes, partition, options, classify)
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

impl<F: NorFlash> AsyncBlockDevice for AsyncNorFlashDevice<F> {
    type Error = FlashError<F::Error>;

    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }
    fn caps(&self) -> Caps {
        self.inner.caps()
    }
    async fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        self.inner.read(address, buffer).await
    }
    async fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), Self::Error> {
        self.inner.write(address, slices, durability).await
    }
    async fn erase(&mut self, range: Range<u64>) -> Result<(), Self::Error> {
        self.inner.erase(range).await
    }
    /// Nothing to do: each write and each erase is on the medium when it returns.
    async fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

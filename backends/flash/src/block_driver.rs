//! A driver of `block-device-driver` (asynchronous SD and eMMC peripherals) as a device.
//!
//! * **No copies.** The trait moves aligned blocks. The engine's buffers lie as
//!   [`Geometry::buffer_align`] asks, so they are passed on as they are; a buffer that does not is
//!   refused. Memory that the driver's DMA can reach is the caller's choice: give it as the arena,
//!   and as the buffer of a `get`.
//! * **What flush is worth.** The trait has no barrier: `flush` succeeds and adds nothing to what
//!   each write waited for. The device does not claim `ordered`.
//! * **Tearing.** As for SD cards elsewhere: one block by default, larger where that is known.

use core::ops::Range;

use aligned::{Aligned, Alignment};
use block_device_driver::{BlockDevice as Driver, slice_to_blocks, slice_to_blocks_mut};
use emberkv_core::{AsyncBlockDevice, Caps, DeviceErrorKind, Durability, Geometry, GeometryError};

use crate::area::{Area, SECTORS, TRANSFER_BYTES};
use crate::error::{FlashError, Refusal};

/// A partition of a `block-device-driver` with blocks of `SIZE` bytes.
///
/// A future dropped before it is ready leaves the medium as its driver does.
#[derive(Debug)]
pub struct BlockDriverDevice<D: Driver<SIZE>, const SIZE: usize> {
    driver: D,
    area: Area,
    classify: fn(&D::Error) -> DeviceErrorKind,
}

impl<D: Driver<SIZE>, const SIZE: usize> BlockDriverDevice<D, SIZE> {
    /// A device over the blocks `partition`.
    ///
    /// # Errors
    /// `Geometry` if the partition does not fit, or the block size is not a power of two that holds
    /// the driver's alignment; `Medium` if the driver does not tell its size.
    pub async fn new(mut driver: D, partition: Range<u32>) -> Result<Self, FlashError<D::Error>> {
        let fail = |field, value, want| GeometryError { field, value, want };
        let block = u32::try_from(SIZE)
            .ok()
            .filter(|block| block.is_power_of_two())
            .ok_or(fail("SIZE", SIZE as u64, "a power of two below 4 GiB"))?;
        let align = <D::Align as Alignment>::ALIGN;
        // Otherwise blocks in an array would have gaps, and the casts below would panic.
        if !SIZE.is_multiple_of(align) {
            return Err(fail("SIZE", SIZE as u64, "a multiple of the alignment").into());
        }
        let bytes = driver.size().await.map_err(|error| FlashError::Medium {
            address: 0,
            kind: DeviceErrorKind::Other,
            error,
        })?;
        let geometry = Geometry {
            capacity: 0,
            capacity_max: 0,
            read_unit: block,
            write_unit: block,
            erase_unit: block,
            tear_unit: block,
            // An alignment is at most 64.
            buffer_align: align as u32,
            max_transfer: TRANSFER_BYTES.max(block),
        };
        let unit = u64::from(block);
        let partition = u64::from(partition.start) * unit..u64::from(partition.end) * unit;
        let area = Area::new(partition, bytes, geometry, SECTORS)?;
        Ok(Self { driver, area, classify: |_| DeviceErrorKind::Other })
    }

    /// The same device with another unit of tearing, a power of two from `SIZE` on. The partition
    /// must be whole such units.
    ///
    /// # Errors
    /// The unit does not fit the partition.
    pub fn with_tear_unit(mut self, bytes: u32) -> Result<Self, FlashError<D::Error>> {
        self.area = self.area.with_tear_unit(bytes)?;
        Ok(self)
    }

    /// The same device, its driver's errors classed by `classify`; all are `Other` without.
    #[must_use]
    pub fn with_classifier(mut self, classify: fn(&D::Error) -> DeviceErrorKind) -> Self {
        self.classify = classify;
        self
    }

    /// Gives the driver back.
    #[must_use]
    pub fn into_inner(self) -> D {
        self.driver
    }

    fn failed(&self, address: u64, error: D::Error) -> FlashError<D::Error> {
        FlashError::Medium { address, kind: (self.classify)(&error), error }
    }

    /// Refuses a buffer that the casts to blocks would panic on.
    fn aligned(&self, address: u64, bytes: &[u8]) -> Result<(), Refusal> {
        let align = <D::Align as Alignment>::ALIGN;
        if bytes.as_ptr().addr().is_multiple_of(align) {
            Ok(())
        } else {
            Err(Refusal::BufferMisaligned { address, align: align as u32 })
        }
    }

    fn block(at: u64) -> u32 {
        // The partition's ends are block numbers of 32 bits.
        (at / SIZE as u64) as u32
    }
}

impl<D: Driver<SIZE>, const SIZE: usize> AsyncBlockDevice for BlockDriverDevice<D, SIZE> {
    type Error = FlashError<D::Error>;

    fn geometry(&self) -> Geometry {
        self.area.geometry()
    }
    fn caps(&self) -> Caps {
        self.area.caps()
    }

    async fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        let at = self.area.read(address, buffer)?;
        if buffer.is_empty() {
            return Ok(());
        }
        self.aligned(address, buffer)?;
        let blocks: &mut [Aligned<D::Align, [u8; SIZE]>] = slice_to_blocks_mut(buffer);
        let result = self.driver.read(Self::block(at), blocks).await;
        result.map_err(|error| self.failed(at, error))
    }

    async fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), Self::Error> {
        let mut at = self.area.write(address, slices, durability)?;
        let slices = || slices.iter().filter(|slice| !slice.is_empty());
        // All of them first: a refused write changes nothing.
        for slice in slices() {
            self.aligned(address, slice)?;
        }
        for slice in slices() {
            let blocks: &[Aligned<D::Align, [u8; SIZE]>] = slice_to_blocks(slice);
            let result = self.driver.write(Self::block(at), blocks).await;
            result.map_err(|error| self.failed(at, error))?;
            at += slice.len() as u64;
        }
        Ok(())
    }

    /// Nothing to do: blocks are overwritten as they are.
    async fn erase(&mut self, range: Range<u64>) -> Result<(), Self::Error> {
        self.area.erase(&range)?;
        Ok(())
    }

    /// Adds nothing to what each write waited for: see the module's text.
    async fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

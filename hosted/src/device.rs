//! What a [`Db`](crate::Db) lies on: a device that threads share.
//!
//! Any type does whose shared reference is a [`BlockDevice`]: the file and raw backends are made
//! so, and a wrapper around one is a few lines. This is the one small interface between the threads
//! and the system's calls.

use core::ops::Range;

use emberkv_core::{BlockDevice, Caps, Durability, Geometry, ReadInto};
use emberkv_file::FileError;

/// A device whose operations need a shared reference only; the contract is that of [`BlockDevice`].
pub trait Device: Send + Sync + 'static {
    /// See [`BlockDevice::geometry`].
    fn geometry(&self) -> Geometry;
    /// See [`BlockDevice::caps`].
    fn caps(&self) -> Caps;
    /// See [`BlockDevice::can_shrink`].
    fn can_shrink(&self) -> bool;
    /// See [`BlockDevice::read`].
    ///
    /// # Errors
    /// As there; so for all that follow.
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), FileError>;
    /// See [`BlockDevice::read_many`].
    #[expect(clippy::missing_errors_doc, reason = "told once, above")]
    fn read_many(
        &self,
        reads: &mut [ReadInto<'_>],
        done: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), FileError>;
    /// See [`BlockDevice::reads_in_flight_max`].
    fn reads_in_flight_max(&self) -> u32;
    /// See [`BlockDevice::write`].
    #[expect(clippy::missing_errors_doc, reason = "told once, above")]
    fn write(&self, address: u64, slices: &[&[u8]], how: Durability) -> Result<(), FileError>;
    /// See [`BlockDevice::erase`].
    #[expect(clippy::missing_errors_doc, reason = "told once, above")]
    fn erase(&self, range: Range<u64>) -> Result<(), FileError>;
    /// See [`BlockDevice::flush`].
    #[expect(clippy::missing_errors_doc, reason = "told once, above")]
    fn flush(&self) -> Result<(), FileError>;
    /// See [`BlockDevice::grow`].
    #[expect(clippy::missing_errors_doc, reason = "told once, above")]
    fn grow(&self, capacity: u64) -> Result<(), FileError>;
    /// See [`BlockDevice::shrink`].
    #[expect(clippy::missing_errors_doc, reason = "told once, above")]
    fn shrink(&self, capacity: u64) -> Result<(), FileError>;
}

impl<D> Device for D
where
    D: Send + Sync + 'static,
    for<'a> &'a D: BlockDevice<Error = FileError>,
{
    fn geometry(&self) -> Geometry {
        BlockDevice::geometry(&self)
    }
    fn caps(&self) -> Caps {
        BlockDevice::caps(&self)
    }
    fn can_shrink(&self) -> bool {
        BlockDevice::can_shrink(&self)
    }
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), FileError> {
        BlockDevice::read(&mut &*self, address, buffer)
    }
    fn read_many(
        &self,
        reads: &mut [ReadInto<'_>],
        done: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), FileError> {
        BlockDevice::read_many(&mut &*self, reads, done)
    }
    fn reads_in_flight_max(&self) -> u32 {
        BlockDevice::reads_in_flight_max(&self)
    }
    fn write(&self, address: u64, slices: &[&[u8]], how: Durability) -> Result<(), FileError> {
        BlockDevice::write(&mut &*self, address, slices, how)
    }
    fn erase(&self, range: Range<u64>) -> Result<(), FileError> {
        BlockDevice::erase(&mut &*self, range)
    }
    fn flush(&self) -> Result<(), FileError> {
        BlockDevice::flush(&mut &*self)
    }
    fn grow(&self, capacity: u64) -> Result<(), FileError> {
        BlockDevice::grow(&mut &*self, capacity)
    }
    fn shrink(&self, capacity: u64) -> Result<(), FileError> {
        BlockDevice::shrink(&mut &*self, capacity)
    }
}

/// A shared device in the clothes of an owned one: for formatting and opening, which one thread
/// does.
pub(crate) struct ByRef<'d>(pub(crate) &'d dyn Device);

impl BlockDevice for ByRef<'_> {
    type Error = FileError;

    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }
    fn caps(&self) -> Caps {
        self.0.caps()
    }
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), FileError> {
        self.0.read(address, buffer)
    }
    fn read_many(
        &mut self,
        reads: &mut [ReadInto<'_>],
        done: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), FileError> {
        self.0.read_many(reads, done)
    }
    fn reads_in_flight_max(&self) -> u32 {
        self.0.reads_in_flight_max()
    }
    fn write(&mut self, address: u64, slices: &[&[u8]], how: Durability) -> Result<(), FileError> {
        self.0.write(address, slices, how)
    }
    fn erase(&mut self, range: Range<u64>) -> Result<(), FileError> {
        self.0.erase(range)
    }
    fn flush(&mut self) -> Result<(), FileError> {
        self.0.flush()
    }
    fn grow(&mut self, capacity: u64) -> Result<(), FileError> {
        self.0.grow(capacity)
    }
    fn can_shrink(&self) -> bool {
        self.0.can_shrink()
    }
    fn shrink(&mut self, capacity: u64) -> Result<(), FileError> {
        self.0.shrink(capacity)
    }
}

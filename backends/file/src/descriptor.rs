//! An open descriptor with a geometry: what a file and a block device have in common.
//!
//! Every range, length and buffer is checked before the kernel sees it, so that the kernel's
//! `EINVAL` never has to be interpreted; what the kernel moves in pieces is continued; every error
//! names the operation and the path. Used by [`FileDevice`](crate::FileDevice) and by the backend
//! for block devices, which differ in how they open, how large they are and how they discard.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use emberkv_core::{Access, Durability, Geometry, ReadInto};
use rustix::fs::fdatasync;
use rustix::io::{ReadWriteFlags, preadv, pwritev, pwritev2};

use crate::error::{At, FileError, Operation, Reason};
use crate::io_mode::ALIGN_MAX;
use crate::ring::{IN_FLIGHT_MAX, Rings};
use crate::transfer::{read_all, write_all};

/// An open file or block device, and the units that it is used in.
#[derive(Debug)]
pub struct Descriptor {
    file: OwnedFd,
    path: Arc<Path>,
    access: Access,
    /// The units. Its capacity is not used.
    geometry: Geometry,
    /// Changes while other threads transfer: each of them sees the old one or the new one.
    capacity: AtomicU64,
    rings: Rings,
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Descriptor {
    /// Most bytes of one transfer: larger ones are no faster on any disk measured.
    pub const TRANSFER_BYTES: u32 = 1 << 20;

    /// A descriptor that was opened for `access`; its units must suit the flags that it was opened
    /// with.
    #[must_use]
    pub fn new(file: OwnedFd, path: Arc<Path>, access: Access, geometry: Geometry) -> Self {
        debug_assert_eq!(geometry.validate(), Ok(()));
        let capacity = AtomicU64::new(geometry.capacity);
        Self { file, path, access, geometry, capacity, rings: Rings::new() }
    }

    /// The path that it was opened by. It may have another name by now.
    #[must_use]
    pub fn path(&self) -> &Arc<Path> {
        &self.path
    }

    /// What it was opened for.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// The units and the capacity that transfers are checked against.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        Geometry { capacity: self.capacity.load(Ordering::Acquire), ..self.geometry }
    }

    /// Another capacity from now on.
    pub fn set_capacity(&self, capacity: u64) {
        debug_assert_eq!(Geometry { capacity, ..self.geometry }.validate(), Ok(()));
        self.capacity.store(capacity, Ordering::Release);
    }

    /// Other units, or another capacity, from now on.
    pub fn set_geometry(&mut self, geometry: Geometry) {
        debug_assert_eq!(geometry.validate(), Ok(()));
        self.geometry = geometry;
        *self.capacity.get_mut() = geometry.capacity;
    }

    /// Fills `buffer` from `address`.
    ///
    /// # Errors
    /// As [`BlockDevice::read`](emberkv_core::BlockDevice::read); [`Reason::Shrunk`] where the
    /// medium ends before its capacity.
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), FileError> {
        self.read_checked(address, buffer).at(Operation::Read, &self.path)
    }

    /// Fills several buffers, with many reads in flight where the kernel grants that.
    ///
    /// # Errors
    /// As [`BlockDevice::read_many`](emberkv_core::BlockDevice::read_many).
    pub fn read_many(
        &self,
        reads: &mut [ReadInto<'_>],
        done: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), FileError> {
        for read in reads.iter() {
            self.may_read(read.address, read.buffer).at(Operation::Read, &self.path)?;
        }
        let mut told = vec![false; reads.len()];
        self.rings.read(self.as_fd(), reads, &mut |index, bytes| {
            told[index] = true;
            done(index, bytes);
        });
        // Short ones, failed ones, and all where there is no ring.
        for (index, read) in reads.iter_mut().enumerate().filter(|(index, _)| !told[*index]) {
            self.read(read.address, read.buffer)?;
            done(index, read.buffer);
        }
        Ok(())
    }

    /// See [`BlockDevice::reads_in_flight_max`](emberkv_core::BlockDevice::reads_in_flight_max).
    #[must_use]
    pub fn reads_in_flight_max(&self) -> u32 {
        if self.rings.are_granted() { IN_FLIGHT_MAX } else { 1 }
    }

    /// Writes `slices` one behind the other from `address`. Durable writes use `RWF_DSYNC`.
    ///
    /// # Errors
    /// As [`BlockDevice::write`](emberkv_core::BlockDevice::write).
    pub fn write(
        &self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), FileError> {
        self.write_checked(address, slices, durability).at(Operation::Write, &self.path)
    }

    /// Overwrites a range with zeros, needing no memory for them. Not durable before a
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_zeros(&self, range: Range<u64>) -> Result<(), FileError> {
        let unit = self.geometry.write_unit;
        self.may_change(&range, unit)
            .and_then(|()| write_zeros(self.as_fd(), range, unit))
            .at(Operation::Write, &self.path)
    }

    /// Checks the range of an erase, which no file and no block device needs.
    ///
    /// # Errors
    /// `Misaligned`, `OutOfBounds`.
    pub fn erase(&self, range: &Range<u64>) -> Result<(), FileError> {
        self.range(range, self.geometry.erase_unit).at(Operation::Erase, &self.path)
    }

    /// Checks that a range may be discarded.
    ///
    /// # Errors
    /// `ReadOnly`, `Misaligned`, `OutOfBounds`.
    pub fn may_discard(&self, range: &Range<u64>) -> Result<(), FileError> {
        self.may_change(range, self.geometry.write_unit).at(Operation::Discard, &self.path)
    }

    /// Makes every write that returned durable.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn flush(&self) -> Result<(), FileError> {
        fdatasync(&self.file).at(Operation::Flush, &self.path)
    }

    pub(crate) fn writable(&self) -> Result<(), Reason> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly | Access::Salvage => Err(Reason::ReadOnly),
        }
    }

    fn may_change(&self, range: &Range<u64>, unit: u32) -> Result<(), Reason> {
        self.writable()?;
        self.range(range, unit)
    }

    fn range(&self, range: &Range<u64>, unit: u32) -> Result<(), Reason> {
        self.place(range.start, range.end.saturating_sub(range.start), unit)
    }

    fn place(&self, address: u64, bytes: u64, unit: u32) -> Result<(), Reason> {
        if !(address | bytes).is_multiple_of(u64::from(unit)) {
            return Err(Reason::Misaligned { address, bytes, unit });
        }
        let capacity = self.capacity.load(Ordering::Acquire);
        if address.checked_add(bytes).is_none_or(|end| end > capacity) {
            return Err(Reason::OutOfBounds { address, bytes, capacity });
        }
        Ok(())
    }

    fn aligned(&self, buffer: &[u8]) -> Result<(), Reason> {
        let align = self.geometry.buffer_align;
        if buffer.is_empty() || buffer.as_ptr().addr().is_multiple_of(align as usize) {
            return Ok(());
        }
        Err(Reason::BufferMisaligned { align })
    }

    fn transfer(&self, bytes: u64) -> Result<(), Reason> {
        let max = self.geometry.max_transfer;
        if bytes > u64::from(max) { Err(Reason::TransferTooLong { bytes, max }) } else { Ok(()) }
    }

    fn may_read(&self, address: u64, buffer: &[u8]) -> Result<(), Reason> {
        let bytes = buffer.len() as u64;
        self.place(address, bytes, self.geometry.read_unit)?;
        self.transfer(bytes)?;
        self.aligned(buffer)
    }

    fn read_checked(&self, address: u64, buffer: &mut [u8]) -> Result<(), Reason> {
        self.may_read(address, buffer)?;
        read_all(address, buffer, self.geometry.read_unit, |slices, at| {
            preadv(&self.file, slices, at)
        })
    }

    fn write_checked(
        &self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), Reason> {
        let unit = self.geometry.write_unit;
        self.writable()?;
        let mut bytes = 0;
        for slice in slices {
            let length = slice.len() as u64;
            if !length.is_multiple_of(u64::from(unit)) {
                return Err(Reason::Misaligned {
                    address: address.saturating_add(bytes),
                    bytes: length,
                    unit,
                });
            }
            self.aligned(slice)?;
            bytes += length;
        }
        self.place(address, bytes, unit)?;
        self.transfer(bytes)?;
        match durability {
            Durability::Buffered => {
                write_all(address, slices, unit, |slices, at| pwritev(&self.file, slices, at))
            }
            Durability::Durable => write_all(address, slices, unit, |slices, at| {
                pwritev2(&self.file, slices, at, ReadWriteFlags::DSYNC)
            }),
        }
    }
}

/// Zeros that direct I/O takes. A static: growing needs no memory.
#[repr(align(4096))]
struct Zeros([u8; 64 << 10]);

static ZEROS: Zeros = Zeros([0; 64 << 10]);

const _: () = assert!(align_of::<Zeros>() >= ALIGN_MAX as usize);

/// Fills a range, aligned to `unit`, with zeros in transfers of full size: 16 times the same slice.
pub(crate) fn write_zeros(
    file: BorrowedFd<'_>,
    range: Range<u64>,
    unit: u32,
) -> Result<(), Reason> {
    const TRANSFER_BYTES: usize = Descriptor::TRANSFER_BYTES as usize;
    let mut at = range.start;
    while at < range.end {
        let bytes = (TRANSFER_BYTES as u64).min(range.end - at);
        let (count, rest) = (bytes as usize / ZEROS.0.len(), bytes as usize % ZEROS.0.len());
        let mut slices: [&[u8]; TRANSFER_BYTES / size_of::<Zeros>()] = [&ZEROS.0; _];
        let slices = if rest == 0 {
            &slices[..count]
        } else {
            slices[count] = &ZEROS.0[..rest];
            &slices[..=count]
        };
        write_all(at, slices, unit, |slices, at| pwritev(file, slices, at))?;
        at += bytes;
    }
    Ok(())
}

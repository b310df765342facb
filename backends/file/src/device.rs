//! The open file as a device.

use core::ops::Range;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use emberkv_core::{Access, BlockDevice, Caps, Durability, Geometry};
use rustix::fs::{FlockOperation, fdatasync, flock, fstat, fsync, ftruncate};
use rustix::io::{Errno, ReadWriteFlags, preadv, pwritev, pwritev2};

use crate::error::{At, FileError, Operation, Reason};
use crate::io_mode::{ALIGN_MAX, Alignment, IoMode};
use crate::transfer::{read_all, write_all};

/// Most bytes of one transfer: larger ones are no faster on any disk measured.
const TRANSFER_BYTES: u32 = 1 << 20;

/// What an interrupted write may destroy: the physical sector of the disks of today.
const SECTOR_PHYSICAL: u32 = 4096;

/// A file of fixed or growing size, locked for its owner; see the [crate's text](crate).
///
/// Dropping it closes the file, which lifts the lock. Nothing is flushed then.
#[derive(Debug)]
pub struct FileDevice {
    file: OwnedFd,
    path: Arc<Path>,
    access: Access,
    mode: IoMode,
    geometry: Geometry,
}

impl Drop for FileDevice {
    /// Gives the lock back at once: a child that another thread is just starting may hold a copy of the descriptor until
    /// it executes its program, and the lock lives as long as any copy does.
    fn drop(&mut self) {
        // Where this fails the lock goes with the last descriptor.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

impl FileDevice {
    /// A device over a file of `bytes` bytes, of which whole erase units are used.
    pub(crate) fn new(
        file: OwnedFd,
        path: Arc<Path>,
        access: Access,
        alignment: Alignment,
        bytes: u64,
        capacity_max: u64,
    ) -> Self {
        let unit = SECTOR_PHYSICAL.max(alignment.file);
        let whole = |bytes: u64| bytes - bytes % u64::from(unit);
        let geometry = Geometry {
            capacity: whole(bytes),
            capacity_max: whole(bytes).max(whole(capacity_max)),
            read_unit: alignment.file,
            write_unit: alignment.file,
            erase_unit: unit,
            tear_unit: unit,
            buffer_align: alignment.memory,
            max_transfer: TRANSFER_BYTES,
        };
        debug_assert_eq!(geometry.validate(), Ok(()));
        Self { file, path, access, mode: alignment.mode, geometry }
    }

    /// Whether the page cache lies between this device and the disk.
    #[must_use]
    pub fn mode(&self) -> IoMode {
        self.mode
    }

    /// The path that the file was opened by. It may have another name by now.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What this device was opened for.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    fn place(&self, address: u64, bytes: u64, unit: u32) -> Result<(), Reason> {
        if !(address | bytes).is_multiple_of(u64::from(unit)) {
            return Err(Reason::Misaligned { address, bytes, unit });
        }
        let capacity = self.geometry.capacity;
        if address.checked_add(bytes).is_none_or(|end| end > capacity) {
            return Err(Reason::OutOfBounds { address, bytes, capacity });
        }
        Ok(())
    }

    /// Checks one buffer, so that the kernel's `EINVAL` never has to be interpreted.
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

    fn writable(&self) -> Result<(), Reason> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(Reason::ReadOnly),
        }
    }

    fn read_checked(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Reason> {
        let bytes = buffer.len() as u64;
        self.place(address, bytes, self.geometry.read_unit)?;
        self.transfer(bytes)?;
        self.aligned(buffer)?;
        read_all(address, buffer, self.geometry.read_unit, |slices, at| {
            preadv(&self.file, slices, at)
        })
    }

    fn write_checked(
        &mut self,
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

    fn flush_checked(&mut self) -> Result<(), Reason> {
        fdatasync(&self.file)?;
        // A write behind the new end of a file that was cut would succeed, with a hole before it.
        // Asking once a flush costs nothing beside the flush.
        if size(&self.file)? < self.geometry.capacity {
            return Err(Reason::Shrunk);
        }
        Ok(())
    }

    fn grow_checked(&mut self, capacity: u64) -> Result<(), Reason> {
        self.writable()?;
        let Geometry { capacity: old, capacity_max, erase_unit, .. } = self.geometry;
        if capacity > capacity_max {
            let bytes = capacity - old;
            return Err(Reason::OutOfBounds { address: old, bytes, capacity: capacity_max });
        }
        // Cannot pass capacity_max, which is a multiple of the unit.
        let new = capacity.next_multiple_of(u64::from(erase_unit));
        if new <= old {
            return Ok(());
        }
        let grown = write_zeros(&self.file, old..new).and_then(|()| Ok(fsync(&self.file)?));
        match grown {
            Ok(()) => self.geometry.capacity = new,
            // The space goes back to the file system. If even that fails the file is longer than
            // its capacity, which does no harm: the next owner may use what is there.
            Err(_) => drop(ftruncate(&self.file, old)),
        }
        grown
    }
}

/// The bytes of an open file.
pub(crate) fn size(file: &OwnedFd) -> Result<u64, Errno> {
    Ok(u64::try_from(fstat(file)?.st_size).unwrap_or(0))
}

/// Zeros that direct I/O takes. A static: growing needs no memory.
#[repr(align(4096))]
struct Zeros([u8; 64 << 10]);

static ZEROS: Zeros = Zeros([0; 64 << 10]);

const _: () = assert!(align_of::<Zeros>() >= ALIGN_MAX as usize);

/// Fills a range, aligned to [`ALIGN_MAX`], with zeros in transfers of full size: 16 times the same
/// slice.
pub(crate) fn write_zeros(file: &OwnedFd, range: Range<u64>) -> Result<(), Reason> {
    let mut at = range.start;
    while at < range.end {
        let bytes = u64::from(TRANSFER_BYTES).min(range.end - at);
        let (count, rest) = (bytes as usize / ZEROS.0.len(), bytes as usize % ZEROS.0.len());
        let mut slices: [&[u8]; TRANSFER_BYTES as usize / size_of::<Zeros>()] = [&ZEROS.0; _];
        let slices = if rest == 0 {
            &slices[..count]
        } else {
            slices[count] = &ZEROS.0[..rest];
            &slices[..=count]
        };
        write_all(at, slices, ALIGN_MAX, |slices, at| pwritev(file, slices, at))?;
        at += bytes;
    }
    Ok(())
}

impl BlockDevice for FileDevice {
    type Error = FileError;

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn caps(&self) -> Caps {
        Caps {
            needs_erase: false,
            erased: None,
            ordered: false,
            discard: false,
            durable_write: true,
        }
    }

    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), FileError> {
        self.read_checked(address, buffer).at(Operation::Read, &self.path)
    }

    fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), FileError> {
        self.write_checked(address, slices, durability).at(Operation::Write, &self.path)
    }

    fn erase(&mut self, range: Range<u64>) -> Result<(), FileError> {
        let bytes = range.end.saturating_sub(range.start);
        self.place(range.start, bytes, self.geometry.erase_unit).at(Operation::Erase, &self.path)
    }

    fn flush(&mut self) -> Result<(), FileError> {
        self.flush_checked().at(Operation::Flush, &self.path)
    }

    fn grow(&mut self, capacity: u64) -> Result<(), FileError> {
        self.grow_checked(capacity).at(Operation::Grow, &self.path)
    }
}

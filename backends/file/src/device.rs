//! The open file as a device.

use core::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use emberkv_core::{Access, BlockDevice, Caps, Durability, Geometry, ReadInto};
use rustix::fs::{
    FallocateFlags, FlockOperation, fallocate, flock, fstat, fstatfs, fsync, ftruncate,
};
use rustix::io::Errno;

use crate::descriptor::{Descriptor, write_zeros};
use crate::error::{At, FileError, Operation, Reason};
use crate::io_mode::{Alignment, IoMode};

/// What an interrupted write may destroy: the physical sector of the disks of today.
const SECTOR_PHYSICAL: u32 = 4096;

/// A file of fixed or growing size, locked for its owner; see the [crate's text](crate).
///
/// Dropping it closes the file, which lifts the lock. Nothing is flushed then.
#[derive(Debug)]
pub struct FileDevice {
    descriptor: Descriptor,
    mode: IoMode,
    discard: Discard,
}

/// Whether the file system can take the space of a range back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discard {
    Works,
    Refused,
}

impl Drop for FileDevice {
    /// Gives the lock back at once: a child that another thread is just starting may hold a copy of
    /// the descriptor until it executes its program, and the lock lives as long as any copy does.
    fn drop(&mut self) {
        // Where this fails the lock goes with the last descriptor.
        let _ = flock(&self.descriptor, FlockOperation::Unlock);
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
            max_transfer: Descriptor::TRANSFER_BYTES,
        };
        let discard = match access {
            Access::ReadWrite => discard_of(file.as_fd()),
            Access::ReadOnly | Access::Salvage => Discard::Refused,
        };
        let descriptor = Descriptor::new(file, path, access, geometry);
        Self { descriptor, mode: alignment.mode, discard }
    }

    /// Whether the page cache lies between this device and the disk.
    #[must_use]
    pub fn mode(&self) -> IoMode {
        self.mode
    }

    /// The path that the file was opened by. It may have another name by now.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.descriptor.path()
    }

    /// What this device was opened for.
    #[must_use]
    pub fn access(&self) -> Access {
        self.descriptor.access()
    }

    fn flush_checked(&self) -> Result<(), FileError> {
        self.descriptor.flush()?;
        // A write behind the new end of a file that was cut would succeed, with a hole before it.
        // Asking once a flush costs nothing beside the flush.
        let found = size(self.descriptor.as_fd()).map_err(Reason::from);
        let whole = found.and_then(|bytes| {
            if bytes < self.descriptor.geometry().capacity {
                return Err(Reason::Shrunk);
            }
            Ok(())
        });
        whole.at(Operation::Flush, self.descriptor.path())
    }

    fn shrink_checked(&self, capacity: u64) -> Result<(), Reason> {
        self.descriptor.writable()?;
        let geometry = self.descriptor.geometry();
        let new = capacity.next_multiple_of(u64::from(geometry.erase_unit));
        if new >= geometry.capacity {
            return Ok(());
        }
        let file = self.descriptor.as_fd();
        ftruncate(file, new)?;
        fsync(file)?;
        self.descriptor.set_capacity(new);
        Ok(())
    }

    fn grow_checked(&self, capacity: u64) -> Result<(), Reason> {
        self.descriptor.writable()?;
        let geometry = self.descriptor.geometry();
        let Geometry { capacity: old, capacity_max, erase_unit, .. } = geometry;
        if capacity > capacity_max {
            let bytes = capacity - old;
            return Err(Reason::OutOfBounds { address: old, bytes, capacity: capacity_max });
        }
        // Cannot pass capacity_max, which is a multiple of the unit.
        let new = capacity.next_multiple_of(u64::from(erase_unit));
        if new <= old {
            return Ok(());
        }
        let file = self.descriptor.as_fd();
        let grown = write_zeros(file, old..new, erase_unit).and_then(|()| Ok(fsync(file)?));
        match grown {
            Ok(()) => self.descriptor.set_capacity(new),
            // The space goes back to the file system. If even that fails the file is longer than
            // its capacity, which does no harm: the next owner may use what is there.
            Err(_) => drop(ftruncate(file, old)),
        }
        grown
    }
}

/// The bytes of an open file.
pub(crate) fn size(file: BorrowedFd<'_>) -> Result<u64, Errno> {
    Ok(u64::try_from(fstat(file)?.st_size).unwrap_or(0))
}

/// The pages of a range back to the file system, the size of the file as it is.
const PUNCH: FallocateFlags = FallocateFlags::PUNCH_HOLE.union(FallocateFlags::KEEP_SIZE);

/// File systems that punch holes. Trying it, even behind the end of a file, would change the times
/// of a file that may be somebody else's.
const PUNCHING: [u64; 9] = [
    0xEF53,      // ext4, and ext2 and ext3 by its driver
    0x5846_5342, // XFS
    0x9123_683E, // btrfs
    0xF2F5_2010, // F2FS
    0xCA45_1A4E, // bcachefs
    0x2FC1_2FC1, // ZFS
    0x0102_1994, // tmpfs
    0x0116_1970, // GFS2
    0x7461_636F, // OCFS2
];

fn discard_of(file: BorrowedFd<'_>) -> Discard {
    match fstatfs(file) {
        // The type is a number of 32 bits that some machines extend by its sign.
        Ok(found) if PUNCHING.contains(&(found.f_type as u64 & 0xFFFF_FFFF)) => Discard::Works,
        _ => Discard::Refused,
    }
}

crate::owned_device!(FileDevice);

/// Threads may share the device: every operation needs a shared reference only.
impl BlockDevice for &FileDevice {
    type Error = FileError;

    fn geometry(&self) -> Geometry {
        self.descriptor.geometry()
    }

    fn caps(&self) -> Caps {
        Caps {
            needs_erase: false,
            erased: None,
            ordered: false,
            discard: self.discard == Discard::Works,
            durable_write: true,
        }
    }

    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), FileError> {
        self.descriptor.read(address, buffer)
    }

    fn read_many(
        &mut self,
        reads: &mut [ReadInto<'_>],
        done: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), FileError> {
        self.descriptor.read_many(reads, done)
    }

    fn reads_in_flight_max(&self) -> u32 {
        self.descriptor.reads_in_flight_max()
    }

    fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), FileError> {
        self.descriptor.write(address, slices, durability)
    }

    fn erase(&mut self, range: Range<u64>) -> Result<(), FileError> {
        self.descriptor.erase(&range)
    }

    /// Gives the space of the range back to the file system; it reads as zeros from then on.
    /// Writing there again allocates blocks, so the first durable write of each costs about twice
    /// as much as one into space that was written before, and can fail for want of room.
    fn discard(&mut self, range: Range<u64>) -> Result<(), FileError> {
        self.descriptor.may_discard(&range)?;
        if self.discard == Discard::Refused || range.is_empty() {
            return Ok(());
        }
        match fallocate(&self.descriptor, PUNCH, range.start, range.end - range.start) {
            // An old form of one of these file systems: a hint that is not taken.
            Err(Errno::OPNOTSUPP) => Ok(()),
            other => other.at(Operation::Discard, self.descriptor.path()),
        }
    }

    fn flush(&mut self) -> Result<(), FileError> {
        self.flush_checked()
    }

    fn grow(&mut self, capacity: u64) -> Result<(), FileError> {
        self.grow_checked(capacity).at(Operation::Grow, self.descriptor.path())
    }

    /// True where it may be written: the file is cut.
    fn can_shrink(&self) -> bool {
        self.descriptor.access() == Access::ReadWrite
    }

    fn shrink(&mut self, capacity: u64) -> Result<(), FileError> {
        self.shrink_checked(capacity).at(Operation::Shrink, self.descriptor.path())
    }
}

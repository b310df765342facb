//! From a path to an exclusive descriptor of a block device, and what is on it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use emberkv_core::{Access, Geometry};
use emberkv_file::{Descriptor, FileError, Operation, Reason};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, openat, statat,
};
use rustix::io::Errno;

use crate::probe::{self, Content};
use crate::sys::{self, Sizes};

/// The hold on a device ends with the last copy of its descriptor, and a child that another thread
/// is just starting holds copies until it executes its program: so a device that was closed a
/// moment ago may still be held. Asked so often and at such intervals, half a second in all.
const TRIES: u32 = 50;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// Most that this backend's own buffers are aligned to; no kernel asks for more.
const BUFFER_ALIGN_MAX: u32 = 4096;

/// Takes the place of what cannot be read when a device is looked at: neither blank nor a
/// signature.
const UNREADABLE: u8 = 0x5a;

/// Bytes read at once when a device is looked at.
const LOOK_BYTES: usize = 64 << 10;

/// Opens a block device for one owner. Its capacity is that of whole logical sectors: all of it can
/// be looked at.
pub(crate) fn open(path: &Arc<Path>, access: Access) -> Result<Descriptor, FileError> {
    let failed = |reason| FileError::new(Operation::Open, Arc::clone(path), reason);
    let file = exclusive(path, access).map_err(failed)?;
    let sizes = prepared(&file, access).map_err(|errno| failed(Reason::Os(errno)))?;
    Ok(Descriptor::new(file, Arc::clone(path), access, sectors(sizes)))
}

/// The geometry to look at all of a device.
fn sectors(sizes: Sizes) -> Geometry {
    Geometry {
        capacity: sizes.device,
        capacity_max: sizes.device,
        read_unit: sizes.logical,
        write_unit: sizes.logical,
        erase_unit: sizes.logical,
        tear_unit: sizes.logical,
        buffer_align: sizes.logical.min(BUFFER_ALIGN_MAX),
        max_transfer: Descriptor::TRANSFER_BYTES.max(sizes.logical),
    }
}

/// The geometry to keep a store on it.
pub(crate) fn for_stores(sizes: Sizes) -> Geometry {
    let unit = sizes.physical;
    let capacity = sizes.device - sizes.device % u64::from(unit);
    Geometry {
        capacity,
        capacity_max: capacity,
        erase_unit: unit,
        tear_unit: unit,
        max_transfer: Descriptor::TRANSFER_BYTES.max(unit),
        ..sectors(sizes)
    }
}

fn exclusive(path: &Path, access: Access) -> Result<OwnedFd, Reason> {
    // Looked at before it is opened, since opening a device node can have effects; and again
    // afterwards, since it may have been replaced in between.
    must_be_block_device(statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)?;
    let mode = match access {
        Access::ReadWrite => OFlags::RDWR,
        Access::ReadOnly | Access::Salvage => OFlags::RDONLY,
    };
    let flags = mode
        | OFlags::EXCL
        | OFlags::DIRECT
        | OFlags::CLOEXEC
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY;
    for tries_left in (0..TRIES).rev() {
        match openat(CWD, path, flags, Mode::empty()) {
            Ok(file) => {
                must_be_block_device(fstat(&file)?.st_mode)?;
                return Ok(file);
            }
            Err(Errno::BUSY) if tries_left > 0 => thread::sleep(BETWEEN_TRIES),
            Err(Errno::BUSY) => break,
            Err(Errno::LOOP) => return Err(Reason::Symlink),
            Err(Errno::ISDIR) => return Err(Reason::NotABlockDevice),
            Err(errno) => return Err(Reason::Os(errno)),
        }
    }
    Err(Reason::InUse)
}

fn must_be_block_device(mode: u32) -> Result<(), Reason> {
    match FileType::from_raw_mode(mode) {
        FileType::BlockDevice => Ok(()),
        FileType::Symlink => Err(Reason::Symlink),
        _ => Err(Reason::NotABlockDevice),
    }
}

fn prepared(file: &OwnedFd, access: Access) -> Result<Sizes, Errno> {
    if access == Access::ReadWrite && sys::is_read_only(file.as_fd())? {
        return Err(Errno::ROFS);
    }
    // Opening must not wait for a medium; transfers must.
    fcntl_setfl(file, fcntl_getfl(file)? - OFlags::NONBLOCK)?;
    let sizes = sys::sizes(file.as_fd())?;
    if sizes.device == 0 {
        return Err(Errno::NOMEDIUM);
    }
    Ok(sizes)
}

/// What is on an open device.
pub(crate) fn content(descriptor: &Descriptor) -> Content {
    let geometry = descriptor.geometry();
    look(geometry.capacity, geometry.read_unit as usize, |address, buffer| {
        descriptor.read(address, buffer)
    })
}

/// What is on a device that may have sectors that cannot be read: those count as somebody's data. A
/// store with a bad sector can still be opened, and what is around one still be known.
fn look(
    bytes: u64,
    unit: usize,
    mut read: impl FnMut(u64, &mut [u8]) -> Result<(), FileError>,
) -> Content {
    let Ok(content) = probe::content(bytes, |address, buffer| {
        for (at, part) in pieces(address, buffer, LOOK_BYTES) {
            if read(at, part).is_ok() {
                continue;
            }
            for (at, sector) in pieces(at, part, unit) {
                if read(at, sector).is_err() {
                    sector.fill(UNREADABLE);
                }
            }
        }
        Ok::<(), core::convert::Infallible>(())
    });
    content
}

fn pieces(address: u64, buffer: &mut [u8], bytes: usize) -> impl Iterator<Item = (u64, &mut [u8])> {
    let places = (address..).step_by(bytes);
    places.zip(buffer.chunks_mut(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Signature;

    const BYTES: usize = 4 << 20;

    /// What is found on an image of which the sectors at these addresses cannot be read.
    fn with_bad_sectors(image: &[u8], bad: &[u64]) -> Content {
        look(image.len() as u64, 512, |address, buffer| {
            let range = address..address + buffer.len() as u64;
            if bad.iter().any(|at| range.contains(at)) {
                return Err(FileError::new(Operation::Read, Arc::from(Path::new("")), Errno::IO));
            }
            buffer.copy_from_slice(&image[address as usize..][..buffer.len()]);
            Ok(())
        })
    }

    #[test]
    fn a_blank_device_with_a_bad_sector_is_not_blank() {
        let image = vec![0; BYTES];
        assert_eq!(with_bad_sectors(&image, &[]), Content::Blank);
        for bad in [0, 512, 99 * 512, BYTES as u64 - 512] {
            assert_eq!(with_bad_sectors(&image, &[bad]), Content::Unknown);
        }
    }

    #[test]
    fn what_lies_beside_a_bad_sector_is_still_known() {
        let mut image = vec![0; BYTES];
        image[65_600..65_608].copy_from_slice(b"_BHRfS_M");
        let btrfs = Content::Foreign(Signature::Btrfs);
        assert_eq!(with_bad_sectors(&image, &[0, 65_024, 66_048]), btrfs);
        assert_eq!(with_bad_sectors(&image, &[65_536]), Content::Unknown);
    }

    #[test]
    fn a_store_whose_first_superblock_cannot_be_read_is_known_by_the_second() {
        let mut image = vec![0; BYTES];
        for at in [0, 4096] {
            image[at..at + 8].copy_from_slice(b"EMBERKV\n");
        }
        assert_eq!(with_bad_sectors(&image, &[0]), Content::Ember);
        assert_eq!(with_bad_sectors(&image, &[0, 4096]), Content::Unknown);
    }
}

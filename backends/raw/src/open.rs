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
/// is just starting holds copies until it executes its program: so a device that was closed a moment
/// ago may still be held. Asked so often and at such intervals, a fifth of a second in all.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// Most that this backend's own buffers are aligned to; no kernel asks for more.
const BUFFER_ALIGN_MAX: u32 = 4096;

/// Takes the place of what cannot be read when a device is looked at: neither blank nor a signature.
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
        Access::ReadOnly => OFlags::RDONLY,
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

/// What is on an open device. What cannot be read counts as somebody's data.
pub(crate) fn content(descriptor: &Descriptor) -> Content {
    let unit = descriptor.geometry().read_unit as usize;
    let Ok(content) = probe::content(descriptor.geometry().capacity, |address, buffer| {
        let mut at = address;
        for part in buffer.chunks_mut(LOOK_BYTES) {
            if descriptor.read(at, part).is_err() {
                read_by_units(descriptor, at, part, unit);
            }
            at += part.len() as u64;
        }
        Ok::<(), core::convert::Infallible>(())
    });
    content
}

fn read_by_units(descriptor: &Descriptor, address: u64, buffer: &mut [u8], unit: usize) {
    let mut at = address;
    for part in buffer.chunks_mut(unit) {
        if descriptor.read(at, part).is_err() {
            part.fill(UNREADABLE);
        }
        at += part.len() as u64;
    }
}

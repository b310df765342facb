//! The open block device as a device.

use core::ops::Range;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use emberkv_core::{Access, BlockDevice, Caps, Durability, Geometry, ReadInto};
use emberkv_file::{Descriptor, FileError, Operation};

use crate::claim::{Overwrite, Survey};
use crate::error::RawError;
use crate::open;
use crate::probe::Content;
use crate::sys;

/// A block device, held for one owner; see the [crate's text](crate).
///
/// Dropping it lets go of the device. Nothing is flushed then.
#[derive(Debug)]
pub struct RawDevice {
    descriptor: Descriptor,
    content: Content,
    discard: Discard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Discard {
    Works,
    Refused,
}

impl RawDevice {
    /// Opens a device that holds a store, or may hold one. Nothing is written.
    ///
    /// Of both ends that are looked at, the store's own superblock alone decides where it is in
    /// good order; else a signature of somebody else's does.
    ///
    /// # Errors
    /// [`RawError::Device`], of which [`Reason::NotABlockDevice`](crate::Reason::NotABlockDevice),
    /// [`Reason::Symlink`](crate::Reason::Symlink) and [`Reason::InUse`](crate::Reason::InUse) are
    /// this backend's own reasons; [`RawError::Holds`] where there is something foreign.
    pub fn open(path: impl AsRef<Path>, access: Access) -> Result<Self, RawError> {
        let path: Arc<Path> = Arc::from(path.as_ref());
        let descriptor = open::open(&path, access)?;
        let sizes = sys::sizes(descriptor.as_fd())
            .map_err(|errno| FileError::new(Operation::Open, Arc::clone(&path), errno))?;
        match open::content(&descriptor) {
            found @ Content::Foreign(_) => Err(RawError::Holds { path, found }),
            // What is unknown may be a store that was damaged: whoever opens that can tell.
            found => Ok(Self::new(descriptor, open::for_stores(sizes), found)?),
        }
    }

    /// Opens a device to make a store on it. Where something is to be destroyed, both ends of the
    /// device are full of zeros on return, durably; a blank device is not written to. A [`Survey`]
    /// does the same in two steps.
    ///
    /// If the power fails while something is being destroyed, the device holds what it held, or
    /// part of that, or nothing.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`RawError::Holds`] where the device is not blank and `overwrite`
    /// is not for exactly what is found. Nothing was written then.
    pub fn claim(path: impl AsRef<Path>, overwrite: Overwrite) -> Result<Self, RawError> {
        Survey::new(path)?.claim(overwrite)
    }

    /// What is on a device, without opening it for good.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for `Holds`.
    pub fn probe(path: impl AsRef<Path>) -> Result<Content, RawError> {
        let descriptor = open::open(&Arc::from(path.as_ref()), Access::ReadOnly)?;
        Ok(open::content(&descriptor))
    }

    pub(crate) fn new(
        mut descriptor: Descriptor,
        geometry: Geometry,
        content: Content,
    ) -> Result<Self, FileError> {
        descriptor.set_geometry(geometry);
        // Whatever an earlier owner has left in the caches is on the device before anything is read
        // from there and believed.
        descriptor.flush()?;
        let discard =
            if descriptor.access() == Access::ReadWrite && sys::can_discard(descriptor.as_fd()) {
                Discard::Works
            } else {
                Discard::Refused
            };
        Ok(Self { descriptor, content, discard })
    }

    /// What was on the device when it was opened; blank if it was claimed.
    #[must_use]
    pub fn content(&self) -> Content {
        self.content
    }

    /// The path that the device was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.descriptor.path()
    }

    /// What this device was opened for.
    #[must_use]
    pub fn access(&self) -> Access {
        self.descriptor.access()
    }
}

emberkv_file::owned_device!(RawDevice);

/// Threads may share the device: every operation needs a shared reference only.
impl BlockDevice for &RawDevice {
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
            // The kernel follows a write with `RWF_DSYNC` to a block device by a flush even where
            // the write carried FUA, and makes two flushes of it where the device has no FUA. A
            // write and a flush cost one flush, and a flush that fails is known as one.
            durable_write: false,
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

    fn discard(&mut self, range: Range<u64>) -> Result<(), FileError> {
        self.descriptor.may_discard(&range)?;
        if self.discard == Discard::Refused || range.is_empty() {
            return Ok(());
        }
        sys::discard(self.descriptor.as_fd(), range.start, range.end - range.start).map_err(
            |errno| FileError::new(Operation::Discard, Arc::clone(self.descriptor.path()), errno),
        )
    }

    fn flush(&mut self) -> Result<(), FileError> {
        self.descriptor.flush()
    }
}

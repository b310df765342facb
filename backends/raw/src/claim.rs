//! What may be overwritten, and wiping it.

use core::ops::Range;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use emberkv_core::{Access, Geometry};
use emberkv_file::{Descriptor, FileError, Operation};

use crate::device::RawDevice;
use crate::error::RawError;
use crate::open;
use crate::probe::{Content, HEAD_BYTES, ZONE_BYTES};
use crate::sys;

/// What a device may lose when it is claimed for a new store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Nothing: only a blank device is taken.
    Nothing,
    /// This, and only if exactly this is found: the caller names what the user was shown.
    Destroy(Content),
}

impl Overwrite {
    /// Whether a device with this content may be overwritten.
    fn grants(self, found: Content) -> bool {
        found == Content::Blank || self == Self::Destroy(found)
    }
}

/// A device that is held for a new store and not written to yet: time to look at it, to see whether
/// a store fits, to ask the user. Nobody else can put anything onto it meanwhile.
#[derive(Debug)]
pub struct Survey {
    descriptor: Descriptor,
    content: Content,
    geometry: Geometry,
}

impl Survey {
    /// Holds the device and looks at what is on it.
    ///
    /// # Errors
    /// As [`RawDevice::open`], but for `Holds`.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, RawError> {
        let path: Arc<Path> = Arc::from(path.as_ref());
        let descriptor = open::open(&path, Access::ReadWrite)?;
        let sizes = sys::sizes(descriptor.as_fd())
            .map_err(|errno| FileError::new(Operation::Open, path, errno))?;
        let content = open::content(&descriptor);
        Ok(Self { descriptor, content, geometry: open::for_stores(sizes) })
    }

    /// What is on the device.
    #[must_use]
    pub fn content(&self) -> Content {
        self.content
    }

    /// The geometry that the device will have.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The device, with both its ends full of zeros if something was destroyed; see
    /// [`RawDevice::claim`].
    ///
    /// # Errors
    /// [`RawError::Holds`] where this is not granted, and nothing was written; `Device`.
    pub fn claim(self, overwrite: Overwrite) -> Result<RawDevice, RawError> {
        let Self { descriptor, content, geometry } = self;
        if !overwrite.grants(content) {
            return Err(RawError::Holds { path: Arc::clone(descriptor.path()), found: content });
        }
        if content != Content::Blank {
            wipe(&descriptor)?;
        }
        Ok(RawDevice::new(descriptor, geometry, Content::Blank)?)
    }
}

/// Makes both zones blank, durably, so that nothing finds there again what was destroyed. From the
/// end to the start: the first zone, by which most kinds are known, goes last, so that a wipe that
/// is cut short still shows what is being destroyed.
fn wipe(descriptor: &Descriptor) -> Result<(), FileError> {
    for zone in zones(descriptor.geometry().capacity) {
        descriptor.write_zeros(zone)?;
        descriptor.flush()?;
    }
    Ok(())
}

fn zones(bytes: u64) -> [Range<u64>; 2] {
    [bytes - bytes.min(ZONE_BYTES)..bytes, 0..bytes.min(HEAD_BYTES)]
}

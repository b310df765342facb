//! What may be overwritten, and wiping it.

use core::ops::Range;

use emberkv_file::{Descriptor, FileError};

use crate::probe::{Content, HEAD_BYTES, ZONE_BYTES};

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
    pub(crate) fn grants(self, found: Content) -> bool {
        found == Content::Blank || self == Self::Destroy(found)
    }
}

/// Makes both zones blank, durably, so that nothing finds there again what was destroyed. From the
/// end to the start: the first zone, by which most kinds are known, goes last, so that a wipe that is
/// cut short still shows what is being destroyed.
pub(crate) fn wipe(descriptor: &Descriptor) -> Result<(), FileError> {
    for zone in zones(descriptor.geometry().capacity) {
        descriptor.write_zeros(zone)?;
        descriptor.flush()?;
    }
    Ok(())
}

fn zones(bytes: u64) -> [Range<u64>; 2] {
    [bytes - bytes.min(ZONE_BYTES)..bytes, 0..bytes.min(HEAD_BYTES)]
}

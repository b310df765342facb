//! What a store lies on: a file, or a block device. The verbs do not care which.

use std::ops::Range;
use std::path::Path;

use emberkv::create::block_device;
use emberkv_core::{Access, BlockDevice, Caps, Durability, Geometry};
use emberkv_file::{FileDevice, FileError, IoMode, Options};
use emberkv_raw::RawDevice;

use crate::explain;
use crate::failure::Failure;

/// An open file or block device. One branch a call is nothing beside the call.
#[derive(Debug)]
pub(crate) enum HostDevice {
    File(FileDevice),
    Raw(RawDevice),
}

impl HostDevice {
    /// Opens whatever is at `path`.
    pub(crate) fn open(path: &Path, access: Access) -> Result<Self, Failure> {
        if let Some(device) = block_device(path) {
            return RawDevice::open(&device, access)
                .map(Self::Raw)
                .map_err(|error| explain::raw_error(&device, &error));
        }
        // The file itself has no limit; the store on it does, and keeps to it.
        let options = Options { capacity_max: u64::MAX, ..Options::default() };
        FileDevice::open_with(path, access, &options)
            .map(Self::File)
            .map_err(|error| explain::device_error(path, &error))
    }

    /// The path that it was opened by, symbolic links to block devices resolved.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::File(file) => file.path(),
            Self::Raw(device) => device.path(),
        }
    }

    /// How it is read and written, in a word.
    pub(crate) fn mode_name(&self) -> &'static str {
        match self {
            Self::File(file) if file.mode() == IoMode::Buffered => "buffered",
            Self::File(_) | Self::Raw(_) => "direct",
        }
    }
}

impl BlockDevice for HostDevice {
    type Error = FileError;

    fn geometry(&self) -> Geometry {
        match self {
            Self::File(file) => file.geometry(),
            Self::Raw(device) => device.geometry(),
        }
    }

    fn caps(&self) -> Caps {
        match self {
            Self::File(file) => file.caps(),
            Self::Raw(device) => device.caps(),
        }
    }

    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), FileError> {
        match self {
            Self::File(file) => file.read(address, buffer),
            Self::Raw(device) => device.read(address, buffer),
        }
    }

    fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), FileError> {
        match self {
            Self::File(file) => file.write(address, slices, durability),
            Self::Raw(device) => device.write(address, slices, durability),
        }
    }

    fn erase(&mut self, range: Range<u64>) -> Result<(), FileError> {
        match self {
            Self::File(file) => file.erase(range),
            Self::Raw(device) => device.erase(range),
        }
    }

    fn discard(&mut self, range: Range<u64>) -> Result<(), FileError> {
        match self {
            Self::File(file) => file.discard(range),
            Self::Raw(device) => device.discard(range),
        }
    }

    fn flush(&mut self) -> Result<(), FileError> {
        match self {
            Self::File(file) => file.flush(),
            Self::Raw(device) => device.flush(),
        }
    }

    fn grow(&mut self, capacity: u64) -> Result<(), FileError> {
        match self {
            Self::File(file) => file.grow(capacity),
            Self::Raw(device) => device.grow(capacity),
        }
    }

    fn can_shrink(&self) -> bool {
        match self {
            Self::File(file) => file.can_shrink(),
            Self::Raw(device) => device.can_shrink(),
        }
    }

    fn shrink(&mut self, capacity: u64) -> Result<(), FileError> {
        match self {
            Self::File(file) => file.shrink(capacity),
            Self::Raw(device) => device.shrink(capacity),
        }
    }
}

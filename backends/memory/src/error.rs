//! What a [`MemoryDevice`](crate::MemoryDevice) refuses: every case is a bug of the caller.

use core::fmt;

use emberkv_core::{DeviceError, DeviceErrorKind, GeometryError};

/// A refused operation. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryError {
    /// The rules of a new device do not fit one another, or its bytes.
    Geometry(GeometryError),
    /// Address or length is not a multiple of the unit.
    Misaligned {
        /// Where.
        address: u64,
        /// How many bytes.
        bytes: u64,
        /// What both must be multiples of.
        unit: u32,
    },
    /// The range passes the end of the device.
    OutOfBounds {
        /// Where.
        address: u64,
        /// How many bytes.
        bytes: u64,
        /// Bytes of the device.
        capacity: u64,
    },
    /// More bytes than one transfer may have.
    TransferTooLong {
        /// Where.
        address: u64,
        /// How many bytes.
        bytes: u64,
        /// The most that are allowed.
        max: u32,
    },
    /// A unit of a NOR flash was to be programmed that is not erased.
    ProgrammedTwice {
        /// The first byte that is not erased.
        address: u64,
    },
    /// A durable write was asked for and is not offered.
    NotDurable {
        /// Where.
        address: u64,
    },
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Geometry(error) => error.fmt(f),
            Self::Misaligned { address, bytes, unit } => {
                write!(f, "{bytes} bytes at {address} are not aligned to {unit}")
            }
            Self::OutOfBounds { address, bytes, capacity } => {
                write!(f, "{bytes} bytes at {address} are not inside the device's {capacity} bytes")
            }
            Self::TransferTooLong { address, bytes, max } => {
                write!(f, "{bytes} bytes at {address}: one transfer has at most {max}")
            }
            Self::ProgrammedTwice { address } => {
                write!(f, "the byte at {address} is programmed already: erase it first")
            }
            Self::NotDurable { address } => {
                write!(f, "a durable write at {address}: this device offers none")
            }
        }
    }
}

impl core::error::Error for MemoryError {}

impl DeviceError for MemoryError {
    fn kind(&self) -> DeviceErrorKind {
        match self {
            Self::Misaligned { .. } => DeviceErrorKind::Misaligned,
            Self::OutOfBounds { .. } | Self::TransferTooLong { .. } => DeviceErrorKind::OutOfBounds,
            Self::Geometry(_) | Self::ProgrammedTwice { .. } | Self::NotDurable { .. } => {
                DeviceErrorKind::Other
            }
        }
    }
}

impl From<GeometryError> for MemoryError {
    fn from(error: GeometryError) -> Self {
        Self::Geometry(error)
    }
}

//! What the adapters answer when something is wrong: a refusal of the caller's request, or an error
//! of the medium with its place and its class.

use core::fmt;

use emberkv_core::{DeviceError, DeviceErrorKind, GeometryError};

/// A request that the geometry does not allow: a bug of the caller. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Address or length is not a multiple of the unit.
    Misaligned {
        /// Where.
        address: u64,
        /// How many bytes.
        bytes: u64,
        /// What both must be multiples of.
        unit: u32,
    },
    /// The buffer lies in memory where the medium cannot take it.
    BufferMisaligned {
        /// Where on the device.
        address: u64,
        /// What the buffer's place in memory must be a multiple of.
        align: u32,
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
    /// A durable write was asked for and is not offered.
    NotDurable {
        /// Where.
        address: u64,
    },
}

impl Refusal {
    /// The class of this refusal.
    #[must_use]
    pub const fn kind(&self) -> DeviceErrorKind {
        match self {
            Self::Misaligned { .. } | Self::BufferMisaligned { .. } => DeviceErrorKind::Misaligned,
            Self::OutOfBounds { .. } | Self::TransferTooLong { .. } => DeviceErrorKind::OutOfBounds,
            Self::NotDurable { .. } => DeviceErrorKind::Other,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misaligned { address, bytes, unit } => {
                write!(f, "{bytes} bytes at {address} are not aligned to {unit}")
            }
            Self::BufferMisaligned { address, align } => {
                write!(f, "the buffer for address {address} is not aligned to {align} in memory")
            }
            Self::OutOfBounds { address, bytes, capacity } => {
                write!(f, "{bytes} bytes at {address} are not inside the device's {capacity} bytes")
            }
            Self::TransferTooLong { address, bytes, max } => {
                write!(f, "{bytes} bytes at {address}: one transfer has at most {max}")
            }
            Self::NotDurable { address } => {
                write!(f, "a durable write at {address}: this device offers none")
            }
        }
    }
}

/// An error of an adapter. `E` is the medium's own error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlashError<E> {
    /// The medium or its partition cannot carry a device. Nothing was changed.
    Geometry(GeometryError),
    /// The request does not fit the geometry. Nothing was changed.
    Refused(Refusal),
    /// The medium failed.
    Medium {
        /// Where, from the start of the medium.
        address: u64,
        /// What it was classed as.
        kind: DeviceErrorKind,
        /// What the medium said.
        error: E,
    },
    /// The medium reported success, but does not hold what it must. Found by reading back.
    Mismatch {
        /// The first wrong byte, from the start of the medium.
        address: u64,
    },
    /// The stream ended, or took no more bytes, without an error.
    Ended {
        /// Where, from the start of the medium.
        address: u64,
    },
}

impl<E: fmt::Debug> fmt::Display for FlashError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Geometry(error) => error.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Medium { address, kind, error } => {
                write!(f, "{kind} at {address} of the medium: {error:?}")
            }
            Self::Mismatch { address } => {
                write!(f, "the byte at {address} of the medium is not what was written or erased")
            }
            Self::Ended { address } => write!(f, "the medium ends at {address}"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for FlashError<E> {}

impl<E: fmt::Debug> DeviceError for FlashError<E> {
    fn kind(&self) -> DeviceErrorKind {
        match self {
            Self::Geometry(_) => DeviceErrorKind::Other,
            Self::Refused(refusal) => refusal.kind(),
            Self::Medium { kind, .. } => *kind,
            Self::Mismatch { .. } => DeviceErrorKind::Media,
            Self::Ended { .. } => DeviceErrorKind::Full,
        }
    }
}

impl<E> From<GeometryError> for FlashError<E> {
    fn from(error: GeometryError) -> Self {
        Self::Geometry(error)
    }
}

impl<E> From<Refusal> for FlashError<E> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

//! What can go wrong between a driver and its chip, each with its place.

use core::fmt;

use emberkv_core::{DeviceError, DeviceErrorKind, GeometryError};

use super::layout::JedecId;
use crate::error::Refusal;

/// An error of a SPI NOR chip. `E` is the bus's own error. Addresses count from the chip's start,
/// those of a [`Refusal`] from the partition's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpiNorError<E> {
    /// The options do not fit the chip. Nothing was changed.
    Geometry(GeometryError),
    /// The request does not fit the geometry. Nothing was changed.
    Refused(Refusal),
    /// The bus failed. A command that programs or erases may have been heard or not.
    Bus {
        /// What was accessed; 0 for commands without an address.
        address: u64,
        /// What the bus said.
        error: E,
    },
    /// No chip answers: every bit of the identity is the same.
    NoChip,
    /// Another chip than the expected one.
    WrongChip {
        /// The one in the options.
        want: JedecId,
        /// The one on the bus.
        found: JedecId,
    },
    /// The chip has no table of parameters, and its identity does not tell its capacity.
    UnknownChip {
        /// The one on the bus.
        found: JedecId,
    },
    /// The chip's table of parameters cannot be used; give a layout.
    Table {
        /// The chip on the bus.
        found: JedecId,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The chip was still busy after the last poll. The next operation waits again.
    Busy {
        /// What it was busy with.
        address: u64,
    },
    /// Write-enable was sent and did not set the latch: the chip is locked as a whole, or not
    /// heard.
    WriteDisabled {
        /// What was to be written or erased.
        address: u64,
        /// The status register.
        status: u8,
    },
    /// The chip did not execute a command for blocks that its status register protects.
    Protected {
        /// What was to be written or erased.
        address: u64,
        /// The status register, with the bits that protect.
        status: u8,
    },
    /// The chip did not execute the command: a block is locked by other means than the status
    /// register.
    NotExecuted {
        /// What was to be written or erased.
        address: u64,
        /// The status register.
        status: u8,
    },
    /// The chip reported success, but does not hold what it must.
    Mismatch {
        /// The first wrong byte.
        address: u64,
    },
}

impl<E: fmt::Debug> fmt::Display for SpiNorError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Geometry(error) => error.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Bus { address, error } => {
                write!(f, "the bus failed at {address:#x} of the chip: {error:?}")
            }
            Self::NoChip => f.write_str("no chip answers on the bus"),
            Self::WrongChip { want, found } => write!(f, "the chip is {found}, must be {want}"),
            Self::UnknownChip { found } => {
                write!(f, "chip {found} has no table of parameters: its layout must be given")
            }
            Self::Table { found, what } => {
                write!(f, "the table of parameters of chip {found}: {what}")
            }
            Self::Busy { address } => write!(f, "the chip stays busy, at {address:#x}"),
            Self::WriteDisabled { address, status } => {
                write!(f, "the chip refuses writes, at {address:#x}; status {status:#04x}")
            }
            Self::Protected { address, status } => {
                write!(f, "{address:#x} of the chip is write-protected; status {status:#04x}")
            }
            Self::NotExecuted { address, status } => {
                write!(f, "the chip ignored a command for {address:#x}; status {status:#04x}")
            }
            Self::Mismatch { address } => {
                write!(f, "the byte at {address:#x} of the chip is not what was written or erased")
            }
        }
    }
}

impl<E: fmt::Debug> core::error::Error for SpiNorError<E> {}

impl<E: fmt::Debug> DeviceError for SpiNorError<E> {
    fn kind(&self) -> DeviceErrorKind {
        match self {
            Self::Geometry(_)
            | Self::WrongChip { .. }
            | Self::UnknownChip { .. }
            | Self::Table { .. } => DeviceErrorKind::Other,
            Self::Refused(refusal) => refusal.kind(),
            Self::Bus { .. } | Self::Busy { .. } => DeviceErrorKind::Transient,
            Self::NoChip => DeviceErrorKind::Gone,
            Self::WriteDisabled { .. } | Self::Protected { .. } | Self::NotExecuted { .. } => {
                DeviceErrorKind::ReadOnly
            }
            Self::Mismatch { .. } => DeviceErrorKind::Media,
        }
    }
}

impl<E> From<GeometryError> for SpiNorError<E> {
    fn from(error: GeometryError) -> Self {
        Self::Geometry(error)
    }
}

impl<E> From<Refusal> for SpiNorError<E> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

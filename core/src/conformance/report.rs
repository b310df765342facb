//! What the conformance suite answers.

use core::fmt;

use crate::device::{DeviceErrorKind, GeometryError};

/// What was checked, beyond what every device is checked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The largest transfer that was made. Less than
    /// [`max_transfer`](crate::device::Geometry::max_transfer) if the scratch memory or the device
    /// is smaller.
    pub transfer_max: u32,
    /// Slices of the write that had most of them.
    pub slices_max: usize,
    /// The device needs erasing, and erases only what it is told to.
    pub erase: bool,
    /// Durable writes are offered and store their bytes.
    pub durable_write: bool,
    /// The device claims to discard, and left the neighbours alone.
    pub discard: bool,
    /// The capacity after growing by one erase unit, if the device can.
    pub grown: Option<u64>,
}

/// One check of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Check {
    /// The geometry is valid and does not change, the scratch memory suffices.
    Geometry,
    /// What was written can be read, in every size, and its neighbours are unchanged.
    ReadAfterWrite,
    /// Several slices in one write.
    Slices,
    /// Misaligned accesses are refused and change nothing.
    Alignment,
    /// Accesses beyond the capacity are refused and change nothing.
    Bounds,
    /// Erasing works and stays inside its range.
    Erase,
    /// A flush succeeds and changes nothing.
    Flush,
    /// Durable writes store their bytes.
    DurableWrite,
    /// Discarding stays inside its range.
    Discard,
    /// Growing keeps the old bytes and adds usable ones.
    Grow,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem<E> {
    /// An operation failed that must succeed.
    Failed(E),
    /// A byte is not what it must be.
    Content {
        /// What it must be.
        want: u8,
        /// What was read.
        found: u8,
    },
    /// An access was accepted that must be refused.
    Accepted,
    /// An access was refused for another reason than the true one.
    Kind {
        /// The true reason.
        want: DeviceErrorKind,
        /// The device's answer.
        found: E,
    },
    /// The geometry is not valid.
    Geometry(GeometryError),
    /// The geometry or the abilities changed while the device was open.
    Changed,
    /// The capacity after growing is not one that was asked for.
    Capacity {
        /// The capacity now.
        found: u64,
    },
    /// The scratch memory is too small; see [`scratch_bytes`](super::scratch_bytes).
    Scratch {
        /// Bytes needed.
        need: usize,
        /// Bytes given.
        have: usize,
    },
}

/// The first deviation from the contract that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation<E> {
    /// The check that found it.
    pub check: Check,
    /// Where on the device: the byte that is wrong, or the start of the access.
    pub address: u64,
    /// What is wrong there.
    pub problem: Problem<E>,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Geometry => "geometry",
            Self::ReadAfterWrite => "read after write",
            Self::Slices => "write of several slices",
            Self::Alignment => "alignment",
            Self::Bounds => "bounds",
            Self::Erase => "erase",
            Self::Flush => "flush",
            Self::DurableWrite => "durable write",
            Self::Discard => "discard",
            Self::Grow => "grow",
        })
    }
}

impl<E: fmt::Display> fmt::Display for Violation<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device contract, {}, at {}: ", self.check, self.address)?;
        match &self.problem {
            Problem::Failed(error) => write!(f, "must succeed, but: {error}"),
            Problem::Content { want, found } => write!(f, "must be {want:#04x}, is {found:#04x}"),
            Problem::Accepted => f.write_str("must be refused, was accepted"),
            Problem::Kind { want, found } => write!(f, "must be refused as '{want}', but: {found}"),
            Problem::Geometry(error) => write!(f, "{error}"),
            Problem::Changed => f.write_str("geometry or abilities changed"),
            Problem::Capacity { found } => {
                write!(f, "grew to {found} bytes, which was not asked for")
            }
            Problem::Scratch { need, have } => {
                write!(f, "{need} bytes of scratch needed, {have} given")
            }
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Violation<E> {}

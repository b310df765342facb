//! Device operations: what the engine asks a driver to do. Plain data without lifetimes; the driver asks the engine for
//! the frames' bytes when it executes one.

use heapless::Vec;

use crate::device::Durability;
use crate::parts::sized;
use crate::types::FrameId;

/// Most frames that one write gathers.
pub(super) const WRITE_FRAMES_MAX: usize = sized(8, 16);

/// Names one operation; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpId(pub(crate) u64);

/// The frames of a write: `bytes` of them from `start` in the first one on.
#[derive(Clone, Debug)]
pub struct Gather {
    /// In address order; all but the last are written to their end.
    pub frames: Vec<FrameId, WRITE_FRAMES_MAX>,
    /// First byte of the first frame.
    pub start: u32,
    /// Bytes in all.
    pub bytes: u32,
}

impl Gather {
    /// Most frames of one write.
    pub const FRAMES_MAX: usize = WRITE_FRAMES_MAX;
}

/// What to do.
#[derive(Clone, Debug)]
pub enum OpKind {
    /// Read `bytes` from `address` into neighbouring frames.
    Read {
        /// Device address.
        address: u64,
        /// The first of the frames.
        first: FrameId,
        /// First byte of it.
        start: u32,
        /// Bytes in all.
        bytes: u32,
    },
    /// Write from frames to `address`.
    Write {
        /// Device address.
        address: u64,
        /// The bytes.
        gather: Gather,
        /// Whether they must be durable on return.
        durability: Durability,
    },
    /// Flush.
    Flush,
    /// Erase `bytes` from `address`.
    Erase {
        /// Device address.
        address: u64,
        /// How many.
        bytes: u64,
    },
    /// Grow to `capacity`.
    Grow {
        /// Device capacity wanted.
        capacity: u64,
    },
    /// Shrink to `capacity`.
    Shrink {
        /// Device capacity wanted.
        capacity: u64,
    },
}

/// One operation for the driver.
#[derive(Clone, Debug)]
pub struct DeviceOp {
    /// To be given back with the result.
    pub id: OpId,
    /// What to do.
    pub kind: OpKind,
}

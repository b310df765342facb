//! What is queued for the device: what each operation is for, and how far it is. Used by `port` alone, but for the purposes,
//! which `log/commit.rs` judges.

use super::ops::OpId;
use crate::device::{DeviceErrorKind, Durability};
use crate::types::{FrameId, Offset, SegmentId, Seq};

/// What an operation was for.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    /// Groups of the open segment.
    Log {
        /// First offset behind the bytes written.
        end: Offset,
        /// Newest sequence that is whole once they are.
        seq: Seq,
        /// Whether they are durable then.
        durability: Durability,
    },
    /// A segment header, from a frame of its own.
    Header(FrameId),
    /// A copy of a header or a footer, from a frame of its own: one more copy of what is known elsewhere.
    Copy(FrameId),
    /// Makes durable what was written.
    Flush {
        /// Incarnation of the open segment.
        open_seq: Seq,
        /// First offset behind what was issued of it.
        end: Offset,
        /// Newest sequence that is whole then.
        seq: Seq,
        /// Whether the segment's mark was issued before.
        mark: MarkState,
    },
    /// Erases the open segment before it is written.
    Erase,
    /// Erases a free segment ahead of need.
    EraseAhead(SegmentId),
    /// Makes the device larger.
    Grow,
    /// Makes the device smaller.
    Shrink,
}

/// Whether the predecessor's mark of the open segment is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MarkState {
    /// Not issued yet.
    Unissued,
    /// Issued.
    Issued,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Queued,
    InFlight,
    Done(Result<(), DeviceErrorKind>),
}

/// A queued operation. A write names no frames: those of a slot are one, and those of groups are found by their pages,
/// which are dirty until it took effect.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: OpId,
    /// Where, and how many bytes; for a change of the capacity the new one.
    pub(super) address: u64,
    pub(super) bytes: u32,
    pub(super) purpose: Purpose,
    pub(super) progress: Progress,
}

impl Pending {
    pub(super) const fn is_write(&self) -> bool {
        matches!(self.purpose, Purpose::Log { .. } | Purpose::Header(_) | Purpose::Copy(_))
    }
}

//! The head: where the log ends, what of it the device has, and what of that is durable.
//!
//! ```text
//! data_start .. durable <= written <= issued <= position
//!                 |          |          |         `- next byte to append
//!                 |          |          `- handed to the device queue; always a commit unit or page boundary
//!                 |          `- every write up to here succeeded
//!                 `- a flush covered it
//! ```
//! Groups are encoded straight into the pool's frames, so the open group is readable and nothing is copied when it is
//! frozen. A page's frame stays in the pool until every group that starts in it was written.

use heapless::Deque;

use crate::engine::MarkState;
use crate::format::group::{GroupKind, Seeds};
use crate::format::segment::{Cut, Role};
use crate::parts::sized;
use crate::types::{Boot, FrameId, Offset, SegmentId, Seq};

/// Group ends that are remembered until they are written.
const BOUNDARIES_MAX: usize = sized(16, 64);

/// The group that records are appended to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenGroup {
    pub(crate) kind: GroupKind,
    pub(crate) start: u32,
    pub(crate) first_seq: Seq,
    pub(crate) count: u16,
}

/// Whether the log may be appended to as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resumption {
    /// This session opened the segment or has resumed it.
    Done,
    /// The first append must resume it: nothing was written in this session yet.
    Needed,
    /// The resume group is on its way; it must be durable before the first append.
    Started,
}

/// Which slots at a segment's end may be written: what needs erase is not written twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotsFree {
    pub(crate) footer: bool,
    pub(crate) mark: bool,
}

/// A place behind a group, and the digest of everything before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Boundary {
    pub(crate) end: u32,
    pub(crate) digest: u64,
}

/// The end of the log.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) segment: SegmentId,
    pub(crate) open_seq: Seq,
    /// The boot in the segment's header.
    pub(crate) header_boot: Boot,
    pub(crate) role: Role,
    pub(crate) cut: Option<Cut>,
    pub(crate) seeds: Seeds,
    /// Where this session began to append.
    pub(crate) start: u32,
    pub(crate) position: u32,
    pub(crate) issued: u32,
    pub(crate) written: u32,
    pub(crate) durable: u32,
    /// Every page that ends here or before may leave the pool.
    pub(crate) clean: u32,
    /// The last group end at or before `written`.
    pub(crate) safe: Boundary,
    pub(crate) frame: Option<FrameId>,
    /// Keeps room for a trailer that begins a page; pinned.
    pub(crate) spare: Option<FrameId>,
    pub(crate) group: Option<OpenGroup>,
    pub(crate) boundaries: Deque<Boundary, BOUNDARIES_MAX>,
    pub(crate) digest: u64,
    /// The sequence that a reader expects behind the last group: a short record must have it.
    pub(crate) follows: Seq,
    pub(crate) seq_max: Seq,
    pub(crate) mark: MarkState,
    /// A flush covered the mark: single durable writes may follow.
    pub(crate) mark_durable: bool,
    pub(crate) resumption: Resumption,
    pub(crate) slots: SlotsFree,
}

/// What a head starts with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadStart {
    pub(crate) segment: SegmentId,
    pub(crate) open_seq: Seq,
    pub(crate) header_boot: Boot,
    pub(crate) cut: Option<Cut>,
    pub(crate) seeds: Seeds,
    pub(crate) position: u32,
    pub(crate) digest: u64,
    pub(crate) resumption: Resumption,
}

impl Head {
    pub(crate) fn new(start: HeadStart) -> Self {
        let safe = Boundary { end: start.position, digest: start.digest };
        Self {
            segment: start.segment,
            open_seq: start.open_seq,
            header_boot: start.header_boot,
            role: Role::User,
            cut: start.cut,
            seeds: start.seeds,
            start: start.position,
            position: start.position,
            issued: start.position,
            written: start.position,
            durable: start.position,
            clean: start.position,
            safe,
            frame: None,
            spare: None,
            group: None,
            boundaries: Deque::new(),
            digest: start.digest,
            follows: Seq(start.open_seq.0 + 1),
            seq_max: start.open_seq,
            mark: MarkState::Unissued,
            mark_durable: false,
            resumption: start.resumption,
            slots: SlotsFree { footer: true, mark: true },
        }
    }

    /// The cut of this segment, if its log ends at `boundary`.
    pub(crate) fn cut_at(&self, boundary: Boundary) -> Cut {
        let end = Offset(boundary.end);
        Cut { segment: self.segment, open_seq: self.open_seq, end, digest: boundary.digest }
    }

    /// Remembers the end of a group. When too many wait, this one is forgotten: a failed write then encodes more anew.
    pub(crate) fn push_boundary(&mut self) {
        let _ = self.boundaries.push_back(Boundary { end: self.position, digest: self.digest });
    }

    /// `written` moved on: the last group end before it is safe.
    pub(crate) fn advance_safe(&mut self) {
        while let Some(&boundary) =
            self.boundaries.front().filter(|boundary| boundary.end <= self.written)
        {
            self.safe = boundary;
            let _ = self.boundaries.pop_front();
        }
    }
}

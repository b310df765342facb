//! Recovery: from the bytes on a medium to a keydir and a head, whatever the last session left.
//!
//! 1. `headers`: read every segment's header; settle which one is the newest that is proven (its predecessor's mark or a
//!    group of its own says that the flush behind its header succeeded); find headers that are lost but must be there.
//! 2. On flash `probe` reads the end of the newest one many times: what does not read the same each time does not count.
//!    `load`: from the newest segment to the oldest, take a segment's hints where its footer may be believed, else scan its groups
//!    (`scan`) up to its recorded end; the newest one up to where it is torn (`search` decides torn or corrupt).
//! 3. `chunks`: where there are chunked values, `load` once more, for the chunks that visible heads ask for.
//! 4. `tail`: the head, where the newest segment ends. `finish`: resume it.
//!
//! Every step reads at most one run of pages or handles one record, and all loops are bounded by the device's size.

mod chunks;
mod ends;
mod finish;
mod headers;
mod hints;
mod load;
mod probe;
mod salvage;
mod scan;
mod search;
mod sort;
mod survey;
mod tail;

pub(crate) use headers::NewestState;
pub(crate) use scan::{Scan, ScanContext, ScanEvent};
pub(crate) use survey::{Detour, EndOf, Route, Survey};

use crate::engine::Cursor;
use crate::types::{Boot, SegmentId, Seq};

/// Where recovery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Headers,
    Newest,
    Lost,
    Count,
    Load,
    Heads,
    Chunks,
    Tail,
    Resume,
    Reclaim,
    Done,
}

/// The state of recovery.
#[derive(Debug)]
pub(crate) struct Recovery {
    phase: Phase,
    /// Segment, or index in the order, that the phase has got to.
    index: u32,
    newest: NewestState,
    load: load::LoadState,
    /// Where the search for chunked values has got to.
    heads: Cursor,
    tail: Option<tail::Tail>,
    blanks: tail::Blanks,
    /// The log was closed: there is nothing to resume.
    closed: bool,
    /// Largest sequence that any valid bytes show, kept or cut off.
    seq_max: Seq,
    /// Largest sequence of a header or group that counts.
    accepted: Seq,
    boot_max: Boot,
    /// Segments whose header was read from another copy.
    pub(crate) repaired: u32,
    /// Segments in the order of incarnations.
    hinted: u32,
    /// Segments opened by hints, for statistics.
    pub(crate) by_hints: u32,
    /// Segments opened by a scan, for statistics.
    pub(crate) by_scan: u32,
    /// Segments not opened, because they were announced as free.
    pub(crate) passed_over: u32,
    first: Option<SegmentId>,
    /// A segment whose header does not count, but tells a sequence that was given out.
    unproven: Option<headers::Unproven>,
    /// The head could not be resumed; what was read was flushed.
    flushed: bool,
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            phase: Phase::Headers,
            index: 0,
            newest: NewestState::default(),
            load: load::LoadState::default(),
            heads: Cursor::default(),
            tail: None,
            blanks: tail::Blanks::default(),
            closed: false,
            seq_max: Seq(0),
            accepted: Seq(0),
            boot_max: Boot(0),
            repaired: 0,
            hinted: 0,
            by_hints: 0,
            by_scan: 0,
            passed_over: 0,
            first: None,
            unproven: None,
            flushed: false,
        }
    }
}

impl Recovery {
    fn accept(&mut self, seq: Seq) {
        self.accepted = self.accepted.max(seq);
        self.seq_max = self.seq_max.max(seq);
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.index = 0;
    }
}

use core::task::Poll;

use crate::engine::{Engine, ready};
use crate::error::Error;
use crate::parts::CHUNKS;

impl Engine<'_> {
    /// Ready once the store may be used.
    ///
    /// # Errors
    /// `Corrupted` where acknowledged data is damaged so that the keydir cannot be complete, `DeviceTooSmall`, `KeydirFull`,
    /// `Device`; nothing was written, unless the last phase (resuming the head) failed.
    pub(crate) fn poll_recover(&mut self) -> Result<Poll<()>, Error> {
        loop {
            match self.recovery.phase {
                Phase::Headers => ready!(self.recover_headers()?),
                Phase::Newest => ready!(self.recover_newest()?),
                Phase::Lost => ready!(self.recover_lost()?),
                Phase::Count => ready!(self.recover_count()?),
                Phase::Load => ready!(self.recover_load()?),
                Phase::Heads | Phase::Chunks if !CHUNKS => self.recovery.enter(Phase::Tail),
                Phase::Heads => ready!(self.recover_heads()?),
                Phase::Chunks => ready!(self.recover_chunks()?),
                Phase::Tail => ready!(self.recover_tail()?),
                Phase::Resume => ready!(self.recover_resume()?),
                Phase::Reclaim => ready!(self.recover_reclaim()?),
                Phase::Done => return Ok(Poll::Ready(())),
            }
        }
    }
}

//! A cycle: one victim, and a share of the oldest segment. At its end the victim is announced as free.

use core::task::Poll;

use super::ledger::{Ledger, MergeBytes, NominalBytes};
use super::pay::{Idle, Retiring};
use super::walk::{Walk, WalkStep, Walker};
use crate::canary::Canary;
use crate::engine::{Engine, ready};
use crate::error::Error;
use crate::format::group::{ANNOUNCEMENT_BYTES, Announcement, GroupKind};
use crate::format::record::{RECORD_HEADER_BYTES, RecordKind};
use crate::recover::Scan;
use crate::types::{Offset, SegmentId, Seq};

/// A cycle does one part in this many of the oldest segment.
pub(super) const SWEEP_DIVISOR: u32 = 16;

/// The state of merging. Nothing of it is on the medium: after a reopening a cycle starts anew, and finds less alive.
#[derive(Debug, Default)]
pub(crate) struct Merger {
    /// A segment that was announced as free, and the sequence of the announcement: free once that is durable.
    pub(crate) announced: Option<(SegmentId, Seq)>,
    pub(super) ledger: Option<Ledger>,
    victim: Option<Walk>,
    pub(super) sweep: Option<Walk>,
    /// Where their scans are.
    pub(super) scans: [Option<Scan>; 2],
    /// How far the sweep reads in this cycle.
    sweep_goal: u32,
    /// Bytes appended for copies in this session.
    pub(super) copied: u64,
    /// Bytes of the segments that this session left behind.
    pub(super) left: u64,
    /// Where the next account starts, if cycles follow one another.
    pub(super) next_start: Option<NominalBytes>,
    /// What an earlier session left undone was made up for.
    pub(super) caught_up: bool,
    /// Merging may take the segment that is kept for recovery.
    pub(crate) is_working: bool,
    /// The pass that retires tombstones.
    pub(super) retiring: Option<Retiring>,
    pub(super) idle: Idle,
    /// Tombstones written in this session.
    pub(crate) tombstones: u64,
    /// How many of them there were when this session opened the head; none if an earlier session did.
    pub(super) before_head: Option<u64>,
    /// No tombstone that the last pass could not retire was written before this.
    pub(super) retired_to: u64,
    /// A pass came to its end.
    pub(super) passed: bool,
    /// Segments given back.
    pub(crate) freed: u64,
    /// The segment that was given back last.
    pub(crate) last_freed: Option<SegmentId>,
    /// Segments that the newest header speaks of.
    pub(crate) header_count: u32,
    /// Segments announced.
    pub(crate) announcements: u64,
    /// Sweeps that came to their segment's end.
    pub(crate) swept: u64,
    /// Tombstones dropped.
    pub(crate) tombstones_retired: u64,
    /// Tombstones copied.
    pub(crate) tombstones_copied: u64,
    /// Work of the session.
    pub(crate) work: u64,
}

/// What a step of a cycle did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CycleStep {
    Worked(MergeBytes),
    /// The victim is announced, the share of the sweep done.
    Complete,
}

impl Merger {
    pub(crate) fn is_walked(&self, segment: SegmentId) -> bool {
        let of = |walk: &Option<Walk>| walk.as_ref().is_some_and(|walk| walk.segment == segment);
        of(&self.victim) || of(&self.sweep)
    }

    /// Bytes appended for copies in this session.
    pub(crate) fn copied_bytes(&self) -> u64 {
        self.copied
    }
}

impl Engine<'_> {
    /// Starts a cycle with this victim.
    pub(super) fn start_cycle(&mut self, victim: SegmentId) {
        let start = self.merger.next_start.take().unwrap_or_else(|| self.nominal_total());
        let mut debt = self.walk_debt(victim);
        self.merger.victim = Some(self.new_walk(victim, Walker::Victim));
        if self.sweeps() {
            self.start_sweep();
        }
        if let Some(sweep) = &self.merger.sweep {
            let used = self.segments.used(sweep.segment) - self.port.layout.data_start;
            let share = used / SWEEP_DIVISOR + 1;
            debt += self.sweep_debt(sweep.segment, share);
            self.merger.sweep_goal = sweep.reached() + share;
        }
        // The announcement and the padding behind it.
        debt += u64::from(self.port.layout.commit_unit);
        let nominal = NominalBytes(u64::from(self.gives_back(victim)).max(1));
        self.merger.ledger = Some(Ledger::new(nominal, MergeBytes(debt), start));
    }

    /// Begins to walk the oldest segment, unless that is being done.
    pub(super) fn start_sweep(&mut self) {
        if self.merger.sweep.is_none()
            && let Some(oldest) = self.oldest_candidate()
        {
            self.merger.sweep = Some(self.new_walk(oldest, Walker::Sweep));
        }
    }

    /// Bytes to read and to write for a segment, at most.
    pub(super) fn walk_debt(&self, segment: SegmentId) -> u64 {
        let used = self.segments.used(segment).saturating_sub(self.port.layout.data_start);
        u64::from(used) + u64::from(self.segments.live(segment))
    }

    /// Bytes to read and to write, at most, for a share of a segment. The share may be all of judging, so records of twice as
    /// many bytes may be copied; a step overshoots by a page; and a copy is longer than its record by at most two thirds.
    fn sweep_debt(&self, segment: SegmentId, share: u32) -> u64 {
        let page_bytes = self.port.layout.page_bytes();
        let copied = u64::from(2 * share + page_bytes) * 5 / 3
            + self.record_cost(self.port.layout.record_bytes_max);
        u64::from(share + page_bytes) + copied.min(u64::from(self.segments.live(segment)))
    }

    /// The next piece of work of the cycle.
    pub(super) fn poll_cycle_step(&mut self) -> Result<Poll<CycleStep>, Error> {
        let goal = self.merger.sweep_goal;
        let at_work = |sweep: &Walk| sweep.reached() < goal || sweep.is_over();
        if self.merger.sweep.as_ref().is_some_and(at_work) {
            return self.poll_sweep_step();
        }
        let Some(mut walk) = self.merger.victim.take() else {
            if !self.lets_wait() {
                ready!(self.poll_reclaim()?);
            }
            return Ok(Poll::Ready(CycleStep::Complete));
        };
        let step = self.poll_walk_or_free(&mut walk);
        if !matches!(step, Ok(Poll::Ready(WalkStep::Over))) {
            self.merger.victim = Some(walk);
        }
        Ok(Poll::Ready(CycleStep::Worked(match ready!(step?) {
            WalkStep::Worked(work) => work,
            WalkStep::Over => MergeBytes(0),
        })))
    }

    /// The next piece of work on the oldest segment.
    pub(super) fn poll_sweep_step(&mut self) -> Result<Poll<CycleStep>, Error> {
        let Some(mut walk) = self.merger.sweep.take() else {
            return Ok(Poll::Ready(CycleStep::Worked(MergeBytes(0))));
        };
        let step = self.poll_walk_or_free(&mut walk);
        if !matches!(step, Ok(Poll::Ready(WalkStep::Over))) {
            self.merger.sweep = Some(walk);
        }
        Ok(Poll::Ready(CycleStep::Worked(match ready!(step?) {
            WalkStep::Worked(work) => work,
            WalkStep::Over => {
                // The rest of the share is not carried on to the next segment.
                self.merger.sweep_goal = 0;
                self.merger.swept += 1;
                MergeBytes(0)
            }
        })))
    }

    /// Walks on; ready with `Over` once the segment is announced, or kept because it is damaged.
    fn poll_walk_or_free(&mut self, walk: &mut Walk) -> Result<Poll<WalkStep>, Error> {
        if self.cage.holds(Canary::AnnounceBeforeCopies) && walk.is_fresh() {
            ready!(self.poll_place(RECORD_HEADER_BYTES + ANNOUNCEMENT_BYTES as u32)?);
            self.append_announcement(walk.segment);
        }
        if !walk.is_over() {
            let step = ready!(self.poll_walk(walk)?);
            if let WalkStep::Worked(work) = step {
                self.merger.work += work.0;
                return Ok(Poll::Ready(step));
            }
        }
        if self.cage.holds(Canary::RotDropped) {
            self.forget_all_of(walk.segment);
        }
        if self.segments.live(walk.segment) == 0 {
            ready!(self.poll_announce(walk.segment)?);
        } else {
            self.segments.set_damaged(walk.segment);
        }
        Ok(Poll::Ready(WalkStep::Over))
    }

    /// The seeded bug: what a merge did not find is gone.
    fn forget_all_of(&mut self, segment: SegmentId) {
        let mut after = None;
        while let Some((position, entry)) = self.keydir.next_after(after) {
            after = Some(position);
            if self.port.layout.segment_of(entry.location.address) == segment {
                self.keydir.remove(&self.keydir.fingerprint_at(&position));
                self.bury(&entry);
            }
        }
    }

    /// Appends the record that frees a segment. One at a time waits for being durable.
    fn poll_announce(&mut self, segment: SegmentId) -> Result<Poll<()>, Error> {
        // Descriptions of dead chunked values may lie in it.
        ready!(self.poll_doomed_from(segment)?);
        ready!(self.poll_reclaim()?);
        ready!(self.poll_place(RECORD_HEADER_BYTES + ANNOUNCEMENT_BYTES as u32)?);
        let Some(seq) = self.append_announcement(segment) else { return Ok(Poll::Ready(())) };
        self.merger.announced = Some((segment, seq));
        self.merger.announcements += 1;
        if self.cage.holds(Canary::FreeBeforeDurable) {
            self.durable_seq = self.durable_seq.max(seq);
            self.release_announced();
        }
        Ok(Poll::Ready(()))
    }

    fn append_announcement(&mut self, segment: SegmentId) -> Option<Seq> {
        let open_seq = self.segments.open_seq(segment)?;
        self.open_group(GroupKind::Data);
        let announcement = Announcement { segment, open_seq };
        let seq = self.append_service_record(RecordKind::Announcement, &announcement.encode());
        self.published_seq = self.published_seq.max(seq);
        Some(seq)
    }

    /// Ready once no announced segment waits.
    pub(crate) fn poll_reclaim(&mut self) -> Result<Poll<()>, Error> {
        if let Some((_, seq)) = self.merger.announced {
            ready!(self.poll_sync(seq)?);
            self.release_announced();
        }
        Ok(Poll::Ready(()))
    }

    /// Takes the announced segment for free, if its announcement is durable.
    pub(crate) fn release_announced(&mut self) {
        let Some((segment, seq)) = self.merger.announced else { return };
        if self.durable_seq >= seq {
            self.merger.announced = None;
            self.merger.freed += 1;
            self.merger.last_freed = Some(segment);
            // What is being read may lie in it.
            self.release_record();
            self.forget_slots(segment);
            self.segments.release(segment);
        }
    }

    /// The pages that header, footer and mark share with groups: as they lie on the medium, not as the appender left them.
    pub(crate) fn forget_slots(&mut self, segment: SegmentId) {
        for offset in [0, self.port.layout.data_end, self.port.layout.mark_start] {
            self.port.pool.forget_clean(self.port.layout.page_at(segment, Offset(offset)));
        }
    }
}

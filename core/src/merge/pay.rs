//! Who does the work, and when: every append first, in step with what it consumes; idle time before that.

use core::task::Poll;

use super::cycle::CycleStep;
use super::ledger::{Ledger, MergeBytes, NominalBytes};
use crate::config::Pacing;
use crate::engine::{Engine, ready};
use crate::error::Error;
use crate::types::{EntryKind, SegmentId, Seq};

/// Whether there is merge work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeNeed {
    /// Nothing that would give bytes back.
    No,
    /// Idle time would be well spent.
    Should,
    /// Appends are paying for it now.
    Must,
}

/// Idle steps merge until the log takes no more than this many percent of what is alive.
const SETTLED_PERCENT: u64 = 125;
/// On flash, idle steps keep this many segments more free than appends ask for.
const IDLE_FREE: u32 = 1;
/// Tombstones are retired when they are more than one in this many keydir entries.
const TOMBSTONES_OF_CAPACITY: u32 = 8;
/// Idle steps retire tombstones when they are more than one in this many entries in use.
const TOMBSTONES_OF_ENTRIES: u32 = 16;

/// What idle cycles came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Idle {
    /// Most free segments so far.
    free_most: u32,
    /// Cycles since then.
    cycles: u32,
    /// Dead bytes that idle steps could do nothing about.
    futile_at: Option<u64>,
}

/// A pass over all segments that were there when it began, oldest first: none of the tombstones that were written before
/// it survives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retiring {
    /// Work owed for tombstones written since.
    ledger: Ledger,
    /// Segments opened before this are walked.
    until: Seq,
    /// Tombstones written before it, in this session.
    begun_at: u64,
}

impl Engine<'_> {
    /// Bytes of the log that this session consumed for anything but copies.
    pub(crate) fn nominal_total(&self) -> NominalBytes {
        let head = u64::from(self.head.position - self.head.start);
        NominalBytes(self.merger.left + head - self.merger.copied)
    }

    /// The head is left: the rest of its segment counts as consumed.
    pub(crate) fn leave_head(&mut self) {
        let end = self.data_limit().max(self.head.position);
        self.merger.left += u64::from(end - self.head.start);
        self.merger.before_head = Some(self.merger.tombstones);
    }

    /// Ready once the work is done that an append of `ahead` bytes must be preceded by.
    ///
    /// # Errors
    /// As for the reads and appends of a merge: `Device`, `Poisoned`, `PoolExhausted`. Nothing of the append was done.
    pub(crate) fn poll_pay(&mut self, ahead: u32) -> Result<Poll<()>, Error> {
        if self.merger.is_working {
            return Ok(Poll::Ready(()));
        }
        self.merger.is_working = true;
        let mut result = self.poll_cycles(u64::from(ahead));
        if matches!(result, Ok(Poll::Ready(()))) {
            result = self.poll_retire(1);
        }
        self.merger.is_working = false;
        result
    }

    /// Ready once an interrupted session's merges are made up for: a row of crashes, each of which takes some room of the
    /// log, must not use up what merging needs.
    ///
    /// # Errors
    /// As for an append.
    pub(crate) fn poll_catch_up(&mut self) -> Result<Poll<()>, Error> {
        if self.merger.caught_up || self.segments.free() >= self.free_target() {
            return Ok(Poll::Ready(()));
        }
        self.merger.is_working = true;
        let result = self.poll_cycles(0);
        self.merger.is_working = false;
        result
    }

    fn poll_cycles(&mut self, ahead: u64) -> Result<Poll<()>, Error> {
        // A turn completes a cycle or is the last one; an append cannot be due for more cycles than there are segments.
        for _ in 0..=self.segments.count() {
            self.release_announced();
            if self.merger.ledger.is_none() {
                self.merger.caught_up |= self.segments.free() >= self.free_target();
                if self.segments.free() > self.free_target() {
                    // What this append is charged for is not charged again by the next cycle.
                    self.merger.next_start = None;
                    break;
                }
                let Some(victim) = self.best_victim() else {
                    self.merger.caught_up = true;
                    break;
                };
                self.start_cycle(victim);
            }
            let Some(ledger) = self.merger.ledger else { break };
            let total = NominalBytes(self.nominal_total().0 + ahead);
            // An interrupted session leaves its account behind, but not the room that its work took.
            let all =
                ledger.is_due(total) || !self.merger.caught_up || self.pacing == Pacing::OneShot;
            let target = if all { MergeBytes(u64::MAX) } else { ledger.target(total) };
            if !all && target.0.saturating_sub(ledger.spent().0) < u64::from(self.merge_batch) {
                break;
            }
            if !ready!(self.poll_work(target, ahead)?) {
                break;
            }
        }
        Ok(Poll::Ready(()))
    }

    /// Works on the cycle until `target` is spent, for an append of `ahead` bytes; ready with whether it is complete.
    fn poll_work(&mut self, target: MergeBytes, ahead: u64) -> Result<Poll<bool>, Error> {
        while let Some(ledger) = self.merger.ledger.filter(|ledger| ledger.spent() < target) {
            match ready!(self.poll_cycle_step()?) {
                CycleStep::Worked(work) => {
                    if let Some(ledger) = &mut self.merger.ledger {
                        ledger.spend(work);
                    }
                }
                CycleStep::Complete => {
                    self.erase_ahead();
                    let total = NominalBytes(self.nominal_total().0 + ahead);
                    self.merger.next_start = Some(ledger.end(total));
                    self.merger.ledger = None;
                    return Ok(Poll::Ready(true));
                }
            }
        }
        Ok(Poll::Ready(false))
    }

    /// Retires tombstones in step with those that are written, so that the keydir never fills up with them.
    fn poll_retire(&mut self, ahead: u64) -> Result<Poll<()>, Error> {
        if !self.limits.allow_merges() {
            return Ok(Poll::Ready(()));
        }
        let tombstones = self.keydir.len_of(EntryKind::Tombstone);
        let threshold = (self.keydir.capacity() / TOMBSTONES_OF_CAPACITY).max(1);
        if self.merger.retiring.is_none() {
            if tombstones < threshold {
                return Ok(Poll::Ready(()));
            }
            // A pass does not reach the head. Where segments are large and the keydir small it may hold most of them.
            let in_head = self
                .merger
                .before_head
                .map_or(u64::from(tombstones), |before| self.merger.tombstones - before);
            if in_head > u64::from(threshold / 2) && !self.is_short() {
                ready!(self.poll_roll()?);
            }
            // Half of the entries that are free now may be used up before the pass ends.
            let free = self.keydir.capacity() - self.keydir.len();
            self.start_retiring(u64::from(free / 2).max(1));
        }
        let Some(retiring) = self.merger.retiring else { return Ok(Poll::Ready(())) };
        let target = retiring.ledger.target(NominalBytes(self.merger.tombstones + ahead));
        let spent = retiring.ledger.spent();
        let due = retiring.ledger.is_due(NominalBytes(self.merger.tombstones + ahead));
        if !due && target.0.saturating_sub(spent.0) < u64::from(self.merge_batch) {
            return Ok(Poll::Ready(()));
        }
        self.poll_retire_until(if due { MergeBytes(u64::MAX) } else { target })
    }

    fn start_retiring(&mut self, entries: u64) {
        let sealed = self.segments.used_ids().filter(|&segment| segment != self.head.segment);
        let debt: u64 = sealed.map(|segment| self.walk_debt(segment)).sum();
        let start = NominalBytes(self.merger.tombstones);
        self.merger.retiring = Some(Retiring {
            ledger: Ledger::new(NominalBytes(entries), MergeBytes(debt.max(1)), start),
            until: self.head.open_seq,
            begun_at: self.merger.tombstones,
        });
    }

    fn poll_retire_until(&mut self, target: MergeBytes) -> Result<Poll<()>, Error> {
        while let Some(retiring) = self.merger.retiring {
            if retiring.ledger.spent() >= target {
                break;
            }
            self.start_sweep();
            let oldest = self.merger.sweep.as_ref().map(|sweep| sweep.segment);
            let open_seq = oldest.and_then(|segment| self.segments.open_seq(segment));
            if open_seq.is_none_or(|open_seq| open_seq >= retiring.until) {
                self.merger.retired_to = retiring.begun_at;
                self.merger.passed = true;
                self.merger.retiring = None;
                break;
            }
            if let CycleStep::Worked(work) = ready!(self.poll_sweep_step()?)
                && let Some(retiring) = &mut self.merger.retiring
            {
                retiring.ledger.spend(work);
            }
        }
        Ok(Poll::Ready(()))
    }

    /// Does merge work that nobody has to wait for, of about `budget` bytes. Ready with whether there is more.
    ///
    /// # Errors
    /// As for an append.
    pub fn poll_merge(&mut self, budget: &mut u64) -> Result<Poll<bool>, Error> {
        ready!(self.poll_writable()?);
        self.merger.is_working = true;
        let result = self.poll_idle(budget);
        self.merger.is_working = false;
        result
    }

    pub(super) fn poll_idle(&mut self, budget: &mut u64) -> Result<Poll<bool>, Error> {
        loop {
            self.release_announced();
            if ready!(self.poll_releases()?) {
                *budget = budget.saturating_sub(1);
            }
            if self.wants_erase() && *budget > 0 {
                if !self.erase_ahead() {
                    return Ok(Poll::Pending);
                }
                *budget = budget.saturating_sub(u64::from(self.port.layout.segment_bytes));
            }
            if self.merge_need() == MergeNeed::No {
                // What was announced is given back, so that nobody else has to wait for it.
                if self.merger.announced.is_some() {
                    ready!(self.poll_reclaim()?);
                    continue;
                }
                return Ok(Poll::Ready(false));
            }
            if *budget == 0 {
                return Ok(Poll::Ready(true));
            }
            let is_merge = self.merger.ledger.is_some() || self.merger.retiring.is_some();
            if !is_merge && self.idle_victim().is_none() && !self.has_tombstones() {
                // What died is given back by the next turn, a little at a time.
                if !self.has_releases() {
                    return Ok(Poll::Ready(false));
                }
                continue;
            }
            let before = self.merger.work;
            let step = self.poll_idle_step();
            *budget = budget.saturating_sub((self.merger.work - before).max(1));
            ready!(step?);
        }
    }

    fn poll_idle_step(&mut self) -> Result<Poll<()>, Error> {
        if self.merger.retiring.is_some() {
            let work = MergeBytes(1 + self.merger.retiring.map_or(0, |r| r.ledger.spent().0));
            return self.poll_retire_until(work);
        }
        if self.merger.ledger.is_none() {
            match self.idle_victim() {
                Some(victim) => self.start_cycle(victim),
                None => {
                    // Their segment must be sealed before the tombstones in it can go.
                    if self.head.position > self.port.layout.data_start && !self.is_short() {
                        ready!(self.poll_roll()?);
                    }
                    self.start_retiring(u64::MAX / 2);
                    return Ok(Poll::Ready(()));
                }
            }
        }
        let spent = self.merger.ledger.map_or(0, |ledger| ledger.spent().0);
        if ready!(self.poll_work(MergeBytes(spent + 1), 0)?) {
            self.judge_idle_cycle();
        }
        Ok(Poll::Ready(()))
    }

    /// Idle cycles that give no segment back, as many in a row as there are segments, move only what cannot be packed better:
    /// idle steps rest until there is a segment's worth more of dead bytes.
    fn judge_idle_cycle(&mut self) {
        let free = self.segments.free() + u32::from(self.merger.announced.is_some());
        let idle = &mut self.merger.idle;
        if free > idle.free_most {
            *idle = Idle { free_most: free, ..Idle::default() };
            return;
        }
        idle.cycles += 1;
        if idle.cycles > self.segments.count() {
            self.merger.idle = Idle { futile_at: Some(self.dead_bytes()), ..Idle::default() };
        }
    }

    fn dead_bytes(&self) -> u64 {
        let in_use = u64::from(self.segments.count() - self.segments.free());
        (in_use * u64::from(self.limits.payload)).saturating_sub(self.segments.live_total())
    }

    fn is_futile(&self) -> bool {
        let more = u64::from(self.limits.payload);
        self.merger.idle.futile_at.is_some_and(|dead| self.dead_bytes() <= dead + more)
    }

    /// The victim of an idle step.
    fn idle_victim(&self) -> Option<SegmentId> {
        let best = if self.is_short() && !self.is_futile() { self.best_victim() } else { None };
        best.or_else(|| self.emptiest().filter(|_| self.has_garbage()))
    }

    /// Whether merging would be of use now.
    #[must_use]
    pub fn merge_need(&self) -> MergeNeed {
        if !self.limits.allow_merges() {
            return MergeNeed::No;
        }
        let due = self.merger.ledger.is_some() || self.merger.retiring.is_some();
        if self.is_short() && (due || !self.is_futile() && self.best_victim().is_some()) {
            MergeNeed::Must
        } else if due
            || self.wants_erase()
            || self.has_releases()
            || self.has_garbage()
            || self.has_tombstones()
        {
            MergeNeed::Should
        } else {
            MergeNeed::No
        }
    }

    /// Bytes of work, at most, that the merges that are under way still need.
    #[must_use]
    pub fn merge_debt(&self) -> u64 {
        let cycle = self.merger.ledger.map_or(0, |ledger| ledger.left().0);
        cycle + self.merger.retiring.map_or(0, |retiring| retiring.ledger.left().0)
    }

    fn is_short(&self) -> bool {
        self.segments.free() <= self.free_target()
    }

    /// Whether there are free segments enough for the appends of a while, where each erase wears the device: merging more
    /// would move what dies by itself, and give back room that nobody asked for.
    fn is_spare(&self) -> bool {
        self.port.caps.needs_erase && self.segments.free() > self.free_target() + IDLE_FREE
    }

    /// Whether the sealed segments take more of the device than they should, and one of them has a good part to give back.
    fn has_garbage(&self) -> bool {
        if self.is_futile() || self.is_spare() {
            return false;
        }
        let (mut taken, mut live) = (0, 0);
        for segment in self.segments.used_ids().filter(|&segment| segment != self.head.segment) {
            taken += u64::from(self.port.layout.segment_bytes);
            live += u64::from(self.segments.live(segment));
        }
        taken * 100 > live * SETTLED_PERCENT && self.emptiest().is_some_and(|it| self.is_worth(it))
    }

    /// Whether a merge gives more back than the new segment may waste at its end, so that idle steps come to an end.
    fn is_worth(&self, segment: SegmentId) -> bool {
        let layout = &self.port.layout;
        let waste = layout.record_bytes_max / 2 + 2 * layout.commit_unit;
        let dead = self.limits.payload.saturating_sub(self.segments.live(segment));
        dead > self.limits.payload / 8 + waste && self.gives_back(segment) > 0
    }

    /// Whether a pass over all segments would retire a good part of the keydir's entries.
    fn has_tombstones(&self) -> bool {
        let tombstones = self.keydir.len_of(EntryKind::Tombstone);
        let dealt_with = self.merger.passed && self.merger.retired_to == self.merger.tombstones;
        !dealt_with && tombstones > self.keydir.len() / TOMBSTONES_OF_ENTRIES
    }
}

//! Giving space back: the last segments of the device are emptied by merging them, the next header says that there are
//! fewer, and once it is durable the device is cut there.
//!
//! A crash in between leaves a device that is larger than its newest header says, which is no fault: those segments are
//! free again.

use core::task::Poll;

use super::pay::MergeNeed;
use crate::engine::{Engine, Purpose, ready};
use crate::error::Error;
use crate::types::SegmentId;

/// Fewest segments that are left.
const SEGMENTS_MIN: u32 = 4;

impl Engine<'_> {
    /// Merges, and gives the device's end back, with work of about `budget` bytes. Ready with whether there is more.
    ///
    /// # Errors
    /// As for an append.
    pub fn poll_shrink(&mut self, budget: &mut u64) -> Result<Poll<bool>, Error> {
        ready!(self.poll_writable()?);
        self.merger.is_working = true;
        let result = self.poll_shrink_steps(budget);
        self.merger.is_working = false;
        result
    }

    fn poll_shrink_steps(&mut self, budget: &mut u64) -> Result<Poll<bool>, Error> {
        if self.shrinking {
            return self.poll_cut();
        }
        loop {
            self.release_announced();
            if self.merge_need() != MergeNeed::No {
                if ready!(self.poll_idle(budget)?) {
                    return Ok(Poll::Ready(true));
                }
                continue;
            }
            ready!(self.poll_reclaim()?);
            let Some(count) = self.shrink_target() else { return Ok(Poll::Ready(false)) };
            if *budget == 0 {
                return Ok(Poll::Ready(true));
            }
            let Some(last) = self.segments.used_ids().last() else {
                return Ok(Poll::Ready(false));
            };
            if last.0 < count {
                self.segments.shrink_to(count);
                self.shrinking = true;
                return self.poll_cut();
            }
            let before = self.merger.work;
            let step = self.poll_empty(last);
            *budget = budget.saturating_sub((self.merger.work - before).max(1));
            if !ready!(step?) {
                return Ok(Poll::Ready(false));
            }
        }
    }

    /// Starts to empty the last segment; ready with false where that cannot be.
    fn poll_empty(&mut self, last: SegmentId) -> Result<Poll<bool>, Error> {
        if last == self.head.segment {
            ready!(self.poll_roll()?);
            return Ok(Poll::Ready(true));
        }
        // One that is kept because it is damaged, or tells where another one ends.
        let may_go = self.may_be_merged(last);
        if may_go {
            self.start_cycle(last);
        }
        Ok(Poll::Ready(may_go))
    }

    /// How many segments should be left: those in use, what merging needs, an eighth and room for what is alive; `None` where
    /// that is about what there is.
    fn shrink_target(&self) -> Option<u32> {
        let count = self.segments.count();
        let used = count - self.segments.free();
        let mut target = (used + self.free_target() + used / 8 + 2).max(SEGMENTS_MIN);
        while target < count && self.live_bytes_max(target) < self.segments.live_total() {
            target += 1;
        }
        (self.can_shrink && target + used / 16 < count).then_some(target)
    }

    /// Writes a header that says how many segments there are, then cuts the device.
    fn poll_cut(&mut self) -> Result<Poll<bool>, Error> {
        let capacity = self.port.layout.capacity_of(self.segments.count());
        if self.capacity <= capacity {
            self.shrinking = false;
            return Ok(Poll::Ready(true));
        }
        if self.merger.header_count != self.segments.count() {
            ready!(self.poll_roll()?);
        }
        // The flush behind that header makes it true.
        ready!(self.poll_sync(self.published_seq)?);
        if !self.port.is_idle() || self.port.room() == 0 {
            return Ok(Poll::Pending);
        }
        self.port.push(capacity, 0, Purpose::Shrink);
        Ok(Poll::Pending)
    }
}

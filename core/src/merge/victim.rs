//! Which segment is merged, and how full the store may be so that there always is one.
//!
//! ```text
//! payload     P = bytes of groups that a segment holds, less the reserve of its end
//! pad         what a cycle wastes at most: a record that does not fit, two paddings, the announcement
//! live_max    min(live_percent * P, P - pad - P/16): a victim has at most this, so it gives back P - live - pad > 0
//! F_t         free segments at which a cycle starts: 1 for the reserve of recovery, 1 for the head's next segment,
//!             1 for the sweep. One that was announced and is not durable yet is made durable before the last one is taken
//! L_max       live_max * (N - lost - F_t - 1 - sweep): beyond it puts are refused
//! ```
//! When a cycle starts, `N - lost - F_t - 1` segments are sealed, one of them may be under the sweep, and together they
//! hold at most `L_max`: so one of them has at most `live_max` (pigeonhole).

use crate::canary::Canary;
use crate::engine::Engine;
use crate::format::group::{ANNOUNCEMENT_BYTES, GROUP_HEADER_BYTES, GROUP_TRAILER_BYTES};
use crate::format::layout::Layout;
use crate::format::record::RECORD_HEADER_BYTES;
use crate::log::RESUME_GROUP_BYTES;
use crate::types::{SegmentId, Seq};

/// Fewest segments of a store with a sweep: each cycle does 1/16 of it.
const SWEEP_SEGMENTS_MIN: u32 = 8;
/// Fewest segments of a store in which a freed segment may wait for somebody else's flush.
const WAITING_SEGMENTS_MIN: u32 = 32;

/// The figures that follow from the geometry.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// Bytes of groups that a segment takes.
    pub(crate) payload: u32,
    /// Bytes that a cycle may waste.
    pub(crate) pad: u32,
    /// Most live bytes of a victim.
    pub(crate) live_max: u32,
}

impl Limits {
    /// The limits of a layout whose segments keep `tail_reserve` bytes free at their end.
    pub(crate) fn new(layout: &Layout, tail_reserve: u32, live_percent: u8) -> Self {
        let payload = (layout.data_end - tail_reserve).saturating_sub(layout.data_start);
        let announcement = RECORD_HEADER_BYTES + ANNOUNCEMENT_BYTES as u32;
        let groups = 2 * (GROUP_HEADER_BYTES + GROUP_TRAILER_BYTES + layout.align);
        let record = layout.aligned(layout.record_bytes_max);
        let pad = record + 2 * layout.commit_unit + announcement + groups;
        let share = (u64::from(payload) * u64::from(live_percent) / 100) as u32;
        let live_max = share.min(payload.saturating_sub(pad + payload / 16));
        Self { payload, pad, live_max }
    }

    /// Bytes that a segment keeps free at its end: a resume group, one that pads and a close group.
    pub(crate) fn tail_reserve(layout: &Layout) -> u32 {
        layout.padded(RESUME_GROUP_BYTES + 64) + layout.commit_unit
    }

    /// Whether segments are large enough to be merged. Format refuses smaller ones; a store that has them is only appended
    /// to.
    pub(crate) const fn allow_merges(&self) -> bool {
        self.live_max >= self.payload / 4
    }
}

impl Engine<'_> {
    /// Whether each cycle also does a share of the oldest segment.
    pub(crate) fn sweeps(&self) -> bool {
        self.segments.count() >= SWEEP_SEGMENTS_MIN
    }

    /// Whether an announced segment may wait until somebody makes the log durable.
    pub(crate) fn lets_wait(&self) -> bool {
        self.segments.count() >= WAITING_SEGMENTS_MIN
    }

    /// Free segments at which a cycle starts.
    pub(crate) fn free_target(&self) -> u32 {
        let all = 2 + u32::from(self.sweeps());
        if self.cage.holds(Canary::FreeTargetTooSmall) { all - 2 } else { all }
    }

    /// Most live bytes of a store with `count` segments.
    pub(crate) fn live_bytes_max(&self, count: u32) -> u64 {
        if !self.limits.allow_merges() {
            return u64::MAX;
        }
        let taken = self.segments.lost() + self.free_target() + 1 + u32::from(self.sweeps());
        u64::from(self.limits.live_max) * u64::from(count.saturating_sub(taken))
    }

    /// Whether a sealed segment may be merged.
    pub(super) fn may_be_merged(&self, segment: SegmentId) -> bool {
        self.candidates().any(|candidate| candidate == segment)
    }

    /// Fewest bytes that the merge of a victim gives back; 0 where nothing is merged.
    pub(crate) fn merge_gain_min(&self) -> u32 {
        let limits = &self.limits;
        if limits.allow_merges() { limits.payload - limits.pad - limits.live_max } else { 0 }
    }

    /// Sealed segments that may be merged.
    fn candidates(&self) -> impl Iterator<Item = SegmentId> + '_ {
        let announced = self.merger.announced.map(|(segment, _)| segment);
        let oldest = self.segments.used_ids().filter_map(|id| self.segments.open_seq(id)).min();
        self.segments.used_ids().filter(move |&segment| {
            segment != self.head.segment
                && Some(segment) != announced
                && !self.merger.is_walked(segment)
                && (!self.segments.is_damaged(segment) || self.segments.live(segment) == 0)
                && (!self.segments.holds_end(segment) || self.segments.open_seq(segment) == oldest)
        })
    }

    /// The segment with the fewest live bytes, if its merge gives anything back; among equals the oldest.
    pub(crate) fn emptiest(&self) -> Option<SegmentId> {
        if !self.limits.allow_merges() {
            return None;
        }
        let age = |segment| self.segments.open_seq(segment).unwrap_or(Seq(0));
        let key = |&segment: &SegmentId| (self.segments.live(segment), age(segment));
        self.candidates().min_by_key(key).filter(|&segment| self.gives_back(segment) > 0)
    }

    /// The victim of a cycle: of those that the proof allows the one with the best ratio of benefit to cost, which is
    /// `dead * age / (read + copied)`: what is old and still alive will stay so, so little of it pays off for longer.
    pub(crate) fn best_victim(&self) -> Option<SegmentId> {
        let emptiest = self.emptiest()?;
        let payload = self.limits.payload;
        let age = |segment: SegmentId| {
            let born = self.segments.open_seq(segment).unwrap_or(Seq(0));
            self.next_seq.0.saturating_sub(born.0)
        };
        // Ages with 32 bits, so that products fit: where a session began, sequences jump by that much.
        let oldest = self.candidates().map(age).max().unwrap_or(0);
        let shift = 32_u32.saturating_sub(oldest.leading_zeros());
        let ratio = |segment: SegmentId| {
            let live = self.segments.live(segment).min(payload);
            u64::from(payload - live) * (age(segment) >> shift) / u64::from(payload + live)
        };
        let provable = |segment: &SegmentId| self.segments.live(*segment) <= self.limits.live_max;
        // Among equals the first: the emptiest itself where nothing is better.
        let better = |best, segment| if ratio(segment) > ratio(best) { segment } else { best };
        Some(self.candidates().filter(provable).fold(emptiest, better))
    }

    /// Bytes that appends may consume while this segment is merged.
    pub(crate) fn gives_back(&self, segment: SegmentId) -> u32 {
        let limits = &self.limits;
        limits.payload.saturating_sub(limits.pad).saturating_sub(self.segments.live(segment))
    }

    /// The oldest sealed segment.
    pub(crate) fn oldest_candidate(&self) -> Option<SegmentId> {
        self.candidates().min_by_key(|&segment| self.segments.open_seq(segment))
    }

    /// The oldest incarnation of all segments in use but one: a tombstone that is older is still needed. One that was
    /// announced does not count: whatever frees `segment` stands behind that announcement in the log.
    pub(crate) fn oldest_beside(&self, segment: SegmentId) -> Seq {
        let announced = self.merger.announced.map(|(segment, _)| segment);
        let seeded = self.cage.holds(Canary::FreeBeforeSuperseder);
        let gone = |other: SegmentId| {
            other == segment || Some(other) == announced || seeded && self.merger.is_walked(other)
        };
        let others = self.segments.used_ids().filter(|&other| !gone(other));
        others.filter_map(|other| self.segments.open_seq(other)).min().unwrap_or(Seq(u64::MAX))
    }
}

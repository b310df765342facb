//! Taking the figures.

use super::core_state::{Engine, Health};
use crate::format::superblock::VERSION;
use crate::log::Resumption;
use crate::stats::{SegmentStats, Stats};
use crate::types::{SegmentId, Seq};

impl Engine<'_> {
    /// What the store looks like now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let layout = &self.port.layout;
        let mut used_bytes = 0;
        for segment in self.segments.used_ids() {
            let used = if segment == self.head.segment {
                self.head.position
            } else {
                self.segments.used(segment)
            };
            used_bytes += u64::from(used.saturating_sub(layout.data_start));
        }
        Stats {
            keys: u64::from(self.keydir.live_keys()),
            entries: u64::from(self.keydir.len()),
            entries_max: u64::from(self.keydir.capacity()),
            live_bytes: self.segments.live_total()
                - u64::from(self.keydir.len() + self.versions.len())
                    * u64::from(self.segments.cost.extra),
            snapshots: self.snapshots.held(),
            versions: self.versions.len(),
            watermark: self.snapshots.watermark(),
            used_bytes,
            capacity: self.capacity,
            capacity_max: self.capacity_max,
            segment_bytes: layout.segment_bytes,
            segments: self.segments.count(),
            segments_free: self.segments.free(),
            segments_free_min: self.segments.free_min(),
            segments_sealed: (self.segments.used_ids().count() as u32).saturating_sub(1),
            page_bytes: layout.page_bytes(),
            frames: self.port.pool.frames(),
            commit_unit: layout.commit_unit,
            key_bytes_max: u32::from(layout.key_bytes_max),
            record_bytes_max: layout.record_bytes_max,
            format_version: VERSION,
            boot: self.boot,
            seq: if self.head.resumption == Resumption::Needed {
                self.published_seq
            } else {
                Seq(self.next_seq.0 - 1)
            },
            durable_seq: self.durable_seq,
            opened_by_hints: self.recovery.by_hints,
            opened_by_scan: self.recovery.by_scan,
            headers_repaired: self.recovery.repaired,
            write_faults: self.write_faults,
            live_bytes_max: self.live_bytes_max(self.segments.count()),
            live_cost: self.segments.live_total(),
            appended_bytes: self.nominal_total().0,
            copied_bytes: self.merger.copied_bytes(),
            merge_work: self.merger.work,
            merge_gain_min: self.merge_gain_min(),
            segments_merged: self.merger.freed,
            segments_announced: self.merger.announcements,
            segments_swept: self.merger.swept,
            tombstones_retired: self.merger.tombstones_retired,
            tombstones_copied: self.merger.tombstones_copied,
            opened_past_announced: self.recovery.passed_over,
            segments_damaged: self.segments.lost(),
            damages: self.damages.count(),
            doubt: self.damages.doubt(),
            scrub_bytes: self.scrub.bytes,
            scrub_passes: self.scrub.passes,
            scrub_damages: self.scrub.damages,
            poisoned: self.health == Health::Poisoned,
        }
    }

    /// What a segment holds; `None` where it is free, bad or not there.
    #[must_use]
    pub fn segment_stats(&self, segment: SegmentId) -> Option<SegmentStats> {
        if !self.segments.exists(segment) {
            return None;
        }
        let open_seq = self.segments.open_seq(segment)?;
        let is_head = segment == self.head.segment;
        Some(SegmentStats { open_seq, live_cost: self.segments.live(segment), is_head })
    }

    /// The segment in which the newest record of a key lies.
    #[must_use]
    pub fn segment_of(&self, key: &[u8]) -> Option<SegmentId> {
        let entry = self.keydir.get(&self.keydir.fingerprint(key))?;
        Some(self.port.layout.segment_of(entry.location.address))
    }
}
